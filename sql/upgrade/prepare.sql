-- Before an upgrade: what can be made again goes out of the way of the tables.
--
-- A view or function that something outside of the extension needs (a view of the user's own, a constraint)
-- cannot be dropped: it stays, and CREATE OR REPLACE puts the new one in its place.

-- Names without a schema are PostgreSQL's own from here on: what lies beside us in the extension's schema is not looked at.
SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);

-- What others than the extension's own roles were granted: a dropped view or function forgets it. finish.sql
-- grants it again.
SELECT set_config('va_upgrade.grants', coalesce((
	SELECT jsonb_agg(jsonb_build_object('on', g.on_what, 'privilege', g.privilege,
		'grantee', g.grantee::regrole::text, 'more', CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END))
	FROM (
		SELECT format('FUNCTION %s', p.oid::regprocedure) AS on_what, a.privilege_type AS privilege, a.grantee, a.is_grantable, p.proowner AS owner
		FROM pg_proc p, aclexplode(p.proacl) a, pg_depend d, pg_extension e
		WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.refobjid = e.oid AND e.extname = 'voiceagent' AND d.deptype = 'e'
		UNION ALL
		SELECT format('TABLE %s', c.oid::regclass), a.privilege_type, a.grantee, a.is_grantable, c.relowner
		FROM pg_class c, aclexplode(c.relacl) a, pg_depend d, pg_extension e
		WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refobjid = e.oid AND e.extname = 'voiceagent' AND d.deptype = 'e'
		UNION ALL
		SELECT format('TABLE %s', c.oid::regclass), format('%s (%I)', a.privilege_type, t.attname), a.grantee, a.is_grantable, c.relowner
		FROM pg_class c, pg_attribute t, aclexplode(t.attacl) a, pg_depend d, pg_extension e
		WHERE t.attrelid = c.oid AND d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refobjid = e.oid AND e.extname = 'voiceagent' AND d.deptype = 'e'
	) g
	WHERE g.grantee NOT IN (0, g.owner)
	  AND g.grantee NOT IN (SELECT r.oid FROM pg_roles r WHERE r.rolname IN
		('voiceagent_admin', 'voiceagent_agent', 'voiceagent_bi', 'voiceagent_gateway', 'voiceagent_dispatcher'))), '[]')::text, true);

-- Which of the rows that came with the extension were switched off: they may be made again, and stay so.
DO $$
DECLARE
	v_table regclass;
	v_names jsonb;
	v_all jsonb := '{}';
BEGIN
	FOR v_table IN
		SELECT d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'voiceagent'
		WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e' AND (SELECT count(*) FROM pg_attribute a
			WHERE a.attrelid = d.objid AND a.attname IN ('is_builtin', 'enabled', 'name') AND NOT a.attisdropped) = 3
	LOOP
		EXECUTE format('SELECT jsonb_agg(name) FROM %s WHERE is_builtin AND NOT enabled', v_table) INTO v_names;
		v_all := v_all || jsonb_build_object(v_table, coalesce(v_names, '[]'));
	END LOOP;
	PERFORM set_config('va_upgrade.disabled', v_all::text, true);
END
$$;

DO $$
DECLARE
	v_row record;
	v_again boolean := true;
BEGIN
	-- Triggers on our tables that call our functions; a user's own stay.
	FOR v_row IN
		SELECT t.tgname, t.tgrelid::regclass AS on_table
		FROM pg_trigger t
		JOIN pg_depend f ON f.classid = 'pg_proc'::regclass AND f.objid = t.tgfoid AND f.deptype = 'e'
		JOIN pg_depend r ON r.classid = 'pg_class'::regclass AND r.objid = t.tgrelid AND r.deptype = 'e' AND r.refobjid = f.refobjid
		JOIN pg_extension e ON e.oid = f.refobjid AND e.extname = 'voiceagent'
		WHERE NOT t.tgisinternal AND t.tgparentid = 0
	LOOP
		EXECUTE format('DROP TRIGGER %I ON %s', v_row.tgname, v_row.on_table);
	END LOOP;
	-- Policies that bear our names.
	FOR v_row IN
		SELECT p.polname, p.polrelid::regclass AS on_table
		FROM pg_policy p
		JOIN pg_depend r ON r.classid = 'pg_class'::regclass AND r.objid = p.polrelid AND r.deptype = 'e'
		JOIN pg_extension e ON e.oid = r.refobjid AND e.extname = 'voiceagent'
		WHERE p.polname IN ('tenant_rows', 'administrator', 'owner', 'common_rows')
	LOOP
		EXECUTE format('DROP POLICY %I ON %s', v_row.polname, v_row.on_table);
	END LOOP;
	-- Views and functions that nothing needs; then those that only these needed, and so on.
	WHILE v_again LOOP
		v_again := false;
		FOR v_row IN
			SELECT CASE WHEN c.oid IS NOT NULL THEN format('DROP VIEW %s', c.oid::regclass)
						WHEN p.prokind = 'a' THEN format('DROP AGGREGATE %s', p.oid::regprocedure)
						ELSE format('DROP ROUTINE %s', p.oid::regprocedure) END AS statement
			FROM pg_depend d
			JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
			LEFT JOIN pg_class c ON c.oid = d.objid AND d.classid = 'pg_class'::regclass AND c.relkind = 'v'
			LEFT JOIN pg_proc p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass
			WHERE e.extname = 'voiceagent' AND d.deptype = 'e' AND (c.oid IS NOT NULL OR p.oid IS NOT NULL)
		LOOP
			BEGIN
				EXECUTE v_row.statement;
				v_again := true;
			EXCEPTION WHEN dependent_objects_still_exist THEN
				NULL;
			END;
		END LOOP;
	END LOOP;
END
$$;

-- The grants to our own roles begin anew: the statements that follow make them all.
DO $$
DECLARE
	v_row record;
	v_roles text;
BEGIN
	SELECT 'PUBLIC' || coalesce(string_agg(format(', %I', r.rolname), ''), '') INTO v_roles
	FROM pg_roles r
	WHERE r.rolname IN ('voiceagent_admin', 'voiceagent_agent', 'voiceagent_bi', 'voiceagent_gateway', 'voiceagent_dispatcher');
	FOR v_row IN
		SELECT CASE d.classid WHEN 'pg_proc'::regclass THEN format('ROUTINE %s', d.objid::regprocedure)
							  ELSE format('TABLE %s', d.objid::regclass) END AS object
		FROM pg_depend d
		JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
		LEFT JOIN pg_class c ON c.oid = d.objid AND d.classid = 'pg_class'::regclass
		WHERE e.extname = 'voiceagent' AND d.deptype = 'e'
		  AND (d.classid = 'pg_proc'::regclass OR c.relkind IN ('r', 'p', 'v', 'm'))
	LOOP
		EXECUTE format('REVOKE ALL ON %s FROM %s', v_row.object, v_roles);
	END LOOP;
END
$$;
