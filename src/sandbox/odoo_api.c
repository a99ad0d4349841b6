/*
 * odoo_api.c: the stand-in for Odoo: JSON-2, JSON-RPC, XML-RPC and a REST gateway over one store.
 *
 *   /odoo              Odoo 19: all of them
 *   /odoo/v17          Odoo 17: no JSON-2, no /web/version
 *   /odoo/rest         nothing but the gateway (/api/v2), which cannot search: GET is 405
 *
 * One database, `sandbox`; one user, bot@example.test; the key is sandbox-key, an OAuth2 client's
 * secret sandbox-secret (POST /odoo/oauth/token). Errors are those of Odoo, class by class; the flag
 * "expired_key" makes the key one that is past its date.
 *
 * Written from Odoo's documentation of its external APIs, 18.0 and 19.0.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sandbox/json_text.h"
#include "sandbox/odoo_store.h"
#include "sandbox/odoo_xml_text.h"
#include "sandbox/providers.h"

#define KEY "sandbox-key"
#define TOKEN "sandbox-token"
#define DATABASE "sandbox"
#define LOGIN "bot@example.test"

static void *
odoo_open(const struct stand_in_host *host)
{
	return odoo_store_new(host->ledger);
}

static void
odoo_close(void *self)
{
	odoo_store_free(self);
}

static struct json_object *
member(struct json_object *object, const char *name)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, name, &value);
	return value;
}

/* ---- answers ------------------------------------------------------------------------------------ */

static void
answer_page(struct stand_in_exchange *ex, int status)
{
	static const char page[] =
		"<!DOCTYPE html>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n";

	stand_in_answer(ex, status, "text/html; charset=utf-8", page, sizeof(page) - 1, NULL);
}

/* A JSON value that need not be an object. */
static void
answer_value(struct stand_in_exchange *ex, int status, struct json_object *value)
{
	const char *text =
		value != NULL ? json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN) : "null";

	stand_in_answer(ex, status, "application/json; charset=utf-8", text, strlen(text), NULL);
	json_object_put(value);
}

static struct json_object *
error_object(const struct odoo_error *error)
{
	struct json_object *object = json_object_new_object();
	struct json_object *arguments = json_object_new_array();

	json_object_array_add(arguments, json_object_new_string(error->message));
	json_put_text(object, "name", error->name);
	json_put_text(object, "message", error->message);
	json_object_object_add(object, "arguments", arguments);
	json_object_object_add(object, "context", json_object_new_object());
	json_put_text(object, "debug", "Traceback (most recent call last): ...");
	return object;
}

static void
set_error(struct odoo_error *error, int status, const char *name, const char *message)
{
	error->status = status;
	error->name = name;
	snprintf(error->message, sizeof(error->message), "%s", message);
}

/* ---- JSON-2 ------------------------------------------------------------------------------------- */

static bool
has_bearer(struct stand_in_exchange *ex, const char *token)
{
	const char *header = stand_in_header(ex, "authorization");

	return strncasecmp(header, "bearer ", 7) == 0 && strcmp(header + 7, token) == 0;
}

static void
on_json2(struct odoo_store *store, struct stand_in_exchange *ex,
		 const struct stand_in_request *request, const char *path)
{
	const char *database = stand_in_header(ex, "x-odoo-database");
	struct json_object *body = json_tokener_parse(request->body_len > 0 ? request->body : "{}");
	struct odoo_error error = {0};
	struct json_object *value;
	char model[100];
	char method[100];

	if (database[0] != '\0' && strcmp(database, DATABASE) != 0)
		answer_page(ex, 404);
	else if (strncmp(request->content_type, "application/json", 16) != 0)
		answer_page(ex, 415);
	else if ((!has_bearer(ex, KEY) && !has_bearer(ex, TOKEN)) || stand_in_flag(ex, "expired_key"))
	{
		set_error(&error, 401, "werkzeug.exceptions.Unauthorized", "Invalid apikey");
		answer_value(ex, 401, error_object(&error));
	}
	else if (sscanf(path, "%99[^/]/%99[^/]", model, method) != 2 ||
			 strcmp(request->method, "POST") != 0)
	{
		set_error(&error, 404, "werkzeug.exceptions.NotFound",
				  "Did you mean POST /json/2/<model>/<method>?");
		answer_value(ex, 404, error_object(&error));
	}
	else if (!json_object_is_type(body, json_type_object))
	{
		set_error(&error, 400, "werkzeug.exceptions.BadRequest",
				  "could not parse the body as json");
		answer_value(ex, 400, error_object(&error));
	}
	else
	{
		struct odoo_question q = {model, method, member(body, "ids"), body,
								  member(body, "context")};

		value = odoo_store_call(store, &q, &error);
		if (error.status != 0)
			answer_value(ex, error.status, error_object(&error));
		else
			answer_value(ex, 200, value);
	}
	json_object_put(body);
}

