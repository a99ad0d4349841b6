/*
 * net_db_test.c: the road to PostgreSQL against a real server, which VA_TEST_CONNINFO names (a
 * superuser of a private cluster; a role and a table are made in it). Skipped, loudly, without.
 */
#include <signal.h>
#include <stdio.h>

#include "net/db.h"
#include "net/log.h"
#include "net_test.h"
#include "tap.h"

static struct loop *loop;
static const char *conninfo;
static unsigned connects, disconnects, notifications;
static char last_payload[100];

static void
on_state(void *arg, bool connected)
{
	(void) arg;
	if (connected)
		connects++;
	else
		disconnects++;
}

static void
on_notified(void *arg, const char *channel, const char *payload)
{
	(void) arg;
	(void) channel;
	notifications++;
	snprintf(last_payload, sizeof(last_payload), "%s", payload);
}

static struct db *
open_db(unsigned connections, const char *run_as, const char *first_conninfo)
{
	static const char *const channels[] = {"va_test", "Va \"odd\"", NULL};
	struct db_options options = {.connections = connections,
								 .max_queued = 1000000,
								 .channels = channels,
								 .notified = on_notified,
								 .state = on_state};

	connects = disconnects = notifications = 0;
	if (first_conninfo != NULL)
		options.targets[options.target_count++].conninfo = first_conninfo;
	options.targets[options.target_count].conninfo = conninfo;
	options.targets[options.target_count++].run_as = run_as;
	return db_new(loop, &options);
}

/* One answer, kept. */
struct answer
{
	bool came;
	enum db_outcome outcome;
	char value[200];
	char sqlstate[6];
	char message[200];
};

static void
keep_answer(void *arg, const struct db_reply *reply)
{
	struct answer *answer = arg;

	if (answer->came)
		abort(); /* told twice */
	answer->came = true;
	answer->outcome = reply->outcome;
	answer->value[0] = '\0';
	if (reply->outcome == DB_OK && PQntuples(reply->result) > 0)
		snprintf(answer->value, sizeof(answer->value), "%s", PQgetvalue(reply->result, 0, 0));
	snprintf(answer->sqlstate, sizeof(answer->sqlstate), "%s", reply->sqlstate);
	snprintf(answer->message, sizeof(answer->message), "%s", reply->message);
}

static void
ask(struct db *db, uint64_t affinity, const char *sql, const char *value, unsigned timeout_ms,
	struct answer *answer)
{
	memset(answer, 0, sizeof(*answer));
	db_query(db, affinity, sql, value != NULL ? 1 : 0, &value, timeout_ms, keep_answer, answer);
}

/* Asks and waits. */
static struct answer
ask_now(struct db *db, const char *sql, const char *value)
{
	static struct answer answer;

	ask(db, 0, sql, value, 20000, &answer);
	run_until(loop, 30, answer.came);
	return answer;
}

static void
test_simple(void)
{
	struct db *db = open_db(2, NULL, NULL);
	struct answer a;
	const char *null = NULL;

	ok(!db_connected(db), "not connected before the loop ran");
	a = ask_now(db, "SELECT $1::text || 'y'", "x");
	ok(a.outcome == DB_OK && strcmp(a.value, "xy") == 0, "a query asked before that is answered");
	ok(db_connected(db) && connects >= 1, "connected");
	a = ask_now(db, "SELECT $1::text || 'y'", "it's");
	is_str(a.value, "it'sy", "the prepared statement again");
	a = ask_now(db, "SELECT 1/$1::int", "0");
	ok(a.outcome == DB_ERROR && strcmp(a.sqlstate, "22012") == 0, "an error has its SQLSTATE");
	is_str(a.message, "division by zero", "and its message");
	a = ask_now(db, "SELECT 1/$1::int", "1");
	is_str(a.value, "1", "the same statement works the next time");
	a = ask_now(db, "SELECT nonsense", NULL);
	is_str(a.sqlstate, "42703", "an error in preparing");
	a = ask_now(db, "SELECT nonsense", NULL);
	is_str(a.sqlstate, "42703", "is the same the second time");
	memset(&a, 0, sizeof(a));
	db_query(db, 0, "SELECT $1::text IS NULL", 1, &null, 0, keep_answer, &a);
	ok(!a.came, "no answer before db_query returned");
	run_until(loop, 10, a.came);
	is_str(a.value, "t", "NULL is SQL's null");
	a = ask_now(db, "SELECT current_setting('application_name')", NULL);
	is_str(a.value, "net_db_test", "the program's name is the application's");
	is_int(db_queued_queries(db), 0, "nothing is left");
	is_int((int64_t) db_queued_bytes(db), 0, "and counts nothing");
	db_close(db, 1000);
}

