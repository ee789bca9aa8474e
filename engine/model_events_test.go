package engine

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	gopath "path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/watch"
)

// event is one thing that happens.
func (m *model) event() {
	p := m.places[m.rnd.IntN(len(m.places))]
	held := m.isHeld(p)
	if p.run != nil && !held && m.rnd.IntN(8) == 0 {
		m.goBack(p)
		return
	}
	switch n := m.rnd.IntN(100); {
	case n < 25:
		for range 1 + m.rnd.IntN(3) {
			m.edit(p)
		}
	case n < 30:
		m.savesApart()
	case n < 35:
		m.pass(time.Duration(1+m.rnd.IntN(120)) * time.Second)
	case n < 38:
		m.say("late writes land")
		m.backs.land()
		m.look()
	case held:
	case n < 40:
		p.skew = time.Duration(m.rnd.IntN(7200)-3600) * time.Second
		m.say("%s: its clock is set to %s off", p.name, p.skew)
	case p.run == nil && n < 43:
		m.copyTree(p)
	case n < 46:
		m.forget(p)
	case p.run == nil && n < 80:
		m.start(p)
		m.step(p)
	case p.run == nil:
	case n < 62:
		m.step(p)
	case n < 68:
		m.rounds()
	case n < 86:
		m.stop(p)
	case n < 90:
		m.say("%s is killed", p.run.id)
		m.kill(p.run)
	case n < 94:
		m.drive(p.run, "asks for the lease", func(e *Engine) { _ = e.takeOver(context.Background(), false) })
	case n < 97:
		m.drive(p.run, "takes the lease by force", func(e *Engine) { _ = e.takeOver(context.Background(), true) })
	default:
		m.allowDelete(p)
		m.step(p)
	}
}

// kill ends a run between two steps.
func (m *model) kill(r *run) {
	r.dead = true
	r.at.run = nil
}

func (m *model) isHeld(p *place) bool {
	return slices.ContainsFunc(m.stack, func(r *run) bool { return r.at == p })
}

// step lets a little time pass and has a run do what is due.
func (m *model) step(p *place) {
	m.pass([]time.Duration{0, 3 * time.Second, 12 * time.Second, 25 * time.Second}[m.rnd.IntN(4)])
	m.drive(p.run, "a round", func(e *Engine) { e.round(context.Background()) })
	if m.rnd.IntN(2) == 0 {
		m.saves(p)
	}
}

// saves has a person edit now and then, and a watch tell of it, before the interval
// is over.
func (m *model) saves(p *place) {
	for range 1 + m.rnd.IntN(3) {
		if p.run == nil {
			return
		}
		for range m.rnd.IntN(3) {
			m.edit(p)
		}
		m.pass(time.Duration(m.rnd.IntN(5)) * time.Second)
		m.hint(p)
		m.drive(p.run, "a round", func(e *Engine) { e.round(context.Background()) })
	}
}

// hint has the watch tell a run what was touched: mostly all of it.
func (m *model) hint(p *place) {
	told := p.told
	p.told = watch.Touched{}
	switch n := m.rnd.IntN(10); {
	case n == 0:
		told = nil
	case n < 3:
		for _, dir := range slices.Sorted(maps.Keys(told)) {
			if m.rnd.IntN(3) == 0 {
				delete(told, dir)
				p.run.untold = true
			}
		}
	}
	m.say("%s is told of %v", p.run.id, told)
	for _, member := range p.run.e.members {
		member.watch.hints.add(told)
		if member.ready() && member.course.err == nil {
			member.course.next = time.Time{}
		}
	}
}

// rounds has every run do what is due.
func (m *model) rounds() {
	m.pass(12 * time.Second)
	for _, p := range m.places {
		if p.run != nil && !m.isHeld(p) {
			m.drive(p.run, "a round", func(e *Engine) { e.round(context.Background()) })
		}
	}
}

// savesApart is a few files written and pushed one after the other where that can be
// done. Their objects are brought together then.
func (m *model) savesApart() {
	i := slices.IndexFunc(m.places, func(p *place) bool { return p.run != nil && !m.isHeld(p) && p.run.e.writable() })
	if i < 0 {
		return
	}
	p := m.places[i]
	for range 2 + m.rnd.IntN(3) {
		u := user{m: m, p: p}
		u.write(m.path())
		m.sawEdit(p, u.paths)
		m.pass(12 * time.Second)
		m.drive(p.run, "a round", func(e *Engine) { e.round(context.Background()) })
		if p.run == nil || !p.run.e.writable() {
			return
		}
	}
	m.drive(p.run, "gathers", func(e *Engine) {
		if err := (collecting{e.loop}).gather(context.Background(), 2); err != nil {
			m.say("not gathered: %v", err)
		}
	})
}

func (m *model) stop(p *place) {
	r := p.run
	m.drive(r, "stops", func(e *Engine) {
		if err := e.finish(); err != nil {
			m.say("%s: %v", r.id, err)
		}
	})
	if p.run == r {
		p.run = nil
	}
}

