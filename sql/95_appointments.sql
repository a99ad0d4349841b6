-- Appointments: which times are free, booking without double booking, a small state machine, and the messages
-- that belong to an appointment.
--
-- Whose time an appointment takes is its calendar: the person's, or the tenant's own where it has no people. A row
-- written by hand without a person takes nobody's time. One calendar holds no two live appointments at
-- once: an exclusion constraint says so, whoever writes (docs/decisions/004-calendars-as-addresses.md).

ALTER TABLE @extschema@.appointments
	ADD COLUMN calendar_id UUID,             -- human_agents.id, or tenants.id; NULL: nobody's
	ADD COLUMN calendar_key INET,            -- the same, see va_calendar_key
	ADD COLUMN calendar_span TSTZRANGE,      -- what it takes of the calendar; NULL: nothing (any more)
	ADD COLUMN cancelled_at TIMESTAMPTZ,
	ADD COLUMN cancel_reason TEXT,
	ADD COLUMN rescheduled_count INTEGER NOT NULL DEFAULT 0,
	ADD CONSTRAINT appointments_meeting_type CHECK (meeting_type IN ('in_person', 'phone', 'video')),
	ADD CONSTRAINT appointments_finite CHECK (isfinite(scheduled_at)),
	ADD CONSTRAINT appointments_length CHECK (duration_minutes <= 1440),
	ADD CONSTRAINT appointments_no_double_booking
		EXCLUDE USING gist (calendar_key inet_ops WITH =, calendar_span WITH &&);

ALTER TABLE @extschema@.notifications
	ADD COLUMN appointment_id UUID REFERENCES @extschema@.appointments(id) ON DELETE CASCADE;
-- One planned message a kind and channel: planning again moves it.
CREATE UNIQUE INDEX idx_notifications_planned ON @extschema@.notifications (appointment_id, template_id, channel)
	WHERE status = 'pending';
CREATE INDEX idx_notifications_appointment ON @extschema@.notifications (appointment_id);

-- A UUID in the clothes of an IPv6 address: both are 128 bits, and for addresses the server has an operator class in
-- GiST that knows equality. For UUIDs only btree_gist has one, which would be one more extension to install.
CREATE FUNCTION @extschema@.va_calendar_key(p_calendar uuid) RETURNS inet
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN regexp_replace(replace(p_calendar::text, '-', ''), '(....)(?=.)', '\1:', 'g')::inet;

-- The steps that exist. The same status is a change of something else.
CREATE FUNCTION @extschema@.va_appointment_step(p_from text, p_to text) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN p_from = p_to OR CASE p_from
		WHEN 'scheduled' THEN p_to IN ('confirmed', 'completed', 'cancelled', 'no_show')
		WHEN 'confirmed' THEN p_to IN ('scheduled', 'completed', 'cancelled', 'no_show') -- scheduled: moved to another time
		ELSE false END;

CREATE FUNCTION @extschema@.va_appointments_keep() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	NEW.status := coalesce(NEW.status, 'scheduled');
	NEW.duration_minutes := coalesce(NEW.duration_minutes, 30);
	NEW.calendar_id := coalesce(NEW.assigned_agent_id, CASE WHEN NEW.calendar_id = NEW.tenant_id THEN NEW.calendar_id END);
	NEW.calendar_key := @extschema@.va_calendar_key(NEW.calendar_id);
	NEW.calendar_span := CASE WHEN NEW.calendar_id IS NOT NULL AND NEW.status IN ('scheduled', 'confirmed') AND NEW.duration_minutes > 0
		THEN tstzrange(NEW.scheduled_at, NEW.scheduled_at + make_interval(mins => NEW.duration_minutes)) END;
	IF NEW.calendar_span IS NOT NULL AND (TG_OP = 'INSERT' OR (NEW.calendar_key, NEW.calendar_span) IS DISTINCT FROM (OLD.calendar_key, OLD.calendar_span)) THEN
		-- Two rows that exclude each other, written at once, would each wait for the other.
		PERFORM @extschema@.va_calendar_lock(NEW.tenant_id);
	END IF;
	IF NEW.assigned_agent_id IS NOT NULL AND (NEW.agent_name IS NULL OR NEW.agent_email IS NULL) THEN
		SELECT coalesce(NEW.agent_name, h.name), coalesce(NEW.agent_email, h.email) INTO NEW.agent_name, NEW.agent_email
		FROM @extschema@.human_agents h WHERE h.id = NEW.assigned_agent_id AND h.tenant_id = NEW.tenant_id;
	END IF;
	IF TG_OP = 'UPDATE' THEN
		IF NEW.scheduled_at <> OLD.scheduled_at THEN
			NEW.confirmation_sent := false;
			NEW.reminder_sent_24h := false;
			NEW.reminder_sent_1h := false;
		END IF;
		IF NEW.status = 'cancelled' AND OLD.status <> 'cancelled' THEN
			NEW.cancelled_at := coalesce(NEW.cancelled_at, now());
		END IF;
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER appointments_keep
	BEFORE INSERT OR UPDATE OF scheduled_at, duration_minutes, status, assigned_agent_id, calendar_id, calendar_key, calendar_span,
		tenant_id
	ON @extschema@.appointments FOR EACH ROW EXECUTE FUNCTION @extschema@.va_appointments_keep();

-- Bookings of one tenant take turns until the transaction ends. One lock, so no two can hold one each and want the
-- other's.
CREATE FUNCTION @extschema@.va_calendar_lock(p_tenant uuid) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended(p_tenant::text, 5604562));
END
$$;

-- ---- free time ----------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_spans(p_week integer[], p_dates integer[], p_zone text, p_from timestamptz, p_to timestamptz)
	RETURNS tstzmultirange
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_at timestamptz[] := @extschema@.va_hours_spans(p_week, p_dates, p_zone, p_from, p_to);
BEGIN
	RETURN (SELECT coalesce(range_agg(tstzrange(v_at[i], v_at[i + 1])), '{}')
			FROM generate_series(1, coalesce(array_length(v_at, 1), 0), 2) i);
