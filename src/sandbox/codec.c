/*
 * codec.c: mu-law by the segment rule, base64 and digests.
 *
 * mu-law is computed from the segment definition rather than looked up: the product uses tables,
 * and a table generated from the same table would prove nothing.
 */
#include "sandbox/codec.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIAS 132
#define CLIP 32635

uint8_t
codec_ulaw_from_pcm(int16_t sample)
{
	int magnitude = sample < 0 ? -(int) sample : sample;
	int segment = 7;
	uint8_t code;

	if (magnitude > CLIP)
		magnitude = CLIP;
	magnitude += BIAS;
	while (segment > 0 && magnitude < (128 << segment))
		segment--;
	code = (uint8_t) (segment << 4 | ((magnitude >> (segment + 3)) & 0x0F));
	if (sample < 0)
		code |= 0x80;
	return (uint8_t) ~code;
}

int16_t
codec_pcm_from_ulaw(uint8_t byte)
{
	uint8_t code = (uint8_t) ~byte;
	int segment = (code >> 4) & 7;
	int magnitude = (((code & 0x0F) << 3) + BIAS) << segment;

	magnitude -= BIAS;
	return (int16_t) (code & 0x80 ? -magnitude : magnitude);
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

ssize_t
codec_base64_encode(char *out, size_t size, const void *data, size_t len)
{
	const uint8_t *in = data;
	size_t o = 0;

	if (size < 4 * ((len + 2) / 3) + 1)
		return -1;
	for (size_t i = 0; i < len; i += 3)
	{
		size_t rest = len - i;
		uint32_t word = (uint32_t) in[i] << 16;

		if (rest > 1)
			word |= (uint32_t) in[i + 1] << 8;
		if (rest > 2)
			word |= in[i + 2];
		out[o++] = alphabet[word >> 18];
		out[o++] = alphabet[(word >> 12) & 63];
		out[o++] = rest > 1 ? alphabet[(word >> 6) & 63] : '=';
		out[o++] = rest > 2 ? alphabet[word & 63] : '=';
	}
	out[o] = '\0';
	return (ssize_t) o;
}

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

ssize_t
codec_base64_decode(void *out, size_t size, const char *text, size_t len)
{
	uint8_t *to = out;
	size_t o = 0;

	if (len % 4 != 0)
		return -1;
	for (size_t i = 0; i < len; i += 4)
	{
		unsigned pad = 0;
		uint32_t word = 0;

		if (i + 4 == len)
			pad = (text[i + 3] == '=') + (text[i + 3] == '=' && text[i + 2] == '=');
		for (unsigned k = 0; k < 4; k++)
		{
			int v = k >= 4 - pad ? 0 : base64_value(text[i + k]);

			if (v < 0)
				return -1;
			word = word << 6 | (uint32_t) v;
		}
		if (o + 3 - pad > size || (pad == 1 && (word & 0xFF)) || (pad == 2 && (word & 0xFFFF)))
			return -1;
		for (unsigned k = 0; k < 3 - pad; k++)
			to[o++] = (uint8_t) (word >> (16 - 8 * k));
	}
	return (ssize_t) o;
}

static void
hex_of(const uint8_t *digest, size_t len, char *hex)
{
	for (size_t i = 0; i < len; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

void
codec_sha256(const void *data, size_t len, char hex[CODEC_SHA256_HEX])
{
	uint8_t digest[EVP_MAX_MD_SIZE] = {0};
	unsigned size = 0;

	EVP_Digest(data, len, digest, &size, EVP_sha256(), NULL);
	hex_of(digest, 32, hex);
}

void
codec_sha256_peek(const EVP_MD_CTX *ctx, char hex[CODEC_SHA256_HEX])
{
	uint8_t digest[EVP_MAX_MD_SIZE] = {0};
	unsigned size = 0;
	EVP_MD_CTX *copy = EVP_MD_CTX_new();

	if (copy && EVP_MD_CTX_copy_ex(copy, ctx))
		EVP_DigestFinal_ex(copy, digest, &size);
	EVP_MD_CTX_free(copy);
	hex_of(digest, 32, hex);
}

void
codec_random_sid(char *out, size_t size, const char *prefix)
{
	uint8_t bytes[16];
	char hex[33];

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		abort();
	hex_of(bytes, sizeof(bytes), hex);
	snprintf(out, size, "%s%s", prefix, hex);
}

void
codec_random_uuid(char out[37])
{
	uint8_t b[16];

	if (RAND_bytes(b, sizeof(b)) != 1)
		abort();
	b[6] = (uint8_t) ((b[6] & 0x0F) | 0x40);
	b[8] = (uint8_t) ((b[8] & 0x3F) | 0x80);
	snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
			 b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
			 b[14], b[15]);
}
