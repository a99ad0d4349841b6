/* base64: the vectors of RFC 4648, strictness, and that decoding undoes encoding. */
#include "core/base64.h"

#include "tap.h"

static void
vectors(void)
{
	static const struct
	{
		const char *data;
		const char *text;
	} cases[] = {
		{"", ""},
		{"f", "Zg=="},
		{"fo", "Zm8="},
		{"foo", "Zm9v"},
		{"foob", "Zm9vYg=="},
		{"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"},
		{"\xFF\xFF\xFF\xFF", "/////w=="},
		{"\xFB\xEF\xBE", "++++"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		size_t len = strlen(cases[i].data);
		char text[16];
		uint8_t data[16];
		size_t written = base64_encode((const uint8_t *) cases[i].data, len, text);

		text[written] = '\0';
		is_str(text, cases[i].text, "encode case %zu", i);
		is_int((int64_t) BASE64_LENGTH(len), (int64_t) strlen(cases[i].text), "length %zu", i);
		is_int(base64_decode(cases[i].text, written, data, len), (int64_t) len, "decode %zu", i);
		ok(memcmp(data, cases[i].data, len) == 0, "decoded bytes %zu", i);
	}
}

static void
refusals(void)
{
	static const char *const bad[] = {
		"A",	"AA",		"AAA",		"AAAAA",	"====",		"A===",		"AA=A",
		"=AAA", "AAA=AAAA", "AA==AAAA", "Zh==",		"Zm9=",		"Zm 9",		"Zm\n9",
		"Zm-9", "Zm_9",		"Zm\x80z",	"Zm9v====", "AAAA=AAA", "AA==AA==",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		size_t len = strlen(bad[i]);
		char *text = tap_exact(bad[i], len);
		uint8_t out[16];

		is_int(base64_decode(text, len, out, sizeof(out)), -1, "refused: %s", bad[i]);
		free(text);
	}
	is_int(base64_decode("AA\0=", 4, (uint8_t[4]){0}, 4), -1, "refused: NUL");

	uint8_t two[2];

	is_int(base64_decode("Zm9v", 4, two, 2), -1, "refused: no room");
	is_int(base64_decode("Zm8=", 4, two, 2), 2, "exactly enough room");
}

/* Each of the 256 characters alone in a group. */
static void
every_character(void)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t out[3];

	for (int c = 0; c < 256; c++)
		for (int place = 0; place < 4; place++)
		{
			char text[4] = {'A', 'A', 'A', 'A'};
			const char *found = c != 0 ? strchr(alphabet, c) : NULL;
			/* "AAA=" is a good text too. */
			bool good = found != NULL || (c == '=' && place == 3);

			text[place] = (char) c;
			if (check_that((base64_decode(text, 4, out, 3) >= 0) == good) && found != NULL)
			{
				uint32_t bits = (uint32_t) (found - alphabet) << (6 * (3 - place));

				check_that(((uint32_t) out[0] << 16 | (uint32_t) out[1] << 8 | out[2]) == bits);
			}
		}
	checked("every character in every place");
}

static void
round_trip(void)
{
	for (int round = 0; round < 5000; round++)
	{
		size_t len = tap_below(200);
		uint8_t *data = (uint8_t *) tap_exact("", 0);
		char *text = malloc(BASE64_LENGTH(len) + 1);
		uint8_t *back = malloc(len + 1);

		data = realloc(data, len + 1);
		for (size_t i = 0; i < len; i++)
			data[i] = (uint8_t) tap_random();

		size_t written = base64_encode(data, len, text);
		char *exact = tap_exact(text, written);

		check_that(written == BASE64_LENGTH(len));
		check_that(base64_decode(exact, written, back, len) == (ssize_t) len);
		check_that(memcmp(data, back, len) == 0);
		if (len > 0)
			check_that(base64_decode(exact, written, back, len - 1) == -1);

		/* There is one spelling only: another text that decodes must decode differently. */
		if (written > 0)
		{
			exact[tap_below(written)] ^= (char) (1 << tap_below(7));

			ssize_t other = base64_decode(exact, written, back, len);

			if (other == (ssize_t) len && memcmp(exact, text, written) != 0)
				check_that(memcmp(data, back, len) != 0);
		}
		free(data);
		free(text);
		free(back);
		free(exact);
	}
	checked("decoding undoes encoding, and no two texts mean the same");
}

int
main(void)
{
	plan(0);
	vectors();
	refusals();
	every_character();
	round_trip();
	return done();
}
