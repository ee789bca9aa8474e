package livestore

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/dbtest"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/localfs"
)

// asOther has the test binary say how it sees a data directory: TREE, a newline, PATH, a
// newline, KIND. It runs where other processes have other numbers, or cannot be seen.
const asOther = "LIVESTORE_TEST_OTHER"

func TestMain(m *testing.M) {
	if job := os.Getenv(asOther); job != "" {
		f := strings.Split(job, "\n")
		root, err := localfs.OpenRoot(f[0], "", 0)
		if err != nil {
			panic(err)
		}
		use := UseOf(root, f[0], f[1], Kind(f[2]), &Programs{})
		fmt.Printf("%v %d %v\n", use.Open, use.PID, use.Left != "")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// elsewhere is how another container on the same files sees a data directory.
func elsewhere(t *testing.T, tree, path string, kind Kind) string {
	t.Helper()
	args := []string{"--pid", "--fork", "--mount-proc"}
	if os.Getuid() != 0 {
		args = append(args, "--user", "--map-root-user")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", append(args, exe)...)
	cmd.Env = append(os.Environ(), asOther+"="+tree+"\n"+path+"\n"+string(kind))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// grow makes files in a directory: "name: content", or "name/" for a directory.
func grow(t *testing.T, dir string, files ...string) {
	t.Helper()
	for _, f := range files {
		name, content, _ := strings.Cut(f, ": ")
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o755)
		} else if err == nil {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func openTree(t *testing.T, dir string) *localfs.Root {
	t.Helper()
	root, err := localfs.OpenRoot(dir, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(root.Close)
	return root
}

// A data directory is told by what lies in it, at the root of a tree too; what only has a
// name in common with one is none.
func TestFind(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files []string
		want  Kind
	}{
		"postgres":                       {[]string{"PG_VERSION: 15\n", "global/pg_control: x", "pg_wal/"}, PostgreSQL},
		"an old postgres":                {[]string{"PG_VERSION: 9.6\n", "global/", "pg_xlog/"}, PostgreSQL},
		"a database in postgres":         {[]string{"PG_VERSION: 15\n", "1255: x"}, ""},
		"a source tree":                  {[]string{"PG_VERSION: 15\n", "src/", "global/"}, ""},
		"mysql":                          {[]string{"ibdata1: x", "mysql.ibd: x", "auto.cnf: x", "#innodb_redo/"}, MySQL},
		"mariadb":                        {[]string{"ibdata1: x", "mysql/", "aria_log_control: x", "ib_logfile0: x"}, MySQL},
		"mysql whose tablespace is else": {[]string{"mysql.ibd: x", "auto.cnf: x"}, MySQL},
		"a table that was exported":      {[]string{"mysql.ibd: x"}, ""},
		"leveldb":                        {[]string{"CURRENT: MANIFEST-000004\n", "MANIFEST-000004: x", "LOCK: "}, LevelDB},
		"rocksdb":                        {[]string{"CURRENT: MANIFEST-000004\n", "MANIFEST-000004: x", "LOCK: ", "IDENTITY: x"}, RocksDB},
		"another manifest":               {[]string{"CURRENT: MANIFEST-000004\n", "MANIFEST-000005: x"}, ""},
		"a release":                      {[]string{"CURRENT: v1.2.3\n", "MANIFEST: x"}, ""},
		"a manifest elsewhere":           {[]string{"CURRENT: MANIFEST-../../000004\n", "MANIFEST-000004: x"}, ""},
		"nothing":                        {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			grow(t, dir, c.files...)
			grow(t, filepath.Join(dir, "be/low"), c.files...)
			root := openTree(t, dir)
			for _, at := range []string{"", "be/low"} {
				if got := Find(root, at); got != c.want {
					t.Errorf("at %q: %q, want %q", at, got, c.want)
				}
			}
			if err := os.Symlink("be/low", filepath.Join(dir, "link")); err != nil {
				t.Fatal(err)
			}
			if got := Find(root, "link"); got != "" {
				t.Errorf("through a link: %q", got)
			}
		})
	}
}

// What belongs to a data directory and lies elsewhere in the tree is named; what lies outside of
// it, or leads nowhere, is not.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	outside := t.TempDir()
	grow(t, dir, "pg/PG_VERSION: 15\n", "pg/global/", "pg/pg_tblspc/", "wal/", "space/one/", "pg/within/")
	for name, to := range map[string]string{
		"pg/pg_wal": dir + "/wal", "pg/pg_tblspc/1": dir + "/space/one", "pg/pg_tblspc/2": outside,
		"pg/pg_tblspc/3": dir + "/pg/within", "pg/pg_tblspc/4": dir + "/nowhere", "pg/pg_tblspc/5": "../../space",
	} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	root := openTree(t, dir)
	if got := Find(root, "pg"); got != PostgreSQL {
		t.Errorf("it is %q", got)
	}
	got := Elsewhere(t.Context(), root, dir, "pg", PostgreSQL)
	slices.Sort(got)
	if want := []string{"space/one", "wal"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := Elsewhere(t.Context(), root, dir, "pg", LevelDB); got != nil {
		t.Errorf("of another kind: %q", got)
	}
}

// A real PostgreSQL is seen while it runs, also without its lock file and with that of
// another process; after a kill and after a stop it is not.
func TestUseOfPostgres(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	top, err := os.MkdirTemp("/tmp", "livestore-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	if err := os.Chmod(top, 0o755); err != nil {
		t.Fatal(err)
	}
	p := dbtest.NewPostgres(t, filepath.Join(top, "pg"))
	root := openTree(t, top)
	use := func() Use { return UseOf(root, top, "pg", PostgreSQL, &Programs{}) }
	if got := Find(root, "pg"); got != PostgreSQL {
		t.Errorf("it is %q", got)
	}
	if got := use(); got != (Use{}) {
		t.Errorf("nothing runs: %+v", got)
	}
	p.Start()
	running := Use{Open: true, PID: p.Postmaster()}
	if got := use(); got != running {
		t.Errorf("it runs: %+v, want %+v", got, running)
	}
	if got := elsewhere(t, top, "pg", PostgreSQL); got != "false 0 true" {
		t.Errorf("another container, which cannot see it, says %q", got)
	}
	lock := filepath.Join(p.Dir, "postmaster.pid")
	was, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	for what, do := range map[string]func() error{
		"without its lock file": func() error { return os.Remove(lock) },
		"of another process": func() error {
			return os.WriteFile(lock, []byte(fmt.Sprintf("%d\n%s\n", os.Getpid(), p.Dir)), 0o644)
		},
		"of nobody": func() error { return os.WriteFile(lock, []byte("4194303\n"), 0o644) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
		if got := use(); !got.Open {
			t.Errorf("it runs, with a lock file %s: %+v", what, got)
		}
	}
	if err := os.WriteFile(lock, was, 0o600); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	if got := use(); got.Open || got.Left == "" {
		t.Errorf("it was killed: %+v", got)
	}
	if err := errors.Join(os.Remove(lock), os.WriteFile(lock, []byte(fmt.Sprintf("%d\n", os.Getpid())), 0o600)); err != nil {
		t.Fatal(err)
	}
	if got := use(); got.Open || got.Left == "" {
		t.Errorf("it was killed, and its number is another's: %+v", got)
	}
}

// A real LevelDB is seen while a program has it open, and who holds the lock otherwise, as
// goleveldb does, by what it has open.
func TestUseOfLevelDB(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	dir := t.TempDir()
	root := openTree(t, dir)
	use := func(kind Kind) Use { return UseOf(root, dir, "db", kind, &Programs{}) }
	db := dbtest.OpenLevelDB(t, filepath.Join(dir, "db"))
	db.Put("a", "1")
	if got := Find(root, "db"); got != LevelDB {
		t.Errorf("it is %q", got)
	}
	if got, want := use(LevelDB), (Use{Open: true, PID: db.PID()}); got != want {
		t.Errorf("it is open: %+v, want %+v", got, want)
	}
	if got := elsewhere(t, dir, "db", LevelDB); got != "true 0 false" {
		t.Errorf("another container says %q", got)
	}
	db.Close()
	if got := use(LevelDB); got != (Use{}) {
		t.Errorf("it was closed: %+v", got)
	}
	// The lock's file is open in flock alone.
	hold := exec.Command("flock", "-o", filepath.Join(dir, "db/LOCK"), "sh", "-c", "echo held; read x")
	in, err := hold.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := hold.StdoutPipe()
	if err == nil {
		err = hold.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	if got, want := use(RocksDB), (Use{Open: true, PID: hold.Process.Pid}); got != want {
		t.Errorf("it is held by another lock: %+v, want %+v", got, want)
	}
	text, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Fatal(err)
	}
	f, err := root.Open("db/LOCK")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	id, _ := identify(f)
	if pid, held := locksIn(string(text))[id]; !held || pid != hold.Process.Pid {
		t.Errorf("of another user nobody would see it: %d, %v, want %d:\n%s", pid, held, hold.Process.Pid, text)
	}
	in.Close()
	if err := hold.Wait(); err != nil && !strings.Contains(err.Error(), "exit status") {
		t.Fatal(err)
	}
}
