-- The outbox's settings, and the kinds sink.…, which post JSON to the sandbox: for tests and measurements of the outbox
-- itself, and as an example.

-- {"twilio": {"per_second": 1, …}}: members are providers, and theirs are limits.
CREATE FUNCTION @extschema@.va_check_outbox_limits(p_name text, p_value jsonb) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_limit record;
BEGIN
	FOR v_limit IN SELECT p.key AS provider, p.value AS limits, l.key, l.value FROM jsonb_each(p_value) p
		LEFT JOIN LATERAL jsonb_each(CASE jsonb_typeof(p.value) WHEN 'object' THEN p.value ELSE '{}' END) l ON true
	LOOP
		IF jsonb_typeof(v_limit.limits) <> 'object' THEN
			PERFORM @extschema@.va_refuse_setting(p_name || '.' || v_limit.provider, 'must be an object of limits');
		ELSIF v_limit.key NOT IN ('per_second', 'burst', 'concurrency', 'breaker_failures', 'breaker_seconds') THEN
			PERFORM @extschema@.va_refuse_setting(p_name || '.' || v_limit.provider || '.' || v_limit.key, 'is not known',
				'Known are per_second, burst, concurrency, breaker_failures and breaker_seconds.');
		ELSIF v_limit.key IS NOT NULL AND coalesce(@extschema@.va_number(v_limit.limits, v_limit.key), 0) <= 0 THEN
			PERFORM @extschema@.va_refuse_setting(p_name || '.' || v_limit.provider || '.' || v_limit.key, 'must be a number above 0');
		END IF;
	END LOOP;
END
$$;

INSERT INTO @extschema@.setting_definitions (name, types, scope, minimum, maximum, pattern, expected, open, checked_by, default_value, unit, description) VALUES
('outbox_history_days', '{integer}', '{platform}', 1, 3650, NULL, NULL, false, NULL, '30', 'days', 'How long finished effects are kept, and their keys known.'),
('outbox_limits', '{object}', '{tenant,platform}', NULL, NULL, NULL, NULL, true, 'va_check_outbox_limits', '{}', NULL,
 'By provider, how much it is asked: per_second, burst, concurrency, breaker_failures, breaker_seconds. See docs/outbox.md.'),
('sink_url', '{text}', '{tenant,platform}', NULL, NULL, '^https?://[^[:space:]]+$', 'a URL like "https://api.example.com"', false, NULL, NULL, NULL,
 'Where effects of the kinds sink.… go: the sandbox, in tests.');

-- The path behind the setting sink_url, and the body, are in the payload: {"path": "/post", "body": {…}}.
CREATE FUNCTION @extschema@.va_prepare_sink_post(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_own text;
	v_base text;
BEGIN
	SELECT t.settings ->> 'sink_url', s.value #>> '{}' INTO v_own, v_base
	FROM (SELECT o.tenant_id AS id) x LEFT JOIN @extschema@.tenants t ON t.id = x.id LEFT JOIN @extschema@.settings s ON s.name = 'sink_url';
	v_base := coalesce(v_own, v_base);
	IF v_base IS NULL THEN
		RETURN jsonb_build_object('fail', jsonb_build_object('code', 'no_url', 'text', 'there is no address to post to',
			'hint', 'Set "sink_url" in the tenant''s settings or in the table settings.'));
	END IF;
	RETURN jsonb_build_object('base_url', v_base, 'tenant_url', v_own IS NOT NULL, 'path', coalesce(o.payload ->> 'path', '/post'),
		'body', coalesce(o.payload -> 'body', '{}'));
END
$$;

INSERT INTO @extschema@.outbox_kinds (kind, description, prepare, reconcile, lane, is_builtin) VALUES
	('sink.post', 'posts JSON to the sandbox, once', 'va_prepare_sink_post', 'listing', 'bulk', true),
	('sink.blind', 'the same to one that cannot be asked afterwards', 'va_prepare_sink_post', 'person', 'bulk', true);
INSERT INTO @extschema@.outbox_kinds (kind, description, prepare, repeatable, lane, is_builtin) VALUES
	('sink.put', 'puts JSON to the sandbox, which takes it again without harm', 'va_prepare_sink_post', true, 'bulk', true);
INSERT INTO @extschema@.outbox_providers (provider, concurrency, is_builtin) VALUES ('sink', 500, true);
