/*
 * google_calendar.c: see google_calendar.h.
 */
#include "core/google_calendar.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "core/buf.h"
#include "core/json.h"
#include "core/utf8.h"

#define LIFETIME_S 3600 /* the longest that Google takes */
#define CLAIMS_SIZE 2048
#define SIGNATURE_MAX 1024 /* bytes: a key of 8192 bits */

bool
google_base64url(const void *data, size_t len, char *out, size_t size)
{
	size_t n;

	if (BASE64_LENGTH(len) >= size)
		return false;
	n = base64_encode(data, len, out);
	while (n > 0 && out[n - 1] == '=')
		n--;
	out[n] = '\0';
	for (size_t i = 0; i < n; i++)
		out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
	return true;
}

static void
json_pair(struct buf *b, const char *name, const char *value)
{
	buf_printf(b, "%s\"%s\":", b->len > 1 ? "," : "", name);
	buf_json_string(b, value, strlen(value));
}

static bool
header_part(const struct google_claims *claims, char *out, size_t size)
{
	char text[512];
	struct buf b;

	buf_init(&b, text, sizeof(text));
	buf_str(&b, "{");
	json_pair(&b, "alg", "RS256");
	json_pair(&b, "typ", "JWT");
	if (claims->key_id != NULL && claims->key_id[0] != '\0')
		json_pair(&b, "kid", claims->key_id);
	buf_str(&b, "}");
	return !b.overflow && google_base64url(text, b.len, out, size);
}

static bool
claims_part(const struct google_claims *claims, char *out, size_t size)
{
	char text[CLAIMS_SIZE];
	struct buf b;

	buf_init(&b, text, sizeof(text));
	buf_str(&b, "{");
	json_pair(&b, "iss", claims->issuer);
	json_pair(&b, "scope", GOOGLE_SCOPE);
	json_pair(&b, "aud", claims->audience);
	if (claims->subject != NULL && claims->subject[0] != '\0')
		json_pair(&b, "sub", claims->subject);
	buf_printf(&b, ",\"iat\":%lld,\"exp\":%lld}", (long long) claims->now_s,
			   (long long) claims->now_s + LIFETIME_S);
	return !b.overflow && google_base64url(text, b.len, out, size);
}

static EVP_PKEY *
read_key(const char *pem, struct va_error *err)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	/* An empty pass phrase, so that an encrypted key fails and nobody is asked at a terminal. */
	EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *) "") : NULL;

	BIO_free(bio);
	if (key != NULL && (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA ||
						EVP_PKEY_get_bits(key) < 2048 || EVP_PKEY_get_size(key) > SIGNATURE_MAX))
	{
		EVP_PKEY_free(key);
		key = NULL;
	}
	if (key == NULL)
		va_fail(err, "the service account's private_key is no RSA key in PEM");
	return key;
}

static bool
sign(EVP_PKEY *key, const char *text, size_t len, uint8_t *out, size_t *out_len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
				EVP_DigestSign(ctx, out, out_len, (const uint8_t *) text, len) == 1;

	EVP_MD_CTX_free(ctx);
	return good;
}

bool
google_assertion(const struct google_claims *claims, char out[GOOGLE_ASSERTION_SIZE],
				 struct va_error *err)
{
	uint8_t signature[SIGNATURE_MAX];
	size_t signature_len = sizeof(signature);
	EVP_PKEY *key = read_key(claims->private_key, err);
	size_t len;
	bool good;

	if (key == NULL)
		return false;
	good = header_part(claims, out, GOOGLE_ASSERTION_SIZE);
	len = good ? strlen(out) : 0;
	good = good && len + 2 < GOOGLE_ASSERTION_SIZE;
	if (good)
	{
		out[len++] = '.';
		good = claims_part(claims, out + len, GOOGLE_ASSERTION_SIZE - len);
		len += good ? strlen(out + len) : 0;
	}
	good =
		good && sign(key, out, len, signature, &signature_len) && len + 2 < GOOGLE_ASSERTION_SIZE;
	if (good)
	{
		out[len++] = '.';
		good = google_base64url(signature, signature_len, out + len, GOOGLE_ASSERTION_SIZE - len);
	}
	EVP_PKEY_free(key);
	return good || va_fail(err, "the service account's assertion cannot be made");
}

bool
google_read_token(const char *body, size_t len, char *token, size_t size, int64_t *lasts_s)
{
	struct json_object *document = json_parse(body, len, NULL);
	const char *text = json_text(document, "access_token", "");
	bool good = text[0] != '\0' && strlen(text) < size;

	*lasts_s = 0;
	if (good)
	{
		/* It goes into a header. */
		for (const char *c = text; *c != '\0'; c++)
			good = good && *c > 0x20 && *c < 0x7F;
		memcpy(token, text, strlen(text) + 1);
		json_integer(document, "expires_in", lasts_s);
	}
	json_object_put(document);
	return good;
}

static void
copy(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%s", text);
	out[utf8_cut(out, strlen(out))] = '\0';
}

void
google_read_error(const char *body, size_t len, char *reason, size_t reason_size, char *message,
				  size_t message_size)
{
	struct json_object *document = json_parse(body, len, NULL);
	struct json_object *error = json_member(document, "error");
	struct json_object *list = json_member(error, "errors");

	if (json_object_is_type(error, json_type_object))
	{
		struct json_object *first =
			json_object_is_type(list, json_type_array) ? json_object_array_get_idx(list, 0) : NULL;

		copy(reason, reason_size, json_text(first, "reason", json_text(error, "status", "")));
		copy(message, message_size, json_text(error, "message", ""));
	}
	else
	{
		copy(reason, reason_size, json_text(document, "error", ""));
		copy(message, message_size, json_text(document, "error_description", ""));
	}
	json_object_put(document);
}
