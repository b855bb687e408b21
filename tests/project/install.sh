#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# install.sh CMAKE BUILD COMPILER GENERATOR: installs into a prefix, moves it, and builds and runs strangers against it: with
# pkg-config, with find_package, shared and static. Each must record a call; the region it leaves must be there.
set -eu
cmake=$1
build=$2
compiler=$3
generator=$4
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

quiet() { # says what a command printed only when it fails
    "$@" > "$work/output" 2>&1 || { status=$?; echo "failed: $*"; cat "$work/output"; exit "$status"; }
}
run() {
    "$here/in_runtime_dir.sh" sh -eu -c '
        "$1"
        [ -n "$(find "$TOKENRING_RUNTIME_DIR" -type f -size +0)" ] || { echo "$1 left no region"; exit 1; }' sh "$1"
    echo "recorded: ${1##*/}"
}

quiet "$cmake" --install "$build" --prefix "$work/first"
if [ -x "$build/bin/tokenringd" ]; then
    for unit in tokenringd tokenring-backup; do # but the units, which start what was installed
        grep -qE "^ExecStart=.*$work/first/bin/tokenring" "$work/first/lib/systemd/system/$unit.service" ||
            { echo "$unit.service does not start what was installed:"; grep ExecStart= "$work/first/lib/systemd/system/$unit.service"; exit 1; }
    done
fi
mv "$work/first" "$work/prefix" # nothing else may remember where it was installed
for program in tokenringd tokenring; do
    [ ! -x "$build/bin/$program" ] || [ -x "$work/prefix/bin/$program" ] || { echo "bin/$program: not installed"; exit 1; }
done
for page in "$build"/man/*.[1-9]; do # none where scdoc is missing
    [ ! -e "$page" ] || [ -e "$work/prefix/share/man/man${page##*.}/${page##*/}" ] || { echo "${page##*/}: not installed"; exit 1; }
done

pc=$(find "$work/prefix" -name tokenring.pc)
PKG_CONFIG_PATH=${pc%/*}
export PKG_CONFIG_PATH
libdir=$(pkg-config --variable=libdir tokenring)
# Flags are words on purpose.
quiet "$compiler" -std=c17 -Wall -Wextra -Werror $(pkg-config --cflags tokenring) -o "$work/with_pkg_config" \
    "$here/consumer/consumer.c" $(pkg-config --libs tokenring)
LD_LIBRARY_PATH=$libdir run "$work/with_pkg_config"

quiet "$cmake" -S "$here/consumer" -B "$work/consumer" -G "$generator" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_C_COMPILER="$compiler"
quiet "$cmake" --build "$work/consumer"
run "$work/consumer/consumer"
run "$work/consumer/consumer_static"

# What watches the collector, where it was built.
[ -x "$build/bin/tokenringd" ] || exit 0
for file in tokenring/prometheus/tokenring.rules.yml tokenring/grafana/tokenring.json doc/tokenring/examples/prometheus/prometheus.yml \
    doc/tokenring/examples/grafana/provisioning/dashboards/tokenring.yml; do
    [ -e "$work/prefix/share/$file" ] || { echo "share/$file: not installed"; exit 1; }
done

# The repository: its consumer asks a ledger and increments through the ring.
quiet "$compiler" -std=c17 -Wall -Wextra -Werror $(pkg-config --cflags tokenring_repository) -o "$work/repository_with_pkg_config" \
    "$here/consumer/repository.c" $(pkg-config --libs tokenring_repository)
LD_LIBRARY_PATH=$libdir TOKENRING_SINK=sqlite TOKENRING_LEDGER=$work/first.db run "$work/repository_with_pkg_config"
TOKENRING_SINK=sqlite TOKENRING_LEDGER=$work/second.db run "$work/consumer/repository"
TOKENRING_SINK=sqlite TOKENRING_LEDGER=$work/third.db run "$work/consumer/repository_static"
