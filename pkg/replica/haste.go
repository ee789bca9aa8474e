package replica

// haste is what an end that is near makes of steps.
type haste struct {
	hurried   bool            // steps are small: an end is near
	handsOver bool            // another machine is about to go on from here
	flushed   map[string]bool // paths that were staged since
	late      bool            // the last step put a large edit off: it is first in the next one
}

// hurryBytes is what a step has at most before a near end: seconds on a slow
// line, so that what is sent is committed in time.
const hurryBytes = 8 << 20

// HandOver says whether another machine is about to go on from here: then a file goes with
// all that it ends in, be it half a line.
func (h *haste) HandOver(now bool) { h.handsOver = now }

// ShortenSteps makes further steps small, small files first: there may be time for some
// of them only.
func (h *haste) ShortenSteps() {
	if !h.hurried {
		h.hurried, h.flushed = true, map[string]bool{}
	}
}
