/*
 * call_private.h: the call object, for the four files that make it up.
 *
 * call.c: life and death. call_audio.c: frames, playback, interruption. call_talk.c: what the engine
 * says in events: transcripts, tools, and what is told to the engine and the database. call_finish.c:
 * when a call that is to end may be hung up.
 */
#ifndef VA_GATEWAY_CALL_PRIVATE_H
#define VA_GATEWAY_CALL_PRIVATE_H

#include "core/twilio_stream.h"
#include "core/voice_session.h"
#include "gateway/call.h"
#include "gateway/call_state.h"
#include "gateway/engine.h"
#include "gateway/gateway.h"
#include "gateway/journal.h"
#include "gateway/keys.h"
#include "gateway/playback.h"
#include "gateway/turns.h"

#define CALL_FRAME 160 /* bytes of mu-law: 20 ms */
#define CALL_HELD_IN 8000 /* caller's audio that waits for the engine: 1 s */
#define CALL_HELD_OUT (30 * 8000) /* agent's audio that waits for the stream: 30 s */
#define CALL_NO_STREAM_US 30000000 /* a prepared call waits so long for its stream */
#define CALL_SILENT_STREAM_US 3000000
#define CALL_TAIL_US 60000
#define CALL_ASK_MS 8000
#define CALL_ENGINE_ATTEMPTS 2
#define CALL_TOOLS 32
#define CALL_TOOL_NAME 64

/* Audio that waits; allocated when the first byte comes, freed when it has gone. */
struct held
{
	uint8_t *data;
	size_t size;
	size_t len;
};

struct tool_limit
{
	char name[CALL_TOOL_NAME];
	unsigned timeout_ms;
};

struct call_metrics
{
	uint64_t frames_in;
	uint64_t frames_out;
	uint64_t frames_dropped_in;
	uint64_t frames_dropped_out;
	uint64_t bytes_in;
	uint64_t bytes_out;
	unsigned interruptions;
	unsigned clears;
	unsigned marks;
	unsigned tool_calls;
	unsigned dtmf;
	int64_t answer_ms; /* webhook to TwiML; -1, here and below: did not happen */
	int64_t stream_start_ms;
	int64_t engine_prepare_ms;
	int64_t engine_ready_ms;
	int64_t first_audio_ms;
	uint64_t latency_sum_ms;
	unsigned latency_count;
	unsigned latency_max_ms;
	unsigned clear_us_max;
};

struct call
{
	/* Looked at in every turn of the clock. */
	struct call *next;
	struct call *prev;
	uint64_t due_us; /* call_tick has nothing to do before */
	uint64_t frame_us; /* when the last inbound frame came */
	uint64_t audio_us; /* when the last audio of the engine came */
	enum call_state state;

	struct gateway *gateway;
	uint64_t id;
	struct media *media;
	const struct engine_ops *ops;
	struct engine *engine;
	struct journal *journal;
	struct voice_session *session; /* until the engine has it */
	const char *end_reason;

	/* Audio towards Twilio. */
	struct playback playback;
	uint8_t tail[CALL_FRAME]; /* less than a frame */
	unsigned tail_len;
	bool mark_wanted; /* audio went out since the last mark */
	struct held held_out;
	struct held held_in;

	/* Talk. */
	struct turns turns;
	struct keys keys;
	uint64_t partial_us;
	uint64_t user_done_us; /* the user's last turn ended, 0 once it was answered */
	unsigned tools_open; /* invocations under way */
	uint64_t active_us; /* last sign of life of either side */
	bool asked_if_there; /* the message about inactivity was spoken */
	bool hangup_wanted; /* the agent asked to end the call */
	uint64_t finish_since_us;
	uint64_t finish_quiet_us; /* since then, or while something was played last */
	bool finish_spoke; /* audio came since */
	char *finish_words; /* the agent was asked to say them, and has not yet */

	/* Time. */
	uint64_t created_us; /* the webhook, or the stream when there was none */
	uint64_t started_us; /* Twilio's start; 0 before */
	uint64_t engine_us; /* when the present engine session was asked for */
	unsigned engine_failures;
	unsigned engine_number; /* sessions so far: part of the tools' keys */
	bool engine_was_ready;

	/* Copies of what the session said, for its document is freed. */
	int max_duration_s;
	int inactivity_s;
	int prepare_timeout_ms;
	bool resumed;
	char *inactivity_message;
	char *apology;
	struct tool_limit *tools;
	unsigned tool_count;

	struct call_metrics metrics;
	char call_uuid[40];
	char tenant_uuid[40];
	char call_sid[TWILIO_SID_SIZE];
	char account_sid[TWILIO_SID_SIZE];
	char stream_sid[TWILIO_SID_SIZE];
	char token[TWILIO_TOKEN_SIZE];

	/* Of call_index.c. */
	struct call *sid_next;
	struct call *token_next;
};

extern const struct engine_host call_engine_host;

/* call.c */
void call_event(struct call *call, enum call_event event);
void call_end_with(struct call *call, enum call_event event, const char *reason);
struct call *call_by_id(struct gateway *g, uint64_t id);
void call_log(const struct call *call, int level, const char *message, const char *detail);

/* call_audio.c */
void call_audio_out(struct call *call, const uint8_t *ulaw, size_t count, uint64_t now_us);
void call_audio_release(struct call *call); /* what was held goes out, both ways */
void call_audio_tick(struct call *call, uint64_t now_us);
void call_interrupted(struct call *call, uint64_t heard_of_us);
void call_audio_free(struct call *call);
/* Milliseconds since the stream began. */
uint64_t call_ms(const struct call *call, uint64_t now_us);

/* call_talk.c */
void call_talk_event(struct call *call, const struct engine_event *event);
/* journal_answered: a keyword of the caller's, or the end of a conversation that is too long. */
void call_talk_answered(struct gateway *gateway, uint64_t call_id, const char *json);
void call_talk_tick(struct call *call, uint64_t now_us);
/* Every turn is complete as it stands: the engine or the stream is gone. */
void call_talk_finish(struct call *call, uint64_t now_us);
void call_note_state(struct call *call, const char *state, const char *reason, int64_t ms);
void call_note_metrics(struct call *call);
void call_inactivity_tick(struct call *call, uint64_t now_us);

/* call_finish.c */
/* The agent was asked for these last words; before call_end_with. */
void call_finish_words(struct call *call, const char *words);
void call_finish_begin(struct call *call);
/* A turn's text has grown. */
void call_finish_turn(struct call *call, const struct turn *turn);
/* Has all been said and heard, or was it waited for long enough? Asked by the clock while finishing. */
bool call_finish_over(struct call *call, uint64_t now_us);

#endif
