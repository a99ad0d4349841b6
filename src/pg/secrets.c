/*
 * secrets.c: encryption of secrets, AES-256-GCM (NIST SP 800-38D) through OpenSSL's EVP.
 *
 * A sealed value is: version (1 byte, 1), key id (8), nonce (12, random for each value), ciphertext,
 * tag (16). The context (tenant and name) is authenticated but not stored: a value copied to another
 * row does not open. Errors name neither the value nor the key.
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "fmgr.h"
#include "utils/builtins.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#include "pg/errcodes.h"
#include "pg/key_file.h"
#include "worker/compat.h"

#define SEAL_VERSION 1
#define NONCE_SIZE 12
#define TAG_SIZE 16
#define HEADER_SIZE (1 + KEY_ID_SIZE + NONCE_SIZE)
#define VALUE_MAX 65536

PG_FUNCTION_INFO_V1(va_encrypt);
PG_FUNCTION_INFO_V1(va_decrypt);
PG_FUNCTION_INFO_V1(va_key_id);

static bool
seal(EVP_CIPHER_CTX *ctx, const struct va_key *key, text *context, text *value, unsigned char *out)
{
	const unsigned char *nonce = out + 1 + KEY_ID_SIZE;
	unsigned char *body = out + HEADER_SIZE;
	int size = VARSIZE_ANY_EXHDR(value);
	int n;

	return EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->bytes, nonce) == 1 &&
		   EVP_EncryptUpdate(ctx, NULL, &n, (unsigned char *) VARDATA_ANY(context),
							 VARSIZE_ANY_EXHDR(context)) == 1 &&
		   EVP_EncryptUpdate(ctx, body, &n, (unsigned char *) VARDATA_ANY(value), size) == 1 &&
		   EVP_EncryptFinal_ex(ctx, body + size, &n) == 1 &&
		   EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, body + size) == 1;
}

/* `in` is a whole sealed value; size is that of the plain text. */
static bool
unseal(EVP_CIPHER_CTX *ctx, const struct va_key *key, text *context, const unsigned char *in,
	   int size, unsigned char *out)
{
	const unsigned char *nonce = in + 1 + KEY_ID_SIZE;
	const unsigned char *body = in + HEADER_SIZE;
	int n;

	return EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->bytes, nonce) == 1 &&
		   EVP_DecryptUpdate(ctx, NULL, &n, (unsigned char *) VARDATA_ANY(context),
							 VARSIZE_ANY_EXHDR(context)) == 1 &&
		   EVP_DecryptUpdate(ctx, out, &n, body, size) == 1 &&
		   EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, (void *) (body + size)) == 1 &&
		   EVP_DecryptFinal_ex(ctx, out + size, &n) == 1;
}

/* va_encrypt(value text, context text) RETURNS bytea. Makes the key file at first use. */
Datum
va_encrypt(PG_FUNCTION_ARGS)
{
	text *value = PG_GETARG_TEXT_PP(0);
	text *context = PG_GETARG_TEXT_PP(1);
	struct va_key key;
	bytea *sealed;
	unsigned char *out;
	EVP_CIPHER_CTX *ctx;
	bool ok;
	int size = VARSIZE_ANY_EXHDR(value);

	if (size > VALUE_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_VA_ARGUMENT), errmsg("a secret may have %d bytes", VALUE_MAX)));
	sealed = (bytea *) palloc(VARHDRSZ + HEADER_SIZE + size + TAG_SIZE);
	SET_VARSIZE(sealed, VARHDRSZ + HEADER_SIZE + size + TAG_SIZE);
	out = (unsigned char *) VARDATA(sealed);
	if (!pg_strong_random(out + 1 + KEY_ID_SIZE, NONCE_SIZE))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a random nonce")));
	(void) key_load(&key, true);
	out[0] = SEAL_VERSION;
	memcpy(out + 1, key.id, KEY_ID_SIZE);

	ctx = EVP_CIPHER_CTX_new();
	ok = ctx != NULL && seal(ctx, &key, context, value, out);
	EVP_CIPHER_CTX_free(ctx);
	explicit_bzero(&key, sizeof key);
	if (!ok)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not encrypt a secret")));
	PG_RETURN_BYTEA_P(sealed);
}

/* Loads the key that sealed the value, or says which is missing. */
static void
load_key_of(const unsigned char *in, struct va_key *key)
{
	if (!key_load(key, false))
		ereport(ERROR,
				(errcode(ERRCODE_VA_KEY_FILE), errmsg("key file \"voiceagent.key\" does not exist"),
				 errhint("Copy it from the data directory where the secrets were set, or set them "
						 "again with va_secret_set.")));
	if (memcmp(key->id, in + 1, KEY_ID_SIZE) != 0)
	{
		explicit_bzero(key, sizeof *key);
		ereport(
			ERROR,
			(errcode(ERRCODE_VA_SECRET), errmsg("the secret was encrypted with another key"),
			 errhint("Restore the file \"voiceagent.key\" of the server where the secret was set, "
					 "or set it again with va_secret_set.")));
	}
}

/* va_decrypt(ciphertext bytea, context text) RETURNS text. */
Datum
va_decrypt(PG_FUNCTION_ARGS)
{
	bytea *sealed = PG_GETARG_BYTEA_PP(0);
	text *context = PG_GETARG_TEXT_PP(1);
	const unsigned char *in = (const unsigned char *) VARDATA_ANY(sealed);
	int size = VARSIZE_ANY_EXHDR(sealed) - HEADER_SIZE - TAG_SIZE;
	struct va_key key;
	text *value;
	EVP_CIPHER_CTX *ctx;
	bool ok;

	if (size < 0 || in[0] != SEAL_VERSION)
		ereport(ERROR, (errcode(ERRCODE_VA_SECRET), errmsg("not an encrypted secret")));
	load_key_of(in, &key);
	value = (text *) palloc(VARHDRSZ + size + 1);
	SET_VARSIZE(value, VARHDRSZ + size);
	ctx = EVP_CIPHER_CTX_new();
	ok = ctx != NULL && unseal(ctx, &key, context, in, size, (unsigned char *) VARDATA(value));
	EVP_CIPHER_CTX_free(ctx);
	explicit_bzero(&key, sizeof key);
	if (!ok)
	{
		explicit_bzero(VARDATA(value), size);
		ereport(ERROR, (errcode(ERRCODE_VA_SECRET), errmsg("the secret cannot be decrypted"),
						errdetail("It was changed, or belongs to another tenant or name."),
						errhint("Set it again with va_secret_set.")));
	}
	PG_RETURN_TEXT_P(value);
}

/* va_key_id() RETURNS text: the key's id in hexadecimal; NULL without a key file. */
Datum
va_key_id(PG_FUNCTION_ARGS)
{
	struct va_key key;
	char hex[2 * KEY_ID_SIZE + 1];
	int i;

	if (!key_load(&key, false))
		PG_RETURN_NULL();
	for (i = 0; i < KEY_ID_SIZE; i++)
		snprintf(hex + 2 * i, 3, "%02x", key.id[i]);
	explicit_bzero(&key, sizeof key);
	PG_RETURN_TEXT_P(cstring_to_text(hex));
}
