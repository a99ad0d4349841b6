-- How promising a lead is: the five signals of BANT from its qualification data and from its calls and messages,
-- weighed by the tenant's criteria. The rules are in C (core/bant, core/signals); what is read from tables comes in
-- here.
--
-- leads.lead_score and lead_temperature are always those of the row's data: a trigger writes them, and what
-- anybody else writes there is replaced. engagement_score is kept in the row as well, renewed when a call
-- ends and a message comes, so that the trigger reads no other table.

ALTER TABLE @extschema@.leads
	ADD COLUMN engagement_score DOUBLE PRECISION,  -- of calls and messages; NULL: none so far
	ADD CONSTRAINT leads_engagement CHECK (engagement_score BETWEEN 0 AND 1);

-- ---- pure functions -----------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_bant_score(data jsonb, engagement double precision, criteria jsonb) RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_bant_score';
CREATE FUNCTION @extschema@.va_bant_temperature(data jsonb, engagement double precision, criteria jsonb) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_bant_temperature';
CREATE FUNCTION @extschema@.va_bant_explain(data jsonb, engagement double precision, criteria jsonb)
	RETURNS TABLE (signal text, value double precision, weight double precision, contribution double precision, source text)
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_bant_explain';
CREATE FUNCTION @extschema@.va_bant_criteria_check(criteria jsonb) RETURNS boolean
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_bant_criteria_check';
CREATE FUNCTION @extschema@.va_bant_engagement(calls bigint, seconds bigint, turns bigint, messages bigint, replies bigint,
	days_since_contact double precision) RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_bant_engagement';

-- Qualification data without a lead: what would they score?
CREATE FUNCTION @extschema@.va_lead_score(qualification_data jsonb, criteria jsonb DEFAULT NULL) RETURNS double precision
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN @extschema@.va_bant_score(coalesce($1, '{}'), 'NaN', coalesce($2, '{}'));
CREATE FUNCTION @extschema@.va_lead_temperature(qualification_data jsonb, criteria jsonb DEFAULT NULL) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN @extschema@.va_bant_temperature(coalesce($1, '{}'), 'NaN', coalesce($2, '{}'));
CREATE FUNCTION @extschema@.va_lead_score_explain(qualification_data jsonb, criteria jsonb DEFAULT NULL)
	RETURNS TABLE (signal text, value double precision, weight double precision, contribution double precision, source text)
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY SELECT * FROM @extschema@.va_bant_explain(coalesce(qualification_data, '{}'), 'NaN', coalesce(criteria, '{}'));
END
$$;

-- ---- criteria -----------------------------------------------------------------------------------

-- What settings say about scoring: the object qualification_criteria and the two thresholds beside it.
CREATE FUNCTION @extschema@.va_criteria_of(p_settings jsonb) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN jsonb_strip_nulls(jsonb_build_object(
			'hot_lead_threshold', @extschema@.va_setting(p_settings, 'hot_lead_threshold'),
			'warm_lead_threshold', @extschema@.va_setting(p_settings, 'warm_lead_threshold')))
		|| coalesce(@extschema@.va_setting(p_settings, 'qualification_criteria'), '{}');
END
$$;

-- A tenant's criteria; NULL for an unknown tenant. The trigger of leads reads them here.
CREATE FUNCTION @extschema@.va_lead_criteria(p_tenant uuid) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT @extschema@.va_criteria_of(t.settings) FROM @extschema@.tenants t WHERE t.id = p_tenant);
END
$$;

-- Tells every session that criteria were changed.
CREATE FUNCTION @extschema@.va_criteria_forget(tenants regclass) RETURNS void
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'va_criteria_forget';

CREATE FUNCTION @extschema@.va_check_criteria() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	-- With what the platform says where the tenant is silent: the whole must make sense. (Each by itself is right:
	-- the trigger tenants_check comes first.)
	PERFORM @extschema@.va_bant_criteria_check(@extschema@.va_criteria_of(NEW.settings));
	RETURN NEW;
END
$$;
CREATE TRIGGER tenants_check_criteria BEFORE INSERT OR UPDATE OF settings ON @extschema@.tenants
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_criteria();

