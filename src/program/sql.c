/*
 * sql.c: see sql.h.
 */
#include "program/sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char program_sql_settings[] =
	"SELECT name, setting FROM pg_catalog.pg_settings WHERE name LIKE 'voiceagent.%' "
	"UNION ALL SELECT 'schema', pg_catalog.quote_ident(n.nspname) "
	"FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace "
	"WHERE e.extname = 'voiceagent'";

bool
program_sql_build(const char *const *templates, char **texts, int count, const char *schema)
{
	for (int i = 0; i < count; i++)
	{
		const char *mark = strstr(templates[i], "%s");
		size_t size = strlen(templates[i]) + strlen(schema) + 1;
		char *text = malloc(size);

		if (text == NULL)
			return false;
		snprintf(text, size, "%.*s%s%s", (int) (mark - templates[i]), templates[i], schema,
				 mark + 2);
		if (texts[i] != NULL && strcmp(texts[i], text) == 0)
			free(text);
		else
			texts[i] = text;
	}
	return true;
}
