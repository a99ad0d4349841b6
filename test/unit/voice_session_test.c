/* voice_session: what is required, the defaults, and each bound from both sides. */
#include "core/voice_session.h"

#include "core/json.h"
#include "tap.h"

#define BASE                                                                                       \
	"\"call_id\":\"8f14e45f-ceea-467f-a0e6-1c3a1e3f0001\",\"tenant_id\":\"t\","                    \
	"\"engine\":\"ultravox\",\"base_url\":\"https://api.example.com\""

static struct voice_session *
parse(const char *text, struct va_error *err)
{
	char *exact = tap_exact(text, strlen(text));
	struct voice_session *s = voice_session_parse(exact, strlen(text), err);

	free(exact);
	return s;
}

static void
defaults(void)
{
	struct va_error err = {""};
	struct voice_session *s = parse("{" BASE "}", &err);

	if (!ok(s != NULL, "the least session %s", err.text))
		return;
	is_str(s->engine, "ultravox", "engine");
	is_str(s->token, "", "no token");
	is_str(s->api_key, "", "no key");
	is_str(s->model, "", "no model");
	is_str(s->voice, "", "no voice");
	is_str(s->language, "en-US", "language");
	is_str(s->system_prompt, "", "no prompt");
	is_str(s->greeting, "", "no greeting");
	ok(s->temperature > 0.299 && s->temperature < 0.301, "temperature");
	is_int(s->max_duration_s, 3600, "an hour");
	is_int(s->inactivity_s, 0, "no inactivity limit");
	is_int(s->prepare_timeout_ms, 10000, "ten seconds to prepare");
	ok(!s->resumed, "not resumed");
	is_int((int64_t) json_object_array_length(s->tools), 0, "no tools, but a list");
	is_int((int64_t) json_object_array_length(s->history), 0, "no history, but a list");
	is_int(json_object_object_length(s->engine_settings), 0, "no settings, but an object");
	voice_session_free(s);
	voice_session_free(NULL);
}

static void
everything(void)
{
	struct va_error err = {""};
	struct voice_session *s =
		parse("{" BASE ",\"token\":\"tok\",\"api_key\":\"k.1\",\"model\":\"m\",\"voice\":\"Mark\","
			  "\"language\":\"de\",\"system_prompt\":\"Be brief.\",\"greeting\":\"Hello\","
			  "\"inactivity_message\":\"Still there?\",\"apology\":\"Sorry\",\"temperature\":1,"
			  "\"max_duration_s\":900,\"inactivity_s\":20,\"prepare_timeout_ms\":5000,"
			  "\"resumed\":true,\"tools\":[{\"name\":\"end_call\",\"description\":\"d\","
			  "\"parameters\":{},\"timeout_ms\":100}],\"history\":[{\"role\":\"user\",\"text\":"
			  "\"hi\"}],\"engine_settings\":{\"a\":1},\"unknown\":[]}",
			  &err);

	if (!ok(s != NULL, "a full session %s", err.text))
		return;
	is_str(s->token, "tok", "token");
	is_str(s->inactivity_message, "Still there?", "inactivity message");
	is_str(s->apology, "Sorry", "apology");
	is_str(s->language, "de", "language");
	ok(s->temperature > 0.99, "an integer is a temperature");
	is_int(s->max_duration_s, 900, "duration");
	is_int(s->inactivity_s, 20, "inactivity");
	is_int(s->prepare_timeout_ms, 5000, "preparation");
	ok(s->resumed, "resumed");
	is_int((int64_t) json_object_array_length(s->tools), 1, "a tool");
	is_int((int64_t) json_object_array_length(s->history), 1, "a turn");
	voice_session_free(s);
}

