/*
 * settings.c: one table of the settings that the gateway reads.
 */
#include "gateway/settings.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum kind
{
	KIND_TEXT,
	KIND_UNSIGNED,
	KIND_PORT,
	KIND_BOOL,
	KIND_LEVEL
};

struct definition
{
	const char *name;
	enum kind kind;
	size_t offset;
	const char *initial;
	long least;
	long most;
};

#define AT(member) offsetof(struct settings, member)

static const struct definition definitions[] = {
	{"allow_insecure_engine", KIND_BOOL, AT(allow_insecure_engine), "off", 0, 0},
	{"gateway_connections", KIND_UNSIGNED, AT(gateway_connections), "2", 1, 32},
	{"http_port", KIND_PORT, AT(http_port), "8000", 1, 65535},
	{"listen_addresses", KIND_TEXT, AT(listen_addresses), "localhost", 0, 0},
	{"log_level", KIND_LEVEL, AT(log_level), "info", 0, 0},
	{"max_calls", KIND_UNSIGNED, AT(max_calls), "1000", 1, 100000},
	{"media_port", KIND_PORT, AT(media_port), "8080", 1, 65535},
	{"public_url", KIND_TEXT, AT(public_url), "", 0, 0},
	{"realtime_base_url", KIND_TEXT, AT(realtime_base_url), "", 0, 0},
	{"ssl_cert_file", KIND_TEXT, AT(ssl_cert_file), "", 0, 0},
	{"ssl_key_file", KIND_TEXT, AT(ssl_key_file), "", 0, 0},
	{"ultravox_base_url", KIND_TEXT, AT(ultravox_base_url), "https://api.ultravox.ai", 0, 0},
};

#define DEFINITIONS (sizeof(definitions) / sizeof(definitions[0]))

static bool
set_number(const struct definition *d, void *target, const char *value, struct va_error *err)
{
	char *end;

	errno = 0;
	long number = strtol(value, &end, 10);

	if (errno != 0 || end == value || *end != '\0' || number < d->least || number > d->most)
		return va_fail(err, "voiceagent.%s must be a number from %ld to %ld", d->name, d->least,
					   d->most);
	if (d->kind == KIND_PORT)
		*(uint16_t *) target = (uint16_t) number;
	else
		*(unsigned *) target = (unsigned) number;
	return true;
}

static bool
set_value(struct settings *s, const struct definition *d, const char *value, struct va_error *err)
{
	void *target = (char *) s + d->offset;
	size_t len = strlen(value);

	switch (d->kind)
	{
		case KIND_TEXT:
			if (len >= SETTINGS_TEXT_SIZE)
				return va_fail(err, "voiceagent.%s is longer than %d bytes", d->name,
							   SETTINGS_TEXT_SIZE - 1);
			memcpy(target, value, len + 1);
			return true;
		case KIND_BOOL: *(bool *) target = strcmp(value, "on") == 0; return true;
		case KIND_LEVEL:
			if (!log_level_parse(value, target))
				return va_fail(err, "voiceagent.%s is not a level of the log", d->name);
			return true;
		default: return set_number(d, target, value, err);
	}
}

void
settings_default(struct settings *s)
{
	memset(s, 0, sizeof(*s));
	for (size_t i = 0; i < DEFINITIONS; i++)
		set_value(s, &definitions[i], definitions[i].initial, NULL);
}

bool
settings_set(struct settings *s, const char *name, const char *value, struct va_error *err)
{
	static const char prefix[] = "voiceagent.";

	if (strncmp(name, prefix, sizeof(prefix) - 1) == 0)
		name += sizeof(prefix) - 1;
	for (size_t i = 0; i < DEFINITIONS; i++)
		if (strcmp(definitions[i].name, name) == 0)
			return set_value(s, &definitions[i], value, err);
	return true;
}
