# statements.awk: what of a new version's SQL has to be run in a database of the version before.
#
#   awk -f statements.awk OLD.sql NEW.sql >statements.sql
#
# Both files are read as statements, comments left out. A statement that replaces an object (function, view, trigger,
# policy, grant, comment, DO block) is always printed. Of tables the parts are compared, one by one:
# columns and constraints that the old version has not are printed as ALTER TABLE, whether they stand in a CREATE
# TABLE or an ALTER TABLE; a new table or index as it is; a named constraint or an index that changed or went is dropped.
# Rows that come with the extension (tables with is_builtin): where any statement that makes some changed, they go, and all
# are made again. Everything else is printed when the old version has no statement of the same words.
#
# What it cannot see, a part written by hand does before: a column that changes its type, its default or its inline
# checks, or goes; rows that move. All that is printed here can stand after it: IF NOT EXISTS, DROP … IF EXISTS.
#
# Any awk will do. It knows quotes, dollar quotes, nested comments and BEGIN ATOMIC, and stops at what does not end.

function fail(text)
{
	print "statements.awk: " text > "/dev/stderr"
	failed = 1
	exit 1
}

# ---- reading: characters into statements ---------------------------------------------------------

function put(c)
{
	if (c ~ /[ \t]/) {
		gap = 1
		return
	}
	# A blank counts between words and operators, not beside brackets and commas.
	if (gap && text != "" && c !~ /[),;]/ && text !~ /\($/)
		text = text " "
	gap = 0
	text = text c
}

function word_ends(    w)
{
	w = toupper(word)
	word = ""
	if (w == "ATOMIC" && last_word == "BEGIN")
		atomic = 1
	else if (atomic && w == "CASE")
		cases++
	else if (atomic && w == "END") {
		if (cases > 0)
			cases--
		else
			atomic = 0
	}
	if (w != "")
		last_word = w
}

function statement_ends()
{
	sub(/;$/, "", text)
	if (text != "")
		statement(text)
	text = ""
	gap = 0
}

function line_of(line,    i, n, c, two, tag)
{
	n = length(line)
	for (i = 1; i <= n; i++) {
		c = substr(line, i, 1)
		two = substr(line, i, 2)
		if (inside == "comment") {
			if (two == "*/") { depth--; i++; if (depth == 0) { inside = ""; gap = 1 } }
			else if (two == "/*") { depth++; i++ }
		} else if (inside == "dollar") {
			if (substr(line, i, length(dollar)) == dollar) {
				text = text dollar
				i += length(dollar) - 1
				inside = ""
			} else
				text = text c
		} else if (inside != "") {
			text = text c
			if (c == "\\" && escapes) { i++; text = text substr(line, i, 1) }
			else if (c == inside)
				inside = ""
		} else if (two == "--") {
			break
		} else if (two == "/*") {
			inside = "comment"; depth = 1; i++; word_ends()
		} else if (c == "'" || c == "\"") {
			escapes = (c == "'" && word ~ /^[eE]$/)
			word_ends()
			put(c)
			inside = c
		} else if (c == "$" && word == "" && match(substr(line, i), /^\$([A-Za-z_][A-Za-z_0-9]*)?\$/)) {
			dollar = substr(line, i, RLENGTH)
			put(dollar)
			i += RLENGTH - 1
			inside = "dollar"
		} else {
			if (c ~ /[A-Za-z0-9_]/)
				word = word c
			else
				word_ends()
			put(c)
			if (c == ";" && !atomic)
				statement_ends()
		}
	}
	if (inside == "" || inside == "comment") {
		word_ends()
		gap = 1
	} else
		text = text "\n"
}

function file_ends()
{
	if (inside != "" || text != "")
		fail("a statement does not end: " substr(text, 1, 200))
}

# Splits at the commas outside of brackets and quotes into part[1..n].
function split_parts(s,    i, n, c, level, quote, at, rest)
{
	n = 0
	level = 0
	quote = ""
	at = 1
	for (i = 1; i <= length(s); i++) {
		c = substr(s, i, 1)
		if (quote != "") { if (c == quote) quote = "" }
		else if (c == "'" || c == "\"") quote = c
		else if (c == "(") level++
		else if (c == ")") level--
		else if (c == "," && level == 0) {
			part[++n] = substr(s, at, i - at)
			at = i + 1
		}
	}
	part[++n] = substr(s, at)
	for (i = 1; i <= n; i++)
		gsub(/^ +| +$/, "", part[i])
	return n
}

