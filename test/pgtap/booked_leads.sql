-- Appointments and the lead's stage: a booking walks the lead to meeting_scheduled by legal steps, stops its follow-ups and plans each message
-- once; cancelled or missed, the lead is where it was and hears from us again; closed leads come back only by their own step.
\ir setup.psql
SELECT no_plan();
SELECT va_tenant_create('ABC', 'general', '+15551230002', settings => '{"contact_hours": {"open": "00:00", "close": "24:00"}}') AS tenant \gset
CREATE FUNCTION pg_temp.lead(stage text DEFAULT 'new', temperature text DEFAULT 'hot') RETURNS uuid LANGUAGE sql AS $$
	INSERT INTO leads (tenant_id, phone, email, status, qualification_data) SELECT id, '+4930' || lpad((random() * 9999999)::int::text, 7, '0'), 'a' || random() || '@x.org', stage, CASE temperature WHEN 'hot' THEN '{"budget": 1, "need": "x", "decision_maker": true, "timeline": "asap"}' WHEN 'warm' THEN '{"budget": 1, "need": "x"}' ELSE '{}' END::jsonb FROM tenants RETURNING id $$;
CREATE FUNCTION pg_temp.qualified(temperature text DEFAULT 'hot') RETURNS uuid LANGUAGE plpgsql AS $$ DECLARE l uuid := pg_temp.lead('new', temperature); BEGIN PERFORM va_lead_advance(l, 'qualify'); RETURN l; END $$;
CREATE FUNCTION pg_temp.book(lead uuid, days int DEFAULT 30) RETURNS uuid LANGUAGE sql AS $$ SELECT va_appointment_book(lead, date_trunc('hour', now()) + days * interval '1 day' + (SELECT count(*) FROM appointments) * interval '1 hour', force => true) $$;
CREATE FUNCTION pg_temp.stage(lead uuid) RETURNS text LANGUAGE sql AS $$ SELECT status::text FROM leads WHERE id = lead $$;
CREATE FUNCTION pg_temp.walk(lead uuid) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(event, ' ' ORDER BY changed_at) FROM lead_stage_history WHERE lead_id = lead $$;
CREATE FUNCTION pg_temp.steps(lead uuid) RETURNS int LANGUAGE sql AS $$ SELECT count(*)::int FROM follow_up_tasks WHERE lead_id = lead AND status = 'pending' AND sequence_id IS NOT NULL $$;
CREATE FUNCTION pg_temp.open(lead uuid) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(action, ' ' ORDER BY ctid) FROM lead_actions WHERE lead_id = lead AND done_at IS NULL $$;
CREATE FUNCTION pg_temp.done(lead uuid) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(action, ' ' ORDER BY ctid) FROM lead_actions WHERE lead_id = lead AND done_at IS NOT NULL $$;
CREATE FUNCTION pg_temp.messages(lead uuid) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(replace(template_id, 'appointment_', '') || '/' || channel, ' ' ORDER BY template_id, channel) FROM notifications WHERE lead_id = lead AND status = 'pending' $$;

