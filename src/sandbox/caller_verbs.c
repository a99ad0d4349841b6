/*
 * caller_verbs.c: executes a TwiML document as Twilio does, one verb after the other.
 *
 * What the stand-in has no phone network for (<Dial>) is reported and taken for a successful
 * transfer. Time passes as it would: <Say> takes as long as its words, <Pause> its seconds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sandbox/caller.h"
#include "sandbox/json_text.h"

#define MS_PER_LETTER 60
#define MAX_REDIRECTS 50
#define BEEP_MS 500
#define TRANSFER_MS 1000
#define CONFERENCE_MS 86400000

/* Posts to a verb's action, which gives the next document. */
static void
go_to(struct caller *c, const char *url, struct webhook_form *form)
{
	char resolved[CALLER_URL];

	if (!webhook_resolve(c->document_url, url, resolved, sizeof(resolved)))
	{
		webhook_form_free(form);
		caller_hang_up(c, "error", "a URL in the TwiML is too long");
		return;
	}
	if (++c->redirects > MAX_REDIRECTS)
	{
		webhook_form_free(form);
		caller_hang_up(c, "error", "too many redirects");
		return;
	}
	c->on_fallback = false;
	caller_fetch(c, resolved, form);
}

static unsigned
seconds_of(const struct twiml_node *verb, const char *name, unsigned otherwise)
{
	const char *text = twiml_attr(verb, name, "");
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	return end != text && *end == '\0' && v < 86400 ? (unsigned) v : otherwise;
}

static void
note_verb(struct caller *c, const char *text)
{
	struct json_object *line = caller_line(c, "verb");

	json_put_text(line, "verb", c->verb->name);
	if (text[0])
		json_put_text(line, "text", text);
	caller_log(c, line);
}

static void
wait_for(struct caller *c, uint64_t ms)
{
	c->verb_until_ms = caller_now_ms(c) + (ms ? ms : 1);
}

static void
do_record(struct caller *c)
{
	char error[200];
	const char *words = c->cmd->scenario->voicemail;
	const struct speech *s = words ? speech_get(c->cmd->speech, c->cmd->scenario->caller_voice,
												words, SPEECH_RATE, error, sizeof(error))
								   : NULL;

	wait_for(c, BEEP_MS + (s ? s->count * 1000 / SPEECH_RATE : 200));
}

static void
do_dial(struct caller *c)
{
	const struct twiml_node *noun = c->verb->child;
	struct json_object *line = caller_line(c, "transfer");

	json_put_text(line, "to", noun ? noun->text : c->verb->text);
	json_put_text(line, "kind", noun ? noun->name : "Number");
	caller_log(c, line);
	if (noun && strcmp(noun->name, "Conference") == 0 && c->cmd->entered)
	{
		wait_for(c, CONFERENCE_MS); /* its end comes from outside */
		c->cmd->entered(c, noun);
	}
	else
		wait_for(c, TRANSFER_MS);
}

static void
do_gather(struct caller *c)
{
	const struct scenario *s = c->cmd->scenario;
	bool keys = c->script.step < s->step_count && s->steps[c->script.step].kind == STEP_PRESS;

	for (const struct twiml_node *n = c->verb->child; n; n = n->next)
		if (n->text[0])
			note_verb(c, n->text);
	wait_for(c, keys ? 500 : seconds_of(c->verb, "timeout", 5) * 1000);
}

/* Begins the verb that is due; no verb left ends the call. */
static void
begin_verb(struct caller *c)
{
	const struct twiml_node *v = c->verb;
	const struct twiml_node *stream;
	struct webhook_form form;

	if (!v)
	{
		caller_hang_up(c, "agent", "the TwiML document ended");
		return;
	}
	note_verb(c, strcmp(v->name, "Say") == 0 ? v->text : "");
	if (strcmp(v->name, "Connect") == 0 && (stream = twiml_child(v, "Stream")))
		caller_stream_connect(c, stream);
	else if (strcmp(v->name, "Redirect") == 0)
	{
		caller_form(c, &form);
		go_to(c, v->text, &form);
	}
	else if (strcmp(v->name, "Say") == 0)
		wait_for(c, strlen(v->text) * MS_PER_LETTER);
	else if (strcmp(v->name, "Pause") == 0)
		wait_for(c, (uint64_t) seconds_of(v, "length", 1) * 1000);
	else if (strcmp(v->name, "Play") == 0)
		wait_for(c, 1000);
	else if (strcmp(v->name, "Record") == 0)
		do_record(c);
	else if (strcmp(v->name, "Gather") == 0)
		do_gather(c);
	else if (strcmp(v->name, "Dial") == 0)
		do_dial(c);
	else if (strcmp(v->name, "Hangup") == 0)
		caller_hang_up(c, "agent", "<Hangup/>");
	else if (strcmp(v->name, "Reject") == 0)
		caller_hang_up(c, "agent", "<Reject/>");
	else
		caller_next_verb(c);
}

void
caller_next_verb(struct caller *c)
{
	if (c->over || !c->verb)
		return;
	c->verb = c->verb->next;
	begin_verb(c);
}

