/*
 * load_check.c: tests of the instrument's own parts, as TAP: the numbers a benchmark prints are
 * worth what its ruler is worth.
 */
#define _GNU_SOURCE
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tests, failures;

static void
ok(bool good, const char *name)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, name);
	failures += !good;
}

static void
check_g711(void)
{
	static const struct
	{
		uint8_t code;
		int16_t sample;
	} expand[] = {{0xFF, 0},	 {0x7F, 0},	  {0x00, -32124}, {0x80, 32124}, {0xAA, 5372},
				  {0x2A, -5372}, {0xD5, 716}, {0x55, -716},	  {0xE7, 260}},
	  compress[] = {{0xFF, 0},	  {0xFF, 1},	 {0x7F, -1},	{0xF2, 100},
					{0xCE, 1000}, {0x4E, -1000}, {0x80, 32767}, {0x00, -32768}};
	bool good = true, back = true;

	for (size_t i = 0; i < sizeof(expand) / sizeof(expand[0]); i++)
		good &= ulaw_to_pcm[expand[i].code] == expand[i].sample;
	for (size_t i = 0; i < sizeof(compress) / sizeof(compress[0]); i++)
		good &= pcm_to_ulaw[(uint16_t) compress[i].sample] == compress[i].code;
	ok(good, "mu-law has the values of G.711");
	for (unsigned code = 0; code < 256; code++)
		back &= code == 0x7F || pcm_to_ulaw[(uint16_t) ulaw_to_pcm[code]] == code;
	ok(back, "every mu-law code but 0x7F survives s16");
}

static void
check_pattern(void)
{
	static uint8_t seen[256];
	uint8_t ulaw[FRAME_SAMPLES], pcm[FRAME_PCM_BYTES];
	uint32_t call, sequence;
	bool good = true, same = true, caught = true;
	unsigned used = 0;

	for (uint32_t c = 0; c < TRACK_MAX_CALLS; c += 37)
		for (uint32_t s = 0; s < 100000; s = s * 2 + 1)
		{
			pattern_ulaw(c, s, ulaw);
			pattern_pcm(c, s, pcm);
			good &= pattern_read(ulaw + FRAME_SAMPLES - PATTERN_CODES, &call, &sequence) &&
					call == c && sequence == s;
			for (unsigned i = 0; i < FRAME_SAMPLES; i++)
			{
				int16_t sample = (int16_t) (pcm[2 * i] | pcm[2 * i + 1] << 8);

				seen[ulaw[i]] = 1;
				same &= pcm_to_ulaw[(uint16_t) sample] == ulaw[i] && sample == ulaw_to_pcm[ulaw[i]];
			}
			ulaw[s % PATTERN_CODES] ^= (uint8_t) (1 << (c % 8));
			caught &= !pattern_read(ulaw, &call, &sequence);
		}
	for (unsigned i = 0; i < 256; i++)
		used += seen[i];
	ok(good, "a frame tells its call and number");
	ok(same, "a frame survives mu-law to s16 and back");
	ok(caught, "one wrong bit is seen");
	ok(used == 240 && !seen[0x7F], "frames use 240 codes, and never 0x7F");
}

