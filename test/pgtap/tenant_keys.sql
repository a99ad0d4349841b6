-- A row of one tenant cannot point at another's. Read from the catalogue: a table or key that is added is covered.
\ir setup.psql
SELECT no_plan();
SELECT cmp_ok((SELECT count(*) FROM va_tenant_links()), '>=', 25::bigint, 'there are keys to look at');
SELECT ok(has_tenant OR doubled, format('%s of %s has tenant_id, or one beside it has', conname, conrelid::regclass)) FROM va_tenant_links() ORDER BY conrelid::regclass::text, conname;
SELECT is((SELECT array_agg(format('%s.%s', k.conrelid::regclass, k.column_name)) FROM va_tenant_links() k WHERE k.has_tenant AND NOT k.tenant_known AND NOT EXISTS (SELECT FROM va_tenant_links() o WHERE o.conrelid = k.conrelid AND o.column_name = k.column_name AND NOT o.has_tenant)), NULL, 'where tenant_id may be NULL the simple key is there as well');
SELECT is((SELECT array_agg(conname) FROM va_tenant_links() WHERE NOT has_tenant AND tenant_known), NULL, 'and only there');
SELECT is(k.confdeltype, o.confdeltype, format('%s does on DELETE what the key beside it does', k.conname)) FROM va_tenant_links() k JOIN va_tenant_links() o ON o.conrelid = k.conrelid AND o.column_name = k.column_name AND NOT o.has_tenant WHERE k.has_tenant ORDER BY k.conname;

