#!/bin/bash
# The extension's life in a database: dump and restore of a filled one, drop and re-create, a schema of its
# own with an awkward name, no shared_preload_libraries, and what becomes of secrets when their key file goes.
. "$(dirname "$0")/../tools/cluster.sh"
. "$(dirname "$0")/../tools/tap.sh"

# same GOT WANTED NAME: the name last, because what is asked is long.
same()
{
  is "$3" "$1" "$2"
}

in_database()
{
  local database=$1
  shift
  PGDATABASE=$database va_psql "$@" 2>&1
}

dump()
{
  va_as_server env PGPASSFILE="$VA_DIR/pgpass" "$VA_BIN/pg_dump" -h "$VA_SOCKET" -p "$VA_PORT" -U "$VA_USER" "$@"
}

# The extension's tables, and a digest of each one's rows. What CREATE EXTENSION itself makes is not dumped.
fingerprint()
{
  local table rows
  in_database "$1" -c "SELECT d.objid::regclass FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
      JOIN pg_class c ON c.oid = d.objid WHERE e.extname = 'voiceagent' AND d.deptype = 'e'
      AND d.classid = 'pg_class'::regclass AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND c.relname <> 'analytics_events_dump' ORDER BY c.relname" >"$VA_DIR/tables" || return 1
  while read -r table; do
    rows=$table
    case ${table##*.} in
      tools | follow_up_sequences | follow_up_steps | industry_templates | setting_definitions) rows="(SELECT * FROM $table WHERE NOT is_builtin)" ;;
      lead_counts) rows="(SELECT * FROM ${table%lead_counts}lead_funnel)" ;; # counted anew: the same sums of other rows
    esac
    printf '%s %s\n' "$table" "$(in_database "$1" -c "SELECT count(*), md5(string_agg(t::text, E'\n' ORDER BY t::text)) FROM $rows t")"
  done <"$VA_DIR/tables"
}

# Everything that a database may remember, by the ways of the product; and what those do not fill, made from the catalogue.
fill()
{
  {
    ways_of_the_product
    cat "$VA_ROOT/test/pgtap/rows.psql"
    echo "SELECT f.tab, f.problem FROM tenants t, pg_temp.fill_all(t.id) f WHERE f.problem IS NOT NULL;"
  } | in_database "$1" >"$VA_DIR/fill.out"
}

