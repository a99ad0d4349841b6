/*
 * lead_stage.c: the lifecycle in SQL: core/lead_stage as functions and as the trigger that lets
 * leads.status change only along its steps.
 *
 * A step has a name, a reason and an author. They are columns beside the status (status_event,
 * status_reason, status_by), so that whoever writes the status in plain SQL can give them too. A
 * value that is not the last step's is taken as given with this one. That is unambiguous for the event,
 * for no event can follow itself; a reason given in the same words as the one before counts only
 * together with its event, as va_lead_advance gives it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "core/lead_stage.h"
#include "pg/errcodes.h"

PG_FUNCTION_INFO_V1(va_lead_step);
PG_FUNCTION_INFO_V1(va_lead_step_actions);
PG_FUNCTION_INFO_V1(va_lead_stage_trigger);

#define MERGE_EVENT "merge" /* only va_lead_merge: takes over the stage of the other lead */

/* core's text is "what is wrong; from here it can: the legal steps". */
static __attribute__((noreturn)) void
refuse(const struct va_error *err, enum lead_stage from)
{
	char *message = pstrdup(err->text);
	char *legal = strstr(message, "; ");

	if (legal != NULL)
	{
		*legal = '\0';
		legal += 2;
		legal[0] = pg_toupper((unsigned char) legal[0]);
	}
	ereport(ERROR,
			(errcode(ERRCODE_VA_STAGE), errmsg("%s", message),
			 errdetail("The lead's stage is %s.", lead_stage_name(from)),
			 legal != NULL ? errhint("%s.", legal)
						   : errhint("Use va_lead_advance, or set status_event and status_reason "
									 "together with status.")));
	pg_unreachable();
}

static enum lead_stage
stage_of(const char *name)
{
	int stage = lead_stage_find(name, strlen(name));

	if (stage < 0)
		ereport(ERROR, (errcode(ERRCODE_VA_STAGE), errmsg("unknown stage \"%s\"", name)));
	return (enum lead_stage) stage;
}

static enum lead_event
event_of(const char *name)
{
	int event = lead_event_find(name, strlen(name));

	if (event < 0)
		ereport(ERROR, (errcode(ERRCODE_VA_STAGE), errmsg("unknown event \"%s\"", name),
						errhint("Events are qualify, contact, schedule, unschedule, win, lose, "
								"reopen, archive and wake.")));
	return (enum lead_event) event;
}

/* The step of that event; to may be empty. */
static const struct lead_transition *
step_by_event(enum lead_stage from, const char *event, const char *to, const char *reason)
{
	struct va_error err;
	const struct lead_transition *step =
		lead_stage_step(from, event_of(event), *to == '\0' ? -1 : (int) stage_of(to), reason, &err);

	if (step == NULL)
		refuse(&err, from);
	return step;
}

/* va_lead_step(from, event, to, reason text) RETURNS text: the stage that the event leads to, or an
 * error of SQLSTATE VA023. to and reason may be empty. */
Datum
va_lead_step(PG_FUNCTION_ARGS)
{
	const struct lead_transition *step = step_by_event(
		stage_of(text_to_cstring(PG_GETARG_TEXT_PP(0))), text_to_cstring(PG_GETARG_TEXT_PP(1)),
		text_to_cstring(PG_GETARG_TEXT_PP(2)), text_to_cstring(PG_GETARG_TEXT_PP(3)));

	PG_RETURN_TEXT_P(cstring_to_text(lead_stage_name(step->to)));
}

/* va_lead_step_actions(from, event, to, temperature text) RETURNS text[]: the work of a legal step;
 * an unknown temperature counts as cold. */
