-- The life of a lead: new, qualified, contacted, meeting_scheduled, closed. Which steps there are, what each needs and what
-- work it brings is one table in core/lead_stage; here the steps are taken, remembered, and turned into work in
-- the transaction that takes them.

ALTER TABLE @extschema@.leads
	ADD COLUMN status_event TEXT,             -- the last step: its name, its reason, who took it and when
	ADD COLUMN status_reason TEXT,
	ADD COLUMN status_by TEXT,
	ADD COLUMN status_changed_at TIMESTAMPTZ;

-- Every step of every lead, for good. A lead begins as `new` at its created_at; that is no row here.
CREATE TABLE @extschema@.lead_stage_history (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	lead_id UUID NOT NULL REFERENCES @extschema@.leads(id) ON DELETE CASCADE,
	event TEXT NOT NULL,                      -- qualify, contact …; import: it came in that stage; merge
	from_stage TEXT,
	to_stage TEXT NOT NULL,
	reason TEXT,
	changed_by TEXT NOT NULL,                 -- as given, else the session's role
	changed_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
	details JSONB NOT NULL DEFAULT '{}'
);
CREATE INDEX idx_lead_stage_history_lead ON @extschema@.lead_stage_history (lead_id, changed_at DESC);
CREATE INDEX idx_lead_stage_history_tenant ON @extschema@.lead_stage_history (tenant_id, changed_at DESC);

-- Work that something in a lead's life has caused, one row each, written in the transaction of its cause. What the
-- database does itself is done at once (done_at); the rest waits for whoever carries it out: he locks rows with
-- done_at NULL (FOR UPDATE SKIP LOCKED), does them and sets done_at. Whoever calls or writes to a lead for it asks
-- va_may_contact once more in the transaction in which he does: the lead may have opted out since.
CREATE TABLE @extschema@.lead_actions (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	lead_id UUID NOT NULL REFERENCES @extschema@.leads(id) ON DELETE CASCADE,
	-- The follow-up that this is: never two rows for one task.
	task_id UUID UNIQUE REFERENCES @extschema@.follow_up_tasks(id) ON DELETE SET NULL,
	action TEXT NOT NULL,
	payload JSONB NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(payload) = 'object'),
	created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	done_at TIMESTAMPTZ
);
CREATE INDEX idx_lead_actions_open ON @extschema@.lead_actions (created_at) WHERE done_at IS NULL;
CREATE INDEX idx_lead_actions_lead ON @extschema@.lead_actions (lead_id);
CREATE INDEX idx_lead_actions_tenant ON @extschema@.lead_actions (tenant_id, created_at DESC);

