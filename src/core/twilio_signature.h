/*
 * twilio_signature.h: is this request from Twilio? (X-Twilio-Signature, HMAC-SHA1)
 *
 * Source of the rules: Twilio's "Security" and "Webhooks security" pages and the behaviour of its
 * official helper libraries: the URL as requested, then each distinct form parameter name in byte
 * order followed by its distinct values in byte order; JSON bodies are bound by ?bodySHA256=;
 * media stream handshakes sign the wss:// URL.
 */
#ifndef VA_CORE_TWILIO_SIGNATURE_H
#define VA_CORE_TWILIO_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/form.h"

#define TWILIO_SIGNATURE_SIZE 29 /* 28 base64 characters and a NUL */

/* The signature of exactly this URL (no variants tried). form may be NULL. */
bool twilio_sign(const char *token, const char *url, const struct form *form,
				 char out[TWILIO_SIGNATURE_SIZE]);

/*
 * True when `signature` is right for `url` under any of the tokens. Tried, as Twilio's libraries
 * do: the URL as given, without its port, and with the scheme's standard port; for ws and wss
 * URLs each also with a trailing slash. Compared in constant time. url is the public one: scheme,
 * host and optional port as configured, followed by the raw request target.
 */
bool twilio_verify(const char *const *tokens, size_t token_count, const char *url,
				   const struct form *form, const char *signature);

/* As above for a JSON body: also demands that the URL's bodySHA256 is that of the body. */
bool twilio_verify_json(const char *const *tokens, size_t token_count, const char *url,
						const char *body, size_t body_len, const char *signature);

#endif
