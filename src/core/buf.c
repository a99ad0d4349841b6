/*
 * buf.c: a bounded writer over memory that the caller owns.
 *
 * All writes pass through buf_add, so the promise "never past the end, and nothing after the first
 * write that did not fit" is kept in one place.
 */
#include "core/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/utf8.h"

void
buf_init(struct buf *b, char *data, size_t size)
{
	b->data = data;
	b->size = size;
	b->len = 0;
	b->overflow = size == 0;
	if (size > 0)
		data[0] = '\0';
}

void
buf_add(struct buf *b, const void *data, size_t len)
{
	if (b->overflow)
		return;
	if (len >= b->size - b->len)
	{
		b->overflow = true;
		return;
	}
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void
buf_str(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text));
}

void
buf_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void
buf_printf(struct buf *b, const char *format, ...)
{
	va_list args;

	if (b->overflow)
		return;

	size_t room = b->size - b->len;

	va_start(args, format);
	int wanted = vsnprintf(b->data + b->len, room, format, args);
	va_end(args);
	if (wanted < 0 || (size_t) wanted >= room)
	{
		b->overflow = true;
		b->data[b->len] = '\0';
		return;
	}
	b->len += (size_t) wanted;
}

/* The escape of a character that may not stand in a JSON string as it is. */
static void
json_escape(struct buf *b, unsigned char c)
{
	switch (c)
	{
		case '"': buf_str(b, "\\\""); break;
		case '\\': buf_str(b, "\\\\"); break;
		case '\n': buf_str(b, "\\n"); break;
		case '\r': buf_str(b, "\\r"); break;
		case '\t': buf_str(b, "\\t"); break;
		default: buf_printf(b, "\\u%04x", c); break;
	}
}

/* Bytes that are not UTF-8, and NUL, which no JSON reader of ours accepts, become U+FFFD: what is
 * written is always one valid JSON string. */
void
buf_json_string(struct buf *b, const char *text, size_t len)
{
	size_t at = 0;
	size_t from = 0; /* start of the run that needs no escape */

	buf_char(b, '"');
	while (at < len && !b->overflow)
	{
		unsigned char c = (unsigned char) text[at];
		size_t length = utf8_sequence(text + at, len - at);

		if (length > 0 && c >= 0x20 && c != '"' && c != '\\')
		{
			at += length;
			continue;
		}
		buf_add(b, text + from, at - from);
		if (length == 0 || c == '\0')
			buf_str(b, "\xEF\xBF\xBD");
		else
			json_escape(b, c);
		from = ++at;
	}
	buf_add(b, text + from, at - from);
	buf_char(b, '"');
}
