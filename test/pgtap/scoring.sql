-- Scoring: the specification's weights and thresholds, loose qualification data, a tenant's criteria, engagement, and the
-- trigger that keeps a lead's score and temperature true.
\ir setup.psql
SELECT no_plan();
CREATE FUNCTION pg_temp.plan(q text) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || q; END $$;
SELECT pg_temp.tenant('+15551230002') AS tenant, pg_temp.tenant('+15551230003') AS other_tenant \gset
SELECT setseed(0.42) \g /dev/null

-- ---- the specification's figures
SELECT is(weight, w, signal || ' weighs ' || w), is(signal, name, 'in this order')
FROM va_lead_score_explain('{}'::jsonb) WITH ORDINALITY AS e (signal, value, weight, contribution, source, n)
JOIN (VALUES (1, 'budget_mentioned', 0.25::float8), (2, 'decision_maker', 0.20), (3, 'clear_need', 0.25), (4, 'timeline_urgent', 0.20), (5, 'engagement_score', 0.10)) AS x (place, name, w) ON place = n;
SELECT is(va_lead_score(jsonb_build_object(name, 1)), w, 'only ' || name || ': ' || w)
FROM (VALUES ('budget_mentioned', 0.25::float8), ('decision_maker', 0.20), ('clear_need', 0.25), ('timeline_urgent', 0.20), ('engagement_score', 0.10)) AS x (name, w);
SELECT is(va_lead_score('{"budget_mentioned": 1, "decision_maker": 1, "clear_need": 1, "timeline_urgent": 1, "engagement_score": 1}'), 1::float8, 'everything is 1'), is(va_lead_score('{}'), 0::float8, 'nothing is 0');
SELECT is(va_lead_temperature(d::jsonb), t, format('%s: %s', s, t)), is(va_lead_score(d::jsonb), s, d)
FROM (VALUES (0.75::float8, 'hot', '{"budget_mentioned": 1, "clear_need": 1, "decision_maker": 1, "timeline_urgent": 0.25}'), (0.749, 'warm', '{"budget_mentioned": 1, "clear_need": 1, "decision_maker": 1, "timeline_urgent": 0.245}'),
	(0.45, 'warm', '{"budget_mentioned": 1, "decision_maker": 1}'), (0.449, 'cold', '{"budget_mentioned": 0.996, "decision_maker": 1}'), (0, 'cold', '{}'), (1, 'hot', '{"budget_mentioned": true, "clear_need": "yes", "decision_maker": "1.0", "timeline_urgent": 1e0, "engagement_score": "TRUE"}')) AS x (s, t, d);

-- ---- what data may look like
SELECT is(va_lead_score(d::jsonb), s, 'data ' || coalesce(d, 'NULL')) FROM (VALUES (NULL, 0::float8), ('null', 0), ('{"budget_mentioned": null}', 0), ('{"budget_mentioned": ""}', 0), ('{"budget_mentioned": "0.8"}', 0.2), ('{"budget_mentioned": false}', 0),
	('{"budget": 450000}', 0.25), ('{"budget": "500k"}', 0.25), ('{"budget": "four hundred thousand"}', 0.25), ('{"budget": 0}', 0), ('{"budget": {"min": 1, "max": 2}}', 0.25), ('{"budget": {}}', 0), ('{"budget": 1e400}', 0.25), ('{"need": "a house"}', 0.25), ('{"need": []}', 0), ('{"need": ["a", {"b": [null]}]}', 0.25),
	('{"timeline": "within two months"}', 0.14), ('{"timeline": "as soon as possible"}', 0.2), ('{"timeline": "next year"}', 0.04), ('{"timeline": [1]}', 0), ('{"authority": "together with my wife"}', 0.1), ('{"decision_maker": true}', 0.2), ('{"budget_mentioned": 0, "budget": 450000}', 0), ('{"bedrooms": 3, "x": {"budget": 5}}', 0),
	('{"budget": 450000, "need": "a house with three bedrooms in downtown", "bedrooms": 3, "location": "downtown", "timeline": "within two months", "decision_maker": true}', 0.84)) AS x (d, s);
