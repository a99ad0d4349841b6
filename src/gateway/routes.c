/*
 * routes.c: see routes.h.
 *
 * The order of checks: path, method, size, content type, form, signature; the first four cost
 * nothing and reveal nothing, and a form must be decoded to be verified. Whatever fails is answered
 * with the right status and counted by kind. Nothing reaches the database before the signature was
 * found right.
 */
#include "gateway/routes.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/form.h"
#include "core/json.h"
#include "gateway/files.h"
#include "gateway/mail_routes.h"
#include "gateway/media.h"
#include "gateway/odoo_hook.h"
#include "gateway/signature.h"
#include "gateway/text.h"
#include "gateway/voice.h"
#include "net/db.h"
#include "net/log.h"
#include "net/loop.h"
#include "program/control.h"

#define IDEMPOTENCY_MAX 200
#define QUERY_MAX 1000

enum route_kind
{
	ROUTE_HEALTH,
	ROUTE_STREAM,
	ROUTE_FILE,
	ROUTE_CALLBACK,
	ROUTE_TWIML,
	ROUTE_ODOO /* the path goes on: a token */
};

struct route
{
	const char *method;
	const char *path; /* all that begin so, when it ends in a slash */
	enum route_kind kind;
	enum sql_id sql;
	const char *subject; /* the parameter that names what a webhook is about */
};

#define CALL "CallSid"
#define MESSAGE "MessageSid"

static const struct route routes[] = {
	{"GET", "/files/", ROUTE_FILE, SQL_COUNT, NULL},
	{"GET", "/health", ROUTE_HEALTH, SQL_COUNT, NULL},
	{"GET", "/media-stream", ROUTE_STREAM, SQL_COUNT, NULL},
	{"POST", ODOO_HOOK_PATH, ROUTE_ODOO, SQL_COUNT, NULL},
	{"POST", "/webhook/sms/incoming", ROUTE_CALLBACK, SQL_SMS_INCOMING, MESSAGE},
	{"POST", "/webhook/sms/status", ROUTE_CALLBACK, SQL_MESSAGE_STATUS, MESSAGE},
	{"POST", "/webhook/voice/after-stream", ROUTE_TWIML, SQL_WEBHOOK_AFTER_STREAM, CALL},
	{"POST", "/webhook/voice/amd", ROUTE_CALLBACK, SQL_WEBHOOK_AMD, CALL},
	{"POST", "/webhook/voice/answer", ROUTE_TWIML, SQL_WEBHOOK_ANSWER, CALL},
	{"POST", "/webhook/voice/conference", ROUTE_CALLBACK, SQL_WEBHOOK_CONFERENCE, "ConferenceSid"},
	{"POST", "/webhook/voice/fallback", ROUTE_TWIML, SQL_WEBHOOK_FALLBACK, CALL},
	{"POST", "/webhook/voice/participant", ROUTE_CALLBACK, SQL_WEBHOOK_PARTICIPANT, CALL},
	{"POST", "/webhook/voice/recording", ROUTE_CALLBACK, SQL_WEBHOOK_RECORDING, CALL},
	{"POST", "/webhook/voice/status", ROUTE_CALLBACK, SQL_WEBHOOK_STATUS, CALL},
	{"POST", "/webhook/voice/stream-status", ROUTE_CALLBACK, SQL_WEBHOOK_STREAM_STATUS, CALL},
	{"POST", "/webhook/voice/transcription", ROUTE_CALLBACK, SQL_WEBHOOK_TRANSCRIPTION, CALL},
	{"POST", "/webhook/voice/voicemail", ROUTE_TWIML, SQL_WEBHOOK_VOICEMAIL, CALL},
	{"POST", "/webhook/whatsapp/incoming", ROUTE_CALLBACK, SQL_WHATSAPP_INCOMING, MESSAGE},
	{"POST", "/webhook/whatsapp/status", ROUTE_CALLBACK, SQL_MESSAGE_STATUS, MESSAGE},
};

static bool
leads_to(const struct route *route, const char *path)
{
	size_t len = strlen(route->path);

	return route->path[len - 1] == '/' ? strncmp(path, route->path, len) == 0
									   : strcmp(path, route->path) == 0;
}

/* HEAD is GET without the body, where there is one. */
static bool
takes_method(const struct route *route, const char *method)
{
	return strcmp(route->method, method) == 0 ||
		   (route->kind == ROUTE_FILE && strcmp(method, "HEAD") == 0);
}

static const struct route *
find_route(const struct gateway *g, const struct http_request *req)
{
	const char *path = urls_route(&g->urls, req->path);
	bool media_only = req->local_port == g->settings.media_port &&
					  g->settings.media_port != g->settings.http_port;

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (leads_to(&routes[i], path) &&
			(!media_only || routes[i].kind == ROUTE_STREAM || routes[i].kind == ROUTE_HEALTH))
			return &routes[i];
	return NULL;
}

