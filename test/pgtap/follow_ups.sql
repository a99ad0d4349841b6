-- Follow-ups: the specification's fifteen steps with their times, quiet hours, people's hours, holidays, clock changes, re-planning,
-- what stops them, and how due steps become work.
\ir setup.psql
SELECT no_plan();
SELECT pg_temp.tenant('+15551230002') AS tenant, pg_temp.tenant('+15551230003') AS other_tenant \gset
UPDATE tenants SET timezone = 'America/New_York' WHERE id = :'tenant';
SELECT setseed(0.42) \g /dev/null

CREATE FUNCTION pg_temp.data(temperature text) RETURNS jsonb LANGUAGE sql AS $$ SELECT CASE temperature WHEN 'hot' THEN '{"budget": 1, "need": "x", "decision_maker": true, "timeline": "asap"}' WHEN 'warm' THEN '{"budget": 1, "need": "x"}' ELSE '{}' END::jsonb $$;
CREATE FUNCTION pg_temp.lead(temperature text, phone text DEFAULT '+15557770001', more jsonb DEFAULT '{}') RETURNS uuid LANGUAGE sql AS $$
	INSERT INTO leads (tenant_id, phone, email, qualification_data, custom_fields) SELECT id, phone, 'a@x.org', pg_temp.data(temperature), more FROM tenants WHERE slug = 'test-15551230002' RETURNING id $$;
-- A lead whose sequence began at a given time, planned then.
CREATE FUNCTION pg_temp.planned(temperature text, at timestamptz, phone text DEFAULT '+15557770001', more jsonb DEFAULT '{}') RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE l uuid := pg_temp.lead(temperature, phone, more);
BEGIN UPDATE leads SET follow_ups_since = at WHERE id = l; PERFORM va_follow_up_apply(l, at); RETURN l; END $$;
CREATE FUNCTION pg_temp.times(lead uuid, zone text DEFAULT 'America/New_York') RETURNS text[] LANGUAGE sql AS $$
	SELECT array_agg(to_char(scheduled_for AT TIME ZONE zone, 'MM-DD HH24:MI') ORDER BY sequence_step) FROM follow_up_tasks WHERE lead_id = lead AND status = 'pending' AND sequence_id IS NOT NULL $$;
CREATE FUNCTION pg_temp.pending(lead uuid) RETURNS int LANGUAGE sql AS $$ SELECT count(*)::int FROM follow_up_tasks WHERE lead_id = lead AND status = 'pending' AND sequence_id IS NOT NULL $$;

-- ---- the fifteen steps, begun on a Tuesday at ten where the lead lives
SELECT pg_temp.planned('hot', '2030-01-15 10:00-05') AS hot, pg_temp.planned('warm', '2030-01-15 10:00-05') AS warm, pg_temp.planned('cold', '2030-01-15 10:00-05') AS cold \gset
SELECT results_eq(format('SELECT sequence_id::text, sequence_step, scheduled_for - timestamptz %L, channels, task_type::text, purpose, is_ai_task FROM follow_up_tasks WHERE lead_id = %L ORDER BY sequence_step', '2030-01-15 10:00-05', lead), format('SELECT %L::text, * FROM (VALUES %s) x', t, w), t || ' leads')
FROM (VALUES ('hot', :'hot', $$(1, interval '0', '{whatsapp}'::text[], 'whatsapp', 'confirm', true), (2, '1 hour', '{human_call}', 'call', 'call', false), (3, '24 hours', '{email,sms}', 'email+sms', 'follow_up', true), (4, '48 hours', '{ai_call}', 'call', 'check_in', true), (5, '7 days', '{ai_call}', 'call', 'final_attempt', true)$$),
	('warm', :'warm', $$(1, interval '0', '{email}'::text[], 'email', 'summary', true), (2, '24 hours', '{ai_call}', 'call', 'nurture', true), (3, '3 days', '{email}', 'email', 'value_content', true), (4, '7 days', '{email}', 'email', 'case_study', true), (5, '14 days', '{email}', 'email', 'special_offer', true)$$)) AS x (t, lead, w);
