package order

import (
	"cmp"
	"strings"
)

// What is asked of a workspace, on a host and in its container, is the same but for the
// workspace, which a host has to be told.

var (
	workspace = Param{"workspace", "the workspace: its folder, org/project/env, or a part of that which no other has", true, Path}
	replica   = Param{"replica", "of this replica alone", false, Word}
	dryRun    = Param{"dry_run", "say what would be done, and do nothing", false, Flag}
)

// decided are the parameters of a decision about versions that are kept aside.
var decided = []Param{
	{"path", "the id of the version, or a file of the tree of which one version alone is kept", false, Path},
	{"all", "all versions, in the place of path", false, Flag},
	{"of", "with all: only the versions of this machine", false, Word},
	{"seen", "only if both versions are as in the answer that has this word: of conflicts about this path, or of dry_run", false, Word},
	dryRun, replica,
}

// decide is the command line of such a decision.
func decide(what string, v values) []string {
	return verb("conflicts", v, flags(v, "--json", "--yes", "all?", "of", "seen", "dry_run?", "replica"), what, v["path"])
}

const moments = "the name of a checkpoint, a generation's number, how long ago (2h, 3d), or a time (2006-01-02 15:04)"

// both are the orders that both programs carry out. The one for a host has the workspace as its
// first parameter, and in its command line as the first word after the verb.
var both = []Order{
	{
		Name: "status", Title: "How a workspace is",
		Text: "The state of the workspace: its replicas, lease, services and agents, what is only on this machine, and in \"attention\" what needs a person.",
		json: true, passes: []int{1, 3},
		argv: func(v values) []string { return verb("status", v, []string{"--json"}) },
	},
	{
		Name: "sync", Title: "Save now", Changes: true, again: true,
		Text:   "Push what changed to the bucket now, and wait until it is there.",
		Params: []Param{replica},
		passes: []int{6},
		argv:   func(v values) []string { return verb("sync", v, nil, v["replica"]) },
	},
	{
		Name: "checkpoint", Title: "Name this state", Changes: true,
		Text: "Push what changed, and give the state of the whole workspace a name under which it is kept: files, repositories and databases. Do it before something risky; rewind goes back to it.",
		Params: []Param{
			{"name", "the name: a letter, then letters, digits, dots, dashes and underscores, 63 at most in all", true, Word},
			{"message", "what to say of it, for people", false, Text},
		},
		json: true,
		argv: func(v values) []string {
			return verb("checkpoint", v, flags(v, "--json", "message"), v["name"])
		},
	},
	{
		Name: "checkpoints", Title: "Named states",
		Text: "The states of the workspace that have a name.",
		json: true,
		argv: func(v values) []string { return verb("checkpoints", v, []string{"--json"}) },
	},
	{
		Name: "compare", Title: "How two states differ",
		Text: "How two states of the workspace differ: which files, refs of repositories and databases were added, changed or removed.",
		Params: []Param{
			{"a", "the one state: " + moments, true, Time},
			{"b", "the other one, likewise; now, which is what is here once it is pushed, unless given", false, Time},
			{"path", "only what is below this path", false, Path},
			{"diff", "show how texts differ, too", false, Flag},
			replica,
		},
		json: true, pushes: true,
		argv: func(v values) []string {
			// Both are said: with one alone a host looks whether that is a workspace, too.
			return verb("compare", v, flags(v, "--json", "diff?", "replica"), v["a"], cmp.Or(v["b"], "now"), v["path"])
		},
	},
	{
		Name: "rewind", Title: "Go back to a state", Changes: true, Destroys: true,
		Text: "Take the workspace back to an earlier state: files, repositories and databases become what they were. What is there becomes a checkpoint first (\"before\" in the answer), and a rewind to that goes back again. Services are stopped before, and started after. Conversations of agents that the workspace carries go back too, with path only what is below it. dry_run shows what it would change.",
		Params: []Param{
			{"at", "the state: " + moments, true, Time},
			{"path", "take only this path back, with what is below it", false, Path},
			dryRun,
		},
		json: true,
		argv: func(v values) []string {
			return verb("rewind", v, flags(v, "--json", "--yes", "path", "dry_run?"), v["at"])
		},
	},
	{
		Name: "history", Title: "Kept generations",
		Text: "The kept generations of the workspace; with path: the versions of that file; with at: what that generation changed.",
		Params: []Param{
			{"path", "a file, whose versions are listed", false, Path},
			{"at", "the generation whose changes are listed: " + moments, false, Time},
			replica,
		},
		json: true,
		argv: func(v values) []string {
			var words []string
			switch {
			case v["path"] != "":
				words = []string{"ls", v["path"]}
			case v["at"] != "":
				words = []string{"show", v["at"]}
			}
			return verb("history", v, flags(v, "--json", "replica"), words...)
		},
	},
	{
		Name: "conflicts", Title: "Versions kept aside",
		Text: "The local versions that lost their name to a remote one and are kept aside; with path: how that one differs from what has the name now, and in \"seen\" a word for both as they are, for take and drop.",
		Params: []Param{
			{"path", "a file of the tree, or the id of a version", false, Path},
			replica,
		},
		json: true,
		argv: func(v values) []string {
			var words []string
			if v["path"] != "" {
				words = []string{"show", v["path"]}
			}
			return verb("conflicts", v, flags(v, "--json", "replica"), words...)
		},
	},
	{
		Name: "take", Title: "Take a version that is kept aside", Changes: true, Destroys: true,
		Text:   "Give a version that is kept aside (see conflicts) its name back; with all: each one. What has the name now goes to .coltec/replaced and stays there as long as history.keep says; \"undo\" in the answer says how it is got back. Of several versions of one path all takes none.",
		Params: decided,
		json:   true, passes: []int{1},
		argv: func(v values) []string { return decide("take", v) },
	},
	{
		Name: "drop", Title: "Drop a version that is kept aside", Changes: true, Destroys: true,
		Text:   "Say that a version that is kept aside (see conflicts) is not needed; with all: that none is. What has the name now stays. What is dropped goes to .coltec/replaced and stays there as long as history.keep says, and is in older generations; \"undo\" in the answer says how it is got back.",
		Params: decided,
		json:   true, passes: []int{1},
		argv: func(v values) []string { return decide("drop", v) },
	},
	{
		Name: "logs", Title: "Logs",
		Text: "The last lines of the log of a unit, or of all units and coltecd.",
		Params: []Param{
			{"unit", "the unit: a service, a job, a hook, an agent, or coltecd", false, Word},
			{"lines", "how many lines of each, 100 unless given", false, Number},
		},
		argv: func(v values) []string { return verb("logs", v, flags(v, "lines"), v["unit"]) },
	},
}

