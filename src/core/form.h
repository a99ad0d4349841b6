/*
 * form.h: application/x-www-form-urlencoded, decoded once for signature and use.
 */
#ifndef VA_CORE_FORM_H
#define VA_CORE_FORM_H

#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"

#define FORM_MAX_FIELDS 128

struct form_field
{
	const char *name; /* decoded, NUL-terminated, may hold any UTF-8 */
	size_t name_len;
	const char *value;
	size_t value_len;
};

struct form
{
	struct form_field fields[FORM_MAX_FIELDS]; /* in the order received */
	size_t count;
};

/* Decodes in place: `body` (len bytes, with one byte more of room for a NUL) is overwritten and
 * must outlive the form. False for a broken %XX, a NUL byte, invalid UTF-8, or too many fields. */
bool form_decode(char *body, size_t len, struct form *out, struct va_error *err);

/* The first value of that name, or fallback. */
const char *form_value(const struct form *form, const char *name, const char *fallback);

#endif
