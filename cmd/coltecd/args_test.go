package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/cmdline"
)

func TestArrange(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"nothing":                        {"", ""},
		"a verb":                         {"status", "status --"},
		"a flag after an argument":       {"sync web --allow-delete", "sync --allow-delete -- web"},
		"a value after an argument":      {"logs web -n 5", "logs -n 5 -- web"},
		"a global flag after the verb":   {"status --json --config x", "--config x status --json --"},
		"a global flag before the verb":  {"--config x status", "--config x status --"},
		"a global flag with =":           {"status --config=x", "--config=x status --"},
		"its short form":                 {"status -c x", "-c x status --"},
		"grouped flags":                  {"logs web -fn10", "logs -f -n 10 -- web"},
		"grouped, value apart":           {"logs -fn 10 web", "logs -f -n 10 -- web"},
		"a value that looks like one":    {"logs -n -1", "logs -n -1 --"},
		"after --":                       {"sync -- --json", "sync -- --json"},
		"an unknown flag":                {"status --jsn web", "status --jsn -- web"},
		"a flag without its value":       {"logs web -n", "logs -n"},
		"and with others":                {"logs web -f --json -n", "logs -f --json -n"},
		"grouped, without its value":     {"logs web -fn", "logs -f -n"},
		"without its value, before --":   {"logs -n -- web", "logs -n"},
		"a global one without its value": {"status --json --config", "--config"},
		"with = and nothing":             {"logs web -n=", "logs -n= -- web"},
		"an unknown verb":                {"fly --high", "fly --high --"},
		"global flags alone":             {"--help", "--help"},
		"help of a verb":                 {"start --help", "start --help --"},
		"help after an argument":         {"history restore --help", "history --help --"},
		"help between arguments":         {"logs web -h more", "logs -h --"},
		"help as an argument":            {"logs -- --help", "logs -- --help"},
		"help as a value":                {"logs web -n --help", "logs -n --help -- web"},
		"help of an unknown verb":        {"fly --help", "fly --help --"},
		"repeated":                       {"run --only a x --only b", "run --only a --only b -- x"},
	}
	app := newApp(&program{name: "coltecd"})
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := cmdline.Arrange(app, append([]string{"coltecd"}, strings.Fields(tt.in)...))
			if diff := cmp.Diff(strings.Fields(tt.want), got[1:]); diff != "" && tt.want != "" {
				t.Error(diff)
			}
		})
	}
}
