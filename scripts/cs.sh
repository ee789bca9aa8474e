#!/bin/sh
# Makes and updates workspaces: a thin door to `coltec new` and `coltec update`.
#
#   scripts/cs.sh new DIR --data org=ORG --data project=PROJECT --data env=ENV [--template TEMPLATE]
#   scripts/cs.sh update DIR
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
coltec=$root/bin/coltec
if [ ! -x "$coltec" ]; then
	coltec=$(command -v coltec) || {
		echo "error: no coltec in $root/bin or on PATH" >&2
		echo "hint: run make build in $root" >&2
		exit 1
	}
fi

case ${1-} in
new | update | check | templates) exec "$coltec" "$@" ;;
*)
	echo "usage: scripts/cs.sh new|update|check|templates DIR [flags]" >&2
	exit 2
	;;
esac
