#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench.sh PROGRAM BENCH_LINES: the bench runs, accounts for all that it made, and prints the JSON that it should.
set -eu
[ -x "$1" ] || { echo "skipped: $1 is not built (target benches)"; exit 77; }
output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
"$1" --quick --json > "$output" || status=$?
[ "$status" -eq 0 ] || { cat "$output"; echo "$1 ended with status $status"; exit 1; }
"$2" < "$output"
