package spec

import (
	"maps"
	"slices"
	"strings"
)

// Variable is one that a workspace takes from where it runs.
type Variable struct {
	Name       string
	Needed     bool // something that the spec sets up does not run without it
	Declared   bool // the spec lists it under secrets
	Required   bool // and says that it is required
	Credential bool // it opens a remote, or joins the tailnet: services do not get it unasked
}

// Secret reports whether the value of the variable is to be in no log.
func (v Variable) Secret() bool { return (v.Credential || v.Declared) && !NamesPlace(v.Name) }

// TailnetKeys are the variables that may hold the key that joins the tailnet; the first that
// is set counts.
var TailnetKeys = []string{"COLTEC_TAILSCALE_AUTH_KEY", "TAILSCALE_AUTH_KEY", "TS_AUTHKEY"}

// NamesPlace reports whether a variable says where something is, and not what opens it:
// bucket, endpoint and region are in every message.
func NamesPlace(variable string) bool {
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(strings.ToUpper(variable), word) })
	}
	return has("BUCKET", "ENDPOINT", "REGION", "PROVIDER", "PREFIX", "PATH") && !has("KEY", "SECRET", "TOKEN", "PASS", "CREDENTIAL")
}

// Variables returns all that the spec asks for, with a default or without, by name.
func (s *Spec) Variables() []Variable {
	all := map[string]Variable{}
	note := func(name string, set func(v *Variable)) {
		v := all[name]
		v.Name = name
		set(&v)
		all[name] = v
	}
	credential := func(v *Variable) { v.Credential = true }
	for _, r := range s.Persistence.Remotes {
		_, _ = r.Expand(func(name string) (string, bool) { note(name, credential); return "", false })
	}
	for _, name := range TailnetKeys {
		note(name, func(v *Variable) { v.Credential, v.Needed = true, s.Networking.Enabled })
	}
	if s.LoginsTravel() {
		note(AgeKeyVariable, func(v *Variable) { v.Credential, v.Needed = true, true })
	}
	if s.Webhook != nil {
		_, _, _ = s.Webhook.Expand(func(name string) (string, bool) {
			note(name, func(v *Variable) { v.Credential, v.Needed = true, true })
			return "", false
		})
	}
	for _, name := range s.needed() {
		note(name, func(v *Variable) { v.Needed = true })
	}
	for _, x := range s.Secrets {
		if x.Name != "" {
			note(x.Name, func(v *Variable) { v.Declared, v.Required = true, v.Required || x.Required })
		}
	}
	var out []Variable
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, all[name])
	}
	return out
}
