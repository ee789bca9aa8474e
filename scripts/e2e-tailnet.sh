#!/bin/sh
# Builds coltecd and coltec, and runs nodes with the pinned tailscale (make tailscale) against a
# control server, DERP and STUN on loopback. As root it runs coltecd as another user.
#
#   scripts/e2e-tailnet.sh [flags of go test]
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
chmod 755 "$bin" # whoever coltecd runs as reads it

(cd "$root" && CGO_ENABLED=0 go build -trimpath -tags urfave_cli_no_docs -o "$bin/" ./cmd/coltecd ./cmd/coltec)
cp "$root/bin/tailscaled" "$bin/tailscaled"
ln -s tailscaled "$bin/tailscale"
cd "$root/tools/tailnet"
# The flags of the build: one compilation serves both. Tests mostly wait: all at once.
# shellcheck disable=SC2046 # they are words
CGO_ENABLED=0 COLTEC_TAILNET_BIN=$bin go test $("$root/scripts/build-tailscale.sh" --flags) -count=1 -parallel 16 -timeout 10m "$@" .
