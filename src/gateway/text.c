/*
 * text.c: see text.h.
 */
#include "gateway/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"

/* Room for `more` bytes and a NUL. */
static bool
reserve(struct text *t, size_t more)
{
	if (t->failed)
		return false;
	if (t->len + more + 1 <= t->size)
		return true;

	size_t size = (t->len + more + 1) * 3 / 2 + 64;
	char *grown = realloc(t->data, size);

	if (grown == NULL)
	{
		t->failed = true;
		return false;
	}
	t->data = grown;
	t->size = size;
	return true;
}

void
text_add(struct text *t, const char *data, size_t len)
{
	if (!reserve(t, len))
		return;
	memcpy(t->data + t->len, data, len);
	t->len += len;
	t->data[t->len] = '\0';
}

void
text_str(struct text *t, const char *str)
{
	text_add(t, str, strlen(str));
}

void
text_printf(struct text *t, const char *format, ...)
{
	va_list args;
	int need;

	va_start(args, format);
	need = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (need < 0 || !reserve(t, (size_t) need))
		return;
	va_start(args, format);
	vsnprintf(t->data + t->len, (size_t) need + 1, format, args);
	va_end(args);
	t->len += (size_t) need;
}

void
text_json(struct text *t, const char *str, size_t len)
{
	struct buf b;

	/* The longest escape of one byte is six characters. */
	if (!reserve(t, len * 6 + 2))
		return;
	buf_init(&b, t->data + t->len, t->size - t->len);
	buf_json_string(&b, str, len);
	t->len += b.len;
}

static void
key(struct text *t, const char *name)
{
	if (t->len > 0 && t->data[t->len - 1] != '{')
		text_str(t, ",");
	text_json(t, name, strlen(name));
	text_str(t, ":");
}

void
text_member(struct text *t, const char *name, const char *value)
{
	key(t, name);
	text_json(t, value, strlen(value));
}

void
text_number(struct text *t, const char *name, long long value)
{
	key(t, name);
	text_printf(t, "%lld", value);
}

void
text_free(struct text *t)
{
	free(t->data);
	memset(t, 0, sizeof(*t));
}
