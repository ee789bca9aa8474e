// Package isolation says what keeps workspaces from being apart: Check is pure,
// from N specs and their devcontainer.json files to findings.
package isolation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/spec"
)

// Severities of a Finding.
const (
	Error   = "error"   // files may be lost or mixed up
	Warning = "warning" // it works, but costs or surprises
)

// Finding is one thing to change.
type Finding struct {
	Code     string   `json:"code"`
	Severity string   `json:"severity"`
	Folders  []string `json:"folders"`
	Text     string   `json:"text"`
	Fix      string   `json:"fix"`
}

// Workspace is what Check looks at.
type Workspace struct {
	Folder    string
	Spec      *spec.Spec
	Container Container
	Answers   string // text of the answers file, "" without one
	Place     string // of the folder in its container, "" where that is not known
}

// Container is the part of devcontainer.json that can collide on one host, and what
// says where the workspace's folder is in the container.
type Container struct {
	Volumes   []string // names
	Hostnames []string
	Ports     []string // fixed ports of the host, such as 127.0.0.1:8080

	Folder      string  // workspaceFolder
	FolderMount *string // workspaceMount; nil: not given
	Compose     bool    // what is mounted is in another file
	Mounts      []Mount // beside that; of Compose, where its files were read
	StandsFor   string  // the path at which the spec has the folder, where that is another; "": it is not said

	Early []string // keys of the commands of a first start that run before the restore
}

// Check compares workspaces with each other. Variables of
// remotes are compared as they are written: ${RCLONE_BUCKET} is one bucket.
func Check(list []Workspace) []Finding {
	var found []Finding
	for i, a := range list {
		for _, b := range list[i+1:] {
			found = append(found, pair(a, b)...)
		}
	}
	return append(found, pace(list)...)
}

// pair compares two workspaces.
func pair(a, b Workspace) (found []Finding) {
	say := func(code, fix, format string, args ...any) {
		found = append(found, Finding{code, Error, []string{a.Folder, b.Folder}, fmt.Sprintf(format, args...), fix})
	}
	same := strings.EqualFold(a.Spec.ID(), b.Spec.ID())
	if same {
		say("same-workspace", "give one of them another env: coltec update DIR --data env=…", "both are %s", a.Spec.ID())
	}
	if a.Answers != "" && a.Answers == b.Answers {
		say("copied-answers", "one folder is a copy of the other: remove it, or coltec update DIR --data env=…", "both were made from the same answers")
	}
	for _, x := range a.Spec.Replicas() {
		for _, y := range b.Spec.Replicas() {
			if x.Direction == spec.PullOnly && y.Direction == spec.PullOnly {
				continue // readers may share
			}
			how := relation(location(a.Spec, x), location(b.Spec, y))
			if how != "" {
				say("shared-prefix", "change remote_path of one of them; {org}, {project} and {env} keep prefixes apart",
					"replica %s (%s) and replica %s (%s) %s in the bucket", x.Name, x.RemotePath, y.Name, y.RemotePath, how)
			}
		}
	}
	shared := func(code, what, fix string, x, y []string) {
		for _, v := range x {
			if slices.ContainsFunc(y, func(o string) bool { return strings.EqualFold(o, v) }) {
				say(code, fix, "both use the %s %s", what, v)
			}
		}
	}
	shared("shared-volume", "volume", "put org, project and env into the volume's name in devcontainer.json", a.Container.Volumes, b.Container.Volumes)
	shared("shared-hostname", "hostname", "change --hostname in runArgs of devcontainer.json", a.Container.Hostnames, b.Container.Hostnames)
	for _, x := range a.Container.Ports {
		for _, y := range b.Container.Ports {
			if collide(x, y) {
				say("shared-port", "let one of them take another port of the host, or use forwardPorts", "both publish port %s of the host", x)
			}
		}
	}
	return found
}

// collide reports whether two published ports cannot both be had: the same port on
// the same address, or on all addresses.
func collide(x, y string) bool {
	cut := func(s string) (addr, port string) {
		if i := strings.LastIndexByte(s, ':'); i >= 0 {
			return s[:i], s[i+1:]
		}
		return "", s
	}
	xa, xp := cut(x)
	ya, yp := cut(y)
	all := func(s string) bool { return s == "" || s == "0.0.0.0" || s == "[::]" }
	return xp == yp && (xa == ya || all(xa) || all(ya))
}

// location is where a replica lies, as elements to compare: the store, then the
// path. Case is folded: some stores do that, and nobody means two prefixes that
// differ in case only.
func location(s *spec.Spec, y spec.Sync) []string {
	where := s.Location(y.Remote, y.RemotePath)
	for i := range where {
		where[i] = strings.ToLower(where[i])
	}
	return where
}

// relation says how two places collide, "" when they do not.
func relation(x, y []string) string {
	n := min(len(x), len(y))
	switch {
	case !slices.Equal(x[:n], y[:n]):
		return ""
	case len(x) == len(y):
		return "are the same place"
	}
	return "lie one in the other"
}

const (
	// month is what stores bill by, as hours of work: eight on each of thirty days.
	month = 30 * 8 * time.Hour
	// freeRequests is R2's free allowance of writing requests a month; more than
	// that is worth a word.
	freeRequests = 1_000_000
)

// pace estimates the writing requests a month of all workspaces: a renewal of
// each lease, and at worst three requests (objects, manifest, head) at each
// interval of each replica that pushes.
func pace(list []Workspace) []Finding {
	var requests int64
	var folders []string
	for _, w := range list {
		replicas := w.Spec.Replicas()
		if len(replicas) == 0 {
			continue
		}
		folders = append(folders, w.Folder)
		requests += int64(month / max(w.Spec.Persistence.Lease.Renew, time.Second))
		for _, y := range replicas {
			if y.Direction != spec.PullOnly {
				requests += 3 * int64(month/max(y.Interval, time.Second))
			}
		}
	}
	if requests <= freeRequests {
		return nil
	}
	return []Finding{{"short-intervals", Warning, folders,
		fmt.Sprintf("%d workspaces may make %.1f million writing requests a month when all change all through the working day", len(folders), float64(requests)/1e6),
		"lengthen interval in the specs: 180 to 300 for code, 30 to 60 for small trees"}}
}
