-- People: the tenant's own staff, who take over calls and keep appointments. Their hours, who is chosen, and
-- counters that are true because they are counted from the reservations and never written by hand.

-- May this session act for the tenant? The administrator and the programs for each (these can call only what
-- they were granted), a tenant's application for its own. As va_assert_tenant it looks at the role that the session
-- has taken, so that it can be asked inside SECURITY DEFINER functions.
CREATE FUNCTION @extschema@.va_acts_for(p_tenant uuid) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_role text := coalesce(nullif(current_setting('role'), 'none'), session_user);
BEGIN
	RETURN pg_has_role(v_role, 'voiceagent_admin', 'USAGE') OR pg_has_role(v_role, 'voiceagent_gateway', 'USAGE')
		OR pg_has_role(v_role, 'voiceagent_dispatcher', 'USAGE')
		OR coalesce(p_tenant = @extschema@.va_current_tenant(), false);
END
$$;

-- The call, its row locked; one of another tenant is as unknown as one that does not exist.
CREATE FUNCTION @extschema@.va_call_row(p_call uuid) RETURNS @extschema@.calls
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls;
BEGIN
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = p_call FOR NO KEY UPDATE;
	IF NOT FOUND OR NOT @extschema@.va_acts_for(v_call.tenant_id) THEN
		RAISE EXCEPTION 'unknown call %', coalesce(p_call::text, 'NULL') USING ERRCODE = 'VA004';
	END IF;
	RETURN v_call;
END
$$;

-- ---- hours in jsonb -----------------------------------------------------------------------------
--
-- {"monday": [["09:00", "12:00"], ["13:00", "17:00"]], "friday": [["22:00", "02:00"]],
--  "dates": {"2027-12-24": []}, "timezone": "Europe/Berlin"}
-- A weekday that is not named is off. A closing time at or before the opening time is on the next date.

