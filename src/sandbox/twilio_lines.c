/*
 * twilio_lines.c: see twilio_api.h.
 *
 *	 QUEUED --(initiated)--> RINGING --(answered)--> TALKING --(completed)--> OVER
 *	                            '--- busy, no-answer, failed, canceled -------^
 *
 * A call that is answered by somebody is carried by a caller (caller.c), who executes the product's
 * TwiML, opens the media stream and follows a scenario; the leg of a conference only exists.
 * Source: twilio.com/docs/voice/api/call-resource, twilio.com/docs/voice/answering-machine-detection.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/log.h"
#include "sandbox/json_text.h"
#include "sandbox/twilio_api.h"

#define QUEUE_US 20000
#define OR(value, otherwise) ((value) != 0 ? (value) : (otherwise))

static const char *
answers(const struct twilio_line *line)
{
	return line->number->answers[0] != '\0' ? line->number->answers : "human";
}

static unsigned
events_of(const struct webhook_form *form)
{
	static const char *const names[] = {"initiated", "ringing", "answered", "completed"};
	unsigned events = 0;

	for (size_t i = 0; i < form->count; i++)
		for (unsigned n = 0; n < 4; n++)
			if (strcmp(form->items[i].name, "StatusCallbackEvent") == 0 &&
				strcmp(form->items[i].value, names[n]) == 0)
				events |= 1U << n;
	return events != 0 ? events : CALLER_COMPLETED;
}

/* The scenario of whoever answers; NULL with a line in the log. */
static struct scenario *
scenario_of(const struct twilio_line *line)
{
	bool machine = strcmp(answers(line), "machine") == 0;
	const char *name = line->number->scenario[0] != '\0'	 ? line->number->scenario
					   : machine							 ? "answering-machine"
					   : strcmp(answers(line), "human") == 0 ? "house-buyer"
															 : "silent";
	char dir[4096], path[4200], error[400];
	struct scenario *s;

	scenario_default_dir(dir, sizeof(dir));
	if (strchr(name, '/') != NULL)
		snprintf(path, sizeof(path), "%s", name);
	else
		snprintf(path, sizeof(path), "%s/%s.json", dir, name);
	s = scenario_load(path, error, sizeof(error));
	if (s == NULL)
		log_write(LOG_LEVEL_ERROR, NULL, "sandbox: %s", error);
	return s;
}

static void
make_caller(struct twilio_line *line)
{
	struct caller_command *cmd = &line->command;
	const char *fallback = webhook_value(&line->form, "FallbackUrl");
	const char *status = webhook_value(&line->form, "StatusCallback");

	*cmd = (struct caller_command){
		.to = webhook_value(&line->form, "To"),
		.from = webhook_value(&line->form, "From"),
		.account_sid = line->account,
		.auth_token = line->api->token,
		.fallback_url = fallback[0] != '\0' ? fallback : NULL,
		.answer_url = webhook_value(&line->form, "Url"),
		.status_url = status[0] != '\0' ? status : NULL,
		.status_events = events_of(&line->form),
		.entered = twilio_room_entered,
		.owner = line,
		.calls = 1,
		.scenario = scenario_of(line),
		.speech = line->api->speech,
		.ledger = line->api->host->ledger,
		.loop = line->api->host->loop,
		.http = line->api->host->http,
	};
	if (cmd->scenario == NULL)
		return;
	line->caller = caller_new(cmd);
	snprintf(line->caller->sid, sizeof(line->caller->sid), "%s", line->sid);
}

struct twilio_line *
twilio_line_new(struct twilio_api *api, const char *account, struct webhook_form *form)
{
	struct twilio_line *line = calloc(1, sizeof(*line));
	struct json_object *note;

	if (line == NULL)
		abort();
	line->api = api;
	line->form = *form;
	memset(form, 0, sizeof(*form));
	line->number = twilio_number(api, webhook_value(&line->form, "To"));
	codec_random_sid(line->sid, sizeof(line->sid), "CA");
	snprintf(line->account, sizeof(line->account), "%s", account);
	snprintf(line->status, sizeof(line->status), "queued");
	twilio_now(line->date);
	line->due_us = loop_now_us() + QUEUE_US;
	line->next = api->lines;
	api->lines = line;
	note = ledger_line(api->host->ledger, line->sid,
					   webhook_value(&line->form, "Label")[0] != '\0' ? "participant_created"
																	  : "call_created");
	json_put_text(note, "to", webhook_value(&line->form, "To"));
	json_put_text(note, "from", webhook_value(&line->form, "From"));
	json_put_text(note, "url", webhook_value(&line->form, "Url"));
	ledger_write(api->host->ledger, note);
	return line;
}

