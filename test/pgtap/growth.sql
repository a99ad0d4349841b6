-- What must not slow down with the number of rows: the counts behind lead_funnel, and events by month.
\ir setup.psql
SELECT no_plan();
SELECT pg_temp.tenant('+15551230002') AS mine, pg_temp.tenant('+15551230003') AS theirs \gset

-- ---- lead_funnel: the specification's query and the view, and what differs between them
CREATE TEMP VIEW plain_funnel AS
SELECT tenant_id, lead_temperature, status, COUNT(*) as count, AVG(lead_score) as avg_score FROM leads GROUP BY tenant_id, lead_temperature, status;
CREATE FUNCTION pg_temp.differs() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(d::text, ' ') FROM (
		(SELECT tenant_id, lead_temperature, status, count, round(avg_score::numeric, 12) FROM plain_funnel
		 EXCEPT SELECT tenant_id, lead_temperature, status, count, round(avg_score::numeric, 12) FROM lead_funnel)
		UNION ALL
		(SELECT tenant_id, lead_temperature, status, count, round(avg_score::numeric, 12) FROM lead_funnel
		 EXCEPT SELECT tenant_id, lead_temperature, status, count, round(avg_score::numeric, 12) FROM plain_funnel)) d
$$;
SELECT is((SELECT count(*)::int FROM lead_funnel), 0, 'no leads, no rows');
SELECT set_config('test.mine', :'mine', false), set_config('test.theirs', :'theirs', false) \g /dev/null

-- Each statement alone, and what the counts are afterwards: leads, and the sum of the counts.
CREATE TEMP TABLE steps (n serial, leads int, what text);
INSERT INTO steps (leads, what) VALUES
	(1, format($$INSERT INTO leads (tenant_id, phone) VALUES (%L, '+15557770001')$$, :'mine')),
	(4, format($$INSERT INTO leads (tenant_id, qualification_data) SELECT %L, jsonb_build_object('budget', n / 3.0, 'need', 0.7) FROM generate_series(1, 3) n$$, :'mine')),
	(5, $$INSERT INTO leads (tenant_id) VALUES (NULL)$$),
	(5, $$INSERT INTO leads (id, tenant_id) SELECT id, tenant_id FROM leads ON CONFLICT (id) DO NOTHING$$),
	(6, format($$INSERT INTO leads (id, tenant_id) SELECT id, tenant_id FROM leads WHERE tenant_id IS NOT NULL UNION ALL SELECT gen_random_uuid(), %L ON CONFLICT (id) DO UPDATE SET qualification_data = '{"need": 1, "budget": 1, "authority": 1}'$$, :'mine')),
	(6, format($$MERGE INTO leads l USING (SELECT id FROM leads ORDER BY created_at, id LIMIT 2) o ON l.id = o.id WHEN MATCHED THEN UPDATE SET qualification_data = '{"need": 0.123456789}'$$)),
	(6, $$UPDATE leads SET first_name = 'x'$$),
	(6, $$UPDATE leads SET status = 'qualified', status_event = 'qualify' WHERE tenant_id IS NOT NULL AND status = 'new'$$),
	(6, format($$UPDATE leads SET tenant_id = %L WHERE tenant_id IS NULL$$, :'theirs')),
	(6, $$UPDATE leads SET tenant_id = NULL WHERE tenant_id = current_setting('test.theirs')::uuid$$),
	(6, $$UPDATE leads SET created_at = '2020-01-01'$$),
	(7, $$WITH x AS (INSERT INTO leads (tenant_id) VALUES (NULL) RETURNING id) SELECT count(*) FROM x$$),
	(6, $$DELETE FROM leads WHERE id = (SELECT id FROM leads WHERE tenant_id IS NULL ORDER BY id LIMIT 1)$$),
	(6, $$DELETE FROM leads WHERE false$$),
	(8, format($q$DO $x$ BEGIN
		INSERT INTO leads (tenant_id) VALUES (%1$L);
		BEGIN INSERT INTO leads (tenant_id) SELECT %1$L FROM generate_series(1, 9); RAISE EXCEPTION 'back'; EXCEPTION WHEN raise_exception THEN NULL; END;
		INSERT INTO leads (tenant_id) VALUES (%1$L);
	END $x$$q$, :'theirs')),
	(9, format($$SELECT va_lead_capture(%L, '{"phone": "+15557770009", "qualification_data": {"budget": "500k"}}')$$, :'theirs')),
	(9, format($$SELECT va_lead_capture(%L, '{"phone": "+15557770009", "qualification_data": {"authority": true, "timeline": "now"}}')$$, :'theirs')),
	(10, format($$SELECT va_lead_capture(%L, '{"email": "dup@x.org", "phone": "+15557770010"}')$$, :'theirs')),
	(11, format($$INSERT INTO leads (tenant_id, phone) VALUES (%L, '+15557770010')$$, :'theirs')),
	(10, $$SELECT va_lead_merge((SELECT id FROM leads WHERE email = 'dup@x.org'), (SELECT id FROM leads WHERE phone = '+15557770010' AND email IS NULL))$$),
	(9, format($$SELECT va_erase_person(%L, '+15557770010')$$, :'theirs')),
	(9, $$SELECT va_funnel_compact()$$),
	(9, $$UPDATE tenants SET settings = settings || '{"qualification_criteria": {"budget_mentioned": 2}, "warm_lead_threshold": 0.1}'$$),
	(9, $$SELECT va_funnel_compact()$$);
