// Check holds the repository to what no compiler and no test sees: advisories of what is
// linked into what users get, its licences, what staticcheck finds, and functions that
// nothing calls. The tools and the database of advisories are those of go.mod here.
//
//	go run -C tools/check . [-release] [-write] [-texts FILE]
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

// checker is one run, with what it was asked for.
type checker struct {
	root    string // of the repository
	release bool   // an advisory that a newer Go mends fails too
	write   bool   // the list of licences is written, and nothing else is done
	texts   string // the file that gets the words of the licences, and nothing else is done
	out     io.Writer
}

func run(ctx context.Context, args []string, out, talk io.Writer) int {
	c := checker{out: out}
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.SetOutput(talk)
	flags.StringVar(&c.root, "root", filepath.Join("..", ".."), "the repository")
	flags.BoolVar(&c.release, "release", false, "fail for advisories that a newer Go mends, too")
	flags.BoolVar(&c.write, "write", false, "write the list of licences, and check nothing")
	flags.StringVar(&c.texts, "texts", "", "write the words of the licences to a file, and check nothing")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	checks := []struct {
		name string
		do   func(context.Context) error
	}{
		{"licences", c.licences},
		{"advisories", c.advisories},
		{"staticcheck", c.staticcheck},
		{"dead code", c.deadCode},
	}
	if c.write || c.texts != "" {
		checks = checks[:1]
	}
	code := 0
	for _, check := range checks {
		start := time.Now()
		err := check.do(ctx)
		if err != nil {
			fmt.Fprintf(talk, "%s:\n%s\n", check.name, strings.TrimSpace(err.Error()))
			code = 1
		}
		fmt.Fprintf(out, "%s: %.0f s\n", check.name, time.Since(start).Seconds())
	}
	return code
}

// program is a main package that users get.
type program struct {
	module string // its folder, below the root
	paths  []string
	tags   string
	host   string // the one of paths that is built for other systems than Linux, too
	called bool   // advisories count where the code is called, else where it is linked
}

// programs are built as the Makefile and the scripts do. Of what others wrote it takes
// minutes to find what is called; that nothing is linked is the stricter demand.
func (c *checker) programs(ctx context.Context) ([]program, error) {
	script := filepath.Join(c.root, "scripts", "build-tailscale.sh")
	flags, err := output(ctx, c.root, nil, script, "--flags")
	if err != nil {
		return nil, err
	}
	_, tags, ok := strings.Cut(strings.TrimSpace(string(flags)), "-tags=")
	if !ok {
		return nil, fmt.Errorf("cannot find the tags in %q of %s", flags, script)
	}
	return []program{
		{module: ".", paths: []string{"./cmd/coltec", "./cmd/coltecd", "./cmd/coltec-mcp"}, host: "./cmd/coltec", tags: "urfave_cli_no_docs", called: true},
		{module: "tools", paths: []string{"./rclone"}},
		{module: filepath.Join("tools", "tailnet"), paths: []string{"tailscale.com/cmd/tailscaled"}, tags: tags},
	}, nil
}

// staticcheck says what the tool of that name finds.
func (c *checker) staticcheck(ctx context.Context) error {
	_, err := tool(ctx, c.root, "staticcheck", "./...")
	return err
}

// tool runs a tool of our go.mod in dir and returns what it prints. Its exit code is an
// error that carries all of that.
func tool(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	path, err := output(ctx, "", nil, "go", "tool", "-n", name)
	if err != nil {
		return nil, err
	}
	return output(ctx, dir, nil, strings.TrimSpace(string(path)), args...)
}

// output runs a command in dir, with env beside the environment.
func output(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	if filepath.Base(name) != name {
		absolute, err := filepath.Abs(name)
		if err != nil {
			return nil, err
		}
		name = absolute
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return nil, fmt.Errorf("%s%scannot run %s: %w", stdout.Bytes(), stderr.Bytes(), filepath.Base(name), err)
	}
	return stdout.Bytes(), err
}
