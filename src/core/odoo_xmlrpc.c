/*
 * odoo_xmlrpc.c: XML-RPC at /xmlrpc/2/common and /xmlrpc/2/object.
 *
 * Faults have four numbers and a text; number 1 is any other exception, and its text a whole Python
 * traceback whose last line holds class and words. A method that returns None cannot be answered
 * ("cannot marshal None"): its work is done and committed all the same.
 *
 * Source: odoo.com/documentation/18.0/developer/reference/external_api.html, and odoo/http.py.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/odoo_private.h"

bool
odoo_xmlrpc_print(const struct odoo_login *login, const char *service, const char *method,
				  struct json_object *args, struct odoo_request *out, struct va_error *err)
{
	out->method = "POST";
	out->url = odoo_text("%s/xmlrpc/2/%s", login->url, service);
	if (out->url == NULL)
		return va_fail(err, "out of memory");
	out->body = odoo_xml_print(method, args, &out->body_len, err);
	return out->body != NULL && odoo_header(out, "Content-Type", "", "text/xml; charset=utf-8");
}

/* The last line of a traceback: "odoo.exceptions.X: words". */
static void
read_traceback(const char *text, struct odoo_answer *out)
{
	size_t len = strlen(text);
	const char *line;
	const char *colon;
	char *name;

	while (len > 0 && isspace((unsigned char) text[len - 1]))
		len--;
	/* Words may have several lines: the class is on the last line that begins with a name. */
	line = text;
	for (const char *at = text; at < text + len; at++)
		if (at[0] == '\n' && isalpha((unsigned char) at[1]) && strcspn(at + 1, ":\n ") > 0 &&
			at[1 + strcspn(at + 1, ":\n ")] == ':' &&
			(memchr(at + 1, '.', strcspn(at + 1, ":\n ")) != NULL ||
			 strstr(at + 1, "Error") != NULL))
			line = at + 1;
	colon = strchr(line, ':');
	if (colon == NULL || (size_t) (colon - line) >= ODOO_NAME_SIZE ||
		memchr(line, ' ', (size_t) (colon - line)) != NULL)
	{
		odoo_fault_set(out, ODOO_SERVER, "", line);
		return;
	}
	name = strndup(line, (size_t) (colon - line));
	odoo_fault_of_class(out, name != NULL ? name : "", colon + 1 + strspn(colon + 1, " "));
	free(name);
}

static void
read_fault(struct json_object *fault, struct odoo_answer *out)
{
	const char *text = json_text(fault, "faultString", "");
	int64_t code = 0;

	json_integer(fault, "faultCode", &code);
	switch (code)
	{
		case 2:
			/* The whole family of UserError, told apart by nothing but these English words of the
			 * framework: a deleted record, and a model that is not installed. */
			odoo_fault_of_class(out, "odoo.exceptions.UserError", text);
			if (strstr(text, "does not exist or has been deleted") != NULL)
				out->fault = ODOO_MISSING_RECORD;
			break;
		case 3: odoo_fault_of_class(out, "odoo.exceptions.AccessDenied", text); break;
		case 4: odoo_fault_of_class(out, "odoo.exceptions.AccessError", text); break;
		default:
			if (strstr(text, "cannot marshal None") == NULL)
				read_traceback(text, out);
			break;
	}
}

void
odoo_xmlrpc_read(int status, const char *body, size_t len, struct odoo_answer *out)
{
	struct json_object *value = NULL;
	struct va_error err = {""};

	if (status != 200)
	{
		odoo_fault_of_status(out, status, "");
		return;
	}
	switch (odoo_xml_read(body, len, &value, &err))
	{
		case ODOO_XML_VALUE: out->value = value; break;
		case ODOO_XML_FAULT:
			read_fault(value, out);
			json_object_put(value);
			break;
		default: odoo_fault_set(out, ODOO_GARBAGE, "", err.text); break;
	}
}