struct twilio_line *
twilio_line_find(struct twilio_api *api, const char *sid)
{
	for (struct twilio_line *line = api->lines; line != NULL; line = line->next)
		if (strcmp(line->sid, sid) == 0)
			return line;
	return NULL;
}

struct json_object *
twilio_line_json(const struct twilio_line *line)
{
	struct json_object *o = json_object_new_object();
	char text[200];

	json_put_text(o, "sid", line->sid);
	json_put_text(o, "account_sid", line->account);
	json_object_object_add(o, "parent_call_sid", NULL);
	json_put_text(o, "to", webhook_value(&line->form, "To"));
	json_put_text(o, "from", webhook_value(&line->form, "From"));
	json_put_text(o, "status", line->status);
	json_put_text(o, "direction", "outbound-api");
	json_object_object_add(o, "start_time",
						   line->answered_us ? json_object_new_string(line->date) : NULL);
	snprintf(text, sizeof(text), "%u", line->duration_s);
	json_object_object_add(o, "duration",
						   line->stage == LINE_OVER ? json_object_new_string(text) : NULL);
	json_put_text(o, "queue_time", "0");
	json_put_text(o, "date_created", line->date);
	snprintf(text, sizeof(text), "/2010-04-01/Accounts/%s/Calls/%s.json", line->account, line->sid);
	json_put_text(o, "uri", text);
	return o;
}

/* What every request about a leg has. */
static void
leg_form(const struct twilio_line *line, struct webhook_form *form)
{
	memset(form, 0, sizeof(*form));
	webhook_add(form, "CallSid", line->sid);
	webhook_add(form, "AccountSid", line->account);
	webhook_add(form, "From", webhook_value(&line->form, "From"));
	webhook_add(form, "To", webhook_value(&line->form, "To"));
	webhook_add(form, "Direction", "outbound-api");
	webhook_add(form, "ApiVersion", "2010-04-01");
}

/* The status of a leg changes; those of a caller tell themselves. */
void
twilio_line_status(struct twilio_line *line, const char *status)
{
	struct webhook_form form;

	snprintf(line->status, sizeof(line->status), "%s", status);
	if (line->caller != NULL)
		return;
	leg_form(line, &form);
	webhook_add(&form, "CallStatus", status);
	webhook_add(&form, "CallbackSource", "call-progress-events");
	webhook_add_number(&form, "SequenceNumber", line->sequence++);
	if (strcmp(status, "completed") == 0)
		webhook_add_number(&form, "CallDuration", line->duration_s);
	twilio_post(line->api, webhook_value(&line->form, "StatusCallback"), &form);
}

static void
ring(struct twilio_line *line, uint64_t now_us)
{
	if (webhook_value(&line->form, "Label")[0] == '\0')
		make_caller(line);
	line->stage = LINE_RINGING;
	line->due_us = now_us + (uint64_t) OR(line->number->ring_ms, 100) * 1000;
	if (line->caller != NULL)
	{
		caller_status_callback(line->caller, "initiated");
		caller_status_callback(line->caller, "ringing");
		if (line->duplicate)
			caller_status_callback(line->caller, "initiated");
	}
	twilio_line_status(line, "ringing");
}

static void
is_over(struct twilio_line *line, const char *status)
{
	struct json_object *note = ledger_line(line->api->host->ledger, line->sid, "line_over");

	line->stage = LINE_OVER;
	line->due_us = line->amd_us = 0;
	if (line->answered_us != 0)
		line->duration_s = (unsigned) ((loop_now_us() - line->answered_us + 999999) / 1000000);
	json_put_text(note, "status", status);
	ledger_write(line->api->host->ledger, note);
	twilio_line_status(line, status);
	if (line->room != NULL)
		twilio_room_left(line);
}

static void
end_unanswered(struct twilio_line *line, const char *status)
{
	if (line->caller != NULL)
		caller_give_up(line->caller, status);
	is_over(line, status);
}

static void
pick_up(struct twilio_line *line, uint64_t now_us)
{
	bool quick = strcmp(answers(line), "quick") == 0;
	struct webhook_form form;

	line->stage = LINE_TALKING;
	line->answered_us = now_us;
	line->due_us = line->room != NULL || quick
					   ? now_us + (uint64_t) OR(line->number->talk_ms, 1000) * 1000
					   : 0;
	if (webhook_value(&line->form, "AsyncAmdStatusCallback")[0] != '\0')
		line->amd_us = now_us + (uint64_t) OR(line->number->amd_ms, 300) * 1000;
	twilio_line_status(line, "in-progress");
	if (line->caller == NULL)
		twilio_room_joined(line);
	else if (!quick)
		caller_pick_up(line->caller);
	else
	{
		line->caller->answered_ms = caller_now_ms(line->caller) + 1;
		caller_status_callback(line->caller, "in-progress");
		caller_form(line->caller, &form);
		caller_post(line->caller, line->command.answer_url, &form, NULL);
	}
}