END
$$;

-- When a calendar is open for appointments: the tenant's hours and the person's, both where both have said
-- something; Monday to Friday, nine to five, where nobody has. The tenant's holidays are everybody's.
CREATE FUNCTION @extschema@.va_calendar_hours(p_tenant uuid, p_agent uuid, p_from timestamptz, p_to timestamptz) RETURNS tstzmultirange
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_tenant @extschema@.tenants;
	v_hours jsonb := (SELECT h.availability_hours FROM @extschema@.human_agents h WHERE h.id = p_agent);
	v_has_week boolean := coalesce(v_hours - ARRAY['timezone', 'dates'], '{}') <> '{}';
	v_open tstzmultirange;
BEGIN
	SELECT * INTO v_tenant FROM @extschema@.tenants t WHERE t.id = p_tenant;
	v_open := @extschema@.va_spans(coalesce(@extschema@.va_tenant_week(p_tenant), CASE WHEN v_has_week THEN @extschema@.va_week_always()
			ELSE '{1,32400,61200,2,32400,61200,3,32400,61200,4,32400,61200,5,32400,61200}' END),
		@extschema@.va_tenant_dates(p_tenant, p_from), coalesce(v_tenant.timezone, 'UTC'), p_from, p_to);
	IF v_has_week OR v_hours ? 'dates' THEN
		v_open := v_open * @extschema@.va_spans(CASE WHEN v_has_week THEN @extschema@.va_week_triples(v_hours) ELSE @extschema@.va_week_always() END,
			@extschema@.va_date_triples(v_hours -> 'dates'), coalesce(v_hours ->> 'timezone', v_tenant.timezone, 'UTC'), p_from, p_to);
	END IF;
	RETURN v_open;
END
$$;

-- What live appointments take of a calendar, each with the buffer before and after it.
CREATE FUNCTION @extschema@.va_calendar_busy(p_calendar uuid, p_from timestamptz, p_to timestamptz, p_buffer interval,
											 p_except uuid DEFAULT NULL) RETURNS tstzmultirange
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_key inet := @extschema@.va_calendar_key(p_calendar);
BEGIN
	RETURN (SELECT coalesce(range_agg(tstzrange(a.scheduled_at - p_buffer,
											 a.scheduled_at + make_interval(mins => a.duration_minutes) + p_buffer)), '{}')
		FROM @extschema@.appointments a
		WHERE a.calendar_key = v_key AND a.calendar_span && tstzrange(p_from - p_buffer, p_to + p_buffer)
		  AND a.id IS DISTINCT FROM p_except);
END
$$;

-- The calendars that may be booked, the best first: the lead's own person, then by priority, then whoever has
-- least that day. A tenant without people has its own.
CREATE FUNCTION @extschema@.va_calendars(p_tenant uuid, p_agent uuid, p_lead uuid, p_day timestamptz)
	RETURNS TABLE (calendar_id uuid, agent_id uuid)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF p_agent IS NOT NULL AND NOT EXISTS (SELECT FROM @extschema@.human_agents h WHERE h.id = p_agent AND h.tenant_id = p_tenant) THEN
		RAISE EXCEPTION 'unknown person %', p_agent USING ERRCODE = 'VA033', HINT = 'The table human_agents lists them.';
	END IF;
	RETURN QUERY
	SELECT h.id, h.id FROM @extschema@.human_agents h
	WHERE h.tenant_id = p_tenant AND (h.id = p_agent OR p_agent IS NULL AND h.is_available)
	ORDER BY (h.id = (SELECT l.assigned_to FROM @extschema@.leads l WHERE l.id = p_lead)) IS TRUE DESC, coalesce(h.priority, 0) DESC,
		(SELECT count(*) FROM @extschema@.appointments a
		 WHERE a.calendar_key = @extschema@.va_calendar_key(h.id)
		   AND a.calendar_span && tstzrange(p_day - interval '12 hours', p_day + interval '12 hours')), h.id;
	IF NOT FOUND AND NOT EXISTS (SELECT FROM @extschema@.human_agents h WHERE h.tenant_id = p_tenant) THEN
		RETURN QUERY SELECT p_tenant, NULL::uuid;
	END IF;
END
$$;

-- The inner function; p_limit bounds how many are found.
CREATE FUNCTION @extschema@.va_find_slots(p_tenant uuid, p_from timestamptz, p_to timestamptz, p_minutes integer, p_agent uuid,
										  p_limit integer DEFAULT NULL)
	RETURNS TABLE (starts_at timestamptz, ends_at timestamptz, agents uuid[])
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_tenant @extschema@.tenants;
	v_zone text;
	v_step interval;
	v_buffer interval;
	v_from timestamptz;
	v_grid timestamptz;
BEGIN
	SELECT * INTO v_tenant FROM @extschema@.tenants t WHERE t.id = p_tenant;
	IF p_minutes IS NULL OR p_minutes NOT BETWEEN 1 AND 1440 OR (isfinite(p_from) AND isfinite(p_to)) IS NOT TRUE
	   OR p_to - p_from > interval '93 days' THEN
		RAISE EXCEPTION 'free times are looked for within at most 93 days, for 1 to 1440 minutes' USING ERRCODE = 'VA005';
	END IF;
	v_zone := coalesce(v_tenant.timezone, 'UTC');
	v_step := make_interval(mins => greatest(@extschema@.va_setting_integer(v_tenant.settings, 'appointment_slot_minutes', 30), 5));
	v_buffer := make_interval(mins => @extschema@.va_setting_integer(v_tenant.settings, 'appointment_buffer_minutes', 0));
	v_from := greatest(p_from, now() + make_interval(mins => @extschema@.va_setting_integer(v_tenant.settings, 'appointment_notice_minutes', 0)));
	IF v_from >= p_to THEN
		RETURN;
	END IF;
	-- Openings are stepped through from their own beginning, in elapsed time: an hour that comes twice is offered
	-- twice, one that does not exist never. So they must not be cut at v_from.
	v_grid := date_trunc('day', v_from AT TIME ZONE v_zone) AT TIME ZONE v_zone - interval '24 hours';
	RETURN QUERY
	WITH calendars AS MATERIALIZED (
		SELECT c.agent_id, row_number() OVER () AS place,
			   @extschema@.va_calendar_hours(p_tenant, c.agent_id, v_grid, p_to + interval '48 hours') AS hours,
			   @extschema@.va_calendar_busy(c.calendar_id, v_from, p_to, v_buffer) AS busy
		FROM @extschema@.va_calendars(p_tenant, p_agent, NULL, v_from) c)
	SELECT s.at, s.at + make_interval(mins => p_minutes),
		   array_remove(array_agg(c.agent_id ORDER BY c.place), NULL)
	FROM calendars c, unnest(c.hours) AS h,
		 generate_series(lower(h), upper(h) - make_interval(mins => p_minutes), v_step) AS s (at)
	WHERE s.at >= v_from AND s.at + make_interval(mins => p_minutes) <= p_to
	  AND NOT c.busy && tstzrange(s.at, s.at + make_interval(mins => p_minutes))
	GROUP BY s.at ORDER BY s.at LIMIT p_limit;
