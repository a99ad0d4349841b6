/*
 * odoo_connect.c: what stands before the first call to Odoo: a token of OAuth2, the server's version,
 * a login.
 *
 *   token? --> probe? --> GET /web/version --> (19 and later) who am I? -----------------> step
 *      |                        | 404                 | key refused
 *      |                        v                     v
 *      |                /jsonrpc version ---------> login --------------------------------> step
 *      |                        | 404                 ^
 *      |                        v                     |
 *      |                /xmlrpc/2 version ------------+
 *      +--> (nothing to find out) --> login? -------------------------------------------> step
 *
 * A password is refused by JSON-2 and taken by the two others: hence the way from the one to them.
 * Tokens are kept in memory for as long as the server said, for all jobs of the same client.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "dispatcher/odoo.h"
#include "net/loop.h"

#define TOKENS 64
#define TOKEN_SIZE 4096
/* A token is not used in the last moments before it ends. */
#define TOKEN_MARGIN_S 30
#define TOKEN_DEFAULT_S 300

/* ---- tokens of OAuth2 ---- */

struct token
{
	char *owner; /* URL and client */
	char *text;
	uint64_t expires_us;
};

static struct token tokens[TOKENS];

static char *
owner_of(const struct odoo_job *o)
{
	char *owner = NULL;

	if (asprintf(&owner, "%s %s %s", json_text(o->oauth, "token_url", ""),
				 json_text(o->oauth, "client_id", ""),
				 json_text(o->oauth, "client_secret", "")) < 0)
		abort();
	return owner;
}

/* The client's place among the tokens: its own, else a free one, else the one that ends first. */
static struct token *
token_place(const char *owner)
{
	struct token *place = &tokens[0];

	for (int i = 0; i < TOKENS; i++)
	{
		if (tokens[i].owner != NULL && strcmp(tokens[i].owner, owner) == 0)
			return &tokens[i];
		if (tokens[i].expires_us < place->expires_us)
			place = &tokens[i];
	}
	return place;
}

static void
token_keep(const struct odoo_job *o, const char *text, int64_t seconds)
{
	char *owner = owner_of(o);
	struct token *place = token_place(owner);

	free(place->owner);
	free(place->text);
	place->owner = owner;
	place->text = text != NULL ? strdup(text) : NULL;
	place->expires_us =
		text != NULL
			? loop_now_us() +
				  (uint64_t) (seconds > TOKEN_MARGIN_S ? seconds - TOKEN_MARGIN_S : 0) * 1000000
			: 0;
}

static bool
token_take(struct odoo_job *o)
{
	char *owner = owner_of(o);
	struct token *place = token_place(owner);
	bool good = place->owner != NULL && strcmp(place->owner, owner) == 0 && place->text != NULL &&
				place->expires_us > loop_now_us();

	free(owner);
	if (good)
	{
		free(o->bearer);
		o->bearer = strdup(place->text);
		o->login.bearer = o->bearer;
	}
	return good && o->bearer != NULL;
}

static void after_token(struct job *job);

static void
on_token(struct job *job, const struct http_reply *reply)
{
	struct odoo_job *o = job_state(job);
	struct json_object *answer = NULL;
	struct va_error err = {""};
	const char *text;
	int64_t seconds = TOKEN_DEFAULT_S;

	if (reply->status == 0)
	{
		odoo_unanswered(job, reply, false);
		return;
	}
	answer = json_parse(reply->body, reply->body_len, &err);
	text = json_text(answer, "access_token", "");
	if (reply->status == 200 && text[0] != '\0' && strlen(text) < TOKEN_SIZE)
	{
		json_integer(answer, "expires_in", &seconds);
		token_keep(o, text, seconds);
		free(o->bearer);
		o->bearer = strdup(text);
		o->login.bearer = o->bearer;
		json_object_put(answer);
		after_token(job);
		return;
	}

	struct odoo_answer fault = {.fault = ODOO_ACCESS_DENIED};

	if (reply->status == 429)
		fault.fault = ODOO_RATE;
	else if (reply->status >= 500)
		fault.fault = ODOO_DOWN;
	snprintf(
		fault.text, sizeof(fault.text), "no token (%s)",
		json_text(answer, "error", reply->status == 200 ? "an answer without one" : "refused"));
	json_object_put(answer);
	odoo_give_up(job, reply, &fault, false);
}

/* "name=value" of a form, encoded; freed by the caller. */
static char *
form_field(const char *before, const char *name, const char *value)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t size = strlen(before) + strlen(name) + 3 * strlen(value) + 3;
	char *out = malloc(size);
	char *to;

	if (out == NULL)
		abort();
	to = out + snprintf(out, size, "%s%s%s=", before, before[0] == '\0' ? "" : "&", name);
	for (const char *c = value; *c != '\0'; c++)
		if (isalnum((unsigned char) *c) || strchr("-._~", *c) != NULL)
			*to++ = *c;
		else
		{
			*to++ = '%';
			*to++ = hex[(unsigned char) *c >> 4];
			*to++ = hex[(unsigned char) *c & 15];
		}
	*to = '\0';
	return out;
}

