-- One rule of contact: what is planned, what is claimed and what va_may_contact says are the same, for random tenants, leads and histories;
-- opt-outs, by a person's hand or by keyword, withdraw what they forbid and no more.
\ir setup.psql
SELECT no_plan();
SELECT setseed(0.314) \g /dev/null

-- ---- random tenants, leads and histories
SELECT pg_temp.tenant('+1555123000' || n) FROM generate_series(1, 5) n \g /dev/null
UPDATE tenants SET timezone = z, settings = s::jsonb FROM (VALUES
	('+15551230001', 'Europe/Berlin', '{}'), ('+15551230002', 'America/New_York', '{"contact_hours": {"open": "20:00", "close": "03:00"}, "contact_limits": {"call": {"day": 1}, "sms": {"day": 0}}, "follow_up_gap_minutes": 15}'),
	('+15551230003', 'Asia/Kolkata', '{"consent_required": ["email", "whatsapp"]}'), ('+15551230004', 'Australia/Sydney', '{"contact_limits": {"whatsapp": {"day": 1, "week": 2}, "call": {"week": 3}}, "contact_hours": {"open": "11:00", "close": "12:00"}}'),
	('+15551230005', 'UTC', '{"contact_hours": {"open": "00:00", "close": "24:00"}}')) AS x (n, z, s) WHERE tenants.name = 'Test ' || n;
INSERT INTO business_hours (tenant_id, day_of_week, open_time, close_time) SELECT id, d, '10:00', '18:00' FROM tenants, generate_series(1, 5) d WHERE timezone IN ('Europe/Berlin', 'Asia/Kolkata');
INSERT INTO business_hours (tenant_id, day_of_week, open_time, close_time) SELECT id, d, '21:00', '01:00' FROM tenants, generate_series(2, 4) d WHERE timezone = 'America/New_York';
INSERT INTO holidays (tenant_id, date, intervals) SELECT id, current_date + d, CASE d % 2 WHEN 0 THEN '[]' ELSE '[["22:00", "23:00"]]' END::jsonb FROM tenants, generate_series(0, 6, 3) d;
INSERT INTO leads (tenant_id, phone, email, qualification_data, custom_fields)
SELECT t.id, CASE WHEN random() < 0.9 THEN (ARRAY['+4930', '+1212555', '+81312', '+9111', '+6491', '+44207'])[1 + n % 6] || lpad((n * 37)::text, 5, '0') END, CASE WHEN random() < 0.8 THEN 'a' || n || '@x.org' END,
	(ARRAY['{}', '{"budget": 1, "need": "x"}', '{"budget": 1, "need": "x", "decision_maker": true, "timeline": "asap"}'])[1 + n % 3]::jsonb, CASE WHEN random() < 0.2 THEN '{"timezone": "Pacific/Kiritimati"}' ELSE '{}' END::jsonb
FROM tenants t, generate_series(1, 60) n;
INSERT INTO do_not_contact (tenant_id, address_hash, address, channel) SELECT tenant_id, va_address_hash(a), a, (ARRAY['all', 'call', 'sms', 'whatsapp', 'email'])[1 + (random() * 4)::int] FROM leads, LATERAL (SELECT CASE WHEN random() < 0.7 THEN phone ELSE email END AS a) x WHERE random() < 0.2 AND a IS NOT NULL ON CONFLICT DO NOTHING;
INSERT INTO consents (tenant_id, address, channel, granted, how) SELECT tenant_id, a, (ARRAY['all', 'call', 'email', 'whatsapp'])[1 + (random() * 3)::int], random() < 0.7, 'x' FROM leads, LATERAL (SELECT CASE WHEN random() < 0.5 THEN phone ELSE email END AS a) x WHERE random() < 0.4 AND a IS NOT NULL;
INSERT INTO calls (tenant_id, lead_id, direction, status, started_at, ended_at) SELECT tenant_id, id, d, 'completed', at, at + interval '5 minutes' FROM leads, (VALUES ('inbound', 0.04), ('outbound', 6)) AS x (d, days), LATERAL (SELECT now() - random() * days * interval '1 day' AS at) y, generate_series(1, 3) WHERE random() < 0.3;
INSERT INTO notifications (tenant_id, lead_id, channel, direction, status, sent_at, created_at) SELECT tenant_id, id, (ARRAY['sms', 'whatsapp', 'email'])[1 + (random() * 2)::int], CASE WHEN random() < 0.2 THEN 'inbound' ELSE 'outbound' END, 'sent', at, at FROM leads, generate_series(1, 4), LATERAL (SELECT now() - random() * interval '7 days' AS at) y WHERE random() < 0.5;

