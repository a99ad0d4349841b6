/* twilio_stream: each message of Twilio's page, bad ones, and that both media paths agree. */
#include "core/twilio_stream.h"

#include "core/base64.h"
#include "core/json.h"
#include "core/twilio_stream_slow.h"
#include "tap.h"

#define MZ "MZ00000000000000000000000000000001"
#define AC "AC00000000000000000000000000000001"
#define CA "CA00000000000000000000000000000001"

/* Parses a copy of exact size; the payload is handed over as a copy too, to be freed. */
static enum twilio_event
parse(const char *text, size_t len, struct twilio_message *m, struct va_error *err, char **payload,
	  bool slow)
{
	char *exact = tap_exact(text, len);
	enum twilio_event event = slow ? twilio_stream_parse_slow(exact, len, m, err)
								   : twilio_stream_parse(exact, len, m, err);

	*payload = NULL;
	if (event == TWILIO_MEDIA)
	{
		check_that(m->payload >= exact && m->payload + m->payload_len <= exact + len);
		*payload = malloc(m->payload_len + 1);
		memcpy(*payload, m->payload, m->payload_len);
		(*payload)[m->payload_len] = '\0';
	}
	check_that(m->event == event);
	free(exact);
	return event;
}

/* What a message was understood as, in one line. */
static const char *
describe(const char *text)
{
	static char line[512];
	struct twilio_message m;
	struct va_error err = {""};
	char *payload;

	switch (parse(text, strlen(text), &m, &err, &payload, false))
	{
		case TWILIO_MALFORMED:
			snprintf(line, sizeof(line), "malformed%s", err.text[0] != '\0' ? "" : " without why");
			break;
		case TWILIO_UNKNOWN: snprintf(line, sizeof(line), "unknown"); break;
		case TWILIO_CONNECTED: snprintf(line, sizeof(line), "connected"); break;
		case TWILIO_START:
			snprintf(line, sizeof(line), "start %s %s %s '%s' %d", m.stream_sid, m.call_sid,
					 m.account_sid, m.token, m.is_ulaw_8k_mono);
			break;
		case TWILIO_MEDIA:
			snprintf(line, sizeof(line), "media %s %llu %d", payload,
					 (unsigned long long) m.timestamp_ms, m.outbound_track);
			break;
		case TWILIO_DTMF: snprintf(line, sizeof(line), "dtmf %c", m.digit); break;
		case TWILIO_MARK: snprintf(line, sizeof(line), "mark %s", m.mark); break;
		case TWILIO_STOP: snprintf(line, sizeof(line), "stop"); break;
	}
	free(payload);
	return line;
}

#define START(inner) "{\"event\":\"start\",\"streamSid\":\"" MZ "\",\"start\":{" inner "}}"
#define SIDS "\"accountSid\":\"" AC "\",\"streamSid\":\"" MZ "\",\"callSid\":\"" CA "\""

