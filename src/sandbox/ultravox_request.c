/*
 * ultravox_request.c: the members of a call's creation as tables, and the rules between them.
 *
 * The real service ignores or refuses what it does not know, and does not say which; here every
 * doubtful body is refused, since a body that is refused in a test costs less than a call without
 * a greeting. Source: docs.ultravox.ai, API reference "Create Call", "Tools: parameters".
 */
#include "sandbox/ultravox_request.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/json_text.h"

enum kind
{
	TEXT,
	BOOLEAN,
	WHOLE, /* integer from low to high */
	NUMBER, /* from low to high */
	DURATION, /* at most high seconds when high is set */
	OBJECT, /* of members */
	OBJECTS, /* list of such */
	TEXTS,
	TEXT_MAP,
	FREE /* any object */
};

struct field
{
	const char *name;
	enum kind kind;
	const struct field *members;
	double low, high;
	const char *values; /* TEXT: allowed ones, "|a|b|" */
	bool required;
};

#define END                                                                                        \
	{                                                                                              \
		NULL, FREE, NULL, 0, 0, NULL, false                                                        \
	}
#define F_TEXT(n)                                                                                  \
	{                                                                                              \
		n, TEXT, NULL, 0, 0, NULL, false                                                           \
	}
#define F_ENUM(n, v)                                                                               \
	{                                                                                              \
		n, TEXT, NULL, 0, 0, v, false                                                              \
	}
#define F_BOOL(n)                                                                                  \
	{                                                                                              \
		n, BOOLEAN, NULL, 0, 0, NULL, false                                                        \
	}
#define F_WHOLE(n, l, h)                                                                           \
	{                                                                                              \
		n, WHOLE, NULL, l, h, NULL, false                                                          \
	}
#define F_NUMBER(n, l, h)                                                                          \
	{                                                                                              \
		n, NUMBER, NULL, l, h, NULL, false                                                         \
	}
#define F_DURATION(n, h)                                                                           \
	{                                                                                              \
		n, DURATION, NULL, 0, h, NULL, false                                                       \
	}
#define F_OBJECT(n, m)                                                                             \
	{                                                                                              \
		n, OBJECT, m, 0, 0, NULL, false                                                            \
	}
#define F_OBJECTS(n, m)                                                                            \
	{                                                                                              \
		n, OBJECTS, m, 0, 0, NULL, false                                                           \
	}
#define F_TEXTS(n)                                                                                 \
	{                                                                                              \
		n, TEXTS, NULL, 0, 0, NULL, false                                                          \
	}
#define F_MAP(n)                                                                                   \
	{                                                                                              \
		n, TEXT_MAP, NULL, 0, 0, NULL, false                                                       \
	}
#define F_FREE(n)                                                                                  \
	{                                                                                              \
		n, FREE, NULL, 0, 0, NULL, false                                                           \
	}

static const struct field message[] = {
	{"role", TEXT, NULL, 0, 0,
	 "|MESSAGE_ROLE_USER|MESSAGE_ROLE_AGENT|MESSAGE_ROLE_TOOL_CALL|MESSAGE_ROLE_TOOL_RESULT|",
	 true},
	F_TEXT("text"),
	F_ENUM("medium", "|MESSAGE_MEDIUM_VOICE|MESSAGE_MEDIUM_TEXT|"),
	F_TEXT("toolName"),
	F_TEXT("invocationId"),
	END};

static const struct field inactivity[] = {
	{"duration", DURATION, NULL, 0, 0, NULL, true},
	{"message", TEXT, NULL, 0, 0, NULL, true},
	F_ENUM("endBehavior",
		   "|END_BEHAVIOR_UNSPECIFIED|END_BEHAVIOR_HANG_UP_SOFT|END_BEHAVIOR_HANG_UP_STRICT|"),
	END};

static const struct field data_messages[] = {F_BOOL("pong"),
											 F_BOOL("state"),
											 F_BOOL("transcript"),
											 F_BOOL("clientToolInvocation"),
											 F_BOOL("callStarted"),
											 F_BOOL("playbackClearBuffer"),
											 F_BOOL("dataConnectionToolInvocation"),
											 F_BOOL("debug"),
											 F_BOOL("callEvent"),
											 F_BOOL("toolUsed"),
											 F_BOOL("invokingTool"),
											 F_BOOL("userStartedSpeaking"),
											 F_BOOL("userStoppedSpeaking"),
											 END};

