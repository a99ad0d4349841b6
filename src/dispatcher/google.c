/*
 * google.c: keeps one event in Google Calendar as a service account.
 *
 *	        token cached?
 *	perform ----yes----> begin -----> DELETE of the calendar it was in before (delete_from)
 *	   |                   ^                |
 *	   no                  |                v
 *	   +--> POST token ----+     delete: DELETE            204, 404, 410: done
 *	                             upsert: PATCH when known  404: POST
 *	                                     POST otherwise    409: PATCH (ours, or deleted before)
 *
 * The event's id is ours, so the whole of it may be repeated at any point. 401 at any step: a new
 * token, once. Request: {"action": "upsert" or "delete", "base_url", "token_url", "client_email",
 * "private_key", "private_key_id", "subject", "calendar_id", "event_id", "known", "delete_from",
 * "event", "send_updates"}; result: {"calendar_id", "event_id", "link"}, nothing of these for a
 * deletion. Sources: docs "Calendar API: Events", "Handle API errors", and google_calendar.h's.
 */
#include "dispatcher/google.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/google_calendar.h"
#include "core/json.h"
#include "net/loop.h"

#define URL_SIZE 2048
#define TOKEN_SIZE 2048
#define ACCOUNT_SIZE 600
#define TOKENS 64
#define RENEW_BEFORE_S 300
#define TEXT_SIZE 512
#define REASON_SIZE 64

/* A token in force. Wiped when it is replaced. */
struct token
{
	char account[ACCOUNT_SIZE]; /* who it is for: client_email, subject and end point */
	char text[TOKEN_SIZE];
	int64_t until_s;
};

static struct token tokens[TOKENS];

/* A job under way. */
struct event
{
	char account[ACCOUNT_SIZE];
	char token[TOKEN_SIZE];
	bool renewed; /* a token was refused and another one asked for */
	bool inserting; /* the last exchange was an insert that may answer 409 */
	bool patched; /* PATCH has answered 404 */
};

static void begin(struct job *job);
static void ask_token(struct job *job);
static void insert_event(struct job *job);
static void patch_event(struct job *job);

static int64_t
now_s(void)
{
	return loop_wall_ms() / 1000;
}

static const char *
said(struct job *job, const char *name)
{
	return json_text(job_request(job), name, "");
}

/* ---- tokens ---- */

static const struct token *
find_token(const char *account)
{
	for (size_t i = 0; i < TOKENS; i++)
	{
		if (tokens[i].until_s > now_s() && strcmp(tokens[i].account, account) == 0)
			return &tokens[i];
	}
	return NULL;
}

/* In the place of the account's old one, else of that which ends first. */
static void
keep_token(const char *account, const char *text, int64_t lasts_s)
{
	struct token *place = &tokens[0];

	for (size_t i = 0; i < TOKENS; i++)
	{
		if (strcmp(tokens[i].account, account) == 0)
		{
			place = &tokens[i];
			break;
		}
		if (tokens[i].until_s < place->until_s)
			place = &tokens[i];
	}
	OPENSSL_cleanse(place, sizeof(*place));
	snprintf(place->account, sizeof(place->account), "%s", account);
	snprintf(place->text, sizeof(place->text), "%s", text);
	place->until_s = now_s() + lasts_s - RENEW_BEFORE_S;
}

static void
forget_token(const char *account)
{
	for (size_t i = 0; i < TOKENS; i++)
	{
		if (strcmp(tokens[i].account, account) == 0)
			OPENSSL_cleanse(&tokens[i], sizeof(tokens[i]));
	}
}

/* ---- the end of a job ---- */

static void
release(struct job *job)
{
	struct event *e = job_state(job);

	if (e != NULL)
		OPENSSL_cleanse(e, sizeof(*e));
	free(e);
	job_set_state(job, NULL);
}

static void
finish(struct job *job, const struct job_verdict *verdict)
{
	release(job);
	job_finish(job, verdict);
}

