/*
 * ws_frame.c: see ws_frame.h. Strict where the RFC says a peer MUST: a peer that breaks framing
 * cannot be trusted about where the next frame starts. Source: RFC 6455, sections 5.2 to 5.5, 7.4
 * and 8.1.
 */
#include "net/ws_frame.h"

#include <string.h>

static bool
opcode_known(unsigned opcode)
{
	return opcode <= WS_OP_BINARY || (opcode >= WS_OP_CLOSE && opcode <= WS_OP_PONG);
}

static uint64_t
big_endian(const unsigned char *b, unsigned count)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < count; i++)
		value = value << 8 | b[i];
	return value;
}

enum ws_parse
ws_frame_parse(const char *data, size_t len, struct ws_frame *frame)
{
	const unsigned char *b = (const unsigned char *) data;
	unsigned length_bytes;

	if (len < 2)
		return WS_PARSE_MORE;
	if ((b[0] & 0x70) != 0 || !opcode_known(b[0] & 0x0f))
		return WS_PARSE_BAD;
	frame->fin = (b[0] & 0x80) != 0;
	frame->opcode = (enum ws_opcode)(b[0] & 0x0f);
	frame->masked = (b[1] & 0x80) != 0;
	frame->payload_len = b[1] & 0x7f;
	if (frame->opcode >= WS_OP_CLOSE && (!frame->fin || frame->payload_len > WS_CONTROL_MAX))
		return WS_PARSE_BAD;
	length_bytes = frame->payload_len == 126 ? 2 : frame->payload_len == 127 ? 8 : 0;
	frame->header_len = 2 + length_bytes + (frame->masked ? 4 : 0);
	if (len < frame->header_len)
		return WS_PARSE_MORE;
	if (length_bytes != 0)
	{
		frame->payload_len = big_endian(b + 2, length_bytes);
		if (frame->payload_len < (length_bytes == 2 ? 126 : 65536) ||
			frame->payload_len > INT64_MAX)
			return WS_PARSE_BAD;
	}
	if (frame->masked)
		memcpy(frame->mask, b + 2 + length_bytes, 4);
	return WS_PARSE_OK;
}

void
ws_frame_mask(char *data, size_t len, const uint8_t mask[4])
{
	uint64_t wide;
	uint32_t narrow;
	size_t i = 0;

	memcpy(&narrow, mask, 4);
	wide = (uint64_t) narrow << 32 | narrow;
	for (; i + 8 <= len; i += 8)
	{
		uint64_t word;

		memcpy(&word, data + i, 8);
		word ^= wide;
		memcpy(data + i, &word, 8);
	}
	for (; i < len; i++)
		data[i] = (char) (data[i] ^ (char) mask[i & 3]);
}

char *
ws_frame_header(char *payload, size_t payload_len, enum ws_opcode opcode, const uint8_t *mask)
{
	unsigned char *p = (unsigned char *) payload;
	unsigned char flag = mask != NULL ? 0x80 : 0;

	if (mask != NULL)
	{
		p -= 4;
		memcpy(p, mask, 4);
	}
	if (payload_len < 126)
		*--p = (unsigned char) (flag | payload_len);
	else if (payload_len < 65536)
	{
		*--p = (unsigned char) (payload_len & 0xff);
		*--p = (unsigned char) (payload_len >> 8);
		*--p = flag | 126;
	}
	else
	{
		uint64_t rest = payload_len;

		for (int i = 0; i < 8; i++)
		{
			*--p = (unsigned char) (rest & 0xff);
			rest >>= 8;
		}
		*--p = flag | 127;
	}
	*--p = (unsigned char) (0x80 | opcode);
	return (char *) p;
}

bool
ws_close_code_valid(int code)
{
	if (code >= 3000 && code <= 4999)
		return true;
	return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}

/* Length of the sequence at s, which has left bytes; 0 when it is none. */
static size_t
sequence_length(const unsigned char *s, size_t left)
{
	size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	uint32_t point;

	if (s[0] < 0xc2 || s[0] > 0xf4 || left < len)
		return 0;
	point = s[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++)
	{
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (s[i] & 0x3fu);
	}
	if ((len == 3 && point < 0x800) || (len == 4 && point < 0x10000))
		return 0;
	if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
		return 0;
	return len;
}

bool
ws_utf8_valid(const char *data, size_t len)
{
	const unsigned char *s = (const unsigned char *) data;
	size_t i = 0;

	while (i < len)
	{
		uint64_t word;
		size_t step;

		/* Nearly all text here is ASCII: eight bytes at a time. */
		while (i + 8 <= len)
		{
			memcpy(&word, s + i, 8);
			if ((word & UINT64_C(0x8080808080808080)) != 0)
				break;
			i += 8;
		}
		if (i >= len)
			break;
		if (s[i] < 0x80)
		{
			i++;
			continue;
		}
		step = sequence_length(s + i, len - i);
		if (step == 0)
			return false;
		i += step;
	}
	return true;
}
