/*
 * conversation.c: what the agent of the sandbox does with what it hears.
 *
 * The agent's doings are a short queue of actions: say, call a tool, hang up. One is under way; it
 * ends by itself (its audio has been played, its result has come) or is cut by the caller:
 *
 *	 turn ends --think_ms--> rule found --> [say] [tool].. [say] [hang up]
 *	 caller speaks interrupt_ms over a [say] --> clear, cut the text, empty the queue
 *
 * "Played" is reckoned from the clock: the far end plays in real time from the first frame on. What
 * has been said is told from the length of the audio, in proportion to the letters.
 */
#include "sandbox/conversation.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/conversation_hearing.h"
#include "sandbox/conversation_rules.h"
#include "sandbox/json_text.h"

#define MAX_ACTIONS 16
#define FRAME_MS 20
#define FRAMES_PER_TICK 25
#define TOOL_TIMEOUT_MS 15000
#define MAX_FRAME 960

enum action_kind
{
	ACTION_SAY,
	ACTION_TOOL,
	ACTION_END
};

struct action
{
	enum action_kind kind;
	bool uninterruptible;
	char *text; /* ACTION_SAY; for ACTION_END the reason */
	const struct scenario_tool *tool;
};

/* The action under way. */
struct doing
{
	bool active;
	struct action action;
	uint64_t since_ms;
	const struct speech *speech;
	size_t sent; /* samples */
	size_t text_sent; /* letters told as pieces */
	int ordinal;
	char tool_id[40];
};

struct conversation
{
	struct conversation_options o;
	char id[64];
	struct hearing hearing;
	struct rule_book rules;
	struct json_object *tools;
	struct action queue[MAX_ACTIONS];
	size_t queued;
	struct doing doing;
	char *to_answer; /* the user's words that wait for an answer */
	bool to_answer_spoken;
	uint64_t answer_at_ms;
	uint64_t quiet_since_ms;
	uint64_t now_ms; /* of the last tick */
	size_t inactivity_next;
	int ordinal;
	int tool_number;
	bool over;
	const char *state;
};

static void
set_state(struct conversation *c, const char *state)
{
	if (c->state && strcmp(c->state, state) == 0)
		return;
	c->state = state;
	c->o.out->state(c->o.arg, state);
}

static void
push(struct conversation *c, enum action_kind kind, const char *text,
	 const struct scenario_tool *tool, bool uninterruptible)
{
	struct action *a = &c->queue[c->queued];

	if (c->queued == MAX_ACTIONS)
		return;
	a->kind = kind;
	a->text = text ? strdup(text) : NULL;
	a->tool = tool;
	a->uninterruptible = uninterruptible;
	c->queued++;
}

static void
drop_queue(struct conversation *c)
{
	for (size_t i = 0; i < c->queued; i++)
		free(c->queue[i].text);
	c->queued = 0;
}

static void
finish_doing(struct conversation *c, uint64_t now_ms)
{
	free(c->doing.action.text);
	memset(&c->doing, 0, sizeof(c->doing));
	c->quiet_since_ms = now_ms;
}

static unsigned
speech_ms(const struct speech *s)
{
	return (unsigned) (s->count * 1000 / s->rate);
}

/* Letters of text said when at of whole milliseconds have been played: whole words only. */
static size_t
letters_said(const char *text, uint64_t at, uint64_t whole)
{
	size_t all = strlen(text);
	size_t n = whole ? (size_t) (all * at / whole) : all;

	if (at >= whole)
		return all;
	while (n > 0 && !(isspace((unsigned char) text[n])))
		n--;
	return n;
}

static void
note_said(struct conversation *c, const char *text, const char *full, uint64_t now_ms)
{
	struct json_object *line = ledger_line(c->o.ledger, c->id, "said");

	json_put_text(line, "text", text);
	json_put_bool(line, "interrupted", strcmp(text, full) != 0);
	if (strcmp(text, full) != 0)
		json_put_text(line, "full", full);
	json_put_int(line, "ms", (long long) (now_ms - c->doing.since_ms));
	json_put_int(line, "ordinal", c->doing.ordinal);
	ledger_write(c->o.ledger, line);
}

