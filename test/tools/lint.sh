#!/bin/bash
# lint.sh: the house rules that a machine can check. Each complaint says which rule, why there is
# one, and how to mend it. Prints nothing more than a line when all is well.
set -u
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$ROOT" || exit 1
mkdir -p build
complaints=build/lint-complaints.tmp # a line each: complain runs at the end of pipes, in subshells
: >"$complaints"

# complain RULE WHY MEND: reads the places from stdin; silent when there is none.
complain()
{
  local places
  places=$(cat)
  [ -n "$places" ] || return 0
  echo "$1" >>"$complaints"
  printf '\n%s\n  why:  %s\n  mend: %s\n' "$1" "$2" "$3"
  sed 's/^/    /' <<<"$places" | head -n 25
}

existing()
{
  local path
  for path in "$@"; do
    [ ! -e "$path" ] || printf '%s\n' "$path"
  done
}

mapfile -t c_files < <(find src test -name '*.[ch]' | sort)
mapfile -t shell_files < <(find test .ci -type f \( -name '*.sh' -o -path .ci/run \) | sort)
program_dirs=$(existing src/core src/net src/program src/gateway src/dispatcher src/sandbox src/main.c)

# ---- style --------------------------------------------------------------------------------------

if command -v clang-format >/dev/null; then
  for file in "${c_files[@]}"; do
    clang-format --dry-run -Werror "$file" >/dev/null 2>&1 || echo "$file"
  done | complain "the C files have one format" \
    "a reader sees what changed, and not who typed it" "make format"
else
  echo "SKIPPED: clang-format is not installed"
fi

