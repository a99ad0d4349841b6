/*
 * cadence.h: the follow-up sequences, and when each of their steps is due.
 *
 * A sequence is a list of steps, each with a delay from the start, channels and a purpose. A plan
 * gives every step an instant; when the lead's temperature or the rules change, cadence_replan says
 * what to do with the steps that have not happened. Both are pure functions of what they are given,
 * so planning twice changes nothing.
 *
 * When a step is due:
 * - A delay in hours is elapsed time: T+24h is 86400 seconds later, whatever the clocks do.
 * - A delay in days is calendar days on the lead's clock: T+3d is the same time of day three dates
 *   later, where the lead lives. (Who was called at 18:00 is reached at 18:00, and an e-mail of the
 *   tenth day does not wander when clocks change.) Skipped and doubled times as in zone.h.
 * - All delays count from the start, not from the step before: a step that had to wait for the
 *   morning does not push the whole sequence.
 * - A step that must not happen at its time moves forward, never back, to the first instant at
 *   which all its channels are allowed, and at least the minimum gap after the step before it and
 *   after the last step of any sequence that this lead has had. The order of steps is kept.
 * - A channel that may not be used at all does not count: a step goes by those that are left.
 * - A step without a channel left, or not allowed within HOURS_HORIZON_DAYS of its time, never
 *   happens; the others do.
 */
#ifndef VA_CORE_CADENCE_H
#define VA_CORE_CADENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bant.h"
#include "core/business_hours.h"
#include "core/error.h"
#include "core/zone.h"

#define CADENCE_STEPS_MAX 16
#define CADENCE_PURPOSE_SIZE 40
#define CADENCE_DELAY_DAYS_MAX 3650
#define CADENCE_GAP_DEFAULT ZONE_HOUR /* the shortest distance of two steps in the default data */
#define CADENCE_GAP_MAX (30 * ZONE_DAY)

enum cadence_channel
{
	CADENCE_WHATSAPP,
	CADENCE_SMS,
	CADENCE_EMAIL,
	CADENCE_AI_CALL,
	CADENCE_HUMAN_CALL,
	CADENCE_INTERNAL, /* reaches nobody outside: allowed at any time */
	CADENCE_CHANNELS
};

/* The channels that a person notices at once, and that quiet hours are for. An e-mail wakes nobody. */
#define CADENCE_DISTURBING                                                                         \
	((1u << CADENCE_WHATSAPP) | (1u << CADENCE_SMS) | (1u << CADENCE_AI_CALL) |                    \
	 (1u << CADENCE_HUMAN_CALL))

enum cadence_unit
{
	CADENCE_HOURS, /* elapsed */
	CADENCE_DAYS /* on the lead's calendar */
};

struct cadence_step
{
	int32_t delay; /* from the start, >= 0 */
	enum cadence_unit unit;
	uint32_t channels; /* bits 1u << CADENCE_...: one step, several messages */
	char purpose[CADENCE_PURPOSE_SIZE];
};

struct cadence_sequence
{
	int32_t id; /* the caller's; the default sequences use their temperature */
	int count;
	struct cadence_step step[CADENCE_STEPS_MAX];
};

/* What is allowed when. Calendars must have passed hours_check; NULL means at any time. */
struct cadence_rules
{
	const struct zone *lead_zone;
	const struct hours_calendar
		*contact[CADENCE_CHANNELS]; /* outside of it is quiet, lead's zone */
	const struct zone *tenant_zone;
	const struct hours_calendar *human_hours; /* when people make calls, tenant's zone */
	int64_t minimum_gap; /* microseconds, ZONE_SECOND .. CADENCE_GAP_MAX */
	/* While the lead is in touch with us an answer disturbs nobody: within these spans the hours of
	 * contact do not matter. In any order. */
	const struct hours_span *touch;
	int touch_count;
	/* Within these spans a channel has been tried as often as is allowed. In any order. */
	const struct hours_span *spent[CADENCE_CHANNELS];
	int spent_count[CADENCE_CHANNELS];
	uint32_t never; /* bits of channels that may not be used at all: forbidden, or no address */
};

/* Why a step is later than its delay says. */
#define CADENCE_MOVED_BY_QUIET_HOURS (1u << 0)
#define CADENCE_MOVED_BY_HUMAN_HOURS (1u << 1)
#define CADENCE_MOVED_BY_GAP (1u << 2)
#define CADENCE_MOVED_BY_NOW (1u << 3) /* its time had passed when it was planned */
#define CADENCE_MOVED_BY_LIMIT (1u << 4) /* tried often enough */

