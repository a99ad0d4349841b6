-- Settings against their definitions: every key with a right and a wrong value, generated from the table itself; what
-- the errors say; merging; what holds for a tenant.
\ir setup.psql
SELECT no_plan();
CREATE FUNCTION pg_temp.error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_hint text;
BEGIN
	EXECUTE statement;
	RETURN 'none';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS v_hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(v_hint, ''));
END
$$;
-- A value at the place that a name with dots tells.
CREATE FUNCTION pg_temp.at(name text, value jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT CASE WHEN name ~ '\.' THEN pg_temp.at(substring(name FROM '^(.*)\.'), jsonb_build_object(substring(name FROM '[^.]*$'), value)) ELSE jsonb_build_object(name, value) END
$$;
SELECT pg_temp.tenant('+15551230002') AS tenant \gset
UPDATE tenants SET settings = '{}';

-- ---- the definitions themselves
SELECT is((SELECT array_agg(name) FROM setting_definitions d WHERE name ~ '\.' AND NOT EXISTS (SELECT FROM setting_definitions o WHERE o.name = substring(d.name FROM '^(.*)\.') AND 'object' = ANY (o.types) AND o.scope @> d.scope)), NULL, 'a member has its object');
SELECT is((SELECT array_agg(name) FROM setting_definitions WHERE checked_by IS NOT NULL AND to_regprocedure(checked_by || '(text, jsonb)') IS NULL), NULL, 'a check is a function');
SELECT is((SELECT array_agg(name) FROM setting_definitions WHERE pattern IS NOT NULL AND expected IS NULL), NULL, 'a pattern has words');
SELECT is((SELECT array_agg(name) FROM setting_definitions WHERE 'number' = ANY (types) IS TRUE AND minimum IS NULL OR 'integer' = ANY (types) AND (minimum IS NULL OR maximum IS NULL OR minimum % 1 <> 0)), NULL, 'a number has bounds');
SELECT is(pg_temp.error_of(format('SELECT va_check_settings(%L)', pg_temp.at(name, default_value))), 'none', name || ': the default is allowed') FROM setting_definitions WHERE default_value IS NOT NULL AND 'tenant' = ANY (scope) AND name !~ '^contact_hours\.' ORDER BY name;
SELECT is(pg_temp.error_of(format('SELECT va_check_settings(%L)', pg_temp.at(name, 'null'))), 'none', name || ': null is allowed') FROM setting_definitions WHERE 'tenant' = ANY (scope) AND name !~ '^contact_hours\.' ORDER BY name;
-- each type that is not its own
SELECT matches(pg_temp.error_of(format('SELECT va_check_settings(%L)', pg_temp.at(d.name, w.value))), '^VA009 \| setting "' || d.name || '" must be of type', d.name || ': no ' || w.type)
FROM setting_definitions d, (VALUES ('boolean', 'true'::jsonb), ('number', '5'), ('text', '"x"'), ('array', '[]'), ('object', '{}')) AS w (type, value)
WHERE 'tenant' = ANY (scope) AND NOT (w.type = ANY (d.types) OR w.type = 'number' AND 'integer' = ANY (d.types)) ORDER BY 1;
-- bounds, and one beyond them
SELECT is(pg_temp.error_of(format('SELECT va_check_settings(%L)', pg_temp.at(d.name, to_jsonb(b)))), 'none', d.name || ': ' || b) FROM setting_definitions d, unnest(ARRAY[minimum, maximum]) b WHERE types && '{integer,number}' AND b IS NOT NULL AND 'tenant' = ANY (scope) ORDER BY d.name;
SELECT matches(pg_temp.error_of(format('SELECT va_check_settings(%L)', pg_temp.at(d.name, to_jsonb(b)))), '^VA009 \| setting "' || d.name || '" must be (between|at)', d.name || ': not ' || b) FROM setting_definitions d, unnest(ARRAY[minimum - 1, maximum + 1]) b WHERE types && '{integer,number}' AND b IS NOT NULL AND 'tenant' = ANY (scope) ORDER BY d.name;
SELECT matches(pg_temp.error_of(format('SELECT va_check_settings(%L)', pg_temp.at(d.name, to_jsonb(minimum + 0.5)))), '^VA009 \| setting "' || d.name || '" must be a whole number', d.name || ': not half a one') FROM setting_definitions d WHERE types = '{integer}' AND minimum < maximum AND 'tenant' = ANY (scope) ORDER BY name;
SELECT matches(pg_temp.error_of(format('SELECT va_check_settings(%L)', pg_temp.at(d.name, to_jsonb(repeat('x', maximum::integer + 1))))), '^VA009 \| setting "' || d.name || '" must', d.name || ': not too long') FROM setting_definitions d WHERE 'text' = ANY (types) AND maximum < 100000 AND 'tenant' = ANY (scope) ORDER BY name;
SELECT matches(pg_temp.error_of(format('SELECT va_check_settings(%L)', pg_temp.at(d.name, CASE WHEN 'array' = ANY (types) THEN '["?!"]' ELSE '"?!"' END::jsonb))), '^VA009 \| setting "' || d.name || '" (must be|has an unknown value)', d.name || ': no other word')
FROM setting_definitions d WHERE (allowed IS NOT NULL OR pattern IS NOT NULL AND '?!' !~ pattern) AND 'tenant' = ANY (scope) ORDER BY name;
SELECT matches(pg_temp.error_of(format('SELECT va_check_settings(%L)', pg_temp.at(d.name, '"Hello {{nobody}}"'))), 'VA009 \| setting "' || d.name || '" has an unknown placeholder', d.name || ': placeholders are checked') FROM setting_definitions d WHERE expands AND 'tenant' = ANY (scope) ORDER BY name;
SELECT is(pg_temp.error_of(format('SELECT va_check_settings(%L)', pg_temp.at(d.name, '"Hello {{ company }}, line one\nline two"'))), 'none', d.name || ': placeholders and lines are allowed') FROM setting_definitions d WHERE expands AND 'tenant' = ANY (scope) ORDER BY name;

-- ---- what the errors say
SELECT is(pg_temp.error_of(format('UPDATE tenants SET settings = %L', s)), 'VA009 | ' || e, s) FROM (VALUES
	('{"voice_engin": "ultravox"}', 'unknown setting "voice_engin" | Did you mean "voice_engine"?'),
	('{"max_calls": 5}', 'unknown setting "max_calls" | Did you mean "max_call_seconds"?'),
	('{"xyz": 5}', 'unknown setting "xyz" | SELECT name, description FROM setting_definitions lists them. Keys of your own go into the object "custom".'),
	('{"engine": {"temprature": 1}}', 'unknown setting "engine.temprature" | Did you mean "engine.temperature"?'),
	('{"contact_limits": {"call": {"month": 1}}}', 'unknown setting "contact_limits.call.month" | Did you mean "contact_limits.call.day"?'),
	('{"voice_id": "x"}', 'setting "voice_id" does not belong here | It belongs into phone_numbers.voice_config.'),
	('{"voice_engine": "parrot"}', 'setting "voice_engine" has an unknown value "parrot" | Known are ultravox, realtime.'),
	('{"max_call_seconds": "60"}', 'setting "max_call_seconds" must be of type integer, not text'),
	('{"voicemail": 5}', 'setting "voicemail" must be of type boolean or object, not number'),
	('{"say_voice": "a\nb"}', 'setting "say_voice" must be one line'),
	('{"tools": [5]}', 'setting "tools" must be an array of texts'),
	('{"follow_up_hints": {"thanks": 5}}', 'setting "follow_up_hints.thanks" must be a text of at most 1000 characters'),
	('[]', 'settings must be a JSON object, not array')) AS x (s, e);
SELECT is(pg_temp.error_of($$INSERT INTO settings VALUES ('voice_engin', '"ultravox"')$$), 'VA009 | unknown setting "voice_engin" | Did you mean "voice_engine"?', 'the platform''s are checked as well');
SELECT is(pg_temp.error_of($$UPDATE phone_numbers SET voice_config = '{"voice": "x"}'$$), 'VA009 | unknown setting "voice" | Did you mean "voice_id"?', 'and a number''s');
SELECT is(pg_temp.error_of($$UPDATE phone_numbers SET voice_config = '{"apology": "x"}'$$), 'VA009 | setting "apology" does not belong here | It belongs into tenants.settings.', 'which has less');
SELECT is(pg_temp.error_of($$SELECT va_check_settings('{"apology": "{{companie}} {{ company }}"}')$$), 'VA009 | setting "apology" has an unknown placeholder "{{companie}}" | Did you mean "{{company}}"? Known are ' || array_to_string(va_placeholders(), ', ') || '.', 'a placeholder that is none');
SELECT is(va_nearest(w, '{alpha,beta,gamma}'), n, 'nearest of ' || w) FROM (VALUES ('alfa', 'alpha'), ('betta', 'beta'), ('', NULL), ('xyzzy', NULL), (repeat('x', 101), NULL), ('gammä', 'gamma')) AS x (w, n);

-- ---- merging (RFC 7396, its own examples)
SELECT is(va_merge_patch(t::jsonb, p::jsonb), r::jsonb, t || ' + ' || p) FROM (VALUES ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'), ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'), ('{"a":"b"}', '{"a":null}', '{}'), ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
	('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'), ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'), ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'), ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'), ('{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}')) AS x (t, p, r);
