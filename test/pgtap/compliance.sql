-- Whom we may contact and when, opt-outs and consents, erasing, exporting, forgetting in time.
\ir setup.psql
SELECT no_plan();
SELECT va_tenant_create('ABC', 'x', '+15551230002', timezone => 'Europe/Berlin') AS tenant, va_tenant_create('DEF', 'x', '+15551230003') AS theirs \gset
CREATE FUNCTION pg_temp.may(lead uuid, channel text, at timestamptz) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' | ', verdict, to_char(until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), why) FROM va_may_contact(lead, channel, at)
$$;
CREATE FUNCTION pg_temp.lead(tenant uuid, phone text, zone text DEFAULT NULL, email text DEFAULT NULL) RETURNS uuid LANGUAGE sql AS $$
	INSERT INTO leads (tenant_id, phone, email, custom_fields) VALUES (tenant, phone, email, jsonb_strip_nulls(jsonb_build_object('timezone', zone))) RETURNING id
$$;

-- ---- quiet hours, 9 to 20, on the callee's clock
SELECT is(pg_temp.may(pg_temp.lead(:'tenant', p, z), c, at::timestamptz), want, format('%s %s, %s at %s', p, z, c, at)) FROM (VALUES
	('+493012345', NULL, 'call', '2030-01-15 07:59:59Z', 'not_now | 2030-01-15 08:00 | quiet hours'), ('+493012345', NULL, 'call', '2030-01-15 08:00Z', 'yes'),
	('+493012345', NULL, 'call', '2030-01-15 18:59:59Z', 'yes'), ('+493012345', NULL, 'call', '2030-01-15 19:00Z', 'not_now | 2030-01-16 08:00 | quiet hours'),
	('+493012345', NULL, 'call', '2030-07-15 07:00Z', 'yes'), ('+493012345', NULL, 'sms', '2030-07-15 18:00Z', 'not_now | 2030-07-16 07:00 | quiet hours'),
	-- west: New York by its area code, Los Angeles, Honolulu
	('+12125550100', NULL, 'whatsapp', '2030-01-15 13:00Z', 'not_now | 2030-01-15 14:00 | quiet hours'), ('+12125550100', NULL, 'call', '2030-01-16 00:30Z', 'yes'), ('+13105550100', NULL, 'call', '2030-01-16 03:30Z', 'yes'),
	('+13105550100', NULL, 'call', '2030-01-15 16:30Z', 'not_now | 2030-01-15 17:00 | quiet hours'), ('+18085550100', NULL, 'call', '2030-01-15 19:00Z', 'yes'),
	-- east: Tokyo, Auckland (a day ahead), Kolkata and Kathmandu with their odd minutes
	('+81312345678', NULL, 'call', '2030-01-15 00:00Z', 'yes'), ('+81312345678', NULL, 'call', '2030-01-15 11:00Z', 'not_now | 2030-01-16 00:00 | quiet hours'), ('+6491234567', NULL, 'call', '2030-01-14 20:00Z', 'yes'),
	('+911123456789', NULL, 'call', '2030-01-15 03:00Z', 'not_now | 2030-01-15 03:30 | quiet hours'), ('+97715123456', NULL, 'call', '2030-01-15 03:14Z', 'not_now | 2030-01-15 03:15 | quiet hours'),
	-- what they said wins; what is no zone does not; without a word of it, the tenant's
	('+81312345678', 'America/New_York', 'call', '2030-01-15 14:00Z', 'yes'), ('+493012345', 'Mars/Base', 'call', '2030-01-15 08:00Z', 'yes'), ('+88123456789', NULL, 'call', '2030-01-15 08:00Z', 'yes'),
	('+18005550100', NULL, 'call', '2030-01-15 08:00Z', 'yes'),
	-- clocks change: 31 March in Berlin, 10 March in New York; leap day
	('+493012345', NULL, 'call', '2030-03-30 19:30Z', 'not_now | 2030-03-31 07:00 | quiet hours'), ('+12125550100', NULL, 'call', '2030-03-10 02:00Z', 'not_now | 2030-03-10 13:00 | quiet hours'),
	('+12125550100', NULL, 'call', '2030-11-03 03:00Z', 'not_now | 2030-11-03 14:00 | quiet hours'), ('+493012345', NULL, 'call', '2032-02-28 19:00Z', 'not_now | 2032-02-29 08:00 | quiet hours')) AS x (p, z, c, at, want);
