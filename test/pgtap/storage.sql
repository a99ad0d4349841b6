-- Storage: where files go, each state of one, links, and how files leave: by hand, with their time, with their person,
-- with their tenant. The dispatcher's part is played by hand.
\ir setup.psql
SELECT no_plan();
SELECT pg_temp.tenant('+15551230002') AS mine, pg_temp.tenant('+15551230003') AS theirs \gset
SELECT va_secret_set(:'mine', 'twilio_auth_token', 'token') \g /dev/null
DELETE FROM outbox;
CREATE FUNCTION pg_temp.error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE v_hint text; BEGIN
	EXECUTE statement; RETURN 'none';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS v_hint = PG_EXCEPTION_HINT; RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(v_hint, ''));
END $$;
-- What the dispatcher would be told of the newest effect of a kind, and what it says in return.
CREATE FUNCTION pg_temp.newest(k text) RETURNS outbox LANGUAGE sql AS $$ SELECT o FROM outbox o WHERE kind = k ORDER BY id DESC LIMIT 1 $$;
CREATE FUNCTION pg_temp.request(k text) RETURNS jsonb LANGUAGE plpgsql AS $$ DECLARE r jsonb; BEGIN
	EXECUTE format('SELECT %I(pg_temp.newest(%L))', (SELECT prepare FROM outbox_kinds WHERE kind = k), k) INTO r; RETURN r; END $$;
CREATE FUNCTION pg_temp.done(k text, result jsonb DEFAULT '{"bytes": 5, "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}') RETURNS void LANGUAGE plpgsql AS $$
	DECLARE o outbox := pg_temp.newest(k); BEGIN PERFORM va_outbox_close(o, 'done', result); END $$;
