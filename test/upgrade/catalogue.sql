-- Everything the catalogue knows of the extension, one line an item, sorted: two databases that print the same have
-- the same extension. Columns are listed by name: their order tells which version made them, and nothing else.
\set ON_ERROR_STOP on
\pset format unaligned
\pset tuples_only on
SET search_path = pg_catalog;

CREATE TEMP VIEW members AS
SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
WHERE e.extname = 'voiceagent' AND d.deptype = 'e';
CREATE TEMP VIEW relations AS
SELECT c.*, c.oid::regclass::text AS name FROM members m JOIN pg_class c ON c.oid = m.objid AND m.classid = 'pg_class'::regclass;
CREATE TEMP VIEW functions AS
SELECT p.*, p.oid::regprocedure::text AS name FROM members m JOIN pg_proc p ON p.oid = m.objid AND m.classid = 'pg_proc'::regclass;

-- A view's columns may come in another order where it says "table.*"; so may, then, the lines of its text.
CREATE FUNCTION pg_temp.view_text(view oid) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(l, ' ' ORDER BY l) FROM (SELECT btrim(rtrim(x, ',; ')) AS l FROM regexp_split_to_table(pg_get_viewdef(view, true), '\n') x) s
$$;
CREATE FUNCTION pg_temp.rights(acl aclitem[], owner oid, kind "char") RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(format('%s=%s%s', CASE x.grantee WHEN 0 THEN 'PUBLIC' WHEN owner THEN 'owner' ELSE x.grantee::regrole::text END,
		x.privilege_type, CASE WHEN x.is_grantable THEN '*' END), ' ' ORDER BY x.grantee = owner, x.grantee, x.privilege_type), 'none')
	FROM aclexplode(coalesce(acl, acldefault(kind, owner))) x
$$;

