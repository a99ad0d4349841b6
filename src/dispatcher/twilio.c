/*
 * twilio.c: one request to Twilio an effect, and the search for what became of one.
 *
 * The request comes from the prepare functions of sql/71 to 74: {"base_url", "account_sid", "user",
 * "password", "method", "path", "form", "gone_is_done", "listing"}. Creating a call or a message
 * cannot be repeated without harm and Twilio knows no key for it, so after an answer that is lost
 * the account's own list is asked: {"listing": {"list", "to", "from", "body", "since", "age_s",
 * "wait_s", "known"}}. One fitting entry is the call or message; none, once the list has had time
 * to become complete, means that there is none; several are for people to look at. The webhooks carry
 * our key and are usually faster than all this.
 *
 * Sources: twilio.com/docs/voice/api/call-resource, /messaging/api/message-resource,
 * /usage/rest-api-best-practices, /api/errors/20429.
 */
#include "dispatcher/twilio.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "core/json.h"
#include "core/twilio_rest.h"

#define FORM_SIZE (64 * 1024)
#define USER_SIZE 300
#define QUERY_SIZE 1024
#define MAX_PAGES 5

/* ---- a request --------------------------------------------------------------------------------- */

/* "Authorization: Basic …"; false when user and password are missing or too long. */
static bool
put_authorization(struct json_object *request, char *out, size_t size)
{
	char plain[USER_SIZE];
	char coded[BASE64_LENGTH(USER_SIZE) + 1];
	const char *user = json_text(request, "user", "");
	const char *password = json_text(request, "password", "");
	int len = snprintf(plain, sizeof(plain), "%s:%s", user, password);

	if (user[0] == '\0' || password[0] == '\0' || len < 0 || (size_t) len >= sizeof(plain))
		return false;
	coded[base64_encode((const uint8_t *) plain, (size_t) len, coded)] = '\0';
	len = snprintf(out, size, "Authorization: Basic %s", coded);
	return len > 0 && (size_t) len < size;
}

/* Sends it; form may be NULL. When it cannot be sent the job is finished. */
static void
send_to(struct job *job, const char *method, const char *url, const char *form, size_t len,
		job_next next)
{
	char authorization[2 * USER_SIZE];
	const char *headers[] = {
		authorization, "Accept: application/json",
		form != NULL ? "Content-Type: application/x-www-form-urlencoded" : NULL, NULL};
	struct http_options options = {
		.method = method, .url = url, .headers = headers, .body = form, .body_len = len};
	void *state = job_state(job); /* a job that is finished for us cannot be asked for it */

	if (put_authorization(job_request(job), authorization, sizeof(authorization)))
	{
		if (!job_http(job, &options, next))
			free(state);
		return;
	}
	free(state);
	job_fail(job, "not_set_up", "Set the tenant's secret twilio_auth_token.",
			 "there are no usable credentials for Twilio");
}

static bool
put_url(struct json_object *request, const char *path, char *url, struct va_error *err)
{
	struct buf out;

	buf_init(&out, url, TWILIO_REST_URL_SIZE);
	return twilio_rest_url(&out, json_text(request, "base_url", ""),
						   json_text(request, "account_sid", ""), path, err);
}

/* ---- what an answer means ---------------------------------------------------------------------- */

static struct json_object *
result_of(const struct twilio_rest_resource *resource, const char *certain)
{
	struct json_object *result = json_object_new_object();

	json_object_object_add(result, "sid", json_object_new_string(resource->sid));
	json_object_object_add(result, "status", json_object_new_string(resource->status));
	if (resource->error_code != 0)
		json_object_object_add(result, "error_code", json_object_new_int(resource->error_code));
	if (certain != NULL)
		json_object_object_add(result, "by", json_object_new_string(certain));
	return result;
}

static void
finish_done(struct job *job, int status, struct json_object *result)
{
	struct job_verdict verdict = {
		.outcome = JOB_DONE, .http_status = status, .retry_after_s = -1, .result = result};

	job_finish(job, &verdict);
}

