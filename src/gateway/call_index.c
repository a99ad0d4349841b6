/*
 * call_index.c: see call_index.h.
 */
#include "gateway/call_index.h"

#include <openssl/crypto.h>
#include <stdint.h>
#include <string.h>

#include "gateway/call_private.h"
#include "gateway/gateway.h"

/* FNV-1a. Who could choose these texts holds an account's token already. */
static unsigned
bucket_of(const char *text)
{
	uint32_t hash = 2166136261u;

	for (; *text != '\0'; text++)
		hash = (hash ^ (unsigned char) *text) * 16777619u;
	return (hash ^ hash >> 16) & (CALL_BUCKETS - 1);
}

void
call_index_sid(struct gateway *g, struct call *call)
{
	struct call **bucket = &g->index.by_sid[bucket_of(call->call_sid)];

	call->sid_next = *bucket;
	*bucket = call;
}

void
call_index_token(struct gateway *g, struct call *call)
{
	struct call **bucket = &g->index.by_token[bucket_of(call->token)];

	call->token_next = *bucket;
	*bucket = call;
}

void
call_index_remove(struct gateway *g, struct call *call)
{
	struct call **at = &g->index.by_sid[bucket_of(call->call_sid)];

	while (*at != NULL && *at != call)
		at = &(*at)->sid_next;
	if (*at != NULL)
		*at = call->sid_next;
	at = &g->index.by_token[bucket_of(call->token)];
	while (*at != NULL && *at != call)
		at = &(*at)->token_next;
	if (*at != NULL)
		*at = call->token_next;
}

struct call *
call_by_token(struct gateway *g, const char *token)
{
	size_t len = strlen(token);
	struct call *call = g->index.by_token[bucket_of(token)];

	if (len == 0)
		return NULL;
	while (call != NULL &&
		   (strlen(call->token) != len || CRYPTO_memcmp(call->token, token, len) != 0))
		call = call->token_next;
	return call;
}

struct call *
call_by_sid(struct gateway *g, const char *call_sid, bool with_stream)
{
	struct call *call = g->index.by_sid[bucket_of(call_sid)];

	while (call != NULL &&
		   (strcmp(call->call_sid, call_sid) != 0 || (with_stream && call->media == NULL)))
		call = call->sid_next;
	return call;
}
