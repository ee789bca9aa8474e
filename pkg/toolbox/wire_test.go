package toolbox

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// dialogue is a server that is spoken to in lines.
type dialogue struct {
	t     *testing.T
	says  *io.PipeWriter
	hears chan string
	ended chan error
}

func newDialogue(t *testing.T, version string, change func(*Options)) *dialogue {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in, says := io.Pipe()
	hears, out := io.Pipe()
	d := &dialogue{t: t, says: says, hears: make(chan string, 100), ended: make(chan error, 1)}
	o := Options{Program: self, Environ: append(os.Environ(), actVariable+"="), Name: "coltecd"}
	if change != nil {
		change(&o)
	}
	go func() {
		d.ended <- Serve(t.Context(), o, in, out)
		in.Close()
		out.Close()
	}()
	go func() {
		for lines := bufio.NewReader(hears); ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				close(d.hears)
				return
			}
			d.hears <- line
		}
	}()
	t.Cleanup(func() { says.Close() })
	d.say(`{"jsonrpc":"2.0","id":"hello","method":"initialize","params":{"protocolVersion":"` + version + `","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`)
	if r := d.hear(); string(r.ID) != `"hello"` || r.Error != nil {
		t.Fatalf("%+v", r)
	}
	d.say(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return d
}

func (d *dialogue) say(line string) {
	d.t.Helper()
	if _, err := io.WriteString(d.says, line+"\n"); err != nil {
		d.t.Fatalf("it does not read: %v", err)
	}
}

// reply is what it says.
type reply struct {
	line   string
	ID     json.RawMessage
	Result json.RawMessage
	Error  *struct {
		Code    int
		Message string
	}
}

// line is the next one.
func (d *dialogue) line() string {
	d.t.Helper()
	select {
	case line, more := <-d.hears:
		if !more {
			d.t.Fatalf("it has ended: %v", <-d.ended)
		}
		return line
	case <-time.After(patience):
		d.t.Fatal("it says nothing")
	}
	return ""
}

func (d *dialogue) hear() reply {
	d.t.Helper()
	r := reply{line: d.line()}
	if err := json.Unmarshal([]byte(r.line), &r); err != nil {
		d.t.Fatalf("%v: %.200s", err, r.line)
	}
	return r
}

