/*
 * google_api.c: the stand-in for Google's token end point and Calendar API.
 *
 * Sources: Google's docs "Using OAuth 2.0 for Server to Server Applications", "Calendar API: Events",
 * "Handle API errors". A calendar exists as soon as it is named, but for those whose id has "missing"
 * in it (404) or "forbidden" (403). The id of a deleted event stays taken, as it does there. For
 * tests:
 *
 *	POST /sandbox/account {"client_email", "public_key": PEM, "delegated": false}
 *	POST /sandbox/expire  takes back all tokens
 */
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/loop.h"
#include "sandbox/codec.h"
#include "sandbox/json_text.h"
#include "sandbox/providers.h"

#define TOKEN_SIZE 64
#define ID_SIZE 256

struct google
{
	const struct stand_in_host *host;
	struct json_object *accounts; /* client_email → {public_key, delegated} */
	struct json_object *tokens; /* token → {"email", "sub"} */
	struct json_object *events; /* "calendar/event" → event */
};

/* ---- tokens ---- */

static void
refuse_token(struct stand_in_exchange *ex, const char *why)
{
	struct json_object *body = json_object_new_object();

	json_put_text(body, "error", "invalid_grant");
	json_put_text(body, "error_description", why);
	stand_in_answer_json(ex, 400, body);
}

/* base64url without padding; returns the length or -1. */
static ssize_t
decode(const char *text, size_t len, void *out, size_t size)
{
	char plain[8192];
	size_t n = len;

	if (len + 4 > sizeof(plain))
		return -1;
	for (size_t i = 0; i < len; i++)
		plain[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
	while (n % 4 != 0)
		plain[n++] = '=';
	plain[n] = '\0';
	return codec_base64_decode(out, size, plain, n);
}

static bool
verify(const char *pem, const char *text, size_t len, const char *signature, size_t signature_len)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = bio != NULL ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char bytes[1024];
	ssize_t n = decode(signature, signature_len, bytes, sizeof(bytes));
	bool good = key != NULL && ctx != NULL && n > 0 &&
				EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
				EVP_DigestVerify(ctx, bytes, (size_t) n, (const unsigned char *) text, len) == 1;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	BIO_free(bio);
	return good;
}

/* Why the claims are refused, or NULL. */
static const char *
bad_claims(struct google *g, struct json_object *claims, struct json_object *account)
{
	long long now = loop_wall_ms() / 1000;
	long long iat = json_object_get_int64(json_object_object_get(claims, "iat"));
	long long exp = json_object_get_int64(json_object_object_get(claims, "exp"));
	char audience[200];

	snprintf(audience, sizeof(audience), "%s/google/token", g->host->base_url);
	if (account == NULL)
		return "Invalid grant: account not found";
	if (strcmp(json_text_member(claims, "aud"), audience) != 0)
		return "Invalid JWT: Failed audience check.";
	if (exp <= now || iat > now + 60 || exp - iat > 3600)
		return "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable "
			   "timeframe.";
	if (strstr(json_text_member(claims, "scope"), "/auth/calendar") == NULL)
		return "Invalid OAuth scope or ID token audience provided.";
	if (json_text_member(claims, "sub")[0] != '\0' &&
		!json_object_get_boolean(json_object_object_get(account, "delegated")))
		return "Client is unauthorized to retrieve access tokens using this method.";
	return NULL;
}

static void
grant(struct google *g, struct stand_in_exchange *ex, struct json_object *claims)
{
	struct json_object *body = json_object_new_object();
	struct json_object *owner = json_object_new_object();
	char token[TOKEN_SIZE];

	codec_random_sid(token, sizeof(token), "ya29.");
	json_put_text(owner, "email", json_text_member(claims, "iss"));
	json_put_text(owner, "sub", json_text_member(claims, "sub"));
	json_object_object_add(g->tokens, token, owner);
	ledger_note(g->host->ledger, json_text_member(claims, "iss"), "token", NULL, NULL);
	json_put_text(body, "access_token", token);
	json_put_int(body, "expires_in", 3599);
	json_put_text(body, "token_type", "Bearer");
	stand_in_answer_json(ex, 200, body);
}

static void
serve_token(struct google *g, struct stand_in_exchange *ex, const struct stand_in_request *request)
{
	static const char prefix[] =
		"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
	const char *jwt = request->body + sizeof(prefix) - 1;
	const char *first, *second, *why;
	char text[4096], error[160];
	struct json_object *claims, *account;
	ssize_t n;

	if (strcmp(request->method, "POST") != 0 ||
		strncmp(request->body, prefix, sizeof(prefix) - 1) != 0 ||
		(first = strchr(jwt, '.')) == NULL || (second = strchr(first + 1, '.')) == NULL)
	{
		refuse_token(ex, "Bad Request");
		return;
	}
	n = decode(first + 1, (size_t) (second - first - 1), text, sizeof(text) - 1);
	claims = n > 0 ? json_text_object(text, (size_t) n, error, sizeof(error)) : NULL;
	account = json_text_child(g->accounts, json_text_member(claims, "iss"), json_type_object);
	why = claims != NULL ? bad_claims(g, claims, account) : "Invalid JWT";
	if (why == NULL && !verify(json_text_member(account, "public_key"), jwt,
							   (size_t) (second - jwt), second + 1, strlen(second + 1)))
		why = "Invalid JWT Signature.";
	if (why != NULL)
		refuse_token(ex, why);
	else
		grant(g, ex, claims);
	json_object_put(claims);
}

