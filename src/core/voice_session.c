/*
 * voice_session.c: reads the session that the database decided on.
 *
 * The members come from tenants' settings, so each is checked here, once, with a message that a
 * tenant's operator understands; the engine modules may then take them as they are.
 */
#include "core/voice_session.h"

#include <stdlib.h>
#include <string.h>

#include "core/json.h"

#define MAX_TOOLS 128
#define TOOL_NAME_MAX 64
#define LANGUAGE_MAX 16 /* Ultravox takes no longer languageHint */

/* A string member that may be absent. False when it has another type. */
static bool
read_text(struct json_object *obj, const char *key, const char *fallback, const char **out,
		  struct va_error *err)
{
	struct json_object *value = json_member(obj, key);

	if (value != NULL && !json_object_is_type(value, json_type_string))
		return va_fail(err, "session: %s must be a string", key);
	*out = value != NULL ? json_object_get_string(value) : fallback;
	return true;
}

/* A string member that must be there and not be empty. */
static bool
read_required(struct json_object *obj, const char *key, const char **out, struct va_error *err)
{
	if (!read_text(obj, key, "", out, err))
		return false;
	return (*out)[0] != '\0' || va_fail(err, "session: %s is missing", key);
}

/* An integer member within [low, high]. */
static bool
read_int(struct json_object *obj, const char *key, int fallback, int low, int high, int *out,
		 struct va_error *err)
{
	int64_t value = fallback;

	if (json_member(obj, key) != NULL && !json_integer(obj, key, &value))
		return va_fail(err, "session: %s must be an integer", key);
	if (value < low || value > high)
		return va_fail(err, "session: %s must be from %d to %d", key, low, high);
	*out = (int) value;
	return true;
}

static bool
read_temperature(struct json_object *obj, double *out, struct va_error *err)
{
	*out = 0.3;
	if (json_member(obj, "temperature") != NULL && !json_number(obj, "temperature", out))
		return va_fail(err, "session: temperature must be a number");
	if (*out < 0 || *out > 2)
		return va_fail(err, "session: temperature must be from 0 to 2");
	return true;
}

static bool
read_bool(struct json_object *obj, const char *key, bool *out, struct va_error *err)
{
	struct json_object *value = json_member(obj, key);

	if (value != NULL && !json_object_is_type(value, json_type_boolean))
		return va_fail(err, "session: %s must be true or false", key);
	*out = json_flag(obj, key, false);
	return true;
}

/* An array or object member; an absent one is added to obj, empty, so that nobody meets NULL. */
static bool
read_container(struct json_object *obj, const char *key, enum json_type type,
			   struct json_object **out, struct va_error *err)
{
	*out = json_member(obj, key);
	if (*out == NULL)
	{
		*out = type == json_type_array ? json_object_new_array() : json_object_new_object();
		if (*out == NULL || json_object_object_add(obj, key, *out) != 0)
			return va_fail(err, "out of memory");
	}
	if (!json_object_is_type(*out, type))
		return va_fail(err, "session: %s must be an %s", key,
					   type == json_type_array ? "array" : "object");
	return true;
}

/* What may go into a header or a request line: printable ASCII without spaces. */
static bool
is_visible_ascii(const char *text)
{
	for (; *text != '\0'; text++)
		if (*text <= ' ' || *text > '~')
			return false;
	return true;
}

static bool
is_engine_url(const char *url)
{
	static const char *const schemes[] = {"https://", "wss://", "http://", "ws://"};

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
	{
		size_t len = strlen(schemes[i]);

		if (strncmp(url, schemes[i], len) == 0)
			return url[len] != '\0' && url[len] != '/' && is_visible_ascii(url);
	}
	return false;
}

/* The names that models accept for a function. */
static bool
is_tool_name(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

	return len > 0 && len <= TOOL_NAME_MAX && name[len] == '\0';
}

static bool
check_tool(struct json_object *tools, size_t index, struct va_error *err)
{
	struct json_object *tool = json_object_array_get_idx(tools, index);
	struct json_object *parameters = json_member(tool, "parameters");
	const char *name = json_text(tool, "name", "");
	const char *description;
	int timeout;

	if (!json_object_is_type(tool, json_type_object))
		return va_fail(err, "session: tool %zu is not an object", index);
	if (!is_tool_name(name))
		return va_fail(err, "session: tool %zu has no name of 1 to %d letters, digits, _ or -",
					   index, TOOL_NAME_MAX);
	for (size_t i = 0; i < index; i++)
		if (strcmp(json_text(json_object_array_get_idx(tools, i), "name", ""), name) == 0)
			return va_fail(err, "session: two tools are named %s", name);
	if (parameters != NULL && !json_object_is_type(parameters, json_type_object))
		return va_fail(err, "session: parameters of tool %s must be an object", name);
	return read_text(tool, "description", "", &description, err) &&
		   read_int(tool, "timeout_ms", 1, 1, 600 * 1000, &timeout, err);
}

