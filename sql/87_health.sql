-- Is it working, and what has it done: va_health() and va_stats().

CREATE FUNCTION @extschema@.va_health()
	RETURNS TABLE ("check" text, ok boolean, detail text, hint text)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_preloaded boolean := regexp_split_to_array(current_setting('shared_preload_libraries'), '[ ,"'']+') @> ARRAY['voiceagent'];
	v_database text := coalesce(current_setting('voiceagent.database', true), '');
	v_key text;
	v_keys text[] := '{}';
BEGIN
	RETURN QUERY SELECT 'library', v_preloaded,
		CASE WHEN v_preloaded THEN 'loaded at server start' ELSE 'not in shared_preload_libraries: SQL works, calls do not' END,
		CASE WHEN NOT v_preloaded THEN 'Set shared_preload_libraries = ''voiceagent'' and restart the server.' END;

	RETURN QUERY SELECT 'version', e.extversion = @extschema@.va_version(),
		format('extension %s, library %s', e.extversion, @extschema@.va_version()),
		CASE WHEN e.extversion <> @extschema@.va_version()
			 THEN 'Run ALTER EXTENSION voiceagent UPDATE, or restart the server with the newer library.' END
	FROM pg_extension e WHERE e.extname = 'voiceagent';

	IF v_preloaded THEN
		RETURN QUERY SELECT 'database', v_database = current_database(),
			format('voiceagent.database is "%s", this is "%s"', v_database, current_database()),
			CASE WHEN v_database <> current_database()
				 THEN format('Set voiceagent.database = %L and restart the server.', current_database()) END;
		RETURN QUERY SELECT 'launcher', n > 0, CASE WHEN n > 0 THEN 'running' ELSE 'not running' END,
			CASE WHEN n = 0 THEN 'The server''s log says why; max_worker_processes may be too small.' END
		FROM (SELECT count(*) AS n FROM pg_stat_activity a WHERE a.backend_type = 'voiceagent launcher') AS launchers;
	END IF;

	RETURN QUERY SELECT 'gateway', coalesce(age < 30, false),
		CASE WHEN age IS NULL THEN 'none has ever reported'
			 ELSE format('%s running, last report %s s ago', n, round(age)) END,
		CASE WHEN coalesce(age >= 30, true)
			 THEN 'See voiceagent.gateway_workers, and the server''s log for messages of the gateway.' END
	FROM (SELECT count(*) FILTER (WHERE s.reported_at > now() - interval '30 seconds') AS n,
				 extract(epoch FROM now() - max(s.reported_at)) AS age
		  FROM @extschema@.gateway_status s) AS reports;

	RETURN QUERY SELECT * FROM @extschema@.va_outbox_health();
	RETURN QUERY SELECT * FROM @extschema@.va_waiting_health();

	RETURN QUERY SELECT 'role ' || r.name, coalesce(p.rolcanlogin, false),
		CASE WHEN p.rolname IS NULL THEN 'does not exist' WHEN p.rolcanlogin THEN 'can log in' ELSE 'may not log in' END,
		CASE WHEN p.rolname IS NULL THEN format('CREATE ROLE %I LOGIN;', r.name)
			 WHEN NOT p.rolcanlogin THEN format('ALTER ROLE %I LOGIN;', r.name) END
	FROM (VALUES ('voiceagent_gateway'), ('voiceagent_dispatcher')) AS r (name)
	LEFT JOIN pg_roles p ON p.rolname = r.name;

	BEGIN
		v_key := @extschema@.va_key_id();
		v_keys := @extschema@.va_key_ids();
		RETURN QUERY SELECT 'key file', v_key IS NOT NULL OR NOT EXISTS (SELECT FROM @extschema@.tenant_secrets),
			CASE WHEN v_key IS NULL THEN 'not made yet: it is with the first secret'
				 ELSE 'key ' || v_key || CASE WHEN cardinality(v_keys) > 1 THEN format(' and %s older', cardinality(v_keys) - 1) ELSE '' END END,
			CASE WHEN v_key IS NULL AND EXISTS (SELECT FROM @extschema@.tenant_secrets)
				 THEN 'Copy voiceagent.key from the data directory where the secrets were set, or set them again.' END;
	EXCEPTION WHEN SQLSTATE 'VA006' THEN
		RETURN QUERY SELECT 'key file', false, SQLERRM, 'It is 32 bytes a key, in the data directory, mode 0600, the server''s own.'::text;
	END;
	RETURN QUERY SELECT 'secrets', count(*) FILTER (WHERE s.key_id <> ALL (v_keys)) = 0,
		format('%s stored, %s of another key', count(*), count(*) FILTER (WHERE s.key_id <> ALL (v_keys))),
		CASE WHEN count(*) FILTER (WHERE s.key_id <> ALL (v_keys)) > 0
			 THEN 'Set those again with va_secret_set, or restore their key file.' END
	FROM @extschema@.tenant_secrets s;

	RETURN QUERY SELECT 'events', e.there AND e.strays <= 20000,
		CASE WHEN e.there THEN format('in the partition of this month, %s in the default one', CASE WHEN e.strays > 20000 THEN 'more than 20000' ELSE e.strays::text END)
			 ELSE 'in the default partition: this month has none yet' END,
		CASE WHEN NOT e.there THEN 'The scheduler makes it within a minute; where none runs, SELECT va_housekeeping().'
			 WHEN e.strays > 20000 THEN 'SELECT va_events_partition(day) for their months, in a quiet hour.' END
	FROM (SELECT to_regclass(@extschema@.va_events_partition_name(@extschema@.va_events_month(now()))) IS NOT NULL AS there,
				 (SELECT count(*) FROM (SELECT FROM @extschema@.analytics_events_default d LIMIT 20001) AS few) AS strays) e;

	RETURN QUERY SELECT 'public URL', coalesce(current_setting('voiceagent.public_url', true), '') <> '',
		@extschema@.va_public_url(),
		CASE WHEN coalesce(current_setting('voiceagent.public_url', true), '') = ''
			 THEN 'Twilio cannot reach this machine so: set voiceagent.public_url to an https address.' END;

	RETURN QUERY SELECT 'tenant ' || t.slug, count(m.what) = 0,
		CASE WHEN count(m.what) = 0 THEN 'can take calls' ELSE 'lacks ' || string_agg(m.what, ', ') END,
		CASE WHEN count(m.what) > 0 THEN 'See docs/sql-reference.md, the section on tenants.' END
	FROM @extschema@.tenants t
	LEFT JOIN LATERAL (
		SELECT 'an active voice number' AS what WHERE NOT EXISTS (SELECT FROM @extschema@.phone_numbers n
			WHERE n.tenant_id = t.id AND n.phone_type = 'voice' AND n.is_active)
		UNION ALL SELECT 'a voice configuration' WHERE NOT EXISTS (SELECT FROM @extschema@.tenant_voice_configs v WHERE v.tenant_id = t.id)
		UNION ALL SELECT 'a Twilio account (setting twilio_account_sid)' WHERE @extschema@.va_tenant_account(t.id) IS NULL
		UNION ALL SELECT 'the secret ' || q.name FROM (VALUES ('twilio_auth_token'),
			(@extschema@.va_setting_text(t.settings, 'voice_engine', 'ultravox') || '_api_key')) AS q (name)
		WHERE NOT EXISTS (SELECT FROM @extschema@.tenant_secrets s
						  WHERE s.name = q.name AND (s.tenant_id = t.id OR s.tenant_id IS NULL))
		UNION ALL SELECT 'an address of the voice engine (setting engine, base_url)'
		WHERE @extschema@.va_session_engine_url(@extschema@.va_settings(t.settings)) IS NULL) m ON true
	WHERE t.status = 'active'
	GROUP BY t.id ORDER BY t.slug;
