/*
 * judge.c: what a reply that is not what was hoped for means, by the rules that all services share.
 *
 * The one thing that matters is whether the request may have had its effect. It has not when nothing
 * was sent, when the service says so (4xx, 429), and when it was only asked for something (GET). In
 * all other cases nobody knows.
 */
#include <stdio.h>
#include <string.h>

#include "dispatcher/job.h"
#include "dispatcher/job_private.h"

static const struct
{
	int status;
	enum job_outcome outcome;
	const char *code;
	const char *hint;
} statuses[] = {
	{400, JOB_FAILED, "bad_request", "The service did not understand the request: see its words."},
	{401, JOB_FAILED, "unauthorized", "Look at the credentials: are they set, valid, not expired?"},
	{402, JOB_FAILED, "payment_required", "Look at the account's balance and plan."},
	{403, JOB_FAILED, "forbidden",
	 "The credentials are known but may not do this: look at their rights."},
	{404, JOB_FAILED, "not_found", "Look at the address and at the ids in the settings."},
	{408, JOB_RETRY, "request_timeout", NULL},
	{409, JOB_FAILED, "conflict",
	 "The service holds something that this contradicts: see its words."},
	{413, JOB_FAILED, "too_large", "Send less at once."},
	{425, JOB_RETRY, "too_early", NULL},
	{429, JOB_RETRY, "too_many_requests",
	 "The service limits how much it is asked; it goes on by itself."},
	{503, JOB_RETRY, "unavailable",
	 "The service is down or overloaded; it is tried again by itself."},
};

/* No status: the connection could not be made, broke, or was silent. */
static void
judge_silence(const struct http_reply *reply, struct job_verdict *v)
{
	bool refused = strstr(reply->error, "private network") != NULL;

	v->code = refused ? "private_address" : reply->sent ? "no_answer" : "not_reached";
	v->text = reply->error;
	v->provider_down = !refused;
	if (refused)
	{
		v->outcome = JOB_FAILED;
		v->hint = "The administrator may allow such addresses: voiceagent.allow_private_urls.";
	}
	else
		v->outcome = reply->sent ? JOB_UNKNOWN : JOB_RETRY;
}

static bool
only_asks(const struct job *job)
{
	return strcmp(job->method, "GET") == 0 || strcmp(job->method, "HEAD") == 0;
}

void
job_judge(const struct job *job, const struct http_reply *reply, struct job_verdict *v)
{
	*v = (struct job_verdict){.outcome = JOB_FAILED,
							  .http_status = reply->status,
							  .text = reply->body,
							  .retry_after_s = reply->retry_after_s};
	if (reply->status == 0)
	{
		judge_silence(reply, v);
		return;
	}
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
	{
		if (statuses[i].status != reply->status)
			continue;
		v->outcome = statuses[i].outcome;
		v->code = statuses[i].code;
		v->hint = statuses[i].hint;
		v->provider_down = reply->status == 503;
		return;
	}
	if (reply->status >= 500)
	{
		v->outcome = only_asks(job) ? JOB_RETRY : JOB_UNKNOWN;
		v->code = "server_error";
		v->provider_down = true;
	}
	else if (reply->status >= 300 && reply->status < 400)
	{
		v->code = "redirect";
		v->hint = "The service has moved: look at the address in the settings.";
	}
	else if (reply->status < 300)
	{
		v->outcome = only_asks(job) ? JOB_RETRY : JOB_UNKNOWN;
		v->code = "unexpected_answer";
	}
	else
	{
		v->code = "refused";
		v->hint = "The service refused the request: see its words.";
	}
}
