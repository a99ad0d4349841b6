-- Follow-ups: sequences as data, planned for each lead by its temperature, moved out of quiet hours, stopped when
-- they no longer fit, and turned into work when they are due. When a step is due is decided in core/cadence.

ALTER TABLE @extschema@.leads
	-- When the sequence of the present temperature began; NULL: no follow-ups are planned for this lead.
	ADD COLUMN follow_ups_since TIMESTAMPTZ,
	-- Why they are stopped: reply, booking, closed, archived, opt_out, or a text of va_follow_up_stop's caller.
	ADD COLUMN follow_ups_stopped TEXT,
	-- A lead that was re-opened or woken begins anew; before that no step happens twice.
	ADD COLUMN follow_up_round INTEGER NOT NULL DEFAULT 1;

ALTER TABLE @extschema@.follow_up_tasks
	ADD COLUMN channels TEXT[],               -- all of a step's; task_type is made of them
	ADD COLUMN purpose TEXT,
	DROP CONSTRAINT follow_up_tasks_status,
	ADD CONSTRAINT follow_up_tasks_status CHECK (status IN ('pending', 'queued', 'in_progress', 'completed',
		'failed', 'skipped', 'cancelled'));
-- The scheduler looks for what is due here, and nowhere else: what lies in the future costs it nothing.
CREATE INDEX idx_follow_ups_due ON @extschema@.follow_up_tasks (scheduled_for)
	WHERE status = 'pending' AND sequence_id IS NOT NULL;
CREATE UNIQUE INDEX idx_follow_ups_once ON @extschema@.follow_up_tasks (lead_id, sequence_id, sequence_step)
	WHERE status = 'pending' AND sequence_id IS NOT NULL;

-- tenant_id NULL: the sequences that every tenant has. A tenant's own takes the place of the one for the
-- same temperature; not enabled, it means none.
CREATE TABLE @extschema@.follow_up_sequences (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	temperature TEXT NOT NULL CHECK (temperature IN ('hot', 'warm', 'cold')),
	name TEXT NOT NULL,
	enabled BOOLEAN NOT NULL DEFAULT true,
	is_builtin BOOLEAN NOT NULL DEFAULT false,
	created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	CONSTRAINT follow_up_sequences_key UNIQUE NULLS NOT DISTINCT (tenant_id, temperature)
);

CREATE TABLE @extschema@.follow_up_steps (
	sequence_id UUID NOT NULL REFERENCES @extschema@.follow_up_sequences(id) ON DELETE CASCADE,
	step INTEGER NOT NULL CHECK (step >= 1),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,   -- the sequence's
	delay INTEGER NOT NULL CHECK (delay >= 0),       -- from the beginning of the sequence
	unit TEXT NOT NULL DEFAULT 'hours' CHECK (unit IN ('hours', 'days')),   -- elapsed, or days of the lead's calendar
	channels TEXT[] NOT NULL CHECK (cardinality(channels) >= 1
		AND channels <@ ARRAY['whatsapp', 'sms', 'email', 'ai_call', 'human_call', 'internal']),
	purpose TEXT NOT NULL CHECK (purpose ~ '^[a-z0-9_]{1,39}$'),
	is_builtin BOOLEAN NOT NULL DEFAULT false,
	PRIMARY KEY (sequence_id, step)
);
CREATE INDEX idx_follow_up_steps_tenant ON @extschema@.follow_up_steps (tenant_id);

CREATE FUNCTION @extschema@.va_cadence_check(steps jsonb) RETURNS boolean
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_cadence_check';
CREATE FUNCTION @extschema@.va_cadence_replan(steps jsonb, start timestamptz, rules jsonb, tasks jsonb, now timestamptz)
	RETURNS TABLE (action text, task integer, step integer, due timestamptz, moved text[])
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_cadence_replan';
CREATE FUNCTION @extschema@.va_cadence_allowed(rules jsonb, channels text[], at timestamptz, OUT due timestamptz, OUT moved text[])
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_cadence_allowed';
-- ---- sequences ----------------------------------------------------------------------------------

