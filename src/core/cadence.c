/*
 * cadence.c: planning follow-ups.
 *
 * The fifteen steps of the product are a table. One function, place, decides when a step is due:
 * its nominal time, not before the floor (the step before plus the gap), moved forward until nothing
 * stands in the way of its channels. Planning calls it for each step in turn; re-planning does the
 * same around what is already done, and compares with what is pending.
 */
#include "core/cadence.h"

#include <string.h>

#define EMAIL (1u << CADENCE_EMAIL)
#define SMS (1u << CADENCE_SMS)
#define WHATSAPP (1u << CADENCE_WHATSAPP)
#define AI_CALL (1u << CADENCE_AI_CALL)
#define HUMAN_CALL (1u << CADENCE_HUMAN_CALL)
#define INTERNAL (1u << CADENCE_INTERNAL)

/* Two calendars may take turns in being closed; more often than this within the horizon is never. */
#define ROUNDS_MAX (HOURS_HORIZON_DAYS * HOURS_PER_DAY_MAX)

static const struct cadence_sequence defaults[BANT_TEMPERATURES] = {
	[BANT_HOT] = {BANT_HOT,
				  5,
				  {{0, CADENCE_HOURS, WHATSAPP, "confirm"},
				   {1, CADENCE_HOURS, HUMAN_CALL, "call"},
				   {24, CADENCE_HOURS, EMAIL | SMS, "follow_up"},
				   {48, CADENCE_HOURS, AI_CALL, "check_in"},
				   {7, CADENCE_DAYS, AI_CALL, "final_attempt"}}},
	[BANT_WARM] = {BANT_WARM,
				   5,
				   {{0, CADENCE_HOURS, EMAIL, "summary"},
					{24, CADENCE_HOURS, AI_CALL, "nurture"},
					{3, CADENCE_DAYS, EMAIL, "value_content"},
					{7, CADENCE_DAYS, EMAIL, "case_study"},
					{14, CADENCE_DAYS, EMAIL, "special_offer"}}},
	[BANT_COLD] = {BANT_COLD,
				   5,
				   {{0, CADENCE_HOURS, EMAIL, "thanks"},
					{7, CADENCE_DAYS, EMAIL, "newsletter"},
					{30, CADENCE_DAYS, EMAIL, "re_engagement"},
					{60, CADENCE_DAYS, EMAIL, "survey_request"},
					{90, CADENCE_DAYS, INTERNAL, "archive_or_wake"}}},
};

static const char *const channels[CADENCE_CHANNELS] = {
	[CADENCE_WHATSAPP] = "whatsapp",	 [CADENCE_SMS] = "sms",
	[CADENCE_EMAIL] = "email",			 [CADENCE_AI_CALL] = "ai_call",
	[CADENCE_HUMAN_CALL] = "human_call", [CADENCE_INTERNAL] = "internal",
};

const char *
cadence_channel_name(enum cadence_channel channel)
{
	return channels[channel];
}

int
cadence_channel_find(const char *name, size_t len)
{
	for (int i = 0; i < CADENCE_CHANNELS; i++)
	{
		if (strlen(channels[i]) == len && memcmp(channels[i], name, len) == 0)
			return i;
	}
	return -1;
}

const struct cadence_sequence *
cadence_default(enum bant_temperature temperature)
{
	return &defaults[temperature];
}

static int64_t
delay_hours(const struct cadence_step *step)
{
	return step->unit == CADENCE_DAYS ? step->delay * INT64_C(24) : step->delay;
}

