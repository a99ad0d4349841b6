/*
 * ultravox_call.c: the creation of an Ultravox call over REST: its request and its answers.
 *
 * Wire facts: docs.ultravox.ai, API reference "Create call", "Tools" and "Call definition". The
 * answer's join URL is a secret: no error text quotes it.
 */
#include "core/ultravox.h"

#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "core/utf8.h"

/* How far Ultravox may send ahead of real time. Large, because the gateway forwards at once and
 * Twilio queues; an interruption comes as playback_clear_buffer. */
#define CLIENT_BUFFER_MS 30000
#define JOIN_TIMEOUT "30s"
#define MEDIA_IDLE_TIMEOUT "30s"

/* Ultravox's own limits for a tool's time-out. */
#define TOOL_TIMEOUT_DEFAULT_MS 2500
#define TOOL_TIMEOUT_MAX_MS 40000

/* json-c reports exhausted memory by NULL or a negative number at each step. A builder notes the
 * first such failure, so that the code reads as the document does. */
struct builder
{
	bool failed;
};

static void
add(struct builder *b, struct json_object *obj, const char *key, struct json_object *value)
{
	if (value == NULL || obj == NULL || json_object_object_add(obj, key, value) != 0)
	{
		b->failed = true;
		json_object_put(value);
	}
}

static void
append(struct builder *b, struct json_object *array, struct json_object *value)
{
	if (value == NULL || array == NULL || json_object_array_add(array, value) != 0)
	{
		b->failed = true;
		json_object_put(value);
	}
}

static void
add_text(struct builder *b, struct json_object *obj, const char *key, const char *text)
{
	add(b, obj, key, json_object_new_string(text));
}

/* A new object that is already a member of obj. */
static struct json_object *
add_object(struct builder *b, struct json_object *obj, const char *key)
{
	struct json_object *inner = json_object_new_object();

	add(b, obj, key, inner);
	return json_member(obj, key);
}

static struct json_object *
add_array(struct builder *b, struct json_object *obj, const char *key)
{
	struct json_object *inner = json_object_new_array();

	add(b, obj, key, inner);
	return json_member(obj, key);
}

static void
add_medium(struct builder *b, struct json_object *body)
{
	struct json_object *socket = add_object(b, add_object(b, body, "medium"), "serverWebSocket");

	add(b, socket, "inputSampleRate", json_object_new_int(ULTRAVOX_SAMPLE_RATE));
	add(b, socket, "outputSampleRate", json_object_new_int(ULTRAVOX_SAMPLE_RATE));
	add(b, socket, "clientBufferSizeMs", json_object_new_int(CLIENT_BUFFER_MS));
	add_text(b, socket, "mediaIdleTimeout", MEDIA_IDLE_TIMEOUT);
}

static void
add_first_speaker(struct builder *b, struct json_object *body, const char *greeting)
{
	struct json_object *settings = add_object(b, body, "firstSpeakerSettings");

	if (greeting[0] == '\0')
		add_object(b, settings, "user");
	else
		add_text(b, add_object(b, settings, "agent"), "text", greeting);
}

static void
add_history(struct builder *b, struct json_object *body, struct json_object *history)
{
	size_t turns = json_object_array_length(history);
	struct json_object *messages;

	if (turns == 0)
		return;
	messages = add_array(b, body, "initialMessages");
	for (size_t i = 0; i < turns; i++)
	{
		struct json_object *turn = json_object_array_get_idx(history, i);
		struct json_object *message = json_object_new_object();
		bool is_user = strcmp(json_text(turn, "role", ""), "user") == 0;

		add_text(b, message, "role", is_user ? "MESSAGE_ROLE_USER" : "MESSAGE_ROLE_AGENT");
		add_text(b, message, "text", json_text(turn, "text", ""));
		add_text(b, message, "medium", "MESSAGE_MEDIUM_VOICE");
		append(b, messages, message);
	}
}

/* Is name in the schema's list of required properties? */
static bool
is_required(struct json_object *required, const char *name)
{
	size_t count = required != NULL ? json_object_array_length(required) : 0;

	for (size_t i = 0; i < count; i++)
	{
		struct json_object *item = json_object_array_get_idx(required, i);

		if (json_object_is_type(item, json_type_string) &&
			strcmp(json_object_get_string(item), name) == 0)
			return true;
	}
	return false;
}

/* A tool's parameters are split into one dynamic parameter a property, so a schema that says
 * something about the object as a whole cannot be expressed. */