#define CALLS 5
#define STEPS 100

struct order
{
	unsigned next[CALLS];
	unsigned answered, errors, wrong;
};

struct step
{
	struct order *order;
	unsigned call, number;
};

static void
on_step(void *arg, const struct db_reply *reply)
{
	struct step *step = arg;

	if (reply->outcome == DB_ERROR)
		step->order->errors++;
	if (step->order->next[step->call]++ != step->number)
		step->order->wrong++;
	step->order->answered++;
}

/* Queues all steps of all calls; every tenth fails. */
static void
queue_steps(struct db *db, struct order *order, struct step *steps)
{
	memset(order, 0, sizeof(*order));
	for (unsigned n = 0; n < STEPS; n++)
	{
		for (unsigned call = 0; call < CALLS; call++)
		{
			struct step *step = &steps[n * CALLS + call];
			char name[20], number[20];
			const char *values[] = {name, number};

			*step = (struct step){order, call, n};
			snprintf(name, sizeof(name), "CA%u", call);
			snprintf(number, sizeof(number), "%u", n);
			db_query(db, db_affinity(name),
					 n % 10 == 9 ? "SELECT $1::text, 1 / ($2::int - $2::int)"
								 : "INSERT INTO va_net_test(call, step) VALUES ($1, $2::int) "
								   "ON CONFLICT DO NOTHING",
					 2, values, 30000, on_step, step);
		}
	}
}

static const char ORDER_SQL[] =
	"SELECT count(*) FROM (SELECT step, lag(step) OVER (PARTITION BY call "
	"ORDER BY id) AS before FROM va_net_test) s WHERE before >= step";

static void
check_order(struct db *db, struct order *order, const char *what)
{
	struct answer a;

	is_int(order->answered, CALLS * STEPS, "%s: all are answered", what);
	is_int(order->errors, CALLS * STEPS / 10, "%s: those that err, and no other, err", what);
	is_int(order->wrong, 0, "%s: the answers of a call come in its order", what);
	a = ask_now(db, "SELECT count(*) FROM va_net_test", NULL);
	is_int(strtoll(a.value, NULL, 10), CALLS * STEPS * 9 / 10, "%s: all rows are there, once",
		   what);
	a = ask_now(db, ORDER_SQL, NULL);
	is_str(a.value, "0", "%s: and were written in order", what);
	ask_now(db, "TRUNCATE va_net_test", NULL);
}

static struct order order;
static struct step steps[CALLS * STEPS];

static void
test_order(void)
{
	struct db *db = open_db(3, NULL, NULL);

	queue_steps(db, &order, steps);
	run_until(loop, 30, order.answered == CALLS * STEPS);
	check_order(db, &order, "undisturbed");
	db_close(db, 1000);
}

/* A superuser's session beside the one under test. */
static char *
side_query(const char *sql)
{
	static char value[200];
	PGconn *pg = PQconnectdb(conninfo);
	PGresult *result = PQexec(pg, sql);

	value[0] = '\0';
	if (PQntuples(result) > 0)
		snprintf(value, sizeof(value), "%s", PQgetvalue(result, 0, 0));
	PQclear(result);
	PQfinish(pg);
	return value;
}

#define KILL_SQL                                                                                   \
	"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = "      \
	"'net_db_test' AND pid <> pg_backend_pid()"

static void
test_killed(void)
{
	struct db *db = open_db(2, NULL, NULL);
	unsigned kills = 0;

	run_until(loop, 10, db_connected(db));
	queue_steps(db, &order, steps);
	while (order.answered < CALLS * STEPS && kills < 200)
	{
		unsigned before = order.answered;

		if (kills < 8)
			side_query("SET application_name = 'killer'; " KILL_SQL);
		kills++;
		run_until(loop, 5, order.answered >= before + 40 || order.answered == CALLS * STEPS);
	}
	ok(disconnects > 0, "the connection was lost %u times", disconnects);
	check_order(db, &order, "killed");
	db_close(db, 1000);
}

