/*
 * odoo_xml.c: the little XML that XML-RPC is made of.
 *
 * A general XML parser brings entities, DTDs and name spaces, and with them attacks. XML-RPC needs
 * none: elements without attributes from a list of nineteen names, five entities and character
 * references. Whatever is not on that list makes the text broken. Depth, the number of values and
 * the length of numbers are bounded.
 *
 * Source: xmlrpc.com/spec.md; the extension <nil/>, which Odoo accepts in requests.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/odoo_private.h"
#include "core/utf8.h"

#define MAX_VALUES 200000

/* ---- writing ----------------------------------------------------------------------------------- */

static bool write_value(struct buf *b, struct json_object *value, int depth, struct va_error *err);

/* Text between tags. XML 1.0 has no way to write most control characters: they become blanks. */
static void
write_text(struct buf *b, const char *text, size_t len)
{
	size_t plain = 0;

	for (size_t i = 0; i <= len; i++)
	{
		unsigned char c = i < len ? (unsigned char) text[i] : '\0';
		const char *instead = i == len							  ? ""
							  : c == '&'						  ? "&amp;"
							  : c == '<'						  ? "&lt;"
							  : c == '>'						  ? "&gt;"
							  : c == '\r'						  ? "&#13;"
							  : c < ' ' && c != '\n' && c != '\t' ? " "
																  : NULL;

		if (instead == NULL)
			continue;
		buf_add(b, text + plain, i - plain);
		buf_str(b, instead);
		plain = i + 1;
	}
}

static bool
write_struct(struct buf *b, struct json_object *object, int depth, struct va_error *err)
{
	buf_str(b, "<struct>");
	json_object_object_foreach(object, key, value)
	{
		buf_str(b, "<member><name>");
		write_text(b, key, strlen(key));
		buf_str(b, "</name>");
		if (!write_value(b, value, depth, err))
			return false;
		buf_str(b, "</member>");
	}
	buf_str(b, "</struct>");
	return true;
}

static bool
write_array(struct buf *b, struct json_object *array, int depth, struct va_error *err)
{
	size_t count = json_object_array_length(array);

	buf_str(b, "<array><data>");
	for (size_t i = 0; i < count; i++)
		if (!write_value(b, json_object_array_get_idx(array, i), depth, err))
			return false;
	buf_str(b, "</data></array>");
	return true;
}

static bool
write_inner(struct buf *b, struct json_object *value, int depth, struct va_error *err)
{
	int64_t number;

	switch (json_object_get_type(value))
	{
		case json_type_null: buf_str(b, "<nil/>"); return true;
		case json_type_boolean:
			buf_printf(b, "<boolean>%d</boolean>", json_object_get_boolean(value) ? 1 : 0);
			return true;
		case json_type_int:
			number = json_object_get_int64(value);
			if (number < INT32_MIN || number > INT32_MAX)
				return va_fail(err, "XML-RPC has no numbers beyond 32 bits");
			buf_printf(b, "<int>%" PRId64 "</int>", number);
			return true;
		case json_type_double:
			buf_printf(b, "<double>%.17g</double>", json_object_get_double(value));
			return true;
		case json_type_string:
			buf_str(b, "<string>");
			write_text(b, json_object_get_string(value),
					   (size_t) json_object_get_string_len(value));
			buf_str(b, "</string>");
			return true;
		case json_type_array: return write_array(b, value, depth + 1, err);
		default: return write_struct(b, value, depth + 1, err);
	}
}

static bool
write_value(struct buf *b, struct json_object *value, int depth, struct va_error *err)
{
	if (depth > JSON_MAX_DEPTH)
		return va_fail(err, "the values are nested too deep");
	buf_str(b, "<value>");
	if (!write_inner(b, value, depth, err))
		return false;
	buf_str(b, "</value>");
	return true;
}

