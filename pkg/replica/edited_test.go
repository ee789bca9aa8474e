package replica

import (
	"os"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/google/go-cmp/cmp"
)

// What is done to a file between the plan and its turn is an edit, also where size and
// time stay as they were: nobody looked at a chmod, nor at another file of the same
// looks.
func TestEditsBetweenPlanAndPlacement(t *testing.T) {
	edits := map[string]func(m *machine, at string) error{
		"chmod": func(_ *machine, at string) error { return os.Chmod(at, 0o711) },
		"a file of the same looks": func(m *machine, at string) error {
			was, err := os.Stat(at)
			m.w.must(err)
			body, err := os.ReadFile(at)
			m.w.must(err)
			body[0]++
			return errorsJoin(os.WriteFile(at+"~", body, was.Mode()), os.Chtimes(at+"~", was.ModTime(), was.ModTime()), os.Rename(at+"~", at))
		},
	}
	theirs := map[string]func(at string) error{
		"edited there":         func(at string) error { return os.WriteFile(at, []byte("edited there"), 0o644) },
		"removed there":        os.Remove,
		"touched there":        func(at string) error { return os.Chtimes(at, time.Now(), time.Unix(1e9, 0)) },
		"chmod there":          func(at string) error { return os.Chmod(at, 0o600) },
		"a link there":         func(at string) error { return errorsJoin(os.Remove(at), os.Symlink("x", at)) },
		"a directory there":    func(at string) error { return errorsJoin(os.Remove(at), os.Mkdir(at, 0o755)) },
		"chmod, edited before": func(at string) error { return os.Chmod(at, 0o600) },
		"edited on both sides": func(at string) error { return os.WriteFile(at, []byte("edited there"), 0o644) },
	}
	for theirName, there := range theirs {
		for name, edit := range edits {
			t.Run(theirName+"/"+name, func(t *testing.T) {
				one, two := started(t, map[string]string{"f": "content", "other": "1"})
				two.mustAcquire()
				one.w.must(there(one.at("f")))
				one.pushAll()
				if theirName == "chmod, edited before" || theirName == "edited on both sides" {
					two.put("f", "edited before")
				}
				var edited fileTree
				two.merge = func(s plan.Sides) []plan.Decision {
					plan := plan.Merge(s)
					one.w.must(edit(two, two.at("f")))
					edited = two.show()
					return plan
				}
				out, err := two.acquire(SettleOptions{AllowDelete: true})
				one.w.must(err)
				if diff := cmp.Diff(edited, two.show()); diff != "" {
					t.Errorf("the edit is not where it was: %s", diff)
				}
				if len(out.Problems) != 1 || out.Problems[0].Path != "f" || out.Problems[0].Reason != localfs.ErrEdited.Error() {
					t.Errorf("problems: %+v", out.Problems)
				}
				if !two.unplaced("f") {
					t.Error("what is remote counts as placed")
				}
			})
		}
	}
}