SELECT is(pg_temp.may(l, 'email', '2030-01-15 03:00Z'), 'yes', 'an e-mail wakes nobody'), is(pg_temp.may(l, 'internal', '2030-01-15 03:00Z'), 'yes', 'what is internal reaches nobody') FROM pg_temp.lead(:'tenant', NULL, NULL, 'A@x.org') l;
SELECT is(pg_temp.may(l, 'call', now()), 'never | no telephone number', 'no number'), is(pg_temp.may(l, 'email', now()), 'never | no e-mail address', 'no address') FROM pg_temp.lead(:'tenant', NULL) l;
SELECT is(pg_temp.may(l, c, '2030-01-15 03:00Z'), 'not_now | 2030-01-15 08:00 | quiet hours', 'channel ' || c) FROM pg_temp.lead(:'tenant', '+493012345') l, unnest(ARRAY['call', 'voice', 'ai_call', 'human_call', 'sms', 'whatsapp']) c;
SELECT is(pg_temp.sqlstate_of(s), c, 'refused: ' || s) FROM (VALUES ('SELECT va_may_contact(gen_random_uuid(), $$call$$)', 'VA020'), (format('SELECT va_may_contact(%L, $$pigeon$$)', pg_temp.lead(:'tenant', NULL)), 'VA005'), (format('SELECT va_may_contact(%L, NULL)', pg_temp.lead(:'tenant', NULL)), 'VA005'),
	(format('SELECT va_may_contact(%L, $$all$$)', pg_temp.lead(:'tenant', NULL)), 'VA005'), (format('SELECT va_may_contact(%L, $$call$$, $$infinity$$)', pg_temp.lead(:'tenant', NULL)), 'VA005')) AS x (s, c);
-- the tenant's own hours; past midnight; never
SELECT pg_temp.lead(:'tenant', '+493012345') AS lead \gset
UPDATE tenants SET settings = settings || '{"contact_hours": {"open": "18:00", "close": "02:00"}}' WHERE id = :'tenant';
SELECT is(pg_temp.may(:'lead', 'call', at::timestamptz), want, 'evening hours at ' || at) FROM (VALUES ('2030-01-15 16:59Z', 'not_now | 2030-01-15 17:00 | quiet hours'), ('2030-01-15 23:59Z', 'yes'), ('2030-01-16 00:59Z', 'yes'), ('2030-01-16 01:00Z', 'not_now | 2030-01-16 17:00 | quiet hours')) AS x (at, want);
SELECT is(pg_temp.sqlstate_of(format('UPDATE tenants SET settings = %L', s)), 'VA009', 'refused: ' || s) FROM unnest(ARRAY['{"contact_hours": []}', '{"contact_hours": {"open": "09:00"}}', '{"contact_hours": {"open": "9", "close": "20:00"}}', '{"contact_hours": {"open": "09:00", "close": "09:00"}}', '{"contact_hours": {"open": "09:00", "close": "10:00", "x": 1}}',
	'{"consent_required": "sms"}', '{"consent_required": ["pigeon"]}', '{"contact_limits": []}', '{"contact_limits": {"pigeon": {}}}', '{"contact_limits": {"call": 3}}', '{"contact_limits": {"call": {"hour": 1}}}', '{"contact_limits": {"call": {"day": "3"}}}', '{"contact_limits": {"call": {"day": -1}}}', '{"retention_days": 5}', '{"retention_days": {"everything": 5}}', '{"retention_days": {"leads": 1.5}}']) s;
UPDATE tenants SET settings = settings - 'contact_hours' WHERE id = :'tenant';
-- an answer within the hour disturbs nobody
INSERT INTO calls (tenant_id, lead_id, direction, status, started_at, ended_at) VALUES (:'tenant', :'lead', 'inbound', 'completed', '2030-01-15 21:00Z', '2030-01-15 21:10Z');
SELECT is(pg_temp.may(:'lead', 'whatsapp', '2030-01-15 22:05Z'), 'yes', 'they have just called'), is(pg_temp.may(:'lead', 'whatsapp', '2030-01-15 22:11Z'), 'not_now | 2030-01-16 08:00 | quiet hours', 'more than an hour ago'), is(pg_temp.may(:'lead', 'whatsapp', '2030-01-15 20:59Z'), 'not_now | 2030-01-16 08:00 | quiet hours', 'and not yet');
DELETE FROM calls;

