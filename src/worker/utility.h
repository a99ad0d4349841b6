/*
 * utility.h: commands that concern the workers.
 */
#ifndef VA_WORKER_UTILITY_H
#define VA_WORKER_UTILITY_H

/* For _PG_init in the postmaster. */
extern void utility_install(void);

#endif
