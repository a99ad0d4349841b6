-- After an upgrade: what the user had granted to others holds again, and pg_dump goes on to dump it. (A GRANT in an
-- extension's script counts as the extension's own, which a dump leaves out; so the grants of others are taken out of
-- the list of those, pg_init_privs, again.)
DO $$
DECLARE
	v_row record;
BEGIN
	FOR v_row IN
		SELECT g ->> 'on' AS on_what, g ->> 'privilege' AS privilege, g ->> 'grantee' AS grantee, g ->> 'more' AS more
		FROM jsonb_array_elements(current_setting('va_upgrade.grants')::jsonb) g
	LOOP
		BEGIN
			EXECUTE format('GRANT %s ON %s TO %s%s', v_row.privilege, v_row.on_what, v_row.grantee, v_row.more);
		EXCEPTION WHEN undefined_function OR undefined_table OR undefined_column THEN
			RAISE WARNING 'the grant of % on % to % is gone with what it was on', v_row.privilege, v_row.on_what, v_row.grantee;
		END;
	END LOOP;
	UPDATE pg_init_privs i
	SET initprivs = ARRAY(
		SELECT a FROM unnest(i.initprivs) a, aclexplode(ARRAY[a]) x
		WHERE x.grantee = 0 OR x.grantee = x.grantor
		   OR x.grantee IN (SELECT r.oid FROM pg_roles r WHERE r.rolname IN
				('voiceagent_admin', 'voiceagent_agent', 'voiceagent_bi', 'voiceagent_gateway', 'voiceagent_dispatcher'))
		GROUP BY a)
	FROM pg_depend d, pg_extension e
	WHERE d.classid = i.classoid AND d.objid = i.objoid AND d.refobjid = e.oid AND e.extname = 'voiceagent' AND d.deptype = 'e'
	  AND i.privtype = 'e';
	DELETE FROM pg_init_privs i USING pg_depend d, pg_extension e
	WHERE d.classid = i.classoid AND d.objid = i.objoid AND d.refobjid = e.oid AND e.extname = 'voiceagent' AND d.deptype = 'e'
	  AND i.privtype = 'e' AND cardinality(i.initprivs) = 0;
END
$$;

-- What was switched off stays off.
DO $$
DECLARE
	v_row record;
BEGIN
	FOR v_row IN SELECT d.key AS tab, d.value AS names FROM jsonb_each(current_setting('va_upgrade.disabled')::jsonb) d LOOP
		EXECUTE format('UPDATE %s SET enabled = false WHERE is_builtin AND enabled AND name IN (SELECT jsonb_array_elements_text(%L))', v_row.tab, v_row.names);
	END LOOP;
END
$$;
