// Package datadirs are the data directories of database servers as a kind of wholes: of one
// whose server runs nothing is carried, and nothing is placed in it; of one whose server does not, the
// files are carried, all of one moment.
package datadirs

import (
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// Kind are data directories, each named by its path. They have no shadows: what is carried of
// one are its files.
type Kind struct{}

var _ whole.Kind = Kind{}

// layout has the name of a directory that nobody makes.
var layout = whole.Layout{Noun: "data directories", Dir: localfs.Dir + "/datadirs", Mark: "coltec.mark", Gone: "coltec.gone"}

// Layout is that of no shadows.
func (Kind) Layout() whole.Layout { return layout }

// Leads reports that no name leads to one: they are found by their content.
func (Kind) Leads(string) bool { return false }

// Around is nothing: a path does not tell.
func (Kind) Around(string) string { return "" }

// Of is the path itself.
func (Kind) Of(path string) string { return path }

// Place is nowhere: there are no shadows.
func (Kind) Place(string) (string, bool) { return "", false }

// AsFiles are none: files are what they are.
func (Kind) AsFiles([]tree.Entry, func(string, bool) bool) map[string][]tree.Entry { return nil }

// Misleads reports that nobody is led elsewhere.
func (Kind) Misleads(*tree.Entry) (path, why string) { return "", "" }

// Watched is all that was watched before.
func (Kind) Watched(m localfs.Matcher) localfs.Matcher { return m }

// Carry makes what withholds the data directories of a tree.
func (Kind) Carry(o whole.Options) whole.Carrier {
	return &Directories{o: o, open: map[string]*directory{}}
}
