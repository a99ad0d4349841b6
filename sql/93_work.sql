-- Work: how what the database has decided on (messages, follow-ups, the actions of a lead's stages) becomes effects in the
-- outbox, calls, and tasks for people. Each row of work is done exactly once: it is locked, turned into what it asks
-- for, and marked, in one transaction.

ALTER TABLE @extschema@.notifications
	ADD COLUMN follow_up_task_id UUID REFERENCES @extschema@.follow_up_tasks(id) ON DELETE SET NULL;
CREATE INDEX idx_notifications_task ON @extschema@.notifications (follow_up_task_id) WHERE follow_up_task_id IS NOT NULL;
ALTER TABLE @extschema@.calls
	ADD COLUMN follow_up_task_id UUID REFERENCES @extschema@.follow_up_tasks(id) ON DELETE SET NULL;
CREATE INDEX idx_calls_task ON @extschema@.calls (follow_up_task_id) WHERE follow_up_task_id IS NOT NULL;
ALTER TABLE @extschema@.lead_actions
	ADD COLUMN tries INTEGER NOT NULL DEFAULT 0,
	ADD COLUMN run_at TIMESTAMPTZ NOT NULL DEFAULT now(),
	ADD COLUMN result JSONB;                 -- what became of it, or {"error": …}
-- What is due, for the scheduler.
CREATE INDEX idx_lead_actions_due ON @extschema@.lead_actions (run_at) WHERE done_at IS NULL;

-- ---- messages -----------------------------------------------------------------------------------

-- A tenant's own template takes the place of what was written in its name.
CREATE FUNCTION @extschema@.va_notification_words() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_template @extschema@.message_templates := @extschema@.va_template_find(NEW.tenant_id, NEW.template_id, NEW.channel,
		@extschema@.va_lead_language(NEW.tenant_id, NEW.lead_id));
	v_values jsonb;
BEGIN
	IF v_template.id IS NOT NULL AND (v_template.tenant_id IS NOT NULL OR NEW.body IS NULL) THEN
		v_values := @extschema@.va_template_values(NEW.tenant_id, NEW.lead_id, NEW.template_data);
		NEW.body := @extschema@.va_template_fill(v_template.body, v_values);
		NEW.subject := left(coalesce(@extschema@.va_template_fill(v_template.subject, v_values), NEW.subject), 255);
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER notifications_words BEFORE INSERT OR UPDATE OF body, template_data ON @extschema@.notifications FOR EACH ROW
	WHEN (NEW.direction = 'outbound' AND NEW.status = 'pending' AND NEW.template_id IS NOT NULL)
	EXECUTE FUNCTION @extschema@.va_notification_words();

-- A message is an effect of the outbox from the transaction that writes it, keyed by its row and due at its time: moved,
-- it waits, withdrawn, it is passed over. Without a service that carries it, it stays pending.
CREATE FUNCTION @extschema@.va_notification_written() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	-- Somebody waits for these: a person on the line, or one at the screen.
	v_lane text := CASE WHEN NEW.notification_type IN ('confirmation', 'escalation', 'assignment', 'message', 'reply') THEN 'live' END;
BEGIN
	IF NEW.channel = 'email' AND @extschema@.va_email_provider(NEW.tenant_id) IS NOT NULL THEN
		PERFORM @extschema@.va_email_queue(NEW.id, v_lane);
	ELSIF NEW.channel IN ('sms', 'whatsapp') AND @extschema@.va_tenant_account(NEW.tenant_id) IS NOT NULL THEN
		PERFORM @extschema@.va_message_queue(NEW.id, v_lane);
	END IF;
	RETURN NULL;
END
$$;
-- A row that brings a created_at of its own is restored or copied, and the outbox with it.
CREATE TRIGGER notifications_written AFTER INSERT ON @extschema@.notifications FOR EACH ROW
	WHEN (NEW.direction = 'outbound' AND NEW.status IN ('pending', 'queued') AND NEW.created_at = now())
	EXECUTE FUNCTION @extschema@.va_notification_written();
CREATE TRIGGER notifications_moved AFTER UPDATE OF scheduled_for, status ON @extschema@.notifications FOR EACH ROW
	WHEN (NEW.direction = 'outbound' AND NEW.status = 'pending'
		AND (NEW.scheduled_for < OLD.scheduled_for OR OLD.status IN ('failed', 'cancelled')))
	EXECUTE FUNCTION @extschema@.va_notification_written();

-- Writes to a lead: a text of one's own, or a template. at: not before. later: when the rules of contact do not allow
-- it then, as soon as they do; otherwise that is an error. Returns the message's id (notifications.id).
-- Errors: VA020 unknown lead; VA005 no text, two texts, unknown channel or template; VA034 the lead may not be written to.
CREATE FUNCTION @extschema@.va_send_message(lead uuid, channel text, body text DEFAULT NULL, template text DEFAULT NULL, subject text DEFAULT NULL,
	data jsonb DEFAULT '{}', at timestamptz DEFAULT now(), later boolean DEFAULT false, notification_type text DEFAULT 'message') RETURNS uuid
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_lead @extschema@.leads := @extschema@.va_lead_row(lead);
	v_verdict record;
	v_subject text := va_send_message.subject;
	v_body text := va_send_message.body;
	v_id uuid;
BEGIN
	IF (@extschema@.va_filled(va_send_message.body) IS NULL) = (va_send_message.template IS NULL) THEN
		RAISE EXCEPTION 'a message has either a body or a template' USING ERRCODE = 'VA005';
	ELSIF (va_send_message.channel IN ('sms', 'whatsapp', 'email')) IS NOT TRUE THEN
		RAISE EXCEPTION 'unknown channel "%"', coalesce(va_send_message.channel, 'NULL') USING ERRCODE = 'VA005',
			HINT = 'Messages go by sms, whatsapp or email.';
	ELSIF at IS NULL OR NOT isfinite(at) THEN
		RAISE EXCEPTION 'a message has a time' USING ERRCODE = 'VA005';
	END IF;
	SELECT * INTO v_verdict FROM @extschema@.va_contact_verdict(v_lead, va_send_message.channel, greatest(at, now()));
	IF v_verdict.verdict = 'never' OR v_verdict.verdict = 'not_now' AND (NOT later OR v_verdict.until IS NULL) THEN
		RAISE EXCEPTION 'this lead may not be written to%: %', coalesce(' before ' || v_verdict.until, ''), v_verdict.why
			USING ERRCODE = 'VA034', HINT = CASE v_verdict.verdict WHEN 'never' THEN 'va_may_contact tells the rules; va_opt_in and va_consent_record change them.'
					ELSE 'Give later => true to have it sent as soon as it is allowed.' END;
	END IF;
	IF va_send_message.template IS NOT NULL THEN
		SELECT coalesce(v_subject, r.subject), r.body INTO v_subject, v_body
		FROM @extschema@.va_template_render(v_lead.tenant_id, va_send_message.template, va_send_message.channel, lead, data) r;
	END IF;
	INSERT INTO @extschema@.notifications (tenant_id, lead_id, channel, direction, to_address, subject, body, template_id, template_data,
		scheduled_for, notification_type)
	VALUES (v_lead.tenant_id, lead, va_send_message.channel, 'outbound',
		CASE va_send_message.channel WHEN 'email' THEN lower(v_lead.email) ELSE v_lead.phone END,
		CASE va_send_message.channel WHEN 'email' THEN left(v_subject, 255) END, v_body, va_send_message.template, data,
		coalesce(v_verdict.until, greatest(at, now())), left(va_send_message.notification_type, 50))
	RETURNING id INTO v_id;
	RETURN v_id;
END
$$;

-- ---- what a stage or a step asks for ------------------------------------------------------------

-- A task for a person: the lead's own, else the one who would be picked, else whoever looks at the list first.
CREATE FUNCTION @extschema@.va_human_task(p_lead @extschema@.leads, p_title text, p_text text, p_due timestamptz) RETURNS uuid
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_id uuid;
BEGIN
	INSERT INTO @extschema@.follow_up_tasks (tenant_id, lead_id, task_type, title, description, scheduled_for, is_ai_task, assigned_to)
	VALUES (p_lead.tenant_id, p_lead.id, 'task', left(p_title, 255), p_text, p_due, false,
		coalesce(p_lead.assigned_to, @extschema@.va_agent_choose(p_lead.tenant_id, NULL, @extschema@.va_lead_language(p_lead.tenant_id, p_lead.id))))
	RETURNING id INTO v_id;
	RETURN v_id;
END
$$;

-- How a lead is called in a message to the tenant's own people.
CREATE FUNCTION @extschema@.va_lead_title(p_lead @extschema@.leads) RETURNS text
	LANGUAGE sql IMMUTABLE
	RETURN concat_ws(', ', nullif(btrim(concat_ws(' ', p_lead.first_name, p_lead.last_name)), ''), p_lead.company_name, p_lead.phone, p_lead.email);

-- A person for a hot lead.
CREATE FUNCTION @extschema@.va_action_assign(p_lead @extschema@.leads) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_agent @extschema@.human_agents;
BEGIN
	IF p_lead.assigned_to IS NOT NULL THEN
		RETURN jsonb_build_object('assigned_to', p_lead.assigned_to, 'why', 'assigned before');
	END IF;
	SELECT * INTO v_agent FROM @extschema@.human_agents h
	WHERE h.id = @extschema@.va_agent_choose(p_lead.tenant_id, NULL, @extschema@.va_lead_language(p_lead.tenant_id, p_lead.id));
	IF v_agent.id IS NULL THEN
		-- Nobody is on duty: whoever has the fewest leads under way, by priority.
		SELECT h.* INTO v_agent FROM @extschema@.human_agents h WHERE h.tenant_id = p_lead.tenant_id AND h.is_available
		ORDER BY coalesce(h.priority, 0) DESC, (SELECT count(*) FROM @extschema@.leads l
			WHERE l.assigned_to = h.id AND l.tenant_id = h.tenant_id AND l.status IN ('new', 'qualified', 'contacted', 'meeting_scheduled')), h.id LIMIT 1;
	END IF;
	IF v_agent.id IS NULL THEN
		PERFORM @extschema@.va_notify_staff(p_lead.tenant_id, 'A hot lead waits for somebody', @extschema@.va_lead_title(p_lead),
			jsonb_build_object('lead_id', p_lead.id));
		RETURN jsonb_build_object('why', 'the tenant has nobody who is available');
	END IF;
	UPDATE @extschema@.leads l SET assigned_to = v_agent.id WHERE l.id = p_lead.id;
	INSERT INTO @extschema@.notifications (tenant_id, channel, direction, to_address, subject, body, template_id, template_data, scheduled_for, notification_type)
	VALUES (p_lead.tenant_id, 'email', 'outbound', lower(v_agent.email), 'A hot lead is yours',
		format(E'%s\n\nScore %s. Please call within the hour.', @extschema@.va_lead_title(p_lead), round(p_lead.lead_score::numeric, 2)), 'staff_notice',
		jsonb_build_object('lead_id', p_lead.id), now(), 'assignment');
	RETURN jsonb_build_object('assigned_to', v_agent.id);
END
$$;

-- A message of a step or stage to the lead; the result says which, or why none. p_task: the follow-up it belongs to.
CREATE FUNCTION @extschema@.va_action_message(p_lead @extschema@.leads, p_channel text, p_template text, p_task uuid, p_type text) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_verdict record;
	v_id uuid;
	v_text record;
	v_template text := p_template;
BEGIN
	SELECT * INTO v_verdict FROM @extschema@.va_contact_verdict(p_lead, p_channel, now());
	IF v_verdict.verdict = 'never' OR v_verdict.verdict = 'not_now' AND v_verdict.until IS NULL THEN
		RETURN jsonb_build_object('channel', p_channel, 'why', v_verdict.why);
	END IF;
	IF (@extschema@.va_template_find(p_lead.tenant_id, v_template, p_channel, NULL)).id IS NULL THEN
		v_template := 'follow_up';           -- a tenant's sequence may have purposes without a template of their own
	END IF;
	SELECT * INTO v_text FROM @extschema@.va_template_render(p_lead.tenant_id, v_template, p_channel, p_lead.id);
	INSERT INTO @extschema@.notifications (tenant_id, lead_id, channel, direction, to_address, subject, body, template_id, scheduled_for,
		notification_type, follow_up_task_id)
	VALUES (p_lead.tenant_id, p_lead.id, p_channel, 'outbound', CASE p_channel WHEN 'email' THEN lower(p_lead.email) ELSE p_lead.phone END,
		left(v_text.subject, 255), v_text.body, v_template, coalesce(v_verdict.until, now()), p_type, p_task)
	RETURNING id INTO v_id;
	RETURN jsonb_build_object('channel', p_channel, 'notification_id', v_id);
END
$$;

-- The last step of the cold sequence: a lead that was heard of within thirty days is for a person, any other is archived.
CREATE FUNCTION @extschema@.va_action_archive_or_wake(p_lead @extschema@.leads) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF EXISTS (SELECT FROM @extschema@.notifications n WHERE n.lead_id = p_lead.id AND n.direction = 'inbound' AND n.created_at > now() - interval '30 days')
	   OR EXISTS (SELECT FROM @extschema@.calls c WHERE c.lead_id = p_lead.id AND c.direction = 'inbound' AND c.started_at > now() - interval '30 days') THEN
		RETURN jsonb_build_object('task_id', @extschema@.va_human_task(p_lead, 'A cold lead is back: call ' || @extschema@.va_lead_title(p_lead),
			'It was in touch within the last thirty days.', now()));
	END IF;
	PERFORM @extschema@.va_lead_go(p_lead.id, 'archive', 'no answer to the whole sequence', 'voiceagent');
	RETURN '{"archived": true}';
END
$$;

-- One channel of a follow-up step.
CREATE FUNCTION @extschema@.va_action_step(p_lead @extschema@.leads, p_channel text, p_payload jsonb) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_task uuid := (p_payload ->> 'task_id')::uuid;
	v_purpose text := p_payload ->> 'purpose';
	v_call uuid;
BEGIN
	CASE p_channel
		WHEN 'ai_call' THEN
			v_call := @extschema@.va_dial(lead => p_lead.id, prompt => coalesce(@extschema@.va_filled(p_payload ->> 'hint'),
				format('You call somebody who talked to us before. The purpose of this call: %s.', replace(v_purpose, '_', ' '))));
			UPDATE @extschema@.calls c SET follow_up_task_id = v_task WHERE c.id = v_call;
			RETURN jsonb_build_object('channel', p_channel, 'call_id', v_call);
		WHEN 'human_call' THEN
			RETURN jsonb_build_object('channel', p_channel, 'task_id',
				@extschema@.va_human_task(p_lead, 'Call ' || @extschema@.va_lead_title(p_lead), initcap(replace(v_purpose, '_', ' ')), now()));
		WHEN 'internal' THEN
			RETURN CASE v_purpose WHEN 'archive_or_wake' THEN @extschema@.va_action_archive_or_wake(p_lead)
				ELSE jsonb_build_object('task_id', @extschema@.va_human_task(p_lead, initcap(replace(v_purpose, '_', ' ')), NULL, now())) END;
		ELSE
			RETURN @extschema@.va_action_message(p_lead, p_channel, v_purpose, v_task, 'follow_up');
	END CASE;
END
$$;

-- A follow-up step: all of its channels. The task is done when everything it sent has an end; what sent nothing is done
-- at once.
CREATE FUNCTION @extschema@.va_action_follow_up(p_lead @extschema@.leads, p_payload jsonb) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_results jsonb := '[]';
	v_channel text;
	v_task uuid := (p_payload ->> 'task_id')::uuid;
BEGIN
	FOR v_channel IN SELECT jsonb_array_elements_text(p_payload -> 'channels') LOOP
		v_results := v_results || @extschema@.va_action_step(p_lead, v_channel, p_payload);
	END LOOP;
	UPDATE @extschema@.follow_up_tasks t SET result = v_results, status = CASE
		WHEN v_results @? '$[*] ? (exists(@.notification_id) || exists(@.call_id))' THEN 'in_progress'
		WHEN v_results @? '$[*] ? (exists(@.task_id) || exists(@.archived))' THEN 'completed' ELSE 'skipped' END
	WHERE t.id = v_task;
	-- What failed at once has told its task before the task was in progress.
	PERFORM @extschema@.va_task_settle(v_task);
	RETURN v_results;
END
$$;

-- What an action of a lead's life comes to; the result is kept with it.
CREATE FUNCTION @extschema@.va_lead_action_do(p_action @extschema@.lead_actions) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads;
BEGIN
	SELECT * INTO v_lead FROM @extschema@.leads l WHERE l.id = p_action.lead_id FOR NO KEY UPDATE;
	IF NOT EXISTS (SELECT FROM @extschema@.tenants t WHERE t.id = p_action.tenant_id AND t.status = 'active') THEN
		RETURN '{"why": "the tenant is not active"}';
	END IF;
	CASE p_action.action
		WHEN 'follow_up' THEN
			RETURN @extschema@.va_action_follow_up(v_lead, p_action.payload);
		WHEN 'assign_human_agent' THEN
			RETURN @extschema@.va_action_assign(v_lead);
		WHEN 'send_follow_up_email' THEN
			-- Not on top of the sequence's own e-mail of the same day.
			IF EXISTS (SELECT FROM @extschema@.notifications n WHERE n.lead_id = v_lead.id AND n.channel = 'email' AND n.direction = 'outbound'
					   AND n.notification_type = 'follow_up' AND n.status NOT IN ('failed', 'cancelled') AND n.created_at > now() - interval '24 hours') THEN
				RETURN '{"why": "the sequence wrote an e-mail within the last 24 hours"}';
			END IF;
			RETURN @extschema@.va_action_message(v_lead, 'email', 'follow_up', NULL, 'follow_up');
		WHEN 'send_whatsapp_confirmation', 'create_calendar_event' THEN
			RETURN jsonb_build_object('why', CASE WHEN EXISTS (SELECT FROM @extschema@.appointments a
					WHERE a.lead_id = v_lead.id AND a.status IN ('scheduled', 'confirmed'))
				THEN 'comes with the appointment' ELSE 'there is no appointment' END);
		WHEN 'collect_feedback' THEN
			IF EXISTS (SELECT FROM @extschema@.notifications n WHERE n.lead_id = v_lead.id AND n.template_id = 'appointment_feedback'
					   AND n.status <> 'cancelled' AND n.created_at > now() - interval '14 days') THEN
				RETURN '{"why": "asked after the appointment"}';
			END IF;
			RETURN (SELECT @extschema@.va_action_message(v_lead, r.channel, 'appointment_feedback', NULL, 'feedback')
				FROM @extschema@.va_message_route(v_lead, now()) r WHERE r.channel IS NOT NULL);
		WHEN 'define_next_steps' THEN
			RETURN jsonb_build_object('task_id', @extschema@.va_human_task(v_lead, 'Define the next steps with ' || @extschema@.va_lead_title(v_lead),
				format('The lead is %s.', replace(v_lead.status, '_', ' ')), now()));
		WHEN 'update_deal_value' THEN
			RETURN jsonb_build_object('why', CASE WHEN v_lead.odoo_sync_status = 'disabled' THEN 'no CRM is connected' ELSE 'goes with the lead to the CRM' END);
		ELSE
			RETURN '{"why": "nobody does this"}';
	END CASE;
END
$$;

-- Does one action; an error is kept, tried again with growing patience, and given up after five tries, visibly.
CREATE FUNCTION @extschema@.va_lead_action_try(p_action @extschema@.lead_actions) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_result jsonb;
BEGIN
	BEGIN
		v_result := coalesce(@extschema@.va_lead_action_do(p_action), '{}');
		UPDATE @extschema@.lead_actions a SET done_at = now(), result = v_result, tries = a.tries + 1 WHERE a.id = p_action.id;
	EXCEPTION
		WHEN serialization_failure OR deadlock_detected OR query_canceled THEN
			RAISE;
		WHEN OTHERS THEN
			UPDATE @extschema@.lead_actions a SET tries = a.tries + 1, result = jsonb_build_object('error', SQLERRM, 'sqlstate', SQLSTATE),
				run_at = now() + make_interval(mins => (5 ^ least(a.tries, 4))::integer),
				done_at = CASE WHEN a.tries >= 4 THEN now() END WHERE a.id = p_action.id;
			IF p_action.tries >= 4 THEN
				UPDATE @extschema@.follow_up_tasks t SET status = 'failed', result = jsonb_build_object('why', SQLERRM) WHERE t.id = p_action.task_id;
				PERFORM @extschema@.va_emit(p_action.tenant_id, 'lead_action_failed', NULL, p_action.lead_id,
					jsonb_build_object('action', p_action.action, 'action_id', p_action.id, 'error', SQLERRM));
			END IF;
	END;
END
$$;

-- Does the open actions; returns how many it dealt with. For the scheduler.
CREATE FUNCTION @extschema@.va_lead_actions_due("limit" integer DEFAULT 100) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	a @extschema@.lead_actions;
	v_count integer := 0;
BEGIN
	FOR a IN
		SELECT * FROM @extschema@.lead_actions d WHERE d.done_at IS NULL AND d.run_at <= now()
		ORDER BY d.run_at LIMIT greatest("limit", 0) FOR UPDATE SKIP LOCKED
	LOOP
		v_count := v_count + 1;
		PERFORM @extschema@.va_lead_action_try(a);
	END LOOP;
	RETURN v_count;
END
$$;

CREATE FUNCTION @extschema@.va_lead_actions_next() RETURNS timestamptz
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT d.run_at FROM @extschema@.lead_actions d WHERE d.done_at IS NULL ORDER BY d.run_at LIMIT 1);
END
$$;