SELECT is(pg_temp.times(:'cold'), '{"01-15 10:00","01-22 10:00","02-14 10:00","03-16 10:00","04-15 10:00"}', 'cold leads: T+0, 7, 30, 60, 90 days, at ten of the lead''s clock across the change of March 10');
SELECT results_eq(format('SELECT channels, purpose FROM follow_up_tasks WHERE lead_id = %L ORDER BY sequence_step', :'cold'), $$VALUES ('{email}'::text[], 'thanks'), ('{email}', 'newsletter'), ('{email}', 're_engagement'), ('{email}', 'survey_request'), ('{internal}', 'archive_or_wake')$$, 'thanks, newsletter, re-engagement, survey, archive or wake');

-- ---- again, it changes nothing
SELECT array_agg((id, scheduled_for, status)::text ORDER BY id) AS before FROM follow_up_tasks \gset
SELECT is(va_follow_up_apply(l, '2030-01-15 10:00-05'), 0, 'planned again: nothing to do') FROM unnest(ARRAY[:'hot', :'warm', :'cold']::uuid[]) l;
SELECT is((SELECT array_agg((id, scheduled_for, status)::text ORDER BY id) FROM follow_up_tasks), :'before', 'and nothing done');

-- ---- quiet hours, where the lead lives
SELECT is(pg_temp.times(pg_temp.planned('hot', '2030-01-15 22:00-05')), '{"01-16 09:00","01-16 10:00","01-17 09:00","01-18 09:00","01-23 09:00"}', 'begun at ten in the evening: from nine in the morning on');
SELECT is(pg_temp.times(pg_temp.planned('warm', '2030-01-15 22:00-05')), '{"01-15 22:00","01-17 09:00","01-18 22:00","01-22 22:00","01-29 22:00"}', 'but an e-mail wakes nobody');
SELECT is(pg_temp.times(pg_temp.planned('hot', '2030-01-15 22:00-05', '+4930123456'), 'Europe/Berlin'), '{"01-16 09:00","01-16 10:00","01-17 09:00","01-18 09:00","01-23 09:00"}', 'a German number: four in the morning there, so nine there');
SELECT is(pg_temp.times(pg_temp.planned('hot', '2030-01-15 22:00-05', '+4930123456', '{"timezone": "Asia/Tokyo"}'), 'Asia/Tokyo'), '{"01-16 12:00","01-16 13:00","01-17 12:00","01-18 12:00","01-23 12:00"}', 'but what the lead told wins'), is(va_lead_zone(l), 'America/New_York', 'a zone that is none does not') FROM leads l WHERE id = pg_temp.lead('cold', NULL, '{"timezone": "Mars"}');
UPDATE tenants SET settings = '{"contact_hours": {"open": "12:00", "close": "13:00"}, "follow_up_gap_minutes": 30}' WHERE id = :'tenant';
SELECT is(pg_temp.times(pg_temp.planned('hot', '2030-01-15 12:20-05')), '{"01-15 12:20","01-16 12:00","01-16 12:30","01-17 12:20","01-22 12:20"}', 'the tenant''s own hours and gap');
UPDATE tenants SET settings = '{}' WHERE id = :'tenant';
SELECT is(pg_temp.sqlstate_of(format('UPDATE tenants SET settings = %L', s)), 'VA009', 'refused: ' || s) FROM unnest(ARRAY['{"contact_hours": []}', '{"contact_hours": {"open": "9"}}', '{"contact_hours": {"open": "09:00", "close": "25:00"}}', '{"contact_hours": {"open": "09:00", "close": "09:00"}}', '{"follow_up_gap_minutes": 0}', '{"follow_up_gap_minutes": "60"}']) s;
SELECT is(pg_temp.sqlstate_of($$INSERT INTO settings VALUES ('contact_hours', '"always"')$$), 'VA009', 'refused: the platform''s too');

