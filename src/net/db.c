/*
 * db.c: the front of the road to PostgreSQL: which connection a query goes to, its parameters,
 * its time limit, and the bound on everything that waits.
 */
#include "net/db.h"

#include <stdlib.h>
#include <string.h>

#include "net/db_internal.h"
#include "net/log.h"
#include "net/loop.h"

uint64_t
db_affinity(const char *text)
{
	uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

	for (; *text != '\0'; text++)
	{
		hash ^= (unsigned char) *text;
		hash *= UINT64_C(1099511628211);
	}
	return hash ^ hash >> 32;
}

/* The text's place among the statements to prepare; -1 when there are too many. */
static int
statement_index(struct db *db, const char *sql)
{
	for (unsigned i = 0; i < db->statement_count; i++)
	{
		if (strcmp(db->statements[i], sql) == 0)
			return (int) i;
	}
	if (db->statement_count == DB_MAX_STATEMENTS)
		return -1;
	db->statements[db->statement_count] = strdup(sql);
	if (db->statements[db->statement_count] == NULL)
		return -1;
	return (int) db->statement_count++;
}

void
db_query_free(struct db *db, struct db_query *query)
{
	deadline_clear(&query->deadline);
	db->queued_bytes -= query->bytes;
	db->queued--;
	PQclear(query->result);
	free(query);
}

void
db_tell(struct db *db, struct db_query *query, const struct db_reply *reply)
{
	db_done done = query->done;

	(void) db;
	deadline_clear(&query->deadline);
	query->done = NULL;
	if (done != NULL)
		done(query->arg, reply);
}

static void
tell_without_result(struct db *db, struct db_query *query, enum db_outcome outcome,
					const char *message)
{
	struct db_reply reply = {.outcome = outcome, .sqlstate = "", .message = message};

	db_tell(db, query, &reply);
}

static void
on_query_timeout(void *arg)
{
	struct db_query *query = arg;
	struct db *db = query->db;
	bool sent = query->sent;

	/* One under way keeps its place, for the answers come in the order of the questions; it may
	 * be gone when the caller was told. */
	query->abandoned = true;
	if (!sent)
		db_connection_remove(query->connection, query);
	tell_without_result(db, query, DB_TIMEOUT, "no answer from the database in time");
	if (!sent)
		db_query_free(db, query);
}

static void
on_refused(void *arg)
{
	struct db_query *query = arg;
	struct db *db = query->db;

	tell_without_result(db, query, DB_FULL, db->closing ? "the program is ending" : "queue full");
	db_query_free(db, query);
}

/* Copies everything the query needs into one piece of memory. */
static struct db_query *
query_new(struct db *db, const char *sql, int count, const char *const *values)
{
	size_t bytes = sizeof(struct db_query);
	int statement = statement_index(db, sql);
	struct db_query *query;
	char *at;

	for (int i = 0; i < count; i++)
		bytes += values[i] != NULL ? strlen(values[i]) + 1 : 0;
	if (statement < 0)
		bytes += strlen(sql) + 1;
	query = calloc(1, bytes);
	if (query == NULL)
		return NULL;
	query->bytes = bytes;
	query->count = count;
	query->statement = statement;
	at = (char *) (query + 1);
	for (int i = 0; i < count; i++)
	{
		size_t len = values[i] != NULL ? strlen(values[i]) + 1 : 0;

		if (len == 0)
			continue;
		query->values[i] = memcpy(at, values[i], len);
		at += len;
	}
	query->sql = statement < 0 ? memcpy(at, sql, strlen(sql) + 1) : db->statements[statement];
	return query;
}

static void
query_add(struct db *db, uint64_t affinity, const char *sql, int count, const char *const *values,
		  unsigned timeout_ms, unsigned conflicts, db_done done, void *arg)
{
	struct db_query *query;

	if (count < 0 || count > DB_MAX_PARAMETERS)
		abort(); /* a mistake in the program: no query here has so many */
	query = query_new(db, sql, count, values);
	if (query == NULL)
		abort(); /* out of memory: there is none to tell of it either */
	query->db = db;
	query->done = done;
	query->arg = arg;
	query->conflicts_left = conflicts;
	query->connection = db->connections[affinity % db->options.connections];
	db->queued++;
	db->queued_bytes += query->bytes;
	if (db->closing || db->queued_bytes > db->options.max_queued)
	{
		deadline_set(db->loop, &query->deadline, 0, on_refused, query);
		return;
	}
	if (timeout_ms > 0)
		deadline_set(db->loop, &query->deadline, timeout_ms, on_query_timeout, query);
	db_connection_add(query->connection, query);
}