-- ---- attempt limits
INSERT INTO calls (tenant_id, lead_id, direction, status, started_at) SELECT :'tenant', :'lead', 'outbound', 'no-answer', t FROM unnest(ARRAY['2030-01-15 09:00Z', '2030-01-15 11:00Z', '2030-01-15 13:00Z']::timestamptz[]) t;
SELECT is(pg_temp.may(:'lead', 'call', at::timestamptz), want, 'three calls a day: ' || at) FROM (VALUES ('2030-01-15 12:59Z', 'yes'), ('2030-01-15 14:00Z', 'not_now | 2030-01-16 09:00 | attempt limit'), ('2030-01-16 09:00Z', 'yes')) AS x (at, want);
SELECT is(pg_temp.may(:'lead', 'sms', '2030-01-15 14:00Z'), 'yes', 'each channel has its own');
UPDATE tenants SET settings = settings || '{"contact_limits": {"call": {"week": 3}}}' WHERE id = :'tenant';
SELECT is(pg_temp.may(:'lead', 'call', '2030-01-17 12:00Z'), 'not_now | 2030-01-22 09:00 | attempt limit', 'three a week');
INSERT INTO calls (tenant_id, lead_id, direction, status, started_at) SELECT :'tenant', :'lead', 'outbound', 'no-answer', '2030-01-15 18:30Z'::timestamptz FROM generate_series(1, 3);
UPDATE tenants SET settings = settings || '{"contact_limits": {"call": {"week": 3, "day": 3}}, "contact_hours": {"open": "18:00", "close": "19:00"}}' WHERE id = :'tenant';
SELECT is(pg_temp.may(:'lead', 'call', '2030-01-16 12:00Z'), 'not_now | 2030-01-23 17:00 | quiet hours', 'limit and quiet hours push each other on');
UPDATE tenants SET settings = settings || '{"contact_limits": {"sms": {"day": 0}, "call": {"day": null, "week": null}}}' WHERE id = :'tenant';
SELECT is(pg_temp.may(:'lead', 'sms', now()), 'never | the tenant does not use this channel', 'a limit of none'), is(pg_temp.may(:'lead', 'call', '2030-01-15 17:40Z'), 'yes', 'no limit');
UPDATE tenants SET settings = settings - ARRAY['contact_limits', 'contact_hours'] WHERE id = :'tenant';
DELETE FROM calls;
INSERT INTO notifications (tenant_id, lead_id, channel, direction, status, sent_at, scheduled_for) SELECT :'tenant', :'lead', 'sms', d, s, '2030-01-15 10:00Z', '2030-01-15 10:00Z' FROM (VALUES ('outbound', 'sent'), ('outbound', 'pending'), ('outbound', 'cancelled'), ('inbound', 'received'), ('outbound', 'failed')) AS x (d, s);
SELECT is((SELECT array_agg(status ORDER BY status) FROM contact_attempts WHERE lead_id = :'lead'), ARRAY['failed', 'sent'], 'what counts as an attempt');
DELETE FROM notifications;

-- ---- keywords
SELECT is(va_opt_out_keyword(m), k, format('"%s"', m)) FROM (VALUES ('STOP', 'stop'), ('stop', 'stop'), (' Stop. ', 'stop'), ('STOP!', 'stop'), ('stopall', 'stop'), ('Stop all', 'stop'), ('UNSUBSCRIBE', 'stop'), ('cancel', 'stop'), ('End', 'stop'), ('quit', 'stop'), ('revoke', 'stop'), ('OptOut', 'stop'), ('opt-out', 'stop'),
	('start', 'start'), ('YES', 'start'), ('unstop', 'start'), ('help', 'help'), ('INFO?', 'help'), ('please stop', NULL), ('stop by at five', NULL), ('yes please', NULL), ('', NULL), ('...', NULL), ('the end', NULL), ('stopp', NULL)) AS x (m, k);
SELECT is(va_opt_out_keyword(NULL), NULL, 'no message');

