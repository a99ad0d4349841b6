-- The kind sink.post: posts JSON to the sandbox, for tests and measurements of the outbox itself.

-- The path behind the setting sink_url, and the body, are in the payload: {"path": "/post", "body": {…}}.
CREATE FUNCTION @extschema@.va_prepare_sink_post(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_own text := (SELECT t.settings ->> 'sink_url' FROM @extschema@.tenants t WHERE t.id = o.tenant_id);
	v_base text := coalesce(v_own, @extschema@.va_setting_text('{}', 'sink_url', NULL));
BEGIN
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
