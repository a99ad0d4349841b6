-- Tenants: one statement makes one that can take a call, and a few more change what it has: numbers, hours, holidays,
-- voice. (Settings are in 66_settings.sql, the templates of industries in 67_industries.sql.)
--
-- Greeting and prompt are kept with their placeholders ({{company}}) and expanded when a call begins, so that a company
-- that changes its name, its hours or its questions is called right in the next call.

ALTER TABLE @extschema@.tenant_voice_configs
	ADD CONSTRAINT tenant_voice_configs_rate CHECK (speaking_rate BETWEEN 0.25 AND 4),
	ADD CONSTRAINT tenant_voice_configs_pitch CHECK (pitch BETWEEN 0.25 AND 4);

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

-- ---- what placeholders become -------------------------------------------------------------------

-- The opening hours in words: "Monday, Tuesday 09:00 to 17:00; Saturday 10:00 to 14:00".
CREATE FUNCTION @extschema@.va_hours_text(p_tenant uuid) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (
		WITH week AS (SELECT @extschema@.va_tenant_week(p_tenant) AS w),
		days AS (
			SELECT (w[i] + 6) % 7 AS place, to_char(date '2023-01-01' + w[i], 'FMDay') AS day,
				   string_agg(to_char(make_interval(secs => w[i + 1]), 'HH24:MI') || ' to '
					|| CASE WHEN w[i + 2] = 86400 THEN '24:00' ELSE to_char(make_interval(secs => w[i + 2] % 86400), 'HH24:MI') END,
							  ' and ' ORDER BY w[i + 1], w[i + 2]) AS times
			FROM week, generate_series(1, cardinality(w), 3) i GROUP BY w[i]),
		lines AS (
			SELECT min(d.place) AS place, string_agg(d.day, ', ' ORDER BY d.place) || ' ' || d.times AS line FROM days d GROUP BY d.times)
		SELECT string_agg(l.line, '; ' ORDER BY l.place) FROM lines l);
END
$$;

-- The words for va_expand. p_known is what va_settings returned; p_texts, all that is to be expanded, saves the work
-- where there is no placeholder in it.
CREATE FUNCTION @extschema@.va_words(p_tenant @extschema@.tenants, p_known jsonb, p_agent text, p_language text, p_caller text, p_texts text)
	RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_here timestamp;
	v_close text := replace(p_texts, ' ', '');
BEGIN
	IF p_texts IS NULL OR strpos(p_texts, '{{') = 0 THEN
		RETURN '{}';
	END IF;
	v_here := now() AT TIME ZONE coalesce(p_tenant.timezone, 'UTC');
	RETURN jsonb_build_object('company', p_tenant.name, 'agent_name', coalesce(@extschema@.va_filled(p_agent), 'the assistant'),
		'industry', replace(p_tenant.industry, '_', ' '), 'language', coalesce(p_language, 'en-US'), 'timezone', coalesce(p_tenant.timezone, 'UTC'),
		'date', to_char(v_here, 'FMDay, DD FMMonth YYYY'), 'time', to_char(v_here, 'HH24:MI'), 'caller_name', coalesce(p_caller, ''),
		'emergency_number', @extschema@.va_known_text(p_known, 'emergency_number', 'your local emergency number'),
		'hours', CASE WHEN strpos(v_close, '{{hours}}') > 0
			THEN coalesce(@extschema@.va_hours_text(p_tenant.id), 'not known to you; a colleague will tell them') END,
		'questions', CASE WHEN strpos(v_close, '{{questions}}') > 0 THEN coalesce((SELECT string_agg(q.n || '. ' || q.text, ' ' ORDER BY q.n)
			FROM jsonb_array_elements_text(CASE jsonb_typeof(p_known -> 'qualification_questions') WHEN 'array' THEN p_known -> 'qualification_questions'
				ELSE '[]' END) WITH ORDINALITY AS q (text, n)), 'What do you need?') END);
END
$$;

-- Texts of the tenant's agent with the placeholders in their place, outside of a session.
CREATE FUNCTION @extschema@.va_expand_for(p_tenant uuid, p_known jsonb, p_text text) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_tenant @extschema@.tenants;
	v_voice @extschema@.tenant_voice_configs;
BEGIN
	IF p_text IS NULL OR strpos(p_text, '{{') = 0 THEN
		RETURN p_text;
	END IF;
	SELECT * INTO v_tenant FROM @extschema@.tenants t WHERE t.id = p_tenant;
	SELECT * INTO v_voice FROM @extschema@.tenant_voice_configs c WHERE c.tenant_id = p_tenant ORDER BY c.created_at DESC, c.id LIMIT 1;
	RETURN @extschema@.va_expand(p_text, @extschema@.va_words(v_tenant, p_known, v_voice.agent_name, v_voice.language, '', p_text));