CREATE TRIGGER follow_up_sequences_touch BEFORE UPDATE ON @extschema@.follow_up_sequences
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_touch();

-- A step belongs to the tenant that its sequence belongs to, whatever is written.
CREATE FUNCTION @extschema@.va_step_tenant() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	SELECT s.tenant_id, s.is_builtin INTO NEW.tenant_id, NEW.is_builtin
	FROM @extschema@.follow_up_sequences s WHERE s.id = NEW.sequence_id;
	RETURN NEW;
END
$$;
CREATE TRIGGER follow_up_steps_tenant BEFORE INSERT OR UPDATE ON @extschema@.follow_up_steps
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_step_tenant();

CREATE FUNCTION @extschema@.va_sequence_json(p_sequence uuid) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT coalesce(jsonb_agg(jsonb_build_object('delay', s.delay, 'unit', s.unit, 'channels', s.channels,
														 'purpose', s.purpose) ORDER BY s.step), '[]')
			FROM @extschema@.follow_up_steps s WHERE s.sequence_id = p_sequence);
END
$$;

-- Checked as a whole and at the end of the transaction: in between it may be half written.
CREATE FUNCTION @extschema@.va_check_sequence() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_sequence uuid := CASE TG_OP WHEN 'DELETE' THEN OLD.sequence_id ELSE NEW.sequence_id END;
	v_steps jsonb := @extschema@.va_sequence_json(v_sequence);
BEGIN
	IF v_steps = '[]' THEN
		RETURN NULL;
	END IF;
	IF EXISTS (SELECT FROM @extschema@.follow_up_steps s WHERE s.sequence_id = v_sequence
			   HAVING max(s.step) <> count(*)) THEN
		RAISE EXCEPTION 'invalid follow-up sequence: its steps are not numbered 1, 2, 3 …' USING ERRCODE = 'VA025';
	END IF;
	PERFORM @extschema@.va_cadence_check(v_steps);
	RETURN NULL;
END
$$;

WITH made AS (
	INSERT INTO @extschema@.follow_up_sequences (temperature, name, is_builtin)
	VALUES ('hot', 'Hot leads', true), ('warm', 'Warm leads', true), ('cold', 'Cold leads', true)
	RETURNING id, temperature)
INSERT INTO @extschema@.follow_up_steps (sequence_id, step, delay, unit, channels, purpose, is_builtin)
SELECT made.id, s.step, s.delay, s.unit, s.channels::text[], s.purpose, true
FROM made JOIN (VALUES
	('hot', 1, 0, 'hours', '{whatsapp}', 'confirm'),
	('hot', 2, 1, 'hours', '{human_call}', 'call'),
	('hot', 3, 24, 'hours', '{email,sms}', 'follow_up'),
	('hot', 4, 48, 'hours', '{ai_call}', 'check_in'),
	('hot', 5, 7, 'days', '{ai_call}', 'final_attempt'),
	('warm', 1, 0, 'hours', '{email}', 'summary'),
	('warm', 2, 24, 'hours', '{ai_call}', 'nurture'),
	('warm', 3, 3, 'days', '{email}', 'value_content'),
	('warm', 4, 7, 'days', '{email}', 'case_study'),
	('warm', 5, 14, 'days', '{email}', 'special_offer'),
	('cold', 1, 0, 'hours', '{email}', 'thanks'),
	('cold', 2, 7, 'days', '{email}', 'newsletter'),
	('cold', 3, 30, 'days', '{email}', 're_engagement'),
	('cold', 4, 60, 'days', '{email}', 'survey_request'),
	('cold', 5, 90, 'days', '{internal}', 'archive_or_wake')) AS s (temperature, step, delay, unit, channels, purpose)
USING (temperature) ORDER BY s.temperature, s.step;

-- Made after those rows: a table with checks still due cannot be altered.
CREATE CONSTRAINT TRIGGER follow_up_steps_check AFTER INSERT OR UPDATE OR DELETE ON @extschema@.follow_up_steps
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_sequence();

