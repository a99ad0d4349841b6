/*
 * settings.c: every setting in one table, in alphabetical order, each with its bounds, when it may
 * change, and a sentence for the user.
 *
 * Check hooks refuse what cannot work and say how it should look. They see one setting at a time,
 * in no certain order, so what depends on two settings is checked by the gateway. A file is looked
 * at by the postmaster alone: it is the one that hands the value to everybody else.
 *
 * voiceagent.tenant_id is here because the prefix is reserved: it belongs to sessions, where
 * row-level security compares it with the rows' tenant.
 */
#include "postgres.h"

#include <ctype.h>
#include <unistd.h>

#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/uuid.h"

#include "worker/settings.h"

char *setting_database;
char *setting_conninfo;
int setting_dispatcher_workers;
int setting_gateway_workers;

/* Read by the programs through pg_settings; here they only need a place to live. */
static bool allow_insecure_engine;
static bool allow_private_urls;
static int dispatcher_concurrency;
static int gateway_connections;
static char *google_base_url;
static char *google_token_url;
static int http_port;
static char *listen_addresses;
static int log_level;
static int max_calls;
static int media_port;
static char *public_url;
static char *realtime_base_url;
static char *sendgrid_base_url;
static char *ssl_cert_file;
static char *ssl_key_file;
static char *tenant_id;
static char *twilio_base_url;
static char *ultravox_base_url;

/* The values are those of the program's enum log_level. */
static const struct config_enum_entry log_levels[] = {
	{"debug", 0, false}, {"info", 1, false}, {"warning", 2, false},
	{"error", 3, false}, {NULL, 0, false},
};

/* ---- check hooks ------------------------------------------------------------------------------ */

/* Length of the scheme with its "://" when text starts with one of schemes, else 0. */
static size_t
scheme_length(const char *text, const char *const *schemes)
{
	for (; *schemes != NULL; schemes++)
	{
		size_t length = strlen(*schemes);

		if (pg_strncasecmp(text, *schemes, length) == 0)
			return length;
	}
	return 0;
}

/* NULL when url (its scheme cut off) is host[:port][/path] and nothing more, else what is wrong. */
static const char *
url_fault(const char *rest)
{
	const char *p;
	size_t host = strcspn(rest, "/");

	if (host == 0 || rest[0] == ':')
		return "The host is missing.";
	for (p = rest; *p != '\0'; p++)
	{
		if (!isgraph((unsigned char) *p) || strchr("\"'<>\\^`{|}", *p) != NULL)
			return "It contains a character that a URL may not contain.";
	}
	if (strchr(rest, '@') != NULL)
		return "It may not contain a user name or password.";
	if (strpbrk(rest, "?#") != NULL)
		return "It may not contain a query or a fragment.";
	if (p[-1] == '/')
		return "It may not end with a slash.";
	return NULL;
}

static bool
check_url(const char *value, const char *const *schemes, const char *hint)
{
	size_t scheme = scheme_length(value, schemes);
	const char *fault;

	if (value[0] == '\0')
		return true;
	fault = scheme == 0 ? "The URL does not start with a scheme that is supported here."
						: url_fault(value + scheme);
	if (fault == NULL)
		return true;
	GUC_check_errdetail("%s", fault);
	GUC_check_errhint("%s", hint);
	return false;
}

static const char *const http_schemes[] = {"https://", "http://", NULL};
static const char *const realtime_schemes[] = {"https://", "http://", "wss://", "ws://", NULL};

static bool
check_public_url(char **value, void **extra, GucSource source)
{
	return check_url(*value, http_schemes,
					 "Give the address at which Twilio reaches the gateway, such as "
					 "\"https://voice.example.com\", or nothing for use on this machine alone.");
}

static bool
check_base_url(char **value, void **extra, GucSource source)
{
	if (**value == '\0')
	{
		GUC_check_errdetail("The URL is empty.");
		GUC_check_errhint("RESET the setting to use the service itself.");
		return false;
	}
	return check_url(*value, http_schemes,
					 "Give the address of the service's API, such as \"https://api.example.com\".");
}