static const struct field server_web_socket[] = {
	{"inputSampleRate", WHOLE, NULL, 8000, 48000, NULL, true},
	F_WHOLE("outputSampleRate", 8000, 48000),
	F_WHOLE("clientBufferSizeMs", 0, 600000),
	F_DURATION("mediaIdleTimeout", 0),
	F_OBJECT("dataMessages", data_messages),
	END};

static const struct field medium[] = {
	F_FREE("webRtc"), F_OBJECT("serverWebSocket", server_web_socket),
	F_FREE("twilio"), F_FREE("telnyx"),
	F_FREE("plivo"),  F_FREE("exotel"),
	F_FREE("sip"),	  END};

static const struct field agent_speaks[] = {F_BOOL("uninterruptible"), F_TEXT("text"),
											F_TEXT("prompt"), F_DURATION("delay", 0), END};
static const struct field fallback[] = {F_DURATION("delay", 0), F_TEXT("text"), F_TEXT("prompt"),
										END};
static const struct field user_speaks[] = {F_OBJECT("fallback", fallback), END};
static const struct field first_speaker[] = {F_OBJECT("agent", agent_speaks),
											 F_OBJECT("user", user_speaks), END};

static const struct field vad_settings[] = {F_DURATION("turnEndpointDelay", 0),
											F_DURATION("minimumTurnDuration", 0),
											F_DURATION("minimumInterruptionDuration", 0),
											F_NUMBER("frameActivationThreshold", 0.1, 1), END};

#define LOCATIONS                                                                                  \
	"|PARAMETER_LOCATION_QUERY|PARAMETER_LOCATION_PATH|PARAMETER_LOCATION_HEADER|"                 \
	"PARAMETER_LOCATION_BODY|"

static const struct field dynamic_parameter[] = {{"name", TEXT, NULL, 0, 0, NULL, true},
												 {"location", TEXT, NULL, 0, 0, LOCATIONS, true},
												 {"schema", FREE, NULL, 0, 0, NULL, true},
												 F_BOOL("required"),
												 END};
static const struct field automatic_parameter[] = {{"name", TEXT, NULL, 0, 0, NULL, true},
												   {"location", TEXT, NULL, 0, 0, LOCATIONS, true},
												   {"knownValue", TEXT, NULL, 0, 0, NULL, true},
												   END};
static const struct field static_response[] = {F_TEXT("responseText"), END};

static const struct field temporary_tool[] = {
	{"modelToolName", TEXT, NULL, 0, 0, NULL, true},
	{"description", TEXT, NULL, 0, 0, NULL, true},
	F_OBJECTS("dynamicParameters", dynamic_parameter),
	F_OBJECTS("automaticParameters", automatic_parameter),
	F_FREE("http"),
	F_FREE("client"),
	F_FREE("dataConnection"),
	F_DURATION("timeout", 40),
	F_BOOL("precomputable"),
	F_ENUM("defaultReaction",
		   "|AGENT_REACTION_SPEAKS|AGENT_REACTION_LISTENS|AGENT_REACTION_SPEAKS_ONCE|"),
	F_OBJECT("staticResponse", static_response),
	F_FREE("requirements"),
	END};

static const struct field selected_tool[] = {F_TEXT("toolId"),
											 F_TEXT("toolName"),
											 F_OBJECT("temporaryTool", temporary_tool),
											 F_TEXT("nameOverride"),
											 F_TEXT("descriptionOverride"),
											 F_FREE("authTokens"),
											 F_FREE("parameterOverrides"),
											 END};

static const struct field callback[] = {F_TEXT("url"), F_TEXTS("secrets"), END};
static const struct field callbacks[] = {F_OBJECT("joined", callback), F_OBJECT("ended", callback),
										 F_OBJECT("billed", callback), END};

