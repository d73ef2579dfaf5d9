#!/usr/bin/env bash
# Fuzzes every target for a while: scripts/fuzz.sh TIME
#
# Each package is built once, and as many targets run side by side as there are
# processors. What one wrote is shown only if it failed. An input that fails is
# left in the package's testdata/fuzz, and belongs into a commit with the cure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export TIME=$1
WORK=$(mktemp -d)
CORPUS=$(go env GOCACHE)/fuzz/$(go list -m) # where go test -fuzz keeps what it found
export WORK CORPUS
trap 'rm -rf "$WORK"' EXIT

# run FOLDER TARGET fuzzes one target. Making an input smaller may take a hundred
# tries: go test would spend a minute on each that is of interest, which is all of
# the time there is.
run() {
	local name=${1//\//-} log=$WORK/$2.log
	if (cd "$1" && "$WORK/$name" -test.run '^$' -test.fuzz "^$2\$" -test.fuzztime "$TIME" -test.parallel 1 \
		-test.fuzzminimizetime 100x -test.fuzzcachedir "$CORPUS/$1") >"$log" 2>&1; then
		echo "ok $1 $2 $(executions "$log")"
	elif outOfTime "$log"; then
		echo "ok $1 $2 $(executions "$log"); its time was over while an input ran, as go test says at times: NO INPUT FAILED"
	else
		cat "$log"
		echo "FAIL $1 $2"
		return 1
	fi
}

executions() { grep -oE 'execs: [0-9]+' "$1" | tail -1 | grep . || echo 'NO INPUT TRIED'; }

# outOfTime tells whether all that is wrong is that the time was over while a
# worker was still at it: then the target fails with these words and nothing else.
outOfTime() {
	! grep -q 'Failing input\|panic:\|fatal error:\|fuzzing process' "$1" &&
		[[ $(sed -n '/^--- FAIL/,/^FAIL/{//d;p}' "$1" | tr -d ' \n') == contextdeadlineexceeded ]]
}
export -f run executions outOfTime

targets=$(git grep -E '^func Fuzz' -- '*_test.go' | sed -E 's|^(.*)/[^/]+:func (Fuzz[A-Za-z0-9_]*).*|\1 \2|')
while read -r folder; do
	go test -c -fuzz . -o "$WORK/${folder//\//-}" "./$folder"
done < <(cut -d ' ' -f 1 <<<"$targets" | sort -u)
xargs -L 1 -P "$(nproc)" bash -c 'run "$@"' run <<<"$targets"