SELECT is(va_tenant_settings_set(:'tenant', '{"engine": {"model": "m", "temperature": 1}, "apology": "Oh."}'), '{"engine": {"model": "m", "temperature": 1}, "apology": "Oh."}', 'settings are set');
SELECT is(va_tenant_settings_set(:'tenant', '{"engine": {"model": null}, "apology": null, "custom": {"x": {"y": 1}}}'), '{"engine": {"temperature": 1}, "custom": {"x": {"y": 1}}}', 'and merged');
SELECT is((SELECT settings FROM tenants), '{"engine": {"temperature": 1}, "custom": {"x": {"y": 1}}}', 'in the table');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_tenant_settings_set(%L, %L)', t, s)), c, concat('refused: ', s, c)) FROM (VALUES (:'tenant', '{"apologie": null}', 'VA009'), (:'tenant', '{"engine": 5}', 'VA009'), (:'tenant', '[]', 'VA005'), (:'tenant', NULL, 'VA005'), ('00000000-0000-0000-0000-000000000000', '{}', 'VA001'),
	(:'tenant', '{"transfer_number": "911"}', 'VA003'), (:'tenant', '{"warm_lead_threshold": 0.9}', 'VA022')) AS x (t, s, c);
SELECT is(va_platform_settings_set('{"inactivity_seconds": 5, "engine": {"temperature": 0.7, "model": "p"}}'), '{"inactivity_seconds": 5, "engine": {"temperature": 0.7, "model": "p"}}', 'the platform''s too');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_platform_settings_set(%L)', s)), c, concat('refused: ', s)) FROM (VALUES ('{"apologie": null}', 'VA009'), ('[]', 'VA005'), (NULL, 'VA005')) AS x (s, c);
SELECT is((SELECT jsonb_object_agg(name, jsonb_build_array(value, source)) FROM va_tenant_settings(:'tenant') WHERE name IN ('engine.temperature', 'engine.model', 'inactivity_seconds', 'max_call_seconds', 'say_voice')),
	'{"engine.model": ["p", "platform"], "engine.temperature": [1, "tenant"], "inactivity_seconds": [5, "platform"], "max_call_seconds": [1800, "default"], "say_voice": [null, "default"]}', 'what holds for a tenant, and who says so');
