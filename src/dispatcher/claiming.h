/*
 * claiming.h: when to ask the outbox for work, and for how much.
 */
#ifndef VA_DISPATCHER_CLAIMING_H
#define VA_DISPATCHER_CLAIMING_H

struct claiming;
struct dispatcher;

struct claiming *claiming_new(struct dispatcher *d);
void claiming_free(struct claiming *c);
/* There may be something to do, or room again: asks now, or as soon as the claim under way is back. */
void claiming_want(struct claiming *c);
/* Nothing more is asked for. */
void claiming_stop(struct claiming *c);

#endif
