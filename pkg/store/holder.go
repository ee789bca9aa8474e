package store

import "time"

// Holder says who has the lease.
type Holder struct {
	Host      string    `json:"host"`
	Container string    `json:"container"`
	Boot      string    `json:"boot"`     // boot id of the machine
	Instance  string    `json:"instance"` // random, of one run of the program
	Place     string    `json:"place"`    // device and inode of the workspace
	PID       int       `json:"pid"`
	Start     int64     `json:"start"`             // of that process, in clock ticks since boot
	Space     string    `json:"space,omitempty"`   // the namespaces in which PID and Start mean something
	Ground    string    `json:"ground,omitempty"`  // device and inode of what it has locked, as long as it lives
	Machine   string    `json:"machine,omitempty"` // hash of the machine-id, where there is one
	ID        string    `json:"id,omitempty"`      // random, kept on the machine for the user
	Since     time.Time `json:"since"`
}

func (h Holder) name() string {
	if h.Container == "" || h.Container == h.Host {
		return h.Host
	}
	return h.Host + " (container " + h.Container + ")"
}

// Same reports whether nothing that is known of both tells o from h: host, container
// and workspace folder are the same, and so are the ids that both have. The same id
// outlasts a change of the host name.
func (h Holder) Same(o Holder) bool {
	if h.Container != o.Container || h.Place != o.Place || apart(h.Machine, o.Machine) || apart(h.ID, o.ID) {
		return false
	}
	return h.Host == o.Host || h.ID != "" && h.ID == o.ID
}

func apart(a, b string) bool { return a != "" && b != "" && a != b }

// shared names what a holder has in common with another that looks the same.
func (h Holder) shared(o Holder) string {
	switch {
	case h.Machine != "" && h.Machine == o.Machine && h.Host == o.Host:
		return "host name and machine-id"
	case h.Host == o.Host:
		return "host name"
	}
	return "id"
}