END
$$;

-- Free times of a tenant within a range: when they begin and end, and who is free then, the best first (an empty
-- array where the tenant has no people).
CREATE FUNCTION @extschema@.va_available_slots(tenant uuid, "from" timestamptz, "to" timestamptz, duration_minutes integer DEFAULT 30,
											   agent uuid DEFAULT NULL)
	RETURNS TABLE (starts_at timestamptz, ends_at timestamptz, agents uuid[])
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT @extschema@.va_acts_for(tenant) OR NOT EXISTS (SELECT FROM @extschema@.tenants t WHERE t.id = tenant) THEN
		RAISE EXCEPTION 'unknown tenant %', coalesce(tenant::text, 'NULL') USING ERRCODE = 'VA001';
	END IF;
	RETURN QUERY SELECT s.starts_at, s.ends_at, s.agents
		FROM @extschema@.va_find_slots(tenant, "from", "to", duration_minutes, agent) s;
END
$$;

-- ---- booking ------------------------------------------------------------------------------------

-- Is the calendar open and free for this time? p_force: its hours and buffers do not matter, its appointments do.
CREATE FUNCTION @extschema@.va_calendar_free(p_tenant uuid, p_calendar uuid, p_agent uuid, p_at timestamptz, p_minutes integer,
											 p_force boolean, p_except uuid DEFAULT NULL) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_end timestamptz := p_at + make_interval(mins => p_minutes);
	v_buffer interval := make_interval(mins => CASE WHEN p_force THEN 0 ELSE @extschema@.va_setting_integer(
		(SELECT t.settings FROM @extschema@.tenants t WHERE t.id = p_tenant), 'appointment_buffer_minutes', 0) END);
BEGIN
	RETURN (p_force OR tstzrange(p_at, v_end) <@ @extschema@.va_calendar_hours(p_tenant, p_agent, p_at, v_end))
		AND NOT @extschema@.va_calendar_busy(p_calendar, p_at, v_end, v_buffer, p_except) && tstzrange(p_at, v_end);
END
$$;

CREATE FUNCTION @extschema@.va_refuse_time(p_tenant uuid, p_at timestamptz, p_minutes integer, p_agent uuid) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_zone text := coalesce((SELECT t.timezone FROM @extschema@.tenants t WHERE t.id = p_tenant), 'UTC');
	v_next timestamptz := (SELECT s.starts_at FROM @extschema@.va_find_slots(p_tenant, p_at, p_at + interval '14 days', p_minutes, p_agent, 1) s);
BEGIN
	RAISE EXCEPTION 'that time is not free; %', coalesce('the next free time is '
			|| to_char(v_next AT TIME ZONE v_zone, 'FMDay, DD FMMonth YYYY, HH24:MI'), 'nothing is free in the two weeks after it')
		USING ERRCODE = 'VA030', HINT = 'va_available_slots lists free times.';
END
$$;

CREATE FUNCTION @extschema@.va_check_time(p_at timestamptz, p_minutes integer, p_force boolean) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF p_at IS NULL OR NOT isfinite(p_at) OR p_minutes IS NULL OR p_minutes NOT BETWEEN 1 AND 1440 THEN
		RAISE EXCEPTION 'an appointment needs a time, and lasts 1 to 1440 minutes' USING ERRCODE = 'VA005';
	ELSIF p_at <= now() AND NOT p_force THEN
		RAISE EXCEPTION 'an appointment lies in the future' USING ERRCODE = 'VA005';
	END IF;
END
$$;

-- Books a time with a person, or with the best one that is free then, or, where the tenant has no people, with the
-- tenant. force: also outside the hours, within a buffer or in the past, but never over another
-- appointment.
CREATE FUNCTION @extschema@.va_appointment_book(
	lead uuid, scheduled_at timestamptz, duration_minutes integer DEFAULT 30, agent uuid DEFAULT NULL, title text DEFAULT NULL,
	meeting_type text DEFAULT 'phone', location text DEFAULT NULL, notes text DEFAULT NULL, call uuid DEFAULT NULL,
	description text DEFAULT NULL, meeting_link text DEFAULT NULL, force boolean DEFAULT false) RETURNS uuid
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_lead @extschema@.leads := @extschema@.va_lead_row(lead);
	v_at timestamptz := va_appointment_book.scheduled_at;
	v_minutes integer := coalesce(va_appointment_book.duration_minutes, 30);
	v_force boolean := coalesce(force, false);
	v_call @extschema@.calls;
	v_calendar record;
	v_id uuid;
