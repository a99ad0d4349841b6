/*
 * runtime.h: what the launcher, the scheduler and ordinary sessions tell each other, in shared
 * memory: process ids, flags, times and one SCRAM verifier. Never a pointer or a descriptor, which
 * would mean something else after a restart.
 */
#ifndef VA_WORKER_RUNTIME_H
#define VA_WORKER_RUNTIME_H

#include "postgres.h"

#include "datatype/timestamp.h"

#define RUNTIME_VERIFIER_SIZE 256

/* What the scheduler found in voiceagent.database when it last looked. */
enum runtime_finding
{
	RUNTIME_UNKNOWN, /* it has not looked yet */
	RUNTIME_NO_EXTENSION, /* the database is there, the extension is not */
	RUNTIME_READY /* the extension is there and its roles can log in */
};

/* Hooks for _PG_init in the postmaster: reserve and prepare the shared memory. */
extern void runtime_request(void);
extern void runtime_startup(void);
/* True in a server that preloaded the library; nothing below may be called otherwise. */
extern bool runtime_available(void);

/* The launcher's part. Entering fails while another launcher runs. Leaving clears all it said. */
extern bool runtime_launcher_enter(const char *verifier);
extern void runtime_launcher_leave(void);
/* A number that grows whenever somebody asks the launcher to look again at once. */
extern uint32 runtime_nudges(void);
/* True while a command needs the database to itself. */
extern bool runtime_held(TimestampTz now);
extern enum runtime_finding runtime_finding(void);
extern void runtime_forget_finding(void);
extern pid_t runtime_scheduler(void);

/* The scheduler's part. Entering fails while another scheduler runs or the database is held. */
extern bool runtime_scheduler_enter(void);
extern void runtime_scheduler_leave(void);
extern void runtime_report(enum runtime_finding finding);
/* Copies the verifier, of RUNTIME_VERIFIER_SIZE bytes at most; false when no launcher runs. */
extern bool runtime_verifier(char *verifier);

/* Any session, also while it commits: something is due that the scheduler sleeps through. */
extern void runtime_wake_scheduler(void);

/* Any session: wake both, because the extension came, went or changed. */
extern void runtime_nudge(void);
/* Any session: ends the scheduler and keeps it from coming back until released, or for 30 seconds
 * when the holder dies; waits for its end 5 seconds at most, interruptible. */
extern void runtime_hold(void);
extern void runtime_release(void);

#endif
