#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# manual_pages.sh FOLDER: scdoc makes each page without a word, and mandoc and groff, where they are installed, have nothing to say of
# it but what scdoc writes on every page. Skipped (77) where scdoc is missing.
set -eu
folder=${1:?usage: manual_pages.sh FOLDER}
command -v scdoc > /dev/null || { echo "skipped: scdoc is not installed"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
scdocs='skipping paragraph macro|lower case character in document title|input text line longer than 80 bytes'
scdocs=$scdocs'|cannot parse date, using it verbatim: TH [0-9]*\\-[0-9]*\\-[0-9]*$' # from version 1.11.5
failed=0
pages=0
told() { # told FILE WHO: what a tool had to say, which was to be nothing
    [ -s "$1" ] || return 0
    echo "$2:"
    cat "$1"
    failed=1
}
for source in "$folder"/*.scd; do
    page=$(basename "$source" .scd)
    pages=$((pages + 1))
    scdoc < "$source" > "$work/$page" 2> "$work/told" || failed=1
    told "$work/told" "scdoc, $page"
    if command -v mandoc > /dev/null; then
        mandoc -Tlint "$work/$page" 2>&1 | grep -Ev "$scdocs" > "$work/told" || :
        told "$work/told" "mandoc, $page"
    fi
    if man --version 2> /dev/null | grep -q '^man 2'; then # man-db's, which asks groff
        man --warnings -E UTF-8 -l -Tutf8 -Z "$work/$page" 2> "$work/told" > /dev/null || failed=1
        told "$work/told" "groff, $page"
    fi
done
echo "$pages pages"
[ "$pages" -gt 0 ] || failed=1
exit "$failed"
