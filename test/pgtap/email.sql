-- E-mail: what a row of notifications becomes, who gets none, what SendGrid tells in any order, and what comes in.
\ir setup.psql
SELECT no_plan();
SELECT va_tenant_create('Acme & Co', 'real_estate', '+15551230002') AS tenant, va_tenant_create('Other', 'x', '+15551230003') AS stranger \gset
CREATE FUNCTION pg_temp.mail(tenant uuid, lead uuid, type text DEFAULT 'follow_up', more jsonb DEFAULT '{}') RETURNS uuid LANGUAGE sql AS $$
	INSERT INTO notifications (tenant_id, lead_id, channel, direction, to_address, subject, body, notification_type, template_id, template_data, scheduled_for)
	SELECT tenant, lead, 'email', 'outbound', coalesce(more ->> 'to', l.email), 'Hello', E'Dear Ann,\n\nsee <this>: https://x.test/a?b=c&d.', type, more ->> 'template', more -> 'data',
		(more ->> 'at')::timestamptz FROM (SELECT 1) one LEFT JOIN leads l ON l.id = lead RETURNING id
$$;
CREATE FUNCTION pg_temp.effect(mail uuid) RETURNS outbox LANGUAGE sql AS $$ SELECT o FROM outbox o WHERE o.notification_id = mail $$;
CREATE FUNCTION pg_temp.prepare(mail uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE v jsonb; o outbox := pg_temp.effect(mail);
BEGIN EXECUTE format('SELECT va_prepare_%s($1)', replace(o.kind, '.', '_')) INTO v USING o; RETURN v; END $$;
CREATE FUNCTION pg_temp.state(mail uuid) RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' | ', status, external_id, error_message) FROM notifications WHERE id = mail $$;

-- ---- settings
SELECT is(pg_temp.sqlstate_of(format('UPDATE tenants SET settings = settings || %L WHERE id = %L', s, :'tenant')), code, s) FROM (VALUES
	('{"email": 1}', 'VA009'), ('{"email": {"provider": "pigeon"}}', 'VA009'), ('{"email": {"from": "nobody"}}', 'VA009'), ('{"email": {"form": "a@b.test"}}', 'VA009'),
	('{"email": {"templates": {"x": "7"}}}', 'VA009'), ('{"email": {"event_key": "MFkw"}}', 'VA009'), ('{"email": {"sandbox": "yes"}}', 'VA009'), ('{"email": {"reply_domain": "a b"}}', 'VA009'),
	('{"smtp": {"host": "a b"}}', 'VA009'), ('{"smtp": {"port": 0}}', 'VA009'), ('{"smtp": {"port": 25.5}}', 'VA009'), ('{"smtp": {"security": "ssl"}}', 'VA009'), ('{"smtp": {"password": "x"}}', 'VA009'),
	('{"google": {"invite": 1}}', 'VA009'), ('{"google": {"send_updates": "some"}}', 'VA009'), ('{"google": {"calendars": {"a@b.test": 1}}}', 'VA009'),
	('{"email": null, "smtp": null, "google": null}', 'none'), ('{"email": {"from": null}, "smtp": {"host": "mx.example.test", "port": 2525, "user": "u", "security": "tls"}, "google": {"calendar_id": "c", "calendars": {"a@b.test": "d"}}}', 'none')) AS x (s, code);
UPDATE tenants SET settings = settings - ARRAY['email', 'smtp', 'google'] WHERE id = :'tenant';
SELECT is(va_email_address_good(a), g, 'address ' || coalesce(a, 'NULL')) FROM (VALUES ('a@b.test', true), ('o''neil+x@sub.b-c.test', true), ('a@b', false), ('a b@c.test', false), ('a@b.test' || chr(10), false), ('<a@b.test>', false), ('a@-b.test', false), (NULL, false)) AS x (a, g);

