package scaffold

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// A comment in a devcontainer.json became a key of it: JSON was read as YAML.
func TestOverlayOfJSON(t *testing.T) {
	for name, c := range map[string]struct{ lower, want string }{
		"comments":             {"{\"a\": 1, // said\n}", `{"a":1,"z":2}`},
		"a comment before":     {`/* x */ {"a": 1}`, `{"a":1,"z":2}`},
		"a comment in between": {`{"a": 1 /* c */, "b": "# no"}`, `{"a":1,"b":"# no","z":2}`},
		"a comment at the end": {`{"url": "http://x//y"} // c`, `{"url":"http://x//y","z":2}`},
		"tabs and commas":      {"{\n\t\"a\": [\n\t\t1,\n\t],\n}", `{"a":[1],"z":2}`},
		"a mark and CRLF":      {"\ufeff{\r\n\"a\": 1\r\n}\r\n", `{"a":1,"z":2}`},
		"numbers":              {`{"a": 1.0, "b": 12345678901234567890123, "c": 1e3, "d": -0.10}`, `{"a":1.0,"b":12345678901234567890123,"c":1e3,"d":-0.10,"z":2}`},
		"words":                {`{"a": "yes", "b": "010", "c": null, "d": true, "e": "~"}`, `{"a":"yes","b":"010","c":null,"d":true,"e":"~","z":2}`},
		"escapes":              {`{"a": "\ud83d\ude00\u0041\/"}`, `{"a":"😀A/","z":2}`},
		"objects and lists":    {`{"z": 1, "o": {"b": [], "a": {}}, "l": [[], {}]}`, `{"z":2,"o":{"b":[],"a":{}},"l":[[],{}]}`},
		"keys that are YAML's": {`{"<<": {"x": 1}, "1": "&a", "*b": 2}`, `{"<<":{"x":1},"1":"&a","*b":2,"z":2}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := overlay("devcontainer.json", []byte(c.lower), []byte(`{"z": 2, /* ours */}`))
			if err != nil {
				t.Fatal(err)
			}
			flat := strings.Join(strings.Fields(string(got)), "")
			if diff := cmp.Diff(strings.ReplaceAll(c.want, "# no", "#no"), strings.ReplaceAll(flat, "# no", "#no")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What is YAML and no JSON was taken, and became something else: yes a text, 010 a number.
func TestNoJSON(t *testing.T) {
	for name, src := range map[string]string{
		"yes": `{"a": yes}`, "octal": `{"a": 010}`, "no quotes": `{a: 1}`, "single quotes": `{'a': 1}`, "YAML": "a: 1\n", "twice": `{"a": 1, "b": {}, "a": 2}`, "half": `{"a": [1, 2`, "more": `{} {}`,
		"a comment of YAML": "{\"a\": 1 # c\n}", "a line in a text": "{\"a\": \"b\n c\"}",
	} {
		if b, err := overlay("a.json", []byte(src), []byte("{}")); err == nil {
			t.Errorf("%s: %s", name, b)
		}
		if parses("a.json", []byte(src)) == nil {
			t.Errorf("%s: valid", name)
		}
	}
}

// 010 became 8 and 1.10 became 1.1 in a file that another program reads.
func TestOverlayOfYAML(t *testing.T) {
	for _, value := range []string{
		"yes", "no", "010", "0o10", "0x1F", "1.10", "1_000", "1e3", "1.0", "+1", ".5", "-0", ".inf", "true", "null", "12345678901234567890", `"010"`, `"yes"`, `"1.10"`, "2024-01-01", "[010, 1.10]", "{p: 010}", "&x 010",
	} {
		got, err := overlay("a.yaml", []byte("a: "+value+"\nb: 1\n"), []byte("b: 022\n"))
		if err != nil {
			t.Fatal(err)
		}
		again, err := orderedYAML(got)
		if err != nil {
			t.Fatal(err)
		}
		want, err := orderedYAML([]byte("a: " + value + "\nb: 022\n"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, again); diff != "" {
			t.Errorf("%s: %s: %s", value, got, diff)
		}
	}
	got, err := overlay("a.yaml", []byte("8080: a\ntrue: b\n~: {010: x}\n"), []byte("8080: c\n"))
	if want := "\"8080\": c\n\"true\": b\n\"null\":\n  \"010\": x\n"; err != nil || string(got) != want {
		t.Errorf("keys: %q, %v", got, err)
	}
}

// Answers and templates say what was written: the port 010 was 8, version 1.10 was 1.1.
func TestWrittenAnswers(t *testing.T) {
	for _, text := range []string{"yes", "no", "on", "y", "010", "0o10", "0x10", "1.10", "1_000", "1e3", "+1", ".5", "1.0", "-0", "0b11", ".inf", "true", "12345678901234567890", "1:30"} {
		r, err := ParseRecord([]byte("template: x\nversion: " + text + "\nanswers: {port: " + text + "}\n"))
		if err != nil || r.Version != text || r.Answers["port"] != text {
			t.Errorf("%s: %+v, %v", text, r, err)
		}
		l, err := readLayer(fstest.MapFS{"template.yaml": {Data: []byte("name: x\nversion: " + text + "\nquestions:\n- name: a\n  type: choice\n  choices: [" + text + ", other]\n  default: " + text + "\n  example: " + text + "\nfiles:\n- {path: f, executable: true}\n")}})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		q := l.Questions[0]
		if l.Version != text || q.Choices[0] != text || *q.Default != text || q.Example != text || !l.Files[0].Executable {
			t.Errorf("%s: version %s, %+v", text, l.Version, q)
		}
	}
}

// made1 is a workspace of one file, which then is as somebody has it.
func made1(t *testing.T, name, then, mine string) string {
	t.Helper()
	dir := t.TempDir()
	p, err := PlanNew(dir, Tree{name: {[]byte(then), 0o644}}, Record{})
	if err == nil {
		err = p.Write(dir)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), []byte(mine), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// An update of a devcontainer.json with comments put the new image into FILE.new, and the
// next one said "up to date".
func TestUpdateOfAPersonsFile(t *testing.T) {
	const then = "{\n  \"image\": \"one\",\n\n  \"name\": \"x\"\n}\n"
	now := strings.Replace(then, `"one"`, `"two"`, 1)
	crlf := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
	mine := strings.Replace(then, `"name": "x"`, "\"name\": \"x\", // mine\n\t\"mounts\": [\"a\",],", 1)
	for name, c := range map[string]struct{ mine, want string }{
		"comments":                 {mine, strings.Replace(mine, `"one"`, `"two"`, 1)},
		"a comment at the end":     {then + "// mine\n", now + "// mine\n"},
		"saved on Windows":         {crlf(then), crlf(now)},
		"saved with a mark":        {"\ufeff" + then, "\ufeff" + now},
		"a mark and CRLF":          {"\ufeff" + crlf(then), "\ufeff" + crlf(now)},
		"changed there, with CRLF": {crlf(mine), crlf(strings.Replace(mine, `"one"`, `"two"`, 1))},
	} {
		t.Run(name, func(t *testing.T) {
			dir := made1(t, "devcontainer.json", then, c.mine)
			p, err := PlanUpdate(dir, Tree{"devcontainer.json": {[]byte(now), 0o644}}, Record{})
			if err == nil {
				err = p.Write(dir)
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(dir, "devcontainer.json"))
			if diff := cmp.Diff(c.want, string(got)); diff != "" || err != nil || p.Conflicts() != 0 {
				t.Errorf("%d conflicts, %v: %s", p.Conflicts(), err, diff)
			}
		})
	}
}

// What lies beside a file is still to be done, though nothing is to be written.
func TestUpdateWithSomethingAside(t *testing.T) {
	dir := made1(t, "a.bin", "\x00one", "\x00mine")
	now := Tree{"a.bin": {[]byte("\x00two"), 0o644}}
	for _, want := range []int{0, 1} {
		p, err := PlanUpdate(dir, now, Record{})
		if err != nil || len(p.Aside) != want || p.Empty() != (want > 0) {
			t.Fatalf("%+v, %v", p, err)
		}
		if err := p.Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "a.bin.new")); err != nil {
		t.Fatal(err)
	}
	if p, err := PlanUpdate(dir, now, Record{}); err != nil || len(p.Aside) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
}
