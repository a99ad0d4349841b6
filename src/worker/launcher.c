/*
 * launcher.c: starts the scheduler and the programs (gateways, dispatchers), and keeps them running.
 *
 * The launcher is the one process that the postmaster restarts by itself, so it must not be able to
 * fail: it is connected to no database (it blocks no DROP DATABASE and outlives each), speaks to no
 * network, and its only input is its children's log lines. Each turn of its loop looks at
 * everything, does what is due, and sleeps until the next moment something will be.
 *
 * A program is started when the scheduler has found the extension and given the programs' roles the
 * password of this start. The password never leaves this process but through the child's pipe; the
 * scheduler gets its SCRAM verifier. Should the scheduler not report for a while (no worker slot
 * left, a hanging lock), the programs are started all the same: under trust or peer they connect
 * without its help, and otherwise they keep trying.
 *
 * On the way out, whatever its reason, the children are asked to stop and then made to.
 */
#include "postgres.h"

#include <signal.h>
#include <time.h>

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "worker/child.h"
#include "worker/compat.h"
#include "worker/conninfo.h"
#include "worker/launcher.h"
#include "worker/runtime.h"
#include "worker/scheduler.h"
#include "worker/settings.h"
#include "worker/transaction.h"

#define RESTART_SECONDS 1 /* of the launcher itself, by the postmaster */
#define DATABASE_POLL_MS 1000 /* while voiceagent.database does not exist */
#define EXTENSION_POLL_MS 10000 /* while the extension does not; CREATE EXTENSION nudges us */
#define HELD_POLL_MS 200 /* while a command wants the database to itself */
#define SCHEDULER_FIRST_MS 200 /* back-off when it ends for no reason we know */
#define SCHEDULER_LONGEST_MS 30000
#define REPORT_PATIENCE_MS 10000 /* for the scheduler's first report */
#define PASSWORD_BYTES 32
#define EVENTS_AT_ONCE 16

/* Every child there may be: the gateways, and behind them the dispatchers. */
#define CHILDREN (SETTINGS_MAX_WORKERS + SETTINGS_MAX_DISPATCHERS)

struct launcher
{
	struct child children[CHILDREN];
	char password[PASSWORD_BYTES * 2 + 1];
	BackgroundWorkerHandle *scheduler; /* NULL: not running */
	int64 scheduler_at; /* when to start it */
	int64 scheduler_delay;
	int64 waiting_since; /* for the scheduler's first report */
	uint32 nudges;
	bool may_run; /* programs may be started */
	const char *obstacle; /* what was last logged as being in the way, or NULL */
};

static struct launcher launcher;

static const struct program gateway_program = {
	"gateway", GATEWAY_ROLE, "gw",
	"The server goes on, and the calls it carried are resumed. Look for the cause in the lines "
	"above or in a core file."};
static const struct program dispatcher_program = {
	"dispatcher", DISPATCHER_ROLE, "dp",
	"The server goes on; what it was sending is looked after by the next one. Look for the cause "
	"in the lines above or in a core file."};

/* ---- small things ----------------------------------------------------------------------------- */

static int64
monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
wake_up(SIGNAL_ARGS)
{
	int save_errno = errno;

	SetLatch(MyLatch);
	errno = save_errno;
}

/* Logs an obstacle when it is not the one logged last. */
static bool
new_obstacle(const char *obstacle)
{
	bool is_new = launcher.obstacle != obstacle;

	launcher.obstacle = obstacle;
	return is_new;
}

