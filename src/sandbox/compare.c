/*
 * compare.c: `voiceagent sandbox compare`, did the audio arrive as it was sent?
 *
 * Takes what the caller sent and what the engine received. Each stretch of speech of the former is
 * looked for in the latter, since the two begin at different moments: at the same rate sample by
 * sample, at another rate by correlation. A resampler delays by part of a sample, which alone would
 * cost some likeness; so the place is refined on a grid eight times as fine.
 */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/sandbox.h"
#include "sandbox/speech.h"
#include "sandbox/vad.h"
#include "sandbox/wav.h"

#define SLACK_MS 3000 /* how far a stretch may have moved against the one before */
#define FINE 8 /* places a sample when the likeness is refined */

struct audio
{
	int16_t *pcm;
	size_t count;
	int16_t *fine; /* the same at FINE times the rate */
	size_t fine_count;
};

static bool
load(const char *path, struct audio *a, unsigned *rate)
{
	char error[160];
	struct wav wav;
	bool ok = true;

	if (!wav_read(path, &wav, error, sizeof(error)))
	{
		fprintf(stderr, "voiceagent: %s: %s\n", path, error);
		return false;
	}
	*rate = wav.rate;
	a->pcm = wav.pcm;
	a->count = wav.count;
	if (wav.rate != SPEECH_RATE)
	{
		ok = speech_resample(wav.pcm, wav.count, wav.rate, SPEECH_RATE, &a->pcm, &a->count);
		free(wav.pcm);
	}
	return ok && speech_resample(a->pcm, a->count, SPEECH_RATE, SPEECH_RATE * FINE, &a->fine,
								 &a->fine_count);
}

/* Of every stride-th sample of a and every sample of b. */
static double
correlation(const int16_t *a, size_t stride, const int16_t *b, size_t count)
{
	double ab = 0, aa = 0, bb = 0;

	for (size_t i = 0; i < count; i++)
	{
		double x = a[i * stride];

		ab += x * b[i];
		aa += x * x;
		bb += (double) b[i] * b[i];
	}
	return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

/* The place in `in` where the first 100 ms or so of what correlate best. */
static size_t
find(const struct audio *in, size_t from, size_t to, const int16_t *what, size_t count)
{
	size_t probe = count < 1200 ? count : 1200, best = from;
	double most = -2;

	for (size_t at = from; at + count <= in->count && at < to; at++)
	{
		double c = correlation(in->pcm + at, 1, what, probe);

		if (c > most)
		{
			most = c;
			best = at;
		}
	}
	return best;
}

/* Compares one stretch of speech; returns where it lay. */
static size_t
compare_stretch(const struct audio *sent, size_t begin, size_t end, const struct audio *got,
				size_t expected, double *likeness, size_t *equal)
{
	size_t slack = SPEECH_RATE * SLACK_MS / 1000;
	size_t from = expected > slack ? expected - slack : 0;
	size_t count = end - begin;
	size_t at = find(got, from, expected + slack, sent->pcm + begin, count);

	*equal = 0;
	*likeness = 0;
	if (at + count > got->count)
		return at;
	for (size_t k = 0; k <= 2 * FINE; k++)
	{
		size_t fine = at * FINE + k;
		double c;

		if (fine < FINE || fine - FINE + count * FINE > got->fine_count)
			continue;
		c = correlation(got->fine + fine - FINE, FINE, sent->pcm + begin, count);
		if (c > *likeness)
			*likeness = c;
	}
	for (size_t i = 0; i < count; i++)
		*equal += got->pcm[at + i] == sent->pcm[begin + i];
	return at;
}

struct verdict
{
	unsigned stretches;
	unsigned exact;
	double least; /* correlation */
};

static struct verdict
compare_all(const struct audio *sent, const struct audio *got)
{
	const size_t frame = SPEECH_RATE * VAD_FRAME_MS / 1000;
	struct verdict v = {.least = 1};
	struct vad vad;
	long shift = 0;

	vad_init(&vad, &vad_default);
	for (size_t at = 0; at + frame <= sent->count; at += frame)
	{
		size_t begin, end, where, equal;
		double likeness;
		long expected;

		if (vad_frame(&vad, vad_rms(sent->pcm + at, frame)) != VAD_ENDED)
			continue;
		begin = (size_t) vad_onset_ms(&vad) * SPEECH_RATE / 1000;
		end = (size_t) vad_end_ms(&vad) * SPEECH_RATE / 1000;
		expected = (long) begin + shift;
		where = compare_stretch(sent, begin, end, got, expected > 0 ? (size_t) expected : 0,
								&likeness, &equal);
		shift = (long) where - (long) begin;
		v.stretches++;
		v.exact += equal == end - begin;
		if (likeness < v.least)
			v.least = likeness;
		printf("%7.2f s  %5.2f s long  moved %+6ld ms  equal %5.1f %%  correlation %.4f\n",
			   (double) begin / SPEECH_RATE, (double) (end - begin) / SPEECH_RATE,
			   shift * 1000 / SPEECH_RATE, 100.0 * (double) equal / (double) (end - begin),
			   likeness);
	}
	return v;
}

static const char usage[] =
	"usage: voiceagent sandbox compare --sent FILE --received FILE [--exact | --least C]\n"
	"\n"
	"Looks for each stretch of speech of one WAV file in the other. Exit status 0: all were "
	"found,\n"
	"with --exact sample by sample, else with a correlation of at least C (default 0.99).\n";

int
sandbox_compare_main(int argc, char **argv)
{
	static const struct option options[] = {
		{"sent", required_argument, NULL, 's'}, {"received", required_argument, NULL, 'r'},
		{"exact", no_argument, NULL, 'x'},		{"least", required_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'},		{NULL, 0, NULL, 0}};
	const char *sent_path = NULL, *received_path = NULL;
	struct audio sent = {0}, received = {0};
	struct verdict v;
	double least = 0.99;
	bool exact = false;
	unsigned rate;
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c)
		{
			case 's': sent_path = optarg; break;
			case 'r': received_path = optarg; break;
			case 'x': exact = true; break;
			case 'l': least = strtod(optarg, NULL); break;
			case 'h': fputs(usage, stdout); return 0;
			default: fputs(usage, stderr); return 2;
		}
	if (!sent_path || !received_path || optind != argc)
	{
		fputs(usage, stderr);
		return 2;
	}
	if (!load(sent_path, &sent, &rate) || !load(received_path, &received, &rate))
		return 1;
	v = compare_all(&sent, &received);
	printf("%u stretches of speech, %u bit-exact, least correlation %.4f\n", v.stretches, v.exact,
		   v.least);
	free(sent.pcm);
	free(sent.fine);
	free(received.pcm);
	free(received.fine);
	return !(v.stretches > 0 && (exact ? v.exact == v.stretches : v.least >= least));
}
