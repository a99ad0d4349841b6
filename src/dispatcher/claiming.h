/*
 * claiming.h: when to ask the outbox for work, and for how much.
 */
#ifndef VA_DISPATCHER_CLAIMING_H
#define VA_DISPATCHER_CLAIMING_H

#include <stdbool.h>

struct claiming;
struct dispatcher;

struct claiming *claiming_new(struct dispatcher *d);
void claiming_free(struct claiming *c);
/* There may be something to do: asks now, or as soon as the claim under way is back. */
void claiming_want(struct claiming *c);
/* Effects have ended: asks when the last claim left something for want of room, or when some of them
 * are to be tried again (not all_done), for the database knows when. */
void claiming_room(struct claiming *c, bool all_done);
/* Nothing more is asked for. */
void claiming_stop(struct claiming *c);

#endif
