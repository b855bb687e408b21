#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# subproject.sh CMAKE SOURCE COMPILER GENERATOR: a project that brings tokenring in with FetchContent (or add_subdirectory, which that
# calls) links with its libraries, keeps its variables, its build/bin, build/tests, tests and installation to itself.
set -eu
cmake=$1
source=$2
compiler=$3
generator=$4
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

quiet() { # says what a command printed only when it fails
    "$@" > "$work/output" 2>&1 || { status=$?; echo "failed: $*"; cat "$work/output"; exit "$status"; }
}
quiet "$cmake" -S "$here/parent" -B "$work/build" -G "$generator" -DCMAKE_C_COMPILER="$compiler" -DTOKENRING_SOURCE="$source"
! grep -i warning "$work/output" || exit 1
quiet "$cmake" --build "$work/build" --parallel "$(nproc)"
! grep -i warning "$work/output" || { cat "$work/output"; exit 1; }
for folder in bin tests bench; do
    [ ! -e "$work/build/$folder" ] || { echo "build/$folder is tokenring's:"; ls "$work/build/$folder"; exit 1; }
done
(cd "$work/build" && ctest -N) > "$work/output"
grep -q 'Total Tests: 1$' "$work/output" || { cat "$work/output"; echo "the gateway has one test"; exit 1; }
for library in tokenring tokenring_static; do
    "$here/in_runtime_dir.sh" "$work/build/gateway_$library"
done
for library in repository repository_static; do
    TOKENRING_SINK=sqlite TOKENRING_LEDGER=$work/$library.db "$here/in_runtime_dir.sh" "$work/build/gateway_$library"
done
quiet "$cmake" --install "$work/build" --prefix "$work/prefix"
installed=$(cd "$work/prefix" && find . -type f)
[ "$installed" = ./bin/gateway_tokenring ] || { echo "installed:"; echo "$installed"; exit 1; }
