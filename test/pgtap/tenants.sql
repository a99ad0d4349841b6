-- Tenants, numbers, settings, opening hours and leads.
\ir setup.psql
SELECT no_plan();

-- ---- va_tenant_create: one statement, ready for a call
SELECT va_tenant_create('ABC Realty & Söhne', 'real_estate', '+1 (555) 123-0002', agent_name => 'Kim', timezone => 'America/New_York',
	language => 'es-ES', voice_id => 'v1', voice_engine => 'realtime', twilio_account_sid => :'acme', settings => '{"max_call_seconds": 60, "engine": {"model": "m", "temperature": 0.5, "base_url": "https://e.example.com", "settings": {"a": 1}}}') AS tenant \gset
SELECT row_eq(format('SELECT slug::text, industry::text, timezone::text, status::text FROM tenants WHERE id = %L', :'tenant'), ROW('abc-realty-s-hne'::text, 'real_estate'::text, 'America/New_York'::text, 'active'::text), 'the tenant');
SELECT row_eq(format('SELECT phone_number::text, phone_type::text, is_active FROM phone_numbers WHERE tenant_id = %L', :'tenant'), ROW('+15551230002'::text, 'voice'::text, true), 'its number, in E.164');
SELECT ok(greeting_script LIKE '%{{company}}%{{agent_name}}%' AND agent_name = 'Kim' AND system_prompt LIKE '%{{agent_name}}%capture_lead%end_call%' AND 'gas leak' = ANY (escalation_keywords), 'its voice, with placeholders') FROM tenant_voice_configs WHERE tenant_id = :'tenant';
SELECT ok(greeting LIKE '%ABC Realty & Söhne%Kim%' AND system_prompt LIKE '%Kim%price range%capture_lead%end_call%' AND system_prompt !~ '[{}]' AND 'end_call' = ANY (tools), 'expanded when a call begins') FROM va_tenant_preview(:'tenant');
SELECT is(a.session - ARRAY['system_prompt', 'tools', 'token', 'history', 'call_id', 'tenant_id', 'greeting', 'inactivity_message', 'apology'], '{"engine": "realtime", "model": "m", "voice": "v1", "api_key": "", "resumed": false, "base_url": "https://e.example.com",
	"language": "es-ES", "temperature": 0.5, "inactivity_s": 30, "max_duration_s": 60, "prepare_timeout_ms": 5000, "engine_settings": {"a": 1}}', 'its session') FROM pg_temp.answer('CA1') a;
UPDATE phone_numbers SET language = 'fr-FR', voice_config = '{"voice_id": "v2", "greeting": "Bonjour"}';
SELECT is(ARRAY[a.session ->> 'language', a.session ->> 'voice', a.session ->> 'greeting'], ARRAY['fr-FR', 'v2', 'Bonjour'], 'a number''s own voice wins') FROM pg_temp.answer('CA2') a;
SELECT is(va_tenant_create('ABC Realty & Söhne', 'x', NULL) IS NOT NULL, true, 'a second tenant of the same name');
SELECT is((SELECT array_agg(slug::text ORDER BY slug) FROM tenants), ARRAY['abc-realty-s-hne', 'abc-realty-s-hne-2'], 'has a slug of its own');
SELECT is(va_slug('株式会社'), 'tenant', 'a name without Latin letters has a slug too');
SELECT is(pg_temp.sqlstate_of($$SELECT va_tenant_create('', 'x', NULL)$$), 'VA005', 'a tenant needs a name');
SELECT is(pg_temp.sqlstate_of($$SELECT va_tenant_create('X', 'x', '555 1234')$$), 'VA003', 'and a number with its country');
SELECT is(pg_temp.sqlstate_of($$SELECT va_tenant_create('X', 'x', '+15551230002')$$), '23505', 'that is not another''s');
SELECT is((SELECT count(*)::int FROM tenants WHERE name = 'X'), 0, 'a failure leaves nothing behind');

-- ---- the parameters that fill the rest
SELECT va_tenant_create('Clinic', 'dentist', NULL, whatsapp_number => '+15551230090', accent => 'british', notification_emails => '{boss@x.org}', hours => '{"weekdays": [["09:00", "12:00"], ["13:00", "17:00"]], "wednesday": [], "saturday": [["10:00", "14:00"]]}',
	settings => '{"emergency_number": "911", "after_hours_action": "callback", "qualification_criteria": {"hot": 0.8, "warm": null}}') AS clinic \gset
