#!/usr/bin/env bash
# Makes the changelog of its fragments, docs/changes/KIND-WORDS.md.
#
#   scripts/changelog.sh            print what is not released yet
#   scripts/changelog.sh v1.2.0     put it on top of CHANGELOG.md, and remove the fragments
set -euo pipefail
cd "$(dirname -- "$0")/.."
version=${1:-}
if [[ $# -gt 1 || ( -n $version && ! $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$ ) ]]; then
	echo "usage: scripts/changelog.sh [vMAJOR.MINOR.PATCH]" >&2
	exit 2
fi

shopt -s nullglob
section() {
	local title=$2 file files=(docs/changes/"$1"-*.md)
	[[ ${#files[@]} -gt 0 ]] || return 0
	printf '\n### %s\n\n' "$title"
	for file in "${files[@]}"; do
		printf -- '- %s\n' "$(tr '\n' ' ' <"$file" | sed 's/ *$//')"
	done
}
body() {
	section security Security
	section added Added
	section changed Changed
	section fixed Fixed
}

if [[ -z $version ]]; then
	body
	exit 0
fi
text=$(body)
if [[ -z $text ]]; then
	echo "changelog: there are no fragments in docs/changes" >&2
	exit 1
fi
if grep -q "^## $version " CHANGELOG.md; then
	echo "changelog: CHANGELOG.md has $version already" >&2
	exit 1
fi
new=$(mktemp CHANGELOG.md.XXXXXX)
trap 'rm -f "$new"' EXIT
{
	sed -n '1,/^$/p' CHANGELOG.md
	printf '## %s (%s)\n%s\n' "$version" "$(date -u +%F)" "$text"
	sed '1,/^$/d' CHANGELOG.md | sed '1s/^/\n/'
} >"$new"
mv "$new" CHANGELOG.md
rm -f docs/changes/{security,added,changed,fixed}-*.md
echo "changelog: $version is on top of CHANGELOG.md; look at it, and commit"