static const struct
{
	int status; /* 0: any */
	const char *reason; /* NULL: any */
	enum job_outcome outcome;
	const char *hint;
} reasons[] = {
	{403, "rateLimitExceeded", JOB_RETRY, NULL},
	{403, "userRateLimitExceeded", JOB_RETRY, NULL},
	{403, "quotaExceeded", JOB_RETRY, "The project's quota for the Calendar API is used up."},
	{403, "calendarUsageLimits", JOB_RETRY, "The calendar's own limits are used up for now."},
	{403, "forbiddenForServiceAccounts", JOB_FAILED,
	 "A service account may invite only with domain-wide delegation: set \"subject\" in the "
	 "setting "
	 "google, or \"invite\" to false."},
	{403, "accessNotConfigured", JOB_FAILED,
	 "Switch on the Google Calendar API in the account's project."},
	{403, NULL, JOB_FAILED,
	 "Share the calendar with the service account's address, with the right to change events."},
	{404, NULL, JOB_FAILED,
	 "There is no such calendar for this account: look at \"calendar_id\" in the setting google, "
	 "and "
	 "share the calendar with the service account's address."},
	{400, NULL, JOB_FAILED, "Google does not take the event as it is: see its words."},
	{401, NULL, JOB_FAILED,
	 "Google takes neither the old token nor a new one: look at the service account."},
};

static void
finish_bad(struct job *job, const struct http_reply *reply)
{
	struct job_verdict verdict;
	char reason[REASON_SIZE], message[TEXT_SIZE];

	job_judge(job, reply, &verdict);
	google_read_error(reply->body, reply->body_len, reason, sizeof(reason), message,
					  sizeof(message));
	if (reason[0] != '\0')
		verdict.code = reason;
	if (message[0] != '\0')
		verdict.text = message;
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
	{
		if (reply->status == reasons[i].status &&
			(reasons[i].reason == NULL || strcmp(reasons[i].reason, reason) == 0))
		{
			verdict.outcome = reasons[i].outcome;
			if (reasons[i].hint != NULL)
				verdict.hint = reasons[i].hint;
			break;
		}
	}
	finish(job, &verdict);
}

static void
finish_garbage(struct job *job, const struct http_reply *reply)
{
	finish(job,
		   &(struct job_verdict){.outcome = JOB_UNKNOWN,
								 .http_status = reply->status,
								 .code = "garbage",
								 .text = "the answer is not Google's",
								 .hint = "Look at voiceagent.google_base_url and google_token_url.",
								 .retry_after_s = -1});
}

static void
finish_good(struct job *job, const struct http_reply *reply, struct json_object *event)
{
	struct job_verdict verdict = {
		.outcome = JOB_DONE, .http_status = reply->status, .retry_after_s = -1};

	verdict.result = json_object_new_object();
	if (event != NULL)
	{
		json_object_object_add(verdict.result, "calendar_id",
							   json_object_new_string(said(job, "calendar_id")));
		json_object_object_add(verdict.result, "event_id",
							   json_object_new_string(json_text(event, "id", "")));
		json_object_object_add(verdict.result, "link",
							   json_object_new_string(json_text(event, "htmlLink", "")));
	}
	finish(job, &verdict);
}

/* ---- exchanges ---- */

/* base_url/calendar/v3/calendars/ID/events[/ID]?sendUpdates=… */
static bool
make_url(struct job *job, const char *calendar, bool with_event, char *url, size_t size)
{
	static const char digits[] = "0123456789ABCDEF";
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~";
	struct buf b;

	buf_init(&b, url, size);
	buf_printf(&b, "%s/calendar/v3/calendars/", said(job, "base_url"));
	for (const char *c = calendar; *c != '\0'; c++)
	{
		unsigned char byte = (unsigned char) *c;

		if (strchr(safe, byte) != NULL)
			buf_char(&b, (char) byte);
		else
		{
			char code[3] = {'%', digits[byte >> 4], digits[byte & 15]};

			buf_add(&b, code, 3);
		}
	}
	buf_str(&b, "/events");
	/* Our own id: hexadecimal digits. */
	if (with_event)
		buf_printf(&b, "/%s", said(job, "event_id"));
	buf_printf(&b, "?sendUpdates=%s", said(job, "send_updates"));
	return !b.overflow;
}

