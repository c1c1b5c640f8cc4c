#!/bin/sh
# The demo: a real Debian server with the three classic faults, scanned, repaired, and scanned again.
set -eu
cd "$(dirname "$0")/.."
guestrepair=.venv/bin/guestrepair
work=.cache/demo
say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
run() { printf '\n$ guestrepair %s\n' "$*"; "$guestrepair" "$@"; }

say "Building a Debian server and breaking a copy of it (a few minutes the first time)"
.venv/bin/python -m fixtures build debian-server demo
mkdir -p "$work"
donor=$work/healthy.qcow2 disk=$work/broken.qcow2
cp --sparse=always "$(.venv/bin/python -m fixtures path debian-server)" "$donor"
cp --sparse=always "$(.venv/bin/python -m fixtures path demo)" "$disk"

say "1. What is on the disk?"
run inspect "$disk"
say "2. Why does it not boot, and why does ssh close the connection?"
run scan "$disk" || test $? = 1
say "3. What would be changed?"
run repair --dry-run --donor "$donor" "$disk" || test $? = 1
say "4. Repair it: staged on an overlay, analyzed again, then written"
run repair --yes --donor "$donor" --state-dir "$work/state" "$disk"
say "5. Is it healthy now?"
run scan "$disk"
say "6. What was done, and the way back"
run history --state-dir "$work/state" "$disk"
printf '\nTry: %s boot --ssh %s\n     %s undo --state-dir %s %s\n' \
    "$guestrepair" "$disk" "$guestrepair" "$work/state" "$disk"
