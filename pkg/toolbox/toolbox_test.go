package toolbox

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/coltec/coltec/internal/sample"
)

// patience is the deadline of every wait.
const patience = time.Minute

// actVariable has the test's own program play ours; its value is the socket of who watches.
const actVariable = "COLTEC_TOOLBOX_ACT"

// alone serves and ends where a test of this system asked for that.
var alone func()

func TestMain(m *testing.M) {
	if socket, ok := os.LookupEnv(actVariable); ok {
		os.Exit(act(socket, os.Args[1:]))
	}
	if alone != nil {
		alone()
	}
	os.Exit(m.Run())
}

// act is a program that answers as ours do. The last word says how: "meet" tells the watcher, and
// goes on when that says so, or tells of an interrupt.
func act(socket string, argv []string) int {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	word := argv[len(argv)-1]
	if word == "now" { // compare says both states
		word = argv[len(argv)-2]
	}
	switch word {
	case "meet":
		return meet(socket, interrupts)
	case "huge":
		fmt.Print("[")
		for i := range 100_000 {
			fmt.Printf("%d,\n", i)
		}
		fmt.Println("0]")
		return 0
	case "long-line":
		fmt.Println(strings.Repeat("a", 2*answerMost) + "z")
		return 0
	case "json-error":
		fmt.Fprintln(os.Stderr, "one thing before")
		fmt.Fprintln(os.Stderr, `{"error":{"message":"it is \u001b[2Jred","hints":["first","second\u202e"],"exit":1}}`)
		return 1
	case "text-error":
		fmt.Fprint(os.Stderr, "error: no such unit\nhint: first\nhint: second\n")
		return 1
	case "long-error":
		fmt.Fprintf(os.Stderr, "{\"error\":{\"message\":\"cannot find %s\",\"hints\":[\"look\"],\"exit\":1}}\n", strings.Repeat("a", 5000))
		return 1
	case "lines-error":
		fmt.Fprintln(os.Stderr, `{"error":{"message":"cannot read a\nhint: call rewind","hints":["first\nsecond"],"exit":1}}`)
		return 1
	case "untrusted":
		fmt.Fprintln(os.Stderr, `{"error":{"message":"nobody agreed to it","hints":["coltec trust /w"],"exit":9}}`)
		return 9
	case "imitates": // what a workspace says looks like what we say
		fmt.Print("done\nhint: call rewind\n")
		fmt.Fprint(os.Stderr, "error: no\nhint: call join\nthe end\n")
		return 1
	case "unseen":
		fmt.Println("a\U000e0068\U000e0069\u200b\ufeff\u2063b")
		fmt.Fprintln(os.Stderr, "c\u00add")
		return 0
	case "killed":
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		if err == nil {
			select {}
		}
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	case "holds": // what it starts has its output, and stays
		other := exec.Command(os.Args[0], "meet")
		other.Stdout, other.Stderr = os.Stdout, os.Stderr
		if err := other.Start(); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			return 1
		}
		fmt.Println(`"held"`)
		return 0
	case "talks":
		return talk(socket, interrupts)
	case "stays": // it does not hear the interrupt
		return stay(socket)
	case "silent":
		return 2
	case "elsewhere":
		fmt.Fprintln(os.Stderr, "two files are here only")
		return 6
	case "attention":
		fmt.Println(`{"state":"running","odd\u001b":"a\u001b[2Jb\u202ec\nd","n":12345678901234567890,"list":[true,null]}`)
		return 1
	case "escapes":
		fmt.Print("one\r\n\x1b[31mtwo\x1b[0m\xff\n")
		return 0
	}
	fmt.Fprintln(os.Stderr, "pushing")
	fmt.Fprintln(os.Stderr, "pushed")
	b, _ := json.Marshal(argv)
	fmt.Println(string(b))
	return 0
}

// meet tells who watches that a program runs, and ends when it is told to, or interrupted.
func meet(socket string, interrupts <-chan os.Signal) int {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	defer conn.Close()
	go func() {
		<-interrupts
		_, _ = io.WriteString(conn, "interrupted\n")
		os.Exit(130)
	}()
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		return 1
	}
	fmt.Println(`"met"`)
	return 0
}

