package gitstate

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// entry is one line of a log.
type entry struct {
	old, now string // objects
	rest     string // who, when and why
}

// when is the time of an entry, in seconds.
func (e entry) when() int64 {
	who, _, _ := strings.Cut(e.rest, "\t")
	words := strings.Fields(who)
	if len(words) < 2 {
		return 0
	}
	t, _ := strconv.ParseInt(words[len(words)-2], 10, 64)
	return t
}

func entries(body []byte) []entry {
	var out []entry
	for line := range bytes.Lines(body) {
		old, rest, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
		now, rest, ok := strings.Cut(rest, " ")
		if ok {
			out = append(out, entry{old, now, rest})
		}
	}
	return out
}

func written(list []entry) []byte {
	var b bytes.Buffer
	for _, e := range list {
		b.WriteString(e.old + " " + e.now + " " + e.rest + "\n")
	}
	return b.Bytes()
}

// joinLogs joins two logs that both grew: all objects that either names, in the
// order of time, but what one of them dropped since they were the same.
func joinLogs(base, local, remote []entry) []entry {
	set := func(list []entry) map[string]bool {
		m := map[string]bool{}
		for _, e := range list {
			m[e.now] = true
		}
		return m
	}
	inBase, inLocal, inRemote := set(base), set(local), set(remote)
	var out []entry
	for _, e := range remote {
		if inLocal[e.now] || !inBase[e.now] {
			out = append(out, e)
		}
	}
	for _, e := range local {
		if !inRemote[e.now] && !inBase[e.now] {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b entry) int { return cmp.Compare(a.when(), b.when()) })
	return out
}

// endingWith makes the last entry of a log the one of what its ref leads to.
func endingWith(list []entry, now string) []entry {
	for i, e := range slices.Backward(list) {
		if e.now == now {
			return append(slices.Delete(slices.Clone(list), i, i+1), e)
		}
	}
	return list
}
