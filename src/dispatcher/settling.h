/*
 * settling.h: verdicts on their way to the database.
 *
 * One batch is under way at a time; what is decided meanwhile makes the next one. So batches are
 * small while there is little to do, and large under load, by themselves.
 */
#ifndef VA_DISPATCHER_SETTLING_H
#define VA_DISPATCHER_SETTLING_H

#include <json-c/json.h>
#include <stdbool.h>

struct dispatcher;
struct settling;

/* settled: a batch is in the database (or lost, which was logged). all_done: every effect of it is
 * done, so nothing of it is to be tried again. */
typedef void (*settling_told)(struct dispatcher *d, bool all_done);
struct settling *settling_new(struct dispatcher *d, settling_told settled);
void settling_free(struct settling *s);
/* Takes over the verdict, an object as va_outbox_settle wants it. */
void settling_add(struct settling *s, struct json_object *verdict);
bool settling_is_empty(const struct settling *s);

#endif