// What is no message is answered with an error, under its id where it has one, and the server goes
// on; none of it is carried out.
func TestNoMessages(t *testing.T) {
	long := strings.Repeat("a", 17<<20) // longer than the SDK reads
	call := `"jsonrpc":"2.0","method":"tools/call"`
	for _, tt := range []struct {
		name, line string
		id         string // "" for no answer
		code       int
	}{
		{"too long, its id first", `{"id":7,` + call + `,"params":{"name":"checkpoint","arguments":{"name":"` + long + `"}}}`, `7`, -32600},
		{"too long, its id last", `{` + call + `,"params":{"id":8,"name":"checkpoint","arguments":{"name":"\"id\":9,` + long + `"}},"id":"of mine"}`, `"of mine"`, -32600},
		{"too long, without an id", `{"jsonrpc":"2.0","method":"` + long + `"}`, `null`, -32600},
		{"too long, and its id too", `{"id":"` + long + `",` + call + `}`, `null`, -32600},
		{"no JSON", `hello`, `null`, -32700},
		{"cut", `{"id":1,` + call, `null`, -32700},
		{"two in a line", `{"jsonrpc":"2.0","id":1,"method":"ping"}{"jsonrpc":"2.0","id":2,"method":"ping"}`, `null`, -32700},
		{"another version", `{"jsonrpc":"1.0","id":3,"method":"ping"}`, `3`, -32600},
		{"of no version", `{"id":3,"method":"ping"}`, `3`, -32600},
		{"a part of an id", `{"id":1.5,` + call + `,"params":{"name":"checkpoint","arguments":{"name":"a"}}}`, `1.5`, -32600},
		{"an id that is rounded", `{"id":9007199254740993,` + call + `,"params":{"name":"checkpoint","arguments":{"name":"a"}}}`, `9007199254740993`, -32600},
		{"an id of too much", `{"id":1e400,"jsonrpc":"2.0","method":"ping"}`, `null`, -32600},
		{"null as an id", `{"id":null,"jsonrpc":"2.0","method":"ping"}`, `null`, -32600},
		{"a list as an id", `{"id":[1],"jsonrpc":"2.0","method":"ping"}`, `null`, -32600},
		{"true as an id", `{"id":true,"jsonrpc":"2.0","method":"ping"}`, `null`, -32600},
		{"a number as a method", `{"jsonrpc":"2.0","id":4,"method":5}`, `4`, -32600},
		{"nothing", `{}`, `null`, -32600},
		{"a text", `"ping"`, `null`, -32600},
		{"a batch", `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, `null`, -32600},
		{"an empty line", ``, ``, 0},
		{"an answer to nothing", `{"jsonrpc":"2.0","id":5,"result":{}}`, ``, 0},
		{"a cancel of nothing", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":99}}`, ``, 0},
		{"a cancel without an id", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}`, ``, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDialogue(t, "2025-06-18", nil)
			d.say(tt.line)
			d.say(`{"jsonrpc":"2.0","id":"after","method":"ping"}`)
			r := d.hear()
			if tt.id != "" {
				if string(r.ID) != tt.id || r.Error == nil || r.Error.Code != tt.code || r.Error.Message == "" || r.Result != nil {
					t.Errorf("it answers %.300s", r.line)
				}
				r = d.hear()
			}
			if string(r.ID) != `"after"` || r.Error != nil {
				t.Errorf("then it answers %.300s", r.line)
			}
			d.says.Close()
			if err := <-d.ended; err != nil {
				t.Errorf("it ends with %v", err)
			}
		})
	}
}

// What was asked before the end of the stream is answered, as by printf … | coltec mcp.
func TestLastRequests(t *testing.T) {
	asked := map[string]string{
		"a ping":            `{"jsonrpc":"2.0","id":1,"method":"ping"}`,
		"what there is":     `{"jsonrpc":"2.0","id":"1","method":"tools/list"}`,
		"without a newline": "hello\n" + `{"jsonrpc":"2.0","id":1,"method":"ping"}`,
		"what is not there": `{"jsonrpc":"2.0","id":1,"method":"nothing/such"}`,
		"a batch": `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-03-26","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}` + "\n" +
			`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"ping"}]`,
		"several": `{"jsonrpc":"2.0","id":2,"method":"ping"}` + "\n" + `{"jsonrpc":"2.0","id":3,"method":"ping"}` + "\n" + `{"jsonrpc":"2.0","id":1,"method":"ping"}`,
	}
	for name, lines := range asked {
		for range 200 {
			var out bytes.Buffer
			if err := Serve(t.Context(), Options{Program: "/nowhere", Name: "coltecd"}, strings.NewReader(lines), &out); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got, want := strings.Count(out.String(), "\n"), strings.Count(lines, "\n")+1; got != want {
				t.Fatalf("%s: %d answers, not %d: %s", name, got, want, &out)
			}
		}
	}
}

// Ids come back as they were given.
func TestIDs(t *testing.T) {
	d := newDialogue(t, "2025-11-25", nil)
	for _, id := range []string{`0`, `-1`, `9007199254740991`, `"1.5"`, `""`, `"a \"id\": 3"`} {
		d.say(`{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"checkpoints","arguments":{}}}`)
		if r := d.hear(); string(r.ID) != id || r.Error != nil {
			t.Errorf("%s: %.300s", id, r.line)
		}
	}
}

// Nobody's half id cancels the call of another one.
func TestCancelOfAnother(t *testing.T) {
	d := newDialogue(t, "2025-11-25", nil)
	d.say(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"checkpoint","arguments":{"name":"a"}}}`)
	d.say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1.5}}`)
	if r := d.hear(); string(r.ID) != `1` || r.Error != nil || strings.Contains(r.line, "isError") {
		t.Errorf("%.300s", r.line)
	}
}

// A call that is cancelled has no answer, whichever way its id is written; a cancel of one that was
// answered, or of none, changes nothing, and nothing is kept of it.
func TestCancelled(t *testing.T) {
	var out strings.Builder
	a := newAnswers(&out)
	w := &wire{in: bufio.NewReader(strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"a"}
{"jsonrpc":"2.0","id":"1","method":"b"}
{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1.0}}
{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}
{"jsonrpc":"2.0","id":7,"method":"c"}
`)), out: a}
	if b, err := io.ReadAll(w); err != nil || strings.Count(string(b), "\n") != 5 {
		t.Fatalf("%v: %s", err, b)
	}
	for _, line := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"of ours"}`, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"id":1}}`,
		`{"jsonrpc":"2.0","id":1,"result":{}}`, `{"jsonrpc":"2.0","id":"1","result":{}}`, `{"jsonrpc":"2.0","id":7,"error":{}}`,
	} {
		if n, err := io.WriteString(a, line+"\n"); err != nil || n != len(line)+1 {
			t.Errorf("%d, %v", n, err)
		}
	}
	want := `{"jsonrpc":"2.0","id":1,"method":"of ours"}
{"jsonrpc":"2.0","method":"notifications/progress","params":{"id":1}}
{"jsonrpc":"2.0","id":"1","result":{}}
{"jsonrpc":"2.0","id":7,"error":{}}
`
	if out.String() != want || len(a.under) != 0 {
		t.Errorf("%s%v", &out, a.under)
	}
}

