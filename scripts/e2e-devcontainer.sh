#!/usr/bin/env bash
# Real dev containers: Docker, the dev container CLI, and the tests that use
# them. Installs what is missing on a Debian machine (root); elsewhere it says what
# is missing and skips, but never in CI.
set -euo pipefail
cd "$(dirname -- "$0")/.."

image=coltec-e2e/base:bookworm
cli=0.89.0
cache=${COLTEC_E2E_CACHE:-/var/cache/coltec-e2e}

skip() {
	echo "e2e-devcontainer: skipped: $1"
	[ -z "${CI-}" ] || exit 1
	exit 0
}

[ "$(uname -s)" = Linux ] || skip "this is not Linux"
[ "$(id -u)" = 0 ] || skip "this is not root, which starts dockerd and makes the base image"
command -v apt-get >/dev/null || skip "there is no apt-get to install docker.io and debootstrap with"
command -v npm >/dev/null || skip "there is no npm to install the dev container CLI with"

if ! command -v dockerd >/dev/null || ! command -v debootstrap >/dev/null; then
	echo "e2e-devcontainer: installing docker.io and debootstrap"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io debootstrap iptables >/dev/null
fi
if ! docker info >/dev/null 2>&1; then
	echo "e2e-devcontainer: starting dockerd"
	# What a killed dockerd left names a pid that may be anybody's by now, or a
	# zombie's, which has no program any more.
	for file in /var/run/docker.pid /var/run/docker/containerd/containerd.pid; do
		if [ -e "$file" ] && ! readlink "/proc/$(cat "$file")/exe" | grep -q -E 'dockerd|containerd'; then
			rm -f "$file"
		fi
	done
	setsid dockerd >/tmp/coltec-dockerd.log 2>&1 &
	for _ in $(seq 60); do
		docker info >/dev/null 2>&1 && break
		sleep 0.5
	done
	docker info >/dev/null || {
		tail -20 /tmp/coltec-dockerd.log
		exit 1
	}
fi
if ! docker image inspect "$image" >/dev/null 2>&1; then
	echo "e2e-devcontainer: making the base image"
	mkdir -p "$cache"
	if [ ! -e "$cache/done" ]; then
		rm -rf "$cache/rootfs"
		debootstrap --variant=minbase --include=sudo,ca-certificates bookworm "$cache/rootfs" >"$cache/log" 2>&1 || {
			tail -20 "$cache/log"
			exit 1
		}
		chroot "$cache/rootfs" useradd -m -s /bin/bash -u 1000 vscode
		echo "vscode ALL=(ALL) NOPASSWD:ALL" >"$cache/rootfs/etc/sudoers.d/vscode"
		chmod 0440 "$cache/rootfs/etc/sudoers.d/vscode"
		: >"$cache/done"
	fi
	tar -C "$cache/rootfs" -c . | docker import - "$image" >/dev/null
fi
if [ ! -x "$cache/cli/node_modules/.bin/devcontainer" ]; then
	echo "e2e-devcontainer: installing the dev container CLI $cli"
	mkdir -p "$cache/cli"
	npm install --silent --no-audit --no-fund --prefix "$cache/cli" "@devcontainers/cli@$cli"
fi
export PATH="$PATH:$cache/cli/node_modules/.bin" DOCKER_BUILDKIT=0 COLTEC_E2E_IMAGE="$image"
go test -count=1 -timeout 9m "$@" ./e2e/devcontainer
