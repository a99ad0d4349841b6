-- The outbox: every function, state and right; retry, back-off, limits and breakers, without a dispatcher.
\ir setup.psql
SELECT no_plan();
SELECT pg_temp.tenant('+15551230002') AS mine, pg_temp.tenant('+15551230003') AS theirs \gset
INSERT INTO settings VALUES ('sink_url', '"http://127.0.0.1:1/sink"');
DELETE FROM outbox;

-- A dispatcher by hand.
CREATE TABLE pg_temp.dispatcher (name text, instance text, no bigint);
INSERT INTO pg_temp.dispatcher VALUES ('dp-t', 'dp-t/1', 0);
CREATE FUNCTION pg_temp.claim(live int DEFAULT 100, bulk int DEFAULT 100, busy jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE d record; BEGIN
	UPDATE pg_temp.dispatcher x SET no = x.no + 1 RETURNING * INTO d;
	RETURN va_outbox_claim(d.name, d.instance, d.no, live, bulk, busy); END $$;
-- Claims and says of each what became of it; returns the keys.
CREATE FUNCTION pg_temp.work(verdict jsonb, live int DEFAULT 100, bulk int DEFAULT 100) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE v_jobs jsonb := pg_temp.claim(live, bulk) -> 'jobs'; BEGIN
	PERFORM va_outbox_settle((SELECT instance FROM pg_temp.dispatcher),
		(SELECT coalesce(jsonb_agg(jsonb_build_object('id', j -> 'id', 'attempt', j -> 'attempt') || verdict), '[]') FROM jsonb_array_elements(v_jobs) j));
	RETURN (SELECT coalesce(array_agg(j ->> 'key' ORDER BY j ->> 'key'), '{}') FROM jsonb_array_elements(v_jobs) j); END $$;
CREATE FUNCTION pg_temp.keys(p jsonb) RETURNS text[] LANGUAGE sql AS $$ SELECT coalesce(array_agg(j ->> 'key' ORDER BY j ->> 'key'), '{}') FROM jsonb_array_elements(p -> 'jobs') j $$;
-- "state attempts" of a row wherever it is.
CREATE FUNCTION pg_temp.at(k text) RETURNS text LANGUAGE sql AS $$
	SELECT state || ' ' || attempts FROM outbox WHERE attempt_key = k UNION ALL SELECT outcome || ' ' || attempts FROM outbox_history WHERE attempt_key = k
	UNION ALL SELECT 'dead:' || outcome || ' ' || attempts FROM outbox_dead WHERE attempt_key = k $$;
CREATE FUNCTION pg_temp.due(k text) RETURNS void LANGUAGE sql AS $$ UPDATE outbox SET run_at = now() WHERE attempt_key = k $$;
CREATE FUNCTION pg_temp.id(k text) RETURNS bigint LANGUAGE sql AS $$
	SELECT id FROM outbox WHERE attempt_key = k UNION ALL SELECT id FROM outbox_history WHERE attempt_key = k UNION ALL SELECT id FROM outbox_dead WHERE attempt_key = k $$;

-- ---- adding
SELECT va_outbox_add(:'mine', 'sink.post', 'a') AS a \gset
SELECT is(va_outbox_add(:'mine', 'sink.post', 'a', '{"other": 1}'), :a::bigint, 'the same key is the same effect');
SELECT is((SELECT payload FROM outbox WHERE id = :a), '{}'::jsonb, 'and the first one holds');
SELECT isnt(va_outbox_add(:'theirs', 'sink.post', 'a'), :a::bigint, 'not another tenant''s'), isnt(va_outbox_add(:'mine', 'sink.put', 'a'), :a::bigint, 'nor another kind''s');
SELECT is(va_outbox_add(NULL, 'sink.post', 'p'), va_outbox_add(NULL, 'sink.post', 'p'), 'nor does the platform have two of a key');
SELECT is(pg_temp.sqlstate_of($$SELECT va_outbox_add(NULL, 'no.such', 'x')$$), 'VA040', 'an unknown kind'), is(pg_temp.sqlstate_of($$SELECT va_outbox_add(NULL, 'sink.post', '')$$), '23514', 'a key without anything'),
	is(pg_temp.sqlstate_of($$SELECT va_outbox_add(NULL, 'sink.post', 'x', '[]')$$), '23514', 'a payload that is no object'), is(pg_temp.sqlstate_of($$SELECT va_outbox_add(NULL, 'sink.post', 'x', lane => 'fast')$$), '23514', 'an unknown lane');
SELECT va_outbox_add(:'mine', 'sink.post', 'later', run_at => now() + interval '1 hour') \g /dev/null
SELECT is(pg_temp.at('later'), 'later 0', 'not before its time'), is((SELECT lane FROM outbox WHERE attempt_key = 'later'), 'bulk', 'the kind''s lane');

-- ---- beginning and claiming
SELECT is(pg_temp.sqlstate_of('SELECT pg_temp.claim()'), 'VA041', 'who has not begun claims nothing');
SELECT is(va_outbox_begin('dp-t', 'dp-t/1'), 0, 'begun'), is(va_outbox_begin('dp-t', 'dp-t/1'), 0, 'twice is once');
SELECT pg_temp.claim() AS c \gset
SELECT is(jsonb_array_length(:'c'::jsonb -> 'jobs'), 4, 'what is due is claimed'), is(pg_temp.keys(:'c'), ARRAY['a', 'a', 'a', 'p'], 'and nothing else');
SELECT is((SELECT j - 'id' - 'queue' FROM jsonb_array_elements(:'c'::jsonb -> 'jobs') j WHERE (j -> 'id')::bigint = :a), jsonb_build_object('attempt', 1, 'tenant', :'mine', 'kind', 'sink.post', 'key', 'a', 'lane', 'bulk', 'look', false, 'repeatable', false, 'timeout_ms', 30000,
	'request', '{"base_url": "http://127.0.0.1:1/sink", "path": "/post", "body": {}, "tenant_url": false}'::jsonb), 'with all the dispatcher needs');
SELECT is(pg_temp.at('p'), 'leased 1', 'the attempt is on record'), ok((SELECT bool_and(leased_by = 'dp-t/1' AND lease_until > now() + interval '50 seconds' AND started_at IS NOT NULL) FROM outbox WHERE state = 'leased'), 'with whose it is, since when and until when');
SELECT is(va_outbox_claim('dp-t', 'dp-t/1', (SELECT no FROM pg_temp.dispatcher), 100, 100)::jsonb -> 'jobs', :'c'::jsonb -> 'jobs', 'the same claim again brings the same, and no second attempt');
SELECT is(pg_temp.claim() -> 'jobs', '[]', 'the next brings nothing');
SELECT ok((pg_temp.claim() ->> 'next_ms')::int BETWEEN 3590000 AND 3600000, 'but says when something will be due');
SELECT is(:'c'::jsonb -> 'more', 'false', 'who got everything sleeps'), ok((:'c'::jsonb ->> 'next_ms')::int BETWEEN 3590000 AND 3600000, 'and knows for how long');
BEGIN;
SELECT va_outbox_claim('dp-t', 'dp-t/1', 1000, 100, 100) \g /dev/null
SELECT pg_current_xact_id_if_assigned() IS NULL AS unwritten \gset
COMMIT;
SELECT ok(:'unwritten', 'a claim that finds nothing writes nothing');
SELECT is(pg_temp.sqlstate_of($$SELECT va_outbox_claim('dp-t', 'dp-t/0', 1, 1, 1)$$), 'VA041', 'another run of the name has no say');

-- ---- done
SELECT is(va_outbox_settle('dp-t/0', jsonb_build_array(jsonb_build_object('id', :a, 'attempt', 1, 'outcome', 'done'))), 0, 'a verdict of another run does not count'), is(va_outbox_settle('dp-t/1', jsonb_build_array(jsonb_build_object('id', :a, 'attempt', 2, 'outcome', 'done'))), 0, 'nor of another attempt');
SELECT is(va_outbox_settle('dp-t/1', (SELECT jsonb_agg(jsonb_build_object('id', id, 'attempt', 1, 'outcome', 'done', 'result', '{"sid": "x"}'::jsonb)) FROM outbox WHERE state = 'leased')), 4, 'settled');
SELECT is(va_outbox_settle('dp-t/1', jsonb_build_array(jsonb_build_object('id', :a, 'attempt', 1, 'outcome', 'done'))), 0, 'once');
SELECT is((SELECT outcome || attempts || result::text FROM outbox_history WHERE id = :a), 'done1{"sid": "x"}', 'the history has it'), is((SELECT count(*)::int FROM outbox WHERE attempt_key <> 'later'), 0, 'the hot table has not');
SELECT is(va_outbox_add(:'mine', 'sink.post', 'a'), :a::bigint, 'added again when it is over, it stays the first'), is(va_outbox_add(NULL, 'sink.post', 'p'), pg_temp.id('p'), 'the platform''s too'), is((SELECT count(*)::int FROM outbox), 1, 'and nothing is left to do');
SELECT is((SELECT count(*)::int FROM outbox_attempts), 0, 'a first attempt that succeeds needs no row of its own');

SELECT va_outbox_add(:'mine', 'sink.post', 'seen') \g /dev/null
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT va_outbox_add(:'mine', 'sink.post', 'unseen') \g /dev/null
COMMIT;
SELECT is((SELECT array_agg(attempt_key ORDER BY attempt_key) FROM outbox WHERE known_new AND state = 'ready'), '{seen}', 'who sees the history says that he has looked');
SELECT is(pg_temp.work('{"outcome": "done"}'), ARRAY['seen', 'unseen'], 'both are attempted');
INSERT INTO outbox (tenant_id, kind, attempt_key, lane) VALUES (:'mine', 'sink.post', 'a', 'bulk');
SELECT is(pg_temp.keys(pg_temp.claim()), '{}', 'what a transaction added that could not see it is not attempted');
SELECT is((SELECT count(*)::int FROM outbox WHERE attempt_key = 'a'), 0, 'and gone');
SELECT va_outbox_settle('dp-t/1', '[]') \g /dev/null

-- ---- lanes and fairness
SELECT va_outbox_add(:'mine', 'sink.post', 'bulk' || n) FROM generate_series(1, 20) n \g /dev/null
SELECT va_outbox_add(:'theirs', 'sink.post', 'fair' || n) FROM generate_series(1, 3) n \g /dev/null
SELECT va_outbox_add(:'mine', 'sink.post', 'live', lane => 'live') \g /dev/null
SELECT is(pg_temp.keys(pg_temp.claim(1, 0)), ARRAY['live'], 'the live lane by itself');
SELECT pg_temp.claim(0, 6) AS c \gset
SELECT is(:'c'::jsonb - 'jobs', '{"picked": 6, "more": true, "next_ms": null}', 'there is more than room');
SELECT is((SELECT count(*)::int FROM unnest(pg_temp.keys(:'c')) k WHERE k LIKE 'fair%'), 3, 'who has little is served beside who has much'), is((SELECT array_agg(k ORDER BY k) FROM unnest(pg_temp.keys(:'c')) k WHERE k LIKE 'bulk%'), ARRAY['bulk1', 'bulk2', 'bulk3'], 'the oldest first');
SELECT queue AS mine_queue FROM outbox WHERE attempt_key = 'bulk1' \gset
SELECT is(pg_temp.keys(pg_temp.claim(0, 100, jsonb_build_object(:'mine_queue', 498))), ARRAY['bulk4', 'bulk5'], 'no more of a queue than its concurrency');
UPDATE tenants SET settings = settings || '{"outbox_limits": {"sink": {"concurrency": 3}}}' WHERE id = :'mine';
SELECT is(pg_temp.claim(100, 100, jsonb_build_object(:'mine_queue', 3)) - 'next_ms', '{"jobs": [], "picked": 0, "more": true}', 'a tenant''s own limit leaves more, for when one has ended'), is(cardinality(pg_temp.keys(pg_temp.claim(0, 100, jsonb_build_object(:'mine_queue', 1)))), 2, 'leaves the rest');
UPDATE tenants SET settings = settings - 'outbox_limits' WHERE id = :'mine';
DELETE FROM outbox WHERE attempt_key <> 'later';

-- ---- a claim that was answered into the void, and is asked for again
SELECT is(va_outbox_claim('dp-t', 'dp-t/1', 2000, 10, 10) ->> 'picked', '0', 'nothing under this number');
SELECT va_outbox_add(:'mine', 'sink.post', 'void' || n, lane => 'live') FROM generate_series(1, 2) n \g /dev/null
SELECT va_outbox_claim('dp-t', 'dp-t/1', 2000, 10, 10)::jsonb AS c \gset
SELECT is(pg_temp.keys(:'c'), ARRAY['void1', 'void2'], 'then something');
SELECT is(va_outbox_claim('dp-t', 'dp-t/1', 2000, 10, 10)::jsonb -> 'jobs', :'c'::jsonb -> 'jobs', 'which stays so');
UPDATE pg_temp.dispatcher SET no = 2000;
DELETE FROM outbox WHERE attempt_key <> 'later';

-- ---- many that wait behind an open breaker, and plans that were made when the table was empty
INSERT INTO outbox (tenant_id, kind, attempt_key, lane) SELECT :'theirs', 'sink.post', 'held' || n, 'bulk' FROM generate_series(1, 5000) n;
INSERT INTO outbox_queues (queue, tenant_id, provider, breaker, failures, blocked_until) SELECT queue, tenant_id, provider, 'open', 5, now() + interval '1 hour' FROM outbox WHERE attempt_key = 'held1';
SELECT va_outbox_add(:'mine', 'sink.post', 'beside') \g /dev/null
BEGIN;
SELECT seq_scan AS whole, idx_tup_fetch AS fetched FROM pg_stat_xact_user_tables WHERE relname = 'outbox' \gset
SELECT pg_temp.work('{"outcome": "done"}') AS keys \gset
SELECT seq_scan - :whole AS whole, idx_tup_fetch - :fetched AS fetched FROM pg_stat_xact_user_tables WHERE relname = 'outbox' \gset
COMMIT;
SELECT is(:'keys', '{beside}'::text, 'what others wait for is not held up'), is(:whole::int, 0, 'nobody reads the whole table for it'), cmp_ok(:fetched, '<', 50, 'nor those that are held back');
DELETE FROM outbox WHERE attempt_key <> 'later';
DELETE FROM outbox_queues;

-- ---- rate limits
INSERT INTO settings VALUES ('outbox_limits', '{"sink": {"per_second": 5, "burst": 4}}');
SELECT va_outbox_add(:'mine', 'sink.post', 'rate' || n) FROM generate_series(1, 9) n \g /dev/null
SELECT va_outbox_add(:'theirs', 'sink.post', 'rate9') \g /dev/null
SELECT pg_temp.claim() AS c \gset
SELECT is(jsonb_array_length(:'c'::jsonb -> 'jobs'), 5, 'a burst of four of one tenant, and the other''s one');
SELECT is(pg_temp.keys(pg_temp.claim()), '{}', 'then none, of that tenant');
SELECT ok((pg_temp.claim() ->> 'next_ms')::int BETWEEN 1 AND 200, 'before the time of the next token');
UPDATE outbox_queues SET filled_at = now() - interval '0.45 seconds', blocked_until = NULL, tokens = 0 WHERE tenant_id = :'mine';
SELECT is(pg_temp.keys(pg_temp.claim()), ARRAY['rate5', 'rate6'], 'two in less than half a second');
SELECT ok((SELECT blocked_until > now() FROM outbox_queues WHERE tenant_id = :'mine'), 'and a wait');
SELECT matches((SELECT detail FROM va_outbox_explain(pg_temp.id('rate7')) OFFSET 1), 'for the limit of sink', 'which the story tells');
DELETE FROM settings WHERE name = 'outbox_limits';
DELETE FROM outbox WHERE attempt_key <> 'later';
DELETE FROM outbox_queues;

-- ---- it did not happen: tried again
SELECT va_outbox_add(:'mine', 'sink.post', 'retry') \g /dev/null
SELECT pg_temp.work('{"outcome": "retry", "code": "not_reached", "text": "connection refused", "provider_down": false}') \g /dev/null
SELECT is(pg_temp.at('retry'), 'later 1', 'tried again'), ok((SELECT run_at BETWEEN now() + interval '1.4 seconds' AND now() + interval '2.6 seconds' FROM outbox WHERE attempt_key = 'retry'), 'in about two seconds'),
	is((SELECT last_error ->> 'text' FROM outbox WHERE attempt_key = 'retry'), 'connection refused', 'with the reason');
SELECT pg_temp.due('retry') \g /dev/null
SELECT pg_temp.work('{"outcome": "retry", "http_status": 429, "retry_after_s": 50, "provider_down": false}') \g /dev/null
SELECT ok((SELECT run_at BETWEEN now() + interval '49 seconds' AND now() + interval '56 seconds' FROM outbox WHERE attempt_key = 'retry'), 'Retry-After is honoured'), ok((SELECT blocked_until BETWEEN now() + interval '49 seconds' AND now() + interval '51 seconds' FROM outbox_queues WHERE tenant_id = :'mine'), 'by the whole queue');
SELECT ok(min(va_outbox_backoff('bulk', 4)) BETWEEN 12 AND 14 AND max(va_outbox_backoff('bulk', 4)) BETWEEN 18 AND 20, 'back-off doubles, with jitter'), ok(max(va_outbox_backoff('bulk', 50)) <= 750 AND max(va_outbox_backoff('live', 50)) <= 37.5, 'and has an end') FROM generate_series(1, 300);
UPDATE outbox_queues SET blocked_until = NULL;
UPDATE outbox SET attempts = 7 WHERE attempt_key = 'retry';
SELECT pg_temp.due('retry') \g /dev/null
SELECT pg_temp.work('{"outcome": "retry", "code": "busy", "text": "still busy", "hint": "wait", "provider_down": false}') \g /dev/null
SELECT is(pg_temp.at('retry'), 'dead:dead 8', 'the eighth attempt was the last'), is((SELECT event_data ->> 'text' FROM analytics_events WHERE event_type = 'outbox.dead'), 'still busy', 'an event says so');
SELECT is(va_outbox_add(:'mine', 'sink.post', 'retry'), pg_temp.id('retry'), 'a dead letter is not added again'), is((SELECT count(*)::int FROM outbox WHERE attempt_key = 'retry'), 0, 'nor comes to life by it');
SELECT is(va_outbox_retry(pg_temp.id('retry')), true, 'a person does that'), is(pg_temp.at('retry'), 'ready 0', 'with all attempts'), is(va_outbox_retry(-1), false, 'not what is unknown');
SELECT is(pg_temp.work('{"outcome": "done"}'), ARRAY['retry'], 'and it is done'), is(pg_temp.at('retry'), 'done 1', 'at last');
SELECT is((SELECT array_agg(what ORDER BY at) FROM va_outbox_explain(pg_temp.id('retry'))), ARRAY['added', 'attempt 1', 'attempt 2', 'attempt 8', 'done'], 'its story');

-- ---- refused
SELECT va_outbox_add(:'mine', 'sink.post', 'refused') \g /dev/null
SELECT pg_temp.work('{"outcome": "failed", "http_status": 401, "code": "unauthorized", "text": "bad key", "hint": "Look at the key.", "provider_down": false}') \g /dev/null
SELECT is(pg_temp.at('refused'), 'dead:failed 1', 'refused is not tried again');
SELECT is((SELECT what || ' | ' || detail || ' | ' || advice FROM va_outbox_explain(pg_temp.id('refused')) ORDER BY at DESC LIMIT 1), 'dead letter | bad key (HTTP 401) | Look at the key. va_outbox_retry() tries it again, va_outbox_cancel() takes it off the list.', 'the story ends with what to do');
SELECT is(va_outbox_cancel(pg_temp.id('refused')), true, 'taken off the list'), is(pg_temp.at('refused'), 'cancelled 1', 'it is history');

-- ---- taken back
SELECT va_outbox_add(:'mine', 'sink.post', 'back') \g /dev/null
SELECT is(va_outbox_cancel(pg_temp.id('back')), true, 'taken back in time'), is(pg_temp.keys(pg_temp.claim()), '{}', 'it does not happen'), is(va_outbox_cancel(pg_temp.id('back')), false, 'once');
SELECT va_outbox_add(:'mine', 'sink.post', 'late') \g /dev/null
SELECT pg_temp.claim() AS c \gset
SELECT is(va_outbox_cancel(pg_temp.id('late')), false, 'too late'), is(va_outbox_retry(pg_temp.id('late')), false, 'nor is it begun twice');
SELECT is(va_outbox_settle('dp-t/1', jsonb_build_array(jsonb_build_object('id', pg_temp.id('late'), 'attempt', 1, 'outcome', 'released'))), 1, 'given back unsent'), is(pg_temp.at('late'), 'ready 0', 'it was no attempt');
DELETE FROM outbox WHERE attempt_key <> 'later';

-- ---- unknown outcomes: asked for
SELECT va_outbox_add(:'mine', 'sink.post', 'doubt') \g /dev/null
SELECT pg_temp.work('{"outcome": "unknown", "code": "no_answer", "text": "timed out", "provider_down": true}') \g /dev/null
SELECT is(pg_temp.at('doubt'), 'unknown 1', 'nobody knows'), is(pg_temp.keys(pg_temp.claim()), '{}', 'it is not repeated');
SELECT matches((SELECT what || ': ' || advice FROM va_outbox_explain(pg_temp.id('doubt')) ORDER BY at DESC LIMIT 1), '^outcome unknown: The service is asked at', 'the story says what happens now');
SELECT pg_temp.due('doubt') \g /dev/null
SELECT is((SELECT array_agg(j ->> 'look') FROM jsonb_array_elements(pg_temp.claim() -> 'jobs') j), ARRAY['true'], 'its service is asked'), is(pg_temp.at('doubt'), 'leased 1', 'which is no attempt');
SELECT va_outbox_settle('dp-t/1', jsonb_build_array(jsonb_build_object('id', pg_temp.id('doubt'), 'attempt', 1, 'outcome', 'unknown', 'text', 'not listed yet'))) \g /dev/null
SELECT is(pg_temp.at('doubt'), 'unknown 1', 'asked in vain'), ok((SELECT run_at > now() + interval '15 seconds' AND looks = 1 FROM outbox WHERE attempt_key = 'doubt'), 'it is asked again, later');
SELECT pg_temp.due('doubt') \g /dev/null
SELECT pg_temp.work('{"outcome": "absent", "provider_down": false}') \g /dev/null
SELECT is((SELECT last_error ->> 'text' FROM outbox WHERE attempt_key = 'doubt'), 'not listed yet', 'what was wrong with the attempt is not forgotten over the look');
SELECT is(pg_temp.at('doubt'), 'later 1', 'no trace of it: another attempt'), ok((SELECT doubtful_since IS NULL FROM outbox WHERE attempt_key = 'doubt'), 'without doubt');
SELECT pg_temp.due('doubt') \g /dev/null
SELECT pg_temp.work('{"outcome": "unknown", "provider_down": false}') \g /dev/null
SELECT pg_temp.due('doubt') \g /dev/null
SELECT pg_temp.work('{"outcome": "done", "result": {"sid": "found"}, "provider_down": false}') \g /dev/null
SELECT is(pg_temp.at('doubt'), 'done 2', 'found'), is((SELECT result FROM outbox_history WHERE attempt_key = 'doubt'), '{"sid": "found"}', 'with what was found');
SELECT va_outbox_add(:'mine', 'sink.post', 'overdue') \g /dev/null
SELECT pg_temp.work('{"outcome": "unknown", "provider_down": false}') \g /dev/null
UPDATE outbox SET doubtful_since = now() - interval '61 minutes', run_at = now() WHERE attempt_key = 'overdue';
SELECT pg_temp.work('{"outcome": "unknown", "text": "the list is empty"}') \g /dev/null
SELECT is(pg_temp.at('overdue'), 'dead:unknown 1', 'after an hour it is a person''s'), matches((SELECT advice FROM va_outbox_explain(pg_temp.id('overdue')) ORDER BY at DESC LIMIT 1), 'Look at the service whether it has happened', 'who is told what to do');
SELECT is(va_outbox_found(:'mine', 'sink.post', 'overdue', '{"by": "Jane"}'), true, 'and finds it'), is(pg_temp.at('overdue'), 'done 1', 'done'), is(va_outbox_found(:'mine', 'sink.post', 'overdue'), false, 'once');
SELECT va_outbox_add(:'mine', 'sink.put', 'again') \g /dev/null
SELECT pg_temp.work('{"outcome": "unknown", "provider_down": false}') \g /dev/null
SELECT is(pg_temp.at('again'), 'later 1', 'what may be repeated is repeated');
SELECT va_outbox_add(:'mine', 'sink.blind', 'blind') \g /dev/null
SELECT pg_temp.work('{"outcome": "unknown", "provider_down": false}') \g /dev/null
SELECT is(pg_temp.at('blind'), 'dead:unknown 1', 'what nobody can be asked about is a person''s at once');

-- ---- unknown outcomes: the callback
INSERT INTO outbox_kinds (kind, description, prepare, settle, reconcile) VALUES ('test.call', 'x', 'va_prepare_test', 'va_settle_test', 'callback'), ('test.other', 'x', 'va_prepare_test', 'va_settle_test', 'callback');
CREATE TABLE settled (key text, outcome text, result jsonb);
CREATE FUNCTION va_prepare_test(o outbox) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN
	IF o.payload ? 'raise' THEN RAISE EXCEPTION 'no such lead' USING HINT = 'Make one.'; END IF;
	RETURN o.payload -> 'say'; END $$;
CREATE FUNCTION va_settle_test(o outbox, p_outcome text, p_result jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
	IF o.payload ? 'unsettled' THEN RAISE EXCEPTION 'table is full'; END IF;
	INSERT INTO public.settled VALUES (o.attempt_key, p_outcome, p_result); END $$;
CREATE FUNCTION pg_temp.settled(k text) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(outcome || coalesce(' ' || (result ->> 'code'), ''), ', ') FROM settled WHERE key = k $$;
SELECT va_outbox_add(:'mine', 'test.call', 'call', '{"say": {"to": 1}}') \g /dev/null
SELECT pg_temp.work('{"outcome": "unknown", "code": "no_answer", "provider_down": false}') \g /dev/null
SELECT is(pg_temp.at('call'), 'unknown 1', 'unknown'), is(pg_temp.settled('call'), 'unknown no_answer', 'the domain is told');
SELECT is(va_outbox_found(:'theirs', 'test.call', 'call'), false, 'another tenant''s key is another effect'), is(va_outbox_found(:'mine', 'test.call', 'call', '{"code": "CA1"}'), true, 'found by the callback'), is(pg_temp.at('call'), 'done 1', 'done'), is(pg_temp.settled('call'), 'unknown no_answer, done CA1', 'the domain is told again');
SELECT va_outbox_add(:'mine', 'test.call', 'early', '{"say": {"to": 1}}') \g /dev/null
SELECT pg_temp.claim() \g /dev/null
SELECT is(va_outbox_found(:'mine', 'test.call', 'early', '{}'), true, 'a callback may be faster than the answer'), is(va_outbox_settle('dp-t/1', jsonb_build_array(jsonb_build_object('id', pg_temp.id('early'), 'attempt', 1, 'outcome', 'unknown'))), 0, 'which then says nothing new');
SELECT va_outbox_add(:'mine', 'test.call', 'silent', '{"say": {"to": 1}}') \g /dev/null
SELECT pg_temp.work('{"outcome": "unknown", "provider_down": false}') \g /dev/null
SELECT is(va_outbox_sweep(), 0, 'it is waited for');
UPDATE outbox SET doubtful_since = now() - interval '2 hours', run_at = now() WHERE attempt_key = 'silent';
SELECT is(va_outbox_sweep(), 1, 'but not for ever'), is(pg_temp.at('silent'), 'dead:unknown 1', 'then a person is told'), is(pg_temp.settled('silent'), 'unknown, unknown', 'and the domain');
SELECT is(va_outbox_retry(pg_temp.id('silent')), true, 'who may decide to repeat it'), is(pg_temp.work('{"outcome": "done"}'), ARRAY['silent'], 'done');

-- ---- decisions of the last moment
SELECT va_outbox_add(:'mine', 'test.call', k, p) FROM (VALUES ('good', '{"say": {"to": 1}}'::jsonb), ('skip', '{"say": {"skip": "opted out"}}'), ('defer', '{"say": {"defer": "2099-01-01T00:00:00Z", "why": "quiet hours"}}'),
	('fail', '{"say": {"fail": {"code": "no_number", "text": "no number", "hint": "Give one."}}}'), ('raise', '{"raise": 1}'), ('nothing', '{}'), ('nonsense', '{"say": {"defer": "tomorrow-ish"}}')) AS x (k, p) \g /dev/null
SELECT is(pg_temp.work('{"outcome": "done"}'), ARRAY['good'], 'one bad prepare function does not hold up the others');
SELECT is(array_agg(pg_temp.at(k) ORDER BY n), ARRAY['done 1', 'skipped 1', 'later 0', 'dead:failed 1', 'later 1', 'later 1', 'later 1'], 'each by its own word') FROM unnest(ARRAY['good', 'skip', 'defer', 'fail', 'raise', 'nothing', 'nonsense']) WITH ORDINALITY x (k, n);
SELECT is(pg_temp.settled('skip'), 'skipped', 'the domain knows what was skipped'), is(pg_temp.settled('fail'), 'failed no_number', 'and what failed'), is((SELECT run_at FROM outbox WHERE attempt_key = 'defer'), '2099-01-01Z', 'deferred until then');
SELECT is((SELECT last_error - 'at' FROM outbox WHERE attempt_key = 'raise'), '{"code": "P0001", "text": "no such lead", "hint": "Make one."}', 'an error of the prepare function is there to be read');
SELECT is((SELECT detail FROM va_outbox_explain(pg_temp.id('skip')) ORDER BY at DESC LIMIT 1), 'opted out', 'why it was skipped');
DELETE FROM outbox WHERE attempt_key <> 'later';

-- ---- settle functions
SELECT va_outbox_add(:'mine', 'test.call', k, p) FROM (VALUES ('s1', '{"say": {"to": 1}}'::jsonb), ('s2', '{"say": {"to": 1}, "unsettled": 1}'), ('s3', '{"say": {"to": 1}}')) AS x (k, p) \g /dev/null
SELECT is(pg_temp.work('{"outcome": "done", "result": {"code": "X"}}'), ARRAY['s1', 's2', 's3'], 'three done');
SELECT is(array_agg(pg_temp.settled(k)), ARRAY['done X', NULL, 'done X'], 'one bad settle function does not undo the others') FROM unnest(ARRAY['s1', 's2', 's3']) k;
SELECT is(pg_temp.at('s2'), 'done 1', 'its own effect is done all the same'), is((SELECT settle_error ->> 'text' FROM outbox_history WHERE attempt_key = 's2'), 'table is full', 'and the error noted');

-- ---- lost dispatchers
SELECT va_outbox_add(:'mine', 'sink.post', 'lost'), va_outbox_add(:'mine', 'sink.put', 'lost2') \g /dev/null
SELECT pg_temp.claim() \g /dev/null
SELECT is(va_outbox_begin('dp-t', 'dp-t/2'), 2, 'a new run finds what the last one left'), is(pg_temp.at('lost'), 'unknown 1', 'nobody knows'), is(pg_temp.at('lost2'), 'later 1', 'or it may be repeated');
SELECT is(va_outbox_settle('dp-t/1', jsonb_build_array(jsonb_build_object('id', pg_temp.id('lost'), 'attempt', 1, 'outcome', 'done', 'result', '{}'::jsonb))), 1, 'a late word of the old run is as good as any');
UPDATE pg_temp.dispatcher SET instance = 'dp-t/2', no = 0;
SELECT va_outbox_add(:'mine', 'sink.post', 'expired') \g /dev/null
SELECT pg_temp.claim() \g /dev/null
UPDATE outbox SET lease_until = now() - interval '1 second' WHERE attempt_key = 'expired';
SELECT is(va_outbox_sweep(), 1, 'a lease that ran out is swept'), is(pg_temp.at('expired'), 'unknown 1', 'nobody knows');
SELECT is((SELECT last_error ->> 'code' FROM outbox WHERE attempt_key = 'expired'), 'dispatcher_lost', 'why');
DELETE FROM outbox WHERE attempt_key <> 'later';
DELETE FROM outbox_queues;

-- ---- circuit breakers
SELECT va_outbox_add(:'theirs', 'sink.post', 'well') \g /dev/null
SELECT pg_temp.work('{"outcome": "retry", "provider_down": true, "text": "refused"}') \g /dev/null
SELECT va_outbox_add(:'mine', 'sink.post', 'down' || n) FROM generate_series(1, 9) n \g /dev/null
SELECT pg_temp.work('{"outcome": "retry", "provider_down": true, "text": "refused"}', 0, 4) \g /dev/null
CREATE FUNCTION pg_temp.breaker() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(breaker || ' ' || failures || ' ' || opens, ', ' ORDER BY breaker) FROM outbox_queues WHERE provider = 'sink' $$;
SELECT is(pg_temp.breaker(), 'closed 1 0, closed 4 0', 'failures are counted');
SELECT pg_temp.work('{"outcome": "retry", "provider_down": true, "text": "refused"}', 0, 1) \g /dev/null
SELECT is(pg_temp.breaker(), 'closed 1 0, open 5 1', 'the fifth in a row opens the breaker'), is(pg_temp.keys(pg_temp.claim()), '{}', 'then nothing of that tenant is sent'), ok((SELECT blocked_until BETWEEN now() + interval '26 seconds' AND now() + interval '34 seconds' FROM outbox_queues WHERE breaker = 'open'), 'for half a minute');
SELECT matches((SELECT string_agg("check" || ': ' || detail, E'\n') FROM va_health() WHERE NOT ok), 'service sink of [a-z0-9-]+: 5 failures in a row since', 'va_health tells'), is((SELECT value FROM va_stats() WHERE name = 'outbox.blocked'), 1::numeric, 'va_stats counts');
SELECT matches((SELECT detail FROM va_outbox_explain(pg_temp.id('down9')) OFFSET 1), 'sink failed 5 times in a row and is asked again at', 'so does the story of one that waits');
UPDATE outbox_queues SET blocked_until = now() WHERE breaker = 'open';
SELECT is(cardinality(pg_temp.keys(pg_temp.claim())), 1, 'then one goes ahead'), is(pg_temp.keys(pg_temp.claim()), '{}', 'alone');
SELECT va_outbox_settle('dp-t/2', (SELECT jsonb_agg(jsonb_build_object('id', id, 'attempt', attempts, 'outcome', 'retry', 'provider_down', true)) FROM outbox WHERE state = 'leased')) \g /dev/null
SELECT is(pg_temp.breaker(), 'closed 1 0, open 6 2', 'it fails: open again'), ok((SELECT blocked_until > now() + interval '50 seconds' FROM outbox_queues WHERE breaker = 'open'), 'for twice as long');
UPDATE outbox_queues SET blocked_until = now() WHERE breaker = 'open';
SELECT pg_temp.claim() \g /dev/null
SELECT va_outbox_settle('dp-t/2', (SELECT jsonb_agg(jsonb_build_object('id', id, 'attempt', attempts, 'outcome', 'done')) FROM outbox WHERE state = 'leased')) \g /dev/null
SELECT is((SELECT breaker || failures || opens FROM outbox_queues WHERE tenant_id = :'mine'), 'closed00', 'it succeeds: closed'), cmp_ok(cardinality(pg_temp.keys(pg_temp.claim())), '>', 0, 'and all go on');
UPDATE outbox SET attempts = 30, state = 'leased', leased_by = 'dp-t/2' WHERE attempt_key = 'down1';
SELECT va_outbox_settle('dp-t/2', jsonb_build_array(jsonb_build_object('id', pg_temp.id('down1'), 'attempt', 30, 'outcome', 'retry', 'provider_down', true))) \g /dev/null
SELECT is(pg_temp.at('down1'), 'later 30', 'a service that is down uses up nobody''s attempts');
UPDATE outbox SET created_at = now() - interval '25 hours', state = 'leased', leased_by = 'dp-t/2' WHERE attempt_key = 'down1';
SELECT va_outbox_settle('dp-t/2', jsonb_build_array(jsonb_build_object('id', pg_temp.id('down1'), 'attempt', 30, 'outcome', 'retry', 'provider_down', true))) \g /dev/null
SELECT is(pg_temp.at('down1'), 'dead:dead 30', 'within a day');
DELETE FROM outbox_queues;

-- ---- retention
UPDATE outbox_history SET finished_at = now() - interval '31 days' WHERE attempt_key IN ('a', 'retry');
SELECT cmp_ok((SELECT count(*)::int FROM outbox_attempts WHERE outbox_id = pg_temp.id('retry')), '>', 0, 'attempts are kept');
SELECT pg_temp.id('retry') AS retry \gset
SELECT va_housekeeping() \g /dev/null
SELECT is((SELECT count(*)::int FROM outbox_history WHERE attempt_key IN ('a', 'retry')), 0, 'until the history is forgotten'), is((SELECT count(*)::int FROM outbox_attempts WHERE outbox_id = :retry), 0, 'with them'), is((SELECT count(*)::int FROM va_outbox_explain(:retry)), 0, 'there is no story any more');

-- ---- reports, health
SELECT va_outbox_report('dp-t', 'dp-t/2', '{"pid": 1, "done": 7, "busy_live": 1}'), va_outbox_report('dp-t', 'dp-t/1', '{"done": 9}') \g /dev/null
SELECT is((SELECT array_agg(value ORDER BY name) FROM va_stats() WHERE name IN ('dispatcher.done', 'outbox.dispatchers')), '{7,1}', 'a dispatcher''s numbers, of its last run');
SELECT is((SELECT ok FROM va_health() WHERE "check" = 'dispatcher'), true, 'it runs'), is((SELECT ok FROM va_health() WHERE "check" = 'dead letters'), false, 'dead letters are told of');
UPDATE outbox_dispatchers SET reported_at = now() - interval '1 minute';
SELECT is((SELECT ok FROM va_health() WHERE "check" = 'dispatcher'), false, 'it does not run');

-- ---- rights
SELECT va_outbox_add(:'theirs', 'sink.post', 'secret'), va_outbox_add(NULL, 'sink.post', 'ours') \g /dev/null
SELECT pg_temp.id('secret') AS secret, pg_temp.id('ours') AS ours, pg_temp.id('well') AS well, pg_temp.id('down9') AS down9 \gset
SET ROLE voiceagent_agent;
SELECT set_config('voiceagent.tenant_id', :'mine', false) \g /dev/null
SELECT is((SELECT count(DISTINCT tenant_id)::int FROM outbox), 1, 'a tenant''s application sees its own effects'), is((SELECT count(*)::int FROM va_outbox_explain(:secret)), 0, 'and no other''s story');
SELECT throws_ok(format('SELECT va_outbox_%s(%s)', f, n), '42501', NULL, format('nor may it %s %s', f, w)) FROM unnest(ARRAY['cancel', 'retry']) f, (VALUES (:secret, 'another''s'), (:ours, 'the platform''s')) AS x (n, w);
SELECT throws_ok(format('SELECT va_outbox_add(%L, %L, %L)', :'mine', 'sink.post', 'x'), '42501', NULL, 'nor add one by itself'), lives_ok(format('SELECT va_outbox_retry(%s)', :down9), 'its own it may retry');
RESET ROLE;
SET ROLE voiceagent_dispatcher;
SELECT lives_ok($$SELECT va_outbox_claim('dp-t', 'dp-t/2', 100000, 10, 10)$$, 'the dispatcher may claim'), throws_ok('SELECT FROM outbox', '42501', NULL, 'but not read'), throws_ok($$SELECT va_outbox_add(NULL, 'sink.post', 'x')$$, '42501', NULL, 'nor add'), throws_ok($$SELECT va_secret_read(NULL, 'x')$$, '42501', NULL, 'nor ask for secrets');
RESET ROLE;
SELECT * FROM finish();