-- ---- booked from each stage
SELECT pg_temp.lead('new') AS fresh, pg_temp.qualified() AS known, pg_temp.qualified('warm') AS warm, pg_temp.qualified('cold') AS cold, pg_temp.lead('contacted') AS contacted, pg_temp.lead('closed_lost') AS lost, pg_temp.lead('closed_won') AS won, pg_temp.lead('new') AS sleeper \gset
SELECT va_lead_advance(:'warm', 'contact'), va_lead_archive(:'sleeper') \g /dev/null
SELECT is(pg_temp.steps(:'known'), 5, 'a qualified lead has its follow-ups');
SELECT pg_temp.book(l) FROM unnest(ARRAY[:'fresh', :'known', :'warm', :'cold', :'contacted', :'lost', :'won', :'sleeper']::uuid[]) l \g /dev/null
SELECT is(pg_temp.walk(l::uuid), w, format('booked from %s: %s', s, w)), is(pg_temp.stage(l::uuid), e, 'and is there'), is(pg_temp.steps(l::uuid), 0, 'with no follow-up pending') FROM (VALUES ('new', :'fresh', 'qualify contact schedule', 'meeting_scheduled'), ('qualified', :'known', 'qualify contact schedule', 'meeting_scheduled'), ('contacted', :'warm', 'qualify contact schedule', 'meeting_scheduled'), ('qualified, cold', :'cold', 'qualify contact schedule', 'meeting_scheduled'),
	('contacted, imported', :'contacted', 'import schedule', 'meeting_scheduled'), ('closed_lost', :'lost', 'import reopen schedule', 'meeting_scheduled'), ('closed_won', :'won', 'import', 'closed_won'), ('archived', :'sleeper', 'archive wake qualify contact schedule', 'meeting_scheduled')) AS x (s, l, w, e);
SELECT is((SELECT array_agg(DISTINCT reason || ', ' || changed_by) FROM lead_stage_history WHERE lead_id = :'fresh'), '{"appointment booked, voiceagent"}', 'the history says why, and who'), is(count(*)::int, 0, 'without a gap') FROM (SELECT from_stage, lag(to_stage) OVER (PARTITION BY lead_id ORDER BY changed_at) AS before FROM lead_stage_history) h WHERE before <> from_stage;
SELECT is(pg_temp.messages(:'fresh'), 'confirmation/email confirmation/sms reminder_1h/sms reminder_24h/sms', 'each message is planned once');
SELECT is(pg_temp.done(:'fresh'), 'record_qualification calculate_score assign_temperature send_whatsapp_confirmation schedule_reminders stop_follow_ups', 'the database has done its part'), is(pg_temp.open(:'fresh'), 'assign_human_agent create_calendar_event', 'and the rest is others''');
SELECT is((SELECT count(*)::int FROM follow_up_tasks WHERE lead_id = :'fresh'), 0, 'nothing was planned on the way only to be withdrawn'), is((SELECT array_agg(DISTINCT result ->> 'why') FROM follow_up_tasks WHERE lead_id = :'known'), '{booking}', 'what was planned before knows why it is not'), is((SELECT count(*)::int FROM lead_actions WHERE lead_id = :'cold' AND action IN ('add_to_nurture', 'send_follow_up_email')), 0, 'nobody with an appointment is nurtured');

