/*
 * conversation_hearing.c: cuts audio into frames, turns and words.
 *
 * The clock here is the audio itself: its samples are counted, nothing is read from outside. So the
 * same recording always gives the same turns.
 */
#include "sandbox/conversation_hearing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARTIAL_EVERY_MS 300

bool
hearing_init(struct hearing *h, const struct scenario *scenario, struct speech_store *speech,
			 unsigned rate, unsigned hangover_ms, char *error, size_t size)
{
	struct vad_settings settings = vad_default;

	memset(h, 0, sizeof(*h));
	settings.hangover_ms = hangover_ms;
	vad_init(&h->vad, &settings);
	h->rate = rate;
	h->known = calloc(scenario->step_count + 1, sizeof(*h->known));
	for (size_t i = 0; h->known && i < scenario->step_count; i++)
	{
		const struct scenario_step *step = &scenario->steps[i];
		struct known_utterance *k = &h->known[h->known_count];
		const struct speech *s;

		if (step->kind != STEP_SAY)
			continue;
		s = speech_get(speech, scenario->caller_voice, step->text, SPEECH_RATE, error, size);
		if (!s || !envelope_of(&k->envelope, s->pcm, s->count, SPEECH_RATE))
			return false;
		k->text = step->text;
		h->known_count++;
	}
	return h->known != NULL;
}

void
hearing_free(struct hearing *h)
{
	for (size_t i = 0; i < h->known_count; i++)
		envelope_free(&h->known[i].envelope);
	free(h->known);
	envelope_free(&h->envelope);
	memset(h, 0, sizeof(*h));
}

/* The envelope begins with the frames that made the onset. */
static void
begin(struct hearing *h, float rms)
{
	size_t back = (size_t) (h->vad.frame - 1 - h->vad.onset_frame);
	const size_t kept = sizeof(h->before) / sizeof(h->before[0]);

	h->envelope.count = 0;
	h->partial_at_ms = 0;
	for (size_t i = back < kept ? back : kept; i > 0; i--)
		envelope_add(&h->envelope, h->before[kept - i]);
	envelope_add(&h->envelope, rms);
}

static enum hearing_event
one_frame(struct hearing *h)
{
	float rms = vad_rms(h->frame, h->filled);
	enum vad_event event = vad_frame(&h->vad, rms);
	enum hearing_event result = HEARING_NOTHING;

	if (event == VAD_STARTED)
	{
		begin(h, rms);
		result = HEARING_STARTED;
	}
	else if (event == VAD_ENDED)
	{
		size_t length = (size_t) ((vad_end_ms(&h->vad) - vad_onset_ms(&h->vad)) / VAD_FRAME_MS);

		if (h->envelope.count > length)
			h->envelope.count = length;
		result = HEARING_TURN;
	}
	else if (h->vad.speaking)
	{
		envelope_add(&h->envelope, rms);
		result = HEARING_SPEAKING;
	}
	memmove(h->before, h->before + 1, sizeof(h->before) - sizeof(h->before[0]));
	h->before[sizeof(h->before) / sizeof(h->before[0]) - 1] = rms;
	return result;
}

size_t
hearing_push(struct hearing *h, const int16_t *pcm, size_t count, enum hearing_event *event)
{
	size_t frame = h->rate * VAD_FRAME_MS / 1000;
	size_t take = frame - h->filled < count ? frame - h->filled : count;

	*event = HEARING_NOTHING;
	memcpy(h->frame + h->filled, pcm, take * sizeof(int16_t));
	h->filled += take;
	if (h->filled == frame)
	{
		*event = one_frame(h);
		h->filled = 0;
	}
	return take;
}

unsigned
hearing_speech_ms(const struct hearing *h)
{
	return h->vad.speaking ? (unsigned) (vad_end_ms(&h->vad) - vad_onset_ms(&h->vad)) : 0;
}

const char *
hearing_words(struct hearing *h, double *score)
{
	size_t i = recognise(h->known, h->known_count, h->envelope.level, h->envelope.count, score);

	return i == RECOGNISE_NOTHING ? HEARING_UNKNOWN : h->known[i].text;
}

bool
hearing_partial(struct hearing *h, char *out, size_t size)
{
	unsigned ms = hearing_speech_ms(h);
	size_t i, length, heard = h->envelope.count;

	if (ms < PARTIAL_EVERY_MS || ms < h->partial_at_ms + PARTIAL_EVERY_MS)
		return false;
	h->partial_at_ms = ms;
	i = recognise_beginning(h->known, h->known_count, h->envelope.level, heard, NULL);
	if (i == RECOGNISE_NOTHING)
	{
		snprintf(out, size, "...");
		return true;
	}
	length = strlen(h->known[i].text) * heard / (h->known[i].envelope.count + 1);
	if (length > strlen(h->known[i].text))
		length = strlen(h->known[i].text);
	while (length > 0 && length < strlen(h->known[i].text) && h->known[i].text[length] != ' ')
		length--;
	snprintf(out, size, "%.*s", (int) length, h->known[i].text);
	return length > 0;
}
