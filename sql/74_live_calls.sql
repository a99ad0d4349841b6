-- What can be done with a call that is on the line: end it, say something in it, hand it to a person. A person is brought
-- in through a conference: the caller hears the ringing, the leg of the person can be tried with somebody else, and
-- neither side falls out when the other's line breaks for a moment.

INSERT INTO @extschema@.outbox_kinds (kind, description, prepare, settle, repeatable, reconcile, lane, max_attempts, timeout_ms, is_builtin) VALUES
('twilio.hangup', 'ends a call', 'va_prepare_twilio_hangup', NULL, true, 'person', 'live', 8, 15000, true),
-- The same document again does the same: at worst a sentence is said twice.
('twilio.call_update', 'gives a live call another document', 'va_prepare_twilio_call_update', 'va_settle_twilio_call_update', true, 'person', 'live', 3, 15000, true),
('twilio.participant', 'calls a person into a conference', 'va_prepare_twilio_participant', 'va_settle_twilio_participant', false, 'callback', 'live', 3, 20000, true);

-- The caller's call as such: live, or VA053.
CREATE FUNCTION @extschema@.va_live_call(p_call uuid) RETURNS @extschema@.calls
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls := @extschema@.va_call_row(p_call);
BEGIN
	IF v_call.status IS DISTINCT FROM 'in-progress' OR v_call.twilio_call_sid IS NULL OR v_call.end_requested_at IS NOT NULL THEN
		RAISE EXCEPTION 'call % is not on the line', p_call USING ERRCODE = 'VA053', DETAIL = format('Its status is %s.', coalesce(v_call.status, 'not known'));
	END IF;
	RETURN v_call;
END
$$;

-- ---- ending ---------------------------------------------------------------------------------------

-- Ends a call, or takes it back when it has not been placed. False when it was over.
CREATE FUNCTION @extschema@.va_hangup(call uuid) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_tenant uuid := (SELECT c.tenant_id FROM @extschema@.calls c WHERE c.id = va_hangup.call);
	v_call @extschema@.calls;
	v_id bigint;
BEGIN
	IF v_tenant IS NULL OR NOT @extschema@.va_acts_for(v_tenant) THEN
		RAISE EXCEPTION 'unknown call %', coalesce(va_hangup.call::text, 'NULL') USING ERRCODE = 'VA004';
	END IF;
	-- The effect first, then the call: the order in which an outcome is settled.
	SELECT o.id INTO v_id FROM @extschema@.outbox o
	WHERE o.tenant_id = v_tenant AND o.kind = 'twilio.call' AND o.attempt_key = va_hangup.call::text FOR UPDATE;
	v_call := @extschema@.va_call_row(va_hangup.call);
	IF @extschema@.va_call_over(v_call) THEN
		RETURN false;
	END IF;
	UPDATE @extschema@.calls c SET end_requested_at = coalesce(c.end_requested_at, now()) WHERE c.id = v_call.id;
	IF v_id IS NOT NULL AND @extschema@.va_outbox_cancel(v_id) THEN
		PERFORM @extschema@.va_call_failed(v_call.id, 'canceled', '{"code": "cancelled", "text": "taken back before it was placed"}');
	ELSIF v_call.twilio_call_sid IS NOT NULL THEN -- else va_call_adopt ends it as soon as its SID is known
		-- (One may wait already, for a caller who might be left alone.)
		PERFORM @extschema@.va_outbox_retry(@extschema@.va_outbox_add(v_call.tenant_id, 'twilio.hangup', 'hangup:' || v_call.id, '{}', call => v_call.id));
	END IF;
	RETURN true;
END
$$;