static void
call(struct job *job, const char *method, const char *calendar, struct json_object *body,
	 job_next next)
{
	struct event *e = job_state(job);
	char url[URL_SIZE], authorization[TOKEN_SIZE + 32];
	const char *const headers[] = {authorization, "Content-Type: application/json", NULL};
	struct http_options options = {.method = method, .url = url, .headers = headers};

	if (!make_url(job, calendar, strcmp(method, "POST") != 0, url, sizeof(url)))
	{
		release(job);
		job_fail(job, "bad_calendar", "Look at \"calendar_id\" in the setting google.",
				 "the calendar's id is too long");
		return;
	}
	snprintf(authorization, sizeof(authorization), "Authorization: Bearer %s", e->token);
	if (body != NULL)
	{
		options.body = json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN |
																JSON_C_TO_STRING_NOSLASHESCAPE);
		options.body_len = strlen(options.body);
	}
	/* A failure ends the job: its memory has to go first. */
	job_set_state(job, NULL);
	if (job_http(job, &options, next))
		job_set_state(job, e);
	else
	{
		OPENSSL_cleanse(e, sizeof(*e));
		free(e);
	}
}

/* True when a new token was asked for and the job begins again. */
static bool
renewed(struct job *job, const struct http_reply *reply)
{
	struct event *e = job_state(job);

	if (reply->status != 401 || e->renewed)
		return false;
	e->renewed = true;
	forget_token(e->account);
	ask_token(job);
	return true;
}

static void
on_event(struct job *job, const struct http_reply *reply)
{
	struct event *e = job_state(job);
	struct json_object *event;

	if (renewed(job, reply))
		return;
	if (reply->status == 409 && e->inserting && !e->patched)
		patch_event(job); /* it is there: an earlier attempt's, or one that was deleted */
	else if (reply->status == 404 && !e->inserting && !e->patched)
	{
		e->patched = true;
		insert_event(job);
	}
	else if (reply->status == 200)
	{
		event = json_parse(reply->body, reply->body_len, NULL);
		if (strcmp(json_text(event, "id", ""), said(job, "event_id")) == 0)
			finish_good(job, reply, event);
		else
			finish_garbage(job, reply);
		json_object_put(event);
	}
	else if (reply->status > 200 && reply->status < 300)
		finish_garbage(job, reply);
	else
		finish_bad(job, reply);
}

static void
insert_event(struct job *job)
{
	struct event *e = job_state(job);
	struct json_object *body = json_object_new_object();

	e->inserting = true;
	json_object_object_foreach(json_member(job_request(job), "event"), key, value)
		json_object_object_add(body, key, json_object_get(value));
	json_object_object_add(body, "id", json_object_new_string(said(job, "event_id")));
	call(job, "POST", said(job, "calendar_id"), body, on_event);
	json_object_put(body);
}

static void
patch_event(struct job *job)
{
	struct event *e = job_state(job);

	e->inserting = false;
	call(job, "PATCH", said(job, "calendar_id"), json_member(job_request(job), "event"), on_event);
}

static void
on_deleted(struct job *job, const struct http_reply *reply)
{
	if (renewed(job, reply))
		return;
	/* 410: deleted before. 404: it never was, or the whole calendar is gone. */
	if (reply->status == 204 || reply->status == 404 || reply->status == 410)
		finish_good(job, reply, NULL);
	else if (reply->status >= 200 && reply->status < 300)
		finish_garbage(job, reply);
	else
		finish_bad(job, reply);
}

static void
upsert(struct job *job)
{
	if (json_flag(job_request(job), "known", false))
		patch_event(job);
	else
		insert_event(job);
}

static void
on_moved(struct job *job, const struct http_reply *reply)
{
	if (renewed(job, reply))
		return;
	/* A calendar that we may not change any more cannot keep the event from its new place. */
	if (reply->status == 204 || reply->status == 403 || reply->status == 404 ||
		reply->status == 410)
		upsert(job);
	else
		finish_bad(job, reply);
}

