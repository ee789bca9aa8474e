package trigger

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/jsonc"
)

// gitRuns are the keys of git's configuration whose value git runs, or reads further
// configuration from; of a subsection only the ends count.
var gitRuns = map[string]bool{}

func init() {
	for _, key := range strings.Fields(`
		core.fsmonitor core.hookspath core.sshcommand core.editor core.pager core.askpass core.gitproxy
		core.alternaterefscommand core.worktree sequence.editor interactive.difffilter init.templatedir
		filter.clean filter.smudge filter.process diff.external diff.command diff.textconv merge.driver
		difftool.cmd difftool.path mergetool.cmd mergetool.path include.path includeif.path
		credential.helper gpg.program gpg.defaultkeycommand remote.uploadpack remote.receivepack remote.vcs
		uploadpack.packobjectshook receive.procreceiverefs trailer.command trailer.cmd tar.command
		man.cmd man.path browser.cmd browser.path guitool.cmd hook.command gc.recentobjectshook
		protocol.allow sendemail.sendmailcmd sendemail.smtpserver sendemail.tocmd sendemail.cccmd imap.tunnel`) {
		gitRuns[key] = true
	}
}

// gitKeys lists the keys of a git configuration that run something.
func gitKeys(content []byte) []string {
	if content == nil {
		return []string{unreadable}
	}
	found := map[string]bool{}
	for _, x := range gitSettings(string(content)) {
		if gitRunsIt(x.section, x.key, x.value) {
			found[x.key] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// gitRunsIt reports whether git runs the value of a key.
func gitRunsIt(section, key, value string) bool {
	switch lower := strings.ToLower(value); {
	case section == "pager", key == "core.fsmonitor": // true is git's own
		return !slices.Contains([]string{"", "true", "false", "yes", "no", "on", "off", "0", "1"}, lower)
	case section == "alias", key == "submodule.update":
		return strings.HasPrefix(value, "!")
	case key == "remote.url", key == "remote.pushurl", key == "url.insteadof":
		return strings.Contains(lower, "ext::")
	case key == "core.worktree": // elsewhere it lets git write there
		return strings.HasPrefix(value, "/") || strings.Contains(value, "..")
	}
	return gitRuns[key]
}

// containerKeys lists what of a devcontainer.json runs on the host.
func containerKeys(content []byte) []string {
	return jsonKeys(content, func(key string, _ any) bool { return key == "initializeCommand" })
}

// taskKeys finds the tasks that an editor runs when it opens the folder.
func taskKeys(content []byte) []string {
	return jsonKeys(content, func(key string, value any) bool { return key == "runOn" && value == "folderOpen" })
}

// programSetting is the name of a setting whose value is a program, or its arguments.
var programSetting = regexp.MustCompile(`(?i)(path|command|cmd|executable|binary|interpreter|program|server|shell|automationProfile\.\w+|allowAutomaticTasks)$`)

// settingKeys lists the settings of an editor that name programs.
func settingKeys(content []byte) []string {
	return jsonKeys(content, func(key string, _ any) bool { return programSetting.MatchString(key) })
}

// jsonKeys lists the keys of a JSON text with comments that are asked for, at any depth.
func jsonKeys(content []byte, wanted func(key string, value any) bool) []string {
	var doc any
	b, err := jsonc.Standard(content)
	if err != nil || json.Unmarshal(b, &doc) != nil {
		return []string{unreadable}
	}
	found := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				if wanted(key, value) {
					found[key] = true
				}
				walk(value)
			}
		case []any:
			for _, value := range v {
				walk(value)
			}
		}
	}
	walk(doc)
	return slices.Sorted(maps.Keys(found))
}
