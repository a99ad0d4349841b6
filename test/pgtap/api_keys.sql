-- API keys: told once, kept as a digest, in force until revoked, expired, or the tenant is not active.
\ir setup.psql
SELECT no_plan();
SELECT pg_temp.tenant('+15551230002') AS tenant, pg_temp.tenant('+15551230003') AS theirs \gset
SELECT va_api_key_create(:'tenant', 'web site', '{leads:write,leads:read,leads:read}') AS key, va_api_key_create(:'tenant', 'nothing') AS empty \gset
SELECT matches(:'key'::text, '^va_[0-9a-f]{48}$', 'a key'), isnt(:'key'::text, :'empty'::text, 'each is another');
SELECT row_eq(format('SELECT tenant_id, scope FROM va_api_key_check(%L)', :'key'), ROW(:'tenant'::uuid, '{leads:read,leads:write}'::text[]), 'it tells tenant and scope, each word once');
SELECT is((SELECT scope FROM va_api_key_check(:'empty')), '{}', 'a key without scope');
SELECT is((SELECT count(*)::int FROM va_api_key_check(k)), 0, coalesce('no key: ' || k, 'no key: NULL')) FROM unnest(ARRAY['', NULL, 'va_', upper(:'key'), :'key' || '0', left(:'key', -1), 'va_' || repeat('0', 48), (SELECT key_hash::text FROM api_keys LIMIT 1)]) k;
SELECT is((SELECT count(*)::int FROM api_keys k WHERE k::text LIKE '%' || substr(:'key', 10) || '%'), 0, 'the key itself is not stored'), is((SELECT key_hash FROM api_keys WHERE name = 'web site'), sha256(:'key'::bytea), 'but its digest'), is((SELECT hint FROM api_keys WHERE name = 'web site'), left(:'key'::text, 9), 'and its beginning');
-- last use, to the minute
SELECT ok(last_used_at = now() OR last_used_at IS NOT NULL, 'the use is noted') FROM api_keys WHERE name = 'web site';
UPDATE api_keys SET last_used_at = now() - interval '30 seconds' WHERE name = 'web site' RETURNING last_used_at AS used \gset
SELECT count(*) FROM va_api_key_check(:'key') \g /dev/null
SELECT is((SELECT last_used_at FROM api_keys WHERE name = 'web site'), :'used'::timestamptz, 'once a minute');
UPDATE api_keys SET last_used_at = now() - interval '61 seconds' WHERE name = 'web site';
SELECT count(*) FROM va_api_key_check(:'key') \g /dev/null
SELECT ok((SELECT last_used_at > :'used'::timestamptz FROM api_keys WHERE name = 'web site'), 'and then again');
-- the end of a key
SELECT id AS id FROM api_keys WHERE name = 'web site' \gset
UPDATE tenants SET status = 'suspended' WHERE id = :'tenant';
SELECT is((SELECT count(*)::int FROM va_api_key_check(:'key')), 0, 'a tenant that is not active has no keys');
UPDATE tenants SET status = 'active' WHERE id = :'tenant';
SELECT is(va_api_key_revoke(:'id'), true, 'revoked'), is(va_api_key_revoke(:'id'), false, 'once'), is(va_api_key_revoke(gen_random_uuid()), false, 'none');
SELECT is((SELECT count(*)::int FROM va_api_key_check(:'key')), 0, 'and out of force');
SELECT isnt(va_api_key_create(:'tenant', 'web site'), NULL, 'its name is free again'), is(pg_temp.sqlstate_of(format('SELECT va_api_key_create(%L, %L)', :'tenant', 'web site')), '23505', 'but not twice');
SELECT va_api_key_create(:'tenant', 'short', expires_at => now() + interval '1 hour') AS short \gset
SELECT is((SELECT count(*)::int FROM va_api_key_check(:'short')), 1, 'in force until it expires');
UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE name = 'short';
SELECT is((SELECT count(*)::int FROM va_api_key_check(:'short')), 0, 'and then no more');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_api_key_create(%s)', a)), c, 'refused: ' || a) FROM (VALUES (format('%L, $$ $$', :'tenant'), 'VA005'), (format('%L, NULL', :'tenant'), 'VA005'), (format('%L, $$a$$, $${"Leads"}$$', :'tenant'), 'VA005'), (format('%L, $$a$$, ARRAY[NULL]::text[]', :'tenant'), 'VA005'), (format('%L, $$a$$, $${""}$$', :'tenant'), 'VA005'), (format('%L, $$a$$, NULL, now()', :'tenant'), 'VA005'), ('NULL, $$a$$', 'VA001'), (format('%L, %L', :'tenant', repeat('x', 101)), '23514')) AS x (a, c);
-- rights
SELECT set_config('voiceagent.tenant_id', :'theirs', false) \g /dev/null
SET ROLE voiceagent_agent;
SELECT is((SELECT count(*)::int FROM (SELECT id, hint FROM api_keys) k), 0, 'an application sees no key of another tenant'), is(pg_temp.sqlstate_of(s), '42501', 'an application may not: ' || s) FROM unnest(ARRAY['SELECT key_hash FROM api_keys', format('SELECT va_api_key_create(%L, $$x$$)', :'theirs'), format('SELECT va_api_key_revoke(%L)', :'id'), 'SELECT va_api_key_check($$x$$)', 'DELETE FROM api_keys']) s;
RESET ROLE;
SET ROLE voiceagent_admin;
SELECT is(pg_temp.sqlstate_of(s), '42501', 'nor the administrator: ' || s) FROM unnest(ARRAY['SELECT key_hash FROM api_keys', 'SELECT va_api_key_check($$x$$)', 'UPDATE api_keys SET tenant_id = NULL']) s;
SELECT lives_ok(format('SELECT va_api_key_create(%L, $$by the administrator$$)', :'theirs'), 'who makes keys');
RESET ROLE;
SELECT va_api_key_create(:'theirs', 'theirs') AS their_key \gset
SET ROLE voiceagent_gateway;
SELECT is((SELECT tenant_id FROM va_api_key_check(:'their_key')), :'theirs'::uuid, 'the gateway checks them'), is(pg_temp.sqlstate_of('SELECT FROM api_keys'), '42501', 'and sees no table');
RESET ROLE;
SELECT * FROM finish();
