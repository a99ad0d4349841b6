/*
 * call.c: life and death of a call. The rules are the table of call_state.h; here is what its
 * actions do, what brings its events about, and the clock.
 *
 * Two precautions run through the file. A call is never freed from within a callback: it moves to
 * the list of the dead, which the clock clears. And whatever waits for the database keeps the number
 * of the call, not its address, and finds nothing when the call is gone.
 */
#include "gateway/call.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "gateway/call_private.h"
#include "gateway/media.h"
#include "net/db.h"
#include "net/log.h"
#include "net/loop.h"

#define TICK_US 100000 /* what is not urgent is looked at so often */
#define DEFAULT_PREPARE_MS 8000
#define DEFAULT_TOOL_MS 2500

struct stream_job
{
	struct gateway *gateway;
	uint64_t call_id;
	char call_sid[TWILIO_SID_SIZE];
	char stream_sid[TWILIO_SID_SIZE];
};

void
call_log(const struct call *call, int level, const char *message, const char *detail)
{
	struct log_context ctx = {
		.call = call->call_uuid[0] != '\0' ? call->call_uuid : NULL,
		.tenant = call->tenant_uuid[0] != '\0' ? call->tenant_uuid : NULL,
		.detail = detail,
	};

	log_write((enum log_level) level, &ctx, "%s", message);
}

struct call *
call_by_id(struct gateway *g, uint64_t id)
{
	struct call *call = g->calls;

	while (call != NULL && call->id != id)
		call = call->next;
	return call;
}

static void
copy_text(char *out, size_t size, const char *text)
{
	size_t len = strlen(text);

	if (len >= size)
		len = 0;
	memcpy(out, text, len);
	out[len] = '\0';
}

static struct call *
call_new(struct gateway *g, enum call_state state, const char *call_sid, const char *account_sid)
{
	struct call *call = calloc(1, sizeof(*call));

	if (call == NULL)
		return NULL;
	call->gateway = g;
	call->state = state;
	call->id = ++g->next_call_id;
	copy_text(call->call_sid, sizeof(call->call_sid), call_sid);
	copy_text(call->account_sid, sizeof(call->account_sid), account_sid);
	call->metrics.answer_ms = call->metrics.stream_start_ms = -1;
	call->metrics.engine_prepare_ms = -1;
	call->metrics.engine_ready_ms = call->metrics.first_audio_ms = -1;
	call->created_us = call->active_us = loop_now_us();
	call->journal = journal_new(g, call_sid, call->id, call_talk_answered);
	if (call->journal == NULL)
	{
		free(call);
		return NULL;
	}
	call->next = g->calls;
	if (g->calls != NULL)
		g->calls->prev = call;
	g->calls = call;
	call_index_sid(g, call);
	g->call_count++;
	g->counters.calls++;
	gateway_wake(g);
	return call;
}

static void
forget_session(struct call *call)
{
	if (call->session != NULL)
		voice_session_free(call->session);
	call->session = NULL;
}

static void
drop_engine(struct call *call, bool hang_up)
{
	struct engine *engine = call->engine;

	call->engine = NULL;
	if (engine != NULL)
		call->ops->close(engine, hang_up);
}

/* Off the list of the living; the clock frees it. */
static void
call_bury(struct call *call)
{
	struct gateway *g = call->gateway;

	if (call->prev != NULL)
		call->prev->next = call->next;
	else
		g->calls = call->next;
	if (call->next != NULL)
		call->next->prev = call->prev;
	g->call_count--;
	call_index_remove(g, call);
	call->prev = NULL;
	call->next = g->dead;
	g->dead = call;
	gateway_wake(g);
}

static void
call_free(struct call *call)
{
	forget_session(call);
	turns_free(&call->turns);
	call_audio_free(call);
	free(call->inactivity_message);
	free(call->apology);
	free(call->finish_words);
	free(call->tools);
	OPENSSL_cleanse(call->token, sizeof(call->token));
	free(call);
}

/* ---- the session ---- */

