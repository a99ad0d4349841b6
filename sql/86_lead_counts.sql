-- The counts behind lead_funnel, kept while leads change, so that the view need not read the leads.
--
-- Writers only ever add rows, with what a statement has added to a group and taken away from it (a group: tenant,
-- temperature, status); they never touch each other's, so nobody waits and nothing can deadlock. A row is part of the
-- transaction that wrote it: what is rolled back, to a savepoint too, counts nowhere. The sum of a group's rows is its
-- count at every moment and for every snapshot. The scheduler puts the rows of a group together (va_funnel_compact), which
-- changes no sum. One counter a group instead, or a few, would make writers of one tenant wait for each other's commit, and
-- deadlock where a statement changes two groups (docs/decisions/006-lead-counts.md has the measurements).
--
-- Scores are added as numeric, in which what was added can be taken away again exactly; floating point sums drift.

CREATE TABLE @extschema@.lead_counts (
	tenant_id UUID,                          -- no foreign key: while a tenant is deleted, its leads are counted down last
	lead_temperature VARCHAR(10),
	status VARCHAR(50),
	leads BIGINT NOT NULL,                   -- more (or fewer) leads
	scored BIGINT NOT NULL,                  -- of them with a score
	score NUMERIC NOT NULL,                  -- and the sum of their scores
	compacted BOOLEAN NOT NULL DEFAULT false
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_scale_factor = 0,
	autovacuum_vacuum_insert_threshold = 5000, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);
-- lead_funnel of one tenant, as its row-level policy asks for it.
CREATE INDEX idx_lead_counts_tenant ON @extschema@.lead_counts (tenant_id);
-- Is there anything to compact?
CREATE INDEX idx_lead_counts_new ON @extschema@.lead_counts (tenant_id) WHERE NOT compacted;

-- Not dumped: a restore counts the leads as they come in.
SELECT pg_catalog.pg_extension_config_dump('@extschema@.lead_counts', 'WHERE false');

-- In C: most updates of a lead change none of the four columns, leave no row, and should cost nothing.
CREATE FUNCTION @extschema@.va_lead_counts_trigger() RETURNS trigger
	LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'va_lead_counts_trigger';
CREATE TRIGGER leads_count_insert AFTER INSERT ON @extschema@.leads REFERENCING NEW TABLE AS added
	FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.va_lead_counts_trigger();
CREATE TRIGGER leads_count_delete AFTER DELETE ON @extschema@.leads REFERENCING OLD TABLE AS removed
	FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.va_lead_counts_trigger();
CREATE TRIGGER leads_count_update AFTER UPDATE ON @extschema@.leads REFERENCING OLD TABLE AS removed NEW TABLE AS added
	FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.va_lead_counts_trigger();

-- TRUNCATE takes leads away from every snapshot at once, and so it must take the counts.
CREATE FUNCTION @extschema@.va_leads_truncated() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	TRUNCATE @extschema@.lead_counts;
	RETURN NULL;
END
$$;
CREATE TRIGGER leads_count_truncate AFTER TRUNCATE ON @extschema@.leads
	FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.va_leads_truncated();

