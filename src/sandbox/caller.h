/*
 * caller.h: one dialled call, seen from Twilio and from the caller behind it.
 *
 *	 caller.c		   the command: options, several calls at once, the clock, the result
 *	 caller_webhooks.c signed requests, retries, the fallback, status callbacks
 *	 caller_verbs.c	   executes TwiML
 *	 caller_stream.c   the media stream and whether the server keeps to its protocol
 *	 caller_script.c   what the caller hears, says and presses
 *	 caller_report.c   the dialogue for a person, the summary
 *
 * Times named *_ms count from the moment of dialling.
 */
#ifndef VA_SANDBOX_CALLER_H
#define VA_SANDBOX_CALLER_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "net/http_client.h"
#include "net/loop.h"
#include "net/ws.h"
#include "sandbox/codec.h"
#include "sandbox/ledger.h"
#include "sandbox/phone_line.h"
#include "sandbox/scenario.h"
#include "sandbox/speech.h"
#include "sandbox/twiml_reader.h"
#include "sandbox/vad.h"
#include "sandbox/wav.h"
#include "sandbox/webhook.h"

#define CALLER_MAX_LATENCIES 64
#define CALLER_URL 2048

struct caller_report;
struct caller;

enum caller_event
{
	CALLER_INITIATED = 1,
	CALLER_RINGING = 2,
	CALLER_ANSWERED = 4,
	CALLER_COMPLETED = 8
};

/* What all calls of one command share. */
struct caller_command
{
	const char *to;
	const char *from; /* NULL = the scenario's */
	char url[CALLER_URL]; /* where requests really go */
	char public_url[CALLER_URL]; /* how they are signed; the same unless given */
	const char *account_sid;
	const char *auth_token;
	const char *fallback_url; /* NULL = url + the usual path */
	/* A call that the product has placed through Twilio's API (twilio_lines.c) and `to` is called;
	 * answer_url NULL: one that we dial. */
	const char *answer_url;
	const char *status_url; /* or NULL */
	unsigned status_events; /* bits of enum caller_event */
	void (*entered)(struct caller *c, const struct twiml_node *conference); /* <Dial> of one */
	void *owner;
	const char *wav_dir; /* or NULL */
	bool status_callbacks; /* ringing and in-progress too */
	bool no_status; /* not even completed */
	unsigned calls;
	unsigned stagger_ms;
	struct scenario *scenario;
	struct speech_store *speech;
	struct ledger *ledger;
	struct loop *loop;
	struct http_client *http;
	struct caller_report *report;
	struct caller *list;
	uv_timer_t clock;
	uint64_t began_us;
	unsigned dialled;
	unsigned finished;
	unsigned failed;
};

/* How well it went; for the summary. */
struct caller_result
{
	unsigned latencies[CALLER_MAX_LATENCIES]; /* ms */
	unsigned latency_count;
	unsigned first_audio_ms; /* from the stream's start; 0 = never heard */
	unsigned longest_gap_ms; /* without audio inside what was heard as one utterance */
	unsigned utterances_said;
	unsigned utterances_heard;
	unsigned keys;
	unsigned clears;
	unsigned streams;
	unsigned violations;
	unsigned webhooks;
	unsigned webhook_failures;
	unsigned long frames_sent;
	unsigned long frames_heard; /* with audio of the server */
};

/* What the caller does in the media stream. */
struct caller_script
{
	size_t step;
	bool begun; /* the step is under way */
	uint64_t step_ms; /* since when it waits or runs */
	const struct speech *speech;
	size_t spoken; /* samples of it */
	uint64_t speech_ms;
	EVP_MD_CTX *digest;
	size_t pressed; /* keys of this step */
	uint64_t next_key_ms;
	struct vad ear;
	uint64_t ear_began_ms; /* its clock's zero */
	bool heard_since; /* the agent has spoken since our last doing */
	bool awaiting_reply; /* latency is being measured */
	uint64_t own_end_ms;
	uint64_t agent_end_ms;
	unsigned gap_ms;
	uint64_t heard_bytes; /* real audio of the utterance under way */
	bool resumed; /* a new stream, and nothing heard in it yet */
	bool cut; /* the stream before broke inside this step */
	bool repeated;
};