END
$$;

CREATE FUNCTION @extschema@.va_check_voice_texts() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_check_placeholders('the greeting', NEW.greeting_script), @extschema@.va_check_placeholders('the prompt', NEW.system_prompt);
	RETURN NEW;
END
$$;
CREATE TRIGGER tenant_voice_configs_check BEFORE INSERT OR UPDATE OF greeting_script, system_prompt ON @extschema@.tenant_voice_configs
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_voice_texts();

-- ---- numbers ------------------------------------------------------------------------------------

-- Gives a tenant a number and returns the row's id. phone_type: voice (which takes SMS as well), whatsapp or sms.
-- Errors: VA001, VA003, VA005 (phone_type), VA009 (voice_config), 23505 (the number is in use).
CREATE FUNCTION @extschema@.va_tenant_number_add(tenant uuid, phone_number text, phone_type text DEFAULT 'voice', display_name text DEFAULT NULL,
	language text DEFAULT 'en-US', voice_config jsonb DEFAULT '{}', twilio_sid text DEFAULT NULL) RETURNS uuid
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_number text := @extschema@.va_phone_normalize(coalesce(va_tenant_number_add.phone_number, ''));
	v_owner uuid;
	v_id uuid;
BEGIN
	PERFORM @extschema@.va_assert_tenant(va_tenant_number_add.tenant);
	IF (va_tenant_number_add.phone_type IN ('voice', 'whatsapp', 'sms')) IS NOT TRUE THEN
		RAISE EXCEPTION 'unknown type of number "%"', coalesce(va_tenant_number_add.phone_type, 'NULL')
			USING ERRCODE = 'VA005', HINT = 'Known are voice, whatsapp and sms.';
	END IF;
	SELECT n.tenant_id INTO v_owner FROM @extschema@.phone_numbers n WHERE n.phone_number = v_number;
	IF FOUND THEN
		RAISE EXCEPTION 'the number % is in use already', v_number
			USING ERRCODE = 'unique_violation', HINT = CASE WHEN v_owner = va_tenant_number_add.tenant THEN 'It is this tenant''s.'
				ELSE 'It is another tenant''s: va_tenant_number_remove takes it away there.' END;
	END IF;
	INSERT INTO @extschema@.phone_numbers (tenant_id, phone_number, phone_type, display_name, language, voice_config, twilio_sid)
	VALUES (va_tenant_number_add.tenant, v_number, va_tenant_number_add.phone_type, left(va_tenant_number_add.display_name, 100),
			coalesce(va_tenant_number_add.language, 'en-US'), coalesce(va_tenant_number_add.voice_config, '{}'), va_tenant_number_add.twilio_sid)
	RETURNING id INTO v_id;
	RETURN v_id;
END
$$;

-- Takes a number away; its calls stay. False when the tenant has no such number. Errors: VA001, VA003.
CREATE FUNCTION @extschema@.va_tenant_number_remove(tenant uuid, phone_number text) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_assert_tenant(va_tenant_number_remove.tenant);
	DELETE FROM @extschema@.phone_numbers n
	WHERE n.tenant_id = va_tenant_number_remove.tenant
	  AND n.phone_number = @extschema@.va_phone_normalize(coalesce(va_tenant_number_remove.phone_number, ''));
	RETURN FOUND;
END
$$;

-- ---- hours and holidays -------------------------------------------------------------------------

-- The openings of one weekday (0 = Sunday) in what a user wrote: the day's own name wins over weekdays and weekend,
-- those over daily.
CREATE FUNCTION @extschema@.va_hours_of_day(p_hours jsonb, p_day integer) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN coalesce(p_hours -> (ARRAY['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'])[p_day + 1],
					p_hours -> CASE WHEN p_day IN (0, 6) THEN 'weekend' ELSE 'weekdays' END, p_hours -> 'daily', '[]');