static const struct field create[] = {
	F_TEXT("systemPrompt"),
	F_TEXT("model"),
	F_NUMBER("temperature", 0, 1),
	F_TEXT("voice"),
	F_FREE("externalVoice"),
	F_FREE("voiceOverrides"),
	F_TEXT("languageHint"),
	F_OBJECTS("initialMessages", message),
	F_DURATION("joinTimeout", 0),
	F_DURATION("maxDuration", 0),
	F_TEXT("timeExceededMessage"),
	F_OBJECTS("inactivityMessages", inactivity),
	F_OBJECTS("selectedTools", selected_tool),
	F_OBJECT("medium", medium),
	F_BOOL("recordingEnabled"),
	F_OBJECT("firstSpeakerSettings", first_speaker),
	F_ENUM("firstSpeaker", "|FIRST_SPEAKER_AGENT|FIRST_SPEAKER_USER|"),
	F_ENUM("initialOutputMedium", "|MESSAGE_MEDIUM_VOICE|MESSAGE_MEDIUM_TEXT|"),
	F_OBJECT("vadSettings", vad_settings),
	F_MAP("metadata"),
	F_FREE("initialState"),
	F_FREE("dataConnection"),
	F_OBJECT("callbacks", callbacks),
	F_ENUM("retentionPolicy", "|CALL_RETENTION_POLICY_RETAIN|CALL_RETENTION_POLICY_AUTO_DELETE|"),
	F_TEXTS("sharedSecrets"),
	F_FREE("experimentalSettings"),
	END};

/* Where the check is, and what it found first. */
struct checker
{
	char *error;
	size_t size;
	bool ok;
};

static void check_object(struct checker *c, const char *place, struct json_object *object,
						 const struct field *fields);

static void
wrong(struct checker *c, const char *place, const char *problem)
{
	if (c->ok)
		snprintf(c->error, c->size, "%s: %s", place, problem);
	c->ok = false;
}

long
ultravox_duration_ms(const char *text)
{
	size_t whole = strspn(text, "0123456789");
	size_t part = 0;
	double v;

	if (whole == 0 || whole > 9 || (whole > 1 && text[0] == '0'))
		return -1;
	if (text[whole] == '.')
	{
		part = strspn(text + whole + 1, "0123456789");
		if (part == 0 || part > 9)
			return -1;
		part++;
	}
	if (strcmp(text + whole + part, "s") != 0)
		return -1;
	v = strtod(text, NULL) * 1000 + 0.5;
	return (long) v;
}

static void
check_list(struct checker *c, const char *place, struct json_object *list, const struct field *f)
{
	char inner[160];

	if (!json_object_is_type(list, json_type_array))
	{
		wrong(c, place, "must be a list");
		return;
	}
	for (size_t i = 0; c->ok && i < json_object_array_length(list); i++)
	{
		struct json_object *item = json_object_array_get_idx(list, i);

		snprintf(inner, sizeof(inner), "%.120s[%zu]", place, i);
		if (f->kind == OBJECTS)
			check_object(c, inner, item, f->members);
		else if (!json_object_is_type(item, json_type_string))
			wrong(c, inner, "must be a string");
	}
}

static void
check_text(struct checker *c, const char *place, struct json_object *value, const struct field *f)
{
	const char *text = json_object_get_string(value);
	char quoted[128];

	if (!json_object_is_type(value, json_type_string))
		wrong(c, place, "must be a string");
	else if (f->kind == DURATION)
	{
		long ms = ultravox_duration_ms(text);

		if (ms < 0)
			wrong(c, place, "must be a duration such as \"30s\" or \"0.384s\"");
		else if (f->high > 0 && (double) ms > f->high * 1000)
			wrong(c, place, "is too long a duration");
	}
	else if (f->values)
	{
		snprintf(quoted, sizeof(quoted), "|%.120s|", text);
		if (!strstr(f->values, quoted))
			wrong(c, place, "is not one of the allowed values");
	}
}

static void
check_number(struct checker *c, const char *place, struct json_object *value, const struct field *f)
{
	bool whole = json_object_is_type(value, json_type_int);
	double v = json_object_get_double(value);

	if (!whole && (f->kind == WHOLE || !json_object_is_type(value, json_type_double)))
		wrong(c, place, f->kind == WHOLE ? "must be an integer" : "must be a number");
	else if (v < f->low || v > f->high)
		wrong(c, place, "is out of range");
}

