-- What becomes of a lead, a call, a task, an appointment in Odoo: the triggers that notice, and the scripts.

-- ---- leads: values -------------------------------------------------------------------------------

-- The full transcripts of a lead's calls, the newest last, at most 400,000 characters of the end.
CREATE FUNCTION @extschema@.va_odoo_transcript(p_lead uuid) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT right(string_agg(
			format(E'%s, %s call, %s s\n', to_char(coalesce(c.started_at, c.created_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'),
				coalesce(c.direction, 'inbound'), coalesce(c.duration_seconds, 0)) || t.text, E'\n\n' ORDER BY coalesce(c.started_at, c.created_at), c.id), 400000)
		FROM @extschema@.calls c
		CROSS JOIN LATERAL (SELECT string_agg(format('%s: %s', CASE e ->> 'role' WHEN 'user' THEN 'Caller' ELSE 'Agent' END, e ->> 'text'), E'\n' ORDER BY n) AS text
							FROM jsonb_array_elements(c.transcript) WITH ORDINALITY AS x (e, n)) t
		WHERE c.lead_id = p_lead AND t.text IS NOT NULL);
END
$$;

-- What a salesperson wants to read first: the summary of the last call, what was found out, where it came from.
CREATE FUNCTION @extschema@.va_odoo_notes(l @extschema@.leads) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_summary text := (SELECT @extschema@.va_filled(c.transcript_summary) FROM @extschema@.calls c WHERE c.lead_id = l.id AND @extschema@.va_filled(c.transcript_summary) IS NOT NULL
					   ORDER BY coalesce(c.started_at, c.created_at) DESC LIMIT 1);
	v_facts text := (SELECT string_agg(format('<li>%s: %s</li>', @extschema@.va_odoo_html(initcap(replace(q.key, '_', ' '))), @extschema@.va_odoo_html(left(q.value, 500))), '' ORDER BY q.key)
					 FROM jsonb_each_text(CASE WHEN jsonb_typeof(l.qualification_data) = 'object' THEN l.qualification_data ELSE '{}' END) q
					 WHERE @extschema@.va_filled(q.value) IS NOT NULL);
BEGIN
	RETURN left(concat(
		'<p>' || @extschema@.va_odoo_html(left(v_summary, 5000)) || '</p>',
		'<ul>' || v_facts || '</ul>',
		'<p>' || @extschema@.va_odoo_html(concat_ws(', ', 'Source: ' || replace(l.source, '_', ' '), 'utm: ' || l.utm_source,
			'score ' || round(l.lead_score::numeric, 2)::text || ' (' || l.lead_temperature || ')')) || '</p>',
		CASE WHEN l.status = 'closed_lost' THEN '<p>Lost: ' || @extschema@.va_odoo_html(left(l.status_reason, 500)) || '</p>' END), 20000);
END
$$;

-- Our values by our names, plain; NULLs are left out, and so never erase anything there.
CREATE FUNCTION @extschema@.va_odoo_ours(l @extschema@.leads, s jsonb) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_person text := @extschema@.va_filled(concat_ws(' ', l.first_name, l.last_name));
	v_agent text := (SELECT coalesce(s -> 'users' ->> lower(h.email), lower(h.email)) FROM @extschema@.human_agents h WHERE h.id = l.assigned_to);
	v_custom jsonb := coalesce((SELECT jsonb_object_agg(m.key, CASE split_part(m.key, '.', 1) WHEN 'custom' THEN l.custom_fields ELSE l.qualification_data END
			-> substr(m.key, strpos(m.key, '.') + 1)) FROM jsonb_each(s -> 'mapping') m WHERE strpos(m.key, '.') > 0), '{}');
BEGIN
	RETURN jsonb_strip_nulls(v_custom || jsonb_build_object(
		'name', left(CASE WHEN v_person IS NOT NULL AND l.company_name IS NOT NULL THEN v_person || ' (' || l.company_name || ')'
			ELSE coalesce(v_person, l.company_name, l.phone, l.email, 'Lead ' || l.id) END, 200),
		'contact', v_person, 'phone', l.phone, 'email', l.email, 'company', l.company_name,
		'source', coalesce(@extschema@.va_filled(s ->> 'source'), initcap(replace(l.source, '_', ' '))),
		'campaign', l.utm_campaign,
		'stage', jsonb_build_object('status', coalesce(l.status, 'new'), 'stage', s -> 'stages' -> coalesce(l.status, 'new'),
			'reason', CASE WHEN l.status = 'closed_lost' THEN l.status_reason END),
		'priority', s -> 'priorities' ->> coalesce(l.lead_temperature, 'cold'),
		'notes', @extschema@.va_odoo_notes(l), 'user', coalesce(to_jsonb(v_agent), s -> 'lead_owner_id'), 'team', coalesce(s -> 'team', s -> 'sales_team_id'), 'score', round(l.lead_score::numeric, 4),
		'transcript', @extschema@.va_odoo_transcript(l.id),
		'tags', CASE WHEN coalesce(cardinality(l.tags), 0) + jsonb_array_length(s -> 'tags') > 0 THEN (
			SELECT jsonb_agg(DISTINCT t) FROM (SELECT to_jsonb(unnest(l.tags)) AS t UNION ALL SELECT jsonb_array_elements(s -> 'tags')) x) END));
END
$$;

-- What our names are there, when the server was not (or cannot be) asked for its fields.
CREATE FUNCTION @extschema@.va_odoo_usual_field(p_key text) RETURNS jsonb
	LANGUAGE sql IMMUTABLE
	RETURN CASE p_key WHEN 'source' THEN '{"type": "many2one", "relation": "utm.source"}' WHEN 'campaign' THEN '{"type": "many2one", "relation": "utm.campaign"}'
		WHEN 'stage' THEN '{"type": "many2one", "relation": "crm.stage"}' WHEN 'user' THEN '{"type": "many2one", "relation": "res.users"}'
		WHEN 'team' THEN '{"type": "many2one", "relation": "crm.team"}' WHEN 'tags' THEN '{"type": "many2many", "relation": "crm.tag"}'
		WHEN 'score' THEN '{"type": "float"}' WHEN 'notes' THEN '{"type": "html"}' ELSE '{"type": "char"}' END::jsonb;

-- The id of a name there. Numbers are ids. Stages, users, teams and reasons are in the directory; sources, campaigns,
-- tags and reasons are looked up when they are not known yet, and made when they are not there. steps: what has to
-- be done before; value: the id, a reference to what a step will find, or NULL when there is none.
CREATE FUNCTION @extschema@.va_odoo_id(p_directory jsonb, p_relation text, p_name jsonb, p_make boolean, OUT value jsonb, OUT steps jsonb)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_list text := CASE p_relation WHEN 'crm.stage' THEN 'stages' WHEN 'res.users' THEN 'users' WHEN 'crm.team' THEN 'teams' WHEN 'crm.lost.reason' THEN 'reasons' END;
	v_column text := CASE p_relation WHEN 'res.users' THEN 'login' ELSE 'name' END;
	v_alias text := 'name:' || replace(p_relation, '.', '_') || '/' || md5(lower(p_name #>> '{}'));
BEGIN
	steps := '[]';
	IF jsonb_typeof(p_name) = 'number' THEN
		value := p_name;
		RETURN;
	END IF;
	value := coalesce(
		(SELECT e -> 'id' FROM jsonb_array_elements(p_directory -> v_list) e WHERE lower(e ->> v_column) = lower(p_name #>> '{}') LIMIT 1),
		p_directory -> 'names' -> substr(v_alias, 6));
	IF value IS NULL AND p_make AND p_relation IN ('utm.source', 'utm.campaign', 'utm.medium', 'crm.tag', 'crm.lost.reason') THEN
		value := jsonb_build_object('$', v_alias);
		steps := jsonb_build_array(
			@extschema@.va_odoo_step(v_alias, 'id', p_relation, 'search_read', NULL, jsonb_build_object('domain', jsonb_build_array(
				jsonb_build_array('name', '=', p_name)), 'fields', jsonb '["id"]', 'limit', 1), '{"soft": true}'),
			@extschema@.va_odoo_step(v_alias, 'id', p_relation, 'create', NULL, jsonb_build_object('vals_list', jsonb_build_array(
				jsonb_build_object('name', p_name))), jsonb_build_object('unless', v_alias, 'soft', true)));
	END IF;
END
$$;

-- One value of ours as the field there wants it. NULL value: nothing fits, and why says what is missing.
CREATE FUNCTION @extschema@.va_odoo_value(p_directory jsonb, p_field jsonb, p_value jsonb, OUT value jsonb, OUT steps jsonb, OUT why text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_one jsonb;
	r record;
	v_text text := CASE WHEN jsonb_typeof(p_value) IN ('object', 'array') THEN p_value::text ELSE p_value #>> '{}' END;
BEGIN
	steps := '[]';
	CASE
		WHEN p_field ->> 'type' = 'many2one' THEN
			r := @extschema@.va_odoo_id(p_directory, p_field ->> 'relation', p_value, true);
			value := r.value;
			steps := r.steps;
			IF value IS NULL THEN
				why := format('Odoo has no %s "%s"', CASE p_field ->> 'relation' WHEN 'crm.stage' THEN 'stage' WHEN 'res.users' THEN 'user'
					WHEN 'crm.team' THEN 'team' ELSE p_field ->> 'relation' END, v_text);
			END IF;
		WHEN p_field ->> 'type' = 'many2many' THEN
			value := '[]';
			FOR v_one IN SELECT * FROM jsonb_array_elements(CASE WHEN jsonb_typeof(p_value) = 'array' THEN p_value ELSE jsonb_build_array(p_value) END) LOOP
				r := @extschema@.va_odoo_id(p_directory, p_field ->> 'relation', v_one, true);
				steps := steps || r.steps;
				IF r.value IS NOT NULL THEN
					value := value || jsonb_build_array(jsonb_build_array(4, r.value));
				END IF;
			END LOOP;
		WHEN p_field ->> 'type' IN ('float', 'integer', 'monetary') THEN
			value := CASE WHEN v_text ~ '^-?[0-9]{1,15}(\.[0-9]{1,9})?$' THEN
				to_jsonb(CASE p_field ->> 'type' WHEN 'integer' THEN trunc(v_text::numeric) ELSE v_text::numeric END) END;
			why := CASE WHEN value IS NULL THEN format('"%s" is no number', left(v_text, 40)) END;
		WHEN p_field ->> 'type' = 'boolean' THEN
			value := to_jsonb(lower(v_text) IN ('true', 'yes', '1'));
		ELSE
			value := to_jsonb(v_text);
	END CASE;
END
$$;

-- ---- leads: the script ---------------------------------------------------------------------------

-- The fields a lead is read with: those that people there may change and we take back, and those that stay theirs.
CREATE FUNCTION @extschema@.va_odoo_watched(c @extschema@.odoo_connections, s jsonb) RETURNS jsonb
	LANGUAGE sql STABLE
	RETURN (SELECT coalesce(jsonb_agg(DISTINCT x.field ORDER BY x.field), '[]') FROM (
			SELECT f.value #>> '{}' AS field FROM jsonb_each(@extschema@.va_odoo_fields(s)) f
			WHERE f.key IN ('name', 'notes', 'stage', 'user', 'email', 'phone', 'contact', 'company')
			UNION SELECT unnest(ARRAY['active', 'probability', 'won_status', 'lost_reason_id', 'lost_reason', 'partner_id'])) x
		WHERE (c).fields = '{}' AND x.field NOT IN ('won_status', 'lost_reason', 'lost_reason_id') OR (c).fields ? x.field);

-- Steps towards the stage of a lead: open, won, lost or archived. They are taken only while nobody there has moved the
-- lead since we last looked.
CREATE FUNCTION @extschema@.va_odoo_stage_steps(c @extschema@.odoo_connections, s jsonb, p_stage jsonb, p_base jsonb, OUT steps jsonb, OUT why text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_field text := @extschema@.va_odoo_fields(s) ->> 'stage';
	v_ids jsonb := '[{"$": "lead"}]';
	v_guard jsonb := CASE WHEN p_base = '{}' THEN '{}' ELSE jsonb_build_object('same', jsonb_build_object('as', 'row', 'base',
		jsonb_strip_nulls(jsonb_build_object(v_field, p_base -> v_field, 'active', p_base -> 'active')))) END;
	v_writes jsonb := jsonb_build_object('writes', jsonb_build_array(v_field, 'active', 'probability', 'won_status', 'lost_reason_id', 'lost_reason'));
	v_reason_field text := CASE WHEN (c).fields ? 'lost_reason_id' OR (c).fields = '{}' THEN 'lost_reason_id' ELSE 'lost_reason' END;
	v_vals jsonb;
	r record;
BEGIN
	steps := '[]';
	IF p_stage ->> 'status' = 'closed_won' AND (c).transport <> 'rest' THEN
		steps := jsonb_build_array(@extschema@.va_odoo_step(NULL, NULL, 'crm.lead', 'action_set_won', v_ids, '{}', v_guard || v_writes));
		RETURN;
	ELSIF p_stage ->> 'status' = 'closed_lost' THEN
		v_vals := '{"active": false, "probability": 0}';
		IF @extschema@.va_filled(p_stage ->> 'reason') IS NOT NULL THEN
			r := @extschema@.va_odoo_id((c).directory, 'crm.lost.reason', to_jsonb(left(p_stage ->> 'reason', 80)), (s ->> 'lost_reasons')::boolean);
			steps := r.steps;
			v_vals := v_vals || jsonb_strip_nulls(jsonb_build_object(v_reason_field, r.value));
		END IF;
	ELSIF p_stage ->> 'status' = 'archived' THEN
		v_vals := '{"active": false}';
	ELSE
		r := @extschema@.va_odoo_id((c).directory, 'crm.stage', p_stage -> 'stage', false);
		IF r.value IS NULL THEN
			why := format('Odoo has no stage "%s"', p_stage ->> 'stage');
			RETURN;
		END IF;
		v_vals := jsonb_build_object(v_field, r.value)
			|| CASE WHEN p_base -> 'active' = 'false' THEN jsonb_build_object('active', true, v_reason_field, false) ELSE '{}' END;
	END IF;
	steps := steps || @extschema@.va_odoo_step(NULL, NULL, 'crm.lead', 'write', v_ids, jsonb_build_object('vals', v_vals), v_guard || v_writes);
END
$$;

-- The values to send, and the steps that have to find ids for them. p_only: our names that have changed.
CREATE FUNCTION @extschema@.va_odoo_lead_values(c @extschema@.odoo_connections, s jsonb, p_ours jsonb, p_only text[],
		OUT vals jsonb, OUT steps jsonb, OUT whys text[])
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_key text;
	v_field text;
	v_type jsonb;
	r record;
BEGIN
	vals := '{}';
	steps := '[]';
	whys := '{}';
	FOR v_key, v_field IN SELECT f.key, f.value #>> '{}' FROM jsonb_each(@extschema@.va_odoo_fields(s)) f
						  WHERE f.key <> 'stage' AND f.key = ANY (p_only) AND p_ours ? f.key ORDER BY f.key LOOP
		CONTINUE WHEN (c).fields <> '{}' AND NOT (c).fields ? v_field;
		v_type := coalesce((c).fields -> v_field, @extschema@.va_odoo_usual_field(v_key));
		CONTINUE WHEN v_type -> 'readonly' = 'true';
		r := @extschema@.va_odoo_value((c).directory, v_type, p_ours -> v_key);
		steps := steps || r.steps;
		IF r.why IS NOT NULL THEN
			whys := whys || r.why;
		END IF;
		IF r.value IS NOT NULL AND r.value <> '[]' THEN
			vals := vals || jsonb_build_object(v_field, r.value);
		END IF;
	END LOOP;
END
$$;

CREATE FUNCTION @extschema@.va_prepare_odoo_lead(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_wait jsonb := @extschema@.va_odoo_turn(o, 'crm.lead');
	l @extschema@.leads;
	c @extschema@.odoo_connections;
	k @extschema@.odoo_links;
	s jsonb;
	v_ours jsonb;
	v_only text[];
	v record;
	g record;
	v_base jsonb;
BEGIN
	IF v_wait IS NOT NULL THEN
		RETURN v_wait;
	END IF;
	SELECT * INTO l FROM @extschema@.leads x WHERE x.id = @extschema@.va_odoo_record(o);
	SELECT * INTO c FROM @extschema@.odoo_connections x WHERE x.tenant_id = o.tenant_id;
	SELECT * INTO k FROM @extschema@.odoo_links x WHERE x.model = 'crm.lead' AND x.record_id = l.id;
	SELECT @extschema@.va_odoo_settings(t.settings -> 'odoo') INTO s FROM @extschema@.tenants t WHERE t.id = o.tenant_id;
	k.odoo_id := coalesce(l.odoo_lead_id, k.odoo_id);
	v_ours := @extschema@.va_odoo_ours(l, s);
	v_base := k.seen;
	v_only := ARRAY(SELECT x.key FROM jsonb_each(v_ours) x WHERE k.odoo_id IS NULL OR x.value IS DISTINCT FROM k.sent -> x.key);
	v := @extschema@.va_odoo_lead_values(c, s, v_ours, v_only);
	v.vals := v.vals - k.hands_off;
	IF k.odoo_id IS NULL AND c.transport <> 'rest' AND NOT v.vals ? 'user_id' AND s -> 'mapping' ->> 'user' = 'user_id' THEN
		v.vals := v.vals || '{"user_id": false}'; -- else Odoo makes us the owner
	END IF;
	SELECT '[]'::jsonb AS steps, NULL::text AS why INTO g;
	IF 'stage' = ANY (v_only) AND s -> 'mapping' ->> 'stage' IS NOT NULL THEN
		g := @extschema@.va_odoo_stage_steps(c, s, v_ours -> 'stage', v_base);
		v.steps := v.steps || coalesce((SELECT jsonb_agg(e) FROM jsonb_array_elements(g.steps) e WHERE e #>> '{call,method}' IN ('search_read', 'create')), '[]');
		v.whys := v.whys || g.why;
	END IF;
	UPDATE @extschema@.odoo_links x SET sending = v_ours WHERE x.model = 'crm.lead' AND x.record_id = l.id;
	v.whys := array_remove(v.whys, NULL);
	IF k.odoo_id IS NOT NULL AND v.vals = '{}' AND coalesce(g.steps, '[]') = '[]' THEN
		-- In step without a word said: else the lead would stay pending for ever.
		UPDATE @extschema@.odoo_links x SET synced_revision = greatest(x.synced_revision, x.sending_revision)
		WHERE x.model = 'crm.lead' AND x.record_id = l.id AND x.busy = o.id;
		UPDATE @extschema@.leads x SET odoo_sync_error = nullif(array_to_string(v.whys, '; '), '') WHERE x.id = l.id;
		RETURN jsonb_build_object('skip', coalesce(nullif(array_to_string(v.whys, '; '), ''), 'nothing that Odoo is told has changed'));
	END IF;
	UPDATE @extschema@.leads x SET odoo_sync_status = 'syncing', odoo_sync_error = nullif(array_to_string(v.whys, '; '), '')
	WHERE x.id = l.id AND (x.odoo_sync_status, x.odoo_sync_error) IS DISTINCT FROM ('syncing', nullif(array_to_string(v.whys, '; '), ''));
	-- "again": over REST, too, nothing is made twice, for the record is known or can be found by our reference.
	RETURN @extschema@.va_odoo_request(o.tenant_id, @extschema@.va_odoo_lead_steps(o, c, s, k, v.vals, v.steps,
		coalesce((SELECT jsonb_agg(e) FROM jsonb_array_elements(g.steps) e WHERE e #>> '{call,method}' NOT IN ('search_read', 'create')), '[]')))
		|| jsonb_build_object('again', k.odoo_id IS NOT NULL
			OR s #>> '{rest,reference_field}' IS NOT NULL AND coalesce((s #>> '{rest,search}')::boolean, true));
END
$$;

-- First the record, known or made; then the ids; then what is to be written, but for what people there have changed
-- in the meantime; then the record again, as it is now.
CREATE FUNCTION @extschema@.va_odoo_lead_steps(o @extschema@.outbox, c @extschema@.odoo_connections, s jsonb, k @extschema@.odoo_links,
		p_vals jsonb, p_find jsonb, p_stage jsonb) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_watched jsonb := @extschema@.va_odoo_watched(c, s);
	v_reference text := s #>> '{rest,reference_field}';
	v_ids jsonb := '[{"$": "lead"}]';
	v_rest boolean := c.transport = 'rest';
	v_search boolean := NOT v_rest OR coalesce((s #>> '{rest,search}')::boolean, true);
	v_guard jsonb := CASE WHEN k.seen = '{}' THEN '{}' ELSE jsonb_build_object('keep', jsonb_build_object('as', 'row', 'base', k.seen)) END;
	v_gone jsonb := jsonb_build_object('need', jsonb_build_object('code', 'missing_record', 'text', 'The lead was deleted in Odoo',
		'hint', 'va_odoo_forget(lead) makes a new one at the next change; leave it and nothing more is sent.'));
	v_read jsonb := @extschema@.va_odoo_step('row', 'row', 'crm.lead', 'search_read', NULL, jsonb_build_object('domain',
		jsonb_build_array(jsonb_build_array('id', '=', jsonb '{"$": "lead"}'), jsonb '["active", "in", [true, false]]'), 'fields', v_watched, 'limit', 1));
	v_steps jsonb;
BEGIN
	IF k.odoo_id IS NOT NULL THEN
		v_steps := jsonb_build_array(jsonb_build_object('as', 'lead', 'value', k.odoo_id));
		IF v_search THEN
			v_steps := v_steps || (v_read || CASE WHEN v_rest THEN '{"soft": true}' ELSE v_gone END);
		END IF;
	ELSIF NOT v_rest THEN
		v_steps := jsonb_build_array(@extschema@.va_odoo_load('lead', 'crm.lead', 'lead_' || @extschema@.va_odoo_record(o),
			jsonb_build_object('name', p_vals -> 'name', 'type', s -> 'type')));
	ELSE
		v_steps := '[]';
		IF v_reference IS NOT NULL AND v_search THEN
			p_vals := p_vals || jsonb_build_object(v_reference, @extschema@.va_odoo_record(o));
			v_steps := v_steps || @extschema@.va_odoo_step('lead', 'id', 'crm.lead', 'search_read', NULL, jsonb_build_object('domain',
				jsonb_build_array(jsonb_build_array(v_reference, '=', @extschema@.va_odoo_record(o)), jsonb '["active", "in", [true, false]]'),
				'fields', jsonb '["id"]', 'limit', 1), CASE WHEN o.attempts <= 1 THEN '{"soft": ["missing_method", "bad_value"]}' ELSE '{}' END::jsonb);
		END IF;
	END IF;
	v_steps := v_steps || p_find;
	IF v_rest AND k.odoo_id IS NULL THEN
		v_steps := v_steps || @extschema@.va_odoo_step('made', 'id', 'crm.lead', 'create', NULL, jsonb_build_object('vals_list',
			jsonb_build_array(p_vals || jsonb_build_object('type', s -> 'type'))), '{"unless": "lead"}')
			|| '{"as": "lead", "if": "made", "value": {"$": "made"}}'::jsonb
			|| jsonb_build_object('as', 'lead', 'value', jsonb '{"$": "lead"}', 'need', jsonb_build_object('code', 'garbage',
				'text', 'The gateway does not say which record it made', 'hint', 'Its answer must hold the id: see docs/providers/odoo.md.'));
	ELSIF p_vals <> '{}' THEN
		v_steps := v_steps || @extschema@.va_odoo_step(NULL, NULL, 'crm.lead', 'write', v_ids, jsonb_build_object('vals', p_vals), v_guard);
	END IF;
	v_steps := v_steps || p_stage;
	IF v_search THEN
		v_steps := v_steps || (v_read || '{"as": "after", "soft": true}');
	END IF;
	RETURN v_steps;
END
$$;

CREATE FUNCTION @extschema@.va_settle_odoo_lead(o @extschema@.outbox, p_outcome text, p_result jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead uuid := @extschema@.va_odoo_record(o);
	v_id integer := (@extschema@.va_number(p_result -> 'values', 'lead'))::integer;
	v_more boolean;
	v_words text;
BEGIN
	PERFORM FROM @extschema@.leads l WHERE l.id = v_lead FOR NO KEY UPDATE;
	PERFORM @extschema@.va_odoo_heard(o.tenant_id, p_outcome, p_result);
	IF p_outcome = 'done' THEN
		PERFORM @extschema@.va_odoo_seen(v_lead, v_id, p_result -> 'values' -> 'after', p_result -> 'written');
		PERFORM @extschema@.va_odoo_revive(o.tenant_id, v_lead, '{lead_failed}'); -- what could not be sent without it
	END IF;
	v_more := @extschema@.va_odoo_settled(o, 'crm.lead', p_outcome, v_id);
	v_words := CASE
		WHEN p_outcome = 'done' THEN (SELECT string_agg(w ->> 'text', '; ') FROM jsonb_array_elements(
			CASE WHEN jsonb_typeof(p_result -> 'warnings') = 'array' THEN p_result -> 'warnings' ELSE '[]' END) w WHERE w ->> 'as' LIKE 'name:%')
		WHEN p_outcome = 'unknown' THEN 'No answer came: whether Odoo has it is being looked at.'
		WHEN p_outcome IN ('failed', 'dead') THEN concat_ws(' ', rtrim(coalesce(p_result ->> 'text', p_result ->> 'code'), '.') || '.', p_result ->> 'hint')
	END;
	UPDATE @extschema@.leads l SET
		odoo_lead_id = coalesce(v_id, l.odoo_lead_id),
		odoo_sync_status = CASE WHEN p_outcome IN ('failed', 'dead') THEN 'failed' WHEN p_outcome = 'unknown' THEN 'syncing'
			WHEN p_outcome = 'skipped' AND NOT EXISTS (SELECT FROM @extschema@.odoo_connections c WHERE c.tenant_id = o.tenant_id AND c.enabled) THEN 'disabled'
			WHEN v_more THEN 'pending' WHEN l.odoo_lead_id IS NULL AND v_id IS NULL THEN l.odoo_sync_status ELSE 'synced' END,
		odoo_last_sync = CASE WHEN p_outcome = 'done' THEN now() ELSE l.odoo_last_sync END,
		odoo_sync_error = CASE WHEN p_outcome = 'done' THEN nullif(concat_ws('; ', l.odoo_sync_error, v_words), '')
			WHEN p_outcome = 'skipped' THEN l.odoo_sync_error ELSE left(v_words, 1000) END
	WHERE l.id = v_lead;
	IF p_outcome = 'failed' AND p_result ->> 'code' = 'missing_record'
	   AND (SELECT t.settings -> 'odoo' ->> 'on_deleted' FROM @extschema@.tenants t WHERE t.id = o.tenant_id) = 'recreate' THEN
		PERFORM @extschema@.va_odoo_unlink(v_lead);
		PERFORM @extschema@.va_odoo_want(o.tenant_id, 'odoo.lead', 'crm.lead', v_lead, v_lead);
		UPDATE @extschema@.leads l SET odoo_sync_status = 'pending' WHERE l.id = v_lead;
	END IF;
END
$$;

-- Forgets which record a lead is there. (Odoo removes the external id of a record with the record itself.)
CREATE FUNCTION @extschema@.va_odoo_unlink(p_lead uuid) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.odoo_links k SET odoo_id = NULL, gone_at = NULL, sent = '{}', seen = '{}', sending = NULL, hands_off = '{}'
	WHERE k.model = 'crm.lead' AND k.record_id = p_lead;
	UPDATE @extschema@.leads l SET odoo_lead_id = NULL WHERE l.id = p_lead;
END
$$;

-- ---- contacts ------------------------------------------------------------------------------------

-- Finds the lead's person among the contacts, by e-mail and by number, else makes one; bound to "contact".
CREATE FUNCTION @extschema@.va_odoo_contact_steps(c @extschema@.odoo_connections, l @extschema@.leads) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_id integer := (SELECT k.odoo_id FROM @extschema@.odoo_links k WHERE k.model = 'res.partner' AND k.record_id = l.id);
	v_vals jsonb := jsonb_strip_nulls(jsonb_build_object('name', coalesce(@extschema@.va_filled(concat_ws(' ', l.first_name, l.last_name)), l.company_name, l.phone, l.email),
		'email', l.email, 'phone', l.phone));
	v_steps jsonb := '[]';
BEGIN
	IF v_id IS NOT NULL THEN
		RETURN jsonb_build_array(jsonb_build_object('as', 'contact', 'value', v_id));
	ELSIF v_vals ->> 'name' IS NULL THEN
		RETURN '[]';
	END IF;
	IF l.email IS NOT NULL THEN
		v_steps := v_steps || @extschema@.va_odoo_step('contact', 'id', 'res.partner', 'search_read', NULL, jsonb_build_object('domain',
			jsonb_build_array(jsonb_build_array(CASE c.transport WHEN 'rest' THEN 'email' ELSE 'email_normalized' END, '=', lower(l.email))), 'fields', jsonb '["id"]', 'limit', 1), '{"soft": true}');
	END IF;
	IF l.phone IS NOT NULL THEN
		v_steps := v_steps || @extschema@.va_odoo_step('contact', 'id', 'res.partner', 'search_read', NULL, jsonb_build_object('domain',
			jsonb_build_array(jsonb_build_array('phone', '=', l.phone)), 'fields', jsonb '["id"]', 'limit', 1), '{"soft": true, "unless": "contact"}');
	END IF;
	RETURN v_steps || CASE c.transport WHEN 'rest'
		THEN @extschema@.va_odoo_step('contact', 'id', 'res.partner', 'create', NULL, jsonb_build_object('vals_list', jsonb_build_array(v_vals)), '{"unless": "contact"}')
		ELSE @extschema@.va_odoo_load('contact', 'res.partner', 'contact_' || l.id, v_vals, '{"unless": "contact"}') END;
END
$$;

-- Where a record of a lead cannot be sent before the lead itself is there: until then.
CREATE FUNCTION @extschema@.va_odoo_after_lead(p_lead uuid) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	l @extschema@.leads;
BEGIN
	SELECT * INTO l FROM @extschema@.leads x WHERE x.id = p_lead;
	IF l.odoo_lead_id IS NULL AND l.odoo_sync_status = 'failed' THEN
		-- What fails for its lead is tried again once that has arrived (va_settle_odoo_lead, which locks the lead too): so
		-- one of the two sees the other.
		SELECT * INTO l FROM @extschema@.leads x WHERE x.id = p_lead FOR NO KEY UPDATE SKIP LOCKED;
		IF NOT FOUND THEN
			RETURN jsonb_build_object('defer', now() + interval '1 second', 'why', 'the lead is being changed at this moment');
		END IF;
	END IF;
	IF l.id IS NULL THEN
		RETURN jsonb_build_object('skip', 'the lead is gone');
	ELSIF l.odoo_lead_id IS NOT NULL THEN
		RETURN NULL;
	ELSIF l.odoo_sync_status = 'disabled' THEN
		RETURN jsonb_build_object('skip', 'the lead is not sent to Odoo');
	ELSIF l.odoo_sync_status = 'failed' AND NOT EXISTS (SELECT FROM @extschema@.odoo_links k JOIN @extschema@.outbox o ON o.id = k.wanted
			WHERE k.model = 'crm.lead' AND k.record_id = p_lead) THEN
		RETURN jsonb_build_object('fail', jsonb_build_object('code', 'lead_failed', 'text', 'The lead itself could not be sent to Odoo',
			'hint', concat_ws(' ', l.odoo_sync_error, 'Once the lead has arrived, this follows by itself; va_odoo_push(lead) sends the lead again.')));
	END IF;
	RETURN jsonb_build_object('defer', now() + interval '3 seconds', 'why', 'the lead comes first');
END
$$;

CREATE FUNCTION @extschema@.va_prepare_odoo_contact(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_wait jsonb := coalesce(@extschema@.va_odoo_after_lead(o.lead_id), @extschema@.va_odoo_turn(o, 'res.partner'));
	l @extschema@.leads;
	c @extschema@.odoo_connections;
BEGIN
	IF v_wait IS NOT NULL THEN
		RETURN v_wait;
	END IF;
	SELECT * INTO l FROM @extschema@.leads x WHERE x.id = o.lead_id;
	SELECT * INTO c FROM @extschema@.odoo_connections x WHERE x.tenant_id = o.tenant_id;
	RETURN @extschema@.va_odoo_request(o.tenant_id, @extschema@.va_odoo_contact_steps(c, l)
		|| @extschema@.va_odoo_step(NULL, NULL, 'crm.lead', 'write', jsonb_build_array(l.odoo_lead_id),
			'{"vals": {"partner_id": {"$": "contact"}}}', '{"if": "contact"}'));
END
$$;

CREATE FUNCTION @extschema@.va_settle_odoo_contact(o @extschema@.outbox, p_outcome text, p_result jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_odoo_heard(o.tenant_id, p_outcome, p_result);
	PERFORM @extschema@.va_odoo_settled(o, 'res.partner', p_outcome, (@extschema@.va_number(p_result -> 'values', 'contact'))::integer);
END
$$;

-- ---- notes ---------------------------------------------------------------------------------------

-- A call as a note: when, how long, how it ended, summary, score, and all that was said.
CREATE FUNCTION @extschema@.va_odoo_call_note(p_call @extschema@.calls, l @extschema@.leads) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN concat(
		format('<p><b>%s call</b>, %s, %s s%s</p>', initcap(coalesce(p_call.direction, 'inbound')),
			to_char(coalesce(p_call.started_at, p_call.created_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'), coalesce(p_call.duration_seconds, 0),
			', ' || @extschema@.va_odoo_html(replace(p_call.outcome, '_', ' '))),
		'<p>' || @extschema@.va_odoo_html(@extschema@.va_filled(p_call.transcript_summary)) || '</p>',
		format('<p>Score %s (%s)</p>', round(coalesce(l.lead_score, 0)::numeric, 2), coalesce(l.lead_temperature, 'cold')),
		(SELECT '<p>' || string_agg(format('<b>%s:</b> %s', CASE e ->> 'role' WHEN 'user' THEN 'Caller' ELSE 'Agent' END,
			@extschema@.va_odoo_html(e ->> 'text')), '<br/>' ORDER BY n) || '</p>'
		 FROM jsonb_array_elements(p_call.transcript) WITH ORDINALITY AS x (e, n)));
END
$$;

-- Odoo has no upsert for notes. They have a Message-ID, though, which we give: what was posted is found by it.
CREATE FUNCTION @extschema@.va_prepare_odoo_note(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_wait jsonb := coalesce(@extschema@.va_odoo_after_lead(o.lead_id), @extschema@.va_odoo_turn(o, 'mail.message'));
	v_call @extschema@.calls;
	l @extschema@.leads;
	c @extschema@.odoo_connections;
	v_reference text := format('<voiceagent-call-%s@voiceagent>', o.call_id);
BEGIN
	IF v_wait IS NOT NULL THEN
		RETURN v_wait;
	END IF;
	SELECT * INTO v_call FROM @extschema@.calls x WHERE x.id = o.call_id;
	SELECT * INTO l FROM @extschema@.leads x WHERE x.id = v_call.lead_id;
	SELECT * INTO c FROM @extschema@.odoo_connections x WHERE x.tenant_id = o.tenant_id;
	IF l.id IS NULL THEN
		RETURN jsonb_build_object('skip', 'the call has no lead any more');
	ELSIF c.transport = 'rest' THEN
		RETURN jsonb_build_object('skip', 'the REST gateway has no notes: the transcript is in a field of the lead');
	END IF;
	RETURN @extschema@.va_odoo_request(o.tenant_id, jsonb_build_array(
		@extschema@.va_odoo_step('note', 'id', 'mail.message', 'search_read', NULL, jsonb_build_object('domain', jsonb_build_array(
			jsonb_build_array('message_id', '=', v_reference)), 'fields', jsonb '["id"]', 'limit', 1)),
		@extschema@.va_odoo_step('note', 'id', 'crm.lead', 'message_post', jsonb_build_array(l.odoo_lead_id), jsonb_build_object(
			'body', @extschema@.va_odoo_call_note(v_call, l), 'message_type', 'comment', 'subtype_xmlid', 'mail.mt_note', 'message_id', v_reference)
			|| CASE WHEN coalesce(c.version, 19) >= 17 THEN '{"body_is_html": true}' ELSE '{}' END::jsonb, '{"unless": "note"}')));
END
$$;

CREATE FUNCTION @extschema@.va_settle_odoo_note(o @extschema@.outbox, p_outcome text, p_result jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_odoo_heard(o.tenant_id, p_outcome, p_result);
	PERFORM @extschema@.va_odoo_settled(o, 'mail.message', p_outcome, (@extschema@.va_number(p_result -> 'values', 'note'))::integer);
END
$$;

-- ---- activities ----------------------------------------------------------------------------------

-- An activity on a lead, by external id: made, moved, done (with its feedback) or taken away.
CREATE FUNCTION @extschema@.va_odoo_activity_steps(c @extschema@.odoo_connections, p_lead integer, p_reference text, p_id integer, p_type text,
		p_summary text, p_note text, p_day date, p_user jsonb, p_end text, p_feedback text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_vals jsonb := jsonb_build_object('summary', left(p_summary, 200), 'date_deadline', p_day, 'note', '<p>' || @extschema@.va_odoo_html(p_note) || '</p>');
	v_ids jsonb := '[{"$": "activity"}]';
BEGIN
	IF p_end IS NOT NULL THEN
		IF p_id IS NULL THEN
			RETURN '[]';
		ELSIF c.transport = 'rest' THEN
			RETURN jsonb_build_array(@extschema@.va_odoo_step(NULL, NULL, 'mail.activity', 'unlink', jsonb_build_array(p_id), '{}', '{"soft": true}'));
		END IF;
		-- Whoever has done or removed it there already was first.
		RETURN jsonb_build_array(
			@extschema@.va_odoo_step('activity', 'id', 'mail.activity', 'search_read', NULL, jsonb_build_object('domain', jsonb_build_array(
				jsonb_build_array('id', '=', p_id)), 'fields', jsonb '["id"]', 'limit', 1)),
			@extschema@.va_odoo_step(NULL, NULL, 'mail.activity', CASE p_end WHEN 'done' THEN 'action_feedback' ELSE 'unlink' END, v_ids,
				CASE p_end WHEN 'done' THEN jsonb_strip_nulls(jsonb_build_object('feedback', p_feedback)) ELSE '{}' END, '{"if": "activity"}'));
	END IF;
	IF c.transport = 'rest' THEN
		v_vals := jsonb_strip_nulls(v_vals || jsonb_build_object('res_model', 'crm.lead', 'res_id', p_lead, 'user_id', p_user,
			'activity_type_id', CASE p_type WHEN 'email' THEN 1 WHEN 'call' THEN 2 WHEN 'meeting' THEN 3 ELSE 4 END));
		RETURN jsonb_build_array(CASE WHEN p_id IS NULL
			THEN @extschema@.va_odoo_step('activity', 'id', 'mail.activity', 'create', NULL, jsonb_build_object('vals_list', jsonb_build_array(v_vals)))
			ELSE @extschema@.va_odoo_step(NULL, NULL, 'mail.activity', 'write', jsonb_build_array(p_id), jsonb_build_object('vals', v_vals - 'res_model' - 'res_id')) END);
	END IF;
	RETURN jsonb_build_array(@extschema@.va_odoo_load('activity', 'mail.activity', p_reference,
		v_vals || jsonb_build_object('res_id', p_lead, 'activity_type_id/id', 'mail.mail_activity_data_' || p_type)
			|| CASE WHEN jsonb_typeof(p_user) = 'number' THEN jsonb_build_object('user_id/.id', p_user) ELSE '{}' END,
		'{"context": {"default_res_model": "crm.lead"}}'));
END
$$;

CREATE FUNCTION @extschema@.va_odoo_agent(c @extschema@.odoo_connections, p_tenant uuid, p_agent uuid) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT r.value FROM @extschema@.human_agents h JOIN @extschema@.tenants t ON t.id = p_tenant
		CROSS JOIN LATERAL @extschema@.va_odoo_id((c).directory, 'res.users', to_jsonb(coalesce(t.settings #>> ARRAY['odoo', 'users', lower(h.email)], h.email)), false) r
		WHERE h.id = p_agent);
END
$$;

CREATE FUNCTION @extschema@.va_prepare_odoo_activity(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_wait jsonb := coalesce(@extschema@.va_odoo_after_lead(o.lead_id), @extschema@.va_odoo_turn(o, 'mail.activity'));
	t @extschema@.follow_up_tasks;
	c @extschema@.odoo_connections;
	v_id integer;
	v_steps jsonb;
BEGIN
	IF v_wait IS NOT NULL THEN
		RETURN v_wait;
	END IF;
	SELECT * INTO t FROM @extschema@.follow_up_tasks x WHERE x.id = @extschema@.va_odoo_record(o);
	SELECT * INTO c FROM @extschema@.odoo_connections x WHERE x.tenant_id = o.tenant_id;
	SELECT k.odoo_id INTO v_id FROM @extschema@.odoo_links k WHERE k.model = 'mail.activity' AND k.record_id = @extschema@.va_odoo_record(o);
	v_steps := @extschema@.va_odoo_activity_steps(c, (SELECT l.odoo_lead_id FROM @extschema@.leads l WHERE l.id = o.lead_id), 'task_' || @extschema@.va_odoo_record(o), v_id,
		CASE WHEN t.task_type IN ('call', 'email', 'meeting') THEN t.task_type ELSE 'todo' END, coalesce(t.title, 'Follow up'), coalesce(t.description, ''),
		(t.scheduled_for AT TIME ZONE 'UTC')::date, @extschema@.va_odoo_agent(c, o.tenant_id, t.assigned_to),
		CASE WHEN t.status = 'completed' THEN 'done' WHEN t.id IS NULL OR t.status NOT IN ('pending', 'in_progress') THEN 'away' END, t.result ->> 'notes');
	RETURN CASE WHEN v_steps = '[]' THEN jsonb_build_object('skip', 'it was over before Odoo knew of it')
		ELSE @extschema@.va_odoo_request(o.tenant_id, v_steps) END;
END
$$;

CREATE FUNCTION @extschema@.va_settle_odoo_activity(o @extschema@.outbox, p_outcome text, p_result jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_odoo_heard(o.tenant_id, p_outcome, p_result);
	PERFORM @extschema@.va_odoo_settled(o, 'mail.activity', p_outcome, (@extschema@.va_number(p_result -> 'values', 'activity'))::integer);
END
$$;

-- ---- meetings ------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_odoo_event_values(a @extschema@.appointments) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN jsonb_build_object('name', a.title, 'start', @extschema@.va_odoo_time(a.scheduled_at),
		'stop', @extschema@.va_odoo_time(a.scheduled_at + make_interval(mins => a.duration_minutes)),
		'location', concat_ws(', ', a.location, a.meeting_link),
		'description', '<p>' || @extschema@.va_odoo_html(concat_ws(E'\n', a.description, a.notes)) || '</p>');
END
$$;

-- The event, its attendees, its reminders, and an activity on the lead. Odoo mails nobody: the invitations are ours.
CREATE FUNCTION @extschema@.va_odoo_event_steps(c @extschema@.odoo_connections, s jsonb, a @extschema@.appointments, l @extschema@.leads) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_user jsonb := @extschema@.va_odoo_agent(c, a.tenant_id, a.assigned_agent_id);
	v_vals jsonb := @extschema@.va_odoo_event_values(a);
	v_quiet jsonb := '{"context": {"no_mail_to_attendees": true, "dont_notify": true}}';
	v_ids jsonb := '[{"$": "event"}]';
	v_over boolean := a.status = 'cancelled';
	v_reminders jsonb := (SELECT coalesce(jsonb_agg(r::integer), '[]') FROM jsonb_array_elements_text(s -> 'reminders') r);
	v_steps jsonb := '[]';
BEGIN
	IF NOT v_over AND (s ->> 'contacts')::boolean THEN
		v_steps := @extschema@.va_odoo_contact_steps(c, l);
	END IF;
	IF c.transport = 'rest' THEN
		v_vals := v_vals || jsonb_strip_nulls(jsonb_build_object('reminder_ids', v_reminders)) || '{"partner_ids": [{"$": "contact"}]}';
		RETURN v_steps || CASE WHEN a.odoo_event_id IS NULL AND v_over THEN '[]'
			WHEN v_over THEN jsonb_build_array(@extschema@.va_odoo_step(NULL, NULL, 'calendar.event', 'unlink', jsonb_build_array(a.odoo_event_id), '{}', '{"soft": ["missing_record"]}'))
			WHEN a.odoo_event_id IS NULL THEN jsonb_build_array(@extschema@.va_odoo_step('event', 'id', 'calendar.event', 'create', NULL, jsonb_build_object('vals_list', jsonb_build_array(v_vals))))
			ELSE jsonb_build_array(@extschema@.va_odoo_step(NULL, NULL, 'calendar.event', 'write', jsonb_build_array(a.odoo_event_id), jsonb_build_object('vals', v_vals))) END;
	END IF;
	IF v_over THEN
		IF a.odoo_event_id IS NOT NULL THEN
			v_steps := v_steps || @extschema@.va_odoo_step(NULL, NULL, 'calendar.event', 'write', jsonb_build_array(a.odoo_event_id),
				'{"vals": {"active": false}}', v_quiet || '{"soft": ["missing_record"]}');
		END IF;
	ELSE
		v_steps := v_steps
			|| @extschema@.va_odoo_load('event', 'calendar.event', 'appointment_' || a.id, v_vals || jsonb_build_object('opportunity_id/.id', l.odoo_lead_id)
				|| CASE WHEN jsonb_typeof(v_user) = 'number' THEN jsonb_build_object('user_id/.id', v_user) ELSE '{}' END, v_quiet)
			|| @extschema@.va_odoo_step('alarms', NULL, 'calendar.alarm', 'search', NULL, jsonb_build_object('domain', jsonb_build_array(
				jsonb '["alarm_type", "=", "notification"]', jsonb_build_array('duration_minutes', 'in', v_reminders))), '{"soft": true}')
			|| @extschema@.va_odoo_step(NULL, NULL, 'calendar.event', 'write', v_ids,
				'{"vals": {"partner_ids": [[4, {"$": "contact"}]]}}', v_quiet || '{"if": "contact"}')
			|| @extschema@.va_odoo_step(NULL, NULL, 'calendar.event', 'write', v_ids,
				'{"vals": {"alarm_ids": [[6, 0, {"$": "alarms"}]]}}', v_quiet || '{"if": "alarms", "soft": true}');
	END IF;
	IF (s ->> 'meeting_activities')::boolean THEN
		v_steps := v_steps || @extschema@.va_odoo_activity_steps(c, l.odoo_lead_id, 'meeting_' || a.id, a.odoo_activity_id, 'meeting', a.title,
			concat_ws(E'\n', a.location, a.meeting_link, a.notes), (a.scheduled_at AT TIME ZONE coalesce(a.timezone, 'UTC'))::date, v_user,
			CASE a.status WHEN 'completed' THEN 'done' WHEN 'cancelled' THEN 'away' WHEN 'no_show' THEN 'away' END, a.outcome);
	END IF;
	RETURN v_steps;
END
$$;

CREATE FUNCTION @extschema@.va_prepare_odoo_event(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_wait jsonb := coalesce(@extschema@.va_odoo_after_lead(o.lead_id), @extschema@.va_odoo_turn(o, 'calendar.event'));
	a @extschema@.appointments;
	l @extschema@.leads;
	c @extschema@.odoo_connections;
	s jsonb;
	v_steps jsonb;
BEGIN
	IF v_wait IS NOT NULL THEN
		RETURN v_wait;
	END IF;
	SELECT * INTO a FROM @extschema@.appointments x WHERE x.id = @extschema@.va_odoo_record(o);
	SELECT * INTO l FROM @extschema@.leads x WHERE x.id = a.lead_id;
	SELECT * INTO c FROM @extschema@.odoo_connections x WHERE x.tenant_id = o.tenant_id;
	SELECT @extschema@.va_odoo_settings(t.settings -> 'odoo') INTO s FROM @extschema@.tenants t WHERE t.id = o.tenant_id;
	IF l.id IS NULL THEN
		RETURN jsonb_build_object('skip', 'the appointment or its lead is gone');
	END IF;
	v_steps := @extschema@.va_odoo_event_steps(c, s, a, l);
	RETURN CASE WHEN v_steps = '[]' THEN jsonb_build_object('skip', 'it was cancelled before Odoo knew of it')
		ELSE @extschema@.va_odoo_request(o.tenant_id, v_steps) END;
END
$$;

CREATE FUNCTION @extschema@.va_settle_odoo_event(o @extschema@.outbox, p_outcome text, p_result jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v jsonb := p_result -> 'values';
	v_contact integer := (@extschema@.va_number(v, 'contact'))::integer;
BEGIN
	PERFORM @extschema@.va_odoo_heard(o.tenant_id, p_outcome, p_result);
	PERFORM @extschema@.va_odoo_settled(o, 'calendar.event', p_outcome, (@extschema@.va_number(v, 'event'))::integer);
	IF p_outcome = 'done' THEN
		UPDATE @extschema@.appointments a SET odoo_event_id = coalesce((@extschema@.va_number(v, 'event'))::integer, a.odoo_event_id),
			odoo_activity_id = coalesce((@extschema@.va_number(v, 'activity'))::integer, a.odoo_activity_id)
		WHERE a.id = @extschema@.va_odoo_record(o);
		IF v_contact IS NOT NULL THEN
			INSERT INTO @extschema@.odoo_links (model, record_id, tenant_id, lead_id, odoo_id) VALUES ('res.partner', o.lead_id, o.tenant_id, o.lead_id, v_contact)
			ON CONFLICT (model, record_id) DO UPDATE SET odoo_id = coalesce(odoo_links.odoo_id, excluded.odoo_id);
		END IF;
	END IF;
END
$$;

INSERT INTO @extschema@.outbox_kinds (kind, description, prepare, settle, repeatable, reconcile, lane, max_attempts, timeout_ms, is_builtin) VALUES
	('odoo.check', 'looks at a tenant''s Odoo', 'va_prepare_odoo_check', 'va_settle_odoo_check', true, 'listing', 'bulk', 4, 120000, true),
	('odoo.lead', 'brings a lead to Odoo', 'va_prepare_odoo_lead', 'va_settle_odoo_lead', false, 'listing', 'bulk', 8, 120000, true),
	('odoo.contact', 'brings a lead''s person to Odoo''s contacts', 'va_prepare_odoo_contact', 'va_settle_odoo_contact', false, 'listing', 'bulk', 8, 60000, true),
	('odoo.note', 'writes a call on the lead in Odoo', 'va_prepare_odoo_note', 'va_settle_odoo_note', false, 'listing', 'bulk', 8, 60000, true),
	('odoo.activity', 'brings a person''s task to Odoo', 'va_prepare_odoo_activity', 'va_settle_odoo_activity', false, 'listing', 'bulk', 8, 60000, true),
	('odoo.event', 'brings an appointment to Odoo''s calendar', 'va_prepare_odoo_event', 'va_settle_odoo_event', false, 'listing', 'bulk', 8, 120000, true),
	('odoo.pull', 'asks Odoo what has changed there', 'va_prepare_odoo_pull', 'va_settle_odoo_pull', true, 'listing', 'bulk', 4, 120000, true);

-- ---- what is noticed -----------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_odoo_enabled(p_tenant uuid) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN EXISTS (SELECT FROM @extschema@.odoo_connections c WHERE c.tenant_id = p_tenant AND c.enabled);
END
$$;

-- Is this session bringing changes from Odoo into our tables? These do not go out again.
CREATE FUNCTION @extschema@.va_odoo_is_back() RETURNS boolean
	LANGUAGE sql STABLE
	RETURN coalesce(current_setting('va_odoo.back', true), '') = 'on';

CREATE FUNCTION @extschema@.va_odoo_lead_new() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT @extschema@.va_odoo_enabled(NEW.tenant_id) THEN
		NEW.odoo_sync_status := 'disabled';
	END IF;
	RETURN NEW;
END
$$;
-- A row that brings an older created_at is restored or copied: it keeps its status.
CREATE TRIGGER leads_odoo_new BEFORE INSERT ON @extschema@.leads FOR EACH ROW
	WHEN (NEW.odoo_sync_status = 'pending' AND NEW.created_at = now()) EXECUTE FUNCTION @extschema@.va_odoo_lead_new();

CREATE FUNCTION @extschema@.va_odoo_lead_changed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF @extschema@.va_odoo_is_back() OR NOT @extschema@.va_odoo_enabled(NEW.tenant_id) THEN
		RETURN NULL;
	END IF;
	PERFORM @extschema@.va_odoo_want(NEW.tenant_id, 'odoo.lead', 'crm.lead', NEW.id, NEW.id);
	IF TG_OP = 'UPDATE' THEN
		IF NEW.odoo_sync_status <> 'syncing' THEN
			UPDATE @extschema@.leads l SET odoo_sync_status = 'pending' WHERE l.id = NEW.id AND l.odoo_sync_status <> 'pending';
		END IF;
		-- From here on it is worth being a contact.
		IF NEW.status IS DISTINCT FROM OLD.status AND NEW.status IN ('qualified', 'contacted', 'meeting_scheduled', 'closed_won')
		   AND (SELECT (@extschema@.va_odoo_settings(t.settings -> 'odoo') ->> 'contacts')::boolean FROM @extschema@.tenants t WHERE t.id = NEW.tenant_id)
		   AND NOT EXISTS (SELECT FROM @extschema@.odoo_links k WHERE k.model = 'res.partner' AND k.record_id = NEW.id AND k.revision > 0) THEN
			PERFORM @extschema@.va_odoo_want(NEW.tenant_id, 'odoo.contact', 'res.partner', NEW.id, NEW.id, p_delay => '3 seconds');
		END IF;
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER leads_odoo_insert AFTER INSERT ON @extschema@.leads FOR EACH ROW
	WHEN (NEW.odoo_sync_status <> 'disabled' AND NEW.created_at = now()) EXECUTE FUNCTION @extschema@.va_odoo_lead_changed();
CREATE TRIGGER leads_odoo_update AFTER UPDATE ON @extschema@.leads FOR EACH ROW
	WHEN ((OLD.first_name, OLD.last_name, OLD.phone, OLD.email, OLD.company_name, OLD.lead_score, OLD.lead_temperature, OLD.qualification_data, OLD.source,
			OLD.utm_source, OLD.utm_campaign, OLD.status, OLD.assigned_to, OLD.tags, OLD.custom_fields)
		IS DISTINCT FROM (NEW.first_name, NEW.last_name, NEW.phone, NEW.email, NEW.company_name, NEW.lead_score, NEW.lead_temperature, NEW.qualification_data,
			NEW.source, NEW.utm_source, NEW.utm_campaign, NEW.status, NEW.assigned_to, NEW.tags, NEW.custom_fields))
	EXECUTE FUNCTION @extschema@.va_odoo_lead_changed();

-- A call with a lead is over: a note, and its transcript and score on the lead. A little later, when the rest of what
-- was said has been stored, and its summary made.
CREATE FUNCTION @extschema@.va_odoo_call_ended() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	s jsonb;
BEGIN
	IF NOT @extschema@.va_odoo_enabled(NEW.tenant_id) THEN
		RETURN NULL;
	END IF;
	SELECT @extschema@.va_odoo_settings(t.settings -> 'odoo') INTO s FROM @extschema@.tenants t WHERE t.id = NEW.tenant_id;
	PERFORM @extschema@.va_odoo_want(NEW.tenant_id, 'odoo.lead', 'crm.lead', NEW.lead_id, NEW.lead_id, p_delay => '5 seconds');
	UPDATE @extschema@.leads l SET odoo_sync_status = 'pending' WHERE l.id = NEW.lead_id AND l.odoo_sync_status NOT IN ('pending', 'syncing');
	IF (s ->> 'notes')::boolean AND NOT EXISTS (SELECT FROM @extschema@.odoo_links k WHERE k.model = 'mail.message' AND k.record_id = NEW.id) THEN
		PERFORM @extschema@.va_odoo_want(NEW.tenant_id, 'odoo.note', 'mail.message', NEW.id, NEW.lead_id, p_call => NEW.id, p_delay => '10 seconds');
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER calls_odoo AFTER UPDATE OF status, lead_id, transcript, transcript_summary ON @extschema@.calls FOR EACH ROW
	WHEN (NEW.status = 'completed' AND NEW.lead_id IS NOT NULL AND NEW.transcript <> '[]'
		AND (OLD.status, OLD.lead_id, OLD.transcript, OLD.transcript_summary) IS DISTINCT FROM (NEW.status, NEW.lead_id, NEW.transcript, NEW.transcript_summary))
	EXECUTE FUNCTION @extschema@.va_odoo_call_ended();

-- A task for a person.
CREATE FUNCTION @extschema@.va_odoo_task_changed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF @extschema@.va_odoo_enabled(NEW.tenant_id) AND (SELECT (@extschema@.va_odoo_settings(t.settings -> 'odoo') ->> 'activities')::boolean
			FROM @extschema@.tenants t WHERE t.id = NEW.tenant_id) THEN
		PERFORM @extschema@.va_odoo_want(NEW.tenant_id, 'odoo.activity', 'mail.activity', NEW.id, NEW.lead_id);
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER follow_up_tasks_odoo_insert AFTER INSERT ON @extschema@.follow_up_tasks FOR EACH ROW
	WHEN (NOT NEW.is_ai_task AND NEW.lead_id IS NOT NULL AND NEW.created_at = now()) EXECUTE FUNCTION @extschema@.va_odoo_task_changed();
CREATE TRIGGER follow_up_tasks_odoo_update AFTER UPDATE OF status, title, description, scheduled_for, assigned_to, is_ai_task ON @extschema@.follow_up_tasks
	FOR EACH ROW WHEN (NOT NEW.is_ai_task AND NEW.lead_id IS NOT NULL AND (OLD.status, OLD.title, OLD.description, OLD.scheduled_for, OLD.assigned_to, OLD.is_ai_task)
		IS DISTINCT FROM (NEW.status, NEW.title, NEW.description, NEW.scheduled_for, NEW.assigned_to, NEW.is_ai_task))
	EXECUTE FUNCTION @extschema@.va_odoo_task_changed();

CREATE FUNCTION @extschema@.va_odoo_appointment_changed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF @extschema@.va_odoo_enabled(NEW.tenant_id) AND (SELECT (@extschema@.va_odoo_settings(t.settings -> 'odoo') ->> 'meetings')::boolean
			FROM @extschema@.tenants t WHERE t.id = NEW.tenant_id) THEN
		PERFORM @extschema@.va_odoo_want(NEW.tenant_id, 'odoo.event', 'calendar.event', NEW.id, NEW.lead_id, p_appointment => NEW.id);
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER appointments_odoo_insert AFTER INSERT ON @extschema@.appointments FOR EACH ROW
	WHEN (NEW.lead_id IS NOT NULL AND NEW.created_at = now()) EXECUTE FUNCTION @extschema@.va_odoo_appointment_changed();
CREATE TRIGGER appointments_odoo_update AFTER UPDATE OF title, description, scheduled_at, duration_minutes, location, meeting_link, assigned_agent_id, status, notes
	ON @extschema@.appointments FOR EACH ROW
	WHEN (NEW.lead_id IS NOT NULL AND (OLD.title, OLD.description, OLD.scheduled_at, OLD.duration_minutes, OLD.location, OLD.meeting_link, OLD.assigned_agent_id, OLD.status, OLD.notes)
		IS DISTINCT FROM (NEW.title, NEW.description, NEW.scheduled_at, NEW.duration_minutes, NEW.location, NEW.meeting_link, NEW.assigned_agent_id, NEW.status, NEW.notes))
	EXECUTE FUNCTION @extschema@.va_odoo_appointment_changed();

-- ---- for people ----------------------------------------------------------------------------------

-- Sends a lead again, whatever its status: after something was mended, or one from before the tenant had Odoo. Returns
-- the effect's id. VA020: unknown lead; VA005: the tenant has no Odoo.
CREATE FUNCTION @extschema@.va_odoo_push(lead uuid) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	l @extschema@.leads := @extschema@.va_lead_row(lead);
	v_id bigint;
BEGIN
	IF NOT @extschema@.va_odoo_enabled(l.tenant_id) THEN
		RAISE EXCEPTION 'the tenant has no Odoo' USING ERRCODE = 'VA005', HINT = 'Set the key `odoo` of its settings: docs/providers/odoo.md.';
	END IF;
	v_id := @extschema@.va_odoo_want(l.tenant_id, 'odoo.lead', 'crm.lead', l.id, l.id);
	UPDATE @extschema@.odoo_links k SET sent = '{}' WHERE k.model = 'crm.lead' AND k.record_id = l.id;
	UPDATE @extschema@.leads x SET odoo_sync_status = 'pending' WHERE x.id = l.id;
	RETURN v_id;
END
$$;

-- Sends all leads of a tenant that Odoo does not have yet, or whose last attempt failed; returns how many.
CREATE FUNCTION @extschema@.va_odoo_push_all(tenant uuid) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	v_count bigint := 0;
	v_lead uuid;
BEGIN
	PERFORM @extschema@.va_assert_tenant(tenant);
	IF NOT @extschema@.va_odoo_enabled(tenant) THEN
		RAISE EXCEPTION 'the tenant has no Odoo' USING ERRCODE = 'VA005', HINT = 'Set the key `odoo` of its settings: docs/providers/odoo.md.';
	END IF;
	FOR v_lead IN SELECT l.id FROM @extschema@.leads l WHERE l.tenant_id = tenant AND l.odoo_sync_status IN ('disabled', 'failed') ORDER BY l.id LOOP
		PERFORM @extschema@.va_odoo_want(tenant, 'odoo.lead', 'crm.lead', v_lead, v_lead);
		v_count := v_count + 1;
	END LOOP;
	UPDATE @extschema@.leads l SET odoo_sync_status = 'pending' WHERE l.tenant_id = tenant AND l.odoo_sync_status IN ('disabled', 'failed');
	RETURN v_count;
END
$$;

-- Forgets the record a lead is in Odoo (it was deleted there, say) and makes another.
CREATE FUNCTION @extschema@.va_odoo_forget(lead uuid) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_lead_row(lead);
	PERFORM @extschema@.va_odoo_unlink(lead);
	RETURN @extschema@.va_odoo_push(lead);
END
$$;

GRANT SELECT ON @extschema@.odoo_links TO voiceagent_admin;
GRANT SELECT (tenant_id, enabled, state, error, transport, version, server_version, uid, rights, fields, missing_fields, warnings, directory,
	directory_at, checked_at, pull_from, pull_to, pull_after, pulled_at, webhook_at) ON @extschema@.odoo_connections TO voiceagent_admin, voiceagent_agent;
GRANT EXECUTE ON FUNCTION @extschema@.va_odoo_check(uuid), @extschema@.va_odoo_push(uuid), @extschema@.va_odoo_push_all(uuid),
	@extschema@.va_odoo_forget(uuid) TO voiceagent_admin, voiceagent_agent;
