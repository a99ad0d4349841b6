-- Opening hours on the year's odd days, in zones east and west, past midnight, and on holidays: open or not, when next, which openings a
-- date has, and what a caller finds.
\ir setup.psql
SELECT no_plan();
SELECT pg_temp.tenant('+15551230002') AS tenant, pg_temp.tenant('+15551230003') AS other \gset
-- Monday to Friday nine to five, Friday also the evening until two, Saturday shut, Sunday the small hours.
INSERT INTO business_hours (tenant_id, day_of_week, open_time, close_time) SELECT :'tenant', d, '09:00', '17:00' FROM generate_series(1, 5) d;
INSERT INTO business_hours (tenant_id, day_of_week, open_time, close_time) VALUES (:'tenant', 5, '22:00', '02:00'), (:'tenant', 0, '01:30', '04:00'), (:'tenant', 6, '09:00', '17:00');
INSERT INTO business_hours (tenant_id, day_of_week, is_closed) VALUES (:'tenant', 6, true);
INSERT INTO holidays (tenant_id, date, intervals) VALUES (:'tenant', '2030-12-24', '[["09:00", "12:00"]]'), (:'tenant', '2030-12-25', '[]'), (:'tenant', '2031-01-04', '[["10:00", "11:00"], ["23:00", "01:00"]]'), (:'other', '2030-06-03', '[]');

CREATE TEMP TABLE asked (zone text, at timestamptz, opens timestamptz, why text);
INSERT INTO asked VALUES
	('Europe/Berlin', '2030-06-03 09:00+02', '2030-06-03 09:00+02', 'at the opening'), ('Europe/Berlin', '2030-06-03 08:59:59.999999+02', '2030-06-03 09:00+02', 'a microsecond before'),
	('Europe/Berlin', '2030-06-03 17:00+02', '2030-06-04 09:00+02', 'at the closing'), ('Europe/Berlin', '2030-06-07 20:00+02', '2030-06-07 22:00+02', 'between two openings'),
	('Europe/Berlin', '2030-06-08 01:59+02', '2030-06-08 01:59+02', 'past midnight, into a day that is shut'), ('Europe/Berlin', '2030-06-08 02:00+02', '2030-06-09 01:30+02', 'the day that is shut'),
	-- clocks: Berlin 31 March and 27 October, New York 10 March and 3 November, Lord Howe by half an hour
	('Europe/Berlin', '2030-03-31 00:00+01', '2030-03-31 01:30+01', 'the shortest night'), ('Europe/Berlin', '2030-03-31 03:59+02', '2030-03-31 03:59+02', 'four o''clock comes an hour early'), ('Europe/Berlin', '2030-03-31 04:00+02', '2030-04-01 09:00+02', 'and is the end'),
	('Europe/Berlin', '2030-10-27 02:30+01', '2030-10-27 02:30+01', 'the second half past two'), ('America/New_York', '2030-03-10 01:29-05', '2030-03-10 01:30-05', 'New York in spring'), ('America/New_York', '2030-11-03 01:15-05', '2030-11-03 01:15-05', 'the second quarter past one, New York'),
	('America/New_York', '2030-11-03 01:15-04', '2030-11-03 01:30-04', 'the first is before the opening'), ('Australia/Lord_Howe', '2030-10-06 02:30+11', '2030-10-06 02:30+11', 'Lord Howe in spring'),
	-- east and west: when it is Monday where
	('Pacific/Kiritimati', '2030-06-02 19:00Z', '2030-06-02 19:00Z', 'nine on Monday, fourteen hours ahead'), ('Pacific/Pago_Pago', '2030-06-03 19:59Z', '2030-06-03 20:00Z', 'nine on Monday, eleven behind'), ('Asia/Kathmandu', '2030-06-03 03:14Z', '2030-06-03 03:15Z', 'by a quarter of an hour'),
	('Asia/Tokyo', '2030-06-09 23:59Z', '2030-06-10 00:00Z', 'Tokyo is Monday when London is Sunday'),
	-- leap day, a Sunday, and none
	('Europe/Berlin', '2032-02-28 17:00+01', '2032-02-29 01:30+01', 'the leap day'), ('Europe/Berlin', '2032-02-29 04:00+01', '2032-03-01 09:00+01', 'after it'), ('Europe/Berlin', '2031-02-28 17:00+01', '2031-02-28 22:00+01', 'a year without'),
	-- holidays
	('Europe/Berlin', '2030-12-24 12:00+01', '2030-12-26 09:00+01', 'a short day, and a closed one after it'), ('Europe/Berlin', '2031-01-04 00:30+01', '2031-01-04 10:00+01', 'what began the evening before ends at a holiday''s midnight'),
	('Europe/Berlin', '2031-01-04 11:30+01', '2031-01-04 23:00+01', 'a holiday on a day that is shut'), ('Europe/Berlin', '2031-01-05 00:59+01', '2031-01-05 00:59+01', 'its evening goes past midnight');
