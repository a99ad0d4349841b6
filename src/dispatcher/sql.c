/*
 * sql.c: see sql.h.
 */
#include "dispatcher/sql.h"

#include <stdlib.h>

#include "program/sql.h"

static const char *const templates[DISPATCHER_SQL_COUNT] = {
	[DISPATCHER_SQL_BEGIN] = "SELECT %s.va_outbox_begin($1, $2)",
	[DISPATCHER_SQL_CLAIM] =
		"SELECT %s.va_outbox_claim($1, $2, $3::bigint, $4::integer, $5::integer, $6::jsonb)",
	[DISPATCHER_SQL_SETTLE] = "SELECT %s.va_outbox_settle($1, $2::jsonb)",
	[DISPATCHER_SQL_SWEEP] = "SELECT %s.va_outbox_sweep()",
	[DISPATCHER_SQL_REPORT] = "SELECT %s.va_outbox_report($1, $2, $3::jsonb)",
};

bool
dispatcher_sql_build(struct dispatcher_sql *sql, const char *schema)
{
	return program_sql_build(templates, sql->texts, DISPATCHER_SQL_COUNT, schema);
}

void
dispatcher_sql_free(struct dispatcher_sql *sql)
{
	for (int i = 0; i < DISPATCHER_SQL_COUNT; i++)
		free(sql->texts[i]);
}
