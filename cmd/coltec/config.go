package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/devcontainer"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/jsonc"
	"github.com/coltec/coltec/pkg/trust"
	"github.com/coltec/coltec/pkg/wholefile"
)

// config is a devcontainer.json, read once: what is agreed to is what the dev container
// CLI gets, whatever is written into the workspace meanwhile.
type config struct {
	at     string // its path in the workspace
	folder string // the workspace's
	text   []byte
	mounts string // the folder of the host that it mounts if it does not say another
}

// newConfig is that of a text.
func newConfig(folder, at string, text []byte) (*config, error) {
	// The CLI ends comments elsewhere, and takes what is no JSON: it gets neither.
	text, err := jsonc.Standard(text)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", at, err)
	}
	f := &config{at, folder, text, folder}
	top := mountedTop(folder)
	text, mounts, err := devcontainer.Mounting(text, folder, top)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", at, err)
	}
	if f.text = text; mounts {
		f.mounts = top
	}
	return f, nil
}

// readConfig reads the one at a path in a folder.
func readConfig(folder, at string) (*config, error) {
	text, err := optional(folder, at)
	if err != nil {
		return nil, hint.Wrap(fmt.Errorf("cannot read %s: %w", at, err), "it must be inside the workspace: a link that leads out of it is not followed")
	}
	if text == nil {
		return nil, noConfig(folder, at)
	}
	return newConfig(folder, at, text)
}

// acts are what bringing its container up does on this host.
func (f *config) acts() ([]trust.Act, error) {
	root, err := os.OpenRoot(f.folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return f.actsWith(func(name string) ([]byte, error) { return wholefile.ReadIn(root, name, wholefile.ByHand) })
}

// actsWith are those with the files that it draws in from elsewhere.
func (f *config) actsWith(files trust.Files) ([]trust.Act, error) {
	return trust.Container(f.folder, f.text, f.at, files)
}

// containerActs are those by the devcontainer.json that coltec writes; none without it.
func containerActs(folder string) ([]trust.Act, error) {
	f, err := readConfig(folder, configName)
	if errors.Is(err, errNoConfig) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return f.acts()
}

// configArg takes --config out of the arguments for the dev container CLI, and returns
// the path of the devcontainer.json that counts in the workspace. One that lies elsewhere
// names files that nobody looks at, and --override-config is how ours gets there.
func configArg(folder string, args []string) (at string, rest []string, err error) {
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		switch name {
		case "--override-config", "--workspace-folder":
			return "", nil, cmdline.Usage("%s is not for coltec up: the workspace's own devcontainer.json is what was agreed to", name)
		case "--docker-path": // and then coltec would look for the container elsewhere
			return "", nil, cmdline.Usage("--docker-path is not for coltec up: set COLTEC_DOCKER, which every verb goes by")
		case "--mount-git-worktree-common-dir": // wherever .git says
			return "", nil, cmdline.Usage(`%s is not for coltec up: name the directory in "mounts" of devcontainer.json`, name)
		case "--config":
		default:
			rest = append(rest, args[i])
			continue
		}
		if !joined && i+1 < len(args) {
			i++
			value = args[i]
		}
		abs, err := filepath.Abs(value)
		if err != nil {
			return "", nil, err
		}
		if at, err = filepath.Rel(folder, abs); err != nil || !filepath.IsLocal(at) {
			return "", nil, cmdline.Usage("--config %s: it must be inside the workspace", hint.Word(value))
		}
	}
	if at == "" {
		at, err = configAt(folder)
	}
	return at, rest, err
}

var errNoConfig = errors.New("no devcontainer.json")

// noConfig is the error of a workspace that nothing can be brought up from.
func noConfig(folder, at string) error {
	return hint.Wrap(fmt.Errorf("%w: %s is not there", errNoConfig, filepath.Join(folder, at)), "coltec init %s writes one", hint.Word(folder))
}
