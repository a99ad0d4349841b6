/*
 * odoo_rest.c: a REST gateway in front of Odoo: four verbs on /api/v2/<model>.
 *
 * Odoo itself has none; modules of several makers do, and agree on little. Requests are those of
 * the product's specification (POST creates, PUT .../<id> writes, X-API-Key), and GET with a domain
 * where the gateway can search. Of answers everything is taken that such modules are known to send:
 * the record's id bare, in a list, or below `id`, `result` or `data`; words of an error at `error`,
 * `error.message`, `message` or `detail`.
 */
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/odoo_private.h"

/* "?domain=...&fields=..." of the arguments that a search has. */
static char *
query_of(const struct odoo_call *call)
{
	static const char *const names[] = {"domain", "fields", "offset", "limit", "order"};
	char *query = strdup("");

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && query != NULL; i++)
	{
		struct json_object *value = json_member(call->args, names[i]);
		const char *text = json_object_is_type(value, json_type_string)
							   ? json_object_get_string(value)
							   : json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
		char *encoded = value != NULL ? odoo_url_encode(text) : NULL;
		char *longer;

		if (value == NULL)
			continue;
		longer = encoded == NULL ? NULL
								 : odoo_text("%s%c%s=%s", query, query[0] == '\0' ? '?' : '&',
											 names[i], encoded);
		free(encoded);
		free(query);
		query = longer;
	}
	return query;
}

/* The one record that a PUT or DELETE is about; -1 when there is not exactly one. */
static int64_t
one_id(const struct odoo_call *call)
{
	struct json_object *id = call->ids != NULL && json_object_array_length(call->ids) == 1
								 ? json_object_array_get_idx(call->ids, 0)
								 : NULL;

	return json_object_is_type(id, json_type_int) ? json_object_get_int64(id) : -1;
}

static struct json_object *
values_of(const struct odoo_call *call)
{
	struct json_object *values =
		json_member(call->args, strcmp(call->method, "create") == 0 ? "vals_list" : "vals");

	if (json_object_is_type(values, json_type_array) && json_object_array_length(values) == 1)
		values = json_object_array_get_idx(values, 0);
	return json_object_is_type(values, json_type_object) ? values : NULL;
}

static bool
print_verb(const struct odoo_login *login, const struct odoo_call *call, struct odoo_request *out,
		   struct va_error *err)
{
	struct json_object *values = NULL;
	char *query;

	if (strcmp(call->method, "create") == 0 || strcmp(call->method, "write") == 0)
	{
		bool create = call->method[0] == 'c';

		values = values_of(call);
		if (values == NULL || (!create && one_id(call) < 0))
			return va_fail(err, "the REST gateway writes one record at a time");
		out->method = create ? "POST" : "PUT";
		out->url = create ? odoo_text("%s%s/%s", login->url, login->rest_path, call->model)
						  : odoo_text("%s%s/%s/%lld", login->url, login->rest_path, call->model,
									  (long long) one_id(call));
		return out->url != NULL && odoo_body_json(out, json_object_get(values), err);
	}
	if (strcmp(call->method, "unlink") == 0 && one_id(call) >= 0)
	{
		out->method = "DELETE";
		out->url = odoo_text("%s%s/%s/%lld", login->url, login->rest_path, call->model,
							 (long long) one_id(call));
		return out->url != NULL;
	}
	if (strcmp(call->method, "search_read") != 0)
		return va_fail(err, "the REST gateway cannot call the method %.60s", call->method);
	query = query_of(call);
	out->method = "GET";
	if (query != NULL)
		out->url = odoo_text("%s%s/%s%s", login->url, login->rest_path, call->model, query);
	free(query);
	return out->url != NULL;
}

bool
odoo_rest_print(const struct odoo_login *login, const struct odoo_call *call,
				struct odoo_request *out, struct va_error *err)
{
	if (login->rest_path == NULL || login->rest_header == NULL || login->rest_path[0] != '/')
		return va_fail(err, "the REST gateway's path is missing");
	if (!print_verb(login, call, out, err) || !odoo_header(out, "Accept", "", "application/json"))
		return false;
	return login->bearer != NULL ? odoo_header(out, "Authorization", "Bearer ", login->bearer)
								 : odoo_header(out, login->rest_header, "",
											   login->secret != NULL ? login->secret : "");
}

/* The words of an error, wherever they are; NULL when this is no error. */
static const char *
error_words(struct json_object *document)
{
	static const char *const places[] = {"message", "detail", "error_description", "description"};
	struct json_object *error = json_member(document, "error");
	const char *words = NULL;

	if (json_object_is_type(error, json_type_string))
		words = json_object_get_string(error);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && words == NULL; i++)
	{
		words = json_text(error, places[i], NULL);
		if (words == NULL)
			words = json_text(document, places[i], NULL);
	}
	return words;
}

/* An error inside an answer whose status says that all is well. */
static bool
is_hidden_error(struct json_object *document)
{
	struct json_object *error = json_member(document, "error");

	return json_object_is_type(error, json_type_object) ||
		   (json_object_is_type(error, json_type_string) &&
			json_object_get_string_len(error) > 0) ||
		   (json_object_is_type(json_member(document, "success"), json_type_boolean) &&
			!json_flag(document, "success", true));
}

void
odoo_rest_read(int status, const char *body, size_t len, struct odoo_answer *out)
{
	static const char *const wrappers[] = {"result", "data", "records", "results"};
	struct json_object *document;
	const char *name;

	if (len == 0 && status >= 200 && status < 300)
		return;
	if (!odoo_json_value(body, len, &document))
	{
		odoo_fault_of_status(out, status, "an answer that is no JSON");
		if (status == 404)
			out->fault = ODOO_MISSING_METHOD;
		return;
	}
	if (status >= 200 && status < 300 && !is_hidden_error(document))
	{
		struct json_object *value = document;

		for (size_t i = 0; i < sizeof(wrappers) / sizeof(wrappers[0]) && value == document; i++)
			if (json_member(document, wrappers[i]) != NULL)
				value = json_member(document, wrappers[i]);
		out->value = json_object_get(value);
		json_object_put(document);
		return;
	}
	name = json_text(json_member(document, "error"), "name", json_text(document, "name", ""));
	if (name[0] != '\0')
		odoo_fault_of_class(out, name, error_words(document));
	else if (status >= 200 && status < 300)
		odoo_fault_set(out, ODOO_VALIDATION, "", error_words(document));
	else
		odoo_fault_of_status(out, status, error_words(document));
	/* A record is asked for by its number in the path, so 404 with words is about the record. */
	if (status == 404 && out->fault == ODOO_MISSING_METHOD && name[0] == '\0')
		out->fault = ODOO_MISSING_RECORD;
	json_object_put(document);
}
