/*
 * claiming.c: see claiming.h.
 *
 * One claim is under way at a time, on a connection of its own. One that brought something and left
 * more is followed by the next at once, as long as there is room; otherwise by the time that the
 * database named, a notification, an effect that ended when more was left, or the sweep, whichever
 * is first.
 *
 * How much of the bulk lane is asked for goes by how long that takes: what somebody waits for comes
 * with the next claim, after the one under way. While there is such work claims are kept short, and
 * every other one is for the live lane alone, as long as the bulk lane has a backlog; otherwise they
 * are as long as it pays: each costs something of its own.
 */
#include "dispatcher/claiming.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "core/json.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/job_private.h"
#include "net/db.h"
#include "net/log.h"
#include "net/loop.h"

#define CLAIM_CONNECTION 0
#define RETRY_MS 1000
#define MAX_CLAIM 500 /* rows of one transaction */
#define MIN_BULK 100 /* fewer only while there is work that somebody waits for: */
#define MIN_BULK_LIVE 16
#define CLAIM_US 40000 /* what a claim may take */
#define CLAIM_US_LIVE 4000 /* while there is work that somebody waits for */
#define LIVE_FOR_US 500000 /* which is so for a while after the last of it */

struct claiming
{
	struct dispatcher *dispatcher;
	uv_timer_t *timer;
	int64_t number;
	uint64_t asked_us;
	uint64_t live_us; /* when there was live work last */
	unsigned bulk; /* so much of the bulk lane is asked for at most */
	unsigned asked_bulk;
	bool brief; /* the claim under way, or the last one, is for the live lane alone */
	bool backlog; /* the bulk lane had as much as was asked for */
	bool more; /* the last claim left something */
	bool asked; /* one is under way */
	bool wanted; /* something happened meanwhile */
	bool stopped;
};

static void
on_timer(uv_timer_t *timer)
{
	claiming_want(timer->data);
}

static void
again_in(struct claiming *c, uint64_t ms)
{
	if (!c->stopped)
		uv_timer_start(c->timer, on_timer, ms, 0);
}

static bool
somebody_waits(const struct claiming *c, uint64_t now_us)
{
	return now_us - c->live_us < LIVE_FOR_US;
}

/* A claim of as much as was asked for tells how much the next one should be. */
static void
adapt(struct claiming *c, int64_t picked, uint64_t now_us)
{
	uint64_t took_us = now_us - c->asked_us;
	uint64_t may_us = somebody_waits(c, now_us) ? CLAIM_US_LIVE : CLAIM_US;
	unsigned least = somebody_waits(c, now_us) ? MIN_BULK_LIVE : MIN_BULK;

	c->backlog = picked >= c->asked_bulk;
	if (took_us > may_us || c->bulk < least)
		c->bulk = c->bulk * 3 / 4 > least ? c->bulk * 3 / 4 : least;
	else if (c->backlog && took_us < may_us / 2)
		c->bulk = c->bulk * 3 / 2 < MAX_CLAIM ? c->bulk * 3 / 2 : MAX_CLAIM;
}

/* The live lane comes first in an answer. */
static bool
has_live(struct json_object *jobs)
{
	return json_object_array_length(jobs) > 0 &&
		   strcmp(json_text(json_object_array_get_idx(jobs, 0), "lane", ""), "live") == 0;
}