static bool
check_schema(struct json_object *schema, const char *tool, struct va_error *err)
{
	static const char *const whole[] = {"$ref",	 "$defs", "definitions", "allOf",
										"anyOf", "oneOf", "not",		 "if"};
	struct json_object *properties = json_member(schema, "properties");
	struct json_object *required = json_member(schema, "required");

	if (strcmp(json_text(schema, "type", "object"), "object") != 0)
		return va_fail(err, "parameters of tool %s are not an object", tool);
	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
		if (json_member(schema, whole[i]) != NULL)
			return va_fail(err, "parameters of tool %s use %s, which Ultravox cannot express", tool,
						   whole[i]);
	if (properties != NULL && !json_object_is_type(properties, json_type_object))
		return va_fail(err, "properties of tool %s are not an object", tool);
	if (required != NULL && !json_object_is_type(required, json_type_array))
		return va_fail(err, "required of tool %s is not an array", tool);

	size_t count = required != NULL ? json_object_array_length(required) : 0;

	for (size_t i = 0; i < count; i++)
	{
		struct json_object *name = json_object_array_get_idx(required, i);

		if (!json_object_is_type(name, json_type_string) ||
			json_member(properties, json_object_get_string(name)) == NULL)
			return va_fail(err, "tool %s requires a parameter that it does not have", tool);
	}
	return true;
}

static bool
add_parameters(struct builder *b, struct json_object *tool, struct json_object *schema,
			   const char *name, struct va_error *err)
{
	struct json_object *properties = json_member(schema, "properties");
	struct json_object *list;

	if (!check_schema(schema, name, err))
		return false;
	list = add_array(b, tool, "dynamicParameters");
	if (properties == NULL)
		return true;
	json_object_object_foreach(properties, key, value)
	{
		struct json_object *parameter;

		if (!json_object_is_type(value, json_type_object))
			return va_fail(err, "parameter %s of tool %s has no schema object", key, name);
		parameter = json_object_new_object();
		add_text(b, parameter, "name", key);
		add_text(b, parameter, "location", "PARAMETER_LOCATION_BODY");
		add(b, parameter, "schema", json_object_get(value));
		add(b, parameter, "required",
			json_object_new_boolean(is_required(json_member(schema, "required"), key)));
		append(b, list, parameter);
	}
	return true;
}

/* Ultravox's durations: seconds, with a fraction where there is one. */
static void
add_timeout(struct builder *b, struct json_object *tool, int64_t ms)
{
	char text[32];

	if (ms > TOOL_TIMEOUT_MAX_MS)
		ms = TOOL_TIMEOUT_MAX_MS;
	if (ms % 1000 == 0)
		snprintf(text, sizeof(text), "%ds", (int) (ms / 1000));
	else
		snprintf(text, sizeof(text), "%d.%03ds", (int) (ms / 1000), (int) (ms % 1000));
	add_text(b, tool, "timeout", text);
}

static bool
add_tools(struct builder *b, struct json_object *body, struct json_object *tools,
		  struct va_error *err)
{
	size_t count = json_object_array_length(tools);
	struct json_object *selected;

	if (count == 0)
		return true;
	selected = add_array(b, body, "selectedTools");
	for (size_t i = 0; i < count; i++)
	{
		struct json_object *tool = json_object_array_get_idx(tools, i);
		struct json_object *item = json_object_new_object();
		struct json_object *temporary = add_object(b, item, "temporaryTool");
		const char *name = json_text(tool, "name", "");
		int64_t timeout = TOOL_TIMEOUT_DEFAULT_MS;

		append(b, selected, item);
		if (b->failed)
			return va_fail(err, "out of memory");
		add_text(b, temporary, "modelToolName", name);
		add_text(b, temporary, "description", json_text(tool, "description", ""));
		if (!add_parameters(b, temporary, json_member(tool, "parameters"), name, err))
			return false;
		json_integer(tool, "timeout_ms", &timeout);
		add_timeout(b, temporary, timeout);
		add_object(b, temporary, "client");
	}
	return true;
}

/* What the tenant sets by hand wins; null takes a member of ours away. The medium is the
 * gateway's own business: it must match what the gateway sends. */
static void
merge_settings(struct builder *b, struct json_object *body, struct json_object *settings)
{
	json_object_object_foreach(settings, key, value)
	{
		if (strcmp(key, "medium") == 0)
			continue;
		if (value == NULL)
			json_object_object_del(body, key);
		else
			add(b, body, key, json_object_get(value));
	}
}

