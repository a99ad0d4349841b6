/*
 * db.h: the road to PostgreSQL: a few non-blocking, pipelined libpq connections.
 *
 * Queries with equal affinity run on one connection in the order given, each in a transaction of
 * its own; so whatever concerns one call (its CallSid is the key) stays in order without waiting.
 * A query that was sent and not answered when a connection broke is sent again on the next one, in
 * order: only idempotent functions may be called this way (all of ours are). The queue is bounded;
 * what does not fit fails at once.
 */
#ifndef VA_NET_DB_H
#define VA_NET_DB_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct db;

/* How to reach the database: the conninfo strings are tried in order until one works, then that
 * one is kept. run_as: after connecting, SET SESSION AUTHORIZATION to this role (peer). */
struct db_target
{
	const char *conninfo;
	const char *run_as; /* or NULL */
};

struct db_options
{
	struct db_target targets[4];
	unsigned target_count;
	unsigned connections; /* 1 to 32 */
	size_t max_queued; /* bytes of waiting queries over all connections */
	const char *const *channels; /* LISTEN names, NULL-terminated, or NULL */
	void (*notified)(void *arg, const char *channel, const char *payload);
	/* connected: at least one connection works; called at each change. After a reconnection
	 * notifications may have been missed: the owner re-reads what they announce. */
	void (*state)(void *arg, bool connected);
	void *arg;
};

enum db_outcome
{
	DB_OK, /* result holds the rows */
	DB_ERROR, /* the server refused: sqlstate and message */
	DB_TIMEOUT, /* no answer in time; the query may still run, its answer will be ignored */
	DB_FULL /* the queue is full, or db is closing */
};

struct db_reply
{
	enum db_outcome outcome;
	const PGresult *result; /* DB_OK only; text format */
	const char *sqlstate; /* "" unless DB_ERROR */
	const char *message; /* "" unless an error; primary message only */
};

typedef void (*db_done)(void *arg, const struct db_reply *reply);

#define DB_MAX_PARAMETERS 12

/* NULL when options are wrong. Connects in the background, with back-off from 50 ms to 10 s; a
 * refusal is logged once, with the line to add to pg_hba.conf. */
struct db *db_new(struct loop *loop, const struct db_options *options);

/* A key for affinity out of any text. */
uint64_t db_affinity(const char *text);

/* Runs sql with text parameters (copied; NULL = SQL null). Statements are prepared once per
 * connection, so sql must be one of few constant texts. timeout_ms 0 = wait for ever. done (may
 * be NULL) is called exactly once, never before this returns. */
void db_query(struct db *db, uint64_t affinity, const char *sql, int count,
			  const char *const *values, unsigned timeout_ms, db_done done, void *arg);

/* The same for what comes from outside and comes once, such as a webhook's request: when the server
 * rolled the transaction back in favour of another one (SQLSTATE class 40, a deadlock for instance),
 * it is run again, DB_CONFLICTS times at most and within the same time. It may thereby run after
 * what was asked later with the same affinity. */
#define DB_CONFLICTS 5
void db_request(struct db *db, uint64_t affinity, const char *sql, int count,
				const char *const *values, unsigned timeout_ms, db_done done, void *arg);

size_t db_queued_bytes(const struct db *db);
unsigned db_queued_queries(const struct db *db);
bool db_connected(const struct db *db);

/* Waits up to timeout_ms (running the loop) for queued queries, then closes. */
void db_close(struct db *db, unsigned timeout_ms);

#endif
