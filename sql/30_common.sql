-- Helpers that the other files build on: versions, errors, tenants, settings, events.

CREATE FUNCTION @extschema@.va_version() RETURNS text
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_version';
CREATE FUNCTION @extschema@.va_twiml(verbs jsonb) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_twiml';

-- The tenant whose rows this session may see. A standard SQL body: it is resolved now, needs no
-- search_path and can be inlined into the row-level policies that call it.
CREATE FUNCTION @extschema@.va_current_tenant() RETURNS uuid
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN NULLIF(pg_catalog.current_setting('voiceagent.tenant_id', true), '')::uuid;

-- Refuses a tenant's application that names another tenant. For SECURITY DEFINER functions: it looks
-- at the role that the session has taken, not at the definer.
CREATE FUNCTION @extschema@.va_assert_tenant(p_tenant uuid) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_role text := coalesce(nullif(current_setting('role'), 'none'), session_user);
BEGIN
	IF NOT pg_has_role(v_role, 'voiceagent_admin', 'USAGE')
	   AND p_tenant IS DISTINCT FROM @extschema@.va_current_tenant() THEN
		RAISE EXCEPTION 'tenant % is not the tenant of this session', p_tenant
			USING ERRCODE = 'insufficient_privilege',
				  HINT = 'Set voiceagent.tenant_id to the tenant, or become a member of voiceagent_admin.';
	END IF;
	IF NOT EXISTS (SELECT FROM @extschema@.tenants t WHERE t.id = p_tenant) THEN
		RAISE EXCEPTION 'unknown tenant %', coalesce(p_tenant::text, 'NULL')
			USING ERRCODE = 'VA001', HINT = 'The table tenants lists them.';
	END IF;
END
$$;

-- A text with something in it, or NULL.
CREATE FUNCTION @extschema@.va_filled(text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN nullif(btrim($1), '');

-- A setting: the tenant's own, else the platform's, else NULL.
CREATE FUNCTION @extschema@.va_setting(p_settings jsonb, p_name text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT coalesce(nullif(p_settings -> p_name, 'null'),
					(SELECT s.value FROM @extschema@.settings s WHERE s.name = p_name)));
END
$$;

CREATE FUNCTION @extschema@.va_setting_text(p_settings jsonb, p_name text, p_default text) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT coalesce(CASE WHEN jsonb_typeof(v) IN ('string', 'number', 'boolean') THEN v #>> '{}' END,
					p_default)
	FROM @extschema@.va_setting(p_settings, p_name) v);
END
$$;