/* Ends the sentence under way after so much of it was played. */
static void
end_saying(struct conversation *c, uint64_t now_ms, bool cut)
{
	const char *full = c->doing.action.text;
	uint64_t whole = speech_ms(c->doing.speech);
	size_t said = cut ? letters_said(full, now_ms - c->doing.since_ms, whole) : strlen(full);
	char *text = strndup(full, said);

	c->o.out->agent_final(c->o.arg, c->doing.ordinal, text);
	note_said(c, text, full, now_ms);
	free(text);
	finish_doing(c, now_ms);
	if (c->queued == 0)
		set_state(c, "listening");
}

static void
cut(struct conversation *c, uint64_t now_ms, bool by_client)
{
	bool saying = c->doing.active && c->doing.action.kind == ACTION_SAY;

	if (saying && c->doing.action.uninterruptible)
		return;
	drop_queue(c);
	if (!saying)
		return;
	if (!by_client)
		c->o.out->clear(c->o.arg);
	ledger_note(c->o.ledger, c->id, "interrupted", "by", by_client ? "client" : "speech");
	end_saying(c, now_ms, true);
}

static void
begin_saying(struct conversation *c, uint64_t now_ms)
{
	char error[256] = "";

	c->doing.speech = speech_get(c->o.speech, c->o.scenario->agent_voice, c->doing.action.text,
								 c->o.output_rate, error, sizeof(error));
	c->doing.ordinal = c->ordinal++;
	if (!c->doing.speech || c->doing.speech->count == 0)
	{
		ledger_note(c->o.ledger, c->id, "speech_failed", "why", error);
		c->o.out->agent_final(c->o.arg, c->doing.ordinal, c->doing.action.text);
		finish_doing(c, now_ms);
		return;
	}
	set_state(c, "speaking");
}

static bool
declared(struct conversation *c, const char *name)
{
	for (size_t i = 0; c->tools && i < json_object_array_length(c->tools); i++)
		if (strcmp(json_object_get_string(json_object_array_get_idx(c->tools, i)), name) == 0)
			return true;
	return false;
}

static void
begin_tool(struct conversation *c, uint64_t now_ms)
{
	const struct scenario_tool *tool = c->doing.action.tool;
	struct json_object *arguments = tool->arguments, *line;

	if (!declared(c, tool->name))
	{
		/* A model can call no tool it was not told of; to end the call it has means of its own. */
		ledger_note(c->o.ledger, c->id, "tool_not_declared", "name", tool->name);
		finish_doing(c, now_ms);
		if (strcmp(tool->name, "end_call") == 0)
			push(c, ACTION_END, "agent_hangup", NULL, false);
		return;
	}
	snprintf(c->doing.tool_id, sizeof(c->doing.tool_id), "inv-%d", ++c->tool_number);
	arguments = arguments ? json_object_get(arguments) : json_object_new_object();
	line = ledger_line(c->o.ledger, c->id, "tool_call");
	json_put_text(line, "name", tool->name);
	json_put_text(line, "invocation", c->doing.tool_id);
	json_object_object_add(line, "arguments", json_object_get(arguments));
	ledger_write(c->o.ledger, line);
	c->o.out->tool(c->o.arg, c->doing.tool_id, tool->name, arguments);
	json_object_put(arguments);
}

/* Takes the next action. */
static void
begin_next(struct conversation *c, uint64_t now_ms)
{
	if (c->queued == 0)
		return;
	memset(&c->doing, 0, sizeof(c->doing));
	c->doing.active = true;
	c->doing.since_ms = now_ms;
	c->doing.action = c->queue[0];
	memmove(c->queue, c->queue + 1, --c->queued * sizeof(c->queue[0]));
	if (c->doing.action.kind == ACTION_SAY)
		begin_saying(c, now_ms);
	else if (c->doing.action.kind == ACTION_TOOL)
		begin_tool(c, now_ms);
	else
		conversation_end(c, c->doing.action.text);
}

