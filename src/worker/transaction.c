/*
 * transaction.c: begin, work, commit, and everything that belongs around it in a background worker:
 * the statement's time, a snapshot, statistics (without them autovacuum never learns of our dead
 * rows), the activity that pg_stat_activity shows, and a limit on how long the work may take.
 *
 * An error ends the transaction and not the worker: one bad row must not make it start and die for
 * ever. The errors of a broken state would come with every pass, so they are logged sparingly.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "worker/transaction.h"

#define TIME_LIMIT_MS 60000
#define ERROR_LOG_INTERVAL_MS 10000

/* Logs the error at hand, unless one was logged just before. */
static void
report_error(void)
{
	static TimestampTz last_logged = 0;
	static uint64 left_out = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (last_logged != 0 && !TimestampDifferenceExceeds(last_logged, now, ERROR_LOG_INTERVAL_MS))
	{
		left_out++;
		return;
	}
	if (left_out > 0)
		errcontext_msg("voiceagent: " UINT64_FORMAT " errors before this one were not logged",
					   left_out);
	EmitErrorReport();
	last_logged = now;
	left_out = 0;
}

bool
transaction_run(const char *activity, transaction_body body, void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	bool with_database = OidIsValid(MyDatabaseId);
	volatile bool done = false;

	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		pgstat_report_activity(STATE_RUNNING, activity);
		if (with_database)
		{
			SPI_connect();
			enable_timeout_after(STATEMENT_TIMEOUT, TIME_LIMIT_MS);
		}
		body(arg);
		if (with_database)
		{
			disable_timeout(STATEMENT_TIMEOUT, false);
			SPI_finish();
		}
		PopActiveSnapshot();
		CommitTransactionCommand();
		done = true;
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		disable_all_timeouts(false);
		MemoryContextSwitchTo(caller);
		report_error();
		AbortCurrentTransaction();
		FlushErrorState();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();

	MemoryContextSwitchTo(caller);
	if (with_database)
		pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	return done;
}
