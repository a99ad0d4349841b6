-- Odoo, outward: what a tenant has to set, how its server is found and asked, and what of a lead, a call, a task and an
-- appointment becomes which record there. What comes back is in 82_odoo_back.sql.
--
-- One effect of the outbox is one script (docs/providers/odoo.md): its steps are decided here, in SQL, and walked by
-- the dispatcher. Every record of ours has an external id in Odoo (__voiceagent__.lead_<uuid> and so on) and is made by
-- Odoo's own upsert, `load`, in one transaction there; so a repeated or concurrent attempt never makes a second one.
--
-- A tenant without the setting `odoo` costs one look at odoo_connections, which is small, and its new leads are
-- `disabled`: nothing is to be done, and nothing is claimed to be pending.

ALTER TABLE @extschema@.leads
	ADD COLUMN odoo_sync_error TEXT;         -- why the last attempt failed, or what of it could not be sent; NULL: nothing

-- What is known of each tenant's Odoo. One row a tenant that has the setting, kept by va_odoo_check and by what is seen
-- on the way.
CREATE TABLE @extschema@.odoo_connections (
	tenant_id UUID PRIMARY KEY REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	enabled BOOLEAN NOT NULL DEFAULT true,
	-- unchecked: nobody has asked yet; ok; broken: nothing is sent until a check succeeds again.
	state TEXT NOT NULL DEFAULT 'unchecked' CHECK (state IN ('unchecked', 'ok', 'broken')),
	error JSONB,                             -- {"code", "text", "hint"} of what broke it
	transport TEXT CHECK (transport IN ('json2', 'jsonrpc', 'xmlrpc', 'rest')),
	version INTEGER,                         -- the major one; NULL where it is not told
	server_version TEXT,
	uid INTEGER,                             -- our user there
	rights JSONB NOT NULL DEFAULT '{}',      -- {"leads": true, "contacts": …, "events": …, "fields": …}
	fields JSONB NOT NULL DEFAULT '{}',      -- fields of crm.lead that the mapping names: {"name": {"type", "relation"}}
	missing_fields TEXT[] NOT NULL DEFAULT '{}',
	warnings JSONB NOT NULL DEFAULT '[]',    -- of the last check
	-- Names and ids: {"stages", "users", "teams", "reasons": rows, "names": {model: {name: id}}}
	directory JSONB NOT NULL DEFAULT '{}',
	directory_at TIMESTAMPTZ,
	checked_at TIMESTAMPTZ,
	-- The way back: all before pull_from has been seen; a sweep reads [pull_from, pull_to) in pages by id.
	pull_from TIMESTAMPTZ,
	pull_to TIMESTAMPTZ,
	pull_after INTEGER NOT NULL DEFAULT 0,
	pulled_at TIMESTAMPTZ,
	webhook_hash BYTEA UNIQUE CHECK (length(webhook_hash) = 32), -- SHA-256 of the token in the webhook's address
	webhook_at TIMESTAMPTZ                   -- of the last webhook that came
);

-- Which record of ours is which one there, and how far the two have been brought into step. Changes are counted: a
-- record is in step when synced_revision = revision.
CREATE TABLE @extschema@.odoo_links (
	model TEXT NOT NULL CHECK (model IN ('crm.lead', 'res.partner', 'mail.message', 'mail.activity', 'calendar.event')),
	record_id UUID NOT NULL,                 -- leads.id (of a contact too), calls.id, follow_up_tasks.id, appointments.id
	tenant_id UUID NOT NULL REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	lead_id UUID REFERENCES @extschema@.leads(id) ON DELETE CASCADE,
	odoo_id INTEGER,
	revision BIGINT NOT NULL DEFAULT 0,
	sending_revision BIGINT,
	synced_revision BIGINT NOT NULL DEFAULT 0,
	wanted BIGINT,                           -- the effect that will send the newest state
	busy BIGINT,                             -- the effect that is at it
	sending JSONB,                           -- our values as the effect under way sends them
	sent JSONB NOT NULL DEFAULT '{}',        -- our values as last sent
	seen JSONB NOT NULL DEFAULT '{}',        -- the record's values as last read there
	hands_off TEXT[] NOT NULL DEFAULT '{}',  -- fields that people there have rewritten and that stay theirs
	PRIMARY KEY (model, record_id)
);
CREATE INDEX idx_odoo_links_lead ON @extschema@.odoo_links (lead_id);
CREATE INDEX idx_odoo_links_odoo ON @extschema@.odoo_links (tenant_id, model, odoo_id);

-- ---- settings ------------------------------------------------------------------------------------

-- The specification's mapping: what of ours goes into which field of crm.lead. (Its `lead_name` is the field `name`.)
CREATE FUNCTION @extschema@.va_odoo_default_mapping() RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN jsonb '{"name": "lead_name", "phone": "phone", "email": "email_from", "company": "partner_name", "source": "source_id",
		"stage": "stage_id", "priority": "priority", "notes": "description", "user": "user_id", "team": "team_id",
		"score": "x_lead_score", "transcript": "x_call_transcript", "contact": "contact_name", "tags": "tag_ids",
		"campaign": "campaign_id"}';

-- A tenant's setting with every default filled in.
CREATE FUNCTION @extschema@.va_odoo_settings(p_odoo jsonb) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN jsonb '{"enabled": true, "transport": "auto", "type": "opportunity", "source": "AI Voice", "tags": [], "create_fields": true,
			"contacts": true, "notes": true, "activities": true, "meetings": true, "meeting_activities": true, "reminders": ["1440", "60"],
			"pull_minutes": 5, "lost_reasons": true, "on_deleted": "fail", "lang": "en_US"}'
		|| jsonb_strip_nulls(coalesce(p_odoo, '{}'))
		|| jsonb_build_object(
			'url', rtrim(coalesce(p_odoo ->> 'url', ''), '/'),
			'mapping', @extschema@.va_odoo_default_mapping() || coalesce(p_odoo -> 'mapping', '{}'),
			'stages', jsonb '{"new": "New", "qualified": "Qualified", "contacted": "Qualified", "meeting_scheduled": "Proposition",
				"closed_won": "Won"}' || coalesce(p_odoo -> 'stages', '{}'),
			'priorities', jsonb '{"cold": "0", "warm": "1", "hot": "3"}' || coalesce(p_odoo -> 'priorities', '{}'),
			'rest', jsonb '{"base_path": "/api/v2", "header": "X-API-Key", "search": true, "reference_field": null}' || coalesce(p_odoo -> 'rest', '{}'));

