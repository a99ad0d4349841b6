-- Work: messages on their way, what stages and steps ask for, each once, and what became of it.
\ir setup.psql
SELECT no_plan();
SELECT va_tenant_create('Acme', 'general', '+12125550100', twilio_account_sid => 'AC00000000000000000000000000000001') AS tenant, va_tenant_create('Other', 'general', '+12125550199') AS theirs \gset
UPDATE tenants SET settings = settings || '{"contact_hours": {"open": "00:00", "close": "24:00"}, "contact_limits": {"email": {"day": 50, "week": 50}, "sms": {"day": 50, "week": 50}, "whatsapp": {"day": 50, "week": 50}, "call": {"day": 50, "week": 50}}}';
CREATE FUNCTION pg_temp.lead(phone text, email text, temperature text DEFAULT NULL) RETURNS uuid LANGUAGE sql AS $$
	INSERT INTO leads (tenant_id, first_name, phone, email) SELECT id, 'Ann', phone, email FROM tenants WHERE name = 'Acme' RETURNING id
$$;
CREATE FUNCTION pg_temp.message(l uuid, kind text DEFAULT 'follow_up') RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(concat_ws(' ', channel, to_address, status, template_id), ', ' ORDER BY created_at, channel) FROM notifications WHERE lead_id = l AND notification_type = kind
$$;

-- ---- messages on their way
CREATE FUNCTION pg_temp.effect(m uuid) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(concat_ws(' ', n.status, n.to_address, o.kind, o.state, o.lane), ', ') FROM notifications n LEFT JOIN outbox o ON o.notification_id = n.id WHERE n.id = m
$$;
SELECT pg_temp.lead('+12125550101', 'ann@x.org') AS ann \gset
SELECT va_send_message(:'ann', 'sms', 'Hello') AS m \gset
SELECT is(pg_temp.effect(:'m'), 'pending +12125550101 twilio.message ready live', 'a message is one effect'), is(va_message_queue(:'m'), (SELECT id FROM outbox WHERE notification_id = :'m'), 'asked again it is the same');
SELECT va_send_message(:'ann', 'email', template => 'thanks') AS m \gset
SELECT is(pg_temp.effect(:'m'), 'pending ann@x.org', 'without a service an e-mail waits'), is((SELECT subject::text FROM notifications WHERE id = :'m'), 'Thank you for your interest', 'in the words of its template');
UPDATE tenants SET settings = settings || '{"email": {"provider": "smtp", "from": "a@acme.org"}}' WHERE id = :'tenant';
SELECT va_send_message(:'ann', 'email', 'x', subject => 'y') AS m \gset
SELECT is(pg_temp.effect(:'m'), 'pending ann@x.org smtp.mail ready live', 'by the tenant''s own service');
SELECT now() + interval '2 hours' AS at \gset
SELECT va_send_message(:'ann', 'sms', 'Later', at => :'at') AS m \gset
SELECT is(pg_temp.effect(:'m'), 'pending +12125550101 twilio.message later live', 'one for later is an effect of later'), is((SELECT run_at FROM outbox WHERE notification_id = :'m'), :'at'::timestamptz, 'of that time');
UPDATE notifications SET scheduled_for = now() + interval '1 hour' WHERE id = :'m';
SELECT is((SELECT run_at < :'at' FROM outbox WHERE notification_id = :'m'), true, 'moved, it moves'), is((SELECT count(*)::int FROM outbox WHERE notification_id = :'m'), 1, 'and stays one');
SELECT va_secret_set(:'tenant', 'twilio_auth_token', 'x') \g /dev/null
UPDATE notifications SET scheduled_for = now() + interval '3 hours' WHERE id = :'m';
SELECT is((va_prepare_twilio_message(o) ->> 'defer')::timestamptz, (SELECT scheduled_for FROM notifications WHERE id = :'m'), 'one moved away is put off when its first time comes') FROM outbox o WHERE notification_id = :'m';
SELECT is(pg_temp.sqlstate_of(format('SELECT va_send_message(%s)', a)), c, a) FROM (VALUES
	(format('%L, $$sms$$', :'ann'), 'VA005'), (format('%L, $$sms$$, $$x$$, $$thanks$$', :'ann'), 'VA005'), (format('%L, $$fax$$, $$x$$', :'ann'), 'VA005'),
	(format('%L, $$sms$$, template => $$nothing$$', :'ann'), 'VA005'), (format('%L, $$sms$$, $$x$$, at => $$infinity$$', :'ann'), 'VA005'),
	(format('%L, $$sms$$, $$x$$', gen_random_uuid()), 'VA020')) AS x (a, c);
