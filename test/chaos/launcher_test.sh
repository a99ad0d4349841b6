#!/bin/bash
# launcher_test.sh: whatever dies, the server does not notice, and what should run runs again.
. "$(dirname "$0")/lib.sh"

va_cluster_start || exit 1

# ---- before there is an extension ---------------------------------------------------------------

ok 'launcher_waits_for_the_extension_and_says_how_to_make_it' \
  va_wait_until 10 va_log_has 'HINT:  Run CREATE EXTENSION voiceagent in database'
ok 'no_gateway_without_extension' gateway_count_is 0

va_psql -c 'CREATE EXTENSION voiceagent'
ok 'create_extension_starts_the_gateway' va_wait_until 10 gateway_count_is 1
ok 'gateway_connects' va_wait_until 10 gateway_connected
ok 'scheduler_runs_in_the_database' va_wait_for \
  "SELECT datname = 'postgres' FROM pg_stat_activity WHERE backend_type = 'voiceagent scheduler'" 10
is 'launcher_is_connected_to_no_database' \
  "$(va_psql -c "SELECT datname IS NULL FROM pg_stat_activity WHERE backend_type = 'voiceagent launcher'")" t

# ---- the gateway dies ---------------------------------------------------------------------------

before=$(server_start)
for signal in KILL SEGV ABRT; do
  pid=$(gateway_pids)
  kill "-$signal" "$pid"
  ok "gateway_is_back_after_SIG$signal" va_wait_until 5 new_gateway "$pid"
  ok "gateway_connects_after_SIG$signal" va_wait_until 10 gateway_connected
done
is 'server_did_not_restart' "$(server_start)" "$before"
ok 'its_death_is_logged_with_a_hint' va_log_has 'HINT:  The server goes on'

# ---- a child inherits nothing -------------------------------------------------------------------

# Descriptors of the server (data files, its pipes and sockets) would stay open for ever.
pid=$(gateway_pids)
is 'gateway_has_no_descriptor_of_the_server' \
  "$(find "/proc/$pid/fd" -lname "*/data/*" 2>/dev/null | wc -l)" 0
is 'gateway_has_no_shared_memory_of_the_server' "$(grep -c -e '/dev/zero' -e 'PostgreSQL' "/proc/$pid/maps")" 0
is 'gateway_has_no_secret_in_its_arguments' "$(tr '\0' ' ' <"/proc/$pid/cmdline" | grep -c password)" 0

# ---- settings -----------------------------------------------------------------------------------

set_and_reload 'voiceagent.gateway_workers = 3'
ok 'reload_starts_more_gateways' va_wait_until 10 gateway_count_is 3
set_and_reload 'voiceagent.gateway_workers = 0'
ok 'reload_stops_all_gateways' va_wait_until 10 gateway_count_is 0
set_and_reload 'voiceagent.gateway_workers = 1'
ok 'reload_starts_one_again' va_wait_until 10 gateway_count_is 1

# ---- the workers are ended by hand --------------------------------------------------------------

pid=$(gateway_pids)
va_psql -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'voiceagent launcher'" >/dev/null
ok 'terminated_launcher_takes_its_gateway_along' va_wait_until 5 va_is_gone "$pid"
ok 'terminated_launcher_comes_back_with_a_gateway' va_wait_until 10 new_gateway "$pid"
scheduler=$(va_psql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'voiceagent scheduler'")
va_psql -c "SELECT pg_terminate_backend($scheduler)" >/dev/null
ok 'terminated_scheduler_comes_back' va_wait_for \
  "SELECT pid <> $scheduler FROM pg_stat_activity WHERE backend_type = 'voiceagent scheduler'" 10
is 'one_scheduler_and_no_more' \
  "$(va_psql -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'voiceagent scheduler'")" 1

# ---- the server goes ----------------------------------------------------------------------------

ok 'gateway_runs_before_the_shutdown' va_wait_until 10 gateway_count_is 1
pid=$(gateway_pids)
ok 'fast_shutdown_is_clean' va_postmaster_stop fast
ok 'no_gateway_after_a_fast_shutdown' va_is_gone "$pid"
ok 'server_starts_again' va_postmaster_start
ok 'gateway_runs_again' va_wait_until 10 gateway_connected

pids=$(gateway_pids)
launcher=$(launcher_pid)
va_cluster_kill
ok 'no_gateway_after_the_postmaster_was_killed' va_wait_until 2 va_is_gone "$pids"
ok 'no_launcher_after_the_postmaster_was_killed' va_wait_until 2 va_is_gone "$launcher"
ok 'server_starts_at_once_after_that' va_postmaster_start
ok 'gateway_runs_after_that' va_wait_until 10 gateway_connected

# A crash of an ordinary session restarts the cluster's processes, ours among them.
pid=$(gateway_pids)
kill -SEGV "$(va_psql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'voiceagent scheduler'")"
ok 'crash_of_a_server_process_renews_the_gateway' va_wait_until 15 new_gateway "$pid"
ok 'the_old_one_is_gone' va_wait_until 2 va_is_gone "$pid"
ok 'gateway_connects_after_the_crash' va_wait_until 10 gateway_connected

done_testing