BEGIN;
UPDATE leads SET follow_ups_since = now();
CREATE TEMP TABLE planned ON COMMIT DROP AS SELECT id, va_follow_up_apply(id) AS n FROM leads;
SELECT cmp_ok((SELECT count(*)::int FROM follow_up_tasks WHERE status = 'pending'), '>', 800, 'many steps are planned');
CREATE TEMP TABLE asked ON COMMIT DROP AS
SELECT t.*, c.channel, m.verdict, m.why, m.until FROM follow_up_tasks t, unnest(t.channels) AS c (channel), va_may_contact(t.lead_id, c.channel, t.scheduled_for) m WHERE t.status = 'pending';
SELECT is((SELECT count(*)::int FROM asked WHERE verdict = 'not_now'), 0, 'every step is planned at a time at which each of its channels that may be used may be');
SELECT is((SELECT count(*)::int FROM (SELECT id FROM asked GROUP BY id HAVING NOT bool_or(verdict = 'yes')) x), 0, 'and one of them may'), cmp_ok((SELECT count(*)::int FROM asked WHERE verdict = 'never'), '>', 20, 'though others may not');
SELECT is((SELECT count(*)::int FROM follow_up_tasks WHERE status = 'pending' AND 'human_call' = ANY (channels) AND NOT va_business_open(tenant_id, scheduled_for)), 0, 'people call when they are there, and on no holiday');
SELECT is((SELECT count(*)::int FROM leads l, LATERAL jsonb_array_elements(va_sequence_steps(l.tenant_id, l.lead_temperature)) WITH ORDINALITY AS s (step, n)
	WHERE NOT EXISTS (SELECT FROM follow_up_tasks t WHERE t.lead_id = l.id AND t.sequence_step = s.n AND t.status = 'pending') AND EXISTS (SELECT FROM jsonb_array_elements_text(s.step -> 'channels') c, va_may_contact(l.id, c) m WHERE m.verdict = 'yes' OR m.until IS NOT NULL)), 0, 'no step is left out that may happen');
SELECT cmp_ok((SELECT count(*)::int FROM leads l, LATERAL jsonb_array_elements(va_sequence_steps(l.tenant_id, l.lead_temperature)) WITH ORDINALITY AS s (step, n) WHERE NOT EXISTS (SELECT FROM follow_up_tasks t WHERE t.lead_id = l.id AND t.sequence_step = s.n AND t.status = 'pending')), '>', 50, 'and those that may not are');
SELECT is((SELECT sum(va_follow_up_apply(id))::int FROM leads), 0, 'planned again: nothing changes');
-- A claim asks again: what is due now is work when the verdict is yes, and waits until the verdict says when it is not.
UPDATE follow_up_tasks SET scheduled_for = now() WHERE status = 'pending';
CREATE TEMP TABLE verdicts ON COMMIT DROP AS SELECT t.id, c.channel, m.* FROM follow_up_tasks t, unnest(t.channels) AS c (channel), va_may_contact(t.lead_id, c.channel, now()) m WHERE t.status = 'pending';
SELECT cmp_ok(va_follow_ups_due(100000), '>', 800, 'all are dealt with');
SELECT is((SELECT count(*)::int FROM follow_up_tasks t WHERE t.status = 'queued' AND EXISTS (SELECT FROM verdicts v WHERE v.id = t.id AND v.verdict = 'not_now')), 0, 'nothing becomes work that may not happen now'), cmp_ok((SELECT count(*)::int FROM follow_up_tasks WHERE status = 'queued'), '>', 100, 'what may does');
SELECT is((SELECT count(*)::int FROM lead_actions a WHERE a.action = 'follow_up' AND ARRAY(SELECT jsonb_array_elements_text(a.payload -> 'channels') ORDER BY 1) IS DISTINCT FROM ARRAY(SELECT v.channel FROM verdicts v WHERE v.id = a.task_id AND v.verdict = 'yes' ORDER BY 1)), 0, 'by the channels that may be used and no others');
SELECT is((SELECT count(*)::int FROM follow_up_tasks t WHERE t.status = 'pending' AND t.scheduled_for < (SELECT max(v.until) FROM verdicts v WHERE v.id = t.id)), 0, 'what waits, waits until it may'), cmp_ok((SELECT count(*)::int FROM follow_up_tasks WHERE status = 'pending' AND scheduled_for > now()), '>', 50, 'some wait');
SELECT is((SELECT count(*)::int FROM follow_up_tasks t WHERE t.status = 'pending' AND EXISTS (SELECT FROM unnest(t.channels) c, va_may_contact(t.lead_id, c, t.scheduled_for) m WHERE m.verdict = 'not_now')), 0, 'and then it may');
ROLLBACK;
DELETE FROM consents; DELETE FROM do_not_contact; DELETE FROM calls; DELETE FROM notifications; DELETE FROM follow_up_tasks; DELETE FROM leads; DELETE FROM business_hours; DELETE FROM holidays;

