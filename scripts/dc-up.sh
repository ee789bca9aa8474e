#!/bin/sh
# Brings a workspace's container up with its secrets: a thin door to `coltec up`.
#
#   scripts/dc-up.sh --workspace-folder DIR [coltec up flags] [-- devcontainer args]
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
--workspace-folder=*)
	dir=${1#*=}
	shift
	;;
--workspace-folder)
	if [ $# -ge 2 ]; then
		dir=$2
		shift 2
	fi
	;;
esac
if [ -z "${dir-}" ]; then
	echo "usage: scripts/dc-up.sh --workspace-folder DIR [coltec up flags] [-- devcontainer args]" >&2
	exit 2
fi
exec "$coltec" up "$dir" "$@"
