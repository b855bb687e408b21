#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# settings.sh ROOT: the settings that `tokenring doctor` knows are those in README.md's table under "Environment".
set -eu
root=$1
listed=$(sed -n '/^## Environment$/,/^## [^E]/p' "$root/README.md" | grep '^| `' | cut -d'|' -f2 | grep -o '`[A-Z_]*`' | tr -d '`' | sort)
known=$(sed -n '/^static const char \*const known\[\]/,/};/p' "$root/tools/command/doctor/settings.c" | grep -o '"[A-Z_]*"' | tr -d '"' | sort)
[ -n "$listed" ] || { echo "README.md lists no settings"; exit 1; }
[ "$listed" = "$known" ] || { echo "in README.md and not known to doctor, or the other way round:"
    printf '%s\n%s\n' "$listed" "$known" | sort | uniq -u; exit 1; }
