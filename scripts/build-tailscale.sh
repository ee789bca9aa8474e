#!/bin/sh
# Builds the pinned tailscale of tools/tailnet into bin/tailscaled, which is the
# client too when it is called tailscale. About two minutes the first time. Its
# source is held to the checksums in tools/tailnet/go.sum.
#
#   scripts/build-tailscale.sh            build when needed
#   scripts/build-tailscale.sh --force    build in any case
#   scripts/build-tailscale.sh --flags    print the flags of go that it is built with
#
# GOOS and GOARCH are honoured; COLTEC_TAILSCALED_OUT names another place.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
out=${COLTEC_TAILSCALED_OUT:-$root/bin/tailscaled}
case $out in /*) ;; *) out=$PWD/$out ;; esac
want=$(cd "$root/tools/tailnet" && go list -m -f '{{.Version}}' tailscale.com)

# What a container has no use for: clouds, desktops, other systems' devices. It is a
# fifth of what there is to compile. Tests that share these flags share the work.
tags=ts_include_cli
for feature in appconnectors aws bird capture clientupdate cloud completion \
	desktop_sessions drive identityfederation kube linuxdnsfight networkmanager \
	posture qrcodes relayserver resolved synology syspolicy systray tap tpm wakeonlan webclient; do
	tags=$tags,ts_omit_$feature
done

force=
case ${1-} in
'') ;;
--force) force=1 ;;
--flags)
	echo "-trimpath -tags=$tags"
	exit 0
	;;
*)
	echo "usage: scripts/build-tailscale.sh [--force | --flags]" >&2
	exit 2
	;;
esac

stamp="$want $(go env GOOS)/$(go env GOARCH) $(go env GOVERSION) $tags"
if [ -n "$force" ] || [ ! -x "$out" ] || [ "$(cat "$out.stamp" 2>/dev/null)" != "$stamp" ]; then
	echo "tailscale: building $want into $out; the first time takes about two minutes" >&2
	mkdir -p "$(dirname -- "$out")"
	start=$(date +%s)
	version=${want#v}
	(cd "$root/tools/tailnet" && CGO_ENABLED=0 go build -trimpath "-tags=$tags" \
		-ldflags "-s -w -X tailscale.com/version.longStamp=$version -X tailscale.com/version.shortStamp=$version" \
		-o "$out.new" tailscale.com/cmd/tailscaled)
	mv -f "$out.new" "$out" # whole, whatever runs the old one
	echo "$stamp" >"$out.stamp"
	echo "tailscale: built $want in $(($(date +%s) - start)) s: $out"
else
	echo "tailscale: $out is $want already"
fi
ln -sf "$(basename -- "$out")" "$(dirname -- "$out")/tailscale"
