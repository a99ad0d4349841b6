/*
 * ws_key.c: see ws_key.h.
 */
#include "net/ws_key.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

bool
ws_key_make(char *key)
{
	unsigned char random[16];

	if (getrandom(random, sizeof(random), 0) != (ssize_t) sizeof(random))
		return false;
	EVP_EncodeBlock((unsigned char *) key, random, sizeof(random));
	return true;
}

bool
ws_key_valid(const char *key)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	return strlen(key) == WS_KEY_LEN && strspn(key, alphabet) == 22 && strcmp(key + 22, "==") == 0;
}

void
ws_key_accept(const char *key, char *accept)
{
	char text[WS_KEY_LEN + 36 + 1];
	unsigned char digest[SHA_DIGEST_LENGTH];

	snprintf(text, sizeof(text), "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", WS_KEY_LEN, key);
	SHA1((const unsigned char *) text, strlen(text), digest);
	EVP_EncodeBlock((unsigned char *) accept, digest, sizeof(digest));
}
