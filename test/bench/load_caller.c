/*
 * load_caller.c: Twilio's end of all calls, and the conductor of the measurement.
 *
 * A call: the signed answer webhook (gateway only), its TwiML's stream URL and token, the signed
 * WebSocket handshake, connected, start, then one media message every 20 ms by the same kind of
 * schedule as the engine's. Marks are echoed at once, because nothing is ever queued: the engine
 * speaks in real time.
 *
 * The measurement: open all calls at the ramp's rate; when every call hears and is heard, wait for
 * the warm-up; open the window; close it; go on until what is on its way has arrived, at most three
 * seconds; stop all; print one JSON object. CPU of the watched process is what it used between the
 * window's edges.
 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define RX_SIZE 16384
#define EVENTS 16
#define SENDS_A_TURN 16
#define SETUP_LIMIT_NS UINT64_C(20000000000) /* for all calls to be heard, after the ramp */
#define DRAIN_NS UINT64_C(3000000000) /* a frame later than this is lost */
#define WINDOW_NOTICE_NS UINT64_C(100000000)
#define SECOND_NS 1e9

enum call_state
{
	CALL_IDLE,
	CALL_ANSWERING, /* webhook under way */
	CALL_UPGRADING, /* handshake under way */
	CALL_OPEN,
	CALL_OVER
};

struct call
{
	enum call_state state;
	uint32_t index;
	struct outbox box;
	uint32_t sequence; /* frames sent */
	uint32_t messages; /* Twilio's sequenceNumber */
	struct track_stream audio;
	char call_sid[35];
	char stream_sid[35];
	char token[128];
	struct request *request; /* while state is ANSWERING or UPGRADING */
	size_t have;
	uint8_t rx[RX_SIZE];
};

enum phase
{
	PHASE_RAMP,
	PHASE_WARMUP,
	PHASE_WINDOW,
	PHASE_DRAIN,
	PHASE_END
};

/* What the watched processes have used at one edge of the window. */
struct reading
{
	struct usage bridge, caller, engine;
	uint64_t database_us;
	uint64_t at;
};

struct caller
{
	const struct load_options *o;
	struct shared *shared;
	int epfd;
	struct call *call;
	unsigned begun, hearing, failed, lost_calls;
	uint64_t started, turn;
	enum phase phase;
	uint64_t phase_end;
	struct usage before; /* bridge, without a call */
	struct reading open, close;
	uint64_t clears, clears_unasked, marks, unknown;
	struct histogram clear_latency, answer_latency;
};

static void
call_over(struct caller *c, struct call *call, const char *why)
{
	if (call->state == CALL_OPEN)
		c->lost_calls++;
	else
		c->failed++;
	if (c->failed + c->lost_calls <= 3)
		fprintf(stderr, "call %u: %s\n", call->index, why);
	close(call->request ? call->request->fd : call->box.fd);
	free(call->request);
	call->request = NULL;
	call->state = CALL_OVER;
}

/* One masked text message, as a client must send it. */
static enum outbox_state
send_text(struct call *call, const char *text, size_t len)
{
	uint8_t out[1024];
	uint32_t key = (call->messages * 2654435761u) ^ call->index;
	size_t n;

	if (len > sizeof(out) - WS_MAX_HEADER)
		return OUTBOX_BROKEN;
	n = ws_header(out, WS_TEXT, len, (const uint8_t *) &key);
	memcpy(out + n, text, len);
	ws_mask(out + n, len, (const uint8_t *) &key);
	return outbox_send(&call->box, out, n + len);
}

static void
upgrade_begin(struct caller *c, struct call *call, const char *url)
{
	call->state = CALL_UPGRADING;
	if (request_upgrade(call->request, c->o, url))
		watch_fd(c->epfd, call->request->fd, EPOLLIN | EPOLLOUT, call);
	else
		call_over(c, call, "cannot connect to the media stream");
}

static void
call_begin(struct caller *c, struct call *call)
{
	call->index = (uint32_t) (call - c->call);
	call->audio.peer = -1;
	make_sid(call->call_sid, "CA", call->index);
	make_sid(call->stream_sid, "MZ", call->index);
	call->request = calloc(1, sizeof(*call->request));
	if (call->request == NULL)
		abort();
	if (c->o->webhook == NULL)
	{
		upgrade_begin(c, call, c->o->target);
		return;
	}
	call->state = CALL_ANSWERING;
	if (request_answer(call->request, c->o, call->call_sid, call->index))
		watch_fd(c->epfd, call->request->fd, EPOLLIN | EPOLLOUT, call);
	else
		call_over(c, call, "cannot connect to the webhook");
}