static void
send_pieces(struct conversation *c, uint64_t sent_ms)
{
	const char *text = c->doing.action.text;
	size_t upto = letters_said(text, sent_ms, speech_ms(c->doing.speech));

	if (upto > c->doing.text_sent)
	{
		char *piece = strndup(text + c->doing.text_sent, upto - c->doing.text_sent);

		c->o.out->agent_piece(c->o.arg, c->doing.ordinal, piece);
		free(piece);
		c->doing.text_sent = upto;
	}
}

static void
go_on_saying(struct conversation *c, uint64_t now_ms)
{
	const struct speech *s = c->doing.speech;
	size_t frame = (size_t) s->rate * FRAME_MS / 1000;
	uint64_t played = now_ms - c->doing.since_ms;
	int16_t pcm[MAX_FRAME];

	for (int i = 0; i < FRAMES_PER_TICK && c->doing.sent < s->count; i++)
	{
		uint64_t sent_ms = c->doing.sent * 1000 / s->rate;
		size_t rest = s->count - c->doing.sent;

		if (sent_ms > played + c->o.ahead_ms)
			break;
		memset(pcm, 0, sizeof(pcm));
		memcpy(pcm, s->pcm + c->doing.sent, (rest < frame ? rest : frame) * sizeof(int16_t));
		c->o.out->audio(c->o.arg, pcm, frame);
		c->doing.sent += rest < frame ? rest : frame;
		send_pieces(c, c->doing.sent * 1000 / s->rate);
	}
	if (c->doing.sent >= s->count && played >= speech_ms(s) + c->o.late_text_ms)
		end_saying(c, now_ms, false);
}

/* Finds and queues the answer to the user's last words. */
static void
answer(struct conversation *c)
{
	const struct scenario_rule *rule = rule_book_find(&c->rules, c->to_answer, c->to_answer_spoken);

	free(c->to_answer);
	c->to_answer = NULL;
	if (!rule)
	{
		push(c, ACTION_SAY, c->o.scenario->otherwise, NULL, false);
		return;
	}
	if (rule->says)
		push(c, ACTION_SAY, rule->says, NULL, false);
	for (size_t i = 0; i < rule->tool_count; i++)
		push(c, ACTION_TOOL, NULL, &rule->tools[i], false);
	if (rule->then)
		push(c, ACTION_SAY, rule->then, NULL, false);
	if (rule->end)
		push(c, ACTION_END, "agent_hangup", NULL, false);
}

static void
user_turn(struct conversation *c, const char *text, bool spoken, uint64_t now_ms)
{
	c->o.out->user_final(c->o.arg, c->ordinal++, text, spoken);
	free(c->to_answer);
	c->to_answer = strdup(text);
	c->to_answer_spoken = spoken;
	c->answer_at_ms = now_ms + c->o.think_ms;
	c->quiet_since_ms = now_ms;
	c->inactivity_next = 0;
	set_state(c, "thinking");
}

static void
spoken_turn(struct conversation *c, uint64_t now_ms)
{
	double score = 0;
	const char *text = hearing_words(&c->hearing, &score);
	struct json_object *line = ledger_line(c->o.ledger, c->id, "heard");

	json_put_text(line, "text", text);
	json_put_int(line, "start_ms", (long long) vad_onset_ms(&c->hearing.vad));
	json_put_int(line, "end_ms", (long long) vad_end_ms(&c->hearing.vad));
	json_put_int(line, "likeness_percent", (long long) (score * 100));
	ledger_write(c->o.ledger, line);
	user_turn(c, text, true, now_ms);
}

static bool
agent_is_heard(const struct conversation *c)
{
	return c->doing.active && c->doing.action.kind == ACTION_SAY && c->doing.speech;
}