-- Refuses hours that are none.
CREATE FUNCTION @extschema@.va_check_week(p_hours jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_known text[] := ARRAY['daily', 'weekdays', 'weekend', 'sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'];
	v_key text;
	v_list jsonb;
	v_near text;
BEGIN
	IF jsonb_typeof(p_hours) <> 'object' OR p_hours = '{}' THEN
		RAISE EXCEPTION 'opening hours are an object of weekdays'
			USING ERRCODE = 'VA009', HINT = 'For instance {"weekdays": [["09:00", "17:00"]], "saturday": [["10:00", "14:00"]]}; NULL: always open.';
	END IF;
	FOR v_key, v_list IN SELECT key, value FROM jsonb_each(p_hours) LOOP
		IF v_key <> ALL (v_known) THEN
			v_near := @extschema@.va_nearest(lower(v_key), v_known);
			RAISE EXCEPTION 'opening hours have an unknown key "%"', v_key USING ERRCODE = 'VA009',
				HINT = coalesce(format('Did you mean "%s"?', v_near), 'Known are ' || array_to_string(v_known, ', ') || '.');
		END IF;
		PERFORM @extschema@.va_check_openings('opening hours, ' || v_key, v_list);
	END LOOP;
END
$$;

-- Sets a tenant's opening hours, in place of those before: an object of weekdays (sunday … saturday, or weekdays, weekend,
-- daily) with lists of openings on the tenant's clock; a day that is not named is closed; NULL: always open. Returns the
-- number of openings in the week. after_hours_action: voicemail, transfer or callback. Errors: VA001, VA009.
CREATE FUNCTION @extschema@.va_tenant_hours_set(tenant uuid, hours jsonb, after_hours_action text DEFAULT 'voicemail') RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_action text := coalesce(va_tenant_hours_set.after_hours_action, 'voicemail');
	v_count integer;
BEGIN
	PERFORM @extschema@.va_assert_tenant(va_tenant_hours_set.tenant), @extschema@.va_check_week(va_tenant_hours_set.hours),
			@extschema@.va_check_settings(jsonb_build_object('after_hours_action', v_action));
	DELETE FROM @extschema@.business_hours h WHERE h.tenant_id = va_tenant_hours_set.tenant;
	INSERT INTO @extschema@.business_hours (tenant_id, day_of_week, open_time, close_time, is_closed, after_hours_action)
	SELECT va_tenant_hours_set.tenant, d, (o.e ->> 0)::time, (o.e ->> 1)::time, o.e IS NULL, v_action
	FROM generate_series(0, 6) d
	LEFT JOIN LATERAL jsonb_array_elements(@extschema@.va_hours_of_day(va_tenant_hours_set.hours, d)) AS o (e) ON true
	WHERE va_tenant_hours_set.hours IS NOT NULL;
	SELECT count(*) INTO v_count FROM @extschema@.business_hours h WHERE h.tenant_id = va_tenant_hours_set.tenant AND NOT h.is_closed;
	RETURN v_count;
END
$$;

-- A date that differs: closed, or open at other times ([["10:00", "14:00"]]). The same date again is changed.
-- Errors: VA001, VA005 (no date), VA009 (intervals).
CREATE FUNCTION @extschema@.va_holiday_add(tenant uuid, date date, name text DEFAULT NULL, intervals jsonb DEFAULT '[]') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@.va_assert_tenant(va_holiday_add.tenant);
	IF va_holiday_add.date IS NULL OR NOT isfinite(va_holiday_add.date) THEN
		RAISE EXCEPTION 'a holiday needs a date' USING ERRCODE = 'VA005';
	END IF;
	INSERT INTO @extschema@.holidays (tenant_id, date, name, intervals)
	VALUES (va_holiday_add.tenant, va_holiday_add.date, va_holiday_add.name, coalesce(va_holiday_add.intervals, '[]'))
	ON CONFLICT (tenant_id, date) DO UPDATE SET name = coalesce(excluded.name, holidays.name), intervals = excluded.intervals;
END
$$;

-- False when there was none. Errors: VA001.
CREATE FUNCTION @extschema@.va_holiday_remove(tenant uuid, date date) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@.va_assert_tenant(va_holiday_remove.tenant);
	DELETE FROM @extschema@.holidays h WHERE h.tenant_id = va_holiday_remove.tenant AND h.date = va_holiday_remove.date;
	RETURN FOUND;
END
$$;

-- ---- voice --------------------------------------------------------------------------------------

