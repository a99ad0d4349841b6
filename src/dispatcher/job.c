/*
 * job.c: jobs from their beginning to their verdict.
 *
 *	            job_begin          job_http                    answer
 *	(claimed) ------------> BEGUN ----------> EXCHANGING ------------> BEGUN …
 *	                          |                    |
 *	                          | job_finish         | time is over, shutdown
 *	                          v                    v
 *	                       (verdict)     (unknown, or released when nothing was sent)
 *
 * A job's memory ends with its verdict. Secrets of its request are taken out of the service's words
 * here, where the request is still known.
 */
#include "dispatcher/job.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/utf8.h"
#include "dispatcher/job_private.h"
#include "dispatcher/scrub.h"
#include "dispatcher/settling.h"
#include "net/http_client.h"
#include "net/log.h"
#include "net/loop.h"

#define CONNECT_TIMEOUT_MS 10000
#define MAX_REPLY (1024 * 1024)
#define TEXT_SIZE 2048
/* The client that carries an effect out ends it in time, in words of its own: curl notices that the time
 * is up within a second, and a mail server may take half of one more to say good-bye. This is for what
 * it has forgotten; the lease is longer still. */
#define EXPIRY_GRACE_US 4000000

/* ---- what a job is ---- */

int64_t
job_id(const struct job *job)
{
	return job->id;
}

unsigned
job_attempt(const struct job *job)
{
	return job->attempt;
}

const char *
job_tenant(const struct job *job)
{
	return job->tenant;
}

const char *
job_kind(const struct job *job)
{
	return job->kind;
}

const char *
job_key(const struct job *job)
{
	return job->key;
}

struct json_object *
job_request(const struct job *job)
{
	return job->request;
}

struct loop *
job_loop(const struct job *job)
{
	return job->dispatcher->loop;
}

void *
job_state(const struct job *job)
{
	return job->state;
}

void
job_set_state(struct job *job, void *state)
{
	job->state = state;
}

bool
job_repeatable(const struct job *job)
{
	return job->repeatable;
}

/* ---- the end ---- */

static void
job_free(struct job *job)
{
	struct dispatcher *d = job->dispatcher;

	if (job->prev != NULL)
		job->prev->next = job->next;
	else
		d->jobs = job->next;
	if (job->next != NULL)
		job->next->prev = job->prev;
	lanes_leave(&d->lanes, job->lane, job->queue);
	json_object_put(job->request);
	free(job->kind);
	free(job->key);
	free(job);
}

static const char *
outcome_name(const struct job *job, enum job_outcome outcome)
{
	static const char *const names[] = {
		[JOB_DONE] = "done",	   [JOB_RETRY] = "retry",	[JOB_FAILED] = "failed",
		[JOB_UNKNOWN] = "unknown", [JOB_ABSENT] = "absent",
	};

	/* A look that failed says nothing of the attempt. */
	if (job->look && outcome != JOB_DONE && outcome != JOB_ABSENT)
		return names[JOB_UNKNOWN];
	if (!job->look && outcome == JOB_ABSENT)
		return names[JOB_RETRY];
	return names[outcome];
}

static void
count(struct dispatcher *d, const char *outcome)
{
	struct dispatcher_counters *c = &d->counters;

	switch (outcome[0])
	{
		case 'd': c->done++; break;
		case 'f': c->failed++; break;
		case 'u': c->unknown++; break;
		default: c->retried++; break;
	}
}

/* The service's words, cut to size, without secrets and without what jsonb does not take. */
static void
add_text(struct json_object *said, const struct job *job, const char *name, const char *text)
{
	char clean[TEXT_SIZE];

	if (text == NULL || text[0] == '\0')
		return;
	scrub_text(clean, sizeof(clean), text, job->request);
	json_object_object_add(said, name, json_object_new_string(clean));
}