-- payload {"sid"}: a leg that is not one of our calls (a person's in a conference).
CREATE FUNCTION @extschema@.va_prepare_twilio_hangup(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls;
	v_sid text;
BEGIN
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = o.call_id;
	v_sid := coalesce(o.payload ->> 'sid', v_call.twilio_call_sid);
	IF v_sid IS NULL OR NOT o.payload ? 'sid' AND @extschema@.va_call_over(v_call) THEN
		RETURN '{"skip": "the call is over"}';
	END IF;
	RETURN @extschema@.va_twilio_request(o.tenant_id, 'POST', format('Calls/%s.json', v_sid), '{"Status": "completed"}', '{"gone_is_done": true}');
END
$$;

-- ---- another document -----------------------------------------------------------------------------

-- Replaces what the call is doing by verbs. p_key names the change.
CREATE FUNCTION @extschema@.va_call_redirect(p_call @extschema@.calls, p_key text, p_verbs jsonb) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_twiml text := @extschema@.va_twiml(p_verbs);
BEGIN
	IF length(v_twiml) > 4000 THEN
		RAISE EXCEPTION 'the document for the call is longer than 4000 characters' USING ERRCODE = 'VA010';
	END IF;
	-- The stream that this ends has not been left by the caller.
	UPDATE @extschema@.calls c SET redirected_at = clock_timestamp() WHERE c.id = p_call.id;
	RETURN @extschema@.va_outbox_add(p_call.tenant_id, 'twilio.call_update', p_key, jsonb_build_object('twiml', v_twiml), call => p_call.id);
END
$$;

CREATE FUNCTION @extschema@.va_prepare_twilio_call_update(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls;
BEGIN
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = o.call_id;
	IF v_call.id IS NULL OR v_call.twilio_call_sid IS NULL OR @extschema@.va_call_over(v_call) THEN
		RETURN '{"skip": "the call is over"}';
	END IF;
	RETURN @extschema@.va_twilio_request(o.tenant_id, 'POST', format('Calls/%s.json', v_call.twilio_call_sid),
		jsonb_build_object('Twiml', o.payload -> 'twiml'), '{"gone_is_done": true}');
END
$$;

CREATE FUNCTION @extschema@.va_settle_twilio_call_update(o @extschema@.outbox, p_outcome text, p_result jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF p_outcome IN ('failed', 'dead') THEN -- the conversation goes on as if nothing had been asked
		UPDATE @extschema@.calls c SET redirected_at = NULL, error_code = left(p_result ->> 'code', 50),
			error_message = left(p_result ->> 'text', 1000), error_hint = left(p_result ->> 'hint', 1000) WHERE c.id = o.call_id;
		PERFORM @extschema@.va_transfer_over(t, 'failed') FROM @extschema@.call_transfers t
		WHERE t.call_id = o.call_id AND o.attempt_key = 'transfer:' || t.id AND t.state = 'ringing';
	END IF;
END
$$;

-- The call's own language, for what Twilio's voice says in it.
CREATE FUNCTION @extschema@.va_call_language(p_call @extschema@.calls) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN coalesce(p_call.dial ->> 'language', (SELECT v.language FROM @extschema@.tenant_voice_configs v
		WHERE v.tenant_id = p_call.tenant_id ORDER BY v.created_at DESC, v.id LIMIT 1), 'en-US');
END
$$;

-- Says something in a live call, in Twilio's voice; then the conversation with the agent goes on where it was. The id of
-- the effect, for va_outbox_explain.
CREATE FUNCTION @extschema@.va_say(call uuid, text text) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls := @extschema@.va_live_call(va_say.call);
	v_settings jsonb := (SELECT t.settings FROM @extschema@.tenants t WHERE t.id = v_call.tenant_id);
BEGIN
	IF @extschema@.va_filled(va_say.text) IS NULL OR length(va_say.text) > 2000 THEN
		RAISE EXCEPTION 'what is to be said needs 1 to 2000 characters' USING ERRCODE = 'VA005';
	ELSIF EXISTS (SELECT FROM @extschema@.call_transfers t WHERE t.call_id = v_call.id AND t.state IN ('ringing', 'joined')) THEN
		RAISE EXCEPTION 'call % is with a person', va_say.call USING ERRCODE = 'VA053';
	END IF;
	RETURN @extschema@.va_call_redirect(v_call, format('say:%s:%s', v_call.id, gen_random_uuid()),
		@extschema@.va_say_verb(v_settings, @extschema@.va_call_language(v_call), va_say.text)
		|| @extschema@.va_stream_verbs(v_call.tenant_id, @extschema@.va_token_create(v_call.id, v_call.tenant_id)));
END
$$;

-- ---- to a person ----------------------------------------------------------------------------------

-- Puts the caller through: to a number, to a person of the tenant, or to the best one that is free (skills, language).
-- message is said to the caller first. No row: nobody is free, and the conversation goes on.
CREATE FUNCTION @extschema@.va_transfer(call uuid, "to" text DEFAULT NULL, agent uuid DEFAULT NULL, skills text[] DEFAULT NULL,
	language text DEFAULT NULL, message text DEFAULT 'One moment, I am putting you through.')
	RETURNS TABLE (transfer_id uuid, agent_id uuid, agent_name text, number text)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_call @extschema@.calls := @extschema@.va_call_row(va_transfer.call);
	v_settings jsonb := (SELECT t.settings FROM @extschema@.tenants t WHERE t.id = v_call.tenant_id);
BEGIN
	IF va_transfer.agent IS NOT NULL THEN
		SELECT h.id, h.name, h.phone INTO agent_id, agent_name, number FROM @extschema@.human_agents h
		WHERE h.id = va_transfer.agent AND h.tenant_id = v_call.tenant_id;
		IF NOT FOUND OR number IS NULL THEN
			RAISE EXCEPTION 'unknown person %, or one without a telephone', va_transfer.agent USING ERRCODE = 'VA033';
		END IF;
	END IF;
	v_call := @extschema@.va_live_call(va_transfer.call);
	IF EXISTS (SELECT FROM @extschema@.call_transfers t WHERE t.call_id = v_call.id AND t.state IN ('ringing', 'joined')) THEN
		RAISE EXCEPTION 'call % is being put through already', va_transfer.call USING ERRCODE = 'VA053';
	END IF;
	-- (With both, the person is rung at this number.)
	number := coalesce(@extschema@.va_phone_normalize(@extschema@.va_filled(va_transfer."to")), number);
	IF agent_id IS NOT NULL THEN
		PERFORM @extschema@.va_agent_hold(v_call, agent_id);
	ELSIF number IS NULL THEN
		SELECT p.agent_id, p.name, p.phone INTO agent_id, agent_name, number
		FROM @extschema@.va_agent_pick(v_call.tenant_id, va_transfer.skills, va_transfer.language, v_call.id) p;
		IF number IS NULL THEN
			PERFORM @extschema@.va_agent_release(v_call.id, false);
			RETURN;
		END IF;
	END IF;
	INSERT INTO @extschema@.call_transfers (tenant_id, call_id, agent_id, target, skills, language, tried)
	VALUES (v_call.tenant_id, v_call.id, agent_id, number, va_transfer.skills, va_transfer.language, array_remove(ARRAY[agent_id], NULL))
	RETURNING id INTO transfer_id;
	UPDATE @extschema@.calls c SET escalated_to_human = true WHERE c.id = v_call.id;
	PERFORM @extschema@.va_call_redirect(v_call, 'transfer:' || transfer_id,
		@extschema@.va_say_verb(v_settings, @extschema@.va_call_language(v_call), va_transfer.message)
		|| @extschema@.va_verb('Dial', NULL, jsonb_build_object('action', @extschema@.va_webhook_url('after-stream'), 'method', 'POST'),
			@extschema@.va_verb('Conference', 'call-' || v_call.id, jsonb_build_object('participantLabel', 'caller', 'beep', false,
				'startConferenceOnEnter', true, 'endConferenceOnExit', true,
				'statusCallback', @extschema@.va_call_url('conference', v_call.id, '&transfer=' || transfer_id),
				'statusCallbackEvent', 'start end join leave'))));
	-- Rung when the caller has come into the conference (its webhook says so), so that nobody talks to an empty room.
	PERFORM @extschema@.va_transfer_ring(transfer_id, v_call.tenant_id, v_call.id, 1, now() + interval '10 seconds');
	PERFORM @extschema@.va_emit(v_call.tenant_id, 'call_transferred', v_call.id, v_call.lead_id,
		jsonb_build_object('transfer_id', transfer_id, 'agent_id', agent_id));
	RETURN NEXT;
END
$$;

-- Keeps a certain person for the call, in place of whoever was kept.
CREATE FUNCTION @extschema@.va_agent_hold(p_call @extschema@.calls, p_agent uuid) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_agent_release(p_call.id, false);
	INSERT INTO @extschema@.agent_reservations (tenant_id, agent_id, call_id) VALUES (p_call.tenant_id, p_agent, p_call.id);
END
$$;

CREATE FUNCTION @extschema@.va_transfer_ring(p_transfer uuid, p_tenant uuid, p_call uuid, p_try integer, p_at timestamptz DEFAULT now()) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_outbox_add(p_tenant, 'twilio.participant', p_transfer || ':' || p_try,
		jsonb_build_object('transfer', p_transfer, 'try', p_try), p_at, call => p_call);
END
$$;

CREATE FUNCTION @extschema@.va_prepare_twilio_participant(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_transfer @extschema@.call_transfers;
	v_call @extschema@.calls;
	v_from text;
BEGIN
	SELECT * INTO v_transfer FROM @extschema@.call_transfers t WHERE t.id = (o.payload ->> 'transfer')::uuid;
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = o.call_id;
	IF v_transfer.state IS DISTINCT FROM 'ringing' OR v_transfer.tries <> (o.payload ->> 'try')::integer OR @extschema@.va_call_over(v_call) THEN
		RETURN '{"skip": "the caller does not wait any more"}';
	END IF;
	v_from := coalesce((SELECT n.phone_number FROM @extschema@.phone_numbers n WHERE n.id = v_call.phone_number_id),
					   CASE v_call.direction WHEN 'outbound' THEN v_call.from_number ELSE v_call.to_number END);
	RETURN @extschema@.va_twilio_request(o.tenant_id, 'POST', format('Conferences/call-%s/Participants.json', v_call.id), jsonb_build_object(
		'From', v_from, 'To', v_transfer.target, 'Label', 'person-' || v_transfer.tries, 'Timeout', 25, 'EarlyMedia', 'true', 'Beep', 'false',
		'EndConferenceOnExit', 'true',
		'StatusCallback', @extschema@.va_call_url('participant', v_call.id, format('&transfer=%s&try=%s', v_transfer.id, v_transfer.tries)),
		'StatusCallbackMethod', 'POST', 'StatusCallbackEvent', '["initiated", "ringing", "answered", "completed"]'::jsonb));
END
$$;

CREATE FUNCTION @extschema@.va_settle_twilio_participant(o @extschema@.outbox, p_outcome text, p_result jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls;
	v_transfer @extschema@.call_transfers;
BEGIN
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = o.call_id FOR NO KEY UPDATE;
	SELECT * INTO v_transfer FROM @extschema@.call_transfers t WHERE t.id = (o.payload ->> 'transfer')::uuid
		AND t.tries = (o.payload ->> 'try')::integer FOR NO KEY UPDATE;
	IF v_transfer.id IS NULL THEN
		RETURN;
	ELSIF p_outcome = 'done' THEN
		UPDATE @extschema@.call_transfers t SET leg_sid = coalesce(t.leg_sid, left(p_result ->> 'sid', 50)) WHERE t.id = v_transfer.id;
	ELSIF p_outcome IN ('failed', 'dead') AND v_transfer.state = 'ringing' THEN
		PERFORM @extschema@.va_transfer_next(v_call, v_transfer);
	END IF;
END
$$;

-- A transfer is at its end. Whoever's telephone still rings for a caller that is gone is let off.
CREATE FUNCTION @extschema@.va_transfer_over(p_transfer @extschema@.call_transfers, p_state text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.call_transfers t SET state = p_state, ended_at = now() WHERE t.id = p_transfer.id AND t.ended_at IS NULL;
	IF FOUND AND p_transfer.leg_sid IS NOT NULL AND coalesce(@extschema@.va_call_rank(p_transfer.last_status), 0) < 5 THEN
		PERFORM @extschema@.va_outbox_add(p_transfer.tenant_id, 'twilio.hangup', 'hangup:' || p_transfer.leg_sid,
			jsonb_build_object('sid', p_transfer.leg_sid), call => p_transfer.call_id);
	END IF;
END
$$;

-- Nobody took the call: the next person, or an apology and a message.
CREATE FUNCTION @extschema@.va_transfer_next(p_call @extschema@.calls, p_transfer @extschema@.call_transfers) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_known jsonb := (SELECT @extschema@.va_settings(t.settings) FROM @extschema@.tenants t WHERE t.id = p_call.tenant_id);
	v_agent uuid;
BEGIN
	IF p_transfer.agent_id IS NOT NULL AND p_transfer.tries < 3 AND NOT @extschema@.va_call_over(p_call) THEN
		v_agent := @extschema@.va_agent_choose(p_call.tenant_id, p_transfer.skills, p_transfer.language, p_transfer.tried);
	END IF;
	IF v_agent IS NOT NULL THEN
		PERFORM @extschema@.va_agent_hold(p_call, v_agent);
		UPDATE @extschema@.call_transfers t SET agent_id = v_agent, tries = t.tries + 1, tried = t.tried || v_agent, leg_sid = NULL,
			last_status = NULL, target = (SELECT h.phone FROM @extschema@.human_agents h WHERE h.id = v_agent) WHERE t.id = p_transfer.id;
		PERFORM @extschema@.va_transfer_ring(p_transfer.id, p_transfer.tenant_id, p_call.id, p_transfer.tries + 1);
		RETURN;
	END IF;
	PERFORM @extschema@.va_transfer_over(p_transfer, 'failed');
	PERFORM @extschema@.va_agent_release(p_call.id, false);
	IF NOT @extschema@.va_call_over(p_call) THEN
		PERFORM @extschema@.va_call_redirect(p_call, 'voicemail:' || p_transfer.id, @extschema@.va_voicemail_verbs(v_known,
			@extschema@.va_call_language(p_call), 'I am sorry, nobody can take your call at the moment.'));
	END IF;
END
$$;

-- The caller is gone: so is what rang for them.
CREATE FUNCTION @extschema@.va_calls_end_transfer() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_transfer_over(t, CASE t.state WHEN 'joined' THEN 'ended' ELSE 'failed' END)
	FROM @extschema@.call_transfers t WHERE t.call_id = NEW.id AND t.ended_at IS NULL;
	RETURN NULL;
END
$$;
CREATE TRIGGER calls_end_transfer AFTER UPDATE OF status ON @extschema@.calls FOR EACH ROW
	WHEN (NEW.status IN ('completed', 'busy', 'failed', 'no-answer', 'canceled') AND OLD.status IS DISTINCT FROM NEW.status)
	EXECUTE FUNCTION @extschema@.va_calls_end_transfer();

GRANT SELECT ON @extschema@.call_transfers TO voiceagent_admin, voiceagent_agent;
GRANT EXECUTE ON FUNCTION @extschema@.va_hangup(uuid), @extschema@.va_say(uuid, text),
	@extschema@.va_transfer(uuid, text, uuid, text[], text, text) TO voiceagent_admin, voiceagent_agent;
