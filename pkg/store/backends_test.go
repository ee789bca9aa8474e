package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/rclone"
)

// backend is a remote beside S3, with the layouts that it carries whole. WebDAV
// and SFTP keep whole seconds and no modes, so that a mirror on them is not
// exact; a snapshot is, for it asks nothing of a store but bytes and names of
// its own choice.
type backend struct {
	layouts []string
	open    func(t testing.TB) *rclone.Remote
}

var backends = map[string]backend{
	"local":  {[]string{"snapshot", "mirror"}, localRemote},
	"crypt":  {[]string{"snapshot", "mirror"}, cryptRemote},
	"sealed": {[]string{"snapshot", "mirror"}, sealedRemote},
	"webdav": {[]string{"snapshot"}, webdavRemote},
	"sftp":   {[]string{"snapshot"}, sftpRemote},
}

// sampled are the parts of the suite that are tried on these in every run of the tests:
// each layout on each back end by one of them, in turn from a place that chance says.
// Where the whole is asked for each by all, and `make test-backends` (COLTEC_BACKENDS)
// holds them to the whole suite.
var sampled = []string{"TestConformNames", "TestConformNextTree", "TestConformFetchIntoLeftovers"}

// turn is where the turns begin: the same for all tests of a run.
var turn struct {
	sync.Once
	seed uint64
}

// row is a layout on a back end.
type row struct{ store, layout string }

// allBackends reports whether each back end is held to the whole suite.
func allBackends() bool { return os.Getenv("COLTEC_BACKENDS") != "" }

// rowsOf are those that this run tries with a test of the suite.
func rowsOf(t *testing.T) []row {
	t.Helper()
	var all []row
	for _, name := range slices.Sorted(maps.Keys(backends)) {
		for _, layout := range backends[name].layouts {
			all = append(all, row{name, layout})
		}
	}
	if allBackends() {
		return all
	}
	at := slices.Index(sampled, t.Name())
	if at < 0 || testing.Short() {
		return nil
	}
	if sample.Size(1, 2) == 2 {
		return all
	}
	turn.Do(func() { turn.seed = sample.Seed(t) })
	return inTurn(all, at, turn.seed)
}

// inTurn are the rows that come to the part of the suite at an index of sampled.
func inTurn(all []row, at int, seed uint64) []row {
	var some []row
	for i, r := range all {
		if (uint64(i)+seed)%uint64(len(sampled)) == uint64(at) {
			some = append(some, r)
		}
	}
	return some
}

// Each back end is tried with each of its layouts in every run, and with every part of
// the sample in some.
func TestRowsInTurn(t *testing.T) {
	all := []row{{"a", "snapshot"}, {"a", "mirror"}, {"b", "snapshot"}, {"c", "snapshot"}}
	ever := map[string]bool{}
	for seed := range uint64(len(sampled)) {
		var tried []row
		for at, part := range sampled {
			for _, r := range inTurn(all, at, seed) {
				tried = append(tried, r)
				ever[fmt.Sprint(part, r)] = true
			}
		}
		slices.SortFunc(tried, func(a, b row) int { return slices.Index(all, a) - slices.Index(all, b) })
		if !slices.Equal(tried, all) {
			t.Errorf("seed %d tries %v", seed, tried)
		}
	}
	if want := len(all) * len(sampled); len(ever) != want {
		t.Errorf("%d of %d are ever tried", len(ever), want)
	}
}

// asked is the tests' rclone, asked for its version once.
var asked = sync.OnceValues(func() (rclone.Binary, error) {
	path, err := s3test.Rclone()
	if err != nil {
		return rclone.Binary{}, err
	}
	return rclone.Check(context.Background(), path)
})

// sealedRemote is a bucket under SSE-KMS: its ETags look like MD5s, and are none.
func sealedRemote(t testing.TB) *rclone.Remote {
	t.Helper()
	server := s3test.Start(t)
	proxy := server.Proxy(t)
	proxy.Inject(s3test.Fault{Seal: s3test.SealedBy(http.Header{"X-Amz-Server-Side-Encryption": {"aws:kms"}})})
	return remoteOn(t, rclone.Root("primary", server.Bucket, ""),
		rclone.Backend{Name: "primary", Type: "s3", Options: server.Options(proxy.Endpoint)})
}

