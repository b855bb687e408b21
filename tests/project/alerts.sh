#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# alerts.sh FOLDER: promtool understands the configuration and the rules in the folder, and their cases end as they say. Skipped (77)
# where promtool is missing.
set -eu
folder=${1:?usage: alerts.sh FOLDER}
command -v promtool > /dev/null || { echo "skipped: promtool is not installed (package prometheus)"; exit 77; }
promtool check config "$folder/prometheus.yml" # and the rules that it names
promtool test rules "$folder/tokenring.rules.test.yml"
