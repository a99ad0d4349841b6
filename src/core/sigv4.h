/*
 * sigv4.h: AWS Signature Version 4 for S3 and what speaks like it.
 *
 * libcurl can sign too, but each version differently (7.88 needs the payload's hash by hand, encodes
 * no path, sorts no query), and none can make a presigned URL. Both are one recipe, which is here.
 * Source: "Authenticating Requests: Using the Authorization Header" and "... Using Query
 * Parameters" of the Amazon S3 API Reference.
 */
#ifndef VA_CORE_SIGV4_H
#define VA_CORE_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/error.h"

#define SIGV4_HASH_SIZE 65 /* SHA-256 in hexadecimal digits and a NUL */
#define SIGV4_DATE_SIZE 17 /* 20300115T120000Z and a NUL */
#define SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"
#define SIGV4_LONGEST_S (7 * 24 * 3600) /* of a presigned URL, by Amazon's rule */
#define SIGV4_MAX_HEADERS 16

struct sigv4_key
{
	const char *access_key;
	const char *secret_key;
	const char *session_token; /* of temporary credentials, or NULL */
	const char *region; /* "us-east-1"; "auto" with some others */
};

struct sigv4_header
{
	const char *name; /* in lower case */
	const char *value;
};

struct sigv4_request
{
	const char *method;
	const char *host; /* with the port where it is not the scheme's own */
	const char *path; /* from '/', already encoded by sigv4_encode_path */
	const char *query; /* "a=1&b=" encoded and in order, or "" */
	const char *payload_hash; /* of sigv4_hash, or SIGV4_UNSIGNED */
	/* Headers to sign besides host, x-amz-content-sha256, x-amz-date and x-amz-security-token. */
	const struct sigv4_header *headers;
	size_t header_count;
	int64_t at_s; /* seconds since 1970 */
};

/* SHA-256 of a body in hexadecimal digits. */
bool sigv4_hash(const void *data, size_t len, char out[SIGV4_HASH_SIZE]);

/* Percent-encodes all bytes but letters, digits and "-_.~", and "/" in a path: once, as S3 wants. */
void sigv4_encode_path(struct buf *out, const char *text);
void sigv4_encode_query(struct buf *out, const char *text);

/* 20300115T120000Z */
bool sigv4_date(int64_t at_s, char out[SIGV4_DATE_SIZE]);

/* Writes the value of the header Authorization. The request must then carry the headers signed,
 * x-amz-date and x-amz-content-sha256 with just these values. False when something is missing, too
 * long or too much. */
bool sigv4_authorization(const struct sigv4_key *key, const struct sigv4_request *request,
						 struct buf *out, struct va_error *err);

/* Writes the query of a presigned URL, X-Amz-Signature included; of the request's members payload_hash
 * and headers are not used. valid_s: 1 to SIGV4_LONGEST_S. The request's own query may hold
 * response-content-… parameters, which sort behind ours. */
bool sigv4_presign(const struct sigv4_key *key, const struct sigv4_request *request,
				   unsigned valid_s, struct buf *out, struct va_error *err);

#endif
