#!/bin/bash
# tap.sh: TAP for shell scripts.
#
#   ok 'what should be so' COMMAND…      passes when the command succeeds
#   is 'what' "$got" "$wanted"
#   matches 'what' "$got" 'regular expression'
#   skip 'what' 'why'
#   done_testing                         prints the plan; the script's status tells whether all passed
tap_count=0
tap_failed=0

tap_result()
{
  tap_count=$((tap_count + 1))
  if [ "$1" -eq 0 ]; then
    echo "ok $tap_count - $2"
  else
    tap_failed=$((tap_failed + 1))
    echo "not ok $tap_count - $2"
  fi
}

ok()
{
  local what=$1 status=0
  shift
  "$@" >/dev/null 2>&1 || status=1
  tap_result $status "$what"
  if [ $status -ne 0 ]; then
    echo "#   failed: $*"
  fi
  return 0
}

is()
{
  if [ "$2" = "$3" ]; then
    tap_result 0 "$1"
  else
    tap_result 1 "$1"
    printf '%s\n' "got:    $2" "wanted: $3" | sed 's/^/#   /'
  fi
}

matches()
{
  if grep -qE -e "$3" <<<"$2"; then
    tap_result 0 "$1"
  else
    tap_result 1 "$1"
    printf '%s\n' "got:    $2" "wanted: $3" | sed 's/^/#   /'
  fi
}

skip()
{
  tap_count=$((tap_count + 1))
  echo "ok $tap_count - $1 # SKIP $2"
}

done_testing()
{
  echo "1..$tap_count"
  [ $tap_failed -eq 0 ]
}
