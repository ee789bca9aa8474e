#!/bin/sh
# Puts coltecd, its alias coltec-daemon and rclone into an image, and tailscale if
# asked: Debian, Ubuntu, Alpine, Fedora and whatever else has a POSIX shell; amd64
# and arm64. Run as root by the dev container CLI while it builds the image.
#
# The binaries are static. Those in bin/<arch>/ beside this file are taken, else
# a pinned release is downloaded and held against checksums.txt, or the tag of that version
# is built here, where somebody asked for it.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
bin=/usr/local/bin
lib=/usr/local/lib/coltec
share=/usr/local/share/coltec

fail() {
	echo "coltec: $1" >&2
	shift
	for hint in "$@"; do echo "hint: $hint" >&2; done
	exit 1
}

[ "$(id -u)" = 0 ] || fail "cannot install: this is not root" "a Feature is installed while the image is built"

case $(uname -m) in
x86_64 | amd64) arch=amd64 ;;
aarch64 | arm64) arch=arm64 ;;
*) fail "there is no coltecd for $(uname -m)" "amd64 and arm64 are built" ;;
esac

# fetch URL FILE: with what the image has.
fetch() {
	if command -v curl >/dev/null 2>&1; then
		curl -fsSL --retry 3 --connect-timeout 10 -o "$2" "$1"
	elif command -v wget >/dev/null 2>&1; then
		wget -q -T 30 -O "$2" "$1"
	else
		fail "there is neither curl nor wget in this image" \
			"put the binaries into .devcontainer/coltec/bin/$arch/ on the host: coltec up does it when it has them beside it"
	fi
}

# checksum PATH: what checksums.txt says of it, nothing if it has no line.
checksum() {
	awk -v path="$1" '$2 == path { print $1 }' "$here/checksums.txt"
}

# download NAME FILE: a pinned release, checked before anything else is done.
download() {
	[ -n "${VERSION-}" ] || fail "no $1 beside this Feature in bin/$arch/, and no version is pinned" \
		"run coltec up on a host that has coltecd and rclone beside coltec, or set the Feature's option \"version\""
	path=$VERSION/$1-linux-$arch
	want=$(checksum "$path")
	[ -n "$want" ] || fail "checksums.txt has no line for $path" "take another version, or another copy of this Feature"
	fetch "${URL:?}/$path" "$2" || fail "cannot download $URL/$path"
	got=$(sha256sum "$2" | cut -d' ' -f1)
	[ "$got" = "$want" ] || fail "$URL/$path is not what was released: SHA-256 $got, not $want"
}

# build: all programs from the source of the pinned version, whose go.sum holds what it needs.
build() {
	[ -n "${VERSION-}" ] || fail "no version is pinned to be built from source" "set the Feature's option \"version\""
	for tool in go git; do
		command -v "$tool" >/dev/null 2>&1 || fail "there is no $tool in this image, to build from source" "add a Feature that installs it, or leave \"from\" as it is"
	done
	git -c advice.detachedHead=false clone -q --depth 1 --branch "$VERSION" -- "${SOURCE:?}" "$work/source" || fail "cannot clone $VERSION of $SOURCE"
	( # set -e does not hold before ||
		cd "$work/source" || exit
		export CGO_ENABLED=0 GOMODCACHE="$work/modules" GOCACHE="$work/cache" # none of it stays in the image
		go build -trimpath -tags urfave_cli_no_docs -ldflags "-s -w -X main.version=$VERSION" -o "$work/coltecd" ./cmd/coltecd || exit
		for name in $programs; do
			case $name in
			rclone) COLTEC_RCLONE_OUT=$work/rclone scripts/build-rclone.sh || exit ;;
			tailscaled) COLTEC_TAILSCALED_OUT=$work/tailscaled scripts/build-tailscale.sh || exit ;;
			coltec-mcp) [ ! -d cmd/coltec-mcp ] || go build -trimpath -tags urfave_cli_no_docs -ldflags "-s -w -X main.version=$VERSION" -o "$work/coltec-mcp" ./cmd/coltec-mcp || exit ;;
			esac
		done
	) || fail "cannot build $VERSION of $SOURCE"
	[ -f "$work/coltec-mcp" ] || programs=${programs% coltec-mcp} # an earlier version has none
}

