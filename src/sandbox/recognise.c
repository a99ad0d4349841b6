/*
 * recognise.c: compares loudness curves.
 *
 * Both curves are smoothed over 50 ms, since frames of the two sides never begin at the same
 * sample, and their means are taken off, since any two stretches of speech are alike in being loud.
 * What one curve has beyond the other counts as a difference, so lengths must agree as well.
 */
#include "sandbox/recognise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/vad.h"

#define MAX_FRAMES (10 * 60 * 1000 / VAD_FRAME_MS)
#define MAX_SHIFT (150 / VAD_FRAME_MS)
#define LIKE_ENOUGH 0.72
#define SMOOTH 2 /* frames to either side */

bool
envelope_add(struct envelope *e, float rms)
{
	if (e->count == e->room)
	{
		size_t room = e->room ? e->room * 2 : 256;
		float *more;

		if (room > MAX_FRAMES || !(more = realloc(e->level, room * sizeof(float))))
			return false;
		e->level = more;
		e->room = room;
	}
	e->level[e->count++] = rms;
	return true;
}

void
envelope_free(struct envelope *e)
{
	free(e->level);
	memset(e, 0, sizeof(*e));
}

bool
envelope_of(struct envelope *e, const int16_t *pcm, size_t count, unsigned rate)
{
	size_t frame = rate * VAD_FRAME_MS / 1000;
	size_t first = 0, last;

	memset(e, 0, sizeof(*e));
	for (size_t at = 0; frame && at + frame <= count; at += frame)
		if (!envelope_add(e, vad_rms(pcm + at, frame)))
			return false;
	last = e->count;
	while (first < last && e->level[first] < (float) vad_default.start_rms)
		first++;
	while (last > first && e->level[last - 1] < (float) vad_default.stop_rms)
		last--;
	e->count = last - first;
	if (e->count)
		memmove(e->level, e->level + first, e->count * sizeof(float));
	return e->count > 0;
}

/* Smoothed, without its mean; returns the root of its energy, 0 when memory is short. */
static double
prepare(const float *in, size_t count, float *out)
{
	double mean = 0, energy = 0;

	for (size_t i = 0; i < count; i++)
	{
		size_t from = i > SMOOTH ? i - SMOOTH : 0;
		size_t to = i + SMOOTH < count ? i + SMOOTH : count - 1;
		double sum = 0;

		for (size_t k = from; k <= to; k++)
			sum += in[k];
		out[i] = (float) (sum / (double) (to - from + 1));
		mean += out[i];
	}
	mean /= (double) count;
	for (size_t i = 0; i < count; i++)
	{
		out[i] -= (float) mean;
		energy += (double) out[i] * out[i];
	}
	return sqrt(energy);
}

double
envelope_likeness(const float *a, size_t a_count, const float *b, size_t b_count)
{
	float *x, *y;
	double best = -1, norm;

	if (a_count == 0 || b_count == 0)
		return -1;
	x = malloc(a_count * sizeof(float));
	y = malloc(b_count * sizeof(float));
	norm = x && y ? prepare(a, a_count, x) * prepare(b, b_count, y) : 0;
	for (int shift = -MAX_SHIFT; norm > 0 && shift <= MAX_SHIFT; shift++)
	{
		double sum = 0;

		for (size_t i = 0; i < a_count; i++)
		{
			long k = (long) i + shift;

			if (k >= 0 && k < (long) b_count)
				sum += (double) x[i] * y[k];
		}
		if (sum / norm > best)
			best = sum / norm;
	}
	free(x);
	free(y);
	return best;
}

static size_t
best_of(const struct known_utterance *known, size_t known_count, const float *heard,
		size_t heard_count, bool beginning, double *score)
{
	size_t best = RECOGNISE_NOTHING;
	double best_score = LIKE_ENOUGH;

	if (score)
		*score = 0;
	for (size_t i = 0; i < known_count; i++)
	{
		size_t length = known[i].envelope.count;
		double s;

		if (beginning && length > heard_count)
			length = heard_count;
		s = envelope_likeness(heard, heard_count, known[i].envelope.level, length);
		if (score && s > *score)
			*score = s;
		if (s > best_score)
		{
			best_score = s;
			best = i;
		}
	}
	return best;
}

size_t
recognise(const struct known_utterance *known, size_t known_count, const float *heard,
		  size_t heard_count, double *score)
{
	return best_of(known, known_count, heard, heard_count, false, score);
}

size_t
recognise_beginning(const struct known_utterance *known, size_t known_count, const float *heard,
					size_t heard_count, double *score)
{
	return best_of(known, known_count, heard, heard_count, true, score);
}
