#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# initializers.sh INCLUDE COMPILER: initializers.c uses every TKR_*_INIT of the public headers, compiles as C11 and C17, or
# C++11, C++17 and C++20, without one warning, and finds in each what is documented.
set -eu
include=$1
compiler=$2
here=$(cd "$(dirname "$0")" && pwd)
command -v "$compiler" > /dev/null || { echo "skipped: $compiler is not installed"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for macro in $(sed -n 's/^#define \(TKR_[A-Z_]*_INIT\).*/\1/p' "$include"/tokenring/*.h); do
    grep -q "\b$macro\b" "$here/initializers.c" || { echo "$macro is not used in initializers.c"; exit 1; }
done
case $compiler in
*++) languages="c++ -std=c++11
c++ -std=c++17
c++ -std=c++20" ;;
*) languages="c -std=c11
c -std=c17" ;;
esac
echo "$languages" | while read -r language; do
    # The language is words on purpose.
    "$compiler" -x $language -Wall -Wextra -Wpedantic -Werror -I "$include" -o "$work/initializers" "$here/initializers.c"
    "$work/initializers"
done
