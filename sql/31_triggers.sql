-- Triggers that keep rows right: time stamps, numbers in E.164. (Settings are checked in 66_settings.sql.)

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
