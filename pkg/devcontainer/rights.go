package devcontainer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Rootless reports whether the containers are those of a user without rights of root: root in
// one is that user here, and every other user in it is nobody here. It is false where the
// client does not say.
func (t Tools) Rootless(ctx context.Context) bool {
	if t.Podman() {
		out, err := t.output(ctx, "info", "--format", "{{.Host.Security.Rootless}}")
		return err == nil && strings.TrimSpace(string(out)) == "true"
	}
	out, err := t.output(ctx, "info", "--format", "{{json .SecurityOptions}}")
	return err == nil && strings.Contains(string(out), `"name=rootless"`)
}

// WithHostUsers is the text of a devcontainer.json, JSON without comments, for a Podman of
// root: the CLI asks every Podman for --userns=keep-id, which that one refuses. Of two the
// last counts, and arguments of the text come last.
func WithHostUsers(text []byte) (whole []byte, err error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(text, &keys); err != nil || keys == nil {
		return nil, fmt.Errorf("cannot read it: %w", err)
	}
	var args []string
	if raw, ok := keys["runArgs"]; ok {
		if err := json.Unmarshal(raw, &args); err != nil {
			return nil, fmt.Errorf("cannot read its runArgs: %w", err)
		}
	}
	if slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--userns") }) {
		return text, nil
	}
	if keys["runArgs"], err = json.Marshal(append(args, "--userns=host")); err != nil {
		return nil, err
	}
	return json.Marshal(keys)
}

// UserOf is who works in the container of a devcontainer.json, JSON without comments; "" where
// it leaves that to the image.
func UserOf(text []byte) string {
	var m metadata
	_ = json.Unmarshal(text, &m) // of what is not readable, others say so
	return firstOf(m.RemoteUser, m.ContainerUser)
}
