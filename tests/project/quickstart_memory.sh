#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# quickstart_memory.sh ROOT: where there is no shared memory, tools/quickstart says so with the directory and the variable, before it
# installs or builds anything.
set -eu
root=$1
work=$(mktemp -d /var/tmp/tokenring-test.XXXXXX)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tools"
cp "$root/tools/quickstart" "$work/tools/quickstart"
failed=0

# refused WORDS COMMAND...: it fails, says so, and has built nothing.
refused() {
    words=$1
    shift
    if "$@" > "$work/said" 2>&1; then
        echo "it does not fail: $*"
        failed=1
    fi
    grep -qF "$words" "$work/said" && grep -q "set TOKENRING_RUNTIME_DIR to a directory on a tmpfs" "$work/said" ||
        { echo "it does not say \"$words\", but:"; cat "$work/said"; failed=1; }
    [ ! -e "$work/build" ] || { echo "it has begun to build"; failed=1; rm -rf "$work/build"; }
}

start="$work/tools/quickstart --no-install"
refused "/no/such/folder is not there" env TOKENRING_RUNTIME_DIR=/no/such/folder $start
if [ "$(stat -f -c %T "$work")" != tmpfs ]; then
    refused "$work is not on a tmpfs" env TOKENRING_RUNTIME_DIR="$work" $start
    if unshare -m mount --bind "$work" /dev/shm 2> /dev/null; then
        refused "/dev/shm is not on a tmpfs" env -u TOKENRING_RUNTIME_DIR \
            unshare -m sh -c "mount --bind '$work' /dev/shm && $start"
        refused "nothing can be made in /dev/shm" env -u TOKENRING_RUNTIME_DIR \
            unshare -m sh -c "mount -t tmpfs -o ro none /dev/shm && $start"
    else
        echo "not tried: another /dev/shm, which needs root"
    fi
fi
exit "$failed"