-- One row of each table for each of two tenants, then each reference set to the other tenant's row.
SELECT pg_temp.tenant('+15551230002') AS mine, pg_temp.tenant('+15551230003') AS theirs \gset
INSERT INTO leads (tenant_id) SELECT unnest(ARRAY[:'mine', :'theirs']::uuid[]);
INSERT INTO human_agents (tenant_id, name, email) SELECT t, 'Ann', 'a@x.org' FROM unnest(ARRAY[:'mine', :'theirs']::uuid[]) t;
INSERT INTO calls (tenant_id, lead_id, phone_number_id) SELECT tenant_id, l.id, (SELECT n.id FROM phone_numbers n WHERE n.tenant_id = l.tenant_id) FROM leads l;
UPDATE leads l SET assigned_to = (SELECT h.id FROM human_agents h WHERE h.tenant_id = l.tenant_id);
INSERT INTO appointments (tenant_id, lead_id, call_id, assigned_agent_id, title, scheduled_at) SELECT c.tenant_id, c.lead_id, c.id, l.assigned_to, 'x', '2030-01-01'::timestamptz + row_number() OVER () * interval '1 day' FROM calls c JOIN leads l ON l.id = c.lead_id;
INSERT INTO notifications (tenant_id, lead_id, channel, appointment_id) SELECT tenant_id, lead_id, 'sms', id FROM appointments;
INSERT INTO follow_up_tasks (tenant_id, lead_id, call_id, assigned_to, scheduled_for) SELECT tenant_id, lead_id, call_id, assigned_agent_id, now() FROM appointments;
INSERT INTO conversation_sessions (tenant_id, lead_id, call_id) SELECT tenant_id, lead_id, id FROM calls;
INSERT INTO tool_invocations (call_id, invocation_id, tenant_id, tool, arguments) SELECT id, 'i' || tenant_id, tenant_id, 'x', '{}' FROM calls;
INSERT INTO call_events (call_id, source, seq, tenant_id, at, kind) SELECT id, 's' || tenant_id, 1, tenant_id, now(), 'x' FROM calls;
INSERT INTO call_metrics (call_id, stream_sid, tenant_id) SELECT id, 's' || tenant_id, tenant_id FROM calls;
INSERT INTO call_tokens (token_hash, call_id, tenant_id) SELECT sha256(id::text::bytea), id, tenant_id FROM calls;
INSERT INTO webhook_receipts (account_sid, endpoint, idempotency, decision, tenant_id, call_id) SELECT 'a', 'b', id::text, 'd', tenant_id, id FROM calls;
INSERT INTO agent_reservations (tenant_id, agent_id, call_id, released_at, handled) SELECT tenant_id, assigned_to, (SELECT c.id FROM calls c WHERE c.lead_id = l.id), now(), true FROM leads l;
INSERT INTO campaigns (tenant_id, name) SELECT unnest(ARRAY[:'mine', :'theirs']::uuid[]), 'c';
UPDATE calls c SET campaign_id = m.id FROM campaigns m WHERE m.tenant_id = c.tenant_id;
INSERT INTO campaign_members (tenant_id, campaign_id, lead_id, last_call_id) SELECT c.tenant_id, c.campaign_id, c.lead_id, c.id FROM calls c;
INSERT INTO call_transfers (tenant_id, call_id, agent_id, target, state) SELECT l.tenant_id, c.id, l.assigned_to, '+15551230077', 'ended' FROM leads l JOIN calls c ON c.lead_id = l.id;
INSERT INTO consents (tenant_id, lead_id, address, channel, granted, how) SELECT tenant_id, id, '+15551230009', 'sms', true, 'x' FROM leads;
CREATE FUNCTION pg_temp.point(tab regclass, col name, target regclass, mine uuid, theirs uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_rows int;
BEGIN
	EXECUTE format('UPDATE %s SET %I = (SELECT id FROM %s WHERE tenant_id = $1 LIMIT 1) WHERE tenant_id = $2', tab, col, target) USING theirs, mine;
	GET DIAGNOSTICS v_rows = ROW_COUNT;
	RETURN CASE v_rows WHEN 0 THEN 'no row' ELSE 'accepted' END;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
SELECT is(pg_temp.point(conrelid, column_name, confrelid, :'mine', :'theirs'), '23503', format('%s.%s cannot be another tenant''s', conrelid::regclass, column_name))
FROM va_tenant_links() WHERE has_tenant AND conrelid::regclass::text IN ('leads', 'calls', 'appointments', 'notifications', 'follow_up_tasks', 'conversation_sessions', 'tool_invocations', 'call_events', 'call_metrics', 'call_tokens', 'webhook_receipts', 'agent_reservations', 'consents', 'campaign_members', 'call_transfers') AND conname NOT LIKE '%merge%' ORDER BY conrelid::regclass::text, column_name;
SELECT is(pg_temp.sqlstate_of(format('UPDATE leads SET tenant_id = %L WHERE tenant_id = %L', :'theirs', :'mine')), '23503', 'a row that others point at does not change its tenant');
-- deleting still does what it did
DELETE FROM human_agents WHERE tenant_id = :'mine';
SELECT is((SELECT count(*)::int FROM leads WHERE tenant_id = :'mine' AND assigned_to IS NULL), 1, 'a person who leaves leaves the leads'), is((SELECT count(*)::int FROM appointments WHERE tenant_id = :'mine' AND assigned_agent_id IS NULL), 1, 'and the appointments, and the tenant stays theirs');
SELECT lives_ok(format('DELETE FROM notifications WHERE tenant_id = %L', :'mine'), 'rows are deleted as before');
DELETE FROM analytics_events;
SELECT lives_ok(format('DELETE FROM tenants WHERE id = %L', :'theirs'), 'a tenant goes with all that is its own'), lives_ok(format('DELETE FROM calls WHERE tenant_id = %L AND id NOT IN (SELECT call_id FROM appointments) AND id NOT IN (SELECT call_id FROM conversation_sessions)', :'mine'), 'calls go');
SELECT is((SELECT count(*)::int FROM leads WHERE tenant_id = :'theirs') + (SELECT count(*)::int FROM agent_reservations WHERE tenant_id = :'theirs') + (SELECT count(*)::int FROM call_events WHERE tenant_id = :'theirs'), 0, 'nothing of it is left');
SELECT * FROM finish();
