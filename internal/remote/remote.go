// Package remote turns a remote of a spec into one of rclone's. It stands between
// the two, so that neither knows the other.
package remote

import (
	"fmt"

	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/spec"
)

// Backends are the remotes of a target as rclone knows them.
func Backends(t *spec.Target) []rclone.Backend {
	var list []rclone.Backend
	for i, r := range t.Remotes {
		b := rclone.Backend{Name: r.Name, Type: r.Type, Options: map[string]string{}}
		for k, v := range r.Options {
			b.Options[k] = v.Reveal()
		}
		if r.Crypt != nil && i+1 < len(t.Remotes) {
			inner := t.Remotes[i+1]
			b.Options["remote"] = rclone.Root(inner.Name, inner.Root(), r.WrapPath)
			b.Options["filename_encryption"] = r.Crypt.FilenameEncryption
			b.Options["directory_name_encryption"] = fmt.Sprint(r.Crypt.DirectoryNameEncryption)
			b.Passwords = map[string]string{"password": r.Crypt.Password.Reveal()}
			if !r.Crypt.Password2.Empty() {
				b.Passwords["password2"] = r.Crypt.Password2.Reveal()
			}
		}
		list = append(list, b)
	}
	return list
}