static void
answer_arrived(struct caller *c, struct call *call)
{
	char url[256];
	struct request *r = call->request;

	histogram_add(&c->answer_latency, clock_ns() - r->begun);
	if (r->status != 200 ||
		!answer_parse(r->body, url, sizeof(url), call->token, sizeof(call->token)))
	{
		if (c->failed < 3)
			fprintf(stderr, "answer webhook after %.1f ms: status %d\n%.400s\n",
					(double) (clock_ns() - r->begun) / 1e6, r->status, r->body);
		call_over(c, call, "the answer is not a media stream");
		return;
	}
	close(r->fd);
	upgrade_begin(c, call, url);
}

static void
stream_open(struct caller *c, struct call *call)
{
	static const char connected[] =
		"{\"event\":\"connected\",\"protocol\":\"Call\",\"version\":\"1.0.0\"}";
	char start[768];
	struct request *r = call->request;
	int n;

	if (r->status != 101 || r->body_len > RX_SIZE)
	{
		call_over(c, call, "the handshake was refused");
		return;
	}
	call->box.fd = r->fd;
	call->have = r->body_len;
	memcpy(call->rx, r->body, r->body_len);
	call->request = NULL;
	call->state = CALL_OPEN;
	free(r);
	n = snprintf(start, sizeof(start),
				 "{\"event\":\"start\",\"sequenceNumber\":\"1\",\"streamSid\":\"%s\",\"start\":{"
				 "\"accountSid\":\"%s\",\"streamSid\":\"%s\",\"callSid\":\"%s\","
				 "\"tracks\":[\"inbound\"],\"mediaFormat\":{\"encoding\":\"audio/x-mulaw\","
				 "\"sampleRate\":8000,\"channels\":1},\"customParameters\":{\"token\":\"%s\"}}}",
				 call->stream_sid, c->o->account, call->stream_sid, call->call_sid, call->token);
	call->messages = 1;
	if (send_text(call, connected, sizeof(connected) - 1) != OUTBOX_SENT ||
		send_text(call, start, (size_t) n) != OUTBOX_SENT)
		call_over(c, call, "the stream was closed at its start");
}

static void
request_event(struct caller *c, struct call *call)
{
	enum request_state state = request_step(call->request);

	if (state == REQUEST_PENDING && call->request->sent)
		watch_fd(c->epfd, call->request->fd, EPOLLIN, call);
	else if (state == REQUEST_FAILED)
		call_over(c, call, "the connection broke during set-up");
	else if (state == REQUEST_DONE && call->state == CALL_ANSWERING)
		answer_arrived(c, call);
	else if (state == REQUEST_DONE)
	{
		watch_fd(c->epfd, call->request->fd, EPOLLIN, call);
		stream_open(c, call);
	}
}

/* The value of a string member that is known to stand alone in the message. */
static const char *
member(const uint8_t *text, size_t len, const char *key, size_t key_len, size_t *value_len)
{
	const char *start = memmem(text, len, key, key_len);
	const char *end;

	if (start == NULL)
		return NULL;
	start += key_len;
	end = memchr(start, '"', (size_t) ((const char *) text + len - start));
	if (end == NULL)
		return NULL;
	*value_len = (size_t) (end - start);
	return start;
}
#define MEMBER(text, len, key, value_len) member(text, len, key, sizeof(key) - 1, value_len)

static void
media_arrived(struct caller *c, struct call *call, const uint8_t *text, size_t len)
{
	uint8_t audio[8192];
	size_t payload_len = 0;
	const char *payload = MEMBER(text, len, "\"payload\":\"", &payload_len);
	ssize_t n = payload ? b64_decode(payload, payload_len, audio, sizeof(audio)) : -1;
	bool unknown = call->audio.peer < 0;

	if (n < 0)
	{
		c->unknown++;
		return;
	}
	track_received(c->shared, TO_CALLER, &call->audio, audio, (size_t) n);
	if (unknown && call->audio.peer >= 0)
		c->hearing++;
}

static void
mark_arrived(struct caller *c, struct call *call, const uint8_t *text, size_t len)
{
	char out[384];
	size_t name_len = 0;
	const char *name = MEMBER(text, len, "\"name\":\"", &name_len);

	c->marks++;
	if (name == NULL || name_len > 128)
		return;
	send_text(
		call, out,
		(size_t) snprintf(out, sizeof(out),
						  "{\"event\":\"mark\",\"sequenceNumber\":\"%u\",\"streamSid\":\"%s\","
						  "\"mark\":{\"name\":\"%.*s\"}}",
						  ++call->messages, call->stream_sid, (int) name_len, name));
}

