/*
 * db_connection.c: one libpq connection in pipeline mode on the loop, and its queries.
 *
 *	WAITING --back-off over--> CONNECTING --PQconnectPoll ok--> SETTING_UP --all answered--> READY
 *	   ^                           |                                |                        |
 *	   +--- no target left --------+--- next target ----------------+                        |
 *	   +--------------------------- connection lost -----------------------------------------+
 *
 * Every query is followed by a Sync of its own: it is a transaction of its own, and its error ends
 * there. Answers come in the order of the questions, so the first query of the list is always the
 * one being answered. When the connection is lost, everything unanswered is sent again on the next
 * one, in the same order.
 *
 * libpq never blocks here: the connection is in non-blocking mode, and whatever it could not write
 * is flushed when the socket is writable. Input is always read while output waits, because a
 * server whose answers are not read stops reading questions.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "net/db_internal.h"
#include "net/db_lookup.h"
#include "net/log.h"
#include "net/loop.h"

#define CONNECT_TIMEOUT_MS 10000
#define BACKOFF_FIRST_MS 50
#define BACKOFF_LAST_MS 10000
/* What may be under way at once: enough to hide the way there and back, not so much that libpq's
 * buffer grows with a server that stands still. */
#define MAX_SENT 64
#define MAX_LOSSES 5
#define MAX_SENT_BYTES (1024 * 1024)

enum connection_state
{
	CONN_WAITING,
	CONN_CONNECTING,
	CONN_SETTING_UP,
	CONN_READY
};

struct db_connection
{
	struct db *db;
	unsigned number;
	enum connection_state state;
	PGconn *pg;
	struct db_lookup *lookup; /* of the target's host name, before pg is made */
	uv_poll_t *poll; /* NULL when no socket is watched */
	int events;
	struct deadline deadline; /* back-off or connecting */
	unsigned backoff_ms;
	unsigned target, tried; /* of this round */
	unsigned setup_left; /* set-up commands not answered */
	bool setup_failed;
	char failure[256];

	struct db_query *first, *last;
	struct db_query *unsent; /* the first of the list not sent */
	unsigned sent;
	size_t sent_bytes;
	uint64_t prepared; /* statements known to this connection */
	struct db_query *preparing; /* nothing is sent behind it before its answer */
};

static void connect_next(struct db_connection *c);
static void lose(struct db_connection *c, const char *why);
static void send_queries(struct db_connection *c);
static void on_poll(uv_poll_t *handle, int status, int events);

/* --- the socket --- */

static void
on_handle_closed(uv_handle_t *handle)
{
	free(handle);
}

static void
unwatch(struct db_connection *c)
{
	if (c->poll != NULL)
		uv_close((uv_handle_t *) c->poll, on_handle_closed);
	c->poll = NULL;
	c->events = 0;
}

/* libpq may change its socket while connecting: the handle is made anew when it does. */
static bool
watch(struct db_connection *c, int events)
{
	uv_os_fd_t watched = -1;

	if (c->poll != NULL)
		uv_fileno((uv_handle_t *) c->poll, &watched);
	if (c->poll == NULL || watched != PQsocket(c->pg))
	{
		unwatch(c);
		c->poll = calloc(1, sizeof(*c->poll));
		if (c->poll == NULL)
			return false;
		if (uv_poll_init(loop_uv(c->db->loop), c->poll, PQsocket(c->pg)) != 0)
		{
			free(c->poll);
			c->poll = NULL;
			return false;
		}
		c->poll->data = c;
	}
	if (events != c->events)
		uv_poll_start(c->poll, events, on_poll);
	c->events = events;
	return true;
}

/* --- queries --- */

static void
pop_first(struct db_connection *c)
{
	struct db_query *query = c->first;

	c->first = query->next;
	if (c->first == NULL)
		c->last = NULL;
	c->sent--;
	c->sent_bytes -= query->bytes;
	if (c->preparing == query)
		c->preparing = NULL;
	query->next = NULL;
}

void
db_connection_add(struct db_connection *connection, struct db_query *query)
{
	query->next = NULL;
	if (connection->last != NULL)
		connection->last->next = query;
	else
		connection->first = query;
	connection->last = query;
	if (connection->unsent == NULL)
		connection->unsent = query;
	if (connection->state == CONN_READY)
		send_queries(connection);
}

void
db_connection_remove(struct db_connection *connection, struct db_query *query)
{
	struct db_query **link = &connection->first;
	struct db_query *before = NULL;

	while (*link != query)
	{
		before = *link;
		link = &before->next;
	}
	*link = query->next;
	if (connection->unsent == query)
		connection->unsent = query->next;
	if (connection->last == query)
		connection->last = before;
}

