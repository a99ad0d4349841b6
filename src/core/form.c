/*
 * form.c: application/x-www-form-urlencoded (WHATWG URL standard), stricter than browsers are.
 *
 * A webhook's body is hostile until its signature is verified, and the signature is over the
 * decoded fields; so the body is decoded once, in place, and what two readers could understand
 * differently (broken escapes, NUL, invalid UTF-8) is refused.
 */
#include "core/form.h"

#include <string.h>

#include "core/hex.h"
#include "core/utf8.h"

/* Decodes text[0..len) in place. Returns the new length, or -1. Decoding never makes it longer. */
static ptrdiff_t
unescape(char *text, size_t len)
{
	size_t to = 0;

	for (size_t at = 0; at < len; at++)
	{
		char c = text[at];

		if (c == '+')
			c = ' ';
		else if (c == '%')
		{
			int high = len - at > 2 ? hex_digit(text[at + 1]) : -1;
			int low = len - at > 2 ? hex_digit(text[at + 2]) : -1;

			if (high < 0 || low < 0)
				return -1;
			c = (char) (high * 16 + low);
			at += 2;
		}
		text[to++] = c;
	}
	return (ptrdiff_t) to;
}

/* Decodes one name or value that ends where a delimiter (or the spare byte) can become a NUL. */
static bool
decode_part(char *text, size_t len, const char **part, size_t *part_len, struct va_error *err)
{
	ptrdiff_t decoded = unescape(text, len);

	if (decoded < 0)
		return va_fail(err, "the form has a broken %%XX escape");
	if (memchr(text, '\0', (size_t) decoded) != NULL)
		return va_fail(err, "the form contains a NUL byte");
	if (!utf8_valid(text, (size_t) decoded))
		return va_fail(err, "the form is not valid UTF-8");
	text[decoded] = '\0';
	*part = text;
	*part_len = (size_t) decoded;
	return true;
}

/* One "name=value" or "name", of len bytes with one byte of room behind. */
static bool
decode_field(char *text, size_t len, struct form_field *field, struct va_error *err)
{
	char *equals = memchr(text, '=', len);
	size_t name_len = equals != NULL ? (size_t) (equals - text) : len;
	char *value = equals != NULL ? equals + 1 : text + len;
	size_t value_len = equals != NULL ? len - name_len - 1 : 0;

	/* The value first: without "=" it is the empty text at the name's end. */
	return decode_part(value, value_len, &field->value, &field->value_len, err) &&
		   decode_part(text, name_len, &field->name, &field->name_len, err);
}

bool
form_decode(char *body, size_t len, struct form *out, struct va_error *err)
{
	char *end = body + len;

	out->count = 0;
	while (body < end)
	{
		char *next = memchr(body, '&', (size_t) (end - body));
		size_t field_len = (size_t) ((next != NULL ? next : end) - body);

		if (field_len > 0) /* "a=1&&b=2" has two fields */
		{
			if (out->count == FORM_MAX_FIELDS)
				return va_fail(err, "the form has more than %d fields", FORM_MAX_FIELDS);
			if (!decode_field(body, field_len, &out->fields[out->count], err))
				return false;
			out->count++;
		}
		body += field_len + 1;
	}
	return true;
}

const char *
form_value(const struct form *form, const char *name, const char *fallback)
{
	for (size_t i = 0; i < form->count; i++)
		if (strcmp(form->fields[i].name, name) == 0)
			return form->fields[i].value;
	return fallback;
}