static void
clear_arrived(struct caller *c, struct call *call)
{
	uint64_t now = clock_ns();
	uint64_t at = 1;

	if (call->audio.peer >= 0)
		at = atomic_fetch_or(&c->shared->interrupted_at[call->audio.peer], 1);
	if (at & 1)
		c->clears_unasked++;
	else if (at >= c->shared->window_start && at < c->shared->window_end)
	{
		c->clears++;
		histogram_add(&c->clear_latency, now - at);
	}
}

static void
message_arrived(struct caller *c, struct call *call, const uint8_t *text, size_t len)
{
	size_t event_len = 0;
	const char *event = MEMBER(text, len, "\"event\":\"", &event_len);

	if (event && event_len == 5 && memcmp(event, "media", 5) == 0)
		media_arrived(c, call, text, len);
	else if (event && event_len == 4 && memcmp(event, "mark", 4) == 0)
		mark_arrived(c, call, text, len);
	else if (event && event_len == 5 && memcmp(event, "clear", 5) == 0)
		clear_arrived(c, call);
	else
		c->unknown++;
}

static void
pong(struct call *call, const struct ws_frame *ping)
{
	uint8_t out[WS_MAX_HEADER + 125];
	const uint8_t mask[4] = {0x5A, 0x3C, 0x69, 0x17};
	size_t n;

	if (ping->len > 125)
		return;
	n = ws_header(out, WS_PONG, ping->len, mask);
	memcpy(out + n, ping->data, ping->len);
	ws_mask(out + n, ping->len, mask);
	outbox_send(&call->box, out, n + ping->len);
}

static void
stream_event(struct caller *c, struct call *call)
{
	ssize_t got = recv(call->box.fd, call->rx + call->have, RX_SIZE - call->have, 0);
	size_t used = 0;

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0)
	{
		call_over(c, call, "the bridge closed the stream");
		return;
	}
	call->have += (size_t) got;
	for (;;)
	{
		struct ws_frame frame;
		ssize_t n = ws_parse(call->rx + used, call->have - used, &frame);

		if (n < 0 || (n == 0 && call->have - used == RX_SIZE) ||
			(n > 0 && frame.opcode == WS_CLOSE))
		{
			call_over(c, call, n > 0 ? "the bridge ended the stream" : "not a message we take");
			return;
		}
		if (n == 0)
			break;
		used += (size_t) n;
		if (frame.opcode == WS_TEXT)
			message_arrived(c, call, frame.data, frame.len);
		else if (frame.opcode == WS_PING)
			pong(call, &frame);
	}
	call->have -= used;
	memmove(call->rx, call->rx + used, call->have);
}

static void
frame_send(struct caller *c, struct call *call, uint64_t planned)
{
	uint8_t audio[FRAME_SAMPLES];
	char text[512];
	uint32_t sequence = call->sequence++;
	enum outbox_state state;
	int n;

	pattern_ulaw(call->index, sequence, audio);
	n = snprintf(text, sizeof(text) - B64_LENGTH(FRAME_SAMPLES) - 4,
				 "{\"event\":\"media\",\"sequenceNumber\":\"%u\",\"streamSid\":\"%s\",\"media\":{"
				 "\"track\":\"inbound\",\"chunk\":\"%u\",\"timestamp\":\"%u\",\"payload\":\"",
				 ++call->messages, call->stream_sid, sequence + 1, sequence * 20);
	n += (int) b64_encode(audio, sizeof(audio), text + n);
	memcpy(text + n, "\"}}", 3);
	track_sent(c->shared, TO_ENGINE, call->index, sequence, planned);
	state = send_text(call, text, (size_t) n + 3);
	if (state == OUTBOX_FULL)
		track_stalled(c->shared, TO_ENGINE, call->index, sequence);
	else if (state == OUTBOX_BROKEN)
		call_over(c, call, "the bridge closed the stream");
}

/* Begins what the ramp allows, sends what is due; returns when the next send is. */
static uint64_t
schedule_run(struct caller *c)
{
	unsigned calls = c->o->calls;

	for (int sends = 0;; c->turn++)
	{
		uint64_t now = clock_ns();
		uint64_t due = c->started + c->turn * FRAME_NS / calls;
		struct call *call = &c->call[c->turn % calls];

		if (c->begun < calls && now >= c->started + c->begun * UINT64_C(1000000000) / c->o->ramp)
			call_begin(c, &c->call[c->begun++]);
		if (due > now || sends >= SENDS_A_TURN)
			return due;
		if (call->state == CALL_OPEN)
		{
			frame_send(c, call, due);
			sends++;
		}
	}
}

