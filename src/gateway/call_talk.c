/*
 * call_talk.c: what is said in a call and done because of it: transcripts become turns, tools are
 * run by the database, keys become sentences, silence is asked about.
 *
 * Everything for the database goes through the call's journal; nothing here waits for it. A tool is
 * the one thing that needs an answer, and the engine's audio flows on meanwhile.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "gateway/call_private.h"
#include "gateway/text.h"
#include "net/db.h"
#include "net/log.h"
#include "net/loop.h"

#define TOOL_MARGIN_MS 250 /* our own deadline lies so much before the engine's */
#define TOOL_KEY_SIZE 256

struct tool_job
{
	struct gateway *gateway;
	uint64_t call_id;
	unsigned engine_number;
	char invocation_id[160];
	char name[CALL_TOOL_NAME];
};

void
call_note_state(struct call *call, const char *state, const char *reason, int64_t ms)
{
	struct text t = {0};

	text_str(&t, "{");
	text_member(&t, "state", state);
	if (reason != NULL)
		text_member(&t, "reason", reason);
	if (ms >= 0)
		text_number(&t, "ms", ms);
	text_str(&t, "}");
	if (!t.failed)
		journal_add(call->journal, loop_wall_ms(), "state", t.data);
	text_free(&t);
}

static void
optional(struct text *t, const char *key, int64_t value)
{
	if (value >= 0)
		text_number(t, key, value);
}

void
call_note_metrics(struct call *call)
{
	const struct call_metrics *m = &call->metrics;
	struct text t = {0};

	text_str(&t, "{");
	text_number(&t, "frames_in", (long long) m->frames_in);
	text_number(&t, "frames_out", (long long) m->frames_out);
	text_number(&t, "frames_dropped_in", (long long) m->frames_dropped_in);
	text_number(&t, "frames_dropped_out", (long long) m->frames_dropped_out);
	text_number(&t, "bytes_in", (long long) m->bytes_in);
	text_number(&t, "bytes_out", (long long) m->bytes_out);
	text_number(&t, "interruptions", m->interruptions);
	text_number(&t, "clears", m->clears);
	text_number(&t, "marks", m->marks);
	text_number(&t, "tool_calls", m->tool_calls);
	text_number(&t, "dtmf", m->dtmf);
	optional(&t, "answer_ms", m->answer_ms);
	optional(&t, "stream_start_ms", m->stream_start_ms);
	optional(&t, "engine_prepare_ms", m->engine_prepare_ms);
	optional(&t, "engine_ready_ms", m->engine_ready_ms);
	optional(&t, "first_audio_ms", m->first_audio_ms);
	if (m->latency_count > 0)
	{
		text_number(&t, "engine_latency_avg_ms",
					(long long) (m->latency_sum_ms / m->latency_count));
		text_number(&t, "engine_latency_max_ms", m->latency_max_ms);
	}
	if (m->clears > 0)
		text_number(&t, "clear_us_max", m->clear_us_max);
	text_str(&t, "}");
	if (!t.failed)
		journal_add(call->journal, loop_wall_ms(), "metrics", t.data);
	text_free(&t);
}

static const char *
role_name(enum engine_role role)
{
	return role == ENGINE_ROLE_USER ? "user" : "agent";
}

static void
note_turn(struct call *call, const struct turn *turn)
{
	struct text t = {0};

	text_str(&t, "{");
	text_member(&t, "role", role_name(turn->role));
	text_str(&t, ",\"text\":");
	text_json(&t, turn->text, turn->len);
	text_number(&t, "start_ms", (long long) turn->start_ms);
	text_number(&t, "end_ms", (long long) turn->end_ms);
	text_str(&t, turn->interrupted ? ",\"interrupted\":true" : ",\"interrupted\":false");
	text_member(&t, "medium", turn->dtmf ? "dtmf" : "voice");
	text_str(&t, "}");
	if (!t.failed)
		journal_add(call->journal, loop_wall_ms(), "turn", t.data);
	text_free(&t);
}

static void
note_partial(struct call *call, const struct turn *turn)
{
	struct text t = {0};

	if (turn->len == 0)
		return;
	text_str(&t, "{");
	text_member(&t, "role", role_name(turn->role));
	text_str(&t, ",\"text\":");
	text_json(&t, turn->text, turn->len);
	text_str(&t, "}");
	if (!t.failed)
		journal_partial(call->journal, loop_wall_ms(), turn->role, t.data);
	text_free(&t);
}

static void
take_turns(struct call *call, uint64_t now_us)
{
	struct turn turn;

	while (turns_take(&call->turns, call_ms(call, now_us),
					  playback_heard_ms(&call->playback, now_us), &turn))
	{
		journal_drop_partial(call->journal, turn.role);
		note_turn(call, &turn);
		free(turn.text);
	}
}