-- ---- moved, confirmed, cancelled, missed, completed
SELECT id AS a FROM appointments WHERE lead_id = :'known' \gset
SELECT va_appointment_confirm(:'a'), va_appointment_reschedule(:'a', now() + interval '60 days', force => true) \g /dev/null
SELECT is(pg_temp.stage(:'known'), 'meeting_scheduled', 'moved, it is still a meeting'), is(pg_temp.walk(:'known'), 'qualify contact schedule', 'and no step'), is(pg_temp.messages(:'known'), 'confirmation/email confirmation/sms reminder_1h/sms reminder_24h/sms', 'no message is doubled');
SELECT pg_temp.book(:'known') AS b \gset
SELECT va_appointment_cancel(:'a', 'ill') \g /dev/null
SELECT is(pg_temp.stage(:'known'), 'meeting_scheduled', 'one of two cancelled: the other is a meeting'), is(pg_temp.steps(:'known'), 0, 'and no follow-ups');
SELECT va_appointment_cancel(:'b', 'ill again') \g /dev/null
SELECT is(pg_temp.stage(:'known'), 'contacted', 'both: the lead is where it was'), is((SELECT reason FROM lead_stage_history WHERE lead_id = :'known' ORDER BY changed_at DESC LIMIT 1), 'appointment cancelled: ill again', 'for that reason'), is(pg_temp.steps(:'known'), 5, 'its follow-ups go on'), is(pg_temp.messages(:'known'), NULL, 'no reminder of what is not');
SELECT is((SELECT done_at IS NOT NULL FROM lead_actions WHERE lead_id = :'known' AND action = 'withdraw_reminders'), true, 'that too the database did');
SELECT pg_temp.book(:'known') \g /dev/null
SELECT is(pg_temp.walk(:'known'), 'qualify contact schedule unschedule schedule', 'booked anew'), is(pg_temp.steps(:'known'), 0, 'they stop again');
INSERT INTO appointments (tenant_id, lead_id, title, scheduled_at) VALUES (:'tenant', :'cold', 'x', now() - interval '1 hour') RETURNING id AS missed \gset
SELECT va_appointment_cancel(id) FROM appointments WHERE lead_id = :'cold' AND id <> :'missed' \g /dev/null
SELECT is(pg_temp.stage(:'cold'), 'meeting_scheduled', 'a meeting that is just over counts until somebody says how it went');
SELECT va_appointment_no_show(:'missed') \g /dev/null
SELECT is(pg_temp.stage(:'cold'), 'contacted', 'missed'), is((SELECT reason FROM lead_stage_history WHERE lead_id = :'cold' ORDER BY changed_at DESC LIMIT 1), 'appointment missed', 'and said so'), is(pg_temp.steps(:'cold'), 5, 'the lead hears from us');
SELECT va_appointment_complete(id, 'went well') FROM appointments WHERE lead_id = :'warm' \g /dev/null
SELECT is(pg_temp.stage(:'warm'), 'meeting_scheduled', 'completed: the deal is won or lost by name'), is(pg_temp.messages(:'warm'), 'feedback/sms', 'feedback is asked'), is(va_lead_advance(:'warm', 'win'), 'closed_won', 'won');
SELECT is(pg_temp.open(:'warm'), 'send_follow_up_email create_calendar_event define_next_steps update_deal_value', 'and not asked a second time');
-- by hand
SELECT pg_temp.lead() AS manual \gset
SELECT pg_temp.book(:'manual') AS m \gset
SELECT va_lead_advance(:'manual', 'unschedule') \g /dev/null
SELECT is(pg_temp.messages(:'manual'), 'confirmation/email confirmation/sms', 'called off by name: the reminders are withdrawn');
UPDATE notifications SET status = 'sent' WHERE lead_id = :'manual' AND status = 'pending';
SELECT va_lead_advance(:'manual', 'schedule') \g /dev/null
SELECT is(pg_temp.messages(:'manual'), 'reminder_1h/sms reminder_24h/sms', 'and planned again with the step');
SELECT va_lead_advance(:'manual', 'lose', 'no money') \g /dev/null
SELECT is(pg_temp.messages(:'manual'), NULL, 'nobody who is lost is reminded');
SELECT va_appointment_reschedule(:'m', now() + interval '90 days', force => true) \g /dev/null
SELECT is(pg_temp.stage(:'manual'), 'closed_lost', 'moving an old appointment opens nothing');
-- rows without a lead, restored, corrected, rolled back
INSERT INTO appointments (tenant_id, title, scheduled_at) VALUES (:'tenant', 'x', now() + interval '9 days') RETURNING id AS nobody \gset
SELECT pg_temp.lead() AS later, pg_temp.lead() AS restored, pg_temp.lead() AS undone \gset
UPDATE appointments SET lead_id = :'later' WHERE id = :'nobody';
SELECT is(pg_temp.stage(:'later'), 'meeting_scheduled', 'a lead that becomes known later');
INSERT INTO appointments (tenant_id, lead_id, title, scheduled_at, created_at) VALUES (:'tenant', :'restored', 'x', now() + interval '9 days', '2026-01-01');
SELECT is(pg_temp.stage(:'restored'), 'new', 'a row that is restored moves nobody');
BEGIN;
SELECT pg_temp.book(:'undone') \g /dev/null
ROLLBACK;
SELECT is(pg_temp.stage(:'undone'), 'new', 'nor one that is rolled back');
-- booked and cancelled in plain SQL
INSERT INTO appointments (tenant_id, lead_id, title, scheduled_at) VALUES (:'tenant', :'undone', 'x', now() + interval '9 days');
SELECT is(pg_temp.stage(:'undone'), 'meeting_scheduled', 'plain SQL books too');
UPDATE appointments SET status = 'cancelled' WHERE lead_id = :'undone';
SELECT is(pg_temp.stage(:'undone'), 'contacted', 'and cancels');
-- merged: the lead that is kept has the meeting
SELECT pg_temp.lead() AS keep, pg_temp.lead() AS gone \gset
UPDATE leads SET phone = '+4930123' WHERE id IN (:'keep', :'gone');
SELECT pg_temp.book(:'gone') \g /dev/null
SELECT va_lead_merge(:'keep', :'gone') \g /dev/null
SELECT is(pg_temp.stage(:'keep'), 'meeting_scheduled', 'with a duplicate merged into it'), is(pg_temp.messages(:'keep'), 'confirmation/email confirmation/sms reminder_1h/sms reminder_24h/sms', 'and its messages, once');
-- opted out: no follow-ups after a cancellation
SELECT pg_temp.qualified() AS silent \gset
SELECT pg_temp.book(:'silent') AS s \gset
SELECT va_opt_out(:'tenant', phone) FROM leads WHERE id = :'silent' \g /dev/null
SELECT va_appointment_cancel(:'s') \g /dev/null
SELECT is(pg_temp.stage(:'silent'), 'contacted', 'cancelled by somebody who had opted out'), is(pg_temp.steps(:'silent'), 0, 'they are left alone');
-- in a call: the tool books, and the end of the call finds the lead where it is
SELECT va_secret_set(NULL, 'twilio_auth_token', 'x') \g /dev/null
UPDATE tenants SET settings = settings || '{"twilio_account_sid": "AC00000000000000000000000000000001"}';
SELECT call_id AS call FROM pg_temp.answer('CA1', '{"From": "+49305551234"}') \gset
SELECT va_call_events(:'call', 'MZ1', '[{"seq": 1, "kind": "turn", "data": {"role": "user", "text": "I want to see the house"}}]') \g /dev/null
SELECT va_call_tool(:'call', '1', 'book_appointment', jsonb_build_object('name', 'Max', 'start', to_char(starts_at, 'YYYY-MM-DD HH24:MI'))) ->> 'error' AS failed FROM va_available_slots(:'tenant', now() + interval '3 days', now() + interval '40 days') ORDER BY starts_at DESC LIMIT 1 \gset
SELECT lead_id AS caller FROM calls WHERE id = :'call' \gset
SELECT is(pg_temp.stage(:'caller'), 'meeting_scheduled', 'booked while they talk');
SELECT va_webhook_voice_status(:'acme', '{"CallSid": "CA1", "CallStatus": "completed", "CallDuration": "60"}', NULL, 'gw-1') \g /dev/null
SELECT is(pg_temp.stage(:'caller'), 'meeting_scheduled', 'the end of the call changes nothing'), is(pg_temp.steps(:'caller'), 0, 'and plans nothing');

