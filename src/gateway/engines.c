/*
 * engines.c: the table of voice engines, and what they have in common.
 */
#include <string.h>
#include <strings.h>

#include "gateway/engine.h"
#include "gateway/gateway.h"

static const struct engine_ops *const engines[] = {&engine_ultravox, &engine_realtime};

const struct engine_ops *
engine_find(const char *name)
{
	for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++)
		if (strcmp(engines[i]->name, name) == 0)
			return engines[i];
	return NULL;
}

bool
engine_url_allowed(const struct gateway *g, const char *url, struct va_error *err)
{
	if (strncasecmp(url, "https://", 8) == 0 || strncasecmp(url, "wss://", 6) == 0)
		return true;
	if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "ws://", 5) != 0)
		return va_fail(err, "the engine's address is no http(s) or ws(s) URL");
	if (!g->settings.allow_insecure_engine)
		return va_fail(err, "the engine's address is not encrypted and "
							"voiceagent.allow_insecure_engine is off");
	return true;
}
