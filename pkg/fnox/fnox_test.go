package fnox

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/secret"
)

// seal makes a value as fnox writes it.
func seal(t *testing.T, text string, to ...age.Recipient) string {
	t.Helper()
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to...)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, text)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func key(t *testing.T) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// get asks for names, a space between two.
func get(s Source, names string) (map[string]string, error) {
	values, err := s.Get(context.Background(), strings.Fields(names))
	out := map[string]string{}
	for name, v := range values {
		out[name] = v.Reveal()
	}
	return out, err
}

func wantValues(t *testing.T, s Source, names string, want map[string]string) {
	t.Helper()
	got, err := get(s, names)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func wantError(t *testing.T, s Source, names, text string) error {
	t.Helper()
	got, err := get(s, names)
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Fatalf("got %d values and error %v, want an error with %q", len(got), err, text)
	}
	return err
}

const providers = `
[providers.sealed]
type = "age"
recipients = ["age1…"]
[providers.open]
type = "plain"
[providers.cloud]
type = "aws-sm"
`

func TestNativeKinds(t *testing.T) {
	dir, id := t.TempDir(), key(t)
	write(t, dir+"/key.txt", "# a note\n"+id.String()+"\n")
	write(t, dir+"/w/fnox.toml", "root = true\ndefault_provider = \"sealed\"\n"+providers+`
[secrets]
A = { provider = "sealed", value = "`+seal(t, "line 1\nline 2 = \"x\"", id.Recipient())+`" }
B = { provider = "open", value = "as it is" }
C = { default = "a default", description = "…", if_missing = "error" }
D = { value = "`+seal(t, "by default", id.Recipient())+`" }
E = "`+seal(t, "short", id.Recipient())+`"
NOT_ASKED = { provider = "cloud", value = "x" }
EMPTY = { if_missing = "ignore" }
`)
	s := Source{Folder: dir + "/w", Environ: []string{"FNOX_AGE_KEY_FILE=" + dir + "/key.txt"}}
	wantValues(t, s, "A B C D E EMPTY ABSENT", map[string]string{
		"A": "line 1\nline 2 = \"x\"", "B": "as it is", "C": "a default", "D": "by default", "E": "short",
	})
	// What is not age, plain or a default is for fnox.
	err := wantError(t, s, "A NOT_ASKED", `the secret "NOT_ASKED" is kept by a provider of type "aws-sm", which needs the program fnox, and it is not on PATH`)
	if len(hint.Of(err)) == 0 {
		t.Error("no next step")
	}
}

