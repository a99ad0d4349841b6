/* ultravox: the request to the letter, answers, each message, and refusals. */
#include "core/ultravox.h"

#include "core/json.h"
#include "tap.h"

#define BASE                                                                                       \
	"\"call_id\":\"c-1\",\"tenant_id\":\"t-1\",\"engine\":\"ultravox\","                           \
	"\"base_url\":\"https://api.example.com\""

/* The request for a session text; NULL with *err when it is refused. */
static struct json_object *
request(const char *text, struct va_error *err)
{
	struct voice_session *s = voice_session_parse(text, strlen(text), err);
	struct json_object *body;

	if (s == NULL)
	{
		diag("bad session in the test: %s", err->text);
		return NULL;
	}
	body = ultravox_create_body(s, err);
	voice_session_free(s); /* the request must not need it any more */
	return body;
}

static void
is_request(const char *session, const char *wanted, const char *name)
{
	struct va_error err = {""};
	struct json_object *got = request(session, &err);
	struct json_object *want = json_parse(wanted, strlen(wanted), &err);

	if (!ok(got != NULL && json_object_equal(got, want) == 1, "%s %s", name, err.text))
		diag("got %s\n# wanted %s", json_object_to_json_string(got), wanted);
	json_object_put(got);
	json_object_put(want);
}

#define MEDIUM                                                                                     \
	"\"medium\":{\"serverWebSocket\":{\"inputSampleRate\":8000,\"outputSampleRate\":8000,"         \
	"\"clientBufferSizeMs\":30000,\"mediaIdleTimeout\":\"30s\"}}"
#define METADATA "\"metadata\":{\"call_id\":\"c-1\",\"tenant_id\":\"t-1\"}"

static void
requests(void)
{
	is_request("{" BASE "}",
			   "{" MEDIUM "," METADATA ",\"systemPrompt\":\"\",\"languageHint\":\"en-US\","
			   "\"temperature\":0.3,\"joinTimeout\":\"30s\",\"maxDuration\":\"3600s\","
			   "\"firstSpeakerSettings\":{\"user\":{}}}",
			   "the least request");
	is_request(
		"{" BASE ",\"model\":\"m\",\"voice\":\"Mark\",\"language\":\"\",\"system_prompt\":\"p\","
		"\"greeting\":\"Hi \\\"you\\\"\",\"temperature\":0.5,\"max_duration_s\":900,"
		"\"history\":[{\"role\":\"agent\",\"text\":\"a\"},{\"role\":\"user\",\"text\":\"b\"}],"
		"\"tools\":[{\"name\":\"find\",\"description\":\"d\",\"timeout_ms\":5000,\"parameters\":{"
		"\"type\":\"object\",\"properties\":{\"no\":{\"type\":\"string\"},\"n\":{\"type\":"
		"\"integer\"}},\"required\":[\"no\"],\"additionalProperties\":false}},{\"name\":\"end\"},"
		"{\"name\":\"slow\",\"timeout_ms\":60000,\"parameters\":{}}]}",
		"{" MEDIUM "," METADATA ",\"systemPrompt\":\"p\",\"model\":\"m\",\"voice\":\"Mark\","
		"\"temperature\":0.5,\"joinTimeout\":\"30s\",\"maxDuration\":\"900s\","
		"\"firstSpeakerSettings\":{\"agent\":{\"text\":\"Hi \\\"you\\\"\"}},"
		"\"initialMessages\":[{\"role\":\"MESSAGE_ROLE_AGENT\",\"text\":\"a\",\"medium\":"
		"\"MESSAGE_MEDIUM_VOICE\"},{\"role\":\"MESSAGE_ROLE_USER\",\"text\":\"b\",\"medium\":"
		"\"MESSAGE_MEDIUM_VOICE\"}],"
		"\"selectedTools\":[{\"temporaryTool\":{\"modelToolName\":\"find\",\"description\":\"d\","
		"\"dynamicParameters\":[{\"name\":\"no\",\"location\":\"PARAMETER_LOCATION_BODY\","
		"\"schema\":{\"type\":\"string\"},\"required\":true},{\"name\":\"n\",\"location\":"
		"\"PARAMETER_LOCATION_BODY\",\"schema\":{\"type\":\"integer\"},\"required\":false}],"
		"\"timeout\":\"5s\",\"client\":{}}},{\"temporaryTool\":{\"modelToolName\":\"end\","
		"\"description\":\"\",\"dynamicParameters\":[],\"timeout\":\"2.500s\",\"client\":{}}},"
		"{\"temporaryTool\":{\"modelToolName\":\"slow\",\"description\":\"\","
		"\"dynamicParameters\":[],\"timeout\":\"40s\",\"client\":{}}}]}",
		"a full request");
	is_request("{" BASE ",\"engine_settings\":{\"medium\":{\"webRtc\":{}},\"temperature\":0.9,"
			   "\"languageHint\":null,\"vadSettings\":{\"turnEndpointDelay\":\"0.5s\"}}}",
			   "{" MEDIUM "," METADATA ",\"systemPrompt\":\"\",\"temperature\":0.9,"
			   "\"joinTimeout\":\"30s\",\"maxDuration\":\"3600s\",\"firstSpeakerSettings\":"
			   "{\"user\":{}},\"vadSettings\":{\"turnEndpointDelay\":\"0.5s\"}}",
			   "a tenant's settings win, but for the medium");
}

