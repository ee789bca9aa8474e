package fnox

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// A fnox.toml of 40 kB held coltec up for a quarter of a minute, and one of a megabyte
// for hours.
func TestDeepFile(t *testing.T) {
	long := strings.Repeat("c.", 20_000) + "c = 1"
	var keys strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&keys, "k%d = 1\n", i)
	}
	for _, src := range []string{
		"a = " + strings.Repeat("{a=", 1<<18), strings.Repeat("a.", 1<<18) + "a = 1", "[" + strings.Repeat("a.", 1<<18) + "a]", "a = " + strings.Repeat("[", 1<<19), strings.Repeat("a = {\n", 100),
		`x = {a = """b"""", ` + long + `, d = """"""}`, `x = {a = '''b'''', ` + long + `, d = ''''''}`, `x = {a = """\""""", ` + long + `}`, `x = {a = "\\", ` + long + `}`, `x = {a = '\', ` + long + `}`, `x = {a = "", ` + long + `, b = ""}`,
		"x = \"\n" + long + "\n\"", "# \"\"\"\n" + long, "# '''\n[" + strings.Repeat("a.", 99) + "a]\n" + keys.String(), keys.String(), "x = ]]]]]]]]]]]]]]]]\n" + long,
	} {
		if _, _, err := decode([]byte(src)); err == nil || !strings.Contains(err.Error(), "than any such file") {
			t.Errorf("%.30s…: %v", src, err)
		}
	}
}

// What is deep in strings and comments alone is not deep.
func TestFlatFile(t *testing.T) {
	var b strings.Builder
	b.WriteString("# ....................................... [[[[[[[[[[[[\n[profiles.prod.secrets]\n")
	for i := range 2000 {
		fmt.Fprintf(&b, "A%d = {provider = 'age', value = \"%s=\\\"{[{[{[{[{[\"} # \"x\n", i, strings.Repeat("ab.cd/", 60))
	}
	b.WriteString("J = \"\"\"{\"a\": [[[[[[[[[[[[1.2.3.4.5.6.7.8.9.10.11.12.13\n[[[[[[[[[[[[[[[[....................\\\"\"\"\"\"\nK = '''{{{{{{{{{{{{'....................\\''''\n")
	b.WriteString("[profiles.prod.providers.age]\ntype = 'age'\nrecipients = ['a',\n 'b']\n")
	began := time.Now()
	f, _, err := decode([]byte(b.String()))
	if err != nil || len(f.Profiles["prod"].Secrets) != 2002 {
		t.Errorf("%d secrets, %v", len(f.Profiles["prod"].Secrets), err)
	}
	t.Log(b.Len(), time.Since(began))
}

// FuzzFile holds what every fnox.toml gives: an error that shows no value, soon, or the
// same secrets each time.
func FuzzFile(f *testing.F) {
	const canary = "Zq9mark"
	for _, src := range []string{
		"", "root = true\nimport = ['~/x', '../y']\ndefault_provider = 'age'\n[providers.age]\ntype = 'age'\nrecipients = ['age1']\n[secrets]\nA = 'Zq9mark'\nB = {provider = 'age', value = 'Zq9mark'}\n",
		"[profiles.prod.secrets]\nA = {default = 'Zq9mark', as_file = true, env = false}\n[profiles.prod]\ninherits = ['x']\n", "[secrets]\nA = 7\nB = [1]\nC = {value = 1, x = 'Zq9mark'}", "[secrets\nA = 'Zq9mark'",
		"A = \"Zq9mark\n", "secrets = 'Zq9mark'", "providers = [1]\n", "a = " + strings.Repeat("[", 100), strings.Repeat("a.", 90) + "a = 1", "[[secrets]]\nA='Zq9mark'", "\"\\u0000\" = 1\n[secrets]\n\"\\u001b[31m\" = 'Zq9mark'",
	} {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src string) {
		began := time.Now()
		got, err := layered(src)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("it takes %v", took)
		}
		if err != nil && strings.Contains(err.Error(), canary) && !strings.Contains(err.Error(), `"`) { // a name may look like a value
			t.Errorf("it shows a value: %v", err)
		}
		if err != nil {
			return
		}
		again, err := layered(src)
		if err != nil || !slices.Equal(slices.Sorted(maps.Keys(got.secrets)), slices.Sorted(maps.Keys(again.secrets))) {
			t.Errorf("%v, %v", again, err)
		}
		for name, e := range got.secrets {
			if e.file == "" || again.secrets[name].Value != e.Value {
				t.Errorf("%q: %+v, again %+v", name, e, again.secrets[name])
			}
		}
	})
}

// layered reads one file as load does.
func layered(src string) (*config, error) {
	f, meta, err := decode([]byte(src))
	if err != nil {
		return nil, err
	}
	c := &config{providers: map[string]provider{}, secrets: map[string]entry{}}
	err = c.lay("fnox.toml", meta, f.DefaultProvider, f.Providers, f.Secrets)
	for _, p := range f.Profiles {
		if err == nil {
			err = c.lay("fnox.toml", meta, p.DefaultProvider, p.Providers, p.Secrets)
		}
	}
	return c, err
}
