#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# system_install.sh CMAKE BUILD COMPILER: installs the build into the system, as root of a mount namespace of its own, where /usr, /etc,
# /var and the build are written to a tmpfs above the real ones: README's program then finds its library, the units start the programs that were
# installed, and the target uninstall leaves no file and no folder behind that was not there before.
# Skipped (77) where there may be no such namespace.
set -eu
cmake=$1
build=$2
compiler=$3
here=$(cd "$(dirname "$0")" && pwd)

if [ "${4-}" != inside ]; then
    [ "$(id -u)" -eq 0 ] || { echo "skipped: only root may have the system's folders another content"; exit 77; }
    unshare --mount true 2> /dev/null || { echo "skipped: no mount namespace may be made here"; exit 77; }
    exec unshare --mount "$0" "$cmake" "$build" "$compiler" inside
fi

above=$(mktemp -d)
mount -t tmpfs tmpfs "$above" # gone with the namespace; the folder itself:
trap 'umount -l "$above"; rmdir "$above"' EXIT
trap 'exit 1' HUP INT TERM
number=0
for folder in /usr /etc /var "$build"; do # the manifest is written into the build
    number=$((number + 1))
    mkdir "$above/$number" "$above/$number.work"
    mount -t overlay overlay -o "lowerdir=$folder,upperdir=$above/$number,workdir=$above/$number.work" "$folder" ||
        { echo "skipped: no overlay may be mounted over $folder"; exit 77; }
done
fail() {
    cat "$above/output"
    echo "$1"
    exit 1
}
list() { # all that is there
    find /usr /etc -xdev | sort
}
ldconfig
unset DESTDIR LD_LIBRARY_PATH LD_PRELOAD PKG_CONFIG_PATH

for prefix in /usr/local /usr; do
    # The folders that a system has, and an installation would make.
    mkdir -p $prefix/bin $prefix/include $prefix/lib/cmake $prefix/lib/pkgconfig $prefix/lib/systemd/system $prefix/lib/sysusers.d \
        $prefix/lib/tmpfiles.d $prefix/share/doc $prefix/share/man/man1 $prefix/share/man/man3 $prefix/share/man/man7 $prefix/share/man/man8
    list > "$above/before"
    "$cmake" --install "$build" --prefix $prefix > "$above/output" 2>&1 || fail "the installation into $prefix fails"
    # Flags are words on purpose.
    "$compiler" -std=c17 "$here/consumer/consumer.c" -o "$above/consumer" \
        $(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --cflags --libs tokenring) > "$above/output" 2>&1 || fail "it is not compiled"
    "$here/in_runtime_dir.sh" "$above/consumer" > "$above/output" 2>&1 || fail "README's program does not run with the library in $prefix"
    for unit in tokenringd tokenring-backup; do
        [ ! -x "$build/bin/tokenringd" ] || grep '^ExecStart=' $prefix/lib/systemd/system/$unit.service > "$above/output" ||
            fail "$unit.service: not installed"
        [ ! -x "$build/bin/tokenringd" ] || grep -qE "[= ]$prefix/bin/tokenring" "$above/output" ||
            fail "$unit.service starts another program than was installed into $prefix"
    done
    "$cmake" --build "$build" --target uninstall > "$above/output" 2>&1 || fail "the uninstall fails"
    list > "$above/after"
    diff "$above/before" "$above/after" > "$above/output" || fail "the uninstall from $prefix leaves a difference:"
    ! "$here/in_runtime_dir.sh" "$above/consumer" > "$above/output" 2>&1 || fail "the library is still found"
    echo "$prefix: installed, used and uninstalled"
done
