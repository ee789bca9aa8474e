package daemon

import (
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/spec"
)

// A service ran with the PWD of whoever had started coltecd.
func TestUnitsHaveNoPlaceOfAnother(t *testing.T) {
	s := setting{spec: &spec.Spec{}, environ: []string{"PWD=/elsewhere", "OLDPWD=/before", "HOME=/home/me", "A=1"}}
	env := s.childEnv("", []string{"B=2"})
	if !slices.Equal(env, []string{"A=1", "B=2", "HOME=/home/me"}) {
		t.Errorf("%q", env)
	}
	if env := s.childEnv("root", []string{"PWD=/own"}); !slices.Contains(env, "HOME=/root") || !slices.Contains(env, "PWD=/own") || strings.Contains(strings.Join(env, " "), "OLDPWD") {
		t.Errorf("as root: %q", env)
	}
}
