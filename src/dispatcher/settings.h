/*
 * settings.h: what the server's settings mean to the dispatcher.
 */
#ifndef VA_DISPATCHER_SETTINGS_H
#define VA_DISPATCHER_SETTINGS_H

#include <stdbool.h>

#include "core/error.h"
#include "net/log.h"

struct dispatcher_settings
{
	unsigned concurrency; /* effects under way at once */
	bool allow_private_urls;
	enum log_level log_level;
};

void dispatcher_settings_default(struct dispatcher_settings *s);
/* As setting_table_set. */
bool dispatcher_settings_set(struct dispatcher_settings *s, const char *name, const char *value,
							 struct va_error *err);

#endif
