-- People: their hours, who is chosen for a call, counters that stay true, escalation.
\ir setup.psql
SELECT no_plan();
SELECT pg_temp.tenant('+15551230002') AS tenant, pg_temp.tenant('+15551230003') AS theirs \gset

CREATE FUNCTION pg_temp.person(tenant uuid, name text, more jsonb DEFAULT '{}') RETURNS uuid LANGUAGE sql AS $$
	INSERT INTO human_agents (tenant_id, name, email, phone, skills, languages, priority, max_concurrent_calls, availability_hours, is_available)
	SELECT tenant, name, lower(name) || '@x.org', '+1555777' || lpad((random() * 9999)::int::text, 4, '0'), x.skills, x.languages, coalesce(x.priority, 0),
		coalesce(x.max_calls, 1), coalesce(x.hours, '{}'), coalesce(x.available, true)
	FROM jsonb_to_record(more) AS x (skills text[], languages text[], priority int, max_calls int, hours jsonb, available boolean) RETURNING id
$$;
CREATE FUNCTION pg_temp.ring(tenant uuid) RETURNS uuid LANGUAGE sql AS $$
	INSERT INTO calls (tenant_id, status, direction, from_number, started_at) VALUES (tenant, 'in-progress', 'inbound', '+15551230001', now()) RETURNING id