static void
begin(struct job *job)
{
	const char *before = said(job, "delete_from");

	if (strcmp(said(job, "action"), "delete") == 0)
		call(job, "DELETE", said(job, "calendar_id"), NULL, on_deleted);
	else if (before[0] != '\0')
		call(job, "DELETE", before, NULL, on_moved);
	else
		upsert(job);
}

/* ---- asking for a token ---- */

static void
on_token(struct job *job, const struct http_reply *reply)
{
	struct event *e = job_state(job);
	int64_t lasts_s;

	if (reply->status == 200 &&
		google_read_token(reply->body, reply->body_len, e->token, sizeof(e->token), &lasts_s))
	{
		keep_token(e->account, e->token, lasts_s);
		begin(job);
	}
	else if (reply->status == 200)
	{
		/* Nothing but a token was asked for: that can be tried again. */
		struct job_verdict verdict = {.outcome = JOB_RETRY,
									  .http_status = 200,
									  .code = "garbage",
									  .text = "the answer is not Google's",
									  .hint = "Look at voiceagent.google_token_url.",
									  .retry_after_s = -1};

		finish(job, &verdict);
	}
	else
	{
		struct job_verdict verdict;
		char reason[REASON_SIZE], message[TEXT_SIZE];

		job_judge(job, reply, &verdict);
		google_read_error(reply->body, reply->body_len, reason, sizeof(reason), message,
						  sizeof(message));
		if (reason[0] != '\0')
			verdict.code = reason;
		if (message[0] != '\0')
			verdict.text = message;
		if (reply->status == 400 || reply->status == 401)
			verdict.hint =
				"Google does not take the service account's key (or this machine's clock is "
				"wrong): store a new key file (va_secret_set, google_service_account), and "
				"look at \"subject\" in the setting google.";
		if (verdict.outcome == JOB_UNKNOWN)
			verdict.outcome = JOB_RETRY;
		finish(job, &verdict);
	}
}

static void
ask_token(struct job *job)
{
	struct event *e = job_state(job);
	struct google_claims claims = {
		.issuer = said(job, "client_email"),
		.key_id = said(job, "private_key_id"),
		.private_key = said(job, "private_key"),
		.subject = said(job, "subject"),
		.audience = said(job, "token_url"),
		.now_s = now_s(),
	};
	char assertion[GOOGLE_ASSERTION_SIZE], body[GOOGLE_ASSERTION_SIZE + 128];
	static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded", NULL};
	struct http_options options = {
		.method = "POST", .url = claims.audience, .headers = headers, .body = body};
	struct va_error err = {""};

	if (!google_assertion(&claims, assertion, &err))
	{
		release(job);
		job_fail(job, "bad_key",
				 "Store the whole JSON key file of the service account (va_secret_set, "
				 "google_service_account).",
				 "%s", err.text);
		return;
	}
	/* An assertion has only characters that a form leaves as they are. */
	options.body_len = (size_t) snprintf(
		body, sizeof(body),
		"grant_type=urn%%3Aietf%%3Aparams%%3Aoauth%%3Agrant-type%%3Ajwt-bearer&assertion=%s",
		assertion);
	job_set_state(job, NULL);
	if (job_http(job, &options, on_token))
		job_set_state(job, e);
	else
		free(e);
}

static void
perform(struct job *job)
{
	struct event *e = calloc(1, sizeof(*e));
	const struct token *token;

	if (e == NULL)
	{
		job_fail(job, "no_memory", NULL, "out of memory");
		return;
	}
	snprintf(e->account, sizeof(e->account), "%.250s %.250s %.90s", said(job, "client_email"),
			 said(job, "subject"), said(job, "token_url"));
	job_set_state(job, e);
	token = find_token(e->account);
	if (token == NULL)
	{
		ask_token(job);
		return;
	}
	snprintf(e->token, sizeof(e->token), "%s", token->text);
	begin(job);
}

const struct provider google_provider = {"google", perform, NULL, release};
