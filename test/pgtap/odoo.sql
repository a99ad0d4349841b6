-- Odoo: settings, values, scripts, turns, and the way back, without any server.
\i test/pgtap/setup.psql
SELECT * FROM no_plan();

-- ---- settings
SELECT is(pg_temp.sqlstate_of(format('UPDATE tenants SET settings = %L WHERE false; SELECT va_check_odoo_settings(%L)', '{}', v)), w, v) FROM (VALUES
	('{"url": "https://a.odoo.com"}', 'none'), ('{}', 'none'), ('null', 'none'), ('{"url": ""}', 'none'), ('[]', 'VA009'), ('{"url": "ftp://a"}', 'VA009'), ('{"url": "https://a b"}', 'VA009'),
	('{"url": "https://u@a"}', 'VA009'), ('{"url": "https://a", "transprot": "auto"}', 'VA009'), ('{"url": "https://a", "transport": "soap"}', 'VA009'),
	('{"url": "https://a", "mapping": {"company": "x_company", "notes": null, "custom.budget": "x_budget", "qualification.need": "x_need"}}', 'none'),
	('{"url": "https://a", "mapping": {"firm": "x"}}', 'VA009'), ('{"url": "https://a", "mapping": {"company": "X-1"}}', 'VA009'), ('{"url": "https://a", "mapping": {"company": 5}}', 'VA009'),
	('{"url": "https://a", "stages": {"new": "Inbox", "qualified": 7}}', 'none'), ('{"url": "https://a", "stages": {"closed_lost": "Lost"}}', 'VA009'),
	('{"url": "https://a", "priorities": {"hot": "2"}}', 'none'), ('{"url": "https://a", "priorities": {"hot": "4"}}', 'VA009'),
	('{"url": "https://a", "pull_minutes": 0}', 'none'), ('{"url": "https://a", "pull_minutes": -1}', 'VA009'), ('{"url": "https://a", "rest": {"header": "X: y"}}', 'VA009'),
	('{"url": "https://a", "oauth": {"client_id": "c"}}', 'VA009')) AS x (v, w);
SELECT is(va_odoo_default_mapping() - ARRAY['user', 'team', 'score', 'transcript', 'contact', 'tags', 'campaign'],
	'{"name": "lead_name", "phone": "phone", "email": "email_from", "company": "partner_name", "source": "source_id", "stage": "stage_id", "priority": "priority", "notes": "description"}', 'the specification''s mapping, word for word');
SELECT is(va_odoo_fields(va_odoo_settings('{"mapping": {"company": "x_firm", "notes": null}}')) ->> k, w, 'mapping: ' || k) FROM (VALUES ('name', 'name'), ('company', 'x_firm'), ('notes', NULL), ('email', 'email_from')) AS x (k, w);
SELECT is(pg_temp.sqlstate_of($$SELECT va_tenant_create('Bad', 'general', NULL, settings => '{"odoo": {"url": "https://a", "mapping": {"firm": "x"}}}')$$), 'VA009', 'a tenant is not made with one that cannot work');

-- ---- a tenant without
SELECT va_tenant_create('None', 'general', NULL) AS none \gset
SELECT va_lead_capture(:'none', '{"email": "n@example.test"}') AS lead \gset
SELECT is(odoo_sync_status, 'disabled', 'nothing is pending where there is no Odoo'), is((SELECT count(*)::int FROM outbox WHERE lead_id = :'lead'), 0, 'and nothing waits') FROM leads WHERE id = :'lead';
SELECT is(pg_temp.sqlstate_of(format('SELECT va_odoo_%s(%L)', f, CASE f WHEN 'push' THEN :'lead' WHEN 'forget' THEN :'lead' ELSE :'none' END)), 'VA005', f || ' says so') FROM unnest(ARRAY['check', 'push', 'push_all', 'pull', 'forget', 'webhook']) f;
SELECT is(pg_temp.sqlstate_of(format('SELECT va_odoo_push(%L)', gen_random_uuid())), 'VA020', 'an unknown lead'), is(pg_temp.sqlstate_of(format('SELECT va_odoo_check(%L)', gen_random_uuid())), 'VA001', 'an unknown tenant');

