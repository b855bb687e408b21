#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# examples.sh CMAKE BUILD SOURCE: installs the build into a prefix, compiles every example with the command at its head, and runs them
# one after the other, twice over, in one ledger: each ends well each time.
set -eu
cmake=$1
build=$2
source=$3
[ -d /dev/shm ] && [ -w /dev/shm ] || { echo "skipped: /dev/shm is missing or not writable"; exit 77; }
work=$(mktemp -d /dev/shm/tokenring-examples.XXXXXX)
collector=
leave() {
    [ -z "$collector" ] || { kill "$collector" && wait "$collector"; } || :
    rm -rf "$work"
}
trap leave EXIT
trap 'exit 1' HUP INT TERM
mkdir "$work/run" "$work/state"

"$cmake" --install "$build" --prefix "$work/prefix" > "$work/output" 2>&1 || { cat "$work/output"; exit 1; }
PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name tokenring.pc)")
LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH")
export PKG_CONFIG_PATH LD_LIBRARY_PATH
cd "$source/src/examples"
examples=$(for file in *.c; do echo "${file%.c}"; done)
cd "$work"
for name in $examples; do
    cp "$source/src/examples/$name.c" .
    command=$(sed -n '2,/\*\//s/^ \*     \(cc .*\)/\1/p' "$name.c")
    [ -n "$command" ] || { echo "$name.c: how to compile it does not stand at its head"; exit 1; }
    eval "$command" || { echo "$name.c: $command"; exit 1; }
done

export TOKENRING_RUNTIME_DIR="$work/run" TOKENRING_STATE_DIR="$work/state" TOKENRING_SINK=sqlite TOKENRING_HTTP=off
for time in first second; do
    "$work/prefix/bin/tokenringd" 2>> "$work/log" &
    collector=$!
    for name in $examples; do
        "./$name" > "$work/output" 2>&1 || { echo "$name, the $time time: exit status $?"; cat "$work/output" "$work/log"; exit 1; }
    done
    echo "the $time time: all end well"
    kill "$collector" && wait "$collector" && collector= # all is flushed
done
