package main

import (
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
)

// completed makes a home with coltec on PATH and two workspaces that are known there, one of
// which has run, and gives the folder that shells begin in.
func completed(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	bin := filepath.Join(home, "bin")
	for _, folder := range []string{"a-folder", "my folder"} {
		if err := os.MkdirAll(filepath.Join(home, "apart", folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(home, "apart", "one file.json"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	coltec := executable(t, bin)
	t.Setenv("HOME", home)
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("PATH", bin+":/usr/bin:/bin") // without a docker: it is not asked
	for _, env := range []string{"dev-one", "try-two"} {
		if out, err := exec.Command(coltec, "new", filepath.Join(home, "ws", env), "--data", "org=acme", "--data", "project=widget", "--data", "env="+env).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for env, more := range map[string]string{
		"dev-one": "services: [{name: never-ran, command: [x]}]\n",
		"try-two": "services: [{name: queue, command: [x]}]\n",
	} {
		file := filepath.Join(home, "ws", env, specName)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(text, more...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept := filepath.Join(home, "ws", "dev-one", ".coltec/conflicts/20300102T030405.000Z-desk/notes.txt")
	if err := errors.Join(os.MkdirAll(filepath.Dir(kept), 0o755), os.WriteFile(kept, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	logs := filepath.Join(home, "ws", "dev-one", logsName)
	doc := `{"state": "running", "lease": {"generation": 42, "checkpoints": ["release.1", "before-lunch"]}, "units": [{"name": "hook:post", "kind": "hook"}, {"name": "web-server", "kind": "service", "state": "running"}, {"name": "worker", "kind": "service"}], "replicas": [{"name": "workspace", "state": "synced"}]}`
	if err := os.MkdirAll(logs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(logs, "status.json"), []byte(doc), 0o644); err != nil {
		t.Fatal(err)
	}
	apart := filepath.Join(home, "apart")
	t.Chdir(apart)
	return apart
}

// asked are the questions to shells: what is typed, and all that it may become.
var asked = map[string]string{
	"coltec stat":                         "status",
	"coltec templ":                        "templates",
	"coltec keep":                         "",
	"coltec secrets e":                    "export",
	"coltec status dev":                   "dev-one",
	"coltec status acme/widget/t":         "acme/widget/try-two",
	"coltec status --js":                  "--json",
	"coltec logs dev-one w":               "web-server worker",
	"coltec logs dev-one --lines 5 c":     "coltecd",
	"coltec logs acme/widget/dev-one web": "web-server",
	"coltec export dev-one --at 4":        "42 41 40",
	"coltec new x --template b":           "base",
	"coltec completion ":                  "bash fish zsh",
	"coltec templates b":                  "base",
	"coltec new x --fork acme/":           "acme/widget/dev-one acme/widget/try-two",
	"coltec logs try-two w":               "",
	"coltec logs try-two q":               "queue",
	"coltec logs -fn 5 dev-one c":         "coltecd",
	"coltec logs dev-one hook:p":          "hook:post",
	"coltec logs dev-one hook:":           "hook:post",
	"coltec export dev-one --at=4":        "--at=42 --at=41 --at=40",
	"coltec export dev-one --at=":         "--at=before-lunch --at=release.1 --at=42 --at=41 --at=40 --at=39 --at=38 --at=1h --at=1d",
	"coltec export dev-one --replica=w":   "--replica=workspace",
	"coltec ls --json=":                   "",
	"coltec rewind dev-one ":              "before-lunch release.1 42 41 40 39 38 1h 1d",
	"coltec rewind acme/widget/dev-one r": "release.1",
	"coltec compare dev-one before-l":     "before-lunch",
	"coltec compare dev-one release.1 b":  "before-lunch",
	"coltec checkpoint dev-one b":         "",
	"coltec checkpoint dev-one --rem":     "--remove",
	"coltec checkpoint --remove dev-one ": "before-lunch release.1",
	"coltec fork dev-one@b":               "dev-one@before-lunch",
	"coltec fork acme/widget/dev-one@":    "acme/widget/dev-one@before-lunch acme/widget/dev-one@release.1 acme/widget/dev-one@42 acme/widget/dev-one@41 acme/widget/dev-one@40 acme/widget/dev-one@39 acme/widget/dev-one@38 acme/widget/dev-one@1h acme/widget/dev-one@1d",
	"coltec history dev-one ":             "ls show restore",
	"coltec history dev-one show b":       "before-lunch",
	"coltec conflicts dev-one t":          "take",
	"coltec conflicts dev-one d":          "diff drop",
	"coltec conflicts dev-one take 2":     "20300102T030405.000Z-desk/notes.txt",
	"coltec conflicts dev-one take --a":   "--all --age-key-file",
	"coltec sync dev-one ":                "workspace",
	"coltec agents cl":                    "claude",
	"coltec agents lo":                    "logout",
	"coltec agents logout dev --agent=co": "--agent=codex --agent=copilot",
	"coltec join try-two --into dev":      "dev-one",
	"coltec hop acme/widget/d":            "acme/widget/dev-one",
}

// In the real shells.
func TestCompletionInBash(t *testing.T) {
	sample.Long(t)
	completed(t)
	// Bash parts words there, too, and puts what it gets in the place of the last part.
	const script = `source <(coltec completion bash) || exit
for COMP_LINE; do
	echo "= $COMP_LINE"
	COMP_POINT=${#COMP_LINE} parted=$COMP_LINE
	for c in = : @; do parted=${parted//$c/ $c }; done
	read -ra COMP_WORDS <<<"$parted"
	[[ $COMP_LINE != *" " ]] || COMP_WORDS+=("")
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	_coltec coltec
	last=${COMP_LINE##* } cut=
	[[ $last != *[=:@]* ]] || cut=${last%"${last##*[=:@]}"}
	for w in "${COMPREPLY[@]}"; do printf '%s\n' "${cut%@}$w"; done
done`
	holdCompletions(t, asked, "bash", "-c", script, "bash")
}

func TestCompletionInFish(t *testing.T) {
	sample.Long(t)
	completed(t)
	all := maps.Clone(asked)
	maps.Copy(all, map[string]string{ // with quotes
		`coltec up my\ f`:                  `my folder/`,
		`coltec up "my f`:                  `my folder/`,
		`coltec trust --config=one\ f`:     `--config=one file.json`,
		`coltec join x --into=my\ f`:       `--into=my folder/`,
		`coltec export "dev-one" --at=4`:   "--at=42 --at=41 --at=40",
		`coltec logs ~/ws/dev-one web`:     "web-server",
		`coltec logs '../ws/dev-one' hook`: "hook:post",
	})
	holdCompletions(t, all, "fish", "--no-config", "-c", `coltec completion fish | source
for line in $argv
	echo "= $line"
	complete --do-complete $line | string replace -r '\t.*' ''
end
true`)
}

// holdCompletions has a shell answer all questions, and prints them with a line before each.
func holdCompletions(t *testing.T, asked map[string]string, argv ...string) {
	t.Helper()
	lines := slices.Sorted(maps.Keys(asked))
	cmd := exec.Command(argv[0], append(argv[1:], lines...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got := map[string][]string{}
	at := ""
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSuffix(line, "\n")
		if typed, is := strings.CutPrefix(line, "= "); is {
			at, got[typed] = typed, nil
			continue
		}
		got[at] = append(got[at], strings.Fields(line)...)
	}
	for _, line := range lines {
		words, is := got[line]
		if have := strings.Join(words, " "); !is || !sameWords(have, asked[line]) {
			t.Errorf("%s: %q, want %q", line, have, asked[line])
		}
	}
}

// sameWords reports whether both have the same words: shells sort as they like.
func sameWords(a, b string) bool {
	words := map[string]int{}
	for _, w := range strings.Fields(a) {
		words[w]++
	}
	for _, w := range strings.Fields(b) {
		words[w]--
	}
	for _, n := range words {
		if n != 0 {
			return false
		}
	}
	return true
}

// A person types at a terminal, presses the tab key, and what was completed runs.
func TestCompletionAtATerminal(t *testing.T) {
	sample.Long(t)
	completed(t)
	shells := map[string]struct {
		argv  []string
		begin string
	}{
		"bash": {[]string{"bash", "--norc", "--noprofile", "-i"}, "bind 'set bell-style none'; source <(coltec completion bash)"},
		"zsh":  {[]string{"zsh", "-f", "-i"}, "autoload -U compinit && compinit -u -D; source <(coltec completion zsh)"},
	}
	for name, s := range shells {
		for typed, want := range map[string]string{
			"coltec templ\t\r":               "QUESTION",
			"coltec check try-t\t\r":         "1 workspace: valid",
			"coltec check acme/widget/t\t\r": "1 workspace: valid",
			"coltec check a-fo\t\r":          "not-readable: a-folder",
			"coltec templates b\t\r":         "QUESTION",
		} {
			t.Run(name+"/"+strings.TrimSpace(typed), func(t *testing.T) {
				t.Setenv("TERM", "dumb")
				x := onTerminal(t, s.argv[0], s.argv[1:]...)
				defer func() { _ = x.cmd.Process.Kill(); _ = x.cmd.Wait() }()
				x.types(s.begin+"; echo rea''dy\r", "ready")
				x.types(typed, want)
			})
		}
	}
}

// What is typed at a terminal, with quotes of all kinds, and what a program gets of it after the
// tab key.
func TestCompletionOfWhatIsQuoted(t *testing.T) {
	sample.Long(t)
	completed(t)
	t.Setenv("TERM", "dumb")
	for name, argv := range map[string][]string{"bash": {"bash", "--norc", "--noprofile", "-i"}, "zsh": {"zsh", "-f", "-i"}} {
		begin := map[string]string{
			"bash": "bind 'set bell-style none'; source <(coltec completion bash); complete -F _coltec show",
			"zsh":  "autoload -U compinit && compinit -u -D; source <(coltec completion zsh); compdef _coltec show",
		}[name]
		x := onTerminal(t, argv[0], argv[1:]...)
		x.types(begin+`; show() { for w; do printf '<%s>' "${w%/}"; done; echo; }; echo rea''dy`+"\r", "ready")
		for typed, want := range map[string]string{
			`show up my\ fo`:                          "<up><my folder>",
			`show join x --into=my\ fo`:               "<join><x><--into=my folder>",
			`show trust --config=one\ fi`:             "<trust><--config=one file.json>",
			`show trust --config="one fi`:             "<trust><--config=one file.json>",
			`show logs dev-one hook:p`:                "<logs><dev-one><hook:post>",
			`show logs "dev-one" hoo`:                 "<logs><dev-one><hook:post>",
			`show export dev-one --replica=wo`:        "<export><dev-one><--replica=workspace>",
			`show export dev-one --replica wo`:        "<export><dev-one><--replica><workspace>",
			`show fork acme/widget/dev-one@bef`:       "<fork><acme/widget/dev-one@before-lunch>",
			`show rewind ~/ws/dev-one bef`:            "/ws/dev-one><before-lunch>",
			`show checkpoint dev-one --remove bef`:    "<checkpoint><dev-one><--remove><before-lunch>",
			`show new x --template=ba`:                "<new><x><--template=base>",
			`show agents logout dev-one --agent=cla`:  "<agents><logout><dev-one><--agent=claude>",
			`show logs "../ws/dev-one" --lines=5 web`: "<logs><../ws/dev-one><--lines=5><web-server>",
		} {
			x.types(typed+"\t\r", want)
		}
		for _, quote := range []string{`"`, `'`} {
			end := map[string]string{"bash": "\r", "zsh": quote + "\r"}[name] // it goes on with what is in the folder
			x.types("show up "+quote+"my fo\t"+end, "<up><my folder>")
		}
		_ = x.cmd.Process.Kill()
		_ = x.cmd.Wait()
	}
}

// A package puts the script into a folder of fpath, where zsh reads it at the first tab: that
// one completed nothing.
func TestCompletionInstalledForZsh(t *testing.T) {
	sample.Long(t)
	completed(t)
	t.Setenv("TERM", "dumb")
	script, err := exec.Command("coltec", "completion", "zsh").Output()
	if err != nil {
		t.Fatal(err)
	}
	functions := t.TempDir()
	if err := os.WriteFile(filepath.Join(functions, "_coltec"), script, 0o644); err != nil {
		t.Fatal(err)
	}
	x := onTerminal(t, "zsh", "-f", "-i")
	defer func() { _ = x.cmd.Process.Kill(); _ = x.cmd.Wait() }()
	x.types("fpath=("+functions+" $fpath); autoload -U compinit && compinit -u -D; echo rea''dy\r", "ready")
	x.types("coltec templ\t\r", "QUESTION")
	x.types("coltec check try-t\t\r", "1 workspace: valid")
}

// types writes to the terminal, and waits for words.
func (x *terminal) types(text, want string) {
	x.t.Helper()
	if _, err := io.WriteString(x.pty, text); err != nil {
		x.t.Fatal(err)
	}
	var b [256]byte
	for from := x.said.Len(); !strings.Contains(x.said.String()[from:], want); {
		n, err := x.pty.Read(b[:])
		x.said.Write(b[:n])
		if err != nil {
			x.t.Fatalf("%q: no %q: %v\n%s", text, want, err, x.said.String())
		}
	}
}

// The manual page has no warning of those who read such pages, and all verbs.
func TestManualPage(t *testing.T) {
	sample.Long(t)
	home := t.TempDir()
	coltec := executable(t, home)
	page, err := exec.Command(coltec, "man").Output()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(home, "coltec.1")
	if err := os.WriteFile(file, page, 0o644); err != nil {
		t.Fatal(err)
	}
	lint, _ := exec.Command("mandoc", "-Tlint", "-Wwarning", file).CombinedOutput() // it ends with what it found
	for line := range strings.Lines(string(lint)) {
		if !strings.Contains(line, "missing date") { // of a build that says none
			t.Error(line)
		}
	}
	cmd := exec.Command("man", "--warnings", "-l", file)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=80", "MANPAGER=cat")
	var said strings.Builder
	cmd.Stderr = &said
	text, err := cmd.Output()
	if err != nil || said.Len() > 0 {
		t.Fatalf("%v: %s", err, said.String())
	}
	for _, c := range newApp(&program{}).VisibleCommands() {
		if !strings.Contains(string(text), "coltec "+c.Name) {
			t.Errorf("%s is missing", c.Name)
		}
	}
}

// A workspace that is known in several ways, by what was agreed to and as a neighbour, by a
// link too, is offered once.
func TestKnownOnce(t *testing.T) {
	sample.Long(t)
	apart := completed(t)
	ws := filepath.Join(apart, "..", "ws")
	if err := os.Symlink("dev-one", filepath.Join(ws, "link")); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{ws, filepath.Join(ws, "dev-one"), filepath.Join(ws, "link"), filepath.Join(ws, "try-two", ".devcontainer")} {
		t.Chdir(dir)
		words := map[string]int{}
		for _, w := range newProgram(stdio{}, os.Environ()).workspaceWords(false) {
			words[w.Word]++
		}
		if len(words) != 4 || words["dev-one"] != 1 || words["acme/widget/try-two"] != 1 {
			t.Errorf("%s: %v", dir, words)
		}
	}
}