static void
test_frozen(void)
{
	struct db *db = open_db(1, NULL, NULL);
	struct answer a = ask_now(db, "SELECT pg_backend_pid()", NULL);
	pid_t pid = (pid_t) strtol(a.value, NULL, 10);
	struct answer late, after;
	uint64_t longest = 0, last, begin;
	static char big[20000];

	memset(big, 'b', sizeof(big) - 1);
	kill(pid, SIGSTOP);
	queue_steps(db, &order, steps);
	for (int i = 0; i < 20; i++)
		db_query(db, 0, "SELECT length($1)", 1, (const char *const[]){big}, 0, NULL, NULL);
	ask(db, 0, "SELECT 'late'", NULL, 300, &late);
	begin = last = loop_now_us();
	while (loop_now_us() < begin + 2000000)
	{
		uint64_t now;

		run_until(loop, 0, false);
		now = loop_now_us();
		longest = now - last > longest ? now - last : longest;
		last = now;
		usleep(1000);
	}
	ok(late.came && late.outcome == DB_TIMEOUT, "a query times out while the server stands still");
	is_int(order.answered, 0, "nothing else was answered or lost");
	diag("longest turn of the loop meanwhile: %llu us", (unsigned long long) longest);
	ok(longest < 1000000, "the loop was not blocked");
	ask(db, 0, "SELECT 'after'", NULL, 0, &after);
	kill(pid, SIGCONT);
	run_until(loop, 30, after.came && order.answered == CALLS * STEPS);
	is_str(after.value, "after", "answers after a late one belong to their questions");
	is_int(disconnects, 0, "on the same connection");
	check_order(db, &order, "frozen");
	db_close(db, 1000);
}

/* The set-up ends with LISTEN, which is then what the session is seen to have run last. */
static bool
listening(void)
{
	return strcmp(side_query("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"),
				  "1") == 0;
}

static void
test_listen(void)
{
	struct db *db = open_db(2, NULL, NULL);
	unsigned before;

	run_until(loop, 10, connects > 0 && db_connected(db));
	run_until(loop, 10, listening());
	side_query("NOTIFY va_test, 'one'");
	ok(run_until(loop, 10, notifications == 1), "a notification comes");
	is_str(last_payload, "one", "with its payload");
	side_query("NOTIFY \"Va \"\"odd\"\"\", 'two'");
	ok(run_until(loop, 10, notifications == 2), "on a channel with an odd name too");
	before = connects;
	side_query("SET application_name = 'killer'; " KILL_SQL);
	ok(run_until(loop, 10, connects > before), "after a loss the owner is told to re-read");
	run_until(loop, 10, listening());
	side_query("NOTIFY va_test, 'three'");
	ok(run_until(loop, 10, notifications == 3), "and listens again");
	db_close(db, 1000);
}

static void
test_targets(void)
{
	struct db *db = open_db(1, "va \"net\" test", "host=localhost port=1 user=nobody");
	struct answer a = ask_now(db, "SELECT session_user", NULL);

	is_str(a.value, "va \"net\" test", "the second target works, and runs as its role");
	a = ask_now(db, "SELECT count(*) FROM va_net_test", NULL);
	is_str(a.sqlstate, "42501", "with the rights of the role");
	db_close(db, 1000);
	db = open_db(1, NULL, "host=name.invalid user=nobody");
	a = ask_now(db, "SELECT 1", NULL);
	is_str(a.value, "1", "so it does behind a host that does not exist");
	db_close(db, 1000);
	db = open_db(1, "no such role", NULL);
	ask(db, 0, "SELECT 1", NULL, 500, &a);
	run_until(loop, 10, a.came);
	ok(a.outcome == DB_TIMEOUT && !db_connected(db), "a role that cannot be had is no connection");
	db_close(db, 0);
}

static void
test_limits(void)
{
	struct db *db = open_db(1, NULL, NULL);
	static char big[400000];
	static struct answer answers[4];
	struct answer a;

	memset(big, 'b', sizeof(big) - 1);
	for (int i = 0; i < 4; i++)
		ask(db, 0, "SELECT length($1)::text", big, 0, &answers[i]);
	ok(!answers[2].came, "a full queue is not told at once");
	run_until(loop, 20, answers[0].came && answers[1].came && answers[2].came && answers[3].came);
	ok(answers[0].outcome == DB_OK && answers[1].outcome == DB_OK, "what fits is answered");
	ok(answers[2].outcome == DB_FULL && answers[3].outcome == DB_FULL, "the rest is refused");
	for (int i = 0; i < 100; i++)
	{
		char sql[40];

		snprintf(sql, sizeof(sql), "SELECT %d", i);
		a = ask_now(db, sql, NULL);
		check_that(strtol(a.value, NULL, 10) == i);
	}
	checked("more statements than are prepared still work");
	ask_now(db,
			"CREATE OR REPLACE FUNCTION va_net_f() RETURNS SETOF va_net_test LANGUAGE sql AS "
			"'SELECT * FROM va_net_test'",
			NULL);
	side_query("DROP TABLE IF EXISTS va_net_shape; CREATE TABLE va_net_shape(a int); INSERT INTO "
			   "va_net_shape VALUES (7)");
	db_close(db, 1000);
	db = open_db(1, NULL, NULL);
	a = ask_now(db, "SELECT * FROM va_net_shape", NULL);
	is_str(a.value, "7", "a prepared statement");
	side_query("ALTER TABLE va_net_shape ADD b int");
	a = ask_now(db, "SELECT * FROM va_net_shape", NULL);
	ok(a.outcome == DB_OK && strcmp(a.value, "7") == 0,
	   "works on when the shape of its result changed");
	ask(db, 0, "SELECT pg_sleep(100)", NULL, 0, &a);
	run_until(loop, 0, false);
	db_close(db, 50);
	ok(a.came && a.outcome == DB_FULL, "what was not answered at the end is told");
}

