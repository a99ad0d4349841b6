/*
 * gateway_parts_test.c: the gateway's small pure parts: keys, settings, URLs, credentials, the index of
 * calls, the memory of ended ones.
 */
#include <stdio.h>
#include <stdlib.h>

#include "gateway/call_private.h"
#include "gateway/credentials.h"
#include "gateway/ended.h"
#include "gateway/gateway.h"
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
ended(void)
{
	static struct ended e;
	char sid[TWILIO_SID_SIZE];
	char *params;

	ok(ended_reason(&e, "CA1") == NULL, "no call has ended");
	ended_note(&e, "CA1", CALL_STREAM_CLOSED);
	ended_note(&e, "CA2", CALL_TIME_LIMIT);
	ended_note(&e, "CA1", CALL_AGENT_HANGUP);
	is_str(ended_reason(&e, "CA1"), "agent_hangup", "the newest stream's reason counts");
	is_str(ended_reason(&e, "CA2"), "time_limit", "each call has its own");
	ok(ended_reason(&e, "CA") == NULL, "an unknown call has none");
	for (unsigned i = 0; i < ENDED_MAX - 1; i++)
	{
		snprintf(sid, sizeof(sid), "CB%u", i);
		ended_note(&e, sid, CALL_INACTIVITY);
	}
	is_str(ended_reason(&e, "CA1"), "agent_hangup", "as many as there is room for are kept");
	ended_note(&e, "CA3", CALL_INACTIVITY);
	ok(ended_reason(&e, "CA1") == NULL, "and one more displaces the oldest");
	is_str(ended_reason(&e, "CA3"), "inactivity", "the newest is there");
	params = ended_params("{\"CallSid\":\"CA3\"}", CALL_INACTIVITY);
	is_str(params, "{\"CallSid\":\"CA3\",\"VoiceagentEndReason\":\"inactivity\"}",
		   "the database is told, last");
	free(params);
}

/* More calls than buckets, two with one CallSid, taken out in another order. */
static void
call_index(void)
{
	enum
	{
		COUNT = 3 * CALL_BUCKETS
	};
	static struct gateway g;
	struct call *calls = calloc(COUNT, sizeof(*calls));
	unsigned found = 0, left = 0;

	if (calls == NULL)
		abort();
	for (unsigned i = 0; i < COUNT; i++)
	{
		snprintf(calls[i].call_sid, sizeof(calls[i].call_sid), "CA%u", i == 1 ? 0 : i);
		snprintf(calls[i].token, sizeof(calls[i].token), "token %u", i);
		call_index_sid(&g, &calls[i]);
		if (i != 2)
			call_index_token(&g, &calls[i]);
	}
	for (unsigned i = 3; i < COUNT; i++)
		found += call_by_sid(&g, calls[i].call_sid, false) == &calls[i] &&
				 call_by_token(&g, calls[i].token) == &calls[i];
	is_int(found, COUNT - 3, "each call is found by its CallSid and by its token");
	ok(call_by_sid(&g, "CA0", false) == &calls[1], "of two the newer one");
	calls[0].media = (struct media *) &g;
	ok(call_by_sid(&g, "CA0", true) == &calls[0], "with a stream: the one that has it");
	ok(call_by_sid(&g, "CA5", true) == NULL, "without one: none");
	ok(call_by_token(&g, "token 2") == NULL, "a call without a token is not found by it");
	ok(call_by_token(&g, "") == NULL && call_by_token(&g, "token") == NULL, "nor by another");
	for (unsigned i = 0; i < COUNT; i += 2)
		call_index_remove(&g, &calls[i]);
	for (unsigned i = 0; i < COUNT; i++)
		left += call_by_token(&g, calls[i].token) != NULL;
	is_int(left, COUNT / 2, "those taken out are gone, the others stay");
	ok(call_by_sid(&g, "CA0", false) == &calls[1] && call_by_sid(&g, "CA0", true) == NULL,
	   "also of two with one CallSid");
	free(calls);
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
	ended();
	call_index();
	settings();
	urls();
	credentials();
	return done();
}
