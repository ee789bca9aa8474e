package devcontainer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"github.com/coltec/coltec/pkg/hint"
)

// volumePrefix begins the names of the volumes that stand for a folder, where the containers
// are on another machine.
const volumePrefix = "coltec-workspace-"

// Elsewhere is the machine that the containers are on, as the client names it
// (ssh://user@host), where that is not this one; "" for this one. There a folder of this
// machine cannot be mounted.
func (t Tools) Elsewhere(ctx context.Context) string {
	endpoint := variable(t.Environ, "DOCKER_HOST")
	if t.Podman() {
		endpoint = variable(t.Environ, "CONTAINER_HOST")
	} else if out, err := t.output(ctx, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"); err == nil {
		endpoint = strings.TrimSpace(string(out)) // DOCKER_HOST's, DOCKER_CONTEXT's, or that of `docker context use`
	}
	return elsewhere(endpoint)
}

// elsewhere is an endpoint that is on another machine. One of TCP on this machine is
// this one's: Docker Desktop is asked so from WSL.
func elsewhere(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return ""
	}
	switch u.Scheme {
	case "ssh":
	case "tcp", "http", "https":
		if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
			return ""
		}
	default: // unix, npipe, fd, or what only the client understands
		return ""
	}
	u.User = withoutPassword(u.User)
	return u.String()
}

func withoutPassword(user *url.Userinfo) *url.Userinfo {
	if user == nil {
		return nil
	}
	return url.User(user.Username())
}

// InVolume is the text of a devcontainer.json, JSON without comments, with a volume in place
// of the folder of the host. It is mounted at the workspaceFolder, which becomes the CLI's own
// default where the text has none.
func InVolume(text []byte, folder, volume string) (whole []byte, err error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(text, &keys); err != nil || keys == nil {
		return nil, fmt.Errorf("cannot read it: %w", err)
	}
	if _, compose := keys["dockerComposeFile"]; compose {
		return nil, hint.Wrap(errors.New("a Compose file mounts folders of the machine that its containers are on, and this folder is not there"),
			"go to that machine, and bring it up there: coltec new or coltec init makes the folder, the bucket has its state")
	}
	var at string
	if raw, ok := keys["workspaceFolder"]; ok {
		if err := json.Unmarshal(raw, &at); err != nil {
			return nil, fmt.Errorf("cannot read its workspaceFolder: %w", err)
		}
	}
	if at == "" {
		at = path.Join("/workspaces", filepath.Base(folder))
	}
	keys["workspaceFolder"] = quoted(at)
	keys["workspaceMount"] = quoted(fmt.Sprintf("type=volume,source=%s,%s", volume, field("target="+at)))
	return json.Marshal(keys)
}

// VolumeOf names the volume that stands for a workspace where its folder is not. Its id tells
// workspaces apart whose names would make one.
func VolumeOf(id string) string {
	sum := sha256.Sum256([]byte(id))
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '-'
	}, id)
	return volumePrefix + name + "-" + hex.EncodeToString(sum[:4])
}

// volume is the mount of the volume that stands for the folder.
func (c Container) volume() (m Mount, ok bool) {
	for _, m := range c.Mounts {
		if strings.HasPrefix(m.Name, volumePrefix) {
			return m, true
		}
	}
	return m, false
}

// Volume names the volume that stands for the folder in a container; "" where the folder
// itself is there.
func (c Container) Volume() string {
	m, _ := c.volume()
	return m.Name
}
