-- Who may do what. Most of it is read from the catalogue, so that a table or function that is added later
-- and forgotten fails here.
\ir setup.psql
SELECT no_plan();

CREATE TEMP VIEW members AS
SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
WHERE e.extname = 'voiceagent' AND d.deptype = 'e';
CREATE TEMP VIEW our_tables AS SELECT c.oid, c.relname::text AS name, c.relrowsecurity, c.relacl, c.relispartition FROM members m JOIN pg_class c ON c.oid = m.objid AND m.classid = 'pg_class'::regclass WHERE c.relkind IN ('r', 'p');
CREATE TEMP VIEW our_views AS SELECT c.oid, c.relname::text AS name, c.reloptions FROM members m JOIN pg_class c ON c.oid = m.objid AND m.classid = 'pg_class'::regclass WHERE c.relkind = 'v';
CREATE TEMP VIEW our_functions AS SELECT p.oid::regprocedure::text AS name, p.* FROM members m JOIN pg_proc p ON p.oid = m.objid AND m.classid = 'pg_proc'::regclass;

SELECT cmp_ok((SELECT count(*) FROM our_tables), '>=', 22::bigint, 'the tables are there');
SELECT is((SELECT array_agg(c.relname) FROM members m JOIN pg_class c ON c.oid = m.objid AND m.classid = 'pg_class'::regclass WHERE c.relkind NOT IN ('r', 'p', 'v', 'i', 'I') AND NOT (c.relkind = 'S' AND c.oid = ANY ((SELECT extconfig FROM pg_extension WHERE extname = 'voiceagent')::oid[]))), NULL, 'tables, views, and sequences that are dumped: nothing else');

-- every table
SELECT ok(t.oid = ANY (e.extconfig), t.name || ' is dumped') FROM our_tables t, pg_extension e WHERE e.extname = 'voiceagent' AND NOT t.relispartition ORDER BY t.name;
SELECT ok(t.relrowsecurity, t.name || ' has row-level security')
FROM our_tables t WHERE t.name = 'tenants' OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attname = 'tenant_id') ORDER BY t.name;
SELECT ok(EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = t.oid AND p.polcmd = '*' AND p.polroles = '{0}' AND pg_get_expr(p.polqual, t.oid) ~ '\(?(tenant_id|id) = (public\.)?va_current_tenant\(\)'), t.name || ' has the tenant policy')
FROM our_tables t WHERE t.relrowsecurity ORDER BY t.name;
SELECT is((SELECT array_agg(t.name ORDER BY t.name) FROM our_tables t WHERE NOT t.relrowsecurity AND (has_table_privilege('voiceagent_agent', t.oid, 'SELECT') OR has_table_privilege('voiceagent_bi', t.oid, 'SELECT'))), NULL, 'a tenant''s roles read no table without row-level security');
SELECT is((SELECT array_agg(t.name) FROM our_tables t, aclexplode(t.relacl) a WHERE a.grantee = 0), NULL, 'no table is everybody''s');
SELECT is((SELECT array_agg(t.name) FROM our_tables t, unnest(ARRAY['voiceagent_gateway', 'voiceagent_dispatcher']) r WHERE has_any_column_privilege(r, t.oid, 'SELECT, INSERT, UPDATE, REFERENCES')), NULL, 'the programs touch no table');
SELECT is((SELECT array_agg(t.name) FROM our_tables t WHERE has_any_column_privilege('voiceagent_bi', t.oid, 'INSERT, UPDATE') OR has_table_privilege('voiceagent_bi', t.oid, 'DELETE')), NULL, 'business intelligence only reads');
SELECT is((SELECT array_agg(t.name ORDER BY t.name) FROM our_tables t WHERE has_any_column_privilege('voiceagent_agent', t.oid, 'INSERT, UPDATE')),
	ARRAY['appointments', 'business_hours', 'campaigns', 'follow_up_sequences', 'follow_up_steps', 'follow_up_tasks', 'holidays', 'human_agents', 'leads', 'notifications', 'stored_files', 'tenant_voice_configs'], 'what a tenant''s application may write');
