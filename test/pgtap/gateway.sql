-- What the gateway asks and reports; secrets; health and statistics; domain events.
\ir setup.psql
SELECT no_plan();
SELECT pg_temp.tenant('+15551230002') AS tenant, pg_temp.tenant('+15551230003') AS twin, pg_temp.tenant('+15559990001', :'other') AS stranger \gset

-- ---- secrets
SELECT va_secret_set(:'tenant', 'twilio_auth_token', 'one'), va_secret_set(:'stranger', 'twilio_auth_token', 'one') \g /dev/null
SELECT is(va_secret_read(:'tenant', 'twilio_auth_token'), 'one', 'a secret is read back');
SELECT is((SELECT count(DISTINCT ciphertext)::int FROM tenant_secrets), 2, 'the same value twice is two ciphertexts');
SELECT is((SELECT count(*)::int FROM tenant_secrets WHERE position('one'::bytea IN ciphertext) > 0), 0, 'that do not show it');
SELECT ciphertext AS before FROM tenant_secrets WHERE tenant_id = :'tenant' \gset
SELECT va_secret_set(:'tenant', 'twilio_auth_token', 'one') \g /dev/null
SELECT isnt((SELECT ciphertext FROM tenant_secrets WHERE tenant_id = :'tenant'), :'before'::bytea, 'set again, it is encrypted anew');
SELECT is((SELECT length(key_id) FROM tenant_secrets LIMIT 1), 16, 'the key''s id is noted'), is((SELECT DISTINCT key_id FROM tenant_secrets), va_key_id(), 'and is that of the key file');
SELECT is((SELECT (pg_stat_file('voiceagent.key')).size), 32::bigint, 'the key file has 32 bytes');
UPDATE tenant_secrets SET ciphertext = :'before'::bytea WHERE tenant_id = :'stranger';
SELECT is(pg_temp.sqlstate_of(format('SELECT va_secret_read(%L, %L)', :'stranger', 'twilio_auth_token')), 'VA007', 'a ciphertext of another tenant does not open');
UPDATE tenant_secrets SET ciphertext = set_byte(:'before'::bytea, length(:'before'::bytea) - 1, (get_byte(:'before'::bytea, length(:'before'::bytea) - 1) + 1) % 256) WHERE tenant_id = :'tenant';
SELECT is(pg_temp.sqlstate_of(format('SELECT va_secret_read(%L, %L)', :'tenant', 'twilio_auth_token')), 'VA007', 'nor a changed one');
UPDATE tenant_secrets SET ciphertext = '\x01' WHERE tenant_id = :'tenant';
SELECT is(pg_temp.sqlstate_of(format('SELECT va_secret_read(%L, %L)', :'tenant', 'twilio_auth_token')), 'VA007', 'nor a piece');
SELECT is(va_gateway_config(), jsonb_build_object('email', '[]'::jsonb, 'accounts', jsonb_build_array(jsonb_build_object('account_sid', :'acme', 'tokens', '[]'::jsonb), jsonb_build_object('account_sid', :'other', 'tokens', '[]'::jsonb))), 'unreadable tokens do not stop the gateway');
SELECT is(va_secret_clear(:'tenant', 'twilio_auth_token'), true, 'cleared'), is(va_secret_clear(:'tenant', 'twilio_auth_token'), false, 'cleared once'), is(va_secret_read(:'tenant', 'twilio_auth_token'), NULL, 'gone');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_secret_set(%L, %L, %L)', t, n, v)), code, 'refused: ' || why)
FROM (VALUES (:'tenant', 'Bad Name', 'x', 'VA005', 'a name with capitals'), (:'tenant', 'x', '', 'VA005', 'an empty value'), ('00000000-0000-0000-0000-000000000000', 'x', 'x', 'VA001', 'an unknown tenant'),
	(:'tenant', 'x', repeat('x', 70000), 'VA005', 'a very long value')) AS x (t, n, v, code, why);
SELECT va_secret_set(NULL, 'ultravox_api_key', 'ours'), va_secret_set(:'twin', 'ultravox_api_key', 'theirs') \g /dev/null
SELECT is(va_secret_read(:'tenant', 'ultravox_api_key'), 'ours', 'the platform''s serves a tenant without'), is(va_secret_read(:'twin', 'ultravox_api_key'), 'theirs', 'a tenant''s own wins');
SELECT is(a.session ->> 'api_key', 'ours', 'a session has the key') FROM pg_temp.answer('CA1') a;