SELECT throws_ok(format('SELECT va_lead_score(%L)', d), 'VA021', m, 'refused: ' || d) FROM (VALUES ('{"clear_need": 80}', 'invalid qualification data: clear_need must be between 0 and 1, not 80'), ('{"clear_need": "80%"}', 'invalid qualification data: clear_need must be between 0 and 1: the string is no such number'), ('{"clear_need": "NaN"}', 'invalid qualification data: clear_need must be between 0 and 1: the string is no such number'),
	('{"decision_maker": [1]}', 'invalid qualification data: decision_maker must be a number from 0 to 1, true, false or null, not an array'), ('{"timeline_urgent": {"a": {}}}', 'invalid qualification data: timeline_urgent must be a number from 0 to 1, true, false or null, not an object'), ('{"engagement_score": 1e400}', 'invalid qualification data: engagement_score must be between 0 and 1, not inf'), ('[]', 'qualification data must be a JSON object'), ('5', 'qualification data must be a JSON object')) AS x (d, m);
SELECT is(array_agg(source ORDER BY signal), ARRAY['budget', 'need', 'decision_maker', NULL, 'timeline_urgent'], 'each part says where it comes from')
FROM va_lead_score_explain('{"budget": 5, "need": "x", "decision_maker": true, "timeline_urgent": 0.5, "timeline": "asap"}'::jsonb);
SELECT is(round(sum(contribution)::numeric, 8), round(va_lead_score('{"budget": 5, "timeline": "in 3 weeks", "clear_need": 0.3}')::numeric, 8), 'the contributions add up') FROM va_lead_score_explain('{"budget": 5, "timeline": "in 3 weeks", "clear_need": 0.3}'::jsonb);

-- ---- criteria
SELECT is(va_lead_score(d::jsonb, c::jsonb), s, 'criteria ' || c) FROM (VALUES ('{"budget_mentioned": 1}', '{"budget_mentioned": 0.5}', 0.4::float8), ('{"budget_mentioned": 1}', '{"budget_mentioned": 1, "decision_maker": 0, "clear_need": 0, "timeline_urgent": 0, "engagement_score": 0}', 1), ('{"budget_mentioned": 1}', '{}', 0.25), ('{"budget_mentioned": 1}', 'null', 0.25)) AS x (d, c, s);
SELECT is(va_lead_temperature('{"budget_mentioned": 1}', c::jsonb), t, format('%s: %s', c, t)) FROM (VALUES ('{"hot": 0.25, "warm": 0.1}', 'hot'), ('{"hot_lead_threshold": 0.26, "warm_lead_threshold": 0.25}', 'warm'), ('{"cold": 0}', 'cold')) AS x (c, t);
SELECT throws_ok(format('SELECT va_lead_score(NULL, %L)', c), 'VA022', m, 'refused: ' || c) FROM (VALUES ('{"hott": 0.9}', 'invalid qualification criteria: unknown criterion "hott"'), ('{"hot": "0.9"}', 'invalid qualification criteria: hot must be a number, not a string'), ('{"hot": 1.1}', 'invalid qualification criteria: the threshold "hot" must be between 0 and 1, not 1.1'), ('{"clear_need": -1}', 'invalid qualification criteria: the weight of clear_need must be between 0 and 1000, not -1'),
	('{"hot": 0.4}', 'invalid qualification criteria: the threshold "hot" (0.4) must be above "warm" (0.45)'), ('{"cold": 0.1}', 'invalid qualification criteria: the threshold "cold" is always 0'), ('[]', 'qualification criteria must be a JSON object')) AS x (c, m);

-- ---- properties: random data, random criteria
CREATE TEMP TABLE random_data AS
SELECT n, jsonb_build_object('budget_mentioned', random(), 'decision_maker', random(), 'clear_need', random(), 'timeline_urgent', random(), 'engagement_score', random())
	- (ARRAY['budget_mentioned', 'decision_maker', 'clear_need', 'timeline_urgent', 'engagement_score'])[1 + (random() * 9)::int] AS d,
	jsonb_build_object('budget_mentioned', random() * 10, 'decision_maker', random() * 10, 'clear_need', random() * 10, 'timeline_urgent', random() * 10 + 0.1, 'engagement_score', random(), 'hot', 0.5 + random() / 2, 'warm', random() / 2.1) AS c
