package talks

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/agents"
	"github.com/coltec/coltec/pkg/wholefile"
)

const (
	// windowMost is what is read of either end of a file, in bytes: a line with a picture is
	// larger, and says nothing then.
	windowMost = 256 << 10
	// valuesMost is what one line may have of values.
	valuesMost = 20000
)

// ending is what the last lines of a conversation say.
type ending struct {
	at   time.Time // of the last line that has a time
	open bool      // a turn is under way
}

// readEnd reads the last lines of a file of size bytes.
func readEnd(home *os.Root, name string, size int64, turns []agents.Turn) ending {
	from := max(0, size-windowMost)
	b := window(home, name, from)
	if from > 0 { // the first line is a part of one
		_, b, _ = bytes.Cut(b, []byte("\n"))
	}
	return judge(b, turns)
}

// judge tells how a conversation ends whose last lines are given. A line that has no end yet
// is being written: its turn is under way.
func judge(b []byte, turns []agents.Turn) (e ending) {
	i := bytes.LastIndexByte(b, '\n')
	half := len(bytes.TrimSpace(b[i+1:])) > 0
	lines := bytes.Split(b[:i+1], []byte("\n"))
	told := false
	for _, line := range slices.Backward(lines) {
		var v map[string]any
		if len(line) == 0 || wholefile.Unmarshal(line, &v, valuesMost) != nil {
			continue
		}
		if text, _ := v["timestamp"].(string); e.at.IsZero() && text != "" {
			if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
				e.at = at
			}
		}
		if side, _ := v["isSidechain"].(bool); !told && !side {
			e.open, told = apply(v, turns)
		}
		if told && !e.at.IsZero() {
			break
		}
	}
	e.open = e.open || half && len(turns) > 0
	return e
}

// apply is what the first rule that applies to a line says.
func apply(v map[string]any, turns []agents.Turn) (open, told bool) {
	for _, t := range turns {
		if text, is := field(v, t.At); is && slices.Contains(t.Is, text) {
			return !t.Ends, true
		}
	}
	return false, false
}

func field(v map[string]any, at string) (string, bool) {
	head, rest, deeper := strings.Cut(at, ".")
	if !deeper {
		text, is := v[head].(string)
		return text, is
	}
	in, _ := v[head].(map[string]any)
	return field(in, rest)
}

// foldersOf are the folders that the first lines of a conversation name as where it takes
// place; none where they name none.
func foldersOf(home *os.Root, name string) (list []string) {
	for line := range bytes.SplitSeq(window(home, name, 0), []byte("\n")) {
		var v struct {
			Cwd     string `json:"cwd"`
			Payload struct {
				Cwd string `json:"cwd"`
			} `json:"payload"`
			Data struct {
				Context struct {
					Cwd string `json:"cwd"`
				} `json:"context"`
			} `json:"data"`
		}
		if json.Unmarshal(line, &v) != nil { // a half line, or one of another form
			continue
		}
		for _, at := range []string{v.Cwd, v.Payload.Cwd, v.Data.Context.Cwd} {
			if at != "" && !slices.Contains(list, at) {
				list = append(list, at)
			}
		}
	}
	return list
}

// window is what a file has from a place on, as much as is read at once.
func window(home *os.Root, name string, from int64) []byte {
	f, err := wholefile.OpenIn(home, name)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, from, windowMost))
	if err != nil {
		return nil
	}
	return b
}