-- ---- what became of it --------------------------------------------------------------------------

-- A follow-up under way whose messages and calls all have an end is completed when one of them reached somebody, and
-- failed otherwise, with the reasons.
CREATE FUNCTION @extschema@.va_task_settle(p_task uuid) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_sum record;
BEGIN
	PERFORM FROM @extschema@.follow_up_tasks t WHERE t.id = p_task AND t.status = 'in_progress' FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	SELECT count(*) FILTER (WHERE e.state = 'open') AS open, count(*) FILTER (WHERE e.state = 'reached') AS reached,
		   jsonb_agg(jsonb_strip_nulls(jsonb_build_object('channel', e.channel, 'status', e.status, 'why', e.why)) ORDER BY e.channel) AS results INTO v_sum
	FROM (SELECT n.channel::text, n.status::text, n.error_message AS why, CASE WHEN n.status IN ('pending', 'queued', 'sending') THEN 'open'
				WHEN n.status IN ('sent', 'delivered', 'read') THEN 'reached' ELSE 'not' END AS state
		  FROM @extschema@.notifications n WHERE n.follow_up_task_id = p_task
		  UNION ALL
		  SELECT 'ai_call', c.status::text, NULL, CASE WHEN c.status IN ('queued', 'initiated', 'ringing', 'in-progress') THEN 'open'
				WHEN c.status = 'completed' THEN 'reached' ELSE 'not' END
		  FROM @extschema@.calls c WHERE c.follow_up_task_id = p_task) e;
	IF v_sum.open = 0 THEN
		UPDATE @extschema@.follow_up_tasks t SET status = CASE WHEN v_sum.reached > 0 THEN 'completed' ELSE 'failed' END,
			executed_at = now(), result = v_sum.results WHERE t.id = p_task;
	END IF;
END
$$;

CREATE FUNCTION @extschema@.va_task_follow() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_task_settle(NEW.follow_up_task_id);
	RETURN NULL;
END
$$;
CREATE TRIGGER notifications_task AFTER UPDATE OF status ON @extschema@.notifications FOR EACH ROW
	WHEN (NEW.follow_up_task_id IS NOT NULL AND NEW.status IS DISTINCT FROM OLD.status)
	EXECUTE FUNCTION @extschema@.va_task_follow();
CREATE TRIGGER calls_task AFTER UPDATE OF status ON @extschema@.calls FOR EACH ROW
	WHEN (NEW.follow_up_task_id IS NOT NULL AND NEW.status IS DISTINCT FROM OLD.status)
	EXECUTE FUNCTION @extschema@.va_task_follow();

GRANT EXECUTE ON FUNCTION @extschema@.va_send_message(uuid, text, text, text, text, jsonb, timestamptz, boolean, text)
	TO voiceagent_admin, voiceagent_agent;
GRANT EXECUTE ON FUNCTION @extschema@.va_lead_actions_due(integer), @extschema@.va_lead_actions_next() TO voiceagent_admin;
