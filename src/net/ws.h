/*
 * ws.h: one WebSocket (RFC 6455), whichever side opened it.
 *
 * Writing is immediate when nothing is pending on the socket (a wait for WRITEABLE costs two more
 * system calls and a turn of the loop for every frame); otherwise the frame joins a queue that is
 * bounded in bytes and drained by WRITEABLE. permessage-deflate is never negotiated. Text messages
 * arrive whole: fragments are joined up to max_message, above it the socket is closed with 1009.
 */
#ifndef VA_NET_WS_H
#define VA_NET_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct ws;

struct ws_handlers
{
	void (*open)(void *arg, struct ws *ws); /* client: handshake done; server: after accept */
	void (*message)(void *arg, struct ws *ws, const char *data, size_t len, bool binary);
	/* Exactly once, always, also when a client never came to open; ws is invalid afterwards.
	 * code: WebSocket close code, 1005 when the peer's close frame had none, 1006 when there was no
	 * close frame; http_status: of a refused client
	 * handshake, else 0; reason: a short text for the log. */
	void (*close)(void *arg, struct ws *ws, int code, int http_status, const char *reason);
};

struct ws_limits
{
	size_t max_message; /* bytes of one incoming message */
	size_t max_queue; /* bytes waiting to be written */
};

enum ws_sent
{
	WS_WRITTEN, /* handed to the kernel */
	WS_QUEUED,
	WS_DROPPED /* the queue is full (droppable), or the socket is closing */
};

enum ws_kind
{
	WS_TEXT,
	WS_BINARY
};

/* The data to send lies at `data`, preceded by WS_HEADROOM writable bytes that are overwritten. A
 * client's data is masked where it lies, so it is overwritten too. */
#define WS_HEADROOM 32

/* Sends one message. droppable (audio): a full queue drops it. Not droppable (control): a full
 * queue closes the socket with 1008, since a peer that lags so far is dead. */
enum ws_sent ws_send(struct ws *ws, enum ws_kind kind, char *data, size_t len, bool droppable);
/* Copies first, for callers without headroom. */
enum ws_sent ws_send_copy(struct ws *ws, enum ws_kind kind, const char *data, size_t len,
						  bool droppable);
/* Throws away queued droppable messages not yet begun; returns how many. */
unsigned ws_drop_queued(struct ws *ws);
size_t ws_queued_bytes(const struct ws *ws);

/* Starts the closing handshake after what is queued; `close` follows, within 2 s in any case. */
void ws_close(struct ws *ws, int code, const char *reason);
void ws_set_handlers(struct ws *ws, const struct ws_handlers *handlers, void *arg);
void ws_set_limits(struct ws *ws, struct ws_limits limits);
/* A WebSocket ping every interval_s; a peer silent for two intervals is closed with 1001. */
void ws_keepalive(struct ws *ws, unsigned interval_s);

/* Opens url (ws:// or wss://, TLS verified) with extra headers ("Name: value" strings, NULL
 * terminated list or NULL). timeout_ms covers name look-up, connection and handshake. Never calls
 * back before it returned. NULL when the URL is malformed. */
struct ws *ws_connect(struct loop *loop, const char *url, const char *const *headers,
					  unsigned timeout_ms, struct ws_limits limits,
					  const struct ws_handlers *handlers, void *arg);

#endif
