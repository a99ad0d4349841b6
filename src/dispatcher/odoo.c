/*
 * odoo.c: the provider `odoo`: walks the script of an effect, call by call.
 *
 *   odoo_connect ---> odoo_step --> (call) --> on_answer --> odoo_step ... --> verdict
 *        ^                                        |
 *        +------- odoo_connect_again <------------+  (a login that may be out of date)
 *
 * Scripts look before they make something, and make it under a name that Odoo holds only once. So an
 * attempt of unknown outcome may simply be made again, and that is what `reconcile` says. Only a REST
 * gateway has no such names: there the request says whether repeating is harmless ("again").
 */
#include "dispatcher/odoo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"

/* 200 leads with descriptions, or a server's list of fields. */
#define MAX_REPLY ((size_t) 8 * 1024 * 1024)

static void
odoo_free(struct job *job)
{
	struct odoo_job *o = job_state(job);

	if (o == NULL)
		return;
	job_set_state(job, NULL);
	odoo_script_free(o->script);
	free(o->bearer);
	free(o);
}

void
odoo_finish(struct job *job, const struct job_verdict *verdict)
{
	odoo_free(job);
	job_finish(job, verdict);
}

/* ---- failures ---- */

void
odoo_unanswered(struct job *job, const struct http_reply *reply, bool writes)
{
	struct job_verdict verdict;

	job_judge(job, reply, &verdict);
	if (verdict.outcome == JOB_UNKNOWN && !writes)
		verdict.outcome = JOB_RETRY;
	if (verdict.hint == NULL)
		verdict.hint = odoo_fault_hint(ODOO_DOWN);
	odoo_finish(job, &verdict);
}

/* Is it certain that Odoo did nothing? A class of Odoo's own means that it rolled back. */
static bool
certainly_undone(const struct odoo_answer *answer, int status)
{
	return answer->name[0] != '\0' || answer->fault == ODOO_RATE || answer->fault == ODOO_BUSY ||
		   status == 503;
}

void
odoo_give_up(struct job *job, const struct http_reply *reply, const struct odoo_answer *answer,
			 bool writes)
{
	char text[ODOO_TEXT_SIZE + 200];
	struct job_verdict verdict = {
		.outcome = JOB_FAILED,
		.http_status = reply->status,
		.code = odoo_fault_name(answer->fault),
		.text = text,
		.hint = odoo_fault_hint(answer->fault),
		.retry_after_s = reply->retry_after_s,
		.provider_down = answer->fault == ODOO_DOWN || answer->fault == ODOO_GARBAGE,
	};

	snprintf(text, sizeof(text), "%s%s%s", odoo_fault_meaning(answer->fault),
			 answer->text[0] != '\0' ? ": " : "", answer->text);
	if (odoo_fault_passes(answer->fault))
		verdict.outcome =
			writes && !certainly_undone(answer, reply->status) ? JOB_UNKNOWN : JOB_RETRY;
	odoo_finish(job, &verdict);
}

/* ---- the script ---- */

void
odoo_send(struct job *job, struct odoo_request *request, job_next next)
{
	struct odoo_job *o = job_state(job);
	struct http_options options = {
		.method = request->method,
		.url = request->url,
		.headers = (const char *const *) request->headers,
		.body = request->body,
		.body_len = request->body_len,
		.max_reply = MAX_REPLY,
	};

	/* Should it be refused, the job is over, and its state nobody's but ours. */
	if (!job_http(job, &options, next))
	{
		odoo_script_free(o->script);
		free(o->bearer);
		free(o);
	}
	odoo_request_free(request);
}

static void
on_answer(struct job *job, const struct http_reply *reply)
{
	struct odoo_job *o = job_state(job);
	bool writes = odoo_script_writes(o->script);
	struct odoo_answer answer;

	if (reply->status == 0)
	{
		odoo_unanswered(job, reply, writes);
		return;
	}
	odoo_reply_read(o->transport, reply->status, reply->body, reply->body_len, &answer);
	/* What will pass is for the dispatcher to try again, not for the script to step over. */
	if (odoo_fault_passes(answer.fault) && answer.fault != ODOO_SESSION_EXPIRED)
		odoo_give_up(job, reply, &answer, writes);
	else if ((answer.fault != ODOO_ACCESS_DENIED && answer.fault != ODOO_SESSION_EXPIRED) ||
			 !odoo_connect_again(job))
	{
		/* Something in front of Odoo has answered: all that is known is the status. */
		if (answer.fault != ODOO_OK && answer.text[0] == '\0' && reply->status != 200)
			snprintf(answer.text, sizeof(answer.text), "HTTP %d", reply->status);
		odoo_script_answer(o->script, &answer);
		odoo_step(job);
	}
	odoo_answer_clear(&answer);
}

static void
add(struct json_object *object, const char *key, struct json_object *value)
{
	if (json_object_object_add(object, key, value) != 0)
		json_object_put(value);
}

