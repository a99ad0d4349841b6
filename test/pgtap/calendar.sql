-- Appointments in calendars: who is invited, that nobody is told twice, sequences, and Google's events.
\ir setup.psql
SELECT no_plan();
SELECT va_tenant_create('Acme', 'real_estate', '+15551230002', settings => '{"contact_hours": {"open": "00:00", "close": "24:00"}, "email": {"from": "sales@acme.test"}, "sms_notifications": false, "whatsapp_notifications": false}') AS tenant \gset
INSERT INTO human_agents (tenant_id, name, email) VALUES (:'tenant', 'Eve', 'Eve@acme.test') RETURNING id AS eve \gset
INSERT INTO human_agents (tenant_id, name, email) VALUES (:'tenant', 'Max', 'max@acme.test') RETURNING id AS max \gset
SELECT va_secret_set(:'tenant', 'sendgrid_api_key', 'SG.one.two') \g /dev/null
SELECT va_lead_capture(:'tenant', '{"first_name": "Ann", "phone": "+15551230001", "email": "ann@example.test"}') AS lead \gset
CREATE FUNCTION pg_temp.mails(appointment uuid) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(format('%s>%s:%s', replace(template_id, 'appointment_', ''), to_address, status), ' ' ORDER BY template_id, to_address, status, created_at) FROM notifications
	WHERE appointment_id = appointment AND channel = 'email' AND template_id NOT LIKE '%reminder%'
$$;
CREATE FUNCTION pg_temp.prepare(kind text, o outbox) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE v jsonb; BEGIN EXECUTE format('SELECT va_prepare_%s($1)', replace(kind, '.', '_')) INTO v USING o; RETURN v; END $$;
CREATE FUNCTION pg_temp.ics(appointment uuid, template text) RETURNS jsonb LANGUAGE sql AS $$
	SELECT pg_temp.prepare(o.kind, o) #> '{message,calendar}' FROM outbox o JOIN notifications n ON n.id = o.notification_id
	WHERE n.appointment_id = appointment AND n.template_id = 'appointment_' || template AND n.status IN ('pending', 'queued', 'sending') ORDER BY n.created_at DESC LIMIT 1
$$;
CREATE FUNCTION pg_temp.sent() RETURNS void LANGUAGE sql AS $$ UPDATE notifications SET status = 'sent' WHERE status IN ('pending', 'queued', 'sending') AND template_id NOT LIKE '%reminder%' $$;

-- ---- booked
SELECT va_appointment_book(:'lead', date_trunc('day', now()) + interval '10 days 15 hours', agent => :'eve', title => 'Visit', location => 'Room 4', notes => 'careful', force => true) AS a \gset
SELECT is(pg_temp.mails(:'a'), 'confirmation>ann@example.test:pending invitation>eve@acme.test:queued', 'one mail to each');
SELECT is((SELECT count(*)::int FROM outbox WHERE appointment_id = :'a' AND kind = 'sendgrid.mail' AND run_at <= now()), 2, 'both in the outbox');
SELECT pg_temp.ics(:'a', 'confirmation') AS c, pg_temp.ics(:'a', 'invitation') AS i \gset
SELECT is(:'c'::jsonb - ARRAY['stamp', 'start', 'end', 'description'], jsonb_build_object('method', 'REQUEST', 'uid', :'a', 'sequence', 0, 'summary', 'Acme', 'location', 'Room 4', 'organizer', '{"email": "sales@acme.test", "name": "Acme"}'::jsonb, 'attendees', '[{"email": "ann@example.test"}]'::jsonb, 'alarm_minutes', 15), 'the lead''s invitation'),
	is(:'i'::jsonb ->> 'uid', :'a', 'has the same uid as the person''s'), is(:'i'::jsonb ->> 'summary', 'Visit', 'who reads its title'), is(:'i'::jsonb ->> 'description', 'careful', 'and notes'), is(:'i'::jsonb -> 'attendees', '[{"name": "Eve", "email": "eve@acme.test"}]', 'and is asked alone'),
	is((:'c'::jsonb ->> 'end')::bigint - (:'c'::jsonb ->> 'start')::bigint, 1800::bigint, 'half an hour'), unalike(:'c'::text, '%careful%', 'what was noted about the lead does not go to him');