/* A refusal in Twilio's words: its code decides where it is known. */
static void
judge_code(const struct twilio_rest_code *known, struct job_verdict *v)
{
	v->hint = known->hint;
	switch (known->kind)
	{
		case TWILIO_REST_LATER: v->outcome = JOB_RETRY; break;
		case TWILIO_REST_SETUP:
			/* Nothing of this account will do: the breaker keeps the rest from being spent on it. */
			v->outcome = JOB_FAILED;
			v->provider_down = known->code == 20003 || known->code == 20005;
			break;
		default: v->outcome = JOB_FAILED; break;
	}
}

static void
judge_refusal(struct job *job, const struct http_reply *reply)
{
	struct json_object *request = job_request(job);
	struct twilio_rest_error error;
	struct job_verdict v;
	const struct twilio_rest_code *known = NULL;
	char code[16];
	char text[2 * TWILIO_REST_TEXT_SIZE];

	job_judge(job, reply, &v);
	if (reply->status >= 400 && twilio_rest_error(reply->body, reply->body_len, &error))
	{
		known = twilio_rest_code(error.code);
		v.text = error.message;
		if (error.code != 0)
		{
			snprintf(code, sizeof(code), "%d", error.code);
			v.code = code;
		}
		if (known != NULL)
		{
			snprintf(text, sizeof(text), "%s (%s)", known->meaning, error.message);
			v.text = text;
			if (reply->status < 500)
				judge_code(known, &v);
		}
	}
	else if (reply->status >= 400)
		v.text = "Twilio answered with something else than its own words";
	if (json_flag(request, "gone_is_done", false) &&
		((reply->status == 404 && (known == NULL || known->kind == TWILIO_REST_GONE)) ||
		 (known != NULL && known->code == 21220)))
	{
		struct json_object *result = json_object_new_object();

		json_object_object_add(result, "gone", json_object_new_boolean(true));
		finish_done(job, reply->status, result);
		return;
	}
	/* Any 5xx may come after the call was placed; 429 comes before (see 20429). */
	if (reply->status >= 500 && !job_repeatable(job))
	{
		v.outcome = JOB_UNKNOWN;
		v.provider_down = true;
	}
	job_finish(job, &v);
}

static void
on_answer(struct job *job, const struct http_reply *reply)
{
	struct twilio_rest_resource resource;
	struct va_error err = {""};
	struct job_verdict verdict = {.outcome = JOB_UNKNOWN,
								  .http_status = reply->status,
								  .code = "garbage",
								  .text = err.text,
								  .retry_after_s = -1};

	if (reply->status < 200 || reply->status > 299)
		judge_refusal(job, reply);
	else if (reply->status == 204)
		finish_done(job, reply->status, json_object_new_object());
	else if (twilio_rest_resource(reply->body, reply->body_len, &resource, &err))
		finish_done(job, reply->status, result_of(&resource, NULL));
	else
		job_finish(job, &verdict); /* taken, but what became of it must be looked up */
}

static void
perform(struct job *job)
{
	struct json_object *request = job_request(job);
	const char *method = json_text(request, "method", "POST");
	bool has_form = strcmp(method, "POST") == 0;
	char *form = has_form ? malloc(FORM_SIZE) : NULL;
	char url[TWILIO_REST_URL_SIZE];
	struct va_error err = {""};
	struct buf out = {0};

	if (has_form && form == NULL)
	{
		job_fail(job, "no_memory", NULL, "out of memory");
		return;
	}
	if (has_form)
		buf_init(&out, form, FORM_SIZE);
	if (put_url(request, json_text(request, "path", ""), url, &err) &&
		(!has_form || twilio_rest_form(&out, json_member(request, "form"), &err)))
		send_to(job, method, url, form, out.len, on_answer);
	else
		job_fail(job, "malformed", NULL, "the request cannot be made: %s", err.text);
	free(form);
}

/* ---- what became of an attempt ------------------------------------------------------------------ */

struct search
{
	struct twilio_rest_found found;
	unsigned pages;
};

static void
forget(struct job *job)
{
	free(job_state(job));
	job_set_state(job, NULL);
}

static void
finish_unknown(struct job *job, int status, const char *code, const char *text, const char *hint)
{
	struct job_verdict verdict = {.outcome = JOB_UNKNOWN,
								  .http_status = status,
								  .code = code,
								  .text = text,
								  .hint = hint,
								  .retry_after_s = -1};

	forget(job);
	job_finish(job, &verdict);
}

