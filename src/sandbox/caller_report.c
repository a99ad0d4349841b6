/*
 * caller_report.c: the call as a person likes to read it: who said what and when, and how fast.
 *
 * What the agent said stands in the engine's ledger, if one is given: its new lines are read while
 * the call runs. A sentence of the agent is known when it ends, one of the caller when it begins;
 * so lines wait a little and come out in the order in which they began.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/caller.h"
#include "sandbox/json_text.h"

#define WAIT_MS 800
#define MAX_LINES 128

struct pending_line
{
	int64_t at_ms; /* wall clock at which it began */
	char *text;
};

struct caller_report
{
	struct caller_command *cmd;
	bool quiet;
	bool json;
	bool colour;
	int64_t zero_ms; /* wall clock of the first call */
	int engine; /* descriptor of the engine's ledger, or -1 */
	char *rest; /* an unfinished line of it */
	size_t rest_len;
	struct pending_line lines[MAX_LINES];
	size_t count;
};

static const char *
paint(const struct caller_report *r, const char *code)
{
	return r->colour ? code : "";
}

static void
print_first(struct caller_report *r)
{
	int64_t ms = r->lines[0].at_ms - r->zero_ms;

	if (ms < 0)
		ms = 0;
	printf("%s%3lld:%02lld.%lld%s  %s\n", paint(r, "\033[2m"), (long long) ms / 60000,
		   (long long) ms / 1000 % 60, (long long) ms / 100 % 10, paint(r, "\033[0m"),
		   r->lines[0].text);
	fflush(stdout);
	free(r->lines[0].text);
	memmove(r->lines, r->lines + 1, --r->count * sizeof(r->lines[0]));
}

/* Keeps the line until it is sure that none that began earlier can come. */
static void
put(struct caller_report *r, int64_t at_ms, const char *code, const char *who, const char *text)
{
	size_t at = r->count;
	char line[2048];

	if (r->count == MAX_LINES)
	{
		print_first(r);
		at--;
	}
	snprintf(line, sizeof(line), "%s%-7s%s %s", paint(r, code), who, paint(r, "\033[0m"), text);
	while (at > 0 && r->lines[at - 1].at_ms > at_ms)
	{
		r->lines[at] = r->lines[at - 1];
		at--;
	}
	r->lines[at].at_ms = at_ms;
	r->lines[at].text = strdup(line);
	r->count++;
}

static long long
number(struct json_object *line, const char *name)
{
	struct json_object *v = json_text_child(line, name, json_type_int);

	return v ? (long long) json_object_get_int64(v) : 0;
}

static void
engine_said(struct caller_report *r, struct json_object *line, int64_t at)
{
	char text[1600];
	struct json_object *cut = json_text_child(line, "interrupted", json_type_boolean);
	bool interrupted = cut && json_object_get_boolean(cut);

	if (json_text_member(line, "text")[0] == '\0')
		return;
	snprintf(text, sizeof(text), "%.1500s%s", json_text_member(line, "text"),
			 interrupted ? " -- (interrupted)" : "");
	put(r, at - number(line, "ms"), "\033[36m", "Agent", text);
}

static void
engine_event(struct caller_report *r, struct json_object *line)
{
	const char *event = json_text_member(line, "event");
	int64_t at = number(line, "at");
	struct json_object *arguments = json_text_child(line, "arguments", json_type_object);
	char text[1600];

	if (at < r->zero_ms)
		return;
	if (strcmp(event, "said") == 0)
		engine_said(r, line, at);
	else if (strcmp(event, "tool_call") == 0)
	{
		snprintf(text, sizeof(text), "%s %.1400s", json_text_member(line, "name"),
				 arguments ? json_object_to_json_string_ext(arguments, JSON_C_TO_STRING_PLAIN)
						   : "");
		put(r, at, "\033[35m", "Tool", text);
	}
	else if (strcmp(event, "tool_result") == 0)
	{
		snprintf(text, sizeof(text), "-> %.1400s", json_text_member(line, "result"));
		put(r, at, "\033[35m", "", text);
	}
	else if (strcmp(event, "fault") == 0)
		put(r, at, "\033[31m", "Fault", json_text_member(line, "fault"));
}

