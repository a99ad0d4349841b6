/*
 * caller_webhooks.c: Twilio's requests to the product: signed, retried as their URL asks, with a
 * fallback when a document cannot be had.
 *
 * Source: twilio.com/docs/usage/webhooks, twilio.com/docs/voice/twiml ("Twilio's request to your
 * application"), twilio.com/docs/voice/api/call-resource ("StatusCallback").
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sandbox/caller.h"
#include "sandbox/json_text.h"

#define RETRY_PAUSE_MS 400
#define MAX_REPLY (128 * 1024)

/* One delivery, over all its attempts. */
struct delivery
{
	uv_timer_t timer; /* first: freeing it frees all */
	struct caller *call;
	char url[CALLER_URL]; /* without fragment, as the server named it */
	char token[37];
	char *body;
	char signature[WEBHOOK_SIGNATURE_SIZE];
	struct webhook_overrides overrides;
	unsigned attempts;
	uint64_t began_us;
	caller_answered done;
};

void
caller_form(struct caller *c, struct webhook_form *form)
{
	static const char *const places[] = {"From", "To", "Caller", "Called"};
	const char *from = c->from, *to = c->cmd->to;
	char name[24];

	memset(form, 0, sizeof(*form));
	webhook_add(form, "CallSid", c->sid);
	webhook_add(form, "AccountSid", c->cmd->account_sid);
	webhook_add(form, "From", from);
	webhook_add(form, "To", to);
	webhook_add(form, "Caller", from);
	webhook_add(form, "Called", to);
	webhook_add(form, "CallStatus", c->status);
	webhook_add(form, "ApiVersion", "2010-04-01");
	webhook_add(form, "Direction", c->cmd->answer_url ? "outbound-api" : "inbound");
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
	{
		bool caller = i == 0 || i == 2;

		snprintf(name, sizeof(name), "%sCity", places[i]);
		webhook_add(form, name, caller ? "AUSTIN" : "");
		snprintf(name, sizeof(name), "%sState", places[i]);
		webhook_add(form, name, caller ? "TX" : "");
		snprintf(name, sizeof(name), "%sZip", places[i]);
		webhook_add(form, name, caller ? "78701" : "");
		snprintf(name, sizeof(name), "%sCountry", places[i]);
		webhook_add(form, name, "US");
	}
	if (!c->cmd->answer_url)
		webhook_add(form, "StirVerstat", "TN-Validation-Passed-A");
}

/* What follows prefix in url, or NULL: the same scheme, host and port. */
static const char *
behind(const char *url, const char *prefix)
{
	size_t len = strlen(prefix);

	while (len > 0 && prefix[len - 1] == '/')
		len--;
	if (len == 0 || strncmp(url, prefix, len) != 0)
		return NULL;
	return url[len] == '\0' || strchr("/?#", url[len]) ? url + len : NULL;
}

/* ws:// for http://, wss:// for https://. */
static void
as_web_socket(const char *url, char *out, size_t size)
{
	snprintf(out, size, "ws%s", strncmp(url, "http", 4) == 0 ? url + 4 : url);
}

void
caller_real_url(const struct caller *c, const char *url, char *out, size_t size)
{
	const char *rest = behind(url, c->cmd->public_url);
	char public_ws[CALLER_URL + 4], real_ws[CALLER_URL + 4];

	if (rest)
	{
		snprintf(out, size, "%s%s", c->cmd->url, rest);
		return;
	}
	as_web_socket(c->cmd->public_url, public_ws, sizeof(public_ws));
	as_web_socket(c->cmd->url, real_ws, sizeof(real_ws));
	rest = strncmp(url, "ws", 2) == 0 ? behind(url, public_ws) : NULL;
	if (rest)
		snprintf(out, size, "%s%s", real_ws, rest);
	else
		snprintf(out, size, "%s", url);
}

