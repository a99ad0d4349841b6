/*
 * caller.c: `voiceagent sandbox call`: options, the clock of all calls, and the verdict.
 *
 * One timer of 5 ms serves every call; frames go out by each call's own absolute deadlines, so a
 * late tick is made up for and calls do not drift. A call has gone well when the side that the
 * scenario names hung up, all steps were done, and the server kept to the protocol.
 */
#include "sandbox/caller.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "net/log.h"
#include "sandbox/json_text.h"
#include "sandbox/sandbox.h"

#define TICK_MS 5

uint64_t
caller_now_ms(const struct caller *c)
{
	return (loop_now_us() - c->began_us) / 1000;
}

struct json_object *
caller_line(struct caller *c, const char *event)
{
	struct json_object *line = ledger_line(c->cmd->ledger, c->sid, event);

	json_put_int(line, "ms", (long long) caller_now_ms(c));
	return line;
}

void
caller_log(struct caller *c, struct json_object *line)
{
	ledger_write(c->cmd->ledger, line);
}

void
caller_violation(struct caller *c, const char *what)
{
	struct json_object *line = caller_line(c, "violation");

	json_put_text(line, "what", what);
	caller_log(c, line);
	c->result.violations++;
}

void
caller_hang_up(struct caller *c, const char *ended_by, const char *why)
{
	struct json_object *line;
	char hex[CODEC_SHA256_HEX];

	if (c->over)
		return;
	c->ended_by = ended_by;
	snprintf(c->why, sizeof(c->why), "%s", why);
	caller_stream_stop(c);
	c->over = true;
	c->status = c->answered_ms || !c->cmd->answer_url ? "completed" : "canceled";
	codec_sha256_peek(c->sent_digest, hex);
	line = caller_line(c, "hung_up");
	json_put_text(line, "ended_by", ended_by);
	json_put_text(line, "why", why);
	json_put_text(line, "sent_sha256", hex);
	json_put_int(line, "steps_left", (long long) (c->cmd->scenario->step_count - c->script.step));
	caller_log(c, line);
	if (c->answered_ms || c->cmd->answer_url)
		caller_status_callback(c, c->status);
}

static struct wav_writer *
open_wav(struct caller *c, const char *what, unsigned channels)
{
	char path[CALLER_URL];

	if (!c->cmd->wav_dir)
		return NULL;
	snprintf(path, sizeof(path), "%.1900s/%s-%s.wav", c->cmd->wav_dir, c->sid, what);
	return wav_writer_open(path, channels, SPEECH_RATE);
}

struct caller *
caller_new(struct caller_command *cmd)
{
	struct caller *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	c->cmd = cmd;
	c->number = cmd->dialled++;
	c->from = cmd->from ? cmd->from : cmd->scenario->caller_number;
	c->status = "ringing";
	c->began_us = loop_now_us();
	codec_random_sid(c->sid, sizeof(c->sid), "CA");
	c->sent_digest = EVP_MD_CTX_new();
	EVP_DigestInit_ex(c->sent_digest, EVP_sha256(), NULL);
	c->wav_sent = open_wav(c, "caller", 1);
	c->wav_heard = open_wav(c, "agent", 1);
	c->wav_both = open_wav(c, "both", 2);
	caller_script_init(c);
	return c;
}

void
caller_pick_up(struct caller *c)
{
	struct webhook_form form;

	c->answered_ms = caller_now_ms(c) + 1;
	c->status = "in-progress";
	caller_log(c, caller_line(c, "picked_up"));
	caller_status_callback(c, "in-progress");
	caller_form(c, &form);
	caller_fetch(c, c->cmd->answer_url, &form);
}

void
caller_give_up(struct caller *c, const char *status)
{
	if (c->over)
		return;
	c->over = true;
	c->ended_by = "caller";
	snprintf(c->why, sizeof(c->why), "%s", status);
	caller_status_callback(c, status);
}

static void
dial(struct caller_command *cmd)
{
	struct caller *c = caller_new(cmd);
	struct webhook_form form;
	char url[CALLER_URL];

	c->next = cmd->list;
	cmd->list = c;
	caller_log(c, caller_line(c, "dialled"));
	caller_status_callback(c, "ringing");
	caller_form(c, &form);
	snprintf(url, sizeof(url), "%.1900s/webhook/voice/answer", cmd->public_url);
	caller_fetch(c, url, &form);
}