-- ---- moved before anything was sent: the new mail says it all
SELECT va_appointment_reschedule(:'a', date_trunc('day', now()) + interval '11 days 15 hours', force => true) \g /dev/null
SELECT is((SELECT calendar_sequence FROM appointments WHERE id = :'a'), 1, 'the sequence grows'), is(pg_temp.ics(:'a', 'invitation') ->> 'sequence', '1', 'in the mail too');
SELECT is((SELECT count(*)::int FROM notifications WHERE appointment_id = :'a' AND template_id = 'appointment_invitation' AND status IN ('queued', 'sending')), 2, 'one under way, one new');
SELECT pg_temp.sent() \g /dev/null
-- ---- moved afterwards, and given to somebody else
SELECT va_appointment_reschedule(:'a', date_trunc('day', now()) + interval '12 days 15 hours', agent => :'max', force => true) \g /dev/null
SELECT is((SELECT string_agg(replace(template_id, 'appointment_', '') || '>' || to_address, ' ' ORDER BY template_id, to_address) FROM notifications WHERE appointment_id = :'a' AND status IN ('pending', 'queued') AND template_id NOT LIKE '%reminder%' GROUP BY appointment_id), 'confirmation>ann@example.test invitation>max@acme.test withdrawal>eve@acme.test', 'the lead anew, the new person, and the old one is told');
SELECT is(pg_temp.ics(:'a', 'withdrawal') ->> 'method', 'CANCEL', 'the old one''s is cancelled'), is(pg_temp.ics(:'a', 'confirmation') ->> 'method', 'REQUEST', 'the lead''s goes on'), is(pg_temp.ics(:'a', 'confirmation') ->> 'sequence', '2', 'with a higher sequence');
SELECT pg_temp.sent() \g /dev/null
-- ---- what does not change the calendar
UPDATE appointments SET outcome = 'x', notes = 'y', status = 'confirmed' WHERE id = :'a';
SELECT is((SELECT calendar_sequence FROM appointments WHERE id = :'a'), 2, 'notes and confirmation change nothing'), is((SELECT count(*)::int FROM notifications WHERE appointment_id = :'a' AND status IN ('pending', 'queued') AND template_id NOT LIKE '%reminder%'), 0, 'and send nothing');
-- ---- cancelled
SELECT va_appointment_cancel(:'a', 'ill') \g /dev/null
SELECT is((SELECT string_agg(replace(template_id, 'appointment_', '') || '>' || to_address, ' ' ORDER BY template_id, to_address) FROM notifications WHERE appointment_id = :'a' AND status IN ('pending', 'queued') GROUP BY appointment_id), 'cancellation>ann@example.test withdrawal>max@acme.test', 'everybody who expects it is told, and nobody twice');
SELECT is(pg_temp.ics(:'a', 'cancellation') ->> k, w, 'cancelled: ' || k) FROM (VALUES ('method', 'CANCEL'), ('sequence', '3'), ('uid', :'a')) x (k, w);
SELECT is((SELECT count(*)::int FROM notifications WHERE appointment_id = :'a' AND status = 'pending'), 0, 'no reminder is left');
-- ---- cancelled before anybody heard of it
SELECT va_appointment_book(:'lead', date_trunc('day', now()) + interval '20 days 15 hours', agent => :'eve', force => true) AS b \gset
SELECT va_appointment_cancel(:'b') \g /dev/null
SELECT is(pg_temp.mails(:'b'), 'confirmation>ann@example.test:cancelled invitation>eve@acme.test:cancelled', 'nobody hears of it at all');
SELECT is(va_outbox_prepare_one(o, 'va_prepare_sendgrid_mail') ->> 'skip', 'the message is cancelled', 'its effects are passed over') FROM outbox o WHERE o.appointment_id = :'b' ORDER BY o.id LIMIT 1;

