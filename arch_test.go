package coltec

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// lower holds the direction of imports: a room may import what stands in its
// line, and nothing else of ours.
var lower = map[string]string{
	"pkg/hint":         "",
	"pkg/killpoint":    "",
	"pkg/sparse":       "",
	"pkg/wholefile":    "",
	"pkg/sqlite":       "pkg/killpoint pkg/sparse pkg/wholefile",
	"pkg/yamlfile":     "",
	"pkg/jsonc":        "",
	"pkg/trigger":      "pkg/jsonc pkg/wholefile",
	"pkg/anchor":       "pkg/hint",
	"pkg/tree":         "",
	"pkg/backoff":      "",
	"pkg/order":        "",
	"pkg/toolbox":      "internal/cmdline pkg/hint pkg/order",
	"pkg/secret":       "pkg/hint",
	"pkg/account":      "",
	"pkg/attention":    "pkg/backoff",
	"pkg/webhook":      "",
	"pkg/area":         "pkg/anchor pkg/wholefile",
	"pkg/status":       "pkg/account pkg/hint pkg/wholefile",
	"pkg/digest":       "pkg/account pkg/status",
	"pkg/metrics":      "pkg/status",
	"pkg/filter":       "pkg/hint",
	"pkg/agents":       "",
	"pkg/leak":         "",
	"pkg/talks":        "pkg/agents pkg/wholefile",
	"pkg/watch":        "pkg/hint",
	"pkg/unit":         "pkg/backoff pkg/hint",
	"hooks":            "pkg/unit", // below the spec and the supervisor: both name points, and it names neither
	"pkg/terminal":     "",
	"pkg/reporting":    "pkg/agents pkg/jsonc",
	"pkg/process":      "pkg/hint pkg/terminal",
	"pkg/logfile":      "pkg/anchor pkg/hint pkg/secret",
	"pkg/spec":         "hooks pkg/agents pkg/backoff pkg/filter pkg/hint pkg/secret pkg/wholefile pkg/yamlfile",
	"pkg/rclone":       "pkg/anchor pkg/hint pkg/process pkg/secret",
	"pkg/store":        "pkg/account pkg/digest pkg/filter pkg/hint pkg/killpoint pkg/rclone pkg/sparse pkg/status pkg/tree pkg/wholefile",
	"pkg/localfs":      "pkg/anchor pkg/hint pkg/sparse pkg/tree pkg/wholefile",
	"pkg/base":         "pkg/filter pkg/killpoint pkg/localfs pkg/tree",
	"pkg/plan":         "pkg/tree",
	"pkg/whole":        "pkg/account pkg/area pkg/base pkg/localfs pkg/store pkg/tree",
	"pkg/frozen":       "pkg/account pkg/anchor pkg/area pkg/killpoint pkg/localfs pkg/process pkg/store pkg/tree pkg/whole",
	"pkg/databases":    "pkg/account pkg/anchor pkg/area pkg/killpoint pkg/localfs pkg/sqlite pkg/store pkg/tree pkg/whole pkg/wholefile",
	"pkg/replica":      "pkg/anchor pkg/base pkg/filter pkg/hint pkg/killpoint pkg/localfs pkg/plan pkg/rclone pkg/sparse pkg/store pkg/tree pkg/whole pkg/wholefile",
	"pkg/scope":        "pkg/filter pkg/rclone pkg/store pkg/whole",
	"pkg/repositories": "pkg/account pkg/anchor pkg/area pkg/gitstate pkg/hint pkg/localfs pkg/rclone pkg/store pkg/tree pkg/whole",
	"pkg/livestore":    "pkg/localfs pkg/tree",
	"pkg/datadirs":     "pkg/account pkg/livestore pkg/localfs pkg/store pkg/tree pkg/whole",
	"pkg/logins":       "pkg/agents pkg/anchor pkg/area pkg/hint pkg/killpoint pkg/rclone pkg/store pkg/wholefile",
	"pkg/adoption":     "pkg/base pkg/killpoint pkg/plan pkg/rclone pkg/replica pkg/scope pkg/store pkg/tree",
	"pkg/collection":   "pkg/store",
	"pkg/history":      "pkg/anchor pkg/collection pkg/databases pkg/datadirs pkg/filter pkg/frozen pkg/gitstate pkg/hint pkg/localfs pkg/rclone pkg/replica pkg/repositories pkg/scope pkg/status pkg/store pkg/tree pkg/whole pkg/wholefile",
	"pkg/rewind":       "pkg/filter pkg/hint pkg/localfs pkg/store pkg/tree pkg/whole",
	"pkg/preview":      "pkg/history pkg/plan pkg/rclone pkg/replica pkg/scope pkg/status pkg/store",
	"pkg/control":      "pkg/account pkg/hint pkg/metrics pkg/status pkg/wholefile",
	"pkg/inquiry":      "internal/cmdline internal/remote pkg/account pkg/agents pkg/control pkg/gitstate pkg/hint pkg/history pkg/replica pkg/repositories pkg/scope pkg/store pkg/wholefile",
	"supervisor":       "hooks pkg/backoff pkg/hint pkg/process pkg/unit pkg/wholefile",
	"pkg/tailnet":      "pkg/hint pkg/secret pkg/spec pkg/status pkg/unit pkg/wholefile",
	"pkg/gitstate":     "pkg/anchor pkg/area pkg/hint pkg/killpoint pkg/wholefile",
	"engine":           "pkg/account pkg/adoption pkg/anchor pkg/backoff pkg/base pkg/collection pkg/digest pkg/hint pkg/history pkg/killpoint pkg/localfs pkg/rclone pkg/replica pkg/rewind pkg/scope pkg/status pkg/store pkg/tree pkg/watch pkg/whole",
	"pkg/fnox":         "pkg/hint pkg/secret pkg/wholefile",
	"pkg/trust":        "pkg/hint pkg/jsonc pkg/wholefile pkg/yamlfile",
	"features":         "",
	"templates":        "",
	"extensions":       "",
	"pkg/scaffold":     "pkg/hint pkg/jsonc pkg/killpoint pkg/spec pkg/wholefile pkg/yamlfile",
	"pkg/isolation":    "pkg/jsonc pkg/spec",
	"pkg/graft":        "pkg/hint pkg/isolation pkg/jsonc pkg/yamlfile",
	"pkg/feature":      "features pkg/hint pkg/wholefile",
	"pkg/devcontainer": "pkg/hint pkg/secret",
	"pkg/installation": "pkg/secret",
	"pkg/fleet":        "pkg/account pkg/digest pkg/hint pkg/rclone pkg/status pkg/store pkg/wholefile",
	"pkg/console":      "pkg/fleet pkg/hint pkg/order",
	"internal/remote":  "pkg/hint pkg/rclone pkg/spec pkg/wholefile",
	"internal/cmdline": "pkg/hint",
	"daemon":           "engine hooks internal/cmdline internal/remote pkg/account pkg/agents pkg/anchor pkg/attention pkg/backoff pkg/control pkg/databases pkg/datadirs pkg/digest pkg/filter pkg/frozen pkg/gitstate pkg/hint pkg/history pkg/inquiry pkg/leak pkg/localfs pkg/logfile pkg/logins pkg/preview pkg/process pkg/rclone pkg/replica pkg/reporting pkg/repositories pkg/rewind pkg/scope pkg/secret pkg/spec pkg/status pkg/store pkg/tailnet pkg/talks pkg/terminal pkg/tree pkg/unit pkg/webhook pkg/whole pkg/wholefile supervisor",
	"cmd/coltecd":      "daemon internal/agentpage internal/cmdline internal/logpage internal/pastpage pkg/account pkg/control pkg/hint pkg/installation pkg/logfile pkg/metrics pkg/replica pkg/secret pkg/spec pkg/status pkg/tailnet pkg/unit pkg/wholefile",
	"cmd/coltec":       "*",
	"cmd/coltec-mcp":   "internal/cmdline pkg/toolbox",

	"internal/agentpage":      "internal/cmdline pkg/agents pkg/hint",
	"internal/logpage":        "internal/cmdline pkg/anchor pkg/hint pkg/logfile",
	"internal/pastpage":       "internal/cmdline pkg/control pkg/hint pkg/replica",
	"internal/clidoc":         "",
	"internal/dbtest":         "",
	"internal/gentest":        "pkg/store pkg/store/storetest pkg/tree",
	"internal/gittest":        "",
	"internal/modeltest":      "",
	"internal/picture":        "",
	"internal/porttest":       "",
	"internal/fleetcost":      "",
	"internal/sample":         "",
	"internal/s3test":         "internal/sample pkg/hint",
	"bench/internal/proc":     "",
	"bench/supervisor":        "bench/internal/proc",
	"bench/fork":              "bench/internal/proc internal/s3test",
	"bench/fleet":             "internal/fleetcost internal/s3test pkg/store",
	"bench/replication":       "bench/internal/proc internal/s3test pkg/digest pkg/hint pkg/status pkg/store pkg/tree",
	"pkg/store/storetest":     "pkg/rclone pkg/store",
	"pkg/replica/replicatest": "pkg/localfs pkg/tree",
	"pkg/tree/treetest":       "pkg/tree",
	"pkg/spec/internal":       "hooks pkg/secret pkg/spec pkg/spec/internal/schema",
}

