-- Credentials. They are encrypted with AES-256-GCM under a key in the file voiceagent.key of the data
-- directory; tenant and name are authenticated with them, so a ciphertext moved to another row opens
-- nothing. Plain text leaves the database only through va_secret_read, to the network programs.

CREATE FUNCTION @extschema@.va_encrypt(p_value text, p_context text) RETURNS bytea
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'va_encrypt';
CREATE FUNCTION @extschema@.va_decrypt(p_ciphertext bytea, p_context text) RETURNS text
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'va_decrypt';
-- The key's id, 16 hexadecimal digits; NULL when there is no key file yet.
CREATE FUNCTION @extschema@.va_key_id() RETURNS text
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'va_key_id';

CREATE FUNCTION @extschema@.va_secret_context(p_tenant uuid, p_name text) RETURNS text
	LANGUAGE sql IMMUTABLE
	RETURN coalesce(p_tenant::text, 'platform') || '/' || p_name;

CREATE FUNCTION @extschema@.va_secret_set(tenant uuid, name text, value text) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	IF tenant IS NOT NULL THEN
		PERFORM @extschema@.va_assert_tenant(tenant);
	END IF;
	IF coalesce(va_secret_set.name, '') !~ '^[a-z][a-z0-9_]{0,62}$' OR coalesce(va_secret_set.value, '') = '' THEN
		RAISE EXCEPTION 'a secret needs a name of lower-case letters, digits and underscores, and a value'
			USING ERRCODE = 'VA005', HINT = 'va_secret_clear removes a secret.';
	END IF;
	INSERT INTO @extschema@.tenant_secrets AS s (tenant_id, name, ciphertext, key_id)
	SELECT tenant, va_secret_set.name, c, encode(substr(c, 2, 8), 'hex')
	FROM @extschema@.va_encrypt(va_secret_set.value,
		 @extschema@.va_secret_context(tenant, va_secret_set.name)) c
	ON CONFLICT ON CONSTRAINT tenant_secrets_name_key
	DO UPDATE SET ciphertext = excluded.ciphertext, key_id = excluded.key_id;
END
$$;

-- True when there was one.
CREATE FUNCTION @extschema@.va_secret_clear(tenant uuid, name text) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	DELETE FROM @extschema@.tenant_secrets s
	WHERE s.tenant_id IS NOT DISTINCT FROM tenant AND s.name = va_secret_clear.name;
	RETURN FOUND;
END
$$;

-- The tenant's secret, else the platform's, else NULL.
CREATE FUNCTION @extschema@.va_secret_read(tenant uuid, name text) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_secret @extschema@.tenant_secrets;
BEGIN
	SELECT * INTO v_secret FROM @extschema@.tenant_secrets s
	WHERE s.name = va_secret_read.name AND (s.tenant_id = tenant OR s.tenant_id IS NULL)
	ORDER BY s.tenant_id NULLS LAST LIMIT 1;
	RETURN @extschema@.va_decrypt(v_secret.ciphertext,
		   @extschema@.va_secret_context(v_secret.tenant_id, v_secret.name));
END
$$;
