/*
 * cadence_test.c: the fifteen steps of the product with their times, the rules that move a step, and
 * re-planning; then the properties of every plan, on random rules, zones and histories.
 */
#include "core/cadence.h"

#include "tap.h"
#include "zone_table.h"

#define HM(h, m) ((h) *3600 + (m) *60)
#define TASKS_MAX 24

static struct va_error err;

static const struct cadence_sequence *
hot(void)
{
	return cadence_default(BANT_HOT);
}

static const struct cadence_sequence *
warm(void)
{
	return cadence_default(BANT_WARM);
}

static struct cadence_rules
free_rules(const struct zone *zone)
{
	struct cadence_rules rules = {
		.lead_zone = zone, .tenant_zone = zone, .minimum_gap = CADENCE_GAP_DEFAULT};

	return rules;
}

static struct hours_calendar
daily(int open, int close)
{
	struct hours_calendar calendar = {0};

	if (!hours_every_day(&calendar, open, close, &err))
		abort();
	return calendar;
}

struct line
{
	enum bant_temperature temperature;
	int step;
	const char *channels;
	const char *purpose;
	int64_t after; /* the start, in hours, where no clock changes */
};

static const struct line lines[] = {
	{BANT_HOT, 1, "whatsapp", "confirm", 0},
	{BANT_HOT, 2, "human_call", "call", 1},
	{BANT_HOT, 3, "sms email", "follow_up", 24},
	{BANT_HOT, 4, "ai_call", "check_in", 48},
	{BANT_HOT, 5, "ai_call", "final_attempt", 7 * 24},
	{BANT_WARM, 1, "email", "summary", 0},
	{BANT_WARM, 2, "ai_call", "nurture", 24},
	{BANT_WARM, 3, "email", "value_content", 3 * 24},
	{BANT_WARM, 4, "email", "case_study", 7 * 24},
	{BANT_WARM, 5, "email", "special_offer", 14 * 24},
	{BANT_COLD, 1, "email", "thanks", 0},
	{BANT_COLD, 2, "email", "newsletter", 7 * 24},
	{BANT_COLD, 3, "email", "re_engagement", 30 * 24},
	{BANT_COLD, 4, "email", "survey_request", 60 * 24},
	{BANT_COLD, 5, "internal", "archive_or_wake", 90 * 24},
};

static void
name_channels(uint32_t channels, char *text, size_t size)
{
	text[0] = '\0';
	for (int i = 0; i < CADENCE_CHANNELS; i++)
	{
		size_t len = strlen(text);

		if ((channels & (1u << i)) != 0)
			snprintf(text + len, size - len, "%s%s", len > 0 ? " " : "",
					 cadence_channel_name((enum cadence_channel) i));
	}
}

static void
fifteen_steps(void)
{
	struct cadence_rules rules = free_rules(&kolkata);
	zone_instant start = stamp(2026, 6, 1, 10, 17) + 123456;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
	{
		const struct line *line = &lines[i];
		const struct cadence_sequence *sequence = cadence_default(line->temperature);
		const struct cadence_step *step = &sequence->step[line->step - 1];
		struct cadence_planned planned[CADENCE_STEPS_MAX];
		char channels[100];

		name_channels(step->channels, channels, sizeof(channels));
		is_str(channels, line->channels, "%s step %d goes by %s",
			   bant_temperature_name(line->temperature), line->step, line->channels);
		is_str(step->purpose, line->purpose, "its purpose is %s", line->purpose);
		is_int(cadence_plan(sequence, start, &rules, planned, CADENCE_STEPS_MAX), 5,
			   "it is one of five");
		ok(planned[line->step - 1].due == start + line->after * ZONE_HOUR &&
			   planned[line->step - 1].moved == 0 && planned[line->step - 1].step == line->step,
		   "due %" PRId64 " hours after the start, to the microsecond", line->after);
	}
	for (int t = 0; t < BANT_TEMPERATURES; t++)
	{
		const struct cadence_sequence *sequence = cadence_default((enum bant_temperature) t);

		ok(cadence_sequence_check(sequence, &err) && sequence->id == t, "sequence %d is valid", t);
	}
}

/* The due time of a step, planned alone with the rest of its sequence. */
static struct cadence_planned
step_of(const struct cadence_sequence *sequence, int step, zone_instant start,
		const struct cadence_rules *rules)
{
	struct cadence_planned planned[CADENCE_STEPS_MAX];

	if (cadence_plan(sequence, start, rules, planned, CADENCE_STEPS_MAX) < step)
		abort();
	return planned[step - 1];
}

