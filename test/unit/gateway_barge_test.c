/*
 * gateway_barge_test.c: what the caller heard when he interrupted, and what stays on record.
 */
#include "gateway/playback.h"

#include "gateway/turns.h"
#include "tap.h"

#define MS(x) ((uint64_t) (x) *1000)

static void
positions(void)
{
	struct playback p = {0};
	char name[48];

	playback_sent(&p, 1600, MS(1000));
	ok(playback_mark_due(&p, false), "a mark is due after 200 ms");
	playback_mark(&p, name, sizeof(name));
	is_str(name, "0:200", "it names the generation and the position");
	playback_sent(&p, 800, MS(1010));
	ok(!playback_mark_due(&p, false) && playback_mark_due(&p, true),
	   "100 ms get a mark at the end of an utterance only");
	is_int(playback_heard_ms(&p, MS(1150)), 150, "the clock carries on");
	is_int(playback_heard_ms(&p, MS(9000)), 300, "but not beyond what was sent");
	ok(playback_echo(&p, "0:200", MS(1300)), "an echo is taken");
	is_int(playback_heard_ms(&p, MS(1350)), 250, "and corrects the clock");
	ok(!playback_confirmed(&p) && playback_echo(&p, "0:300", MS(1400)) && playback_confirmed(&p),
	   "the last echo confirms that all was played");
	playback_sent(&p, 800, MS(5000));
	is_int(playback_heard_ms(&p, MS(5050)), 350, "silence in between does not count");
	playback_clear(&p, MS(5060));
	ok(!playback_echo(&p, "0:400", MS(5061)), "an echo that a clear caused means nothing");
	ok(!playback_echo(&p, "1:7", MS(5061)), "nor one beyond what was sent");
	ok(!playback_echo(&p, "", 0) && !playback_echo(&p, "1", 0) && !playback_echo(&p, "1:", 0) &&
		   !playback_echo(&p, "x:1", 0) && !playback_echo(&p, "1:0x", 0),
	   "nor a mark that is none of ours");
	is_int(playback_heard_ms(&p, MS(6000)), 0, "a new generation begins at nothing");
}

static struct engine_event
said(enum engine_role role, const char *text, bool final, int64_t ordinal)
{
	return (struct engine_event){.type = ENGINE_TRANSCRIPT,
								 .role = role,
								 .text = text,
								 .text_len = strlen(text),
								 .is_final = final,
								 .ordinal = ordinal};
}

static void
hear(struct turns *t, struct engine_event event, uint64_t now_ms, uint64_t position_ms)
{
	turns_transcript(t, &event, now_ms, position_ms);
}

static void
expect(struct turns *t, uint64_t now_ms, const char *text, bool interrupted, const char *name)
{
	struct turn turn = {0};
	bool taken = turns_take(t, now_ms, 0, &turn);

	ok(taken && strcmp(turn.text, text) == 0 && turn.interrupted == interrupted, "%s", name);
	if (taken && strcmp(turn.text, text) != 0)
		printf("# got: %s\n", turn.text);
	free(turn.text);
}

/* The engine does not cut: we do, by the audio that was heard. */
static void
we_cut(void)
{
	struct turns t = {0};
	struct turn turn;

	turns_init(&t, false);
	hear(&t, said(ENGINE_ROLE_AGENT, "We have flats and houses in town.", true, -1), 0, 0);
	turns_audio(&t, 0, 0, 3000);
	hear(&t, said(ENGINE_ROLE_AGENT, "Which one do you want?", true, -1), 100, 3000);
	turns_audio(&t, 100, 3000, 5000);
	turns_interrupt(&t, 1600, 1500);
	hear(&t, said(ENGINE_ROLE_USER, "Stop.", true, -1), 1650, 0);
	ok(!turns_take(&t, 1700, 0, &turn), "an interrupted turn waits for a correction");
	expect(&t, 2300, "We have flats", true, "half of it was heard");
	expect(&t, 2300, "Stop.", false, "the turn that was not heard at all is left out");
	turns_free(&t);
}

static void
final_text_comes_late(void)
{
	struct turns t = {0};

	turns_init(&t, false);
	/* The audio so far is that of the text so far: what was planned beyond does not stretch it. */
	hear(&t, said(ENGINE_ROLE_AGENT, "We have flats", false, -1), 0, 0);
	turns_audio(&t, 0, 0, 2000);
	turns_interrupt(&t, 1200, 1200);
	hear(&t, said(ENGINE_ROLE_AGENT, "We have flats and houses", true, -1), 1300, 0);
	expect(&t, 1900, "We have", true, "a final text after the interruption is cut as well");

	hear(&t, said(ENGINE_ROLE_AGENT, "One two three", false, -1), 2000, 0);
	turns_audio(&t, 2000, 0, 2000);
	turns_interrupt(&t, 3000, 1000);
	expect(&t, 3700, "One", true, "without one, the text so far is cut");
	hear(&t, said(ENGINE_ROLE_AGENT, "One two three four", true, -1), 4000, 0);
	is_int(t.count, 0, "a final text that comes even later opens no turn");
	hear(&t, said(ENGINE_ROLE_AGENT, "Another.", true, -1), 4100, 0);
	is_int(t.count, 1, "but another one does");
	turns_free(&t);
}

/* The engine cuts: its text stands. */
static void
engine_cuts(void)
{
	struct turns t = {0};

	turns_init(&t, true);
	hear(&t, said(ENGINE_ROLE_AGENT, "We have flats and houses in town.", false, 3), 0, 0);
	turns_audio(&t, 0, 0, 3000);
	turns_interrupt(&t, 1500, 1500);
	hear(&t, said(ENGINE_ROLE_AGENT, "We have flats and", true, 3), 1550, 0);
	hear(&t, said(ENGINE_ROLE_USER, "Stop.", true, 4), 1600, 0);
	expect(&t, 2200, "We have flats and", true, "the engine's shortened text is authoritative");
	expect(&t, 2200, "Stop.", false, "and the interruption follows");

	hear(&t, said(ENGINE_ROLE_AGENT, "a b c d", true, 5), 3000, 0);
	turns_audio(&t, 3000, 0, 4000);
	turns_interrupt(&t, 4000, 1000);
	hear(&t, said(ENGINE_ROLE_AGENT, "a b", true, 5), 4010, 0);
	expect(&t, 4700, "a b", true, "also when a full text was final before");

	hear(&t, said(ENGINE_ROLE_AGENT, "a b c d", false, 6), 5000, 0);
	turns_audio(&t, 5000, 0, 4000);
	turns_interrupt(&t, 7000, 2000);
	expect(&t, 7700, "a b", true, "without a correction the estimate must do");
	turns_free(&t);
}

static void
heard_to_the_end(void)
{
	struct turns t = {0};

	turns_init(&t, false);
	hear(&t, said(ENGINE_ROLE_AGENT, "All of it.", true, -1), 0, 0);
	turns_audio(&t, 0, 0, 1000);
	turns_interrupt(&t, 1500, 1000);
	hear(&t, said(ENGINE_ROLE_USER, "Yes.", true, -1), 1500, 0);
	expect(&t, 1500, "All of it.", false, "a turn that was heard to its end is not interrupted");
	expect(&t, 1500, "Yes.", false, "the answer follows");
	turns_free(&t);
}

int
main(void)
{
	plan(0);
	positions();
	we_cut();
	final_text_comes_late();
	engine_cuts();
	heard_to_the_end();
	return done();
}
