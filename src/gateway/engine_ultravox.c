/*
 * engine_ultravox.c: a session at Ultravox: POST /api/calls, then the WebSocket it names.
 *
 * Audio is raw s16le at 8 kHz both ways, so nothing is resampled; a frame may end within a sample,
 * and the odd byte is carried to the next one. The create request is repeated once, and only where
 * that is safe and quick: nothing was sent, or Ultravox said 429 or 503 and to come back within two
 * seconds. A POST that may have reached the server is never repeated: there is no idempotency key.
 *
 * Source: docs.ultravox.ai, "Calls: create", "WebSockets", "Data messages", "Concurrency".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/g711.h"
#include "core/ultravox.h"
#include "gateway/engine.h"
#include "gateway/gateway.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "net/ws.h"

#define CONNECT_TIMEOUT_MS 3000
#define CREATE_TIMEOUT_MS 8000
#define JOIN_TIMEOUT_MS 5000
#define MAX_REPLY (256 * 1024)
#define RETRY_MAX_S 2.0
#define SEND_QUEUE (64 * 1024) /* four seconds of audio */
#define PIECE 1024 /* samples turned at once */
#define MESSAGE_SIZE (64 * 1024)
#define KEEPALIVE_S 20

struct engine
{
	struct gateway *gateway;
	const struct engine_host *host; /* NULL once closed */
	void *arg;
	struct http_call *create;
	struct ws *ws;
	uv_timer_t *retry; /* frees itself, hence apart */
	struct text_body *body;
	char *url;
	char *key_header;
	bool retried;
	bool ready;
	bool odd; /* a lone byte is carried */
	char carried;
};

struct text_body
{
	size_t len;
	char data[];
};

static void create_send(struct engine *e);

/* Frees what is left once neither a request, a timer nor a socket refers to it. */
static void
engine_free(struct engine *e)
{
	free(e->body);
	free(e->url);
	if (e->key_header != NULL)
		explicit_bzero(e->key_header, strlen(e->key_header));
	free(e->key_header);
	free(e);
}

static void
lose(struct engine *e, enum engine_loss loss, const char *why)
{
	if (e->host != NULL)
		e->host->lost(e->arg, loss, why);
}

static void
on_open(void *arg, struct ws *ws)
{
	struct engine *e = arg;

	ws_keepalive(ws, KEEPALIVE_S);
	free(e->body);
	e->body = NULL;
}

/* An open socket is no conversation yet: the call has started with the first thing it says, be it
 * call_started or, since their order is not promised, audio. */
static void
be_ready(struct engine *e)
{
	if (e->ready || e->host == NULL)
		return;
	e->ready = true;
	e->host->ready(e->arg);
}

static void
on_audio(struct engine *e, const char *data, size_t len)
{
	int16_t pcm[PIECE];
	uint8_t ulaw[PIECE];

	while (len + (e->odd ? 1 : 0) >= 2)
	{
		char *at = (char *) pcm;
		size_t room = sizeof(pcm);

		if (e->odd)
		{
			*at++ = e->carried;
			room--;
			e->odd = false;
		}
		if (room > len)
			room = len;
		if (((size_t) (at - (char *) pcm) + room) % 2 != 0)
			room--;
		memcpy(at, data, room);
		data += room;
		len -= room;

		size_t count = ((size_t) (at - (char *) pcm) + room) / 2;

		g711_encode(pcm, count, ulaw);
		if (e->host != NULL)
			e->host->audio(e->arg, ulaw, count);
	}
	if (len == 1)
	{
		e->odd = true;
		e->carried = *data;
	}
}

static void
on_message(void *arg, struct ws *ws, const char *data, size_t len, bool binary)
{
	struct engine *e = arg;
	struct engine_event event = {0};
	struct va_error err = {""};

	(void) ws;
	if (e->host == NULL)
		return;
	if (binary)
	{
		be_ready(e);
		on_audio(e, data, len);
		return;
	}
	ultravox_parse(data, len, &event, &err);
	if (event.type != ENGINE_MALFORMED && event.type != ENGINE_IGNORED)
		be_ready(e);
	if (event.type == ENGINE_MALFORMED)
		event.text = err.text;
	if (event.type != ENGINE_IGNORED && event.type != ENGINE_READY && e->host != NULL)
		e->host->event(e->arg, &event);
	engine_event_release(&event);
}

static void
on_close(void *arg, struct ws *ws, int code, int http_status, const char *reason)
{
	struct engine *e = arg;
	char why[VA_ERROR_SIZE];

	(void) ws;
	e->ws = NULL;
	if (e->host == NULL)
	{
		engine_free(e);
		return;
	}
	snprintf(why, sizeof(why), "the socket closed with %d, http status %d: %s", code, http_status,
			 reason != NULL ? reason : "");
	if (!e->ready)
		lose(e, ENGINE_UNAVAILABLE, why);
	else
		lose(e, code == 1000 ? ENGINE_FINISHED : ENGINE_LOST, why);
}