FROM generate_series(1, 2000) n;
SELECT is(count(*)::int, 0, 'the score is from 0 to 1') FROM random_data WHERE va_lead_score(d, c) NOT BETWEEN 0 AND 1 OR va_lead_score(d) NOT BETWEEN 0 AND 1;
SELECT is(count(*)::int, 0, 'more of a signal never gives less') FROM random_data, unnest(ARRAY['budget_mentioned', 'decision_maker', 'clear_need', 'timeline_urgent', 'engagement_score']) s
WHERE va_lead_score(d || jsonb_build_object(s, coalesce((d ->> s)::float8, 0) + random() * (1 - coalesce((d ->> s)::float8, 0))), c) < va_lead_score(d, c);
SELECT is(count(*)::int, 0, 'the temperature is that of the score') FROM random_data
WHERE va_lead_temperature(d, c) IS DISTINCT FROM CASE WHEN va_lead_score(d, c) >= (c ->> 'hot')::float8 THEN 'hot' WHEN va_lead_score(d, c) >= (c ->> 'warm')::float8 THEN 'warm' ELSE 'cold' END
  AND abs(va_lead_score(d, c) - (c ->> 'hot')::float8) > 1e-8 AND abs(va_lead_score(d, c) - (c ->> 'warm')::float8) > 1e-8;
SELECT is(count(*)::int, 0, 'the parts are the score') FROM random_data WHERE abs(va_lead_score(d, c) - (SELECT sum(contribution) FROM va_lead_score_explain(d, c))) > 1e-7;

-- ---- the trigger
INSERT INTO leads (tenant_id, qualification_data) VALUES (:'tenant', '{"budget": 5, "need": "x", "authority": "I decide", "timeline": "asap"}') RETURNING id AS lead \gset
SELECT row_eq(format('SELECT lead_score, lead_temperature::text FROM leads WHERE id = %L', :'lead'), ROW(0.9::float8, 'hot'::text), 'a new lead is scored');
UPDATE leads SET qualification_data = '{"budget": 5, "decision_maker": true}' WHERE id = :'lead';
SELECT row_eq(format('SELECT lead_score, lead_temperature::text FROM leads WHERE id = %L', :'lead'), ROW(0.45::float8, 'warm'::text), 'so is a changed one');
UPDATE leads SET lead_score = 1, lead_temperature = 'hot' WHERE id = :'lead';
SELECT row_eq(format('SELECT lead_score, lead_temperature::text FROM leads WHERE id = %L', :'lead'), ROW(0.45::float8, 'warm'::text), 'what anybody else writes there is replaced');
SELECT throws_ok(format($$UPDATE leads SET qualification_data = '{"clear_need": 5}' WHERE id = %L$$, :'lead'), 'VA021', NULL, 'wrong data are refused');
SELECT throws_ok(format($$INSERT INTO leads (tenant_id, qualification_data) VALUES (%L, '[1]')$$, :'tenant'), 'VA021', NULL, 'and no object');
INSERT INTO leads (qualification_data) VALUES ('{"budget": 1}'), (NULL);
SELECT is((SELECT array_agg(lead_score ORDER BY lead_score) FROM leads WHERE tenant_id IS NULL), ARRAY[0, 0.25]::float8[], 'without a tenant the product''s criteria hold, and no data are 0');