// remoteOn joins the real rclone and back ends.
func remoteOn(t testing.TB, root string, backends ...rclone.Backend) *rclone.Remote {
	t.Helper()
	sample.Long(t)
	bin, err := asked()
	if err != nil {
		t.Fatal(err)
	}
	o := rclone.Options{ConnectTimeout: time.Minute, IdleTimeout: 3 * time.Minute} // a busy machine is no store that hangs
	if backends[0].Type == "webdav" {
		o.Transfers = 1 // rclone's own server locks a directory that two uploads make; the engine tries again
	}
	r, err := rclone.NewRemote(bin, backends, root, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func localRemote(t testing.TB) *rclone.Remote {
	return remoteOn(t, rclone.Root("disk", t.TempDir()), rclone.Backend{Name: "disk", Type: "local"})
}

// cryptRemote encrypts contents and names on an S3 server.
func cryptRemote(t testing.TB) *rclone.Remote {
	server := s3test.Start(t)
	return remoteOn(t, rclone.Root("sealed", ""),
		rclone.Backend{Name: "primary", Type: "s3", Options: server.Options(server.Endpoint)},
		rclone.Backend{
			Name: "sealed", Type: "crypt",
			Options: map[string]string{
				"remote": rclone.Root("primary", server.Bucket, "sealed"), "filename_encryption": "standard", "directory_name_encryption": "true",
			},
			Passwords: map[string]string{"password": "a long password", "password2": "salt"},
		})
}

func webdavRemote(t testing.TB) *rclone.Remote {
	address := serve(t, "webdav", regexp.MustCompile(`WebDav Server started on \[http://([0-9.:]+)/\]`))
	return remoteOn(t, rclone.Root("dav", ""), rclone.Backend{
		Name: "dav", Type: "webdav", Options: map[string]string{"url": "http://" + address, "vendor": "rclone", "user": "u"},
		Passwords: map[string]string{"pass": "p"},
	})
}

func sftpRemote(t testing.TB) *rclone.Remote {
	address := serve(t, "sftp", regexp.MustCompile(`SFTP server listening on 127.0.0.1:([0-9]+)`))
	return remoteOn(t, rclone.Root("sftp", ""), rclone.Backend{
		Name: "sftp", Type: "sftp", Options: map[string]string{"host": "127.0.0.1", "port": address, "user": "u", "shell_type": "none"},
		Passwords: map[string]string{"pass": "p"},
	})
}

// serve runs a server of rclone's over an empty directory until the test ends,
// and returns the address that it says it listens at.
func serve(t testing.TB, protocol string, listening *regexp.Regexp) string {
	t.Helper()
	sample.Long(t)
	path, err := s3test.Rclone()
	if err != nil {
		t.Fatal(err)
	}
	dir, home := t.TempDir(), t.TempDir()
	cmd := exec.Command(path, "serve", protocol, dir, "--addr", "127.0.0.1:0", "--user", "u", "--pass", "p", "-v", "--dir-cache-time", "0s")
	cmd.Env = []string{"RCLONE_CONFIG=notfound", "HOME=" + home, "XDG_CACHE_HOME=" + home}
	talk, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
	})
	found := make(chan string, 1)
	said := ""
	go func() {
		for lines := bufio.NewScanner(talk); lines.Scan(); {
			said += lines.Text() + "\n"
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				found <- m[1]
				break
			}
		}
		close(found)
		_, _ = io.Copy(io.Discard, talk)
	}()
	select {
	case address := <-found:
		if address == "" {
			t.Fatalf("rclone serve %s ended: %s", protocol, said)
		}
		return address
	case <-time.After(time.Minute):
		t.Fatalf("rclone serve %s says no address", protocol)
	}
	return ""
}

// racers is how many want one lease at once.
const racers = 6

// Many want one lease at the same moment, on a real server: one has it, and
// each other is told who that is.
func TestLeaseRacesOnServer(t *testing.T) {
	r := serverRemote(t)
	for round := range sample.Size(2, 8) {
		root := r.At(fmt.Sprint("round", round))
		leases := make([]*Lease, racers)
		errs := make([]error, racers)
		for i := range leases {
			leases[i] = NewLease(root, LeaseOptions{Workspace: workspace, TTL: time.Minute, Self: Holder{Host: fmt.Sprint("host", i), Instance: NewID()}})
		}
		begin := make(chan struct{})
		var all sync.WaitGroup
		for i := range leases {
			all.Go(func() {
				<-begin
				errs[i] = leases[i].Acquire(t.Context())
			})
		}
		close(begin)
		all.Wait()
		winner := -1
		for i, l := range leases {
			if !l.Holds() {
				continue
			}
			if winner >= 0 {
				t.Fatalf("round %d: host%d and host%d both hold it", round, winner, i)
			}
			winner = i
		}
		if winner < 0 {
			t.Fatalf("round %d: nobody holds it: %v", round, errors.Join(errs...))
		}
		for i, err := range errs {
			var other *HeldByOther
			if i != winner && (!errors.As(err, &other) || other.Holder.Host != fmt.Sprint("host", winner) || other.Holder.Since.IsZero()) {
				t.Errorf("round %d: host%d is told %v, and the winner is host%d", round, i, err, winner)
			}
		}
	}
}

// A lease runs out by the store's own clock: at the head's Last-Modified plus
// the ttl, whatever the clocks of those who want it say. `rclone serve s3` tells
// the time at which it was written too, for what has no time of its own.
func TestLeaseExpiryOnServer(t *testing.T) {
	r := serverRemote(t)
	open := func(host string, ttl time.Duration, ahead time.Duration) *Lease {
		l := NewLease(r, LeaseOptions{
			Workspace: workspace, TTL: ttl, Self: Holder{Host: host, Instance: NewID()},
			Clock: Clock{Now: func() time.Time { return time.Now().Add(ahead) }},
		})
		return l
	}
	a := open("a", 2*time.Second, -time.Hour)
	began := time.Now() // before it is written: what is held is that it is not taken earlier than its ttl after that
	wantErr(t, a.Acquire(t.Context()), nil)
	b := open("b", time.Minute, time.Hour)
	for {
		err := b.Acquire(t.Context())
		if err == nil {
			break
		}
		var other *HeldByOther
		if !errors.As(err, &other) || other.Holder.Host != "a" || time.Since(began) > time.Minute {
			t.Fatalf("after %s: %v", time.Since(began), err)
		}
		if age := time.Since(other.LastSeen); age < -2*time.Second || age > time.Minute {
			t.Fatalf("last seen %s ago: that is not the store's clock", age)
		}
		select {
		case <-time.After(other.Free): // what it was told to wait
		case <-t.Context().Done():
		}
	}
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("it was taken after %s, before the ttl", took)
	}
	wantErr(t, a.Renew(t.Context()), ErrFenced)
}