-- Refuses settings `odoo` that cannot work, with VA009. NULL and absent are fine.
CREATE FUNCTION @extschema@.va_check_odoo_settings(p_odoo jsonb) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_name text;
	v_types text;
	v_key text;
	v_value jsonb;
BEGIN
	IF p_odoo IS NULL OR p_odoo = 'null' THEN
		RETURN;
	ELSIF jsonb_typeof(p_odoo) <> 'object' THEN
		RAISE EXCEPTION 'setting "odoo" must be of type object, not %', jsonb_typeof(p_odoo) USING ERRCODE = 'VA009';
	END IF;
	FOR v_key, v_value IN SELECT * FROM jsonb_each(p_odoo) LOOP
		SELECT x.types INTO v_types FROM (VALUES ('enabled', 'boolean'), ('url', 'string'), ('database', 'string'), ('login', 'string'),
			('transport', 'string'), ('type', 'string'), ('team', 'string number'), ('tags', 'array'), ('source', 'string'),
			('mapping', 'object'), ('create_fields', 'boolean'), ('stages', 'object'), ('priorities', 'object'),
			('contacts', 'boolean'), ('notes', 'boolean'), ('activities', 'boolean'), ('meetings', 'boolean'),
			('meeting_activities', 'boolean'), ('reminders', 'array'), ('pull_minutes', 'number'), ('lead_owner_id', 'number'), ('sales_team_id', 'number'),
			('lost_reasons', 'boolean'), ('on_deleted', 'string'), ('lang', 'string'), ('company', 'number'), ('users', 'object'),
			('rest', 'object'), ('oauth', 'object')) AS x (name, types) WHERE x.name = v_key;
		IF NOT FOUND THEN
			RAISE EXCEPTION 'unknown key "%" in setting "odoo"', v_key USING ERRCODE = 'VA009', HINT = 'docs/providers/odoo.md lists them.';
		ELSIF v_value <> 'null' AND strpos(v_types, jsonb_typeof(v_value)) = 0 THEN
			RAISE EXCEPTION 'setting "odoo", key "%" must be of type %, not %', v_key, replace(v_types, ' ', ' or '), jsonb_typeof(v_value)
				USING ERRCODE = 'VA009';
		END IF;
	END LOOP;
	IF @extschema@.va_filled(p_odoo ->> 'url') !~ '^https?://[^\s/?#@"<>\\^`{}|]+(/[^\s?#@"<>\\^`{}|]*)?$' THEN
		RAISE EXCEPTION 'setting "odoo" needs the url of the server' USING ERRCODE = 'VA009', HINT = 'For instance https://acme.odoo.com';
	END IF;
	FOR v_name, v_types IN VALUES ('transport', 'auto json2 jsonrpc xmlrpc rest'), ('type', 'opportunity lead'), ('on_deleted', 'fail recreate') LOOP
		IF NOT (p_odoo ->> v_name = ANY (string_to_array(v_types, ' '))) THEN
			RAISE EXCEPTION 'setting "odoo", key "%" cannot be "%"', v_name, p_odoo ->> v_name
				USING ERRCODE = 'VA009', HINT = 'Known are ' || replace(v_types, ' ', ', ') || '.';
		END IF;
	END LOOP;
	FOR v_key, v_value IN SELECT * FROM jsonb_each(CASE WHEN jsonb_typeof(p_odoo -> 'mapping') = 'object' THEN p_odoo -> 'mapping' ELSE '{}' END) LOOP
		IF NOT (@extschema@.va_odoo_default_mapping() ? v_key OR v_key ~ '^(custom|qualification)\.[^\s.]{1,60}$') THEN
			RAISE EXCEPTION 'nothing of ours is called "%" in the mapping of setting "odoo"', v_key USING ERRCODE = 'VA009',
				HINT = 'Known are ' || (SELECT string_agg(k, ', ' ORDER BY k) FROM jsonb_object_keys(@extschema@.va_odoo_default_mapping()) k)
					|| ', custom.<key> and qualification.<key>.';
		ELSIF v_value <> 'null' AND (jsonb_typeof(v_value) <> 'string' OR v_value #>> '{}' !~ '^[a-z_][a-z0-9_]{0,62}$') THEN
			RAISE EXCEPTION 'the mapping of "%" in setting "odoo" is no name of a field', v_key USING ERRCODE = 'VA009', HINT = 'null leaves it out.';
		END IF;
	END LOOP;
	FOR v_key, v_value IN SELECT * FROM jsonb_each(CASE WHEN jsonb_typeof(p_odoo -> 'stages') = 'object' THEN p_odoo -> 'stages' ELSE '{}' END) LOOP
		IF v_key NOT IN ('new', 'qualified', 'contacted', 'meeting_scheduled', 'closed_won') OR jsonb_typeof(v_value) NOT IN ('string', 'number') THEN
			RAISE EXCEPTION 'stages of setting "odoo": "%" is not one of ours, or not given a name or number', v_key USING ERRCODE = 'VA009',
				HINT = 'Ours are new, qualified, contacted, meeting_scheduled and closed_won; lost and archived leads keep their stage.';
		END IF;
	END LOOP;
	FOR v_key, v_value IN SELECT * FROM jsonb_each(CASE WHEN jsonb_typeof(p_odoo -> 'priorities') = 'object' THEN p_odoo -> 'priorities' ELSE '{}' END) LOOP
		IF v_key NOT IN ('cold', 'warm', 'hot') OR v_value #>> '{}' NOT IN ('0', '1', '2', '3') THEN
			RAISE EXCEPTION 'priorities of setting "odoo": "%" must be cold, warm or hot, its value "0" to "3"', v_key USING ERRCODE = 'VA009';
		END IF;
	END LOOP;
	IF (p_odoo ->> 'pull_minutes')::numeric NOT BETWEEN 0 AND 1440 THEN
		RAISE EXCEPTION 'setting "odoo", key "pull_minutes" must be between 0 (never) and 1440' USING ERRCODE = 'VA009';
	END IF;
	IF p_odoo -> 'rest' ->> 'header' !~ '^[A-Za-z][A-Za-z0-9-]{0,60}$' OR p_odoo -> 'rest' ->> 'base_path' !~ '^/[A-Za-z0-9/._-]*$' THEN
		RAISE EXCEPTION 'setting "odoo", key "rest": header or base_path is none' USING ERRCODE = 'VA009';
	END IF;
	IF p_odoo -> 'oauth' <> 'null' AND coalesce(p_odoo -> 'oauth' ->> 'token_url', '') !~ '^https?://' THEN
		RAISE EXCEPTION 'setting "odoo", key "oauth" needs token_url and client_id' USING ERRCODE = 'VA009';
	END IF;
END
$$;

CREATE FUNCTION @extschema@.va_check_odoo_setting(p_name text, p_value jsonb) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_check_odoo_settings(p_value);
END
$$;
UPDATE @extschema@.setting_definitions SET checked_by = 'va_check_odoo_setting' WHERE name = 'odoo';
INSERT INTO @extschema@.setting_definitions
	(name, types, minimum, maximum, allowed, pattern, expected, open, expands, checked_by, default_value, unit, description) VALUES
('odoo.activities', '{boolean}', NULL, NULL, NULL, NULL, NULL, false, false, NULL, 'true', NULL, 'Tasks for people become activities.'),
('odoo.company', '{integer}', 1, 2147483647, NULL, NULL, NULL, false, false, NULL, NULL, NULL, 'Company there (allowed_company_ids), where it has several.'),
('odoo.contacts', '{boolean}', NULL, NULL, NULL, NULL, NULL, false, false, NULL, 'true', NULL, 'A lead that is qualified becomes a contact too.'),
('odoo.create_fields', '{boolean}', NULL, NULL, NULL, NULL, NULL, false, false, NULL, 'true', NULL, 'va_odoo_check makes the custom fields (x_...) that are missing.'),
('odoo.enabled', '{boolean}', NULL, NULL, NULL, NULL, NULL, false, false, NULL, 'true', NULL, 'false: nothing is sent, and the rest stays as it is.'),
('odoo.lang', '{text}', 2, 10, NULL, '^[a-z]{2,3}(_[A-Z]{2})?$', 'a language like "en_US"', false, false, NULL, '"en_US"', NULL, 'Language of names (stages, teams) there.'),
('odoo.login', '{text}', 0, 200, NULL, NULL, NULL, false, false, NULL, NULL, NULL, 'Our user''s login; JSON-2 and REST gateways need none.'),
('odoo.lost_reasons', '{boolean}', NULL, NULL, NULL, NULL, NULL, false, false, NULL, 'true', NULL, 'A reason for losing that is not there is made.'),
('odoo.mapping', '{object}', NULL, NULL, NULL, NULL, NULL, true, false, NULL, '{}', NULL, 'What of ours goes into which field of crm.lead, over the default; null: into none.'),
('odoo.meeting_activities', '{boolean}', NULL, NULL, NULL, NULL, NULL, false, false, NULL, 'true', NULL, 'An appointment becomes an activity on the lead too.'),
('odoo.meetings', '{boolean}', NULL, NULL, NULL, NULL, NULL, false, false, NULL, 'true', NULL, 'Appointments become events of the calendar.'),
('odoo.notes', '{boolean}', NULL, NULL, NULL, NULL, NULL, false, false, NULL, 'true', NULL, 'Each call becomes a note on the lead.'),
('odoo.oauth', '{object}', NULL, NULL, NULL, NULL, NULL, true, false, NULL, NULL, NULL, 'token_url, client_id, scope: a token in the place of the key; its secret is odoo_oauth_client_secret.'),
('odoo.on_deleted', '{text}', NULL, NULL, '{fail,recreate}', NULL, NULL, false, false, NULL, '"fail"', NULL, 'What to do about a lead that was deleted there.'),
('odoo.priorities', '{object}', NULL, NULL, NULL, NULL, NULL, true, false, NULL, '{"cold": "0", "warm": "1", "hot": "3"}', NULL, 'By temperature: "0" low to "3" very high.'),
('odoo.pull_minutes', '{number}', 0, 1440, NULL, NULL, NULL, false, false, NULL, '5', 'minutes', 'How often it is asked what has changed there; 0: never.'),
('odoo.reminders', '{array}', 0, 10, NULL, '^[0-9]{1,5}$', 'a list of texts like "60"', false, false, NULL, '["1440", "60"]', 'minutes', 'Reminders of events.'),
('odoo.rest', '{object}', NULL, NULL, NULL, NULL, NULL, true, false, NULL, '{}', NULL, 'Of a REST gateway: base_path ("/api/v2"), header ("X-API-Key"), search (true), reference_field.'),
('odoo.source', '{text}', 0, 100, NULL, NULL, NULL, false, false, NULL, '"AI Voice"', NULL, 'Source of all leads there; empty: by channel.'),
('odoo.stages', '{object}', NULL, NULL, NULL, NULL, NULL, true, false, NULL, '{}', NULL, 'By our stage the name or id of theirs, over the default.'),
('odoo.tags', '{array}', 0, 20, NULL, NULL, NULL, false, false, NULL, '[]', NULL, 'Tags for all leads there, beside their own.'),
('odoo.team', '{text,integer}', 1, 100000, NULL, NULL, NULL, false, false, NULL, NULL, NULL, 'Sales team of new leads, by name or id.'),
('odoo.transport', '{text}', NULL, NULL, '{auto,json2,jsonrpc,xmlrpc,rest}', NULL, NULL, false, false, NULL, '"auto"', NULL, 'How to talk to it; auto: va_odoo_check finds out.'),
('odoo.type', '{text}', NULL, NULL, '{opportunity,lead}', NULL, NULL, false, false, NULL, '"opportunity"', NULL, 'What new leads are there.'),
('odoo.users', '{object}', NULL, NULL, NULL, NULL, NULL, true, false, NULL, '{}', NULL, 'By e-mail address of a person here the login there, where the two differ.');

-- A look at a server that is new to us; without a key there is nothing to look with, and that is said at once.
CREATE FUNCTION @extschema@.va_odoo_begin(p_tenant uuid) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF EXISTS (SELECT FROM @extschema@.tenant_secrets s WHERE s.name IN ('odoo_api_key', 'odoo_oauth_client_secret')
			   AND (s.tenant_id = p_tenant OR s.tenant_id IS NULL)) THEN
		PERFORM @extschema@.va_odoo_ask(p_tenant);
	ELSE
		UPDATE @extschema@.odoo_connections c SET state = 'broken', error = jsonb_build_object('code', 'access_denied', 'text', 'there is no key for Odoo',
			'hint', 'Store it: va_secret_set(tenant, ''odoo_api_key'', ...). It is made in Odoo under Preferences, Account Security.')
		WHERE c.tenant_id = p_tenant;
	END IF;
END
$$;

-- The setting came, changed or went: the connection follows, and is checked anew.
CREATE FUNCTION @extschema@.va_odoo_configured() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_enabled boolean := coalesce((NEW.settings -> 'odoo' ->> 'enabled')::boolean, true)
		AND coalesce(jsonb_typeof(NEW.settings -> 'odoo'), 'null') = 'object' AND @extschema@.va_filled(NEW.settings -> 'odoo' ->> 'url') IS NOT NULL;
BEGIN
	IF TG_OP = 'INSERT' THEN
		IF v_enabled AND NEW.created_at = now() THEN
			INSERT INTO @extschema@.odoo_connections (tenant_id) VALUES (NEW.id) ON CONFLICT DO NOTHING;
			PERFORM @extschema@.va_odoo_begin(NEW.id);
		END IF;
		RETURN NULL;
	END IF;
	IF v_enabled THEN
		INSERT INTO @extschema@.odoo_connections AS c (tenant_id) VALUES (NEW.id)
		ON CONFLICT (tenant_id) DO UPDATE SET enabled = true, state = 'unchecked', error = NULL, transport = NULL, uid = NULL,
			directory = '{}', directory_at = NULL;
		PERFORM @extschema@.va_odoo_begin(NEW.id);
	ELSE
		UPDATE @extschema@.odoo_connections c SET enabled = false WHERE c.tenant_id = NEW.id;
		UPDATE @extschema@.leads l SET odoo_sync_status = 'disabled'
		WHERE l.tenant_id = NEW.id AND l.odoo_sync_status IN ('pending', 'syncing', 'failed');
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER tenants_odoo AFTER INSERT ON @extschema@.tenants FOR EACH ROW
	WHEN (NEW.settings ? 'odoo') EXECUTE FUNCTION @extschema@.va_odoo_configured();
CREATE TRIGGER tenants_odoo_changed AFTER UPDATE OF settings ON @extschema@.tenants FOR EACH ROW
	WHEN (OLD.settings -> 'odoo' IS DISTINCT FROM NEW.settings -> 'odoo') EXECUTE FUNCTION @extschema@.va_odoo_configured();

-- A new key mends what an old one broke.
CREATE FUNCTION @extschema@.va_odoo_key_changed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.odoo_connections c SET uid = NULL WHERE c.tenant_id = NEW.tenant_id AND c.enabled;
	IF FOUND THEN
		PERFORM @extschema@.va_odoo_ask(NEW.tenant_id);
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER tenant_secrets_odoo AFTER INSERT OR UPDATE OF ciphertext ON @extschema@.tenant_secrets FOR EACH ROW
	WHEN (NEW.name IN ('odoo_api_key', 'odoo_oauth_client_secret') AND NEW.tenant_id IS NOT NULL)
	EXECUTE FUNCTION @extschema@.va_odoo_key_changed();

-- ---- requests ------------------------------------------------------------------------------------

-- Where and as whom: the part of a request that every kind has. NULL when the tenant has no Odoo (any more).
CREATE FUNCTION @extschema@.va_odoo_request(p_tenant uuid, p_steps jsonb) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	c @extschema@.odoo_connections;
	s jsonb;
BEGIN
	SELECT * INTO c FROM @extschema@.odoo_connections x WHERE x.tenant_id = p_tenant AND x.enabled;
	SELECT @extschema@.va_odoo_settings(t.settings -> 'odoo') INTO s FROM @extschema@.tenants t WHERE t.id = p_tenant;
	RETURN jsonb_strip_nulls(jsonb_build_object(
		'tenant_url', true,
		'connection', jsonb_build_object('url', s ->> 'url', 'database', s ->> 'database', 'login', s ->> 'login',
			'secret', @extschema@.va_secret_read(p_tenant, 'odoo_api_key'),
			'transport', coalesce(c.transport, nullif(s ->> 'transport', 'auto')), 'uid', c.uid,
			'rest_path', s #>> '{rest,base_path}', 'rest_header', s #>> '{rest,header}',
			'oauth', CASE WHEN jsonb_typeof(s -> 'oauth') = 'object' THEN jsonb_build_object('token_url', s #>> '{oauth,token_url}',
				'client_id', s #>> '{oauth,client_id}', 'scope', s #>> '{oauth,scope}',
				'client_secret', @extschema@.va_secret_read(p_tenant, 'odoo_oauth_client_secret')) END),
		'context', jsonb_strip_nulls(jsonb_build_object('lang', s ->> 'lang', 'tz', 'UTC', 'mail_create_nosubscribe', true,
			'mail_auto_subscribe_no_notify', true,
			'allowed_company_ids', CASE WHEN s ? 'company' THEN jsonb_build_array(s -> 'company') END)),
		'steps', p_steps));
END
$$;

-- One step of a script. p_more: its other members (if, unless, soft, need, same, keep, writes).
CREATE FUNCTION @extschema@.va_odoo_step(p_as text, p_take text, p_model text, p_method text, p_ids jsonb, p_args jsonb, p_more jsonb DEFAULT '{}')
	RETURNS jsonb
	LANGUAGE sql STABLE
	RETURN jsonb_strip_nulls(jsonb_build_object('as', p_as, 'take', p_take)) || p_more
		|| jsonb_build_object('call', jsonb_build_object('model', p_model, 'method', p_method, 'args', coalesce(p_args, '{}'))
			|| CASE WHEN p_ids IS NULL THEN '{}' ELSE jsonb_build_object('ids', p_ids) END
			|| CASE WHEN p_more ? 'context' THEN jsonb_build_object('context', p_more -> 'context') ELSE '{}' END);

-- The upsert by external id: cells are texts, and an empty one clears.
CREATE FUNCTION @extschema@.va_odoo_load(p_as text, p_model text, p_reference text, p_cells jsonb, p_more jsonb DEFAULT '{}') RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT @extschema@.va_odoo_step(p_as, 'id', p_model, 'load', NULL, jsonb_build_object(
			'fields', jsonb_build_array('id') || coalesce(jsonb_agg(c.key ORDER BY c.key), '[]'),
			'data', jsonb_build_array(jsonb_build_array('__voiceagent__.' || p_reference)
				|| coalesce(jsonb_agg(CASE jsonb_typeof(c.value) WHEN 'object' THEN c.value WHEN 'null' THEN '""' ELSE to_jsonb(c.value #>> '{}') END
					ORDER BY c.key), '[]'))),
			jsonb_build_object('need', jsonb_build_object('code', 'validation', 'text', 'Odoo stored nothing', 'hint', '')) || p_more)
	FROM jsonb_each(p_cells) c);
END
$$;

-- Text as HTML, which Odoo's long fields are.
CREATE FUNCTION @extschema@.va_odoo_html(p_text text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN replace(replace(replace(replace(p_text, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), E'\n', '<br/>');

CREATE FUNCTION @extschema@.va_odoo_time(timestamptz) RETURNS text
	LANGUAGE sql STABLE
	RETURN to_char($1 AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS');

-- ---- whose turn it is ----------------------------------------------------------------------------

-- Something of ours has changed. A burst is one effect: as long as one waits, it will read the newest state, and
-- none is added. The waiting one is locked, so that it is not claimed before this transaction's changes are seen.
CREATE FUNCTION @extschema@.va_odoo_want(p_tenant uuid, p_kind text, p_model text, p_record uuid, p_lead uuid, p_call uuid DEFAULT NULL,
		p_appointment uuid DEFAULT NULL, p_delay interval DEFAULT '1 second') RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k @extschema@.odoo_links;
	v_id bigint;
BEGIN
	INSERT INTO @extschema@.odoo_links AS x (model, record_id, tenant_id, lead_id, revision) VALUES (p_model, p_record, p_tenant, p_lead, 1)
	ON CONFLICT (model, record_id) DO UPDATE SET revision = x.revision + 1, lead_id = excluded.lead_id RETURNING * INTO k;
	SELECT o.id INTO v_id FROM @extschema@.outbox o WHERE o.id = k.wanted AND o.state IN ('ready', 'later') FOR UPDATE SKIP LOCKED;
	IF v_id IS NULL THEN
		v_id := @extschema@.va_outbox_add(p_tenant, p_kind, p_record::text || ':' || k.revision, '{}', now() + p_delay,
			lead => p_lead, call => p_call, appointment => p_appointment);
		UPDATE @extschema@.odoo_links x SET wanted = v_id WHERE x.model = p_model AND x.record_id = p_record;
	END IF;
	RETURN v_id;
END
$$;

-- The record an effect is about.
CREATE FUNCTION @extschema@.va_odoo_record(o @extschema@.outbox) RETURNS uuid
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN split_part(o.attempt_key, ':', 1)::uuid;
END
$$;

-- Whether an effect may work on its record now: NULL, and the record is its own until it is settled; else the answer
-- for the dispatcher. One that waits gives way to a later one, for both would send the same, the newest state.
CREATE FUNCTION @extschema@.va_odoo_turn(o @extschema@.outbox, p_model text) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k @extschema@.odoo_links;
	c @extschema@.odoo_connections;
	v_until timestamptz;
BEGIN
	SELECT * INTO c FROM @extschema@.odoo_connections x WHERE x.tenant_id = o.tenant_id;
	IF c.enabled IS NOT TRUE THEN
		RETURN jsonb_build_object('skip', 'the tenant has no Odoo');
	ELSIF c.state = 'broken' THEN
		RETURN jsonb_build_object('fail', c.error);
	ELSIF c.state = 'unchecked' THEN
		PERFORM @extschema@.va_odoo_ask(o.tenant_id);
		RETURN jsonb_build_object('defer', now() + interval '5 seconds', 'why', 'Odoo is being looked at for the first time');
	END IF;
	-- A user's transaction may hold lead and link for long: whoever claims does not wait for it.
	PERFORM FROM @extschema@.leads l WHERE l.id = o.lead_id FOR NO KEY UPDATE SKIP LOCKED;
	IF FOUND OR o.lead_id IS NULL THEN
		SELECT * INTO k FROM @extschema@.odoo_links x WHERE x.model = p_model AND x.record_id = @extschema@.va_odoo_record(o) FOR UPDATE SKIP LOCKED;
	END IF;
	IF k.model IS NULL THEN
		IF EXISTS (SELECT FROM @extschema@.odoo_links x WHERE x.model = p_model AND x.record_id = @extschema@.va_odoo_record(o)) THEN
			RETURN jsonb_build_object('defer', now() + interval '1 second', 'why', 'it is being changed at this moment');
		END IF;
		RETURN jsonb_build_object('skip', 'it was deleted');
	ELSIF k.synced_revision >= k.revision THEN
		RETURN jsonb_build_object('skip', 'an earlier effect has sent this');
	END IF;
	IF k.busy <> o.id THEN
		SELECT greatest(x.run_at, now() + interval '2 seconds') INTO v_until FROM @extschema@.outbox x
		WHERE x.id = k.busy AND x.state IN ('leased', 'unknown');
		IF FOUND THEN
			RETURN jsonb_build_object('defer', v_until, 'why', 'another effect is at the same record');
		END IF;
	END IF;
	UPDATE @extschema@.odoo_links x SET busy = o.id, sending_revision = x.revision WHERE x.model = p_model AND x.record_id = k.record_id;
	RETURN NULL;
END
$$;

-- The end of an effect for its record. True when a newer change waits. Whoever calls it has locked the lead first: that
-- is the order in which everybody takes the two.
CREATE FUNCTION @extschema@.va_odoo_settled(o @extschema@.outbox, p_model text, p_outcome text, p_id integer) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_more boolean;
BEGIN
	UPDATE @extschema@.odoo_links k SET
		busy = CASE WHEN p_outcome = 'unknown' OR k.busy IS DISTINCT FROM o.id THEN k.busy END,
		odoo_id = coalesce(p_id, k.odoo_id),
		synced_revision = CASE WHEN p_outcome = 'done' AND k.busy = o.id THEN greatest(k.synced_revision, k.sending_revision) ELSE k.synced_revision END,
		sent = CASE WHEN p_outcome = 'done' AND k.busy = o.id THEN coalesce(k.sending, k.sent) ELSE k.sent END
	WHERE k.model = p_model AND k.record_id = @extschema@.va_odoo_record(o) RETURNING k.revision > k.synced_revision INTO v_more;
	RETURN coalesce(v_more, false);
END
$$;

-- What a settled effect tells of the connection: a key that is refused stops all others, names found are kept, names
-- that led nowhere are forgotten.
CREATE FUNCTION @extschema@.va_odoo_heard(p_tenant uuid, p_outcome text, p_result jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_found jsonb := (SELECT jsonb_object_agg(substr(v.key, 6), v.value) FROM jsonb_each(
		CASE WHEN jsonb_typeof(p_result -> 'values') = 'object' THEN p_result -> 'values' ELSE '{}' END) v
		WHERE v.key LIKE 'name:%' AND jsonb_typeof(v.value) = 'number');
BEGIN
	IF p_outcome IN ('failed', 'dead') AND p_result ->> 'code' IN ('access_denied', 'wrong_database', 'not_odoo') THEN
		UPDATE @extschema@.odoo_connections c SET state = 'broken', uid = NULL, error = p_result - 'at' - 'final'
		WHERE c.tenant_id = p_tenant AND c.state <> 'broken';
	ELSIF p_outcome = 'failed' AND p_result ->> 'code' IN ('missing_record', 'validation', 'missing_field') THEN
		UPDATE @extschema@.odoo_connections c SET directory = c.directory - 'names', directory_at = NULL WHERE c.tenant_id = p_tenant;
	ELSIF p_outcome = 'done' AND v_found IS NOT NULL THEN
		UPDATE @extschema@.odoo_connections c SET directory = jsonb_set(c.directory, '{names}', coalesce(c.directory -> 'names', '{}') || v_found)
		WHERE c.tenant_id = p_tenant AND NOT coalesce(c.directory -> 'names' @> v_found, false);
	END IF;
	IF (p_result ->> 'uid') IS NOT NULL THEN
		UPDATE @extschema@.odoo_connections c SET uid = (p_result ->> 'uid')::integer
		WHERE c.tenant_id = p_tenant AND c.uid IS DISTINCT FROM (p_result ->> 'uid')::integer;
	END IF;
END
$$;

-- Tries again what could not be sent of a tenant's leads (or of one of them) for one of these reasons: notes, tasks,
-- appointments and contacts. Leads themselves are seen to by whoever calls this.
CREATE FUNCTION @extschema@.va_odoo_revive(p_tenant uuid, p_lead uuid, p_codes text[]) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	d @extschema@.outbox_dead;
BEGIN
	FOR d IN SELECT * FROM @extschema@.outbox_dead x
			 WHERE x.tenant_id = p_tenant AND x.kind IN ('odoo.contact', 'odoo.note', 'odoo.activity', 'odoo.event') AND x.outcome = 'failed'
			   AND x.last_error ->> 'code' = ANY (p_codes) AND (p_lead IS NULL OR x.lead_id = p_lead) ORDER BY x.id FOR UPDATE LOOP
		PERFORM @extschema@.va_outbox_revive(d);
	END LOOP;
END
$$;

-- ---- the check -----------------------------------------------------------------------------------

-- Queues a look at the tenant's Odoo, unless one waits already.
CREATE FUNCTION @extschema@.va_odoo_ask(p_tenant uuid) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_id bigint := (SELECT o.id FROM @extschema@.outbox o WHERE o.tenant_id = p_tenant AND o.kind = 'odoo.check' AND o.state IN ('ready', 'later')
					ORDER BY o.id LIMIT 1 FOR UPDATE SKIP LOCKED);
BEGIN
	IF v_id IS NOT NULL THEN
		UPDATE @extschema@.outbox o SET state = 'ready', run_at = now() WHERE o.id = v_id AND o.state = 'later';
		RETURN v_id;
	END IF;
	RETURN @extschema@.va_outbox_add(p_tenant, 'odoo.check', gen_random_uuid()::text);
END
$$;

-- Looks at a tenant's Odoo: version, transport, rights, and which fields of the mapping are missing; makes those that
-- are ours (x_...) when `create_fields` says so. Returns the id of the effect; what was found is in odoo_connections a
-- moment later. VA001: unknown tenant; VA005: it has no setting `odoo`.
CREATE FUNCTION @extschema@.va_odoo_check(tenant uuid) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	PERFORM @extschema@.va_assert_tenant(tenant);
	IF NOT EXISTS (SELECT FROM @extschema@.odoo_connections c WHERE c.tenant_id = tenant AND c.enabled) THEN
		RAISE EXCEPTION 'the tenant has no Odoo' USING ERRCODE = 'VA005', HINT = 'Set the key `odoo` of its settings: docs/providers/odoo.md.';
	END IF;
	RETURN @extschema@.va_odoo_ask(tenant);
END
$$;

-- The fields of crm.lead that a mapping needs, by our names.
CREATE FUNCTION @extschema@.va_odoo_fields(p_settings jsonb) RETURNS jsonb
	LANGUAGE sql STABLE
	RETURN (SELECT coalesce(jsonb_object_agg(m.key, CASE m.value #>> '{}' WHEN 'lead_name' THEN 'name' ELSE m.value #>> '{}' END), '{}')
		FROM jsonb_each(p_settings -> 'mapping') m WHERE m.value <> 'null');

-- Lists of names and ids. All of them soft: a user who may not read one of them still may send leads.
CREATE FUNCTION @extschema@.va_odoo_directory_steps() RETURNS jsonb
	LANGUAGE sql STABLE
	RETURN (SELECT jsonb_agg(@extschema@.va_odoo_step(l.name, 'value', l.model, 'search_read', NULL,
			jsonb_build_object('domain', '[]'::jsonb, 'fields', to_jsonb(l.fields), 'limit', 1000), '{"soft": true}') ORDER BY l.place)
		FROM (VALUES (1, 'stages', 'crm.stage', ARRAY['name', 'is_won']), (2, 'users', 'res.users', ARRAY['login', 'name']),
			(3, 'teams', 'crm.team', ARRAY['name']), (4, 'reasons', 'crm.lost.reason', ARRAY['name'])) AS l (place, name, model, fields));

-- The types of fields we make ourselves.
CREATE FUNCTION @extschema@.va_odoo_own_field(p_key text, p_field text) RETURNS jsonb
	LANGUAGE sql IMMUTABLE
	RETURN jsonb_build_object('name', p_field, 'state', 'manual', 'copied', false,
		'ttype', CASE p_key WHEN 'score' THEN 'float' WHEN 'transcript' THEN 'text' WHEN 'reference' THEN 'char' ELSE 'char' END,
		'field_description', CASE p_key WHEN 'score' THEN 'Lead score' WHEN 'transcript' THEN 'Call transcript' WHEN 'reference' THEN 'Voice agent reference'
			ELSE initcap(replace(substr(p_field, 3), '_', ' ')) END);

CREATE FUNCTION @extschema@.va_prepare_odoo_check(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	s jsonb;
	c @extschema@.odoo_connections;
	v_fields jsonb;
	v_names jsonb;
	v_steps jsonb := '[]';
	v_request jsonb;
	v_key text;
	v_field text;
BEGIN
	SELECT * INTO c FROM @extschema@.odoo_connections x WHERE x.tenant_id = o.tenant_id AND x.enabled;
	IF NOT FOUND THEN
		RETURN jsonb_build_object('skip', 'the tenant has no Odoo');
	END IF;
	SELECT @extschema@.va_odoo_settings(t.settings -> 'odoo') INTO s FROM @extschema@.tenants t WHERE t.id = o.tenant_id;
	v_fields := @extschema@.va_odoo_fields(s);
	IF s #>> '{rest,reference_field}' IS NOT NULL THEN
		v_fields := v_fields || jsonb_build_object('reference', s #>> '{rest,reference_field}');
	END IF;
	v_names := (SELECT jsonb_agg(DISTINCT f.value #>> '{}') FROM jsonb_each(v_fields) f) || '["won_status", "probability", "active", "lost_reason_id", "lost_reason", "partner_id"]';
	IF s ->> 'transport' = 'rest' THEN
		v_steps := jsonb_build_array(@extschema@.va_odoo_step('leads', NULL, 'crm.lead', 'search_read', NULL,
			'{"domain": [], "fields": ["id"], "limit": 1}', '{"soft": ["missing_method", "validation", "bad_value"]}'));
	ELSE
		v_steps := jsonb_build_array(@extschema@.va_odoo_step('fields', NULL, 'crm.lead', 'fields_get', NULL,
			jsonb_build_object('allfields', v_names, 'attributes', jsonb '["type", "relation", "readonly", "string"]')));
		IF (s ->> 'create_fields')::boolean THEN
			v_steps := v_steps || @extschema@.va_odoo_step('model', 'id', 'ir.model', 'search', NULL, '{"domain": [["model", "=", "crm.lead"]]}', '{"soft": true}');
			FOR v_key, v_field IN SELECT f.key, f.value #>> '{}' FROM jsonb_each(v_fields) f WHERE f.value #>> '{}' LIKE 'x\_%' ORDER BY f.key LOOP
				v_steps := v_steps || @extschema@.va_odoo_step('made', 'id', 'ir.model.fields', 'create', NULL,
					jsonb_build_object('vals_list', jsonb_build_array(@extschema@.va_odoo_own_field(v_key, v_field) || '{"model_id": {"$": "model"}}')),
					jsonb_build_object('if', 'model', 'unless', 'fields.' || v_field, 'soft', true));
			END LOOP;
			v_steps := v_steps || @extschema@.va_odoo_step('fields', NULL, 'crm.lead', 'fields_get', NULL,
				jsonb_build_object('allfields', v_names, 'attributes', jsonb '["type", "relation", "readonly", "string"]'), '{"if": "made"}');
		END IF;
		v_steps := v_steps || (SELECT jsonb_agg(@extschema@.va_odoo_step('may_' || r.name, NULL, r.model, r.method, r.ids,
				r.args, '{"soft": true}') ORDER BY r.name)
			FROM (SELECT x.name, x.model, 'check_access_rights' AS method, NULL::jsonb AS ids,
					jsonb_build_object('operation', x.operation, 'raise_exception', false) AS args
				  FROM (VALUES ('leads', 'crm.lead', 'create'), ('contacts', 'res.partner', 'create'), ('events', 'calendar.event', 'create'),
					('fields', 'ir.model.fields', 'create'), ('sources', 'utm.source', 'create')) AS x (name, model, operation)) r);
	END IF;
	v_request := @extschema@.va_odoo_request(o.tenant_id, v_steps || @extschema@.va_odoo_directory_steps());
	-- The transport is found anew each time, unless the tenant names one.
	RETURN jsonb_set(v_request, '{connection}', (v_request -> 'connection') - 'uid' - 'transport'
			|| CASE s ->> 'transport' WHEN 'auto' THEN '{}' ELSE jsonb_build_object('transport', s ->> 'transport') END)
		|| '{"probe": true}';
END
$$;

CREATE FUNCTION @extschema@.va_odoo_directory(p_old jsonb, p_values jsonb) RETURNS jsonb
	LANGUAGE sql IMMUTABLE
	RETURN coalesce(p_old, '{}') || coalesce((SELECT jsonb_object_agg(v.key, v.value) FROM jsonb_each(p_values) v
		WHERE v.key IN ('stages', 'users', 'teams', 'reasons') AND jsonb_typeof(v.value) = 'array'), '{}');

CREATE FUNCTION @extschema@.va_settle_odoo_check(o @extschema@.outbox, p_outcome text, p_result jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	s jsonb;
	v jsonb := coalesce(p_result -> 'values', '{}');
	v_fields jsonb := CASE WHEN jsonb_typeof(v -> 'fields') = 'object' THEN v -> 'fields' ELSE '{}' END;
	v_before text;
	v_error jsonb;
	v_lead uuid;
BEGIN
	IF p_outcome = 'skipped' OR p_outcome = 'unknown' THEN
		RETURN;
	END IF;
	SELECT c.state, c.error INTO v_before, v_error FROM @extschema@.odoo_connections c WHERE c.tenant_id = o.tenant_id FOR UPDATE;
	IF p_outcome <> 'done' THEN
		UPDATE @extschema@.odoo_connections c SET state = 'broken', uid = NULL, error = p_result - 'at' - 'final', checked_at = now()
		WHERE c.tenant_id = o.tenant_id;
		PERFORM @extschema@.va_emit(o.tenant_id, 'odoo.broken', NULL, NULL, p_result - 'at' - 'final');
		RETURN;
	END IF;
	SELECT @extschema@.va_odoo_settings(t.settings -> 'odoo') INTO s FROM @extschema@.tenants t WHERE t.id = o.tenant_id;
	UPDATE @extschema@.odoo_connections c SET state = 'ok', error = NULL, checked_at = now(), transport = p_result ->> 'transport',
		version = (@extschema@.va_number(p_result, 'version'))::integer, server_version = p_result ->> 'server_version',
		uid = (@extschema@.va_number(p_result, 'uid'))::integer, fields = v_fields,
		missing_fields = ARRAY(SELECT DISTINCT f.value #>> '{}' FROM jsonb_each(@extschema@.va_odoo_fields(s)) f
			WHERE v_fields <> '{}' AND NOT v_fields ? (f.value #>> '{}') ORDER BY 1),
		rights = coalesce((SELECT jsonb_object_agg(substr(x.key, 5), x.value = 'true') FROM jsonb_each(v) x WHERE x.key LIKE 'may\_%'), '{}'),
		warnings = coalesce(p_result -> 'warnings', '[]'),
		directory = @extschema@.va_odoo_directory(c.directory - 'names', v), directory_at = now(),
		pull_from = coalesce(c.pull_from, now())
	WHERE c.tenant_id = o.tenant_id;
	-- What failed because the connection was broken is tried again now.
	IF v_before = 'broken' THEN
		FOR v_lead IN SELECT l.id FROM @extschema@.leads l WHERE l.tenant_id = o.tenant_id AND l.odoo_sync_status = 'failed' ORDER BY l.id LOOP
			PERFORM @extschema@.va_odoo_want(o.tenant_id, 'odoo.lead', 'crm.lead', v_lead, v_lead);
		END LOOP;
		UPDATE @extschema@.leads l SET odoo_sync_status = 'pending' WHERE l.tenant_id = o.tenant_id AND l.odoo_sync_status = 'failed';
		PERFORM @extschema@.va_odoo_revive(o.tenant_id, NULL, ARRAY['access_denied', 'wrong_database', 'not_odoo', v_error ->> 'code']);
	END IF;
	PERFORM @extschema@.va_odoo_ensure_pull(o.tenant_id);
	PERFORM @extschema@.va_emit(o.tenant_id, 'odoo.checked', NULL, NULL, jsonb_build_object('transport', p_result ->> 'transport', 'version', p_result -> 'server_version'));
END
$$;
