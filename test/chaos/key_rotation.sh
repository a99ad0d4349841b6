#!/bin/bash
# key_rotation.sh: kill -9 at any moment of a rotation of the key leaves every secret readable. And no statement that sets
# a secret can be read in the server's log or in pg_stat_activity.
. "$(dirname "$0")/lib.sh"

va_cluster_start --extension voiceagent.gateway_workers=0 log_statement=all log_min_duration_statement=0 log_duration=on log_parameter_max_length_on_error=-1 || exit 1
key=$VA_DATA/voiceagent.key

# All secrets as one line; each holds its own name.
secrets()
{
  va_psql -c "SELECT string_agg(va_secret_read(NULL, name), ' ' ORDER BY name) FROM tenant_secrets" 2>&1
}

children_gone()
{
  local pid
  for pid in $1; do
    va_is_gone "$pid" || return 1
  done
}

crash()
{
  local children
  children=$(pgrep -P "$VA_PID")
  # Those that touch the keys first: nobody may finish what he has begun.
  # shellcheck disable=SC2086
  kill -STOP "$VA_PID" && kill -KILL $children 2>/dev/null
  va_cluster_kill
  va_wait_until 20 children_gone "$children" && va_postmaster_start
}

# A session that does what is written to it.
session_start()
{
  coproc SESSION { va_psql 2>&1; }
  session_pid=$SESSION_PID
  # Copies, for the shell forgets its own when the process ends.
  exec {session_in}>&"${SESSION[1]}" {session_out}<&"${SESSION[0]}"
  eval "exec ${SESSION[1]}>&-"
}

# Hangs up; a client that waits for what we write does not notice that its server has gone.
session_end()
{
  exec {session_in}>&-
  wait "$session_pid" 2>/dev/null
}

session_says()
{
  local line
  while read -r -t 20 line <&"$session_out"; do
    [ "$line" != "$1" ] || return 0
  done
  return 1
}

va_psql -c "SELECT va_secret_set(NULL, 'secret_' || n, 'secret_' || n) FROM generate_series(1, 5) n" >/dev/null
all='secret_1 secret_2 secret_3 secret_4 secret_5'
is 'five secrets' "$(secrets)" "$all"

# ---- between the file and the commit ------------------------------------------------------------
session_start
printf 'BEGIN;\nSELECT va_secrets_rekey();\n\\echo rotated\n' >&"$session_in"
ok 'a rotation that is not committed' session_says rotated
is 'the new key is in the file' "$(stat -c %s "$key")" 64
is 'others read the secrets meanwhile' "$(secrets)" "$all"
ok 'the server is killed, and is back' crash
session_end
is 'the secrets are readable' "$(secrets)" "$all"
is 'with the key before' "$(va_psql -c 'SELECT DISTINCT key_id = (va_key_ids())[2] FROM tenant_secrets')" t
echo garbage >"$key.tmp" # as one leaves who is killed while he writes
is 'they are brought to the new one' "$(va_psql -c 'SELECT va_secrets_rekey(false)')" 5
is 'and the old one goes' "$(va_psql -c 'SELECT va_secrets_key_drop(k) FROM unnest((va_key_ids())[2:]) k')" t
is 'the secrets are readable with the new one alone' "$(stat -c '%s %a' "$key") $(secrets)" "32 600 $all"
is 'nothing is left beside the file' "$(find "$VA_DATA" -maxdepth 1 -name 'voiceagent.key?*')" ''
va_psql -c 'SELECT va_secrets_rekey()' >/dev/null
ok 'the server is killed after a commit' crash
is 'the secrets are of the new key' "$(va_psql -c 'SELECT DISTINCT key_id = va_key_id() FROM tenant_secrets') $(secrets)" "t $all"

# ---- at any moment ------------------------------------------------------------------------------
for round in 1 2 3 4; do
  session_start
  {
    printf '\\echo begun\n'
    for _ in $(seq 100); do
      printf 'SELECT va_secrets_rekey();\nSELECT va_secrets_key_drop(k) FROM unnest((va_key_ids())[2:]) k;\n'
    done
  } >"$VA_DIR/rotations.sql"
  chmod 644 "$VA_DIR/rotations.sql"
  printf '\\i %s\n' "$VA_DIR/rotations.sql" >&"$session_in"
  session_says begun
  # As many rotations as the round's number, then the blow; in the middle of whatever comes next.
  for _ in $(seq $((round * 3))); do
    session_says 5
  done
  ok "round $round: killed in the middle of rotations" crash
  session_end
  is "round $round: the secrets are readable" "$(secrets)" "$all"
done

# ---- what others can read -----------------------------------------------------------------------
session_start
printf "BEGIN;\nSELECT va_secret_set(NULL, 'x', 'opensesame');\n\\\\echo set\n" >&"$session_in"
ok 'a session sets a secret' session_says set
is 'which is not in pg_stat_activity' "$(va_psql -c "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND query LIKE '%carries a secret%'" -c "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%open' || 'sesame%'")" "1
0"
printf 'COMMIT;\n\\q\n' >&"$session_in"
session_end
va_psql -c "SELECT va_secret_set(gen_random_uuid(), 'x', 'opensesame')" >"$VA_DIR/err" 2>&1
is 'an unknown tenant is an error' "$(grep -c 'unknown tenant' "$VA_DIR/err")" 1
va_psql -c "SELECT va_secret_set(NULL, 'X', 'opensesame')" >/dev/null 2>&1
va_psql -c "SELECT va_secret_set(NULL, 'x', 'opensesame'" >/dev/null 2>&1
va_psql -c "SET ROLE voiceagent_agent; SELECT va_secret_set(NULL, 'x', 'opensesame')" >/dev/null 2>&1
va_psql -c "SELECT va_secret_set(NULL, 'x', 'opensesame', 1)" >/dev/null 2>&1
va_psql -c "PREPARE p AS SELECT va_secret_set(NULL, 'x', \$1); EXECUTE p('opensesame')" >/dev/null 2>&1
va_psql -c "CREATE FUNCTION mine(v text) RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM va_secret_set(NULL, ''x'', v); RAISE EXCEPTION ''too late''; END'" \
  -c "SELECT mine('nothing'); SELECT 1" >/dev/null 2>&1
ok 'the log has other statements, and errors' sh -c "grep -q 'statement: SELECT va_secrets_rekey' '$VA_LOG' && grep -q 'ERROR:  unknown tenant' '$VA_LOG' && grep -q 'ERROR:  syntax error in (a statement' '$VA_LOG'"
is 'no secret' "$(grep -e opensesame "$VA_LOG" | head -3)" ''
is 'also that of a function of the user'"'"'s that failed' "$(grep -c "STATEMENT:.*mine('nothing')" "$VA_LOG")" 0

done_testing