static void
make_password(void)
{
	uint8 random[PASSWORD_BYTES];
	int i;

	if (!pg_strong_random(random, sizeof(random)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not make a password")));
	for (i = 0; i < PASSWORD_BYTES; i++)
		snprintf(launcher.password + 2 * i, 3, "%02x", random[i]);
}

/* ---- the scheduler ---------------------------------------------------------------------------- */

/* Reads pg_database from end to end: without a database, indexes may be out of reach (their
 * descriptions are in pg_class until the first session has cached them). arg: what to set when
 * voiceagent.database is there. */
static void
look_for_database(void *arg)
{
	Relation databases = table_open(DatabaseRelationId, AccessShareLock);
	NameData name;
	ScanKeyData key;
	SysScanDesc scan;

	namestrcpy(&name, setting_database);
	ScanKeyInit(&key, Anum_pg_database_datname, BTEqualStrategyNumber, F_NAMEEQ,
				NameGetDatum(&name));
	scan = systable_beginscan(databases, InvalidOid, false, NULL, 1, &key);
	*(bool *) arg = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(databases, AccessShareLock);
}

/* An unknown answer (an error, a lock) counts as no. */
static bool
database_exists(void)
{
	bool exists = false;

	return transaction_run("looking for voiceagent.database", look_for_database, &exists) && exists;
}

static void
miss_database(int64 now)
{
	runtime_forget_finding();
	launcher.may_run = false;
	launcher.scheduler_at = now + DATABASE_POLL_MS;
	if (new_obstacle("database"))
		ereport(
			WARNING,
			(errmsg("voiceagent waits for database \"%s\", which does not exist", setting_database),
			 errhint("Create it, or set voiceagent.database and restart the server.")));
}

static void
back_off(int64 now)
{
	launcher.scheduler_at = now + launcher.scheduler_delay;
	launcher.scheduler_delay = Min(launcher.scheduler_delay * 2, SCHEDULER_LONGEST_MS);
}

static void
start_scheduler(int64 now)
{
	if (runtime_held(GetCurrentTimestamp()) || runtime_scheduler() != 0)
		launcher.scheduler_at = now + HELD_POLL_MS;
	else if (!database_exists())
		miss_database(now);
	else if (!scheduler_launch(&launcher.scheduler))
	{
		back_off(now);
		launcher.may_run = true;
		if (new_obstacle("slots"))
			ereport(WARNING, (errmsg("voiceagent could not start its scheduler"),
							  errdetail("No background worker slot is free."),
							  errhint("Increase max_worker_processes and restart the server.")));
	}
}

/* It has ended: find out why, and when to start it again. */
static void
scheduler_ended(int64 now)
{
	pfree(launcher.scheduler);
	launcher.scheduler = NULL;
	if (runtime_finding() == RUNTIME_NO_EXTENSION)
		launcher.scheduler_at = now + EXTENSION_POLL_MS;
	else
		back_off(now);
}

static void
watch_scheduler(int64 now)
{
	uint32 nudges = runtime_nudges();
	pid_t pid;

	if (launcher.scheduler != NULL &&
		GetBackgroundWorkerPid(launcher.scheduler, &pid) == BGWH_STOPPED)
		scheduler_ended(now);
	if (nudges != launcher.nudges)
	{
		launcher.nudges = nudges;
		launcher.scheduler_at = now;
		launcher.scheduler_delay = SCHEDULER_FIRST_MS;
	}
	if (launcher.scheduler == NULL && now >= launcher.scheduler_at)
		start_scheduler(now);
}

/* Draws from the scheduler's findings whether gateways may run. */
static void
judge(int64 now)
{
	switch (runtime_finding())
	{
		case RUNTIME_READY:
			launcher.may_run = true;
			launcher.obstacle = NULL;
			launcher.scheduler_delay = SCHEDULER_FIRST_MS;
			break;
		case RUNTIME_NO_EXTENSION:
			launcher.may_run = false;
			if (new_obstacle("extension"))
				ereport(LOG, (errmsg("voiceagent waits for its extension in database \"%s\"",
									 setting_database),
							  errhint("Run CREATE EXTENSION voiceagent in database \"%s\".",
									  setting_database)));
			break;
		case RUNTIME_UNKNOWN:
			if (launcher.scheduler == NULL)
				launcher.waiting_since = now;
			else if (!launcher.may_run && now - launcher.waiting_since > REPORT_PATIENCE_MS)
			{
				launcher.may_run = true;
				ereport(WARNING, (errmsg("voiceagent starts its programs without having heard from "
										 "the scheduler"),
								  errhint("Look for a lock on pg_authid or pg_extension.")));
			}
			break;
	}
}

/* ---- the children ----------------------------------------------------------------------------- */

static bool
is_wanted(int i)
{
	bool within = i < SETTINGS_MAX_WORKERS ? i < setting_gateway_workers
										   : i - SETTINGS_MAX_WORKERS < setting_dispatcher_workers;

	return launcher.may_run && within;
}

static void
supervise(int i, int64 now)
{
	struct child *child = &launcher.children[i];

	child_watch(child, now);
	if (!is_wanted(i))
		child_stop(child, now);
	else if (child->state == CHILD_WAITING && now >= child->start_at)
	{
		const struct program *program = child->program;
		char *line =
			conninfo_config_line(program->command, program->role, child->name, launcher.password);

		child_start(child, line, now);
	}
}

static void
forward_signal(int number)
{
	int i;

	for (i = 0; i < CHILDREN; i++)
		child_signal(&launcher.children[i], number);
}

/* Stops all, patiently at first; on the way out of the process. */
static void
stop_children(void)
{
	bool left = true;
	int i;

	while (left)
	{
		int64 now = monotonic_ms();

		left = false;
		for (i = 0; i < CHILDREN; i++)
		{
			child_stop(&launcher.children[i], now);
			child_listen(&launcher.children[i], now);
			child_watch(&launcher.children[i], now);
			left = left || launcher.children[i].state != CHILD_WAITING;
		}
		if (left)
			pg_usleep(5000);
	}
}

/* before_shmem_exit: copes with any state, for it may come at any point. */
static void
leave(int code, Datum arg)
{
	pid_t scheduler = runtime_scheduler();

	if (scheduler != 0)
		kill(scheduler, SIGTERM);
	runtime_launcher_leave();
	stop_children();
}

/* ---- the loop --------------------------------------------------------------------------------- */

static int64
next_deadline(int64 now)
{
	int64 deadline = now + 60000;
	int i;

	for (i = 0; i < CHILDREN; i++)
		deadline = Min(deadline, child_deadline(&launcher.children[i], is_wanted(i)));
	if (launcher.scheduler == NULL)
		deadline = Min(deadline, launcher.scheduler_at);
	else if (!launcher.may_run && runtime_finding() == RUNTIME_UNKNOWN)
		deadline = Min(deadline, launcher.waiting_since + REPORT_PATIENCE_MS + 1);
	return deadline;
}

/* Sleeps until the latch is set, a child has written, or the deadline has come. A set cannot forget
 * a descriptor, so each turn makes its own: turns are few. */
static void
wait_for_work(int64 now)
{
	WaitEvent events[EVENTS_AT_ONCE];
	WaitEventSet *set = compat_create_wait_event_set(CHILDREN + 2);
	int64 timeout = Max(next_deadline(now) - now, 0);
	int happened;
	int i;

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	for (i = 0; i < CHILDREN; i++)
		if (launcher.children[i].output >= 0)
			AddWaitEventToSet(set, WL_SOCKET_READABLE, launcher.children[i].output, NULL,
							  &launcher.children[i]);
	happened = WaitEventSetWait(set, (long) timeout, events, EVENTS_AT_ONCE, PG_WAIT_EXTENSION);
	FreeWaitEventSet(set);

	now = monotonic_ms();
	for (i = 0; i < happened; i++)
	{
		if (events[i].events & WL_LATCH_SET)
			ResetLatch(MyLatch);
		else if (events[i].user_data != NULL)
			child_listen(events[i].user_data, now);
	}
}

static void
reload_settings(void)
{
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	forward_signal(SIGHUP);
}

/* In a transaction, for the server's HMAC wants a resource owner. arg: where to say whether no other
 * launcher was there before. */
static void
enter(void *arg)
{
	*(bool *) arg = runtime_launcher_enter(pg_be_scram_build_secret(launcher.password));
}

static void
set_up(void)
{
	bool entered = false;
	int64 now = monotonic_ms();
	int i;

	for (i = 0; i < CHILDREN; i++)
		child_init(&launcher.children[i],
				   i < SETTINGS_MAX_WORKERS ? &gateway_program : &dispatcher_program,
				   i % SETTINGS_MAX_WORKERS + 1);
	launcher.scheduler_at = now;
	launcher.scheduler_delay = SCHEDULER_FIRST_MS;
	launcher.waiting_since = now;
	make_password();
	before_shmem_exit(leave, (Datum) 0);
	if (!transaction_run("making a password", enter, &entered) || !entered)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE), errmsg("voiceagent launcher could not start"),
				 errdetail("The lines above say why, or else another one is running.")));
	launcher.nudges = runtime_nudges();
	/* A look at pg_database shall not wait for somebody's VACUUM FULL of it. */
	SetConfigOption("lock_timeout", "1s", PGC_SUSET, PGC_S_OVERRIDE);
}

void
voiceagent_launcher_main(Datum argument)
{
	MemoryContext turn;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGCHLD, wake_up);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	set_up();
	turn =
		AllocSetContextCreate(TopMemoryContext, "voiceagent launcher turn", ALLOCSET_DEFAULT_SIZES);

	while (!ShutdownRequestPending)
	{
		int64 now = monotonic_ms();
		int i;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
			reload_settings();
		MemoryContextSwitchTo(turn);
		watch_scheduler(now);
		judge(now);
		for (i = 0; i < CHILDREN; i++)
			supervise(i, now);
		wait_for_work(now);
		MemoryContextReset(turn);
	}
	/* 1 and not 0, after which the postmaster would never start it again: it may have been an
	 * administrator's pg_terminate_backend. */
	proc_exit(1);
}

void
launcher_register(void)
{
	BackgroundWorker worker = {0};

	strlcpy(worker.bgw_name, "voiceagent launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "voiceagent launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "voiceagent", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "voiceagent_launcher_main", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_SECONDS;
	RegisterBackgroundWorker(&worker);
}