/* Did the call go as the scenario wants? */
static bool
went_well(const struct caller *c)
{
	const struct scenario *s = c->cmd->scenario;
	bool any = strcmp(s->ended_by, "any") == 0;
	size_t left = s->step_count - c->script.step;

	if (c->result.violations || strcmp(c->ended_by, "error") == 0)
		return false;
	if (s->expect_stream && c->result.streams == 0)
		return false;
	/* What ends the call may cut off the last step. */
	if (left > 1)
		return false;
	return any || strcmp(c->ended_by, s->ended_by) == 0;
}

static void
finish(struct caller *c)
{
	bool ok = went_well(c);

	c->finished = true;
	c->cmd->finished++;
	c->cmd->failed += !ok;
	wav_writer_close(c->wav_sent);
	wav_writer_close(c->wav_heard);
	wav_writer_close(c->wav_both);
	c->wav_sent = c->wav_heard = c->wav_both = NULL;
	caller_script_free(c);
	twiml_free(c->document);
	c->document = NULL;
	EVP_MD_CTX_free(c->sent_digest);
	c->sent_digest = NULL;
	if (c->cmd->report)
		caller_report_call(c->cmd->report, c, ok);
}

bool
caller_tick(struct caller *c, uint64_t now_us)
{
	/* A call may have begun after the clock was read. */
	uint64_t now_ms = now_us > c->began_us ? (now_us - c->began_us) / 1000 : 0;

	if (c->finished)
		return false;
	if (c->over && c->pending == 0 && !c->ws)
	{
		finish(c);
		return false;
	}
	if (c->over)
		return true;
	if (now_ms > (uint64_t) c->cmd->scenario->max_s * 1000)
	{
		caller_hang_up(c, "error", "the call took too long");
		return true;
	}
	caller_verbs_tick(c, now_ms);
	caller_stream_tick(c, now_us);
	return true;
}

void
caller_free(struct caller *c)
{
	free(c->replacement);
	caller_script_free(c);
	twiml_free(c->document);
	phone_line_free(c->line);
	EVP_MD_CTX_free(c->sent_digest);
	wav_writer_close(c->wav_sent);
	wav_writer_close(c->wav_heard);
	wav_writer_close(c->wav_both);
	free(c);
}

static void
stop(struct caller_command *cmd)
{
	if (uv_is_closing((uv_handle_t *) &cmd->clock))
		return;
	uv_close((uv_handle_t *) &cmd->clock, NULL);
	loop_stop(cmd->loop);
}

static void
on_clock(uv_timer_t *timer)
{
	struct caller_command *cmd = timer->data;
	uint64_t now_us = loop_now_us();

	while (cmd->dialled < cmd->calls &&
		   now_us >= cmd->began_us + (uint64_t) cmd->dialled * cmd->stagger_ms * 1000)
		dial(cmd);
	now_us = loop_now_us();
	for (struct caller *c = cmd->list; c; c = c->next)
		caller_tick(c, now_us);
	caller_report_tick(cmd->report, false);
	if (cmd->finished == cmd->calls)
		stop(cmd);
}

static void
on_terminate(void *arg)
{
	struct caller_command *cmd = arg;

	cmd->failed++;
	stop(cmd);
}

static const char usage[] =
	"usage: voiceagent sandbox call --to NUMBER --scenario NAME|FILE [options]\n"
	"\n"
	"Dials a number of yours as Twilio and a caller would: signed webhooks, a media stream with\n"
	"real speech, the steps of the scenario. Exit status 0: the call went as the scenario "
	"expects.\n"
	"\n"
	"  --to NUMBER           the tenant's number, +15551234567\n"
	"  --from NUMBER         the caller's (default: the scenario's)\n"
	"  --scenario NAME|FILE  house-buyer, impatient, keys, silent, hangup, or a file of yours\n"
	"  --scenarios DIR       where NAME is looked for\n"
	"  --url URL             the gateway (default http://127.0.0.1:8000)\n"
	"  --public-url URL      voiceagent.public_url, if set: requests are signed for it and sent to "
	"--url\n"
	"  --fallback-url URL    default: /webhook/voice/fallback of the gateway\n"
	"  --account-sid SID     else $TWILIO_ACCOUNT_SID\n"
	"  --auth-token TOKEN    else $TWILIO_AUTH_TOKEN (keeps it out of the process list)\n"
	"  --status-callbacks    post ringing and in-progress too\n"
	"  --no-status           post no status at all\n"
	"  --calls N             so many calls (up to 1000), --stagger-ms apart (default 100)\n"
	"  --speech DIR          prepared speech; what is missing is synthesised by espeak-ng\n"
	"  --wav-dir DIR         keep the audio: caller, agent, and both in stereo\n"
	"  --ledger FILE         append what happens as JSON lines\n"
	"  --engine-ledger FILE  the stand-in engine's, to print what the agent says\n"
	"  --quiet | --json      print nothing | the result as one line of JSON\n";

