-- Appointments: free times over the year's odd days, booking, the state machine, the messages.
\ir setup.psql
SELECT no_plan();
\set always '{"contact_hours": {"open": "00:00", "close": "24:00"}}'
SELECT va_tenant_create('ABC', 'general', '+15551230002', timezone => 'America/New_York', settings => :'always') AS tenant, va_tenant_create('DEF', 'x', '+15551230003', timezone => 'Europe/Berlin', settings => :'always') AS berlin \gset

CREATE FUNCTION pg_temp.slots(tenant uuid, day date, agent uuid DEFAULT NULL, minutes int DEFAULT 30) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(to_char(s.starts_at AT TIME ZONE t.timezone, 'HH24:MI'), ' ' ORDER BY s.starts_at)
	FROM tenants t, va_available_slots(t.id, day::timestamp AT TIME ZONE t.timezone, (day + 1)::timestamp AT TIME ZONE t.timezone, minutes, agent) s WHERE t.id = tenant
$$;
CREATE FUNCTION pg_temp.messages(appointment uuid) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(format('%s/%s/%s/%s', replace(template_id, 'appointment_', ''), n.channel, n.status, coalesce(round(extract(epoch FROM a.scheduled_at - n.scheduled_for) / 3600)::text, '-')), ' ' ORDER BY n.template_id, n.channel, n.status)
	FROM notifications n JOIN appointments a ON a.id = n.appointment_id WHERE a.id = appointment AND n.template_id LIKE '%reminder%'
$$;
CREATE FUNCTION pg_temp.pending(appointment uuid) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(replace(template_id, 'appointment_', '') || '/' || channel, ' ' ORDER BY template_id, channel) FROM notifications WHERE appointment_id = appointment AND status = 'pending'
$$;

