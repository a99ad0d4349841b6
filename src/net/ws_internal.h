/*
 * ws_internal.h: what ws.c shares with the two places WebSockets come from: http_server (accepted)
 * and ws_connect.c (opened).
 */
#ifndef VA_NET_WS_INTERNAL_H
#define VA_NET_WS_INTERNAL_H

#include "net/loop_internal.h"
#include "net/stream.h"
#include "net/ws.h"

enum ws_state
{
	WS_STATE_OPENING, /* a client's name look-up, connection and handshake */
	WS_STATE_OPEN,
	WS_STATE_CLOSING, /* our close frame is sent or queued; the peer's is awaited */
	WS_STATE_FAILED, /* broken; `close` is called in the next turn */
	WS_STATE_DEAD /* `close` was called */
};

struct ws_chunk; /* one queued frame, or what is left of it */
struct ws_opening;

struct ws
{
	struct garbage garbage; /* first: see loop_free_later */
	struct loop *loop;
	struct stream *stream; /* NULL before a client has one, and when dead */
	const struct ws_handlers *handlers;
	void *arg;
	struct ws_limits limits;
	enum ws_state state;
	bool client; /* we opened it: our frames are masked, the peer's are not */
	bool peer_closed; /* the peer's close frame came */
	int close_code; /* what `close` will report */
	int http_status;
	const char *close_reason;
	char *close_text; /* owned memory behind close_reason, or NULL */

	/* Input: the bytes of a frame that did not arrive whole, and a message in fragments. */
	char *partial;
	size_t partial_len, partial_size;
	char *message;
	size_t message_len, message_size;
	bool in_message;
	bool message_binary;

	/* Output that the kernel did not take. */
	struct ws_chunk *first, *last;
	size_t queued;

	struct deadline deadline; /* opening, keepalive, closing or failed: one at a time */
	unsigned keepalive_s;
	uint64_t heard_ms; /* when the peer was last heard */

	struct loop_member member;
	struct ws_opening *opening; /* ws_connect.c's, while WS_STATE_OPENING */
	void (*gone)(void *arg); /* told when the object ends, or NULL */
	void *gone_arg;
};

struct ws *ws_create(struct loop *loop, bool client, struct ws_limits limits,
					 const struct ws_handlers *handlers, void *arg);

/* Frees one that was created and never shown to its owner. */
void ws_discard(struct ws *ws);

/* The handshake is done: takes over the stream, calls `open`, then reads what had already come
 * behind the handshake. */
void ws_opened(struct ws *ws, struct stream *stream, char *data, size_t len);

/* Ends it in the next turn of the loop with these for `close`; reason is copied. */
void ws_fail(struct ws *ws, int code, int http_status, const char *reason);

/* Ends it now. Only from the loop's own callbacks, never from a call of the owner. */
void ws_finish(struct ws *ws);

/* Releases what ws_connect holds while opening (ws_connect.c). */
void ws_opening_free(struct ws *ws);

#endif