void
caller_signed_url(const struct caller *c, const char *url, char *out, size_t size)
{
	const char *host = strstr(url, "://");
	size_t origin, port;

	(void) c;
	snprintf(out, size, "%s", url);
	if (!host || (strncmp(url, "https", 5) != 0 && strncmp(url, "wss", 3) != 0))
		return;
	/* Voice over TLS: the port is dropped before signing. */
	origin = (size_t) (host - url) + 3;
	port = origin + strcspn(url + origin, ":/?");
	if (url[port] == ':')
		snprintf(out, size, "%.*s%s", (int) port, url, url + port + strcspn(url + port, "/?"));
}

static void attempt(struct delivery *d);

static void
on_retry(uv_timer_t *timer)
{
	attempt(timer->data);
}

static void
forget(struct delivery *d)
{
	free(d->body);
	uv_close((uv_handle_t *) &d->timer, (uv_close_cb) free);
}

/* The path alone: enough for a ledger, and free of the tokens that a URL may carry. */
static const char *
path_of(const char *url)
{
	const char *host = strstr(url, "://");
	const char *slash = host ? strchr(host + 3, '/') : NULL;

	return slash ? slash : "/";
}

static void
note_answer(struct delivery *d, const struct http_reply *reply)
{
	struct json_object *line = caller_line(d->call, "webhook");

	json_put_text(line, "path", path_of(d->url));
	json_put_int(line, "status", reply->status);
	json_put_int(line, "took_ms", (long long) ((loop_now_us() - d->began_us) / 1000));
	json_put_int(line, "attempts", d->attempts);
	json_put_int(line, "body_bytes", (long long) reply->body_len);
	if (reply->status == 0)
		json_put_text(line, "error", reply->error);
	caller_log(d->call, line);
}

static void
on_answer(void *arg, const struct http_reply *reply)
{
	struct delivery *d = arg;
	struct caller *c = d->call;
	bool again = reply->status == 0 ? (reply->sent ? d->overrides.on_read : d->overrides.on_connect)
				 : reply->status >= 500 ? d->overrides.on_5xx
				 : reply->status >= 400 ? d->overrides.on_4xx
										: false;

	if (again && d->attempts <= d->overrides.retries)
	{
		uv_timer_start(&d->timer, on_retry, RETRY_PAUSE_MS, 0);
		return;
	}
	note_answer(d, reply);
	if (reply->status < 200 || reply->status > 299)
		c->result.webhook_failures++;
	if (d->done)
		d->done(c, reply->status, reply->body, reply->body_len);
	c->pending--;
	forget(d);
}

static void
attempt(struct delivery *d)
{
	struct caller *c = d->call;
	char real[CALLER_URL], signature[64], idempotency[96];
	const char *headers[5] = {signature, idempotency,
							  "Content-Type: application/x-www-form-urlencoded; charset=UTF-8",
							  "User-Agent: TwilioProxy/1.1", NULL};
	struct http_options o = {.method = "POST",
							 .headers = headers,
							 .body = d->body,
							 .body_len = strlen(d->body),
							 .max_reply = MAX_REPLY};

	snprintf(signature, sizeof(signature), "X-Twilio-Signature: %s", d->signature);
	snprintf(idempotency, sizeof(idempotency), "I-Twilio-Idempotency-Token: %s", d->token);
	caller_real_url(c, d->url, real, sizeof(real));
	o.url = real;
	o.connect_timeout_ms = d->overrides.connect_ms;
	o.timeout_ms = d->overrides.total_ms;
	d->attempts++;
	if (!http_client_send(c->cmd->http, &o, on_answer, d))
	{
		struct http_reply none = {.error = "malformed URL", .body = ""};

		d->attempts = d->overrides.retries + 1;
		on_answer(d, &none);
	}
}

void
caller_post(struct caller *c, const char *url, struct webhook_form *form, caller_answered done)
{
	struct delivery *d = calloc(1, sizeof(*d));
	char signed_url[CALLER_URL];

	if (!d)
		abort();
	d->call = c;
	d->done = done;
	d->began_us = loop_now_us();
	snprintf(d->url, sizeof(d->url), "%s", url);
	if (!webhook_split_fragment(d->url, &d->overrides))
		caller_violation(c, "a URL fragment with unknown connection overrides");
	caller_signed_url(c, d->url, signed_url, sizeof(signed_url));
	webhook_sign(c->cmd->auth_token, signed_url, form, d->signature);
	codec_random_uuid(d->token);
	d->body = webhook_encode(form);
	webhook_form_free(form);
	uv_timer_init(loop_uv(c->cmd->loop), &d->timer);
	d->timer.data = d;
	c->pending++;
	c->result.webhooks++;
	attempt(d);
}