CREATE FUNCTION pg_temp.step(what text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE what;
	RETURN (SELECT coalesce(sum(count), 0) FROM lead_funnel);
END $$;
SELECT is(pg_temp.step(what), leads, translate(left(what, 60), E'\n\t', '  ')), is(pg_temp.differs(), NULL, 'as the plain query') FROM steps ORDER BY n;
SELECT ok((SELECT count(*) >= 2 FROM lead_funnel WHERE avg_score > 0), 'with averages'), ok((SELECT bool_and(compacted) FROM lead_counts), 'all in one row each');
SELECT is(va_funnel_compact(), 0::bigint, 'nothing more to compact');
COPY leads (tenant_id, first_name, status) FROM stdin;
\N	copied	contacted
\N	copied	closed_won
\.
SELECT is((SELECT count(*)::int FROM lead_funnel WHERE tenant_id IS NULL AND status IN ('contacted', 'closed_won')), 2, 'COPY is counted'), is(pg_temp.differs(), NULL, 'as the plain query');
BEGIN;
INSERT INTO leads (tenant_id) VALUES (:'mine');
SAVEPOINT a;
DELETE FROM leads WHERE tenant_id IS NULL;
SELECT is(pg_temp.differs(), NULL, 'inside a transaction');
ROLLBACK TO a;
SELECT is(pg_temp.differs(), NULL, 'back to a savepoint');
ROLLBACK;
SELECT is(pg_temp.differs(), NULL, 'and rolled back');

-- a score that is deep behind the point comes and goes without a trace
ALTER TABLE leads DISABLE TRIGGER leads_score;
BEGIN;
INSERT INTO leads (tenant_id, lead_score, lead_temperature) SELECT :'mine', s, 'cold' FROM unnest(ARRAY[0.1, 0.2, 1e-300, 0.30000000000000004, NULL, 0.7, 1/3.0::float8]) s;
SELECT is(pg_temp.differs(), NULL, 'odd scores');
UPDATE leads SET lead_score = NULL WHERE lead_score < 0.25;
SELECT is(pg_temp.differs(), NULL, 'scores that go');
DELETE FROM leads WHERE lead_temperature = 'cold' AND status = 'new' AND tenant_id = :'mine';
SELECT is((SELECT count(*)::int FROM lead_funnel WHERE tenant_id = :'mine' AND lead_temperature = 'cold' AND status = 'new'), 0, 'nothing is left'), is(pg_temp.differs(), NULL, 'as the plain query');
SELECT va_funnel_compact() \g /dev/null
SELECT is((SELECT count(*)::int FROM lead_counts WHERE tenant_id = :'mine' AND lead_temperature = 'cold' AND status = 'new'), 0, 'not even a row');
ROLLBACK;
ALTER TABLE leads ENABLE TRIGGER leads_score;

-- a random workload, a tenth of it rolled back
CREATE FUNCTION pg_temp.work(seed float8, steps int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_tenants uuid[] := ARRAY[current_setting('test.mine'), current_setting('test.theirs'), NULL]::uuid[];
	r float8;
BEGIN
	PERFORM setseed(seed);
	FOR i IN 1..steps LOOP
		r := random();
		BEGIN
			IF r < 0.4 THEN
				INSERT INTO leads (tenant_id, status, qualification_data) SELECT v_tenants[1 + floor(random() * 3)::int],
					(ARRAY['new', 'qualified', 'contacted', 'closed_won', 'archived'])[1 + floor(random() * 5)::int],
					jsonb_build_object('budget', random(), 'need', random(), 'authority', random(), 'timeline', random())
				FROM generate_series(1, 1 + floor(random() * 4)::int);
			ELSIF r < 0.6 THEN
				UPDATE leads SET qualification_data = jsonb_build_object('budget', random(), 'need', random()) WHERE random() < 0.1;
			ELSIF r < 0.7 THEN
				UPDATE leads SET tenant_id = v_tenants[1 + floor(random() * 3)::int] WHERE id = (SELECT id FROM leads WHERE status = 'new' ORDER BY random() LIMIT 1)
					AND NOT EXISTS (SELECT FROM lead_stage_history h WHERE h.lead_id = leads.id);
			ELSIF r < 0.8 THEN
				UPDATE leads SET status = 'closed_lost', status_event = 'lose', status_reason = 'x' WHERE status = 'contacted' AND random() < 0.3;
			ELSIF r < 0.9 THEN
				DELETE FROM leads WHERE random() < 0.1;
			ELSE
				PERFORM va_funnel_compact();
			END IF;
			IF random() < 0.1 THEN
				RAISE EXCEPTION 'roll back';
			END IF;
		EXCEPTION WHEN raise_exception OR foreign_key_violation THEN
			NULL;
		END;
	END LOOP;
END $$;
SELECT pg_temp.work(s, 60), is(pg_temp.differs(), NULL, format('a random workload, seed %s', s)) FROM generate_series(0.1, 0.9, 0.2) s;
SELECT cmp_ok((SELECT count(*) FROM lead_funnel), '>', 10::bigint, 'of many groups');

-- a tenant goes, and all leads go
SELECT pg_temp.tenant('+15551230004') AS gone \gset
INSERT INTO leads (tenant_id) SELECT :'gone' FROM generate_series(1, 5);
SELECT is((SELECT sum(count)::int FROM lead_funnel WHERE tenant_id = :'gone'), 5, 'five leads');
DELETE FROM analytics_events;
DELETE FROM tenants WHERE id = :'gone';
SELECT is((SELECT count(*)::int FROM lead_funnel WHERE tenant_id = :'gone'), 0, 'they go with their tenant'), is(pg_temp.differs(), NULL, 'as the plain query');

-- triggers off
SET session_replication_role = replica;
INSERT INTO leads (tenant_id, lead_temperature, status, lead_score) VALUES (:'mine', 'hot', 'archived', 0.5), (:'mine', 'hot', 'archived', 0.25);
UPDATE leads SET lead_score = 0.75 WHERE lead_temperature = 'hot' AND status = 'archived' AND lead_score = 0.25;
RESET session_replication_role;
SELECT isnt(pg_temp.differs(), NULL, 'without triggers the counts go wrong');
SELECT is((SELECT array_agg((tenant_id = :'mine', lead_temperature, status, found - counted)::text) FROM va_funnel_recount()), ARRAY['(t,hot,archived,2)'], 'a recount says what differed'), is(pg_temp.differs(), NULL, 'and mends it');
SELECT is((SELECT count(*)::int FROM va_funnel_recount()), 0, 'once');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT is(pg_temp.sqlstate_of('SELECT * FROM va_funnel_recount()'), '25000', 'it refuses an old snapshot');
ROLLBACK;
TRUNCATE leads CASCADE;
SELECT is((SELECT count(*)::int FROM lead_funnel), 0, 'TRUNCATE'), is((SELECT count(*)::int FROM lead_counts), 0, 'leaves no count');
SELECT is((SELECT count(*)::int FROM va_funnel_recount()), 0, 'rightly');

-- ---- isolation: each sees its own counts, and nobody writes them
INSERT INTO leads (tenant_id) SELECT unnest(ARRAY[:'mine', :'mine', :'theirs']::uuid[]);
SELECT set_config('voiceagent.tenant_id', :'mine', false) \g /dev/null
SET ROLE voiceagent_bi;
SELECT is((SELECT array_agg(tenant_id || ' ' || count) FROM lead_funnel), ARRAY[:'mine' || ' 2'], 'business intelligence sees its tenant''s');
SELECT is(pg_temp.sqlstate_of(s), '42501', 'refused: ' || s) FROM unnest(ARRAY['DELETE FROM lead_counts', 'INSERT INTO lead_counts VALUES (NULL, NULL, NULL, 1, 0, 0)', 'SELECT va_funnel_compact()', 'SELECT va_funnel_recount()', 'SELECT va_events_partition(current_date)', 'SELECT FROM analytics_events_default', 'SELECT FROM analytics_events_dump']) s;
SET ROLE voiceagent_agent;
INSERT INTO leads (tenant_id) VALUES (:'mine');
SELECT is((SELECT sum(count)::int FROM lead_funnel), 3, 'an application counts with what it writes');
RESET ROLE;
SELECT set_config('voiceagent.tenant_id', '', false) \g /dev/null
SELECT is(pg_temp.differs(), NULL, 'as the plain query');

-- ---- events by month
DELETE FROM analytics_events;
SELECT is((SELECT array_agg(partition::text) FROM va_events_partitions()), ARRAY['analytics_events_default'], 'in the beginning one partition, for everything');
SELECT is((SELECT (ok, hint LIKE '%va_housekeeping%') FROM va_health() WHERE "check" = 'events'), (false, true), 'of which va_health tells');
SET timezone = 'Pacific/Kiritimati';
CREATE FUNCTION pg_temp.event(at timestamptz, tenant uuid DEFAULT current_setting('test.mine')::uuid) RETURNS text LANGUAGE sql AS $$
	INSERT INTO analytics_events (tenant_id, event_type, created_at) VALUES (tenant, 'x', at) RETURNING tableoid::regclass::text $$;
SELECT date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS first \gset
CREATE FUNCTION pg_temp.month(first timestamptz, m int) RETURNS timestamptz LANGUAGE sql AS $$ SELECT (first AT TIME ZONE 'UTC' + m * interval '1 month') AT TIME ZONE 'UTC' $$;
CREATE FUNCTION pg_temp.name(first timestamptz, m int) RETURNS text LANGUAGE sql AS $$ SELECT 'analytics_events_' || to_char(first AT TIME ZONE 'UTC' + m * interval '1 month', 'YYYY_MM') $$;
SELECT is(pg_temp.event(at), 'analytics_events_default', 'an event of ' || at) FROM unnest(ARRAY[now(), pg_temp.month(:'first', -2), pg_temp.month(:'first', -1) - interval '1 us', '1999-01-01', 'infinity', '-infinity', pg_temp.month(:'first', 3)]) at;
SELECT va_events_maintain() \g /dev/null
SELECT is((SELECT array_agg(partition::text) FROM va_events_partitions()), ARRAY[pg_temp.name(:'first', -2), pg_temp.name(:'first', 0), pg_temp.name(:'first', 1), pg_temp.name(:'first', 2), pg_temp.name(:'first', 3), 'analytics_events_default'], 'three months ahead, and those that had rows');
SELECT is((SELECT array_agg(tableoid::regclass::text || ' ' || n ORDER BY tableoid::regclass::text) FROM (SELECT tableoid, count(*) AS n FROM analytics_events GROUP BY tableoid) c), ARRAY[pg_temp.name(:'first', -2) || ' 2', pg_temp.name(:'first', 0) || ' 1', pg_temp.name(:'first', 3) || ' 1', 'analytics_events_default 3'], 'the rows have moved there; what has no month stays');
SELECT is(pg_temp.event(pg_temp.month(:'first', m) + d), pg_temp.name(:'first', m + CASE WHEN d < '0' THEN -1 ELSE 0 END), format('month %s begins and ends in UTC: %s', m, d)) FROM (VALUES (0, interval '0'), (1, '-1 us'), (1, '0'), (3, '-1 us')) v (m, d);
SELECT is((SELECT ends FROM va_events_partitions() WHERE partition::text = pg_temp.name(:'first', 0)), pg_temp.month(:'first', 1), 'va_events_partitions tells where one ends');
SELECT va_emit(:'mine', 'hello', NULL, NULL) \g /dev/null
SELECT is((SELECT tableoid::regclass::text FROM analytics_events WHERE event_type = 'hello'), pg_temp.name(:'first', 0), 'va_emit writes into the month');
SELECT is((SELECT array_agg(x) FROM (SELECT (c.relrowsecurity, c.relforcerowsecurity, (SELECT array_agg(polname ORDER BY polname) FROM pg_policy p WHERE p.polrelid = c.oid), c.relacl::text, (SELECT deptype FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid WHERE d.objid = c.oid AND e.extname = 'voiceagent'))::text AS x FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid WHERE i.inhparent = 'analytics_events'::regclass GROUP BY 1) y), ARRAY['(t,t,"{administrator,owner,tenant_rows}",,e)'], 'each partition is protected and the extension''s, as the first');
SELECT is((SELECT count(DISTINCT x)::int FROM (SELECT (SELECT array_agg(substring(indexdef FROM 'USING.*') ORDER BY substring(indexdef FROM 'USING.*')) FROM pg_indexes WHERE tablename = partition::text AND indexdef NOT LIKE '%idx_analytics_default_created%') AS x FROM va_events_partitions()) y), 1, 'and has the same indexes');
SELECT is((SELECT count(*)::int FROM pg_constraint WHERE contype = 'f' AND confrelid = 'tenants'::regclass AND conrelid IN (SELECT partition FROM va_events_partitions())), 6, 'and the key to its tenant');
SELECT is(va_events_partition('2001-02-03'), true, 'any month can be made'), is(pg_temp.event('2001-02-28 23:59:59+00'), 'analytics_events_2001_02', 'and filled');
SELECT is(va_events_partition('2001-02-28'), true, 'twice'), is((SELECT count(*)::int FROM va_events_partitions()), 7, 'it is there once');
SELECT pg_temp.event('2002-01-01 00:00:00+00') FROM generate_series(1, 3) \g /dev/null
SELECT is(va_events_partition('2002-01-01', 2), false, 'more rows than were allowed are not moved'), is((SELECT count(*)::int FROM analytics_events_default WHERE created_at = '2002-01-01 00:00:00+00'), 3, 'they stay'), is(va_events_partition('2002-01-01', 3), true, 'as many are');
SELECT is((SELECT count(*)::int FROM analytics_events_2002_01), 3, 'and moved');
SELECT ok(ok, 'va_health is content: ' || detail) FROM va_health() WHERE "check" = 'events';
-- functions that touch events
SELECT va_lead_capture(:'mine', '{"phone": "+15557770021"}') AS a, va_lead_capture(:'mine', '{"email": "b@x.org"}') AS b \gset
UPDATE leads SET phone = '+15557770021' WHERE id = :'b';
INSERT INTO analytics_events (tenant_id, lead_id, event_type, created_at) SELECT :'mine', :'b', 'old', pg_temp.month(:'first', m) FROM generate_series(-2, 1) m;
SELECT va_lead_merge(:'a', :'b') \g /dev/null
SELECT is((SELECT count(*)::int FROM analytics_events WHERE lead_id = :'a' AND event_type = 'old'), 4, 'a merge takes them along in every month');
SELECT is((va_erase_person(:'mine', '+15557770021') -> 'deleted' ->> 'analytics_events')::int >= 5, true, 'an erasure finds them in every month');
SELECT is((SELECT count(*)::int FROM analytics_events WHERE lead_id = :'a'), 0, 'and leaves none');

-- retention
CREATE FUNCTION pg_temp.partitions() RETURNS int LANGUAGE sql AS $$ SELECT count(*)::int FROM va_events_partitions() $$;
SELECT is(va_events_retire(), 0, 'kept for ever unless somebody says otherwise');
UPDATE tenants SET settings = settings || '{"retention_days": {"events": 4000}}' WHERE id = :'mine';
SELECT is(va_events_retire(), 0, 'or while another tenant keeps them'), is(va_events_kept(), NULL, 'for ever');
UPDATE tenants SET settings = settings || '{"retention_days": {"events": 2000}}' WHERE id = :'theirs';
SELECT is(va_events_kept(), '4000 days'::interval, 'the longest counts');
INSERT INTO analytics_events (event_type, created_at) VALUES ('nobodys', '2002-01-15 00:00:00+00');
SELECT is(va_events_retire(), 1, 'the partition that nobody wants any more goes');
SELECT is((SELECT array_agg(partition::text) FROM va_events_partitions() WHERE partition::text ~ '200[12]'), ARRAY['analytics_events_2002_01'], 'one with a row that is no tenant''s stays');
INSERT INTO settings VALUES ('retention_days', '{"events": 1}');
SELECT is(va_events_retire(), 1, 'unless the platform says how long');
SELECT is(to_regclass('analytics_events_2002_01'), NULL, 'gone');
SELECT is(va_events_kept(), '4000 days'::interval, 'a tenant''s own word counts for its rows');
SELECT va_housekeeping() \g /dev/null
SELECT is((SELECT count(*)::int FROM va_events_partitions() WHERE ends > now()), 4, 'housekeeping does both');
SELECT is((SELECT count(*)::int FROM analytics_events WHERE created_at BETWEEN '1990-01-01' AND '2010-01-01'), 0, 'and rows in the default partition go by their tenant''s retention');

-- what a restore with triggers disabled leaves is brought home
SET session_replication_role = replica;
INSERT INTO analytics_events_dump (id, tenant_id, event_type, created_at) VALUES (gen_random_uuid(), :'mine', 'restored', now());
RESET session_replication_role;
SELECT va_events_maintain() \g /dev/null
SELECT is((SELECT tableoid::regclass::text FROM analytics_events WHERE event_type = 'restored'), pg_temp.name(:'first', 0), 'a restored event'), is((SELECT count(*)::int FROM analytics_events_dump), 0, 'the way through is empty');
INSERT INTO analytics_events_dump (id, tenant_id, event_type, created_at) VALUES (gen_random_uuid(), :'mine', 'r2', pg_temp.month(:'first', -5)), (gen_random_uuid(), :'mine', 'r2', '1970-01-01');
SELECT is((SELECT array_agg(tableoid::regclass::text ORDER BY created_at) FROM analytics_events WHERE event_type = 'r2'), ARRAY['analytics_events_default', pg_temp.name(:'first', -5)], 'a restore makes the months it needs');
SELECT * FROM finish();