CREATE FUNCTION pg_temp.ask(zone text, at timestamptz, OUT open boolean, OUT next timestamptz) LANGUAGE plpgsql AS $$
BEGIN
	UPDATE tenants SET timezone = zone WHERE slug = 'test-15551230002';
	SELECT va_business_open(id, at), va_next_opening(id, at) INTO open, next FROM tenants WHERE slug = 'test-15551230002';
END $$;
SELECT is(a.open, q.opens = q.at, format('%s, %s: %s', q.zone, q.why, CASE WHEN q.opens = q.at THEN 'open' ELSE 'closed' END)), is(a.next, q.opens, format('%s, %s: when', q.zone, q.why)) FROM asked q, pg_temp.ask(q.zone, q.at) a;
UPDATE tenants SET timezone = 'Europe/Berlin' WHERE id = :'tenant';
SELECT is(va_next_opening(:'other', '2030-06-02 12:00Z'), '2030-06-02 12:00Z'::timestamptz, 'a tenant without hours is always open'), is(va_next_opening(:'other', '2030-06-03 12:00Z'), '2030-06-04 00:00Z'::timestamptz, 'but on its holidays');
SELECT is((SELECT array_agg(to_char(opens, 'DD HH24:MI') || '-' || to_char(closes, 'DD HH24:MI') ORDER BY opens) FROM va_openings(t::uuid, d::date)), w::text[], format('the openings of %s', d)) FROM (VALUES (:'tenant', '2030-06-07', '{07 09:00-07 17:00,07 22:00-08 02:00}'), (:'tenant', '2030-06-08', NULL), (:'tenant', '2030-12-24', '{24 09:00-24 12:00}'), (:'tenant', '2030-12-25', NULL),
	(:'tenant', '2031-01-04', '{04 10:00-04 11:00,04 23:00-05 01:00}'), (:'other', '2030-06-02', '{02 00:00-03 00:00}'), (:'other', '2030-06-03', NULL)) AS x (t, d, w);
UPDATE business_hours SET is_closed = true WHERE tenant_id = :'tenant';
SELECT is(va_next_opening(:'tenant', '2031-02-01'), NULL, 'closed for good: never'), is(va_business_open(:'tenant', '2031-02-01'), false, 'and not now'), is(va_next_opening(:'tenant', '2030-12-20'), '2030-12-24 09:00+01'::timestamptz, 'but a holiday with hours');
DELETE FROM business_hours;
SELECT is(pg_temp.sqlstate_of(s), c, s) FROM (VALUES (format($$INSERT INTO business_hours (tenant_id, day_of_week, open_time) VALUES (%L, 1, '24:00')$$, :'tenant'), 'VA009'), (format($$INSERT INTO business_hours (tenant_id, day_of_week, open_time, close_time) SELECT %L, 1, make_time(n, 0, 0), make_time(n, 30, 0) FROM generate_series(1, 9) n$$, :'tenant'), 'VA009'),
	('SELECT va_business_open(gen_random_uuid())', 'VA001')) AS x (s, c);
SELECT lives_ok(format($$INSERT INTO business_hours (tenant_id, day_of_week, open_time, close_time) SELECT %L, 1, make_time(n, 0, 0), make_time(n, 30, 0) FROM generate_series(1, 8) n$$, :'tenant'), 'eight openings a day');
SELECT is(va_next_opening(:'tenant', '2030-06-03 08:31+02'), '2030-06-10 01:00+02'::timestamptz, 'all are read');
DELETE FROM business_hours;
DELETE FROM holidays;

