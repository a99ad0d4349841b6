/*
 * secret_log.c: keeps statements that carry a secret out of the server's log and of pg_stat_activity.
 *
 * `SELECT va_secret_set(…, 'the secret')` is text like any other to the server: it stands in
 * pg_stat_activity while it runs and after, in the log when it fails (STATEMENT), and always when
 * statements are logged. There are two handles. The function itself, as soon as it runs, puts
 * something else into pg_stat_activity and remembers which statement it was called by. And a hook
 * looks at what is about to be logged, because a statement may fail before any function runs (no right
 * to call it, a missing quote): it is recognised by the name va_secret_set.
 *
 * A hook is of use only in a process that has loaded the library: with shared_preload_libraries, all.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/elog.h"

#include "pg/secret_log.h"

#define HIDDEN "(a statement that carries a secret)"

PG_FUNCTION_INFO_V1(va_hide_statement);

static emit_log_hook_type previous_hook = NULL;

/* When the last statement began that called va_hide_statement. */
static TimestampTz hidden_statement = 0;

static bool
carries_secret(const char *text)
{
	static const char *const names[] = {"va_secret_set", "va_api_key_check"};
	int i;

	for (; text != NULL && *text != '\0'; text++)
	{
		for (i = 0; i < lengthof(names); i++)
		{
			if (pg_strncasecmp(text, names[i], strlen(names[i])) == 0)
				return true;
		}
	}
	return false;
}

/*
 * Messages of the statement keep what they say of their own, an error its text; those that quote it
 * (log_statement, log_min_duration_statement, a syntax error) lose the quotation.
 */
static void
hide(ErrorData *error)
{
	if (carries_secret(debug_query_string) ||
		(hidden_statement != 0 && hidden_statement == GetCurrentStatementStartTimestamp()))
	{
		error->hide_stmt = true;
		error->hide_ctx = true;
		if (error->elevel <= LOG_SERVER_ONLY)
			error->detail = NULL; /* the parameters of a statement */
		if (error->sqlerrcode == ERRCODE_SYNTAX_ERROR)
			error->message = pstrdup("syntax error in " HIDDEN); /* freed by the server */
	}
	if (error->elevel <= LOG_SERVER_ONLY && carries_secret(error->message))
	{
		error->message = pstrdup(HIDDEN);
		error->detail = NULL;
	}
	if (previous_hook != NULL)
		previous_hook(error);
}

/* va_hide_statement() RETURNS void: for functions that take a secret, before anything else. */
Datum
va_hide_statement(PG_FUNCTION_ARGS)
{
	hidden_statement = GetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, HIDDEN);
	PG_RETURN_VOID();
}

void
secret_log_install(void)
{
	previous_hook = emit_log_hook;
	emit_log_hook = hide;
}