# ---- deciding: a statement at a time -------------------------------------------------------------

function emit(s)
{
	print s ";"
}

# True when the old version says the same; while that is being read, remembers it.
function known(key)
{
	if (old)
		seen[key] = 1
	return key in seen
}

# The name behind CONSTRAINT, or nothing.
function constraint_name(s,    words)
{
	split(s, words, " ")
	return toupper(words[1]) == "CONSTRAINT" ? words[2] : ""
}

# A column or constraint of a table that both versions have. s: as it stands in CREATE TABLE, or behind ADD.
function table_element(table, s,    name, key)
{
	sub(/^[Cc][Oo][Ll][Uu][Mm][Nn] +/, "", s)
	key = "element " table " " s
	if (s ~ /^is_builtin /)
		builtin[table] = 1
	name = constraint_name(s)
	if (name != "") {
		constraint_names[table " " name] = constraint_names[table " " name] + (old ? 1 : 2)
		constraint_table[table " " name] = table
		constraint_of[table " " name] = name
	}
	if (known(key) || old)
		return
	if (name != "")
		emit("ALTER TABLE " table " DROP CONSTRAINT IF EXISTS " name)
	if (name != "" || toupper(s) ~ /^(PRIMARY|UNIQUE|FOREIGN|CHECK|EXCLUDE)[ (]/)
		emit("ALTER TABLE " table " ADD " s)
	else
		emit("ALTER TABLE " table " ADD COLUMN IF NOT EXISTS " s)
}

function create_table(s,    table, body, n, i)
{
	table = s
	sub(/^[A-Za-z]+ [A-Za-z]+ (IF NOT EXISTS )?/, "", table)
	sub(/[ (].*/, "", table)
	if (!old && !((table) in tables)) {
		new_tables[table] = 1
		sub(/^[A-Za-z]+ [A-Za-z]+ (IF NOT EXISTS )?/, "", s)
		emit("CREATE TABLE IF NOT EXISTS " s)
		return
	}
	tables[table] = 1
	if (s ~ / PARTITION OF /)
		return
	body = s
	sub(/^[^(]*\(/, "", body)
	# What stands behind the bracket (PARTITION BY, WITH) is the table's own and cannot be added.
	for (i = length(body); i > 0 && substr(body, i, 1) != ")"; i--)
		;
	if (s ~ /\) (PARTITION BY|WITH) /)
		body = matched(body)
	else
		body = substr(body, 1, i - 1)
	n = split_parts(body)
	for (i = 1; i <= n; i++)
		table_element(table, part[i])
}

# The text up to the bracket that closes what is open at its beginning.
function matched(s,    i, c, level, quote)
{
	level = 0
	quote = ""
	for (i = 1; i <= length(s); i++) {
		c = substr(s, i, 1)
		if (quote != "") { if (c == quote) quote = "" }
		else if (c == "'" || c == "\"") quote = c
		else if (c == "(") level++
		else if (c == ")" && level-- == 0)
			return substr(s, 1, i - 1)
	}
	fail("a bracket does not close: " substr(s, 1, 200))
}

function alter_table(s,    table, action, n, i)
{
	sub(/^[A-Za-z]+ [A-Za-z]+ (ONLY )?/, "", s)
	table = s
	sub(/ .*/, "", table)
	sub(/^[^ ]+ /, "", s)
	n = split_parts(s)
	for (i = 1; i <= n; i++) {
		action = part[i]
		if (toupper(action) ~ /^ADD /) {
			sub(/^[A-Za-z]+ /, "", action)
			sub(/^[Cc][Oo][Ll][Uu][Mm][Nn] [Ii][Ff] [Nn][Oo][Tt] [Ee][Xx][Ii][Ss][Tt][Ss] /, "", action)
			if (table in new_tables) {
				if (!old)
					emit("ALTER TABLE " table " ADD " action)
			} else
				table_element(table, action)
		} else if (!known("action " table " " action) && !old) {
			if (toupper(action) ~ /^DROP CONSTRAINT /)
				sub(/^[A-Za-z]+ [A-Za-z]+ (IF EXISTS )?/, "DROP CONSTRAINT IF EXISTS ", action)
			emit("ALTER TABLE " table " " action)
		}
	}
}

function create_index(s,    name)
{
	name = s
	sub(/^[A-Za-z]+ ([Uu][Nn][Ii][Qq][Uu][Ee] )?[A-Za-z]+ (IF NOT EXISTS )?/, "", name)
	sub(/ .*/, "", name)
	indexes[name] = indexes[name] + (old ? 1 : 2)
	if (known("index " s) || old)
		return
	emit("DROP INDEX IF EXISTS " schema name)
	emit(s)
}

# The tables with is_builtin that a statement puts rows into, in made[1..n].
function makes_rows(s,    n, name)
{
	n = 0
	if (toupper(s) !~ /^(INSERT|WITH) /)
		return 0
	while (match(s, /[Ii][Nn][Ss][Ee][Rr][Tt] [Ii][Nn][Tt][Oo] [^ (]+/)) {
		name = substr(s, RSTART + 12, RLENGTH - 12)
		s = substr(s, RSTART + RLENGTH)
		if (name in builtin)
			made[++n] = name
	}
	return n
}

# Of a new statement that makes rows: prints it when its tables' rows are made again, which begins with the first.
function make_rows(s, n,    i, again)
{
	again = 0
	for (i = 1; i <= n; i++)
		if (made[i] in changed)
			again = 1
	for (i = n; again && i > 0; i--)
		if (!(made[i] in emptied)) {
			emptied[made[i]] = 1
			if (made[i] in tables)
				emit("DELETE FROM " made[i] " WHERE is_builtin")
		}
	if (again)
		emit(s)
}

function statement(s)
{
	if (old)
		decide(s)
	else
		new_statement[++new_count] = s
}

# The new version's statements, when all are read: first what rows change, then one after the other.
function decide_all(    i, j, n, s, again)
{
	for (i = 1; i <= new_count; i++)
		if (toupper(new_statement[i]) ~ /^CREATE TABLE / && new_statement[i] ~ /[(,] ?is_builtin /) {
			s = new_statement[i]
			sub(/^[A-Za-z]+ [A-Za-z]+ (IF NOT EXISTS )?/, "", s)
			sub(/[ (].*/, "", s)
			builtin[s] = 1
		}
	# A statement may put rows into two tables: when those of one change, those of the other are made again, too.
	do {
		again = 0
		for (i = 1; i <= new_count; i++) {
			n = makes_rows(new_statement[i])
			s = ("statement " new_statement[i]) in seen ? 0 : 1
			for (j = 1; j <= n; j++)
				if (made[j] in changed)
					s = 1
			for (j = 1; s && j <= n; j++)
				if (!(made[j] in changed)) {
					changed[made[j]] = 1
					again = 1
				}
		}
	} while (again)
	for (i = 1; i <= new_count; i++) {
		n = makes_rows(new_statement[i])
		if (n > 0)
			make_rows(new_statement[i], n)
		else
			decide(new_statement[i])
	}
}

function decide(s,    up)
{
	up = toupper(substr(s, 1, 60))
	if (up ~ /^CREATE (OR REPLACE )?(FUNCTION|PROCEDURE|AGGREGATE|VIEW|RULE) /) {
		if (!old) {
			sub(/^[A-Za-z]+ ([Oo][Rr] [Rr][Ee][Pp][Ll][Aa][Cc][Ee] )?/, "CREATE OR REPLACE ", s)
			emit(s)
		}
	} else if (up ~ /^(CREATE (CONSTRAINT )?TRIGGER|CREATE POLICY|GRANT|REVOKE|COMMENT|DO|SELECT)[ $]/) {
		if (!old)
			emit(s)
	} else if (up ~ /^CREATE TABLE /)
		create_table(s)
	else if (up ~ /^ALTER TABLE /)
		alter_table(s)
	else if (up ~ /^CREATE (UNIQUE )?INDEX /)
		create_index(s)
	else if (!known("statement " s) && !old)
		emit(s)
}

BEGIN {
	schema = "@extschema@."
	inside = word = last_word = text = ""
}

FNR == 1 {
	if (NR > 1)
		file_ends()
	old = (NR == 1)
}

# psql's guard, for those who run the file by hand.
inside == "" && /^\\/ { next }

{ line_of($0) }

END {
	if (failed)
		exit 1
	file_ends()
	decide_all()
	for (i in constraint_names)
		if (constraint_names[i] == 1)
			emit("ALTER TABLE " constraint_table[i] " DROP CONSTRAINT IF EXISTS " constraint_of[i])
	for (i in indexes)
		if (indexes[i] == 1)
			emit("DROP INDEX IF EXISTS " schema i)
}
