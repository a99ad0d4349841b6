-- Storage: recordings of calls, transcripts and documents as files under the data directory, or in S3 where the tenant's
-- setting `storage` names a bucket. The database knows what is where; the dispatcher moves the bytes.

CREATE TABLE @extschema@.stored_files (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID NOT NULL REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	lead_id UUID REFERENCES @extschema@.leads(id) ON DELETE SET NULL,
	call_id UUID REFERENCES @extschema@.calls(id) ON DELETE SET NULL,
	kind TEXT NOT NULL CHECK (kind IN ('recording', 'transcript', 'document')),
	name TEXT NOT NULL CHECK (name ~ '^[^/\\[:cntrl:]]{1,200}$' AND name NOT IN ('.', '..')),    -- as a user sees it
	media_type TEXT NOT NULL DEFAULT 'application/octet-stream' CHECK (media_type ~ '^[a-z]+/[A-Za-z0-9.+-]+(; ?charset=[A-Za-z0-9-]+)?$'),
	status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'stored', 'failed')),
	error_message TEXT,
	place TEXT NOT NULL CHECK (place IN ('file', 's3')),
	-- Where in that place: the setting may change, the file stays where it was put. Never a secret.
	target JSONB NOT NULL CHECK (jsonb_typeof(target) = 'object'),
	bytes BIGINT,
	sha256 TEXT CHECK (sha256 ~ '^[0-9a-f]{64}$'),
	created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	stored_at TIMESTAMPTZ,
	expires_at TIMESTAMPTZ                    -- then it is deleted; NULL: never
);
CREATE INDEX idx_stored_files_tenant ON @extschema@.stored_files (tenant_id, created_at DESC);
CREATE INDEX idx_stored_files_call ON @extschema@.stored_files (call_id);
CREATE INDEX idx_stored_files_lead ON @extschema@.stored_files (lead_id);
-- Housekeeping looks here for what has had its time.
CREATE INDEX idx_stored_files_expiry ON @extschema@.stored_files (expires_at) WHERE expires_at IS NOT NULL;

INSERT INTO @extschema@.outbox_kinds (kind, description, prepare, settle, repeatable, lane, max_attempts, timeout_ms, is_builtin) VALUES
	('storage.recording', 'A call''s recording, from Twilio to storage', 'va_prepare_storage_recording', 'va_settle_storage', true, 'bulk', 10, 600000, true),
	('storage.put', 'A text or document, from the database to storage', 'va_prepare_storage_put', 'va_settle_storage', true, 'bulk', 10, 120000, true),
	('storage.delete', 'A file that is no longer wanted', 'va_prepare_storage_delete', NULL, true, 'bulk', 12, 60000, true);
-- A document travels in its request: a few at once, so that they do not fill a dispatcher's memory.
INSERT INTO @extschema@.outbox_providers (provider, concurrency, is_builtin) VALUES ('storage', 4, true);

INSERT INTO @extschema@.setting_definitions (name, types, minimum, maximum, pattern, expected, default_value, description) VALUES
('storage', '{object}', NULL, NULL, NULL, NULL, '{}', 'Where recordings, transcripts and documents are kept; without an endpoint and a bucket: in files on the database''s host. Counts as a whole, not member by member.'),
('storage.bucket', '{text}', NULL, NULL, '^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$', 'the name of a bucket', NULL, 'The bucket; its keys are the secrets s3_access_key and s3_secret_key.'),
('storage.delete_at_twilio', '{boolean}', NULL, NULL, NULL, NULL, 'false', 'Is a recording deleted at Twilio once it is stored here?'),
('storage.endpoint', '{text}', 0, 300, '^https?://[^[:space:]/?#@]+/?$', 'a scheme and a host like "https://s3.example.com"', NULL, 'Where the S3-compatible storage is.'),
('storage.path_style', '{boolean}', NULL, NULL, NULL, NULL, 'true', 'true: the bucket is part of the path; false: of the host, as Amazon has it.'),
('storage.prefix', '{text}', 0, 200, '^(?!.*(^|/)\.)[A-Za-z0-9._=/-]*$', 'letters, digits and any of . _ = - /', NULL, 'Stands before the name of each object.'),
('storage.region', '{text}', 1, 50, '^[a-z0-9-]+$', 'a region like "eu-central-1"', '"us-east-1"', 'The bucket''s region; many makers take any.'),
('storage.transcripts', '{boolean}', NULL, NULL, NULL, NULL, 'false', 'Is each call''s transcript kept as a file, too?');

