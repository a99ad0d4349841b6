/*
 * playback.h: how much of what we sent has the caller heard?
 *
 * Twilio queues our audio and plays it in real time; bytes sent are not bytes heard. So a mark
 * named "<generation>:<milliseconds>" goes out after about every 200 ms of audio, and Twilio echoes
 * it when everything before it was played. Between echoes the clock carries on, never beyond what
 * was sent. `clear` makes Twilio echo all pending marks at once: each clear therefore begins a new
 * generation, and echoes of older ones mean nothing.
 *
 * Source: Twilio's page "Media Streams - WebSocket messages" (mark, clear).
 */
#ifndef VA_GATEWAY_PLAYBACK_H
#define VA_GATEWAY_PLAYBACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAYBACK_MARK_BYTES 1600 /* 200 ms of mu-law at 8 kHz */
#define PLAYBACK_BYTES_PER_MS 8

struct playback
{
	uint32_t generation;
	uint64_t sent; /* bytes of mu-law in this generation */
	uint64_t marked; /* of these, covered by a mark already sent */
	uint64_t base_ms; /* heard at base_us */
	uint64_t base_us;
	uint64_t echoed_ms; /* the furthest mark that came back */
};

/* count bytes of audio went to Twilio at now_us (monotonic). */
void playback_sent(struct playback *p, size_t count, uint64_t now_us);

/* Is a mark due? `end` asks for one after the last audio of an utterance, however short. */
bool playback_mark_due(const struct playback *p, bool end);
/* Writes the name of a mark at the present position, NUL-terminated, and counts it as sent. */
void playback_mark(struct playback *p, char *name, size_t size);
/* Twilio echoed a mark. False when it belongs to another generation or is not one of ours. */
bool playback_echo(struct playback *p, const char *name, uint64_t now_us);

/* Milliseconds of this generation sent, and heard by now_us at the best of our knowledge. */
uint64_t playback_sent_ms(const struct playback *p);
uint64_t playback_heard_ms(const struct playback *p, uint64_t now_us);
bool playback_playing(const struct playback *p, uint64_t now_us);
/* Did Twilio confirm that all of it was played? */
bool playback_confirmed(const struct playback *p);

/* `clear` is being sent: what was not heard never will be. */
void playback_clear(struct playback *p, uint64_t now_us);

#endif
