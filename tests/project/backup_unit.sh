#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# backup_unit.sh SERVICE TIMER BIN: systemd understands the units; and what the service starts, with the programs of BIN, makes a
# backup of a ledger, again into the same file, and refuses to once the ledger was lost.
set -eu
service=$1
timer=$2
bin=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Of the units alone: what else this system has is not theirs to answer for.
if command -v systemd-analyze > /dev/null; then
    cp "$service" "$timer" "$work"
    systemd-analyze verify --recursive-errors=no "$work"/tokenring-backup.* > "$work/said" 2>&1 || { cat "$work/said"; exit 1; }
    ! grep -i "tokenring-backup" "$work/said" || exit 1
    echo "systemd understands the units"
fi

# As systemd would start it: "%%" is a percent sign.
start=$(sed -n 's/^ExecStart=//p' "$service" | sed "s,exec .*/tokenring ,exec $bin/tokenring ,; s/%%/%/g")
[ -n "$start" ] || { echo "the service starts nothing"; exit 1; }
export TOKENRING_SINK=sqlite TOKENRING_LEDGER="$work/ledger.db" STATE_DIRECTORY="$work"
"$bin/tokenring" limit set alice 5000 > "$work/said" # makes the ledger
for time in first second; do
    eval "$start" > "$work/said" || { echo "the $time time: $start"; exit 1; }
    grep -q "1 standing limits" "$work/said"
done
backup=$(find "$work" -name '[1-7].jsonl')
[ "$(stat -c %a "$backup")" = 600 ] || { echo "$backup is not its owner's alone"; exit 1; }
rm -f "$work"/ledger.db*
"$bin/tokenring" limit set bob 5000 > "$work/said"
! eval "$start" > "$work/said" 2>&1 || { echo "a backup of what was lost was replaced"; exit 1; }
grep -q "was lost. Restore it first" "$work/said"
"$bin/tokenring" restore "$backup"
eval "$start" | grep -q "2 standing limits"
