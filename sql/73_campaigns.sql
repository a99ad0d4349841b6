-- Campaigns: many people are called, one after the other, at a pace, in certain hours, with rules for those who do not
-- answer. A campaign only plans; each call goes through va_dial's rules and the tenant's caps like any other.

CREATE TRIGGER campaigns_touch BEFORE UPDATE ON @extschema@.campaigns FOR EACH ROW EXECUTE FUNCTION @extschema@.va_touch();

-- ---- rules ----------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_check_campaign() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_key text;
	v_rule jsonb;
BEGIN
	PERFORM @extschema@.va_check_dial_options(NEW.options);
	IF NEW.hours <> '{}' THEN
		PERFORM @extschema@.va_check_hours('hours', NEW.hours);
	END IF;
	FOR v_key IN SELECT jsonb_object_keys(NEW.audience) LOOP
		IF v_key <> ALL (ARRAY['status', 'temperature', 'source', 'tags', 'min_score', 'max_score', 'created_after', 'created_before', 'custom_fields', 'utm_campaign']) THEN
			RAISE EXCEPTION 'the audience has an unknown key "%"', v_key USING ERRCODE = 'VA005',
				HINT = 'Known are status, temperature, source, tags, min_score, max_score, created_after, created_before, custom_fields and utm_campaign; for any other query there is va_campaign_add(campaign, leads).';
		END IF;
	END LOOP;
	PERFORM @extschema@.va_campaign_fits(NULL::@extschema@.leads, NEW.audience);
	IF jsonb_typeof(NEW.retry) IS DISTINCT FROM 'object' THEN
		RAISE EXCEPTION 'retry must be an object as {"busy": {"minutes": 10, "attempts": 3}}' USING ERRCODE = 'VA005';
	END IF;
	FOR v_key, v_rule IN SELECT key, value FROM jsonb_each(NEW.retry) LOOP
		IF (v_key IN ('busy', 'no-answer', 'machine', 'failed') AND jsonb_typeof(v_rule) = 'object' AND v_rule - ARRAY['minutes', 'attempts'] = '{}'
			AND coalesce(@extschema@.va_number(v_rule, 'minutes') BETWEEN 0 AND 525600, NOT v_rule ? 'minutes')
			AND coalesce(@extschema@.va_number(v_rule, 'attempts') BETWEEN 0 AND 20, NOT v_rule ? 'attempts')) IS NOT TRUE THEN
			RAISE EXCEPTION 'retry, "%" is no rule', v_key USING ERRCODE = 'VA005',
				HINT = 'Outcomes are busy, no-answer, machine and failed; a rule is {"minutes": 10, "attempts": 3}.';
		END IF;
	END LOOP;
	RETURN NEW;
EXCEPTION WHEN invalid_text_representation OR invalid_datetime_format OR datetime_field_overflow THEN
	RAISE EXCEPTION 'the audience has a value that is none: %', SQLERRM USING ERRCODE = 'VA005';
END
$$;
CREATE TRIGGER campaigns_check BEFORE INSERT OR UPDATE OF options, hours, audience, retry ON @extschema@.campaigns
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_campaign();

-- Is the text one of the filter's (a text or a list of texts)? No filter lets everything through.
CREATE FUNCTION @extschema@.va_campaign_among(p_value text, p_filter jsonb) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN p_filter IS NULL OR p_filter = 'null' OR coalesce(p_filter @> to_jsonb(p_value), false);

CREATE FUNCTION @extschema@.va_campaign_fits(l @extschema@.leads, a jsonb) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN coalesce(@extschema@.va_campaign_among(l.status, a -> 'status') AND @extschema@.va_campaign_among(l.lead_temperature, a -> 'temperature')
		AND @extschema@.va_campaign_among(l.source, a -> 'source') AND @extschema@.va_campaign_among(l.utm_campaign, a -> 'utm_campaign')
		AND (NOT a ? 'tags' OR l.tags && ARRAY(SELECT jsonb_array_elements_text(CASE jsonb_typeof(a -> 'tags') WHEN 'array' THEN a -> 'tags' ELSE jsonb_build_array(a -> 'tags') END)))
		AND (NOT a ? 'min_score' OR l.lead_score >= (a ->> 'min_score')::float8) AND (NOT a ? 'max_score' OR l.lead_score <= (a ->> 'max_score')::float8)
		AND (NOT a ? 'created_after' OR l.created_at >= (a ->> 'created_after')::timestamptz)
		AND (NOT a ? 'created_before' OR l.created_at < (a ->> 'created_before')::timestamptz)
		AND (NOT a ? 'custom_fields' OR l.custom_fields @> (a -> 'custom_fields')), false);
