#!/bin/bash
# run_suite.sh SUITE: runs one suite of tests and sums up what it says in TAP.
#
# A suite is a folder of test/ (or one made of build products: unit, fuzz). How its tests are run
# is one function below. Each test's output goes to build/test-logs/SUITE/NAME.log and is printed
# when the test fails. The last line, for check.sh, is: SUITE passed failed skipped
#
# A test fails as a whole when it prints no plan, another number of results than planned, or ends
# with a status other than 0: a test that dies half-way must not pass.
set -u
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$ROOT" || exit 1
: "${MAKE:=make}" "${FUZZ_SECONDS:=6}" "${TEST_TIMEOUT:=600}" "${JOBS:=1}"
export MAKE
suite=${1:?which suite?}
logs=$ROOT/build/test-logs/$suite
passed=0
failed=0
skipped=0

rm -rf "$logs"
mkdir -p "$logs"

# Reads TAP; prints "passed failed skipped" and, on stderr, the reasons of skips.
sum_tap()
{
  awk '
    /^1\.\.[0-9]+/ { planned = substr($1, 4) + 0; has_plan = 1
                     if (planned == 0) { skip++; print "    SKIPPED: " $0 > "/dev/stderr" } }
    /^(not )?ok( |$)/ {
      seen++
      if (/# *[Ss][Kk][Ii][Pp]/) { skip++; print "    SKIPPED: " $0 > "/dev/stderr" }
      else if (/^ok/) pass++
      else if (/# *[Tt][Oo][Dd][Oo]/) skip++
      else fail++
    }
    /^Bail out!/ { fail++ }
    END { if (!has_plan || seen != planned) fail++
          print pass + 0, fail + 0, skip + 0 }'
}

# judge NAME COMMAND…: runs one test that prints TAP, writes "passed failed skipped" beside its log, and
# says with one write what came of it.
judge()
{
  local name=$1 log status p f s began=$SECONDS
  shift
  log=$logs/$name.log
  timeout --kill-after=10 "$TEST_TIMEOUT" "$@" >"$log" 2>&1 </dev/null
  status=$?
  read -r p f s < <(sum_tap <"$log")
  if [ $status -ne 0 ] && [ "$f" -eq 0 ]; then
    f=1
    echo "ended with status $status (124: it took longer than $TEST_TIMEOUT s)" >>"$log"
  fi
  echo "$p $f $s" >"$logs/$name.sum"
  if [ "$f" -gt 0 ]; then
    printf 'not ok  %-44s %4d passed %3d failed %4d s\n%s\n' "$suite/$name" "$p" "$f" $((SECONDS - began)) \
      "$(tail -n 200 "$log" | sed 's/^/    /')"
  else
    printf 'ok      %-44s %4d passed %4d s\n' "$suite/$name" "$p" $((SECONDS - began))
  fi
}

# run NAME COMMAND…: judges it, among JOBS others at most.
run()
{
  if [ "$JOBS" -le 1 ]; then
    judge "$@"
    return
  fi
  while [ "$(jobs -pr | wc -l)" -ge "$JOBS" ]; do
    wait -n
  done
  judge "$@" &
}

# The sum of what was judged.
sum_up()
{
  local sum p f s
  [ "$JOBS" -le 1 ] || wait
  for sum in "$logs"/*.sum; do
    [ -e "$sum" ] || continue
    read -r p f s <"$sum"
    passed=$((passed + p))
    failed=$((failed + f))
    skipped=$((skipped + s))
  done
}

# fail_suite TEXT: the suite could not be run.
fail_suite()
{
  echo "not ok  $suite: $1"
  failed=$((failed + 1))
}

# What a script gives to run as a test of its own: a name without folder and ending.
name_of()
{
  basename "${1%.*}"
}

suite_unit()
{
  local binary log=$logs/build.log
  if ! "$MAKE" -s unit SANITIZE=1 WERROR=1 >"$log" 2>&1; then
    tail -n 60 "$log"
    fail_suite "the unit tests do not build"
    return
  fi
  # Some parts are tested against a real server.
  . test/tools/cluster.sh
  if ! va_cluster_start voiceagent.gateway_workers=0; then
    fail_suite "no cluster"
    return
  fi
  export VA_TEST_CONNINFO="host=$VA_SOCKET port=$VA_PORT user=$VA_USER dbname=postgres"
  export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
  for binary in test/unit/*_test.c; do
    binary=build/asan/unit/$(name_of "$binary")
    run "$(basename "$binary")" "$binary"
  done
}

# One run of libFuzzer as one TAP test.
fuzz_one()
{
  local name=$1 corpus=$2 work
  work=$(mktemp -d)
  mkdir -p "$corpus"
  echo 1..1
  if "build/fuzz/$name" -max_total_time="$FUZZ_SECONDS" -timeout=10 -rss_limit_mb=2048 \
    -artifact_prefix="$logs/" "$work" "$corpus"; then
    echo "ok 1 - $name: clean for $FUZZ_SECONDS s"
  else
    echo "not ok 1 - $name; the input is in $logs"
  fi
  rm -rf "$work"
}

suite_fuzz()
{
  local source log=$logs/build.log
  if ! "$MAKE" -s fuzz >"$log" 2>&1; then
    tail -n 60 "$log"
    fail_suite "the fuzz targets do not build"
    return
  fi
  export -f fuzz_one
  export FUZZ_SECONDS logs
  for source in test/fuzz/*_fuzz.c; do
    source=$(name_of "$source")
    run "$source" bash -c "fuzz_one $source test/fuzz/corpus/${source%_fuzz}"
  done
}

# Each file in a database of its own, copied from one with the extension and pgTAP.
suite_pgtap()
{
  local file
  . test/tools/cluster.sh
  if ! va_cluster_start voiceagent.gateway_workers=0; then
    fail_suite "no cluster"
    return
  fi
  va_psql -c 'CREATE DATABASE pgtap'
  if ! PGDATABASE=pgtap va_psql -c 'CREATE EXTENSION voiceagent' -c 'CREATE EXTENSION pgtap'; then
    fail_suite "the extensions cannot be created"
    return
  fi
  for file in test/pgtap/*.sql; do
    va_psql -c 'CREATE DATABASE pgtap_one TEMPLATE pgtap'
    # As ourselves and not as the server's user, who may not be allowed to read the checkout.
    run "$(name_of "$file")" "$VA_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$VA_SOCKET" \
      -p "$VA_PORT" -U "$VA_USER" -d pgtap_one -f "$file"
    va_psql -c 'DROP DATABASE pgtap_one WITH (FORCE)'
  done
}

# pg_regress and pg_isolation_regress print TAP themselves only from 16 on: count their lines.
regress_to_tap()
{
  awk '
    /^(test |     |ok |not ok )/ && /( ok | FAILED |^ok |^not ok )/ {
      n++
      name = $0; sub(/ +[0-9]+ ms.*/, "", name)
      bad = /FAILED/ || /^not ok/
      print (bad ? "not ok " : "ok ") n " - " name
    }
    END { if (n == 0) print "not ok " ++n " - at least one test was run"
          print "1.." n }'
}