-- ---- opt-out and opt-in
SELECT pg_temp.lead(:'tenant', '+493055555', NULL, 'Max@x.org') AS max, pg_temp.lead(:'theirs', '+493055555') AS their_max \gset
INSERT INTO notifications (tenant_id, lead_id, channel, direction, to_address) SELECT :'tenant', :'max', c, 'outbound', CASE c WHEN 'email' THEN 'max@x.org' ELSE '+493055555' END FROM unnest(ARRAY['sms', 'whatsapp', 'email']) c;
INSERT INTO notifications (tenant_id, lead_id, channel, direction, to_address, status) VALUES (:'tenant', :'max', 'sms', 'outbound', '+493055555', 'sent'), (:'tenant', NULL, 'sms', 'outbound', '+493055556', 'pending');
INSERT INTO follow_up_tasks (tenant_id, lead_id, task_type, scheduled_for) SELECT :'tenant', :'max', c, now() FROM unnest(ARRAY['sms', 'call', 'email']) c;
SELECT is(va_opt_out(:'tenant', '+49 30 55555', 'sms', 'sms STOP'), 2, 'one message and one task are withdrawn');
SELECT is(pg_temp.may(:'max', 'sms', '2030-01-15 12:00Z'), 'never | on the do-not-contact list', 'no more of that channel'), is(pg_temp.may(:'max', 'call', '2030-01-15 12:00Z'), 'yes', 'of that alone'), is(pg_temp.may(:'their_max', 'sms', '2030-01-15 12:00Z'), 'yes', 'and of that tenant'),
	is((SELECT array_agg(channel::text || ' ' || status ORDER BY channel, status) FROM notifications WHERE lead_id = :'max'), ARRAY['email pending', 'sms cancelled', 'sms sent', 'whatsapp pending'], 'what was planned'), is((SELECT array_agg(task_type::text || ' ' || status ORDER BY task_type) FROM follow_up_tasks WHERE lead_id = :'max'), ARRAY['call pending', 'email pending', 'sms cancelled'], 'for that channel'),
	is((SELECT count(*)::int FROM notifications WHERE status = 'pending' AND to_address = '+493055556'), 1, 'another''s stays');
SELECT is(va_opt_out(:'tenant', '+493055555', 'sms'), 0, 'again: nothing more');
SELECT is((SELECT count(*)::int FROM do_not_contact), 1, 'and one row'), is((SELECT array_agg(how ORDER BY created_at) FROM consents), ARRAY['sms STOP', 'asked'], 'but each word is kept'), is((SELECT count(*)::int FROM consents WHERE lead_id = :'max' AND NOT granted), 2, 'with whose it is');
SELECT is(va_opt_out(:'tenant', 'MAX@x.org'), 2, 'by e-mail, from all channels'), is(pg_temp.may(:'max', 'email', '2030-01-15 12:00Z'), 'never | on the do-not-contact list', 'of that address'), is(pg_temp.may(:'max', 'call', '2030-01-15 12:00Z'), 'yes', 'the number is another');
SELECT is(va_opt_in(:'tenant', '+493055555', 'call'), false, 'nothing stood in the way'), is(va_opt_in(:'tenant', '+493055555', 'sms', 'sms START'), true, 'opted in'), is(va_opt_in(:'tenant', '+493055555', 'sms'), false, 'once');
SELECT is(pg_temp.may(:'max', 'sms', '2030-01-15 12:00Z'), 'yes', 'and may be written to');
SELECT va_opt_out(:'tenant', '+493055555') \g /dev/null
SELECT is(pg_temp.may(:'max', c, '2030-01-15 12:00Z'), 'never | on the do-not-contact list', 'all channels: ' || c) FROM unnest(ARRAY['call', 'sms', 'whatsapp', 'recording']) c;
SELECT va_opt_in(:'tenant', '+493055555') \g /dev/null
INSERT INTO do_not_contact (address_hash, address, channel, how) VALUES (va_address_hash('+493055555'), '+493055555', 'call', 'national list');
SELECT is(pg_temp.may(l, 'call', '2030-01-15 12:00Z'), 'never | on the do-not-contact list', 'a list for every tenant') FROM unnest(ARRAY[:'max', :'their_max']::uuid[]) l;
DELETE FROM do_not_contact;
SELECT is(pg_temp.sqlstate_of(format('SELECT va_opt_out(%s)', a)), c, 'refused: ' || a) FROM (VALUES (format('%L, $$12$$', :'tenant'), 'VA003'), (format('%L, NULL', :'tenant'), 'VA005'), (format('%L, $$+493055555$$, $$pigeon$$', :'tenant'), 'VA005'), (format('%L, $$+493055555$$, $$internal$$', :'tenant'), 'VA005'), ('gen_random_uuid(), $$+493055555$$', 'VA001')) AS x (a, c);

