#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# exported.sh FOLDER MAP...: what the public headers in FOLDER declare as the API is what the maps let out of the libraries, no
# more and no less. symbols.sh compares the libraries with the maps.
set -eu
folder=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat "$folder"/*.h | grep -oE 'TKR_API[^;(]*\(' | grep -oE 'tkr_[a-z_]+\($' | tr -d '(' | sort > "$work/declared"
sed -n 's/^ *\(tkr_[a-z_]*\);$/\1/p' "$@" | sort > "$work/exported"
[ -s "$work/declared" ] || { echo "no function is declared in $folder"; exit 1; }
diff "$work/declared" "$work/exported" || { echo "(< declared, > exported)"; exit 1; }
