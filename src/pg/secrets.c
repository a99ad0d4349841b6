/*
 * secrets.c: encryption of secrets, AES-256-GCM (NIST SP 800-38D) through OpenSSL's EVP.
 *
 * A sealed value is: version (1 byte, 1), key id (8), nonce (12, random for each value), ciphertext,
 * tag (16). The context (tenant and name) is authenticated but not stored: a value copied to another
 * row does not open. Errors name neither the value nor the key.
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

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
PG_FUNCTION_INFO_V1(va_key_ids);
PG_FUNCTION_INFO_V1(va_key_add);
PG_FUNCTION_INFO_V1(va_key_remove);

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
	struct va_keys keys;
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
	(void) keys_load(&keys, true);
	out[0] = SEAL_VERSION;
	memcpy(out + 1, keys.key[0].id, KEY_ID_SIZE);

	ctx = EVP_CIPHER_CTX_new();
	ok = ctx != NULL && seal(ctx, &keys.key[0], context, value, out);
	EVP_CIPHER_CTX_free(ctx);
	explicit_bzero(&keys, sizeof keys);
	if (!ok)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not encrypt a secret")));
	PG_RETURN_BYTEA_P(sealed);
}

/* Loads the key that sealed the value, or says which is missing. */
static void
load_key_of(const unsigned char *in, struct va_key *key)
{
	struct va_keys keys;
	bool found = false;
	int i;

	if (!keys_load(&keys, false))
		ereport(ERROR,
				(errcode(ERRCODE_VA_KEY_FILE), errmsg("key file \"voiceagent.key\" does not exist"),
				 errhint("Copy it from the data directory where the secrets were set, or set them "
						 "again with va_secret_set.")));
	for (i = 0; i < keys.count && !found; i++)
	{
		found = memcmp(keys.key[i].id, in + 1, KEY_ID_SIZE) == 0;
		if (found)
			*key = keys.key[i];
	}
	explicit_bzero(&keys, sizeof keys);
	if (!found)
		ereport(
			ERROR,
			(errcode(ERRCODE_VA_SECRET), errmsg("the secret was encrypted with another key"),
			 errhint("Restore the file \"voiceagent.key\" of the server where the secret was set, "
					 "or set it again with va_secret_set.")));
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

static Datum
id_text(const unsigned char *id)
{
	char hex[2 * KEY_ID_SIZE + 1];
	int i;

	for (i = 0; i < KEY_ID_SIZE; i++)
		snprintf(hex + 2 * i, 3, "%02x", id[i]);
	return CStringGetTextDatum(hex);
}

/* va_key_id() RETURNS text: the current key's id in hexadecimal; NULL without a key file. */
Datum
va_key_id(PG_FUNCTION_ARGS)
{
	struct va_keys keys;
	Datum id;

	if (!keys_load(&keys, false))
		PG_RETURN_NULL();
	id = id_text(keys.key[0].id);
	explicit_bzero(&keys, sizeof keys);
	PG_RETURN_DATUM(id);
}

/* va_key_ids() RETURNS text[]: of all keys in the file, the current one first. */
Datum
va_key_ids(PG_FUNCTION_ARGS)
{
	struct va_keys keys;
	Datum ids[KEYS_MAX];
	int i;

	if (!keys_load(&keys, false))
		keys.count = 0;
	for (i = 0; i < keys.count; i++)
		ids[i] = id_text(keys.key[i].id);
	i = keys.count;
	explicit_bzero(&keys, sizeof keys);
	PG_RETURN_ARRAYTYPE_P(construct_array(ids, i, TEXTOID, -1, false, TYPALIGN_INT));
}

/* va_key_add() RETURNS text: makes a new key the current one; its id. A rollback does not undo it. */
Datum
va_key_add(PG_FUNCTION_ARGS)
{
	struct va_key key;
	Datum id;

	keys_add(&key);
	id = id_text(key.id);
	explicit_bzero(&key, sizeof key);
	PG_RETURN_DATUM(id);
}

/*
 * va_key_remove(id text) RETURNS boolean: takes an old key out of the file; false when there is none
 * of that id or it is the current one. What the caller has seen committed is flushed first: a crash
 * must not bring back a row that needs the key.
 */
Datum
va_key_remove(PG_FUNCTION_ARGS)
{
	char *hex = text_to_cstring(PG_GETARG_TEXT_PP(0));
	unsigned char id[KEY_ID_SIZE];

	if (strlen(hex) != 2 * KEY_ID_SIZE || strspn(hex, "0123456789abcdef") != 2 * KEY_ID_SIZE)
		PG_RETURN_BOOL(false);
	(void) hex_decode(hex, 2 * KEY_ID_SIZE, (char *) id);
	XLogFlush(GetXLogInsertRecPtr());
	PG_RETURN_BOOL(keys_remove(id));
}
