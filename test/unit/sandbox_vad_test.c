/* The energy detector: onset, hangover, noise, and the clock of both. */
#include <math.h>

#include "sandbox/vad.h"
#include "tap.h"

/* Feeds ms of one level; counts the events. */
static unsigned
feed(struct vad *v, float level, unsigned ms, enum vad_event what)
{
	unsigned seen = 0;

	for (unsigned t = 0; t < ms; t += VAD_FRAME_MS)
		seen += vad_frame(v, level) == what;
	return seen;
}

int
main(void)
{
	struct vad v;
	int16_t tone[80];

	plan(13);
	vad_init(&v, &vad_default);
	is_int(feed(&v, 20, 1000, VAD_STARTED), 0, "line noise is silence");
	is_int(feed(&v, 3000, 20, VAD_STARTED), 0, "20 ms of noise do not start speech");
	is_int(feed(&v, 20, 100, VAD_STARTED), 0, "nor does the silence behind them");
	is_int(feed(&v, 3000, 500, VAD_STARTED), 1, "speech starts once");
	is_int(vad_onset_ms(&v), 1120, "at its first frame");
	is_int(feed(&v, 20, 390, VAD_ENDED), 0, "a pause shorter than the hangover goes on");
	is_int(feed(&v, 3000, 100, VAD_STARTED), 0, "and is no second start");
	is_int(feed(&v, 20, 400, VAD_ENDED), 1, "the hangover ends it");
	is_int(vad_end_ms(&v), 2110, "the end is where it was last loud");
	is_int(feed(&v, 3000, 50, VAD_STARTED), 1, "a click starts");
	is_int(feed(&v, 20, 400, VAD_TOO_SHORT), 1, "and is told to be too short");
	for (unsigned i = 0; i < 80; i++)
		tone[i] = (int16_t) (1000 * sin(2 * M_PI * i / 8));
	ok(fabs(vad_rms(tone, 80) - 707) < 1, "level of a tone is its root of the mean square");
	ok(vad_rms(tone, 0) == 0, "no samples have no level");
	return done();
}
