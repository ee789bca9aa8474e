package replica

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/sparse"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// here finds content that comes in files that are here already: what another
// machine renamed or copied costs no download.
func (p *placement) here() map[tree.Sum]string {
	here := map[tree.Sum]string{}
	for i := range p.plan.local {
		if e := &p.plan.local[i]; e.Kind == tree.File && e.Sum != (tree.Sum{}) {
			here[e.Sum] = e.Path
		}
	}
	return here
}

// copyHere makes the staged file of a decision from one that is here, and says
// whether it could: that may have been edited or moved since it was planned with.
func (p *placement) copyHere(d *plan.Decision, staged string) bool {
	path, ok := p.local[d.Entry.Sum]
	if !ok || d.Entry.Kind != tree.File || d.Entry.Size == 0 || d.Remote.Mode == tree.NoMode {
		return false
	}
	i, ok := localfs.Search(p.plan.seen, path)
	if !ok {
		return false
	}
	_ = os.Remove(staged) // of a run that was cut off
	f, err := os.OpenFile(staged, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false
	}
	got, _, err := p.r.reader().Read(&p.plan.seen[i], func(r io.Reader) error {
		_, err := sparse.Copy(f, r)
		return err
	})
	if f.Close() != nil || err != nil || got != d.Entry.Sum {
		_ = os.Remove(staged)
		return false
	}
	return true
}

// gather fills the stage for decisions that need content: from here, and else by what
// is to be fetched. It notes where the content of each will be staged.
func (p *placement) gather(takes []*plan.Decision, staged []string, dir string) (fetch []*plan.Decision) {
	for i, d := range takes {
		name := "here-" + strconv.Itoa(i)
		if !p.copyHere(d, filepath.Join(dir, name)) {
			name = strconv.Itoa(len(fetch))
			fetch = append(fetch, d)
		}
		staged[i] = localfs.Join(localfs.Dir+"/stage/in", name)
	}
	return fetch
}

// pace tells how far a placement is: in files and bytes of content.
type pace struct {
	tell  func(store.Pace)
	began time.Time
	all   store.Pace
	batch int64 // bytes of the batch that is on its way
}

// start counts what is to come.
func (s *pace) start(takes []*plan.Decision, now time.Time) {
	s.began = now
	for _, d := range takes {
		if d.Fetches() {
			s.all.TotalFiles++
			s.all.TotalBytes += d.Entry.Size
		}
	}
}

// arriving makes of the progress of a transfer, which counts objects, one of all
// that comes.
func (s *pace) arriving(x store.Pace) {
	now := s.all
	if x.TotalBytes > 0 {
		now.Bytes += int64(float64(s.batch) * float64(x.Bytes) / float64(x.TotalBytes))
	}
	s.say(now)
}

// placed notes that a batch is in its place.
func (s *pace) placed(files int) {
	s.all.Files += files
	s.all.Bytes += s.batch
	s.say(s.all)
}

func (s *pace) say(now store.Pace) {
	if s.tell == nil {
		return
	}
	if now.Bytes > 0 {
		perByte := time.Since(s.began).Seconds() / float64(now.Bytes)
		now.ETA = time.Duration(perByte * float64(now.TotalBytes-now.Bytes) * float64(time.Second))
	}
	s.tell(now)
}