-- Changes how a tenant's agent talks; NULL leaves as it is. speaking_rate and pitch: 0.25 to 4, 1 is the voice's own.
-- Returns the row's id (the newest of tenant_voice_configs). Errors: VA001, VA005 (out of range, no configuration yet
-- and no greeting or prompt), VA009 (placeholder).
CREATE FUNCTION @extschema@.va_tenant_voice_set(tenant uuid, agent_name text DEFAULT NULL, greeting text DEFAULT NULL, system_prompt text DEFAULT NULL,
	voice_id text DEFAULT NULL, voice_provider text DEFAULT NULL, language text DEFAULT NULL, accent text DEFAULT NULL,
	speaking_rate double precision DEFAULT NULL, pitch double precision DEFAULT NULL, knowledge text DEFAULT NULL,
	escalation_keywords text[] DEFAULT NULL, max_turns integer DEFAULT NULL) RETURNS uuid
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_id uuid;
BEGIN
	PERFORM @extschema@.va_assert_tenant(va_tenant_voice_set.tenant);
	IF va_tenant_voice_set.max_turns < 1 OR NOT va_tenant_voice_set.speaking_rate BETWEEN 0.25 AND 4
	   OR NOT va_tenant_voice_set.pitch BETWEEN 0.25 AND 4 THEN
		RAISE EXCEPTION 'speaking_rate and pitch are between 0.25 and 4, max_turns is at least 1' USING ERRCODE = 'VA005';
	END IF;
	SELECT c.id INTO v_id FROM @extschema@.tenant_voice_configs c
	WHERE c.tenant_id = va_tenant_voice_set.tenant ORDER BY c.created_at DESC, c.id LIMIT 1;
	IF NOT FOUND THEN
		INSERT INTO @extschema@.tenant_voice_configs (tenant_id, agent_name, greeting_script, system_prompt)
		SELECT va_tenant_voice_set.tenant, 'Sarah', i.greeting, i.system_prompt
		FROM @extschema@.va_industry_find('general', va_tenant_voice_set.tenant) i
		RETURNING id INTO v_id;
	END IF;
	UPDATE @extschema@.tenant_voice_configs c SET
		agent_name = coalesce(@extschema@.va_filled(va_tenant_voice_set.agent_name), c.agent_name),
		greeting_script = coalesce(va_tenant_voice_set.greeting, c.greeting_script),
		system_prompt = coalesce(@extschema@.va_filled(va_tenant_voice_set.system_prompt), c.system_prompt),
		voice_id = coalesce(va_tenant_voice_set.voice_id, c.voice_id),
		voice_provider = coalesce(va_tenant_voice_set.voice_provider, c.voice_provider),
		language = coalesce(va_tenant_voice_set.language, c.language),
		accent = coalesce(va_tenant_voice_set.accent, c.accent),
		speaking_rate = coalesce(va_tenant_voice_set.speaking_rate, c.speaking_rate),
		pitch = coalesce(va_tenant_voice_set.pitch, c.pitch),
		industry_knowledge_base = coalesce(va_tenant_voice_set.knowledge, c.industry_knowledge_base),
		escalation_keywords = coalesce(va_tenant_voice_set.escalation_keywords, c.escalation_keywords),
		max_conversation_turns = coalesce(va_tenant_voice_set.max_turns, c.max_conversation_turns)
	WHERE c.id = v_id;
	RETURN v_id;
END
$$;

-- What a caller of a number would be greeted with now, and what the agent would be told. Errors: VA001, VA003, VA005
-- (not a number of the tenant).
CREATE FUNCTION @extschema@.va_tenant_preview(tenant uuid, phone_number text DEFAULT NULL)
	RETURNS TABLE (greeting text, system_prompt text, language text, voice text, tools text[])
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_call @extschema@.calls;
	v_session jsonb;
BEGIN
	PERFORM @extschema@.va_assert_tenant(va_tenant_preview.tenant);
	v_call.tenant_id := va_tenant_preview.tenant;
	v_call.direction := 'inbound';
	v_call.resume_count := 0;
	IF va_tenant_preview.phone_number IS NOT NULL THEN
		SELECT n.id INTO v_call.phone_number_id FROM @extschema@.phone_numbers n
		WHERE n.tenant_id = va_tenant_preview.tenant AND n.phone_number = @extschema@.va_phone_normalize(va_tenant_preview.phone_number);
		IF NOT FOUND THEN
			RAISE EXCEPTION 'the tenant has no number %', va_tenant_preview.phone_number USING ERRCODE = 'VA005';
		END IF;
	END IF;
	v_session := @extschema@.va_session(v_call, NULL);
	RETURN QUERY SELECT v_session ->> 'greeting', v_session ->> 'system_prompt', v_session ->> 'language', v_session ->> 'voice',
		ARRAY(SELECT t ->> 'name' FROM jsonb_array_elements(v_session -> 'tools') t ORDER BY 1);
END
$$;

-- ---- a tenant -----------------------------------------------------------------------------------

