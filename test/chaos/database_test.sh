#!/bin/bash
# database_test.sh: databases and extensions come and go under the workers.
. "$(dirname "$0")/lib.sh"

va_cluster_start voiceagent.database=app || exit 1

# app_psql ARGUMENTS: psql in the database of the extension.
app_psql()
{
  PGDATABASE=app va_psql "$@"
}

scheduler_gone()
{
  va_is_true "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'voiceagent scheduler'"
}

SCHEDULER_RUNS="SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'voiceagent scheduler'"

ok 'a_missing_database_is_logged_with_a_hint' va_wait_until 10 va_log_has 'HINT:  Create it, or set voiceagent.database'
is 'and_logged_once' "$(grep -c 'which does not exist' "$VA_LOG")" 1
before=$(server_start)

va_psql -c 'CREATE DATABASE app'
app_psql -c 'CREATE EXTENSION voiceagent'
ok 'everything_starts_once_it_is_there' va_wait_until 10 gateway_connected

# ---- the extension ------------------------------------------------------------------------------

app_psql -c 'DROP EXTENSION voiceagent'
ok 'drop_extension_stops_the_gateway' va_wait_until 10 gateway_count_is 0
ok 'and_the_scheduler' va_wait_until 10 scheduler_gone
app_psql -c 'CREATE EXTENSION voiceagent'
ok 'create_extension_again_starts_them' va_wait_until 10 gateway_connected
app_psql -c 'BEGIN; DROP EXTENSION voiceagent; ROLLBACK'
ok 'a_drop_rolled_back_stops_nothing' va_is_true "SELECT ($GATEWAY_SESSIONS) > 0"

# ---- the database -------------------------------------------------------------------------------

set_and_reload 'voiceagent.gateway_workers = 0'
set_and_reload 'voiceagent.dispatcher_workers = 0'
ok 'without_programs_only_the_scheduler_is_connected' va_wait_for \
  "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name ~ '^voiceagent (gateway|dispatcher)'" 10
ok 'scheduler_is_connected' va_wait_for "$SCHEDULER_RUNS" 10
ok 'create_database_template_works' va_psql -c 'CREATE DATABASE copy TEMPLATE app'
ok 'scheduler_returns_after_that' va_wait_for "$SCHEDULER_RUNS" 10
ok 'rename_works' va_psql -c 'ALTER DATABASE app RENAME TO app2' -c 'ALTER DATABASE app2 RENAME TO app'
ok 'scheduler_returns_after_the_renames' va_wait_for "$SCHEDULER_RUNS" 15
ok 'another_database_can_be_dropped' va_psql -c 'DROP DATABASE copy'
ok 'drop_database_works' va_psql -c 'DROP DATABASE app'

set_and_reload 'voiceagent.gateway_workers = 1'
set_and_reload 'voiceagent.dispatcher_workers = 1'
va_psql -c 'CREATE DATABASE app'
app_psql -c 'CREATE EXTENSION voiceagent'
ok 'a_new_database_is_taken_up' va_wait_until 15 gateway_connected
ok 'drop_database_with_force_works_under_a_gateway' va_psql -c 'DROP DATABASE app WITH (FORCE)'
ok 'gateway_stops_when_its_database_is_gone' va_wait_until 10 gateway_count_is 0
count=$(grep -c 'voiceagent scheduler' "$VA_LOG")
ok 'the_missing_database_is_noticed' va_wait_until 10 va_log_has 'which does not exist'
va_psql -c 'CREATE DATABASE app'
app_psql -c 'CREATE EXTENSION voiceagent'
ok 'and_it_all_starts_again' va_wait_until 15 gateway_connected
is 'the_scheduler_did_not_start_and_die_in_between' \
  "$([ $(($(grep -c 'voiceagent scheduler' "$VA_LOG") - count)) -le 4 ] && echo few || echo many)" few
is 'server_did_not_restart' "$(server_start)" "$before"

# ---- somebody who may not -----------------------------------------------------------------------

va_psql -c 'CREATE ROLE nobody_special LOGIN'
scheduler=$(va_psql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'voiceagent scheduler'")
va_psql -c 'SET SESSION AUTHORIZATION nobody_special' -c 'DROP DATABASE app' >/dev/null 2>&1
is 'a_stranger_cannot_stop_the_scheduler' \
  "$(va_psql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'voiceagent scheduler'")" "$scheduler"

done_testing
