#!/bin/bash
# A database of the version before, filled, after ALTER EXTENSION voiceagent UPDATE: it has every row and what its user
# made around it, and its catalogue is that of a fresh CREATE EXTENSION, item by item. What differs is printed: a line
# with < has been forgotten in the upgrade script, a line with > should have gone (see sql/upgrade/README.md).
. "$(dirname "$0")/../tools/cluster.sh"
. "$(dirname "$0")/../tools/tap.sh"

here=$VA_ROOT/test/upgrade
old=$(basename "$(ls "$VA_ROOT"/sql/upgrade/voiceagent--*.sql | grep -v -e '--.*--')" .sql)
old=${old#voiceagent--}
new=$(sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" "$VA_ROOT/voiceagent.control")

in_database()
{
  local database=$1
  shift
  PGDATABASE=$database va_psql "$@" 2>&1
}

run_in()
{
  in_database "$1" -f - <"$2"
}

dump()
{
  va_as_server env PGPASSFILE="$VA_DIR/pgpass" "$VA_BIN/pg_dump" -h "$VA_SOCKET" -p "$VA_PORT" -U "$VA_USER" "$@"
}

# Every table with the columns it has: what must be there afterwards.
tables_of()
{
  in_database "$1" -F '|' -c "
    SELECT c.oid::regclass, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname), bool_or(a.attname = 'is_builtin')
    FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
    JOIN pg_class c ON c.oid = d.objid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE e.extname = 'voiceagent' AND d.deptype = 'e' AND d.classid = 'pg_class'::regclass AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    GROUP BY c.oid ORDER BY c.relname"
}

# A digest of each table's rows, in the columns listed; those that CREATE EXTENSION makes are another matter.
fingerprint()
{
  local table columns builtin
  while IFS='|' read -r table columns builtin; do
    printf '%s %s\n' "$table" "$(in_database "$1" -c "SELECT count(*), md5(string_agg(t::text, E'\n' ORDER BY t::text))
      FROM (SELECT $columns FROM $table $([ "$builtin" = f ] || echo 'WHERE NOT is_builtin')) t" | tr '\n' ' ')"
  done <"$VA_DIR/tables"
}

# compare NAME FILE FILE: equal, or the difference as a comment.
compare()
{
  local difference
  difference=$(diff "$2" "$3" | grep '^[<>]')
  is "$1" "$(grep -c . <<<"$difference")" 0
  [ -z "$difference" ] || cut -c 1-2000 <<<"$difference" | sed 's/^/# /'
}

# ---- what the tool makes of two versions ---------------------------------------------------------
awk -f "$VA_ROOT/sql/upgrade/statements.awk" "$here/tool/old.sql" "$here/tool/new.sql" >"$VA_ROOT/build/upgrade-tool.out" 2>&1
compare 'the statements of the difference' "$here/tool/wanted.sql" "$VA_ROOT/build/upgrade-tool.out"
for broken in "SELECT 'x" 'SELECT $a$ $b$;' 'CREATE TABLE t (a int' 'SELECT 1 /* /* */'; do
  ok "refused: $broken" sh -c '! printf "%s\n" "$2" | awk -f "$1" /dev/stdin "$3" >/dev/null 2>&1' - "$VA_ROOT/sql/upgrade/statements.awk" "$broken" "$here/tool/new.sql"
done

# ---- a database of the version before -----------------------------------------------------------
va_cluster_start shared_preload_libraries= || exit 1
cp "$VA_ROOT/sql/upgrade/voiceagent--$old.sql" "$("$PG_CONFIG" --sharedir | sed "s|^|$VA_INST|")/extension/" || exit 1
in_database postgres -c 'CREATE DATABASE old' -c 'CREATE DATABASE fresh' -c 'CREATE DATABASE again' -c 'CREATE DATABASE moved' >/dev/null
is "version $old can still be made" "$(in_database old -c "CREATE EXTENSION voiceagent VERSION '$old'")" ''
filled=$(run_in old "$here/fill-$old.sql") || sed 's/^/# /' <<<"$filled"
tables_of old >"$VA_DIR/tables"
fingerprint old >"$VA_DIR/before"
is "every table of version $old has rows" "$(grep ' 0|' "$VA_DIR/before")" ''
dump old >"$VA_DIR/old.sql" 2>&1

# ---- upgrade ------------------------------------------------------------------------------------
is 'ALTER EXTENSION voiceagent UPDATE' "$(in_database old -c 'ALTER EXTENSION voiceagent UPDATE')" ''
is "the version is $new, and the library's" "$(in_database old -F ' ' -c "SELECT extversion, va_version() FROM pg_extension WHERE extname = 'voiceagent'")" "$new $new"
fingerprint old >"$VA_DIR/after"
compare 'every row is as it was' "$VA_DIR/before" "$VA_DIR/after"
is 'a tool that was switched off stays so' "$(in_database old -c "SELECT string_agg(name, ' ') FROM tools WHERE NOT enabled")" end_call
is 'secrets open' "$(in_database old -c "SELECT va_secret_read(NULL, 'twilio_auth_token')")" token
is "a user's view works" "$(in_database old -c 'SELECT sum(count) = (SELECT count(*) FROM leads) FROM own.funnel')" t
is "a user's trigger fires" "$(in_database old -c "INSERT INTO leads (tenant_id) SELECT id FROM tenants" -c 'SELECT count(*) FROM own.log')" 1
rights="SELECT has_table_privilege('va_test_reader', 'lead_funnel', 'SELECT') AND has_table_privilege('va_test_reader', 'leads', 'SELECT')
  AND has_column_privilege('va_test_reader', 'active_calls', 'status', 'SELECT') AND NOT has_column_privilege('va_test_reader', 'active_calls', 'direction', 'SELECT')
  AND has_function_privilege('va_test_reader', 'va_health()', 'EXECUTE WITH GRANT OPTION')"
is 'what was granted to others holds' "$(in_database old -c "$rights")" t

# ---- the same as a fresh one --------------------------------------------------------------------
is 'a fresh one' "$(in_database fresh -c 'CREATE EXTENSION voiceagent')" ''
dump old >"$VA_DIR/new.sql" 2>&1
in_database again -o /dev/null -f "$VA_DIR/new.sql" >"$VA_DIR/restore.out" 2>&1
is 'the upgraded database is dumped and restored' "$(sed '/^$/d' "$VA_DIR/restore.out")" ''
is 'with what was granted' "$(in_database again -c "$rights")" t
tables_of old >"$VA_DIR/tables"
fingerprint old >"$VA_DIR/before"
fingerprint again >"$VA_DIR/after"
compare 'and every row' "$VA_DIR/before" "$VA_DIR/after"
in_database old -c 'UPDATE tools SET enabled = true' -c 'DROP SCHEMA own CASCADE' -c 'DROP OWNED BY va_test_reader' >/dev/null
for database in fresh old; do
  run_in $database "$here/catalogue.sql" >"$VA_DIR/$database.catalogue"
  grep ERROR "$VA_DIR/$database.catalogue" | sed "s/^/# /"
done
ok 'there is a catalogue to compare' [ "$(wc -l <"$VA_DIR/fresh.catalogue")" -gt 1000 ]
is 'and nothing went wrong in reading it' "$(grep -c 'psql:.*ERROR' "$VA_DIR/fresh.catalogue" "$VA_DIR/old.catalogue" | sed 's/.*://' | sort -u)" 0
compare 'the upgraded catalogue is the fresh one' "$VA_DIR/fresh.catalogue" "$VA_DIR/old.catalogue"

# ---- a dump of the old version, restored into the new one ----------------------------------------
in_database moved -o /dev/null -f "$VA_DIR/old.sql" >"$VA_DIR/moved.out" 2>&1
is "a dump of version $old is restored into version $new" "$(sed '/^$/d' "$VA_DIR/moved.out")" ''

done_testing
