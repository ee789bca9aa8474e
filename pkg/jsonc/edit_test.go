package jsonc

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAdd: an edit of a file that people wrote is the smallest that works, and is undone
// exactly.
func TestAdd(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"template": {
			"// see https://aka.ms/devcontainer.json\n{\n\t\"name\": \"Node\",\n\t\"image\": \"x\" // latest\n\n\t// \"features\": {},\n}\n",
			"// see https://aka.ms/devcontainer.json\n{\n\t\"name\": \"Node\",\n\t\"image\": \"x\", // latest\n\t\"features\": {\n\t\t\"./coltec\": {}\n\t}\n\n\t// \"features\": {},\n}\n",
		},
		"has Features": {
			"{\n  \"features\": {\n    \"ghcr.io/a/b:1\": {}\n  },\n  \"image\": \"x\"\n}\n",
			"{\n  \"features\": {\n    \"ghcr.io/a/b:1\": {},\n    \"./coltec\": {}\n  },\n  \"image\": \"x\"\n}\n",
		},
		"trailing commas": {
			"{\n  \"features\": {\n    \"a\": {}, // one\n  },\n}",
			"{\n  \"features\": {\n    \"a\": {}, // one\n    \"./coltec\": {},\n  },\n}",
		},
		"space before a comma": {"{\n  \"image\": \"x\" ,\n}\n", "{\n  \"image\": \"x\" ,\n  \"features\": {\n    \"./coltec\": {}\n  },\n}\n"},
		"one line":             {`{"image": "x"}`, `{"image": "x", "features": { "./coltec": {} }}`},
		"one line, one object": {"{\n  \"features\": {\"a\": {} /* b */},\n}", "{\n  \"features\": {\"a\": {}, \"./coltec\": {} /* b */},\n}"},
		"empty object":         {"{\n  \"features\": { /* none */ }\n}\n", "{\n  \"features\": {\"./coltec\": {} /* none */ }\n}\n"},
		"empty":                {`{}`, `{"features": { "./coltec": {} }}`},
		"lines of Windows":     {"\ufeff{\r\n    \"image\": \"x\" // a  \r\n}\r\n", "\ufeff{\r\n    \"image\": \"x\", // a  \r\n    \"features\": {\r\n        \"./coltec\": {}\r\n    }\r\n}\r\n"},
		"a comment at its end": {"{\n\"a\": 1 /* b */, // c\n// d\n} // e", "{\n\"a\": 1 /* b */, // c\n\"features\": {\n    \"./coltec\": {}\n  },\n// d\n} // e"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, made, err := Add([]byte(tt.in), "features", "./coltec", json.RawMessage("{}"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Error(diff)
			}
			if v, err := Get(got, "features", "./coltec"); err != nil || string(v) != "{}\n" {
				t.Errorf("Get: %q, %v", v, err)
			}
			if _, _, err := Add(got, "features", "./coltec", json.RawMessage("{}")); !errors.Is(err, ErrThere) {
				t.Errorf("again: %v", err)
			}
			back, err := Remove(got, "features", "./coltec", made)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.in, string(back)); diff != "" {
				t.Errorf("removed: %s", diff)
			}
		})
	}
}

// What somebody wrote beside ours stays when ours goes.
func TestRemoveAfterEdits(t *testing.T) {
	for in, want := range map[string]string{
		"{\n  \"features\": {\n    \"./coltec\": {},\n    \"b\": {}\n  }\n}":           "{\n  \"features\": {\n    \"b\": {}\n  }\n}",
		"{\n  \"a\": 1,\n  \"features\": {\n    \"./coltec\": {}\n  },\n  \"b\": 2\n}": "{\n  \"a\": 1,\n  \"b\": 2\n}",
		"{\n  \"features\": {\n    // mine\n    \"./coltec\": {}\n  }\n}":              "{\n  \"features\": {\n    // mine\n  }\n}",
		"{\n  \"a\": 1, // b\n  \"features\": {\n    \"./coltec\": {}\n  } }":          "{\n  \"a\": 1 // b\n  }",
		`{"a": 1}`: `{"a": 1}`,
	} {
		got, err := Remove([]byte(in), "features", "./coltec", true)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s: %s", in, diff)
		}
	}
}

// A file that says two things is not edited on a guess.
func TestAddRefuses(t *testing.T) {
	for _, in := range []string{`[]`, `{"features": []}`, `{"features": {}, "features": {}}`, `{"features": {"./coltec": 1, "./coltec": 2}}`, `{`, ``} {
		if got, _, err := Add([]byte(in), "features", "./coltec", json.RawMessage("{}")); err == nil {
			t.Errorf("%s: %s", in, got)
		}
	}
}

// FuzzAdd: to add and to remove is to do nothing, and what is added is all that is added.
func FuzzAdd(f *testing.F) {
	for _, s := range []string{"{}", "{\n\t\"a\": 1 // b\n}", "{\"features\": {\"x\": 1,},}", "\ufeff{\r\n \"containerEnv\": {},\r\n}", "{ // a\n/* b */ \"a\" /* c */ : /* d */ [1,] /* e */ , /* f */ } // g"} {
		f.Add([]byte(s), "features", "./coltec")
	}
	f.Fuzz(func(t *testing.T, src []byte, in, name string) {
		in, name = strings.ToValidUTF8(in, ""), strings.ToValidUTF8(name, "")
		a, made, err := Add(src, in, name, json.RawMessage(`{"start": true}`))
		if err != nil {
			return
		}
		b, madeToo, err := Add(a, in, name+"2", json.RawMessage(`"${x}"`))
		if err != nil || madeToo {
			t.Fatalf("a second one: %v\n%s", err, a)
		}
		want, got := values(t, src), values(t, b)
		object, _ := want[in].(map[string]any)
		if object == nil {
			object = map[string]any{}
		}
		object[name], object[name+"2"] = map[string]any{"start": true}, "${x}"
		want[in] = object
		if !reflect.DeepEqual(want, got) {
			t.Fatalf("%q became %q", src, b)
		}
		back, err := Remove(b, in, name+"2", madeToo)
		if err != nil || string(back) != string(a) {
			t.Fatalf("%q became %q, then %q: %v", a, b, back, err)
		}
		back, err = Remove(a, in, name, made)
		if err != nil || string(back) != string(src) {
			t.Fatalf("%q became %q, then %q: %v", src, a, back, err)
		}
	})
}

func values(t *testing.T, src []byte) (v map[string]any) {
	t.Helper()
	b, err := Standard(src)
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatalf("%q: %v", src, err)
	}
	return v
}
