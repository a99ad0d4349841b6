/*
 * engine_realtime.c: the generic realtime dialect, the server's side.
 *
 * JSON text frames only; audio as base64. The dialect has no message for a greeting or for what was
 * said before a lost connection: a client tells both in the prompt, and a model would read them
 * there, so they are read there. It has no "clear" either: the server tells what the user is saying,
 * the client drops its own queue and says conversation.interrupt.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/codec.h"
#include "sandbox/engine.h"
#include "sandbox/json_text.h"

#define INPUT_RATE 16000
#define OUTPUT_RATE 24000
#define HANGOVER_MS 400
#define NEVER_MS 86400000
#define CREATE_TIMEOUT_MS 10000
#define FRAME_SAMPLES (OUTPUT_RATE / 50)

static void
send_transcript(struct session *s, const char *type, const char *role, const char *text)
{
	struct json_object *o = session_message(type);

	json_put_text(o, "text", text);
	json_put_text(o, "role", role);
	session_send(s, o);
}

static void
send_error(struct session *s, const char *code, const char *message)
{
	struct json_object *o = session_message("error");

	json_put_text(o, "code", code);
	json_put_text(o, "message", message);
	ledger_note(s->engine->ledger, s->id, "violation", "what", message);
	session_send(s, o);
}

static void
put_audio(void *arg, const int16_t *pcm, size_t count)
{
	static const char head[] = "{\"type\":\"audio.output\",\"audio\":\"";
	static const char tail[] = "\",\"encoding\":\"pcm_s16le\",\"sample_rate\":24000}";
	struct session *s = arg;
	char text[sizeof(head) + (FRAME_SAMPLES * 2 + 2) / 3 * 4 + sizeof(tail)];
	size_t at = sizeof(head) - 1;
	ssize_t len;

	memcpy(text, head, at);
	len = codec_base64_encode(text + at, sizeof(text) - at, pcm, count * sizeof(int16_t));
	if (!s->ws || len < 0 || at + (size_t) len + sizeof(tail) > sizeof(text))
		return;
	at += (size_t) len;
	memcpy(text + at, tail, sizeof(tail) - 1);
	ws_send_copy(s->ws, WS_TEXT, text, at + sizeof(tail) - 1, true);
	session_spoke(s, count * sizeof(int16_t));
}

/* Partial text is the whole so far. */
static void
put_agent_piece(void *arg, int ordinal, const char *piece)
{
	struct session *s = arg;
	struct json_object *last = NULL;
	size_t count = json_object_array_length(s->messages);
	char *text;
	size_t size;
	const char *before = "";

	(void) ordinal;
	if (count > 0)
	{
		last = json_object_array_get_idx(s->messages, count - 1);
		before = json_object_get_string(last);
	}
	size = strlen(before) + strlen(piece) + 1;
	text = malloc(size);
	if (!text)
		abort();
	snprintf(text, size, "%s%s", before, piece);
	send_transcript(s, "transcript.partial", "assistant", text);
	json_object_array_add(s->messages, json_object_new_string(text));
	if (count > 0)
		json_object_array_del_idx(s->messages, count - 1, 1);
	free(text);
}

static void
put_agent_final(void *arg, int ordinal, const char *text)
{
	struct session *s = arg;
	size_t count = json_object_array_length(s->messages);

	(void) ordinal;
	if (count > 0)
		json_object_array_del_idx(s->messages, 0, count);
	send_transcript(s, "transcript.final", "assistant", text);
}

static void
put_user_partial(void *arg, const char *text)
{
	send_transcript(arg, "transcript.partial", "user", text);
}

static void
put_user_final(void *arg, int ordinal, const char *text, bool spoken)
{
	(void) ordinal;
	/* What came as text the client knows already. */
	if (spoken)
		send_transcript(arg, "transcript.final", "user", text);
}

static void
put_state(void *arg, const char *state)
{
	(void) arg;
	(void) state;
}

static void
put_clear(void *arg)
{
	(void) arg;
}

static void
put_tool(void *arg, const char *id, const char *name, struct json_object *arguments)
{
	struct json_object *o = session_message("tool.call");

	json_put_text(o, "id", id);
	json_put_text(o, "name", name);
	json_object_object_add(o, "arguments", json_object_get(arguments));
	session_send(arg, o);
}

