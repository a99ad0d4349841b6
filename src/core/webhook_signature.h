/*
 * webhook_signature.h: signs what is posted to other people's end points, by the Standard Webhooks
 * specification: "v1," and the base64 of an HMAC-SHA256 over "id.timestamp.body".
 */
#ifndef VA_CORE_WEBHOOK_SIGNATURE_H
#define VA_CORE_WEBHOOK_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

#define WEBHOOK_SIGNATURE_SIZE 48 /* "v1,", 44 characters and a NUL */
#define WEBHOOK_SECRET_MAX 256 /* bytes of the decoded key */

/* secret: "whsec_" and base64 of 16 to 256 bytes, or any other text of that length, which is then the
 * key as it is. id holds no dot. False with *err filled when the secret is none. */
bool webhook_signature(const char *secret, const char *id, int64_t timestamp_s, const char *body,
					   size_t body_len, char out[WEBHOOK_SIGNATURE_SIZE], struct va_error *err);

#endif
