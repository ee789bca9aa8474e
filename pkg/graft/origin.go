package graft

import (
	"regexp"
	"strings"
)

// Origin are the last two names of the address of the remote origin in the text of .git/config,
// "" where there are none. The text is read, and git is not asked: it obeys what such a file says.
func Origin(config []byte) (owner, name string) {
	in := false
	for line := range strings.Lines(string(config)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			in = line == `[remote "origin"]`
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !in || !ok || strings.TrimSpace(key) != "url" {
			continue
		}
		parts := strings.FieldsFunc(strings.TrimSuffix(strings.TrimRight(strings.TrimSpace(value), "/"), ".git"), func(r rune) bool { return r == '/' || r == ':' || r == '\\' })
		if len(parts) > 0 {
			name = parts[len(parts)-1]
		}
		if len(parts) > 2 || len(parts) == 2 && strings.Contains(value, "@") {
			owner = parts[len(parts)-2]
		}
		return owner, name
	}
	return "", ""
}

var notSlug = regexp.MustCompile(`[^a-z0-9]+`)

// slugMost is the length of a name of a workspace.
const slugMost = 20

// Slug makes a name of a workspace of any text; "" where nothing of it can be in one.
func Slug(s string) string {
	s = strings.Trim(notSlug.ReplaceAllString(strings.ToLower(s), "-"), "-")
	if len(s) > slugMost {
		s = strings.TrimRight(s[:slugMost], "-")
	}
	return s
}
