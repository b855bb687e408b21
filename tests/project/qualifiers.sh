#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# qualifiers.sh ROOT COMPILER: what strchr and its like find in a const text is const, as in C23 (there, and with glibc 2.43 in
# any C, they are generic): every source that calls one compiles with such functions and without a warning of qualifiers.
set -eu
root=$1
compiler=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/generic.h" << 'END'
#include <stdlib.h>
#include <string.h>
#undef strchr
#undef strrchr
#undef strstr
#undef strpbrk
#undef memchr
#undef bsearch
#define GENERIC(type, in, call) _Generic(0 ? (in) : (void *)1, const void * : (const type *)(call), default : (call))
#define strchr(s, c) GENERIC(char, s, strchr(s, c))
#define strrchr(s, c) GENERIC(char, s, strrchr(s, c))
#define strstr(s, t) GENERIC(char, s, strstr(s, t))
#define strpbrk(s, t) GENERIC(char, s, strpbrk(s, t))
#define memchr(s, c, n) GENERIC(void, s, memchr(s, c, n))
#define bsearch(k, b, n, z, f) GENERIC(void, b, bsearch(k, b, n, z, f))
END
try() { # try SOURCE: prints what the compiler has to say of it
    "$compiler" -std=c17 -D_GNU_SOURCE -I "$root/include" -I "$root/src" -I "$root/tools" \
        -include "$work/generic.h" -fsyntax-only -Werror=discarded-qualifiers -Werror=incompatible-pointer-types "$1"
}

# It sees what it looks for.
printf 'char *f(const char *t) { char *z = strchr(t, 1); return z; }\n' > "$work/bad.c"
! try "$work/bad.c" 2> "$work/said" || { echo "a const that is lost is not seen"; exit 1; }
printf 'const char *f(const char *t) { return strchr(t, 1); } char *g(char *t) { return strchr(t, 1); }\n' > "$work/good.c"
try "$work/good.c"

files=0
failed=0
for source in $(grep -rlE '\b(strchr|strrchr|strstr|strpbrk|memchr|bsearch)\(' --include='*.c' \
    "$root/src" "$root/tools" | sort); do
    files=$((files + 1))
    try "$source" || failed=1
done
echo "$files sources"
[ "$files" -gt 20 ] && [ "$failed" -eq 0 ]