static void
add_plain_members(struct builder *b, struct json_object *body, const struct voice_session *session)
{
	struct json_object *metadata = add_object(b, body, "metadata");
	char duration[32];

	add_text(b, metadata, "call_id", session->call_id);
	add_text(b, metadata, "tenant_id", session->tenant_id);
	add_text(b, body, "systemPrompt", session->system_prompt);
	if (session->model[0] != '\0')
		add_text(b, body, "model", session->model);
	if (session->voice[0] != '\0')
		add_text(b, body, "voice", session->voice);
	if (session->language[0] != '\0')
		add_text(b, body, "languageHint", session->language);
	add(b, body, "temperature", json_object_new_double(session->temperature));
	add_text(b, body, "joinTimeout", JOIN_TIMEOUT);
	snprintf(duration, sizeof(duration), "%ds", session->max_duration_s);
	add_text(b, body, "maxDuration", duration);
}

struct json_object *
ultravox_create_body(const struct voice_session *session, struct va_error *err)
{
	struct builder b = {.failed = false};
	struct json_object *body;

	if (session->temperature > 1)
	{
		va_fail(err, "temperature must be from 0 to 1 for Ultravox");
		return NULL;
	}
	body = json_object_new_object();
	add_medium(&b, body);
	add_plain_members(&b, body, session);
	add_first_speaker(&b, body, session->greeting);
	add_history(&b, body, session->history);
	if (!add_tools(&b, body, session->tools, err))
		goto failed;
	merge_settings(&b, body, session->engine_settings);
	if (b.failed)
	{
		va_fail(err, "out of memory");
		goto failed;
	}
	return body;

failed:
	json_object_put(body);
	return NULL;
}

/* A WebSocket URL without spaces or control characters. */
static bool
is_join_url(const char *url)
{
	if (strncmp(url, "wss://", 6) != 0 && strncmp(url, "ws://", 5) != 0)
		return false;
	for (; *url != '\0'; url++)
		if (*url <= ' ' || *url > '~')
			return false;
	return true;
}

bool
ultravox_create_reply(const char *text, size_t len, char *join_url, size_t size, char *call_id,
					  size_t call_id_size, struct va_error *err)
{
	struct json_object *reply = json_parse(text, len, err);
	bool good = false;

	if (reply == NULL)
		return false;

	const char *url = json_text(reply, "joinUrl", "");
	const char *id = json_text(reply, "callId", "");

	if (!is_join_url(url))
		va_fail(err, "answer without a joinUrl that is a WebSocket URL");
	else if (strlen(url) >= size)
		va_fail(err, "joinUrl is too long");
	else if (strlen(id) >= call_id_size)
		va_fail(err, "callId is too long");
	else
	{
		memcpy(join_url, url, strlen(url) + 1);
		memcpy(call_id, id, strlen(id) + 1);
		good = true;
	}
	json_object_put(reply);
	return good;
}

/* Copies text of any kind as one printable line of UTF-8, cut to fit. */
static void
copy_line(const char *text, size_t len, struct va_error *out)
{
	size_t to = 0;

	for (size_t at = 0; at < len;)
	{
		size_t length = utf8_sequence(text + at, len - at);
		bool printable = length > 1 || (length == 1 && text[at] >= ' ' && text[at] != 0x7F);

		if (to + (length > 0 ? length : 1) >= sizeof(out->text))
			break;
		if (printable)
			memcpy(out->text + to, text + at, length);
		else
			out->text[to] = length == 0 ? '?' : ' ';
		to += printable ? length : 1;
		at += length > 0 ? length : 1;
	}
	out->text[to] = '\0';
}

/* The first text in {"field": ["text"]}, as "field: text". */
static bool
field_error(struct json_object *reply, struct va_error *out)
{
	if (!json_object_is_type(reply, json_type_object))
		return false;
	json_object_object_foreach(reply, key, value)
	{
		struct json_object *first = value;

		if (json_object_is_type(value, json_type_array) && json_object_array_length(value) > 0)
			first = json_object_array_get_idx(value, 0);
		if (json_object_is_type(first, json_type_string))
		{
			char line[2 * VA_ERROR_SIZE];
			int wanted = snprintf(line, sizeof(line), "%s: %s", key, json_object_get_string(first));

			if (wanted < 0)
				return false;
			copy_line(line, utf8_cut(line, strlen(line)), out);
			return true;
		}
	}
	return false;
}

void
ultravox_error_text(const char *body, size_t len, struct va_error *out)
{
	struct json_object *reply = json_parse(body, len, NULL);
	const char *detail = json_text(reply, "detail", NULL);

	if (detail != NULL)
		copy_line(detail, strlen(detail), out);
	else if (!field_error(reply, out))
		copy_line(body, len, out);
	if (out->text[strspn(out->text, " ")] == '\0')
		va_fail(out, "no explanation");
	json_object_put(reply);
}
