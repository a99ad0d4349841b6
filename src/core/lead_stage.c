/*
 * lead_stage.c: the table of steps, and how it is asked.
 *
 * Whatever is not in the table cannot happen. Adding a step is adding a row; the order of rows with
 * the same stage and event matters, as the first is what happens when nobody says where to.
 */
#include "core/lead_stage.h"

#include <string.h>

#include "core/buf.h"

#define QUALIFY_ACTIONS                                                                            \
	(LEAD_DO_RECORD_QUALIFICATION | LEAD_DO_CALCULATE_SCORE | LEAD_DO_ASSIGN_TEMPERATURE |         \
	 LEAD_DO_PLAN_FOLLOW_UPS)
#define CONTACT_ACTIONS                                                                            \
	(LEAD_DO_ASSIGN_HUMAN_AGENT | LEAD_DO_SEND_FOLLOW_UP_EMAIL | LEAD_DO_ADD_TO_NURTURE)
#define SCHEDULE_ACTIONS                                                                           \
	(LEAD_DO_CREATE_CALENDAR_EVENT | LEAD_DO_SEND_WHATSAPP_CONFIRMATION |                          \
	 LEAD_DO_SCHEDULE_REMINDERS | LEAD_DO_STOP_FOLLOW_UPS)
#define CLOSE_ACTIONS                                                                              \
	(LEAD_DO_COLLECT_FEEDBACK | LEAD_DO_DEFINE_NEXT_STEPS | LEAD_DO_UPDATE_DEAL_VALUE |            \
	 LEAD_DO_STOP_FOLLOW_UPS)
#define RETURN_ACTIONS                                                                             \
	(LEAD_DO_CALCULATE_SCORE | LEAD_DO_ASSIGN_TEMPERATURE | LEAD_DO_PLAN_FOLLOW_UPS)
#define DROP_ACTIONS (LEAD_DO_UPDATE_DEAL_VALUE | LEAD_DO_STOP_FOLLOW_UPS)

static const struct lead_transition transitions[] = {
	{LEAD_NEW, LEAD_QUALIFY, LEAD_QUALIFIED, QUALIFY_ACTIONS},
	{LEAD_NEW, LEAD_LOSE, LEAD_CLOSED_LOST, DROP_ACTIONS},
	{LEAD_NEW, LEAD_ARCHIVE, LEAD_ARCHIVED, LEAD_DO_STOP_FOLLOW_UPS},
	{LEAD_QUALIFIED, LEAD_CONTACT, LEAD_CONTACTED, CONTACT_ACTIONS},
	{LEAD_QUALIFIED, LEAD_LOSE, LEAD_CLOSED_LOST, DROP_ACTIONS},
	{LEAD_QUALIFIED, LEAD_ARCHIVE, LEAD_ARCHIVED, LEAD_DO_STOP_FOLLOW_UPS},
	{LEAD_CONTACTED, LEAD_SCHEDULE, LEAD_MEETING_SCHEDULED, SCHEDULE_ACTIONS},
	{LEAD_CONTACTED, LEAD_LOSE, LEAD_CLOSED_LOST, DROP_ACTIONS},
	{LEAD_CONTACTED, LEAD_ARCHIVE, LEAD_ARCHIVED, LEAD_DO_STOP_FOLLOW_UPS},
	{LEAD_MEETING_SCHEDULED, LEAD_UNSCHEDULE, LEAD_CONTACTED,
	 LEAD_DO_WITHDRAW_REMINDERS | LEAD_DO_PLAN_FOLLOW_UPS},
	{LEAD_MEETING_SCHEDULED, LEAD_WIN, LEAD_CLOSED_WON, CLOSE_ACTIONS},
	{LEAD_MEETING_SCHEDULED, LEAD_LOSE, LEAD_CLOSED_LOST,
	 CLOSE_ACTIONS | LEAD_DO_WITHDRAW_REMINDERS},
	{LEAD_CLOSED_LOST, LEAD_REOPEN, LEAD_CONTACTED, RETURN_ACTIONS},
	{LEAD_CLOSED_LOST, LEAD_REOPEN, LEAD_QUALIFIED, RETURN_ACTIONS},
	{LEAD_ARCHIVED, LEAD_WAKE, LEAD_CONTACTED, RETURN_ACTIONS},
	{LEAD_ARCHIVED, LEAD_WAKE, LEAD_QUALIFIED, RETURN_ACTIONS},
	{LEAD_ARCHIVED, LEAD_WAKE, LEAD_NEW, 0},
};

#define TRANSITIONS (sizeof(transitions) / sizeof(transitions[0]))

static const char *const stages[LEAD_STAGES] = {
	[LEAD_NEW] = "new",
	[LEAD_QUALIFIED] = "qualified",
	[LEAD_CONTACTED] = "contacted",
	[LEAD_MEETING_SCHEDULED] = "meeting_scheduled",
	[LEAD_CLOSED_WON] = "closed_won",
	[LEAD_CLOSED_LOST] = "closed_lost",
	[LEAD_ARCHIVED] = "archived",
};

