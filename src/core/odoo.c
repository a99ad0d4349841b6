/*
 * odoo.c: what the transports share: names, headers, and what goes wrong.
 *
 * Faults are told apart by the class Odoo names, never by its words, which are translated into the
 * user's language. Two kinds have no class of their own: an unknown field and a bad value are both a
 * ValueError, whose English text comes from the framework and not from a translation.
 */
#include "core/odoo.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/odoo_private.h"
#include "core/utf8.h"

static const char *const transports[ODOO_TRANSPORTS] = {
	[ODOO_JSON2] = "json2",
	[ODOO_JSONRPC] = "jsonrpc",
	[ODOO_XMLRPC] = "xmlrpc",
	[ODOO_REST] = "rest",
};

static const struct
{
	const char *name;
	bool passes;
	const char *meaning;
	const char *hint;
} faults[ODOO_FAULTS] = {
	[ODOO_OK] = {"ok", false, "done", ""},
	[ODOO_ACCESS_DENIED] =
		{"access_denied", false, "Odoo does not accept the key",
		 "The key may be wrong or past its end date, or its user inactive. Make a "
		 "new one in Odoo (Preferences, Account Security) and store it with "
		 "va_secret_set(tenant, 'odoo_api_key', ...)."},
	[ODOO_ACCESS_RIGHTS] = {"access_rights", false, "Odoo's user may not do this",
							"Give the user the right in Odoo (Sales: administrator sees all leads; "
							"Settings is needed once to create fields)."},
	[ODOO_SESSION_EXPIRED] = {"session_expired", true, "Odoo's session has expired",
							  "Nothing to do: it is tried again with a new login."},
	[ODOO_WRONG_DATABASE] = {"wrong_database", false, "Odoo has no database of this name",
							 "Correct `database` in the tenant's setting `odoo`."},
	[ODOO_MISSING_RECORD] =
		{"missing_record", false, "The record was deleted in Odoo",
		 "va_odoo_forget(lead) makes a new one at the next change; leave it and "
		 "nothing more is sent."},
	[ODOO_MISSING_FIELD] =
		{"missing_field", false, "Odoo has no such field",
		 "Create the field in Odoo, or let va_odoo_check do so (`create_fields`), "
		 "or take it out of the mapping."},
	[ODOO_MISSING_METHOD] =
		{"missing_method", false, "Odoo does not know this model, method or path",
		 "The module (CRM, Calendar) may not be installed, or the transport may "
		 "not fit the version: call va_odoo_check(tenant)."},
	[ODOO_VALIDATION] =
		{"validation", false, "Odoo refuses the values",
		 "Its own words say what it wants: correct the lead, the mapping, or the rule "
		 "in Odoo, then va_odoo_push(lead)."},
	[ODOO_BAD_VALUE] =
		{"bad_value", false, "Odoo cannot read a value",
		 "The mapping sends a value of the wrong kind to a field: compare the two, or "
		 "take the field out of the mapping."},
	[ODOO_BUSY] = {"busy", true, "Odoo was busy with the same record",
				   "Nothing to do: it is tried again."},
	[ODOO_RATE] = {"rate_limited", true, "Odoo asks for patience: too many requests",
				   "Nothing to do: it is tried again when Odoo allows."},
	[ODOO_DOWN] = {"unavailable", true, "Odoo does not answer",
				   "Nothing to do if it is a restart: it is tried again. Else look at the server."},
	[ODOO_SERVER] = {"server_error", true, "Odoo failed inside",
					 "It is tried again. If it stays so, Odoo's own log says why."},
	[ODOO_NOT_ODOO] = {"not_odoo", false, "There is no Odoo at this address",
					   "Correct `url` in the tenant's setting `odoo`: the address of the server "
					   "itself, without /web or /odoo."},
	[ODOO_GARBAGE] = {"garbage", true, "Odoo's answer cannot be read",
					  "It is tried again. If it stays so, something between here and Odoo alters "
					  "answers."},
};

const char *
odoo_transport_name(enum odoo_transport transport)
{
	return transports[transport];
}

int
odoo_transport_find(const char *name)
{
	for (int i = 0; i < ODOO_TRANSPORTS; i++)
		if (strcmp(transports[i], name) == 0)
			return i;
	return -1;
}

const char *
odoo_fault_name(enum odoo_fault fault)
{
	return faults[fault].name;
}

const char *
odoo_fault_meaning(enum odoo_fault fault)
{
	return faults[fault].meaning;
}

const char *
odoo_fault_hint(enum odoo_fault fault)
{
	return faults[fault].hint;
}