-- ---- a tenant with
SELECT va_tenant_create('With', 'general', NULL, settings => '{"odoo": {"url": "https://odoo.example.test/", "database": "acme", "login": "bot", "tags": ["phone"], "pull_minutes": 5}}') AS t \gset
SELECT is(state || (error ->> 'code'), 'brokenaccess_denied', 'no key yet'), matches(error ->> 'hint', 'va_secret_set', 'and what to do') FROM odoo_connections WHERE tenant_id = :'t';
SELECT va_secret_set(:'t', 'odoo_api_key', 'k-1');
SELECT is((SELECT array_agg(kind) FROM outbox WHERE tenant_id = :'t'), '{odoo.check}', 'a key brings a check'), is(va_odoo_check(:'t'), (SELECT id FROM outbox WHERE tenant_id = :'t'), 'one is enough');
CREATE FUNCTION pg_temp.leased(p_kind text, p_tenant uuid) RETURNS outbox LANGUAGE sql AS $$ UPDATE outbox SET state = 'leased', attempts = attempts + 1, leased_by = 'test' WHERE id = (SELECT id FROM outbox WHERE kind = p_kind AND tenant_id = p_tenant ORDER BY id LIMIT 1) RETURNING * $$;
CREATE FUNCTION pg_temp.gone(o outbox) RETURNS void LANGUAGE sql AS $$ DELETE FROM outbox WHERE id = o.id $$;
CREATE TABLE pg_temp.fx (o outbox, request jsonb);
INSERT INTO pg_temp.fx SELECT o, va_prepare_odoo_check(o) FROM pg_temp.leased('odoo.check', :'t') o;
SELECT is(request -> 'connection', '{"url": "https://odoo.example.test", "database": "acme", "login": "bot", "secret": "k-1", "rest_path": "/api/v2", "rest_header": "X-API-Key"}', 'a check looks with nothing taken for granted'),
	is(request ->> 'probe', 'true', 'and for version and transport'), is(request ->> 'tenant_url', 'true', 'at an address of a tenant''s'),
	is((SELECT string_agg(s #>> '{call,args,vals_list,0,name}' || ' ' || (s #>> '{call,args,vals_list,0,ttype}'), ', ') FROM jsonb_array_elements(request -> 'steps') s WHERE s #>> '{call,model}' = 'ir.model.fields' AND s #>> '{call,method}' = 'create'),
		'x_lead_score float, x_call_transcript text', 'and makes the fields that are ours') FROM pg_temp.fx;
SELECT va_settle_odoo_check(o, 'done', '{"transport": "json2", "version": 19, "server_version": "19.0", "uid": 7, "warnings": [], "values": {"may_leads": true, "may_fields": false,
	"stages": [{"id": 1, "name": "New", "is_won": false}, {"id": 2, "name": "Qualified", "is_won": false}, {"id": 3, "name": "Proposition", "is_won": false}, {"id": 4, "name": "Won", "is_won": true}],
	"users": [{"id": 7, "login": "bot"}, {"id": 9, "login": "kim@example.test"}], "teams": [], "reasons": [{"id": 1, "name": "Too expensive"}],
	"fields": {"name": {"type": "char"}, "contact_name": {"type": "char"}, "phone": {"type": "char"}, "email_from": {"type": "char"}, "partner_name": {"type": "char"}, "description": {"type": "html"},
	"priority": {"type": "selection"}, "stage_id": {"type": "many2one", "relation": "crm.stage"}, "user_id": {"type": "many2one", "relation": "res.users"}, "source_id": {"type": "many2one", "relation": "utm.source"},
	"tag_ids": {"type": "many2many", "relation": "crm.tag"}, "x_lead_score": {"type": "float"}, "active": {"type": "boolean"}, "probability": {"type": "float"}, "won_status": {"type": "selection", "readonly": true},
	"lost_reason_id": {"type": "many2one", "relation": "crm.lost.reason"}}}}') FROM pg_temp.fx;
SELECT pg_temp.gone(o) FROM pg_temp.fx;
SELECT is((state, transport, version, uid, missing_fields, rights)::text, '(ok,json2,19,7,"{campaign_id,team_id,x_call_transcript}","{""leads"": true, ""fields"": false}")', 'what was found is kept') FROM odoo_connections WHERE tenant_id = :'t';
SELECT is((SELECT array_agg(kind ORDER BY kind) FROM outbox WHERE tenant_id = :'t'), '{odoo.gone,odoo.pull}', 'and from now on Odoo is asked');

-- ---- a lead: one effect for a burst
SELECT va_lead_capture(:'t', '{"name": "Ann Smith", "phone": "+12025550101", "email": "Ann@example.test", "company": "A & B", "tags": ["vip"], "qualification_data": {"budget": "100k"}}') AS lead \gset
UPDATE leads SET last_name = 'Smythe' WHERE id = :'lead';
UPDATE leads SET tags = '{vip,late}' WHERE id = :'lead';
SELECT is((SELECT count(*)::int FROM outbox WHERE lead_id = :'lead' AND kind = 'odoo.lead'), 1, 'a burst is one effect'), is(odoo_sync_status, 'pending', 'which is pending') FROM leads WHERE id = :'lead';
TRUNCATE pg_temp.fx;
INSERT INTO pg_temp.fx SELECT o, va_prepare_odoo_lead(o) FROM pg_temp.leased('odoo.lead', :'t') o;
CREATE FUNCTION pg_temp.vals() RETURNS jsonb LANGUAGE sql AS $$ SELECT s #> '{call,args,vals}' FROM pg_temp.fx, jsonb_array_elements(request -> 'steps') s WHERE s #>> '{call,method}' = 'write' AND s #> '{call,args,vals}' ? 'priority' $$;
SELECT is(request #> '{steps,0,call}', jsonb_build_object('model', 'crm.lead', 'method', 'load', 'args', jsonb_build_object('fields', jsonb '["id", "name", "type"]', 'data',
	jsonb_build_array(jsonb_build_array('__voiceagent__.lead_' || :'lead', 'Ann Smythe (A & B)', 'opportunity')))), 'made under an external id') FROM pg_temp.fx;