SELECT ok('security_invoker=true' = ANY (v.reloptions), 'view ' || v.name || ' runs with the rights of the one who asks') FROM our_views v ORDER BY v.name;
SELECT ok(NOT has_column_privilege(r, 'tenant_secrets', 'ciphertext', 'SELECT'), r || ' sees no ciphertext') FROM unnest(ARRAY['voiceagent_admin', 'voiceagent_agent', 'voiceagent_bi', 'voiceagent_gateway', 'voiceagent_dispatcher']) r;

-- every function
SELECT is((SELECT array_agg(f.name) FROM our_functions f WHERE f.prosecdef AND coalesce(f.proconfig, '{}')::text !~ 'search_path=pg_catalog, pg_temp'), NULL, 'every SECURITY DEFINER function fixes its search_path');
SELECT is((SELECT array_agg(f.name ORDER BY f.name) FROM our_functions f JOIN pg_language l ON l.oid = f.prolang
	WHERE l.lanname <> 'c' AND f.prosqlbody IS NULL AND coalesce(f.proconfig, '{}')::text !~ 'search_path=pg_catalog, pg_temp'), ARRAY['va_check_tool()', 'va_tool_qualify(text)'], 'every other function as well, but for the two that need the writer''s');
SELECT is((SELECT array_agg(f.proname::text ORDER BY f.proname) FROM our_functions f WHERE has_function_privilege('public', f.oid, 'EXECUTE')),
	ARRAY['va_check_settings', 'va_current_tenant', 'va_phone_normalize', 'va_phone_try', 'va_version'], 'what everybody may call');
SELECT is((SELECT array_agg(DISTINCT f.proname::text ORDER BY f.proname::text) FROM our_functions f WHERE has_function_privilege('voiceagent_gateway', f.oid, 'EXECUTE') AND NOT has_function_privilege('public', f.oid, 'EXECUTE')),
	ARRAY['va_api_key_check', 'va_call_events', 'va_call_session', 'va_call_stream_start', 'va_call_tool', 'va_file_open', 'va_gateway_config', 'va_gateway_report', 'va_secret_read', 'va_webhook_email_events', 'va_webhook_email_inbound', 'va_webhook_message_status', 'va_webhook_odoo', 'va_webhook_sms_incoming', 'va_webhook_unsubscribe', 'va_webhook_voice_after_stream', 'va_webhook_voice_amd', 'va_webhook_voice_answer', 'va_webhook_voice_conference', 'va_webhook_voice_fallback', 'va_webhook_voice_participant', 'va_webhook_voice_recording', 'va_webhook_voice_status', 'va_webhook_voice_stream_status', 'va_webhook_voice_transcription', 'va_webhook_voice_voicemail', 'va_webhook_whatsapp_incoming'], 'what the gateway may call');
SELECT is((SELECT array_agg(f.proname::text ORDER BY f.proname::text) FROM our_functions f WHERE has_function_privilege('voiceagent_dispatcher', f.oid, 'EXECUTE') AND NOT has_function_privilege('public', f.oid, 'EXECUTE')),
	ARRAY['va_outbox_begin', 'va_outbox_claim', 'va_outbox_report', 'va_outbox_settle', 'va_outbox_sweep'], 'what the dispatcher may call');
SELECT is((SELECT array_agg(f.name) FROM our_functions f, unnest(ARRAY['voiceagent_admin', 'voiceagent_agent', 'voiceagent_bi']) r WHERE f.proname IN ('va_encrypt', 'va_decrypt', 'va_secret_read', 'va_tool_run') AND has_function_privilege(r, f.oid, 'EXECUTE')), NULL, 'nobody but the gateway reads a secret');
SELECT is((SELECT array_agg(f.name) FROM our_functions f WHERE f.prolang = (SELECT oid FROM pg_language WHERE lanname = 'c') AND f.pronargs > 0 AND NOT f.proisstrict), NULL, 'C functions take no NULL');