static void
elapsed_and_calendar(void)
{
	struct cadence_rules rules = free_rules(&berlin);
	zone_instant spring = in_zone(&berlin, 2026, 3, 28, 18, 0);
	zone_instant autumn = in_zone(&berlin, 2026, 10, 24, 18, 0);
	zone_instant skipped = in_zone(&berlin, 2026, 3, 26, 2, 30);
	zone_instant doubled = in_zone(&berlin, 2026, 10, 22, 2, 30);

	is_int(step_of(hot(), 3, spring, &rules).due, in_zone(&berlin, 2026, 3, 29, 19, 0),
		   "T+24h over the gap is 24 hours: an hour later on the clock");
	is_int(step_of(hot(), 3, autumn, &rules).due, in_zone(&berlin, 2026, 10, 25, 17, 0),
		   "T+24h over the doubled hour: an hour earlier on the clock");
	is_int(step_of(hot(), 4, spring, &rules).due - spring, 48 * ZONE_HOUR, "T+48h is 48 hours");
	is_int(step_of(warm(), 3, spring, &rules).due, in_zone(&berlin, 2026, 3, 31, 18, 0),
		   "T+3d over the gap is the same time of day");
	is_int(step_of(warm(), 3, autumn, &rules).due, in_zone(&berlin, 2026, 10, 27, 18, 0),
		   "and over the doubled hour");
	is_int(step_of(warm(), 3, spring, &rules).due - spring, 71 * ZONE_HOUR, "which is 71 hours");
	is_int(step_of(warm(), 3, skipped, &rules).due, in_zone(&berlin, 2026, 3, 29, 3, 0),
		   "T+3d at a skipped time is the end of the gap");
	is_int(step_of(warm(), 3, doubled, &rules).due, stamp(2026, 10, 25, 0, 30),
		   "T+3d at a doubled time is the first of the two");
	rules = free_rules(&new_york);
	rules.tenant_zone = &berlin;
	is_int(step_of(hot(), 5, in_zone(&new_york, 2026, 3, 5, 9, 0), &rules).due,
		   in_zone(&new_york, 2026, 3, 12, 9, 0), "days are those of the lead's zone");
	is_int(
		step_of(cadence_default(BANT_COLD), 3, in_zone(&new_york, 2028, 1, 30, 9, 0), &rules).due,
		in_zone(&new_york, 2028, 2, 29, 9, 0), "T+30d reaches the leap day");
}

static void
quiet_hours(void)
{
	struct hours_calendar contact = daily(HM(8, 0), HM(21, 0));
	struct hours_calendar office = {0};
	struct hours_holiday holiday = {zone_day(2026, 6, 9), {0}};
	struct cadence_rules rules = free_rules(&new_york);
	zone_instant noon = in_zone(&new_york, 2026, 6, 4, 12, 0);
	zone_instant night = in_zone(&new_york, 2026, 6, 4, 23, 0);
	struct cadence_planned p;

	for (int weekday = 1; weekday <= 5; weekday++)
		hours_add(&office.week[weekday], HM(9, 0), HM(17, 0), &err);
	rules.tenant_zone = &berlin;
	rules.human_hours = &office;
	for (int i = 0; i < CADENCE_INTERNAL; i++)
		rules.contact[i] = i == CADENCE_EMAIL ? NULL : &contact;
	is_int(step_of(hot(), 1, noon, &rules).due, noon, "T+0 is at once when allowed");
	p = step_of(hot(), 1, night, &rules);
	is_int(p.due, in_zone(&new_york, 2026, 6, 5, 8, 0), "T+0 in quiet hours waits for the morning");
	is_int(p.moved, CADENCE_MOVED_BY_QUIET_HOURS, "and says why");
	is_int(p.nominal, night, "and when it would have been");
	p = step_of(hot(), 2, night, &rules);
	is_int(p.due, in_zone(&new_york, 2026, 6, 5, 9, 0),
		   "a human call needs both: after the message and 15:00 in Berlin");
	is_int(p.moved, CADENCE_MOVED_BY_GAP, "moved by the gap after the message");
	p = step_of(hot(), 2, noon, &rules);
	is_int(p.due, in_zone(&new_york, 2026, 6, 5, 8, 0),
		   "after the office in Berlin has closed: first when both are open");
	is_int(p.moved, CADENCE_MOVED_BY_QUIET_HOURS | CADENCE_MOVED_BY_HUMAN_HOURS, "moved by both");
	is_int(step_of(warm(), 1, night, &rules).due, night, "e-mail has no quiet hours here");
	p = step_of(hot(), 3, night, &rules);
	is_int(p.due, in_zone(&new_york, 2026, 6, 6, 8, 0), "a step of two channels waits for both");
	is_int(step_of(hot(), 5, noon, &rules).due, in_zone(&new_york, 2026, 6, 11, 12, 0),
		   "a step that moved does not push those after it");
	office.holidays = &holiday;
	office.holiday_count = 1;
	is_int(step_of(hot(), 2, in_zone(&berlin, 2026, 6, 8, 23, 0), &rules).due,
		   in_zone(&berlin, 2026, 6, 10, 14, 0), "a holiday of the tenant is passed over");
	contact = daily(HM(2, 0), HM(3, 0));
	rules = free_rules(&berlin);
	rules.contact[CADENCE_AI_CALL] = &contact;
	is_int(step_of(warm(), 2, in_zone(&berlin, 2026, 3, 28, 4, 0), &rules).due,
		   in_zone(&berlin, 2026, 3, 30, 2, 0), "a window that is skipped is not there");
}

