package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// tagged are the ways in which the repository is built: a function that one of them
// calls is not dead.
var tagged = []string{"", "coltec_mutants"}

// deadCode fails for functions that no program and no test calls.
func (c *checker) deadCode(ctx context.Context) error {
	dead, err := deadIn(ctx, c.root, tagged[0])
	for _, tags := range tagged[1:] {
		if err != nil || len(dead) == 0 {
			break
		}
		var here map[string]bool
		here, err = deadIn(ctx, c.root, tags)
		maps.DeleteFunc(dead, func(f string, _ bool) bool { return !here[f] })
	}
	if err != nil || len(dead) == 0 {
		return err
	}
	return errors.New(strings.Join(slices.Sorted(maps.Keys(dead)), "\n") + "\nhint: nothing calls them, no test either: remove them")
}

// deadIn finds the dead functions below dir, tests counted in.
func deadIn(ctx context.Context, dir, tags string) (map[string]bool, error) {
	out, err := tool(ctx, dir, "deadcode", "-test", "-json", "-tags", tags, "./...")
	if err != nil {
		return nil, err
	}
	var packages []struct {
		Path  string
		Funcs []struct {
			Name     string
			Position struct {
				File string
				Line int
			}
		}
	}
	if err := json.Unmarshal(out, &packages); err != nil {
		return nil, fmt.Errorf("cannot read what deadcode says: %w", err)
	}
	dead := map[string]bool{}
	for _, p := range packages {
		for _, f := range p.Funcs {
			dead[fmt.Sprintf("%s:%d: %s of %s", f.Position.File, f.Position.Line, f.Name, p.Path)] = true
		}
	}
	return dead, nil
}
