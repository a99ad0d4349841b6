-- A call's session, its tokens, its events and its end.

-- One-time stream tokens: 128 random bits, of which the table keeps the SHA-256.
CREATE FUNCTION @extschema@.va_token_create(p_call uuid, p_tenant uuid) RETURNS text
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	-- Two UUIDs carry 244 bits of the server's strong randomness.
	v_token text := substr(encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex'), 1, 32);
BEGIN
	INSERT INTO @extschema@.call_tokens (token_hash, call_id, tenant_id)
	VALUES (sha256(v_token::bytea), p_call, p_tenant);
	RETURN v_token;
END
$$;

-- What the model should know beyond the tenant's prompt: what there is to know, when it is, and with whom it talks.
CREATE FUNCTION @extschema@.va_session_prompt(p_prompt text, p_knowledge text, p_timezone text,
											  p_number text, p_name text) RETURNS text
	LANGUAGE sql STABLE
	RETURN p_prompt
		|| CASE WHEN @extschema@.va_filled(p_knowledge) IS NULL THEN '' ELSE E'\n\nWhat you know:\n' || p_knowledge END
		|| format(E'\n\nIt is %s (%s). The other side''s number is %s.',
				  to_char(now() AT TIME ZONE p_timezone, 'FMDay, DD FMMonth YYYY, HH24:MI'), p_timezone,
				  coalesce(p_number, 'not known'))
		|| CASE WHEN p_name = '' THEN '' ELSE format(' You have talked before: the name is %s.', p_name) END;

-- Where the tenant's voice engine is: its own setting, the platform's, the server's, the engine's public one.
-- Here and below p_known is what va_settings returned.
CREATE FUNCTION @extschema@.va_session_engine_url(p_known jsonb) RETURNS text
	LANGUAGE sql STABLE
	RETURN coalesce(@extschema@.va_filled(p_known #>> '{engine,base_url}'),
		@extschema@.va_filled(current_setting('voiceagent.' ||
			@extschema@.va_known_text(p_known, 'voice_engine', 'ultravox') || '_base_url', true)),
		CASE @extschema@.va_known_text(p_known, 'voice_engine', 'ultravox') WHEN 'ultravox' THEN 'https://api.ultravox.ai' END);

-- The engine's part of a session: where, with which key, which model and voice.
CREATE FUNCTION @extschema@.va_session_engine(p_tenant uuid, p_known jsonb) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_name text := @extschema@.va_known_text(p_known, 'voice_engine', 'ultravox');
	v_engine jsonb := p_known -> 'engine';
BEGIN
	RETURN jsonb_build_object(
		'engine', v_name,
		'base_url', coalesce(@extschema@.va_session_engine_url(p_known), ''),
		'api_key', coalesce(@extschema@.va_secret_read(p_tenant, v_name || '_api_key'), ''),
		'model', coalesce(v_engine ->> 'model', ''),
		'temperature', least(greatest(coalesce(@extschema@.va_number(v_engine, 'temperature'), 0.3), 0), 2),
		'engine_settings', CASE WHEN jsonb_typeof(v_engine -> 'settings') = 'object'
								THEN v_engine -> 'settings' ELSE '{}' END);
END
$$;

-- How long the call may still last, in seconds.
CREATE FUNCTION @extschema@.va_call_remaining(p_started timestamptz, p_known jsonb) RETURNS integer
	LANGUAGE sql STABLE
	RETURN @extschema@.va_known_integer(p_known, 'max_call_seconds', 1800)
		   - extract(epoch FROM now() - coalesce(p_started, now()))::integer;

CREATE FUNCTION @extschema@.va_apology(p_known jsonb) RETURNS text
	LANGUAGE sql IMMUTABLE
	RETURN @extschema@.va_known_text(p_known, 'apology', 'I''m sorry, our assistant cannot talk right now.');

-- What was said so far, the last 200 turns of it.
CREATE FUNCTION @extschema@.va_session_history(p_transcript jsonb) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF p_transcript IS NULL OR p_transcript = '[]' THEN
		RETURN '[]';
	END IF;
	RETURN (SELECT jsonb_agg(jsonb_build_object('role', e ->> 'role', 'text', e ->> 'text') ORDER BY n)
			FROM jsonb_array_elements(p_transcript) WITH ORDINALITY AS x (e, n)
			WHERE n > jsonb_array_length(p_transcript) - 200);
END
$$;

-- The voice configuration of a call: the one that its number names, else the tenant's newest.
CREATE FUNCTION @extschema@.va_voice_config(p_tenant uuid, p_number uuid) RETURNS SETOF @extschema@.tenant_voice_configs
	LANGUAGE sql STABLE
	BEGIN ATOMIC
		SELECT o.* FROM @extschema@.tenant_voice_configs o WHERE o.tenant_id = p_tenant
		ORDER BY (o.id::text = (SELECT n.voice_config ->> 'voice_config_id' FROM @extschema@.phone_numbers n WHERE n.id = p_number)) IS TRUE DESC,
			o.created_at DESC, o.id
		LIMIT 1;
	END;

-- What a voice configuration says beside voice and language, as the engine takes it: a changed speed is an override of
-- the voice's provider at Ultravox (docs.ultravox.ai, "voiceOverrides"), plain members of session.create in the generic
-- dialect.
CREATE FUNCTION @extschema@.va_session_voice(p_engine text, p_voice text, p_config @extschema@.tenant_voice_configs, p_accent text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_rate double precision := nullif(p_config.speaking_rate, 1);
	v_speed jsonb;
BEGIN
	IF p_engine = 'realtime' THEN
		RETURN jsonb_strip_nulls(jsonb_build_object('speaking_rate', v_rate, 'pitch', nullif(p_config.pitch, 1), 'accent', p_accent));
	ELSIF v_rate IS NULL OR p_voice = '' THEN
		RETURN '{}';
	END IF;
	v_speed := CASE p_config.voice_provider
		WHEN 'elevenlabs' THEN jsonb_build_object('elevenLabs', jsonb_build_object('speed', least(greatest(v_rate, 0.7), 1.2)))
		WHEN 'cartesia' THEN jsonb_build_object('cartesia', jsonb_build_object('generationConfig',
							  jsonb_build_object('speed', least(greatest(v_rate, 0.6), 1.5))))
		WHEN 'lmnt' THEN jsonb_build_object('lmnt', jsonb_build_object('speed', least(v_rate, 2)))
		WHEN 'google' THEN jsonb_build_object('google', jsonb_build_object('speakingRate', least(v_rate, 2)))
		WHEN 'inworld' THEN jsonb_build_object('inworld', jsonb_build_object('speakingRate', least(greatest(v_rate, 0.5), 1.5))) END;
	RETURN CASE WHEN v_speed IS NULL THEN '{}' ELSE jsonb_build_object('voiceOverrides', v_speed) END;
END
$$;

-- The whole session, as the gateway takes it. A resumed one carries the history and greets with the tenant's
-- resume_message. What was given to va_dial wins over everything; the number's own language and voice win over the
-- configuration's; 'en-US' on the number is the column's default and wins over nothing.
CREATE FUNCTION @extschema@.va_session(p_call @extschema@.calls, p_token text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v record;
	v_words jsonb;
	v_engine jsonb;
	v_accent text;
	v_history jsonb := @extschema@.va_session_history(p_call.transcript);
	v_resumed boolean := v_history <> '[]' OR p_call.resume_count > 0;
BEGIN
	SELECT t.id, t AS tenant, c.config, coalesce(t.timezone, 'UTC') AS timezone, @extschema@.va_settings(t.settings) AS known,
		coalesce(p_call.dial ->> 'prompt', (c.config).system_prompt, (@extschema@.va_industry_find('general', t.id)).system_prompt)
			|| coalesce(E'\n\nAbout this call:\n' || @extschema@.va_filled(p_call.dial ->> 'context'), '') AS prompt,
		btrim(concat_ws(' ', l.first_name, l.last_name)) AS lead, coalesce(n.voice_config, '{}') AS own,
		coalesce(p_call.dial ->> 'voice_id', n.voice_config ->> 'voice_id', (c.config).voice_id, '') AS voice,
		coalesce(p_call.dial ->> 'language', n.voice_config ->> 'language', nullif(n.language, 'en-US'), (c.config).language, 'en-US') AS language,
		coalesce(p_call.dial ->> 'greeting', n.voice_config ->> 'greeting', (c.config).greeting_script, '') AS greeting,
		(SELECT coalesce(jsonb_agg(jsonb_build_object('name', x.name, 'description', x.description,
			'parameters', x.parameters, 'timeout_ms', x.timeout_ms)), '[]') FROM @extschema@.va_tenant_tools(t.id) x) AS tools
	INTO v
	FROM @extschema@.tenants t
	LEFT JOIN @extschema@.phone_numbers n ON n.id = p_call.phone_number_id
	LEFT JOIN @extschema@.leads l ON l.id = p_call.lead_id
	LEFT JOIN LATERAL (SELECT o AS config FROM @extschema@.va_voice_config(t.id, p_call.phone_number_id) o) c ON true
	WHERE t.id = p_call.tenant_id;

	v_engine := @extschema@.va_session_engine(v.id, v.known);
	v_accent := nullif(@extschema@.va_filled(coalesce(v.own ->> 'accent', (v.config).accent)), 'neutral');
	v_words := @extschema@.va_words(v.tenant, v.known, coalesce(v.own ->> 'agent_name', (v.config).agent_name), v.language, v.lead,
		concat(v.prompt, v.greeting, v.known ->> 'resume_message', v.known ->> 'inactivity_message', v.known ->> 'apology'));
	RETURN v_engine || jsonb_build_object(
		'call_id', p_call.id, 'tenant_id', v.id, 'token', coalesce(p_token, ''),
		'voice', v.voice, 'language', v.language, 'tools', v.tools,
		'engine_settings', @extschema@.va_session_voice(v_engine ->> 'engine', v.voice, v.config, v_accent) || (v_engine -> 'engine_settings'),
		'system_prompt', @extschema@.va_session_prompt(
			@extschema@.va_expand(v.prompt, v_words) || coalesce(E'\n\nSpeak with this accent: ' || v_accent || '.', ''),
			(v.config).industry_knowledge_base, v.timezone,
			CASE p_call.direction WHEN 'outbound' THEN p_call.to_number ELSE p_call.from_number END, v.lead),
		-- After words of ours (va_say) the agent listens; nobody was cut off.
		'greeting', @extschema@.va_expand(CASE WHEN p_call.redirected_at > coalesce(p_call.last_resumed_at, '-infinity') THEN ''
						 WHEN v_resumed THEN @extschema@.va_known_text(v.known, 'resume_message',
							'I''m sorry, we were cut off for a moment. Please go on.')
						 ELSE v.greeting END, v_words),
		'history', v_history, 'resumed', v_resumed,
		'max_duration_s', greatest(@extschema@.va_call_remaining(p_call.started_at, v.known), 10),
		'inactivity_s', @extschema@.va_known_integer(v.known, 'inactivity_seconds', 30),
		'inactivity_message', @extschema@.va_expand(@extschema@.va_known_text(v.known, 'inactivity_message', 'Are you still there?'), v_words),
		'apology', @extschema@.va_expand(@extschema@.va_apology(v.known), v_words),
		'prepare_timeout_ms', greatest(@extschema@.va_known_integer(v.known, 'prepare_timeout_ms', 5000), 100));
END
$$;

-- ---- status -------------------------------------------------------------------------------------

-- A call's status only moves forward.
CREATE FUNCTION @extschema@.va_call_rank(p_status text) RETURNS integer
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE p_status WHEN 'queued' THEN 1 WHEN 'initiated' THEN 2 WHEN 'ringing' THEN 3
		WHEN 'in-progress' THEN 4 WHEN 'completed' THEN 5 WHEN 'busy' THEN 5 WHEN 'failed' THEN 5
		WHEN 'no-answer' THEN 5 WHEN 'canceled' THEN 5 ELSE 0 END;

CREATE FUNCTION @extschema@.va_call_over(p_call @extschema@.calls) RETURNS boolean
	LANGUAGE sql IMMUTABLE
	RETURN @extschema@.va_call_rank(p_call.status) = 5;

-- What was being said when a stream ended without finishing it becomes an interrupted turn. p_source: of
-- one stream only. Should the real turn arrive after all, it takes the place of this one.
CREATE FUNCTION @extschema@.va_call_promote(p_call uuid, p_source text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_role text;
	v_partial jsonb;
BEGIN
	FOR v_role, v_partial IN
		SELECT p.key, p.value
		FROM @extschema@.conversation_sessions s, jsonb_each(s.state -> 'partial') p
		WHERE s.call_id = p_call AND s.channel = 'voice' AND btrim(p.value ->> 'text') <> ''
		  AND (p_source IS NULL OR p.value ->> 'source' = p_source)
		ORDER BY p.value -> 'at', p.key
	LOOP
		UPDATE @extschema@.calls c SET
			conversation_turns = coalesce(c.conversation_turns, 0) + 1,
			transcript = coalesce(c.transcript, '[]') || jsonb_build_array(jsonb_build_object(
				'role', v_role, 'text', v_partial -> 'text', 'interrupted', true, 'medium', 'voice',
				'at', v_partial -> 'at', 'stream', v_partial -> 'source', 'partial', true))
		WHERE c.id = p_call;
		UPDATE @extschema@.conversation_sessions s
		SET state = jsonb_set(s.state, ARRAY['partial', v_role], (v_partial - 'text') || '{"promoted": true}')
		WHERE s.call_id = p_call AND s.channel = 'voice';
	END LOOP;
END
$$;

-- Applies a status to a call whose row the caller has locked; later news about a call that is over only
-- fills gaps. p_seq: Twilio's SequenceNumber. True when the status changed.
CREATE FUNCTION @extschema@.va_call_set_status(p_call_id uuid, p_status text, p_seq integer DEFAULT NULL,
											   p_duration integer DEFAULT NULL) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls;
	v_rank integer := @extschema@.va_call_rank(p_status);
	v_old integer;
	v_forward boolean;
BEGIN
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = p_call_id FOR NO KEY UPDATE;
	v_old := @extschema@.va_call_rank(v_call.status);
	v_forward := v_rank > v_old OR (v_rank = v_old AND p_status <> v_call.status AND p_seq > coalesce(v_call.status_sequence, -1));
	IF NOT v_forward AND (v_rank < 5 OR p_status <> v_call.status) THEN
		RETURN false;
	END IF;
	UPDATE @extschema@.calls c SET
		status = p_status,
		status_sequence = greatest(p_seq, c.status_sequence),
		started_at = coalesce(c.started_at, CASE WHEN p_status = 'in-progress' THEN now() END),
		ended_at = CASE WHEN v_rank = 5 THEN coalesce(c.ended_at, now()) ELSE c.ended_at END,
		duration_seconds = CASE WHEN v_rank = 5 THEN coalesce(p_duration, c.duration_seconds,
			greatest(extract(epoch FROM now() - c.started_at), 0)::integer) ELSE c.duration_seconds END
	WHERE c.id = p_call_id AND (v_forward OR p_duration IS DISTINCT FROM c.duration_seconds);
	IF v_rank = 5 AND v_old < 5 THEN
		PERFORM @extschema@.va_call_promote(p_call_id);
		UPDATE @extschema@.conversation_sessions s SET ended_at = coalesce(s.ended_at, now())
		WHERE s.call_id = p_call_id AND s.channel = 'voice';
		DELETE FROM @extschema@.call_tokens t WHERE t.call_id = p_call_id AND t.used_at IS NULL;
		PERFORM @extschema@.va_emit(v_call.tenant_id, 'call_ended', p_call_id, v_call.lead_id,
			jsonb_build_object('status', p_status, 'direction', v_call.direction));
	END IF;
	RETURN v_forward;
END
$$;

-- ---- streams ------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_call_stream_start(p_account_sid text, p_call_sid text, p_stream_sid text,
	p_token text, p_gateway text) RETURNS TABLE (accepted boolean, reason text, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_token @extschema@.call_tokens;
	v_call @extschema@.calls;
BEGIN
	accepted := false;
	-- The call first, then the token: the same order as everywhere, so that nobody waits in a circle.
	SELECT c.* INTO v_call FROM @extschema@.calls c JOIN @extschema@.call_tokens t ON t.call_id = c.id
	WHERE t.token_hash = sha256(convert_to(coalesce(p_token, ''), 'UTF8')) FOR NO KEY UPDATE OF c;
	SELECT * INTO v_token FROM @extschema@.call_tokens t
	WHERE t.token_hash = sha256(convert_to(coalesce(p_token, ''), 'UTF8')) FOR UPDATE;
	reason := CASE
		WHEN v_token.token_hash IS NULL THEN 'unknown token'
		WHEN v_call.twilio_call_sid IS DISTINCT FROM p_call_sid THEN 'token of another call'
		WHEN @extschema@.va_tenant_account(v_call.tenant_id) IS DISTINCT FROM p_account_sid THEN 'another account'
		WHEN p_stream_sid IS NULL OR v_token.stream_sid <> p_stream_sid THEN 'token used already'
		WHEN v_token.used_at IS NULL AND v_token.expires_at <= now() THEN 'token expired'
		WHEN @extschema@.va_call_over(v_call) THEN 'call is over' END;
	IF reason IS NOT NULL THEN -- the gateway counts it
		RETURN NEXT;
		RETURN;
	END IF;
	UPDATE @extschema@.call_tokens t SET used_at = coalesce(t.used_at, now()), stream_sid = p_stream_sid
	WHERE t.token_hash = v_token.token_hash;
	DELETE FROM @extschema@.call_tokens t WHERE t.call_id = v_call.id AND t.used_at IS NULL;
	INSERT INTO @extschema@.call_metrics (call_id, stream_sid, tenant_id, gateway, stream_started_at)
	VALUES (v_call.id, p_stream_sid, v_call.tenant_id, p_gateway, now())
	ON CONFLICT (call_id, stream_sid) DO UPDATE SET gateway = excluded.gateway,
		stream_started_at = coalesce(@extschema@.call_metrics.stream_started_at, now());
	accepted := true;
	session := @extschema@.va_session(v_call, p_token);
	RETURN NEXT;
END
$$;

-- May this call go on? Counts the resumption. Called with the row locked.
CREATE FUNCTION @extschema@.va_call_resume(p_call_id uuid, p_why text) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls;
	v_known jsonb;
BEGIN
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = p_call_id;
	SELECT @extschema@.va_settings(t.settings) INTO v_known FROM @extschema@.tenants t WHERE t.id = v_call.tenant_id AND t.status = 'active';
	IF NOT FOUND OR @extschema@.va_call_over(v_call) OR v_call.end_requested_at IS NOT NULL
	   OR v_call.resume_count >= 5 OR @extschema@.va_call_remaining(v_call.started_at, v_known) <= 0 THEN
		RETURN false;
	END IF;
	PERFORM @extschema@.va_call_promote(p_call_id);
	UPDATE @extschema@.calls c SET resume_count = c.resume_count + 1, last_resumed_at = now()
	WHERE c.id = p_call_id;
	PERFORM @extschema@.va_emit(v_call.tenant_id, 'call_resumed', p_call_id, v_call.lead_id,
		jsonb_build_object('why', p_why, 'count', v_call.resume_count + 1));
	RETURN true;
END
$$;

-- A fresh session for a call whose engine was lost while the stream goes on. The same request within two
-- seconds is the same request sent again.
CREATE FUNCTION @extschema@.va_call_session(p_call_id uuid, p_gateway text) RETURNS jsonb
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls;
BEGIN
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = p_call_id FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'unknown call %', p_call_id USING ERRCODE = 'VA004';
	END IF;
	IF (v_call.last_resumed_at > now() - interval '2 seconds' AND NOT @extschema@.va_call_over(v_call)) IS NOT TRUE
	   AND NOT @extschema@.va_call_resume(p_call_id, 'engine_lost') THEN
		RETURN NULL;
	END IF;
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = p_call_id;
	RETURN @extschema@.va_session(v_call, NULL);
END
$$;

-- ---- events -------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_event_role(p_data jsonb) RETURNS text
	LANGUAGE sql IMMUTABLE
	RETURN CASE WHEN p_data ->> 'role' IN ('user', 'agent') THEN p_data ->> 'role' END;

-- The turn under way: only the newest piece is kept, and none that an already finished turn has overtaken.
CREATE FUNCTION @extschema@.va_event_partial(p_call uuid, p_source text, p_seq bigint, p_at jsonb, p_data jsonb)
	RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_role text := @extschema@.va_event_role(p_data);
BEGIN
	UPDATE @extschema@.conversation_sessions s
	SET state = coalesce(s.state, '{}') || jsonb_build_object('partial', coalesce(s.state -> 'partial', '{}')
		|| jsonb_build_object(v_role, jsonb_build_object('text', p_data ->> 'text', 'source', p_source,
														 'seq', p_seq, 'at', p_at)))
	WHERE s.call_id = p_call AND s.channel = 'voice' AND v_role IS NOT NULL
	  AND NOT coalesce(s.state #>> ARRAY['partial', v_role, 'source'] = p_source
					   AND (s.state #>> ARRAY['partial', v_role, 'seq'])::bigint >= p_seq, false);
END
$$;

CREATE FUNCTION @extschema@.va_event_turn(p_call uuid, p_source text, p_seq bigint, p_at jsonb, p_data jsonb)
	RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_role text := @extschema@.va_event_role(p_data);
	v_under_way jsonb;
	v_turn jsonb;
	v_place integer;
BEGIN
	IF v_role IS NULL OR p_data ->> 'text' IS NULL THEN
		RETURN;
	END IF;
	v_turn := jsonb_build_object('role', v_role, 'text', p_data ->> 'text',
		'interrupted', coalesce(p_data -> 'interrupted', 'false'), 'medium', coalesce(p_data -> 'medium', '"voice"'),
		'start_ms', p_data -> 'start_ms', 'end_ms', p_data -> 'end_ms', 'at', p_at, 'stream', p_source);
	SELECT s.state #> ARRAY['partial', v_role] INTO v_under_way
	FROM @extschema@.conversation_sessions s WHERE s.call_id = p_call AND s.channel = 'voice';
	IF v_under_way ->> 'promoted' = 'true' AND v_under_way ->> 'source' = p_source THEN
		SELECT n - 1 INTO v_place
		FROM @extschema@.calls c, jsonb_array_elements(c.transcript) WITH ORDINALITY AS x (e, n)
		WHERE c.id = p_call AND e ->> 'partial' = 'true' AND e ->> 'role' = v_role AND e ->> 'stream' = p_source
		ORDER BY n DESC LIMIT 1;
	END IF;
	UPDATE @extschema@.calls c SET
		conversation_turns = coalesce(c.conversation_turns, 0) + CASE WHEN v_place IS NULL THEN 1 ELSE 0 END,
		transcript = CASE WHEN v_place IS NULL THEN coalesce(c.transcript, '[]') || jsonb_build_array(v_turn)
						  ELSE jsonb_set(c.transcript, ARRAY[v_place::text], v_turn) END
	WHERE c.id = p_call;
	-- What remains of the turn under way: up to where it is settled. Pressed keys end no sentence.
	IF p_data ->> 'medium' IS DISTINCT FROM 'dtmf' THEN
		UPDATE @extschema@.conversation_sessions s
		SET state = coalesce(s.state, '{}') || jsonb_build_object('partial', coalesce(s.state -> 'partial', '{}')
			|| jsonb_build_object(v_role, jsonb_build_object('source', p_source, 'seq', p_seq)))
		WHERE s.call_id = p_call AND s.channel = 'voice';
	END IF;
END
$$;

-- A text as words: lower case, without accents and punctuation, a space before and after each. What is left of an
-- accent is the letter (normalize knows them in UTF8 alone).
CREATE FUNCTION @extschema@.va_plain_words(p_text text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_text text := p_text;
BEGIN
	IF getdatabaseencoding() = 'UTF8' THEN
		v_text := regexp_replace(normalize(p_text, NFD), U&'[\0300-\036F]', '', 'g');
		v_text := translate(v_text, U&'\2018\2019\201C\201D\2013\2014\2026\00BF\00A1\3002\FF0C\FF01\FF1F', repeat(' ', 13));
	END IF;
	RETURN ' ' || btrim(regexp_replace(lower(v_text), '[[:space:][:punct:]]+', ' ', 'g')) || ' ';
END
$$;

-- The first of the keywords that stands in a text as whole words; NULL without one.
CREATE FUNCTION @extschema@.va_keyword_in(p_text text, p_keywords text[]) RETURNS text
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_text text := @extschema@.va_plain_words(p_text);
BEGIN
	RETURN (SELECT k FROM unnest(p_keywords) WITH ORDINALITY AS x (k, n)
			WHERE btrim(@extschema@.va_plain_words(k)) <> '' AND strpos(v_text, @extschema@.va_plain_words(k)) > 0 ORDER BY n LIMIT 1);
END
$$;

-- What the gateway is to do about an event: say a text, and end the call if p_end. Kept with the event's number, so that
-- the same batch sent again gets the same answer.
CREATE FUNCTION @extschema@.va_event_answer(p_call uuid, p_source text, p_seq bigint, p_say text, p_end boolean) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.conversation_sessions s
	SET state = coalesce(s.state, '{}') || jsonb_build_object('answer', jsonb_build_object('source', p_source, 'seq', p_seq,
		'say', p_say, 'action', CASE WHEN p_end THEN 'end_call' END))
	WHERE s.call_id = p_call AND s.channel = 'voice';
END
$$;

-- The caller said a word that asks for a person: escalated as by the tool, once a call, and told so. Nothing of this may
-- keep a turn from being stored: what fails is a warning in the log.
CREATE FUNCTION @extschema@.va_event_escalate(p_call @extschema@.calls, p_source text, p_seq bigint, p_keyword text, p_known jsonb)
	RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_answer record;
BEGIN
	SELECT * INTO v_answer FROM @extschema@.va_escalate(p_call.id, format('keyword "%s"', p_keyword));
	PERFORM @extschema@.va_event_answer(p_call.id, p_source, p_seq, @extschema@.va_expand_for(p_call.tenant_id, p_known,
		CASE WHEN v_answer.agent_id IS NOT NULL
			THEN @extschema@.va_known_text(p_known, 'escalation_message', 'One moment please. A colleague will take care of this.')
			ELSE @extschema@.va_known_text(p_known, 'callback_message', 'I have noted that. A colleague will call you back.') END), false);
EXCEPTION
	WHEN serialization_failure OR deadlock_detected THEN
		RAISE;
	WHEN OTHERS THEN
		RAISE WARNING 'a call was not escalated: %', SQLERRM
			USING DETAIL = format('Call %s, SQLSTATE %s.', p_call.id, SQLSTATE), HINT = 'Mend the cause, then call va_escalate.';
END
$$;

-- What follows from a turn that was added: a keyword of the caller's escalates, and a conversation that is as long as the
-- configuration allows ends with a good-bye.
CREATE FUNCTION @extschema@.va_event_rules(p_call uuid, p_source text, p_seq bigint, p_role text, p_text text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls;
	v_config @extschema@.tenant_voice_configs;
	v_known jsonb;
	v_keyword text;
BEGIN
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = p_call;
	SELECT * INTO v_config FROM @extschema@.va_voice_config(v_call.tenant_id, v_call.phone_number_id);
	IF p_role = 'user' AND NOT coalesce(v_call.escalated_to_human, false) THEN
		v_keyword := @extschema@.va_keyword_in(p_text, v_config.escalation_keywords);
	END IF;
	IF v_keyword IS NULL AND (v_call.conversation_turns < v_config.max_conversation_turns OR v_call.end_requested_at IS NOT NULL
							  OR @extschema@.va_call_over(v_call)) IS NOT FALSE THEN
		RETURN;
	END IF;
	SELECT @extschema@.va_settings(t.settings) INTO v_known FROM @extschema@.tenants t WHERE t.id = v_call.tenant_id;
	IF v_keyword IS NOT NULL THEN
		PERFORM @extschema@.va_event_escalate(v_call, p_source, p_seq, v_keyword, v_known);
	ELSE
		UPDATE @extschema@.calls c SET end_requested_at = now() WHERE c.id = p_call;
		PERFORM @extschema@.va_event_answer(p_call, p_source, p_seq, @extschema@.va_expand_for(v_call.tenant_id, v_known,
			@extschema@.va_known_text(v_known, 'turn_limit_message',
				'Thank you for talking with us. I have to end the call here. Please call again if there is more. Good-bye.')), true);
		PERFORM @extschema@.va_emit(v_call.tenant_id, 'turn_limit', p_call, v_call.lead_id,
			jsonb_build_object('turns', v_call.conversation_turns));
	END IF;
END
$$;

CREATE FUNCTION @extschema@.va_event_state(p_call uuid, p_tenant uuid, p_source text, p_at timestamptz, p_data jsonb)
	RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_state text := p_data ->> 'state';
	v_reason text := left(p_data ->> 'reason', 50);
BEGIN
	UPDATE @extschema@.call_metrics m SET
		stream_started_at = CASE WHEN v_state = 'stream_started' THEN coalesce(m.stream_started_at, p_at) ELSE m.stream_started_at END,
		engine_ready_at = CASE WHEN v_state = 'engine_ready' THEN coalesce(m.engine_ready_at, p_at) ELSE m.engine_ready_at END,
		first_audio_at = CASE WHEN v_state = 'first_audio' THEN coalesce(m.first_audio_at, p_at) ELSE m.first_audio_at END,
		ended_at = CASE WHEN v_state = 'ended' THEN p_at ELSE m.ended_at END,
		end_reason = CASE WHEN v_state = 'ended' THEN v_reason ELSE m.end_reason END
	WHERE m.call_id = p_call AND m.stream_sid = p_source;
	IF v_state IN ('engine_lost', 'engine_resumed') THEN
		PERFORM @extschema@.va_emit(p_tenant, v_state, p_call, NULL, p_data);
	ELSIF v_state = 'ended' THEN
		PERFORM @extschema@.va_call_promote(p_call, p_source);
		UPDATE @extschema@.calls c SET end_reason = v_reason WHERE c.id = p_call;
		-- The caller is gone. Twilio's status callback says so too, if the number has one.
		-- But a stream that ended because we gave the call another document was left by nobody.
		IF v_reason = 'caller_hangup' AND NOT EXISTS (SELECT FROM @extschema@.calls c JOIN @extschema@.call_metrics m ON m.call_id = c.id
				WHERE c.id = p_call AND m.stream_sid = p_source AND c.redirected_at >= coalesce(m.stream_started_at, m.created_at)) THEN
			PERFORM @extschema@.va_call_set_status(p_call, 'completed');
		END IF;
	END IF;
END
$$;

-- Counters and latencies: each report replaces the one before.
CREATE FUNCTION @extschema@.va_event_metrics(p_call uuid, p_source text, p_data jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.call_metrics m SET
		answer_ms = coalesce(@extschema@.va_number(p_data, 'answer_ms'), m.answer_ms),
		stream_start_ms = coalesce(@extschema@.va_number(p_data, 'stream_start_ms'), m.stream_start_ms),
		engine_prepare_ms = coalesce(@extschema@.va_number(p_data, 'engine_prepare_ms'), m.engine_prepare_ms),
		engine_ready_ms = coalesce(@extschema@.va_number(p_data, 'engine_ready_ms'), m.engine_ready_ms),
		first_audio_ms = coalesce(@extschema@.va_number(p_data, 'first_audio_ms'), m.first_audio_ms),
		engine_latency_avg_ms = coalesce(@extschema@.va_number(p_data, 'engine_latency_avg_ms'), m.engine_latency_avg_ms),
		engine_latency_max_ms = coalesce(@extschema@.va_number(p_data, 'engine_latency_max_ms'), m.engine_latency_max_ms),
		clear_us_max = coalesce(@extschema@.va_number(p_data, 'clear_us_max'), m.clear_us_max),
		frames_in = coalesce(@extschema@.va_number(p_data, 'frames_in')::bigint, m.frames_in),
		frames_out = coalesce(@extschema@.va_number(p_data, 'frames_out')::bigint, m.frames_out),
		frames_dropped_in = coalesce(@extschema@.va_number(p_data, 'frames_dropped_in')::bigint, m.frames_dropped_in),
		frames_dropped_out = coalesce(@extschema@.va_number(p_data, 'frames_dropped_out')::bigint, m.frames_dropped_out),
		bytes_in = coalesce(@extschema@.va_number(p_data, 'bytes_in')::bigint, m.bytes_in),
		bytes_out = coalesce(@extschema@.va_number(p_data, 'bytes_out')::bigint, m.bytes_out),
		interruptions = coalesce(@extschema@.va_number(p_data, 'interruptions')::bigint, m.interruptions),
		clears = coalesce(@extschema@.va_number(p_data, 'clears')::bigint, m.clears),
		marks = coalesce(@extschema@.va_number(p_data, 'marks')::bigint, m.marks),
		tool_calls = coalesce(@extschema@.va_number(p_data, 'tool_calls')::bigint, m.tool_calls),
		dtmf = coalesce(@extschema@.va_number(p_data, 'dtmf')::bigint, m.dtmf),
		extra = m.extra || (p_data - ARRAY['answer_ms', 'stream_start_ms', 'engine_prepare_ms', 'engine_ready_ms',
			'first_audio_ms', 'engine_latency_avg_ms', 'engine_latency_max_ms', 'clear_us_max', 'frames_in',
			'frames_out', 'frames_dropped_in', 'frames_dropped_out', 'bytes_in', 'bytes_out', 'interruptions',
			'clears', 'marks', 'tool_calls', 'dtmf'])
	WHERE m.call_id = p_call AND m.stream_sid = p_source;
END
$$;

-- One event. What is new is stored and applied; what is known is passed over. Partial turns leave no row.
CREATE FUNCTION @extschema@.va_event_apply(p_call uuid, p_tenant uuid, p_source text, p_event jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_seq bigint := @extschema@.va_number(p_event, 'seq')::bigint;
	v_kind text := p_event ->> 'kind';
	v_at timestamptz := coalesce(to_timestamp(@extschema@.va_number(p_event, 'at') / 1000.0), now());
	v_data jsonb := CASE WHEN jsonb_typeof(p_event -> 'data') = 'object' THEN p_event -> 'data' ELSE '{}' END;
BEGIN
	IF v_seq IS NULL OR v_seq < 1 OR v_kind IS NULL THEN
		RAISE EXCEPTION 'an event needs a positive "seq" and a "kind"' USING ERRCODE = 'VA005';
	END IF;
	IF v_kind = 'partial' THEN
		PERFORM @extschema@.va_event_partial(p_call, p_source, v_seq, p_event -> 'at', v_data);
		RETURN;
	END IF;
	INSERT INTO @extschema@.call_events (call_id, source, seq, tenant_id, at, kind, data)
	VALUES (p_call, p_source, v_seq, p_tenant, v_at, left(v_kind, 50), v_data)
	ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	CASE v_kind
		WHEN 'turn' THEN
			PERFORM @extschema@.va_event_turn(p_call, p_source, v_seq, p_event -> 'at', v_data);
			PERFORM @extschema@.va_event_rules(p_call, p_source, v_seq, @extschema@.va_event_role(v_data), v_data ->> 'text');
		WHEN 'state' THEN PERFORM @extschema@.va_event_state(p_call, p_tenant, p_source, v_at, v_data);
		WHEN 'metrics' THEN PERFORM @extschema@.va_event_metrics(p_call, p_source, v_data);
		ELSE NULL; -- a note, or a kind of a newer gateway: the row is all there is to it
	END CASE;
END
$$;

-- A batch of events. Returns NULL, or what the gateway is to do because of one of them, in the words of a tool's answer:
-- {"say": text, "action": "end_call" or null}.
CREATE FUNCTION @extschema@.va_call_events(p_call_id uuid, p_source text, p_events jsonb) RETURNS jsonb
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_tenant uuid;
	v_event jsonb;
	v_answer jsonb;
BEGIN
	IF coalesce(p_source, '') = '' OR jsonb_typeof(p_events) IS DISTINCT FROM 'array' THEN
		RAISE EXCEPTION 'events need a source and an array' USING ERRCODE = 'VA005';
	END IF;
	IF NOT jsonb_path_exists(p_events, '$[*] ? (@.kind != "partial")') THEN
		PERFORM @extschema@.va_commit_lazily();
	END IF;
	SELECT c.tenant_id INTO v_tenant FROM @extschema@.calls c WHERE c.id = p_call_id FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'unknown call %', p_call_id USING ERRCODE = 'VA004';
	END IF;
	INSERT INTO @extschema@.call_metrics (call_id, stream_sid, tenant_id) VALUES (p_call_id, p_source, v_tenant)
	ON CONFLICT DO NOTHING;
	FOR v_event IN SELECT e FROM jsonb_array_elements(p_events) WITH ORDINALITY AS x (e, n)
				   ORDER BY @extschema@.va_number(e, 'seq'), n
	LOOP
		PERFORM @extschema@.va_event_apply(p_call_id, v_tenant, p_source, v_event);
	END LOOP;
	UPDATE @extschema@.conversation_sessions s SET last_activity_at = now()
	WHERE s.call_id = p_call_id AND s.channel = 'voice' RETURNING s.state -> 'answer' INTO v_answer;
	IF v_answer ->> 'source' = p_source AND EXISTS (SELECT FROM jsonb_array_elements(p_events) e WHERE e -> 'seq' = v_answer -> 'seq') THEN
		RETURN v_answer - ARRAY['source', 'seq'];
	END IF;
	RETURN NULL;
END
$$;
