/*
 * dispatcher.c: the program `voiceagent dispatcher`: sets the parts up in order, keeps the settings
 * fresh, and stops in order.
 *
 * A control connection of its own serves settings, notifications, sweeps and reports; claims and
 * verdicts have a connection each, so that neither waits for the other. What is claimed and comes
 * back while the program ends is left to its lease: the next run of the same name finds it at once.
 */
#include "dispatcher/dispatcher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "dispatcher/claiming.h"
#include "dispatcher/job_private.h"
#include "dispatcher/report.h"
#include "dispatcher/settling.h"
#include "net/db.h"
#include "net/http_client.h"
#include "net/log.h"
#include "net/loop.h"
#include "program/control.h"
#include "program/options.h"
#include "program/version.h"

#define TICK_MS 100
#define SWEEP_TICKS 20 /* 2 s */
#define RETRY_MS 1000
#define QUERY_TIMEOUT_MS 10000
#define STOP_STEP_MS 20
#define STOP_PATIENCE_STEPS 25 /* 0.5 s for answers under way */
#define STOP_STEPS 40 /* 0.8 s until the end */
#define MAX_QUEUED (256 * 1024 * 1024)
#define CONNECTIONS_PER_HOST 128
#define MAX_CONNECTIONS 4096

static const char channel[] = "voiceagent_outbox";

struct program
{
	struct dispatcher dispatcher; /* first: the two share an address */
	struct options options;
	struct dispatcher_settings fresh; /* being read */
	struct claiming *claiming;
	uv_timer_t tick;
	uv_timer_t stop;
	unsigned ticks, stop_steps;
	bool beginning, sweeping;
	int status;
};

/* ---- work ---- */

static void
on_settled(struct dispatcher *d, bool all_done)
{
	claiming_room(((struct program *) d)->claiming, all_done);
}

static void
on_begun(void *arg, const struct db_reply *reply)
{
	struct program *p = arg;

	p->beginning = false;
	if (reply->outcome != DB_OK)
	{
		log_warning("the dispatcher could not begin: %s", reply->message);
		return;
	}
	p->dispatcher.begun = true;
	if (strcmp(PQgetvalue(reply->result, 0, 0), "0") != 0)
		log_warning("%s attempts of an earlier run have an unknown outcome",
					PQgetvalue(reply->result, 0, 0));
	claiming_want(p->claiming);
}

static void
begin(struct program *p)
{
	struct dispatcher *d = &p->dispatcher;
	const char *values[] = {d->name, d->instance};

	if (p->beginning || d->begun || d->stopping || d->db == NULL || !control_connected(d->control))
		return;
	p->beginning = true;
	db_query(control_db(d->control), 0, d->sql.texts[DISPATCHER_SQL_BEGIN], 2, values,
			 QUERY_TIMEOUT_MS, on_begun, p);
}

static void
on_swept(void *arg, const struct db_reply *reply)
{
	struct program *p = arg;

	p->sweeping = false;
	if (reply->outcome != DB_OK)
		log_warning("the outbox could not be swept: %s", reply->message);
}

/* Every two seconds: leases of others that ran out, and a look for what nobody announced. */
static void
sweep(struct program *p)
{
	struct dispatcher *d = &p->dispatcher;

	if (!d->begun || p->sweeping || !control_connected(d->control))
		return;
	p->sweeping = true;
	db_query(control_db(d->control), 0, d->sql.texts[DISPATCHER_SQL_SWEEP], 0, NULL,
			 QUERY_TIMEOUT_MS, on_swept, p);
	claiming_want(p->claiming);
}

static void
on_tick(uv_timer_t *timer)
{
	struct program *p = timer->data;
	struct dispatcher *d = &p->dispatcher;
	uint64_t now_us = loop_now_us();

	job_expire_all(d, now_us, false);
	if (d->stopping)
		return;
	if (++p->ticks % (RETRY_MS / TICK_MS) == 0)
		begin(p);
	if (p->ticks % SWEEP_TICKS == 0)
	{
		sweep(p);
		dispatcher_report(d, control_connected(d->control), now_us);
	}
}

/* ---- settings ---- */

static void
work_state(void *arg, bool connected)
{
	struct program *p = arg;

	if (connected)
		claiming_want(p->claiming);
	else if (!p->dispatcher.stopping)
		log_warning("the connections to the database are lost");
}

/* The settings are there for the first time: connections for the work are made. */
static bool
connect_work(struct program *p)
{
	struct dispatcher *d = &p->dispatcher;
	struct db_options options = {
		.target_count = p->options.target_count,
		.connections = 2,
		.max_queued = MAX_QUEUED,
		.state = work_state,
		.arg = p,
	};

	memcpy(options.targets, p->options.targets, sizeof(options.targets));
	d->db = db_new(d->loop, &options);
	return d->db != NULL;
}

static void
apply_settings(struct program *p, const struct dispatcher_settings *fresh, const char *schema)
{
	struct dispatcher *d = &p->dispatcher;

	if (!dispatcher_sql_build(&d->sql, schema))
		return;
	log_set_level(fresh->log_level);
	d->settings = *fresh;
	if (d->db == NULL && !connect_work(p))
	{
		p->status = 1;
		loop_stop(d->loop);
		return;
	}
	begin(p);
	claiming_want(p->claiming);
}