func TestKeys(t *testing.T) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(priv, "")
	if err != nil {
		t.Fatal(err)
	}
	sshPub, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	toSSH, err := agessh.NewEd25519Recipient(sshPub)
	if err != nil {
		t.Fatal(err)
	}
	id, other := key(t), key(t)
	dir := t.TempDir()
	write(t, dir+"/ssh", string(pem.EncodeToMemory(block)))
	write(t, dir+"/x25519", id.String())
	write(t, dir+"/other", other.String())
	windows := func(text string) string { return "\ufeff" + strings.ReplaceAll(text, "\n", "\r\n") }
	write(t, dir+"/windows/ssh", windows(string(pem.EncodeToMemory(block))))
	write(t, dir+"/windows/x25519", windows("# a note\n"+id.String()+"\n"))
	write(t, dir+"/utf16", "\xff\xfe"+strings.Join(strings.Split(id.String(), ""), "\x00")+"\x00")
	write(t, dir+"/bad", "hush hush")
	write(t, dir+"/home/.config/fnox/age.txt", id.String())
	write(t, dir+"/w/fnox.toml", "root = true\n"+providers+`[secrets]
A = { provider = "sealed", value = "`+seal(t, "opened", id.Recipient(), toSSH)+`" }
BROKEN = { provider = "sealed", value = "hush not base64" }
`)
	want := map[string]string{"A": "opened"}
	for name, s := range map[string]Source{
		"flag":     {AgeKeyFile: dir + "/x25519"},
		"ssh":      {AgeKeyFile: dir + "/ssh"},
		"text":     {Environ: []string{"FNOX_AGE_KEY=" + id.String()}},
		"variable": {Environ: []string{"FNOX_AGE_KEY_FILE=~/.config/fnox/age.txt", "HOME=" + dir + "/home"}},
		"home":     {Environ: []string{"HOME=" + dir + "/home"}},
		"dir":      {Environ: []string{"FNOX_CONFIG_DIR=" + dir + "/home/.config/fnox"}},

		"saved on Windows":            {AgeKeyFile: dir + "/windows/x25519"},
		"an SSH key saved on Windows": {AgeKeyFile: dir + "/windows/ssh"},
		"text saved on Windows":       {Environ: []string{"FNOX_AGE_KEY=" + windows(id.String()+"\n")}},
	} {
		t.Run(name, func(t *testing.T) {
			s.Folder = dir + "/w"
			wantValues(t, s, "A", want)
		})
	}
	for name, c := range map[string]struct {
		s    Source
		text string
	}{
		"other":   {Source{AgeKeyFile: dir + "/other"}, `cannot open "A" of ` + dir + `/w/fnox.toml (provider "sealed"): the age key does not open it`},
		"bad":     {Source{AgeKeyFile: dir + "/bad"}, "cannot use the age key in " + dir + "/bad: not lines AGE-SECRET-KEY-1…"},
		"UTF-16":  {Source{AgeKeyFile: dir + "/utf16"}, "cannot use the age key in " + dir + "/utf16: it is text in UTF-16: save it as UTF-8"},
		"missing": {Source{AgeKeyFile: dir + "/none"}, "cannot read the age key: open " + dir + "/none"},
		"none":    {Source{Environ: []string{"HOME=" + dir}}, "no age key: FNOX_AGE_KEY and FNOX_AGE_KEY_FILE are not set, and there is no " + dir + "/.config/fnox/age.txt"},
	} {
		t.Run(name, func(t *testing.T) {
			c.s.Folder = dir + "/w"
			if err := wantError(t, c.s, "A", c.text); strings.Contains(err.Error(), "hush") {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
	s := Source{Folder: dir + "/w", AgeKeyFile: dir + "/x25519"}
	if err := wantError(t, s, "BROKEN", `"BROKEN"`); strings.Contains(err.Error(), "hush") {
		t.Errorf("the error shows the value: %v", err)
	}
}

// A file that an editor on Windows saved says the same.
func TestSavedOnWindows(t *testing.T) {
	dir, id := t.TempDir(), key(t)
	write(t, dir+"/w/fnox.toml", "\ufeff"+strings.ReplaceAll("root = true\n"+providers+`[secrets] # all
A = { provider = "open", value = """
one
two""" }
B = { provider = "sealed", value = "`+seal(t, "sealed", id.Recipient())+`" }
`, "\n", "\r\n"))
	s := Source{Folder: dir + "/w", Environ: []string{"FNOX_AGE_KEY=" + id.String()}}
	wantValues(t, s, "A B", map[string]string{"A": "one\ntwo", "B": "sealed"})
}

func TestArmoredValue(t *testing.T) {
	id := key(t)
	var b bytes.Buffer
	a := armor.NewWriter(&b)
	w, err := age.Encrypt(a, id.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, "armored")
	if w.Close() != nil || a.Close() != nil {
		t.Fatal("cannot seal")
	}
	if got, err := decrypt(b.String(), []age.Identity{id}); err != nil || got != "armored" {
		t.Errorf("%q, %v", got, err)
	}
}

// Nearer files win over parents, in one directory local over profile over plain,
// an importing file over what it imports, and root ends the walk.
func TestPrecedence(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/fnox.toml", `secrets = { A = { default = "beyond the root" }, BEYOND = { default = "x" } }`)
	write(t, dir+"/global/config.toml", `secrets = { G = { default = "global" }, A = { default = "global" } }`)
	write(t, dir+"/r/fnox.toml", "root = true\nimport = [\"shared/more.toml\"]\n[secrets]\nA = { default = \"root\" }\nB = { default = \"root\" }\nC = { default = \"root\" }\n[profiles.prod.secrets]\nP = { default = \"root prod\" }\nA = { default = \"root prod\" }\n")
	write(t, dir+"/r/shared/more.toml", `secrets = { A = { default = "imported" }, I = { default = "imported" } }`)
	write(t, dir+"/r/fnox.local.toml", `secrets = { C = { default = "root local" } }`)
	write(t, dir+"/r/w/fnox.toml", `secrets = { B = { default = "near" } }`)
	write(t, dir+"/r/w/fnox.prod.toml", `secrets = { B = { default = "near prod" }, Q = { default = "near prod" } }`)
	env := []string{"FNOX_CONFIG_DIR=" + dir + "/global"}
	s := Source{Folder: dir + "/r/w", Environ: env}
	wantValues(t, s, "A B C I G P Q BEYOND", map[string]string{"A": "root", "B": "near", "C": "root local", "I": "imported", "G": "global"})
	s.Environ = append(env, "FNOX_PROFILE=prod")
	wantValues(t, s, "A B C I G P Q", map[string]string{
		"A": "root prod", "B": "near prod", "C": "root local", "I": "imported", "G": "global", "P": "root prod", "Q": "near prod",
	})
	s.Profile = "stagging"
	wantError(t, s, "A", `no profile "stagging"`)
	write(t, dir+"/r/shared/more.toml", `import = ["../fnox.toml"]`)
	s.Profile = "prod"
	wantError(t, s, "A", "imports itself")
}

func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	s := Source{Folder: dir}
	for name, c := range map[string]struct{ text, want string }{
		"syntax":  {"root = true\n[secrets]\nA = { value = hush }\n", "line 3 is not valid TOML"},
		"type":    {"root = true\n[secrets]\nA = 42\n", `secret "A": not a table of texts`},
		"as file": {"root = true\n[secrets]\nA = { value = \"x\", as_file = true }\n", "is as_file"},
		"import":  {"root = true\nimport = [\"none.toml\"]\n", "cannot import into"},
		"unknown": {"root = true\n[secrets]\nA = { value = \"hush\", json_path = \".a\" }\n", `has the key "json_path", which needs the program fnox`},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, dir+"/fnox.toml", c.text)
			if err := wantError(t, s, "A", c.want); strings.Contains(err.Error(), "hush") {
				t.Errorf("the error shows a value: %v", err)
			}
		})
	}
}

