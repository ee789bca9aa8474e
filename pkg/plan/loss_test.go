package plan

import "testing"

// The rule of the brake: docs/planner.md has it in words.
func TestBrake(t *testing.T) {
	tests := map[string]struct {
		loss Loss
		want bool
	}{
		// Nothing gives them back.
		"none": {Loss{Files: 100}, false}, "the only one": {Loss{Files: 1, Gone: 1}, false},
		"both": {Loss{Files: 2, Gone: 2}, true}, "all": {Loss{Files: 5, Gone: 5}, true},
		"ten of twelve": {Loss{Files: 12, Gone: 10}, false}, "eleven of twelve": {Loss{Files: 12, Gone: 11}, true},
		"half": {Loss{Files: 40, Gone: 20}, false}, "more than half": {Loss{Files: 40, Gone: 21}, true},
		"an empty base": {Loss{}, false},
		// A kept generation does.
		"more than half, and it comes back":       {Loss{Files: 40, Gone: 21, GivesBack: true}, false},
		"eleven of twelve, and it comes back":     {Loss{Files: 12, Gone: 11, GivesBack: true}, true},
		"all, and it comes back":                  {Loss{Files: 5, Gone: 5, GivesBack: true}, true},
		"nine of ten, and few":                    {Loss{Files: 10, Gone: 9, GivesBack: true}, false},
		"nine of ten":                             {Loss{Files: 1000, Gone: 900, GivesBack: true}, true},
		"a little less":                           {Loss{Files: 1000, Gone: 899, GivesBack: true}, false},
		"one of two directories":                  {Loss{Files: 1000, Gone: 700, Open: 990, OpenGone: 700, GivesBack: true}, false},
		"rm -rf *, with many dotfiles":            {Loss{Files: 1000, Gone: 600, Open: 600, OpenGone: 600, GivesBack: true}, true},
		"rm -rf *, with more dotfiles than files": {Loss{Files: 1000, Gone: 400, Open: 400, OpenGone: 400, GivesBack: true}, false},
		"a dot directory, and a README":           {Loss{Files: 1000, Gone: 601, Open: 1, OpenGone: 1, GivesBack: true}, false},
		// Somebody had a say in some of them.
		"a branch with 5,584 files less":                   {Loss{Files: 5600, Gone: 5584, Explained: 5584, Open: 5600, OpenGone: 5584, GivesBack: true}, false},
		"the same where nothing gives them back":           {Loss{Files: 5600, Gone: 5584, Explained: 5584}, false},
		"and rm -rf of the rest":                           {Loss{Files: 5600, Gone: 5600, Explained: 5584, Open: 5600, OpenGone: 5600, GivesBack: true}, true},
		"and a few more":                                   {Loss{Files: 5600, Gone: 5588, Explained: 5584, Open: 5600, OpenGone: 5588, GivesBack: true}, false},
		"an empty branch":                                  {Loss{Files: 50, Gone: 50, Explained: 50, GivesBack: true}, false},
		"a word for some, and many more than it was about": {Loss{Files: 100, Gone: 95, Explained: 20, GivesBack: true}, true},
		// A removal that takes long is seen in steps.
		"a switch of branches that a step fell into": {Loss{Files: 4511, Gone: 4481, Explained: 4481, Lately: 1103, GivesBack: true}, false},
		"the first step": {Loss{Files: 10_000, Gone: 4000, GivesBack: true}, false},
		"the second one": {Loss{Files: 6000, Gone: 4000, Lately: 4000, GivesBack: true}, false},
		"the last one":   {Loss{Files: 2000, Gone: 1500, Lately: 8000, GivesBack: true}, true},
		"a few files of what was left on purpose": {Loss{Files: 2000, Gone: 3, Lately: 8000, GivesBack: true}, false},
	}
	for name, tt := range tests {
		if tt.loss.Waits() != tt.want {
			t.Errorf("%s: waits %v", name, !tt.want)
		}
	}
}