# tailscaled is the client too, under the name tailscale. An image that has both
# keeps its own when there is none to put in. Without any, the rest is worth having.
programs="coltecd rclone"
case ${TAILSCALE-} in
true | 1) tailscale=1 ;;
*) tailscale='' ;;
esac
if [ -n "$tailscale" ]; then
	if [ "${FROM-}" = source ] || [ -f "$here/bin/$arch/tailscaled" ] || [ -n "$(checksum "${VERSION-}/tailscaled-linux-$arch")" ]; then
		programs="$programs tailscaled"
	elif ! command -v tailscale >/dev/null 2>&1 || ! command -v tailscaled >/dev/null 2>&1; then
		echo "coltec: no tailscaled beside this Feature in bin/$arch/, and none in the release: the workspace cannot join a tailnet" >&2
		echo "hint: run coltec up on a host that has tailscaled beside coltec (make tailscale builds it)" >&2
	fi
fi

# What serves tools to agents: the rest is worth having without it, too.
if [ "${FROM-}" = source ] || [ -f "$here/bin/$arch/coltec-mcp" ] || [ -n "$(checksum "${VERSION-}/coltec-mcp-linux-$arch")" ]; then
	programs="$programs coltec-mcp"
fi

# 0711 and root's: a program that its user cannot read is not dumpable, so that no
# other process of that user reads the credentials in its environment by the way. It is
# no wall: the same user writes the spec, which can hand them to any service.
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
[ "${FROM-}" != source ] || build
for name in $programs; do
	if [ -f "$work/$name" ]; then
		: # built
	elif [ -f "$here/bin/$arch/$name" ]; then
		cp "$here/bin/$arch/$name" "$work/$name"
	else
		download "$name" "$work/$name"
	fi
	chown 0:0 "$work/$name"
	chmod 0711 "$work/$name"
	TS_BE_CLI=1 "$work/$name" version >/dev/null || fail "$name does not run in this image"
done

# In a directory of their own, where coltecd finds its rclone; an rclone that the
# image has stays the one that people call.
mkdir -p "$lib" "$bin" "$share"
chmod 0755 "$lib" "$share"
for name in $programs; do
	mv -f "$work/$name" "$lib/"
done
ln -sf "$lib/coltecd" "$bin/coltecd"
ln -sf "$lib/coltecd" "$bin/coltec-daemon"
command -v rclone >/dev/null 2>&1 || ln -sf "$lib/rclone" "$bin/rclone"
if [ -e "$lib/tailscaled" ]; then
	ln -sf tailscaled "$lib/tailscale"
	command -v tailscale >/dev/null 2>&1 || ln -sf "$lib/tailscale" "$bin/tailscale"
fi

user=${_REMOTE_USER:-root}
echo "$user" >"$share/user"
cp "$here/entrypoint.sh" "$here/profile.sh" "$here/start.sh" "$share/"
rm -f "$share/start"
if [ "${START-}" = true ]; then
	: >"$share/start"
fi
chmod 0644 "$share"/*

# Each new interactive shell says what needs attention.
line="[ ! -r $share/profile.sh ] || . $share/profile.sh # coltec"
for rc in /etc/bash.bashrc /etc/bashrc /etc/zsh/zshrc /etc/zshrc; do
	if [ -f "$rc" ] && ! grep -q '# coltec$' "$rc"; then
		echo "$line" >>"$rc"
	fi
done
if [ -d /etc/profile.d ]; then
	cp "$share/profile.sh" /etc/profile.d/coltec.sh
fi

if [ ! -e /etc/ssl/certs/ca-certificates.crt ] && [ ! -e /etc/pki/tls/certs/ca-bundle.crt ] && [ ! -e /etc/ssl/cert.pem ]; then
	echo "coltec: this image has no CA certificates: rclone cannot speak HTTPS until the package ca-certificates is in it" >&2
fi
echo "coltec: installed $("$bin/coltecd" version | head -n 1)"
