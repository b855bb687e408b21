#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# configure.sh CMAKE SOURCE COMPILER GENERATOR: what cmake says where packages are missing (they are hidden from pkg-config): the tests are
# left out unless they are asked for, and whatever is missing is named, together with what installs it, in one message.
set -eu
cmake=$1
source=$2
compiler=$3
generator=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# The modules that pkg-config knows here.
mkdir "$work/all" "$work/some"
for folder in $(pkg-config --variable pc_path pkg-config | tr : ' '); do
    [ ! -d "$folder" ] || find "$folder" -name '*.pc' -exec ln -sf -t "$work/all" {} +
done
only() { # only MODULE...
    rm -f "$work"/some/*
    for module; do
        cp -P "$work/all/$module.pc" "$work/some"
    done
}
but() { # but MODULE...
    cp -P "$work"/all/*.pc "$work/some"
    for module; do
        rm -f "$work/some/$module.pc"
    done
}
configure() { # configure OPTION...: its exit status; what it said is in output
    rm -rf "$work/build"
    PKG_CONFIG_LIBDIR=$work/some "$cmake" -S "$source" -B "$work/build" -G "$generator" -DCMAKE_C_COMPILER="$compiler" "$@" \
        > "$work/output" 2>&1
}
fail() {
    cat "$work/output"
    echo "configure: $1"
    exit 1
}
refused() { # refused WHAT OPTION...: cmake fails, names what is missing and what installs it, and shows no call stack
    what=$1
    shift
    ! configure "$@" || fail "without $what it goes on"
    grep -q "Not found: $what" "$work/output" || fail "$what is not named"
    grep -qF ./tools/install-packages "$work/output" || fail "./tools/install-packages is not named"
    ! grep -q "Call Stack" "$work/output" || fail "there is a call stack"
}
tests() { # how many tests there are
    (cd "$work/build" && ctest -N | sed -n 's/^Total Tests: //p')
}

but cmocka
configure || fail "without cmocka it fails"
[ "$(tests)" -eq 0 ] || fail "without cmocka there are tests"
grep -q "tests are not built (./tools/install-packages" "$work/output" || fail "it does not say that the tests are left out"
refused cmocka -DBUILD_TESTING=ON
but hiredis jansson
refused "hiredis, jansson" -DBUILD_TESTING=OFF
but ck
refused ck -DTOKENRING_COLLECTOR=OFF

[ ! -e "$work/all/cmocka.pc" ] || {
    but
    configure || fail "with all that is needed it fails"
    [ "$(tests)" -gt 100 ] || fail "there are no tests"
    configure -DBUILD_TESTING=OFF || fail "without the tests it fails"
    [ "$(tests)" -eq 0 ] || fail "there are tests"
}

# The producer library alone.
only ck
configure -DTOKENRING_COLLECTOR=OFF || fail "the library wants more than ck"
"$cmake" --build "$work/build" > "$work/output" 2>&1 || fail "the library is not built"
[ -e "$work/build/libtokenring.so" ] && [ -e "$work/build/libtokenring.a" ] || fail "there is no library"

# No pkg-config.
! PKG_CONFIG=$work/none "$cmake" -S "$source" -B "$work/none" -G "$generator" -DCMAKE_C_COMPILER="$compiler" > "$work/output" 2>&1 ||
    fail "without pkg-config it goes on"
grep -q "Not found: pkg-config" "$work/output" || fail "pkg-config is not named"
grep -qF ./tools/install-packages "$work/output" || fail "./tools/install-packages is not named"
