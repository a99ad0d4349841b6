/*
 * gateway_turns_test.c: what goes on record as the turns of a conversation.
 */
#include "gateway/turns.h"

#include "tap.h"

static struct engine_event
said(enum engine_role role, const char *text, bool delta, bool final, int64_t ordinal)
{
	return (struct engine_event){.type = ENGINE_TRANSCRIPT,
								 .role = role,
								 .text = text,
								 .text_len = strlen(text),
								 .is_delta = delta,
								 .is_final = final,
								 .ordinal = ordinal};
}

static const struct turn *
hear(struct turns *t, struct engine_event event, uint64_t now_ms, uint64_t position_ms)
{
	return turns_transcript(t, &event, now_ms, position_ms);
}

/* Takes the oldest turn and compares; an empty text means that none must come. */
static void
expect(struct turns *t, uint64_t now_ms, uint64_t heard_ms, const char *text, bool interrupted,
	   const char *name)
{
	struct turn turn;
	bool taken = turns_take(t, now_ms, heard_ms, &turn);

	if (text[0] == '\0')
	{
		ok(!taken, "%s", name);
		return;
	}
	if (!taken)
		ok(false, "%s (nothing was taken)", name);
	else
	{
		ok(strcmp(turn.text, text) == 0 && turn.interrupted == interrupted, "%s", name);
		if (strcmp(turn.text, text) != 0)
			printf("# got: %s\n", turn.text);
		free(turn.text);
	}
}

static void
plain_conversation(void)
{
	struct turns t = {0};

	turns_init(&t, true);
	hear(&t, said(ENGINE_ROLE_AGENT, "Hello, ", true, false, 0), 0, 0);
	turns_audio(&t, 10, 0, 1000);
	hear(&t, said(ENGINE_ROLE_AGENT, "who is there?", true, false, 0), 20, 1000);
	turns_audio(&t, 30, 1000, 2000);
	hear(&t, said(ENGINE_ROLE_AGENT, "", true, true, 0), 40, 2000);
	expect(&t, 1000, 900, "", false, "a turn that is still played stays");
	expect(&t, 2100, 2000, "Hello, who is there?", false,
		   "deltas join, the turn leaves when heard");
	hear(&t, said(ENGINE_ROLE_USER, "It is me.", false, true, 1), 3000, 2000);
	expect(&t, 3000, 2000, "It is me.", false, "a final text of the user leaves at once");
	ok(hear(&t, said(ENGINE_ROLE_USER, "It is me.", false, true, 1), 3010, 2000) == NULL,
	   "a repetition opens no turn");
	struct engine_event echo = said(ENGINE_ROLE_USER, "The caller pressed key 5.", false, true, 2);

	echo.is_echo = true;
	ok(turns_transcript(&t, &echo, 3020, 2000) == NULL, "an echo of our own text is no turn");
	turns_free(&t);
}

static void
order(void)
{
	struct turns t = {0};

	turns_init(&t, true);
	turns_audio(&t, 100, 0, 200);
	hear(&t, said(ENGINE_ROLE_USER, "Late text.", false, true, 4), 150, 200);
	hear(&t, said(ENGINE_ROLE_AGENT, "Answer.", false, true, 5), 160, 200);
	expect(&t, 700, 200, "Late text.", false, "the user's late text precedes the answer's audio");
	expect(&t, 700, 200, "Answer.", false, "the answer takes the audio that came before its text");
	hear(&t, said(ENGINE_ROLE_AGENT, "Second.", false, true, 8), 800, 200);
	hear(&t, said(ENGINE_ROLE_USER, "First.", false, true, 7), 810, 200);
	expect(&t, 820, 200, "First.", false, "ordinals decide the order");
	expect(&t, 2600, 200, "Second.", false, "a text without audio leaves after a while");
	turns_keys(&t, "1 2 #", 3000);
	expect(&t, 3000, 200, "1 2 #", false, "keys are a turn");
	turns_free(&t);
}

static void
cuts(void)
{
	ok(turns_cut("one two three four", 18, 0, 100) == 0, "nothing heard, nothing kept");
	ok(turns_cut("one two three four", 18, 100, 100) == 18, "all heard, all kept");
	ok(turns_cut("one two three four", 18, 50, 100) == 7, "cut before the word that was begun");
	ok(turns_cut("one two three four", 18, 39, 100) == 7, "cut behind a word that was finished");
	ok(turns_cut("one", 3, 50, 100) == 0, "a single word is kept whole or not at all");
	ok(turns_cut("\xc3\xa9\xc3\xa9 \xc3\xa9\xc3\xa9\xc3\xa9", 11, 60, 100) == 4,
	   "no character is halved");
}

