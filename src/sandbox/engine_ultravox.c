/*
 * engine_ultravox.c: Ultravox's REST calls and its serverWebSocket, as documented.
 *
 * A call is created by POST /api/calls, joined once by its URL, and lives until the socket closes.
 * Audio is binary, s16le at the negotiated rates; everything else is JSON with a "type".
 * Source: docs.ultravox.ai, API reference "Calls", "Data Messages", guide "WebSockets".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sandbox/codec.h"
#include "sandbox/engine.h"
#include "sandbox/json_text.h"
#include "sandbox/ultravox_request.h"

#define DEFAULT_BUFFER_MS 60
#define DEFAULT_HANGOVER_MS 384
#define DEFAULT_INTERRUPT_MS 200
#define LEAST_IDLE_MS 10000

/* A creation that is answered later (fault slow_create_ms). */
struct slow_answer
{
	uv_timer_t timer;
	struct http_exchange *ex;
	struct json_object *body;
};

static struct json_object *
wire_time(int64_t wall_ms)
{
	time_t seconds = (time_t) (wall_ms / 1000);
	struct tm tm;
	char day[32], text[64];

	if (wall_ms == 0)
		return NULL;
	gmtime_r(&seconds, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%03d000Z", day, (int) (wall_ms % 1000));
	return json_object_new_string(text);
}

static struct json_object *
call_object(const struct session *s)
{
	static const char *const echoed[] = {"model",
										 "systemPrompt",
										 "temperature",
										 "voice",
										 "languageHint",
										 "joinTimeout",
										 "maxDuration",
										 "medium",
										 "recordingEnabled",
										 "vadSettings",
										 "metadata",
										 "firstSpeakerSettings",
										 "initialState",
										 "inactivityMessages"};
	struct json_object *o = json_object_new_object();
	char url[160];

	json_put_text(o, "callId", s->id);
	json_object_object_add(o, "created", wire_time(s->created_wall_ms));
	json_object_object_add(o, "joined", wire_time(s->joined_wall_ms));
	json_object_object_add(o, "ended", wire_time(s->ended_wall_ms));
	json_put_text(o, "endReason", s->ended ? s->end_reason : NULL);
	json_put_text(o, "billingStatus", "BILLING_STATUS_FREE_OTHER");
	if (s->ended && s->joined_wall_ms)
	{
		char billed[32];

		snprintf(billed, sizeof(billed), "%llds",
				 (long long) ((s->ended_wall_ms - s->joined_wall_ms + 999) / 1000));
		json_put_text(o, "billedDuration", billed);
	}
	else
		json_put_text(o, "billedDuration", NULL);
	snprintf(url, sizeof(url), "ws://127.0.0.1:%u/calls/%s/join", s->engine->port, s->id);
	json_put_text(o, "joinUrl", url);
	for (size_t i = 0; i < sizeof(echoed) / sizeof(echoed[0]); i++)
	{
		struct json_object *member = NULL;

		if (json_object_object_get_ex(s->request, echoed[i], &member))
			json_object_object_add(o, echoed[i], json_object_get(member));
	}
	return o;
}

static void
answer_slowly(uv_timer_t *timer)
{
	struct slow_answer *slow = timer->data;

	engine_answer(slow->ex, 201, slow->body, NULL);
	uv_close((uv_handle_t *) timer, (uv_close_cb) free);
}

static void
answer_created(struct session *s, struct http_exchange *ex)
{
	struct slow_answer *slow;

	if (!s->faults->slow_create_ms)
	{
		engine_answer(ex, 201, call_object(s), NULL);
		return;
	}
	/* The timer is the first member: freeing it frees all. */
	slow = calloc(1, sizeof(*slow));
	if (!slow)
		abort();
	slow->ex = ex;
	slow->body = call_object(s);
	uv_timer_init(loop_uv(s->engine->loop), &slow->timer);
	slow->timer.data = slow;
	uv_timer_start(&slow->timer, answer_slowly, s->faults->slow_create_ms, 0);
}

/* Refuses on purpose; true when it did. */
static bool
refuse(struct engine *engine, struct faults *faults, struct http_exchange *ex)
{
	char header[64];

	if (faults->create_429)
	{
		struct json_object *body = json_object_new_object();

		faults->create_429--;
		snprintf(header, sizeof(header), "Retry-After: %u\r\n", faults->retry_after);
		json_put_text(body, "detail", "Too many concurrent calls.");
		ledger_note(engine->ledger, "", "fault", "fault", "create_429");
		engine_answer(ex, 429, body, header);
		return true;
	}
	if (faults->create_500)
	{
		faults->create_500--;
		ledger_note(engine->ledger, "", "fault", "fault", "create_500");
		http_answer(ex, 500, "text/html", "<h1>Server Error</h1>", 21, NULL);
		return true;
	}
	return false;
}

static void
take_settings(struct session *s)
{
	struct json_object *m = json_text_child(s->request, "medium", json_type_object);
	struct json_object *socket = json_text_child(m, "serverWebSocket", json_type_object);
	struct json_object *metadata = json_text_child(s->request, "metadata", json_type_object);
	struct json_object *rate = NULL;
	long idle = ultravox_member_ms(socket, "mediaIdleTimeout", 0);

	s->input_rate =
		(unsigned) json_object_get_int(json_text_child(socket, "inputSampleRate", json_type_int));
	rate = json_text_child(socket, "outputSampleRate", json_type_int);
	s->output_rate = rate ? (unsigned) json_object_get_int(rate) : s->input_rate;
	s->join_timeout_ms = (unsigned) ultravox_member_ms(s->request, "joinTimeout", 30000);
	s->max_duration_ms = (unsigned) ultravox_member_ms(s->request, "maxDuration", 3600000);
	s->idle_timeout_ms = (unsigned) (idle > 0 && idle < LEAST_IDLE_MS ? LEAST_IDLE_MS : idle);
	s->time_exceeded = json_text_member(s->request, "timeExceededMessage");
	s->scenario = session_scenario(s->engine, json_text_member(metadata, "scenario"),
								   json_text_member(s->request, "systemPrompt"));
}

static void
create_call(struct engine *engine, struct http_exchange *ex, const struct http_request *req)
{
	char error[256];
	struct json_object *body, *metadata, *medium;
	struct faults *faults;
	const char *spec;
	struct session *s;

	body = json_text_object(req->body, req->body_len, error, sizeof(error));
	if (!body || !ultravox_request_check(body, error, sizeof(error)))
	{
		json_object_put(body);
		ledger_note(engine->ledger, "", "refused", "detail", error);
		engine_answer_detail(ex, 400, error);
		return;
	}
	medium = json_text_child(body, "medium", json_type_object);
	metadata = json_text_child(body, "metadata", json_type_object);
	spec = json_text_member(metadata, "fault");
	faults = fault_book_get(engine->faults, spec[0] ? spec : engine->fault, error, sizeof(error));
	if (!faults || !json_text_child(medium, "serverWebSocket", json_type_object))
	{
		engine_answer_detail(ex, 400, faults ? "the sandbox has only serverWebSocket" : error);
		json_object_put(body);
		return;
	}
	if (refuse(engine, faults, ex))
	{
		json_object_put(body);
		return;
	}
	s = session_new(engine, DIALECT_ULTRAVOX);
	s->request = body;
	s->faults = faults;
	take_settings(s);
	ledger_note(engine->ledger, s->id, "created", "scenario", s->scenario->name);
	answer_created(s, ex);
}

static void
list_messages(struct session *s, struct http_exchange *ex)
{
	struct json_object *page = json_object_new_object();

	json_object_object_add(page, "results", json_object_get(s->messages));
	json_put_text(page, "next", NULL);
	json_put_text(page, "previous", NULL);
	json_put_int(page, "total", (long long) json_object_array_length(s->messages));
	engine_answer(ex, 200, page, NULL);
}

void
ultravox_request(struct engine *engine, struct http_exchange *ex, const struct http_request *req)
{
	bool get = strcmp(req->method, "GET") == 0;
	char id[40];
	const char *rest;
	struct session *s;

	if (http_header(ex, "x-api-key")[0] == '\0')
	{
		engine_answer_detail(ex, 401, "Authentication credentials were not provided.");
		return;
	}
	if (strcmp(req->path, "/api/calls") == 0)
	{
		if (strcmp(req->method, "POST") == 0)
			create_call(engine, ex, req);
		else
			engine_answer_detail(ex, 405, "Method not allowed.");
		return;
	}
	rest = strncmp(req->path, "/api/calls/", 11) == 0 ? req->path + 11 : "";
	snprintf(id, sizeof(id), "%.*s", (int) (strcspn(rest, "/") < 39 ? strcspn(rest, "/") : 39),
			 rest);
	s = id[0] ? session_find(engine, id) : NULL;
	rest += strlen(id);
	if (!s || s->dialect != DIALECT_ULTRAVOX || !get)
		engine_answer_detail(ex, 404, "Not found.");
	else if (rest[0] == '\0')
		engine_answer(ex, 200, call_object(s), NULL);
	else if (strcmp(rest, "/messages") == 0)
		list_messages(s, ex);
	else
		engine_answer_detail(ex, 404, "Not found.");
}

/* ---- the conversation's doings, as data messages ---- */

static void
remember(struct session *s, const char *role, const char *text, const char *medium)
{
	struct json_object *m = json_object_new_object();

	json_put_text(m, "role", role);
	json_put_text(m, "text", text);
	json_put_text(m, "medium", medium);
	json_put_int(m, "callStageMessageIndex", (long long) json_object_array_length(s->messages));
	json_object_array_add(s->messages, m);
}

static void
send_transcript(struct session *s, const char *role, const char *medium, const char *text,
				const char *delta, int ordinal)
{
	struct json_object *o = session_message("transcript");

	json_put_text(o, "role", role);
	json_put_text(o, "medium", medium);
	json_put_text(o, "text", text);
	json_put_text(o, "delta", delta);
	json_put_bool(o, "final", text != NULL);
	json_put_int(o, "ordinal", ordinal);
	session_send(s, o);
}

static void
put_audio(void *arg, const int16_t *pcm, size_t count)
{
	struct session *s = arg;

	if (!s->ws)
		return;
	ws_send_copy(s->ws, WS_BINARY, (const char *) pcm, count * sizeof(int16_t), true);
	session_spoke(s, count * sizeof(int16_t));
}

static void
put_agent_piece(void *arg, int ordinal, const char *piece)
{
	send_transcript(arg, "agent", "voice", NULL, piece, ordinal);
}

static void
put_agent_final(void *arg, int ordinal, const char *text)
{
	send_transcript(arg, "agent", "voice", text, NULL, ordinal);
	remember(arg, "MESSAGE_ROLE_AGENT", text, "MESSAGE_MEDIUM_VOICE");
}

static void
put_user_partial(void *arg, const char *text)
{
	/* The service sends user lines once, when they are final. */
	(void) arg;
	(void) text;
}

static void
put_user_final(void *arg, int ordinal, const char *text, bool spoken)
{
	send_transcript(arg, "user", spoken ? "voice" : "text", text, NULL, ordinal);
	remember(arg, "MESSAGE_ROLE_USER", text,
			 spoken ? "MESSAGE_MEDIUM_VOICE" : "MESSAGE_MEDIUM_TEXT");
}

static void
put_state(void *arg, const char *state)
{
	struct json_object *o = session_message("state");

	json_put_text(o, "state", state);
	session_send(arg, o);
}

static void
put_clear(void *arg)
{
	session_send(arg, session_message("playback_clear_buffer"));
}

static void
put_tool(void *arg, const char *id, const char *name, struct json_object *arguments)
{
	struct session *s = arg;
	struct json_object *o = session_message("client_tool_invocation");

	json_put_text(o, "toolName", name);
	json_put_text(o, "invocationId", id);
	json_object_object_add(o, "parameters", json_object_get(arguments));
	session_send(s, o);
	remember(s, "MESSAGE_ROLE_TOOL_CALL", json_object_to_json_string(arguments),
			 "MESSAGE_MEDIUM_TEXT");
}

static void
put_ended(void *arg, const char *reason)
{
	session_end(arg, reason);
}

static const struct conversation_output output = {
	.audio = put_audio,
	.agent_piece = put_agent_piece,
	.agent_final = put_agent_final,
	.user_partial = put_user_partial,
	.user_final = put_user_final,
	.state = put_state,
	.clear = put_clear,
	.tool = put_tool,
	.ended = put_ended,
};

/* ---- joining ---- */

static struct json_object *
history_of(struct json_object *messages)
{
	struct json_object *history = json_object_new_array();

	for (size_t i = 0; messages && i < json_object_array_length(messages); i++)
	{
		struct json_object *m = json_object_array_get_idx(messages, i);
		struct json_object *turn;
		const char *role = json_text_member(m, "role");
		bool user = strcmp(role, "MESSAGE_ROLE_USER") == 0;

		if (!user && strcmp(role, "MESSAGE_ROLE_AGENT") != 0)
			continue;
		turn = json_object_new_object();
		json_put_text(turn, "role", user ? "user" : "agent");
		json_put_text(turn, "text", json_text_member(m, "text"));
		json_object_array_add(history, turn);
	}
	return history;
}

static void
take_inactivity(struct conversation_options *o, struct json_object *list)
{
	for (size_t i = 0; list && i < json_object_array_length(list); i++)
	{
		struct json_object *item = json_object_array_get_idx(list, i);
		struct conversation_inactivity *to = &o->inactivity[o->inactivity_count];
		const char *end = json_text_member(item, "endBehavior");

		if (o->inactivity_count == CONVERSATION_MAX_INACTIVITY)
			return;
		to->ms = (unsigned) ultravox_member_ms(item, "duration", 30000);
		to->text = json_text_member(item, "message");
		to->hang_up = strstr(end, "HANG_UP") != NULL;
		o->inactivity_count++;
	}
}

static void
begin_conversation(struct session *s)
{
	struct json_object *vad = json_text_child(s->request, "vadSettings", json_type_object);
	struct json_object *medium = json_text_child(s->request, "medium", json_type_object);
	struct json_object *socket = json_text_child(medium, "serverWebSocket", json_type_object);
	struct json_object *first =
		json_text_child(s->request, "firstSpeakerSettings", json_type_object);
	struct json_object *agent = json_text_child(first, "agent", json_type_object);
	struct json_object *buffer = json_text_child(socket, "clientBufferSizeMs", json_type_int);
	struct json_object *flag = json_text_child(agent, "uninterruptible", json_type_boolean);
	struct conversation_options o = {.scenario = s->scenario,
									 .speech = s->engine->speech,
									 .ledger = s->engine->ledger,
									 .id = s->id,
									 .input_rate = s->input_rate,
									 .output_rate = s->output_rate,
									 .think_ms = s->engine->think_ms,
									 .late_text_ms = s->engine->late_text_ms,
									 .out = &output,
									 .arg = s};
	char error[256] = "";

	o.ahead_ms = buffer ? (unsigned) json_object_get_int(buffer) : DEFAULT_BUFFER_MS;
	o.hangover_ms = (unsigned) ultravox_member_ms(vad, "turnEndpointDelay", DEFAULT_HANGOVER_MS);
	o.interrupt_ms =
		(unsigned) ultravox_member_ms(vad, "minimumInterruptionDuration", DEFAULT_INTERRUPT_MS);
	o.greeting_uninterruptible = flag && json_object_get_boolean(flag);
	if (json_text_child(first, "user", json_type_object))
		o.greeting = "";
	else if (json_object_object_get_ex(agent, "text", NULL))
		o.greeting = json_text_member(agent, "text");
	take_inactivity(&o, json_text_child(s->request, "inactivityMessages", json_type_array));
	o.history = history_of(json_text_child(s->request, "initialMessages", json_type_array));
	o.tools = ultravox_tool_names(s->request);
	s->talk = conversation_new(&o, engine_now_ms(), error, sizeof(error));
	json_object_put(o.history);
	json_object_put(o.tools);
	if (!s->talk)
	{
		ledger_note(s->engine->ledger, s->id, "failed", "why", error);
		fprintf(stderr, "voiceagent: %s\n", error);
		session_end(s, "system_error");
	}
}

static void
on_open(void *arg, struct ws *ws)
{
	struct session *s = arg;
	struct json_object *o;

	s->ws = ws;
	s->opened_ms = s->last_audio_ms = engine_now_ms();
	s->joined_wall_ms = loop_wall_ms();
	ledger_note(s->engine->ledger, s->id, "joined", NULL, NULL);
	if (s->faults->never_ready)
	{
		ledger_note(s->engine->ledger, s->id, "fault", "fault", "never_ready");
		return;
	}
	o = session_message("call_started");
	json_put_text(o, "callId", s->id);
	session_send(s, o);
	begin_conversation(s);
}

static void
violation(struct session *s, const char *what)
{
	ledger_note(s->engine->ledger, s->id, "violation", "what", what);
}

static void
on_tool_result(struct session *s, struct json_object *m)
{
	const char *error_type = json_text_member(m, "errorType");
	const char *response = json_text_member(m, "responseType");
	bool failed = error_type[0] != '\0';
	bool has_result = json_object_object_get_ex(m, "result", NULL);
	const char *text = failed ? json_text_member(m, "errorMessage") : json_text_member(m, "result");

	if (has_result && !json_text_child(m, "result", json_type_string))
		violation(s, "client_tool_result.result is not a string");
	if (failed && has_result)
		violation(s, "client_tool_result has both result and errorType");
	if (failed && strcmp(error_type, "undefined") != 0 &&
		strcmp(error_type, "implementation-error") != 0)
		violation(s, "client_tool_result.errorType is unknown");
	remember(s, "MESSAGE_ROLE_TOOL_RESULT", text, "MESSAGE_MEDIUM_TEXT");
	if (!conversation_tool_result(s->talk, json_text_member(m, "invocationId"), "", text, failed,
								  strcmp(response, "hang-up") == 0, engine_now_ms()))
		violation(s, "client_tool_result for no outstanding invocation");
}

static void
on_data_message(struct session *s, struct json_object *m)
{
	const char *type = json_text_member(m, "type");
	bool immediate = strcmp(json_text_member(m, "urgency"), "immediate") == 0;
	uint64_t now = engine_now_ms();
	struct json_object *stamp = NULL;

	if (strcmp(type, "ping") == 0)
	{
		struct json_object *o = session_message("pong");

		if (json_object_object_get_ex(m, "timestamp", &stamp))
			json_object_object_add(o, "timestamp", json_object_get(stamp));
		else
			violation(s, "ping without timestamp");
		session_send(s, o);
	}
	else if (strcmp(type, "user_text_message") == 0 && json_object_object_get_ex(m, "text", NULL))
		conversation_text(s->talk, json_text_member(m, "text"), immediate, now);
	else if (strcmp(type, "forced_agent_message") == 0)
		conversation_say(s->talk, json_text_member(m, "content"), immediate, false, now);
	else if (strcmp(type, "hang_up") == 0)
	{
		ledger_note(s->engine->ledger, s->id, "hang_up", "message", json_text_member(m, "message"));
		conversation_say(s->talk, json_text_member(m, "message"), true, true, now);
	}
	else if (strcmp(type, "client_tool_result") == 0)
		on_tool_result(s, m);
	else if (strcmp(type, "set_output_medium") != 0)
		violation(s, "unknown message type");
}

static void
on_binary(struct session *s, const char *data, size_t len)
{
	int16_t pcm[4096];

	if (len % 2 != 0)
		violation(s, "audio of an odd number of bytes");
	while (len >= 2)
	{
		size_t part = len / 2 < 4096 ? len / 2 : 4096;

		memcpy(pcm, data, part * 2);
		session_hear(s, pcm, part);
		data += part * 2;
		len -= part * 2;
	}
}

static void
on_message(void *arg, struct ws *ws, const char *data, size_t len, bool binary)
{
	struct session *s = arg;
	struct json_object *m;
	char error[160];

	(void) ws;
	if (s->ended)
		return;
	if (binary)
	{
		on_binary(s, data, len);
		return;
	}
	m = json_text_object(data, len, error, sizeof(error));
	if (!m)
		violation(s, "a text message that is no JSON object");
	else if (s->talk)
		on_data_message(s, m);
	json_object_put(m);
}

static void
on_close(void *arg, struct ws *ws, int code, int http_status, const char *reason)
{
	struct session *s = arg;

	(void) ws;
	(void) code;
	(void) http_status;
	session_socket_closed(s, reason);
}

static const struct ws_handlers handlers_of_join = {on_open, on_message, on_close};

int
ultravox_upgrade(struct engine *engine, const struct http_request *req,
				 const struct ws_handlers **handlers, void **arg)
{
	char id[40];
	struct session *s;

	if (strncmp(req->path, "/calls/", 7) != 0)
		return 404;
	snprintf(id, sizeof(id), "%.36s", req->path + 7);
	s = session_find(engine, id);
	if (!s || strcmp(req->path + 7 + strlen(id), "/join") != 0)
		return 404;
	if (s->joined || s->ended)
	{
		ledger_note(engine->ledger, s->id, "second_join", NULL, NULL);
		return 403;
	}
	s->joined = true;
	*handlers = &handlers_of_join;
	*arg = s;
	return 0;
}

void
ultravox_tick(struct session *s, uint64_t now_ms)
{
	if (!s->joined && now_ms > s->created_ms + s->join_timeout_ms)
		session_end(s, "unjoined");
	if (!s->ws || s->ended)
		return;
	if (s->idle_timeout_ms && now_ms > s->last_audio_ms + s->idle_timeout_ms)
		session_end(s, "connection_error");
	else if (now_ms > s->opened_ms + s->max_duration_ms && !s->time_is_up)
	{
		s->time_is_up = true;
		if (s->talk && s->time_exceeded[0])
			conversation_say(s->talk, s->time_exceeded, true, true, now_ms);
		else
			session_end(s, "timeout");
	}
}