-- ---- people's hours and holidays, where the tenant is: Monday to Friday nine to five
INSERT INTO business_hours (tenant_id, day_of_week, open_time, close_time) SELECT :'tenant', d, '09:00', '17:00' FROM generate_series(1, 5) d;
SELECT is((pg_temp.times(pg_temp.planned('hot', '2030-01-15 16:30-05')))[2], '01-16 09:00', 'a person calls when there are people');
SELECT is((pg_temp.times(pg_temp.planned('hot', '2030-01-18 16:30-05')))[2], '01-21 09:00', 'not at the weekend');
INSERT INTO holidays (tenant_id, date, name, intervals) VALUES (:'tenant', '2030-01-21', 'Martin Luther King Day', '[]'), (:'tenant', '2030-01-22', 'inventory', '[["14:00", "16:00"]]');
SELECT is((pg_temp.times(pg_temp.planned('hot', '2030-01-18 16:30-05')))[2], '01-22 14:00', 'nor on a holiday, and on another only when somebody is there');
SELECT is((pg_temp.times(pg_temp.planned('hot', '2030-01-18 16:30-05')))[1], '01-18 16:30', 'messages do not wait for people');
SELECT is((pg_temp.times(pg_temp.planned('hot', '2030-01-15 13:30-05', '+4930123456')))[2], '01-16 09:00', 'the lead must be awake and people there: half past eight in the evening there is too late');
SELECT is(pg_temp.sqlstate_of(format('INSERT INTO holidays VALUES (%L, %L, NULL, %L)', :'tenant', '2031-01-01', i)), 'VA009', 'refused: ' || i) FROM unnest(ARRAY['{}', '[5]', '[["9"]]', '[["09:00", "09:00"]]', '[["09:00", "10:00", "11:00"]]', '[["24:00", "10:00"]]', '[["noon", "14:00"]]']) i;
UPDATE business_hours SET is_closed = true WHERE tenant_id = :'tenant';
DELETE FROM holidays;
SELECT is(cardinality(pg_temp.times(pg_temp.planned('hot', '2030-01-18 16:30-05'))), 4, 'with nobody there ever, that step never happens and the others do');
DELETE FROM business_hours;
-- a change of clocks: days keep the time of day, hours are hours
SELECT is(pg_temp.times(pg_temp.planned('warm', '2030-03-09 10:00-05')), '{"03-09 10:00","03-10 11:00","03-12 10:00","03-16 10:00","03-23 10:00"}', 'the night of March 10 is an hour short');
SELECT is(pg_temp.times(pg_temp.planned('warm', '2028-02-26 10:00-05')), '{"02-26 10:00","02-27 10:00","02-29 10:00","03-04 10:00","03-11 10:00"}', 'there is a leap day');

-- ---- sequences are data
SELECT is((SELECT count(*)::int FROM follow_up_steps), 15, 'fifteen steps are shipped'), is((SELECT count(*)::int FROM follow_up_sequences WHERE NOT va_cadence_check(va_sequence_json(id))), 0, 'all valid');
INSERT INTO follow_up_sequences (tenant_id, temperature, name) VALUES (:'tenant', 'cold', 'Once') RETURNING id AS own \gset
INSERT INTO follow_up_steps (sequence_id, step, delay, unit, channels, purpose) VALUES (:'own', 1, 2, 'days', '{sms}', 'hello');
SELECT is(pg_temp.times(pg_temp.planned('cold', '2030-01-15 10:00-05')), '{"01-17 10:00"}', 'a tenant''s own sequence takes the place');
UPDATE follow_up_sequences SET enabled = false WHERE id = :'own';
SELECT is(pg_temp.times(pg_temp.planned('cold', '2030-01-15 10:00-05')), NULL, 'and disabled there is none');
SELECT is(jsonb_array_length(va_sequence_steps(:'other_tenant', 'cold')), 5, 'another tenant has the shipped one');
UPDATE follow_up_steps SET tenant_id = :'other_tenant' WHERE sequence_id = :'own';
SELECT is((SELECT tenant_id FROM follow_up_steps WHERE sequence_id = :'own'), :'tenant'::uuid, 'a step is its sequence''s tenant''s');
SELECT is(pg_temp.sqlstate_of(format($$SET CONSTRAINTS ALL IMMEDIATE; INSERT INTO follow_up_steps (sequence_id, step, delay, unit, channels, purpose) VALUES (%L, %s)$$, :'own', v)), c, 'refused: step ' || v)
FROM (VALUES ($$2, 1, 'days', '{sms}', 'x'$$, 'VA025'), ($$3, 9, 'days', '{sms}', 'x'$$, 'VA025'), ($$2, 9, 'weeks', '{sms}', 'x'$$, '23514'), ($$2, 9, 'days', '{fax}', 'x'$$, '23514'), ($$2, 9, 'days', '{}', 'x'$$, '23514'), ($$2, 9, 'days', '{sms}', ''$$, '23514'), ($$2, 99999, 'days', '{sms}', 'x'$$, 'VA025'), ($$1, 9, 'days', '{sms}', 'x'$$, '23505')) AS x (v, c);
DELETE FROM follow_up_sequences WHERE id = :'own';
SELECT throws_ok(format('SELECT va_cadence_check(%L)', s), 'VA025', NULL, 'no sequence: ' || s) FROM unnest(ARRAY['{}', '[]', '[5]', '[{}]', '[{"delay": "x", "unit": "hours", "channels": ["sms"], "purpose": "x"}]', '[{"delay": 1e30, "unit": "hours", "channels": ["sms"], "purpose": "x"}]', '[{"delay": 1, "unit": "hours", "channels": "sms", "purpose": "x"}]', '[{"delay": 1, "unit": "hours", "channels": [5], "purpose": "x"}]']) s;

