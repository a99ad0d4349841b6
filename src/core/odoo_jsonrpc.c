/*
 * odoo_jsonrpc.c: JSON-RPC 2.0 at /jsonrpc, and what it shares with XML-RPC: the argument list of
 * execute_kw.
 *
 * Every answer has status 200, errors too. Their code differs between versions (200 before 19, 0
 * since) and says nothing; error.data.name is the class. A method that returns None is answered by
 * neither `result` nor `error`.
 *
 * Source: odoo.com/documentation/18.0/developer/reference/external_api.html.
 */
#include <string.h>

#include "core/json.h"
#include "core/odoo_private.h"

/* Arguments that go by position. execute_kw of older versions looks at the first one of `create`
 * itself, and the first one of `search` has had two names. */
static const struct
{
	const char *method;
	const char *names[2];
} positions[] = {
	{"create", {"vals_list", NULL}},	{"write", {"vals", NULL}},
	{"search", {"domain", NULL}},		{"read", {"fields", NULL}},
	{"search_count", {"domain", NULL}}, {"load", {"fields", "data"}},
};

/* Moves the arguments that go by position from the named ones into the list. */
static void
place(bool *failed, const char *method, struct json_object *list, struct json_object *named)
{
	for (size_t i = 0; i < sizeof(positions) / sizeof(positions[0]); i++)
	{
		if (strcmp(positions[i].method, method) != 0)
			continue;
		for (int n = 0; n < 2 && positions[i].names[n] != NULL; n++)
		{
			struct json_object *value = json_member(named, positions[i].names[n]);

			if (value == NULL)
				return;
			odoo_append(failed, list, json_object_get(value));
			json_object_object_del(named, positions[i].names[n]);
		}
	}
}

struct json_object *
odoo_execute_kw(const struct odoo_login *login, const struct odoo_call *call, struct va_error *err)
{
	struct json_object *args = json_object_new_array();
	struct json_object *list = json_object_new_array();
	struct json_object *named = json_object_new_object();
	bool failed = args == NULL || list == NULL || named == NULL;

	if (call->ids != NULL)
		odoo_append(&failed, list, json_object_get(call->ids));
	if (call->args != NULL && named != NULL)
	{
		json_object_object_foreach(call->args, key, value)
		{
			odoo_add(&failed, named, key, json_object_get(value));
		}
	}
	if (!failed)
		place(&failed, call->method, list, named);
	if (call->context != NULL)
		odoo_add(&failed, named, "context", json_object_get(call->context));
	odoo_append(&failed, args,
				json_object_new_string(login->database != NULL ? login->database : ""));
	odoo_append(&failed, args, json_object_new_int64(login->uid));
	odoo_append(&failed, args, json_object_new_string(login->secret != NULL ? login->secret : ""));
	odoo_append(&failed, args, json_object_new_string(call->model));
	odoo_append(&failed, args, json_object_new_string(call->method));
	odoo_append(&failed, args, list);
	odoo_append(&failed, args, named);
	if (failed)
	{
		json_object_put(args);
		va_fail(err, "out of memory");
		return NULL;
	}
	return args;
}

bool
odoo_jsonrpc_print(const struct odoo_login *login, const char *service, const char *method,
				   struct json_object *args, struct odoo_request *out, struct va_error *err)
{
	struct json_object *body = json_object_new_object();
	struct json_object *params = json_object_new_object();
	bool failed = body == NULL || params == NULL;

	odoo_add(&failed, params, "service", json_object_new_string(service));
	odoo_add(&failed, params, "method", json_object_new_string(method));
	odoo_add(&failed, params, "args", json_object_get(args));
	odoo_add(&failed, body, "jsonrpc", json_object_new_string("2.0"));
	odoo_add(&failed, body, "method", json_object_new_string("call"));
	odoo_add(&failed, body, "id", json_object_new_int(1));
	odoo_add(&failed, body, "params", params);
	out->method = "POST";
	out->url = odoo_text("%s/jsonrpc", login->url);
	if (failed || out->url == NULL)
	{
		json_object_put(body);
		return va_fail(err, "out of memory");
	}
	return odoo_body_json(out, body, err);
}

static void
read_error(struct json_object *error, struct odoo_answer *out)
{
	struct json_object *data = json_member(error, "data");
	const char *name = json_text(data, "name", "");
	int64_t code = 0;

	if (name[0] != '\0')
		odoo_fault_of_class(out, name, json_text(data, "message", ""));
	else if (json_integer(error, "code", &code) && code == 404)
		odoo_fault_set(out, ODOO_MISSING_METHOD, "", json_text(error, "message", ""));
	else if (code == 100)
		odoo_fault_set(out, ODOO_SESSION_EXPIRED, "", json_text(error, "message", ""));
	else
		odoo_fault_set(out, ODOO_SERVER, "", json_text(error, "message", ""));
}

void
odoo_jsonrpc_read(int status, const char *body, size_t len, struct odoo_answer *out)
{
	struct json_object *document;
	struct json_object *error;

	if (status != 200)
	{
		odoo_fault_of_status(out, status, "");
		return;
	}
	if (!odoo_json_value(body, len, &document) ||
		strcmp(json_text(document, "jsonrpc", ""), "2.0") != 0)
	{
		json_object_put(document);
		odoo_fault_set(out, ODOO_GARBAGE, "", "an answer that is no JSON-RPC");
		return;
	}
	error = json_member(document, "error");
	if (error != NULL)
		read_error(error, out);
	else
		out->value = json_object_get(json_member(document, "result"));
	json_object_put(document);
}
