#!/usr/bin/env bash
# Kills why502 at random moments while senders send and two backends fail at random: what was acknowledged must arrive at
# both. 1,000 rounds by default, a quarter of an hour in which more than a million records are acknowledged; CI runs 200.
#   tests/kill.sh [ROUNDS]
# Ends with `N passed, N failed`.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/setup.sh
need_rust

rounds=${1:-1000}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
WHY502_KILL_ROUNDS=$rounds cargo test --quiet --test journal kills_at_any_moment -- --nocapture 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
# A name that no test has any more would pass as well.
passed=$(grep -c "^$rounds rounds: .* none missing" "$log")
if [ "$status" = 0 ] && [ "$passed" = 2 ]; then
  printf '1 passed, 0 failed\n'
else
  printf '0 passed, 1 failed\n'
  exit 1
fi
