// Package filter decides which paths of a replica are carried. It reads
// rclone's filter patterns and means by them what rclone (v1.76) means, so that
// a list that works with rclone works here; a differential test against
// `rclone lsf` holds that.
//
// The language, in short: "*" and "?" stay within a path element, "**" crosses
// elements, [a-z] and [!a-z] are classes, {a,b} are alternatives, {{…}} is a
// regular expression, "\" takes the next character literally, a leading "/"
// anchors at the root of the replica, and a trailing "/" means a directory with
// everything in it. The first rule that matches decides; what none matches is
// included.
//
// Two answers belong together, as in rclone: File judges a name, Dir says
// whether a directory is entered at all. A file is carried when File holds for
// it and Dir for each directory above it. A walk gets that by not entering
// directories; for a path met elsewhere (a base, a manifest, a listing) there is
// Carries.
//
// Paths are relative, slash-separated raw bytes. As in rclone they are matched
// under the name that rclone shows for them: a control character as its symbol
// (a newline as "␊"), so "dir/**" also takes a file out whose name holds a
// newline. A byte that is not UTF-8 counts as one character and is matched by
// "?", by a negated class and by any other such byte or U+FFFD in a pattern.
//
// It differs from rclone in one point: a symlink goes by its own name, where
// `rclone --links` matches "name.rclonelink".
//
// Any package may use it; it does no I/O and its values never change, so they
// may be shared between goroutines.
package filter

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Rule includes or excludes what its pattern matches.
type Rule struct {
	Include bool
	Pattern string
}

// String writes the rule as a line of rclone's --filter-from.
func (r Rule) String() string {
	if r.Include {
		return "+ " + r.Pattern
	}
	return "- " + r.Pattern
}

// Excludes returns the rules of --exclude patterns, in order.
func Excludes(patterns []string) []Rule {
	rules := make([]Rule, len(patterns))
	for i, p := range patterns {
		rules[i] = Rule{Pattern: p}
	}
	return rules
}

// Under returns the rules that take out dir, be it a directory, a file or a
// link, and everything in it. The name is literal; "" is the whole tree. Bytes
// of it that are not UTF-8 match any such byte, so that a sibling that differs
// only in these goes too.
func Under(dir string) []Rule {
	dir = strings.Trim(path.Clean("/"+dir), "/")
	if dir == "" {
		return []Rule{{Pattern: "/**"}}
	}
	literal := "/" + quote(shown(dir))
	return []Rule{{Pattern: literal}, {Pattern: literal + "/**"}}
}

// everything is the pattern of the rule that ends what Only returns.
const everything = "/**"

// Only returns the rules that take out all but what the patterns match, with all below that.
// Each is of a path below the root of the tree. Rules before them take more out. A walk
// enters a directory where something below it may match, and no other.
func Only(patterns []string) []Rule {
	var rules []Rule
	for _, p := range patterns {
		p = "/" + strings.Trim(p, "/")
		rules = append(rules, Rule{true, p}, Rule{true, p + "/**"})
	}
	return append(rules, Rule{Pattern: everything})
}

// Filter is a compiled list of rules. The zero value and nil include everything.
type Filter struct {
	rules []Rule
	only  bool // ends as [Only] does
	files []compiled
	dirs  []compiled // matched against the path with a trailing slash
}

// compiled is one rule with what decides whether it matches.
type compiled struct {
	include bool
	matcher *matcher
}