-- Scores a tenant's leads anew, as a set; only rows whose score or temperature changes are written. A lead that another
-- transaction is writing in this very moment is not seen, and keeps the score of the criteria before until it is
-- next written or this is called: locks against that would make every writer of leads wait for an administrator.
CREATE FUNCTION @extschema@.va_lead_rescore(p_tenant uuid) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_criteria jsonb := @extschema@.va_lead_criteria(p_tenant);
	v_count bigint;
BEGIN
	UPDATE @extschema@.leads l SET lead_score = s.score, lead_temperature = s.temperature
	FROM (SELECT o.id,
			@extschema@.va_bant_score(coalesce(o.qualification_data, '{}'), coalesce(o.engagement_score, 'NaN'), v_criteria) AS score,
			@extschema@.va_bant_temperature(coalesce(o.qualification_data, '{}'), coalesce(o.engagement_score, 'NaN'), v_criteria) AS temperature
		  FROM @extschema@.leads o WHERE o.tenant_id = p_tenant) s
	WHERE l.id = s.id AND (l.lead_score, l.lead_temperature) IS DISTINCT FROM (s.score, s.temperature);
	GET DIAGNOSTICS v_count = ROW_COUNT;
	RETURN v_count;
END
$$;

CREATE FUNCTION @extschema@.va_criteria_changed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_criteria_forget('@extschema@.tenants');
	IF TG_RELID = '@extschema@.tenants'::regclass THEN
		PERFORM @extschema@.va_lead_rescore(NEW.id);
	ELSE
		-- The platform's: all tenants, and none of them may be left with criteria that make no sense.
		PERFORM @extschema@.va_bant_criteria_check(@extschema@.va_lead_criteria(t.id)), @extschema@.va_lead_rescore(t.id)
		FROM @extschema@.tenants t ORDER BY t.id;
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER tenants_criteria AFTER UPDATE OF settings ON @extschema@.tenants FOR EACH ROW
	WHEN (OLD.settings -> 'qualification_criteria' IS DISTINCT FROM NEW.settings -> 'qualification_criteria'
		OR OLD.settings -> 'hot_lead_threshold' IS DISTINCT FROM NEW.settings -> 'hot_lead_threshold'
		OR OLD.settings -> 'warm_lead_threshold' IS DISTINCT FROM NEW.settings -> 'warm_lead_threshold')
	EXECUTE FUNCTION @extschema@.va_criteria_changed();
CREATE TRIGGER settings_criteria AFTER INSERT OR UPDATE ON @extschema@.settings FOR EACH ROW
	WHEN (NEW.name IN ('qualification_criteria', 'hot_lead_threshold', 'warm_lead_threshold'))
	EXECUTE FUNCTION @extschema@.va_criteria_changed();
CREATE TRIGGER settings_criteria_gone AFTER DELETE ON @extschema@.settings FOR EACH ROW
	WHEN (OLD.name IN ('qualification_criteria', 'hot_lead_threshold', 'warm_lead_threshold'))
	EXECUTE FUNCTION @extschema@.va_criteria_changed();

-- ---- the score of a row -------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_lead_score_trigger() RETURNS trigger
	LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'va_lead_score_trigger';
CREATE TRIGGER leads_score BEFORE INSERT OR UPDATE OF qualification_data, engagement_score, lead_score, lead_temperature, tenant_id
	ON @extschema@.leads FOR EACH ROW EXECUTE FUNCTION @extschema@.va_lead_score_trigger();

-- A lead of this session: its row, or the same error whether it is unknown or another tenant's.
CREATE FUNCTION @extschema@.va_lead_row(p_lead uuid) RETURNS @extschema@.leads
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads;
BEGIN
	SELECT * INTO v_lead FROM @extschema@.leads l WHERE l.id = p_lead;
	IF FOUND THEN
		BEGIN
			PERFORM @extschema@.va_assert_tenant(v_lead.tenant_id);
			RETURN v_lead;
		EXCEPTION WHEN insufficient_privilege THEN
			NULL;
		END;
	END IF;
	RAISE EXCEPTION 'unknown lead %', coalesce(p_lead::text, 'NULL')
		USING ERRCODE = 'VA020', HINT = 'The table leads lists them; voiceagent.tenant_id says whose are seen.';
