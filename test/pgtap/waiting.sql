-- What waits for somebody to set something up, as va_health() shows it; and messages that have become untrue meanwhile.
\ir setup.psql
SELECT no_plan();
SELECT pg_temp.tenant('+15551230002') AS tenant \gset
UPDATE tenants SET slug = 'acme', settings = settings - 'twilio_account_sid' || '{"contact_hours": {"open": "00:00", "close": "24:00"}, "contact_limits": {"sms": {"day": null, "week": null}, "email": {"day": null, "week": null}}}' WHERE id = :'tenant';
SELECT va_lead_capture(:'tenant', '{"first_name": "Ann", "email": "ann@example.test", "phone": "+15551230009"}') AS lead \gset
UPDATE notifications SET status = 'cancelled' WHERE status = 'pending';
CREATE FUNCTION pg_temp.health(what text) RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' | ', ok, detail, hint) FROM va_health() WHERE "check" = what $$;
CREATE FUNCTION pg_temp.write(tenant uuid, lead uuid, channel text, due timestamptz) RETURNS uuid LANGUAGE sql AS $$
	INSERT INTO notifications (tenant_id, lead_id, channel, direction, to_address, body, status, scheduled_for)
	VALUES (tenant, lead, channel, 'outbound', CASE channel WHEN 'email' THEN 'ann@example.test' ELSE '+15551230009' END, 'x', 'pending', due) RETURNING id
$$;

-- ---- messages without a service
SELECT is(pg_temp.health('e-mails of acme'), NULL, 'nothing waits');
SELECT pg_temp.write(:'tenant', :'lead', 'email', now() - interval '3 days') AS old, pg_temp.write(:'tenant', :'lead', 'email', now() - interval '2 hours') AS due,
	pg_temp.write(:'tenant', :'lead', 'email', now() + interval '1 hour') AS planned, pg_temp.write(:'tenant', :'lead', 'sms', NULL) AS sms \gset
SELECT matches(pg_temp.health('e-mails of acme'), '^f \| 2 wait, the oldest since .*: no service for e-mail is set up \| va_secret_set\(tenant, ''sendgrid_api_key''.*"from" in the setting email\. Then SELECT va_messages_release\(''' || :'tenant', 'two e-mails wait, and it is told what to set');
SELECT matches(pg_temp.health('sms of acme'), '^f \| 1 wait, .*: no Twilio account is set up \| The setting twilio_account_sid', 'an SMS waits');
SELECT is(va_messages_release(:'tenant', '7 days'), 0::bigint, 'nothing is released while there is no service');
SELECT va_tenant_settings_set(:'tenant', '{"smtp": {"host": "mail.acme.test"}, "email": {"from": "a@acme.test"}}') \g /dev/null
SELECT matches(pg_temp.health('e-mails of acme'), '^f \| 2 wait, .*: they were written before the service was set up \| Then SELECT va_messages_release', 'set up, it is told how they get away');
SELECT is(va_messages_release(:'tenant'), 1::bigint, 'what was due within a day is released');
SELECT is((SELECT kind FROM outbox WHERE notification_id = :'due'), 'smtp.mail', 'by the service that is there now'),
	is((SELECT concat_ws(' ', status, error_message) FROM notifications WHERE id = :'old'), 'cancelled it waited too long for a service', 'the older one is not'),
	is((SELECT status FROM notifications WHERE id = :'planned'), 'pending', 'the later one still waits');
SELECT is(va_messages_release(:'tenant'), 0::bigint, 'again: nothing more');
SELECT is(pg_temp.health('e-mails of acme'), NULL, 'no e-mail is stranded');
SELECT throws_ok(format('SELECT va_messages_release(%L, NULL)', :'tenant'), 'VA005', NULL, 'a span of time is needed');
SELECT throws_ok('SELECT va_messages_release(NULL)', 'VA001', NULL, 'and a tenant');

-- ---- effects that lack a setting
INSERT INTO outbox_dead (id, tenant_id, kind, attempt_key, lane, outcome, attempts, payload, last_error, created_at)
SELECT 900 + n, :'tenant', 'sendgrid.mail', 'k' || n, 'bulk', 'failed', 1, '{}',
	jsonb_build_object('code', 'not_set_up', 'text', 'the tenant has no sender address', 'hint', 'Set "from" in the setting email.', 'at', clock_timestamp()), now() FROM generate_series(1, 3) n;
SELECT matches(pg_temp.health('sendgrid.mail of acme'), '^f \| 3 were not sent, the first at .*: the tenant has no sender address \| Set "from" in the setting email\. Then va_outbox_retry', 'three mails for want of a sender are one line');
INSERT INTO outbox_dead (id, tenant_id, kind, attempt_key, lane, outcome, attempts, payload, last_error, created_at)
VALUES (950, :'tenant', 'twilio.call', 'c', 'live', 'failed', 1, '{}', '{"code": "21211", "text": "the number is not valid"}', now());
SELECT is(pg_temp.health('twilio.call of acme'), NULL, 'a wrong number is no matter of setting up');
UPDATE outbox_dead SET last_error = '{"code": "not_set_up", "text": "the tenant has no Twilio account", "hint": "Set twilio_account_sid."}' WHERE id = 950;
SELECT matches(pg_temp.health('twilio.call of acme'), '^f \| 1 were not sent, .*no Twilio account \| Set twilio_account_sid', 'a call without an account is');

