#!/usr/bin/env bash
# Makes a release twice, from two clones of HEAD in folders of different names, times and
# habits: every file of it must be the same, byte for byte.
#
#   scripts/release-check.sh [PLATFORMS]    as linux/amd64,darwin/arm64; all without
#
# TAILSCALE=1 makes tailscaled, too.
# COLD=1 has the second clone compile everything anew, which takes as long again as the first.
# The first one's release is left in dist/release/VERSION, for make e2e-release.
set -euo pipefail
cd "$(dirname -- "$0")/.."
root=$PWD
version=${VERSION:-v1.2.3}
commit=$(git rev-parse HEAD) # once: another may be made meanwhile
only=${1:-}

work=$(mktemp -d ${CLONES:+-p "$CLONES"})
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

make_in() {
	git clone -q --no-hardlinks "$root" "$1"
	(cd "$1" && git checkout -q "$commit" &&
		cd tools/release && go run . -version "$version" ${only:+-only "$only"} ${TAILSCALE:+-tailscale})
}

(umask 022 && TZ=UTC make_in "$work/a")
(
	umask 077
	export TZ=Asia/Tokyo LC_ALL=C GOFLAGS=-buildvcs=true GOAMD64=v2
	[ -z "${COLD-}" ] || export GOCACHE="$work/cache"
	make_in "$work/another folder, of a longer name"
)
one=$work/a/dist/release/$version two="$work/another folder, of a longer name/dist/release/$version"
if ! diff -rq "$one" "$two"; then
	echo "release-check: the same commit made other bytes" >&2
	exit 1
fi
(cd "$two" && sha256sum --quiet -c checksums.txt)
rm -rf "dist/release/$version"
mkdir -p dist/release
mv "$one" dist/release/
echo "release-check: $(find "dist/release/$version" -type f | wc -l) files of $version, twice the same; they are in dist/release/$version"
