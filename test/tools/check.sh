#!/bin/bash
# check.sh [SUITE…]: every test, from fast to slow; or the suites named.
#
# Installs the packages that are missing, builds with warnings as errors, and runs the suites one
# after the other. The last lines are a table and "N passed, N failed". FUZZ_SECONDS (default 6) is
# how long each fuzz target runs.
set -u
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$ROOT" || exit 1
export MAKE=${MAKE:-make}
# The make that called us must not talk into those we call.
unset MAKEFLAGS MFLAGS MAKELEVEL
started=$SECONDS

test/tools/packages.sh || exit 1
mkdir -p build/test-logs
rm -f build/test-logs/*.sum

# What there is to run; a folder without tests is no suite.
has()
{
  compgen -G "$1" >/dev/null
}
suites=(build lint)
! has 'test/unit/*_test.c' || suites+=(unit)
! has 'test/pgtap/*.sql' || suites+=(pgtap)
! has 'test/sql/*.sql' || suites+=(regress)
! has 'test/isolation/*.spec' || suites+=(isolation)
! has 'test/flows/*' || suites+=(flows)
! has 'test/chaos/*' || suites+=(chaos)
! has 'test/fuzz/*_fuzz.c' || suites+=(fuzz)
if [ $# -gt 0 ]; then
  suites=(build "$@")
fi

# A step that is no suite: one command, one result.
step()
{
  local name=$1 log=build/test-logs/$1.log
  shift
  if "$@" >"$log" 2>&1; then
    echo "ok      $name"
    echo "$name 1 0 0" >"build/test-logs/$name.sum"
  else
    cat "$log"
    echo "not ok  $name"
    echo "$name 0 1 0" >"build/test-logs/$name.sum"
    return 1
  fi
}

declare -A seconds
broken=
for suite in "${suites[@]}"; do
  began=$SECONDS
  echo "== $suite"
  case $suite in
    build) step build "$MAKE" -s all WERROR=1 || broken=yes ;;
    lint) step lint test/tools/lint.sh ;;
    *) test/tools/run_suite.sh "$suite" ;;
  esac
  seconds[$suite]=$((SECONDS - began))
  # Nothing that follows means anything without a build.
  [ -z "$broken" ] || break
done

passed=0
failed=0
skipped=0
echo
printf '%-12s %8s %8s %8s %8s\n' suite passed failed skipped seconds
for suite in "${suites[@]}"; do
  p=0 f=1 s=0
  if [ -e "build/test-logs/$suite.sum" ]; then
    read -r _ p f s <"build/test-logs/$suite.sum"
  fi
  printf '%-12s %8d %8d %8d %8s\n' "$suite" "$p" "$f" "$s" "${seconds[$suite]:--}"
  passed=$((passed + p))
  failed=$((failed + f))
  skipped=$((skipped + s))
done
echo "all in $((SECONDS - started)) s; logs in build/test-logs"
if [ $skipped -gt 0 ]; then
  echo "$passed passed, $failed failed, $skipped skipped"
else
  echo "$passed passed, $failed failed"
fi
[ $failed -eq 0 ]
