-- What the gateway asks for and reports besides calls.

-- The Twilio accounts of the active tenants with the tokens that may have signed a request: the current one and,
-- during a rotation, the next. A secret that cannot be read takes only its own account out: the
-- others' calls go on, and the log says which.
CREATE FUNCTION @extschema@.va_gateway_config() RETURNS jsonb
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_account record;
	v_tokens jsonb := '{}';
	v_token text;
BEGIN
	FOR v_account IN
		SELECT DISTINCT a.sid, n.name, CASE WHEN s.id IS NULL THEN NULL ELSE a.tenant END AS tenant
		FROM (SELECT @extschema@.va_tenant_account(t.id) AS sid, t.id AS tenant
			  FROM @extschema@.tenants t
			  UNION ALL SELECT @extschema@.va_setting_text('{}', 'twilio_account_sid', NULL), NULL) a
		CROSS JOIN (VALUES (1, 'twilio_auth_token'), (2, 'twilio_auth_token_next')) AS n (place, name)
		LEFT JOIN @extschema@.tenant_secrets s ON s.tenant_id = a.tenant AND s.name = n.name
		WHERE a.sid IS NOT NULL
		ORDER BY a.sid, n.name, 3
	LOOP
		BEGIN
			v_token := @extschema@.va_secret_read(v_account.tenant, v_account.name);
		EXCEPTION WHEN SQLSTATE 'VA006' OR SQLSTATE 'VA007' THEN
			RAISE WARNING 'secret "%" of account % cannot be read: %', v_account.name, v_account.sid, SQLERRM
				USING HINT = 'SELECT * FROM va_health() tells more.';
			v_token := NULL;
		END;
		v_tokens := jsonb_set(v_tokens, ARRAY[v_account.sid], coalesce(v_tokens -> v_account.sid, '[]')
			|| CASE WHEN v_token IS NULL OR v_tokens -> v_account.sid ? v_token THEN '[]'
					ELSE jsonb_build_array(v_token) END);
	END LOOP;
	RETURN jsonb_build_object('email', @extschema@.va_gateway_email_config(), 'accounts', (
		SELECT coalesce(jsonb_agg(jsonb_build_object('account_sid', e.key, 'tokens', e.value) ORDER BY e.key), '[]')
		FROM jsonb_each(v_tokens) e));
END
$$;

-- Numbers of a report, nested objects as "rejected.busy".
CREATE FUNCTION @extschema@.va_report_numbers(p_report jsonb) RETURNS TABLE (name text, value numeric)
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT e.key, (e.value #>> '{}')::numeric FROM jsonb_each(p_report) e WHERE jsonb_typeof(e.value) = 'number'
	UNION ALL
	SELECT e.key || '.' || i.key, (i.value #>> '{}')::numeric
	FROM jsonb_each(p_report) e, jsonb_each(CASE WHEN jsonb_typeof(e.value) = 'object' THEN e.value ELSE '{}' END) i
	WHERE jsonb_typeof(i.value) = 'number'
$$;

-- Numbers of a report that say how it is now and not how often something happened.
CREATE FUNCTION @extschema@.va_is_gauge(p_name text) RETURNS boolean
	LANGUAGE sql IMMUTABLE
	RETURN p_name IN ('pid', 'calls', 'queue_bytes', 'uptime_s');

-- Moves the counters of a process that is gone into gateway_counters.
CREATE FUNCTION @extschema@.va_gateway_fold(p_gateway text, p_pid bigint) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_report jsonb;
BEGIN
	DELETE FROM @extschema@.gateway_status s WHERE s.gateway = p_gateway AND s.pid = p_pid RETURNING s.report INTO v_report;
	INSERT INTO @extschema@.gateway_counters AS c (gateway, name, value)
	SELECT p_gateway, n.name, n.value FROM @extschema@.va_report_numbers(v_report) n
	WHERE NOT @extschema@.va_is_gauge(n.name)
	ORDER BY n.name
	ON CONFLICT (gateway, name) DO UPDATE SET value = c.value + excluded.value;
END
$$;

-- Totals of one process since its start. A process with fewer seconds than before is a new one that got the
-- old one's pid. Processes silent for a day are folded away.
CREATE FUNCTION @extschema@.va_gateway_report(p_gateway text, p_report jsonb) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_pid bigint := coalesce(@extschema@.va_number(p_report, 'pid')::bigint, 0);
	v_uptime double precision := @extschema@.va_number(p_report, 'uptime_s');
	v_stale bigint;
BEGIN
	IF p_gateway IS NULL OR jsonb_typeof(p_report) IS DISTINCT FROM 'object' THEN
		RAISE EXCEPTION 'a report needs a gateway and an object' USING ERRCODE = 'VA005';
	END IF;
	PERFORM @extschema@.va_commit_lazily();
	FOR v_stale IN SELECT s.pid FROM @extschema@.gateway_status s
				   WHERE s.gateway = p_gateway
					 AND (s.pid = v_pid AND @extschema@.va_number(s.report, 'uptime_s') > v_uptime
						  OR s.pid <> v_pid AND s.reported_at < now() - interval '1 day')
				   ORDER BY s.pid FOR UPDATE
	LOOP
		PERFORM @extschema@.va_gateway_fold(p_gateway, v_stale);
	END LOOP;
	INSERT INTO @extschema@.gateway_status AS s (gateway, pid, version, started_at, reported_at, report)
	VALUES (left(p_gateway, 100), v_pid, p_report ->> 'version', now() - make_interval(secs => coalesce(v_uptime, 0)),
			now(), p_report)
	ON CONFLICT (gateway, pid) DO UPDATE SET version = excluded.version, reported_at = now(), report = excluded.report;
END
$$;

-- Called by the scheduler now and then: what is of no more use goes, in small portions, and calls whose end Twilio
-- never told are closed (no call lasts longer than a day there).
CREATE FUNCTION @extschema@.va_housekeeping() RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	DELETE FROM @extschema@.call_tokens t WHERE t.token_hash IN (
		SELECT o.token_hash FROM @extschema@.call_tokens o WHERE o.expires_at < now() - interval '1 day'
		LIMIT 5000 FOR UPDATE SKIP LOCKED);
	DELETE FROM @extschema@.webhook_receipts r WHERE r.ctid IN (
		SELECT o.ctid FROM @extschema@.webhook_receipts o WHERE o.received_at < now() - interval '1 day'
		LIMIT 5000 FOR UPDATE SKIP LOCKED);
	PERFORM @extschema@.va_call_set_status(o.id, 'completed') FROM (
		SELECT c.id FROM @extschema@.calls c
		WHERE c.status IN ('queued', 'initiated', 'ringing', 'in-progress') AND coalesce(c.started_at, c.dialed_at) < now() - interval '25 hours'
		LIMIT 500 FOR NO KEY UPDATE SKIP LOCKED) o;
	UPDATE @extschema@.agent_reservations r SET released_at = now(), handled = false -- reserved without a call, and forgotten
	WHERE r.released_at IS NULL AND r.call_id IS NULL AND r.reserved_at < now() - interval '1 day';
	PERFORM @extschema@.va_retention_apply(), @extschema@.va_criteria_recheck(), @extschema@.va_engagement_fade(),
		@extschema@.va_outbox_forget();
	PERFORM @extschema@.va_files_expire();
	PERFORM @extschema@.va_funnel_compact();
	-- Last: its locks are held until the transaction ends.
	PERFORM @extschema@.va_events_maintain();
END
$$;