static void
reading_take(struct caller *c, struct reading *r)
{
	r->at = clock_ns();
	r->bridge = usage_read(c->o->watch);
	r->caller = usage_read(getpid());
	r->engine = usage_read(c->shared->engine_pid);
	r->database_us = usage_database_us(c->o->watch_database);
}

static bool
all_heard(const struct caller *c)
{
	unsigned live = c->o->calls - c->failed - c->lost_calls;

	return c->begun == c->o->calls && c->hearing >= live && c->shared->hearing >= live;
}

/* Nothing of the window is on its way any more. */
static bool
all_arrived(const struct shared *s)
{
	const struct direction *a = &s->direction[TO_ENGINE];
	const struct direction *b = &s->direction[TO_CALLER];

	return a->received == a->sent && b->received == b->sent;
}

/* Sets the window's edges well before the first, so that no frame is sent while one end already
 * knows of the window and the other does not. */
static void
window_set(struct caller *c)
{
	uint64_t open = clock_ns() + (uint64_t) (c->o->warmup * SECOND_NS) + WINDOW_NOTICE_NS;

	c->shared->window_end = open + (uint64_t) (c->o->seconds * SECOND_NS);
	c->shared->window_start = open;
	c->phase_end = open;
	c->phase = PHASE_WARMUP;
}

/* The steps of the measurement; each is entered once. */
static void
phase_run(struct caller *c)
{
	if (c->phase == PHASE_RAMP && all_heard(c))
		window_set(c);
	if (c->phase == PHASE_DRAIN && all_arrived(c->shared))
		c->phase = PHASE_END;
	if (clock_ns() < c->phase_end)
		return;
	if (c->phase == PHASE_RAMP)
		window_set(c); /* with the calls there are; the others are reported */
	else if (c->phase == PHASE_WARMUP)
	{
		reading_take(c, &c->open);
		c->phase_end = c->shared->window_end;
		c->phase = PHASE_WINDOW;
		fputs("window open\n", stderr);
	}
	else if (c->phase == PHASE_WINDOW)
	{
		reading_take(c, &c->close);
		c->phase_end = clock_ns() + DRAIN_NS;
		c->phase = PHASE_DRAIN;
	}
	else if (c->phase == PHASE_DRAIN)
		c->phase = PHASE_END;
}

static void
hang_up(struct caller *c)
{
	for (unsigned i = 0; i < c->o->calls; i++)
	{
		struct call *call = &c->call[i];
		char text[256];

		if (call->state != CALL_OPEN)
			continue;
		send_text(call, text,
				  (size_t) snprintf(text, sizeof(text),
									"{\"event\":\"stop\",\"sequenceNumber\":\"%u\",\"streamSid\":"
									"\"%s\",\"stop\":{\"accountSid\":\"%s\",\"callSid\":\"%s\"}}",
									++call->messages, call->stream_sid, c->o->account,
									call->call_sid));
		close(call->box.fd);
	}
}

static void
print_histogram(const char *name, const struct histogram *h)
{
	printf(",\"%s_min_us\":%.1f,\"%s_p50_us\":%.1f,\"%s_p99_us\":%.1f,\"%s_max_us\":%.1f", name,
		   (double) h->min / 1e3, name, (double) histogram_percentile(h, 50) / 1e3, name,
		   (double) histogram_percentile(h, 99) / 1e3, name, (double) h->max / 1e3);
}

static void
print_direction(const char *name, const struct direction *d)
{
	char key[64];

	printf(",\"%s_sent\":%ju,\"%s_received\":%ju,\"%s_lost\":%jd", name, (uintmax_t) d->sent, name,
		   (uintmax_t) d->received, name, (intmax_t) d->sent - (intmax_t) d->received);
	printf(",\"%s_stalled\":%ju,\"%s_duplicate\":%ju,\"%s_reordered\":%ju", name,
		   (uintmax_t) d->stalled, name, (uintmax_t) d->duplicate, name, (uintmax_t) d->reordered);
	printf(",\"%s_corrupt\":%ju,\"%s_foreign\":%ju,\"%s_silence\":%ju", name,
		   (uintmax_t) d->corrupt, name, (uintmax_t) d->foreign, name, (uintmax_t) d->silence);
	print_histogram(name, &d->latency);
	snprintf(key, sizeof(key), "%s_late", name);
	print_histogram(key, &d->late);
}

static double
cpu_percent(uint64_t before_us, uint64_t after_us, const struct caller *c)
{
	return (double) (after_us - before_us) * 1e5 / (double) (c->close.at - c->open.at);
}

