-- Tools: SQL functions that the voice agent may call, f(call_id uuid, arguments jsonb) RETURNS jsonb.
--
-- Who may do what, so that a row of `tools` never gives anybody more rights than they had:
--   * only voiceagent_admin (and the owner) writes the table;
--   * a function qualifies when it is a definer's function (prosecdef), so that it runs with its own owner's rights and
--     never with those of the gateway or of this extension's owner, and when voiceagent_admin
--     may EXECUTE it, so that naming it here allows nothing that was not allowed before;
--   * or when it is one of the extension's own functions named va_tool_….
-- Both are checked when the row is written and again at each call.

CREATE FUNCTION @extschema@.va_tool_run(function regprocedure, call_id uuid, arguments jsonb,
	timeout_ms integer, OUT result jsonb, OUT error jsonb) RETURNS record
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'va_tool_run';

-- The function behind a name, checked; an error of SQLSTATE VA008 says what is wrong with it.
CREATE FUNCTION @extschema@.va_tool_function(p_function text) RETURNS regprocedure
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_oid oid;
	v_proc pg_proc;
BEGIN
	BEGIN
		v_oid := to_regprocedure(p_function || '(uuid, jsonb)');
	EXCEPTION WHEN OTHERS THEN
		v_oid := NULL; -- not even a name
	END;
	SELECT * INTO v_proc FROM pg_proc p WHERE p.oid = v_oid;
	IF v_oid IS NULL OR v_proc.prorettype <> 'jsonb'::regtype OR v_proc.proretset OR v_proc.prokind <> 'f' THEN
		RAISE EXCEPTION 'there is no tool function %(uuid, jsonb) returning jsonb', p_function
			USING ERRCODE = 'VA008', HINT = 'Give the name with its schema, without arguments.';
	END IF;
	IF EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
			   WHERE d.classid = 'pg_proc'::regclass AND d.objid = v_oid AND d.deptype = 'e'
				 AND d.refclassid = 'pg_extension'::regclass AND e.extname = 'voiceagent')
	   AND v_proc.proname LIKE 'va\_tool\_%' THEN
		RETURN v_oid;
	END IF;
	IF NOT v_proc.prosecdef THEN
		RAISE EXCEPTION 'tool function % is not SECURITY DEFINER', p_function
			USING ERRCODE = 'VA008',
				  HINT = 'A tool runs with the rights of its own owner: create it with SECURITY DEFINER SET search_path = ...';
	END IF;
	IF NOT has_function_privilege('voiceagent_admin', v_oid, 'EXECUTE') THEN
		RAISE EXCEPTION 'voiceagent_admin may not execute tool function %', p_function
			USING ERRCODE = 'VA008', HINT = 'GRANT EXECUTE on the function to voiceagent_admin.';
	END IF;
	RETURN v_oid;
END
$$;

-- Stores the name with its schema, found by the search_path of the one who writes.
CREATE FUNCTION @extschema@.va_tool_qualify(p_function text) RETURNS text
	LANGUAGE plpgsql STABLE AS $$
DECLARE
	v_name text;
BEGIN
	SELECT pg_catalog.format('%I.%I', n.nspname, p.proname) INTO v_name
	FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
	WHERE p.oid OPERATOR(pg_catalog.=) pg_catalog.to_regprocedure(p_function OPERATOR(pg_catalog.||) '(uuid, jsonb)');
	RETURN coalesce(v_name, p_function);
EXCEPTION WHEN syntax_error OR invalid_name OR invalid_text_representation THEN
	RETURN p_function;
END
$$;

CREATE FUNCTION @extschema@.va_check_tool() RETURNS trigger
	LANGUAGE plpgsql AS $$
BEGIN
	NEW.function := @extschema@.va_tool_qualify(NEW.function);
	PERFORM @extschema@.va_tool_function(NEW.function);
	IF NEW.parameters OPERATOR(pg_catalog.->>) 'type' IS DISTINCT FROM 'object' THEN
		RAISE EXCEPTION 'the parameters of a tool are a JSON Schema of type "object"'
			USING ERRCODE = 'VA008';
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER tools_check BEFORE INSERT OR UPDATE OF function, parameters ON @extschema@.tools
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_tool();