static void
gaps_and_never(void)
{
	struct hours_calendar morning = daily(HM(9, 0), HM(10, 0));
	struct hours_calendar evening = daily(HM(18, 0), HM(19, 0));
	struct cadence_rules rules = free_rules(&utc);
	struct cadence_planned p[CADENCE_STEPS_MAX];
	zone_instant start = stamp(2026, 6, 1, 12, 0);

	rules.minimum_gap = 30 * ZONE_HOUR;
	cadence_plan(hot(), start, &rules, p, CADENCE_STEPS_MAX);
	is_int(p[1].due, start + 30 * ZONE_HOUR, "a long gap spreads the steps");
	is_int(p[2].due, start + 60 * ZONE_HOUR, "one after the other");
	is_int(p[4].due, start + 7 * ZONE_DAY, "until there is room again");
	is_int(p[2].moved, CADENCE_MOVED_BY_GAP, "moved by the gap");
	rules = free_rules(&utc);
	rules.contact[CADENCE_HUMAN_CALL] = &morning;
	rules.human_hours = &evening;
	cadence_plan(hot(), start, &rules, p, CADENCE_STEPS_MAX);
	is_int(p[1].due, ZONE_NEVER, "hours that never meet: never");
	is_int(p[2].due, start + 24 * ZONE_HOUR, "the steps after it are planned all the same");
	is_int(cadence_plan(hot(), start, &rules, p, 4), -1, "no room for five");
	is_int(cadence_plan(hot(), ZONE_LAST + 1, &rules, p, 5), -1, "no start after the year 9999");
	is_int(cadence_plan(hot(), ZONE_LAST, &rules, p, 5), 5, "at its end");
	ok(p[0].due == ZONE_LAST && p[4].due == ZONE_NEVER, "what would be beyond it is never");
	is_int(cadence_allowed(&rules, 1u << CADENCE_EMAIL, INT64_MAX, NULL), ZONE_NEVER,
		   "nothing is allowed at never");
}

/* Both calendars open, at last, further away than anybody looks. */
static void
horizon(void)
{
	struct hours_day day = {1, {{HM(9, 0), HM(10, 0)}}};
	struct hours_holiday first[] = {{zone_day(2027, 6, 20), day}, {zone_day(2028, 5, 1), day}};
	struct hours_holiday second[] = {{zone_day(2027, 6, 10), day}, {zone_day(2028, 5, 1), day}};
	struct hours_calendar contact = {.holidays = first, .holiday_count = 2};
	struct hours_calendar office = {.holidays = second, .holiday_count = 2};
	struct cadence_rules rules = free_rules(&utc);
	uint32_t moved = 0;

	rules.contact[CADENCE_HUMAN_CALL] = &contact;
	rules.human_hours = &office;
	is_int(cadence_allowed(&rules, 1u << CADENCE_HUMAN_CALL, stamp(2027, 6, 15, 0, 0), &moved),
		   stamp(2028, 5, 1, 9, 0), "a common hour in 321 days is found");
	is_int(moved, CADENCE_MOVED_BY_QUIET_HOURS | CADENCE_MOVED_BY_HUMAN_HOURS, "moved by both");
	is_int(cadence_allowed(&rules, 1u << CADENCE_HUMAN_CALL, stamp(2026, 6, 1, 0, 0), NULL),
		   ZONE_NEVER, "one in 700 days is not, though each step on the way is short enough");
}

static void
checks(void)
{
	struct cadence_sequence s = *hot();
	struct cadence_rules rules = free_rules(&utc);

	s.step[2].delay = 49;
	ok(!cadence_sequence_check(&s, &err), "steps out of order are refused");
	is_str(err.text, "step 4 would come before step 3", "and named");
	s = *hot();
	s.step[4].channels = 1u << CADENCE_CHANNELS;
	ok(!cadence_sequence_check(&s, &err), "so is an unknown channel");
	s.step[4].channels = 0;
	ok(!cadence_sequence_check(&s, &err), "or none");
	s = *hot();
	s.step[0].delay = -1;
	ok(!cadence_sequence_check(&s, &err), "a negative delay");
	s = *hot();
	s.step[4].delay = CADENCE_DELAY_DAYS_MAX + 1;
	ok(!cadence_sequence_check(&s, &err), "one of more than ten years");
	s = *hot();
	s.step[4].unit = (enum cadence_unit) 7;
	ok(!cadence_sequence_check(&s, &err), "an unknown unit");
	s = *hot();
	memset(s.step[1].purpose, 'x', CADENCE_PURPOSE_SIZE);
	ok(!cadence_sequence_check(&s, &err), "a purpose without end");
	s.step[1].purpose[0] = '\0';
	ok(!cadence_sequence_check(&s, &err), "or without beginning");
	s.count = CADENCE_STEPS_MAX + 1;
	ok(!cadence_sequence_check(&s, &err), "too many steps");
	s.count = 0;
	ok(!cadence_sequence_check(&s, &err), "or none at all");
	ok(cadence_rules_check(&rules, &err), "rules without hours are valid");
	rules.minimum_gap = 0;
	ok(!cadence_rules_check(&rules, &err), "without a gap they are not");
	rules.minimum_gap = CADENCE_GAP_MAX + 1;
	ok(!cadence_rules_check(&rules, &err), "nor with one of a month");
	rules = free_rules(NULL);
	ok(!cadence_rules_check(&rules, &err), "nor without zones");
	for (int i = 0; i < CADENCE_CHANNELS; i++)
	{
		const char *name = cadence_channel_name((enum cadence_channel) i);

		is_int(cadence_channel_find(name, strlen(name)), i, "channel %s is found", name);
		is_int(cadence_channel_find(name, strlen(name) - 1), -1, "half of it is not");
	}
}