BEGIN
	PERFORM @extschema@.va_check_time(v_at, v_minutes, v_force);
	IF call IS NOT NULL THEN
		v_call := @extschema@.va_call_row(call);
		IF v_call.tenant_id IS DISTINCT FROM v_lead.tenant_id THEN
			RAISE EXCEPTION 'unknown call %', call USING ERRCODE = 'VA004';
		END IF;
	END IF;
	PERFORM @extschema@.va_calendar_lock(v_lead.tenant_id);
	SELECT c.calendar_id, c.agent_id INTO v_calendar
	FROM @extschema@.va_calendars(v_lead.tenant_id, agent, lead, v_at) c
	WHERE @extschema@.va_calendar_free(v_lead.tenant_id, c.calendar_id, c.agent_id, v_at, v_minutes, v_force) LIMIT 1;
	IF NOT FOUND THEN
		PERFORM @extschema@.va_refuse_time(v_lead.tenant_id, v_at, v_minutes, agent);
	END IF;
	INSERT INTO @extschema@.appointments (tenant_id, lead_id, call_id, title, description, scheduled_at, duration_minutes, timezone,
		location, meeting_type, meeting_link, assigned_agent_id, calendar_id, notes)
	VALUES (v_lead.tenant_id, v_lead.id, call, left(coalesce(@extschema@.va_filled(va_appointment_book.title),
			'Appointment with ' || coalesce(@extschema@.va_filled(concat_ws(' ', v_lead.first_name, v_lead.last_name)), v_lead.phone,
											v_lead.email, 'a lead')), 255),
		va_appointment_book.description, v_at, v_minutes, left(@extschema@.va_lead_zone(v_lead), 50),
		left(va_appointment_book.location, 255), coalesce(va_appointment_book.meeting_type, 'phone'), va_appointment_book.meeting_link,
		v_calendar.agent_id, v_calendar.calendar_id, va_appointment_book.notes)
	RETURNING id INTO v_id;
	UPDATE @extschema@.calls c SET outcome = 'appointment_set' WHERE c.id = call AND c.outcome IS DISTINCT FROM 'appointment_set';
	RETURN v_id;
END
$$;

-- The appointment, its tenant's calendars and its row locked.
CREATE FUNCTION @extschema@.va_appointment_row(p_appointment uuid) RETURNS @extschema@.appointments
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_appointment @extschema@.appointments;
	v_tenant uuid := (SELECT a.tenant_id FROM @extschema@.appointments a WHERE a.id = p_appointment);
BEGIN
	IF v_tenant IS NOT NULL AND @extschema@.va_acts_for(v_tenant) THEN
		PERFORM @extschema@.va_calendar_lock(v_tenant);
		SELECT * INTO v_appointment FROM @extschema@.appointments a WHERE a.id = p_appointment FOR NO KEY UPDATE;
	END IF;
	IF v_appointment.id IS NULL THEN
		RAISE EXCEPTION 'unknown appointment %', coalesce(p_appointment::text, 'NULL') USING ERRCODE = 'VA032';
	END IF;
	RETURN v_appointment;
END
$$;

CREATE FUNCTION @extschema@.va_refuse_step(p_from text, p_to text) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RAISE EXCEPTION 'an appointment that is % cannot become %', p_from, p_to
		USING ERRCODE = 'VA031', HINT = 'Completed, cancelled and missed appointments stay so: book another one.';
END
$$;

-- Moves a live appointment, to the same person unless another is named. It has to be confirmed anew.
CREATE FUNCTION @extschema@.va_appointment_reschedule(appointment uuid, scheduled_at timestamptz, duration_minutes integer DEFAULT NULL,
													  agent uuid DEFAULT NULL, force boolean DEFAULT false) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_old @extschema@.appointments := @extschema@.va_appointment_row(appointment);
	v_at timestamptz := va_appointment_reschedule.scheduled_at;
	v_minutes integer := coalesce(va_appointment_reschedule.duration_minutes, v_old.duration_minutes);
	v_agent uuid := coalesce(agent, v_old.assigned_agent_id);
	v_calendar uuid;
BEGIN
	IF v_old.status NOT IN ('scheduled', 'confirmed') THEN
		PERFORM @extschema@.va_refuse_step(v_old.status, 'rescheduled');
	END IF;
	PERFORM @extschema@.va_check_time(v_at, v_minutes, coalesce(force, false));
	IF v_agent IS NOT NULL THEN
		v_calendar := (SELECT c.calendar_id FROM @extschema@.va_calendars(v_old.tenant_id, v_agent, NULL, v_at) c);
	ELSE
		v_calendar := v_old.calendar_id;
	END IF;
	IF v_calendar IS NOT NULL AND NOT @extschema@.va_calendar_free(v_old.tenant_id, v_calendar, v_agent, v_at, v_minutes,
																   coalesce(force, false), v_old.id) THEN
		PERFORM @extschema@.va_refuse_time(v_old.tenant_id, v_at, v_minutes, v_agent);
	END IF;
	UPDATE @extschema@.appointments a SET scheduled_at = v_at, duration_minutes = v_minutes, status = 'scheduled',
		assigned_agent_id = v_agent, calendar_id = v_calendar, rescheduled_count = a.rescheduled_count + 1,
		agent_name = CASE WHEN v_agent IS DISTINCT FROM a.assigned_agent_id THEN NULL ELSE a.agent_name END,
		agent_email = CASE WHEN v_agent IS DISTINCT FROM a.assigned_agent_id THEN NULL ELSE a.agent_email END
	WHERE a.id = v_old.id;
END
$$;

-- One step of the state machine. The same step again changes nothing and is no error: true when it changed
-- something.
CREATE FUNCTION @extschema@.va_appointment_set(p_appointment uuid, p_status text, p_text text DEFAULT NULL) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_old @extschema@.appointments := @extschema@.va_appointment_row(p_appointment);
BEGIN
	IF v_old.status = p_status THEN
		RETURN false;
	ELSIF p_status = 'no_show' AND v_old.scheduled_at > now() THEN
		RAISE EXCEPTION 'nobody can have missed an appointment that is still to come' USING ERRCODE = 'VA031';
	END IF;
	UPDATE @extschema@.appointments a SET status = p_status,
		outcome = CASE WHEN p_status IN ('completed', 'no_show') THEN coalesce(p_text, a.outcome) ELSE a.outcome END,
		cancel_reason = CASE WHEN p_status = 'cancelled' THEN coalesce(p_text, a.cancel_reason) ELSE a.cancel_reason END
	WHERE a.id = p_appointment;
	RETURN true;
