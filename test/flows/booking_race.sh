#!/bin/bash
# Fifty customers want one appointment at the same moment: exactly one gets it. Then the same for random times of one
# day, by the function and by plain INSERT: whatever wins, no two overlap, and every refusal is the one documented.
. "$(dirname "$0")/../tools/cluster.sh"
. "$(dirname "$0")/../tools/tap.sh"

# same GOT WANTED NAME: the name last, because what is asked is long.
same()
{
  is "$3" "$1" "$2"
}

va_cluster_start --extension voiceagent.gateway_workers=0 max_connections=80 || exit 1

va_psql <<'SQL'
SET client_min_messages = error;
SELECT va_tenant_create('ABC', 'general', NULL, timezone => 'America/New_York') AS tenant \gset
INSERT INTO human_agents (tenant_id, name, email) VALUES (:'tenant', 'Ann', 'a@x.org');
INSERT INTO leads (tenant_id, email) SELECT :'tenant', n || '@x.org' FROM generate_series(1, 50) n;
CREATE TABLE results (what text, state text);
CREATE FUNCTION try(what text, statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
  INSERT INTO results VALUES (what, 'booked');
EXCEPTION WHEN OTHERS THEN
  INSERT INTO results VALUES (what, SQLSTATE);
END $$;
-- The race begins when the last one has come.
CREATE FUNCTION at_the_line(runners int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_lock_shared(1);
  WHILE (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND mode = 'ShareLock') < runners LOOP
    PERFORM pg_sleep(0.005);
  END LOOP;
END $$;
SQL

cat >"$VA_DIR/one.sql" <<'SQL'
SELECT at_the_line(50);
SELECT try('one', format('SELECT va_appointment_book(%L, ''2030-03-04 10:00-05'')', (SELECT id FROM leads ORDER BY id OFFSET :client_id LIMIT 1)));
SQL
cat >"$VA_DIR/many.sql" <<'SQL'
\set lead random(0, 49)
\set at random(0, 40)
\set length random(1, 60)
SELECT try('book', format('SELECT va_appointment_book(%L, ''2030-03-05 09:00-05''::timestamptz + :at * interval ''10 minutes'', :length)', (SELECT id FROM leads ORDER BY id OFFSET :lead LIMIT 1)));
SELECT try('insert', format('INSERT INTO appointments (tenant_id, lead_id, title, scheduled_at, duration_minutes, assigned_agent_id) SELECT l.tenant_id, l.id, ''x'', ''2030-03-06 09:00-05''::timestamptz + :at * interval ''10 minutes'', :length, h.id FROM leads l, human_agents h WHERE l.id = %L', (SELECT id FROM leads ORDER BY id OFFSET :lead LIMIT 1)));
SELECT try('cancel', 'SELECT va_appointment_cancel(id) FROM appointments WHERE status = ''scheduled'' AND scheduled_at::date > ''2030-03-04'' ORDER BY random() LIMIT 1');
SQL
chmod 644 "$VA_DIR"/*.sql

race()
{
  va_as_server env PGPASSFILE="$VA_DIR/pgpass" timeout 200 "$VA_BIN/pgbench" -n -h "$VA_SOCKET" -p "$VA_PORT" -U "$VA_USER" "$@" postgres >"$VA_DIR/pgbench.out" 2>&1
}

# As one line: state and count of what was tried.
states()
{
  va_psql -c "SELECT string_agg(state || ':' || n, ' ' ORDER BY state) FROM (SELECT state, count(*) AS n FROM results WHERE what = '$1' GROUP BY state) s"
}

race -c 50 -j 2 -t 1 -f "$VA_DIR/one.sql" || sed 's/^/# /' "$VA_DIR/pgbench.out"
same "$(states one)" "VA030:49 booked:1" "of fifty at once, one has the time and forty-nine are told that it is taken"
same "$(va_psql -c "SELECT count(*) FROM appointments WHERE status = 'scheduled'")" 1 "there is one appointment"
same "$(va_psql -c "SELECT count(*) FROM notifications WHERE template_id = 'appointment_reminder_1h'")" 1 "and one reminder"

race -c 16 -j 2 -t 40 -f "$VA_DIR/many.sql" || sed 's/^/# /' "$VA_DIR/pgbench.out"
same "$(va_psql -c "SELECT string_agg(DISTINCT what || ' ' || state, ', ' ORDER BY what || ' ' || state) FROM results WHERE what <> 'one'")" \
  "book VA030, book booked, cancel booked, insert 23P01, insert booked" "random bookings: taken or booked, no deadlock, nothing else"
same "$(va_psql -c "SELECT count(*) FROM appointments a JOIN appointments b ON a.id < b.id AND a.assigned_agent_id = b.assigned_agent_id
    AND a.status = 'scheduled' AND b.status = 'scheduled'
    AND tstzrange(a.scheduled_at, a.scheduled_at + make_interval(mins => a.duration_minutes))
        && tstzrange(b.scheduled_at, b.scheduled_at + make_interval(mins => b.duration_minutes))")" 0 "no two overlap"
same "$(va_psql -c "SELECT count(*) FROM appointments WHERE status IN ('scheduled', 'cancelled') AND scheduled_at::date > '2030-03-04'")" \
  "$(va_psql -c "SELECT count(*) FROM results WHERE what IN ('book', 'insert') AND state = 'booked'")" "every booking that was reported is there"
same "$(va_psql -c "SELECT count(*) FROM notifications n JOIN appointments a ON a.id = n.appointment_id WHERE n.status = 'pending' AND a.status = 'cancelled'")" 0 \
  "nothing is pending for a cancelled one"

done_testing
