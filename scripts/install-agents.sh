#!/bin/sh
# Installs the coding agents of tools/agents/package.json, or of the directory $1 beside it, in the versions that it names, into the
# cache of who runs this: they are run by make e2e-agents, and distributed by nobody here. Prints
# the directory.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
wanted=$root/tools/agents/${1:+$1/}package.json
dir=${XDG_CACHE_HOME:-$HOME/.cache}/coltec-agents/$(cksum <"$wanted" | cut -d' ' -f1)

if [ ! -e "$dir/installed" ]; then
	command -v npm >/dev/null || {
		echo "install-agents: npm is not installed (apt-get install npm)" >&2
		exit 1
	}
	echo "agents: installing into $dir" >&2
	rm -rf "$dir"
	mkdir -p "$dir"
	cp "$wanted" "$dir/package.json"
	# Scripts of packages do not run by themselves; those that are needed put programs into their places.
	npm install --prefix "$dir" --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error >&2
	for script in @anthropic-ai/claude-code/install.cjs opencode-ai/postinstall.mjs; do
		[ ! -e "$dir/node_modules/$script" ] || (cd "$dir/node_modules/${script%/*}" && node "${script##*/}" >&2)
	done
	touch "$dir/installed"
fi
echo "$dir"
