/*
 * turns.c: see turns.h.
 */
#include "gateway/turns.h"

#include <stdlib.h>
#include <string.h>

/* Audio that begins this long after the last piece of a complete turn belongs to the next one. */
#define GAP_MS 300
/* How long an interrupted turn waits for the engine's own, shortened text. */
#define CORRECTION_MS 600
/* A complete turn without audio waits so long for it. */
#define AUDIO_WAIT_MS 1500
/* A turn that never becomes final stops the queue for at most so long. */
#define STALE_MS 3000
/* So long the late text of an interrupted utterance is known again. */
#define LATE_TEXT_MS 10000
/* At the end of a stream, audio shorter than this counts as heard: the estimate is not better. */
#define TOLERANCE_MS 300

void
turns_init(struct turns *t, bool engine_cuts)
{
	t->engine_cuts = engine_cuts;
	for (unsigned i = 0; i < TURNS_TAKEN; i++)
		t->taken[i] = -1;
}

void
turns_free(struct turns *t)
{
	for (unsigned i = 0; i < t->count; i++)
		free(t->open[i].text);
	t->count = 0;
}

static void
text_append(struct turn *turn, const char *text, size_t len)
{
	if (len > TURN_MAX_TEXT - turn->len)
		len = TURN_MAX_TEXT - turn->len;
	/* Never leave half a character at the end. */
	while (len > 0 && ((unsigned char) text[len] & 0xC0) == 0x80)
		len--;
	if (turn->len + len + 1 > turn->size)
	{
		size_t size = (turn->len + len + 1) * 2;
		char *grown = realloc(turn->text, size);

		if (grown == NULL)
			return;
		turn->text = grown;
		turn->size = size;
	}
	memcpy(turn->text + turn->len, text, len);
	turn->len += len;
	turn->text[turn->len] = '\0';
}

/* An insertion point for a turn: behind all that are known to come before it. A turn that only
 * audio opened has no number yet and counts as the newest. */
static unsigned
place_for(const struct turns *t, int64_t ordinal)
{
	unsigned place = t->count;

	if (ordinal < 0)
		return place;
	while (place > 0)
	{
		const struct turn *before = &t->open[place - 1];
		bool later = before->ordinal > ordinal ||
					 (before->ordinal < 0 && before->role == ENGINE_ROLE_AGENT && before->len == 0);

		if (!later)
			break;
		place--;
	}
	return place;
}

static struct turn *
turn_open(struct turns *t, enum engine_role role, int64_t ordinal, uint64_t now_ms)
{
	if (t->count == TURNS_MAX)
	{
		/* Only broken engines come here; the oldest unfinished talk is dropped. */
		free(t->open[0].text);
		memmove(&t->open[0], &t->open[1], sizeof(t->open[0]) * --t->count);
	}

	unsigned place = place_for(t, ordinal);
	struct turn *turn = &t->open[place];

	memmove(turn + 1, turn, sizeof(*turn) * (t->count - place));
	t->count++;
	memset(turn, 0, sizeof(*turn));
	turn->role = role;
	turn->ordinal = ordinal;
	turn->start_ms = turn->end_ms = turn->changed_ms = now_ms;
	return turn;
}

static struct turn *
newest(struct turns *t, enum engine_role role)
{
	for (unsigned i = t->count; i-- > 0;)
		if (t->open[i].role == role && !t->open[i].dtmf)
			return &t->open[i];
	return NULL;
}

/* Is this the text of an utterance that was interrupted, and left, already? */
static bool
is_late_text(struct turns *t, const struct engine_event *event, uint64_t now_ms)
{
	size_t len = strlen(t->cut_short);

	return event->role == ENGINE_ROLE_AGENT && len > 0 && now_ms < t->cut_short_ms + LATE_TEXT_MS &&
		   event->text_len >= len && memcmp(event->text, t->cut_short, len) == 0;
}

static void
remember_cut(struct turns *t, const struct turn *turn, uint64_t now_ms)
{
	size_t len = turn->len < TURNS_CUT_SIZE ? turn->len : TURNS_CUT_SIZE - 1;

	if (turn->len == 0)
		return;
	memcpy(t->cut_short, turn->text, len);
	t->cut_short[len] = '\0';
	t->cut_short_ms = now_ms;
}