static void
read_tools(struct call *call, struct json_object *tools)
{
	size_t count = tools != NULL ? json_object_array_length(tools) : 0;

	free(call->tools);
	call->tool_count = 0;
	if (count > CALL_TOOLS)
		count = CALL_TOOLS;
	call->tools = count > 0 ? calloc(count, sizeof(*call->tools)) : NULL;
	for (size_t i = 0; call->tools != NULL && i < count; i++)
	{
		struct json_object *tool = json_object_array_get_idx(tools, i);
		struct tool_limit *limit = &call->tools[call->tool_count++];
		int64_t ms = DEFAULT_TOOL_MS;

		copy_text(limit->name, sizeof(limit->name), json_text(tool, "name", ""));
		json_integer(tool, "timeout_ms", &ms);
		limit->timeout_ms = ms > 0 && ms <= 60000 ? (unsigned) ms : DEFAULT_TOOL_MS;
	}
}

static void
replace_text(char **to, const char *text)
{
	free(*to);
	*to = strdup(text);
}

/* Keeps what is needed after the session's document is freed. Takes the session over. */
static void
adopt_session(struct call *call, struct voice_session *session)
{
	forget_session(call);
	call->session = session;
	copy_text(call->call_uuid, sizeof(call->call_uuid), session->call_id);
	copy_text(call->tenant_uuid, sizeof(call->tenant_uuid), session->tenant_id);
	call->max_duration_s = session->max_duration_s;
	call->inactivity_s = session->inactivity_s;
	call->prepare_timeout_ms =
		session->prepare_timeout_ms > 0 ? session->prepare_timeout_ms : DEFAULT_PREPARE_MS;
	call->resumed = session->resumed;
	replace_text(&call->inactivity_message, session->inactivity_message);
	replace_text(&call->apology, session->apology);
	read_tools(call, session->tools);
}

static void
start_engine(struct call *call)
{
	struct va_error err = {""};

	drop_engine(call, false);
	call->engine_number++;
	call->engine_us = loop_now_us();
	call->ops = call->session != NULL ? engine_find(call->session->engine) : NULL;
	if (call->ops == NULL)
		va_fail(&err, "the session names an unknown engine");
	else
		call->engine = call->ops->open(call->gateway, call->session, &call_engine_host, call, &err);
	if (call->engine != NULL)
	{
		turns_init(&call->turns, call->ops->cuts);
		return;
	}
	call->gateway->counters.engine_failures++;
	call_log(call, LOG_LEVEL_WARNING, "a voice engine cannot be used", err.text);
	call_end_with(call, CALL_EVENT_ENGINE_FAILED, CALL_ENGINE_FAILED);
}

/* ---- upcalls of the engine ---- */

static void
engine_ready(void *arg)
{
	struct call *call = arg;
	uint64_t now_us = loop_now_us();
	int64_t prepare_ms = (int64_t) (now_us - call->engine_us) / 1000;

	if (call->metrics.engine_ready_ms < 0)
	{
		call->metrics.engine_prepare_ms = prepare_ms;
		call->metrics.engine_ready_ms = (int64_t) (now_us - call->created_us) / 1000;
	}
	call->engine_failures = 0;
	call_note_state(call, call->engine_was_ready ? "engine_resumed" : "engine_ready", NULL,
					prepare_ms);
	call->engine_was_ready = true;
	call_event(call, CALL_EVENT_ENGINE_READY);
}

static void
engine_audio(void *arg, const uint8_t *ulaw, size_t count)
{
	call_audio_out(arg, ulaw, count, loop_now_us());
}

static void
engine_event(void *arg, const struct engine_event *event)
{
	call_talk_event(arg, event);
}

