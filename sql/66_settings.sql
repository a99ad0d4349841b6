-- Settings: what may stand in tenants.settings, in the table `settings` and in phone_numbers.voice_config.
--
-- One table says it all: setting_definitions, a row a key. Members of an object are rows too, named
-- object.member. Whoever needs a new key inserts a row here or in a later file; what a row cannot say (two members
-- that must fit together) is a function f(name text, value jsonb) that the row names. A misspelt key or a wrong
-- type is told to the one who makes it, not to a caller at night. docs/settings.md shows the same rows: a test
-- compares the two.

CREATE FUNCTION @extschema@.va_nearest(word text, words text[]) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_nearest';

CREATE TABLE @extschema@.setting_definitions (
	name TEXT PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$'),
	types TEXT[] NOT NULL CHECK (types <@ '{boolean,integer,number,text,array,object}' AND types <> '{}'),
	scope TEXT[] NOT NULL DEFAULT '{tenant,platform}' CHECK (scope <@ '{tenant,platform,number}' AND scope <> '{}'),
	minimum NUMERIC,                         -- of a number; the length of a text; the members of an array
	maximum NUMERIC,
	allowed TEXT[],                          -- the values of a text, or of an array's texts
	pattern TEXT,                            -- a regular expression for the same
	expected TEXT,                           -- what the pattern wants, in words: "must be …"
	open BOOLEAN NOT NULL DEFAULT false,     -- an object with any members
	expands BOOLEAN NOT NULL DEFAULT false,  -- a text that may hold placeholders like {{company}}
	checked_by TEXT,                         -- the name of f(name text, value jsonb), which raises an error
	default_value JSONB,                     -- what holds where nobody says anything
	unit TEXT,
	description TEXT NOT NULL,
	is_builtin BOOLEAN NOT NULL DEFAULT true     -- came with the extension; not dumped. (99_security.sql ends this default.)
);

-- ---- placeholders in texts ----------------------------------------------------------------------

-- The placeholders that texts may hold; va_words says what they become.
CREATE FUNCTION @extschema@.va_placeholders() RETURNS text[]
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN ARRAY['company', 'agent_name', 'industry', 'language', 'timezone', 'hours', 'questions', 'date', 'time', 'caller_name',
				 'emergency_number'];

-- Refuses a text with a placeholder that is not known, or with braces that belong to none. p_what says where it stands.
CREATE FUNCTION @extschema@.va_check_placeholders(p_what text, p_text text, p_known text[] DEFAULT @extschema@.va_placeholders()) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_name text;
	v_near text;
BEGIN
	IF p_text IS NULL OR p_text !~ '\{\{|\}\}' THEN
		RETURN;
	END IF;
	FOR v_name IN SELECT btrim(m[1]) FROM regexp_matches(p_text, '\{\{([^{}]*)\}\}', 'g') m LOOP
		IF v_name <> ALL (p_known) THEN
			v_near := @extschema@.va_nearest(v_name, p_known);
			RAISE EXCEPTION '% has an unknown placeholder "{{%}}"', p_what, v_name
				USING ERRCODE = 'VA009', HINT = coalesce(format('Did you mean "{{%s}}"? ', v_near), '')
					|| 'Known are ' || array_to_string(p_known, ', ') || '.';
		END IF;
	END LOOP;
	IF regexp_replace(p_text, '\{\{[^{}]*\}\}', '', 'g') ~ '\{\{|\}\}' THEN
		RAISE EXCEPTION '% has braces that belong to no placeholder', p_what
			USING ERRCODE = 'VA009', HINT = 'A placeholder is a name in double braces, like {{company}}.';
	END IF;
END
$$;

-- Puts words (see va_words) in the place of their placeholders.
CREATE FUNCTION @extschema@.va_expand(p_text text, p_words jsonb) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_text text := p_text;
	v_word record;
BEGIN
	IF strpos(v_text, '{{') > 0 THEN
		IF strpos(v_text, '{{ ') > 0 OR strpos(v_text, ' }}') > 0 THEN -- seldom, and a regular expression takes its time
			v_text := regexp_replace(v_text, '\{\{ *([a-z_]+) *\}\}', '{{\1}}', 'g');
		END IF;
		FOR v_word IN SELECT key, value FROM jsonb_each_text(p_words) LOOP
			v_text := replace(v_text, '{{' || v_word.key || '}}', coalesce(v_word.value, ''));
		END LOOP;
	END IF;
	RETURN v_text;
