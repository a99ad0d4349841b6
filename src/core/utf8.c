/*
 * utf8.c: well-formedness of UTF-8, by the table of byte ranges in RFC 3629, section 4.
 *
 * PostgreSQL refuses anything else, and two parsers that disagree about broken sequences are how
 * a filter is walked around; so whatever enters is checked once, here.
 */
#include "core/utf8.h"

#include <stdint.h>
#include <string.h>

/* True for a continuation byte within [low, high]. */
static bool
follows(unsigned char c, unsigned char low, unsigned char high)
{
	return c >= low && c <= high;
}

size_t
utf8_sequence(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *) text;
	unsigned char low = 0x80;
	unsigned char high = 0xBF;
	size_t length;

	if (len == 0)
		return 0;
	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xC2 || s[0] > 0xF4)
		return 0;

	length = s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
	if (len < length)
		return 0;
	switch (s[0])
	{
		case 0xE0: low = 0xA0; break; /* overlong */
		case 0xED: high = 0x9F; break; /* surrogates */
		case 0xF0: low = 0x90; break; /* overlong */
		case 0xF4: high = 0x8F; break; /* above U+10FFFF */
	}
	if (!follows(s[1], low, high))
		return 0;
	for (size_t i = 2; i < length; i++)
		if (!follows(s[i], 0x80, 0xBF))
			return 0;
	return length;
}

bool
utf8_valid(const char *text, size_t len)
{
	size_t at = 0;

	while (at < len)
	{
		uint64_t word;

		/* Nearly all text is ASCII: eight characters a step. */
		while (len - at >= sizeof(word))
		{
			memcpy(&word, text + at, sizeof(word));
			if (word & UINT64_C(0x8080808080808080))
				break;
			at += sizeof(word);
		}
		if (at == len)
			break;

		size_t length = utf8_sequence(text + at, len - at);

		if (length == 0)
			return false;
		at += length;
	}
	return true;
}

size_t
utf8_cut(const char *text, size_t len)
{
	/* Back over at most three continuation bytes to the character's first byte. */
	for (size_t back = 1; back <= 4 && back <= len; back++)
	{
		unsigned char c = (unsigned char) text[len - back];

		if (c < 0x80)
			return len;
		if (c >= 0xC0)
			return utf8_sequence(text + len - back, back) == back ? len : len - back;
	}
	return len;
}
