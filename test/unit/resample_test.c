/* resample: likeness to the original through the rates we use, and that pieces join. */
#include "core/resample.h"

#include <math.h>

#include "tap.h"

#define PI 3.14159265358979323846
#define SECONDS 4
#define TONES 100

/* Sound in the band of speech: sines from 300 to 3400 Hz with random phases. */
static int16_t *
speech_band(unsigned rate, const double *phases)
{
	size_t count = (size_t) rate * SECONDS;
	int16_t *pcm = malloc(count * sizeof(*pcm));

	for (size_t i = 0; i < count; i++)
	{
		double value = 0;

		for (int tone = 0; tone < TONES; tone++)
			value += sin(2 * PI * (300 + 3100.0 * tone / (TONES - 1)) * (double) i / rate +
						 phases[tone]);
		pcm[i] = (int16_t) (value * 900);
	}
	return pcm;
}

static double
correlation(const int16_t *a, const int16_t *b, size_t count)
{
	double ab = 0;
	double aa = 0;
	double bb = 0;

	for (size_t i = 0; i < count; i++)
	{
		ab += (double) a[i] * b[i];
		aa += (double) a[i] * a[i];
		bb += (double) b[i] * b[i];
	}
	return ab / sqrt(aa * bb);
}

/* Converts in pieces of `piece` samples, or of random sizes when it is 0; each piece and its
 * output in memory of exactly the right size. */
static int16_t *
convert(struct resampler *r, const int16_t *in, size_t count, size_t piece, size_t *made)
{
	int16_t *out = malloc((resampler_bound(r, count) + 1) * sizeof(*out));

	*made = 0;
	while (count > 0)
	{
		size_t size = piece > 0 ? piece : 1 + tap_below(700);

		if (size > count)
			size = count;

		int16_t *exact = (int16_t *) tap_exact(in, size * sizeof(*in));
		int16_t *result = malloc(resampler_bound(r, size) * sizeof(*result) + 1);
		size_t written = resampler_run(r, exact, size, result);

		check_that(written <= resampler_bound(r, size));
		memcpy(out + *made, result, written * sizeof(*out));
		*made += written;
		in += size;
		count -= size;
		free(exact);
		free(result);
	}
	return out;
}

static void
likeness(void)
{
	double phases[TONES];

	for (int i = 0; i < TONES; i++)
		phases[i] = (double) tap_below(6283) / 1000;

	int16_t *at8 = speech_band(8000, phases);
	int16_t *at24 = speech_band(24000, phases);
	struct resampler *up = resampler_new(8000, 16000);
	struct resampler *down = resampler_new(16000, 8000);
	struct resampler *third = resampler_new(24000, 8000);
	size_t up_count;
	size_t back_count;
	size_t third_count;
	int16_t *at16 = convert(up, at8, 8000 * SECONDS, 160, &up_count);
	int16_t *back = convert(down, at16, up_count, 320, &back_count);
	int16_t *from24 = convert(third, at24, 24000 * SECONDS, 480, &third_count);

	ok(back_count > 8000 * SECONDS - 80, "8 to 16 to 8 kHz holds back less than 10 ms");
	ok(third_count > 8000 * SECONDS - 80, "24 to 8 kHz holds back less than 10 ms");
	/* Sample against sample: a delay of one sample would already show. */
	ok(correlation(at8, back, back_count) > 0.99, "8 to 16 to 8 kHz: correlation %f",
	   correlation(at8, back, back_count));
	ok(correlation(at8, from24, third_count) > 0.99, "24 to 8 kHz: correlation %f",
	   correlation(at8, from24, third_count));
	checked("no piece exceeds its bound");

	free(at8);
	free(at24);
	free(at16);
	free(back);
	free(from24);
	resampler_free(up);
	resampler_free(down);
	resampler_free(third);
}

/* What lies above 4 kHz must not fold back into the audible. */
static void
no_alias(void)
{
	struct resampler *r = resampler_new(24000, 8000);
	size_t count = 24000;
	int16_t *in = malloc(count * sizeof(*in));
	size_t made;
	double energy = 0;

	for (size_t i = 0; i < count; i++)
		in[i] = (int16_t) (20000 * sin(2 * PI * 6000 * (double) i / 24000));

	int16_t *out = convert(r, in, count, 480, &made);

	for (size_t i = 100; i < made; i++)
		energy += (double) out[i] * out[i];
	ok(sqrt(energy / (double) (made - 100)) < 200, "6 kHz is gone after 24 to 8 kHz");
	free(in);
	free(out);
	resampler_free(r);
}

static void
pieces_join(void)
{
	static const unsigned rates[][2] = {{8000, 16000}, {16000, 8000}, {24000, 8000},
										{8000, 24000}, {48000, 8000}, {44100, 8000},
										{8000, 8000},  {11025, 48000}};

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
	{
		struct resampler *whole = resampler_new(rates[i][0], rates[i][1]);
		struct resampler *parts = resampler_new(rates[i][0], rates[i][1]);
		size_t count = 20000;
		int16_t *in = malloc(count * sizeof(*in));
		size_t whole_count;
		size_t parts_count;
		bool same = true;

		for (size_t s = 0; s < count; s++)
			in[s] = (int16_t) (8000 * sin((double) s * 0.05) + (double) tap_below(2000));

		int16_t *one = convert(whole, in, count, count, &whole_count);
		int16_t *many = convert(parts, in, count, 0, &parts_count);

		is_int((int64_t) parts_count, (int64_t) whole_count, "%u to %u Hz: as many samples",
			   rates[i][0], rates[i][1]);
		for (size_t s = 0; s < whole_count && s < parts_count; s++)
			if (one[s] != many[s])
				same = false;
		ok(same, "and the same ones");

		/* After a reset the past is forgotten: the same in, the same out. */
		resampler_reset(whole);

		size_t again_count;
		int16_t *again = convert(whole, in, count, count, &again_count);

		ok(again_count == whole_count && memcmp(again, one, again_count * sizeof(*one)) == 0,
		   "a reset forgets the past");
		free(in);
		free(one);
		free(many);
		free(again);
		resampler_free(whole);
		resampler_free(parts);
	}
	checked("no piece exceeds its bound");
}

static void
refusals(void)
{
	ok(resampler_new(7999, 8000) == NULL, "rate too low");
	ok(resampler_new(8000, 48001) == NULL, "rate too high");
	ok(resampler_new(0, 8000) == NULL, "no rate");
	resampler_free(NULL);

	struct resampler *r = resampler_new(8000, 16000);
	int16_t none;

	is_int((int64_t) resampler_run(r, &none, 0, &none), 0, "nothing from nothing");
	resampler_free(r);
}

int
main(void)
{
	plan(0);
	likeness();
	no_alias();
	pieces_join();
	refusals();
	return done();
}
