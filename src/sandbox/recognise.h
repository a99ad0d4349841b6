/*
 * recognise.h: which of a few known sentences was spoken, from the audio.
 *
 * The sandbox's engines have no speech model. A scenario knows everything its caller may say, so it
 * is enough to tell these apart: by the course of their loudness, which survives mu-law, resampling
 * and a lost frame. A transcript thus follows from the audio that arrived and not from a script.
 */
#ifndef VA_SANDBOX_RECOGNISE_H
#define VA_SANDBOX_RECOGNISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Loudness every VAD_FRAME_MS. Zeroed = empty. */
struct envelope
{
	float *level;
	size_t count;
	size_t room;
};

/* false when memory is short or the envelope holds ten minutes. */
bool envelope_add(struct envelope *e, float rms);
void envelope_free(struct envelope *e);
/* The envelope of speech, from its first loud frame to its last one. */
bool envelope_of(struct envelope *e, const int16_t *pcm, size_t count, unsigned rate);

/* Likeness of two envelopes, -1 to 1: normalised correlation at the best shift of up to 150 ms. */
double envelope_likeness(const float *a, size_t a_count, const float *b, size_t b_count);

struct known_utterance
{
	const char *text;
	struct envelope envelope;
};

#define RECOGNISE_NOTHING ((size_t) -1)

/* Index of the utterance heard, or RECOGNISE_NOTHING when none is like it. score may be NULL. */
size_t recognise(const struct known_utterance *known, size_t known_count, const float *heard,
				 size_t heard_count, double *score);
/* Index of the utterance of which heard may be the beginning. */
size_t recognise_beginning(const struct known_utterance *known, size_t known_count,
						   const float *heard, size_t heard_count, double *score);

#endif