/* ---- events ---- */

static void
answer_error(struct stand_in_exchange *ex, int status, const char *reason, const char *message)
{
	struct json_object *body = json_object_new_object();
	struct json_object *error = json_object_new_object();
	struct json_object *list = json_object_new_array();
	struct json_object *one = json_object_new_object();

	json_put_text(one, "domain", "global");
	json_put_text(one, "reason", reason);
	json_put_text(one, "message", message);
	json_object_array_add(list, one);
	json_put_int(error, "code", status);
	json_put_text(error, "message", message);
	json_object_object_add(error, "errors", list);
	json_object_object_add(body, "error", error);
	stand_in_answer_json(ex, status, body);
}

static void
merge(struct json_object *event, struct json_object *changes)
{
	json_object_object_foreach(changes, key, value)
		json_object_object_add(event, key, json_object_get(value));
}

static void
note(struct google *g, const char *what, const char *calendar, const char *id,
	 struct json_object *event)
{
	struct json_object *line = ledger_line(g->host->ledger, id, what);

	json_put_text(line, "calendar", calendar);
	if (event != NULL)
		json_object_object_add(line, "event_data", json_object_get(event));
	ledger_write(g->host->ledger, line);
}

/* A copy, since the host prints and releases what it is given. */
static void
answer_event(struct stand_in_exchange *ex, struct json_object *event)
{
	struct json_object *copy = NULL;

	if (json_object_deep_copy(event, &copy, NULL) != 0)
		abort();
	stand_in_answer_json(ex, 200, copy);
}

static bool
id_good(const char *id)
{
	size_t len = strlen(id);

	return len >= 5 && len <= 1024 && strspn(id, "0123456789abcdefghijklmnopqrstuv") == len;
}

static void
insert(struct google *g, struct stand_in_exchange *ex, const char *calendar,
	   struct json_object *event)
{
	const char *id = json_text_member(event, "id");
	char path[2 * ID_SIZE];

	snprintf(path, sizeof(path), "%s/%s", calendar, id);
	if (!id_good(id))
		answer_error(ex, 400, "invalid", "Invalid resource id value.");
	else if (json_text_child(event, "start", json_type_object) == NULL ||
			 json_text_child(event, "end", json_type_object) == NULL)
		answer_error(ex, 400, "required", "Missing end time.");
	else if (json_object_object_get_ex(g->events, path, NULL))
		answer_error(ex, 409, "duplicate", "The requested identifier already exists.");
	else
	{
		json_put_text(event, "htmlLink", "https://calendar.example.test/event");
		json_object_object_add(g->events, path, json_object_get(event));
		note(g, "inserted", calendar, id, event);
		answer_event(ex, event);
	}
}

static void
change(struct google *g, struct stand_in_exchange *ex, const char *method, const char *calendar,
	   const char *id, struct json_object *changes)
{
	char path[2 * ID_SIZE];
	struct json_object *event;
	bool deleted;

	snprintf(path, sizeof(path), "%s/%s", calendar, id);
	event = json_text_child(g->events, path, json_type_object);
	deleted = strcmp(json_text_member(event, "status"), "cancelled") == 0;
	if (event == NULL)
		answer_error(ex, 404, "notFound", "Not Found");
	else if (strcmp(method, "GET") == 0)
		answer_event(ex, event);
	else if (strcmp(method, "DELETE") == 0 && deleted)
		answer_error(ex, 410, "deleted", "Resource has been deleted");
	else if (strcmp(method, "DELETE") == 0)
	{
		json_put_text(event, "status", "cancelled");
		note(g, "deleted", calendar, id, NULL);
		stand_in_answer(ex, 204, NULL, "", 0, NULL);
	}
	else if (strcmp(method, "PATCH") == 0 && changes != NULL)
	{
		merge(event, changes);
		note(g, "patched", calendar, id, event);
		answer_event(ex, event);
	}
	else
		answer_error(ex, 400, "badRequest", "Bad Request");
}

static void
list(struct google *g, struct stand_in_exchange *ex, const char *calendar)
{
	struct json_object *body = json_object_new_object();
	struct json_object *items = json_object_new_array();
	size_t len = strlen(calendar);

	json_object_object_foreach(g->events, path, event)
	{
		if (strncmp(path, calendar, len) == 0 && path[len] == '/' &&
			strcmp(json_text_member(event, "status"), "cancelled") != 0)
			json_object_array_add(items, json_object_get(event));
	}
	json_object_object_add(body, "items", items);
	stand_in_answer_json(ex, 200, body);
}

