/*
 * error.c: fills the fixed-size message of a failed call.
 *
 * A message may quote what came from outside, so a cut must not leave half a UTF-8 character: the
 * text ends in log lines and in the database, which refuse such bytes.
 */
#include "core/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/utf8.h"

bool
va_fail(struct va_error *err, const char *format, ...)
{
	if (err == NULL)
		return false;

	va_list args;

	va_start(args, format);
	int wanted = vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	if (wanted < 0)
		err->text[0] = '\0';
	else if ((size_t) wanted >= sizeof(err->text))
		err->text[utf8_cut(err->text, strlen(err->text))] = '\0';
	return false;
}