CREATE FUNCTION @extschema@.va_check_hours(p_what text, p_hours jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_key text;
	v_value jsonb;
BEGIN
	IF jsonb_typeof(p_hours) IS DISTINCT FROM 'object' THEN
		RAISE EXCEPTION '% must be an object of weekdays', p_what USING ERRCODE = 'VA009';
	END IF;
	FOR v_key, v_value IN SELECT key, value FROM jsonb_each(p_hours) LOOP
		CASE
		WHEN v_key IN ('sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday') THEN
			PERFORM @extschema@.va_check_openings(format('%s, %s', p_what, v_key), v_value);
		WHEN v_key = 'dates' THEN
			PERFORM @extschema@.va_check_dates(format('%s, dates', p_what), v_value);
		WHEN v_key = 'timezone' THEN
			IF jsonb_typeof(v_value) <> 'string' OR NOT @extschema@.va_zone_known(v_value #>> '{}') THEN
				RAISE EXCEPTION '% names an unknown time zone: %', p_what, v_value
					USING ERRCODE = 'VA009', HINT = 'pg_timezone_names lists them, for instance Europe/Berlin.';
			END IF;
		ELSE
			RAISE EXCEPTION '% has an unknown key "%"', p_what, v_key
				USING ERRCODE = 'VA009', HINT = 'Known are sunday to saturday, dates and timezone.';
		END CASE;
	END LOOP;
END
$$;

CREATE FUNCTION @extschema@.va_week_triples(p_hours jsonb) RETURNS integer[]
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_days text[] := ARRAY['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'];
	v_week integer[] := '{}';
BEGIN
	FOR i IN 1 .. 7 LOOP
		IF p_hours ? v_days[i] THEN
			v_week := v_week || @extschema@.va_opening_triples(i - 1, p_hours -> v_days[i]);
		END IF;
	END LOOP;
	RETURN v_week;
END
$$;

-- Does the person work at this instant? Somebody without hours always does.
CREATE FUNCTION @extschema@.va_agent_on_duty(p_hours jsonb, p_zone text, p_at timestamptz) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF coalesce(p_hours - ARRAY['timezone', 'dates'], '{}') = '{}' AND coalesce(p_hours -> 'dates', '{}') IN ('{}', '[]') THEN
		RETURN true;
	END IF;
	RETURN coalesce(@extschema@.va_hours_next(
		CASE WHEN p_hours - ARRAY['timezone', 'dates'] = '{}' THEN @extschema@.va_week_always()
			 ELSE @extschema@.va_week_triples(p_hours) END,
		@extschema@.va_date_triples(p_hours -> 'dates'), coalesce(p_hours ->> 'timezone', p_zone, 'UTC'), p_at) = p_at, false);
END
$$;

-- ---- reservations -------------------------------------------------------------------------------

ALTER TABLE @extschema@.human_agents
	ADD COLUMN total_call_seconds BIGINT NOT NULL DEFAULT 0, -- avg_call_duration is made of it, so that roundings do not add up
	ADD CONSTRAINT human_agents_limit CHECK (max_concurrent_calls >= 0),
	ADD CONSTRAINT human_agents_count CHECK (current_call_count >= 0),
	ADD CONSTRAINT human_agents_hours CHECK (jsonb_typeof(availability_hours) = 'object');

-- One row each time a person is kept free for a call. Open until released_at.
CREATE TABLE @extschema@.agent_reservations (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID NOT NULL REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	agent_id UUID NOT NULL REFERENCES @extschema@.human_agents(id) ON DELETE CASCADE,
	call_id UUID REFERENCES @extschema@.calls(id) ON DELETE CASCADE,
	reserved_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	released_at TIMESTAMPTZ,
	handled BOOLEAN,                         -- did they talk? NULL while open
	CHECK (released_at >= reserved_at),
	CHECK ((released_at IS NULL) = (handled IS NULL))
);
CREATE UNIQUE INDEX idx_agent_reservations_call ON @extschema@.agent_reservations (call_id) WHERE released_at IS NULL;
CREATE INDEX idx_agent_reservations_open ON @extschema@.agent_reservations (agent_id) WHERE released_at IS NULL;
CREATE INDEX idx_agent_reservations_agent ON @extschema@.agent_reservations (agent_id, reserved_at);
CREATE INDEX idx_agent_reservations_calls ON @extschema@.agent_reservations (call_id);
CREATE INDEX idx_agent_reservations_tenant ON @extschema@.agent_reservations (tenant_id, reserved_at DESC);

-- Hours that make sense, and counters that nobody writes: the number of calls is counted from the open
-- reservations each time, under the lock that an UPDATE has on the row; totals change only through the
-- trigger below (depth 2). Counting, and not adding, also makes a restore come out right.
CREATE FUNCTION @extschema@.va_human_agents_keep() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	NEW.availability_hours := coalesce(NEW.availability_hours, '{}');
	IF TG_OP = 'INSERT' OR NEW.availability_hours IS DISTINCT FROM OLD.availability_hours THEN
		PERFORM @extschema@.va_check_hours('availability_hours', NEW.availability_hours);
	END IF;
	IF TG_OP = 'UPDATE' AND pg_trigger_depth() < 2 AND (NEW.total_calls_handled, NEW.avg_call_duration, NEW.total_call_seconds)
	   IS DISTINCT FROM (OLD.total_calls_handled, OLD.avg_call_duration, OLD.total_call_seconds) THEN
		RAISE EXCEPTION 'the statistics of people are kept by the database'
			USING ERRCODE = 'VA005', HINT = 'They follow from agent_reservations.';
	END IF;
	NEW.current_call_count := (SELECT count(*) FROM @extschema@.agent_reservations r
							   WHERE r.agent_id = NEW.id AND r.released_at IS NULL);
	RETURN NEW;
END
$$;
CREATE TRIGGER human_agents_keep BEFORE INSERT OR UPDATE ON @extschema@.human_agents
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_human_agents_keep();

CREATE FUNCTION @extschema@.va_agent_reservations_count() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_handled integer := 0;
	v_seconds bigint := 0;
BEGIN
	IF TG_OP = 'INSERT' AND NEW.released_at IS NOT NULL THEN
		RETURN NULL; -- history that is restored: it is in the totals already
	END IF;
	IF TG_OP = 'UPDATE' THEN
		IF OLD.released_at IS NULL AND NEW.released_at IS NOT NULL AND NEW.handled THEN
			v_handled := 1;
			v_seconds := round(extract(epoch FROM NEW.released_at - NEW.reserved_at));
		END IF;
	END IF;
	UPDATE @extschema@.human_agents h SET
		total_calls_handled = coalesce(h.total_calls_handled, 0) + v_handled,
		total_call_seconds = h.total_call_seconds + v_seconds,
		avg_call_duration = CASE WHEN coalesce(h.total_calls_handled, 0) + v_handled > 0
			THEN round((h.total_call_seconds + v_seconds)::numeric / (coalesce(h.total_calls_handled, 0) + v_handled)) END
	WHERE h.id = coalesce(NEW.agent_id, OLD.agent_id);
	RETURN NULL;
END
$$;
CREATE TRIGGER agent_reservations_count AFTER INSERT OR DELETE OR UPDATE OF released_at ON @extschema@.agent_reservations
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_agent_reservations_count();

-- The end of a call frees whoever was kept for it, however the call ended.
CREATE FUNCTION @extschema@.va_calls_release_agent() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.agent_reservations r SET released_at = greatest(now(), r.reserved_at), handled = NEW.status = 'completed'
	WHERE r.call_id = NEW.id AND r.released_at IS NULL;
	RETURN NULL;
END
$$;
CREATE TRIGGER calls_release_agent AFTER UPDATE OF status ON @extschema@.calls FOR EACH ROW
	WHEN (NEW.status IN ('completed', 'busy', 'failed', 'no-answer', 'canceled') AND OLD.status IS DISTINCT FROM NEW.status)
	EXECUTE FUNCTION @extschema@.va_calls_release_agent();

-- How many of the wanted words somebody has; without regard to case, a language without its country.
CREATE FUNCTION @extschema@.va_matches(p_wanted text[], p_has text[]) RETURNS bigint
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN (SELECT count(DISTINCT lower(w)) FROM unnest(p_wanted) w WHERE lower(w) IN (SELECT lower(h) FROM unnest(p_has) h));

CREATE FUNCTION @extschema@.va_language(text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN lower(split_part(split_part($1, '-', 1), '_', 1));

-- The best free person, their row locked; NULL when there is none. Whoever is being reserved by somebody else in
-- this moment is passed over; only when nobody else is left it is worth waiting for them: they may have room for
-- another call. p_except: those whose telephones have rung in vain; the next one needs a telephone too.
CREATE FUNCTION @extschema@.va_agent_choose(p_tenant uuid, p_skills text[], p_language text, p_except uuid[] DEFAULT '{}') RETURNS uuid
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_zone text := (SELECT t.timezone FROM @extschema@.tenants t WHERE t.id = p_tenant);
	v_agent uuid;
	v_query text := $query$
		SELECT h.id FROM @extschema@.human_agents h
		WHERE h.tenant_id = $1 AND h.is_available AND h.current_call_count < coalesce(h.max_concurrent_calls, 1)
		  AND @extschema@.va_agent_on_duty(h.availability_hours, $4, now())
		  AND (cardinality($5) = 0 OR h.phone IS NOT NULL AND h.id <> ALL ($5))
		ORDER BY @extschema@.va_matches($2, h.skills) DESC,
				 ($3 IS NOT NULL AND @extschema@.va_language($3) IN (SELECT @extschema@.va_language(x) FROM unnest(h.languages) x)) DESC,
				 coalesce(h.priority, 0) DESC, h.current_call_count::float8 / greatest(h.max_concurrent_calls, 1),
				 coalesce(h.total_calls_handled, 0), h.id
		LIMIT 1 FOR NO KEY UPDATE$query$;
BEGIN
	EXECUTE v_query || ' SKIP LOCKED' INTO v_agent USING p_tenant, p_skills, p_language, v_zone, p_except;
	IF v_agent IS NULL THEN
		EXECUTE v_query INTO v_agent USING p_tenant, p_skills, p_language, v_zone, p_except;
	END IF;
	RETURN v_agent;
END
$$;

-- Chooses and reserves. A call that has somebody already keeps them.
CREATE FUNCTION @extschema@.va_agent_pick(tenant uuid, skills text[] DEFAULT NULL, language text DEFAULT NULL, call uuid DEFAULT NULL)
	RETURNS TABLE (agent_id uuid, reservation_id uuid, name text, phone text, email text)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_call @extschema@.calls;
	v_agent uuid;
	v_reservation @extschema@.agent_reservations;
BEGIN
	IF NOT @extschema@.va_acts_for(tenant) OR NOT EXISTS (SELECT FROM @extschema@.tenants t WHERE t.id = tenant) THEN
		RAISE EXCEPTION 'unknown tenant %', coalesce(tenant::text, 'NULL') USING ERRCODE = 'VA001';
	END IF;
	IF call IS NOT NULL THEN
		v_call := @extschema@.va_call_row(call); -- locked: two picks for one call take turns
		IF v_call.tenant_id IS DISTINCT FROM tenant OR @extschema@.va_call_over(v_call) THEN
			RAISE EXCEPTION 'call % is not a live call of this tenant', call USING ERRCODE = 'VA004';
		END IF;
		SELECT * INTO v_reservation FROM @extschema@.agent_reservations r WHERE r.call_id = call AND r.released_at IS NULL;
	END IF;
	IF v_reservation.id IS NULL THEN
		v_agent := @extschema@.va_agent_choose(tenant, skills, language);
		IF v_agent IS NULL THEN
			RETURN;
		END IF;
		INSERT INTO @extschema@.agent_reservations (tenant_id, agent_id, call_id) VALUES (tenant, v_agent, call)
		RETURNING * INTO v_reservation;
	END IF;
	RETURN QUERY SELECT h.id, v_reservation.id, h.name::text, h.phone::text, h.email::text
		FROM @extschema@.human_agents h WHERE h.id = v_reservation.agent_id;
END
$$;

-- Gives a person back: by call, or by reservation where there is no call. handled: they have talked. False when
-- nothing was reserved (any more).
CREATE FUNCTION @extschema@.va_agent_release(call uuid, handled boolean DEFAULT true, reservation uuid DEFAULT NULL) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	IF call IS NOT NULL THEN
		PERFORM @extschema@.va_call_row(call);
	END IF;
	UPDATE @extschema@.agent_reservations r SET released_at = greatest(clock_timestamp(), r.reserved_at),
		handled = coalesce(va_agent_release.handled, true)
	WHERE r.released_at IS NULL AND (r.call_id = call OR call IS NULL AND r.id = reservation)
	  AND @extschema@.va_acts_for(r.tenant_id);
	RETURN FOUND;
END
$$;

-- ---- escalation ---------------------------------------------------------------------------------

-- A message to the tenant's own people, not to the lead: it counts as no attempt to contact anybody.
CREATE FUNCTION @extschema@.va_notify_staff(p_tenant uuid, p_subject text, p_body text, p_data jsonb) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_emails jsonb := @extschema@.va_setting((SELECT t.settings FROM @extschema@.tenants t WHERE t.id = p_tenant), 'notification_emails');
	v_count integer;
BEGIN
	INSERT INTO @extschema@.notifications (tenant_id, channel, direction, to_address, subject, body, template_id, template_data,
										   scheduled_for, notification_type)
	SELECT DISTINCT p_tenant, 'email', 'outbound', left(lower(e #>> '{}'), 255), left(p_subject, 255), p_body, 'staff_notice', p_data,
		   now(), 'escalation'
	FROM jsonb_array_elements(CASE WHEN jsonb_typeof(v_emails) = 'array' THEN v_emails ELSE '[]' END) e
	WHERE @extschema@.va_filled(e #>> '{}') IS NOT NULL;
	GET DIAGNOSTICS v_count = ROW_COUNT;
	RETURN v_count;
END
$$;

-- A person is wanted: one is reserved, or a call back planned and the tenant's people told. Asked for twice it
-- answers the same.
CREATE FUNCTION @extschema@.va_escalate(call uuid, reason text, skills text[] DEFAULT NULL, language text DEFAULT NULL)
	RETURNS TABLE (agent_id uuid, agent_name text, agent_phone text, callback_at timestamptz)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_call @extschema@.calls := @extschema@.va_call_row(call);
	v_reason text := coalesce(left(@extschema@.va_filled(reason), 255), 'not said');
	v_new boolean := NOT coalesce(v_call.escalated_to_human, false);
BEGIN
	UPDATE @extschema@.calls c SET escalated_to_human = true, escalation_reason = coalesce(c.escalation_reason, v_reason)
	WHERE c.id = call AND (NOT coalesce(c.escalated_to_human, false) OR c.escalation_reason IS NULL);
	IF NOT @extschema@.va_call_over(v_call) THEN
		SELECT p.agent_id, p.name, p.phone INTO agent_id, agent_name, agent_phone
		FROM @extschema@.va_agent_pick(v_call.tenant_id, skills, coalesce(language, (SELECT v.language FROM @extschema@.tenant_voice_configs v
			WHERE v.tenant_id = v_call.tenant_id ORDER BY v.created_at DESC, v.id LIMIT 1)), call) p;
	END IF;
	IF agent_id IS NULL THEN
		callback_at := coalesce(greatest(@extschema@.va_next_opening(v_call.tenant_id), now() + interval '15 minutes'),
								now() + interval '1 hour');
		PERFORM @extschema@.va_call_task(v_call, 'Call back', callback_at);
		SELECT f.scheduled_for INTO callback_at FROM @extschema@.follow_up_tasks f
		WHERE f.call_id = call AND f.title = 'Call back' ORDER BY f.created_at LIMIT 1;
		UPDATE @extschema@.calls c SET outcome = coalesce(c.outcome, 'callback_requested') WHERE c.id = call;
		IF v_new THEN
			PERFORM @extschema@.va_notify_staff(v_call.tenant_id, 'A caller asks to be called back',
				format('Reason: %s. Nobody was free; the call back is due at %s.', v_reason, callback_at),
				jsonb_build_object('call_id', call, 'reason', v_reason, 'callback_at', callback_at));
		END IF;
	END IF;
	IF v_new THEN
		PERFORM @extschema@.va_emit(v_call.tenant_id, 'call_escalated', call, v_call.lead_id,
			jsonb_build_object('reason', v_reason, 'agent_id', agent_id, 'callback_at', callback_at));
	END IF;
	RETURN NEXT;
END
$$;

-- escalate_to_human: the tool of the voice agent.
CREATE FUNCTION @extschema@.va_tool_escalate_to_human(call_id uuid, arguments jsonb) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_answer record;
	v_zone text;
BEGIN
	SELECT * INTO v_answer FROM @extschema@.va_escalate(va_tool_escalate_to_human.call_id, arguments ->> 'reason',
		CASE WHEN jsonb_typeof(arguments -> 'skills') = 'array'
			 THEN ARRAY(SELECT jsonb_array_elements_text(arguments -> 'skills')) END,
		@extschema@.va_filled(arguments ->> 'language'));
	SELECT coalesce(t.timezone, 'UTC') INTO v_zone
	FROM @extschema@.tenants t JOIN @extschema@.calls c ON c.tenant_id = t.id WHERE c.id = va_tool_escalate_to_human.call_id;
	RETURN jsonb_build_object('result', CASE WHEN v_answer.agent_id IS NOT NULL
		THEN jsonb_build_object('status', 'colleague_reserved', 'colleague', v_answer.agent_name)
		ELSE jsonb_build_object('status', 'callback_planned', 'callback_at',
			to_char(v_answer.callback_at AT TIME ZONE v_zone, 'FMDay, DD FMMonth YYYY, HH24:MI')) END);
END
$$;

INSERT INTO @extschema@.tools (name, description, parameters, function, is_builtin) VALUES
('escalate_to_human',
 'Asks for a human colleague. Use it when the caller wants a person, is upset, in danger, or asks what you may not answer. The answer says which colleague is reserved, or when the caller will be called back.',
 '{"type": "object", "properties": {
	"reason": {"type": "string", "description": "why a person is needed, in a few words"},
	"skills": {"type": "array", "items": {"type": "string"}, "description": "what the colleague should know about"},
	"language": {"type": "string", "description": "the caller''s language, for instance es"}},
	"required": ["reason"]}',
 '@extschema@.va_tool_escalate_to_human', true);

-- ---- rights -------------------------------------------------------------------------------------

GRANT SELECT ON @extschema@.agent_reservations TO voiceagent_admin, voiceagent_agent, voiceagent_bi;
GRANT EXECUTE ON FUNCTION @extschema@.va_agent_pick(uuid, text[], text, uuid), @extschema@.va_agent_release(uuid, boolean, uuid),
	@extschema@.va_escalate(uuid, text, text[], text) TO voiceagent_admin, voiceagent_agent;
