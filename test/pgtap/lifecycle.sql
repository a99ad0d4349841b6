-- The life of a lead: every step there is and every one there is not, what each causes, history, calls that qualify,
-- closed leads that come back, and duplicates.
\ir setup.psql
SELECT no_plan();
SELECT pg_temp.tenant('+15551230002') AS tenant, pg_temp.tenant('+15551230003') AS other_tenant \gset

CREATE FUNCTION pg_temp.lead(stage text DEFAULT 'new', temperature text DEFAULT 'cold', tenant uuid DEFAULT NULL) RETURNS uuid LANGUAGE sql AS $$
	INSERT INTO leads (tenant_id, status, qualification_data) VALUES (coalesce(tenant, (SELECT id FROM tenants WHERE slug = 'test-15551230002')), stage, CASE temperature WHEN 'hot' THEN '{"budget": 1, "need": "x", "decision_maker": true, "timeline": "asap"}' WHEN 'warm' THEN '{"budget": 1, "need": "x"}' ELSE '{}' END::jsonb) RETURNING id $$;
CREATE FUNCTION pg_temp.stage(lead uuid) RETURNS text LANGUAGE sql AS $$ SELECT status::text FROM leads WHERE id = lead $$;
CREATE FUNCTION pg_temp.work(lead uuid) RETURNS text[] LANGUAGE sql AS $$ SELECT coalesce(array_agg(action ORDER BY ctid), '{}') FROM lead_actions WHERE lead_id = lead $$;

-- ---- every stage by every event
CREATE TEMP TABLE steps (from_stage text, event text, to_stage text);
INSERT INTO steps VALUES ('new', 'qualify', 'qualified'), ('qualified', 'contact', 'contacted'), ('contacted', 'schedule', 'meeting_scheduled'), ('meeting_scheduled', 'unschedule', 'contacted'), ('meeting_scheduled', 'win', 'closed_won'),
	('new', 'lose', 'closed_lost'), ('qualified', 'lose', 'closed_lost'), ('contacted', 'lose', 'closed_lost'), ('meeting_scheduled', 'lose', 'closed_lost'), ('closed_lost', 'reopen', 'contacted'),
	('new', 'archive', 'archived'), ('qualified', 'archive', 'archived'), ('contacted', 'archive', 'archived'), ('archived', 'wake', 'contacted');
CREATE TEMP TABLE stages AS SELECT unnest(ARRAY['new', 'qualified', 'contacted', 'meeting_scheduled', 'closed_won', 'closed_lost', 'archived']) AS stage;
CREATE TEMP TABLE events AS SELECT unnest(ARRAY['qualify', 'contact', 'schedule', 'unschedule', 'win', 'lose', 'reopen', 'archive', 'wake']) AS event;
SELECT is(va_lead_advance(pg_temp.lead(from_stage), event, 'why'), to_stage, format('%s: %s leads to %s', from_stage, event, to_stage)) FROM steps;
SELECT is(pg_temp.sqlstate_of(format($$SELECT va_lead_advance(pg_temp.lead(%L), %L, 'why')$$, stage, event)), 'VA023', format('%s: no %s', stage, event))
FROM stages, events WHERE NOT EXISTS (SELECT FROM steps WHERE from_stage = stage AND steps.event = events.event);
-- and written as plain SQL: the same steps but those that are asked for by name
SELECT is(pg_temp.sqlstate_of(format($$DO $d$ DECLARE l uuid := pg_temp.lead(%L); BEGIN UPDATE leads SET status = %L, status_reason = 'why' WHERE id = l; END $d$ $$, a.stage, b.stage)), CASE WHEN EXISTS (SELECT FROM steps WHERE from_stage = a.stage AND to_stage = b.stage AND event NOT IN ('reopen', 'wake')) THEN 'none' ELSE 'VA023' END, format('UPDATE from %s to %s', a.stage, b.stage))
FROM stages a, stages b WHERE a.stage <> b.stage;
SELECT throws_ok(format('SELECT va_lead_advance(%L, %L)', pg_temp.lead(), 'win'), 'VA023', 'a lead cannot win', 'the error says what is wrong');
CREATE FUNCTION pg_temp.diagnosis(statement text, OUT detail text, OUT hint text) LANGUAGE plpgsql AS $$ BEGIN EXECUTE statement; EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT; END $$;
SELECT is(detail, 'The lead''s stage is new.', 'in detail'), is(hint, 'From new it can: qualify to qualified, lose to closed_lost, archive to archived.', 'and what can be done') FROM pg_temp.diagnosis(format('SELECT va_lead_advance(%L, %L)', pg_temp.lead(), 'win'));
SELECT is(pg_temp.sqlstate_of(format('SELECT va_lead_advance(%L, %L, %L)', pg_temp.lead(s), e, r)), 'VA023', format('%s without a reason (%L)', e, r)) FROM (VALUES ('new', 'lose'), ('closed_lost', 'reopen')) AS x (s, e), unnest(ARRAY[NULL, '', E' \t']) r;
SELECT is(pg_temp.sqlstate_of(format('SELECT va_lead_advance(%L, %L)', pg_temp.lead(), e)), 'VA023', format('no event: %L', e)) FROM unnest(ARRAY['promote', '', NULL]) e;
SELECT is(pg_temp.sqlstate_of('UPDATE leads SET status = NULL'), 'VA023', 'no lead is without a stage'), is(pg_temp.sqlstate_of('UPDATE leads SET status = $$lost$$'), '23514', 'or in one that there is not');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_lead_advance(%L, %L)', l, 'qualify')), 'VA020', 'an unknown lead') FROM (VALUES (gen_random_uuid()), (NULL)) AS x (l);