static void
refused_requests(void)
{
	static const char *const parameters[] = {
		"{\"type\":\"array\"}",
		"{\"properties\":[]}",
		"{\"properties\":{\"a\":true}}",
		"{\"properties\":{\"a\":null}}",
		"{\"required\":{}}",
		"{\"required\":[\"a\"]}",
		"{\"properties\":{\"a\":{}},\"required\":[\"b\"]}",
		"{\"properties\":{\"a\":{}},\"required\":[1]}",
		"{\"$ref\":\"#/x\"}",
		"{\"anyOf\":[]}",
		"{\"$defs\":{}}",
	};

	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++)
	{
		char text[512];
		struct va_error err = {""};
		struct json_object *body;

		snprintf(text, sizeof(text), "{" BASE ",\"tools\":[{\"name\":\"a\",\"parameters\":%s}]}",
				 parameters[i]);
		body = request(text, &err);
		ok(body == NULL && err.text[0] != '\0', "schema %s refused: %s", parameters[i], err.text);
		json_object_put(body);
	}

	struct va_error err = {""};

	ok(request("{" BASE ",\"temperature\":1.5}", &err) == NULL, "too warm: %s", err.text);
}

static void
replies(void)
{
	static const char good[] = "{\"callId\":\"id-1\",\"joinUrl\":\"wss://h/calls/1?x=y\"}";
	static const char *const bad[] = {
		"",
		"x",
		"[]",
		"{}",
		"{\"joinUrl\":null}",
		"{\"joinUrl\":1}",
		"{\"joinUrl\":\"\"}",
		"{\"joinUrl\":\"https://h\"}",
		"{\"joinUrl\":\"wss://h/a b\"}",
		"{\"joinUrl\":\"wss://h/\\r\\n\"}",
		"{\"joinUrl\":\"wss://h/0123456789012345678901234\"}",
		"{\"joinUrl\":\"wss://h/012345678901234567890123\"}", /* one character too long */
		"{\"joinUrl\":\"wss://h\",\"callId\":\"0123456789012345\"}",
	};
	static const char longest[] =
		"{\"joinUrl\":\"wss://h/01234567890123456789012\",\"callId\":\"012345678901234\"}";
	char url[32] = "";
	char id[16] = "";
	struct va_error err = {""};

	ok(ultravox_create_reply(good, strlen(good), url, sizeof(url), id, sizeof(id), &err),
	   "a reply %s", err.text);
	is_str(url, "wss://h/calls/1?x=y", "its URL");
	is_str(id, "id-1", "its id");
	ok(ultravox_create_reply(longest, strlen(longest), url, sizeof(url), id, sizeof(id), &err),
	   "the longest that fit");
	is_int((int64_t) strlen(url), sizeof(url) - 1, "the URL fills its place");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		char *text = tap_exact(bad[i], strlen(bad[i]));

		err.text[0] = '\0';
		ok(!ultravox_create_reply(text, strlen(bad[i]), url, sizeof(url), id, sizeof(id), &err),
		   "refused: %s", bad[i]);
		ok(err.text[0] != '\0' && strstr(err.text, "wss://h/0") == NULL, "why: %s", err.text);
		free(text);
	}
}