Datum
va_lead_step_actions(PG_FUNCTION_ARGS)
{
	char *temperature = text_to_cstring(PG_GETARG_TEXT_PP(3));
	int found = bant_temperature_find(temperature, strlen(temperature));
	const struct lead_transition *step = step_by_event(
		stage_of(text_to_cstring(PG_GETARG_TEXT_PP(0))), text_to_cstring(PG_GETARG_TEXT_PP(1)),
		text_to_cstring(PG_GETARG_TEXT_PP(2)), "-");
	uint32_t actions =
		lead_stage_actions(step, found < 0 ? BANT_COLD : (enum bant_temperature) found);
	Datum names[LEAD_ACTIONS];
	int count = 0;
	int i;

	for (i = 0; i < LEAD_ACTIONS; i++)
	{
		if ((actions & (1u << i)) != 0)
			names[count++] = CStringGetTextDatum(lead_action_name(i));
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(names, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/* ---- the trigger -------------------------------------------------------------------------------- */

struct row
{
	HeapTuple tuple;
	TupleDesc desc;
};

/* A column as text; NULL for NULL. */
static char *
text_of(struct row row, const char *name)
{
	int column = SPI_fnumber(row.desc, name);

	if (column <= 0)
		elog(ERROR, "leads has no column \"%s\"", name);
	return SPI_getvalue(row.tuple, row.desc, column);
}

/* The new row's value where it is not the old one's; else NULL. */
static char *
given(struct row old, struct row new, const char *name)
{
	char *before = text_of(old, name);
	char *after = text_of(new, name);

	return after == NULL || (before != NULL && strcmp(before, after) == 0) ? NULL : after;
}

/* The name of the step from one row to the other; an error when there is none. */
static const char *
step_name(Relation leads, struct row old, struct row new, enum lead_stage from, enum lead_stage to,
		  const char **reason)
{
	const char *event = given(old, new, "status_event");
	const struct lead_transition *step;
	struct va_error err;

	if (event != NULL)
	{
		*reason = text_of(new, "status_reason");
		if (strcmp(event, MERGE_EVENT) == 0 &&
			(GetUserId() == leads->rd_rel->relowner || superuser()))
			return event;
		(void) step_by_event(from, event, lead_stage_name(to), *reason == NULL ? "" : *reason);
		return event;
	}
	*reason = given(old, new, "status_reason");
	step = lead_stage_between(from, to, &err);
	if (step == NULL || lead_stage_step(from, step->event, to, *reason, &err) == NULL)
		refuse(&err, from);
	return lead_event_name(step->event);
}

static HeapTuple
note_step(struct row old, struct row new, const char *event, const char *reason)
{
	static const char *const names[] = {"status_event", "status_reason", "status_by",
										"status_changed_at"};
	const char *by = given(old, new, "status_event") != NULL ? text_of(new, "status_by")
															 : given(old, new, "status_by");
	int columns[4];
	Datum values[4] = {0};
	bool nulls[4] = {false, reason == NULL, false, false};
	int i;

	for (i = 0; i < 4; i++)
		columns[i] = SPI_fnumber(new.desc, names[i]);
	if (by == NULL) /* whoever the session is, also inside a function of another's */
		by = GetUserNameFromId(GetOuterUserId(), false);
	values[0] = CStringGetTextDatum(event);
	if (reason != NULL)
		values[1] = CStringGetTextDatum(reason);
	values[2] = CStringGetTextDatum(by);
	values[3] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	return heap_modify_tuple_by_cols(new.tuple, new.desc, 4, columns, values, nulls);
}

/* BEFORE UPDATE ON leads FOR EACH ROW. A stage that is none stays, for the table's CHECK to refuse. */
Datum
va_lead_stage_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	struct row old;
	struct row new;
	char *before;
	char *after;
	const char *event;
	const char *reason;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		elog(ERROR, "va_lead_stage_trigger is a BEFORE UPDATE trigger for rows of leads");
	old.desc = new.desc = RelationGetDescr(trigger->tg_relation);
	old.tuple = trigger->tg_trigtuple;
	new.tuple = trigger->tg_newtuple;
	before = text_of(old, "status");
	after = text_of(new, "status");
	if (after == NULL)
		ereport(ERROR, (errcode(ERRCODE_VA_STAGE), errmsg("a lead cannot be without a stage")));
	if (before == NULL)
		before = "new";
	if (strcmp(before, after) == 0 || lead_stage_find(after, strlen(after)) < 0)
		return PointerGetDatum(new.tuple);
	event = step_name(trigger->tg_relation, old, new, stage_of(before), stage_of(after), &reason);
	return PointerGetDatum(note_step(old, new, event, reason));
}