struct cadence_planned
{
	int step; /* 1.. */
	zone_instant nominal; /* by its delay alone */
	zone_instant due; /* ZONE_NEVER when it is never allowed */
	uint32_t moved;
};

/* A step as the database knows it. */
enum cadence_status
{
	CADENCE_PENDING,
	CADENCE_DONE, /* happened, is happening, failed for good or was skipped: not to be repeated */
	CADENCE_WITHDRAWN /* cancelled before it happened: may be planned again */
};

struct cadence_task
{
	int32_t sequence; /* cadence_sequence.id */
	int step; /* 1.. */
	enum cadence_status status;
	zone_instant at; /* pending: when it is due; done: when it happened */
};

enum cadence_action
{
	CADENCE_KEEP,
	CADENCE_MOVE, /* to `due` */
	CADENCE_CANCEL, /* of another sequence, of a step that is no more, doubled, or never allowed */
	CADENCE_ADD
};

struct cadence_change
{
	enum cadence_action action;
	int task; /* index of the pending task; -1 for CADENCE_ADD */
	int step; /* 1.. */
	zone_instant due;
	uint32_t moved;
};

/* "whatsapp", "sms", "email", "ai_call", "human_call", "internal". */
const char *cadence_channel_name(enum cadence_channel channel);
/* The channel of that name; -1 when there is none. */
int cadence_channel_find(const char *name, size_t len);

/*
 * The product's sequence for leads of this temperature: five steps. Where the product's list names
 * no channel, it is e-mail for content and an AI call for the last attempt to reach a hot lead; the
 * end of the cold sequence (archive or wake) is internal.
 */
const struct cadence_sequence *cadence_default(enum bant_temperature temperature);

/* 1..CADENCE_STEPS_MAX steps, delays within 0..CADENCE_DELAY_DAYS_MAX days and not falling (a day
 * counts as 24 h here), known channels, at least one each, a purpose each. */
bool cadence_sequence_check(const struct cadence_sequence *sequence, struct va_error *err);

/* Zones present, the gap within its bounds. Does not look into the calendars. */
bool cadence_rules_check(const struct cadence_rules *rules, struct va_error *err);

/*
 * The first instant, at or after `at`, at which all these channels are allowed, those left out that
 * never are; ZONE_NEVER when there is none within the horizon, or every one of the channels is never
 * allowed. *moved (may be NULL) gains the reasons. This is the one place that knows when somebody may
 * be contacted: planning asks it, and so does whoever is about to call or write.
 */
zone_instant cadence_allowed(const struct cadence_rules *rules, uint32_t channels, zone_instant at,
							 uint32_t *moved);

/*
 * Plans a whole sequence from `start`; the first step is due at `start` itself when allowed. Writes
 * sequence->count entries and returns that number; -1 when max is smaller or start is outside the
 * years 1 to 9999. Sequence and rules must have passed their checks.
 */
int cadence_plan(const struct cadence_sequence *sequence, zone_instant start,
				 const struct cadence_rules *rules, struct cadence_planned *planned, int max);

/*
 * What to change so that the lead's pending tasks are those of `sequence` begun at `start` (the
 * instant at which the lead got its present temperature). sequence NULL: no sequence at all, every
 * pending task is cancelled (opted out, booked, closed).
 *
 * - Done steps stay done and are not repeated, also when the lead comes back to a sequence. What
 *   stands before a step that is done is not made up for: it is not added, and cancelled if pending.
 * - A pending task of this sequence whose time has come (at <= now) is kept as it is, unless none of
 *   its channels may be used: it is about to happen, and counts as done for the steps before it that would happen later. Others are moved to
 *   where the plan puts them, if that is elsewhere.
 * - A step whose time has passed without a task is due now, or as soon as allowed.
 *
 * Every pending task gets exactly one change, and so does every step to add: at most task_count +
 * CADENCE_STEPS_MAX. Returns how many, -1 when max is too small or an instant is outside the years 1
 * to 9999. With the changes made, the same call answers CADENCE_KEEP for everything.
 */
int cadence_replan(const struct cadence_sequence *sequence, zone_instant start,
				   const struct cadence_rules *rules, const struct cadence_task *tasks,
				   int task_count, zone_instant now, struct cadence_change *changes, int max);

#endif
