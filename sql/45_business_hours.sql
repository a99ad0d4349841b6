-- Opening hours: rows of business_hours in the tenant's time zone. Several rows a day are several
-- openings; a closing time at or before the opening time is on the next day; is_closed shuts the day
-- (but not the night that began the day before). A tenant without rows is always open, a weekday
-- without rows is closed.

-- The openings that start on one local date.
CREATE FUNCTION @extschema@.va_openings(p_tenant uuid, p_day date)
	RETURNS TABLE (opens timestamp, closes timestamp)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY
	SELECT p_day + coalesce(h.open_time, time '00:00'),
		   p_day + coalesce(h.close_time, time '24:00')
		   + CASE WHEN coalesce(h.close_time, time '24:00') <= coalesce(h.open_time, time '00:00')
				  THEN interval '1 day' ELSE interval '0' END
	FROM @extschema@.business_hours h
	WHERE h.tenant_id = p_tenant AND h.day_of_week = extract(dow FROM p_day)
	  AND NOT EXISTS (SELECT FROM @extschema@.business_hours c
					  WHERE c.tenant_id = p_tenant AND c.day_of_week = h.day_of_week AND c.is_closed);
END
$$;

CREATE FUNCTION @extschema@.va_business_open(tenant uuid, at timestamptz DEFAULT now()) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_local timestamp;
BEGIN
	SELECT va_business_open.at AT TIME ZONE coalesce(t.timezone, 'UTC') INTO v_local
	FROM @extschema@.tenants t WHERE t.id = tenant;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'unknown tenant %', coalesce(tenant::text, 'NULL') USING ERRCODE = 'VA001';
	END IF;
	IF NOT EXISTS (SELECT FROM @extschema@.business_hours h WHERE h.tenant_id = tenant) THEN
		RETURN true;
	END IF;
	RETURN EXISTS (
		SELECT FROM (VALUES (v_local::date), (v_local::date - 1)) AS d (day),
			   @extschema@.va_openings(tenant, d.day) o
		WHERE v_local >= o.opens AND v_local < o.closes);
END
$$;

-- When the tenant opens next; `at` itself while it is open, NULL when it never opens.
CREATE FUNCTION @extschema@.va_next_opening(tenant uuid, at timestamptz DEFAULT now()) RETURNS timestamptz
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_zone text;
BEGIN
	IF @extschema@.va_business_open(tenant, va_next_opening.at) THEN
		RETURN va_next_opening.at;
	END IF;
	SELECT coalesce(t.timezone, 'UTC') INTO v_zone FROM @extschema@.tenants t WHERE t.id = tenant;
	RETURN (SELECT min(o.opens AT TIME ZONE v_zone)
			FROM generate_series(0, 7) n,
				 @extschema@.va_openings(tenant, (va_next_opening.at AT TIME ZONE v_zone)::date + n) o
			WHERE o.opens AT TIME ZONE v_zone > va_next_opening.at);
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
