package rclone

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/hint"
)

// fake writes a script that stands for rclone where the real one would not
// fail as asked.
func fake(t testing.TB, script string) Binary {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rclone")
	// Written under another name and renamed: a child that some other test forks
	// meanwhile must not hold it open for writing (ETXTBSY).
	if err := os.WriteFile(path+".new", []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return Binary{Path: path, Version: Version{1, 76, 0}}
}

// stored is what the log of a real rclone tells of a store that took a body.
func stored(body string) string {
	return fmt.Sprintf(`printf '%%s\n' '{"level":"debug","object":"S3 SDK","msg":"Response\nHTTP/1.1 200 OK\r\nETag: \"%s\"\r\n\r\n"}' >&2; `, ETag([]byte(body)))
}

// fakeRemote is a remote on a script.
func fakeRemote(t testing.TB, script string, opts Options) *Remote {
	t.Helper()
	backend := Backend{Name: "p", Type: "s3", Options: map[string]string{"secret_access_key": "verysecret"}}
	r, err := NewRemote(fake(t, script), []Backend{backend}, "p:b", opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestFaults(t *testing.T) {
	stats := func(transfers int) string {
		return fmt.Sprintf(`echo '{"level":"notice","msg":"x","stats":{"transfers":%d,"bytes":3}}' >&2;`, transfers)
	}
	upload := func(r *Remote) error {
		_, err := r.Upload(context.Background(), "/nowhere", []string{"a"}, nil)
		return err
	}
	list := func(r *Remote) error {
		_, err := r.List(context.Background(), "")
		return err
	}
	tests := map[string]struct {
		script string
		do     func(*Remote) error
		want   string
		class  Class
	}{
		"garbage for a log": {
			`echo '{"level":'>&2; echo 'panic: oops' >&2; exit 2`, upload,
			`cannot upload "/nowhere": the remote is not set up right: panic: oops`, Config,
		},
		"no word at all": {
			`exit 1`, upload, `cannot upload "/nowhere": rclone failed: exit status 1`, Unclassified,
		},
		"killed": {
			`kill -9 $$`, upload, `cannot upload "/nowhere": rclone failed: signal: killed`, Unclassified,
		},
		"the gravest line wins": {
			`echo '{"level":"error","msg":"object not found","object":"a"}' >&2
			echo '{"level":"error","msg":"StatusCode: 403, api error AccessDenied: no","object":"b"}' >&2
			echo '{"level":"error","msg":"Attempt 1/1 failed"}' >&2; exit 1`, upload,
			`cannot upload "/nowhere": the store refuses the credentials: StatusCode: 403, api error AccessDenied: no ("b")`, Unauthorized,
		},
		"a full disk": {
			`echo '{"level":"error","msg":"Failed to copy: write /x/a: no space left on device","object":"a"}' >&2; exit 1`, upload,
			`cannot upload "/nowhere": the disk of this machine is full: Failed to copy: write /x/a: no space left on device ("a")`, LocalDiskFull,
		},
		"a secret in its words": {
			`echo '{"level":"error","msg":"key verysecret is bad"}' >&2; exit 1`, upload,
			`cannot upload "/nowhere": rclone failed: key ******** is bad`, Unclassified,
		},
		"a vanished file, exit 0": {
			stats(0), upload, `cannot upload "/nowhere": a local file changed or vanished meanwhile: 0 of 1 files were sent ("a")`, LocalChanged,
		},
		"no statistics, exit 0": {
			`exit 0`, upload, `cannot upload "/nowhere": a local file changed or vanished meanwhile: 0 of 1 files were sent ("a")`, LocalChanged,
		},
		"all is well": {stats(1) + stored("x"), upload, "", Unclassified},
		"garbage for rows": {
			`echo hello`, list, `cannot list "p:b": rclone failed: rclone printed no row: "hello"`, Unclassified,
		},
		"a row cut short": {
			`printf '12,,"ab'`, list, `cannot list "p:b": rclone failed: rclone printed no row: the last one is cut short`, Unclassified,
		},
		"rows cut short by an error": {
			`printf '12,,"ab'; echo '{"level":"error","msg":"StatusCode: 503, api error SlowDown: no"}' >&2; exit 1`, list,
			`cannot list "p:b": the store asks for fewer requests: StatusCode: 503, api error SlowDown: no`, Throttled,
		},
		"a line without end": {
			`head -c 3000000 /dev/zero >&2; exit 1`, upload, `cannot upload "/nowhere": rclone failed: exit status 1`, Unclassified,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := tt.do(fakeRemote(t, tt.script, Options{}))
			got := ""
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if err != nil && ClassOf(err) != tt.class {
				t.Errorf("class %s, want %s", ClassOf(err), tt.class)
			}
		})
	}
}

func TestNoBinary(t *testing.T) {
	r := fakeRemote(t, "", Options{})
	r.bin.Path += ".gone"
	err := r.PutIf(t.Context(), "k", nil, Cond{})
	if ClassOf(err) != Config || !errors.Is(err, os.ErrNotExist) || len(hint.Of(err)) == 0 {
		t.Errorf("%v, class %s, hints %q", err, ClassOf(err), hint.Of(err))
	}
}

// A grandchild that ignores TERM and holds the pipes goes with the group.
func TestCancelLeavesNothing(t *testing.T) {
	sample.Long(t)
	pids := filepath.Join(t.TempDir(), "pids")
	if err := syscall.Mkfifo(pids, 0o600); err != nil {
		t.Fatal(err)
	}
	r := fakeRemote(t, `trap '' TERM; sh -c 'trap "" TERM; echo $$ > `+pids+`; sleep 1000' & sleep 1000 & wait; wait`, Options{})
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.PutIf(ctx, "k", nil, Cond{}) }()
	text, err := os.ReadFile(pids) // waits for the grandchild
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("the lease is gone")
	start := time.Now()
	cancel(why)
	err = <-done
	if !errors.Is(err, why) || ClassOf(err) != Canceled {
		t.Errorf("got %v", err)
	}
	if want := `cannot put "k": stopped: the lease is gone`; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if took := time.Since(start); took > killAfter+30*time.Second {
		t.Errorf("took %s", took)
	}
	for deadline := time.Now().Add(time.Minute); alive(pid); {
		if time.Now().After(deadline) {
			t.Fatalf("the grandchild %d lives", pid)
		}
		<-time.After(5 * time.Millisecond) // an orphan is reaped by init, which tells nobody
	}
}

// alive reports whether a process runs; a zombie does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}

// What rclone left running with its pipes open delays no success.
func TestLeftoverHoldsThePipe(t *testing.T) {
	sample.Long(t)
	r := fakeRemote(t, stored("")+`sleep 1000 & exit 0`, Options{})
	if err := r.PutIf(t.Context(), "k", nil, Cond{}); err != nil {
		t.Error(err)
	}
}

func TestLimiters(t *testing.T) {
	bulk := NewLimiter(1)
	r := fakeRemote(t, stored(""), Options{Bulk: bulk})
	bulk <- struct{}{} // a big upload is under way
	if err := r.PutIf(t.Context(), "k", nil, Cond{}); err != nil {
		t.Errorf("a lease cannot be renewed meanwhile: %v", err)
	}
	why := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Millisecond, why)
	defer cancel()
	if err := r.Delete(ctx, []string{"k"}); !errors.Is(err, why) || ClassOf(err) != Canceled {
		t.Errorf("a second bulk run: %v", err)
	}
	bulk.leave()
	if err := r.Delete(t.Context(), []string{"k"}); err != nil {
		t.Error(err)
	}
}

