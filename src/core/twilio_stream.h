/*
 * twilio_stream.h: the messages of a Twilio media stream (bidirectional <Connect><Stream>).
 *
 * Media messages are 50 a second and call, so they take a path without allocation that looks only
 * for what it needs; every other message, and every media message that does not have the usual
 * shape, goes through the strict JSON parser. Unknown events and members are ignored, as Twilio
 * adds them without notice. Numbers may arrive as strings or numbers.
 */
#ifndef VA_CORE_TWILIO_STREAM_H
#define VA_CORE_TWILIO_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/error.h"

#define TWILIO_SID_SIZE 64
#define TWILIO_TOKEN_SIZE 96
#define TWILIO_MARK_SIZE 48
#define TWILIO_MAX_MESSAGE (64 * 1024) /* largest message accepted from Twilio, bytes */

enum twilio_event
{
	TWILIO_MALFORMED, /* not JSON, or a member of the wrong type: see the error */
	TWILIO_UNKNOWN, /* well-formed, but an event we do not know: to be ignored */
	TWILIO_CONNECTED,
	TWILIO_START,
	TWILIO_MEDIA,
	TWILIO_DTMF,
	TWILIO_MARK,
	TWILIO_STOP
};

struct twilio_message
{
	enum twilio_event event;
	/* TWILIO_MEDIA: base64 of mu-law, a part of the parsed text, and ms since the stream began.
	 * Where the sender wrote "\/" for "/" (some JSON writers do) the payload has it too:
	 * twilio_stream_audio decodes both. */
	const char *payload;
	size_t payload_len;
	uint64_t timestamp_ms;
	bool outbound_track; /* audio we sent ourselves: not to be bridged */
	/* TWILIO_START */
	char stream_sid[TWILIO_SID_SIZE];
	char call_sid[TWILIO_SID_SIZE];
	char account_sid[TWILIO_SID_SIZE];
	char token[TWILIO_TOKEN_SIZE]; /* customParameters.token, "" when absent */
	bool is_ulaw_8k_mono; /* mediaFormat is audio/x-mulaw, 8000, 1 (or absent) */
	/* TWILIO_DTMF: one of 0-9 * # A-D */
	char digit;
	/* TWILIO_MARK */
	char mark[TWILIO_MARK_SIZE];
};

/* Parses one text message. Never reads beyond len; `out` may point into `text`. */
enum twilio_event twilio_stream_parse(const char *text, size_t len, struct twilio_message *out,
									  struct va_error *err);

/* Decodes the payload of a media message into out, which holds size bytes. Returns the number of
 * mu-law bytes, or -1 when it is not base64 or does not fit. */
ssize_t twilio_stream_audio(const struct twilio_message *message, uint8_t *out, size_t size);

/* Bytes that twilio_stream_media needs for `count` mu-law bytes (an upper bound). */
#define TWILIO_MEDIA_BOUND(count) (96 + TWILIO_SID_SIZE + ((count) + 2) / 3 * 4)

/* The three messages a server may send. Each returns the length written, without NUL, or 0 when it
 * would not fit. stream_sid and mark consist of characters that need no JSON escape, else 0. */
size_t twilio_stream_media(char *out, size_t size, const char *stream_sid, const uint8_t *ulaw,
						   size_t count);
size_t twilio_stream_mark(char *out, size_t size, const char *stream_sid, const char *mark);
size_t twilio_stream_clear(char *out, size_t size, const char *stream_sid);

#endif