END
$$;

-- The rule for an outcome: the campaign's, else busy after 10 minutes, no answer after two hours, a machine after four,
-- a failure after half an hour.
CREATE FUNCTION @extschema@.va_campaign_rule(m @extschema@.campaigns, p_outcome text) RETURNS jsonb
	LANGUAGE sql IMMUTABLE
	RETURN jsonb_build_object('attempts', (m).max_attempts)
		|| coalesce('{"busy": {"minutes": 10}, "no-answer": {"minutes": 120}, "machine": {"minutes": 240}, "failed": {"minutes": 30, "attempts": 2}}'::jsonb -> p_outcome, '{}')
		|| coalesce((m).retry -> p_outcome, '{}');

-- ---- for users ------------------------------------------------------------------------------------

-- A campaign's row, locked; those of another tenant are unknown.
CREATE FUNCTION @extschema@.va_campaign_row(p_campaign uuid) RETURNS @extschema@.campaigns
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	m @extschema@.campaigns;
BEGIN
	SELECT * INTO m FROM @extschema@.campaigns c WHERE c.id = p_campaign FOR NO KEY UPDATE;
	IF NOT FOUND OR NOT @extschema@.va_acts_for(m.tenant_id) THEN
		RAISE EXCEPTION 'unknown campaign %', coalesce(p_campaign::text, 'NULL') USING ERRCODE = 'VA052';
	END IF;
	RETURN m;
END
$$;

-- Adds leads to a campaign, however they were found: SELECT va_campaign_add(c, array_agg(id)) FROM leads WHERE … .
-- Returns how many are new; who has no number is left out.
CREATE FUNCTION @extschema@.va_campaign_add(campaign uuid, leads uuid[]) RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	m @extschema@.campaigns := @extschema@.va_campaign_row(campaign);
	v_count integer;
BEGIN
	INSERT INTO @extschema@.campaign_members (campaign_id, lead_id, tenant_id)
	SELECT m.id, l.id, m.tenant_id FROM @extschema@.leads l
	WHERE l.id = ANY (va_campaign_add.leads) AND l.tenant_id = m.tenant_id AND l.phone IS NOT NULL
	ON CONFLICT DO NOTHING;
	GET DIAGNOSTICS v_count = ROW_COUNT;
	RETURN v_count;
END
$$;

-- Brings in the leads that fit the audience.
CREATE FUNCTION @extschema@.va_campaign_gather(m @extschema@.campaigns) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_count integer := 0;
BEGIN
	IF m.audience <> '{}' THEN
		INSERT INTO @extschema@.campaign_members (campaign_id, lead_id, tenant_id)
		SELECT m.id, l.id, m.tenant_id FROM @extschema@.leads l
		WHERE l.tenant_id = m.tenant_id AND l.phone IS NOT NULL AND l.status <> ALL (m.stop_statuses) AND @extschema@.va_campaign_fits(l, m.audience)
		  AND NOT EXISTS (SELECT FROM @extschema@.campaign_members x WHERE x.campaign_id = m.id AND x.lead_id = l.id)
		ON CONFLICT DO NOTHING;
		GET DIAGNOSTICS v_count = ROW_COUNT;
	END IF;
	UPDATE @extschema@.campaigns c SET refreshed_at = now() WHERE c.id = m.id;
	RETURN v_count;
END
$$;

-- Begins a campaign, or goes on with one that was paused. Returns how many people are to be called.
CREATE FUNCTION @extschema@.va_campaign_start(campaign uuid) RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	m @extschema@.campaigns := @extschema@.va_campaign_row(campaign);
BEGIN
	IF m.status IN ('stopped', 'finished') THEN
		RAISE EXCEPTION 'campaign % has ended', campaign USING ERRCODE = 'VA054', DETAIL = format('Its status is %s.', m.status);
	ELSIF m.status = 'draft' OR m.refresh THEN
		PERFORM @extschema@.va_campaign_gather(m);
	END IF;
	IF m.status <> 'running' THEN
		UPDATE @extschema@.campaigns c SET status = 'running', next_at = now(), why = NULL, started_at = coalesce(c.started_at, now()) WHERE c.id = m.id;
		PERFORM @extschema@.va_emit(m.tenant_id, 'campaign_started', NULL, NULL, jsonb_build_object('campaign_id', m.id));
	END IF;
	RETURN (SELECT count(*) FROM @extschema@.campaign_members x WHERE x.campaign_id = m.id AND x.state IN ('waiting', 'calling'));