void
conversation_audio(struct conversation *c, const int16_t *pcm, size_t count, uint64_t now_ms)
{
	char partial[512];

	while (count > 0 && !c->over)
	{
		enum hearing_event event;
		size_t taken = hearing_push(&c->hearing, pcm, count, &event);

		pcm += taken;
		count -= taken;
		if (event == HEARING_NOTHING)
			continue;
		c->quiet_since_ms = now_ms;
		c->inactivity_next = 0;
		if (event == HEARING_TURN)
			spoken_turn(c, now_ms);
		else if (agent_is_heard(c) && hearing_speech_ms(&c->hearing) >= c->o.interrupt_ms)
			cut(c, now_ms, false);
		if (event == HEARING_SPEAKING && hearing_partial(&c->hearing, partial, sizeof(partial)))
			c->o.out->user_partial(c->o.arg, partial);
	}
}

void
conversation_text(struct conversation *c, const char *text, bool immediate, uint64_t now_ms)
{
	if (c->over)
		return;
	ledger_note(c->o.ledger, c->id, "heard_text", "text", text);
	if (immediate)
		cut(c, now_ms, false);
	user_turn(c, text, false, now_ms);
}

void
conversation_say(struct conversation *c, const char *text, bool immediate, bool end,
				 uint64_t now_ms)
{
	if (c->over)
		return;
	if (immediate)
		cut(c, now_ms, false);
	if (text[0])
		push(c, ACTION_SAY, text, NULL, false);
	if (end)
		push(c, ACTION_END, "hangup", NULL, false);
}

void
conversation_interrupt(struct conversation *c, uint64_t now_ms)
{
	if (!c->over)
		cut(c, now_ms, true);
}

bool
conversation_tool_result(struct conversation *c, const char *id, const char *name,
						 const char *result, bool failed, bool hang_up, uint64_t now_ms)
{
	struct json_object *line;
	bool mine =
		c->doing.active && c->doing.action.kind == ACTION_TOOL &&
		(id[0] ? strcmp(id, c->doing.tool_id) == 0 : strcmp(name, c->doing.action.tool->name) == 0);

	line = ledger_line(c->o.ledger, c->id, mine ? "tool_result" : "tool_result_unexpected");
	json_put_text(line, "invocation", id);
	json_put_bool(line, "failed", failed);
	json_put_text(line, "result", result);
	json_put_int(line, "ms", mine ? (long long) (now_ms - c->doing.since_ms) : -1);
	ledger_write(c->o.ledger, line);
	if (!mine)
		return false;
	finish_doing(c, now_ms);
	if (hang_up)
	{
		drop_queue(c);
		push(c, ACTION_END, "agent_hangup", NULL, false);
	}
	return true;
}

/* Silence of both sides: the messages for it, one after the other. */
static void
mind_silence(struct conversation *c, uint64_t now_ms)
{
	const struct conversation_inactivity *next;

	if (c->inactivity_next >= c->o.inactivity_count || c->hearing.vad.speaking)
		return;
	next = &c->o.inactivity[c->inactivity_next];
	if (now_ms < c->quiet_since_ms + next->ms)
		return;
	c->inactivity_next++;
	ledger_note(c->o.ledger, c->id, "inactivity", "text", next->text);
	if (next->text && next->text[0])
		push(c, ACTION_SAY, next->text, NULL, false);
	if (next->hang_up)
		push(c, ACTION_END, "timeout", NULL, false);
}

void
conversation_tick(struct conversation *c, uint64_t now_ms)
{
	if (c->over)
		return;
	c->now_ms = now_ms;
	if (c->to_answer && now_ms >= c->answer_at_ms && !c->doing.active && !c->hearing.vad.speaking)
		answer(c);
	if (!c->doing.active)
		begin_next(c, now_ms);
	if (c->over || !c->doing.active)
	{
		if (!c->over && !c->to_answer && c->queued == 0)
			mind_silence(c, now_ms);
		return;
	}
	if (c->doing.action.kind == ACTION_SAY && c->doing.speech)
		go_on_saying(c, now_ms);
	else if (c->doing.action.kind == ACTION_TOOL && now_ms > c->doing.since_ms + TOOL_TIMEOUT_MS)
	{
		ledger_note(c->o.ledger, c->id, "tool_timeout", "invocation", c->doing.tool_id);
		finish_doing(c, now_ms);
	}
}

