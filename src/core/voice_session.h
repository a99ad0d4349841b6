/*
 * voice_session.h: everything a voice engine must know to hold one conversation.
 *
 * The database decides it (va_call_answer and its kin return it as jsonb); the gateway reads it
 * once and hands it to the engine's protocol module.
 */
#ifndef VA_CORE_VOICE_SESSION_H
#define VA_CORE_VOICE_SESSION_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"

struct voice_session
{
	struct json_object *document; /* owns all that the members point to */
	const char *call_id; /* uuid */
	const char *tenant_id; /* uuid */
	const char *token; /* one-time token of the media stream */
	const char *engine; /* "ultravox" or "realtime" */
	const char *base_url; /* of the engine: https://host/path or wss://host/path */
	const char *api_key;
	const char *model; /* "" = the engine's default */
	const char *voice; /* "" = the engine's default */
	const char *language; /* BCP 47 */
	const char *system_prompt;
	const char *greeting; /* spoken first; "" = the caller speaks first */
	const char *inactivity_message; /* spoken after inactivity_s of silence; the call ends after
									   another inactivity_s */
	const char *apology; /* spoken by Twilio when the engine cannot be had */
	double temperature;
	int max_duration_s;
	int inactivity_s; /* 0 = no limit */
	int prepare_timeout_ms; /* from the stream's start to the engine's readiness */
	bool resumed; /* history is not empty: the conversation goes on */
	struct json_object *tools; /* array of {name, description, parameters, timeout_ms} */
	struct json_object *history; /* array of {role: user|agent, text} */
	struct json_object *engine_settings; /* object merged into the engine's own request */
};

/* NULL with *err filled when the text is not JSON or a required member is missing. */
struct voice_session *voice_session_parse(const char *text, size_t len, struct va_error *err);
void voice_session_free(struct voice_session *s);

#endif
