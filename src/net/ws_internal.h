/*
 * ws_internal.h: what ws.c shares with the two places WebSockets come from: http_server (accepted)
 * and ws_connect.c (opened).
 */
#ifndef VA_NET_WS_INTERNAL_H
#define VA_NET_WS_INTERNAL_H

#include <libwebsockets.h>

#include "net/loop_internal.h"
#include "net/stream.h"
#include "net/ws.h"

enum ws_state
{
	WS_STATE_OPENING, /* a client's name look-up, connection and handshake */
	WS_STATE_OPEN,
	WS_STATE_CLOSING, /* our close frame is due, or sent and the peer's awaited */
	WS_STATE_FAILED, /* broken; `close` is called in the next turn */
	WS_STATE_DEAD /* `close` was called */
};

struct ws_chunk; /* one queued message */
struct ws_opening;

struct ws
{
	struct garbage garbage; /* first: see loop_free_later */
	struct loop *loop;
	struct lws *wsi; /* NULL before libwebsockets has it, and when it let go */
	const struct ws_handlers *handlers;
	void *arg;
	struct ws_limits limits;
	enum ws_state state;
	int close_code; /* what `close` will report */
	int send_code; /* what our close frame says */
	int http_status;
	char *close_text; /* owned; NULL = "connection lost" */
	bool ping_due;
	bool close_sent;
	bool peer_closed;

	/* A message that comes in pieces. */
	char *message;
	size_t message_len, message_size;

	/* Messages that libwebsockets cannot take yet. */
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

struct ws *ws_create(struct loop *loop, struct ws_limits limits, const struct ws_handlers *handlers,
					 void *arg);

/* Frees one that was created and never shown to its owner. */
void ws_discard(struct ws *ws);

/* Hands an accepted connection, whose upgrade request was found good, to libwebsockets, which
 * answers it with 101; then `open` is called. key: the request's Sec-WebSocket-Key. The stream is
 * consumed in any case. False when libwebsockets refuses; ws is then as after ws_create. */
bool ws_accept(struct ws *ws, struct stream *stream, const char *key);

/* Ends it in the next turn of the loop with these for `close`; reason is copied. */
void ws_fail(struct ws *ws, int code, int http_status, const char *reason);

/* Ends it now. Only from the loop's own callbacks, never from a call of the owner. */
void ws_finish(struct ws *ws);

/* Makes libwebsockets drop the socket, in a later turn, and forgets it. */
void ws_let_go(struct ws *ws);

/* Releases what ws_connect holds while opening (ws_connect.c). */
void ws_opening_free(struct ws *ws);
/* An attempt to connect failed; ws->wsi is gone (ws_connect.c). */
void ws_opening_failed(struct ws *ws, int http_status, const char *reason);
/* Appends the owner's headers to the handshake: as LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER. */
int ws_opening_headers(struct ws *ws, char **at, const char *end);

#endif