static bool
write_call(struct buf *b, const char *method, struct json_object *params, struct va_error *err)
{
	size_t count = json_object_array_length(params);

	buf_str(b, "<?xml version=\"1.0\"?><methodCall><methodName>");
	write_text(b, method, strlen(method));
	buf_str(b, "</methodName><params>");
	for (size_t i = 0; i < count; i++)
	{
		buf_str(b, "<param>");
		if (!write_value(b, json_object_array_get_idx(params, i), 0, err))
			return false;
		buf_str(b, "</param>");
	}
	buf_str(b, "</params></methodCall>");
	return true;
}

char *
odoo_xml_print(const char *method, struct json_object *params, size_t *len, struct va_error *err)
{
	/* How long it gets is known when it is written: larger rooms until it fits. */
	for (size_t size = 8192; size <= 2 * ODOO_MAX_REQUEST; size *= 2)
	{
		char *text = malloc(size);
		struct buf b;

		if (text == NULL)
		{
			va_fail(err, "out of memory");
			return NULL;
		}
		buf_init(&b, text, size);
		if (write_call(&b, method, params, err) && !b.overflow)
		{
			*len = b.len;
			return text;
		}
		free(text);
		if (!b.overflow)
			return NULL;
	}
	va_fail(err, "the request is too long");
	return NULL;
}

/* ---- reading ----------------------------------------------------------------------------------- */

struct reader
{
	const char *at;
	const char *end;
	size_t values;
	struct va_error *err;
};

static bool
broken(struct reader *r, const char *why)
{
	if (r->err->text[0] == '\0')
		va_fail(r->err, "broken XML-RPC: %s", why);
	return false;
}

static void
skip_space(struct reader *r)
{
	while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
		r->at++;
}

/* Is this what comes next? Then it is taken. */
static bool
take(struct reader *r, const char *text)
{
	size_t len = strlen(text);

	if ((size_t) (r->end - r->at) < len || memcmp(r->at, text, len) != 0)
		return false;
	r->at += len;
	return true;
}

static bool
take_after_space(struct reader *r, const char *text)
{
	skip_space(r);
	return take(r, text);
}

static bool
demand(struct reader *r, const char *text)
{
	return take_after_space(r, text) || broken(r, "an element is missing or not where it belongs");
}

/* "&name;" as UTF-8 in out (4 bytes); 0 when it is none. */
static size_t
read_entity(struct reader *r, char *out)
{
	static const struct
	{
		const char *name;
		char c;
	} entities[] = {
		{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}};
	unsigned long code = 0;
	int digits = 0;
	bool hex;

	for (size_t i = 0; i < sizeof(entities) / sizeof(entities[0]); i++)
		if (take(r, entities[i].name))
		{
			out[0] = entities[i].c;
			return 1;
		}
	if (!take(r, "&#"))
		return 0;
	hex = take(r, "x");
	for (; r->at < r->end && *r->at != ';' && digits < 7; digits++, r->at++)
	{
		char c = *r->at;
		int digit = c >= '0' && c <= '9'		  ? c - '0'
					: hex && c >= 'a' && c <= 'f' ? c - 'a' + 10
					: hex && c >= 'A' && c <= 'F' ? c - 'A' + 10
												  : -1;

		if (digit < 0)
			return 0;
		code = code * (hex ? 16 : 10) + (unsigned long) digit;
	}
	if (digits == 0 || !take(r, ";") || code == 0 || code > 0x10FFFF ||
		(code >= 0xD800 && code <= 0xDFFF))
		return 0;
	if (code < 0x80)
	{
		out[0] = (char) code;
		return 1;
	}
	if (code < 0x800)
	{
		out[0] = (char) (0xC0 | code >> 6);
		out[1] = (char) (0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0x10000)
	{
		out[0] = (char) (0xE0 | code >> 12);
		out[1] = (char) (0x80 | (code >> 6 & 0x3F));
		out[2] = (char) (0x80 | (code & 0x3F));
		return 3;
	}
	out[0] = (char) (0xF0 | code >> 18);
	out[1] = (char) (0x80 | (code >> 12 & 0x3F));
	out[2] = (char) (0x80 | (code >> 6 & 0x3F));
	out[3] = (char) (0x80 | (code & 0x3F));
	return 4;
}

/* The characters that XML 1.0 has: UTF-8 without control characters. */
static bool
is_text(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char) text[i] < ' ' && text[i] != '\t' && text[i] != '\n' && text[i] != '\r')
			return false;
	return utf8_valid(text, len);
}

