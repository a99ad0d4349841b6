#!/bin/bash
# docs/sql-reference against the extension: every function that users may call has a section with its signature as the
# catalogue has it, its arguments, result, errors and an example; and each example runs and prints what the page says.
#
# A page's examples (blocks ```sql) run in order, in a database of their own that test/flows/helpers/sample.sql has
# filled. A block ```text behind one is what psql prints; "…" in it stands for anything. Without one nothing is
# compared, but no error may occur.
. "$(dirname "$0")/../tools/cluster.sh"
. "$(dirname "$0")/../tools/tap.sh"
pages=("$VA_ROOT"/docs/sql-reference/*.md)

# Users' functions: name, signature as the pages write it, names of the arguments.
callable()
{
  PGDATABASE=sample va_psql -F $'\t' -c "
    SELECT p.proname, replace(replace(regexp_replace(p.proname || '(' || pg_get_function_arguments(p.oid) || ') → '
             || pg_get_function_result(p.oid), '::[a-z ]+(\[\])?', '', 'g'),
             'timestamp without time zone', 'timestamp'), 'timestamp with time zone', 'timestamptz'),
      array_to_string(ARRAY(SELECT n FROM unnest(p.proargnames) WITH ORDINALITY AS a (n, i)
                            WHERE n <> '' AND (p.proargmodes IS NULL OR p.proargmodes[i] IN ('i', 'b'))), ' ')
    FROM pg_depend d
    JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
    JOIN pg_proc p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass
    WHERE e.extname = 'voiceagent' AND d.deptype = 'e'
      AND EXISTS (SELECT FROM unnest(ARRAY['public', 'voiceagent_admin', 'voiceagent_agent', 'voiceagent_bi']) r
                  WHERE has_function_privilege(r, p.oid, 'EXECUTE'))
    ORDER BY 1, 2"
}

# section NAME: what the pages say of a function.
section()
{
  awk -v name="### $1" '/^##+ /{inside = $0 == name} inside' "${pages[@]}"
}

# described NAME SIGNATURE ARGUMENTS: prints what is missing.
described()
{
  local text argument
  text=$(section "$1")
  if [ -z "$text" ]; then
    echo "there is no section \"### $1\"; its signature is \`$2\`"
    return
  fi
  grep -qxF "\`$2\`" <<<"$text" || echo "the signature should be: \`$2\`"
  for argument in $3; do
    grep -q "^- \`$argument\`: " <<<"$text" || echo "argument $argument is not described"
  done
  grep -q '^Returns ' <<<"$text" || echo "no line \"Returns …\""
  grep -q '^Errors: ' <<<"$text" || echo "no line \"Errors: …\""
  grep -q '^```sql' <<<"$text" || echo "no example"
}

check_sections()
{
  local name signature arguments missing known
  known=$(sed -n '/^## Internal functions/,$p' "$VA_ROOT/docs/sql-reference.md" | grep -o '`va_[a-z_0-9]*`' | tr -d '`')
  while IFS=$'\t' read -r name signature arguments; do
    if grep -qx "$name" <<<"$known"; then
      continue # granted for the administrator's triggers; not for use
    fi
    missing=$(described "$name" "$signature" "$arguments")
    is "described: $signature" "$missing" ""
  done < <(callable)
  missing=$(comm -13 <(callable | cut -f 1 | sort -u) <(sed -n 's/^### \(va_[a-z_0-9]*\)$/\1/p' "${pages[@]}" | sort))
  is "each section has a function, and one alone" "$missing" ""
}

# split PAGE FOLDER: the examples of a page as files NNN.sql, NNN.out (what is expected) and NNN.name.
split()
{
  awk -v folder="$2" '
    /^##+ / && kind == "" { name = $0; sub(/^#+ /, "", name) }
    /^```/ && kind != "" { close(file); kind = ""; next }
    /^```sql/ { file = sprintf("%s/%03d.sql", folder, ++n); kind = "sql"; last = NR
                              printf "%s, line %d\n", name, NR > (sprintf("%s/%03d.name", folder, n)); next }
    /^```text/ && n > 0 && waiting { file = sprintf("%s/%03d.out", folder, n); kind = "out"; waiting = 0
                                     printf "" > file; next }
    /^```/ { kind = "other"; file = "/dev/null"; next }
    kind == "sql" { waiting = 1 }
    kind == "" && NF > 0 { waiting = 0 }
    kind != "" { print > file }' "$1"
}

# What psql prints for all the examples of a folder, in one session: NNN.got.
run_examples()
{
  local folder=$1 example
  {
    printf '%s\n' '\set ON_ERROR_STOP on'
    cat "$VA_ROOT/test/flows/helpers/sample.sql"
    printf '%s\n' '\set ON_ERROR_STOP off' "SET timezone = 'UTC';" 'SET client_min_messages = notice;' '\set VERBOSITY default' \
      '\set SHOW_CONTEXT never' '\pset format aligned' '\pset tuples_only off' '\pset footer off'
    for example in "$folder"/*.sql; do
      printf '\n\\echo %s\n' "==> $(basename "${example%.sql}")"
      cat "$example"
    done
  } | va_psql -f - 2>&1 | sed "s/^psql:<stdin>:[0-9]*: //" |
    awk -v folder="$folder" '/^==> /{file = folder "/" $2 ".got"; printf "" > file; next} file {print > file}'
}

# Blanks at the ends of lines and empty lines count for nothing.
trimmed()
{
  sed 's/[[:space:]]*$//' "$1" | cat -s | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'
}

check_page()
{
  local page=$1 folder example pattern got
  folder=$VA_DIR/$(basename "$page" .md)
  mkdir "$folder"
  split "$page" "$folder"
  va_psql -c 'CREATE DATABASE examples TEMPLATE sample'
  PGDATABASE=examples run_examples "$folder"
  va_psql -c 'DROP DATABASE examples WITH (FORCE)'
  for example in "$folder"/*.sql; do
    example=${example%.sql}
    got=$(trimmed "$example.got" 2>&1)
    if [ -e "$example.out" ]; then
      # A glob that matches itself, with the dots for anything.
      pattern=$(trimmed "$example.out" | sed 's/[][*?\\]/\\&/g; s/…/*/g')
    else
      pattern='*'
      [[ $got != *ERROR:* ]] || pattern='no error'
    fi
    # shellcheck disable=SC2053
    if [[ $got == $pattern ]]; then
      tap_result 0 "$(basename "$page"): $(cat "$example.name")"
    else
      tap_result 1 "$(basename "$page"): $(cat "$example.name")"
      echo "# it prints:"
      sed 's/^/#   /' <<<"$got"
    fi
  done
}

va_cluster_start voiceagent.gateway_workers=0 || exit 1
va_psql -c 'CREATE DATABASE sample' && PGDATABASE=sample va_psql -c 'CREATE EXTENSION voiceagent' || exit 1
check_sections
for page in "${pages[@]}"; do
  check_page "$page"
done
done_testing
