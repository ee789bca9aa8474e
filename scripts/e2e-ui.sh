#!/bin/sh
# Runs the tests of coltec ui in a real browser: a Chromium of this machine (COLTEC_CHROMIUM names
# another), driven by what tools/browser/package.json names, which is installed into a cache.
set -eu

cd "$(dirname -- "$0")/.."
wanted=tools/browser/package.json
dir=${XDG_CACHE_HOME:-$HOME/.cache}/coltec-browser/$(cksum <"$wanted" | cut -d' ' -f1)
if [ ! -e "$dir/installed" ]; then
	command -v npm >/dev/null || {
		echo "e2e-ui: npm is not installed (apt-get install npm)" >&2
		exit 1
	}
	echo "e2e-ui: installing into $dir" >&2
	rm -rf "$dir"
	mkdir -p "$dir"
	cp "$wanted" "$dir/package.json"
	npm install --prefix "$dir" --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error >&2
	touch "$dir/installed"
fi
for name in chromium-headless-shell chromium google-chrome; do
	[ -n "${COLTEC_CHROMIUM:-}" ] || COLTEC_CHROMIUM=$(command -v "$name" || true)
done
[ -n "$COLTEC_CHROMIUM" ] || {
	echo "e2e-ui: there is no Chromium (apt-get install chromium-headless-shell)" >&2
	exit 1
}
export COLTEC_CHROMIUM COLTEC_BROWSER="$dir/node_modules"
exec go test -vet=off -count=1 -parallel 4 -timeout 20m -run TestPage "$@" ./e2e
