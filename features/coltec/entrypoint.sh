# shellcheck shell=sh
# Read by process 1 of the container, which gets docker's TERM and nothing else
# does. It must not fail and must not wait: the container starts after it.
#
#   stop     TERM pushes what is pending before the container goes. The time for
#            it is COLTEC_STOP_TIMEOUT, which stays below docker's: 10 s unless
#            runArgs have --stop-timeout.
#   restart  `docker restart` runs no hook of the dev container. A coltecd that
#            ran before runs again, without secrets: what needs them is blocked
#            until the next coltec up or attach.

# As the user whose workspace it is.
coltec_as_user() {
	coltec_user=$(cat /usr/local/share/coltec/user 2>/dev/null || echo root)
	if [ "$(id -u)" != 0 ] || [ "$coltec_user" = root ]; then
		/usr/local/bin/coltecd "$@"
	else
		# Not su: an image may have none, or no name for the user.
		/usr/local/bin/coltecd become "$coltec_user" -- "$@"
	fi
}

# Where the spec is, when nobody says so.
if [ -z "${COLTEC_CONFIG-}" ]; then
	for coltec_spec in /workspace/.devcontainer/workspace-spec.yaml /workspaces/*/.devcontainer/workspace-spec.yaml; do
		if [ -f "$coltec_spec" ]; then
			COLTEC_CONFIG=$coltec_spec
			export COLTEC_CONFIG
			break
		fi
	done
fi

# A container that has a command of its own (overrideCommand: false, compose) replaces this
# shell by it, and the trap with it. The command then runs below coltecd, which hands
# signals on and stops when it has ended, or two seconds after a TERM.
if [ $# -gt 0 ]; then
	set -- /usr/local/bin/coltecd first --user "$(cat /usr/local/share/coltec/user 2>/dev/null || echo root)" -- "$@"
fi
trap 'coltec_as_user stop --timeout "${COLTEC_STOP_TIMEOUT:-9s}"; exit 0' TERM

# The container's own file system remembers that it was started before: the first of
# these that can be written to. What is there is not followed, and in a shell of its own
# a failure ends no more than that.
coltec_started=
for coltec_dir in /tmp /var/tmp /run /usr/local/share/coltec; do
	if [ -e "$coltec_dir/.coltec-was-started" ] || [ -L "$coltec_dir/.coltec-was-started" ]; then
		coltec_started=yes
	fi
done
if [ -n "$coltec_started" ]; then
	coltec_as_user start </dev/null &
else
	for coltec_dir in /tmp /var/tmp /run /usr/local/share/coltec; do
		if (set -C && : >"$coltec_dir/.coltec-was-started") 2>/dev/null; then
			break
		fi
	done
fi
