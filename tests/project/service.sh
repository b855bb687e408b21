#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# service.sh UNIT SYSUSERS TMPFILES: the service's files are understood by systemd's own tools, and the service is confined: its
# exposure, as systemd-analyze sums it up without a running systemd, is at most 1.5 (versions weigh it differently). Skipped
# (77) where systemd-analyze is not installed.
set -eu
unit=${1:?usage: service.sh UNIT SYSUSERS TMPFILES}
command -v systemd-analyze > /dev/null || { echo "skipped: systemd-analyze is not installed (package systemd)"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The program need not be installed for its unit to be looked at.
sed 's|^ExecStart=.*|ExecStart=/bin/true|; /^Documentation=/d' "$unit" > "$work/tokenringd.service"
told=$(systemd-analyze verify "$work/tokenringd.service" 2>&1 | grep tokenringd || true)
[ -z "$told" ] || { echo "$told"; exit 1; }
level=$(systemd-analyze security --offline=true --no-pager "$work/tokenringd.service" | sed -n 's/.*Overall exposure level[^:]*: \([0-9.]*\).*/\1/p')
echo "exposure: $level"
awk -v level="$level" 'BEGIN { exit !(level != "" && level <= 1.5) }' || { echo "it is to be at most 1.5"; exit 1; }

mkdir -p "$work/root/etc"
systemd-sysusers --root="$work/root" "$2"
grep '^tokenring:' "$work/root/etc/passwd" > /dev/null || { echo "no user was made"; exit 1; }
systemd-tmpfiles --root="$work/root" --create "$3"
mode=$(stat -c %a "$work/root/run/tokenring")
[ "$mode" = 3773 ] || { echo "the mode of the runtime directory is $mode, not 3773"; exit 1; }
