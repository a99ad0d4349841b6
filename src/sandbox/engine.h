/*
 * engine.h: what the two dialects of the stand-in engine share: sessions and the server under them.
 *
 * engine.c owns the listening socket, the clock and the sessions; engine_ultravox.c and
 * engine_realtime.c speak their protocols; conversation.c is what both talk for.
 */
#ifndef VA_SANDBOX_ENGINE_H
#define VA_SANDBOX_ENGINE_H

#include <json-c/json.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#include "net/http_server.h"
#include "net/loop.h"
#include "net/ws.h"
#include "sandbox/conversation.h"
#include "sandbox/faults.h"
#include "sandbox/ledger.h"
#include "sandbox/scenario.h"
#include "sandbox/speech.h"
#include "sandbox/wav.h"

struct engine
{
	struct loop *loop;
	struct http_server *server;
	uv_timer_t clock;
	struct scenario_set scenarios;
	const struct scenario *scenario; /* the one to follow unless a session names its own */
	struct speech_store *speech;
	struct ledger *ledger;
	struct fault_book *faults;
	const char *fault; /* specification for sessions that bring none */
	char fault_text[512];
	const char *wav_dir; /* or NULL */
	unsigned port;
	unsigned think_ms;
	unsigned late_text_ms; /* from the end of a sentence's audio to that of its text */
	unsigned burst_ms; /* realtime: how far ahead of real time audio is sent */
	struct session *sessions;
	unsigned session_count;
};

enum dialect
{
	DIALECT_ULTRAVOX,
	DIALECT_REALTIME
};

struct session
{
	struct engine *engine;
	struct session *next;
	enum dialect dialect;
	char id[40];
	struct faults *faults;
	const struct scenario *scenario;
	struct json_object *request; /* the body it was created from */
	struct json_object *messages; /* ultravox: what GET …/messages shows */
	struct ws *ws;
	bool joined;
	bool ended;
	const char *end_reason; /* of a constant */
	int64_t created_wall_ms;
	int64_t joined_wall_ms;
	int64_t ended_wall_ms;
	uint64_t created_ms;
	uint64_t opened_ms;
	uint64_t last_audio_ms;
	uint64_t close_at_ms; /* 0 = not */
	uint64_t garbage_at_ms;
	unsigned join_timeout_ms;
	unsigned max_duration_ms;
	unsigned idle_timeout_ms; /* without any audio; 0 = no limit */
	unsigned input_rate;
	unsigned output_rate;
	struct conversation *talk;
	EVP_MD_CTX *heard_digest;
	uint64_t heard_bytes;
	struct wav_writer *heard_wav;
	uint64_t spoken_bytes;
	const char *time_exceeded; /* said before the time limit's hang-up; part of request */
	bool time_is_up;
};

uint64_t engine_now_ms(void);

/* A session in the list of the engine. */
struct session *session_new(struct engine *engine, enum dialect dialect);
struct session *session_find(struct engine *engine, const char *id);
/* Audio from the client: digest, recording, hearing. */
void session_hear(struct session *s, const int16_t *pcm, size_t count);
/* Counts audio that goes to the client. */
void session_spoke(struct session *s, size_t bytes);
/* Marks it ended, writes the ledger and lets the socket be closed after what is queued. */
void session_end(struct session *s, const char *reason);
/* The socket is gone. */
void session_socket_closed(struct session *s, const char *reason);
/* The scenario of this name, or, when there is none, the marker "[scenario:NAME]" in text, or the
 * engine's own. */
const struct scenario *session_scenario(struct engine *engine, const char *name, const char *text);

/* A message of this type, to be filled; and its way to the client, where it is released. Both
 * dialects name a message by its member "type". */
struct json_object *session_message(const char *type);
void session_send(struct session *s, struct json_object *message);

/* Answers with a JSON object and releases it. */
void engine_answer(struct http_exchange *ex, int status, struct json_object *body,
				   const char *headers);
void engine_answer_detail(struct http_exchange *ex, int status, const char *detail);

/* engine_ultravox.c: REST below /api/ and the join URLs. */
void ultravox_request(struct engine *engine, struct http_exchange *ex,
					  const struct http_request *req);
int ultravox_upgrade(struct engine *engine, const struct http_request *req,
					 const struct ws_handlers **handlers, void **arg);
/* Every tick: limits that only this dialect has. */
void ultravox_tick(struct session *s, uint64_t now_ms);

/* engine_realtime.c: /v1/realtime. */
int realtime_upgrade(struct engine *engine, const struct http_request *req,
					 struct http_exchange *headers, const struct ws_handlers **handlers,
					 void **arg);
void realtime_tick(struct session *s, uint64_t now_ms);

#endif
