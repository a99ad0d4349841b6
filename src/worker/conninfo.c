/*
 * conninfo.c: the ways to the database that a child program tries in turn.
 *
 * The usual local lines of pg_hba.conf are trust, scram-sha-256 and peer. The first candidate, the
 * program's own role with the password of this start, serves the first two. Under peer that role is
 * refused, since the operating system knows the program as the server's user; so the second
 * candidate logs in as that user and steps down to the role at once (run_as).
 *
 * voiceagent.conninfo replaces both.
 */
#include "postgres.h"

#include <pwd.h>
#include <unistd.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/varlena.h"

#include "worker/conninfo.h"
#include "worker/settings.h"

/* Appends keyword=value with the value quoted for libpq. */
static void
add_pair(StringInfo conninfo, const char *keyword, const char *value)
{
	const char *p;

	appendStringInfo(conninfo, "%s%s='", conninfo->len > 0 ? " " : "", keyword);
	for (p = value; *p != '\0'; p++)
	{
		if (*p == '\'' || *p == '\\')
			appendStringInfoChar(conninfo, '\\');
		appendStringInfoChar(conninfo, *p);
	}
	appendStringInfoChar(conninfo, '\'');
}

/* Where the server listens for us: its first socket directory, else loopback. palloc'd. */
static char *
server_host(void)
{
	char *directories = pstrdup(GetConfigOption("unix_socket_directories", false, false));
	List *list = NIL;
	char *first;

	if (!SplitDirectoriesString(directories, ',', &list) || list == NIL)
		return pstrdup("127.0.0.1");
	first = linitial(list);
	/* libpq takes for a directory what starts with a slash, or an @ of the abstract kind. */
	if (first[0] == '/' || first[0] == '@')
		return pstrdup(first);
	return psprintf("%s/%s", DataDir, first);
}

/* user NULL: the operating system's user of this server. */
static char *
local_conninfo(const char *program, const char *name, const char *user, const char *password)
{
	StringInfoData conninfo;
	char *application = psprintf("voiceagent %s %s", program, name);
	char *port = psprintf("%d", PostPortNumber);

	initStringInfo(&conninfo);
	add_pair(&conninfo, "host", server_host());
	add_pair(&conninfo, "port", port);
	add_pair(&conninfo, "dbname", setting_database);
	if (user == NULL)
	{
		struct passwd *self = getpwuid(geteuid());

		if (self != NULL)
			add_pair(&conninfo, "user", self->pw_name);
	}
	else
		add_pair(&conninfo, "user", user);
	if (password != NULL)
		add_pair(&conninfo, "password", password);
	add_pair(&conninfo, "application_name", application);
	add_pair(&conninfo, "connect_timeout", "5");
	return conninfo.data;
}

static void
add_candidate(StringInfo line, const char *conninfo, const char *run_as)
{
	appendStringInfoString(line,
						   line->data[line->len - 1] == '[' ? "{\"conninfo\":" : ",{\"conninfo\":");
	escape_json(line, conninfo);
	appendStringInfoString(line, ",\"run_as\":");
	if (run_as == NULL)
		appendStringInfoString(line, "null}");
	else
	{
		escape_json(line, run_as);
		appendStringInfoChar(line, '}');
	}
}

char *
conninfo_config_line(const char *program, const char *role, const char *name, const char *password)
{
	StringInfoData line;

	initStringInfo(&line);
	appendStringInfoString(&line, "{\"conninfos\":[");
	if (setting_conninfo[0] != '\0')
		add_candidate(&line, setting_conninfo, NULL);
	else
	{
		add_candidate(&line, local_conninfo(program, name, role, password), NULL);
		add_candidate(&line, local_conninfo(program, name, NULL, NULL), role);
	}
	appendStringInfoString(&line, "],\"name\":");
	escape_json(&line, name);
	appendStringInfoString(&line, ",\"log\":\"json\"}\n");
	return line.data;
}
