package secret

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const canary = "s3cr3t-canary"

// holder has the value where fmt cannot call its methods.
type holder struct {
	hidden Value
	list   []Value
	named  map[string]Value
	ptr    *Value
}

func hold() holder {
	v := New(canary)
	return holder{v, []Value{v}, map[string]Value{"k": v}, &v}
}

type doc struct{ V Value }

// leaks reports whether out shows the canary as text or as bytes of it.
func leaks(out string) bool {
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), fmt.Sprint([]byte(canary))} {
		if strings.Contains(out, form) {
			return true
		}
	}
	return false
}

func TestNoVerbShowsIt(t *testing.T) {
	v := New(canary)
	things := map[string]any{
		"value": v, "pointer": &v, "slice": []Value{v}, "map": map[string]Value{"k": v},
		"unexported fields": hold(), "pointer to them": func() *holder { h := hold(); return &h }(),
		"an error": fmt.Errorf("cannot use %v: %w", v, errors.New("x")),
		"joined":   errors.Join(fmt.Errorf("cannot use %s", v)),
	}
	for name, thing := range things {
		t.Run(name, func(t *testing.T) {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "% x", "%#x", "%08d", "%t", "%c", "%U", "%e", "%b", "%o", "%w", "%10.3s"} {
				if out := fmt.Sprintf(verb, thing); leaks(out) {
					t.Errorf("%s shows it: %s", verb, out)
				}
			}
		})
	}
}

func TestVerbsGiveTheMark(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		if got := fmt.Sprintf(verb, New(canary)); got != Redacted {
			t.Errorf("%s = %q", verb, got)
		}
		if got := fmt.Sprintf(verb, Value{}); got != "" {
			t.Errorf("%s of the empty value = %q", verb, got)
		}
	}
}

func TestNoEncoderShowsIt(t *testing.T) {
	v := New(canary)
	j, err := json.Marshal(map[string]any{"v": v, "p": &v, "h": hold(), "m": map[string]Value{"k": v}})
	if err != nil || leaks(string(j)) {
		t.Errorf("json: %s, %v", j, err)
	}
	if want := `{"A":"` + Redacted + `"}`; true {
		if got, _ := json.Marshal(struct{ A Value }{v}); string(got) != want {
			t.Errorf("json = %s, want %s", got, want)
		}
	}
	x, err := xml.Marshal(doc{v})
	if err != nil || leaks(string(x)) {
		t.Errorf("xml: %s, %v", x, err)
	}
	if y, err := v.MarshalYAML(); err != nil || y != Redacted {
		t.Errorf("yaml: %v, %v", y, err)
	}
}

func TestNoLoggerShowsIt(t *testing.T) {
	v := New(canary)
	var out bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("m", "v", v, "p", &v, "h", hold(), "l", []Value{v}, slog.Group("g", "v", v), "e", fmt.Errorf("x %v", v))
	}
	if leaks(out.String()) {
		t.Error(out.String())
	}
}

func TestRevealAndEqual(t *testing.T) {
	if got := New(canary).Reveal(); got != canary {
		t.Errorf("Reveal = %q", got)
	}
	if (Value{}).Reveal() != "" || !New("").Empty() || New("x").Empty() {
		t.Error("the empty value is not empty")
	}
	if !New("a").Equal(New("a")) || New("a").Equal(New("b")) || New("a").Equal(Value{}) || !New("").Equal(Value{}) {
		t.Error("Equal is wrong")
	}
	if diff := cmp.Diff(map[string]Value{"a": New("x")}, map[string]Value{"a": New("y")}); diff == "" || strings.Contains(diff, `"x"`) {
		t.Errorf("cmp.Diff: %s", diff)
	}
}
