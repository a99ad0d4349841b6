/*
 * google_calendar.h: Google's service accounts (RFC 7523) and Calendar API, as bytes.
 *
 * Sources: docs "Using OAuth 2.0 for Server to Server Applications", "Calendar API: Handle API
 * errors".
 */
#ifndef VA_CORE_GOOGLE_CALENDAR_H
#define VA_CORE_GOOGLE_CALENDAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

#define GOOGLE_SCOPE "https://www.googleapis.com/auth/calendar.events"
#define GOOGLE_ASSERTION_SIZE 4096

struct google_claims
{
	const char *issuer; /* client_email of the key file */
	const char *key_id; /* private_key_id; NULL or "" for none */
	const char *private_key; /* PEM */
	const char *subject; /* the person to act for; NULL or "" for the account itself */
	const char *audience; /* the token end point */
	int64_t now_s;
};

/* Writes a signed assertion (RS256) that lasts an hour. False, with the reason, when the key is no
 * RSA key, or it does not fit. The reason holds nothing of the key. */
bool google_assertion(const struct google_claims *claims, char out[GOOGLE_ASSERTION_SIZE],
					  struct va_error *err);

/* base64url without padding (RFC 4648, 5). Returns false when it does not fit. */
bool google_base64url(const void *data, size_t len, char *out, size_t size);

/* The access token of a reply; false when there is none. *lasts_s: expires_in, 0 when absent. */
bool google_read_token(const char *body, size_t len, char *token, size_t size, int64_t *lasts_s);

/* reason and message of an error's body: of the Calendar API ({"error": {"message", "errors":
 * [{"reason"}]}}) or of the token end point ({"error", "error_description"}). "" where there is
 * none. */
void google_read_error(const char *body, size_t len, char *reason, size_t reason_size,
					   char *message, size_t message_size);

#endif
