/*
 * links.c: signed links to stored files, for SQL: to S3 by core/sigv4, to the gateway by an HMAC.
 */
#include "postgres.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "core/s3.h"
#include "core/sigv4.h"
#include "pg/errcodes.h"
#include "worker/compat.h"

#define LINK_SIZE 8192
#define DIGEST 32

PG_FUNCTION_INFO_V1(va_hmac_sha256);
PG_FUNCTION_INFO_V1(va_s3_link);

/* va_hmac_sha256(key text, message text) → 64 hexadecimal digits */
Datum
va_hmac_sha256(PG_FUNCTION_ARGS)
{
	text *key = PG_GETARG_TEXT_PP(0);
	text *message = PG_GETARG_TEXT_PP(1);
	unsigned char digest[DIGEST];
	unsigned len = sizeof(digest);
	char digits[2 * DIGEST + 1];
	int i;

	if (HMAC(EVP_sha256(), VARDATA_ANY(key), (int) VARSIZE_ANY_EXHDR(key),
			 (unsigned char *) VARDATA_ANY(message), VARSIZE_ANY_EXHDR(message), digest,
			 &len) == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute an HMAC")));
	for (i = 0; i < DIGEST; i++)
		snprintf(digits + 2 * i, 3, "%02x", digest[i]);
	PG_RETURN_TEXT_P(cstring_to_text(digits));
}

/* va_s3_link(endpoint text, region text, access_key text, secret_key text, bucket text, path_style boolean, key text,
 * valid_s integer, at timestamptz) → a presigned URL for GET; key: of the object, not encoded */
Datum
va_s3_link(PG_FUNCTION_ARGS)
{
	struct sigv4_key key = {.access_key = text_to_cstring(PG_GETARG_TEXT_PP(2)),
							.secret_key = text_to_cstring(PG_GETARG_TEXT_PP(3)),
							.region = text_to_cstring(PG_GETARG_TEXT_PP(1))};
	struct s3_address *address = palloc(sizeof(*address));
	char *query = palloc(LINK_SIZE);
	struct sigv4_request request = {
		.method = "GET", .query = "", .host = address->host, .path = address->path};
	struct va_error err = {""};
	struct buf b;

	request.at_s = timestamptz_to_time_t(PG_GETARG_TIMESTAMPTZ(8));
	buf_init(&b, query, LINK_SIZE);
	if (!s3_address(address, text_to_cstring(PG_GETARG_TEXT_PP(0)),
					text_to_cstring(PG_GETARG_TEXT_PP(4)), PG_GETARG_BOOL(5),
					text_to_cstring(PG_GETARG_TEXT_PP(6)), &err) ||
		!sigv4_presign(&key, &request, (unsigned) Max(PG_GETARG_INT32(7), 0), &b, &err))
		ereport(ERROR, (errcode(ERRCODE_VA_ARGUMENT), errmsg("no link can be made: %s", err.text)));
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%s?%s", address->url, query)));
}