void
caller_execute(struct caller *c, const char *body, size_t len, const char *url)
{
	char error[200];

	(void) url;
	twiml_free(c->document);
	c->stream = NULL;
	c->verb_until_ms = 0;
	c->document = twiml_read(body, len, error, sizeof(error));
	c->verb = c->document ? c->document->child : NULL;
	if (c->answered_ms == 0 && c->verb && strcmp(c->verb->name, "Reject") != 0)
	{
		c->answered_ms = caller_now_ms(c);
		c->status = "in-progress";
		caller_status_callback(c, "in-progress");
	}
	begin_verb(c);
}

static void
recording_form(struct caller *c, struct webhook_form *form, const char *sid, unsigned seconds)
{
	char url[200];

	caller_form(c, form);
	snprintf(url, sizeof(url), "https://api.twilio.com/2010-04-01/Accounts/%s/Recordings/%s",
			 c->cmd->account_sid, sid);
	webhook_add(form, "RecordingSid", sid);
	webhook_add(form, "RecordingUrl", url);
	webhook_add_number(form, "RecordingDuration", seconds);
}

/* The caller has left a message and hung up: the action, the recording, the transcription. */
static void
end_record(struct caller *c)
{
	const char *words = c->cmd->scenario->voicemail;
	const char *action = twiml_attr(c->verb, "action", c->document_url);
	const char *recorded = twiml_attr(c->verb, "recordingStatusCallback", NULL);
	const char *transcribed = twiml_attr(c->verb, "transcribeCallback", NULL);
	unsigned seconds = words ? (unsigned) strlen(words) / 14 + 1 : 0;
	struct webhook_form form;
	char sid[40], url[CALLER_URL];

	codec_random_sid(sid, sizeof(sid), "RE");
	c->status = "completed";
	recording_form(c, &form, sid, seconds);
	webhook_add(&form, "Digits", "hangup");
	if (webhook_resolve(c->document_url, action, url, sizeof(url)))
		caller_post(c, url, &form, NULL);
	if (recorded && webhook_resolve(c->document_url, recorded, url, sizeof(url)))
	{
		recording_form(c, &form, sid, seconds);
		webhook_add(&form, "RecordingStatus", seconds ? "completed" : "absent");
		webhook_add(&form, "RecordingChannels", "1");
		webhook_add(&form, "RecordingSource", "RecordVerb");
		caller_post(c, url, &form, NULL);
	}
	if (seconds && transcribed && webhook_resolve(c->document_url, transcribed, url, sizeof(url)))
	{
		recording_form(c, &form, sid, seconds);
		webhook_add(&form, "TranscriptionSid", "TR00000000000000000000000000000001");
		webhook_add(&form, "TranscriptionStatus", "completed");
		webhook_add(&form, "TranscriptionText", words);
		caller_post(c, url, &form, NULL);
	}
	caller_hang_up(c, "caller", words ? "left a message" : "hung up at the beep");
}

static void
end_dial(struct caller *c)
{
	const char *action = twiml_attr(c->verb, "action", NULL);
	struct webhook_form form;

	if (!action)
	{
		caller_next_verb(c);
		return;
	}
	caller_form(c, &form);
	webhook_add(&form, "DialCallStatus", "completed");
	webhook_add(&form, "DialBridged", "true");
	go_to(c, action, &form);
}

void
caller_leave_conference(struct caller *c)
{
	if (!c->over && c->verb && strcmp(c->verb->name, "Dial") == 0)
	{
		c->verb_until_ms = 0;
		end_dial(c);
	}
}

void
caller_replace(struct caller *c, const char *twiml, const char *url)
{
	if (c->over)
		return;
	free(c->replacement);
	c->replacement = twiml ? strdup(twiml) : NULL;
	snprintf(c->replacement_url, sizeof(c->replacement_url), "%s", url ? url : "");
	c->replacing = true;
	c->verb_until_ms = 0;
	if (c->ws)
		caller_stream_stop(c);
	else
		caller_replace_now(c);
}

void
caller_replace_now(struct caller *c)
{
	char *twiml = c->replacement;
	struct webhook_form form;

	c->replacement = NULL;
	c->replacing = false;
	c->on_fallback = false;
	if (twiml)
		caller_execute(c, twiml, strlen(twiml), c->document_url);
	else
	{
		caller_form(c, &form);
		caller_fetch(c, c->replacement_url, &form);
	}
	free(twiml);
}

static void
end_gather(struct caller *c)
{
	const struct scenario *s = c->cmd->scenario;
	const struct scenario_step *step =
		c->script.step < s->step_count ? &s->steps[c->script.step] : NULL;
	struct webhook_form form;

	if (!step || step->kind != STEP_PRESS)
	{
		caller_next_verb(c);
		return;
	}
	c->script.step++;
	caller_form(c, &form);
	webhook_add(&form, "Digits", step->text);
	go_to(c, twiml_attr(c->verb, "action", c->document_url), &form);
}

void
caller_verbs_tick(struct caller *c, uint64_t now_ms)
{
	if (c->over || !c->verb_until_ms || now_ms < c->verb_until_ms)
		return;
	c->verb_until_ms = 0;
	if (strcmp(c->verb->name, "Record") == 0)
		end_record(c);
	else if (strcmp(c->verb->name, "Dial") == 0)
		end_dial(c);
	else if (strcmp(c->verb->name, "Gather") == 0)
		end_gather(c);
	else
		caller_next_verb(c);
}
