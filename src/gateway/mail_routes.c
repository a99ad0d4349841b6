/*
 * mail_routes.c: see mail_routes.h.
 *
 * As in routes.c nothing reaches the database before it is known who sent it. A mail may be large;
 * so that not everybody can make the gateway hold 35 MB, a large body is taken only from a request
 * that shows the token, or a signature to be checked.
 */
#include "gateway/mail_routes.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/inbound_mail.h"
#include "core/json.h"
#include "core/multipart.h"
#include "core/sendgrid.h"
#include "net/db.h"
#include "net/log.h"
#include "net/loop.h"

#define EVENTS_MAX_BODY (2 * 1024 * 1024) /* deliveries end at 768 KB */
#define INBOUND_MAX_BODY (35 * 1024 * 1024)
#define SMALL_MAX_BODY (64 * 1024)
#define TIMEOUT_MS 8000
#define TOKEN_SIZE 1024
#define TENANT_SIZE 40
/* SendGrid tries for a day, with the signature of the first time. Repeats are told apart by their
 * events' ids. */
#define TOLERANCE_S (25 * 3600)

enum mail_route
{
	MAIL_EVENTS,
	MAIL_INBOUND,
	MAIL_UNSUBSCRIBE,
	MAIL_NONE
};

static const char *const paths[] = {
	[MAIL_EVENTS] = "/webhook/email/events",
	[MAIL_INBOUND] = "/webhook/email/inbound",
	[MAIL_UNSUBSCRIBE] = "/unsubscribe",
};

/* A query under way. */
struct mail_job
{
	struct gateway *gateway;
	struct http_exchange *exchange;
	const char *type; /* of the answer's body */
};

static enum mail_route
find(const struct gateway *g, const struct http_request *req)
{
	const char *path = urls_route(&g->urls, req->path);

	if (req->local_port == g->settings.media_port &&
		g->settings.media_port != g->settings.http_port)
		return MAIL_NONE;
	for (int i = 0; i < MAIL_NONE; i++)
	{
		if (strcmp(paths[i], path) == 0)
			return (enum mail_route) i;
	}
	return MAIL_NONE;
}

/* A parameter of the query that needs no decoding: letters, digits, - and _. */
static bool
parameter(const char *query, const char *name, char *out, size_t size)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	size_t name_len = strlen(name);

	out[0] = '\0';
	while (*query != '\0')
	{
		size_t len = strcspn(query, "&");

		if (len > name_len && strncmp(query, name, name_len) == 0 && query[name_len] == '=')
		{
			size_t value = strspn(query + name_len + 1, plain);

			if (value != len - name_len - 1 || value >= size)
				return false;
			memcpy(out, query + name_len + 1, value);
			out[value] = '\0';
			return true;
		}
		query += len + (query[len] == '&');
	}
	return false;
}

static void
answer_words(struct http_exchange *ex, int status, const char *words, const char *headers)
{
	http_answer(ex, status, "text/plain; charset=utf-8", words, strlen(words), headers);
}

static void
turn_away(struct gateway *g, struct http_exchange *ex, enum rejection why, int status,
		  const char *words)
{
	gateway_reject(g, why);
	log_debug("a request about e-mail was turned away with %d: %s", status, words);
	answer_words(ex, status, words, NULL);
}

/* ---- the database's answer ---- */

static void
answered(void *arg, const struct db_reply *reply)
{
	struct mail_job *job = arg;

	if (reply->outcome == DB_OK && PQntuples(reply->result) == 1)
	{
		int status = (int) strtol(PQgetvalue(reply->result, 0, 0), NULL, 10);

		if (PQgetisnull(reply->result, 0, 1))
			http_answer(job->exchange, status == 200 ? 204 : status, NULL, "", 0, NULL);
		else
			http_answer(job->exchange, status, job->type, PQgetvalue(reply->result, 0, 1),
						(size_t) PQgetlength(reply->result, 0, 1),
						"Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n");
	}
	else
	{
		struct log_context ctx = {
			.detail = reply->outcome == DB_TIMEOUT ? "no answer in time"
					  : reply->outcome == DB_FULL  ? "the queue of queries is full"
												   : reply->message,
			.hint = "SendGrid sends it again by itself.",
		};

		job->gateway->counters.webhooks_failed++;
		log_write(LOG_LEVEL_ERROR, &ctx, "the database did not answer a request about e-mail");
		answer_words(job->exchange, 503, "please try again later\n", NULL);
	}
	free(job);
}

static void
ask(struct gateway *g, struct http_exchange *ex, enum sql_id sql, const char *first,
	const char *second)
{
	struct mail_job *job = calloc(1, sizeof(*job));
	const char *values[] = {first, second, g->name};

	if (job == NULL)
	{
		answer_words(ex, 503, "please try again later\n", NULL);
		return;
	}
	g->counters.webhooks++;
	job->gateway = g;
	job->exchange = ex;
	job->type = "text/html; charset=utf-8";
	/* One connection for all of one tenant's, so that they come one after the other. */
	db_request(g->db, db_affinity(first != NULL ? first : ""), g->sql.texts[sql], 3, values,
			   TIMEOUT_MS, answered, job);
}

/* ---- who sent it ---- */

static const struct mail_key *
key_of(const struct gateway *g, const struct http_request *req, char tenant[TENANT_SIZE])
{
	parameter(req->query, "tenant", tenant, TENANT_SIZE);
	return mail_keys_find(&g->mail_keys, tenant);
}

static bool
token_right(const struct mail_key *key, const struct http_request *req)
{
	char token[MAIL_TOKEN_SIZE];

	return key->inbound_token[0] != '\0' && parameter(req->query, "token", token, sizeof(token)) &&
		   strlen(token) == strlen(key->inbound_token) &&
		   CRYPTO_memcmp(token, key->inbound_token, strlen(token)) == 0;
}