$$;
CREATE FUNCTION pg_temp.pick(tenant uuid, skills text[] DEFAULT NULL, language text DEFAULT NULL, call uuid DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT max(name) FROM va_agent_pick(tenant, skills, language, call)
$$;
CREATE FUNCTION pg_temp.counts(who text) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', current_call_count, total_calls_handled, coalesce(avg_call_duration::text, '-')) FROM human_agents WHERE name = who
$$;

-- ---- hours
SELECT is(pg_temp.sqlstate_of(format('SELECT pg_temp.person(%L, %L, %L)', :'tenant', 'Nobody', jsonb_build_object('hours', h::jsonb))), 'VA009', 'no hours: ' || h)
FROM unnest(ARRAY['[]', '5', '{"mon": []}', '{"monday": {}}', '{"monday": ["09:00", "17:00"]}', '{"monday": [["09:00"]]}', '{"monday": [["9:00", "17:00"]]}',
	'{"monday": [["09:00", "09:00"]]}', '{"monday": [["24:00", "09:00"]]}', '{"monday": [["09:00", "25:00"]]}', '{"monday": [[9, 17]]}', '{"monday": [["09:00", null]]}', '{"timezone": "Mars/Base"}',
	'{"timezone": 5}', '{"dates": {"2027-02-29": []}}', '{"dates": ["tomorrow"]}', '{"dates": {"2027-01-01": 5}}', '{"dates": 5}', '{"dates": [null]}']) h;
SELECT is((SELECT count(*)::int FROM human_agents), 0, 'and none was stored');
SELECT is(va_agent_on_duty(h::jsonb, z, t::timestamptz), d, format('%s in %s at %s', h, z, t)) FROM (VALUES
	('{}', 'UTC', '2027-01-03 03:00Z', true),
	('{"monday": [["09:00", "12:00"], ["13:00", "17:00"]]}', 'UTC', '2027-01-04 08:59:59Z', false),
	('{"monday": [["09:00", "12:00"], ["13:00", "17:00"]]}', 'UTC', '2027-01-04 09:00Z', true),
	('{"monday": [["09:00", "12:00"], ["13:00", "17:00"]]}', 'UTC', '2027-01-04 12:00Z', false),
	('{"monday": [["09:00", "12:00"], ["13:00", "17:00"]]}', 'UTC', '2027-01-04 16:59:59Z', true),
	('{"monday": [["09:00", "12:00"], ["13:00", "17:00"]]}', 'UTC', '2027-01-05 10:00Z', false),
	('{"monday": [["09:00", "17:00"]]}', 'Asia/Tokyo', '2027-01-04 00:00Z', true),
	('{"monday": [["09:00", "17:00"]]}', 'Asia/Tokyo', '2027-01-04 09:00Z', false),
	('{"monday": [["09:00", "17:00"]]}', 'America/Los_Angeles', '2027-01-05 00:30Z', true),
	('{"monday": [["09:00", "17:00"]], "timezone": "Asia/Kolkata"}', 'UTC', '2027-01-04 03:30Z', true),
	('{"friday": [["22:00", "02:00"]]}', 'UTC', '2027-01-02 01:59Z', true),
	('{"friday": [["22:00", "02:00"]]}', 'UTC', '2027-01-02 02:00Z', false),
	('{"tuesday": [["00:00", "24:00"]]}', 'UTC', '2028-02-29 23:59:59Z', true),
	('{"tuesday": [["00:00", "24:00"]], "dates": ["2028-02-29"]}', 'UTC', '2028-02-29 12:00Z', false),
	('{"dates": {"2027-12-24": [["09:00", "12:00"]]}}', 'UTC', '2027-12-24 13:00Z', false),
	('{"dates": {"2027-12-24": [["09:00", "12:00"]]}}', 'UTC', '2027-12-25 13:00Z', true),
	-- New York: 02:30 does not exist on 14 March 2027, and 01:30 comes twice on 7 November 2027.
	('{"sunday": [["02:30", "04:00"]]}', 'America/New_York', '2027-03-14 06:59:59Z', false),
	('{"sunday": [["02:30", "04:00"]]}', 'America/New_York', '2027-03-14 07:00Z', true),
	('{"sunday": [["02:30", "04:00"]]}', 'America/New_York', '2027-03-14 08:00Z', false),
	('{"sunday": [["01:00", "02:00"]]}', 'America/New_York', '2027-11-07 05:30Z', true),
	('{"sunday": [["01:00", "02:00"]]}', 'America/New_York', '2027-11-07 06:30Z', true),
	('{"sunday": [["01:00", "02:00"]]}', 'America/New_York', '2027-11-07 07:00Z', false)) AS x (h, z, t, d);

-- The two C functions below it.
SELECT is(va_hours_spans('{0,3600,7200}', '{}', 'America/New_York', '2027-11-07 00:00Z', '2027-11-08 00:00Z'), ARRAY['2027-11-07 05:00Z', '2027-11-07 07:00Z']::timestamptz[], 'an hour that comes twice is two hours long'),
	is(va_hours_spans('{}', '{}', 'UTC', '2027-01-01Z', '2027-02-01Z'), '{}', 'no hours, no spans'),
	is(array_length(va_hours_spans('{0,0,3600,1,0,3600,2,0,3600,3,0,3600,4,0,3600,5,0,3600,6,0,3600}', '{}', 'UTC', '2027-01-01Z', '2028-01-01Z'), 1), 730, 'more spans than one portion'),
	is(va_hours_next('{1,32400,61200}', '{20822,-1,-1}', 'UTC', '2027-01-02 00:00Z'), '2027-01-11 09:00Z'::timestamptz, 'a closed date is passed over'),
	is(va_hours_next('{}', '{}', 'UTC', '2027-01-02 00:00Z'), NULL, 'never');
SELECT is(pg_temp.sqlstate_of(s), c, s) FROM (VALUES
	($$SELECT va_hours_next('{1,2}', '{}', 'UTC', now())$$, 'VA005'), ($$SELECT va_hours_next('{7,0,60}', '{}', 'UTC', now())$$, 'VA005'), ($$SELECT va_hours_next('{1,NULL,60}', '{}', 'UTC', now())$$, 'VA005'),
	($$SELECT va_hours_next('{1,60,60}', '{}', 'UTC', now())$$, 'VA009'), ($$SELECT va_hours_next('{1,-5,60}', '{}', 'UTC', now())$$, 'VA009'), ($$SELECT va_hours_next('{}', '{5,0,60,4,0,60}', 'UTC', now())$$, 'VA009'),
	($$SELECT va_hours_next('{1,0,1,1,2,3,1,4,5,1,6,7,1,8,9,1,10,11,1,12,13,1,14,15,1,16,17}', '{}', 'UTC', now())$$, 'VA009'), ($$SELECT va_hours_next('{}', '{}', 'Mars', now())$$, 'VA009'),
	($$SELECT va_hours_next('{}', '{}', 'UTC', 'infinity')$$, 'VA005'), ($$SELECT va_hours_spans('{}', '{}', 'UTC', now(), now() - interval '1 day')$$, 'VA005'),
	($$SELECT va_hours_spans('{}', '{}', 'UTC', now(), now() + interval '11 years')$$, 'VA005'), ($$SELECT va_hours_spans('{}', '{}', 'UTC', '-infinity', now())$$, 'VA005')) AS x (s, c);

-- ---- who is chosen: by skills, language, priority, load
SELECT pg_temp.pick(:'tenant') IS NULL AS ok \gset
SELECT ok(:'ok', 'nobody there: nobody chosen');
SELECT pg_temp.person(:'tenant', 'Ann', '{"skills": ["legal", "Loans"], "languages": ["en"]}') AS ann, pg_temp.person(:'tenant', 'Bob', '{"skills": ["legal"], "languages": ["es-MX", "en"], "priority": 5}') AS bob,
	pg_temp.person(:'tenant', 'Cid', '{"priority": 9, "max_calls": 2}') AS cid, pg_temp.person(:'tenant', 'Off', '{"priority": 99, "available": false}') AS off, pg_temp.person(:'theirs', 'Eve', '{"priority": 100}') AS eve \gset
SELECT pg_temp.person(:'tenant', 'Later', jsonb_build_object('priority', 98, 'hours', jsonb_build_object(to_char(now() - interval '3 days', 'FMday'), '[["09:00", "10:00"]]'::jsonb))) AS later \gset
BEGIN;
SELECT is(pg_temp.pick(:'tenant', '{LEGAL,loans}'), 'Ann', 'the most skills, without regard to case');
SELECT is(pg_temp.pick(:'tenant', '{legal,loans}'), 'Bob', 'Ann is full: the next most');
ROLLBACK;
BEGIN;
SELECT is(pg_temp.pick(:'tenant', '{legal}', 'es'), 'Bob', 'skills even, the language decides');
SELECT is(pg_temp.pick(:'tenant', NULL, 'en-GB'), 'Ann', 'language before priority');
ROLLBACK;
BEGIN;
SELECT is(array_agg(pg_temp.pick(:'tenant')), ARRAY['Cid', 'Cid', 'Bob', 'Ann', NULL, NULL], 'by priority up to each one''s limit, then nobody') FROM generate_series(1, 6);
SELECT is((SELECT bool_and(current_call_count <= max_concurrent_calls) FROM human_agents), true, 'nobody has more than their limit');
SELECT is((SELECT array_agg(current_call_count ORDER BY name) FROM human_agents), ARRAY[1, 1, 2, 0, 0, 0], 'counted');
ROLLBACK;
SELECT pg_temp.person(:'tenant', 'Dan', '{"priority": 9, "max_calls": 2}') AS dan \gset
BEGIN;
SELECT isnt(pg_temp.pick(:'tenant'), pg_temp.pick(:'tenant'), 'equals share the load');
ROLLBACK;
DELETE FROM human_agents WHERE name = 'Dan';

-- ---- one person a call; exact release
SELECT pg_temp.ring(:'tenant') AS call, pg_temp.ring(:'theirs') AS foreign_call \gset
SELECT is(pg_temp.pick(:'tenant', call => :'call'), 'Cid', 'reserved for a call'), is(pg_temp.pick(:'tenant', '{legal}', call => :'call'), 'Cid', 'asked again: the same'), is(pg_temp.counts('Cid'), '1 0 -', 'and counted once');
SELECT is(va_agent_release(:'call'), true, 'released'), is(va_agent_release(:'call'), false, 'a second time there is nothing to release'), is(pg_temp.counts('Cid'), '0 1 0', 'one call handled');
SELECT pg_temp.pick(:'tenant', call => :'call') \g /dev/null
SELECT is(va_agent_release(:'call', handled => false), true, 'released without having talked'), is(pg_temp.counts('Cid'), '0 1 0', 'is no call handled');
SELECT reservation_id AS r FROM va_agent_pick(:'tenant') \gset
SELECT is(va_agent_release(NULL, true, :'r'), true, 'released by reservation'), is(va_agent_release(NULL), false, 'nothing named, nothing released');
SELECT is((SELECT count(*)::int FROM agent_reservations WHERE released_at IS NULL), 0, 'nobody is reserved any more');
-- averages
INSERT INTO agent_reservations (tenant_id, agent_id, call_id, reserved_at) VALUES (:'tenant', :'ann', :'call', now() - interval '100 seconds');
SELECT is(pg_temp.counts('Ann'), '1 0 -', 'a reservation counts, whoever writes it');
UPDATE agent_reservations SET released_at = reserved_at + interval '100 s', handled = true WHERE agent_id = :'ann' AND released_at IS NULL;
INSERT INTO agent_reservations (tenant_id, agent_id, reserved_at) SELECT :'tenant', :'ann', now() - interval '1 hour' FROM generate_series(1, 2);
UPDATE agent_reservations SET released_at = reserved_at + interval '1 s', handled = true WHERE agent_id = :'ann' AND released_at IS NULL;
SELECT is(pg_temp.counts('Ann'), '0 3 34', 'the average is of seconds, not of averages');
INSERT INTO agent_reservations (tenant_id, agent_id, reserved_at) VALUES (:'tenant', :'ann', now());
DELETE FROM agent_reservations WHERE agent_id = :'ann' AND released_at IS NULL;
SELECT is(pg_temp.counts('Ann'), '0 3 34', 'a reservation that is deleted is given back');
INSERT INTO agent_reservations (tenant_id, agent_id, reserved_at, released_at, handled) VALUES (:'tenant', :'ann', now() - interval '1 hour', now(), true);
SELECT is(pg_temp.counts('Ann'), '0 3 34', 'history that is loaded is in the totals already');
UPDATE human_agents SET current_call_count = 7 WHERE name = 'Ann';
SELECT is(pg_temp.counts('Ann'), '0 3 34', 'nobody writes the count');
SELECT is(pg_temp.sqlstate_of('UPDATE human_agents SET ' || s), 'VA005', 'nobody writes: ' || s) FROM unnest(ARRAY['total_calls_handled = 99', 'avg_call_duration = 1', 'total_call_seconds = 0']) s;
SELECT is(pg_temp.sqlstate_of('UPDATE human_agents SET max_concurrent_calls = -1'), '23514', 'a limit below nothing');
SELECT is(pg_temp.sqlstate_of(format('INSERT INTO agent_reservations (tenant_id, agent_id, released_at) VALUES (%L, %L, now())', :'tenant', :'ann')), '23514', 'a release says whether they talked');
-- the end of a call releases
SELECT pg_temp.ring(:'tenant') AS c2, pg_temp.ring(:'tenant') AS c3 \gset
SELECT pg_temp.pick(:'tenant', call => c) FROM unnest(ARRAY[:'c2', :'c3']::uuid[]) c \g /dev/null
SELECT is(pg_temp.counts('Cid'), '2 2 0', 'two calls');
SELECT va_call_set_status(:'c2', 'completed'), va_call_set_status(:'c3', 'failed') \g /dev/null
SELECT is(pg_temp.counts('Cid'), '0 3 0', 'the end of a call releases; one that failed was not handled');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_agent_pick(%L, NULL, NULL, %L)', :'tenant', c)), 'VA004', 'nobody is reserved for: ' || n) FROM (VALUES (:'c2'::uuid, 'a call that is over'), (:'foreign_call', 'another tenant''s call'), (gen_random_uuid(), 'no call')) AS x (c, n);
SELECT is(pg_temp.sqlstate_of('SELECT va_agent_pick(gen_random_uuid())'), 'VA001', 'of no tenant');
UPDATE agent_reservations SET reserved_at = now() - interval '2 days' WHERE released_at IS NULL;
SELECT pg_temp.pick(:'tenant') \g /dev/null
UPDATE agent_reservations SET reserved_at = now() - interval '2 days' WHERE released_at IS NULL;
SELECT va_housekeeping() \g /dev/null
SELECT is((SELECT sum(current_call_count)::int FROM human_agents), 0, 'housekeeping frees who was forgotten');

-- ---- escalation
UPDATE tenants SET settings = settings || '{"notification_emails": ["Boss@x.org", "boss@x.org"]}' WHERE id = :'tenant';
SELECT pg_temp.ring(:'tenant') AS c4 \gset
SELECT is((SELECT agent_name FROM va_escalate(:'c4', 'wants a person', '{loans}')), 'Ann', 'escalation reserves'), is((SELECT agent_name FROM va_escalate(:'c4', 'again')), 'Ann', 'once');
SELECT row_eq(format('SELECT escalated_to_human, escalation_reason::text FROM calls WHERE id = %L', :'c4'), ROW(true, 'wants a person'::text), 'the call says so, and the first reason stays');
SELECT is((SELECT count(*)::int FROM analytics_events WHERE event_type = 'call_escalated'), 1, 'one event'), is((SELECT count(*)::int FROM follow_up_tasks), 0, 'no call back');
UPDATE human_agents SET is_available = false;
SELECT pg_temp.ring(:'tenant') AS c5 \gset
SELECT callback_at AS due FROM va_escalate(:'c5', repeat('x', 300)) \gset
SELECT ok(:'due'::timestamptz > now(), 'nobody free: a call back'), is((SELECT callback_at FROM va_escalate(:'c5', 'again')), :'due'::timestamptz, 'once');
SELECT row_eq(format('SELECT task_type::text, title::text, is_ai_task, scheduled_for FROM follow_up_tasks WHERE call_id = %L', :'c5'), ROW('call'::text, 'Call back'::text, false, :'due'::timestamptz), 'a task for people');
SELECT row_eq(format('SELECT escalated_to_human, length(escalation_reason), follow_up_required, outcome::text FROM calls WHERE id = %L', :'c5'), ROW(true, 255, true, 'callback_requested'::text), 'the call');
SELECT is((SELECT array_agg(to_address::text) FROM notifications WHERE notification_type = 'escalation'), ARRAY['boss@x.org'], 'the tenant''s people are told, each once');
INSERT INTO business_hours (tenant_id, day_of_week, open_time, close_time) VALUES (:'tenant', extract(dow FROM now() + interval '3 days'), '09:00', '17:00');
SELECT pg_temp.ring(:'tenant') AS c6 \gset
SELECT is((SELECT callback_at FROM va_escalate(:'c6', 'closed')), va_next_opening(:'tenant'), 'outside the hours the call back is due when they open');
SELECT is(pg_temp.sqlstate_of('SELECT va_escalate(gen_random_uuid(), NULL)'), 'VA004', 'no call to escalate');
-- the tool
SELECT pg_temp.ring(:'tenant') AS c7 \gset
SELECT is(va_call_tool(:'c7', '1', 'escalate_to_human', '{"reason": "upset"}') #>> '{result,status}', 'callback_planned', 'the tool plans a call back');
UPDATE human_agents SET is_available = true WHERE name IN ('Bob', 'Eve');
SELECT pg_temp.ring(:'tenant') AS c8 \gset
SELECT is(va_call_tool(:'c8', '1', 'escalate_to_human', '{"reason": "upset", "skills": ["x"], "language": "es"}') -> 'result', '{"status": "colleague_reserved", "colleague": "Bob"}', 'or reserves a colleague');
SELECT is(va_call_tool(:'c8', '2', 'escalate_to_human', '{"skills": 5}') #>> '{result,status}', 'colleague_reserved', 'whatever the model writes');

-- ---- a tenant's application
SELECT set_config('voiceagent.tenant_id', :'theirs', false) \g /dev/null
SET ROLE voiceagent_agent;
SELECT is((SELECT count(*)::int FROM agent_reservations), 0, 'sees no reservation of another tenant'), is(pg_temp.sqlstate_of(s), c, 'and may not: ' || s) FROM (VALUES
	(format('SELECT va_agent_pick(%L)', :'tenant'), 'VA001'), (format('SELECT va_escalate(%L, NULL)', :'call'), 'VA004'), (format('SELECT va_agent_release(%L)', :'c8'), 'VA004'), ('DELETE FROM agent_reservations', '42501'), ('SELECT va_agent_choose(NULL, NULL, NULL)', '42501')) AS x (s, c);
SELECT is((SELECT name FROM va_agent_pick(:'theirs')), 'Eve', 'its own people it reserves');
RESET ROLE;

-- ---- random work: the counters are always those of the reservations
CREATE FUNCTION pg_temp.work(n int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_tenant uuid := (SELECT tenant_id FROM human_agents WHERE name = 'Ann');
BEGIN
	UPDATE human_agents SET is_available = true, max_concurrent_calls = 2;
	FOR i IN 1 .. n LOOP
		BEGIN
			CASE floor(random() * 4)::int
				WHEN 0 THEN PERFORM va_agent_release(NULL, random() < 0.5, (SELECT id FROM agent_reservations WHERE released_at IS NULL ORDER BY random() LIMIT 1));
				WHEN 1 THEN PERFORM va_call_set_status((SELECT id FROM calls WHERE status = 'in-progress' ORDER BY random() LIMIT 1), 'completed');
				ELSE PERFORM pg_temp.pick(v_tenant, NULL, NULL, CASE WHEN random() < 0.5 THEN pg_temp.ring(v_tenant) END);
			END CASE;
			IF random() < 0.2 THEN
				RAISE EXCEPTION 'undone';
			END IF;
		EXCEPTION WHEN raise_exception THEN
			NULL;
		END;
	END LOOP;
END $$;
SELECT setseed(0.5) \g /dev/null
SELECT pg_temp.work(300) \g /dev/null
SELECT is(h.current_call_count, (SELECT count(*)::int FROM agent_reservations r WHERE r.agent_id = h.id AND r.released_at IS NULL), h.name || ': the count is that of the open reservations'), ok(h.current_call_count BETWEEN 0 AND 2, h.name || ': within the limit')
FROM human_agents h ORDER BY h.name;
SELECT is(h.total_calls_handled, (SELECT count(*)::int FROM agent_reservations r WHERE r.agent_id = h.id AND r.handled), h.name || ': the total is that of the handled') FROM human_agents h WHERE h.name NOT IN ('Ann') ORDER BY h.name;
SELECT * FROM finish();
