-- Tenants, numbers, settings, opening hours and leads.
\ir setup.psql
SELECT no_plan();

-- ---- va_tenant_create: one statement, ready for a call
SELECT va_tenant_create('ABC Realty & Söhne', 'real_estate', '+1 (555) 123-0002', agent_name => 'Kim', timezone => 'America/New_York',
	language => 'es-ES', voice_id => 'v1', voice_engine => 'realtime', twilio_account_sid => :'acme', settings => '{"max_call_seconds": 60, "engine": {"model": "m", "temperature": 0.5, "base_url": "https://e.example.com", "settings": {"a": 1}}}') AS tenant \gset
SELECT row_eq(format('SELECT slug::text, industry::text, timezone::text, status::text FROM tenants WHERE id = %L', :'tenant'), ROW('abc-realty-s-hne'::text, 'real_estate'::text, 'America/New_York'::text, 'active'::text), 'the tenant');
SELECT row_eq(format('SELECT phone_number::text, phone_type::text, is_active FROM phone_numbers WHERE tenant_id = %L', :'tenant'), ROW('+15551230002'::text, 'voice'::text, true), 'its number, in E.164');
SELECT ok(greeting_script LIKE '%ABC Realty%Kim%' AND system_prompt LIKE '%Kim%capture_lead%end_call%', 'its voice') FROM tenant_voice_configs WHERE tenant_id = :'tenant';
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
