package order

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// of is the order of a name, of the host or of the container.
func of(t *testing.T, name string, onHost bool) Order {
	t.Helper()
	for _, o := range All() {
		if o.Name == name && o.Host == onHost {
			return o
		}
	}
	t.Fatalf("no order %q", name)
	return Order{}
}

type args = map[string]string

func TestArgv(t *testing.T) {
	for _, tt := range []struct {
		name string
		host bool
		args args
		want string // words joined by |
	}{
		{"list", true, nil, "ls|--json|--"},
		{"list", true, args{"workspace": "acme/w/a", "local": "true"}, "ls|--json|--local|--|acme/w/a"},
		{"list", true, args{"local": "false"}, "ls|--json|--"},
		{"status", true, args{"workspace": "./w a"}, "status|--json|--|./w a"},
		{"status", false, nil, "status|--json|--"},
		{"sync", true, args{"workspace": "a"}, "sync|--|a"},
		{"sync", true, args{"workspace": "a", "replica": "home"}, "sync|--|a|home"},
		{"sync", false, args{"replica": "home"}, "sync|--|home"},
		{"checkpoint", true, args{"workspace": "a", "name": "before"}, "checkpoint|--json|--|a|before"},
		{"checkpoint", true, args{"workspace": "a", "name": "before", "message": "--yes, true"}, "checkpoint|--json|--message=--yes, true|--|a|before"},
		{"checkpoint", false, args{"name": "before", "message": "true"}, "checkpoint|--json|--message=true|--|before"},
		{"checkpoints", true, args{"workspace": "a"}, "checkpoints|--json|--|a"},
		{"checkpoints", false, nil, "checkpoints|--json|--"},
		{"compare", true, args{"workspace": "a", "a": "1"}, "compare|--json|--|a|1|now"},
		{"compare", true, args{"workspace": "a", "a": "1", "path": "src"}, "compare|--json|--|a|1|now|src"},
		{"compare", false, args{"a": "1", "b": "2h", "diff": "true"}, "compare|--json|--diff|--|1|2h"},
		{"compare", false, args{"a": "2006-01-02 15:04", "b": "now", "path": "a b", "replica": "home"}, "compare|--json|--replica=home|--|2006-01-02 15:04|now|a b"},
		{"rewind", true, args{"workspace": "a", "at": "before"}, "rewind|--json|--yes|--|a|before"},
		{"rewind", false, args{"at": "before", "path": "src", "dry_run": "true"}, "rewind|--json|--yes|--path=src|--dry-run|--|before"},
		{"fork", true, args{"workspace": "/w/a", "new": "b"}, "fork|--json|--|/w/a|b"},
		{"fork", true, args{"workspace": "/w/a@b", "new": "x/y/z", "at": "2h", "count": "3"}, "fork|--json|--count=3|--|/w/a@b@2h|x/y/z"},
		{"join", true, args{"workspace": "/w/a", "fork": "x/y/z"}, "join|--into=/w/a|--json|--yes|--|x/y/z"},
		{"join", true, args{"workspace": "a", "fork": "x/y/z", "dry_run": "true", "all": "true"}, "join|--into=a|--json|--yes|--dry-run|--all|--|x/y/z"},
		{"join", false, args{"fork": "x/y/z", "dry_run": "true"}, "join|--json|--dry-run|--|x/y/z"},
		{"hop", true, args{"workspace": "a"}, "hop|--|a"},
		{"hop", true, args{"workspace": "acme/w/a", "folder": "/w/a b"}, "hop|--|acme/w/a|/w/a b"},
		{"history", true, args{"workspace": "a"}, "history|--json|--|a"},
		{"history", true, args{"workspace": "a", "path": "src/x"}, "history|--json|--|a|ls|src/x"},
		{"history", false, args{"at": "before", "replica": "home"}, "history|--json|--replica=home|--|show|before"},
		{"conflicts", true, args{"workspace": "a"}, "conflicts|--json|--|a"},
		{"conflicts", false, args{"path": "x y"}, "conflicts|--json|--|show|x y"},
		{"take", true, args{"workspace": "a", "path": "x y", "seen": "ab12"}, "conflicts|--json|--yes|--seen=ab12|--|a|take|x y"},
		{"take", false, args{"all": "true", "of": "desk", "dry_run": "true"}, "conflicts|--json|--yes|--all|--of=desk|--dry-run|--|take"},
		{"drop", true, args{"workspace": "a", "path": "x", "replica": "home"}, "conflicts|--json|--yes|--replica=home|--|a|drop|x"},
		{"drop", false, args{"path": "20300102T120000.000Z-b/-x"}, "conflicts|--json|--yes|--|drop|20300102T120000.000Z-b/-x"},
		{"logs", true, args{"workspace": "a", "unit": "web", "lines": "10"}, "logs|--lines=10|--|a|web"},
		{"logs", false, nil, "logs|--"},
		{"pause", true, args{"workspace": "a", "name": "web"}, "exec|--|a|coltecd|pause|--|web"},
		{"resume", true, args{"workspace": "a", "name": "web"}, "exec|--|a|coltecd|resume|--|web"},
		{"pause", false, args{"name": "web"}, "pause|--|web"},
		{"resume", false, args{"name": "web"}, "resume|--|web"},
	} {
		argv, err := of(t, tt.name, tt.host).Argv(tt.args)
		if got := strings.Join(argv, "|"); err != nil || got != tt.want {
			t.Errorf("%s %v: %s, %v, want %s", tt.name, tt.args, got, err, tt.want)
		}
	}
}