static void
answer_plain(struct http_exchange *ex, int status, const char *words, const char *headers)
{
	http_answer(ex, status, "text/plain; charset=utf-8", words, strlen(words), headers);
}

static void
turn_away(struct gateway *g, struct http_exchange *ex, enum rejection why, int status,
		  const char *words)
{
	gateway_reject(g, why);
	log_debug("a request was turned away with %d: %s", status, words);
	answer_plain(ex, status, words, NULL);
}

static void
answer_health(struct gateway *g, struct http_exchange *ex)
{
	bool good = g->db_connected && control_connected(g->control) && !g->stopping;
	char body[256];

	snprintf(
		body, sizeof(body), "{\"status\":\"%s\",\"database\":%s,\"gateway\":\"%s\",\"calls\":%u}\n",
		good ? "ok" : "unavailable", g->db_connected ? "true" : "false", g->name, g->call_count);
	http_answer(ex, good ? 200 : 503, "application/json", body, strlen(body), NULL);
}

/* "application/json; charset=utf-8" is "application/json". */
static bool
is_type(const char *content_type, const char *type)
{
	size_t len = strlen(type);
	const char *rest = content_type + len;

	if (strncasecmp(content_type, type, len) != 0)
		return false;
	rest += strspn(rest, " \t");
	return *rest == '\0' || *rest == ';';
}

/* What we put into the query of our own addresses ("?call=…") comes back as "url_call". These
 * members are last: of members with one name the database takes the last, so nothing that came from
 * outside stands in their place. The signature covers the query. */
static void
params_of_query(struct text *out, const char *query)
{
	size_t len = strlen(query);
	char copy[QUERY_MAX + 1];
	struct form form;

	if (len == 0 || len > QUERY_MAX)
		return;
	memcpy(copy, query, len + 1);
	if (!form_decode(copy, len, &form, NULL))
		return;
	for (size_t i = 0; i < form.count; i++)
	{
		char name[64];

		if ((size_t) snprintf(name, sizeof(name), "url_%s", form.fields[i].name) < sizeof(name))
			text_member(out, name, form.fields[i].value);
	}
}

/* The members of a flat object of strings; of repeated names the first value counts. */
static void
params_of_form(struct text *out, const struct form *form)
{
	for (size_t i = 0; i < form->count; i++)
	{
		const struct form_field *field = &form->fields[i];
		bool repeated = false;

		for (size_t before = 0; before < i && !repeated; before++)
			repeated = form->fields[before].name_len == field->name_len &&
					   memcmp(form->fields[before].name, field->name, field->name_len) == 0;
		if (repeated)
			continue;
		if (out->len > 1)
			text_str(out, ",");
		text_json(out, field->name, field->name_len);
		text_str(out, ":");
		text_json(out, field->value, field->value_len);
	}
}

static void
params_of_json(struct text *out, struct json_object *document)
{
	json_object_object_foreach(document, key, value)
	{
		const char *text = json_object_is_type(value, json_type_string)
							   ? json_object_get_string(value)
							   : json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);

		text_member(out, key, text);
	}
}

static void
ask_database(struct gateway *g, struct http_exchange *ex, const struct route *route,
			 const char *account_sid, const char *subject, struct text *params,
			 uint64_t received_us)
{
	const char *idempotency = http_header(ex, "i-twilio-idempotency-token");
	struct voice_request request = {
		.exchange = ex,
		.sql = route->sql,
		.kind = route->kind == ROUTE_TWIML ? VOICE_TWIML : VOICE_CALLBACK,
		.account_sid = account_sid,
		.call_sid = subject,
		.params = params->data,
		.idempotency = strlen(idempotency) <= IDEMPOTENCY_MAX ? idempotency : "",
		.received_us = received_us,
	};

	if (params->failed)
		answer_plain(ex, 503, "out of memory\n", NULL);
	else
		voice_request(g, &request);
	text_free(params);
}

static void
on_form(struct gateway *g, struct http_exchange *ex, const struct http_request *req,
		const struct route *route, uint64_t received_us)
{
	struct form form;
	struct va_error err = {""};
	struct text params = {0};

	if (!form_decode(req->body, req->body_len, &form, &err))
	{
		turn_away(g, ex, REJECT_MALFORMED, 400, "malformed form\n");
		return;
	}

	const char *account_sid = form_value(&form, "AccountSid", "");
	const char *subject = form_value(&form, route->subject, "");
	const struct account *account = credentials_find(&g->credentials, account_sid);

	if (account == NULL ||
		!signature_webhook(g, account, req, &form, http_header(ex, "x-twilio-signature")))
	{
		turn_away(g, ex, REJECT_SIGNATURE, 403, "wrong signature\n");
		return;
	}
	if (subject[0] == '\0')
	{
		turn_away(g, ex, REJECT_MALFORMED, 400,
				  "the parameter that says what this is about is missing\n");
		return;
	}
	text_str(&params, "{");
	params_of_form(&params, &form);
	params_of_query(&params, req->query);
	text_str(&params, "}");
	ask_database(g, ex, route, account->sid, subject, &params, received_us);
}