-- ---- claims, one by one
SELECT id AS tenant FROM tenants WHERE name = 'Test +15551230005' \gset
SELECT id AS other FROM tenants WHERE name = 'Test +15551230001' \gset
CREATE FUNCTION pg_temp.lead(phone text, email text, temperature text DEFAULT 'hot') RETURNS uuid LANGUAGE sql AS $$
	INSERT INTO leads (tenant_id, phone, email, qualification_data) SELECT id, phone, email, CASE temperature WHEN 'hot' THEN '{"budget": 1, "need": "x", "decision_maker": true, "timeline": "asap"}' ELSE '{}' END::jsonb FROM tenants WHERE name = 'Test +15551230005' RETURNING id $$;
CREATE FUNCTION pg_temp.claim(phone text, email text, channels text[], before text DEFAULT 'SELECT 1', OUT status text, OUT detail text) LANGUAGE plpgsql AS $$
DECLARE l uuid := pg_temp.lead(phone, email); t uuid;
BEGIN
	INSERT INTO follow_up_tasks (tenant_id, lead_id, scheduled_for, sequence_id, sequence_step, channels) SELECT tenant_id, id, now() - interval '1 minute', 'hot#7', 1, channels FROM leads WHERE id = l RETURNING id INTO t;
	EXECUTE before;
	PERFORM va_follow_ups_due();
	SELECT f.status, coalesce(f.result ->> 'why', (SELECT payload ->> 'channels' FROM lead_actions WHERE task_id = t), to_char(f.scheduled_for AT TIME ZONE 'UTC', 'HH24:MI') || CASE WHEN f.scheduled_for > now() THEN ' later' ELSE '' END) INTO status, detail FROM follow_up_tasks f WHERE f.id = t;
	DELETE FROM follow_up_tasks WHERE id = t; DELETE FROM holidays;
	DELETE FROM do_not_contact; DELETE FROM consents;
END $$;
SELECT is(c.status || ' ' || c.detail, x.want, x.what) FROM (VALUES
	('both', '+493011111', 'a@x.org', '{email,sms}'::text[], 'SELECT 1', 'queued ["email", "sms"]'), ('a number alone', '+493011111', NULL, '{email,sms}', 'SELECT 1', 'queued ["sms"]'), ('neither', NULL, NULL, '{email,sms}', 'SELECT 1', 'skipped email: no e-mail address; sms: no telephone number'),
	('one channel opted out', '+493011111', 'a@x.org', '{email,sms}', format('INSERT INTO do_not_contact (tenant_id, address_hash, channel) VALUES (%L, va_address_hash(%L), %L)', :'tenant', '+493011111', 'sms'), 'queued ["email"]'),
	('its only one', '+493011111', 'a@x.org', '{sms}', format('INSERT INTO do_not_contact (address_hash) VALUES (va_address_hash(%L))', '+493011111'), 'skipped on the do-not-contact list'),
	('consent withdrawn', '+493011111', NULL, '{ai_call}', format('INSERT INTO consents (tenant_id, address, channel, granted, how) VALUES (%L, %L, %L, false, %L)', :'tenant', '+493011111', 'call', 'x'), 'skipped consent withdrawn'),
	('a holiday, for a person', '+493011111', NULL, '{human_call}', format('INSERT INTO holidays (tenant_id, date) VALUES (%L, (now() AT TIME ZONE %L)::date)', :'tenant', 'UTC'), 'pending 00:00 later'),
	('a holiday, for the agent', '+493011111', NULL, '{ai_call}', format('INSERT INTO holidays (tenant_id, date) VALUES (%L, (now() AT TIME ZONE %L)::date)', :'tenant', 'UTC'), 'queued ["ai_call"]'),
	('nothing outside', NULL, NULL, '{internal}', 'SELECT 1', 'queued ["internal"]'), ('no channel at all', '+493011111', NULL, '{}', 'SELECT 1', 'queued []')) AS x (what, phone, email, channels, before, want), pg_temp.claim(x.phone, x.email, x.channels, x.before) c;
