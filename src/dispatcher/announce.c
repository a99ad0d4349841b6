/*
 * announce.c: see announce.h.
 *
 * The three differ in their headers and in what a reply means; all are repeatable, for the receiver
 * recognises what it had: by webhook-id, by the ids of the spans, and a phone that rings twice does no
 * harm. Sources: the Standard Webhooks specification; ntfy's "Publishing" page; OpenTelemetry's
 * "OTLP Specification".
 */
#include "dispatcher/announce.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "core/webhook_signature.h"
#include "net/loop.h"

#define MAX_HEADERS 24
#define HEADER_SIZE 1024
#define MAX_REPLY (64 * 1024)

/* The headers of one request, in memory of their own. */
struct headers
{
	char lines[MAX_HEADERS][HEADER_SIZE];
	const char *list[MAX_HEADERS + 1];
	size_t count;
};

/* False when there are too many, one is too long, or holds what would begin another. */
static bool __attribute__((format(printf, 2, 3)))
add_header(struct headers *h, const char *format, ...)
{
	va_list args;
	int len;

	if (h->count == MAX_HEADERS)
		return false;
	va_start(args, format);
	len = vsnprintf(h->lines[h->count], HEADER_SIZE, format, args);
	va_end(args);
	if (len < 0 || len >= HEADER_SIZE || strpbrk(h->lines[h->count], "\r\n") != NULL)
		return false;
	h->list[h->count] = h->lines[h->count];
	h->list[++h->count] = NULL;
	return true;
}

static void
done(struct job *job, const struct http_reply *reply, struct json_object *result)
{
	struct job_verdict verdict = {
		.outcome = JOB_DONE, .http_status = reply->status, .retry_after_s = -1, .result = result};

	job_finish(job, &verdict);
}

static void
judge(struct job *job, const struct http_reply *reply, const char *hint)
{
	struct job_verdict verdict = {.retry_after_s = -1};

	job_judge(job, reply, &verdict);
	if (hint != NULL)
		verdict.hint = hint;
	job_finish(job, &verdict);
}

static void
post(struct job *job, const char *body, struct headers *h, job_next next)
{
	struct http_options options = {.method = "POST",
								   .url = json_text(job_request(job), "url", ""),
								   .headers = h->list,
								   .body = body,
								   .body_len = strlen(body),
								   .max_reply = MAX_REPLY};

	job_http(job, &options, next);
}

static const char *
body_of(struct job *job)
{
	return json_object_to_json_string_ext(json_member(job_request(job), "body"),
										  JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

/* ---- a tenant's own end point ---- */

static void
hook_answered(struct job *job, const struct http_reply *reply)
{
	if (reply->status >= 200 && reply->status < 300)
		done(job, reply, NULL);
	else if (reply->status == 410)
		judge(job, reply,
			  "The end point says that it is gone for good: remove or change its row in "
			  "event_hooks.");
	else if (reply->status >= 300 && reply->status < 400)
		judge(job, reply, "Redirects are not followed: put the final URL into event_hooks.");
	else
		judge(job, reply, NULL);
}

static void
hook_perform(struct job *job)
{
	struct json_object *request = job_request(job);
	const char *id = json_text(request, "id", "");
	const char *body = body_of(job);
	int64_t now = loop_wall_ms() / 1000;
	char signature[WEBHOOK_SIGNATURE_SIZE];
	struct headers h = {.count = 0};
	struct va_error err = {""};

	if (!webhook_signature(json_text(request, "secret", ""), id, now, body, strlen(body), signature,
						   &err))
		job_fail(job, "bad_secret", "Set the hook's secret anew with va_secret_set.", "%s",
				 err.text);
	else if (!add_header(&h, "Content-Type: application/json") ||
			 !add_header(&h, "webhook-id: %s", id) ||
			 !add_header(&h, "webhook-timestamp: %lld", (long long) now) ||
			 !add_header(&h, "webhook-signature: %s", signature))
		job_fail(job, "bad_request", NULL, "the event cannot be put into headers");
	else
		post(job, body, &h, hook_answered);
}

const struct provider hook_provider = {"hook", hook_perform, NULL, NULL};

/* ---- phones ---- */

static void
push_answered(struct job *job, const struct http_reply *reply)
{
	struct json_object *answer;

	if (reply->status == 401 || reply->status == 403)
		judge(job, reply, "The topic needs a token: set the secret ntfy_token.");
	else if (reply->status != 200)
		judge(job, reply, NULL);
	else
	{
		struct json_object *result = json_object_new_object();

		answer = json_parse(reply->body, reply->body_len, NULL);
		json_object_object_add(result, "id", json_object_new_string(json_text(answer, "id", "")));
		json_object_put(answer);
		done(job, reply, result);
	}
}

static void
push_perform(struct job *job)
{
	const char *token = json_text(job_request(job), "token", NULL);
	struct headers h = {.count = 0};

	if (!add_header(&h, "Content-Type: application/json") ||
		(token != NULL && !add_header(&h, "Authorization: Bearer %s", token)))
		job_fail(job, "bad_secret", "Set the secret ntfy_token anew.", "the token is no header");
	else
		post(job, body_of(job), &h, push_answered);
}

const struct provider push_provider = {"push", push_perform, NULL, NULL};

/* ---- traces ---- */

/* A collector may take a part: what it refused it would refuse again. */
static void
otlp_answered(struct job *job, const struct http_reply *reply)
{
	struct json_object *answer;
	struct json_object *partial;
	struct json_object *result = NULL;

	if (reply->status < 200 || reply->status >= 300)
	{
		judge(job, reply, NULL);
		return;
	}
	answer = json_parse(reply->body, reply->body_len, NULL);
	partial = json_member(answer, "partialSuccess");
	if (partial != NULL)
	{
		result = json_object_new_object();
		json_object_object_add(result, "partialSuccess", json_object_get(partial));
	}
	json_object_put(answer);
	done(job, reply, result);
}

/* "name: value" lines of the secret otlp_headers. */
static bool
add_secret_headers(struct headers *h, const char *lines)
{
	while (lines != NULL && *lines != '\0')
	{
		size_t len = strcspn(lines, "\n");

		if (len > 0 &&
			(memchr(lines, ':', len) == NULL || !add_header(h, "%.*s", (int) len, lines)))
			return false;
		lines += len + (lines[len] == '\n');
	}
	return true;
}

static void
otlp_perform(struct job *job)
{
	struct json_object *request = job_request(job);
	struct json_object *extra = json_member(request, "headers");
	struct headers h = {.count = 0};
	bool fit = add_header(&h, "Content-Type: application/json");

	if (json_object_is_type(extra, json_type_object))
	{
		json_object_object_foreach(extra, name, value)
		{
			fit = fit && add_header(&h, "%s: %s", name, json_object_get_string(value));
		}
	}
	fit = fit && add_secret_headers(&h, json_text(request, "secret_headers", NULL));
	if (!fit)
		job_fail(job, "bad_headers",
				 "Write the secret otlp_headers as \"name: value\" lines, and the setting's "
				 "headers as texts.",
				 "the headers cannot be sent");
	else
		post(job, body_of(job), &h, otlp_answered);
}

const struct provider otlp_provider = {"otlp", otlp_perform, NULL, NULL};
