-- The documents that answer Twilio. Every function here returns TwiML text made by va_twiml, or verbs
-- (jsonb arrays) to be made into it.

CREATE FUNCTION @extschema@.va_webhook_url(p_name text) RETURNS text
	LANGUAGE sql STABLE
	RETURN @extschema@.va_public_url() || '/webhook/voice/' || p_name;

-- (STABLE as jsonb_build_object is: declared IMMUTABLE it would not be inlined.)
CREATE FUNCTION @extschema@.va_verb(p_verb text, p_text text DEFAULT NULL, p_attributes jsonb DEFAULT '{}',
									p_children jsonb DEFAULT '[]') RETURNS jsonb
	LANGUAGE sql STABLE
	RETURN jsonb_build_array(jsonb_build_object('verb', p_verb, 'text', p_text, 'attributes', p_attributes,
												'children', p_children));

-- The media stream, and behind it the question what comes next. The fragment of that address asks Twilio
-- to try a refused connection five times: by then a gateway that restarts is back.
CREATE FUNCTION @extschema@.va_stream_verbs(p_tenant uuid, p_token text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN @extschema@.va_verb('Connect', NULL, '{}', @extschema@.va_verb('Stream', NULL,
		jsonb_build_object('url', @extschema@.va_media_url(),
						   'statusCallback', @extschema@.va_webhook_url('stream-status')),
		@extschema@.va_verb('Parameter', NULL, jsonb_build_object('name', 'token', 'value', p_token))
		|| @extschema@.va_verb('Parameter', NULL, jsonb_build_object('name', 'tenant_id', 'value', p_tenant))))
	|| @extschema@.va_verb('Redirect', @extschema@.va_webhook_url('after-stream') || '#rc=5&rp=ct,rt,5xx',
						   '{"method": "POST"}');
END
$$;

CREATE FUNCTION @extschema@.va_say_verb(p_settings jsonb, p_language text, p_text text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT CASE WHEN @extschema@.va_filled(p_text) IS NULL THEN '[]'
		ELSE @extschema@.va_verb('Say', left(p_text, 4000), jsonb_build_object('language', p_language,
				'voice', @extschema@.va_setting_text(p_settings, 'say_voice', NULL))) END);
END
$$;

CREATE FUNCTION @extschema@.va_voicemail_verbs(p_settings jsonb, p_language text, p_prelude text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_setting jsonb := @extschema@.va_setting(p_settings, 'voicemail');
	v_attributes jsonb;
BEGIN
	IF v_setting = 'false' THEN
		RETURN @extschema@.va_say_verb(p_settings, p_language, concat_ws(' ', p_prelude, 'Please call again later. Good-bye.'))
			   || @extschema@.va_verb('Hangup');
	END IF;
	v_attributes := jsonb_build_object('action', @extschema@.va_webhook_url('voicemail'), 'method', 'POST',
		'maxLength', CASE WHEN jsonb_typeof(v_setting) = 'object'
						  THEN greatest(2, least(3600, coalesce(@extschema@.va_number(v_setting, 'max_seconds'), 180)))::integer
						  ELSE 180 END,
		'playBeep', true, 'recordingStatusCallback', @extschema@.va_webhook_url('recording'));
	IF jsonb_typeof(v_setting) = 'object' AND v_setting ->> 'transcribe' = 'true' THEN
		v_attributes := v_attributes || jsonb_build_object('transcribe', true, 'maxLength', 120,
			'transcribeCallback', @extschema@.va_webhook_url('transcription'));
	END IF;
	RETURN @extschema@.va_say_verb(p_settings, p_language, concat_ws(' ', p_prelude, coalesce(
				CASE jsonb_typeof(v_setting) WHEN 'object' THEN v_setting ->> 'greeting' END,
				'Please leave a message after the tone.')))
		   || @extschema@.va_verb('Record', NULL, v_attributes);
END
$$;

-- A task for people, once per call and kind.
CREATE FUNCTION @extschema@.va_call_task(p_call @extschema@.calls, p_title text, p_due timestamptz) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM @extschema@.follow_up_tasks f WHERE f.call_id = p_call.id AND f.title = p_title) THEN
		INSERT INTO @extschema@.follow_up_tasks
			(tenant_id, lead_id, call_id, task_type, title, description, scheduled_for, is_ai_task)
		VALUES (p_call.tenant_id, p_call.lead_id, p_call.id, 'call', p_title,
				format('The call came from %s.', coalesce(p_call.from_number, 'a hidden number')), p_due, false);
	END IF;
	UPDATE @extschema@.calls c SET follow_up_required = true, follow_up_date = coalesce(c.follow_up_date, p_due)
	WHERE c.id = p_call.id;
END
$$;

-- Whom a caller outside the hours is put through to: the tenant's transfer_number, else the first
-- available person.
CREATE FUNCTION @extschema@.va_transfer_number(p_tenant uuid, p_settings jsonb) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT coalesce(@extschema@.va_phone_try(@extschema@.va_setting_text(p_settings, 'transfer_number', NULL)),
		(SELECT h.phone FROM @extschema@.human_agents h
		 WHERE h.tenant_id = p_tenant AND h.is_available AND h.phone IS NOT NULL
		 ORDER BY h.priority DESC, h.created_at, h.id LIMIT 1)));