SELECT row_eq(format($$SELECT t.industry::text, settings -> 'qualification_criteria', settings -> 'notification_emails', settings ->> 'appointment_minutes' FROM tenants t WHERE id = %L$$, :'clinic'),
	ROW('healthcare'::text, '{"hot": 0.8, "clear_need": 0.35, "decision_maker": 0.10, "timeline_urgent": 0.35, "budget_mentioned": 0.10}'::jsonb, '["boss@x.org"]'::jsonb, '20'::text), 'settings of the template, under those given');
SELECT row_eq(format($$SELECT phone_number::text, phone_type::text FROM phone_numbers WHERE tenant_id = %L$$, :'clinic'), ROW('+15551230090'::text, 'whatsapp'::text), 'a number for messages');
SELECT ok(greeting LIKE '%call 911%' AND system_prompt LIKE '%call 911 now%Opening hours: Monday, Tuesday, Thursday, Friday 09:00 to 12:00 and 13:00 to 17:00; Saturday 10:00 to 14:00.%accent: british.%', 'emergency number, hours and accent') FROM va_tenant_preview(:'clinic');
SELECT is((SELECT array_agg(DISTINCT after_hours_action::text) FROM business_hours WHERE tenant_id = :'clinic'), ARRAY['callback'], 'the after-hours action');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_tenant_create(%L, %L, NULL, settings => %L, hours => %L, greeting => %L, agent_name => %L)', 'Y', 'legal', s, h, g, 'A')), 'VA009', concat('refused: ', s, h, g))
FROM (VALUES ('[]', NULL, NULL), ('{"max_calls": 5}', NULL, NULL), (NULL, '{}', NULL), (NULL, '{"mondy": []}', NULL), (NULL, '{"monday": [["9", "10"]]}', NULL), (NULL, NULL, 'Hello {{firm}}'), (NULL, NULL, 'Hello {{company')) AS x (s, h, g);

-- ---- numbers
SELECT va_tenant_number_add(:'clinic', '+44 800 555 0005', language => 'en-GB', voice_config => '{"voice_id": "uk", "accent": "british", "agent_name": "Nigel", "greeting": "{{agent_name}} of {{company}}."}') AS number \gset
SELECT is((SELECT array[greeting, language, voice] FROM va_tenant_preview(:'clinic', '+448005550005')), ARRAY['Nigel of Clinic.', 'en-GB', 'uk'], 'a number with a voice of its own');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_tenant_number_add(%L, %L, %L, voice_config => %L)', t, n, p, v)), c, concat('a number is refused: ', c, ' ', v, p)) FROM (VALUES (:'clinic', '+448005550005', 'voice', '{}', '23505'), (:'tenant', '+448005550005', 'voice', '{}', '23505'),
	(:'clinic', '5', 'voice', '{}', 'VA003'), (:'clinic', NULL, 'voice', '{}', 'VA003'), (:'clinic', '+15551230091', 'fax', '{}', 'VA005'), (:'clinic', '+15551230091', NULL, '{}', 'VA005'), (:'clinic', '+15551230091', 'voice', '{"voice": "x"}', 'VA009'),
	(:'clinic', '+15551230091', 'voice', '{"greeting": "{{x}}"}', 'VA009'), (:'clinic', '+15551230091', 'voice', '{"language": "English"}', 'VA009'), (:'clinic', '+15551230091', 'voice', '{"max_call_seconds": 5}', 'VA009'), (NULL, '+15551230091', 'voice', '{}', 'VA001')) AS x (t, n, p, v, c);
SELECT is(pg_temp.sqlstate_of(format('SELECT va_tenant_preview(%L, %L)', :'clinic', '+15551230002')), 'VA005', 'another tenant''s number is not previewed');
SELECT is(va_tenant_number_remove(:'tenant', '+448005550005'), false, 'another tenant''s number stays'), is(va_tenant_number_remove(:'clinic', '+44 800 555 0005'), true, 'a number is taken away'), is(va_tenant_number_remove(:'clinic', '+448005550005'), false, 'once');