-- ---- nothing is queued where nothing is set up
SELECT va_lead_capture(:'tenant', '{"first_name": "Ann", "last_name": "Lee", "email": "Ann@Example.test"}') AS lead \gset
SELECT pg_temp.mail(:'tenant', :'lead') AS early \gset
SELECT is((SELECT count(*)::int FROM outbox), 0, 'without a service a mail waits'), is(va_email_provider(:'tenant'), NULL, 'there is none');
SELECT is((pg_temp.effect(:'early')).id, NULL, 'not in the outbox');
SELECT va_secret_set(:'tenant', 'sendgrid_api_key', 'SG.one.two') \g /dev/null
SELECT is(va_email_provider(:'tenant'), 'sendgrid', 'a key is enough'), isnt(va_email_queue(:'early'), NULL, 'now it can be queued');
SELECT is(va_email_queue(:'early'), (pg_temp.effect(:'early')).id, 'once');
SELECT is(pg_temp.prepare(:'early') -> 'fail' ->> 'code', 'not_set_up', 'without a sender it fails, and says so'), alike(pg_temp.prepare(:'early') -> 'fail' ->> 'hint', '%from%', 'with what to set');
UPDATE tenants SET settings = settings || '{"email": {"from": "sales@acme.test", "reply_domain": "parse.acme.test"}}' WHERE id = :'tenant';

-- ---- the message
SELECT pg_temp.prepare(:'early') AS r \gset
SELECT is(:'r'::jsonb #>> p::text[], w, p) FROM (VALUES ('{base_url}', 'https://api.sendgrid.com'), ('{api_key}', 'SG.one.two'), ('{message,from,email}', 'sales@acme.test'), ('{message,from,name}', 'Acme & Co'),
	('{message,to,0,email}', 'ann@example.test'), ('{message,to,0,name}', 'Ann Lee'), ('{message,subject}', 'Hello'), ('{message,custom_args,va_tenant}', :'tenant'), ('{message,custom_args,va_notification}', :'early'),
	('{message,custom_args,va_key}', 'notification:' || :'early'), ('{message,categories,0}', 'follow_up'), ('{message,reply_to,email}', 'reply+' || replace(:'early', '-', '') || '@parse.acme.test'), ('{message,template_id}', NULL),
	('{message,calendar}', NULL)) AS x (p, w);