// standIn is a fnox that prints what fnox prints, for one that cannot be had.
const standIn = `#!/bin/sh
echo "$@" >argv
[ "$1" = --profile ] && shift 2
if [ "$*" != "export -f json --all --if-missing error" ]; then
	echo "error: unexpected arguments" >&2
	exit 2
fi
if [ -n "$FAIL" ]; then echo "error: provider cloud: access denied" >&2; exit 1; fi
cat <<'END'
{
  "secrets": {
    "A": "from fnox",
    "NOT_ASKED": "hush"
  },
  "metadata": {
    "profile": "default"
  }
}
END
`

func TestProgram(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/bin/fnox", standIn)
	if err := os.Chmod(dir+"/bin/fnox", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/fnox.toml", "root = true\n"+providers+"[secrets]\nA = { provider = \"cloud\", value = \"x\" }\n")
	s := Source{Folder: dir, Environ: []string{"PATH=" + dir + "/bin:/usr/bin:/bin"}}
	wantValues(t, s, "A", map[string]string{"A": "from fnox"})
	s.Environ = append(s.Environ, "FAIL=1")
	wantError(t, s, "A", "fnox export: exit status 1: error: provider cloud: access denied")
	s.Environ = append(s.Environ, "FAIL=", "FNOX_PROFILE=a,b")
	wantValues(t, s, "A", map[string]string{"A": "from fnox"})
	if argv, _ := os.ReadFile(dir + "/argv"); string(argv) != "--profile a,b export -f json --all --if-missing error\n" {
		t.Errorf("argv: %s", argv)
	}
}

func TestCollectFromFnox(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/fnox.toml", `root = true
secrets = { A = { default = "fnox" }, B = { default = "fnox" } }`)
	want := []secret.Wanted{{Name: "A", Required: true}, {Name: "B", Required: true}, {Name: "Z"}}
	got, err := secret.Collect(context.Background(), want, secret.Environment{"A=env", "B="}, Source{Folder: dir})
	if err != nil || got["A"].Reveal() != "env" || got["B"].Reveal() != "fnox" || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	want = append(want, secret.Wanted{Name: "C", Required: true})
	_, err = secret.Collect(context.Background(), want, secret.Environment{}, Source{Folder: dir})
	if err == nil || err.Error() != "C is missing: looked in the environment, fnox.toml (from "+dir+" upwards)" {
		t.Errorf("%v", err)
	}
}

// A file of a profile that nobody uses could not be read, and nobody got a secret. What it
// is counts all the same: fnox may use it tomorrow.
func TestLookAtAFileThatNobodyUses(t *testing.T) {
	for what, put := range map[string]func(file string) error{
		"no TOML":           func(file string) error { return os.WriteFile(file, []byte("<<<<<<< ours\n"), 0o644) },
		"a pipe":            func(file string) error { return syscall.Mkfifo(file, 0o644) },
		"an import of none": func(file string) error { return os.WriteFile(file, []byte("import = [\"none.toml\"]\n"), 0o644) },
		"a folder":          func(file string) error { return os.Mkdir(file, 0o755) },
	} {
		for _, name := range []string{"fnox.z.toml", ".fnox.z.toml", ".config/fnox.z.toml"} {
			folder := filepath.Join(t.TempDir(), "w")
			write(t, filepath.Join(folder, "fnox.toml"), "root = true\n[providers.op]\ntype = \"1password\"\n[secrets]\nA = {value = \"a\"}\n[profiles.p.secrets]\n")
			file := filepath.Join(folder, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			asks := func(when, profile string) {
				t.Helper()
				l, err := Source{Folder: folder, Profile: profile}.Look([]string{"A"}, nil)
				if err != nil || len(l.Asks) == 0 {
					t.Fatalf("%s as %s, %s, profile %q: %v, %v", what, name, when, profile, l, err)
				}
				if seen[strings.Join(l.Asks, "\n")] {
					t.Errorf("%s as %s, %s: asks for what was before: %q", what, name, when, l.Asks)
				}
				seen[strings.Join(l.Asks, "\n")] = profile == "" // for what comes later
			}
			asks("not there", "")
			if err := put(file); err != nil {
				t.Fatal(err)
			}
			asks("broken", "p")
			asks("broken", "p,q")
			asks("broken", "")
			for _, profile := range []string{"z", "p,z", "z/p", "p z"} {
				if l, err := (Source{Folder: folder, Profile: profile}).Look([]string{"A"}, nil); err == nil {
					t.Errorf("%s as %s counts for profile %q: %v", what, name, profile, l)
				}
			}
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			write(t, file, "[providers.evil]\ntype = \"custom\"\n")
			asks("repaired", "")
		}
	}
}

// What is agreed to is all that fnox would be run with: a file that one of the folder
// imports, too, and with several profiles, too. Which secret it is for, and by what way the
// folder was reached, makes no other.
func TestLookHasWhatFnoxReads(t *testing.T) {
	dir := t.TempDir()
	folder, link := filepath.Join(dir, "w"), filepath.Join(dir, "link")
	write(t, filepath.Join(folder, "fnox.toml"), "root = true\nimport = [\"./sub/x.toml\"]\n[providers.op]\ntype = \"1password\"\n[secrets]\nA = {value = \"a\"}\nB = {value = \"b\"}\n[profiles.p.secrets]\n[profiles.q.secrets]\n")
	write(t, filepath.Join(folder, "fnox.q.toml"), "import = [\"../outside.toml\"]\n")
	write(t, filepath.Join(folder, "sub/x.toml"), "[secrets]\n")
	write(t, filepath.Join(dir, "outside.toml"), "[secrets]\n")
	if err := os.Symlink(folder, link); err != nil {
		t.Fatal(err)
	}
	asks := func(s Source, names ...string) string {
		t.Helper()
		l, err := s.Look(names, nil)
		if err != nil || len(l.Asks) == 0 {
			t.Fatal(l, err)
		}
		return strings.Join(l.Asks, "\n")
	}
	for _, profile := range []string{"", "p", "p,q"} {
		s := Source{Folder: folder, Profile: profile}
		was := asks(s, "A", "B")
		if !strings.Contains(was, "fnox.q.toml, fnox.toml, sub/x.toml as it is now") || !strings.Contains(was, "fnox.q.toml reads "+filepath.Join(dir, "outside.toml")) || strings.Contains(was, folder) {
			t.Errorf("profile %q: %s", profile, was)
		}
		for what, other := range map[string]string{"another secret": asks(s, "B"), "a link": asks(Source{Folder: link, Profile: profile}, "A")} {
			if other != was {
				t.Errorf("profile %q: %s is asked for as another thing: %s, and not %s", profile, what, other, was)
			}
		}
		write(t, filepath.Join(folder, "sub/x.toml"), "[providers.evil]\ntype = \"custom\"\n")
		if asks(s, "A", "B") == was {
			t.Errorf("profile %q: what is imported may change", profile)
		}
		write(t, filepath.Join(folder, "sub/x.toml"), "[secrets]\n")
	}
}
