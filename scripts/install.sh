#!/bin/sh
# Installs coltec, coltecd and their rclone of one release, for this user, or for all when root
# runs it. Nothing is installed that is not what was released: the checksums are in this script.
#
#   sh install.sh [--prefix DIR] [--from DIR|URL] [--dry-run]
#   sh install.sh --uninstall [--prefix DIR]
#
# TAILSCALE=1 installs the release's tailscaled beside them, for workspaces that join a tailnet; a
# later install keeps it, unless TAILSCALE=0 is set.
#
# PREFIX/lib/coltec gets the programs, PREFIX/bin links to them. PREFIX is /usr/local for root,
# else ~/.local. Nothing else is changed, nothing is sent anywhere, and no shell is set up.
# Needs a POSIX shell, tar, gzip, sha256sum or shasum, and curl or wget (none with --from DIR).
#
# In a clone of the repository these three are empty: a release fills them in.
set -eu
version=''
checksums=''
releases=''

say() { echo "coltec: $*"; }

fail() {
	echo "coltec: $1" >&2
	shift
	for hint in "$@"; do echo "hint: $hint" >&2; done
	exit 1
}

platform() {
	case $(uname -s) in
	Linux) os=linux ;;
	Darwin) os=darwin ;;
	*) fail "nothing is released for $(uname -s)" "on Windows, take the .zip of the release, or run this in WSL" ;;
	esac
	case $(uname -m) in
	x86_64 | amd64) arch=amd64 ;;
	aarch64 | arm64) arch=arm64 ;;
	*) fail "nothing is released for $(uname -m)" "amd64 and arm64 are" ;;
	esac
}

# fetch FROM NAME FILE: from a directory or a URL.
fetch() {
	case $1 in
	*://*)
		if command -v curl >/dev/null 2>&1; then
			curl -fsSL --retry 3 --connect-timeout 10 -o "$3" "$1/$2"
		elif command -v wget >/dev/null 2>&1; then
			wget -q -T 30 -O "$3" "$1/$2"
		else
			fail "there is neither curl nor wget" "download $1/$2, and say --from DIR"
		fi
		;;
	*) cp "$1/$2" "$3" ;;
	esac
}

sha256() {
	if command -v sha256sum >/dev/null 2>&1; then
		sha256sum <"$1" | cut -d' ' -f1
	elif command -v shasum >/dev/null 2>&1; then
		shasum -a 256 <"$1" | cut -d' ' -f1
	else
		fail "there is neither sha256sum nor shasum: what was downloaded cannot be verified"
	fi
}

# ours LINK: a link that an earlier install made, or nothing.
ours() {
	if [ -L "$1" ]; then
		case $(readlink "$1") in */lib/coltec/*) return 0 ;; esac
	fi
	[ ! -e "$1" ] && [ ! -L "$1" ]
}

# wanted FILE: its checksum in this release, or nothing.
wanted() { echo "$checksums" | awk -v name="$1" '$2 == name { print $1 }'; }

# get FILE TO: a file of the release, or the end.
get() {
	say "gets $1 from $from"
	fetch "$from" "$1" "$2" || fail "cannot get $from/$1"
	got=$(sha256 "$2")
	[ "$got" = "$(wanted "$1")" ] || fail "$from/$1 is not what was released: SHA-256 $got, not $(wanted "$1")" "nothing was installed"
	say "verified: SHA-256 $got"
}

# choose: whether tailscaled is installed, too.
choose() {
	case ${TAILSCALE-} in
	1 | true) tailscale=1 ;;
	0 | false) tailscale='' ;;
	'')
		tailscale=''
		for file in "$prefix/lib/coltec/tailscaled" "$prefix/lib/coltec"/linux-*/tailscaled; do
			if [ -f "$file" ]; then tailscale=1; fi
		done
		;;
	*) fail "TAILSCALE is \"$TAILSCALE\"" "1 or 0" ;;
	esac
	# Containers are Linux: a host of another system has the programs of both architectures for them.
	arches=$arch
	[ "$os" = linux ] || arches="amd64 arm64"
	for a in $arches; do
		if [ -n "$tailscale" ] && [ -z "$(wanted "tailscaled-linux-$a")" ]; then
			fail "$version has no tailscaled for $a" "set TAILSCALE=0 to install the rest; docs/tailnet.md says where else tailscale may come from"
		fi
	done
}