SELECT alike(:'r'::jsonb #>> '{message,html}', '%<p>Dear Ann,</p><p>see &lt;this&gt;: <a href="https://x.test/a?b=c&amp;d">https://x.test/a?b=c&amp;d</a>.</p>%', 'the text as HTML, escaped'),
	alike(:'r'::jsonb #>> '{message,text}', E'Dear Ann,%\n\n-- \nNo more e-mails from Acme & Co: %/unsubscribe?t=%', 'the way out in the text'),
	alike(:'r'::jsonb #>> '{message,headers,List-Unsubscribe}', '<http%/unsubscribe?t=%>', 'and in a header'), is(:'r'::jsonb #> '{message,headers,List-Unsubscribe-Post}', NULL, 'one click only over TLS');
SELECT is((SELECT status || ' ' || from_address || ' ' || (message_id = :'r'::jsonb #>> '{message,message_id}')::text FROM notifications WHERE id = :'early'), 'sending sales@acme.test true', 'the attempt is noted'),
	matches(:'r'::jsonb #>> '{message,message_id}', '^va-[0-9a-f]{32}@acme.test$', 'its id'), is(pg_temp.prepare(:'early') #>> '{message,message_id}', :'r'::jsonb #>> '{message,message_id}', 'is the same in each attempt');
SELECT pg_temp.mail(:'tenant', :'lead', 'reminder', '{"template": "t1", "data": {"slot": 9, "html": "<b>x</b>"}}') AS reminder \gset
UPDATE tenants SET settings = jsonb_set(settings, '{email}', settings -> 'email' || '{"templates": {"t1": "d-0123456789abcdef0123456789abcdef"}, "region": "eu", "sandbox": true, "from_name": "Sales"}') WHERE id = :'tenant';
SELECT pg_temp.prepare(:'reminder') AS r \gset
SELECT is(:'r'::jsonb #>> p::text[], w, 'reminder ' || p) FROM (VALUES ('{base_url}', 'https://api.eu.sendgrid.com'), ('{message,headers,List-Unsubscribe}', NULL), ('{message,headers,Auto-Submitted}', 'auto-generated'), ('{message,template_id}', 'd-0123456789abcdef0123456789abcdef'),
	('{message,template_data,slot}', '9'), ('{message,template_data,company}', 'Acme & Co'), ('{message,html}', '<b>x</b>'), ('{message,sandbox}', 'true'), ('{message,from,name}', 'Sales')) AS x (p, w);
UPDATE tenants SET settings = jsonb_set(settings, '{email}', settings -> 'email' || '{"unsubscribe": "always"}') WHERE id = :'tenant';
SELECT alike(pg_temp.prepare(:'reminder') #>> '{message,headers,List-Unsubscribe}', '<http:%', 'always means reminders too');
UPDATE tenants SET settings = jsonb_set(settings, '{email}', '{"from": "sales@acme.test"}') WHERE id = :'tenant';

-- ---- SMTP
UPDATE tenants SET settings = settings || '{"smtp": {"host": "mx.acme.test", "user": "acme"}}' || '{"email": {"from": "sales@acme.test", "provider": "smtp"}}' WHERE id = :'tenant';
SELECT pg_temp.mail(:'tenant', :'lead') AS smtp \gset
SELECT is((pg_temp.effect(:'smtp')).kind, 'smtp.mail', 'the kind follows the setting'), is(pg_temp.prepare(:'smtp') -> 'fail' ->> 'code', 'not_set_up', 'a user without password');
SELECT va_secret_set(:'tenant', 'smtp_password', 'hush') \g /dev/null
SELECT is(pg_temp.prepare(:'smtp') - 'message', '{"host": "mx.acme.test", "port": 587, "user": "acme", "password": "hush", "security": "starttls", "tenant_url": true}', 'the server, STARTTLS by default');
UPDATE tenants SET settings = settings || '{"smtp": {"host": "mx.acme.test", "security": "tls"}}' WHERE id = :'tenant';
SELECT is(pg_temp.prepare(:'smtp') - 'message', '{"host": "mx.acme.test", "port": 465, "password": "hush", "security": "tls", "tenant_url": true}', 'TLS from the start');
UPDATE tenants SET settings = settings - 'smtp' WHERE id = :'tenant';
INSERT INTO settings (name, value) VALUES ('smtp', '{"host": "relay.internal", "security": "none"}');
SELECT is(pg_temp.prepare(:'smtp') -> 'tenant_url', 'false', 'the platform''s own server may be in its own network');
DELETE FROM settings WHERE name = 'smtp';
SELECT is(pg_temp.prepare(:'smtp') -> 'fail' ->> 'code', 'not_set_up', 'no server');
UPDATE tenants SET settings = settings || '{"email": {"from": "sales@acme.test"}}' WHERE id = :'tenant';

-- ---- who gets none
SELECT is(pg_temp.prepare(pg_temp.mail(:'tenant', :'lead', 'follow_up', m)) #>> p::text[], w, why) FROM (VALUES
	('{"to": "nobody"}'::jsonb, '{fail,code}', 'bad_address', 'no address'),
	(jsonb_build_object('at', now() + interval '1 hour'), '{why}', 'planned for later', 'its time has not come')) AS x (m, p, w, why);
SELECT pg_temp.mail(:'tenant', :'lead') AS cancelled \gset
UPDATE notifications SET status = 'cancelled' WHERE id = :'cancelled';
SELECT is(pg_temp.prepare(:'cancelled') ->> 'skip', 'the message is cancelled', 'cancelled in between');
UPDATE tenants SET status = 'inactive' WHERE id = :'tenant';
SELECT is(pg_temp.prepare(:'early') #>> '{fail,code}', 'inactive_tenant', 'an inactive tenant');
UPDATE tenants SET status = 'active', settings = settings || '{"contact_limits": {"email": {"day": 4}}, "smtp": {"host": "mx.acme.test"}}' WHERE id = :'tenant';
SELECT is(pg_temp.prepare(:'smtp') ? 'message', true, 'the fourth of the day, tried again, does not count against itself');
SELECT pg_temp.mail(:'tenant', :'lead') AS fifth \gset
UPDATE notifications SET status = 'sent' WHERE id IN (:'early', :'reminder', :'smtp');
UPDATE notifications SET status = 'sent' WHERE id = (SELECT id FROM notifications WHERE status = 'pending' AND to_address = 'nobody');
SELECT is(pg_temp.prepare(:'fifth') ->> 'why', 'attempt limit', 'a fifth waits'), ok((pg_temp.prepare(:'fifth') ->> 'defer')::timestamptz > now() + interval '20 hours', 'until tomorrow');
UPDATE tenants SET settings = settings - 'contact_limits' WHERE id = :'tenant';
UPDATE notifications SET status = 'cancelled' WHERE status = 'pending';

-- ---- planned earlier than before
SELECT pg_temp.mail(:'tenant', :'lead', 'follow_up', jsonb_build_object('at', now() + interval '2 days')) AS moved \gset
UPDATE notifications SET scheduled_for = now() + interval '1 hour' WHERE id = :'moved';
SELECT is((pg_temp.effect(:'moved')).run_at, (SELECT scheduled_for FROM notifications WHERE id = :'moved'), 'the effect moves along');
UPDATE notifications SET status = 'cancelled' WHERE id = :'moved';

-- ---- outcomes
SELECT pg_temp.mail(:'tenant', :'lead') AS m FROM generate_series(1, 1) \gset
SELECT va_settle_email(pg_temp.effect(:'m'), 'unknown', '{"text": "timed out waiting for the answer"}') \g /dev/null
SELECT is(pg_temp.state(:'m'), 'pending | It is not known whether this e-mail was sent: timed out waiting for the answer', 'unknown');
SELECT va_settle_email(pg_temp.effect(:'m'), 'done', '{"message_id": "m-1"}') \g /dev/null
SELECT is(pg_temp.state(:'m'), 'sent | m-1', 'done'), isnt((SELECT sent_at FROM notifications WHERE id = :'m'), NULL, 'with its time');
SELECT va_settle_email(pg_temp.effect(:'m'), 'failed', '{"text": "x"}') \g /dev/null
SELECT is(pg_temp.state(:'m'), 'sent | m-1', 'what was sent does not fail afterwards');
SELECT pg_temp.mail(:'tenant', :'lead') AS m2, pg_temp.mail(:'tenant', :'lead') AS m3 \gset
SELECT va_settle_email(pg_temp.effect(:'m2'), 'failed', '{"text": "The from address does not match.", "hint": "Verify it."}'), va_settle_email(pg_temp.effect(:'m3'), 'skipped', '{"why": "consent withdrawn"}') \g /dev/null
SELECT is(pg_temp.state(:'m2'), 'failed | The from address does not match. Verify it.', 'the service''s words and what to do'), is(pg_temp.state(:'m3'), 'cancelled | consent withdrawn', 'why not');

-- ---- events, in every order
CREATE FUNCTION pg_temp.event(tenant uuid, mail uuid, name text, more jsonb DEFAULT '{}', at int DEFAULT 0) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('event_id', gen_random_uuid(), 'event', name, 'at', 1788100000 + at, 'to', 'ann@example.test', 'tenant', tenant, 'notification', mail, 'message_id', 'm-7') || more
$$;
CREATE FUNCTION pg_temp.tell(tenant uuid, mail uuid, VARIADIC names text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE v text;
BEGIN
	FOREACH v IN ARRAY names LOOP
		PERFORM va_webhook_email_events(NULL, jsonb_build_array(pg_temp.event(tenant, mail, v, CASE v WHEN 'bounce' THEN '{"type": "bounce", "reason": "550 no"}' WHEN 'dropped' THEN '{"reason": "Bounced Address"}' WHEN 'deferred' THEN '{"response": "busy"}' ELSE '{}' END::jsonb)), 'gw');
	END LOOP;
	RETURN (SELECT n.status FROM notifications n WHERE n.id = mail);
END $$;
SELECT is(pg_temp.tell(:'tenant', pg_temp.mail(:'tenant', :'lead'), VARIADIC string_to_array(e, ' ')), w, e) FROM (VALUES ('processed', 'sent'), ('processed delivered', 'delivered'), ('delivered processed', 'delivered'), ('open delivered processed', 'read'),
	('delivered open click', 'read'), ('processed deferred', 'sent'), ('deferred', 'pending'), ('bounce', 'undelivered'), ('bounce delivered processed', 'undelivered'), ('delivered bounce', 'undelivered'), ('dropped', 'undelivered'),
	('open bounce', 'read'), ('nonsense', 'pending'), ('delivered delivered', 'delivered')) AS x (e, w);
SELECT pg_temp.mail(:'tenant', :'lead') AS m \gset
SELECT pg_temp.tell(:'tenant', :'m', 'deferred') \g /dev/null
SELECT is(pg_temp.state(:'m'), 'pending | m-7 | The recipient''s server asks to try again later: busy', 'a delay is told');
SELECT pg_temp.tell(:'tenant', :'m', 'delivered') \g /dev/null
SELECT is(pg_temp.state(:'m'), 'delivered | m-7', 'and forgotten');
SELECT pg_temp.tell(:'tenant', :'m', 'bounce') \g /dev/null
SELECT is(pg_temp.state(:'m'), 'undelivered | m-7 | The address does not exist or takes no mail: 550 no', 'a late bounce');
SELECT pg_temp.mail(:'tenant', :'lead') AS m \gset
SELECT va_webhook_email_events(NULL, jsonb_build_array(pg_temp.event(:'tenant', :'m', 'open', '{"machine": true}')), 'gw') \g /dev/null
SELECT is((SELECT status FROM notifications WHERE id = :'m'), 'pending', 'a machine that opens has not read'), is((SELECT count(*)::int FROM email_events WHERE notification_id = :'m'), 1, 'but is on record');
SELECT pg_temp.event(:'tenant', :'m', 'delivered', '{"event_id": "twice"}') AS e \gset
SELECT va_webhook_email_events(NULL, jsonb_build_array(:'e'::jsonb, :'e'::jsonb), 'gw'), va_webhook_email_events(NULL, jsonb_build_array(:'e'::jsonb), 'gw') \g /dev/null
SELECT is((SELECT count(*)::int FROM email_events WHERE event_id = 'twice'), 1, 'an event counts once');
SELECT va_webhook_email_events(:'stranger', jsonb_build_array(pg_temp.event(:'tenant', :'m', 'bounce', '{"event_id": "foreign"}')), 'gw') \g /dev/null
SELECT is((SELECT count(*)::int FROM email_events WHERE event_id = 'foreign'), 0, 'a tenant''s key does not speak for another');
SELECT va_webhook_email_events(NULL, e, 'gw') FROM (VALUES ('[{"event": "open", "event_id": "x1", "at": 5}]'::jsonb), (jsonb_build_array(pg_temp.event(gen_random_uuid(), NULL, 'open'))), (jsonb_build_array(pg_temp.event(:'tenant', NULL, 'open', '{"notification": "x", "tenant": "y"}')))) x (e) \g /dev/null
SELECT is((SELECT sum(value)::int FROM gateway_counters WHERE name = 'email_events_passed_over'), 6, 'what belongs to nobody is passed over and counted');
SELECT va_webhook_email_events(:'tenant', jsonb_build_array(jsonb_build_object('event', 'delivered', 'event_id', 'by-id', 'at', 1788100000, 'message_id', 'm-1')), 'gw') \g /dev/null
SELECT is((SELECT n.status::text FROM email_events e JOIN notifications n ON n.id = e.notification_id WHERE e.event_id = 'by-id'), 'delivered', 'an event without our marks is found by SendGrid''s id');

-- an attempt without an answer is settled by its event
SELECT pg_temp.mail(:'tenant', :'lead') AS m \gset
UPDATE tenants SET settings = settings || '{"email": {"from": "sales@acme.test", "provider": "sendgrid"}}' WHERE id = :'tenant';
SELECT pg_temp.mail(:'tenant', :'lead') AS m \gset
UPDATE outbox SET state = 'unknown', attempts = 1, doubtful_since = now() WHERE notification_id = :'m';
SELECT va_webhook_email_events(NULL, jsonb_build_array(pg_temp.event(:'tenant', :'m', 'processed', jsonb_build_object('key', 'notification:' || :'m'))), 'gw') \g /dev/null
SELECT is((SELECT outcome FROM outbox_history WHERE notification_id = :'m'), 'done', 'found by its event'), is(pg_temp.state(:'m'), 'sent | m-7', 'and sent');

-- ---- opting out
SELECT va_webhook_email_events(NULL, jsonb_build_array(pg_temp.event(:'tenant', :'m', 'spamreport', '{"event_id": "spam"}')), 'gw') \g /dev/null
SELECT is((SELECT verdict FROM va_may_contact(:'lead', 'email')), 'never', 'a report as spam is an opt-out'), is((SELECT source || ' ' || (proof ->> 'event_id') FROM consents WHERE NOT granted), 'SendGrid event spam spam', 'with its proof');
SELECT is(pg_temp.prepare(pg_temp.mail(:'tenant', :'lead')) ->> 'skip', 'on the do-not-contact list', 'nothing more goes out'), is(pg_temp.prepare(pg_temp.mail(:'tenant', NULL, 'follow_up', '{"to": "Ann@example.test"}')) ->> 'skip', 'on the do-not-contact list', 'nor without the lead');
SELECT is(pg_temp.prepare(pg_temp.mail(:'tenant', NULL, 'internal', '{"to": "ann@example.test"}')) ? 'message', true, 'the tenant''s own people are not asked');
SELECT va_lead_capture(:'tenant', '{"first_name": "Bo", "email": "bo@example.test"}') AS bo \gset
SELECT va_unsubscribe_token(:'tenant', 'Bo@example.test') AS token \gset
SELECT matches(:'token'::text, '^[A-Za-z0-9_-]+$', 'a token for a link'), is((SELECT (tenant::text, address)::text FROM va_unsubscribe_open(:'token')), format('(%s,bo@example.test)', :'tenant'), 'opens');
SELECT is((SELECT tenant FROM va_unsubscribe_open(t)), NULL, 'does not open: ' || left(coalesce(t, 'NULL'), 20)) FROM (VALUES (''), (NULL), ('x'), (repeat('A', 100)), (overlay(:'token' PLACING 'xyz' FROM 30)), (:'token' || 'AAAA')) x (t);
SELECT is((SELECT http_status FROM va_webhook_unsubscribe('nonsense', true, 'gw')), 404, 'a strange token'), is((SELECT http_status FROM va_webhook_unsubscribe(:'token', false, 'gw')), 200, 'the page');
SELECT alike((SELECT body FROM va_webhook_unsubscribe(:'token', false, 'gw')), '%Acme &amp; Co%bo@example.test%<form method="post">%', 'shows a button'), is((SELECT verdict FROM va_may_contact(:'bo', 'email')), 'yes', 'and does nothing');
SELECT is((SELECT http_status FROM va_webhook_unsubscribe(:'token', true, 'gw')), 200, 'the button'), is((SELECT http_status FROM va_webhook_unsubscribe(:'token', true, 'gw')), 200, 'twice');
SELECT is((SELECT verdict FROM va_may_contact(:'bo', 'email')), 'never', 'has its effect'), is((SELECT count(*)::int FROM consents WHERE address = 'bo@example.test'), 1, 'once');

-- ---- what comes in
UPDATE notifications SET message_id = 'va-1@acme.test' WHERE id = :'m';
CREATE FUNCTION pg_temp.receive(tenant uuid, mail jsonb) RETURNS notifications LANGUAGE plpgsql AS $$
BEGIN
	PERFORM va_webhook_email_inbound(tenant, mail, 'gw');
	RETURN (SELECT n FROM notifications n WHERE n.direction = 'inbound' AND n.message_id = mail ->> 'message_id');
END $$;
SELECT is(concat_ws('|', (r).lead_id = :'lead', (r).reply_to_id = :'m', (r).status, (r).notification_type), w, why) FROM (VALUES
	('t|t|received|reply', 'by the address of that mail', NULL::uuid, jsonb_build_object('message_id', 'i1', 'from', 'else@x.test', 'to', jsonb_build_array('reply+' || replace(:'m', '-', '') || '@parse.acme.test'), 'text', 'yes')),
	('t|t|received|reply', 'by In-Reply-To', :'tenant', '{"message_id": "i2", "from": "else@x.test", "to": ["x@y.test"], "in_reply_to": "va-1@acme.test"}'),
	('t|t|received|reply', 'by References', :'tenant', '{"message_id": "i3", "from": "else@x.test", "to": [], "references": ["a@b", "va-1@acme.test"]}'),
	('t|received', 'by the sender''s address', :'tenant', '{"message_id": "i4", "from": "ann@example.test", "to": []}'),
	('received', 'by nobody we know', :'tenant', '{"message_id": "i5", "from": "new@example.test", "to": []}'),
	('t|t|received|auto_reply', 'by a machine', :'tenant', '{"message_id": "i6", "from": "ann@example.test", "to": [], "auto": true, "in_reply_to": "va-1@acme.test"}'),
	('', 'for nobody', NULL, '{"message_id": "i7", "from": "ann@example.test", "to": ["x@y.test"]}'),
	('', 'with a stranger''s key for our mail', :'stranger', '{"message_id": "i8", "to": []}')) AS x (w, why, t, mail), LATERAL (SELECT pg_temp.receive(t, mail) AS r) y;
SELECT va_webhook_email_inbound(:'tenant', '{"message_id": "i2", "from": "else@x.test", "to": []}', 'gw') \g /dev/null
SELECT is((SELECT count(*)::int FROM notifications WHERE message_id = 'i2'), 1, 'the same mail again'), is((SELECT status FROM notifications WHERE id = :'m'), 'read', 'who answers has read');
SELECT is((SELECT body || '|' || (template_data ->> 'full_text') || '|' || (attachments #>> '{0,filename}') FROM pg_temp.receive(:'tenant', '{"message_id": "i9", "from": "a@b.test", "to": [], "text": "own", "full_text": "own and old", "attachments": [{"filename": "a.pdf", "type": "application/pdf", "size": 9}]}')), 'own|own and old|a.pdf', 'its own words, all words, and what was attached');
SELECT va_lead_capture(:'tenant', '{"email": "cy@example.test"}') AS cy \gset
SELECT pg_temp.receive(:'tenant', '{"message_id": "i10", "from": "cy@example.test", "to": [], "subject": "Re: Hello", "text": "Unsubscribe."}') \g /dev/null
SELECT is((SELECT verdict FROM va_may_contact(:'cy', 'email')), 'never', 'one word is enough'), is((SELECT what FROM consents WHERE address = 'cy@example.test'), 'Unsubscribe.', 'and is the proof');

-- ---- the gateway's keys
SELECT va_secret_set(:'tenant', 'sendgrid_inbound_token', 'tok'), va_secret_set(NULL, 'sendgrid_inbound_token', 'ours') \g /dev/null
UPDATE tenants SET settings = jsonb_set(settings, '{email,event_key}', '"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEI/8uhVJ1VMfGBbDDAK/XSdf3lCy7JSMVxoxI5NXbKplYg9DK8wDNF/earhuZywhlJbHwReaoG9qNMUzxFRKt0g=="') WHERE id = :'tenant';
SELECT is(va_gateway_config() -> 'email', jsonb_build_array('{"tenant": "", "inbound_token": "ours"}'::jsonb, jsonb_build_object('tenant', :'tenant', 'event_key', (SELECT settings #> '{email,event_key}' FROM tenants WHERE id = :'tenant'), 'inbound_token', 'tok')), 'each with its own');
SELECT ok(va_export_person(:'tenant', email => 'ann@example.test') ? 'email_events', 'events are part of what is stored of a person');
SELECT va_erase_person(:'tenant', email => 'ann@example.test') \g /dev/null
SELECT is((SELECT count(*)::int FROM email_events WHERE to_address = 'ann@example.test'), 0, 'and are erased');
SELECT * FROM finish();
