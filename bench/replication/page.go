package main

// The page around the tables.
const (
	pageHead = `# What replication costs

<!-- Generated: make bench PAGE=docs/performance.md -->

Measured on %s with %d CPUs, %s, %s, %d saves and an idle interval of %v. What
stands in one row is of one run.

    make bench          # the whole table, in an hour
    make bench-quick    # 1,000 and 10,000 files, in a few minutes
    go run ./bench/replication -sizes 1000,10000 -only hop,push
    go run ./bench/replication -sizes 10000 -only idle -write docs/performance.md -update

All three programs speak to one S3 server on loopback (` + "`rclone serve s3`" + `)
through one proxy that counts. Each request costs some CPU there too, on the same
machine: less than any network, and more for who makes more of them. Trees are
made by a seed; each restored tree is compared with its source. Absolute times are
those of a busy machine; what counts is how many times coltecd's the others are,
in brackets. A peak is that of all processes of a program, shared pages by their
share. A run of coltecd is ` + "`run --once`" + `: it takes the lease, does its work and gives
it back, and verifies what it fetched.

`
	pageGrowth = `
## Growth

The exponent of each cost against the number of files: 0 is flat, 1 is
proportional.

`
	pageBounds = `
## What bounds each figure

- **Idle.** One request for each renewal of the lease, whatever the number of files:
  nothing is listed. The CPU is that of an rclone process for the renewal (about 0.05 s)
  and of a walk that looks at each file and reads none: it grows with the files as
  ` + "`find`" + ` does.
- **One file saved.** Two seconds until the tree is quiet, a walk of the directories
  that were touched (of all, for coltecd sync), and three requests one after the other:
  content, what changed in the tree, head. Each is an rclone process, 40 to 60 ms, and
  one way to the store and back. What grows with the files is the walk of all, and one
  pass over what the base knows, which is much less; where something was removed, and at
  the first save after a start, another one beside the last full manifest. One save in 32 writes the log
  of generations too, which the head has no more room for. The renewals of the lease,
  one for each interval, come beside them; so does a [digest](storage.md#digests), two requests, when
  what coltec ls shows of the workspace is another, once a minute at most.
- **A checkpoint.** The same three requests; its head renews the lease too, and the walk is
  of what the watch told of alone. A digest that says nothing but its name waits until two
  seconds pass without another one, or a minute: a series has one a minute, which the next
  checkpoint waits for where they meet (0.1 s). ` + "`-phases`" + ` tells of each where its time went.
- **100 files changed.** The same three requests: the hundred share an object.
- **Full scan.** The kernel's answer to one question for each file.
- **First push, restore.** Reading, hashing and compressing, or unpacking, writing and
  hashing each file once; the requests are one for 16 MB of packed content. With latency
  a few requests one after the other at the beginning and the end, which both others
  have as well.
- **Hop.** Two programs that end and start, and eight requests, seven of them one after
  the other, each an rclone process (content, tree, head there; head and claim at once,
  head, tree, content here), and two walks. Both machines had the same tree before the
  100 were changed. Each save more that the other machine has not seen is an object more
  to fetch, up to some 200: then, and once a day, small objects are brought together.
- **The big file.** On loopback writing it once more than rclone does; with a network
  in between, the network: what has come is unpacked, part by part, while the next
  comes. A change sends the parts that it
  touches, and they are all that another machine receives.
- **Memory.** coltecd and its keeper hold no list of files between cycles. A push holds
  what a walk saw of the files that changed, about 150 bytes each, and some thousand
  rows of those; what the bucket has is read in order. Beside it there is an rclone of
  23 MB. A restore plans with all rows of both sides in memory: 2 KB for each file.
- **Logs that are written all the time.** A step each six seconds, and what it takes; of
  each log what came is sent, and twice in all, because many small ends are made one. The
  head and what differs in the tree come with each step, some 10 KB. rclone sends whole
  files.
- **SQLite.** A commit each few seconds of the pages that came into the log since, then
  the same three requests. restic reads and hashes the files each time, and sends what
  differs in parts of about a MB: a page that changes in one of them is all of it. It copies
  without a lock.
- **Five workspaces.** Five times the idle one.
- **Agents.** What is carried of the home is gathered for ten seconds: at most six saves in a
  minute, three requests each, and the renewals of the lease beside them. Three agents append to
  files of JSON lines, the fourth writes a database. The workspace's own tree is at rest: a file of it that is
  saved takes two requests more, for its content and what changed in its tree.
`
)