-- ---- every answer against a plain reading of the rows
SELECT setseed(0.7) \g /dev/null
INSERT INTO business_hours (tenant_id, day_of_week, open_time, close_time) SELECT :'tenant', n % 7, make_time((random() * 23)::int, (random() * 59)::int, 0), make_time((random() * 23)::int, (random() * 59)::int, 0) FROM generate_series(1, 11) n;
INSERT INTO holidays (tenant_id, date, intervals) SELECT :'tenant', date '2030-01-01' + n * 9, CASE n % 3 WHEN 0 THEN '[]' WHEN 1 THEN '[["20:00", "03:00"]]' ELSE '[["10:00", "12:00"], ["11:00", "13:00"]]' END::jsonb FROM generate_series(0, 40) n;
CREATE FUNCTION pg_temp.plainly(tenant uuid, at timestamptz) RETURNS boolean LANGUAGE sql AS $$
	SELECT EXISTS (SELECT FROM (VALUES (0), (1)) AS b (back), LATERAL (SELECT (at AT TIME ZONE 'Europe/Berlin') AS local) c, LATERAL (SELECT c.local::date - b.back AS day) d,
		LATERAL (SELECT open_time AS o, close_time AS c FROM business_hours h WHERE h.tenant_id = tenant AND h.day_of_week = extract(dow FROM d.day) AND NOT EXISTS (SELECT FROM holidays y WHERE y.tenant_id = tenant AND y.date = d.day)
				 UNION ALL SELECT (i ->> 0)::time, (i ->> 1)::time FROM holidays y, jsonb_array_elements(y.intervals) i WHERE y.tenant_id = tenant AND y.date = d.day) r
		WHERE c.local >= d.day + r.o AND c.local < d.day + r.c + CASE WHEN r.c <= r.o THEN interval '1 day' ELSE interval '0' END
		  AND (b.back = 0 OR NOT EXISTS (SELECT FROM holidays y WHERE y.tenant_id = tenant AND y.date = c.local::date))) $$;
-- (Away from the two nights on which clocks change, where the rule is about instants.)
CREATE TEMP TABLE probes AS SELECT timestamptz '2030-01-02' + random() * interval '360 days' AS at FROM generate_series(1, 2000);
DELETE FROM probes WHERE (at AT TIME ZONE 'Europe/Berlin')::date IN ('2030-03-31', '2030-10-27');
SELECT is((SELECT count(*)::int FROM probes WHERE va_business_open(:'tenant', at) <> pg_temp.plainly(:'tenant', at)), 0, 'open or not, at two thousand instants'), cmp_ok((SELECT count(*)::int FROM probes WHERE va_business_open(:'tenant', at)), '>', 200, 'often open'), cmp_ok((SELECT count(*)::int FROM probes WHERE NOT va_business_open(:'tenant', at)), '>', 200, 'often closed');
SELECT is((SELECT count(*)::int FROM probes p, LATERAL va_next_opening(:'tenant', p.at) n WHERE n < p.at OR NOT va_business_open(:'tenant', n) OR n > p.at AND va_business_open(:'tenant', n - interval '1 microsecond')), 0, 'the next opening is one, and begins there');

-- ---- what a caller finds on a holiday
DELETE FROM business_hours; DELETE FROM holidays;
SELECT is((SELECT body ~ '<Stream' FROM pg_temp.answer('CA1')), true, 'an ordinary day: the agent');
INSERT INTO holidays (tenant_id, date) SELECT :'tenant', d::date FROM generate_series(now() AT TIME ZONE 'Europe/Berlin' - interval '1 day', now() AT TIME ZONE 'Europe/Berlin' + interval '1 day', '1 day') d;
SELECT is((SELECT body ~ '<Record' AND body !~ '<Stream' FROM pg_temp.answer('CA2')), true, 'a holiday: voicemail');
UPDATE tenants SET settings = settings || '{"after_hours_action": "callback"}' WHERE id = :'tenant';
SELECT is((SELECT body ~ 'call you back' FROM pg_temp.answer('CA3')), true, 'or a call back');
SELECT is((SELECT (scheduled_for AT TIME ZONE 'Europe/Berlin')::time FROM follow_up_tasks WHERE title = 'Call back'), time '00:00', 'when the holidays are over'), is((SELECT (scheduled_for AT TIME ZONE 'Europe/Berlin')::date FROM follow_up_tasks WHERE title = 'Call back'), (SELECT max(date) + 1 FROM holidays), 'and not before');
SELECT * FROM finish();