-- ---- what a step causes, for each temperature
SELECT is(array_agg(action ORDER BY place), w, format('%s %s to %s', f, e, t)) FROM (VALUES
	('new', 'qualify', 'qualified', 'hot', '{record_qualification,calculate_score,assign_temperature,plan_follow_ups}'::text[]),
	('qualified', 'contact', 'contacted', 'hot', '{assign_human_agent}'), ('qualified', 'contact', 'contacted', 'warm', '{send_follow_up_email}'), ('qualified', 'contact', 'contacted', 'cold', '{add_to_nurture}'),
	('contacted', 'schedule', 'meeting_scheduled', 'hot', '{create_calendar_event,send_whatsapp_confirmation,schedule_reminders,stop_follow_ups}'),
	('meeting_scheduled', 'win', 'closed_won', 'hot', '{collect_feedback,define_next_steps,update_deal_value,stop_follow_ups}'),
	('meeting_scheduled', 'lose', 'closed_lost', 'hot', '{collect_feedback,define_next_steps,update_deal_value,stop_follow_ups,withdraw_reminders}')) AS x (f, e, t, temperature, w), va_lead_step_actions(f, e, t, temperature) a, unnest(a) WITH ORDINALITY AS u (action, place) GROUP BY f, e, t, w, temperature;
SELECT pg_temp.lead('new', 'hot') AS lead \gset
SELECT va_lead_advance(:'lead', 'qualify'), va_lead_advance(:'lead', 'contact', by => 'Kim'), va_lead_advance(:'lead', 'schedule'), va_lead_advance(:'lead', 'win', 'paid') \g /dev/null
SELECT is(pg_temp.work(:'lead'), '{record_qualification,calculate_score,assign_temperature,plan_follow_ups,assign_human_agent,create_calendar_event,send_whatsapp_confirmation,schedule_reminders,stop_follow_ups,collect_feedback,define_next_steps,update_deal_value,stop_follow_ups}', 'the whole way is work, in order');
SELECT is((SELECT array_agg(DISTINCT action ORDER BY action) FROM lead_actions WHERE lead_id = :'lead' AND done_at IS NULL), '{assign_human_agent,collect_feedback,create_calendar_event,define_next_steps,send_whatsapp_confirmation,update_deal_value}', 'of which others do these');
SELECT is((SELECT payload FROM lead_actions WHERE lead_id = :'lead' AND action = 'assign_temperature'), '{"event": "qualify", "from": "new", "to": "qualified", "score": 0.9, "temperature": "hot"}', 'with what they need');
SELECT results_eq(format('SELECT event, from_stage, to_stage, reason, changed_by FROM lead_stage_history WHERE lead_id = %L ORDER BY changed_at', :'lead'),
	format($$VALUES ('qualify', 'new', 'qualified', NULL, %1$L), ('contact', 'qualified', 'contacted', NULL, 'Kim'), ('schedule', 'contacted', 'meeting_scheduled', NULL, %1$L), ('win', 'meeting_scheduled', 'closed_won', 'paid', %1$L)$$, session_user), 'who, why, from, to');
