-- Templates of messages: what they may name, which row serves, what comes out.
\ir setup.psql
SELECT no_plan();
SELECT va_tenant_create('Acme Homes', 'real_estate', '+12125550100') AS tenant \gset
SELECT va_tenant_create('Other', 'general', '+12125550199') AS theirs \gset
INSERT INTO leads (tenant_id, first_name, last_name, phone, email) VALUES (:'tenant', 'Ann', 'Lee', '+12125550101', 'ann@x.org') RETURNING id AS ann \gset
INSERT INTO leads (tenant_id, phone) VALUES (:'tenant', '+12125550102') RETURNING id AS nobody \gset

-- ---- filling
SELECT is(va_template_fill(t, v), want, coalesce(nullif(t, ''), 'no text')) FROM (VALUES
	('Hi {{first_name}}!', '{"first_name": "Ann"}'::jsonb, 'Hi Ann!'),
	('Hi {{ first_name }}!', '{}', 'Hi there!'),
	('Hi {{first_name}}!', '{"first_name": null}', 'Hi there!'),
	('a { b {c} }} {{', '{}', 'a { b {c} }} {{'),
	('no places', '{}', 'no places'),
	(E'one {{where}} {{link}}\n{{where}}\n{{link}}\n\ntwo', '{}', E'one\n\ntwo'),
	('{{where}} at {{when}}', '{"where": "Main St 1", "when": "noon"}', 'Main St 1 at noon'),
	(NULL, '{}', NULL)) AS x (t, v, want);

-- ---- what may be written
SELECT is(pg_temp.sqlstate_of(format('INSERT INTO message_templates (tenant_id, name, channel, subject, body) VALUES (%L, %s)', :'tenant', v)), want, 'written: ' || v)
FROM (VALUES ('$$hello$$, $$sms$$, NULL, $$Hi {{first_name}}$$', 'none'), ('$$hello$$, $$sms$$, NULL, $$twice$$', '23505'),
	('$$hello2$$, $$sms$$, NULL, $$Hi {{surname}}$$', 'VA009'), ('$$hello2$$, $$email$$, $$Hi {{surname}}$$, $$x$$', 'VA009'),
	('$$hello2$$, $$sms$$, NULL, $$Hi {{first_name$$', 'VA009'), ('$$hello2$$, $$sms$$, NULL, $$ $$', '23514'),
	('$$hello2$$, $$sms$$, $$subject$$, $$x$$', '23514'), ('$$Hello$$, $$sms$$, NULL, $$x$$', '23514'), ('$$hello2$$, $$fax$$, NULL, $$x$$', '23514'),
	('$$hello2$$, $$email$$, NULL, repeat($$x$$, 20001)', '23514')) AS x (v, want);

-- ---- the built-in texts
SELECT is((SELECT count(*)::int FROM message_templates WHERE is_builtin AND tenant_id IS NULL), 54, 'eighteen occasions in three channels');
SELECT is((SELECT array_agg(DISTINCT s.purpose) FROM follow_up_steps s JOIN follow_up_sequences q ON q.id = s.sequence_id
	WHERE s.is_builtin AND s.channels && ARRAY['whatsapp', 'sms', 'email']
	  AND EXISTS (SELECT FROM unnest(s.channels) c WHERE c IN ('whatsapp', 'sms', 'email')
				  AND NOT EXISTS (SELECT FROM message_templates m WHERE m.name = s.purpose AND m.channel = c))), NULL, 'every message of the fifteen steps has a text');
SELECT ok(r.body !~ '[{}]' AND r.body !~ '[ \t](\n|$)' AND r.body !~ 'Hi ,|\(\)|  ' AND coalesce(r.subject, '') !~ '[{}]' AND length(r.body) > 20,
	format('%s by %s, %s', m.name, m.channel, who.name))
