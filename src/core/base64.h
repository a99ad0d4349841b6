/*
 * base64.h: RFC 4648 with the standard alphabet and padding, written for the media path.
 */
#ifndef VA_CORE_BASE64_H
#define VA_CORE_BASE64_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Characters that n bytes become, padding included, without a NUL. */
#define BASE64_LENGTH(n) (((n) + 2) / 3 * 4)

/* Writes BASE64_LENGTH(len) characters and no NUL; returns how many. */
size_t base64_encode(const uint8_t *data, size_t len, char *out);

/* Decodes exactly len characters into out, which holds size bytes. Returns the number of bytes,
 * or -1 for a foreign character, wrong padding, non-zero trailing bits or too small an out. */
ssize_t base64_decode(const char *text, size_t len, uint8_t *out, size_t size);

#endif
