/*
 * lead_stage_test.c: every stage with every event, the work of each step, and the way back from
 * closed.
 */
#include "core/lead_stage.h"

#include "tap.h"

struct step
{
	const char *from;
	const char *event;
	const char *to;
	const char *actions; /* for a lead that is hot */
};

/* What exists, written a second time and by name. Everything else must be refused. */
static const struct step steps[] = {
	{"new", "qualify", "qualified",
	 "record_qualification calculate_score assign_temperature plan_follow_ups"},
	{"new", "lose", "closed_lost", "update_deal_value stop_follow_ups"},
	{"new", "archive", "archived", "stop_follow_ups"},
	{"qualified", "contact", "contacted", "assign_human_agent"},
	{"qualified", "lose", "closed_lost", "update_deal_value stop_follow_ups"},
	{"qualified", "archive", "archived", "stop_follow_ups"},
	{"contacted", "schedule", "meeting_scheduled",
	 "create_calendar_event send_whatsapp_confirmation schedule_reminders stop_follow_ups"},
	{"contacted", "lose", "closed_lost", "update_deal_value stop_follow_ups"},
	{"contacted", "archive", "archived", "stop_follow_ups"},
	{"meeting_scheduled", "unschedule", "contacted", "plan_follow_ups withdraw_reminders"},
	{"meeting_scheduled", "win", "closed_won",
	 "collect_feedback define_next_steps update_deal_value stop_follow_ups"},
	{"meeting_scheduled", "lose", "closed_lost",
	 "collect_feedback define_next_steps update_deal_value stop_follow_ups withdraw_reminders"},
	{"closed_lost", "reopen", "contacted", "calculate_score assign_temperature plan_follow_ups"},
	{"closed_lost", "reopen", "qualified", "calculate_score assign_temperature plan_follow_ups"},
	{"archived", "wake", "contacted", "calculate_score assign_temperature plan_follow_ups"},
	{"archived", "wake", "qualified", "calculate_score assign_temperature plan_follow_ups"},
	{"archived", "wake", "new", ""},
};

#define STEPS (sizeof(steps) / sizeof(steps[0]))

/* The first line of that stage and event, for the wanted stage or for any (NULL). */
static const struct step *
expected(const char *from, const char *event, const char *to)
{
	for (size_t i = 0; i < STEPS; i++)
	{
		if (strcmp(steps[i].from, from) == 0 && (event == NULL || !strcmp(steps[i].event, event)) &&
			(to == NULL || strcmp(steps[i].to, to) == 0))
			return &steps[i];
	}
	return NULL;
}

static void
name_actions(uint32_t actions, char *text, size_t size)
{
	text[0] = '\0';
	for (int i = 0; i < LEAD_ACTIONS; i++)
	{
		size_t len = strlen(text);

		if ((actions & (1u << i)) != 0)
			snprintf(text + len, size - len, "%s%s", len > 0 ? " " : "", lead_action_name(i));
	}
}

static void
check_step(const struct lead_transition *got, const struct step *wanted, const char *what)
{
	char actions[VA_ERROR_SIZE * 2];

	name_actions(lead_stage_actions(got, BANT_HOT), actions, sizeof(actions));
	ok(strcmp(lead_stage_name(got->to), wanted->to) == 0 && strcmp(actions, wanted->actions) == 0,
	   "%s: to %s, and does: %s", what, lead_stage_name(got->to), actions);
}

/* The refusal must name the stage and every step that is legal, uncut. */
static bool
lists_the_legal(const char *text, const char *from)
{
	bool any = false;

	if (strstr(text, from) == NULL || strlen(text) >= VA_ERROR_SIZE - 1)
		return false;
	for (size_t i = 0; i < STEPS; i++)
	{
		char step[64];

		if (strcmp(steps[i].from, from) != 0)
			continue;
		snprintf(step, sizeof(step), "%s to %s", steps[i].event, steps[i].to);
		if (strstr(text, step) == NULL)
			return false;
		any = true;
	}
	return any || strstr(text, "nothing") != NULL;
}

static void
every_stage_and_event(void)
{
	for (int s = 0; s < LEAD_STAGES; s++)
	{
		for (int e = 0; e < LEAD_EVENTS; e++)
		{
			const char *from = lead_stage_name((enum lead_stage) s);
			const char *event = lead_event_name((enum lead_event) e);

			for (int to = -1; to < LEAD_STAGES; to++)
			{
				const struct step *wanted =
					expected(from, event, to < 0 ? NULL : lead_stage_name((enum lead_stage) to));
				struct va_error err = {""};
				char what[100];
				const struct lead_transition *got = lead_stage_step(
					(enum lead_stage) s, (enum lead_event) e, to, "they said so", &err);

				snprintf(what, sizeof(what), "%s, %s to %s", from, event,
						 to < 0 ? "anywhere" : lead_stage_name((enum lead_stage) to));
				if (wanted == NULL)
					check_that(got == NULL && lists_the_legal(err.text, from));
				else if (check_that(got != NULL))
					check_step(got, wanted, what);
			}
		}
	}
	checked("every other stage, event and target is refused with the list of what is legal");
}