SELECT is(va_platform_settings_set('{"inactivity_seconds": null, "engine": {"model": null}}'), '{"engine": {"temperature": 0.7}}', 'and taken back');
SELECT is(va_platform_settings_set('{"engine": null}'), '{}', 'altogether');

-- ---- what the table says holds where nobody says anything is what the functions take
UPDATE tenants SET settings = jsonb_build_object('twilio_account_sid', :'acme');
SELECT is(pg_temp.answer('CA1') IS NOT NULL, true, 'a call');
SELECT is(s.session -> k.member, d.default_value, 'default of ' || d.name) FROM (SELECT va_session(pg_temp.call('CA1'), NULL) AS session) s, (VALUES ('inactivity_seconds', 'inactivity_s'), ('inactivity_message', 'inactivity_message'), ('apology', 'apology'),
	('prepare_timeout_ms', 'prepare_timeout_ms'), ('max_call_seconds', 'max_duration_s'), ('engine.temperature', 'temperature'), ('voice_engine', 'engine'), ('engine.settings', 'engine_settings')) AS k (name, member) JOIN setting_definitions d USING (name);
SELECT is((SELECT jsonb_object_agg(signal, round(weight::numeric, 6)) FROM va_lead_score_explain('{}'::jsonb)), (SELECT jsonb_object_agg(substring(name FROM '[^.]*$'), round(default_value::numeric, 6)) FROM setting_definitions WHERE name ~ '^qualification_criteria\..*_'), 'weights');
SELECT is(va_contact_limit('{}', c, w), (SELECT default_value::integer FROM setting_definitions WHERE name = format('contact_limits.%s.%s', c, w)), format('limit of %s a %s', c, w)) FROM unnest(ARRAY['call', 'sms', 'whatsapp', 'email']) c, unnest(ARRAY['day', 'week']) w;

