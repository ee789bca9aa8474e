package localfs

import (
	"testing"
	"time"
)

// A change time so young that a further edit could show the same is not
// trusted. The kernels that tests run on may stamp finer than that.
func TestYoungTimesAreNotTrusted(t *testing.T) {
	now := time.Unix(1000, 500e6)
	tests := map[string]struct {
		ctime time.Time
		whole bool // the file system keeps seconds
		want  bool // trusted
	}{
		"old":                   {ctime: now.Add(-time.Second - 1), want: true},
		"just now":              {ctime: now.Add(-time.Millisecond)},
		"a tick ago":            {ctime: now.Add(-10 * time.Millisecond)},
		"of the future":         {ctime: now.Add(time.Minute)},
		"seconds, just now":     {ctime: time.Unix(999, 0), whole: true},
		"seconds, a while back": {ctime: time.Unix(997, 0), whole: true, want: true},
	}
	for name, tt := range tests {
		s := Seen{CTime: tt.ctime.UnixNano(), MTime: 1}
		if tt.whole {
			s.MTime = 0
		}
		s.distrustCTime(now)
		if (s.CTime != 0) != tt.want {
			t.Errorf("%s: kept %d", name, s.CTime)
		}
	}
}