ways_of_the_product()
{
  cat <<'SQL'
INSERT INTO settings VALUES ('twilio_account_sid', '"AC00000000000000000000000000000001"');
SELECT va_tenant_create('ABC Realty', 'real_estate', '+15551230002') AS tenant \gset
SELECT va_secret_set(NULL, 'twilio_auth_token', 'token'), va_secret_set(:'tenant', 'ultravox_api_key', 'key');
INSERT INTO analytics_events (tenant_id, event_type, created_at) SELECT :'tenant', 'old', at FROM unnest(ARRAY[now() - interval '70 days', '1999-12-31']::timestamptz[]) at;
SELECT va_events_maintain();
INSERT INTO industry_templates (name, greeting, system_prompt, questions) VALUES ('garage', 'Hi, {{company}}.', 'x', '{Which car?}'), ('legal', 'x', 'y', '{}');
INSERT INTO setting_definitions (name, types, description) VALUES ('shop_number', '{integer}', 'of the own application');
INSERT INTO business_hours (tenant_id, day_of_week) SELECT :'tenant', d FROM generate_series(0, 6) d;
INSERT INTO human_agents (tenant_id, name, email, phone, skills) VALUES (:'tenant', 'Ann', 'a@x.org', '+15551230071', '{a,b}');
CREATE FUNCTION weather(call_id uuid, arguments jsonb) RETURNS jsonb LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'SELECT ''"sunny"''::jsonb';
INSERT INTO tools (tenant_id, name, description, function) VALUES (:'tenant', 'weather', 'tells the weather', 'weather');
SELECT call_id AS call, session ->> 'token' AS token FROM va_webhook_voice_answer('AC00000000000000000000000000000001',
  '{"CallSid": "CA1", "From": "+15551230001", "To": "+15551230002", "Direction": "inbound"}', 'i', 'gw-1') \gset
SELECT va_call_stream_start('AC00000000000000000000000000000001', 'CA1', 'MZ1', :'token', 'gw-1');
SELECT va_call_tool(:'call', 't1', 'capture_lead', '{"name": "Jane \"J\" Doe", "budget": "500k"}');
SELECT va_call_tool(:'call', 't2', 'weather', '{}');
SELECT va_call_events(:'call', 'MZ1', '[{"seq": 1, "kind": "turn", "data": {"role": "user", "text": "a\tb\n\\ ü"}}, {"seq": 2, "kind": "partial", "data": {"role": "user", "text": "and"}}]');
SELECT va_webhook_voice_after_stream('AC00000000000000000000000000000001', '{"CallSid": "CA1"}', 'k', 'gw-1');
SELECT va_gateway_report('gw-1', '{"pid": 1, "frames_in": 7, "uptime_s": 1}');
SELECT va_webhook_voice_status('AC00000000000000000000000000000001', '{"CallSid": "CA9"}', NULL, 'gw-1');
INSERT INTO notifications (tenant_id, lead_id, channel, template_data) SELECT tenant_id, lead_id, 'sms', '{"x": 1}' FROM calls;
INSERT INTO follow_up_tasks (tenant_id, lead_id, call_id, scheduled_for) SELECT tenant_id, lead_id, id, now() FROM calls;
UPDATE tenants SET settings = settings || '{"qualification_criteria": {"budget_mentioned": 2}}';
INSERT INTO holidays (tenant_id, date, intervals) VALUES (:'tenant', '2030-12-24', '[["09:00", "12:00"]]');
INSERT INTO follow_up_sequences (tenant_id, temperature, name) VALUES (:'tenant', 'cold', 'own') RETURNING id AS sequence \gset
INSERT INTO follow_up_steps (sequence_id, step, delay, channels, purpose) VALUES (:'sequence', 1, 5, '{email,sms}', 'hello');
SELECT va_lead_advance(lead_id, 'qualify') FROM calls;
INSERT INTO appointments (tenant_id, lead_id, call_id, title, scheduled_at) SELECT tenant_id, lead_id, id, 'Viewing', now() FROM calls;
SELECT agent_id FROM va_agent_pick(:'tenant');
SELECT va_api_key_create(:'tenant', 'website', '{leads:write}');
SELECT va_opt_out(:'tenant', '+15551230099', 'sms', 'replied STOP');
INSERT INTO notifications (tenant_id, lead_id, channel, direction, status) SELECT tenant_id, lead_id, 'sms', 'inbound', 'received' FROM calls;
INSERT INTO leads (tenant_id, status, qualification_data, follow_ups_since) VALUES (:'tenant', 'contacted', '{"budget": 1}', now());
INSERT INTO notifications (tenant_id, lead_id, channel, direction, status) SELECT tenant_id, id, 'sms', 'inbound', 'received' FROM leads WHERE status = 'contacted';
UPDATE leads SET follow_ups_stopped = NULL WHERE status = 'contacted';
UPDATE conversation_sessions SET checkpoint_data = '\x00ff';
SQL
}

va_cluster_start shared_preload_libraries= || exit 1

