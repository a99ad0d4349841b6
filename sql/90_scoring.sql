-- How promising a lead is: the five signals of BANT from its qualification data and from its calls and messages,
-- weighed by the tenant's criteria. The rules are in C (core/bant, core/signals); what is read from tables comes in
-- here.
--
-- leads.lead_score and lead_temperature are always those of the row's data: a trigger writes them, and what
-- anybody else writes there is replaced. engagement_score is kept in the row as well, renewed when a call ends, when a
-- message comes, and once a day while it fades, so that the trigger reads no other table.

ALTER TABLE @extschema@.leads
	ADD COLUMN engagement_score DOUBLE PRECISION,  -- of calls and messages; NULL: none so far
	ADD COLUMN engaged_at TIMESTAMPTZ,             -- when that was counted; it fades with the days
	ADD CONSTRAINT leads_engagement CHECK (engagement_score BETWEEN 0 AND 1);

-- Those whose engagement can fade, the longest unseen first: see va_engagement_fade.
CREATE INDEX idx_leads_fading ON @extschema@.leads (engaged_at)
	WHERE engagement_score > 0 AND status IN ('new', 'qualified', 'contacted', 'meeting_scheduled');

-- A lead that did nothing while its engagement faded was not changed by anybody.
DROP TRIGGER leads_touch ON @extschema@.leads;
CREATE TRIGGER leads_touch BEFORE UPDATE ON @extschema@.leads FOR EACH ROW
	WHEN (OLD.engaged_at IS NOT DISTINCT FROM NEW.engaged_at) EXECUTE FUNCTION @extschema@.va_touch();

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

-- Criteria that were changed while others wrote leads. Such a writer may have begun with the criteria before, and a row that it
-- has not committed yet is not seen by the rescoring. A lock would make every writer of leads wait for an
-- administrator; instead the tenant is scored once more when all of that time have ended (va_criteria_recheck).
CREATE TABLE @extschema@.criteria_rechecks (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID NOT NULL REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	-- The first transaction that is certain to have begun after the change; NULL: nobody has looked yet.
	settled_from XID8,
	created_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);
CREATE INDEX idx_criteria_rechecks_tenant ON @extschema@.criteria_rechecks (tenant_id);

-- Scores a tenant's leads anew, as a set; only rows whose score or temperature changes are written.
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

-- Called by va_housekeeping. The first look at a change notes who may be writing by the criteria before it; when all of
-- these have ended, the second scores the tenant again. Returns how many leads that changed. (A number from before a
-- dump means nothing any more.)
CREATE FUNCTION @extschema@.va_criteria_recheck() RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_now pg_snapshot := pg_current_snapshot();
	v_tenant uuid;
	v_count bigint := 0;
BEGIN
	FOR v_tenant IN
		DELETE FROM @extschema@.criteria_rechecks r
		WHERE r.settled_from <= pg_snapshot_xmin(v_now) OR r.settled_from > pg_snapshot_xmax(v_now) RETURNING r.tenant_id
	LOOP
		v_count := v_count + @extschema@.va_lead_rescore(v_tenant);
	END LOOP;
	UPDATE @extschema@.criteria_rechecks r SET settled_from = pg_snapshot_xmax(v_now)
	WHERE r.settled_from IS NULL AND r.created_at < now(); -- committed, and not of this very transaction
	RETURN v_count;
END
$$;

CREATE FUNCTION @extschema@.va_criteria_changed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_criteria_forget('@extschema@.tenants');
	IF TG_RELID = '@extschema@.tenants'::regclass THEN
		INSERT INTO @extschema@.criteria_rechecks (tenant_id) VALUES (NEW.id);
		PERFORM @extschema@.va_lead_rescore(NEW.id);
	ELSE
		INSERT INTO @extschema@.criteria_rechecks (tenant_id) SELECT t.id FROM @extschema@.tenants t;
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
	IF NOT FOUND OR NOT @extschema@.va_acts_for(v_lead.tenant_id) THEN
		RAISE EXCEPTION 'unknown lead %', coalesce(p_lead::text, 'NULL')
			USING ERRCODE = 'VA020', HINT = 'The table leads lists them; voiceagent.tenant_id says whose are seen.';
	END IF;
	RETURN v_lead;
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
	UPDATE @extschema@.leads l SET engagement_score = v_engagement, engaged_at = now(), updated_at = now() WHERE l.id = p_lead;
END
$$;

-- Called by va_housekeeping: counts the engagement of open leads anew that was last counted a day ago, at most p_limit of
-- them; the score and the temperature follow. Returns how many it looked at. Closed leads keep what they had.
CREATE FUNCTION @extschema@.va_engagement_fade(p_limit integer DEFAULT 1000) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_count integer := 0;
	v_lead uuid;
BEGIN
	FOR v_lead IN
		SELECT l.id FROM @extschema@.leads l
		WHERE l.engagement_score > 0 AND l.status IN ('new', 'qualified', 'contacted', 'meeting_scheduled')
		  AND l.engaged_at < now() - interval '1 day'
		ORDER BY l.engaged_at LIMIT greatest(p_limit, 0) FOR NO KEY UPDATE SKIP LOCKED
	LOOP
		v_count := v_count + 1;
		UPDATE @extschema@.leads l SET engagement_score = @extschema@.va_lead_engagement(v_lead), engaged_at = now() WHERE l.id = v_lead;
	END LOOP;
	RETURN v_count;
END
$$;

GRANT EXECUTE ON FUNCTION @extschema@.va_bant_score(jsonb, double precision, jsonb),
	@extschema@.va_bant_temperature(jsonb, double precision, jsonb), @extschema@.va_bant_explain(jsonb, double precision, jsonb),
	@extschema@.va_lead_score(jsonb, jsonb), @extschema@.va_lead_temperature(jsonb, jsonb),
	@extschema@.va_lead_score_explain(jsonb, jsonb), @extschema@.va_lead_score_explain(uuid)
	TO voiceagent_admin, voiceagent_agent, voiceagent_bi;
