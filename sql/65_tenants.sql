-- Tenants: one statement makes one that can take a call.

-- A short name for URLs, made of the company's; numbered when it is taken.
CREATE FUNCTION @extschema@.va_slug(p_name text) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_base text := left(btrim(regexp_replace(lower(p_name), '[^a-z0-9]+', '-', 'g'), '-'), 90);
	v_slug text;
	v_n integer := 1;
BEGIN
	v_base := coalesce(nullif(rtrim(v_base, '-'), ''), 'tenant');
	v_slug := v_base;
	WHILE EXISTS (SELECT FROM @extschema@.tenants t WHERE t.slug = v_slug) LOOP
		v_n := v_n + 1;
		v_slug := v_base || '-' || v_n;
	END LOOP;
	RETURN v_slug;
END
$$;

CREATE FUNCTION @extschema@.va_default_prompt(p_company text, p_industry text, p_agent text) RETURNS text
	LANGUAGE sql IMMUTABLE
	RETURN format($prompt$You are %s, the telephone assistant of %s (%s). You talk on the phone: answer in one or two short sentences, in plain spoken words, without lists, symbols or formatting, and ask one question at a time.
Find out what the caller needs, and in the course of the conversation their name, their budget, by when they need it and whether they decide themselves. Save what you learn with the tool capture_lead, without mentioning it. Do not invent prices, facts or appointments: say that a colleague will call back.
When the caller says good-bye or wants nothing more, say good-bye and use the tool end_call.$prompt$,
		p_agent, p_company, replace(p_industry, '_', ' '));

CREATE FUNCTION @extschema@.va_tenant_create(
	name text, industry text, phone_number text,
	agent_name text DEFAULT 'Sarah', greeting text DEFAULT NULL, system_prompt text DEFAULT NULL,
	timezone text DEFAULT 'UTC', language text DEFAULT 'en-US', voice_id text DEFAULT NULL,
	voice_engine text DEFAULT NULL, twilio_account_sid text DEFAULT NULL,
	settings jsonb DEFAULT '{}', slug text DEFAULT NULL) RETURNS uuid
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_tenant uuid;
	v_name text := @extschema@.va_filled(va_tenant_create.name);
	v_industry text := @extschema@.va_filled(va_tenant_create.industry);
	v_agent text := coalesce(@extschema@.va_filled(va_tenant_create.agent_name), 'Sarah');
BEGIN
	IF v_name IS NULL OR v_industry IS NULL THEN
		RAISE EXCEPTION 'a tenant needs a name and an industry' USING ERRCODE = 'VA005';
	END IF;
	INSERT INTO @extschema@.tenants (name, slug, industry, timezone, settings)
	VALUES (v_name, coalesce(va_tenant_create.slug, @extschema@.va_slug(v_name)), v_industry,
			coalesce(va_tenant_create.timezone, 'UTC'),
			jsonb_strip_nulls(jsonb_build_object('voice_engine', va_tenant_create.voice_engine,
												 'twilio_account_sid', va_tenant_create.twilio_account_sid))
			|| coalesce(va_tenant_create.settings, '{}'))
	RETURNING id INTO v_tenant;
	IF va_tenant_create.phone_number IS NOT NULL THEN
		INSERT INTO @extschema@.phone_numbers (tenant_id, phone_number, phone_type, display_name, language)
		VALUES (v_tenant, va_tenant_create.phone_number, 'voice', left(v_name, 100), va_tenant_create.language);
	END IF;
	INSERT INTO @extschema@.tenant_voice_configs
		(tenant_id, agent_name, greeting_script, system_prompt, voice_id, language)
	VALUES (v_tenant, v_agent,
			coalesce(va_tenant_create.greeting, format('Hello! Thank you for calling %s. I''m %s, how may I help you today?', v_name, v_agent)),
			coalesce(va_tenant_create.system_prompt, @extschema@.va_default_prompt(v_name, v_industry, v_agent)),
			va_tenant_create.voice_id, va_tenant_create.language);
	PERFORM @extschema@.va_emit(v_tenant, 'tenant_created', NULL, NULL);
	RETURN v_tenant;
END
$$;