/* ---- re-planning: the tasks of one lead, and what the changes make of them ---- */

struct lead
{
	struct cadence_task task[TASKS_MAX + CADENCE_STEPS_MAX];
	int count;
};

/* Carries the changes out; returns how many were not CADENCE_KEEP. */
static int
apply(struct lead *lead, const struct cadence_sequence *sequence,
	  const struct cadence_change *changes, int count)
{
	int changed = 0;

	for (int i = 0; i < count; i++)
	{
		const struct cadence_change *c = &changes[i];

		changed += c->action != CADENCE_KEEP;
		if (c->action == CADENCE_ADD)
			lead->task[lead->count++] =
				(struct cadence_task){sequence->id, c->step, CADENCE_PENDING, c->due};
		else if (c->action == CADENCE_MOVE)
			lead->task[c->task].at = c->due;
		else if (c->action == CADENCE_CANCEL)
			lead->task[c->task].status = CADENCE_WITHDRAWN;
	}
	return changed;
}

static int
replan(struct lead *lead, const struct cadence_sequence *sequence, zone_instant start,
	   const struct cadence_rules *rules, zone_instant now)
{
	struct cadence_change changes[TASKS_MAX + 2 * CADENCE_STEPS_MAX];
	int count = cadence_replan(sequence, start, rules, lead->task, lead->count, now, changes,
							   lead->count + CADENCE_STEPS_MAX);

	if (count < 0)
		abort();
	return apply(lead, sequence, changes, count);
}

/* "hot1 hot2", the pending steps in the order of their times. */
static const char *
pending(const struct lead *lead)
{
	static char text[400];
	zone_instant after = INT64_MIN;

	text[0] = '\0';
	for (;;)
	{
		const struct cadence_task *next = NULL;
		size_t len = strlen(text);

		for (int i = 0; i < lead->count; i++)
		{
			const struct cadence_task *task = &lead->task[i];

			if (task->status == CADENCE_PENDING && task->at > after &&
				(next == NULL || task->at < next->at))
				next = task;
		}
		if (next == NULL)
			return text;
		after = next->at;
		snprintf(text + len, sizeof(text) - len, "%s%s%d", len > 0 ? " " : "",
				 bant_temperature_name((enum bant_temperature) next->sequence), next->step);
	}
}

/* Marks as done what is due by `until`. */
static void
work_until(struct lead *lead, zone_instant until)
{
	for (int i = 0; i < lead->count; i++)
	{
		if (lead->task[i].status == CADENCE_PENDING && lead->task[i].at <= until)
			lead->task[i].status = CADENCE_DONE;
	}
}

static void
warmer_and_back(void)
{
	struct cadence_rules rules = free_rules(&berlin);
	zone_instant start = in_zone(&berlin, 2026, 6, 1, 10, 0);
	zone_instant change = start + 30 * ZONE_HOUR;
	zone_instant back = change + 50 * ZONE_HOUR;
	zone_instant again = back + 10 * ZONE_HOUR;
	struct lead lead = {0};

	is_int(replan(&lead, warm(), start, &rules, start), 5, "a new warm lead gets five steps");
	is_str(pending(&lead), "warm1 warm2 warm3 warm4 warm5", "the warm ones");
	is_int(replan(&lead, warm(), start, &rules, start), 0, "planning again changes nothing");
	work_until(&lead, change);
	is_int(replan(&lead, warm(), start, &rules, change), 0, "nor when some are done");
	is_int(replan(&lead, hot(), change, &rules, change), 8, "when it gets hot, 3 go and 5 come");
	is_str(pending(&lead), "hot1 hot2 hot3 hot4 hot5", "the hot ones");
	is_int(lead.task[lead.count - 5].at, change, "the first at once");
	work_until(&lead, back);
	is_str(pending(&lead), "hot5", "two days later one is left");
	is_int(replan(&lead, warm(), back, &rules, back), 4, "warm again: one goes, three come");
	is_str(pending(&lead), "warm3 warm4 warm5", "what was done is not repeated");
	is_int(lead.task[lead.count - 3].at, in_zone(&berlin, 2026, 6, 7, 18, 0),
		   "and counts from the change");
	is_int(replan(&lead, hot(), again, &rules, again), 4, "hot again: three go, one comes");
	is_str(pending(&lead), "hot5", "only the last attempt is left");
	is_int(replan(&lead, NULL, again, &rules, again), 1, "no sequence: the rest goes");
	is_str(pending(&lead), "", "nothing is left");
	is_int(replan(&lead, NULL, again, &rules, again), 0, "and doing so again changes nothing");
}

