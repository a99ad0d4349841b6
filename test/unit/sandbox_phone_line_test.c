/* Playback as Twilio does it: real time, marks, clear. */
#include "sandbox/phone_line.h"
#include "tap.h"

static char echoed[256];
static unsigned unheard;

static void
echo(void *arg, const char *name, bool heard)
{
	(void) arg;
	snprintf(echoed + strlen(echoed), sizeof(echoed) - strlen(echoed), "%s ", name);
	unheard += !heard;
}

int
main(void)
{
	struct phone_line *line = phone_line_new(echo, NULL);
	uint8_t audio[400], out[PHONE_LINE_FRAME];
	static uint8_t minute[60 * 8000];
	bool fits = true;

	plan(20);
	memset(audio, 0x55, sizeof(audio));
	is_int(phone_line_play(line, out), 0, "nothing queued plays nothing");
	is_int(out[0], 0xFF, "that is silence");
	phone_line_mark(line, "empty");
	is_str(echoed, "empty ", "a mark with nothing before it comes back at once");
	echoed[0] = '\0';
	phone_line_media(line, audio, 400);
	phone_line_mark(line, "m1");
	phone_line_media(line, audio, 100);
	phone_line_mark(line, "m2");
	is_int(phone_line_queued(line), 500, "audio is queued");
	is_int(phone_line_play(line, out), 160, "20 ms are played");
	is_int(phone_line_play(line, out), 160, "and another 20 ms");
	is_str(echoed, "", "no mark before its audio was played");
	is_int(phone_line_play(line, out), 160, "the first mark lies in this frame");
	is_str(echoed, "m1 ", "and comes back");
	is_int(phone_line_play(line, out), 20, "the rest is shorter than a frame");
	ok(out[19] == 0x55 && out[20] == 0xFF, "and filled with silence");
	is_str(echoed, "m1 m2 ", "the last mark comes back");
	is_int(unheard, 0, "all of them heard");
	echoed[0] = '\0';
	phone_line_media(line, audio, 400);
	phone_line_mark(line, "a");
	phone_line_mark(line, "b");
	phone_line_play(line, out);
	is_int(phone_line_clear(line), 240, "clear drops what is queued");
	is_str(echoed, "a b ", "and echoes every waiting mark, in order");
	is_int(unheard, 2, "which nobody has heard");
	is_int(phone_line_play(line, out), 0, "silence afterwards");
	phone_line_media(line, audio, 160);
	is_int(phone_line_play(line, out), 160, "audio sent after clear plays");
	for (int i = 0; i < 10; i++)
		fits &= phone_line_media(line, minute, sizeof(minute));
	ok(fits, "ten minutes fit");
	ok(!phone_line_media(line, audio, 1), "more is discarded");
	phone_line_free(line);
	return done();
}
