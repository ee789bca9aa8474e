package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// peer is one supervisor: how it is set up, started, asked and stopped. The logs
// of all are rotated at 10 MB and keep 50 files, with stamps where there are any.
type peer struct {
	name  string
	needs string // the program that must be installed
	// prepare writes what the peer reads, for services that run command.
	prepare func(dir string, names []string, command string) error
	start   func(dir string) *exec.Cmd
	stays   bool // start is the supervisor itself: it is not waited for
	status  func(dir string) *exec.Cmd
	stop    func(dir string) *exec.Cmd
	logs    func(dir, service string) string // the directory of a service's logs
}

func peers(coltecd string) []peer {
	return []peer{coltecdPeer(coltecd), supervisordPeer(), runitPeer(), s6Peer()}
}

func coltecdPeer(binary string) peer {
	verb := func(args ...string) func(string) *exec.Cmd {
		return func(dir string) *exec.Cmd {
			cmd := exec.Command(binary, args...)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+dir+"/run")
			return cmd
		}
	}
	return peer{
		name: "coltecd", needs: binary,
		prepare: func(dir string, names []string, command string) error {
			return prepareColtecd(dir, names, command, "")
		},
		start: verb("start"), status: verb("status"), stop: verb("stop"),
		logs: func(dir, _ string) string { return dir + "/.devcontainer/logs" },
	}
}

// prepareColtecd writes a spec; fields are further ones of each service.
func prepareColtecd(dir string, names []string, command, fields string) error {
	var spec strings.Builder
	spec.WriteString("version: 1\nname: bench\nmetadata: {org: bench, project: bench}\npersistence: {enabled: false}\n" +
		"logs: {max_size: 10MB, max_backups: 50, compress: false}\nservices:\n")
	for _, name := range names {
		fmt.Fprintf(&spec, "  - {name: %s, command: [sh, -c, %q]%s}\n", name, command, fields)
	}
	if err := os.MkdirAll(dir+"/run", 0o700); err != nil {
		return err
	}
	return write(dir+"/.devcontainer/workspace-spec.yaml", spec.String(), 0o644)
}

func supervisordPeer() peer {
	return peer{
		name: "supervisord", needs: "supervisord",
		prepare: func(dir string, names []string, command string) error {
			var conf strings.Builder
			fmt.Fprintf(&conf, "[unix_http_server]\nfile=%[1]s/sock\n[supervisord]\nlogfile=%[1]s/main.log\npidfile=%[1]s/pid\n"+
				"[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"+
				"[supervisorctl]\nserverurl=unix://%[1]s/sock\n", dir)
			for _, name := range names {
				script := dir + "/" + name + ".sh"
				if err := write(script, "#!/bin/sh\n"+command+"\n", 0o755); err != nil {
					return err
				}
				fmt.Fprintf(&conf, "[program:%s]\ncommand=%s\nredirect_stderr=true\nstdout_logfile=%s/logs/%s.log\n"+
					"stdout_logfile_maxbytes=10MB\nstdout_logfile_backups=50\n", name, script, dir, name)
			}
			if err := os.MkdirAll(dir+"/logs", 0o755); err != nil {
				return err
			}
			return write(dir+"/conf", conf.String(), 0o644)
		},
		start:  func(dir string) *exec.Cmd { return exec.Command("supervisord", "-c", dir+"/conf") },
		status: func(dir string) *exec.Cmd { return exec.Command("supervisorctl", "-c", dir+"/conf", "status") },
		stop:   func(dir string) *exec.Cmd { return exec.Command("supervisorctl", "-c", dir+"/conf", "shutdown") },
		logs:   func(dir, _ string) string { return dir + "/logs" },
	}
}

// runScripts writes the run files that runit and s6 read alike.
func runScripts(dir string, names []string, command, logger string) error {
	for _, name := range names {
		logs := dir + "/logs/" + name
		if err := os.MkdirAll(logs, 0o755); err != nil {
			return err
		}
		for file, text := range map[string]string{"run": command, "log/run": "exec " + fmt.Sprintf(logger, logs)} {
			if err := write(filepath.Join(dir, "services", name, file), "#!/bin/sh\nexec 2>&1\n"+text+"\n", 0o755); err != nil {
				return err
			}
		}
		if err := write(logs+"/config", "s10000000\nn50\n", 0o644); err != nil { // svlogd's
			return err
		}
	}
	return nil
}

func runitPeer() peer {
	return peer{
		name: "runit", needs: "runsvdir", stays: true,
		prepare: func(dir string, names []string, command string) error {
			return runScripts(dir, names, command, "svlogd -ttt %s")
		},
		start:  func(dir string) *exec.Cmd { return exec.Command("runsvdir", dir+"/services") },
		status: func(dir string) *exec.Cmd { return exec.Command("sh", "-c", "sv status "+dir+"/services/*") },
		stop:   func(dir string) *exec.Cmd { return exec.Command("sh", "-c", "sv -w 5 exit "+dir+"/services/*") },
		logs:   func(dir, service string) string { return dir + "/logs/" + service },
	}
}

func s6Peer() peer {
	return peer{
		name: "s6", needs: "s6-svscan", stays: true,
		prepare: func(dir string, names []string, command string) error {
			return runScripts(dir, names, command, "s6-log T n50 s10000000 %s")
		},
		start: func(dir string) *exec.Cmd { return exec.Command("s6-svscan", dir+"/services") },
		status: func(dir string) *exec.Cmd {
			return exec.Command("sh", "-c", "for s in "+dir+"/services/*; do s6-svstat $s; done")
		},
		stop: func(dir string) *exec.Cmd { return exec.Command("s6-svscanctl", "-t", dir+"/services") },
		logs: func(dir, service string) string { return dir + "/logs/" + service },
	}
}

func write(path, text string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), mode)
}