/* Text up to the next tag, on the heap; an entity is never shorter than what it stands for. */
static char *
read_text(struct reader *r, size_t *len)
{
	const char *tag = memchr(r->at, '<', (size_t) (r->end - r->at));
	char *text = tag != NULL ? malloc((size_t) (tag - r->at) + 1) : NULL;
	size_t at = 0;

	if (text == NULL)
	{
		broken(r, "a text does not end");
		return NULL;
	}
	while (r->at < tag)
	{
		size_t took;

		if (*r->at != '&')
		{
			text[at++] = *r->at++;
			continue;
		}
		took = read_entity(r, text + at);
		if (took == 0)
		{
			broken(r, "an entity that there is not");
			free(text);
			return NULL;
		}
		at += took;
	}
	text[at] = '\0';
	*len = at;
	if (!is_text(text, at))
	{
		broken(r, "a text is no UTF-8, or has control characters");
		free(text);
		return NULL;
	}
	return text;
}

static bool read_value(struct reader *r, int depth, struct json_object **value);

static bool
read_array(struct reader *r, int depth, struct json_object **value)
{
	*value = json_object_new_array();
	if (*value == NULL || !demand(r, "<data>"))
		return false;
	while (!take_after_space(r, "</data>"))
	{
		struct json_object *item = NULL;

		if (!read_value(r, depth, &item) || json_object_array_add(*value, item) != 0)
		{
			json_object_put(item);
			return broken(r, "an array does not end");
		}
	}
	return demand(r, "</array>");
}

static bool
read_member(struct reader *r, int depth, struct json_object *object)
{
	struct json_object *item = NULL;
	size_t len;
	char *name;
	bool good;

	if (!demand(r, "<member>") || !demand(r, "<name>"))
		return false;
	name = read_text(r, &len);
	if (name == NULL)
		return false;
	good = demand(r, "</name>") && read_value(r, depth, &item);
	if (good && json_object_object_get_ex(object, name, NULL))
		good = broken(r, "a member is there twice");
	if (good)
		good = json_object_object_add(object, name, item) == 0;
	if (!good)
		json_object_put(item);
	free(name);
	return good && demand(r, "</member>");
}

static bool
read_struct(struct reader *r, int depth, struct json_object **value)
{
	*value = json_object_new_object();
	if (*value == NULL)
		return false;
	while (!take_after_space(r, "</struct>"))
		if (!read_member(r, depth, *value))
			return false;
	return true;
}

/* A number's text as JSON has it, or NULL. */
static struct json_object *
number_of(const char *text, size_t len, bool whole)
{
	char *end;
	double d;
	long long n;

	if (len == 0 || len > 40 || strspn(text, "+-0123456789.eE") != len)
		return NULL;
	errno = 0;
	if (whole)
	{
		n = strtoll(text, &end, 10);
		return *end == '\0' && errno == 0 && n >= INT32_MIN && n <= INT32_MAX
				   ? json_object_new_int64(n)
				   : NULL;
	}
	d = strtod(text, &end);
	return *end == '\0' && d == d && d <= 1e300 && d >= -1e300 ? json_object_new_double(d) : NULL;
}

