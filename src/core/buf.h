/*
 * buf.h: a bounded writer over memory that the caller owns.
 *
 * Nothing is ever written past the end: a write that does not fit sets `overflow` and writes
 * nothing more, so a caller checks once, at the end. The text is kept NUL-terminated.
 */
#ifndef VA_CORE_BUF_H
#define VA_CORE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf
{
	char *data;
	size_t size; /* bytes available, the terminating NUL included; at least 1 */
	size_t len; /* bytes written, without the NUL */
	bool overflow;
};

void buf_init(struct buf *b, char *data, size_t size);
void buf_add(struct buf *b, const void *data, size_t len);
void buf_str(struct buf *b, const char *text);
void buf_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A JSON string with its quotes; text is UTF-8 of len bytes. */
void buf_json_string(struct buf *b, const char *text, size_t len);

#endif
