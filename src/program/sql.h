/*
 * sql.h: how a program names the extension's functions.
 *
 * The extension may live in any schema and the programs' roles have no search_path of their own, so
 * the functions are named with the schema, which is known once the settings were read.
 */
#ifndef VA_PROGRAM_SQL_H
#define VA_PROGRAM_SQL_H

#include <stdbool.h>

/* Reads name and setting of every voiceagent setting, and the extension's schema (quoted as an
 * identifier) under the name "schema". No row "schema": the extension is not created there. */
extern const char program_sql_settings[];

/* Puts the schema (quoted already) in the place of the one %s of each template. Texts of an earlier
 * schema are kept for the life of the program, since queries under way may still refer to them.
 * False when out of memory. */
bool program_sql_build(const char *const *templates, char **texts, int count, const char *schema);

#endif