static void
around_what_happened(void)
{
	struct hours_calendar contact = daily(HM(8, 0), HM(21, 0));
	struct cadence_rules rules = free_rules(&utc);
	zone_instant start = stamp(2026, 6, 1, 12, 0);
	struct cadence_sequence shorter = *warm();
	struct lead lead = {{{BANT_COLD, 1, CADENCE_DONE, start - 10 * ZONE_MINUTE}}, 1};

	replan(&lead, hot(), start, &rules, start);
	is_int(lead.task[1].at, start + 50 * ZONE_MINUTE, "the gap counts from other sequences too");
	lead = (struct lead){{{BANT_HOT, 1, CADENCE_PENDING, start}}, 1};
	replan(&lead, hot(), start, &rules, start + ZONE_MINUTE);
	is_int(lead.task[0].at, start, "a step whose time has come is left alone");
	is_int(lead.task[1].at, start + ZONE_HOUR, "the others are planned after it");
	lead = (struct lead){
		{{BANT_HOT, 3, CADENCE_DONE, start}, {BANT_HOT, 1, CADENCE_PENDING, start}}, 2};
	replan(&lead, hot(), start, &rules, start + ZONE_DAY);
	is_str(pending(&lead), "hot4 hot5", "what a later step has overtaken is not made up for");
	lead = (struct lead){
		{{BANT_HOT, 3, CADENCE_PENDING, start}, {BANT_HOT, 2, CADENCE_PENDING, start + ZONE_DAY}},
		2};
	replan(&lead, hot(), start, &rules, start);
	is_str(pending(&lead), "hot3 hot4 hot5", "nor what one that is about to happen overtakes");
	lead = (struct lead){{{BANT_HOT, 4, CADENCE_PENDING, start + 5 * ZONE_DAY},
						  {BANT_HOT, 4, CADENCE_PENDING, start + 5 * ZONE_DAY},
						  {BANT_HOT, 9, CADENCE_PENDING, start + 5 * ZONE_DAY},
						  {BANT_HOT, INT32_MIN, CADENCE_PENDING, start + 5 * ZONE_DAY}},
						 4};
	replan(&lead, hot(), start, &rules, start);
	is_str(pending(&lead), "hot1 hot2 hot3 hot4 hot5", "doubled and unknown steps go");
	is_int(lead.task[0].at, start + 2 * ZONE_DAY, "a step at the wrong time is moved");
	lead.count = 0;
	replan(&lead, warm(), start, &rules, start);
	shorter.count = 3;
	is_int(replan(&lead, &shorter, start, &rules, start), 2, "a shorter sequence drops its end");
	rules.contact[CADENCE_AI_CALL] = &contact;
	is_int(replan(&lead, &shorter, start + 10 * ZONE_HOUR, &rules, start + 10 * ZONE_HOUR), 2,
		   "another start and quiet hours move the two that are to come");
	is_int(lead.task[1].at, stamp(2026, 6, 3, 8, 0), "into the morning");
	lead.count = 0;
	replan(&lead, warm(), start, &rules, start + 4 * ZONE_DAY);
	ok(lead.task[0].at == start + 4 * ZONE_DAY && lead.task[1].at == lead.task[0].at + ZONE_HOUR &&
		   lead.task[3].at == start + 7 * ZONE_DAY,
	   "a plan that comes late begins now, with the gaps, and meets the old one");
}

/* A pending step that is allowed no more is cancelled, and the others stand. */
static void
no_longer_allowed(void)
{
	struct hours_calendar closed = {0};
	struct cadence_rules rules = free_rules(&utc);
	zone_instant start = stamp(2026, 6, 1, 12, 0);
	struct lead lead = {0};

	replan(&lead, hot(), start, &rules, start);
	rules.contact[CADENCE_HUMAN_CALL] = &closed;
	is_int(replan(&lead, hot(), start, &rules, start), 1, "what is allowed no more is cancelled");
	is_str(pending(&lead), "hot1 hot3 hot4 hot5", "the rest stands");
	is_int(replan(&lead, hot(), start, &rules, start), 0, "and it is not cancelled twice");
}