-- ---- properties of every plan: random starts, zones, hours
CREATE TEMP TABLE plans AS
SELECT n, z, t, start, r.* FROM (
	SELECT n, (ARRAY['UTC', 'America/New_York', 'Europe/Berlin', 'Asia/Kolkata', 'Australia/Lord_Howe', 'Pacific/Apia', 'America/Sao_Paulo'])[1 + n % 7] AS z, (ARRAY['hot', 'warm', 'cold'])[1 + n % 3] AS t, timestamptz '2025-01-01' + random() * interval '5 years' AS start FROM generate_series(1, 1500) n) s,
	va_cadence_replan(va_sequence_steps(NULL, t), start, jsonb_build_object('lead_zone', z, 'tenant_zone', 'Europe/London', 'gap_s', 3600, 'contact', '[32400, 72000]'::jsonb, 'week', '[1, 28800, 64800, 2, 28800, 64800, 3, 28800, 64800, 4, 79200, 93600]'::jsonb), '[]', start) r;
SELECT cmp_ok((SELECT count(*)::int FROM plans), '>', 7000, 'many plans'), is((SELECT count(*)::int FROM plans WHERE action <> 'add'), 0, 'all new');
SELECT is((SELECT count(*)::int FROM plans WHERE NOT (t = 'cold' OR t = 'warm' AND step <> 2) AND (due AT TIME ZONE z)::time NOT BETWEEN '09:00' AND '19:59:59.999999'), 0, 'no step that disturbs in quiet hours');
SELECT is((SELECT count(*)::int FROM plans WHERE t = 'hot' AND step = 2 AND NOT (extract(dow FROM due AT TIME ZONE 'Europe/London') IN (1, 2, 3) AND (due AT TIME ZONE 'Europe/London')::time BETWEEN '08:00' AND '17:59:59.999999' OR (due - interval '2 hours') AT TIME ZONE 'Europe/London' - date_trunc('day', (due - interval '2 hours') AT TIME ZONE 'Europe/London') >= interval '20 hours' AND extract(dow FROM (due - interval '2 hours') AT TIME ZONE 'Europe/London') = 4)), 0, 'no person calls when nobody is there');
SELECT is((SELECT count(*)::int FROM plans WHERE due < start), 0, 'no step before the beginning'), is((SELECT count(*)::int FROM (SELECT due - lag(due) OVER (PARTITION BY n ORDER BY step) AS gap FROM plans) g WHERE gap < interval '1 hour'), 0, 'an hour between two');
SELECT is((SELECT count(*)::int FROM plans p WHERE n <= 300 AND EXISTS (SELECT FROM va_cadence_replan(va_sequence_steps(NULL, t), start, jsonb_build_object('lead_zone', z, 'tenant_zone', 'Europe/London', 'gap_s', 3600, 'contact', '[32400, 72000]'::jsonb, 'week', '[1, 28800, 64800, 2, 28800, 64800, 3, 28800, 64800, 4, 79200, 93600]'::jsonb),
	(SELECT jsonb_agg(jsonb_build_object('mine', true, 'step', q.step, 'status', 'pending', 'at', (extract(epoch FROM q.due) * 1000000)::bigint)) FROM plans q WHERE q.n = p.n), start) WHERE action <> 'keep')), 0, 'every plan is kept when it is planned again');