INSERT INTO holidays (tenant_id, date) VALUES (:'tenant', '2030-01-01');
SELECT pg_temp.lead('+493011111', NULL) AS l \gset
SELECT is(concat_ws(' | ', verdict, until AT TIME ZONE 'UTC', why), w, format('%s on a holiday', c)) FROM (VALUES ('human_call', 'not_now | 2030-01-02 00:00:00 | nobody is there to call'), ('call', 'yes'), ('ai_call', 'yes')) AS x (c, w), va_may_contact(:'l', c, '2030-01-01 12:00Z');
DELETE FROM holidays; DELETE FROM follow_up_tasks; DELETE FROM leads; DELETE FROM lead_actions;

-- a step that cannot be claimed fails alone
SELECT pg_temp.lead('+493011111', NULL) AS l \gset
INSERT INTO follow_up_tasks (tenant_id, lead_id, title, scheduled_for, sequence_id, sequence_step, channels) SELECT :'tenant', l, c[1], now() - interval '1 minute', 'hot#8', 1, c FROM (VALUES ('{fax}'::text[], :'l'::uuid), ('{sms}', NULL)) AS x (c, l);
INSERT INTO follow_up_tasks (tenant_id, lead_id, title, scheduled_for, sequence_id, sequence_step, channels) VALUES (:'tenant', :'l', 'last', now() - interval '1 second', 'hot#9', 1, '{sms}');
SELECT is(va_follow_ups_due(), 3, 'three are due');
SELECT is((SELECT string_agg(title || ' ' || status || coalesce(' ' || (result ->> 'why'), ''), ', ' ORDER BY title) FROM follow_up_tasks), 'fax failed unknown channel "fax", last queued, sms skipped there is no lead', 'one fails, one is nobody''s, and the last is work');
DELETE FROM follow_up_tasks; DELETE FROM leads; DELETE FROM lead_actions;

