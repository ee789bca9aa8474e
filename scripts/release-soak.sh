#!/usr/bin/env bash
# All that a release is held to, of all platforms, in half an hour. Each line says what it is and by
# which command; what fails ends it. Root, on Debian: Docker, as e2e-devcontainer.sh has it.
#
#   VERSION=v1.2.3 scripts/release-soak.sh
#
# CLONES is where the two clones are made: 4 GB, in memory where /dev/shm has that.
set -euo pipefail
cd "$(dirname -- "$0")/.."
export VERSION=${VERSION:-v1.2.3}
out=$PWD/dist/release/$VERSION
report=$(mktemp)
trap 'rm -f "$report"' EXIT

step() {
	local what=$1 start=$SECONDS
	shift
	echo "== $what: $*"
	"$@"
	printf '%-62s %5d s  %s\n' "$what" $((SECONDS - start)) "$*" >>"$report"
}

bills() {
	local dir=${XDG_CACHE_HOME:-$HOME/.cache}/coltec-bills
	if ! cmp -s tools/release/bills/package.json "$dir/package.json"; then
		rm -rf "$dir"
		mkdir -p "$dir"
		cp tools/release/bills/package.json "$dir/"
		npm install --prefix "$dir" --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error
	fi
	node tools/release/bills/validate.mjs "$dir" "$out"/*.cdx.json
}

# By the coltecd and rclone of the archive, not by those of this clone.
golden() {
	local made
	made=$(mktemp -d)
	tar -xzf "$out/coltec-$VERSION-linux-$(go env GOARCH).tar.gz" --strip-components=1 -C "$made"
	COLTEC_E2E_BIN=$made COLTEC_RCLONE=$made/rclone go test -count=1 -vet=off -run 'TestKeptFormats' -v ./e2e
	rm -rf "$made"
}

step "two clones, the same bytes; vet for each platform" scripts/release-check.sh
step "checksums, archives; bills and licences name what is linked" go run -C tools/release . -verify "$out"
step "bills of materials, by CycloneDX's schema" bills
step "Debian, busybox, rpm, apk, installer, registry" make -s e2e-release VERSION="$VERSION"
step "the bucket of format 1, by the programs of the archive" golden
step "pages" make -s docs-check
echo
echo "release-soak: $VERSION"
cat "$report"
