/*
 * call_index.h: finds a call by its CallSid or by its token, however many there are.
 */
#ifndef VA_GATEWAY_CALL_INDEX_H
#define VA_GATEWAY_CALL_INDEX_H

#include <stdbool.h>

#define CALL_BUCKETS 1024 /* a power of two */

struct call;
struct gateway;

/* Hash tables, newest call first in each bucket. */
struct call_index
{
	struct call *by_sid[CALL_BUCKETS];
	struct call *by_token[CALL_BUCKETS];
};

/* A call is added by its CallSid when it is new, and by its token when it gets one, once. */
void call_index_sid(struct gateway *g, struct call *call);
void call_index_token(struct gateway *g, struct call *call);
void call_index_remove(struct gateway *g, struct call *call);

/* "" finds nothing. */
struct call *call_by_token(struct gateway *g, const char *token);
/* The newest one; with_stream: of those that have a media stream. */
struct call *call_by_sid(struct gateway *g, const char *call_sid, bool with_stream);

#endif
