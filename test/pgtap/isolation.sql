-- Nothing of another tenant's is read, written, moved or deleted: every table and view × every verb × every role of a
-- tenant's × a session with its own tenant, with none, and with garbage. All of it is made from the catalogue, so that a
-- table, view or function is covered by being there.
\ir setup.psql
\ir rows.psql
SELECT no_plan();

SELECT pg_temp.tenant('+15551230002') AS mine, pg_temp.tenant('+15551230003') AS theirs \gset
SELECT is(f.problem, NULL, format('%s is filled (by hand where it resists: rows.psql)', f.tab)) FROM unnest(ARRAY[:'mine', :'theirs']::uuid[]) t, pg_temp.fill_all(t) f;
SELECT cmp_ok((SELECT count(*) FROM tenant_tables), '>=', 28::bigint, 'there are tables to look at');
ANALYZE;
CREATE TEMP VIEW tenant_views AS SELECT c.oid::regclass AS tab FROM members m JOIN pg_class c ON c.oid = m.objid AND m.classid = 'pg_class'::regclass WHERE c.relkind IN ('v', 'm');
CREATE TEMP TABLE sessions AS SELECT r.role, s.setting, s.own FROM (VALUES ('voiceagent_agent'), ('voiceagent_bi')) r (role),
	(VALUES (:'mine', :'mine'::uuid), ('', NULL), ('garbage', NULL), (:'mine' || ' ', NULL), (gen_random_uuid()::text, NULL)) s (setting, own);