// bans are the imports that would bend a room's purpose, with the reason.
var bans = []struct{ room, path, why string }{
	{"supervisor", "goccy/go-yaml", "the machine runs values; it must be testable without a spec"},
	{"supervisor", "pkg/rclone", "rclone jobs reach it as units"},
	{"supervisor", "net/http", "the socket is pkg/control's"},
	{"pkg/spec", "pkg/rclone", "the host validates specs without rclone"},
	{"pkg/secret", "filippo.io/age", "coltecd links it: opening age files is the host's, in pkg/fnox"},
	{"cmd/coltecd", "pkg/fnox", "the host opens secrets, the container gets them"},
	{"daemon", "pkg/fnox", "the host opens secrets, the container gets them"},
	{"daemon", "urfave/cli/v2", "flags, verbs and exit codes are cmd/coltecd's"},
	{"daemon", "pkg/devcontainer", "the host starts containers, coltecd is in one"},
	{"cmd/coltecd", "supervisor", "the daemon supervises; a verb asks it"},
	{"cmd/coltecd", "pkg/toolbox", "coltecd is in memory for as long as a container lives: what serves agents is a program beside it"},
	{"cmd/coltec", "supervisor", "the host supervises nothing"},
	{"cmd/coltec", "coltec/engine", "the host keeps no replica: it reads the past, with pkg/history"},
	{"engine", "pkg/repositories", "it carries wholes, of whatever kind: daemon says which there are"},
	{"pkg/replica", "pkg/repositories", "it carries wholes, of whatever kind"},
	{"pkg/repositories", "pkg/replica", "a kind of wholes works for whoever is a whole.Replica"},
	{"pkg/databases", "pkg/replica", "a kind of wholes works for whoever is a whole.Replica"},
	{"pkg/frozen", "pkg/replica", "a kind of wholes works for whoever is a whole.Replica"},
	{"engine", "pkg/frozen", "it carries wholes, of whatever kind: daemon says which there are"},
	{"engine", "pkg/databases", "it carries wholes, of whatever kind: daemon says which there are"},
	{"engine", "pkg/logins", "it says when logins are taken and given, and daemon what takes and gives them"},
	{"pkg/preview", "coltec/engine", "what would be done is told without anything that does it"},
	{"pkg/history", "coltec/engine", "the past is read without a lease, and without what keeps one"},
	{"cmd/coltecd", "invopop/jsonschema", "the schema is generated when building: it costs the daemon memory"},
	{"pkg/tree", "os", "pure: readers and writers are given to it"},
	{"pkg/filter", "os", "pure"},
	{"pkg/localfs", "pkg/store", "the local side is what it is, whatever a remote has"},
	{"pkg/localfs", "pkg/filter", "which paths are carried is handed to a walk"},
	{"pkg/base", "pkg/store", "what was agreed is known without a remote, and read where there is none"},
	{"pkg/base", "pkg/plan", "a base is a side of a plan, and decides nothing"},
	{"pkg/digest", "os", "pure: what a name says is decided where nothing can fail"},
	{"pkg/metrics", "net/http", "pure: what serves them is pkg/control's and daemon's"},
	{"pkg/attention", "os", "pure: what is told is decided where nothing can fail"},
	{"pkg/attention", "net/http", "pure: what posts it is pkg/webhook"},
	{"pkg/plan", "os", "pure: what is lost or kept is decided where nothing can fail, and random trees can be tried by the million"},
	{"pkg/rewind", "os", "pure: what a rewind leads to is decided where nothing can fail"},
	{"pkg/plan", "context", "pure: nothing in it waits"},
	{"pkg/backoff", "os", "pure"},
	{"pkg/console", "os", "it starts nothing and opens nothing: what a page may have done is carried out by who serves it"},
	{"pkg/order", "os", "pure: what a command line is made of is decided where nothing can be run"},
	{"pkg/scope", "os", "it describes, and does nothing"},
}

const module = "github.com/coltec/coltec/"

// imports lists what each of our packages imports, tests left out.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		all[strings.TrimPrefix(f[0], module)] = f[1:]
	}
	return all
}

func TestImportsPointDown(t *testing.T) {
	for room, list := range imports(t) {
		allowed, known := lower[room]
		if !known {
			if i := strings.LastIndex(room, "/internal"); i > 0 {
				allowed, known = lower[room[:i]+"/internal"]
			}
		}
		for _, path := range list {
			ours, isOurs := strings.CutPrefix(path, module)
			if isOurs && allowed != "*" && !slices.Contains(strings.Fields(allowed), ours) {
				t.Errorf("%s imports %s: not in its line of the table (known room: %v)", room, ours, known)
			}
		}
	}
}

func TestBans(t *testing.T) {
	all := imports(t)
	for _, b := range bans {
		for _, path := range all[b.room] {
			if path == b.path || strings.HasSuffix(path, "/"+b.path) {
				t.Errorf("%s imports %s: %s", b.room, path, b.why)
			}
		}
	}
}