static void
check_map(struct checker *c, const char *place, struct json_object *value)
{
	if (!json_object_is_type(value, json_type_object))
	{
		wrong(c, place, "must be an object");
		return;
	}
	json_object_object_foreach(value, key, item)
	{
		if (!json_object_is_type(item, json_type_string))
			wrong(c, place, "values must be strings");
		if (strncmp(key, "ultravox.", 9) == 0)
			wrong(c, place, "keys must not begin with \"ultravox.\"");
	}
}

static void
check_value(struct checker *c, const char *place, struct json_object *value, const struct field *f)
{
	switch (f->kind)
	{
		case TEXT:
		case DURATION: check_text(c, place, value, f); break;
		case WHOLE:
		case NUMBER: check_number(c, place, value, f); break;
		case OBJECT: check_object(c, place, value, f->members); break;
		case OBJECTS:
		case TEXTS: check_list(c, place, value, f); break;
		case TEXT_MAP: check_map(c, place, value); break;
		case BOOLEAN:
			if (!json_object_is_type(value, json_type_boolean))
				wrong(c, place, "must be true or false");
			break;
		case FREE:
			if (!json_object_is_type(value, json_type_object))
				wrong(c, place, "must be an object");
			break;
	}
}

static void
check_object(struct checker *c, const char *place, struct json_object *object,
			 const struct field *fields)
{
	char inner[160];

	if (!json_object_is_type(object, json_type_object))
	{
		wrong(c, place, "must be an object");
		return;
	}
	json_object_object_foreach(object, key, value)
	{
		const struct field *f = fields;

		snprintf(inner, sizeof(inner), "%.90s%s%.60s", place, place[0] ? "." : "", key);
		while (f->name && strcmp(f->name, key) != 0)
			f++;
		if (!f->name)
			wrong(c, inner, "unknown member");
		else if (c->ok)
			check_value(c, inner, value, f);
	}
	for (const struct field *f = fields; f->name; f++)
	{
		snprintf(inner, sizeof(inner), "%.90s%s%s", place, place[0] ? "." : "", f->name);
		if (f->required && !json_object_object_get_ex(object, f->name, NULL))
			wrong(c, inner, "is required");
	}
}

static bool
is_tool_name(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char) name[i]) && name[i] != '_' && name[i] != '-')
			return false;
	return len >= 1 && len <= 64;
}

/* The name the model sees. */
static const char *
tool_name(struct json_object *tool)
{
	struct json_object *temporary = json_text_child(tool, "temporaryTool", json_type_object);
	const char *override = json_text_member(tool, "nameOverride");

	if (override[0])
		return override;
	return temporary ? json_text_member(temporary, "modelToolName")
					 : json_text_member(tool, "toolName");
}

static void
check_tool(struct checker *c, const char *place, struct json_object *tool)
{
	struct json_object *temporary = json_text_child(tool, "temporaryTool", json_type_object);
	struct json_object *parameters;
	bool client;
	int ways;

	ways = json_object_object_get_ex(tool, "toolId", NULL) +
		   json_object_object_get_ex(tool, "toolName", NULL) + (temporary != NULL);
	if (ways != 1)
		wrong(c, place, "needs exactly one of toolId, toolName, temporaryTool");
	if (!temporary)
		return;
	client = json_object_object_get_ex(temporary, "client", NULL);
	ways = client + json_object_object_get_ex(temporary, "http", NULL) +
		   json_object_object_get_ex(temporary, "dataConnection", NULL);
	if (ways != 1)
		wrong(c, place, "needs exactly one of http, client, dataConnection");
	if (!is_tool_name(json_text_member(temporary, "modelToolName")))
		wrong(c, place, "modelToolName must be 1 to 64 letters, digits, _ or -");
	parameters = json_text_child(temporary, "dynamicParameters", json_type_array);
	for (size_t i = 0; client && parameters && i < json_object_array_length(parameters); i++)
	{
		struct json_object *p = json_object_array_get_idx(parameters, i);

		if (strcmp(json_text_member(p, "location"), "PARAMETER_LOCATION_BODY") != 0)
			wrong(c, place, "parameters of a client tool go in the body");
	}
}

