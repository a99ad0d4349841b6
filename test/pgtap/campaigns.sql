-- Campaigns: whom they call, when, at what pace, how often, and when they are over.
\ir setup.psql
SELECT no_plan();
SELECT pg_temp.tenant('+15551230002') AS tenant, pg_temp.tenant('+15559990001', :'other') AS stranger \gset
SELECT va_secret_set(:'tenant', 'twilio_auth_token', 'x') \g /dev/null
UPDATE tenants SET settings = settings || '{"contact_hours": {"open": "00:00", "close": "24:00"}, "contact_limits": {"call": {"day": null, "week": null}}, "dial": {"calls_per_second": 100}}' WHERE id = :'tenant';
INSERT INTO leads (tenant_id, first_name, phone, status, source, tags, lead_score, custom_fields) SELECT :'tenant', 'L' || n, '+155512340' || lpad(n::text, 2, '0'), CASE WHEN n > 18 THEN 'closed_won' ELSE 'new' END,
	CASE WHEN n % 2 = 0 THEN 'web' ELSE 'whatsapp' END, ARRAY['t' || n % 3], n / 20.0, jsonb_build_object('district', n % 4) FROM generate_series(1, 20) n;
INSERT INTO leads (tenant_id, first_name) VALUES (:'tenant', 'nobody to call');

