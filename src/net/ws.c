/*
 * ws.c: an open WebSocket: frames in, frames out, the closing handshake, keepalive.
 *
 *	OPENING --handshake--> OPEN --ws_close--> CLOSING --peer's close, or 2 s--> DEAD
 *	   |                    |  \--peer's close, answered---------------------->/
 *	   \----------- FAILED (anything broken; one turn of the loop) ---------->/
 *
 * A frame that arrives whole is unmasked where it lies and handed on without a copy; only a frame
 * cut by the end of a read, or a message in fragments, is put together in memory of its own. A
 * frame is sent with one send when nothing waits. `close` is called from the loop alone, never
 * from within a call of the owner, so an owner may free its things in `close` without fear.
 */
#include "net/ws.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "net/loop.h"
#include "net/ws_frame.h"
#include "net/ws_internal.h"

#define CLOSING_MS 2000

struct ws_chunk
{
	struct ws_chunk *next;
	size_t len;
	size_t done; /* bytes already with the kernel: not droppable when more than 0 */
	bool droppable;
	char data[];
};

static void on_data(void *arg, char *data, size_t len);
static void on_writable(void *arg);
static void on_stream_closed(void *arg, const char *reason);
static void on_deadline(void *arg);
static void set_reason(struct ws *ws, const char *reason);

static const struct stream_handlers stream_handlers = {
	.data = on_data, .writable = on_writable, .closed = on_stream_closed};

static void
on_loop_ends(void *arg)
{
	struct ws *ws = arg;

	set_reason(ws, "the program is ending");
	ws_finish(ws);
}

