/*
 * twilio_pg.c: Twilio's error codes in plain words, for SQL.
 *
 * Codes reach the database by two ways, as refusals of our requests and as news in webhooks; both
 * are explained from the one table of core/twilio_codes.c.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "core/twilio_codes.h"

PG_FUNCTION_INFO_V1(va_twilio_meaning);
PG_FUNCTION_INFO_V1(va_twilio_hint);
PG_FUNCTION_INFO_V1(va_twilio_kind);

/* va_twilio_meaning(integer): what has happened; NULL for a code that is not known here. */
Datum
va_twilio_meaning(PG_FUNCTION_ARGS)
{
	const struct twilio_rest_code *code = twilio_rest_code(PG_GETARG_INT32(0));

	if (code == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(code->meaning));
}

/* va_twilio_hint(integer): what to do about it. */
Datum
va_twilio_hint(PG_FUNCTION_ARGS)
{
	const struct twilio_rest_code *code = twilio_rest_code(PG_GETARG_INT32(0));

	if (code == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(code->hint));
}

/* va_twilio_kind(integer): permanent, setup, later, gone or refused; see core/twilio_rest.h. */
Datum
va_twilio_kind(PG_FUNCTION_ARGS)
{
	static const char *const kinds[] = {
		[TWILIO_REST_PERMANENT] = "permanent", [TWILIO_REST_SETUP] = "setup",
		[TWILIO_REST_LATER] = "later",		   [TWILIO_REST_GONE] = "gone",
		[TWILIO_REST_REFUSED] = "refused",
	};
	const struct twilio_rest_code *code = twilio_rest_code(PG_GETARG_INT32(0));

	if (code == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(kinds[code->kind]));
}