-- ---- answers to an invitation
SELECT va_appointment_book(:'lead', date_trunc('day', now()) + interval '30 days 15 hours', agent => :'eve', force => true) AS d \gset
SELECT pg_temp.sent() \g /dev/null
CREATE FUNCTION pg_temp.answer(tenant uuid, appointment uuid, who text, answer text, sequence int DEFAULT 0) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM va_webhook_email_inbound(tenant, jsonb_build_object('message_id', gen_random_uuid(), 'from', who, 'to', '[]'::jsonb, 'invitation', jsonb_build_object('uid', appointment, 'partstat', answer, 'sequence', sequence)), 'gw');
	RETURN (SELECT a.status FROM appointments a WHERE a.id = appointment) || coalesce(' ' || (SELECT (event_data ->> 'by') || ' ' || (event_data ->> 'answer') FROM analytics_events WHERE event_type = 'invitation_answered' ORDER BY created_at DESC, id LIMIT 1), '');
END $$;
SELECT is(pg_temp.answer(:'tenant', :'d', 'evil@x.test', 'ACCEPTED'), 'scheduled', 'a stranger''s answer does nothing');
SELECT is(pg_temp.answer(:'tenant', :'d', 'ann@example.test', 'ACCEPTED', -1), 'scheduled lead accepted', 'an answer to an older invitation is only told');
DELETE FROM analytics_events WHERE event_type = 'invitation_answered';
SELECT is(pg_temp.answer(:'tenant', :'d', 'eve@acme.test', 'ACCEPTED'), 'scheduled agent accepted', 'the person''s own is told');
DELETE FROM analytics_events WHERE event_type = 'invitation_answered';
SELECT is(pg_temp.answer(:'tenant', :'d', 'ann@example.test', 'ACCEPTED'), 'confirmed lead accepted', 'the lead''s confirms');

