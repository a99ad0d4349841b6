/*
 * settings.c: one table of the settings that the gateway reads.
 */
#include "gateway/settings.h"

#include <stddef.h>
#include <string.h>

#define AT(member) offsetof(struct settings, member)

static const struct setting_definition definitions[] = {
	{"allow_insecure_engine", SETTING_BOOL, AT(allow_insecure_engine), "off", 0, 0},
	{"gateway_connections", SETTING_UNSIGNED, AT(gateway_connections), "2", 1, 32},
	{"http_port", SETTING_PORT, AT(http_port), "8000", 1, 65535},
	{"listen_addresses", SETTING_TEXT, AT(listen_addresses), "localhost", 0, 0},
	{"log_level", SETTING_LEVEL, AT(log_level), "info", 0, 0},
	{"max_calls", SETTING_UNSIGNED, AT(max_calls), "1000", 1, 100000},
	{"media_port", SETTING_PORT, AT(media_port), "8080", 1, 65535},
	{"public_url", SETTING_TEXT, AT(public_url), "", 0, 0},
	{"realtime_base_url", SETTING_TEXT, AT(realtime_base_url), "", 0, 0},
	{"ssl_cert_file", SETTING_TEXT, AT(ssl_cert_file), "", 0, 0},
	{"ssl_key_file", SETTING_TEXT, AT(ssl_key_file), "", 0, 0},
	{"ultravox_base_url", SETTING_TEXT, AT(ultravox_base_url), "https://api.ultravox.ai", 0, 0},
};

#define DEFINITIONS (sizeof(definitions) / sizeof(definitions[0]))

void
settings_default(struct settings *s)
{
	memset(s, 0, sizeof(*s));
	setting_table_default(definitions, DEFINITIONS, s);
}

bool
settings_set(struct settings *s, const char *name, const char *value, struct va_error *err)
{
	return setting_table_set(definitions, DEFINITIONS, s, name, value, err);
}