struct ws *
ws_create(struct loop *loop, bool client, struct ws_limits limits,
		  const struct ws_handlers *handlers, void *arg)
{
	struct ws *ws = calloc(1, sizeof(*ws));

	if (ws == NULL)
		return NULL;
	ws->loop = loop;
	ws->client = client;
	ws->limits = limits;
	ws->handlers = handlers;
	ws->arg = arg;
	ws->close_code = 1006;
	ws->close_reason = "connection lost";
	loop_join(loop, &ws->member, on_loop_ends, ws);
	return ws;
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

static void
set_reason(struct ws *ws, const char *reason)
{
	char *copy = strdup(reason);

	if (copy == NULL)
		return;
	free(ws->close_text);
	ws->close_text = copy;
	ws->close_reason = copy;
}

void
ws_discard(struct ws *ws)
{
	loop_leave(&ws->member);
	free(ws);
}

void
ws_finish(struct ws *ws)
{
	/* A handshake of closing that was completed is no reason to reset the connection. */
	bool politely = ws->peer_closed;

	if (ws->state == WS_STATE_DEAD)
		return;
	ws->state = WS_STATE_DEAD;
	deadline_clear(&ws->deadline);
	loop_leave(&ws->member);
	if (ws->opening != NULL)
		ws_opening_free(ws);
	if (ws->stream != NULL)
		stream_close(ws->stream, politely);
	ws->stream = NULL;
	queue_clear(ws);
	ws->handlers->close(ws->arg, ws, ws->close_code, ws->http_status, ws->close_reason);
	if (ws->gone != NULL)
		ws->gone(ws->gone_arg);
	free(ws->partial);
	free(ws->message);
	free(ws->close_text);
	ws->partial = ws->message = ws->close_text = NULL;
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

/* Masks need not be secret from the peer, but unpredictable to whoever chose the payload. */
static void
new_mask(uint8_t mask[4])
{
	static uint8_t pool[4096];
	static size_t used = sizeof(pool);

	if (used == sizeof(pool))
	{
		if (getrandom(pool, sizeof(pool), 0) != (ssize_t) sizeof(pool))
			abort(); /* cannot happen: 4096 bytes are always served once the kernel is up */
		used = 0;
	}
	memcpy(mask, pool + used, 4);
	used += 4;
}

static bool
queue_add(struct ws *ws, const char *data, size_t len, bool droppable, size_t total)
{
	struct ws_chunk *chunk = malloc(sizeof(*chunk) + len);

	if (chunk == NULL)
		return false;
	chunk->next = NULL;
	chunk->len = len;
	chunk->done = 0;
	/* What is left of a frame that was begun must follow. */
	chunk->droppable = droppable && len == total;
	memcpy(chunk->data, data, len);
	if (ws->last != NULL)
		ws->last->next = chunk;
	else
		ws->first = chunk;
	ws->last = chunk;
	ws->queued += len;
	return true;
}

/* The frame's payload lies at data, with room for the header before it. No look at the limits. */
static enum ws_sent
send_frame(struct ws *ws, enum ws_opcode opcode, char *data, size_t len, bool droppable)
{
	uint8_t mask[4];
	char *start;
	size_t total;
	ssize_t n = 0;

	if (ws->client)
	{
		new_mask(mask);
		ws_frame_mask(data, len, mask);
	}
	start = ws_frame_header(data, len, opcode, ws->client ? mask : NULL);
	total = (size_t) (data - start) + len;
	if (ws->first == NULL)
	{
		n = stream_write(ws->stream, start, total);
		if (n == (ssize_t) total)
			return WS_WRITTEN;
		if (n < 0)
		{
			/* The stream reports why, in the next turn: see on_stream_closed. */
			return WS_DROPPED;
		}
	}
	if (!queue_add(ws, start + n, total - (size_t) n, droppable, total))
	{
		ws_fail(ws, 1006, 0, "out of memory");
		return WS_DROPPED;
	}
	return WS_QUEUED;
}

/* Begins closing from our side. code 1005: a close frame without a code. */
static void
start_closing(struct ws *ws, int code, const char *reason)
{
	char room[WS_FRAME_HEADER_MAX + WS_CONTROL_MAX + 1];
	char *payload = room + WS_FRAME_HEADER_MAX;
	size_t len = 0;

	if (ws_close_code_valid(code))
	{
		payload[0] = (char) (code >> 8);
		payload[1] = (char) (code & 0xff);
		/* 123 bytes at most behind the code; our reasons are ASCII, so any cut is valid. */
		len = 2 + (size_t) snprintf(payload + 2, WS_CONTROL_MAX - 1, "%s", reason);
		if (len > WS_CONTROL_MAX)
			len = WS_CONTROL_MAX;
	}
	ws->state = WS_STATE_CLOSING;
	deadline_set(ws->loop, &ws->deadline, CLOSING_MS, on_deadline, ws);
	(void) send_frame(ws, WS_OP_CLOSE, payload, len, false);
}

enum ws_sent
ws_send(struct ws *ws, enum ws_kind kind, char *data, size_t len, bool droppable)
{
	if (ws->state != WS_STATE_OPEN)
		return WS_DROPPED;
	if (ws->first != NULL && ws->queued + len > ws->limits.max_queue)
	{
		if (!droppable)
		{
			(void) ws_drop_queued(ws);
			ws_close(ws, 1008, "the peer does not read");
		}
		return WS_DROPPED;
	}
	return send_frame(ws, kind == WS_TEXT ? WS_OP_TEXT : WS_OP_BINARY, data, len, droppable);
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

		if (chunk->droppable && chunk->done == 0)
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

/* Both close frames are exchanged and nothing waits: the connection has done its duty. */
static bool
closing_complete(const struct ws *ws)
{
	return ws->state == WS_STATE_CLOSING && ws->peer_closed && ws->first == NULL;
}

static void
on_writable(void *arg)
{
	struct ws *ws = arg;
	struct ws_chunk *chunk;

	while ((chunk = ws->first) != NULL)
	{
		size_t left = chunk->len - chunk->done;
		ssize_t n = stream_write(ws->stream, chunk->data + chunk->done, left);

		if (n < 0)
			return;
		chunk->done += (size_t) n;
		ws->queued -= (size_t) n;
		if ((size_t) n < left)
			return;
		ws->first = chunk->next;
		if (ws->first == NULL)
			ws->last = NULL;
		free(chunk);
	}
	if (closing_complete(ws))
		ws_finish(ws);
}

static void
on_stream_closed(void *arg, const char *reason)
{
	struct ws *ws = arg;

	ws->stream = NULL;
	if (ws->state == WS_STATE_OPEN)
		set_reason(ws, reason);
	ws_finish(ws);
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
	set_reason(ws, reason != NULL ? reason : "");
	start_closing(ws, code, reason != NULL ? reason : "");
}

/* The peer broke the protocol. */
static void
refuse(struct ws *ws, int code, const char *reason)
{
	if (ws->state != WS_STATE_OPEN)
	{
		ws_fail(ws, code, 0, reason);
		return;
	}
	set_reason(ws, reason);
	start_closing(ws, code, reason);
	ws->close_code = code;
}

static void
got_close(struct ws *ws, char *data, size_t len)
{
	int code = 1005;
	char text[WS_CONTROL_MAX];

	if (len >= 2)
		code = (unsigned char) data[0] << 8 | (unsigned char) data[1];
	if (len == 1 || (len >= 2 && (!ws_close_code_valid(code) || !ws_utf8_valid(data + 2, len - 2))))
	{
		refuse(ws, 1002, "malformed close frame");
		return;
	}
	ws->peer_closed = true;
	/* A close of ours that said why outweighs the peer's echo of it. */
	if (ws->state == WS_STATE_CLOSING)
	{
		if (ws->close_code == 1006)
			ws->close_code = code;
	}
	else
	{
		ws->close_code = code;
		snprintf(text, sizeof(text), "%.*s", len > 2 ? (int) (len - 2) : 0, data + 2);
		set_reason(ws, text[0] != '\0' ? text : "closed by the peer");
		start_closing(ws, code, "");
	}
	if (closing_complete(ws))
		ws_finish(ws);
}

static void
got_control(struct ws *ws, const struct ws_frame *frame, char *data)
{
	char room[WS_FRAME_HEADER_MAX + WS_CONTROL_MAX];
	size_t len = (size_t) frame->payload_len;

	if (frame->opcode == WS_OP_CLOSE)
		got_close(ws, data, len);
	else if (frame->opcode == WS_OP_PING && ws->state == WS_STATE_OPEN)
	{
		/* A peer that pings and does not read gets no more answers than fit. */
		if (ws->first != NULL && ws->queued + len > ws->limits.max_queue)
			return;
		memcpy(room + WS_FRAME_HEADER_MAX, data, len);
		(void) send_frame(ws, WS_OP_PONG, room + WS_FRAME_HEADER_MAX, len, true);
	}
}

static void
deliver(struct ws *ws, const char *data, size_t len, bool binary)
{
	if (!binary && !ws_utf8_valid(data, len))
	{
		refuse(ws, 1007, "text that is not UTF-8");
		return;
	}
	ws->handlers->message(ws->arg, ws, data, len, binary);
}

/* Makes room for `need` bytes in all, in steps, so that a peer must send what we reserve. */
static bool
reserve(char **memory, size_t *size, size_t need)
{
	size_t wanted = *size < 512 ? 512 : *size;
	char *grown;

	if (need <= *size)
		return true;
	while (wanted < need)
		wanted *= 2;
	grown = realloc(*memory, wanted);
	if (grown == NULL)
		return false;
	*memory = grown;
	*size = wanted;
	return true;
}

static void
release(char **memory, size_t *len, size_t *size)
{
	*len = 0;
	if (*size <= 1024)
		return;
	free(*memory);
	*memory = NULL;
	*size = 0;
}

static void
got_fragment(struct ws *ws, const struct ws_frame *frame, const char *data)
{
	size_t len = (size_t) frame->payload_len;

	if (!reserve(&ws->message, &ws->message_size, ws->message_len + len))
	{
		ws_fail(ws, 1006, 0, "out of memory");
		return;
	}
	if (len > 0)
		memcpy(ws->message + ws->message_len, data, len);
	ws->message_len += len;
	ws->in_message = !frame->fin;
	if (!frame->fin)
		return;
	deliver(ws, ws->message != NULL ? ws->message : "", ws->message_len, ws->message_binary);
	release(&ws->message, &ws->message_len, &ws->message_size);
}

/* A complete frame; its payload may be changed. */
static void
got_frame(struct ws *ws, const struct ws_frame *frame, char *data)
{
	if (frame->masked)
		ws_frame_mask(data, (size_t) frame->payload_len, frame->mask);
	if (frame->opcode >= WS_OP_CLOSE)
	{
		got_control(ws, frame, data);
		return;
	}
	if (ws->state != WS_STATE_OPEN)
		return;
	if (frame->opcode != WS_OP_CONTINUATION)
		ws->message_binary = frame->opcode == WS_OP_BINARY;
	if (frame->fin && frame->opcode != WS_OP_CONTINUATION)
		deliver(ws, data, (size_t) frame->payload_len, ws->message_binary);
	else
		got_fragment(ws, frame, data);
}

/* Whether the frame may come at all; said as soon as its header is known. */
static bool
acceptable(struct ws *ws, const struct ws_frame *frame)
{
	uint64_t total = frame->payload_len + ws->message_len;

	if (frame->masked == ws->client)
		refuse(ws, 1002, ws->client ? "masked frame from a server" : "frame without mask");
	else if (frame->opcode >= WS_OP_CLOSE)
		return true;
	else if ((frame->opcode == WS_OP_CONTINUATION) != ws->in_message)
		refuse(ws, 1002, "fragments out of order");
	else if (total > ws->limits.max_message)
		refuse(ws, 1009, "message too large");
	else
		return true;
	return false;
}

/* Handles the frame at data when it is complete. Returns how many bytes it took, 0 when more must
 * come first; *need is then how many there must be. -1: nothing more will be read. */
static ssize_t
take_frame(struct ws *ws, char *data, size_t len, size_t *need)
{
	struct ws_frame frame;
	size_t total;

	switch (ws_frame_parse(data, len, &frame))
	{
		case WS_PARSE_BAD: refuse(ws, 1002, "malformed frame"); return -1;
		case WS_PARSE_MORE: *need = len < 2 ? 2 : frame.header_len; return 0;
		case WS_PARSE_OK: break;
	}
	if (!acceptable(ws, &frame))
		return -1;
	total = frame.header_len + (size_t) frame.payload_len;
	if (len < total)
	{
		*need = total;
		return 0;
	}
	got_frame(ws, &frame, data + frame.header_len);
	return ws->state == WS_STATE_FAILED || ws->state == WS_STATE_DEAD ? -1 : (ssize_t) total;
}

/* After a violation the rest of the input has no meaning, but must be read so that our close
 * frame is not lost in a reset. */
static void
stop_reading(struct ws *ws)
{
	if (ws->state == WS_STATE_CLOSING)
	{
		ws->peer_closed = true;
		if (closing_complete(ws))
			ws_finish(ws);
	}
}

/* Continues the frame whose beginning is kept in ws->partial. Returns the bytes taken of data, -1
 * to stop. */
static ssize_t
fill_partial(struct ws *ws, const char *data, size_t len)
{
	size_t taken = 0;
	size_t need = 0;

	for (;;)
	{
		ssize_t n = take_frame(ws, ws->partial, ws->partial_len, &need);
		size_t more;

		if (n < 0)
			return -1;
		if (n > 0)
		{
			release(&ws->partial, &ws->partial_len, &ws->partial_size);
			return (ssize_t) taken;
		}
		if (taken == len)
			return (ssize_t) taken;
		more = need - ws->partial_len;
		if (more > len - taken)
			more = len - taken;
		if (!reserve(&ws->partial, &ws->partial_size, ws->partial_len + more))
		{
			ws_fail(ws, 1006, 0, "out of memory");
			return -1;
		}
		memcpy(ws->partial + ws->partial_len, data + taken, more);
		ws->partial_len += more;
		taken += more;
	}
}

static void
on_data(void *arg, char *data, size_t len)
{
	struct ws *ws = arg;
	size_t at = 0;
	size_t need = 0;

	ws->heard_ms = loop_cached_ms(ws->loop);
	while (at < len && ws->state != WS_STATE_DEAD && ws->state != WS_STATE_FAILED)
	{
		ssize_t n;

		if (ws->peer_closed)
			return;
		if (ws->partial_len > 0)
			n = fill_partial(ws, data + at, len - at);
		else if ((n = take_frame(ws, data + at, len - at, &need)) == 0)
		{
			if (!reserve(&ws->partial, &ws->partial_size, len - at))
			{
				ws_fail(ws, 1006, 0, "out of memory");
				return;
			}
			memcpy(ws->partial, data + at, len - at);
			ws->partial_len = len - at;
			return;
		}
		if (n < 0)
		{
			stop_reading(ws);
			return;
		}
		at += (size_t) n;
	}
}

static void
on_deadline(void *arg)
{
	struct ws *ws = arg;
	uint64_t silent_ms = loop_cached_ms(ws->loop) - ws->heard_ms;
	char room[WS_FRAME_HEADER_MAX + 1];

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
	if (ws->first == NULL)
		(void) send_frame(ws, WS_OP_PING, room + WS_FRAME_HEADER_MAX, 0, true);
	if (ws->state == WS_STATE_OPEN)
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

void
ws_opened(struct ws *ws, struct stream *stream, char *data, size_t len)
{
	ws->stream = stream;
	ws->state = WS_STATE_OPEN;
	ws->heard_ms = loop_cached_ms(ws->loop);
	deadline_clear(&ws->deadline);
	stream_set_handlers(stream, &stream_handlers, ws);
	if (ws->keepalive_s > 0)
		ws_keepalive(ws, ws->keepalive_s);
	if (ws->handlers->open != NULL)
		ws->handlers->open(ws->arg, ws);
	if (len > 0)
		on_data(ws, data, len);
}
