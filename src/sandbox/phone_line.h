/*
 * phone_line.h: what Twilio does with the audio that a server sends into a stream.
 *
 * Audio is queued and played in real time. A mark is echoed when all audio before it has been
 * played, at once when nothing is queued. `clear` drops what is queued and echoes every waiting
 * mark. Source: twilio.com/docs/voice/media-streams/websocket-messages.
 */
#ifndef VA_SANDBOX_PHONE_LINE_H
#define VA_SANDBOX_PHONE_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PHONE_LINE_FRAME 160 /* bytes of 20 ms */
#define PHONE_LINE_MAX (10 * 60 * 8000) /* bytes queued: ten minutes, the rest is discarded */

struct phone_line;

/* echo: a mark is due to be sent back; heard tells whether its audio was played (not cleared). */
struct phone_line *phone_line_new(void (*echo)(void *arg, const char *name, bool heard), void *arg);
void phone_line_free(struct phone_line *line);

/* mu-law; false when the queue was full and something was discarded. */
bool phone_line_media(struct phone_line *line, const uint8_t *audio, size_t count);
void phone_line_mark(struct phone_line *line, const char *name);
/* Returns how many bytes were dropped. */
size_t phone_line_clear(struct phone_line *line);

/* Plays the next 20 ms into out (what is missing is silence); returns the bytes of real audio. */
size_t phone_line_play(struct phone_line *line, uint8_t out[PHONE_LINE_FRAME]);

size_t phone_line_queued(const struct phone_line *line);
unsigned phone_line_marks(const struct phone_line *line); /* waiting ones */

#endif
