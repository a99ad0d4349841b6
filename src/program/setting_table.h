/*
 * setting_table.h: the server's settings as a program knows them: a table of names, types and
 * bounds, and a struct that they are written into.
 *
 * The server defines and checks them (voiceagent.* in pg_settings); a program reads the values over
 * its connection and checks again, because it may serve a server of another version.
 */
#ifndef VA_PROGRAM_SETTING_TABLE_H
#define VA_PROGRAM_SETTING_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"

#define SETTINGS_TEXT_SIZE 512

enum setting_kind
{
	SETTING_TEXT, /* char[SETTINGS_TEXT_SIZE] */
	SETTING_UNSIGNED, /* unsigned */
	SETTING_PORT, /* uint16_t */
	SETTING_BOOL, /* bool */
	SETTING_LEVEL /* enum log_level */
};

struct setting_definition
{
	const char *name; /* without the prefix "voiceagent." */
	enum setting_kind kind;
	size_t offset; /* of the member in the struct */
	const char *initial;
	long least;
	long most;
};

/* Writes every initial value. */
void setting_table_default(const struct setting_definition *table, size_t count, void *settings);
/* Sets one by its name, with or without the prefix. Unknown names are none of the program's business
 * and succeed. False, with nothing changed, for a value out of bounds. */
bool setting_table_set(const struct setting_definition *table, size_t count, void *settings,
					   const char *name, const char *value, struct va_error *err);

#endif
