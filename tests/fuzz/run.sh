#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh NAME SECONDS DIRECTORY TARGET [SEEDS]: runs a fuzz target over its seeds and what it found in earlier runs,
# which is kept in DIRECTORY/corpus, then for TOKENRING_FUZZ_SECONDS, else SECONDS. An input that makes it fail stays
# in DIRECTORY; "TARGET FILE" repeats it.
set -eu

name=$1
seconds=${TOKENRING_FUZZ_SECONDS:-$2}
directory=$3
target=$4
skip() {
    echo "skipped: $1"
    exit 77
}
[ $# -ge 5 ] || skip "clang's fuzzer runtime is missing (libclang-rt-dev)"
[ -w /dev/shm ] || skip "/dev/shm cannot be written"
rm -rf "$directory/seeds"
mkdir -p "$directory/corpus" "$directory/seeds"
"$5" "$name" "$directory/seeds"

# A peer may ask for any amount of memory: above 64 MiB it is refused, as malloc may do, and not reported.
export ASAN_OPTIONS="allocator_may_return_null=1:max_allocation_size_mb=64:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
quiet=0
[ "$name" != region ] || quiet=2 # the log of regions set aside
run() {
    "$target" -artifact_prefix="$directory/" -timeout=20 -malloc_limit_mb=0 -max_len=4096 -close_fd_mask=$quiet "$@" \
        > "$directory/log" 2>&1 || {
        status=$?
        tail -n 60 "$directory/log"
        echo "fuzz/$name failed with status $status; the input is in $directory"
        exit 1
    }
    grep -E '^(Done|INFO: +[0-9]+ files|#[0-9]+.*DONE)' "$directory/log" || tail -n 3 "$directory/log"
}
run -runs=0 "$directory/seeds" "$directory/corpus"
[ "$seconds" -eq 0 ] || run -max_total_time="$seconds" "$directory/corpus" "$directory/seeds"
