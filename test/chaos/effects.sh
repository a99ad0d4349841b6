#!/bin/bash
# effects.sh: two thousand effects while dispatchers, sessions and the server are killed at random and
# the services fail at random. The stand-ins' ledger shows what happened: nothing twice that must
# not be, nothing forgotten, every unknown outcome resolved or listed.
#
# A kind is one line here: its name, the event it leaves in the ledger under its attempt key, and
# whether it may happen again.
kinds=(
  'sink.post posted once'
  'sink.blind posted once'
  'sink.put put again'
)
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=../tools/providers.sh
. "$here/../tools/providers.sh"
EFFECTS=2000
ROUNDS=30
RANDOM=${CHAOS_SEED:-20261}

outbox_start voiceagent.dispatcher_workers=2 voiceagent.allow_private_urls=on || exit 1
va_psql -c "UPDATE outbox_kinds SET timeout_ms = 1000" \
  -c "INSERT INTO settings VALUES ('outbox_limits', '{\"sink\": {\"breaker_seconds\": 0.3, \"concurrency\": 40}}')"
for fault in '"cut": "before", "percent": 3' '"cut": "after", "percent": 3' '"cut": "body", "percent": 2' \
  '"status": 500, "percent": 2' '"status": 500, "when": "after", "percent": 2' '"status": 429, "percent": 3' \
  '"status": 503, "retry_after": 1, "percent": 1' '"garbage": true, "percent": 2' '"slow_ms": 1500, "percent": 2' \
  '"slow_ms": 20, "percent": 50'; do
  provider_fault "{$fault}"
done

# Twenty at a time, again and again until the server has said that it has them: the key makes that safe.
add_all()
{
  local i kind
  for ((i = 0; i < EFFECTS; i += 20)); do
    kind=${kinds[$((i / 20 % ${#kinds[@]}))]%% *}
    until va_psql -c "SELECT va_outbox_add(NULL, '$kind', '$kind-' || n, lane => CASE WHEN n % 5 = 0 THEN 'live' END)
        FROM generate_series($i, $((i + 19))) n" >/dev/null 2>&1; do
      sleep 0.05
    done
    sleep 0.1
  done
}
add_all &
adding=$!

# What waits is not waited for: looks and second attempts come at once.
hurry()
{
  va_psql -c "UPDATE outbox SET run_at = now() WHERE state IN ('unknown', 'later') AND run_at > now()" >/dev/null 2>&1
}

disturb()
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

for ((round = 0; round < ROUNDS; round++)); do
  disturb
  va_wait_until 20 va_psql -c 'SELECT 1' >/dev/null 2>&1
  hurry
  sleep "0.$((RANDOM % 7 + 2))"
done
wait $adding
disturb
va_wait_until 30 va_psql -c 'SELECT 1' >/dev/null 2>&1
provider_faults_clear
all_over()
{
  hurry
  va_is_true "SELECT count(*) = 0 FROM outbox"
}
ok 'all_come_to_an_end' va_wait_until 120 all_over

va_psql -f - <<SQL
CREATE TABLE happened (id text, event text, count int);
CREATE TEMP TABLE ledger (line jsonb);
COPY ledger FROM PROGRAM 'cat $PROVIDERS_LEDGER' (FORMAT csv, QUOTE e'\x01', DELIMITER e'\x02');
INSERT INTO happened SELECT line ->> 'id', line ->> 'event', count(*) FROM ledger WHERE line ->> 'event' <> 'fault' GROUP BY 1, 2;
CREATE VIEW ends AS SELECT kind, attempt_key, outcome FROM outbox_history UNION ALL SELECT kind, attempt_key, outcome FROM outbox_dead;
SQL
is 'nothing_is_forgotten' "$(va_psql -c 'SELECT count(*), count(DISTINCT attempt_key) FROM ends')" "$EFFECTS|$EFFECTS"
for line in "${kinds[@]}"; do
  read -r kind event repeat <<<"$line"
  joined="ends e LEFT JOIN happened h ON h.id = e.attempt_key AND h.event = '$event' WHERE e.kind = '$kind'"
  ok "$kind: there_are_some" va_is_true "SELECT count(*) > 100 FROM $joined"
  [ "$repeat" = again ] ||
    is "$kind: nothing_happens_twice" "$(va_psql -c "SELECT count(*) FROM $joined AND h.count > 1")" 0
  is "$kind: what_is_done_has_happened" "$(va_psql -c "SELECT count(*) FROM $joined AND e.outcome = 'done' AND h.count IS NULL")" 0
  [ "$repeat" = again ] ||
    is "$kind: what_is_dead_has_not" "$(va_psql -c "SELECT count(*) FROM $joined AND e.outcome IN ('dead', 'failed') AND h.count > 0")" 0
done
is 'what_happened_was_asked_for' "$(va_psql -c 'SELECT count(*) FROM happened h WHERE NOT EXISTS (SELECT FROM ends e WHERE e.attempt_key = h.id)')" 0
is 'who_can_be_asked_leaves_no_doubt' "$(va_psql -c "SELECT count(*) FROM ends WHERE outcome = 'unknown' AND kind = 'sink.post'")" 0
is 'what_nobody_knows_is_listed' "$(va_psql -c "SELECT count(*) FROM outbox_dead d WHERE outcome = 'unknown' AND NOT EXISTS (SELECT FROM va_outbox_explain(d.id) e
  WHERE e.what LIKE 'given to a person%' AND e.advice LIKE '%va_outbox_retry()%')")" 0
va_psql -F ' ' -c "SELECT '#', kind, outcome, count(*) FROM ends GROUP BY 2, 3 ORDER BY 2, 3"
done_testing