-- ---- the lifecycle plans; another temperature plans anew
SELECT pg_temp.lead('warm') AS lead \gset
SELECT is(pg_temp.pending(:'lead'), 0, 'a new lead has no follow-ups');
SELECT va_lead_advance(:'lead', 'qualify') \g /dev/null
SELECT is((SELECT array_agg(DISTINCT sequence_id::text) FROM follow_up_tasks WHERE lead_id = :'lead' AND status = 'pending'), '{warm}', 'a qualified one has those of its temperature'), is(pg_temp.pending(:'lead'), 5, 'all five');
UPDATE follow_up_tasks SET status = 'completed', executed_at = now() WHERE lead_id = :'lead' AND sequence_step = 1;
UPDATE leads SET qualification_data = pg_temp.data('hot') WHERE id = :'lead';
SELECT results_eq(format('SELECT sequence_id::text, sequence_step, status::text FROM follow_up_tasks WHERE lead_id = %L ORDER BY 1 DESC, 2', :'lead'), $$VALUES ('warm', 1, 'completed'), ('warm', 2, 'cancelled'), ('warm', 3, 'cancelled'), ('warm', 4, 'cancelled'), ('warm', 5, 'cancelled'), ('hot', 1, 'pending'), ('hot', 2, 'pending'), ('hot', 3, 'pending'), ('hot', 4, 'pending'), ('hot', 5, 'pending')$$, 'hotter: the other sequence');
SELECT ok((SELECT min(scheduled_for) FROM follow_up_tasks WHERE lead_id = :'lead' AND status = 'pending') >= now() - interval '1 minute' + interval '1 hour', 'an hour after what has just been sent');
UPDATE leads SET qualification_data = pg_temp.data('warm') WHERE id = :'lead';
SELECT is((SELECT array_agg(sequence_step ORDER BY sequence_step) FROM follow_up_tasks WHERE lead_id = :'lead' AND status = 'pending' AND sequence_id = 'warm'), '{2,3,4,5}', 'and back: what has happened does not happen again');
UPDATE tenants SET settings = '{"hot_lead_threshold": 0.5, "warm_lead_threshold": 0.3}' WHERE id = :'tenant';
SELECT is((SELECT array_agg(DISTINCT sequence_id::text) FROM follow_up_tasks WHERE lead_id = :'lead' AND status = 'pending'), '{hot}', 'other criteria, other temperature, other sequence');
UPDATE tenants SET settings = '{}' WHERE id = :'tenant';