static const struct ws_handlers ws_handlers = {on_open, on_message, on_close};

static bool
join(struct engine *e, const struct http_reply *reply, struct va_error *err)
{
	static const struct ws_limits limits = {ULTRAVOX_MAX_MESSAGE, SEND_QUEUE};
	char join_url[2048];
	char call_id[64];

	if (!ultravox_create_reply(reply->body, reply->body_len, join_url, sizeof(join_url), call_id,
							   sizeof(call_id), err) ||
		!engine_url_allowed(e->gateway, join_url, err))
		return false;
	e->ws = ws_connect(e->gateway->loop, join_url, NULL, JOIN_TIMEOUT_MS, limits, &ws_handlers, e);
	explicit_bzero(join_url, sizeof(join_url));
	return e->ws != NULL || va_fail(err, "the join URL is malformed");
}

static void
retry_closed(uv_handle_t *handle)
{
	free(handle);
}

static void
retry_now(uv_timer_t *timer)
{
	struct engine *e = timer->data;

	e->retry = NULL;
	uv_close((uv_handle_t *) timer, retry_closed);
	create_send(e);
}

static bool
retry_later(struct engine *e, double seconds)
{
	uv_timer_t *timer = malloc(sizeof(*timer));

	if (timer == NULL)
		return false;
	e->retried = true;
	e->retry = timer;
	uv_timer_init(loop_uv(e->gateway->loop), timer);
	timer->data = e;
	uv_timer_start(timer, retry_now, (uint64_t) (seconds * 1000), 0);
	return true;
}

static void
on_created(void *arg, const struct http_reply *reply)
{
	struct engine *e = arg;
	struct va_error err = {""};
	bool overload = reply->status == 429 || reply->status == 503;

	e->create = NULL;
	if (reply->status == 201 || reply->status == 200)
	{
		if (!join(e, reply, &err))
			lose(e, ENGINE_UNAVAILABLE, err.text);
		return;
	}
	if (!e->retried && overload && reply->retry_after_s <= RETRY_MAX_S &&
		retry_later(e, reply->retry_after_s > 0 ? reply->retry_after_s : 0.2))
		return;
	if (!e->retried && reply->status == 0 && !reply->sent && retry_later(e, 0.1))
		return;
	if (reply->status == 0)
		va_fail(&err, "%s", reply->error != NULL ? reply->error : "no answer");
	else
	{
		struct va_error text = {""};

		ultravox_error_text(reply->body, reply->body_len, &text);
		va_fail(&err, "http status %d: %.120s", reply->status, text.text);
	}
	lose(e, ENGINE_UNAVAILABLE, err.text);
}

static void
create_send(struct engine *e)
{
	const char *headers[] = {e->key_header, "Content-Type: application/json", NULL};
	struct http_options options = {
		.method = "POST",
		.url = e->url,
		.headers = headers,
		.body = e->body->data,
		.body_len = e->body->len,
		.connect_timeout_ms = CONNECT_TIMEOUT_MS,
		.timeout_ms = CREATE_TIMEOUT_MS,
		.max_reply = MAX_REPLY,
	};

	e->create = http_client_send(e->gateway->http, &options, on_created, e);
	if (e->create == NULL)
		lose(e, ENGINE_UNAVAILABLE, "the engine's address or key is malformed");
}

static char *
format_alloc(const char *before, const char *middle, const char *after)
{
	size_t size = strlen(before) + strlen(middle) + strlen(after) + 1;
	char *out = malloc(size);

	if (out != NULL)
		snprintf(out, size, "%s%s%s", before, middle, after);
	return out;
}

static bool
prepare_request(struct engine *e, const struct voice_session *session, struct va_error *err)
{
	const char *base =
		session->base_url[0] != '\0' ? session->base_url : e->gateway->settings.ultravox_base_url;
	struct json_object *body;

	if (!engine_url_allowed(e->gateway, base, err))
		return false;
	body = ultravox_create_body(session, err);
	if (body == NULL)
		return false;

	size_t len;
	const char *text = json_object_to_json_string_length(body, JSON_C_TO_STRING_PLAIN, &len);

	e->body = malloc(sizeof(*e->body) + len + 1);
	if (e->body != NULL)
	{
		e->body->len = len;
		memcpy(e->body->data, text, len + 1);
	}
	json_object_put(body);
	e->url = format_alloc(base, base[strlen(base) - 1] == '/' ? "" : "/", "api/calls");
	e->key_header = format_alloc("X-API-Key: ", session->api_key, "");
	return (e->body != NULL && e->url != NULL && e->key_header != NULL) ||
		   va_fail(err, "out of memory");
}