struct caller_arguments
{
	const char *scenario;
	char scenarios[4096];
	char speech[4096];
	const char *public_url;
	const char *ledger;
	const char *engine_ledger;
	bool quiet;
	bool json;
};

static bool
read_number(const char *text, unsigned least, unsigned most, unsigned *out)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (end == text || *end || v < least || v > most)
		return false;
	*out = (unsigned) v;
	return true;
}

static bool
take_option(int c, const char *value, struct caller_command *cmd, struct caller_arguments *a)
{
	switch (c)
	{
		case 't': cmd->to = value; return true;
		case 'f': cmd->from = value; return true;
		case 's': a->scenario = value; return true;
		case 'd': snprintf(a->scenarios, sizeof(a->scenarios), "%s", value); return true;
		case 'u': snprintf(cmd->url, sizeof(cmd->url), "%s", value); return true;
		case 'p': a->public_url = value; return true;
		case 'b': cmd->fallback_url = value; return true;
		case 'a': cmd->account_sid = value; return true;
		case 'k': cmd->auth_token = value; return true;
		case 'c': cmd->status_callbacks = true; return true;
		case 'n': cmd->no_status = true; return true;
		case 'N': return read_number(value, 1, 1000, &cmd->calls);
		case 'S': return read_number(value, 0, 60000, &cmd->stagger_ms);
		case 'e': snprintf(a->speech, sizeof(a->speech), "%s", value); return true;
		case 'w': cmd->wav_dir = value; return true;
		case 'l': a->ledger = value; return true;
		case 'E': a->engine_ledger = value; return true;
		case 'q': a->quiet = true; return true;
		case 'j': a->json = true; return true;
		default: return false;
	}
}

static void
cut_slash(char *url)
{
	size_t len = strlen(url);

	while (len > 0 && url[len - 1] == '/')
		url[--len] = '\0';
}

/* -1 = go on, else the exit status. */
static int
read_arguments(int argc, char **argv, struct caller_command *cmd, struct caller_arguments *a)
{
	static const struct option options[] = {{"to", required_argument, NULL, 't'},
											{"from", required_argument, NULL, 'f'},
											{"scenario", required_argument, NULL, 's'},
											{"scenarios", required_argument, NULL, 'd'},
											{"url", required_argument, NULL, 'u'},
											{"public-url", required_argument, NULL, 'p'},
											{"fallback-url", required_argument, NULL, 'b'},
											{"account-sid", required_argument, NULL, 'a'},
											{"auth-token", required_argument, NULL, 'k'},
											{"status-callbacks", no_argument, NULL, 'c'},
											{"no-status", no_argument, NULL, 'n'},
											{"calls", required_argument, NULL, 'N'},
											{"stagger-ms", required_argument, NULL, 'S'},
											{"speech", required_argument, NULL, 'e'},
											{"wav-dir", required_argument, NULL, 'w'},
											{"ledger", required_argument, NULL, 'l'},
											{"engine-ledger", required_argument, NULL, 'E'},
											{"quiet", no_argument, NULL, 'q'},
											{"json", no_argument, NULL, 'j'},
											{"help", no_argument, NULL, 'h'},
											{NULL, 0, NULL, 0}};
	bool ok = true;
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		if (c == 'h')
		{
			fputs(usage, stdout);
			return 0;
		}
		ok &= take_option(c, optarg, cmd, a);
	}
	if (ok && optind == argc && cmd->to && a->scenario && cmd->account_sid && cmd->auth_token)
	{
		snprintf(cmd->public_url, sizeof(cmd->public_url), "%s",
				 a->public_url ? a->public_url : cmd->url);
		cut_slash(cmd->url);
		cut_slash(cmd->public_url);
		return -1;
	}
	if (ok && (!cmd->account_sid || !cmd->auth_token))
		fputs("voiceagent: --account-sid and --auth-token (or $TWILIO_ACCOUNT_SID and "
			  "$TWILIO_AUTH_TOKEN) are needed, as the tenant has them\n\n",
			  stderr);
	fputs(usage, stderr);
	return 2;
}