SELECT is((SELECT count(*)::int FROM lead_stage_history WHERE lead_id = :'lead' AND changed_at IS NULL), 0, 'and when');
SELECT is((SELECT array_agg(event_data ->> 'event' ORDER BY ctid) FROM analytics_events WHERE lead_id = :'lead' AND event_type = 'lead_stage_changed'), '{qualify,contact,schedule,win}', 'and as events');
BEGIN;
SELECT pg_temp.lead('new') AS undone \gset
SAVEPOINT s;
SELECT va_lead_advance(:'undone', 'qualify') \g /dev/null
ROLLBACK TO s;
SELECT is(pg_temp.work(:'undone'), '{}', 'a step that is rolled back leaves no work'), is((SELECT count(*)::int FROM lead_stage_history WHERE lead_id = :'undone'), 0, 'and no history');
ROLLBACK;

-- ---- no way back from closed but re-open: random walks
DO $$
DECLARE
	l uuid; s text; e text; r text; back boolean := false; walked int := 0;
BEGIN
	FOR i IN 1..60 LOOP
		l := pg_temp.lead();
		FOR j IN 1..12 LOOP
			s := pg_temp.stage(l);
			SELECT event INTO e FROM events ORDER BY random() LIMIT 1;
			BEGIN
				r := va_lead_advance(l, e, 'why');
				walked := walked + 1;
				back := back OR s = 'closed_won' OR (s = 'closed_lost' AND e <> 'reopen') OR (s = 'archived' AND e <> 'wake');
			EXCEPTION WHEN SQLSTATE 'VA023' THEN
				back := back OR pg_temp.stage(l) <> s;
			END;
		END LOOP;
	END LOOP;
	PERFORM set_config('test.walk', format('%s %s', back, walked > 100), false);
END
$$;
SELECT is(current_setting('test.walk'), 'f t', 'random walks: nobody came back any other way');
SELECT is(count(*)::int, 0, 'the history of each lead has no gap') FROM (SELECT from_stage, lag(to_stage) OVER (PARTITION BY lead_id ORDER BY changed_at) AS before FROM lead_stage_history) h WHERE before IS NOT NULL AND before IS DISTINCT FROM from_stage;
SELECT is(count(*)::int, 0, 'and ends where the lead is') FROM leads l WHERE status <> coalesce((SELECT to_stage FROM lead_stage_history h WHERE h.lead_id = l.id ORDER BY changed_at DESC LIMIT 1), 'new');

-- ---- back again
SELECT pg_temp.lead('contacted', 'warm') AS lost, pg_temp.lead('qualified', 'warm') AS sleeper, pg_temp.lead('new') AS fresh \gset
SELECT va_lead_advance(:'lost', 'lose', 'price'), va_lead_archive(:'sleeper', 'no answer'), va_lead_archive(:'fresh') \g /dev/null
SELECT is(va_lead_reopen(:'lost', 'called again', by => 'Kim'), 'contacted', 'a lost lead is re-opened'), is(va_lead_wake(:'sleeper'), 'qualified', 'an archived one wakes where it was'), is(va_lead_wake(:'fresh'), 'new', 'also if that was new');
SELECT is(va_lead_reopen(pg_temp.lead('closed_lost'), 'again', 'qualified'), 'qualified', 're-opened as qualified'), is(pg_temp.sqlstate_of(format('SELECT va_lead_reopen(%L, %L, %L)', pg_temp.lead('closed_lost'), 'x', 'closed_won')), 'VA023', 'but not as won');
SELECT is((SELECT (event, from_stage, to_stage, reason)::text FROM lead_stage_history WHERE lead_id = :'lost' ORDER BY changed_at DESC LIMIT 1), '(reopen,closed_lost,contacted,"called again")', 'with its reason');
SELECT is(pg_temp.sqlstate_of(format('UPDATE leads SET status = %L WHERE id = %L', 'qualified', pg_temp.lead('archived'))), 'VA023', 'nobody wakes by an UPDATE');