END
$$;

CREATE FUNCTION @extschema@.va_lead_score_explain(lead uuid)
	RETURNS TABLE (signal text, value double precision, weight double precision, contribution double precision, source text)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads := @extschema@.va_lead_row(lead);
BEGIN
	RETURN QUERY SELECT * FROM @extschema@.va_bant_explain(coalesce(v_lead.qualification_data, '{}'),
		coalesce(v_lead.engagement_score, 'NaN'), coalesce(@extschema@.va_lead_criteria(v_lead.tenant_id), '{}'));
END
$$;

-- ---- engagement ---------------------------------------------------------------------------------

-- A lead's dealings with us. Calls that were answered; the lead's turns in them; messages received, and how many of
-- those answer one of ours (sent on the same channel within a week before); days since the last of it.
CREATE FUNCTION @extschema@.va_lead_activity(p_lead uuid, OUT calls bigint, OUT seconds bigint, OUT turns bigint,
	OUT messages bigint, OUT replies bigint, OUT last_contact timestamptz)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call timestamptz;
BEGIN
	SELECT count(*), coalesce(sum(c.duration_seconds), 0), coalesce(sum(t.turns), 0), max(coalesce(c.ended_at, c.started_at, c.created_at))
	INTO calls, seconds, turns, v_call
	FROM @extschema@.calls c
	LEFT JOIN LATERAL (SELECT count(*) AS turns FROM jsonb_array_elements(c.transcript) e
					   WHERE e ->> 'role' = 'user' AND e ->> 'medium' IS DISTINCT FROM 'voicemail') t ON true
	WHERE c.lead_id = p_lead AND c.status = 'completed';
	SELECT count(*), count(*) FILTER (WHERE EXISTS (
			SELECT FROM @extschema@.notifications o
			WHERE o.lead_id = p_lead AND o.direction = 'outbound' AND o.channel = n.channel
			  AND o.status NOT IN ('pending', 'queued', 'failed', 'cancelled')
			  AND coalesce(o.sent_at, o.created_at) BETWEEN n.created_at - interval '7 days' AND n.created_at)),
		greatest(v_call, max(n.created_at))
	INTO messages, replies, last_contact
	FROM @extschema@.notifications n WHERE n.lead_id = p_lead AND n.direction = 'inbound';
END
$$;

-- Engagement from 0 to 1; NULL where there was no contact yet.
CREATE FUNCTION @extschema@.va_lead_engagement(p_lead uuid) RETURNS double precision
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	a record;
BEGIN
	SELECT * INTO a FROM @extschema@.va_lead_activity(p_lead);
	RETURN CASE WHEN a.last_contact IS NOT NULL THEN @extschema@.va_bant_engagement(a.calls, a.seconds, a.turns, a.messages,
		a.replies, extract(epoch FROM now() - a.last_contact)::double precision / 86400) END;
END
$$;

CREATE FUNCTION @extschema@.va_lead_engage(p_lead uuid) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_engagement double precision;
BEGIN
	-- First the lock, then the counting: of two calls that end at once the second must see the first.
	PERFORM FROM @extschema@.leads l WHERE l.id = p_lead FOR NO KEY UPDATE;
	v_engagement := @extschema@.va_lead_engagement(p_lead);
	UPDATE @extschema@.leads l SET engagement_score = v_engagement
	WHERE l.id = p_lead AND l.engagement_score IS DISTINCT FROM v_engagement;
END
$$;

GRANT EXECUTE ON FUNCTION @extschema@.va_bant_score(jsonb, double precision, jsonb),
	@extschema@.va_bant_temperature(jsonb, double precision, jsonb), @extschema@.va_bant_explain(jsonb, double precision, jsonb),
	@extschema@.va_lead_score(jsonb, jsonb), @extschema@.va_lead_temperature(jsonb, jsonb),
	@extschema@.va_lead_score_explain(jsonb, jsonb), @extschema@.va_lead_score_explain(uuid)
	TO voiceagent_admin, voiceagent_agent, voiceagent_bi;