/* What stands between <tag> and </tag> of a simple value. */
static bool
read_scalar(struct reader *r, const char *tag, struct json_object **value)
{
	char end[32];
	size_t len;
	char *text = read_text(r, &len);

	if (text == NULL)
		return false;
	snprintf(end, sizeof(end), "</%s>", tag);
	if (strcmp(tag, "int") == 0 || strcmp(tag, "i4") == 0)
		*value = number_of(text, len, true);
	else if (strcmp(tag, "double") == 0)
		*value = number_of(text, len, false);
	else if (strcmp(tag, "boolean") == 0)
		*value = strcmp(text, "0") == 0 || strcmp(text, "1") == 0
					 ? json_object_new_boolean(text[0] == '1')
					 : NULL;
	else
		*value = json_object_new_string_len(text, (int) len);
	free(text);
	if (*value == NULL)
		return broken(r, "a value is not of its type");
	return take(r, end) || broken(r, "a value does not end");
}

static bool
read_inner(struct reader *r, int depth, struct json_object **value)
{
	static const char *const scalars[] = {
		"string", "int", "i4", "boolean", "double", "base64", "dateTime.iso8601"};
	char tag[32];

	/* A value without a type is a string. Blanks before a tag are no value. */
	const char *start = r->at;

	skip_space(r);
	for (size_t i = 0; i < sizeof(scalars) / sizeof(scalars[0]); i++)
	{
		snprintf(tag, sizeof(tag), "<%s>", scalars[i]);
		if (take(r, tag))
			return read_scalar(r, scalars[i], value);
		snprintf(tag, sizeof(tag), "<%s/>", scalars[i]);
		if (i == 0 && take(r, tag))
			return (*value = json_object_new_string("")) != NULL;
	}
	if (take(r, "<nil/>"))
		return true;
	if (take(r, "<array>"))
		return read_array(r, depth + 1, value);
	if (take(r, "<struct/>"))
		return (*value = json_object_new_object()) != NULL;
	if (take(r, "<struct>"))
		return read_struct(r, depth + 1, value);

	size_t len;
	char *text;

	r->at = start;
	text = read_text(r, &len);
	if (text == NULL)
		return false;
	*value = json_object_new_string_len(text, (int) len);
	free(text);
	return *value != NULL;
}

static bool
read_value(struct reader *r, int depth, struct json_object **value)
{
	if (depth > JSON_MAX_DEPTH || ++r->values > MAX_VALUES)
		return broken(r, "it is nested too deep or too long");
	if (take_after_space(r, "<value/>"))
		return (*value = json_object_new_string("")) != NULL;
	return demand(r, "<value>") && read_inner(r, depth, value) && demand(r, "</value>");
}

/* <?xml version='1.0' encoding='UTF-8'?>, skipped: another encoding shows as broken UTF-8. */
static bool
skip_declaration(struct reader *r)
{
	skip_space(r);
	if (!take(r, "<?xml "))
		return true;
	while (r->at < r->end && *r->at != '>' && *r->at != '<')
		r->at++;
	return (r->at < r->end && r->at[-1] == '?' && take(r, ">")) ||
		   broken(r, "the declaration does not end");
}

enum odoo_xml_kind
odoo_xml_read(const char *body, size_t len, struct json_object **value, struct va_error *err)
{
	struct va_error own = {""};
	struct reader r = {body, body + len, 0, err != NULL ? err : &own};
	enum odoo_xml_kind kind = ODOO_XML_VALUE;
	bool good;

	*value = NULL;
	good = len <= INT_MAX && skip_declaration(&r) && demand(&r, "<methodResponse>");
	if (good && take_after_space(&r, "<fault>"))
	{
		kind = ODOO_XML_FAULT;
		good = read_value(&r, 0, value) && demand(&r, "</fault>");
	}
	else
		good = good && demand(&r, "<params>") && demand(&r, "<param>") &&
			   read_value(&r, 0, value) && demand(&r, "</param>") && demand(&r, "</params>");
	good = good && demand(&r, "</methodResponse>");
	skip_space(&r);
	if (!good || r.at != r.end)
	{
		broken(&r, "there is more than one answer, or less");
		json_object_put(*value);
		*value = NULL;
		return ODOO_XML_BROKEN;
	}
	return kind;
}