-- ---- imported
SELECT is((SELECT count(*)::int FROM lead_actions WHERE lead_id = :'lost' AND payload ->> 'event' = 'import'), 0, 'an imported lead is no work'), is((SELECT array_agg(to_stage) FROM lead_stage_history WHERE lead_id = :'lost' AND event = 'import'), '{contacted}', 'but history');
INSERT INTO leads (tenant_id, status, status_changed_at) VALUES (:'tenant', 'qualified', '2020-01-01') RETURNING id AS restored \gset
SELECT is((SELECT count(*)::int FROM lead_stage_history WHERE lead_id = :'restored'), 0, 'a restored one brings its own');

-- ---- a call that ends
SELECT a.call_id AS call FROM pg_temp.answer('CA1') a \gset
SELECT va_call_events(:'call', 'MZ1', '[{"seq": 1, "kind": "turn", "data": {"role": "user", "text": "I want a house"}}]') \g /dev/null
SELECT va_call_tool(:'call', 'i1', 'capture_lead', '{"first_name": "Maria", "qualification_data": {"budget": 450000, "need": "a house", "timeline": "within two months", "decision_maker": true}}') \g /dev/null
SELECT lead_id AS maria FROM calls WHERE id = :'call' \gset
SELECT is(pg_temp.stage(:'maria'), 'new', 'while they talk the lead is new');
SELECT is(l.lead_temperature::text, 'hot', 'but hot already') FROM leads l WHERE id = :'maria';
SELECT va_webhook_voice_status(:'acme', '{"CallSid": "CA1", "CallStatus": "completed", "CallDuration": "150"}', NULL, 'gw-1') \g /dev/null
SELECT is(pg_temp.stage(:'maria'), 'qualified', 'the end of the call qualifies'), ok((SELECT engagement_score > 0 AND lead_score > 0.84 FROM leads WHERE id = :'maria'), 'and engages'), is((SELECT count(*)::int FROM follow_up_tasks WHERE lead_id = :'maria' AND status = 'pending' AND sequence_id = 'hot'), 5, 'and plans');
SELECT va_webhook_voice_status(:'acme', '{"CallSid": "CA1", "CallStatus": "completed", "CallDuration": "150"}', NULL, 'gw-1') \g /dev/null
SELECT is(pg_temp.work(:'maria'), '{record_qualification,calculate_score,assign_temperature,plan_follow_ups}', 'once');
SELECT pg_temp.lead() AS silent \gset
INSERT INTO calls (tenant_id, lead_id, direction, status) VALUES (:'tenant', :'silent', 'outbound', 'ringing') RETURNING id AS ringing \gset
UPDATE calls SET status = 'no-answer' WHERE id = :'ringing';
SELECT is(pg_temp.stage(:'silent'), 'new', 'a call that nobody took qualifies nobody');
INSERT INTO calls (tenant_id, lead_id, direction, status) VALUES (:'tenant', :'silent', 'outbound', 'in-progress') RETURNING id AS mute \gset
UPDATE calls SET status = 'completed' WHERE id = :'mute';
SELECT is(pg_temp.stage(:'silent'), 'new', 'nor does one without a word');
UPDATE calls SET transcript = '[{"role": "user", "text": "hm"}]', conversation_turns = 1 WHERE id = :'mute';
SELECT is(pg_temp.stage(:'silent'), 'qualified', 'until the word comes, late');
-- a broken sequence must not keep a call from ending
SELECT pg_temp.tenant('+15551230005') AS broken \gset
SELECT pg_temp.lead('new', 'cold', :'broken') AS unlucky \gset
INSERT INTO follow_up_sequences (tenant_id, temperature, name) VALUES (:'broken', 'cold', 'x') RETURNING id AS s \gset
ALTER TABLE follow_up_steps DISABLE TRIGGER follow_up_steps_check;
INSERT INTO follow_up_steps (sequence_id, step, delay, channels, purpose) VALUES (:'s', 1, 9, '{email}', 'x'), (:'s', 2, 1, '{email}', 'x');
ALTER TABLE follow_up_steps ENABLE TRIGGER follow_up_steps_check;
INSERT INTO calls (tenant_id, lead_id, direction, status, transcript) VALUES (:'broken', :'unlucky', 'inbound', 'in-progress', '[{"role": "user", "text": "hm"}]') RETURNING id AS c \gset
SELECT lives_ok(format($$UPDATE calls SET status = 'completed' WHERE id = %L$$, :'c'), 'a call ends whatever is wrong with its lead'), is(pg_temp.stage(:'unlucky'), 'new', 'which stays as it was');

