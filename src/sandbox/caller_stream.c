/*
 * caller_stream.c: Twilio's side of a bidirectional media stream.
 *
 * Sends connected, start, then a frame every 20 ms by absolute deadlines, keys and marks as they
 * come, stop at the end. Whatever the server sends is held against the protocol: three events, no
 * member too many or too few. Source: twilio.com/docs/voice/media-streams/websocket-messages.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sandbox/caller.h"
#include "sandbox/json_text.h"

#define FRAME_US 20000
#define FRAME_BASE64 216
#define CONNECT_TIMEOUT_MS 10000
#define MAX_MESSAGE (1024 * 1024)
#define MAX_QUEUE (256 * 1024)
#define MAX_PAYLOAD (512 * 1024)

static void send_text(struct caller *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void
send_text(struct caller *c, const char *format, ...)
{
	char text[1024];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n > 0 && (size_t) n < sizeof(text) && c->ws)
		ws_send_copy(c->ws, WS_TEXT, text, (size_t) n, false);
}

static void
send_object(struct caller *c, struct json_object *o)
{
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);

	if (c->ws)
		ws_send_copy(c->ws, WS_TEXT, text, strlen(text), false);
	json_object_put(o);
}

/* An event with the members that all but `connected` have. */
static struct json_object *
event(struct caller *c, const char *name)
{
	struct json_object *o = json_object_new_object();
	char number[16];

	snprintf(number, sizeof(number), "%u", c->sequence++);
	json_put_text(o, "event", name);
	json_put_text(o, "sequenceNumber", number);
	json_put_text(o, "streamSid", c->stream_sid);
	return o;
}

static void
send_start(struct caller *c)
{
	struct json_object *o = event(c, "start"), *start = json_object_new_object();
	struct json_object *tracks = json_object_new_array(), *format = json_object_new_object();
	struct json_object *custom = json_object_new_object();

	json_put_text(start, "accountSid", c->cmd->account_sid);
	json_put_text(start, "streamSid", c->stream_sid);
	json_put_text(start, "callSid", c->sid);
	json_object_array_add(tracks, json_object_new_string("inbound"));
	json_object_object_add(start, "tracks", tracks);
	json_put_text(format, "encoding", "audio/x-mulaw");
	json_put_int(format, "sampleRate", 8000);
	json_put_int(format, "channels", 1);
	json_object_object_add(start, "mediaFormat", format);
	for (const struct twiml_node *p = c->stream->child; p; p = p->next)
		json_put_text(custom, twiml_attr(p, "name", ""), twiml_attr(p, "value", ""));
	json_object_object_add(start, "customParameters", custom);
	json_object_object_add(o, "start", start);
	send_object(c, o);
}

void
caller_send_key(struct caller *c, char key)
{
	struct json_object *o = event(c, "dtmf"), *dtmf = json_object_new_object();
	char digit[2] = {key, '\0'};

	json_put_text(dtmf, "track", "inbound_track");
	json_put_text(dtmf, "digit", digit);
	json_object_object_add(o, "dtmf", dtmf);
	send_object(c, o);
}

static void
on_mark_due(void *arg, const char *name, bool heard)
{
	struct caller *c = arg;
	struct json_object *o, *mark;

	(void) heard;
	if (!c->ws || !c->stream_open)
		return;
	o = event(c, "mark");
	mark = json_object_new_object();
	json_put_text(mark, "name", name);
	json_object_object_add(o, "mark", mark);
	send_object(c, o);
}

static void
stream_callback(struct caller *c, const char *name, const char *error)
{
	struct webhook_form form = {0};
	struct timespec now;
	struct tm tm;
	char stamp[64], day[40];

	if (c->stream_callback[0] == '\0')
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(stamp, sizeof(stamp), "%s.%03ldZ", day, now.tv_nsec / 1000000);
	webhook_add(&form, "AccountSid", c->cmd->account_sid);
	webhook_add(&form, "CallSid", c->sid);
	webhook_add(&form, "StreamSid", c->stream_sid);
	webhook_add(&form, "StreamName", c->stream_name);
	webhook_add(&form, "StreamEvent", name);
	if (error)
		webhook_add(&form, "StreamError", error);
	webhook_add(&form, "Timestamp", stamp);
	caller_post(c, c->stream_callback, &form, NULL);
}

static void
on_open(void *arg, struct ws *ws)
{
	struct caller *c = arg;
	struct json_object *line = caller_line(c, "stream_started");

	c->ws = ws;
	c->stream_open = true;
	c->stream_ms = caller_now_ms(c);
	c->next_frame_us = loop_now_us() + FRAME_US;
	c->result.streams++;
	json_put_text(line, "stream", c->stream_sid);
	caller_log(c, line);
	send_text(c, "{\"event\":\"connected\",\"protocol\":\"Call\",\"version\":\"1.0.0\"}");
	c->sequence = 1;
	c->chunk = 1;
	send_start(c);
	caller_script_stream_began(c);
	stream_callback(c, "stream-started", NULL);
}