END
$$;

CREATE FUNCTION @extschema@.va_appointment_confirm(appointment uuid) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN @extschema@.va_appointment_set(appointment, 'confirmed');
END
$$;
CREATE FUNCTION @extschema@.va_appointment_cancel(appointment uuid, reason text DEFAULT NULL) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN @extschema@.va_appointment_set(appointment, 'cancelled', reason);
END
$$;
CREATE FUNCTION @extschema@.va_appointment_complete(appointment uuid, outcome text DEFAULT NULL) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN @extschema@.va_appointment_set(appointment, 'completed', outcome);
END
$$;
CREATE FUNCTION @extschema@.va_appointment_no_show(appointment uuid, outcome text DEFAULT NULL) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN @extschema@.va_appointment_set(appointment, 'no_show', outcome);
END
$$;

-- ---- messages -----------------------------------------------------------------------------------

-- What a message says; a tenant's own template of that name takes its place when it is sent.
CREATE FUNCTION @extschema@.va_appointment_text(p_template text, p_appointment @extschema@.appointments, p_company text) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_when text := to_char(p_appointment.scheduled_at AT TIME ZONE coalesce(p_appointment.timezone, 'UTC'), 'FMDay, DD FMMonth YYYY, HH24:MI')
		|| format(' (%s)', coalesce(p_appointment.timezone, 'UTC'));
	v_where text := coalesce(' ' || @extschema@.va_filled(coalesce(p_appointment.meeting_link, p_appointment.location)) || '.', '');
BEGIN
	RETURN CASE p_template
		WHEN 'appointment_confirmation' THEN format('%s: your appointment is on %s.%s', p_company, v_when, v_where)
		WHEN 'appointment_feedback' THEN format('%s: thank you for your time. How was our appointment?', p_company)
		WHEN 'appointment_cancellation' THEN format('%s: your appointment on %s is cancelled.', p_company, v_when)
		WHEN 'appointment_invitation' THEN format('%s: %s, on %s.%s', p_company, p_appointment.title, v_when, v_where)
		WHEN 'appointment_withdrawal' THEN format('%s: %s, on %s, is cancelled or no longer yours.', p_company, p_appointment.title, v_when)
		ELSE format('%s: we remind you of your appointment on %s.%s', p_company, v_when, v_where) END;
END
$$;

-- By which channel, where and when a message may reach a lead: the first of WhatsApp, SMS, e-mail that the tenant
-- has and the rules of contact allow, if not at p_at then as soon as they do. No channel: none is allowed.
CREATE FUNCTION @extschema@.va_message_route(p_lead @extschema@.leads, p_at timestamptz, OUT channel text, OUT address text,
											 OUT due timestamptz) RETURNS record
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_settings jsonb := (SELECT t.settings FROM @extschema@.tenants t WHERE t.id = p_lead.tenant_id);
	v_types text[] := ARRAY(SELECT DISTINCT n.phone_type::text FROM @extschema@.phone_numbers n
							WHERE n.tenant_id = p_lead.tenant_id AND n.is_active);
	v_verdict record;
