#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# header.sh INCLUDE COMPILER: each public header compiles alone, as C17 or C++17, without a warning.
set -eu
include=$1
compiler=$2
command -v "$compiler" > /dev/null || { echo "skipped: $compiler is not installed"; exit 77; }
case $compiler in
*++) language="-x c++ -std=c++17" ;;
*) language="-x c -std=c17 -Wstrict-prototypes" ;;
esac
for header in "$include"/tokenring/*.h; do
    # Twice, to try its guard. The language is words on purpose.
    printf '#include "tokenring/%s"\n' "${header##*/}" "${header##*/}" |
        "$compiler" $language -Wall -Wextra -Wundef -pedantic -Werror -I "$include" -fsyntax-only -
done
