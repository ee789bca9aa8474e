package cmdline

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/pkg/hint"
)

// ForHost is the variable by which coltec tells the coltecd of a container, of which it has a verb carried
// out, what its caller named the workspace: the caller has no coltecd to type.
const ForHost = "COLTEC_FOR_HOST"

// HostVerbs are the verbs of coltecd that coltec has too, with the workspace before the other arguments.
var HostVerbs = []string{
	"agents check", "agents logout", "checkpoint", "checkpoints", "compare", "conflicts", "gc", "history", "logs", "rewind", "status", "sync",
}

// called is a verb of coltecd in a text for people, with the first word after it; or what is quoted, as
// names of files are, which may look like one.
var called = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`"(?:[^"\\]|\\.)*"|(?:^|[\s(=])'[^']*'|\bcoltecd ([a-z]+)(?: ([a-z]+))?\b`)
})

// OnHost gives the next steps of coltecd's as a person on the host types them. What follows coltecd in a
// text is a verb where it is one of app's.
func OnHost(app *cli.App, workspace string) func(step string) string {
	return func(step string) string {
		return called().ReplaceAllStringFunc(step, func(text string) string {
			m := called().FindStringSubmatch(text)
			if m == nil || m[1] == "" {
				return text
			}
			verb, rest := m[1], strings.TrimPrefix(text, "coltecd "+m[1])
			if two := m[1] + " " + m[2]; slices.Contains(HostVerbs, two) {
				verb, rest = two, ""
			}
			switch {
			case app.Command(m[1]) == nil || app.Command(m[1]).Hidden:
				return text
			case slices.Contains(HostVerbs, verb):
				return "coltec " + verb + " " + hint.Word(workspace) + rest
			}
			return "coltec exec " + hint.Word(workspace) + " -- " + text
		})
	}
}

// stepsOf is where an app has what its next steps are told as, a func(string) string; none: as they are.
const stepsOf = "next steps"

// TellSteps has the next steps of an app's errors told as another text.
func TellSteps(app *cli.App, as func(step string) string) {
	if app.Metadata == nil {
		app.Metadata = map[string]any{}
	}
	app.Metadata[stepsOf] = as
}

// told is an error whose next steps are as an app tells them.
func told(app *cli.App, err error) error {
	as, is := app.Metadata[stepsOf].(func(string) string)
	if err == nil || !is {
		return err
	}
	steps := hint.Of(err)
	err = errors.New(err.Error())
	for _, step := range slices.Backward(steps) {
		err = hint.Wrap(err, "%s", as(step))
	}
	return err
}