static bool
check_realtime_base_url(char **value, void **extra, GucSource source)
{
	return check_url(*value, realtime_schemes,
					 "Give the engine's address, such as \"https://engine.example.com\" or "
					 "\"wss://engine.example.com/v1\", or nothing when no tenant uses it.");
}

/* A key or certificate that cannot be read would only show when the gateway starts. */
static bool
check_readable_file(char **value, void **extra, GucSource source)
{
	if (**value == '\0' || IsUnderPostmaster || !IsPostmasterEnvironment)
		return true;
	if (access(*value, R_OK) == 0)
		return true;
	GUC_check_errdetail("Could not read the file: %m.");
	GUC_check_errhint(
		"Give a PEM file that the server's operating system user may read; a relative "
		"path starts at the data directory.");
	return false;
}

/* One entry of the list, of length characters, without blanks around it. */
static bool
address_is_plausible(const char *text, size_t length)
{
	size_t i;

	if (length == 1 && text[0] == '*')
		return true;
	for (i = 0; i < length; i++)
	{
		if (!isalnum((unsigned char) text[i]) && strchr(".:-_%", text[i]) == NULL)
			return false;
	}
	return length > 0 && length < 256;
}

static bool
check_listen_addresses(char **value, void **extra, GucSource source)
{
	const char *p = *value;

	for (;;)
	{
		size_t length = strcspn(p, ",");
		const char *next = p + length;

		while (length > 0 && isspace((unsigned char) *p))
			p++, length--;
		while (length > 0 && isspace((unsigned char) p[length - 1]))
			length--;
		if (!address_is_plausible(p, length))
		{
			GUC_check_errdetail("\"%.*s\" is neither a host name nor an IP address.",
								(int) Min(length, 64), p);
			GUC_check_errhint(
				"List names or addresses separated by commas, such as \"localhost\" or "
				"\"192.0.2.1, ::1\", or \"*\" for all. To run no gateway set "
				"voiceagent.gateway_workers to 0.");
			return false;
		}
		if (*next == '\0')
			return true;
		p = next + 1;
	}
}

/* libpq's own parser is not to be had inside the server: the shape has to do. */
static bool
conninfo_has_shape(const char *text)
{
	static const char *const uris[] = {"postgresql://", "postgres://", NULL};
	const char *p = text;

	if (scheme_length(text, uris) > 0)
		return true;
	while (isspace((unsigned char) *p))
		p++;
	while (*p != '\0')
	{
		size_t key = strspn(p, "abcdefghijklmnopqrstuvwxyz_");

		p += key;
		while (isspace((unsigned char) *p))
			p++;
		if (key == 0 || *p != '=')
			return false;
		p++;
		while (isspace((unsigned char) *p))
			p++;
		if (*p == '\'')
		{
			for (p++; *p != '\0' && *p != '\''; p++)
				if (*p == '\\' && p[1] != '\0')
					p++;
			if (*p++ != '\'')
				return false;
		}
		else
		{
			for (; *p != '\0' && !isspace((unsigned char) *p); p++)
				if (*p == '\\' && p[1] != '\0')
					p++;
		}
		while (isspace((unsigned char) *p))
			p++;
	}
	return true;
}

static bool
check_conninfo(char **value, void **extra, GucSource source)
{
	if (conninfo_has_shape(*value))
		return true;
	GUC_check_errdetail("It is neither a list of keyword=value pairs nor a URI.");
	GUC_check_errhint("Write it as for psql: \"host=db.example.com dbname=app "
					  "user=voiceagent_gateway\" or \"postgresql://…\".");
	return false;
}

static bool
check_database(char **value, void **extra, GucSource source)
{
	if (**value != '\0' && strlen(*value) < NAMEDATALEN)
		return true;
	GUC_check_errdetail("The name of a database has 1 to %d bytes.", NAMEDATALEN - 1);
	GUC_check_errhint("Name the database in which CREATE EXTENSION voiceagent is run.");
	return false;
}

