package remote

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/spec"
)

// container is the policy in a container whose owner allows nothing more.
func container(t *testing.T) Policy {
	return NewPolicy(rclone.Container, names(filepath.Join(t.TempDir(), "none")))
}

// plainSpec is a workspace of two replicas, one of them encrypted; the default remote is
// the one that encrypts.
func plainSpec() *spec.Spec {
	return &spec.Spec{Persistence: spec.Persistence{
		DefaultRemote: "sealed",
		Remotes: map[string]*spec.Remote{
			"store": {
				Name: "store", Type: "s3", Bucket: "bucket", PathPrefix: "team",
				Options: map[string]secret.Value{"region": secret.New("auto"), "access_key_id": secret.New("${KEY}")},
			},
			"sealed": {
				Name: "sealed", Type: "crypt", WrapRemote: "store", WrapPath: "enc",
				Crypt: &spec.Crypt{PasswordEnv: "PASS", FilenameEncryption: "standard", DirectoryNameEncryption: true},
			},
		},
		Sync: []spec.Sync{
			{Name: "code", Remote: "sealed", RemotePath: "w/code"},
			{Name: "data", Remote: "store", RemotePath: "w/data", Transfers: 7, Checkers: 9, BwLimit: "1M"},
		},
	}}
}

func variables(pairs map[string]string) spec.Lookup {
	return func(name string) (string, bool) {
		value, ok := pairs[name]
		return value, ok
	}
}

var set = variables(map[string]string{"KEY": "id", "PASS": "word"})

func TestBackends(t *testing.T) {
	sp := plainSpec()
	policy := NewPolicy(rclone.Store, names(filepath.Join(t.TempDir(), "none")))
	backends := func() ([]rclone.Backend, error) {
		target, err := sp.Target("sealed", "w/code", variables(map[string]string{"KEY": "id", "PASS": "word", "SALT": "salt"}))
		if err != nil {
			t.Fatal(err)
		}
		return policy.Backends(target)
	}
	want := []rclone.Backend{{
		Name: "sealed", Type: "crypt", Passwords: map[string]string{"password": "word"},
		Options: map[string]string{"remote": "store:bucket/team/enc", "filename_encryption": "standard", "directory_name_encryption": "true"},
	}, {
		Name: "store", Type: "s3", Options: map[string]string{"region": "auto", "access_key_id": "id"},
	}}
	got, err := backends()
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	sp.Persistence.Remotes["sealed"].Crypt.Password2Env = "SALT"
	want[0].Passwords["password2"] = "salt"
	got, err = backends()
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("with a salt: %v %s", err, diff)
	}
	// What this program says of a crypt remote a spec cannot.
	sp.Persistence.Remotes["sealed"].Options = map[string]secret.Value{"remote": secret.New("/etc")}
	if got, err := backends(); err == nil {
		t.Errorf("a spec says where a crypt remote lies: %v", got)
	}
	sp.Persistence.Remotes["sealed"].Options = nil
	sp.Persistence.Remotes["store"].Options["shared_credentials_file"] = secret.New("/etc/x")
	if got, err := backends(); err == nil {
		t.Errorf("the wrapped one is not looked at: %v", got)
	}
}

// recorder is an rclone that writes down how it was called, a line each.
type recorder struct{ bin, log string }

func newRecorder(t *testing.T) recorder {
	t.Helper()
	dir := t.TempDir()
	r := recorder{filepath.Join(dir, "rclone"), filepath.Join(dir, "log")}
	script := "#!/bin/sh\necho \"$MARKER $*\" >>" + r.log + "\ntest \"$1\" != version || echo rclone v1.76.0\n"
	// Renamed: a child that is forked meanwhile must not hold it open for writing.
	if err := errors.Join(os.WriteFile(r.bin+".new", []byte(script), 0o700), os.Rename(r.bin+".new", r.bin)); err != nil {
		t.Fatal(err)
	}
	return r
}

