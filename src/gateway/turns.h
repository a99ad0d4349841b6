/*
 * turns.h: transcripts, audio and interruptions become the turns of a conversation.
 *
 * Engines send text in pieces, in their own order, and ahead of the audio; a caller interrupts. What
 * belongs on record is what was said and heard. So a turn of the agent stays here until its audio
 * was played, and is cut when the caller interrupted: an engine that tracks what was heard
 * (`engine_cuts`) sends the shortened text itself, for the others the text is cut at a word boundary
 * in proportion to the audio that was heard. A turn of which nothing was heard is left out.
 *
 * Order: by the protocol's ordinals where it has them, else by first appearance. Only the oldest
 * turn can leave, so they leave in order.
 *
 * Times: now_ms counts from the start of the stream; positions (from_ms, to_ms, heard_ms) are those
 * of playback.h, within one generation. No clocks, no I/O.
 */
#ifndef VA_GATEWAY_TURNS_H
#define VA_GATEWAY_TURNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/engine_event.h"

#define TURNS_MAX 12 /* open at once; the oldest gives way */
#define TURN_MAX_TEXT (16 * 1024) /* bytes; what exceeds is cut off */
#define TURNS_TAKEN 8
#define TURNS_CUT_SIZE 128

struct turn
{
	enum engine_role role;
	bool dtmf;
	char *text; /* NUL-terminated, NULL while empty */
	size_t len;
	size_t size;
	int64_t ordinal; /* -1 when the protocol has none */
	uint64_t start_ms; /* since the stream began */
	uint64_t end_ms;
	uint64_t audio_from; /* positions of its audio in the generation */
	uint64_t audio_to;
	uint64_t changed_ms; /* last text or audio */
	bool has_audio;
	bool final;
	bool interrupted;
	bool unheard; /* nothing of it reached the caller */
	uint64_t settle_ms; /* interrupted: leaves not before this, for the engine's correction */
	uint64_t heard_part; /* interrupted: of audio_to - audio_from */
	size_t known_len; /* interrupted: the text known of that audio before the final one; 0 = none */
};

struct turns
{
	struct turn open[TURNS_MAX];
	unsigned count;
	bool engine_cuts;
	bool ordinals; /* the protocol numbers its turns */
	int64_t taken[TURNS_TAKEN]; /* ordinals of turns that left: a repetition opens no new one */
	unsigned taken_next;
	/* An engine without ordinals may send the full text of an interrupted utterance long after:
	 * what was known of it, to know it again. */
	char cut_short[TURNS_CUT_SIZE];
	uint64_t cut_short_ms;
};

/* t is zeroed memory. */
void turns_init(struct turns *t, bool engine_cuts);
void turns_free(struct turns *t);

/* A transcript event. Returns the turn it changed (valid until the next call), or NULL when it
 * changed none (an echo of what we sent ourselves, a late repetition). position_ms: audio sent so far. */
const struct turn *turns_transcript(struct turns *t, const struct engine_event *event,
									uint64_t now_ms, uint64_t position_ms);
/* Audio of the agent, positions from_ms to to_ms, went out. */
void turns_audio(struct turns *t, uint64_t now_ms, uint64_t from_ms, uint64_t to_ms);
/* The caller pressed keys. */
void turns_keys(struct turns *t, const char *keys, uint64_t now_ms);
/* Everything beyond heard_ms was thrown away; positions begin at 0 again. */
void turns_interrupt(struct turns *t, uint64_t now_ms, uint64_t heard_ms);
/* The stream or the engine is gone: every turn is complete as it stands. */
void turns_finish(struct turns *t, uint64_t now_ms, uint64_t heard_ms);

/* Moves the oldest turn out when it is complete; the caller frees out->text. */
bool turns_take(struct turns *t, uint64_t now_ms, uint64_t heard_ms, struct turn *out);
/* Is a turn of the user under way (begun, not final)? */
bool turns_user_open(const struct turns *t);
/* Has the agent begun a turn whose text is not complete, or of which no audio has come yet? */
bool turns_agent_open(const struct turns *t);

/* Cuts text of len bytes at a word boundary to part/whole; returns the new length. */
size_t turns_cut(const char *text, size_t len, uint64_t part, uint64_t whole);

#endif
