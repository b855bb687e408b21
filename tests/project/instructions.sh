#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# instructions.sh PROGRAM VERSION: instructions per call, counted by callgrind, against what they may be: a guard against what makes
# the paths of every call slower, on any machine. The bounds are what was counted with gcc 12 on x86-64, and a tenth; VERSION is the
# gcc that compiled the program.
set -eu
program=$1
version=$2
calls=20000
command -v valgrind > /dev/null || { echo "skipped: valgrind is not installed"; exit 77; }
[ "${version%%.*}" -eq 12 ] || { echo "skipped: the bounds are of gcc 12, and this is $version"; exit 77; }
[ "$(uname -m)" = x86_64 ] || { echo "skipped: the bounds are of x86-64"; exit 77; }
runtime=$(mktemp -d /dev/shm/tokenring-test-XXXXXX)
trap 'rm -rf "$runtime"' EXIT
failed=0

count() { # count WHAT CALLS MOST FUNCTION...
    what=$1
    of=$2
    most=$3
    shift 3
    toggles=
    for function in "$@"; do
        toggles="$toggles --toggle-collect=$function"
    done
    rm -rf "$runtime"/* "$runtime"/.??*
    valgrind --tool=callgrind --callgrind-out-file=/dev/null $toggles "$program" "$runtime" > "$runtime.log" 2>&1 ||
        { cat "$runtime.log"; rm -f "$runtime.log"; exit 1; }
    each=$(($(sed -n 's/.*Collected : \([0-9]*\)$/\1/p' "$runtime.log") / of))
    rm -f "$runtime.log"
    echo "$what: $each instructions, at most $most"
    [ "$each" -gt 0 ] && [ "$each" -le "$most" ] || failed=1
}

count "record" $calls 182 tkr_record
count "begin and end" $calls 650 tkr_call_begin tkr_call_end
count "drain, per call" $((2 * calls)) 1270 tkr_drain_batch
exit $failed