// calls are those since the last time, without the asking for a version, and how often
// that was asked.
func (r recorder) calls(t *testing.T) (calls []string, versions int) {
	t.Helper()
	text, err := os.ReadFile(r.log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, " version") {
			versions++
		} else {
			calls = append(calls, strings.TrimSuffix(line, "\n"))
		}
	}
	return calls, versions
}

func TestOpener(t *testing.T) {
	r := newRecorder(t)
	bin := ""
	env := func(name string) (string, bool) { return bin, bin != "" && name == "COLTEC_RCLONE" }
	o := NewOpener(plainSpec(), container(t), set, env, []string{"MARKER=here"})
	bin = filepath.Join(t.TempDir(), "none")
	if _, err := o.Open(t.Context(), "code", false, nil); !errors.Is(err, rclone.ErrNoBinary) {
		t.Errorf("without an rclone: %v", err)
	}
	bin = r.bin // what was not there is looked for again
	for _, tt := range []struct{ replica, want string }{
		{"", "store:bucket/team"}, // of the remote that the default one lies in
		{"code", "sealed:w/code"},
		{"data", "store:bucket/team/w/data"},
	} {
		got, err := o.Open(t.Context(), tt.replica, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got.Root() != tt.want {
			t.Errorf("%q: %s", tt.replica, got.Root())
		}
	}
	if _, versions := r.calls(t); versions != 1 {
		t.Errorf("asked for its version %d times", versions)
	}
}

func TestOpenedHasTheSpecsOptions(t *testing.T) {
	r := newRecorder(t)
	env := func(name string) (string, bool) { return r.bin, name == "COLTEC_RCLONE" }
	o := NewOpener(plainSpec(), container(t), set, env, []string{"MARKER=here"})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	spent := 0
	for i, plain := range []bool{false, true} {
		data, err := o.Open(t.Context(), "data", plain, func(s rclone.Spent) { spent += s.Requests })
		if err != nil {
			t.Fatal(err)
		}
		_, _ = data.Upload(t.Context(), dir, []string{"f"}, nil) // which this rclone does not do
		calls, _ := r.calls(t)
		if len(calls) != i+1 {
			t.Fatalf("%q", calls)
		}
		words := strings.Fields(calls[i])
		for _, flag := range [][2]string{{"--transfers", "7"}, {"--checkers", "9"}, {"--bwlimit", "1M"}} {
			if at := slices.Index(words, flag[0]); at < 0 || words[at+1] != flag[1] {
				t.Errorf("%s is not %s: %q", flag[0], flag[1], calls[i])
			}
		}
		if words[0] != "here" || slices.Contains(words, "--metadata") != plain {
			t.Errorf("plain %v: %q", plain, calls[i])
		}
	}
	if spent == 0 {
		t.Error("nobody was told what it cost")
	}
}

// A variable that is not set is told before rclone is asked for anything there.
func TestMissingVariables(t *testing.T) {
	r := newRecorder(t)
	env := func(name string) (string, bool) { return r.bin, name == "COLTEC_RCLONE" }
	o := NewOpener(plainSpec(), container(t), variables(map[string]string{"KEY": "id"}), env, nil)
	if _, err := o.Open(t.Context(), "", false, nil); err != nil {
		t.Errorf("the head needs no password: %v", err)
	}
	if _, err := o.Open(t.Context(), "code", false, nil); !errors.As(err, new(*spec.MissingError)) {
		t.Errorf("%v", err)
	}
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []string
		progress := Progress("code", func(line string) { said = append(said, line) })
		tell := func(after time.Duration, files int) {
			time.Sleep(after)
			progress(rclone.Progress{Files: files, TotalFiles: 9, Bytes: 10, TotalBytes: 20, ETA: 1500 * time.Millisecond})
		}
		tell(time.Second, 1)
		tell(time.Second+1, 2)
		tell(time.Second, 3)
		tell(time.Second+1, 4)
		want := []string{"code: 2 of 9 objects, 10 of 20 bytes, 2s left", "code: 4 of 9 objects, 10 of 20 bytes, 2s left"}
		if diff := cmp.Diff(want, said); diff != "" {
			t.Error(diff)
		}
	})
}
