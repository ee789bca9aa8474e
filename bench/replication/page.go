package main

// The page around the tables.
const (
	pageHead = `# What replication costs

<!-- Generated: make bench PAGE=docs/performance.md -->

Measured on %s with %d CPUs, %s, %s, %d saves, an idle interval of %v; it took %v.

    make bench          # the whole table
    make bench-quick    # 1,000 and 10,000 files, in a few minutes
    go run ./bench/replication -sizes 1000,10000 -only hop,push

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
	pageBounds = ``
)
