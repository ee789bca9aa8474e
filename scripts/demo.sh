#!/usr/bin/env bash
# Shows the main job on real parts: a workspace in a bucket, killed on one
# machine and restored on another. Everything happens in .demo/ and on
# loopback; everything it starts it ends, by process id.
set -euo pipefail
cd "$(dirname -- "$0")/.."
root=$PWD
bin=$root/bin
demo=$root/.demo
began=$SECONDS

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n%s\n' "$*"; }

s3_pid=
cleanup() {
	for machine in a b; do
		on "$machine" stop >/dev/null 2>&1 || true
	done
	[ -z "$s3_pid" ] || kill "$s3_pid" 2>/dev/null || true
}

# on MACHINE VERB…: coltecd as that machine has it: its own folder, its own
# runtime directory.
on() {
	local machine=$1
	shift
	mkdir -p "$demo/$machine/run"
	chmod 700 "$demo/$machine/run"
	(cd "$demo/$machine/work tree" && XDG_RUNTIME_DIR="$demo/$machine/run" "$bin/coltecd" "$@")
}

# spec MACHINE: the workspace's spec. Only the local path differs.
spec() {
	mkdir -p "$demo/$1/work tree/.devcontainer"
	cat >"$demo/$1/work tree/.devcontainer/workspace-spec.yaml" <<EOF
version: 1.0.0
name: demo
metadata: {org: acme, project: widget, environment: demo}
persistence:
  enabled: true
  default_remote: primary
  remotes:
    primary:
      type: s3
      bucket: \${RCLONE_BUCKET}
      options:
        provider: Rclone
        access_key_id: \${RCLONE_S3_ACCESS_KEY_ID}
        secret_access_key: \${RCLONE_S3_SECRET_ACCESS_KEY}
        endpoint: \${RCLONE_S3_ENDPOINT}
  lease: {ttl: 12s, renew: 4s}
  sync:
    - name: workspace
      path: "$demo/$1/work tree"
      remote_path: workspaces/{org}/{project}/{env}/workspace
      interval: 10
      exclude: [".devcontainer/**", "node_modules/**"]
services:
  - name: clock
    command: [sh, -c, "while date; do sleep 1; done"]
    after: [restore]
EOF
}

# tree MACHINE: what the synced tree shows: kind, mode, time, link, name, hash.
tree() {
	(cd "$demo/$1/work tree" && find . -mindepth 1 \( -name .coltec -o -name .devcontainer -o -name node_modules \) -prune -o \
		\( -type d -printf 'd %m %p\n' \) -o \( -type l -printf 'l %T@ %p -> %l\n' \) -o -printf '%y %m %T@ %p\n' | sort
	find . -mindepth 1 \( -name .coltec -o -name .devcontainer -o -name node_modules \) -prune -o -type f -exec sha256sum {} + | sort)
}

rm -rf "$demo"
mkdir -p "$demo/bucket/demo-bucket"
trap cleanup EXIT

say "1. An S3 server on loopback stands in for your bucket"
RCLONE_CONFIG=notfound "$bin/rclone" serve s3 --addr 127.0.0.1:0 --auth-key demo-key,demo-secret \
	--force-path-style "$demo/bucket" >"$demo/s3.log" 2>&1 &
s3_pid=$!
for _ in $(seq 100); do
	endpoint=$(sed -n 's/.*\[\(http:[^]]*\)\/\].*/\1/p' "$demo/s3.log" | head -1)
	[ -z "$endpoint" ] || break
	read -r -t 0.1 <> <(:) || true
done
[ -n "$endpoint" ] || { cat "$demo/s3.log"; exit 1; }
echo "   $endpoint, bucket demo-bucket"
export RCLONE_BUCKET=demo-bucket RCLONE_S3_ACCESS_KEY_ID=demo-key RCLONE_S3_SECRET_ACCESS_KEY=demo-secret RCLONE_S3_ENDPOINT=$endpoint

say "2. Machine A: a workspace with a few hundred files"
spec a
work="$demo/a/work tree"
for i in $(seq 300); do
	mkdir -p "$work/src/pkg$((i % 20))"
	echo "file $i" >"$work/src/pkg$((i % 20))/file $i.txt"
done
mkdir -p "$work/empty directory" "$work/bin" "$work/node_modules/left-pad"
echo 'not synced' >"$work/node_modules/left-pad/index.js"
printf '#!/bin/sh\necho hello from the workspace\n' >"$work/bin/hello"
chmod 755 "$work/bin/hello"
ln -s ../bin/hello "$work/src/hello"
head -c 3000000 /dev/urandom >"$work/big.bin"
printf 'a name nobody likes' >"$work/#ümläut \"quoted\" 100%.txt"
on a start --wait
on a sync
on a status

say "3. Save, change, delete, rename"
echo 'edited' >>"$work/src/pkg1/file 1.txt"
rm "$work/src/pkg2/file 2.txt"
mv "$work/src/pkg3" "$work/src/renamed"
chmod 644 "$work/bin/hello"
on a sync
tree a >"$demo/a.tree"
echo "   committed: $(grep -c . "$demo/a.tree") lines of tree; in the bucket: $(find "$demo/bucket" -type f | wc -l) objects"

say "4. Everything on machine A is killed with -9"
on a status --json >"$demo/a.status"
pids=$(sed -n 's/^  "pid": \([0-9]*\),*$/\1/p' "$demo/a.status")
for stat in /proc/[0-9]*/stat; do # coltecd's keeper is its parent: it goes first
	read -r pid _ _ ppid _ <"$stat" 2>/dev/null || continue
	[ "$pid" != "$pids" ] || keeper=$ppid
done
[ "${keeper:-1}" -le 1 ] || ! grep -q coltecd "/proc/$keeper/cmdline" || kill -9 "$keeper"
kill -9 "$pids"
echo "   killed $pids; its lease is not given back"

say "5. Machine B, an empty directory: waits until the lease runs out, then restores"
spec b
time on b start --wait
on b sync
on b status
tree b >"$demo/b.tree"
if diff -u "$demo/a.tree" "$demo/b.tree" >"$demo/tree.diff"; then
	echo "   both trees are equal: names, content, modes, times, links, directories"
else
	echo "   the trees differ:"
	head -20 "$demo/tree.diff"
	exit 1
fi

say "Done in $((SECONDS - began)) s. The spec, the logs and the bucket are in .demo/"
