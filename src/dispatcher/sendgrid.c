/*
 * sendgrid.c: sends a mail through SendGrid's v3 API.
 *
 * Request: {"base_url", "api_key", "message": see core/mail.h}. The result is {"message_id"}, what
 * SendGrid calls X-Message-Id. There is no key that makes a request safe to repeat and no list to
 * look one up in, so a request without an answer stays in doubt until an event about it comes: its
 * custom arguments name the attempt.
 */
#include "dispatcher/sendgrid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/sendgrid.h"
#include "net/loop.h"

#define URL_SIZE 1024
#define KEY_SIZE 512
#define TEXT_SIZE 512
#define PATIENCE_S 5 /* when the service says "too many" and not how long */
#define PATIENCE_MAX_S 60

static const struct
{
	int status;
	const char *code;
	const char *hint;
} hints[] = {
	{400, "bad_request", "SendGrid does not take the mail as it is: see its words."},
	{401, "unauthorized",
	 "The API key is wrong, revoked or expired: store a new one (va_secret_set, "
	 "sendgrid_api_key)."},
	{403, "forbidden",
	 "The API key lacks the scope mail.send, or the sender address is not verified at SendGrid."},
	{413, "too_large", "A mail with its attachments may have 30 MB."},
};

/* 429 says when its window begins again, in seconds since 1970. */
static double
patience(const struct http_reply *reply)
{
	const char *reset = http_reply_header(reply, "x-ratelimit-reset");
	double seconds;

	if (reply->retry_after_s >= 0)
		return reply->retry_after_s;
	if (reset == NULL)
		return PATIENCE_S;
	seconds = strtod(reset, NULL) - (double) loop_wall_ms() / 1000.0;
	return seconds < 1 ? 1 : seconds > PATIENCE_MAX_S ? PATIENCE_MAX_S : seconds;
}

static void
finish_bad(struct job *job, const struct http_reply *reply)
{
	struct job_verdict verdict;
	char text[TEXT_SIZE];

	job_judge(job, reply, &verdict);
	sendgrid_read_error(reply->body, reply->body_len, text, sizeof(text));
	if (text[0] != '\0')
		verdict.text = text;
	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
	{
		if (hints[i].status == reply->status)
		{
			verdict.code = hints[i].code;
			verdict.hint = hints[i].hint;
		}
	}
	if (reply->status == 429)
		verdict.retry_after_s = patience(reply);
	job_finish(job, &verdict);
}

static void
on_answer(struct job *job, const struct http_reply *reply)
{
	struct job_verdict verdict = {
		.outcome = JOB_DONE, .http_status = reply->status, .retry_after_s = -1};
	const char *id = http_reply_header(reply, "x-message-id");

	if (reply->status != 200 && reply->status != 202)
	{
		/* Any other success is not SendGrid's: something stands in between. */
		if (reply->status > 200 && reply->status < 300)
			verdict = (struct job_verdict){.outcome = JOB_UNKNOWN,
										   .http_status = reply->status,
										   .code = "garbage",
										   .text = "the answer is not SendGrid's",
										   .retry_after_s = -1};
		else
		{
			finish_bad(job, reply);
			return;
		}
	}
	else if (reply->status == 200 && reply->body_len > 0)
		/* 200 is the answer to a mail that is only to be checked, and has no body. */
		verdict = (struct job_verdict){.outcome = JOB_UNKNOWN,
									   .http_status = 200,
									   .code = "garbage",
									   .text = "the answer is not SendGrid's",
									   .hint = "Look at voiceagent.sendgrid_base_url.",
									   .retry_after_s = -1};
	else
	{
		verdict.result = json_object_new_object();
		if (id != NULL && id[0] != '\0')
			json_object_object_add(verdict.result, "message_id", json_object_new_string(id));
		if (reply->status == 200)
			json_object_object_add(verdict.result, "sandbox", json_object_new_boolean(true));
	}
	job_finish(job, &verdict);
}

static void
perform(struct job *job)
{
	struct json_object *request = job_request(job);
	struct va_error err = {""};
	struct mail mail;
	struct json_object *body = NULL;
	char url[URL_SIZE], key[KEY_SIZE];
	const char *const headers[] = {key, "Content-Type: application/json", NULL};
	struct http_options options = {.method = "POST", .url = url, .headers = headers};

	if (mail_read(json_member(request, "message"), &mail, &err))
	{
		body = sendgrid_body(&mail, &err);
		mail_free(&mail);
	}
	if (body == NULL)
	{
		job_fail(job, "bad_message", "Correct the message or the lead's address.", "%s", err.text);
		return;
	}
	snprintf(url, sizeof(url), "%s/v3/mail/send", json_text(request, "base_url", ""));
	snprintf(key, sizeof(key), "Authorization: Bearer %s", json_text(request, "api_key", ""));
	options.body = json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN |
															JSON_C_TO_STRING_NOSLASHESCAPE);
	options.body_len = strlen(options.body);
	job_http(job, &options, on_answer);
	json_object_put(body);
}

const struct provider sendgrid_provider = {"sendgrid", perform, NULL, NULL};