FROM message_templates m CROSS JOIN (VALUES ('ann', :'ann'::uuid), ('one without a name', :'nobody'), ('nobody', NULL)) AS who (name, id)
CROSS JOIN LATERAL va_template_render(:'tenant', m.name, m.channel, who.id) r WHERE m.is_builtin;
SELECT ok(length(r.body) <= 320, 'short enough for two segments: ' || m.name) FROM message_templates m CROSS JOIN LATERAL va_template_render(:'tenant', m.name, 'sms', :'ann') r
WHERE m.is_builtin AND m.channel = 'sms';
SELECT is(body, 'Hi Ann, thank you for your interest in Acme Homes. Whenever you have a question, reply here.', 'in full') FROM va_template_render(:'tenant', 'thanks', 'sms', :'ann');
SELECT is(subject, 'News from Acme Homes', 'the subject as well') FROM va_template_render(:'tenant', 'newsletter', 'email', :'ann');

-- ---- which row serves
INSERT INTO message_templates (tenant_id, name, channel, body, language) VALUES (:'tenant', 'thanks', 'sms', 'Ours, {{name}}', 'en'), (:'tenant', 'thanks', 'sms', 'Gracias {{name}}', 'es'), (:'theirs', 'thanks', 'sms', 'Theirs', 'en');
SELECT is(body, 'Ours, Ann Lee', 'the tenant''s own') FROM va_template_render(:'tenant', 'thanks', 'sms', :'ann');
UPDATE leads SET custom_fields = '{"language": "es-MX"}' WHERE id = :'ann';
SELECT is(body, 'Gracias Ann Lee', 'in the lead''s language') FROM va_template_render(:'tenant', 'thanks', 'sms', :'ann');
UPDATE leads SET custom_fields = '{"language": "fr"}' WHERE id = :'ann';
SELECT is(body, 'Ours, Ann Lee', 'English where there is no other') FROM va_template_render(:'tenant', 'thanks', 'sms', :'ann');
SELECT is(body, 'Ours, Zoe', 'what the message carries wins') FROM va_template_render(:'tenant', 'thanks', 'sms', :'ann', '{"name": "Zoe", "first_name": 7}');
INSERT INTO appointments (tenant_id, lead_id, title, scheduled_at, timezone, location) VALUES (:'tenant', :'ann', 'Viewing', '2030-01-15 17:00Z', 'America/New_York', 'Main St 1') RETURNING id AS appointment \gset
SELECT is(body, 'Acme Homes: your appointment is on Tuesday, 15 January 2030, 12:00 (America/New_York). Main St 1', 'an appointment on its own clock')
FROM va_template_render(:'tenant', 'appointment_confirmation', 'sms', :'ann', jsonb_build_object('appointment_id', :'appointment'));
SELECT is(pg_temp.sqlstate_of(format('SELECT va_template_render(%s)', a)), want, a) FROM (VALUES
	(format('%L, $$nothing$$, $$sms$$', :'tenant'), 'VA005'), (format('%L, $$thanks$$, $$fax$$', :'tenant'), 'VA005'),
	(format('%L, $$thanks$$, $$sms$$', gen_random_uuid()), 'VA001'), (format('%L, $$thanks$$, $$sms$$, %L', :'tenant', gen_random_uuid()), 'VA020'),
	(format('%L, $$thanks$$, $$sms$$, %L', :'theirs', :'ann'), 'VA020')) AS x (a, want);

-- ---- a tenant's application
SELECT set_config('voiceagent.tenant_id', :'tenant', false) \g /dev/null
SET ROLE voiceagent_agent;
SELECT is((SELECT count(*)::int FROM message_templates WHERE tenant_id = :'theirs'), 0, 'others'' are not seen'), is((SELECT count(*)::int FROM message_templates WHERE is_builtin), 54, 'the common ones are');
SELECT is(pg_temp.sqlstate_of(s), c, s) FROM (VALUES ('UPDATE message_templates SET body = $$x$$ WHERE name = $$thanks$$ AND language = $$es$$', 'none'),
	(format('SELECT va_template_render(%L, $$thanks$$, $$sms$$)', :'theirs'), 'VA001'), ('INSERT INTO message_templates (name, channel, body) VALUES ($$x$$, $$sms$$, $$x$$)', '42501')) AS x (s, c);
RESET ROLE;
SELECT is((SELECT count(*)::int FROM message_templates WHERE body = 'x'), 1, 'only its own was changed');
SELECT * FROM finish();
