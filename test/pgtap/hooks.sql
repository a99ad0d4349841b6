-- Events to a tenant's end points and messages to phones: who gets what, when nobody does, and when an end point is left
-- alone. The dispatcher's part is played by hand.
\ir setup.psql
SELECT no_plan();
SELECT pg_temp.tenant('+15551230002') AS mine, pg_temp.tenant('+15551230003') AS theirs \gset
SELECT va_secret_set(:'mine', 'hook_secret', 'whsec_c2VjcmV0c2VjcmV0c2VjcmV0') \g /dev/null
DELETE FROM outbox;
CREATE FUNCTION pg_temp.request(o outbox) RETURNS jsonb LANGUAGE plpgsql AS $$ DECLARE r jsonb; BEGIN
	EXECUTE format('SELECT %I($1)', (SELECT prepare FROM outbox_kinds WHERE kind = o.kind)) INTO r USING o; RETURN r; END $$;
CREATE FUNCTION pg_temp.newest(k text) RETURNS outbox LANGUAGE sql AS $$ SELECT o FROM outbox o WHERE kind = k ORDER BY id DESC LIMIT 1 $$;
CREATE FUNCTION pg_temp.waiting(k text) RETURNS text[] LANGUAGE sql AS $$
	SELECT coalesce(array_agg(concat_ws(' ', substring((SELECT url FROM event_hooks h WHERE h.id::text = payload ->> 'hook_id') FROM '[^/]*$'), payload #>> '{event,type}', payload ->> 'topic') ORDER BY id), '{}') FROM outbox WHERE kind = k $$;
CREATE FUNCTION pg_temp.ends(outcome text, result jsonb) RETURNS void LANGUAGE plpgsql AS $$ DECLARE o outbox := pg_temp.newest('hook.post'); BEGIN
	IF outcome = 'done' THEN PERFORM va_outbox_close(o, outcome, result); ELSE PERFORM va_outbox_bury(o, outcome, result); END IF; END $$;

-- ---- end points
INSERT INTO event_hooks (tenant_id, url, events) VALUES (:'mine', 'https://example.com/all', NULL), (:'mine', 'https://example.com/some', ARRAY['lead_captured', 'test']), (:'theirs', 'https://example.com/theirs', NULL);
SELECT matches(pg_temp.sqlstate_of(format('INSERT INTO event_hooks (tenant_id, url%s) VALUES (%L, %L%s)', c, :'mine', u, v)), '^23', 'refused: ' || w) FROM (VALUES ('', 'example.com', '', 'no scheme'), ('', 'ftp://example.com/', '', 'another scheme'), ('', 'https://user@example.com/', '', 'a user in the URL'),
	('', 'https://example.com/a b', '', 'a blank'), ('', E'https://example.com/\r\nX: y', '', 'a line end'), ('', 'https://' || repeat('a', 2000), '', 'too long'), (', secret_name', 'https://example.com', ', ''NO''', 'no secret''s name')) AS x (c, u, v, w);
SELECT va_emit(:'mine', 'other', NULL, NULL, '{}'), va_emit(:'mine', 'test', NULL, NULL, '{"a": 1}') \g /dev/null
SELECT is(pg_temp.waiting('hook.post'), ARRAY['all other', 'all test', 'some test'], 'each end point that wants an event, once');
UPDATE event_hooks SET enabled = false WHERE url ~ 'some$';
SELECT va_emit(:'mine', 'test', NULL, NULL, '{}') \g /dev/null
SELECT is(pg_temp.waiting('hook.post'), ARRAY['all other', 'all test', 'some test', 'all test'], 'not one that is disabled');
INSERT INTO analytics_events (tenant_id, event_type, created_at) VALUES (:'mine', 'restored', now() - interval '1 day'), (NULL, 'nobody''s', now());
SELECT is(cardinality(pg_temp.waiting('hook.post')), 4, 'nor of events that are old, or nobody''s');
DELETE FROM outbox;
SELECT va_emit(:'mine', 'test', NULL, NULL, '{"a": 1}') \g /dev/null
SELECT is(pg_temp.request(o), jsonb_build_object('tenant_url', true, 'url', 'https://example.com/all', 'secret', 'whsec_c2VjcmV0c2VjcmV0c2VjcmV0', 'id', e.id, 'body', jsonb_build_object('id', e.id, 'type', 'test', 'timestamp', e.created_at,
	'tenant_id', :'mine', 'call_id', NULL, 'lead_id', NULL, 'data', '{"a": 1}'::jsonb)), 'what the dispatcher is told') FROM pg_temp.newest('hook.post') o, (SELECT * FROM analytics_events WHERE event_type = 'test' ORDER BY created_at DESC LIMIT 1) e;
UPDATE event_hooks SET secret_name = 'other_secret' WHERE url ~ 'all$';
SELECT is(pg_temp.request(pg_temp.newest('hook.post')) #>> '{fail,code}', 'no_secret', 'nothing is sent unsigned'), matches(pg_temp.request(pg_temp.newest('hook.post')) #>> '{fail,hint}', 'va_secret_set\(tenant, ''other_secret''', 'and the user is told what to do');
UPDATE event_hooks SET secret_name = 'hook_secret', enabled = false WHERE url ~ 'all$';
SELECT is(pg_temp.request(pg_temp.newest('hook.post')), '{"skip": "the hook was removed or disabled"}', 'what was disabled meanwhile gets nothing');
UPDATE event_hooks SET enabled = true;

-- ---- end points that fail
SELECT pg_temp.ends('dead', '{"text": "connection refused"}') \g /dev/null
SELECT is((h.enabled, h.failing_since IS NOT NULL, h.last_error)::text, '(t,t,"connection refused")', 'a failure is on record') FROM event_hooks h WHERE url ~ 'all$';
SELECT is((SELECT count(*)::int FROM outbox WHERE kind = 'hook.post' AND payload #>> '{event,type}' = 'outbox.dead'), 0, 'and is no event for hooks: that would have no end'), is((SELECT count(*)::int FROM analytics_events WHERE event_type = 'outbox.dead'), 1, 'though it is one');
SELECT va_outbox_add(:'mine', 'push.ntfy', 'p', '{"topic": "t"}') \g /dev/null
SELECT va_outbox_bury(pg_temp.newest('push.ntfy'), 'failed', '{"text": "no"}') \g /dev/null
SELECT is(pg_temp.waiting('hook.post'), ARRAY['all outbox.dead'], 'that of another kind is one');
SELECT pg_temp.ends('done', '{}') \g /dev/null
SELECT is((h.failing_since, h.last_error)::text, '(,)', 'the next success ends it') FROM event_hooks h WHERE url ~ 'all$';
UPDATE event_hooks SET failing_since = now() - interval '4 days 23 hours', last_error = 'x' WHERE url ~ 'all$';
SELECT va_emit(:'mine', 'first', NULL, NULL, '{}'), pg_temp.ends('failed', '{"text": "HTTP 500"}') \g /dev/null
SELECT is((h.enabled, h.failing_since < now() - interval '4 days')::text, '(t,t)', 'days of failure are borne') FROM event_hooks h WHERE url ~ 'all$';
UPDATE event_hooks SET failing_since = now() - interval '5 days 1 hour' WHERE url ~ 'all$';
SELECT va_emit(:'mine', 'second', NULL, NULL, '{}'), pg_temp.ends('failed', '{"text": "HTTP 500"}') \g /dev/null
SELECT is(h.enabled, false, 'five are not') FROM event_hooks h WHERE url ~ 'all$';
SELECT is((SELECT event_data - 'hook_id' FROM analytics_events WHERE event_type = 'hook_disabled'), '{"url": "https://example.com/all", "error": "HTTP 500"}', 'an event says so'), is(pg_temp.waiting('hook.post'), '{}', 'and goes to nobody who does not listen');
UPDATE event_hooks SET enabled = true, failing_since = NULL;
SELECT va_emit(:'mine', 'gone', NULL, NULL, '{}'), pg_temp.ends('failed', '{"text": "Gone", "http_status": 410}') \g /dev/null
SELECT is(h.enabled, false, 'one that says it is gone is believed at once') FROM event_hooks h WHERE url ~ 'all$';
DELETE FROM outbox;
INSERT INTO event_hooks (tenant_id, url) VALUES (:'mine', 'https://example.com/new');
SELECT va_emit(:'mine', 'test', NULL, NULL, '{}') \g /dev/null
DELETE FROM event_hooks WHERE url ~ '(new|some)$';
SELECT matches(pg_temp.request(pg_temp.newest('hook.post')) ->> 'skip', 'removed', 'one that was removed gets nothing');

-- ---- phones
INSERT INTO human_agents (tenant_id, name, email, phone, push_topic, is_available) VALUES (:'mine', 'Ann', 'ann@x.org', '+15551239901', 'ann-topic', true), (:'mine', 'Bob', 'bob@x.org', '+15551239902', 'bob-topic', false), (:'mine', 'Cy', 'cy@x.org', '+15551239903', NULL, true),
	(:'theirs', 'Dee', 'dee@x.org', '+15551239904', 'dee-topic', true);
SELECT id AS ann FROM human_agents WHERE name = 'Ann' \gset
SELECT matches(pg_temp.sqlstate_of(format('UPDATE human_agents SET push_topic = %L', t)), '^23', 'no topic: ' || t) FROM unnest(ARRAY['', 'a b', 'a/b', repeat('x', 65)]) t;
DELETE FROM outbox;
SELECT va_push(:'ann', 'Title', 'Hello', 4, 'https://x.org', 'k') AS push \gset
SELECT is(va_push(:'ann', 'Title', 'Hello', 4, 'https://x.org', 'k'), :push::bigint, 'one a key'), isnt(va_push(:'ann', 'Title', 'Hello'), :push::bigint, 'and each time another without'), is((SELECT lane FROM outbox WHERE id = :push), 'live', 'at once');
SELECT is(pg_temp.request(o), '{"url": "https://ntfy.sh", "body": {"topic": "ann-topic", "title": "Title", "message": "Hello", "priority": 4, "click": "https://x.org"}, "tenant_url": false}', 'what the dispatcher is told') FROM outbox o WHERE id = :push;
SELECT va_secret_set(:'mine', 'ntfy_token', 'tk_1'), va_tenant_settings_set(:'mine', '{"ntfy": {"base_url": "https://ntfy.example.com"}}') \g /dev/null
SELECT is(pg_temp.request(o) - 'body', '{"url": "https://ntfy.example.com", "token": "tk_1", "tenant_url": true}', 'the tenant''s own service: guarded') FROM outbox o WHERE id = :push;
SELECT va_tenant_settings_set(:'mine', '{"ntfy": null}'), va_platform_settings_set('{"ntfy": {"base_url": "http://10.0.0.1"}}') \g /dev/null
SELECT is(pg_temp.request(o) - 'body', '{"url": "http://10.0.0.1", "token": "tk_1", "tenant_url": false}', 'the administrator''s: not') FROM outbox o WHERE id = :push;
SELECT is(va_push((SELECT id FROM human_agents WHERE name = 'Cy'), 'T', 'x'), NULL, 'a person without a topic gets nothing');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_push(%s)', a)), c, 'refused: ' || a) FROM (VALUES ('NULL, $$t$$, $$m$$', 'VA033'), ('gen_random_uuid(), $$t$$, $$m$$', 'VA033'), (format('%L, $$t$$, $$ $$', :'ann'), 'VA005'), (format('%L, $$t$$, NULL', :'ann'), 'VA005'),
	(format('%L, $$t$$, $$m$$, 0', :'ann'), 'VA005'), (format('%L, $$t$$, $$m$$, 6', :'ann'), 'VA005'), (format('%L, $$t$$, $$m$$, NULL', :'ann'), 'VA005'), (format('%L, NULL, $$m$$', :'ann'), 'none')) AS x (a, c);
SELECT va_push(:'ann', repeat('t', 999), repeat('m', 9999), key => 'long') AS long \gset
SELECT is((SELECT length(payload ->> 'message') || ' ' || length(payload ->> 'title') FROM outbox WHERE id = :long), '3500 250', 'what is too long is cut: the service would make a file of it');
DELETE FROM outbox;
SELECT va_emit(:'mine', 'call_escalated', NULL, NULL, jsonb_build_object('agent_id', :'ann', 'reason', 'asked')) \g /dev/null
SELECT is(pg_temp.waiting('push.ntfy'), ARRAY['ann-topic'], 'who a caller is handed to is told'), is((SELECT payload ->> 'message' FROM outbox WHERE kind = 'push.ntfy'), 'Reason: asked', 'and why');
DELETE FROM outbox;
SELECT va_emit(:'mine', 'call_escalated', NULL, NULL, '{}') \g /dev/null
SELECT is(pg_temp.waiting('push.ntfy'), ARRAY['ann-topic'], 'where nobody was free: everybody who is there');

-- ---- rights
SET ROLE voiceagent_agent;
SELECT set_config('voiceagent.tenant_id', :'theirs', false) \g /dev/null
SELECT is((SELECT array_agg(url) FROM event_hooks), ARRAY['https://example.com/theirs'], 'a tenant sees its own end points');
SELECT is(pg_temp.sqlstate_of(s), c, s) FROM (VALUES ('UPDATE event_hooks SET url = $$http://10.0.0.1/$$', '42501'), (format('SELECT va_push(%L, $$t$$, $$m$$)', :'ann'), 'VA033'), ('SELECT va_push((SELECT id FROM human_agents WHERE name = $$Dee$$), $$t$$, $$m$$)', 'none'), ('SELECT va_prepare_hook_post(NULL)', '42501')) AS x (s, c);
RESET ROLE;
SET ROLE voiceagent_admin;
SELECT is(pg_temp.sqlstate_of(s), 'none', s) FROM unnest(ARRAY['UPDATE event_hooks SET enabled = true', format('SELECT va_push(%L, $$t$$, $$m$$)', :'ann')]) s;
RESET ROLE;
SELECT * FROM finish();