-- ---- accounts
DELETE FROM tenant_secrets WHERE name LIKE 'twilio%';
SELECT va_secret_set(:'tenant', 'twilio_auth_token', 'one'), va_secret_set(:'tenant', 'twilio_auth_token_next', 'two'), va_secret_set(:'twin', 'twilio_auth_token', 'one'), va_secret_set(:'stranger', 'twilio_auth_token', 'three') \g /dev/null
SELECT is(va_gateway_config(), jsonb_build_object('email', '[]'::jsonb, 'accounts', jsonb_build_array(jsonb_build_object('account_sid', :'acme', 'tokens', '["one", "two"]'::jsonb), jsonb_build_object('account_sid', :'other', 'tokens', '["three"]'::jsonb))), 'each account with its tokens, the current first');
UPDATE tenants SET status = 'inactive' WHERE id = :'stranger';
SELECT is(jsonb_array_length(va_gateway_config() -> 'accounts'), 2, 'an inactive tenant''s account stays: callers are told so, and its calls end');
UPDATE tenants SET settings = settings - 'twilio_account_sid' WHERE id = :'twin';
INSERT INTO settings VALUES ('twilio_account_sid', to_jsonb('AC00000000000000000000000000000009'::text));
SELECT va_secret_set(NULL, 'twilio_auth_token', 'common') \g /dev/null
SELECT is(va_gateway_config() -> 'accounts' -> 2, '{"account_sid": "AC00000000000000000000000000000009", "tokens": ["one", "common"]}', 'the platform''s account serves a tenant without');

-- ---- reports
SELECT va_gateway_report('gw-1', '{"pid": 10, "version": "0.1", "calls": 2, "calls_total": 5, "frames_in": 100, "rejected": {"bad_signature": 1}, "uptime_s": 50, "queue_bytes": 7}'),
	va_gateway_report('gw-2', '{"pid": 10, "version": "0.1", "calls": 1, "calls_total": 1, "frames_in": 10, "rejected": {"bad_signature": 2}, "uptime_s": 60}') \g /dev/null
CREATE FUNCTION pg_temp.stat(n text) RETURNS numeric LANGUAGE sql AS $$ SELECT value FROM va_stats() WHERE name = n $$;
SELECT is(pg_temp.stat(n), v::numeric, 'va_stats: ' || n) FROM (VALUES ('gateways', 2), ('calls', 3), ('calls_total', 6), ('frames_in', 110), ('rejected.bad_signature', 3), ('uptime_s', 60), ('queue_bytes', 7), ('rejected.busy', 0)) AS x (n, v);
SELECT va_gateway_report('gw-1', '{"pid": 10, "calls": 0, "calls_total": 6, "frames_in": 120, "uptime_s": 52}') \g /dev/null
SELECT is(pg_temp.stat('frames_in'), 130::numeric, 'a report replaces the one before');
SELECT va_gateway_report('gw-1', '{"pid": 10, "calls": 0, "calls_total": 1, "frames_in": 5, "uptime_s": 1}') \g /dev/null
SELECT is(pg_temp.stat('frames_in'), 135::numeric, 'a process with the pid of an old one starts anew, and nothing is lost');
UPDATE gateway_status SET reported_at = now() - interval '2 days' WHERE gateway = 'gw-1';
SELECT is(pg_temp.stat('calls'), 1::numeric, 'silent processes carry no calls'), is(pg_temp.stat('frames_in'), 135::numeric, 'but what they did counts');
SELECT va_gateway_report('gw-1', '{"pid": 11, "frames_in": 1, "uptime_s": 1}') \g /dev/null
SELECT is((SELECT array_agg(pid) FROM gateway_status WHERE gateway = 'gw-1'), ARRAY[11]::bigint[], 'after a day they are folded away'), is(pg_temp.stat('frames_in'), 136::numeric, 'and still count');
SELECT is(pg_temp.sqlstate_of($$SELECT va_gateway_report('gw-1', '[]')$$), 'VA005', 'a report is an object');
UPDATE call_tokens SET expires_at = now() - interval '2 days';
INSERT INTO webhook_receipts (account_sid, endpoint, idempotency, decision, received_at) VALUES ('a', 'b', 'c', 'd', now() - interval '2 days'), ('a', 'b', 'e', 'd', now());
INSERT INTO calls (tenant_id, twilio_call_sid, status, started_at) VALUES (:'tenant', 'CAold', 'in-progress', now() - interval '26 hours'), (:'tenant', 'CAyoung', 'in-progress', now());
SELECT va_housekeeping() \g /dev/null
SELECT is((pg_temp.call('CAold')).status, 'completed'::varchar, 'housekeeping closes a call whose end was never told'), is((pg_temp.call('CAyoung')).status, 'in-progress'::varchar, 'and no other');
SELECT is((SELECT count(*)::int FROM call_tokens), 0, 'old tokens are swept'), is((SELECT array_agg(idempotency) FROM webhook_receipts), ARRAY['e'], 'and old receipts');
SELECT is((SELECT count(*)::int FROM va_stats() WHERE description IS NULL AND name NOT LIKE 'status.%'), 0, 'every statistic is described');