static bool
signed_by(const char *public_key, struct http_exchange *ex, const struct http_request *req)
{
	const char *signature = http_header(ex, "x-twilio-email-event-webhook-signature");
	const char *timestamp = http_header(ex, "x-twilio-email-event-webhook-timestamp");

	return public_key[0] != '\0' && signature[0] != '\0' &&
		   sendgrid_timestamp_fresh(timestamp, loop_wall_ms() / 1000, TOLERANCE_S) &&
		   sendgrid_verify(public_key, timestamp, req->body, req->body_len, signature);
}

/* Where both are set up both must be right. */
static bool
inbound_right(const struct mail_key *key, struct http_exchange *ex, const struct http_request *req)
{
	if (key->inbound_key[0] == '\0')
		return token_right(key, req);
	return signed_by(key->inbound_key, ex, req) &&
		   (key->inbound_token[0] == '\0' || token_right(key, req));
}

/* ---- the three ---- */

static void
on_events(struct gateway *g, struct http_exchange *ex, const struct http_request *req)
{
	char tenant[TENANT_SIZE];
	const struct mail_key *key = key_of(g, req, tenant);
	struct va_error err = {""};
	struct json_object *events;
	size_t skipped;

	if (key == NULL || !signed_by(key->event_key, ex, req))
	{
		turn_away(g, ex, REJECT_SIGNATURE, 403, "wrong signature\n");
		return;
	}
	events = sendgrid_read_events(req->body, req->body_len, &skipped, &err);
	if (events == NULL)
	{
		turn_away(g, ex, REJECT_MALFORMED, 400, "malformed events\n");
		return;
	}
	if (skipped > 0)
		log_debug("%zu events without id, name or time were passed over", skipped);
	ask(g, ex, SQL_EMAIL_EVENTS, tenant[0] != '\0' ? tenant : NULL,
		json_object_to_json_string_ext(events, JSON_C_TO_STRING_PLAIN));
	json_object_put(events);
}

static void
on_inbound(struct gateway *g, struct http_exchange *ex, const struct http_request *req)
{
	char tenant[TENANT_SIZE], boundary[MULTIPART_BOUNDARY_SIZE];
	const struct mail_key *key = key_of(g, req, tenant);
	struct multipart *form = malloc(sizeof(*form));
	struct va_error err = {""};

	if (key == NULL || !inbound_right(key, ex, req))
		turn_away(g, ex, REJECT_SIGNATURE, 403, "wrong token or signature\n");
	else if (!multipart_boundary(req->content_type, boundary))
		turn_away(g, ex, REJECT_MALFORMED, 415, "multipart/form-data is expected\n");
	else if (form == NULL)
		answer_words(ex, 503, "out of memory\n", NULL);
	else if (!multipart_read(boundary, req->body, req->body_len, form, &err))
		turn_away(g, ex, REJECT_MALFORMED, 400, "malformed form\n");
	else
	{
		struct json_object *mail = inbound_mail(form);

		ask(g, ex, SQL_EMAIL_INBOUND, tenant[0] != '\0' ? tenant : NULL,
			json_object_to_json_string_ext(mail, JSON_C_TO_STRING_PLAIN));
		json_object_put(mail);
	}
	free(form);
}

static void
on_unsubscribe(struct gateway *g, struct http_exchange *ex, const struct http_request *req)
{
	char token[TOKEN_SIZE];

	parameter(req->query, "t", token, sizeof(token));
	ask(g, ex, SQL_UNSUBSCRIBE, token, strcmp(req->method, "POST") == 0 ? "true" : "false");
}

bool
mail_routes_serve(struct gateway *g, struct http_exchange *ex, const struct http_request *req)
{
	enum mail_route route = find(g, req);
	bool get = strcmp(req->method, "GET") == 0 && route == MAIL_UNSUBSCRIBE;

	if (route == MAIL_NONE)
		return false;
	if (!get && strcmp(req->method, "POST") != 0)
	{
		gateway_reject(g, REJECT_METHOD);
		answer_words(ex, 405, "method not allowed\n",
					 route == MAIL_UNSUBSCRIBE ? "Allow: GET, POST\r\n" : "Allow: POST\r\n");
	}
	else if (req->body_too_large)
		turn_away(g, ex, REJECT_TOO_LARGE, 413, "the body is too large\n");
	else if (g->db == NULL || g->stopped)
		answer_words(ex, 503, "please try again later\n", NULL);
	else if (route == MAIL_EVENTS)
		on_events(g, ex, req);
	else if (route == MAIL_INBOUND)
		on_inbound(g, ex, req);
	else
		on_unsubscribe(g, ex, req);
	return true;
}

size_t
mail_routes_limit(struct gateway *g, struct http_exchange *ex, const struct http_request *req)
{
	enum mail_route route = find(g, req);
	char tenant[TENANT_SIZE];
	const struct mail_key *key;
	bool shows_signature;

	if (route == MAIL_NONE)
		return 0;
	key = route != MAIL_UNSUBSCRIBE ? key_of(g, req, tenant) : NULL;
	shows_signature = http_header(ex, "x-twilio-email-event-webhook-signature")[0] != '\0';
	if (key == NULL)
		return SMALL_MAX_BODY;
	if (route == MAIL_EVENTS)
		return shows_signature ? EVENTS_MAX_BODY : SMALL_MAX_BODY;
	return (key->inbound_token[0] == '\0' || token_right(key, req)) &&
				   (key->inbound_key[0] == '\0' || shows_signature)
			   ? INBOUND_MAX_BODY
			   : SMALL_MAX_BODY;
}
