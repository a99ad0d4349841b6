/*
 * odoo.h: the provider `odoo`; and what its two files share.
 */
#ifndef VA_DISPATCHER_ODOO_H
#define VA_DISPATCHER_ODOO_H

#include "core/odoo.h"
#include "core/odoo_script.h"
#include "dispatcher/job.h"

extern const struct provider odoo_provider;

/* One job under way. Texts belong to the job's request unless said otherwise. */
struct odoo_job
{
	struct json_object *connection;
	struct json_object *oauth; /* or NULL */
	struct odoo_login login;
	enum odoo_transport transport;
	bool known_transport;
	bool known_uid; /* it came with the request, and may have changed since */
	struct odoo_script *script;
	char *bearer; /* own memory */
	char server_version[40];
	int version; /* the major one, 0 when it is not known */
};

/* Gets a token where one is needed, finds out version and transport where that is asked for, logs
 * in where the transport wants it, and then calls odoo_step. */
void odoo_connect(struct job *job);
/* Logs in again, or gets another token, when what is known of it may be out of date; false when it is
 * not. */
bool odoo_connect_again(struct job *job);
/* The next call of the script, or the end. */
void odoo_step(struct job *job);

/* Sends it and releases it. Without it the job is over. */
void odoo_send(struct job *job, struct odoo_request *request, job_next next);
/* Ends the job with a fault. writes: the exchange may have changed something. */
void odoo_give_up(struct job *job, const struct http_reply *reply, const struct odoo_answer *answer,
				  bool writes);
/* Ends it because there was no answer at all. */
void odoo_unanswered(struct job *job, const struct http_reply *reply, bool writes);
void odoo_finish(struct job *job, const struct job_verdict *verdict);

#endif
