-- Who may do what. Last, because it goes over everything that the files before have made.

-- Nothing is for everybody unless it is said below.
DO $$
DECLARE
	v_object regprocedure;
BEGIN
	FOR v_object IN
		SELECT p.oid FROM pg_catalog.pg_depend d
		JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_extension'::regclass
		JOIN pg_catalog.pg_proc p ON p.oid = d.objid AND d.classid = 'pg_catalog.pg_proc'::regclass
		WHERE e.extname = 'voiceagent' AND d.deptype = 'e'
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', v_object);
	END LOOP;
END
$$;

GRANT USAGE ON SCHEMA @extschema@ TO voiceagent_admin, voiceagent_agent, voiceagent_bi,
	voiceagent_gateway, voiceagent_dispatcher;

-- Harmless, and needed by policies, constraints and triggers in whosever name they run.
GRANT EXECUTE ON FUNCTION @extschema@.va_version(), @extschema@.va_current_tenant(),
	@extschema@.va_phone_normalize(text), @extschema@.va_phone_try(text),
	@extschema@.va_check_settings(jsonb) TO PUBLIC;

-- Functions for users.
GRANT EXECUTE ON FUNCTION @extschema@.va_lead_capture(uuid, jsonb, text),
	@extschema@.va_business_open(uuid, timestamptz), @extschema@.va_next_opening(uuid, timestamptz),
	@extschema@.va_openings(uuid, date)
	TO voiceagent_admin, voiceagent_agent;
GRANT EXECUTE ON FUNCTION @extschema@.va_secret_set(uuid, text, text), @extschema@.va_secret_clear(uuid, text),
	@extschema@.va_filled(text), @extschema@.va_emit(uuid, text, uuid, uuid, jsonb), @extschema@.va_twiml(jsonb),
	@extschema@.va_tool_function(text), @extschema@.va_tool_qualify(text), @extschema@.va_tenant_tools(uuid),
	@extschema@.va_setting(jsonb, text), @extschema@.va_setting_text(jsonb, text, text),
	@extschema@.va_setting_integer(jsonb, text, integer), @extschema@.va_tenant_account(uuid),
	@extschema@.va_settings(jsonb), @extschema@.va_known_text(jsonb, text, text),
	@extschema@.va_known_integer(jsonb, text, integer), @extschema@.va_url_host(text),
	@extschema@.va_local_address(), @extschema@.va_local_scheme(text), @extschema@.va_public_url(), @extschema@.va_media_url(),
	@extschema@.va_health(), @extschema@.va_stats()
	TO voiceagent_admin;

-- The gateway: these and no table.
GRANT EXECUTE ON FUNCTION
	@extschema@.va_webhook_voice_answer(text, jsonb, text, text),
	@extschema@.va_webhook_voice_status(text, jsonb, text, text),
	@extschema@.va_webhook_voice_recording(text, jsonb, text, text),
	@extschema@.va_webhook_voice_transcription(text, jsonb, text, text),
	@extschema@.va_webhook_voice_fallback(text, jsonb, text, text),
	@extschema@.va_webhook_voice_after_stream(text, jsonb, text, text),
	@extschema@.va_webhook_voice_stream_status(text, jsonb, text, text),
	@extschema@.va_webhook_voice_voicemail(text, jsonb, text, text),
	@extschema@.va_webhook_voice_amd(text, jsonb, text, text),
	@extschema@.va_webhook_voice_conference(text, jsonb, text, text),
	@extschema@.va_webhook_voice_participant(text, jsonb, text, text),
	@extschema@.va_webhook_message_status(text, jsonb, text, text),
	@extschema@.va_webhook_sms_incoming(text, jsonb, text, text),
	@extschema@.va_webhook_whatsapp_incoming(text, jsonb, text, text),
	@extschema@.va_gateway_config(), @extschema@.va_gateway_report(text, jsonb),
	@extschema@.va_call_stream_start(text, text, text, text, text), @extschema@.va_call_session(uuid, text),
	@extschema@.va_call_events(uuid, text, jsonb), @extschema@.va_call_tool(uuid, text, text, jsonb),
	@extschema@.va_secret_read(uuid, text)
	TO voiceagent_gateway;

-- Tables. The administrator configures and corrects; secrets only through their functions.
GRANT SELECT, INSERT, UPDATE, DELETE ON @extschema@.tenants, @extschema@.phone_numbers,
	@extschema@.tenant_voice_configs, @extschema@.business_hours, @extschema@.leads, @extschema@.calls,
	@extschema@.appointments, @extschema@.notifications, @extschema@.follow_up_tasks,
	@extschema@.human_agents, @extschema@.conversation_sessions, @extschema@.analytics_events,
	@extschema@.settings, @extschema@.tools TO voiceagent_admin;
GRANT SELECT ON @extschema@.tool_invocations, @extschema@.call_events, @extschema@.call_metrics,
	@extschema@.webhook_receipts, @extschema@.gateway_status, @extschema@.gateway_counters,
	@extschema@.active_calls, @extschema@.todays_appointments, @extschema@.lead_funnel,
	@extschema@.call_timings TO voiceagent_admin;
