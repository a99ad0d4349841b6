/*
 * signature.c: see signature.h.
 */
#include "gateway/signature.h"

#include <string.h>

#include "core/twilio_signature.h"

bool
signature_webhook(const struct gateway *g, const struct account *account,
				  const struct http_request *req, const struct form *form, const char *signature)
{
	const char *tokens[CREDENTIALS_TOKENS];
	unsigned count = credentials_tokens(account, tokens);
	char url[URL_SIZE];

	if (signature[0] == '\0')
		return false;
	for (unsigned i = 0; i < g->urls.count; i++)
	{
		if (!urls_candidate(&g->urls, i, false, req->local_port, req->target, url))
			continue;
		if (form != NULL
				? twilio_verify(tokens, count, url, form, signature)
				: twilio_verify_json(tokens, count, url, req->body, req->body_len, signature))
			return true;
	}
	return false;
}

unsigned
signature_stream(const struct gateway *g, const struct http_request *req, const char *signature,
				 char (*sids)[TWILIO_SID_SIZE], unsigned max)
{
	char url[URL_SIZE];
	unsigned found = 0;

	if (signature[0] == '\0')
		return 0;
	for (unsigned i = 0; i < g->urls.count; i++)
	{
		if (!urls_candidate(&g->urls, i, true, req->local_port, req->target, url))
			continue;
		for (unsigned a = 0; a < g->credentials.count && found < max; a++)
		{
			const struct account *account = &g->credentials.accounts[a];
			const char *tokens[CREDENTIALS_TOKENS];
			unsigned count = credentials_tokens(account, tokens);

			if (twilio_verify(tokens, count, url, NULL, signature))
				memcpy(sids[found++], account->sid, TWILIO_SID_SIZE);
		}
		if (found > 0)
			break;
	}
	return found;
}