uninstall() {
	for name in coltec coltecd coltec-daemon; do
		if [ -L "$prefix/bin/$name" ] && ours "$prefix/bin/$name"; then
			rm "$prefix/bin/$name"
			say "removed $prefix/bin/$name"
		fi
	done
	if [ -f "$prefix/lib/coltec/installed-by-script" ]; then
		rm -r "$prefix/lib/coltec"
		say "removed $prefix/lib/coltec"
	fi
	say "what you agreed to (~/.local/state/coltec) and your buckets are as they were"
}

install() {
	[ -n "$version" ] || fail "this is the script of no release: it has no checksums" "take install.sh from a release, or run make build"
	platform
	name=coltec-$version-$os-$arch
	[ -n "$(wanted "$name.tar.gz")" ] || fail "$version has no programs for $os on $arch"
	choose
	say "installs $version for $os on $arch${tailscale:+, with tailscaled}: $prefix/lib/coltec, and links in $prefix/bin"
	for link in coltec coltecd coltec-daemon; do
		ours "$prefix/bin/$link" || fail "$prefix/bin/$link is something else, and is left alone" "remove it, or say --prefix DIR"
	done
	if [ -e "$prefix/lib/coltec" ] && [ ! -f "$prefix/lib/coltec/installed-by-script" ]; then
		fail "$prefix/lib/coltec is something else, and is left alone" "say --prefix DIR"
	fi
	if [ -n "$dry" ]; then
		say "dry run: nothing was downloaded, nothing is changed"
		return
	fi

	umask 022 # what root installs is for all
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	get "$name.tar.gz" "$work/archive"
	gzip -dc <"$work/archive" | tar -xf - -C "$work"
	for a in ${tailscale:+$arches}; do
		to=$work/$name
		[ "$os" = linux ] || to=$to/linux-$a
		get "tailscaled-linux-$a" "$to/tailscaled"
		chmod 0755 "$to/tailscaled"
		ln -s tailscaled "$to/tailscale" # the client is the same program
	done
	"$work/$name/coltec" version >/dev/null || fail "coltec does not run on this machine" "nothing was installed"

	# A whole directory takes the place of the one before: programs that run keep theirs.
	mkdir -p "$prefix/lib" "$prefix/bin"
	rm -rf "$prefix/lib/.coltec-new"
	cp -R "$work/$name" "$prefix/lib/.coltec-new"
	: >"$prefix/lib/.coltec-new/installed-by-script"
	rm -rf "$prefix/lib/.coltec-old"
	[ ! -e "$prefix/lib/coltec" ] || mv "$prefix/lib/coltec" "$prefix/lib/.coltec-old"
	mv "$prefix/lib/.coltec-new" "$prefix/lib/coltec"
	rm -rf "$prefix/lib/.coltec-old"
	ln -sf ../lib/coltec/coltec "$prefix/bin/coltec"
	if [ -f "$prefix/lib/coltec/coltecd" ]; then
		ln -sf ../lib/coltec/coltecd "$prefix/bin/coltecd"
		ln -sf ../lib/coltec/coltecd "$prefix/bin/coltec-daemon"
	fi
	say "installed $("$prefix/bin/coltec" version)"
	case :$PATH: in
	*:"$prefix/bin":*) ;;
	*) say "$prefix/bin is not in your PATH: put it there, or call $prefix/bin/coltec" ;;
	esac
	say "completions and manual pages are in $prefix/lib/coltec; \"sh install.sh --uninstall\" removes all of it"
}

main() {
	prefix=$HOME/.local from="$releases/$version" dry='' do=install
	[ "$(id -u)" != 0 ] || prefix=/usr/local
	while [ $# -gt 0 ]; do
		case $1 in
		--prefix | --from)
			[ $# -gt 1 ] || fail "$1 wants a value"
			case $1 in --prefix) prefix=$2 ;; --from) from=$2 ;; esac
			shift
			;;
		--dry-run) dry=1 ;;
		--uninstall) do=uninstall ;;
		-h | --help)
			echo "usage: [TAILSCALE=1] sh install.sh [--prefix DIR] [--from DIR|URL] [--dry-run] | --uninstall [--prefix DIR]"
			return
			;;
		*) fail "unknown option $1" "--prefix, --from, --dry-run, --uninstall" ;;
		esac
		shift
	done
	case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
	$do
}

# Last: a download that was cut off runs nothing.
main "$@"
