-- Fills a database of version 0.1 by the ways that version had: every table, and what a user may have put around it.
INSERT INTO settings VALUES ('twilio_account_sid', '"AC00000000000000000000000000000001"');
SELECT va_tenant_create('ABC Realty', 'real_estate', '+15551230002') AS tenant \gset
SELECT va_secret_set(NULL, 'twilio_auth_token', 'token'), va_secret_set(:'tenant', 'ultravox_api_key', 'key');
INSERT INTO business_hours (tenant_id, day_of_week) SELECT :'tenant', d FROM generate_series(0, 6) d;
INSERT INTO human_agents (tenant_id, name, email, phone, skills) VALUES (:'tenant', 'Ann', 'a@x.org', '+15551230071', '{a,b}');
CREATE FUNCTION weather(call_id uuid, arguments jsonb) RETURNS jsonb LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'SELECT ''"sunny"''::jsonb';
INSERT INTO tools (tenant_id, name, description, function) VALUES (:'tenant', 'weather', 'tells the weather', 'weather');
SELECT call_id AS call, session ->> 'token' AS token FROM va_webhook_voice_answer('AC00000000000000000000000000000001',
  '{"CallSid": "CA1", "From": "+15551230001", "To": "+15551230002", "Direction": "inbound"}', 'i', 'gw-1') \gset
SELECT va_call_stream_start('AC00000000000000000000000000000001', 'CA1', 'MZ1', :'token', 'gw-1');
SELECT va_call_tool(:'call', 't1', 'capture_lead', '{"name": "Jane \"J\" Doe", "budget": "500k"}');
SELECT va_call_tool(:'call', 't2', 'weather', '{}');
SELECT va_call_events(:'call', 'MZ1', '[{"seq": 1, "kind": "turn", "data": {"role": "user", "text": "a\tb\n\\ ü"}}, {"seq": 2, "kind": "partial", "data": {"role": "user", "text": "and"}}]');
SELECT va_webhook_voice_after_stream('AC00000000000000000000000000000001', '{"CallSid": "CA1"}', 'k', 'gw-1');
SELECT va_gateway_report('gw-1', '{"pid": 1, "frames_in": 7, "uptime_s": 1}');
SELECT va_webhook_voice_status('AC00000000000000000000000000000001', '{"CallSid": "CA9"}', NULL, 'gw-1');
INSERT INTO appointments (tenant_id, lead_id, call_id, title, scheduled_at) SELECT tenant_id, lead_id, id, 'Viewing', now() FROM calls;
INSERT INTO notifications (tenant_id, lead_id, channel, template_data) SELECT tenant_id, lead_id, 'sms', '{"x": 1}' FROM calls;
INSERT INTO follow_up_tasks (tenant_id, lead_id, call_id, scheduled_for) SELECT tenant_id, lead_id, id, now() FROM calls;
UPDATE tenants SET settings = settings || '{"qualification_criteria": {"budget_mentioned": 2}}';
INSERT INTO holidays (tenant_id, date, intervals) VALUES (:'tenant', '2030-12-24', '[["09:00", "12:00"]]');
INSERT INTO follow_up_sequences (tenant_id, temperature, name) VALUES (:'tenant', 'cold', 'own') RETURNING id AS sequence \gset
INSERT INTO follow_up_steps (sequence_id, step, delay, channels, purpose) VALUES (:'sequence', 1, 5, '{email,sms}', 'hello');
SELECT va_lead_advance(lead_id, 'qualify') FROM calls;
SELECT agent_id FROM va_agent_pick(:'tenant');
SELECT va_api_key_create(:'tenant', 'website', '{leads:write}');
SELECT va_opt_out(:'tenant', '+15551230099', 'sms', 'replied STOP');
INSERT INTO notifications (tenant_id, lead_id, channel, direction, status) SELECT tenant_id, lead_id, 'sms', 'inbound', 'received' FROM calls;
INSERT INTO leads (tenant_id, status, qualification_data, follow_ups_since) VALUES (:'tenant', 'contacted', '{"budget": 1}', now());
INSERT INTO notifications (tenant_id, lead_id, channel, direction, status) SELECT tenant_id, id, 'sms', 'inbound', 'received' FROM leads WHERE status = 'contacted';
UPDATE leads SET follow_ups_stopped = NULL WHERE status = 'contacted';
UPDATE conversation_sessions SET checkpoint_data = '\x00ff';
-- A user's own objects: they, and what was granted, are there after the upgrade.
CREATE ROLE va_test_reader;
GRANT SELECT ON lead_funnel, leads TO va_test_reader;
GRANT SELECT (id, status) ON active_calls TO va_test_reader;
GRANT EXECUTE ON FUNCTION va_health() TO va_test_reader WITH GRANT OPTION;
CREATE SCHEMA own;
CREATE TABLE own.log (lead uuid);
CREATE FUNCTION own.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO own.log VALUES (NEW.id); RETURN NEW; END $$;
CREATE TRIGGER own_note AFTER INSERT ON leads FOR EACH ROW EXECUTE FUNCTION own.note();
CREATE VIEW own.funnel AS SELECT * FROM lead_funnel;
CREATE TABLE own.numbers (number text CHECK (number = va_phone_normalize(number)));
UPDATE tools SET enabled = false WHERE name = 'end_call';
