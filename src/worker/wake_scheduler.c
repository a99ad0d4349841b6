/*
 * wake_scheduler.c: a trigger that wakes the scheduler when something became due sooner than it sleeps.
 *
 * The scheduler sees only what is committed, so its latch is set after the commit and not by the
 * trigger; a transaction that plans a thousand steps sets it once. A transaction prepared for a
 * two-phase commit wakes nobody: the scheduler finds its work when it looks of itself, as it does
 * every few seconds. Without shared_preload_libraries there is no scheduler, and nothing happens.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "fmgr.h"

#include "worker/runtime.h"

PG_FUNCTION_INFO_V1(va_wake_scheduler);

static bool wanted = false; /* by the transaction under way */

static void
transaction_ended(XactEvent event, void *arg)
{
	if (!wanted)
		return;
	if (event == XACT_EVENT_COMMIT)
		runtime_wake_scheduler();
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		wanted = false;
}

/* AFTER INSERT OR UPDATE, FOR EACH ROW, with a WHEN that says what is due soon. */
Datum
va_wake_scheduler(PG_FUNCTION_ARGS)
{
	static bool listening = false;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "va_wake_scheduler is a trigger");
	if (runtime_available())
	{
		if (!listening)
			RegisterXactCallback(transaction_ended, NULL);
		listening = true;
		wanted = true;
	}
	return PointerGetDatum(NULL);
}
