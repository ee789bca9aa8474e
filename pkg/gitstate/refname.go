package gitstate

import (
	"strings"
)

// KeptRefs is where values of refs are kept that lost their name to the remote
// side's: refs/coltec/ENV/UTC/NAME, NAME being the ref without "refs/".
const KeptRefs = "refs/coltec/"

const keptStamp = "20060102T150405.000Z"

const (
	stashRef = "refs/stash"
	stashLog = "logs/refs/stash"
)

// isRef says whether a text can be the name of a ref: it is one of a file too.
func isRef(name string) bool {
	if !strings.HasPrefix(name, "refs/") || strings.HasSuffix(name, ".") || strings.Contains(name, "..") || strings.Contains(name, "@{") {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("~^:?*[\\", r) })
}

// refName makes an element of a ref of a text.
func refName(text string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, text)
	if name == "" {
		return "-"
	}
	return name
}

// loose says that a ref stays a file of its own: it points to another ref, or
// is one of those that git looks for in a single working tree's files.
func loose(ref, value string) bool {
	return strings.HasPrefix(value, "ref: ") || strings.HasPrefix(ref, "refs/bisect/") ||
		strings.HasPrefix(ref, "refs/worktree/") || strings.HasPrefix(ref, "refs/rewritten/")
}
