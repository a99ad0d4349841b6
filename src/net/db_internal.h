/*
 * db_internal.h: what db.c (queries, affinity, limits) and db_connection.c (libpq) share.
 */
#ifndef VA_NET_DB_INTERNAL_H
#define VA_NET_DB_INTERNAL_H

#include "net/db.h"
#include "net/loop_internal.h"

#define DB_MAX_TARGETS 4
#define DB_MAX_STATEMENTS 64

struct db_connection;

/* One query from db_query until its answer. The texts of its parameters lie behind the struct. */
struct db_query
{
	struct db_query *next;
	struct db *db;
	struct db_connection *connection;
	const char *sql; /* one of db->statements, or a copy behind the struct */
	int statement; /* index of the prepared statement, -1 when the table is full */
	int count;
	const char *values[DB_MAX_PARAMETERS];
	size_t bytes; /* what it counts in the queue */
	db_done done; /* NULL once the caller was told, or never to be told */
	void *arg;
	struct deadline deadline;
	bool sent; /* on the present connection */
	bool prepares; /* it carries the Parse of its statement, not answered yet */
	bool retried; /* sent again because its prepared statement had gone stale */
	unsigned conflicts_left; /* so often it is run again when another transaction had precedence */
	bool abandoned; /* timed out: its answer, if it comes, is read and forgotten */
	unsigned losses; /* connections that broke while it was being run */
	PGresult *result; /* the answer so far */
};

struct db
{
	struct loop *loop;
	struct db_options options;
	char *conninfos[DB_MAX_TARGETS];
	char *run_as[DB_MAX_TARGETS];
	char **channels; /* NULL-terminated, or NULL */
	unsigned target; /* the one that worked last */
	struct db_connection **connections;
	unsigned ready; /* connections that work */
	bool closing;
	bool complained; /* that no target works: said once until one does */
	char *statements[DB_MAX_STATEMENTS];
	unsigned statement_count;
	size_t queued_bytes;
	unsigned queued;
};

/* db.c, called by db_connection.c */

/* Tells the caller, once, and forgets the query unless its answer is still under way. */
void db_tell(struct db *db, struct db_query *query, const struct db_reply *reply);
void db_query_free(struct db *db, struct db_query *query);
void db_connection_is_ready(struct db *db, bool listener);
void db_connection_is_lost(struct db *db);

/* db_connection.c, called by db.c */
struct db_connection *db_connection_new(struct db *db, unsigned number);
/* Ends the connection for good; its queries stay in the list. */
void db_connection_stop(struct db_connection *connection);
/* Frees one that was stopped and holds no queries. */
void db_connection_free(struct db_connection *connection);
/* Takes over the query, sends it when possible. */
void db_connection_add(struct db_connection *connection, struct db_query *query);
/* Takes out one that was not sent. */
void db_connection_remove(struct db_connection *connection, struct db_query *query);
/* Takes out any query, whatever its state, for db_close; NULL when none is left. */
struct db_query *db_connection_take(struct db_connection *connection);

#endif
