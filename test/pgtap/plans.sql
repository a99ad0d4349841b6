-- The queries that run all the time, with a million rows in each large table: which index answers them. A plan that reads a whole
-- large table fails here, whatever index it was meant to use.
\ir setup.psql
SELECT no_plan();

-- ---- a million rows each (a fifth of that where it takes long to write them): written without triggers, keys and indexes, which are made afterwards and at once
SET session_replication_role = replica;
SET synchronous_commit = off;
SET maintenance_work_mem = '128MB';
CREATE FUNCTION pg_temp.id(kind int, n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT (kind || lpad(to_hex(n), 31, '0'))::uuid $$;
INSERT INTO tenants (id, name, slug, industry) SELECT pg_temp.id(1, n), 'T', 't' || n, 'x' FROM generate_series(1, 50) n;
SELECT va_events_maintain(), va_events_partition((now() - interval '1 month')::date), va_events_partition((now() - interval '35 days')::date) \g /dev/null
CREATE TEMP TABLE large AS SELECT c.oid, c.relname::text AS name FROM pg_class c
WHERE c.oid IN ('leads'::regclass, 'calls'::regclass, 'notifications'::regclass, 'follow_up_tasks'::regclass, 'lead_stage_history'::regclass, 'appointments'::regclass, 'do_not_contact'::regclass)
   OR c.oid IN (SELECT partition FROM va_events_partitions());
UPDATE pg_index SET indisready = false WHERE indrelid IN (SELECT oid FROM large);
CREATE TEMP TABLE ids AS SELECT n, h, t.ids[1 + n % 50] AS tenant, ('2' || h)::uuid AS lead, ('3' || h)::uuid AS call
FROM (SELECT array_agg(id ORDER BY id) AS ids FROM tenants) t, (SELECT n, lpad(to_hex(n), 31, '0') AS h FROM generate_series(1, 1000000) n) x;
INSERT INTO leads (id, tenant_id, phone, email, status, lead_temperature, lead_score)
SELECT lead, tenant, '+1555' || lpad(n::text, 7, '0'), n || '@x.org',
	(ARRAY['new', 'qualified', 'contacted', 'meeting_scheduled', 'closed_won', 'closed_lost'])[1 + n / 50 % 6], 'cold', 0.1 FROM ids;
INSERT INTO calls (id, tenant_id, lead_id, twilio_call_sid, direction, status, started_at, ended_at, created_at, recording_url)
SELECT call, tenant, lead, 'CA' || n, CASE n % 2 WHEN 0 THEN 'outbound' ELSE 'inbound' END, CASE WHEN n <= 200 THEN 'in-progress' ELSE 'completed' END,
	now() - n * interval '1 minute', now() - n * interval '1 minute', now() - n * interval '1 minute', CASE WHEN n <= 10000 THEN 'https://x' END FROM ids;
INSERT INTO notifications (id, tenant_id, lead_id, channel, direction, status, scheduled_for, sent_at, created_at)
SELECT ('4' || h)::uuid, tenant, lead, 'sms', 'outbound', CASE WHEN n <= 10000 THEN 'pending' ELSE 'sent' END,
	now() + (100 - n) * interval '1 minute', now() - n * interval '1 minute', now() - n * interval '1 minute' FROM ids;
INSERT INTO follow_up_tasks (id, tenant_id, lead_id, sequence_id, sequence_step, status, scheduled_for)
SELECT ('5' || h)::uuid, tenant, lead, 'cold', 1, CASE WHEN n % 2 = 0 THEN 'pending' ELSE 'completed' END,
	now() + (n - 1000) * interval '1 minute' FROM ids;
INSERT INTO lead_stage_history (id, tenant_id, lead_id, event, to_stage, changed_by, changed_at)
SELECT ('6' || h)::uuid, tenant, lead, 'qualify', 'qualified', 'x', now() FROM ids WHERE n <= 200000;
INSERT INTO analytics_events (id, tenant_id, lead_id, call_id, event_type, created_at)
SELECT ('7' || h)::uuid, tenant, lead, call, (ARRAY['call_answered', 'call_ended', 'lead_captured'])[1 + n / 50 % 3], now() - n * interval '3 seconds' FROM ids;
INSERT INTO appointments (id, tenant_id, lead_id, title, scheduled_at)
SELECT ('8' || h)::uuid, tenant, lead, 'x', now() + (n - 100000) * interval '5 minutes' FROM ids WHERE n <= 200000;
INSERT INTO do_not_contact (id, tenant_id, address_hash) SELECT ('9' || h)::uuid, tenant, sha256(n::text::bytea) FROM ids WHERE n <= 200000;
UPDATE pg_index SET indisready = true WHERE indrelid IN (SELECT oid FROM large);
SELECT format('REINDEX TABLE %I', name) FROM large \gexec
SELECT format('ANALYZE %I', name) FROM large \gexec
DELETE FROM large WHERE oid IN (SELECT c.oid FROM pg_class c WHERE c.reltuples <= 0); -- months without events
ANALYZE tenants;
RESET session_replication_role;

-- ---- what a plan says
-- The nodes of a plan with the relation and the index each reads, partitions and their indexes by the name of their parent's.
CREATE FUNCTION pg_temp.reads(query text, OUT indexes text[], OUT whole text[]) LANGUAGE plpgsql AS $$
DECLARE
	v_plan jsonb;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO v_plan;
	WITH RECURSIVE nodes AS (
		SELECT v_plan -> 0 -> 'Plan' AS node
		UNION ALL SELECT p FROM nodes, jsonb_array_elements(node -> 'Plans') p)
	SELECT array_agg(DISTINCT coalesce((SELECT i.inhparent::regclass::text FROM pg_inherits i WHERE i.inhrelid = to_regclass(node ->> 'Index Name')), node ->> 'Index Name'))
			FILTER (WHERE node ? 'Index Name'),
		array_agg(DISTINCT node ->> 'Relation Name') FILTER (WHERE node ->> 'Node Type' LIKE '%Seq Scan' AND node ->> 'Relation Name' IN (SELECT name FROM large))
	INTO indexes, whole FROM nodes;
END $$;
CREATE TEMP TABLE hot (n serial, what text, index text, query text);
INSERT INTO hot (what, index, query) VALUES
	('a tenant''s leads by status', 'idx_leads_tenant', $$SELECT * FROM leads WHERE tenant_id = pg_temp.id(1, 7) AND status = 'qualified'$$),
	('a page of them', 'idx_leads_tenant', $$SELECT * FROM leads WHERE tenant_id = pg_temp.id(1, 7) AND status = 'qualified' LIMIT 50$$),
	('a lead by its number', 'idx_leads_tenant_phone', $$SELECT * FROM leads WHERE tenant_id = pg_temp.id(1, 7) AND phone = '+15550000006'$$),
	('a number, whosever lead', 'idx_leads_phone', $$SELECT * FROM leads WHERE phone = '+15550000006'$$),
	('a lead by its address', 'idx_leads_tenant_email', $$SELECT * FROM leads WHERE tenant_id = pg_temp.id(1, 7) AND lower(email) = '6@x.org'$$),
	('a person''s leads', 'idx_leads_assigned', $$SELECT * FROM leads WHERE assigned_to = pg_temp.id(1, 99)$$),
	('active_calls of a tenant', 'idx_calls_active', $$SELECT * FROM active_calls WHERE tenant_id = pg_temp.id(1, 7)$$),
	('active_calls', 'idx_calls_active', $$SELECT id FROM active_calls$$),
	('the number of calls on the line', 'idx_calls_active', $$SELECT count(*) FROM calls WHERE tenant_id = pg_temp.id(1, 7) AND status IN ('queued', 'initiated', 'ringing', 'in-progress')$$),
	('calls whose end was never told', 'idx_calls_active', $$SELECT id FROM calls WHERE status IN ('queued', 'initiated', 'ringing', 'in-progress') AND started_at < now() - interval '25 hours'$$),
	('a call by its CallSid', 'calls_twilio_call_sid_key|idx_calls_twilio', $$SELECT * FROM calls WHERE twilio_call_sid = 'CA77'$$),
	('a tenant''s last calls', 'idx_calls_tenant_date', $$SELECT * FROM calls WHERE tenant_id = pg_temp.id(1, 7) ORDER BY started_at DESC LIMIT 20$$),
	('todays_appointments of a tenant', 'idx_appointments_tenant_date', $$SELECT * FROM todays_appointments WHERE tenant_id = pg_temp.id(1, 7)$$),
	('todays_appointments', 'idx_appointments_tenant_date', $$SELECT * FROM todays_appointments$$),
	('an appointment that collides', 'appointments_no_double_booking', $$SELECT FROM appointments WHERE calendar_key = va_calendar_key(pg_temp.id(1, 7)) AND calendar_span && tstzrange(now(), now() + interval '1 hour')$$),
	('due follow-ups', 'idx_follow_ups_due', $$SELECT * FROM follow_up_tasks d WHERE d.status = 'pending' AND d.sequence_id IS NOT NULL AND d.scheduled_for <= now() ORDER BY d.scheduled_for LIMIT 500 FOR UPDATE SKIP LOCKED$$),
	('the next follow-up', 'idx_follow_ups_due', $$SELECT d.scheduled_for FROM follow_up_tasks d WHERE d.status = 'pending' AND d.sequence_id IS NOT NULL ORDER BY d.scheduled_for LIMIT 1$$),
	('a lead''s follow-ups', 'idx_follow_ups_lead', $$SELECT * FROM follow_up_tasks WHERE lead_id = pg_temp.id(2, 77)$$),
	('due notifications', 'idx_notifications_scheduled', $$SELECT * FROM notifications WHERE status = 'pending' AND scheduled_for <= now() ORDER BY scheduled_for LIMIT 100 FOR UPDATE SKIP LOCKED$$),
	('a lead''s messages', 'idx_notifications_lead', $$SELECT * FROM notifications WHERE lead_id = pg_temp.id(2, 77)$$),
	('a lead''s stages', 'idx_lead_stage_history_lead', $$SELECT * FROM lead_stage_history WHERE lead_id = pg_temp.id(2, 77) ORDER BY changed_at DESC$$),
	('a lead''s events', 'idx_analytics_lead', $$SELECT * FROM analytics_events WHERE lead_id = pg_temp.id(2, 77) ORDER BY created_at DESC$$),
	('a call''s events', 'idx_analytics_call', $$SELECT * FROM analytics_events WHERE call_id = pg_temp.id(3, 77)$$),
	('a tenant''s events by type', 'idx_analytics_tenant_type', $$SELECT * FROM analytics_events WHERE tenant_id = pg_temp.id(1, 7) AND event_type = 'call_ended' ORDER BY created_at DESC LIMIT 100$$),
	('an event', 'analytics_events_pkey', $$SELECT * FROM analytics_events WHERE id = pg_temp.id(7, 77)$$),
	('the do-not-contact list', 'idx_do_not_contact_hash', $$SELECT FROM do_not_contact d WHERE d.address_hash = sha256('77') AND (d.tenant_id = pg_temp.id(1, 7) OR d.tenant_id IS NULL)$$),
	('contact_attempts of a lead', 'idx_calls_lead', $$SELECT * FROM contact_attempts WHERE lead_id = pg_temp.id(2, 77)$$),
	('contact_attempts of a lead', 'idx_notifications_lead', $$SELECT count(*) FROM contact_attempts WHERE lead_id = pg_temp.id(2, 77) AND channel = 'sms' AND at > now() - interval '1 day'$$),
	('retention: messages', 'idx_notifications_tenant', $$SELECT o.id FROM notifications o WHERE o.tenant_id = pg_temp.id(1, 7) AND o.created_at < now() - interval '690 days' AND o.status NOT IN ('pending', 'queued', 'sending') LIMIT 1000 FOR UPDATE SKIP LOCKED$$),
	('retention: tasks', 'idx_follow_ups_tenant', $$SELECT o.id FROM follow_up_tasks o WHERE o.tenant_id = pg_temp.id(1, 7) AND o.scheduled_for < now() AND o.status NOT IN ('pending', 'in_progress') LIMIT 1000 FOR UPDATE SKIP LOCKED$$),
	('retention: events', 'idx_analytics_tenant_type', $$SELECT o.id FROM analytics_events o WHERE o.tenant_id = pg_temp.id(1, 7) AND o.created_at < now() - interval '34 days' LIMIT 1000 FOR UPDATE SKIP LOCKED$$),
	('retention: recordings', 'idx_calls_recordings', $$SELECT c.id FROM calls c WHERE c.tenant_id = pg_temp.id(1, 7) AND c.ended_at < now() - interval '6 days' AND c.recording_url IS NOT NULL LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED$$),
	('retention: leads', 'idx_leads_tenant', $$SELECT l.* FROM leads l WHERE l.tenant_id = pg_temp.id(1, 7) AND l.updated_at < now() AND l.status IN ('closed_lost', 'closed_won', 'archived') ORDER BY l.updated_at LIMIT 100 FOR UPDATE SKIP LOCKED$$),
	('escalations of a tenant', 'idx_calls_tenant_date|calls_tenant_id_id_key', $$SELECT * FROM escalations WHERE tenant_id = pg_temp.id(1, 7)$$);
SELECT ok(coalesce(r.indexes && string_to_array(h.index, '|'), false), format('%s: %s (has %s)', h.what, h.index, r.indexes)), is(r.whole, NULL, 'and no large table is read whole')
FROM hot h, pg_temp.reads(h.query) r ORDER BY h.n;

-- with row-level security in between
SELECT set_config('voiceagent.tenant_id', pg_temp.id(1, 7)::text, false) \g /dev/null
GRANT SELECT ON large TO PUBLIC;
DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %s TO PUBLIC', pg_my_temp_schema()::regnamespace); END $$;
SET ROLE voiceagent_agent;
SELECT ok(coalesce(v.index = ANY (r.indexes), false), format('%s, as a tenant''s application: %s (has %s)', v.query, v.index, r.indexes)), is(r.whole, NULL, 'and no large table is read whole')
FROM (VALUES ('idx_leads_tenant', $$SELECT * FROM leads WHERE status = 'qualified'$$), ('idx_leads_phone', $$SELECT * FROM leads WHERE phone = '+15550000006'$$),
	('idx_calls_active', $$SELECT * FROM active_calls$$), ('idx_appointments_tenant_date', $$SELECT * FROM todays_appointments$$),
	('idx_analytics_tenant_type', $$SELECT * FROM analytics_events WHERE event_type = 'call_ended' ORDER BY created_at DESC LIMIT 100$$)) v (index, query), pg_temp.reads(v.query) r;
RESET ROLE;
SELECT isnt((SELECT whole FROM pg_temp.reads('SELECT * FROM leads WHERE first_name = $$x$$')), NULL, 'a table that is read whole is seen as such');

-- a key that is deleted is looked for by an index; tenants, and the lists that come with the extension, are hardly ever deleted
SELECT is((SELECT array_agg(k.conrelid::regclass || ' ' || k.conname ORDER BY 1) FROM pg_constraint k JOIN pg_depend d ON d.objid = k.conrelid AND d.deptype = 'e' JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'voiceagent'
	WHERE k.contype = 'f' AND k.conparentid = 0 AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = k.confrelid AND a.attname = 'tenant_id')
	  AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = k.conrelid AND i.indkey[0] = ANY (k.conkey) AND i.indkey[0] <> (SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attname = 'tenant_id'))),
	NULL, 'every foreign key to a row of a tenant''s has an index');
SELECT * FROM finish();