// host are the orders that coltec carries out.
var host = append([]Order{
	{
		Name: "list", Title: "All workspaces",
		Text: "The workspaces of this host and of the bucket of one of them, with their states.",
		Params: []Param{
			{"workspace", "the workspace whose bucket is asked: its folder, or org/project/env", false, Path},
			{"local", "ask no bucket", false, Flag},
		},
		json: true,
		argv: func(v values) []string { return verb("ls", v, flags(v, "--json", "local?")) },
	},
	{
		Name: "fork", Title: "Fork a workspace", Changes: true, again: true,
		Text: "Make workspaces that begin with the state of another one, by copies within its bucket: to try something apart from it. Each gets a folder beside the other's, and runs after coltec up of that. The other workspace is only read, as it is in the bucket: sync it first.",
		Params: []Param{
			workspace,
			{"new", "the name of the fork: org/project/env, or env alone", true, Word},
			{"at", "the state that it begins with: " + moments + "; the newest unless given", false, Time},
			{"count", "make so many, called NEW-1, NEW-2 and so on; at most 100", false, Number},
		},
		json: true,
		argv: func(v values) []string {
			named := values{"workspace": v["workspace"]}
			if v["at"] != "" {
				named["workspace"] += "@" + v["at"]
			}
			return verb("fork", named, flags(v, "--json", "count"), v["new"])
		},
	},
	{
		Name: "join", Title: "Join a fork", Changes: true, Destroys: true,
		Text: "Merge what was done in a fork into a workspace that runs. Where both changed the same, the fork's version keeps the name and the other one is kept aside (see conflicts). What was there before becomes a checkpoint. dry_run shows what would come.",
		Params: []Param{
			workspace, fork, dryRun, joinAll,
		},
		json: true,
		argv: func(v values) []string {
			return verb("join", values{}, append([]string{"--into=" + v["workspace"]}, flags(v, "--json", "--yes", "dry_run?", "all?")...), v["fork"])
		},
	},
	{
		Name: "hop", Title: "Bring a workspace here", Changes: true, Destroys: true, again: true, open: true,
		Text: "Bring a workspace here from the machine that has it, and go on with it: that machine pushes and hands over, and the container starts here.",
		Params: []Param{
			workspace,
			{"folder", "where it is to be, made as the bucket has it; its folder here, or PROJECT-ENV where this server was started, unless given", false, Path},
		},
		passes: []int{7},
		argv:   func(v values) []string { return verb("hop", v, nil, v["folder"]) },
	},
	{
		Name: "pause", Title: "Pause a unit or replica", Changes: true, Destroys: true, again: true,
		Text:   "Stop a unit or a replica of a workspace until it is resumed. Nothing of a paused replica is saved.",
		Params: []Param{workspace, member},
		argv:   func(v values) []string { return inside("pause", v) },
	},
	{
		Name: "resume", Title: "Resume a unit or replica", Changes: true, Destroys: true, again: true,
		Text:   "Resume a paused unit or replica of a workspace: the program of a unit is started from its beginning. Whoever paused it may have had a reason.",
		Params: []Param{workspace, member},
		argv:   func(v values) []string { return inside("resume", v) },
	},
}, onHost(both)...)

