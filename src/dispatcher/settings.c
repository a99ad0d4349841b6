/*
 * settings.c: one table of the settings that the dispatcher reads.
 */
#include "dispatcher/settings.h"

#include <stddef.h>
#include <string.h>

#include "program/setting_table.h"

#define AT(member) offsetof(struct dispatcher_settings, member)

static const struct setting_definition definitions[] = {
	{"allow_private_urls", SETTING_BOOL, AT(allow_private_urls), "off", 0, 0},
	{"dispatcher_concurrency", SETTING_UNSIGNED, AT(concurrency), "500", 1, 10000},
	{"log_level", SETTING_LEVEL, AT(log_level), "info", 0, 0},
};

#define DEFINITIONS (sizeof(definitions) / sizeof(definitions[0]))

void
dispatcher_settings_default(struct dispatcher_settings *s)
{
	memset(s, 0, sizeof(*s));
	setting_table_default(definitions, DEFINITIONS, s);
}

bool
dispatcher_settings_set(struct dispatcher_settings *s, const char *name, const char *value,
						struct va_error *err)
{
	return setting_table_set(definitions, DEFINITIONS, s, name, value, err);
}
