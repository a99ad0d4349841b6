#!/bin/bash
# Many writers at once, and what keeps things small running among them. The counts of lead_funnel: at every moment they are
# those of the plain query, whatever is committed, rolled back, compacted and recounted meanwhile, and nobody deadlocks. The
# partitions of events: made, filled from the default partition and dropped under the hands of writers, without
# an error and without losing a row.
. "$(dirname "$0")/../tools/cluster.sh"
. "$(dirname "$0")/../tools/tap.sh"

va_cluster_start --extension voiceagent.gateway_workers=0 voiceagent.database=template1 || exit 1

va_psql <<'SQL'
SET client_min_messages = error;
SELECT va_tenant_create('T' || n, 'x', NULL) FROM generate_series(1, 3) n \g /dev/null
CREATE FUNCTION differs() RETURNS bigint LANGUAGE sql AS $$
  SELECT count(*) FROM (SELECT tenant_id, lead_temperature, status, count(*), round(avg(lead_score)::numeric, 12) FROM leads GROUP BY 1, 2, 3) p (t, l, s, n, a)
  FULL JOIN (SELECT tenant_id, lead_temperature, status, count, round(avg_score::numeric, 12) FROM lead_funnel) f (t, l, s, n, a)
    ON f.t::text || f.l || f.s = p.t::text || p.l || p.s WHERE (f.n, f.a) IS DISTINCT FROM (p.n, p.a) $$;
