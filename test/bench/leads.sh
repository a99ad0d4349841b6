#!/bin/bash
#
# leads.sh (part of make bench): what leads cost inside the database, each beside its equivalent in plain SQL or PL/pgSQL in the
# same run: scoring, writing a lead, lead_funnel, the scheduler's tick, booking. docs/bench.md says how to read it.
#
#   leads.sh [FILE]      the table goes to FILE too
#   QUICK=1              small sizes, a minute instead of ten
#   LEADS=10000000 STEPS=10000000 SCORED=200000 WRITTEN=20000 CLIENTS=4 SECONDS_BOOKING=10
#   WRITE_DOCS=1         also writes the table into docs/bench.md
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
file=${1:-}
quick=${QUICK:-}
leads=${LEADS:-${quick:+200000}}
leads=${leads:-10000000}
steps=${STEPS:-${quick:+200000}}
steps=${steps:-10000000}
scored=${SCORED:-${quick:+20000}}
scored=${scored:-200000}
written=${WRITTEN:-${quick:+2000}}
written=${written:-20000}
clients=${CLIENTS:-4}
booking=${SECONDS_BOOKING:-${quick:+3}}
booking=${booking:-10}

# shellcheck source=../tools/cluster.sh
. "$root/test/tools/cluster.sh"
# shellcheck source=lib.sh
. "$here/lib.sh"

say()
{
	echo "bench: $*" >&2
}

# result WHAT OURS PLAIN OURS_VALUE PLAIN_VALUE UNIT TARGET: SQL for the values; TARGET may be NULL
result()
{
	va_psql -c "INSERT INTO bench.results (what, ours, plain, ours_value, plain_value, unit, target) VALUES (\$x\$$1\$x\$, \$x\$$2\$x\$, \$x\$$3\$x\$, $4, $5, '$6', $7)"
}

# No triggers but those named: ONLY ... leaves the table without any.
triggers_only()
{
	va_psql -c "ALTER TABLE leads DISABLE TRIGGER USER" "${@/#/-cALTER TABLE leads ENABLE TRIGGER }"
}

# ---- scoring ------------------------------------------------------------------------------------

measure_scoring()
{
	local select none ours plain

	va_psql -v n="$scored" <<-'SQL'
		CREATE TABLE bench.data AS SELECT jsonb_build_object('budget_mentioned', round(random()::numeric, 3), 'decision_maker', n % 2 = 0,
			'clear_need', round(random()::numeric, 2)::text, 'timeline_urgent', CASE n % 3 WHEN 0 THEN NULL ELSE round(random()::numeric, 3) END,
			'name', 'Jane Doe', 'note', repeat('x', 60)) AS data FROM generate_series(1, :n) n;
		DO $$ BEGIN
			IF EXISTS (SELECT FROM bench.data WHERE abs(va_lead_score(data) - bench.score(data)) > 1e-9) THEN
				RAISE EXCEPTION 'the two do not give the same scores';
			END IF;
		END $$;
	SQL
	select="bench.ms('SELECT sum(va_lead_score(data)) FROM bench.data') - bench.ms('SELECT count(data) FROM bench.data')"
	result 'scoring a lead, in a query' 'va_lead_score' 'PL/pgSQL, those five names only' "($select) * 1000 / $scored" \
		"(${select/va_lead_score/bench.score}) * 1000 / $scored" µs NULL
	# In the trigger: what an insert into a copy of leads without keys and indexes takes more with it than without.
	va_psql -c 'CREATE TABLE public.bench_leads (LIKE leads INCLUDING DEFAULTS)'
	none=$(insert_time)
	va_psql -c 'CREATE TRIGGER score BEFORE INSERT OR UPDATE ON bench_leads FOR EACH ROW EXECUTE FUNCTION va_lead_score_trigger()'
	ours=$(insert_time)
	va_psql -c 'CREATE OR REPLACE TRIGGER score BEFORE INSERT OR UPDATE ON bench_leads FOR EACH ROW EXECUTE FUNCTION bench.score_trigger()'
	plain=$(insert_time)
	va_psql -c 'DROP TABLE public.bench_leads'
	result 'scoring a lead, in the trigger' 'va_lead_score_trigger' 'the same in PL/pgSQL' "$ours - $none" "$plain - $none" µs 5
}

