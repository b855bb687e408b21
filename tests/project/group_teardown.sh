#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# group_teardown.sh TESTS: no program of tests gives cmocka a teardown of its group. One that fails is not counted, by cmocka
# 1.1 nor by 2.0; a test's own teardown is. What is stopped at the end is stopped after cmocka_run_group_tests.
set -eu
found=$(find "$1" -name '*.[ch]' -exec cat {} + | tr -s ' \n' ' ' | grep -o 'cmocka_run_group_tests[a-z_]*([^;]*;' | grep -v ', NULL);$' || true)
[ -z "$found" ] || { echo "$found"; exit 1; }
[ "$(grep -rl 'cmocka_run_group_tests(' "$1" | wc -l)" -gt 100 ] || { echo "the tests are not found in $1"; exit 1; }
