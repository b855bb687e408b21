#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# readme.sh ROOT: what README.md shows of C is the program that the install test builds and runs, whole, and parts of each of the
# examples that are run as tests, byte for byte; the files it links to exist.
set -eu
root=$1
failed=0
awk '
    FNR == 1 { file++; name[file] = FILENAME }
    file > 1 { text[file] = text[file] $0 "\n"; next }
    /^```$/ && inside { inside = 0 }
    inside { block[blocks] = block[blocks] $0 "\n" }
    /^```c$/ { inside = 1; blocks++ }
    END {
        for (i = 1; i <= blocks; i++) {
            found = 0
            for (f = 2; f <= file; f++)
                if (f == 2 ? text[f] == block[i] : index(text[f], block[i]) > 0) { found = 1; shown[f] = 1 }
            if (!found) { print "README.md shows what is in no program:\n" block[i]; bad = 1 }
        }
        for (f = 2; f <= file; f++)
            if (!(f in shown)) { print "README.md does not show " name[f]; bad = 1 }
        exit bad
    }' "$root/README.md" "$root/tests/project/consumer/consumer.c" "$root"/src/examples/*.c || failed=1
for link in $(grep -o '](\([^)#]*\))' "$root/README.md" | sed 's/^](//; s/)$//' | grep -v '^https*:'); do
    [ -e "$root/$link" ] || { echo "README.md links to $link, which is not there"; failed=1; }
done
exit "$failed"