void
db_query(struct db *db, uint64_t affinity, const char *sql, int count, const char *const *values,
		 unsigned timeout_ms, db_done done, void *arg)
{
	query_add(db, affinity, sql, count, values, timeout_ms, 0, done, arg);
}

void
db_request(struct db *db, uint64_t affinity, const char *sql, int count, const char *const *values,
		   unsigned timeout_ms, db_done done, void *arg)
{
	query_add(db, affinity, sql, count, values, timeout_ms, DB_CONFLICTS, done, arg);
}

void
db_connection_is_ready(struct db *db, bool listener)
{
	db->ready++;
	db->complained = false;
	/* What was announced while nobody listened is lost: say so by calling again. */
	if (db->options.state != NULL && (db->ready == 1 || listener))
		db->options.state(db->options.arg, true);
}

void
db_connection_is_lost(struct db *db)
{
	db->ready--;
	if (db->options.state != NULL && db->ready == 0 && !db->closing)
		db->options.state(db->options.arg, false);
}

size_t
db_queued_bytes(const struct db *db)
{
	return db->queued_bytes;
}

unsigned
db_queued_queries(const struct db *db)
{
	return db->queued;
}

bool
db_connected(const struct db *db)
{
	return db->ready > 0;
}

static void
db_free(struct db *db)
{
	for (unsigned i = 0; db->connections != NULL && i < db->options.connections; i++)
	{
		if (db->connections[i] == NULL)
			continue;
		db_connection_stop(db->connections[i]);
		db_connection_free(db->connections[i]);
	}
	free(db->connections);
	for (unsigned i = 0; i < DB_MAX_TARGETS; i++)
	{
		free(db->conninfos[i]);
		free(db->run_as[i]);
	}
	for (unsigned i = 0; db->channels != NULL && db->channels[i] != NULL; i++)
		free(db->channels[i]);
	free(db->channels);
	for (unsigned i = 0; i < db->statement_count; i++)
		free(db->statements[i]);
	free(db);
}

static bool
copy_options(struct db *db, const struct db_options *options)
{
	unsigned channels = 0;

	db->options = *options;
	for (unsigned i = 0; i < options->target_count; i++)
	{
		const struct db_target *target = &options->targets[i];

		if (target->conninfo == NULL || (db->conninfos[i] = strdup(target->conninfo)) == NULL)
			return false;
		if (target->run_as != NULL && (db->run_as[i] = strdup(target->run_as)) == NULL)
			return false;
	}
	while (options->channels != NULL && options->channels[channels] != NULL)
		channels++;
	db->channels = calloc(channels + 1, sizeof(char *));
	for (unsigned i = 0; db->channels != NULL && i < channels; i++)
	{
		if ((db->channels[i] = strdup(options->channels[i])) == NULL)
			return false;
	}
	return db->channels != NULL;
}

struct db *
db_new(struct loop *loop, const struct db_options *options)
{
	struct db *db;

	if (options->target_count < 1 || options->target_count > DB_MAX_TARGETS ||
		options->connections < 1 || options->connections > 32)
	{
		log_error("wrong options for the database");
		return NULL;
	}
	db = calloc(1, sizeof(*db));
	if (db == NULL)
		return NULL;
	db->loop = loop;
	if (!copy_options(db, options) ||
		(db->connections = calloc(options->connections, sizeof(*db->connections))) == NULL)
	{
		db_free(db);
		return NULL;
	}
	for (unsigned i = 0; i < options->connections; i++)
	{
		if ((db->connections[i] = db_connection_new(db, i)) == NULL)
		{
			db_free(db);
			return NULL;
		}
	}
	return db;
}

static bool
nothing_queued(void *arg)
{
	return ((struct db *) arg)->queued == 0;
}

static bool
never(void *arg)
{
	(void) arg;
	return false;
}

void
db_close(struct db *db, unsigned timeout_ms)
{
	struct db_query *query;

	if (db == NULL)
		return;
	loop_run_until(db->loop, timeout_ms, nothing_queued, db);
	db->closing = true;
	for (unsigned i = 0; i < db->options.connections; i++)
	{
		db_connection_stop(db->connections[i]);
		while ((query = db_connection_take(db->connections[i])) != NULL)
		{
			tell_without_result(db, query, DB_FULL, "the program is ending");
			db_query_free(db, query);
		}
	}
	/* Queries that were refused are told in the next turn, like those asked just now. */
	loop_run_until(db->loop, 100, nothing_queued, db);
	loop_run_until(db->loop, 0, never, NULL);
	db_free(db);
}
