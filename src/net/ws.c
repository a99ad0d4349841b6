/*
 * ws.c: a WebSocket over libwebsockets: messages in, messages out, closing, keepalive.
 *
 *	OPENING --handshake--> OPEN --ws_close--> CLOSING --peer's close, or 2 s--> DEAD
 *	   |                    |  \--peer's close, answered---------------------->/
 *	   \----------- FAILED (anything broken; one turn of the loop) ---------->/
 *
 * A message goes to lws_write at once while libwebsockets holds nothing back for that socket; the
 * usual wait for WRITEABLE would cost two system calls and a turn of the loop a frame. (Asking
 * lws_send_pipe_choked first would cost one; lws_write keeps what the kernel does not take, and
 * lws_partial_buffered tells.) Only after that is our bounded queue used, and WRITEABLE drains it.
 * `close` is called from the loop alone, never from within a call of the owner, so an owner may
 * free its things in `close` without fear.
 */
#include "net/ws.h"

#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/loop.h"
#include "net/lws_host.h"
#include "net/splice.h"
#include "net/ws_internal.h"

_Static_assert(WS_HEADROOM >= LWS_PRE, "libwebsockets writes its header into the headroom");

#define CLOSING_MS 2000
#define WRITE_CLOSE ((enum lws_write_protocol) 4)
#define CLOSE_TEXT_MAX 123 /* RFC 6455, section 5.5: 125 bytes less the code */

struct ws_chunk
{
	struct ws_chunk *next;
	size_t len;
	bool droppable;
	bool binary;
	char data[]; /* LWS_PRE bytes of headroom, then the message */
};

/* The object whose socket is being adopted: libwebsockets calls back from within the adoption. */
static struct ws *being_adopted;

static void on_deadline(void *arg);

static void
set_reason(struct ws *ws, const char *reason)
{
	char *copy = strdup(reason);

	if (copy == NULL)
		return;
	free(ws->close_text);
	ws->close_text = copy;
}

/* libwebsockets may call back for a socket that is no longer ours: it must not find us then. */
static void
forget_socket(struct ws *ws)
{
	lws_set_opaque_user_data(ws->wsi, NULL);
	ws->wsi = NULL;
}