void
call_talk_finish(struct call *call, uint64_t now_us)
{
	if (call->keys.count > 0)
	{
		char sentence[KEYS_SENTENCE_SIZE];
		char bare[KEYS_SENTENCE_SIZE];

		keys_take(&call->keys, sentence, bare);
		turns_keys(&call->turns, bare, call_ms(call, now_us));
	}
	turns_finish(&call->turns, call_ms(call, now_us), playback_heard_ms(&call->playback, now_us));
	take_turns(call, now_us);
	journal_drop_partial(call->journal, ENGINE_ROLE_USER);
	journal_drop_partial(call->journal, ENGINE_ROLE_AGENT);
}

/* Engines of the generic kind do not say that they were interrupted: a user who speaks while the
 * agent is heard does. The last text of a turn that began earlier says nothing new. */
static bool
is_barge_in(struct call *call, const struct engine_event *event, uint64_t now_us)
{
	return !call->ops->interrupts && event->role == ENGINE_ROLE_USER && event->text_len > 0 &&
		   playback_playing(&call->playback, now_us) &&
		   !(event->is_final && turns_user_open(&call->turns));
}

static void
on_transcript(struct call *call, const struct engine_event *event, uint64_t now_us)
{
	const struct turn *turn;

	if (event->is_echo)
		return;
	if (is_barge_in(call, event, now_us))
	{
		call_interrupted(call, now_us);
		call->ops->interrupt(call->engine);
	}
	call->active_us = now_us;
	if (event->role == ENGINE_ROLE_USER)
	{
		call->asked_if_there = false;
		if (event->is_final && !playback_playing(&call->playback, now_us))
			call->user_done_us = now_us;
	}
	turn = turns_transcript(&call->turns, event, call_ms(call, now_us),
							playback_sent_ms(&call->playback));
	if (turn != NULL && !turn->interrupted)
	{
		call_finish_turn(call, turn);
		note_partial(call, turn);
	}
	take_turns(call, now_us);
	call->due_us = now_us;
}

static const struct tool_limit *
find_tool(const struct call *call, const char *name)
{
	for (unsigned i = 0; i < call->tool_count; i++)
		if (strcmp(call->tools[i].name, name) == 0)
			return &call->tools[i];
	return NULL;
}

static void
give_result(struct call *call, const char *invocation_id, const char *name, const char *json,
			const char *error, bool unknown)
{
	struct engine_tool_result result = {invocation_id, name, json, error, unknown};

	if (call->engine != NULL)
		call->ops->tool_result(call->engine, &result);
}

/* What the database wants said and done. */
static void
follow_answer(struct call *call, struct json_object *answer)
{
	const char *say = json_text(answer, "say", "");
	bool end = strcmp(json_text(answer, "action", ""), "end_call") == 0;

	if (say[0] != '\0' && call->engine != NULL)
	{
		if (end)
			call_finish_words(call, say);
		call->ops->say(call->engine, say);
	}
	if (end)
		call_end_with(call, CALL_EVENT_HANGUP, CALL_AGENT_HANGUP);
}

void
call_talk_answered(struct gateway *gateway, uint64_t call_id, const char *json)
{
	struct call *call = call_by_id(gateway, call_id);
	struct va_error err = {""};
	struct json_object *answer = json_parse(json, strlen(json), &err);

	if (call != NULL && answer != NULL && call->state == CALL_BRIDGED)
		follow_answer(call, answer);
	json_object_put(answer);
}

static void
tool_answered(struct call *call, const struct tool_job *job, const char *text)
{
	struct va_error err = {""};
	struct json_object *reply = json_parse(text, strlen(text), &err);
	const char *error = json_text(reply, "error", NULL);
	struct json_object *result = json_member(reply, "result");

	if (reply == NULL)
		error = "the tool gave no usable answer";
	give_result(call, job->invocation_id, job->name,
				error != NULL ? NULL
							  : json_object_to_json_string_ext(result, JSON_C_TO_STRING_PLAIN),
				error, reply != NULL && json_flag(reply, "unknown", false));
	follow_answer(call, reply);
	json_object_put(reply);
}

static void
tool_done(void *arg, const struct db_reply *reply)
{
	struct tool_job *job = arg;
	struct call *call = call_by_id(job->gateway, job->call_id);

	if (call != NULL && call->tools_open > 0)
		call->tools_open--;
	if (call != NULL && call->engine_number == job->engine_number)
	{
		if (reply->outcome == DB_OK && PQntuples(reply->result) == 1 &&
			!PQgetisnull(reply->result, 0, 0))
			tool_answered(call, job, PQgetvalue(reply->result, 0, 0));
		else
		{
			call_log(call, LOG_LEVEL_WARNING, "a tool could not be run",
					 reply->outcome == DB_TIMEOUT ? "no answer in time" : reply->message);
			give_result(call, job->invocation_id, job->name, NULL,
						"This did not work at the moment. Apologise and offer to try again later.",
						false);
		}
	}
	free(job);
}

