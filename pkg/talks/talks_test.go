package talks

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/agents"
)

// Lines as the real programs wrote them against an API on loopback, shortened; those of a tool,
// of a helper and of an interruption are made after them.
const (
	claudeUser   = `{"parentUuid":null,"isSidechain":false,"type":"user","message":{"role":"user","content":"say hello"},"timestamp":"2026-11-30T04:51:07.612Z","cwd":"/workspace"}` + "\n"
	claudeTool   = `{"isSidechain":false,"message":{"role":"assistant","stop_reason":"tool_use"},"type":"assistant","timestamp":"2026-11-30T04:51:07.650Z","cwd":"/workspace"}` + "\n"
	claudeAnswer = `{"isSidechain":false,"message":{"role":"assistant","stop_reason":"end_turn"},"type":"assistant","timestamp":"2026-11-30T04:51:07.680Z","cwd":"/workspace"}` + "\n"
	claudeLast   = `{"type":"last-prompt","lastPrompt":"say hello","leafUuid":"1"}` + "\n"
	claudeSide   = `{"isSidechain":true,"message":{"role":"assistant","stop_reason":"end_turn"},"type":"assistant","timestamp":"2026-11-30T04:51:07.700Z"}` + "\n"
	codexMeta    = `{"timestamp":"2026-11-30T04:51:07.976Z","type":"session_meta","payload":{"cwd":"/workspace"}}` + "\n"
	codexStart   = `{"timestamp":"2026-11-30T04:51:07.976Z","type":"event_msg","payload":{"type":"task_started"}}` + "\n"
	codexItem    = `{"timestamp":"2026-11-30T04:51:08.037Z","type":"response_item","payload":{"type":"message","role":"assistant"}}` + "\n"
	codexEnd     = `{"timestamp":"2026-11-30T04:51:08.051Z","type":"event_msg","payload":{"type":"task_complete"}}` + "\n"
	codexAborted = `{"timestamp":"2026-11-30T04:51:08.052Z","type":"event_msg","payload":{"type":"turn_aborted"}}` + "\n"
)

func known(t *testing.T, name string) agents.Agent {
	t.Helper()
	a, is := agents.Find(name)
	if !is {
		t.Fatalf("%s is not known", name)
	}
	return a
}

func TestJudge(t *testing.T) {
	for name, tt := range map[string]struct {
		agent, text string
		open        bool
		at          string // seconds and milliseconds of the last turn
	}{
		"claude, a prompt":            {"claude", claudeUser, true, "07.612"},
		"claude, a tool runs":         {"claude", claudeUser + claudeTool, true, "07.650"},
		"claude, answered":            {"claude", claudeUser + claudeTool + claudeUser + claudeAnswer, false, "07.680"},
		"claude, left":                {"claude", claudeUser + claudeAnswer + claudeLast, false, "07.680"},
		"claude, a helper answered":   {"claude", claudeUser + claudeTool + claudeSide, true, "07.700"},
		"claude, the next prompt":     {"claude", claudeUser + claudeAnswer + claudeUser, true, "07.612"},
		"claude, half a line":         {"claude", claudeUser + claudeAnswer + claudeUser[:40], true, "07.680"},
		"claude, a line that is none": {"claude", claudeUser + claudeAnswer + "\x1b[2J{\n", false, "07.680"},
		"claude, a list":              {"claude", claudeAnswer + "[1,2]\n", false, "07.680"},
		"codex, a prompt":             {"codex", codexMeta + codexStart, true, "07.976"},
		"codex, an item":              {"codex", codexMeta + codexStart + codexItem, true, "08.037"},
		"codex, answered":             {"codex", codexMeta + codexStart + codexItem + codexEnd, false, "08.051"},
		"codex, interrupted":          {"codex", codexMeta + codexStart + codexAborted, false, "08.052"},
		"nothing":                     {"claude", "", false, ""},
		"nothing known of turns":      {"gemini", `{"type":"user","timestamp":"2026-11-30T04:51:09.567Z"}` + "\n" + `{"half`, false, "09.567"},
	} {
		t.Run(name, func(t *testing.T) {
			e := judge([]byte(tt.text), 0, known(t, tt.agent).Turns)
			at := ""
			if !e.at.IsZero() {
				at = e.at.UTC().Format("05.000")
			}
			if e.open != tt.open || at != tt.at {
				t.Errorf("open %v at %q", e.open, at)
			}
		})
	}
}