-- roles
SELECT is((SELECT array_agg(rolname::text ORDER BY rolname) FROM pg_roles WHERE rolname LIKE 'voiceagent\_%' AND rolcanlogin), ARRAY['voiceagent_dispatcher', 'voiceagent_gateway'], 'the programs'' roles log in');
SELECT is((SELECT count(*)::int FROM pg_roles WHERE rolname LIKE 'voiceagent\_%' AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)), 0, 'and none is more than an ordinary role');

-- two tenants, as their applications see them
SELECT pg_temp.tenant('+15551230002') AS mine, pg_temp.tenant('+15551230003') AS theirs \gset
SELECT pg_temp.answer('CA' || n, jsonb_build_object('To', '+1555123000' || n)) FROM generate_series(2, 3) n \g /dev/null
SELECT va_lead_capture(t, '{"phone": "+15557770000", "first_name": "Jane"}') FROM unnest(ARRAY[:'mine', :'theirs']::uuid[]) t \g /dev/null
SELECT va_secret_set(:'mine', 'ultravox_api_key', 'x') \g /dev/null
CREATE FUNCTION pg_temp.counts() RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' ', (SELECT count(*) FROM tenants), (SELECT count(*) FROM leads), (SELECT count(*) FROM calls), (SELECT count(*) FROM active_calls), (SELECT sum(count) FROM lead_funnel)) $$;
DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %s TO PUBLIC', pg_my_temp_schema()::regnamespace); END $$;
SELECT is(pg_temp.counts(), '2 2 2 2 2', 'the owner sees all');
SET ROLE voiceagent_agent;
SELECT is(pg_temp.counts(), '0 0 0 0', 'without a tenant: nothing');
SELECT set_config('voiceagent.tenant_id', :'mine', false) \g /dev/null
SELECT is(pg_temp.counts(), '1 1 1 1 1', 'with one: its own');
SELECT is((SELECT count(*)::int FROM tools), 5, 'and the common tools');
SELECT is((SELECT count(*)::int FROM call_timings), 0, 'and its timings');
SELECT is(pg_temp.sqlstate_of(s), '42501', 'refused: ' || s) FROM unnest(ARRAY['SELECT FROM tenant_secrets', 'SELECT FROM settings', 'SELECT FROM call_tokens', 'UPDATE tenants SET settings = settings', 'INSERT INTO tools (name) VALUES (NULL)',
	'UPDATE phone_numbers SET is_active = false', 'SELECT va_gateway_config()', 'SELECT va_secret_read(NULL, NULL)', 'SELECT va_secret_set(NULL, NULL, NULL)', 'SELECT va_encrypt($$x$$, $$y$$)', 'SELECT va_health()', 'SELECT va_lead_upsert(NULL, NULL, NULL)',
	format('INSERT INTO leads (tenant_id) VALUES (%L)', :'theirs'), format('UPDATE leads SET tenant_id = %L', :'theirs'), format('SELECT va_lead_capture(%L, %L)', :'theirs', '{}'), 'SELECT va_call_tool(NULL, NULL, NULL, NULL)']) s;