/* Exactly these members, of these; anything else is what Twilio reports as 31951. */
static bool
has_only(struct json_object *o, const char *a, const char *b, const char *d)
{
	int want = (a != NULL) + (b != NULL) + (d != NULL);

	return json_object_object_length(o) == want && (!a || json_object_object_get_ex(o, a, NULL)) &&
		   (!b || json_object_object_get_ex(o, b, NULL)) &&
		   (!d || json_object_object_get_ex(o, d, NULL));
}

static void
on_media(struct caller *c, struct json_object *m)
{
	static uint8_t audio[MAX_PAYLOAD];
	struct json_object *media = json_text_child(m, "media", json_type_object);
	const char *payload = json_text_member(media, "payload");
	ssize_t len;

	if (!has_only(m, "event", "streamSid", "media") || !media ||
		!has_only(media, "payload", NULL, NULL))
		caller_violation(c, "media with members too many or too few (31951)");
	len = codec_base64_decode(audio, sizeof(audio), payload, strlen(payload));
	if (len <= 0)
		caller_violation(c, "media whose payload is no base64 or empty");
	else if (!phone_line_media(c->line, audio, (size_t) len))
		caller_violation(c, "more than 10 minutes of audio queued (31931)");
}

static void
on_clear(struct caller *c, struct json_object *m)
{
	struct json_object *line;
	size_t dropped;

	if (!has_only(m, "event", "streamSid", NULL))
		caller_violation(c, "clear with members too many or too few (31951)");
	dropped = phone_line_clear(c->line);
	c->result.clears++;
	line = caller_line(c, "clear");
	json_put_int(line, "dropped_ms", (long long) dropped / 8);
	json_put_int(line, "heard_ms", (long long) c->script.heard_bytes / 8);
	caller_log(c, line);
}

static void
on_event(struct caller *c, struct json_object *m)
{
	const char *name = json_text_member(m, "event");

	if (strcmp(json_text_member(m, "streamSid"), c->stream_sid) != 0)
		caller_violation(c, "a message with a wrong streamSid (31951)");
	if (strcmp(name, "media") == 0)
		on_media(c, m);
	else if (strcmp(name, "clear") == 0)
		on_clear(c, m);
	else if (strcmp(name, "mark") == 0)
	{
		struct json_object *mark = json_text_child(m, "mark", json_type_object);
		const char *text = json_text_member(mark, "name");

		if (!has_only(m, "event", "streamSid", "mark") || !mark ||
			!has_only(mark, "name", NULL, NULL) || text[0] == '\0')
			caller_violation(c, "mark with members too many or too few (31951)");
		phone_line_mark(c->line, text);
	}
	else
		caller_violation(c, "an unknown event (31951)");
}

static void
on_message(void *arg, struct ws *ws, const char *data, size_t len, bool binary)
{
	struct caller *c = arg;
	struct json_object *m;
	char error[160];

	(void) ws;
	if (c->over || !c->stream_open)
		return;
	if (binary)
	{
		caller_violation(c, "a binary frame (31950)");
		return;
	}
	m = json_text_object(data, len, error, sizeof(error));
	if (m)
		on_event(c, m);
	else
		caller_violation(c, "a message that is no JSON object (31951)");
	json_object_put(m);
}

static void
on_close(void *arg, struct ws *ws, int code, int http_status, const char *reason)
{
	struct caller *c = arg;
	bool opened = c->stream_open;
	struct json_object *line = caller_line(c, opened ? "stream_stopped" : "stream_failed");
	char error[160];

	(void) ws;
	c->ws = NULL;
	c->stream_open = false;
	json_put_int(line, "code", code);
	if (http_status)
		json_put_int(line, "http_status", http_status);
	json_put_text(line, "reason", reason);
	caller_log(c, line);
	phone_line_free(c->line);
	c->line = NULL;
	snprintf(error, sizeof(error), http_status ? "31920 handshake answered with %d" : "31902 %d",
			 http_status ? http_status : code);
	stream_callback(c, opened ? "stream-stopped" : "stream-error", opened ? NULL : error);
	if (c->over)
		return;
	caller_script_stream_lost(c);
	if (c->replacing)
		caller_replace_now(c);
	else
		caller_next_verb(c);
}

static const struct ws_handlers handlers = {on_open, on_message, on_close};