END
$$;

-- The tenant's after-hours action for one call, p_prelude said first. Also taken when the engine fails.
CREATE FUNCTION @extschema@.va_after_hours(p_call @extschema@.calls, p_prelude text) RETURNS text
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_settings jsonb := (SELECT @extschema@.va_settings(t.settings) FROM @extschema@.tenants t WHERE t.id = p_call.tenant_id);
	v_prelude text := @extschema@.va_expand_for(p_call.tenant_id, v_settings, p_prelude);
	v_language text := coalesce((SELECT v.language FROM @extschema@.tenant_voice_configs v
		WHERE v.tenant_id = p_call.tenant_id ORDER BY v.created_at DESC, v.id LIMIT 1), 'en-US');
	v_action text := @extschema@.va_after_hours_action(p_call.tenant_id);
	v_number text := @extschema@.va_transfer_number(p_call.tenant_id, v_settings);
	v_due timestamptz;
BEGIN
	IF v_action = 'transfer' AND v_number IS NULL THEN
		v_action := 'voicemail';
	END IF;
	IF v_settings #>> '{voicemail,greeting}' IS NOT NULL THEN
		v_settings := jsonb_set(v_settings, '{voicemail,greeting}',
			to_jsonb(@extschema@.va_expand_for(p_call.tenant_id, v_settings, v_settings #>> '{voicemail,greeting}')));
	END IF;
	UPDATE @extschema@.calls c SET
		ai_handled = CASE WHEN c.conversation_turns > 0 THEN c.ai_handled ELSE false END,
		outcome = coalesce(c.outcome, CASE v_action WHEN 'callback' THEN 'callback_requested'
								  WHEN 'transfer' THEN 'transferred' ELSE 'voicemail' END)
	WHERE c.id = p_call.id;
	CASE v_action
	WHEN 'transfer' THEN
		RETURN @extschema@.va_twiml(@extschema@.va_say_verb(v_settings, v_language, v_prelude)
			|| @extschema@.va_verb('Dial', NULL, jsonb_build_object('timeout', 25, 'method', 'POST',
				'action', @extschema@.va_webhook_url('after-stream')), @extschema@.va_verb('Number', v_number)));
	WHEN 'callback' THEN
		v_due := coalesce(@extschema@.va_next_opening(p_call.tenant_id), now() + interval '1 hour');
		PERFORM @extschema@.va_call_task(p_call, 'Call back', v_due);
		PERFORM @extschema@.va_emit(p_call.tenant_id, 'callback_requested', p_call.id, p_call.lead_id);
		RETURN @extschema@.va_twiml(@extschema@.va_say_verb(v_settings, v_language,
				concat_ws(' ', v_prelude, 'We will call you back. Good-bye.'))
			|| @extschema@.va_verb('Hangup'));
	ELSE
		RETURN @extschema@.va_twiml(@extschema@.va_voicemail_verbs(v_settings, v_language, v_prelude));
	END CASE;
END
$$;