static bool
check_tenant_id(char **value, void **extra, GucSource source)
{
	const char *p = *value;
	int i;

	if (*p == '\0')
		return true;
	for (i = 0; i < 36 && p[i] != '\0'; i++)
	{
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? p[i] != '-' : !isxdigit((unsigned char) p[i]))
			break;
	}
	if (i == 36 && p[36] == '\0')
		return true;
	GUC_check_errdetail("It is not a UUID.");
	GUC_check_errhint("Set it to the tenant's id, or to nothing.");
	return false;
}

/* ---- the table -------------------------------------------------------------------------------- */

enum setting_kind
{
	SETTING_BOOL,
	SETTING_ENUM,
	SETTING_INT,
	SETTING_TEXT
};

struct setting
{
	const char *name;
	enum setting_kind kind;
	GucContext context;
	void *variable;
	const char *text; /* default of SETTING_TEXT */
	int number; /* default of the others */
	int least;
	int most;
	int flags;
	GucStringCheckHook check;
	const char *description;
	const char *detail;
};

#define RESTART PGC_POSTMASTER
#define RELOAD PGC_SIGHUP

static const struct setting settings[] = {
	{"voiceagent.allow_insecure_engine", SETTING_BOOL, RELOAD, &allow_insecure_engine,
	 .description = "Allows voice engines to be reached without TLS (http:// and ws://).",
	 .detail =
		 "For the sandbox and for engines on this machine; speech and API keys travel in clear."},
	{"voiceagent.allow_private_urls", SETTING_BOOL, RELOAD, &allow_private_urls,
	 .description = "Allows addresses that tenants set to be on this machine or in its network.",
	 .detail =
		 "Off: such a URL may not lead to loopback, link-local or private addresses, whatever "
		 "its name resolves to."},
	{"voiceagent.conninfo", SETTING_TEXT, RELOAD, &setting_conninfo, .text = "",
	 .check = check_conninfo, .flags = GUC_SUPERUSER_ONLY,
	 .description = "Connection string with which the programs reach the database.",
	 .detail = "Empty: through the server's own socket, each as its own role. Taken up when a "
			   "program starts."},
	{"voiceagent.database", SETTING_TEXT, RESTART, &setting_database, .text = "postgres",
	 .check = check_database, .description = "Name of the database in which the extension works."},
	{"voiceagent.dispatcher_concurrency", SETTING_INT, RELOAD, &dispatcher_concurrency,
	 .number = 500, .least = 1, .most = 10000,
	 .description = "Number of effects each dispatcher process has under way at most."},
	{"voiceagent.dispatcher_workers", SETTING_INT, RELOAD, &setting_dispatcher_workers, .number = 1,
	 .least = 0, .most = SETTINGS_MAX_DISPATCHERS,
	 .description = "Number of dispatcher processes, which carry the outbox out.",
	 .detail = "0 runs none."},
	{"voiceagent.gateway_connections", SETTING_INT, RESTART, &gateway_connections, .number = 2,
	 .least = 1, .most = 32,
	 .description = "Number of database connections of each gateway process."},
	{"voiceagent.gateway_workers", SETTING_INT, RELOAD, &setting_gateway_workers, .number = 1,
	 .least = 0, .most = SETTINGS_MAX_WORKERS,
	 .description = "Number of gateway processes, which carry the calls.",
	 .detail = "0 runs none."},
	{"voiceagent.google_base_url", SETTING_TEXT, RELOAD, &google_base_url,
	 .text = "https://www.googleapis.com", .check = check_base_url,
	 .description = "Base URL of Google's REST APIs."},
	{"voiceagent.google_token_url", SETTING_TEXT, RELOAD, &google_token_url,
	 .text = "https://oauth2.googleapis.com/token", .check = check_base_url,
	 .description = "URL at which Google gives access tokens."},
	{"voiceagent.http_port", SETTING_INT, RESTART, &http_port, .number = 8000, .least = 1,
	 .most = 65535, .description = "TCP port for webhooks and for media streams."},
	{"voiceagent.listen_addresses", SETTING_TEXT, RESTART, &listen_addresses, .text = "localhost",
	 .check = check_listen_addresses,
	 .description = "Host names or IP addresses the gateway listens on."},
	{"voiceagent.log_level", SETTING_ENUM, RELOAD, &log_level, .number = 1,
	 .description = "Least severe messages the programs send to the server's log."},
	{"voiceagent.max_calls", SETTING_INT, RELOAD, &max_calls, .number = 1000, .least = 1,
	 .most = 100000, .description = "Number of live calls each gateway process carries at most."},
	{"voiceagent.media_port", SETTING_INT, RESTART, &media_port, .number = 8080, .least = 1,
	 .most = 65535, .description = "TCP port for media streams alone."},
	{"voiceagent.public_url", SETTING_TEXT, RELOAD, &public_url, .text = "",
	 .check = check_public_url,
	 .description = "URL at which the outside world reaches the gateway.",
	 .detail = "Empty: made of the first listen address and the ports, for use on this machine."},
	{"voiceagent.realtime_base_url", SETTING_TEXT, RELOAD, &realtime_base_url, .text = "",
	 .check = check_realtime_base_url,
	 .description = "Address of the voice engine that speaks the generic realtime dialect."},
	{"voiceagent.sendgrid_base_url", SETTING_TEXT, RELOAD, &sendgrid_base_url,
	 .text = "https://api.sendgrid.com", .check = check_base_url,
	 .description = "Base URL of SendGrid's REST API."},
	{"voiceagent.ssl_cert_file", SETTING_TEXT, RELOAD, &ssl_cert_file, .text = "",
	 .check = check_readable_file, .description = "File with the gateway's TLS certificate chain.",
	 .detail = "Empty: plain HTTP, for a proxy in front that ends TLS."},
	{"voiceagent.ssl_key_file", SETTING_TEXT, RELOAD, &ssl_key_file, .text = "",
	 .check = check_readable_file,
	 .description = "File with the private key of the gateway's TLS certificate."},
	{"voiceagent.tenant_id", SETTING_TEXT, PGC_USERSET, &tenant_id, .text = "",
	 .check = check_tenant_id,
	 .description = "Tenant whose rows this session sees under row-level security."},
	{"voiceagent.twilio_base_url", SETTING_TEXT, RELOAD, &twilio_base_url,
	 .text = "https://api.twilio.com", .check = check_base_url,
	 .description = "Base URL of Twilio's REST API."},
	{"voiceagent.ultravox_base_url", SETTING_TEXT, RELOAD, &ultravox_base_url,
	 .text = "https://api.ultravox.ai", .check = check_base_url,
	 .description = "Base URL of Ultravox's REST API."},
};

static void
define_setting(const struct setting *s, GucContext context)
{
	switch (s->kind)
	{
		case SETTING_BOOL:
			DefineCustomBoolVariable(s->name, s->description, s->detail, s->variable,
									 s->number != 0, context, s->flags, NULL, NULL, NULL);
			break;
		case SETTING_ENUM:
			DefineCustomEnumVariable(s->name, s->description, s->detail, s->variable, s->number,
									 log_levels, context, s->flags, NULL, NULL, NULL);
			break;
		case SETTING_INT:
			DefineCustomIntVariable(s->name, s->description, s->detail, s->variable, s->number,
									s->least, s->most, context, s->flags, NULL, NULL, NULL);
			break;
		case SETTING_TEXT:
			DefineCustomStringVariable(s->name, s->description, s->detail, s->variable, s->text,
									   context, s->flags, s->check, NULL, NULL);
			break;
	}
}

void
settings_define(bool preloaded)
{
	size_t i;

	for (i = 0; i < lengthof(settings); i++)
	{
		bool too_late = settings[i].context == PGC_POSTMASTER && !preloaded;

		define_setting(&settings[i], too_late ? PGC_SIGHUP : settings[i].context);
	}
	MarkGUCPrefixReserved("voiceagent");
}