static void
error_texts(void)
{
	static const char *const cases[][2] = {
		{"{\"detail\":\"Invalid API key.\"}", "Invalid API key."},
		{"{\"model\":[\"Unknown model.\"]}", "model: Unknown model."},
		{"{\"n\":5,\"message\":\"words\"}", "message: words"},
		{"<html>\r\n502</html>", "<html>  502</html>"},
		{"", "no explanation"},
		{" \n", "no explanation"},
		{"{\"detail\":\"\"}", "no explanation"},
		{"{\"detail\":7}", "{\"detail\":7}"},
		{"a\xFF"
		 "b\x01",
		 "a?b "},
	};
	char body[1000];
	struct va_error err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char *text = tap_exact(cases[i][0], strlen(cases[i][0]));

		ultravox_error_text(text, strlen(cases[i][0]), &err);
		is_str(err.text, cases[i][1], "error text %zu", i);
		free(text);
	}
	memset(body, 'x', sizeof(body));
	ultravox_error_text(body, sizeof(body), &err);
	is_int((int64_t) strlen(err.text), VA_ERROR_SIZE - 1, "a long page is cut");
}

/* What a message was understood as, in one line. */
static const char *
describe(const char *text)
{
	static char line[512];
	struct engine_event e;
	struct va_error err = {""};
	char *exact = tap_exact(text, strlen(text));
	enum engine_event_type type = ultravox_parse(exact, strlen(text), &e, &err);

	free(exact);
	check_that(type == e.type && strlen(e.text) == e.text_len);
	switch (type)
	{
		case ENGINE_MALFORMED:
			snprintf(line, sizeof(line), "malformed%s", err.text[0] != '\0' ? "" : " without why");
			break;
		case ENGINE_IGNORED: snprintf(line, sizeof(line), "ignored"); break;
		case ENGINE_READY: snprintf(line, sizeof(line), "ready %s", e.text); break;
		case ENGINE_AUDIO: snprintf(line, sizeof(line), "audio"); break;
		case ENGINE_TRANSCRIPT:
			snprintf(line, sizeof(line), "%s%s%s%s %lld '%s'",
					 e.role == ENGINE_ROLE_USER ? "user" : "agent", e.is_delta ? " delta" : "",
					 e.is_final ? " final" : "", e.is_echo ? " echo" : "", (long long) e.ordinal,
					 e.text);
			break;
		case ENGINE_TOOL_CALL:
			snprintf(line, sizeof(line), "tool %s %s %s", e.tool_name, e.invocation_id,
					 json_object_to_json_string_ext(e.arguments, JSON_C_TO_STRING_PLAIN));
			break;
		case ENGINE_INTERRUPTED: snprintf(line, sizeof(line), "interrupted"); break;
		case ENGINE_STATE: snprintf(line, sizeof(line), "state %s", e.text); break;
		case ENGINE_ERROR: snprintf(line, sizeof(line), "error %s", e.text); break;
		case ENGINE_ENDED: snprintf(line, sizeof(line), "ended"); break;
	}
	engine_event_release(&e);
	return line;
}

