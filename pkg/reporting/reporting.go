// Package reporting has coding agents tell coltecd what they do: it puts commands into an
// agent's own settings, and takes them out again. What a person wrote there stays as it is.
// Pure: it reads and writes no file.
package reporting

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/coltec/coltec/pkg/agents"
	"github.com/coltec/coltec/pkg/jsonc"
)

// ErrTaken is the error of settings that have a command of somebody else at the only place that
// there is for one.
var ErrTaken = errors.New("it runs another command at the end of a turn already, and can run one")

// verb is in each command of ours, and in none of others.
const verb = "coltecd agents report "

// command is what an agent runs in a state. It never fails and prints nothing, where there is
// no coltecd either.
func command(agent, state string) string {
	return verb + state + " --agent " + agent + " >/dev/null 2>&1 || true"
}

// ours is a command of this version or of one before it, and nothing more: what somebody added to
// one is theirs.
var ours = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^` + verb + `[a-z]+( --agent [a-z0-9-]+)?( >/dev/null 2>&1 \|\| true)?$`)
})

// Add puts the commands of an agent into its settings, src; nil: it has none yet. What is there
// already stays.
func Add(a agents.Agent, src []byte) ([]byte, error) {
	clean, err := Remove(a, src)
	if err != nil {
		return nil, err
	}
	var out []byte
	switch a.Hooks.Form {
	case agents.FormJSON:
		out, err = addJSON(a, clean)
	case agents.FormNotify:
		out, err = addNotify(a, clean)
	default:
		err = fmt.Errorf("no hooks of %s are known", a.Name)
	}
	if err == nil && complete(a, src, out) {
		return src, nil
	}
	return out, err
}

// complete reports whether settings have what would be put into them, wherever somebody moved
// it to.
func complete(a agents.Agent, src, want []byte) bool {
	return bytes.Count(src, []byte(verb)) == bytes.Count(want, []byte(verb)) &&
		!slices.ContainsFunc(a.Hooks.Events, func(e agents.Event) bool { return !bytes.Contains(src, []byte(command(a.Name, e.State))) })
}

// Remove takes the commands out of the settings of an agent; nil: nothing is left, so the file
// has to go. Settings that have none of ours are given back as they are.
func Remove(a agents.Agent, src []byte) ([]byte, error) {
	if !bytes.Contains(src, []byte(verb)) {
		return src, nil
	}
	switch a.Hooks.Form {
	case agents.FormJSON:
		return removeJSON(a, src)
	case agents.FormNotify:
		return removeNotify(src), nil
	}
	return src, nil
}

// fresh are settings that we made, without what we put into them.
const fresh = "{\n}\n"

func addJSON(a agents.Agent, src []byte) (out []byte, err error) {
	out = src
	if src == nil {
		out = []byte(fresh)
	}
	for _, e := range a.Hooks.Events {
		if told, err := tells(out, e); told || err != nil {
			if err != nil {
				return nil, err
			}
			continue
		}
		text, err := json.Marshal(command(a.Name, e.State))
		if err != nil {
			return nil, err
		}
		// As a person would write it: others see no \u003e there.
		text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte(`\u003e`), []byte(">")), []byte(`\u0026`), []byte("&"))
		entry := fmt.Sprintf(`{"hooks": [{"type": "command", "command": %s}]}`, text)
		if out, err = jsonc.Append(out, "hooks", e.On, json.RawMessage(entry)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// removeJSON takes out each entry that has nothing but a command of ours: one to which somebody
// added another stays whole.
func removeJSON(a agents.Agent, src []byte) (out []byte, err error) {
	out = src
	for _, e := range slices.Backward(a.Hooks.Events) {
		if out, err = jsonc.Drop(out, "hooks", e.On, isOurs); err != nil {
			return nil, err
		}
	}
	if string(out) == fresh {
		return nil, nil
	}
	return out, nil
}

// entry is what an agent runs at an event.
type entry struct {
	Hooks []hook `json:"hooks"`
}

type hook struct {
	Type    string `json:"type"`
	Command string `json:"command"`
}

// isOurs reports whether an entry is as we put it there: one with a matcher, say, is a person's.
func isOurs(text json.RawMessage) bool {
	var v entry
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(&v) == nil && len(v.Hooks) == 1 && ours().MatchString(v.Hooks[0].Command)
}

// tells reports whether an entry of a person has the state of an event told already.
func tells(src []byte, e agents.Event) (bool, error) {
	if !bytes.Contains(src, []byte(verb)) {
		return false, nil
	}
	text, err := jsonc.Get(src, "hooks", e.On)
	if err != nil || text == nil {
		return false, err
	}
	var list []json.RawMessage
	_ = json.Unmarshal(text, &list) // what is none is said where something is put into it
	return slices.ContainsFunc(list, func(text json.RawMessage) bool {
		var v entry
		_ = json.Unmarshal(text, &v)
		return !isOurs(text) && slices.ContainsFunc(v.Hooks, func(h hook) bool { return strings.HasPrefix(h.Command, verb+e.State+" ") })
	}), nil
}

// A line that sets notify, wherever it stands: in a table it may mean something else, and is
// left alone too.
var notify = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?m)^[ \t]*["']?notify["']?[ \t]*=.*$`) })

const byteOrder = "\ufeff"

// addNotify puts one line in front of all others: keys of no table are only there, whatever
// follows.
func addNotify(a agents.Agent, src []byte) ([]byte, error) {
	rest, marked := bytes.CutPrefix(src, []byte(byteOrder))
	switch {
	case notify().Match(rest) && bytes.Contains(rest, []byte(verb)):
		return src, nil // a person has changed it, and it tells what it did
	case notify().Match(rest):
		return nil, ErrTaken
	}
	end := "\n"
	if bytes.Contains(src, []byte("\r\n")) {
		end = "\r\n"
	}
	line := fmt.Sprintf("notify = [\"sh\", \"-c\", \"%s\"]%s", command(a.Name, a.Hooks.Events[0].State), end)
	if marked {
		return slices.Concat([]byte(byteOrder+line), rest), nil
	}
	return append([]byte(line), src...), nil
}

func removeNotify(src []byte) []byte {
	if rest, marked := bytes.CutPrefix(src, []byte(byteOrder)); marked {
		return append([]byte(byteOrder), removeNotify(rest)...)
	}
	for _, at := range notify().FindAllIndex(src, -1) {
		_, value, _ := strings.Cut(string(src[at[0]:at[1]]), "=")
		value, shell := strings.CutPrefix(strings.TrimSpace(value), `["sh", "-c", "`)
		value, ends := strings.CutSuffix(value, `"]`)
		if !shell || !ends || !ours().MatchString(value) {
			continue
		}
		end := at[1]
		if end < len(src) { // the end of the line is no part of it
			end++
		}
		if out := slices.Concat(src[:at[0]], src[end:]); len(out) > 0 {
			return out
		}
		return nil
	}
	return src
}
