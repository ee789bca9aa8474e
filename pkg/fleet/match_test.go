package fleet

import (
	"slices"
	"strings"
	"testing"
)

// What a name means, and that several are named and none is guessed.
func TestMatch(t *testing.T) {
	all := []string{"acme/widget/dev-a", "acme/widget/dev-b", "acme/gadget/dev-a", "home/notes/main", "home/notes/mainline", "dev/dev/dev"}
	for name, want := range map[string]string{
		"acme/widget/dev-a": "acme/widget/dev-a", "widget/dev-a": "acme/widget/dev-a", "dev-b": "acme/widget/dev-b", "gadget": "acme/gadget/dev-a",
		"main": "home/notes/main", "mainl": "home/notes/mainline", "notes/main": "home/notes/main", "ho/no/mainl": "home/notes/mainline",
		"wid/dev-b": "acme/widget/dev-b", "/acme/widget/dev-a/": "acme/widget/dev-a", "dev/dev/dev": "dev/dev/dev", "dev": "dev/dev/dev",
		"dev-a": "acme/widget/dev-a acme/gadget/dev-a", "acme": "acme/widget/dev-a acme/widget/dev-b acme/gadget/dev-a", "dev-": "acme/widget/dev-a acme/widget/dev-b acme/gadget/dev-a",
		// No middle of a word, no parts that are apart, nothing for nothing.
		"a": "acme/widget/dev-a acme/widget/dev-b acme/gadget/dev-a", "idget": "", "acme/dev-a": "", "dev-a/widget": "", "": "", "/": "", "DEV-A": "", "acme/widget/dev-a/x": "", "..": "",
	} {
		var got []string
		for _, i := range Match(name, all, false) {
			got = append(got, all[i])
		}
		if whole := Match(name, all, true); len(whole) > 0 && len(whole) != len(got) || len(whole) > 0 && strings.HasSuffix(name, "-") {
			t.Errorf("%q, whole: %v", name, whole)
		}
		if !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
