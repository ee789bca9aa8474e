// Package logins carries what agents log in with from one machine to the next, apart from
// all replicas: the newest version alone, encrypted, and never in a generation.
//
// A refresh token is good once. So of two copies of a login one is stale, and whoever uses
// it logs the other out, too: the holder of the lease alone writes the bucket's, and the
// next one puts it in its place before an agent runs there.
package logins

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"log/slog"
	"path"
	"sync"
)

// Agent is a program whose logins travel.
type Agent struct {
	Name  string
	Files []string // slash separated, below the home
}

// Options say whose logins are carried, and where they are.
type Options struct {
	Workspace string // org/project/env
	Host      string
	Home      string // absolute
	Agents    []Agent
	Key       string // identities of age, as lines or alone: to the first one is encrypted, by all it is opened
	Log       *slog.Logger
}

// tenure is the lease under which logins are taken and given.
type tenure struct {
	lineage string // of the head
	epoch   int64
	strong  bool // the store compares and swaps
}

const (
	// MaxLogin is how many bytes the files of one agent's login have at most.
	MaxLogin = 1 << 20
	// maxObject is that in base64, in JSON, and encrypted.
	maxObject = MaxLogin/3*4 + 64<<10
)

// Dir is where the object of each agent lies, for the head of a workspace.
func Dir(workspace string) string { return path.Join(".coltec/fleet", workspace, "logins") }

// Key is the key of an agent's object, under the root of the default remote.
func Key(workspace, agent string) string { return path.Join(Dir(workspace), agent+".age") }

// version orders what was pushed: by the epoch of the lease, then by how often in it.
type version struct {
	Lineage string `json:"lineage"`
	Epoch   int64  `json:"epoch"`
	Count   int64  `json:"count"`
}

// newer reports whether it is of the same history, and was made later.
func (v version) newer(than version) bool {
	if v.Lineage != than.Lineage {
		return false
	}
	return v.Epoch > than.Epoch || v.Epoch == than.Epoch && v.Count > than.Count
}

// next is the version of what is pushed after this one.
func (v version) next(at tenure) version {
	if v.Lineage != at.lineage || v.Epoch < at.epoch {
		return version{Lineage: at.lineage, Epoch: at.epoch, Count: 1}
	}
	v.Count++
	return v
}

// file is one file of a login.
type file struct {
	Path    string `json:"path"`
	Content []byte `json:"content"`
}

// digestOf tells logins apart; "" is that of no file.
func digestOf(files []file) string {
	if len(files) == 0 {
		return ""
	}
	h := sha256.New()
	for _, f := range files {
		for _, part := range []string{f.Path, string(f.Content)} {
			_ = binary.Write(h, binary.BigEndian, int64(len(part))) // never fails
			_, _ = io.WriteString(h, part)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Keeper carries the logins of a workspace. One goroutine takes and gives; what is to be
// said of them any may ask.
type Keeper struct {
	o    Options
	key  *key
	all  []*login
	area area // of the home
	at   tenure

	mu    sync.Mutex
	notes map[string]string // agent → what a person should know
}

// login is what is known of one agent's.
type login struct {
	Agent
	record record // what this machine has seen last
	etag   string // of the object that is there; "" for none
	known  version
	taken  bool // in this tenure
	barred bool // the object is not written: it cannot be read, or not be had
}

// New makes a keeper. A key that cannot be used is an error, which does not quote it.
func New(o Options) (*Keeper, error) {
	k := &Keeper{o: o, area: area{o.Home, o.Workspace}, notes: map[string]string{}}
	var err error
	if k.key, err = parseKey(o.Key); err != nil {
		return nil, err
	}
	for _, a := range o.Agents {
		k.all = append(k.all, &login{Agent: a})
	}
	return k, nil
}

// Notes are what a person should know of the logins, by agent.
func (k *Keeper) Notes() (out []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range k.all {
		if text := k.notes[l.Name]; text != "" {
			out = append(out, "login of "+l.Name+": "+text)
		}
	}
	return out
}

// note says something of an agent's login, instead of what was said before; "" for nothing.
func (k *Keeper) note(l *login, text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if text != "" && text != k.notes[l.Name] {
		k.o.Log.Warn("login", "agent", l.Name, "says", text)
	}
	k.notes[l.Name] = text
}
