package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/status"
)

// drill is a workspace with 14 files in the folder "data", that machine a has
// pushed and machine b has restored; both have stopped. What is done to a then
// must not delete anything anywhere.
type drill struct {
	*world
	a, b *machine
	want map[string]node // what must be everywhere in the end
	said string          // all that a person was told, but for the status
}

func newDrill(t *testing.T, prepare func(a *machine)) *drill {
	w := newWorld(t)
	d := &drill{world: w, a: w.machine("a"), b: w.machine("b")}
	d.a.apart()
	d.b.apart()
	if prepare != nil {
		prepare(d.a)
	}
	for i := range 12 {
		d.a.write(fmt.Sprintf("data/src/%d.txt", i), fmt.Sprint("source ", i))
	}
	d.a.write("data/edit.txt", "before")
	d.a.write("data/notes/todo.txt", "everything")
	d.a.once()
	d.b.once()
	d.want = d.tree(d.a)
	return d
}

func (d *drill) tree(m *machine) map[string]node {
	return treeOf(d.t, m.path("data"), ".coltec", ".git")
}

// run runs a verb at a, whatever comes of it, and notes what it said.
func (d *drill) run(args ...string) int {
	d.t.Helper()
	out, talk, code := d.a.run(args...)
	d.said += out + talk
	return code
}

// begin starts a and notes what it says once its replica is at rest or stuck.
func (d *drill) begin() {
	d.t.Helper()
	d.run("start")
	d.settled()
}

// settled waits until a's replica needs nothing but, perhaps, a person.
func (d *drill) settled() {
	d.t.Helper()
	doc := d.a.await("it is at rest", func(doc status.Document) bool {
		switch replicaIn(d.t, doc, "workspace").State {
		case status.ReplicaSynced, status.ReplicaBlocked, status.ReplicaRetrying:
			return true
		}
		return false
	})
	d.said += words(doc) + "\n"
}

// meets syncs at a, and notes what is said of it.
func (d *drill) meets() {
	d.t.Helper()
	d.run("sync")
	d.said += words(d.a.status()) + "\n"
}

// copied copies a whole folder, as `cp -a` does.
func (d *drill) copied(from, to string) {
	d.t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		d.t.Fatalf("%v: %s", err, out)
	}
}

