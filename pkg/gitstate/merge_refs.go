package gitstate

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/area"
)

// mergeRefs decides what each ref shall be.
func (j *joining) mergeRefs(ctx context.Context) error {
	names := map[string]bool{}
	for _, s := range []*side{j.base, j.local, j.remote} {
		if s != nil {
			for ref := range s.refs {
				names[ref] = true
			}
		}
	}
	out := map[string]bool{} // checked out, so that it goes with the working tree
	for _, tree := range j.trees() {
		out[j.after(tree).branch(tree)] = true
	}
	var lost []string
	for _, ref := range slices.Sorted(maps.Keys(names)) {
		value, loses, err := j.mergeRef(ctx, ref, out[ref])
		if err != nil {
			return err
		}
		if value != "" {
			j.refs[ref] = value
		}
		if loses {
			lost = append(lost, ref)
		}
	}
	for _, ref := range append(lost, j.apart(out)...) {
		value := j.local.refs[ref]
		if value == j.refs[ref] {
			value = j.remote.refs[ref]
		}
		if !isOID(value) {
			continue
		}
		if err := j.keep(ctx, strings.TrimPrefix(ref, "refs/"), value); err != nil {
			return err
		}
	}
	return nil
}

// apart takes refs out that cannot be beside others, where one has the name of a directory of
// the other: the remote side keeps the name, unless what is checked out would lose its branch,
// or a repository that is not the tree's.
func (j *joining) apart(checkedOut map[string]bool) (lost []string) {
	for _, ref := range slices.Sorted(maps.Keys(j.refs)) {
		for _, up := range area.Upwards(filepath.Dir(ref)) {
			if j.refs[up] == "" || j.refs[ref] == "" {
				continue
			}
			loses, stays := ref, up
			if j.remote.refs[ref] != "" {
				loses, stays = up, ref
			}
			if checkedOut[loses] || j.local.src.outside && j.local.src.common != "" {
				loses, stays = stays, loses
			}
			if !checkedOut[loses] { // else both are, and it is refused
				delete(j.refs, loses)
				lost = append(lost, loses)
			}
		}
	}
	return lost
}

// mergeRef decides what one ref shall be, and whether a value of it is to be
// kept under another name.
func (j *joining) mergeRef(ctx context.Context, ref string, checkedOut bool) (value string, loses bool, err error) {
	local, remote := j.local.refs[ref], j.remote.refs[ref]
	bytesOf := func(v string) []byte {
		if v == "" {
			return nil
		}
		return []byte(v)
	}
	var base []byte
	if j.base != nil {
		base = bytesOf(j.base.refs[ref])
	}
	changed := j.decidedOf(ref, base, bytesOf(local), bytesOf(remote))
	if checkedOut {
		for _, tree := range j.trees() {
			if s := j.after(tree); s.branch(tree) == ref {
				other := local
				if s == j.local {
					other = remote
				}
				// A tree that only the other side touched says nothing of its branch, which may
				// have been moved here without it.
				loses := other != "" && other != s.refs[ref] && (j.takes[tree] != theirs || changed == both)
				return s.refs[ref], loses, nil
			}
		}
	}
	switch changed {
	case ours:
		return local, false, nil
	case theirs:
		return remote, false, nil
	}
	if strings.HasPrefix(ref, "refs/remotes/") {
		return local, false, nil // whoever fetched last; a fetch tells anew
	}
	if j.local.src.outside && j.local.src.common != "" && local != "" {
		return local, remote != "", nil // a branch of a repository that is not the tree's stays
	}
	if isOID(local) && isOID(remote) {
		ahead, err := j.ancestor(ctx, remote, local)
		if err != nil || ahead {
			return local, false, err
		}
	}
	return remote, true, nil
}

// rooted refuses refs that would lead to nothing here, as they did not where they come from: a
// pack did not come.
func (j *joining) rooted(ctx context.Context) error {
	lacks, from := readMissing(j.a.From), map[string]string{}
	for ref, value := range j.refs {
		if _, known := lacks[value]; isOID(value) && value != j.local.refs[ref] && !known {
			from[value] = ref
		}
	}
	there, err := j.git.existing(ctx, slices.Sorted(maps.Keys(from)))
	if err != nil {
		return err
	}
	for _, oid := range slices.Sorted(maps.Keys(from)) {
		if !there[oid] {
			return refused("what the bucket has of it lacks the object %s, which %s leads to", oid, from[oid])
		}
	}
	return nil
}

// writeRefs makes the refs what they shall be: first what keeps, then what
// goes, then what comes. Where a value is not the one that was decided on, somebody
// else is at work.
func (j *joining) writeRefs() error {
	if err := together(j.refs); err != nil {
		return err
	}
	src := j.local.src
	list, err := src.packedRefs()
	if err != nil {
		return err
	}
	packed, gone := packedIn(list), map[string]string{}
	for _, ref := range slices.Sorted(maps.Keys(j.kept)) {
		if err := src.write(ref, anything, j.kept[ref], packed); err != nil {
			return err
		}
	}
	for ref, old := range j.local.refs {
		if j.refs[ref] == "" && !ofTree("", ref) {
			gone[ref] = old
		}
	}
	if err := src.delete(gone); err != nil {
		return err
	}
	for _, ref := range slices.Sorted(maps.Keys(j.refs)) {
		value, old := j.refs[ref], j.local.refs[ref]
		if value == old || ofTree("", ref) {
			continue
		}
		if slices.Contains(j.local.damaged, ref) {
			old = anything
		}
		if err := src.write(ref, old, value, packed); err != nil {
			return err
		}
	}
	return nil
}