-- ---- Odoo and end points
INSERT INTO odoo_connections (tenant_id, enabled, state, error, checked_at) VALUES (:'tenant', true, 'broken', '{"code": "access_denied", "text": "Odoo does not accept the key", "hint": "Store a new one."}', now())
ON CONFLICT (tenant_id) DO UPDATE SET enabled = true, state = 'broken', error = excluded.error, checked_at = now();
UPDATE leads SET odoo_sync_status = 'failed' WHERE id = :'lead';
SELECT matches(pg_temp.health('Odoo of acme'), '^f \| Odoo does not accept the key; 1 leads wait, since .* \| Store a new one\. Then SELECT va_odoo_check', 'an Odoo that refuses us');
UPDATE odoo_connections SET state = 'ok';
SELECT is(pg_temp.health('Odoo of acme'), NULL, 'one that does not is no line');
INSERT INTO event_hooks (tenant_id, url, enabled, failing_since, last_error) VALUES (:'tenant', 'https://a.test/in', false, now() - interval '6 days', 'HTTP 500'),
	(:'tenant', 'https://b.test/in', true, now() - interval '2 hours', 'HTTP 502'), (:'tenant', 'https://c.test/in', true, now() - interval '2 minutes', 'HTTP 503'), (:'tenant', 'https://d.test/in', false, NULL, NULL);
SELECT is((SELECT count(*)::int FROM va_health() WHERE "check" = 'end point of acme'), 2, 'end points: given up, or failing for long; neither a moment''s trouble nor one that was switched off');
SELECT matches((SELECT string_agg(detail || ' ' || hint, E'\n' ORDER BY detail) FROM va_health() WHERE "check" = 'end point of acme'),
	'a.test/in was given up; it has failed since .*HTTP 500 When it is mended: UPDATE event_hooks.*b.test/in fails since .*HTTP 502', 'with what to do');

-- ---- an appointment that has moved while its confirmation is being tried again
CREATE FUNCTION pg_temp.attempt(message uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	o outbox;
BEGIN
	UPDATE outbox x SET state = 'leased', attempts = attempts + 1, started_at = clock_timestamp(), leased_by = 'test' WHERE x.notification_id = message RETURNING * INTO o;
	RETURN CASE o.kind WHEN 'smtp.mail' THEN va_prepare_smtp_mail(o) ELSE va_prepare_twilio_message(o) END;
END $$;
CREATE FUNCTION pg_temp.confirmation(appointment uuid, channel text) RETURNS uuid LANGUAGE sql AS $$
	SELECT n.id FROM notifications n WHERE n.appointment_id = appointment AND n.channel = confirmation.channel AND n.template_id = 'appointment_confirmation' ORDER BY n.created_at DESC, n.id LIMIT 1
$$;
SELECT va_secret_set(:'tenant', 'twilio_auth_token', 'secret-one'), va_tenant_settings_set(:'tenant', format('{"twilio_account_sid": "%s", "sms_notifications": true}', :'acme')::jsonb) \g /dev/null
SELECT va_appointment_book(:'lead', date_trunc('day', now()) + interval '10 days 15 hours', title => 'Visit', force => true) AS moved,
	va_appointment_book(:'lead', date_trunc('day', now()) + interval '12 days 15 hours', title => 'Visit', force => true) AS off,
	va_appointment_book(:'lead', date_trunc('day', now()) + interval '14 days 15 hours', title => 'Visit', force => true) AS kept \gset
SELECT pg_temp.confirmation(a, c) AS id, a AS appointment, c AS channel INTO TEMP sent FROM unnest(ARRAY[:'moved', :'off', :'kept']::uuid[]) a, unnest(ARRAY['email', 'sms']) c;
DELETE FROM sent WHERE id IS NULL;
SELECT ok((SELECT count(*) >= 3 FROM sent), 'each appointment has a confirmation');
SELECT ok(bool_and(pg_temp.attempt(id) ?| ARRAY['message', 'form']), 'each is attempted') FROM sent;
SELECT ok(bool_and((SELECT status = 'sending' FROM notifications n WHERE n.id = s.id)), 'and is sending') FROM sent s;
-- The attempts came to nothing (429); before they are made again things change.
SELECT va_outbox_again(o, '{"code": "too_many_requests"}', 1) FROM outbox o WHERE o.notification_id IN (SELECT id FROM sent) \g /dev/null
SELECT va_appointment_reschedule(:'moved', date_trunc('day', now()) + interval '11 days 16 hours', force => true), va_appointment_cancel(:'off') \g /dev/null
SELECT is(string_agg(DISTINCT pg_temp.attempt(id)::text, ''), '{"skip": "the appointment has been moved"}', 'moved: the old time is not sent') FROM sent WHERE appointment = :'moved';
SELECT is(string_agg(DISTINCT pg_temp.attempt(id) ->> 'skip', ''), 'the appointment is cancelled', 'cancelled: nothing is confirmed') FROM sent WHERE appointment = :'off';
SELECT ok(bool_and(pg_temp.attempt(id) ?| ARRAY['message', 'form']), 'nothing has changed: it is tried again') FROM sent WHERE appointment = :'kept';
SELECT ok(count(*) > 0, 'of the moved one there is a new confirmation, with the new time') FROM notifications n WHERE n.appointment_id = :'moved' AND n.template_id = 'appointment_confirmation'
	AND n.id NOT IN (SELECT id FROM sent) AND n.status = 'pending' AND (n.template_data ->> 'scheduled_at')::timestamptz = date_trunc('day', now()) + interval '11 days 16 hours';
SELECT * FROM finish();
