#!/bin/sh
# Builds the pinned, slim rclone of tools/rclone into bin/rclone, unless it is
# there already in the pinned version. About a minute the first time.
#
#   scripts/build-rclone.sh            build when needed
#   scripts/build-rclone.sh --force    build in any case
#
# GOOS and GOARCH are honoured; COLTEC_RCLONE_OUT names another place.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
out=${COLTEC_RCLONE_OUT:-$root/bin/rclone}
want=$(cd "$root/tools" && go list -m -f '{{.Version}}' github.com/rclone/rclone)

case ${1-} in
'') force= ;;
--force) force=1 ;;
*)
	echo "usage: scripts/build-rclone.sh [--force]" >&2
	exit 2
	;;
esac

# A main that changed makes another binary of the same version, so the source's
# checksum is kept beside the version that the binary prints.
stamp=$(cat "$root/tools/rclone/main.go" "$root/tools/go.mod" | cksum | cut -d' ' -f1)
stamp="$want $(go env GOOS)/$(go env GOARCH) $stamp"

if [ -z "$force" ] && [ -x "$out" ] && [ "$(cat "$out.stamp" 2>/dev/null)" = "$stamp" ]; then
	echo "rclone: $out is $want already"
	exit 0
fi

echo "rclone: building $want (slim) into $out; the first time takes about a minute" >&2
mkdir -p "$(dirname -- "$out")"
start=$(date +%s)
# The binary appears whole: a test that starts meanwhile sees the old one or the new one.
(cd "$root/tools" && CGO_ENABLED=0 go build -trimpath \
	-ldflags "-s -w -X github.com/rclone/rclone/fs.Version=$want" \
	-o "$out.new" ./rclone)
mv -f "$out.new" "$out"
echo "$stamp" >"$out.stamp"
echo "rclone: built $want in $(($(date +%s) - start)) s: $out"
