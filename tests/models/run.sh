#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh [DIRECTORY]: checks every model with Spin, as it is, which has to hold, and with each of its flaws, which has
# to be found. One line a run: result, model, flaw, states, seconds. Works in DIRECTORY, else in a temporary one.
# "spin -t -p -g -DFLAW MODEL.pml" beside the trail that is left there shows how a claim fails.
set -eu

models=$(cd "$(dirname "$0")" && pwd)
for tool in spin gcc; do
    command -v $tool > /dev/null || { echo "skipped: $tool is missing"; exit 77; }
done
if [ $# -gt 0 ]; then
    work=$1
    mkdir -p "$work"
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi
cd "$work"
failed=0

# check holds|fails MODEL [FLAG...]
check() {
    expected=$1
    model=$2
    shift 2
    # A flaw shows within seconds, which is less than it takes to optimise.
    if [ "$expected" = fails ]; then optimise=-O0; else optimise=-O1; fi
    cp "$models/$model.pml" .
    if ! spin "$@" -a "$model.pml" > spin.log 2>&1 ||
        ! gcc $optimise -w -DSAFETY -DMEMLIM=1500 -o pan pan.c >> spin.log 2>&1; then
        cat spin.log
        failed=1
        return
    fi
    ./pan -m100000 > pan.log 2>&1 || :
    states=$(awk '/states, stored/ {print $1}' pan.log)
    seconds=$(awk '/elapsed time/ {print $4}' pan.log)
    # Anything but the whole space without an error, or a claim that is violated, is no result.
    found=nothing
    if grep -q 'errors: 0$' pan.log &&
        ! grep -Eq 'max search depth too small|Search not completed|out of memory' pan.log; then
        found=holds
    elif grep -q 'assertion violated (' pan.log; then
        found=fails
    fi
    if [ "$found" = "$expected" ]; then
        result=ok
    else
        result=FAILED
        failed=1
        head -n 20 pan.log
    fi
    printf '%-6s %-12s %-40s %-7s %9s states %6s s\n' "$result" "$model" "$*" "$found" "${states:-?}" "${seconds:-?}"
}

flaws() { # flaws MODEL FLAW...
    of=$1
    shift
    for flaw in "$@"; do
        check fails "$of" "-D$flaw"
    done
}

check holds lane
flaws lane HEAD_STORE_RELAXED HEAD_LOAD_RELAXED FREE_STORE_RELAXED FREE_LOAD_RELAXED ROOM_OFF_BY_ONE PADDING_LEFT_OUT

check holds commit
flaws commit UNDO_OFF CURSOR_NOT_LOGGED USED_BEFORE_RECORD LOG_RESET_SWAPPED STAMP_AFTER_CONTENTS STAMP_REUSED \
    READER_IGNORES_COMMITTED READER_LOADS_COMMITTED_LAST LOG_NOT_LOOKED_AT_AGAIN FREE_BEFORE_COMMIT

check holds contribution
check holds contribution -DHOST_LOST
check holds contribution -DEVICTING
flaws contribution RECORD_IGNORED BLIND_RESEND SEEN_NOT_LOOKED_AT SEEN_ALWAYS_ADVANCED ACKNOWLEDGED_OUT_OF_ORDER \
    NUMBERS_GIVEN_AGAIN
check fails contribution -DHOST_LOST -DLIFE_IGNORED
check fails contribution -DEVICTING -DHEALED_UNSEEN
check holds contribution -DFORGETTING
for flaw in LATE_APPLIED LIFE_KEPT REMOVED_BLINDLY FORGOTTEN_UNACKNOWLEDGED; do
    check fails contribution -DFORGETTING -D$flaw
done
check holds contribution -DERASING
check holds contribution -DERASING -DUNANSWERED
for flaw in ERASED_HEALED ERASED_ACKNOWLEDGED; do
    check fails contribution -DERASING -D$flaw
done

check holds hold
check holds hold -DDYING
flaws hold LOOKED_FIRST SLOT_AFTER_ADDITION ADDITION_NO_FENCE EPOCH_NOT_LOOKED_AT_AGAIN PARITY_LOOKED_AT TAKEN_BACK \
    BUSY_TAKEN_FOR_NONE EPOCH_KEPT OTHER_CELL_FORGOTTEN NONE_BEFORE_SUBTRACTION GIVEN_AT_THE_END RELEASED_BEFORE_COUNTED \
    COUNTED_LOOKED_AT_FIRST SLOT_CLEARED_FIRST LANES_NOT_WAITED_FOR HEADS_BEFORE_SLOTS
check fails hold -DDYING -DDEAD_JOINING_TAKEN_OFF

check holds window
flaws window NAMES_IGNORED NAMED_BEFORE_TURN TURN_NOT_LOOKED_AT_AGAIN ADDITION_NO_FENCE TAKEN_BACK GIVEN_BY_ADDRESS \
    NONE_BEFORE_SUBTRACTION
exit $failed
