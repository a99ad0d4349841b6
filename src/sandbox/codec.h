/*
 * codec.h: mu-law, base64 and digests as the sandbox needs them.
 *
 * The product has its own in core; these are written apart from them on purpose, so that a wrong
 * table or a wrong padding rule shows as a difference instead of cancelling out.
 */
#ifndef VA_SANDBOX_CODEC_H
#define VA_SANDBOX_CODEC_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CODEC_ULAW_SILENCE 0xFF

/* G.711 mu-law, one sample. Source: ITU-T G.711. */
uint8_t codec_ulaw_from_pcm(int16_t sample);
int16_t codec_pcm_from_ulaw(uint8_t byte);

/* Standard alphabet with padding (RFC 4648 section 4), NUL-terminated. Returns the length, or -1
 * when out is too small: 4 * ((len + 2) / 3) + 1 bytes are needed. */
ssize_t codec_base64_encode(char *out, size_t size, const void *data, size_t len);
/* Strict: -1 for a wrong character, wrong padding, a length that is no multiple of four, or when
 * it does not fit. Returns the number of bytes. */
ssize_t codec_base64_decode(void *out, size_t size, const char *text, size_t len);

/* 64 lower-case hex digits and NUL. */
#define CODEC_SHA256_HEX 65
void codec_sha256(const void *data, size_t len, char hex[CODEC_SHA256_HEX]);
/* The digest of what was fed to ctx (EVP_sha256) so far; ctx goes on. */
void codec_sha256_peek(const EVP_MD_CTX *ctx, char hex[CODEC_SHA256_HEX]);

/* A random id: prefix and 32 hex digits (Twilio's SID shape), or a version 4 UUID. */
void codec_random_sid(char *out, size_t size, const char *prefix);
void codec_random_uuid(char out[37]);

#endif
