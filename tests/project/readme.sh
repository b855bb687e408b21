#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# readme.sh ROOT: the program that README.md shows is the one that the install test builds and runs, byte for byte;
# the files it links to exist.
set -eu
root=$1
failed=0
awk '/^```c$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$root/README.md" |
    diff - "$root/tests/project/consumer/consumer.c" || { echo "README.md shows another program than tests/project/consumer/consumer.c"; failed=1; }
for link in $(grep -o '](\([^)#]*\))' "$root/README.md" | sed 's/^](//; s/)$//' | grep -v '^https*:'); do
    [ -e "$root/$link" ] || { echo "README.md links to $link, which is not there"; failed=1; }
done
exit "$failed"