bool
cadence_sequence_check(const struct cadence_sequence *sequence, struct va_error *err)
{
	int64_t before = 0;

	if (sequence->count < 1 || sequence->count > CADENCE_STEPS_MAX)
		return va_fail(err, "a sequence has 1 to %d steps, not %d", CADENCE_STEPS_MAX,
					   sequence->count);
	for (int i = 0; i < sequence->count; i++)
	{
		const struct cadence_step *step = &sequence->step[i];

		if (step->unit != CADENCE_HOURS && step->unit != CADENCE_DAYS)
			return va_fail(err, "the delay of step %d is neither in hours nor in days", i + 1);
		if (step->delay < 0 || delay_hours(step) > CADENCE_DELAY_DAYS_MAX * 24)
			return va_fail(err, "the delay of step %d must be from 0 to %d days", i + 1,
						   CADENCE_DELAY_DAYS_MAX);
		if (delay_hours(step) < before)
			return va_fail(err, "step %d would come before step %d", i + 1, i);
		if (step->channels == 0 || step->channels >= 1u << CADENCE_CHANNELS)
			return va_fail(err, "step %d needs one or more known channels", i + 1);
		if (step->purpose[0] == '\0' || memchr(step->purpose, '\0', CADENCE_PURPOSE_SIZE) == NULL)
			return va_fail(err, "step %d needs a purpose of 1 to %d characters", i + 1,
						   CADENCE_PURPOSE_SIZE - 1);
		before = delay_hours(step);
	}
	return true;
}

bool
cadence_rules_check(const struct cadence_rules *rules, struct va_error *err)
{
	if (rules->lead_zone == NULL || rules->tenant_zone == NULL)
		return va_fail(err, "the rules need the zone of the lead and that of the tenant");
	if (rules->minimum_gap < ZONE_SECOND || rules->minimum_gap > CADENCE_GAP_MAX)
		return va_fail(err, "the gap between two steps must be from 1 second to 30 days");
	return true;
}

static zone_instant
latest(zone_instant a, zone_instant b)
{
	return a > b ? a : b;
}

/* The end of the latest of these spans that covers the instant; the instant itself without one. */
static zone_instant
end_of_spans(const struct hours_span *spans, int count, zone_instant at)
{
	zone_instant end = at;

	for (int i = 0; i < count; i++)
	{
		if (spans[i].from <= at && at < spans[i].to)
			end = latest(end, spans[i].to);
	}
	return end;
}

static zone_instant
end_of_quiet(const struct cadence_rules *rules, uint32_t wanted, zone_instant at)
{
	zone_instant end = at;

	if (end_of_spans(rules->touch, rules->touch_count, at) > at)
		return at;
	for (int i = 0; i < CADENCE_CHANNELS; i++)
	{
		if ((wanted & (1u << i)) != 0 && rules->contact[i] != NULL)
			end = latest(end, hours_next_open(rules->contact[i], rules->lead_zone, at));
	}
	return end;
}

static zone_instant
end_of_limit(const struct cadence_rules *rules, uint32_t wanted, zone_instant at)
{
	zone_instant end = at;

	for (int i = 0; i < CADENCE_CHANNELS; i++)
	{
		if ((wanted & (1u << i)) != 0)
			end = latest(end, end_of_spans(rules->spent[i], rules->spent_count[i], at));
	}
	return end;
}

/* One look at everything that concerns these channels: the instant before which something stands in
 * the way, or `at` when nothing does. */
static zone_instant
next_candidate(const struct cadence_rules *rules, uint32_t wanted, zone_instant at, uint32_t *moved)
{
	zone_instant quiet = end_of_quiet(rules, wanted, at);
	zone_instant limit = end_of_limit(rules, wanted, at);
	zone_instant human = at;

	if ((wanted & HUMAN_CALL) != 0 && rules->human_hours != NULL)
		human = hours_next_open(rules->human_hours, rules->tenant_zone, at);
	if (quiet > at)
		*moved |= CADENCE_MOVED_BY_QUIET_HOURS;
	if (human > at)
		*moved |= CADENCE_MOVED_BY_HUMAN_HOURS;
	if (limit > at)
		*moved |= CADENCE_MOVED_BY_LIMIT;
	return latest(latest(quiet, limit), human);
}

