/* realtime: each message, both audio paths, and what is printed. */
#include "core/realtime.h"

#include "core/base64.h"
#include "core/json.h"
#include "core/realtime_slow.h"
#include "tap.h"

static const char *
describe_event(const struct engine_event *e, const struct va_error *err)
{
	static char line[512];

	switch (e->type)
	{
		case ENGINE_MALFORMED:
			snprintf(line, sizeof(line), "malformed%s",
					 err == NULL || err->text[0] != '\0' ? "" : " without why");
			break;
		case ENGINE_IGNORED: snprintf(line, sizeof(line), "ignored"); break;
		case ENGINE_READY: snprintf(line, sizeof(line), "ready %s", e->text); break;
		case ENGINE_AUDIO:
			snprintf(line, sizeof(line), "audio %u %.*s", e->sample_rate, (int) e->audio_base64_len,
					 e->audio_base64);
			break;
		case ENGINE_TRANSCRIPT:
			snprintf(line, sizeof(line), "%s%s%s %lld '%s'",
					 e->role == ENGINE_ROLE_USER ? "user" : "agent", e->is_delta ? " delta" : "",
					 e->is_final ? " final" : "", (long long) e->ordinal, e->text);
			break;
		case ENGINE_TOOL_CALL:
			snprintf(line, sizeof(line), "tool %s '%s' %s", e->tool_name, e->invocation_id,
					 json_object_to_json_string_ext(e->arguments, JSON_C_TO_STRING_PLAIN));
			break;
		case ENGINE_INTERRUPTED: snprintf(line, sizeof(line), "interrupted"); break;
		case ENGINE_STATE: snprintf(line, sizeof(line), "state"); break;
		case ENGINE_ERROR: snprintf(line, sizeof(line), "error %s", e->text); break;
		case ENGINE_ENDED: snprintf(line, sizeof(line), "ended %s", e->text); break;
	}
	return line;
}

static const char *
describe(const char *text)
{
	struct engine_event e;
	struct va_error err = {""};
	char *exact = tap_exact(text, strlen(text));
	const char *line;

	check_that(realtime_parse(exact, strlen(text), &e, &err) == e.type);
	check_that(strlen(e.text) == e.text_len);
	line = describe_event(&e, &err);
	engine_event_release(&e);
	free(exact);
	return line;
}

