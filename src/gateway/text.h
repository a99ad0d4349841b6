/*
 * text.h: a text that grows, for JSON that is built away from the audio path.
 *
 * core's buf is for memory of known size; events and parameters have none.
 */
#ifndef VA_GATEWAY_TEXT_H
#define VA_GATEWAY_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed memory is an empty text. After a failed allocation `failed` is set and nothing is added
 * any more. */
struct text
{
	char *data; /* NUL-terminated; NULL while empty */
	size_t len;
	size_t size;
	bool failed;
};

void text_add(struct text *t, const char *data, size_t len);
void text_str(struct text *t, const char *str);
void text_printf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A JSON string with its quotes. */
void text_json(struct text *t, const char *str, size_t len);
/* ,"key":"value" (the comma only when something but an opening brace stands before it) */
void text_member(struct text *t, const char *key, const char *value);
void text_number(struct text *t, const char *key, long long value);
/* Frees the memory; the text is empty then. */
void text_free(struct text *t);

#endif