static void
ask_token(struct job *job)
{
	static const char *const names[] = {"client_id", "client_secret", "scope"};
	struct odoo_job *o = job_state(job);
	struct odoo_request request = {.method = "POST"};
	char *body = form_field("", "grant_type", "client_credentials");

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		const char *value = json_text(o->oauth, names[i], "");
		char *longer = value[0] != '\0' ? form_field(body, names[i], value) : NULL;

		if (longer == NULL)
			continue;
		free(body);
		body = longer;
	}
	request.url = strdup(json_text(o->oauth, "token_url", ""));
	request.headers[0] = strdup("Content-Type: application/x-www-form-urlencoded");
	request.headers[1] = strdup("Accept: application/json");
	request.body = body;
	request.body_len = strlen(body);
	odoo_send(job, &request, on_token);
}

/* ---- the login ---- */

static void
on_login(struct job *job, const struct http_reply *reply)
{
	struct odoo_job *o = job_state(job);
	struct odoo_answer answer;

	if (reply->status == 0)
	{
		odoo_unanswered(job, reply, false);
		return;
	}
	odoo_reply_read(o->transport, reply->status, reply->body, reply->body_len, &answer);
	if (answer.fault == ODOO_OK && json_object_is_type(answer.value, json_type_int))
	{
		o->login.uid = json_object_get_int64(answer.value);
		odoo_step(job);
	}
	else
	{
		if (answer.fault == ODOO_OK)
		{
			answer.fault = ODOO_ACCESS_DENIED;
			snprintf(answer.text, sizeof(answer.text), "unknown login, or a wrong key for it");
		}
		odoo_give_up(job, reply, &answer, false);
	}
	odoo_answer_clear(&answer);
}

static void
fail_print(struct job *job, const struct va_error *err)
{
	struct job_verdict verdict = {
		.outcome = JOB_FAILED,
		.code = "bad_url",
		.text = err->text,
		.hint = "Correct `url` in the tenant's setting `odoo`.",
		.retry_after_s = -1,
	};

	odoo_finish(job, &verdict);
}

static void
log_in(struct job *job)
{
	struct odoo_job *o = job_state(job);
	struct odoo_request request;
	struct va_error err = {""};

	if ((o->transport != ODOO_JSONRPC && o->transport != ODOO_XMLRPC) || o->login.uid > 0)
		odoo_step(job);
	else if (odoo_authenticate_print(o->transport, &o->login, &request, &err))
		odoo_send(job, &request, on_login);
	else
		fail_print(job, &err);
}

/* ---- version and transport ---- */

static void ask_version(struct job *job);

/* 19, or the 18 of "saas~18". */
static int
major_of(struct json_object *info)
{
	struct json_object *first =
		json_object_is_type(info, json_type_array) ? json_object_array_get_idx(info, 0) : NULL;
	const char *text =
		json_object_is_type(first, json_type_string) ? json_object_get_string(first) : "";

	if (json_object_is_type(first, json_type_int))
		return json_object_get_int(first);
	text += strcspn(text, "0123456789");
	return (int) strtol(text, NULL, 10);
}

static void
on_myself(struct job *job, const struct http_reply *reply)
{
	struct odoo_job *o = job_state(job);
	struct odoo_answer answer;

	if (reply->status == 0)
	{
		odoo_unanswered(job, reply, false);
		return;
	}
	odoo_reply_read(ODOO_JSON2, reply->status, reply->body, reply->body_len, &answer);
	if (answer.fault == ODOO_OK)
	{
		json_integer(answer.value, "uid", &o->login.uid);
		odoo_step(job);
	}
	else if (answer.fault == ODOO_ACCESS_DENIED && !o->known_transport && o->login.login != NULL)
	{
		/* A password perhaps, which only the older transports take. */
		o->transport = ODOO_JSONRPC;
		log_in(job);
	}
	else
		odoo_give_up(job, reply, &answer, false);
	odoo_answer_clear(&answer);
}

static void
who_am_i(struct job *job)
{
	struct odoo_job *o = job_state(job);
	struct odoo_call call = {"res.users", "context_get", NULL, NULL, NULL};
	struct odoo_request request;
	struct va_error err = {""};

	if (odoo_request_print(ODOO_JSON2, &o->login, &call, &request, &err))
		odoo_send(job, &request, on_myself);
	else
		fail_print(job, &err);
}

/* The version is known, or will not be told. */
static void
after_version(struct job *job)
{
	struct odoo_job *o = job_state(job);

	if (o->transport == ODOO_JSON2)
		who_am_i(job);
	else
		log_in(job);
}