static void
check_tools(struct checker *c, struct json_object *body)
{
	struct json_object *tools = json_text_child(body, "selectedTools", json_type_array);
	size_t count = tools ? json_object_array_length(tools) : 0;
	char place[48];

	for (size_t i = 0; i < count; i++)
	{
		struct json_object *tool = json_object_array_get_idx(tools, i);

		snprintf(place, sizeof(place), "selectedTools[%zu]", i);
		check_tool(c, place, tool);
		for (size_t k = 0; k < i; k++)
			if (strcmp(tool_name(tool), tool_name(json_object_array_get_idx(tools, k))) == 0)
				wrong(c, place, "has the name of another tool");
	}
}

static void
check_medium(struct checker *c, struct json_object *body)
{
	struct json_object *m = json_text_child(body, "medium", json_type_object);
	struct json_object *socket = json_text_child(m, "serverWebSocket", json_type_object);
	struct json_object *rate = NULL;
	const char *names[2] = {"inputSampleRate", "outputSampleRate"};

	if (m && json_object_object_length(m) > 1)
		wrong(c, "medium", "has more than one member");
	for (int i = 0; i < 2; i++)
		if (socket && json_object_object_get_ex(socket, names[i], &rate))
		{
			int64_t v = json_object_get_int64(rate);

			if (v != 8000 && v != 16000 && v != 24000 && v != 48000)
				wrong(c, "medium.serverWebSocket",
					  "sample rate must be 8000, 16000, 24000 or 48000");
		}
}

static void
check_rules(struct checker *c, struct json_object *body)
{
	struct json_object *first = json_text_child(body, "firstSpeakerSettings", json_type_object);
	struct json_object *agent = json_text_child(first, "agent", json_type_object);
	const char *model = json_text_member(body, "model");

	if (first && json_object_object_length(first) != 1)
		wrong(c, "firstSpeakerSettings", "needs exactly one of agent and user");
	if (agent && json_object_object_get_ex(agent, "text", NULL) &&
		json_object_object_get_ex(agent, "prompt", NULL))
		wrong(c, "firstSpeakerSettings.agent", "text and prompt exclude each other");
	if (json_object_object_get_ex(body, "voice", NULL) &&
		json_object_object_get_ex(body, "externalVoice", NULL))
		wrong(c, "externalVoice", "excludes voice");
	if (json_object_object_get_ex(body, "voiceOverrides", NULL) &&
		!json_object_object_get_ex(body, "voice", NULL))
		wrong(c, "voiceOverrides", "needs voice");
	if (strlen(json_text_member(body, "languageHint")) > 16)
		wrong(c, "languageHint", "is longer than 16 characters");
	if (json_object_object_get_ex(body, "model", NULL) && strncmp(model, "ultravox-v0.", 12) != 0 &&
		strcmp(model, "fixie-ai/ultravox") != 0 &&
		strcmp(model, "fixie-ai/ultravox-llama3.3-70b") != 0)
		wrong(c, "model", "is not a known model");
}

bool
ultravox_request_check(struct json_object *body, char *error, size_t size)
{
	struct checker c = {.error = error, .size = size, .ok = true};

	check_object(&c, "", body, create);
	if (c.ok)
		check_rules(&c, body);
	if (c.ok)
		check_medium(&c, body);
	if (c.ok)
		check_tools(&c, body);
	return c.ok;
}

long
ultravox_member_ms(struct json_object *object, const char *name, long otherwise)
{
	long ms = ultravox_duration_ms(json_text_member(object, name));

	return ms < 0 ? otherwise : ms;
}

struct json_object *
ultravox_tool_names(struct json_object *body)
{
	struct json_object *tools = json_text_child(body, "selectedTools", json_type_array);
	struct json_object *names = json_object_new_array();

	for (size_t i = 0; tools && i < json_object_array_length(tools); i++)
	{
		struct json_object *tool = json_object_array_get_idx(tools, i);
		struct json_object *temporary = json_text_child(tool, "temporaryTool", json_type_object);

		if (temporary && json_object_object_get_ex(temporary, "client", NULL))
			json_object_array_add(names, json_object_new_string(tool_name(tool)));
	}
	return names;
}
