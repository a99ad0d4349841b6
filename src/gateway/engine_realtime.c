/*
 * engine_realtime.c: a session in the generic realtime dialect (JSON text frames over one socket).
 *
 * The dialect wants 16 kHz in and sends 24 kHz, so both ways pass a resampler, whose state carries
 * over from piece to piece. It has no message that clears what is queued: the call finds out about
 * an interruption, drops its own queue and says conversation.interrupt; audio of the old utterance
 * may still be on its way then, and is ignored until the agent's next transcript, or until 300 ms
 * passed without audio.
 *
 * docs/realtime-dialect.md says what was settled where the dialect is silent.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "core/buf.h"
#include "core/g711.h"
#include "core/realtime.h"
#include "core/resample.h"
#include "gateway/engine.h"
#include "gateway/gateway.h"
#include "net/log.h"
#include "net/loop.h"
#include "net/ws.h"

#define LINE_RATE 8000
#define CONNECT_TIMEOUT_MS 5000
#define SEND_QUEUE (192 * 1024) /* four seconds of audio, as base64 */
#define PIECE 480 /* samples of the line turned at once */
#define MESSAGE_SIZE (64 * 1024)
#define MUTE_US 300000
#define KEEPALIVE_S 20
#define OUT_BYTES 3072 /* of 16 bit audio decoded at once: 64 ms at 24 kHz; a multiple of 6 */

struct engine
{
	struct gateway *gateway;
	const struct engine_host *host; /* NULL once closed */
	void *arg;
	struct ws *ws;
	char *url;
	char *create; /* session.create as text, until it was sent */
	char authorization[600];
	char tenant[80];
	struct resampler *in;
	struct resampler *out;
	unsigned out_rate;
	bool retried;
	bool opened;
	bool ready;
	bool ended; /* session.ended came */
	bool muted; /* audio belongs to an interrupted utterance */
	bool odd_rate_logged;
	uint64_t muted_audio_us; /* when the last ignored audio came */
};

static const struct ws_handlers ws_handlers;
static const struct ws_limits limits = {REALTIME_MAX_MESSAGE, SEND_QUEUE};

static void
engine_free(struct engine *e)
{
	resampler_free(e->in);
	resampler_free(e->out);
	free(e->url);
	free(e->create);
	explicit_bzero(e->authorization, sizeof(e->authorization));
	free(e);
}

static bool
connect_socket(struct engine *e)
{
	const char *headers[] = {e->authorization, e->tenant, NULL};

	e->ws =
		ws_connect(e->gateway->loop, e->url, headers, CONNECT_TIMEOUT_MS, limits, &ws_handlers, e);
	return e->ws != NULL;
}

static void
on_open(void *arg, struct ws *ws)
{
	struct engine *e = arg;

	e->opened = true;
	ws_keepalive(ws, KEEPALIVE_S);
	ws_send_copy(ws, WS_TEXT, e->create, strlen(e->create), false);
	free(e->create);
	e->create = NULL;
}

/* Is this audio what the caller cut short? */
static bool
is_stale(struct engine *e)
{
	uint64_t now;

	if (!e->muted)
		return false;
	now = loop_now_us();
	if (now - e->muted_audio_us > MUTE_US)
	{
		e->muted = false;
		return false;
	}
	e->muted_audio_us = now;
	return true;
}

static bool
set_rate(struct engine *e, unsigned rate)
{
	if (rate == e->out_rate)
		return true;

	struct resampler *fresh = resampler_new(rate, LINE_RATE);

	if (fresh == NULL)
	{
		if (!e->odd_rate_logged)
			log_warning("a voice engine sends audio at %u Hz, which is not understood", rate);
		e->odd_rate_logged = true;
		return false;
	}
	resampler_free(e->out);
	e->out = fresh;
	e->out_rate = rate;
	return true;
}

/* One piece of s16le at the engine's rate becomes mu-law at the line's. */
static void
play(struct engine *e, const int16_t *pcm, size_t count)
{
	int16_t line[OUT_BYTES / 2 + 64];
	uint8_t ulaw[OUT_BYTES / 2 + 64];

	if (resampler_bound(e->out, count) > sizeof(ulaw))
		return;
	count = resampler_run(e->out, pcm, count, line);
	g711_encode(line, count, ulaw);
	if (count > 0 && e->host != NULL)
		e->host->audio(e->arg, ulaw, count);
}

