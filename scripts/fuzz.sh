#!/usr/bin/env bash
# Runs every fuzz test of the module, one after the other.
#
#   scripts/fuzz.sh [TIME]     TIME for each, 5m by default
set -euo pipefail
cd "$(dirname -- "$0")/.."
time=${1:-5m}
failed=0
while IFS=: read -r file name; do
	dir=./$(dirname -- "$file")
	echo "fuzz: $name in $dir for $time"
	# Without a bound on minimizing, go test stalls on slow inputs.
	go test "$dir" -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 10x || failed=1
done < <(git grep -o -E 'func Fuzz[A-Za-z0-9_]+' -- '*_test.go' | sed 's/func //')
exit "$failed"
