/*
 * relay_epoll.c: the bare baseline: what bridging a call costs with nothing around it.
 *
 * One thread, epoll, no library. It accepts the Twilio-shaped WebSocket, opens an Ultravox-shaped
 * one for it, and does per frame what any bridge must: find the payload in the JSON, base64,
 * mu-law to s16 or back, WebSocket framing with masks, one send. No signature, no session, no
 * database, no transcript, no limits, no marks: the difference to it is the price of those.
 *
 *   relay_epoll LISTEN_PORT ENGINE_PORT      (port 0: any; prints "listening PORT")
 *
 * Compiled with RELAY_FAULTS it becomes the relay that the self-test uses to prove that the
 * generator sees what goes wrong; see relay_faults.h.
 */
#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define RX_SIZE 4096
#define TX_SIZE 4096 /* what may wait for a slow peer before its call is closed */
#define EVENTS 64
#define SID_SIZE 64

struct pair;

struct side
{
	int fd;
	bool engine;
	bool open; /* the WebSocket is up */
	bool closing;
	struct pair *pair;
	size_t have;
	size_t pending;
	uint8_t rx[RX_SIZE];
	uint8_t tx[TX_SIZE];
};

struct pair
{
	struct side twilio;
	struct side engine;
	char sid[SID_SIZE];
};

static int epfd;
static uint16_t engine_port;

static void
watch(struct side *s, uint32_t events, int operation)
{
	struct epoll_event event = {.events = events, .data.ptr = s};

	epoll_ctl(epfd, operation, s->fd, &event);
}

