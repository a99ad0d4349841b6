#!/bin/bash
# connect_test.sh: gateway and dispatcher reach their database under the usual lines of pg_hba.conf, out
# of the box, each as its own role.
. "$(dirname "$0")/lib.sh"

for auth in trust scram-sha-256 peer; do
  va_cluster_start --auth "$auth" --extension || exit 1
  ok "gateway_connects_under_$auth" va_wait_until 15 gateway_connected
  ok "dispatcher_connects_under_$auth" va_wait_for 'SELECT count(*) = 1 FROM outbox_dispatchers' 15
  is "dispatcher_works_as_its_own_role_under_$auth" \
    "$(va_psql -c "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name LIKE 'voiceagent dispatcher%'")" \
    "$([ "$auth" = peer ] && echo "$VA_USER" || echo voiceagent_dispatcher)"
  # Under peer the gateway logs in as the server's user and steps down at once.
  user=voiceagent_gateway
  [ "$auth" != peer ] || user=$VA_USER
  is "login_role_under_$auth" \
    "$(va_psql -c "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name LIKE 'voiceagent gateway%'")" "$user"
  is "the_password_is_stored_as_a_verifier_under_$auth" \
    "$(va_psql -c "SELECT rolpassword LIKE 'SCRAM-SHA-256\$%' FROM pg_authid WHERE rolname = 'voiceagent_gateway'")" t
  # A password of this start only: the next one makes another.
  verifier=$(va_psql -c "SELECT md5(rolpassword) FROM pg_authid WHERE rolname = 'voiceagent_gateway'")
  va_cluster_restart
  ok "gateway_connects_after_a_restart_under_$auth" va_wait_until 15 gateway_connected
  ok "dispatcher_connects_after_a_restart_under_$auth" va_wait_for "SELECT count(*) = 1 FROM outbox_dispatchers
    WHERE started_at > pg_postmaster_start_time()" 15
  ok "the_password_changes_with_the_start_under_$auth" va_wait_for \
    "SELECT md5(rolpassword) <> '$verifier' FROM pg_authid WHERE rolname = 'voiceagent_gateway'" 10
  if [ "$auth" = scram-sha-256 ]; then
    va_psql -c 'ALTER ROLE voiceagent_gateway PASSWORD NULL'
    ok 'a_lost_password_is_set_again' va_wait_for \
      "SELECT rolpassword IS NOT NULL FROM pg_authid WHERE rolname = 'voiceagent_gateway'" 20
  fi
  va_cluster_stop
done

va_cluster_start --extension voiceagent.conninfo='host=/nowhere user=app password=se\\cret' || exit 1
ok 'conninfo_overrides_the_candidates' va_wait_until 10 va_log_has '/nowhere'
is 'its_password_is_not_logged' "$(grep -c 'cret' "$VA_LOG")" 0
va_cluster_stop

done_testing
