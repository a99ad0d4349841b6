/*
 * wake.c: when somebody who adds to the outbox must NOTIFY.
 *
 * Every NOTIFY takes a lock of the whole cluster at commit, so it is sent only while a dispatcher of
 * this database sleeps. A dispatcher's claim that finds nothing says so here and then looks once
 * more. Whoever adds asks twice: before the commit, when a NOTIFY can still join the transaction,
 * and after it, when the rows can be seen. One of the two sees the other: either the second look of
 * the claim comes after the commit and finds the rows, or the word that it sleeps came before the
 * second question. That one comes too late for a NOTIFY of its own, and leaves it to the scheduler.
 *
 * Without shared memory (the library is not preloaded) every addition notifies.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/async.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/builtins.h"

#include "worker/compat.h"
#include "worker/runtime.h"
#include "worker/settings.h"
#include "worker/transaction.h"
#include "worker/wake.h"

#define CHANNEL "voiceagent_outbox"
#define SLEEPERS 64

PG_FUNCTION_INFO_V1(va_outbox_wake);
PG_FUNCTION_INFO_V1(va_outbox_idle);

struct sleeper
{
	Oid database; /* InvalidOid: the place is free */
	uint32 name; /* hash of the dispatcher's name */
	bool idle;
};

struct wake
{
	slock_t mutex; /* guards everything below */
	struct sleeper sleepers[SLEEPERS];
	bool missed; /* the scheduler is to notify */
};

static struct wake *wake = NULL;
static bool touched = false; /* this transaction added something */
static bool notified = false;

void
wake_request(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(struct wake)));
}

void
wake_startup(void)
{
	bool found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	wake = ShmemInitStruct("voiceagent outbox", sizeof(struct wake), &found);
	if (!found)
	{
		memset(wake, 0, sizeof(struct wake));
		SpinLockInit(&wake->mutex);
	}
	LWLockRelease(AddinShmemInitLock);
}

/* Does a dispatcher of this database sleep? */
static bool
somebody_sleeps(void)
{
	bool sleeps = false;
	int i;

	SpinLockAcquire(&wake->mutex);
	for (i = 0; i < SLEEPERS && !sleeps; i++)
		sleeps = wake->sleepers[i].database == MyDatabaseId && wake->sleepers[i].idle;
	SpinLockRelease(&wake->mutex);
	return sleeps;
}

static void
leave_to_scheduler(void)
{
	SpinLockAcquire(&wake->mutex);
	wake->missed = true;
	SpinLockRelease(&wake->mutex);
	runtime_wake_scheduler();
}

static void
at_transaction_event(XactEvent event, void *arg)
{
	if (!touched)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			notified = somebody_sleeps();
			if (notified)
				Async_Notify(CHANNEL, "");
			break;
		case XACT_EVENT_COMMIT:
			if (!notified && somebody_sleeps())
				leave_to_scheduler();
			touched = notified = false;
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE: /* the sweep finds what is committed later */
			touched = notified = false;
			break;
		default: break;
	}
}

void
wake_install(void)
{
	RegisterXactCallback(at_transaction_event, NULL);
}

static void
announce(void *arg)
{
	Async_Notify(CHANNEL, "");
}

void
wake_announce_missed(void)
{
	bool missed;

	SpinLockAcquire(&wake->mutex);
	missed = wake->missed;
	wake->missed = false;
	SpinLockRelease(&wake->mutex);
	if (missed)
		(void) transaction_run("NOTIFY " CHANNEL, announce, NULL);
}

/* va_outbox_wake(): this transaction has given the dispatchers something to do. */
Datum
va_outbox_wake(PG_FUNCTION_ARGS)
{
	if (wake != NULL)
		touched = true;
	else
		Async_Notify(CHANNEL, "");
	PG_RETURN_VOID();
}

/* va_outbox_idle(dispatcher text, idle boolean). With more dispatchers than places the last place
 * stays idle for good: then additions notify more often than they must. */
Datum
va_outbox_idle(PG_FUNCTION_ARGS)
{
	text *name = PG_GETARG_TEXT_PP(0);
	uint32 hash = hash_bytes((unsigned char *) VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	bool idle = PG_GETARG_BOOL(1);
	int i;

	if (wake == NULL)
		PG_RETURN_VOID();
	SpinLockAcquire(&wake->mutex);
	for (i = 0; i < SLEEPERS - 1; i++)
	{
		struct sleeper *s = &wake->sleepers[i];

		if (s->database == InvalidOid || (s->database == MyDatabaseId && s->name == hash))
			break;
	}
	wake->sleepers[i] = (struct sleeper){MyDatabaseId, hash, idle || i == SLEEPERS - 1};
	SpinLockRelease(&wake->mutex);
	PG_RETURN_VOID();
}
