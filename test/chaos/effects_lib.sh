#!/bin/bash
# effects_lib.sh: what the tests of effects under fire share: the services' faults, the killing, and
# the comparison of the outbox's ends with what the stand-ins' ledger says.
#
#   effects_faults                 each service fails by chance, in every way
#   effects_run ADD [ROUNDS]       runs ADD in the background while dispatchers, sessions and the server
#                                  are killed; then the faults end and the outbox runs empty
#   effects_compare                reads from stdin a query of (kind, key), a row for each time that
#                                  the table "ledger" (line jsonb) says something happened; makes the view
#                                  ends (id, kind, attempt_key, outcome) and the table happened (kind, key, count)
#   effects_kind KIND once|again [SOME]   what must hold for a kind of which there are more than SOME
#   effects_listed                 what nobody knows is listed, with advice
#
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=../tools/providers.sh
. "$here/../tools/providers.sh"
RANDOM=${CHAOS_SEED:-20261}

effects_faults()
{
  local fault
  for fault in '"cut": "before", "percent": 3' '"cut": "after", "percent": 3' '"cut": "body", "percent": 2' \
    '"status": 500, "percent": 2' '"status": 500, "when": "after", "percent": 2' '"status": 429, "percent": 3' \
    '"status": 503, "retry_after": 1, "percent": 1' '"garbage": true, "percent": 2' '"slow_ms": 1500, "percent": 2' \
    '"slow_ms": 20, "percent": 50'; do
    provider_fault "{$fault}" || va_fail 'a fault was refused'
  done
}

# Adds until the server has said that it has it: whoever writes the statement makes its repetition safe.
effects_insist()
{
  until va_psql -c "$1" >/dev/null 2>&1; do
    sleep 0.05
  done
}

# What waits is not waited for: looks and second attempts come at once.
effects_hurry()
{
  va_psql -c "UPDATE outbox SET run_at = now() WHERE state IN ('unknown', 'later') AND run_at > now()" >/dev/null 2>&1
}

effects_disturb()
{
  local pid
  case $((RANDOM % 10)) in
    0 | 1 | 2 | 3)
      pid=$(pgrep -f '^voiceagent dispatcher --stdin' -P "$(launcher_pid)" 2>/dev/null | shuf -n 1 --random-source=<(yes "$RANDOM"))
      [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null
      ;;
    4 | 5 | 6)
      va_psql -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'voiceagent dispatcher%'
        ORDER BY random() LIMIT 3" >/dev/null 2>&1
      ;;
    7 | 8) # a crash of one session is one of all
      pid=$(va_psql -c "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'voiceagent dispatcher%' LIMIT 1" 2>/dev/null)
      [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null
      ;;
    9) # old sessions may still hold the shared memory for a moment
      va_cluster_kill
      va_wait_until 20 va_postmaster_start 2>/dev/null
      ;;
  esac
}

effects_all_over()
{
  effects_hurry
  va_is_true "SELECT count(*) = 0 FROM outbox"
}

effects_run()
{
  local round adding
  "$1" &
  adding=$!
  for ((round = 0; round < ${2:-30}; round++)); do
    effects_disturb
    va_wait_until 20 va_psql -c 'SELECT 1' >/dev/null 2>&1
    effects_hurry
    sleep "0.$((RANDOM % 7 + 2))"
  done
  wait $adding
  effects_disturb
  va_wait_until 30 va_psql -c 'SELECT 1' >/dev/null 2>&1
  provider_faults_clear
}

effects_compare()
{
  va_psql -f - <<SQL
CREATE TABLE ledger (line jsonb);
COPY ledger FROM PROGRAM 'cat $PROVIDERS_LEDGER' (FORMAT csv, QUOTE e'\x01', DELIMITER e'\x02');
CREATE TABLE happened AS SELECT kind, key, count(*) FROM ($(cat)) x (kind, key) GROUP BY 1, 2;
CREATE VIEW ends AS SELECT id, kind, attempt_key, outcome FROM outbox_history UNION ALL SELECT id, kind, attempt_key, outcome FROM outbox_dead;
ANALYZE happened;
SQL
}

effects_kind()
{
  local joined="ends e LEFT JOIN happened h ON h.kind = e.kind AND h.key = e.attempt_key WHERE e.kind = '$1'"
  ok "$1: there_are_some" va_is_true "SELECT count(*) > ${3:-100} FROM $joined"
  is "$1: what_is_done_has_happened" "$(va_psql -c "SELECT count(*) FROM $joined AND e.outcome = 'done' AND h.count IS NULL")" 0
  is "$1: what_happened_was_asked_for" "$(va_psql -c "SELECT count(*) FROM happened h WHERE kind = '$1'
    AND NOT EXISTS (SELECT FROM ends e WHERE e.kind = h.kind AND e.attempt_key = h.key)")" 0
  if [ "$2" = once ]; then
    is "$1: nothing_happens_twice" "$(va_psql -c "SELECT count(*) FROM $joined AND h.count > 1")" 0
    is "$1: what_is_dead_has_not" "$(va_psql -c "SELECT count(*) FROM $joined AND e.outcome IN ('dead', 'failed', 'skipped') AND h.count > 0")" 0
  fi
}

effects_listed()
{
  is 'what_nobody_knows_is_listed' "$(va_psql -c "SELECT count(*) FROM ends d WHERE outcome = 'unknown' AND NOT EXISTS (SELECT FROM outbox_dead o, va_outbox_explain(o.id) e
    WHERE o.id = d.id AND e.what LIKE 'given to a person%' AND e.advice LIKE '%va_outbox_retry()%')")" 0
  va_psql -F ' ' -c "SELECT '#', kind, outcome, count(*) FROM ends GROUP BY 2, 3 ORDER BY 2, 3"
}