static void
on_json(struct gateway *g, struct http_exchange *ex, const struct http_request *req,
		const struct route *route, uint64_t received_us)
{
	struct va_error err = {""};
	struct text params = {0};
	struct json_object *document = json_parse(req->body, req->body_len, &err);

	if (document == NULL || !json_object_is_type(document, json_type_object))
		turn_away(g, ex, REJECT_MALFORMED, 400, "malformed JSON\n");
	else
	{
		const char *subject = json_text(document, route->subject, "");
		const struct account *account =
			credentials_find(&g->credentials, json_text(document, "AccountSid", ""));

		if (account == NULL ||
			!signature_webhook(g, account, req, NULL, http_header(ex, "x-twilio-signature")))
			turn_away(g, ex, REJECT_SIGNATURE, 403, "wrong signature\n");
		else if (subject[0] == '\0')
			turn_away(g, ex, REJECT_MALFORMED, 400,
					  "the parameter that says what this is about is missing\n");
		else
		{
			text_str(&params, "{");
			params_of_json(&params, document);
			params_of_query(&params, req->query);
			text_str(&params, "}");
			ask_database(g, ex, route, account->sid, subject, &params, received_us);
		}
	}
	json_object_put(document);
}

static void
on_webhook(struct gateway *g, struct http_exchange *ex, const struct http_request *req,
		   const struct route *route, uint64_t received_us)
{
	if (req->body_too_large)
		turn_away(g, ex, REJECT_TOO_LARGE, 413, "the body is too large\n");
	else if (is_type(req->content_type, "application/x-www-form-urlencoded"))
		on_form(g, ex, req, route, received_us);
	else if (is_type(req->content_type, "application/json"))
		on_json(g, ex, req, route, received_us);
	else
		turn_away(g, ex, REJECT_MALFORMED, 415, "a form or JSON is expected\n");
}

static void
on_request(void *arg, struct http_exchange *ex, const struct http_request *req)
{
	struct gateway *g = arg;
	const struct route *route = find_route(g, req);
	uint64_t received_us = loop_now_us();
	char allow[64];

	if (route == NULL && mail_routes_serve(g, ex, req))
		return;
	if (route == NULL)
	{
		turn_away(g, ex, REJECT_NOT_FOUND, 404, "no such path\n");
		return;
	}
	if (!takes_method(route, req->method))
	{
		snprintf(allow, sizeof(allow), "Allow: %s%s\r\n", route->method,
				 route->kind == ROUTE_FILE ? ", HEAD" : "");
		gateway_reject(g, REJECT_METHOD);
		answer_plain(ex, 405, "method not allowed\n", allow);
		return;
	}
	if (route->kind == ROUTE_HEALTH)
		answer_health(g, ex);
	else if (route->kind == ROUTE_FILE)
		files_request(g, ex, req, urls_route(&g->urls, req->path) + strlen(route->path));
	else if (route->kind == ROUTE_STREAM)
	{
		gateway_reject(g, REJECT_METHOD);
		answer_plain(ex, 426, "a WebSocket is expected\n", "Upgrade: websocket\r\n");
	}
	else if (route->kind == ROUTE_ODOO)
		odoo_hook(g, ex, req, urls_route(&g->urls, req->path) + strlen(route->path));
	else
		on_webhook(g, ex, req, route, received_us);
}

static int
on_upgrade(void *arg, const struct http_request *req, struct ws_limits *limits,
		   const struct ws_handlers **ws_handlers, void **ws_arg, struct http_exchange *headers_of)
{
	struct gateway *g = arg;
	const struct route *route = find_route(g, req);

	if (route == NULL || route->kind != ROUTE_STREAM)
	{
		gateway_reject(g, REJECT_NOT_FOUND);
		return 404;
	}
	return media_upgrade(g, req, limits, ws_handlers, ws_arg, headers_of);
}

static size_t
body_limit(void *arg, struct http_exchange *ex, const struct http_request *req)
{
	size_t mail = mail_routes_limit(arg, ex, req);

	return mail > 0 ? mail : ROUTES_MAX_BODY;
}

const struct http_server_handlers routes_handlers = {on_request, on_upgrade, NULL, body_limit};