void
caller_stream_connect(struct caller *c, const struct twiml_node *stream)
{
	const struct ws_limits limits = {MAX_MESSAGE, MAX_QUEUE};
	const char *callback = twiml_attr(stream, "statusCallback", "");
	char url[CALLER_URL], real[CALLER_URL], signed_url[CALLER_URL];
	char signature[WEBHOOK_SIGNATURE_SIZE], header[64];
	const char *headers[] = {header, "User-Agent: Twilio.TmeWs/1.0", NULL};

	c->stream = stream;
	codec_random_sid(c->stream_sid, sizeof(c->stream_sid), "MZ");
	snprintf(c->stream_name, sizeof(c->stream_name), "%s",
			 twiml_attr(stream, "name", c->stream_sid));
	snprintf(c->stream_callback, sizeof(c->stream_callback), "%s", callback);
	if (!webhook_resolve(c->document_url, twiml_attr(stream, "url", ""), url, sizeof(url)))
		url[0] = '\0';
	if (strncmp(url, "wss://", 6) != 0 &&
		(strncmp(c->cmd->public_url, "https", 5) == 0 || strncmp(url, "ws://", 5) != 0))
		caller_violation(c, "the url of <Stream> is not wss:// (31922)");
	caller_real_url(c, url, real, sizeof(real));
	caller_signed_url(c, url, signed_url, sizeof(signed_url));
	webhook_sign(c->cmd->auth_token, signed_url, NULL, signature);
	snprintf(header, sizeof(header), "X-Twilio-Signature: %s", signature);
	c->line = phone_line_new(on_mark_due, c);
	c->ws = ws_connect(c->cmd->loop, real, headers, CONNECT_TIMEOUT_MS, limits, &handlers, c);
	if (!c->ws)
	{
		caller_violation(c, "the url of <Stream> is malformed (31923)");
		phone_line_free(c->line);
		c->line = NULL;
		stream_callback(c, "stream-error", "31923 malformed URL");
		caller_next_verb(c);
	}
}

void
caller_stream_stop(struct caller *c)
{
	struct json_object *o, *stop;

	if (!c->ws)
		return;
	if (c->stream_open)
	{
		o = event(c, "stop");
		stop = json_object_new_object();
		json_put_text(stop, "accountSid", c->cmd->account_sid);
		json_put_text(stop, "callSid", c->sid);
		json_object_object_add(o, "stop", stop);
		send_object(c, o);
	}
	ws_close(c->ws, 1000, "");
}

static void
send_frame(struct caller *c, const int16_t pcm[PHONE_LINE_FRAME], int16_t linear[PHONE_LINE_FRAME])
{
	uint8_t audio[PHONE_LINE_FRAME];
	char payload[FRAME_BASE64 + 1];

	for (size_t i = 0; i < PHONE_LINE_FRAME; i++)
	{
		audio[i] = codec_ulaw_from_pcm(pcm[i]);
		linear[i] = codec_pcm_from_ulaw(audio[i]);
	}
	codec_base64_encode(payload, sizeof(payload), audio, sizeof(audio));
	send_text(c,
			  "{\"event\":\"media\",\"sequenceNumber\":\"%u\",\"streamSid\":\"%s\","
			  "\"media\":{\"track\":\"inbound\",\"chunk\":\"%u\",\"timestamp\":\"%u\","
			  "\"payload\":\"%s\"}}",
			  c->sequence++, c->stream_sid, c->chunk, c->chunk * 20, payload);
	c->chunk++;
	c->result.frames_sent++;
	EVP_DigestUpdate(c->sent_digest, linear, PHONE_LINE_FRAME * sizeof(int16_t));
	wav_writer_add(c->wav_sent, linear, PHONE_LINE_FRAME);
}

static void
one_frame(struct caller *c, uint64_t now_ms)
{
	int16_t said[PHONE_LINE_FRAME], sent[PHONE_LINE_FRAME], heard[PHONE_LINE_FRAME];
	int16_t both[2 * PHONE_LINE_FRAME];
	uint8_t played[PHONE_LINE_FRAME];
	size_t real;

	memset(said, 0, sizeof(said));
	caller_script_speak(c, now_ms, said);
	if (c->over || !c->stream_open)
		return;
	send_frame(c, said, sent);
	real = phone_line_play(c->line, played);
	for (size_t i = 0; i < PHONE_LINE_FRAME; i++)
		heard[i] = codec_pcm_from_ulaw(played[i]);
	c->result.frames_heard += real > 0;
	caller_script_listen(c, heard, real);
	wav_writer_add(c->wav_heard, heard, PHONE_LINE_FRAME);
	if (!c->wav_both)
		return;
	for (size_t i = 0; i < PHONE_LINE_FRAME; i++)
	{
		both[2 * i] = sent[i];
		both[2 * i + 1] = heard[i];
	}
	wav_writer_add(c->wav_both, both, 2 * PHONE_LINE_FRAME);
}

void
caller_stream_tick(struct caller *c, uint64_t now_us)
{
	while (c->stream_open && !c->over && !c->replacing && now_us >= c->next_frame_us)
	{
		one_frame(c, (c->next_frame_us - c->began_us) / 1000);
		c->next_frame_us += FRAME_US;
	}
}
