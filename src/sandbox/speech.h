/*
 * speech.h: sentences as audio.
 *
 * Speech is synthesised by espeak-ng or flite, at build time (`sandbox speech`, one WAV file a
 * sentence and voice, named by their hash) or, when a sentence is not there, in the moment it is
 * first needed. It is trimmed, brought to one loudness, and silences inside it are shortened to
 * less than any detector's hangover, so that one sentence is always one turn.
 */
#ifndef VA_SANDBOX_SPEECH_H
#define VA_SANDBOX_SPEECH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPEECH_RATE 8000

struct speech
{
	int16_t *pcm; /* owned by the store */
	size_t count;
	unsigned rate;
};

struct speech_store;

/* dir: where prepared files are looked for, or NULL. engine: "espeak-ng" or "flite". */
struct speech_store *speech_store_new(const char *dir, const char *engine);
void speech_store_free(struct speech_store *store);

/* The sentence at rate Hz. Blocks for some 20 ms when it must be synthesised: ask for all of a
 * conversation before its audio starts. NULL with the reason, which names what to install. */
const struct speech *speech_get(struct speech_store *store, const char *voice, const char *text,
								unsigned rate, char *error, size_t size);

/* Another rate by speexdsp; *out is the caller's to free. */
bool speech_resample(const int16_t *pcm, size_t count, unsigned from, unsigned to, int16_t **out,
					 size_t *out_count);

#endif