-- ---- hours, holidays, voice
SELECT is(va_tenant_hours_set(:'clinic', '{"daily": [["00:00", "24:00"]], "sunday": [], "friday": [["22:00", "02:00"]]}', 'transfer'), 6, 'other hours');
SELECT is(va_business_open(:'clinic', at::timestamptz), o, 'hours at ' || at) FROM (VALUES ('2026-03-02 03:00Z', true), ('2026-03-06 12:00Z', false), ('2026-03-07 01:00Z', true), ('2026-03-08 12:00Z', false)) AS x (at, o);
SELECT is(va_tenant_hours_set(:'clinic', '{"daily": []}'), 0, 'closed for good');
SELECT is(va_business_open(:'clinic'), false, 'is not the same');
SELECT is(va_tenant_hours_set(:'clinic', NULL), 0, 'as no hours at all');
SELECT is(va_business_open(:'clinic'), true, 'which is always open');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_tenant_hours_set(%L, %L, %L)', :'clinic', '{"daily": []}', 'sing')), 'VA009', 'an action that there is not');
SELECT va_holiday_add(:'clinic', '2030-12-25', 'Christmas'), va_holiday_add(:'clinic', '2030-12-24', intervals => '[["10:00", "12:00"]]'), va_holiday_add(:'clinic', '2030-12-25', intervals => '[["10:00", "11:00"]]') \g /dev/null
SELECT is((SELECT jsonb_object_agg(date, jsonb_build_array(name, intervals)) FROM holidays WHERE tenant_id = :'clinic'), '{"2030-12-24": [null, [["10:00", "12:00"]]], "2030-12-25": ["Christmas", [["10:00", "11:00"]]]}', 'holidays, the last word counts');
SELECT is(va_holiday_remove(:'clinic', '2030-12-25'), true, 'a holiday less'), is(va_holiday_remove(:'clinic', '2030-12-25'), false, 'once');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_holiday_add(%L, %L, NULL, %L)', :'clinic', d, i)), c, concat('no holiday: ', d, i)) FROM (VALUES (NULL, '[]', 'VA005'), ('infinity', '[]', 'VA005'), ('2030-01-01', '["10:00"]', 'VA009')) AS x (d, i, c);
SELECT is(va_tenant_voice_set(:'clinic', agent_name => 'Joan', speaking_rate => 1.5, voice_id => 'v', knowledge => 'We are closed in May.', max_turns => 9), (SELECT id FROM tenant_voice_configs WHERE tenant_id = :'clinic'), 'another voice');
SELECT ok(greeting LIKE '%Joan%' AND system_prompt LIKE '%closed in May%', 'is heard') FROM va_tenant_preview(:'clinic');
SELECT is((SELECT va_session(c, NULL) -> 'engine_settings' FROM (SELECT (NULL::calls).*) n, LATERAL (SELECT jsonb_populate_record(NULL::calls, jsonb_build_object('tenant_id', :'clinic', 'resume_count', 0)) AS c) x), '{"voiceOverrides": {"elevenLabs": {"speed": 1.2}}}', 'at its speed, as far as the provider goes');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_tenant_voice_set(%L, greeting => %L, speaking_rate => %L, pitch => %L, max_turns => %L)', t, g, r, p, m)), c, concat('no voice: ', c, g, r, p, m)) FROM (VALUES (:'clinic', '{{x}}', 1, 1, 1, 'VA009'), (:'clinic', 'x', 0.1, 1, 1, 'VA005'),
	(:'clinic', 'x', 1, 9, 1, 'VA005'), (:'clinic', 'x', 1, 1, 0, 'VA005'), ('00000000-0000-0000-0000-000000000000', 'x', 1, 1, 1, 'VA001')) AS x (t, g, r, p, m, c);
DELETE FROM tenant_voice_configs WHERE tenant_id = :'clinic';
SELECT ok(system_prompt LIKE 'You are the assistant, the telephone assistant of Clinic (healthcare).%', 'without a voice there is the general prompt') FROM va_tenant_preview(:'clinic');
SELECT ok(va_tenant_voice_set(:'clinic') IS NOT NULL, 'and a voice is made');
SELECT is((SELECT count(*)::int FROM tenant_voice_configs WHERE tenant_id = :'clinic'), 1, 'once');
DELETE FROM analytics_events WHERE tenant_id = :'clinic';
DELETE FROM tenants WHERE id = :'clinic';

