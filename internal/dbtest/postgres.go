// Package dbtest runs real database servers for tests: it starts them on directories, puts
// load on them, and judges what came of a directory elsewhere.
//
//	p := dbtest.NewPostgres(t, dir) // initdb; nothing runs yet
//	p.Start()
//	p.Fill(1)                       // pgbench -i
//	load := p.Load(4)               // pgbench, until load.Stop()
//	…
//	load.Stop()
//	p.Stop()
//	want := …                       // p.Sums() before the stop
//	q := dbtest.OpenPostgres(t, restored)
//	got, err := q.Judge()           // starts it, pg_amcheck, sums over all rows, stops it
package dbtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Nobody is who servers run as where the tests run as root: PostgreSQL refuses to be root.
const Nobody = 65534

// patience bounds every wait for a server.
const patience = 2 * time.Minute

// database is what pgbench works in, and superuser who owns it.
const (
	database  = "bench"
	superuser = "bench"
)

// Postgres is a data directory of PostgreSQL, and the server on it while it runs. It listens
// on a unix socket alone. What runs ends with the test.
type Postgres struct {
	Dir    string // the data directory
	Socket string // directory of the socket; short, and outside of Dir
	UID    int    // whom the server runs as

	t   testing.TB
	bin string // where PostgreSQL's programs are
}

// settings of a server for tests: little memory, and work that comes soon. What is written is
// not flushed to the disk, because what ends here is a server and never the machine.
const settings = `
listen_addresses = ''
max_connections = 30
shared_buffers = 16MB
fsync = off
wal_level = replica
min_wal_size = 32MB
max_wal_size = 64MB
checkpoint_timeout = 30s
autovacuum_naptime = 5s
`

// NewPostgres makes a data directory. Nothing runs on it yet. dir is made by it, and all above
// it has to be open to UID.
func NewPostgres(t testing.TB, dir string) *Postgres {
	t.Helper()
	p := OpenPostgres(t, dir)
	if err := errors.Join(os.MkdirAll(filepath.Dir(dir), 0o755), os.MkdirAll(dir, 0o700), os.Chown(dir, p.UID, p.UID)); err != nil {
		t.Fatal(err)
	}
	p.must("initdb", "-D", dir, "-U", superuser, "-A", "trust", "--no-locale", "-E", "UTF8", "--no-sync", "--no-instructions")
	f, err := os.OpenFile(filepath.Join(dir, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(settings)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// OpenPostgres takes a data directory that is there, or is to be made. It changes nothing of
// it.
func OpenPostgres(t testing.TB, dir string) *Postgres {
	t.Helper()
	p := &Postgres{Dir: dir, UID: os.Getuid(), t: t, bin: binaries(t)}
	if p.UID == 0 {
		p.UID = Nobody
	}
	socket, err := os.MkdirTemp("/tmp", "pg-") // short: a socket goes in
	if err == nil {
		err = errors.Join(os.Chown(socket, p.UID, p.UID), os.Chmod(socket, 0o700))
	}
	if err != nil {
		t.Fatal(err)
	}
	p.Socket = socket
	t.Cleanup(func() {
		if p.Running() {
			p.Kill()
		}
		_ = os.RemoveAll(socket)
	})
	return p
}

// binaries is where PostgreSQL's programs are: on Debian not in PATH.
func binaries(t testing.TB) string {
	t.Helper()
	places, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench")
	if len(places) == 0 {
		path, err := exec.LookPath("pgbench")
		if err != nil {
			t.Fatal("PostgreSQL is not installed: apt-get install postgresql postgresql-contrib")
		}
		if places = []string{path}; len(places) > 0 {
			if real, err := filepath.EvalSymlinks(path); err == nil {
				places[0] = real
			}
		}
	}
	return filepath.Dir(slices.Max(places))
}

// Argv is the server itself, for who supervises it: it stays in the foreground. INT stops it
// with its clients, TERM waits for them.
func (p *Postgres) Argv() []string {
	return []string{filepath.Join(p.bin, "postgres"), "-D", p.Dir, "-k", p.Socket}
}

// IsReady is a command that ends with 0 when the server takes connections.
func (p *Postgres) IsReady() []string {
	return []string{filepath.Join(p.bin, "pg_isready"), "-q", "-h", p.Socket}
}

// Start starts the server, and returns when it takes connections.
func (p *Postgres) Start() {
	p.t.Helper()
	if err := p.start(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *Postgres) start() error {
	out := filepath.Join(p.Socket, "log")
	err := p.run("pg_ctl", "start", "-D", p.Dir, "-w", "-t", "120", "-s", "-l", out, "-o", "-k "+p.Socket)
	if err != nil {
		said, _ := os.ReadFile(out)
		return fmt.Errorf("%w\n%s", err, tail(said))
	}
	return nil
}

// Stop stops the server in order, and its clients with it.
func (p *Postgres) Stop() {
	p.t.Helper()
	p.must("pg_ctl", "stop", "-D", p.Dir, "-w", "-t", "120", "-s", "-m", "fast")
}

// Kill kills the server and all its processes with KILL, as the kernel does where there is no
// memory, and returns when they are gone. Its postmaster.pid stays.
func (p *Postgres) Kill() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	killed := map[int]bool{}
	for {
		pids := p.Processes()
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			killed[pid] = true
		}
		for pid := range killed { // one that nobody has waited for is there to PostgreSQL
			if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err != nil {
				delete(killed, pid)
			}
		}
		if len(pids)+len(killed) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.t.Fatalf("processes %v of %s survive KILL", pids, p.Dir)
		}
	}
}

// Running reports whether a process of the server is there.
func (p *Postgres) Running() bool { return len(p.Processes()) > 0 }

// Processes are those of the server: they have the data directory as theirs.
func (p *Postgres) Processes() (pids []int) {
	real, err := filepath.EvalSymlinks(p.Dir)
	if err != nil {
		return nil
	}
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range all {
		if cwd, err := os.Readlink(proc + "/cwd"); err == nil && cwd == real {
			if pid, err := strconv.Atoi(filepath.Base(proc)); err == nil && pid != os.Getpid() {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// Postmaster is the pid in postmaster.pid; 0 where there is none.
func (p *Postgres) Postmaster() int {
	b, err := os.ReadFile(filepath.Join(p.Dir, "postmaster.pid"))
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	pid, _ := strconv.Atoi(line)
	return pid
}

// command is a program of PostgreSQL, as whom the server runs.
func (p *Postgres) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, program), args...)
	cmd.Dir = p.Socket
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.Socket, "LC_ALL=C", "PGHOST=" + p.Socket, "PGUSER=" + superuser}
	if p.UID != os.Getuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(p.UID), Gid: uint32(p.UID)}}
	}
	return cmd
}

