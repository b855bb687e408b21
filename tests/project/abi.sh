#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# abi.sh HEADER SHARED COMPILER PROMISED LEAST [--renew]: what a host was compiled against: functions and their versions, the places
# and sizes of every field, every constant. Read off the header and the library themselves, so that nothing new is left out, and
# held against the file PROMISED. What may change there: a function or a constant is added, a field is appended to a structure
# that states its size. Then --renew writes the file anew.
set -eu
header=$1
shared=$2
compiler=$3
promised=$4
least=$5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The header without comments.
awk '{ line = $0
       if (within && !sub(/^.*\*\//, "", line)) next
       gsub(/\/\*([^*]|\*[^\/])*\*\//, "", line)
       within = sub(/\/\*.*/, "", line)
       print line }' "$header" > "$work/plain.h"
{
    echo '#include <stdio.h>'
    echo "#include \"tokenring/${header##*/}\""
    echo 'int main(void) {'
    awk '
        function show(name) { printf "(void)printf(\"constant %s %%lld\\n\", (long long)(%s));\n", name, name }
        /^#define TKR_[A-Z_]+ / && !/^#define TKR_(API|MUST_CHECK|VERSION_[A-Z]*|[A-Z_]*_INIT) / { show($2) }
        /^ *enum \{/ { within = 1 }
        within { line = $0; sub(/^ *enum \{/, "", line); n = split(line, part, ",")
                 for (i = 1; i <= n; i++) if (match(part[i], /TKR_[A-Z_]+/)) show(substr(part[i], RSTART, RLENGTH)) }
        within && /\}/ { within = 0 }
        /^typedef struct [a-z_]+ \{/ { type = $3
            printf "(void)printf(\"structure %s: %%zu bytes\\n\", sizeof(%s));\n", type, type; next }
        type != "" && /^\}/ { type = "" }
        type != "" { field = $0; sub(/(\[.*)?;.*/, "", field); sub(/.*[ *]/, "", field)
            if (match($0, /\(\*[a-z_]+\)/)) field = substr($0, RSTART + 2, RLENGTH - 3) # a pointer to a function
            printf "(void)printf(\"structure %s: %s at %%zu, %%zu bytes\\n\", offsetof(%s, %s), sizeof(((%s *)0)->%s));\n", \
                type, field, type, field, type, field }
    ' "$work/plain.h"
    echo 'return 0; }'
} > "$work/layout.c"
"$compiler" -std=c17 -I "${header%/tokenring/*}" -o "$work/layout" "$work/layout.c"
{
    "$work/layout"
    grep -v '^#' "$work/plain.h" | tr '\n' ' ' | tr ';' '\n' | sed -n 's/.*TKR_API  *\(TKR_MUST_CHECK  *\)\{0,1\}/function /p' | tr -s ' '
    nm -D --defined-only "$shared" | awk '$2 != "A" { print "exported " $3 }'
} | LC_ALL=C sort > "$work/found"
[ "${6:-}" != --renew ] || cp "$work/found" "$promised"

# A reading that found little would agree with little: LEAST of each are there.
for kind in constant structure function exported; do
    [ "$(grep -c "^$kind " "$work/found")" -ge "$least" ] || { echo "reads too few ${kind}s off $header"; exit 1; }
done
diff "$promised" "$work/found" || {
    echo "the ABI is not what ${promised##*/} promises (< promised, > found); see the head of this script for what may change"
    exit 1
}