CREATE FUNCTION pg_temp.fails(k text, error jsonb) RETURNS void LANGUAGE plpgsql AS $$ DECLARE o outbox := pg_temp.newest(k); BEGIN PERFORM va_outbox_bury(o, 'failed', error); END $$;
CREATE FUNCTION pg_temp.file(f uuid) RETURNS stored_files LANGUAGE sql AS $$ SELECT f FROM stored_files f WHERE id = $1 $$;
CREATE FUNCTION pg_temp.removals() RETURNS text[] LANGUAGE sql AS $$
	SELECT coalesce(array_agg(concat_ws(' ', CASE WHEN tenant_id IS NULL THEN 'platform' ELSE 'tenant' END, state, payload #>> '{target,bucket}', num_nonnulls(lead_id, call_id)) ORDER BY id), '{}') FROM outbox WHERE kind = 'storage.delete' $$;
\set hello '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824'

-- ---- places
SELECT ok(va_storage_target(:'mine', '00000000-0000-0000-0000-000000000001', '.wav') ->> 'path' = format('%s/%s/00000000-0000-0000-0000-000000000001.wav', :'mine', to_char(now() AT TIME ZONE 'UTC', 'YYYY/MM')), 'without a bucket: files, by tenant and month');
SELECT is(va_storage_target(:'mine', :'mine', '') - 'path', '{}', 'and nothing else');
SELECT va_tenant_settings_set(:'mine', '{"storage": {"endpoint": "https://s3.example.com"}}') \g /dev/null
SELECT is(va_storage_target(:'mine', :'mine', '') - 'path', '{}', 'an end point without a bucket is none');
SELECT va_tenant_settings_set(:'mine', '{"storage": {"bucket": "box", "prefix": "calls/"}}') \g /dev/null
SELECT is(va_storage_target(:'mine', :'mine', '') - 'path', '{"bucket": "box", "region": "us-east-1", "endpoint": "https://s3.example.com", "path_style": true, "tenant_url": true}', 'a bucket of the tenant''s: its address is guarded'),
	matches(va_storage_target(:'mine', :'mine', '') ->> 'path', '^calls/' || :'mine' || '/', 'with its prefix');
SELECT va_tenant_settings_set(:'mine', '{"storage": null}'), va_platform_settings_set('{"storage": {"endpoint": "https://s3.example.com", "bucket": "all", "region": "eu-1", "path_style": false}}') \g /dev/null
SELECT is(va_storage_target(:'mine', :'mine', '') - 'path', '{"bucket": "all", "region": "eu-1", "endpoint": "https://s3.example.com", "path_style": false, "tenant_url": false}', 'the administrator''s: not guarded');
SELECT is(va_storage_access(:'mine', '{"bucket": "all", "path": "x"}'), NULL, 'without keys there is no access');
SELECT va_secret_set(:'mine', 's3_access_key', 'AK') \g /dev/null
SELECT is(va_storage_access(:'mine', '{"bucket": "all", "path": "x"}'), NULL, 'nor with one of two');
SELECT va_secret_set(:'mine', 's3_secret_key', 'SK') \g /dev/null
SELECT is(va_storage_access(:'mine', '{"bucket": "all", "path": "x"}'), '{"bucket": "all", "path": "x", "place": "s3", "access_key": "AK", "secret_key": "SK"}', 'with both'),
	is(va_storage_access(:'mine', '{"path": "x"}'), jsonb_build_object('path', 'x', 'place', 'file', 'directory', current_setting('data_directory') || '/voiceagent_files'), 'files need none');
SELECT va_platform_settings_set('{"storage": null}') \g /dev/null
SELECT matches(pg_temp.error_of(format('SELECT va_tenant_settings_set(%L, %L)', :'mine', jsonb_build_object('storage', s::jsonb))), '^VA009', 'refused: ' || s)
FROM unnest(ARRAY['5', '{"bucket": "a/b"}', '{"bucket": "x"}', '{"endpoint": "s3.example.com"}', '{"endpoint": "https://h/path"}', '{"endpoint": "https://u:p@h"}', '{"prefix": "../x"}', '{"prefix": "a/./b"}', '{"prefix": "a b"}', '{"region": "EU"}', '{"path_style": "yes"}', '{"secret_key": "x"}']) s;

-- ---- a document, from the database
SELECT va_file_put(:'mine', 'Grüße "1".txt', 'hello', 'text/plain') AS doc \gset
SELECT is((f.status, f.kind, f.name, f.media_type, f.place, f.bytes, f.lead_id)::text, '(pending,document,"Grüße ""1"".txt",text/plain,file,,)', 'a document waits'), matches(f.target ->> 'path', '\.txt$', 'with the ending of its name') FROM pg_temp.file(:'doc') f;
SELECT is(pg_temp.request('storage.put') - 'target', '{"base64": "aGVsbG8=", "media_type": "text/plain", "tenant_url": false}', 'what the dispatcher is told'), is(pg_temp.request('storage.put') #>> '{target,path}', f.target ->> 'path', 'and where to') FROM pg_temp.file(:'doc') f;
SELECT matches(pg_temp.error_of(format('SELECT va_file_link(%L)', :'doc')), '^VA005 \| the file is not stored', 'no link before it is there');
SELECT pg_temp.done('storage.put') \g /dev/null
SELECT is((f.status, f.bytes, f.sha256, f.stored_at IS NOT NULL)::text, '(stored,5,' || :'hello' || ',t)', 'stored, with length and hash') FROM pg_temp.file(:'doc') f;
SELECT va_file_put(:'mine', 'b', '\x', lead => va_lead_capture(:'mine', '{"phone": "+493055501", "name": "Ann"}')) AS empty \gset
SELECT is(pg_temp.request('storage.put') -> 'base64', '""', 'an empty one, with a lead'), ok(f.lead_id IS NOT NULL AND f.media_type = 'application/octet-stream', 'whose it is') FROM pg_temp.file(:'empty') f;
SELECT pg_temp.fails('storage.put', '{"code": "AccessDenied", "text": "Access Denied", "http_status": 403, "hint": "Allow it."}') \g /dev/null
SELECT is((f.status, f.error_message)::text, '(failed,"Access Denied (HTTP 403). Allow it.")', 'a failure is told in the row') FROM pg_temp.file(:'empty') f;
SELECT va_outbox_retry(id) FROM outbox_dead WHERE kind = 'storage.put' \g /dev/null
SELECT pg_temp.done('storage.put') \g /dev/null
SELECT is((f.status, f.error_message)::text, '(stored,)', 'tried again, and forgotten') FROM pg_temp.file(:'empty') f;
SELECT matches(pg_temp.error_of(format('SELECT va_file_put(%L, %L, %s)', t, n, c || more)), '^' || e, 'not put: ' || w) FROM (VALUES
	(:'mine', '', '$$x$$', '', 'VA005', 'no name'), (:'mine', 'a/b', '$$x$$', '', 'VA005', 'a path'), (:'mine', '..', '$$x$$', '', 'VA005', 'the folder above'), (:'mine', E'a\nb', '$$x$$', '', 'VA005', 'two lines'),
	(:'mine', repeat('x', 201), '$$x$$', '', 'VA005', 'too long a name'), (:'mine', 'a', 'NULL', '', 'VA005', 'nothing'), (:'mine', 'a', 'convert_to(repeat(''x'', 8388609), ''UTF8'')', '', 'VA005', 'too much'),
	(:'mine', 'a', '$$x$$', ', ''text''', 'VA005', 'no media type'), (:'mine', 'a', '$$x$$', ', E''a/b\r\nX: y''', 'VA005', 'a header in the media type'), (:'mine', 'a', '$$x$$', ', ''a/b'', gen_random_uuid()', 'VA020', 'unknown lead'),
	(:'theirs', 'a', '$$x$$', ', ''a/b'', (SELECT id FROM leads LIMIT 1)', 'VA020', 'another tenant''s lead'), (gen_random_uuid()::text, 'a', '$$x$$', '', 'VA001', 'unknown tenant')) AS x (t, n, c, more, e, w);

-- ---- a recording, from Twilio
SELECT call_id AS call FROM pg_temp.answer('CA1', '{"From": "+493055501"}') \gset
UPDATE calls SET recording_sid = 'RE00000000000000000000000000000001' WHERE id = :'call';
SELECT is((pg_temp.newest('storage.recording')).id, NULL, 'a recording that has only begun is not fetched');
UPDATE calls SET recording_url = 'https://api.twilio.com/x' WHERE id = :'call';
SELECT is((f.status, f.kind, f.name, f.media_type)::text, '(pending,recording,RE00000000000000000000000000000001.wav,audio/wav)', 'one that is ready is'), f.id AS rec FROM stored_files f WHERE call_id = :'call' \gset
UPDATE calls SET recording_url = 'https://api.twilio.com/y' WHERE id = :'call';
SELECT is((SELECT count(*)::int FROM stored_files WHERE call_id = :'call'), 1, 'once');
SELECT is(pg_temp.request('storage.recording') - 'target', jsonb_build_object('media_type', 'audio/wav', 'tenant_url', false, 'source', jsonb_build_object('user', :'acme', 'password', 'token',
	'url', current_setting('voiceagent.twilio_base_url') || '/2010-04-01/Accounts/' || :'acme' || '/Recordings/RE00000000000000000000000000000001.wav')), 'from the account''s own address, with its token');
SELECT va_secret_clear(:'mine', 'twilio_auth_token') \g /dev/null
SELECT is(pg_temp.request('storage.recording') #>> '{fail,code}', 'no_secret', 'without a token it says so');
SELECT va_secret_set(:'mine', 'twilio_auth_token', 'token') \g /dev/null
SELECT pg_temp.done('storage.recording') \g /dev/null
SELECT is(f.status, 'stored', 'stored') FROM pg_temp.file(:'rec') f;
SELECT is((SELECT count(*)::int FROM outbox WHERE kind = 'twilio.recording_delete'), 0, 'and left at Twilio');
SELECT va_tenant_settings_set(:'mine', '{"storage": {"delete_at_twilio": true, "transcripts": true}}') \g /dev/null
UPDATE calls SET recording_sid = 'RE00000000000000000000000000000002' WHERE id = :'call';
SELECT pg_temp.done('storage.recording') \g /dev/null
SELECT is((SELECT array_agg(attempt_key || (payload ->> 'sid')) FROM outbox WHERE kind = 'twilio.recording_delete'), ARRAY[repeat('RE00000000000000000000000000000002', 2)], 'unless the tenant wants it gone there, once it is here');

-- ---- a transcript
UPDATE calls SET transcript = '[{"role": "user", "text": "Hello?"}, {"role": "agent", "text": "Grüß Gott."}]' WHERE id = :'call';
SELECT va_call_set_status(:'call', 'completed') \g /dev/null
SELECT is((f.status, f.name, f.media_type, o.state)::text, format('(pending,%s.txt,"text/plain; charset=utf-8",later)', :'call'), 'a transcript a minute after the call'), f.id AS trans FROM stored_files f JOIN outbox o ON o.payload ->> 'file_id' = f.id::text WHERE f.kind = 'transcript' \gset
SELECT is(pg_temp.request('storage.put') ->> 'text', E'User: Hello?\nAgent: Grüß Gott.', 'a line a turn');
SELECT call_id AS quiet FROM pg_temp.answer('CA2') \gset
SELECT va_call_set_status(:'quiet', 'completed') \g /dev/null
SELECT is((SELECT count(*)::int FROM stored_files WHERE call_id = :'quiet'), 0, 'none of a call in which nothing was said');

-- ---- links
SELECT va_file_link(:'doc', '10 minutes') AS link \gset
SELECT matches(:'link'::text, '/files/' || :'doc' || '\?expires=[0-9]+&signature=[0-9a-f]{64}$', 'a link');
SELECT substring(:'link' FROM 'expires=([0-9]+)') AS expires, substring(:'link' FROM 'signature=(.*)') AS signature \gset
SELECT is((:expires - extract(epoch FROM now()))::int BETWEEN 590 AND 600, true, 'for as long as was said');
SELECT is(o::text, format('(%s/%s,"Grüße ""1"".txt",text/plain,5,%s)', current_setting('data_directory') || '/voiceagent_files', f.target ->> 'path', :'hello'), 'it opens the file') FROM pg_temp.file(:'doc') f, va_file_open(:'doc', :'expires', :'signature') o;
SELECT is((SELECT count(*)::int FROM va_file_open(f, e, s)), 0, 'not opened: ' || w) FROM (VALUES
	(:'doc', (:expires + 1)::text, :'signature', 'a later time'), (:'empty', :'expires', :'signature', 'another file'), (:'doc', :'expires', reverse(:'signature'), 'another signature'), (:'doc', :'expires', '', 'no signature'),
	(:'doc', :'expires', upper(:'signature'), 'in capitals'), ('x', :'expires', :'signature', 'no file'), (:'doc', '-1', :'signature', 'no time'), (:'doc', 'NaN', :'signature', 'no number'), (:'doc', repeat('9', 13), :'signature', 'a huge number'),
	(NULL, :'expires', :'signature', 'nothing'), (:'doc', NULL, :'signature', 'nothing of a time'), (:'doc', :'expires', NULL, 'nothing of a signature'),
	(:'doc', (extract(epoch FROM now())::bigint - 1)::text, va_hmac_sha256(va_file_link_key(), format('%s.%s', :'doc', extract(epoch FROM now())::bigint - 1)), 'too late'),
	(:'doc', (extract(epoch FROM now())::bigint + 700000)::text, va_hmac_sha256(va_file_link_key(), format('%s.%s', :'doc', extract(epoch FROM now())::bigint + 700000)), 'too far ahead'),
	(:'trans', :'expires', va_hmac_sha256(va_file_link_key(), format('%s.%s', :'trans', :expires)), 'not stored yet')) AS x (f, e, s, w);
SELECT matches(pg_temp.error_of(format('SELECT va_file_link(%s)', a)), '^VA005', 'no link: ' || a) FROM unnest(ARRAY[format('%L, %L', :'doc', '0 seconds'), format('%L, %L', :'doc', '8 days'), format('%L, NULL', :'doc'), 'gen_random_uuid()', 'NULL']) a;
SELECT is(va_file_link_key(), va_file_link_key(), 'one key'), ok(length(va_file_link_key()) = 64 AND NOT EXISTS (SELECT FROM tenant_secrets s WHERE strpos(s::text, va_file_link_key()) > 0), 'that is nowhere in clear');
SELECT va_tenant_settings_set(:'mine', '{"storage": {"endpoint": "https://s3.example.com", "bucket": "box", "path_style": false, "region": "eu-1"}}') \g /dev/null
SELECT va_file_put(:'mine', 'in s3', 'x') AS s3 \gset
SELECT is(f.place, 's3', 'into the bucket'), is(pg_temp.request('storage.put') -> 'tenant_url', 'true', 'whose address is guarded'), is(pg_temp.request('storage.put') #>> '{target,secret_key}', 'SK', 'with its key'), ok(f.target::text !~ 'SK', 'which the row does not hold') FROM pg_temp.file(:'s3') f;
SELECT va_tenant_settings_set(:'mine', '{"storage": null}') \g /dev/null
SELECT is(pg_temp.request('storage.put') -> 'tenant_url', 'true', 'and stays guarded when the setting is gone');
SELECT pg_temp.done('storage.put') \g /dev/null
SELECT matches(va_file_link(:'s3'), '^https://box\.s3\.example\.com/' || :'mine' || '/[0-9/]+/' || :'s3' || '\?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AK%2F.*%2Feu-1%2Fs3%2Faws4_request&.*X-Amz-Expires=3600.*&X-Amz-Signature=[0-9a-f]{64}$', 'a link to S3 itself');
SELECT is((SELECT count(*)::int FROM va_file_open(:'s3', :'expires', va_hmac_sha256(va_file_link_key(), format('%s.%s', :'s3', :expires)))), 0, 'which the gateway does not serve');
SELECT is(va_s3_link('https://examplebucket.s3.amazonaws.com:443/', 'us-east-1', 'AKIAIOSFODNN7EXAMPLE', 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY', 'b', true, 'k', 1, '2013-05-24Z') ~ '^https://examplebucket.s3.amazonaws.com/b/k\?', true, 'a port that says nothing, and a slash, are left out'),
	is(va_s3_link('https://s3.amazonaws.com', 'us-east-1', 'AKIAIOSFODNN7EXAMPLE', 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY', 'examplebucket', false, 'test.txt', 86400, '2013-05-24Z'), 'https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404', 'the published example');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_s3_link(%s)', a)), 'VA005', 'refused: ' || a) FROM unnest(ARRAY['$$s3$$, $$r$$, $$a$$, $$s$$, $$b$$, true, $$k$$, 1, now()', '$$https://h$$, $$r$$, $$a$$, $$s$$, $$b$$, true, $$$$, 1, now()', '$$https://h$$, $$r$$, $$a$$, $$s$$, $$b$$, true, $$k$$, 0, now()', '$$https://h$$, $$r$$, $$a$$, $$s$$, $$b$$, true, $$k$$, 604801, now()']) a;
SELECT va_secret_clear(:'mine', 's3_secret_key') \g /dev/null
SELECT matches(pg_temp.error_of(format('SELECT va_file_link(%L)', :'s3')), '^VA007', 'no link without the keys');
SELECT va_file_put(:'mine', 'later', 'x') \g /dev/null
SELECT va_secret_set(:'mine', 's3_secret_key', 'SK') \g /dev/null

-- ---- files that go
DELETE FROM outbox WHERE kind = 'storage.delete';
DELETE FROM stored_files WHERE id = :'doc';
SELECT is(pg_temp.removals(), ARRAY['platform ready 0'], 'a row that goes takes its file with it'), is(pg_temp.request('storage.delete') #>> '{target,place}', 'file', 'from this host');
DELETE FROM stored_files WHERE id = :'s3';
SELECT is(pg_temp.removals(), ARRAY['platform ready 0', 'tenant ready box 0'], 'from the bucket, with the tenant''s key'), is(pg_temp.request('storage.delete') #>> '{target,secret_key}', 'SK', 'as it is now');
DELETE FROM outbox WHERE kind = 'storage.delete';
DELETE FROM stored_files WHERE name = 'later';
SELECT is(pg_temp.removals(), ARRAY['platform later 0'], 'one under way: when it can no longer arrive'), ok((pg_temp.newest('storage.delete')).run_at >= now() + (SELECT make_interval(secs => max(timeout_ms) / 1000 + 30) FROM outbox_kinds WHERE kind LIKE 'storage.%'), 'which no attempt outlasts');
SELECT is(pg_temp.request('storage.put') ->> 'skip', 'the file was deleted before it was stored', 'and it is not begun any more');
SELECT pg_temp.done('storage.put') \g /dev/null
SELECT is(pg_temp.removals(), ARRAY['platform later 0', 'platform ready 0'], 'what arrives nevertheless goes again'), is((SELECT settle_error FROM outbox_history ORDER BY finished_at DESC LIMIT 1), NULL, 'without an error');
UPDATE stored_files SET expires_at = now() + CASE WHEN id = :'empty' THEN interval '0' ELSE interval '1 day' END;
SELECT is(va_files_expire(), 1, 'what has had its time goes'), is((pg_temp.file(:'empty')).id, NULL, 'with its row'), is(va_files_expire(), 0, 'and nothing else');
UPDATE stored_files SET expires_at = now();
SELECT is(va_files_expire(1), 1, 'in portions');
SELECT count(*) AS left FROM stored_files \gset
SELECT va_housekeeping() \g /dev/null
SELECT is((SELECT count(*)::int FROM stored_files), 0, 'housekeeping does that'), isnt(:left, 0, 'and there was something');

-- retention: by the age of the file
UPDATE calls SET recording_sid = 'RE00000000000000000000000000000003', recording_url = 'https://x' WHERE id = :'call';
SELECT va_file_add('transcript', :'mine', NULL, :'call', 't.txt', 'text/plain', '.txt', 'storage.put', '{}'), va_file_put(:'mine', 'kept', 'x') \g /dev/null
UPDATE stored_files SET created_at = now() - interval '5 days';
SELECT va_tenant_settings_set(:'mine', '{"retention_days": {"recordings": 6, "transcripts": 6}}') \g /dev/null
SELECT va_housekeeping() \g /dev/null
SELECT is((SELECT array_agg(kind ORDER BY kind) FROM stored_files), ARRAY['document', 'recording', 'transcript'], 'what is young enough stays');
SELECT va_tenant_settings_set(:'mine', '{"retention_days": {"recordings": 4, "transcripts": null}}') \g /dev/null
SELECT is(va_retention_apply() -> 'recordings', '1', 'an old recording goes');
SELECT is((SELECT array_agg(kind ORDER BY kind) FROM stored_files), ARRAY['document', 'transcript'], 'and it alone');
UPDATE calls SET ended_at = now() - interval '5 days' WHERE id = :'call';
SELECT is(va_retention_apply() -> 'recordings', '1', 'a call''s too');
SELECT is((SELECT count(*)::int FROM outbox WHERE kind = 'twilio.recording_delete' AND attempt_key LIKE '%3'), 1, 'which is deleted at Twilio');
SELECT va_tenant_settings_set(:'mine', '{"retention_days": {"transcripts": 4}}') \g /dev/null
SELECT va_retention_apply() \g /dev/null
SELECT is((SELECT array_agg(kind) FROM stored_files), ARRAY['document'], 'transcripts'), is(va_files_forget(:'mine', 'document', interval '1 day', 5), 1, 'and what one says');

-- erasure: nothing of the person stays, and what carries that out does
SELECT call_id AS erased FROM pg_temp.answer('CA9', '{"From": "+493055509"}') \gset
UPDATE calls SET recording_sid = 'RE00000000000000000000000000000009', recording_url = 'https://x' WHERE id = :'erased';
SELECT pg_temp.done('storage.recording'), va_file_put(:'mine', 'contract', 'x', lead => va_lead_capture(:'mine', '{"phone": "+493055509"}')), pg_temp.done('storage.put'), va_file_put(:'mine', 'another''s', 'x') \g /dev/null
DELETE FROM outbox WHERE kind = 'storage.delete';
SELECT is(va_erase_person(:'mine', '+493055509') #>> '{recordings_at_twilio,0,recording_sid}', 'RE00000000000000000000000000000009', 'erased');
SELECT is((SELECT array_agg(name) FROM stored_files), ARRAY['another''s'], 'the person''s files have gone'), is(pg_temp.removals(), ARRAY['platform ready 0', 'platform ready 0'], 'their removal remains, and names nobody'),
	is((SELECT (tenant_id = :'mine', call_id IS NULL, payload)::text FROM outbox WHERE kind = 'twilio.recording_delete' AND attempt_key LIKE '%9'), '(t,t,"{""sid"": ""RE00000000000000000000000000000009""}")', 'and that at Twilio');
-- a tenant
DELETE FROM outbox WHERE kind = 'storage.delete';
SELECT va_tenant_settings_set(:'theirs', '{"storage": {"endpoint": "https://s3.example.com", "bucket": "theirs"}}'), va_file_put(:'theirs', 'a', 'x'), va_tenant_settings_set(:'theirs', '{"storage": null}'), va_file_put(:'theirs', 'b', 'x') \g /dev/null
DELETE FROM analytics_events WHERE tenant_id = :'theirs';
DELETE FROM tenants WHERE id = :'theirs';
SELECT is(pg_temp.removals(), ARRAY['platform later 0'], 'with its tenant a file on this host goes; a bucket is not ours');

-- ---- rights
SELECT pg_temp.tenant('+15551230004') AS other \gset
SELECT va_file_put(:'other', 'o', 'x') AS theirfile, id AS myfile FROM stored_files WHERE tenant_id = :'mine' \gset
SELECT pg_temp.done('storage.put') \g /dev/null
SET ROLE voiceagent_agent;
SELECT set_config('voiceagent.tenant_id', :'mine', false) \g /dev/null
SELECT is((SELECT array_agg(tenant_id) FROM stored_files), ARRAY[:'mine'::uuid], 'a tenant sees its own files');
SELECT is(pg_temp.sqlstate_of(s), c, s) FROM (VALUES (format('SELECT va_file_link(%L)', :'theirfile'), 'VA005'), (format('SELECT va_file_put(%L, $$a$$, $$x$$)', :'other'), 'VA001'), (format('UPDATE stored_files SET target = $${}$$ WHERE id = %L', :'myfile'), '42501'),
	(format('INSERT INTO stored_files SELECT * FROM stored_files'), '42501'), (format('SELECT * FROM va_file_open(%L, $$1$$, $$x$$)', :'myfile'), '42501'), ('SELECT va_file_link_key()', '42501'), ('SELECT va_hmac_sha256($$a$$, $$b$$)', '42501'),
	('SELECT va_files_expire()', '42501'), (format('UPDATE stored_files SET expires_at = now() WHERE id = %L', :'myfile'), 'none'), (format('SELECT va_file_put(%L, $$a$$, $$x$$)', :'mine'), 'none')) AS x (s, c);
SELECT is((SELECT count(*)::int FROM stored_files WHERE id = :'theirfile'), 0, 'another''s are not there');
DELETE FROM stored_files;
RESET ROLE;
SELECT is((SELECT array_agg(name) FROM stored_files), ARRAY['o'], 'and are not deleted');
SET ROLE voiceagent_gateway;
SELECT is(pg_temp.sqlstate_of(s), c, 'gateway: ' || s) FROM (VALUES ('SELECT * FROM stored_files', '42501'), ('SELECT * FROM va_file_open($$x$$, $$1$$, $$x$$)', 'none'), ('SELECT va_file_link(NULL)', '42501')) AS x (s, c);
RESET ROLE;
SELECT * FROM finish();
