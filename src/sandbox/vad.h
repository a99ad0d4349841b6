/*
 * vad.h: who is speaking, told from the energy of the audio alone.
 *
 * Both sides use it: the engine finds the end of the caller's turn with it, the caller hears when
 * the agent has finished. Telephone audio comes without gaps, silence included, so only energy
 * shows where speech ends.
 */
#ifndef VA_SANDBOX_VAD_H
#define VA_SANDBOX_VAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VAD_FRAME_MS 10

struct vad_settings
{
	unsigned start_rms; /* speech begins above this level, 1 to 32767 */
	unsigned stop_rms; /* and is over below this one; not above start_rms */
	unsigned start_ms; /* so long in a row above start_rms */
	unsigned hangover_ms; /* so long in a row below stop_rms ends it */
	unsigned min_ms; /* shorter speech is noise */
};

/* Fits speech at telephone level: thresholds well above line noise. */
extern const struct vad_settings vad_default;

enum vad_event
{
	VAD_NOTHING,
	VAD_STARTED, /* speech began at onset_ms, some frames ago */
	VAD_ENDED, /* speech ended at end_ms, hangover_ms ago */
	VAD_TOO_SHORT /* what had started was noise */
};

struct vad
{
	struct vad_settings settings;
	bool speaking;
	uint64_t frame; /* frames seen */
	uint64_t onset_frame; /* of the speech under way or last heard */
	uint64_t last_loud; /* last frame of it above stop_rms */
	unsigned loud_run;
	unsigned quiet_run;
};

void vad_init(struct vad *v, const struct vad_settings *settings);
/* One frame of VAD_FRAME_MS. */
enum vad_event vad_frame(struct vad *v, float rms);
/* Forgets the speech under way; the clock goes on. */
void vad_reset(struct vad *v);

/* Milliseconds since the first frame. */
uint64_t vad_onset_ms(const struct vad *v);
uint64_t vad_end_ms(const struct vad *v);
uint64_t vad_now_ms(const struct vad *v);

/* Root of the mean square, 0 to 32768. */
float vad_rms(const int16_t *pcm, size_t count);

#endif
