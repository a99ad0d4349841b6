/*
 * runtime.c: the shared memory behind runtime.h.
 *
 * One small struct under one spinlock: every use copies a few bytes and does nothing else while it
 * holds the lock. Processes are woken through the latch of their PGPROC, found by process id; an
 * entry is cleared by its owner on the way out (before_shmem_exit), so an id is never stale.
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/timestamp.h"

#include "worker/runtime.h"

#define HOLD_SECONDS 30
#define HOLD_WAIT_MS 5000
#define HOLD_POLL_MS 10

struct runtime
{
	slock_t mutex; /* guards everything below */
	pid_t launcher;
	pid_t scheduler;
	uint32 nudges;
	enum runtime_finding finding;
	TimestampTz held_until; /* 0: nobody holds the database */
	char verifier[RUNTIME_VERIFIER_SIZE];
};

static struct runtime *runtime = NULL;

void
runtime_request(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(struct runtime)));
}

void
runtime_startup(void)
{
	bool found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	runtime = ShmemInitStruct("voiceagent", sizeof(struct runtime), &found);
	if (!found)
	{
		memset(runtime, 0, sizeof(struct runtime));
		SpinLockInit(&runtime->mutex);
	}
	LWLockRelease(AddinShmemInitLock);
}

bool
runtime_available(void)
{
	return runtime != NULL;
}

static void
wake(pid_t pid)
{
	PGPROC *proc = pid == 0 ? NULL : BackendPidGetProc(pid);

	if (proc != NULL)
		SetLatch(&proc->procLatch);
}

bool
runtime_launcher_enter(const char *verifier)
{
	bool entered;

	SpinLockAcquire(&runtime->mutex);
	entered = runtime->launcher == 0;
	if (entered)
	{
		runtime->launcher = MyProcPid;
		runtime->finding = RUNTIME_UNKNOWN;
		strlcpy(runtime->verifier, verifier, RUNTIME_VERIFIER_SIZE);
	}
	SpinLockRelease(&runtime->mutex);
	return entered;
}

void
runtime_launcher_leave(void)
{
	SpinLockAcquire(&runtime->mutex);
	if (runtime->launcher == MyProcPid)
	{
		runtime->launcher = 0;
		runtime->finding = RUNTIME_UNKNOWN;
		memset(runtime->verifier, 0, RUNTIME_VERIFIER_SIZE);
	}
	SpinLockRelease(&runtime->mutex);
}

uint32
runtime_nudges(void)
{
	uint32 nudges;

	SpinLockAcquire(&runtime->mutex);
	nudges = runtime->nudges;
	SpinLockRelease(&runtime->mutex);
	return nudges;
}

bool
runtime_held(TimestampTz now)
{
	TimestampTz held_until;

	SpinLockAcquire(&runtime->mutex);
	held_until = runtime->held_until;
	SpinLockRelease(&runtime->mutex);
	return held_until > now;
}

enum runtime_finding
runtime_finding(void)
{
	enum runtime_finding finding;

	SpinLockAcquire(&runtime->mutex);
	finding = runtime->finding;
	SpinLockRelease(&runtime->mutex);
	return finding;
}

void
runtime_forget_finding(void)
{
	SpinLockAcquire(&runtime->mutex);
	runtime->finding = RUNTIME_UNKNOWN;
	SpinLockRelease(&runtime->mutex);
}

pid_t
runtime_scheduler(void)
{
	pid_t pid;

	SpinLockAcquire(&runtime->mutex);
	pid = runtime->scheduler;
	SpinLockRelease(&runtime->mutex);
	return pid;
}

bool
runtime_scheduler_enter(void)
{
	TimestampTz now = GetCurrentTimestamp();
	bool entered;

	SpinLockAcquire(&runtime->mutex);
	entered = runtime->scheduler == 0 && runtime->held_until <= now;
	if (entered)
		runtime->scheduler = MyProcPid;
	SpinLockRelease(&runtime->mutex);
	return entered;
}

void
runtime_scheduler_leave(void)
{
	pid_t launcher;

	SpinLockAcquire(&runtime->mutex);
	if (runtime->scheduler == MyProcPid)
		runtime->scheduler = 0;
	launcher = runtime->launcher;
	SpinLockRelease(&runtime->mutex);
	wake(launcher);
}

void
runtime_report(enum runtime_finding finding)
{
	pid_t launcher;

	SpinLockAcquire(&runtime->mutex);
	runtime->finding = finding;
	launcher = runtime->launcher;
	SpinLockRelease(&runtime->mutex);
	wake(launcher);
}

bool
runtime_verifier(char *verifier)
{
	SpinLockAcquire(&runtime->mutex);
	memcpy(verifier, runtime->verifier, RUNTIME_VERIFIER_SIZE);
	SpinLockRelease(&runtime->mutex);
	return verifier[0] != '\0';
}

void
runtime_wake_scheduler(void)
{
	wake(runtime_scheduler());
}

void
runtime_nudge(void)
{
	pid_t launcher;
	pid_t scheduler;

	SpinLockAcquire(&runtime->mutex);
	runtime->nudges++;
	launcher = runtime->launcher;
	scheduler = runtime->scheduler;
	SpinLockRelease(&runtime->mutex);
	wake(scheduler);
	wake(launcher);
}

void
runtime_hold(void)
{
	TimestampTz now = GetCurrentTimestamp();
	int waited;
	pid_t scheduler;

	SpinLockAcquire(&runtime->mutex);
	runtime->held_until = TimestampTzPlusMilliseconds(now, HOLD_SECONDS * 1000);
	scheduler = runtime->scheduler;
	SpinLockRelease(&runtime->mutex);
	if (scheduler != 0)
		kill(scheduler, SIGTERM);

	for (waited = 0; waited < HOLD_WAIT_MS && runtime_scheduler() != 0; waited += HOLD_POLL_MS)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, HOLD_POLL_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

void
runtime_release(void)
{
	SpinLockAcquire(&runtime->mutex);
	runtime->held_until = 0;
	SpinLockRelease(&runtime->mutex);
	runtime_nudge();
}