SELECT isnt(va_lead_capture(:'mine', '{"phone": "+15557770001"}'), NULL, 'its own leads it captures');
SELECT is(va_business_open(:'mine'), true, 'its own hours it asks for'), is(pg_temp.sqlstate_of(format('SELECT va_business_open(%L)', :'theirs')), 'VA001', 'another''s it does not');
UPDATE leads SET first_name = 'changed' WHERE phone = '+15557770000';
RESET ROLE;
SELECT is((SELECT array_agg(first_name::text ORDER BY first_name) FROM leads WHERE phone = '+15557770000'), ARRAY['Jane', 'changed'], 'an update reaches its own rows alone');
SELECT set_config('voiceagent.tenant_id', :'theirs', false) \g /dev/null
SET ROLE voiceagent_bi;
SELECT is(pg_temp.counts(), '1 1 1 1 1', 'business intelligence sees its tenant');
SELECT is(pg_temp.sqlstate_of('DELETE FROM leads'), '42501', 'and deletes nothing');
RESET ROLE;
SET ROLE voiceagent_admin;
SELECT set_config('voiceagent.tenant_id', '', false) \g /dev/null
SELECT is(pg_temp.counts(), '2 3 2 2 3', 'the administrator sees all');
SELECT lives_ok($$SELECT va_tenant_create('By the administrator', 'x', '+15551230009')$$, 'and makes tenants');
SELECT lives_ok(format($$SELECT va_secret_set(%L, 'ultravox_api_key', 'y')$$, :'theirs'), 'and sets secrets'), is(pg_temp.sqlstate_of($$SELECT va_secret_read(NULL, 'x')$$), '42501', 'but does not read them');
SELECT is((SELECT count(*)::int FROM va_health() WHERE "check" LIKE 'tenant %'), 3, 'and asks for health'), ok((SELECT count(*) > 10 FROM va_stats()), 'and statistics');
SELECT is((SELECT count(*)::int FROM (SELECT name, key_id FROM tenant_secrets) s), 2, 'and which secrets there are');

-- a tool cannot lend rights
RESET ROLE;
CREATE TABLE loot (x text);
CREATE FUNCTION thief(call_id uuid, arguments jsonb) RETURNS jsonb LANGUAGE sql AS $$ INSERT INTO public.loot SELECT current_user; SELECT '{}'::jsonb $$;
CREATE FUNCTION mine_alone(call_id uuid, arguments jsonb) RETURNS jsonb LANGUAGE sql SECURITY DEFINER AS $$ INSERT INTO public.loot SELECT current_user; SELECT '{}'::jsonb $$;
REVOKE ALL ON FUNCTION mine_alone(uuid, jsonb) FROM PUBLIC;
SET ROLE voiceagent_admin;
SELECT is(pg_temp.sqlstate_of(format($$INSERT INTO tools (name, description, function) VALUES ('x', 'x', %L)$$, f)), 'VA008', 'the administrator cannot make a tool of ' || f) FROM unnest(ARRAY['public.thief', 'public.mine_alone']) f;
RESET ROLE;
ALTER TABLE tools DISABLE TRIGGER tools_check;
INSERT INTO tools (name, description, function) VALUES ('x', 'x', 'public.thief'), ('y', 'y', 'public.mine_alone');
SELECT is(va_call_tool((pg_temp.call('CA2')).id, t, t, '{}') ->> 'error', 'the tool is not available', 'nor call it by a row that is there all the same: ' || t) FROM unnest(ARRAY['x', 'y']) t;
SELECT is((SELECT count(*)::int FROM loot), 0, 'nothing was taken');
CREATE ROLE va_test_tool_owner;
GRANT INSERT ON loot TO va_test_tool_owner;
GRANT CREATE ON SCHEMA public TO va_test_tool_owner;
ALTER FUNCTION thief(uuid, jsonb) OWNER TO va_test_tool_owner;
ALTER FUNCTION thief(uuid, jsonb) SECURITY DEFINER;
SELECT is(va_call_tool((pg_temp.call('CA2')).id, 'z', 'x', '{}') -> 'result', '{}', 'an ordinary role''s tool runs');
SELECT is((SELECT x FROM loot), 'va_test_tool_owner', 'with that role''s rights');
DROP FUNCTION thief(uuid, jsonb);
DROP OWNED BY va_test_tool_owner;
DROP ROLE va_test_tool_owner;
SELECT * FROM finish();
