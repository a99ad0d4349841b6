/*
 * job.h: one attempt at one effect, as a provider sees it.
 *
 * A provider is one file behind `struct provider`. It gets a job whose request the database has
 * already decided on (who, what, with which credentials), carries it out with as many exchanges as
 * the outside service needs, and ends it with exactly one verdict. It decides nothing about when
 * to try again: that is said by the verdict's outcome and known to the database alone.
 */
#ifndef VA_DISPATCHER_JOB_H
#define VA_DISPATCHER_JOB_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/http_client.h"

struct job;
struct loop;

enum job_outcome
{
	JOB_DONE, /* the service has it: result says what */
	JOB_RETRY, /* it certainly has not; another attempt may succeed */
	JOB_FAILED, /* it has not, and the same request never will */
	JOB_UNKNOWN, /* the request may have arrived: must be reconciled, never blindly repeated */
	JOB_ABSENT /* of reconcile only: the service has no trace of it, so an attempt may be made */
};

/* All texts may be NULL and are copied. */
struct job_verdict
{
	enum job_outcome outcome;
	int http_status; /* 0: none */
	const char *code; /* the provider's own code ("21610", "AccessDenied"), or one of ours */
	const char *text; /* the provider's own words, never with a secret in them */
	const char *hint; /* what the user is to do, in plain words */
	double retry_after_s; /* the service asked for so much patience; -1: it did not */
	bool provider_down; /* counts against the circuit breaker of tenant and provider */
	struct json_object *result; /* for the kind's settle function; becomes the job's */
};

struct provider
{
	const char *name; /* the part of a kind before its dot: "twilio" */
	void (*perform)(struct job *job);
	/* Finds out what became of an attempt with unknown outcome: DONE, ABSENT, or UNKNOWN again when
	 * it cannot be known yet. NULL: the service cannot be asked. */
	void (*reconcile)(struct job *job);
	/* Called when the job is given up (shutdown): release what `state` holds. May be NULL. */
	void (*abandon)(struct job *job);
};

/* The providers, NULL-terminated: adding one is adding a line to the table in providers.c. */
extern const struct provider *const providers[];

/* What a job is; valid until it is finished. */
int64_t job_id(const struct job *job);
unsigned job_attempt(const struct job *job); /* 1 for the first */
const char *job_tenant(const struct job *job); /* uuid, "" for the platform's own */
const char *job_kind(const struct job *job); /* "twilio.call" */
const char *
job_key(const struct job *job); /* attempt key, the same in every attempt of an effect */
struct json_object *job_request(const struct job *job); /* what the prepare function returned */
struct loop *job_loop(const struct job *job);
/* The provider's own memory of a job under way; freed by the provider. */
void *job_state(const struct job *job);
void job_set_state(struct job *job, void *state);

/* One HTTP exchange of the job. The URL's guard, the time-outs, limits of size and the reuse of
 * connections are the dispatcher's. next is called once, unless the job is abandoned. Without it
 * (a malformed URL or header) the job is finished as failed and false is returned. */
typedef void (*job_next)(struct job *job, const struct http_reply *reply);
bool job_http(struct job *job, const struct http_options *options, job_next next);

/* For a provider whose service speaks something else than HTTP: how long it may take, whether
 * addresses on this machine and in private networks are to be refused, and whether anything may have
 * had its effect already (said before and after: a job that is given up goes by it). */
unsigned job_left_ms(const struct job *job);
bool job_guarded(const struct job *job);
void job_exchanging(struct job *job, bool sent);

/* Fills a verdict for a reply that is not what was hoped for, by the common rules: nothing sent →
 * retry; sent and no answer → unknown (retry when repeatable); 429 and 503 → retry after the time
 * named; other 5xx → unknown when it may have had an effect, else retry; 3xx, 4xx → failed. A
 * provider looks at its own codes first, then calls this. */
void job_judge(const struct job *job, const struct http_reply *reply, struct job_verdict *verdict);
/* May this kind be repeated without harm? (outbox_kinds.repeatable) */
bool job_repeatable(const struct job *job);

/* Ends the job; it must not be touched afterwards. */
void job_finish(struct job *job, const struct job_verdict *verdict);
/* Ends it as failed with a code and text of ours. */
void job_fail(struct job *job, const char *code, const char *hint, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#endif