-- The steps for a tenant's leads of one temperature; '[]': none.
CREATE FUNCTION @extschema@.va_sequence_steps(p_tenant uuid, p_temperature text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN coalesce((SELECT CASE WHEN s.enabled THEN @extschema@.va_sequence_json(s.id) END
					 FROM @extschema@.follow_up_sequences s
					 WHERE s.temperature = p_temperature AND (s.tenant_id = p_tenant OR s.tenant_id IS NULL)
					 ORDER BY s.tenant_id IS NULL LIMIT 1), '[]');
END
$$;

-- ---- planning -----------------------------------------------------------------------------------

-- The name under which a lead's tasks are kept: the temperature, and the round from the second on.
CREATE FUNCTION @extschema@.va_sequence_name(p_lead @extschema@.leads) RETURNS text
	LANGUAGE sql IMMUTABLE
	RETURN p_lead.lead_temperature || CASE WHEN p_lead.follow_up_round > 1 THEN '#' || p_lead.follow_up_round ELSE '' END;

-- The word of follow_up_tasks.task_type for a step's channels.
CREATE FUNCTION @extschema@.va_task_type(p_channels text[]) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN array_to_string(array_replace(array_replace(p_channels, 'ai_call', 'call'), 'human_call', 'call'), '+');

-- Makes the lead's pending tasks what its sequence wants now, at times that the rules of contact allow; returns how
-- many it changed. The same again changes nothing. A lead that is closed, stopped or was never planned for has
-- none, and neither has a step whose channels may none of them be used.
CREATE FUNCTION @extschema@.va_follow_up_apply(p_lead uuid, p_now timestamptz DEFAULT now()) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads;
	v_steps jsonb := '[]';
	v_name text;
	v_tasks uuid[];
	v_json jsonb;
	v_rules jsonb := '{"lead_zone": "UTC", "tenant_zone": "UTC", "gap_s": 1, "contact": [0, 86400]}'; -- for no steps
	c record;
	v_count integer := 0;
BEGIN
	SELECT * INTO v_lead FROM @extschema@.leads l WHERE l.id = p_lead FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RETURN 0;
	END IF;
	v_name := @extschema@.va_sequence_name(v_lead);
	IF v_lead.follow_ups_since IS NOT NULL AND v_lead.follow_ups_stopped IS NULL
	   AND v_lead.status IN ('new', 'qualified', 'contacted') THEN
		v_steps := @extschema@.va_sequence_steps(v_lead.tenant_id, v_lead.lead_temperature);
	END IF;
	IF v_steps <> '[]' THEN
		v_rules := @extschema@.va_contact_rules(v_lead, ARRAY(SELECT DISTINCT x FROM jsonb_array_elements(v_steps) e,
			jsonb_array_elements_text(e -> 'channels') x), p_now);
	END IF;
	-- The order of the rows is the order of the locks.
	PERFORM FROM @extschema@.follow_up_tasks t
	WHERE t.lead_id = p_lead AND t.sequence_id IS NOT NULL AND t.status = 'pending' ORDER BY t.id FOR NO KEY UPDATE;
	SELECT array_agg(t.id ORDER BY t.id), coalesce(jsonb_agg(jsonb_build_object(
			'mine', t.sequence_id = v_name, 'step', coalesce(t.sequence_step, 0),
			'status', CASE t.status WHEN 'pending' THEN 'pending' ELSE 'done' END,
			'at', (extract(epoch FROM CASE t.status WHEN 'pending' THEN t.scheduled_for
									  ELSE coalesce(t.executed_at, t.scheduled_for) END) * 1000000)::bigint) ORDER BY t.id), '[]')
	INTO v_tasks, v_json
	FROM @extschema@.follow_up_tasks t
	WHERE t.lead_id = p_lead AND t.sequence_id IS NOT NULL AND t.status <> 'cancelled' AND isfinite(t.scheduled_for);

	FOR c IN
		SELECT r.*, s.value AS definition
		FROM @extschema@.va_cadence_replan(v_steps, coalesce(v_lead.follow_ups_since, p_now), v_rules, v_json, p_now) r
		LEFT JOIN jsonb_array_elements(v_steps) WITH ORDINALITY AS s (value, place) ON s.place = r.step
		WHERE r.action <> 'keep'
		ORDER BY r.action <> 'cancel', r.step
	LOOP
		v_count := v_count + 1;
		IF c.action = 'cancel' THEN
			UPDATE @extschema@.follow_up_tasks t
			SET status = 'cancelled', result = jsonb_build_object('why', coalesce(v_lead.follow_ups_stopped,
				CASE WHEN v_rules -> 'never' ?& t.channels THEN v_rules -> 'never' ->> t.channels[1] END, 'replanned'))
			WHERE t.id = v_tasks[c.task];
		ELSIF c.action = 'move' THEN
			UPDATE @extschema@.follow_up_tasks t SET scheduled_for = c.due WHERE t.id = v_tasks[c.task];
		ELSE
			INSERT INTO @extschema@.follow_up_tasks (tenant_id, lead_id, task_type, title, scheduled_for, sequence_step,
				sequence_id, channels, purpose, is_ai_task, assigned_to)
			SELECT v_lead.tenant_id, p_lead, left(@extschema@.va_task_type(x.channels), 50),
				initcap(replace(c.definition ->> 'purpose', '_', ' ')), c.due, c.step, v_name, x.channels,
				c.definition ->> 'purpose', NOT 'human_call' = ANY (x.channels), v_lead.assigned_to
			FROM (SELECT ARRAY(SELECT jsonb_array_elements_text(c.definition -> 'channels')) AS channels) x;
		END IF;
	END LOOP;
	RETURN v_count;
END
$$;

-- The lifecycle begins the follow-ups of a lead; anew when the lead comes back from closed or archived.
CREATE FUNCTION @extschema@.va_follow_up_begin(p_lead uuid, p_anew boolean) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.leads l SET
		follow_ups_since = now(),
		follow_ups_stopped = CASE l.follow_ups_stopped WHEN 'opt_out' THEN 'opt_out' END,
		follow_up_round = l.follow_up_round + p_anew::integer
	WHERE l.id = p_lead;
	PERFORM @extschema@.va_follow_up_apply(p_lead);
END
$$;

-- Stops them; returns how many pending tasks that withdrew. An opt-out is stronger than any other reason.
CREATE FUNCTION @extschema@.va_follow_up_end(p_lead uuid, p_why text) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.leads l SET follow_ups_stopped = p_why
	WHERE l.id = p_lead AND (l.follow_ups_since IS NOT NULL OR p_why = 'opt_out')
	  AND l.follow_ups_stopped IS DISTINCT FROM p_why AND l.follow_ups_stopped IS DISTINCT FROM 'opt_out'
	  -- A reply to nothing stops nothing.
	  AND NOT (p_why = 'reply' AND l.follow_ups_stopped IS NOT NULL);
	RETURN CASE WHEN FOUND THEN @extschema@.va_follow_up_apply(p_lead) ELSE 0 END;
END
$$;

CREATE FUNCTION @extschema@.va_follow_up_stop(lead uuid, why text) RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_lead_row(lead);
	IF @extschema@.va_filled(why) IS NULL THEN
		RAISE EXCEPTION 'follow-ups are stopped for a reason' USING ERRCODE = 'VA005',
			HINT = 'For instance reply, opt_out, or a text of yours.';
	END IF;
	RETURN @extschema@.va_follow_up_end(lead, why);
END
$$;

-- The other way: also after an opt-out, when the lead wants to hear again.
CREATE FUNCTION @extschema@.va_follow_up_resume(lead uuid) RETURNS SETOF @extschema@.follow_up_tasks
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_lead_row(lead);
	UPDATE @extschema@.leads l SET follow_ups_stopped = NULL WHERE l.id = lead AND l.follow_ups_stopped IS NOT NULL;
	RETURN QUERY SELECT * FROM @extschema@.va_follow_up_plan(lead);
END
$$;

CREATE FUNCTION @extschema@.va_follow_up_plan(lead uuid) RETURNS SETOF @extschema@.follow_up_tasks
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_lead_row(lead);
	UPDATE @extschema@.leads l SET follow_ups_since = now() WHERE l.id = lead AND l.follow_ups_since IS NULL;
	PERFORM @extschema@.va_follow_up_apply(lead);
	RETURN QUERY SELECT * FROM @extschema@.follow_up_tasks t
	WHERE t.lead_id = lead AND t.sequence_id IS NOT NULL AND t.status = 'pending' ORDER BY t.scheduled_for, t.sequence_step;
END
$$;

-- Another temperature is another sequence, from now; and a lead that had answered has changed since.
CREATE FUNCTION @extschema@.va_lead_temperature_changed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF TG_WHEN = 'BEFORE' THEN
		NEW.follow_ups_since := now();
		NEW.follow_ups_stopped := nullif(NEW.follow_ups_stopped, 'reply');
		RETURN NEW;
	END IF;
	PERFORM @extschema@.va_follow_up_apply(NEW.id);
	RETURN NULL;
END
$$;
-- Its name is behind that of leads_score in the alphabet, which is the order in which they run.
CREATE TRIGGER leads_temperature BEFORE UPDATE ON @extschema@.leads FOR EACH ROW
	WHEN (OLD.lead_temperature IS DISTINCT FROM NEW.lead_temperature AND NEW.follow_ups_since IS NOT NULL)
	EXECUTE FUNCTION @extschema@.va_lead_temperature_changed();
CREATE TRIGGER leads_temperature_changed AFTER UPDATE ON @extschema@.leads FOR EACH ROW
	WHEN (OLD.lead_temperature IS DISTINCT FROM NEW.lead_temperature AND NEW.follow_ups_since IS NOT NULL)
	EXECUTE FUNCTION @extschema@.va_lead_temperature_changed();

-- Another number, address or zone: other steps are possible, at other times.
CREATE FUNCTION @extschema@.va_lead_address_changed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_follow_up_apply(NEW.id);
	RETURN NULL;
END
$$;
CREATE TRIGGER leads_address_changed AFTER UPDATE OF phone, email, custom_fields ON @extschema@.leads FOR EACH ROW
	WHEN (NEW.follow_ups_since IS NOT NULL AND (OLD.phone, OLD.email, OLD.custom_fields -> 'timezone')
		IS DISTINCT FROM (NEW.phone, NEW.email, NEW.custom_fields -> 'timezone'))
	EXECUTE FUNCTION @extschema@.va_lead_address_changed();

-- ---- the scheduler ------------------------------------------------------------------------------

-- Turns one due step, its row locked, into a row of lead_actions, or moves it, or skips it with the reason.
CREATE FUNCTION @extschema@.va_follow_up_claim(t @extschema@.follow_up_tasks) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads;
	v_why text;
	v_when record;
BEGIN
	SELECT * INTO v_lead FROM @extschema@.leads l WHERE l.id = t.lead_id;
	v_when := @extschema@.va_contact_when(v_lead, coalesce(t.channels, '{}'), now());
	v_why := CASE WHEN v_lead.id IS NULL THEN 'there is no lead'
		WHEN v_lead.follow_ups_stopped IS NOT NULL THEN v_lead.follow_ups_stopped
		WHEN NOT EXISTS (SELECT FROM @extschema@.tenants n WHERE n.id = t.tenant_id AND n.status = 'active') THEN 'the tenant is not active'
		WHEN v_when.due IS NULL THEN coalesce(v_when.why, 'it is never allowed') END;
	IF v_why IS NOT NULL THEN
		UPDATE @extschema@.follow_up_tasks d SET status = 'skipped', result = jsonb_build_object('why', v_why) WHERE d.id = t.id;
	ELSIF v_when.due > now() THEN
		UPDATE @extschema@.follow_up_tasks d SET scheduled_for = v_when.due WHERE d.id = t.id;
	ELSE
		UPDATE @extschema@.follow_up_tasks d SET status = 'queued', executed_at = now() WHERE d.id = t.id;
		INSERT INTO @extschema@.lead_actions (tenant_id, lead_id, task_id, action, payload)
		VALUES (t.tenant_id, t.lead_id, t.id, 'follow_up', jsonb_build_object('task_id', t.id, 'sequence', t.sequence_id,
			'step', t.sequence_step, 'channels', v_when.allowed, 'purpose', t.purpose, 'scheduled_for', t.scheduled_for)
			|| coalesce((SELECT jsonb_build_object('hint', h) FROM @extschema@.tenants n,
						 LATERAL (SELECT @extschema@.va_setting(n.settings, 'follow_up_hints') ->> t.purpose AS h) x
						 WHERE n.id = t.tenant_id AND h IS NOT NULL), '{}'));
	END IF;
END
$$;

-- Turns due steps into work, each into exactly one row of lead_actions; returns how many it dealt with. The rules of contact
-- are asked again here, for they may have changed since the step was planned: without a channel left
-- it is skipped with the reason, with some left it happens by these, and when it may not happen now (the server was
-- down, hours were changed) it waits until it may. One that cannot be claimed at all (its tenant's hours cannot be
-- read, say) fails alone: the others must not wait for it.
CREATE FUNCTION @extschema@.va_follow_ups_due("limit" integer DEFAULT 100) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	t @extschema@.follow_up_tasks;
	v_count integer := 0;
BEGIN
	FOR t IN
		SELECT * FROM @extschema@.follow_up_tasks d
		WHERE d.status = 'pending' AND d.sequence_id IS NOT NULL AND d.scheduled_for <= now()
		ORDER BY d.scheduled_for LIMIT greatest("limit", 0) FOR UPDATE SKIP LOCKED
	LOOP
		v_count := v_count + 1;
		BEGIN
			PERFORM @extschema@.va_follow_up_claim(t);
		EXCEPTION
			WHEN serialization_failure OR deadlock_detected OR query_canceled THEN
				RAISE;
			WHEN OTHERS THEN
				UPDATE @extschema@.follow_up_tasks d SET status = 'failed', executed_at = now(),
					result = jsonb_build_object('why', SQLERRM, 'sqlstate', SQLSTATE) WHERE d.id = t.id;
				RAISE WARNING 'a follow-up could not be claimed: %', SQLERRM
					USING DETAIL = format('Task %s, SQLSTATE %s.', t.id, SQLSTATE), HINT = 'Mend the cause, then set its status to pending.';
		END;
	END LOOP;
	RETURN v_count;
END
$$;

-- A step that is due before the scheduler would look again (it sleeps ten seconds at most) wakes it after the commit.
CREATE FUNCTION @extschema@.va_wake_scheduler() RETURNS trigger
	LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'va_wake_scheduler';
CREATE TRIGGER follow_up_tasks_wake AFTER INSERT OR UPDATE OF scheduled_for, status ON @extschema@.follow_up_tasks FOR EACH ROW
	WHEN (NEW.status = 'pending' AND NEW.sequence_id IS NOT NULL AND NEW.scheduled_for <= now() + interval '10 seconds')
	EXECUTE FUNCTION @extschema@.va_wake_scheduler();

-- When the next one is due; NULL without any.
CREATE FUNCTION @extschema@.va_follow_ups_next() RETURNS timestamptz
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT d.scheduled_for FROM @extschema@.follow_up_tasks d
			WHERE d.status = 'pending' AND d.sequence_id IS NOT NULL ORDER BY d.scheduled_for LIMIT 1);
END
$$;

GRANT SELECT, INSERT, UPDATE, DELETE ON @extschema@.follow_up_sequences, @extschema@.follow_up_steps
	TO voiceagent_admin, voiceagent_agent;
GRANT SELECT ON @extschema@.follow_up_sequences, @extschema@.follow_up_steps TO voiceagent_bi;
CREATE POLICY common_rows ON @extschema@.follow_up_sequences FOR SELECT USING (tenant_id IS NULL);
CREATE POLICY common_rows ON @extschema@.follow_up_steps FOR SELECT USING (tenant_id IS NULL);
GRANT EXECUTE ON FUNCTION @extschema@.va_follow_up_plan(uuid), @extschema@.va_follow_up_stop(uuid, text),
	@extschema@.va_follow_up_resume(uuid)
	TO voiceagent_admin, voiceagent_agent;
GRANT EXECUTE ON FUNCTION @extschema@.va_follow_ups_due(integer), @extschema@.va_follow_ups_next() TO voiceagent_admin;
