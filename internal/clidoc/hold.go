package clidoc

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/urfave/cli/v2"
)

// least is how many command lines of a program the documents have at least: fewer are a fault of
// what looks for them.
const least = 50

// Hold fails a test for each command line in the documents below root that the program does not
// know, and for each verb and flag that says nothing of itself.
func Hold(t *testing.T, app *cli.App, root string) {
	t.Helper()
	found := 0
	for _, pattern := range []string{"README.md", "CONTRIBUTING.md", "docs/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if filepath.Base(file) == "troubleshooting.md" {
				continue // made of what the programs say, with calls that are wrong in it
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, command := range Commands(app.Name, string(text)) {
				found++
				if err := Unknown(app, command); err != nil {
					t.Errorf("%s: %v", filepath.Base(file), err)
				}
			}
		}
	}
	if found < least {
		t.Errorf("there are %d commands of %s in the documents", found, app.Name)
	}
	for _, name := range Undocumented(app) {
		t.Errorf("%s says nothing of itself", name)
	}
	t.Logf("%d commands of %s", found, app.Name)
}
