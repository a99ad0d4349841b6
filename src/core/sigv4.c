/*
 * sigv4.c: the one recipe behind signed headers and presigned URLs.
 *
 * The request is written in a canonical form, its hash in a second text, and that is signed with a
 * key derived from the secret, the day, the region and the service. Everything is built in buffers
 * of fixed size: what does not fit is an error, never a wrong signature.
 */
#include "core/sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CANONICAL_SIZE 16384
#define SCOPE_SIZE 128
#define HASH_BYTES 32
#define ALGORITHM "AWS4-HMAC-SHA256"

static void
hex(const unsigned char *bytes, char out[SIGV4_HASH_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < HASH_BYTES; i++)
	{
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[2 * HASH_BYTES] = '\0';
}

bool
sigv4_hash(const void *data, size_t len, char out[SIGV4_HASH_SIZE])
{
	unsigned char hash[HASH_BYTES];

	if (EVP_Digest(data, len, hash, NULL, EVP_sha256(), NULL) != 1)
		return false;
	hex(hash, out);
	return true;
}

static bool
mac(const unsigned char *key, size_t key_len, const char *text, unsigned char out[HASH_BYTES])
{
	unsigned len = HASH_BYTES;

	return HMAC(EVP_sha256(), key, (int) key_len, (const unsigned char *) text, strlen(text), out,
				&len) != NULL;
}

static void
encode(struct buf *out, const char *text, char also)
{
	static const char digits[] = "0123456789ABCDEF";

	for (; *text != '\0'; text++)
	{
		unsigned char c = (unsigned char) *text;

		if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			c == '-' || c == '_' || c == '.' || c == '~' || (also != '\0' && c == also))
			buf_char(out, (char) c);
		else
		{
			buf_char(out, '%');
			buf_char(out, digits[c >> 4]);
			buf_char(out, digits[c & 15]);
		}
	}
}

void
sigv4_encode_path(struct buf *out, const char *text)
{
	encode(out, text, '/');
}

void
sigv4_encode_query(struct buf *out, const char *text)
{
	encode(out, text, '\0');
}

bool
sigv4_date(int64_t at_s, char out[SIGV4_DATE_SIZE])
{
	time_t at = (time_t) at_s;
	struct tm tm;

	return gmtime_r(&at, &tm) != NULL && tm.tm_year + 1900 <= 9999 &&
		   strftime(out, SIGV4_DATE_SIZE, "%Y%m%dT%H%M%SZ", &tm) == SIGV4_DATE_SIZE - 1;
}

/* day/region/s3/aws4_request */
static bool
print_scope(const char *date, const char *region, char scope[SCOPE_SIZE])
{
	struct buf b;

	buf_init(&b, scope, SCOPE_SIZE);
	buf_printf(&b, "%.8s/%s/s3/aws4_request", date, region);
	return !b.overflow;
}

/* Signs the canonical request; the signature as hexadecimal digits. */
static bool
sign(const struct sigv4_key *key, const char *date, const char *scope, const struct buf *canonical,
	 char signature[SIGV4_HASH_SIZE])
{
	char text[SCOPE_SIZE + 128];
	char first[256];
	char day[9];
	char hash[SIGV4_HASH_SIZE];
	unsigned char k[HASH_BYTES];
	struct buf b;
	bool signed_;

	if (!sigv4_hash(canonical->data, canonical->len, hash))
		return false;
	buf_init(&b, text, sizeof(text));
	buf_printf(&b, ALGORITHM "\n%s\n%s\n%s", date, scope, hash);
	if (b.overflow)
		return false;
	buf_init(&b, day, sizeof(day));
	buf_add(&b, date, 8);
	buf_init(&b, first, sizeof(first));
	buf_printf(&b, "AWS4%s", key->secret_key);
	signed_ = !b.overflow && mac((unsigned char *) first, b.len, day, k) &&
			  mac(k, sizeof(k), key->region, k) && mac(k, sizeof(k), "s3", k) &&
			  mac(k, sizeof(k), "aws4_request", k) && mac(k, sizeof(k), text, k);
	OPENSSL_cleanse(first, sizeof(first));
	if (signed_)
		hex(k, signature);
	OPENSSL_cleanse(k, sizeof(k));
	return signed_;
}

/* A header's value as it is signed: no space around it, one inside. */
static void
print_value(struct buf *b, const char *value)
{
	bool space = false;

	while (*value == ' ')
		value++;
	for (; *value != '\0'; value++)
	{
		if (*value == ' ')
		{
			space = true;
			continue;
		}
		if (space)
			buf_char(b, ' ');
		space = false;
		buf_char(b, *value);
	}
}

/* Puts a header in its place in the alphabet. */
static bool
insert(struct sigv4_header *list, size_t *count, const char *name, const char *value)
{
	size_t at = *count;

	if (*count == SIGV4_MAX_HEADERS + 4 || value == NULL)
		return false;
	while (at > 0 && strcmp(list[at - 1].name, name) > 0)
	{
		list[at] = list[at - 1];
		at--;
	}
	list[at] = (struct sigv4_header){name, value};
	(*count)++;
	return true;
}