static void
on_audio(struct engine *e, const struct engine_event *event)
{
	_Alignas(16) uint8_t bytes[OUT_BYTES];
	const char *text = event->audio_base64;
	size_t left = event->audio_base64_len;

	if (is_stale(e) || !set_rate(e, event->sample_rate))
		return;
	while (left > 0)
	{
		size_t take = left < BASE64_LENGTH(OUT_BYTES) ? left : BASE64_LENGTH(OUT_BYTES);
		ssize_t len = base64_decode(text, take, bytes, sizeof(bytes));

		if (len < 0)
			return;
		play(e, (const int16_t *) bytes, (size_t) len / 2);
		text += take;
		left -= take;
	}
}

static void
on_message(void *arg, struct ws *ws, const char *data, size_t len, bool binary)
{
	struct engine *e = arg;
	struct engine_event event = {0};
	struct va_error err = {""};

	(void) ws;
	if (e->host == NULL || binary)
		return;
	realtime_parse(data, len, &event, &err);
	switch (event.type)
	{
		case ENGINE_IGNORED: break;
		case ENGINE_READY:
			e->ready = true;
			e->host->ready(e->arg);
			break;
		case ENGINE_AUDIO: on_audio(e, &event); break;
		case ENGINE_ENDED:
			e->ended = true;
			e->host->lost(e->arg, ENGINE_FINISHED, "session ended");
			break;
		default:
			if (event.type == ENGINE_MALFORMED)
				event.text = err.text;
			if (event.type == ENGINE_TRANSCRIPT && event.role == ENGINE_ROLE_AGENT)
				e->muted = false;
			e->host->event(e->arg, &event);
	}
	engine_event_release(&event);
}

static void
on_close(void *arg, struct ws *ws, int code, int http_status, const char *reason)
{
	struct engine *e = arg;
	bool overload = http_status == 429 || http_status == 503;
	char why[VA_ERROR_SIZE];

	(void) ws;
	e->ws = NULL;
	if (e->host == NULL)
	{
		engine_free(e);
		return;
	}
	if (e->ended)
		return;
	/* A refused handshake is repeated once, unless it was refused for good. */
	if (!e->opened && !e->retried && (http_status == 0 || overload))
	{
		e->retried = true;
		if (connect_socket(e))
			return;
	}
	snprintf(why, sizeof(why), "the socket closed with %d, http status %d: %s", code, http_status,
			 reason != NULL ? reason : "");
	if (!e->ready)
		e->host->lost(e->arg, ENGINE_UNAVAILABLE, why);
	else
		e->host->lost(e->arg, code == 1000 ? ENGINE_FINISHED : ENGINE_LOST, why);
}

static const struct ws_handlers ws_handlers = {on_open, on_message, on_close};

/* The address of the dialect's socket: a base URL may be given with http(s), and with or without
 * the path. */
static char *
socket_url(const char *base)
{
	static const char path[] = "/v1/realtime";
	const char *rest = strstr(base, "://");
	bool secure = strncmp(base, "https", 5) == 0 || strncmp(base, "wss", 3) == 0;
	size_t len;
	size_t size;
	char *url;

	if (rest == NULL)
		return NULL;
	len = strlen(rest);
	while (len > 3 && rest[len - 1] == '/')
		len--;
	size = len + sizeof(path) + 8;
	url = malloc(size);
	if (url != NULL)
		snprintf(url, size, "%s%.*s%s", secure ? "wss" : "ws", (int) len, rest,
				 memchr(rest + 3, '/', len - 3) != NULL ? "" : path);
	return url;
}

static bool
prepare(struct engine *e, const struct voice_session *session, struct va_error *err)
{
	const char *base =
		session->base_url[0] != '\0' ? session->base_url : e->gateway->settings.realtime_base_url;
	struct json_object *create;
	int len;

	if (base[0] == '\0')
		return va_fail(err, "no address is set for the realtime engine");
	if (!engine_url_allowed(e->gateway, base, err))
		return false;
	len = snprintf(e->authorization, sizeof(e->authorization), "Authorization: Bearer %s",
				   session->api_key);
	if (len < 0 || (size_t) len >= sizeof(e->authorization))
		return va_fail(err, "the engine's key is too long");
	snprintf(e->tenant, sizeof(e->tenant), "X-Tenant-ID: %s", session->tenant_id);
	create = realtime_session_create(session);
	if (create == NULL)
		return va_fail(err, "the session cannot be expressed");
	e->create = strdup(json_object_to_json_string_ext(create, JSON_C_TO_STRING_PLAIN));
	json_object_put(create);
	e->url = socket_url(base);
	e->in = resampler_new(LINE_RATE, REALTIME_INPUT_RATE);
	e->out = resampler_new(REALTIME_OUTPUT_RATE, LINE_RATE);
	e->out_rate = REALTIME_OUTPUT_RATE;
	return (e->create != NULL && e->url != NULL && e->in != NULL && e->out != NULL) ||
		   va_fail(err, "out of memory");
}