struct db_query *
db_connection_take(struct db_connection *connection)
{
	struct db_query *query = connection->first;

	if (query != NULL)
		db_connection_remove(connection, query);
	return query;
}

/* The new connection knows nothing: all starts again, but for what nobody waits for. */
static void
forget_sent(struct db_connection *c)
{
	struct db_query *query = c->first;

	while (query != NULL)
	{
		struct db_query *next = query->next;

		query->sent = query->prepares = false;
		PQclear(query->result);
		query->result = NULL;
		if (query->abandoned)
		{
			db_connection_remove(c, query);
			db_query_free(c->db, query);
		}
		query = next;
	}
	c->unsent = c->first;
	c->preparing = NULL;
	c->prepared = 0;
	c->sent = 0;
	c->sent_bytes = 0;
}

static bool
send_one(struct db_connection *c, struct db_query *query)
{
	const char *const *values = query->values;
	char name[16];
	bool good;

	if (query->statement < 0)
		good = PQsendQueryParams(c->pg, query->sql, query->count, NULL, values, NULL, NULL, 0) == 1;
	else
	{
		uint64_t bit = UINT64_C(1) << query->statement;

		snprintf(name, sizeof(name), "va_%d", query->statement);
		query->prepares = (c->prepared & bit) == 0;
		if (query->prepares && PQsendPrepare(c->pg, name, query->sql, query->count, NULL) != 1)
			return false;
		if (query->prepares)
			c->preparing = query;
		good = PQsendQueryPrepared(c->pg, name, query->count, values, NULL, NULL, 0) == 1;
	}
	return good && PQpipelineSync(c->pg) == 1;
}

static void
flush(struct db_connection *c)
{
	int left = PQflush(c->pg);

	if (left < 0)
		lose(c, PQerrorMessage(c->pg));
	else if (!watch(c, left > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE))
		lose(c, "out of memory");
}

static void
send_queries(struct db_connection *c)
{
	bool any = false;

	while (c->unsent != NULL && c->preparing == NULL && c->sent < MAX_SENT &&
		   (c->sent == 0 || c->sent_bytes < MAX_SENT_BYTES))
	{
		struct db_query *query = c->unsent;

		if (!send_one(c, query))
		{
			lose(c, PQerrorMessage(c->pg));
			return;
		}
		query->sent = true;
		c->unsent = query->next;
		c->sent++;
		c->sent_bytes += query->bytes;
		any = true;
	}
	if (any)
		flush(c);
}

/* --- answers --- */

/* Whether an error says that the session is over rather than that the query is wrong. */
static bool
ends_session(const char *sqlstate)
{
	return sqlstate == NULL || strncmp(sqlstate, "57P", 3) == 0 || strncmp(sqlstate, "08", 2) == 0;
}

/* The statement was dropped, or its result changed shape when a function was replaced. */
static bool
statement_stale(const struct db_query *query, const char *sqlstate, const char *message)
{
	if (query->statement < 0 || query->retried || query->prepares)
		return false;
	return strcmp(sqlstate, "26000") == 0 ||
		   (strcmp(sqlstate, "0A000") == 0 && strstr(message, "cached plan") != NULL);
}

static void
answer_first(struct db_connection *c)
{
	struct db_query *query = c->first;
	struct db_reply reply = {.outcome = DB_OK, .sqlstate = "", .message = ""};
	ExecStatusType status = PQresultStatus(query->result);

	pop_first(c);
	if (query->result == NULL || (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK))
	{
		const char *sqlstate = PQresultErrorField(query->result, PG_DIAG_SQLSTATE);
		const char *message = PQresultErrorField(query->result, PG_DIAG_MESSAGE_PRIMARY);

		reply.outcome = DB_ERROR;
		reply.sqlstate = sqlstate != NULL ? sqlstate : "XX000";
		reply.message = message != NULL ? message : "no answer";
		if (strncmp(reply.sqlstate, "40", 2) == 0 && query->conflicts_left > 0 && !query->abandoned)
		{
			query->conflicts_left--;
			query->sent = false;
			PQclear(query->result);
			query->result = NULL;
			db_connection_add(c, query);
			return;
		}
	}
	else
		reply.result = query->result;
	db_tell(c->db, query, &reply);
	db_query_free(c->db, query);
}

