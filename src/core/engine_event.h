/*
 * engine_event.h: what a voice engine tells us, whatever its protocol.
 *
 * The protocol modules (ultravox, realtime) turn one message of the wire into one of these; the
 * call knows nothing of the wire.
 */
#ifndef VA_CORE_ENGINE_EVENT_H
#define VA_CORE_ENGINE_EVENT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum engine_event_type
{
	ENGINE_MALFORMED, /* see the error that the parser filled */
	ENGINE_IGNORED, /* well-formed and of no interest, or unknown */
	ENGINE_READY, /* the session exists: audio may flow */
	ENGINE_AUDIO, /* audio_base64, sample_rate */
	ENGINE_TRANSCRIPT, /* role, text, is_delta, is_final, ordinal */
	ENGINE_TOOL_CALL, /* tool_name, invocation_id, arguments */
	ENGINE_INTERRUPTED, /* what is queued for the caller must be dropped at once */
	ENGINE_STATE, /* text: listening, thinking, speaking, idle */
	ENGINE_ERROR, /* text; the session goes on unless the socket closes */
	ENGINE_ENDED /* text: the reason */
};

enum engine_role
{
	ENGINE_ROLE_USER,
	ENGINE_ROLE_AGENT
};

struct engine_event
{
	enum engine_event_type type;
	enum engine_role role;
	const char *text; /* NUL-terminated, "" when there is none */
	size_t text_len;
	bool is_delta; /* text is a piece to append, not the whole so far */
	bool is_final;
	bool is_echo; /* a text that we sent, given back; nobody spoke it */
	int64_t ordinal; /* orders the turns of one session; -1 when the protocol has none */
	const char *tool_name;
	const char *invocation_id; /* "" when the protocol sent none */
	struct json_object *arguments; /* object; never NULL for ENGINE_TOOL_CALL */
	const char *audio_base64; /* part of the parsed text, not NUL-terminated */
	size_t audio_base64_len;
	unsigned sample_rate; /* of the audio, Hz */
	struct json_object *document; /* what the pointers live in; NULL for the fast path */
};

/* Releases what the event points to; harmless on a zeroed event. */
void engine_event_release(struct engine_event *event);

#endif
