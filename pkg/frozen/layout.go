package frozen

import (
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/whole"
)

// Names of files of a shadow. A file of a frozen directory cannot have them.
const (
	markName = "coltec.frozen.json"
	goneName = "coltec.frozen.gone"
)

var layout = whole.Layout{
	Noun: "frozen directories", Dir: localfs.Dir + "/frozen", Mark: markName, Gone: goneName, Dirs: true,
}