BEGIN
	FOREACH channel IN ARRAY ARRAY['whatsapp', 'sms', 'email'] LOOP
		CONTINUE WHEN channel = 'whatsapp' AND NOT coalesce((@extschema@.va_setting(v_settings, 'whatsapp_notifications') #>> '{}')::boolean,
															'whatsapp' = ANY (v_types));
		CONTINUE WHEN channel = 'sms' AND NOT coalesce((@extschema@.va_setting(v_settings, 'sms_notifications') #>> '{}')::boolean,
													   v_types && ARRAY['sms', 'voice']);
		SELECT * INTO v_verdict FROM @extschema@.va_contact_verdict(p_lead, channel, p_at);
		CONTINUE WHEN v_verdict.verdict = 'never' OR v_verdict.verdict = 'not_now' AND v_verdict.until IS NULL;
		address := CASE channel WHEN 'email' THEN lower(p_lead.email) ELSE p_lead.phone END;
		due := CASE v_verdict.verdict WHEN 'yes' THEN p_at ELSE v_verdict.until END;
		RETURN;
	END LOOP;
	channel := NULL;
END
$$;

-- Plans one message of an appointment, or moves the one that is planned. p_last: later than that it is of no use.
CREATE FUNCTION @extschema@.va_appointment_message(p_appointment @extschema@.appointments, p_template text, p_type text,
	p_channel text, p_address text, p_due timestamptz) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_company text := (SELECT t.name FROM @extschema@.tenants t WHERE t.id = p_appointment.tenant_id);
	v_body text := @extschema@.va_appointment_text(p_template, p_appointment, v_company);
BEGIN
	INSERT INTO @extschema@.notifications AS n (tenant_id, lead_id, appointment_id, channel, direction, to_address, subject, body,
		template_id, template_data, scheduled_for, notification_type)
	VALUES (p_appointment.tenant_id, p_appointment.lead_id, p_appointment.id, p_channel, 'outbound', p_address,
		CASE p_channel WHEN 'email' THEN left(p_appointment.title, 255) END, v_body, p_template,
		jsonb_build_object('appointment_id', p_appointment.id, 'title', p_appointment.title, 'scheduled_at', p_appointment.scheduled_at,
			'timezone', p_appointment.timezone, 'duration_minutes', p_appointment.duration_minutes, 'agent_name', p_appointment.agent_name,
			'location', p_appointment.location, 'meeting_link', p_appointment.meeting_link, 'company', v_company,
			'moved', p_appointment.rescheduled_count > 0),
		p_due, p_type)
	ON CONFLICT (appointment_id, template_id, channel) WHERE status = 'pending' DO UPDATE SET
		scheduled_for = excluded.scheduled_for, to_address = excluded.to_address, subject = excluded.subject, body = excluded.body,
		template_data = excluded.template_data;
END
$$;

-- The messages of a live appointment: confirmation at once (by e-mail too, where there is an address), reminders 24
-- hours and one hour before. What has no place any more is withdrawn. p_confirm false: reminders alone.
CREATE FUNCTION @extschema@.va_appointment_plan(p_appointment @extschema@.appointments, p_confirm boolean DEFAULT true) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads;
	v_message record;
	v_route record;
	v_email record;
BEGIN
	SELECT * INTO v_lead FROM @extschema@.leads l WHERE l.id = p_appointment.lead_id;
	UPDATE @extschema@.notifications n SET status = 'cancelled'
	WHERE n.appointment_id = p_appointment.id AND n.status = 'pending' AND (v_lead.id IS NULL OR p_appointment.scheduled_at <= now()
		OR n.template_id = 'appointment_reminder_24h' AND p_appointment.scheduled_at - interval '24 hours' < now()
		OR n.template_id = 'appointment_reminder_1h' AND p_appointment.scheduled_at - interval '1 hour' < now());
	IF v_lead.id IS NULL OR p_appointment.scheduled_at <= now() THEN
		RETURN;
	END IF;
	FOR v_message IN
		SELECT * FROM (VALUES ('appointment_confirmation', 'confirmation', now()),
			('appointment_reminder_24h', 'reminder', p_appointment.scheduled_at - interval '24 hours'),
			('appointment_reminder_1h', 'reminder', p_appointment.scheduled_at - interval '1 hour')) AS m (template, type, due)
		WHERE m.due >= now() AND (p_confirm OR m.type = 'reminder')
	LOOP
		v_route := @extschema@.va_message_route(v_lead, v_message.due);
		UPDATE @extschema@.notifications n SET status = 'cancelled'
		WHERE n.appointment_id = p_appointment.id AND n.template_id = v_message.template AND n.status = 'pending'
		  AND (v_route.channel IS NULL OR n.channel <> v_route.channel OR v_route.due >= p_appointment.scheduled_at);
		IF v_route.channel IS NOT NULL AND v_route.due < p_appointment.scheduled_at THEN
			PERFORM @extschema@.va_appointment_message(p_appointment, v_message.template, v_message.type, v_route.channel,
													  v_route.address, v_route.due);
		END IF;
		IF v_message.template = 'appointment_confirmation' AND v_route.channel <> 'email' THEN
			SELECT * INTO v_email FROM @extschema@.va_contact_verdict(v_lead, 'email', v_message.due);
			IF v_email.verdict = 'yes' THEN
				PERFORM @extschema@.va_appointment_message(p_appointment, v_message.template, v_message.type, 'email',
														  lower(v_lead.email), v_message.due);
			END IF;
		END IF;
	END LOOP;
END
$$;

-- What an appointment's row means for the lead's stage: booked, called off, missed. A completed one changes nothing: the deal
-- is won or lost by name. A row that only moves from one lead to another is a correction, no booking.
CREATE FUNCTION @extschema@.va_appointment_stage(p_old @extschema@.appointments, p_new @extschema@.appointments) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_live boolean := p_new.status IN ('scheduled', 'confirmed');
BEGIN
	IF p_new.lead_id IS NULL OR p_old.lead_id <> p_new.lead_id THEN
		RETURN;
	ELSIF v_live THEN
		PERFORM @extschema@.va_lead_booked(p_new.lead_id, p_old.id IS NULL OR p_old.lead_id IS NULL);
	ELSIF p_new.status IN ('cancelled', 'no_show') AND p_old.status <> p_new.status THEN
		PERFORM @extschema@.va_lead_unbooked(p_new.lead_id, CASE p_new.status WHEN 'no_show' THEN 'appointment missed' ELSE
			coalesce('appointment cancelled: ' || @extschema@.va_filled(p_new.cancel_reason), 'appointment cancelled') END);
	END IF;
END
$$;

-- The state machine's guard, the messages, the lead's stage and the event of each step, whoever makes it. AFTER the CHECKs
-- have seen the row. A row that brings an older created_at is one that is restored: its messages come with it.
CREATE FUNCTION @extschema@.va_appointments_follow() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads;
	v_route record;
BEGIN
	IF TG_OP = 'INSERT' THEN
		IF NEW.created_at = now() AND NEW.status IN ('scheduled', 'confirmed') THEN
			PERFORM @extschema@.va_appointment_plan(NEW);
			PERFORM @extschema@.va_appointment_stage(NULL, NEW);
			PERFORM @extschema@.va_emit(NEW.tenant_id, 'appointment_booked', NEW.call_id, NEW.lead_id,
				jsonb_build_object('appointment_id', NEW.id, 'scheduled_at', NEW.scheduled_at, 'agent_id', NEW.assigned_agent_id));
		END IF;
		RETURN NULL;
	END IF;
	IF NOT @extschema@.va_appointment_step(OLD.status, NEW.status) THEN
		PERFORM @extschema@.va_refuse_step(OLD.status, NEW.status);
	END IF;
	IF NEW.status NOT IN ('scheduled', 'confirmed') AND NEW.status <> OLD.status THEN
		UPDATE @extschema@.notifications n SET status = 'cancelled' WHERE n.appointment_id = NEW.id AND n.status = 'pending';
		IF NEW.status = 'completed' THEN
			SELECT * INTO v_lead FROM @extschema@.leads l WHERE l.id = NEW.lead_id;
			v_route := @extschema@.va_message_route(v_lead, now());
			IF v_lead.id IS NOT NULL AND v_route.channel IS NOT NULL THEN
				PERFORM @extschema@.va_appointment_message(NEW, 'appointment_feedback', 'follow_up', v_route.channel, v_route.address, v_route.due);
			END IF;
		END IF;
		PERFORM @extschema@.va_appointment_stage(OLD, NEW);
	ELSIF NEW.status IN ('scheduled', 'confirmed') AND (NEW.scheduled_at, NEW.duration_minutes, NEW.lead_id, NEW.assigned_agent_id, NEW.location, NEW.meeting_link)
		  IS DISTINCT FROM (OLD.scheduled_at, OLD.duration_minutes, OLD.lead_id, OLD.assigned_agent_id, OLD.location, OLD.meeting_link) THEN
		PERFORM @extschema@.va_appointment_plan(NEW);
		PERFORM @extschema@.va_appointment_stage(OLD, NEW);
	END IF;
	IF NEW.status <> OLD.status OR NEW.scheduled_at <> OLD.scheduled_at THEN
		PERFORM @extschema@.va_emit(NEW.tenant_id, CASE WHEN NEW.scheduled_at <> OLD.scheduled_at THEN 'appointment_moved'
				ELSE 'appointment_' || NEW.status END, NEW.call_id, NEW.lead_id,
			jsonb_build_object('appointment_id', NEW.id, 'scheduled_at', NEW.scheduled_at, 'agent_id', NEW.assigned_agent_id));
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER appointments_follow
	AFTER INSERT OR UPDATE OF scheduled_at, duration_minutes, status, lead_id, assigned_agent_id, location, meeting_link
	ON @extschema@.appointments FOR EACH ROW EXECUTE FUNCTION @extschema@.va_appointments_follow();

-- Nothing stays or becomes pending for an appointment that is over: the last word, by whatever way a row is written.
-- The appointment is locked, so that nobody cancels it in the same moment.
CREATE FUNCTION @extschema@.va_notifications_guard() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_status text;
BEGIN
	SELECT a.status INTO v_status FROM @extschema@.appointments a WHERE a.id = NEW.appointment_id FOR SHARE;
	IF v_status NOT IN ('scheduled', 'confirmed') AND NOT (v_status = 'completed' AND NEW.template_id = 'appointment_feedback') THEN
		NEW.status := 'cancelled';
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER notifications_guard BEFORE INSERT OR UPDATE OF status, appointment_id ON @extschema@.notifications FOR EACH ROW
	WHEN (NEW.appointment_id IS NOT NULL AND NEW.status = 'pending') EXECUTE FUNCTION @extschema@.va_notifications_guard();

-- Why a message about an appointment is not to leave any more, NULL: it may. The last word before each attempt, also when
-- it is made again after one that came to nothing: whoever moved or cancelled the appointment meanwhile has caused
-- messages of their own.
CREATE FUNCTION @extschema@.va_appointment_message_stale(n @extschema@.notifications) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	a @extschema@.appointments;
BEGIN
	IF n.appointment_id IS NULL OR n.template_id NOT IN ('appointment_confirmation', 'appointment_reminder_24h', 'appointment_reminder_1h',
		'appointment_invitation') THEN
		RETURN NULL;
	END IF;
	SELECT * INTO a FROM @extschema@.appointments x WHERE x.id = n.appointment_id;
	RETURN CASE WHEN a.id IS NULL THEN 'the appointment is gone'
		WHEN a.status NOT IN ('scheduled', 'confirmed') THEN format('the appointment is %s', replace(a.status, '_', ' '))
		WHEN (n.template_data ->> 'scheduled_at')::timestamptz <> a.scheduled_at THEN 'the appointment has been moved'
		WHEN a.scheduled_at <= now() THEN 'the appointment''s time has come' END;
END
$$;

-- What was sent is noted at the appointment. One that somebody is changing in this moment is passed over: it is
-- being moved or ended, and waiting for it here could be waiting for each other.
CREATE FUNCTION @extschema@.va_notifications_note() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.appointments a SET
		confirmation_sent = a.confirmation_sent OR NEW.template_id = 'appointment_confirmation',
		reminder_sent_24h = a.reminder_sent_24h OR NEW.template_id = 'appointment_reminder_24h',
		reminder_sent_1h = a.reminder_sent_1h OR NEW.template_id = 'appointment_reminder_1h'
	WHERE a.id = (SELECT x.id FROM @extschema@.appointments x WHERE x.id = NEW.appointment_id
				  AND (NEW.template_data ->> 'scheduled_at')::timestamptz IS NOT DISTINCT FROM x.scheduled_at
				  FOR NO KEY UPDATE SKIP LOCKED);
	RETURN NULL;
END
$$;
CREATE TRIGGER notifications_note AFTER UPDATE OF status ON @extschema@.notifications FOR EACH ROW
	WHEN (NEW.appointment_id IS NOT NULL AND NEW.status = 'sent' AND OLD.status <> 'sent')
	EXECUTE FUNCTION @extschema@.va_notifications_note();

-- ---- tools --------------------------------------------------------------------------------------

-- A time as the model writes it, on the tenant's clock unless it names an offset. NULL when it is none.
CREATE FUNCTION @extschema@.va_spoken_time(p_text text, p_zone text) RETURNS timestamptz
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF p_text ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(\.[0-9]+)?$' THEN
		RETURN p_text::timestamp AT TIME ZONE p_zone;
	ELSIF p_text ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(\.[0-9]+)?(Z|[+-][0-9]{2}:?[0-9]{2})$' THEN
		RETURN p_text::timestamptz;
	END IF;
	RETURN NULL;
EXCEPTION WHEN data_exception THEN
	RETURN NULL;
END
$$;

-- How long an appointment takes that the model asks for: what it says, else the tenant's setting appointment_minutes.
CREATE FUNCTION @extschema@.va_tool_minutes(p_tenant uuid, p_arguments jsonb) RETURNS integer
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN greatest(least(coalesce(@extschema@.va_number(p_arguments, 'duration_minutes'), @extschema@.va_setting_integer(
		(SELECT t.settings FROM @extschema@.tenants t WHERE t.id = p_tenant), 'appointment_minutes', 30)), 1440), 5);
END
$$;

-- check_availability: free times of a day and the days after it, in words of the tenant's clock.
CREATE FUNCTION @extschema@.va_tool_check_availability(call_id uuid, arguments jsonb) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_tenant uuid := (SELECT c.tenant_id FROM @extschema@.calls c WHERE c.id = va_tool_check_availability.call_id);
	v_zone text := coalesce((SELECT t.timezone FROM @extschema@.tenants t WHERE t.id = v_tenant), 'UTC');
	v_from timestamptz := coalesce(@extschema@.va_spoken_time(coalesce(arguments ->> 'date', '') || ' 00:00', v_zone), now());
	v_days integer := greatest(least(coalesce(@extschema@.va_number(arguments, 'days'), 7), 30), 1);
	v_minutes integer := @extschema@.va_tool_minutes(v_tenant, arguments);
	v_part text := arguments ->> 'part_of_day';
	v_slots jsonb;
BEGIN
	v_from := greatest(v_from, now());
	SELECT jsonb_agg(jsonb_build_object('start', to_char(s.at, 'YYYY-MM-DD HH24:MI'), 'in_words', to_char(s.at, 'FMDay, DD FMMonth, HH24:MI')) ORDER BY s.at)
	INTO v_slots
	FROM (SELECT f.starts_at AT TIME ZONE v_zone AS at
		  FROM @extschema@.va_find_slots(v_tenant, v_from, v_from + make_interval(days => v_days), v_minutes, NULL) f
		  WHERE CASE v_part WHEN 'morning' THEN extract(hour FROM f.starts_at AT TIME ZONE v_zone) < 12
				WHEN 'afternoon' THEN extract(hour FROM f.starts_at AT TIME ZONE v_zone) BETWEEN 12 AND 16
				WHEN 'evening' THEN extract(hour FROM f.starts_at AT TIME ZONE v_zone) >= 17 ELSE true END
		  ORDER BY f.starts_at LIMIT 12) s;
	RETURN jsonb_build_object('result', jsonb_build_object('timezone', v_zone, 'free', coalesce(v_slots, '[]')));
END
$$;

-- book_appointment: for the caller, who becomes a lead by it.
CREATE FUNCTION @extschema@.va_tool_book_appointment(call_id uuid, arguments jsonb) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls := @extschema@.va_call_row(va_tool_book_appointment.call_id);
	v_zone text := coalesce((SELECT t.timezone FROM @extschema@.tenants t WHERE t.id = v_call.tenant_id), 'UTC');
	v_at timestamptz := @extschema@.va_spoken_time(arguments ->> 'start', v_zone);
	v_person jsonb := (SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(arguments)
					   WHERE key IN ('name', 'first_name', 'last_name', 'phone', 'email'));
	v_id uuid;
	v_appointment @extschema@.appointments;
BEGIN
	IF v_at IS NULL THEN
		RAISE EXCEPTION 'the start must be written like 2027-01-31 14:30' USING ERRCODE = 'VA005';
	END IF;
	PERFORM @extschema@.va_calendar_lock(v_call.tenant_id); -- before the lead, as everybody does
	IF v_call.lead_id IS NULL OR v_person <> '{}' THEN
		PERFORM @extschema@.va_tool_capture_lead(v_call.id, v_person);
		v_call := @extschema@.va_call_row(v_call.id);
	END IF;
	v_id := @extschema@.va_appointment_book(v_call.lead_id, v_at,
		@extschema@.va_tool_minutes(v_call.tenant_id, arguments),
		title => arguments ->> 'title', notes => arguments ->> 'notes', call => v_call.id,
		meeting_type => CASE WHEN arguments ->> 'meeting_type' IN ('in_person', 'phone', 'video') THEN arguments ->> 'meeting_type' END,
		location => arguments ->> 'location');
	SELECT * INTO v_appointment FROM @extschema@.appointments a WHERE a.id = v_id;
	RETURN jsonb_build_object('result', jsonb_build_object('booked', true, 'appointment_id', v_id, 'with', v_appointment.agent_name,
		'when', to_char(v_appointment.scheduled_at AT TIME ZONE v_zone, 'FMDay, DD FMMonth YYYY, HH24:MI'), 'timezone', v_zone));
END
$$;

INSERT INTO @extschema@.tools (name, description, parameters, function, is_builtin) VALUES
('check_availability',
 'Tells free times for an appointment. Use it before you offer a time.',
 '{"type": "object", "properties": {
	"date": {"type": "string", "description": "first day, as 2027-01-31; today if left out"},
	"days": {"type": "integer", "description": "how many days to look at, 7 if left out"},
	"part_of_day": {"type": "string", "enum": ["morning", "afternoon", "evening"]},
	"duration_minutes": {"type": "integer", "description": "the usual time if left out"}}}',
 '@extschema@.va_tool_check_availability', true),