SELECT is(pg_temp.vals() -> k, w::jsonb, 'sent: ' || k) FROM (VALUES ('name', '"Ann Smythe (A & B)"'), ('contact_name', '"Ann Smythe"'), ('phone', '"+12025550101"'), ('email_from', '"ann@example.test"'), ('partner_name', '"A & B"'),
	('priority', '"0"'), ('user_id', 'false'), ('x_call_transcript', NULL), ('team_id', NULL)) AS x (k, w);
SELECT matches(pg_temp.vals() ->> 'description', '<li>Budget: 100k</li>', 'sent: notes'), is(jsonb_array_length(pg_temp.vals() -> 'tag_ids'), 3, 'sent: tags of lead and tenant'),
	is((SELECT count(*)::int FROM pg_temp.fx, jsonb_array_elements(request -> 'steps') s WHERE s #>> '{call,model}' = 'crm.tag'), 6, 'each looked for, and made if missing');
SELECT is((SELECT odoo_sync_status FROM leads WHERE id = :'lead'), 'syncing', 'under way');
SELECT ok(va_prepare_odoo_lead(o) ? 'steps', 'the first may be prepared again') FROM pg_temp.fx;
UPDATE leads SET company_name = 'C' WHERE id = :'lead';
SELECT is((SELECT array_agg(state ORDER BY id) FROM outbox WHERE lead_id = :'lead' AND kind = 'odoo.lead'), '{leased,later}', 'a change while one is under way is another effect');
SELECT matches(va_prepare_odoo_lead(o)::text, 'another effect is at the same record', 'which waits its turn') FROM outbox o WHERE lead_id = :'lead' AND state = 'later';
SELECT va_settle_odoo_lead(o, 'done', jsonb_build_object('transport', 'json2', 'uid', 7, 'written', jsonb '["name", "phone", "email_from", "partner_name", "contact_name", "description", "stage_id", "active", "won_status", "user_id"]', 'warnings', jsonb '[]',
	'values', jsonb '{"lead": 41, "after": {"id": 41, "name": "Ann Smythe (A & B)", "contact_name": "Ann Smythe", "phone": "+12025550101", "email_from": "ann@example.test", "partner_name": "A & B", "description": "<p>d</p>",
		"stage_id": [1, "New"], "user_id": false, "active": true, "probability": 10.5, "won_status": "pending", "lost_reason_id": false}}' || jsonb_build_object('name:crm_tag/' || md5('vip'), 5))) FROM pg_temp.fx;
SELECT pg_temp.gone(o) FROM pg_temp.fx;
SELECT is((odoo_lead_id, odoo_sync_status, odoo_last_sync > now() - interval '1 minute', odoo_sync_error)::text, '(41,pending,t,)', 'arrived; but a change waits') FROM leads WHERE id = :'lead';
SELECT is(directory -> 'names' -> ('crm_tag/' || md5('vip')), '5', 'names found are kept') FROM odoo_connections WHERE tenant_id = :'t';
TRUNCATE pg_temp.fx;
INSERT INTO pg_temp.fx SELECT o, va_prepare_odoo_lead(o) FROM pg_temp.leased('odoo.lead', :'t') o;
SELECT is((SELECT jsonb_agg(s #> '{call,args,vals}') FROM jsonb_array_elements(request -> 'steps') s WHERE s #>> '{call,method}' = 'write'), '[{"name": "Ann Smythe (C)", "partner_name": "C"}]', 'then only what has changed is sent'),
	is((SELECT s #> '{keep,base,partner_name}' FROM jsonb_array_elements(request -> 'steps') s WHERE s ? 'keep'), '"A & B"', 'unless they have changed it too') FROM pg_temp.fx;

-- Somebody there has changed company, title and stage in the meantime.
SELECT va_settle_odoo_lead(o, 'done', '{"transport": "json2", "written": [], "warnings": [], "values": {"lead": 41, "after": {"id": 41, "name": "The big one", "contact_name": "Ann Smythe", "phone": "+12025550101",
	"email_from": "ann@example.test", "partner_name": "Theirs", "description": "<p>d</p>", "stage_id": [3, "Proposition"], "user_id": [9, "Kim"], "active": true, "probability": 40.0, "won_status": "pending", "lost_reason_id": false}}}') FROM pg_temp.fx;
SELECT pg_temp.gone(o) FROM pg_temp.fx;
SELECT is((status, company_name, odoo_sync_status, assigned_to)::text, '(meeting_scheduled,Theirs,synced,)', 'theirs wins') FROM leads WHERE id = :'lead';
SELECT is((SELECT array_agg(event || ' ' || changed_by ORDER BY changed_at) FROM lead_stage_history WHERE lead_id = :'lead'), '{"qualify odoo","contact odoo","schedule odoo"}', 'step by step');
SELECT results_eq(format('SELECT field, outcome, detail FROM odoo_changes WHERE lead_id = %L ORDER BY field', :'lead'), $$VALUES ('name', 'kept', 'people have rewritten it; it stays theirs'), ('partner_name', 'taken', NULL), ('stage_id', 'taken', NULL),
	('user_id', 'refused', 'nobody here has the e-mail address of Odoo''s user kim@example.test')$$, 'all of it on record');
SELECT is((SELECT array_agg(action ORDER BY action) FROM lead_actions WHERE lead_id = :'lead' AND done_at IS NULL AND action IN ('create_calendar_event', 'send_whatsapp_confirmation', 'schedule_reminders', 'assign_human_agent', 'send_follow_up_email')), NULL, 'and no message goes out for it');
SELECT is((SELECT count(*)::int FROM outbox WHERE lead_id = :'lead' AND kind = 'odoo.lead'), 0, 'nothing of it goes out again');

-- ---- the way back, by rows
INSERT INTO human_agents (tenant_id, name, email) VALUES (:'t', 'Kim', 'Kim@example.test');
CREATE FUNCTION pg_temp.back(p_lead uuid, p_changes jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT va_odoo_seen(p_lead, NULL, (SELECT seen FROM odoo_links WHERE record_id = p_lead AND model = 'crm.lead') || p_changes, '[]');
	SELECT status || '|' || coalesce(phone, '') || '|' || coalesce(email, '') || '|' || coalesce(concat_ws(' ', first_name, last_name), '') || '|' || coalesce((SELECT h.name FROM human_agents h WHERE h.id = assigned_to), '') FROM leads WHERE id = p_lead $$;
SELECT is(pg_temp.back(:'lead', c), w, c::text) FROM (VALUES
	('{"user_id": [7, "Bot"]}'::jsonb, 'meeting_scheduled|+12025550101|ann@example.test|Ann Smythe|'), ('{"user_id": [9, "Kim"]}', 'meeting_scheduled|+12025550101|ann@example.test|Ann Smythe|Kim'),
	('{"phone": "+1 202-555-0199"}', 'meeting_scheduled|+12025550199|ann@example.test|Ann Smythe|Kim'), ('{"phone": "none"}', 'meeting_scheduled|+12025550199|ann@example.test|Ann Smythe|Kim'),
	('{"phone": false}', 'meeting_scheduled|+12025550199|ann@example.test|Ann Smythe|Kim'), ('{"email_from": "new@example.test"}', 'meeting_scheduled|+12025550199|new@example.test|Ann Smythe|Kim'),
	('{"email_from": "no address"}', 'meeting_scheduled|+12025550199|new@example.test|Ann Smythe|Kim'), ('{"contact_name": "Bo van Dijk"}', 'meeting_scheduled|+12025550199|new@example.test|Bo van Dijk|Kim'),
	('{"user_id": false}', 'meeting_scheduled|+12025550199|new@example.test|Bo van Dijk|'),
	('{"stage_id": [2, "Qualified"]}', 'contacted|+12025550199|new@example.test|Bo van Dijk|'), ('{"stage_id": [99, "Their own"]}', 'contacted|+12025550199|new@example.test|Bo van Dijk|'),
	('{"active": false, "won_status": "lost", "probability": 0, "lost_reason_id": [1, "Too expensive"]}', 'closed_lost|+12025550199|new@example.test|Bo van Dijk|'),
	('{"active": true, "won_status": "pending", "stage_id": [3, "Proposition"], "lost_reason_id": false}', 'meeting_scheduled|+12025550199|new@example.test|Bo van Dijk|'),
	('{"active": false, "won_status": "pending", "probability": 20}', 'archived|+12025550199|new@example.test|Bo van Dijk|'), ('{"active": true, "stage_id": [2, "Qualified"]}', 'contacted|+12025550199|new@example.test|Bo van Dijk|'),
	('{"won_status": "won", "stage_id": [4, "Won"]}', 'closed_won|+12025550199|new@example.test|Bo van Dijk|'), ('{"won_status": "pending", "stage_id": [1, "New"]}', 'closed_won|+12025550199|new@example.test|Bo van Dijk|')) AS x (c, w);
SELECT is((SELECT detail FROM odoo_changes WHERE lead_id = :'lead' ORDER BY id DESC LIMIT 1), 'a lead that is closed won cannot become new', 'what cannot be is on record');
SELECT is((SELECT count(*)::int FROM odoo_changes), (SELECT count(*)::int FROM odoo_changes c, (SELECT pg_temp.back(:'lead', '{}')) b), 'the same row again is no change');
SELECT is(va_odoo_step_towards(f, t), w, f || ' towards ' || t) FROM (VALUES ('new', 'closed_won', 'qualify'), ('qualified', 'closed_won', 'contact'), ('contacted', 'closed_won', 'schedule'), ('meeting_scheduled', 'closed_won', 'win'),
	('closed_won', 'new', NULL), ('contacted', 'qualified', NULL), ('archived', 'closed_won', 'wake'), ('closed_lost', 'contacted', 'reopen'), ('closed_lost', 'archived', NULL), ('meeting_scheduled', 'archived', 'unschedule')) AS x (f, t, w);
SELECT ok(NOT EXISTS (SELECT FROM outbox WHERE lead_id = :'lead' AND kind = 'odoo.lead'), 'none of this goes out again');

-- ---- failures
SELECT va_lead_capture(:'t', '{"name": "Bea", "email": "bea@example.test"}') AS lead \gset
TRUNCATE pg_temp.fx;
INSERT INTO pg_temp.fx SELECT o, va_prepare_odoo_lead(o) FROM pg_temp.leased('odoo.lead', :'t') o;
SELECT va_settle_odoo_lead(o, 'unknown', '{"code": "no_answer", "text": "x"}') FROM pg_temp.fx;
SELECT is(odoo_sync_status || '|' || odoo_sync_error, 'syncing|No answer came: whether Odoo has it is being looked at.', 'in doubt') FROM leads WHERE id = :'lead';
SELECT va_settle_odoo_lead(o, 'failed', '{"code": "access_denied", "text": "Odoo does not accept the key", "hint": "Make a new one."}') FROM pg_temp.fx;
SELECT pg_temp.gone(o) FROM pg_temp.fx;
SELECT is(odoo_sync_status || '|' || odoo_sync_error, 'failed|Odoo does not accept the key. Make a new one.', 'failed, with the reason') FROM leads WHERE id = :'lead';
UPDATE leads SET last_name = 'X' WHERE id = :'lead';
SELECT is(va_prepare_odoo_lead(o) #>> '{fail,code}', 'access_denied', 'a broken connection is not asked again') FROM outbox o WHERE lead_id = :'lead';
DELETE FROM outbox WHERE lead_id = :'lead';
UPDATE leads SET odoo_sync_status = 'failed' WHERE id = :'lead';
SELECT va_settle_odoo_check(o, 'done', '{"transport": "json2", "version": 19, "values": {"fields": {}}}') FROM (SELECT (o).* FROM pg_temp.fx) o;
SELECT is(odoo_sync_status, 'pending', 'a good check tries again what had failed'), is((SELECT count(*)::int FROM outbox WHERE lead_id = :'lead' AND kind = 'odoo.lead'), 1, 'by itself') FROM leads WHERE id = :'lead';

-- ---- what cannot be sent without its lead
DELETE FROM outbox WHERE tenant_id = :'t' AND kind = 'odoo.lead';
SELECT va_lead_capture(:'t', '{"name": "Cy", "email": "cy@example.test"}') AS host \gset
SELECT va_appointment_book(:'host', now() + interval '3 days', title => 'Visit', force => true) AS meeting \gset
CREATE FUNCTION pg_temp.meeting(p_lead uuid) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(x.w, ', ') FROM (SELECT o.state FROM outbox o WHERE o.kind = 'odoo.event' AND o.lead_id = p_lead
	UNION ALL SELECT d.outcome || ' ' || (d.last_error ->> 'code') FROM outbox_dead d WHERE d.kind = 'odoo.event' AND d.lead_id = p_lead) x (w) $$;
CREATE FUNCTION pg_temp.says(p_lead uuid) RETURNS text LANGUAGE sql AS $$ SELECT coalesce(r -> 'fail' ->> 'code', r ->> 'why', jsonb_typeof(r -> 'steps')) FROM outbox o, va_prepare_odoo_event(o) r WHERE o.kind = 'odoo.event' AND o.lead_id = p_lead $$;
SELECT is(pg_temp.says(:'host'), 'the lead comes first', 'an appointment waits for its lead');
TRUNCATE pg_temp.fx;
INSERT INTO pg_temp.fx SELECT o, va_prepare_odoo_lead(o) FROM pg_temp.leased('odoo.lead', :'t') o;
SELECT va_outbox_bury(o, 'dead', '{"code": "rate_limited", "text": "Odoo asks for patience"}') FROM pg_temp.fx;
SELECT is(odoo_sync_status, 'failed', 'which has had no luck'), is(pg_temp.says(:'host'), 'lead_failed', 'and the appointment has none either') FROM leads WHERE id = :'host';
SELECT va_outbox_bury(o, 'failed', va_prepare_odoo_event(o) -> 'fail') FROM outbox o WHERE o.kind = 'odoo.event' AND o.lead_id = :'host';
SELECT is(pg_temp.meeting(:'host'), 'failed lead_failed', 'and is listed'), matches((SELECT advice FROM outbox_dead d, va_outbox_explain(d.id) WHERE d.kind = 'odoo.event' AND d.lead_id = :'host' ORDER BY at DESC LIMIT 1),
	'^Odoo asks for patience. Once the lead has arrived, this follows by itself', 'with the lead''s own reason');
SELECT va_outbox_retry(id) FROM outbox_dead WHERE lead_id = :'host' AND kind = 'odoo.event' \g /dev/null
SELECT va_outbox_retry(id) FROM outbox_dead WHERE lead_id = :'host' AND kind = 'odoo.lead' \g /dev/null
SELECT is(pg_temp.says(:'host'), 'the lead comes first', 'tried again along with the lead, it waits for that');
SELECT va_outbox_bury(o, 'failed', '{"code": "lead_failed"}') FROM outbox o WHERE o.kind = 'odoo.event' AND o.lead_id = :'host';
TRUNCATE pg_temp.fx;
INSERT INTO pg_temp.fx SELECT o, va_prepare_odoo_lead(o) FROM pg_temp.leased('odoo.lead', :'t') o;
SELECT va_settle_odoo_lead(o, 'done', '{"written": [], "warnings": [], "values": {"lead": 42, "after": {"id": 42}}}') FROM pg_temp.fx;
SELECT pg_temp.gone(o) FROM pg_temp.fx;
SELECT is(pg_temp.meeting(:'host'), 'ready', 'the lead has arrived: so the appointment is tried again'), is(pg_temp.says(:'host'), 'array', 'and can be sent');

-- Nor does what a broken connection has refused stay behind.
UPDATE odoo_connections SET state = 'broken', error = '{"code": "no_module", "text": "x"}' WHERE tenant_id = :'t';
SELECT va_outbox_bury(o, 'failed', va_prepare_odoo_event(o) -> 'fail') FROM outbox o WHERE o.kind = 'odoo.event' AND o.lead_id = :'host';
SELECT is(pg_temp.meeting(:'host'), 'failed no_module', 'refused, for the connection is broken');
SELECT va_settle_odoo_check(o, 'done', '{"transport": "json2", "version": 19, "values": {"fields": {}}}') FROM pg_temp.fx;
SELECT is(pg_temp.meeting(:'host'), 'ready', 'it works again: so is the appointment tried');
SELECT va_outbox_bury(o, 'failed', '{"code": "validation"}') FROM outbox o WHERE o.kind = 'odoo.event' AND o.lead_id = :'host';
UPDATE odoo_connections SET state = 'broken' WHERE tenant_id = :'t';
SELECT va_settle_odoo_check(o, 'done', '{"transport": "json2", "version": 19, "values": {"fields": {}}}') FROM pg_temp.fx;
SELECT is(pg_temp.meeting(:'host'), 'failed validation', 'what Odoo itself has refused is a person''s');

-- ---- webhooks and rights
SELECT va_odoo_webhook(:'t') AS hook \gset
SELECT is(va_webhook_odoo(token, body), status, body::text) FROM (VALUES (split_part(:'hook', '/odoo/', 2), '{"_model": "crm.lead", "_id": 41, "write_date": "x"}'::jsonb, 200), (split_part(:'hook', '/odoo/', 2), '{"_model": "crm.lead", "_id": 41, "write_date": "x"}', 200),
	(split_part(:'hook', '/odoo/', 2), '{"_model": "crm.lead", "_id": 77}', 200), (split_part(:'hook', '/odoo/', 2), '{}', 200), ('wrong', '{"_id": 41}', 404)) AS x (token, body, status);
SELECT is((SELECT array_agg(payload) FROM outbox WHERE tenant_id = :'t' AND attempt_key LIKE 'hook:%'), ARRAY['{"ids": [41]}'::jsonb], 'one question, for a lead of ours');
SELECT va_tenant_create('Other', 'general', NULL) AS other \gset
SET ROLE voiceagent_agent;
SELECT set_config('voiceagent.tenant_id', :'other', false) \g /dev/null
SELECT is((SELECT count(*)::int FROM odoo_changes), 0, 'another tenant sees no changes'), is((SELECT count(*)::int FROM (SELECT tenant_id FROM odoo_connections) x), 0, 'and no connection'),
	is(pg_temp.sqlstate_of(format('SELECT va_odoo_check(%L)', :'t')), '42501', 'and may not ask for a check'), is(pg_temp.sqlstate_of('SELECT webhook_hash FROM odoo_connections'), '42501', 'the token''s hash is nobody''s'),
	is(pg_temp.sqlstate_of('SELECT va_webhook_odoo($$x$$, $${}$$)'), '42501', 'webhooks are the gateway''s');
RESET ROLE;
UPDATE tenants SET settings = settings - 'odoo' WHERE id = :'t';
SELECT is((SELECT odoo_sync_status FROM leads WHERE id = :'lead'), 'disabled', 'without the setting nothing is pending'), is((SELECT enabled FROM odoo_connections WHERE tenant_id = :'t'), false, 'the connection rests');
SELECT * FROM finish();