-- ---- a calendar's key is exact
SELECT is(va_calendar_key(u::uuid), k::inet, 'key of ' || u) FROM (VALUES ('00000000-0000-0000-0000-000000000000', '::'), ('ffffffff-ffff-ffff-ffff-ffffffffffff', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'), ('01234567-89ab-cdef-0123-456789abcdef', '123:4567:89ab:cdef:123:4567:89ab:cdef'), ('00000000-0000-0000-0000-ffff01020304', '::ffff:1.2.3.4')) AS x (u, k);
SELECT is((SELECT count(DISTINCT va_calendar_key(gen_random_uuid()))::int FROM generate_series(1, 5000)), 5000, 'no two share one');

-- ---- free times. 2030-03-04 is a Monday.
SELECT is(pg_temp.slots(:'tenant', '2030-03-04', minutes => 60), '09:00 09:30 10:00 10:30 11:00 11:30 12:00 12:30 13:00 13:30 14:00 14:30 15:00 15:30 16:00', 'no hours at all: office hours'),
	is(pg_temp.slots(:'tenant', '2030-03-03'), NULL, 'and nothing on a Sunday');
INSERT INTO business_hours (tenant_id, day_of_week, open_time, close_time) VALUES (:'tenant', 1, '09:00', '10:30'), (:'tenant', 1, '13:15', '14:15'), (:'tenant', 5, '22:00', '02:00'), (:'tenant', 0, '01:00', '04:00'), (:'tenant', 3, '09:00', '17:00'), (:'tenant', 2, '00:00', '24:00');
INSERT INTO business_hours (tenant_id, day_of_week, is_closed) VALUES (:'tenant', 3, true);
SELECT is(pg_temp.slots(:'tenant', d::date, minutes => m), want, format('%s, %s minutes: %s', d, m, why)) FROM (VALUES
	('2030-03-04', 30, '09:00 09:30 10:00 13:15 13:45', 'two openings, each from its own beginning'), ('2030-03-04', 90, '09:00', 'what fits'), ('2030-03-04', 91, NULL, 'nothing fits'),
	('2030-03-06', 30, NULL, 'a closed day'), ('2030-03-07', 30, NULL, 'a day without hours'),
	('2030-03-08', 60, '22:00 22:30 23:00', 'the evening, as far as the day asked for goes'), ('2030-03-09', 60, '00:00 00:30 01:00', 'and the hours past midnight'),
	('2030-03-10', 60, '01:00 01:30 03:00', 'spring: the hour from two to three does not exist'),
	('2030-11-03', 60, '01:00 01:30 01:00 01:30 02:00 02:30 03:00', 'autumn: the hour from one to two comes twice'),
	('2032-02-29', 60, '01:00 01:30 02:00 02:30 03:00', 'the leap day')) AS x (d, m, want, why);
SELECT is((SELECT count(*)::int FROM va_available_slots(:'tenant', '2030-03-05 00:00-05', '2030-03-06 00:00-05')), 48, 'a day around the clock');
SELECT is((SELECT array_agg(DISTINCT ends_at - starts_at) FROM va_available_slots(:'tenant', '2030-03-04 00:00-05', '2030-03-12 00:00-04', 45)), ARRAY[interval '45 minutes'], 'a free time has the length asked for');
SELECT is((SELECT min(starts_at) FROM va_available_slots(:'tenant', '2030-03-04 09:07-05', '2030-03-05 00:00-05')), '2030-03-04 09:30-05'::timestamptz, 'times keep to the opening''s own steps'),
	is((SELECT count(*)::int FROM va_available_slots(:'tenant', now() - interval '30 days', now())), 0, 'nothing is free in the past'),
	is((SELECT count(*)::int FROM va_available_slots(:'tenant', now() - interval '30 days', now() + interval '40 days') WHERE starts_at < now()), 0, 'nor before now'),
	is((SELECT agents FROM va_available_slots(:'tenant', '2030-03-04 09:00-05', '2030-03-04 10:00-05') LIMIT 1), '{}', 'a tenant without people: nobody''s name');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_available_slots(%L, %s)', t, a)), c, 'refused: ' || a) FROM (VALUES (:'tenant', '''2030-01-01'', ''2030-04-30''', 'VA005'), (:'tenant', '''2030-01-01'', ''infinity''', 'VA005'), (:'tenant', 'now(), now(), 0', 'VA005'), (:'tenant', 'now(), now(), 1441', 'VA005'),
	(:'tenant', 'now(), NULL', 'VA005'), ('00000000-0000-0000-0000-000000000000', 'now(), now()', 'VA001'), (:'tenant', 'now(), now() + interval ''1 day'', 30, gen_random_uuid()', 'VA033')) AS x (t, a, c);
-- people: their hours within the tenant's, their zone, holidays
INSERT INTO human_agents (tenant_id, name, email, priority, availability_hours) VALUES (:'tenant', 'Ann', 'ann@x.org', 1, '{}') RETURNING id AS ann \gset
INSERT INTO human_agents (tenant_id, name, email, availability_hours) VALUES (:'tenant', 'Bob', 'bob@x.org', '{"monday": [["10:00", "20:00"]], "dates": {"2030-03-11": [["13:00", "14:00"]]}}') RETURNING id AS bob \gset
INSERT INTO human_agents (tenant_id, name, email, availability_hours, is_available) VALUES (:'tenant', 'Off', 'off@x.org', '{}', false) RETURNING id AS off \gset
SELECT is(pg_temp.slots(:'tenant', '2030-03-04', :'ann'), '09:00 09:30 10:00 13:15 13:45', 'no hours of one''s own: the tenant''s'), is(pg_temp.slots(:'tenant', '2030-03-04', :'bob'), '10:00 13:15 13:45', 'hours of one''s own: within the tenant''s'),
	is(pg_temp.slots(:'tenant', '2030-03-11', :'bob'), '13:15', 'a date that differs'), is((SELECT agents FROM va_available_slots(:'tenant', '2030-03-04 10:00-05', '2030-03-04 10:30-05')), ARRAY[:'ann', :'bob']::uuid[], 'who is free, the best first');
UPDATE human_agents SET availability_hours = '{"monday": [["09:00", "24:00"]], "timezone": "America/Los_Angeles"}' WHERE id = :'bob';
SELECT is(pg_temp.slots(:'tenant', '2030-03-04', :'bob'), '13:15 13:45', 'hours of another zone');
CREATE TABLE IF NOT EXISTS holidays (tenant_id uuid, date date, name text, intervals jsonb DEFAULT '[]');
INSERT INTO holidays (tenant_id, date, intervals) VALUES (:'tenant', '2030-03-18', '[]'), (:'tenant', '2030-03-25', '[["09:00", "09:30"]]'), (:'berlin', '2030-03-04', '[]');
SELECT is(pg_temp.slots(:'tenant', '2030-03-18'), NULL, 'a holiday'), is(pg_temp.slots(:'tenant', '2030-03-25'), '09:00', 'a short day'), is(pg_temp.slots(:'berlin', '2030-03-04'), NULL, 'each tenant has its own'),
	is(pg_temp.slots(:'berlin', '2030-04-01', minutes => 400), '09:00 09:30 10:00', 'Berlin, the day after the clocks change');
INSERT INTO human_agents (tenant_id, name, email, availability_hours) VALUES (:'berlin', 'Eve', 'eve@x.org', '{"sunday": [["02:30", "04:00"]]}') RETURNING id AS eve \gset
SELECT is(pg_temp.slots(:'berlin', '2030-03-31'), '03:00 03:30', 'Berlin in spring: half past two is three'), is(pg_temp.slots(:'berlin', '2030-03-24'), '02:30 03:00 03:30', 'on other Sundays it is not'), is(pg_temp.slots(:'berlin', '2030-03-25'), NULL, 'a tenant without hours: the person''s alone');
-- settings
UPDATE tenants SET settings = settings || '{"appointment_slot_minutes": 15, "appointment_notice_minutes": 60}' WHERE id = :'tenant';
SELECT is(pg_temp.slots(:'tenant', '2030-03-11', :'ann'), '09:00 09:15 09:30 09:45 10:00 13:15 13:30 13:45', 'shorter steps'), ok((SELECT min(starts_at) >= now() + interval '1 hour' FROM va_available_slots(:'tenant', now(), now() + interval '60 days')), 'notice');
UPDATE tenants SET settings = settings - ARRAY['appointment_slot_minutes', 'appointment_notice_minutes'] WHERE id = :'tenant';
SELECT is(pg_temp.sqlstate_of(format('UPDATE tenants SET settings = %L', s)), 'VA009', 'refused: ' || s) FROM unnest(ARRAY['{"appointment_slot_minutes": "15"}', '{"appointment_slot_minutes": -1}', '{"appointment_buffer_minutes": 1.5}', '{"appointment_notice_minutes": 1e9}', '{"whatsapp_notifications": "yes"}', '{"sms_notifications": 1}', '{"notification_emails": "a@x.org"}', '{"notification_emails": ["a"]}', '{"notification_emails": [5]}']) s;
SELECT is(pg_temp.sqlstate_of($$INSERT INTO settings VALUES ('appointment_slot_minutes', '"x"')$$), 'VA009', 'also platform-wide');

-- ---- booking
SELECT va_lead_capture(:'tenant', '{"name": "Jane Doe", "phone": "+12125550100", "email": "Jane@x.org"}') AS lead, va_lead_capture(:'berlin', '{"phone": "+493012345"}') AS german \gset
SELECT va_appointment_book(:'lead', '2030-03-04 13:15-05', title => 'Viewing', location => 'Main St 1', notes => 'n') AS a1 \gset
SELECT row_eq(format('SELECT status::text, duration_minutes, title::text, timezone::text, agent_name::text, agent_email::text, meeting_type::text, location::text, assigned_agent_id = calendar_id FROM appointments WHERE id = %L', :'a1'),
	ROW('scheduled'::text, 30, 'Viewing'::text, 'America/New_York'::text, 'Ann'::text, 'ann@x.org'::text, 'phone'::text, 'Main St 1'::text, true), 'booked with the best who is free');
SELECT is(pg_temp.slots(:'tenant', '2030-03-04', :'ann'), '09:00 09:30 10:00 13:45', 'her time is taken'), is(pg_temp.slots(:'tenant', '2030-03-04', :'bob'), '13:15 13:45', 'his is not');
SELECT va_appointment_book(:'lead', '2030-03-04 13:15-05') AS a2 \gset
SELECT is((SELECT agent_name FROM appointments WHERE id = :'a2'), 'Bob'::varchar, 'then the next'), is((SELECT title FROM appointments WHERE id = :'a2'), 'Appointment with Jane Doe'::varchar, 'a title is made');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_appointment_book(%L, %s)', :'lead', a)), c, 'refused: ' || a) FROM (VALUES ('''2030-03-04 13:15-05''', 'VA030'), ('''2030-03-04 13:30-05'', 45', 'VA030'), ('''2030-03-04 11:00-05''', 'VA030'), ('''2030-03-04 10:15-05''', 'VA030'), ('''2030-03-07 10:00-05''', 'VA030'),
	(format('''2030-03-04 13:30-05'', 30, %L', :'ann'), 'VA030'), (format('''2030-03-04 13:30-05'', 30, %L', :'eve'), 'VA033'), ('now() - interval ''1 hour''', 'VA005'), ('''infinity''', 'VA005'), ('NULL', 'VA005'), ('''2030-03-04 09:00-05'', 0', 'VA005'), ('''2030-03-04 09:00-05'', 1441', 'VA005'),
	('''2030-03-04 09:00-05'', meeting_type => ''seance''', '23514'), ('''2030-03-04 09:00-05'', call => gen_random_uuid()', 'VA004')) AS x (a, c);
SELECT is(pg_temp.sqlstate_of($$SELECT va_appointment_book(gen_random_uuid(), '2030-03-04 09:00-05')$$), 'VA020', 'no lead');
SELECT throws_like(format('SELECT va_appointment_book(%L, %L)', :'lead', '2030-03-04 13:15-05'), 'that time is not free; the next free time is Monday, 04 March 2030, 13:45', 'the refusal says when there is time');
SELECT isnt(va_appointment_book(:'lead', '2030-03-04 13:45-05', agent => :'ann'), NULL, 'one begins where another ends');
SELECT isnt(va_appointment_book(:'lead', '2030-03-07 10:00-05', agent => :'ann', force => true), NULL, 'by force outside the hours'), is(pg_temp.sqlstate_of(format('SELECT va_appointment_book(%L, %L, agent => %L, force => true)', :'lead', '2030-03-07 10:15-05', :'ann')), 'VA030', 'but never over another');
UPDATE leads SET assigned_to = :'bob' WHERE id = :'lead';
SELECT va_appointment_book(:'lead', '2030-03-11 13:15-04') AS own \gset
SELECT is((SELECT agent_name FROM appointments WHERE id = :'own'), 'Bob'::varchar, 'the lead''s own person comes first');
SELECT isnt(va_appointment_book(:'german', '2030-03-31 03:00+02', 60), NULL, 'three o''clock on the shortest night');
SELECT is((SELECT timezone FROM appointments WHERE lead_id = :'german'), 'Europe/Berlin'::varchar, 'in the lead''s zone');
-- plain SQL is held to it too
SELECT is(pg_temp.sqlstate_of(format('INSERT INTO appointments (tenant_id, lead_id, title, scheduled_at, assigned_agent_id%s) VALUES (%L, %L, $$x$$, %L, %L%s)', col, :'tenant', :'lead', at, :'ann', val)), c, format('INSERT at %s%s: %s', at, val, c)) FROM (VALUES ('2030-03-04 13:40-05', '', '', '23P01'), ('2030-03-04 12:20-05', '', '', 'none'),
	('2030-03-04 13:10-05', ', status', ', $$cancelled$$', 'none'), ('2030-03-04 13:40-05', ', calendar_span', ', NULL', '23P01'), ('2030-03-04 13:40-05', ', calendar_id', ', gen_random_uuid()', '23P01'), ('2030-03-04 13:40-05', ', calendar_key', ', NULL', '23P01'), ('2030-03-04 12:59-05', ', duration_minutes', ', 1', 'none'), ('2030-03-04 12:30-05', ', duration_minutes', ', 1500', '23514'), ('infinity', '', '', '23514')) AS x (at, col, val, c);
SELECT is(pg_temp.sqlstate_of(format('UPDATE appointments SET %s WHERE id = %L', s, :'a2')), '23P01', 'UPDATE ' || s) FROM unnest(ARRAY[format('assigned_agent_id = %L', :'ann')]) s;
SELECT lives_ok(format('INSERT INTO appointments (tenant_id, title, scheduled_at) SELECT %L, $$x$$, $$2030-03-04 13:15-05$$ FROM generate_series(1, 3)', :'tenant'), 'a row without a person takes nobody''s time');
-- buffers
UPDATE tenants SET settings = settings || '{"appointment_buffer_minutes": 15}' WHERE id = :'tenant';
SELECT isnt(va_appointment_book(:'lead', '2030-04-01 09:30-04', agent => :'ann'), NULL, 'with a buffer'), is(pg_temp.slots(:'tenant', '2030-04-01', :'ann'), '13:15 13:45', 'its neighbours are too near'), is(pg_temp.sqlstate_of(format('SELECT va_appointment_book(%L, %L, agent => %L)', :'lead', '2030-04-01 10:00-04', :'ann')), 'VA030', 'for booking, too'),
	isnt(va_appointment_book(:'lead', '2030-04-01 10:00-04', agent => :'ann', force => true), NULL, 'unless by force');
UPDATE tenants SET settings = settings - 'appointment_buffer_minutes' WHERE id = :'tenant';
-- a tenant without people
SELECT va_tenant_create('Solo', 'x', '+15551230004', settings => :'always') AS solo \gset
SELECT va_lead_capture(:'solo', '{"phone": "+12125550101"}') AS solo_lead \gset
SELECT isnt(va_appointment_book(:'solo_lead', '2030-03-04 09:00Z'), NULL, 'a tenant without people is booked itself'), is(pg_temp.sqlstate_of(format('SELECT va_appointment_book(%L, %L)', :'solo_lead', '2030-03-04 09:15Z')), 'VA030', 'once'), isnt(va_appointment_book(:'solo_lead', '2030-03-04 09:30Z'), NULL, 'at a time');

-- ---- messages: planned, moved, withdrawn
SELECT va_appointment_book(:'lead', '2030-05-06 13:15-04', agent => :'ann') AS a \gset
SELECT is(pg_temp.messages(:'a'), 'reminder_1h/sms/pending/1 reminder_24h/sms/pending/24', 'reminders 24 hours and one hour before'), is(pg_temp.pending(:'a'), 'confirmation/email confirmation/sms reminder_1h/sms reminder_24h/sms', 'and a confirmation, by e-mail too');
SELECT row_eq(format('SELECT notification_type::text, direction::text, to_address::text, scheduled_for = created_at, lead_id FROM notifications WHERE appointment_id = %L AND template_id = $$appointment_confirmation$$ AND channel = $$sms$$', :'a'), ROW('confirmation'::text, 'outbound'::text, '+12125550100'::text, true, :'lead'::uuid), 'the confirmation is due at once');
SELECT is((SELECT body FROM notifications WHERE appointment_id = :'a' AND template_id = 'appointment_reminder_1h'), 'ABC: we remind you of your appointment on Monday, 06 May 2030, 13:15 (America/New_York).', 'what it says');
UPDATE notifications SET status = 'sent', sent_at = now() WHERE appointment_id = :'a' AND template_id = 'appointment_confirmation';
SELECT row_eq(format('SELECT confirmation_sent, reminder_sent_24h, reminder_sent_1h FROM appointments WHERE id = %L', :'a'), ROW(true, false, false), 'what was sent is noted');
SELECT va_appointment_confirm(:'a') \gset
SELECT is((SELECT status FROM appointments WHERE id = :'a'), 'confirmed'::varchar, 'confirmed'), is(va_appointment_confirm(:'a'), false, 'a second time nothing happens'), is(pg_temp.pending(:'a'), 'reminder_1h/sms reminder_24h/sms', 'the reminders stay');
SELECT va_appointment_reschedule(:'a', '2030-05-13 13:15-04') \g /dev/null
SELECT is(pg_temp.messages(:'a'), 'reminder_1h/sms/pending/1 reminder_24h/sms/pending/24', 'moved with the appointment, not doubled'), is(pg_temp.pending(:'a'), 'confirmation/email confirmation/sms reminder_1h/sms reminder_24h/sms', 'and confirmed anew');
SELECT row_eq(format('SELECT status::text, scheduled_at, confirmation_sent, rescheduled_count FROM appointments WHERE id = %L', :'a'), ROW('scheduled'::text, '2030-05-13 13:15-04'::timestamptz, false, 1), 'it is scheduled again');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_appointment_reschedule(%L, %L)', :'a', t)), c, 'not to ' || t) FROM (VALUES ('2030-03-04 13:45-05', 'VA030'), ('2030-05-14 23:45-04', 'VA030'), ('2020-01-01', 'VA005')) AS x (t, c);
SELECT lives_ok(format('SELECT va_appointment_reschedule(%L, %L)', :'a', '2030-05-13 13:30-04'), 'over its own old time'), lives_ok(format('SELECT va_appointment_reschedule(%L, %L, agent => %L)', :'a', '2030-05-13 13:15-04', :'bob'), 'to another person');
SELECT row_eq(format('SELECT agent_name::text, agent_email::text FROM appointments WHERE id = %L', :'a'), ROW('Bob'::text, 'bob@x.org'::text), 'whose name it bears');
UPDATE appointments SET scheduled_at = '2030-05-20 13:15-04' WHERE id = :'a';
SELECT is(pg_temp.messages(:'a'), 'reminder_1h/sms/pending/1 reminder_24h/sms/pending/24', 'plain SQL moves them too');
SELECT is(va_appointment_cancel(:'a', 'ill'), true, 'cancelled'), is(va_appointment_cancel(:'a'), false, 'once');
SELECT row_eq(format('SELECT status::text, cancel_reason, cancelled_at IS NOT NULL, calendar_span IS NULL FROM appointments WHERE id = %L', :'a'), ROW('cancelled'::text, 'ill'::text, true, true), 'with its reason, and its time is free again'), is(pg_temp.pending(:'a'), NULL, 'no reminder after a cancel');
UPDATE notifications SET status = 'pending' WHERE appointment_id = :'a';
INSERT INTO notifications (tenant_id, appointment_id, channel, template_id) VALUES (:'tenant', :'a', 'sms', 'appointment_reminder_1h');
SELECT is(pg_temp.pending(:'a'), NULL, 'whatever anybody writes');
-- soon: what lies in the past is not planned
SELECT va_appointment_book(:'lead', now() + m * interval '1 minute', 5, force => true) AS b FROM (VALUES (120), (50)) AS x (m) \g /dev/null
SELECT is((SELECT array_agg(pg_temp.pending(id) ORDER BY scheduled_at) FROM appointments WHERE duration_minutes = 5), ARRAY['confirmation/email confirmation/sms', 'confirmation/email confirmation/sms reminder_1h/sms'], 'in 50 minutes and in two hours');
-- completed, missed
SELECT id AS soon FROM appointments WHERE duration_minutes = 5 ORDER BY scheduled_at LIMIT 1 \gset
SELECT is(pg_temp.sqlstate_of(format('SELECT va_appointment_no_show(%L)', :'soon')), 'VA031', 'nobody has missed what is still to come'), is(va_appointment_complete(:'soon', 'went well'), true, 'completed');
SELECT is(pg_temp.pending(:'soon'), 'feedback/sms', 'feedback is asked, and nothing else is sent'), row_eq(format('SELECT notification_type::text, body FROM notifications WHERE appointment_id = %L AND status = $$pending$$', :'soon'), ROW('follow_up'::text, 'ABC: thank you for your time. How was our appointment?'::text), 'as a follow-up'), is((SELECT outcome FROM appointments WHERE id = :'soon'), 'went well', 'with its outcome');
SELECT va_appointment_book(:'lead', now() - interval '1 hour', 7, force => true) AS past \gset
SELECT is(pg_temp.pending(:'past'), NULL, 'nothing is sent about the past'), is(va_appointment_no_show(:'past'), true, 'missed'), is(pg_temp.pending(:'past'), NULL, 'no feedback from who was not there');
-- channels
UPDATE tenants SET settings = settings || '{"whatsapp_notifications": true}' WHERE id = :'tenant';
SELECT is(pg_temp.pending(va_appointment_book(:'lead', '2030-06-03 09:00-04')), 'confirmation/email confirmation/whatsapp reminder_1h/whatsapp reminder_24h/whatsapp', 'WhatsApp where the tenant has it');
UPDATE tenants SET settings = settings || '{"whatsapp_notifications": false, "sms_notifications": false}' WHERE id = :'tenant';
SELECT is(pg_temp.pending(va_appointment_book(:'lead', '2030-06-10 09:00-04')), 'confirmation/email reminder_1h/email reminder_24h/email', 'else e-mail');
UPDATE tenants SET settings = settings - 'sms_notifications' WHERE id = :'tenant';
SELECT va_opt_out(:'tenant', '+12125550100', 'sms') \g /dev/null
SELECT is(pg_temp.pending(va_appointment_book(:'lead', '2030-06-17 09:00-04')), 'confirmation/email reminder_1h/email reminder_24h/email', 'not by a channel that was opted out of');
SELECT va_opt_out(:'tenant', 'jane@x.org') \g /dev/null
SELECT is(pg_temp.pending(va_appointment_book(:'lead', '2030-06-24 09:00-04')), NULL, 'and not at all where nothing is allowed');
-- quiet hours: a reminder waits for the morning while that is before the appointment
UPDATE tenants SET settings = settings || '{"contact_hours": {"open": "09:00", "close": "20:00"}}' WHERE id = :'solo';
SELECT va_appointment_book(:'solo_lead', '2030-03-05 13:30Z', force => true) AS q \gset
SELECT is((SELECT array_agg(template_id || ' ' || to_char(scheduled_for AT TIME ZONE 'America/New_York', 'DD HH24:MI') ORDER BY template_id) FROM notifications WHERE appointment_id = :'q' AND template_id LIKE '%reminder%'), ARRAY['appointment_reminder_24h 04 09:00'], '08:30 in New York: the day before at nine; the one at 07:30 would come too late');

-- ---- the state machine, whole
CREATE FUNCTION pg_temp.try(was text, becomes text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE v uuid;
BEGIN
	INSERT INTO appointments (tenant_id, title, scheduled_at, status) SELECT id, 'x', now() - interval '1 day', was FROM tenants LIMIT 1 RETURNING id INTO v;
	UPDATE appointments SET status = becomes WHERE id = v;
	RETURN 'none';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
SELECT is(pg_temp.try(f, t), CASE WHEN f = t OR f = 'scheduled' AND t IN ('confirmed', 'completed', 'cancelled', 'no_show') OR f = 'confirmed' AND t IN ('scheduled', 'completed', 'cancelled', 'no_show') THEN 'none' ELSE 'VA031' END, format('%s → %s', f, t))
FROM unnest(ARRAY['scheduled', 'confirmed', 'completed', 'cancelled', 'no_show']) f, unnest(ARRAY['scheduled', 'confirmed', 'completed', 'cancelled', 'no_show']) t;
SELECT is(pg_temp.try('scheduled', 'nonsense'), '23514', 'a status that is none');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_appointment_%s(%L%s)', f, :'a', CASE f WHEN 'reschedule' THEN ', ''2030-09-02 13:15-04''' ELSE '' END)), 'VA031', 'a cancelled one: ' || f) FROM unnest(ARRAY['confirm', 'complete', 'no_show', 'reschedule']) f;
SELECT is(pg_temp.sqlstate_of(format('SELECT va_appointment_%s(gen_random_uuid()%s)', f, CASE f WHEN 'reschedule' THEN ', now()' ELSE '' END)), 'VA032', 'none: ' || f) FROM unnest(ARRAY['confirm', 'cancel', 'complete', 'no_show', 'reschedule']) f;
SELECT bag_eq(format('SELECT event_type::text FROM analytics_events WHERE event_data ->> $$appointment_id$$ = %L', :'a'), ARRAY['appointment_booked', 'appointment_confirmed', 'appointment_moved', 'appointment_moved', 'appointment_moved', 'appointment_moved', 'appointment_cancelled'], 'each step is an event');