-- ---- the tools that a tenant has
SELECT is(va_tenant_settings_set(:'tenant', '{"tools": ["end_call", "check_availability"]}') IS NOT NULL, true, 'fewer tools');
INSERT INTO tools (tenant_id, name, description, function) VALUES (:'tenant', 'own', 'x', 'va_tool_end_call');
SELECT is(ARRAY(SELECT name FROM va_tenant_tools(:'tenant')), ARRAY['check_availability', 'end_call', 'own'], 'those named, and its own');
-- ---- texts of the platform expand as well
SELECT va_tenant_settings_set(:'tenant', '{"after_hours_message": "{{company}} is closed.", "voicemail": {"greeting": "Speak to {{agent_name}}."}}'), va_tenant_hours_set(:'tenant', '{"daily": []}') \g /dev/null
SELECT matches(a.body, 'Test \+15551230002 is closed\..*Speak to Sarah\.', 'after hours') FROM pg_temp.answer('CA2') a;
-- ---- docs/settings.md shows the same
CREATE TEMP VIEW documented AS
SELECT name, scope, format('| `%s` | %s | %s | %s |', name,
	array_to_string(types, ' or ') || coalesce(' (' || CASE WHEN allowed IS NOT NULL AND types = '{text}' THEN array_to_string(allowed, ', ')
		WHEN allowed IS NOT NULL THEN 'of ' || array_to_string(allowed, ', ')
		WHEN types && '{integer,number}' THEN va_bounds(minimum, maximum)
		WHEN pattern IS NOT NULL THEN expected END || ')', ''),
	CASE WHEN default_value IS NULL THEN '–' ELSE '`' || (CASE jsonb_typeof(default_value) WHEN 'string' THEN default_value #>> '{}' ELSE default_value::text END) || '`' END,
	description || CASE WHEN expands THEN ' Placeholders.' ELSE '' END || coalesce(' In ' || unit || '.', '')) AS line
FROM setting_definitions;
\set docs `sed -n '/^## Tenants/,$p' docs/settings.md`
SELECT is((SELECT min(l) FROM regexp_split_to_table(:'docs', '\n') l WHERE l LIKE '| `' || name || '` |%'), line, 'docs/settings.md: ' || name) FROM documented ORDER BY name;
SELECT is((SELECT array_agg(l) FROM regexp_split_to_table(:'docs', '\n') l WHERE l LIKE '| `%' AND substring(l FROM '`([^`]*)`') NOT IN (SELECT name FROM setting_definitions)), NULL, 'docs/settings.md: nothing else');
SELECT is((SELECT array_agg(p) FROM unnest(va_placeholders()) p WHERE strpos(:'docs', '{{' || p || '}}') = 0), NULL, 'docs/settings.md: every placeholder');
SELECT * FROM finish();