regress_one()
{
  local output
  local status=0
  output=$("$MAKE" -s installcheck "$@" 2>&1) || status=1
  sed 's/^/# /' <<<"$output"
  [ ! -e regression.diffs ] || sed 's/^/# /' regression.diffs
  [ ! -e output_iso/regression.diffs ] || sed 's/^/# /' output_iso/regression.diffs
  regress_to_tap <<<"$output"
  return $status
}

suite_regress()
{
  export -f regress_one regress_to_tap
  run pg_regress test/tools/cluster.sh run voiceagent.gateway_workers=0 -- \
    bash -c 'regress_one ISOLATION='
}

suite_isolation()
{
  export -f regress_one regress_to_tap
  run pg_isolation_regress test/tools/cluster.sh run voiceagent.gateway_workers=0 -- \
    bash -c 'regress_one REGRESS='
}

# Conversations are waited for more than worked on: two at once take little longer than one, and have clusters and
# ports of their own.
suite_flows()
{
  JOBS=2
  run_scripts
}

# Scripts that print TAP and start what they need.
run_scripts()
{
  local script
  for script in "test/$suite"/*; do
    if [ -f "$script" ] && [ -x "$script" ]; then
      run "$(name_of "$script")" "$script"
    fi
  done
}

if declare -F "suite_$suite" >/dev/null; then
  "suite_$suite"
else
  run_scripts
fi
sum_up
if [ $((passed + failed + skipped)) -eq 0 ]; then
  fail_suite "not one test was run"
fi
echo "$suite $passed $failed $skipped" >"$ROOT/build/test-logs/$suite.sum"
[ $failed -eq 0 ]
