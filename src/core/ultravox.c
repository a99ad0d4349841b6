/*
 * ultravox.c: the messages of Ultravox's serverWebSocket medium, both ways.
 *
 * Wire facts: docs.ultravox.ai, "Data messages". Unknown message types and members are ignored, as
 * that page demands; null members are the same as absent ones. What is sent is printed directly:
 * these messages are small, and their strings are escaped by buf_json_string.
 */
#include "core/ultravox.h"

#include <string.h>

#include "core/json.h"

/* Reads one kind of message. The document is event->document. */
typedef enum engine_event_type (*reader)(struct json_object *message, struct engine_event *event,
										 struct va_error *err);

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

/* True when the member is absent (or null) or of this type. */
static bool
is_or_absent(struct json_object *message, const char *key, enum json_type type)
{
	struct json_object *value = json_member(message, key);

	return value == NULL || json_object_is_type(value, type);
}

static enum engine_event_type
read_call_started(struct json_object *message, struct engine_event *event, struct va_error *err)
{
	(void) err;
	set_text(event, json_text(message, "callId", ""));
	return ENGINE_READY;
}

static enum engine_event_type
read_state(struct json_object *message, struct engine_event *event, struct va_error *err)
{
	const char *state = json_text(message, "state", NULL);

	if (state == NULL)
		return malformed(err, "state: state is missing or not a string");
	set_text(event, state);
	return ENGINE_STATE;
}

static enum engine_event_type
read_transcript(struct json_object *message, struct engine_event *event, struct va_error *err)
{
	const char *role = json_text(message, "role", NULL);
	const char *text = json_text(message, "text", NULL);

	if (role == NULL)
		return malformed(err, "transcript: role is missing or not a string");
	if (!is_or_absent(message, "text", json_type_string) ||
		!is_or_absent(message, "delta", json_type_string))
		return malformed(err, "transcript: text and delta must be strings");
	if (!is_or_absent(message, "final", json_type_boolean) ||
		!is_or_absent(message, "ordinal", json_type_int))
		return malformed(err, "transcript: final must be a boolean, ordinal an integer");

	if (strcmp(role, "user") == 0)
		event->role = ENGINE_ROLE_USER;
	else if (strcmp(role, "agent") == 0)
		event->role = ENGINE_ROLE_AGENT;
	else
		return ENGINE_IGNORED;
	/* The whole text wins over a piece. With neither, nothing is appended: what came before may
	 * still become final. */
	event->is_delta = text == NULL;
	set_text(event, text != NULL ? text : json_text(message, "delta", ""));
	event->is_final = json_flag(message, "final", false);
	json_integer(message, "ordinal", &event->ordinal);
	event->is_echo = event->role == ENGINE_ROLE_USER &&
					 strcmp(json_text(message, "medium", "voice"), "text") == 0;
	return ENGINE_TRANSCRIPT;
}

static enum engine_event_type
read_tool(struct json_object *message, struct engine_event *event, struct va_error *err)
{
	event->tool_name = json_text(message, "toolName", "");
	event->invocation_id = json_text(message, "invocationId", "");
	if (event->tool_name[0] == '\0' || event->invocation_id[0] == '\0')
		return malformed(err, "tool invocation: toolName and invocationId must be strings");
	if (!is_or_absent(message, "parameters", json_type_object))
		return malformed(err, "tool invocation: parameters is not an object");
	if (json_member(message, "parameters") == NULL)
		json_object_object_add(message, "parameters", json_object_new_object());
	event->arguments = json_member(message, "parameters");
	if (event->arguments == NULL)
		return malformed(err, "out of memory");
	return ENGINE_TOOL_CALL;
}

static enum engine_event_type
read_clear(struct json_object *message, struct engine_event *event, struct va_error *err)
{
	(void) message;
	(void) event;
	(void) err;
	return ENGINE_INTERRUPTED;
}

/* Not documented, yet seen by others: any of these members may hold the words. */
static enum engine_event_type
read_error(struct json_object *message, struct engine_event *event, struct va_error *err)
{
	const char *text = json_text(message, "message", NULL);

	(void) err;
	if (text == NULL)
		text = json_text(message, "error", NULL);
	if (text == NULL)
		text = json_text(message, "detail", "no explanation");
	set_text(event, text);
	return ENGINE_ERROR;
}

static const struct
{
	const char *type;
	reader read;
} readers[] = {
	{"call_started", read_call_started},
	{"client_tool_invocation", read_tool},
	{"error", read_error},
	{"playback_clear_buffer", read_clear},
	{"state", read_state},
	{"transcript", read_transcript},
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
ultravox_parse(const char *text, size_t len, struct engine_event *out, struct va_error *err)
{
	memset(out, 0, sizeof(*out));
	out->text = "";
	out->tool_name = "";
	out->invocation_id = "";
	out->ordinal = -1;
	if (len > ULTRAVOX_MAX_MESSAGE)
	{
		va_fail(err, "message of %zu bytes is too large", len);
		return out->type = ENGINE_MALFORMED;
	}
	out->document = json_parse(text, len, err);
	if (out->document == NULL)
		return out->type = ENGINE_MALFORMED;
	return out->type = read_message(out->document, out, err);
}

/* ,"key":"text" */
static void
add_member(struct buf *out, const char *key, const char *text)
{
	buf_printf(out, ",\"%s\":", key);
	buf_json_string(out, text, strlen(text));
}

bool
ultravox_user_text(struct buf *out, const char *text, bool immediate)
{
	buf_str(out, "{\"type\":\"user_text_message\"");
	add_member(out, "text", text);
	add_member(out, "urgency", immediate ? "immediate" : "soon");
	buf_char(out, '}');
	return !out->overflow;
}

bool
ultravox_agent_text(struct buf *out, const char *text)
{
	buf_str(out, "{\"type\":\"forced_agent_message\"");
	add_member(out, "content", text);
	add_member(out, "urgency", "immediate");
	buf_char(out, '}');
	return !out->overflow;
}

bool
ultravox_tool_result(struct buf *out, const char *invocation_id, const char *result_json,
					 const char *error_text, bool unknown)
{
	buf_str(out, "{\"type\":\"client_tool_result\"");
	add_member(out, "invocationId", invocation_id);
	/* Both a result and an error would not be valid. */
	if (error_text != NULL)
	{
		add_member(out, "errorType", unknown ? "undefined" : "implementation-error");
		add_member(out, "errorMessage", error_text);
	}
	else
	{
		add_member(out, "result", result_json != NULL ? result_json : "null");
		add_member(out, "responseType", "tool-response");
	}
	buf_char(out, '}');
	return !out->overflow;
}

bool
ultravox_hang_up(struct buf *out, const char *message)
{
	buf_str(out, "{\"type\":\"hang_up\"");
	add_member(out, "message", message);
	buf_char(out, '}');
	return !out->overflow;
}