// allowDelete is a person's word that many deletions are right.
func (m *model) allowDelete(p *place) {
	for _, member := range p.run.e.members {
		p.run.e.stepMember(member, evAsked{allowed: true})
	}
}

// forget is rm -rf .coltec.
func (m *model) forget(p *place) {
	if !p.used {
		return
	}
	m.say("%s: rm -rf .coltec", p.name)
	must(os.RemoveAll(filepath.Join(p.path, localfs.Dir)))
	p.agreed = -1
	m.sawEdit(p, nil)
}

// copyTree makes a place's tree a copy of another's, base and all.
func (m *model) copyTree(p *place) {
	var from []*place
	for _, q := range m.places {
		if q.used && q != p && q.run == nil && !m.isHeld(q) && shapeText(q.shape) == shapeText(p.shape) {
			from = append(from, q)
		}
	}
	if p.used || len(from) == 0 {
		return
	}
	q := from[m.rnd.IntN(len(from))]
	m.say("%s: a copy of %s's tree", p.name, q.name)
	must(copyDir(q.path, p.path))
	p.used, p.agreed = true, q.agreed
	for path := range q.touched {
		p.touched[path] = true
	}
	m.sawEdit(p, nil)
}

func copyDir(from, to string) error {
	type dir struct {
		path string
		info fs.FileInfo
	}
	var dirs []dir
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target := to + strings.TrimPrefix(path, from)
		switch info.Mode().Type() {
		case fs.ModeDir:
			dirs = append(dirs, dir{target, info})
			return os.Mkdir(target, 0o700)
		case fs.ModeSymlink:
			link, err := os.Readlink(path)
			if err == nil {
				err = os.Symlink(link, target)
			}
			if err == nil {
				err = setTime(target, info.ModTime())
			}
			return err
		}
		body, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(target, body, 0o600)
		}
		if err == nil {
			err = os.Chmod(target, info.Mode().Perm())
		}
		if err == nil {
			err = setTime(target, info.ModTime())
		}
		return err
	})
	for _, d := range slices.Backward(dirs) {
		if err == nil {
			err = os.Chmod(d.path, d.info.Mode().Perm())
		}
	}
	return err
}

// setTime sets the time of a file or a link.
func setTime(path string, t time.Time) error {
	root, err := localfs.OpenRoot(filepath.Dir(path), "", 0)
	if err != nil {
		return err
	}
	defer root.Close()
	return root.SetTime(filepath.Base(path), t.UnixNano())
}

func inodeOf(path string) uint64 {
	info, err := os.Stat(path)
	must(err)
	return info.Sys().(*syscall.Stat_t).Ino
}

// modelPaths are few, so that machines meet. Some are one name elsewhere. Those of one directory
// are all that some histories are about: what it holds, and what comes in its place.
var (
	modelPaths = []string{
		"a", "A", "b", "d", "d/a", "d/e", "d/e/a", "D/e", "d-x", "f/g/h", "\u00e9", "e\u0301", "sp ace\n",
	}
	modelDirectory = []string{"d", "d/a", "d/A", "d/e", "d/e/a", "d/\u00e9", "d/e\u0301"}
)

// path is one that somebody works at.
func (m *model) path() string { return m.paths[m.rnd.IntN(len(m.paths))] }

// content makes up content: mostly never seen before, often of one length.
func (m *model) content() string {
	m.counter++
	switch m.rnd.IntN(14) {
	case 0:
		return ""
	case 1:
		return "twice"
	case 2:
		return strings.Repeat(strconv.Itoa(m.counter), 5+m.rnd.IntN(50))
	case 3:
		if m.rnd.IntN(30) == 0 {
			return fmt.Sprintf("%08d", m.counter) + strings.Repeat("large", 16000)
		}
	}
	return fmt.Sprintf("c%06d", m.counter)
}

// edit does one thing that a person does at a place, whatever runs there.
func (m *model) edit(p *place) {
	if m.still {
		return
	}
	if !p.used {
		must(os.Mkdir(p.path, 0o755))
		p.used = true
	}
	u := user{m: m, p: p}
	path := m.path()
	info, err := os.Lstat(u.at(path))
	there := err == nil
	switch op := m.rnd.IntN(20); {
	case op < 5 || !there && op < 11:
		u.write(path)
	case op == 5 && !p.shape.NoLinks:
		u.link(path)
	case op == 6:
		if !there || !info.IsDir() {
			u.mkdir(path)
		}
	case op < 10:
		u.remove(path)
	case op < 13:
		u.rename(path, m.path())
	case op < 15 && there && info.Mode().IsRegular():
		u.rewrite(path, info)
	case op == 15 && there && info.Mode().IsRegular():
		m.say("%s: touch %q", p.name, path)
		must(os.Chtimes(u.at(path), time.Time{}, time.Unix(m.rnd.Int64N(2e9), m.rnd.Int64N(1e9))))
		u.touch(path)
	case op == 16 && there && info.Mode().IsRegular():
		m.say("%s: append %q", p.name, path)
		body, _ := os.ReadFile(u.at(path))
		u.put(path, string(body)+m.content(), info.Mode().Perm())
	case there && info.Mode().Type() != fs.ModeSymlink && !p.shape.NoModes:
		u.chmod(path, info)
	}
	for _, at := range u.paths {
		dir := strings.TrimPrefix(gopath.Dir("/"+at), "/")
		p.told[dir] = p.told[dir] || false
		if info, err := os.Lstat(u.at(at)); err == nil && info.IsDir() {
			p.told[at] = true
		}
	}
	m.sawEdit(p, u.paths)
}

