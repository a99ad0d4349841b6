/*
 * settling.c: see settling.h.
 *
 * A batch that the database refuses (a text of the service that jsonb does not take) is sent again
 * verdict by verdict, so that one cannot spoil the others; one that is refused alone is sent once
 * more without the service's words. A batch that met a deadlock or a cancellation is sent again as it
 * is.
 */
#include "dispatcher/settling.h"

#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "dispatcher/dispatcher.h"
#include "net/db.h"
#include "net/log.h"

#define MAX_BATCH 1000
#define SETTLE_CONNECTION 1

struct settling
{
	struct dispatcher *dispatcher;
	settling_told settled;
	struct json_object *waiting; /* array */
	struct json_object *sent; /* array, or NULL */
	struct json_object *suspects; /* of a refused batch, to be sent one by one */
	bool bare; /* what was sent is without the service's words */
};

static void send_next(struct settling *s);

struct settling *
settling_new(struct dispatcher *d, settling_told settled)
{
	struct settling *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->dispatcher = d;
	s->settled = settled;
	s->waiting = json_object_new_array();
	s->suspects = json_object_new_array();
	return s;
}

void
settling_free(struct settling *s)
{
	if (s == NULL)
		return;
	json_object_put(s->waiting);
	json_object_put(s->sent);
	json_object_put(s->suspects);
	free(s);
}

/* Moves up to count entries from the end of one array to a new one. */
static struct json_object *
take(struct json_object *from, size_t count)
{
	struct json_object *taken = json_object_new_array();
	size_t len = json_object_array_length(from);

	count = count < len ? count : len;
	for (size_t i = len - count; i < len; i++)
		json_object_array_add(taken, json_object_get(json_object_array_get_idx(from, i)));
	json_object_array_del_idx(from, len - count, count);
	return taken;
}

/* The batch goes to the end of another list. */
static void
put_back(struct settling *s, struct json_object *list)
{
	for (size_t i = 0; i < json_object_array_length(s->sent); i++)
		json_object_array_add(list, json_object_get(json_object_array_get_idx(s->sent, i)));
}

/* Deadlock, serialization, a lock not to be had, a query cancelled: nothing is wrong with it. */
static bool
is_passing(const char *sqlstate)
{
	return strncmp(sqlstate, "40", 2) == 0 || strcmp(sqlstate, "55P03") == 0 ||
		   strcmp(sqlstate, "57014") == 0;
}

static void
refused(struct settling *s, const struct db_reply *reply)
{
	struct json_object *verdict = json_object_array_get_idx(s->sent, 0);

	if (is_passing(reply->sqlstate))
	{
		log_warning("outcomes are stored at the next try: %s", reply->message);
		put_back(s, s->waiting);
		return;
	}
	if (json_object_array_length(s->sent) > 1)
	{
		put_back(s, s->suspects);
		return;
	}
	if (!s->bare)
	{
		log_warning("an outcome is stored without the service's words: %s", reply->message);
		json_object_object_del(verdict, "text");
		json_object_object_del(verdict, "code");
		json_object_object_del(verdict, "hint");
		json_object_object_add(verdict, "result", json_object_new_object());
		s->bare = true;
		json_object_array_add(s->suspects, json_object_get(verdict));
		return;
	}
	s->bare = false;
	s->dispatcher->counters.verdicts_lost++;
	log_error("the outcome of an effect could not be stored, it counts as unknown: %s",
			  reply->message);
}

static bool
is_all_done(struct json_object *verdicts)
{
	for (size_t i = 0; i < json_object_array_length(verdicts); i++)
	{
		if (strcmp(json_text(json_object_array_get_idx(verdicts, i), "outcome", ""), "done") != 0)
			return false;
	}
	return true;
}

static void
on_settled(void *arg, const struct db_reply *reply)
{
	struct settling *s = arg;
	bool all_done = reply->outcome == DB_OK && is_all_done(s->sent);

	if (reply->outcome == DB_ERROR)
		refused(s, reply);
	else
		s->bare = false;
	if (reply->outcome != DB_OK && reply->outcome != DB_ERROR)
	{
		s->dispatcher->counters.verdicts_lost += json_object_array_length(s->sent);
		log_error("outcomes could not be stored, they count as unknown: %s", reply->message);
	}
	json_object_put(s->sent);
	s->sent = NULL;
	send_next(s);
	s->settled(s->dispatcher, all_done);
}

static void
send_next(struct settling *s)
{
	struct dispatcher *d = s->dispatcher;
	const char *values[2] = {d->instance, NULL};

	if (s->sent != NULL)
		return;
	if (json_object_array_length(s->suspects) > 0)
		s->sent = take(s->suspects, 1);
	else if (json_object_array_length(s->waiting) > 0)
		s->sent = take(s->waiting, MAX_BATCH);
	else
		return;
	values[1] = json_object_to_json_string_ext(s->sent, JSON_C_TO_STRING_PLAIN |
															JSON_C_TO_STRING_NOSLASHESCAPE);
	db_query(d->db, SETTLE_CONNECTION, d->sql.texts[DISPATCHER_SQL_SETTLE], 2, values, 0,
			 on_settled, s);
}

void
settling_add(struct settling *s, struct json_object *verdict)
{
	json_object_array_add(s->waiting, verdict);
	send_next(s);
}

bool
settling_is_empty(const struct settling *s)
{
	return s->sent == NULL && json_object_array_length(s->waiting) == 0 &&
		   json_object_array_length(s->suspects) == 0;
}
