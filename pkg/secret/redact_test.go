package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// values are secrets with what escapes change in them.
var values = []string{
	"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
	"AKIAIOSFODNN7EXAMPLE",
	`p@ss w"or'd&<x>%41\n$y!`,
	`\\server\share''x%25`,
	"schlüssel-€-𝄞-ende",
	"hunter2",
	"+++===///---___",
}

// encodings write a value as programs do.
var encodings = map[string]func(string) string{
	"as it is":          func(v string) string { return v },
	"JSON of Go":        func(v string) string { return inJSON(v, true) },
	"JSON without HTML": func(v string) string { return inJSON(v, false) },
	"JSON of PHP":       func(v string) string { return strings.ReplaceAll(inJSON(v, false), "/", `\/`) },
	"JSON, big digits": func(v string) string {
		return strings.NewReplacer("&", `\u0026`, "<", `\u003C`, ">", `\u003E`).Replace(inJSON(v, false))
	},
	"JSON of ASCII":        func(v string) string { return asciiJSON(v) },
	"JSON within JSON":     func(v string) string { return inJSON(inJSON(v, true), true) },
	"a Go string":          func(v string) string { return strings.Trim(strconv.Quote(v), `"`) },
	"query":                url.QueryEscape,
	"path":                 url.PathEscape,
	"%20":                  func(v string) string { return strings.ReplaceAll(url.QueryEscape(v), "+", "%20") },
	"small percent":        func(v string) string { return smallPercent(url.QueryEscape(v)) },
	"every byte":           func(v string) string { return each(v, "%%%02X") },
	"percent twice":        func(v string) string { return url.QueryEscape(url.QueryEscape(v)) },
	"query within JSON":    func(v string) string { return inJSON(url.QueryEscape(v), true) },
	"base64":               func(v string) string { return base64.StdEncoding.EncodeToString([]byte(v)) },
	"base64, no padding":   func(v string) string { return base64.RawStdEncoding.EncodeToString([]byte(v)) },
	"base64 for URLs":      func(v string) string { return base64.URLEncoding.EncodeToString([]byte(v)) },
	"base64 in a query":    func(v string) string { return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(v))) },
	"basic auth, 1":        func(v string) string { return base64.StdEncoding.EncodeToString([]byte("us:" + v)) },
	"basic auth, 2":        func(v string) string { return base64.StdEncoding.EncodeToString([]byte("use:" + v)) },
	"basic auth, 3":        func(v string) string { return base64.StdEncoding.EncodeToString([]byte("user:" + v)) },
	"in the middle, 1":     func(v string) string { return base64.RawURLEncoding.EncodeToString([]byte("a" + v + "zzzz")) },
	"in the middle, 2":     func(v string) string { return base64.StdEncoding.EncodeToString([]byte("ab" + v + "zz")) },
	"hex":                  func(v string) string { return hex.EncodeToString([]byte(v)) },
	"big hex":              func(v string) string { return strings.ToUpper(hex.EncodeToString([]byte(v))) },
	"\\x":                  func(v string) string { return each(v, `\x%02x`) },
	"octal":                func(v string) string { return each(v, `\%03o`) },
	"shell, single quotes": func(v string) string { return strings.ReplaceAll(v, "'", `'\''`) },
	"shell of Python":      func(v string) string { return strings.ReplaceAll(v, "'", `'"'"'`) },
	"shell, backslashes":   shellEscaped,
	"SQL":                  func(v string) string { return strings.ReplaceAll(v, "'", "''") },
	"CSV":                  func(v string) string { return strings.ReplaceAll(v, `"`, `""`) },
	"XML":                  inXML,
	"HTML":                 html.EscapeString,
}

func inJSON(v string, htmlToo bool) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(htmlToo)
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return b.String()[1 : b.Len()-2]
}

