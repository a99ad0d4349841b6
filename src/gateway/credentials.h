/*
 * credentials.h: which Auth Tokens may have signed a request of which Twilio account.
 *
 * A copy of what va_gateway_config() says, so that signatures can be checked while the database is
 * away. An account has up to four tokens, since a rotation needs the old and the new one for a
 * while. The memory of tokens is wiped when they are replaced.
 */
#ifndef VA_GATEWAY_CREDENTIALS_H
#define VA_GATEWAY_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"
#include "core/twilio_stream.h"

#define CREDENTIALS_TOKENS 4
#define CREDENTIALS_TOKEN_SIZE 68
#define CREDENTIALS_MAX_ACCOUNTS 10000

struct account
{
	char sid[TWILIO_SID_SIZE];
	char tokens[CREDENTIALS_TOKENS][CREDENTIALS_TOKEN_SIZE];
	unsigned token_count;
};

struct credentials
{
	struct account *accounts; /* ordered by sid */
	unsigned count;
};

/* Reads the JSON of va_gateway_config() and replaces what is there; on failure the old content
 * stays. */
bool credentials_load(struct credentials *c, const char *json, size_t len, struct va_error *err);
void credentials_wipe(struct credentials *c);

/* NULL for an account that is none of ours. */
const struct account *credentials_find(const struct credentials *c, const char *account_sid);
/* The tokens as a list of pointers, valid until the next load. Returns how many. */
unsigned credentials_tokens(const struct account *account, const char *list[CREDENTIALS_TOKENS]);

#endif
