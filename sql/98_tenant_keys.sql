-- A row of one tenant cannot point at a row of another. Every foreign key between two tables that belong to
-- tenants is here made one of (tenant_id, column) to (tenant_id, id); the loop reads the catalogue, so that a table of
-- the files before is covered by being there, and the test `tenant_keys` sees that none was missed.
--
-- The keys of the specification stay and get the new one beside them: their tables allow a tenant_id of NULL, and
-- then only the simple key holds. Where tenant_id cannot be NULL the new key takes the place of the simple one,
-- so that hot tables are checked once.
--
-- Of two keys beside each other the new one is checked first: the older a constraint, the earlier its trigger fires. So an
-- error names the same key whether the row pointed at does not exist or is another tenant's, and tells nothing.
--
-- All of it may run again, in an upgrade: what is there already stays.

-- A call has a tenant, and so has what belongs to it.
ALTER TABLE @extschema@.tool_invocations ALTER COLUMN tenant_id SET NOT NULL;
ALTER TABLE @extschema@.call_events ALTER COLUMN tenant_id SET NOT NULL;
ALTER TABLE @extschema@.call_metrics ALTER COLUMN tenant_id SET NOT NULL;
ALTER TABLE @extschema@.call_tokens ALTER COLUMN tenant_id SET NOT NULL;

-- People, where the specification names them without a key.
ALTER TABLE @extschema@.leads
	ADD CONSTRAINT leads_assigned_to_fkey FOREIGN KEY (assigned_to) REFERENCES @extschema@.human_agents(id) ON DELETE SET NULL;
ALTER TABLE @extschema@.appointments
	ADD CONSTRAINT appointments_assigned_agent_id_fkey FOREIGN KEY (assigned_agent_id) REFERENCES @extschema@.human_agents(id) ON DELETE SET NULL;
ALTER TABLE @extschema@.follow_up_tasks
	ADD CONSTRAINT follow_up_tasks_assigned_to_fkey FOREIGN KEY (assigned_to) REFERENCES @extschema@.human_agents(id) ON DELETE SET NULL;

-- Every foreign key from a table with tenant_id to another one, `tenants` apart. has_tenant: tenant_id is part of
-- it; doubled: another one that has it covers the same column; tenant_known: tenant_id cannot be NULL.
CREATE FUNCTION @extschema@.va_tenant_links()
	RETURNS TABLE (conname name, conrelid oid, confrelid oid, confdeltype "char", column_name name, has_tenant boolean, doubled boolean,
				   tenant_known boolean)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY
	WITH ours AS (
		SELECT c.oid, a.attnum AS tenant, a.attnotnull FROM pg_depend d
		JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
		JOIN pg_class c ON c.oid = d.objid AND d.classid = 'pg_class'::regclass
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
		WHERE e.extname = 'voiceagent' AND d.deptype = 'e' AND c.relkind IN ('r', 'p') AND NOT c.relispartition)
	SELECT k.conname, k.conrelid, k.confrelid, k.confdeltype, a.attname, s.tenant = ANY (k.conkey),
		EXISTS (SELECT FROM pg_constraint o WHERE o.conrelid = k.conrelid AND o.confrelid = k.confrelid AND o.contype = 'f'
				AND o.oid <> k.oid AND o.conkey @> (k.conkey || s.tenant)),
		s.attnotnull
	FROM pg_constraint k JOIN ours s ON s.oid = k.conrelid JOIN ours t ON t.oid = k.confrelid
	CROSS JOIN LATERAL (SELECT x.attname FROM pg_attribute x WHERE x.attrelid = k.conrelid AND x.attnum = ANY (k.conkey)
						AND x.attnum <> s.tenant ORDER BY x.attnum LIMIT 1) a
	WHERE k.contype = 'f' AND k.conparentid = 0
	ORDER BY k.conrelid::regclass::text, k.conname;
END
$$;

DO $$
DECLARE
	v_key record;
	v_target regclass;
	v_name name;
BEGIN
	FOR v_target IN
		SELECT DISTINCT k.confrelid::regclass FROM @extschema@.va_tenant_links() k WHERE NOT k.has_tenant
	LOOP
		SELECT c.relname OPERATOR(pg_catalog.||) '_tenant_id_id_key' INTO v_name FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) v_target;
		CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid OPERATOR(pg_catalog.=) v_target AND k.conname OPERATOR(pg_catalog.=) v_name);
		EXECUTE pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I UNIQUE (tenant_id, id)', v_target, v_name);
	END LOOP;
	FOR v_key IN SELECT * FROM @extschema@.va_tenant_links() k WHERE NOT k.has_tenant AND NOT k.doubled LOOP
		EXECUTE pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I FOREIGN KEY (tenant_id, %I) REFERENCES %s (tenant_id, id)%s',
			v_key.conrelid::regclass, 'tenant_' OPERATOR(pg_catalog.||) v_key.conname, v_key.column_name, v_key.confrelid::regclass,
			CASE v_key.confdeltype WHEN 'c' THEN ' ON DELETE CASCADE'
				WHEN 'n' THEN pg_catalog.format(' ON DELETE SET NULL (%I)', v_key.column_name) ELSE '' END);
		IF v_key.tenant_known THEN
			EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', v_key.conrelid::regclass, v_key.conname);
		END IF;
	END LOOP;
	FOR v_key IN
		SELECT simple.conname, simple.conrelid, pg_catalog.pg_get_constraintdef(c.oid) AS definition
		FROM @extschema@.va_tenant_links() simple
		JOIN @extschema@.va_tenant_links() full_key ON full_key.has_tenant AND full_key.conrelid OPERATOR(pg_catalog.=) simple.conrelid
			AND full_key.column_name OPERATOR(pg_catalog.=) simple.column_name AND full_key.confrelid OPERATOR(pg_catalog.=) simple.confrelid
		JOIN pg_catalog.pg_constraint c ON c.conrelid OPERATOR(pg_catalog.=) simple.conrelid AND c.conname OPERATOR(pg_catalog.=) simple.conname
		JOIN pg_catalog.pg_constraint f ON f.conrelid OPERATOR(pg_catalog.=) full_key.conrelid AND f.conname OPERATOR(pg_catalog.=) full_key.conname
		WHERE NOT simple.has_tenant AND c.oid OPERATOR(pg_catalog.<) f.oid
	LOOP
		EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I %s', v_key.conrelid::regclass, v_key.conname, v_key.conname, v_key.definition);
	END LOOP;
END
$$;
