package cmdline

import (
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// meanings are words of other tools, and the verbs that mean the same, of either program.
var meanings = map[string][]string{
	"attach": {"exec"}, "close": {"down", "stop"}, "cp": {"export", "history restore"}, "create": {"new"}, "download": {"export"},
	"down": {"stop"}, "enter": {"exec"}, "generations": {"history"}, "halt": {"down", "stop"}, "info": {"status"},
	"init": {"new"}, "list": {"ls", "history"}, "log": {"logs", "history"}, "ls": {"history", "status"}, "migrate": {"hop"}, "move": {"hop"}, "open": {"up", "start"},
	"ps": {"ls", "status"}, "push": {"sync"}, "reopen": {"up"}, "resolve": {"conflicts"}, "restore": {"history restore", "export"},
	"run": {"up"}, "save": {"sync"}, "shell": {"exec"}, "show": {"status"}, "ssh": {"exec"}, "start": {"up"}, "state": {"status"},
	"stop": {"down"}, "tail": {"logs"}, "test": {"check", "validate"}, "undo": {"history restore"}, "unpause": {"resume"},
	"takeover": {"hop"}, "up": {"start"}, "upgrade": {"update"}, "upload": {"sync"}, "versions": {"history"}, "wake": {"resume", "up"},
}

// never are verbs that end something or write over it: a word that only looks like one is
// no reason to name them.
var never = []string{"adopt", "down", "hop", "restart", "restore", "stop", "takeover", "update"}

// Near is the verb that an unknown word may mean: one of the same meaning, else one of
// nearly the same letters that does no harm; "" if there is none.
func Near(commands []*cli.Command, word string) string {
	if found := named(commands, meanings[word]); found != "" {
		return found
	}
	best, least := "", 1+min(2, (len(word)+1)/3)
	for _, c := range commands {
		if c.Hidden || slices.Contains(never, c.Name) {
			continue
		}
		for _, name := range c.Names() {
			if d := distance(word, name); d < least {
				best, least = c.Name, d
			}
		}
	}
	return best
}

// Nearest is the value of the key of words that is nearest to a word by its letters; "" if
// none is near.
func Nearest(word string, words map[string]string) string {
	best, least := "", 1+min(2, (len(word)+1)/3)
	for _, key := range slices.Sorted(maps.Keys(words)) {
		if d := distance(word, key); d < least {
			best, least = words[key], d
		}
	}
	return best
}

// named is the first of verbs whose first word is a command.
func named(commands []*cli.Command, verbs []string) string {
	for _, verb := range verbs {
		for _, c := range commands {
			first, _, _ := strings.Cut(verb, " ")
			if c.Name == first && !c.Hidden {
				return verb
			}
		}
	}
	return ""
}

// distance is how many letters are to be added, left out, changed, or changed with their
// neighbour.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