static struct json_object *
verdict_begin(const struct job *job, const char *outcome)
{
	struct json_object *said = json_object_new_object();

	json_object_object_add(said, "id", json_object_new_int64(job->id));
	json_object_object_add(said, "attempt", json_object_new_int((int) job->attempt));
	json_object_object_add(said, "outcome", json_object_new_string(outcome));
	return said;
}

void
job_finish(struct job *job, const struct job_verdict *verdict)
{
	struct dispatcher *d = job->dispatcher;
	const char *outcome = outcome_name(job, verdict->outcome);
	struct json_object *said = verdict_begin(job, outcome);

	count(d, outcome);
	if (verdict->http_status != 0)
		json_object_object_add(said, "http_status", json_object_new_int(verdict->http_status));
	add_text(said, job, "code", verdict->code);
	add_text(said, job, "text", verdict->text);
	add_text(said, job, "hint", verdict->hint);
	if (verdict->retry_after_s >= 0)
		json_object_object_add(said, "retry_after_s",
							   json_object_new_double(verdict->retry_after_s));
	json_object_object_add(said, "provider_down", json_object_new_boolean(verdict->provider_down));
	if (verdict->result != NULL)
		json_object_object_add(said, "result", verdict->result);
	if (job->call != NULL)
		http_client_cancel(job->call);
	job_free(job);
	settling_add(d->settling, said);
}

void
job_fail(struct job *job, const char *code, const char *hint, const char *format, ...)
{
	char text[TEXT_SIZE];
	struct job_verdict verdict = {
		.outcome = JOB_FAILED, .code = code, .text = text, .hint = hint, .retry_after_s = -1};
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	job_finish(job, &verdict);
}

/* ---- exchanges ---- */

static void
on_http(void *arg, const struct http_reply *reply)
{
	struct job *job = arg;

	job->call = NULL;
	job->sent = job->sent || reply->sent;
	job->then(job, reply);
}

unsigned
job_left_ms(const struct job *job)
{
	uint64_t now_us = loop_now_us();

	return job->expires_us > now_us + 1000 ? (unsigned) ((job->expires_us - now_us) / 1000) : 1;
}

bool
job_guarded(const struct job *job)
{
	return json_flag(job->request, "tenant_url", false) &&
		   !job->dispatcher->settings.allow_private_urls;
}

void
job_exchanging(struct job *job, bool sent)
{
	job->exchanged = true;
	job->sent = sent;
}

bool
job_http(struct job *job, const struct http_options *options, job_next next)
{
	struct dispatcher *d = job->dispatcher;
	struct http_options o = *options;
	unsigned left_ms = job_left_ms(job);

	if (o.timeout_ms == 0 || o.timeout_ms > left_ms)
		o.timeout_ms = left_ms;
	if (o.connect_timeout_ms == 0 || o.connect_timeout_ms > CONNECT_TIMEOUT_MS)
		o.connect_timeout_ms = CONNECT_TIMEOUT_MS;
	if (o.max_reply == 0)
		o.max_reply = MAX_REPLY;
	o.guard = o.guard || job_guarded(job);
	snprintf(job->method, sizeof(job->method), "%s", o.method);
	job->then = next;
	job->exchanged = true;
	job->call = http_client_send(d->http, &o, on_http, job);
	if (job->call != NULL)
		return true;
	job_fail(job, "bad_url", "Look at the address in the settings.",
			 "the address or a header of the request cannot be used");
	return false;
}

/* ---- giving up ---- */

static void
abandon(struct job *job)
{
	if (job->call != NULL)
		http_client_cancel(job->call);
	job->call = NULL;
	if (job->provider != NULL && job->provider->abandon != NULL)
		job->provider->abandon(job);
}

static bool
surely_unsent(const struct job *job)
{
	return job->exchanged && !job->sent && (job->call == NULL || !http_client_sent(job->call));
}

