/*
 * realtime.c: the generic realtime dialect, JSON text frames only.
 *
 * Audio travels as base64 inside JSON, 50 messages a second each way and call: those take a path
 * without allocation (read_audio_fast, realtime_audio_input); all else goes through json.c. Both
 * ways of reading must agree, which a property test and a fuzz target hold them to. An unknown
 * type of message is ignored; the dialect has no version to negotiate.
 */
#include "core/realtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "core/json.h"
#include "core/json_scan.h"
#include "core/realtime_slow.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "pcm_s16le is sent as it lies in memory, so the machine must be little-endian"
#endif

#define ENCODING "pcm_s16le"

/* Rates that the resampler takes. */
#define MIN_RATE 8000
#define MAX_RATE 48000

typedef enum engine_event_type (*reader)(struct json_object *message, struct engine_event *event,
										 struct va_error *err);

static void
reset(struct engine_event *event)
{
	memset(event, 0, sizeof(*event));
	event->text = "";
	event->tool_name = "";
	event->invocation_id = "";
	event->ordinal = -1;
}

static enum engine_event_type
malformed(struct va_error *err, const char *problem)
{
	va_fail(err, "%s", problem);
	return ENGINE_MALFORMED;
}

static void
set_text(struct engine_event *event, const char *text)
{
	event->text = text;
	event->text_len = strlen(text);
}

/* A whole audio.output in one pass. False: not a plain one; the event is then to be reset. A
 * repeated member counts as json-c counts it: the last one. */
static bool
read_audio_fast(const char *text, size_t len, struct engine_event *event)
{
	struct json_scan s = {text, text + len};
	struct json_scan_value name;
	struct json_scan_value value;
	bool first = true;
	bool has_type = false;
	uint64_t rate = REALTIME_OUTPUT_RATE;
	enum json_scan_step step;

	if (!json_scan_char(&s, '{'))
		return false;
	while ((step = json_scan_member(&s, &first, &name)) == JSON_SCAN_MEMBER)
	{
		if (!json_scan_scalar(&s, &value))
			return false;
		if (json_scan_is(&name, "type"))
		{
			if (!json_scan_is(&value, "audio.output"))
				return false;
			has_type = true;
		}
		else if (json_scan_is(&name, "audio"))
		{
			if (value.is_number)
				return false;
			event->audio_base64 = value.text;
			event->audio_base64_len = value.len;
		}
		else if (json_scan_is(&name, "encoding"))
		{
			if (!json_scan_is(&value, ENCODING))
				return false;
		}
		else if (json_scan_is(&name, "sample_rate"))
		{
			if (!value.is_number || !json_scan_digits(value.text, value.len, &rate) ||
				rate < MIN_RATE || rate > MAX_RATE)
				return false;
		}
	}
	json_scan_space(&s);
	event->sample_rate = (unsigned) rate;
	return step == JSON_SCAN_CLOSED && s.at == s.end && has_type && event->audio_base64 != NULL;
}

static enum engine_event_type
read_audio(struct json_object *message, struct engine_event *event, struct va_error *err)
{
	struct json_object *audio = json_member(message, "audio");
	struct json_object *encoding = json_member(message, "encoding");
	int64_t rate = REALTIME_OUTPUT_RATE;

	if (!json_object_is_type(audio, json_type_string))
		return malformed(err, "audio.output: audio is missing or not a string");
	if (encoding != NULL && strcmp(json_text(message, "encoding", ""), ENCODING) != 0)
		return malformed(err, "audio.output: encoding is not " ENCODING);
	if (json_member(message, "sample_rate") != NULL && !json_integer(message, "sample_rate", &rate))
		return malformed(err, "audio.output: sample_rate is not an integer");
	if (rate < MIN_RATE || rate > MAX_RATE)
		return malformed(err, "audio.output: sample_rate is out of range");
	event->audio_base64 = json_object_get_string(audio);
	event->audio_base64_len = (size_t) json_object_get_string_len(audio);
	event->sample_rate = (unsigned) rate;
	return ENGINE_AUDIO;
}

static enum engine_event_type
read_created(struct json_object *message, struct engine_event *event, struct va_error *err)
{
	(void) err;
	set_text(event, json_text(message, "session_id", ""));
	return ENGINE_READY;
}

/* transcript.partial and .final; a partial is the whole text so far. */
static enum engine_event_type
read_transcript(struct json_object *message, struct engine_event *event, struct va_error *err)
{
	const char *text = json_text(message, "text", NULL);
	const char *role = json_text(message, "role", NULL);

	if (text == NULL || role == NULL)
		return malformed(err, "transcript: text and role must be strings");
	if (strcmp(role, "user") == 0)
		event->role = ENGINE_ROLE_USER;
	else if (strcmp(role, "assistant") == 0 || strcmp(role, "agent") == 0)
		event->role = ENGINE_ROLE_AGENT;
	else
		return ENGINE_IGNORED;
	set_text(event, text);
	event->is_final = strcmp(json_text(message, "type", ""), "transcript.final") == 0;
	return ENGINE_TRANSCRIPT;
}