// user is a person at a place, in the middle of one edit.
type user struct {
	m     *model
	p     *place
	paths []string // that were touched
}

// at is where the file system has a path.
func (u *user) at(path string) string {
	return filepath.Join(u.p.path, u.p.shape.Real(u.p.path, path))
}

func (u *user) touch(path string) { u.paths = append(u.paths, path) }

// makeWay makes the directories above a path, whatever is there.
func (u *user) makeWay(path string) {
	for dir := range tree.Parents(path) {
		if info, err := os.Lstat(u.at(dir)); err == nil && !info.IsDir() {
			must(os.Remove(u.at(dir)))
			u.touch(dir)
		}
		if err := os.Mkdir(u.at(dir), 0o755); err == nil {
			u.touch(dir)
		} else if !os.IsExist(err) {
			panic(err)
		}
	}
}

func (u *user) write(path string) {
	u.makeWay(path)
	if info, err := os.Lstat(u.at(path)); err == nil && !info.Mode().IsRegular() {
		must(os.RemoveAll(u.at(path)))
	}
	c := u.m.content()
	u.m.say("%s: write %q %.10q", u.p.name, path, c)
	u.put(path, c, 0o644)
}

// put writes content with the model's own time, so that a seed tells all.
func (u *user) put(path, content string, mode fs.FileMode) {
	now := u.m.clock.add(time.Millisecond)
	must(os.WriteFile(u.at(path), []byte(content), mode))
	must(os.Chtimes(u.at(path), time.Time{}, now.Add(u.p.skew)))
	u.touch(path)
}

// rewrite changes a file in place: the same size, and at times the same mtime.
func (u *user) rewrite(path string, info fs.FileInfo) {
	if info.Size() < 7 {
		return
	}
	u.m.counter++
	c := fmt.Sprintf("r%06d", u.m.counter) + strings.Repeat("x", int(info.Size())-7)
	u.m.say("%s: rewrite %q %.10q", u.p.name, path, c)
	u.put(path, c, info.Mode().Perm())
	if u.m.rnd.IntN(3) == 0 {
		must(os.Chtimes(u.at(path), time.Time{}, info.ModTime()))
	}
}

func (u *user) link(path string) {
	u.makeWay(path)
	must(os.RemoveAll(u.at(path)))
	u.m.counter++
	u.m.say("%s: link %q", u.p.name, path)
	must(os.Symlink(fmt.Sprintf("../t%d", u.m.counter), u.at(path)))
	must(setTime(u.at(path), u.m.clock.read()))
	u.touch(path)
}

func (u *user) mkdir(path string) {
	u.makeWay(path)
	must(os.RemoveAll(u.at(path)))
	u.m.say("%s: mkdir %q", u.p.name, path)
	must(os.Mkdir(u.at(path), 0o755))
	u.touch(path)
}

func (u *user) remove(path string) {
	u.m.say("%s: remove %q", u.p.name, path)
	must(os.RemoveAll(u.at(path)))
	u.touch(path)
}

func (u *user) rename(from, to string) {
	real, target := u.at(from), u.at(to)
	if tree.Within(real, target) && real != target || tree.Within(target, real) && real != target {
		return
	}
	if _, err := os.Lstat(real); err != nil {
		return
	}
	if real == target { // at most another case of the same name
		target = filepath.Join(filepath.Dir(target), filepath.Base(to))
		if target == real || u.p.shape.Decomps || filepath.Dir(from) != filepath.Dir(to) {
			return
		}
	} else {
		u.makeWay(to)
		if _, err := os.Lstat(real); err != nil {
			return // it was in the way
		}
		must(os.RemoveAll(target))
		target = u.at(to)
	}
	u.m.say("%s: rename %q %q", u.p.name, from, to)
	must(os.Rename(real, target))
	u.touch(from)
	u.touch(to)
}

func (u *user) chmod(path string, info fs.FileInfo) {
	modes := []fs.FileMode{0o644, 0o755, 0o600, 0o555}
	if info.IsDir() {
		modes = []fs.FileMode{0o755, 0o700, 0o555, 0o750}
	}
	mode := modes[u.m.rnd.IntN(4)]
	u.m.say("%s: chmod %o %q", u.p.name, mode, path)
	must(os.Chmod(u.at(path), mode))
	u.touch(path)
}