bool
odoo_fault_passes(enum odoo_fault fault)
{
	return faults[fault].passes;
}

/* ---- requests ---------------------------------------------------------------------------------- */

char *
odoo_text(const char *format, ...)
{
	va_list args;
	char *text = NULL;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	return text;
}

bool
odoo_header(struct odoo_request *request, const char *name, const char *prefix, const char *value)
{
	size_t at = 0;

	for (const char *c = value; *c != '\0'; c++)
		if ((unsigned char) *c < ' ' || *c == 0x7f)
			return false;
	while (request->headers[at] != NULL)
		at++;
	if (at + 1 >= ODOO_HEADERS)
		return false;
	request->headers[at] = odoo_text("%s: %s%s", name, prefix, value);
	return request->headers[at] != NULL;
}

char *
odoo_url_encode(const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	char *out = malloc(strlen(text) * 3 + 1);
	char *to = out;

	if (out == NULL)
		return NULL;
	for (const char *c = text; *c != '\0'; c++)
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

bool
odoo_body_json(struct odoo_request *request, struct json_object *body, struct va_error *err)
{
	const char *text = body == NULL
						   ? NULL
						   : json_object_to_json_string_ext(
								 body, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	bool fits = text != NULL && strlen(text) <= ODOO_MAX_REQUEST;

	if (fits)
		request->body = strdup(text);
	json_object_put(body);
	if (request->body == NULL)
		return va_fail(err, fits || text == NULL ? "out of memory" : "the request is too long");
	request->body_len = strlen(request->body);
	return odoo_header(request, "Content-Type", "", "application/json; charset=utf-8") ||
		   va_fail(err, "out of memory");
}

void
odoo_add(bool *failed, struct json_object *object, const char *key, struct json_object *value)
{
	if (object == NULL || json_object_object_add(object, key, value) != 0)
	{
		*failed = true;
		json_object_put(value);
	}
}

void
odoo_append(bool *failed, struct json_object *array, struct json_object *value)
{
	if (array == NULL || json_object_array_add(array, value) != 0)
	{
		*failed = true;
		json_object_put(value);
	}
}

void
odoo_request_free(struct odoo_request *request)
{
	free(request->url);
	free(request->body);
	for (size_t i = 0; i < ODOO_HEADERS; i++)
		free(request->headers[i]);
	memset(request, 0, sizeof(*request));
}

/* A model, a method, a path's part: letters, digits, dots and underscores. Anything else could
 * leave its place in a URL. */
static bool
is_name(const char *text)
{
	if (text == NULL || !isalpha((unsigned char) text[0]) || strlen(text) > 100)
		return false;
	for (; *text != '\0'; text++)
		if (!isalnum((unsigned char) *text) && *text != '.' && *text != '_')
			return false;
	return true;
}

static bool
is_url(const char *url)
{
	size_t scheme = url == NULL						   ? 0
					: strncmp(url, "https://", 8) == 0 ? 8
					: strncmp(url, "http://", 7) == 0  ? 7
													   : 0;

	if (scheme == 0 || url[scheme] == '\0' || strlen(url) > 1000)
		return false;
	for (const char *c = url; *c != '\0'; c++)
		if ((unsigned char) *c <= ' ' || strchr("\"<>\\^`{|}#?@", *c) != NULL || *c == 0x7f)
			return false;
	return url[strlen(url) - 1] != '/';
}

static bool
check_call(const struct odoo_login *login, const struct odoo_call *call, struct va_error *err)
{
	if (!is_url(login->url))
		return va_fail(err, "the URL of Odoo is not one, or ends with a slash");
	if (!is_name(call->model) || !is_name(call->method))
		return va_fail(err, "not the name of a model or method");
	if (call->ids != NULL && !json_object_is_type(call->ids, json_type_array))
		return va_fail(err, "ids must be an array");
	if ((call->args != NULL && !json_object_is_type(call->args, json_type_object)) ||
		(call->context != NULL && !json_object_is_type(call->context, json_type_object)))
		return va_fail(err, "arguments and context must be objects");
	return true;
}

/* The outcome of a printer: what it left behind after a failure is released. */
static bool
printed(bool good, struct odoo_request *out, struct va_error *err)
{
	if (!good)
	{
		odoo_request_free(out);
		if (err != NULL && err->text[0] == '\0')
			va_fail(err, "out of memory, or a key with characters that no header may have");
	}
	return good;
}

bool
odoo_request_print(enum odoo_transport transport, const struct odoo_login *login,
				   const struct odoo_call *call, struct odoo_request *out, struct va_error *err)
{
	memset(out, 0, sizeof(*out));
	if (!check_call(login, call, err))
		return false;
	switch (transport)
	{
		case ODOO_JSON2: return printed(odoo_json2_print(login, call, out, err), out, err);
		case ODOO_REST: return printed(odoo_rest_print(login, call, out, err), out, err);
		default: break;
	}

	struct json_object *args = odoo_execute_kw(login, call, err);
	bool good =
		args != NULL && (transport == ODOO_JSONRPC
							 ? odoo_jsonrpc_print(login, "object", "execute_kw", args, out, err)
							 : odoo_xmlrpc_print(login, "object", "execute_kw", args, out, err));

	json_object_put(args);
	return printed(good, out, err);
}

/* A method of the service `common`. */
static bool
common_print(enum odoo_transport transport, const struct odoo_login *login, const char *method,
			 struct json_object *args, struct odoo_request *out, struct va_error *err)
{
	bool good = false;

	memset(out, 0, sizeof(*out));
	if (!is_url(login->url))
		va_fail(err, "the URL of Odoo is not one, or ends with a slash");
	else if (transport == ODOO_JSONRPC)
		good = odoo_jsonrpc_print(login, "common", method, args, out, err);
	else if (transport == ODOO_XMLRPC)
		good = odoo_xmlrpc_print(login, "common", method, args, out, err);
	else
		va_fail(err, "this transport has no service `common`");
	json_object_put(args);
	return printed(good, out, err);
}

bool
odoo_authenticate_print(enum odoo_transport transport, const struct odoo_login *login,
						struct odoo_request *out, struct va_error *err)
{
	struct json_object *args = json_object_new_array();
	bool failed = args == NULL;

	odoo_append(&failed, args,
				json_object_new_string(login->database != NULL ? login->database : ""));
	odoo_append(&failed, args, json_object_new_string(login->login != NULL ? login->login : ""));
	odoo_append(&failed, args, json_object_new_string(login->secret != NULL ? login->secret : ""));
	odoo_append(&failed, args, json_object_new_object());
	if (failed)
	{
		json_object_put(args);
		memset(out, 0, sizeof(*out));
		return va_fail(err, "out of memory");
	}
	return common_print(transport, login, "authenticate", args, out, err);
}

bool
odoo_version_print(enum odoo_transport transport, const struct odoo_login *login,
				   struct odoo_request *out, struct va_error *err)
{
	if (transport != ODOO_JSON2)
		return common_print(transport, login, "version", json_object_new_array(), out, err);
	memset(out, 0, sizeof(*out));
	if (!is_url(login->url))
		return va_fail(err, "the URL of Odoo is not one, or ends with a slash");
	out->method = "GET";
	out->url = odoo_text("%s/web/version", login->url);
	return printed(out->url != NULL, out, err);
}

/* ---- answers ----------------------------------------------------------------------------------- */

/* Copies words for people: one line, cut at a character's end, without what could trouble a log. */
static void
copy_words(char *to, size_t size, const char *text)
{
	size_t len = text != NULL ? strlen(text) : 0;
	size_t at = 0;

	for (size_t i = 0; i < len && at + 1 < size; i++)
	{
		bool blank = (unsigned char) text[i] <= ' ' || text[i] == 0x7f;

		if (!blank)
			to[at++] = text[i];
		else if (at > 0 && to[at - 1] != ' ')
			to[at++] = ' ';
	}
	at = utf8_cut(to, at);
	while (at > 0 && to[at - 1] == ' ')
		at--;
	to[at] = '\0';
	if (!utf8_valid(to, at))
		to[0] = '\0';
}

void
odoo_fault_set(struct odoo_answer *out, enum odoo_fault fault, const char *name, const char *text)
{
	out->fault = fault;
	json_object_put(out->value);
	out->value = NULL;
	copy_words(out->name, sizeof(out->name), name);
	copy_words(out->text, sizeof(out->text), text);
}

void
odoo_answer_clear(struct odoo_answer *answer)
{
	json_object_put(answer->value);
	answer->value = NULL;
}

static bool
begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* The class without its module. */
static const char *
short_name(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL ? dot + 1 : name;
}

/* A ValueError, KeyError or TypeError: of a field that is not there, or of a value. */
static enum odoo_fault
fault_of_value(const char *text)
{
	if (strstr(text, "Invalid field") != NULL || strstr(text, "unknown field") != NULL)
		return ODOO_MISSING_FIELD;
	return ODOO_BAD_VALUE;
}

void
odoo_fault_of_class(struct odoo_answer *out, const char *name, const char *text)
{
	static const struct
	{
		const char *name;
		enum odoo_fault fault;
	} classes[] = {
		{"AccessDenied", ODOO_ACCESS_DENIED},
		{"Unauthorized", ODOO_ACCESS_DENIED},
		{"AccessError", ODOO_ACCESS_RIGHTS},
		{"Forbidden", ODOO_ACCESS_RIGHTS},
		{"SessionExpiredException", ODOO_SESSION_EXPIRED},
		{"MissingError", ODOO_MISSING_RECORD},
		{"NotFound", ODOO_MISSING_METHOD},
		{"UserError", ODOO_VALIDATION},
		{"ValidationError", ODOO_VALIDATION},
		{"RedirectWarning", ODOO_VALIDATION},
		{"UnprocessableEntity", ODOO_BAD_VALUE},
		{"BadRequest", ODOO_BAD_VALUE},
		{"LockError", ODOO_BUSY},
		{"ConcurrencyError", ODOO_BUSY},
		{"SerializationFailure", ODOO_BUSY},
		{"DeadlockDetected", ODOO_BUSY},
		{"LockNotAvailable", ODOO_BUSY},
		{"TooManyRequests", ODOO_RATE},
		{"AttributeError", ODOO_MISSING_METHOD},
	};
	const char *words = text != NULL ? text : "";
	const char *last = short_name(name);
	enum odoo_fault fault = ODOO_SERVER;

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (strcmp(classes[i].name, last) == 0)
			fault = classes[i].fault;
	if (strcmp(last, "ValueError") == 0 || strcmp(last, "TypeError") == 0 ||
		strcmp(last, "KeyError") == 0 || strcmp(last, "AssertionError") == 0)
		fault = fault_of_value(words);
	/* PostgreSQL's words for a database that is not there come through Odoo untranslated. */
	else if (begins(name, "psycopg2") && strcmp(last, "OperationalError") == 0)
		fault = strstr(words, "does not exist") != NULL ? ODOO_WRONG_DATABASE : ODOO_DOWN;
	/* Of JSON-RPC and XML-RPC: a model that is not installed is a UserError. */
	else if (fault == ODOO_VALIDATION && begins(words, "Object ") &&
			 strstr(words, "doesn't exist") != NULL)
		fault = ODOO_MISSING_METHOD;
	odoo_fault_set(out, fault, name, words);
}

void
odoo_fault_of_status(struct odoo_answer *out, int status, const char *text)
{
	enum odoo_fault fault = ODOO_SERVER;

	if (status >= 300 && status < 400)
		fault = ODOO_NOT_ODOO;
	else if (status == 401)
		fault = ODOO_ACCESS_DENIED;
	else if (status == 403)
		fault = ODOO_ACCESS_RIGHTS;
	else if (status == 404 || status == 405 || status == 501)
		fault = ODOO_MISSING_METHOD;
	else if (status == 408 || status == 409 || status == 423)
		fault = ODOO_BUSY;
	else if (status == 422)
		fault = ODOO_VALIDATION;
	else if (status == 429)
		fault = ODOO_RATE;
	else if (status >= 400 && status < 500)
		fault = ODOO_BAD_VALUE;
	else if (status == 502 || status == 503 || status == 504)
		fault = ODOO_DOWN;
	else if (status >= 200 && status < 300)
		fault = ODOO_GARBAGE;
	odoo_fault_set(out, fault, "", text);
}

bool
odoo_json_value(const char *body, size_t len, struct json_object **value)
{
	struct va_error err;

	*value = NULL;
	if (!json_check(body, len, &err))
		return false;
	while (len > 0 && isspace((unsigned char) body[len - 1]))
		len--;
	while (len > 0 && isspace((unsigned char) body[0]))
	{
		body++;
		len--;
	}
	if (len == 4 && memcmp(body, "null", 4) == 0)
		return true;
	*value = json_parse(body, len, &err);
	return *value != NULL;
}

void
odoo_reply_read(enum odoo_transport transport, int status, const char *body, size_t len,
				struct odoo_answer *out)
{
	memset(out, 0, sizeof(*out));
	switch (transport)
	{
		case ODOO_JSON2: odoo_json2_read(status, body, len, out); break;
		case ODOO_JSONRPC: odoo_jsonrpc_read(status, body, len, out); break;
		case ODOO_XMLRPC: odoo_xmlrpc_read(status, body, len, out); break;
		default: odoo_rest_read(status, body, len, out); break;
	}
}