void
ws_let_go(struct ws *ws)
{
	if (ws->wsi == NULL)
		return;
	lws_set_timeout(ws->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
	forget_socket(ws);
}

static void
on_loop_ends(void *arg)
{
	struct ws *ws = arg;

	set_reason(ws, "the program is ending");
	ws_finish(ws);
}

struct ws *
ws_create(struct loop *loop, struct ws_limits limits, const struct ws_handlers *handlers, void *arg)
{
	struct ws *ws = calloc(1, sizeof(*ws));

	if (ws == NULL)
		return NULL;
	ws->loop = loop;
	ws->limits = limits;
	ws->handlers = handlers;
	ws->arg = arg;
	ws->close_code = 1006;
	loop_join(loop, &ws->member, on_loop_ends, ws);
	return ws;
}

void
ws_discard(struct ws *ws)
{
	loop_leave(&ws->member);
	free(ws);
}

static void
queue_clear(struct ws *ws)
{
	struct ws_chunk *chunk;

	while ((chunk = ws->first) != NULL)
	{
		ws->first = chunk->next;
		free(chunk);
	}
	ws->last = NULL;
	ws->queued = 0;
}

void
ws_finish(struct ws *ws)
{
	if (ws->state == WS_STATE_DEAD)
		return;
	ws->state = WS_STATE_DEAD;
	deadline_clear(&ws->deadline);
	loop_leave(&ws->member);
	if (ws->opening != NULL)
		ws_opening_free(ws);
	ws_let_go(ws);
	queue_clear(ws);
	ws->handlers->close(ws->arg, ws, ws->close_code, ws->http_status,
						ws->close_text != NULL ? ws->close_text : "connection lost");
	if (ws->gone != NULL)
		ws->gone(ws->gone_arg);
	free(ws->message);
	free(ws->close_text);
	ws->message = ws->close_text = NULL;
	loop_free_later(ws->loop, &ws->garbage);
}

void
ws_fail(struct ws *ws, int code, int http_status, const char *reason)
{
	if (ws->state == WS_STATE_FAILED || ws->state == WS_STATE_DEAD)
		return;
	/* While closing, the outcome of the handshake was set already. */
	if (ws->state != WS_STATE_CLOSING)
	{
		ws->close_code = code;
		ws->http_status = http_status;
		set_reason(ws, reason);
	}
	ws->state = WS_STATE_FAILED;
	deadline_set(ws->loop, &ws->deadline, 0, on_deadline, ws);
}

static bool
may_write(const struct ws *ws)
{
	return ws->first == NULL && !lws_partial_buffered(ws->wsi);
}

/* The payload has LWS_PRE bytes of headroom. */
static bool
write_now(struct ws *ws, char *data, size_t len, enum lws_write_protocol kind)
{
	if (lws_write(ws->wsi, (unsigned char *) data, len, kind) >= (int) len)
		return true;
	ws_fail(ws, 1006, 0, "connection lost while writing");
	return false;
}

static enum ws_sent
queue_add(struct ws *ws, enum ws_kind kind, const char *data, size_t len, bool droppable)
{
	struct ws_chunk *chunk = malloc(sizeof(*chunk) + LWS_PRE + len);

	if (chunk == NULL)
	{
		ws_fail(ws, 1006, 0, "out of memory");
		return WS_DROPPED;
	}
	chunk->next = NULL;
	chunk->len = len;
	chunk->droppable = droppable;
	chunk->binary = kind == WS_BINARY;
	memcpy(chunk->data + LWS_PRE, data, len);
	if (ws->last != NULL)
		ws->last->next = chunk;
	else
		ws->first = chunk;
	ws->last = chunk;
	ws->queued += len;
	lws_callback_on_writable(ws->wsi);
	return WS_QUEUED;
}

enum ws_sent
ws_send(struct ws *ws, enum ws_kind kind, char *data, size_t len, bool droppable)
{
	if (ws->state != WS_STATE_OPEN)
		return WS_DROPPED;
	if (may_write(ws))
		return write_now(ws, data, len, kind == WS_TEXT ? LWS_WRITE_TEXT : LWS_WRITE_BINARY)
				   ? WS_WRITTEN
				   : WS_DROPPED;
	if (ws->queued + len > ws->limits.max_queue)
	{
		if (!droppable)
		{
			(void) ws_drop_queued(ws);
			ws_close(ws, 1008, "the peer does not read");
		}
		return WS_DROPPED;
	}
	return queue_add(ws, kind, data, len, droppable);
}

enum ws_sent
ws_send_copy(struct ws *ws, enum ws_kind kind, const char *data, size_t len, bool droppable)
{
	char small[WS_HEADROOM + 2048];
	char *room = small;
	enum ws_sent sent;

	if (ws->state != WS_STATE_OPEN)
		return WS_DROPPED;
	if (len > sizeof(small) - WS_HEADROOM && (room = malloc(WS_HEADROOM + len)) == NULL)
		return WS_DROPPED;
	memcpy(room + WS_HEADROOM, data, len);
	sent = ws_send(ws, kind, room + WS_HEADROOM, len, droppable);
	if (room != small)
		free(room);
	return sent;
}

unsigned
ws_drop_queued(struct ws *ws)
{
	struct ws_chunk **link = &ws->first;
	unsigned dropped = 0;

	ws->last = NULL;
	while (*link != NULL)
	{
		struct ws_chunk *chunk = *link;

		if (chunk->droppable)
		{
			*link = chunk->next;
			ws->queued -= chunk->len;
			free(chunk);
			dropped++;
			continue;
		}
		ws->last = chunk;
		link = &chunk->next;
	}
	return dropped;
}

size_t
ws_queued_bytes(const struct ws *ws)
{
	return ws->queued;
}

/* Begins closing: the close frame follows what is queued, from the WRITEABLE callback. */
static void
start_closing(struct ws *ws, int code, const char *reason)
{
	ws->send_code = code;
	set_reason(ws, reason);
	ws->state = WS_STATE_CLOSING;
	deadline_set(ws->loop, &ws->deadline, CLOSING_MS, on_deadline, ws);
	lws_callback_on_writable(ws->wsi);
}

void
ws_close(struct ws *ws, int code, const char *reason)
{
	if (ws->state == WS_STATE_OPENING)
		ws_fail(ws, 1006, 0, reason != NULL ? reason : "given up");
	if (ws->state != WS_STATE_OPEN)
		return;
	/* Until the peer's close frame comes, this is how it will have ended. */
	ws->close_code = 1006;
	start_closing(ws, code, reason != NULL ? reason : "");
}

/* Writes the close frame ourselves: libwebsockets' own closing, asked for by lws_close_reason and
 * a non-zero return, dropped the connection without one when tried here (4.1.6, libuv). The kind
 * of write is known to the library, yet missing from its public header. */
static int
say_close(struct ws *ws)
{
	unsigned char room[LWS_PRE + 2 + CLOSE_TEXT_MAX + 1];
	unsigned char *payload = room + LWS_PRE;
	/* 1005 stands for a close frame without a code and never travels. */
	size_t len = ws->send_code == 1005 ? 0 : 2;

	payload[0] = (unsigned char) (ws->send_code >> 8);
	payload[1] = (unsigned char) (ws->send_code & 0xff);
	if (len > 0)
	{
		int n = snprintf((char *) payload + 2, CLOSE_TEXT_MAX + 1, "%s",
						 ws->close_text != NULL && !ws->peer_closed ? ws->close_text : "");

		len += n > CLOSE_TEXT_MAX ? CLOSE_TEXT_MAX : (size_t) n;
	}
	ws->close_sent = true;
	if (lws_write(ws->wsi, payload, len, WRITE_CLOSE) < 0)
		return -1;
	/* Both sides have said it: libwebsockets may drop the socket. */
	return ws->peer_closed ? -1 : 0;
}

/* Drains the queue; -1 asks libwebsockets to close. */
static int
on_writeable(struct ws *ws)
{
	struct ws_chunk *chunk;
	unsigned char ping[LWS_PRE + 1];

	while ((chunk = ws->first) != NULL && !lws_partial_buffered(ws->wsi))
	{
		int n = lws_write(ws->wsi, (unsigned char *) chunk->data + LWS_PRE, chunk->len,
						  chunk->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT);

		ws->first = chunk->next;
		if (ws->first == NULL)
			ws->last = NULL;
		ws->queued -= chunk->len;
		if (n < (int) chunk->len)
		{
			free(chunk);
			return -1;
		}
		free(chunk);
	}
	if (ws->first != NULL || lws_partial_buffered(ws->wsi))
		lws_callback_on_writable(ws->wsi);
	else if (ws->state == WS_STATE_CLOSING)
		return ws->close_sent ? 0 : say_close(ws);
	else if (ws->ping_due)
	{
		ws->ping_due = false;
		if (lws_write(ws->wsi, ping + LWS_PRE, 0, LWS_WRITE_PING) < 0)
			return -1;
	}
	return 0;
}

/* Makes room in steps, so that a peer must send what we reserve. */
static bool
reserve(struct ws *ws, size_t need)
{
	size_t wanted = ws->message_size < 512 ? 512 : ws->message_size;
	char *grown;

	if (need <= ws->message_size)
		return true;
	while (wanted < need)
		wanted *= 2;
	grown = realloc(ws->message, wanted);
	if (grown == NULL)
		return false;
	ws->message = grown;
	ws->message_size = wanted;
	return true;
}

/* A piece of a message: the rest of a frame, or of a fragmented message, may follow. */
static int
on_piece(struct ws *ws, const char *data, size_t len, bool last)
{
	if (ws->message_len + len > ws->limits.max_message)
	{
		start_closing(ws, 1009, "message too large");
		ws->close_code = 1009;
		return 0;
	}
	if (!reserve(ws, ws->message_len + len))
		return -1;
	memcpy(ws->message + ws->message_len, data, len);
	ws->message_len += len;
	if (!last)
		return 0;
	len = ws->message_len;
	ws->message_len = 0;
	ws->handlers->message(ws->arg, ws, ws->message, len, lws_frame_is_binary(ws->wsi));
	/* A rare large message shall not stay in memory for the rest of a call. */
	if (ws->message_size > 4096)
	{
		free(ws->message);
		ws->message = NULL;
		ws->message_size = 0;
	}
	return 0;
}

static int
on_receive(struct ws *ws, const char *data, size_t len)
{
	bool last = lws_is_final_fragment(ws->wsi) && lws_remaining_packet_payload(ws->wsi) == 0;

	ws->heard_ms = loop_cached_ms(ws->loop);
	if (ws->state != WS_STATE_OPEN)
		return 0;
	if (ws->message_len > 0 || !last || len > ws->limits.max_message)
		return on_piece(ws, data, len, last);
	ws->handlers->message(ws->arg, ws, data, len, lws_frame_is_binary(ws->wsi));
	return 0;
}

static void
on_opened(struct ws *ws)
{
	if (ws->state != WS_STATE_OPENING)
		return;
	if (ws->opening != NULL)
		ws_opening_free(ws);
	ws->state = WS_STATE_OPEN;
	ws->heard_ms = loop_cached_ms(ws->loop);
	deadline_clear(&ws->deadline);
	if (ws->keepalive_s > 0)
		ws_keepalive(ws, ws->keepalive_s);
	if (ws->handlers->open != NULL)
		ws->handlers->open(ws->arg, ws);
}

/* -1: libwebsockets need not answer, since we do or did. */
static int
on_peer_close(struct ws *ws, const unsigned char *data, size_t len)
{
	int code = len >= 2 ? data[0] << 8 | data[1] : 1005;
	char text[CLOSE_TEXT_MAX + 1] = "closed by the peer";

	ws->peer_closed = true;
	/* A close of ours that said why outweighs the peer's echo of it. */
	if (ws->state == WS_STATE_CLOSING)
	{
		if (ws->close_code == 1006)
			ws->close_code = code;
	}
	else
	{
		if (len > 2)
			snprintf(text, sizeof(text), "%.*s", (int) (len - 2), (const char *) data + 2);
		ws->close_code = code;
		ws->send_code = code;
		set_reason(ws, text);
		ws->state = WS_STATE_CLOSING;
	}
	if (!ws->close_sent && !lws_partial_buffered(ws->wsi))
		(void) say_close(ws);
	return -1;
}

/* libwebsockets has let go of the socket. */
static void
on_socket_gone(struct ws *ws)
{
	forget_socket(ws);
	ws_finish(ws);
}

static void
on_connect_error(struct ws *ws, const char *reason)
{
	int status = (int) lws_http_client_http_response(ws->wsi);
	SSL *ssl = lws_get_ssl(ws->wsi);
	long verified = ssl != NULL ? SSL_get_verify_result(ssl) : X509_V_OK;
	char text[128];

	/* libwebsockets' own text for this is a number. */
	if (verified != X509_V_OK)
	{
		snprintf(text, sizeof(text), "certificate not accepted: %s",
				 X509_verify_cert_error_string(verified));
		reason = text;
	}
	forget_socket(ws);
	if (ws->state == WS_STATE_OPENING)
		ws_opening_failed(ws, status >= 300 ? status : 0,
						  reason != NULL ? reason : "connection failed");
	else
		ws_finish(ws);
}

int
ws_lws_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct ws *ws = lws_get_opaque_user_data(wsi);

	(void) user;
	if (ws == NULL && being_adopted != NULL && reason == LWS_CALLBACK_ESTABLISHED)
	{
		ws = being_adopted;
		ws->wsi = wsi;
		lws_set_opaque_user_data(wsi, ws);
	}
	if (ws == NULL)
		return 0;
	switch (reason)
	{
		case LWS_CALLBACK_RECEIVE:
		case LWS_CALLBACK_CLIENT_RECEIVE: return on_receive(ws, in, len);
		case LWS_CALLBACK_SERVER_WRITEABLE:
		case LWS_CALLBACK_CLIENT_WRITEABLE: return on_writeable(ws);
		case LWS_CALLBACK_ESTABLISHED:
		case LWS_CALLBACK_CLIENT_ESTABLISHED:
			ws->wsi = wsi;
			on_opened(ws);
			return 0;
		case LWS_CALLBACK_RECEIVE_PONG:
		case LWS_CALLBACK_CLIENT_RECEIVE_PONG: ws->heard_ms = loop_cached_ms(ws->loop); return 0;
		case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
			return ws_opening_headers(ws, in, *(char **) in + len);
		case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE: return on_peer_close(ws, in, len);
		case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
			ws->wsi = wsi;
			on_connect_error(ws, in);
			return 0;
		case LWS_CALLBACK_CLOSED:
		case LWS_CALLBACK_CLIENT_CLOSED:
		case LWS_CALLBACK_WSI_DESTROY: on_socket_gone(ws); return 0;
		default: return 0;
	}
}

