/*
 * scheduler.h: the background worker inside voiceagent.database.
 */
#ifndef VA_WORKER_SCHEDULER_H
#define VA_WORKER_SCHEDULER_H

#include "postgres.h"

#include "postmaster/bgworker.h"

/* Launcher: starts one; false when no worker slot is free. The handle is palloc'd in
 * TopMemoryContext, and the caller's latch is set when the worker starts and ends. */
extern bool scheduler_launch(BackgroundWorkerHandle **handle);

/* The worker's entry point, found by name. */
extern PGDLLEXPORT void voiceagent_scheduler_main(Datum argument);

#endif