/* Begins the jobs of an answer; true when another claim should follow at once. */
static bool
take_jobs(struct claiming *c, const char *text, size_t len)
{
	struct va_error err = {""};
	struct json_object *answer = json_parse(text, len, &err);
	struct json_object *jobs = json_member(answer, "jobs");
	int64_t next_ms = 0;
	int64_t picked = 0;
	bool live, more;

	if (!json_object_is_type(jobs, json_type_array))
	{
		log_error("the answer to a claim makes no sense: %s", err.text);
		json_object_put(answer);
		again_in(c, RETRY_MS);
		return false;
	}
	live = has_live(jobs);
	if (live)
		c->live_us = loop_now_us();
	json_integer(answer, "picked", &picked);
	if (!c->brief)
		adapt(c, picked, loop_now_us());
	for (size_t i = 0; i < json_object_array_length(jobs); i++)
		job_begin(c->dispatcher, json_object_array_get_idx(jobs, i), c->asked_us);
	if (json_integer(answer, "next_ms", &next_ms))
		again_in(c, (uint64_t) next_ms);
	c->more = json_flag(answer, "more", true);
	more = c->brief || (picked > 0 && c->more);
	json_object_put(answer);
	if (!live || !more)
		return more;
	again_in(c, 0); /* after the requests of these have left */
	return false;
}

static void
on_claimed(void *arg, const struct db_reply *reply)
{
	struct claiming *c = arg;
	bool more = c->wanted;

	c->asked = c->wanted = false;
	if (reply->outcome == DB_OK && PQntuples(reply->result) == 1)
		more = take_jobs(c, PQgetvalue(reply->result, 0, 0),
						 (size_t) PQgetlength(reply->result, 0, 0)) ||
			   more;
	else if (strcmp(reply->sqlstate, "VA041") == 0)
		c->dispatcher->begun = more = false; /* the program's timer begins again */
	else
	{
		log_warning("effects could not be claimed: %s", reply->message);
		again_in(c, RETRY_MS);
		more = false;
	}
	if (more)
		claiming_want(c);
}

void
claiming_want(struct claiming *c)
{
	struct dispatcher *d = c->dispatcher;
	unsigned live = lanes_room(&d->lanes, LANE_LIVE, d->settings.concurrency);
	unsigned bulk = lanes_room(&d->lanes, LANE_BULK, d->settings.concurrency);
	char texts[3][24];
	char *busy;

	if (c->stopped || !d->begun || d->db == NULL || (live == 0 && bulk == 0))
		return;
	c->wanted = c->asked;
	if (c->asked)
		return;
	busy = lanes_text(&d->lanes);
	snprintf(texts[0], sizeof(texts[0]), "%" PRId64, ++c->number);
	snprintf(texts[1], sizeof(texts[1]), "%u", live < MAX_CLAIM ? live : MAX_CLAIM);
	c->brief = !c->brief && c->backlog && live > 0 && somebody_waits(c, loop_now_us());
	c->asked_bulk = c->brief ? 0 : bulk < c->bulk ? bulk : c->bulk;
	snprintf(texts[2], sizeof(texts[2]), "%u", c->asked_bulk);

	const char *values[] = {d->name, d->instance, texts[0], texts[1], texts[2], busy};

	c->asked = true;
	c->asked_us = loop_now_us();
	d->counters.claims++;
	db_query(d->db, CLAIM_CONNECTION, d->sql.texts[DISPATCHER_SQL_CLAIM], 6, values, 0, on_claimed,
			 c);
	free(busy);
}

void
claiming_room(struct claiming *c, bool all_done)
{
	if (c->more || c->asked || !all_done)
		claiming_want(c);
}

void
claiming_stop(struct claiming *c)
{
	c->stopped = true;
	uv_timer_stop(c->timer);
}

struct claiming *
claiming_new(struct dispatcher *d)
{
	struct claiming *c = calloc(1, sizeof(*c));

	if (c == NULL || (c->timer = calloc(1, sizeof(*c->timer))) == NULL)
	{
		free(c);
		return NULL;
	}
	c->dispatcher = d;
	c->bulk = MAX_CLAIM / 5;
	c->more = true;
	uv_timer_init(loop_uv(d->loop), c->timer);
	c->timer->data = c;
	return c;
}

static void
on_timer_closed(uv_handle_t *handle)
{
	free(handle);
}

void
claiming_free(struct claiming *c)
{
	if (c == NULL)
		return;
	uv_close((uv_handle_t *) c->timer, on_timer_closed);
	free(c);
}