func asciiJSON(v string) string {
	var b strings.Builder
	for _, r := range inJSON(v, true) {
		switch {
		case r < 0x80:
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
	}
	return b.String()
}

func each(v, format string) string {
	var b strings.Builder
	for i := range len(v) {
		fmt.Fprintf(&b, format, v[i])
	}
	return b.String()
}

func smallPercent(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			b.WriteString(strings.ToLower(s[i : i+3]))
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func shellEscaped(v string) string {
	var b strings.Builder
	for _, r := range v {
		if strings.ContainsRune("\\\"'&<>$! %", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

func inXML(v string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(v))
	return b.String()
}

// rest is what a text shows of an encoded value: the longest run of it that was not
// masked.
func rest(shown, encoded string) (longest string) {
	for i := range encoded {
		for n := len(longest) + 1; i+n <= len(encoded) && strings.Contains(shown, encoded[i:i+n]); n++ {
			longest = encoded[i : i+n]
		}
	}
	return longest
}

// neighbours is how much of an encoded text may be seen beside a value: what base64 has
// of the bytes before and after it, of "use:" 5 characters, and 3 that a line ended with.
const neighbours = 8

func TestEveryFormIsHidden(t *testing.T) {
	r := NewRedactor(values...)
	for name, encode := range encodings {
		for _, v := range values {
			encoded := encode(v)
			text := "\tGET: [" + encoded + "] done"
			got := string(r.Redact([]byte(text)))
			short := rest(got, encoded)
			if len(short) > min(neighbours, len(encoded)/2) || !strings.HasPrefix(got, "\tGET: [") || !strings.HasSuffix(got, "] done") {
				t.Errorf("%s of %q: %q shows %q", name, v, got, short)
			}
		}
	}
}

// A value that is cut, by writes or by lines, is hidden in all of its parts.
func TestCutValuesAreHidden(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{"as it is", "base64", "basic auth, 2", "hex", "JSON of Go", "small percent", "shell of Python"} {
		for _, v := range values[:4] {
			for _, brk := range []string{"\n", "\r\n", "\\\n", "=\n", "\n    ", `\n`, `\\n`} {
				for width := leastHeld; width <= 30; width += 1 + rnd.IntN(3) {
					checkCut(t, rnd, name, v, brk, width)
				}
			}
		}
	}
}

func checkCut(t *testing.T, rnd *rand.Rand, name, v, brk string, width int) {
	t.Helper()
	encoded := encodings[name](v)
	var wrapped []string
	for text := encoded; text != ""; text = text[min(width, len(text)):] {
		wrapped = append(wrapped, text[:min(width, len(text))])
	}
	text := "key: " + strings.Join(wrapped, brk) + " end\n"
	if escape := strings.IndexAny(encoded, `%\'`); escape >= 0 {
		return // no program cuts within an escape
	}
	got := string(NewRedactor(v).Redact([]byte(text)))
	if strings.Count(got, "\n") != strings.Count(text, "\n") {
		t.Errorf("%s of %q, wrapped at %d with %q: other lines in %q", name, v, width, brk, got)
	}
	s := Stream{Redactor: NewRedactor(v)}
	var pieces []string
	for left := text; left != ""; {
		n := 1 + rnd.IntN(len(left))
		if i := strings.Index(left, "\n"); i >= 0 && rnd.IntN(3) == 0 {
			n = i + 1 // as programs do
		}
		pieces, left = append(pieces, left[:n]), left[n:]
	}
	streamed := ""
	for _, p := range pieces {
		streamed += string(s.Next([]byte(p)))
	}
	streamed += string(s.Flush())
	for _, shown := range []string{got, streamed} {
		if part := rest(strings.ReplaceAll(shown, brk, ""), encoded); len(part) > neighbours {
			t.Errorf("%s of %q, wrapped at %d with %q, in %q: %q shows %q", name, v, width, brk, pieces, shown, part)
		}
	}
}

// What is not a secret stays as it is, and a line waits for nothing but the rest of one.
func TestOtherTextStays(t *testing.T) {
	r := NewRedactor(values...)
	for _, text := range []string{
		"", "\n", "hunter", "a hunter 2", "100%\n", `C:\dir\n`, "x = 'y' && \"z\"", "AKIAIOSFODNN7EXAMPL", "aHVudGVy",
		"it's 50% of\n  the &amp; lot \\", "68756e746572", "%", "\\", "&", "\\u00", strings.Repeat("\\", 100) + strings.Repeat("%25", 100),
	} {
		if got := string(r.Redact([]byte(text))); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	s := Stream{Redactor: r}
	for _, line := range []string{"a line\n", "hun\n", "100%\n", "AKI\n", "hunter\n", "\\\n", "key=\n"} {
		if got := string(s.Next([]byte(line))); got != line {
			t.Errorf("of %q is shown %q", line, got)
		}
	}
	if got := string(s.Next([]byte("AKIAIO\n"))); got != "" {
		t.Errorf("half of a value is shown: %q", got)
	}
	if got := string(s.Next([]byte("and on\n"))); got != "AKIAIO\nand on\n" {
		t.Errorf("what was none is shown as %q", got)
	}
}

func TestRedactorOfNothing(t *testing.T) {
	var none *Redactor
	for _, r := range []*Redactor{none, {}, NewRedactor(), NewRedactor("", "abc", "a\nb\r\n")} {
		if got := string(r.Redact([]byte("abc"))); got != "abc" {
			t.Errorf("%q", got)
		}
	}
}

// However a text is cut, what is shown of it is the same as of the whole, and no
// value is in it.
func FuzzStream(f *testing.F) {
	f.Add("one hunter2 two hunter2hunter2\nthree", uint64(1))
	f.Add("aHVudGVyMg== 68756e746572%32 hun\nter2 abcabcabcabcabc", uint64(2))
	f.Add(`a%5c"\u0061'"'"'&amp;`+"\n\\\n", uint64(3))
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		secrets := []string{"hunter2", "terhun", "abcabcabc", `a\"'&x%+y z`}
		rnd := rand.New(rand.NewPCG(seed, 0))
		s := Stream{Redactor: NewRedactor(secrets...)}
		shown := ""
		for rest := text; rest != ""; {
			n := 1 + rnd.IntN(len(rest))
			shown += string(s.Next([]byte(rest[:n])))
			rest = rest[n:]
		}
		shown += string(s.Flush())
		if len(s.held) > 0 {
			t.Errorf("%q is still held", s.held)
		}
		for _, secret := range secrets {
			if strings.Contains(shown, secret) {
				t.Errorf("%q shows in %q", secret, shown)
			}
		}
		if strings.Count(shown, "\n") != strings.Count(text, "\n") {
			t.Errorf("%q has other lines than %q", shown, text)
		}
		if whole := string(s.Redactor.Redact([]byte(text))); whole != shown && !strings.Contains(text, "\n") {
			t.Errorf("in pieces %q, as a whole %q", shown, whole)
		}
	})
}

func BenchmarkRedact(b *testing.B) {
	r := NewRedactor("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "correct horse battery", "ghp_16C7e42F292c6912E7710c838347Ae178B4a")
	for name, text := range map[string]string{
		"access": strings.Repeat("127.0.0.1 - GET /index.html HTTP/1.1 200 1234\n", 600),
		"json":   strings.Repeat(`{"time":"2026-01-02T03:04:05Z","level":"info","msg":"it's \"done\"","url":"https://x.test/a%20b?c=d&e=f"}`+"\n", 250),
		"base64": strings.Repeat(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("some bytes of an image ", 2)))+"\n", 400),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				r.Redact([]byte(text))
			}
		})
	}
}
