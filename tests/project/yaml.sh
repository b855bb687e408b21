#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# yaml.sh FOLDER: yamllint has nothing to say of what is deployed. Skipped (77) where it is missing.
set -eu
command -v yamllint > /dev/null || { echo "skipped: yamllint is not installed"; exit 77; }
yamllint -s -d '{extends: default, rules: {line-length: {max: 132}, document-start: disable, comments: {min-spaces-from-content: 1}}}' \
    "${1:?usage: yaml.sh FOLDER}"