static void
every_pair_of_stages(void)
{
	int implied = 0;

	for (int from = 0; from < LEAD_STAGES; from++)
	{
		for (int to = 0; to < LEAD_STAGES; to++)
		{
			const char *from_name = lead_stage_name((enum lead_stage) from);
			const char *to_name = lead_stage_name((enum lead_stage) to);
			const struct step *wanted = expected(from_name, NULL, to_name);
			struct va_error err = {""};
			const struct lead_transition *got =
				lead_stage_between((enum lead_stage) from, (enum lead_stage) to, &err);

			if (wanted == NULL)
				check_that(got == NULL && lists_the_legal(err.text, from_name));
			else if (!strcmp(wanted->event, "reopen") || !strcmp(wanted->event, "wake"))
				check_that(got == NULL && strstr(err.text, wanted->event) != NULL);
			else
			{
				check_that(got != NULL && !strcmp(lead_event_name(got->event), wanted->event) &&
						   (int) got->from == from && (int) got->to == to);
				implied++;
			}
		}
	}
	checked("two stages imply the one step between them, and never reopen or wake");
	is_int(implied, 12, "twelve steps can be implied");
	for (size_t i = 0; i < STEPS; i++)
		check_that(expected(steps[i].from, NULL, steps[i].to) == &steps[i]);
	checked("no two steps share both stages");
}

/* Follows all steps from closed_lost with one event left out. */
static bool
can_leave(enum lead_stage stage, enum lead_event without)
{
	for (int event = 0; event < LEAD_EVENTS; event++)
	{
		struct va_error err;

		if (event != (int) without &&
			lead_stage_step(stage, (enum lead_event) event, -1, "why not", &err) != NULL)
			return true;
	}
	return false;
}

static void
closed_is_closed(void)
{
	ok(!can_leave(LEAD_CLOSED_LOST, LEAD_REOPEN), "nothing but reopen leads out of closed_lost");
	ok(can_leave(LEAD_CLOSED_LOST, LEAD_WIN), "reopen does");
	ok(!can_leave(LEAD_CLOSED_WON, LEAD_EVENTS), "nothing leads out of closed_won");
	ok(!can_leave(LEAD_ARCHIVED, LEAD_WAKE), "nothing but wake leads out of archived");
	for (int stage = 0; stage < LEAD_STAGES; stage++)
		is_int(lead_stage_is_open((enum lead_stage) stage), stage < LEAD_CLOSED_WON, "%s is %s",
			   lead_stage_name((enum lead_stage) stage),
			   stage < LEAD_CLOSED_WON ? "open" : "not open");
}

static void
reasons(void)
{
	struct va_error err = {""};

	ok(lead_stage_step(LEAD_NEW, LEAD_LOSE, -1, NULL, &err) == NULL, "losing needs a reason");
	is_str(err.text, "to lose a lead needs a reason", "and says so");
	ok(lead_stage_step(LEAD_NEW, LEAD_LOSE, -1, " \t\n", &err) == NULL, "a blank one is none");
	ok(lead_stage_step(LEAD_CLOSED_LOST, LEAD_REOPEN, -1, "", &err) == NULL,
	   "reopening needs one too");
	ok(lead_stage_step(LEAD_NEW, LEAD_QUALIFY, -1, NULL, &err) != NULL, "qualifying does not");
	err.text[0] = '\0';
	ok(lead_stage_step(LEAD_CLOSED_WON, LEAD_LOSE, -1, NULL, &err) == NULL &&
		   strstr(err.text, "nothing") != NULL,
	   "where there is no step, the missing reason is not the problem: %s", err.text);
	is_int(lead_event_needs(LEAD_LOSE), LEAD_NEEDS_REASON, "lose needs a reason only");
	is_int(lead_event_needs(LEAD_WAKE), LEAD_NEEDS_BY_NAME, "wake has to be asked for");
}

static void
actions_by_temperature(void)
{
	static const char *const wanted[] = {"add_to_nurture", "send_follow_up_email",
										 "assign_human_agent"};
	struct va_error err;
	const struct lead_transition *contact =
		lead_stage_step(LEAD_QUALIFIED, LEAD_CONTACT, -1, NULL, &err);
	const struct lead_transition *win =
		lead_stage_step(LEAD_MEETING_SCHEDULED, LEAD_WIN, -1, NULL, &err);
	char actions[200];

	for (int t = 0; t < BANT_TEMPERATURES; t++)
	{
		name_actions(lead_stage_actions(contact, (enum bant_temperature) t), actions,
					 sizeof(actions));
		is_str(actions, wanted[t], "contacting a %s lead",
			   bant_temperature_name((enum bant_temperature) t));
		is_int(lead_stage_actions(win, (enum bant_temperature) t), win->actions,
			   "other actions are for every temperature");
	}
	name_actions(contact->actions, actions, sizeof(actions));
	is_str(actions, "assign_human_agent send_follow_up_email add_to_nurture",
		   "the step itself has all three");
}

static void
names(void)
{
	for (int i = 0; i < LEAD_STAGES; i++)
	{
		const char *name = lead_stage_name((enum lead_stage) i);

		check_that(lead_stage_find(name, strlen(name)) == i);
		check_that(lead_stage_find(name, strlen(name) - 1) == -1);
	}
	for (int i = 0; i < LEAD_EVENTS; i++)
	{
		const char *name = lead_event_name((enum lead_event) i);

		check_that(lead_event_find(name, strlen(name)) == i);
		check_that(lead_event_find(name, strlen(name) - 1) == -1);
	}
	checked("stages and events are found by their whole names");
}

int
main(void)
{
	plan(0);
	every_stage_and_event();
	every_pair_of_stages();
	closed_is_closed();
	reasons();
	actions_by_temperature();
	names();
	return done();
}