/* %40 and the like. */
static void
unescape(const char *text, size_t len, char out[ID_SIZE])
{
	size_t at = 0;

	for (size_t i = 0; i < len && at + 1 < ID_SIZE; i++)
	{
		char hex[3] = {0};

		if (text[i] == '%' && i + 2 < len)
		{
			memcpy(hex, text + i + 1, 2);
			out[at++] = (char) strtol(hex, NULL, 16);
			i += 2;
		}
		else
			out[at++] = text[i];
	}
	out[at] = '\0';
}

/* Who asks: the token's owner, or NULL with the answer given. */
static struct json_object *
owner_of(struct google *g, struct stand_in_exchange *ex)
{
	const char *authorization = stand_in_header(ex, "authorization");
	struct json_object *owner =
		strncmp(authorization, "Bearer ", 7) == 0
			? json_text_child(g->tokens, authorization + 7, json_type_object)
			: NULL;

	if (owner == NULL)
		answer_error(ex, 401, "authError", "Invalid Credentials");
	return owner;
}

static void
serve_calendar(struct google *g, struct stand_in_exchange *ex,
			   const struct stand_in_request *request)
{
	const char *rest = request->path + strlen("/calendar/v3/calendars/");
	size_t len = strcspn(rest, "/");
	char calendar[ID_SIZE], id[ID_SIZE] = "", error[160];
	struct json_object *owner = owner_of(g, ex);
	struct json_object *body;

	if (owner == NULL)
		return;
	unescape(rest, len, calendar);
	rest += len;
	if (strncmp(rest, "/events/", 8) == 0)
		unescape(rest + 8, strlen(rest + 8), id);
	else if (strcmp(rest, "/events") != 0)
	{
		answer_error(ex, 404, "notFound", "Not Found");
		return;
	}
	body = json_text_object(request->body, request->body_len, error, sizeof(error));
	if (strstr(calendar, "missing") != NULL)
		answer_error(ex, 404, "notFound", "Not Found");
	else if (strstr(calendar, "forbidden") != NULL)
		answer_error(ex, 403, "forbidden", "Forbidden");
	else if (json_text_child(body, "attendees", json_type_array) != NULL &&
			 json_text_member(owner, "sub")[0] == '\0')
		answer_error(ex, 403, "forbiddenForServiceAccounts",
					 "Service accounts cannot invite attendees without Domain-Wide Delegation of "
					 "Authority.");
	else if (id[0] != '\0')
		change(g, ex, request->method, calendar, id, body);
	else if (strcmp(request->method, "GET") == 0)
		list(g, ex, calendar);
	else if (strcmp(request->method, "POST") == 0 && body != NULL)
		insert(g, ex, calendar, body);
	else
		answer_error(ex, 400, "parseError", "Parse Error");
	json_object_put(body);
}

/* ---- for tests ---- */

static void
serve_test(struct google *g, struct stand_in_exchange *ex, const struct stand_in_request *request)
{
	struct json_object *answer = json_object_new_object();
	char error[160] = "";
	struct json_object *spec =
		json_text_object(request->body, request->body_len, error, sizeof(error));

	if (strcmp(request->path, "/sandbox/expire") == 0)
	{
		json_object_put(g->tokens);
		g->tokens = json_object_new_object();
	}
	else if (strcmp(request->path, "/sandbox/account") == 0 && spec != NULL)
		json_object_object_add(g->accounts, json_text_member(spec, "client_email"),
							   json_object_get(spec));
	else
		json_put_text(answer, "error", "there is no such thing");
	stand_in_answer_json(ex, json_object_object_length(answer) == 0 ? 200 : 400, answer);
	json_object_put(spec);
}

static void
google_request(void *self, struct stand_in_exchange *ex, const struct stand_in_request *request)
{
	if (strcmp(request->path, "/token") == 0)
		serve_token(self, ex, request);
	else if (strncmp(request->path, "/calendar/v3/calendars/", 23) == 0)
		serve_calendar(self, ex, request);
	else if (strncmp(request->path, "/sandbox/", 9) == 0)
		serve_test(self, ex, request);
	else
		answer_error(ex, 404, "notFound", "Not Found");
}

static void *
google_open(const struct stand_in_host *host)
{
	struct google *g = calloc(1, sizeof(*g));

	if (g == NULL)
		abort();
	g->host = host;
	g->accounts = json_object_new_object();
	g->tokens = json_object_new_object();
	g->events = json_object_new_object();
	return g;
}

static void
google_close(void *self)
{
	struct google *g = self;

	json_object_put(g->accounts);
	json_object_put(g->tokens);
	json_object_put(g->events);
	free(g);
}

const struct stand_in google_stand_in = {"/google", google_open, google_request, google_close};
