/*
 * ultravox.h: the messages of Ultravox's REST call creation and of its serverWebSocket medium.
 *
 * Source: docs.ultravox.ai, API reference "calls" and "data messages". Audio itself travels as
 * binary frames (raw s16le mono at 8 kHz both ways) and does not pass here.
 */
#ifndef VA_CORE_ULTRAVOX_H
#define VA_CORE_ULTRAVOX_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/engine_event.h"
#include "core/error.h"
#include "core/voice_session.h"

#define ULTRAVOX_SAMPLE_RATE 8000
#define ULTRAVOX_MAX_MESSAGE (256 * 1024)

/* Body of POST /api/calls, as a JSON object to be released by the caller: serverWebSocket medium at
 * 8 kHz both ways, clientBufferSizeMs 30000, greeting, history as initialMessages, tools as client
 * tools with one dynamic parameter a property of their JSON Schema. NULL with *err when a tool's
 * schema cannot be expressed. session->engine_settings members override ours, except medium. */
struct json_object *ultravox_create_body(const struct voice_session *session, struct va_error *err);

/* Reads a 201 answer: the join URL is copied; false when there is none or it does not fit. */
bool ultravox_create_reply(const char *text, size_t len, char *join_url, size_t size, char *call_id,
						   size_t call_id_size, struct va_error *err);

/* A short text for people out of an error answer of any shape. */
void ultravox_error_text(const char *body, size_t len, struct va_error *out);

/* One text message from the server. The caller releases the event. */
enum engine_event_type ultravox_parse(const char *text, size_t len, struct engine_event *out,
									  struct va_error *err);

/* Messages to the server; false when it does not fit into the buffer. */
bool ultravox_user_text(struct buf *out, const char *text, bool immediate);
bool ultravox_agent_text(struct buf *out, const char *text);
/* result_json is sent as a string; error_text, when not NULL, instead of it. */
/* (unknown: there is no such tool, errorType "undefined") */
bool ultravox_tool_result(struct buf *out, const char *invocation_id, const char *result_json,
						  const char *error_text, bool unknown);
bool ultravox_hang_up(struct buf *out, const char *message);

#endif