-- ---- property: whatever is done to leads and appointments
CREATE TEMP TABLE actors AS SELECT pg_temp.lead((ARRAY['new', 'qualified', 'contacted', 'archived', 'closed_lost'])[n], (ARRAY['hot', 'warm', 'cold'])[1 + n % 3]) AS id FROM generate_series(1, 5) n, generate_series(1, 3) m;
CREATE FUNCTION pg_temp.live(n int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE l uuid; a uuid; done int := 0;
BEGIN
	FOR i IN 1 .. n LOOP
		SELECT id INTO l FROM actors ORDER BY random() LIMIT 1;
		SELECT id INTO a FROM appointments WHERE lead_id = l ORDER BY random() LIMIT 1;
		BEGIN
			CASE floor(random() * 9)::int
				WHEN 0 THEN PERFORM va_appointment_cancel(a);
				WHEN 1 THEN PERFORM va_appointment_complete(a);
				WHEN 2 THEN UPDATE appointments SET status = 'no_show' WHERE id = a;
				WHEN 3 THEN PERFORM va_appointment_reschedule(a, now() + random() * interval '400 days', force => true);
				WHEN 4 THEN PERFORM va_lead_advance(l, (ARRAY['qualify', 'contact', 'win', 'lose', 'archive', 'reopen', 'wake'])[1 + (random() * 6)::int], 'why');
				WHEN 5 THEN PERFORM va_opt_out(tenant_id, phone, (ARRAY['all', 'sms', 'call'])[1 + (random() * 2)::int]) FROM leads WHERE id = l;
				WHEN 6 THEN PERFORM va_opt_in(tenant_id, phone) FROM leads WHERE id = l;
				ELSE PERFORM va_appointment_book(l, now() + random() * interval '400 days', force => true);
			END CASE;
			done := done + 1;
		EXCEPTION WHEN SQLSTATE 'VA023' OR SQLSTATE 'VA030' OR SQLSTATE 'VA031' OR SQLSTATE 'VA032' OR exclusion_violation THEN
			NULL;
		END;
	END LOOP;
	RETURN done;
END $$;
SELECT setseed(0.1) \g /dev/null
SELECT cmp_ok(pg_temp.live(700), '>', 300, 'many things happen');
SELECT is((SELECT count(*)::int FROM leads l JOIN actors USING (id) WHERE l.status IN ('new', 'qualified', 'contacted') AND EXISTS (SELECT FROM appointments a WHERE a.lead_id = l.id AND a.status IN ('scheduled', 'confirmed'))
	AND NOT EXISTS (SELECT FROM lead_stage_history h WHERE h.lead_id = l.id AND h.event IN ('reopen', 'wake', 'unschedule') AND h.reason = 'why')), 0, 'who has a meeting stands at it, unless somebody said otherwise');
SELECT is((SELECT count(*)::int FROM lead_stage_history WHERE lead_id IN (SELECT id FROM actors) AND (from_stage = 'closed_won' OR from_stage = 'closed_lost' AND event <> 'reopen' OR from_stage = 'archived' AND event <> 'wake')), 0, 'nobody came back from closed but by re-open'), is((SELECT count(*)::int FROM (SELECT from_stage, lag(to_stage) OVER (PARTITION BY lead_id ORDER BY changed_at) AS before FROM lead_stage_history WHERE lead_id IN (SELECT id FROM actors)) h WHERE before <> from_stage), 0, 'no history has a gap');
SELECT is((SELECT count(*)::int FROM appointments a JOIN notifications n ON n.appointment_id = a.id WHERE n.status = 'pending' AND n.template_id LIKE '%reminder%' AND a.status NOT IN ('scheduled', 'confirmed')), 0, 'no reminder after a cancelled appointment'), is((SELECT count(*)::int FROM (SELECT FROM notifications WHERE template_id LIKE '%reminder%' AND status = 'pending' GROUP BY appointment_id, template_id HAVING count(*) > 1) d), 0, 'and none twice');
SELECT is((SELECT count(*)::int FROM leads l JOIN actors USING (id) WHERE pg_temp.steps(l.id) > 0 AND l.status NOT IN ('new', 'qualified', 'contacted')), 0, 'no follow-ups for who has a meeting or is closed'), is((SELECT count(*)::int FROM follow_up_tasks t, unnest(t.channels) c, va_may_contact(t.lead_id, c) m WHERE t.status = 'pending' AND t.sequence_id IS NOT NULL AND t.lead_id IN (SELECT id FROM actors) GROUP BY t.id HAVING bool_and(m.verdict = 'never') LIMIT 1), NULL, 'nor for who has opted out');
SELECT is((SELECT sum(va_follow_up_apply(id))::int FROM actors), 0, 'planned again: nothing changes');
SELECT * FROM finish();
