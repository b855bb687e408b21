#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# symbols.sh MAP SHARED STATIC COMPILER [LIBRARY...]: what a library shows to its host and what it takes from it. The producer
# library needs libc only; another one names what it needs besides: a library of ours as the file of its static form, others as hiredis.
set -eu
map=$1
shared=$2
static=$3
compiler=$4
shift 4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
complain() {
    echo "$1"
    failed=1
}
same() { # same WHAT EXPECTED FOUND
    diff "$2" "$3" > "$work/difference" || { complain "$1 (< expected, > found):"; cat "$work/difference"; }
}

# Exported: exactly the map's names, and no data, whose size a host would compile in.
sed -n 's/^ *\(tkr_[a-z_]*\);$/\1/p' "$map" | sort > "$work/map"
nm -D --defined-only "$shared" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort > "$work/exported"
same "exported by $shared" "$work/map" "$work/exported"
nm -D --defined-only "$shared" | awk '$2 != "A" && $2 != "T" { print "exported, and not a function: " $3; bad = 1 } END { exit bad }' || failed=1

# Needed: libc (its loader and its older libpthread are parts of it) and what was named; named LIBRARY.so.N; the producer's is never
# unloaded.
allowed='\[(libc\.so|libpthread\.so|libc\.musl|ld-'
linked=
for library in "$@"; do
    name=${library##*/}
    name=${name%.a}
    allowed="$allowed|lib${name#lib}\.so"
    case $library in
    *.a) linked="$linked $library" ;;
    *) linked="$linked -l$library" ;;
    esac
done
readelf -dW "$shared" > "$work/dynamic"
awk -v allowed="$allowed)" '/NEEDED/ && $0 !~ allowed { print "needs more than it may: " $NF; bad = 1 } END { exit bad }' \
    "$work/dynamic" || failed=1
soname=${shared##*/}
soname=${soname%%.so*}
grep -q "SONAME.*\[$soname\.so\.[0-9]*\]" "$work/dynamic" || complain "soname is not $soname.so.N"
for flag in $([ $# -gt 0 ] || echo NODELETE) NOW; do
    grep -q "FLAGS_1.*$flag" "$work/dynamic" || complain "$shared: not linked with $flag"
done
! grep -q TEXTREL "$work/dynamic" || complain "$shared: has text relocations"
readelf -lW "$shared" | grep -q 'GNU_STACK.* RW ' || complain "$shared: executable stack"

# Static: all that it defines is tkr_*, and what it leaves undefined is libc's or of what was named: that links it whole.
nm -g --defined-only "$static" | awk 'NF == 3 && $3 !~ /^tkr_/ { print "static library defines " $3; bad = 1 } END { exit bad }' || failed=1
echo 'int main(void) { return 0; }' > "$work/main.c"
"$compiler" -nodefaultlibs -o "$work/whole" "$work/main.c" -Wl,--whole-archive "$static" -Wl,--no-whole-archive \
    $linked -lpthread -lc -lgcc > "$work/link" 2>&1 || { complain "static library needs more than it may:"; cat "$work/link"; }

# The guest never ends its host, prints in it, or touches its signals.
forbidden='^(abort|exit|_exit|quick_exit|__assert_fail|printf|__printf_chk|fprintf|__fprintf_chk|puts|perror|signal|sigaction|raise|kill)$'
nm -D --undefined-only "$shared" | awk -v forbidden="$forbidden" '{ sub(/@.*/, "", $2) } $2 ~ forbidden { print "the library calls " $2; bad = 1 } END { exit bad }' || failed=1
exit "$failed"
