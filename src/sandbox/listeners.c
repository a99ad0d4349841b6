/*
 * listeners.c: the stand-ins that are only told things: a receiver of webhooks (/hooks), a server of
 * ntfy (/ntfy) and a collector of traces (/otlp).
 *
 * The receiver checks the signature as the Standard Webhooks specification has it, with the secret of its
 * own query: /hooks/any/path?secret=plain+text. What is wrong is answered with 401 or 400.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sandbox/json_text.h"
#include "sandbox/providers.h"

#define TOLERANCE_S 300

static void *
listener_open(const struct stand_in_host *host)
{
	return (void *) host;
}

static void
listener_close(void *self)
{
	(void) self;
}

static void
say(struct stand_in_exchange *ex, int status, const char *name, const char *text)
{
	struct json_object *body = json_object_new_object();

	json_put_text(body, name, text);
	stand_in_answer_json(ex, status, body);
}

/* ---- webhooks ---- */

static bool
signature_holds(struct stand_in_exchange *ex, const struct stand_in_request *r, const char *secret)
{
	const char *id = stand_in_header(ex, "webhook-id");
	const char *stamp = stand_in_header(ex, "webhook-timestamp");
	unsigned char digest[32];
	char encoded[64];
	unsigned len = sizeof(digest);
	size_t size = strlen(id) + strlen(stamp) + r->body_len + 3;
	char *text = malloc(size);
	int head;

	if (text == NULL)
		abort();
	head = snprintf(text, size, "%s.%s.", id, stamp);
	memcpy(text + head, r->body, r->body_len);
	HMAC(EVP_sha256(), secret, (int) strlen(secret), (unsigned char *) text,
		 (size_t) head + r->body_len, digest, &len);
	free(text);
	EVP_EncodeBlock((unsigned char *) encoded, digest, sizeof(digest));
	return labs((long) time(NULL) - strtol(stamp, NULL, 10)) <= TOLERANCE_S && id[0] != '\0' &&
		   strncmp(stand_in_header(ex, "webhook-signature"), "v1,", 3) == 0 &&
		   strcmp(stand_in_header(ex, "webhook-signature") + 3, encoded) == 0;
}

static void
hooks_request(void *self, struct stand_in_exchange *ex, const struct stand_in_request *r)
{
	const struct stand_in_host *host = self;
	const char *secret = strstr(r->query, "secret=");
	char error[128];
	struct json_object *event = json_text_object(r->body, r->body_len, error, sizeof(error));
	struct json_object *line;

	if (strcmp(r->method, "POST") != 0 || event == NULL)
		say(ex, 400, "error", event == NULL ? error : "post, please");
	else if (secret == NULL || !signature_holds(ex, r, secret + 7))
		say(ex, 401, "error", "the signature does not hold");
	else
	{
		line = ledger_line(host->ledger, stand_in_header(ex, "webhook-id"), "hook");
		json_put_text(line, "type", json_text_member(event, "type"));
		json_put_text(line, "path", r->path);
		ledger_write(host->ledger, line);
		say(ex, 200, "status", "taken");
	}
	json_object_put(event);
}

/* ---- ntfy ---- */

static void
ntfy_request(void *self, struct stand_in_exchange *ex, const struct stand_in_request *r)
{
	const struct stand_in_host *host = self;
	char error[128];
	struct json_object *message = json_text_object(r->body, r->body_len, error, sizeof(error));
	struct json_object *line;

	if (message == NULL || json_text_member(message, "topic")[0] == '\0')
		say(ex, 400, "error", "invalid request: message must be JSON with a topic");
	else if (strcmp(json_text_member(message, "topic"), "private") == 0 &&
			 strcmp(stand_in_header(ex, "authorization"), "Bearer tk_sandbox") != 0)
		say(ex, 403, "error", "forbidden");
	else
	{
		line = ledger_line(host->ledger, json_text_member(message, "topic"), "push");
		json_put_text(line, "title", json_text_member(message, "title"));
		json_put_text(line, "message", json_text_member(message, "message"));
		ledger_write(host->ledger, line);
		say(ex, 200, "id", "sandbox");
	}
	json_object_put(message);
}

/* ---- traces ---- */

static bool
hex_id(const char *id, size_t len)
{
	return strlen(id) == len && strspn(id, "0123456789abcdef") == len && strspn(id, "0") != len;
}

/* The spans of a request are lines of the ledger; false when one is not as OTLP has them. */
static bool
take_spans(const struct stand_in_host *host, struct json_object *spans)
{
	for (size_t i = 0; i < json_object_array_length(spans); i++)
	{
		struct json_object *span = json_object_array_get_idx(spans, i);
		const char *trace = json_text_member(span, "traceId");
		struct json_object *line;

		if (!hex_id(trace, 32) || !hex_id(json_text_member(span, "spanId"), 16) ||
			json_text_member(span, "name")[0] == '\0' ||
			strtoull(json_text_member(span, "startTimeUnixNano"), NULL, 10) >
				strtoull(json_text_member(span, "endTimeUnixNano"), NULL, 10) ||
			json_text_child(span, "attributes", json_type_array) == NULL)
			return false;
		line = ledger_line(host->ledger, trace, "span");
		json_put_text(line, "span", json_text_member(span, "spanId"));
		json_put_text(line, "name", json_text_member(span, "name"));
		ledger_write(host->ledger, line);
	}
	return json_object_array_length(spans) > 0;
}

/* The first element of a list that a member names, or NULL. */
static struct json_object *
first_of(struct json_object *object, const char *name)
{
	struct json_object *list = json_text_child(object, name, json_type_array);

	return list == NULL ? NULL : json_object_array_get_idx(list, 0);
}

static void
otlp_request(void *self, struct stand_in_exchange *ex, const struct stand_in_request *r)
{
	char error[128];
	struct json_object *body = json_text_object(r->body, r->body_len, error, sizeof(error));
	struct json_object *resource = body == NULL ? NULL : first_of(body, "resourceSpans");
	struct json_object *scope = resource == NULL ? NULL : first_of(resource, "scopeSpans");
	struct json_object *spans =
		scope == NULL ? NULL : json_text_child(scope, "spans", json_type_array);

	if (strcmp(r->path, "/v1/traces") != 0)
		say(ex, 404, "message", "there is nothing here");
	else if (spans == NULL || !take_spans(self, spans))
		say(ex, 400, "message", body == NULL ? error : "these are no spans");
	else
		stand_in_answer(ex, 200, "application/json", "{}", 2, NULL);
	json_object_put(body);
}

const struct stand_in hooks_stand_in = {"/hooks", listener_open, hooks_request, listener_close};
const struct stand_in ntfy_stand_in = {"/ntfy", listener_open, ntfy_request, listener_close};
const struct stand_in otlp_stand_in = {"/otlp", listener_open, otlp_request, listener_close};
