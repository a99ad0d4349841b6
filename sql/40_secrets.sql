-- Credentials. They are encrypted with AES-256-GCM under the first key in the file voiceagent.key of the data
-- directory; those behind it are older ones that something may still need. Tenant and name are authenticated with them, so a ciphertext moved to another row opens
-- nothing. Plain text leaves the database only through va_secret_read, to the network programs.

CREATE FUNCTION @extschema@.va_encrypt(p_value text, p_context text) RETURNS bytea
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'va_encrypt';
CREATE FUNCTION @extschema@.va_decrypt(p_ciphertext bytea, p_context text) RETURNS text
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'va_decrypt';
-- The current key's id, 16 hexadecimal digits; NULL when there is no key file yet.
CREATE FUNCTION @extschema@.va_key_id() RETURNS text
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'va_key_id';
-- Of all keys in the file, the current one first.
CREATE FUNCTION @extschema@.va_key_ids() RETURNS text[]
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'va_key_ids';
CREATE FUNCTION @extschema@.va_key_add() RETURNS text
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'va_key_add';
CREATE FUNCTION @extschema@.va_key_remove(p_id text) RETURNS boolean
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'va_key_remove';
-- Takes the statement that called the caller out of pg_stat_activity, and keeps it out of the log.
CREATE FUNCTION @extschema@.va_hide_statement() RETURNS void
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'va_hide_statement';

CREATE FUNCTION @extschema@.va_secret_context(p_tenant uuid, p_name text) RETURNS text
	LANGUAGE sql IMMUTABLE
	RETURN coalesce(p_tenant::text, 'platform') || '/' || p_name;

CREATE FUNCTION @extschema@.va_secret_set(tenant uuid, name text, value text) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@.va_hide_statement();
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

-- The same with the value in a file on the server, so that no statement holds it; without the line's end behind it.
-- Whoever calls it must be allowed to read the server's files.
CREATE FUNCTION @extschema@.va_secret_set_from_file(tenant uuid, name text, path text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_secret_set(tenant, name, rtrim(pg_read_file(path), E'\r\n'));
END
$$;

-- A new key, and every secret of this database encrypted again with it; how many. new_key false: with the
-- current key, for the other databases of the server and for secrets that were restored from a dump.
--
-- The new key is in the file, behind it the old ones, before the first secret is encrypted with it, and stays there
-- whatever becomes of this transaction: every secret can be read at every moment, also after a crash. When one of them
-- cannot be read now, nothing happens.
CREATE FUNCTION @extschema@.va_secrets_rekey(new_key boolean DEFAULT true) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_secret @extschema@.tenant_secrets;
	v_context text;
	v_count integer := 0;
BEGIN
	-- Who sets a secret waits, lest it be one more with an old key; who reads does not.
	LOCK TABLE @extschema@.tenant_secrets IN SHARE ROW EXCLUSIVE MODE;
	FOR v_secret IN SELECT * FROM @extschema@.tenant_secrets LOOP
		BEGIN
			PERFORM @extschema@.va_decrypt(v_secret.ciphertext, @extschema@.va_secret_context(v_secret.tenant_id, v_secret.name));
		EXCEPTION WHEN SQLSTATE 'VA006' OR SQLSTATE 'VA007' THEN
			RAISE EXCEPTION 'secret "%" of tenant % cannot be read: %', v_secret.name, coalesce(v_secret.tenant_id::text, 'NULL'), SQLERRM
				USING ERRCODE = SQLSTATE, HINT = 'Restore its key file, or remove it with va_secret_clear; then try again.';
		END;
	END LOOP;
	IF new_key THEN
		PERFORM @extschema@.va_key_add();
	END IF;
	FOR v_secret IN SELECT * FROM @extschema@.tenant_secrets s WHERE s.key_id IS DISTINCT FROM @extschema@.va_key_id() LOOP
		v_context := @extschema@.va_secret_context(v_secret.tenant_id, v_secret.name);
		UPDATE @extschema@.tenant_secrets s SET ciphertext = e.c, key_id = encode(substr(e.c, 2, 8), 'hex')
		FROM @extschema@.va_encrypt(@extschema@.va_decrypt(v_secret.ciphertext, v_context), v_context) AS e (c)
		WHERE s.id = v_secret.id;
		v_count := v_count + 1;
	END LOOP;
	-- Once this is said to be committed, it is.
	PERFORM set_config('synchronous_commit', 'on', true);
	RETURN v_count;
END
$$;

-- Takes an old key out of the key file; false when it is not there. Refused for the current key, and while a secret of this
-- database needs it. The file is the whole server's: other databases with secrets, and dumps, are not looked at.
-- The transaction must be one of its own: its rollback would bring secrets back and not the key.
CREATE FUNCTION @extschema@.va_secrets_key_drop(key_id text) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_needed bigint;
BEGIN
	IF pg_current_xact_id_if_assigned() IS NOT NULL OR current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE EXCEPTION 'a key can only be dropped in a transaction of its own'
			USING ERRCODE = 'active_sql_transaction', HINT = 'Commit first; the isolation level must be READ COMMITTED.';
	END IF;
	LOCK TABLE @extschema@.tenant_secrets IN SHARE MODE;
	SELECT count(*) INTO v_needed FROM @extschema@.tenant_secrets s WHERE s.key_id = va_secrets_key_drop.key_id;
	IF v_needed > 0 THEN
		RAISE EXCEPTION 'key % is needed by % secrets', va_secrets_key_drop.key_id, v_needed
			USING ERRCODE = 'VA006', HINT = 'va_secrets_rekey encrypts them with another one.';
	ELSIF va_secrets_key_drop.key_id = @extschema@.va_key_id() THEN
		RAISE EXCEPTION 'key % is the current one', va_secrets_key_drop.key_id
			USING ERRCODE = 'VA006', HINT = 'va_secrets_rekey makes a new one.';
	END IF;
	RETURN coalesce(@extschema@.va_key_remove(va_secrets_key_drop.key_id), false);
END
$$;

GRANT EXECUTE ON FUNCTION @extschema@.va_secret_set_from_file(uuid, text, text) TO voiceagent_admin;