static bool
prepare(struct caller_command *cmd, struct caller_arguments *a)
{
	char path[4200], error[400] = "";
	bool file = strchr(a->scenario, '/') || strstr(a->scenario, ".json");

	if (file)
		snprintf(path, sizeof(path), "%s", a->scenario);
	else
		snprintf(path, sizeof(path), "%s/%.80s.json", a->scenarios, a->scenario);
	cmd->scenario = scenario_load(path, error, sizeof(error));
	if (!cmd->scenario)
	{
		fprintf(stderr, "voiceagent: %s\n", error);
		return false;
	}
	cmd->ledger = ledger_open(a->ledger, "caller");
	if (!cmd->ledger)
	{
		fprintf(stderr, "voiceagent: ledger %s: %s\n", a->ledger, strerror(errno));
		return false;
	}
	if (cmd->wav_dir && mkdir(cmd->wav_dir, 0755) != 0 && errno != EEXIST)
	{
		fprintf(stderr, "voiceagent: %s: %s\n", cmd->wav_dir, strerror(errno));
		return false;
	}
	cmd->speech = speech_store_new(a->speech[0] ? a->speech : NULL, "espeak-ng");
	cmd->report = caller_report_new(cmd, a->quiet, a->json, a->engine_ledger);
	return cmd->speech && cmd->report && caller_script_prepare(cmd);
}

static bool
begin(struct caller_command *cmd)
{
	struct loop_handlers handlers = {.terminate = on_terminate, .arg = cmd};

	cmd->loop = loop_new(&handlers, false, cmd->calls * 4 + 64);
	cmd->http = cmd->loop ? http_client_new(cmd->loop, 64) : NULL;
	if (!cmd->http)
		return false;
	cmd->began_us = loop_now_us();
	uv_timer_init(loop_uv(cmd->loop), &cmd->clock);
	cmd->clock.data = cmd;
	uv_timer_start(&cmd->clock, on_clock, 1, TICK_MS);
	return true;
}

static void
tidy_up(struct caller_command *cmd)
{
	if (cmd->http)
		http_client_free(cmd->http);
	if (cmd->loop)
		loop_free(cmd->loop);
	while (cmd->list)
	{
		struct caller *c = cmd->list;

		cmd->list = c->next;
		caller_free(c);
	}
	caller_report_free(cmd->report);
	speech_store_free(cmd->speech);
	scenario_free(cmd->scenario);
	ledger_close(cmd->ledger);
}

int
sandbox_call_main(int argc, char **argv)
{
	struct caller_command cmd = {.calls = 1, .stagger_ms = 100};
	struct caller_arguments a = {0};
	int status;

	snprintf(cmd.url, sizeof(cmd.url), "http://127.0.0.1:8000");
	cmd.account_sid = getenv("TWILIO_ACCOUNT_SID");
	cmd.auth_token = getenv("TWILIO_AUTH_TOKEN");
	scenario_default_dir(a.scenarios, sizeof(a.scenarios));
	if (!scenario_default_speech(a.speech, sizeof(a.speech)))
		a.speech[0] = '\0';
	if ((status = read_arguments(argc, argv, &cmd, &a)) >= 0)
		return status;
	log_setup("voiceagent sandbox call", false, LOG_LEVEL_WARNING);
	if (!prepare(&cmd, &a) || !begin(&cmd))
	{
		tidy_up(&cmd);
		return 1;
	}
	loop_run(cmd.loop);
	caller_report_end(cmd.report);
	status = cmd.failed || cmd.finished < cmd.calls;
	tidy_up(&cmd);
	return status;
}