-- ---- what stops them
CREATE FUNCTION pg_temp.qualified() RETURNS uuid LANGUAGE plpgsql AS $$ DECLARE l uuid := pg_temp.lead('warm'); BEGIN PERFORM va_lead_advance(l, 'qualify'); RETURN l; END $$;
SELECT pg_temp.qualified() AS replied, pg_temp.qualified() AS booked, pg_temp.qualified() AS opted, pg_temp.qualified() AS closed, pg_temp.qualified() AS called, pg_temp.qualified() AS slept \gset
INSERT INTO notifications (tenant_id, lead_id, channel, direction, status) VALUES (:'tenant', :'replied', 'sms', 'inbound', 'received');
SELECT is(pg_temp.pending(:'replied'), 0, 'a reply stops them'), is((SELECT follow_ups_stopped FROM leads WHERE id = :'replied'), 'reply', 'for that reason'), is((SELECT count(*)::int FROM follow_up_tasks WHERE lead_id = :'replied' AND result = '{"why": "reply"}'), 5, 'that each task knows');
UPDATE leads SET qualification_data = pg_temp.data('hot') WHERE id = :'replied';
SELECT is(pg_temp.pending(:'replied'), 5, 'another temperature begins anew');
INSERT INTO notifications (tenant_id, lead_id, channel, direction, status, created_at) VALUES (:'tenant', :'replied', 'sms', 'inbound', 'received', now() - interval '1 day');
INSERT INTO notifications (tenant_id, lead_id, channel, direction, status) VALUES (:'tenant', :'replied', 'sms', 'outbound', 'sent');
SELECT is(pg_temp.pending(:'replied'), 5, 'neither an old message nor one of ours is a reply');
INSERT INTO calls (tenant_id, lead_id, direction, status, started_at, transcript) VALUES (:'tenant', :'called', 'inbound', 'in-progress', now(), '[{"role": "user", "text": "x"}]') RETURNING id AS call \gset
UPDATE calls SET status = 'completed' WHERE id = :'call';
SELECT is(pg_temp.pending(:'called'), 0, 'a call in which the lead talked is a reply');
SELECT va_lead_advance(:'booked', 'contact'), va_lead_advance(:'booked', 'schedule') \g /dev/null
SELECT is(pg_temp.pending(:'booked'), 0, 'a booking stops them');
SELECT va_lead_advance(:'booked', 'unschedule') \g /dev/null
SELECT is(pg_temp.pending(:'booked'), 5, 'a cancelled one begins them');
SELECT is(va_follow_up_stop(:'opted', 'opt_out'), 5, 'an opt-out withdraws five'), is(va_follow_up_stop(:'opted', 'opt_out'), 0, 'once');
UPDATE leads SET qualification_data = pg_temp.data('hot') WHERE id = :'opted';
SELECT va_lead_advance(:'opted', 'lose', 'x'), va_lead_reopen(:'opted', 'x') \g /dev/null
SELECT is(pg_temp.pending(:'opted'), 0, 'and nothing brings them back'), is((SELECT count(*)::int FROM va_follow_up_plan(:'opted')), 0, 'not even planning');
SELECT is((SELECT count(*)::int FROM va_follow_up_resume(:'opted')), 5, 'but va_follow_up_resume');
SELECT va_lead_advance(:'closed', 'lose', 'x'), va_lead_archive(:'slept') \g /dev/null
SELECT is(pg_temp.pending(:'closed'), 0, 'a lost lead has none'), is(pg_temp.pending(:'slept'), 0, 'nor an archived one');
UPDATE leads SET qualification_data = pg_temp.data('hot') WHERE id = :'closed';
SELECT is(pg_temp.pending(:'closed'), 0, 'whatever becomes of its temperature');
UPDATE follow_up_tasks SET status = 'completed', executed_at = now() - interval '1 day' WHERE lead_id = :'slept' AND sequence_step < 3;
SELECT va_lead_reopen(:'closed', 'x'), va_lead_wake(:'slept') \g /dev/null
SELECT is((SELECT array_agg(DISTINCT sequence_id::text) FROM follow_up_tasks WHERE lead_id = :'closed' AND status = 'pending'), '{hot#2}', 're-opened: a round of its own'), is(pg_temp.pending(:'slept'), 5, 'woken: from the beginning');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_follow_up_stop(%L, %L)', :'lead', w)), 'VA005', 'stopped without a reason') FROM unnest(ARRAY[NULL, ' ']) w;
SELECT is((SELECT count(*)::int FROM va_follow_up_plan(pg_temp.lead('cold'))), 5, 'a new lead is planned for when asked');
SELECT is(pg_temp.sqlstate_of('SELECT va_follow_up_plan(gen_random_uuid())'), 'VA020', 'an unknown one is not');