# µs a row
insert_time()
{
	va_psql -c "SELECT bench.ms('TRUNCATE bench_leads; INSERT INTO bench_leads (tenant_id, qualification_data) SELECT (SELECT id FROM tenants LIMIT 1), data FROM bench.data', 9) * 1000 / $scored"
}

# ---- writing ------------------------------------------------------------------------------------

# One statement a lead, as applications write.
measure_writing()
{
	local one many update

	one="bench.ms('DO \$x\$ BEGIN FOR i IN 1..$written LOOP INSERT INTO leads (tenant_id, phone, qualification_data) SELECT id, ''+1555'' || lpad(i::text, 7, ''0''), ''{\"need\": 1}'' FROM tenants LIMIT 1; END LOOP; END \$x\$', 3) * 1000 / $written"
	many="bench.ms('INSERT INTO leads (tenant_id, phone, qualification_data) SELECT (SELECT id FROM tenants LIMIT 1), ''+1555'' || lpad(n::text, 7, ''0''), ''{\"need\": 1}'' FROM generate_series(1, $written) n', 3) * 1000 / $written"
	update="bench.ms('DO \$x\$ DECLARE v uuid[] := ARRAY(SELECT id FROM leads ORDER BY id LIMIT $written); BEGIN FOR i IN 1..$written LOOP UPDATE leads SET first_name = i::text WHERE id = v[i]; END LOOP; END \$x\$', 3) * 1000 / $written"
	local -A value
	local how
	for how in with without; do
		va_psql -c 'TRUNCATE leads CASCADE' 2> /dev/null
		[ $how = with ] || triggers_only
		value[one_$how]=$(va_psql -c "SELECT $one")
		value[many_$how]=$(va_psql -c "SELECT $many")
		va_psql -c 'VACUUM ANALYZE leads'
		value[update_$how]=$(va_psql -c "SELECT $update")
		va_psql -c 'ALTER TABLE leads ENABLE TRIGGER USER'
	done
	result 'inserting a lead, a statement each' 'with all triggers' 'without triggers' "${value[one_with]}" "${value[one_without]}" µs NULL
	result 'inserting leads, one statement' 'with all triggers' 'without triggers' "${value[many_with]}" "${value[many_without]}" µs NULL
	result 'updating a name, a statement each' 'with all triggers' 'without triggers' "${value[update_with]}" "${value[update_without]}" µs NULL
	va_psql -c 'TRUNCATE leads CASCADE' 2> /dev/null
}

# ---- lead_funnel --------------------------------------------------------------------------------