/* All pages are read. */
static void
conclude(struct job *job, struct search *search)
{
	struct json_object *listing = json_member(job_request(job), "listing");
	struct job_verdict absent = {.outcome = JOB_ABSENT,
								 .code = "not_listed",
								 .text = "Twilio's list does not have it",
								 .retry_after_s = -1};
	struct json_object *result;
	int64_t age = 0, wait = 0;

	json_integer(listing, "age_s", &age);
	json_integer(listing, "wait_s", &wait);
	if (search->found.count == 1)
	{
		result = result_of(&search->found.first, "listing");
		forget(job);
		finish_done(job, 200, result);
	}
	else if (search->found.count > 1)
		finish_unknown(job, 200, "several", "Twilio lists several that could be it",
					   "Look at the log in the Twilio console which of them it is.");
	else if (age < wait)
		finish_unknown(job, 200, "not_listed_yet",
					   "Twilio does not list it; its list may lag behind", NULL);
	else
	{
		forget(job);
		job_finish(job, &absent);
	}
}

static void on_page(struct job *job, const struct http_reply *reply);

static void
read_on(struct job *job, struct search *search)
{
	struct json_object *request = job_request(job);
	char url[TWILIO_REST_URL_SIZE];
	struct va_error err = {""};
	struct buf out;

	buf_init(&out, url, sizeof(url));
	if (++search->pages >= MAX_PAGES)
		finish_unknown(job, 200, "many", "Twilio's list is too long to be read", NULL);
	else if (twilio_rest_next_url(&out, json_text(request, "base_url", ""),
								  json_text(request, "account_sid", ""), search->found.next, &err))
		send_to(job, "GET", url, NULL, 0, on_page);
	else
		finish_unknown(job, 200, "garbage", err.text, NULL);
}

static void
on_page(struct job *job, const struct http_reply *reply)
{
	struct search *search = job_state(job);
	struct json_object *listing = json_member(job_request(job), "listing");
	struct twilio_rest_wanted wanted = {
		.list = json_text(listing, "list", ""),
		.to = json_text(listing, "to", ""),
		.from = json_text(listing, "from", NULL),
		.body = json_text(listing, "body", NULL),
		.known = json_member(listing, "known"),
	};
	struct va_error err = {""};

	json_integer(listing, "since", &wanted.since);
	if (reply->status != 200)
	{
		forget(job);
		judge_refusal(job, reply);
	}
	else if (!twilio_rest_find(reply->body, reply->body_len, &wanted, &search->found, &err))
		finish_unknown(job, 200, "garbage", err.text, NULL);
	else if (search->found.next[0] != '\0')
		read_on(job, search);
	else
		conclude(job, search);
}

/* The first page. It is filtered by number alone: StartTime and DateSent are empty while a call or
 * message waits at Twilio, so a filter by time would hide just what is looked for. */
static bool
put_listing_path(struct json_object *listing, char *path, size_t size)
{
	const char *list = json_text(listing, "list", "");
	bool calls = strcmp(list, "calls") == 0;
	const char *from = json_text(listing, "from", NULL);
	struct buf out;

	buf_init(&out, path, size);
	buf_str(&out, calls ? "Calls.json?" : "Messages.json?");
	twilio_rest_field(&out, "To", json_text(listing, "to", ""));
	if (from != NULL)
		twilio_rest_field(&out, "From", from);
	twilio_rest_field(&out, "PageSize", "100");
	return !out.overflow && (calls || strcmp(list, "messages") == 0);
}

static void
reconcile(struct job *job)
{
	struct json_object *listing = json_member(job_request(job), "listing");
	struct search *search = calloc(1, sizeof(*search));
	char path[QUERY_SIZE];
	char url[TWILIO_REST_URL_SIZE];
	struct va_error err = {"there is no list to look at"};

	job_set_state(job, search);
	if (search != NULL && put_listing_path(listing, path, sizeof(path)) &&
		put_url(job_request(job), path, url, &err))
		send_to(job, "GET", url, NULL, 0, on_page);
	else
		finish_unknown(job, 0, "no_listing", err.text, NULL);
}

const struct provider twilio_provider = {"twilio", perform, reconcile, forget};
