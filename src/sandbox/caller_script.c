/*
 * caller_script.c: the person on the phone: follows the steps of the scenario, and listens.
 *
 * When the agent speaks and when it has finished is told from the audio that was played, not from
 * anything the server says; half a second of silence counts as the end. A person who gets no reply
 * waits some seconds and goes on; after a lost connection, what was cut off is said again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/caller.h"
#include "sandbox/json_text.h"

#define PATIENCE_MS 10000
#define REPEAT_MS 4000
#define KEY_EVERY_MS 250
#define EAR_FRAME (SPEECH_RATE * VAD_FRAME_MS / 1000)

static const struct vad_settings ear_settings = {
	.start_rms = 400, .stop_rms = 250, .start_ms = 30, .hangover_ms = 500, .min_ms = 60};

bool
caller_script_prepare(struct caller_command *cmd)
{
	const struct scenario *s = cmd->scenario;
	char error[256];

	for (size_t i = 0; i < s->step_count; i++)
		if (s->steps[i].kind == STEP_SAY &&
			!speech_get(cmd->speech, s->caller_voice, s->steps[i].text, SPEECH_RATE, error,
						sizeof(error)))
		{
			fprintf(stderr, "voiceagent: %s\n", error);
			return false;
		}
	return true;
}

void
caller_script_init(struct caller *c)
{
	vad_init(&c->script.ear, &ear_settings);
	c->script.digest = EVP_MD_CTX_new();
	if (!c->script.digest)
		abort();
}

void
caller_script_free(struct caller *c)
{
	EVP_MD_CTX_free(c->script.digest);
	c->script.digest = NULL;
}

void
caller_script_stream_began(struct caller *c)
{
	struct caller_script *s = &c->script;

	vad_init(&s->ear, &ear_settings);
	s->ear_began_ms = c->stream_ms;
	s->step_ms = c->stream_ms;
	s->agent_end_ms = c->stream_ms;
	s->heard_since = false;
	s->resumed = c->result.streams > 1;
	s->heard_bytes = 0;
	if (s->own_end_ms == 0)
		s->own_end_ms = c->stream_ms;
}

void
caller_script_stream_lost(struct caller *c)
{
	/* The step under way was cut off: it will be done again. */
	c->script.cut = c->script.begun;
	c->script.begun = false;
	c->script.pressed = 0;
	c->script.awaiting_reply = false;
}

static const struct scenario_step *
current(const struct caller *c)
{
	const struct scenario *s = c->cmd->scenario;

	return c->script.step < s->step_count ? &s->steps[c->script.step] : NULL;
}

