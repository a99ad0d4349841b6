/*
 * scheduler.c: the clock of the extension, a background worker connected to its database.
 *
 * Every pass looks whether the extension is (still) there, sees to it that the programs' roles have
 * the password of this start, and runs what is due. Without the extension it tells the launcher and
 * ends, so that an idle worker never keeps a database from being dropped or copied.
 *
 * The postmaster never restarts it, the launcher does: a worker with a restart time would start and
 * die for ever once its database is dropped with force.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "worker/compat.h"
#include "worker/conninfo.h"
#include "worker/runtime.h"
#include "worker/scheduler.h"
#include "worker/settings.h"
#include "worker/transaction.h"
#include "worker/wake.h"

#define PASS_MS 10000
#define HOUSEKEEPING_MS 60000
#define PAUSE_MS 1000

/* ---- passwords -------------------------------------------------------------------------------- */

/* The stored verifier of role, or NULL when it has none; *exists says whether there is the role. */
static char *
stored_verifier(const char *role, bool *exists)
{
	Oid types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(role)};

	if (SPI_execute_with_args("SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1", 1,
							  types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read pg_authid");
	*exists = SPI_processed == 1;
	return *exists ? SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1) : NULL;
}

/* Gives the role the verifier of this start, unless it has it already. */
static void
set_verifier(const char *role, int number, const char *verifier)
{
	static bool missed[2];
	bool exists;
	char *stored = stored_verifier(role, &exists);
	char *command;

	if (!exists)
	{
		if (!missed[number])
			ereport(WARNING, (errmsg("voiceagent: role \"%s\" does not exist", role),
							  errhint("DROP and CREATE EXTENSION voiceagent make it anew.")));
		missed[number] = true;
		return;
	}
	missed[number] = false;
	if (stored != NULL && strcmp(stored, verifier) == 0)
		return;
	command =
		psprintf("ALTER ROLE %s PASSWORD %s", quote_identifier(role), quote_literal_cstr(verifier));
	if (SPI_execute(command, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not set the password of role \"%s\"", role);
}

/* ---- passes ----------------------------------------------------------------------------------- */

/* arg: where to put the extension's oid, invalid when there is none. */
static void
look_for_extension(void *arg)
{
	*(Oid *) arg = get_extension_oid("voiceagent", true);
}

static void
set_verifiers(void *arg)
{
	char verifier[RUNTIME_VERIFIER_SIZE];

	if (!runtime_verifier(verifier))
		return;
	set_verifier(GATEWAY_ROLE, 0, verifier);
	set_verifier(DISPATCHER_ROLE, 1, verifier);
}

/* The name of the extension's function, with its schema and quoted, or NULL: the extension may have
 * been dropped or made anew since this pass began (then the next pass is its), or be of an older version. */
static char *
function_name(Oid extension, const char *function)
{
	Oid types[] = {OIDOID, TEXTOID};
	Datum values[] = {ObjectIdGetDatum(extension), CStringGetTextDatum(function)};

	if (SPI_execute_with_args("SELECT pg_catalog.format('%I.%I', n.nspname, p.proname) "
							  "FROM pg_catalog.pg_extension e "
							  "JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace "
							  "JOIN pg_catalog.pg_proc p ON p.pronamespace = n.oid "
							  "WHERE e.oid = $1 AND p.proname = $2",
							  2, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look for %s()", function);
	if (SPI_processed == 0)
		return NULL;
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/* Calls one of the extension's functions; its result as text, NULL for NULL or without the function. */
static char *
call_function(Oid extension, const char *function, const char *arguments)
{
	char *name = function_name(extension, function);

	if (name == NULL)
		return NULL;
	if (SPI_execute(psprintf("SELECT %s%s", name, arguments), false, 0) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not run %s()", function);
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/* arg: the extension's oid. */
static void
keep_house(void *arg)
{
	(void) call_function(*(Oid *) arg, "va_housekeeping", "()");
}

/* Every pass and not only with the housekeeping: what busy writers add within a minute would be felt by
 * who reads the view. arg: the extension's oid. */
static void
compact_funnel(void *arg)
{
	(void) call_function(*(Oid *) arg, "va_funnel_compact", "()");
}

/* Work that has a time: a function that does what is due, so much in one transaction, and returns how
 * much that was; and one that says when the next is due, NULL without any. Adding some is adding a
 * line. */
static const struct timed_work
{
	const char *due;
	const char *next;
	int at_once;
} timed_works[] = {
	{"va_follow_ups_due", "va_follow_ups_next", 500},
	{"va_lead_actions_due", "va_lead_actions_next", 100},
	{"va_campaigns_due", "va_campaigns_next", 50},
};

struct turn
{
	Oid extension;
	const struct timed_work *work;
	bool more; /* as much was due as one transaction takes */
	long wait_ms; /* until the next is due, PASS_MS at most */
};

static void
run_due(void *arg)
{
	struct turn *turn = arg;
	char *count =
		call_function(turn->extension, turn->work->due, psprintf("(%d)", turn->work->at_once));

	turn->more = count != NULL && pg_strtoint32(count) >= turn->work->at_once;
}

static void
look_for_next(void *arg)
{
	struct turn *turn = arg;
	char *next = call_function(turn->extension, turn->work->next, "()");
	TimestampTz due;

	if (next == NULL)
		return;
	due = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(next),
												  ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	turn->wait_ms =
		Min(PASS_MS, Max(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), due), PAUSE_MS));
}

/* Everything of one kind that is due, in transactions of limited size; then how long to sleep, in
 * milliseconds. What is due and cannot be done (an error, another session's lock) is tried again
 * after a pause. */
static long
do_timed_work(Oid extension, const struct timed_work *work)
{
	struct turn turn = {.extension = extension, .work = work, .wait_ms = PASS_MS};

	do
	{
		CHECK_FOR_INTERRUPTS();
		turn.more = false;
		if (!transaction_run(work->due, run_due, &turn))
			return PASS_MS;
	} while (turn.more);
	(void) transaction_run(work->next, look_for_next, &turn);
	return turn.wait_ms;
}

/* One pass; *wait_ms is how long the next one may wait. False when there is nothing to be done here, for
 * the extension is not there. */
static bool
pass(long *wait_ms)
{
	static TimestampTz kept_house = 0;
	Oid extension = InvalidOid;

	*wait_ms = PASS_MS;
	if (!transaction_run("looking for the extension", look_for_extension, &extension))
		return true;
	if (!OidIsValid(extension))
	{
		runtime_report(RUNTIME_NO_EXTENSION);
		return false;
	}
	wake_announce_missed();
	/* A failure is logged and no obstacle: trust and peer need no password. */
	(void) transaction_run("setting passwords", set_verifiers, NULL);
	runtime_report(RUNTIME_READY);

	if (kept_house == 0 ||
		TimestampDifferenceExceeds(kept_house, GetCurrentTimestamp(), HOUSEKEEPING_MS))
	{
		kept_house = GetCurrentTimestamp();
		(void) transaction_run("SELECT va_housekeeping()", keep_house, &extension);
	}
	(void) transaction_run("SELECT va_funnel_compact()", compact_funnel, &extension);
	for (size_t i = 0; i < lengthof(timed_works); i++)
		*wait_ms = Min(*wait_ms, do_timed_work(extension, &timed_works[i]));
	return true;
}

/* ---- the worker ------------------------------------------------------------------------------- */

/* before_shmem_exit */
static void
leave(int code, Datum arg)
{
	runtime_scheduler_leave();
}

/* The session is the superuser's: nothing in a database may bend what our statements mean. */
static void
settle_session(void)
{
	SetConfigOption("search_path", "pg_catalog", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("row_security", "off", PGC_SUSET, PGC_S_OVERRIDE);
}

void
voiceagent_scheduler_main(Datum argument)
{
	long wait_ms;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	before_shmem_exit(leave, (Datum) 0);
	/* Exit code 0 throughout: the postmaster forgets the worker, the launcher decides. */
	if (!runtime_scheduler_enter())
		proc_exit(0);
	BackgroundWorkerInitializeConnection(setting_database, NULL, 0);
	settle_session();

	while (pass(&wait_ms))
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait_ms,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
	proc_exit(0);
}

bool
scheduler_launch(BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker = {0};
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
	bool registered;

	strlcpy(worker.bgw_name, "voiceagent scheduler", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "voiceagent scheduler", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "voiceagent", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "voiceagent_scheduler_main", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	registered = RegisterDynamicBackgroundWorker(&worker, handle);
	MemoryContextSwitchTo(caller);
	return registered;
}
