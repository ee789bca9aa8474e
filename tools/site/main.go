// Site renders the documents of the repository as HTML that needs nothing: no server, no script,
// no network. It ends with an error where a link leads nowhere.
//
//	go run -C tools/site . -root REPOSITORY -out FOLDER
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, talk io.Writer) int {
	flags := flag.NewFlagSet("site", flag.ContinueOnError)
	flags.SetOutput(talk)
	root := flags.String("root", filepath.Join("..", ".."), "the repository")
	to := flags.String("out", filepath.Join("..", "..", "dist", "site"), "the folder that gets the site; what an earlier run made there is replaced")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	files, err := render(os.DirFS(*root))
	if err == nil {
		err = errors.Join(check(files)...)
	}
	if err == nil {
		err = write(*to, files)
	}
	if err != nil {
		fmt.Fprintf(talk, "site: %v\n", err)
		return 1
	}
	links, anchors := count(files)
	fmt.Fprintf(out, "site: %d files, of which %d pages, with %d links and %d anchors, in %s\n", len(files), pages(files), links, anchors, filepath.Join(*to, index))
	return 0
}

// marker is in a folder that this program made: no other is replaced.
const marker = ".made-by-coltec-site"

// write puts files into a folder that is new, or was made by this program.
func write(dir string, files map[string][]byte) error {
	if _, err := os.Stat(dir); err == nil {
		if _, err := os.Stat(filepath.Join(dir, marker)); err != nil {
			return fmt.Errorf("%s is there and was not made by this program: remove it, or take another folder", dir)
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, marker), nil, 0o644); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for name, body := range files {
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		if err := root.WriteFile(name, body, 0o644); err != nil {
			return err
		}
	}
	return nil
}