static void
try_fallback(struct caller *c, const char *code)
{
	struct webhook_form form;
	char url[CALLER_URL];

	if (c->on_fallback)
	{
		caller_hang_up(c, "error", "an application error has occurred: no usable TwiML");
		return;
	}
	c->on_fallback = true;
	caller_form(c, &form);
	webhook_add(&form, "ErrorCode", code);
	webhook_add(&form, "ErrorUrl", c->document_url);
	if (c->cmd->answer_url && !c->cmd->fallback_url)
	{
		webhook_form_free(&form);
		caller_hang_up(c, "error", "an application error has occurred: no usable TwiML");
		return;
	}
	if (c->cmd->fallback_url)
		snprintf(url, sizeof(url), "%s", c->cmd->fallback_url);
	else
		snprintf(url, sizeof(url), "%.1900s/webhook/voice/fallback", c->cmd->public_url);
	caller_fetch(c, url, &form);
}

static void
on_document(struct caller *c, int status, const char *body, size_t len)
{
	struct twiml_node *probe;
	char error[200];

	if (c->over)
		return;
	if (status == 403 || status == 401)
		caller_violation(c, "the request was refused: is the auth token the tenant's?");
	if (status < 200 || status > 299)
	{
		try_fallback(c, status == 0 ? "11205" : "11200");
		return;
	}
	probe = twiml_read(body, len, error, sizeof(error));
	if (!probe)
	{
		caller_violation(c, error);
		try_fallback(c, "12100");
		return;
	}
	twiml_free(probe);
	caller_execute(c, body, len, c->document_url);
}

void
caller_fetch(struct caller *c, const char *url, struct webhook_form *form)
{
	snprintf(c->document_url, sizeof(c->document_url), "%s", url);
	caller_post(c, url, form, on_document);
}

static void
add_timestamp(struct webhook_form *form)
{
	time_t now = time(NULL);
	struct tm tm;
	char text[64];

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S +0000", &tm);
	webhook_add(form, "Timestamp", text);
}

/* Has the product asked for news of this kind? */
static bool
is_wanted(const struct caller *c, const char *status, bool over)
{
	enum caller_event event = strcmp(status, "initiated") == 0	   ? CALLER_INITIATED
							  : strcmp(status, "ringing") == 0	   ? CALLER_RINGING
							  : strcmp(status, "in-progress") == 0 ? CALLER_ANSWERED
																   : CALLER_COMPLETED;

	if (c->cmd->answer_url)
		return c->cmd->status_url && (c->cmd->status_events & event);
	return !c->cmd->no_status && (over || c->cmd->status_callbacks);
}

void
caller_status_callback(struct caller *c, const char *status)
{
	struct webhook_form form;
	char url[CALLER_URL];
	bool completed = strcmp(status, "completed") == 0;

	c->status = status;
	if (!is_wanted(c, status, completed))
		return;
	caller_form(c, &form);
	webhook_add(&form, "CallbackSource", "call-progress-events");
	webhook_add_number(&form, "SequenceNumber", c->status_sequence++);
	add_timestamp(&form);
	if (completed)
	{
		long long s = (long long) (caller_now_ms(c) - c->answered_ms + 999) / 1000;

		webhook_add_number(&form, "CallDuration", s);
		webhook_add_number(&form, "Duration", (s + 59) / 60);
		webhook_add(&form, "SipResponseCode", "200");
	}
	if (c->cmd->answer_url)
		snprintf(url, sizeof(url), "%s", c->cmd->status_url);
	else
		snprintf(url, sizeof(url), "%.1900s/webhook/voice/status", c->cmd->public_url);
	caller_post(c, url, &form, NULL);
}
