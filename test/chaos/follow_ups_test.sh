#!/bin/bash
# follow_ups_test.sh: the scheduler turns due follow-ups into work, each exactly once, however often it is ended, the server
# crashes or somebody else claims beside it.
. "$(dirname "$0")/lib.sh"

va_cluster_start --extension voiceagent.gateway_workers=0 || exit 1

va_psql >/dev/null <<'SQL'
SELECT va_tenant_create('ABC', 'general', NULL, settings => '{"contact_hours": {"open": "00:00", "close": "24:00"}}') AS tenant \gset
INSERT INTO leads (tenant_id, first_name, email) SELECT :'tenant', n, n || '@x.org' FROM generate_series(1, 4000) n;
SELECT va_lead_advance(id, 'qualify') FROM leads WHERE first_name = '1';
SQL
ok 'a_step_that_is_due_becomes_work_by_itself' va_wait_for "SELECT count(*) = 1 FROM lead_actions WHERE action = 'follow_up'" 30

va_psql -c "INSERT INTO follow_up_tasks (tenant_id, lead_id, scheduled_for, sequence_id, sequence_step, channels)
  SELECT tenant_id, id, now() + interval '3 seconds', 'cold', 1, '{email}' FROM leads WHERE first_name = '2'"
ok 'so_does_one_that_becomes_due' va_wait_for "SELECT count(*) = 2 FROM lead_actions WHERE action = 'follow_up'" 30

# The scheduler has just looked, and would sleep for ten seconds: a commit wakes it.
for n in 3 4 5; do
  va_psql -c "INSERT INTO follow_up_tasks (tenant_id, lead_id, scheduled_for, sequence_id, sequence_step, channels)
    SELECT tenant_id, id, now(), 'cold', 1, '{email}' FROM leads WHERE first_name = '$n'"
  ok "one_that_is_due_at_once_wakes_the_scheduler_$n" va_wait_for "SELECT count(*) = $n FROM lead_actions WHERE action = 'follow_up'" 8
done

# Four thousand at once, while the scheduler is ended again and again and others claim as well.
va_psql -c "INSERT INTO follow_up_tasks (tenant_id, lead_id, scheduled_for, sequence_id, sequence_step, channels)
  SELECT tenant_id, id, now(), 'cold#9', 2, '{email}' FROM leads"
claim()
{
  local round
  for round in 1 2 3 4 5 6; do
    va_psql -c 'SELECT va_follow_ups_due(50)' >/dev/null
    va_psql -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'voiceagent scheduler'" >/dev/null
  done
}
claim &
first=$!
claim
wait $first
va_cluster_restart kill
ok 'all_become_work' va_wait_for "SELECT count(*) = 0 FROM follow_up_tasks WHERE status = 'pending' AND scheduled_for <= now()" 60
is 'each_exactly_one_row' "$(va_psql -c "SELECT count(*), count(DISTINCT task_id), count(DISTINCT lead_id) FROM lead_actions a
  WHERE payload ->> 'sequence' = 'cold#9' AND EXISTS (SELECT FROM follow_up_tasks t WHERE t.id = a.task_id AND t.status = 'queued')")" '4000|4000|4000'

done_testing
