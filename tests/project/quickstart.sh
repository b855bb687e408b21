#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# quickstart.sh CMAKE SOURCE COMPILER GENERATOR: tools/quickstart in a copy of the tree whose build/ has the library alone, made with
# make where it is installed, and whose build/quickstart is what is left of another tree: it builds what it needs, and every token is
# in the ledger.
set -eu
cmake=$1
source=$2
compiler=$3
generator=$4
! command -v make > /dev/null || generator="Unix Makefiles"
command -v sqlite3 > /dev/null || { echo "skipped: sqlite3's shell is not installed"; exit 77; }
[ -d /dev/shm ] && [ -w /dev/shm ] || { echo "skipped: /dev/shm is missing or not writable"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

mkdir "$work/tree"
tar -C "$source" --exclude=./build --exclude='./build-*' --exclude=./.git -c . | tar -C "$work/tree" -x
"$cmake" -S "$work/tree" -B "$work/tree/build" -G "$generator" -DCMAKE_C_COMPILER="$compiler" -DTOKENRING_COLLECTOR=OFF \
    -DBUILD_TESTING=OFF > "$work/output" 2>&1 || { cat "$work/output"; exit 1; }
mkdir "$work/tree/build/quickstart"
sed "s|$work/tree|$work/moved|" "$work/tree/build/CMakeCache.txt" > "$work/tree/build/quickstart/CMakeCache.txt"

CC=$compiler "$work/tree/tools/quickstart" --no-install > "$work/output" 2>&1 || { cat "$work/output"; exit 1; }
tail -n 1 "$work/output"
tail -n 1 "$work/output" | grep -q "lost 0 calls, 0 tokens; doubled 0 calls, 0 tokens"
