# shellcheck shell=sh
# Run when the container starts and when an editor attaches, where the Feature's option
# "start" says so: templates have a start of their own. A hook that fails would keep those of
# the project from running; what is wrong coltecd start has said by then.
if [ -e /usr/local/share/coltec/start ]; then
	/usr/local/bin/coltecd start </dev/null || :
fi
