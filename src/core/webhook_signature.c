/*
 * webhook_signature.c: see webhook_signature.h.
 *
 * The three parts go into the HMAC one after the other, so that a long body is not copied.
 */
#include "core/webhook_signature.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>

#include "core/base64.h"

#define KEY_MIN 16
#define DIGEST 32

/* The key behind a secret; its length, 0 when it is none. */
static size_t
read_key(const char *secret, unsigned char key[WEBHOOK_SECRET_MAX])
{
	static const char prefix[] = "whsec_";
	size_t len = strlen(secret);
	ptrdiff_t decoded;

	if (strncmp(secret, prefix, sizeof(prefix) - 1) == 0)
	{
		secret += sizeof(prefix) - 1;
		len -= sizeof(prefix) - 1;
		if (len > WEBHOOK_SECRET_MAX * 4 / 3)
			return 0;
		decoded = base64_decode(secret, len, key, WEBHOOK_SECRET_MAX);
		return decoded < KEY_MIN ? 0 : (size_t) decoded;
	}
	if (len < KEY_MIN || len > WEBHOOK_SECRET_MAX)
		return 0;
	memcpy(key, secret, len);
	return len;
}

static bool
compute(const unsigned char *key, size_t key_len, const char *head, size_t head_len,
		const char *body, size_t body_len, unsigned char digest[DIGEST])
{
	char sha256[] = "SHA256";
	OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", sha256, 0),
						   OSSL_PARAM_construct_end()};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
	size_t len = 0;
	bool done = ctx != NULL && EVP_MAC_init(ctx, key, key_len, params) == 1 &&
				EVP_MAC_update(ctx, (const unsigned char *) head, head_len) == 1 &&
				EVP_MAC_update(ctx, (const unsigned char *) body, body_len) == 1 &&
				EVP_MAC_final(ctx, digest, &len, DIGEST) == 1 && len == DIGEST;

	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(mac);
	return done;
}

bool
webhook_signature(const char *secret, const char *id, int64_t timestamp_s, const char *body,
				  size_t body_len, char out[WEBHOOK_SIGNATURE_SIZE], struct va_error *err)
{
	unsigned char key[WEBHOOK_SECRET_MAX];
	unsigned char digest[DIGEST];
	char head[160];
	size_t key_len = read_key(secret, key);
	int head_len = snprintf(head, sizeof(head), "%s.%lld.", id, (long long) timestamp_s);
	bool done;

	if (key_len == 0)
		return va_fail(err, "the secret is not \"whsec_\" and base64, nor 16 to 256 characters");
	if (head_len < 0 || (size_t) head_len >= sizeof(head) || strchr(id, '.') != NULL)
		return va_fail(err, "the id of a webhook is short and has no dot");
	done = compute(key, key_len, head, (size_t) head_len, body, body_len, digest);
	OPENSSL_cleanse(key, sizeof(key));
	if (!done)
		return va_fail(err, "the webhook could not be signed");
	memcpy(out, "v1,", 3);
	out[3 + base64_encode(digest, DIGEST, out + 3)] = '\0';
	return true;
}
