/*
 * conversation_hearing.h: the ear of the agent: audio in, turns with their words out.
 */
#ifndef VA_SANDBOX_CONVERSATION_HEARING_H
#define VA_SANDBOX_CONVERSATION_HEARING_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sandbox/recognise.h"
#include "sandbox/scenario.h"
#include "sandbox/speech.h"
#include "sandbox/vad.h"

#define HEARING_UNKNOWN "[unintelligible]"

struct hearing
{
	unsigned rate;
	struct vad vad;
	int16_t frame[960 * 2]; /* samples of the frame under way: 10 ms at up to 192 kHz */
	size_t filled;
	float before[4]; /* levels just before, for what the onset needs */
	struct envelope envelope;
	struct known_utterance *known;
	size_t known_count;
	uint64_t partial_at_ms;
};

enum hearing_event
{
	HEARING_NOTHING,
	HEARING_STARTED,
	HEARING_SPEAKING, /* some more of it; hearing_partial has something new now and then */
	HEARING_TURN /* the turn is over; hearing_words tells what it was */
};

/* false when the utterances of the scenario cannot be had as speech. */
bool hearing_init(struct hearing *h, const struct scenario *scenario, struct speech_store *speech,
				  unsigned rate, unsigned hangover_ms, char *error, size_t size);
void hearing_free(struct hearing *h);

/* Takes samples up to the end of one frame; returns how many, with what that frame told. */
size_t hearing_push(struct hearing *h, const int16_t *pcm, size_t count, enum hearing_event *event);

/* Milliseconds of speech under way; 0 when silent. */
unsigned hearing_speech_ms(const struct hearing *h);
/* What was said in the turn that just ended. */
const char *hearing_words(struct hearing *h, double *score);
/* What it seems to become, at most every 300 ms; false when there is nothing new. */
bool hearing_partial(struct hearing *h, char *out, size_t size);

#endif