CREATE FUNCTION @extschema@.va_setting_integer(p_settings jsonb, p_name text, p_default integer)
	RETURNS integer
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT coalesce(CASE WHEN jsonb_typeof(v) = 'number'
						 THEN greatest(least((v #>> '{}')::numeric, 2147483647), 0)::integer END,
					p_default)
	FROM @extschema@.va_setting(p_settings, p_name) v);
END
$$;

-- All settings that hold for a tenant: its own over the platform's, those of the voice engine one by one.
-- What asks for several of them reads them once with this, and takes single ones with va_known_text and
-- va_known_integer, which cost next to nothing. (Both may be given to the functions above as well.)
CREATE FUNCTION @extschema@.va_settings(p_settings jsonb) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_platform jsonb;
	v_own jsonb;
	v_engine jsonb;
BEGIN
	SELECT p.settings, o.settings INTO v_platform, v_own
	FROM (SELECT coalesce(jsonb_object_agg(s.name, s.value), '{}') AS settings
		  FROM @extschema@.settings s WHERE s.value <> 'null') p,
		 (SELECT coalesce(jsonb_object_agg(e.key, e.value), '{}') AS settings
		  FROM jsonb_each(p_settings) e WHERE e.value <> 'null') o;
	v_engine := coalesce(v_own -> 'engine', '{}');
	IF @extschema@.va_filled(v_engine ->> 'base_url') IS NULL THEN
		v_engine := v_engine - 'base_url';
	END IF;
	RETURN v_platform || v_own || jsonb_build_object('engine', coalesce(v_platform -> 'engine', '{}') || v_engine);
END
$$;

CREATE FUNCTION @extschema@.va_known_text(p_known jsonb, p_name text, p_default text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN coalesce(CASE WHEN jsonb_typeof(p_known -> p_name) IN ('string', 'number', 'boolean')
						 THEN p_known ->> p_name END, p_default);

CREATE FUNCTION @extschema@.va_known_integer(p_known jsonb, p_name text, p_default integer) RETURNS integer
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN coalesce(CASE WHEN jsonb_typeof(p_known -> p_name) = 'number'
						 THEN greatest(least((p_known ->> p_name)::numeric, 2147483647), 0)::integer END,
					p_default);

-- The Twilio account that speaks for a tenant.
CREATE FUNCTION @extschema@.va_tenant_account(p_tenant uuid) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT @extschema@.va_setting_text(t.settings, 'twilio_account_sid', NULL)
	FROM @extschema@.tenants t WHERE t.id = p_tenant);
END
$$;

-- A non-negative whole number of a webhook's parameter, or NULL: what comes from outside never
-- raises a cast error. (Not STRICT: the planner could not inline it then.)
CREATE FUNCTION @extschema@.va_digits(text) RETURNS integer
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN $1 ~ '^[0-9]{1,9}$' THEN $1::integer END;

-- A number of a JSON object, or NULL.
CREATE FUNCTION @extschema@.va_number(p_object jsonb, p_name text) RETURNS double precision
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN jsonb_typeof(p_object -> p_name) = 'number'
				 AND abs((p_object ->> p_name)::numeric) < 1e15
				THEN (p_object ->> p_name)::double precision END;

-- Records a domain event and announces it on the channel voiceagent_events. A notification holds at
-- most 8000 bytes: one too long goes out without its data, which are in analytics_events.
CREATE FUNCTION @extschema@.va_emit(p_tenant uuid, p_type text, p_call uuid, p_lead uuid,
									p_data jsonb DEFAULT '{}') RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_id uuid := gen_random_uuid();
	v_event jsonb := jsonb_build_object('event', p_type, 'id', v_id, 'tenant_id', p_tenant,
		'call_id', p_call, 'lead_id', p_lead, 'data', coalesce(p_data, '{}'));
	v_text text := v_event::text;
BEGIN
	INSERT INTO @extschema@.analytics_events (id, tenant_id, lead_id, call_id, event_type, event_data)
	VALUES (v_id, p_tenant, p_lead, p_call, left(p_type, 50), coalesce(p_data, '{}'));
	IF octet_length(v_text) >= 7900 THEN
		v_text := (v_event - 'data')::text;
	END IF;
	PERFORM pg_notify('voiceagent_events', v_text);
END
$$;

-- For what is worth less than waiting for the disk: the next report, or the next piece of a turn, says more. Should the
-- server crash within the next moment, the transaction may be lost; whatever is committed after it is not.
CREATE FUNCTION @extschema@.va_commit_lazily() RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM set_config('synchronous_commit', 'off', true);
END
$$;

-- Counts something that happened in the database on behalf of a gateway.
CREATE FUNCTION @extschema@.va_count(p_gateway text, p_name text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	INSERT INTO @extschema@.gateway_counters AS c (gateway, name, value)
	VALUES (coalesce(left(p_gateway, 100), ''), p_name, 1)
	ON CONFLICT (gateway, name) DO UPDATE SET value = c.value + 1;
END
$$;

-- The host in a URL for an entry of listen_addresses.
CREATE FUNCTION @extschema@.va_url_host(p_address text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN p_address IN ('', '*', '0.0.0.0', '::') THEN 'localhost'
				WHEN p_address LIKE '%:%' THEN '[' || p_address || ']'
				ELSE p_address END;

-- Where the outside world reaches us, without a slash at the end. voiceagent.public_url, else the
-- gateway's own address, which serves a machine that tries things out.
CREATE FUNCTION @extschema@.va_local_address() RETURNS text
	LANGUAGE sql STABLE
	RETURN @extschema@.va_url_host(btrim(split_part(
		coalesce(current_setting('voiceagent.listen_addresses', true), ''), ',', 1)));

-- "http" or "ws", or with an "s" where the gateway has a certificate of its own.
CREATE FUNCTION @extschema@.va_local_scheme(p_plain text) RETURNS text
	LANGUAGE sql STABLE
	RETURN p_plain || CASE WHEN coalesce(current_setting('voiceagent.ssl_cert_file', true), '') <> '' THEN 's' ELSE '' END || '://';

CREATE FUNCTION @extschema@.va_public_url() RETURNS text
	LANGUAGE sql STABLE
	RETURN coalesce(nullif(rtrim(current_setting('voiceagent.public_url', true), '/'), ''),
					@extschema@.va_local_scheme('http') || @extschema@.va_local_address() || ':' ||
					coalesce(nullif(current_setting('voiceagent.http_port', true), ''), '8000'));

-- The WebSocket of the media streams: beside the webhooks when there is a public URL, else on the
-- port of its own.
CREATE FUNCTION @extschema@.va_media_url() RETURNS text
	LANGUAGE sql STABLE
	RETURN CASE WHEN coalesce(current_setting('voiceagent.public_url', true), '') <> ''
				THEN regexp_replace(@extschema@.va_public_url(), '^http', 'ws')
				ELSE @extschema@.va_local_scheme('ws') || @extschema@.va_local_address() || ':' ||
					 coalesce(nullif(current_setting('voiceagent.media_port', true), ''), '8080')
		   END || '/media-stream';
