#!/bin/sh
# Runs the tests of metrics with a real Prometheus: Debian's package, unpacked into a cache and
# not installed, as installing it would begin a service. COLTEC_PROMETHEUS names a directory with prometheus and
# promtool that is taken instead.
set -eu

cd "$(dirname -- "$0")/.."
if [ -z "${COLTEC_PROMETHEUS:-}" ]; then
	dir=${XDG_CACHE_HOME:-$HOME/.cache}/coltec-prometheus
	if [ ! -x "$dir/usr/bin/promtool" ]; then
		echo "metrics: unpacking Debian's prometheus into $dir" >&2
		rm -rf "$dir"
		mkdir -p "$dir"
		(cd "$dir" && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } && dpkg -x prometheus_*.deb . && rm prometheus_*.deb)
	fi
	COLTEC_PROMETHEUS=$dir/usr/bin
fi
export COLTEC_PROMETHEUS
exec go test -vet=off -count=1 -timeout 10m -run TestPrometheus "$@" ./e2e