static uint64_t
cpu_us(const struct usage *u)
{
	return u->user_us + u->system_us;
}

/* One flat object, numbers only but for the label: easy to read for every tool. */
static void
print_report(const struct caller *c)
{
	printf("{\"who\":\"%s\",\"calls\":%u,\"seconds\":%.3f,\"failed_calls\":%u,\"lost_calls\":%u",
		   c->o->label, c->o->calls, (double) (c->close.at - c->open.at) / 1e9, c->failed,
		   c->lost_calls);
	printf(",\"user_percent\":%.2f,\"system_percent\":%.2f,\"cpu_percent\":%.2f,\"sleeps\":%ju",
		   cpu_percent(c->open.bridge.user_us, c->close.bridge.user_us, c),
		   cpu_percent(c->open.bridge.system_us, c->close.bridge.system_us, c),
		   cpu_percent(cpu_us(&c->open.bridge), cpu_us(&c->close.bridge), c),
		   (uintmax_t) (c->close.bridge.sleeps - c->open.bridge.sleeps));
	printf(",\"wait_percent\":%.2f,\"caller_wait_percent\":%.2f,\"engine_wait_percent\":%.2f",
		   cpu_percent(c->open.bridge.wait_us, c->close.bridge.wait_us, c),
		   cpu_percent(c->open.caller.wait_us, c->close.caller.wait_us, c),
		   cpu_percent(c->open.engine.wait_us, c->close.engine.wait_us, c));
	printf(",\"database_cpu_percent\":%.2f,\"caller_cpu_percent\":%.2f,\"engine_cpu_percent\":%.2f",
		   cpu_percent(c->open.database_us, c->close.database_us, c),
		   cpu_percent(cpu_us(&c->open.caller), cpu_us(&c->close.caller), c),
		   cpu_percent(cpu_us(&c->open.engine), cpu_us(&c->close.engine), c));
	printf(",\"rss_before_kib\":%ju,\"rss_after_kib\":%ju,\"pss_before_kib\":%ju,"
		   "\"pss_after_kib\":%ju",
		   (uintmax_t) c->before.rss_kib, (uintmax_t) c->close.bridge.rss_kib,
		   (uintmax_t) c->before.pss_kib, (uintmax_t) c->close.bridge.pss_kib);
	print_direction("to_engine", &c->shared->direction[TO_ENGINE]);
	print_direction("to_caller", &c->shared->direction[TO_CALLER]);
	printf(",\"interrupts\":%ju,\"clears\":%ju,\"clears_unasked\":%ju,\"marks\":%ju,"
		   "\"unknown_messages\":%ju",
		   (uintmax_t) c->shared->interrupts, (uintmax_t) c->clears, (uintmax_t) c->clears_unasked,
		   (uintmax_t) c->marks, (uintmax_t) c->unknown);
	print_histogram("clear", &c->clear_latency);
	print_histogram("answer", &c->answer_latency);
	puts("}");
}

static void
caller_loop(struct caller *c)
{
	struct epoll_event events[EVENTS];

	while (c->phase != PHASE_END)
	{
		int n = wait_until(c->epfd, events, EVENTS, schedule_run(c));

		for (int i = 0; i < n; i++)
		{
			struct call *call = events[i].data.ptr;

			if (call->state == CALL_OPEN)
				stream_event(c, call);
			else if (call->state != CALL_OVER)
				request_event(c, call);
		}
		phase_run(c);
	}
}

/* The engine's counters are whole when it says so. */
static bool
engine_finish(struct shared *s)
{
	uint64_t limit = clock_ns() + UINT64_C(5000000000);

	s->stop = 1;
	while (!s->engine_done && clock_ns() < limit)
		usleep(1000);
	return s->engine_done;
}

int
load_caller(const struct load_options *o)
{
	static struct caller c;

	c.o = o;
	c.shared = track_open(o->shared);
	c.epfd = epoll_create1(EPOLL_CLOEXEC);
	c.call = calloc(o->calls, sizeof(*c.call));
	if (c.shared == NULL || c.epfd < 0 || c.call == NULL)
		return 1;
	c.before = usage_read(o->watch);
	c.started = clock_ns();
	c.phase_end = c.started + o->calls * UINT64_C(1000000000) / o->ramp + SETUP_LIMIT_NS;
	caller_loop(&c);
	hang_up(&c);
	if (!engine_finish(c.shared))
	{
		fputs("the engine did not finish\n", stderr);
		return 1;
	}
	print_report(&c);
	free(c.call);
	return 0;
}
