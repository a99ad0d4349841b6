/*
 * realtime.h: the generic realtime dialect: JSON text frames only, audio as base64.
 *
 * Client: session.create, audio.input (pcm_s16le, 16 kHz), conversation.interrupt, tool.result,
 * text.input.
 * Server: session.created, audio.output (24 kHz), transcript.partial, transcript.final, tool.call,
 * session.ended, error. docs/realtime-dialect.md says what we settled where the dialect is silent.
 */
#ifndef VA_CORE_REALTIME_H
#define VA_CORE_REALTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/engine_event.h"
#include "core/error.h"
#include "core/voice_session.h"

#define REALTIME_INPUT_RATE 16000
#define REALTIME_OUTPUT_RATE 24000
#define REALTIME_MAX_MESSAGE (1024 * 1024)

/* session.create, to be released by the caller. The dialect has no place for a greeting or a
 * history, so both are stated at the end of system_prompt. */
struct json_object *realtime_session_create(const struct voice_session *session);

/* audio.input of count samples at 16 kHz; returns the length, 0 when it does not fit. */
#define REALTIME_AUDIO_BOUND(count) (96 + ((count) *2 + 2) / 3 * 4)
size_t realtime_audio_input(char *out, size_t size, const int16_t *pcm, size_t count);

bool realtime_interrupt(struct buf *out, const char *reason);
/* text.input: words that reach the model beside the audio (a pressed key, an instruction). The
 * dialect names no message for it; this one is ours. */
bool realtime_text_input(struct buf *out, const char *text);
/* id may be "" (the call had none). result_json is any JSON text; error_text instead when set. */
bool realtime_tool_result(struct buf *out, const char *id, const char *name,
						  const char *result_json, const char *error_text);

/* One text message from the server; audio.output takes a path without allocation. */
enum engine_event_type realtime_parse(const char *text, size_t len, struct engine_event *out,
									  struct va_error *err);

#endif