grep -nE '[[:blank:]]+$' "${c_files[@]}" "${shell_files[@]}" Makefile $(existing sql/*.sql) |
  cut -c 1-120 | complain "no blanks at the end of a line" \
  "they show up as changes in later diffs" "delete them"

# ---- walls --------------------------------------------------------------------------------------

# shellcheck disable=SC2086
grep -rnE '#include [<"](postgres|fmgr|utils/|miscadmin|access/|storage/)' $program_dirs |
  complain "the program and core include no server header" \
    "the program must build and run where there is no PostgreSQL, and crash where it hurts nobody" \
    "move what needs the server to src/pg or src/worker"

grep -rnE '#include "(net|program|gateway|dispatcher|sandbox|pg|worker)/' $(existing src/core) |
  complain "core knows nobody" \
    "it is shared with the server library, and tested and fuzzed alone" \
    "pass in what it needs as an argument"

grep -rnE '#include "(program|gateway|dispatcher|sandbox|pg|worker)/' $(existing src/net) |
  complain "net includes only net and core" \
    "the runtime serves every program, so it may know none" "hand in a function pointer"

grep -rnE '#include "(gateway|dispatcher|sandbox|pg|worker)/' $(existing src/program) |
  complain "program includes only net and core" \
    "it is what the gateway and the dispatcher have in common, so it may know neither" \
    "hand in a table or a function pointer"

grep -rnE '#include "(gateway|dispatcher|sandbox|net|program)/' $(existing src/pg src/worker src/voiceagent.c) |
  complain "the server library includes nothing of the program" \
    "the two meet in SQL alone" "call a SQL function, or move the shared part to core"

grep -rnE '#include "(gateway|dispatcher)/' $(existing src/sandbox) |
  complain "the sandbox shares no code with the gateway" \
    "a misreading of a protocol must not hide in both" "write it again, from the protocol's documentation"

# ---- dangerous things ---------------------------------------------------------------------------

grep -nE '\b(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atoll|atof|strtok|alloca|rand|tmpnam)[[:space:]]*\(' \
  "${c_files[@]}" | complain "banned functions" \
  "they write without a bound, hide errors or keep state" \
  "strlcpy or struct buf, snprintf, strtol with its end pointer, strtok_r"

grep -nE '(/\*|//|#|--).*\b(TODO|FIXME|XXX|HACK)\b' "${c_files[@]}" $(existing sql/*.sql) |
  complain "nothing is left for later" "a note in the source is an issue that nobody is told of" \
    "do it, or file it"

# ---- size ---------------------------------------------------------------------------------------

for file in "${c_files[@]}"; do
  awk -v file="$file" '
    /^\{/ { start = NR }
    /^\}/ { if (start && NR - start - 1 > 100) print file ":" start ": " NR - start - 1 " lines"; start = 0 }
    END { if (NR > 900) print file ": " NR " lines" }' "$file"
done | complain "a function has at most 100 lines, a file 900" \
  "what does not fit on a screen is not understood at once" \
  "cut out the steps and give each a name"

# ---- SQL and its documentation ------------------------------------------------------------------

if compgen -G 'sql/*.sql' >/dev/null; then
  # The index lists internal functions and the gateway's; each of the others has a section on one of the pages.
  grep -hoiE '^CREATE (OR REPLACE )?(FUNCTION|PROCEDURE|VIEW) [a-z0-9_@.]+' sql/*.sql |
    sed 's/.* //; s/.*\.//' | sort -u | grep '^va_' |
    while read -r name; do
      grep -q "\b$name\b" docs/sql-reference.md || echo "$name"
    done | complain "every function va_… is in docs/sql-reference.md" \
    "what is not described is not there for a user" \
    "one for users: a section on a page of docs/sql-reference/ and its name in the index; else a word under Internal functions"

  awk '
    function tell() { if (name != "" && missing()) print FILENAME_ ": " name ": no" missing() }
    function missing() { return (sig ? "" : " signature") (ret ? "" : " Returns") (err ? "" : " Errors:") (sql ? "" : " example") }
    FNR == 1 { tell(); name = "" }
    /^##+ / { tell(); name = $0 ~ /^### va_/ ? $2 : ""; sig = ret = err = sql = 0; FILENAME_ = FILENAME }
    name != "" && index($0, "`" name "(") == 1 { sig = 1 }
    /^Returns / { ret = 1 }
    /^Errors: / { err = 1 }
    /^```sql/ { sql = 1 }
    END { tell() }' $(existing docs/sql-reference/*.md) |
    complain "a function's section has signature, Returns, Errors: and an example" \
      "a user must not have to guess; test/flows/sql_examples.sh runs the examples" "add what is missing"

  for page in $(existing docs/sql-reference/*.md); do
    sed -n 's/^### \(va_[a-z_0-9]*\)$/\1/p' "$page" | while read -r name; do
      grep -qF "(sql-reference/${page##*/}#$name)" docs/sql-reference.md || echo "$page: $name"
    done
  done | complain "every section of a function is linked in docs/sql-reference.md" \
    "the index is where one looks first" "add the link to the page's row"

  grep -hoiE '^CREATE TABLE (IF NOT EXISTS )?(@extschema@\.)?[a-z_]+' sql/*.sql | sed 's/.*[ .]//' | sort -u |
    while read -r name; do
      grep -qE "pg_extension_config_dump\('(@extschema@\.)?$name'" sql/*.sql ||
        grep -qE "no dump: .*\b$name\b" sql/*.sql || echo "$name"
    done >build/lint-dump.tmp
  # A loop over the catalogue marks all tables at once.
  if ! grep -qE 'pg_extension_config_dump\([^'"'"']' sql/*.sql; then
    complain "every table is marked with pg_extension_config_dump" \
      "pg_dump leaves out the rows of an extension's tables: a restore would lose them" \
      "add the mark, or a comment 'no dump: table, reason'" <build/lint-dump.tmp
  fi
  rm -f build/lint-dump.tmp

  awk '/^[[:space:]]*--/ { next }
       toupper($0) ~ /SECURITY DEFINER/ { at = FNR; file = FILENAME; open_ = 1 }
       open_ && tolower($0) ~ /search_path/ { open_ = 0 }
       open_ && /;[[:space:]]*$/ && FNR > at + 3 { print file ":" at; open_ = 0 }' sql/*.sql |
    complain "a SECURITY DEFINER function fixes its search_path" \
      "otherwise its caller decides which functions it calls with its owner's rights" \
      "SET search_path = pg_catalog, @extschema@, pg_temp right beside SECURITY DEFINER"
fi

if [ -e docs/settings.md ]; then
  grep -oE '^[[:space:]]+\{"voiceagent\.[a-z_]+' src/worker/settings.c | sed 's/.*"//' |
    while read -r name; do
      grep -q "\`$name\`" docs/settings.md || echo "$name"
    done | complain "every setting is in docs/settings.md" \
    "a setting nobody can look up is set wrong" "describe it there"
fi

grep -oE '^[[:space:]]+\{"voiceagent\.[a-z_]+' src/worker/settings.c | sed 's/.*"//' >build/lint-a.tmp
sort build/lint-a.tmp | diff build/lint-a.tmp - | sed -n 's/^< //p' |
  complain "settings are in alphabetical order" "they are found without searching" "move these"
rm -f build/lint-a.tmp

# ---- cppcheck -----------------------------------------------------------------------------------

if command -v cppcheck >/dev/null; then
  # The server's macros (PG_TRY, ereport) are beyond it: the program and core only. Two of its checks
  # are off: uninitvar does not see that a callee fills a variable in (the compilers and the sanitizers
  # look for the same), and both compilers define the shift of a negative number.
  # shellcheck disable=SC2086
  cppcheck -q --std=c11 --enable=warning,performance,portability --inline-suppr \
    --suppress=missingInclude --suppress=missingIncludeSystem --suppress=unknownMacro \
    --suppress=uninitvar --suppress=shiftTooManyBitsSigned --template='{file}:{line}: {id}: {message}' \
    --cppcheck-build-dir="$(mkdir -p build/cppcheck && echo build/cppcheck)" \
    -Isrc -D_GNU_SOURCE $program_dirs 2>&1 |
    complain "cppcheck finds nothing" "what it finds is an error more often than not" \
      "mend it, or write /* cppcheck-suppress ID ; reason */ above the line"
else
  echo "SKIPPED: cppcheck is not installed"
fi

broken=$(wc -l <"$complaints")
rm -f "$complaints"
if [ "$broken" -gt 0 ]; then
  printf '\nlint: rules broken: %d\n' "$broken"
  exit 1
fi
echo "lint: all rules are kept (${#c_files[@]} C files)"
