-- Views for business intelligence, against numbers computed by hand; and each view and column described, in the catalogue
-- and in docs/views.md with the same words.
\ir setup.psql
SELECT no_plan();

-- ---- described
\set docs `cat docs/views.md`
CREATE TEMP TABLE docs AS SELECT line FROM regexp_split_to_table(:'docs', '\n') line;
CREATE TEMP VIEW view_columns AS
SELECT c.relname::text AS view, a.attname::text AS name, format_type(a.atttypid, NULL) AS type, col_description(c.oid, a.attnum) AS words
FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass AND e.extname = 'voiceagent'
JOIN pg_class c ON c.oid = d.objid AND d.classid = 'pg_class'::regclass AND c.relkind = 'v'
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 WHERE d.deptype = 'e';
SELECT cmp_ok((SELECT count(DISTINCT view) FROM view_columns), '>=', 12::bigint, 'there are views');
SELECT isnt(obj_description(v::regclass), NULL, v || ' has a comment'), ok(EXISTS (SELECT FROM docs WHERE line = '## ' || v), 'and a section in docs/views.md') FROM (SELECT DISTINCT view FROM view_columns ORDER BY view) x (v);
SELECT isnt(words, NULL, format('%s.%s has a comment', view, name)) FROM view_columns ORDER BY view, name;
SELECT ok(EXISTS (SELECT FROM docs WHERE line = format('| `%s` | %s | %s |', name, type, words)), format('%s.%s is in docs/views.md with it', view, name))
FROM view_columns WHERE words NOT LIKE 'calls.%' AND words NOT LIKE 'appointments.%' ORDER BY view, name;