static void
test_poison(void)
{
	struct db *db = open_db(1, NULL, NULL);
	struct answer poison, next;

	ask(db, 0, "SELECT pg_terminate_backend(pg_backend_pid())", NULL, 0, &poison);
	ask(db, 0, "SELECT 'next'", NULL, 0, &next);
	run_until(loop, 30, poison.came && next.came);
	is_str(poison.sqlstate, "08006", "a query that ends each connection is given up");
	is_str(next.value, "next", "and the one behind it runs");
	db_close(db, 1000);
}

/* A transaction that others had precedence over is run again when that was asked for, and not for
 * ever. The sequence counts the runs, since it is not rolled back. */
static void
test_conflicts(void)
{
	static const char *const sql = "SELECT va_net_conflict($1)";
	struct db *db = open_db(1, NULL, NULL);
	const char *value = "3";
	struct answer a;

	side_query(
		"DROP SEQUENCE IF EXISTS va_net_runs; CREATE SEQUENCE va_net_runs; "
		"CREATE OR REPLACE FUNCTION va_net_conflict(p_times text) RETURNS text LANGUAGE plpgsql AS "
		"$$ BEGIN IF nextval('va_net_runs') <= p_times::int THEN "
		"RAISE EXCEPTION 'conflict' USING ERRCODE = 'deadlock_detected'; END IF; "
		"RETURN 'ran ' || currval('va_net_runs'); END $$");
	a = ask_now(db, sql, value);
	ok(a.outcome == DB_ERROR && strcmp(a.sqlstate, "40P01") == 0, "a deadlock is an error");
	memset(&a, 0, sizeof(a));
	db_request(db, 0, sql, 1, &value, 20000, keep_answer, &a);
	run_until(loop, 30, a.came);
	is_str(a.value, "ran 4", "but a request is run again until it gets through");
	side_query("SELECT setval('va_net_runs', 1, false)");
	value = "1000";
	memset(&a, 0, sizeof(a));
	db_request(db, 0, sql, 1, &value, 20000, keep_answer, &a);
	run_until(loop, 30, a.came);
	ok(a.outcome == DB_ERROR && strcmp(a.sqlstate, "40P01") == 0, "and not for ever");
	a = ask_now(db, "SELECT currval('va_net_runs')::text", NULL);
	is_str(a.value, "6", "once and five times more");
	a = ask_now(db, "SELECT 'still there'", NULL);
	is_str(a.value, "still there", "what follows is answered");
	is_int(db_queued_queries(db), 0, "and nothing is left over");
	db_close(db, 1000);
}

int
main(void)
{
	conninfo = getenv("VA_TEST_CONNINFO");
	plan(0);
	if (conninfo == NULL)
	{
		printf("1..0 # SKIP VA_TEST_CONNINFO is not set: the road to PostgreSQL is NOT tested\n");
		return 0;
	}
	log_setup("net_db_test", true, LOG_LEVEL_WARNING);
	side_query(
		"DROP TABLE IF EXISTS va_net_test; CREATE TABLE va_net_test(id bigserial, call text, "
		"step int, UNIQUE (call, step))");
	side_query("DO $$ BEGIN CREATE ROLE \"va \"\"net\"\" test\"; EXCEPTION WHEN duplicate_object "
			   "THEN NULL; END $$");
	loop = loop_new(NULL, false, 100);
	test_simple();
	test_order();
	test_killed();
	test_frozen();
	test_listen();
	test_targets();
	test_limits();
	test_poison();
	test_conflicts();
	loop_free(loop);
	return done();
}