static bool
check_history(struct json_object *history, size_t index, struct va_error *err)
{
	struct json_object *turn = json_object_array_get_idx(history, index);
	const char *role = json_text(turn, "role", "");

	if (strcmp(role, "user") != 0 && strcmp(role, "agent") != 0)
		return va_fail(err, "session: role of turn %zu must be user or agent", index);
	if (json_text(turn, "text", NULL) == NULL)
		return va_fail(err, "session: text of turn %zu must be a string", index);
	return true;
}

static bool
check_lists(const struct voice_session *s, struct va_error *err)
{
	size_t tools = json_object_array_length(s->tools);
	size_t turns = json_object_array_length(s->history);

	if (tools > MAX_TOOLS)
		return va_fail(err, "session: more than %d tools", MAX_TOOLS);
	for (size_t i = 0; i < tools; i++)
		if (!check_tool(s->tools, i, err))
			return false;
	for (size_t i = 0; i < turns; i++)
		if (!check_history(s->history, i, err))
			return false;
	return true;
}

static bool
check_texts(const struct voice_session *s, struct va_error *err)
{
	if (strcmp(s->engine, "ultravox") != 0 && strcmp(s->engine, "realtime") != 0)
		return va_fail(err, "session: engine must be ultravox or realtime");
	if (!is_engine_url(s->base_url))
		return va_fail(err, "session: base_url must be an http, https, ws or wss URL");
	if (!is_visible_ascii(s->api_key))
		return va_fail(err, "session: api_key has characters that no key has");
	if (!is_visible_ascii(s->call_id) || !is_visible_ascii(s->tenant_id))
		return va_fail(err, "session: call_id and tenant_id must be uuids");
	if (strlen(s->language) > LANGUAGE_MAX)
		return va_fail(err, "session: language is longer than %d characters", LANGUAGE_MAX);
	return true;
}

static bool
read_session(struct voice_session *s, struct va_error *err)
{
	struct json_object *o = s->document;

	return read_required(o, "call_id", &s->call_id, err) &&
		   read_required(o, "tenant_id", &s->tenant_id, err) &&
		   read_required(o, "engine", &s->engine, err) &&
		   read_required(o, "base_url", &s->base_url, err) &&
		   read_text(o, "token", "", &s->token, err) &&
		   read_text(o, "api_key", "", &s->api_key, err) &&
		   read_text(o, "model", "", &s->model, err) && read_text(o, "voice", "", &s->voice, err) &&
		   read_text(o, "language", "en-US", &s->language, err) &&
		   read_text(o, "system_prompt", "", &s->system_prompt, err) &&
		   read_text(o, "greeting", "", &s->greeting, err) &&
		   read_text(o, "inactivity_message", "", &s->inactivity_message, err) &&
		   read_text(o, "apology", "", &s->apology, err) &&
		   read_temperature(o, &s->temperature, err) &&
		   read_int(o, "max_duration_s", 3600, 1, 86400, &s->max_duration_s, err) &&
		   read_int(o, "inactivity_s", 0, 0, 86400, &s->inactivity_s, err) &&
		   read_int(o, "prepare_timeout_ms", 10000, 100, 120000, &s->prepare_timeout_ms, err) &&
		   read_bool(o, "resumed", &s->resumed, err) &&
		   read_container(o, "tools", json_type_array, &s->tools, err) &&
		   read_container(o, "history", json_type_array, &s->history, err) &&
		   read_container(o, "engine_settings", json_type_object, &s->engine_settings, err) &&
		   check_texts(s, err) && check_lists(s, err);
}

struct voice_session *
voice_session_parse(const char *text, size_t len, struct va_error *err)
{
	struct voice_session *s = calloc(1, sizeof(*s));

	if (s == NULL)
	{
		va_fail(err, "out of memory");
		return NULL;
	}
	s->document = json_parse(text, len, err);
	if (s->document == NULL)
		goto failed;
	if (!json_object_is_type(s->document, json_type_object))
	{
		va_fail(err, "session: not an object");
		goto failed;
	}
	if (!read_session(s, err))
		goto failed;
	return s;

failed:
	voice_session_free(s);
	return NULL;
}

void
voice_session_free(struct voice_session *s)
{
	if (s == NULL)
		return;
	json_object_put(s->document);
	free(s);
}
