// Package templates holds the templates that coltec carries.
package templates

import (
	"embed"
	"io/fs"
)

//go:embed all:base all:project
var files embed.FS

// FS has one directory for each template.
func FS() fs.FS { return files }