# ---- dump and restore ---------------------------------------------------------------------------
in_database postgres -c 'CREATE DATABASE filled' -c 'CREATE DATABASE restored'
same "$(in_database filled -c 'CREATE EXTENSION voiceagent')" "" "CREATE EXTENSION without shared_preload_libraries"
fill filled || sed 's/^/# /' "$VA_DIR/fill.out"
fingerprint filled >"$VA_DIR/before"
same "$(grep -c ' 0|' "$VA_DIR/before")" 0 "every table has rows"
[ "$(grep -c ' 0|' "$VA_DIR/before")" = 0 ] || grep ' 0|' "$VA_DIR/before" | sed 's/^/# /'
dump filled >"$VA_DIR/dump.sql" 2>"$VA_DIR/dump.err"
same "$(cat "$VA_DIR/dump.err")" "" "pg_dump has nothing to complain of"
same "$(in_database restored -o /dev/null -f "$VA_DIR/dump.sql" 2>&1 | sed '/^$/d')" "" "the dump restores without an error"
fingerprint restored >"$VA_DIR/after"
same "$(diff "$VA_DIR/before" "$VA_DIR/after")" "" "every table of the restored database has the same rows"
same "$(in_database restored -c "SELECT count(*) FROM analytics_events_default" -c "SELECT count(DISTINCT tableoid) > 2 FROM analytics_events")" "1
t" "events are in the partitions of their months, which the dump has not"
same "$(grep -c 'analytics_events_20' "$VA_DIR/dump.sql")" 0 "nor names"
same "$(in_database restored -c "SELECT va_secret_read(NULL, 'twilio_auth_token')")" token "secrets open on the same server"
same "$(in_database restored -c "SELECT va_call_tool((SELECT id FROM calls), 'new', 'weather', '{}') ->> 'result'")" sunny "tools work"
same "$(grep -c "$(va_as_server od -An -v -tx1 "$VA_DATA/voiceagent.key" | tr -d ' \n')" "$VA_DIR/dump.sql")" 0 "the key is not in the dump"
same "$(grep -cw 'token' <(grep -A3 'COPY public.tenant_secrets' "$VA_DIR/dump.sql"))" 0 "nor is a secret's value"

# ---- drop and create again ----------------------------------------------------------------------
same "$(in_database restored -c 'SET client_min_messages = error' -c 'DROP FUNCTION weather(uuid, jsonb)' -c 'DROP EXTENSION voiceagent CASCADE')" "" "DROP EXTENSION"
same "$(in_database restored -c "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace" -c "SELECT count(*) FROM pg_proc WHERE proname LIKE 'va\_%'")" "0
0" "leaves nothing behind"
same "$(in_database restored -c 'CREATE EXTENSION voiceagent' -c "SELECT count(*) FROM tools")" 5 "CREATE EXTENSION again"

# ---- a schema with an awkward name --------------------------------------------------------------
in_database postgres -c 'CREATE DATABASE awkward'
same "$(in_database awkward -c 'CREATE SCHEMA "My Agents"' -c 'CREATE EXTENSION voiceagent SCHEMA "My Agents"')" "" "CREATE EXTENSION in a schema of its own"
PGOPTIONS='-c search_path="My\ Agents",public' fill awkward || sed 's/^/# /' "$VA_DIR/fill.out"
same "$(in_database awkward -c 'SELECT jsonb_array_length(transcript), conversation_turns FROM "My Agents".calls')" "2|2" "a call runs there"
fingerprint awkward >"$VA_DIR/before"
same "$(dump awkward >"$VA_DIR/dump.sql" 2>&1; in_database postgres -c 'CREATE DATABASE awkward2'; in_database awkward2 -o /dev/null -f "$VA_DIR/dump.sql" 2>&1 | sed '/^$/d')" "" "dump and restore"
same "$(fingerprint awkward2 | diff "$VA_DIR/before" -)" "" "with the same rows"
same "$(in_database awkward -c 'SET search_path = pg_catalog' -c "SELECT ok FROM \"My Agents\".va_health() WHERE \"check\" = 'version'")" t "no function needs the caller's search_path"
same "$(in_database awkward -c 'ALTER EXTENSION voiceagent SET SCHEMA public' | head -1 | sed 's/.*ERROR: *//')" 'extension "voiceagent" does not support SET SCHEMA' "it stays where it is"