measure_funnel()
{
	va_psql -v n="$leads" <<-'SQL'
		INSERT INTO tenants (name, slug, industry) SELECT 'T', 't' || n, 'x' FROM generate_series(1, 100) n;
		SET session_replication_role = replica;
		UPDATE pg_index SET indisready = false WHERE indrelid = 'leads'::regclass;
		INSERT INTO leads (tenant_id, lead_temperature, status, lead_score)
		SELECT t.ids[1 + n % 100], (ARRAY['hot', 'warm', 'cold'])[1 + n % 3],
			(ARRAY['new', 'qualified', 'contacted', 'meeting_scheduled', 'closed_won', 'closed_lost'])[1 + n / 7 % 6], (n % 1000) / 1000.0
		FROM (SELECT array_agg(id) AS ids FROM tenants) t, generate_series(1, :n) n;
		RESET session_replication_role;
		VACUUM ANALYZE leads;
		SELECT count(*) FROM va_funnel_recount() \g /dev/null
		SELECT va_funnel_compact() \g /dev/null
		VACUUM ANALYZE lead_counts;
		CREATE VIEW bench.funnel AS SELECT tenant_id, lead_temperature, status, count(*), avg(lead_score) AS avg_score FROM leads GROUP BY 1, 2, 3;
		DO $$ BEGIN
			IF EXISTS (SELECT tenant_id, lead_temperature, status, count, round(avg_score::numeric, 9) FROM lead_funnel
				EXCEPT SELECT tenant_id, lead_temperature, status, count, round(avg_score::numeric, 9) FROM bench.funnel) THEN
				RAISE EXCEPTION 'lead_funnel is not the plain query';
			END IF;
		END $$;
	SQL
	result "lead_funnel, $leads leads, 101 tenants" 'the view' 'the plain query' \
		"bench.ms('SELECT count(*), sum(count) FROM lead_funnel', 15)" "bench.ms('SELECT count(*), sum(count) FROM bench.funnel', 3)" ms 10
	# What 1000 changes a second leave between two passes of the scheduler.
	va_psql -c "INSERT INTO lead_counts SELECT (SELECT id FROM tenants LIMIT 1), 'hot', 'new', 1, 1, 0.123456789, false FROM generate_series(1, 10000)"
	result 'lead_funnel, with 10000 changes not yet compacted' 'the view' 'the plain query' \
		"bench.ms('SELECT count(*), sum(count) FROM lead_funnel', 15)" "(SELECT plain_value FROM bench.results WHERE what LIKE 'lead_funnel, $leads%')" ms 10
	va_psql -c 'ALTER TABLE leads DISABLE TRIGGER USER' -c 'TRUNCATE leads, lead_counts CASCADE' 2> /dev/null
	va_psql -c "UPDATE pg_index SET indisready = true WHERE indrelid = 'leads'::regclass" -c 'REINDEX TABLE leads' -c 'ALTER TABLE leads ENABLE TRIGGER USER'
}

# ---- the scheduler ------------------------------------------------------------------------------

measure_tick()
{
	local none

	none=$(va_psql -c "SELECT bench.ms('SELECT va_follow_ups_due(500)', 31)")
	va_psql -v n="$steps" <<-'SQL'
		CREATE TABLE bench.definitions AS SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index WHERE indrelid = 'follow_up_tasks'::regclass;
		SET session_replication_role = replica;
		UPDATE pg_index SET indisready = false WHERE indrelid = 'follow_up_tasks'::regclass;
		INSERT INTO follow_up_tasks (tenant_id, sequence_id, sequence_step, status, scheduled_for)
		SELECT t.id, 'cold', 1, 'pending', now() + interval '1 day' + n * interval '1 second' FROM (SELECT id FROM tenants LIMIT 1) t, generate_series(1, :n) n;
		RESET session_replication_role;
		UPDATE pg_index SET indisready = true WHERE indrelid = 'follow_up_tasks'::regclass;
		-- Those that the tick may use; the others would only take time.
		UPDATE pg_index SET indisready = false, indisvalid = false WHERE indrelid = 'follow_up_tasks'::regclass AND indexrelid NOT IN ('idx_follow_ups_due'::regclass, 'idx_follow_ups_pending'::regclass);
		REINDEX INDEX idx_follow_ups_due;
		REINDEX INDEX idx_follow_ups_pending;
		VACUUM ANALYZE follow_up_tasks;
	SQL
	result 'tick, no steps in the future' 'va_follow_ups_due' '-' "$none" NULL ms 5
	result "tick, $steps steps in the future" 'va_follow_ups_due' 'SELECT … without a partial index' "bench.ms('SELECT va_follow_ups_due(500)', 31)" \
		"bench.ms('SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off; SELECT FROM follow_up_tasks WHERE status = ''pending'' AND scheduled_for <= now() ORDER BY scheduled_for LIMIT 500 FOR UPDATE SKIP LOCKED', 3)" ms 5
	va_psql -c 'TRUNCATE follow_up_tasks CASCADE' -c "UPDATE pg_index SET indisready = true, indisvalid = true WHERE indrelid = 'follow_up_tasks'::regclass" -c 'REINDEX TABLE follow_up_tasks' 2> /dev/null
}

# ---- booking ------------------------------------------------------------------------------------

# Bookings a second of several clients who want random half hours of twenty tenants' people.
book()
{
	echo "$1" > "$VA_DIR/book.sql"
	chmod 644 "$VA_DIR/book.sql"
	va_as_server env PGPASSFILE="$VA_DIR/pgpass" "$VA_BIN/pgbench" -n -M prepared -c "$clients" -T "$booking" -h "$VA_SOCKET" -p "$VA_PORT" -U "$VA_USER" \
		-f "$VA_DIR/book.sql" postgres > "$VA_DIR/pgbench.out" 2>&1 || { cat "$VA_DIR/pgbench.out" >&2; return 1; }
}

