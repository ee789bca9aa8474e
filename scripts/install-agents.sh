#!/bin/sh
# Installs the coding agents of tools/agents/package.json, in the versions that it names, into the
# cache of who runs this: they are run by make e2e-agents, and distributed by nobody here. Prints
# the directory.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
wanted=$root/tools/agents/package.json
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
	# Scripts of packages do not run by themselves; the one that is needed puts the program into its place.
	npm install --prefix "$dir" --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error >&2
	(cd "$dir/node_modules/@anthropic-ai/claude-code" && node install.cjs >&2)
	touch "$dir/installed"
fi
echo "$dir"