/* Keeps what the query will be answered with: its rows, or its first error. */
static void
keep_result(struct db_connection *c, PGresult *result)
{
	struct db_query *query = c->first;
	ExecStatusType status = PQresultStatus(result);
	bool failed = query->result != NULL && PQresultStatus(query->result) == PGRES_FATAL_ERROR;

	if (query->prepares && status == PGRES_COMMAND_OK)
	{
		/* The Parse succeeded; the answer to the query proper follows. */
		query->prepares = false;
		c->prepared |= UINT64_C(1) << query->statement;
		PQclear(result);
	}
	else if (failed || status == PGRES_PIPELINE_ABORTED)
	{
		PQclear(result);
	}
	else
	{
		PQclear(query->result);
		query->result = result;
	}
}

/* Handles one result. Returns false when the connection was given up. */
static bool
take_result(struct db_connection *c, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);
	bool setting_up = c->setup_left > 0;

	if (status == PGRES_FATAL_ERROR)
	{
		const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
		const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
		char why[256];

		snprintf(why, sizeof(why), "%s", message != NULL ? message : PQresultErrorMessage(result));
		if (ends_session(sqlstate) || PQstatus(c->pg) != CONNECTION_OK)
		{
			PQclear(result);
			lose(c, why);
			return false;
		}
		if (setting_up)
		{
			c->setup_failed = true;
			snprintf(c->failure, sizeof(c->failure), "%.255s", why);
		}
		else if (c->first != NULL && statement_stale(c->first, sqlstate, why))
		{
			c->first->retried = true;
			PQclear(result);
			lose(c, "a prepared statement is out of date");
			return false;
		}
	}
	if (status == PGRES_PIPELINE_SYNC)
	{
		PQclear(result);
		if (setting_up)
			c->setup_left--;
		else if (c->sent > 0)
			answer_first(c);
	}
	else if (setting_up || c->sent == 0)
		PQclear(result);
	else
		keep_result(c, result);
	return true;
}

static void
take_notifications(struct db_connection *c)
{
	PGnotify *notify;

	while (c->pg != NULL && (notify = PQnotifies(c->pg)) != NULL)
	{
		if (c->db->options.notified != NULL)
			c->db->options.notified(c->db->options.arg, notify->relname, notify->extra);
		PQfreemem(notify);
	}
}

/* A NULL result stands between the answers to two queries; while libpq is not busy it comes at
 * once, and a second one means that nothing more is expected. */
static bool
take_results(struct db_connection *c)
{
	PGconn *pg = c->pg;
	unsigned nulls = 0;

	while (nulls < 2 && !PQisBusy(pg))
	{
		PGresult *result = PQgetResult(pg);

		if (result == NULL)
		{
			nulls++;
			continue;
		}
		nulls = 0;
		if (!take_result(c, result))
			return false;
		if (c->pg != pg)
			return false;
	}
	return true;
}

/* --- connecting --- */

static void
quote_name(const char *name, char *quoted, size_t size)
{
	size_t at = 0;

	quoted[at++] = '"';
	for (; *name != '\0' && at + 3 < size; name++)
	{
		if (*name == '"')
			quoted[at++] = '"';
		quoted[at++] = *name;
	}
	quoted[at++] = '"';
	quoted[at] = '\0';
}

static bool
send_setup(struct db_connection *c, const char *command, const char *name)
{
	char quoted[160];
	char sql[256];

	quote_name(name, quoted, sizeof(quoted));
	snprintf(sql, sizeof(sql), "%s %s", command, quoted);
	if (PQsendQueryParams(c->pg, sql, 0, NULL, NULL, NULL, NULL, 0) != 1 ||
		PQpipelineSync(c->pg) != 1)
		return false;
	c->setup_left++;
	return true;
}

static void
become_ready(struct db_connection *c)
{
	c->state = CONN_READY;
	c->backoff_ms = BACKOFF_FIRST_MS;
	c->db->target = c->target;
	deadline_clear(&c->deadline);
	log_debug("database connection %u is ready", c->number);
	db_connection_is_ready(c->db, c->number == 0);
	if (c->state == CONN_READY)
		send_queries(c);
}

/* PQconnectPoll is done: pipeline mode, the role to run as, what to listen to. */
static void
set_up(struct db_connection *c)
{
	const char *role = c->db->run_as[c->target];
	bool good = PQsetnonblocking(c->pg, 1) == 0 && PQenterPipelineMode(c->pg) == 1;

	c->state = CONN_SETTING_UP;
	c->setup_left = 0;
	c->setup_failed = false;
	if (good && role != NULL)
		good = send_setup(c, "SET SESSION AUTHORIZATION", role);
	for (unsigned i = 0; good && c->number == 0 && c->db->channels[i] != NULL; i++)
		good = send_setup(c, "LISTEN", c->db->channels[i]);
	if (!good)
		lose(c, PQerrorMessage(c->pg));
	else if (c->setup_left == 0)
	{
		if (!watch(c, UV_READABLE))
			lose(c, "out of memory");
		else
			become_ready(c);
	}
	else
		flush(c);
}

