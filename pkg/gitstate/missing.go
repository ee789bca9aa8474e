package gitstate

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// missingMark is the file of a shadow that lists the objects which were missing, or
// damaged, when it was captured: "OBJECT FROM" a line, FROM being the ref that reached
// it first, if any. A shadow without it has all that it names.
const missingMark = "coltec.missing"

func readMissing(shadow string) map[string]string {
	missing := map[string]string{}
	body, _ := readFile(filepath.Join(shadow, missingMark), textMost)
	for line := range strings.Lines(string(body)) {
		if oid, from, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " "); isOID(oid) {
			missing[oid] = from
		}
	}
	return missing
}

// sign is what changes in a repository when an object comes that was missing.
func sign(src source, missing map[string]string) string {
	var b strings.Builder
	dirs := map[string]bool{"pack": true}
	for oid := range missing {
		dirs[oid[:2]] = true
	}
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		if s, err := os.Stat(filepath.Join(src.file("objects"), dir)); err == nil {
			fmt.Fprintf(&b, "%s %d ", dir, s.ModTime().UnixNano())
		}
	}
	return b.String()
}

// returned says that an object which was missing may be there now.
func (k *Keeper) returned(dir string, src source) bool {
	missing := readMissing(filepath.Join(k.Shadow, dir))
	return len(missing) > 0 && sign(src, missing) != k.signs[dir]
}