/* What is forbidden, spent or does not matter because the lead is in touch. */
static void
history_counts(void)
{
	struct cadence_rules rules = free_rules(&berlin);
	struct hours_calendar contact = {0};
	zone_instant noon = in_zone(&berlin, 2026, 6, 2, 12, 0);
	zone_instant night = in_zone(&berlin, 2026, 6, 2, 23, 0);
	zone_instant morning = in_zone(&berlin, 2026, 6, 3, 9, 0);
	struct hours_span touch = {night - ZONE_HOUR, night + ZONE_HOUR};
	struct hours_span spent[2] = {{noon, noon + 2 * ZONE_HOUR}, {noon + ZONE_HOUR, night}};
	struct cadence_task due = {BANT_HOT, 1, CADENCE_PENDING, noon};
	struct cadence_change changes[CADENCE_STEPS_MAX + 1];
	uint32_t sms = 1u << CADENCE_SMS;
	uint32_t call = 1u << CADENCE_AI_CALL;
	uint32_t moved = 0;

	hours_every_day(&contact, HM(9, 0), HM(20, 0), &err);
	rules.contact[CADENCE_SMS] = rules.contact[CADENCE_AI_CALL] = &contact;
	is_int(cadence_allowed(&rules, sms, night, NULL), morning, "at night there is no message");
	rules.touch = &touch;
	rules.touch_count = 1;
	is_int(cadence_allowed(&rules, sms, night, NULL), night, "but to who is in touch");
	is_int(cadence_allowed(&rules, sms, touch.to - 1, NULL), touch.to - 1, "as long as that lasts");
	is_int(cadence_allowed(&rules, sms, touch.to, NULL), morning, "and no longer");
	rules.touch_count = 0;
	rules.spent[CADENCE_SMS] = spent;
	rules.spent_count[CADENCE_SMS] = 2;
	is_int(cadence_allowed(&rules, sms, noon - 1, NULL), noon - 1, "before the limit is reached");
	is_int(cadence_allowed(&rules, sms, noon, &moved), morning, "two limits, and then the night");
	is_int(moved, CADENCE_MOVED_BY_LIMIT | CADENCE_MOVED_BY_QUIET_HOURS, "for both reasons");
	is_int(cadence_allowed(&rules, call, noon, NULL), noon, "each channel has its own");
	is_int(cadence_allowed(&rules, call | sms, noon, NULL), morning, "two of them wait together");
	rules.never = sms;
	is_int(cadence_allowed(&rules, call | sms, noon, NULL), noon,
		   "one that is forbidden is not waited for");
	is_int(cadence_allowed(&rules, sms, noon, NULL), ZONE_NEVER, "and alone is never");
	is_int(cadence_allowed(&rules, 0, noon, NULL), noon, "no channel at all is no obstacle");
	rules.never = 1u << CADENCE_WHATSAPP;
	is_int(cadence_replan(hot(), noon, &rules, &due, 1, noon + 1, changes, CADENCE_STEPS_MAX + 1),
		   5, "a plan without the first channel");
	ok(changes[0].action == CADENCE_CANCEL && changes[0].step == 1,
	   "a forbidden step that is due goes");
	ok(changes[1].action == CADENCE_ADD && changes[1].step == 2, "and the next one comes");
}

static void
refusals(void)
{
	struct cadence_rules rules = free_rules(&utc);
	struct cadence_task task = {BANT_HOT, 1, CADENCE_PENDING, ZONE_NEVER};
	struct cadence_change changes[CADENCE_STEPS_MAX + 1];
	zone_instant now = stamp(2026, 6, 1, 12, 0);

	is_int(cadence_replan(hot(), now, &rules, &task, 1, now, changes, CADENCE_STEPS_MAX + 1), -1,
		   "a task at never is refused");
	task.status = CADENCE_WITHDRAWN;
	is_int(cadence_replan(hot(), now, &rules, &task, 1, now, changes, CADENCE_STEPS_MAX + 1), 5,
		   "a withdrawn one does not matter");
	is_int(cadence_replan(hot(), now, &rules, &task, 1, now, changes, CADENCE_STEPS_MAX), -1,
		   "too little room is refused");
	is_int(cadence_replan(hot(), now, &rules, &task, 0, ZONE_NEVER, changes, CADENCE_STEPS_MAX), -1,
		   "never is not now");
	is_int(cadence_replan(hot(), INT64_MIN, &rules, &task, 0, now, changes, CADENCE_STEPS_MAX), -1,
		   "nor a start");
}

/* ---- properties ---- */

struct world
{
	struct hours_calendar contact[3];
	struct hours_calendar office;
	struct hours_holiday dates[3];
	struct hours_span touch[2];
	struct hours_span spent[3];
	struct cadence_rules rules;
	zone_instant start;
};

static void
random_hours(struct hours_calendar *calendar)
{
	for (int weekday = 0; weekday < 7; weekday++)
	{
		calendar->week[weekday].count = 0;
		if (tap_below(5) > 0)
			hours_add(&calendar->week[weekday], (int) tap_below(60) * 900,
					  (int) tap_below(96) * 900 + 7, &err);
	}
}

/* In touch until some time from now on, tried often enough at other times, and channels forbidden. */
static void
random_history(struct world *w)
{
	w->rules.touch = w->touch;
	w->rules.touch_count = (int) tap_below(3);
	for (int i = 0; i < w->rules.touch_count; i++)
	{
		w->touch[i].from = w->start - (int64_t) tap_below(90000) * ZONE_SECOND;
		w->touch[i].to = w->start + (int64_t) tap_below(200000) * ZONE_SECOND - ZONE_DAY;
	}
	for (int i = 0; i < 3; i++)
	{
		w->spent[i].from = w->start + (int64_t) tap_below(900000) * ZONE_SECOND - ZONE_DAY;
		w->spent[i].to = w->spent[i].from + (int64_t) tap_below(200000) * ZONE_SECOND;
	}
	for (int i = 0; i < CADENCE_INTERNAL; i++)
	{
		w->rules.spent[i] = w->spent;
		w->rules.spent_count[i] = tap_below(2) ? (int) tap_below(4) : 0;
	}
	w->rules.never = tap_below(3) ? 0 : (uint32_t) tap_below(1u << CADENCE_INTERNAL);
}