-- The names of a group, NULLs as something that a join can compare and no group has.
CREATE FUNCTION @extschema@.va_funnel_group(p_tenant uuid, p_temperature text, p_status text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN coalesce(p_tenant::text, '-') || ' ' || coalesce(p_temperature, '-') || ' ' || coalesce(p_status, '-');

-- Puts the rows of each group that has new ones into one; returns how many rows that spared. The sums stay, so it may run at
-- any time, beside any writer; a second one at the same time finds nothing to do.
CREATE FUNCTION @extschema@.va_funnel_compact() RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_spared bigint;
BEGIN
	IF NOT EXISTS (SELECT FROM @extschema@.lead_counts c WHERE NOT c.compacted)
	   OR NOT pg_try_advisory_xact_lock(hashtextextended('@extschema@.lead_counts', 5604563)) THEN
		RETURN 0;
	END IF;
	WITH touched AS MATERIALIZED (
		SELECT DISTINCT @extschema@.va_funnel_group(c.tenant_id, c.lead_temperature, c.status) AS name
		FROM @extschema@.lead_counts c WHERE NOT c.compacted),
	gone AS (
		DELETE FROM @extschema@.lead_counts c USING touched t
		WHERE t.name = @extschema@.va_funnel_group(c.tenant_id, c.lead_temperature, c.status) RETURNING c.*),
	kept AS (
		INSERT INTO @extschema@.lead_counts
		SELECT g.tenant_id, g.lead_temperature, g.status, sum(g.leads), sum(g.scored), sum(g.score), true
		FROM gone g GROUP BY g.tenant_id, g.lead_temperature, g.status
		HAVING sum(g.leads) <> 0 OR sum(g.scored) <> 0 OR sum(g.score) <> 0
		RETURNING 1)
	SELECT (SELECT count(*) FROM gone) - (SELECT count(*) FROM kept) INTO v_spared;
	RETURN v_spared;
END
$$;

-- Compares the counts with the leads, mends them, and tells what it mended: for the time after triggers were off
-- (session_replication_role = replica, ALTER TABLE … DISABLE TRIGGER, pg_restore --disable-triggers). It stops nobody: leads
-- and counts are seen by one snapshot, which has of every other transaction both or neither, and the difference is added.
CREATE FUNCTION @extschema@.va_funnel_recount()
	RETURNS TABLE (tenant_id uuid, lead_temperature text, status text, counted bigint, found bigint)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE EXCEPTION 'va_funnel_recount() needs the isolation level read committed' USING ERRCODE = 'invalid_transaction_state',
			DETAIL = 'It must see what another recount has just mended.';
	END IF;
	-- Two at once would both mend.
	PERFORM pg_advisory_xact_lock(hashtextextended('@extschema@.lead_counts', 5604564));
	RETURN QUERY
	WITH truth AS (
		SELECT l.tenant_id, l.lead_temperature, l.status, count(*) AS leads, count(l.lead_score) AS scored,
			coalesce(sum(l.lead_score::numeric), 0) AS score
		FROM @extschema@.leads l GROUP BY l.tenant_id, l.lead_temperature, l.status),
	kept AS (
		SELECT c.tenant_id, c.lead_temperature, c.status, sum(c.leads)::bigint AS leads, sum(c.scored)::bigint AS scored, sum(c.score) AS score
		FROM @extschema@.lead_counts c GROUP BY c.tenant_id, c.lead_temperature, c.status),
	difference AS (
		SELECT coalesce(t.tenant_id, k.tenant_id) AS tenant_id, coalesce(t.lead_temperature, k.lead_temperature) AS lead_temperature,
			coalesce(t.status, k.status) AS status, coalesce(k.leads, 0) AS counted, coalesce(t.leads, 0) AS found,
			coalesce(t.leads, 0) - coalesce(k.leads, 0) AS leads, coalesce(t.scored, 0) - coalesce(k.scored, 0) AS scored,
			coalesce(t.score, 0) - coalesce(k.score, 0) AS score
		FROM truth t FULL JOIN kept k ON @extschema@.va_funnel_group(t.tenant_id, t.lead_temperature, t.status)
			= @extschema@.va_funnel_group(k.tenant_id, k.lead_temperature, k.status)),
	mended AS (
		INSERT INTO @extschema@.lead_counts (tenant_id, lead_temperature, status, leads, scored, score)
		SELECT d.tenant_id, d.lead_temperature, d.status, d.leads, d.scored, d.score
		FROM difference d WHERE d.leads <> 0 OR d.scored <> 0 OR d.score <> 0)
	SELECT d.tenant_id, d.lead_temperature::text, d.status::text, d.counted, d.found
	FROM difference d WHERE d.leads <> 0 OR d.scored <> 0 OR d.score <> 0
	ORDER BY 1, 2, 3;
END
$$;

GRANT EXECUTE ON FUNCTION @extschema@.va_funnel_recount(), @extschema@.va_funnel_compact() TO voiceagent_admin;
GRANT SELECT ON @extschema@.lead_counts TO voiceagent_admin, voiceagent_agent, voiceagent_bi;

-- The leads that are there already, when an older version is upgraded.
DO $$
BEGIN
	PERFORM @extschema@.va_funnel_recount();
END
$$;