-- ---- a tenant's criteria: its leads and no others
INSERT INTO leads (tenant_id, qualification_data) SELECT t, d FROM random_data, unnest(ARRAY[:'tenant', :'other_tenant']::uuid[]) t WHERE n <= 300;
CREATE TEMP VIEW wrong AS SELECT l.* FROM leads l LEFT JOIN tenants t ON t.id = l.tenant_id
WHERE (lead_score, lead_temperature) IS DISTINCT FROM (va_lead_score(l.qualification_data, va_lead_criteria(t.id)), va_lead_temperature(l.qualification_data, va_lead_criteria(t.id)));
SELECT is((SELECT count(*)::int FROM wrong), 0, 'all scores are true');
UPDATE tenants SET settings = settings || '{"qualification_criteria": {"budget_mentioned": 3, "engagement_score": 0}, "hot_lead_threshold": 0.9}' WHERE id = :'tenant';
SELECT is((SELECT count(*)::int FROM wrong), 0, 'other criteria: all scores are true');
SELECT isnt((SELECT array_agg(lead_score ORDER BY qualification_data, id) FROM leads WHERE tenant_id = :'tenant' AND id <> :'lead'), (SELECT array_agg(lead_score ORDER BY qualification_data, id) FROM leads WHERE tenant_id = :'other_tenant'), 'and differ from another tenant''s');
SELECT is(va_lead_criteria(:'tenant'), '{"budget_mentioned": 3, "engagement_score": 0, "hot_lead_threshold": 0.9}', 'the tenant''s criteria as they count');
INSERT INTO leads (tenant_id, qualification_data) VALUES (:'tenant', '{"budget": 1}');
SELECT is((SELECT count(*)::int FROM wrong), 0, 'new leads as well');
BEGIN;
UPDATE tenants SET settings = settings || '{"hot_lead_threshold": 0.5}' WHERE id = :'tenant';
INSERT INTO leads (tenant_id, qualification_data) VALUES (:'tenant', '{"budget": 1}');
SELECT is((SELECT count(*)::int FROM wrong), 0, 'within the transaction that changes them too');
SAVEPOINT s;
UPDATE tenants SET settings = settings || '{"hot_lead_threshold": 0.55}' WHERE id = :'tenant';
INSERT INTO leads (tenant_id, qualification_data) VALUES (:'tenant', '{"budget": 1, "need": "x"}');
ROLLBACK TO s;
INSERT INTO leads (tenant_id, qualification_data) VALUES (:'tenant', '{"budget": 1, "need": "x"}');
SELECT is((SELECT count(*)::int FROM wrong), 0, 'and when a part of it is rolled back');
ROLLBACK;
INSERT INTO leads (tenant_id, qualification_data) VALUES (:'tenant', '{"budget": 1, "need": "x"}');
SELECT is((SELECT count(*)::int FROM wrong), 0, 'and rolled back, the old ones hold');
INSERT INTO settings VALUES ('warm_lead_threshold', '0.2');
SELECT is((SELECT count(*)::int FROM wrong), 0, 'the platform''s hold where the tenant says nothing'), is((SELECT va_lead_criteria(:'other_tenant')), '{"warm_lead_threshold": 0.2}', 'for every tenant');
SELECT throws_ok($$UPDATE settings SET value = '0.95' WHERE name = 'warm_lead_threshold'$$, 'VA022', NULL, 'unless a tenant''s would make no sense with them');
DELETE FROM settings WHERE name = 'warm_lead_threshold';
SELECT is((SELECT count(*)::int FROM wrong), 0, 'taken back');
SELECT throws_ok(format('UPDATE tenants SET settings = %L', s), c, NULL, 'refused: ' || s) FROM (VALUES ('{"qualification_criteria": []}', 'VA009'), ('{"qualification_criteria": {"budget": 1}}', 'VA009'), ('{"hot_lead_threshold": "high"}', 'VA009'), ('{"warm_lead_threshold": 0.8}', 'VA022')) AS x (s, c);
SELECT throws_ok($$INSERT INTO settings VALUES ('qualification_criteria', '5')$$, 'VA009', NULL, 'refused: a platform setting that is no object');

-- ---- engagement comes from what happened
INSERT INTO leads (tenant_id, first_name) VALUES (:'tenant', 'Engaged') RETURNING id AS e \gset
INSERT INTO calls (tenant_id, lead_id, direction, status, started_at, transcript) VALUES (:'tenant', :'e', 'inbound', 'in-progress', now() - interval '3 minutes',
	'[{"role": "user", "text": "a"}, {"role": "agent", "text": "b"}, {"role": "user", "text": "c"}, {"role": "user", "text": "d"}, {"role": "user", "text": "e"}, {"role": "user", "text": "f"}]') RETURNING id AS call \gset
