// Genschema writes the JSON Schema of the workspace spec, made from the types of
// pkg/spec and their comments. "go generate ./pkg/spec" runs it; it is a program
// of its own so that coltecd does not link what it needs.
package main

import (
	"fmt"
	"os"

	"github.com/coltec/coltec/pkg/spec/internal/schema"
)

func main() {
	if err := write(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func write(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("cannot write the schema: want one file name, not %d arguments", len(args))
	}
	text, err := schema.Generate(".")
	if err != nil {
		return err
	}
	return os.WriteFile(args[0], text, 0o644)
}