// drills are what people do to a workspace by mistake. Each gives what a person
// is told, in status, by a verb or in the log.
var drills = map[string]struct {
	prepare func(a *machine)
	do      func(d *drill)
	says    []string
}{
	"unmounted": {
		prepare: func(a *machine) { a.disk("data", "8m") },
		do: func(d *drill) {
			d.a.start()
			if err := unix.Unmount(d.a.path("data"), unix.MNT_DETACH); err != nil {
				d.t.Fatal(err)
			}
			d.meets()
		},
		says: []string{"was removed, or the directory replaced: nothing is pushed before it was compared with the bucket again"},
	},
	"emptied": {
		do: func(d *drill) {
			d.a.start()
			d.a.remove("data/src")
			d.a.remove("data/notes")
			d.a.remove("data/edit.txt")
			d.meets()
			d.stillThere()
			d.copied(d.b.path("data/src"), d.a.path("data/src"))
			d.copied(d.b.path("data/notes"), d.a.path("data/notes"))
			d.copied(d.b.path("data/edit.txt"), d.a.path("data/edit.txt"))
		},
		says: []string{"14 deletions at once wait for your decision", "--allow-delete"},
	},
	"unreadable": {
		prepare: func(a *machine) { a.asUser() },
		do: func(d *drill) {
			d.a.own()
			d.a.start()
			d.a.chmod("data/src", 0)
			d.meets()
			d.stillThere()
			d.a.chmod("data/src", 0o755)
		},
		says: []string{"\"src\" is not synced: permission denied"},
	},
	"read-only": {
		prepare: func(a *machine) { a.disk("data", "8m") },
		do: func(d *drill) {
			d.b.write("data/edit.txt", "by b")
			d.b.once()
			d.want = d.tree(d.b)
			at := d.a.path("data")
			if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, "size=8m"); err != nil {
				d.t.Fatal(err)
			}
			d.begin()
			d.stillThere()
			if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_REMOUNT, "size=8m"); err != nil {
				d.t.Fatal(err)
			}
		},
		says: []string{"cannot be written", "mount its file system for writing"},
	},
	"restore killed half-way": {
		do: func(d *drill) {
			d.a.remove("data")
			d.a.mkdir("data")
			d.a.killedAt("place:renamed:4", "run", "--once")
			d.run("run", "--once")
		},
		says: []string{"workspace: done, 14 files"},
	},
	"container with old state": {
		do: func(d *drill) {
			d.a.rename("data", "old")
			d.copied(d.a.path("old"), d.a.path("data"))
			d.a.write("data/edit.txt", "after")
			d.a.write("data/added.txt", "added")
			d.a.once()
			d.want = d.tree(d.a)
			d.a.remove("data")
			d.a.rename("old", "data")
			d.run("run", "--once")
		},
		says: []string{"msg=placed replica=workspace files=2 deleted=0"},
	},
	"a copied folder with another env": {
		do: func(d *drill) {
			d.copied(d.a.path("data"), d.a.path("copy"))
			d.a.remove("copy/notes")
			d.a.spec(func(o *specOptions) {
				o.Env, o.Replicas = "other", []replicaSpec{d.a.replica("workspace", d.a.path("copy"))}
			})
			d.run("run", "--once")
			d.a.apart()
		},
		says: []string{"nothing is deleted, here or there: the local tree and the bucket are joined", "replica \\\"workspace\\\" of acme/widget/dev: it is a copy"},
	},
	"a bucket emptied": {
		do: func(d *drill) {
			d.rclone("purge", "{bucket}/.coltec")
			d.rclone("purge", "{bucket}/workspaces")
			d.run("run", "--once")
		},
		says: []string{"nothing is deleted, here or there: the local tree and the bucket are joined", "the bucket was emptied"},
	},
	"a bucket emptied under a running coltecd": {
		do: func(d *drill) {
			d.a.start()
			d.rclone("purge", "{bucket}/.coltec")
			d.rclone("purge", "{bucket}/workspaces")
			d.a.write("data/added.txt", "added")
			d.want = d.tree(d.a)
			d.meets()
		},
		says: []string{"the head is not in the bucket any more: the bucket was emptied", "pushed anew"},
	},
	"path_prefix changed": {
		do: func(d *drill) {
			d.a.remove("data/notes") // not told to anybody yet
			d.rebased("primary", "else/where")
			d.run("run", "--once")
			d.a.apart()
			d.copied(d.b.path("data/notes"), d.a.path("data/notes"))
		},
		says: []string{"nothing is deleted, here or there: the local tree and the bucket are joined", "the spec leads to another place"},
	},
	"default_remote changed": {
		do: func(d *drill) {
			d.rebased("second", "")
			d.run("run", "--once")
			d.a.apart()
		},
		says: []string{"the prefix is claimed under the head", "set default_remote, bucket and path_prefix back to what they were"},
	},
	"git clean -fdx under a running coltecd": {
		do: func(d *drill) {
			git := func(args ...string) {
				cmd := exec.Command("git", append([]string{"-C", d.a.path("data"), "-c", "user.name=x", "-c", "user.email=x@x"}, args...)...)
				if out, err := cmd.CombinedOutput(); err != nil {
					d.t.Fatalf("git %q: %v\n%s", args, err, out)
				}
			}
			git("init", "-q")
			git("add", "src", "notes", "edit.txt")
			git("commit", "-q", "-m", "all")
			d.a.start()
			d.a.sync()
			d.a.write("data/build/out.o", "built")
			d.a.sync()
			git("clean", "-q", "-fdx") // takes build/: a deletion that is meant
			if d.a.missing("data/.coltec") {
				d.t.Error("git clean removes .coltec")
			}
			d.meets()
			d.a.remove("data/.git")
			d.run("sync", "workspace", "--allow-delete")
		},
		says: []string{"workspace: synced"},
	},
	"rm -rf .coltec under a running coltecd": {
		do: func(d *drill) {
			d.a.start()
			d.a.remove("data/.coltec")
			d.meets()
			d.a.await("all is well again", func(doc status.Document) bool { return doc.State == status.Running })
		},
		says: []string{"was removed, or the directory replaced: nothing is pushed before it was compared with the bucket again"},
	},
	"an exclude on one machine only": {
		do: func(d *drill) {
			d.a.spec(func(o *specOptions) {
				r := d.a.replica("workspace", d.a.path("data"))
				r.Exclude = append(r.Exclude, "/notes/**")
				o.Replicas = []replicaSpec{r}
			})
			d.run("run", "--once")
			d.stillThere()
			sameTree(d.t, d.want, d.tree(d.a))
			d.b.once()
			sameTree(d.t, d.want, d.tree(d.b))
			d.a.apart()
		},
		says: []string{"excluded now: kept where they are, and synced no more"},
	},
}