SELECT line FROM (
	SELECT format('extension: version %s, %s, schema %s', extversion, CASE WHEN extrelocatable THEN 'relocatable' ELSE 'not relocatable' END, extnamespace::regnamespace) AS line
	FROM pg_extension WHERE extname = 'voiceagent'
	UNION ALL
	SELECT format('member: %s %s', o.type, o.identity) FROM members m, pg_identify_object(m.classid, m.objid, 0) o
	-- The types of rows and arrays come and go with their tables.
	WHERE m.classid <> 'pg_type'::regclass OR EXISTS (SELECT FROM pg_type t WHERE t.oid = m.objid AND t.typtype IN ('e', 'd', 'r'))
	UNION ALL
	SELECT format('%s %s: persistence %s, row security %s, forced %s, options %s%s%s', CASE r.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' ELSE r.relkind::text END, r.name,
		r.relpersistence, r.relrowsecurity, r.relforcerowsecurity, coalesce(r.reloptions::text, '{}'), ', partitioned by ' || pg_get_partkeydef(r.oid), ', partition of ' || (SELECT string_agg(i.inhparent::regclass::text, ',') FROM pg_inherits i WHERE i.inhrelid = r.oid) || ' ' || pg_get_expr(r.relpartbound, r.oid))
	FROM relations r
	UNION ALL
	SELECT format('rights on %s: %s', r.name, pg_temp.rights(r.relacl, r.relowner, CASE r.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char")) FROM relations r WHERE r.relkind IN ('r', 'p', 'v', 'm', 'S')
	UNION ALL
	SELECT format('column %s.%s: %s%s%s%s%s%s', r.name, a.attname, format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN ' NOT NULL' END,
		CASE WHEN a.attgenerated <> '' THEN ' GENERATED ' ELSE ' DEFAULT ' END || pg_get_expr(d.adbin, d.adrelid), CASE WHEN a.attidentity <> '' THEN ' IDENTITY ' || a.attidentity::text END,
		CASE WHEN a.attstorage <> t.typstorage THEN ' STORAGE ' || a.attstorage::text END, CASE WHEN a.attcollation <> t.typcollation THEN ' COLLATE ' || a.attcollation::regcollation::text END)
	FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped JOIN pg_type t ON t.oid = a.atttypid
	LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum WHERE r.relkind IN ('r', 'p', 'v', 'm', 'c')
	UNION ALL
	SELECT format('rights on %s.%s: %s', r.name, a.attname, pg_temp.rights(a.attacl, r.relowner, 'c')) FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
	UNION ALL
	SELECT format('constraint %s on %s: %s%s', k.conname, r.name, pg_get_constraintdef(k.oid), CASE WHEN NOT k.convalidated THEN ' (not validated)' END)
	FROM relations r JOIN pg_constraint k ON k.conrelid = r.oid WHERE k.contype <> 't'
	UNION ALL
	SELECT format('index %s: %s%s', i.indexrelid::regclass, pg_get_indexdef(i.indexrelid), CASE WHEN NOT i.indisvalid THEN ' (not valid)' END) FROM relations r JOIN pg_index i ON i.indrelid = r.oid
	UNION ALL
	SELECT format('trigger %s on %s: %s, enabled %s', t.tgname, r.name, pg_get_triggerdef(t.oid), t.tgenabled) FROM relations r JOIN pg_trigger t ON t.tgrelid = r.oid WHERE NOT t.tgisinternal
	UNION ALL
	SELECT format('policy %s on %s: %s for %s to %s using (%s) check (%s)', p.polname, r.name, CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END, p.polcmd,
		(SELECT string_agg(CASE x WHEN 0 THEN 'PUBLIC' ELSE x::regrole::text END, ',' ORDER BY x) FROM unnest(p.polroles) x), pg_get_expr(p.polqual, r.oid), pg_get_expr(p.polwithcheck, r.oid))
	FROM relations r JOIN pg_policy p ON p.polrelid = r.oid
	UNION ALL
	SELECT format('view %s: %s', r.name, pg_temp.view_text(r.oid)) FROM relations r WHERE r.relkind IN ('v', 'm')
	UNION ALL
	SELECT format('rule %s on %s: %s', w.rulename, r.name, pg_get_ruledef(w.oid)) FROM relations r JOIN pg_rewrite w ON w.ev_class = r.oid WHERE w.rulename <> '_RETURN'
	UNION ALL
	SELECT format('function %s: %s', f.name, replace(pg_get_functiondef(f.oid), E'\n', '\n')) FROM functions f WHERE f.prokind <> 'a'
	UNION ALL
	SELECT format('rights on function %s: %s', f.name, pg_temp.rights(f.proacl, f.proowner, 'f')) FROM functions f
	UNION ALL
	SELECT format('initial rights on %s: %s', pg_describe_object(i.classoid, i.objoid, i.objsubid), pg_temp.rights(i.initprivs, coalesce(r.relowner, f.proowner), 'r'))
	FROM pg_init_privs i JOIN members m ON m.classid = i.classoid AND m.objid = i.objoid LEFT JOIN relations r ON r.oid = i.objoid LEFT JOIN functions f ON f.oid = i.objoid
	-- Initial rights that are an owner's usual ones say nothing.
	WHERE r.oid IS NULL OR pg_temp.rights(i.initprivs, r.relowner, 'r') <> pg_temp.rights(NULL, r.relowner, 'r')
	UNION ALL
	SELECT format('type %s: %s %s %s', t.oid::regtype, t.typtype, format_type(t.typbasetype, t.typtypmod), (SELECT string_agg(l.enumlabel, ',' ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = t.oid))
	FROM members m JOIN pg_type t ON t.oid = m.objid AND m.classid = 'pg_type'::regclass WHERE t.typtype IN ('e', 'd', 'r')
	UNION ALL
	SELECT format('comment on %s: %s', pg_describe_object(c.classoid, c.objoid, c.objsubid), c.description) FROM pg_description c JOIN members m ON m.classid = c.classoid AND m.objid = c.objoid
	UNION ALL
	SELECT format('dump mark on %s: %s', x.oid::regclass, coalesce(nullif(e.extcondition[x.n], ''), 'every row')) FROM pg_extension e, unnest(e.extconfig) WITH ORDINALITY x (oid, n)
	WHERE e.extname = 'voiceagent'
) lines ORDER BY line COLLATE "C";

-- The rows that come with the extension, but for the ids and times of their making.
SELECT format('SELECT ''row of %s: '' || (to_jsonb(t) - ARRAY[''id'', ''sequence_id'', ''created_at'', ''updated_at''])::text FROM %s t WHERE is_builtin ORDER BY 1', r.name, r.name)
FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attname = 'is_builtin' AND NOT a.attisdropped WHERE r.relkind IN ('r', 'p') AND NOT r.relispartition ORDER BY r.name \gexec
