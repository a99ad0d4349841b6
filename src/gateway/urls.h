/*
 * urls.h: the URLs under which Twilio may have called us.
 *
 * Twilio signs the URL it was given, so the gateway must know that URL; it must not be told it by
 * the request, because whoever forges a request also writes its Host header. The rule:
 *
 * - voiceagent.public_url set: the public URL followed by the raw request target. A path in it
 *   ("https://host/voice") is a prefix that a proxy may strip or pass on; both are understood.
 * - empty (one machine, no proxy): http (https with a certificate of our own) and the addresses of
 *   voiceagent.listen_addresses, each with the port of the socket that took the connection. Where
 *   we listen on all addresses, or on the local host, "localhost" and "127.0.0.1" are candidates.
 *
 * The Host header takes no part.
 */
#ifndef VA_GATEWAY_URLS_H
#define VA_GATEWAY_URLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/settings.h"

#define URLS_MAX 6
#define URL_SIZE 4096

struct urls
{
	bool is_public;
	bool secure; /* https and wss */
	unsigned count;
	char hosts[URLS_MAX][256]; /* authority; without a port when local */
	char prefix[256]; /* path of the public URL without a trailing slash, or "" */
};

/* False, with a reason, when public_url is no http(s) URL or too long. */
bool urls_build(struct urls *u, const struct settings *s, struct va_error *err);

/* The path to route by: without the prefix, when the proxy passed it on. */
const char *urls_route(const struct urls *u, const char *path);

/* Candidate number i (below count) for a target as received; ws: scheme ws or wss. False when it
 * does not fit. */
bool urls_candidate(const struct urls *u, unsigned i, bool ws, uint16_t local_port,
					const char *target, char out[URL_SIZE]);

#endif