-- ---- settings
SELECT is(pg_temp.sqlstate_of(format('UPDATE tenants SET settings = %L', s)), 'VA009', 'refused: ' || s)
FROM unnest(ARRAY['{"voice_engine": "parrot"}', '{"max_call_seconds": "60"}', '{"max_call_seconds": -1}', '{"twilio_account_sid": "AC1"}', '{"engine": []}', '{"after_hours_action": "sing"}', '{"voicemail": "yes"}', '{"apology": 5}']) s;
SELECT is(pg_temp.sqlstate_of($$UPDATE tenants SET settings = '{"transfer_number": "911"}'$$), 'VA003', 'refused: a transfer number without country');
SELECT is(pg_temp.sqlstate_of($$UPDATE tenants SET timezone = 'Mars/Olympus'$$), 'VA009', 'refused: a time zone that is none');
SELECT is(pg_temp.sqlstate_of($$UPDATE tenants SET settings = '{"custom": {"my_own": [1]}, "apology": null}' WHERE slug LIKE '%2'$$), 'none', 'in custom everything is the user''s own');
SELECT is(pg_temp.sqlstate_of($$INSERT INTO settings VALUES ('voice_engine', '5')$$), 'VA009', 'platform settings are checked as well');
INSERT INTO settings VALUES ('apology', '"Pardon."'), ('inactivity_seconds', '7');
SELECT is(ARRAY[a.session ->> 'apology', a.session ->> 'inactivity_s'], ARRAY['Pardon.', '7'], 'and hold where a tenant says nothing') FROM pg_temp.answer('CA3') a;
UPDATE tenants SET settings = settings || '{"apology": "Sorry."}' WHERE id = :'tenant';
SELECT is(a.session ->> 'apology', 'Sorry.', 'a tenant''s own wins') FROM pg_temp.answer('CA4') a;

-- ---- telephone numbers
SELECT is(va_phone_normalize(i), o, 'number ' || i) FROM (VALUES ('+1 (555) 123-0001', '+15551230001'), ('0049 30 123456', '+4930123456'), ('whatsapp:+15551230001', '+15551230001')) AS x (i, o);
SELECT throws_ok(format('SELECT va_phone_normalize(%L)', n), 'VA003', NULL, 'not a number: ' || n) FROM unnest(ARRAY['', '555', 'anonymous', '+0123456789', 'client:bob', '+1234567890123456']) n;
SELECT is(va_phone_try(n), NULL, 'va_phone_try: ' || n) FROM unnest(ARRAY['', '555', 'anonymous']) n;
SELECT is(va_phone_normalize(NULL), NULL, 'no number is no number');

-- ---- TwiML
SELECT is(va_twiml('[]'), '<?xml version="1.0" encoding="UTF-8"?><Response></Response>', 'an empty document') WHERE va_twiml('[]') NOT LIKE '%<Response/>';
SELECT is(va_twiml('[{"verb": "Dial", "attributes": {"timeout": 20, "record": true, "none": null}, "children": [{"verb": "Number", "text": "<&\">"}]}]'),
	'<?xml version="1.0" encoding="UTF-8"?><Response><Dial record="true" timeout="20"><Number>&lt;&amp;&quot;&gt;</Number></Dial></Response>', 'attributes, children, escapes');
SELECT throws_ok(format('SELECT va_twiml(%L)', t), 'VA010', NULL, 'no TwiML: ' || left(t, 60)) FROM unnest(ARRAY['{}', '5', '[5]', '[{}]', '[{"verb": 5}]', '[{"verb": "a b"}]', '[{"verb": "Say", "attributes": []}]', '[{"verb": "Say", "attributes": {"x": {}}}]',
	'[{"verb": "Say", "text": {}}]', '[{"verb": "Say", "children": {}}]', jsonb_build_array(jsonb_build_object('verb', 'Say', 'text', repeat('x', 70000)))::text]) t;

-- ---- opening hours, New York: Monday 9 to 12 and 13 to 17, Friday 22 to 2, Saturday all day, Wednesday shut
SELECT va_tenant_create('Hours', 'x', NULL, timezone => 'America/New_York') AS t \gset
SELECT ok(va_business_open(:'t'), 'without rows: always open');
INSERT INTO business_hours (tenant_id, day_of_week, open_time, close_time) VALUES (:'t', 1, '09:00', '12:00'), (:'t', 1, '13:00', '17:00'), (:'t', 5, '22:00', '02:00'), (:'t', 6, '00:00', '24:00'), (:'t', 3, '09:00', '17:00');
INSERT INTO business_hours (tenant_id, day_of_week, is_closed, after_hours_action) VALUES (:'t', 3, true, 'callback');
SELECT is(va_business_open(:'t', at::timestamp AT TIME ZONE 'America/New_York'), open, at || CASE WHEN open THEN ': open' ELSE ': closed' END)
FROM (VALUES ('2026-03-02 08:59:59', false), ('2026-03-02 09:00', true), ('2026-03-02 11:59:59', true), ('2026-03-02 12:00', false), ('2026-03-02 13:00', true), ('2026-03-02 17:00', false), ('2026-03-03 10:00', false),
	('2026-03-04 10:00', false), ('2026-03-06 21:59', false), ('2026-03-06 23:59', true), ('2026-03-07 01:59', true), ('2026-03-07 12:00', true), ('2026-03-07 23:59:59', true), ('2026-03-08 00:00', false), ('2026-03-09 09:00', true)) AS x (at, open);