measure_booking()
{
	va_psql <<-'SQL'
		SELECT va_tenant_create('B' || n, 'real_estate', NULL) FROM generate_series(1, 20) n \g /dev/null
		INSERT INTO human_agents (tenant_id, name, email, availability_hours)
		SELECT id, 'Ann', 'a@x.org', (SELECT jsonb_object_agg(d, '[["00:00", "24:00"]]'::jsonb) FROM unnest(ARRAY['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday']) d)
		FROM tenants WHERE name LIKE 'B%';
		INSERT INTO bench.agents SELECT id, tenant_id FROM human_agents;
		CREATE UNIQUE INDEX ON bench.agents (tenant);
		INSERT INTO leads (tenant_id, email) SELECT id, n || '@x.org' FROM tenants, generate_series(1, 50) n WHERE name LIKE 'B%';
		CREATE TABLE bench.customers AS SELECT row_number() OVER () - 1 AS n, l.id, l.tenant_id FROM leads l JOIN human_agents h USING (tenant_id);
		CREATE UNIQUE INDEX ON bench.customers (n);
		VACUUM ANALYZE;
	SQL
	local random='\set n random(0, 999)
\set at random(100, 20000)
'
	book "${random}SELECT bench.book_ours(c.id, date_trunc('hour', now()) + :at * interval '30 minutes') FROM bench.customers c WHERE c.n = :n;"
	book "${random}SELECT bench.book(c.id, c.tenant_id, date_trunc('hour', now()) + :at * interval '30 minutes') FROM bench.customers c WHERE c.n = :n;"
	result "booking, $clients clients" 'va_appointment_book' 'row lock, look, insert in PL/pgSQL' "(SELECT count(*) FROM appointments) / $booking.0" \
		"(SELECT count(*) FROM bench.bookings) / $booking.0" '/s' NULL
}

# ---- all of it ----------------------------------------------------------------------------------

table()
{
	echo '| what | ours | | equivalent | | equivalent / ours | target |'
	echo '|---|---|---:|---|---:|---:|---|'
	va_psql -c "SELECT format('| %s | %s | %s %s | %s | %s | %s | %s |', what, ours, round(ours_value, 3 - greatest(floor(log(greatest(abs(ours_value), 0.001))), -1)::int), unit, plain,
		coalesce(round(plain_value, 3 - greatest(floor(log(greatest(abs(plain_value), 0.001))), -1)::int) || ' ' || unit, ''),
		coalesce(round(plain_value / nullif(ours_value, 0), 2)::text, ''),
		CASE WHEN target IS NULL THEN '' ELSE format('at most %s %s: %s', target, unit, CASE WHEN ours_value <= target THEN 'met' ELSE '**not met**' END) END)
		FROM bench.results ORDER BY n"
	echo
	echo "$(date -u +%Y-%m-%d), load before the run $load_before, fsync off, medians; $scored leads scored, $written written."
}

load_before=$(cut -d ' ' -f 1-3 /proc/loadavg)
# In a database of its own configuration: no scheduler that works beside what is measured.
va_cluster_start --extension voiceagent.gateway_workers=0 voiceagent.database=template1 shared_buffers=1GB max_wal_size=8GB \
	wal_level=minimal max_wal_senders=0 maintenance_work_mem=512MB autovacuum=off
va_psql -f - < "$here/leads.sql"
va_psql -c "SELECT va_tenant_create('Benchmark', 'real_estate', NULL)" > /dev/null
for part in scoring writing funnel tick booking; do
	say "leads: $part"
	measure_$part
done
table > "$VA_DIR/leads.md"
cat "$VA_DIR/leads.md"
[ -z "$file" ] || cat "$VA_DIR/leads.md" > "$file"
[ -z "${WRITE_DOCS:-}" ] || write_docs 'results of leads' "$VA_DIR/leads.md"