static struct engine *
realtime_open(struct gateway *g, const struct voice_session *session,
			  const struct engine_host *host, void *arg, struct va_error *err)
{
	struct engine *e = calloc(1, sizeof(*e));

	if (e == NULL)
	{
		va_fail(err, "out of memory");
		return NULL;
	}
	e->gateway = g;
	e->host = host;
	e->arg = arg;
	if (prepare(e, session, err) && (connect_socket(e) || va_fail(err, "malformed address")))
		return e;
	engine_free(e);
	return NULL;
}

static bool
realtime_audio(struct engine *e, const uint8_t *ulaw, size_t count)
{
	int16_t line[PIECE];
	int16_t wide[PIECE * 2 + 64];
	char frame[WS_HEADROOM + REALTIME_AUDIO_BOUND(PIECE * 2 + 64)];
	bool sent = true;

	if (e->ws == NULL || !e->ready)
		return false;
	while (count > 0)
	{
		size_t now = count < PIECE ? count : PIECE;
		size_t len = 0;

		g711_decode(ulaw, now, line);
		if (resampler_bound(e->in, now) <= sizeof(wide) / sizeof(wide[0]))
			len = realtime_audio_input(frame + WS_HEADROOM, sizeof(frame) - WS_HEADROOM, wide,
									   resampler_run(e->in, line, now, wide));
		if (len == 0 || ws_send(e->ws, WS_TEXT, frame + WS_HEADROOM, len, true) == WS_DROPPED)
			sent = false;
		ulaw += now;
		count -= now;
	}
	return sent;
}

static void
send_control(struct engine *e, struct buf *out, bool good)
{
	if (good && e->ws != NULL && e->ready)
		ws_send_copy(e->ws, WS_TEXT, out->data, out->len, false);
}

static void
realtime_user(struct engine *e, const char *text)
{
	char data[4096];
	struct buf out;

	buf_init(&out, data, sizeof(data));
	send_control(e, &out, realtime_text_input(&out, text));
}

/* The dialect has no message for words that the agent shall speak; the model is asked to. */
static void
realtime_say(struct engine *e, const char *text)
{
	char request[2048];

	snprintf(request, sizeof(request), "Say to the caller now: %s", text);
	realtime_user(e, request);
}

static void
realtime_interrupt_speech(struct engine *e)
{
	char data[256];
	struct buf out;

	e->muted = true;
	e->muted_audio_us = loop_now_us();
	resampler_reset(e->out);
	buf_init(&out, data, sizeof(data));
	send_control(e, &out, realtime_interrupt(&out, "barge_in"));
}

static void
realtime_result(struct engine *e, const struct engine_tool_result *result)
{
	struct buf out;
	char *data = malloc(MESSAGE_SIZE);

	if (data == NULL)
		return;
	buf_init(&out, data, MESSAGE_SIZE);
	if (!realtime_tool_result(&out, result->invocation_id, result->name, result->result_json,
							  result->error))
	{
		buf_init(&out, data, MESSAGE_SIZE);
		realtime_tool_result(&out, result->invocation_id, result->name, NULL,
							 "the result was too long to be sent");
	}
	send_control(e, &out, !out.overflow);
	free(data);
}

static void
realtime_close(struct engine *e, bool hang_up)
{
	(void) hang_up;
	e->host = NULL;
	if (e->ws == NULL)
		engine_free(e);
	else
		ws_close(e->ws, 1000, "call over");
}

const struct engine_ops engine_realtime = {
	.name = "realtime",
	.interrupts = false,
	.cuts = false,
	.open = realtime_open,
	.audio = realtime_audio,
	.user_text = realtime_user,
	.say = realtime_say,
	.interrupt = realtime_interrupt_speech,
	.tool_result = realtime_result,
	.close = realtime_close,
};
