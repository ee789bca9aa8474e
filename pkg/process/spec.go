package process

// MarkerVar is the variable that marks the children of a supervisor.
const MarkerVar = "COLTEC_UNIT"

// Spec describes what to start.
type Spec struct {
	Argv   []string // Argv[0] without a slash is looked up in PATH of Env
	Env    []string // the full environment
	Dir    string   // empty is /
	User   string   // name, uid, or either with ":group"; empty is ours
	Quiet  bool     // standard input is a pipe into which nothing comes and which does not end; else it is /dev/null
	Screen bool     // the standard files are a terminal of its own, of which it leads the session; its output is what it draws, as text
	Marker string   // not empty: put into the environment as MarkerVar, to find descendants that left the group
	Held   string   // directory for the lines that it has begun, for Rescue; empty: a killed supervisor loses them
}
