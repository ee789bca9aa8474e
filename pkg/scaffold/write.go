package scaffold

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/wholefile"
)

// What coltec keeps of a workspace, below its folder.
const (
	stateDir    = ".devcontainer/.coltec"
	answersName = stateDir + "/answers.yaml"
	baseDir     = stateDir + "/base"
	// An update is prepared in newDir. Its rename to readyDir decides: before it
	// nothing has changed, after it the rest is done now or by the next call.
	newDir   = stateDir + "/update.new"
	readyDir = stateDir + "/update.ready"
)

// Steps at which the tests kill an update.
var (
	staged  = killpoint.New("scaffold:staged")
	decided = killpoint.New("scaffold:decided")
	stepped = killpoint.New("scaffold:step")
)

// step is one change of a file; it is in the journal of a prepared update.
type step struct {
	Path   string      `json:"path"`
	Was    string      `json:"was"` // sum of what is there now, "" for nothing
	Now    string      `json:"now"` // sum of what shall be there, "" for nothing
	Mode   fs.FileMode `json:"mode"`
	Staged string      `json:"staged,omitempty"` // its file in the prepared directory
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// maxWorkspaceFile bounds what is read of a workspace's file.
const maxWorkspaceFile = 64 << 20

// read gives a regular file of the workspace; ok is false when there is none.
func read(root *os.Root, name string) (f File, ok bool, err error) {
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errNotDir):
		return File{}, false, nil
	case err != nil:
		return File{}, false, err
	case !info.Mode().IsRegular():
		return File{}, false, hint.Wrap(fmt.Errorf("%s is not a regular file", name), "move it out of the way: a template's file goes there")
	case info.Size() > maxWorkspaceFile:
		return File{}, false, fmt.Errorf("%s has more than %d MiB", name, maxWorkspaceFile>>20)
	}
	b, err := wholefile.ReadIn(root, name, maxWorkspaceFile)
	return File{b, info.Mode().Perm()}, err == nil, err
}

// put writes a file whole.
func put(root *os.Root, name string, data []byte, mode fs.FileMode) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, bytes.NewReader(data))
	if err == nil {
		err = f.Chmod(mode) // whatever the umask is
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// change is a step with its content.
type change struct {
	step
	data []byte
}

// apply makes all changes or none; a call that is killed after its decision is
// completed by Recover.
func apply(root *os.Root, changes []change) error {
	if err := root.RemoveAll(newDir); err != nil {
		return err
	}
	var journal []step
	for i, c := range changes {
		if c.Now != "" {
			c.Staged = fmt.Sprint(i)
			if err := put(root, path.Join(newDir, c.Staged), c.data, c.Mode); err != nil {
				return err
			}
		}
		journal = append(journal, c.step)
	}
	b, err := json.Marshal(journal)
	if err != nil {
		return err
	}
	if err := put(root, path.Join(newDir, "journal.json"), b, 0o644); err != nil {
		return err
	}
	staged.Reach()
	if err := root.Rename(newDir, readyDir); err != nil {
		return err
	}
	if err := syncDir(root, stateDir); err != nil {
		return err
	}
	decided.Reach()
	_, err = complete(root)
	return err
}

func syncDir(root *os.Root, name string) error {
	d, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Recover completes an update that was killed in the middle. It returns the
// files that somebody changed since, which it left alone; their new version
// lies beside them with the ending .new.
func Recover(folder string) (left []string, err error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("cannot open the workspace: %w", err)
	}
	defer root.Close()
	if _, err := root.Lstat(readyDir); errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotDir) {
		return nil, nil
	}
	left, err = complete(root)
	if err != nil {
		return left, fmt.Errorf("cannot complete the update of %s that was interrupted: %w", folder, err)
	}
	return left, nil
}

// complete makes the steps of a decided update. Doing it twice is doing it once.
func complete(root *os.Root) (left []string, err error) {
	b, err := wholefile.ReadIn(root, path.Join(readyDir, "journal.json"), maxWorkspaceFile)
	if err != nil {
		return nil, err
	}
	var journal []step
	if err := json.Unmarshal(b, &journal); err != nil {
		return nil, err
	}
	for _, s := range journal {
		if err := checkStep(s); err != nil {
			return left, err
		}
		kept, err := s.do(root)
		if err != nil {
			return left, err
		}
		if kept {
			left = append(left, s.Path)
		}
		stepped.Reach()
	}
	return left, root.RemoveAll(readyDir)
}

// checkStep refuses a journal that names what an update never touches: the
// folder may have come from somebody else.
func checkStep(s step) error {
	if !fs.ValidPath(s.Path) || s.Staged != path.Base("/"+s.Staged) && s.Staged != "" {
		return fmt.Errorf("the journal names %q", s.Path)
	}
	return nil
}

// do makes one step; kept is true when somebody else changed the file.
func (s step) do(root *os.Root) (kept bool, err error) {
	cur, there, err := read(root, s.Path)
	if err != nil {
		return false, err
	}
	have := ""
	if there {
		have = sum(cur.Data)
	}
	to := s.Path
	switch {
	case s.Now == "":
		if have == s.Was && there {
			return false, root.Remove(s.Path)
		}
		return there, nil
	case have == s.Now:
		return false, root.Chmod(s.Path, s.Mode)
	case have != s.Was:
		to, kept = s.Path+".new", true
	}
	if err := root.MkdirAll(path.Dir(to), 0o755); err != nil {
		return false, err
	}
	err = root.Rename(path.Join(readyDir, s.Staged), to)
	if errors.Is(err, fs.ErrNotExist) && kept {
		err = nil // put beside it by the call that was killed, or edited after it was made
	}
	return kept, err
}
