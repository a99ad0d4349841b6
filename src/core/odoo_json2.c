/*
 * odoo_json2.c: the External JSON-2 API of Odoo 19 and later.
 *
 * The body is one object: the method's named arguments, and beside them `ids` and `context`. The
 * answer is the method's bare value; an error is an object of five members with a status of its
 * own. A page of HTML with 404 means a database that is not there, or no Odoo at all.
 *
 * Source: odoo.com/documentation/19.0/developer/reference/external_api.html.
 */
#include <string.h>

#include "core/json.h"
#include "core/odoo_private.h"

bool
odoo_json2_print(const struct odoo_login *login, const struct odoo_call *call,
				 struct odoo_request *out, struct va_error *err)
{
	struct json_object *body = json_object_new_object();
	bool failed = body == NULL;

	if (call->args != NULL)
	{
		json_object_object_foreach(call->args, key, value)
		{
			odoo_add(&failed, body, key, json_object_get(value));
		}
	}
	if (call->ids != NULL)
		odoo_add(&failed, body, "ids", json_object_get(call->ids));
	if (call->context != NULL)
		odoo_add(&failed, body, "context", json_object_get(call->context));
	out->method = "POST";
	out->url = odoo_text("%s/json/2/%s/%s", login->url, call->model, call->method);
	if (failed || out->url == NULL)
	{
		json_object_put(body);
		return va_fail(err, "out of memory");
	}
	return odoo_body_json(out, body, err) &&
		   odoo_header(out, "Authorization", "Bearer ",
					   login->bearer != NULL   ? login->bearer
					   : login->secret != NULL ? login->secret
											   : "") &&
		   (login->database == NULL || login->database[0] == '\0' ||
			odoo_header(out, "X-Odoo-Database", "", login->database));
}

/* A page instead of JSON. Odoo answers an unknown database so, and so does any other web server;
 * 415 cannot be: we name the type. */
static void
read_page(int status, struct odoo_answer *out)
{
	if (status == 404)
		odoo_fault_set(out, ODOO_WRONG_DATABASE, "", "a page instead of an answer (404)");
	else if (status == 200)
		odoo_fault_set(out, ODOO_GARBAGE, "", "an answer that is no JSON");
	else
		odoo_fault_of_status(out, status, "a page instead of an answer");
}

void
odoo_json2_read(int status, const char *body, size_t len, struct odoo_answer *out)
{
	struct json_object *value;
	const char *name;

	if (!odoo_json_value(body, len, &value))
	{
		read_page(status, out);
		return;
	}
	if (status == 200)
	{
		out->value = value;
		return;
	}
	name = json_text(value, "name", "");
	if (name[0] != '\0' && status >= 400)
		odoo_fault_of_class(out, name, json_text(value, "message", ""));
	else
		odoo_fault_of_status(out, status, json_text(value, "message", ""));
	json_object_put(value);
}
