package isolation

import (
	"strings"
	"testing"
)

// What a container has beside its layer, and which of it nobody keeps: a volume at /data was
// passed over in silence, and on the next machine it was empty.
func TestUnkept(t *testing.T) {
	const (
		folder = `{name: workspace, path: /workspace, remote_path: w, exclude: ["node_modules/**"]}`
		home   = `{name: home, path: "~", remote_path: h, include: [.claude, .config/x/*.json]}`
	)
	for name, tt := range map[string]struct {
		sync   string
		more   string // of the spec
		config string
		want   string // words of the findings, between bars; "": there is none
	}{
		"a volume":                               {folder, "", `{"mounts": ["source=pg,target=/data,type=volume"]}`, "/data is a volume that nothing keeps: pg stays on this host{name: data, path: /data}"},
		"a volume as an object":                  {folder, "", `{"mounts": [{"type": "volume", "source": "pg", "target": "/data/"}]}`, "/data is a volume that nothing keeps: pg"},
		"by runArgs":                             {folder, "", `{"runArgs": ["-v", "pg:/data", "--mount=type=volume,src=x,dst=/y"]}`, "/data is a volume|/y is a volume that nothing keeps: x"},
		"without a name":                         {folder, "", `{"runArgs": ["--volume=/data"]}`, "/data is a volume without a name that nothing keeps: it goes with the container"},
		"a folder of the host":                   {folder, "", `{"mounts": ["source=/srv/x,target=/data,type=bind"]}`, "/data is /srv/x of this host, and nothing keeps it: on another machine it is that machine's"},
		"in memory":                              {folder, "", `{"runArgs": ["--tmpfs", "/data:size=1m", "--mount=type=tmpfs,target=/fast"]}`, "/data is in memory, and nothing keeps it: it is gone when the container stops|/fast is in memory"},
		"below a kept path":                      {folder, "", `{"mounts": ["source=x,target=/workspace/data,type=volume"]}`, ""},
		"below a kept path, excluded":            {folder, "", `{"mounts": ["source=x,target=${containerWorkspaceFolder}/node_modules,type=volume"]}`, ""},
		"around a kept path":                     {`{name: d, path: /data/db, remote_path: d}`, "", `{"mounts": ["source=x,target=/data,type=volume"]}`, ""},
		"kept":                                   {folder + `, {name: d, path: /data/, remote_path: d}`, "", `{"mounts": ["source=x,target=/data,type=volume"]}`, ""},
		"kept, that follows another":             {folder + `, {name: d, path: /data, remote_path: d, direction: pull-only}`, "", `{"mounts": ["source=x,target=/data,type=volume"]}`, ""},
		"a name that begins alike":               {folder, "", `{"mounts": ["source=x,target=/workspace-data,type=volume"]}`, "/workspace-data is a volume"},
		"a file of it is kept":                   {folder + `, {name: f, path: /data/a.json, file: true, remote_path: f}`, "", `{"mounts": ["source=x,target=/data,type=volume"]}`, ""},
		"read only":                              {folder, "", `{"mounts": ["source=/srv/x,target=/data,type=bind,readonly"], "runArgs": ["-v", "y:/y:ro"]}`, ""},
		"said to be meant":                       {folder, "unkept: [/data, cache, ~/.npm]", `{"mounts": ["source=x,target=/data/x,type=volume", "source=cache,target=/c,type=volume", "source=n,target=/home/vscode/.npm,type=volume"]}`, ""},
		"a part of the folder":                   {folder, "", `{"mounts": ["source=${localWorkspaceFolder}/.data,target=/data,type=bind"]}`, ""},
		"what is passing":                        {folder, "", `{"mounts": ["source=/var/run/docker.sock,target=/var/run/docker-host.sock,type=bind", "source=vscode,target=/vscode,type=volume", "source=/x,target=/ssh-agent.sock,type=bind", "source=e,target=/home/me/.vscode-server/extensions,type=volume"], "runArgs": ["--tmpfs=/tmp"]}`, ""},
		"the home":                               {folder, "", `{"mounts": ["source=h,target=/home/vscode,type=volume"]}`, "/home/vscode is a volume that nothing keeps: h stays on this host{name: vscode, path: ~}"},
		"the home, of which agents are":          {folder + ", " + home, "", `{"mounts": ["source=h,target=/home/vscode,type=volume"]}`, ""},
		"a part of the home":                     {folder + ", " + home, "", `{"mounts": ["source=a,target=/home/vscode/.cache,type=volume", "source=b,target=/root/.claude/projects,type=volume", "source=c,target=/home/me/.config/x,type=volume"]}`, "/home/vscode/.cache is a volume that nothing keeps: a{name: cache, path: ~/.cache}"},
		"at the host's variable":                 {folder, "", `{"mounts": ["source=x,target=${localEnv:T}/x,type=volume"]}`, ""},
		"in a folder that stands for the spec's": {`{name: workspace, path: /w, remote_path: w}`, "", `{"containerEnv": {"COLTEC_PLACE": "/w"}, "mounts": ["source=x,target=/workspace/x,type=volume"]}`, ""},
		"where nothing is kept":                  {"", "enabled: false", `{"mounts": ["source=pg,target=/data,type=volume"]}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := workspaceOf(t, tt.sync, tt.more, tt.config)
			w.Place = "/workspace"
			holdUnkept(t, Unkept(w, w.Mounts()), tt.want)
		})
	}
}

// Of services beside the workspace's own, volumes alone are state; one that the workspace has
// too, at a kept path, is kept.
func TestUnkeptBeside(t *testing.T) {
	w := workspaceOf(t, `{name: workspace, path: /workspace, remote_path: w}`, "unkept: [cache]", "{}")
	db := Mount{Kind: Volume, Source: "dbdata", Target: "/var/lib/postgresql/data", Service: "db"}
	around := []Mount{{Kind: Volume, Source: "cache", Target: "/c", Service: "db"}, {Kind: Bind, Source: "/srv", Target: "/x", Service: "db"}, {Kind: Memory, Target: "/y", Service: "db"}}
	holdUnkept(t, Unkept(w, append(around, db)), "/var/lib/postgresql/data of service db is a volume that nothing keeps: dbdata stays on this hostmount it in the workspace's own service, too")
	holdUnkept(t, Unkept(w, append(around, db, Mount{Kind: Volume, Source: "dbdata", Target: "/workspace/db"})), "")
}

func holdUnkept(t *testing.T, found []Finding, want string) {
	t.Helper()
	var parts []string
	if want != "" {
		parts = strings.Split(want, "|")
	}
	if len(found) != len(parts) {
		t.Fatalf("%+v", found)
	}
	for i, f := range found {
		text, fix, _ := strings.Cut(parts[i], "{")
		if !strings.HasPrefix(f.Text+f.Fix, text) || f.Code != "unkept-mount" || f.Severity != Warning || fix != "" && !strings.Contains(f.Fix, "{"+fix) || !strings.Contains(f.Fix, "persistence.unkept: [") {
			t.Errorf("%+v does not say %q", f, parts[i])
		}
	}
}