/* ---- the two RPC transports --------------------------------------------------------------------- */

/* Arguments by position, given their names. */
static struct json_object *
named(const char *method, struct json_object *list, struct json_object *kw, bool has_ids)
{
	static const char *const names[][3] = {
		{"create", "vals_list", NULL}, {"write", "vals", NULL},			{"search", "domain", NULL},
		{"read", "fields", NULL},	   {"search_read", "domain", NULL}, {"load", "fields", "data"},
		{"unlink", NULL, NULL}};
	struct json_object *args = json_object_new_object();
	size_t at = has_ids ? 1 : 0;

	json_object_object_foreach(kw, key, value)
	{
		json_object_object_add(args, key, json_object_get(value));
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		for (size_t n = 1; n < 3 && strcmp(names[i][0], method) == 0 && names[i][n] != NULL; n++)
			if (at < json_object_array_length(list))
				json_object_object_add(args, names[i][n],
									   json_object_get(json_object_array_get_idx(list, at++)));
	return args;
}

static const char *
text_at(struct json_object *list, size_t i)
{
	struct json_object *value = json_object_array_get_idx(list, i);

	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

static struct json_object *
execute_kw(struct odoo_store *store, struct json_object *args, struct odoo_error *error)
{
	static const char *const of_model[] = {"create",	 "search",	   "search_read",
										   "load",		 "fields_get", "check_access_rights",
										   "context_get"};
	struct json_object *list = json_object_array_get_idx(args, 5);
	struct json_object *kw = json_object_array_get_idx(args, 6);
	struct odoo_question q = {.model = text_at(args, 3), .method = text_at(args, 4)};
	struct json_object *value;
	bool has_ids = true;

	for (size_t i = 0; i < sizeof(of_model) / sizeof(of_model[0]); i++)
		if (strcmp(of_model[i], q.method) == 0)
			has_ids = false;
	q.args = named(q.method, list, kw, has_ids);
	q.context = member(q.args, "context");
	if (has_ids)
		q.ids = json_object_array_get_idx(list, 0);
	value = odoo_store_call(store, &q, error);
	/* What JSON-2 has as an HTTP error has another class here. */
	if (error->status == 404 && strcmp(error->name, "werkzeug.exceptions.NotFound") == 0)
		error->name = "odoo.exceptions.UserError";
	json_object_put(q.args);
	return value;
}

/* Service and method, whichever transport they came by. */
static struct json_object *
rpc(struct odoo_store *store, struct stand_in_exchange *ex, const char *service, const char *method,
	struct json_object *args, bool old, struct odoo_error *error)
{
	bool common = strcmp(service, "common") == 0;
	bool key = strcmp(text_at(args, 2), KEY) == 0 && !stand_in_flag(ex, "expired_key");

	if (common && strcmp(method, "version") == 0)
		return json_tokener_parse(
			old ? "{\"server_version\":\"17.0\",\"server_version_info\":[17,0,0,"
				  "\"final\",0,\"\"],\"protocol_version\":1}"
				: "{\"server_version\":\"19.0\",\"server_version_info\":[19,0,0,"
				  "\"final\",0,\"\"],\"protocol_version\":1}");
	if (strcmp(text_at(args, 0), DATABASE) != 0)
		set_error(error, 500, "psycopg2.OperationalError",
				  "connection to server failed: FATAL:  database \"nope\" does not exist\n");
	else if (common && strcmp(method, "authenticate") == 0)
		return key && strcmp(text_at(args, 1), LOGIN) == 0 ? json_object_new_int(2)
														   : json_object_new_boolean(false);
	else if (!key || json_object_get_int(json_object_array_get_idx(args, 1)) != 2)
		set_error(error, 403, "odoo.exceptions.AccessDenied", "Access Denied");
	else
		return execute_kw(store, args, error);
	return NULL;
}

static void
on_jsonrpc(struct odoo_store *store, struct stand_in_exchange *ex,
		   const struct stand_in_request *request, bool old)
{
	struct json_object *body = json_tokener_parse(request->body);
	struct json_object *params = member(body, "params");
	struct json_object *answer = json_object_new_object();
	struct odoo_error error = {0};
	struct json_object *value =
		rpc(store, ex, json_text_member(params, "service"), json_text_member(params, "method"),
			member(params, "args"), old, &error);

	json_put_text(answer, "jsonrpc", "2.0");
	json_object_object_add(answer, "id", json_object_get(member(body, "id")));
	if (error.status != 0)
	{
		struct json_object *what = json_object_new_object();

		json_put_int(what, "code", old ? 200 : 0);
		json_put_text(what, "message", "Odoo Server Error");
		json_object_object_add(what, "data", error_object(&error));
		json_object_object_add(answer, "error", what);
	}
	else if (value != NULL)
		json_object_object_add(answer, "result", value);
	json_object_put(body);
	stand_in_answer_json(ex, 200, answer);
}

static void
on_xmlrpc(struct odoo_store *store, struct stand_in_exchange *ex,
		  const struct stand_in_request *request, const char *service, bool old)
{
	char *method = NULL;
	struct json_object *args = odoo_xml_text_call(request->body, &method);
	struct odoo_error error = {0};
	struct json_object *value =
		args != NULL ? rpc(store, ex, service, method, args, old, &error) : NULL;
	char fault[600];
	int code = 0;
	char *text;

	if (error.status != 0)
	{
		code = strcmp(error.name, "odoo.exceptions.AccessDenied") == 0	? 3
			   : strcmp(error.name, "odoo.exceptions.AccessError") == 0 ? 4
			   : strncmp(error.name, "odoo.exceptions.", 16) == 0		? 2
																		: 1;
		snprintf(fault, sizeof(fault), "%s%s%s%s",
				 code == 1 ? "Traceback (most recent call last):\n  File \"x.py\", line 1\n" : "",
				 code == 1 ? strncmp(error.name, "builtins.", 9) == 0 ? error.name + 9 : error.name
						   : "",
				 code == 1 ? ": " : "", error.message);
	}
	else if (value == NULL)
	{
		code = 1;
		snprintf(fault, sizeof(fault),
				 "TypeError: cannot marshal None unless allow_none is enabled\n");
	}
	text = odoo_xml_text_response(value, code, fault);
	stand_in_answer(ex, 200, "text/xml; charset=utf-8", text, strlen(text), NULL);
	free(text);
	free(method);
	json_object_put(value);
	json_object_put(args);
}

/* ---- the REST gateway --------------------------------------------------------------------------- */

static char *
url_decoded(const char *text, size_t len)
{
	char *out = malloc(len + 1);
	size_t at = 0;

	for (size_t i = 0; i < len; i++)
	{
		unsigned int c;

		if (text[i] == '%' && i + 2 < len && sscanf(text + i + 1, "%2x", &c) == 1)
		{
			out[at++] = (char) c;
			i += 2;
		}
		else
			out[at++] = text[i];
	}
	out[at] = '\0';
	return out;
}

/* "domain=[...]&fields=[...]&limit=1" as an object. */
static struct json_object *
query_object(const char *query)
{
	struct json_object *object = json_object_new_object();

	while (*query != '\0')
	{
		size_t len = strcspn(query, "&");
		size_t name = strcspn(query, "=");
		char key[40];

		if (name < len && name < sizeof(key))
		{
			char *value = url_decoded(query + name + 1, len - name - 1);

			snprintf(key, sizeof(key), "%.*s", (int) name, query);
			json_object_object_add(object, key, json_tokener_parse(value));
			free(value);
		}
		query += len + (query[len] == '&');
	}
	return object;
}

static void
answer_rest_error(struct stand_in_exchange *ex, int status, const char *message)
{
	struct json_object *body = json_object_new_object();
	struct json_object *error = json_object_new_object();

	json_put_text(error, "message", message);
	json_object_object_add(body, "error", error);
	stand_in_answer_json(ex, status, body);
}

static void
on_rest(struct odoo_store *store, struct stand_in_exchange *ex,
		const struct stand_in_request *request, const char *path, bool search)
{
	struct json_object *body = request->body_len > 0 ? json_tokener_parse(request->body) : NULL;
	struct json_object *args = json_object_new_object();
	struct json_object *ids = json_object_new_array();
	struct odoo_error error = {0};
	struct odoo_question q = {.ids = ids, .args = args};
	struct json_object *value = NULL;
	char model[100] = "";
	long long id = 0;
	int parts = sscanf(path, "%99[^/]/%lld", model, &id);
	bool get = strcmp(request->method, "GET") == 0;

	q.model = model;
	json_object_array_add(ids, json_object_new_int64(id));
	if (get)
	{
		json_object_put(args);
		q.args = args = query_object(request->query);
		q.method = "search_read";
	}
	else if (strcmp(request->method, "POST") == 0)
	{
		q.method = "create";
		json_object_object_add(args, "vals_list", json_object_get(body));
	}
	else
	{
		q.method = strcmp(request->method, "DELETE") == 0 ? "unlink" : "write";
		json_object_object_add(args, "vals", json_object_get(body));
	}
	if ((strcmp(stand_in_header(ex, "x-api-key"), KEY) != 0 && !has_bearer(ex, TOKEN)) ||
		stand_in_flag(ex, "expired_key"))
		answer_rest_error(ex, 401, "the key is not known");
	else if (get && !search)
		answer_rest_error(ex, 405, "method not allowed");
	else if (parts < (strcmp(q.method, "write") == 0 ? 2 : 1))
		answer_rest_error(ex, 404, "no such path");
	else
	{
		value = odoo_store_call(store, &q, &error);
		if (error.status != 0)
			answer_rest_error(ex, error.status, error.message);
		else if (strcmp(q.method, "create") == 0)
		{
			struct json_object *made = json_object_new_object();

			json_object_object_add(made, "id",
								   json_object_get(json_object_array_get_idx(value, 0)));
			stand_in_answer_json(ex, 201, made);
		}
		else
			answer_value(ex, 200, json_object_get(value));
		json_object_put(value);
	}
	json_object_put(body);
	json_object_put(args);
	json_object_put(ids);
}

static void
on_token(struct stand_in_exchange *ex, const struct stand_in_request *request)
{
	struct json_object *answer = json_object_new_object();

	if (strstr(request->body, "client_secret=sandbox-secret") == NULL)
	{
		json_put_text(answer, "error", "invalid_client");
		stand_in_answer_json(ex, 401, answer);
		return;
	}
	json_put_text(answer, "access_token", TOKEN);
	json_put_text(answer, "token_type", "Bearer");
	json_put_int(answer, "expires_in", 3600);
	stand_in_answer_json(ex, 200, answer);
}

/* ---- the way in --------------------------------------------------------------------------------- */

static const char *
behind(const char *path, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(path, prefix, len) == 0 ? path + len : NULL;
}

static void
odoo_request(void *self, struct stand_in_exchange *ex, const struct stand_in_request *request)
{
	const char *path = request->path;
	const char *rest = behind(path, "/rest");
	const char *old = behind(path, "/v17");
	const char *at;

	path = rest != NULL ? rest : old != NULL ? old : path;
	if ((at = behind(path, "/api/v2/")) != NULL)
		on_rest(self, ex, request, at, rest == NULL);
	else if (strcmp(path, "/oauth/token") == 0)
		on_token(ex, request);
	else if (rest != NULL)
		answer_page(ex, 404);
	else if ((at = behind(path, "/json/2/")) != NULL && old == NULL)
		on_json2(self, ex, request, at);
	else if (strcmp(path, "/web/version") == 0 && old == NULL)
		answer_value(ex, 200,
					 json_tokener_parse(
						 "{\"version_info\":[19,0,0,\"final\",0,\"\"],\"version\":\"19.0\"}"));
	else if (strcmp(path, "/jsonrpc") == 0)
		on_jsonrpc(self, ex, request, old != NULL);
	else if ((at = behind(path, "/xmlrpc/2/")) != NULL)
		on_xmlrpc(self, ex, request, at, old != NULL);
	else
		answer_page(ex, 404);
}

const struct stand_in odoo_stand_in = {"/odoo", odoo_open, odoo_request, odoo_close};