// A protocol that has batches is answered with one; a part of it that is no message has nothing of
// it carried out.
func TestBatches(t *testing.T) {
	d := newDialogue(t, "2025-03-26", nil)
	d.say(`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":"1","method":"ping"}]`)
	var list []reply
	if line := d.line(); json.Unmarshal([]byte(line), &list) != nil || len(list) != 2 || string(list[0].ID) != `1` || string(list[1].ID) != `"1"` {
		t.Errorf("%s", line)
	}
	// A notification in a batch, one alone, and an answer need none; the SDK would wait for one.
	for range 2 {
		d.say(`[{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}},{"jsonrpc":"2.0","id":3,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}]`)
		if line := d.line(); json.Unmarshal([]byte(line), &list) != nil || len(list) != 1 || string(list[0].ID) != `3` {
			t.Errorf("%s", line)
		}
		d.say(`[{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}]`)
		d.say(`[{"jsonrpc":"2.0","id":9,"result":{}}]`)
		d.say(`[{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1.5}}]`)
	}
	for _, line := range []string{
		`[]`,
		`[1]`,
		`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":1.0,"method":"ping"}]`,
		`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":1.5,"method":"ping"}]`,
		`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":1,"method":"ping"}]`,
		`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"id":2,"method":"ping"}]`,
	} {
		d.say(line)
		if r := d.hear(); string(r.ID) != "null" || r.Error == nil || r.Error.Code != -32600 {
			t.Errorf("%s: %s", line, r.line)
		}
	}
}

// The id of a message is found in whatever parts it comes.
func TestFinder(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{`{"id":1}`, `1`},
		{` { "a" : {"id":2} , "id" : "x\"y" , "b":[{"id":3}]}`, `"x\"y"`},
		{`{"a":"\\","id":4}`, `4`},
		{`{"a":"\",\"id\":5,","b":6}`, ``},
		{`[{"id":7}]`, ``},
		{`{"id":{"id":8}}`, `{`},
		{`{"id":null}`, `null`},
		{`{"x":["id",9],"y":"id"}`, ``},
		{`"id":10`, ``},
		{`}}}{"id":11}`, ``},
	} {
		for size := 1; size <= len(tt.text); size++ {
			var f finder
			for rest := tt.text; rest != ""; rest = rest[min(size, len(rest)):] {
				f.see([]byte(rest[:min(size, len(rest))]))
			}
			if string(f.id) != tt.want {
				t.Errorf("%s by %d: %q, want %q", tt.text, size, f.id, tt.want)
			}
		}
	}
}
