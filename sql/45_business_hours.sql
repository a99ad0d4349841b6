-- Hours. A tenant's own are rows of business_hours and holidays, on the clock of its time zone; a person's are jsonb, and
-- so are hours in settings. All become triples (day, opening second, closing second), and the rules are those of
-- core/business_hours: this file is the only reader of the two tables.
--
-- Several rows a weekday are several openings; a closing time at or before the opening time is on the next day; is_closed
-- shuts the weekday (but not the night that began the day before). A holiday has exactly its own openings, and
-- ends what began the evening before at its midnight. A tenant without rows is always open but on its
-- holidays; a weekday without rows is closed.

-- Days on which a tenant keeps other hours than on that weekday; no intervals: closed.
CREATE TABLE @extschema@.holidays (
	tenant_id UUID NOT NULL REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	date DATE NOT NULL CHECK (isfinite(date)),
	name TEXT,
	intervals JSONB NOT NULL DEFAULT '[]',           -- [["10:00", "14:00"], …]
	PRIMARY KEY (tenant_id, date)
);

CREATE FUNCTION @extschema@.va_hours_spans(week integer[], dates integer[], zone text, "from" timestamptz, "to" timestamptz)
	RETURNS timestamptz[] LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_hours_spans';
CREATE FUNCTION @extschema@.va_hours_next(week integer[], dates integer[], zone text, at timestamptz)
	RETURNS timestamptz LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_hours_next';

-- 'HH:MM' in seconds.
CREATE FUNCTION @extschema@.va_clock_seconds(text) RETURNS integer
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN split_part($1, ':', 1)::integer * 3600 + split_part($1, ':', 2)::integer * 60;

-- Refuses a list of openings that is none; p_what says where it stands.
CREATE FUNCTION @extschema@.va_check_openings(p_what text, p_list jsonb) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_item jsonb;
BEGIN
	IF jsonb_typeof(p_list) IS DISTINCT FROM 'array' OR jsonb_array_length(p_list) > 8 THEN
		RAISE EXCEPTION '% must be a list of at most eight openings', p_what
			USING ERRCODE = 'VA009', HINT = 'For instance [["09:00", "12:00"], ["13:00", "17:00"]], or [] for a day off.';
	END IF;
	FOR v_item IN SELECT e FROM jsonb_array_elements(p_list) e LOOP
		IF (jsonb_typeof(v_item) = 'array' AND jsonb_array_length(v_item) = 2
			AND v_item ->> 0 ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$' AND v_item ->> 1 ~ '^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$'
			AND v_item ->> 0 <> v_item ->> 1) IS NOT TRUE THEN
			RAISE EXCEPTION '% has an opening that is none: %', p_what, v_item
				USING ERRCODE = 'VA009', HINT = 'An opening is two times, ["09:00", "17:00"]; a whole day is ["00:00", "24:00"].';
		END IF;
	END LOOP;
END
$$;