END
$$;

-- Counters over all gateways, the gone ones included; gauges over those that reported within 30 s.
CREATE FUNCTION @extschema@.va_stats()
	RETURNS TABLE (name text, value numeric, unit text, description text)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	WITH known (name, unit, description) AS (VALUES
		('gateways', 'processes', 'gateway processes that reported within the last 30 s'),
		('calls', 'calls', 'calls on the line now'),
		('calls_total', 'calls', 'media streams carried since the beginning'),
		('frames_in', 'frames', 'audio frames from Twilio, 20 ms each'),
		('frames_out', 'frames', 'audio frames to Twilio, 20 ms each'),
		('frames_dropped_in', 'frames', 'frames from Twilio that the engine did not take in time'),
		('frames_dropped_out', 'frames', 'frames from the engine that Twilio did not take in time'),
		('queue_bytes', 'bytes', 'waiting to be written to the database'),
		('uptime_s', 's', 'age of the oldest running gateway'),
		('rejected.bad_signature', 'requests', 'webhooks with a wrong signature'),
		('rejected.malformed', 'requests', 'requests that could not be parsed'),
		('rejected.too_large', 'requests', 'requests beyond the size limit'),
		('rejected.method', 'requests', 'requests with a wrong method'),
		('rejected.not_found', 'requests', 'requests for an unknown path'),
		('rejected.token', 'streams', 'media streams without a valid token'),
		('rejected.busy', 'calls', 'calls beyond voiceagent.max_calls'),
		('rejected.link', 'requests', 'links to files that are wrong, expired, or lead nowhere any more'),
		('rejected.downloads', 'requests', 'downloads beyond those that a gateway serves at once'),
		('rejected.no_call_sid', 'requests', 'webhooks without a CallSid'),
		('rejected.unknown_number', 'calls', 'calls to a number that no tenant has'),
		('rejected.inactive_tenant', 'calls', 'calls to a tenant that is not active'),
		('rejected.wrong_account', 'requests', 'webhooks signed by an account that is not the tenant''s'),
		('rejected.busy_tenant', 'calls', 'calls beyond a tenant''s max_concurrent_calls'),
		('outbox.dispatchers', 'processes', 'dispatcher processes that reported within the last 30 s'),
		('outbox.waiting', 'effects', 'effects that are ready, held back or to be tried again'),
		('outbox.scheduled', 'effects', 'of these, effects whose time has not come'),
		('outbox.under_way', 'effects', 'effects that a dispatcher has'),
		('outbox.unknown', 'effects', 'effects whose outcome is not known yet'),
		('outbox.dead', 'effects', 'dead letters: see the table outbox_dead'),
		('outbox.oldest_s', 's', 'how long the effect that waits longest has been due'),
		('outbox.blocked', 'queues', 'tenants and services whose circuit breaker is open')),
	reports AS (
		SELECT n.name, n.value, s.reported_at > now() - interval '30 seconds' AS fresh
		FROM @extschema@.gateway_status s, @extschema@.va_report_numbers(s.report) n WHERE n.name <> 'pid'),
	measured AS (
		SELECT r.name, CASE WHEN r.name = 'uptime_s' THEN max(r.value) ELSE sum(r.value) END AS value FROM reports r
		WHERE r.fresh OR NOT @extschema@.va_is_gauge(r.name) GROUP BY r.name
		UNION ALL SELECT c.name, sum(c.value) FROM @extschema@.gateway_counters c GROUP BY c.name
		UNION ALL SELECT o.name, o.value FROM @extschema@.va_outbox_numbers() o
		UNION ALL SELECT 'gateways', count(*) FROM @extschema@.gateway_status s WHERE s.reported_at > now() - interval '30 seconds')
	SELECT coalesce(k.name, m.name), coalesce(sum(m.value), 0), k.unit, k.description
	FROM known k FULL JOIN measured m ON m.name = k.name
	GROUP BY coalesce(k.name, m.name), k.unit, k.description
	ORDER BY coalesce(k.name, m.name)
$$;