-- ---- Google
CREATE FUNCTION pg_temp.google(appointment uuid) RETURNS SETOF outbox LANGUAGE sql AS $$ SELECT o.* FROM outbox o WHERE o.kind = 'google.event' AND o.appointment_id = appointment ORDER BY id $$;
SELECT is((SELECT count(*)::int FROM outbox WHERE kind = 'google.event'), 0, 'nothing for Google where it is not set up');
UPDATE tenants SET settings = settings || '{"google": {"calendar_id": "team@g.test", "calendars": {"eve@acme.test": "eve@g.test"}}}' WHERE id = :'tenant';
SELECT va_secret_set(:'tenant', 'google_service_account', 'no json') \g /dev/null
SELECT va_appointment_book(:'lead', date_trunc('day', now()) + interval '40 days 15 hours', agent => :'eve', title => 'Visit', force => true) AS g \gset
SELECT is((SELECT count(*)::int FROM pg_temp.google(:'g')), 1, 'one event'), is((SELECT pg_temp.prepare(o.kind, o) #>> '{fail,code}' FROM pg_temp.google(:'g') o), 'not_set_up', 'a secret that is no key file'), unalike((SELECT pg_temp.prepare(o.kind, o)::text FROM pg_temp.google(:'g') o), '%no json%', 'which is not told');
SELECT va_secret_set(:'tenant', 'google_service_account', '{"client_email": "robot@p.test", "private_key": "PEM", "private_key_id": "k1", "token_uri": "http://evil.test"}') \g /dev/null
SELECT pg_temp.prepare(o.kind, o) AS r FROM pg_temp.google(:'g') o \gset
SELECT is(:'r'::jsonb - 'event', jsonb_build_object('action', 'upsert', 'known', false, 'calendar_id', 'eve@g.test', 'event_id', replace(:'g', '-', ''), 'base_url', 'https://www.googleapis.com', 'token_url', 'https://oauth2.googleapis.com/token', 'client_email', 'robot@p.test', 'private_key', 'PEM', 'private_key_id', 'k1', 'send_updates', 'none'), 'the request: Google''s own end point, whatever the key file says'),
	is(:'r'::jsonb #>> p::text[], w, p) FROM (VALUES ('{event,summary}', 'Visit'), ('{event,status}', 'confirmed'), ('{event,attendees}', NULL), ('{event,start,dateTime}', to_char((SELECT scheduled_at FROM appointments WHERE id = :'g') AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))) x (p, w);
SELECT va_settle_google_event(o, 'done', jsonb_build_object('event_id', replace(:'g', '-', ''), 'calendar_id', 'eve@g.test')) FROM pg_temp.google(:'g') o \g /dev/null
SELECT is((SELECT google_calendar_event_id || ' ' || google_calendar_id FROM appointments WHERE id = :'g'), replace(:'g', '-', '') || ' eve@g.test', 'the appointment knows its event');
SELECT va_appointment_reschedule(:'g', date_trunc('day', now()) + interval '41 days 15 hours', agent => :'max', force => true) \g /dev/null
SELECT is((SELECT array_agg(coalesce(pg_temp.prepare(o.kind, o) ->> 'skip', concat_ws(' ', pg_temp.prepare(o.kind, o) ->> 'calendar_id', pg_temp.prepare(o.kind, o) ->> 'delete_from')) ORDER BY o.id) FROM pg_temp.google(:'g') o), ARRAY['a later change of the appointment follows', 'team@g.test eve@g.test'], 'an older change is passed over; another calendar means leaving the first');
UPDATE outbox SET state = 'leased' WHERE id = (SELECT min(o.id) FROM pg_temp.google(:'g') o);
SELECT is((SELECT pg_temp.prepare(o.kind, o) ->> 'why' FROM pg_temp.google(:'g') o ORDER BY o.id DESC LIMIT 1), 'an earlier change is under way', 'one after the other');
DELETE FROM outbox WHERE kind = 'google.event';
UPDATE appointments SET google_calendar_error = NULL WHERE id = :'g';
SELECT va_appointment_cancel(:'g') \g /dev/null
SELECT is((SELECT (pg_temp.prepare(o.kind, o) ->> 'action') || ' ' || (pg_temp.prepare(o.kind, o) ->> 'calendar_id') FROM pg_temp.google(:'g') o), 'delete eve@g.test', 'cancelled: deleted where it is');
SELECT va_settle_google_event(o, 'failed', '{"text": "Forbidden.", "hint": "Share it."}') FROM pg_temp.google(:'g') o \g /dev/null
SELECT is((SELECT google_calendar_error FROM appointments WHERE id = :'g'), 'Forbidden. Share it.', 'what went wrong is to be read at the appointment');
SELECT va_settle_google_event(o, 'done', '{}') FROM pg_temp.google(:'g') o \g /dev/null
SELECT is((SELECT (google_calendar_event_id, google_calendar_id, google_calendar_error)::text FROM appointments WHERE id = :'g'), '(,,)', 'gone');
UPDATE tenants SET settings = jsonb_set(settings, '{google}', '{"calendar_id": "team@g.test", "invite": true, "subject": "boss@acme.test"}') WHERE id = :'tenant';
SELECT va_appointment_book(:'lead', date_trunc('day', now()) + interval '50 days 15 hours', agent => :'eve', force => true) AS h \gset
SELECT is(pg_temp.mails(:'h'), 'confirmation>ann@example.test:pending', 'where Google invites the person gets no mail of ours'), is(pg_temp.ics(:'h', 'confirmation'), NULL, 'and the confirmation carries no second invitation'),
	is((SELECT pg_temp.prepare(o.kind, o) #>> '{event,attendees}' FROM pg_temp.google(:'h') o), '[{"email": "ann@example.test"}, {"email": "eve@acme.test"}]', 'Google has both'), is((SELECT pg_temp.prepare(o.kind, o) ->> 'send_updates' FROM pg_temp.google(:'h') o), 'all', 'and tells them');
UPDATE appointments SET google_calendar_event_id = 'e1', google_calendar_id = 'c1' WHERE id = :'h';
SELECT va_erase_person(:'tenant', email => 'ann@example.test') \g /dev/null
SELECT is((SELECT payload FROM outbox WHERE kind = 'google.event' AND attempt_key LIKE '%:gone'), '{"event_id": "e1", "calendar_id": "c1"}', 'an erased person leaves Google''s calendar too');
DELETE FROM analytics_events;
DELETE FROM tenants WHERE id = :'tenant';
SELECT is((SELECT count(*)::int FROM outbox), 0, 'a tenant can go');
SELECT * FROM finish();
