/*
 * launcher.h: the background worker that keeps everything else running.
 */
#ifndef VA_WORKER_LAUNCHER_H
#define VA_WORKER_LAUNCHER_H

#include "postgres.h"

/* For _PG_init in the postmaster. */
extern void launcher_register(void);

/* The worker's entry point, found by name. */
extern PGDLLEXPORT void voiceagent_launcher_main(Datum argument);

#endif
