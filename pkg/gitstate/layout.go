package gitstate

import (
	"context"
	"strings"
)

// layout is how a repository is stored, as its configuration says.
type layout struct {
	objects string // "sha1" or "sha256"
	partial bool   // objects of it are on its remote alone
}

// extensions are those that are carried, or change nothing of what is.
var extensions = map[string]bool{
	"noop": true, "noop-v1": true, "objectformat": true, "partialclone": true, "preciousobjects": true,
	"refstorage": true, "relativeworktrees": true, "worktreeconfig": true,
}

// layoutOf refuses a repository that is stored in a way that is not known here: refs would be
// looked for, and written, where git has none.
func layoutOf(ctx context.Context, src source) (layout, error) {
	l, version, unknown := layout{objects: "sha1"}, "", ""
	var refuses error
	err := settings(ctx, src.file("config"), func(line string) error {
		key, value, _ := strings.Cut(line, "=")
		key = strings.ToLower(key)
		extension, extends := strings.CutPrefix(key, "extensions.")
		switch {
		case key == "core.repositoryformatversion":
			version = value
		case extension == "objectformat" && extends:
			l.objects = value
		case extension == "refstorage" && extends && value != "files":
			refuses = refused("its refs are stored as %s, which is not supported yet", value)
		case extension == "partialclone" && extends, strings.HasPrefix(key, "remote.") && strings.HasSuffix(key, ".promisor") && value == "true":
			l.partial = true
		case extends && !extensions[extension]:
			unknown = extension
		}
		return nil
	})
	switch {
	case err != nil:
		return l, refused("its configuration cannot be read: %s", err)
	case refuses != nil:
		return l, refuses
	case version != "" && version != "0" && version != "1":
		return l, refused("the version of its format, %s, is not known to this version of coltecd", version)
	case version == "1" && unknown != "":
		return l, refused("it uses the extension %q, which is not known to this version of coltecd", unknown)
	}
	return l, nil
}