CREATE TABLE seen (differences bigint);
CREATE TABLE mended (groups bigint);
-- Each writer has leads of its own (source), so that it can wait for another only because of the counts.
CREATE FUNCTION work(client int, what int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_tenants uuid[] := ARRAY(SELECT id FROM tenants ORDER BY id);
BEGIN
  INSERT INTO leads (tenant_id, source, status, qualification_data) SELECT v_tenants[1 + (what + n) % 3], client::text,
    (ARRAY['new', 'contacted', 'closed_won'])[1 + (what + n) % 3], jsonb_build_object('budget', random(), 'need', random()) FROM generate_series(1, 3) n;
  UPDATE leads SET qualification_data = jsonb_build_object('budget', random(), 'authority', random(), 'need', random(), 'timeline', random())
  WHERE source = client::text AND random() < 0.3;
  UPDATE leads SET status = 'closed_lost', status_event = 'lose', status_reason = 'x' WHERE source = client::text AND status = 'contacted' AND random() < 0.2;
  IF what % 3 = 0 THEN
    BEGIN
      DELETE FROM leads WHERE source = client::text;
      RAISE EXCEPTION 'back to the savepoint';
    EXCEPTION WHEN raise_exception THEN
      NULL;
    END;
  END IF;
  DELETE FROM leads WHERE source = client::text AND random() < 0.3;
  IF what % 5 = 0 THEN
    RAISE EXCEPTION 'all of it for nothing';
  END IF;
END $$;
SQL
cat >"$VA_DIR/write.sql" <<'SQL'
\set what random(1, 100)
\set rolled_back :what % 7 = 0
BEGIN;
DO $$ BEGIN PERFORM work(:client_id, :what); EXCEPTION WHEN raise_exception THEN NULL; END $$;
\if :rolled_back
ROLLBACK;
\else
COMMIT;
\endif
SQL
echo 'SELECT va_funnel_compact();' >"$VA_DIR/compact.sql"
echo 'INSERT INTO seen SELECT differs();' >"$VA_DIR/look.sql"
echo 'INSERT INTO mended SELECT count(*) FROM va_funnel_recount();' >"$VA_DIR/recount.sql"
chmod 644 "$VA_DIR"/*.sql

bench()
{
  va_as_server env PGPASSFILE="$VA_DIR/pgpass" timeout 200 "$VA_BIN/pgbench" -n -h "$VA_SOCKET" -p "$VA_PORT" -U "$VA_USER" "$@" postgres >"$VA_DIR/pgbench.out" 2>&1
}

# no_trouble NAME STATUS: pgbench ran to its end, no client was cut off, no deadlock and no error in the log.
no_trouble()
{
  is "$1: every transaction came to its end" "$2 $(grep -c -e 'aborted' -e 'ERROR' "$VA_DIR/pgbench.out")" "0 0"
  [ "$2" = 0 ] || grep -e ERROR -e aborted "$VA_DIR/pgbench.out" | sed 's/^/# /'
  is "$1: no deadlock" "$(va_psql -c "SELECT sum(deadlocks) FROM pg_stat_database")$(grep -c 'deadlock detected' "$VA_LOG")" 00
}

# ---- lead_funnel --------------------------------------------------------------------------------
bench -c 8 -t 60 -f "$VA_DIR/write.sql@16" -f "$VA_DIR/compact.sql@2" -f "$VA_DIR/look.sql@4" -f "$VA_DIR/recount.sql@1"
no_trouble 'eight writers of leads' $?
is 'the view was the plain query at every moment' "$(va_psql -c 'SELECT count(*) > 20, sum(differences) FROM seen')" 't|0'
is 'so no recount found anything to mend' "$(va_psql -c 'SELECT count(*) > 3, sum(groups) FROM mended')" 't|0'
is 'and it is in the end' "$(va_psql -c 'SELECT differs(), (SELECT count(*) > 0 FROM leads)')" '0|t'
va_psql -c 'SELECT va_funnel_compact()' >/dev/null
is 'and when all is compacted, to a row a group' "$(va_psql -c 'SELECT differs(), (SELECT count(*) FROM lead_counts) = (SELECT count(*) FROM lead_funnel)')" '0|t'
va_psql -c 'DELETE FROM leads WHERE id IN (SELECT id FROM leads LIMIT 1)' -c 'ALTER TABLE leads DISABLE TRIGGER leads_count_delete' -c 'DELETE FROM leads WHERE id IN (SELECT id FROM leads LIMIT 1)'
is 'what this test looks for can be seen' "$(va_psql -c 'SELECT differs()')" 1

# ---- events -------------------------------------------------------------------------------------
va_psql -c 'DELETE FROM analytics_events' -c 'CREATE TABLE written (n bigint)' -c 'CREATE TABLE maintained (made boolean)' >/dev/null
va_psql <<'SQL'
CREATE FUNCTION maintain(m int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF va_events_partition((current_date + m * interval '1 month')::date) THEN
    RETURN true;
  END IF;
EXCEPTION WHEN lock_not_available THEN
  RETURN false;
END $$;
SQL
cat >"$VA_DIR/event.sql" <<'SQL'
\set month random(-6, 6)
BEGIN;
INSERT INTO analytics_events (event_type, lead_id, created_at) SELECT 'x', gen_random_uuid(), now() + :month * interval '1 month' + n * interval '1 hour' FROM generate_series(1, 5) n;
SELECT count(*) FROM analytics_events WHERE event_type = 'x' AND tenant_id IS NULL;
INSERT INTO written VALUES (5);
COMMIT;
SQL
cat >"$VA_DIR/partition.sql" <<'SQL'
\set month random(-6, 6)
INSERT INTO maintained SELECT maintain(:month);
SQL
# A month that is over and empty is dropped beside the writers.
cat >"$VA_DIR/retire.sql" <<'SQL'
\set year random(1990, 2010)
INSERT INTO maintained SELECT maintain(12 * (:year - 2026));
SELECT va_events_maintain();
SQL
chmod 644 "$VA_DIR"/*.sql
va_psql -c "UPDATE tenants SET settings = settings || '{\"retention_days\": {\"events\": 1000}}'"
bench -c 8 -t 60 -f "$VA_DIR/event.sql@16" -f "$VA_DIR/partition.sql@2" -f "$VA_DIR/retire.sql@1"
no_trouble 'eight writers of events' $?
is 'no event was lost or doubled' "$(va_psql -c "SELECT (SELECT sum(n) FROM written) = (SELECT count(*) FROM analytics_events WHERE event_type = 'x'), (SELECT sum(n) > 500 FROM written)")" 't|t'
is 'partitions were made meanwhile' "$(va_psql -c 'SELECT count(*) FILTER (WHERE made) > 0 FROM maintained')" t
va_psql -c 'SELECT va_events_maintain()' >/dev/null
is 'in the end the old ones are gone, and what has a month is in its month' "$(va_psql -c "SELECT (SELECT count(*) FROM va_events_partitions() WHERE ends < '2015-01-01'),
  (SELECT count(*) FROM analytics_events_default WHERE created_at < date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + interval '3 months')")" '0|0'

# ---- the scheduler ------------------------------------------------------------------------------
va_psql -c 'DELETE FROM analytics_events' -c 'ALTER TABLE leads ENABLE TRIGGER leads_count_delete' -c 'SELECT count(*) FROM va_funnel_recount()' >/dev/null
while read -r partition; do
  va_psql -c "ALTER EXTENSION voiceagent DROP TABLE $partition" -c "DROP TABLE $partition"
done < <(va_psql -c "SELECT partition FROM va_events_partitions() WHERE ends IS NOT NULL")
va_psql -c "INSERT INTO leads (tenant_id) SELECT id FROM tenants" -c "ALTER SYSTEM SET voiceagent.database = 'postgres'"
is 'before: changes that are not compacted, and no month' "$(va_psql -c 'SELECT bool_or(NOT compacted), (SELECT count(*) FROM va_events_partitions()) FROM lead_counts')" 't|1'
va_cluster_restart
ok 'the scheduler makes the months' va_wait_for "SELECT count(*) = 5 FROM va_events_partitions()" 60
ok 'and compacts the counts' va_wait_for "SELECT bool_and(compacted) FROM lead_counts" 60
va_psql -c "INSERT INTO leads (tenant_id) SELECT id FROM tenants"
ok 'again and again' va_wait_for "SELECT bool_and(compacted) FROM lead_counts" 60
is 'rightly' "$(va_psql -c 'SELECT differs()')" 0

done_testing