static void
poll_connect(struct db_connection *c)
{
	switch (PQconnectPoll(c->pg))
	{
		case PGRES_POLLING_READING:
			if (!watch(c, UV_READABLE))
				lose(c, "out of memory");
			break;
		case PGRES_POLLING_WRITING:
			if (!watch(c, UV_WRITABLE))
				lose(c, "out of memory");
			break;
		case PGRES_POLLING_OK: set_up(c); break;
		default: lose(c, PQerrorMessage(c->pg)); break;
	}
}

static void
on_readable(struct db_connection *c)
{
	PGconn *pg = c->pg;

	if (PQconsumeInput(pg) != 1)
	{
		/* What came before the end may still say why. */
		if (take_results(c) && c->pg == pg)
			lose(c, PQerrorMessage(pg));
		return;
	}
	if (!take_results(c))
		return;
	take_notifications(c);
	if (c->pg != pg)
		return;
	if (c->state == CONN_SETTING_UP && c->setup_left == 0)
	{
		if (c->setup_failed)
			lose(c, c->failure);
		else
			become_ready(c);
	}
	else if (c->state == CONN_READY)
		send_queries(c);
}

static void
on_poll(uv_poll_t *handle, int status, int events)
{
	struct db_connection *c = handle->data;
	PGconn *pg = c->pg;

	if (c->state == CONN_CONNECTING)
	{
		poll_connect(c);
		return;
	}
	if ((events & UV_READABLE) || status < 0)
		on_readable(c);
	if (c->pg == pg && pg != NULL && c->poll == handle && (events & UV_WRITABLE))
		flush(c);
}

/* The line to add, when it was the server's rules that refused us. */
static void
hint_for(PGconn *pg, const char *why, char *hint, size_t size)
{
	const char *host = pg != NULL ? PQhost(pg) : NULL;
	const char *user = pg != NULL ? PQuser(pg) : NULL;
	const char *database = pg != NULL ? PQdb(pg) : NULL;
	bool local = host == NULL || *host == '\0' || *host == '/';

	*hint = '\0';
	if (user == NULL || database == NULL)
		return;
	if (strstr(why, "pg_hba.conf") != NULL || strstr(why, "authentication failed") != NULL)
		snprintf(hint, size, "add to pg_hba.conf, above other lines, and reload: %-7s %s  %s  %s%s",
				 local ? "local" : "host", database, user,
				 local ? "" : "<address of this machine>  ", "scram-sha-256");
	else if (strstr(why, "does not exist") != NULL)
		snprintf(hint, size, "create what is missing, or correct the connection string");
	else
		snprintf(hint, size, "is the server running, and is the connection string right?");
}

static void
complain(struct db_connection *c, const char *why)
{
	char detail[300];
	char hint[300];

	if (c->db->complained || c->db->closing)
		return;
	c->db->complained = true;
	/* libpq's messages are of several lines and end with one. */
	snprintf(detail, sizeof(detail), "%s", why);
	for (char *p = detail; *p != '\0'; p++)
	{
		if (*p == '\n' || *p == '\t')
			*p = p[1] == '\0' ? '\0' : ' ';
	}
	hint_for(c->pg, why, hint, sizeof(hint));
	log_write(LOG_LEVEL_WARNING,
			  &(struct log_context){.detail = detail, .hint = *hint != '\0' ? hint : NULL},
			  "no connection to the database, trying on");
}

static void
on_backoff_over(void *arg)
{
	struct db_connection *c = arg;

	c->target = c->db->target;
	c->tried = 0;
	connect_next(c);
}

static void
back_off(struct db_connection *c)
{
	unsigned wait = c->backoff_ms;

	c->state = CONN_WAITING;
	c->backoff_ms = wait * 2 > BACKOFF_LAST_MS ? BACKOFF_LAST_MS : wait * 2;
	/* Jitter, so that many gateways do not come back in one moment. */
	wait = wait / 2 + (unsigned) (random() % (wait / 2 + 1));
	deadline_set(c->db->loop, &c->deadline, wait, on_backoff_over, c);
}

static void
on_next_target(void *arg)
{
	connect_next(arg);
}

/* A query that breaks every connection it runs on must not do so for ever. */
static void
give_up_poison(struct db_connection *c)
{
	struct db_query *query = c->first;
	struct db_reply reply = {.outcome = DB_ERROR,
							 .sqlstate = "08006",
							 .message = "the connection broke each time the query ran"};

	if (query == NULL || !query->sent || ++query->losses < MAX_LOSSES)
		return;
	db_connection_remove(c, query);
	db_tell(c->db, query, &reply);
	db_query_free(c->db, query);
}

