package hint

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-multierror"
)

func TestOf(t *testing.T) {
	inner := Wrap(io.EOF, "read on")
	tests := map[string]struct {
		err  error
		want []string
	}{
		"nil":           {nil, nil},
		"none":          {io.EOF, nil},
		"one":           {inner, []string{"read on"}},
		"wrapped":       {fmt.Errorf("cannot read: %w", inner), []string{"read on"}},
		"outer first":   {Wrap(inner, "then %d", 2), []string{"then 2", "read on"}},
		"joined, once":  {errors.Join(inner, Wrap(io.EOF, "read on"), Wrap(io.EOF, "b")), []string{"read on", "b"}},
		"a multi error": {multierror.Append(inner, Wrap(io.EOF, "b")), []string{"read on", "b"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Of(tt.err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWrapKeepsTheError(t *testing.T) {
	if err := Wrap(nil, "x"); err != nil {
		t.Errorf("Wrap(nil) = %v", err)
	}
	if err := Wrap(io.EOF, "x"); !errors.Is(err, io.EOF) || err.Error() != "EOF" {
		t.Errorf("Wrap changed the error: %v", err)
	}
}

func TestSentence(t *testing.T) {
	for want, err := range map[string]error{
		"EOF":                  io.EOF,
		"EOF; then 2; read on": Wrap(Wrap(io.EOF, "read on"), "then %d", 2),
	} {
		if got := Sentence(err); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// What is named in a next step can be pasted into a shell.
func TestWord(t *testing.T) {
	for _, name := range []string{"w", "a/b-c_1.2", "my w", "it's", "$HOME", "-rf", "a;b", "", "*", "~/x", "é文", "a\nb", `\`} {
		out, err := exec.Command("sh", "-c", "printf %s "+Word(name)).Output()
		if err != nil || string(out) != name {
			t.Errorf("%q: %s: %q, %v", name, Word(name), out, err)
		}
	}
	if Word("a/b-c") != "a/b-c" {
		t.Error("it is quoted without need")
	}
}
