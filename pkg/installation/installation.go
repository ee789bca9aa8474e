// Package installation describes how a workspace runs on a machine without containers: a unit
// of systemd, and the file with its variables. Pure functions; cmd/coltecd writes and starts.
package installation

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/secret"
)

// StopTimeout is what a stop of the unit takes at most: a machine that shuts down gives its
// units 90 seconds by default, and this one says that it wants more.
const StopTimeout = 120 * time.Second

// stopMargin is kept of it for the end of coltecd itself.
const stopMargin = 10 * time.Second

// onlyHere is the exit code of a coltecd that ended as it was told, and could not push all
// of it. Started again by systemd, it would not stay stopped.
const onlyHere = 6

// Installation is one workspace on one machine.
type Installation struct {
	Program   string // absolute path of coltecd
	Spec      string // absolute path of the spec
	Folder    string // of the workspace
	Workspace string // org/project/env
	User      string // whose it is, where the whole machine's systemd runs it; else ""
	Path      string // PATH of the services
}

// Name is the same for the same spec, and another one for each copy of a workspace.
func (i Installation) Name() string {
	sum := sha256.Sum256([]byte(i.Spec))
	return "coltec-" + strings.ReplaceAll(i.Workspace, "/", "-") + "-" + hex.EncodeToString(sum[:4])
}

// Service is the file name of the unit.
func (i Installation) Service() string { return i.Name() + ".service" }

// EnvFile is where the variables of a workspace are, below the configuration directory of
// its user.
func (i Installation) EnvFile(config string) string {
	return filepath.Join(config, "coltec", "workspaces", i.Name()+".env")
}

// Unit is the text of the unit, signed in its first line. systemd is the keeper: it starts
// coltecd again when it fails, and ends what a killed one has left.
func (i Installation) Unit() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[Unit]\nDescription=Coltec workspace %s\n", escape(i.Workspace))
	target := "default.target"
	if i.User != "" {
		target = "multi-user.target"
		b.WriteString("Wants=network-online.target\nAfter=network-online.target\n")
	}
	b.WriteString("\n[Service]\nType=exec\n")
	if i.User != "" {
		fmt.Fprintf(&b, "User=%s\n", escape(i.User))
	}
	fmt.Fprintf(&b, "Environment=%s\n", word("PATH="+i.Path, false))
	fmt.Fprintf(&b, "ExecStart=%s --config %s run\n", word(i.Program, false), word(i.Spec, true))
	fmt.Fprintf(&b, "ExecStop=-%s --config %s stop --timeout %.0fs\n", word(i.Program, false), word(i.Spec, true), (StopTimeout - stopMargin).Seconds())
	fmt.Fprintf(&b, "Restart=on-failure\nRestartPreventExitStatus=%d\nRestartSec=5\nKillMode=mixed\nTimeoutStopSec=%.0f\n\n[Install]\nWantedBy=%s\n", onlyHere, StopTimeout.Seconds(), target)
	return signature(b.String()) + b.String()
}

// AtReboot is the line for a crontab, on a machine without systemd.
func (i Installation) AtReboot() string {
	return fmt.Sprintf("@reboot %s --config %s start", shell(i.Program), shell(i.Spec))
}

const signed = "# Written by coltecd install; coltecd uninstall removes it. Changes go to a drop-in (systemctl edit). "

func signature(text string) string {
	sum := sha256.Sum256([]byte(text))
	return signed + hex.EncodeToString(sum[:8]) + "\n"
}

// Ours reports whether a unit's text is as Unit wrote it, for whichever installation: nobody
// else has changed it since.
func Ours(text string) bool {
	first, rest, _ := strings.Cut(text, "\n")
	return first+"\n" == signature(rest)
}

// word is one of a line of a unit. Arguments of a command have $NAME replaced, too, the
// program has not.
func word(s string, argument bool) string {
	s = escape(s)
	if argument {
		s = strings.ReplaceAll(s, "$", "$$")
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// escape keeps systemd from replacing %x.
func escape(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// shell is a word for a POSIX shell, and for cron, which ends a command at a %.
func shell(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") == "" {
		return s
	}
	return "'" + strings.NewReplacer("'", `'\''`, "%", `\%`).Replace(s) + "'"
}

// EnvText are variables as [secret.ParseDotenv] reads them.
func EnvText(values secret.Values) []byte {
	var b strings.Builder
	b.WriteString("# Variables of this workspace on this machine; coltecd reads them, and so does nobody else.\n")
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "$", `\$`, "`", "\\`")
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "%s=\"%s\"\n", name, quote.Replace(values[name].Reveal()))
	}
	return []byte(b.String())
}