/* Sends at once; only what the socket does not take waits for EPOLLOUT. */
static void
side_send(struct side *s, const uint8_t *data, size_t len)
{
	ssize_t n = 0;

	if (s->pending == 0)
		n = send(s->fd, data, len, MSG_NOSIGNAL);
	if (n == (ssize_t) len)
		return;
	if (n < 0 && errno == EAGAIN)
		n = 0;
	if (n < 0 || s->pending + len - (size_t) n > TX_SIZE)
	{
		s->closing = true;
		return;
	}
	memcpy(s->tx + s->pending, data + n, len - (size_t) n);
	s->pending += len - (size_t) n;
	watch(s, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
}

static void
side_flush(struct side *s)
{
	ssize_t n = send(s->fd, s->tx, s->pending, MSG_NOSIGNAL);

	if (n < 0)
	{
		s->closing = errno != EAGAIN;
		return;
	}
	s->pending -= (size_t) n;
	memmove(s->tx, s->tx + n, s->pending);
	if (s->pending == 0)
		watch(s, EPOLLIN, EPOLL_CTL_MOD);
}

#ifdef RELAY_FAULTS
#include "relay_faults.h"
#else
#define relay_audio side_send
#define relay_wait() -1
#define relay_forget(pair) ((void) 0)
#define relay_setup(argc, argv) ((void) 0)
#endif

static void
pair_close(struct pair *p)
{
	relay_forget(p);
	close(p->twilio.fd);
	close(p->engine.fd);
	free(p);
}

static void
pair_open(int fd)
{
	struct pair *p = calloc(1, sizeof(*p));
	char request[256];
	int n;

	if (p == NULL)
		abort();
	p->twilio.fd = fd;
	p->engine.fd = tcp_connect("127.0.0.1", engine_port);
	p->engine.engine = true;
	p->twilio.pair = p->engine.pair = p;
	n = snprintf(request, sizeof(request),
				 "GET /calls/0 HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\n"
				 "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
				 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
				 engine_port);
	memcpy(p->engine.tx, request, (size_t) n);
	p->engine.pending = (size_t) n; /* goes out when the connection is writable */
	watch(&p->twilio, EPOLLIN, EPOLL_CTL_ADD);
	watch(&p->engine, EPOLLIN | EPOLLOUT, EPOLL_CTL_ADD);
}

/* Both handshakes: answer Twilio's, check the engine's. */
static void
side_handshake(struct side *s)
{
	size_t head = http_head_length((char *) s->rx, s->have);
	size_t key_len;
	const char *key;
	char accept[29], reply[256];
	int n;

	if (head == 0)
		return;
	if (s->engine)
		s->closing = s->have < 12 || memcmp(s->rx + 9, "101", 3) != 0;
	else
	{
		key = http_header((char *) s->rx, head, "sec-websocket-key", &key_len);
		if (key == NULL)
		{
			s->closing = true;
			return;
		}
		ws_accept_key(key, key_len, accept);
		n = snprintf(reply, sizeof(reply),
					 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
					 "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
					 accept);
		side_send(s, (uint8_t *) reply, (size_t) n);
	}
	s->open = true;
	s->have -= head;
	memmove(s->rx, s->rx + head, s->have);
}

/* The text between `key` and the next quote. */
static const char *
member(const uint8_t *text, size_t len, const char *key, size_t key_len, size_t *value_len)
{
	const char *start = memmem(text, len, key, key_len);
	const char *end;

	if (start == NULL)
		return NULL;
	start += key_len;
	end = memchr(start, '"', (size_t) ((const char *) text + len - start));
	*value_len = end ? (size_t) (end - start) : 0;
	return end ? start : NULL;
}
#define MEMBER(text, len, key, value_len) member(text, len, key, sizeof(key) - 1, value_len)

static void
from_twilio(struct pair *p, const uint8_t *text, size_t len)
{
	static uint32_t random_state = 1;
	uint8_t ulaw[2048], out[WS_MAX_HEADER + sizeof(ulaw) * 2];
	size_t value_len, n;
	const char *value;
	ssize_t samples;

	value = MEMBER(text, len, "\"payload\":\"", &value_len);
	if (value == NULL)
	{
		value = MEMBER(text, len, "\"streamSid\":\"", &value_len);
		if (value && value_len < SID_SIZE)
			memcpy(p->sid, value, value_len); /* zeroed, so it stays terminated */
		return;
	}
	samples = b64_decode(value, value_len, ulaw, sizeof(ulaw));
	if (samples <= 0 || !p->engine.open)
		return;
	random_state = random_state * 1664525 + 1013904223;
	n = ws_header(out, WS_BINARY, (size_t) samples * 2, (uint8_t *) &random_state);
	for (ssize_t i = 0; i < samples; i++)
		memcpy(out + n + 2 * i, &ulaw_to_pcm[ulaw[i]], 2);
	ws_mask(out + n, (size_t) samples * 2, (uint8_t *) &random_state);
	relay_audio(&p->engine, out, n + (size_t) samples * 2);
}

static void
from_engine(struct pair *p, const struct ws_frame *frame)
{
	uint8_t ulaw[2048], out[WS_MAX_HEADER + 4096];
	char text[4096];
	size_t samples = frame->len / 2;
	size_t n;
	int len;

	if (p->sid[0] == '\0')
		return;
	if (frame->opcode == WS_TEXT)
	{
		if (memmem(frame->data, frame->len, "playback_clear_buffer", 21) == NULL)
			return;
		len = snprintf(text, sizeof(text), "{\"event\":\"clear\",\"streamSid\":\"%s\"}", p->sid);
	}
	else
	{
		if (samples > sizeof(ulaw))
			samples = sizeof(ulaw);
		for (size_t i = 0; i < samples; i++)
			ulaw[i] = pcm_to_ulaw[frame->data[2 * i] | frame->data[2 * i + 1] << 8];
		len =
			snprintf(text, 256,
					 "{\"event\":\"media\",\"streamSid\":\"%s\",\"media\":{\"payload\":\"", p->sid);
		len += (int) b64_encode(ulaw, samples, text + len);
		memcpy(text + len, "\"}}", 3);
		len += 3;
	}
	n = ws_header(out, WS_TEXT, (size_t) len, NULL);
	memcpy(out + n, text, (size_t) len);
	if (frame->opcode == WS_TEXT)
		side_send(&p->twilio, out, n + (size_t) len);
	else
		relay_audio(&p->twilio, out, n + (size_t) len);
}

static void
side_read(struct side *s)
{
	ssize_t got = recv(s->fd, s->rx + s->have, RX_SIZE - s->have, 0);
	size_t used = 0;

	if (got <= 0)
	{
		s->closing = got == 0 || errno != EAGAIN;
		return;
	}
	s->have += (size_t) got;
	if (!s->open)
		side_handshake(s);
	while (s->open && !s->closing)
	{
		struct ws_frame frame;
		ssize_t n = ws_parse(s->rx + used, s->have - used, &frame);

		if (n == 0 && s->have - used < RX_SIZE)
			break;
		if (n <= 0 || frame.opcode == WS_CLOSE)
		{
			s->closing = true;
			return;
		}
		used += (size_t) n;
		if (s->engine)
			from_engine(s->pair, &frame);
		else
			from_twilio(s->pair, frame.data, frame.len);
	}
	s->have -= used;
	memmove(s->rx, s->rx + used, s->have);
}

/* A pair is freed at most once: its other side's event in the same batch is struck out. */
static void
side_event(struct epoll_event *event, struct epoll_event *rest, int left)
{
	struct side *s = event->data.ptr;
	struct pair *p = s->pair;

	if (event->events & EPOLLOUT)
		side_flush(s);
	if (!s->closing && event->events & ~EPOLLOUT)
		side_read(s);
	if (!p->twilio.closing && !p->engine.closing)
		return;
	for (int i = 0; i < left; i++)
		if (rest[i].data.ptr == &p->twilio || rest[i].data.ptr == &p->engine)
			rest[i].events = 0;
	pair_close(p);
}

int
main(int argc, char **argv)
{
	struct epoll_event events[EVENTS], event = {.events = EPOLLIN};
	int listener, fd;

	if (argc < 3)
	{
		fputs("usage: relay_epoll LISTEN_PORT ENGINE_PORT\n", stderr);
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	wire_init();
	raise_file_limit();
	relay_setup(argc, argv);
	engine_port = (uint16_t) strtoul(argv[2], NULL, 10);
	listener = tcp_listen((uint16_t) strtoul(argv[1], NULL, 10));
	epfd = epoll_create1(EPOLL_CLOEXEC);
	if (listener < 0 || epfd < 0)
		return 1;
	epoll_ctl(epfd, EPOLL_CTL_ADD, listener, &event);
	printf("listening %u\n", tcp_port(listener));
	fflush(stdout);
	for (;;)
	{
		int n = epoll_wait(epfd, events, EVENTS, relay_wait());

		for (int i = 0; i < n; i++)
		{
			if (events[i].events == 0)
				continue;
			if (events[i].data.ptr != NULL)
				side_event(&events[i], &events[i + 1], n - i - 1);
			else
				while ((fd = tcp_accept(listener)) >= 0)
					pair_open(fd);
		}
	}
}
