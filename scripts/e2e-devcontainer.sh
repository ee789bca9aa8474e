#!/usr/bin/env bash
# Real dev containers: Docker, the dev container CLI, and the tests that use
# them. Installs what is missing on a Debian machine (root); elsewhere it says what
# is missing and skips, but never in CI.
set -euo pipefail
cd "$(dirname -- "$0")/.."

image=coltec-e2e/base:bookworm-3 # the number counts what is in it
busybox=coltec-e2e/busybox:bookworm
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

# What the tests look with: qemu-user runs arm64 programs, python3 and zstd read the
# bucket without a line of ours. The hosts: Podman with runc, Compose, an sshd for Docker on
# another machine, and the systemd of one without containers. A registry for what a release
# publishes, and readers of its packages.
missing=
for tool in dockerd:docker.io debootstrap:debootstrap qemu-aarch64:qemu-user python3:python3 zstd:zstd \
	podman:podman runc:runc docker-compose:docker-compose sshd:openssh-server ssh:openssh-client systemctl:systemd newuidmap:uidmap rootlesskit:rootlesskit \
	docker-registry:docker-registry rpm2cpio:rpm2cpio cpio:cpio; do
	command -v "${tool%%:*}" >/dev/null || missing="$missing ${tool#*:}"
done
if [ -n "$missing" ]; then
	echo "e2e-devcontainer: installing$missing"
	apt-get update -qq
	# shellcheck disable=SC2086 # words
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends iptables $missing >/dev/null
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
	# It stays: what the caller has open, the lock of a flock among it, would stay with it.
	(
		for fd in /proc/self/fd/*; do
			fd=${fd##*/}
			[ "$fd" -le 2 ] || eval "exec $fd>&-"
		done
		exec setsid dockerd </dev/null >/tmp/coltec-dockerd.log 2>&1
	) &
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
	if [ ! -e "$cache/done-3" ]; then
		rm -rf "$cache/rootfs"
		debootstrap --variant=minbase --include=sudo,ca-certificates,wget,git bookworm "$cache/rootfs" >"$cache/log" 2>&1 || {
			tail -20 "$cache/log"
			exit 1
		}
		chroot "$cache/rootfs" useradd -m -s /bin/bash -u 1000 vscode
		echo "vscode ALL=(ALL) NOPASSWD:ALL" >"$cache/rootfs/etc/sudoers.d/vscode"
		chmod 0440 "$cache/rootfs/etc/sudoers.d/vscode"
		: >"$cache/done-3"
	fi
	tar -C "$cache/rootfs" -c . | docker import - "$image" >/dev/null
fi
# Podman keeps images of its own. runc and small limits, as a sandbox may have cgroups of
# two kinds and no right to raise a limit.
cat >"$cache/containers.conf" <<-'EOF'
	[containers]
	netns = "host"
	default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
	[engine]
	runtime = "runc"
EOF
if ! CONTAINERS_CONF=$cache/containers.conf podman image exists "localhost/$image"; then
	echo "e2e-devcontainer: making the base image for Podman"
	docker save "$image" | CONTAINERS_CONF=$cache/containers.conf podman load >/dev/null 2>&1
fi
# A user for whom Podman runs without root, with images of its own.
if ! id coltec-e2e >/dev/null 2>&1; then
	useradd -m coltec-e2e
	install -d -o coltec-e2e -g coltec-e2e ~coltec-e2e/.config ~coltec-e2e/.config/containers
	printf '[storage]\ndriver = "overlay"\n' >~coltec-e2e/.config/containers/storage.conf
fi
# All may open it, as on other machines: the network of a dockerd without root.
[ ! -c /dev/net/tun ] || chmod 666 /dev/net/tun
if ! docker image inspect "$busybox" >/dev/null 2>&1; then
	echo "e2e-devcontainer: making an image of nothing but busybox"
	root=$cache/busybox
	rm -rf "$root"
	mkdir -p "$root"
	(cd "$root" && mkdir -p bin dev etc/profile.d home/vscode proc root sys tmp usr/local/bin var/tmp)
	(cd "$cache" && apt-get download -qq busybox-static && dpkg-deb -x busybox-static_*.deb "$root/deb" && rm busybox-static_*.deb)
	mv "$root"/deb/bin/busybox "$root/bin/busybox"
	rm -r "$root/deb"
	chroot "$root" /bin/busybox --install -s /bin
	printf 'root:x:0:0:root:/root:/bin/sh\nvscode:x:1000:1000::/home/vscode:/bin/sh\n' >"$root/etc/passwd"
	printf 'root:x:0:\nvscode:x:1000:\n' >"$root/etc/group"
	: >"$root/etc/bashrc" # as in Fedora
	chmod 1777 "$root/tmp" "$root/var/tmp"
	chown 1000:1000 "$root/home/vscode"
	tar -C "$root" -c . | docker import - "$busybox" >/dev/null
fi
if [ ! -x "$cache/cli/node_modules/.bin/devcontainer" ]; then
	echo "e2e-devcontainer: installing the dev container CLI $cli"
	mkdir -p "$cache/cli"
	npm install --silent --no-audit --no-fund --prefix "$cache/cli" "@devcontainers/cli@$cli"
fi
agents=$(scripts/install-agents.sh)
[ "${COLTEC_E2E_AGENTS-}" != more ] || agents=$agents:$(scripts/install-agents.sh more)
export COLTEC_AGENTS_DIR="$agents"
export PATH="$PATH:$cache/cli/node_modules/.bin" DOCKER_BUILDKIT=0 COLTEC_E2E_IMAGE="$image" COLTEC_E2E_BUSYBOX="$busybox" COLTEC_E2E_CACHE="$cache"

# The tests remove the images that they name. Builds leave others without a name.
nameless() { docker images --quiet --no-trunc --filter dangling=true | sort -u; }
before=$(nameless)
rc=0
go test -count=1 -timeout "${COLTEC_E2E_TIMEOUT:-18m}" "$@" ./e2e/devcontainer || rc=$?
docker rmi dev_container_feature_content_temp >/dev/null 2>&1 || true # the CLI's own
for id in $(comm -13 <(echo "$before") <(nameless)); do
	docker rmi "$id" >/dev/null 2>&1 || true # a part of another one that is gone by now
done
exit "$rc"