static void
release(struct job *job)
{
	struct dispatcher *d = job->dispatcher;
	struct json_object *said;

	abandon(job);
	if (job->sent)
	{
		/* The provider found out that something had been sent after all. */
		struct job_verdict verdict = {
			.outcome = JOB_UNKNOWN,
			.code = "dispatcher_stopped",
			.text = "the dispatcher was stopped before the service had answered",
			.retry_after_s = -1};

		job_finish(job, &verdict);
		return;
	}
	said = verdict_begin(job, "released");
	d->counters.released++;
	job_free(job);
	settling_add(d->settling, said);
}

/* ---- the beginning ---- */

static const struct provider *
find_provider(const char *kind)
{
	size_t len = strcspn(kind, ".");

	for (size_t i = 0; providers[i] != NULL; i++)
	{
		if (strlen(providers[i]->name) == len && memcmp(providers[i]->name, kind, len) == 0)
			return providers[i];
	}
	return NULL;
}

static struct job *
job_new(struct dispatcher *d, struct json_object *said)
{
	struct job *job = calloc(1, sizeof(*job));
	int64_t number = 0;

	if (job == NULL)
		abort(); /* out of memory: there is none to tell of it either */
	job->dispatcher = d;
	json_integer(said, "id", &job->id);
	json_integer(said, "attempt", &number);
	job->attempt = (unsigned) number;
	snprintf(job->tenant, sizeof(job->tenant), "%s", json_text(said, "tenant", ""));
	snprintf(job->queue, sizeof(job->queue), "%s", json_text(said, "queue", ""));
	job->kind = strdup(json_text(said, "kind", ""));
	job->key = strdup(json_text(said, "key", ""));
	job->lane = strcmp(json_text(said, "lane", ""), "live") == 0 ? LANE_LIVE : LANE_BULK;
	job->look = json_flag(said, "look", false);
	job->repeatable = json_flag(said, "repeatable", false);
	job->request = json_object_get(json_member(said, "request"));
	job->provider = find_provider(job->kind);
	job->next = d->jobs;
	if (job->next != NULL)
		job->next->prev = job;
	d->jobs = job;
	lanes_enter(&d->lanes, job->lane, job->queue);
	return job;
}

void
job_begin(struct dispatcher *d, struct json_object *said, uint64_t claimed_us)
{
	struct job *job = job_new(d, said);
	int64_t timeout_ms = 0;

	json_integer(said, "timeout_ms", &timeout_ms);
	/* The lease began after the claim was asked for, and lasts half a minute longer than this. */
	job->expires_us = claimed_us + (uint64_t) timeout_ms * 1000;
	if (job->look)
		d->counters.looks++;
	else
		d->counters.attempts++;
	if (loop_now_us() - claimed_us > (uint64_t) timeout_ms * 500)
		release(job); /* the database took its time: too little of the lease is left */
	else if (job->provider == NULL)
		job_fail(job, "no_provider", "Install the version of the program that the extension has.",
				 "this program knows no provider for %s", json_text(said, "kind", ""));
	else if (job->look && job->provider->reconcile == NULL)
		job_fail(job, "no_look", NULL, "the service cannot be asked");
	else if (job->look)
		job->provider->reconcile(job);
	else
		job->provider->perform(job);
}

void
job_release_unsent(struct dispatcher *d)
{
	for (struct job *job = d->jobs, *next; job != NULL; job = next)
	{
		next = job->next;
		if (surely_unsent(job))
			release(job);
	}
}

void
job_expire_all(struct dispatcher *d, uint64_t now_us, bool all)
{
	for (struct job *job = d->jobs, *next; job != NULL; job = next)
	{
		bool over = now_us >= job->expires_us + EXPIRY_GRACE_US;
		bool unsent = surely_unsent(job);
		struct job_verdict verdict = {
			.code = all ? "dispatcher_stopped" : "timeout",
			.text = all ? "the dispatcher was stopped before the service had answered"
						: "the time for this effect was over before the service had answered",
			.retry_after_s = -1,
			.provider_down = !all,
		};

		next = job->next;
		if (!all && !over)
			continue;
		abandon(job);
		verdict.outcome = unsent && !job->sent ? JOB_RETRY : JOB_UNKNOWN;
		job_finish(job, &verdict);
	}
}
