-- Odoo: records that are no more, there or here.
--
-- What a salesperson deletes there shows in no list of changes, so once a day Odoo is asked which of the records that we
-- know are still there, archived ones too, in pages of 200. What is gone is not made again against the salesperson's will:
-- the lead says so, and a person may ask for a new one (va_odoo_forget), unless the tenant wants it so (on_deleted).
--
-- A lead that was merged into another one here leaves its record there: that is archived, with a note that names the
-- surviving one.

ALTER TABLE @extschema@.odoo_links ADD COLUMN gone_at TIMESTAMPTZ; -- since when the record is not there any more

INSERT INTO @extschema@.outbox_kinds (kind, description, prepare, settle, repeatable, reconcile, lane, max_attempts, timeout_ms, is_builtin) VALUES
	('odoo.gone', 'asks Odoo which leads were deleted there', 'va_prepare_odoo_gone', 'va_settle_odoo_gone', true, 'listing', 'bulk', 4, 60000, true),
	('odoo.merged', 'archives the record of a lead that was merged away', 'va_prepare_odoo_merged', 'va_settle_odoo_merged', false, 'listing', 'bulk', 8, 60000, true);

-- ---- deleted there --------------------------------------------------------------------------------

-- Sees to it that the next look is planned. p_but: the effect that is being settled; p_after: the page begins behind
-- this record.
CREATE FUNCTION @extschema@.va_odoo_ensure_gone(p_tenant uuid, p_at timestamptz, p_but bigint DEFAULT NULL, p_after integer DEFAULT 0) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF (SELECT (@extschema@.va_odoo_settings(t.settings -> 'odoo') ->> 'pull_minutes')::numeric > 0 FROM @extschema@.tenants t WHERE t.id = p_tenant)
	   AND @extschema@.va_odoo_enabled(p_tenant) AND NOT EXISTS (
		SELECT FROM @extschema@.outbox o WHERE o.tenant_id = p_tenant AND o.kind = 'odoo.gone' AND o.id IS DISTINCT FROM p_but) THEN
		PERFORM @extschema@.va_outbox_add(p_tenant, 'odoo.gone', 'gone:' || gen_random_uuid(), jsonb_build_object('after', p_after), p_at);
	END IF;
END
$$;

CREATE FUNCTION @extschema@.va_odoo_connection_good() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_odoo_ensure_gone(NEW.tenant_id, now() + interval '1 hour');
	RETURN NULL;
END
$$;
CREATE TRIGGER odoo_connections_good AFTER UPDATE OF state ON @extschema@.odoo_connections FOR EACH ROW
	WHEN (NEW.state = 'ok') EXECUTE FUNCTION @extschema@.va_odoo_connection_good();