static void
ends(void)
{
	struct turns t = {0};

	turns_init(&t, false);
	hear(&t, said(ENGINE_ROLE_AGENT, "a b c d", false, true, -1), 0, 0);
	turns_audio(&t, 10, 0, 4000);
	turns_finish(&t, 2000, 2000);
	expect(&t, 2000, 2000, "a b", true, "a hang-up in mid-sentence cuts what was not heard");
	hear(&t, said(ENGINE_ROLE_AGENT, "a b c d", false, true, -1), 0, 0);
	turns_audio(&t, 10, 0, 4000);
	turns_finish(&t, 3900, 3900);
	expect(&t, 3900, 3900, "a b c d", false, "a last tenth of a second is not cut off");
	hear(&t, said(ENGINE_ROLE_USER, "I would", false, false, -1), 5000, 4000);
	turns_finish(&t, 5100, 4000);
	expect(&t, 5100, 4000, "I would", true, "an unfinished text of the user is kept");
	hear(&t, said(ENGINE_ROLE_AGENT, "never heard", false, true, -1), 6000, 4000);
	turns_audio(&t, 6000, 4000, 5000);
	turns_finish(&t, 6000, 4000);
	expect(&t, 6000, 4000, "", true, "what nobody heard is left out");
	turns_free(&t);
}

/* One second of "a b c d e f g h" was heard of two that were sent; then the final text comes. */
static void
final_after_interruption(const char *final, const char *name)
{
	struct turns t = {0};

	turns_init(&t, false);
	hear(&t, said(ENGINE_ROLE_AGENT, "a b c d e f g h", false, false, -1), 0, 0);
	turns_audio(&t, 10, 0, 2000);
	turns_interrupt(&t, 1010, 1000);
	hear(&t, said(ENGINE_ROLE_AGENT, final, false, true, -1), 1020, 1000);
	expect(&t, 2000, 1000, "a b c d", true, name);
	turns_free(&t);
}

/* Whether more of the agent is to come: a turn is begun by its text or by its audio, in either order. */
static void
agent_open(void)
{
	struct turns t = {0};

	turns_init(&t, true);
	ok(!turns_agent_open(&t), "who has said nothing is not about to say more");
	hear(&t, said(ENGINE_ROLE_USER, "Hello?", false, false, 0), 0, 0);
	ok(!turns_agent_open(&t), "nor is it when the user speaks");
	hear(&t, said(ENGINE_ROLE_AGENT, "Good", true, false, 1), 10, 0);
	ok(turns_agent_open(&t), "a text without an end");
	hear(&t, said(ENGINE_ROLE_AGENT, "bye!", true, true, 1), 20, 0);
	ok(turns_agent_open(&t), "a whole text without audio");
	turns_audio(&t, 30, 0, 500);
	ok(!turns_agent_open(&t), "a whole text with audio");
	turns_audio(&t, 5000, 500, 1000);
	ok(turns_agent_open(&t), "audio without a text");
	turns_interrupt(&t, 5100, 600);
	ok(!turns_agent_open(&t), "but nothing more is to come of what was interrupted");
	turns_free(&t);
}

static void
bounds(void)
{
	struct turns t = {0};
	struct turn turn;
	char *big = malloc(TURN_MAX_TEXT * 2 + 1);
	unsigned taken = 0;

	turns_init(&t, true);
	for (int i = 0; i < 50; i++)
		hear(&t, said(ENGINE_ROLE_AGENT, "x", false, false, i), 0, 0);
	is_int(t.count, TURNS_MAX, "the number of open turns is bounded");
	turns_finish(&t, 0, 0);
	while (turns_take(&t, 0, 0, &turn))
	{
		free(turn.text);
		taken++;
	}
	is_int(t.count, 0, "all of them leave at the end");
	memset(big, 'x', TURN_MAX_TEXT * 2);
	big[TURN_MAX_TEXT * 2] = '\0';
	hear(&t, said(ENGINE_ROLE_USER, big, false, false, 100), 0, 0);
	hear(&t, said(ENGINE_ROLE_USER, big, true, true, 100), 0, 0);
	ok(turns_take(&t, 0, 0, &turn) && turn.len == TURN_MAX_TEXT, "the length of a text is bounded");
	free(turn.text);
	free(big);
	turns_free(&t);
}

int
main(void)
{
	plan(0);
	plain_conversation();
	order();
	cuts();
	ends();
	final_after_interruption("a b c d e", "a final text that is cut already is not cut twice");
	final_after_interruption("a b c d e f g h i j k l m n",
							 "a longer final text is cut where the audio was");
	final_after_interruption("a b c d e f g h", "a final text that was known is cut in proportion");
	agent_open();
	bounds();
	return done();
}
