-- The first steps of a newcomer, as the documentation shows them: a tenant, a call, a lead.
SET client_min_messages = warning;
CREATE EXTENSION voiceagent;
SELECT va_version();

SELECT va_tenant_create('ABC Realty', 'real_estate', '+1 555 123 0002',
	twilio_account_sid => 'AC00000000000000000000000000000001') AS tenant \gset
SELECT va_secret_set(:'tenant', 'twilio_auth_token', 'not-a-real-token');
SELECT va_secret_set(:'tenant', 'ultravox_api_key', 'not-a-real-key');
SELECT detail FROM va_health() WHERE "check" = 'tenant abc-realty';

-- A call comes in, the agent talks, the caller tells a name and hangs up.
SELECT call_id AS call, session ->> 'token' AS token
FROM va_webhook_voice_answer('AC00000000000000000000000000000001',
	'{"CallSid": "CA1", "From": "+15551230001", "To": "+15551230002", "Direction": "inbound"}', NULL, 'gw-1') \gset
SELECT accepted FROM va_call_stream_start('AC00000000000000000000000000000001', 'CA1', 'MZ1', :'token', 'gw-1');
SELECT va_call_events(:'call', 'MZ1', '[
	{"seq": 1, "kind": "turn", "data": {"role": "agent", "text": "Hello!"}},
	{"seq": 2, "kind": "turn", "data": {"role": "user", "text": "I am Jane. I want a house."}}]');
SELECT va_call_tool(:'call', 'invocation-1', 'capture_lead', '{"name": "Jane Doe", "need": "a house"}') #>> '{result,saved}' AS saved;
SELECT from_number, status, tenant_name, first_name FROM active_calls;
SELECT http_status FROM va_webhook_voice_status('AC00000000000000000000000000000001',
	'{"CallSid": "CA1", "CallStatus": "completed", "CallDuration": "42"}', NULL, 'gw-1');

SELECT c.status, c.duration_seconds, t ->> 'role' AS role, t ->> 'text' AS text
FROM calls c, jsonb_array_elements(c.transcript) t;
SELECT first_name, last_name, phone, source, qualification_data FROM leads;
SELECT lead_temperature, status, count FROM lead_funnel;

-- What goes wrong says so.
\set SHOW_CONTEXT never
SELECT va_tenant_create('No country', 'real_estate', '555 123');
\echo :LAST_ERROR_SQLSTATE
SELECT va_lead_capture('00000000-0000-0000-0000-000000000000', '{}');
\echo :LAST_ERROR_SQLSTATE
UPDATE tenants SET settings = settings || '{"voice_engine": "parrot"}';
\echo :LAST_ERROR_SQLSTATE
INSERT INTO tools (name, description, function) VALUES ('fly', 'flies', 'fly');
\echo :LAST_ERROR_SQLSTATE
DROP EXTENSION voiceagent;
