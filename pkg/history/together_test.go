package history

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/frozen"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/whole"
)

// One file of a directory whose files are only valid together is not taken: a database of two states
// would be none. What lies beside one is.
func TestNoPartIsTaken(t *testing.T) {
	const stamp = ".coltec/conflicts/20300102T030405.000Z-b/"
	server := func(dir string) []string {
		return []string{dir + "PG_VERSION", dir + "global/1", dir + "pg_wal/1", dir + "base/1/2"}
	}
	freeze := func(path string) whole.Kinds { return whole.Kinds{frozen.Kind{Paths: []frozen.Path{{Path: path}}}} }
	for name, tt := range map[string]struct {
		files  []string
		wholes whole.Kinds
		path   string // of the version
		whole  string // "-": it stands alone
	}{
		"frozen":                              {[]string{"db/a", stamp + "db/a", stamp + "db/b"}, freeze("db"), "db/a", "db"},
		"frozen, deeper":                      {[]string{stamp + "x/db/c/d"}, freeze("x/db"), "x/db/c/d", "x/db"},
		"all is frozen":                       {[]string{stamp + "a"}, freeze(""), "a", ""},
		"beside a frozen one":                 {[]string{stamp + "dbs/a"}, freeze("db"), "dbs/a", "-"},
		"a data directory, here and aside":    {append(server("pg/"), server(stamp+"pg/")...), nil, "pg/base/1/2", "pg"},
		"a data directory, aside":             {server(stamp + "pg/"), nil, "pg/PG_VERSION", "pg"},
		"a data directory, here":              {append(server("pg/"), stamp+"pg/base/1/2"), nil, "pg/base/1/2", "pg"},
		"the tree is a data directory":        {append(server(""), stamp+"base/1/2"), nil, "base/1/2", ""},
		"beside a data directory":             {append(server("pg/"), stamp+"pg.conf"), nil, "pg.conf", "-"},
		"a file":                              {[]string{"a", stamp + "a"}, nil, "a", "-"},
		"of the same beginning as a data dir": {append(server("pg/"), stamp+"pg2/base/1/2"), freeze("p"), "pg2/base/1/2", "-"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for _, file := range tt.files {
				file = filepath.Join(root, file)
				if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("x"), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			x := scope.Replica{Name: "w", Path: root, Wholes: tt.wholes}
			list, err := replica.ListConflicts(root, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range list {
				if k.Path != tt.path {
					continue
				}
				err := localfs.WithOwn(root, "", 0, func(files *localfs.Root, _ string) error {
					dir, ok := wholeAround(t.Context(), files, x, k)
					if ok != (tt.whole != "-") || ok && dir != tt.whole {
						t.Errorf("%q, %v", dir, ok)
					}
					return nil
				})
				if err != nil || tt.whole == "-" {
					return
				}
				_, err = new(Reader).TakeConflict(t.Context(), x, k, "")
				if err == nil || !strings.Contains(err.Error(), "only valid together") || !strings.Contains(strings.Join(hint.Of(err), "\n"), strings.TrimSuffix(stamp+tt.whole, "/")) {
					t.Errorf("%v, %q", err, hint.Of(err))
				}
				return
			}
			t.Fatalf("%+v", list)
		})
	}
}
