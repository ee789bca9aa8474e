#!/bin/sh
# Builds coltecd and the pinned tailscale and tailscaled into bin/tailnet, and runs
# two nodes and more against a control server on loopback.
#
#   scripts/e2e-tailnet.sh [flags of go test]
#
# Where tailscale's module cannot be had it says so and skips, but not in CI.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
bin=$root/bin/tailnet
mkdir -p "$bin"

cd "$root/tools/tailnet"
if ! go mod download tailscale.com; then
	echo "e2e-tailnet: SKIPPED: the module tailscale.com cannot be downloaded" >&2
	[ -z "${CI-}" ]
	exit
fi
echo "e2e-tailnet: building tailscale $(go list -m -f '{{.Version}}' tailscale.com); the first time takes some minutes" >&2
start=$(date +%s)
# The flags are those of go test below and of go vet: one build serves all.
go build -o "$bin/" tailscale.com/cmd/tailscale tailscale.com/cmd/tailscaled
(cd "$root" && CGO_ENABLED=0 go build -trimpath -o "$bin/coltecd" ./cmd/coltecd)
echo "e2e-tailnet: built in $(($(date +%s) - start)) s" >&2
COLTEC_TAILNET_BIN=$bin exec go test -count=1 -timeout 10m "$@" .
