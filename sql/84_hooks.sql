-- Telling others: domain events to a tenant's own HTTPS end points, and short messages to people's phones by ntfy.
--
-- Requests to an end point follow the Standard Webhooks specification, for which most languages have a library: headers
-- webhook-id (the event's), webhook-timestamp, webhook-signature (v1, HMAC-SHA256 over "id.timestamp.body"). An event is
-- sent until it is taken; the receiver recognises one that comes twice by its id.

CREATE TABLE @extschema@.event_hooks (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID NOT NULL REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	url TEXT NOT NULL CHECK (url ~ '^https?://[^[:space:]/@]+(/[^[:space:]]*)?$' AND length(url) <= 2000),
	events TEXT[],                           -- the types of events; NULL: all
	-- The name of the tenant's secret (va_secret_set) that signs, "whsec_" and base64; without it nothing is sent.
	secret_name TEXT NOT NULL DEFAULT 'hook_secret' CHECK (secret_name ~ '^[a-z][a-z0-9_]{0,62}$'),
	enabled BOOLEAN NOT NULL DEFAULT true,
	failing_since TIMESTAMPTZ,               -- of the first failure since the last success
	last_error TEXT,
	created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);
-- Each event of a tenant asks here.
CREATE INDEX idx_event_hooks_tenant ON @extschema@.event_hooks (tenant_id) WHERE enabled;
CREATE TRIGGER event_hooks_touch BEFORE UPDATE ON @extschema@.event_hooks
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_touch();

ALTER TABLE @extschema@.human_agents
	ADD COLUMN push_topic TEXT CHECK (push_topic ~ '^[-_A-Za-z0-9]{1,64}$');   -- of ntfy; whoever knows it can read it

INSERT INTO @extschema@.outbox_kinds (kind, description, prepare, settle, repeatable, lane, max_attempts, timeout_ms, is_builtin) VALUES
	('hook.post', 'A domain event for an end point of the tenant', 'va_prepare_hook_post', 'va_settle_hook_post', true, 'bulk', 12, 15000, true),
	('push.ntfy', 'A short message to a person''s phone', 'va_prepare_push_ntfy', NULL, true, 'live', 4, 10000, true);
INSERT INTO @extschema@.outbox_providers (provider, concurrency, is_builtin) VALUES ('hook', 10, true), ('push', 4, true);

INSERT INTO @extschema@.setting_definitions (name, types, minimum, maximum, pattern, expected, default_value, description) VALUES
('ntfy', '{object}', NULL, NULL, NULL, NULL, '{}', 'The service that brings short messages to people''s phones; its token is the secret ntfy_token.'),
('ntfy.base_url', '{text}', 0, 500, '^https?://[^[:space:]]+$', 'a URL like "https://ntfy.example.com"', '"https://ntfy.sh"', 'Where it is.');

-- ---- events to end points -----------------------------------------------------------------------

-- One effect a hook that wants the event, and none for events that were restored or copied. That an event could not be
-- brought to a hook is no event for hooks: the end point that is down would be told of its own silence without end.
CREATE FUNCTION @extschema@.va_event_hooks() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_outbox_add(NEW.tenant_id, 'hook.post', h.id || '/' || NEW.id, jsonb_build_object('hook_id', h.id,
			'event', jsonb_build_object('id', NEW.id, 'type', NEW.event_type, 'timestamp', NEW.created_at, 'tenant_id', NEW.tenant_id,
				'call_id', NEW.call_id, 'lead_id', NEW.lead_id, 'data', NEW.event_data)), lead => NEW.lead_id, call => NEW.call_id)
	FROM @extschema@.event_hooks h
	WHERE h.tenant_id = NEW.tenant_id AND h.enabled AND (h.events IS NULL OR NEW.event_type = ANY (h.events));
	RETURN NULL;
END
$$;
CREATE TRIGGER analytics_events_hooks AFTER INSERT ON @extschema@.analytics_events FOR EACH ROW
	WHEN (NEW.tenant_id IS NOT NULL AND NEW.created_at = now()
		AND NOT (NEW.event_type = 'outbox.dead' AND coalesce(NEW.event_data ->> 'kind' = 'hook.post', false)))
	EXECUTE FUNCTION @extschema@.va_event_hooks();

CREATE FUNCTION @extschema@.va_prepare_hook_post(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	h @extschema@.event_hooks;
	v_secret text;
BEGIN
	SELECT * INTO h FROM @extschema@.event_hooks e WHERE e.id::text = o.payload ->> 'hook_id' AND e.tenant_id = o.tenant_id;
	IF h.id IS NULL OR NOT h.enabled THEN
		RETURN jsonb_build_object('skip', 'the hook was removed or disabled');
	END IF;
	v_secret := @extschema@.va_secret_read(o.tenant_id, h.secret_name);
	IF v_secret IS NULL THEN
		RETURN jsonb_build_object('fail', jsonb_build_object('code', 'no_secret', 'text', 'the secret "' || h.secret_name || '" is not set',
			'hint', 'Set it with va_secret_set(tenant, ''' || h.secret_name || ''', ''whsec_…''); then va_outbox_retry sends the event.'));
	END IF;
	RETURN jsonb_build_object('tenant_url', true, 'url', h.url, 'secret', v_secret, 'id', o.payload #>> '{event,id}', 'body', o.payload -> 'event');
END
$$;

-- A hook is disabled, and an event says so, when it has taken nothing for five days or says itself (410) that it is gone.
CREATE FUNCTION @extschema@.va_settle_hook_post(o @extschema@.outbox, p_outcome text, p_result jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	h @extschema@.event_hooks;
BEGIN
	IF p_outcome = 'done' THEN
		UPDATE @extschema@.event_hooks e SET failing_since = NULL, last_error = NULL
		WHERE e.id::text = o.payload ->> 'hook_id' AND e.failing_since IS NOT NULL;
		RETURN;
	ELSIF p_outcome NOT IN ('failed', 'dead') THEN
		RETURN;
	END IF;
	UPDATE @extschema@.event_hooks e SET failing_since = coalesce(e.failing_since, now()), last_error = left(@extschema@.va_outbox_words(p_result), 500),
		enabled = e.enabled AND coalesce(e.failing_since, now()) > now() - interval '5 days' AND p_result ->> 'http_status' IS DISTINCT FROM '410'
	WHERE e.id::text = o.payload ->> 'hook_id' RETURNING * INTO h;
	IF h.id IS NOT NULL AND NOT h.enabled AND o.payload #>> '{event,type}' <> 'hook_disabled' THEN
		PERFORM @extschema@.va_emit(o.tenant_id, 'hook_disabled', NULL, NULL, jsonb_build_object('hook_id', h.id, 'url', h.url, 'error', h.last_error));
	END IF;
END
$$;

-- ---- pushes -------------------------------------------------------------------------------------

-- Sends a short message to a person's phone. priority: 1 (least) to 5 (rings through). Returns the effect's number; NULL
-- where the person has no topic. Errors: VA033 unknown person, VA005 no text or a priority that is none.
CREATE FUNCTION @extschema@.va_push(agent uuid, title text, message text, priority integer DEFAULT 3, click text DEFAULT NULL, key text DEFAULT NULL) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	h @extschema@.human_agents;
BEGIN
	SELECT * INTO h FROM @extschema@.human_agents a WHERE a.id = agent;
	IF h.id IS NULL OR NOT @extschema@.va_acts_for(h.tenant_id) THEN
		RAISE EXCEPTION 'unknown person %', coalesce(agent::text, 'NULL') USING ERRCODE = 'VA033', HINT = 'The table human_agents lists them.';
	ELSIF @extschema@.va_filled(message) IS NULL OR (priority BETWEEN 1 AND 5) IS NOT TRUE THEN
		RAISE EXCEPTION 'a push has a message and a priority from 1 to 5' USING ERRCODE = 'VA005';
	ELSIF h.push_topic IS NULL THEN
		RETURN NULL;
	END IF;
	RETURN @extschema@.va_outbox_add(h.tenant_id, 'push.ntfy', coalesce(key, gen_random_uuid()::text), jsonb_strip_nulls(jsonb_build_object('topic', h.push_topic,
		'title', left(title, 250), 'message', left(message, 3500), 'priority', priority, 'click', click)));
END
$$;

CREATE FUNCTION @extschema@.va_prepare_push_ntfy(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_own jsonb := (SELECT t.settings FROM @extschema@.tenants t WHERE t.id = o.tenant_id);
BEGIN
	RETURN jsonb_strip_nulls(jsonb_build_object('tenant_url', coalesce(jsonb_typeof(v_own -> 'ntfy') = 'object', false),
		'url', coalesce(@extschema@.va_setting(v_own, 'ntfy') ->> 'base_url', 'https://ntfy.sh'),
		'token', @extschema@.va_secret_read(o.tenant_id, 'ntfy_token'), 'body', o.payload));
END
$$;

-- Who is wanted is told on the phone: the person a call is handed to; all of a tenant's people where nobody was free.
CREATE FUNCTION @extschema@.va_event_pushes() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_outbox_add(NEW.tenant_id, 'push.ntfy', h.id || '/' || NEW.id, jsonb_build_object('topic', h.push_topic, 'priority', 5,
			'title', CASE WHEN NEW.event_data ->> 'agent_id' IS NOT NULL THEN 'A caller is handed to you' ELSE 'A caller asks for a person' END,
			'message', 'Reason: ' || coalesce(NEW.event_data ->> 'reason', 'not said'), 'tags', jsonb_build_array('telephone_receiver')),
		call => NEW.call_id)
	FROM @extschema@.human_agents h
	WHERE h.tenant_id = NEW.tenant_id AND h.push_topic IS NOT NULL AND coalesce(NEW.event_data ->> 'agent_id' = h.id::text, h.is_available);
	RETURN NULL;
END
$$;
CREATE TRIGGER analytics_events_pushes AFTER INSERT ON @extschema@.analytics_events FOR EACH ROW
	WHEN (NEW.event_type = 'call_escalated' AND NEW.created_at = now())
	EXECUTE FUNCTION @extschema@.va_event_pushes();

GRANT SELECT, INSERT, UPDATE, DELETE ON @extschema@.event_hooks TO voiceagent_admin;
GRANT SELECT ON @extschema@.event_hooks TO voiceagent_agent;
GRANT EXECUTE ON FUNCTION @extschema@.va_push(uuid, text, text, integer, text, text) TO voiceagent_admin, voiceagent_agent;