/* The connection, or the attempt at one, is over: on to the next target or to a pause. */
static void
lose(struct db_connection *c, const char *why)
{
	enum connection_state was = c->state;
	char reason[300];

	snprintf(reason, sizeof(reason), "%s", why);
	/* complain() asks the connection for its parameters: before it is closed. */
	if (was != CONN_READY && c->tried >= c->db->options.target_count)
		complain(c, reason);
	deadline_clear(&c->deadline);
	unwatch(c);
	if (c->lookup != NULL)
		db_lookup_cancel(c->lookup);
	c->lookup = NULL;
	PQfinish(c->pg);
	c->pg = NULL;
	c->state = CONN_WAITING;
	give_up_poison(c);
	forget_sent(c);
	if (was == CONN_READY)
	{
		log_write(LOG_LEVEL_INFO, &(struct log_context){.detail = reason},
				  "database connection %u was lost, connecting again", c->number);
		back_off(c);
		db_connection_is_lost(c->db);
		return;
	}
	log_debug("database target %u refused: %s", c->target, reason);
	c->target = (c->target + 1) % c->db->options.target_count;
	if (c->tried < c->db->options.target_count)
		deadline_set(c->db->loop, &c->deadline, 0, on_next_target, c);
	else
		back_off(c);
}

/* libpq would print the server's notices on standard error, which is the log's. */
static void
on_notice(void *arg, const PGresult *result)
{
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	(void) arg;
	log_debug("the database says: %s", message != NULL ? message : PQresultErrorMessage(result));
}

static void
on_connect_timeout(void *arg)
{
	lose(arg, "timed out connecting to the database");
}

/* hosts and addresses: what the look-up found, or NULL when the string needed none. */
static void
start_connecting(struct db_connection *c, const char *hosts, const char *addresses)
{
	/* Ours first: the conninfo string, expanded in the place of dbname, overrides them. */
	const char *keys[] = {"fallback_application_name",
						  "client_encoding",
						  "keepalives_idle",
						  "keepalives_interval",
						  "keepalives_count",
						  "tcp_user_timeout",
						  "dbname",
						  hosts != NULL ? "host" : NULL,
						  "hostaddr",
						  NULL};
	const char *values[] = {
		log_program(), "UTF8",	  "20", "5", "3", "30000", c->db->conninfos[c->target],
		hosts,		   addresses, NULL};

	c->pg = PQconnectStartParams(keys, values, 1);
	if (c->pg == NULL || PQstatus(c->pg) == CONNECTION_BAD)
	{
		lose(c, c->pg != NULL ? PQerrorMessage(c->pg) : "out of memory");
		return;
	}
	PQsetNoticeReceiver(c->pg, on_notice, NULL);
	/* As libpq wants it: behave as if PQconnectPoll had asked to write. */
	if (!watch(c, UV_WRITABLE))
		lose(c, "out of memory");
}

static void
on_looked_up(void *arg, const char *hosts, const char *addresses, const char *error)
{
	struct db_connection *c = arg;

	c->lookup = NULL;
	if (error != NULL)
		lose(c, error);
	else
		start_connecting(c, hosts, addresses);
}

static void
connect_next(struct db_connection *c)
{
	c->tried++;
	c->state = CONN_CONNECTING;
	deadline_set(c->db->loop, &c->deadline, CONNECT_TIMEOUT_MS, on_connect_timeout, c);
	c->lookup = db_lookup_start(c->db->loop, c->db->conninfos[c->target], on_looked_up, c);
	if (c->lookup == NULL)
		start_connecting(c, NULL, NULL);
}

static void
on_start(void *arg)
{
	on_backoff_over(arg);
}

struct db_connection *
db_connection_new(struct db *db, unsigned number)
{
	struct db_connection *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->db = db;
	c->number = number;
	c->backoff_ms = BACKOFF_FIRST_MS;
	deadline_set(db->loop, &c->deadline, 0, on_start, c);
	return c;
}

void
db_connection_stop(struct db_connection *connection)
{
	deadline_clear(&connection->deadline);
	unwatch(connection);
	if (connection->lookup != NULL)
		db_lookup_cancel(connection->lookup);
	connection->lookup = NULL;
	PQfinish(connection->pg);
	connection->pg = NULL;
	connection->state = CONN_WAITING;
}

void
db_connection_free(struct db_connection *connection)
{
	free(connection);
}