-- ---- duplicates
SELECT va_lead_capture(:'tenant', '{"phone": "+15557770001", "first_name": "Ann", "tags": ["a"], "qualification_data": {"budget": 5}}') AS ann, va_lead_capture(:'tenant', '{"phone": "+15557770002", "email": "Ann@X.org", "name": "Anna Lee", "tags": ["b"], "qualification_data": {"need": "house", "budget": 7}}') AS anna \gset
SELECT throws_ok(format('SELECT va_lead_merge(%L, %L)', :'ann', :'anna'), 'VA024', NULL, 'two persons are not merged'), throws_ok(format('SELECT va_lead_merge(%L, %L)', :'ann', :'ann'), 'VA024', NULL, 'nor one with itself');
UPDATE leads SET email = 'ann@x.org', follow_ups_since = now() WHERE id = :'ann';
SELECT va_lead_advance(:'anna', 'qualify'), va_lead_advance(:'anna', 'contact') \g /dev/null
INSERT INTO calls (tenant_id, lead_id, status, duration_seconds, ended_at, transcript) VALUES (:'tenant', :'anna', 'completed', 600, now(), '[{"role": "user", "text": "x"}]') RETURNING id AS her_call \gset
INSERT INTO appointments (tenant_id, lead_id, title, scheduled_at, status) VALUES (:'tenant', :'anna', 'x', now(), 'completed');
INSERT INTO notifications (tenant_id, lead_id, channel) VALUES (:'tenant', :'anna', 'sms');
INSERT INTO follow_up_tasks (tenant_id, lead_id, scheduled_for) VALUES (:'tenant', :'anna', now());
INSERT INTO conversation_sessions (tenant_id, lead_id, channel) VALUES (:'tenant', :'anna', 'web');
CREATE TABLE my_notes (lead uuid REFERENCES leads(id), note text);
INSERT INTO my_notes VALUES (:'anna', 'mine');
SELECT count(*) AS her_events FROM analytics_events WHERE lead_id = :'anna' \gset
SELECT is(va_lead_merge(:'ann', :'anna'), :'ann'::uuid, 'merged by the same address, however it is written');
SELECT is(count(*)::int, 0, 'one is gone') FROM leads WHERE id = :'anna';
SELECT row_eq(format('SELECT first_name::text, last_name::text, phone::text, email::text, status::text, tags, qualification_data FROM leads WHERE id = %L', :'ann'), ROW('Ann'::text, 'Lee'::text, '+15557770001'::text, 'ann@x.org'::text, 'contacted'::text, '{a,b}'::text[], '{"need": "house", "budget": 5}'::jsonb), 'the other has what both had, and is as far as the further one');
SELECT is((SELECT custom_fields -> 'merged' -> 0 ->> 'phone' FROM leads WHERE id = :'ann'), '+15557770002', 'and the other number');
SELECT ok((SELECT engagement_score > 0.3 FROM leads WHERE id = :'ann'), 'and the other''s engagement');
SELECT is(n, w, what || ' moved') FROM (VALUES ('calls', (SELECT count(*)::int FROM calls WHERE lead_id = :'ann'), 1), ('appointments', (SELECT count(*)::int FROM appointments WHERE lead_id = :'ann'), 1), ('messages', (SELECT count(*)::int FROM notifications WHERE lead_id = :'ann'), 1),
	('tasks of no sequence', (SELECT count(*)::int FROM follow_up_tasks WHERE lead_id = :'ann' AND sequence_id IS NULL), 1), ('sessions', (SELECT count(*)::int FROM conversation_sessions WHERE lead_id = :'ann'), 1), ('rows of a user''s table', (SELECT count(*)::int FROM my_notes WHERE lead = :'ann'), 1),
	('events', (SELECT count(*)::int FROM analytics_events WHERE lead_id = :'anna'), 0), ('work', (SELECT count(*)::int FROM lead_actions WHERE lead_id = :'ann' AND action = 'plan_follow_ups'), 1)) AS x (what, n, w);