static uint64_t
latest(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The agent has had its say, or has had time enough for it. */
static bool
agent_done(struct caller_script *s, uint64_t now_ms)
{
	uint64_t quiet = now_ms - latest(s->step_ms, s->agent_end_ms);

	if (s->ear.speaking)
		return false;
	if (s->heard_since)
		return true;
	if (s->resumed && quiet >= REPEAT_MS && s->step > 0 && !s->repeated)
	{
		/* Nobody answered after the break: the last thing is said once more. */
		s->repeated = true;
		s->step -= s->cut ? 0 : 1;
		return true;
	}
	return quiet >= PATIENCE_MS;
}

static bool
is_due(struct caller *c, const struct scenario_step *step, uint64_t now_ms)
{
	struct caller_script *s = &c->script;

	if (step->kind == STEP_SILENCE)
		return true;
	if (step->when == WHEN_AFTER)
		return now_ms >= s->step_ms + step->ms;
	if (step->when == WHEN_INTERRUPT && s->ear.speaking && s->heard_since)
		return now_ms >= s->ear_began_ms + vad_onset_ms(&s->ear) + step->ms;
	return agent_done(s, now_ms);
}

static void
note_saying(struct caller *c, const char *event, const char *text)
{
	struct json_object *line = caller_line(c, event);

	json_put_text(line, "text", text);
	caller_log(c, line);
}

static void
begin_step(struct caller *c, const struct scenario_step *step, uint64_t now_ms)
{
	struct caller_script *s = &c->script;
	char error[160];

	s->begun = true;
	s->step_ms = now_ms;
	if (step->kind == STEP_SAY)
	{
		s->speech = speech_get(c->cmd->speech, c->cmd->scenario->caller_voice, step->text,
							   SPEECH_RATE, error, sizeof(error));
		s->spoken = 0;
		s->speech_ms = now_ms;
		EVP_DigestInit_ex(s->digest, EVP_sha256(), NULL);
		note_saying(c, "saying", step->text);
	}
	else if (step->kind == STEP_PRESS)
	{
		s->pressed = 0;
		s->next_key_ms = now_ms;
	}
	else if (step->kind == STEP_HANG_UP)
		caller_hang_up(c, "caller", "the scenario says so");
}

static void
end_step(struct caller *c, uint64_t now_ms, bool own)
{
	struct caller_script *s = &c->script;

	s->begun = false;
	s->step++;
	s->step_ms = now_ms;
	if (!own)
		return;
	s->own_end_ms = now_ms;
	s->heard_since = false;
	s->awaiting_reply = !s->ear.speaking;
}

static void
go_on_saying(struct caller *c, const struct scenario_step *step, uint64_t now_ms,
			 int16_t pcm[PHONE_LINE_FRAME])
{
	struct caller_script *s = &c->script;
	size_t rest = s->speech->count - s->spoken;
	size_t take = rest < PHONE_LINE_FRAME ? rest : PHONE_LINE_FRAME;
	struct json_object *line;
	char hex[CODEC_SHA256_HEX];

	if (step->hang_up_after_ms && now_ms >= s->speech_ms + step->hang_up_after_ms)
	{
		caller_hang_up(c, "caller", "in the middle of a sentence");
		return;
	}
	memcpy(pcm, s->speech->pcm + s->spoken, take * sizeof(int16_t));
	for (size_t i = 0; i < take; i++)
	{
		int16_t linear = codec_pcm_from_ulaw(codec_ulaw_from_pcm(pcm[i]));

		EVP_DigestUpdate(s->digest, &linear, sizeof(linear));
	}
	s->spoken += take;
	if (s->spoken < s->speech->count)
		return;
	line = caller_line(c, "said");
	codec_sha256_peek(s->digest, hex);
	json_put_text(line, "text", step->text);
	json_put_int(line, "start_ms", (long long) s->speech_ms);
	json_put_int(line, "end_ms", (long long) now_ms + 20);
	json_put_int(line, "samples", (long long) s->speech->count);
	json_put_text(line, "sha256", hex);
	caller_log(c, line);
	c->result.utterances_said++;
	end_step(c, now_ms + 20, true);
}

static void
go_on_pressing(struct caller *c, const struct scenario_step *step, uint64_t now_ms)
{
	struct caller_script *s = &c->script;

	if (now_ms < s->next_key_ms)
		return;
	caller_send_key(c, step->text[s->pressed]);
	c->result.keys++;
	s->next_key_ms = now_ms + KEY_EVERY_MS;
	if (step->text[++s->pressed] != '\0')
		return;
	note_saying(c, "pressed", step->text);
	end_step(c, now_ms, true);
}

/* No step is left: somebody has to hang up. */
static void
after_last_step(struct caller *c, uint64_t now_ms)
{
	if (strcmp(c->cmd->scenario->ended_by, "caller") == 0 && agent_done(&c->script, now_ms))
		caller_hang_up(c, "caller", "all has been said");
}

void
caller_script_speak(struct caller *c, uint64_t now_ms, int16_t pcm[PHONE_LINE_FRAME])
{
	struct caller_script *s = &c->script;
	const struct scenario_step *step = current(c);

	if (step && !s->begun && is_due(c, step, now_ms))
	{
		step = current(c);
		begin_step(c, step, now_ms);
	}
	if (c->over)
		return;
	if (!step)
		after_last_step(c, now_ms);
	else if (!s->begun)
		return;
	else if (step->kind == STEP_SAY)
		go_on_saying(c, step, now_ms, pcm);
	else if (step->kind == STEP_PRESS)
		go_on_pressing(c, step, now_ms);
	else if (step->kind == STEP_LISTEN)
		end_step(c, now_ms, false);
	else if (step->kind == STEP_SILENCE && now_ms >= s->step_ms + step->ms)
		end_step(c, now_ms, false);
}

static void
heard_begins(struct caller *c)
{
	struct caller_script *s = &c->script;
	uint64_t onset = s->ear_began_ms + vad_onset_ms(&s->ear);

	if (c->result.first_audio_ms == 0)
		c->result.first_audio_ms = (unsigned) (onset - c->stream_ms) + 1;
	s->gap_ms = 0;
	s->heard_bytes = 0;
	s->resumed = false;
	if (onset + 20 >= s->own_end_ms)
		s->heard_since = true;
	if (s->awaiting_reply && onset >= s->own_end_ms)
	{
		s->awaiting_reply = false;
		if (c->result.latency_count < CALLER_MAX_LATENCIES)
			c->result.latencies[c->result.latency_count++] = (unsigned) (onset - s->own_end_ms);
	}
}

static void
heard_ends(struct caller *c)
{
	struct caller_script *s = &c->script;
	struct json_object *line = caller_line(c, "heard");
	uint64_t start = s->ear_began_ms + vad_onset_ms(&s->ear);
	uint64_t end = s->ear_began_ms + vad_end_ms(&s->ear);

	json_put_int(line, "start_ms", (long long) start);
	json_put_int(line, "end_ms", (long long) end);
	json_put_int(line, "audio_ms", (long long) s->heard_bytes / 8);
	if (c->result.latency_count && start >= s->own_end_ms)
		json_put_int(line, "latency_ms", (long long) (start - s->own_end_ms));
	caller_log(c, line);
	c->result.utterances_heard++;
	s->agent_end_ms = end;
	/* It spoke on behind our back: that counts as an answer too. */
	if (end > s->own_end_ms + 300)
		s->heard_since = true;
}

static void
watch_gap(struct caller *c, size_t real)
{
	struct caller_script *s = &c->script;

	if (real == PHONE_LINE_FRAME)
	{
		if (s->ear.speaking && s->gap_ms > c->result.longest_gap_ms)
			c->result.longest_gap_ms = s->gap_ms;
		s->gap_ms = 0;
	}
	else
		s->gap_ms += 20;
}

void
caller_script_listen(struct caller *c, const int16_t pcm[PHONE_LINE_FRAME], size_t real)
{
	struct caller_script *s = &c->script;

	watch_gap(c, real);
	s->heard_bytes += real;
	for (size_t at = 0; at < PHONE_LINE_FRAME; at += EAR_FRAME)
	{
		enum vad_event event = vad_frame(&s->ear, vad_rms(pcm + at, EAR_FRAME));

		if (event == VAD_STARTED)
			heard_begins(c);
		else if (event == VAD_ENDED)
			heard_ends(c);
	}
}