static void
settings_begin(void *arg)
{
	dispatcher_settings_default(&((struct program *) arg)->fresh);
}

static bool
settings_take(void *arg, const char *name, const char *value, struct va_error *err)
{
	return dispatcher_settings_set(&((struct program *) arg)->fresh, name, value, err);
}

static void
settings_apply(void *arg, const char *schema)
{
	struct program *p = arg;

	apply_settings(p, &p->fresh, schema);
}

static void
notified(void *arg, const char *name, const char *payload)
{
	struct program *p = arg;

	(void) name;
	(void) payload;
	claiming_want(p->claiming);
}

static const struct control_handlers control_handlers = {settings_begin, settings_take,
														 settings_apply, notified};

static void
on_hangup_signal(void *arg)
{
	struct program *p = arg;

	if (p->dispatcher.control != NULL)
		control_reload(p->dispatcher.control);
}

/* ---- the end ---- */

static void
on_stop_step(uv_timer_t *timer)
{
	struct program *p = timer->data;
	struct dispatcher *d = &p->dispatcher;

	p->stop_steps++;
	if (p->stop_steps == STOP_PATIENCE_STEPS)
		job_expire_all(d, loop_now_us(), true);
	if (p->stop_steps < STOP_STEPS && (d->jobs != NULL || !settling_is_empty(d->settling)))
		return;
	uv_timer_stop(timer);
	loop_stop(d->loop);
}

static void
on_terminate(void *arg)
{
	struct program *p = arg;
	struct dispatcher *d = &p->dispatcher;

	if (d->stopping)
		return;
	d->stopping = true;
	control_stop(d->control);
	log_info("dispatcher %s stops with %u effects under way", d->name, lanes_busy(&d->lanes));
	claiming_stop(p->claiming);
	job_release_unsent(d);
	uv_timer_start(&p->stop, on_stop_step, 0, STOP_STEP_MS);
}

/* ---- the whole ---- */

static void
timer_init(struct program *p, uv_timer_t *timer)
{
	uv_timer_init(loop_uv(p->dispatcher.loop), timer);
	timer->data = p;
}

static bool
set_up(struct program *p)
{
	struct dispatcher *d = &p->dispatcher;
	struct loop_handlers handlers = {on_terminate, on_hangup_signal, p};

	memcpy(d->name, p->options.name, sizeof(d->name));
	d->started_us = loop_now_us();
	snprintf(d->instance, sizeof(d->instance), "%.48s/%d.%llx", d->name, (int) getpid(),
			 (unsigned long long) loop_wall_ms());
	dispatcher_settings_default(&d->settings);
	d->loop = loop_new(&handlers, p->options.from_stdin, MAX_CONNECTIONS);
	if (d->loop == NULL)
		return false;
	timer_init(p, &p->tick);
	timer_init(p, &p->stop);
	d->http = http_client_new(d->loop, CONNECTIONS_PER_HOST);
	d->settling = settling_new(d, on_settled);
	p->claiming = claiming_new(d);
	d->control = control_new(d->loop, &p->options, channel, &control_handlers, p);
	if (d->http == NULL || d->settling == NULL || p->claiming == NULL || d->control == NULL)
		return false;
	uv_timer_start(&p->tick, on_tick, TICK_MS, TICK_MS);
	return true;
}

/* Everything that may hold memory, so that a leak checker has nothing to say. */
static void
tear_down(struct program *p)
{
	struct dispatcher *d = &p->dispatcher;

	d->stopping = true;
	if (p->claiming != NULL)
		claiming_stop(p->claiming);
	if (d->db != NULL)
		db_close(d->db, 0);
	control_free(d->control);
	claiming_free(p->claiming);
	settling_free(d->settling);
	if (d->http != NULL)
		http_client_free(d->http);
	uv_close((uv_handle_t *) &p->tick, NULL);
	uv_close((uv_handle_t *) &p->stop, NULL);
	loop_free(d->loop);
	lanes_free(&d->lanes);
	dispatcher_sql_free(&d->sql);
}

int
dispatcher_main(int argc, char **argv)
{
	static const struct options_program about = {"dispatcher", "dp",
												 "Carries the outbox to the services outside"};
	struct program *p = calloc(1, sizeof(*p));
	int status;

	if (p == NULL || !options_read(&p->options, &about, argc, argv))
	{
		free(p);
		return 2;
	}
	log_setup("voiceagent dispatcher", p->options.log_json, LOG_LEVEL_INFO);
	log_info("dispatcher %s %s starts", p->options.name, VOICEAGENT_VERSION);
	p->status = 1;
	if (set_up(p))
	{
		p->status = 0;
		loop_run(p->dispatcher.loop);
	}
	if (p->dispatcher.loop != NULL)
		tear_down(p);
	status = p->status;
	options_free(&p->options);
	free(p);
	return status;
}
