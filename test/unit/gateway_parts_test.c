/*
 * gateway_parts_test.c: the gateway's small pure parts: keys, settings, URLs, credentials.
 */
#include "gateway/credentials.h"
#include "gateway/keys.h"
#include "gateway/settings.h"
#include "gateway/urls.h"
#include "tap.h"

static void
keys(void)
{
	struct keys k = {0};
	char sentence[KEYS_SENTENCE_SIZE];
	char bare[KEYS_SENTENCE_SIZE];

	ok(!keys_due(&k, 1), "no keys are never due");
	keys_press(&k, '5', 1000);
	ok(!keys_due(&k, 1000 + KEYS_JOIN_US - 1) && keys_due(&k, 1000 + KEYS_JOIN_US),
	   "a key waits for the next one");
	keys_take(&k, sentence, bare);
	is_str(sentence, "The caller pressed key 5.", "one key");
	is_str(bare, "5", "bare");
	for (const char *c = "123#"; *c != '\0'; c++)
		keys_press(&k, *c, 2000);
	ok(keys_due(&k, 2000), "# is not waited after");
	keys_take(&k, sentence, bare);
	is_str(sentence, "The caller pressed keys 1 2 3 #.", "several keys");
	for (int i = 0; i < 100; i++)
		keys_press(&k, '9', 3000);
	ok(k.count == KEYS_MAX && keys_due(&k, 3000), "keys are bounded and then due");
	keys_take(&k, sentence, bare);
	is_int((int64_t) strlen(bare), 2 * KEYS_MAX - 1, "the longest list fits");
	ok(sentence[strlen(sentence) - 1] == '.', "and so does its sentence");
}

static void
settings(void)
{
	struct settings s;
	struct va_error err;

	settings_default(&s);
	is_int(s.http_port, 8000, "a default");
	ok(settings_set(&s, "voiceagent.http_port", "8123", &err) && s.http_port == 8123, "a port");
	ok(!settings_set(&s, "http_port", "65536", &err) && s.http_port == 8123, "a port too high");
	ok(!settings_set(&s, "http_port", "80x", &err), "not a number");
	ok(settings_set(&s, "allow_insecure_engine", "on", &err) && s.allow_insecure_engine,
	   "a switch");
	ok(settings_set(&s, "of_another_part", "1", &err), "what is not ours is ignored");
	ok(!settings_set(&s, "log_level", "loud", &err), "an unknown level");
}

static void
is_candidate(const struct urls *u, unsigned i, bool ws, const char *target, const char *wanted)
{
	char url[URL_SIZE];

	if (i >= u->count || !urls_candidate(u, i, ws, 8000, target, url))
		ok(false, "%s", wanted);
	else
		is_str(url, wanted, "%s", wanted);
}

static void
urls(void)
{
	struct settings s;
	struct urls u;
	struct va_error err;

	settings_default(&s);
	ok(urls_build(&u, &s, &err) && u.count == 2, "local: two names for one machine");
	is_candidate(&u, 0, false, "/a?b=%20", "http://localhost:8000/a?b=%20");
	is_candidate(&u, 1, true, "/media-stream", "ws://127.0.0.1:8000/media-stream");
	settings_set(&s, "listen_addresses", "10.0.0.1, fd00::1,10.0.0.1", &err);
	ok(urls_build(&u, &s, &err) && u.count == 2, "each address once");
	is_candidate(&u, 1, false, "/a", "http://[fd00::1]:8000/a");
	settings_set(&s, "public_url", "https://pbx.example.com/voice/", &err);
	ok(urls_build(&u, &s, &err) && u.count == 1, "public: one");
	is_candidate(&u, 0, false, "/voice/a", "https://pbx.example.com/voice/a");
	is_candidate(&u, 0, false, "/a", "https://pbx.example.com/voice/a");
	is_candidate(&u, 0, true, "/voicemail", "wss://pbx.example.com/voice/voicemail");
	is_str(urls_route(&u, "/voice/a"), "/a", "routing leaves the prefix out");
	is_str(urls_route(&u, "/voicemail"), "/voicemail", "a path that only begins alike is another");
	settings_set(&s, "public_url", "pbx.example.com", &err);
	ok(!urls_build(&u, &s, &err), "a URL without a scheme is refused");
	settings_set(&s, "public_url", "https:///x", &err);
	ok(!urls_build(&u, &s, &err), "a URL without a host is refused");
}

static bool
load(struct credentials *c, const char *json)
{
	struct va_error err;

	return credentials_load(c, json, strlen(json), &err);
}

static void
credentials(void)
{
	struct credentials c = {0};
	const char *list[CREDENTIALS_TOKENS];

	ok(credentials_find(&c, "AC1") == NULL, "nothing is found in nothing");
	ok(load(&c, "{\"accounts\":[{\"account_sid\":\"AC2\",\"tokens\":[\"b\"]},"
				"{\"account_sid\":\"AC1\",\"tokens\":[\"a\",\"a2\"]}]}"),
	   "two accounts");
	ok(credentials_find(&c, "AC1") != NULL && credentials_find(&c, "AC3") == NULL, "found by SID");
	is_int(credentials_tokens(credentials_find(&c, "AC1"), list), 2, "two tokens in a rotation");
	is_str(list[1], "a2", "in order");
	ok(!load(&c, "{\"accounts\":[{\"account_sid\":\"AC9\",\"tokens\":[1]}]}") &&
		   credentials_find(&c, "AC1") != NULL,
	   "what is malformed leaves the old ones");
	ok(!load(&c,
			 "{\"accounts\":[{\"account_sid\":\"A\",\"tokens\":[\"1\",\"2\",\"3\",\"4\",\"5\"]}]}"),
	   "too many tokens");
	ok(!load(&c, "[]") && !load(&c, "{}") && !load(&c, "x"), "no configuration");
	ok(load(&c, "{\"accounts\":[]}") && c.count == 0, "none at all is a configuration");
	credentials_wipe(&c);
}

int
main(void)
{
	plan(0);
	keys();
	settings();
	urls();
	credentials();
	return done();
}
