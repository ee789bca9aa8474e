// Package extensions holds the templates that coltec carries to lay over base.
package extensions

import (
	"embed"
	"io/fs"
)

//go:embed all:coltec-network
var files embed.FS

// FS has one directory for each extension.
func FS() fs.FS { return files }