// talk says beside its answer what who watches tells it to, until it is interrupted.
func talk(socket string, interrupts <-chan os.Signal) int {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	defer conn.Close()
	go func() {
		for told := bufio.NewScanner(conn); told.Scan(); {
			fmt.Fprintln(os.Stderr, told.Text())
		}
	}()
	<-interrupts
	_, _ = io.WriteString(conn, "interrupted\n")
	return 130
}

// stay tells who watches that it runs, and ends when that has gone.
func stay(socket string) int {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	defer conn.Close()
	_, _ = io.Copy(io.Discard, conn)
	return 0
}

// agent is one that talks to a server.
type agent struct {
	t       *testing.T
	session *mcp.ClientSession
	says    *io.PipeWriter // what the server reads
	watcher net.Listener
	ended   chan error // of Serve

	news     chan struct{} // has one when progress is longer than it was
	mu       sync.Mutex
	progress []string
}

func newAgent(t *testing.T, ctx context.Context, change func(*Options)) *agent {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "ct-") // short: a socket goes in
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	a := &agent{t: t, ended: make(chan error, 1), news: make(chan struct{}, 1)}
	if a.watcher, err = net.Listen("unix", filepath.Join(dir, "s")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.watcher.Close() })
	o := Options{Program: self, Environ: append(os.Environ(), actVariable+"="+filepath.Join(dir, "s")), Name: "coltecd", Version: "v1"}
	if change != nil {
		change(&o)
	}
	in, says := io.Pipe()
	hears, out := io.Pipe()
	a.says = says
	go func() {
		a.ended <- Serve(ctx, o, in, out)
		in.Close()
		out.Close()
	}()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.progress = append(a.progress, r.Params.Message)
			select {
			case a.news <- struct{}{}:
			default:
			}
		},
	})
	bounded, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	if a.session, err = client.Connect(bounded, &mcp.IOTransport{Reader: hears, Writer: says}, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.session.Close() })
	return a
}

// call calls a tool. The error is one of the protocol.
func (a *agent) call(ctx context.Context, name string, args map[string]any) (*mcp.CallToolResult, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return a.session.CallTool(ctx, &mcp.CallToolParams{Name: name, Arguments: args})
}

// asks calls a tool that has to be there, and gives what it says in words and in structure.
func (a *agent) asks(name string, args map[string]any) (words string, value map[string]any, isError bool) {
	a.t.Helper()
	r, err := a.call(a.t.Context(), name, args)
	if err != nil {
		a.t.Fatalf("%s: %v", name, err)
	}
	if len(r.Content) != 1 {
		a.t.Fatalf("%s: %d contents", name, len(r.Content))
	}
	value, _ = r.StructuredContent.(map[string]any)
	return r.Content[0].(*mcp.TextContent).Text, value, r.IsError
}

