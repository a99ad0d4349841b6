/*
 * webhook.h: a webhook as Twilio sends it: parameters, their form encoding, their signature.
 */
#ifndef VA_SANDBOX_WEBHOOK_H
#define VA_SANDBOX_WEBHOOK_H

#include <stdbool.h>
#include <stddef.h>

#define WEBHOOK_MAX_PARAMETERS 40
#define WEBHOOK_SIGNATURE_SIZE 29

struct webhook_parameter
{
	char *name;
	char *value;
};

/* The parameters of one request; zeroed = none. */
struct webhook_form
{
	struct webhook_parameter items[WEBHOOK_MAX_PARAMETERS];
	size_t count;
};

/* Copies both; beyond the maximum it aborts, since the stand-in alone decides what it sends. */
void webhook_add(struct webhook_form *form, const char *name, const char *value);
void webhook_add_number(struct webhook_form *form, const char *name, long long value);
void webhook_form_free(struct webhook_form *form);

/* The other way round: the fields of a form or query. false for a broken %XX, a NUL, or more fields
 * than fit; the form is empty then. */
bool webhook_decode(const char *text, size_t len, struct webhook_form *out);
/* The first value of that name, "" when there is none. */
const char *webhook_value(const struct webhook_form *form, const char *name);

/* application/x-www-form-urlencoded, to be freed. */
char *webhook_encode(const struct webhook_form *form);

/* Signature of url with the parameters of a form POST (NULL for GET and WebSocket): base64 of
 * HMAC-SHA1 under the account's token. Source: twilio.com/docs/usage/security. */
void webhook_sign(const char *token, const char *url, const struct webhook_form *form,
				  char signature[WEBHOOK_SIGNATURE_SIZE]);

/* What a URL's fragment asks for (connection overrides). Source:
 * twilio.com/docs/usage/webhooks/webhooks-connection-overrides. */
struct webhook_overrides
{
	unsigned connect_ms;
	unsigned read_ms;
	unsigned total_ms;
	unsigned retries;
	bool on_connect; /* which failures are tried again */
	bool on_read;
	bool on_4xx;
	bool on_5xx;
};

/* Cuts the fragment off url and reads it; without one the defaults stand. false when it holds a
 * key or a value out of range. */
bool webhook_split_fragment(char *url, struct webhook_overrides *out);

/* Resolves a URL of a TwiML document against the URL the document came from. false when it does
 * not fit. */
bool webhook_resolve(const char *base, const char *url, char *out, size_t size);

#endif
