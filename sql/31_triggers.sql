-- Triggers that keep rows right: time stamps, numbers in E.164, settings that make sense.

CREATE FUNCTION @extschema@.va_touch() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	NEW.updated_at := now();
	RETURN NEW;
END
$$;

DO $$
DECLARE
	v_table text;
BEGIN
	FOREACH v_table IN ARRAY ARRAY['tenants', 'tenant_voice_configs', 'leads', 'calls',
								   'appointments', 'settings', 'tenant_secrets', 'tools']
	LOOP
		EXECUTE pg_catalog.format('CREATE TRIGGER %I BEFORE UPDATE ON @extschema@.%I
			FOR EACH ROW EXECUTE FUNCTION @extschema@.va_touch()', v_table OPERATOR(pg_catalog.||) '_touch', v_table);
	END LOOP;
END
$$;

-- People write numbers in many ways; the tables hold one.
CREATE FUNCTION @extschema@.va_normalize_phone_number() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	NEW.phone_number := @extschema@.va_phone_normalize(NEW.phone_number);
	RETURN NEW;
END
$$;
CREATE TRIGGER phone_numbers_normalize BEFORE INSERT OR UPDATE OF phone_number
	ON @extschema@.phone_numbers
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_normalize_phone_number();

CREATE FUNCTION @extschema@.va_normalize_phone() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	NEW.phone := @extschema@.va_phone_normalize(nullif(btrim(NEW.phone), ''));
	RETURN NEW;
END
$$;
CREATE TRIGGER leads_normalize BEFORE INSERT OR UPDATE OF phone ON @extschema@.leads
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_normalize_phone();
CREATE TRIGGER human_agents_normalize BEFORE INSERT OR UPDATE OF phone ON @extschema@.human_agents
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_normalize_phone();

-- The settings that calls depend on, with the JSON type each must have. A typing error is told to the
-- one who makes it, not to a caller at night.
CREATE FUNCTION @extschema@.va_check_settings(p_settings jsonb) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_name text;
	v_types text;
	v_found text;
BEGIN
	FOR v_name, v_types IN
		VALUES ('twilio_account_sid', 'string'), ('voice_engine', 'string'), ('engine', 'object'),
			   ('max_call_seconds', 'number'), ('inactivity_seconds', 'number'),
			   ('inactivity_message', 'string'), ('resume_message', 'string'), ('apology', 'string'),
			   ('prepare_timeout_ms', 'number'), ('max_concurrent_calls', 'number'),
			   ('transfer_number', 'string'), ('after_hours_action', 'string'),
			   ('after_hours_message', 'string'), ('voicemail', 'boolean object'),
			   ('say_voice', 'string'), ('escalation_message', 'string'), ('callback_message', 'string'),
			   ('turn_limit_message', 'string')
	LOOP
		v_found := jsonb_typeof(p_settings -> v_name);
		CONTINUE WHEN v_found IS NULL OR v_found = 'null' OR strpos(v_types, v_found) > 0;
		RAISE EXCEPTION 'setting "%" must be of type %, not %', v_name, replace(v_types, ' ', ' or '), v_found
			USING ERRCODE = 'VA009';
	END LOOP;
	IF p_settings ->> 'voice_engine' NOT IN ('ultravox', 'realtime') THEN
		RAISE EXCEPTION 'unknown voice engine "%"', p_settings ->> 'voice_engine'
			USING ERRCODE = 'VA009', HINT = 'Known engines are ultravox and realtime.';
	END IF;
	IF p_settings ->> 'twilio_account_sid' !~ '^AC[0-9a-fA-F]{32}$' THEN
		RAISE EXCEPTION 'setting "twilio_account_sid" is not an account SID'
			USING ERRCODE = 'VA009', HINT = 'It is AC and 32 hexadecimal digits, on the first page of the Twilio console.';
	END IF;
	IF p_settings ->> 'after_hours_action' NOT IN ('voicemail', 'transfer', 'callback') THEN
		RAISE EXCEPTION 'unknown after-hours action "%"', p_settings ->> 'after_hours_action'
			USING ERRCODE = 'VA009', HINT = 'Known actions are voicemail, transfer and callback.';
	END IF;
	IF p_settings ->> 'transfer_number' IS NOT NULL THEN
		PERFORM @extschema@.va_phone_normalize(p_settings ->> 'transfer_number');
	END IF;
	FOR v_name IN VALUES ('max_call_seconds'), ('prepare_timeout_ms'), ('max_concurrent_calls'),
						 ('inactivity_seconds')
	LOOP
		IF (p_settings ->> v_name)::numeric NOT BETWEEN 0 AND 86400 THEN
			RAISE EXCEPTION 'setting "%" must be between 0 and 86400', v_name USING ERRCODE = 'VA009';
		END IF;
	END LOOP;
END
$$;

CREATE FUNCTION @extschema@.va_check_tenant() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_check_settings(NEW.settings);
	IF NEW.timezone IS NOT NULL THEN
		BEGIN
			PERFORM now() AT TIME ZONE NEW.timezone;
		EXCEPTION WHEN invalid_parameter_value THEN
			RAISE EXCEPTION 'unknown time zone "%"', NEW.timezone
				USING ERRCODE = 'VA009', HINT = 'pg_timezone_names lists them, for instance Europe/Berlin.';
		END;
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER tenants_check BEFORE INSERT OR UPDATE OF settings, timezone ON @extschema@.tenants
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_tenant();

CREATE FUNCTION @extschema@.va_check_platform_setting() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_check_settings(jsonb_build_object(NEW.name, NEW.value));
	RETURN NEW;
END
$$;
CREATE TRIGGER settings_check BEFORE INSERT OR UPDATE ON @extschema@.settings
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_platform_setting();

-- Gateways hold the accounts' tokens in memory; this tells them to read again.
CREATE FUNCTION @extschema@.va_announce_config() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM pg_notify('voiceagent_config', '');
	RETURN NULL;
END
$$;
CREATE TRIGGER tenants_announce AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.tenants
	FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.va_announce_config();
CREATE TRIGGER tenant_secrets_announce AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE
	ON @extschema@.tenant_secrets
	FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.va_announce_config();
CREATE TRIGGER settings_announce AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.settings
	FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.va_announce_config();
