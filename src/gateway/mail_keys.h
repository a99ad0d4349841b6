/*
 * mail_keys.h: by what the webhooks of e-mail are recognised, for each tenant and for the platform.
 *
 * A copy of the member "email" of what va_gateway_config() says, see credentials.h.
 */
#ifndef VA_GATEWAY_MAIL_KEYS_H
#define VA_GATEWAY_MAIL_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"

#define MAIL_KEY_SIZE 160 /* base64 of a P-256 key: 124 */
#define MAIL_TOKEN_SIZE 256

struct mail_key
{
	char tenant[40]; /* uuid, "" for the platform's own */
	char event_key[MAIL_KEY_SIZE]; /* of the Event Webhook's signature, "" for none */
	char inbound_key[MAIL_KEY_SIZE]; /* of Inbound Parse's signature, "" for none */
	char inbound_token[MAIL_TOKEN_SIZE]; /* in Inbound Parse's address, "" for none */
};

struct mail_keys
{
	struct mail_key *keys; /* ordered by tenant */
	size_t count;
};

/* Replaces what is there; on failure the old content stays. */
bool mail_keys_load(struct mail_keys *k, const char *json, size_t len, struct va_error *err);
void mail_keys_wipe(struct mail_keys *k);

/* NULL when this tenant has none. */
const struct mail_key *mail_keys_find(const struct mail_keys *k, const char *tenant);

#endif
