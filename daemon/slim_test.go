package daemon

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCleanMappings(t *testing.T) {
	const smaps = `00400000-00997000 r-xp 00000000 00:1f 12    /usr/local/bin/coltecd
Size:               5724 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me sd
00997000-00f5b000 r--p 00597000 00:1f 12    /usr/local/bin/coltecd
Anonymous:             4 kB
00f5b000-00fbe000 rw-p 00b5b000 00:1f 12    /usr/local/bin/coltecd
Anonymous:             0 kB
33f68cc00000-33f68d000000 rw-p 00000000 00:00 0
Anonymous:          1032 kB
7ffd0000-7ffe0000 r-xp 00000000 00:00 0    [vdso]
Anonymous:             0 kB
`
	want := []mapping{{0x400000, 0x997000}} // no relocated, writable or nameless one
	if diff := cmp.Diff(want, cleanMappings(smaps), cmp.AllowUnexported(mapping{})); diff != "" {
		t.Error(diff)
	}
}

// A program that has given its pages back still runs.
func TestSlim(t *testing.T) {
	slim()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	if len(cleanMappings(string(smaps))) == 0 {
		t.Error("no mapping of our own program was found")
	}
	if units := wiring(t, wired).units(noRclone); len(units) == 0 {
		t.Error("a spec has no units any more")
	}
}