static void
put_ended(void *arg, const char *reason)
{
	struct session *s = arg;
	struct json_object *o = session_message("session.ended");

	json_put_text(o, "reason", reason);
	json_put_int(o, "duration_ms", (long long) (engine_now_ms() - s->opened_ms));
	session_send(s, o);
	session_end(s, reason);
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

/* The last place of mark in text, behind it; NULL when it is not there. */
static const char *
after_last(const char *text, const char *mark)
{
	const char *found = NULL;

	for (const char *at = text; (at = strstr(at, mark)) != NULL; at += strlen(mark))
		found = at + strlen(mark);
	return found;
}

/* "Caller: ..." and "You: ..." lines of a prompt that says the conversation goes on. */
static struct json_object *
history_of(const char *prompt)
{
	struct json_object *history = json_object_new_array();
	const char *at = after_last(prompt, "So far:\n");

	while (at && *at)
	{
		size_t len = strcspn(at, "\n");
		bool user = strncmp(at, "Caller: ", 8) == 0;
		size_t skip = user ? 8 : 5;
		struct json_object *turn;

		if (!user && strncmp(at, "You: ", 5) != 0)
			break;
		turn = json_object_new_object();
		json_put_text(turn, "role", user ? "user" : "agent");
		json_object_object_add(turn, "text",
							   json_object_new_string_len(at + skip, (int) (len - skip)));
		json_object_array_add(history, turn);
		at += len + (at[len] == '\n');
	}
	return history;
}

static struct json_object *
tool_names(struct session *s, struct json_object *tools)
{
	struct json_object *names = json_object_new_array();

	for (size_t i = 0; tools && i < json_object_array_length(tools); i++)
	{
		struct json_object *tool = json_object_array_get_idx(tools, i);
		const char *name = json_text_member(tool, "name");

		if (name[0] == '\0' || !json_text_child(tool, "parameters", json_type_object))
			send_error(s, "invalid_tool", "a tool without name or parameters");
		else
			json_object_array_add(names, json_object_new_string(name));
	}
	return names;
}

static void
begin_conversation(struct session *s, struct json_object *m)
{
	const char *prompt = json_text_member(m, "system_prompt");
	struct conversation_options o = {.scenario = s->scenario,
									 .speech = s->engine->speech,
									 .ledger = s->engine->ledger,
									 .id = s->id,
									 .input_rate = INPUT_RATE,
									 .output_rate = OUTPUT_RATE,
									 .ahead_ms = s->engine->burst_ms,
									 .hangover_ms = HANGOVER_MS,
									 .interrupt_ms = NEVER_MS,
									 .think_ms = s->engine->think_ms,
									 .late_text_ms = s->engine->late_text_ms,
									 .out = &output,
									 .arg = s};
	char error[256] = "";

	o.greeting = after_last(prompt, "Your first words are: ");
	o.history = history_of(prompt);
	o.tools = tool_names(s, json_text_child(m, "tools", json_type_array));
	s->talk = conversation_new(&o, engine_now_ms(), error, sizeof(error));
	json_object_put(o.history);
	json_object_put(o.tools);
	if (!s->talk)
	{
		ledger_note(s->engine->ledger, s->id, "failed", "why", error);
		fprintf(stderr, "voiceagent: %s\n", error);
		session_end(s, "error");
	}
}

static void
on_create(struct session *s, struct json_object *m)
{
	struct json_object *o;
	const char *spec = json_text_member(m, "fault");
	char error[160];

	if (s->request)
	{
		send_error(s, "already_created", "session.create came twice");
		return;
	}
	s->request = json_object_get(m);
	if (spec[0] && fault_book_get(s->engine->faults, spec, error, sizeof(error)))
		s->faults = fault_book_get(s->engine->faults, spec, error, sizeof(error));
	s->scenario = session_scenario(s->engine, json_text_member(m, "scenario"),
								   json_text_member(m, "system_prompt"));
	ledger_note(s->engine->ledger, s->id, "created", "scenario", s->scenario->name);
	if (!json_text_child(m, "tools", json_type_array))
		send_error(s, "invalid_request", "session.create without a list of tools");
	if (s->faults->never_ready)
	{
		ledger_note(s->engine->ledger, s->id, "fault", "fault", "never_ready");
		return;
	}
	o = session_message("session.created");
	json_put_text(o, "session_id", s->id);
	session_send(s, o);
	begin_conversation(s, m);
}

static void
on_audio(struct session *s, struct json_object *m)
{
	struct json_object *rate = json_text_child(m, "sample_rate", json_type_int);
	const char *audio = json_text_member(m, "audio");
	int16_t pcm[INPUT_RATE]; /* a second */
	ssize_t len = codec_base64_decode(pcm, sizeof(pcm), audio, strlen(audio));

	if (!rate || json_object_get_int(rate) != INPUT_RATE ||
		strcmp(json_text_member(m, "encoding"), "pcm_s16le") != 0)
		send_error(s, "invalid_audio", "audio.input must be pcm_s16le at 16000 Hz");
	else if (len <= 0 || len % 2 != 0)
		send_error(s, "invalid_audio", "audio.input is not base64 of whole samples");
	else if (s->talk)
		session_hear(s, pcm, (size_t) len / 2);
}

static void
on_tool_result(struct session *s, struct json_object *m)
{
	struct json_object *result = NULL, *error = NULL;
	bool has_result = json_object_object_get_ex(m, "result", &result);
	bool failed = json_object_object_get_ex(m, "error", &error);
	const char *text = failed ? json_text_member(m, "error") : json_object_to_json_string(result);

	if (has_result == failed)
		send_error(s, "invalid_result", "tool.result needs either result or error");
	else if (!conversation_tool_result(s->talk, json_text_member(m, "id"),
									   json_text_member(m, "name"), text, failed, false,
									   engine_now_ms()))
		send_error(s, "unexpected_result", "tool.result for no outstanding call");
}

static void
on_object(struct session *s, struct json_object *m)
{
	const char *type = json_text_member(m, "type");

	if (strcmp(type, "session.create") == 0)
		on_create(s, m);
	else if (!s->request)
		send_error(s, "no_session", "session.create must come first");
	else if (!s->talk)
		return;
	else if (strcmp(type, "audio.input") == 0)
		on_audio(s, m);
	else if (strcmp(type, "conversation.interrupt") == 0)
		conversation_interrupt(s->talk, engine_now_ms());
	else if (strcmp(type, "text.input") == 0)
		conversation_text(s->talk, json_text_member(m, "text"), true, engine_now_ms());
	else if (strcmp(type, "tool.result") == 0)
		on_tool_result(s, m);
	else
		send_error(s, "unknown_type", "a message of unknown type");
}

static void
on_open(void *arg, struct ws *ws)
{
	struct session *s = arg;

	s->ws = ws;
	s->opened_ms = s->last_audio_ms = engine_now_ms();
	s->joined_wall_ms = loop_wall_ms();
	ledger_note(s->engine->ledger, s->id, "joined", NULL, NULL);
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
	m = binary ? NULL : json_text_object(data, len, error, sizeof(error));
	if (m)
		on_object(s, m);
	else
		send_error(s, "invalid_message",
				   binary ? "a binary frame" : "a frame that is no JSON object");
	json_object_put(m);
}

static void
on_close(void *arg, struct ws *ws, int code, int http_status, const char *reason)
{
	(void) ws;
	(void) code;
	(void) http_status;
	session_socket_closed(arg, reason);
}

static const struct ws_handlers handlers_of_session = {on_open, on_message, on_close};

int
realtime_upgrade(struct engine *engine, const struct http_request *req,
				 struct http_exchange *headers, const struct ws_handlers **handlers, void **arg)
{
	const char *authorization = http_header(headers, "authorization");
	const char *spec = strncmp(req->query, "fault=", 6) == 0 ? req->query + 6 : engine->fault;
	char error[160];
	struct faults *faults = fault_book_get(engine->faults, spec, error, sizeof(error));
	struct session *s;

	if (strncmp(authorization, "Bearer ", 7) != 0 || authorization[7] == '\0')
		return 401;
	if (http_header(headers, "x-tenant-id")[0] == '\0' || !faults)
		return 400;
	if (faults->create_429 || faults->create_500)
	{
		bool busy = faults->create_429 > 0;

		(*(busy ? &faults->create_429 : &faults->create_500))--;
		ledger_note(engine->ledger, "", "fault", "fault", busy ? "create_429" : "create_500");
		return busy ? 429 : 500;
	}
	s = session_new(engine, DIALECT_REALTIME);
	s->faults = faults;
	s->scenario = engine->scenario;
	s->joined = true;
	s->input_rate = INPUT_RATE;
	s->output_rate = OUTPUT_RATE;
	*handlers = &handlers_of_session;
	*arg = s;
	return 0;
}

void
realtime_tick(struct session *s, uint64_t now_ms)
{
	if (s->ws && !s->request && now_ms > s->opened_ms + CREATE_TIMEOUT_MS)
		put_ended(s, "no session.create");
}
