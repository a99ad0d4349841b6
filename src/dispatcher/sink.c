/*
 * sink.c: one POST (or PUT, for sink.put) an effect, with the attempt key in a header; a GET of the
 * key finds out what became of an attempt.
 *
 * Request: {"base_url", "path", "body": {…}, "tenant_url"}. The sandbox's answer is
 * {"id": "…", "count": n}, and 404 for a key it does not have.
 */
#include "dispatcher/sink.h"

#include <stdio.h>
#include <string.h>

#include "core/json.h"

#define HEADER_SIZE 256
#define URL_SIZE 1024

static void
on_answer(struct job *job, const struct http_reply *reply)
{
	struct job_verdict verdict = {.retry_after_s = -1};
	struct va_error err = {""};

	if (reply->status >= 200 && reply->status < 300)
		verdict.result = json_parse(reply->body, reply->body_len, &err);
	if (verdict.result != NULL)
		verdict.outcome = JOB_DONE;
	else if (reply->status >= 200 && reply->status < 300)
		verdict = (struct job_verdict){.outcome = JOB_UNKNOWN,
									   .http_status = reply->status,
									   .code = "garbage",
									   .text = "the answer is not JSON",
									   .retry_after_s = -1};
	else
		job_judge(job, reply, &verdict);
	job_finish(job, &verdict);
}

static void
send_request(struct job *job, const char *method, job_next next)
{
	struct json_object *request = job_request(job);
	const char *body =
		json_object_to_json_string_ext(json_member(request, "body"), JSON_C_TO_STRING_PLAIN);
	char key[HEADER_SIZE];
	char url[URL_SIZE];
	const char *const headers[] = {key, "Content-Type: application/json", NULL};
	struct http_options options = {.method = method, .url = url, .headers = headers};

	snprintf(key, sizeof(key), "X-Attempt-Key: %s", job_key(job));
	snprintf(url, sizeof(url), "%s%s", json_text(request, "base_url", ""),
			 json_text(request, "path", ""));
	if (strcmp(method, "GET") != 0)
	{
		options.body = body;
		options.body_len = strlen(body);
	}
	job_http(job, &options, next);
}

static void
perform(struct job *job)
{
	send_request(job, job_repeatable(job) ? "PUT" : "POST", on_answer);
}

static void
on_found(struct job *job, const struct http_reply *reply)
{
	struct job_verdict absent = {.outcome = JOB_ABSENT, .retry_after_s = -1};

	if (reply->status == 404)
		job_finish(job, &absent);
	else
		on_answer(job, reply);
}

static void
reconcile(struct job *job)
{
	send_request(job, "GET", on_found);
}

const struct provider sink_provider = {"sink", perform, reconcile, NULL};
