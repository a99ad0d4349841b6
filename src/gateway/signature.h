/*
 * signature.h: did Twilio make this request? The signature of core, with our URLs and tokens.
 */
#ifndef VA_GATEWAY_SIGNATURE_H
#define VA_GATEWAY_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/form.h"
#include "gateway/gateway.h"
#include "net/http_server.h"

/* A form POST, or with form NULL a JSON body, signed by a token of this account. */
bool signature_webhook(const struct gateway *g, const struct account *account,
					   const struct http_request *req, const struct form *form,
					   const char *signature);

/* A media stream's handshake, which names no account: every account's tokens are tried. Writes the
 * SIDs of the accounts that match, at most max; returns how many. */
unsigned signature_stream(const struct gateway *g, const struct http_request *req,
						  const char *signature, char (*sids)[TWILIO_SID_SIZE], unsigned max);

#endif
