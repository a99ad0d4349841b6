-- SMS and WhatsApp: what is sent, what comes in, and news of both in any order.
\ir setup.psql
SELECT no_plan();
SELECT pg_temp.tenant('+15551230002') AS tenant, pg_temp.tenant('+15559990001', :'other') AS stranger \gset
SELECT va_secret_set(:'tenant', 'twilio_auth_token', 'secret-one') \g /dev/null
INSERT INTO phone_numbers (tenant_id, phone_number, phone_type) VALUES (:'tenant', '+15551230004', 'whatsapp');
UPDATE tenants SET settings = settings || '{"contact_hours": {"open": "00:00", "close": "24:00"}, "contact_limits": {"sms": {"day": null, "week": null}, "whatsapp": {"day": null, "week": null}},
	"whatsapp_templates": {"reminder": {"sid": "HX00000000000000000000000000000001", "variables": ["first_name", "when"]}, "plain": {"sid": "HX00000000000000000000000000000002"}}}' WHERE id = :'tenant';
INSERT INTO leads (tenant_id, first_name, phone) VALUES (:'tenant', 'Ana', '+15551230009') RETURNING id AS lead \gset

CREATE FUNCTION pg_temp.message(tenant uuid, channel text, body text, more jsonb DEFAULT '{}') RETURNS uuid LANGUAGE sql AS $$
	INSERT INTO notifications (tenant_id, lead_id, channel, direction, to_address, body, status, template_id, template_data, media_urls, from_address)
	SELECT tenant, (SELECT l.id FROM leads l WHERE l.tenant_id = tenant AND l.phone = coalesce(more ->> 'to', '+15551230009')), channel, 'outbound', coalesce(more ->> 'to', '+15551230009'), body, 'pending',
		more ->> 'template', more -> 'data', CASE WHEN more ? 'media' THEN ARRAY(SELECT jsonb_array_elements_text(more -> 'media')) END, more ->> 'from' RETURNING id