SELECT is((SELECT engagement_score FROM leads WHERE id = :'e'), NULL, 'a call under way is no engagement yet');
UPDATE calls SET status = 'completed', ended_at = now(), duration_seconds = 150 WHERE id = :'call';
SELECT is((SELECT engagement_score FROM leads WHERE id = :'e'), 0.270833333::float8, 'one call of 150 s with 5 turns');
SELECT row_eq(format('SELECT calls, seconds, turns, messages, replies FROM va_lead_activity(%L)', :'e'), ROW(1::bigint, 150::bigint, 5::bigint, 0::bigint, 0::bigint), 'as counted');
INSERT INTO notifications (tenant_id, lead_id, channel, direction, status) SELECT :'tenant', :'e', 'sms', 'inbound', 'received' FROM generate_series(1, 5);
SELECT is((SELECT engagement_score FROM leads WHERE id = :'e'), 0.635416667::float8, 'and five messages');
INSERT INTO notifications (tenant_id, lead_id, channel, direction, status, sent_at) VALUES (:'tenant', :'e', 'sms', 'outbound', 'sent', now() - interval '1 hour');
INSERT INTO notifications (tenant_id, lead_id, channel, direction, status) VALUES (:'tenant', :'e', 'email', 'inbound', 'received');
SELECT row_eq(format('SELECT messages, replies FROM va_lead_activity(%L)', :'e'), ROW(6::bigint, 5::bigint), 'messages on the channel of ours are replies');
SELECT ok((SELECT engagement_score FROM leads WHERE id = :'e') > 0.9, 'which count more');
SELECT row_eq(format($$SELECT round(value::numeric, 6), source FROM va_lead_score_explain(%L::uuid) WHERE signal = 'engagement_score'$$, :'e'), ROW((SELECT round(engagement_score::numeric, 6) FROM leads WHERE id = :'e'), 'calls and messages'::text), 'the explanation says so');
SELECT is((SELECT round(sum(contribution)::numeric, 7) FROM va_lead_score_explain(:'e'::uuid)), (SELECT round(lead_score::numeric, 7) FROM leads WHERE id = :'e'), 'and adds up to the lead''s score');
UPDATE tenants SET settings = settings - 'qualification_criteria' WHERE id = :'tenant';
SELECT is((SELECT lead_score FROM leads WHERE id = :'e'), (SELECT round((engagement_score * 0.1)::numeric, 9)::float8 FROM leads WHERE id = :'e'), 'engagement weighs 0.10');
INSERT INTO calls (tenant_id, lead_id, direction, status) SELECT :'tenant', :'e', 'outbound', 'ringing' RETURNING id AS missed \gset
UPDATE calls SET status = 'no-answer' WHERE id = :'missed';
SELECT is((SELECT calls FROM va_lead_activity(:'e')), 1::bigint, 'a call that nobody took does not count');
SELECT is(va_bant_engagement(3, 600, 20, 0, 0, 0), 1::float8, 'a caller alone can reach 1'), is(va_bant_engagement(0, 0, 0, 5, 3, 7), 1::float8, 'a writer too'), is(va_bant_engagement(3, 600, 20, 5, 3, 37), 0.5::float8, 'half after 37 days'), is(va_bant_engagement(0, 0, 0, 0, 0, 'NaN'), 0::float8, 'nothing is nothing');

-- it fades with the days, also when nothing happens: the housekeeping counts anew what was counted a day ago
INSERT INTO leads (tenant_id, first_name, status, qualification_data) SELECT :'tenant', 'Fading ' || s, s, '{"budget": 1, "need": "x"}' FROM unnest(ARRAY['new', 'qualified', 'closed_won', 'archived']) s;
INSERT INTO notifications (tenant_id, lead_id, channel, direction, status, created_at) SELECT :'tenant', l.id, 'sms', 'inbound', 'received', now() - interval '37 days' FROM leads l, generate_series(1, 5) WHERE first_name LIKE 'Fading%';
ALTER TABLE leads DISABLE TRIGGER leads_touch;
UPDATE leads SET engagement_score = 0.5, engaged_at = now() - interval '30 days', updated_at = now() - interval '30 days' WHERE first_name LIKE 'Fading%';
ALTER TABLE leads ENABLE TRIGGER leads_touch;
SELECT is(va_engagement_fade(1), 1, 'in portions'), is(va_engagement_fade(), 1, 'the rest'), is(va_engagement_fade(), 0, 'once a day');
SELECT is((SELECT array_agg(first_name || ' ' || round(engagement_score::numeric, 3) ORDER BY first_name) FROM leads WHERE first_name LIKE 'Fading%'), '{"Fading archived 0.500","Fading closed_won 0.500","Fading new 0.250","Fading qualified 0.250"}', 'open leads have faded, closed ones stay'), is((SELECT count(*)::int FROM leads WHERE first_name LIKE 'Fading%' AND lead_score = va_bant_score(qualification_data, engagement_score, va_lead_criteria(tenant_id))), 4, 'and the score with them');
SELECT is((SELECT count(*)::int FROM leads WHERE first_name LIKE 'Fading%' AND updated_at > now() - interval '1 day'), 0, 'nobody has touched them');
UPDATE leads SET company_name = 'x' WHERE first_name = 'Fading new';
SELECT ok((SELECT updated_at > now() - interval '1 minute' FROM leads WHERE first_name = 'Fading new'), 'until somebody does');
UPDATE leads SET engaged_at = now() - interval '2 days' WHERE first_name = 'Fading new';
SELECT va_housekeeping() \g /dev/null
SELECT ok((SELECT engaged_at > now() - interval '1 minute' FROM leads WHERE first_name = 'Fading new'), 'housekeeping does it');
SELECT matches((SELECT string_agg(e, ' ') FROM pg_temp.plan($$SELECT l.id FROM leads l WHERE l.engagement_score > 0 AND l.status IN ('new', 'qualified', 'contacted', 'meeting_scheduled') AND l.engaged_at < now() - interval '1 day' ORDER BY l.engaged_at LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED$$) e), 'idx_leads_fading', 'by an index of its own');
-- criteria changed beside a writer: see the isolation test; here the book-keeping
DELETE FROM criteria_rechecks;
UPDATE tenants SET settings = settings || '{"hot_lead_threshold": 0.8}' WHERE id = :'tenant';
SELECT is((SELECT count(*)::int FROM criteria_rechecks WHERE settled_from IS NULL), 1, 'a change of criteria is noted');
ALTER TABLE leads DISABLE TRIGGER leads_score;
UPDATE leads SET lead_score = 0.99 WHERE id = :'e';
ALTER TABLE leads ENABLE TRIGGER leads_score;
SELECT is(va_criteria_recheck(), 0::bigint, 'looked at'), is((SELECT count(*)::int FROM criteria_rechecks WHERE settled_from IS NULL), 1, 'noted'), is(va_criteria_recheck(), 1::bigint, 'the writers of that time have ended: scored again'), is((SELECT count(*)::int FROM wrong WHERE first_name LIKE 'Fading%' AND engagement_score IS NULL), 0, 'rightly');
SELECT is((SELECT count(*)::int FROM criteria_rechecks), 0, 'and done with');
INSERT INTO criteria_rechecks (tenant_id, settled_from) VALUES (:'tenant', '9223372036854775807');
SELECT va_criteria_recheck() \g /dev/null
SELECT is((SELECT count(*)::int FROM criteria_rechecks), 0, 'a number from before a dump is not waited for');
UPDATE tenants SET settings = settings - 'hot_lead_threshold' WHERE id = :'tenant';

