/*
 * text.c: small SQL functions over core: the version and telephone numbers.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "core/phone.h"
#include "pg/errcodes.h"

#ifndef VOICEAGENT_VERSION
#define VOICEAGENT_VERSION "0.2"
#endif

PG_FUNCTION_INFO_V1(va_version);
PG_FUNCTION_INFO_V1(va_phone_normalize);
PG_FUNCTION_INFO_V1(va_phone_try);

/* The library's version; the extension's is in pg_extension, and va_health() compares them. */
Datum
va_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(VOICEAGENT_VERSION));
}

/* va_phone_normalize(text): E.164, or an error of SQLSTATE VA003. */
Datum
va_phone_normalize(PG_FUNCTION_ARGS)
{
	char *text_in = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char number[PHONE_SIZE];
	struct va_error error;

	if (!phone_normalize(text_in, number, &error))
		ereport(ERROR, (errcode(ERRCODE_VA_PHONE), errmsg("not a telephone number in E.164"),
						errdetail("%s.", error.text),
						errhint("Write it with country code, for instance +1 555 123 0001.")));
	PG_RETURN_TEXT_P(cstring_to_text(number));
}

/* va_phone_try(text): E.164, or NULL where that is an error. */
Datum
va_phone_try(PG_FUNCTION_ARGS)
{
	char *text_in = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char number[PHONE_SIZE];

	if (!phone_normalize(text_in, number, NULL))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(number));
}