$$;
CREATE FUNCTION pg_temp.attempt(message uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	o outbox;
BEGIN
	PERFORM va_message_queue(message);
	UPDATE outbox x SET state = 'leased', attempts = attempts + 1, started_at = clock_timestamp(), leased_by = 'test' WHERE x.notification_id = message RETURNING * INTO o;
	RETURN va_prepare_twilio_message(o);
END $$;
CREATE FUNCTION pg_temp.sent(message uuid, outcome text, result jsonb) RETURNS void LANGUAGE sql AS $$ SELECT va_settle_twilio_message(o, outcome, result) FROM outbox o WHERE o.notification_id = message $$;
CREATE FUNCTION pg_temp.news(sid text, status text, more jsonb DEFAULT '{}') RETURNS integer LANGUAGE sql AS $$
	SELECT http_status FROM va_webhook_message_status('AC00000000000000000000000000000001', jsonb_build_object('MessageSid', sid, 'MessageStatus', status, 'AccountSid', 'AC00000000000000000000000000000001') || more, NULL, 'gw')
$$;
CREATE FUNCTION pg_temp.incoming(channel text, sid text, body text, more jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r record;
	p jsonb := jsonb_build_object('MessageSid', sid, 'AccountSid', 'AC00000000000000000000000000000001', 'From', CASE channel WHEN 'whatsapp' THEN 'whatsapp:' ELSE '' END || '+15551230009',
		'To', CASE channel WHEN 'whatsapp' THEN 'whatsapp:+15551230004' ELSE '+15551230002' END, 'Body', body, 'NumMedia', '0') || more;
BEGIN
	IF channel = 'sms' THEN
		SELECT * INTO r FROM va_webhook_sms_incoming('AC00000000000000000000000000000001', p, NULL, 'gw');
	ELSE
		SELECT * INTO r FROM va_webhook_whatsapp_incoming('AC00000000000000000000000000000001', p, NULL, 'gw');
	END IF;
	RETURN r.http_status || coalesce(' ' || r.body, '');
END $$;

-- ---- what is sent
SELECT pg_temp.message(:'tenant', 'sms', 'Hello') AS m \gset
SELECT va_message_queue(:'m') AS effect \gset
SELECT is(va_message_queue(:'m'), :'effect'::bigint, 'queued twice it is one effect');
SELECT is((SELECT (kind, attempt_key, lane)::text FROM outbox WHERE notification_id = :'m'), format('(twilio.message,%s,bulk)', :'m'), 'keyed by the notification');
SELECT is(va_message_queue(x), NULL, 'not queued: ' || w) FROM (VALUES ('00000000-0000-0000-0000-000000000000'::uuid, 'nothing'), (pg_temp.message(:'tenant', 'email', 'x'), 'an e-mail')) AS v (x, w);
SELECT pg_temp.attempt(:'m') AS r \gset
SELECT is((:'r'::jsonb -> 'form') - 'StatusCallback', '{"To": "+15551230009", "From": "+15551230002", "Body": "Hello"}'::jsonb, 'an SMS');
SELECT is(replace(:'r'::jsonb #>> '{form,StatusCallback}', va_public_url(), ''), format('/webhook/sms/status?message=%s#rc=5&rp=all', :'m'), 'its status comes with our key');
SELECT is((SELECT status::text FROM notifications WHERE id = :'m'), 'sending', 'the row says so');
SELECT is(pg_temp.attempt(pg_temp.message(:'tenant', 'sms', 'x', '{"media": ["https://x.org/a.jpg", "https://x.org/b.jpg"]}')) -> 'form' -> 'MediaUrl', '["https://x.org/a.jpg", "https://x.org/b.jpg"]'::jsonb, 'with files');
SELECT is(pg_temp.attempt(pg_temp.message(:'tenant', c, b, m)) #>> '{fail,code}', code, what) FROM (VALUES
	('sms', '', '{}'::jsonb, 'empty', 'an empty message'), ('sms', repeat('x', 1601), '{}', '21617', 'a text too long'), ('sms', 'x', '{"to": "nobody"}', 'no_number', 'no number'),
	('whatsapp', 'Hi', '{}', '63016', 'free text outside of the 24 hours'), ('whatsapp', NULL, '{"template": "unknown"}', '63016', 'an unknown template')) AS v (c, b, m, code, what);
SELECT is((pg_temp.attempt(pg_temp.message(:'tenant', 'whatsapp', 'Hi', '{"template": "reminder", "data": {"first_name": "Ana", "when": "10:30"}}')) -> 'form') - 'StatusCallback',
	'{"To": "whatsapp:+15551230009", "From": "whatsapp:+15551230004", "ContentSid": "HX00000000000000000000000000000001", "ContentVariables": "{\"1\": \"Ana\", \"2\": \"10:30\"}"}'::jsonb, 'outside of the 24 hours the template goes, and the text does not');
SELECT is(pg_temp.attempt(pg_temp.message(:'tenant', 'whatsapp', NULL, '{"template": "reminder", "data": {"first_name": " "}}')) #>> '{form,ContentVariables}', '{"1": "-", "2": "-"}', 'a variable without a value is no empty one');
SELECT is(pg_temp.attempt(pg_temp.message(:'tenant', 'whatsapp', NULL, '{"template": "plain"}')) -> 'form' -> 'ContentVariables' IS NULL, true, 'a template without variables');
SELECT is(pg_temp.attempt(pg_temp.message(:'tenant', 'whatsapp', NULL, '{"template": "HX00000000000000000000000000000007", "data": {"1": "a", "other": "b"}}')) #>> '{form,ContentVariables}', '{"1": "a"}', 'a content SID itself');

-- ---- rules of contact, at the moment of sending
SELECT pg_temp.message(:'tenant', 'sms', 'x', '{"to": "+15551230050"}') AS m2 \gset
SELECT va_message_queue(:'m2'), va_opt_out(:'tenant', '+15551230050', 'sms') \g /dev/null
SELECT is(pg_temp.attempt(:'m2') ->> 'skip', 'the message was withdrawn', 'who opts out gets nothing that was planned');
SELECT is(pg_temp.attempt(pg_temp.message(:'tenant', 'sms', 'x', '{"to": "+15551230050"}')) #>> '{fail,text}', 'this address may not be written to: on the do-not-contact list', 'nor anything new, lead or not');
UPDATE tenants SET settings = settings || '{"contact_limits": {"sms": {"day": 1}}}' WHERE id = :'tenant';
SELECT is(pg_temp.attempt(pg_temp.message(:'tenant', 'sms', 'x')) ->> 'why', 'attempt limit', 'limits hold');
UPDATE tenants SET settings = settings || '{"contact_limits": {"sms": {"day": null, "week": null}, "whatsapp": {"day": null, "week": null}}}' WHERE id = :'tenant';

-- ---- how it went
SELECT pg_temp.sent(:'m', 'done', '{"sid": "SM00000000000000000000000000000001", "status": "queued"}') \g /dev/null
SELECT row_eq(format('SELECT external_id::text, status::text, sent_at IS NOT NULL FROM notifications WHERE id = %L', :'m'), ROW('SM00000000000000000000000000000001'::text, 'sending'::text, true), 'Twilio has it: older news does not set it back');
SELECT is(pg_temp.attempt(:'m') ->> 'skip', 'the message has been sent', 'it is never sent a second time');

-- every order of five statuses, some of them twice, ends the same
CREATE TEMP TABLE orders AS WITH RECURSIVE p (list) AS (SELECT '{}'::text[] UNION ALL SELECT list || s FROM p, unnest(ARRAY['queued', 'sent', 'undelivered', 'failed', 'delivered']) s WHERE s <> ALL (list))
	SELECT list, row_number() OVER () AS n FROM p WHERE cardinality(list) = 5;
CREATE TEMP TABLE ends AS SELECT o.n, o.list, pg_temp.message(:'tenant', 'sms', 'order') AS id FROM orders o;
UPDATE notifications SET external_id = 'SMO' || n FROM ends WHERE ends.id = notifications.id;
SELECT count(pg_temp.news('SMO' || n, s, '{"ErrorCode": "30003"}')) FROM ends, unnest(list || list[1:2]) WITH ORDINALITY AS u (s, k) GROUP BY n \g /dev/null
SELECT is((SELECT array_agg(DISTINCT (x.status, x.sent_at IS NOT NULL, x.delivered_at IS NOT NULL, x.read_at IS NOT NULL, x.error_code)::text) FROM notifications x JOIN ends USING (id)), '{"(delivered,t,t,f,)"}', 'in whatever order and however often news comes, it ends the same');
SELECT pg_temp.news('SMO2', 'read'), pg_temp.news('SMO2', 'delivered') \g /dev/null
SELECT is((SELECT (status, read_at IS NOT NULL)::text FROM notifications WHERE external_id = 'SMO2'), '(read,t)', 'what was read was read');
SELECT is((SELECT count(*)::int FROM orders), 120, '(120 orders)');

SELECT pg_temp.message(:'tenant', 'sms', 'x') AS lost \gset
SELECT pg_temp.attempt(:'lost'), pg_temp.sent(:'lost', 'unknown', '{}') \g /dev/null
SELECT is((SELECT (status, error_code)::text FROM notifications WHERE id = :'lost'), '(sending,unknown)', 'an unknown outcome');
UPDATE outbox SET doubtful_since = now() WHERE notification_id = :'lost';
SELECT is((r -> 'listing') - ARRAY['since', 'age_s', 'known'], '{"list": "messages", "to": "+15551230009", "from": "+15551230002", "body": "x", "wait_s": 60}'::jsonb, 'what is looked for'), is((r -> 'listing' -> 'known') ? 'SM00000000000000000000000000000001', true, 'and what it is not')
FROM (SELECT va_prepare_twilio_message(o) AS r FROM outbox o WHERE o.notification_id = :'lost') x;
UPDATE outbox SET state = 'unknown' WHERE notification_id = :'lost';
SELECT is(pg_temp.news('SM00000000000000000000000000000009', 'delivered', jsonb_build_object('url_message', :'lost')), 204, 'the callback carries our key');
SELECT row_eq(format('SELECT external_id::text, status::text, error_code FROM notifications WHERE id = %L', :'lost'), ROW('SM00000000000000000000000000000009'::text, 'delivered'::text, NULL::text), 'and settles it');
SELECT is((SELECT outcome FROM outbox_history WHERE notification_id = :'lost'), 'done', 'the effect too');
SELECT is(pg_temp.news('SM00000000000000000000000000000010', 'delivered', jsonb_build_object('url_message', :'lost')), 204, 'a second message for one row');
SELECT is((SELECT count(*)::int FROM analytics_events WHERE event_type = 'message_doubled'), 1, 'is reported');
SELECT is(pg_temp.news('SM00000000000000000000000000000404', 'delivered'), 204, 'news of a message that is none of ours');
SELECT is((SELECT http_status FROM va_webhook_message_status(:'other', jsonb_build_object('MessageSid', 'SM00000000000000000000000000000009', 'MessageStatus', 'read'), NULL, 'gw')), 403, 'another account''s news of ours');

SELECT pg_temp.message(:'tenant', 'sms', 'x', '{"to": "+15551230051"}') AS gone \gset
SELECT pg_temp.attempt(:'gone'), pg_temp.sent(:'gone', 'failed', '{"code": "21610", "text": "opted out (…)", "hint": "Nothing."}') \g /dev/null
SELECT row_eq(format('SELECT status::text, error_code, error_message, error_hint FROM notifications WHERE id = %L', :'gone'), ROW('failed'::text, '21610'::text, 'opted out (…)'::text, 'Nothing.'::text), 'a failure with what to do');
SELECT is((SELECT (channel, how)::text FROM do_not_contact WHERE address = '+15551230051'), '(sms,"Twilio 21610")', 'who told Twilio to stop has told us');
SELECT is(pg_temp.news('SMO1', 'failed', '{"ErrorCode": "30007"}'), 204, 'late despair'), is((SELECT status::text FROM notifications WHERE external_id = 'SMO1'), 'delivered', 'changes nothing');
SELECT pg_temp.message(:'tenant', 'sms', 'x', '{"to": "+15551230052"}') AS dead \gset
UPDATE notifications SET external_id = 'SM52' WHERE id = :'dead';
SELECT pg_temp.news('SM52', 'undelivered', '{"ErrorCode": "30005"}') \g /dev/null
SELECT row_eq(format('SELECT status::text, error_code, error_message FROM notifications WHERE id = %L', :'dead'), ROW('undelivered'::text, '30005'::text, 'nobody has this number'::text), 'a code in plain words');

-- ---- what comes in
SELECT is(pg_temp.incoming('whatsapp', 'SMI1', 'Confirm', '{"ProfileName": "Ana B", "WaId": "15551230009", "ButtonPayload": "appt:991:yes", "ButtonText": "Confirm", "MessageType": "button"}'), '200 <?xml version="1.0" encoding="UTF-8"?><Response/>', 'an answer without words');
SELECT row_eq('SELECT channel::text, direction::text, from_address::text, to_address::text, body, status::text, details FROM notifications WHERE external_id = ''SMI1''',
	ROW('whatsapp'::text, 'inbound'::text, '+15551230009'::text, '+15551230004'::text, 'Confirm'::text, 'received'::text, '{"type": "button", "wa_id": "15551230009", "button_text": "Confirm", "profile_name": "Ana B", "button_payload": "appt:991:yes"}'::jsonb), 'the row');
SELECT is((SELECT lead_id FROM notifications WHERE external_id = 'SMI1'), :'lead'::uuid, 'of the lead with this number'), is((SELECT first_name::text FROM leads WHERE id = :'lead'), 'Ana', 'who keeps the name');
SELECT pg_temp.incoming('whatsapp', 'SMI1', 'Confirm'), pg_temp.incoming('sms', 'SMI2', 'STOP', '{"From": "+15551230060", "ProfileName": "Zoe"}'), pg_temp.incoming('sms', 'SMI3', '', '{"NumMedia": "2", "MediaUrl0": "https://api.twilio.com/a", "MediaContentType0": "image/png", "MediaUrl1": "https://api.twilio.com/b", "MediaContentType1": "audio/ogg"}'),
	pg_temp.incoming('sms', 'SMI4', 'Your code is 1', '{"From": "AMAZON"}') \g /dev/null
SELECT is((SELECT count(*)::int FROM notifications WHERE external_id = 'SMI1'), 1, 'delivered twice it is one message');
SELECT is((SELECT (l.source, l.first_name)::text FROM leads l JOIN notifications n ON n.lead_id = l.id WHERE n.external_id = 'SMI2'), '(sms,Zoe)', 'somebody new is a lead');
SELECT is((SELECT details -> 'media' FROM notifications WHERE external_id = 'SMI3'), '[{"url": "https://api.twilio.com/a", "type": "image/png"}, {"url": "https://api.twilio.com/b", "type": "audio/ogg"}]'::jsonb, 'files');
SELECT is((SELECT (from_address, lead_id)::text FROM notifications WHERE external_id = 'SMI4'), '(AMAZON,)', 'a sender without a number is no lead');
SELECT is(pg_temp.incoming('sms', 'SMI5', 'x', '{"To": "+15550000000"}'), '200 <?xml version="1.0" encoding="UTF-8"?><Response/>', 'to a number that is none'), is(pg_temp.incoming('sms', 'SMI6', 'x', '{"To": "+15559990001"}'), '403', 'to another account''s');
SELECT is(pg_temp.incoming('sms', '', 'x'), '400', 'without a SID');

-- within 24 hours free text goes, and to the number the person wrote to
SELECT is(pg_temp.attempt(pg_temp.message(:'tenant', 'whatsapp', 'Hi', '{"template": "reminder"}')) #>> '{form,Body}', 'Hi', 'after a message of the person''s free text goes');
UPDATE notifications SET created_at = now() - interval '24 hours' WHERE external_id = 'SMI1';
SELECT is(pg_temp.attempt(pg_temp.message(:'tenant', 'whatsapp', 'Hi')) #>> '{fail,code}', '63016', 'a day later it does not');
INSERT INTO phone_numbers (tenant_id, phone_number, phone_type) VALUES (:'tenant', '+15551230005', 'sms'), (:'tenant', '+15551230006', 'sms');
SELECT is(va_message_from(n), '+15551230002', 'the number the person wrote to last') FROM notifications n WHERE n.id = pg_temp.message(:'tenant', 'sms', 'x') OR n.id = :'m' ORDER BY n.id = :'m' LIMIT 1;
UPDATE tenants SET settings = settings || '{"messaging_service_sid": "MG00000000000000000000000000000001"}' WHERE id = :'tenant';
SELECT is((pg_temp.attempt(pg_temp.message(:'tenant', 'sms', 'x')) -> 'form') - 'StatusCallback', '{"To": "+15551230009", "Body": "x", "MessagingServiceSid": "MG00000000000000000000000000000001"}'::jsonb, 'a messaging service picks the number');
SELECT is(pg_temp.attempt(pg_temp.message(:'stranger', 'whatsapp', 'x')) #>> '{fail,code}', 'not_set_up', 'a tenant without a token');
SELECT va_secret_set(:'stranger', 'twilio_auth_token', 'x') \g /dev/null
UPDATE tenants SET settings = settings || '{"contact_hours": {"open": "00:00", "close": "24:00"}}' WHERE id = :'stranger';
SELECT is(pg_temp.attempt(pg_temp.message(:'stranger', 'whatsapp', 'x')) #>> '{fail,code}', 'no_sender', 'a tenant without a number for WhatsApp');
SELECT * FROM finish();
