/*
 * lead_plan.c: planning follow-ups in SQL: core/cadence over jsonb.
 *
 * Sequences, hours and tasks live in tables; SQL gathers them into jsonb and applies what comes
 * back, so that these functions read nothing themselves and the whole of planning can be tried out
 * with a SELECT. Their arguments:
 *
 * steps  [{"delay": 24, "unit": "hours" or "days", "channels": ["email", "sms"], "purpose": "…"}, …]
 * rules  {"lead_zone": "Europe/Berlin", "tenant_zone": "UTC", "gap_s": 3600,
 *         "contact": [[open, close], …],        when a lead may be reached, each day, in its zone
 *         "hours": [[weekday, open, close], …], when people make calls, in the tenant's zone
 *         "holidays": [{"date": days since 1970, "hours": [[open, close], …]}, …]}
 *        Times are seconds since midnight, a close at or before the open is on the next date.
 * tasks  [{"mine": true, "step": 1, "status": "pending" or "done", "at": microseconds since 1970}, …]
 *        mine: of the sequence at hand. The results name a task by its place here, from 1.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "core/cadence.h"
#include "pg/errcodes.h"
#include "pg/zone_pg.h"

PG_FUNCTION_INFO_V1(va_cadence_check);
PG_FUNCTION_INFO_V1(va_cadence_replan);
PG_FUNCTION_INFO_V1(va_cadence_allowed);

#define TASKS_MAX 10000

struct rules
{
	struct cadence_rules rules;
	struct zone lead_zone;
	struct zone tenant_zone;
	struct hours_calendar contact;
	struct hours_calendar human;
};

static __attribute__((noreturn)) void
refuse(const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_VA_SEQUENCE), errmsg("invalid follow-up sequence: %s", what)));
	pg_unreachable();
}

/* ---- jsonb -------------------------------------------------------------------------------------- */

static JsonbContainer *
root_array(Jsonb *json)
{
	if (!JB_ROOT_IS_ARRAY(json) || JB_ROOT_IS_SCALAR(json))
		refuse("an array was expected");
	return &json->root;
}

static JsonbContainer *
container(JsonbValue *value, bool is_array)
{
	if (value == NULL || value->type != jbvBinary ||
		(is_array ? !JsonContainerIsArray(value->val.binary.data)
				  : !JsonContainerIsObject(value->val.binary.data)))
		refuse(is_array ? "an array was expected" : "an object was expected");
	return value->val.binary.data;
}

static JsonbValue *
member(JsonbContainer *object, const char *name)
{
	return getKeyJsonValueFromContainer(object, name, strlen(name), NULL);
}

static int64
number(JsonbValue *value, const char *name)
{
	double real;

	if (value == NULL || value->type != jbvNumeric)
		ereport(ERROR, (errcode(ERRCODE_VA_SEQUENCE),
						errmsg("invalid follow-up sequence: \"%s\" must be a number", name)));
	real = DatumGetFloat8(
		DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
	if (!(real >= -9e18 && real <= 9e18))
		refuse("a number is too large");
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value->val.numeric)));
}

/* A number as an int32; what is beyond becomes the limit, which no check lets pass. */
static int32
small_number(JsonbValue *value, const char *name)
{
	int64 result = number(value, name);

	return result > PG_INT32_MAX   ? PG_INT32_MAX
		   : result < PG_INT32_MIN ? PG_INT32_MIN
								   : (int32) result;
}