-- ---- opting out of one channel and of all
CREATE FUNCTION pg_temp.steps(l uuid) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(sequence_step::text, ' ' ORDER BY sequence_step) FROM follow_up_tasks WHERE lead_id = l AND status = 'pending' AND sequence_id IS NOT NULL $$;
CREATE FUNCTION pg_temp.qualified(phone text, email text) RETURNS uuid LANGUAGE plpgsql AS $$ DECLARE l uuid := pg_temp.lead(phone, email); BEGIN PERFORM va_lead_advance(l, 'qualify'); RETURN l; END $$;
SELECT pg_temp.qualified('+493055555', 'Max@x.org') AS max, pg_temp.qualified('+493055555', NULL) AS twin, pg_temp.qualified('+493055556', 'max2@x.org') AS other_lead \gset
SELECT is(pg_temp.steps(:'max'), '1 2 3 4 5', 'all five steps');
SELECT va_opt_out(:'tenant', '+493055555', 'whatsapp') \g /dev/null
SELECT is(pg_temp.steps(:'max'), '2 3 4 5', 'without WhatsApp'), is((SELECT result ->> 'why' FROM follow_up_tasks WHERE lead_id = :'max' AND sequence_step = 1), 'on the do-not-contact list', 'for that reason'), is(pg_temp.steps(:'twin'), '2 3 4 5', 'for every lead of the number'), is(pg_temp.steps(:'other_lead'), '1 2 3 4 5', 'and no other');
SELECT is(va_opt_out(:'tenant', '+493055555', 'sms'), 1, 'without SMS one has a channel left and one has not'), is(pg_temp.steps(:'max'), '2 3 4 5', 'an e-mail remains of the third'), is(pg_temp.steps(:'twin'), '2 4 5', 'and nothing where there is no address');
SELECT is(va_opt_out(:'tenant', 'max@x.org', 'email'), 1, 'nor e-mail'), is(pg_temp.steps(:'max'), '2 4 5', 'so nothing remains');
SELECT va_opt_out(:'tenant', '+493055555', 'call') \g /dev/null
SELECT is(pg_temp.steps(:'max'), NULL, 'without calls nothing is left'), is((SELECT follow_ups_stopped FROM leads WHERE id = :'max'), NULL, 'though they are not stopped');
SELECT va_opt_in(:'tenant', '+493055555', 'call'), va_opt_in(:'tenant', 'max@x.org', 'email') \g /dev/null
SELECT is(pg_temp.steps(:'max'), '2 3 4 5', 'opted in again: they go on'), is(pg_temp.steps(:'twin'), '2 4 5', 'both');
SELECT is(va_opt_out(:'tenant', '+493055555'), 7, 'from everything');
SELECT is((SELECT array_agg(follow_ups_stopped) FROM leads WHERE phone = '+493055555'), '{opt_out,opt_out}', 'the follow-ups of all its leads are stopped'), is((SELECT count(*)::int FROM va_follow_up_plan(:'max')), 0, 'and stay so');
SELECT va_opt_in(:'tenant', '+493055555', 'sms') \g /dev/null
SELECT is(pg_temp.steps(:'max'), NULL, 'one channel alone does not bring them back');
SELECT va_opt_out(:'tenant', 'max@x.org'), va_opt_in(:'tenant', '+493055555') \g /dev/null
SELECT is(pg_temp.steps(:'max'), NULL, 'nor one address while the other is opted out'), is(pg_temp.steps(:'twin'), '1 2 3 4 5', 'but the lead that has only this one');
SELECT va_opt_in(:'tenant', 'max@x.org') \g /dev/null
SELECT is(pg_temp.steps(:'max'), '1 2 3 4 5', 'with both it goes on');
SELECT va_consent_record(:'tenant', '+493055555', 'whatsapp', false, 'spoken') \g /dev/null
SELECT is(pg_temp.steps(:'max'), '2 3 4 5', 'a consent withdrawn counts at once');
SELECT va_consent_record(:'tenant', '+493055555', 'whatsapp', true, 'spoken') \g /dev/null
SELECT is(pg_temp.steps(:'max'), '1 2 3 4 5', 'and one given');
UPDATE leads SET email = NULL WHERE id = :'max';
UPDATE leads SET phone = NULL WHERE id = :'other_lead';
SELECT is(pg_temp.steps(:'other_lead'), '3', 'a number that is taken away takes its steps with it');
UPDATE leads SET phone = '+493055557' WHERE id = :'other_lead';
SELECT is(pg_temp.steps(:'other_lead'), '1 2 3 4 5', 'and brings them back');

