/*
 * journal.h: what happened in one call, on its way to the database.
 *
 * Events are numbered without gaps per stream and travel in batches, at most one under way, on the
 * connection that the call's other queries use; so the database sees everything of a call in order
 * and the audio path waits for nothing. The journal outlives its call until it is empty.
 *
 * The database may answer a batch: a turn can have consequences (a keyword, a limit).
 *
 * It is bounded. A partial text replaces the one before it; when the database is away for long,
 * partials go first, then whatever is newest, and each loss is counted.
 */
#ifndef VA_GATEWAY_JOURNAL_H
#define VA_GATEWAY_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/engine_event.h"

#define JOURNAL_MAX_BYTES (1024 * 1024)
#define JOURNAL_PARTIAL_US 500000 /* at most one batch with partials in this time */

struct gateway;
struct journal;

/* What the database wants done because of an event, JSON as a tool's answer has it. The call with this
 * id may be gone. */
typedef void (*journal_answered)(struct gateway *gateway, uint64_t call_id, const char *json);

struct journal *journal_new(struct gateway *gateway, const char *call_sid, uint64_t call_id,
							journal_answered answered);
/* Nothing is sent before both are known. */
void journal_set_source(struct journal *j, const char *call_uuid, const char *stream_sid);

/* data is a JSON object (copied). at: wall clock, ms. */
void journal_add(struct journal *j, int64_t at, const char *kind, const char *data);
/* The text so far of the turn under way; replaced by the next one or by journal_add. */
void journal_partial(struct journal *j, int64_t at, enum engine_role role, const char *data);
/* A turn of that role is complete: its partial is void. */
void journal_drop_partial(struct journal *j, enum engine_role role);

/* Sends what is due. */
void journal_tick(struct journal *j, uint64_t now_us);
/* Sends all there is, now, even behind a batch under way. */
void journal_flush(struct journal *j);
/* The call is over: flushes, and frees itself when the last batch was answered. */
void journal_close(struct journal *j);
/* Drives those that were closed and could not be emptied at once. */
void journal_tick_closed(struct gateway *gateway, uint64_t now_us);

unsigned journal_lost(const struct journal *j);

#endif