// rebased gives a's spec another default remote, or its remotes a prefix. The
// replica stays at the remote that it was on.
func (d *drill) rebased(standard, prefix string) {
	d.t.Helper()
	d.a.spec(func(o *specOptions) {
		o.Replicas = []replicaSpec{d.a.replica("workspace", d.a.path("data"))}
		remote := map[string]any{
			"type": "s3", "bucket": "${RCLONE_BUCKET}", "path_prefix": prefix,
			"options": map[string]string{
				"provider": "Rclone", "endpoint": "${RCLONE_S3_ENDPOINT}",
				"access_key_id": "${RCLONE_S3_ACCESS_KEY_ID}", "secret_access_key": "${RCLONE_S3_SECRET_ACCESS_KEY}",
			},
		}
		second := map[string]any{"path_prefix": "second"}
		for k, v := range remote {
			if k != "path_prefix" {
				second[k] = v
			}
		}
		r := o.Replicas[0]
		o.More = map[string]any{"persistence": map[string]any{
			"enabled": true, "default_remote": standard,
			"remotes": map[string]any{"primary": remote, "second": second},
			"lease":   map[string]string{"ttl": o.TTL, "renew": o.Renew},
			"sync": []map[string]any{{
				"name": r.Name, "path": r.Path, "remote": "primary", "remote_path": r.RemotePath, "interval": r.Interval, "exclude": r.Exclude,
			}},
		}}
	})
}

// stillThere holds that the bucket has all that it should have, now.
func (d *drill) stillThere() {
	d.t.Helper()
	d.stillReadable(d.want)
}

// TestDrill does to a workspace what people do by mistake: no deletion is
// published, no local file is lost, and a sentence says what happened.
func TestDrill(t *testing.T) {
	t.Parallel()
	for name, drill := range sample.Cases(t, 12, drills) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDrill(t, drill.prepare)
			drill.do(d)
			d.finish()
			log, err := os.ReadFile(filepath.Join(d.a.dir, ".devcontainer/logs/coltecd.log"))
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			for _, sentence := range drill.says {
				if !strings.Contains(d.said, sentence) && !strings.Contains(string(log), sentence) {
					t.Errorf("nobody says %q:\n%s\n%s", sentence, d.said, log)
				}
			}
			t.Logf("said: %s\n", d.said)
		})
	}
}

// finish goes on with the spec as it was, and holds that both machines have
// everything, and that nothing lies aside.
func (d *drill) finish() {
	d.t.Helper()
	if _, running := d.a.instance(); running {
		d.a.await("all is well again", func(doc status.Document) bool {
			return replicaIn(d.t, doc, "workspace").State == status.ReplicaSynced
		})
		d.a.sync()
		sameTree(d.t, d.want, d.tree(d.a))
		d.a.stop()
	} else {
		d.a.once()
		sameTree(d.t, d.want, d.tree(d.a))
	}
	d.stillThere()
	d.b.once()
	sameTree(d.t, d.want, d.tree(d.b))
	d.a.once()
	sameTree(d.t, d.want, d.tree(d.a))
	for _, m := range []*machine{d.a, d.b} {
		if aside := kept(d.t, m.path("data"), "conflicts"); len(aside) > 0 {
			d.t.Errorf("%s: conflicts: %q", m.name, aside)
		}
	}
}