SELECT is((SELECT array_agg(event ORDER BY changed_at) FROM lead_stage_history WHERE lead_id = :'ann'), '{qualify,contact,merge}', 'the history is kept'), is((SELECT details FROM lead_stage_history WHERE lead_id = :'ann' AND event = 'merge'), jsonb_build_object('merged', :'anna'::uuid, 'status', 'contacted'), 'and says of whom');
SELECT is((SELECT count(*)::int FROM follow_up_tasks WHERE lead_id = :'ann' AND status = 'pending' AND sequence_id IS NOT NULL), 5, 'one sequence is pending'), is((SELECT count(*)::int FROM (SELECT DISTINCT sequence_step FROM follow_up_tasks WHERE lead_id = :'ann' AND status = 'pending' AND sequence_id IS NOT NULL) s), 5, 'each step once');
CREATE FUNCTION pg_temp.pair(k text, d text, OUT k_id uuid, OUT d_id uuid) LANGUAGE plpgsql AS $$ DECLARE p text := '+1555888' || lpad((random() * 9999)::int::text, 4, '0'); BEGIN k_id := pg_temp.lead(k); d_id := pg_temp.lead(d); UPDATE leads SET phone = p WHERE id IN (k_id, d_id); END $$;
SELECT is((SELECT pg_temp.stage(va_lead_merge(p.k_id, p.d_id))), w, format('%s takes %s: %s', k, d, w)) FROM (VALUES ('new', 'qualified', 'qualified'), ('contacted', 'new', 'contacted'), ('new', 'meeting_scheduled', 'meeting_scheduled'), ('contacted', 'closed_lost', 'contacted'), ('qualified', 'archived', 'qualified'), ('closed_won', 'new', 'closed_won'), ('new', 'closed_won', 'closed_won'), ('closed_lost', 'archived', 'closed_lost')) AS x (k, d, w), pg_temp.pair(k, d) p;
SELECT is((SELECT pg_temp.sqlstate_of(format('SELECT va_lead_merge(%L, %L)', p.k_id, p.d_id))), 'VA024', format('%s does not take %s: there is re-open', k, d)) FROM (VALUES ('closed_lost', 'new'), ('archived', 'contacted'), ('closed_lost', 'closed_won')) AS x (k, d), pg_temp.pair(k, d) p;

-- ---- whose are they
SELECT pg_temp.lead('new', 'cold', :'other_tenant') AS theirs \gset
UPDATE leads SET phone = '+15557770001' WHERE id = :'theirs';
SELECT throws_ok(format('SELECT va_lead_merge(%L, %L)', :'ann', :'theirs'), 'VA024', NULL, 'the same number of two tenants is two leads');
DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %s TO PUBLIC', pg_my_temp_schema()::regnamespace); END $$;
SELECT set_config('voiceagent.tenant_id', :'other_tenant', false) \g /dev/null
SET ROLE voiceagent_agent;
SELECT is(pg_temp.sqlstate_of(s), 'VA020', 'refused: ' || s) FROM unnest(ARRAY[format('SELECT va_lead_advance(%L, %L)', :'ann', 'schedule'), format('SELECT va_lead_merge(%L, %L)', :'theirs', :'ann'), format('SELECT va_lead_archive(%L)', :'ann'), format('SELECT va_lead_wake(%L)', :'ann'), format('SELECT va_lead_reopen(%L, %L)', :'ann', 'x')]) s;
SELECT is(va_lead_advance(:'theirs', 'qualify'), 'qualified', 'an application walks its own leads');
SELECT is((SELECT changed_by FROM lead_stage_history), 'voiceagent_agent', 'sees their history alone, with itself in it'), cmp_ok((SELECT count(*)::int FROM lead_actions), '>', 0, 'and their work');
UPDATE leads SET status = 'contacted' WHERE id = :'theirs';
SELECT is(pg_temp.stage(:'theirs'), 'contacted', 'also in plain SQL'), is(pg_temp.sqlstate_of(format($$UPDATE leads SET status = 'closed_won', status_event = 'merge' WHERE id = %L$$, :'theirs')), 'VA023', 'but does not call a step a merge');
SELECT is(pg_temp.sqlstate_of('INSERT INTO lead_stage_history (lead_id, event, to_stage, changed_by) VALUES (NULL, $$x$$, $$x$$, $$x$$)'), '42501', 'nor writes history'), is(pg_temp.sqlstate_of('UPDATE lead_actions SET done_at = now()'), '42501', 'nor work');
RESET ROLE;
SELECT * FROM finish();
