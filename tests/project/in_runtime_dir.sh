#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# in_runtime_dir.sh PROGRAM ARGUMENT...: runs it with a runtime directory of its own on a tmpfs, removed afterwards.
set -eu
[ -d /dev/shm ] && [ -w /dev/shm ] || { echo "skipped: /dev/shm is missing or not writable"; exit 77; }
TOKENRING_RUNTIME_DIR=$(mktemp -d /dev/shm/tokenring-project.XXXXXX)
export TOKENRING_RUNTIME_DIR
trap 'rm -rf "$TOKENRING_RUNTIME_DIR"' EXIT
trap 'exit 1' HUP INT TERM
"$@"
