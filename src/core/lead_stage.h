/*
 * lead_stage.h: the life of a lead, as a table of the steps that exist.
 *
 *         qualify            contact            schedule                    win
 *   new ----------> qualified -------> contacted -------> meeting_scheduled -----> closed_won
 *                                                <-------
 *                                               unschedule
 *
 *   lose:    from each of these but closed_won, to closed_lost
 *   reopen:  from closed_lost to contacted or qualified
 *   archive: from new, qualified and contacted, to archived
 *   wake:    from archived to contacted, qualified or new, wherever it was archived
 *
 * A lead moves one step at a time and every step has a name, because each brings its own work with
 * it (the actions). Closed is closed: a won deal stays, a lost lead comes back by `reopen` and no
 * other way; therefore a lost lead cannot be archived, or `wake` would be a second way back. The
 * way from meeting_scheduled to contacted is for a meeting that was cancelled or missed, since a
 * lead without a meeting must not stand there as if it had one.
 */
#ifndef VA_CORE_LEAD_STAGE_H
#define VA_CORE_LEAD_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bant.h"
#include "core/error.h"

enum lead_stage
{
	LEAD_NEW,
	LEAD_QUALIFIED,
	LEAD_CONTACTED,
	LEAD_MEETING_SCHEDULED,
	LEAD_CLOSED_WON,
	LEAD_CLOSED_LOST,
	LEAD_ARCHIVED,
	LEAD_STAGES
};

enum lead_event
{
	LEAD_QUALIFY,
	LEAD_CONTACT,
	LEAD_SCHEDULE,
	LEAD_UNSCHEDULE,
	LEAD_WIN,
	LEAD_LOSE,
	LEAD_REOPEN,
	LEAD_ARCHIVE,
	LEAD_WAKE,
	LEAD_EVENTS
};

/* The work that a step brings. The first twelve are the product's list of automated actions. */
#define LEAD_DO_RECORD_QUALIFICATION (1u << 0) /* the qualifying call or chat is complete */
#define LEAD_DO_CALCULATE_SCORE (1u << 1)
#define LEAD_DO_ASSIGN_TEMPERATURE (1u << 2)
#define LEAD_DO_ASSIGN_HUMAN_AGENT (1u << 3) /* hot leads */
#define LEAD_DO_SEND_FOLLOW_UP_EMAIL (1u << 4) /* warm leads */
#define LEAD_DO_ADD_TO_NURTURE (1u << 5) /* cold leads */
#define LEAD_DO_CREATE_CALENDAR_EVENT (1u << 6)
#define LEAD_DO_SEND_WHATSAPP_CONFIRMATION (1u << 7)
#define LEAD_DO_SCHEDULE_REMINDERS (1u << 8) /* 24 h and 1 h before */
#define LEAD_DO_COLLECT_FEEDBACK (1u << 9)
#define LEAD_DO_DEFINE_NEXT_STEPS (1u << 10)
#define LEAD_DO_UPDATE_DEAL_VALUE (1u << 11) /* in the CRM */
/* These keep the rest in step. */
#define LEAD_DO_PLAN_FOLLOW_UPS (1u << 12)
#define LEAD_DO_STOP_FOLLOW_UPS (1u << 13)
#define LEAD_DO_WITHDRAW_REMINDERS (1u << 14)
#define LEAD_ACTIONS 15

/* What an event asks of the caller. */
#define LEAD_NEEDS_REASON (1u << 0) /* a text that is not blank */
#define LEAD_NEEDS_BY_NAME (1u << 1) /* never implied by writing another stage into the row */

struct lead_transition
{
	enum lead_stage from;
	enum lead_event event;
	enum lead_stage to;
	uint32_t actions; /* for a lead of any temperature: see lead_stage_actions */
};

const char *lead_stage_name(enum lead_stage stage);
const char *lead_event_name(enum lead_event event);
/* The action of bit `number` (0 .. LEAD_ACTIONS - 1), "calculate_score" and so on. */
const char *lead_action_name(int number);
/* The stage or event of that name; -1 when there is none. */
int lead_stage_find(const char *name, size_t len);
int lead_event_find(const char *name, size_t len);

/* Every stage but closed_won, closed_lost and archived. */
bool lead_stage_is_open(enum lead_stage stage);

/* LEAD_NEEDS_... of an event. */
uint32_t lead_event_needs(enum lead_event event);

/*
 * One step. `to` is the wanted stage where an event may lead to several (reopen: contacted or
 * qualified; wake: the stage in which the lead was archived), or -1 for the first of them. reason
 * may be NULL where none is needed. NULL with *err filled when there is no such step from here (the
 * text lists the legal ones) or when the reason is wanting.
 */
const struct lead_transition *lead_stage_step(enum lead_stage from, enum lead_event event, int to,
											  const char *reason, struct va_error *err);

/*
 * The step between two different stages, for a caller who writes the new stage into the row: there
 * is at most one. NULL with *err filled when there is none, or when its event has to be asked for
 * by name.
 */
const struct lead_transition *lead_stage_between(enum lead_stage from, enum lead_stage to,
												 struct va_error *err);

/* The step's actions for a lead of this temperature: an agent is for hot leads, the e-mail for warm
 * ones, nurture for cold ones. */
uint32_t lead_stage_actions(const struct lead_transition *step, enum bant_temperature temperature);

#endif