SELECT va_opt_out(:'tenant', '+12125550101', 'sms') \g /dev/null
SELECT is(pg_temp.sqlstate_of(format('SELECT va_send_message(%L, $$sms$$, $$x$$, later => true)', :'ann')), 'VA034', 'who does not want is not written to');
UPDATE tenants SET settings = settings || '{"contact_limits": {"whatsapp": {"day": 1, "week": 5}}}' WHERE id = :'tenant';
SELECT va_send_message(:'ann', 'whatsapp', 'first') AS m \gset
UPDATE notifications SET status = 'sent', sent_at = now() WHERE id = :'m';
SELECT is(pg_temp.sqlstate_of(format('SELECT va_send_message(%L, $$whatsapp$$, $$second$$)', :'ann')), 'VA034', 'nor twice a day');
SELECT va_send_message(:'ann', 'whatsapp', 'second', later => true) AS m \gset
SELECT is((SELECT scheduled_for >= now() + interval '23 hours' AND status = 'pending' FROM notifications WHERE id = :'m'), true, 'but later');
INSERT INTO notifications (tenant_id, lead_id, channel, direction, to_address, body, created_at) VALUES (:'tenant', :'ann', 'email', 'outbound', 'ann@x.org', 'restored', now() - interval '1 day') RETURNING id AS m \gset
SELECT is(pg_temp.effect(:'m'), 'pending ann@x.org', 'a restored row is not sent by being there');
-- A tenant's own template takes the place of what was planned in its name.
INSERT INTO message_templates (tenant_id, name, channel, body) VALUES (:'tenant', 'appointment_reminder_1h', 'email', 'Soon, {{first_name}}!');
INSERT INTO notifications (tenant_id, lead_id, channel, direction, to_address, body, template_id, scheduled_for) VALUES (:'tenant', :'ann', 'email', 'outbound', 'ann@x.org', 'built in', 'appointment_reminder_1h', now()) RETURNING id AS m \gset
SELECT is((SELECT body FROM notifications WHERE id = :'m'), 'Soon, Ann!', 'the tenant''s words');

-- ---- what a step asks for
UPDATE tenants SET settings = settings - 'contact_limits' WHERE id = :'tenant';
CREATE FUNCTION pg_temp.step(l uuid, channels text[], purpose text) RETURNS uuid LANGUAGE sql AS $$
	WITH t AS (INSERT INTO follow_up_tasks (tenant_id, lead_id, task_type, scheduled_for, status, channels, purpose)
		SELECT tenant_id, id, 'x', now(), 'queued', channels, purpose FROM leads WHERE id = l RETURNING *)
	INSERT INTO lead_actions (tenant_id, lead_id, task_id, action, payload)
	SELECT tenant_id, lead_id, id, 'follow_up', jsonb_build_object('task_id', id, 'channels', channels, 'purpose', purpose) FROM t RETURNING task_id