// What a page or an agent says is never a flag, never a second line, and never too much.
func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		args args
		why  string
	}{
		{"status", nil, "needs workspace"},
		{"status", args{"workspace": ""}, "needs workspace"},
		{"status", args{"workspace": "a", "what": "b"}, `takes no "what": it takes workspace`},
		{"status", args{"workspace": "--help"}, `workspace may not begin with "-"`},
		{"status", args{"workspace": "a\nb"}, "control character"},
		{"status", args{"workspace": "a\x1b[2J"}, "control character"},
		{"status", args{"workspace": "a\u202eb"}, "control character"},
		{"status", args{"workspace": "a\u2028b"}, "control character"},
		{"status", args{"workspace": "a\x00"}, "control character"},
		{"status", args{"workspace": "a\xff"}, "not UTF-8"},
		{"status", args{"workspace": strings.Repeat("a", 4097)}, "longer than 4096 bytes"},
		{"checkpoint", args{"workspace": "a", "name": "-m"}, `name may not begin with "-"`},
		{"checkpoint", args{"workspace": "a", "name": "a b"}, "white space"},
		{"checkpoint", args{"workspace": "a", "name": strings.Repeat("a", 201)}, "longer than 200 bytes"},
		{"checkpoint", args{"workspace": "a", "name": "a", "message": "b\nc"}, "message has a control character"},
		{"checkpoint", args{"workspace": "a", "name": "a", "message": strings.Repeat("b", 1001)}, "longer than 1000 bytes"},
		{"compare", args{"workspace": "a", "a": "b/c"}, "is the name of a checkpoint"},
		{"fork", args{"workspace": "a", "new": "b", "at": "c@d"}, "is the name of a checkpoint"},
		{"take", args{"workspace": "a", "path": "--all"}, `path may not begin with "-"`},
		{"drop", args{"workspace": "a", "path": "a\nb"}, "path has a control character"},
		{"drop", args{"workspace": "a", "path": "a", "seen": "a b"}, "white space"},
		{"rewind", args{"workspace": "a", "at": "-1"}, `may not begin with "-"`},
		{"rewind", args{"workspace": "a", "at": "1", "dry_run": "yes"}, "dry_run is true or false"},
		{"rewind", args{"workspace": "a", "at": "1", "dry_run": "true\n"}, "dry_run is true or false"},
		{"hop", args{"workspace": "a", "folder": "--force"}, `folder may not begin with "-"`},
		{"fork", args{"workspace": "a", "new": "b", "count": "0"}, "count is a number from 1 to 1000"},
		{"fork", args{"workspace": "a", "new": "b", "count": "-3"}, "count is a number"},
		{"fork", args{"workspace": "a", "new": "b", "count": "+3"}, "count is a number"},
		{"logs", args{"workspace": "a", "lines": "1e3"}, "lines is a number"},
		{"logs", args{"workspace": "a", "lines": "1001"}, "lines is a number"},
	} {
		argv, err := of(t, tt.name, true).Argv(tt.args)
		if err == nil || !strings.Contains(err.Error(), tt.why) || argv != nil {
			t.Errorf("%s %q: %q, %v, want an error with %q", tt.name, tt.args, argv, err, tt.why)
		}
	}
}