// container are the orders that coltecd carries out.
var container = append([]Order{
	{
		Name: "join", Title: "Join a fork", Changes: true, Destroys: true,
		Text:   "Merge what was done in a fork of this workspace with what is here. Where both changed the same, the fork's version keeps the name and that from here is kept aside (see conflicts). What is here before becomes a checkpoint. dry_run shows what would come.",
		Params: []Param{fork, dryRun, joinAll},
		json:   true,
		argv:   func(v values) []string { return verb("join", v, flags(v, "--json", "dry_run?", "all?"), v["fork"]) },
	},
	{
		Name: "pause", Title: "Pause a unit or replica", Changes: true, Destroys: true, again: true,
		Text:   "Stop a unit or a replica until it is resumed. Nothing of a paused replica is saved.",
		Params: []Param{member},
		argv:   func(v values) []string { return verb("pause", v, nil, v["name"]) },
	},
	{
		Name: "resume", Title: "Resume a unit or replica", Changes: true, Destroys: true, again: true,
		Text:   "Resume a paused unit or replica: the program of a unit is started from its beginning. Whoever paused it may have had a reason.",
		Params: []Param{member},
		argv:   func(v values) []string { return verb("resume", v, nil, v["name"]) },
	},
}, both...)

var (
	fork    = Param{"fork", "the fork: org/project/env", true, Word}
	joinAll = Param{"all", "from the fork point on, also what was joined before: after a rewind", false, Flag}
	member  = Param{"name", "the unit or replica", true, Word}
)

// onHost are orders that name the workspace first.
func onHost(list []Order) []Order {
	more := make([]Order, len(list))
	for i, o := range list {
		o.Params = append([]Param{workspace}, o.Params...)
		more[i] = o
	}
	return more
}

// verb is the command line of a verb: its flags, then its words, the workspace first where one is
// named. A word that is "" is left out.
func verb(name string, v values, flags []string, words ...string) []string {
	argv := append([]string{name}, flags...)
	argv = append(argv, "--")
	for _, word := range append([]string{v["workspace"]}, words...) {
		if word != "" {
			argv = append(argv, word)
		}
	}
	return argv
}

// inside is the command line of coltec that runs a verb of coltecd about a unit or replica.
func inside(name string, v values) []string {
	return []string{"exec", "--", v["workspace"], "coltecd", name, "--", v["name"]}
}

// flags are those that a command line has: a name that begins with "--" always, one that ends in
// "?" where it is true, and any other one with its value where there is one.
func flags(v values, names ...string) (list []string) {
	for _, name := range names {
		bare, isFlag := strings.CutSuffix(name, "?")
		switch long := "--" + strings.ReplaceAll(bare, "_", "-"); {
		case strings.HasPrefix(name, "--"):
			list = append(list, name)
		case isFlag && v[bare] == "true":
			list = append(list, long)
		case !isFlag && v[bare] != "":
			list = append(list, long+"="+v[bare])
		}
	}
	return list
}