static const struct
{
	const char *name;
	uint32_t needs;
} events[LEAD_EVENTS] = {
	[LEAD_QUALIFY] = {"qualify", 0},
	[LEAD_CONTACT] = {"contact", 0},
	[LEAD_SCHEDULE] = {"schedule", 0},
	[LEAD_UNSCHEDULE] = {"unschedule", 0},
	[LEAD_WIN] = {"win", 0},
	[LEAD_LOSE] = {"lose", LEAD_NEEDS_REASON},
	[LEAD_REOPEN] = {"reopen", LEAD_NEEDS_REASON | LEAD_NEEDS_BY_NAME},
	[LEAD_ARCHIVE] = {"archive", 0},
	[LEAD_WAKE] = {"wake", LEAD_NEEDS_BY_NAME},
};

static const char *const actions[LEAD_ACTIONS] = {
	"record_qualification",	 "calculate_score",
	"assign_temperature",	 "assign_human_agent",
	"send_follow_up_email",	 "add_to_nurture",
	"create_calendar_event", "send_whatsapp_confirmation",
	"schedule_reminders",	 "collect_feedback",
	"define_next_steps",	 "update_deal_value",
	"plan_follow_ups",		 "stop_follow_ups",
	"withdraw_reminders",
};

const char *
lead_stage_name(enum lead_stage stage)
{
	return stages[stage];
}

const char *
lead_event_name(enum lead_event event)
{
	return events[event].name;
}

const char *
lead_action_name(int number)
{
	return actions[number];
}

int
lead_stage_find(const char *name, size_t len)
{
	for (int i = 0; i < LEAD_STAGES; i++)
	{
		if (strlen(stages[i]) == len && memcmp(stages[i], name, len) == 0)
			return i;
	}
	return -1;
}

int
lead_event_find(const char *name, size_t len)
{
	for (int i = 0; i < LEAD_EVENTS; i++)
	{
		if (strlen(events[i].name) == len && memcmp(events[i].name, name, len) == 0)
			return i;
	}
	return -1;
}

bool
lead_stage_is_open(enum lead_stage stage)
{
	return stage <= LEAD_MEETING_SCHEDULED;
}

uint32_t
lead_event_needs(enum lead_event event)
{
	return events[event].needs;
}

/* "contact to qualified" for each legal step; the stage is only worth its space where the event
 * does not say it. */
static void
list_steps(enum lead_stage from, struct buf *b)
{
	size_t start = b->len;

	for (size_t i = 0; i < TRANSITIONS; i++)
	{
		const struct lead_transition *t = &transitions[i];

		if (t->from != from)
			continue;
		buf_printf(b, "%s%s to %s", b->len == start ? "" : ", ", events[t->event].name,
				   stages[t->to]);
	}
	if (b->len == start)
		buf_str(b, "nothing");
}

static const struct lead_transition *
refuse(enum lead_stage from, struct buf *b, struct va_error *err)
{
	buf_printf(b, "; from %s it can: ", stages[from]);
	list_steps(from, b);
	va_fail(err, "%s", b->data);
	return NULL;
}

static bool
is_blank(const char *text)
{
	return text == NULL || text[strspn(text, " \t\r\n")] == '\0';
}

const struct lead_transition *
lead_stage_step(enum lead_stage from, enum lead_event event, int to, const char *reason,
				struct va_error *err)
{
	char text[VA_ERROR_SIZE];
	struct buf b;

	for (size_t i = 0; i < TRANSITIONS; i++)
	{
		const struct lead_transition *t = &transitions[i];

		if (t->from != from || t->event != event || (to >= 0 && (int) t->to != to))
			continue;
		if ((events[event].needs & LEAD_NEEDS_REASON) != 0 && is_blank(reason))
		{
			va_fail(err, "to %s a lead needs a reason", events[event].name);
			return NULL;
		}
		return t;
	}
	buf_init(&b, text, sizeof(text));
	buf_printf(&b, "a lead cannot %s", events[event].name);
	if (to >= 0 && to < LEAD_STAGES)
		buf_printf(&b, " to %s", stages[to]);
	return refuse(from, &b, err);
}

const struct lead_transition *
lead_stage_between(enum lead_stage from, enum lead_stage to, struct va_error *err)
{
	char text[VA_ERROR_SIZE];
	struct buf b;

	for (size_t i = 0; i < TRANSITIONS; i++)
	{
		const struct lead_transition *t = &transitions[i];

		if (t->from != from || t->to != to)
			continue;
		if ((events[t->event].needs & LEAD_NEEDS_BY_NAME) != 0)
		{
			va_fail(err, "from %s to %s a lead goes by \"%s\" only", stages[from], stages[to],
					events[t->event].name);
			return NULL;
		}
		return t;
	}
	buf_init(&b, text, sizeof(text));
	buf_printf(&b, "a lead cannot go to %s", stages[to]);
	return refuse(from, &b, err);
}

uint32_t
lead_stage_actions(const struct lead_transition *step, enum bant_temperature temperature)
{
	static const uint32_t only[BANT_TEMPERATURES] = {
		[BANT_COLD] = LEAD_DO_ADD_TO_NURTURE,
		[BANT_WARM] = LEAD_DO_SEND_FOLLOW_UP_EMAIL,
		[BANT_HOT] = LEAD_DO_ASSIGN_HUMAN_AGENT,
	};

	return (step->actions & ~(uint32_t) CONTACT_ACTIONS) |
		   (step->actions & CONTACT_ACTIONS & only[temperature]);
}