SELECT is(va_next_opening(:'t', '2026-03-03 10:00-05'), '2026-03-06 22:00-05'::timestamptz, 'the next opening is on Friday');
SELECT is(va_next_opening(:'t', '2026-03-08 12:00-04'), '2026-03-09 09:00-04'::timestamptz, 'and after the clocks change, on Monday at nine all the same');
SELECT is(va_next_opening(:'t', '2026-03-02 10:00-05'), '2026-03-02 10:00-05'::timestamptz, 'open: now');
SELECT is(va_after_hours_action(:'t', '2026-03-04 12:00-05'), 'voicemail', 'the day''s action');
DELETE FROM business_hours WHERE day_of_week <> 3 OR NOT is_closed;
SELECT is(va_after_hours_action(:'t', '2026-03-04 12:00-05'), 'callback', 'of the only row');
SELECT is(va_next_opening(:'t'), NULL, 'never open');
SELECT is(pg_temp.sqlstate_of($$SELECT va_business_open('00000000-0000-0000-0000-000000000000')$$), 'VA001', 'hours of an unknown tenant');

-- ---- leads
SELECT va_lead_capture(:'t', '{"first_name": "Jane", "phone": "+1 555 123 0001", "budget": 5, "tags": ["a"]}') AS lead \gset
SELECT is(va_lead_capture(:'t', '{"last_name": "Doe", "phone": "+15551230001", "email": "J@X.org", "tags": ["b", "a"], "qualification_data": {"need": "house"}}', 'whatsapp'), :'lead'::uuid, 'found by phone');
SELECT is(va_lead_capture(:'t', '{"company": "X Inc", "email": "j@x.ORG", "phone": "+15551239999", "first_name": " ", "qualification_data": {"budget": "1m"}}'), :'lead'::uuid, 'found by e-mail');
SELECT row_eq(format('SELECT first_name::text, last_name::text, phone::text, email::text, company_name::text, source::text, tags, qualification_data, custom_fields, status::text FROM leads WHERE id = %L', :'lead'),
	ROW('Jane'::text, 'Doe'::text, '+15551230001'::text, 'j@x.org'::text, 'X Inc'::text, 'web'::text, ARRAY['a', 'b'], '{"need": "house", "budget": "1m"}'::jsonb, '{"budget": 5}'::jsonb, 'new'::text), 'and merged');
SELECT isnt(va_lead_capture(:'tenant', '{"phone": "+15551230001"}'), :'lead'::uuid, 'another tenant''s lead is another lead');
SELECT isnt(va_lead_capture(:'t', '{"name": "Jane Doe"}'), :'lead'::uuid, 'a name alone finds nobody');
SELECT is((SELECT array_agg(event_type::text ORDER BY created_at) FROM analytics_events WHERE lead_id = :'lead'), ARRAY['lead_captured', 'lead_updated', 'lead_updated'], 'domain events');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_lead_capture(%L, %L)', :'t', d)), code, 'refused: ' || d) FROM (VALUES ('{"phone": "12"}', 'VA003'), ('{"email": "x"}', 'VA005'), ('[]', 'VA005')) AS x (d, code);
SELECT is(pg_temp.sqlstate_of($$SELECT va_lead_capture(NULL, '{}')$$), 'VA001', 'refused: no tenant');
SELECT is(pg_temp.sqlstate_of(format($$INSERT INTO leads (tenant_id, phone) VALUES (%L, '555')$$, :'t')), 'VA003', 'a lead''s number is checked, whoever writes it');
INSERT INTO leads (tenant_id, phone) VALUES (:'t', ' +44 20 7946 0000 ');
SELECT is((SELECT count(*)::int FROM leads WHERE phone = '+442079460000'), 1, 'and stored in E.164');
SELECT * FROM finish();
