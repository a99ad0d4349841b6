/*
 * setting_table.c: see setting_table.h.
 */
#include "program/setting_table.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/log.h"

static bool
set_number(const struct setting_definition *d, void *target, const char *value,
		   struct va_error *err)
{
	char *end;

	errno = 0;
	long number = strtol(value, &end, 10);

	if (errno != 0 || end == value || *end != '\0' || number < d->least || number > d->most)
		return va_fail(err, "voiceagent.%s must be a number from %ld to %ld", d->name, d->least,
					   d->most);
	if (d->kind == SETTING_PORT)
		*(uint16_t *) target = (uint16_t) number;
	else
		*(unsigned *) target = (unsigned) number;
	return true;
}

static bool
set_value(void *settings, const struct setting_definition *d, const char *value,
		  struct va_error *err)
{
	void *target = (char *) settings + d->offset;
	size_t len = strlen(value);

	switch (d->kind)
	{
		case SETTING_TEXT:
			if (len >= SETTINGS_TEXT_SIZE)
				return va_fail(err, "voiceagent.%s is longer than %d bytes", d->name,
							   SETTINGS_TEXT_SIZE - 1);
			memcpy(target, value, len + 1);
			return true;
		case SETTING_BOOL: *(bool *) target = strcmp(value, "on") == 0; return true;
		case SETTING_LEVEL:
			if (!log_level_parse(value, target))
				return va_fail(err, "voiceagent.%s is not a level of the log", d->name);
			return true;
		default: return set_number(d, target, value, err);
	}
}

void
setting_table_default(const struct setting_definition *table, size_t count, void *settings)
{
	for (size_t i = 0; i < count; i++)
		set_value(settings, &table[i], table[i].initial, NULL);
}

bool
setting_table_set(const struct setting_definition *table, size_t count, void *settings,
				  const char *name, const char *value, struct va_error *err)
{
	static const char prefix[] = "voiceagent.";

	if (strncmp(name, prefix, sizeof(prefix) - 1) == 0)
		name += sizeof(prefix) - 1;
	for (size_t i = 0; i < count; i++)
		if (strcmp(table[i].name, name) == 0)
			return set_value(settings, &table[i], value, err);
	return true;
}
