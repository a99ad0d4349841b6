/*
 * json.c: json-c, made strict.
 *
 * A text is first checked against the grammar of RFC 8259 by a walker of our own, which allocates
 * nothing, and only then built by json-c. The walker is stricter than json-c's strict mode where
 * jsonb or a careful reader would stumble: unpaired surrogates, \u0000, integers beyond 64 bits.
 */
#include "core/json.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "core/json_scan.h"
#include "core/utf8.h"

/* Where the walker is, and what stopped it. */
struct walker
{
	const char *start;
	const char *at;
	const char *end;
	const char *problem; /* NULL while all is well */
	int depth;
};

static bool
refuse(struct walker *w, const char *problem)
{
	if (w->problem == NULL)
		w->problem = problem;
	return false;
}

/* The next character, or -1 at the end. */
static int
peek(const struct walker *w)
{
	return w->at < w->end ? (unsigned char) *w->at : -1;
}

static void
skip_space(struct walker *w)
{
	while (w->at < w->end && (*w->at == ' ' || *w->at == '\t' || *w->at == '\n' || *w->at == '\r'))
		w->at++;
}

static bool
is_digit(int c)
{
	return c >= '0' && c <= '9';
}

/* Four hexadecimal digits behind \u; -1 when there are none. */
static int
code_unit(struct walker *w)
{
	int value = 0;

	if (w->end - w->at < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		char c = *w->at++;
		int digit = is_digit(c)			   ? c - '0'
					: c >= 'a' && c <= 'f' ? c - 'a' + 10
					: c >= 'A' && c <= 'F' ? c - 'A' + 10
										   : -1;

		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

/* What follows "\u". */
static bool
walk_unicode(struct walker *w)
{
	int unit = code_unit(w);

	if (unit < 0)
		return refuse(w, "broken \\u escape");
	if (unit == 0)
		return refuse(w, "\\u0000 is not allowed");
	if (unit >= 0xDC00 && unit <= 0xDFFF)
		return refuse(w, "unpaired surrogate");
	if (unit < 0xD800 || unit > 0xDBFF)
		return true;
	if (w->end - w->at < 2 || w->at[0] != '\\' || w->at[1] != 'u')
		return refuse(w, "unpaired surrogate");
	w->at += 2;
	unit = code_unit(w);
	if (unit < 0xDC00 || unit > 0xDFFF)
		return refuse(w, "unpaired surrogate");
	return true;
}

/* What follows a backslash. */
static bool
walk_escape(struct walker *w)
{
	switch (peek(w))
	{
		case '"':
		case '\\':
		case '/':
		case 'b':
		case 'f':
		case 'n':
		case 'r':
		case 't': w->at++; return true;
		case 'u': w->at++; return walk_unicode(w);
		default: return refuse(w, "unknown escape");
	}
}

static bool
walk_string(struct walker *w)
{
	w->at++; /* the quote */
	for (;;)
	{
		w->at = json_scan_plain(w->at, w->end);

		int c = peek(w);

		if (c == '"')
		{
			w->at++;
			return true;
		}
		if (c < 0)
			return refuse(w, "unterminated string");
		if (c < 0x20)
			return refuse(w, "control character in a string");
		if (c == '\\')
		{
			w->at++;
			if (!walk_escape(w))
				return false;
			continue;
		}

		size_t length = utf8_sequence(w->at, (size_t) (w->end - w->at));

		if (length == 0)
			return refuse(w, "invalid UTF-8");
		w->at += length;
	}
}

static void
skip_digits(struct walker *w)
{
	while (is_digit(peek(w)))
		w->at++;
}

/* True when the digits are at most 2^63 - 1, or 2^63 for a negative number. */
static bool
fits_int64(const char *digits, size_t count, bool negative)
{
	const char *limit = negative ? "9223372036854775808" : "9223372036854775807";

	return count < 19 || (count == 19 && memcmp(digits, limit, 19) <= 0);
}

static bool
walk_number(struct walker *w)
{
	bool negative = peek(w) == '-';
	bool integer = true;

	if (negative)
		w->at++;

	const char *digits = w->at;

	skip_digits(w);

	size_t count = (size_t) (w->at - digits);

	if (count == 0 || (count > 1 && digits[0] == '0'))
		return refuse(w, "malformed number");
	if (peek(w) == '.')
	{
		integer = false;
		w->at++;
		if (!is_digit(peek(w)))
			return refuse(w, "malformed number");
		skip_digits(w);
	}
	if (peek(w) == 'e' || peek(w) == 'E')
	{
		integer = false;
		w->at++;
		if (peek(w) == '+' || peek(w) == '-')
			w->at++;
		if (!is_digit(peek(w)))
			return refuse(w, "malformed number");
		skip_digits(w);
	}
	if (integer && !fits_int64(digits, count, negative))
		return refuse(w, "integer out of range");
	return true;
}

static bool
walk_literal(struct walker *w, const char *literal)
{
	size_t length = strlen(literal);

	if ((size_t) (w->end - w->at) < length || memcmp(w->at, literal, length) != 0)
		return refuse(w, "unexpected character");
	w->at += length;
	return true;
}

static bool walk_value(struct walker *w);

/* The members of an object or the elements of an array, behind the opening bracket. */
static bool
walk_container(struct walker *w, char close, bool keys)
{
	if (++w->depth > JSON_MAX_DEPTH)
		return refuse(w, "nested too deeply");
	w->at++;
	skip_space(w);
	if (peek(w) == close)
		goto closed;
	for (;;)
	{
		if (keys)
		{
			skip_space(w);
			if (peek(w) != '"')
				return refuse(w, "member name expected");
			if (!walk_string(w))
				return false;
			skip_space(w);
			if (peek(w) != ':')
				return refuse(w, "colon expected");
			w->at++;
		}
		if (!walk_value(w))
			return false;
		skip_space(w);
		if (peek(w) == close)
			goto closed;
		if (peek(w) != ',')
			return refuse(w, "comma or closing bracket expected");
		w->at++;
	}
closed:
	w->at++;
	w->depth--;
	return true;
}

static bool
walk_value(struct walker *w)
{
	skip_space(w);
	switch (peek(w))
	{
		case '{': return walk_container(w, '}', true);
		case '[': return walk_container(w, ']', false);
		case '"': return walk_string(w);
		case 't': return walk_literal(w, "true");
		case 'f': return walk_literal(w, "false");
		case 'n': return walk_literal(w, "null");
		case -1: return refuse(w, "unexpected end");
		default:
			if (peek(w) == '-' || is_digit(peek(w)))
				return walk_number(w);
			return refuse(w, "unexpected character");
	}
}

bool
json_check(const char *text, size_t len, struct va_error *err)
{
	struct walker w = {.start = text, .at = text, .end = text + len};

	if (walk_value(&w))
	{
		skip_space(&w);
		if (w.at < w.end)
			refuse(&w, "more text behind the value");
	}
	if (w.problem != NULL)
		return va_fail(err, "invalid JSON at byte %zu: %s", (size_t) (w.at - w.start), w.problem);
	return true;
}

/* A number such as 1e999 is good JSON that json-c turns into infinity. */
static bool
all_finite(struct json_object *value)
{
	switch (json_object_get_type(value))
	{
		case json_type_double: return isfinite(json_object_get_double(value)) != 0;
		case json_type_array:
			for (size_t i = 0; i < json_object_array_length(value); i++)
				if (!all_finite(json_object_array_get_idx(value, i)))
					return false;
			return true;
		case json_type_object:
		{
			json_object_object_foreach(value, key, member)
			{
				(void) key;
				if (!all_finite(member))
					return false;
			}
			return true;
		}
		default: return true;
	}
}

/* Builds what json_check has accepted. */
static struct json_object *
build(const char *text, size_t len, struct va_error *err)
{
	struct json_tokener *tok = json_tokener_new_ex(JSON_MAX_DEPTH + 2);
	struct json_object *value;

	if (tok == NULL)
	{
		va_fail(err, "out of memory");
		return NULL;
	}
	/* json_check has seen to the grammar and the UTF-8. json-c must not look again: the strict mode of
	 * 0.18 takes every byte above 127 for a control character (github.com/json-c/json-c/issues/892). */
	json_tokener_set_flags(tok, 0);
	value = json_tokener_parse_ex(tok, text, (int) len);
	/* A number at the end of the text could go on: a space says that it does not. */
	if (value == NULL && json_tokener_get_error(tok) == json_tokener_continue)
		value = json_tokener_parse_ex(tok, " ", 1);
	if (value == NULL && json_tokener_get_error(tok) == json_tokener_success)
		va_fail(err, "invalid JSON: only null");
	else if (value == NULL)
		va_fail(err, "invalid JSON: %s", json_tokener_error_desc(json_tokener_get_error(tok)));
	json_tokener_free(tok);
	return value;
}

struct json_object *
json_parse(const char *text, size_t len, struct va_error *err)
{
	struct json_object *value;

	if (len >= INT_MAX)
	{
		va_fail(err, "invalid JSON: too long");
		return NULL;
	}
	if (!json_check(text, len, err))
		return NULL;
	value = build(text, len, err);
	if (value != NULL && !all_finite(value))
	{
		va_fail(err, "invalid JSON: number out of range");
		json_object_put(value);
		return NULL;
	}
	return value;
}

struct json_object *
json_member(struct json_object *obj, const char *key)
{
	struct json_object *value = NULL;

	if (!json_object_is_type(obj, json_type_object))
		return NULL;
	json_object_object_get_ex(obj, key, &value);
	return value;
}

const char *
json_text(struct json_object *obj, const char *key, const char *fallback)
{
	struct json_object *value = json_member(obj, key);

	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : fallback;
}

bool
json_integer(struct json_object *obj, const char *key, int64_t *value)
{
	struct json_object *member = json_member(obj, key);

	if (!json_object_is_type(member, json_type_int))
		return false;
	*value = json_object_get_int64(member);
	return true;
}

bool
json_number(struct json_object *obj, const char *key, double *value)
{
	struct json_object *member = json_member(obj, key);

	if (!json_object_is_type(member, json_type_double) &&
		!json_object_is_type(member, json_type_int))
		return false;
	*value = json_object_get_double(member);
	return true;
}

bool
json_flag(struct json_object *obj, const char *key, bool fallback)
{
	struct json_object *member = json_member(obj, key);

	return json_object_is_type(member, json_type_boolean) ? json_object_get_boolean(member) != 0
														  : fallback;
}