-- Makes a tenant that can take calls, from the template of its industry; what is given wins over the template. The
-- arguments are in docs/sql-reference.md. Errors: VA003, VA005, VA009, VA022, 23505.
CREATE FUNCTION @extschema@.va_tenant_create(
	name text, industry text, phone_number text,
	agent_name text DEFAULT 'Sarah', greeting text DEFAULT NULL, system_prompt text DEFAULT NULL,
	timezone text DEFAULT 'UTC', language text DEFAULT 'en-US', voice_id text DEFAULT NULL,
	voice_engine text DEFAULT NULL, twilio_account_sid text DEFAULT NULL,
	settings jsonb DEFAULT '{}', slug text DEFAULT NULL, hours jsonb DEFAULT NULL, accent text DEFAULT NULL,
	whatsapp_number text DEFAULT NULL, notification_emails text[] DEFAULT NULL) RETURNS uuid
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_tenant uuid;
	v_name text := @extschema@.va_filled(va_tenant_create.name);
	v_agent text := coalesce(@extschema@.va_filled(va_tenant_create.agent_name), 'Sarah');
	v_template @extschema@.industry_templates;
BEGIN
	IF v_name IS NULL OR @extschema@.va_filled(va_tenant_create.industry) IS NULL THEN
		RAISE EXCEPTION 'a tenant needs a name and an industry' USING ERRCODE = 'VA005',
			HINT = 'Industries with a template are ' || @extschema@.va_industry_names(NULL) || '; any other word gets the general one.';
	ELSIF jsonb_typeof(va_tenant_create.settings) <> 'object' THEN
		RAISE EXCEPTION 'settings must be a JSON object' USING ERRCODE = 'VA009';
	END IF;
	v_template := @extschema@.va_industry_or_general(va_tenant_create.industry, NULL);
	INSERT INTO @extschema@.tenants (name, slug, industry, timezone, settings)
	VALUES (v_name, coalesce(va_tenant_create.slug, @extschema@.va_slug(v_name)),
			@extschema@.va_industry_stored(va_tenant_create.industry, v_template),
			coalesce(va_tenant_create.timezone, 'UTC'),
			@extschema@.va_merge_patch(@extschema@.va_industry_settings(v_template) || jsonb_strip_nulls(jsonb_build_object(
				'voice_engine', va_tenant_create.voice_engine, 'twilio_account_sid', va_tenant_create.twilio_account_sid,
				'notification_emails', to_jsonb(va_tenant_create.notification_emails))), coalesce(va_tenant_create.settings, '{}')))
	RETURNING id INTO v_tenant;
	INSERT INTO @extschema@.phone_numbers (tenant_id, phone_number, phone_type, display_name, language)
	SELECT v_tenant, n.number, n.type, left(v_name, 100), va_tenant_create.language
	FROM (VALUES (va_tenant_create.phone_number, 'voice'), (va_tenant_create.whatsapp_number, 'whatsapp')) AS n (number, type)
	WHERE n.number IS NOT NULL;
	INSERT INTO @extschema@.tenant_voice_configs
		(tenant_id, agent_name, greeting_script, system_prompt, voice_id, language, accent, escalation_keywords)
	VALUES (v_tenant, v_agent, coalesce(va_tenant_create.greeting, v_template.greeting),
			coalesce(@extschema@.va_filled(va_tenant_create.system_prompt), v_template.system_prompt),
			va_tenant_create.voice_id, va_tenant_create.language, va_tenant_create.accent, v_template.escalation_keywords);
	IF va_tenant_create.hours IS NOT NULL THEN
		PERFORM @extschema@.va_tenant_hours_set(v_tenant, va_tenant_create.hours,
			coalesce(va_tenant_create.settings ->> 'after_hours_action', 'voicemail'));
	END IF;
	PERFORM @extschema@.va_emit(v_tenant, 'tenant_created', NULL, NULL);
	RETURN v_tenant;
END
$$;

GRANT EXECUTE ON FUNCTION
	@extschema@.va_tenant_create(text, text, text, text, text, text, text, text, text, text, text, jsonb, text, jsonb, text, text, text[]),
	@extschema@.va_tenant_number_add(uuid, text, text, text, text, jsonb, text), @extschema@.va_tenant_number_remove(uuid, text),
	@extschema@.va_tenant_preview(uuid, text)
	TO voiceagent_admin;
GRANT EXECUTE ON FUNCTION @extschema@.va_tenant_hours_set(uuid, jsonb, text), @extschema@.va_holiday_add(uuid, date, text, jsonb),
	@extschema@.va_holiday_remove(uuid, date),
	@extschema@.va_tenant_voice_set(uuid, text, text, text, text, text, text, text, double precision, double precision, text, text[], integer)
	TO voiceagent_admin, voiceagent_agent;