-- ---- property: whatever is done, no two live ones overlap, and nothing is pending for what is over
CREATE FUNCTION pg_temp.live(n int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_lead uuid := (SELECT id FROM leads WHERE first_name = 'Jane');
	v_a uuid;
BEGIN
	FOR i IN 1 .. n LOOP
		v_a := (SELECT id FROM appointments WHERE tenant_id = (SELECT tenant_id FROM leads WHERE id = v_lead) AND lead_id IS NOT NULL ORDER BY random() LIMIT 1);
		BEGIN
			CASE floor(random() * 7)::int
				WHEN 0 THEN PERFORM va_appointment_cancel(v_a);
				WHEN 1 THEN PERFORM va_appointment_reschedule(v_a, '2030-07-01 09:00-04'::timestamptz + floor(random() * 60) * interval '7 minutes', force => true);
				WHEN 2 THEN PERFORM va_appointment_complete(v_a);
				WHEN 3 THEN UPDATE appointments SET scheduled_at = '2030-07-01 09:00-04'::timestamptz + floor(random() * 60) * interval '7 minutes' WHERE id = v_a;
				ELSE PERFORM va_appointment_book(v_lead, '2030-07-01 09:00-04'::timestamptz + floor(random() * 60) * interval '7 minutes', 1 + floor(random() * 60)::int, force => true);
			END CASE;
			IF random() < 0.2 THEN
				RAISE EXCEPTION 'undone';
			END IF;
		EXCEPTION WHEN raise_exception OR exclusion_violation OR SQLSTATE 'VA030' OR SQLSTATE 'VA031' THEN
			NULL;
		END;
	END LOOP;
END $$;
DELETE FROM do_not_contact;
DELETE FROM consents;
SELECT setseed(0.25) \g /dev/null
SELECT pg_temp.live(300) \g /dev/null
SELECT cmp_ok((SELECT count(*) FROM appointments WHERE scheduled_at::date = '2030-07-01' AND status = 'scheduled'), '>', 3::bigint, 'a full day');
SELECT is((SELECT count(*)::int FROM appointments a JOIN appointments b ON a.id < b.id AND a.calendar_id = b.calendar_id AND a.status IN ('scheduled', 'confirmed') AND b.status IN ('scheduled', 'confirmed')
	AND tstzrange(a.scheduled_at, a.scheduled_at + make_interval(mins => a.duration_minutes)) && tstzrange(b.scheduled_at, b.scheduled_at + make_interval(mins => b.duration_minutes))), 0, 'no two overlap');
SELECT is((SELECT count(*)::int FROM appointments a JOIN notifications n ON n.appointment_id = a.id WHERE n.status = 'pending' AND n.template_id <> 'appointment_feedback' AND a.status NOT IN ('scheduled', 'confirmed')), 0, 'nothing is pending for what is over');
SELECT is((SELECT count(*)::int FROM appointments a JOIN notifications n ON n.appointment_id = a.id WHERE n.status = 'pending' AND n.template_id LIKE '%reminder%' AND (n.scheduled_for >= a.scheduled_at OR (n.template_data ->> 'scheduled_at')::timestamptz <> a.scheduled_at)), 0, 'every reminder is of the time that holds, and before it');

-- ---- tools
UPDATE tenants SET settings = settings || '{"twilio_account_sid": "AC00000000000000000000000000000001"}' WHERE id = :'tenant';
SELECT call_id AS call FROM pg_temp.answer('CA1', '{"From": "+12125550199"}') \gset
INSERT INTO calls (tenant_id, twilio_call_sid, status, direction, from_number, started_at) SELECT :'tenant', 'CA2', 'in-progress', 'inbound', '+12125550199', now() RETURNING id AS call \gset
SELECT is(va_call_tool(:'call', '1', 'check_availability', '{"date": "2030-08-05", "days": 1}') -> 'result', '{"free": [{"start": "2030-08-05 09:00", "in_words": "Monday, 05 August, 09:00"}, {"start": "2030-08-05 09:30", "in_words": "Monday, 05 August, 09:30"}, {"start": "2030-08-05 10:00", "in_words": "Monday, 05 August, 10:00"}, {"start": "2030-08-05 13:15", "in_words": "Monday, 05 August, 13:15"}, {"start": "2030-08-05 13:45", "in_words": "Monday, 05 August, 13:45"}], "timezone": "America/New_York"}', 'free times in words');
SELECT is(jsonb_array_length(va_call_tool(:'call', '2' || a, 'check_availability', a::jsonb) #> '{result,free}'), n, 'check_availability ' || a) FROM (VALUES ('{"date": "2030-08-05", "days": 1, "part_of_day": "afternoon"}', 2), ('{"date": "2030-08-05", "days": 1, "part_of_day": "evening"}', 0), ('{"date": "2030-08-05", "days": 30}', 12), ('{"date": "2030-08-05", "days": 1, "duration_minutes": 90}', 1), ('{"date": "soon"}', 12), ('{"date": 5, "days": "x", "duration_minutes": "x"}', 12)) AS x (a, n);
SELECT is(va_call_tool(:'call', '3', 'book_appointment', '{"start": "2030-08-05 09:30", "name": "Max Muster", "email": "max@x.org", "title": "Viewing"}') -> 'result' #- '{appointment_id}', '{"booked": true, "with": "Ann", "when": "Monday, 05 August 2030, 09:30", "timezone": "America/New_York"}', 'booked for the caller');
SELECT row_eq(format('SELECT l.first_name::text, l.phone::text, a.title::text, c.outcome::text FROM calls c JOIN appointments a ON a.call_id = c.id JOIN leads l ON l.id = a.lead_id AND l.id = c.lead_id WHERE c.id = %L', :'call'), ROW('Max'::text, '+12125550199'::text, 'Viewing'::text, 'appointment_set'::text), 'who is a lead now');
SELECT is(va_call_tool(:'call', '3', 'book_appointment', '{"start": "2030-08-05 09:30"}') #>> '{result,booked}', 'true', 'the same invocation again'), is((SELECT count(*)::int FROM appointments WHERE call_id = :'call'), 1, 'is one appointment');
SELECT matches(va_call_tool(:'call', '4' || a, 'book_appointment', a::jsonb) ->> 'error', e, 'book_appointment ' || a) FROM (VALUES ('{}', 'must be written like'), ('{"start": "tomorrow"}', 'must be written like'), ('{"start": "2030-02-30 10:00"}', 'must be written like'), ('{"start": "2030-08-05 03:00"}', 'not free; the next free time is Monday, 05 August 2030, 09:00'), ('{"start": "2020-08-05 10:00"}', 'in the future')) AS x (a, e);
SELECT is(va_call_tool(:'call', '5', 'book_appointment', '{"start": "2030-08-05T14:00:00Z", "meeting_type": "seance"}') #>> '{result,when}', 'Monday, 05 August 2030, 10:00', 'with an offset, and a kind that is none');

-- ---- a tenant's application
SELECT set_config('voiceagent.tenant_id', :'tenant', false) \g /dev/null
SET ROLE voiceagent_agent;
SELECT isnt(va_appointment_book(:'lead', '2030-09-02 09:00-04'), NULL, 'books for its own leads');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_appointment_book(%L, %L)', :'german', '2030-09-01 03:00+02')), 'VA020', 'not for another''s'), is(pg_temp.sqlstate_of(format('SELECT va_available_slots(%L, now(), now())', :'berlin')), 'VA001', 'nor sees another''s time'), is(pg_temp.sqlstate_of('SELECT va_appointment_set(NULL, NULL)'), '42501', 'nor calls what is internal'), is(pg_temp.sqlstate_of('SELECT va_calendar_lock(NULL)'), '42501', 'nor holds up bookings');
SELECT lives_ok(format('INSERT INTO appointments (tenant_id, lead_id, title, scheduled_at, assigned_agent_id) VALUES (%L, %L, $$by hand$$, $$2030-09-03 10:00-04$$, %L)', :'tenant', :'lead', :'bob'), 'a row by hand');
SELECT is(pg_temp.pending((SELECT id FROM appointments WHERE title = 'by hand')), 'confirmation/email confirmation/sms reminder_1h/sms reminder_24h/sms', 'has its messages all the same');
SELECT is(pg_temp.sqlstate_of(format('INSERT INTO appointments (tenant_id, title, scheduled_at, assigned_agent_id) VALUES (%L, $$x$$, $$2030-09-03 10:00-04$$, %L)', :'tenant', :'eve')), '23503', 'with another tenant''s person');
RESET ROLE;
SELECT id AS foreign_one FROM appointments WHERE lead_id = :'german' LIMIT 1 \gset
SET ROLE voiceagent_agent;
SELECT is(pg_temp.sqlstate_of(format('SELECT va_appointment_cancel(%L)', :'foreign_one')), 'VA032', 'nor cancels another''s');
RESET ROLE;
-- restored rows bring their messages
INSERT INTO appointments (tenant_id, lead_id, title, scheduled_at, assigned_agent_id, created_at) VALUES (:'tenant', :'lead', 'restored', '2030-10-07 10:00-04', :'bob', '2026-01-01') RETURNING id AS restored \gset
SELECT is(pg_temp.pending(:'restored'), NULL, 'a row that is restored plans nothing');
SELECT * FROM finish();
