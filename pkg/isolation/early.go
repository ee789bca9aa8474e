package isolation

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// early has the keys of commands that run once, when the container was made. An editor, and
// `coltec up`, have coltecd started after them, by postStartCommand.
type early struct {
	OnCreate      json.RawMessage            `json:"onCreateCommand"`
	UpdateContent json.RawMessage            `json:"updateContentCommand"`
	PostCreate    json.RawMessage            `json:"postCreateCommand"`
	Features      map[string]json.RawMessage `json:"features"`
}

// awaiting is what a command has in it that waits for the restore: coltecd's own words, or the
// script of the template.
var awaiting = regexp.MustCompile(`coltecd wait|coltecd start --wait|\.devcontainer/start\.sh create`)

// early notes which commands run before the restore.
func (c *Container) early(text []byte) {
	var e early
	if json.Unmarshal(text, &e) != nil {
		return // features of another form: said by the dev container CLI
	}
	for name, options := range e.Features {
		var o struct {
			Start bool `json:"start"`
		}
		if path.Base(name) == "coltec" && json.Unmarshal(options, &o) == nil && o.Start {
			return // it waits before all of them
		}
	}
	for _, command := range []struct {
		key  string
		text json.RawMessage
	}{{"onCreateCommand", e.OnCreate}, {"updateContentCommand", e.UpdateContent}, {"postCreateCommand", e.PostCreate}} {
		switch text := string(command.text); {
		case awaiting.MatchString(text):
			return // and those after it
		case text != "" && text != "null":
			c.Early = append(c.Early, command.key)
		}
	}
}

// Early says which commands of a devcontainer.json run before the restore: on another machine
// they do not find the files yet, and do not run again.
func Early(w Workspace) []Finding {
	if len(w.Container.Early) == 0 || len(w.Spec.Replicas()) == 0 {
		return nil
	}
	const wait = "coltecd start && coltecd wait hooks --progress || true"
	fix := fmt.Sprintf(`put "onCreateCommand": %q into devcontainer.json: it comes before`, wait)
	if w.Container.Early[0] == "onCreateCommand" {
		fix = fmt.Sprintf("begin onCreateCommand with %q", wait)
	}
	return []Finding{{"early-commands", Warning, []string{w.Folder},
		fmt.Sprintf("%s of devcontainer.json may run before the restore: on a new machine the files are not there yet", strings.Join(w.Container.Early, ", ")), fix}}
}