GRANT SELECT (id, tenant_id, name, key_id, created_at, updated_at) ON @extschema@.tenant_secrets TO voiceagent_admin;

-- A tenant's application works on its own data. It reads but does not write what decides on money and on
-- where credentials go: the tenant's settings, its numbers, its tools.
GRANT SELECT ON @extschema@.tenants, @extschema@.phone_numbers, @extschema@.calls,
	@extschema@.conversation_sessions, @extschema@.analytics_events, @extschema@.tools,
	@extschema@.tool_invocations, @extschema@.call_events, @extschema@.call_metrics,
	@extschema@.active_calls, @extschema@.todays_appointments, @extschema@.lead_funnel,
	@extschema@.call_timings TO voiceagent_agent;
GRANT SELECT, INSERT, UPDATE, DELETE ON @extschema@.tenant_voice_configs, @extschema@.business_hours,
	@extschema@.leads, @extschema@.appointments, @extschema@.notifications, @extschema@.follow_up_tasks,
	@extschema@.human_agents TO voiceagent_agent;

-- Business intelligence reads the views and what they are made of.
GRANT SELECT ON @extschema@.tenants, @extschema@.leads, @extschema@.calls, @extschema@.appointments,
	@extschema@.analytics_events, @extschema@.call_metrics, @extschema@.active_calls,
	@extschema@.todays_appointments, @extschema@.lead_funnel, @extschema@.call_timings TO voiceagent_bi;

-- Row-level security: a session sees the rows of the tenant in voiceagent.tenant_id, whatever its role; the
-- administrator all. It is FORCEd, so that no one is outside of it but a superuser; the owner, and so every function here that
-- runs with the owner's rights, has a policy instead. For the owner's use: whoever makes a partition of one of our tables
-- later calls this on it, for a partition has policies of its own when it is asked by its own name. It may run again.
CREATE FUNCTION @extschema@.va_table_isolate(p_table regclass) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_owner name;
	v_key name;
	v_policy record;
BEGIN
	SELECT pg_get_userbyid(c.relowner), CASE c.relname WHEN 'tenants' THEN 'id' ELSE 'tenant_id' END INTO v_owner, v_key
	FROM pg_class c WHERE c.oid = p_table;
	EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', p_table);
	FOR v_policy IN
		SELECT p.name, p.definition
		FROM (VALUES ('tenant_rows', format('USING (%I = @extschema@.va_current_tenant())', v_key)),
					 ('administrator', 'TO voiceagent_admin USING (true) WITH CHECK (true)'),
					 ('owner', format('TO %I USING (true) WITH CHECK (true)', v_owner))) AS p (name, definition)
		WHERE NOT EXISTS (SELECT FROM pg_policy x WHERE x.polrelid = p_table AND x.polname = p.name)
	LOOP
		EXECUTE format('CREATE POLICY %I ON %s %s', v_policy.name, p_table, v_policy.definition);
	END LOOP;
END
$$;
REVOKE ALL ON FUNCTION @extschema@.va_table_isolate(regclass) FROM PUBLIC;

DO $$
DECLARE
	v_table regclass;
BEGIN
	FOR v_table IN
		SELECT c.oid FROM pg_catalog.pg_depend d
		JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_extension'::regclass
		JOIN pg_catalog.pg_class c ON c.oid = d.objid AND d.classid = 'pg_catalog.pg_class'::regclass
		WHERE e.extname = 'voiceagent' AND d.deptype = 'e' AND c.relkind IN ('r', 'p')
		  AND (c.relname = 'tenants' OR EXISTS (SELECT FROM pg_catalog.pg_attribute a
												WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped))
	LOOP
		PERFORM @extschema@.va_table_isolate(v_table);
	END LOOP;
END
$$;
-- The tools that every tenant has are everybody's to read.
CREATE POLICY common_rows ON @extschema@.tools FOR SELECT USING (tenant_id IS NULL);

-- Settings that are defined from here on are not the extension's, and are dumped.
ALTER TABLE @extschema@.setting_definitions ALTER COLUMN is_builtin SET DEFAULT false;

-- pg_dump keeps the rows of every table, but for those (is_builtin) that CREATE EXTENSION makes again. What a file before has
-- said of a table of its own stays; partitions are dumped through their table (88_events.sql).
DO $$
DECLARE
	v_table regclass;
BEGIN
	FOR v_table IN
		SELECT c.oid FROM pg_catalog.pg_depend d
		JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_extension'::regclass
		JOIN pg_catalog.pg_class c ON c.oid = d.objid AND d.classid = 'pg_catalog.pg_class'::regclass
		WHERE e.extname = 'voiceagent' AND d.deptype = 'e' AND c.relkind IN ('r', 'p', 'S') AND NOT c.relispartition
		  AND NOT c.oid = ANY (coalesce(e.extconfig, '{}'))
	LOOP
		PERFORM pg_catalog.pg_extension_config_dump(v_table,
			CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = v_table AND a.attname = 'is_builtin')
				 THEN 'WHERE NOT is_builtin' ELSE '' END);
	END LOOP;
END
$$;