void
conversation_end(struct conversation *c, const char *reason)
{
	if (c->over)
		return;
	c->over = true;
	c->o.out->ended(c->o.arg, reason);
}

bool
conversation_over(const struct conversation *c)
{
	return c->over;
}

/* What was said before counts as heard; an unanswered last word of the user is answered. */
static void
take_history(struct conversation *c, struct json_object *history, uint64_t now_ms)
{
	size_t count = history ? json_object_array_length(history) : 0;

	for (size_t i = 0; i < count; i++)
	{
		struct json_object *turn = json_object_array_get_idx(history, i);
		const char *text = json_text_member(turn, "text");
		bool user = strcmp(json_text_member(turn, "role"), "user") == 0;

		if (user && i + 1 == count)
		{
			c->to_answer = strdup(text);
			c->to_answer_spoken = !rule_is_keys_text(text);
			c->answer_at_ms = now_ms + c->o.think_ms;
		}
		else if (user)
			rule_book_find(&c->rules, text, !rule_is_keys_text(text));
	}
	if (count > 0)
		c->inactivity_next = 0;
}

static bool
prepare_speech(struct conversation *c, char *error, size_t size)
{
	const struct scenario *s = c->o.scenario;
	const char *texts[3] = {c->o.greeting, s->otherwise, NULL};

	for (size_t i = 0; i < 2; i++)
		if (texts[i] && texts[i][0] &&
			!speech_get(c->o.speech, s->agent_voice, texts[i], c->o.output_rate, error, size))
			return false;
	for (size_t i = 0; i < s->rule_count; i++)
	{
		const char *said[2] = {s->rules[i].says, s->rules[i].then};

		for (size_t k = 0; k < 2; k++)
			if (said[k] &&
				!speech_get(c->o.speech, s->agent_voice, said[k], c->o.output_rate, error, size))
				return false;
	}
	return true;
}

struct conversation *
conversation_new(const struct conversation_options *options, uint64_t now_ms, char *error,
				 size_t size)
{
	struct conversation *c = calloc(1, sizeof(*c));
	bool resumed = options->history && json_object_array_length(options->history) > 0;

	if (!c)
		return NULL;
	c->o = *options;
	snprintf(c->id, sizeof(c->id), "%s", options->id);
	if (!c->o.greeting)
		c->o.greeting = resumed ? "" : options->scenario->greeting;
	for (size_t i = 0; i < c->o.inactivity_count; i++)
		c->o.inactivity[i].text = strdup(c->o.inactivity[i].text ? c->o.inactivity[i].text : "");
	c->tools = json_object_get(options->tools);
	c->quiet_since_ms = now_ms;
	if (!rule_book_init(&c->rules, options->scenario) || !prepare_speech(c, error, size) ||
		!hearing_init(&c->hearing, options->scenario, options->speech, options->input_rate,
					  options->hangover_ms, error, size))
	{
		conversation_free(c);
		return NULL;
	}
	if (c->o.greeting[0])
		push(c, ACTION_SAY, c->o.greeting, NULL, options->greeting_uninterruptible);
	take_history(c, options->history, now_ms);
	c->o.history = NULL;
	c->o.greeting = NULL;
	return c;
}

/* The socket went away in mid-sentence: the ledger tells how much of it had been said. */
static void
note_broken_off(struct conversation *c)
{
	char *text;

	if (!agent_is_heard(c))
		return;
	text = strndup(c->doing.action.text,
				   letters_said(c->doing.action.text, c->now_ms - c->doing.since_ms,
								speech_ms(c->doing.speech)));
	note_said(c, text, c->doing.action.text, c->now_ms);
	free(text);
}

void
conversation_free(struct conversation *c)
{
	if (!c)
		return;
	note_broken_off(c);
	drop_queue(c);
	free(c->doing.action.text);
	free(c->to_answer);
	for (size_t i = 0; i < c->o.inactivity_count; i++)
		free((char *) c->o.inactivity[i].text);
	json_object_put(c->tools);
	rule_book_free(&c->rules);
	hearing_free(&c->hearing);
	free(c);
}