static void
messages(void)
{
	static const char *const cases[][2] = {
		{"{\"type\":\"call_started\",\"callId\":\"7f\"}", "ready 7f"},
		{"{\"type\":\"call_started\"}", "ready "},
		{"{\"type\":\"state\",\"state\":\"listening\"}", "state listening"},
		{"{\"type\":\"transcript\",\"role\":\"user\",\"medium\":\"voice\",\"text\":\"Is it?\","
		 "\"delta\":null,\"final\":true,\"ordinal\":2}",
		 "user final 2 'Is it?'"},
		{"{\"type\":\"transcript\",\"role\":\"agent\",\"medium\":\"voice\",\"text\":null,"
		 "\"delta\":\"One mo\",\"final\":false,\"ordinal\":3}",
		 "agent delta 3 'One mo'"},
		{"{\"type\":\"transcript\",\"role\":\"agent\",\"text\":\"One.\",\"final\":true}",
		 "agent final -1 'One.'"},
		{"{\"type\":\"transcript\",\"role\":\"agent\",\"final\":true,\"ordinal\":0}",
		 "agent delta final 0 ''"},
		{"{\"type\":\"transcript\",\"role\":\"agent\",\"text\":\"\",\"delta\":\"x\"}",
		 "agent -1 ''"},
		{"{\"type\":\"transcript\",\"role\":\"user\",\"medium\":\"text\",\"text\":\"5\","
		 "\"final\":true,\"ordinal\":null}",
		 "user final echo -1 '5'"},
		{"{\"type\":\"transcript\",\"role\":\"agent\",\"medium\":\"text\",\"text\":\"5\"}",
		 "agent -1 '5'"},
		{"{\"type\":\"transcript\",\"role\":\"tool\",\"text\":\"x\"}", "ignored"},
		{"{\"type\":\"client_tool_invocation\",\"toolName\":\"f\",\"invocationId\":\"i-1\","
		 "\"parameters\":{\"a\":\"118\"}}",
		 "tool f i-1 {\"a\":\"118\"}"},
		{"{\"type\":\"client_tool_invocation\",\"toolName\":\"f\",\"invocationId\":\"i\","
		 "\"parameters\":null}",
		 "tool f i {}"},
		{"{\"type\":\"client_tool_invocation\",\"toolName\":\"f\",\"invocationId\":\"i\"}",
		 "tool f i {}"},
		{"{\"type\":\"playback_clear_buffer\"}", "interrupted"},
		{"{\"type\":\"pong\",\"timestamp\":1768480496.125}", "ignored"},
		{"{\"type\":\"debug\",\"message\":\"x\"}", "ignored"},
		{"{\"type\":\"something_new\",\"a\":[{}]}", "ignored"},
		{"{\"type\":\"error\",\"message\":\"m\"}", "error m"},
		{"{\"type\":\"error\",\"error\":\"e\"}", "error e"},
		{"{\"type\":\"error\",\"detail\":\"d\"}", "error d"},
		{"{\"type\":\"error\",\"error\":{}}", "error no explanation"},
		{"", "malformed"},
		{"{", "malformed"},
		{"[]", "malformed"},
		{"null", "malformed"},
		{"{}", "malformed"},
		{"{\"type\":null}", "malformed"},
		{"{\"type\":1}", "malformed"},
		{"{\"type\":\"state\"}", "malformed"},
		{"{\"type\":\"state\",\"state\":1}", "malformed"},
		{"{\"type\":\"transcript\",\"text\":\"x\"}", "malformed"},
		{"{\"type\":\"transcript\",\"role\":\"user\",\"text\":1}", "malformed"},
		{"{\"type\":\"transcript\",\"role\":\"user\",\"delta\":[]}", "malformed"},
		{"{\"type\":\"transcript\",\"role\":\"user\",\"text\":\"x\",\"final\":1}", "malformed"},
		{"{\"type\":\"transcript\",\"role\":\"user\",\"text\":\"x\",\"ordinal\":1.5}", "malformed"},
		{"{\"type\":\"transcript\",\"role\":\"user\",\"text\":\"a\\u0000b\"}", "malformed"},
		{"{\"type\":\"client_tool_invocation\",\"invocationId\":\"i\"}", "malformed"},
		{"{\"type\":\"client_tool_invocation\",\"toolName\":\"f\"}", "malformed"},
		{"{\"type\":\"client_tool_invocation\",\"toolName\":\"f\",\"invocationId\":7}",
		 "malformed"},
		{"{\"type\":\"client_tool_invocation\",\"toolName\":\"f\",\"invocationId\":\"i\","
		 "\"parameters\":\"{}\"}",
		 "malformed"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_str(describe(cases[i][0]), cases[i][1], "message %s", cases[i][0]);
	checked("events are consistent");

	char *large = malloc(ULTRAVOX_MAX_MESSAGE + 1);
	struct engine_event e;

	memset(large, ' ', ULTRAVOX_MAX_MESSAGE + 1);
	memcpy(large, "{\"type\":\"pong\"}", 15);
	is_int(ultravox_parse(large, ULTRAVOX_MAX_MESSAGE, &e, NULL), ENGINE_IGNORED, "the largest");
	engine_event_release(&e);
	is_int(ultravox_parse(large, ULTRAVOX_MAX_MESSAGE + 1, &e, NULL), ENGINE_MALFORMED,
		   "one byte more");
	engine_event_release(&e);
	free(large);
}

static void
printing(void)
{
	char data[256];
	struct buf b;

	buf_init(&b, data, sizeof(data));
	ok(ultravox_user_text(&b, "key \"5\"", true), "user text");
	is_str(data,
		   "{\"type\":\"user_text_message\",\"text\":\"key \\\"5\\\"\",\"urgency\":\"immediate\"}",
		   "immediate");
	buf_init(&b, data, sizeof(data));
	ultravox_user_text(&b, "x", false);
	is_str(data, "{\"type\":\"user_text_message\",\"text\":\"x\",\"urgency\":\"soon\"}", "soon");
	buf_init(&b, data, sizeof(data));
	ok(ultravox_agent_text(&b, "Hello"), "agent text");
	is_str(data,
		   "{\"type\":\"forced_agent_message\",\"content\":\"Hello\",\"urgency\":\"immediate\"}",
		   "agent");
	buf_init(&b, data, sizeof(data));
	ok(ultravox_tool_result(&b, "i-1", "{\"a\":\"b\"}", NULL, false), "tool result");
	is_str(data,
		   "{\"type\":\"client_tool_result\",\"invocationId\":\"i-1\",\"result\":"
		   "\"{\\\"a\\\":\\\"b\\\"}\",\"responseType\":\"tool-response\"}",
		   "a string");
	buf_init(&b, data, sizeof(data));
	ok(ultravox_tool_result(&b, "i-1", "{}", "no\nluck", false), "tool error");
	is_str(data,
		   "{\"type\":\"client_tool_result\",\"invocationId\":\"i-1\",\"errorType\":"
		   "\"implementation-error\",\"errorMessage\":\"no\\nluck\"}",
		   "without a result");
	buf_init(&b, data, sizeof(data));
	ok(ultravox_tool_result(&b, "i-1", NULL, "no such tool", true), "unknown tool");
	is_str(data,
		   "{\"type\":\"client_tool_result\",\"invocationId\":\"i-1\",\"errorType\":"
		   "\"undefined\",\"errorMessage\":\"no such tool\"}",
		   "has a type of its own");
	buf_init(&b, data, sizeof(data));
	ok(ultravox_hang_up(&b, ""), "hang up");
	is_str(data, "{\"type\":\"hang_up\",\"message\":\"\"}", "silently");
	for (size_t size = 1; size < 40; size++)
	{
		char *small = malloc(size);

		buf_init(&b, small, size);
		check_that(ultravox_hang_up(&b, "") == (size > strlen(data)));
		free(small);
	}
	checked("a buffer that is too small is reported");
}

int
main(void)
{
	plan(0);
	requests();
	refused_requests();
	replies();
	error_texts();
	messages();
	printing();
	return done();
}