// put writes a conversation that last grew so long before now.
func put(t *testing.T, home, name, text string, now time.Time, age time.Duration) {
	t.Helper()
	at := filepath.Join(home, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(at, now.Add(-age), now.Add(-age)); err != nil {
		t.Fatal(err)
	}
}

// An agent whose lines say nothing of turns is at work where its file is seen to grow: one that
// a restore has placed a moment ago is as young.
func TestSeenToGrow(t *testing.T) {
	a, _ := agents.Find("opencode")
	dir := t.TempDir()
	home, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	file := filepath.Join(dir, ".local/share/opencode/opencode.db")
	var r Reader
	now := time.Now()
	for _, step := range []struct {
		does string
		text string // "": as it is
		age  time.Duration
		want bool
	}{
		{"it is placed", "x", 0, false},
		{"nothing", "", 2 * time.Second, false},
		{"it grows", "xx", time.Second, true},
		{"nothing", "", busy - time.Second, true},
		{"nothing for long", "", busy, false},
		{"it grows again", "xxx", time.Second, true},
	} {
		if step.text != "" {
			now = now.Add(time.Minute)
			at := now.Add(-step.age)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(step.text), 0o600), os.Chtimes(file, at, at)); err != nil {
				t.Fatal(err)
			}
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Look(home, a, "/w", info.ModTime().Add(step.age)).Working; got != step.want {
			t.Errorf("%s: at work is %v", step.does, got)
		}
	}
}

func TestLook(t *testing.T) {
	const one, two = ".claude/projects/-workspace/1.jsonl", ".claude/projects/-workspace/2.jsonl"
	now := time.Date(2026, 11, 30, 5, 0, 0, 0, time.UTC)
	elsewhere := strings.ReplaceAll(claudeUser, "/workspace", "/workspace2")
	for name, tt := range map[string]struct {
		agent string
		files map[string]string
		age   time.Duration
		want  Found
	}{
		"none":                {"claude", nil, 0, Found{}},
		"two, answered":       {"claude", map[string]string{one: claudeUser + claudeAnswer, two: claudeUser}, 3 * time.Minute, Found{Talks: 2}},
		"a turn":              {"claude", map[string]string{one: claudeUser}, time.Minute, Found{Talks: 1, Working: true}},
		"killed in a turn":    {"claude", map[string]string{one: claudeUser}, time.Hour, Found{Talks: 1}},
		"grows":               {"claude", map[string]string{one: claudeUser + claudeAnswer}, Rest / 2, Found{Talks: 1, Working: true}},
		"rests":               {"claude", map[string]string{one: claudeUser + claudeAnswer}, Rest, Found{Talks: 1}},
		"by another clock":    {"claude", map[string]string{one: claudeUser}, -time.Hour, Found{Talks: 1}},
		"of another folder":   {"claude", map[string]string{".claude/projects/-workspace2/1.jsonl": elsewhere}, time.Second, Found{}},
		"of a folder within":  {"claude", map[string]string{one: strings.ReplaceAll(claudeUser, "/workspace", "/workspace/sub")}, time.Hour, Found{Talks: 1}},
		"a placed database":   {"opencode", map[string]string{".local/share/opencode/opencode.db": "x"}, time.Second, Found{}},
		"a database at rest":  {"opencode", map[string]string{".local/share/opencode/opencode.db": "x"}, busy, Found{}},
		"deep below, of days": {"codex", map[string]string{".codex/sessions/2026/11/30/rollout-1.jsonl": codexMeta + codexEnd, ".codex/sessions/x.jsonl": codexStart}, time.Minute, Found{Talks: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range tt.files {
				put(t, dir, file, text, now, tt.age)
			}
			home, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer home.Close()
			var r Reader
			for range 2 { // the second look is by what the first one remembers
				got := r.Look(home, known(t, tt.agent), "/workspace", now)
				if got.Last.IsZero() != (got.Talks == 0 && tt.agent != "opencode") {
					t.Errorf("last turn %v", got.Last)
				}
				got.Last, got.Recent = time.Time{}, Recent{}
				if got != tt.want {
					t.Errorf("%+v, want %+v", got, tt.want)
				}
			}
		})
	}
}