/* The turn that a transcript speaks about, opened when there is none. NULL for one that left. */
static struct turn *
turn_for(struct turns *t, const struct engine_event *event, uint64_t now_ms)
{
	struct turn *last = newest(t, event->role);

	if (event->ordinal >= 0)
	{
		t->ordinals = true;
		for (unsigned i = 0; i < t->count; i++)
			if (t->open[i].ordinal == event->ordinal)
				return &t->open[i];
		for (unsigned i = 0; i < TURNS_TAKEN; i++)
			if (t->taken[i] == event->ordinal)
				return NULL;
		if (last != NULL && last->ordinal < 0 && last->len == 0)
		{
			last->ordinal = event->ordinal;
			return last;
		}
		return turn_open(t, event->role, event->ordinal, now_ms);
	}
	if (last != NULL && !last->final && !(last->interrupted && now_ms >= last->settle_ms))
		return last;
	if (is_late_text(t, event, now_ms))
		return NULL;
	return turn_open(t, event->role, -1, now_ms);
}

/* Keeps the heard part of an interrupted turn's text. The audio is that of the text that was known
 * at the interruption. A final text that comes later may be another length: cut short by the
 * engine, or all that was to be said; the place of the cut is the same in either. */
static void
keep_heard(struct turn *turn)
{
	uint64_t whole = turn->audio_to - turn->audio_from;
	size_t known = turn->known_len > 0 ? turn->known_len : turn->len;

	if (turn->text == NULL)
		return;

	turn->len = turns_cut(turn->text, turn->len, turn->heard_part * known, whole * turn->len);
	turn->text[turn->len] = '\0';
}

const struct turn *
turns_transcript(struct turns *t, const struct engine_event *event, uint64_t now_ms,
				 uint64_t position_ms)
{
	if (event->is_echo)
		return NULL;

	struct turn *turn = turn_for(t, event, now_ms);

	if (turn == NULL || (turn->interrupted && turn->final && !t->engine_cuts))
		return NULL;
	if (turn->len == 0 && !turn->has_audio)
		turn->audio_from = turn->audio_to = position_ms;
	if (event->text_len > 0 || !event->is_delta)
	{
		if (!event->is_delta)
		{
			if (turn->interrupted && event->is_final)
				turn->known_len = turn->len;
			turn->len = 0;
		}
		text_append(turn, event->text, event->text_len);
	}
	if (turn->interrupted && event->is_final && !t->engine_cuts)
		keep_heard(turn);
	turn->final = turn->final || event->is_final;
	turn->changed_ms = now_ms;
	if (!turn->interrupted)
		turn->end_ms = now_ms;
	return turn;
}

void
turns_audio(struct turns *t, uint64_t now_ms, uint64_t from_ms, uint64_t to_ms)
{
	struct turn *turn = newest(t, ENGINE_ROLE_AGENT);

	if (turn == NULL || turn->interrupted ||
		(turn->final && turn->has_audio && now_ms > turn->changed_ms + GAP_MS))
		turn = turn_open(t, ENGINE_ROLE_AGENT, -1, now_ms);
	if (!turn->has_audio)
	{
		turn->has_audio = true;
		turn->audio_from = from_ms;
		turn->start_ms = now_ms;
	}
	turn->audio_to = to_ms;
	turn->end_ms = turn->changed_ms = now_ms;
}

void
turns_keys(struct turns *t, const char *keys, uint64_t now_ms)
{
	struct turn *turn = turn_open(t, ENGINE_ROLE_USER, -1, now_ms);

	turn->dtmf = turn->final = true;
	text_append(turn, keys, strlen(keys));
}

size_t
turns_cut(const char *text, size_t len, uint64_t part, uint64_t whole)
{
	if (whole == 0 || part == 0)
		return 0;
	if (part >= whole)
		return len;

	size_t cut = (size_t) ((uint64_t) len * part / whole);

	/* Inside a word: back to its beginning. Between words: the word before was heard. */
	if (text[cut] != ' ')
		while (cut > 0 && text[cut - 1] != ' ')
			cut--;
	while (cut > 0 && text[cut - 1] == ' ')
		cut--;
	return cut;
}

