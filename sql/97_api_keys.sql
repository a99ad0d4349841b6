-- API keys: what a program outside shows to act for a tenant. The key itself is told once, when it is made; the table
-- holds its SHA-256. That needs no salt: a key is 192 random bits, not something that people think up.

CREATE TABLE @extschema@.api_keys (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID NOT NULL REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
	key_hash BYTEA NOT NULL UNIQUE CHECK (length(key_hash) = 32),
	hint TEXT NOT NULL,                      -- its first characters, to know it again by
	scope TEXT[] NOT NULL DEFAULT '{}',
	created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	expires_at TIMESTAMPTZ,
	last_used_at TIMESTAMPTZ,                -- to the minute
	revoked_at TIMESTAMPTZ,
	CHECK (array_position(scope, NULL) IS NULL)
);
CREATE UNIQUE INDEX idx_api_keys_name ON @extschema@.api_keys (tenant_id, name) WHERE revoked_at IS NULL;

-- Makes a key and returns it, this once. scope: words such as 'leads:read'; '{}' is a key that may nothing.
CREATE FUNCTION @extschema@.va_api_key_create(tenant uuid, name text, scope text[] DEFAULT '{}', expires_at timestamptz DEFAULT NULL) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	-- Two UUIDs carry 244 bits of the server's strong randomness, of which 192 are taken.
	v_key text := 'va_' || substr(encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex'), 1, 48);
	v_scope text[] := coalesce(va_api_key_create.scope, '{}');
BEGIN
	PERFORM @extschema@.va_assert_tenant(tenant);
	IF @extschema@.va_filled(va_api_key_create.name) IS NULL
	   OR EXISTS (SELECT FROM unnest(v_scope) s WHERE (s ~ '^[a-z][a-z0-9_:.*-]{0,62}$') IS NOT TRUE) THEN
		RAISE EXCEPTION 'a key needs a name, and a scope of words like leads:read' USING ERRCODE = 'VA005';
	ELSIF va_api_key_create.expires_at <= now() THEN
		RAISE EXCEPTION 'a key expires in the future' USING ERRCODE = 'VA005';
	END IF;
	INSERT INTO @extschema@.api_keys (tenant_id, name, key_hash, hint, scope, expires_at)
	VALUES (tenant, btrim(va_api_key_create.name), sha256(v_key::bytea), substr(v_key, 1, 9),
			ARRAY(SELECT DISTINCT s FROM unnest(v_scope) s ORDER BY s), va_api_key_create.expires_at);
	RETURN v_key;
END
$$;

-- True when there was one in force.
CREATE FUNCTION @extschema@.va_api_key_revoke(key_id uuid) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.api_keys k SET revoked_at = now()
	WHERE k.id = va_api_key_revoke.key_id AND k.revoked_at IS NULL AND @extschema@.va_acts_for(k.tenant_id);
	RETURN FOUND;
END
$$;

-- Whose key is it, and for what? No row for a key that is unknown, revoked, expired, or of a tenant that is not
-- active. For the gateway. It is looked up by its digest, so there is nothing to compare whose time could
-- betray it. The use is noted once a minute, and not at all while somebody else does it.
CREATE FUNCTION @extschema@.va_api_key_check(key text) RETURNS TABLE (tenant_id uuid, scope text[], key_id uuid)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_key @extschema@.api_keys;
BEGIN
	SELECT k.* INTO v_key FROM @extschema@.api_keys k JOIN @extschema@.tenants t ON t.id = k.tenant_id AND t.status = 'active'
	WHERE k.key_hash = sha256(convert_to(coalesce(va_api_key_check.key, ''), 'UTF8')) AND k.revoked_at IS NULL
	  AND (k.expires_at IS NULL OR k.expires_at > now());
	IF NOT FOUND THEN
		RETURN;
	END IF;
	IF (v_key.last_used_at > now() - interval '1 minute') IS NOT TRUE THEN
		UPDATE @extschema@.api_keys k SET last_used_at = now()
		WHERE k.id = (SELECT x.id FROM @extschema@.api_keys x WHERE x.id = v_key.id FOR NO KEY UPDATE SKIP LOCKED);
	END IF;
	RETURN QUERY SELECT v_key.tenant_id, v_key.scope, v_key.id;
END
$$;

GRANT SELECT (id, tenant_id, name, hint, scope, created_at, expires_at, last_used_at, revoked_at) ON @extschema@.api_keys
	TO voiceagent_admin, voiceagent_agent;
GRANT EXECUTE ON FUNCTION @extschema@.va_api_key_create(uuid, text, text[], timestamptz), @extschema@.va_api_key_revoke(uuid)
	TO voiceagent_admin;
GRANT EXECUTE ON FUNCTION @extschema@.va_api_key_check(text) TO voiceagent_gateway;
