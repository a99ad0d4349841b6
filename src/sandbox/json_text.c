/*
 * json_text.c: json-c with every leniency switched off, and a few short names for its calls.
 */
#include "sandbox/json_text.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define MAX_DEPTH 32
/* The strict mode of json-c 0.18 takes every byte above 127 for a control character
 * (github.com/json-c/json-c/issues/892). */
#if JSON_C_MAJOR_VERSION == 0 && JSON_C_MINOR_VERSION == 18
#define STRICTNESS JSON_TOKENER_VALIDATE_UTF8
#else
#define STRICTNESS (JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8)
#endif

static unsigned
line_of(const char *text, size_t at)
{
	unsigned line = 1;

	for (size_t i = 0; i < at; i++)
		line += text[i] == '\n';
	return line;
}

struct json_object *
json_text_object(const char *text, size_t len, char *error, size_t size)
{
	struct json_tokener *tok = len < INT_MAX ? json_tokener_new_ex(MAX_DEPTH) : NULL;
	struct json_object *object = NULL;
	size_t end;

	if (!tok)
	{
		snprintf(error, size, "too long");
		return NULL;
	}
	json_tokener_set_flags(tok, STRICTNESS);
	object = json_tokener_parse_ex(tok, text, (int) len);
	end = json_tokener_get_parse_end(tok);
	while (object && end < len && strchr(" \t\r\n", text[end]))
		end++;
	if (!object || end != len)
	{
		enum json_tokener_error why = json_tokener_get_error(tok);

		snprintf(error, size, "line %u: %s", line_of(text, end < len ? end : len),
				 why != json_tokener_success ? json_tokener_error_desc(why) : "text after the end");
		json_object_put(object);
		object = NULL;
	}
	else if (!json_object_is_type(object, json_type_object))
	{
		snprintf(error, size, "line 1: not an object");
		json_object_put(object);
		object = NULL;
	}
	json_tokener_free(tok);
	return object;
}

const char *
json_text_member(struct json_object *object, const char *name)
{
	struct json_object *member = json_text_child(object, name, json_type_string);

	return member ? json_object_get_string(member) : "";
}

struct json_object *
json_text_child(struct json_object *object, const char *name, enum json_type type)
{
	struct json_object *member = NULL;

	if (!object || !json_object_object_get_ex(object, name, &member))
		return NULL;
	return json_object_is_type(member, type) ? member : NULL;
}

void
json_put_text(struct json_object *object, const char *name, const char *value)
{
	json_object_object_add(object, name, value ? json_object_new_string(value) : NULL);
}

void
json_put_int(struct json_object *object, const char *name, long long value)
{
	json_object_object_add(object, name, json_object_new_int64(value));
}

void
json_put_bool(struct json_object *object, const char *name, bool value)
{
	json_object_object_add(object, name, json_object_new_boolean(value));
}