-- ---- health
SELECT is((SELECT array_agg("check" ORDER BY "check") FROM va_health() WHERE NOT ok AND hint IS NULL), NULL, 'whatever is wrong has a hint');
SELECT ok(h.ok, 'va_health: ' || c) FROM unnest(ARRAY['version', 'gateway', 'role voiceagent_gateway', 'role voiceagent_dispatcher', 'key file', 'secrets', 'tenant test-15551230002']) c LEFT JOIN va_health() h ON h."check" = c;
UPDATE gateway_status SET reported_at = now() - interval '1 hour';
SELECT is((SELECT ok FROM va_health() WHERE "check" = 'gateway'), false, 'va_health: a silent gateway');
DELETE FROM tenant_voice_configs WHERE tenant_id = :'tenant';
DELETE FROM phone_numbers WHERE tenant_id = :'tenant';
SELECT is((SELECT detail FROM va_health() WHERE "check" = 'tenant test-15551230002'), 'lacks an active voice number, a voice configuration', 'va_health: what a tenant lacks');
UPDATE tenant_secrets SET key_id = '0000000000000000' WHERE tenant_id = :'twin';
SELECT is((SELECT ok FROM va_health() WHERE "check" = 'secrets'), false, 'va_health: secrets of another key');

UPDATE tenants SET settings = settings || '{"voice_engine": "realtime"}' WHERE id = :'twin';
SELECT matches((SELECT detail FROM va_health() WHERE "check" = 'tenant test-15551230003'), 'an address of the voice engine', 'va_health: an engine without an address') WHERE coalesce(current_setting('voiceagent.realtime_base_url', true), '') = '';

-- ---- events for applications
SELECT lives_ok(format($$SELECT va_emit(%L, 'big', NULL, NULL, jsonb_build_object('x', repeat('€', 9000)))$$, :'tenant'), 'an event larger than a notification');
SELECT is((SELECT length(event_data ->> 'x') FROM analytics_events WHERE event_type = 'big'), 9000, 'is kept whole in its row');

-- ---- what may be lost in a crash: reports and pieces of turns, nothing else
SELECT pg_temp.tenant('+15551230099') \g /dev/null
SELECT call_id AS lazy FROM pg_temp.answer('CALAZY', '{"To": "+15551230099"}') \gset
CREATE FUNCTION pg_temp.commits(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL synchronous_commit = on;
	EXECUTE statement;
	RETURN current_setting('synchronous_commit');
END
$$;
CREATE FUNCTION pg_temp.commits_events(call uuid, kinds text[]) RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.commits(format('SELECT va_call_events(%L, %L, %L)', call, 'MZ', (
		SELECT jsonb_agg(jsonb_build_object('seq', n, 'kind', k, 'data', '{"role": "user", "text": "Hello"}'::jsonb))
		FROM unnest(kinds) WITH ORDINALITY x (k, n))))
$$;
SELECT is(pg_temp.commits($$SELECT va_gateway_report('gw-9', '{"pid": 1}')$$), 'off', 'a report does not wait for the disk');
SELECT is(pg_temp.commits_events(:'lazy', '{partial,partial}'), 'off', 'nor do pieces of turns');
SELECT is(pg_temp.commits_events(:'lazy', '{partial,turn}'), 'on', 'a turn does');
SELECT is(pg_temp.commits($$SELECT pg_temp.answer('CALAZY2', '{"To": "+15551230099"}')$$), 'on', 'and an answer');
SELECT * FROM finish();
