/*
 * sql.h: every SQL text that the dispatcher sends, in one place.
 *
 * All of the functions are idempotent: a query may be sent again after a lost connection.
 */
#ifndef VA_DISPATCHER_SQL_H
#define VA_DISPATCHER_SQL_H

#include <stdbool.h>

enum dispatcher_sql_id
{
	DISPATCHER_SQL_BEGIN,
	DISPATCHER_SQL_CLAIM,
	DISPATCHER_SQL_SETTLE,
	DISPATCHER_SQL_SWEEP,
	DISPATCHER_SQL_REPORT,
	DISPATCHER_SQL_COUNT
};

struct dispatcher_sql
{
	char *texts[DISPATCHER_SQL_COUNT];
};

/* As program_sql_build. */
bool dispatcher_sql_build(struct dispatcher_sql *sql, const char *schema);
void dispatcher_sql_free(struct dispatcher_sql *sql);

#endif