-- ---- keywords of a message
CREATE TEMP SEQUENCE message_sid;
CREATE FUNCTION pg_temp.says(sender text, body text, channel text DEFAULT 'sms', lead uuid DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS uuid LANGUAGE sql AS $$
	INSERT INTO notifications (tenant_id, lead_id, channel, direction, from_address, body, status, external_id, created_at) SELECT id, lead, channel, 'inbound', sender, body, 'received', 'SM' || nextval('pg_temp.message_sid'), at FROM tenants WHERE name = 'Test +15551230005' RETURNING id $$;
CREATE FUNCTION pg_temp.listed(address text) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(channel || '/' || how, ' ' ORDER BY channel) FROM do_not_contact d WHERE d.address_hash = va_address_hash($1) $$;
DELETE FROM do_not_contact; DELETE FROM consents;
SELECT pg_temp.qualified('+493077777', 'kim@x.org') AS kim \gset
INSERT INTO notifications (tenant_id, lead_id, channel, direction, to_address, scheduled_for) SELECT :'tenant', :'kim', c, 'outbound', CASE c WHEN 'email' THEN 'kim@x.org' ELSE '+493077777' END, now() + interval '1 hour' FROM unnest(ARRAY['sms', 'whatsapp', 'email']) c;
SELECT pg_temp.says('+493077777', 'Stop.', 'sms', :'kim') AS stop \gset
SELECT is(pg_temp.listed('+493077777'), 'sms/keyword', 'STOP is an opt-out of its channel'), is((SELECT string_agg(channel || ' ' || status || coalesce(' ' || error_message, ''), ', ' ORDER BY channel) FROM notifications WHERE lead_id = :'kim' AND direction = 'outbound'), 'email pending, sms cancelled opted out: keyword, whatsapp pending', 'what was planned there is withdrawn'),
	row_eq(format('SELECT lead_id, granted, channel, what, how, source, proof ->> $$notification_id$$, proof ->> $$external_id$$ FROM consents WHERE address = %L', '+493077777'), ROW(:'kim'::uuid, false, 'sms'::text, 'Stop.'::text, 'keyword'::text, 'notifications ' || :'stop'::text, :'stop'::text, 'SM1'::text), 'with the message as proof'),
	is(pg_temp.steps(:'kim'), '1 2 3 4 5', 'and stops no other channel'), is((SELECT follow_ups_stopped FROM leads WHERE id = :'kim'), NULL, 'nor counts as a reply');
SELECT pg_temp.says('+493077777', 'HELP', 'sms', :'kim') AS help \gset
SELECT is((SELECT event_data ->> 'notification_id' FROM analytics_events WHERE event_type = 'help_requested' AND lead_id = :'kim'), :'help', 'HELP is recorded'), is(pg_temp.listed('+493077777'), 'sms/keyword', 'and changes nothing');
SELECT pg_temp.says('+493077777', 'start', 'sms', :'kim') \g /dev/null
SELECT is(pg_temp.listed('+493077777'), NULL, 'START undoes it'), is((SELECT array_agg(granted ORDER BY created_at) FROM consents WHERE address = '+493077777'), '{f,t}', 'both words are kept'), is((SELECT verdict FROM va_may_contact(:'kim', 'sms')), 'yes', 'and it may be written to again'), is(pg_temp.steps(:'kim'), '1 2 3 4 5', 'the follow-ups go on');
SELECT pg_temp.says('+493077777', 'Yes', 'sms', :'kim') \g /dev/null
SELECT is((SELECT follow_ups_stopped FROM leads WHERE id = :'kim'), 'reply', 'a yes of somebody whom nothing kept out is a reply'), is((SELECT count(*)::int FROM consents WHERE address = '+493077777'), 2, 'and no consent');
SELECT va_consent_record(:'tenant', '+493077777', 'whatsapp', false, 'spoken') \g /dev/null
SELECT pg_temp.says('whatsapp:+493077777', 'UNSTOP', 'whatsapp', :'kim') \g /dev/null
SELECT is((SELECT verdict FROM va_may_contact(:'kim', 'whatsapp')), 'yes', 'START undoes a consent withdrawn in other words too');
SELECT pg_temp.says(s, b, c) FROM (VALUES ('+493088888', 'STOP ALL', 'sms'), ('whatsapp:+493088889', 'unsubscribe', 'whatsapp'), ('Ann@X.org', 'Unsubscribe!', 'email'), ('12345', 'STOP', 'sms'), (NULL, 'STOP', 'sms'), ('+493088890', 'please stop by at five', 'sms'), ('+493088891', 'STOP', 'web')) AS x (s, b, c) \g /dev/null
SELECT is(pg_temp.listed(a), w, 'from somebody unknown: ' || a) FROM (VALUES ('+493088888', 'sms/keyword'), ('+493088889', 'whatsapp/keyword'), ('ann@x.org', 'email/keyword'), ('+493088890', NULL), ('+493088891', NULL)) AS x (a, w);
SELECT is((SELECT count(*)::int FROM analytics_events WHERE event_type = 'opt_out_unreadable'), 2, 'one whose sender cannot be read is not lost in silence');
SELECT pg_temp.says(NULL, 'STOP', 'email', :'kim') \g /dev/null
SELECT is(pg_temp.listed('kim@x.org'), 'email/keyword', 'without a sender: the lead''s address');
SELECT pg_temp.says('+493088892', 'STOP', 'sms', NULL, now() - interval '1 day') \g /dev/null
SELECT is(pg_temp.listed('+493088892'), NULL, 'a message of the past that is restored says nothing');
BEGIN;
SELECT pg_temp.says('+493088893', 'STOP') \g /dev/null
ROLLBACK;
SELECT is(pg_temp.listed('+493088893'), NULL, 'and one that was not stored neither');
SELECT pg_temp.qualified('+493099999', NULL) AS early \gset
SELECT va_opt_out(:'tenant', '+493099998') \g /dev/null
SELECT pg_temp.lead('+493099998', NULL) AS late \gset
SELECT is((SELECT count(*)::int FROM va_follow_up_plan(:'late')), 0, 'a lead that comes after the opt-out has no steps either');
SELECT * FROM finish();
