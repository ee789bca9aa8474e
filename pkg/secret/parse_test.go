package secret

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// revealed makes values comparable and readable in a failure.
func revealed(v Values) map[string]string {
	out := map[string]string{}
	for name, value := range v {
		out[name] = value.Reveal()
	}
	return out
}

func TestParseJSON(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want map[string]string
		err  string
	}{
		"flat":        {`{"A": "1", "B_2": ""}`, map[string]string{"A": "1", "B_2": ""}, ""},
		"fnox":        {`{"secrets": {"A": "x"}, "metadata": {"profile": "default"}}`, map[string]string{"A": "x"}, ""},
		"named so":    {`{"secrets": "x"}`, map[string]string{"secrets": "x"}, ""},
		"number":      {`{"A": 51}`, nil, `the value of "A" is a number, not a string`},
		"object":      {`{"A": {"b": "hush"}}`, nil, `the value of "A" is an object, not a string`},
		"null":        {`{"A": null}`, nil, `the value of "A" is null, not a string`},
		"truth":       {`{"A": true}`, nil, `the value of "A" is true or false, not a string`},
		"list":        {`{"A": []}`, nil, `the value of "A" is a list, not a string`},
		"nul":         {`{"A": "a\u0000hush"}`, nil, `the value of "A" holds a NUL byte, which no environment variable can`},
		"bad name":    {`{"A B": "hush"}`, nil, `"A B" is not the name of an environment variable`},
		"no JSON":     {"{\n\"A\": hush}", nil, `line 2: not valid JSON`},
		"a string":    {`"hush"`, nil, `not a JSON object of strings`},
		"empty input": {``, nil, `line 1: not valid JSON`},
		"mark, lines": {"\ufeff{\r\n\"A\": \"1\"\r\n}\r\n", map[string]string{"A": "1"}, ""},
		"UTF-16":      {"\xff\xfe{\x00}\x00", nil, `it is text in UTF-16: save it as UTF-8`},
	} {
		t.Run(name, func(t *testing.T) {
			checkParse(t, ParseJSON, c.in, c.want, c.err)
		})
	}
}

func TestParseDotenv(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want map[string]string
		err  string
	}{
		"plain":       {"A=1\n# note\n\n  export B = two words \r\nC=", map[string]string{"A": "1", "B": "two words", "C": ""}, ""},
		"comment":     {"A=1 # one\nB=a#b\n", map[string]string{"A": "1", "B": "a#b"}, ""},
		"single":      {`A='$x "y" \n' # z`, map[string]string{"A": `$x "y" \n`}, ""},
		"double":      {`A="a\"b\\c\n\$d\q"`, map[string]string{"A": "a\"b\\c\n$d\\q"}, ""},
		"lines":       {"A=\"-----BEGIN\nkey=1\n-----END\"\nB=2", map[string]string{"A": "-----BEGIN\nkey=1\n-----END", "B": "2"}, ""},
		"equals":      {"A=b=c==\n", map[string]string{"A": "b=c=="}, ""},
		"mark":        {"\ufeffA=1", map[string]string{"A": "1"}, ""},
		"mark, lines": {"\ufeffA=\"1\r\n2\"\r\nB='x' # y\r\nC=z\r\n", map[string]string{"A": "1\n2", "B": "x", "C": "z"}, ""},
		"UTF-16":      {"\xff\xfeA\x00=\x001\x00", nil, `it is text in UTF-16: save it as UTF-8`},
		"UTF-16, big": {"\xfe\xff\x00A\x00=\x001", nil, `it is text in UTF-16: save it as UTF-8`},
		"later wins":  {"A=1\nA=2", map[string]string{"A": "2"}, ""},
		"no equals":   {"A=1\nhush\n", nil, "line 2: not NAME=value"},
		"bad name":    {"A-B=hush", nil, "line 1: not NAME=value"},
		"open quote":  {"X=\"\n\"\nA='hush\nhush", nil, "line 3: the value of A has no closing quote"},
		"after quote": {"A='x' hush", nil, "line 1: the value of A has text after its closing quote"},
		"nul":         {"A=hu\x00sh", nil, "line 1: the value of A holds a NUL byte"},
	} {
		t.Run(name, func(t *testing.T) {
			checkParse(t, ParseDotenv, c.in, c.want, c.err)
		})
	}
}

func checkParse(t *testing.T, parse func([]byte) (Values, error), in string, want map[string]string, wantErr string) {
	t.Helper()
	got, err := parse([]byte(in))
	if wantErr != "" {
		if err == nil || err.Error() != wantErr {
			t.Fatalf("error %v, want %s", err, wantErr)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, revealed(got)); diff != "" {
		t.Error(diff)
	}
}

// No input makes a parser panic, or puts a value into an error.
func FuzzParse(f *testing.F) {
	f.Add(`{"A": "hushhush"}`)
	f.Add("A=\"hushhush\n")
	f.Fuzz(func(t *testing.T, in string) {
		for _, parse := range []func([]byte) (Values, error){ParseJSON, ParseDotenv} {
			values, err := parse([]byte(in))
			if err != nil && strings.Contains(err.Error(), "hushhush") && !strings.Contains(err.Error(), `"`) {
				t.Errorf("the error shows a value: %v", err)
			}
			for _, name := range slices.Sorted(maps.Keys(values)) {
				if !ValidName(name) || strings.ContainsRune(values[name].Reveal(), 0) {
					t.Errorf("not a variable: %q", name)
				}
			}
		}
	})
}