static void
refused(void)
{
	static const char *const cases[] = {
		"",
		"[]",
		"null",
		"{}",
		"{" BASE,
		"{" BASE "}x",
		"{\"tenant_id\":\"t\",\"engine\":\"ultravox\",\"base_url\":\"https://a\"}",
		"{\"call_id\":\"c\",\"engine\":\"ultravox\",\"base_url\":\"https://a\"}",
		"{\"call_id\":\"c\",\"tenant_id\":\"t\",\"base_url\":\"https://a\"}",
		"{\"call_id\":\"c\",\"tenant_id\":\"t\",\"engine\":\"ultravox\"}",
		"{" BASE ",\"call_id\":\"\"}",
		"{" BASE ",\"call_id\":null}",
		"{" BASE ",\"call_id\":1}",
		"{" BASE ",\"call_id\":\"a b\"}",
		"{" BASE ",\"tenant_id\":\"a\\r\\nX: y\"}",
		"{" BASE ",\"engine\":\"other\"}",
		"{" BASE ",\"base_url\":\"ftp://x\"}",
		"{" BASE ",\"base_url\":\"https://\"}",
		"{" BASE ",\"base_url\":\"https:///x\"}",
		"{" BASE ",\"base_url\":\"https://a\\r\\nb\"}",
		"{" BASE ",\"base_url\":\"https://a b\"}",
		"{" BASE ",\"api_key\":\"a\\nX: y\"}",
		"{" BASE ",\"api_key\":5}",
		"{" BASE ",\"model\":1}",
		"{" BASE ",\"greeting\":[]}",
		"{" BASE ",\"language\":\"12345678901234567\"}",
		"{" BASE ",\"temperature\":\"0.3\"}",
		"{" BASE ",\"temperature\":-0.1}",
		"{" BASE ",\"temperature\":2.1}",
		"{" BASE ",\"max_duration_s\":0}",
		"{" BASE ",\"max_duration_s\":86401}",
		"{" BASE ",\"max_duration_s\":\"60\"}",
		"{" BASE ",\"max_duration_s\":60.5}",
		"{" BASE ",\"max_duration_s\":4294967356}",
		"{" BASE ",\"inactivity_s\":-1}",
		"{" BASE ",\"inactivity_s\":86401}",
		"{" BASE ",\"prepare_timeout_ms\":99}",
		"{" BASE ",\"prepare_timeout_ms\":120001}",
		"{" BASE ",\"resumed\":\"true\"}",
		"{" BASE ",\"tools\":{}}",
		"{" BASE ",\"tools\":[1]}",
		"{" BASE ",\"tools\":[null]}",
		"{" BASE ",\"tools\":[{}]}",
		"{" BASE ",\"tools\":[{\"name\":\"a b\"}]}",
		"{" BASE ",\"tools\":[{\"name\":\"\"}]}",
		"{" BASE ",\"tools\":[{\"name\":\"a\"},{\"name\":\"a\"}]}",
		"{" BASE ",\"tools\":[{\"name\":\"a\",\"description\":1}]}",
		"{" BASE ",\"tools\":[{\"name\":\"a\",\"parameters\":[]}]}",
		"{" BASE ",\"tools\":[{\"name\":\"a\",\"timeout_ms\":0}]}",
		"{" BASE ",\"tools\":[{\"name\":\"a\",\"timeout_ms\":\"5\"}]}",
		"{" BASE ",\"history\":{}}",
		"{" BASE ",\"history\":[1]}",
		"{" BASE ",\"history\":[{\"role\":\"tool\",\"text\":\"x\"}]}",
		"{" BASE ",\"history\":[{\"role\":\"user\"}]}",
		"{" BASE ",\"engine_settings\":[]}",
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct va_error err = {""};
		struct voice_session *s = parse(cases[i], &err);

		ok(s == NULL, "refused %zu", i);
		ok(err.text[0] != '\0', "says why: %s", err.text);
		voice_session_free(s);
	}
}

static void
accepted(void)
{
	static const char *const cases[] = {
		"{" BASE ",\"temperature\":0}",
		"{" BASE ",\"temperature\":2}",
		"{" BASE ",\"max_duration_s\":1}",
		"{" BASE ",\"max_duration_s\":86400}",
		"{" BASE ",\"prepare_timeout_ms\":100}",
		"{" BASE ",\"prepare_timeout_ms\":120000}",
		"{" BASE ",\"language\":\"1234567890123456\"}",
		"{" BASE ",\"language\":\"\"}",
		"{" BASE ",\"engine\":\"realtime\",\"base_url\":\"wss://h/p?q=1\"}",
		"{" BASE ",\"base_url\":\"ws://127.0.0.1:1\"}",
		"{" BASE ",\"tools\":null,\"model\":null}",
		"{" BASE ",\"tools\":[{\"name\":\"a\"},{\"name\":\"A-_9\"}]}",
		"{" BASE ",\"history\":[{\"role\":\"agent\",\"text\":\"\"}]}",
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct va_error err = {""};
		struct voice_session *s = parse(cases[i], &err);

		ok(s != NULL, "accepted: %s %s", cases[i] + strlen(BASE) + 1, err.text);
		voice_session_free(s);
	}
}

int
main(void)
{
	plan(0);
	defaults();
	everything();
	refused();
	accepted();
	return done();
}
