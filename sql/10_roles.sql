-- Roles. They belong to the cluster, not to the database: they are made when absent and stay
-- when the extension is dropped. What they may do is said in 99_security.sql.
DO $$
DECLARE
	v_role text;
	v_options text;
BEGIN
	FOR v_role, v_options IN
		VALUES ('voiceagent_admin', 'NOLOGIN'),      -- configures tenants, reads everything
			   ('voiceagent_agent', 'NOLOGIN'),      -- a tenant's application
			   ('voiceagent_bi', 'NOLOGIN'),         -- reads a tenant's views
			   ('voiceagent_gateway', 'LOGIN'),      -- the program that carries calls
			   ('voiceagent_dispatcher', 'LOGIN')    -- the program that carries the outbox
	LOOP
		CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) v_role);
		BEGIN
			EXECUTE pg_catalog.format('CREATE ROLE %I %s', v_role, v_options);
		EXCEPTION WHEN duplicate_object OR unique_violation THEN
			NULL; -- another database of this cluster made it in the same moment
		END;
	END LOOP;
END
$$;
