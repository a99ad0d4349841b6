/*
 * ws_frame.h: the WebSocket frame of RFC 6455, section 5: bytes to struct and back. Pure.
 */
#ifndef VA_NET_WS_FRAME_H
#define VA_NET_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ws_opcode
{
	WS_OP_CONTINUATION = 0,
	WS_OP_TEXT = 1,
	WS_OP_BINARY = 2,
	WS_OP_CLOSE = 8,
	WS_OP_PING = 9,
	WS_OP_PONG = 10
};

#define WS_FRAME_HEADER_MAX 14 /* two bytes, eight of length, four of mask */
#define WS_CONTROL_MAX 125

struct ws_frame
{
	enum ws_opcode opcode;
	bool fin;
	bool masked;
	uint8_t mask[4];
	size_t header_len;
	uint64_t payload_len;
};

enum ws_parse
{
	WS_PARSE_OK,
	WS_PARSE_MORE, /* the header is not complete */
	WS_PARSE_BAD /* reserved bits or opcode, a broken control frame, a wasteful length */
};

/* Reads the header at data. */
enum ws_parse ws_frame_parse(const char *data, size_t len, struct ws_frame *frame);

/* Applies the mask in place (its own inverse). */
void ws_frame_mask(char *data, size_t len, const uint8_t mask[4]);

/* Writes the header so that it ends right before `payload` and returns where it starts; there
 * must be WS_FRAME_HEADER_MAX bytes before payload. mask NULL: unmasked (a server's). */
char *ws_frame_header(char *payload, size_t payload_len, enum ws_opcode opcode,
					  const uint8_t *mask);

/* True for a code that may stand in a close frame. */
bool ws_close_code_valid(int code);

bool ws_utf8_valid(const char *data, size_t len);

#endif
