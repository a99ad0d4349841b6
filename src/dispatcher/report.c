/*
 * report.c: see report.h. While the database is away none is queued, since the next one says it all.
 */
#include "dispatcher/report.h"

#include <json-c/json.h>
#include <unistd.h>

#include "net/db.h"
#include "program/control.h"
#include "program/version.h"

#define TIMEOUT_MS 5000

static bool in_flight;

static void
on_reported(void *arg, const struct db_reply *reply)
{
	(void) arg;
	(void) reply;
	in_flight = false;
}

static void
number(struct json_object *report, const char *name, uint64_t value)
{
	json_object_object_add(report, name, json_object_new_int64((int64_t) value));
}

static struct json_object *
report_text(const struct dispatcher *d, uint64_t now_us)
{
	const struct dispatcher_counters *c = &d->counters;
	struct json_object *report = json_object_new_object();

	number(report, "pid", (uint64_t) getpid());
	json_object_object_add(report, "version", json_object_new_string(VOICEAGENT_VERSION));
	number(report, "busy_live", d->lanes.busy[LANE_LIVE]);
	number(report, "busy_bulk", d->lanes.busy[LANE_BULK]);
	number(report, "claims", c->claims);
	number(report, "attempts", c->attempts);
	number(report, "looks", c->looks);
	number(report, "done", c->done);
	number(report, "retried", c->retried);
	number(report, "failed", c->failed);
	number(report, "unknown", c->unknown);
	number(report, "released", c->released);
	number(report, "verdicts_lost", c->verdicts_lost);
	number(report, "uptime_s", (now_us - d->started_us) / 1000000);
	return report;
}

void
dispatcher_report(struct dispatcher *d, bool connected, uint64_t now_us)
{
	struct json_object *report;

	if (in_flight || !d->begun || !connected)
		return;
	report = report_text(d, now_us);

	const char *values[] = {d->name, d->instance,
							json_object_to_json_string_ext(report, JSON_C_TO_STRING_PLAIN)};

	in_flight = true;
	db_query(control_db(d->control), 0, d->sql.texts[DISPATCHER_SQL_REPORT], 3, values, TIMEOUT_MS,
			 on_reported, NULL);
	json_object_put(report);
}