/* GET /web/version: JSON since 19, 404 before. */
static bool
read_web_version(struct odoo_job *o, const struct http_reply *reply)
{
	struct va_error err = {""};
	struct json_object *body = json_parse(reply->body, reply->body_len, &err);
	bool good = reply->status == 200 && json_member(body, "version_info") != NULL;

	if (good)
	{
		o->version = major_of(json_member(body, "version_info"));
		snprintf(o->server_version, sizeof(o->server_version), "%s",
				 json_text(body, "version", ""));
	}
	json_object_put(body);
	return good;
}

static bool
read_rpc_version(struct odoo_job *o, const struct http_reply *reply, struct odoo_answer *answer)
{
	odoo_reply_read(o->transport, reply->status, reply->body, reply->body_len, answer);
	if (answer->fault != ODOO_OK || json_member(answer->value, "server_version") == NULL)
		return false;
	o->version = major_of(json_member(answer->value, "server_version_info"));
	snprintf(o->server_version, sizeof(o->server_version), "%s",
			 json_text(answer->value, "server_version", ""));
	return true;
}

/* This transport does not say its version: the next one, unless the tenant wants no other. */
static void
try_next(struct job *job, const struct http_reply *reply, const struct odoo_answer *answer)
{
	struct odoo_job *o = job_state(job);
	struct odoo_answer nowhere = {.fault = ODOO_NOT_ODOO};

	if (reply->status == 429 || reply->status >= 500)
	{
		odoo_fault_passes(answer->fault) ? odoo_give_up(job, reply, answer, false)
										 : odoo_give_up(job, reply, &nowhere, false);
		return;
	}
	if (o->known_transport)
	{
		after_version(job); /* a proxy may let nothing else through: the login will tell */
		return;
	}
	if (o->transport == ODOO_XMLRPC)
	{
		snprintf(nowhere.text, sizeof(nowhere.text),
				 "it answers neither /web/version nor /jsonrpc nor /xmlrpc/2");
		odoo_give_up(job, reply, &nowhere, false);
		return;
	}
	o->transport = o->transport == ODOO_JSON2 ? ODOO_JSONRPC : ODOO_XMLRPC;
	ask_version(job);
}

static void
on_version(struct job *job, const struct http_reply *reply)
{
	struct odoo_job *o = job_state(job);
	struct odoo_answer answer = {.fault = ODOO_OK};
	bool good;

	if (reply->status == 0)
	{
		odoo_unanswered(job, reply, false);
		return;
	}
	if (o->transport == ODOO_JSON2)
	{
		good = read_web_version(o, reply);
		if (!good)
			odoo_reply_read(ODOO_JSON2, reply->status, reply->body, reply->body_len, &answer);
	}
	else
		good = read_rpc_version(o, reply, &answer);
	/* Before 19 there is no JSON-2, whatever answers here. */
	if (good && o->transport == ODOO_JSON2 && o->version > 0 && o->version < 19 &&
		!o->known_transport)
		o->transport = ODOO_JSONRPC;
	if (good)
		after_version(job);
	else
		try_next(job, reply, &answer);
	odoo_answer_clear(&answer);
}

static void
ask_version(struct job *job)
{
	struct odoo_job *o = job_state(job);
	struct odoo_request request;
	struct va_error err = {""};

	if (odoo_version_print(o->transport, &o->login, &request, &err))
		odoo_send(job, &request, on_version);
	else
		fail_print(job, &err);
}

/* ---- the way through ---- */

static void
after_token(struct job *job)
{
	struct odoo_job *o = job_state(job);

	if (json_flag(job_request(job), "probe", false) && o->transport != ODOO_REST)
		ask_version(job);
	else
		log_in(job);
}

void
odoo_connect(struct job *job)
{
	struct odoo_job *o = job_state(job);

	if (o->oauth == NULL || token_take(o))
		after_token(job);
	else
		ask_token(job);
}

/* After a refusal: the script's call is still to be answered, so it is walked from its beginning; its
 * steps look before they make something. */
static bool
begin_again(struct job *job)
{
	struct odoo_job *o = job_state(job);
	struct va_error err = {""};
	struct odoo_script *script = odoo_script_new(job_request(job), &err);

	if (script == NULL)
		return false;
	odoo_script_free(o->script);
	o->script = script;
	return true;
}

bool
odoo_connect_again(struct job *job)
{
	struct odoo_job *o = job_state(job);

	if (o->oauth != NULL && o->login.bearer != NULL && !json_flag(o->oauth, "renewed", false))
	{
		/* Once a job. */
		json_object_object_add(o->oauth, "renewed", json_object_new_boolean(true));
		token_keep(o, NULL, 0);
		if (!begin_again(job))
			return false;
		ask_token(job);
		return true;
	}
	if (!o->known_uid || o->login.uid == 0 ||
		(o->transport != ODOO_JSONRPC && o->transport != ODOO_XMLRPC) || !begin_again(job))
		return false;
	o->known_uid = false;
	o->login.uid = 0;
	log_in(job);
	return true;
}