/* Heard and unheard part of a turn of the agent whose remaining audio is lost. */
static void
turn_cut(const struct turns *t, struct turn *turn, uint64_t heard_ms, uint64_t tolerance)
{
	if (heard_ms + tolerance >= turn->audio_to && turn->has_audio && turn->final)
		return;
	turn->interrupted = true;
	turn->heard_part = heard_ms > turn->audio_from ? heard_ms - turn->audio_from : 0;
	if (turn->heard_part > turn->audio_to - turn->audio_from)
		turn->heard_part = turn->audio_to - turn->audio_from;
	turn->unheard = turn->heard_part == 0;
	if (!t->engine_cuts && turn->final)
		keep_heard(turn);
}

void
turns_interrupt(struct turns *t, uint64_t now_ms, uint64_t heard_ms)
{
	for (unsigned i = 0; i < t->count; i++)
	{
		struct turn *turn = &t->open[i];

		if (turn->role != ENGINE_ROLE_AGENT || turn->interrupted)
			continue;
		turn_cut(t, turn, heard_ms, 0);
		if (turn->interrupted)
		{
			turn->end_ms = now_ms;
			turn->settle_ms = now_ms + CORRECTION_MS;
		}
		else
		{
			/* Heard to its end: nothing is left to wait for. */
			turn->has_audio = true;
			turn->audio_from = turn->audio_to = 0;
		}
	}
}

void
turns_finish(struct turns *t, uint64_t now_ms, uint64_t heard_ms)
{
	bool engine_cuts = t->engine_cuts;

	/* No correction will come any more, whatever the engine would have done. */
	t->engine_cuts = false;
	for (unsigned i = 0; i < t->count; i++)
	{
		struct turn *turn = &t->open[i];

		if (turn->role == ENGINE_ROLE_AGENT && !turn->interrupted)
		{
			bool complete = turn->final;

			turn->final = true;
			turn_cut(t, turn, heard_ms, TOLERANCE_MS);
			turn->interrupted = turn->interrupted || !complete;
		}
		else if (turn->role == ENGINE_ROLE_AGENT && !turn->final)
			keep_heard(turn);
		else if (!turn->final)
			turn->interrupted = true;
		turn->final = true;
		turn->settle_ms = 0;
		turn->has_audio = true;
		turn->audio_from = turn->audio_to = 0;
		turn->changed_ms = 0;
		if (turn->end_ms < turn->start_ms)
			turn->end_ms = now_ms;
	}
	t->engine_cuts = engine_cuts;
}

/* May the oldest turn leave? */
static bool
complete(const struct turns *t, const struct turn *turn, uint64_t now_ms, uint64_t heard_ms)
{
	bool stale = t->count > 1 && now_ms > turn->changed_ms + STALE_MS;

	if (turn->interrupted)
		return now_ms >= turn->settle_ms;
	if (!turn->final)
		return stale && heard_ms >= turn->audio_to;
	if (turn->role == ENGINE_ROLE_USER)
		return true;
	if (!turn->has_audio)
		return now_ms >= turn->changed_ms + AUDIO_WAIT_MS;
	return heard_ms >= turn->audio_to && (t->count > 1 || now_ms >= turn->changed_ms + GAP_MS);
}

bool
turns_take(struct turns *t, uint64_t now_ms, uint64_t heard_ms, struct turn *out)
{
	while (t->count > 0 && complete(t, &t->open[0], now_ms, heard_ms))
	{
		struct turn *turn = &t->open[0];

		/* The engine's correction did not come: the estimate must do. */
		if (turn->interrupted && !turn->final && turn->role == ENGINE_ROLE_AGENT)
		{
			remember_cut(t, turn, now_ms);
			keep_heard(turn);
		}
		*out = *turn;
		if (out->ordinal >= 0)
			t->taken[t->taken_next++ % TURNS_TAKEN] = out->ordinal;
		memmove(&t->open[0], &t->open[1], sizeof(t->open[0]) * --t->count);
		/* An engine that cuts by itself knows better than our estimate what was heard. */
		if (out->len > 0 && !(out->unheard && !(t->engine_cuts && out->final)))
			return true;
		free(out->text);
	}
	return false;
}

bool
turns_user_open(const struct turns *t)
{
	for (unsigned i = 0; i < t->count; i++)
		if (t->open[i].role == ENGINE_ROLE_USER && !t->open[i].final)
			return true;
	return false;
}

bool
turns_agent_open(const struct turns *t)
{
	for (unsigned i = 0; i < t->count; i++)
		if (t->open[i].role == ENGINE_ROLE_AGENT && !t->open[i].interrupted &&
			!(t->open[i].final && t->open[i].has_audio))
			return true;
	return false;
}