-- ---- consent, with proof
DELETE FROM consents;
SELECT is(pg_temp.may(:'max', 'recording', '2030-01-15 03:00Z'), 'never | no consent', 'recording needs consent');
SELECT va_consent_record(:'tenant', '+49 30 55555', 'recording', true, 'spoken', 'May we record this call?', 'call CAtrace1', '{"second": 12}') AS consent \gset
SELECT is(pg_temp.may(:'max', 'recording', '2030-01-15 03:00Z'), 'yes', 'given, at any hour'), row_eq(format('SELECT lead_id, address, granted, what, how, source, proof, at <= now() FROM consents WHERE id = %L', :'consent'), ROW(:'max'::uuid, '+493055555'::text, true, 'May we record this call?'::text, 'spoken'::text, 'call CAtrace1'::text, '{"second": 12}'::jsonb, true), 'with its proof');
SELECT va_consent_record(:'tenant', '+493055555', 'recording', false, 'spoken') \g /dev/null
SELECT is(pg_temp.may(:'max', 'recording', '2030-01-15 03:00Z'), 'never | consent withdrawn', 'withdrawn');
SELECT va_consent_record(:'tenant', '+493055555', 'recording', true, 'spoken', at => now() - interval '1 year') \g /dev/null
SELECT is(pg_temp.may(:'max', 'recording', '2030-01-15 03:00Z'), 'never | consent withdrawn', 'an older word found later changes nothing');
UPDATE tenants SET settings = settings || '{"consent_required": ["sms", "email"]}' WHERE id = :'tenant';
SELECT is(pg_temp.may(:'max', c, '2030-01-15 12:00Z'), want, 'required for sms and e-mail: ' || c) FROM (VALUES ('sms', 'never | no consent'), ('email', 'never | no consent'), ('whatsapp', 'yes')) AS x (c, want);
SELECT va_consent_record(:'tenant', '+493055555', 'all', true, 'web form') \g /dev/null
SELECT is(pg_temp.may(:'max', 'sms', '2030-01-15 12:00Z'), 'yes', 'consent to all'), is(pg_temp.may(:'max', 'email', '2030-01-15 12:00Z'), 'never | no consent', 'is of that address');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_consent_record(%L, %s)', :'tenant', a)), 'VA005', 'refused: ' || a) FROM unnest(ARRAY['$$a@x.org$$, $$email$$, NULL, $$x$$', '$$a@x.org$$, $$email$$, true, $$ $$', '$$$$, $$email$$, true, $$x$$']) a;
UPDATE tenants SET settings = settings - 'consent_required' WHERE id = :'tenant';

-- ---- one person everywhere
UPDATE tenants SET settings = settings || '{"twilio_account_sid": "AC00000000000000000000000000000001"}';
SELECT call_id AS call, session ->> 'token' AS token FROM pg_temp.answer('CAtrace1', '{"From": "+493055555"}') \gset
SELECT va_call_stream_start(:'acme', 'CAtrace1', 'MZ1', :'token', 'gw-1'), va_call_tool(:'call', 't1', 'capture_lead', '{"name": "Max Muster", "budget": "500k"}'),
	va_call_events(:'call', 'MZ1', '[{"seq": 1, "kind": "turn", "data": {"role": "user", "text": "I am Max Muster"}}, {"seq": 2, "kind": "metrics", "data": {"frames_in": 7}}]') \g /dev/null
