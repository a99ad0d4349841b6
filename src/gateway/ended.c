/*
 * ended.c: see ended.h.
 */
#include "gateway/ended.h"

#include <stdio.h>
#include <string.h>

void
ended_note(struct ended *ended, const char *call_sid, const char *reason)
{
	size_t len = strlen(call_sid);
	unsigned at = ended->next;

	if (len >= TWILIO_SID_SIZE)
		return;
	memcpy(ended->calls[at].call_sid, call_sid, len + 1);
	ended->calls[at].reason = reason;
	ended->next = (at + 1) % ENDED_MAX;
}

const char *
ended_reason(const struct ended *ended, const char *call_sid)
{
	for (unsigned back = 1; back <= ENDED_MAX; back++)
	{
		unsigned at = (ended->next + ENDED_MAX - back) % ENDED_MAX;

		if (ended->calls[at].reason == NULL)
			return NULL;
		if (strcmp(ended->calls[at].call_sid, call_sid) == 0)
			return ended->calls[at].reason;
	}
	return NULL;
}

char *
ended_params(const char *params, const char *reason)
{
	char *out;
	int len = (int) strlen(params) - 1; /* without the closing brace */

	if (asprintf(&out, "%.*s,\"VoiceagentEndReason\":\"%s\"}", len, params, reason) < 0)
		return NULL;
	return out;
}
