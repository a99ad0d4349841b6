/*
 * resample.h: changes the rate of 16 bit mono audio as it streams, over speexdsp.
 *
 * For engines that do not speak 8 kHz. The filter's state carries over from call to call, so
 * pieces of any length join without a click.
 */
#ifndef VA_CORE_RESAMPLE_H
#define VA_CORE_RESAMPLE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct resampler;

/* Rates in Hz, 8000 to 48000. NULL when a rate is out of range or memory is short. */
struct resampler *resampler_new(unsigned from_rate, unsigned to_rate);
void resampler_free(struct resampler *r);

/* Most samples that `count` input samples can become. */
size_t resampler_bound(const struct resampler *r, size_t count);

/* Consumes all of `in`; out must hold resampler_bound() samples. Returns how many it wrote. */
size_t resampler_run(struct resampler *r, const int16_t *in, size_t count, int16_t *out);

/* Forgets the past, as after an interruption. */
void resampler_reset(struct resampler *r);

#endif