static void
messages(void)
{
	static const char *const cases[][2] = {
		{"{\"event\":\"connected\",\"protocol\":\"Call\",\"version\":\"1.0.0\"}", "connected"},
		{START(SIDS ",\"tracks\":[\"inbound\"],\"mediaFormat\":{\"encoding\":\"audio/x-mulaw\","
					"\"sampleRate\":8000,\"channels\":1},\"customParameters\":{\"token\":\"t-1\"}"),
		 "start " MZ " " CA " " AC " 't-1' 1"},
		{START(SIDS), "start " MZ " " CA " " AC " '' 1"},
		{START(SIDS ",\"customParameters\":{\"token\":\"\"}"), "start " MZ " " CA " " AC " '' 1"},
		{START(SIDS ",\"mediaFormat\":{\"encoding\":\"audio/x-mulaw\",\"sampleRate\":\"8000\","
					"\"channels\":\"1\"}"),
		 "start " MZ " " CA " " AC " '' 1"},
		{START(SIDS ",\"mediaFormat\":{\"sampleRate\":16000}"), "start " MZ " " CA " " AC " '' 0"},
		{START(SIDS ",\"mediaFormat\":{\"encoding\":\"audio/l16\"}"),
		 "start " MZ " " CA " " AC " '' 0"},
		{START("\"accountSid\":\"" AC "\",\"callSid\":\"" CA "\""),
		 "start " MZ " " CA " " AC " '' 1"},
		{"{\"event\":\"start\",\"start\":{" SIDS "}}", "start " MZ " " CA " " AC " '' 1"},
		{"{\"event\":\"dtmf\",\"dtmf\":{\"track\":\"inbound_track\",\"digit\":\"5\"}}", "dtmf 5"},
		{"{\"event\":\"dtmf\",\"dtmf\":{\"digit\":\"#\"}}", "dtmf #"},
		{"{\"event\":\"dtmf\",\"dtmf\":{\"digit\":0}}", "dtmf 0"},
		{"{\"event\":\"dtmf\",\"dtmf\":{\"digit\":\"D\"}}", "dtmf D"},
		{"{\"event\":\"mark\",\"mark\":{\"name\":\"u17:3200\"}}", "mark u17:3200"},
		{"{\"event\":\"stop\",\"stop\":{\"callSid\":\"" CA "\"}}", "stop"},
		{"{\"event\":\"somethingNew\",\"x\":[{}]}", "unknown"},
		{"{\"event\":\"Media\",\"media\":{\"payload\":\"AAAA\"}}", "unknown"},
		{"{\"event\":\"media\",\"media\":{\"payload\":\"/////w==\"}}", "media /////w== 0 0"},
		{"{\"event\":\"media\",\"sequenceNumber\":\"2\",\"streamSid\":\"" MZ "\",\"media\":{"
		 "\"track\":\"inbound\",\"chunk\":\"1\",\"timestamp\":\"20\",\"payload\":\"/////w==\"}}",
		 "media /////w== 20 0"},
		{" {\n \"media\" : { \"payload\" : \"AAAA\" , \"timestamp\" : 123 , \"track\" : "
		 "\"outbound\" } ,\t\"event\" : \"media\" }\r\n",
		 "media AAAA 123 1"},
		{"{\"event\":\"media\",\"media\":{\"payload\":\"\"}}", "media  0 0"},
		{"{\"event\":\"media\",\"media\":{\"payload\":\"AA\\/A\"}}", "media AA\\/A 0 0"},
		{"{\"event\":\"media\",\"new\":{\"a\":[1]},\"media\":{\"payload\":\"AAAA\",\"b\":null}}",
		 "media AAAA 0 0"},
		{"{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\",\"payload\":\"BBBB\"}}",
		 "media BBBB 0 0"},
		{"{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\",\"timestamp\":\"5\",\"timestamp\":6}"
		 "}",
		 "media AAAA 6 0"},
		{"{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\",\"track\":\"outbound\"},\"media\":{"
		 "\"payload\":\"BBBB\"}}",
		 "media BBBB 0 0"},
		{"{\"event\":\"start\",\"event\":\"media\",\"media\":{\"payload\":\"AAAA\"}}",
		 "media AAAA 0 0"},
		{"{\"event\":\"media\",\"media\":{\"p\\u0061yload\":\"AAAA\"}}", "media AAAA 0 0"},
		{"{\"event\":\"media\",\"media\":{\"payload\":\"not base64!\"}}", "media not base64! 0 0"},
		{"{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\",\"timestamp\":null,\"track\":null}}",
		 "media AAAA 0 0"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_str(describe(cases[i][0]), cases[i][1], "message %zu", i);
	checked("payloads lie in the text");
}

static void
malformed(void)
{
	static const char *const cases[] = {
		"",
		"x",
		"{",
		"null",
		"[]",
		"1",
		"{}",
		"{\"event\":1}",
		"{\"event\":null}",
		"{\"event\":\"media\"}",
		"{\"event\":\"media\",\"media\":1}",
		"{\"event\":\"media\",\"media\":{}}",
		"{\"event\":\"media\",\"media\":{\"payload\":1}}",
		"{\"event\":\"media\",\"media\":{\"payload\":null}}",
		"{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\"}", /* not closed */
		"{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\"}}x",
		"{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\",}}",
		"{\"event\":\"media\",,\"media\":{\"payload\":\"AAAA\"}}",
		"{,\"event\":\"media\",\"media\":{\"payload\":\"AAAA\"}}",
		"{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\"},}",
		"{\"event\":\"media\" \"media\":{\"payload\":\"AAAA\"}}",
		"{\"event\":\"media\",\"media\":{\"payload\":\"AA\nAA\"}}",
		"{\"event\":\"media\",\"media\":{\"payload\":\"AA\x80\"}}",
		"{\"event\":\"media\",\"media\":{\"payload\":\"\\u0041AAA\"}}",
		"{\"event\":\"media\",\"media\":{\"payload\":\"AAA\\\"AAAA\"}}",
		"{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\"},\"media\":{}}",
		"{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\",\"timestamp\":\"x\"}}",
		"{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\",\"timestamp\":\"\"}}",
		"{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\",\"timestamp\":-1}}",
		"{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\",\"timestamp\":1.5}}",
		"{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\",\"timestamp\":[1]}}",
		"{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\",\"timestamp\":01}}",
		"{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\",\"timestamp\":"
		"\"9999999999999999999\"}}",
		"{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\",\"track\":1}}",
		"{\"event\":\"start\"}",
		"{\"event\":\"start\",\"start\":[]}",
		START(""),
		START("\"accountSid\":\"" AC "\",\"streamSid\":\"" MZ "\""),
		START("\"accountSid\":1,\"callSid\":\"" CA "\""),
		START("\"accountSid\":\"" AC "\",\"callSid\":\"" CA "\",\"streamSid\":\"MZother\""),
		START("\"accountSid\":\"" AC "\",\"callSid\":\"C\\\"A\""),
		START(SIDS ",\"customParameters\":[]"),
		START(SIDS ",\"customParameters\":{\"token\":1}"),
		START(SIDS ",\"mediaFormat\":\"mulaw\""),
		START(SIDS ",\"mediaFormat\":{\"channels\":\"x\"}"),
		START("\"accountSid\":\"" AC "\",\"callSid\":\"" CA CA "\""), /* 68 characters */
		START(SIDS ",\"customParameters\":{\"token\":\"" CA CA CA "\"}"),
		"{\"event\":\"dtmf\"}",
		"{\"event\":\"dtmf\",\"dtmf\":{\"digit\":\"\"}}",
		"{\"event\":\"dtmf\",\"dtmf\":{\"digit\":\"12\"}}",
		"{\"event\":\"dtmf\",\"dtmf\":{\"digit\":\"E\"}}",
		"{\"event\":\"dtmf\",\"dtmf\":{\"digit\":10}}",
		"{\"event\":\"mark\"}",
		"{\"event\":\"mark\",\"mark\":{}}",
		"{\"event\":\"mark\",\"mark\":{\"name\":\"\"}}",
		"{\"event\":\"mark\",\"mark\":{\"name\":1}}",
		"{\"event\":\"mark\",\"mark\":{\"name\":\"" CA CA "\"}}",
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_str(describe(cases[i]), "malformed", "malformed %zu: %.60s", i, cases[i]);

	/* A SID that just fits, and one that does not. */
	for (int len = TWILIO_SID_SIZE - 1; len <= TWILIO_SID_SIZE; len++)
	{
		char text[512];
		char *exact;
		struct twilio_message start;

		snprintf(text, sizeof(text), START("\"accountSid\":\"%0*d\",\"callSid\":\"" CA "\""), len,
				 1);
		exact = tap_exact(text, strlen(text));
		is_int(twilio_stream_parse(exact, strlen(text), &start, NULL),
			   len < TWILIO_SID_SIZE ? TWILIO_START : TWILIO_MALFORMED, "a SID of %d characters",
			   len);
		free(exact);
	}

	char *large = malloc(TWILIO_MAX_MESSAGE + 1);
	struct twilio_message m;

	memset(large, ' ', TWILIO_MAX_MESSAGE + 1);
	memcpy(large, "{\"event\":\"stop\"}", 16);
	is_int(twilio_stream_parse(large, TWILIO_MAX_MESSAGE, &m, NULL), TWILIO_STOP,
		   "largest message");
	is_int(twilio_stream_parse(large, TWILIO_MAX_MESSAGE + 1, &m, NULL), TWILIO_MALFORMED,
		   "one byte more");
	free(large);
}

static bool
same_message(const struct twilio_message *a, const char *payload_a, const struct twilio_message *b,
			 const char *payload_b)
{
	return a->event == b->event && a->payload_len == b->payload_len &&
		   (payload_a == NULL) == (payload_b == NULL) &&
		   (payload_a == NULL || memcmp(payload_a, payload_b, a->payload_len) == 0) &&
		   a->timestamp_ms == b->timestamp_ms && a->outbound_track == b->outbound_track &&
		   strcmp(a->stream_sid, b->stream_sid) == 0 && a->digit == b->digit &&
		   strcmp(a->token, b->token) == 0 && strcmp(a->mark, b->mark) == 0;
}

/* A media message with members in random order and of random kinds, mostly plain ones. */
static size_t
random_media(char *out, size_t size)
{
	static const char *const inner[] = {
		"\"payload\":\"/////w==\"",
		"\"payload\":\"AAAA\"",
		"\"timestamp\":\"20\"",
		"\"timestamp\":40",
		"\"track\":\"inbound\"",
		"\"track\":\"outbound\"",
		"\"chunk\":\"1\"",
		"\"chunk\":2",
		"\"x\":null",
		"\"timestamp\":\"007\"",
		"\"x\":{}",
		"\"payload\":\"A\\/AA\"",
		"\"x\":1.5",
		"\"timestamp\":1e2",
		"\"x\":\"\\n\"",
		"\"x\":01",
		"\"track\":7",
	};
	static const char *const outer[] = {
		"\"sequenceNumber\":\"2\"",
		"\"streamSid\":\"" MZ "\"",
		"\"new\":5",
		"\"new\":\"x\"",
		"\"event\":\"mark\"",
		"\"new\":[]",
		"\"new\":true",
		"\"m\xC3\xA9\":\"\xC3\xA9\"",
	};
	static const char *const spaces[] = {"", "", "", " ", "\n", "\t ", "  "};
	size_t len = 0;
	size_t count = tap_below(5);
	size_t media_at = tap_below(count + 1);
	size_t event_at = tap_below(count + 1);
	bool comma = false;

#define ADD(...) len += (size_t) snprintf(out + len, size - len, __VA_ARGS__)
#define SPACE spaces[tap_below(7)]
	ADD("%s{", SPACE);
	for (size_t i = 0; i <= count; i++)
	{
		if (i == event_at)
		{
			ADD("%s%s\"event\"%s:%s\"media\"%s", comma ? "," : "", SPACE, SPACE, SPACE, SPACE);
			comma = true;
		}
		if (i == media_at)
		{
			size_t members = 1 + tap_below(5);

			ADD("%s\"media\":%s{", comma ? "," : "", SPACE);
			for (size_t m = 0; m < members; m++)
				ADD("%s%s%s", m > 0 ? "," : "", SPACE,
					inner[tap_below(tap_below(3) == 0 ? 17 : 8)]);
			ADD("%s}%s", SPACE, SPACE);
			comma = true;
		}
		if (i < count)
		{
			ADD("%s%s%s", comma ? "," : "", outer[tap_below(tap_below(3) == 0 ? 8 : 4)], SPACE);
			comma = true;
		}
	}
	ADD("}%s", SPACE);
	return len;
}

static void
paths_agree(void)
{
	int media = 0;

	for (int round = 0; round < 30000; round++)
	{
		char text[1024];
		size_t len = random_media(text, sizeof(text));
		struct twilio_message fast;
		struct twilio_message slow;
		char *fast_payload;
		char *slow_payload;

		if (tap_below(4) == 0)
			text[tap_below(len)] = "\"\\{}[]:,0 a\n"[tap_below(12)];
		if (tap_below(8) == 0)
			len = tap_below(len + 1);
		parse(text, len, &fast, NULL, &fast_payload, false);
		parse(text, len, &slow, NULL, &slow_payload, true);
		if (!check_that(same_message(&fast, fast_payload, &slow, slow_payload)))
			diag("%.*s", (int) len, text);
		media += fast.event == TWILIO_MEDIA;
		free(fast_payload);
		free(slow_payload);
	}
	checked("the fast and the general path understand 30,000 random messages alike");
	ok(media > 3000, "among them %d good media messages", media);
}

/* What we print is what Twilio wants, to the letter, and what we would read. */
static void
printing(void)
{
	char out[512];
	uint8_t silence[4] = {0xFF, 0xFF, 0xFF, 0xFF};
	size_t len = twilio_stream_media(out, sizeof(out), MZ, silence, 4);

	out[len] = '\0';
	is_str(out,
		   "{\"event\":\"media\",\"streamSid\":\"" MZ "\",\"media\":{\"payload\":\"/////w==\"}}",
		   "media");
	len = twilio_stream_mark(out, sizeof(out), MZ, "u17:3200");
	out[len] = '\0';
	is_str(out, "{\"event\":\"mark\",\"streamSid\":\"" MZ "\",\"mark\":{\"name\":\"u17:3200\"}}",
		   "mark");
	len = twilio_stream_clear(out, sizeof(out), MZ);
	out[len] = '\0';
	is_str(out, "{\"event\":\"clear\",\"streamSid\":\"" MZ "\"}", "clear");

	is_int((int64_t) twilio_stream_media(out, sizeof(out), "M\"Z", silence, 4), 0, "a quote");
	is_int((int64_t) twilio_stream_media(out, sizeof(out), "M\\Z", silence, 4), 0, "a backslash");
	is_int((int64_t) twilio_stream_media(out, sizeof(out), "", silence, 4), 0, "no stream");
	is_int((int64_t) twilio_stream_clear(out, sizeof(out), CA CA), 0, "too long a stream");
	is_int((int64_t) twilio_stream_mark(out, sizeof(out), MZ, "\n"), 0, "a control character");
	is_int((int64_t) twilio_stream_mark(out, sizeof(out), MZ, CA CA), 0, "too long a mark");
	is_int((int64_t) twilio_stream_mark(out, sizeof(out), "\xC3\xA9", "m"), 0, "not ASCII");
}

/* Into memory of exactly the right size, and into one byte less. */
static void
printing_fits(void)
{
	for (size_t count = 0; count < 400; count++)
	{
		uint8_t ulaw[400];
		uint8_t back[400];
		char out[TWILIO_MEDIA_BOUND(400)];
		struct twilio_message m;

		for (size_t i = 0; i < count; i++)
			ulaw[i] = (uint8_t) tap_random();

		size_t len = twilio_stream_media(out, sizeof(out), MZ, ulaw, count);
		char *exact = malloc(len);

		check_that(len > 0 && len <= TWILIO_MEDIA_BOUND(count));
		check_that(twilio_stream_media(exact, len, MZ, ulaw, count) == len);
		check_that(twilio_stream_media(exact, len - 1, MZ, ulaw, count) == 0);
		check_that(twilio_stream_parse(exact, len, &m, NULL) == TWILIO_MEDIA);
		check_that(twilio_stream_audio(&m, back, count) == (ssize_t) count);
		check_that(memcmp(ulaw, back, count) == 0);
		free(exact);
	}

	size_t mark_len =
		strlen("{\"event\":\"mark\",\"streamSid\":\"" MZ "\",\"mark\":{\"name\":\"m1\"}}");
	size_t clear_len = strlen("{\"event\":\"clear\",\"streamSid\":\"" MZ "\"}");

	for (size_t size = 0; size < 120; size++)
	{
		char *exact = malloc(size + 1);
		size_t mark = twilio_stream_mark(exact, size, MZ, "m1");
		size_t clear = twilio_stream_clear(exact, size, MZ);

		check_that(mark == (size >= mark_len ? mark_len : 0));
		check_that(clear == (size >= clear_len ? clear_len : 0));
		free(exact);
	}
	checked("printing never writes past its buffer, and reads back");
}

/* Slashes that some JSON writers escape. */
static void
escaped_audio(void)
{
	for (int round = 0; round < 500; round++)
	{
		size_t count = tap_below(900);
		uint8_t ulaw[900];
		uint8_t back[900];
		char plain[BASE64_LENGTH(900)];
		char text[3000] = "{\"event\":\"media\",\"media\":{\"payload\":\"";
		size_t len = strlen(text);
		struct twilio_message m;

		for (size_t i = 0; i < count; i++)
			ulaw[i] = tap_below(2) == 0 ? 0xFF : (uint8_t) tap_random();

		size_t plain_len = base64_encode(ulaw, count, plain);

		for (size_t i = 0; i < plain_len; i++)
		{
			if (plain[i] == '/')
				text[len++] = '\\';
			text[len++] = plain[i];
		}
		memcpy(text + len, "\"}}", 3);

		char *exact = tap_exact(text, len + 3);

		check_that(twilio_stream_parse(exact, len + 3, &m, NULL) == TWILIO_MEDIA);
		check_that(twilio_stream_audio(&m, back, count) == (ssize_t) count);
		check_that(memcmp(back, ulaw, count) == 0);
		if (count > 0)
			check_that(twilio_stream_audio(&m, back, count - 1) == -1);
		free(exact);
	}
	checked("payloads with escaped slashes are decoded");
}

int
main(void)
{
	plan(0);
	messages();
	malformed();
	paths_agree();
	printing();
	printing_fits();
	escaped_audio();
	return done();
}