static void
answer_or_not(struct twilio_line *line, uint64_t now_us)
{
	const char *how = answers(line);

	if (strcmp(how, "busy") == 0 || strcmp(how, "failed") == 0 || strcmp(how, "no-answer") == 0)
		end_unanswered(line, how);
	else if (line->caller == NULL && webhook_value(&line->form, "Label")[0] == '\0')
		end_unanswered(line, "failed"); /* no scenario */
	else
		pick_up(line, now_us);
}

void
twilio_line_end(struct twilio_line *line, const char *why)
{
	if (line->stage == LINE_OVER)
		return;
	ledger_note(line->api->host->ledger, line->sid, "ended", "why", why);
	if (line->answered_us == 0)
		end_unanswered(line, "canceled");
	else if (line->caller != NULL)
		caller_hang_up(line->caller, "agent", why); /* the clock sees that it is over */
	else
		is_over(line, "completed");
}

/* Who has answered? */
static void
tell_verdict(struct twilio_line *line)
{
	const char *detect = webhook_value(&line->form, "MachineDetection");
	bool machine = strcmp(answers(line), "machine") == 0;
	struct webhook_form form = {0};

	line->amd_us = 0;
	webhook_add(&form, "CallSid", line->sid);
	webhook_add(&form, "AccountSid", line->account);
	webhook_add(&form, "AnsweredBy",
				!machine								  ? "human"
				: strcmp(detect, "DetectMessageEnd") == 0 ? "machine_end_beep"
														  : "machine_start");
	webhook_add_number(&form, "MachineDetectionDuration", OR(line->number->amd_ms, 300));
	twilio_post(line->api, webhook_value(&line->form, "AsyncAmdStatusCallback"), &form);
}

static void
tell_recording(struct twilio_line *line)
{
	struct webhook_form form = {0};
	char url[300];

	if (strcmp(webhook_value(&line->form, "Record"), "true") != 0 || line->answered_us == 0)
		return;
	codec_random_sid(line->recording, sizeof(line->recording), "RE");
	snprintf(url, sizeof(url), "%s/twilio/2010-04-01/Accounts/%s/Recordings/%s",
			 line->api->host->base_url, line->account, line->recording);
	webhook_add(&form, "AccountSid", line->account);
	webhook_add(&form, "CallSid", line->sid);
	webhook_add(&form, "RecordingSid", line->recording);
	webhook_add(&form, "RecordingUrl", url);
	webhook_add(&form, "RecordingStatus", "completed");
	webhook_add_number(&form, "RecordingDuration", line->duration_s);
	webhook_add(&form, "RecordingChannels", "2");
	webhook_add(&form, "RecordingSource", "OutboundAPI");
	twilio_post(line->api, webhook_value(&line->form, "RecordingStatusCallback"), &form);
}

static void
tick_line(struct twilio_line *line, uint64_t now_us)
{
	bool lives;

	if (line->amd_us != 0 && now_us >= line->amd_us)
		tell_verdict(line);
	if (line->due_us != 0 && now_us >= line->due_us)
	{
		line->due_us = 0;
		if (line->stage == LINE_QUEUED)
			ring(line, now_us);
		else if (line->stage == LINE_RINGING)
			answer_or_not(line, now_us);
		else if (line->stage == LINE_TALKING && line->caller != NULL)
			caller_hang_up(line->caller, "caller", "talked long enough");
		else if (line->stage == LINE_TALKING)
			is_over(line, "completed");
	}
	if (line->caller == NULL)
		return;
	/* (A caller who does not listen to documents has none to be executed.) */
	lives = caller_tick(line->caller, now_us);
	if (line->stage == LINE_TALKING && line->caller->over)
	{
		is_over(line, "completed");
		tell_recording(line);
	}
	if (!lives)
	{
		caller_free(line->caller);
		line->caller = NULL;
		scenario_free(line->command.scenario);
		line->command.scenario = NULL;
	}
}

void
twilio_lines_tick(struct twilio_api *api, uint64_t now_us)
{
	for (struct twilio_line *line = api->lines; line != NULL; line = line->next)
		if (line->stage != LINE_OVER || line->caller != NULL)
			tick_line(line, now_us);
}

void
twilio_line_free(struct twilio_line *line)
{
	if (line->caller != NULL)
		caller_free(line->caller);
	if (line->command.scenario != NULL)
		scenario_free(line->command.scenario);
	webhook_form_free(&line->form);
	free(line);
}