-- The call of a member is dialled and ends so.
CREATE FUNCTION pg_temp.ends(campaign uuid, phone text, status text, by text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c uuid := (SELECT x.last_call_id FROM campaign_members x JOIN leads l ON l.id = x.lead_id WHERE x.campaign_id = campaign AND l.phone = ends.phone);
BEGIN
	UPDATE calls SET dialed_at = now(), answered_by = by WHERE id = c;
	PERFORM va_call_set_status(c, status, NULL, CASE status WHEN 'completed' THEN 61 END);
	RETURN (SELECT x.state || ' ' || coalesce(x.outcome, '-') FROM campaign_members x WHERE x.last_call_id = c);
END $$;
CREATE FUNCTION pg_temp.due(campaign uuid) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
	UPDATE campaigns SET next_at = now() - interval '5 seconds' WHERE id = campaign AND status = 'running';
	PERFORM va_campaigns_due();
	RETURN (SELECT count(*) FROM campaign_members x WHERE x.campaign_id = campaign AND x.state = 'calling');
END $$;

-- ---- the audience
INSERT INTO campaigns (tenant_id, name, audience) SELECT :'tenant', what, a FROM (VALUES ('{"status": "new"}'::jsonb, 'a by status: 18'), ('{"source": ["web", "sms"]}', 'a by source, those who have bought left out: 9'), ('{"tags": ["t0"]}', 'a by tag: 6'),
	('{"min_score": 0.9}', 'a by score: 0'), ('{"custom_fields": {"district": 2}}', 'a by a field of the tenant''s: 5'), ('{"created_after": "2100-01-01"}', 'a by date: 0'), ('{}', 'a none: 0')) AS v (a, what);
SELECT is(va_campaign_gather(c), split_part(name, ': ', 2)::int, name) FROM campaigns c ORDER BY name;
SELECT is(pg_temp.sqlstate_of(format('INSERT INTO campaigns (tenant_id, name, %s) VALUES (%L, ''x'', %L)', col, :'tenant', value)), 'VA005', value) FROM (VALUES ('audience', '{"colour": 1}'), ('audience', '{"min_score": "much"}'),
	('audience', '{"created_after": "soon"}'), ('options', '{"x": 1}'), ('retry', '{"asleep": {}}'), ('retry', '{"busy": {"minutes": -1}}'), ('retry', '[]')) AS v (col, value);
SELECT is(pg_temp.sqlstate_of(format('INSERT INTO campaigns (tenant_id, name, hours) VALUES (%L, ''x'', ''{"someday": []}'')', :'tenant')), 'VA009', 'hours that are none');
DELETE FROM campaigns;

-- ---- pace and room
INSERT INTO campaigns (tenant_id, name, calls_per_minute, concurrent, options, retry) VALUES (:'tenant', 'Spring', 6000, 3, '{"greeting": "Hello from spring"}', '{"busy": {"minutes": 5, "attempts": 2}, "machine": {"minutes": 30}}') RETURNING id AS c \gset
SELECT is(va_campaign_add(:'c', array_agg(id)), 20, 'leads are added by any query; one without a number is not') FROM leads WHERE tenant_id = :'tenant';
SELECT is(va_campaign_add(:'c', array_agg(id)), 0, 'once') FROM leads;
INSERT INTO leads (tenant_id, first_name, phone) VALUES (:'stranger', 'theirs', '+15559990009') RETURNING id AS theirs \gset
SELECT is(va_campaign_add(:'c', ARRAY[:'theirs'::uuid]), 0, 'another tenant''s lead is none') FROM (SELECT 1) x;
DELETE FROM leads WHERE id = :'theirs';
SELECT is((SELECT count(*)::int FROM calls), 0, 'a draft calls nobody'), is(va_campaigns_due(), 0, 'and is not due');
UPDATE campaign_members x SET next_at = now() - (100 - right(l.phone, 2)::int) * interval '1 second' FROM leads l WHERE l.id = x.lead_id;
SELECT is(va_campaign_start(:'c'), 20, 'started');
SELECT pg_temp.due(:'c') \g /dev/null
SELECT is((SELECT array_agg(l.phone::text ORDER BY l.phone) FROM campaign_members x JOIN leads l ON l.id = x.lead_id WHERE x.state = 'calling'), '{+15551234001,+15551234002,+15551234003}', 'the first three are called, no more');
SELECT is((SELECT DISTINCT (c.campaign_id, c.dial ->> 'greeting', o.lane)::text FROM calls c JOIN outbox o ON o.call_id = c.id), format('(%s,"Hello from spring",bulk)', :'c'), 'with the campaign''s greeting, in the slow lane');
SELECT is(pg_temp.due(:'c'), 3, 'without room nothing is planned');
SELECT is((SELECT why FROM campaigns WHERE id = :'c'), 'as many calls as it may have', 'and it says so');

-- ---- what comes of a call
SELECT is(pg_temp.ends(:'c', '+15551234001', 'completed', 'human'), 'done answered', 'who answers is done');
SELECT is((SELECT next_at <= now() FROM campaigns WHERE id = :'c'), true, 'and makes room');
SELECT is(pg_temp.ends(:'c', '+15551234002', 'busy'), 'waiting busy', 'busy is tried again');
SELECT is((SELECT round(extract(epoch FROM x.next_at - now()) / 60)::int FROM campaign_members x WHERE outcome = 'busy'), 5, 'after five minutes');
SELECT is(pg_temp.ends(:'c', '+15551234003', 'completed', 'machine_start'), 'waiting machine', 'a machine is tried again');
SELECT is(pg_temp.due(:'c'), 3, 'the next three');
SELECT is(pg_temp.ends(:'c', '+15551234004', 'no-answer'), 'waiting no-answer', 'no answer is tried again'), is(pg_temp.ends(:'c', '+15551234005', 'completed'), 'done answered', 'a call without a verdict was answered');
UPDATE calls SET answered_by = 'machine_end_beep' WHERE to_number = '+15551234005';
SELECT is((SELECT x.state || ' ' || x.outcome FROM campaign_members x JOIN leads l ON l.id = x.lead_id WHERE l.phone = '+15551234005'), 'waiting machine', 'a verdict that comes after the end counts too');
UPDATE calls SET error_code = '21211', error_message = 'the number is not valid' WHERE to_number = '+15551234006';
SELECT is(pg_temp.ends(:'c', '+15551234006', 'failed'), 'given_up the number is not valid', 'a number that is none is given up');
UPDATE campaign_members x SET next_at = now() - interval '1 hour' FROM leads l WHERE l.id = x.lead_id AND l.phone = '+15551234002';
SELECT pg_temp.due(:'c') \g /dev/null
SELECT is(pg_temp.ends(:'c', '+15551234002', 'busy'), 'given_up busy', 'busy twice is enough, says the rule');

-- ---- nobody is called by two at once, nor who must not be
SELECT va_opt_out(:'tenant', '+15551234009', 'all') \g /dev/null
SELECT va_dial(lead => id) AS byhand FROM leads WHERE phone = '+15551234011' AND tenant_id = :'tenant' \gset
UPDATE campaigns SET concurrent = 100 WHERE id = :'c';
SELECT pg_temp.due(:'c') \g /dev/null
SELECT bag_eq($$SELECT l.phone::text, x.state, x.outcome FROM campaign_members x JOIN leads l ON l.id = x.lead_id WHERE l.phone IN ('+15551234009', '+15551234019', '+15551234011')$$,
	$$VALUES ('+15551234009', 'skipped', 'on the do-not-contact list'), ('+15551234019', 'skipped', 'the lead is closed_won'), ('+15551234011', 'waiting', NULL)$$, 'opted out, sold, and called by hand: none is called');
SELECT is((SELECT count(*)::int FROM (SELECT to_number FROM calls WHERE status = 'queued' GROUP BY 1 HAVING count(*) > 1) x), 0, 'nobody has two planned calls');
INSERT INTO campaigns (tenant_id, name, calls_per_minute, concurrent) VALUES (:'tenant', 'Summer', 6000, 100) RETURNING id AS c2 \gset
SELECT va_campaign_add(:'c2', array_agg(id)) FROM leads WHERE tenant_id = :'tenant' \g /dev/null
SELECT va_campaign_start(:'c2') \g /dev/null
SELECT pg_temp.due(:'c2') \g /dev/null
SELECT is((SELECT count(*)::int FROM (SELECT to_number FROM calls WHERE status = 'queued' GROUP BY 1 HAVING count(*) > 1) x), 0, 'a second campaign calls nobody whom the first is calling');

-- ---- pause, resume, stop
SELECT va_campaign_pause(:'c2', 'lunch') \g /dev/null
SELECT is((SELECT (status, why)::text FROM campaigns WHERE id = :'c2'), '(paused,lunch)', 'paused');
SELECT is((SELECT DISTINCT va_campaign_word(c.campaign_id) FROM calls c WHERE c.campaign_id = :'c2'), 'wait', 'its planned calls wait');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_campaign_pause(%L)', :'c2')), 'VA054', 'it is not paused twice');
SELECT va_campaign_resume(:'c2') \g /dev/null
SELECT is((SELECT status FROM campaigns WHERE id = :'c2'), 'running', 'resumed');
SELECT va_campaign_stop(:'c2', 'enough') \g /dev/null
SELECT is((SELECT array_agg(DISTINCT state ORDER BY state) FROM campaign_members WHERE campaign_id = :'c2' AND state NOT IN ('calling')), '{skipped}', 'stopped: nobody waits');
SELECT is((SELECT DISTINCT va_prepare_twilio_call(o) ->> 'skip' FROM outbox o JOIN calls c ON c.id = o.call_id WHERE c.campaign_id = :'c2'), 'the campaign has ended', 'planned calls are dropped');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_campaign_start(%L)', :'c2')), 'VA054', 'what has ended does not begin again');

-- ---- hours, dates, budgets
CREATE FUNCTION pg_temp.one(tenant uuid, more text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c uuid;
BEGIN
	EXECUTE format('INSERT INTO campaigns (tenant_id, name, calls_per_minute%s) VALUES (%L, ''x'', 6000%s) RETURNING id', split_part(more, '=', 1), tenant, split_part(more, '=', 2)) INTO c;
	INSERT INTO leads (tenant_id, phone) SELECT tenant, '+1555126' || lpad((10 * n + k)::text, 4, '0') FROM (SELECT count(*) + 1 AS n FROM campaigns) x, generate_series(1, 3) k;
	PERFORM va_campaign_add(c, (SELECT array_agg(id) FROM (SELECT id FROM leads WHERE phone LIKE '+1555126%' ORDER BY phone DESC LIMIT 3) l)), va_campaign_start(c);
	PERFORM pg_temp.due(c), pg_temp.due(c);
	RETURN (SELECT status || ', ' || coalesce(why, '-') || ', ' || (SELECT count(*) FROM calls k WHERE k.campaign_id = c) FROM campaigns WHERE id = c);
END $$;
SELECT is(pg_temp.one(:'tenant', more), want, what) FROM (VALUES
	(', ends_at=, now() - interval ''1 second''', 'finished, its end has come, 0', 'its end'),
	(', budget_calls=, 2', 'finished, the budget of calls is used up, 2', 'a budget of calls'),
	(', hours=, jsonb_build_object(''timezone'', ''UTC'', lower(to_char(now() AT TIME ZONE ''UTC'' + interval ''2 days'', ''FMday'')), ''[["09:00", "10:00"]]''::jsonb)', 'running, outside of its hours, 0', 'outside of its hours'),
	(', hours=, ''{"dates": {"2000-01-01": []}}''', 'running, -, 3', 'hours that say nothing of weekdays'),
	(', concurrent=, 5', 'running, -, 3', 'without any of it')) AS v (more, want, what);
SELECT is((SELECT count(*)::int FROM campaigns WHERE why = 'outside of its hours' AND next_at > now() + interval '1 hour'), 1, 'which sleeps until they come');
UPDATE campaigns SET status = 'stopped' WHERE status = 'running';
INSERT INTO campaigns (tenant_id, name, budget_minutes, calls_per_minute) VALUES (:'tenant', 'Minutes', 2, 6000) RETURNING id AS c3 \gset
SELECT va_campaign_add(:'c3', array_agg(id)) FROM leads WHERE phone IN ('+15551234012', '+15551234013') \g /dev/null
UPDATE calls SET status = 'canceled' WHERE status = 'queued';
SELECT va_campaign_start(:'c3') \g /dev/null
SELECT is(pg_temp.due(:'c3'), 2, 'two are called'), is(pg_temp.ends(:'c3', '+15551234012', 'completed', 'human'), 'done answered', 'one talks for 61 s');
SELECT pg_temp.due(:'c3') \g /dev/null
SELECT is((SELECT (status, why)::text FROM campaigns WHERE id = :'c3'), '(finished,"the budget of minutes is used up")', 'which are two minutes');
SELECT row_eq(format('SELECT people::int, done::int, calling::int, calls::int, answered::int, minutes::int FROM campaign_progress WHERE campaign_id = %L', :'c3'), ROW(2, 1, 1, 1, 1, 2), 'how far it is');

-- everybody was called; joining while it runs
INSERT INTO campaigns (tenant_id, name, audience, refresh, calls_per_minute) VALUES (:'tenant', 'Joins', '{"source": "fair"}', true, 6000), (:'tenant', 'Ends', '{"source": "fair"}', false, 6000);
SELECT id AS joins FROM campaigns WHERE name = 'Joins' \gset
SELECT id AS ends FROM campaigns WHERE name = 'Ends' \gset
SELECT va_campaign_start(:'joins'), va_campaign_start(:'ends') \g /dev/null
SELECT pg_temp.due(:'joins'), pg_temp.due(:'ends') \g /dev/null
SELECT is((SELECT (status, why)::text FROM campaigns WHERE id = :'ends'), '(finished,"everybody was called")', 'nobody is left');
INSERT INTO leads (tenant_id, phone, source) VALUES (:'tenant', '+15551239999', 'fair');
UPDATE campaigns SET refreshed_at = now() - interval '2 minutes' WHERE id = :'joins';
SELECT is(pg_temp.due(:'joins'), 1, 'who comes to fit is called');

-- an error of one campaign pauses it and no other
INSERT INTO leads (tenant_id, phone, source) VALUES (:'tenant', '+15551239998', 'fair');
UPDATE campaigns SET refreshed_at = now() - interval '2 minutes' WHERE id = :'joins';
UPDATE phone_numbers SET is_active = false WHERE tenant_id = :'tenant';
SET client_min_messages = error;
SELECT pg_temp.due(:'joins') \g /dev/null
SELECT is((SELECT (status, why)::text FROM campaigns WHERE id = :'joins'), '(paused,"the tenant has no number to call from")', 'a campaign that cannot go on is paused, and says why');
UPDATE phone_numbers SET is_active = true WHERE tenant_id = :'tenant';
SELECT is(va_campaigns_next() IS NULL, true, 'nothing is due any more');

SET ROLE voiceagent_agent;
SELECT set_config('voiceagent.tenant_id', :'stranger', false) \g /dev/null
SELECT is((SELECT count(*)::int FROM campaigns), 0, 'a tenant sees its own campaigns'), is(pg_temp.sqlstate_of(format('SELECT va_campaign_start(%L)', :'c')), 'VA052', 'and starts no other'), is(pg_temp.sqlstate_of(format('SELECT va_campaign_add(%L, ''{}'')', :'c')), 'VA052', 'nor fills it');
RESET ROLE;
SELECT * FROM finish();
