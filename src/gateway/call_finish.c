/*
 * call_finish.c: when a call that is to end may be hung up.
 *
 * The agent has asked to end the call, or the database has, and often with a good-bye that the
 * engine is told to speak. Hanging up too early cuts the good-bye; waiting long leaves the caller in
 * silence. What can be known: the audio that went out has been played; the engine's text of it is
 * complete; the words asked for are among what was said. While one of these is missing the silence
 * is a pause before words, not the end: a model thinks between the answer it was giving and the
 * good-bye, and its text of a sentence may come a moment after the audio.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/call_private.h"
#include "net/loop.h"

#define FINISH_US 10000000 /* the agent's last words are waited for so long, */
#define FINISH_LETTER_US 100000 /* and for each letter of those asked for so much longer */
#define FINISH_PAUSE_US 1500000 /* silence, while more is expected */
#define FINISH_QUIET_US 400000 /* silence, when all was said */

void
call_finish_words(struct call *call, const char *words)
{
	free(call->finish_words);
	call->finish_words = strdup(words);
}

void
call_finish_begin(struct call *call)
{
	call->finish_since_us = loop_now_us();
	call->finish_quiet_us = call->finish_since_us;
	call->finish_spoke = false;
}

void
call_finish_turn(struct call *call, const struct turn *turn)
{
	if (call->finish_words != NULL && turn->role == ENGINE_ROLE_AGENT && turn->text != NULL &&
		strcasestr(turn->text, call->finish_words) != NULL)
	{
		free(call->finish_words);
		call->finish_words = NULL;
	}
}

bool
call_finish_over(struct call *call, uint64_t now_us)
{
	uint64_t letters = call->finish_words != NULL ? strlen(call->finish_words) : 0;
	uint64_t patience_us = FINISH_PAUSE_US;

	if (now_us - call->finish_since_us > FINISH_US + letters * FINISH_LETTER_US)
		return true;
	if (playback_playing(&call->playback, now_us) || call->mark_wanted ||
		!playback_confirmed(&call->playback))
	{
		call->finish_quiet_us = now_us;
		return false;
	}
	if (call->engine == NULL ||
		(call->finish_spoke && call->finish_words == NULL && !turns_agent_open(&call->turns)))
		patience_us = FINISH_QUIET_US;
	return now_us - call->audio_us > patience_us && now_us - call->finish_quiet_us > patience_us;
}