static void
on_deadline(void *arg)
{
	struct ws *ws = arg;
	uint64_t silent_ms = loop_cached_ms(ws->loop) - ws->heard_ms;

	if (ws->state != WS_STATE_OPEN)
	{
		ws_finish(ws);
		return;
	}
	if (silent_ms >= 2000ull * ws->keepalive_s)
	{
		ws_close(ws, 1001, "the peer is silent");
		return;
	}
	ws->ping_due = true;
	lws_callback_on_writable(ws->wsi);
	deadline_set(ws->loop, &ws->deadline, 1000ull * ws->keepalive_s, on_deadline, ws);
}

void
ws_keepalive(struct ws *ws, unsigned interval_s)
{
	ws->keepalive_s = interval_s;
	if (ws->state != WS_STATE_OPEN)
		return;
	if (interval_s == 0)
		deadline_clear(&ws->deadline);
	else
		deadline_set(ws->loop, &ws->deadline, 1000ull * interval_s, on_deadline, ws);
}

void
ws_set_handlers(struct ws *ws, const struct ws_handlers *handlers, void *arg)
{
	ws->handlers = handlers;
	ws->arg = arg;
}

void
ws_set_limits(struct ws *ws, struct ws_limits limits)
{
	ws->limits = limits;
}

/*
 * The request was read and judged by http_server (libwebsockets decodes the target, and Twilio's
 * signature is over the undecoded one); what libwebsockets gets is a plain handshake of ours with
 * the peer's key. A TLS connection is decrypted here already: it reaches libwebsockets through a
 * pair of sockets.
 */
bool
ws_accept(struct ws *ws, struct stream *stream, const char *key)
{
	struct lws_host *host = lws_host_of(ws->loop);
	char head[256];
	int fd = splice_or_release(ws->loop, stream);
	int len = snprintf(head, sizeof(head),
					   "GET / HTTP/1.1\r\nHost: voiceagent\r\nUpgrade: websocket\r\n"
					   "Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
					   "Sec-WebSocket-Version: 13\r\n\r\n",
					   key);
	struct lws *wsi;

	if (fd < 0 || host == NULL || len >= (int) sizeof(head))
	{
		if (fd >= 0)
			close(fd);
		return false;
	}
	being_adopted = ws;
	wsi = lws_adopt_socket_vhost_readbuf(lws_host_server(host), fd, head, (size_t) len);
	being_adopted = NULL;
	if (wsi == NULL || ws->wsi == NULL)
	{
		ws->wsi = NULL;
		return false;
	}
	return true;
}
