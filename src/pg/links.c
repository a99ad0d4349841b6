/*
 * links.c: signed links to stored files, for SQL: to S3 by core/sigv4, to the gateway by an HMAC.
 */
#include "postgres.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "core/sigv4.h"
#include "pg/errcodes.h"

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

/* The host of "https://host:port", with the port; the end point's own path is not S3's. */
static const char *
host_of(const char *endpoint)
{
	const char *host = strstr(endpoint, "://");

	if (host == NULL || host[3] == '\0' || strchr(host + 3, '/') != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_VA_ARGUMENT), errmsg("\"%s\" is no end point of S3", endpoint),
				 errhint("It is a scheme and a host, as https://s3.example.com.")));
	return host + 3;
}

/* va_s3_link(endpoint text, region text, access_key text, secret_key text, path text, valid_s integer,
 * at timestamptz) → a presigned URL; path begins with a slash and is not encoded */
Datum
va_s3_link(PG_FUNCTION_ARGS)
{
	char *endpoint = text_to_cstring(PG_GETARG_TEXT_PP(0));
	struct sigv4_key key = {.access_key = text_to_cstring(PG_GETARG_TEXT_PP(2)),
							.secret_key = text_to_cstring(PG_GETARG_TEXT_PP(3)),
							.region = text_to_cstring(PG_GETARG_TEXT_PP(1))};
	char *path = palloc(LINK_SIZE);
	char *query = palloc(LINK_SIZE);
	struct sigv4_request request = {.method = "GET", .query = "", .host = host_of(endpoint)};
	struct va_error err = {""};
	struct buf b;

	buf_init(&b, path, LINK_SIZE);
	sigv4_encode_path(&b, text_to_cstring(PG_GETARG_TEXT_PP(4)));
	request.path = path;
	request.at_s = timestamptz_to_time_t(PG_GETARG_TIMESTAMPTZ(6));
	if (b.overflow)
		ereport(ERROR, (errcode(ERRCODE_VA_ARGUMENT), errmsg("the file's path is too long")));
	buf_init(&b, query, LINK_SIZE);
	if (!sigv4_presign(&key, &request, (unsigned) Max(PG_GETARG_INT32(5), 0), &b, &err))
		ereport(ERROR, (errcode(ERRCODE_VA_ARGUMENT), errmsg("no link can be made: %s", err.text)));
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%s%s?%s", endpoint, path, query)));
}
