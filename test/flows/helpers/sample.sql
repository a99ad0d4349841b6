-- What the examples of docs/sql-reference find: a tenant, somebody of its staff, a lead, and a call under way. Their ids
-- are the variables tenant, person, lead and call of psql.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS voiceagent;
SELECT va_tenant_create('ABC Realty', 'real_estate', '+15551230002', timezone => 'America/New_York',
	hours => '{"weekdays": [["09:00", "17:00"]]}', notification_emails => '{office@abc-realty.example}',
	twilio_account_sid => 'AC00000000000000000000000000000001',
	settings => '{"contact_hours": {"open": "00:00", "close": "24:00"}}') AS tenant \gset
INSERT INTO human_agents (tenant_id, name, email, phone, skills, languages)
VALUES (:'tenant', 'Ann', 'ann@abc-realty.example', '+15551230071', '{mortgages}', '{en,es}') RETURNING id AS person \gset
SELECT va_lead_capture(:'tenant', '{"name": "Jane Doe", "phone": "+15551230001", "email": "jane@example.com",
	"qualification_data": {"budget": 450000, "need": "a house"}}') AS lead \gset
INSERT INTO calls (tenant_id, lead_id, twilio_call_sid, direction, from_number, to_number, status, started_at)
VALUES (:'tenant', :'lead', 'CA00000000000000000000000000000001', 'inbound', '+15551230001', '+15551230002', 'in-progress', now())
RETURNING id AS call \gset