-- Asks for a page of the ids that we know. They are kept with the effect: what it is settled by is what was asked for.
CREATE FUNCTION @extschema@.va_prepare_odoo_gone(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	c @extschema@.odoo_connections;
	v_ids integer[];
BEGIN
	SELECT * INTO c FROM @extschema@.odoo_connections x WHERE x.tenant_id = o.tenant_id AND x.enabled;
	IF NOT FOUND THEN
		RETURN jsonb_build_object('skip', 'the tenant has no Odoo');
	ELSIF c.state <> 'ok' THEN
		RETURN jsonb_build_object('skip', 'the connection has to be mended first');
	ELSIF c.transport = 'rest' THEN
		RETURN jsonb_build_object('skip', 'what a REST gateway does not show need not be deleted');
	END IF;
	v_ids := ARRAY(SELECT k.odoo_id FROM @extschema@.odoo_links k WHERE k.tenant_id = o.tenant_id AND k.model = 'crm.lead'
		AND k.odoo_id > coalesce((o.payload ->> 'after')::integer, 0) ORDER BY k.odoo_id LIMIT 200);
	IF v_ids = '{}' THEN
		RETURN jsonb_build_object('skip', 'no more leads are known there');
	END IF;
	UPDATE @extschema@.outbox x SET payload = x.payload || jsonb_build_object('asked', v_ids) WHERE x.id = o.id;
	RETURN @extschema@.va_odoo_request(o.tenant_id, jsonb_build_array(@extschema@.va_odoo_step('rows', 'value', 'crm.lead', 'search_read', NULL,
		jsonb_build_object('domain', jsonb_build_array(jsonb_build_array('id', 'in', to_jsonb(v_ids)), jsonb '["active", "in", [true, false]]'),
			'fields', jsonb '["id"]', 'limit', 200))));
END
$$;

-- A lead's record is not there any more, or our user does not see it.
CREATE FUNCTION @extschema@.va_odoo_lead_gone(k @extschema@.odoo_links) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.odoo_links x SET gone_at = now() WHERE x.model = k.model AND x.record_id = k.record_id;
	INSERT INTO @extschema@.odoo_changes (tenant_id, lead_id, field, was, became, outcome, detail)
	VALUES (k.tenant_id, k.record_id, 'id', to_jsonb(k.odoo_id), 'null', 'kept', 'the record was deleted in Odoo');
	PERFORM @extschema@.va_emit(k.tenant_id, 'odoo.deleted', NULL, k.record_id, jsonb_build_object('odoo_id', k.odoo_id));
	IF (SELECT t.settings -> 'odoo' ->> 'on_deleted' FROM @extschema@.tenants t WHERE t.id = k.tenant_id) = 'recreate' THEN
		PERFORM @extschema@.va_odoo_unlink(k.record_id);
		PERFORM @extschema@.va_odoo_want(k.tenant_id, 'odoo.lead', 'crm.lead', k.record_id, k.record_id);
		UPDATE @extschema@.leads l SET odoo_sync_status = 'pending' WHERE l.id = k.record_id;
	ELSE
		UPDATE @extschema@.leads l SET odoo_sync_status = 'failed', odoo_sync_error =
			'The lead was deleted in Odoo (or our user may not see it any more). It is not made again by itself: va_odoo_forget(lead) makes a new one.'
		WHERE l.id = k.record_id;
	END IF;
END
$$;

CREATE FUNCTION @extschema@.va_settle_odoo_gone(o @extschema@.outbox, p_outcome text, p_result jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_rows jsonb := p_result -> 'values' -> 'rows';
	v_asked integer[] := ARRAY(SELECT e::integer FROM jsonb_array_elements_text(coalesce(o.payload -> 'asked', '[]')) e);
	v_there integer[];
	v_full boolean;
	k @extschema@.odoo_links;
BEGIN
	PERFORM @extschema@.va_odoo_heard(o.tenant_id, p_outcome, p_result);
	IF p_outcome = 'unknown' THEN
		RETURN;
	END IF;
	v_full := p_outcome = 'done' AND cardinality(v_asked) >= 200;
	IF p_outcome = 'done' AND jsonb_typeof(v_rows) = 'array' THEN
		v_there := ARRAY(SELECT (e ->> 'id')::integer FROM jsonb_array_elements(v_rows) e);
		-- Not one of many: more likely a right was taken from our user than all of them were deleted.
		IF v_there = '{}' AND cardinality(v_asked) >= 10 THEN
			PERFORM @extschema@.va_odoo_ask(o.tenant_id);
		ELSE
			FOR k IN SELECT x.* FROM @extschema@.odoo_links x WHERE x.tenant_id = o.tenant_id AND x.model = 'crm.lead' AND x.gone_at IS NULL
						AND x.odoo_id = ANY (v_asked) AND x.odoo_id <> ALL (v_there)
						AND NOT EXISTS (SELECT FROM @extschema@.outbox b WHERE b.id = x.busy AND b.state IN ('leased', 'unknown')) ORDER BY x.record_id LOOP
				PERFORM FROM @extschema@.leads l WHERE l.id = k.record_id FOR NO KEY UPDATE;
				CONTINUE WHEN NOT FOUND; -- merged or erased in this moment
				PERFORM @extschema@.va_odoo_lead_gone(k);
			END LOOP;
			-- Seen again: it had been out of our user's sight.
			FOR k IN UPDATE @extschema@.odoo_links x SET gone_at = NULL WHERE x.tenant_id = o.tenant_id AND x.model = 'crm.lead' AND x.gone_at IS NOT NULL
						AND x.odoo_id = ANY (v_there) RETURNING x.* LOOP
				PERFORM @extschema@.va_odoo_want(k.tenant_id, 'odoo.lead', 'crm.lead', k.record_id, k.record_id);
				UPDATE @extschema@.odoo_links x SET sent = '{}' WHERE x.model = k.model AND x.record_id = k.record_id;
				UPDATE @extschema@.leads l SET odoo_sync_status = 'pending', odoo_sync_error = NULL WHERE l.id = k.record_id;
			END LOOP;
		END IF;
	END IF;
	PERFORM @extschema@.va_odoo_ensure_gone(o.tenant_id, CASE WHEN v_full THEN now() ELSE now() + interval '1 day' END, o.id,
		CASE WHEN v_full THEN v_asked[cardinality(v_asked)] ELSE 0 END);
END
$$;

-- ---- merged here ----------------------------------------------------------------------------------

-- Called by va_lead_merge: d is merged into k.
CREATE FUNCTION @extschema@.va_odoo_merged(k @extschema@.leads, d @extschema@.leads) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	-- Its link has been handed to the surviving lead with all that was its, and speaks of a lead that is no more.
	DELETE FROM @extschema@.odoo_links x WHERE x.model = 'crm.lead' AND x.record_id = d.id;
	IF d.odoo_lead_id <> k.odoo_lead_id AND @extschema@.va_odoo_enabled(k.tenant_id) THEN
		PERFORM @extschema@.va_outbox_add(k.tenant_id, 'odoo.merged', 'merged:' || d.id,
			jsonb_build_object('id', d.odoo_lead_id, 'merged', d.id), lead => k.id);
	END IF;
END
$$;

CREATE FUNCTION @extschema@.va_prepare_odoo_merged(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_wait jsonb := @extschema@.va_odoo_after_lead(o.lead_id);
	l @extschema@.leads;
	c @extschema@.odoo_connections;
	v_reference text := format('<voiceagent-merged-%s@voiceagent>', o.payload ->> 'merged');
	v_ids jsonb := jsonb_build_array(o.payload -> 'id');
	v_steps jsonb := '[]';
BEGIN
	IF v_wait IS NOT NULL THEN
		RETURN v_wait;
	END IF;
	SELECT * INTO l FROM @extschema@.leads x WHERE x.id = o.lead_id;
	SELECT * INTO c FROM @extschema@.odoo_connections x WHERE x.tenant_id = o.tenant_id AND x.enabled;
	IF l.id IS NULL OR c.tenant_id IS NULL THEN
		RETURN jsonb_build_object('skip', 'the surviving lead is gone, or the tenant''s Odoo is');
	ELSIF c.transport <> 'rest' THEN
		v_steps := jsonb_build_array(
			@extschema@.va_odoo_step('note', 'id', 'mail.message', 'search_read', NULL, jsonb_build_object('domain', jsonb_build_array(
				jsonb_build_array('message_id', '=', v_reference)), 'fields', jsonb '["id"]', 'limit', 1)),
			@extschema@.va_odoo_step('note', 'id', 'crm.lead', 'message_post', v_ids, jsonb_build_object(
				'body', format('<p>%s</p>', @extschema@.va_odoo_html(format('This is the same person as %s (lead %s), which goes on; this one is archived.',
					coalesce(@extschema@.va_filled(concat_ws(' ', l.first_name, l.last_name)), 'another lead'), l.odoo_lead_id))),
				'message_type', 'comment', 'subtype_xmlid', 'mail.mt_note', 'message_id', v_reference)
				|| CASE WHEN coalesce(c.version, 19) >= 17 THEN '{"body_is_html": true}' ELSE '{}' END::jsonb,
				'{"unless": "note", "soft": ["missing_record"]}'));
	END IF;
	-- (Whoever has deleted it there meanwhile was first.)
	RETURN @extschema@.va_odoo_request(o.tenant_id, v_steps || @extschema@.va_odoo_step(NULL, NULL, 'crm.lead', 'write', v_ids,
		'{"vals": {"active": false}}', '{"soft": ["missing_record"]}')) || '{"again": true}';
END
$$;

CREATE FUNCTION @extschema@.va_settle_odoo_merged(o @extschema@.outbox, p_outcome text, p_result jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_odoo_heard(o.tenant_id, p_outcome, p_result);
END
$$;
