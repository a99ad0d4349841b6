/*
 * base64.c: RFC 4648 section 4, written for the media path.
 *
 * Encoding takes twelve bits at a time from a table of all pairs of characters; decoding gathers
 * the errors of the whole text and looks at them once, so neither loop has a branch a byte.
 */
#include "core/base64.h"

#include <string.h>

/* All 4,096 pairs, in order: the first character changes slowest. Built by the compiler. */
#define PAIRS8(a, c0, c1, c2, c3, c4, c5, c6, c7) a c0 a c1 a c2 a c3 a c4 a c5 a c6 a c7
#define PAIRS(a)                                                                                   \
	PAIRS8(a, "A", "B", "C", "D", "E", "F", "G", "H")                                              \
	PAIRS8(a, "I", "J", "K", "L", "M", "N", "O", "P")                                              \
	PAIRS8(a, "Q", "R", "S", "T", "U", "V", "W", "X")                                              \
	PAIRS8(a, "Y", "Z", "a", "b", "c", "d", "e", "f")                                              \
	PAIRS8(a, "g", "h", "i", "j", "k", "l", "m", "n")                                              \
	PAIRS8(a, "o", "p", "q", "r", "s", "t", "u", "v")                                              \
	PAIRS8(a, "w", "x", "y", "z", "0", "1", "2", "3")                                              \
	PAIRS8(a, "4", "5", "6", "7", "8", "9", "+", "/")
#define PAIRS_OF8(c0, c1, c2, c3, c4, c5, c6, c7)                                                  \
	PAIRS(c0) PAIRS(c1) PAIRS(c2) PAIRS(c3) PAIRS(c4) PAIRS(c5) PAIRS(c6) PAIRS(c7)

static const char pairs[4096 * 2 + 1] = PAIRS_OF8("A", "B", "C", "D", "E", "F", "G", "H")
	PAIRS_OF8("I", "J", "K", "L", "M", "N", "O", "P")
		PAIRS_OF8("Q", "R", "S", "T", "U", "V", "W", "X")
			PAIRS_OF8("Y", "Z", "a", "b", "c", "d", "e", "f")
				PAIRS_OF8("g", "h", "i", "j", "k", "l", "m", "n")
					PAIRS_OF8("o", "p", "q", "r", "s", "t", "u", "v")
						PAIRS_OF8("w", "x", "y", "z", "0", "1", "2", "3")
							PAIRS_OF8("4", "5", "6", "7", "8", "9", "+", "/");

#define FOREIGN 0x80 /* set in no value of the alphabet */

#define XX FOREIGN
/* clang-format off */
static const uint8_t values[256] = {
	XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
	XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
	XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, 62, XX, XX, XX, 63,
	52, 53, 54, 55, 56, 57, 58, 59, 60, 61, XX, XX, XX, XX, XX, XX,
	XX,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14,
	15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, XX, XX, XX, XX, XX,
	XX, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
	41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, XX, XX, XX, XX, XX,
	XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
	XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
	XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
	XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
	XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
	XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
	XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
	XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX
};
/* clang-format on */

static void
encode_group(unsigned bits, char *out)
{
	memcpy(out, pairs + (bits >> 12) * 2, 2);
	memcpy(out + 2, pairs + (bits & 0xFFF) * 2, 2);
}

size_t
base64_encode(const uint8_t *data, size_t len, char *out)
{
	char *start = out;

	for (; len >= 3; len -= 3, data += 3, out += 4)
		encode_group((unsigned) data[0] << 16 | (unsigned) data[1] << 8 | data[2], out);
	if (len > 0)
	{
		encode_group((unsigned) data[0] << 16 | (len == 2 ? (unsigned) data[1] << 8 : 0), out);
		out[3] = '=';
		if (len == 1)
			out[2] = '=';
		out += 4;
	}
	return (size_t) (out - start);
}

/* Decodes groups of four characters, none of them padding; returns what the errors leave set. */
static unsigned
decode_groups(const uint8_t *in, size_t groups, uint8_t *out)
{
	unsigned errors = 0;

	for (; groups > 0; groups--, in += 4, out += 3)
	{
		unsigned a = values[in[0]];
		unsigned b = values[in[1]];
		unsigned c = values[in[2]];
		unsigned d = values[in[3]];

		errors |= a | b | c | d;
		out[0] = (uint8_t) (a << 2 | b >> 4);
		out[1] = (uint8_t) (b << 4 | c >> 2);
		out[2] = (uint8_t) (c << 6 | d);
	}
	return errors & FOREIGN;
}

/* The last group when it is padded; padding is 1 or 2. */
static unsigned
decode_padded(const uint8_t *in, size_t padding, uint8_t *out)
{
	unsigned a = values[in[0]];
	unsigned b = values[in[1]];
	unsigned c = padding == 1 ? values[in[2]] : 0;
	unsigned unused = padding == 1 ? c & 0x03 : b & 0x0F;

	out[0] = (uint8_t) (a << 2 | b >> 4);
	if (padding == 1)
		out[1] = (uint8_t) (b << 4 | c >> 2);
	return ((a | b | c) & FOREIGN) | unused;
}

ssize_t
base64_decode(const char *text, size_t len, uint8_t *out, size_t size)
{
	const uint8_t *in = (const uint8_t *) text;
	size_t groups = len / 4;
	size_t padding = 0;

	if (len % 4 != 0)
		return -1;
	if (len == 0)
		return 0;
	if (in[len - 1] == '=')
		padding = in[len - 2] == '=' ? 2 : 1;

	size_t total = groups * 3 - padding;

	if (total > size)
		return -1;
	if (padding > 0)
		groups--;
	if (decode_groups(in, groups, out) != 0)
		return -1;
	if (padding > 0 && decode_padded(in + groups * 4, padding, out + groups * 3) != 0)
		return -1;
	return (ssize_t) total;
}