struct caller
{
	struct caller *next;
	struct caller_command *cmd;
	unsigned number;
	char sid[40];
	const char *from;
	const char *status; /* CallStatus */
	uint64_t began_us;
	uint64_t answered_ms;
	unsigned pending; /* requests under way */
	bool over; /* hung up; only requests may be under way */
	bool finished; /* counted */
	const char *ended_by; /* "agent", "caller" or "error" */
	char why[160];
	/* TwiML */
	struct twiml_node *document;
	const struct twiml_node *verb;
	char document_url[CALLER_URL];
	uint64_t verb_until_ms; /* Say, Pause, Record, Gather: over then; 0 = not waiting */
	unsigned redirects;
	bool on_fallback;
	unsigned status_sequence;
	bool replacing; /* by the two below, as soon as the stream has ended */
	char *replacement; /* TwiML; NULL: what is at the URL */
	char replacement_url[CALLER_URL];
	/* media stream */
	struct ws *ws;
	bool stream_open;
	char stream_sid[40];
	char stream_name[128];
	char stream_callback[CALLER_URL];
	const struct twiml_node *stream;
	uint64_t stream_ms;
	uint64_t next_frame_us;
	unsigned sequence;
	unsigned chunk;
	struct phone_line *line;
	struct caller_script script;
	struct wav_writer *wav_sent, *wav_heard, *wav_both;
	EVP_MD_CTX *sent_digest; /* of the linear samples of all that was sent */
	struct caller_result result;
};

/* caller.c: the life of one call, for whoever has the clock. */
struct caller *caller_new(struct caller_command *cmd);
/* Of a call that the product has placed: the telephone is answered; the document is fetched. */
void caller_pick_up(struct caller *c);
/* Likewise: it ends without having been answered: "busy", "no-answer", "failed", "canceled". */
void caller_give_up(struct caller *c, const char *status);
/* To be called every few milliseconds; false once the call is over and everything was reported. */
bool caller_tick(struct caller *c, uint64_t now_us);
void caller_free(struct caller *c);

uint64_t caller_now_ms(const struct caller *c);
/* Whoever hung up: stops the stream, reports the end. Once. */
void caller_hang_up(struct caller *c, const char *ended_by, const char *why);
/* Something that Twilio would log against the server. */
void caller_violation(struct caller *c, const char *what);
/* A ledger line of this call with its time. */
struct json_object *caller_line(struct caller *c, const char *event);
void caller_log(struct caller *c, struct json_object *line);

/* caller_webhooks.c */
typedef void (*caller_answered)(struct caller *c, int status, const char *body, size_t len);
/* The parameters that every request about this call has. */
void caller_form(struct caller *c, struct webhook_form *form);
/* Posts form (taken over) to url, which may carry overrides in its fragment. done may be NULL; it
 * is called once, status 0 when there was no answer. */
void caller_post(struct caller *c, const char *url, struct webhook_form *form,
				 caller_answered done);
/* Requests a TwiML document and executes it; on failure the fallback's. */
void caller_fetch(struct caller *c, const char *url, struct webhook_form *form);
void caller_status_callback(struct caller *c, const char *status);
/* The URL that is really opened for one that the server named. */
void caller_real_url(const struct caller *c, const char *url, char *out, size_t size);
/* The URL as Twilio signs it. */
void caller_signed_url(const struct caller *c, const char *url, char *out, size_t size);

/* caller_verbs.c */
void caller_execute(struct caller *c, const char *body, size_t len, const char *url);
void caller_next_verb(struct caller *c);
/* The product replaces what a live call is doing (POST /Calls/{Sid}.json): by a document, or by what
 * is at url (the other one NULL). */
void caller_replace(struct caller *c, const char *twiml, const char *url);
/* The stream that stood in its way has ended. */
void caller_replace_now(struct caller *c);
/* The conference that the call waits in is over. */
void caller_leave_conference(struct caller *c);
void caller_verbs_tick(struct caller *c, uint64_t now_ms);

/* caller_stream.c */
void caller_stream_connect(struct caller *c, const struct twiml_node *stream);
void caller_stream_stop(struct caller *c); /* the call ends: `stop`, then close */
void caller_stream_tick(struct caller *c, uint64_t now_us);
void caller_send_key(struct caller *c, char key);

/* caller_script.c */
/* Has all speech ready before the first call, since synthesis blocks. */
bool caller_script_prepare(struct caller_command *cmd);
void caller_script_init(struct caller *c);
void caller_script_free(struct caller *c);
void caller_script_stream_began(struct caller *c);
void caller_script_stream_lost(struct caller *c);
/* The next 20 ms that the caller says. */
void caller_script_speak(struct caller *c, uint64_t now_ms, int16_t pcm[PHONE_LINE_FRAME]);
/* The 20 ms that were played to the caller, of which real bytes came from the server. */
void caller_script_listen(struct caller *c, const int16_t pcm[PHONE_LINE_FRAME], size_t real);

/* caller_report.c */
struct caller_report *caller_report_new(struct caller_command *cmd, bool quiet, bool json,
										const char *engine_ledger);
void caller_report_free(struct caller_report *r);
void caller_report_tick(struct caller_report *r, bool flush);
void caller_report_call(struct caller_report *r, const struct caller *c, bool ok);
void caller_report_end(struct caller_report *r);

#endif
