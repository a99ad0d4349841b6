/*
 * twilio_callbacks.c: see twilio_api.h.
 *
 * Source: twilio.com/docs/usage/webhooks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/json_text.h"
#include "sandbox/twilio_api.h"

#define MAX_REPLY (64 * 1024)
#define RETRY_PAUSE_MS 200

struct callback
{
	uv_timer_t timer; /* first: freeing it frees all */
	struct twilio_api *api;
	char url[CALLER_URL];
	char signature[64], token[96];
	struct webhook_overrides overrides;
	unsigned attempts;
	char *body;
};

static void send_callback(struct callback *cb);

static void
on_retry(uv_timer_t *timer)
{
	send_callback(timer->data);
}

static void
on_answer(void *arg, const struct http_reply *reply)
{
	struct callback *cb = arg;
	bool again = reply->status == 0
					 ? (reply->sent ? cb->overrides.on_read : cb->overrides.on_connect)
				 : reply->status >= 500 ? cb->overrides.on_5xx
										: false;
	struct json_object *line;

	if (again && cb->attempts <= cb->overrides.retries && !cb->api->closing)
	{
		uv_timer_start(&cb->timer, on_retry, RETRY_PAUSE_MS, 0);
		return;
	}
	line = ledger_line(cb->api->host->ledger, "twilio", "callback");
	json_put_text(line, "url", cb->url);
	json_put_int(line, "status", reply->status);
	ledger_write(cb->api->host->ledger, line);
	cb->api->under_way--;
	free(cb->body);
	uv_close((uv_handle_t *) &cb->timer, (uv_close_cb) free);
}

static void
send_callback(struct callback *cb)
{
	const char *headers[] = {cb->signature, cb->token,
							 "Content-Type: application/x-www-form-urlencoded; charset=UTF-8",
							 "User-Agent: TwilioProxy/1.1", NULL};
	struct http_options options = {.method = "POST",
								   .url = cb->url,
								   .headers = headers,
								   .body = cb->body,
								   .body_len = strlen(cb->body),
								   .connect_timeout_ms = cb->overrides.connect_ms,
								   .timeout_ms = cb->overrides.total_ms,
								   .max_reply = MAX_REPLY};

	cb->attempts++;
	if (!http_client_send(cb->api->host->http, &options, on_answer, cb))
	{
		struct http_reply none = {.error = "malformed URL", .body = ""};

		cb->attempts = cb->overrides.retries + 1;
		on_answer(cb, &none);
	}
}

void
twilio_post(struct twilio_api *api, const char *url, struct webhook_form *form)
{
	struct callback *cb;
	char signature[WEBHOOK_SIGNATURE_SIZE], uuid[37];

	if (url[0] == '\0' || api->closing || strlen(url) >= CALLER_URL)
	{
		webhook_form_free(form);
		return;
	}
	cb = calloc(1, sizeof(*cb));
	if (cb == NULL)
		abort();
	cb->api = api;
	snprintf(cb->url, sizeof(cb->url), "%s", url);
	webhook_split_fragment(cb->url, &cb->overrides);
	webhook_sign(api->token, cb->url, form, signature);
	codec_random_uuid(uuid);
	snprintf(cb->signature, sizeof(cb->signature), "X-Twilio-Signature: %s", signature);
	snprintf(cb->token, sizeof(cb->token), "I-Twilio-Idempotency-Token: %s", uuid);
	cb->body = webhook_encode(form);
	webhook_form_free(form);
	uv_timer_init(loop_uv(api->host->loop), &cb->timer);
	cb->timer.data = cb;
	api->under_way++;
	send_callback(cb);
}