static void
engine_lost(void *arg, enum engine_loss loss, const char *why)
{
	struct call *call = arg;
	bool again;

	drop_engine(call, false);
	if (loss == ENGINE_FINISHED)
	{
		call_end_with(call, CALL_EVENT_ENGINE_ENDED, CALL_ENGINE_ENDED);
		return;
	}
	call_log(call, LOG_LEVEL_WARNING,
			 loss == ENGINE_LOST ? "the voice engine was lost" : "the voice engine cannot be had",
			 why);
	if (loss == ENGINE_LOST)
		call->gateway->counters.engine_lost++;
	else
		call->gateway->counters.engine_failures++;
	/* A conversation under way is always worth an attempt; a start that failed was repeated by the
	 * engine already. */
	if (call->state == CALL_BRIDGED)
		again = true;
	else
		again = ++call->engine_failures < CALL_ENGINE_ATTEMPTS &&
				(call->state == CALL_RECOVERING || loss == ENGINE_LOST);
	if (again)
		call_event(call, CALL_EVENT_ENGINE_LOST);
	else
		call_end_with(call, CALL_EVENT_ENGINE_FAILED, CALL_ENGINE_FAILED);
}

const struct engine_host call_engine_host = {engine_ready, engine_audio, engine_event, engine_lost};

/* ---- the stream ---- */

/* An unknown stream that was accepted after it had gone: the database must learn that it ended. */
static void
end_gone_stream(struct stream_job *job, const char *call_uuid)
{
	static const char event[] = "{\"state\":\"ended\",\"reason\":\"" CALL_STREAM_CLOSED "\"}";
	struct journal *journal =
		journal_new(job->gateway, job->call_sid, job->call_id, call_talk_answered);

	if (journal == NULL)
		return;
	journal_set_source(journal, call_uuid, job->stream_sid);
	journal_add(journal, loop_wall_ms(), "state", event);
	journal_close(journal);
}

static struct voice_session *
session_of(const PGresult *result, int column)
{
	struct va_error err = {""};
	struct voice_session *session;

	if (PQgetisnull(result, 0, column))
		return NULL;
	session = voice_session_parse(PQgetvalue(result, 0, column),
								  (size_t) PQgetlength(result, 0, column), &err);
	if (session == NULL)
		log_error("the database gave a session that cannot be used: %s", err.text);
	return session;
}

static void
stream_accepted(struct call *call, struct stream_job *job, const PGresult *result)
{
	struct voice_session *session = NULL;

	if (call == NULL || call->state == CALL_ASKING)
		session = session_of(result, 2);
	if (call == NULL)
	{
		if (session != NULL)
			end_gone_stream(job, session->call_id);
	}
	else if (call->state == CALL_ASKING && session == NULL)
		call_end_with(call, CALL_EVENT_REFUSED, CALL_REJECTED);
	else if (call->state == CALL_ASKING)
	{
		adopt_session(call, session);
		journal_set_source(call->journal, call->call_uuid, call->stream_sid);
		call_event(call, CALL_EVENT_SESSION);
		return;
	}
	if (session != NULL)
		voice_session_free(session);
}

static void
stream_confirmed(void *arg, const struct db_reply *reply)
{
	struct stream_job *job = arg;
	struct call *call = call_by_id(job->gateway, job->call_id);
	bool row = reply->outcome == DB_OK && PQntuples(reply->result) == 1;

	if (row && PQgetvalue(reply->result, 0, 0)[0] == 't')
		stream_accepted(call, job, reply->result);
	else if (row)
	{
		gateway_reject(job->gateway, REJECT_TOKEN);
		if (call != NULL)
		{
			call_log(call, LOG_LEVEL_WARNING, "the token of a media stream was refused",
					 PQgetvalue(reply->result, 0, 1));
			call_end_with(call, CALL_EVENT_REFUSED, CALL_REJECTED);
		}
	}
	else if (call != NULL)
	{
		call_log(call, LOG_LEVEL_ERROR, "the database could not be asked about a media stream",
				 reply->message);
		/* A stream that is known goes on; one that is not has nobody to talk to. */
		if (call->state == CALL_ASKING)
			call_end_with(call, CALL_EVENT_REFUSED, CALL_ENGINE_FAILED);
	}
	free(job);
}

