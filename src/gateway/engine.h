/*
 * engine.h: one interface for every voice engine.
 *
 * An engine session takes the caller's audio as mu-law frames, hands back the agent's audio as
 * mu-law, and speaks of the rest in engine events. What rate, encoding and protocol lie behind is
 * the affair of one file an engine; adding one adds a line to the table in engines.c.
 */
#ifndef VA_GATEWAY_ENGINE_H
#define VA_GATEWAY_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/engine_event.h"
#include "core/error.h"
#include "core/voice_session.h"

struct gateway;
struct engine; /* one session; each implementation has its own */

/* How a session came to its end without being closed by us. */
enum engine_loss
{
	ENGINE_UNAVAILABLE, /* it never became ready, quick retries included */
	ENGINE_LOST, /* the connection broke under way */
	ENGINE_FINISHED /* the engine ended the conversation in good order */
};

/* Upcalls. After `lost` the session does nothing more, but must still be closed. */
struct engine_host
{
	void (*ready)(void *arg);
	void (*audio)(void *arg, const uint8_t *ulaw, size_t count);
	/* Every event but ready and audio; valid during the call only. */
	void (*event)(void *arg, const struct engine_event *event);
	void (*lost)(void *arg, enum engine_loss loss, const char *why);
};

struct engine_tool_result
{
	const char *invocation_id; /* as the engine gave it, "" for none */
	const char *name;
	const char *result_json; /* NULL when there is an error */
	const char *error; /* words that the model can speak about */
	bool unknown; /* the error: there is no such tool */
};

struct engine_ops
{
	const char *name;
	bool interrupts; /* it tells us when its speech was interrupted; else the call finds out */
	bool cuts; /* its final texts hold what was heard only */

	/* Begins to create and join a session; `ready` or `lost` follows, never before this returns.
	 * session is needed during the call only. NULL with *err when it cannot even begin. */
	struct engine *(*open)(struct gateway *g, const struct voice_session *session,
						   const struct engine_host *host, void *arg, struct va_error *err);
	/* The caller's audio. Returns false when the frame had to be dropped. */
	bool (*audio)(struct engine *e, const uint8_t *ulaw, size_t count);
	/* Words in the caller's name that the model answers at once. */
	void (*user_text)(struct engine *e, const char *text);
	/* Words that the agent shall speak. */
	void (*say)(struct engine *e, const char *text);
	/* Stop speaking: the caller interrupted. */
	void (*interrupt)(struct engine *e);
	void (*tool_result)(struct engine *e, const struct engine_tool_result *result);
	/* Ends the session and frees it in its own time; no upcall follows. hang_up: the conversation
	 * is over, else it is merely cut. */
	void (*close)(struct engine *e, bool hang_up);
};

/* By the name in the session; NULL for an unknown one. */
const struct engine_ops *engine_find(const char *name);

extern const struct engine_ops engine_ultravox;
extern const struct engine_ops engine_realtime;

/* Refuses http:// and ws:// unless voiceagent.allow_insecure_engine is on. `url` must begin with
 * one of the four schemes. */
bool engine_url_allowed(const struct gateway *g, const char *url, struct va_error *err);

#endif
