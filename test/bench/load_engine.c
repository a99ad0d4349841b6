/*
 * load_engine.c: the voice engine's end of all calls, in the shape of Ultravox's REST API and
 * serverWebSocket medium (docs.ultravox.ai: "calls", "websockets", "data messages").
 *
 * POST /api/calls is answered with 201 and a join URL on this same port; every WebSocket that
 * joins gets call_started and from then on one 320-byte frame every 20 ms by absolute deadlines.
 * The deadlines of N streams are spread evenly over the 20 ms: stream i sends at
 * start + k * 20 ms + i * 20 ms / N, so one counter is the whole schedule.
 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RX_SIZE 65536 /* holds the largest request or message we take */
#define EVENTS 16 /* few a turn, so that deadlines are looked at often */
#define SENDS_A_TURN 16 /* late sends that may go out before sockets are read again */
#define REPLY_SIZE 512
#define LINGER_NS UINT64_C(3000000000)

struct conn
{
	struct outbox box;
	int32_t stream; /* index of the media stream; -1 while it speaks HTTP */
	uint32_t sequence;
	struct track_stream audio;
	size_t have;
	uint8_t rx[RX_SIZE];
};

struct engine
{
	const struct load_options *o;
	struct shared *shared;
	int epfd;
	int listener;
	uint16_t port;
	unsigned calls_created;
	unsigned streams; /* that ever joined */
	unsigned live; /* that are still open */
	struct conn *stream[TRACK_MAX_CALLS];
	uint64_t started; /* of the schedule */
	uint64_t turn; /* sends of the schedule so far */
};

static void
conn_close(struct engine *e, struct conn *c)
{
	if (c->stream >= 0)
	{
		e->stream[c->stream] = NULL;
		e->live--;
	}
	close(c->box.fd);
	free(c);
}

static void
conn_accept(struct engine *e)
{
	int fd;

	while ((fd = tcp_accept(e->listener)) >= 0)
	{
		struct conn *c = calloc(1, sizeof(*c));

		if (c == NULL)
		{
			close(fd);
			return;
		}
		c->box.fd = fd;
		c->stream = -1;
		c->audio.peer = -1;
		watch_fd(e->epfd, fd, EPOLLIN, c);
	}
}

static bool
send_text(struct conn *c, const char *text)
{
	uint8_t out[256];
	size_t len = strlen(text);
	size_t n = ws_header(out, WS_TEXT, len, NULL);

	memcpy(out + n, text, len);
	return outbox_send(&c->box, out, n + len) != OUTBOX_BROKEN;
}

/* The WebSocket handshake of a join URL: the connection becomes a media stream. */
static bool
stream_begin(struct engine *e, struct conn *c, size_t head)
{
	size_t key_len;
	const char *key = http_header((char *) c->rx, head, "sec-websocket-key", &key_len);
	char accept[29], reply[REPLY_SIZE];
	int n;

	if (key == NULL || e->streams == TRACK_MAX_CALLS)
		return false;
	ws_accept_key(key, key_len, accept);
	n = snprintf(reply, sizeof(reply),
				 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
				 "Sec-WebSocket-Accept: %s\r\n\r\n",
				 accept);
	if (outbox_send(&c->box, (uint8_t *) reply, (size_t) n) != OUTBOX_SENT)
		return false;
	c->stream = (int32_t) e->streams++;
	e->stream[c->stream] = c;
	e->live++;
	snprintf(reply, sizeof(reply),
			 "{\"type\":\"call_started\",\"callId\":\"00000000-0000-4000-8000-%012x\"}",
			 (unsigned) c->stream);
	return send_text(c, reply) && send_text(c, "{\"type\":\"state\",\"state\":\"speaking\"}");
}

/* The REST side: a created call, or an empty object for whatever else is asked. */
static bool
rest_reply(struct engine *e, struct conn *c)
{
	bool create = memcmp(c->rx, "POST /api/calls", 15) == 0;
	char body[256] = "{}", reply[REPLY_SIZE];
	int n;

	if (create)
	{
		unsigned id = e->calls_created++;

		snprintf(body, sizeof(body),
				 "{\"callId\":\"00000000-0000-4000-9000-%012x\",\"ended\":null,"
				 "\"joinUrl\":\"ws://127.0.0.1:%u/calls/%u\"}",
				 id, e->port, id);
	}
	n = snprintf(reply, sizeof(reply),
				 "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
				 create ? "201 Created" : "200 OK", strlen(body), body);
	return outbox_send(&c->box, (uint8_t *) reply, (size_t) n) == OUTBOX_SENT;
}

static void
conn_consume(struct conn *c, size_t used)
{
	c->have -= used;
	memmove(c->rx, c->rx + used, c->have);
}

/* Whole requests at the head of the buffer; false closes the connection. */
static bool
http_input(struct engine *e, struct conn *c)
{
	while (c->stream < 0)
	{
		size_t head = http_head_length((char *) c->rx, c->have);
		size_t length = 0, value_len;
		const char *value;

		if (head == 0)
			return c->have < RX_SIZE;
		value = http_header((char *) c->rx, head, "content-length", &value_len);
		if (value)
			length = strtoul(value, NULL, 10);
		if (head + length > RX_SIZE)
			return false;
		if (c->have < head + length)
		{
			static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

			if (c->have == head && http_header((char *) c->rx, head, "expect", &value_len))
				outbox_send(&c->box, (const uint8_t *) go_on, sizeof(go_on) - 1);
			return true;
		}
		if (http_header((char *) c->rx, head, "upgrade", &value_len))
		{
			if (!stream_begin(e, c, head))
				return false;
		}
		else if (!rest_reply(e, c))
			return false;
		conn_consume(c, head + length);
	}
	return true;
}

