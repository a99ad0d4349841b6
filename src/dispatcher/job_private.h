/*
 * job_private.h: a job as the dispatcher sees it; providers know job.h alone.
 */
#ifndef VA_DISPATCHER_JOB_PRIVATE_H
#define VA_DISPATCHER_JOB_PRIVATE_H

#include "dispatcher/dispatcher.h"
#include "dispatcher/job.h"

struct job
{
	struct job *next, *prev; /* in dispatcher.jobs */
	struct dispatcher *dispatcher;
	const struct provider *provider;
	int64_t id;
	unsigned attempt;
	char tenant[40];
	char *kind;
	char *key;
	char queue[LANES_QUEUE_SIZE];
	enum lane lane;
	bool look; /* an attempt's outcome is to be found out, nothing is to be done */
	bool repeatable;
	uint64_t expires_us; /* the time the kind allows is over */
	struct json_object *request;
	void *state;
	struct http_call *call; /* the exchange under way, or NULL */
	char method[12]; /* of the last exchange */
	job_next then;
	bool exchanged; /* an exchange was begun */
	bool sent; /* one of the exchanges may have reached the service */
};

/* Begins a job out of what va_outbox_claim said of it; takes a reference of its own to the request. The
 * job may be over when this returns. claimed_us: when the claim was asked for. */
void job_begin(struct dispatcher *d, struct json_object *said, uint64_t claimed_us);
/* Gives up those whose time is over; every job when all, in which case what certainly was not sent is
 * given back to the outbox. */
void job_expire_all(struct dispatcher *d, uint64_t now_us, bool all);
/* Gives back the jobs that certainly sent nothing yet. */
void job_release_unsent(struct dispatcher *d);

#endif
