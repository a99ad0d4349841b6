/*
 * ended.h: why the last calls ended, for the webhook that asks what comes next.
 *
 * The event that says so goes ahead of that webhook on the same connection, so nearly always the
 * database knows. But a batch of events that the database put off is sent again later, and one that
 * it refused never: then this memory is all that keeps a finished call from being resumed.
 */
#ifndef VA_GATEWAY_ENDED_H
#define VA_GATEWAY_ENDED_H

#include "core/twilio_stream.h"

/* Twilio asks within a second or so; a gateway that loses all its calls at once has this many. */
#define ENDED_MAX 1024

struct ended
{
	struct
	{
		char call_sid[TWILIO_SID_SIZE];
		const char *reason;
	} calls[ENDED_MAX]; /* a ring */
	unsigned next;
};

/* reason: one of the CALL_… texts of call.h; it is not copied. */
void ended_note(struct ended *ended, const char *call_sid, const char *reason);

/* Of the newest stream of that call; NULL when none is remembered. */
const char *ended_reason(const struct ended *ended, const char *call_sid);

/*
 * params, a JSON object with at least one member, with the reason added as VoiceagentEndReason. It
 * comes last: of members with one name the database takes the last, so nothing that came from
 * outside stands in its place. To be freed; NULL: out of memory.
 */
char *ended_params(const char *params, const char *reason);

#endif