END
$$;

-- ---- checks -------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_refuse_setting(p_name text, p_what text, p_hint text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF p_hint IS NULL THEN
		RAISE EXCEPTION 'setting "%" %', p_name, p_what USING ERRCODE = 'VA009';
	END IF;
	RAISE EXCEPTION 'setting "%" %', p_name, p_what USING ERRCODE = 'VA009', HINT = p_hint;
END
$$;

-- A key that no row names in this scope.
CREATE FUNCTION @extschema@.va_refuse_key(p_name text, p_scope text) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_prefix text := coalesce(substring(p_name FROM '^.*\.'), '');
	v_known text[] := ARRAY(SELECT d.name FROM @extschema@.setting_definitions d
		WHERE p_scope = ANY (d.scope) AND d.name LIKE v_prefix || '%' AND strpos(substr(d.name, length(v_prefix) + 1), '.') = 0 ORDER BY d.name);
	v_near text := @extschema@.va_nearest(p_name, v_known);
	v_elsewhere text[] := (SELECT d.scope FROM @extschema@.setting_definitions d WHERE d.name = p_name);
BEGIN
	IF v_elsewhere IS NOT NULL THEN
		PERFORM @extschema@.va_refuse_setting(p_name, 'does not belong here', CASE WHEN 'tenant' = ANY (v_elsewhere)
			THEN 'It belongs into tenants.settings.' WHEN 'platform' = ANY (v_elsewhere) THEN 'It belongs into the table settings.'
			ELSE 'It belongs into phone_numbers.voice_config.' END);
	END IF;
	RAISE EXCEPTION 'unknown setting "%"', p_name
		USING ERRCODE = 'VA009', HINT = CASE WHEN v_near IS NOT NULL THEN format('Did you mean "%s"?', v_near)
			WHEN v_prefix <> '' THEN 'Known are ' || array_to_string(v_known, ', ') || '.'
			WHEN p_scope = 'number' THEN 'Known are ' || array_to_string(v_known, ', ') || '.'
			ELSE 'SELECT name, description FROM setting_definitions lists them. Keys of your own go into the object "custom".' END;
END
$$;

-- One text against a row: bounds of its length, values, pattern, placeholders.
CREATE FUNCTION @extschema@.va_check_setting_text(p_definition @extschema@.setting_definitions, p_text text) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF p_text <> ALL (p_definition.allowed) THEN
		PERFORM @extschema@.va_refuse_setting(p_definition.name, format('has an unknown value "%s"', p_text),
			'Known are ' || array_to_string(p_definition.allowed, ', ') || '.');
	ELSIF p_text !~ p_definition.pattern THEN
		PERFORM @extschema@.va_refuse_setting(p_definition.name, 'must be ' || p_definition.expected);
	ELSIF strpos(p_text, chr(10)) > 0 AND NOT p_definition.expands THEN
		PERFORM @extschema@.va_refuse_setting(p_definition.name, 'must be one line');
	END IF;
	IF p_definition.expands THEN
		PERFORM @extschema@.va_check_placeholders(format('setting "%s"', p_definition.name), p_text);
	END IF;
END
$$;

-- "between 1 and 5", "at least 1", "at most 5".
CREATE FUNCTION @extschema@.va_bounds(p_minimum numeric, p_maximum numeric) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN p_maximum IS NULL THEN 'at least ' || p_minimum::text WHEN p_minimum IS NULL THEN 'at most ' || p_maximum::text
				ELSE 'between ' || p_minimum::text || ' and ' || p_maximum::text END;

-- One value against its row. JSON null is no value and always right.
CREATE FUNCTION @extschema@.va_check_setting(p_definition @extschema@.setting_definitions, p_value jsonb, p_scope text) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	d @extschema@.setting_definitions := p_definition;
	v_type text := replace(jsonb_typeof(p_value), 'string', 'text');
	v_size numeric;
	v_text text;
BEGIN
	IF v_type = 'null' THEN
		RETURN;
	ELSIF NOT (v_type = ANY (d.types) OR v_type = 'number' AND 'integer' = ANY (d.types)) THEN
		PERFORM @extschema@.va_refuse_setting(d.name, format('must be of type %s, not %s', array_to_string(d.types, ' or '), v_type));
	ELSIF v_type = 'number' AND NOT 'number' = ANY (d.types) AND (p_value #>> '{}')::numeric % 1 <> 0 THEN
		PERFORM @extschema@.va_refuse_setting(d.name, 'must be a whole number');
	END IF;
	-- (CASE and not one expression: jsonb_array_length of a number is an error.)
	CASE v_type WHEN 'number' THEN v_size := (p_value #>> '{}')::numeric;
				WHEN 'text' THEN v_size := length(p_value #>> '{}');
				WHEN 'array' THEN v_size := jsonb_array_length(p_value);
				ELSE NULL; END CASE;
	IF v_size < d.minimum OR v_size > d.maximum THEN
		PERFORM @extschema@.va_refuse_setting(d.name, CASE v_type WHEN 'number' THEN 'must be ' WHEN 'text' THEN 'must have a length '
			ELSE 'must have a number of members ' END || @extschema@.va_bounds(d.minimum, d.maximum));
	END IF;
	IF v_type = 'text' THEN
		PERFORM @extschema@.va_check_setting_text(d, p_value #>> '{}');
	ELSIF v_type = 'array' AND jsonb_path_exists(p_value, 'strict $[*] ? (@.type() != "string")') THEN
		PERFORM @extschema@.va_refuse_setting(d.name, 'must be an array of texts');
	ELSIF v_type = 'array' THEN
		FOR v_text IN SELECT jsonb_array_elements_text(p_value) LOOP
			PERFORM @extschema@.va_check_setting_text(d, v_text);
		END LOOP;
	ELSIF v_type = 'object' THEN
		PERFORM @extschema@.va_check_members(d.name || '.', p_value, p_scope, d.open);
	END IF;
	IF d.checked_by IS NOT NULL THEN
		EXECUTE format('SELECT @extschema@.%I($1, $2)', d.checked_by) USING d.name, p_value;
	END IF;
END
$$;

-- The members of an object, named with p_prefix. p_open: those that no row names may be anything.
CREATE FUNCTION @extschema@.va_check_members(p_prefix text, p_object jsonb, p_scope text, p_open boolean DEFAULT false) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_key text;
	v_value jsonb;
	v_definition @extschema@.setting_definitions;
BEGIN
	FOR v_key, v_value IN SELECT key, value FROM jsonb_each(p_object) LOOP
		SELECT * INTO v_definition FROM @extschema@.setting_definitions d WHERE d.name = p_prefix || v_key AND p_scope = ANY (d.scope);
		IF FOUND THEN
			PERFORM @extschema@.va_check_setting(v_definition, v_value, p_scope);
		ELSIF NOT p_open THEN
			PERFORM @extschema@.va_refuse_key(p_prefix || v_key, p_scope);
		END IF;
	END LOOP;
END
$$;

-- Is this an object of settings of a tenant? Returns or raises VA009. (A definer's function: whoever may write tenants
-- has not to be allowed to read the definitions.)
CREATE FUNCTION @extschema@.va_check_settings(p_settings jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF jsonb_typeof(p_settings) <> 'object' THEN
		RAISE EXCEPTION 'settings must be a JSON object, not %', jsonb_typeof(p_settings) USING ERRCODE = 'VA009';
	END IF;
	PERFORM @extschema@.va_check_members('', p_settings, 'tenant');
END
$$;

CREATE FUNCTION @extschema@.va_check_tenant() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_check_settings(NEW.settings);
	IF NEW.timezone IS NOT NULL AND NOT @extschema@.va_zone_known(NEW.timezone) THEN
		RAISE EXCEPTION 'unknown time zone "%"', NEW.timezone
			USING ERRCODE = 'VA009', HINT = 'pg_timezone_names lists them, for instance Europe/Berlin.';
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER tenants_check BEFORE INSERT OR UPDATE OF settings, timezone ON @extschema@.tenants
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_tenant();

CREATE FUNCTION @extschema@.va_check_platform_setting() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_check_members('', jsonb_build_object(NEW.name, NEW.value), 'platform');
	RETURN NEW;
END
$$;
CREATE TRIGGER settings_check BEFORE INSERT OR UPDATE ON @extschema@.settings
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_platform_setting();

CREATE FUNCTION @extschema@.va_check_voice_config() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF jsonb_typeof(NEW.voice_config) = 'object' THEN -- a constraint says so of others
		PERFORM @extschema@.va_check_members('', NEW.voice_config, 'number');
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER phone_numbers_check BEFORE INSERT OR UPDATE OF voice_config ON @extschema@.phone_numbers
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_voice_config();

-- ---- what a row cannot say ----------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_check_setting_phone(p_name text, p_value jsonb) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_phone_normalize(p_value #>> '{}');
END
$$;

CREATE FUNCTION @extschema@.va_check_contact_hours(p_name text, p_value jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT p_value ?& ARRAY['open', 'close'] THEN
		PERFORM @extschema@.va_refuse_setting(p_name, 'must be an object as {"open": "09:00", "close": "20:00"}');
	END IF;
	PERFORM @extschema@.va_check_openings(format('setting "%s"', p_name), jsonb_build_array(jsonb_build_array(p_value -> 'open', p_value -> 'close')));
END
$$;

-- ---- the settings -------------------------------------------------------------------------------

INSERT INTO @extschema@.setting_definitions
	(name, types, minimum, maximum, allowed, pattern, expected, open, expands, checked_by, default_value, unit, description)
VALUES
('after_hours_action', '{text}', NULL, NULL, '{voicemail,transfer,callback}', NULL, NULL, false, false, NULL, NULL, NULL,
 'What a caller outside the opening hours gets, also when no voice engine can be had. Unless said here, what the weekday''s rows of business_hours say, else voicemail.'),
('after_hours_message', '{text}', 0, 4000, NULL, NULL, NULL, false, true, NULL, '"Thank you for calling. We are closed at the moment."', NULL,
 'Said to a caller outside the opening hours.'),
('apology', '{text}', 0, 4000, NULL, NULL, NULL, false, true, NULL, '"I''m sorry, our assistant cannot talk right now."', NULL,
 'Said when no voice engine can be had; the after-hours action follows.'),
('appointment_buffer_minutes', '{integer}', 0, 1440, NULL, NULL, NULL, false, false, NULL, '0', 'minutes', 'Kept free before and after each appointment.'),
('appointment_minutes', '{integer}', 5, 1440, NULL, NULL, NULL, false, false, NULL, '30', 'minutes', 'How long an appointment takes that the voice agent offers or books.'),
('appointment_notice_minutes', '{integer}', 0, 525600, NULL, NULL, NULL, false, false, NULL, '0', 'minutes', 'How soon the first free time may be.'),
('appointment_slot_minutes', '{integer}', 0, 1440, NULL, NULL, NULL, false, false, NULL, '30', 'minutes', 'Distance of the times that are offered; less than 5 counts as 5.'),
('callback_message', '{text}', 0, 1000, NULL, NULL, NULL, false, true, NULL, '"I have noted that. A colleague will call you back."', NULL,
 'Said to a caller whose words asked for a person (escalation_keywords) when nobody is free.'),
('consent_required', '{array}', 0, 10, '{call,sms,whatsapp,email,recording}', NULL, NULL, false, false, NULL, '["recording"]', NULL, 'Channels that need a person''s consent first.'),
('contact_hours', '{object}', NULL, NULL, NULL, NULL, NULL, false, false, 'va_check_contact_hours', '{"open": "09:00", "close": "20:00"}', NULL,
 'When we may call or write to a lead, on the lead''s clock; outside of it is quiet.'),
('contact_hours.open', '{text}', NULL, NULL, NULL, '^([01][0-9]|2[0-3]):[0-5][0-9]$', 'a time like "09:00"', false, false, NULL, '"09:00"', NULL, 'From.'),
('contact_hours.close', '{text}', NULL, NULL, NULL, '^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$', 'a time like "20:00", at most "24:00"', false, false, NULL, '"20:00"', NULL, 'To; earlier than "open": on the next day.'),
('contact_limits', '{object}', NULL, NULL, NULL, NULL, NULL, false, false, NULL, NULL, NULL, 'How often a lead may be tried, by channel. null: no limit; 0: never.'),
('custom', '{object}', NULL, NULL, NULL, NULL, NULL, true, false, NULL, '{}', NULL, 'Your own: the product never looks into it.'),
('emergency_number', '{text}', 1, 40, NULL, NULL, NULL, false, false, NULL, '"your local emergency number"', NULL, 'What {{emergency_number}} becomes in prompts: 911, 112, 999.'),
('engine', '{object}', NULL, NULL, NULL, NULL, NULL, false, false, NULL, '{}', NULL, 'The voice engine''s own.'),
('engine.base_url', '{text}', 0, 500, NULL, '^((https?|wss?)://[^[:space:]]+)?$', 'a URL like "https://api.example.com"', false, false, NULL, NULL, NULL, 'Where the engine is; empty: the server''s setting voiceagent.<engine>_base_url.'),
('engine.model', '{text}', 0, 200, NULL, NULL, NULL, false, false, NULL, NULL, NULL, 'The model; empty: the engine''s default.'),
('engine.settings', '{object}', NULL, NULL, NULL, NULL, NULL, true, false, NULL, '{}', NULL, 'Passed to the engine as they are.'),
('engine.temperature', '{number}', 0, 2, NULL, NULL, NULL, false, false, NULL, '0.3', NULL, 'How freely the model talks.'),
('escalation_message', '{text}', 0, 1000, NULL, NULL, NULL, false, true, NULL, '"One moment please. A colleague will take care of this."', NULL,
 'Said to a caller whose words asked for a person (escalation_keywords) when somebody is reserved.'),
('follow_up_gap_minutes', '{integer}', 1, 43200, NULL, NULL, NULL, false, false, NULL, '60', 'minutes', 'The shortest distance of two follow-ups.'),
('follow_up_hints', '{object}', NULL, NULL, NULL, NULL, NULL, true, false, 'va_check_hints', '{}', NULL, 'By purpose of a follow-up, what its message should say; goes into the work''s payload.'),
('hot_lead_threshold', '{number}', 0, 1, NULL, NULL, NULL, false, false, NULL, '0.75', NULL, 'A lead is hot from this score.'),
('inactivity_message', '{text}', 0, 1000, NULL, NULL, NULL, false, true, NULL, '"Are you still there?"', NULL, 'What the agent asks then.'),
('inactivity_seconds', '{integer}', 0, 86400, NULL, NULL, NULL, false, false, NULL, '30', 'seconds', 'Silence after which the agent asks; 0: never.'),
('max_call_seconds', '{integer}', 1, 86400, NULL, NULL, NULL, false, false, NULL, '1800', 'seconds', 'Time limit of a call.'),
('max_concurrent_calls', '{integer}', 0, 100000, NULL, NULL, NULL, false, false, NULL, NULL, 'calls', 'Further callers hear the busy tone; unset: no limit.'),
('notification_emails', '{array}', 0, 50, NULL, '^[^@[:space:]]+@[^@[:space:]]+\.[^@[:space:]]+$', 'a list of e-mail addresses', false, false, NULL, '[]', NULL, 'The tenant''s people who are told of escalations.'),
('odoo', '{object}', NULL, NULL, NULL, NULL, NULL, false, false, NULL, '{}', NULL, 'The tenant''s CRM; its key is the secret odoo_api_key.'),
('odoo.database', '{text}', 0, 200, NULL, NULL, NULL, false, false, NULL, NULL, NULL, 'Name of the CRM''s database.'),
('odoo.lead_owner_id', '{integer}', 1, 2147483647, NULL, NULL, NULL, false, false, NULL, NULL, NULL, 'User to whom new leads belong (user_id).'),
('odoo.sales_team_id', '{integer}', 1, 2147483647, NULL, NULL, NULL, false, false, NULL, NULL, NULL, 'Sales team of new leads (team_id).'),
('odoo.url', '{text}', 0, 500, NULL, '^(https?://[^[:space:]]+)?$', 'a URL like "https://crm.example.com"', false, false, NULL, NULL, NULL, 'Where the CRM is.'),
('prepare_timeout_ms', '{integer}', 100, 120000, NULL, NULL, NULL, false, false, NULL, '5000', 'milliseconds', 'How long a started stream waits for the engine.'),
('qualification_criteria', '{object}', NULL, NULL, NULL, NULL, NULL, false, false, NULL, '{}', NULL, 'Weights of the five signals, relative to their sum, and thresholds.'),
('qualification_criteria.budget_mentioned', '{number}', 0, 1000, NULL, NULL, NULL, false, false, NULL, '0.25', NULL, 'Weight.'),
('qualification_criteria.clear_need', '{number}', 0, 1000, NULL, NULL, NULL, false, false, NULL, '0.25', NULL, 'Weight.'),
('qualification_criteria.cold', '{number}', 0, 0, NULL, NULL, NULL, false, false, NULL, '0', NULL, 'Always 0.'),
('qualification_criteria.decision_maker', '{number}', 0, 1000, NULL, NULL, NULL, false, false, NULL, '0.20', NULL, 'Weight.'),
('qualification_criteria.engagement_score', '{number}', 0, 1000, NULL, NULL, NULL, false, false, NULL, '0.10', NULL, 'Weight.'),
('qualification_criteria.hot', '{number}', 0, 1, NULL, NULL, NULL, false, false, NULL, '0.75', NULL, 'As hot_lead_threshold, which it overrules.'),
('qualification_criteria.timeline_urgent', '{number}', 0, 1000, NULL, NULL, NULL, false, false, NULL, '0.20', NULL, 'Weight.'),
('qualification_criteria.warm', '{number}', 0, 1, NULL, NULL, NULL, false, false, NULL, '0.45', NULL, 'As warm_lead_threshold, which it overrules.'),
('qualification_questions', '{array}', 0, 20, NULL, '^.{1,250}$', 'a list of questions of at most 250 characters', false, false, NULL, '[]', NULL, 'What the agent finds out; the prompt''s {{questions}}.'),
('resume_message', '{text}', 0, 1000, NULL, NULL, NULL, false, true, NULL, '"I''m sorry, we were cut off for a moment. Please go on."', NULL, 'Greeting of a conversation that was cut off.'),
('retention_days', '{object}', NULL, NULL, NULL, NULL, NULL, false, false, NULL, '{}', NULL, 'How long what is kept; unset: for ever.'),
('say_voice', '{text}', 0, 100, NULL, NULL, NULL, false, false, NULL, NULL, NULL, 'Voice of Twilio''s own announcements; unset: Twilio''s.'),
('sms_notifications', '{boolean}', NULL, NULL, NULL, NULL, NULL, false, false, NULL, NULL, NULL, 'Are messages sent by SMS? Unset: if the tenant has a number for it.'),
('tools', '{array}', 0, 100, NULL, '^[a-zA-Z][a-zA-Z0-9_]{0,39}$', 'a list of names of tools', false, false, NULL, NULL, NULL, 'The common tools that the agent has; unset: all. The tenant''s own it always has.'),
('transfer_number', '{text}', NULL, NULL, NULL, NULL, NULL, false, false, 'va_check_setting_phone', NULL, NULL, 'Where the after-hours action "transfer" goes; unset: to the first available person.'),
('turn_limit_message', '{text}', 0, 1000, NULL, NULL, NULL, false, true, NULL, '"Thank you for talking with us. I have to end the call here. Please call again if there is more. Good-bye."', NULL,
 'The last words of a call that has as many turns as max_conversation_turns allows.'),
('twilio_account_sid', '{text}', NULL, NULL, NULL, '^AC[0-9a-fA-F]{32}$', 'an account SID, AC and 32 hexadecimal digits', false, false, NULL, NULL, NULL, 'The Twilio account whose signature is accepted.'),
('voice_engine', '{text}', NULL, NULL, '{ultravox,realtime}', NULL, NULL, false, false, NULL, '"ultravox"', NULL, 'The voice engine.'),
('voicemail', '{boolean,object}', NULL, NULL, NULL, NULL, NULL, false, false, NULL, 'true', NULL, 'false: no messages are taken.'),
('voicemail.greeting', '{text}', 0, 4000, NULL, NULL, NULL, false, true, NULL, '"Please leave a message after the tone."', NULL, 'Said before the tone.'),
('voicemail.max_seconds', '{integer}', 2, 3600, NULL, NULL, NULL, false, false, NULL, '180', 'seconds', 'Longest message.'),
('voicemail.transcribe', '{boolean}', NULL, NULL, NULL, NULL, NULL, false, false, NULL, 'false', NULL, 'Transcribed by Twilio: English only, at most 120 seconds.'),
('warm_lead_threshold', '{number}', 0, 1, NULL, NULL, NULL, false, false, NULL, '0.45', NULL, 'A lead is warm from this score.'),
('whatsapp_notifications', '{boolean}', NULL, NULL, NULL, NULL, NULL, false, false, NULL, NULL, NULL, 'Are messages sent by WhatsApp? Unset: if the tenant has a number for it.');

INSERT INTO @extschema@.setting_definitions (name, types, minimum, maximum, default_value, unit, description)
SELECT 'retention_days.' || k.name, '{integer}', 0, 100000, NULL, 'days', k.what
FROM (VALUES ('transcripts', 'What was said in calls.'), ('recordings', 'Recordings of calls.'), ('calls', 'Calls, with all that is theirs.'), ('messages', 'Messages.'), ('tasks', 'Follow-ups that are done.'),
			 ('events', 'Analytics events.'), ('leads', 'Closed or archived leads, with all that is theirs.')) AS k (name, what);

INSERT INTO @extschema@.setting_definitions (name, types, minimum, maximum, default_value, unit, description)
SELECT 'contact_limits.' || c.channel || m.member, m.types, m.minimum, m.maximum, CASE m.member WHEN '.day' THEN c.day WHEN '.week' THEN c.week END, m.unit, m.what
FROM (VALUES ('call', to_jsonb(3), to_jsonb(7)), ('sms', '5', '15'), ('whatsapp', '5', '20'), ('email', '5', '15')) AS c (channel, day, week),
	 (VALUES ('', '{object}'::text[], NULL::numeric, NULL::numeric, NULL, 'Limits of this channel.'), ('.day', '{integer}', 0, 100000, 'attempts', 'In 24 hours.'),
			 ('.week', '{integer}', 0, 100000, 'attempts', 'In seven days.')) AS m (member, types, minimum, maximum, unit, what);

-- What one number may say differently.
INSERT INTO @extschema@.setting_definitions (name, types, scope, maximum, pattern, expected, expands, description) VALUES
('accent', '{text}', '{number}', 50, NULL, NULL, false, 'How the agent speaks on this number: british, australian, …'),
('agent_name', '{text}', '{number}', 100, NULL, NULL, false, 'The agent''s name on this number.'),
('greeting', '{text}', '{number}', 4000, NULL, NULL, true, 'What callers of this number are greeted with.'),
('language', '{text}', '{number}', NULL, '^[a-zA-Z]{2,3}(-[a-zA-Z0-9]{2,8})*$', 'a language like "en-US"', false, 'The language spoken on this number.'),
('voice_config_id', '{text}', '{number}', NULL, '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$', 'the id of a row of tenant_voice_configs', false, 'The row of tenant_voice_configs for this number; unset: the tenant''s newest.'),
('voice_id', '{text}', '{number}', 100, NULL, NULL, false, 'The voice on this number.');

-- Hints are texts, and nothing else.
CREATE FUNCTION @extschema@.va_check_hints(p_name text, p_value jsonb) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_key text;
	v_hint jsonb;
BEGIN
	FOR v_key, v_hint IN SELECT key, value FROM jsonb_each(p_value) LOOP
		IF jsonb_typeof(v_hint) <> 'string' OR length(v_hint #>> '{}') > 1000 THEN
			PERFORM @extschema@.va_refuse_setting(p_name || '.' || v_key, 'must be a text of at most 1000 characters');
		END IF;
	END LOOP;
END
$$;

-- ---- reading and writing ------------------------------------------------------------------------

-- Merges p_patch into p_target as RFC 7396 (JSON Merge Patch) says: objects member by member, null removes, all else replaces.
CREATE FUNCTION @extschema@.va_merge_patch(p_target jsonb, p_patch jsonb) RETURNS jsonb
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_target jsonb := CASE jsonb_typeof(p_target) WHEN 'object' THEN p_target ELSE '{}' END;
	v_key text;
	v_value jsonb;
BEGIN
	IF jsonb_typeof(p_patch) <> 'object' THEN
		RETURN p_patch;
	END IF;
	FOR v_key, v_value IN SELECT key, value FROM jsonb_each(p_patch) LOOP
		v_target := CASE WHEN v_value = 'null' THEN v_target - v_key
						 ELSE v_target || jsonb_build_object(v_key, @extschema@.va_merge_patch(v_target -> v_key, v_value)) END;
	END LOOP;
	RETURN v_target;
END
$$;

-- Changes a tenant's settings: members of `settings` replace or extend what is there, null takes back. Returns
-- what the tenant then has. Errors: VA001, VA003, VA005, VA009, VA022.
CREATE FUNCTION @extschema@.va_tenant_settings_set(tenant uuid, settings jsonb) RETURNS jsonb
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_settings jsonb;
BEGIN
	PERFORM @extschema@.va_assert_tenant(va_tenant_settings_set.tenant);
	IF jsonb_typeof(va_tenant_settings_set.settings) IS DISTINCT FROM 'object' THEN
		RAISE EXCEPTION 'settings are a JSON object' USING ERRCODE = 'VA005', HINT = 'For instance {"max_call_seconds": 600}.';
	END IF;
	-- Of the patch itself too: a key to be removed may be misspelt.
	PERFORM @extschema@.va_check_settings(va_tenant_settings_set.settings);
	UPDATE @extschema@.tenants t SET settings = @extschema@.va_merge_patch(t.settings, va_tenant_settings_set.settings)
	WHERE t.id = va_tenant_settings_set.tenant RETURNING t.settings INTO v_settings;
	RETURN v_settings;
END
$$;

-- The same for the platform: what holds for every tenant that says nothing itself.
CREATE FUNCTION @extschema@.va_platform_settings_set(settings jsonb) RETURNS jsonb
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_key text;
	v_value jsonb;
BEGIN
	IF jsonb_typeof(va_platform_settings_set.settings) IS DISTINCT FROM 'object' THEN
		RAISE EXCEPTION 'settings are a JSON object' USING ERRCODE = 'VA005', HINT = 'For instance {"max_call_seconds": 600}.';
	END IF;
	PERFORM @extschema@.va_check_members('', va_platform_settings_set.settings, 'platform');
	FOR v_key, v_value IN SELECT key, value FROM jsonb_each(va_platform_settings_set.settings) LOOP
		IF v_value = 'null' THEN
			DELETE FROM @extschema@.settings s WHERE s.name = v_key;
		ELSE
			INSERT INTO @extschema@.settings AS s (name, value) VALUES (v_key, @extschema@.va_merge_patch(NULL, v_value))
			ON CONFLICT (name) DO UPDATE SET value = @extschema@.va_merge_patch(s.value, v_value);
		END IF;
	END LOOP;
	RETURN (SELECT coalesce(jsonb_object_agg(s.name, s.value), '{}') FROM @extschema@.settings s);
END
$$;

-- Every setting as it holds for a tenant, and who says so: tenant, platform or default.
CREATE FUNCTION @extschema@.va_tenant_settings(tenant uuid)
	RETURNS TABLE (name text, value jsonb, source text, unit text, description text)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_own jsonb;
	v_platform jsonb := (SELECT coalesce(jsonb_object_agg(s.name, s.value), '{}') FROM @extschema@.settings s);
BEGIN
	PERFORM @extschema@.va_assert_tenant(va_tenant_settings.tenant);
	SELECT t.settings INTO v_own FROM @extschema@.tenants t WHERE t.id = va_tenant_settings.tenant;
	RETURN QUERY
	SELECT d.name, coalesce(p.own, p.platform, d.default_value),
		CASE WHEN p.own IS NOT NULL THEN 'tenant' WHEN p.platform IS NOT NULL THEN 'platform' ELSE 'default' END, d.unit, d.description
	FROM @extschema@.setting_definitions d,
		 LATERAL (SELECT nullif(v_own #> string_to_array(d.name, '.'), 'null') AS own,
						 nullif(v_platform #> string_to_array(d.name, '.'), 'null') AS platform) p
	WHERE 'tenant' = ANY (d.scope) ORDER BY d.name;
END
$$;

GRANT SELECT ON @extschema@.setting_definitions TO voiceagent_admin;
GRANT EXECUTE ON FUNCTION @extschema@.va_tenant_settings_set(uuid, jsonb), @extschema@.va_platform_settings_set(jsonb) TO voiceagent_admin;
GRANT EXECUTE ON FUNCTION @extschema@.va_tenant_settings(uuid) TO voiceagent_admin, voiceagent_agent;