static void
print_names(struct buf *b, const struct sigv4_header *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buf_printf(b, "%s%s", i == 0 ? "" : ";", list[i].name);
}

static void
print_canonical(struct buf *b, const struct sigv4_request *r, const char *query,
				const struct sigv4_header *list, size_t count, const char *payload)
{
	buf_printf(b, "%s\n%s\n%s\n", r->method, r->path, query);
	for (size_t i = 0; i < count; i++)
	{
		buf_printf(b, "%s:", list[i].name);
		print_value(b, list[i].value);
		buf_char(b, '\n');
	}
	buf_char(b, '\n');
	print_names(b, list, count);
	buf_printf(b, "\n%s", payload);
}

static bool
complete(const struct sigv4_key *key, const struct sigv4_request *r, struct va_error *err)
{
	if (key->access_key == NULL || key->access_key[0] == '\0' || key->secret_key == NULL ||
		key->secret_key[0] == '\0')
		return va_fail(err, "an access key and its secret are needed");
	if (key->region == NULL || key->region[0] == '\0')
		return va_fail(err, "a region is needed");
	if (r->path[0] != '/')
		return va_fail(err, "the path does not begin with a slash");
	return true;
}

bool
sigv4_authorization(const struct sigv4_key *key, const struct sigv4_request *r, struct buf *out,
					struct va_error *err)
{
	struct sigv4_header list[SIGV4_MAX_HEADERS + 4];
	size_t count = 0;
	char date[SIGV4_DATE_SIZE];
	char scope[SCOPE_SIZE];
	char canonical[CANONICAL_SIZE];
	char signature[SIGV4_HASH_SIZE];
	struct buf b;
	bool fits;

	if (!complete(key, r, err))
		return false;
	if (!sigv4_date(r->at_s, date) || !print_scope(date, key->region, scope))
		return va_fail(err, "the time or the region cannot be signed");
	fits = r->header_count <= SIGV4_MAX_HEADERS && insert(list, &count, "host", r->host) &&
		   insert(list, &count, "x-amz-content-sha256", r->payload_hash) &&
		   insert(list, &count, "x-amz-date", date);
	if (key->session_token != NULL)
		fits = fits && insert(list, &count, "x-amz-security-token", key->session_token);
	for (size_t i = 0; fits && i < r->header_count; i++)
		fits = insert(list, &count, r->headers[i].name, r->headers[i].value);
	buf_init(&b, canonical, sizeof(canonical));
	if (fits)
		print_canonical(&b, r, r->query, list, count, r->payload_hash);
	if (!fits || b.overflow || !sign(key, date, scope, &b, signature))
		return va_fail(err, "the request is too long to be signed");
	buf_printf(out, ALGORITHM " Credential=%s/%s, SignedHeaders=", key->access_key, scope);
	print_names(out, list, count);
	buf_printf(out, ", Signature=%s", signature);
	return !out->overflow || va_fail(err, "the signature does not fit");
}

bool
sigv4_presign(const struct sigv4_key *key, const struct sigv4_request *r, unsigned valid_s,
			  struct buf *out, struct va_error *err)
{
	const struct sigv4_header host = {"host", r->host};
	char date[SIGV4_DATE_SIZE];
	char scope[SCOPE_SIZE];
	char canonical[CANONICAL_SIZE];
	char signature[SIGV4_HASH_SIZE];
	struct buf b;

	if (!complete(key, r, err))
		return false;
	if (valid_s < 1 || valid_s > SIGV4_LONGEST_S)
		return va_fail(err, "a link is valid for 1 to %d seconds", SIGV4_LONGEST_S);
	if (!sigv4_date(r->at_s, date) || !print_scope(date, key->region, scope))
		return va_fail(err, "the time or the region cannot be signed");
	/* In the order of the alphabet, in which capital letters come first. */
	buf_str(out, "X-Amz-Algorithm=" ALGORITHM "&X-Amz-Credential=");
	sigv4_encode_query(out, key->access_key);
	buf_str(out, "%2F");
	sigv4_encode_query(out, scope);
	buf_printf(out, "&X-Amz-Date=%s&X-Amz-Expires=%u", date, valid_s);
	if (key->session_token != NULL)
	{
		buf_str(out, "&X-Amz-Security-Token=");
		sigv4_encode_query(out, key->session_token);
	}
	buf_str(out, "&X-Amz-SignedHeaders=host");
	if (r->query[0] != '\0')
		buf_printf(out, "&%s", r->query);
	if (out->overflow)
		return va_fail(err, "the link does not fit");
	buf_init(&b, canonical, sizeof(canonical));
	print_canonical(&b, r, out->data, &host, 1, SIGV4_UNSIGNED);
	if (b.overflow || !sign(key, date, scope, &b, signature))
		return va_fail(err, "the request is too long to be signed");
	buf_printf(out, "&X-Amz-Signature=%s", signature);
	return !out->overflow || va_fail(err, "the link does not fit");
}