static char *
string(JsonbValue *value, const char *name)
{
	if (value == NULL || value->type != jbvString)
		ereport(ERROR, (errcode(ERRCODE_VA_SEQUENCE),
						errmsg("invalid follow-up sequence: \"%s\" must be a string", name)));
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* ---- the sequence ------------------------------------------------------------------------------- */

static uint32_t
channel_bit(const char *name, size_t len)
{
	int channel = cadence_channel_find(name, len);

	if (channel < 0)
		ereport(ERROR, (errcode(ERRCODE_VA_SEQUENCE),
						errmsg("unknown channel \"%s\"", pnstrdup(name, len)),
						errhint("Channels are whatsapp, sms, email, ai_call, human_call and "
								"internal.")));
	return 1u << channel;
}

static void
read_step(JsonbContainer *object, struct cadence_step *step)
{
	JsonbContainer *channels = container(member(object, "channels"), true);
	char *unit = string(member(object, "unit"), "unit");
	char *purpose = string(member(object, "purpose"), "purpose");
	uint32 i;

	step->delay = small_number(member(object, "delay"), "delay");
	step->unit = strcmp(unit, "days") == 0 ? CADENCE_DAYS : CADENCE_HOURS;
	if (step->unit == CADENCE_HOURS && strcmp(unit, "hours") != 0)
		refuse("the unit of a delay is hours or days");
	step->channels = 0;
	for (i = 0; i < JsonContainerSize(channels); i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(channels, i);

		(void) string(value, "channels");
		step->channels |= channel_bit(value->val.string.val, value->val.string.len);
	}
	if (strlcpy(step->purpose, purpose, sizeof step->purpose) >= sizeof step->purpose)
		refuse("a purpose is too long");
}

/* False for no steps at all: then there is no sequence. */
static bool
read_sequence(Jsonb *json, struct cadence_sequence *sequence)
{
	JsonbContainer *steps = root_array(json);
	struct va_error err;
	int i;

	if (JsonContainerSize(steps) == 0)
		return false;
	if (JsonContainerSize(steps) > CADENCE_STEPS_MAX)
		refuse("it has too many steps");
	sequence->id = 1;
	sequence->count = JsonContainerSize(steps);
	for (i = 0; i < sequence->count; i++)
		read_step(container(getIthJsonbValueFromContainer(steps, i), false), &sequence->step[i]);
	if (!cadence_sequence_check(sequence, &err))
		refuse(err.text);
	return true;
}

/* ---- the rules ---------------------------------------------------------------------------------- */

static void
read_interval(JsonbContainer *pair, int at, struct hours_day *day)
{
	struct va_error err;

	if (!hours_add(day, small_number(getIthJsonbValueFromContainer(pair, at), "open"),
				   small_number(getIthJsonbValueFromContainer(pair, at + 1), "close"), &err))
		refuse(err.text);
}

static void
read_hours(JsonbContainer *object, struct rules *r)
{
	JsonbContainer *hours = container(member(object, "hours"), true);
	JsonbContainer *contact = container(member(object, "contact"), true);
	uint32 i;
	int weekday;

	for (i = 0; i < JsonContainerSize(hours); i++)
	{
		JsonbContainer *line = container(getIthJsonbValueFromContainer(hours, i), true);

		weekday = small_number(getIthJsonbValueFromContainer(line, 0), "weekday");
		if (weekday < 0 || weekday > 6)
			refuse("a weekday is from 0 to 6");
		read_interval(line, 1, &r->human.week[weekday]);
	}
	for (i = 0; i < JsonContainerSize(contact); i++)
	{
		JsonbContainer *pair = container(getIthJsonbValueFromContainer(contact, i), true);

		for (weekday = 0; weekday < 7; weekday++)
			read_interval(pair, 0, &r->contact.week[weekday]);
	}
}

static void
read_holidays(JsonbContainer *object, struct hours_calendar *calendar)
{
	JsonbContainer *list = container(member(object, "holidays"), true);
	uint32 count = JsonContainerSize(list);
	struct hours_holiday *holidays = palloc0(sizeof(*holidays) * Max(count, 1));
	uint32 i;
	uint32 j;

	for (i = 0; i < count; i++)
	{
		JsonbContainer *holiday = container(getIthJsonbValueFromContainer(list, i), false);
		JsonbContainer *hours = container(member(holiday, "hours"), true);

		holidays[i].date = small_number(member(holiday, "date"), "date");
		for (j = 0; j < JsonContainerSize(hours); j++)
			read_interval(container(getIthJsonbValueFromContainer(hours, j), true), 0,
						  &holidays[i].hours);
	}
	calendar->holidays = holidays;
	calendar->holiday_count = count;
}

static void
read_zone(JsonbContainer *object, const char *name, struct zone *zone)
{
	char *text = string(member(object, name), name);

	if (!zone_pg_find(text, zone))
		ereport(ERROR, (errcode(ERRCODE_VA_SEQUENCE), errmsg("unknown time zone \"%s\"", text),
						errhint("pg_timezone_names lists them, for instance Europe/Berlin.")));
}

static void
read_rules(Jsonb *json, struct rules *r)
{
	struct va_error err;
	int i;

	memset(r, 0, sizeof *r);
	if (!JB_ROOT_IS_OBJECT(json))
		refuse("the rules must be an object");
	read_zone(&json->root, "lead_zone", &r->lead_zone);
	read_zone(&json->root, "tenant_zone", &r->tenant_zone);
	read_hours(&json->root, r);
	read_holidays(&json->root, &r->human);
	r->rules.lead_zone = &r->lead_zone;
	r->rules.tenant_zone = &r->tenant_zone;
	r->rules.human_hours = &r->human;
	r->rules.minimum_gap = number(member(&json->root, "gap_s"), "gap_s") * ZONE_SECOND;
	for (i = 0; i < CADENCE_CHANNELS; i++)
		r->rules.contact[i] = i == CADENCE_INTERNAL ? NULL : &r->contact;
	if (!cadence_rules_check(&r->rules, &err) || !hours_check(&r->contact, &err) ||
		!hours_check(&r->human, &err))
		refuse(err.text);
}

/* ---- tasks and changes -------------------------------------------------------------------------- */

static struct cadence_task *
read_tasks(Jsonb *json, int *count)
{
	JsonbContainer *list = root_array(json);
	struct cadence_task *tasks;
	int i;

	if (JsonContainerSize(list) > TASKS_MAX)
		refuse("the lead has too many tasks");
	*count = JsonContainerSize(list);
	tasks = palloc0(sizeof(*tasks) * Max(*count, 1));
	for (i = 0; i < *count; i++)
	{
		JsonbContainer *object = container(getIthJsonbValueFromContainer(list, i), false);
		JsonbValue *mine = member(object, "mine");
		char *status = string(member(object, "status"), "status");

		tasks[i].sequence = mine != NULL && mine->type == jbvBool && mine->val.boolean ? 1 : 0;
		tasks[i].step = small_number(member(object, "step"), "step");
		tasks[i].status = strcmp(status, "pending") == 0 ? CADENCE_PENDING : CADENCE_DONE;
		tasks[i].at = number(member(object, "at"), "at");
	}
	return tasks;
}

static Datum
moved_names(uint32_t moved)
{
	static const char *const names[] = {"quiet_hours", "human_hours", "gap", "now"};
	Datum values[lengthof(names)];
	int count = 0;
	int i;

	for (i = 0; i < lengthof(names); i++)
	{
		if ((moved & (1u << i)) != 0)
			values[count++] = CStringGetTextDatum(names[i]);
	}
	return PointerGetDatum(construct_array(values, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/* One row (action, task, step, due, moved). */
static void
put_change(ReturnSetInfo *set, const struct cadence_change *change)
{
	static const char *const names[] = {
		[CADENCE_KEEP] = "keep",
		[CADENCE_MOVE] = "move",
		[CADENCE_CANCEL] = "cancel",
		[CADENCE_ADD] = "add",
	};
	Datum values[5];
	bool nulls[5] = {false, change->task < 0, false, false, false};

	values[0] = CStringGetTextDatum(names[change->action]);
	values[1] = Int32GetDatum(change->task + 1);
	values[2] = Int32GetDatum(change->step);
	values[3] = TimestampTzGetDatum(zone_pg_to(change->due));
	values[4] = moved_names(change->moved);
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

/* va_cadence_check(steps jsonb) RETURNS boolean: true, or an error of SQLSTATE VA025. */
Datum
va_cadence_check(PG_FUNCTION_ARGS)
{
	struct cadence_sequence sequence;

	if (!read_sequence(PG_GETARG_JSONB_P(0), &sequence))
		refuse("it has no steps");
	PG_RETURN_BOOL(true);
}

/*
 * va_cadence_replan(steps jsonb, start timestamptz, rules jsonb, tasks jsonb, now timestamptz)
 * RETURNS TABLE (action text, task integer, step integer, due timestamptz, moved text[])
 */
Datum
va_cadence_replan(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	struct cadence_sequence sequence;
	bool planned = read_sequence(PG_GETARG_JSONB_P(0), &sequence);
	struct rules r;
	struct cadence_task *tasks;
	struct cadence_change *changes;
	int task_count;
	int count;
	int i;

	read_rules(PG_GETARG_JSONB_P(2), &r);
	tasks = read_tasks(PG_GETARG_JSONB_P(3), &task_count);
	changes = palloc(sizeof(*changes) * (task_count + CADENCE_STEPS_MAX));
	count = cadence_replan(planned ? &sequence : NULL, zone_pg_from(PG_GETARG_TIMESTAMPTZ(1)),
						   &r.rules, tasks, task_count, zone_pg_from(PG_GETARG_TIMESTAMPTZ(4)),
						   changes, task_count + CADENCE_STEPS_MAX);
	if (count < 0)
		ereport(ERROR,
				(errcode(ERRCODE_VA_SEQUENCE), errmsg("a time is outside the years 1 to 9999")));
	InitMaterializedSRF(fcinfo, 0);
	for (i = 0; i < count; i++)
		put_change(set, &changes[i]);
	return (Datum) 0;
}

/*
 * va_cadence_allowed(rules jsonb, channels text[], at timestamptz) RETURNS timestamptz: the first
 * instant, at or after `at`, at which all these channels are allowed; NULL when there is none.
 */
Datum
va_cadence_allowed(PG_FUNCTION_ARGS)
{
	struct rules r;
	Datum *names;
	bool *nulls;
	int count;
	int i;
	uint32_t channels = 0;
	zone_instant due;

	read_rules(PG_GETARG_JSONB_P(0), &r);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls,
					  &count);
	for (i = 0; i < count; i++)
	{
		text *name = nulls[i] ? NULL : DatumGetTextPP(names[i]);

		if (name != NULL)
			channels |= channel_bit(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	}
	due = cadence_allowed(&r.rules, channels, zone_pg_from(PG_GETARG_TIMESTAMPTZ(2)), NULL);
	if (due == ZONE_NEVER)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(zone_pg_to(due));
}