static void
on_ledger(void *arg, struct json_object *line)
{
	struct caller_report *r = arg;
	const char *event = json_text_member(line, "event");
	const char *text = json_text_member(line, "text");
	int64_t at = number(line, "at");
	char out[300];

	if (r->quiet || r->json || r->cmd->calls > 1)
		return;
	if (strcmp(event, "saying") == 0)
		put(r, at, "\033[33m", "Caller", text);
	else if (strcmp(event, "pressed") == 0)
		put(r, at, "\033[33m", "Keys", text);
	else if (strcmp(event, "heard") == 0 && r->engine < 0)
	{
		snprintf(out, sizeof(out), "(speaks %.1f s)",
				 (double) (number(line, "end_ms") - number(line, "start_ms")) / 1000);
		put(r, at - 500 - number(line, "end_ms") + number(line, "start_ms"), "\033[36m", "Agent",
			out);
	}
	else if (strcmp(event, "violation") == 0)
		put(r, at, "\033[31m", "Wrong", json_text_member(line, "what"));
	else if (strcmp(event, "verb") == 0 && text[0])
		put(r, at, "\033[36m", "Twilio", text);
	else if (strcmp(event, "transfer") == 0)
		put(r, at, "\033[36m", "Twilio", "transfers the call");
	else if (strcmp(event, "stream_started") == 0)
		put(r, at, "\033[2m", "Twilio", "media stream open");
	else if (strcmp(event, "stream_stopped") == 0)
		put(r, at, "\033[2m", "Twilio", "media stream closed");
	else if (strcmp(event, "dialled") == 0)
		put(r, at, "\033[2m", "Twilio", "ringing, asks what to do");
	else if (strcmp(event, "hung_up") == 0)
	{
		snprintf(out, sizeof(out), "call over, ended by the %s (%s)",
				 json_text_member(line, "ended_by"), json_text_member(line, "why"));
		put(r, at, "\033[2m", "Twilio", out);
	}
}

struct caller_report *
caller_report_new(struct caller_command *cmd, bool quiet, bool json, const char *engine_ledger)
{
	struct caller_report *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->cmd = cmd;
	r->quiet = quiet;
	r->json = json;
	r->colour = isatty(1) && !getenv("NO_COLOR");
	r->zero_ms = loop_wall_ms();
	r->engine = engine_ledger ? open(engine_ledger, O_RDONLY | O_CLOEXEC) : -1;
	if (engine_ledger && r->engine < 0)
		fprintf(stderr, "voiceagent: engine ledger %s: %s\n", engine_ledger, strerror(errno));
	if (r->engine >= 0)
		lseek(r->engine, 0, SEEK_END);
	ledger_watch(cmd->ledger, on_ledger, r);
	return r;
}

void
caller_report_free(struct caller_report *r)
{
	if (!r)
		return;
	while (r->count > 0)
		free(r->lines[--r->count].text);
	if (r->engine >= 0)
		close(r->engine);
	free(r->rest);
	free(r);
}

static void
take_lines(struct caller_report *r)
{
	char *from = r->rest, *end;
	char error[80];

	while ((end = memchr(from, '\n', r->rest_len - (size_t) (from - r->rest))) != NULL)
	{
		struct json_object *line =
			json_text_object(from, (size_t) (end - from), error, sizeof(error));

		if (line)
			engine_event(r, line);
		json_object_put(line);
		from = end + 1;
	}
	r->rest_len -= (size_t) (from - r->rest);
	memmove(r->rest, from, r->rest_len);
}

static void
read_engine(struct caller_report *r)
{
	ssize_t got;

	do
	{
		char *more = realloc(r->rest, r->rest_len + 8192);

		if (!more)
			return;
		r->rest = more;
		got = read(r->engine, r->rest + r->rest_len, 8192);
		if (got > 0)
		{
			r->rest_len += (size_t) got;
			take_lines(r);
		}
	} while (got > 0);
}

void
caller_report_tick(struct caller_report *r, bool flush)
{
	int64_t now = loop_wall_ms();

	if (r->quiet || r->json || r->cmd->calls > 1)
		return;
	if (r->engine >= 0)
		read_engine(r);
	while (r->count > 0 && (flush || r->lines[0].at_ms + WAIT_MS <= now))
		print_first(r);
}

