#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# python.sh MODULES SCRIPT ARGUMENT...: runs the script with a Python 3 that has the modules, a list with commas. Skipped (77) where there
# is none.
set -eu
modules=${1:?usage: python.sh MODULES SCRIPT ARGUMENT...}
shift
for program in /usr/bin/python3 python3; do
    "$program" -c "import $modules" 2> /dev/null || continue
    exec "$program" -B "$@"
done
echo "skipped: no Python that has $modules"
exit 77
