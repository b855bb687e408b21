#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# example.sh BIN PROGRAM EXPECTED...: runs an example as a user would, with a collector of BIN beside it, a runtime directory on a tmpfs
# and a ledger of its own, all gone afterwards. It must exit 0, print nothing but a line for each EXPECTED (a basic regular expression,
# in that order), and what it recorded must be counted.
set -eu
bin=$1
program=$2
shift 2
[ -d /dev/shm ] && [ -w /dev/shm ] || { echo "skipped: /dev/shm is missing or not writable"; exit 77; }
work=$(mktemp -d /dev/shm/tokenring-example.XXXXXX)
collector=
leave() {
    [ -z "$collector" ] || { kill "$collector" && wait "$collector"; } || :
    rm -rf "$work"
}
trap leave EXIT
trap 'exit 1' HUP INT TERM
mkdir "$work/run" "$work/state"
export TOKENRING_RUNTIME_DIR="$work/run" TOKENRING_STATE_DIR="$work/state" TOKENRING_SINK=sqlite TOKENRING_FLUSH_INTERVAL_MS=50
"$bin/tokenringd" 2> "$work/log" &
collector=$!
tries=0
until "$bin/tokenring" health > "$work/health" 2>&1; do # an example may end before a collector on a busy machine is there
    tries=$((tries + 1))
    [ "$tries" -lt 600 ] || { echo "after a minute the collector is not healthy:"; cat "$work/health" "$work/log"; exit 1; }
    sleep 0.1
done

"$program" > "$work/out" 2>&1 || { echo "exit status $?"; cat "$work/out" "$work/log"; exit 1; }
cat "$work/out"
[ "$(wc -l < "$work/out")" -eq $# ] || { echo "it printed other than $# lines"; exit 1; }
number=0
for expected; do
    number=$((number + 1))
    sed -n "${number}p" "$work/out" | grep -qx -e "$expected" || { echo "line $number is not: $expected"; exit 1; }
done
kill "$collector" && wait "$collector" && collector= # it flushes first
"$bin/tokenring" stat | grep -q "in lanes 0 + dropped 0: holds" || { "$bin/tokenring" stat; exit 1; }