static void
latency_figures(const struct caller *c, unsigned *average, unsigned *most)
{
	unsigned long sum = 0;

	*most = 0;
	for (unsigned i = 0; i < c->result.latency_count; i++)
	{
		sum += c->result.latencies[i];
		if (c->result.latencies[i] > *most)
			*most = c->result.latencies[i];
	}
	*average = c->result.latency_count ? (unsigned) (sum / c->result.latency_count) : 0;
}

static struct json_object *
result_object(const struct caller *c, bool ok)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	const struct caller_result *r = &c->result;

	json_put_text(o, "call_sid", c->sid);
	json_put_text(o, "scenario", c->cmd->scenario->name);
	json_put_bool(o, "ok", ok);
	json_put_text(o, "ended_by", c->ended_by);
	json_put_text(o, "why", c->why);
	json_put_int(o, "duration_ms", (long long) caller_now_ms(c));
	json_put_int(o, "first_audio_ms", r->first_audio_ms);
	for (unsigned i = 0; i < r->latency_count; i++)
		json_object_array_add(list, json_object_new_int((int) r->latencies[i]));
	json_object_object_add(o, "reply_latencies_ms", list);
	json_put_int(o, "longest_gap_ms", r->longest_gap_ms);
	json_put_int(o, "utterances_said", r->utterances_said);
	json_put_int(o, "utterances_heard", r->utterances_heard);
	json_put_int(o, "keys", r->keys);
	json_put_int(o, "clears", r->clears);
	json_put_int(o, "streams", r->streams);
	json_put_int(o, "frames_sent", (long long) r->frames_sent);
	json_put_int(o, "frames_heard", (long long) r->frames_heard);
	json_put_int(o, "webhooks", r->webhooks);
	json_put_int(o, "webhook_failures", r->webhook_failures);
	json_put_int(o, "violations", r->violations);
	return o;
}

static void
print_summary(const struct caller_report *r, const struct caller *c, bool ok)
{
	unsigned average, most;

	latency_figures(c, &average, &most);
	printf("\n  %s%s%s  %s, %.1f s, ended by the %s\n", paint(r, ok ? "\033[32m" : "\033[31m"),
		   ok ? "as expected" : "NOT as expected", paint(r, "\033[0m"), c->cmd->scenario->name,
		   (double) caller_now_ms(c) / 1000, c->ended_by);
	printf("  first words after       %5u ms from the start of the stream\n",
		   c->result.first_audio_ms);
	printf("  replies after           %5u ms on average, %u ms at most (%u replies)\n", average,
		   most, c->result.latency_count);
	printf("  longest gap in speech   %5u ms\n", c->result.longest_gap_ms);
	printf("  interruptions           %5u\n", c->result.clears);
	printf("  webhooks                %5u, %u failed\n", c->result.webhooks,
		   c->result.webhook_failures);
	printf("  protocol violations     %5u\n", c->result.violations);
	if (c->cmd->wav_dir)
		printf("  audio                   %s/%s-{caller,agent,both}.wav\n", c->cmd->wav_dir,
			   c->sid);
	fflush(stdout);
}

void
caller_report_call(struct caller_report *r, const struct caller *c, bool ok)
{
	struct json_object *o = result_object(c, ok);
	struct json_object *line = ledger_line(c->cmd->ledger, c->sid, "result");

	json_object_object_add(line, "result", json_object_get(o));
	ledger_write(c->cmd->ledger, line);
	if (r->json)
	{
		printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
		fflush(stdout);
	}
	json_object_put(o);
	if (r->quiet || r->json)
		return;
	caller_report_tick(r, true);
	if (r->cmd->calls == 1)
		print_summary(r, c, ok);
	else
		printf("call %u: %s, ended by the %s (%s)\n", c->number + 1,
			   ok ? "as expected" : "NOT as expected", c->ended_by, c->why);
}

void
caller_report_end(struct caller_report *r)
{
	if (!r->quiet && !r->json && r->cmd->calls > 1)
		printf("%u calls, %u not as expected\n", r->cmd->finished, r->cmd->failed);
}