static void
messages(void)
{
	static const char *const cases[][2] = {
		{"{\"type\":\"session.created\",\"session_id\":\"s-91\"}", "ready s-91"},
		{"{\"type\":\"audio.output\",\"audio\":\"AAAA\",\"encoding\":\"pcm_s16le\","
		 "\"sample_rate\":24000}",
		 "audio 24000 AAAA"},
		{"{\"audio\":\"AA\\/A\",\"type\":\"audio.output\"}", "audio 24000 AA/A"},
		{"{ \"sample_rate\" : 16000 , \"audio\" : \"\" , \"type\" : \"audio.output\" }\n",
		 "audio 16000 "},
		{"{\"type\":\"audio.output\",\"audio\":\"AAAA\",\"response\":{\"id\":1}}",
		 "audio 24000 AAAA"},
		{"{\"type\":\"audio.output\",\"audio\":\"AAAA\",\"audio\":\"BBBB\"}", "audio 24000 BBBB"},
		{"{\"type\":\"audio.output\",\"audio\":\"AAAA\",\"sample_rate\":null}", "audio 24000 AAAA"},
		{"{\"type\":\"transcript.partial\",\"text\":\"is\",\"role\":\"user\"}", "user -1 'is'"},
		{"{\"type\":\"transcript.final\",\"text\":\"Is?\",\"role\":\"assistant\"}",
		 "agent final -1 'Is?'"},
		{"{\"type\":\"transcript.final\",\"text\":\"\",\"role\":\"agent\"}", "agent final -1 ''"},
		{"{\"type\":\"transcript.final\",\"text\":\"\",\"role\":\"system\"}", "ignored"},
		{"{\"type\":\"tool.call\",\"id\":\"t-1\",\"name\":\"f\",\"arguments\":{\"a\":1}}",
		 "tool f 't-1' {\"a\":1}"},
		{"{\"type\":\"tool.call\",\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}",
		 "tool f '' {\"a\":1}"},
		{"{\"type\":\"tool.call\",\"name\":\"f\"}", "tool f '' {}"},
		{"{\"type\":\"tool.call\",\"name\":\"f\",\"id\":null,\"arguments\":null}", "tool f '' {}"},
		{"{\"type\":\"session.ended\",\"reason\":\"hangup\",\"duration_ms\":4}", "ended hangup"},
		{"{\"type\":\"session.ended\"}", "ended "},
		{"{\"type\":\"error\",\"code\":\"c\",\"message\":\"m\"}", "error m"},
		{"{\"type\":\"error\",\"code\":\"c\"}", "error c"},
		{"{\"type\":\"error\"}", "error no explanation"},
		{"{\"type\":\"new.thing\"}", "ignored"},
		{"", "malformed"},
		{"[]", "malformed"},
		{"{}", "malformed"},
		{"{\"type\":5}", "malformed"},
		{"{\"type\":\"audio.output\"}", "malformed"},
		{"{\"type\":\"audio.output\",\"audio\":5}", "malformed"},
		{"{\"type\":\"audio.output\",\"audio\":\"AAAA\",\"encoding\":\"opus\"}", "malformed"},
		{"{\"type\":\"audio.output\",\"audio\":\"AAAA\",\"encoding\":5}", "malformed"},
		{"{\"type\":\"audio.output\",\"audio\":\"AAAA\",\"sample_rate\":\"24000\"}", "malformed"},
		{"{\"type\":\"audio.output\",\"audio\":\"AAAA\",\"sample_rate\":7999}", "malformed"},
		{"{\"type\":\"audio.output\",\"audio\":\"AAAA\",\"sample_rate\":48001}", "malformed"},
		{"{\"type\":\"audio.output\",\"audio\":\"AAAA\",\"sample_rate\":0}", "malformed"},
		{"{\"type\":\"audio.output\",\"audio\":\"AAAA\",\"sample_rate\":24000.5}", "malformed"},
		{"{\"type\":\"audio.output\",\"audio\":\"AAAA\"", "malformed"},
		{"{\"type\":\"audio.output\",\"audio\":\"AAAA\"}}", "malformed"},
		{"{\"type\":\"transcript.final\",\"role\":\"user\"}", "malformed"},
		{"{\"type\":\"transcript.final\",\"text\":\"x\"}", "malformed"},
		{"{\"type\":\"tool.call\",\"arguments\":{}}", "malformed"},
		{"{\"type\":\"tool.call\",\"name\":\"f\",\"id\":7}", "malformed"},
		{"{\"type\":\"tool.call\",\"name\":\"f\",\"arguments\":[]}", "malformed"},
		{"{\"type\":\"tool.call\",\"name\":\"f\",\"arguments\":\"[]\"}", "malformed"},
		{"{\"type\":\"tool.call\",\"name\":\"f\",\"arguments\":\"{\"}", "malformed"},
		{"{\"type\":\"tool.call\",\"name\":\"f\",\"arguments\":\"\"}", "malformed"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_str(describe(cases[i][0]), cases[i][1], "message %s", cases[i][0]);
	checked("events are consistent");

	char *large = malloc(REALTIME_MAX_MESSAGE + 1);
	struct engine_event e;

	memset(large, ' ', REALTIME_MAX_MESSAGE + 1);
	memcpy(large, "{\"type\":\"x\"}", 12);
	is_int(realtime_parse(large, REALTIME_MAX_MESSAGE, &e, NULL), ENGINE_IGNORED, "the largest");
	engine_event_release(&e);
	is_int(realtime_parse(large, REALTIME_MAX_MESSAGE + 1, &e, NULL), ENGINE_MALFORMED,
		   "one byte more");
	engine_event_release(&e);
	free(large);
}

static void
paths_agree(void)
{
	static const char *const members[] = {
		"\"type\":\"audio.output\"",
		"\"audio\":\"/////w==\"",
		"\"encoding\":\"pcm_s16le\"",
		"\"sample_rate\":24000",
		"\"type\":\"audio.output\"",
		"\"audio\":\"AAAA\"",
		"\"x\":1",
		"\"x\":\"y\"",
		"\"sample_rate\":8000",
		"\"sample_rate\":99",
		"\"encoding\":\"ulaw\"",
		"\"x\":null",
		"\"audio\":\"A\\/A\"",
		"\"sample_rate\":\"8000\"",
		"\"x\":{}",
		"\"x\":1.0",
		"\"type\":\"error\"",
		"\"sample_rate\":0",
		"\"x\":01",
		"\"sample_rate\":24000000000",
	};
	int audio = 0;

	for (int round = 0; round < 30000; round++)
	{
		char text[512];
		size_t len = 0;
		size_t count = 2 + tap_below(5);
		struct engine_event fast;
		struct engine_event slow;
		char line[512];

		text[len++] = '{';
		for (size_t i = 0; i < count; i++)
			len += (size_t) snprintf(text + len, sizeof(text) - len, "%s%s", i > 0 ? "," : "",
									 members[tap_below(tap_below(6) == 0 ? 20 : 8)]);
		text[len++] = '}';
		if (tap_below(4) == 0)
			text[tap_below(len)] = "\"\\{}[]:,0 a\n"[tap_below(12)];

		char *exact = tap_exact(text, len);

		realtime_parse(exact, len, &fast, NULL);
		realtime_parse_slow(exact, len, &slow, NULL);
		snprintf(line, sizeof(line), "%s", describe_event(&fast, NULL));
		if (!check_that(strcmp(line, describe_event(&slow, NULL)) == 0))
			diag("%.*s", (int) len, text);
		audio += fast.type == ENGINE_AUDIO && fast.document == NULL;
		engine_event_release(&fast);
		engine_event_release(&slow);
		free(exact);
	}
	checked("the fast and the general path understand 30,000 random messages alike");
	ok(audio > 1000, "the fast path took %d of them", audio);
}

static void
audio_input(void)
{
	for (size_t count = 0; count < 400; count++)
	{
		int16_t pcm[400];
		char out[REALTIME_AUDIO_BOUND(400)];

		for (size_t i = 0; i < count; i++)
			pcm[i] = (int16_t) tap_random();

		size_t len = realtime_audio_input(out, sizeof(out), pcm, count);
		char *exact = malloc(len);
		struct json_object *message = json_parse(out, len, NULL);
		const char *audio = json_text(message, "audio", "");
		uint8_t back[800];
		int64_t rate = 0;

		check_that(len > 0 && len <= REALTIME_AUDIO_BOUND(count));
		check_that(realtime_audio_input(exact, len, pcm, count) == len);
		check_that(realtime_audio_input(exact, len - 1, pcm, count) == 0);
		check_that(strcmp(json_text(message, "type", ""), "audio.input") == 0);
		check_that(strcmp(json_text(message, "encoding", ""), "pcm_s16le") == 0);
		check_that(json_integer(message, "sample_rate", &rate) && rate == REALTIME_INPUT_RATE);
		check_that(base64_decode(audio, strlen(audio), back, sizeof(back)) == (ssize_t) count * 2);
		for (size_t i = 0; i < count; i++)
			check_that((int16_t) (back[2 * i] | back[2 * i + 1] << 8) == pcm[i]);
		json_object_put(message);
		free(exact);
	}
	checked("audio.input is JSON, fits its bound, and holds little-endian samples");
}

static void
printing(void)
{
	char data[256];
	struct buf b;

	buf_init(&b, data, sizeof(data));
	ok(realtime_interrupt(&b, "barge_in"), "interrupt");
	is_str(data, "{\"type\":\"conversation.interrupt\",\"reason\":\"barge_in\"}", "its text");
	buf_init(&b, data, sizeof(data));
	ok(realtime_text_input(&b, "key \"5\""), "text");
	is_str(data, "{\"type\":\"text.input\",\"text\":\"key \\\"5\\\"\"}", "its text");
	buf_init(&b, data, sizeof(data));
	ok(realtime_tool_result(&b, "t-1", "f", "{\"a\":[1]}", NULL), "result");
	is_str(data, "{\"type\":\"tool.result\",\"id\":\"t-1\",\"name\":\"f\",\"result\":{\"a\":[1]}}",
		   "its text");
	buf_init(&b, data, sizeof(data));
	ok(realtime_tool_result(&b, "", "f", NULL, NULL), "no id, no result");
	is_str(data, "{\"type\":\"tool.result\",\"name\":\"f\",\"result\":null}", "its text");
	buf_init(&b, data, sizeof(data));
	ok(realtime_tool_result(&b, "t", "f", "{}", "no luck"), "error");
	is_str(data, "{\"type\":\"tool.result\",\"id\":\"t\",\"name\":\"f\",\"error\":\"no luck\"}",
		   "its text");
	buf_init(&b, data, sizeof(data));
	ok(!realtime_tool_result(&b, "t", "f", "{},\"x\":1", NULL), "a result that is not JSON");
	is_str(data, "", "is not written");
	buf_init(&b, data, 10);
	ok(!realtime_interrupt(&b, "x"), "does not fit");
}

static void
session_create(void)
{
	static const char text[] =
		"{\"call_id\":\"c\",\"tenant_id\":\"t\",\"engine\":\"realtime\",\"base_url\":\"wss://h/v\","
		"\"model\":\"m\",\"voice\":\"ada\",\"system_prompt\":\"Be brief.\",\"greeting\":\"Hello!\","
		"\"tools\":[{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\"},"
		"\"timeout_ms\":5}],\"history\":[{\"role\":\"user\",\"text\":\"Hi\"},{\"role\":\"agent\","
		"\"text\":\"Yes?\"}],\"engine_settings\":{\"type\":\"x\",\"voice\":null,\"speed\":2}}";
	struct voice_session *s = voice_session_parse(text, strlen(text), NULL);
	struct json_object *m = realtime_session_create(s);
	const char *prompt = json_text(m, "system_prompt", "");
	struct json_object *tool = json_object_array_get_idx(json_member(m, "tools"), 0);
	int64_t speed = 0;

	voice_session_free(s);
	is_str(json_text(m, "type", ""), "session.create", "its type stays");
	is_str(json_text(m, "model", ""), "m", "model");
	is_str(json_text(m, "voice", "none"), "none", "null takes the voice away");
	ok(json_integer(m, "speed", &speed) && speed == 2, "a setting of the tenant");
	ok(strncmp(prompt, "Be brief.", 9) == 0, "the prompt comes first");
	ok(strstr(prompt, "Caller: Hi\nYou: Yes?\n") != NULL, "then the history");
	ok(strstr(prompt, "Hello!") > strstr(prompt, "You: Yes?"), "then the greeting");
	is_str(json_object_to_json_string_ext(tool, JSON_C_TO_STRING_PLAIN),
		   "{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\"}}",
		   "a tool without what is not the engine's business");
	json_object_put(m);

	static const char least[] = "{\"call_id\":\"c\",\"tenant_id\":\"t\",\"engine\":\"realtime\","
								"\"base_url\":\"wss://h/v\"}";

	s = voice_session_parse(least, strlen(least), NULL);
	m = realtime_session_create(s);
	voice_session_free(s);
	is_str(json_object_to_json_string_ext(m, JSON_C_TO_STRING_PLAIN),
		   "{\"type\":\"session.create\",\"system_prompt\":\"\",\"tools\":[]}",
		   "the least session");
	json_object_put(m);
}

int
main(void)
{
	plan(0);
	messages();
	paths_agree();
	audio_input();
	printing();
	session_create();
	return done();
}