// However many are asked for at once, by however many remotes of a workspace, two
// rclones run, and one of those that take long.
func TestTwoAtATime(t *testing.T) {
	sample.Long(t)
	dir := t.TempDir()
	// Each looks who else is there while it runs.
	script := stored("") + `mkdir ` + dir + `/$$-$1; ls ` + dir + ` | grep -c -- - >>` + dir + `/all; ls ` + dir + ` | grep -c -- -delete >>` + dir + `/bulk
sleep 0.05; rmdir ` + dir + `/$$-$1`
	r := fakeRemote(t, script, Options{})
	other := r.At("other").With(9, 9, "1M")
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() { _ = r.PutIf(t.Context(), "k", nil, Cond{}) })
		all.Go(func() { _ = r.Delete(t.Context(), []string{"k"}) })
		all.Go(func() { _ = other.Delete(t.Context(), []string{"k"}) })
	}
	all.Wait()
	for file, most := range map[string]string{"all": "2", "bulk": "1"} {
		seen, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || len(strings.Fields(string(seen))) != 18 {
			t.Fatalf("%q %v", seen, err)
		}
		if got := slices.Max(strings.Fields(string(seen))); got != most {
			t.Errorf("%s: %s at once, want %s", file, got, most)
		}
	}
}

// Input is whole before the child begins, and an empty list runs nothing.
func TestInput(t *testing.T) {
	r := fakeRemote(t, `echo "an empty list ran" >&2; exit 1`, Options{})
	if err := r.Delete(t.Context(), nil); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := r.Upload(t.Context(), "/", nil, nil); err != nil {
		t.Errorf("upload: %v", err)
	}
	if _, err := r.Download(t.Context(), nil, "/", nil); err != nil {
		t.Errorf("download: %v", err)
	}
	if _, err := r.Move(t.Context(), nil, "x"); err != nil {
		t.Errorf("move: %v", err)
	}
	if _, err := r.StatAll(t.Context(), nil); err != nil {
		t.Errorf("stat: %v", err)
	}
	for _, key := range []string{"", "/a", "a/../b", "a\x00b"} {
		if err := r.Delete(t.Context(), []string{"good", key}); ClassOf(err) != Config || strings.Contains(err.Error(), "ran") {
			t.Errorf("delete %q: %v", key, err)
		}
	}
	// The child sees a file of the right size at its first look.
	r = fakeRemote(t, stored("12345")+`test "$(stat -L -c %s /dev/stdin)" = 5 || exit 9`, Options{})
	if err := r.PutIf(t.Context(), "k", []byte("12345"), Cond{}); err != nil {
		t.Error(err)
	}
}

func TestNamesAreLines(t *testing.T) {
	if list, err := keyList("x", "", []string{"a", "#b", "a", "c\nd"}); err != nil || string(list) != "a\n#b\nc␊d\n" {
		t.Errorf("%q %v", list, err)
	}
}

func TestExtraEnvironment(t *testing.T) {
	r := fakeRemote(t, stored("")+`test "$MARKER" = here || exit 9`, Options{Extra: []string{"MARKER=here"}})
	if err := r.PutIf(t.Context(), "k", nil, Cond{}); err != nil {
		t.Error(err)
	}
}

// What rclone said of the directory that it was handed named a descriptor of its own.
func TestNameOfTheHandedDirectory(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	j := job{op: "download"}
	defer func() { j.dir.Close() }()
	name, err := j.hand(anchor.At(f))
	if err != nil || name != handedDir {
		t.Fatalf("%q, %v", name, err)
	}
	if got := j.told("write " + name + "/in/0: no space left on device"); got != "write "+dir+"/in/0: no space left on device" {
		t.Error(got)
	}
	if got := (&job{}).told("as it is"); got != "as it is" {
		t.Error(got)
	}
}