// Compile reads the rules. Its error names each pattern that cannot be used and
// carries a hint for it.
func Compile(rules []Rule) (*Filter, error) {
	f := &Filter{rules: append([]Rule(nil), rules...)}
	f.only = len(rules) > 0 && rules[len(rules)-1] == Rule{Pattern: everything}
	var errs []error
	for _, r := range rules {
		if err := f.add(r); err != nil {
			errs = append(errs, fmt.Errorf("cannot use filter pattern %q: %w", r.Pattern, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return f, nil
}

// Usable is the error of the first of the rules that cannot be used, with a hint. It does not name the
// pattern, for who has it before them.
func Usable(rules []Rule) error {
	for _, r := range rules {
		if err := new(Filter).add(r); err != nil {
			return err
		}
	}
	return nil
}

// add sorts a rule into file and directory rules as rclone does: a pattern that
// ends in "/" judges directories, one with "**" judges both, any other one
// judges files. An exclusion of "dir/" means all that is in it.
func (f *Filter) add(r Rule) error {
	glob := r.Pattern
	forDirs := strings.HasSuffix(glob, "/")
	if forDirs && !r.Include {
		glob += "**"
	}
	forFiles := !forDirs
	if strings.Contains(glob, "**") {
		forFiles, forDirs = true, true
	}
	m, err := newMatcher(glob)
	if err != nil {
		return err
	}
	if forFiles {
		f.files = append(f.files, compiled{r.Include, m})
		if err := f.addParents(r.Include, glob); err != nil {
			return err
		}
	}
	if forDirs {
		f.dirs = append(f.dirs, compiled{r.Include, m})
	}
	return nil
}

// addParents adds the directories in which a file of glob can be. An excluded
// file says nothing of its directory, unless the pattern is "*": that takes
// every file, so no directory is worth entering.
func (f *Filter) addParents(include bool, glob string) error {
	if !include && glob != "*" {
		return nil
	}
	for _, parent := range parentGlobs(glob) {
		m, err := newMatcher(parent)
		if err != nil {
			return fmt.Errorf("its directory part %q: %w", parent, err)
		}
		f.dirs = append(f.dirs, compiled{include, m})
	}
	return nil
}

// File reports whether the name of a file or symlink is included. Whether it can
// be met depends on its directories too: see Carries.
func (f *Filter) File(path string) bool {
	if f == nil || len(f.files) == 0 {
		return true
	}
	return first(f.files, shown(path))
}

// Dir reports whether a directory is entered and carried. It is false where the
// rules take out everything in it. The root, "", is always entered.
func (f *Filter) Dir(path string) bool {
	if f == nil || len(f.dirs) == 0 || path == "" {
		return true
	}
	return first(f.dirs, shown(path)+"/")
}

// Carries is the whole answer for a path met outside a walk: it is included,
// and so is each directory above it.
func (f *Filter) Carries(path string, dir bool) bool {
	if f == nil || path == "" {
		return true
	}
	name := shown(path)
	if len(f.dirs) > 0 && !f.enters(name, dir) {
		return false
	}
	return dir || first(f.files, name)
}

// Asks reports whether rules ask for a path, whatever others take out of what they ask for:
// where all rules only take out, every path is asked for.
func (f *Filter) Asks(path string) bool {
	if f == nil || !f.only {
		return true
	}
	name := shown(path)
	return slices.ContainsFunc(f.files, func(c compiled) bool { return c.include && c.matcher.match(name) })
}

// enters reports whether each directory on the way is entered, the last one
// included when name is one.
func (f *Filter) enters(name string, dir bool) bool {
	for i := range len(name) {
		if name[i] == '/' && !first(f.dirs, name[:i+1]) {
			return false
		}
	}
	return !dir || first(f.dirs, name+"/")
}

// Rules returns a copy of the rules as they were given.
func (f *Filter) Rules() []Rule {
	if f == nil {
		return nil
	}
	return append([]Rule(nil), f.rules...)
}

// Hash identifies the rules: equal lists of rules have equal hashes, in any
// process and version.
func (f *Filter) Hash() string {
	var lines strings.Builder
	for _, r := range f.Rules() {
		// The length keeps a pattern that holds a newline apart from two patterns.
		fmt.Fprintf(&lines, "%d %s\n", len(r.Pattern), r)
	}
	return digest(lines.String())
}

// digest is a SHA-256 in hex.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// first returns the word of the first rule that matches name, or true.
func first(rules []compiled, name string) bool {
	for i := range rules {
		if rules[i].matcher.match(name) {
			return rules[i].include
		}
	}
	return true
}
