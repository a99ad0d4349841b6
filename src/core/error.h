/*
 * error.h: how the pure modules say that something went wrong.
 *
 * core never logs and never aborts: a function that can fail returns false, NULL or a negative
 * number and, where a person will want to know why, fills a text of fixed size.
 */
#ifndef VA_CORE_ERROR_H
#define VA_CORE_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#define VA_ERROR_SIZE 160

/* A message for people: lower case, no full stop, never a secret. */
struct va_error
{
	char text[VA_ERROR_SIZE];
};

/* Writes a formatted message, cut to fit; err may be NULL. Always returns false, so that callers
 * can write `return va_fail(err, ...)`. */
bool va_fail(struct va_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