static void
on_tool_call(struct call *call, const struct engine_event *event)
{
	const struct tool_limit *tool = find_tool(call, event->tool_name);
	struct tool_job *job;
	char key[TOOL_KEY_SIZE];

	call->metrics.tool_calls++;
	call->gateway->counters.tool_calls++;
	if (tool == NULL || strlen(event->invocation_id) >= sizeof(job->invocation_id))
	{
		give_result(call, event->invocation_id, event->tool_name, NULL,
					"There is no tool of this name.", true);
		return;
	}
	job = calloc(1, sizeof(*job));
	if (job == NULL)
		return;
	job->gateway = call->gateway;
	job->call_id = call->id;
	job->engine_number = call->engine_number;
	memcpy(job->invocation_id, event->invocation_id, strlen(event->invocation_id) + 1);
	memcpy(job->name, tool->name, sizeof(job->name));

	/* Engines number their invocations from the beginning in each session; some not at all. */
	if (event->invocation_id[0] != '\0')
		snprintf(key, sizeof(key), "%s/%u/%s", call->stream_sid, call->engine_number,
				 event->invocation_id);
	else
		snprintf(key, sizeof(key), "%s/%u/#%u", call->stream_sid, call->engine_number,
				 call->metrics.tool_calls);

	const char *values[] = {
		call->call_uuid, key, job->name,
		json_object_to_json_string_ext(event->arguments, JSON_C_TO_STRING_PLAIN)};
	unsigned timeout =
		tool->timeout_ms > 2 * TOOL_MARGIN_MS ? tool->timeout_ms - TOOL_MARGIN_MS : TOOL_MARGIN_MS;

	call->tools_open++;
	journal_flush(call->journal);
	db_request(call->gateway->db, db_affinity(call->call_sid), call->gateway->sql.texts[SQL_TOOL],
			   4, values, timeout, tool_done, job);
}

void
call_talk_event(struct call *call, const struct engine_event *event)
{
	uint64_t now_us = loop_now_us();

	switch (event->type)
	{
		case ENGINE_INTERRUPTED:
			call_interrupted(call, now_us);
			call->active_us = now_us;
			take_turns(call, now_us);
			break;
		case ENGINE_TRANSCRIPT: on_transcript(call, event, now_us); break;
		case ENGINE_TOOL_CALL:
			call->active_us = now_us;
			on_tool_call(call, event);
			break;
		case ENGINE_ERROR:
		case ENGINE_MALFORMED:
			call_log(call, LOG_LEVEL_WARNING,
					 event->type == ENGINE_ERROR ? "the voice engine reports an error"
												 : "the voice engine sent a malformed message",
					 event->text);
			break;
		default: break;
	}
}

void
call_digit(struct call *call, char digit)
{
	uint64_t now_us = loop_now_us();

	call->metrics.dtmf++;
	call->active_us = now_us;
	call->asked_if_there = false;
	keys_press(&call->keys, digit, now_us);
	call->due_us = now_us;
}

static void
keys_tick(struct call *call, uint64_t now_us)
{
	char sentence[KEYS_SENTENCE_SIZE];
	char bare[KEYS_SENTENCE_SIZE];

	if (call->state != CALL_BRIDGED || !keys_due(&call->keys, now_us))
		return;
	keys_take(&call->keys, sentence, bare);
	/* An engine that does not notice interruptions would talk on over the keys. */
	if (!call->ops->interrupts && playback_playing(&call->playback, now_us))
	{
		call_interrupted(call, now_us);
		call->ops->interrupt(call->engine);
	}
	turns_keys(&call->turns, bare, call_ms(call, now_us));
	call->user_done_us = now_us;
	call->active_us = now_us;
	call->ops->user_text(call->engine, sentence);
}

/* Silence of both sides: ask once, then give up. */
void
call_inactivity_tick(struct call *call, uint64_t now_us)
{
	uint64_t limit_us = (uint64_t) call->inactivity_s * 1000000;

	if (call->state != CALL_BRIDGED || limit_us == 0)
		return;
	if (playback_playing(&call->playback, now_us) || call->tools_open > 0)
		call->active_us = now_us;
	if (now_us - call->active_us < limit_us)
		return;
	if (call->asked_if_there)
	{
		call_end_with(call, CALL_EVENT_LIMIT, CALL_INACTIVITY);
		return;
	}
	call->asked_if_there = true;
	call->active_us = now_us;
	if (call->inactivity_message != NULL && call->inactivity_message[0] != '\0')
		call->ops->say(call->engine, call->inactivity_message);
}

void
call_talk_tick(struct call *call, uint64_t now_us)
{
	keys_tick(call, now_us);
	take_turns(call, now_us);
	journal_tick(call->journal, now_us);
}