-- ---- a small world, written as it is, without what triggers would add
SELECT pg_temp.tenant('+15551230002') AS t, pg_temp.tenant('+15551230003') AS other \gset
UPDATE tenants SET timezone = 'America/New_York' WHERE id = :'t';
SET session_replication_role = replica;
CREATE FUNCTION pg_temp.id(kind int, n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT format('00000000-0000-4000-8000-%s', lpad(kind::text || lpad(n::text, 3, '0'), 12, '0'))::uuid $$;
INSERT INTO campaigns (tenant_id, name) VALUES (:'t', 'Mine'), (:'other', 'Theirs');
INSERT INTO human_agents (id, tenant_id, name, email) VALUES (pg_temp.id(1, 1), :'t', 'Ann', 'a@x.org'), (pg_temp.id(1, 2), :'t', 'Bob', 'b@x.org');
INSERT INTO leads (id, tenant_id, status, source, utm_source, lead_score, created_at, assigned_to) VALUES
	(pg_temp.id(2, 1), :'t', 'closed_won', 'web', 'ads', 0.75, '2030-03-01 00:00+00', pg_temp.id(1, 1)),
	(pg_temp.id(2, 2), :'t', 'contacted', 'web', 'ads', 0.25, '2030-03-01 00:00+00', pg_temp.id(1, 1)),
	(pg_temp.id(2, 3), :'t', 'new', 'web', 'ads', NULL, '2030-03-01 00:00+00', NULL),
	(pg_temp.id(2, 4), :'t', 'closed_lost', 'inbound_call', NULL, 0.1, '2030-03-01 00:00+00', pg_temp.id(1, 2)),
	(pg_temp.id(2, 5), :'other', 'new', 'web', 'ads', 1, '2030-03-01 00:00+00', NULL);
INSERT INTO lead_stage_history (tenant_id, lead_id, event, from_stage, to_stage, changed_by, changed_at) VALUES
	(:'t', pg_temp.id(2, 1), 'qualify', 'new', 'qualified', 'x', '2030-03-01 02:00+00'),
	(:'t', pg_temp.id(2, 1), 'contact', 'qualified', 'contacted', 'x', '2030-03-01 05:00+00'),
	(:'t', pg_temp.id(2, 1), 'win', 'contacted', 'closed_won', 'x', '2030-03-02 05:00+00'),
	(:'t', pg_temp.id(2, 2), 'qualify', 'new', 'qualified', 'x', '2030-03-01 04:00+00'),
	(:'t', pg_temp.id(2, 2), 'contact', 'qualified', 'contacted', 'x', '2030-03-01 05:00+00'),
	(:'t', pg_temp.id(2, 2), 'merge', 'contacted', 'contacted', 'x', '2030-03-01 06:00+00'),
	(:'t', pg_temp.id(2, 4), 'import', NULL, 'contacted', 'x', '2030-03-01 00:00+00'),
	(:'t', pg_temp.id(2, 4), 'lose', 'contacted', 'closed_lost', 'x', '2030-03-01 10:00+00');
INSERT INTO calls (id, tenant_id, lead_id, direction, status, duration_seconds, started_at, created_at, escalated_to_human, escalation_reason, sentiment_score) VALUES
	-- 2030-03-10 is the day on which New York leaps from 2 to 3 o'clock
	(pg_temp.id(3, 1), :'t', pg_temp.id(2, 1), 'inbound', 'completed', 120, '2030-03-10 06:59+00', '2030-03-10 06:59+00', true, 'asks for a person', 0.5),
	(pg_temp.id(3, 2), :'t', pg_temp.id(2, 1), 'outbound', 'no-answer', 0, '2030-03-10 07:00+00', '2030-03-10 07:00+00', false, NULL, NULL),
	(pg_temp.id(3, 3), :'t', pg_temp.id(2, 2), 'inbound', 'completed', 60, '2030-03-10 07:30+00', '2030-03-10 07:30+00', true, NULL, NULL),
	(pg_temp.id(3, 4), :'t', NULL, 'inbound', 'in-progress', NULL, '2030-03-10 04:30+00', '2030-03-10 04:30+00', true, 'upset', NULL),
	(pg_temp.id(3, 5), :'other', NULL, 'inbound', 'completed', 10, '2030-03-10 07:30+00', '2030-03-10 07:30+00', false, NULL, NULL);
INSERT INTO analytics_events (tenant_id, call_id, event_type, created_at) VALUES (:'t', pg_temp.id(3, 1), 'call_escalated', '2030-03-10 06:59:30+00');
INSERT INTO agent_reservations (tenant_id, agent_id, call_id, reserved_at, released_at, handled) VALUES
	(:'t', pg_temp.id(1, 2), pg_temp.id(3, 1), '2030-03-10 06:59:31+00', '2030-03-10 06:59:35+00', false),
	(:'t', pg_temp.id(1, 1), pg_temp.id(3, 1), '2030-03-10 06:59:40+00', '2030-03-10 07:01:20+00', true),
	(:'t', pg_temp.id(1, 1), NULL, '2030-03-10 08:00+00', '2030-03-10 08:05+00', true),
	(:'t', pg_temp.id(1, 2), pg_temp.id(3, 4), '2030-03-10 04:31+00', NULL, NULL);
INSERT INTO appointments (tenant_id, lead_id, title, scheduled_at, status, assigned_agent_id, created_at) VALUES
	(:'t', pg_temp.id(2, 1), 'x', '2030-04-01', 'completed', pg_temp.id(1, 1), '2030-03-04 00:00+00'), (:'t', pg_temp.id(2, 1), 'x', '2030-04-02', 'no_show', pg_temp.id(1, 1), '2030-03-20 00:00+00'),
	(:'t', pg_temp.id(2, 2), 'x', '2030-04-03', 'cancelled', pg_temp.id(1, 1), '2030-02-01 00:00+00'), (:'t', pg_temp.id(2, 2), 'x', '2030-04-03', 'completed', pg_temp.id(1, 1), '2030-02-01 00:00+00');
INSERT INTO follow_up_tasks (tenant_id, lead_id, call_id, sequence_id, sequence_step, purpose, status, scheduled_for, executed_at, result, created_at) VALUES
	(:'t', pg_temp.id(2, 1), NULL, 'hot', 1, 'confirm', 'completed', '2030-03-01', '2030-03-01 00:00+00', NULL, now()),
	(:'t', pg_temp.id(2, 1), NULL, 'hot', 2, 'call', 'completed', '2030-03-02', '2030-03-02 00:00+00', NULL, now()),
	(:'t', pg_temp.id(2, 1), NULL, 'hot', 3, 'follow_up', 'cancelled', '2030-03-03', NULL, '{"why": "booking"}', now()),
	(:'t', pg_temp.id(2, 2), NULL, 'hot', 1, 'confirm', 'failed', '2030-03-01', '2030-03-01 00:00+00', NULL, now()),
	(:'t', pg_temp.id(2, 2), NULL, 'hot', 2, 'call', 'cancelled', '2030-03-02', NULL, '{"why": "reply"}', now()),
	(:'t', pg_temp.id(2, 3), NULL, 'hot', 1, 'confirm', 'pending', '2030-03-01', NULL, NULL, now()),
	(:'t', pg_temp.id(2, 4), NULL, 'hot', 1, 'confirm', 'queued', '2030-03-01', '2030-03-01 00:00+00', NULL, now()),
	(:'t', pg_temp.id(2, 4), NULL, 'hot', 2, 'call', 'skipped', '2030-03-02', NULL, '{"why": "opt_out"}', now()),
	(:'t', pg_temp.id(2, 3), NULL, 'hot', 2, 'call', 'cancelled', '2030-03-02', NULL, '{"why": "replanned"}', now()),
	(:'t', pg_temp.id(2, 2), pg_temp.id(3, 3), NULL, NULL, NULL, 'pending', '2030-03-10 12:00+00', NULL, NULL, now());
INSERT INTO notifications (tenant_id, lead_id, channel, direction, status, sent_at, delivered_at, created_at) VALUES
	(:'t', pg_temp.id(2, 1), 'sms', 'outbound', 'delivered', '2030-03-01 00:00+00', '2030-03-01 00:01+00', '2030-03-01 00:00+00'),
	(:'t', pg_temp.id(2, 1), 'sms', 'inbound', 'received', NULL, NULL, '2030-03-01 00:10+00'),
	(:'t', pg_temp.id(2, 1), 'sms', 'inbound', 'received', NULL, NULL, '2030-03-01 00:20+00'),
	(:'t', pg_temp.id(2, 1), 'sms', 'outbound', 'sent', '2030-03-01 01:00+00', NULL, '2030-03-01 00:30+00'),
	(:'t', pg_temp.id(2, 2), 'sms', 'outbound', 'read', '2030-03-01 02:00+00', NULL, '2030-03-01 02:00+00'),
	(:'t', pg_temp.id(2, 2), 'sms', 'inbound', 'received', NULL, NULL, '2030-03-01 02:30+00'),
	(:'t', pg_temp.id(2, 2), 'sms', 'outbound', 'failed', NULL, NULL, '2030-03-01 03:00+00'),
	(:'t', pg_temp.id(2, 2), 'sms', 'outbound', 'pending', NULL, NULL, '2030-03-01 04:00+00'),
	(:'t', pg_temp.id(2, 4), 'email', 'outbound', 'sent', '2030-03-01 00:00+00', NULL, '2030-03-01 00:00+00'),
	(:'t', pg_temp.id(2, 4), 'sms', 'inbound', 'received', NULL, NULL, '2030-03-16 00:00+00'); -- 15 days after
RESET session_replication_role;
SELECT va_funnel_recount() \g /dev/null

-- ---- what the views say of it, as JSON of a row
CREATE FUNCTION pg_temp.says(query text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE r jsonb; BEGIN EXECUTE format('SELECT jsonb_agg(to_jsonb(q) - ARRAY[''tenant_id'', ''agent_id'', ''call_id'', ''lead_id'']) FROM (%s) q', query) INTO r; RETURN r; END $$;
SELECT is(pg_temp.says(format('SELECT * FROM lead_conversion WHERE tenant_id = %L ORDER BY from_stage, to_stage', :'t')), '[
	{"from_stage": "contacted", "to_stage": "closed_lost", "reached": 3, "leads": 1, "conversion_rate": 0.3333, "avg_hours": 10, "median_hours": 10},
	{"from_stage": "contacted", "to_stage": "closed_won", "reached": 3, "leads": 1, "conversion_rate": 0.3333, "avg_hours": 24, "median_hours": 24},
	{"from_stage": "new", "to_stage": "qualified", "reached": 3, "leads": 2, "conversion_rate": 0.6667, "avg_hours": 3, "median_hours": 3},
	{"from_stage": "qualified", "to_stage": "contacted", "reached": 2, "leads": 2, "conversion_rate": 1.0, "avg_hours": 2, "median_hours": 2}]', 'lead_conversion');
SELECT is(pg_temp.says(format('SELECT * FROM calls_by_hour WHERE tenant_id = %L ORDER BY day, hour', :'t')), '[
	{"day": "2030-03-09", "hour": 23, "calls": 1, "inbound": 1, "outbound": 0, "completed": 0, "missed": 0, "escalated": 1, "seconds": 0, "avg_seconds": null, "avg_sentiment": null},
	{"day": "2030-03-10", "hour": 1, "calls": 1, "inbound": 1, "outbound": 0, "completed": 1, "missed": 0, "escalated": 1, "seconds": 120, "avg_seconds": 120, "avg_sentiment": 0.5},
	{"day": "2030-03-10", "hour": 3, "calls": 2, "inbound": 1, "outbound": 1, "completed": 1, "missed": 1, "escalated": 1, "seconds": 60, "avg_seconds": 60, "avg_sentiment": null}]', 'calls_by_hour, over a change of clocks');
SELECT is(pg_temp.says(format('SELECT * FROM agent_performance WHERE tenant_id = %L ORDER BY agent_name', :'t')), '[
	{"agent_name": "Ann", "calls": 2, "not_reached": 0, "open_calls": 0, "seconds": 400, "avg_seconds": 200, "escalations": 1, "appointments": 4, "completed": 2, "cancelled": 1, "no_shows": 1, "no_show_rate": 0.3333, "leads": 2, "won": 1},
	{"agent_name": "Bob", "calls": 0, "not_reached": 1, "open_calls": 1, "seconds": 0, "avg_seconds": null, "escalations": 0, "appointments": 0, "completed": 0, "cancelled": 0, "no_shows": 0, "no_show_rate": null, "leads": 1, "won": 0}]', 'agent_performance');
-- lead 1: a message after step 1 (replied), a booking two days after step 2, another 18 days after it; lead 2: a message after
-- the failed step 1; lead 4: a message after more than 14 days
SELECT is(pg_temp.says(format('SELECT * FROM follow_up_effect WHERE tenant_id = %L ORDER BY sequence_step', :'t')), '[
	{"sequence_id": "hot", "sequence_step": 1, "purpose": "confirm", "planned": 4, "waiting": 1, "sent": 3, "failed": 1, "replied": 2, "booked": 0, "reply_rate": 0.6667, "stopped_by_reply": 0, "stopped_by_booking": 0, "stopped_otherwise": 0, "replanned": 0},
	{"sequence_id": "hot", "sequence_step": 2, "purpose": "call", "planned": 4, "waiting": 0, "sent": 1, "failed": 0, "replied": 1, "booked": 1, "reply_rate": 1.0, "stopped_by_reply": 1, "stopped_by_booking": 0, "stopped_otherwise": 1, "replanned": 1},
	{"sequence_id": "hot", "sequence_step": 3, "purpose": "follow_up", "planned": 1, "waiting": 0, "sent": 0, "failed": 0, "replied": 0, "booked": 0, "reply_rate": null, "stopped_by_reply": 0, "stopped_by_booking": 1, "stopped_otherwise": 0, "replanned": 0}]', 'follow_up_effect');
SELECT is(pg_temp.says(format('SELECT * FROM channel_response WHERE tenant_id = %L ORDER BY channel', :'t')), '[
	{"channel": "email", "sent": 1, "delivered": 0, "read": 0, "failed": 0, "replied": 0, "reply_rate": 0.0, "median_response_seconds": null},
	{"channel": "sms", "sent": 3, "delivered": 2, "read": 1, "failed": 1, "replied": 2, "reply_rate": 0.6667, "median_response_seconds": 1200}]', 'channel_response');
SELECT is(pg_temp.says(format('SELECT * FROM source_return WHERE tenant_id = %L ORDER BY source', :'t')), '[
	{"source": "inbound_call", "utm_source": null, "utm_campaign": null, "leads": 1, "qualified": 1, "with_meeting": 0, "won": 0, "lost": 1, "win_rate": 0.0, "avg_score": 0.1, "calls": 0, "call_minutes": 0.0},
	{"source": "web", "utm_source": "ads", "utm_campaign": null, "leads": 3, "qualified": 2, "with_meeting": 2, "won": 1, "lost": 0, "win_rate": 0.3333, "avg_score": 0.5, "calls": 3, "call_minutes": 3.0}]', 'source_return');
SELECT is(pg_temp.says('SELECT e.*, extract(epoch FROM escalated_at - ''2030-03-10 00:00+00'')::int AS s, extract(hour FROM callback_at AT TIME ZONE ''UTC'') AS back FROM escalations e ORDER BY escalated_at') #- '{0,escalated_at}' #- '{1,escalated_at}' #- '{2,escalated_at}' #- '{2,callback_at}', '[
	{"s": 16200, "reason": "upset", "agent_name": "Bob", "wait_seconds": 60, "talk_seconds": null, "callback_at": null, "back": null, "outcome": "with a person"},
	{"s": 25170, "reason": "asks for a person", "agent_name": "Ann", "wait_seconds": 10, "talk_seconds": 100, "callback_at": null, "back": null, "outcome": "handled"},
	{"s": 27000, "reason": "not said", "agent_name": null, "wait_seconds": null, "talk_seconds": null, "back": 12, "outcome": "call back due"}]', 'escalations');
SELECT is(pg_temp.says(format('SELECT * FROM lead_funnel WHERE tenant_id = %L ORDER BY status', :'t')), '[
	{"lead_temperature": null, "status": "closed_lost", "count": 1, "avg_score": 0.1}, {"lead_temperature": null, "status": "closed_won", "count": 1, "avg_score": 0.75},
	{"lead_temperature": null, "status": "contacted", "count": 1, "avg_score": 0.25}, {"lead_temperature": null, "status": "new", "count": 1, "avg_score": null}]', 'lead_funnel');
SELECT is(pg_temp.says('SELECT channel, status, at FROM contact_attempts WHERE channel = ''call'''), pg_temp.says('SELECT ''call'' AS channel, status, started_at AS at FROM calls WHERE direction = ''outbound'''), 'contact_attempts');

-- ---- every view, as a tenant's business intelligence: its own rows, and some
CREATE FUNCTION pg_temp.sees(view text, tenant uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text; BEGIN EXECUTE format('SELECT CASE WHEN count(*) > 0 THEN ''some'' ELSE ''none'' END || '' '' || count(*) FILTER (WHERE tenant_id IS DISTINCT FROM %L) FROM %I', tenant, view) INTO r; RETURN r; END $$;
DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %s TO PUBLIC', pg_my_temp_schema()::regnamespace); END $$;
CREATE TEMP TABLE names AS SELECT DISTINCT view FROM view_columns WHERE view NOT IN ('todays_appointments', 'call_timings', 'contact_attempts', 'active_calls');
GRANT SELECT ON names TO PUBLIC;
SELECT set_config('voiceagent.tenant_id', :'t', false) \g /dev/null
SET ROLE voiceagent_bi;
SELECT is(pg_temp.sees(view, :'t'), 'some 0', view || ': a tenant''s own rows and no other''s') FROM names ORDER BY view;
SELECT is(pg_temp.sqlstate_of(s), '42501', 'refused: ' || s) FROM unnest(ARRAY['SELECT body FROM notifications', 'SELECT email FROM human_agents', 'SELECT to_address FROM notifications', 'SELECT * FROM follow_up_tasks']) s;
RESET ROLE;
SET ROLE voiceagent_agent;
SELECT is(pg_temp.sees(view, :'t'), 'some 0', view || ': an application''s') FROM names ORDER BY view;
RESET ROLE;
SELECT * FROM finish();
