package daemon

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// restAfter is how long after the last question coltecd gives back what answering it
// has taken: longer than anybody who asks again and again waits in between.
const restAfter = 3 * time.Second

// frugal lets garbage grow to half of the live heap before it is collected, instead of all
// of it: at the end of a first push of 100,000 files coltecd has 54 MB instead of 65. A
// GOGC in the environment wins.
func frugal() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

// slim gives back what only the start or a cycle needed: memory of the heap, and the pages
// of the program itself that are mapped (parsers, tables, what init ran). They
// come back from the page cache one by one, as they are needed. More than half of
// what coltecd weighs at rest goes with it: 15.3 MB became 7 (see bench/supervisor).
func slim() {
	debug.FreeOSMemory()
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	for _, m := range cleanMappings(string(maps)) {
		// unix.Madvise wants a slice, which must not be made of memory that is not
		// Go's. A failure costs memory, and nothing else.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED)
	}
}

// mapping is a range of addresses.
type mapping struct{ from, to uintptr }

// cleanMappings are the mappings of files, as /proc/PID/smaps has them, of which
// the file still has every byte: read-only, and without a page of our own, such
// as the loader makes where it relocates addresses.
func cleanMappings(smaps string) (clean []mapping) {
	var m mapping
	ofFile := false
	for line := range strings.Lines(smaps) {
		var next mapping
		var mode string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &next.from, &next.to, &mode); n == 3 {
			m = next
			ofFile = strings.Contains(line, "/") && !strings.Contains(mode, "w")
			continue
		}
		own := -1
		if n, _ := fmt.Sscanf(line, "Anonymous: %d kB", &own); n == 1 && own == 0 && ofFile {
			clean = append(clean, m)
		}
	}
	return clean
}
