/*
 * media.c: see media.h.
 *
 * A handshake proves that Twilio opened the socket for one of our accounts; only `start` names the
 * account, the call and the one-time token. Until then the stream can do nothing, and it is closed
 * when `start` does not come. Accounts that share a token all match; `start` must name one of them.
 */
#include "gateway/media.h"

#include <stdlib.h>
#include <string.h>

#include "core/twilio_stream.h"
#include "gateway/call.h"
#include "gateway/gateway.h"
#include "gateway/signature.h"
#include "net/log.h"
#include "net/loop.h"

#define MAX_ACCOUNTS 4
#define SEND_QUEUE (512 * 1024) /* some 45 s of audio as Twilio's messages */
#define START_TIMEOUT_US 10000000
#define MAX_MALFORMED 20
#define FRAME_MAX 8192 /* bytes of audio in one message: a second; Twilio sends 160 */
#define KEEPALIVE_S 20

struct media
{
	struct gateway *gateway;
	struct ws *ws; /* NULL before it opened */
	struct call *call;
	struct media *next;
	struct media *prev;
	uint64_t opened_us;
	unsigned malformed;
	unsigned account_count;
	char accounts[MAX_ACCOUNTS][TWILIO_SID_SIZE];
};

static void
media_unlink(struct media *m)
{
	if (m->prev != NULL)
		m->prev->next = m->next;
	else
		m->gateway->streams = m->next;
	if (m->next != NULL)
		m->next->prev = m->prev;
}

struct ws *
media_ws(struct media *m)
{
	return m->ws;
}

void
media_close(struct media *m, int code, const char *reason)
{
	m->call = NULL;
	if (m->ws != NULL)
		ws_close(m->ws, code, reason);
}

static void
refuse(struct media *m, enum rejection why, const char *reason)
{
	struct log_context ctx = {.detail = reason};

	gateway_reject(m->gateway, why);
	log_write(LOG_LEVEL_WARNING, &ctx, "a media stream was refused");
	media_close(m, 1008, "refused");
}

/* A second start on one stream: whoever sends it, the call is not left without its stream. */
static void
refuse_second(struct media *m)
{
	struct call *call = m->call;

	refuse(m, REJECT_MALFORMED, "it started twice");
	call_stream_over(call, CALL_STREAM_CLOSED);
}

static void
on_start(struct media *m, const struct twilio_message *start)
{
	enum call_started started;
	bool known = false;

	for (unsigned i = 0; i < m->account_count; i++)
		known = known || strcmp(m->accounts[i], start->account_sid) == 0;
	if (!known)
		refuse(m, REJECT_SIGNATURE, "its account did not sign the handshake");
	else if (!start->is_ulaw_8k_mono)
		refuse(m, REJECT_MALFORMED, "its audio is not mu-law at 8 kHz");
	else if (m->call != NULL)
		refuse_second(m);
	else if ((started = call_start(m->gateway, m, start, &m->call)) != CALL_STARTED)
		refuse(m, started == CALL_NO_ROOM ? REJECT_BUSY : REJECT_TOKEN,
			   started == CALL_NO_ROOM ? "there is no room for another call"
									   : "its token names no call that waits for a stream");
}

static void
on_malformed(struct media *m)
{
	if (++m->malformed != MAX_MALFORMED)
		return;

	struct call *call = m->call;

	gateway_reject(m->gateway, REJECT_MALFORMED);
	log_warning("a media stream was closed: %d malformed messages", MAX_MALFORMED);
	media_close(m, 1007, "malformed messages");
	if (call != NULL)
		call_stream_over(call, CALL_STREAM_CLOSED);
}

static void
on_media(struct media *m, const struct twilio_message *message)
{
	uint8_t ulaw[FRAME_MAX];
	ssize_t count;

	if (m->call == NULL || message->outbound_track)
		return;
	count = twilio_stream_audio(message, ulaw, sizeof(ulaw));
	if (count < 0)
		on_malformed(m);
	else
		call_frame(m->call, ulaw, (size_t) count, loop_now_us());
}

static void
on_message(void *arg, struct ws *ws, const char *data, size_t len, bool binary)
{
	struct media *m = arg;
	struct twilio_message message;
	struct va_error err;
	struct call *call = m->call;

	(void) ws;
	if (binary)
	{
		on_malformed(m);
		return;
	}
	switch (twilio_stream_parse(data, len, &message, &err))
	{
		case TWILIO_MEDIA: on_media(m, &message); break;
		case TWILIO_START: on_start(m, &message); break;
		case TWILIO_MARK:
			if (call != NULL)
				call_mark(call, message.mark);
			break;
		case TWILIO_DTMF:
			if (call != NULL)
				call_digit(call, message.digit);
			break;
		case TWILIO_STOP:
			if (call != NULL)
				call_stream_over(call, CALL_CALLER_HANGUP);
			media_close(m, 1000, "stopped");
			break;
		case TWILIO_MALFORMED: on_malformed(m); break;
		default: break;
	}
}

static void
on_open(void *arg, struct ws *ws)
{
	struct media *m = arg;

	m->ws = ws;
	ws_keepalive(ws, KEEPALIVE_S);
}

static void
on_close(void *arg, struct ws *ws, int code, int http_status, const char *reason)
{
	struct media *m = arg;

	(void) ws;
	(void) http_status;
	m->ws = NULL;
	if (m->call != NULL)
	{
		log_debug("a media stream closed with %d: %s", code, reason != NULL ? reason : "");
		call_stream_over(m->call, CALL_STREAM_CLOSED);
	}
	media_unlink(m);
	free(m);
}

int
media_upgrade(struct gateway *g, const struct http_request *req, struct ws_limits *limits,
			  const struct ws_handlers **handlers, void **arg, struct http_exchange *headers_of)
{
	static const struct ws_handlers media_handlers = {on_open, on_message, on_close};
	struct media *m;

	if (g->stopping)
		return 503;
	m = calloc(1, sizeof(*m));
	if (m == NULL)
		return 503;
	m->account_count = signature_stream(g, req, http_header(headers_of, "x-twilio-signature"),
										m->accounts, MAX_ACCOUNTS);
	if (m->account_count == 0)
	{
		gateway_reject(g, REJECT_SIGNATURE);
		free(m);
		return 403;
	}
	m->gateway = g;
	m->opened_us = loop_now_us();
	m->next = g->streams;
	if (g->streams != NULL)
		g->streams->prev = m;
	g->streams = m;
	gateway_wake(g);
	limits->max_message = TWILIO_MAX_MESSAGE;
	limits->max_queue = SEND_QUEUE;
	*handlers = &media_handlers;
	*arg = m;
	return 0;
}

void
media_tick_all(struct gateway *g, uint64_t now_us)
{
	struct media *m = g->streams;

	while (m != NULL)
	{
		struct media *next = m->next;

		if (m->call == NULL && m->ws != NULL && now_us - m->opened_us > START_TIMEOUT_US)
		{
			m->opened_us = now_us;
			media_close(m, 1008, "no start");
		}
		m = next;
	}
}

void
media_shutdown_all(struct gateway *g)
{
	for (struct media *m = g->streams; m != NULL; m = m->next)
		if (m->call == NULL && m->ws != NULL)
			ws_close(m->ws, 1001, "shutdown");
}