-- The tools of a tenant: the common ones that its setting `tools` names (all, where it is not set), and its own, which
-- win where the names are the same.
CREATE FUNCTION @extschema@.va_tenant_tools(p_tenant uuid) RETURNS SETOF @extschema@.tools
	LANGUAGE sql STABLE
	BEGIN ATOMIC
		SELECT t.* FROM @extschema@.tools t
		WHERE t.enabled AND (t.tenant_id = p_tenant
			OR t.tenant_id IS NULL AND NOT EXISTS (SELECT FROM @extschema@.tools own
				WHERE own.tenant_id = p_tenant AND own.name = t.name)
			AND coalesce((SELECT @extschema@.va_setting(n.settings, 'tools') FROM @extschema@.tenants n WHERE n.id = p_tenant) ? t.name, true))
		ORDER BY t.name;
	END;

-- end_call: the agent says good-bye. The gateway hangs up once what is said has been heard.
CREATE FUNCTION @extschema@.va_tool_end_call(call_id uuid, arguments jsonb) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.calls c SET end_requested_at = coalesce(c.end_requested_at, now())
	WHERE c.id = va_tool_end_call.call_id;
	RETURN jsonb_build_object('result', 'the call ends now', 'action', 'end_call',
							  'say', @extschema@.va_filled(arguments ->> 'farewell'));
END
$$;

-- capture_lead: what the caller told. Whatever is not a column of leads is qualification data.
-- A number or address that cannot be one is kept as it was said: a caller does not dictate E.164.
CREATE FUNCTION @extschema@.va_tool_capture_lead(call_id uuid, arguments jsonb) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls;
	v_data jsonb := arguments;
	v_known text[] := ARRAY['first_name', 'last_name', 'name', 'phone', 'email', 'company_name',
		'company', 'tags', 'custom_fields', 'qualification_data'];
	v_extra jsonb := arguments - v_known;
	v_caller text;
	v_phone text;
	v_lead uuid;
BEGIN
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = va_tool_capture_lead.call_id;
	v_caller := CASE v_call.direction WHEN 'outbound' THEN v_call.to_number ELSE v_call.from_number END;
	v_phone := @extschema@.va_phone_try(@extschema@.va_filled(arguments ->> 'phone'));
	IF v_phone IS NULL AND @extschema@.va_filled(arguments ->> 'phone') IS NOT NULL THEN
		v_extra := v_extra || jsonb_build_object('phone_as_said', arguments ->> 'phone');
	END IF;
	IF @extschema@.va_filled(arguments ->> 'email') !~ '^[^@[:space:]]+@[^@[:space:]]+\.[^@[:space:]]+$' THEN
		v_extra := v_extra || jsonb_build_object('email_as_said', arguments ->> 'email');
		v_data := v_data - 'email';
	END IF;
	v_data := (SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(v_data) WHERE key = ANY (v_known))
		|| jsonb_build_object(
			'phone', coalesce(v_phone, @extschema@.va_phone_try(v_caller)),
			'source_phone_number', CASE v_call.direction WHEN 'outbound' THEN v_call.from_number ELSE v_call.to_number END,
			'qualification_data', v_extra || CASE WHEN jsonb_typeof(arguments -> 'qualification_data') = 'object'
				THEN arguments -> 'qualification_data' ELSE '{}' END);
	v_lead := @extschema@.va_lead_upsert(v_call.tenant_id, v_data,
		coalesce(v_call.direction, 'inbound') || '_call', v_call.lead_id, v_call.id);
	UPDATE @extschema@.calls c SET lead_id = v_lead
	WHERE c.id = v_call.id AND c.lead_id IS DISTINCT FROM v_lead;
	UPDATE @extschema@.conversation_sessions s SET lead_id = v_lead
	WHERE s.call_id = v_call.id AND s.lead_id IS DISTINCT FROM v_lead;
	RETURN jsonb_build_object('result', jsonb_build_object('saved', true, 'lead_id', v_lead));
END
$$;

INSERT INTO @extschema@.tools (name, description, parameters, function, is_builtin) VALUES
('end_call',
 'Ends the phone call. Use it when the caller has said good-bye or wants nothing more.',
 '{"type": "object", "properties": {
	"farewell": {"type": "string", "description": "last words to say, if they were not said yet"},
	"reason": {"type": "string", "description": "why the call ends"}}}',
 '@extschema@.va_tool_end_call', true),
('capture_lead',
 'Saves what the caller told about themselves and their wishes. Call it as soon as the name or the wish is known, and again whenever something new is said.',
 '{"type": "object", "properties": {
	"first_name": {"type": "string"},
	"last_name": {"type": "string"},
	"phone": {"type": "string", "description": "only if it differs from the number they call from"},
	"email": {"type": "string"},
	"company_name": {"type": "string"},
	"budget": {"type": "string", "description": "what the caller wants to spend, in their own words"},
	"authority": {"type": "string", "description": "whether the caller decides alone"},
	"need": {"type": "string", "description": "what the caller needs"},
	"timeline": {"type": "string", "description": "by when"},
	"notes": {"type": "string"}}}',
 '@extschema@.va_tool_capture_lead', true);

