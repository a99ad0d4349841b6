/*
 * wire.h: the few bytes-on-the-wire helpers that the load generator and the bare relay share.
 *
 * Deliberately not the code of src/core: a mistake there must not be able to hide behind the same
 * mistake in the instrument that measures it. Little-endian machines only, as the audio is.
 */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "audio is copied, not converted");

#define FRAME_SAMPLES 160 /* 20 ms at 8 kHz */
#define FRAME_PCM_BYTES (FRAME_SAMPLES * 2) /* s16le */
#define FRAME_NS UINT64_C(20000000) /* 20 ms */
#define B64_LENGTH(n) (((n) + 2) / 3 * 4)
#define WS_MAX_HEADER 14

enum ws_opcode
{
	WS_TEXT = 1,
	WS_BINARY = 2,
	WS_CLOSE = 8,
	WS_PING = 9,
	WS_PONG = 10
};

struct ws_frame
{
	unsigned opcode;
	uint8_t *data; /* inside the parsed buffer, unmasked */
	size_t len;
};

struct url
{
	char host[64];
	char path[256]; /* with the query, at least "/" */
	uint16_t port;
};

/* CLOCK_MONOTONIC, ns: the same clock in every process of the machine. */
uint64_t clock_ns(void);

/* G.711 mu-law tables; wire_init fills them and must run first. */
extern int16_t ulaw_to_pcm[256];
extern uint8_t pcm_to_ulaw[65536]; /* index: the sample as uint16_t */
void wire_init(void);

/* RFC 4648. Encode writes B64_LENGTH(len) characters, no NUL. Decode returns -1 when the text is
 * not base64 or does not fit. */
size_t b64_encode(const uint8_t *data, size_t len, char *out);
ssize_t b64_decode(const char *text, size_t len, uint8_t *out, size_t size);

/* RFC 6455. Writes the header of one unfragmented frame; with a mask the key follows it and the
 * payload must be passed through ws_mask. Returns the header's length. */
size_t ws_header(uint8_t *out, unsigned opcode, size_t len, const uint8_t *mask);
void ws_mask(uint8_t *data, size_t len, const uint8_t *mask);

/* Takes one frame from the buffer. Returns the bytes consumed, 0 when more are needed, -1 when the
 * peer sent what we do not accept (a fragment, a frame above 64 KiB). */
ssize_t ws_parse(uint8_t *buffer, size_t len, struct ws_frame *frame);

/* Sec-WebSocket-Accept of a key; out takes 28 characters and a NUL. */
void ws_accept_key(const char *key, size_t len, char out[29]);

/* X-Twilio-Signature: base64(HMAC-SHA1(token, text)), 28 characters and a NUL. */
void twilio_sign(const char *token, const char *text, char out[29]);

/* http://host:port/path, https, ws or wss; false when it is none or too long. */
bool url_parse(const char *text, size_t len, struct url *out);

/* Value of a header (name in lower case) of a complete HTTP head; NULL when absent. */
const char *http_header(const char *head, size_t head_len, const char *name, size_t *value_len);

/* Length of the head up to and including the empty line, 0 when incomplete. */
size_t http_head_length(const char *text, size_t len);

/* Sockets: non-blocking, close-on-exec, no delay; -1 with a message on stderr. */
int tcp_listen(uint16_t port); /* 127.0.0.1; 0 = any free port */
uint16_t tcp_port(int fd); /* the port a listening socket got */
int tcp_accept(int listener); /* -1 when nobody waits */
int tcp_connect(const char *host, uint16_t port);
void raise_file_limit(void);

#endif