static void
random_world(struct world *w, size_t n)
{
	const struct zone_table *table;
	int64_t near;

	memset(w, 0, sizeof(*w));
	w->rules.lead_zone = zone_of(n);
	w->rules.tenant_zone = zone_of(tap_below(7));
	w->rules.minimum_gap = (int64_t) (1 + tap_below(tap_below(3) ? 7200 : 200000)) * ZONE_SECOND;
	table = w->rules.lead_zone->state;
	near = table->line[tap_below((size_t) table->count)].since;
	w->start =
		((near != 0 ? near : 1790000000) + (int64_t) tap_below(1200000) - 1000000) * ZONE_SECOND +
		(int64_t) tap_below(1000000);
	random_hours(&w->office);
	for (int i = 0; i < 3; i++)
	{
		random_hours(&w->contact[i]);
		w->dates[i].date = zone_local_day(w->start) + i * 2 + (int32_t) tap_below(2);
	}
	w->contact[0].holidays = w->office.holidays = w->dates;
	w->contact[0].holiday_count = w->office.holiday_count = 3;
	w->rules.human_hours = tap_below(4) ? &w->office : NULL;
	for (int i = 0; i < CADENCE_INTERNAL; i++)
		w->rules.contact[i] = tap_below(3) ? &w->contact[tap_below(3)] : NULL;
	random_history(w);
}

static bool
is_within(const struct hours_span *spans, int count, zone_instant at)
{
	for (int i = 0; i < count; i++)
	{
		if (at >= spans[i].from && at < spans[i].to)
			return true;
	}
	return false;
}

static bool
is_allowed(const struct cadence_rules *rules, uint32_t channels, zone_instant at)
{
	bool touch = is_within(rules->touch, rules->touch_count, at);

	if (channels != 0 && (channels & ~rules->never) == 0)
		return false;
	channels &= ~rules->never;
	for (int i = 0; i < CADENCE_CHANNELS; i++)
	{
		if ((channels & (1u << i)) == 0)
			continue;
		if (!touch && rules->contact[i] != NULL &&
			!hours_is_open(rules->contact[i], rules->lead_zone, at))
			return false;
		if (is_within(rules->spent[i], rules->spent_count[i], at))
			return false;
	}
	return (channels & (1u << CADENCE_HUMAN_CALL)) == 0 || rules->human_hours == NULL ||
		   hours_is_open(rules->human_hours, rules->tenant_zone, at);
}

/* No instant between the earliest that order allows and the planned one would have done. */
static void
check_earliest(const struct world *w, uint32_t channels, zone_instant from, zone_instant due)
{
	check_that(due >= from);
	check_that(due == from || !is_allowed(&w->rules, channels, from));
	check_that(due == from || !is_allowed(&w->rules, channels, due - 1));
	for (int k = 0; k < 10 && due > from; k++)
		check_that(!is_allowed(&w->rules, channels,
							   from + (int64_t) (tap_random() % (uint64_t) (due - from))));
}

static void
plan_properties(void)
{
	int at_once = 0;
	int moved = 0;

	for (size_t n = 0; n < 1500; n++)
	{
		const struct cadence_sequence *sequence = cadence_default((enum bant_temperature)(n % 3));
		struct cadence_planned p[CADENCE_STEPS_MAX];
		struct world w;
		zone_instant floor;

		random_world(&w, n / 3);
		floor = w.start;
		check_that(cadence_plan(sequence, w.start, &w.rules, p, CADENCE_STEPS_MAX) == 5);
		for (int i = 0; i < 5; i++)
		{
			uint32_t channels = sequence->step[i].channels;

			if (p[i].due == ZONE_NEVER)
				continue;
			check_that(is_allowed(&w.rules, channels, p[i].due));
			check_that(cadence_allowed(&w.rules, channels, p[i].due, NULL) == p[i].due);
			check_earliest(&w, channels, p[i].nominal > floor ? p[i].nominal : floor, p[i].due);
			check_that((p[i].due == p[i].nominal) == (p[i].moved == 0));
			moved += p[i].moved != 0;
			floor = p[i].due + w.rules.minimum_gap;
		}
		if (is_allowed(&w.rules, sequence->step[0].channels, w.start))
		{
			check_that(p[0].due == w.start);
			at_once++;
		}
	}
	checked("plans are ordered, apart, never in quiet hours, and as early as that allows");
	ok(at_once > 300 && moved > 1000, "%d began at once, %d steps were moved", at_once, moved);
}

