// Package features carries the dev container Feature that puts coltecd and
// rclone into any image. Its files are in coltec/; pkg/feature writes them
// beside a devcontainer.json.
package features

import (
	"embed"
	"io/fs"
)

//go:embed coltec
var files embed.FS

// FS holds the files of the Feature, install.sh among them. Modes are lost in
// an embedded file system: the CLI runs install.sh by a shell of its own.
func FS() fs.FS {
	sub, err := fs.Sub(files, "coltec")
	if err != nil {
		panic(err) // the directory is in the binary
	}
	return sub
}
