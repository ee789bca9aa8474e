package main

import (
	"context"
	"errors"
	"maps"
	"path"
	"regexp"
	"slices"

	"github.com/coltec/coltec/pkg/devcontainer"
	"github.com/coltec/coltec/pkg/graft"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/isolation"
	"github.com/coltec/coltec/pkg/status"
)

// composedMounts are the mounts of a project's services, as far as its Compose files say.
func composedMounts(folder, at string, config []byte) []isolation.Mount {
	list, err := graft.Project{Folder: folder, Top: folder, At: at, Text: config, Read: readHost}.Mounts()
	if err != nil {
		return nil // the dev container CLI says what is wrong
	}
	return list
}

// unkept are the mounts of a workspace that no replica keeps anything of: those of its container,
// where there is one, else those that its files name; and those of services beside it. doc is what
// its coltecd said last.
func unkept(w *workspace, ct *devcontainer.Container, doc status.Document) []isolation.Finding {
	own, err := lookAt(w.folder)
	if err != nil {
		return nil // said of the file
	}
	mounts := own.Mounts()
	if ct != nil {
		mounts = slices.DeleteFunc(mounts, func(m isolation.Mount) bool { return m.Service == "" })
		mounts = append(mountsOf(*ct), mounts...)
	}
	known := *w.spec // where homes are, and the folder, coltecd knows
	known.Persistence.Sync = slices.Clone(known.Persistence.Sync)
	for i, y := range known.Persistence.Sync {
		for _, r := range doc.Replicas {
			if r.Name == y.Name && path.IsAbs(r.Path) {
				known.Persistence.Sync[i].Path = r.Path
			}
		}
	}
	own.Spec, own.Folder = &known, w.folder
	return isolation.Unkept(*own, mounts)
}

// nameless is the shape of the name of a volume that nobody gave one.
var nameless = regexp.MustCompile(`^[0-9a-f]{64}$`)

// mountsOf are the mounts of a container, as its client says them.
func mountsOf(ct devcontainer.Container) (list []isolation.Mount) {
	for _, m := range ct.Mounts {
		one := isolation.Mount{Kind: m.Type, Source: m.Source, Target: m.Destination, ReadOnly: m.RW != nil && !*m.RW}
		switch {
		case m.Type == isolation.Memory:
		case m.Name == "":
			one.Kind, one.Source = isolation.Bind, isolation.SourceOf(ct.Folder(), m.Source)
		case nameless.MatchString(m.Name):
			one.Kind, one.Source = isolation.Volume, ""
		default:
			one.Kind, one.Source = isolation.Volume, m.Name
		}
		list = append(list, one)
	}
	for _, at := range slices.Sorted(maps.Keys(ct.Tmpfs)) {
		list = append(list, isolation.Mount{Kind: isolation.Memory, Target: at})
	}
	return list
}

// examineMounts looks at the mounts that nothing keeps.
func (v environment) examineMounts(ctx context.Context, f *findings, w *workspace) {
	var ct *devcontainer.Container
	if tools, err := devcontainer.Docker(v.environ); err == nil {
		if one, ok, err := tools.Of(ctx, w.folder); err == nil && ok {
			ct = &one
		}
	}
	const name = "volumes and mounts"
	doc, _, _ := readStatus(w.folder) // one that there is not says nothing of homes
	found := unkept(w, ct, doc)
	for _, x := range found {
		f.check(name, hint.Wrap(errors.New(x.Text), "%s", x.Fix))
	}
	if len(found) == 0 {
		f.check(name, nil)
	}
}