/* Are there channels, and none that may be used? */
static bool
is_forbidden(const struct cadence_rules *rules, uint32_t wanted)
{
	return wanted != 0 && (wanted & ~rules->never) == 0;
}

zone_instant
cadence_allowed(const struct cadence_rules *rules, uint32_t wanted, zone_instant at,
				uint32_t *moved)
{
	zone_instant result = ZONE_NEVER;
	zone_instant last;
	uint32_t reasons = 0;

	if (!zone_valid(at) || is_forbidden(rules, wanted))
		return ZONE_NEVER;
	wanted &= ~rules->never;
	last = at + HOURS_HORIZON_DAYS * ZONE_DAY;
	for (int round = 0; round < ROUNDS_MAX && result == ZONE_NEVER; round++)
	{
		zone_instant next = next_candidate(rules, wanted, at, &reasons);

		if (next > last || !zone_valid(next))
			break;
		if (next == at)
			result = at;
		at = next;
	}
	if (moved != NULL)
		*moved |= reasons;
	return result;
}

static zone_instant
nominal_time(const struct cadence_step *step, zone_instant start, const struct zone *zone)
{
	if (step->unit == CADENCE_DAYS && step->delay > 0)
		return zone_to_utc(zone, zone_to_local(zone, start) + step->delay * ZONE_DAY);
	return start + step->delay * (step->unit == CADENCE_DAYS ? ZONE_DAY : ZONE_HOUR);
}

/* When is this step due, not before `floor` (by the gap) and not before `now`? */
static struct cadence_planned
place(const struct cadence_sequence *sequence, int index, zone_instant start,
	  const struct cadence_rules *rules, zone_instant floor, zone_instant now)
{
	const struct cadence_step *step = &sequence->step[index];
	struct cadence_planned result = {.step = index + 1};
	zone_instant from;

	result.nominal = nominal_time(step, start, rules->lead_zone);
	from = latest(result.nominal, now);
	if (from > result.nominal)
		result.moved |= CADENCE_MOVED_BY_NOW;
	if (floor > from)
	{
		result.moved |= CADENCE_MOVED_BY_GAP;
		from = floor;
	}
	result.due = cadence_allowed(rules, step->channels, from, &result.moved);
	return result;
}

int
cadence_plan(const struct cadence_sequence *sequence, zone_instant start,
			 const struct cadence_rules *rules, struct cadence_planned *planned, int max)
{
	zone_instant floor = start;

	if (max < sequence->count || !zone_valid(start))
		return -1;
	for (int i = 0; i < sequence->count; i++)
	{
		planned[i] = place(sequence, i, start, rules, floor, start);
		if (planned[i].due != ZONE_NEVER)
			floor = planned[i].due + rules->minimum_gap;
	}
	return sequence->count;
}

/* What the tasks say about the steps of a sequence. */
struct history
{
	bool done[CADENCE_STEPS_MAX];
	int pending[CADENCE_STEPS_MAX]; /* index of the step's first pending task, or -1 */
	int last_done; /* index of the last done step, or -1 */
	int last_begun; /* the same, counting pending tasks whose time has come */
	zone_instant floor; /* the gap after whatever was done last, in any sequence */
};

/* Does the sequence have this task's step? Rows may outlive a sequence that was shortened. */
static bool
is_step_of(const struct cadence_sequence *sequence, const struct cadence_task *task)
{
	return sequence != NULL && task->sequence == sequence->id && task->step >= 1 &&
		   task->step <= sequence->count;
}