-- The gateway's entry: runs a tool once per invocation, whatever comes of it.
CREATE FUNCTION @extschema@.va_call_tool(p_call_id uuid, p_invocation_id text, p_name text, p_arguments jsonb)
	RETURNS jsonb
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_tenant uuid;
	v_tool @extschema@.tools;
	v_run record;
	v_answer jsonb;
	v_detail text;
	v_start timestamptz := clock_timestamp();
BEGIN
	SELECT c.tenant_id INTO v_tenant FROM @extschema@.calls c WHERE c.id = p_call_id;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'unknown call %', p_call_id USING ERRCODE = 'VA004';
	END IF;
	-- A second request with this id waits here for the first one to commit.
	INSERT INTO @extschema@.tool_invocations (call_id, invocation_id, tenant_id, tool, arguments)
	VALUES (p_call_id, p_invocation_id, v_tenant, left(p_name, 100), coalesce(p_arguments, '{}'))
	ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RETURN (SELECT i.answer FROM @extschema@.tool_invocations i
				WHERE i.call_id = p_call_id AND i.invocation_id = p_invocation_id);
	END IF;

	SELECT * INTO v_tool FROM @extschema@.va_tenant_tools(v_tenant) t WHERE t.name = p_name;
	IF NOT FOUND THEN
		v_answer := jsonb_build_object('error', 'there is no such tool', 'unknown', true);
	ELSIF jsonb_typeof(coalesce(p_arguments, '{}')) <> 'object' THEN
		v_answer := jsonb_build_object('error', 'the arguments must be an object', 'unknown', false);
	ELSE
		BEGIN
			SELECT r.result, r.error INTO v_run
			FROM @extschema@.va_tool_run(@extschema@.va_tool_function(v_tool.function), p_call_id,
										 coalesce(p_arguments, '{}'), v_tool.timeout_ms) r;
		EXCEPTION WHEN SQLSTATE 'VA008' THEN
			SELECT NULL::jsonb AS result,
				   jsonb_build_object('sqlstate', SQLSTATE, 'message', SQLERRM) AS error INTO v_run;
		END;
		IF v_run.error IS NOT NULL THEN
			v_detail := format('%s: %s', v_run.error ->> 'sqlstate', v_run.error ->> 'message');
			v_answer := jsonb_build_object('unknown', false, 'error', @extschema@.va_tool_error(v_run.error));
		ELSIF jsonb_typeof(v_run.result) = 'object' AND v_run.result ? 'result'
			  AND v_run.result - ARRAY['result', 'action', 'say'] = '{}' THEN
			v_answer := jsonb_build_object('action', NULL, 'say', NULL) || v_run.result;
		ELSE
			v_answer := jsonb_build_object('result', v_run.result, 'action', NULL, 'say', NULL);
		END IF;
	END IF;

	UPDATE @extschema@.tool_invocations i
	SET answer = v_answer, error_detail = v_detail,
		duration_ms = extract(epoch FROM clock_timestamp() - v_start) * 1000
	WHERE i.call_id = p_call_id AND i.invocation_id = p_invocation_id;
	IF v_detail IS NOT NULL THEN
		RAISE WARNING 'tool "%" failed with SQLSTATE %', v_tool.name, v_run.error ->> 'sqlstate'
			USING DETAIL = format('Call %s.', p_call_id), HINT = 'tool_invocations.error_detail has the message.';
	END IF;
	RETURN v_answer;
END
$$;

-- What the model is told. Messages that a tool raised on purpose (RAISE EXCEPTION, class VA) are meant to
-- be read; others may quote data or betray the schema.
CREATE FUNCTION @extschema@.va_tool_error(p_error jsonb) RETURNS text
	LANGUAGE sql IMMUTABLE
	RETURN CASE WHEN p_error ->> 'sqlstate' = 'VA008' THEN 'the tool is not available'
				WHEN p_error ->> 'sqlstate' = '57014' THEN 'the tool took too long'
				WHEN p_error ->> 'sqlstate' = 'P0001' OR p_error ->> 'sqlstate' LIKE 'VA%'
				THEN p_error ->> 'message'
				ELSE 'the tool failed' END;
