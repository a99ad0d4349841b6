/*
 * call.h: one call, from the answer webhook to the end of its stream, as the rest of the gateway
 * sees it.
 *
 * A call is created by a webhook whose answer carries a session (call_prepare) or by a stream whose
 * token this process does not know (call_ask): another gateway, or this one in an earlier life, has
 * answered the webhook. It ends with its stream; what remains to be stored lives on in its journal.
 */
#ifndef VA_GATEWAY_CALL_H
#define VA_GATEWAY_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct call;
struct gateway;
struct media;
struct twilio_message;

/* Why a call ended, as the database knows it. */
#define CALL_AGENT_HANGUP "agent_hangup"
#define CALL_CALLER_HANGUP "caller_hangup"
#define CALL_STREAM_CLOSED "stream_closed"
#define CALL_TIME_LIMIT "time_limit"
#define CALL_INACTIVITY "inactivity"
#define CALL_ENGINE_FAILED "engine_failed"
#define CALL_ENGINE_ENDED "engine_ended"
#define CALL_REJECTED "rejected"
#define CALL_SHUTDOWN "shutdown"

/* Begins to prepare the engine for a session (JSON of the database). received_us: when the webhook
 * came in. A repetition of a webhook finds its call already there and changes nothing. */
void call_prepare(struct gateway *g, const char *session_json, size_t len, const char *call_sid,
				  const char *account_sid, uint64_t received_us);

enum call_started
{
	CALL_STARTED,
	CALL_NO_TOKEN, /* the token names no call that waits for this stream */
	CALL_NO_ROOM /* as many calls as voiceagent.max_calls allows */
};

/* Twilio's start. The stream's account was verified. */
enum call_started call_start(struct gateway *g, struct media *media,
							 const struct twilio_message *start, struct call **call);

/* From the stream. count bytes of mu-law; the message itself was checked. */
void call_frame(struct call *call, const uint8_t *ulaw, size_t count, uint64_t now_us);
void call_digit(struct call *call, char digit);
void call_mark(struct call *call, const char *name);
/* The stream is over; the call lets go of it. */
void call_stream_over(struct call *call, const char *reason);

/* The database is about to be asked about this call: what we know goes first. over: Twilio says the
 * stream has ended, although its socket has not told us yet. */
void call_sync(struct gateway *g, const char *call_sid, bool over);
/* The words with which the tenant apologises, or NULL when no such call is known. */
const char *call_apology(struct gateway *g, const char *call_sid);

/* The clock of all calls. */
void call_tick_all(struct gateway *g, uint64_t now_us);
/* Ends all of them: the program stops. */
void call_shutdown_all(struct gateway *g);
/* Bytes that wait in the queues of calls, for the report. */
size_t call_queued_bytes(const struct gateway *g);

#endif
