/*
 * report.c: see report.h. One report is under way at a time; while the database is away none is
 * queued, since the next one says it all.
 */
#include "gateway/report.h"

#include <string.h>
#include <unistd.h>

#include "gateway/call.h"
#include "gateway/text.h"
#include "net/db.h"
#include "program/control.h"
#include "program/version.h"

#define QUIET_TURNS 5
#define TIMEOUT_MS 5000

static struct
{
	struct counters told;
	unsigned told_calls;
	unsigned quiet;
	bool in_flight;
} state;

static void
reported(void *arg, const struct db_reply *reply)
{
	(void) arg;
	state.in_flight = false;
	if (reply->outcome != DB_OK)
		state.quiet = QUIET_TURNS;
}

static void
rejections(struct text *t, const struct counters *c)
{
	static const char *const names[REJECT_COUNT] = {
		[REJECT_SIGNATURE] = "bad_signature",
		[REJECT_MALFORMED] = "malformed",
		[REJECT_TOO_LARGE] = "too_large",
		[REJECT_METHOD] = "method",
		[REJECT_NOT_FOUND] = "not_found",
		[REJECT_TOKEN] = "token",
		[REJECT_BUSY] = "busy",
		[REJECT_LINK] = "link",
		[REJECT_DOWNLOADS] = "downloads",
	};

	text_str(t, ",\"rejected\":{");
	for (int i = 0; i < REJECT_COUNT; i++)
		text_number(t, names[i], (long long) c->rejected[i]);
	text_str(t, "}");
}

static void
report_text(struct text *t, const struct gateway *g, uint64_t now_us)
{
	const struct counters *c = &g->counters;

	text_str(t, "{");
	text_number(t, "pid", (long long) getpid());
	text_member(t, "version", VOICEAGENT_VERSION);
	text_number(t, "calls", g->call_count);
	text_number(t, "calls_total", (long long) c->calls);
	rejections(t, c);
	text_number(t, "webhooks", (long long) c->webhooks);
	text_number(t, "webhooks_failed", (long long) c->webhooks_failed);
	text_number(t, "frames_in", (long long) c->frames_in);
	text_number(t, "frames_out", (long long) c->frames_out);
	text_number(t, "frames_dropped_in", (long long) c->frames_dropped_in);
	text_number(t, "frames_dropped_out", (long long) c->frames_dropped_out);
	text_number(t, "bytes_in", (long long) c->bytes_in);
	text_number(t, "bytes_out", (long long) c->bytes_out);
	text_number(t, "interruptions", (long long) c->interruptions);
	text_number(t, "tool_calls", (long long) c->tool_calls);
	text_number(t, "engine_failures", (long long) c->engine_failures);
	text_number(t, "engine_lost", (long long) c->engine_lost);
	text_number(t, "events_lost", (long long) c->events_lost);
	text_number(t, "clear_us_max", (long long) c->clear_us_max);
	text_number(t, "queue_bytes", (long long) (call_queued_bytes(g) + db_queued_bytes(g->db)));
	text_number(t, "uptime_s", (long long) ((now_us - g->started_us) / 1000000));
	text_str(t, "}");
}

void
report_tick(struct gateway *g, uint64_t now_us)
{
	bool changed = memcmp(&state.told, &g->counters, sizeof(g->counters)) != 0 ||
				   state.told_calls != g->call_count;
	struct text t = {0};

	state.quiet++;
	if (state.in_flight || g->db == NULL || !control_connected(g->control) ||
		(!changed && state.quiet < QUIET_TURNS))
		return;
	report_text(&t, g, now_us);
	if (!t.failed)
	{
		const char *values[] = {g->name, t.data};

		state.told = g->counters;
		state.told_calls = g->call_count;
		state.quiet = 0;
		state.in_flight = true;
		db_query(control_db(g->control), 0, g->sql.texts[SQL_REPORT], 2, values, TIMEOUT_MS,
				 reported, g);
	}
	text_free(&t);
}