CREATE FUNCTION @extschema@.va_hmac_sha256(key text, message text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_hmac_sha256';
-- A link to an object of S3 that anybody may read for so many seconds.
CREATE FUNCTION @extschema@.va_s3_link(endpoint text, region text, access_key text, secret_key text, bucket text, path_style boolean, key text,
		valid_s integer, at timestamptz) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_s3_link';

-- ---- places -------------------------------------------------------------------------------------

-- The setting `storage` that holds for a tenant.
CREATE FUNCTION @extschema@.va_storage_setting(p_tenant uuid) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN coalesce(@extschema@.va_setting((SELECT t.settings FROM @extschema@.tenants t WHERE t.id = p_tenant), 'storage'), '{}');
END
$$;

-- Where a new file goes. The path holds nothing that a user wrote.
CREATE FUNCTION @extschema@.va_storage_target(p_tenant uuid, p_file uuid, p_extension text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_storage jsonb := @extschema@.va_storage_setting(p_tenant);
	v_path text := format('%s/%s/%s%s', p_tenant, to_char(now() AT TIME ZONE 'UTC', 'YYYY/MM'), p_file, p_extension);
BEGIN
	IF v_storage ->> 'bucket' IS NULL OR v_storage ->> 'endpoint' IS NULL THEN
		RETURN jsonb_build_object('path', v_path);
	END IF;
	RETURN jsonb_build_object('path', coalesce(v_storage ->> 'prefix', '') || v_path, 'endpoint', v_storage ->> 'endpoint',
		'region', coalesce(v_storage ->> 'region', 'us-east-1'), 'bucket', v_storage ->> 'bucket',
		'path_style', coalesce((v_storage ->> 'path_style')::boolean, true),
		-- Said by the tenant and not by the administrator: no address of this network is reached that way.
		'tenant_url', EXISTS (SELECT FROM @extschema@.tenants t WHERE t.id = p_tenant AND jsonb_typeof(t.settings -> 'storage') = 'object'));
END
$$;

-- The folder of files on the database's own host.
CREATE FUNCTION @extschema@.va_files_directory() RETURNS text
	LANGUAGE sql STABLE
	RETURN current_setting('data_directory') || '/voiceagent_files';

-- A target as the dispatcher needs it, with what opens the bucket. NULL: the bucket's keys are not set.
CREATE FUNCTION @extschema@.va_storage_access(p_tenant uuid, p_target jsonb) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_access text;
	v_secret text;
BEGIN
	IF NOT p_target ? 'bucket' THEN
		RETURN p_target || jsonb_build_object('place', 'file', 'directory', @extschema@.va_files_directory());
	END IF;
	v_access := @extschema@.va_secret_read(p_tenant, 's3_access_key');
	v_secret := @extschema@.va_secret_read(p_tenant, 's3_secret_key');
	IF v_access IS NULL OR v_secret IS NULL THEN
		RETURN NULL;
	END IF;
	RETURN p_target || jsonb_build_object('place', 's3', 'access_key', v_access, 'secret_key', v_secret);
END
$$;

-- The common part of preparing: the row, its target with keys, or why not.
CREATE FUNCTION @extschema@.va_storage_prepare(o @extschema@.outbox, p_request jsonb) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_access jsonb := @extschema@.va_storage_access(o.tenant_id, o.payload -> 'target');
BEGIN
	IF v_access IS NULL THEN
		RETURN jsonb_build_object('fail', jsonb_build_object('code', 'no_secret', 'text', 'the keys of the bucket are not set',
			'hint', 'Set the secrets s3_access_key and s3_secret_key with va_secret_set; then call va_outbox_retry.'));
	END IF;
	RETURN p_request || jsonb_build_object('target', v_access - 'tenant_url', 'tenant_url', coalesce(v_access -> 'tenant_url', 'false'));
END
$$;

-- ---- what is stored -----------------------------------------------------------------------------

-- Makes the row of a file and the effect that fills it. Returns the file's id.
CREATE FUNCTION @extschema@.va_file_add(p_kind text, p_tenant uuid, p_lead uuid, p_call uuid, p_name text, p_media_type text, p_extension text,
	p_effect text, p_payload jsonb, p_run_at timestamptz DEFAULT now()) RETURNS uuid
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_id uuid := gen_random_uuid();
	v_target jsonb := @extschema@.va_storage_target(p_tenant, v_id, p_extension);
BEGIN
	INSERT INTO @extschema@.stored_files (id, tenant_id, lead_id, call_id, kind, name, media_type, place, target)
	VALUES (v_id, p_tenant, p_lead, p_call, p_kind, p_name, p_media_type, CASE WHEN v_target ? 'bucket' THEN 's3' ELSE 'file' END, v_target);
	PERFORM @extschema@.va_outbox_add(p_tenant, p_effect, v_id::text, p_payload || jsonb_build_object('file_id', v_id, 'target', v_target),
		run_at => p_run_at, lead => p_lead, call => p_call);
	RETURN v_id;
END
$$;

-- A recording that Twilio has announced is fetched, once a recording.
CREATE FUNCTION @extschema@.va_call_recorded() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM @extschema@.stored_files f WHERE f.call_id = NEW.id AND f.kind = 'recording'
				   AND f.name = NEW.recording_sid || '.wav') THEN
		PERFORM @extschema@.va_file_add('recording', NEW.tenant_id, NEW.lead_id, NEW.id, NEW.recording_sid || '.wav', 'audio/wav', '.wav',
			'storage.recording', jsonb_build_object('recording_sid', NEW.recording_sid));
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER calls_recorded AFTER UPDATE OF recording_sid, recording_url ON @extschema@.calls FOR EACH ROW
	WHEN (NEW.recording_sid IS NOT NULL AND NEW.recording_url IS NOT NULL
		AND (OLD.recording_sid, OLD.recording_url) IS DISTINCT FROM (NEW.recording_sid, NEW.recording_url))
	EXECUTE FUNCTION @extschema@.va_call_recorded();

CREATE FUNCTION @extschema@.va_prepare_storage_recording(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_account text := @extschema@.va_tenant_account(o.tenant_id);
	v_token text := @extschema@.va_secret_read(o.tenant_id, 'twilio_auth_token');
BEGIN
	IF NOT EXISTS (SELECT FROM @extschema@.stored_files f WHERE f.id::text = o.payload ->> 'file_id') THEN
		RETURN jsonb_build_object('skip', 'the recording was deleted before it was stored');
	ELSIF v_account IS NULL OR v_token IS NULL THEN
		RETURN jsonb_build_object('fail', jsonb_build_object('code', 'no_secret', 'text', 'the Twilio account or its token is not set',
			'hint', 'Set twilio_account_sid and the secret twilio_auth_token; then call va_outbox_retry.'));
	END IF;
	-- From the account's own address and not from what the callback said: the token goes nowhere else.
	RETURN @extschema@.va_storage_prepare(o, jsonb_build_object('source', jsonb_build_object('user', v_account, 'password', v_token,
		'url', format('%s/2010-04-01/Accounts/%s/Recordings/%s.wav', rtrim(current_setting('voiceagent.twilio_base_url', true), '/'), v_account,
			o.payload ->> 'recording_sid')), 'media_type', 'audio/wav'));
END
$$;

CREATE FUNCTION @extschema@.va_prepare_storage_put(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	f @extschema@.stored_files;
BEGIN
	SELECT * INTO f FROM @extschema@.stored_files s WHERE s.id::text = o.payload ->> 'file_id';
	IF f.id IS NULL THEN
		RETURN jsonb_build_object('skip', 'the file was deleted before it was stored');
	END IF;
	RETURN @extschema@.va_storage_prepare(o, jsonb_build_object('media_type', f.media_type) || CASE f.kind
		WHEN 'transcript' THEN jsonb_build_object('text', @extschema@.va_transcript_text(f.call_id)) ELSE o.payload - 'target' - 'file_id' END);
END
$$;

CREATE FUNCTION @extschema@.va_prepare_storage_delete(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN @extschema@.va_storage_prepare(o, '{}');
END
$$;

-- ---- what goes ----------------------------------------------------------------------------------

-- Removes what lies at a target. A file on this host is the platform's to remove, also when its tenant goes; a
-- bucket is the tenant's, and nobody is left to open it then.
CREATE FUNCTION @extschema@.va_storage_remove(p_tenant uuid, p_key text, p_target jsonb, p_run_at timestamptz DEFAULT now()) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT p_target ? 'bucket' THEN
		PERFORM @extschema@.va_outbox_add(NULL, 'storage.delete', p_key, jsonb_build_object('target', p_target), run_at => p_run_at);
	ELSIF EXISTS (SELECT FROM @extschema@.tenants t WHERE t.id = p_tenant) THEN
		PERFORM @extschema@.va_outbox_add(p_tenant, 'storage.delete', p_key, jsonb_build_object('target', p_target), run_at => p_run_at);
	END IF;
END
$$;

-- A row that goes takes its file with it: by hand, with its time, or when a person is erased. One that is just being
-- stored would arrive after its removal: that waits until no attempt can be under way any more.
CREATE FUNCTION @extschema@.va_file_dropped() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_storage_remove(OLD.tenant_id, OLD.id::text, OLD.target,
		CASE WHEN OLD.status = 'pending' THEN now() + interval '15 minutes' ELSE now() END);
	RETURN NULL;
END
$$;
CREATE TRIGGER stored_files_dropped AFTER DELETE ON @extschema@.stored_files FOR EACH ROW
	EXECUTE FUNCTION @extschema@.va_file_dropped();

-- p_result of what is done: {"bytes", "sha256"}.
CREATE FUNCTION @extschema@.va_settle_storage(o @extschema@.outbox, p_outcome text, p_result jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	f @extschema@.stored_files;
BEGIN
	IF p_outcome = 'done' THEN
		UPDATE @extschema@.stored_files s SET status = 'stored', stored_at = now(), error_message = NULL,
			bytes = (p_result ->> 'bytes')::bigint, sha256 = p_result ->> 'sha256'
		WHERE s.id::text = o.payload ->> 'file_id' RETURNING * INTO f;
		IF f.id IS NULL THEN
			-- Deleted while it was on its way: what has arrived goes again.
			PERFORM @extschema@.va_storage_remove(o.tenant_id, (o.payload ->> 'file_id') || '/late', o.payload -> 'target');
		ELSIF f.kind = 'recording' AND (@extschema@.va_storage_setting(f.tenant_id) -> 'delete_at_twilio') = 'true' THEN
			PERFORM @extschema@.va_recording_forget(f.tenant_id, f.call_id, o.payload ->> 'recording_sid');
		END IF;
	ELSIF p_outcome IN ('failed', 'dead', 'skipped') THEN
		UPDATE @extschema@.stored_files s SET status = 'failed', error_message = left(coalesce(p_result ->> 'why',
			concat_ws('. ', @extschema@.va_outbox_words(p_result), p_result ->> 'hint')), 1000)
		WHERE s.id::text = o.payload ->> 'file_id' AND s.status <> 'stored';
	END IF;
END
$$;

-- What is older than so long, of a tenant and kind: at most p_limit; returns how many went. For retention_days.
CREATE FUNCTION @extschema@.va_files_forget(p_tenant uuid, p_kind text, p_age interval, p_limit integer) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_count integer;
BEGIN
	DELETE FROM @extschema@.stored_files f WHERE f.id IN (SELECT o.id FROM @extschema@.stored_files o
		WHERE o.tenant_id = p_tenant AND o.kind = p_kind AND o.created_at < now() - p_age LIMIT p_limit FOR UPDATE SKIP LOCKED);
	GET DIAGNOSTICS v_count = ROW_COUNT;
	RETURN v_count;
END
$$;

-- ---- transcripts and documents ------------------------------------------------------------------

-- A call's transcript for people: a line a turn.
CREATE FUNCTION @extschema@.va_transcript_text(p_call uuid) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT coalesce(string_agg(initcap(e ->> 'role') || ': ' || (e ->> 'text'), E'\n' ORDER BY n), '')
		FROM @extschema@.calls c, jsonb_array_elements(c.transcript) WITH ORDINALITY AS x (e, n) WHERE c.id = p_call);
END
$$;

-- A tenant that wants its transcripts as files has each a minute after the call, when the last turn is in.
CREATE FUNCTION @extschema@.va_call_transcribed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF (@extschema@.va_storage_setting(NEW.tenant_id) -> 'transcripts') = 'true' THEN
		PERFORM @extschema@.va_file_add('transcript', NEW.tenant_id, NEW.lead_id, NEW.id, NEW.id || '.txt', 'text/plain; charset=utf-8', '.txt', 'storage.put', '{}',
			now() + interval '1 minute');
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER calls_transcribed AFTER UPDATE OF status ON @extschema@.calls FOR EACH ROW
	WHEN (NEW.status = 'completed' AND OLD.status IS DISTINCT FROM 'completed' AND NEW.transcript <> '[]')
	EXECUTE FUNCTION @extschema@.va_call_transcribed();

-- Stores a document of a tenant's, at most 8 MiB, with a lead where it belongs to one. Returns the file's id.
-- Errors: VA001 unknown tenant, VA020 unknown lead, VA005 no name, no content or too much of it.
CREATE FUNCTION @extschema@.va_file_put(tenant uuid, name text, content bytea, media_type text DEFAULT 'application/octet-stream', lead uuid DEFAULT NULL) RETURNS uuid
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@.va_assert_acts_for(tenant);
	IF (va_file_put.name ~ '^[^/\\[:cntrl:]]{1,200}$' AND va_file_put.name NOT IN ('.', '..')) IS NOT TRUE THEN
		RAISE EXCEPTION 'a file has a name of 1 to 200 characters without slashes' USING ERRCODE = 'VA005';
	ELSIF (length(content) <= 8388608) IS NOT TRUE THEN
		RAISE EXCEPTION 'a file has a content of at most 8 MiB' USING ERRCODE = 'VA005';
	ELSIF (va_file_put.media_type ~ '^[a-z]+/[A-Za-z0-9.+-]+(; ?charset=[A-Za-z0-9-]+)?$') IS NOT TRUE THEN
		RAISE EXCEPTION '"%" is no media type', coalesce(va_file_put.media_type, 'NULL') USING ERRCODE = 'VA005', HINT = 'It looks like "application/pdf".';
	ELSIF lead IS NOT NULL AND (@extschema@.va_lead_row(lead)).tenant_id IS DISTINCT FROM tenant THEN
		RAISE EXCEPTION 'unknown lead %', lead USING ERRCODE = 'VA020';
	END IF;
	RETURN @extschema@.va_file_add('document', tenant, lead, NULL, va_file_put.name, va_file_put.media_type,
		coalesce(lower(substring(va_file_put.name FROM '\.[A-Za-z0-9]{1,8}$')), ''), 'storage.put',
		jsonb_build_object('base64', translate(encode(content, 'base64'), E'\n', '')));
END
$$;

-- ---- links --------------------------------------------------------------------------------------

-- The key that signs links to files on this host; made at first use.
CREATE FUNCTION @extschema@.va_file_link_key() RETURNS text
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_key text := @extschema@.va_secret_read(NULL, 'file_link_key');
BEGIN
	IF v_key IS NULL THEN
		PERFORM pg_advisory_xact_lock(hashtextextended('voiceagent file_link_key', 0));
		v_key := @extschema@.va_secret_read(NULL, 'file_link_key');
	END IF;
	IF v_key IS NULL THEN
		v_key := replace(gen_random_uuid()::text || gen_random_uuid(), '-', '');
		PERFORM @extschema@.va_secret_set(NULL, 'file_link_key', v_key);
	END IF;
	RETURN v_key;
END
$$;

-- A link under which anybody can read a stored file for a while, at most seven days.
-- Errors: VA005 unknown file, not stored yet, or a time beyond the bounds; VA007 the bucket's keys are not set.
CREATE FUNCTION @extschema@.va_file_link(file uuid, valid interval DEFAULT '1 hour') RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	f @extschema@.stored_files;
	v_seconds integer := CASE WHEN valid BETWEEN interval '1 second' AND interval '7 days' THEN ceil(extract(epoch FROM valid))::integer END;
	v_access jsonb;
	v_expires text := (extract(epoch FROM now())::bigint + v_seconds)::text;
BEGIN
	SELECT * INTO f FROM @extschema@.stored_files s WHERE s.id = file;
	IF f.id IS NULL OR NOT @extschema@.va_acts_for(f.tenant_id) THEN
		RAISE EXCEPTION 'unknown file %', coalesce(file::text, 'NULL') USING ERRCODE = 'VA005', HINT = 'The table stored_files lists them.';
	ELSIF f.status <> 'stored' THEN
		RAISE EXCEPTION 'the file is not stored' USING ERRCODE = 'VA005', DETAIL = coalesce(f.error_message, 'It is on its way.');
	ELSIF v_seconds IS NULL THEN
		RAISE EXCEPTION 'a link is valid for one second to seven days' USING ERRCODE = 'VA005';
	ELSIF f.place = 'file' THEN
		RETURN format('%s/files/%s?expires=%s&signature=%s', @extschema@.va_public_url(), f.id, v_expires,
			@extschema@.va_hmac_sha256(@extschema@.va_file_link_key(), f.id || '.' || v_expires));
	END IF;
	v_access := @extschema@.va_storage_access(f.tenant_id, f.target);
	IF v_access IS NULL THEN
		RAISE EXCEPTION 'the keys of the bucket are not set' USING ERRCODE = 'VA007', HINT = 'va_secret_set sets s3_access_key and s3_secret_key.';
	END IF;
	RETURN @extschema@.va_s3_link(f.target ->> 'endpoint', f.target ->> 'region', v_access ->> 'access_key', v_access ->> 'secret_key',
		f.target ->> 'bucket', (f.target ->> 'path_style')::boolean, f.target ->> 'path', v_seconds, now());
END
$$;

-- For the gateway: the file behind a link; no row when the link is wrong, too old, or its file gone.
CREATE FUNCTION @extschema@.va_file_open(p_file text, p_expires text, p_signature text)
	RETURNS TABLE (path text, name text, media_type text, bytes bigint, sha256 text)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF (p_file ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' AND p_expires ~ '^[0-9]{1,12}$') IS NOT TRUE THEN
		RETURN;
	ELSIF p_expires::bigint < extract(epoch FROM now()) OR p_expires::bigint > extract(epoch FROM now()) + 604801
	   -- Equal digests of both: the time that comparing takes tells nothing of the right one.
	   OR pg_catalog.sha256(convert_to(@extschema@.va_hmac_sha256(@extschema@.va_file_link_key(), p_file || '.' || p_expires), 'UTF8'))
			IS DISTINCT FROM pg_catalog.sha256(convert_to(p_signature, 'UTF8')) THEN
		RETURN;
	END IF;
	RETURN QUERY SELECT @extschema@.va_files_directory() || '/' || (f.target ->> 'path'), f.name, f.media_type, f.bytes, f.sha256
	FROM @extschema@.stored_files f WHERE f.id = p_file::uuid AND f.status = 'stored' AND f.place = 'file';
END
$$;

-- Deletes what has expired, at most so many; returns how many. Called by va_housekeeping.
CREATE FUNCTION @extschema@.va_files_expire(batch integer DEFAULT 1000) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_count integer;
BEGIN
	DELETE FROM @extschema@.stored_files f WHERE f.id IN (SELECT o.id FROM @extschema@.stored_files o WHERE o.expires_at <= now()
		ORDER BY o.expires_at LIMIT batch FOR UPDATE SKIP LOCKED);
	GET DIAGNOSTICS v_count = ROW_COUNT;
	RETURN v_count;
END
$$;

GRANT SELECT, DELETE ON @extschema@.stored_files TO voiceagent_admin, voiceagent_agent;
GRANT UPDATE (expires_at) ON @extschema@.stored_files TO voiceagent_admin, voiceagent_agent;
GRANT EXECUTE ON FUNCTION @extschema@.va_file_put(uuid, text, bytea, text, uuid), @extschema@.va_file_link(uuid, interval) TO voiceagent_admin, voiceagent_agent;
GRANT EXECUTE ON FUNCTION @extschema@.va_file_open(text, text, text) TO voiceagent_gateway;
