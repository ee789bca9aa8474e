package main

import (
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/clidoc"
)

// TestCLIDoc holds docs/cli.md to the program. Run it with -update to write the
// page anew.
func TestCLIDoc(t *testing.T) {
	const path = "../../docs/cli.md"
	want := cliDoc()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("docs/cli.md is not what the program says; run: go test ./cmd/coltecd -run CLIDoc -update\n%s", diff)
	}
}

// cliDoc is the page.
func cliDoc() []byte {
	page := clidoc.Page{
		Generator: "go test ./cmd/coltecd -run CLIDoc -update",
		Intro:     "`coltec-daemon` is the same program. Flags may come before or after arguments.",
	}
	for _, c := range codes {
		page.Codes = append(page.Codes, [2]string{strconv.Itoa(c.code), c.text})
	}
	for _, v := range variables {
		page.Variables = append(page.Variables, [2]string{v.name, v.text})
	}
	return page.Write(newApp(&program{name: "coltecd"}))
}

func TestEveryVerbIsInAFileOfItsName(t *testing.T) {
	shared := map[string]string{"pause": "units", "resume": "units", "restart": "units", "reload": "units", "version": "version", "checkpoints": "checkpoint"}
	for _, c := range newApp(&program{}).VisibleCommands() {
		name := c.Name
		if shared[name] != "" {
			name = shared[name]
		}
		if _, err := os.Stat("cmd_" + name + ".go"); err != nil {
			t.Error(err)
		}
	}
}

// TestDocCommands: what the documents tell people to call is there, verbs and flags, and says what
// it is for.
func TestDocCommands(t *testing.T) {
	clidoc.Hold(t, newApp(&program{name: "coltecd"}), "../..")
}