/* The arguments may come as an object or as its text; they are kept in the document. */
static enum engine_event_type
read_tool(struct json_object *message, struct engine_event *event, struct va_error *err)
{
	struct json_object *arguments = json_member(message, "arguments");

	event->tool_name = json_text(message, "name", "");
	event->invocation_id = json_text(message, "id", "");
	if (event->tool_name[0] == '\0')
		return malformed(err, "tool.call: name is missing or not a string");
	if (json_member(message, "id") != NULL &&
		!json_object_is_type(json_member(message, "id"), json_type_string))
		return malformed(err, "tool.call: id is not a string");

	if (json_object_is_type(arguments, json_type_string))
	{
		struct json_object *parsed = json_parse(
			json_object_get_string(arguments), (size_t) json_object_get_string_len(arguments), err);

		if (parsed == NULL)
			return ENGINE_MALFORMED;
		json_object_object_add(message, "arguments", parsed);
	}
	else if (arguments == NULL)
		json_object_object_add(message, "arguments", json_object_new_object());
	event->arguments = json_member(message, "arguments");
	if (!json_object_is_type(event->arguments, json_type_object))
		return malformed(err, "tool.call: arguments are not an object");
	return ENGINE_TOOL_CALL;
}

static enum engine_event_type
read_ended(struct json_object *message, struct engine_event *event, struct va_error *err)
{
	(void) err;
	set_text(event, json_text(message, "reason", ""));
	return ENGINE_ENDED;
}

static enum engine_event_type
read_error(struct json_object *message, struct engine_event *event, struct va_error *err)
{
	const char *text = json_text(message, "message", NULL);

	(void) err;
	set_text(event, text != NULL ? text : json_text(message, "code", "no explanation"));
	return ENGINE_ERROR;
}

static const struct
{
	const char *type;
	reader read;
} readers[] = {
	{"audio.output", read_audio},
	{"error", read_error},
	{"session.created", read_created},
	{"session.ended", read_ended},
	{"tool.call", read_tool},
	{"transcript.final", read_transcript},
	{"transcript.partial", read_transcript},
};

static enum engine_event_type
read_message(struct json_object *message, struct engine_event *event, struct va_error *err)
{
	const char *type = json_text(message, "type", NULL);

	if (type == NULL)
		return malformed(err, "message without a type");
	for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++)
		if (strcmp(type, readers[i].type) == 0)
			return readers[i].read(message, event, err);
	return ENGINE_IGNORED;
}

enum engine_event_type
realtime_parse_slow(const char *text, size_t len, struct engine_event *out, struct va_error *err)
{
	reset(out);
	out->document = json_parse(text, len, err);
	if (out->document == NULL)
		return out->type = ENGINE_MALFORMED;
	return out->type = read_message(out->document, out, err);
}

enum engine_event_type
realtime_parse(const char *text, size_t len, struct engine_event *out, struct va_error *err)
{
	reset(out);
	if (len > REALTIME_MAX_MESSAGE)
	{
		va_fail(err, "message of %zu bytes is too large", len);
		return out->type = ENGINE_MALFORMED;
	}
	if (read_audio_fast(text, len, out))
		return out->type = ENGINE_AUDIO;
	return realtime_parse_slow(text, len, out, err);
}

#define AUDIO_HEAD "{\"type\":\"audio.input\",\"audio\":\""
#define AUDIO_TAIL "\",\"encoding\":\"" ENCODING "\",\"sample_rate\":16000}"

size_t
realtime_audio_input(char *out, size_t size, const int16_t *pcm, size_t count)
{
	char *to = out;

	if (count > REALTIME_MAX_MESSAGE ||
		size < sizeof(AUDIO_HEAD AUDIO_TAIL) - 1 + BASE64_LENGTH(count * sizeof(*pcm)))
		return 0;
	memcpy(to, AUDIO_HEAD, sizeof(AUDIO_HEAD) - 1);
	to += sizeof(AUDIO_HEAD) - 1;
	to += base64_encode((const uint8_t *) pcm, count * sizeof(*pcm), to);
	memcpy(to, AUDIO_TAIL, sizeof(AUDIO_TAIL) - 1);
	to += sizeof(AUDIO_TAIL) - 1;
	return (size_t) (to - out);
}

/* ,"key":"text" */
static void
add_member(struct buf *out, const char *key, const char *text)
{
	buf_printf(out, ",\"%s\":", key);
	buf_json_string(out, text, strlen(text));
}

bool
realtime_interrupt(struct buf *out, const char *reason)
{
	buf_str(out, "{\"type\":\"conversation.interrupt\"");
	add_member(out, "reason", reason);
	buf_char(out, '}');
	return !out->overflow;
}

bool
realtime_text_input(struct buf *out, const char *text)
{
	buf_str(out, "{\"type\":\"text.input\"");
	add_member(out, "text", text);
	buf_char(out, '}');
	return !out->overflow;
}

bool
realtime_tool_result(struct buf *out, const char *id, const char *name, const char *result_json,
					 const char *error_text)
{
	if (result_json == NULL)
		result_json = "null";
	/* It goes into the message as it is, so it must be what it is said to be. */
	if (error_text == NULL && !json_check(result_json, strlen(result_json), NULL))
		return false;
	buf_str(out, "{\"type\":\"tool.result\"");
	if (id[0] != '\0')
		add_member(out, "id", id);
	add_member(out, "name", name);
	if (error_text != NULL)
		add_member(out, "error", error_text);
	else
	{
		buf_str(out, ",\"result\":");
		buf_str(out, result_json);
	}
	buf_char(out, '}');
	return !out->overflow;
}