END
$$;

CREATE FUNCTION @extschema@.va_campaign_resume(campaign uuid) RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	m @extschema@.campaigns := @extschema@.va_campaign_row(campaign);
BEGIN
	IF m.status <> 'paused' THEN
		RAISE EXCEPTION 'campaign % is not paused', campaign USING ERRCODE = 'VA054', DETAIL = format('Its status is %s.', m.status);
	END IF;
	RETURN @extschema@.va_campaign_start(campaign);
END
$$;

-- No new calls until va_campaign_resume; those on the line go on, those waiting for their turn wait.
CREATE FUNCTION @extschema@.va_campaign_pause(campaign uuid, why text DEFAULT 'paused') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	m @extschema@.campaigns := @extschema@.va_campaign_row(campaign);
BEGIN
	IF m.status <> 'running' THEN
		RAISE EXCEPTION 'campaign % is not running', campaign USING ERRCODE = 'VA054', DETAIL = format('Its status is %s.', m.status);
	END IF;
	UPDATE @extschema@.campaigns c SET status = 'paused', why = va_campaign_pause.why WHERE c.id = m.id;
	PERFORM @extschema@.va_emit(m.tenant_id, 'campaign_paused', NULL, NULL, jsonb_build_object('campaign_id', m.id, 'why', va_campaign_pause.why));
END
$$;

-- Ends a campaign: planned calls are taken back, those on the line go on.
CREATE FUNCTION @extschema@.va_campaign_stop(campaign uuid, why text DEFAULT 'stopped') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	m @extschema@.campaigns := @extschema@.va_campaign_row(campaign);
BEGIN
	PERFORM @extschema@.va_campaign_end(m, 'stopped', va_campaign_stop.why);
END
$$;

