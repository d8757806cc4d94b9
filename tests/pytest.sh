# Sourced by the commands that run pytest alone, from the root of the repository and behind deploy/setup.sh.

# run_pytest ARGUMENTS...: runs it, ends with `N passed, N failed`, and fails where something failed.
run_pytest() {
  local log status passed failed
  log=$(mktemp)
  "$work/venv/bin/pytest" -q --no-header -p no:cacheprovider "$@" 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  passed=$(grep -oE '[0-9]+ passed' "$log" | tail -n1 | cut -d' ' -f1)
  failed=$(tail -n1 "$log" | grep -oE '[0-9]+ (failed|error)' | awk '{s += $1} END {print s + 0}')
  rm -f "$log"
  # pytest that did not come to its end is a failure too, also where it counted none.
  [ "$status" = 0 ] || [ "$failed" != 0 ] || failed=1
  printf '%d passed, %d failed\n' "${passed:-0}" "$failed"
  [ "$failed" = 0 ]
}
