package graft

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/isolation"
)

// Volumes of services in all forms that Compose has, in several files.
func TestMountsOfCompose(t *testing.T) {
	files := map[string]string{
		"/h/p/.devcontainer/a.yaml": `
x-common: &common
  tmpfs: /run/x
services:
  app:
    <<: *common
    volumes:
      - ..:/code:cached
      - data:/data
      - /anonymous
      - ../sub:/sub:ro
      - ${CACHE:-./cache}:/cache
      - ~/models:/models
      - {type: volume, source: v, target: /v, read_only: true}
      - {type: bind, source: ../../beside, target: /beside}
      - {type: volume}
      - 7
  db: {volumes: ["db:/var/lib/db"], tmpfs: ["/fast:size=1m", 3]}
volumes: {data: {}}
`,
		"/h/p/.devcontainer/b.yaml": "services: {app: {volumes: [more:/more]}}\n",
	}
	p := Project{Folder: "/h/p", Top: "/h/p", At: ".devcontainer/devcontainer.json", Text: []byte(`{"dockerComposeFile": ["a.yaml", "b.yaml"], "service": "app"}`), Read: func(file string) ([]byte, error) { return []byte(files[file]), nil }}
	got, err := p.Mounts()
	if err != nil {
		t.Fatal(err)
	}
	want := []isolation.Mount{
		{Kind: "bind", Source: "${localWorkspaceFolder}", Target: "/code"},
		{Kind: "volume", Source: "data", Target: "/data"},
		{Kind: "volume", Target: "/anonymous"},
		{Kind: "bind", Source: "${localWorkspaceFolder}/sub", Target: "/sub", ReadOnly: true},
		{Kind: "bind", Source: "${CACHE:-./cache}", Target: "/cache"},
		{Kind: "bind", Source: "~/models", Target: "/models"},
		{Kind: "volume", Source: "v", Target: "/v", ReadOnly: true},
		{Kind: "bind", Source: "/h/beside", Target: "/beside"},
		{Kind: "tmpfs", Target: "/run/x"},
		{Kind: "volume", Source: "db", Target: "/var/lib/db", Service: "db"},
		{Kind: "tmpfs", Target: "/fast", Service: "db"},
		{Kind: "volume", Source: "more", Target: "/more"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	files["/h/p/.devcontainer/b.yaml"] = "services: [\n"
	if list, err := p.Mounts(); err == nil {
		t.Errorf("%v", list)
	}
}