-- ---- due steps become work
UPDATE follow_up_tasks SET status = 'cancelled' WHERE status = 'pending';
SELECT is(va_follow_ups_due(), 0, 'nothing is due'), is(va_follow_ups_next(), NULL, 'nor will be');
UPDATE tenants SET settings = '{"contact_hours": {"open": "00:00", "close": "24:00"}}' WHERE id = :'tenant';
SELECT pg_temp.planned('hot', now() - interval '1 minute') AS due \gset
INSERT INTO follow_up_tasks (tenant_id, lead_id, scheduled_for, title) VALUES (:'tenant', :'due', now() - interval '1 day', 'a person''s');
SELECT is(va_follow_ups_due(), 1, 'one is due'), is(va_follow_ups_due(), 0, 'once');
SELECT row_eq(format($$SELECT status::text, executed_at IS NOT NULL FROM follow_up_tasks WHERE lead_id = %L AND sequence_step = 1$$, :'due'), ROW('queued'::text, true), 'it is queued');
SELECT row_eq(format($$SELECT a.action, a.done_at IS NULL, a.payload - 'scheduled_for' FROM lead_actions a WHERE task_id = (SELECT id FROM follow_up_tasks WHERE lead_id = %L AND sequence_step = 1)$$, :'due'), ROW('follow_up'::text, true, (SELECT jsonb_build_object('task_id', id, 'sequence', 'hot', 'step', 1, 'channels', '["whatsapp"]'::jsonb, 'purpose', 'confirm') FROM follow_up_tasks WHERE lead_id = :'due' AND sequence_step = 1)), 'as one row of work');
SELECT is((SELECT status::text FROM follow_up_tasks WHERE title = 'a person''s'), 'pending', 'tasks of no sequence are people''s');
SELECT is(va_follow_ups_next(), (SELECT scheduled_for FROM follow_up_tasks WHERE lead_id = :'due' AND sequence_step = 2), 'the next one is the next');
SELECT va_follow_up_apply(:'due') \g /dev/null
SELECT is((SELECT count(*)::int FROM follow_up_tasks WHERE lead_id = :'due' AND sequence_step = 1 AND sequence_id = 'hot'), 1, 'what is queued is not planned again'), is(va_follow_up_apply(:'due'), 0, 'the rest an hour after it, at most');
SELECT is(pg_temp.sqlstate_of(format('INSERT INTO lead_actions (tenant_id, lead_id, task_id, action) SELECT tenant_id, lead_id, task_id, action FROM lead_actions WHERE task_id IS NOT NULL', :'due')), '23505', 'no task is two rows of work');
-- late, and it is night where the lead lives now: it waits
UPDATE tenants SET settings = jsonb_build_object('contact_hours', jsonb_build_object('open', to_char(now() AT TIME ZONE 'America/New_York' + interval '1 hour', 'HH24:MI'), 'close', to_char(now() AT TIME ZONE 'America/New_York' + interval '2 hours', 'HH24:MI'))) WHERE id = :'tenant';
UPDATE follow_up_tasks SET scheduled_for = now() - interval '1 minute' WHERE lead_id = :'due' AND sequence_step = 2;
SELECT is(va_follow_ups_due(), 1, 'looked at'), is(va_follow_ups_due(), 0, 'once');
SELECT ok((SELECT status = 'pending' AND scheduled_for BETWEEN now() + interval '58 minutes' AND now() + interval '1 hour' FROM follow_up_tasks WHERE lead_id = :'due' AND sequence_step = 2), 'and put off to when it is allowed');
UPDATE tenants SET settings = '{"contact_hours": {"open": "00:00", "close": "24:00"}}', status = 'suspended' WHERE id = :'tenant';
UPDATE follow_up_tasks SET scheduled_for = now() WHERE lead_id = :'due' AND sequence_step = 2;
SELECT is(va_follow_ups_due(), 1, 'a suspended tenant''s step');
SELECT row_eq(format('SELECT status::text, result FROM follow_up_tasks WHERE lead_id = %L AND sequence_step = 2', :'due'), ROW('skipped'::text, '{"why": "the tenant is not active"}'::jsonb), 'is skipped');
UPDATE tenants SET status = 'active' WHERE id = :'tenant';
-- in portions
UPDATE follow_up_tasks SET status = 'cancelled' WHERE status = 'pending';
INSERT INTO leads (tenant_id, email, first_name) SELECT :'tenant', 'many@x.org', 'many ' || n FROM generate_series(1, 25) n;
INSERT INTO follow_up_tasks (tenant_id, lead_id, scheduled_for, sequence_id, sequence_step, channels) SELECT tenant_id, id, now(), 'cold', 1, '{email}' FROM leads WHERE first_name LIKE 'many%';
SELECT is(va_follow_ups_due(10), 10, 'ten at a time'), is(va_follow_ups_due(0), 0, 'none'), is(va_follow_ups_due(-5), 0, 'fewer than none') ;
SELECT is(va_follow_ups_due(10), 10, 'ten more'), is(va_follow_ups_due(10), 5, 'and the rest');
SELECT is((SELECT count(*)::int FROM lead_actions a JOIN leads l ON l.id = a.lead_id WHERE l.first_name LIKE 'many%'), 25, 'each one row of work');

