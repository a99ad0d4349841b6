-- Twilio's voice webhooks. The gateway has verified the signature with a token of p_account_sid; here it is
-- checked that the number or call is that account's. Everything may come twice, late, or out of
-- order: each function locks the call's row first and decides by what the row says.
--
-- All have one shape; body NULL means 204.

-- Does the request come from an account that is not the tenant's? Counted.
CREATE FUNCTION @extschema@.va_foreign_account(p_tenant uuid, p_account_sid text, p_gateway text) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF @extschema@.va_tenant_account(p_tenant) IS NOT DISTINCT FROM p_account_sid AND p_account_sid IS NOT NULL THEN
		RETURN false;
	END IF;
	PERFORM @extschema@.va_count(p_gateway, 'rejected.wrong_account');
	RETURN true;
END
$$;

-- The call that we placed and that the address of the webhook names, its row locked. It takes over the SID when that was
-- not known yet: Twilio's request may be faster than its answer, and the answer may be lost. NULL: there is none, or
-- it has another SID already.
CREATE FUNCTION @extschema@.va_call_by_key(p_params jsonb) RETURNS @extschema@.calls
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_sid text := left(@extschema@.va_filled(p_params ->> 'CallSid'), 50);
	v_call @extschema@.calls;
BEGIN
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = @extschema@.va_uuid_try(p_params ->> 'url_call') AND c.direction = 'outbound'
		AND @extschema@.va_tenant_account(c.tenant_id) = p_params ->> 'AccountSid';
	IF NOT FOUND OR v_sid IS NULL THEN
		RETURN NULL;
	END IF;
	IF v_call.twilio_call_sid IS NULL THEN
		-- The effect first, then the call: the order in which the dispatcher settles.
		PERFORM @extschema@.va_outbox_found(v_call.tenant_id, 'twilio.call', v_call.id::text, jsonb_build_object('sid', v_sid, 'by', 'callback'));
		SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = v_call.id FOR NO KEY UPDATE;
		PERFORM @extschema@.va_call_adopt(v_call, v_sid);
	END IF;
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = v_call.id FOR NO KEY UPDATE;
	IF v_call.twilio_call_sid = v_sid THEN
		RETURN v_call;
	END IF;
	PERFORM @extschema@.va_emit(v_call.tenant_id, 'call_doubled', v_call.id, v_call.lead_id, jsonb_build_object('sid', v_sid));
	RETURN NULL;
END
$$;

-- The call of a webhook, its row locked; NULL when there is none.
CREATE FUNCTION @extschema@.va_call_by_sid(p_params jsonb) RETURNS @extschema@.calls
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls;
BEGIN
	SELECT * INTO v_call FROM @extschema@.calls c
	WHERE c.twilio_call_sid = p_params ->> 'CallSid' FOR NO KEY UPDATE;
	IF NOT FOUND AND p_params ? 'url_call' THEN
		v_call := @extschema@.va_call_by_key(p_params);
	END IF;
	RETURN v_call;
END
$$;

-- What was decided on this delivery when it came before; NULL when it is new.
CREATE FUNCTION @extschema@.va_receipt(p_account_sid text, p_endpoint text, p_idempotency text) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT r.decision FROM @extschema@.webhook_receipts r
	WHERE r.account_sid = p_account_sid AND r.endpoint = p_endpoint AND r.idempotency = left(p_idempotency, 200));
END
$$;