static struct engine *
ultravox_open(struct gateway *g, const struct voice_session *session,
			  const struct engine_host *host, void *arg, struct va_error *err)
{
	struct engine *e = calloc(1, sizeof(*e));

	if (e == NULL)
	{
		va_fail(err, "out of memory");
		return NULL;
	}
	e->gateway = g;
	if (!prepare_request(e, session, err))
	{
		engine_free(e);
		return NULL;
	}
	/* A request that cannot be sent is reported by the return value, not by an upcall. */
	create_send(e);
	if (e->create == NULL)
	{
		va_fail(err, "the engine's address or key is malformed");
		engine_free(e);
		return NULL;
	}
	e->host = host;
	e->arg = arg;
	return e;
}

static bool
ultravox_audio(struct engine *e, const uint8_t *ulaw, size_t count)
{
	_Alignas(16) char frame[WS_HEADROOM + PIECE * 2];
	bool sent = true;

	while (e->ws != NULL && count > 0)
	{
		size_t now = count < PIECE ? count : PIECE;

		g711_decode(ulaw, now, (int16_t *) (frame + WS_HEADROOM));
		if (ws_send(e->ws, WS_BINARY, frame + WS_HEADROOM, now * 2, true) == WS_DROPPED)
			sent = false;
		ulaw += now;
		count -= now;
	}
	return sent && e->ws != NULL;
}

enum message
{
	MESSAGE_USER_TEXT,
	MESSAGE_SAY,
	MESSAGE_HANG_UP,
	MESSAGE_TOOL_RESULT
};

static bool
message_write(struct buf *out, enum message kind, const char *text,
			  const struct engine_tool_result *result)
{
	switch (kind)
	{
		case MESSAGE_USER_TEXT: return ultravox_user_text(out, text, true);
		case MESSAGE_SAY: return ultravox_agent_text(out, text);
		case MESSAGE_HANG_UP: return ultravox_hang_up(out, text);
		case MESSAGE_TOOL_RESULT:
			return ultravox_tool_result(out, result->invocation_id, result->result_json,
										result->error, result->unknown);
	}
	return false;
}

/* Control messages are rare; their buffer lives on the heap for the moment. */
static bool
message_send(struct engine *e, enum message kind, const char *text,
			 const struct engine_tool_result *result)
{
	struct buf out;
	char *frame;
	bool good;

	if (e->ws == NULL || !e->ready)
		return false;
	frame = malloc(WS_HEADROOM + MESSAGE_SIZE);
	if (frame == NULL)
		return false;
	buf_init(&out, frame + WS_HEADROOM, MESSAGE_SIZE);
	good = message_write(&out, kind, text, result);
	if (good)
		ws_send(e->ws, WS_TEXT, out.data, out.len, false);
	free(frame);
	return good;
}

static void
ultravox_user(struct engine *e, const char *text)
{
	message_send(e, MESSAGE_USER_TEXT, text, NULL);
}

static void
ultravox_say(struct engine *e, const char *text)
{
	message_send(e, MESSAGE_SAY, text, NULL);
}

/* Ultravox hears the caller itself and needs no word from us. */
static void
ultravox_interrupt(struct engine *e)
{
	(void) e;
}

static void
ultravox_result(struct engine *e, const struct engine_tool_result *result)
{
	struct engine_tool_result too_long = *result;

	if (message_send(e, MESSAGE_TOOL_RESULT, NULL, result))
		return;
	too_long.result_json = NULL;
	too_long.error = "the result was too long to be sent";
	message_send(e, MESSAGE_TOOL_RESULT, NULL, &too_long);
}

static void
ultravox_close(struct engine *e, bool hang_up)
{
	e->host = NULL;
	if (e->create != NULL)
		http_client_cancel(e->create);
	e->create = NULL;
	if (e->retry != NULL)
	{
		uv_timer_stop(e->retry);
		uv_close((uv_handle_t *) e->retry, retry_closed);
		e->retry = NULL;
	}
	if (e->ws == NULL)
	{
		engine_free(e);
		return;
	}
	if (hang_up)
		message_send(e, MESSAGE_HANG_UP, "", NULL);
	ws_close(e->ws, 1000, "call over");
}

const struct engine_ops engine_ultravox = {
	.name = "ultravox",
	.interrupts = true,
	.cuts = true,
	.open = ultravox_open,
	.audio = ultravox_audio,
	.user_text = ultravox_user,
	.say = ultravox_say,
	.interrupt = ultravox_interrupt,
	.tool_result = ultravox_result,
	.close = ultravox_close,
};
