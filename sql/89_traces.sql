-- Traces: one a call, in the JSON of OTLP/HTTP with the attribute names of OpenTelemetry's conventions for generative AI. Off
-- unless the setting `otlp` names an end point. What people said is left out unless its member `content` is true.
--
-- All ids are made from the call's own: a trace that is sent twice is the same trace.

INSERT INTO @extschema@.outbox_kinds (kind, description, prepare, settle, repeatable, lane, max_attempts, timeout_ms, is_builtin) VALUES
	('otlp.trace', 'The trace of a call for a collector', 'va_prepare_otlp_trace', NULL, true, 'bulk', 6, 15000, true);
INSERT INTO @extschema@.outbox_providers (provider, concurrency, is_builtin) VALUES ('otlp', 4, true);

-- Headers of a request: texts that stay on their line.
CREATE FUNCTION @extschema@.va_check_headers(p_name text, p_value jsonb) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_key text;
	v_value jsonb;
BEGIN
	FOR v_key, v_value IN SELECT * FROM jsonb_each(p_value) LOOP
		IF v_key !~ '^[A-Za-z0-9-]{1,100}$' OR jsonb_typeof(v_value) <> 'string' OR v_value #>> '{}' !~ '^[\x20-\x7e]*$'
		   OR length(v_value #>> '{}') > 800 THEN
			RAISE EXCEPTION 'setting "%" holds a header that cannot be sent: "%"', p_name, v_key
				USING ERRCODE = 'VA009', HINT = 'A name of letters, digits and hyphens, and a text of one line.';
		END IF;
	END LOOP;
END
$$;

INSERT INTO @extschema@.setting_definitions (name, types, minimum, maximum, pattern, expected, open, checked_by, default_value, description) VALUES
('otlp', '{object}', NULL, NULL, NULL, NULL, false, NULL, '{}', 'Traces of calls for a collector (OpenTelemetry).'),
('otlp.content', '{boolean}', NULL, NULL, NULL, NULL, false, NULL, 'false', 'Do traces hold what was said?'),
('otlp.endpoint', '{text}', 0, 500, '^https?://[^[:space:]]+$', 'a URL like "https://collector.example.com/v1/traces"', false, NULL, NULL, 'Where traces are posted as OTLP/HTTP JSON; unset: nowhere.'),
('otlp.headers', '{object}', NULL, NULL, NULL, NULL, true, 'va_check_headers', '{}', 'Headers of these requests; secret ones go into the secret otlp_headers.');

CREATE FUNCTION @extschema@.va_trace_id(p_call uuid) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN replace(p_call::text, '-', '');

-- The span of a part of a call; '' is the call itself.
CREATE FUNCTION @extschema@.va_span_id(p_call uuid, p_part text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN substr(encode(sha256(convert_to(p_call::text || '/' || p_part, 'UTF8')), 'hex'), 1, 16);

-- Nanoseconds since 1970 as OTLP's JSON has them: digits in a string.
CREATE FUNCTION @extschema@.va_trace_time(p_at timestamptz) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN (extract(epoch FROM p_at) * 1000000)::bigint::text || '000';

-- {"name": value, …} as OTLP's list of attributes; nulls are left out.
CREATE FUNCTION @extschema@.va_trace_attributes(p_object jsonb) RETURNS jsonb
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT coalesce(jsonb_agg(jsonb_build_object('key', e.key, 'value', CASE
			WHEN jsonb_typeof(e.value) = 'boolean' THEN jsonb_build_object('boolValue', e.value)
			WHEN jsonb_typeof(e.value) = 'number' AND (e.value #>> '{}')::numeric % 1 = 0 THEN jsonb_build_object('intValue', (e.value #>> '{}')::numeric::bigint::text)
			WHEN jsonb_typeof(e.value) = 'number' THEN jsonb_build_object('doubleValue', e.value)
			WHEN jsonb_typeof(e.value) = 'string' THEN jsonb_build_object('stringValue', e.value)
			ELSE jsonb_build_object('stringValue', e.value::text) END) ORDER BY e.key), '[]')
		FROM jsonb_each(p_object) e WHERE e.value <> 'null');
END
$$;

-- One span. p_kind: 1 internal, 2 server, 3 client. p_error: NULL for none.
CREATE FUNCTION @extschema@.va_trace_span(p_call uuid, p_part text, p_parent text, p_name text, p_kind integer, p_from timestamptz, p_to timestamptz,
	p_attributes jsonb, p_error text, p_events jsonb DEFAULT '[]') RETURNS jsonb
	LANGUAGE sql IMMUTABLE
	RETURN jsonb_build_object('traceId', @extschema@.va_trace_id(p_call), 'spanId', @extschema@.va_span_id(p_call, p_part),
		'name', p_name, 'kind', p_kind, 'startTimeUnixNano', @extschema@.va_trace_time(p_from),
		'endTimeUnixNano', @extschema@.va_trace_time(greatest(p_to, p_from)), 'attributes', @extschema@.va_trace_attributes(p_attributes),
		'events', p_events, 'status', CASE WHEN p_error IS NULL THEN jsonb_build_object('code', 1) ELSE jsonb_build_object('code', 2, 'message', p_error) END)
		|| CASE WHEN p_parent IS NULL THEN '{}' ELSE jsonb_build_object('parentSpanId', @extschema@.va_span_id(p_call, p_parent)) END;

-- The call itself: who carried it, how it went.
CREATE FUNCTION @extschema@.va_trace_call(p_call @extschema@.calls, p_agent text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN @extschema@.va_trace_span(p_call.id, '', NULL, 'invoke_agent ' || p_agent, 2, coalesce(p_call.started_at, p_call.created_at),
		coalesce(p_call.ended_at, p_call.updated_at), jsonb_build_object('gen_ai.operation.name', 'invoke_agent', 'gen_ai.agent.name', p_agent,
			'gen_ai.conversation.id', p_call.id, 'gen_ai.output.type', 'speech', 'voiceagent.tenant.id', p_call.tenant_id,
			'voiceagent.lead.id', p_call.lead_id, 'voiceagent.call.direction', p_call.direction, 'voiceagent.call.status', p_call.status,
			'voiceagent.call.turns', p_call.conversation_turns, 'voiceagent.call.outcome', p_call.outcome, 'voiceagent.call.escalated', p_call.escalated_to_human,
			'voiceagent.call.resumes', p_call.resume_count, 'voiceagent.call.end_reason', p_call.end_reason),
		CASE WHEN p_call.status IN ('failed', 'canceled') OR p_call.end_reason = 'engine_failed' THEN coalesce(p_call.end_reason, p_call.status) END);
END
$$;

-- Each media stream: the time a voice engine was connected, with the moments it was ready and first spoke.
CREATE FUNCTION @extschema@.va_trace_streams(p_call @extschema@.calls, p_engine text, p_model text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT coalesce(jsonb_agg(@extschema@.va_trace_span(p_call.id, m.stream_sid, '', btrim('chat ' || coalesce(p_model, '')), 3,
			coalesce(m.stream_started_at, m.created_at), coalesce(m.ended_at, p_call.ended_at, p_call.updated_at),
			jsonb_build_object('gen_ai.operation.name', 'chat', 'gen_ai.provider.name', p_engine, 'gen_ai.system', p_engine, 'gen_ai.request.model', p_model,
				'gen_ai.conversation.id', p_call.id, 'gen_ai.response.time_to_first_chunk', m.first_audio_ms / 1000,
				'voiceagent.stream.frames_in', m.frames_in, 'voiceagent.stream.frames_out', m.frames_out, 'voiceagent.stream.interruptions', m.interruptions,
				'voiceagent.stream.engine_latency_avg_ms', m.engine_latency_avg_ms, 'voiceagent.stream.engine_latency_max_ms', m.engine_latency_max_ms,
				'error.type', m.stream_error),
			m.stream_error, (SELECT coalesce(jsonb_agg(jsonb_build_object('timeUnixNano', @extschema@.va_trace_time(e.at), 'name', e.name, 'attributes', '[]'::jsonb)
					ORDER BY e.at), '[]')
				FROM (VALUES (m.engine_ready_at, 'engine_ready'), (m.first_audio_at, 'first_audio')) AS e (at, name) WHERE e.at IS NOT NULL))
			ORDER BY m.created_at, m.stream_sid), '[]')
		FROM @extschema@.call_metrics m WHERE m.call_id = p_call.id);
END
$$;

CREATE FUNCTION @extschema@.va_trace_tools(p_call @extschema@.calls, p_content boolean) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT coalesce(jsonb_agg(@extschema@.va_trace_span(p_call.id, 'tool/' || i.invocation_id, '', 'execute_tool ' || i.tool, 1,
			i.created_at, i.created_at + make_interval(secs => coalesce(i.duration_ms, 0) / 1000),
			jsonb_build_object('gen_ai.operation.name', 'execute_tool', 'gen_ai.tool.name', i.tool, 'gen_ai.tool.call.id', i.invocation_id,
				'gen_ai.tool.type', 'function', 'gen_ai.tool.call.arguments', CASE WHEN p_content THEN i.arguments::text END,
				'gen_ai.tool.call.result', CASE WHEN p_content THEN i.answer::text END, 'error.type', substr(i.error_detail, 1, 5)),
			CASE WHEN i.error_detail IS NOT NULL THEN 'the tool failed' END) ORDER BY i.created_at, i.invocation_id), '[]')
		FROM @extschema@.tool_invocations i WHERE i.call_id = p_call.id);
END
$$;

-- What was said, as one JSON text in the attribute that the conventions name for it: opt-in.
CREATE FUNCTION @extschema@.va_trace_messages(p_transcript jsonb) RETURNS text
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT jsonb_agg(jsonb_build_object('role', CASE e ->> 'role' WHEN 'agent' THEN 'assistant' ELSE e ->> 'role' END,
			'parts', jsonb_build_array(jsonb_build_object('type', 'text', 'content', e ->> 'text'))) ORDER BY n)::text
		FROM jsonb_array_elements(p_transcript) WITH ORDINALITY AS x (e, n));
END
$$;

-- The whole trace of a call, as it is posted. content: with what was said and what tools were told.
-- Errors: VA004 unknown call.
CREATE FUNCTION @extschema@.va_call_trace(call uuid, content boolean DEFAULT false) RETURNS jsonb
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_call @extschema@.calls := @extschema@.va_call_row(call);
	v_known jsonb := @extschema@.va_settings((SELECT t.settings FROM @extschema@.tenants t WHERE t.id = v_call.tenant_id));
	v_engine text := @extschema@.va_known_text(v_known, 'voice_engine', 'ultravox');
	v_agent text := coalesce((SELECT c.agent_name FROM @extschema@.tenant_voice_configs c WHERE c.tenant_id = v_call.tenant_id
		ORDER BY c.created_at DESC, c.id LIMIT 1), 'voiceagent');
	v_root jsonb := @extschema@.va_trace_call(v_call, v_agent);
BEGIN
	IF content AND v_call.transcript <> '[]' THEN
		v_root := jsonb_set(v_root, '{attributes}', (v_root -> 'attributes') || @extschema@.va_trace_attributes(
			jsonb_build_object('gen_ai.output.messages', @extschema@.va_trace_messages(v_call.transcript))));
	END IF;
	RETURN jsonb_build_object('resourceSpans', jsonb_build_array(jsonb_build_object(
		'resource', jsonb_build_object('attributes', @extschema@.va_trace_attributes(jsonb_build_object('service.name', 'voiceagent',
			'service.version', @extschema@.va_version(), 'service.namespace', (SELECT t.slug FROM @extschema@.tenants t WHERE t.id = v_call.tenant_id)))),
		'scopeSpans', jsonb_build_array(jsonb_build_object('scope', jsonb_build_object('name', 'voiceagent', 'version', @extschema@.va_version()),
			'spans', jsonb_build_array(v_root) || @extschema@.va_trace_streams(v_call, v_engine, v_known #>> '{engine,model}')
				|| @extschema@.va_trace_tools(v_call, coalesce(content, false)))))));
END
$$;

-- A call that is over is traced a minute later, when the last reports of its streams are in.
CREATE FUNCTION @extschema@.va_call_traced() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF @extschema@.va_setting((SELECT t.settings FROM @extschema@.tenants t WHERE t.id = NEW.tenant_id), 'otlp') ->> 'endpoint' IS NOT NULL THEN
		PERFORM @extschema@.va_outbox_add(NEW.tenant_id, 'otlp.trace', NEW.id::text, run_at => now() + interval '1 minute', call => NEW.id);
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER calls_traced AFTER UPDATE OF status ON @extschema@.calls FOR EACH ROW
	WHEN (NEW.status IN ('completed', 'busy', 'failed', 'no-answer', 'canceled') AND OLD.status IS DISTINCT FROM NEW.status)
	EXECUTE FUNCTION @extschema@.va_call_traced();

-- A key belongs in the secret otlp_headers, written as "name: value" lines.
CREATE FUNCTION @extschema@.va_prepare_otlp_trace(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_own jsonb := (SELECT t.settings FROM @extschema@.tenants t WHERE t.id = o.tenant_id);
	v_otlp jsonb := @extschema@.va_setting(v_own, 'otlp');
BEGIN
	IF v_otlp ->> 'endpoint' IS NULL OR NOT EXISTS (SELECT FROM @extschema@.calls c WHERE c.id = o.call_id) THEN
		RETURN jsonb_build_object('skip', 'traces are off, or the call is gone');
	END IF;
	RETURN jsonb_build_object('tenant_url', coalesce(jsonb_typeof(v_own -> 'otlp') = 'object', false), 'url', v_otlp ->> 'endpoint', 'headers', coalesce(v_otlp -> 'headers', '{}'),
		'secret_headers', @extschema@.va_secret_read(o.tenant_id, 'otlp_headers'),
		'body', @extschema@.va_call_trace(o.call_id, (v_otlp -> 'content') = 'true'));
END
$$;

GRANT EXECUTE ON FUNCTION @extschema@.va_call_trace(uuid, boolean) TO voiceagent_admin, voiceagent_agent;
