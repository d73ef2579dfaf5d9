#!/usr/bin/env bash
# Fuzzes one target: scripts/fuzz.sh FOLDER TARGET TIME
#
# On one processor, so that several targets can run side by side. What it wrote
# is shown only when it failed. An input that fails is left in the package's
# testdata/fuzz, and belongs into a commit with the cure.
set -euo pipefail

log=$(mktemp)
trap 'rm -f "$log"' EXIT
for try in 1 2 3; do
	if go test -run '^$' -fuzz "^$2\$" -fuzztime "$3" -parallel 1 "$1" >"$log" 2>&1; then
		echo "ok $1 $2 $(grep -oE 'execs: [0-9]+' "$log" | tail -1)"
		exit 0
	fi
	# go test -fuzz fails at times because its own time is over while a worker is
	# still at it. That finds nothing.
	if grep -q 'Failing input' "$log" || ! grep -q 'context deadline exceeded' "$log"; then
		break
	fi
	echo "again, no input failed: $1 $2 (try $try)"
done
cat "$log"
exit 1