static void
confirm_stream(struct call *call, const char *token, unsigned timeout_ms)
{
	struct gateway *g = call->gateway;
	struct stream_job *job = calloc(1, sizeof(*job));
	const char *values[] = {call->account_sid, call->call_sid, call->stream_sid, token, g->name};

	if (job == NULL)
		return;
	job->gateway = g;
	job->call_id = call->id;
	memcpy(job->call_sid, call->call_sid, sizeof(job->call_sid));
	memcpy(job->stream_sid, call->stream_sid, sizeof(job->stream_sid));
	db_query(g->db, db_affinity(call->call_sid), g->sql.texts[SQL_STREAM_START], 5, values,
			 timeout_ms, stream_confirmed, job);
}

static void
take_stream(struct call *call, struct media *media, const struct twilio_message *start)
{
	uint64_t now_us = loop_now_us();

	call->media = media;
	memcpy(call->stream_sid, start->stream_sid, sizeof(call->stream_sid));
	call->started_us = call->frame_us = call->active_us = now_us;
	call->metrics.stream_start_ms = (int64_t) (now_us - call->created_us) / 1000;
	if (call->call_uuid[0] != '\0')
		journal_set_source(call->journal, call->call_uuid, call->stream_sid);
	call_note_state(call, "stream_started", NULL, call->metrics.stream_start_ms);
}

enum call_started
call_start(struct gateway *g, struct media *media, const struct twilio_message *start,
		   struct call **out)
{
	struct call *call = call_by_token(g, start->token);

	if (start->token[0] == '\0' || start->call_sid[0] == '\0' || start->stream_sid[0] == '\0')
		return CALL_NO_TOKEN;
	if (call != NULL)
	{
		if (call->media != NULL || strcmp(call->call_sid, start->call_sid) != 0 ||
			strcmp(call->account_sid, start->account_sid) != 0)
			return CALL_NO_TOKEN;
		*out = call;
		take_stream(call, media, start);
		confirm_stream(call, start->token, 0);
		call_event(call, CALL_EVENT_STREAM);
		return CALL_STARTED;
	}
	if (g->stopping || g->call_count >= g->settings.max_calls)
		return CALL_NO_ROOM;
	call = call_new(g, CALL_ASKING, start->call_sid, start->account_sid);
	if (call == NULL)
		return CALL_NO_ROOM;
	*out = call;
	copy_text(call->token, sizeof(call->token), start->token);
	call_index_token(g, call);
	take_stream(call, media, start);
	confirm_stream(call, start->token, CALL_ASK_MS);
	return CALL_STARTED;
}

void
call_stream_over(struct call *call, const char *reason)
{
	call->media = NULL;
	call_end_with(call, CALL_EVENT_STREAM_CLOSED, reason);
}

/* ---- actions ---- */

static void
call_end(struct call *call)
{
	uint64_t now_us = loop_now_us();
	struct media *media = call->media;
	const char *reason = call->end_reason != NULL ? call->end_reason : CALL_STREAM_CLOSED;
	bool shutdown = strcmp(reason, CALL_SHUTDOWN) == 0;
	bool rejected = strcmp(reason, CALL_REJECTED) == 0;

	call_talk_finish(call, now_us);
	call_note_metrics(call);
	call_note_state(call, "ended", reason, (int64_t) call_ms(call, now_us));
	ended_note(&call->gateway->ended, call->call_sid, reason);
	journal_close(call->journal);
	call->journal = NULL;
	drop_engine(call, !shutdown);
	call->media = NULL;
	if (media != NULL)
		media_close(media,
					shutdown   ? 1001
					: rejected ? 1008
							   : 1000,
					call->end_reason != NULL ? call->end_reason : "");
	call_log(call, LOG_LEVEL_DEBUG, "a media stream ended", call->end_reason);
}

static void
call_discard(struct call *call)
{
	call_log(call, LOG_LEVEL_INFO, "no media stream came for a prepared call", NULL);
	drop_engine(call, true);
	journal_close(call->journal);
	call->journal = NULL;
	call_bury(call);
}