$$;
SELECT pg_temp.lead('+12125550102', 'bob@x.org') AS bob \gset
SELECT pg_temp.step(:'bob', '{email,sms}', 'follow_up') AS task \gset
SELECT is(va_lead_actions_due() >= 1, true, 'the step is done');
SELECT is(pg_temp.message(:'bob'), 'email bob@x.org pending follow_up, sms +12125550102 pending follow_up', 'by both channels'), is((SELECT status::text FROM follow_up_tasks WHERE id = :'task'), 'in_progress', 'and is under way');
SELECT is(va_lead_actions_due(), 0, 'once');
UPDATE notifications SET status = 'failed', error_message = 'no such number' WHERE follow_up_task_id = :'task' AND channel = 'sms';
SELECT is((SELECT status::text FROM follow_up_tasks WHERE id = :'task'), 'in_progress', 'the other is still on its way');
UPDATE notifications SET status = 'sent' WHERE follow_up_task_id = :'task' AND channel = 'email';
SELECT row_eq(format('SELECT status::text, result FROM follow_up_tasks WHERE id = %L', :'task'), ROW('completed'::text, '[{"status": "sent", "channel": "email"}, {"why": "no such number", "status": "failed", "channel": "sms"}]'::jsonb), 'one reached is enough');
SELECT pg_temp.step(:'bob', '{email}', 'thanks') AS task \gset
SELECT va_lead_actions_due() \g /dev/null
UPDATE notifications SET status = 'failed', error_message = 'bounced' WHERE follow_up_task_id = :'task';
SELECT row_eq(format('SELECT status::text, result FROM follow_up_tasks WHERE id = %L', :'task'), ROW('failed'::text, '[{"why": "bounced", "status": "failed", "channel": "email"}]'::jsonb), 'none reached');
SELECT pg_temp.step(:'bob', '{human_call}', 'call') AS task \gset
SELECT va_lead_actions_due() \g /dev/null
SELECT row_eq(format('SELECT status::text, (SELECT concat_ws($$|$$, t.title, t.is_ai_task) FROM follow_up_tasks t WHERE t.id = (f.result #>> $${0,task_id}$$)::uuid) FROM follow_up_tasks f WHERE id = %L', :'task'), ROW('completed'::text, 'Call Ann, +12125550102, bob@x.org|f'::text), 'a person''s call is a task of theirs');
SELECT va_opt_out(:'tenant', 'bob@x.org', 'email') \g /dev/null
SELECT pg_temp.step(:'bob', '{email}', 'newsletter') AS task \gset
SELECT va_lead_actions_due() \g /dev/null
SELECT row_eq(format('SELECT status::text, result FROM follow_up_tasks WHERE id = %L', :'task'), ROW('skipped'::text, '[{"why": "on the do-not-contact list", "channel": "email"}]'::jsonb), 'an opt-out between planning and now');
SELECT pg_temp.lead('+12125550103', 'eve@x.org') AS eve \gset
SELECT pg_temp.step(:'eve', '{sms}', 'our_own_purpose') AS task \gset
SELECT va_lead_actions_due() \g /dev/null
SELECT is(pg_temp.message(:'eve'), 'sms +12125550103 pending follow_up', 'a purpose without a template has the common one');
-- the end of the cold sequence
SELECT pg_temp.lead('+12125550104', 'old@x.org') AS old, pg_temp.lead('+12125550105', 'back@x.org') AS back \gset
INSERT INTO notifications (tenant_id, lead_id, channel, direction, body, created_at) VALUES (:'tenant', :'back', 'sms', 'inbound', 'hi', now() - interval '3 days');
SELECT pg_temp.step(:'old', '{internal}', 'archive_or_wake') AS t1, pg_temp.step(:'back', '{internal}', 'archive_or_wake') AS t2 \gset
SELECT va_lead_actions_due() \g /dev/null
SELECT is((SELECT status::text FROM leads WHERE id = :'old'), 'archived', 'nobody answered: archived'), is((SELECT status::text FROM leads WHERE id = :'back'), 'new', 'one that was in touch is not'),
	is((SELECT title FROM follow_up_tasks WHERE lead_id = :'back' AND NOT is_ai_task), 'A cold lead is back: call Ann, +12125550105, back@x.org', 'but somebody''s task');