CREATE FUNCTION @extschema@.va_campaign_end(m @extschema@.campaigns, p_status text, p_why text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.campaigns c SET status = p_status, why = p_why, ended_at = now()
	WHERE c.id = m.id AND c.status NOT IN ('stopped', 'finished');
	IF NOT FOUND THEN
		RETURN;
	END IF;
	UPDATE @extschema@.campaign_members x SET state = 'skipped', outcome = p_why WHERE x.campaign_id = m.id AND x.state = 'waiting';
	-- What is planned and waits is withdrawn by its prepare function, which sees the campaign's end.
	UPDATE @extschema@.outbox b SET run_at = now() WHERE b.id IN (
		SELECT o.id FROM @extschema@.calls c JOIN @extschema@.outbox o ON o.tenant_id = m.tenant_id AND o.kind = 'twilio.call' AND o.attempt_key = c.id::text
		WHERE c.campaign_id = m.id AND c.status = 'queued' AND c.dialed_at IS NULL AND o.state = 'later' FOR UPDATE OF o SKIP LOCKED);
	PERFORM @extschema@.va_outbox_wake();
	PERFORM @extschema@.va_emit(m.tenant_id, 'campaign_ended', NULL, NULL, jsonb_build_object('campaign_id', m.id, 'status', p_status, 'why', p_why));
END
$$;

-- What a call of a campaign is to do at the moment of dialling: 'go', 'wait' (it is paused) or 'drop' (it has ended).
CREATE FUNCTION @extschema@.va_campaign_word(p_campaign uuid) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN coalesce((SELECT CASE c.status WHEN 'running' THEN 'go' WHEN 'finished' THEN 'go' WHEN 'stopped' THEN 'drop' ELSE 'wait' END
					 FROM @extschema@.campaigns c WHERE c.id = p_campaign), 'go');
END
$$;

-- ---- the clock ------------------------------------------------------------------------------------

-- Why a campaign is over, or NULL.
CREATE FUNCTION @extschema@.va_campaign_over(m @extschema@.campaigns) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF m.ends_at <= now() THEN
		RETURN 'its end has come';
	ELSIF m.budget_calls <= (SELECT count(*) FROM @extschema@.calls c WHERE c.campaign_id = m.id AND c.status <> 'canceled') THEN
		RETURN 'the budget of calls is used up';
	ELSIF m.budget_minutes <= (SELECT sum(ceil(c.duration_seconds / 60.0)) FROM @extschema@.calls c WHERE c.campaign_id = m.id) THEN
		RETURN 'the budget of minutes is used up';
	ELSIF NOT m.refresh AND NOT EXISTS (SELECT FROM @extschema@.campaign_members x WHERE x.campaign_id = m.id AND x.state IN ('waiting', 'calling')) THEN
		RETURN 'everybody was called';
	END IF;
	RETURN NULL;
END
$$;

-- The first instant from now on within the campaign's hours; NULL: never.
CREATE FUNCTION @extschema@.va_campaign_open(m @extschema@.campaigns) RETURNS timestamptz
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF m.hours - ARRAY['timezone', 'dates'] = '{}' THEN
		RETURN now();
	END IF;
	RETURN @extschema@.va_hours_next(@extschema@.va_week_triples(m.hours), @extschema@.va_date_triples(m.hours -> 'dates'),
		coalesce(m.hours ->> 'timezone', (SELECT t.timezone FROM @extschema@.tenants t WHERE t.id = m.tenant_id), 'UTC'), now());
END
$$;

-- Plans the call of one member. 'planned', or what became of them otherwise.
CREATE FUNCTION @extschema@.va_campaign_call(m @extschema@.campaigns, x @extschema@.campaign_members) RETURNS text
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads;
	v_may record;
	v_call uuid;
	v_why text;
BEGIN
	SELECT * INTO v_lead FROM @extschema@.leads l WHERE l.id = x.lead_id;
	IF v_lead.phone IS NULL OR v_lead.status = ANY (m.stop_statuses) THEN
		v_why := CASE WHEN v_lead.phone IS NULL THEN 'no telephone number' ELSE 'the lead is ' || v_lead.status END;
	ELSE
		SELECT * INTO v_may FROM @extschema@.va_contact_verdict(v_lead, 'call', now());
		IF v_may.verdict = 'never' OR v_may.verdict = 'not_now' AND v_may.until IS NULL THEN
			v_why := v_may.why;
		END IF;
	END IF;
	IF v_why IS NOT NULL THEN
		UPDATE @extschema@.campaign_members y SET state = 'skipped', outcome = v_why WHERE y.campaign_id = m.id AND y.lead_id = x.lead_id;
		RETURN 'skipped';
	ELSIF v_may.verdict = 'not_now' OR EXISTS (SELECT FROM @extschema@.calls c WHERE c.tenant_id = m.tenant_id AND c.direction = 'outbound'
			AND c.to_number = v_lead.phone AND c.status IN ('queued', 'initiated', 'ringing', 'in-progress')) THEN
		-- Not now; or another campaign, or somebody by hand, is calling them.
		UPDATE @extschema@.campaign_members y SET next_at = coalesce(v_may.until, now() + interval '2 minutes') WHERE y.campaign_id = m.id AND y.lead_id = x.lead_id;
		RETURN 'later';
	END IF;
	v_call := @extschema@.va_dial_plan(m.tenant_id, v_lead.id, v_lead.phone, now(), m.id, m.options);
	UPDATE @extschema@.campaign_members y SET state = 'calling', attempts = y.attempts + 1, last_call_id = v_call
	WHERE y.campaign_id = m.id AND y.lead_id = x.lead_id;
	RETURN 'planned';
END
$$;

-- One campaign's turn; returns how many calls were planned.
CREATE FUNCTION @extschema@.va_campaign_serve(m @extschema@.campaigns, p_limit integer) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_over text := @extschema@.va_campaign_over(m);
	v_open timestamptz := @extschema@.va_campaign_open(m);
	v_room integer;
	v_planned integer := 0;
	v_seen integer := 0;
	x @extschema@.campaign_members;
	v_pace interval := make_interval(secs => 60 / m.calls_per_minute);
	v_next timestamptz := greatest(m.next_at, now() - interval '10 seconds'); -- a late scheduler makes up for little
BEGIN
	IF v_over IS NOT NULL OR v_open IS NULL THEN
		PERFORM @extschema@.va_campaign_end(m, 'finished', coalesce(v_over, 'its hours never come'));
		RETURN 0;
	ELSIF v_open > now() THEN
		UPDATE @extschema@.campaigns c SET next_at = v_open, why = 'outside of its hours' WHERE c.id = m.id;
		RETURN 0;
	ELSIF m.refresh AND coalesce(m.refreshed_at < now() - interval '1 minute', true) THEN
		PERFORM @extschema@.va_campaign_gather(m);
	END IF;
	v_room := least(m.concurrent - (SELECT count(*) FROM @extschema@.campaign_members y WHERE y.campaign_id = m.id AND y.state = 'calling'), p_limit,
		m.budget_calls - (SELECT count(*) FROM @extschema@.calls c WHERE c.campaign_id = m.id AND c.status <> 'canceled'));
	FOR x IN SELECT y.* FROM @extschema@.campaign_members y WHERE y.campaign_id = m.id AND y.state = 'waiting' AND y.next_at <= now()
			 ORDER BY y.next_at, y.joined_at, y.lead_id LIMIT greatest(v_room, 0) + 50 FOR NO KEY UPDATE SKIP LOCKED
	LOOP
		EXIT WHEN v_planned >= v_room OR v_next > now();
		v_seen := v_seen + 1;
		IF @extschema@.va_campaign_call(m, x) = 'planned' THEN
			v_planned := v_planned + 1;
			v_next := v_next + v_pace;
		END IF;
	END LOOP;
	UPDATE @extschema@.campaigns c SET served_at = now(), why = CASE WHEN v_room <= 0 THEN 'as many calls as it may have' END,
		-- Without room the end of a call calls again; the rest is a net.
		next_at = CASE WHEN v_room <= 0 THEN now() + interval '15 seconds'
			WHEN v_planned > 0 THEN greatest(v_next, now() + interval '0.1 seconds')
			WHEN v_seen > 0 THEN now()
			ELSE greatest(v_next, least(coalesce((SELECT min(y.next_at) FROM @extschema@.campaign_members y WHERE y.campaign_id = m.id AND y.state = 'waiting'),
				now() + interval '30 seconds'), now() + CASE WHEN m.refresh THEN interval '1 minute' ELSE interval '5 minutes' END), now() + interval '1 second') END
	WHERE c.id = m.id AND c.status = 'running';
	RETURN v_planned;
END
$$;

-- Everything that is due, for the scheduler: each campaign in turn, the one that waited longest first. An error of one
-- campaign pauses it and no other. Returns how many campaigns had their turn.
CREATE FUNCTION @extschema@.va_campaigns_due("limit" integer DEFAULT 50) RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	m @extschema@.campaigns;
	v_count integer := 0;
BEGIN
	FOR m IN SELECT c.* FROM @extschema@.campaigns c WHERE c.status = 'running' AND c.next_at <= now()
			 ORDER BY c.served_at NULLS FIRST, c.next_at LIMIT greatest("limit", 0) FOR NO KEY UPDATE SKIP LOCKED
	LOOP
		v_count := v_count + 1;
		BEGIN
			PERFORM @extschema@.va_campaign_serve(m, 20);
		EXCEPTION WHEN serialization_failure OR deadlock_detected OR query_canceled THEN
			RAISE;
		WHEN OTHERS THEN
			UPDATE @extschema@.campaigns c SET status = 'paused', why = SQLERRM WHERE c.id = m.id;
			RAISE WARNING 'campaign % is paused: %', m.id, SQLERRM USING HINT = 'Mend the cause, then call va_campaign_resume.';
		END;
	END LOOP;
	RETURN v_count;
END
$$;

-- When the next one is due; NULL without any.
CREATE FUNCTION @extschema@.va_campaigns_next() RETURNS timestamptz
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT c.next_at FROM @extschema@.campaigns c WHERE c.status = 'running' ORDER BY c.next_at LIMIT 1);
END
$$;