CREATE FUNCTION @extschema@.va_receipt_store(p_account_sid text, p_endpoint text, p_idempotency text,
	p_call @extschema@.calls, p_decision text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	INSERT INTO @extschema@.webhook_receipts (account_sid, endpoint, idempotency, tenant_id, call_id, decision)
	SELECT p_account_sid, p_endpoint, left(p_idempotency, 200), p_call.tenant_id, p_call.id, p_decision
	WHERE p_idempotency IS NOT NULL
	ON CONFLICT DO NOTHING;
END
$$;

-- Finds or creates the call that an answer (or fallback) webhook is about. `reject`: why there is none. A
-- new call is inserted as it will be once answered, which is now: a second version of the row would
-- need a second entry in each index.
CREATE FUNCTION @extschema@.va_call_arrive(p_account_sid text, p_params jsonb, p_gateway text,
	OUT arrived @extschema@.calls, OUT created boolean, OUT reject text) RETURNS record
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_sid text := left(@extschema@.va_filled(p_params ->> 'CallSid'), 50);
	v_outbound boolean := coalesce(p_params ->> 'Direction' LIKE 'outbound%', false);
	v_ours text := CASE WHEN v_outbound THEN p_params ->> 'From' ELSE p_params ->> 'To' END;
	v_theirs text := CASE WHEN v_outbound THEN p_params ->> 'To' ELSE p_params ->> 'From' END;
	v_tenant record; -- and the number, for a new call
BEGIN
	created := false;
	IF v_sid IS NULL THEN
		reject := 'no_call_sid';
		RETURN;
	END IF;
	arrived := @extschema@.va_call_by_sid(p_params);
	IF arrived.id IS NULL AND p_params ? 'url_call' THEN -- placed by us, and none of ours (any more)
		reject := 'unknown_call';
		RETURN;
	ELSIF arrived.id IS NOT NULL THEN
		SELECT t.id, t.status, @extschema@.va_settings(t.settings) AS known, NULL::uuid AS number INTO v_tenant
		FROM @extschema@.tenants t WHERE t.id = arrived.tenant_id;
	ELSE
		SELECT n.tenant_id AS id, t.status, @extschema@.va_settings(t.settings) AS known, n.id AS number INTO v_tenant
		FROM @extschema@.phone_numbers n LEFT JOIN @extschema@.tenants t ON t.id = n.tenant_id
		WHERE n.phone_number = @extschema@.va_phone_try(v_ours) AND n.phone_type = 'voice' AND n.is_active;
		IF NOT FOUND THEN
			reject := 'unknown_number';
			RETURN;
		END IF;
	END IF;
	IF coalesce(@extschema@.va_known_text(v_tenant.known, 'twilio_account_sid', NULL) <> p_account_sid, true) THEN
		PERFORM @extschema@.va_count(p_gateway, 'rejected.wrong_account');
		reject := 'wrong_account';
	ELSIF v_tenant.status IS DISTINCT FROM 'active' THEN
		reject := 'inactive_tenant';
	ELSIF arrived.id IS NULL AND @extschema@.va_tenant_busy(v_tenant.id, v_sid, v_tenant.known) THEN
		reject := 'busy_tenant';
	END IF;
	IF reject IS NOT NULL OR arrived.id IS NOT NULL THEN
		RETURN;
	END IF;
	INSERT INTO @extschema@.calls (tenant_id, lead_id, twilio_call_sid, direction, from_number, to_number, status,
								   started_at, phone_number_id)
	VALUES (v_tenant.id,
			(SELECT l.id FROM @extschema@.leads l
			 WHERE l.tenant_id = v_tenant.id AND l.phone = @extschema@.va_phone_try(v_theirs)
			 ORDER BY l.created_at, l.id LIMIT 1),
			v_sid, CASE WHEN v_outbound THEN 'outbound' ELSE 'inbound' END,
			left(coalesce(@extschema@.va_phone_try(p_params ->> 'From'), p_params ->> 'From'), 20),
			left(coalesce(@extschema@.va_phone_try(p_params ->> 'To'), p_params ->> 'To'), 20),
			'in-progress', now(), v_tenant.number)
	ON CONFLICT (twilio_call_sid) DO NOTHING
	RETURNING * INTO arrived;
	created := FOUND;
	IF NOT created THEN -- the same delivery, on another connection, was faster
		arrived := @extschema@.va_call_by_sid(p_params);
	END IF;
END
$$;

-- How many calls the tenant has on the line. A call whose end Twilio never told counts no longer than it may
-- last. (A bitmap scan visits each page once and not once for each call, which halves the time where there are
-- hundreds; the planner cannot know, since the table's statistics say nothing of this moment.)
CREATE FUNCTION @extschema@.va_tenant_calls(p_tenant uuid, p_since timestamptz) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_indexscan = off AS $$
BEGIN
	RETURN (SELECT count(*) FROM @extschema@.calls c WHERE c.tenant_id = p_tenant AND c.started_at > p_since
			AND c.status IN ('queued', 'initiated', 'ringing', 'in-progress'));
END
$$;

-- Has the tenant as many calls as its setting max_concurrent_calls allows, without this one? The tenant's row
-- is locked, so that two calls at once count each other. (And one that was delivered twice not itself.)
CREATE FUNCTION @extschema@.va_tenant_busy(p_tenant uuid, p_call_sid text, p_known jsonb) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_limit integer := @extschema@.va_known_integer(p_known, 'max_concurrent_calls', NULL);
	v_since timestamptz := now() - make_interval(secs => 60 + @extschema@.va_known_integer(p_known, 'max_call_seconds', 1800));
BEGIN
	IF v_limit IS NULL THEN
		RETURN false;
	END IF;
	PERFORM FROM @extschema@.tenants t WHERE t.id = p_tenant FOR NO KEY UPDATE;
	PERFORM FROM @extschema@.calls c WHERE c.twilio_call_sid = p_call_sid;
	RETURN NOT FOUND AND @extschema@.va_tenant_calls(p_tenant, v_since) >= v_limit;
END
$$;

-- Puts the voice agent on the line: TwiML and session of one call, given as its row is now.
CREATE FUNCTION @extschema@.va_call_connect(p_call @extschema@.calls, OUT body text, OUT session jsonb) RETURNS record
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_token text;
BEGIN
	INSERT INTO @extschema@.conversation_sessions AS s (tenant_id, lead_id, call_id, channel, state)
	VALUES (p_call.tenant_id, p_call.lead_id, p_call.id, 'voice', '{"partial": {}}')
	ON CONFLICT (call_id) WHERE channel = 'voice' DO UPDATE SET last_activity_at = now();
	v_token := @extschema@.va_token_create(p_call.id, p_call.tenant_id);
	body := @extschema@.va_twiml(@extschema@.va_stream_verbs(p_call.tenant_id, v_token));
	session := @extschema@.va_session(p_call, v_token);
END
$$;

-- The answer about a call that is not taken, and its count (a wrong account is counted where it is found).
CREATE FUNCTION @extschema@.va_call_refuse(p_reject text, p_gateway text, OUT http_status integer, OUT body text) RETURNS record
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	http_status := CASE p_reject WHEN 'no_call_sid' THEN 400 WHEN 'wrong_account' THEN 403 ELSE 200 END;
	IF http_status = 200 THEN
		body := @extschema@.va_twiml(@extschema@.va_verb('Reject', NULL,
			jsonb_build_object('reason', CASE p_reject WHEN 'busy_tenant' THEN 'busy' ELSE 'rejected' END)));
	END IF;
	IF p_reject <> 'wrong_account' THEN
		PERFORM @extschema@.va_count(p_gateway, 'rejected.' || p_reject);
	END IF;
END
$$;

CREATE FUNCTION @extschema@.va_webhook_voice_answer(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_arrival record;
	v_call @extschema@.calls;
	v_reject text;
BEGIN
	http_status := 200;
	SELECT * INTO v_arrival FROM @extschema@.va_call_arrive(p_account_sid, p_params, p_gateway);
	v_call := v_arrival.arrived;
	v_reject := v_arrival.reject;
	IF v_reject IS NOT NULL THEN
		SELECT r.http_status, r.body INTO http_status, body FROM @extschema@.va_call_refuse(v_reject, p_gateway) r;
		RETURN NEXT;
		RETURN;
	END IF;

	call_id := v_call.id;
	tenant_id := v_call.tenant_id;
	IF @extschema@.va_call_over(v_call) THEN
		body := @extschema@.va_twiml(@extschema@.va_verb('Hangup'));
		RETURN NEXT;
		RETURN;
	END IF;
	IF v_arrival.created OR @extschema@.va_call_set_status(v_call.id, 'in-progress') THEN
		PERFORM @extschema@.va_emit(v_call.tenant_id, 'call_answered', v_call.id, v_call.lead_id,
			jsonb_build_object('direction', v_call.direction, 'gateway', p_gateway));
	END IF;
	IF v_call.direction = 'inbound' AND NOT @extschema@.va_business_open(v_call.tenant_id, v_call.started_at) THEN
		body := @extschema@.va_after_hours(v_call, @extschema@.va_setting_text(
			(SELECT t.settings FROM @extschema@.tenants t WHERE t.id = v_call.tenant_id),
			'after_hours_message', 'Thank you for calling. We are closed at the moment.'));
	ELSE
		SELECT k.body, k.session INTO body, session FROM @extschema@.va_call_connect(v_call) k;
	END IF;
	RETURN NEXT;
END
$$;

CREATE FUNCTION @extschema@.va_webhook_voice_status(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_call @extschema@.calls := @extschema@.va_call_by_sid(p_params);
	v_duration integer := @extschema@.va_digits(p_params ->> 'CallDuration');
BEGIN
	http_status := 204;
	IF v_call.id IS NULL THEN -- a call we refused, or one that is none of ours
		PERFORM @extschema@.va_count(p_gateway, 'status.unknown_call');
	ELSIF @extschema@.va_foreign_account(v_call.tenant_id, p_account_sid, p_gateway) THEN
		http_status := 403;
	ELSE
		call_id := v_call.id;
		tenant_id := v_call.tenant_id;
		PERFORM @extschema@.va_call_set_status(v_call.id, p_params ->> 'CallStatus',
			@extschema@.va_digits(p_params ->> 'SequenceNumber'), v_duration);
		UPDATE @extschema@.calls c SET recording_url = p_params ->> 'RecordingUrl',
			recording_sid = left(p_params ->> 'RecordingSid', 50),
			recording_duration = coalesce(@extschema@.va_digits(p_params ->> 'RecordingDuration'), c.recording_duration)
		WHERE c.id = v_call.id AND c.recording_url IS NULL AND @extschema@.va_filled(p_params ->> 'RecordingUrl') IS NOT NULL;
	END IF;
	RETURN NEXT;
END
$$;

-- Stores what a recording webhook tells. News without a URL (in-progress, absent) change nothing.
CREATE FUNCTION @extschema@.va_call_recording(p_call uuid, p_params jsonb) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF @extschema@.va_filled(p_params ->> 'RecordingUrl') IS NULL
	   OR coalesce(p_params ->> 'RecordingStatus', 'completed') <> 'completed' THEN
		RETURN false;
	END IF;
	UPDATE @extschema@.calls c SET recording_url = p_params ->> 'RecordingUrl',
		recording_sid = coalesce(left(p_params ->> 'RecordingSid', 50), c.recording_sid),
		recording_duration = coalesce(@extschema@.va_digits(p_params ->> 'RecordingDuration'), c.recording_duration)
	WHERE c.id = p_call;
	RETURN true;
END
$$;

CREATE FUNCTION @extschema@.va_webhook_voice_recording(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_call @extschema@.calls := @extschema@.va_call_by_sid(p_params);
BEGIN
	http_status := 204;
	IF v_call.id IS NULL THEN
		PERFORM @extschema@.va_count(p_gateway, 'recording.unknown_call');
	ELSIF @extschema@.va_foreign_account(v_call.tenant_id, p_account_sid, p_gateway) THEN
		http_status := 403;
	ELSE
		call_id := v_call.id;
		tenant_id := v_call.tenant_id;
		IF @extschema@.va_call_recording(v_call.id, p_params) AND v_call.recording_sid IS DISTINCT FROM p_params ->> 'RecordingSid' THEN
			PERFORM @extschema@.va_emit(v_call.tenant_id, 'recording_ready', v_call.id, v_call.lead_id);
		END IF;
	END IF;
	RETURN NEXT;
END
$$;

-- The text of a voicemail becomes a turn of the caller, once per transcription.
CREATE FUNCTION @extschema@.va_webhook_voice_transcription(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_call @extschema@.calls := @extschema@.va_call_by_sid(p_params);
	v_sid text := coalesce(p_params ->> 'TranscriptionSid', '');
BEGIN
	http_status := 204;
	IF v_call.id IS NULL THEN
		PERFORM @extschema@.va_count(p_gateway, 'transcription.unknown_call');
	ELSIF @extschema@.va_foreign_account(v_call.tenant_id, p_account_sid, p_gateway) THEN
		http_status := 403;
	ELSE
		call_id := v_call.id;
		tenant_id := v_call.tenant_id;
		IF p_params ->> 'TranscriptionStatus' = 'completed' AND @extschema@.va_filled(p_params ->> 'TranscriptionText') IS NOT NULL
		   AND NOT v_call.transcript @> jsonb_build_array(jsonb_build_object('transcription_sid', v_sid)) THEN
			UPDATE @extschema@.calls c SET transcript = coalesce(c.transcript, '[]') || jsonb_build_array(jsonb_build_object(
				'role', 'user', 'medium', 'voicemail', 'text', p_params ->> 'TranscriptionText', 'interrupted', false,
				'at', floor(extract(epoch FROM now()) * 1000), 'transcription_sid', v_sid))
			WHERE c.id = v_call.id;
		END IF;
	END IF;
	RETURN NEXT;
END
$$;

-- The action of <Record>: the caller has spoken, or hung up.
CREATE FUNCTION @extschema@.va_webhook_voice_voicemail(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_call @extschema@.calls := @extschema@.va_call_by_sid(p_params);
	v_settings jsonb;
BEGIN
	http_status := 200;
	body := @extschema@.va_twiml(@extschema@.va_verb('Hangup'));
	IF v_call.id IS NULL THEN
		PERFORM @extschema@.va_count(p_gateway, 'voicemail.unknown_call');
	ELSIF @extschema@.va_foreign_account(v_call.tenant_id, p_account_sid, p_gateway) THEN
		http_status := 403;
		body := NULL;
	ELSE
		call_id := v_call.id;
		tenant_id := v_call.tenant_id;
		IF @extschema@.va_call_recording(v_call.id, p_params) THEN
			UPDATE @extschema@.calls c SET outcome = 'voicemail' WHERE c.id = v_call.id;
			IF v_call.recording_url IS DISTINCT FROM p_params ->> 'RecordingUrl' OR v_call.outcome IS DISTINCT FROM 'voicemail' THEN
				PERFORM @extschema@.va_emit(v_call.tenant_id, 'voicemail_left', v_call.id, v_call.lead_id);
			END IF;
			PERFORM @extschema@.va_call_task(v_call, 'Listen to the voicemail',
				coalesce(@extschema@.va_next_opening(v_call.tenant_id), now() + interval '1 hour'));
			SELECT t.settings INTO v_settings FROM @extschema@.tenants t WHERE t.id = v_call.tenant_id;
			body := @extschema@.va_twiml(@extschema@.va_say_verb(v_settings, 'en-US', 'Thank you. Good-bye.')
										 || @extschema@.va_verb('Hangup'));
		END IF;
	END IF;
	RETURN NEXT;
END
$$;

-- What to do with a caller whose stream has ended: 'resume', 'hangup' or 'after_hours'.
-- Reasons that somebody wanted end the call; a stream that just broke is resumed; without an engine there
-- is the after-hours action.
CREATE FUNCTION @extschema@.va_after_stream_decision(p_call @extschema@.calls, p_params jsonb) RETURNS text
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_reason text := coalesce(
		(SELECT m.end_reason FROM @extschema@.call_metrics m WHERE m.call_id = p_call.id
		 ORDER BY m.stream_started_at DESC NULLS LAST, m.created_at DESC LIMIT 1),
		@extschema@.va_filled(p_params ->> 'VoiceagentEndReason'), 'none');
BEGIN
	IF p_params ? 'DialCallStatus' THEN -- back from a transfer
		RETURN CASE WHEN p_params ->> 'DialCallStatus' IN ('completed', 'answered') THEN 'hangup' ELSE 'voicemail' END;
	ELSIF @extschema@.va_call_over(p_call) OR p_call.end_requested_at IS NOT NULL
		  OR v_reason IN ('agent_hangup', 'caller_hangup', 'time_limit', 'inactivity', 'engine_ended', 'rejected') THEN
		RETURN 'hangup';
	ELSIF v_reason <> 'engine_failed' AND @extschema@.va_call_resume(p_call.id, v_reason) THEN
		RETURN 'resume';
	END IF;
	RETURN 'after_hours';
END
$$;

-- Carries out a decision; shared by after-stream and fallback.
CREATE FUNCTION @extschema@.va_call_carry_on(p_call @extschema@.calls, p_decision text, OUT body text, OUT session jsonb)
	RETURNS record
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_known jsonb := (SELECT @extschema@.va_settings(t.settings) FROM @extschema@.tenants t WHERE t.id = p_call.tenant_id);
BEGIN
	CASE p_decision
	WHEN 'resume' THEN
		SELECT k.body, k.session INTO body, session
		FROM @extschema@.calls c, @extschema@.va_call_connect(c) k WHERE c.id = p_call.id; -- as va_call_resume has left it
	WHEN 'after_hours' THEN
		PERFORM @extschema@.va_call_promote(p_call.id);
		body := @extschema@.va_after_hours(p_call, @extschema@.va_apology(v_known));
	WHEN 'voicemail' THEN
		body := @extschema@.va_twiml(@extschema@.va_voicemail_verbs(v_known, 'en-US', NULL));
	ELSE
		PERFORM @extschema@.va_call_set_status(p_call.id, 'completed');
		body := @extschema@.va_twiml(@extschema@.va_verb('Hangup'));
	END CASE;
END
$$;

CREATE FUNCTION @extschema@.va_webhook_voice_after_stream(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_call @extschema@.calls := @extschema@.va_call_by_sid(p_params);
	v_decision text;
BEGIN
	http_status := 200;
	IF v_call.id IS NULL THEN
		PERFORM @extschema@.va_count(p_gateway, 'after_stream.unknown_call');
		body := @extschema@.va_twiml(@extschema@.va_verb('Hangup'));
	ELSIF @extschema@.va_foreign_account(v_call.tenant_id, p_account_sid, p_gateway) THEN
		http_status := 403;
	ELSE
		call_id := v_call.id;
		tenant_id := v_call.tenant_id;
		v_decision := @extschema@.va_receipt(p_account_sid, 'after_stream', p_idempotency);
		IF @extschema@.va_call_over(v_call) THEN
			v_decision := 'hangup';
		ELSIF v_decision IS NULL THEN
			v_decision := @extschema@.va_after_stream_decision(v_call, p_params);
			PERFORM @extschema@.va_receipt_store(p_account_sid, 'after_stream', p_idempotency, v_call, v_decision);
		END IF;
		SELECT k.body, k.session INTO body, session FROM @extschema@.va_call_carry_on(v_call, v_decision) k;
	END IF;
	RETURN NEXT;
END
$$;

-- Twilio could not get or run our last document (ErrorCode says why). A conversation that was under way goes
-- on; a caller whom nobody has greeted yet hears an apology and may leave a message.
CREATE FUNCTION @extschema@.va_webhook_voice_fallback(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_arrival record;
	v_call @extschema@.calls;
	v_reject text;
	v_decision text := @extschema@.va_receipt(p_account_sid, 'fallback', p_idempotency);
BEGIN
	http_status := 200;
	SELECT * INTO v_arrival FROM @extschema@.va_call_arrive(p_account_sid, p_params, p_gateway);
	v_call := v_arrival.arrived;
	v_reject := v_arrival.reject;
	IF v_reject IS NOT NULL THEN
		SELECT r.http_status, r.body INTO http_status, body FROM @extschema@.va_call_refuse(v_reject, p_gateway) r;
		RETURN NEXT;
		RETURN;
	END IF;
	call_id := v_call.id;
	tenant_id := v_call.tenant_id;
	IF v_decision IS NULL THEN
		v_decision := CASE
			WHEN @extschema@.va_call_over(v_call) OR v_call.end_requested_at IS NOT NULL THEN 'hangup'
			WHEN EXISTS (SELECT FROM @extschema@.call_metrics m WHERE m.call_id = v_call.id AND m.stream_started_at IS NOT NULL)
				 AND @extschema@.va_call_resume(v_call.id, 'fallback') THEN 'resume'
			ELSE 'after_hours' END;
		PERFORM @extschema@.va_receipt_store(p_account_sid, 'fallback', p_idempotency, v_call, v_decision);
		PERFORM @extschema@.va_emit(v_call.tenant_id, 'webhook_failed', v_call.id, v_call.lead_id,
			jsonb_build_object('error_code', left(p_params ->> 'ErrorCode', 20), 'decision', v_decision));
		PERFORM @extschema@.va_call_set_status(v_call.id, 'in-progress');
	END IF;
	SELECT k.body, k.session INTO body, session FROM @extschema@.va_call_carry_on(v_call, v_decision) k;
	RETURN NEXT;
END
$$;

CREATE FUNCTION @extschema@.va_webhook_voice_stream_status(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_call @extschema@.calls := @extschema@.va_call_by_sid(p_params);
	v_stream text := coalesce(left(@extschema@.va_filled(p_params ->> 'StreamSid'), 100), 'unknown');
BEGIN
	http_status := 204;
	IF v_call.id IS NULL THEN
		PERFORM @extschema@.va_count(p_gateway, 'stream_status.unknown_call');
	ELSIF @extschema@.va_foreign_account(v_call.tenant_id, p_account_sid, p_gateway) THEN
		http_status := 403;
	ELSE
		call_id := v_call.id;
		tenant_id := v_call.tenant_id;
		IF p_params ->> 'StreamEvent' = 'stream-error' THEN
			INSERT INTO @extschema@.call_metrics AS m (call_id, stream_sid, tenant_id, stream_error)
			VALUES (v_call.id, v_stream, v_call.tenant_id, coalesce(p_params ->> 'StreamError', 'unknown'))
			ON CONFLICT (call_id, stream_sid) DO UPDATE SET stream_error = excluded.stream_error
			WHERE m.stream_error IS NULL;
			IF FOUND THEN
				PERFORM @extschema@.va_emit(v_call.tenant_id, 'stream_error', v_call.id, v_call.lead_id,
					jsonb_build_object('stream', v_stream, 'error', left(p_params ->> 'StreamError', 500)));
			END IF;
		END IF;
	END IF;
	RETURN NEXT;
END
$$;

-- ---- calls that we place --------------------------------------------------------------------------

-- Who has answered: a person, or a machine, with which it is done as the call's rules say.
CREATE FUNCTION @extschema@.va_webhook_voice_amd(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_call @extschema@.calls := @extschema@.va_call_by_sid(p_params);
	v_by text := left(@extschema@.va_filled(p_params ->> 'AnsweredBy'), 50);
BEGIN
	http_status := 204;
	IF v_call.id IS NULL THEN
		PERFORM @extschema@.va_count(p_gateway, 'amd.unknown_call');
	ELSIF @extschema@.va_foreign_account(v_call.tenant_id, p_account_sid, p_gateway) THEN
		http_status := 403;
	ELSE
		call_id := v_call.id;
		tenant_id := v_call.tenant_id;
		IF v_call.answered_by IS NULL AND v_by IS NOT NULL THEN
			UPDATE @extschema@.calls c SET answered_by = v_by WHERE c.id = v_call.id;
			IF v_by LIKE 'machine%' OR v_by = 'fax' THEN
				PERFORM @extschema@.va_machine_answered(v_call, v_by);
			END IF;
		END IF;
	END IF;
	RETURN NEXT;
END
$$;

CREATE FUNCTION @extschema@.va_machine_answered(p_call @extschema@.calls, p_by text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_known jsonb := (SELECT @extschema@.va_settings(t.settings) FROM @extschema@.tenants t WHERE t.id = p_call.tenant_id);
	v_rules jsonb := @extschema@.va_dial_rules(p_call, v_known);
	v_what text := v_rules ->> 'machine';
	v_message text := @extschema@.va_filled(@extschema@.va_expand_for(p_call.tenant_id, v_known, v_rules ->> 'machine_message'));
BEGIN
	PERFORM @extschema@.va_emit(p_call.tenant_id, 'machine_answered', p_call.id, p_call.lead_id, jsonb_build_object('answered_by', p_by, 'action', v_what));
	IF @extschema@.va_call_over(p_call) OR v_what = 'continue' AND p_by <> 'fax' THEN
		RETURN;
	END IF;
	UPDATE @extschema@.calls c SET end_requested_at = coalesce(c.end_requested_at, now()),
		outcome = coalesce(c.outcome, CASE WHEN v_what = 'message' AND p_by LIKE 'machine_end%' AND v_message IS NOT NULL THEN 'message_left' ELSE 'machine' END)
	WHERE c.id = p_call.id;
	IF v_what = 'message' AND p_by LIKE 'machine_end%' AND v_message IS NOT NULL THEN
		PERFORM @extschema@.va_call_redirect(p_call, 'machine:' || p_call.id,
			@extschema@.va_say_verb(v_known, @extschema@.va_call_language(p_call), v_message) || @extschema@.va_verb('Hangup'));
	ELSE
		PERFORM @extschema@.va_outbox_add(p_call.tenant_id, 'twilio.hangup', 'hangup:' || p_call.id, '{}', call => p_call.id);
	END IF;
END
$$;

-- News of the leg of a person whom a caller is put through to. The address names the caller's call.
CREATE FUNCTION @extschema@.va_webhook_voice_participant(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_transfer @extschema@.call_transfers;
	v_call @extschema@.calls;
	v_status text := p_params ->> 'CallStatus';
	v_try integer := @extschema@.va_digits(p_params ->> 'url_try');
BEGIN
	http_status := 204;
	SELECT * INTO v_transfer FROM @extschema@.call_transfers t WHERE t.id = @extschema@.va_uuid_try(p_params ->> 'url_transfer');
	IF NOT FOUND THEN
		PERFORM @extschema@.va_count(p_gateway, 'participant.unknown_call');
	ELSIF @extschema@.va_foreign_account(v_transfer.tenant_id, p_account_sid, p_gateway) THEN
		http_status := 403;
	ELSE
		PERFORM @extschema@.va_outbox_found(v_transfer.tenant_id, 'twilio.participant', v_transfer.id || ':' || v_try,
			jsonb_build_object('sid', p_params ->> 'CallSid', 'by', 'callback'));
		SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = v_transfer.call_id FOR NO KEY UPDATE;
		SELECT * INTO v_transfer FROM @extschema@.call_transfers t WHERE t.id = v_transfer.id FOR NO KEY UPDATE;
		call_id := v_call.id;
		tenant_id := v_call.tenant_id;
		-- News of an earlier try, or older than what is known, changes nothing.
		IF v_try = v_transfer.tries AND @extschema@.va_call_rank(v_status) > coalesce(@extschema@.va_call_rank(v_transfer.last_status), 0) THEN
			UPDATE @extschema@.call_transfers t SET last_status = v_status, leg_sid = left(p_params ->> 'CallSid', 50) WHERE t.id = v_transfer.id;
			PERFORM @extschema@.va_transfer_news(v_call, v_transfer, v_status, @extschema@.va_digits(p_params ->> 'CallDuration'));
		END IF;
	END IF;
	RETURN NEXT;
END
$$;

CREATE FUNCTION @extschema@.va_transfer_news(p_call @extschema@.calls, p_transfer @extschema@.call_transfers, p_status text, p_duration integer) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_talked boolean := p_status = 'in-progress' OR p_status = 'completed' AND coalesce(p_duration, 0) > 0;
BEGIN
	IF p_transfer.state = 'ringing' AND v_talked THEN
		UPDATE @extschema@.call_transfers t SET state = 'joined', joined_at = now() WHERE t.id = p_transfer.id;
		UPDATE @extschema@.calls c SET outcome = coalesce(c.outcome, 'transferred') WHERE c.id = p_call.id;
		PERFORM @extschema@.va_emit(p_call.tenant_id, 'person_joined', p_call.id, p_call.lead_id, jsonb_build_object('agent_id', p_transfer.agent_id));
	ELSIF p_transfer.state = 'ringing' AND @extschema@.va_call_rank(p_status) = 5 THEN
		SELECT * INTO p_transfer FROM @extschema@.call_transfers t WHERE t.id = p_transfer.id;
		PERFORM @extschema@.va_transfer_next(p_call, p_transfer);
	END IF;
	IF @extschema@.va_call_rank(p_status) = 5 AND (p_transfer.state = 'joined' OR v_talked) THEN
		PERFORM @extschema@.va_transfer_over(t, 'ended') FROM @extschema@.call_transfers t WHERE t.id = p_transfer.id;
		-- The end of the conference ends the call. Should the caller be left alone all the same, then this.
		PERFORM @extschema@.va_outbox_add(p_call.tenant_id, 'twilio.hangup', 'hangup:' || p_call.id, '{}', now() + interval '10 seconds', call => p_call.id);
	END IF;
END
$$;

-- News of the conference that caller and person are in.
CREATE FUNCTION @extschema@.va_webhook_voice_conference(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_transfer @extschema@.call_transfers;
BEGIN
	http_status := 204;
	SELECT * INTO v_transfer FROM @extschema@.call_transfers t WHERE t.id = @extschema@.va_uuid_try(p_params ->> 'url_transfer');
	IF NOT FOUND THEN
		PERFORM @extschema@.va_count(p_gateway, 'conference.unknown_call');
	ELSIF @extschema@.va_foreign_account(v_transfer.tenant_id, p_account_sid, p_gateway) THEN
		http_status := 403;
	ELSE
		call_id := v_transfer.call_id;
		tenant_id := v_transfer.tenant_id;
		UPDATE @extschema@.call_transfers t SET conference_sid = left(p_params ->> 'ConferenceSid', 50)
		WHERE t.id = v_transfer.id AND t.conference_sid IS NULL AND @extschema@.va_filled(p_params ->> 'ConferenceSid') IS NOT NULL;
		IF p_params ->> 'StatusCallbackEvent' = 'participant-join' AND v_transfer.tries = 1 THEN
			UPDATE @extschema@.outbox b SET run_at = now() WHERE b.id = (SELECT o.id FROM @extschema@.outbox o
				WHERE o.tenant_id = v_transfer.tenant_id AND o.kind = 'twilio.participant' AND o.attempt_key = v_transfer.id || ':1'
				  AND o.state = 'later' FOR UPDATE SKIP LOCKED);
			IF FOUND THEN
				PERFORM @extschema@.va_outbox_wake();
			END IF;
		ELSIF p_params ->> 'StatusCallbackEvent' = 'conference-end' THEN
			PERFORM FROM @extschema@.calls c WHERE c.id = v_transfer.call_id FOR NO KEY UPDATE;
			PERFORM @extschema@.va_transfer_over(t, 'ended') FROM @extschema@.call_transfers t WHERE t.id = v_transfer.id AND t.state = 'joined';
		END IF;
	END IF;
	RETURN NEXT;
END
$$;