-- ---- monotone in each signal, for random criteria and data
SELECT setseed(0.77) \g /dev/null
CREATE TEMP TABLE rises AS SELECT s.signal, data, criteria, low, low + random() * (1 - low) AS high FROM generate_series(1, 400) n, LATERAL (SELECT (ARRAY['budget_mentioned', 'decision_maker', 'clear_need', 'timeline_urgent', 'engagement_score'])[1 + n % 5] AS signal, random() AS low,
	(SELECT jsonb_object_agg(k, random()) FROM unnest(ARRAY['budget_mentioned', 'decision_maker', 'clear_need', 'timeline_urgent', 'engagement_score']) k WHERE random() < 0.7 OR k = '' OR n > 0 AND k = 'clear_need') AS data,
	(SELECT jsonb_object_agg(k, 0.01 + random() * 9) FROM unnest(ARRAY['budget_mentioned', 'decision_maker', 'clear_need', 'timeline_urgent', 'engagement_score']) k) AS criteria) s;
SELECT is((SELECT count(*)::int FROM rises WHERE va_lead_score(data || jsonb_build_object(signal, high), criteria) < va_lead_score(data || jsonb_build_object(signal, low), criteria)), 0, 'a higher signal never gives a lower score'), cmp_ok((SELECT count(*)::int FROM rises WHERE va_lead_score(data || jsonb_build_object(signal, high), criteria) > va_lead_score(data || jsonb_build_object(signal, low), criteria)), '>', 300, 'and mostly a higher one'),
	is((SELECT count(*)::int FROM rises WHERE va_lead_score(data, criteria) NOT BETWEEN 0 AND 1), 0, 'always from 0 to 1');

-- ---- whose are they
SELECT throws_ok('SELECT * FROM va_lead_score_explain(NULL::uuid)', 'VA020', NULL, 'no lead'), throws_ok('SELECT * FROM va_lead_score_explain(gen_random_uuid())', 'VA020', NULL, 'an unknown lead');
DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %s TO PUBLIC', pg_my_temp_schema()::regnamespace); END $$;
SELECT set_config('voiceagent.tenant_id', :'other_tenant', false) \g /dev/null
SET ROLE voiceagent_agent;
SELECT is(pg_temp.sqlstate_of(format('SELECT * FROM va_lead_score_explain(%L::uuid)', :'e')), 'VA020', 'another tenant''s lead is unknown');
SELECT lives_ok(format($$INSERT INTO leads (tenant_id, qualification_data) VALUES (%L, '{"budget": 1}')$$, :'other_tenant'), 'an application''s leads are scored, though it cannot read the platform''s settings');
SELECT is(va_lead_score('{"budget": 1}'), 0.25::float8, 'it may ask for scores');
RESET ROLE;
SELECT * FROM finish();