static bool
stream_input(struct engine *e, struct conn *c)
{
	size_t used = 0;

	for (;;)
	{
		struct ws_frame frame;
		ssize_t n = ws_parse(c->rx + used, c->have - used, &frame);

		if (n < 0 || (n == 0 && c->have - used == RX_SIZE))
			return false;
		if (n == 0)
			break;
		used += (size_t) n;
		if (frame.opcode == WS_CLOSE)
			return false;
		if (frame.opcode == WS_BINARY)
		{
			bool unknown = c->audio.peer < 0;

			track_received(e->shared, TO_ENGINE, &c->audio, frame.data, frame.len);
			if (unknown && c->audio.peer >= 0)
				e->shared->hearing++;
		}
	}
	conn_consume(c, used);
	return true;
}

static void
conn_input(struct engine *e, struct conn *c)
{
	ssize_t n = recv(c->box.fd, c->rx + c->have, RX_SIZE - c->have, 0);
	bool good = n > 0;

	if (n < 0 && errno == EAGAIN)
		return;
	if (good)
	{
		c->have += (size_t) n;
		good = c->stream >= 0 || http_input(e, c);
		if (good && c->stream >= 0)
			good = stream_input(e, c);
	}
	if (!good)
		conn_close(e, c);
}

/* Tells the bridge that the caller has interrupted the agent, and notes when. */
static bool
interrupt(struct engine *e, struct conn *c)
{
	uint64_t now = clock_ns() & ~UINT64_C(1);

	atomic_store(&e->shared->interrupted_at[c->stream], now);
	if (now >= e->shared->window_start && now < e->shared->window_end)
		e->shared->interrupts++;
	return send_text(c, "{\"type\":\"playback_clear_buffer\"}");
}

static void
stream_send(struct engine *e, struct conn *c, uint64_t planned)
{
	uint8_t out[WS_MAX_HEADER + FRAME_PCM_BYTES];
	size_t n = ws_header(out, WS_BINARY, FRAME_PCM_BYTES, NULL);
	uint32_t stream = (uint32_t) c->stream;
	uint32_t sequence = c->sequence++;
	unsigned period = e->o->interrupt_ms / 20;
	enum outbox_state state;

	pattern_pcm(stream, sequence, out + n);
	track_sent(e->shared, TO_CALLER, stream, sequence, planned);
	state = outbox_send(&c->box, out, n + FRAME_PCM_BYTES);
	if (state == OUTBOX_FULL)
		track_stalled(e->shared, TO_CALLER, stream, sequence);
	if (state == OUTBOX_BROKEN ||
		(period > 0 && sequence > 0 && (sequence + stream) % period == 0 && !interrupt(e, c)))
	{
		shutdown(c->box.fd, SHUT_RDWR); /* the next read closes it */
		e->stream[stream] = NULL;
	}
}

/* Sends what is due; returns when the next send is. */
static uint64_t
schedule_run(struct engine *e)
{
	unsigned calls = e->o->calls;

	for (int sends = 0;; e->turn++)
	{
		uint64_t due = e->started + e->turn * FRAME_NS / calls;

		if (due > clock_ns() || sends >= SENDS_A_TURN)
			return due;
		for (unsigned i = (unsigned) (e->turn % calls); i < e->streams; i += calls)
		{
			if (e->stream[i] == NULL || e->o->silent)
				continue;
			stream_send(e, e->stream[i], due);
			sends++;
		}
	}
}

/* Runs until the caller says stop; then the counters are final, and what is left is to let the
 * bridge close its calls before its engine disappears. */
static int
engine_loop(struct engine *e)
{
	struct epoll_event events[EVENTS];
	uint64_t limit = UINT64_MAX;

	e->started = clock_ns();
	while (limit == UINT64_MAX || (e->live > 0 && clock_ns() < limit))
	{
		int n = wait_until(e->epfd, events, EVENTS, schedule_run(e));

		for (int i = 0; i < n; i++)
		{
			if (events[i].data.ptr == NULL)
				conn_accept(e);
			else
				conn_input(e, events[i].data.ptr);
		}
		if (e->shared->stop && limit == UINT64_MAX)
		{
			e->shared->engine_done = 1;
			limit = clock_ns() + LINGER_NS;
		}
	}
	return 0;
}

int
load_engine(const struct load_options *o)
{
	static struct engine e;

	e.o = o;
	e.listener = tcp_listen(o->port);
	e.epfd = epoll_create1(EPOLL_CLOEXEC);
	if (e.listener < 0 || e.epfd < 0)
		return 1;
	e.shared = track_create(o->shared);
	if (e.shared == NULL)
		return 1;
	e.port = tcp_port(e.listener);
	watch_fd(e.epfd, e.listener, EPOLLIN, NULL);
	printf("listening %u\n", e.port);
	fflush(stdout);
	return engine_loop(&e);
}