static void
check_wire(void)
{
	static const uint8_t hello[] = {0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d,
									0x7f, 0x9f, 0x4d, 0x51, 0x58};
	uint8_t buffer[1024];
	struct ws_frame frame;
	char text[64], sig[29];
	uint8_t raw[16];
	size_t header;

	ok(b64_encode((const uint8_t *) "foobar", 6, text) == 8 && memcmp(text, "Zm9vYmFy", 8) == 0 &&
		   b64_encode((const uint8_t *) "foob", 4, text) == 8 && memcmp(text, "Zm9vYg==", 8) == 0,
	   "base64 is that of RFC 4648");
	ok(b64_decode("Zm9vYg==", 8, raw, sizeof(raw)) == 4 && memcmp(raw, "foob", 4) == 0 &&
		   b64_decode("Zm9*Yg==", 8, raw, sizeof(raw)) == -1,
	   "base64 is read, and refused when it is none");
	memcpy(buffer, hello, sizeof(hello));
	ok(ws_parse(buffer, sizeof(hello) - 1, &frame) == 0 &&
		   ws_parse(buffer, sizeof(hello), &frame) == sizeof(hello) && frame.len == 5 &&
		   memcmp(frame.data, "Hello", 5) == 0,
	   "the masked frame of RFC 6455 is read");
	header = ws_header(buffer, WS_BINARY, 320, hello + 2);
	memset(buffer + header, 7, 320);
	ws_mask(buffer + header, 320, hello + 2);
	ok(ws_parse(buffer, header + 320, &frame) == (ssize_t) header + 320 && frame.len == 320 &&
		   frame.data[0] == 7 && frame.data[319] == 7,
	   "a frame of audio is written and read");
	ws_accept_key("dGhlIHNhbXBsZSBub25jZQ==", 24, sig);
	ok(strcmp(sig, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") == 0, "the accept key is that of RFC 6455");
	twilio_sign("12345",
				"https://example.com/myapp.php?foo=1&bar=2CallSidCA1234567890ABCDECaller"
				"+14158675310Digits1234From+14158675310To+18005551212",
				sig);
	ok(strcmp(sig, "L/OH5YylLD5NRKLltdqwSvS0BnU=") == 0, "the signature is Twilio's");
}

static void
check_histogram(void)
{
	static struct histogram h;
	uint64_t p50, p99;

	for (uint64_t i = 1; i <= 100000; i++)
		histogram_add(&h, i * 1000);
	p50 = histogram_percentile(&h, 50);
	p99 = histogram_percentile(&h, 99);
	ok(h.min == 1000 && h.max == 100000000 && h.count == 100000, "a histogram keeps its extremes");
	ok(p50 >= 50000000 && p50 <= 51600000 && p99 >= 99000000 && p99 <= 100000000,
	   "percentiles are at most 3 % above the truth");
}

/* Frames by hand: two arrive, one is doubled, one is lost, two change places. */
static void
check_tracking(void)
{
	struct shared *s = calloc(1, sizeof(*s));
	struct track_stream stream = {.peer = -1};
	static const uint32_t arrives[] = {0, 1, 1, 3, 5, 4};
	uint8_t pcm[FRAME_PCM_BYTES];
	struct direction *d;

	if (s == NULL)
		abort();
	s->window_end = UINT64_MAX;
	d = &s->direction[TO_ENGINE];
	for (uint32_t i = 0; i < 6; i++)
		track_sent(s, TO_ENGINE, 9, i, 0);
	for (unsigned i = 0; i < 6; i++)
	{
		pattern_pcm(9, arrives[i], pcm);
		track_received(s, TO_ENGINE, &stream, pcm, 100); /* cut in two */
		track_received(s, TO_ENGINE, &stream, pcm + 100, sizeof(pcm) - 100);
	}
	ok(d->sent == 6 && d->received == 5 && d->duplicate == 1 && d->reordered == 1 &&
		   d->corrupt == 0 && d->foreign == 0,
	   "lost, doubled and swapped frames are told apart");
	pattern_pcm(8, 0, pcm);
	track_received(s, TO_ENGINE, &stream, pcm, sizeof(pcm));
	pcm[300] ^= 1;
	track_received(s, TO_ENGINE, &stream, pcm, sizeof(pcm));
	memset(pcm, 0, sizeof(pcm));
	track_received(s, TO_ENGINE, &stream, pcm, sizeof(pcm));
	ok(d->foreign == 1 && d->corrupt == 1 && d->silence == 1 && d->received == 5,
	   "another call's frame, a spoilt one and silence are told apart");
	free(s);
}

static void
check_answer(void)
{
	char url[64], token[64];

	ok(answer_parse("<Response><Connect><Stream url=\"ws://127.0.0.1:8080/media-stream\" "
					"statusCallback=\"http://x/y\"><Parameter name=\"token\" value=\"t0\"/>"
					"</Stream></Connect></Response>",
					url, sizeof(url), token, sizeof(token)) &&
		   strcmp(url, "ws://127.0.0.1:8080/media-stream") == 0 && strcmp(token, "t0") == 0,
	   "stream URL and token are found in TwiML");
	ok(!answer_parse("<Response><Reject/></Response>", url, sizeof(url), token, sizeof(token)),
	   "a rejection is no stream");
}

int
load_check(void)
{
	check_g711();
	check_pattern();
	check_wire();
	check_histogram();
	check_tracking();
	check_answer();
	printf("1..%d\n", tests);
	return failures != 0;
}
