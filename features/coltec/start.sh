# shellcheck shell=sh
# Run when the container was made, when it starts and when an editor attaches, where the
# Feature's option "start" says so: templates have a start of their own. A hook that fails would
# keep those of the project from running; what is wrong coltecd has said by then. With "create"
# it waits for the files and for what the hooks install: the project's own commands come after.
if [ -e /usr/local/share/coltec/start ]; then
	if /usr/local/bin/coltecd start </dev/null && [ "${1-}" = create ]; then
		/usr/local/bin/coltecd wait hooks --progress --timeout 15m </dev/null ||
			echo "what is not restored yet comes later: commands of the first start may miss files"
	fi
fi
