/*
 * dispatcher.h: the program `voiceagent dispatcher`, which carries the outbox out, and what its parts
 * share. README.md tells the story.
 *
 * One of it exists in a process. All of it runs on one loop and one thread, so nothing is locked.
 */
#ifndef VA_DISPATCHER_DISPATCHER_H
#define VA_DISPATCHER_DISPATCHER_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/lanes.h"
#include "dispatcher/settings.h"
#include "dispatcher/sql.h"

struct control;
struct db;
struct http_client;
struct job;
struct loop;
struct settling;

/* Totals of this process. */
struct dispatcher_counters
{
	uint64_t claims;
	uint64_t attempts;
	uint64_t looks;
	uint64_t done;
	uint64_t retried;
	uint64_t failed;
	uint64_t unknown;
	uint64_t released;
	uint64_t verdicts_lost;
};

struct dispatcher
{
	struct loop *loop;
	struct control *control; /* settings, notifications, sweeps, reports */
	struct db *db; /* claim and settle, each on a connection of its own */
	struct http_client *http;
	char name[64];
	char instance[96]; /* new with each start */
	struct dispatcher_settings settings;
	struct dispatcher_sql sql;
	struct dispatcher_counters counters;
	struct lanes lanes;
	struct job *jobs; /* those under way */
	struct settling *settling;
	bool begun; /* the database knows this instance */
	bool stopping;
	uint64_t started_us;
};

/* Runs the dispatcher until SIGTERM, SIGINT or the end of its parent. Returns the exit status. */
int dispatcher_main(int argc, char **argv);

#endif
