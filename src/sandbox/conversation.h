/*
 * conversation.h: the agent's side of one conversation, whatever protocol carries it.
 *
 * Hears (energy, not the script), recognises, answers by the scenario's rules, is interrupted, calls
 * tools. The dialects (engine_ultravox, engine_realtime) feed it audio and messages and print what
 * comes out. Time is an argument: milliseconds of any clock that only moves forward.
 */
#ifndef VA_SANDBOX_CONVERSATION_H
#define VA_SANDBOX_CONVERSATION_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sandbox/ledger.h"
#include "sandbox/scenario.h"
#include "sandbox/speech.h"

struct conversation;

/* What the agent does; every pointer must be set. None may free the conversation. */
struct conversation_output
{
	void (*audio)(void *arg, const int16_t *pcm, size_t count); /* 20 ms at output_rate */
	void (*agent_piece)(void *arg, int ordinal, const char *piece);
	void (*agent_final)(void *arg, int ordinal, const char *text);
	void (*user_partial)(void *arg, const char *text);
	void (*user_final)(void *arg, int ordinal, const char *text, bool spoken);
	void (*state)(void *arg, const char *state);
	void (*clear)(void *arg); /* audio sent and not played is void */
	void (*tool)(void *arg, const char *id, const char *name, struct json_object *arguments);
	void (*ended)(void *arg, const char *reason);
};

#define CONVERSATION_MAX_INACTIVITY 8

struct conversation_inactivity
{
	unsigned ms; /* of silence since the message before, or since somebody spoke */
	const char *text;
	bool hang_up;
};

struct conversation_options
{
	const struct scenario *scenario;
	struct speech_store *speech;
	struct ledger *ledger;
	const char *id;
	unsigned input_rate;
	unsigned output_rate;
	unsigned ahead_ms; /* audio goes out so far ahead of real time at most */
	unsigned hangover_ms; /* silence that ends the caller's turn */
	unsigned interrupt_ms; /* speech that interrupts the agent */
	unsigned think_ms; /* from the end of a turn to the answer */
	unsigned late_text_ms; /* from the end of a sentence's audio to that of its text */
	const char *greeting; /* NULL = the scenario's; "" = the caller speaks first */
	bool greeting_uninterruptible;
	struct json_object *history; /* [{"role":"user"|"agent","text"}] or NULL; kept by the caller
									of conversation_new only during the call */
	struct json_object *tools; /* array of names that were declared; NULL = none */
	struct conversation_inactivity inactivity[CONVERSATION_MAX_INACTIVITY];
	size_t inactivity_count;
	const struct conversation_output *out;
	void *arg;
};

/* NULL with the reason (missing speech). Synthesises what the scenario needs: may take a second
 * the first time. Texts of options are copied, or live as long as the scenario. */
struct conversation *conversation_new(const struct conversation_options *options, uint64_t now_ms,
									  char *error, size_t size);
void conversation_free(struct conversation *c);

/* Call every 10 to 20 ms. */
void conversation_tick(struct conversation *c, uint64_t now_ms);
void conversation_audio(struct conversation *c, const int16_t *pcm, size_t count, uint64_t now_ms);
/* Words of the user that came as text (pressed keys); immediate interrupts the agent. */
void conversation_text(struct conversation *c, const char *text, bool immediate, uint64_t now_ms);
/* Makes the agent say it; end: hang up afterwards. */
void conversation_say(struct conversation *c, const char *text, bool immediate, bool end,
					  uint64_t now_ms);
/* The client noticed the interruption. */
void conversation_interrupt(struct conversation *c, uint64_t now_ms);
/* false when no call of this id (or, id "", of this name) is outstanding. */
bool conversation_tool_result(struct conversation *c, const char *id, const char *name,
							  const char *result, bool failed, bool hang_up, uint64_t now_ms);
/* Ends it, saying nothing more. */
void conversation_end(struct conversation *c, const char *reason);
bool conversation_over(const struct conversation *c);

#endif