/* Pending tasks that are yet to come: ordered by step, apart from each other, allowed. */
static void
check_lead(const struct lead *lead, const struct cadence_sequence *sequence,
		   const struct cadence_rules *rules, zone_instant now)
{
	zone_instant done_at = ZONE_FIRST;

	for (int i = 0; i < lead->count; i++)
	{
		if (lead->task[i].status == CADENCE_DONE && lead->task[i].at > done_at)
			done_at = lead->task[i].at;
	}
	for (int i = 0; i < lead->count; i++)
	{
		const struct cadence_task *a = &lead->task[i];

		if (a->status != CADENCE_PENDING)
			continue;
		check_that((sequence->step[a->step - 1].channels & ~rules->never) != 0);
		if (a->at <= now)
			continue;
		check_that(a->sequence == sequence->id && a->step <= sequence->count);
		check_that(is_allowed(rules, sequence->step[a->step - 1].channels, a->at));
		check_that(a->at >= done_at + rules->minimum_gap);
		for (int k = 0; k < lead->count; k++)
		{
			const struct cadence_task *b = &lead->task[k];

			if (k == i || b->status == CADENCE_WITHDRAWN || b->sequence != a->sequence)
				continue;
			check_that(b->step != a->step);
			check_that(b->status != CADENCE_PENDING || (a->step < b->step) == (a->at < b->at));
			check_that(b->status != CADENCE_PENDING || a->at < b->at ||
					   a->at - b->at >= rules->minimum_gap);
		}
	}
}

/* Drops withdrawn tasks, so that the list does not grow. */
static void
compact(struct lead *lead)
{
	int kept = 0;

	for (int i = 0; i < lead->count; i++)
	{
		if (lead->task[i].status != CADENCE_WITHDRAWN)
			lead->task[kept++] = lead->task[i];
	}
	lead->count = kept;
}

static int
times_done(const struct lead *lead, int32_t sequence, int step)
{
	int times = 0;

	for (int i = 0; i < lead->count; i++)
		times += lead->task[i].status == CADENCE_DONE && lead->task[i].sequence == sequence &&
				 lead->task[i].step == step;
	return times;
}

/* A lead whose temperature and rules change again and again while its steps happen, late. */
static void
replan_properties(void)
{
	int changed = 0;

	for (size_t n = 0; n < 300; n++)
	{
		struct lead lead = {0};
		struct world w;
		zone_instant now;
		zone_instant start;
		size_t temperature = tap_below(3);

		random_world(&w, n);
		now = start = w.start;
		for (int turn = 0; turn < 12; turn++)
		{
			const struct cadence_sequence *sequence =
				cadence_default((enum bant_temperature) temperature);

			changed += replan(&lead, sequence, start, &w.rules, now) > 0;
			check_lead(&lead, sequence, &w.rules, now);
			check_that(replan(&lead, sequence, start, &w.rules, now) == 0);
			compact(&lead);
			check_that(replan(&lead, sequence, start, &w.rules, now) == 0);
			now += (int64_t) tap_below(300000) * ZONE_SECOND;
			if (tap_below(4) > 0)
				work_until(&lead, now - (int64_t) tap_below(7200) * ZONE_SECOND);
			if (tap_below(3) == 0)
			{
				temperature = tap_below(3);
				start = now;
			}
			if (tap_below(5) == 0)
				random_hours(&w.contact[tap_below(3)]);
			if (tap_below(5) == 0)
				w.rules.never = (uint32_t) tap_below(1u << CADENCE_INTERNAL);
		}
		for (int32_t s = 0; s < 3; s++)
		{
			for (int step = 1; step <= 5; step++)
				check_that(times_done(&lead, s, step) <= 1);
		}
	}
	checked("re-planning is idempotent, keeps order, gap and quiet hours, repeats no step");
	ok(changed > 500, "%d times there was something to change", changed);
}

/* A plan, taken as the lead's tasks, is left as it is at its start and at any time after it. */
static void
plan_of_a_plan(void)
{
	for (size_t n = 0; n < 500; n++)
	{
		const struct cadence_sequence *sequence = cadence_default((enum bant_temperature)(n % 3));
		struct cadence_planned p[CADENCE_STEPS_MAX];
		struct lead lead = {0};
		struct world w;

		random_world(&w, n / 3);
		cadence_plan(sequence, w.start, &w.rules, p, CADENCE_STEPS_MAX);
		for (int i = 0; i < 5; i++)
		{
			if (p[i].due != ZONE_NEVER)
				lead.task[lead.count++] =
					(struct cadence_task){sequence->id, p[i].step, CADENCE_PENDING, p[i].due};
		}
		check_that(replan(&lead, sequence, w.start, &w.rules, w.start) == 0);
		for (int k = 0; k < 4; k++)
		{
			zone_instant now = w.start + (int64_t) tap_below(2000000) * ZONE_SECOND;

			work_until(&lead, now - 1);
			check_that(replan(&lead, sequence, w.start, &w.rules, now) == 0);
		}
	}
	checked("the plan of a plan is the same, also while it is being carried out");
}

int
main(void)
{
	plan(0);
	fifteen_steps();
	elapsed_and_calendar();
	quiet_hours();
	gaps_and_never();
	horizon();
	checks();
	warmer_and_back();
	around_what_happened();
	no_longer_allowed();
	history_counts();
	refusals();
	plan_properties();
	replan_properties();
	plan_of_a_plan();
	return done();
}
