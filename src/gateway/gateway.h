/*
 * gateway.h: what the parts of the gateway share: the runtime, the settings, the counters.
 *
 * One of it exists in a process. All of it runs on one loop and one thread, so nothing is locked.
 */
#ifndef VA_GATEWAY_GATEWAY_H
#define VA_GATEWAY_GATEWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/call_index.h"
#include "gateway/credentials.h"
#include "gateway/ended.h"
#include "gateway/mail_keys.h"
#include "gateway/settings.h"
#include "gateway/sql.h"
#include "gateway/urls.h"

struct call;
struct control;
struct db;
struct http_client;
struct http_server;
struct journal;
struct loop;
struct media;

/* Why a request or a stream was turned away. */
enum rejection
{
	REJECT_SIGNATURE,
	REJECT_MALFORMED,
	REJECT_TOO_LARGE,
	REJECT_METHOD,
	REJECT_NOT_FOUND,
	REJECT_TOKEN,
	REJECT_BUSY,
	REJECT_LINK, /* to a file: wrong, expired, or of a file that is gone */
	REJECT_DOWNLOADS, /* too many at once */
	REJECT_COUNT
};

/* Totals of this process. */
struct counters
{
	uint64_t calls;
	uint64_t rejected[REJECT_COUNT];
	uint64_t webhooks;
	uint64_t webhooks_failed; /* answered with an apology or 503 */
	uint64_t frames_in;
	uint64_t frames_out;
	uint64_t frames_dropped_in;
	uint64_t frames_dropped_out;
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint64_t interruptions;
	uint64_t tool_calls;
	uint64_t engine_failures;
	uint64_t engine_lost;
	uint64_t events_lost;
	uint64_t clear_us_max; /* slowest "interrupted" to `clear` written */
};

struct gateway
{
	struct loop *loop;
	struct control *control; /* one connection: settings, credentials, notifications, reports */
	struct db *db; /* the calls' connections; NULL before the settings were read */
	struct http_client *http;
	struct http_server *server;
	struct settings settings;
	struct credentials credentials;
	struct mail_keys mail_keys;
	struct urls urls;
	struct sql sql;
	struct counters counters;
	struct call *calls; /* ring-less list, newest first */
	struct call_index index; /* of these */
	struct ended ended;
	struct call *dead; /* freed from the top of the loop, never from within a callback */
	struct media *streams;
	struct journal *closed_journals;
	unsigned call_count;
	unsigned download_count;
	uint64_t next_call_id;
	uint64_t started_us;
	char name[64];
	bool db_connected;
	bool stopping; /* no new calls */
	bool stopped; /* the connections are being closed: nothing may be queued any more */
};

/* Runs the gateway until SIGTERM, SIGINT or the end of its parent. Returns the exit status. */
int gateway_main(int argc, char **argv);

/* The 20 ms clock that drives calls; it stands still while there is nothing to drive. */
void gateway_wake(struct gateway *g);

void gateway_reject(struct gateway *g, enum rejection why);

#endif