func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range All() {
		side := map[bool]string{true: "host ", false: "container "}[o.Host] + o.Name
		if seen[side] {
			t.Errorf("%s is there twice", side)
		}
		seen[side] = true
		if o.Host == o.Container {
			t.Errorf("%s is of no side, or of both", side)
		}
		if o.Destroys && !o.Changes {
			t.Errorf("%s destroys, and changes nothing", side)
		}
		if o.Title == "" || !strings.HasSuffix(o.Text, ".") {
			t.Errorf("%s does not say what it is", side)
		}
		names := map[string]bool{}
		for _, p := range o.Params {
			if p.Text == "" || names[p.Name] {
				t.Errorf("%s: %q says nothing, or is there twice", side, p.Name)
			}
			names[p.Name] = true
			if err := p.Kind.check("1"); err != nil && p.Kind != Flag {
				t.Errorf("%s: %s: %v", side, p.Name, err)
			}
		}
		if (o.Host && o.Name != "list") != slices.ContainsFunc(o.Params, func(p Param) bool { return p.Name == "workspace" && p.Required }) {
			t.Errorf("%s: whether it needs the workspace", side)
		}
	}
	for _, name := range []string{"list", "status", "sync", "checkpoint", "checkpoints", "compare", "rewind", "fork", "join", "hop", "history", "conflicts", "take", "drop", "logs", "pause", "resume"} {
		if !seen["host "+name] {
			t.Errorf("no %s on a host", name)
		}
	}
}

func TestAnswered(t *testing.T) {
	status, sync, compare := of(t, "status", true), of(t, "sync", true), of(t, "compare", true)
	for _, tt := range []struct {
		o    Order
		code int
		want bool
	}{{status, 0, true}, {status, 1, true}, {status, 3, true}, {status, 2, false}, {status, 4, false}, {sync, 6, true}, {sync, 1, false}, {compare, 0, true}, {compare, 1, false}} {
		if got := tt.o.Answered(tt.code); got != tt.want {
			t.Errorf("%s with %d: %v", tt.o.Name, tt.code, got)
		}
	}
	if compare.Again() != true || of(t, "rewind", true).Again() || !sync.Again() {
		t.Error("which orders may be given twice")
	}
}

// FuzzArgv: whatever the arguments are, the command line begins with words of ours, no word after
// "--" is a flag, each flag before it is one of the table's, and nothing moves a cursor.
func FuzzArgv(f *testing.F) {
	f.Add("rewind", true, "at", "before", "path", "src")
	f.Add("compare", false, "a", "--help", "path", "\x1b[2J")
	f.Add("checkpoint", true, "name", "a", "message", "-- -rf\n")
	f.Add("fork", true, "at", "a@b", "new", "x/y/z")
	f.Add("pause", true, "name", "--config=x", "workspace", "-")
	own := map[string]bool{"ls": true, "exec": true}
	flag := map[string]bool{"--json": true, "--yes": true, "--into": true}
	for _, o := range All() {
		own[o.Name] = true
		for _, p := range o.Params {
			flag["--"+strings.ReplaceAll(p.Name, "_", "-")] = true
		}
	}
	f.Fuzz(func(t *testing.T, name string, onHost bool, k1, v1, k2, v2 string) {
		for _, o := range All() {
			if o.Name != name || o.Host != onHost {
				continue
			}
			given := args{k1: v1, k2: v2}
			if _, ok := given["workspace"]; !ok && onHost {
				given["workspace"] = "a"
			}
			argv, err := o.Argv(given)
			if err != nil {
				if argv != nil || !utf8.ValidString(err.Error()) || strings.ContainsFunc(err.Error(), unicode.IsControl) {
					t.Fatalf("%q, %q", argv, err)
				}
				continue
			}
			if !own[argv[0]] {
				t.Fatalf("%q: begins with no verb", argv)
			}
			words := false
			for _, word := range argv[1:] {
				long, _, _ := strings.Cut(word, "=")
				switch {
				case word == "--":
					words = true
				case words && strings.HasPrefix(word, "-"):
					t.Fatalf("%q: a word is a flag", argv)
				case !words && !flag[long]:
					t.Fatalf("%q: a flag that is not in the table", argv)
				}
				if strings.ContainsFunc(word, unicode.IsControl) || !utf8.ValidString(word) || len(word) > 4200 {
					t.Fatalf("%q: no plain word", argv)
				}
			}
			if !words {
				t.Fatalf("%q: no --", argv)
			}
		}
	})
}