SELECT va_webhook_voice_recording(:'acme', pg_temp.form('CAtrace1', '{"RecordingUrl": "https://r/1", "RecordingSid": "RE1"}'), NULL, 'gw-1'), va_webhook_voice_status(:'acme', pg_temp.form('CAtrace1', '{"CallStatus": "completed", "CallDuration": "60"}'), NULL, 'gw-1') \g /dev/null
INSERT INTO appointments (tenant_id, lead_id, call_id, title, scheduled_at) VALUES (:'tenant', :'max', :'call', 'Max Muster', '2030-01-15 12:00Z');
INSERT INTO notifications (tenant_id, channel, direction, from_address, body) VALUES (:'tenant', 'email', 'inbound', 'Max@X.org', 'from Max Muster, not known as a lead');
SELECT va_opt_out(:'tenant', 'max@x.org', 'email') \g /dev/null
INSERT INTO leads (tenant_id, phone, first_name) VALUES (:'tenant', '+493055556', 'Other');
SELECT va_export_person(:'tenant', '+49 30 55555') AS export \gset
SELECT is((SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(:'export'::jsonb) k WHERE k <> ALL (ARRAY['lead_actions', 'lead_stage_history'])), ARRAY['analytics_events', 'appointments', 'call_events', 'call_metrics', 'calls', 'consents', 'conversation_sessions', 'do_not_contact', 'follow_up_tasks', 'leads', 'notifications', 'outbox', 'stored_files', 'tool_invocations'], 'the export has every table');
SELECT is(jsonb_array_length(:'export'::jsonb -> 'leads'), 1, 'the lead'), is(:'export'::jsonb #>> '{calls,0,transcript,0,text}', 'I am Max Muster', 'what was said'), ok(:'export'::jsonb::text LIKE '%not known as a lead%', 'and what came from the address alone'), ok(:'export'::jsonb::text NOT LIKE '%Other%', 'nobody else');
SELECT va_erase_person(:'tenant', email => 'MAX@x.org') AS erased \gset
SELECT is(:'erased'::jsonb #- '{deleted,analytics_events}' #- '{deleted,lead_actions}' #- '{deleted,lead_stage_history}' #- '{recordings_at_twilio,0,call_id}', '{"deleted": {"leads": 1, "outbox": 1, "stored_files": 1, "consents": 5, "call_events": 2, "appointments": 1, "notifications": 5, "tool_invocations": 1, "follow_up_tasks": 3, "conversation_sessions": 1}, "calls_blanked": 1, "do_not_contact_kept_as_digest": 1, "recordings_at_twilio": [{"url": "https://r/1", "call_sid": "CAtrace1", "recording_sid": "RE1"}]}', 'the erasure says what it did');
CREATE FUNCTION pg_temp.traces(word text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_table text;
	v_found boolean;
	v_all text;
BEGIN
	FOR v_table IN SELECT c.oid::regclass FROM pg_class c JOIN pg_depend d ON d.objid = c.oid AND d.deptype = 'e' WHERE c.relkind = 'r' ORDER BY 1 LOOP
		EXECUTE format('SELECT EXISTS (SELECT FROM %s t WHERE t::text ILIKE $1)', v_table) INTO v_found USING '%' || word || '%';
		v_all := concat_ws(' ', v_all, CASE WHEN v_found THEN v_table END);
	END LOOP;
	RETURN v_all;
END $$;
SELECT is(nullif(btrim(pg_temp.traces(w)), ''), t, 'traces of ' || w) FROM (VALUES ('muster', NULL), ('max@x', NULL), ('500k', NULL), ('https://r/', NULL), ('CAtrace1', NULL), ('493055555', 'leads'), ('493055556', 'leads notifications')) AS x (w, t);
SELECT is((SELECT count(*)::int FROM leads WHERE phone = '+493055555'), 1, 'another tenant''s lead stays');
SELECT row_eq(format('SELECT duration_seconds, conversation_turns, status::text, direction::text FROM calls WHERE id = %L', :'call'), ROW(60, 1, 'completed'::text, 'inbound'::text), 'of the call the figures stay'), is((SELECT frames_in FROM call_metrics WHERE call_id = :'call'), 7::bigint, 'its metrics too');
SELECT is(pg_temp.may(pg_temp.lead(:'tenant', NULL, NULL, 'max@x.org'), 'email', now()), 'never | on the do-not-contact list', 'and the wish to be left alone');
SELECT is(va_export_person(:'tenant', '+499999999'), '{}', 'nobody: nothing'), is(va_erase_person(:'tenant', '+499999999') -> 'deleted', '{}', 'nothing to erase');
SELECT is(pg_temp.sqlstate_of(format('SELECT %s(%L, %s)', f, t, a)), c, format('%s refuses %s', f, a)) FROM unnest(ARRAY['va_erase_person', 'va_export_person']) f, (VALUES (:'tenant'::uuid, 'NULL', 'VA005'), (:'tenant', '$$ $$, $$ $$', 'VA005'), (:'tenant', '$$12$$', 'VA003'), (gen_random_uuid(), '$$+493055555$$', 'VA001')) AS x (t, a, c);
-- a table that is added later is covered by being there
CREATE TABLE later (id int, tenant_id uuid, lead_id uuid, from_address text);
ALTER EXTENSION voiceagent ADD TABLE later;
INSERT INTO later SELECT 1, :'tenant', id, NULL FROM leads WHERE first_name = 'Other';
INSERT INTO later VALUES (2, :'tenant', NULL, '+493055556'), (3, :'theirs', NULL, '+493055556'), (4, :'tenant', NULL, '+493055557');
SELECT is(va_erase_person(:'tenant', '+493055556') #> '{deleted,later}', '2', 'a new table');
SELECT is((SELECT array_agg(id ORDER BY id) FROM later), ARRAY[3, 4], 'in this tenant, of this person');
ALTER EXTENSION voiceagent DROP TABLE later;

-- ---- retention
SELECT is(va_retention_apply(), '{}', 'nothing is forgotten unless it is said');
UPDATE tenants SET settings = settings || '{"retention_days": {"transcripts": 30, "recordings": 10, "messages": 20, "tasks": 20, "events": 20, "leads": 20}}' WHERE id = :'tenant';
INSERT INTO calls (tenant_id, twilio_call_sid, status, ended_at, transcript, transcript_summary, recording_url) SELECT :'tenant', 'CR' || d, 'completed', now() - make_interval(days => d), '[{"text": "x"}]', 'x', 'https://r/' || d FROM unnest(ARRAY[9, 11, 31]) d;
INSERT INTO calls (tenant_id, twilio_call_sid, status, ended_at, transcript) VALUES (:'theirs', 'CRtheirs', 'completed', now() - interval '99 days', '[{"text": "x"}]');
INSERT INTO call_events (call_id, source, seq, tenant_id, at, kind, data) SELECT id, 's', 1, tenant_id, now(), 'turn', '{"text": "x"}' FROM calls WHERE twilio_call_sid LIKE 'CR%';
DELETE FROM notifications; DELETE FROM follow_up_tasks; DELETE FROM analytics_events;
INSERT INTO notifications (tenant_id, channel, status, created_at) SELECT :'tenant', 'sms', s, now() - make_interval(days => d) FROM (VALUES ('sent', 19), ('sent', 21), ('pending', 21)) AS x (s, d);
INSERT INTO follow_up_tasks (tenant_id, status, scheduled_for) SELECT :'tenant', s, now() - make_interval(days => d) FROM (VALUES ('completed', 19), ('completed', 21), ('pending', 21)) AS x (s, d);
INSERT INTO analytics_events (tenant_id, event_type, created_at) SELECT t, 'x', now() - make_interval(days => d) FROM (VALUES (:'tenant'::uuid, 19), (:'tenant', 21), (:'theirs', 21)) AS x (t, d);
ALTER TABLE leads DISABLE TRIGGER USER;
INSERT INTO leads (tenant_id, first_name, status, updated_at) SELECT :'tenant', 'old', s, now() - make_interval(days => d) FROM (VALUES ('archived', 21), ('closed_lost', 19), ('new', 21)) AS x (s, d);
ALTER TABLE leads ENABLE TRIGGER USER;
SELECT is(va_retention_apply(), '{"leads": 1, "tasks": 1, "events": 1, "messages": 1, "recordings": 2, "transcripts": 1}', 'forgotten');
SELECT is((SELECT array_agg(twilio_call_sid::text ORDER BY 1) FROM calls WHERE recording_url IS NOT NULL), ARRAY['CR9'], 'recordings'), is((SELECT array_agg(twilio_call_sid::text ORDER BY 1) FROM calls WHERE transcript <> '[]' AND twilio_call_sid LIKE 'CR%'), ARRAY['CR11', 'CR9', 'CRtheirs'], 'transcripts'), is((SELECT count(*)::int FROM call_events e JOIN calls c ON c.id = e.call_id WHERE c.twilio_call_sid LIKE 'CR%'), 3, 'and their events'),
	is((SELECT array_agg(status::text ORDER BY status) FROM notifications), ARRAY['pending', 'sent'], 'messages'), is((SELECT array_agg(status::text ORDER BY status) FROM follow_up_tasks), ARRAY['completed', 'pending'], 'tasks'), is((SELECT count(*)::int FROM analytics_events WHERE event_type = 'x'), 2, 'events'), is((SELECT array_agg(status::text ORDER BY status) FROM leads WHERE first_name = 'old'), ARRAY['closed_lost', 'new'], 'leads that are done with'),
	is((SELECT count(*)::int FROM analytics_events WHERE event_type = 'recording_expired' AND event_data ? 'url'), 2, 'the recordings at Twilio are announced');
SELECT is(va_retention_apply(), '{"leads": 0, "tasks": 0, "events": 0, "messages": 0, "recordings": 0, "transcripts": 0}', 'once');
INSERT INTO settings VALUES ('retention_days', '{"events": 20, "transcripts": 1}');
SELECT is(va_retention_apply() - 'events', '{"leads": 0, "tasks": 0, "messages": 0, "recordings": 0, "transcripts": 1}', 'the platform''s days hold where a tenant has none'), is((SELECT transcript FROM calls WHERE twilio_call_sid = 'CR11') <> '[]', true, 'a tenant''s own win');
INSERT INTO notifications (tenant_id, channel, status, created_at) SELECT :'tenant', 'sms', 'sent', now() - interval '21 days' FROM generate_series(1, 5);
SELECT is(va_retention_apply(2) -> 'messages', '2', 'in portions');
SELECT va_housekeeping() \g /dev/null
SELECT is((SELECT count(*)::int FROM notifications WHERE created_at < now() - interval '20 days' AND status = 'sent'), 0, 'housekeeping does it');

-- calls themselves, with all that is theirs; what only mentions them stays
DELETE FROM settings WHERE name = 'retention_days';
UPDATE tenants SET settings = settings || '{"retention_days": {"calls": 15}}' WHERE id = :'tenant';
SELECT id AS old_call FROM calls WHERE twilio_call_sid = 'CR31' \gset
UPDATE calls SET recording_url = 'https://r/31', recording_sid = 'RE31' WHERE id = :'old_call';
INSERT INTO conversation_sessions (tenant_id, call_id, channel) VALUES (:'tenant', :'old_call', 'voice');
INSERT INTO appointments (tenant_id, call_id, title, scheduled_at) VALUES (:'tenant', :'old_call', 'from a call', '2030-01-01');
INSERT INTO follow_up_tasks (tenant_id, call_id, title, scheduled_for) VALUES (:'tenant', :'old_call', 'from a call', '2030-01-01');
INSERT INTO calls (tenant_id, twilio_call_sid, status, started_at) VALUES (:'tenant', 'CRlive', 'in-progress', now() - interval '99 days');
CREATE TABLE own (call uuid REFERENCES calls (id));
INSERT INTO own VALUES (:'old_call');
SELECT is(va_retention_apply(), '{"calls": 1}', 'old calls are forgotten');
SELECT is((SELECT array_agg(twilio_call_sid::text ORDER BY 1) FROM calls WHERE twilio_call_sid LIKE 'CR%'), '{CR11,CR9,CRlive,CRtheirs}', 'those alone'), is((SELECT count(*)::int FROM conversation_sessions WHERE call_id = :'old_call') + (SELECT count(*)::int FROM call_events WHERE call_id = :'old_call') + (SELECT count(*)::int FROM analytics_events WHERE call_id = :'old_call'), 0, 'with their sessions and events'),
	is((SELECT count(*)::int FROM appointments WHERE title = 'from a call' AND call_id IS NULL) + (SELECT count(*)::int FROM follow_up_tasks WHERE title = 'from a call' AND call_id IS NULL) + (SELECT count(*)::int FROM own WHERE call IS NULL), 3, 'appointments, tasks and anybody''s rows lose the call and stay'), is((SELECT count(*)::int FROM analytics_events WHERE event_type = 'recording_expired' AND event_data ->> 'recording_sid' = 'RE31'), 1, 'the recording is announced');
SELECT is(va_retention_apply(), '{"calls": 0}', 'once');

-- ---- a tenant's application
SELECT id AS some FROM leads WHERE tenant_id = :'theirs' LIMIT 1 \gset
SELECT va_opt_out(:'theirs', '+4930777777') \g /dev/null
SELECT set_config('voiceagent.tenant_id', :'tenant', false) \g /dev/null
SET ROLE voiceagent_agent;
SELECT is(pg_temp.sqlstate_of(s), c, 'refused: ' || s) FROM (VALUES (format('SELECT va_may_contact(%L, $$call$$)', :'some'), 'VA020'), (format('SELECT va_opt_out(%L, $$+4930777777$$)', :'theirs'), 'VA001'), (format('SELECT va_opt_in(%L, $$+4930777777$$)', :'theirs'), 'VA001'), (format('SELECT va_erase_person(%L, $$+493055555$$)', :'theirs'), 'VA001'),
	(format('SELECT va_export_person(%L, $$+493055555$$)', :'theirs'), 'VA001'), ('SELECT va_retention_apply()', '42501'), ('DELETE FROM consents', '42501'), ('DELETE FROM do_not_contact', '42501'), ('SELECT va_person_delete(NULL, NULL, NULL, NULL)', '42501')) AS x (s, c);
SELECT is((SELECT count(*)::int FROM do_not_contact WHERE address = '+4930777777'), 0, 'another''s list it does not see'), lives_ok(format('SELECT va_opt_out(%L, $$+4930888888$$)', :'tenant'), 'its own it writes'), is((SELECT count(*)::int FROM contact_attempts), 0, 'and reads attempts');
SELECT isnt(va_export_person(:'tenant', '+4930888888'), '{}', 'and exports its own');
RESET ROLE;
SELECT * FROM finish();