CREATE FUNCTION @extschema@.va_lead_step(p_from text, p_event text, p_to text, p_reason text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_lead_step';
CREATE FUNCTION @extschema@.va_lead_step_actions(p_from text, p_event text, p_to text, p_temperature text) RETURNS text[]
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_lead_step_actions';
CREATE FUNCTION @extschema@.va_lead_stage_trigger() RETURNS trigger
	LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'va_lead_stage_trigger';

CREATE TRIGGER leads_stage BEFORE UPDATE OF status ON @extschema@.leads FOR EACH ROW
	WHEN (OLD.status IS DISTINCT FROM NEW.status)
	EXECUTE FUNCTION @extschema@.va_lead_stage_trigger();

-- ---- what a step causes -------------------------------------------------------------------------

-- Is there an appointment that has neither taken place nor been called off?
CREATE FUNCTION @extschema@.va_lead_has_meeting(p_lead uuid) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN EXISTS (SELECT FROM @extschema@.appointments a WHERE a.lead_id = p_lead AND a.status IN ('scheduled', 'confirmed'));
END
$$;

-- Does the part of a step's work that is the database's own; returns which actions are done by now.
CREATE FUNCTION @extschema@.va_lead_step_done(p_lead @extschema@.leads, p_event text, p_actions text[]) RETURNS text[]
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	-- The cold sequence is the nurture; score and temperature are always true.
	v_done text[] := ARRAY['record_qualification', 'calculate_score', 'assign_temperature', 'plan_follow_ups', 'stop_follow_ups',
						   'add_to_nurture', 'schedule_reminders', 'withdraw_reminders'];
BEGIN
	IF 'plan_follow_ups' = ANY (p_actions) THEN
		PERFORM @extschema@.va_follow_up_begin(p_lead.id, p_event IN ('reopen', 'wake'));
	END IF;
	IF 'stop_follow_ups' = ANY (p_actions) THEN
		PERFORM @extschema@.va_follow_up_end(p_lead.id, CASE p_lead.status WHEN 'meeting_scheduled' THEN 'booking'
			WHEN 'archived' THEN 'archived' ELSE 'closed' END);
	END IF;
	-- An appointment plans its own messages; here only what a step without one being written asks for.
	IF 'schedule_reminders' = ANY (p_actions) THEN
		PERFORM @extschema@.va_appointment_plan(a, false) FROM @extschema@.appointments a
		WHERE a.lead_id = p_lead.id AND a.status IN ('scheduled', 'confirmed')
		  AND NOT EXISTS (SELECT FROM @extschema@.notifications n WHERE n.appointment_id = a.id AND n.status = 'pending');
	END IF;
	IF 'withdraw_reminders' = ANY (p_actions) THEN
		UPDATE @extschema@.notifications n SET status = 'cancelled', error_message = 'the lead: ' || p_event
		WHERE n.lead_id = p_lead.id AND n.status = 'pending' AND n.template_id LIKE 'appointment\_reminder%';
	END IF;
	IF @extschema@.va_lead_has_meeting(p_lead.id) THEN
		v_done := v_done || 'send_whatsapp_confirmation'::text;
	END IF;
	IF EXISTS (SELECT FROM @extschema@.notifications n WHERE n.lead_id = p_lead.id AND n.template_id = 'appointment_feedback') THEN
		v_done := v_done || 'collect_feedback'::text;
	END IF;
	RETURN v_done;
END
$$;

CREATE FUNCTION @extschema@.va_lead_stage_changed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_from text := coalesce(OLD.status, 'new');
	v_actions text[] := '{}';
	v_done text[];
BEGIN
	INSERT INTO @extschema@.lead_stage_history (tenant_id, lead_id, event, from_stage, to_stage, reason, changed_by)
	VALUES (NEW.tenant_id, NEW.id, NEW.status_event, v_from, NEW.status, NEW.status_reason, NEW.status_by);
	IF NEW.status_event <> 'merge' THEN
		v_actions := @extschema@.va_lead_step_actions(v_from, NEW.status_event, NEW.status, coalesce(NEW.lead_temperature, 'cold'));
	END IF;
	-- Who has an appointment needs no follow-up, whichever stages are passed on the way there.
	IF v_actions && ARRAY['plan_follow_ups', 'send_follow_up_email', 'add_to_nurture'] AND @extschema@.va_lead_has_meeting(NEW.id) THEN
		v_actions := ARRAY(SELECT a FROM unnest(v_actions) WITH ORDINALITY AS x (a, n)
			WHERE a <> ALL (ARRAY['plan_follow_ups', 'send_follow_up_email', 'add_to_nurture']) ORDER BY n);
	END IF;
	v_done := @extschema@.va_lead_step_done(NEW, NEW.status_event, v_actions);
	INSERT INTO @extschema@.lead_actions (tenant_id, lead_id, action, payload, done_at)
	SELECT NEW.tenant_id, NEW.id, a.name,
		jsonb_build_object('event', NEW.status_event, 'from', v_from, 'to', NEW.status)
			|| CASE WHEN a.name IN ('calculate_score', 'assign_temperature')
					THEN jsonb_build_object('score', NEW.lead_score, 'temperature', NEW.lead_temperature) ELSE '{}' END,
		CASE WHEN a.name = ANY (v_done) THEN now() END
	FROM unnest(v_actions) WITH ORDINALITY AS a (name, place) ORDER BY a.place;
	PERFORM @extschema@.va_emit(NEW.tenant_id, 'lead_stage_changed', NULL, NEW.id, jsonb_build_object(
		'event', NEW.status_event, 'from', v_from, 'to', NEW.status, 'temperature', NEW.lead_temperature));
	RETURN NULL;
END
$$;
CREATE TRIGGER leads_stage_changed AFTER UPDATE OF status ON @extschema@.leads FOR EACH ROW
	WHEN (OLD.status IS DISTINCT FROM NEW.status)
	EXECUTE FUNCTION @extschema@.va_lead_stage_changed();

-- A lead may come in any stage (from another system, say): that is remembered and causes nothing. A restored row
-- brings its own status_changed_at, and its history with it.
CREATE FUNCTION @extschema@.va_lead_imported() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF TG_WHEN = 'BEFORE' THEN
		NEW.status_changed_at := now();
		NEW.status_by := coalesce(NEW.status_by, nullif(current_setting('role'), 'none'), session_user);
		RETURN NEW;
	END IF;
	INSERT INTO @extschema@.lead_stage_history (tenant_id, lead_id, event, to_stage, reason, changed_by)
	VALUES (NEW.tenant_id, NEW.id, 'import', NEW.status, NEW.status_reason, NEW.status_by);
	RETURN NULL;
END
$$;
CREATE TRIGGER leads_import BEFORE INSERT ON @extschema@.leads FOR EACH ROW
	WHEN (NEW.status <> 'new' AND NEW.status_changed_at IS NULL)
	EXECUTE FUNCTION @extschema@.va_lead_imported();
CREATE TRIGGER leads_imported AFTER INSERT ON @extschema@.leads FOR EACH ROW
	WHEN (NEW.status <> 'new' AND NEW.status_changed_at = now())
	EXECUTE FUNCTION @extschema@.va_lead_imported();

-- ---- steps by name ------------------------------------------------------------------------------

-- The step itself, for a lead whose tenant has been checked. p_to: where an event may lead to several stages.
CREATE FUNCTION @extschema@.va_lead_go(p_lead uuid, p_event text, p_reason text, p_by text, p_to text DEFAULT NULL) RETURNS text
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_from text;
	v_to text := p_to;
BEGIN
	SELECT coalesce(l.status, 'new') INTO v_from FROM @extschema@.leads l WHERE l.id = p_lead FOR NO KEY UPDATE;
	IF p_event = 'wake' AND v_to IS NULL THEN -- to where it was archived
		SELECT h.from_stage INTO v_to FROM @extschema@.lead_stage_history h
		WHERE h.lead_id = p_lead AND h.event = 'archive' ORDER BY h.changed_at DESC LIMIT 1;
	END IF;
	v_to := @extschema@.va_lead_step(v_from, coalesce(p_event, ''), coalesce(v_to, ''), coalesce(p_reason, ''));
	UPDATE @extschema@.leads l SET status = v_to, status_event = p_event,
		status_reason = @extschema@.va_filled(p_reason), status_by = @extschema@.va_filled(p_by)
	WHERE l.id = p_lead;
	RETURN v_to;
END
$$;

-- A lead has an appointment: it goes to meeting_scheduled step by step, each in its history. A new appointment also
-- brings back who was lost or archived (p_back); a won deal stays won.
CREATE FUNCTION @extschema@.va_lead_booked(p_lead uuid, p_back boolean) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_status text;
	v_event text;
BEGIN
	LOOP
		SELECT coalesce(l.status, 'new') INTO v_status FROM @extschema@.leads l WHERE l.id = p_lead FOR NO KEY UPDATE;
		v_event := CASE v_status WHEN 'new' THEN 'qualify' WHEN 'qualified' THEN 'contact' WHEN 'contacted' THEN 'schedule'
			WHEN 'closed_lost' THEN CASE WHEN p_back THEN 'reopen' END WHEN 'archived' THEN CASE WHEN p_back THEN 'wake' END END;
		EXIT WHEN v_event IS NULL;
		PERFORM @extschema@.va_lead_go(p_lead, v_event, 'appointment booked', 'voiceagent');
	END LOOP;
END
$$;

-- An appointment was called off or missed: without another one the lead is where it was before. The lead is locked
-- first, so that of two called off at once the second sees the first.
CREATE FUNCTION @extschema@.va_lead_unbooked(p_lead uuid, p_why text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_status text;
BEGIN
	SELECT l.status INTO v_status FROM @extschema@.leads l WHERE l.id = p_lead FOR NO KEY UPDATE;
	IF v_status = 'meeting_scheduled' AND NOT @extschema@.va_lead_has_meeting(p_lead) THEN
		PERFORM @extschema@.va_lead_go(p_lead, 'unschedule', p_why, 'voiceagent');
	END IF;
END
$$;

CREATE FUNCTION @extschema@.va_lead_advance(lead uuid, event text, reason text DEFAULT NULL, by text DEFAULT NULL) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_lead_row(lead);
	RETURN @extschema@.va_lead_go(lead, event, reason, by);
END
$$;

CREATE FUNCTION @extschema@.va_lead_reopen(lead uuid, reason text, stage text DEFAULT 'contacted', by text DEFAULT NULL) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_lead_row(lead);
	RETURN @extschema@.va_lead_go(lead, 'reopen', reason, by, stage);
END
$$;

CREATE FUNCTION @extschema@.va_lead_archive(lead uuid, reason text DEFAULT NULL, by text DEFAULT NULL) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_lead_row(lead);
	RETURN @extschema@.va_lead_go(lead, 'archive', reason, by);
END
$$;

CREATE FUNCTION @extschema@.va_lead_wake(lead uuid, reason text DEFAULT NULL, by text DEFAULT NULL) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_lead_row(lead);
	RETURN @extschema@.va_lead_go(lead, 'wake', reason, by);
END
$$;

-- ---- the end of a call --------------------------------------------------------------------------

-- A call with a lead is over: it counts as engagement, as a reply to the follow-ups under way, and the first
-- one qualifies. Nothing of this may keep a call from ending: what fails is a warning in the log.
CREATE FUNCTION @extschema@.va_call_lead() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads;
	v_talked boolean := EXISTS (SELECT FROM jsonb_array_elements(NEW.transcript) e WHERE e ->> 'role' = 'user');
BEGIN
	SELECT * INTO v_lead FROM @extschema@.leads l WHERE l.id = NEW.lead_id FOR NO KEY UPDATE;
	IF v_talked AND coalesce(NEW.started_at, NEW.created_at) >= v_lead.follow_ups_since THEN
		PERFORM @extschema@.va_follow_up_end(v_lead.id, 'reply');
	END IF;
	PERFORM @extschema@.va_lead_engage(v_lead.id);
	IF v_lead.status = 'new' AND (v_talked OR v_lead.qualification_data <> '{}') THEN
		PERFORM @extschema@.va_lead_go(v_lead.id, 'qualify', 'call completed', 'voiceagent');
	END IF;
	RETURN NULL;
EXCEPTION
	WHEN serialization_failure OR deadlock_detected THEN
		RAISE;
	WHEN OTHERS THEN
		RAISE WARNING 'lead of an ended call was not brought up to date: %', SQLERRM
			USING DETAIL = format('Call %s, lead %s, SQLSTATE %s.', NEW.id, NEW.lead_id, SQLSTATE),
				  HINT = 'Mend the cause, then call va_lead_advance(lead, ''qualify'') and va_follow_up_plan(lead).';
		RETURN NULL;
END
$$;
CREATE TRIGGER calls_lead AFTER UPDATE OF status, lead_id, duration_seconds, conversation_turns ON @extschema@.calls FOR EACH ROW
	-- A call that moves from one lead to another is no new one.
	WHEN (NEW.status = 'completed' AND NEW.lead_id IS NOT NULL AND coalesce(OLD.lead_id, NEW.lead_id) = NEW.lead_id
		AND (OLD.status, OLD.lead_id, OLD.duration_seconds, OLD.conversation_turns)
			IS DISTINCT FROM (NEW.status, NEW.lead_id, NEW.duration_seconds, NEW.conversation_turns))
	EXECUTE FUNCTION @extschema@.va_call_lead();

-- A message from outside. A keyword is obeyed, whether the sender is known as a lead or not; any other of a lead's is
-- a reply. One that brings a created_at of its own is of the past (restored, copied from another system): it
-- answers nothing now.
CREATE FUNCTION @extschema@.va_message_lead() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_keyword text;
BEGIN
	IF TG_OP = 'INSERT' THEN
		v_keyword := @extschema@.va_message_keyword(NEW);
	END IF;
	IF NEW.lead_id IS NOT NULL THEN
		-- First the end of what runs, then the score: a reply that makes the lead warmer begins the warmer sequence.
		IF v_keyword IS NULL THEN
			PERFORM @extschema@.va_follow_up_end(NEW.lead_id, 'reply');
		END IF;
		PERFORM @extschema@.va_lead_engage(NEW.lead_id);
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER notifications_lead AFTER INSERT ON @extschema@.notifications FOR EACH ROW
	WHEN (NEW.direction = 'inbound' AND NEW.tenant_id IS NOT NULL AND NEW.created_at = now())
	EXECUTE FUNCTION @extschema@.va_message_lead();
CREATE TRIGGER notifications_lead_known AFTER UPDATE OF lead_id ON @extschema@.notifications FOR EACH ROW
	WHEN (NEW.direction = 'inbound' AND NEW.lead_id IS NOT NULL AND OLD.lead_id IS NULL)
	EXECUTE FUNCTION @extschema@.va_message_lead();

-- ---- duplicates ---------------------------------------------------------------------------------

-- How far along the way a stage is; only open ones can be compared.
CREATE FUNCTION @extschema@.va_stage_place(text) RETURNS integer
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN array_position(ARRAY['new', 'qualified', 'contacted', 'meeting_scheduled'], $1);

-- Points everything that points to one lead to another: every foreign key to leads, of this extension's tables and
-- anybody's, and the events, which have none.
CREATE FUNCTION @extschema@.va_lead_move(p_from uuid, p_to uuid) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_table regclass;
	v_column name;
BEGIN
	FOR v_table, v_column IN
		SELECT k.conrelid, a.attname
		FROM pg_constraint k
		CROSS JOIN LATERAL unnest(k.conkey, k.confkey) AS c (own, referred)
		JOIN pg_attribute r ON r.attrelid = k.confrelid AND r.attnum = c.referred AND r.attname = 'id'
		JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.own
		WHERE k.contype = 'f' AND k.confrelid = '@extschema@.leads'::regclass AND k.conparentid = 0
		ORDER BY k.conrelid = '@extschema@.follow_up_tasks'::regclass DESC, k.conrelid::regclass::text, a.attname
	LOOP
		EXECUTE format('UPDATE %s SET %I = $1 WHERE %I = $2', v_table, v_column, v_column) USING p_to, p_from;
	END LOOP;
	UPDATE @extschema@.analytics_events e SET lead_id = p_to WHERE e.lead_id = p_from;
END
$$;

CREATE FUNCTION @extschema@.va_lead_merge(keep uuid, drop uuid) RETURNS uuid
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k @extschema@.leads := @extschema@.va_lead_row(keep);
	d @extschema@.leads := @extschema@.va_lead_row("drop");
	v_further boolean;
	v_by text := coalesce(nullif(current_setting('role'), 'none'), session_user);
BEGIN
	IF keep = "drop" THEN
		RAISE EXCEPTION 'a lead cannot be merged with itself' USING ERRCODE = 'VA024';
	END IF;
	-- Calls, then calendars and appointments, then leads: the order of everybody who locks more than one of them.
	PERFORM FROM @extschema@.calls c WHERE c.lead_id IN (keep, "drop") ORDER BY c.id FOR NO KEY UPDATE;
	PERFORM @extschema@.va_calendar_lock(k.tenant_id);
	PERFORM FROM @extschema@.appointments a WHERE a.lead_id IN (keep, "drop") ORDER BY a.id FOR NO KEY UPDATE;
	PERFORM FROM @extschema@.leads l WHERE l.id IN (keep, "drop") ORDER BY l.id FOR NO KEY UPDATE;
	SELECT * INTO k FROM @extschema@.leads l WHERE l.id = keep;
	SELECT * INTO d FROM @extschema@.leads l WHERE l.id = "drop";
	IF k.id IS NULL OR d.id IS NULL THEN
		RAISE EXCEPTION 'one of the leads has just been merged' USING ERRCODE = 'VA020';
	END IF;
	IF k.tenant_id IS DISTINCT FROM d.tenant_id OR (k.phone = d.phone OR lower(k.email) = lower(d.email)) IS NOT TRUE THEN
		RAISE EXCEPTION 'the leads are not known to be one person' USING ERRCODE = 'VA024',
			DETAIL = 'Neither their telephone numbers nor their e-mail addresses are the same.',
			HINT = 'Correct the number or the address first, if they are.';
	END IF;
	IF k.status IN ('closed_lost', 'archived') AND d.status NOT IN ('closed_lost', 'archived') THEN
		RAISE EXCEPTION 'an open lead cannot be merged into one that is %', k.status USING ERRCODE = 'VA024',
			HINT = 'Merge the other way round, or first call va_lead_reopen or va_lead_wake.';
	END IF;
	-- A deal that was won stays won; of two open leads the one further along says where the one lead is.
	v_further := d.status = 'closed_won' AND k.status <> 'closed_won'
		OR coalesce(@extschema@.va_stage_place(d.status) > @extschema@.va_stage_place(k.status), false);

	UPDATE @extschema@.follow_up_tasks t SET status = 'cancelled', result = jsonb_build_object('why', 'merged')
	WHERE t.lead_id = "drop" AND t.status = 'pending' AND t.sequence_id IS NOT NULL;
	PERFORM @extschema@.va_lead_move("drop", keep);
	UPDATE @extschema@.leads l SET
		first_name = coalesce(k.first_name, d.first_name), last_name = coalesce(k.last_name, d.last_name),
		phone = coalesce(k.phone, d.phone), email = coalesce(k.email, d.email),
		company_name = coalesce(k.company_name, d.company_name),
		qualification_data = coalesce(d.qualification_data, '{}') || coalesce(k.qualification_data, '{}'),
		source = coalesce(k.source, d.source), source_phone_number = coalesce(k.source_phone_number, d.source_phone_number),
		utm_source = coalesce(k.utm_source, d.utm_source), utm_campaign = coalesce(k.utm_campaign, d.utm_campaign),
		odoo_lead_id = coalesce(k.odoo_lead_id, d.odoo_lead_id), assigned_to = coalesce(k.assigned_to, d.assigned_to),
		tags = CASE WHEN coalesce(k.tags, d.tags) IS NOT NULL
					THEN ARRAY(SELECT DISTINCT x FROM unnest(k.tags || d.tags) x ORDER BY x) END,
		custom_fields = coalesce(d.custom_fields, '{}') || coalesce(k.custom_fields, '{}')
			|| jsonb_build_object('merged', coalesce(k.custom_fields -> 'merged', '[]') || coalesce(d.custom_fields -> 'merged', '[]')
				|| jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('id', d.id, 'first_name', d.first_name, 'last_name', d.last_name,
					'phone', d.phone, 'email', d.email, 'company_name', d.company_name, 'odoo_lead_id', d.odoo_lead_id,
					'created_at', d.created_at)))),
		created_at = least(k.created_at, d.created_at),
		follow_ups_since = coalesce(k.follow_ups_since, d.follow_ups_since),
		follow_ups_stopped = CASE WHEN 'opt_out' IN (k.follow_ups_stopped, d.follow_ups_stopped) THEN 'opt_out'
								  WHEN v_further THEN d.follow_ups_stopped ELSE k.follow_ups_stopped END,
		follow_up_round = greatest(k.follow_up_round, d.follow_up_round),
		status = CASE WHEN v_further THEN d.status ELSE k.status END,
		status_event = CASE WHEN v_further THEN 'merge' ELSE k.status_event END,
		status_reason = CASE WHEN v_further THEN d.status_reason ELSE k.status_reason END,
		status_by = CASE WHEN v_further THEN v_by ELSE k.status_by END
	WHERE l.id = keep;
	IF NOT v_further THEN
		INSERT INTO @extschema@.lead_stage_history (tenant_id, lead_id, event, from_stage, to_stage, changed_by)
		VALUES (k.tenant_id, keep, 'merge', k.status, k.status, v_by);
	END IF;
	UPDATE @extschema@.lead_stage_history h SET details = jsonb_build_object('merged', d.id, 'status', d.status)
	WHERE h.id = (SELECT i.id FROM @extschema@.lead_stage_history i WHERE i.lead_id = keep AND i.event = 'merge'
				  ORDER BY i.changed_at DESC LIMIT 1);
	PERFORM @extschema@.va_odoo_merged(k, d);
	DELETE FROM @extschema@.leads l WHERE l.id = "drop";
	IF @extschema@.va_lead_has_meeting(keep) THEN
		PERFORM @extschema@.va_lead_booked(keep, false);
	END IF;
	PERFORM @extschema@.va_lead_engage(keep);
	PERFORM @extschema@.va_follow_up_apply(keep);
	PERFORM @extschema@.va_emit(k.tenant_id, 'lead_merged', NULL, keep, jsonb_build_object('merged', d.id));
	RETURN keep;
END
$$;

GRANT SELECT ON @extschema@.lead_stage_history, @extschema@.lead_actions TO voiceagent_admin, voiceagent_agent, voiceagent_bi;
GRANT UPDATE (done_at) ON @extschema@.lead_actions TO voiceagent_admin;
GRANT EXECUTE ON FUNCTION @extschema@.va_lead_advance(uuid, text, text, text), @extschema@.va_lead_reopen(uuid, text, text, text),
	@extschema@.va_lead_archive(uuid, text, text), @extschema@.va_lead_wake(uuid, text, text), @extschema@.va_lead_merge(uuid, uuid)
	TO voiceagent_admin, voiceagent_agent;