# ---- an owner who is no superuser ---------------------------------------------------------------
# CREATE EXTENSION asks for a superuser; who owns it may lose that right later. Row-level security then holds for the
# owner as well (it is forced), and a policy lets the functions that run in the owner's name go on.
in_database postgres -c 'CREATE ROLE va_test_owner SUPERUSER' -c 'CREATE DATABASE owned OWNER va_test_owner'
same "$(PGOPTIONS='-c role=va_test_owner' in_database owned -c 'CREATE EXTENSION voiceagent')" "" "CREATE EXTENSION by another superuser"
in_database postgres -c 'ALTER ROLE va_test_owner NOSUPERUSER'
fill owned || sed 's/^/# /' "$VA_DIR/fill.out"
same "$(in_database owned -c "SELECT count(*) FROM pg_class WHERE relrowsecurity AND NOT relforcerowsecurity")" 0 "row-level security is forced"
same "$(PGOPTIONS='-c role=va_test_owner' in_database owned -c 'SELECT jsonb_array_length(transcript), conversation_turns, (SELECT count(*) > 0 FROM leads) FROM calls')" "2|2|t" "a call runs for an owner who is no superuser"
same "$(fingerprint owned | grep -c ' 0|')" 0 "and every table is filled"
same "$(PGOPTIONS='-c role=voiceagent_gateway' in_database owned -c "SELECT http_status FROM va_webhook_voice_status('AC00000000000000000000000000000001', '{\"CallSid\": \"CA1\", \"CallStatus\": \"completed\"}', NULL, 'g')")" 204 "the gateway works there"
same "$(PGOPTIONS='-c role=voiceagent_agent' in_database owned -c "SELECT set_config('voiceagent.tenant_id', (SELECT id::text FROM va_current_tenant() id), false)" -c 'SELECT count(*) FROM leads' | tail -1)" 0 "a tenant's application sees nothing without a tenant"
same "$(PGOPTIONS='-c role=voiceagent_admin' in_database owned -c "SELECT va_tenant_create('Second', 'legal', '+15551230077') IS NOT NULL" -c 'SELECT count(*) FROM tenants')" "t
2" "the administrator administers"
in_database owned -c 'DROP EXTENSION voiceagent CASCADE' >/dev/null 2>&1
in_database postgres -c 'DROP DATABASE owned' -c 'DROP ROLE va_test_owner'

# ---- the key file -------------------------------------------------------------------------------
key=$VA_DATA/voiceagent.key
read_secret()
{
  in_database filled -v VERBOSITY=verbose -c "SELECT va_secret_read(NULL, 'twilio_auth_token')" | sed -n 's/.*ERROR: *\(VA[0-9]*\):.*/\1/p;t;/HINT/!p' | head -1
}
same "$(stat -c '%a %s %U' "$key")" "600 32 $VA_USER" "the key file is the server's alone"
same "$(find "$VA_DATA" -maxdepth 1 -name 'voiceagent.key.*')" "" "and nothing is left of its making"
cp -p "$key" "$VA_DIR/key"
rm "$key"
same "$(read_secret)" VA006 "without the file: a clear error"
same "$(in_database filled -c "SELECT ok FROM va_health() WHERE \"check\" = 'key file'")" f "that va_health knows of"
same "$(in_database filled -c "SELECT http_status FROM va_webhook_voice_status('AC00000000000000000000000000000001', '{\"CallSid\": \"CA1\", \"CallStatus\": \"completed\"}', NULL, 'g')")" 204 "what needs no secret goes on"
same "$(in_database filled -c "SELECT va_secret_set(NULL, 'other', 'x')")" "" "a new secret makes a new key"
same "$(read_secret)" VA007 "which opens no old secret"
same "$(in_database filled -c "SELECT va_secret_read(NULL, 'other')")" x "but the new one"
chmod 640 "$key"
same "$(read_secret)" VA006 "a file that others may read is refused"
chmod 600 "$key"
chown 0 "$key" 2>/dev/null
same "$([ "$VA_USER" = root ] || [ "$(id -u)" -ne 0 ] || read_secret)" "$([ "$(id -u)" -ne 0 ] || echo VA006)" "and so is one that belongs to another user"
chown "$VA_USER" "$key"
truncate -s 31 "$key"
same "$(read_secret)" VA006 "a short file is refused"
rm "$key"
ln -s "$VA_DIR/key" "$key"
same "$(read_secret)" VA006 "a link is refused"
rm "$key"
cp -p "$VA_DIR/key" "$key"
same "$(read_secret)" token "the right file put back: all is well"
same "$(grep -c -e "'token'" -e "'key'" "$VA_LOG")" 0 "no secret is in the server's log"

done_testing
