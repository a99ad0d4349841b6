/*
 * vad.c: energy detector with two thresholds and a hangover.
 *
 * Two thresholds so that a level near one of them does not flutter; the hangover bridges the short
 * silences inside words and between them.
 */
#include "sandbox/vad.h"

#include <math.h>
#include <string.h>

const struct vad_settings vad_default = {
	.start_rms = 400, .stop_rms = 250, .start_ms = 30, .hangover_ms = 400, .min_ms = 100};

void
vad_init(struct vad *v, const struct vad_settings *settings)
{
	memset(v, 0, sizeof(*v));
	v->settings = *settings;
}

void
vad_reset(struct vad *v)
{
	v->speaking = false;
	v->loud_run = 0;
	v->quiet_run = 0;
}

static enum vad_event
while_silent(struct vad *v, float rms)
{
	if (rms < (float) v->settings.start_rms)
	{
		v->loud_run = 0;
		return VAD_NOTHING;
	}
	v->loud_run++;
	if (v->loud_run * VAD_FRAME_MS < v->settings.start_ms)
		return VAD_NOTHING;
	v->speaking = true;
	v->quiet_run = 0;
	v->onset_frame = v->frame + 1 - v->loud_run;
	v->last_loud = v->frame;
	v->loud_run = 0;
	return VAD_STARTED;
}

static enum vad_event
while_speaking(struct vad *v, float rms)
{
	if (rms >= (float) v->settings.stop_rms)
	{
		v->quiet_run = 0;
		v->last_loud = v->frame;
		return VAD_NOTHING;
	}
	v->quiet_run++;
	if (v->quiet_run * VAD_FRAME_MS < v->settings.hangover_ms)
		return VAD_NOTHING;
	v->speaking = false;
	if (vad_end_ms(v) - vad_onset_ms(v) < v->settings.min_ms)
		return VAD_TOO_SHORT;
	return VAD_ENDED;
}

enum vad_event
vad_frame(struct vad *v, float rms)
{
	enum vad_event event = v->speaking ? while_speaking(v, rms) : while_silent(v, rms);

	v->frame++;
	return event;
}

uint64_t
vad_onset_ms(const struct vad *v)
{
	return v->onset_frame * VAD_FRAME_MS;
}

uint64_t
vad_end_ms(const struct vad *v)
{
	return (v->last_loud + 1) * VAD_FRAME_MS;
}

uint64_t
vad_now_ms(const struct vad *v)
{
	return v->frame * VAD_FRAME_MS;
}

float
vad_rms(const int16_t *pcm, size_t count)
{
	double sum = 0;

	if (count == 0)
		return 0;
	for (size_t i = 0; i < count; i++)
		sum += (double) pcm[i] * pcm[i];
	return (float) sqrt(sum / (double) count);
}