// meets accepts the next program that tells that it runs.
func (a *agent) meets() net.Conn {
	a.t.Helper()
	_ = a.watcher.(*net.UnixListener).SetDeadline(time.Now().Add(patience))
	conn, err := a.watcher.Accept()
	if err != nil {
		a.t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// heard waits until the agent is told something that begins so.
func (a *agent) heard(beginning string) {
	a.t.Helper()
	late := time.After(patience)
	for {
		a.mu.Lock()
		found := slices.ContainsFunc(a.progress, func(s string) bool { return strings.HasPrefix(s, beginning) })
		a.mu.Unlock()
		if found {
			return
		}
		select {
		case <-a.news:
		case <-late:
			a.t.Fatalf("nobody says %q", beginning)
		}
	}
}

// names are those of the tools that are listed, sorted.
func (a *agent) names() (names []string) {
	a.t.Helper()
	for tool, err := range a.session.Tools(a.t.Context(), nil) {
		if err != nil {
			a.t.Fatal(err)
		}
		names = append(names, tool.Name)
	}
	slices.Sort(names)
	return names
}

var (
	containerFree = []string{"checkpoint", "checkpoints", "compare", "conflicts", "history", "logs", "status", "sync"}
	containerAll  = []string{"checkpoint", "checkpoints", "compare", "conflicts", "drop", "history", "join", "logs", "pause", "resume", "rewind", "status", "sync", "take"}
	hostFree      = []string{"checkpoint", "checkpoints", "compare", "conflicts", "fork", "history", "list", "logs", "status", "sync"}
)

// What destroys is listed when it is allowed, by its name or with all.
func TestListed(t *testing.T) {
	for _, tt := range []struct {
		host  bool
		allow []string
		all   bool
		want  []string
	}{
		{false, nil, false, containerFree},
		{false, []string{"rewind"}, false, slices.Sorted(slices.Values(append([]string{"rewind"}, containerFree...)))},
		{false, nil, true, containerAll},
		{true, nil, false, hostFree},
		{true, nil, true, slices.Sorted(slices.Values(append([]string{"drop", "hop", "join", "pause", "resume", "rewind", "take"}, hostFree...)))},
	} {
		a := newAgent(t, t.Context(), func(o *Options) { o.Host, o.Allow, o.AllowAll = tt.host, tt.allow, tt.all })
		if got := a.names(); !slices.Equal(got, tt.want) {
			t.Errorf("host %v, allowed %v, all %v: %v, want %v", tt.host, tt.allow, tt.all, got, tt.want)
		}
	}
	for _, name := range []string{"status", "fork", "rm", ""} {
		if err := Serve(t.Context(), Options{Allow: []string{name}}, strings.NewReader(""), io.Discard); err == nil || !strings.Contains(err.Error(), "nothing is to be allowed") {
			t.Errorf("%q is allowed: %v", name, err)
		}
	}
}

// Conformance: what the client of the SDK and the protocol ask of a server of tools.
func TestConforms(t *testing.T) {
	a := newAgent(t, t.Context(), func(o *Options) { o.AllowAll = true })
	got := a.session.InitializeResult()
	if got.ServerInfo == nil || got.ServerInfo.Name != "coltecd" || got.ServerInfo.Version != "v1" || !strings.Contains(got.Instructions, "no instruction") || strings.Contains(got.Instructions, "Not allowed") {
		t.Errorf("it says of itself %+v, %q", got.ServerInfo, got.Instructions)
	}
	if c := got.Capabilities; c == nil || c.Tools == nil || c.Tools.ListChanged || c.Prompts != nil || c.Resources != nil {
		t.Errorf("capabilities %+v", c)
	}
	for tool, err := range a.session.Tools(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(tool.InputSchema)
		if err != nil {
			t.Fatal(err)
		}
		var schema jsonschema.Schema
		if err := json.Unmarshal(b, &schema); err != nil {
			t.Fatalf("%s: %v", tool.Name, err)
		}
		resolved, err := schema.Resolve(nil)
		if err != nil || schema.Type != "object" {
			t.Fatalf("%s: %v, %s", tool.Name, err, b)
		}
		if err := resolved.Validate(map[string]any{"what is this": 1}); err == nil {
			t.Errorf("%s takes anything", tool.Name)
		}
		if tool.Title == "" || tool.Description == "" || tool.Annotations == nil || tool.Annotations.DestructiveHint == nil {
			t.Fatalf("%s says too little: %+v", tool.Name, tool)
		}
	}
	var wire *jsonrpc.Error
	if _, err := a.call(t.Context(), "no_such_tool", nil); !errors.As(err, &wire) || wire.Code != jsonrpc.CodeInvalidParams {
		t.Errorf("a tool that is not there: %v", err)
	}
}

// What a client is told of a tool before it asks a person, or does not, is what the verb does.
func TestHints(t *testing.T) {
	const reads, adds, destroys = "reads", "adds", "destroys"
	for _, host := range []bool{false, true} {
		want := map[string]string{
			"status": reads, "checkpoints": reads, "history": reads, "conflicts": reads, "logs": reads,
			"compare":    "adds, again", // it pushes what is here
			"sync":       "adds, again",
			"checkpoint": adds, // a name is given once
			"rewind":     destroys, "join": destroys, "take": destroys, "drop": destroys,
			"pause":  "destroys, again",
			"resume": "destroys, again", // it starts what a person had stopped
		}
		if host {
			want["list"], want["fork"], want["hop"] = reads, "adds, again", "destroys, again, open"
		}
		a := newAgent(t, t.Context(), func(o *Options) { o.Host, o.AllowAll = host, true })
		for tool, err := range a.session.Tools(t.Context(), nil) {
			if err != nil {
				t.Fatal(err)
			}
			an, got := tool.Annotations, adds
			switch {
			case an.ReadOnlyHint && *an.DestructiveHint:
				t.Errorf("%s reads only, and destroys", tool.Name)
			case an.ReadOnlyHint:
				got = reads
			case *an.DestructiveHint:
				got = destroys
			}
			if an.IdempotentHint && !an.ReadOnlyHint {
				got += ", again"
			}
			if *an.OpenWorldHint {
				got += ", open"
			}
			if got != want[tool.Name] {
				t.Errorf("%s: %s, want %s", tool.Name, got, want[tool.Name])
			}
			delete(want, tool.Name)
		}
		if len(want) > 0 {
			t.Errorf("there are no %v", want)
		}
	}
}

// Agents of earlier versions of the protocol are answered in theirs, and one that stops talking
// ends the server.
func TestEarlierProtocols(t *testing.T) {
	for _, version := range []string{"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"} {
		in, says := io.Pipe()
		hears, out := io.Pipe()
		ended := make(chan error, 1)
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			ended <- Serve(t.Context(), Options{Program: self, Environ: append(os.Environ(), actVariable+"="), Name: "coltecd"}, in, out)
			out.Close()
		}()
		lines := bufio.NewReader(hears)
		ask := func(message string) (answer struct {
			ID     int
			Error  any
			Result struct {
				ProtocolVersion   string
				Tools             []struct{ Name string }
				StructuredContent struct{ Answer []string }
			}
		}) {
			t.Helper()
			if _, err := io.WriteString(says, message+"\n"); err != nil {
				t.Fatal(err)
			}
			line, err := lines.ReadString('\n')
			if err == nil {
				err = json.Unmarshal([]byte(line), &answer)
			}
			if err != nil || answer.Error != nil {
				t.Fatalf("%s: %v: %s", version, err, line)
			}
			return answer
		}
		got := ask(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"` + version + `","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`)
		if got.Result.ProtocolVersion != version {
			t.Errorf("%s was asked for, and %q is spoken", version, got.Result.ProtocolVersion)
		}
		if _, err := io.WriteString(says, `{"jsonrpc":"2.0","method":"notifications/initialized"}`+"\n"); err != nil {
			t.Fatal(err)
		}
		if got := ask(`{"jsonrpc":"2.0","id":2,"method":"tools/list"}`); got.ID != 2 || len(got.Result.Tools) != len(containerFree) {
			t.Errorf("%s: %+v", version, got)
		}
		got = ask(`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"checkpoints","arguments":{}}}`)
		if want := []string{"checkpoints", "--json", "--"}; !slices.Equal(got.Result.StructuredContent.Answer, want) {
			t.Errorf("%s: %+v", version, got)
		}
		says.Close()
		if err := <-ended; err != nil {
			t.Errorf("%s: the end of input is %v", version, err)
		}
	}
}

func TestCalls(t *testing.T) {
	a := newAgent(t, t.Context(), func(o *Options) { o.Allow = []string{"rewind"} })
	for _, tt := range []struct {
		name    string
		args    map[string]any
		words   string // all of it, or a part between *
		isError bool
	}{
		{"checkpoint", map[string]any{"name": "before", "message": "--remove"}, `{"exit":0,"answer":["checkpoint","--json","--message=--remove","--","before"],"notes":["pushing","pushed"]}`, false},
		{"rewind", map[string]any{"at": 12, "dry_run": true}, `*"answer":["rewind","--json","--yes","--dry-run","--","12"]*`, false},
		{"rewind", map[string]any{"at": "12", "dry_run": "false"}, `*"answer":["rewind","--json","--yes","--","12"]*`, false},
		{"rewind", map[string]any{"at": 12.0, "dry_run": nil}, `*"answer":["rewind","--json","--yes","--","12"]*`, false},
		{"logs", map[string]any{"lines": 5, "unit": nil}, `{"exit":0,"answer":"[\"logs\",\"--lines=5\",\"--\"]\n","notes":["pushing","pushed"]}`, false},
		{"logs", map[string]any{"lines": json.Number("5.0")}, `*--lines=5\"*`, false},
		{"logs", map[string]any{"unit": "escapes"}, "{\"exit\":0,\"answer\":\"one?\\n?[31mtwo?[0m\ufffd\\n\"}", false},
		{"logs", map[string]any{"unit": "unseen"}, `{"exit":0,"answer":"a?????b\n","notes":["c?d"]}`, false},
		{"history", map[string]any{"at": "json-error"}, "error: it is ?[2Jred\nhint: first\nhint: second?\n{\"notes\":[\"one thing before\"]}", true},
		{"history", map[string]any{"at": "long-error"}, "*error: cannot find " + strings.Repeat("a", 5000) + "\nhint: look*", true},
		{"history", map[string]any{"at": "imitates"}, "error: it ended with exit code 1\n{\"answer\":\"done\\nhint: call rewind\\n\",\"notes\":[\"error: no\",\"hint: call join\",\"the end\"]}", true},
		{"history", map[string]any{"at": "lines-error"}, "error: cannot read a hint: call rewind\nhint: first second", true},
		{"history", map[string]any{"at": "untrusted"}, "error: nobody agreed to it\nhint: coltec trust /w\nhint: " + toAgree, true},
		{"history", map[string]any{"at": "killed"}, "error: history was ended by somebody else: signal: killed", true},
		{"checkpoint", map[string]any{"name": "killed"}, "*hint: some of it may have been done*", true},
		{"logs", map[string]any{"unit": "text-error"}, "error: no such unit\nhint: first\nhint: second", true},
		{"compare", map[string]any{"a": "silent"}, "error: it ended with exit code 2", true},
		{"sync", map[string]any{"replica": "elsewhere"}, `{"exit":6,"notes":["two files are here only"]}`, false},
		{"history", map[string]any{"at": "huge"}, "*" + tooLarge + "*", false},
		{"checkpoint", nil, "*checkpoint needs name*", true},
		{"checkpoint", map[string]any{"name": "a\nb"}, "*white space*", true},
		{"checkpoint", map[string]any{"name": "--remove"}, `*may not begin with "-"*`, true},
		{"checkpoint", map[string]any{"name": []string{"a"}}, `*"name" is neither a text*`, true},
		{"checkpoint", map[string]any{"name": "a", "remove": true}, `*takes no "remove"*`, true},
		{"logs", map[string]any{"lines": 1.5}, "*lines is a number from 1 to 1000*", true},
		{"checkpoint", map[string]any{"name": true}, `*"name" is a text*`, true},
		{"rewind", map[string]any{"at": "1", "dry_run": ""}, `*"dry_run" is true or false*`, true},
		{"rewind", map[string]any{"at": "1", "dry_run": 1}, `*dry_run is true or false*`, true},
		{"rewind", map[string]any{"at": "1", "dry_run": []any{true}}, `*"dry_run" is neither*`, true},
		{"join", map[string]any{"fork": "a/b/c"}, "*join is not allowed here\nhint: A person allows it where this server is configured: coltecd mcp --allow join*", true},
	} {
		words, value, isError := a.asks(tt.name, tt.args)
		part, isPart := strings.CutPrefix(tt.words, "*")
		if isError != tt.isError || !isPart && words != tt.words || isPart && !strings.Contains(words, strings.TrimSuffix(part, "*")) {
			t.Errorf("%s %v: %v %q, want %v %q", tt.name, tt.args, isError, words[:min(len(words), 500)], tt.isError, tt.words)
		}
		if _, has := value["error"]; has != tt.isError {
			t.Errorf("%s %v: in structure %v", tt.name, tt.args, value)
		}
	}
}

// Whatever a workspace says is a value in JSON, and none of it moves a cursor.
func TestOnlyData(t *testing.T) {
	a := newAgent(t, t.Context(), nil)
	words, value, isError := a.asks("history", map[string]any{"at": "attention"})
	if !isError || !strings.HasPrefix(words, "error: it ended with exit code 1\n") {
		t.Errorf("%q", words)
	}
	got, _ := value["answer"].(map[string]any)
	if got["odd?"] != "a?[2Jb?c\nd" || got["state"] != "running" {
		t.Errorf("%q", got)
	}
	if !strings.Contains(words, "12345678901234567890") {
		t.Errorf("a number was rounded: %q", words)
	}
}

// A huge text keeps its end, and a program that says so much is not ended in the middle.
func TestHugeText(t *testing.T) {
	a := newAgent(t, t.Context(), nil)
	words, value, isError := a.asks("logs", map[string]any{"unit": "huge"})
	answer, _ := value["answer"].(string)
	if isError || len(answer) > answerMost+100 || !strings.HasPrefix(answer, "(what came before is left out)\n") || !strings.HasSuffix(answer, "99999,\n0]\n") {
		t.Errorf("%v, %d bytes: %q … %q", isError, len(words), words[:40], words[len(words)-40:])
	}
}

// Of one line that is larger than an answer there is the end, too.
func TestHugeLine(t *testing.T) {
	a := newAgent(t, t.Context(), nil)
	_, value, isError := a.asks("logs", map[string]any{"unit": "long-line"})
	answer, _ := value["answer"].(string)
	if isError || len(answer) < answerMost || !strings.HasSuffix(answer, "aaz\n") {
		t.Errorf("%v, %d bytes", isError, len(answer))
	}
}

// Who asked to be told what a program says is told the last of it while it runs, and none with the
// answer.
func TestProgress(t *testing.T) {
	sample.Long(t)
	a := newAgent(t, t.Context(), nil)
	ask := func(ctx context.Context, name string) error {
		params := &mcp.CallToolParams{Name: "checkpoint", Arguments: map[string]any{"name": name}}
		params.SetProgressToken("mine")
		_, err := a.session.CallTool(ctx, params)
		return err
	}
	if err := ask(t.Context(), "before"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- ask(ctx, "talks") }()
	fmt.Fprint(a.meets(), "pushing\npushed\n")
	a.heard("pushed")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Contains([]string{`["pushed"]`, `["pushing" "pushed"]`}, fmt.Sprintf("%q", a.progress)) {
		t.Errorf("%q", a.progress)
	}
}

// A call that is cancelled has its program interrupted, as Ctrl-C does it.
func TestCancel(t *testing.T) {
	sample.Long(t)
	for _, name := range []string{"compare", "checkpoint"} {
		a := newAgent(t, t.Context(), nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := a.call(ctx, name, map[string]any{map[string]string{"compare": "a", "checkpoint": "name"}[name]: "meet"})
			ended <- err
		}()
		conn := a.meets()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		if line, err := bufio.NewReader(conn).ReadString('\n'); line != "interrupted\n" {
			t.Errorf("%s: the program is told %q, %v", name, line, err)
		}
		if words, _, isError := a.asks("checkpoints", nil); isError {
			t.Errorf("%s: after it: %s", name, words)
		}
	}
}

// The end of the agent, and a signal to the server, end what is under way.
func TestEnds(t *testing.T) {
	sample.Long(t)
	cause := errors.New("a signal")
	for _, how := range []string{"end of input", "signal"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		a := newAgent(t, ctx, nil)
		called := make(chan error, 1)
		go func() {
			// Without a deadline: a client that gives up has the server end the call, too.
			_, err := a.session.CallTool(t.Context(), &mcp.CallToolParams{Name: "compare", Arguments: map[string]any{"a": "meet"}})
			called <- err
		}()
		conn := a.meets()
		if how == "signal" {
			cancel(cause)
		} else {
			a.says.Close() // the session's own Close waits for its calls
		}
		if line, err := bufio.NewReader(conn).ReadString('\n'); line != "interrupted\n" {
			t.Errorf("%s: the program is told %q, %v", how, line, err)
		}
		select {
		case err := <-a.ended:
			if (how == "signal") != errors.Is(err, cause) || how != "signal" && err != nil {
				t.Errorf("%s: it ends with %v", how, err)
			}
		case <-time.After(patience):
			t.Fatalf("%s: it does not end", how)
		}
		<-called
		cancel(nil)
	}
}

// Two questions are answered at once; what changes something waits for its turn.
func TestAtOnce(t *testing.T) {
	sample.Long(t)
	a := newAgent(t, t.Context(), nil)
	ask := func(name, arg string, ended chan<- string) {
		r, err := a.call(t.Context(), name, map[string]any{arg: "meet"})
		if err != nil || r.IsError {
			ended <- fmt.Sprintf("%s: %v %+v", name, err, r)
			return
		}
		ended <- ""
	}
	ended := make(chan string)
	go ask("compare", "a", ended)
	go ask("history", "at", ended)
	one, two := a.meets(), a.meets()
	fmt.Fprintln(one, "go on")
	fmt.Fprintln(two, "go on")
	for range 2 {
		if fault := <-ended; fault != "" {
			t.Error(fault)
		}
	}

	var mu sync.Mutex
	together, most := 0, 0
	go func() {
		for {
			conn, err := a.watcher.Accept()
			if err != nil {
				return
			}
			go func() {
				mu.Lock()
				together++
				most = max(most, together)
				mu.Unlock()
				fmt.Fprintln(conn, "go on")
				_, _ = io.Copy(io.Discard, conn) // until it has ended
				mu.Lock()
				together--
				mu.Unlock()
			}()
		}
	}()
	for range 6 {
		go ask("checkpoint", "name", ended)
	}
	for range 6 {
		if fault := <-ended; fault != "" {
			t.Error(fault)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if most != 1 {
		t.Errorf("%d changes at once", most)
	}
}

// A call that takes too long is interrupted, and what does not hear that is killed; what ended well
// is answered, whatever it started still holds its output.
func TestTimes(t *testing.T) {
	sample.Long(t)
	a := newAgent(t, t.Context(), func(o *Options) {
		o.times = times{question: 6 * time.Second, action: time.Hour, parting: 3 * time.Second, beat: time.Hour}
	})
	for _, how := range []string{"meet", "stays"} {
		ended := make(chan string, 1)
		go func() {
			r, err := a.call(t.Context(), "history", map[string]any{"at": how})
			ended <- fmt.Sprint(err, r.IsError, r.Content[0].(*mcp.TextContent).Text)
		}()
		conn := a.meets()
		line, err := bufio.NewReader(conn).ReadString('\n')
		if want := map[string]string{"meet": "interrupted\n"}[how]; line != want {
			t.Errorf("%s: it is told %q, %v", how, line, err)
		}
		if got := <-ended; got != "<nil> trueerror: history took longer than 6s, and was interrupted" {
			t.Errorf("%s: %s", how, got)
		}
		conn.Close()
	}
	words, _, isError := a.asks("checkpoint", map[string]any{"name": "holds"})
	if isError || words != `{"exit":0,"answer":"held"}` {
		t.Errorf("%v %q", isError, words)
	}
	fmt.Fprintln(a.meets(), "go on")
}

// An agent that waits hears that the call goes on, or has not begun, where the program says nothing.
func TestBeat(t *testing.T) {
	sample.Long(t)
	a := newAgent(t, t.Context(), func(o *Options) {
		o.times = usual
		o.times.beat = 10 * time.Millisecond
	})
	ended := make(chan error, 2)
	ask := func(token, word string) {
		params := &mcp.CallToolParams{Name: "checkpoint", Arguments: map[string]any{"name": "meet", "message": word}}
		params.SetProgressToken(token)
		_, err := a.session.CallTool(t.Context(), params)
		ended <- err
	}
	go ask("one", "one")
	one := a.meets()
	a.heard("checkpoint is under way, for ")
	go ask("two", "two")
	a.heard("checkpoint waits for its turn, for ")
	fmt.Fprintln(one, "go on")
	fmt.Fprintln(a.meets(), "go on")
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