-- ---- the end of a call ----------------------------------------------------------------------------

-- What a call came to, in the words of the retry rules: answered, machine, busy, no-answer, failed or canceled.
CREATE FUNCTION @extschema@.va_call_outcome(p_call @extschema@.calls) RETURNS text
	LANGUAGE sql IMMUTABLE
	RETURN CASE WHEN (p_call).status <> 'completed' THEN (p_call).status::text
		WHEN (p_call).answered_by LIKE 'machine%' OR (p_call).answered_by = 'fax' THEN 'machine' ELSE 'answered' END;

-- A call of a campaign is over, or was found to have been a machine's after all: the member's next step. Whoever has
-- answered is done.
CREATE FUNCTION @extschema@.va_campaign_heard() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	x @extschema@.campaign_members;
	m @extschema@.campaigns;
	v_outcome text := @extschema@.va_call_outcome(NEW);
	v_rule jsonb;
	v_tally integer;
BEGIN
	SELECT * INTO x FROM @extschema@.campaign_members y WHERE y.campaign_id = NEW.campaign_id AND y.last_call_id = NEW.id FOR NO KEY UPDATE;
	SELECT * INTO m FROM @extschema@.campaigns c WHERE c.id = NEW.campaign_id;
	IF x.lead_id IS NULL OR NOT (x.state = 'calling' OR x.state = 'done' AND x.outcome = 'answered' AND v_outcome = 'machine') THEN
		RETURN NULL;
	END IF;
	v_rule := @extschema@.va_campaign_rule(m, v_outcome);
	v_tally := coalesce((x.tally ->> v_outcome)::integer, 0) + 1;
	UPDATE @extschema@.campaign_members y SET outcome = CASE WHEN v_outcome IN ('failed', 'canceled') THEN coalesce(NEW.error_message, v_outcome) ELSE v_outcome END,
		tally = y.tally || jsonb_build_object(v_outcome, v_tally),
		state = CASE
			WHEN v_outcome = 'answered' THEN 'done'
			WHEN v_outcome = 'canceled' OR NEW.error_code = 'may_not_contact' OR m.status IN ('stopped') THEN 'skipped'
			WHEN v_outcome = 'failed' AND @extschema@.va_twilio_kind(@extschema@.va_digits(NEW.error_code)) IN ('permanent', 'refused') THEN 'given_up'
			WHEN y.attempts >= m.max_attempts OR v_tally >= (v_rule ->> 'attempts')::numeric THEN 'given_up'
			ELSE 'waiting' END,
		next_at = now() + make_interval(mins => coalesce((v_rule ->> 'minutes')::numeric::integer, 60))
	WHERE y.campaign_id = x.campaign_id AND y.lead_id = x.lead_id;
	-- There is room for another one. (Whoever is at the campaign's row at this moment sees that himself.)
	UPDATE @extschema@.campaigns c SET next_at = now() WHERE c.id = (SELECT o.id FROM @extschema@.campaigns o
		WHERE o.id = m.id AND o.status = 'running' AND o.next_at > now() AND o.why = 'as many calls as it may have' FOR NO KEY UPDATE SKIP LOCKED);
	RETURN NULL;
END
$$;
CREATE TRIGGER calls_campaign AFTER UPDATE OF status, answered_by ON @extschema@.calls FOR EACH ROW
	WHEN (NEW.campaign_id IS NOT NULL AND NEW.status IN ('completed', 'busy', 'failed', 'no-answer', 'canceled')
		AND (OLD.status, OLD.answered_by) IS DISTINCT FROM (NEW.status, NEW.answered_by))
	EXECUTE FUNCTION @extschema@.va_campaign_heard();

-- How far each campaign is.
CREATE VIEW @extschema@.campaign_progress WITH (security_invoker = true) AS
SELECT c.id AS campaign_id, c.tenant_id, c.name, c.status, c.why, c.started_at, c.ended_at,
	m.people, m.waiting, m.calling, m.done, m.given_up, m.skipped,
	k.calls, k.answered, k.machines, k.busy, k.no_answer, k.failed, k.minutes,
	round(k.answered::numeric / nullif(k.calls, 0), 3) AS answer_rate,
	m.next_at AS next_call_at
FROM @extschema@.campaigns c
CROSS JOIN LATERAL (
	SELECT count(*) AS people, count(*) FILTER (WHERE x.state = 'waiting') AS waiting, count(*) FILTER (WHERE x.state = 'calling') AS calling,
		count(*) FILTER (WHERE x.state = 'done') AS done, count(*) FILTER (WHERE x.state = 'given_up') AS given_up,
		count(*) FILTER (WHERE x.state = 'skipped') AS skipped, min(x.next_at) FILTER (WHERE x.state = 'waiting') AS next_at
	FROM @extschema@.campaign_members x WHERE x.campaign_id = c.id) m
CROSS JOIN LATERAL (
	SELECT count(*) FILTER (WHERE l.dialed_at IS NOT NULL) AS calls,
		count(*) FILTER (WHERE l.status = 'completed' AND (l.answered_by IS NULL OR l.answered_by NOT LIKE 'machine%' AND l.answered_by <> 'fax')) AS answered,
		count(*) FILTER (WHERE l.status = 'completed' AND (l.answered_by LIKE 'machine%' OR l.answered_by = 'fax')) AS machines,
		count(*) FILTER (WHERE l.status = 'busy') AS busy, count(*) FILTER (WHERE l.status = 'no-answer') AS no_answer,
		count(*) FILTER (WHERE l.status = 'failed') AS failed, coalesce(sum(ceil(l.duration_seconds / 60.0)), 0)::bigint AS minutes
	FROM @extschema@.calls l WHERE l.campaign_id = c.id) k;
COMMENT ON VIEW @extschema@.campaign_progress IS 'How far each campaign is: its people and its calls.';
COMMENT ON COLUMN @extschema@.campaign_progress.campaign_id IS 'the campaign';
COMMENT ON COLUMN @extschema@.campaign_progress.tenant_id IS 'the tenant';
COMMENT ON COLUMN @extschema@.campaign_progress.name IS 'the campaign''s name';
COMMENT ON COLUMN @extschema@.campaign_progress.status IS 'draft, running, paused, stopped or finished';
COMMENT ON COLUMN @extschema@.campaign_progress.why IS 'why it stopped or waits';
COMMENT ON COLUMN @extschema@.campaign_progress.started_at IS 'when it began';
COMMENT ON COLUMN @extschema@.campaign_progress.ended_at IS 'when it ended';
COMMENT ON COLUMN @extschema@.campaign_progress.people IS 'leads in it';
COMMENT ON COLUMN @extschema@.campaign_progress.waiting IS 'of these: still to be called, or again';
COMMENT ON COLUMN @extschema@.campaign_progress.calling IS 'being called';
COMMENT ON COLUMN @extschema@.campaign_progress.done IS 'who have answered';
COMMENT ON COLUMN @extschema@.campaign_progress.given_up IS 'who were tried as often as the rules say';
COMMENT ON COLUMN @extschema@.campaign_progress.skipped IS 'who may not be called, or need not be any more';
COMMENT ON COLUMN @extschema@.campaign_progress.calls IS 'calls made';
COMMENT ON COLUMN @extschema@.campaign_progress.answered IS 'answered by people';
COMMENT ON COLUMN @extschema@.campaign_progress.machines IS 'answered by machines';
COMMENT ON COLUMN @extschema@.campaign_progress.busy IS 'busy';
COMMENT ON COLUMN @extschema@.campaign_progress.no_answer IS 'not answered';
COMMENT ON COLUMN @extschema@.campaign_progress.failed IS 'that could not be made';
COMMENT ON COLUMN @extschema@.campaign_progress.minutes IS 'talked, each call rounded up to a minute';
COMMENT ON COLUMN @extschema@.campaign_progress.answer_rate IS 'answered by people, of the calls made';
COMMENT ON COLUMN @extschema@.campaign_progress.next_call_at IS 'when the next lead may be called';

GRANT SELECT, INSERT, UPDATE, DELETE ON @extschema@.campaigns TO voiceagent_admin, voiceagent_agent;
GRANT SELECT ON @extschema@.campaign_members, @extschema@.campaign_progress TO voiceagent_admin, voiceagent_agent, voiceagent_bi;
GRANT SELECT ON @extschema@.campaigns TO voiceagent_bi;
GRANT EXECUTE ON FUNCTION @extschema@.va_campaign_add(uuid, uuid[]), @extschema@.va_campaign_start(uuid), @extschema@.va_campaign_pause(uuid, text),
	@extschema@.va_campaign_resume(uuid), @extschema@.va_campaign_stop(uuid, text) TO voiceagent_admin, voiceagent_agent;
GRANT EXECUTE ON FUNCTION @extschema@.va_campaigns_due(integer), @extschema@.va_campaigns_next() TO voiceagent_admin;