static void
bridge(struct call *call)
{
	forget_session(call);
	call->active_us = loop_now_us();
	call_audio_release(call);
}

static void
session_again(void *arg, const struct db_reply *reply)
{
	struct stream_job *job = arg;
	struct call *call = call_by_id(job->gateway, job->call_id);
	struct voice_session *session = NULL;

	free(job);
	if (call == NULL || call->state != CALL_RECOVERING)
		return;
	if (reply->outcome == DB_OK && PQntuples(reply->result) == 1)
		session = session_of(reply->result, 0);
	if (session == NULL)
	{
		call_end_with(call, CALL_EVENT_REFUSED, CALL_ENGINE_FAILED);
		return;
	}
	adopt_session(call, session);
	call_event(call, CALL_EVENT_SESSION);
}

/* What the lost engine said and the caller heard goes on record first, on the same connection, so
 * that the new session's history has it. */
static void
recover(struct call *call)
{
	struct gateway *g = call->gateway;
	struct stream_job *job = calloc(1, sizeof(*job));
	const char *values[] = {call->call_uuid, g->name};
	uint64_t now_us = loop_now_us();

	call->engine_us = now_us;
	call->user_done_us = 0;
	call->tools_open = 0;
	/* Audio of the lost engine that still plays is cut: the next one does not know of it. */
	call_talk_finish(call, now_us);
	if (playback_playing(&call->playback, now_us))
		call_interrupted(call, now_us);
	call_note_state(call, "engine_lost", NULL, (int64_t) call_ms(call, now_us));
	journal_flush(call->journal);
	if (job == NULL)
	{
		call_end_with(call, CALL_EVENT_REFUSED, CALL_ENGINE_FAILED);
		return;
	}
	job->gateway = g;
	job->call_id = call->id;
	db_query(g->db, db_affinity(call->call_sid), g->sql.texts[SQL_SESSION], 2, values, CALL_ASK_MS,
			 session_again, job);
}

static void
call_do(struct call *call, enum call_action action)
{
	switch (action)
	{
		case CALL_DO_NOTHING:
		case CALL_DO_ATTACH:
		case CALL_DO_NOTE_READY: break;
		case CALL_DO_ATTACH_BRIDGE:
		case CALL_DO_BRIDGE: bridge(call); break;
		case CALL_DO_START_ENGINE: start_engine(call); break;
		case CALL_DO_RECOVER: recover(call); break;
		case CALL_DO_FINISH: call_finish_begin(call); break;
		case CALL_DO_DROP_ENGINE: drop_engine(call, false); break;
		case CALL_DO_ATTACH_END:
			call->end_reason = CALL_ENGINE_FAILED;
			/* fall through */
		case CALL_DO_END:
			call_end(call);
			call_event(call, CALL_EVENT_STREAM_CLOSED);
			break;
		case CALL_DO_END_FREE:
			call_end(call);
			call_bury(call);
			break;
		case CALL_DO_FREE: call_bury(call); break;
		case CALL_DO_DISCARD: call_discard(call); break;
	}
}

void
call_event(struct call *call, enum call_event event)
{
	struct call_step step = call_state_step(call->state, event);

	log_debug("call %llu: %s, %s -> %s", (unsigned long long) call->id,
			  call_state_name(call->state), call_event_name(event), call_state_name(step.next));
	call->state = step.next;
	call->due_us = 0;
	call_do(call, step.action);
}

void
call_end_with(struct call *call, enum call_event event, const char *reason)
{
	enum call_action action = call_state_step(call->state, event).action;

	/* The first reason stands: what follows it is only the way it ends. */
	if (call->end_reason == NULL &&
		(action == CALL_DO_END || action == CALL_DO_END_FREE || action == CALL_DO_FINISH))
		call->end_reason = reason;
	call_event(call, event);
}

