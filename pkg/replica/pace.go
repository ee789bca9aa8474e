package replica

import (
	"time"

	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/store"
)

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