static bool
read_history(const struct cadence_sequence *sequence, const struct cadence_rules *rules,
			 const struct cadence_task *tasks, int task_count, zone_instant now, struct history *h)
{
	h->last_done = -1;
	h->last_begun = -1;
	h->floor = ZONE_FIRST;
	for (int i = 0; i < CADENCE_STEPS_MAX; i++)
	{
		h->done[i] = false;
		h->pending[i] = -1;
	}
	for (int i = 0; i < task_count; i++)
	{
		const struct cadence_task *task = &tasks[i];
		int step;

		if (task->status == CADENCE_WITHDRAWN)
			continue;
		if (!zone_valid(task->at))
			return false;
		if (task->status == CADENCE_DONE)
			h->floor = latest(h->floor, task->at + rules->minimum_gap);
		if (!is_step_of(sequence, task))
			continue;
		step = task->step - 1;
		if (task->status == CADENCE_DONE)
		{
			h->done[step] = true;
			h->last_done = step > h->last_done ? step : h->last_done;
		}
		else if (h->pending[step] < 0)
			h->pending[step] = i;
		else
			continue;
		if ((task->status == CADENCE_DONE ||
			 (task->at <= now && !is_forbidden(rules, sequence->step[step].channels))) &&
			step > h->last_begun)
			h->last_begun = step;
	}
	return true;
}

/* What becomes of one step that is not done: false when there is nothing to say about it (it has
 * no task and gets none). */
static bool
replan_step(const struct cadence_sequence *sequence, int index, zone_instant start,
			const struct cadence_rules *rules, const struct cadence_task *tasks,
			const struct history *h, zone_instant floor, zone_instant now,
			struct cadence_change *change)
{
	int task = h->pending[index];
	struct cadence_planned planned;

	change->task = task;
	change->step = index + 1;
	change->moved = 0;
	if (index < h->last_begun && task < 0)
		return false;
	if (task >= 0 && (tasks[task].at <= now || index < h->last_begun))
	{
		bool keep = tasks[task].at <= now && index > h->last_done &&
					!is_forbidden(rules, sequence->step[index].channels);

		change->action = keep ? CADENCE_KEEP : CADENCE_CANCEL;
		change->due = tasks[task].at;
		return true;
	}
	planned = place(sequence, index, start, rules, floor, now);
	change->due = planned.due;
	change->moved = planned.moved;
	if (task < 0)
		change->action = CADENCE_ADD;
	else if (planned.due == ZONE_NEVER)
		change->action = CADENCE_CANCEL;
	else
		change->action = planned.due == tasks[task].at ? CADENCE_KEEP : CADENCE_MOVE;
	return task >= 0 || planned.due != ZONE_NEVER;
}

/* Is this pending task one of those that the sequence still wants? */
static bool
is_wanted(const struct cadence_sequence *sequence, const struct cadence_task *tasks, int i,
		  const struct history *h)
{
	return is_step_of(sequence, &tasks[i]) && h->pending[tasks[i].step - 1] == i &&
		   !h->done[tasks[i].step - 1];
}

int
cadence_replan(const struct cadence_sequence *sequence, zone_instant start,
			   const struct cadence_rules *rules, const struct cadence_task *tasks, int task_count,
			   zone_instant now, struct cadence_change *changes, int max)
{
	struct history h;
	zone_instant floor;
	int count = 0;

	if (!zone_valid(start) || !zone_valid(now) || max - CADENCE_STEPS_MAX < task_count ||
		!read_history(sequence, rules, tasks, task_count, now, &h))
		return -1;
	for (int i = 0; i < task_count; i++)
	{
		if (tasks[i].status == CADENCE_PENDING && !is_wanted(sequence, tasks, i, &h))
			changes[count++] = (struct cadence_change){
				.action = CADENCE_CANCEL, .task = i, .step = tasks[i].step, .due = tasks[i].at};
	}
	floor = h.floor;
	for (int i = 0; sequence != NULL && i < sequence->count; i++)
	{
		struct cadence_change *change = &changes[count];

		if (h.done[i] || !replan_step(sequence, i, start, rules, tasks, &h, floor, now, change))
			continue;
		if (change->action != CADENCE_CANCEL)
			floor = latest(floor, change->due + rules->minimum_gap);
		count++;
	}
	return count;
}