-- ---- what a stage asks for
INSERT INTO human_agents (tenant_id, name, email, phone, priority) VALUES (:'tenant', 'Hal', 'Hal@acme.org', '+12125550150', 5) RETURNING id AS hal \gset
CREATE FUNCTION pg_temp.act(l uuid, name text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	a uuid;
BEGIN
	INSERT INTO lead_actions (tenant_id, lead_id, action) SELECT tenant_id, id, name FROM leads WHERE id = l RETURNING id INTO a;
	PERFORM va_lead_actions_due();
	RETURN (SELECT result FROM lead_actions WHERE id = a AND done_at IS NOT NULL);
END $$;
SELECT is(pg_temp.act(:'eve', 'assign_human_agent') ->> 'assigned_to', :'hal', 'a hot lead gets a person');
SELECT is((SELECT assigned_to FROM leads WHERE id = :'eve'), :'hal'::uuid, 'who has it'),
	is((SELECT to_address::text || ' ' || status FROM notifications WHERE notification_type = 'assignment'), 'hal@acme.org pending', 'and is told'), is(pg_temp.act(:'eve', 'assign_human_agent') ->> 'why', 'assigned before', 'once');
SELECT is(pg_temp.act(:'eve', 'send_follow_up_email') ? 'notification_id', true, 'a warm lead''s e-mail'), is(pg_temp.act(:'eve', 'send_follow_up_email') ->> 'why', 'the sequence wrote an e-mail within the last 24 hours', 'not twice a day');
SELECT is(pg_temp.act(:'eve', 'send_whatsapp_confirmation') ->> 'why', 'there is no appointment', 'nothing to confirm'), is(pg_temp.act(:'eve', 'define_next_steps') ? 'task_id', true, 'next steps are a person''s'),
	is(pg_temp.act(:'eve', 'collect_feedback') ? 'notification_id', true, 'feedback is asked for'), is(pg_temp.act(:'eve', 'collect_feedback') ->> 'why', 'asked after the appointment', 'once'), is(pg_temp.act(:'eve', 'some_new_word') ->> 'why', 'nobody does this', 'an unknown word is told');
-- an error is tried again, given up at last, and never in the way of others
CREATE FUNCTION break_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken for a test'; END $$;
CREATE TRIGGER break_it BEFORE INSERT ON notifications FOR EACH ROW WHEN (NEW.to_address = 'eve@x.org') EXECUTE FUNCTION break_it();
SELECT pg_temp.step(:'eve', '{email}', 'thanks') AS task \gset
SELECT pg_temp.step(:'ann', '{email}', 'thanks') AS fine \gset
SELECT is(va_lead_actions_due(), 2, 'both are tried');
SELECT row_eq(format('SELECT tries, result ->> $$error$$, done_at IS NULL, run_at > now() FROM lead_actions WHERE task_id = %L', :'task'), ROW(1, 'broken for a test'::text, true, true), 'one waits'),
	is((SELECT status::text FROM follow_up_tasks WHERE id = :'fine'), 'in_progress', 'the other is done');
SELECT is(va_lead_actions_next() > now(), true, 'later');
DO $$ BEGIN FOR i IN 2 .. 5 LOOP UPDATE lead_actions SET run_at = now() WHERE done_at IS NULL; PERFORM va_lead_actions_due(); END LOOP; END $$;
SELECT row_eq(format('SELECT a.tries, a.done_at IS NOT NULL, t.status::text, t.result ->> $$why$$ FROM lead_actions a JOIN follow_up_tasks t ON t.id = a.task_id WHERE a.task_id = %L', :'task'), ROW(5, true, 'failed'::text, 'broken for a test'::text), 'given up after five'),
	is((SELECT count(*)::int FROM analytics_events WHERE event_type = 'lead_action_failed'), 1, 'and announced');
DROP TRIGGER break_it ON notifications;
UPDATE tenants SET status = 'suspended' WHERE id = :'tenant';
SELECT is(pg_temp.act(:'ann', 'define_next_steps') ->> 'why', 'the tenant is not active', 'nothing for a suspended tenant');

-- ---- rights
SELECT set_config('voiceagent.tenant_id', :'theirs', false) \g /dev/null
SET ROLE voiceagent_agent;
SELECT is(pg_temp.sqlstate_of(s), c, s) FROM (VALUES (format('SELECT va_send_message(%L, $$sms$$, $$x$$)', :'ann'), 'VA020'), ('SELECT va_lead_actions_due()', '42501')) AS x (s, c);
RESET ROLE;
SELECT * FROM finish();