static void
done(struct job *job)
{
	struct odoo_job *o = job_state(job);
	struct job_verdict verdict = {.outcome = JOB_DONE, .retry_after_s = -1};

	verdict.result = odoo_script_result(o->script);
	if (verdict.result != NULL)
	{
		add(verdict.result, "transport", json_object_new_string(odoo_transport_name(o->transport)));
		if (o->version > 0)
			add(verdict.result, "version", json_object_new_int(o->version));
		if (o->server_version[0] != '\0')
			add(verdict.result, "server_version", json_object_new_string(o->server_version));
		if (o->login.uid > 0)
			add(verdict.result, "uid", json_object_new_int64(o->login.uid));
	}
	odoo_finish(job, &verdict);
}

static void
failed(struct job *job)
{
	struct odoo_job *o = job_state(job);
	struct odoo_failure failure;
	struct job_verdict verdict = {.outcome = JOB_FAILED, .retry_after_s = -1};
	char text[ODOO_TEXT_SIZE + 200];

	odoo_script_failure(o->script, &failure);
	snprintf(text, sizeof(text), "%s", failure.text);
	verdict.code = failure.code;
	verdict.text = text;
	verdict.hint = failure.hint;
	/* A hint may be part of the script, which lives in the request until the job is finished. */
	odoo_finish(job, &verdict);
}

void
odoo_step(struct job *job)
{
	struct odoo_job *o = job_state(job);
	struct odoo_call call;
	struct odoo_request request;
	struct va_error err = {""};

	switch (odoo_script_next(o->script, &call))
	{
		case ODOO_NEXT_DONE: done(job); return;
		case ODOO_NEXT_FAILED: failed(job); return;
		case ODOO_NEXT_CALL: break;
	}
	if (odoo_request_print(o->transport, &o->login, &call, &request, &err))
	{
		odoo_send(job, &request, on_answer);
		return;
	}

	/* What this transport cannot say is to the script as if the server did not know it. */
	struct odoo_answer answer = {.fault = ODOO_MISSING_METHOD};

	snprintf(answer.text, sizeof(answer.text), "%s", err.text);
	odoo_script_answer(o->script, &answer);
	odoo_step(job);
}

/* ---- beginning and end ---- */

static const char *
text_or_null(struct json_object *object, const char *key)
{
	const char *text = json_text(object, key, "");

	return text[0] != '\0' ? text : NULL;
}

static void
perform(struct job *job)
{
	struct json_object *request = job_request(job);
	struct odoo_job *o = calloc(1, sizeof(*o));
	struct va_error err = {""};
	int transport;

	if (o != NULL)
		o->script = odoo_script_new(request, &err);
	if (o == NULL || o->script == NULL)
	{
		free(o);
		job_fail(job, "bad_script", "Report this: it is a mistake of the product.", "%s", err.text);
		return;
	}
	job_set_state(job, o);
	o->connection = json_member(request, "connection");
	o->oauth = json_member(o->connection, "oauth");
	transport = odoo_transport_find(json_text(o->connection, "transport", ""));
	o->known_transport = transport >= 0;
	o->transport = transport >= 0 ? (enum odoo_transport) transport : ODOO_JSON2;
	o->login = (struct odoo_login){
		.url = json_text(o->connection, "url", ""),
		.database = text_or_null(o->connection, "database"),
		.login = text_or_null(o->connection, "login"),
		.secret = text_or_null(o->connection, "secret"),
		.rest_path = json_text(o->connection, "rest_path", "/api/v2"),
		.rest_header = json_text(o->connection, "rest_header", "X-API-Key"),
	};
	o->known_uid = json_integer(o->connection, "uid", &o->login.uid);
	if (o->login.secret == NULL && o->oauth == NULL)
	{
		odoo_free(job);
		job_fail(job, "access_denied",
				 "Store it: va_secret_set(tenant, 'odoo_api_key', ...). It is made in Odoo under "
				 "Preferences, Account Security.",
				 "there is no key for Odoo");
		return;
	}
	odoo_connect(job);
}

static void
reconcile(struct job *job)
{
	struct json_object *request = job_request(job);
	bool rest = strcmp(json_text(json_member(request, "connection"), "transport", ""), "rest") == 0;
	struct job_verdict verdict = {.outcome = JOB_ABSENT, .retry_after_s = -1};

	if (rest && !json_flag(request, "again", false))
	{
		verdict.outcome = JOB_UNKNOWN;
		verdict.code = "no_look";
		verdict.text = "the REST gateway cannot be asked whether it made the record";
		verdict.hint =
			"Look in Odoo. If it is there: va_outbox_found(); if not: va_outbox_retry().";
	}
	job_finish(job, &verdict);
}

const struct provider odoo_provider = {"odoo", perform, reconcile, odoo_free};