('book_appointment',
 'Books an appointment for the caller, at a time that check_availability has told and the caller has agreed to.',
 '{"type": "object", "properties": {
	"start": {"type": "string", "description": "as check_availability wrote it: 2027-01-31 14:30"},
	"duration_minutes": {"type": "integer"},
	"title": {"type": "string", "description": "what it is about"},
	"name": {"type": "string", "description": "the caller''s name, if not saved yet"},
	"email": {"type": "string"},
	"phone": {"type": "string", "description": "only if it differs from the number they call from"},
	"meeting_type": {"type": "string", "enum": ["in_person", "phone", "video"]},
	"location": {"type": "string"},
	"notes": {"type": "string"}}, "required": ["start"]}',
 '@extschema@.va_tool_book_appointment', true);

-- ---- rights -------------------------------------------------------------------------------------

GRANT EXECUTE ON FUNCTION @extschema@.va_available_slots(uuid, timestamptz, timestamptz, integer, uuid),
	@extschema@.va_appointment_book(uuid, timestamptz, integer, uuid, text, text, text, text, uuid, text, text, boolean),
	@extschema@.va_appointment_reschedule(uuid, timestamptz, integer, uuid, boolean), @extschema@.va_appointment_confirm(uuid),
	@extschema@.va_appointment_cancel(uuid, text), @extschema@.va_appointment_complete(uuid, text),
	@extschema@.va_appointment_no_show(uuid, text) TO voiceagent_admin, voiceagent_agent;