-- Dates that differ: a list of closed dates, or an object of dates with their openings.
CREATE FUNCTION @extschema@.va_check_dates(p_what text, p_dates jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_date text;
	v_list jsonb;
BEGIN
	IF jsonb_typeof(p_dates) NOT IN ('array', 'object') THEN
		RAISE EXCEPTION '% must be a list of dates, or an object of dates and their openings', p_what USING ERRCODE = 'VA009';
	END IF;
	FOR v_date, v_list IN
		SELECT e #>> '{}', '[]'::jsonb FROM jsonb_array_elements(CASE jsonb_typeof(p_dates) WHEN 'array' THEN p_dates ELSE '[]' END) e
		UNION ALL SELECT key, value FROM jsonb_each(CASE jsonb_typeof(p_dates) WHEN 'object' THEN p_dates ELSE '{}' END)
	LOOP
		BEGIN
			IF (v_date ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$') IS NOT TRUE OR v_date::date::text IS NULL THEN
				RAISE datetime_field_overflow;
			END IF;
		EXCEPTION WHEN datetime_field_overflow OR invalid_datetime_format THEN
			RAISE EXCEPTION '% has a date that is none: %', p_what, coalesce(v_date, 'null')
				USING ERRCODE = 'VA009', HINT = 'Dates are written 2027-12-24.';
		END;
		PERFORM @extschema@.va_check_openings(format('%s, %s', p_what, v_date), v_list);
	END LOOP;
END
$$;

-- Openings of one day as triples for va_hours_spans.
CREATE FUNCTION @extschema@.va_opening_triples(p_day integer, p_list jsonb) RETURNS integer[]
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT coalesce(array_agg(x.v ORDER BY i.n, x.k), '{}')
		FROM jsonb_array_elements(p_list) WITH ORDINALITY AS i (e, n),
			 LATERAL (SELECT @extschema@.va_clock_seconds(i.e ->> 0) AS o, @extschema@.va_clock_seconds(i.e ->> 1) AS c) s,
			 LATERAL (VALUES (1, p_day), (2, s.o), (3, CASE WHEN s.c <= s.o THEN s.c + 86400 ELSE s.c END)) AS x (k, v));
END
$$;

CREATE FUNCTION @extschema@.va_date_triples(p_dates jsonb) RETURNS integer[]
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_dates integer[] := '{}';
	v_day integer;
	v_list jsonb;
BEGIN
	FOR v_day, v_list IN
		SELECT d.day::date - date '1970-01-01', d.list
		FROM (SELECT e #>> '{}' AS day, '[]'::jsonb AS list
			  FROM jsonb_array_elements(CASE jsonb_typeof(p_dates) WHEN 'array' THEN p_dates ELSE '[]' END) e
			  UNION SELECT key, value FROM jsonb_each(CASE jsonb_typeof(p_dates) WHEN 'object' THEN p_dates ELSE '{}' END)) d
		ORDER BY 1
	LOOP
		v_dates := v_dates || CASE WHEN v_list = '[]' THEN ARRAY[v_day, -1, -1]
								   ELSE @extschema@.va_opening_triples(v_day, v_list) END;
	END LOOP;
	RETURN v_dates;
END
$$;

-- Around the clock, every day.
CREATE FUNCTION @extschema@.va_week_always() RETURNS integer[]
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN ARRAY[0, 0, 86400, 1, 0, 86400, 2, 0, 86400, 3, 0, 86400, 4, 0, 86400, 5, 0, 86400, 6, 0, 86400];

-- ---- zones --------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_zone_known(name text) RETURNS boolean
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_zone_known';
CREATE FUNCTION @extschema@.va_phone_zone(number text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_phone_zone';

-- ---- a tenant's hours ---------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_check_holiday() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_check_openings('the column "intervals"', NEW.intervals);
	RETURN NEW;
END
$$;
CREATE TRIGGER holidays_check BEFORE INSERT OR UPDATE ON @extschema@.holidays
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_holiday();

-- What va_hours_next could not read is refused here, and not told to a caller at night.
CREATE FUNCTION @extschema@.va_check_business_hours() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NEW.open_time = time '24:00' THEN
		RAISE EXCEPTION 'an opening begins before midnight' USING ERRCODE = 'VA009', HINT = 'For the next day begin at 00:00 there.';
	ELSIF (SELECT count(*) FROM @extschema@.business_hours h
		   WHERE h.tenant_id = NEW.tenant_id AND h.day_of_week = NEW.day_of_week AND h.id <> NEW.id) >= 8 THEN
		RAISE EXCEPTION 'a weekday has at most eight openings' USING ERRCODE = 'VA009';
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER business_hours_check BEFORE INSERT OR UPDATE ON @extschema@.business_hours
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_business_hours();

-- The openings of each weekday; NULL where the tenant has said nothing.
CREATE FUNCTION @extschema@.va_tenant_week(p_tenant uuid) RETURNS integer[]
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT coalesce(array_agg(x.v ORDER BY h.day_of_week, s.o, s.c, h.id, x.k) FILTER (WHERE NOT h.shut), '{}')
		FROM (SELECT b.*, bool_or(coalesce(b.is_closed, false)) OVER (PARTITION BY b.day_of_week) AS shut
			  FROM @extschema@.business_hours b WHERE b.tenant_id = p_tenant) h
		CROSS JOIN LATERAL (SELECT extract(epoch FROM coalesce(h.open_time, '00:00'))::integer AS o,
								   extract(epoch FROM coalesce(h.close_time, '24:00'))::integer AS c) s
		CROSS JOIN LATERAL (VALUES (1, h.day_of_week), (2, s.o), (3, CASE WHEN s.c <= s.o THEN s.c + 86400 ELSE s.c END)) AS x (k, v)
		HAVING count(*) > 0);
END
$$;

-- Its holidays from two days before p_from on; an empty array without any.
CREATE FUNCTION @extschema@.va_tenant_dates(p_tenant uuid, p_from timestamptz) RETURNS integer[]
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN @extschema@.va_date_triples((SELECT jsonb_object_agg(to_char(h.date, 'YYYY-MM-DD'), h.intervals) FROM @extschema@.holidays h
		WHERE h.tenant_id = p_tenant AND h.date >= (p_from AT TIME ZONE 'UTC')::date - 3));
END
$$;

-- The openings that begin on one local date.
CREATE FUNCTION @extschema@.va_openings(p_tenant uuid, p_day date)
	RETURNS TABLE (opens timestamp, closes timestamp)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_dates integer[] := @extschema@.va_tenant_dates(p_tenant, p_day);
	v_day integer := p_day - date '1970-01-01';
	v_is_holiday boolean := EXISTS (SELECT FROM generate_series(1, cardinality(v_dates), 3) i WHERE v_dates[i] = v_day);
	v_of integer[] := CASE WHEN v_is_holiday THEN v_dates ELSE coalesce(@extschema@.va_tenant_week(p_tenant), @extschema@.va_week_always()) END;
BEGIN
	PERFORM @extschema@.va_assert_acts_for(p_tenant);
	RETURN QUERY
	SELECT p_day + make_interval(secs => v_of[i + 1]), p_day + make_interval(secs => v_of[i + 2])
	FROM generate_series(1, cardinality(v_of), 3) i
	WHERE v_of[i] = CASE WHEN v_is_holiday THEN v_day ELSE extract(dow FROM p_day)::integer END AND v_of[i + 1] >= 0
	ORDER BY 1, 2;
END
$$;

-- When the tenant opens next; `at` itself while it is open, NULL when it does not within 400 days.
CREATE FUNCTION @extschema@.va_next_opening(tenant uuid, at timestamptz DEFAULT now()) RETURNS timestamptz
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_zone text;
	v_week integer[] := @extschema@.va_tenant_week(tenant);
	v_dates integer[] := @extschema@.va_tenant_dates(tenant, va_next_opening.at);
BEGIN
	PERFORM @extschema@.va_assert_acts_for(tenant);
	SELECT coalesce(t.timezone, 'UTC') INTO v_zone FROM @extschema@.tenants t WHERE t.id = tenant;
	IF v_week IS NULL AND v_dates = '{}' THEN
		RETURN va_next_opening.at;
	END IF;
	RETURN @extschema@.va_hours_next(coalesce(v_week, @extschema@.va_week_always()), v_dates, v_zone, va_next_opening.at);
END
$$;

CREATE FUNCTION @extschema@.va_business_open(tenant uuid, at timestamptz DEFAULT now()) RETURNS boolean
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN coalesce(@extschema@.va_next_opening(tenant, va_business_open.at) = va_business_open.at, false);
END
$$;

-- What a caller outside the hours gets: voicemail, transfer or callback.
CREATE FUNCTION @extschema@.va_after_hours_action(p_tenant uuid, p_at timestamptz DEFAULT now())
	RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT coalesce(t.settings ->> 'after_hours_action',
		(SELECT h.after_hours_action FROM @extschema@.business_hours h
		 WHERE h.tenant_id = t.id
		 ORDER BY h.day_of_week <> extract(dow FROM p_at AT TIME ZONE coalesce(t.timezone, 'UTC')),
				  h.day_of_week, h.open_time LIMIT 1),
		@extschema@.va_setting_text('{}', 'after_hours_action', 'voicemail'))
	FROM @extschema@.tenants t WHERE t.id = p_tenant);
END
$$;

GRANT SELECT, INSERT, UPDATE, DELETE ON @extschema@.holidays TO voiceagent_admin, voiceagent_agent;
GRANT SELECT ON @extschema@.holidays TO voiceagent_bi;
GRANT EXECUTE ON FUNCTION @extschema@.va_phone_zone(text), @extschema@.va_zone_known(text) TO voiceagent_admin, voiceagent_agent;