// What others put where a conversation would be is not followed, not waited for, and not
// taken for one.
func TestLookAtStrangeFiles(t *testing.T) {
	dir, outside, now := t.TempDir(), t.TempDir(), time.Now()
	put(t, outside, "x/1.jsonl", claudeUser, now, time.Second)
	projects := filepath.Join(dir, ".claude/projects")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(projects, "-w", "dir.jsonl"), 0o700),
		os.Symlink(filepath.Join(outside, "x"), filepath.Join(projects, "out")),
		os.Symlink(filepath.Join(outside, "x/1.jsonl"), filepath.Join(projects, "-w", "out.jsonl")),
		syscall.Mkfifo(filepath.Join(projects, "-w", "pipe.jsonl"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	home, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	var r Reader
	if got := r.Look(home, known(t, "claude"), "/workspace", now); got != (Found{}) {
		t.Errorf("%+v", got)
	}
	// A conversation that is cut short, as by a rotation, is read anew.
	put(t, dir, ".claude/projects/-w/1.jsonl", claudeUser+claudeAnswer, now, time.Minute)
	if got := r.Look(home, known(t, "claude"), "/workspace", now); got.Talks != 1 || got.Working {
		t.Errorf("%+v", got)
	}
	put(t, dir, ".claude/projects/-w/1.jsonl", claudeUser, now, time.Minute)
	if got := r.Look(home, known(t, "claude"), "/workspace", now); !got.Working {
		t.Errorf("%+v", got)
	}
	// One line is larger than what is read of it.
	put(t, dir, ".claude/projects/-w/1.jsonl", claudeUser+strings.Repeat("x", 2*windowMost)+"\n"+claudeAnswer, now, time.Minute)
	if got := r.Look(home, known(t, "claude"), "/workspace", now); got.Talks != 1 || got.Working {
		t.Errorf("%+v", got)
	}
}

// The conversation that grew last is told by its name, as the program files it, and whether its
// turn has ended, however long ago.
func TestRecent(t *testing.T) {
	now := time.Date(2026, 11, 30, 5, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		agent string
		files []string // the later the younger, a minute each
		texts []string
		want  Recent // but for when
	}{
		"none":                {"claude", nil, nil, Recent{}},
		"the last one":        {"claude", []string{".claude/projects/-workspace/1a-2.jsonl", ".claude/projects/-workspace/3b.jsonl"}, []string{claudeUser, claudeUser + claudeAnswer}, Recent{Name: "3b"}},
		"it is open":          {"claude", []string{".claude/projects/-workspace/1a-2.jsonl", ".claude/projects/-workspace/3b.jsonl"}, []string{claudeUser + claudeAnswer, claudeUser}, Recent{Name: "3b", Open: true}},
		"of a directory":      {"copilot", []string{".copilot/session-state/6f1c/events.jsonl"}, []string{""}, Recent{Name: "6f1c"}},
		"in one file":         {"opencode", []string{".local/share/opencode/opencode.db"}, []string{"x"}, Recent{}},
		"a name with a space": {"claude", []string{".claude/projects/-workspace/1 \x1b[2J.jsonl"}, []string{claudeUser}, Recent{Open: true}},
		"a name like a flag":  {"claude", []string{".claude/projects/-workspace/--x.jsonl"}, []string{claudeUser}, Recent{Open: true}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for i, file := range tt.files {
				put(t, dir, file, tt.texts[i], now, time.Duration(10-i)*time.Minute)
			}
			home, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer home.Close()
			var r Reader
			got := r.Look(home, known(t, tt.agent), "/workspace", now).Recent
			if n := len(tt.files); n > 0 && !got.Grew.Equal(now.Add(-time.Duration(11-n)*time.Minute)) {
				t.Errorf("it grew at %v", got.Grew)
			}
			got.Grew = time.Time{}
			if got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

// A conversation is one of a folder where its first lines name that, or nothing: of its end nothing is read.
func TestAny(t *testing.T) {
	const at = ".claude/projects/-workspace/1.jsonl"
	for name, tt := range map[string]struct {
		files map[string]string
		want  bool
	}{
		"none":                         {nil, false},
		"here":                         {map[string]string{at: claudeUser}, true},
		"elsewhere":                    {map[string]string{at: strings.ReplaceAll(claudeUser, "/workspace", "/workspace/sub")}, false},
		"one elsewhere, one here":      {map[string]string{at: strings.ReplaceAll(claudeUser, "/workspace", "/other"), ".claude/projects/-o/2.jsonl": claudeUser}, true},
		"it does not say":              {map[string]string{at: claudeLast}, true},
		"a half line":                  {map[string]string{at: strings.TrimSuffix(strings.ReplaceAll(claudeUser, "/workspace", "/other"), "\n")}, true},
		"no place where they are kept": {map[string]string{".claude/1.jsonl": claudeUser}, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range tt.files {
				put(t, dir, file, text, time.Now(), time.Minute)
			}
			home, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer home.Close()
			if got := Any(home, known(t, "claude"), "/workspace"); got != tt.want {
				t.Errorf("%v", got)
			}
		})
	}
}

// What was read of a file that is gone was kept for ever.
func TestAReaderForgetsWhatIsGone(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	home, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	var r Reader
	const one, two = ".claude/projects/-workspace/1.jsonl", ".claude/projects/-workspace/2.jsonl"
	put(t, dir, one, claudeUser, now, time.Minute)
	put(t, dir, two, claudeUser, now, time.Minute)
	r.Look(home, known(t, "claude"), "/workspace", now)
	if err := os.Remove(filepath.Join(dir, one)); err != nil {
		t.Fatal(err)
	}
	r.Look(home, known(t, "codex"), "/workspace", now) // of another agent: it says nothing of these
	r.Look(home, known(t, "claude"), "/workspace", now)
	if left := r.seen["claude"]; len(left) != 1 || left[two].size == 0 {
		t.Errorf("it remembers %v", left)
	}
}

// What is remembered of a file that grows says what a reader says that has never seen it:
// whatever is appended, half lines and long ones among it, and also where it is cut or another
// file has its name.
func TestFollowedAsReadAnew(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	folder := func(text string) string {
		return strings.ReplaceAll(text, "/workspace", fmt.Sprintf("/workspace%d", rnd.IntN(9)))
	}
	long := func() string {
		return fmt.Sprintf(`{"type":"x","text":%q}`+"\n", strings.Repeat("x", rnd.IntN(90<<10)))
	}
	for _, agent := range []struct {
		name, file string
		lines      []string
	}{
		{"claude", ".claude/projects/-workspace/1.jsonl", []string{claudeUser, claudeTool, claudeAnswer, claudeLast, claudeSide, "[1]\n", "\n", "{"}},
		{"codex", ".codex/sessions/2026/11/30/rollout-1.jsonl", []string{codexMeta, codexStart, codexItem, codexItem, codexEnd, codexAborted}},
		{"gemini", ".gemini/tmp/w/chats/session-1.jsonl", []string{`{"type":"user","timestamp":"2026-11-30T04:51:09.567Z"}` + "\n", `{"timestamp":"no"}` + "\n"}},
	} {
		t.Run(agent.name, func(t *testing.T) {
			dir := t.TempDir()
			home, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer home.Close()
			a, text, followed, was := known(t, agent.name), "", 0, talk{}
			for step := range 120 {
				switch rnd.IntN(40) {
				case 0: // cut
					text = text[:rnd.IntN(len(text)+1)]
				case 1: // another one
					text = folder(claudeUser) + text[min(len(text), rnd.IntN(500)):]
				case 2:
					text = ""
				default:
					for range rnd.IntN(4) {
						line := folder(agent.lines[rnd.IntN(len(agent.lines))])
						if rnd.IntN(5) == 0 {
							line = long()
						}
						if rnd.IntN(6) == 0 {
							line = line[:rnd.IntN(len(line)+1)]
						}
						text += line
					}
				}
				put(t, dir, agent.file, text, time.Now(), 0)
				info, err := home.Lstat(agent.file)
				if err != nil {
					t.Fatal(err)
				}
				anew := read(home, agent.file, info, a.Turns, talk{})
				f, ok := open(home, agent.file)
				if !ok {
					t.Fatal("it cannot be read")
				}
				if by := (talk{size: info.Size()}); by.follow(f, a.Turns, was) {
					followed++
				}
				f.Close()
				got := read(home, agent.file, info, a.Turns, was)
				if got.end.open != anew.end.open || !got.end.at.Equal(anew.end.at) || !slices.Equal(got.places, anew.places) {
					t.Fatalf("step %d, %d bytes: open %v, %v, %q; read anew it is %v, %v, %q", step, len(text), got.end.open, got.end.at, got.places, anew.end.open, anew.end.at, anew.places)
				}
				was = got
			}
			if followed < 20 {
				t.Errorf("%d of 120 were followed", followed)
			}
		})
	}
}