// run runs a program to its end. What it says goes into a file: a server that it starts has
// the same output, and a pipe would not end.
func (p *Postgres) run(program string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	said, err := os.CreateTemp(p.Socket, program+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(said.Name())
	defer said.Close()
	cmd := p.command(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Run(); err != nil {
		words, _ := os.ReadFile(said.Name())
		return fmt.Errorf("%s %q: %w\n%s", program, args, err, tail(words))
	}
	return nil
}

func (p *Postgres) must(program string, args ...string) {
	p.t.Helper()
	if err := p.run(program, args...); err != nil {
		p.t.Fatal(err)
	}
}

// tail is the end of what a program said.
func tail(said []byte) []byte { return said[max(0, len(said)-4<<10):] }

// Query runs SQL in the database of pgbench, and gives the rows, their columns parted by "|".
func (p *Postgres) Query(sql string) (string, error) { return p.query(database, sql) }

func (p *Postgres) query(database, sql string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, said bytes.Buffer
	cmd := p.command(ctx, "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("psql %q: %w\n%s", sql, err, tail(said.Bytes()))
	}
	return strings.TrimSpace(out.String()), nil
}

// Fill makes pgbench's tables: 100,000 accounts, about 15 MB, for each unit of scale.
func (p *Postgres) Fill(scale int) {
	p.t.Helper()
	if _, err := p.query("postgres", "create database "+database); err != nil {
		p.t.Fatal(err)
	}
	p.must("pgbench", "-i", "-q", "-s", strconv.Itoa(scale), database)
	if _, err := p.Query("create extension amcheck"); err != nil {
		p.t.Fatal(err)
	}
}

// Load is pgbench at work.
type Load struct {
	cmd  *exec.Cmd
	said bytes.Buffer
	done chan error
}

// Load has so many clients work until it is stopped.
func (p *Postgres) Load(clients int) *Load {
	p.t.Helper()
	n := strconv.Itoa(clients)
	l := &Load{cmd: p.command(context.Background(), "pgbench", "-n", "-c", n, "-T", "3600", database), done: make(chan error, 1)}
	l.cmd.Stdout, l.cmd.Stderr = &l.said, &l.said
	if err := l.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() { l.done <- l.cmd.Wait() }()
	p.t.Cleanup(l.Stop)
	return l
}

// Stop ends the load, and returns when its clients are gone. It may be called twice.
func (l *Load) Stop() {
	_ = l.cmd.Process.Signal(syscall.SIGTERM)
	err := <-l.done
	l.done <- err
}

// Transactions waits until so many have been made in all.
func (p *Postgres) Transactions(n int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := p.Query("select count(*) from pgbench_history")
		if made, _ := strconv.Atoi(got); err == nil && made >= n {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.t.Fatalf("%s of %d transactions, %v", got, n, err)
		}
	}
}