-- Runs a statement as a session of a tenant's, and takes it back. What came of it: a count of rows, or SQLSTATE: message.
-- With p_arrived, a query, what counts is its answer afterwards: a trigger may have kept the rows where they were.
CREATE FUNCTION pg_temp.attempt(p_role text, p_setting text, p_statement text, p_arrived text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_rows bigint;
	v_before bigint := 0;
BEGIN
	IF p_arrived IS NOT NULL THEN
		EXECUTE p_arrived INTO v_before;
	END IF;
	PERFORM set_config('voiceagent.tenant_id', p_setting, true);
	EXECUTE format('SET LOCAL ROLE %I', p_role);
	EXECUTE p_statement;
	GET DIAGNOSTICS v_rows = ROW_COUNT;
	IF p_arrived IS NOT NULL THEN
		RESET ROLE;
		EXECUTE p_arrived INTO v_rows;
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = (v_rows - v_before)::text;
EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
	RETURN SQLERRM;
WHEN OTHERS THEN
	RETURN SQLSTATE || ': ' || SQLERRM;
END
$$;
-- The first column of a table that a role may update, else any.
CREATE FUNCTION pg_temp.column_to_set(p_role text, p_tab regclass) RETURNS name LANGUAGE sql AS $$
	SELECT a.attname FROM pg_attribute a WHERE a.attrelid = p_tab AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
	ORDER BY has_column_privilege(p_role, p_tab, a.attname, 'UPDATE') DESC, a.attnum LIMIT 1
$$;
-- A copy of the other tenant's row as INSERT, with a new id where it has one.
CREATE FUNCTION pg_temp.copy_of(p_tab regclass, p_key text, p_tenant uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_row jsonb;
	v_columns text;
BEGIN
	EXECUTE format('SELECT to_jsonb(t) FROM %s t WHERE %I = $1 LIMIT 1', p_tab, p_key) INTO v_row USING p_tenant;
	SELECT string_agg(quote_ident(a.attname), ', ') INTO v_columns FROM pg_attribute a WHERE a.attrelid = p_tab AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
	IF p_key <> 'id' AND v_row ? 'id' THEN
		v_row := v_row || jsonb_build_object('id', gen_random_uuid());
	END IF;
	RETURN format('INSERT INTO %s (%s) SELECT %s FROM jsonb_populate_record(NULL::%s, %L)', p_tab, v_columns, v_columns, p_tab, v_row);
END
$$;

-- Every way to a table: what is tried, and whether an answer of 0 rows is an answer, or only an error will do.
CREATE FUNCTION pg_temp.ways(p_tab regclass, p_key text, p_role text, p_own uuid, p_mine uuid, p_theirs uuid) RETURNS TABLE (way text, statement text, zero_will_do boolean) LANGUAGE sql AS $$
	SELECT v.way, v.statement, v.zero FROM pg_temp.column_to_set(p_role, p_tab) c, pg_temp.copy_of(p_tab, p_key, p_theirs) copy, LATERAL (VALUES
		('SELECT', format('SELECT 1 FROM %s WHERE %I = %L', p_tab, p_key, p_theirs), true),
		('SELECT of all', format('SELECT 1 FROM %s WHERE %I IS NOT NULL AND %I IS DISTINCT FROM %L', p_tab, p_key, p_key, p_own), true),
		('SELECT FOR UPDATE', format('SELECT 1 FROM %s WHERE %I = %L FOR UPDATE', p_tab, p_key, p_theirs), true),
		('SELECT FOR KEY SHARE', format('SELECT 1 FROM %s WHERE %I = %L FOR KEY SHARE', p_tab, p_key, p_theirs), true),
		('UPDATE', format('UPDATE %s SET %I = %I WHERE %I = %L', p_tab, c, c, p_key, p_theirs), true),
		('UPDATE of all', format('UPDATE %s SET %I = %I WHERE %I IS DISTINCT FROM %L', p_tab, c, c, p_key, p_own), true),
		('UPDATE to the other tenant', format('UPDATE %s SET %I = %L WHERE %I = %L', p_tab, p_key, p_theirs, p_key, p_mine), true),
		('UPDATE from the other tenant', format('UPDATE %s SET %I = %L WHERE %I = %L', p_tab, p_key, p_mine, p_key, p_theirs), true),
		('DELETE', format('DELETE FROM %s WHERE %I = %L', p_tab, p_key, p_theirs), true),
		('MERGE', format('MERGE INTO %s t USING (SELECT 1) s ON t.%I = %L WHEN MATCHED THEN DELETE', p_tab, p_key, p_theirs), true),
		('INSERT', copy, false),
		('INSERT ON CONFLICT', copy || ' ON CONFLICT DO NOTHING', false),
		('TRUNCATE', format('TRUNCATE %s CASCADE', p_tab), false)
	) v (way, statement, zero)
$$;
-- An answer is good when it refuses: no right (42501), no uuid (22P02; 22023 where the library looks at the setting), or no row.
CREATE FUNCTION pg_temp.is_refusal(p_answer text, p_zero boolean) RETURNS boolean LANGUAGE sql
	RETURN p_answer ~ '^(42501|22P02): |^22023: .*voiceagent.tenant_id' OR p_zero AND p_answer = '0';
SELECT is((SELECT array_agg(format('%s on %s to %s', p, tab, r)) FROM tenant_tables, unnest(ARRAY['TRUNCATE', 'REFERENCES', 'TRIGGER']) p, unnest(ARRAY['voiceagent_admin', 'voiceagent_agent', 'voiceagent_bi', 'voiceagent_gateway', 'voiceagent_dispatcher', 'public']) r
	WHERE has_table_privilege(r, tab, p)), NULL, 'nobody empties a table, points at it from his own, or puts triggers on it');
SELECT ok(c.relrowsecurity AND c.relforcerowsecurity, format('row-level security of %s is forced', t.tab)) FROM tenant_tables t JOIN pg_class c ON c.oid = t.tab ORDER BY t.tab::text;
SELECT is((SELECT array_agg(p.oid::regprocedure::text) FROM members m JOIN pg_proc p ON p.oid = m.objid AND m.classid = 'pg_proc'::regclass WHERE p.proleakproof), NULL, 'no function may run before row-level security has sorted out the rows');

SELECT is(array_agg(format('%s with tenant "%s": %s', w.way, s.setting, a)) FILTER (WHERE NOT pg_temp.is_refusal(a, w.zero_will_do)), NULL, format('%s is closed to %s of another tenant (%s attempts)', t.tab, s.role, count(*)))
FROM tenant_tables t, sessions s, pg_temp.ways(t.tab, t.key, s.role, s.own, :'mine', :'theirs') w, pg_temp.attempt(s.role, s.setting, w.statement, CASE w.way WHEN 'UPDATE to the other tenant' THEN format('SELECT count(*) FROM %s WHERE %I = %L', t.tab, t.key, :'theirs') END) a
GROUP BY t.tab, s.role ORDER BY t.tab::text, s.role;
-- and the same attempts do reach what is the session's own
SELECT is(array_agg(format('%s %s: %s', s.role, w.way, a)) FILTER (WHERE a IS NOT NULL), NULL, format('%s is open to those of its tenant', t.tab))
FROM tenant_tables t LEFT JOIN (sessions s CROSS JOIN LATERAL (VALUES ('SELECT'), ('DELETE')) w (way)) ON s.own IS NOT NULL AND NOT t.is_partition AND has_table_privilege(s.role, t.tab, w.way)
LEFT JOIN LATERAL pg_temp.attempt(s.role, s.setting, CASE w.way WHEN 'DELETE' THEN format('DELETE FROM %s WHERE %I = %L', t.tab, t.key, s.own) ELSE format('SELECT 1 FROM %s WHERE %I = %L', t.tab, t.key, s.own) END) a ON w.way IS NOT NULL
	AND NOT (a ~ '^[1-9]' OR w.way = 'DELETE' AND a LIKE '23503: %')
GROUP BY t.tab ORDER BY t.tab::text;

-- views
SELECT ok(EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = v.tab AND a.attname = 'tenant_id'), format('%s says whose its rows are', v.tab)) FROM tenant_views v ORDER BY v.tab::text;
CREATE FUNCTION pg_temp.rows_in(p_tab regclass, p_tenant uuid) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	v bigint;
BEGIN
	EXECUTE format('SELECT count(*) FROM %s WHERE tenant_id = %L', p_tab, p_tenant) INTO v;
	RETURN v;
END $$;
SELECT cmp_ok(pg_temp.rows_in(v.tab, t), '>', 0::bigint, format('%s has rows to hide (else give rows.psql some by hand)', v.tab)) FROM tenant_views v, unnest(ARRAY[:'mine', :'theirs']::uuid[]) t ORDER BY v.tab::text;
SELECT is(array_agg(format('%s with tenant "%s": %s', w.way, s.setting, a)) FILTER (WHERE NOT pg_temp.is_refusal(a, w.zero)), NULL, format('%s is closed to %s of another tenant', v.tab, s.role))
FROM tenant_views v, sessions s, LATERAL (VALUES
	('SELECT', format('SELECT 1 FROM %s WHERE tenant_id = %L', v.tab, :'theirs'), true),
	('SELECT of all', format('SELECT 1 FROM %s WHERE tenant_id IS DISTINCT FROM %L', v.tab, s.own), true),
	('SELECT as text', format('SELECT 1 FROM %s t WHERE t::text LIKE %L', v.tab, '%' || :'theirs' || '%'), true),
	('UPDATE', format('UPDATE %s SET tenant_id = tenant_id', v.tab), false),
	('INSERT', format('INSERT INTO %s (tenant_id) VALUES (%L)', v.tab, :'theirs'), false),
	('DELETE', format('DELETE FROM %s', v.tab), false)) w (way, statement, zero), pg_temp.attempt(s.role, s.setting, w.statement) a
-- (A view that cannot be written to at all says so before it asks for rights.)
WHERE w.zero OR has_table_privilege(s.role, v.tab, w.way) OR pg_relation_is_updatable(v.tab, false) <> 0
GROUP BY v.tab, s.role ORDER BY v.tab::text, s.role;
SELECT is(array_agg(format('%s: %s', s.role, a)) FILTER (WHERE a !~ '^[1-9]'), NULL, format('%s is open to those of its tenant', v.tab))
FROM tenant_views v, sessions s, pg_temp.attempt(s.role, s.setting, format('SELECT 1 FROM %s', v.tab)) a WHERE s.own IS NOT NULL AND has_table_privilege(s.role, v.tab, 'SELECT') GROUP BY v.tab ORDER BY v.tab::text;

-- COPY to where the client is: rows of its own tenant, and none that names the other
\set file `mktemp`
\setenv FILE :file
\setenv MINE :mine
\setenv THEIRS :theirs
SELECT set_config('voiceagent.tenant_id', :'mine', false) \g /dev/null
\o :file
SELECT 'SET ROLE voiceagent_agent' UNION ALL
SELECT format('COPY %s (%s) TO STDOUT', r.tab, r.columns) FROM (
	SELECT t.tab, (SELECT string_agg(quote_ident(a.attname), ', ') FROM pg_attribute a
		WHERE a.attrelid = t.tab AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND has_column_privilege('voiceagent_agent', t.tab, a.attnum, 'SELECT')) AS columns
	FROM tenant_tables t) r WHERE r.columns IS NOT NULL UNION ALL
SELECT format('COPY (SELECT * FROM %s) TO STDOUT', tab) FROM tenant_views WHERE has_table_privilege('voiceagent_agent', tab, 'SELECT') \gexec
\o
RESET ROLE;
\set found_theirs `grep -c "$THEIRS" "$FILE"`
\set found_mine `grep -c "$MINE" "$FILE"`
\set gone `rm "$FILE"`
SELECT is(:found_theirs, 0, 'COPY gives nothing of the other tenant'), cmp_ok(:found_mine, '>', 25, 'but what is the session''s own');
SELECT is((SELECT count(*)::int FROM pg_stats WHERE tablename IN (SELECT tab::text FROM tenant_tables)) > 0, true, 'there are statistics');
SET ROLE voiceagent_agent;
SELECT is((SELECT count(*)::int FROM pg_stats WHERE tablename IN (SELECT c.relname FROM pg_class c WHERE c.relrowsecurity)), 0, 'which tell a tenant nothing');
RESET ROLE;

-- A row of its own that points at the other tenant's: refused, in the same words as one that points nowhere.
CREATE FUNCTION pg_temp.point(p_tab regclass, p_column name, p_target regclass, p_mine uuid, p_theirs uuid, p_role text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_theirs uuid;
	v_nobody uuid := gen_random_uuid();
	v_answers text[];
	v text;
BEGIN
	EXECUTE format('SELECT id FROM %s WHERE tenant_id = $1 LIMIT 1', p_target) INTO v_theirs USING p_theirs;
	FOREACH v IN ARRAY ARRAY[v_theirs, v_nobody]::text[] LOOP
		v_answers := v_answers || replace(pg_temp.attempt(p_role, p_mine::text, format('UPDATE %s SET %I = %L WHERE tenant_id = %L', p_tab, p_column, v, p_mine)), v, 'ID');
	END LOOP;
	RETURN CASE WHEN v_answers[1] !~ '^[0-9A-Z]{5}: ' THEN 'accepted: ' || v_answers[1] 
		-- (Who sees all tenants may be told which of the two it is.)
		WHEN p_role = 'voiceagent_agent' AND v_answers[1] <> v_answers[2] THEN array_to_string(v_answers, ' but ') END;
END $$;
SELECT is(pg_temp.point(k.conrelid, k.column_name, k.confrelid, :'mine', :'theirs', r), NULL, format('%s: %s.%s does not point at the other tenant', r, k.conrelid::regclass, k.column_name))
FROM (SELECT DISTINCT conrelid, column_name, confrelid FROM va_tenant_links()) k, unnest(ARRAY[current_user, 'voiceagent_admin', 'voiceagent_agent']) r ORDER BY k.conrelid::regclass::text, k.column_name, r;

-- A value that only the other tenant has used may be refused (an id is unique), but the error does not show its row.
CREATE FUNCTION pg_temp.told(p_tab regclass, p_key text, p_mine uuid, p_theirs uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_row jsonb;
	v_columns text;
	v_detail text;
BEGIN
	EXECUTE format('SELECT to_jsonb(t) || jsonb_build_object(%L, $2) FROM %s t WHERE %I = $1 LIMIT 1', p_key, p_tab, p_key) INTO v_row USING p_theirs, p_mine;
	SELECT string_agg(quote_ident(a.attname), ', ') INTO v_columns FROM pg_attribute a WHERE a.attrelid = p_tab AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
	PERFORM set_config('voiceagent.tenant_id', p_mine::text, true);
	SET LOCAL ROLE voiceagent_agent;
	EXECUTE format('INSERT INTO %s (%s) SELECT %s FROM jsonb_populate_record(NULL::%s, %L)', p_tab, v_columns, v_columns, p_tab, v_row);
	RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = 'taken';
EXCEPTION WHEN unique_violation OR exclusion_violation THEN
	GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL;
	RETURN nullif(v_detail, '');
WHEN OTHERS THEN
	RETURN CASE WHEN SQLERRM LIKE '%' || p_theirs || '%' THEN SQLERRM END;
END $$;
SELECT is(pg_temp.told(t.tab, t.key, :'mine', :'theirs'), NULL, format('%s: a duplicate tells nothing of the other tenant', t.tab)) FROM tenant_tables t WHERE has_table_privilege('voiceagent_agent', t.tab, 'INSERT') ORDER BY t.tab::text;

-- Functions. Each that a tenant's role may call and that takes a uuid is called with the other tenant's ids. Which table
-- an argument's ids are of:
CREATE TEMP TABLE arguments (name text, tab regclass);
INSERT INTO arguments VALUES ('tenant', 'tenants'), ('p_tenant', 'tenants'), ('lead', 'leads'), ('keep', 'leads'), ('drop', 'leads'), ('call', 'calls'), ('call_id', 'calls'), ('appointment', 'appointments'),
	('agent', 'human_agents'), ('reservation', 'agent_reservations'), ('key_id', 'api_keys'), ('task', 'follow_up_tasks'), ('notification', 'notifications'), ('message', 'notifications'), ('session', 'conversation_sessions'),
	('campaign', 'campaigns'), ('file', 'stored_files');
-- and what the others get, where they have no default:
CREATE TEMP TABLE samples (name text, value text);
INSERT INTO samples VALUES ('event', 'qualify'), ('channel', 'sms'), ('address', '+15557779999'), ('granted', 'true'), ('data', '{"phone": "+15557770008"}'), ('phone', '+15557779999'), ('scheduled_at', '2030-01-07 10:00+00'), ('from', '2030-01-07 00:00+00'), ('to', '2030-01-08 00:00+00'), ('p_day', '2030-01-07');

CREATE TEMP VIEW callable AS
SELECT p.oid, p.oid::regprocedure AS function, r.role, a.n, a.name, a.type, a.n > p.pronargs - p.pronargdefaults AS has_default
FROM members m JOIN pg_proc p ON p.oid = m.objid AND m.classid = 'pg_proc'::regclass, unnest(ARRAY['voiceagent_agent', 'voiceagent_bi']) r (role),
	LATERAL (SELECT u.n, p.proargnames[u.n] AS name, u.type FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY u (type, n)) a
WHERE p.prorettype <> 'trigger'::regtype AND has_function_privilege(r.role, p.oid, 'EXECUTE');
SELECT is((SELECT array_agg(DISTINCT format('%s of %s', c.name, c.function)) FROM callable c JOIN pg_type t ON t.oid = c.type WHERE t.typtype = 'c' OR t.typcategory = 'A' AND t.typelem IN ('uuid'::regtype) OR t.typtype = 'p'), ARRAY['leads of va_campaign_add(uuid,uuid[])'], 'no tenant''s role hands rows or lists of ids to a function but to the one that campaigns.sql tries');
SELECT is((SELECT array_agg(DISTINCT format('%s of %s', c.name, c.function)) FROM callable c WHERE c.type = 'uuid'::regtype AND NOT EXISTS (SELECT FROM arguments a WHERE a.name = c.name)), NULL, 'it is known whose id every argument is (else say so in arguments)');

-- A call of a function: bit n of p_foreign says that the n-th argument is the other tenant's (p_theirs; p_nobody: nobody's) id.
CREATE FUNCTION pg_temp.call_of(p_function regprocedure, p_role text, p_foreign int, p_mine uuid, p_theirs uuid, p_nobody uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v record;
	v_id uuid;
	v_arguments text[] := '{}';
BEGIN
	FOR v IN SELECT c.*, a.tab FROM callable c LEFT JOIN arguments a ON a.name = c.name WHERE c.function = p_function AND c.role = p_role ORDER BY c.n LOOP
		IF v.type = 'uuid'::regtype THEN
			IF p_foreign & (1 << v.n::int) <> 0 AND p_nobody IS NOT NULL THEN
				v_id := p_nobody;
			ELSIF v.has_default AND p_foreign & (1 << v.n::int) = 0 THEN
				CONTINUE;
			ELSE
				EXECUTE format('SELECT id FROM %s WHERE %s = $1 ORDER BY id %s LIMIT 1', v.tab, CASE v.tab WHEN 'tenants'::regclass THEN 'id' ELSE 'tenant_id' END, CASE v.name WHEN 'drop' THEN 'DESC' END)
				INTO v_id USING CASE WHEN p_foreign & (1 << v.n::int) <> 0 THEN p_theirs ELSE p_mine END;
			END IF;
			v_arguments := v_arguments || format('%I => %L::uuid', v.name, v_id);
		ELSIF NOT v.has_default OR v.name IN ('phone') THEN
			v_arguments := v_arguments || format('%I => %L::%s', v.name, coalesce((SELECT s.value FROM samples s WHERE s.name = v.name), CASE WHEN v.type = 'text'::regtype THEN 'x' END), format_type(v.type, NULL));
		END IF;
	END LOOP;
	RETURN format('SELECT * FROM %s(%s) r', p_function::regproc, array_to_string(v_arguments, ', '));
END $$;
-- All that the other tenant has.
CREATE FUNCTION pg_temp.digest(p_tenant uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v record;
	v_one text;
	v_all text := '';
BEGIN
	FOR v IN SELECT t.* FROM tenant_tables t WHERE NOT t.is_partition ORDER BY t.tab::text LOOP
		EXECUTE format('SELECT md5(string_agg(t::text, '','' ORDER BY t::text)) FROM %s t WHERE %I = $1', v.tab, v.key) INTO v_one USING p_tenant;
		v_all := v_all || coalesce(v_one, '-');
	END LOOP;
	RETURN md5(v_all);
END $$;
-- What the function answers, or its error; and whether the other tenant's rows were touched. Taken back.
CREATE FUNCTION pg_temp.call(p_role text, p_setting text, p_statement text, p_theirs uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_before text := pg_temp.digest(p_theirs);
	v_answer text;
BEGIN
	PERFORM set_config('voiceagent.tenant_id', p_setting, true);
	EXECUTE format('SET LOCAL ROLE %I', p_role);
	EXECUTE format('SELECT string_agg(r::text, '';'') FROM (%s) r', p_statement) INTO v_answer;
	RESET ROLE;
	RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = CASE WHEN pg_temp.digest(p_theirs) <> v_before THEN 'CHANGED ' ELSE '' END || coalesce(v_answer, '');
EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
	RETURN SQLERRM;
WHEN OTHERS THEN
	RETURN SQLSTATE || ': ' || SQLERRM;
END $$;

CREATE TEMP TABLE calls_made AS
WITH f AS (SELECT c.function, c.role, array_agg(c.n::int) FILTER (WHERE c.type = 'uuid'::regtype) AS ids FROM callable c GROUP BY 1, 2 HAVING bool_or(c.type = 'uuid'::regtype)),
masks AS (SELECT f.function, f.role, m FROM f, generate_series(0, 2 << 12) m WHERE m & ~(SELECT sum(1 << i)::int FROM unnest(f.ids) i) = 0),
nobody AS (SELECT gen_random_uuid() AS id)
SELECT k.function, k.role, k.m, s AS statement, pg_temp.call(k.role, :'mine', s, :'theirs') AS answer,
	CASE WHEN k.m <> 0 THEN replace(pg_temp.call(k.role, :'mine', pg_temp.call_of(k.function, k.role, k.m, :'mine', :'theirs', nobody.id), :'theirs'), nobody.id::text, 'ID') END AS answer_for_nobody
FROM masks k, nobody, pg_temp.call_of(k.function, k.role, k.m, :'mine', :'theirs', NULL) s;
-- The errors that say "not yours": no right, unknown tenant, call, lead, appointment, person; a key that finds no row.
CREATE FUNCTION pg_temp.not_yours(p_answer text) RETURNS boolean LANGUAGE sql RETURN p_answer ~ '^(42501|VA001|VA004|VA020|VA032|VA033|VA052|23503): ';
SELECT is(array_agg(m.statement || ' answers ' || m.answer) FILTER (WHERE NOT (pg_temp.not_yours(m.answer) OR m.answer IN ('', '()', '(f)', '(0)', '("")', 'false', '0'))), NULL, format('%s for %s does nothing with the other tenant''s (%s calls)', m.function, m.role, count(*)))
FROM calls_made m WHERE m.m <> 0 GROUP BY m.function, m.role ORDER BY m.function::text, m.role;
SELECT is(regexp_replace(m.answer, '[0-9a-f]{8}-[0-9a-f-]{27}', 'ID', 'g'), regexp_replace(m.answer_for_nobody, '[0-9a-f]{8}-[0-9a-f-]{27}', 'ID', 'g'), format('%s answers (%s) as if there were nothing', m.function, m.m)) FROM calls_made m WHERE m.m <> 0 ORDER BY m.function::text, m.m;
SELECT ok(NOT pg_temp.not_yours(m.answer), format('%s takes the session''s own: %s', m.function, left(m.answer, 100))) FROM calls_made m WHERE m.m = 0 ORDER BY m.function::text;
SELECT * FROM finish();
