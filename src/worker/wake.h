/*
 * wake.h: waking a dispatcher that sleeps, and leaving in peace one that works.
 */
#ifndef VA_WORKER_WAKE_H
#define VA_WORKER_WAKE_H

/* For _PG_init in the postmaster: reserve and prepare the shared memory, watch transactions. */
extern void wake_request(void);
extern void wake_startup(void);
extern void wake_install(void);

/* The scheduler, outside of a transaction: sends the notification that a committing session came
 * too late to send. */
extern void wake_announce_missed(void);

#endif
