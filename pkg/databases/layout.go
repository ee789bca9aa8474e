package databases

import (
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/sqlite"
	"github.com/coltec/coltec/pkg/whole"
)

const (
	mark = "coltec.json"
	gone = "coltec.gone"
	main = "db"                      // the database
	log  = main + string(sqlite.Log) // what was committed since: it only grows
)

var layout = whole.Layout{Noun: "databases", Dir: localfs.Dir + "/databases", Mark: mark, Gone: gone, Content: true}

// elsewhere reports whether a path is one at which files are not databases to us: of a
// repository, whatever a file system makes of its name, or our own.
func elsewhere(p string) bool {
	return slices.ContainsFunc(strings.Split(p, "/"), func(name string) bool {
		return strings.EqualFold(name, ".git") || strings.EqualFold(name, localfs.Dir)
	})
}