-- ---- what lies in the future costs nothing: the index holds what is pending, in order of time
INSERT INTO follow_up_tasks (tenant_id, lead_id, scheduled_for, sequence_id, sequence_step, channels) SELECT :'tenant', :'due', now() + n * interval '1 minute', 'warm#' || n, 1, '{email}' FROM generate_series(1, 20000) n;
ANALYZE follow_up_tasks;
CREATE FUNCTION pg_temp.explained(q text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE line text; whole text := ''; BEGIN FOR line IN EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, COSTS OFF) ' || q LOOP whole := whole || line || E'\n'; END LOOP; RETURN whole; END $$;
SELECT matches(e, 'Index Scan using idx_follow_ups_due.*Index Cond: \(scheduled_for <= now\(\)\)', 'due steps are found in the index'), ok((substring(e FROM 'shared hit=(\d+)'))::int < 20, 'in a few pages among 20,000')
FROM pg_temp.explained($$SELECT * FROM follow_up_tasks d WHERE d.status = 'pending' AND d.sequence_id IS NOT NULL AND d.scheduled_for <= now() ORDER BY d.scheduled_for LIMIT 100 FOR UPDATE SKIP LOCKED$$) e;
SELECT matches(e, 'Scan using idx_follow_ups_due', 'so is the next'), ok((substring(e FROM 'shared hit=(\d+)'))::int < 20, 'in a few pages') FROM pg_temp.explained($$SELECT d.scheduled_for FROM follow_up_tasks d WHERE d.status = 'pending' AND d.sequence_id IS NOT NULL ORDER BY d.scheduled_for LIMIT 1$$) e;

-- ---- zones of numbers
SELECT is(va_phone_zone(n), z, 'the zone of ' || n) FROM (VALUES ('+4930123456', 'Europe/Berlin'), ('+442079460000', 'Europe/London'), ('+819012345678', 'Asia/Tokyo'), ('+15551230001', NULL), ('+12125550100', 'America/New_York'), ('+13105550100', 'America/Los_Angeles'), ('+61891234567', 'Australia/Perth'), ('', NULL)) AS x (n, z);
SELECT is((SELECT count(*)::int FROM (SELECT va_phone_zone('+' || n) AS z FROM generate_series(1, 9999) n) s WHERE NOT va_zone_known(z)), 0, 'the server knows every zone of the table'), is(va_zone_known('Mars/Olympus'), false, 'and not others');

-- ---- whose are they
INSERT INTO follow_up_sequences (tenant_id, temperature, name) VALUES (:'tenant', 'hot', 'x') RETURNING id AS mine \gset
DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %s TO PUBLIC', pg_my_temp_schema()::regnamespace); END $$;
SELECT set_config('voiceagent.tenant_id', :'other_tenant', false) \g /dev/null
SET ROLE voiceagent_agent;
SELECT is((SELECT count(*)::int FROM follow_up_sequences), 3, 'an application sees the shipped sequences and not another tenant''s');
SELECT is(pg_temp.sqlstate_of(s), c, 'refused: ' || s) FROM (VALUES (format('SELECT va_follow_up_plan(%L)', :'due'), 'VA020'), (format('SELECT va_follow_up_stop(%L, %L)', :'due', 'x'), 'VA020'), (format('SELECT va_follow_up_resume(%L)', :'due'), 'VA020'), ('SELECT va_follow_ups_due()', '42501'),
	(format($$INSERT INTO follow_up_steps (sequence_id, step, tenant_id, delay, channels, purpose) VALUES (%L, 1, %L, 0, '{sms}', 'x')$$, :'mine', :'other_tenant'), '42501'), ($$INSERT INTO follow_up_steps (sequence_id, step, delay, channels, purpose) SELECT id, 6, 9999, '{sms}', 'x' FROM follow_up_sequences WHERE temperature = 'hot'$$, '42501'), (format('INSERT INTO holidays VALUES (%L, now())', :'tenant'), '42501')) AS x (s, c);
UPDATE follow_up_steps SET purpose = 'changed';
INSERT INTO holidays (tenant_id, date) VALUES (:'other_tenant', '2031-01-01');
INSERT INTO follow_up_sequences (tenant_id, temperature, name) VALUES (:'other_tenant', 'hot', 'x');
INSERT INTO follow_up_steps (sequence_id, step, delay, channels, purpose) SELECT id, 1, 0, '{sms}', 'own' FROM follow_up_sequences WHERE tenant_id IS NOT NULL;
SELECT is((SELECT purpose FROM follow_up_steps WHERE tenant_id IS NOT NULL), 'own', 'it writes its own');
RESET ROLE;
SELECT is((SELECT count(*)::int FROM follow_up_steps WHERE purpose = 'changed'), 0, 'and no other');
SELECT * FROM finish();