void
call_prepare(struct gateway *g, const char *session_json, size_t len, const char *call_sid,
			 const char *account_sid, uint64_t received_us)
{
	struct va_error err = {""};
	struct voice_session *session = voice_session_parse(session_json, len, &err);
	struct call *call = NULL;

	if (session == NULL)
		log_error("the database gave a session that cannot be used: %s", err.text);
	else if (call_by_token(g, session->token) == NULL && !g->stopping)
		call = call_new(g, CALL_PREPARING, call_sid, account_sid);
	if (call == NULL)
	{
		if (session != NULL)
			voice_session_free(session);
		return;
	}
	call->created_us = received_us;
	call->metrics.answer_ms = (int64_t) (loop_now_us() - received_us) / 1000;
	copy_text(call->token, sizeof(call->token), session->token);
	call_index_token(g, call);
	adopt_session(call, session);
	start_engine(call);
}

void
call_sync(struct gateway *g, const char *call_sid, bool over)
{
	struct call *call = call_by_sid(g, call_sid, true);

	if (call == NULL)
		return;
	if (over)
	{
		struct media *media = call->media;

		call_stream_over(call, CALL_STREAM_CLOSED);
		media_close(media, 1000, "the stream is over");
	}
	else
		journal_flush(call->journal);
}

const char *
call_apology(struct gateway *g, const char *call_sid)
{
	struct call *call = call_by_sid(g, call_sid, false);

	return call != NULL ? call->apology : NULL;
}

/* ---- the clock ---- */

static void
limits_tick(struct call *call, uint64_t now_us)
{
	uint64_t prepare_us = (uint64_t) call->prepare_timeout_ms * 1000;

	if (call->media == NULL)
	{
		if (now_us - call->created_us > CALL_NO_STREAM_US)
			call_event(call, CALL_EVENT_LIMIT);
	}
	else if (now_us > call->frame_us + CALL_SILENT_STREAM_US)
	{
		struct media *media = call->media;

		call_log(call, LOG_LEVEL_WARNING, "a media stream fell silent", NULL);
		call_stream_over(call, CALL_STREAM_CLOSED);
		media_close(media, 1001, "no audio");
	}
	else if (call->max_duration_s > 0 &&
			 now_us - call->started_us > (uint64_t) call->max_duration_s * 1000000)
		call_end_with(call, CALL_EVENT_LIMIT, CALL_TIME_LIMIT);
	else if ((call->state == CALL_CONNECTED && now_us - call->started_us > prepare_us) ||
			 (call->state == CALL_RECOVERING && now_us - call->engine_us > prepare_us))
	{
		call->gateway->counters.engine_failures++;
		call_end_with(call, CALL_EVENT_LIMIT, CALL_ENGINE_FAILED);
	}
	else if (call->state == CALL_FINISHING && call_finish_over(call, now_us))
		call_end_with(call, CALL_EVENT_PLAYED_OUT, CALL_AGENT_HANGUP);
	else
		call_inactivity_tick(call, now_us);
}

static void
call_tick(struct call *call, uint64_t now_us)
{
	call->due_us = now_us + TICK_US;
	call_audio_tick(call, now_us);
	call_talk_tick(call, now_us);
	limits_tick(call, now_us);
	if (call->mark_wanted)
		call->due_us = call->audio_us + CALL_TAIL_US;
}

void
call_tick_all(struct gateway *g, uint64_t now_us)
{
	struct call *call = g->calls;

	while (call != NULL)
	{
		struct call *next = call->next;

		if (now_us >= call->due_us)
			call_tick(call, now_us);
		call = next;
	}
	while (g->dead != NULL)
	{
		call = g->dead;
		g->dead = call->next;
		call_free(call);
	}
}

void
call_shutdown_all(struct gateway *g)
{
	while (g->calls != NULL)
		call_end_with(g->calls, CALL_EVENT_SHUTDOWN, CALL_SHUTDOWN);
}

size_t
call_queued_bytes(const struct gateway *g)
{
	size_t bytes = 0;

	for (const struct call *call = g->calls; call != NULL; call = call->next)
	{
		bytes += call->held_in.len + call->held_out.len;
		if (call->media != NULL)
			bytes += ws_queued_bytes(media_ws(call->media));
	}
	return bytes;
}
