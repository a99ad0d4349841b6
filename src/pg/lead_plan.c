/*
 * lead_plan.c: planning follow-ups in SQL: core/cadence over jsonb.
 *
 * Sequences, hours and tasks live in tables; SQL gathers them into jsonb and applies what comes
 * back, so that these functions read nothing themselves and the whole of planning can be tried out
 * with a SELECT. Their arguments:
 *
 * steps  [{"delay": 24, "unit": "hours" or "days", "channels": ["email", "sms"], "purpose": "…"}, …]
 * rules  {"lead_zone": "Europe/Berlin", "tenant_zone": "UTC", "gap_s": 3600,
 *         "contact": [open, close],       when a lead may be disturbed, each day, in its zone
 *         "week": [weekday, open, close, …], "dates": [day, open, close, …],
 *                                         when people make calls, in the tenant's zone, as triples of
 *                                         hours.h; both left out: always
 *         "touch": [[from, to], …],       when it does not matter that it is quiet
 *         "spent": {"sms": [[from, to], …], …},    when a channel was tried often enough
 *         "never": {"email": "why", …}}   channels that may not be used at all
 *        The last three may be left out. Hours are seconds since midnight, beyond 86400 on the next
 *        date; spans are microseconds since 1970.
 * tasks  [{"mine": true, "step": 1, "status": "pending" or "done", "at": microseconds since 1970}, …]
 *        mine: of the sequence at hand. The results name a task by its place here, from 1.
 */
#include "postgres.h"

#include "access/htup_details.h"
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
#include "pg/hours.h"
#include "pg/zone_pg.h"
#include "worker/compat.h"

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

/* The numbers of an array, NULL when there is none; *count is how many. A pair may be wrapped in a list
 * of its own, as version 0.1 writes it: its SQL runs with this library until the extension is updated. */
static int32_t *
read_numbers(JsonbValue *value, const char *name, int *count)
{
	JsonbContainer *list;
	int32_t *numbers;
	int i;

	*count = 0;
	if (value == NULL)
		return NULL;
	list = container(value, true);
	if (JsonContainerSize(list) == 1)
		list = container(getIthJsonbValueFromContainer(list, 0), true);
	*count = JsonContainerSize(list);
	numbers = palloc(sizeof(*numbers) * Max(*count, 1));
	for (i = 0; i < *count; i++)
		numbers[i] = small_number(getIthJsonbValueFromContainer(list, i), name);
	return numbers;
}

static void
read_contact(JsonbContainer *object, struct rules *r)
{
	struct va_error err;
	int count;
	int32_t *day = read_numbers(member(object, "contact"), "contact", &count);
	int weekday;
	int i;

	if (count != 2)
		refuse("the hours of contact are two times");
	for (weekday = 0; weekday < 7; weekday++)
	{
		if (!hours_put(&r->contact.week[weekday], day[0], day[1], &err))
			refuse(err.text);
	}
	for (i = 0; i < CADENCE_CHANNELS; i++)
		r->rules.contact[i] = (CADENCE_DISTURBING & (1u << i)) != 0 ? &r->contact : NULL;
}

static void
read_human_hours(JsonbContainer *object, struct rules *r)
{
	int week_count;
	int date_count;
	int32_t *week = read_numbers(member(object, "week"), "week", &week_count);
	int32_t *dates = read_numbers(member(object, "dates"), "dates", &date_count);

	if (week_count % 3 != 0 || date_count % 3 != 0)
		refuse("hours are triples");
	if (week == NULL && dates == NULL)
		return;
	hours_from_triples(week, week_count / 3, dates, date_count / 3, &r->human);
	r->rules.human_hours = &r->human;
}

static struct hours_span *
read_spans(JsonbValue *value, int *count)
{
	JsonbContainer *list;
	struct hours_span *spans;
	int i;

	*count = 0;
	if (value == NULL)
		return NULL;
	list = container(value, true);
	*count = JsonContainerSize(list);
	spans = palloc(sizeof(*spans) * Max(*count, 1));
	for (i = 0; i < *count; i++)
	{
		JsonbContainer *span = container(getIthJsonbValueFromContainer(list, i), true);

		spans[i].from = number(getIthJsonbValueFromContainer(span, 0), "from");
		spans[i].to = number(getIthJsonbValueFromContainer(span, 1), "to");
	}
	return spans;
}

/* What is known of each channel: tried often enough, or never to be used. */
static void
read_channels(JsonbContainer *object, struct cadence_rules *rules)
{
	JsonbValue *spent = member(object, "spent");
	JsonbValue *never = member(object, "never");
	int i;

	for (i = 0; i < CADENCE_CHANNELS; i++)
	{
		const char *name = cadence_channel_name(i);

		if (spent != NULL)
			rules->spent[i] =
				read_spans(member(container(spent, false), name), &rules->spent_count[i]);
		if (never != NULL && member(container(never, false), name) != NULL)
			rules->never |= 1u << i;
	}
	rules->touch = read_spans(member(object, "touch"), &rules->touch_count);
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

	memset(r, 0, sizeof *r);
	if (!JB_ROOT_IS_OBJECT(json))
		refuse("the rules must be an object");
	read_zone(&json->root, "lead_zone", &r->lead_zone);
	read_zone(&json->root, "tenant_zone", &r->tenant_zone);
	r->rules.lead_zone = &r->lead_zone;
	r->rules.tenant_zone = &r->tenant_zone;
	r->rules.minimum_gap = number(member(&json->root, "gap_s"), "gap_s") * ZONE_SECOND;
	read_contact(&json->root, r);
	read_human_hours(&json->root, r);
	read_channels(&json->root, &r->rules);
	if (!cadence_rules_check(&r->rules, &err) || !hours_check(&r->contact, &err))
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
	static const char *const names[] = {"quiet_hours", "human_hours", "gap", "now",
										"attempt_limit"};
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

/* The channels of an array of names. */
static uint32_t
read_channel_names(ArrayType *array)
{
	Datum *names;
	bool *nulls;
	int count;
	int i;
	uint32_t channels = 0;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls, &count);
	for (i = 0; i < count; i++)
	{
		text *name = nulls[i] ? NULL : DatumGetTextPP(names[i]);

		if (name != NULL)
			channels |= channel_bit(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	}
	return channels;
}

/*
 * va_cadence_allowed(rules jsonb, channels text[], at timestamptz, OUT due timestamptz, OUT moved
 * text[]): the first instant, at or after `at`, at which all these channels are allowed, those left out
 * that never are; NULL when there is none. moved: why it is later than `at`.
 */
Datum
va_cadence_allowed(PG_FUNCTION_ARGS)
{
	struct rules r;
	uint32_t channels = read_channel_names(PG_GETARG_ARRAYTYPE_P(1));
	uint32_t moved = 0;
	zone_instant due;
	TupleDesc desc;
	Datum values[2];
	bool nulls[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "va_cadence_allowed returns a row");
	read_rules(PG_GETARG_JSONB_P(0), &r);
	due = cadence_allowed(&r.rules, channels, zone_pg_from(PG_GETARG_TIMESTAMPTZ(2)), &moved);
	nulls[0] = due == ZONE_NEVER;
	values[0] = nulls[0] ? (Datum) 0 : TimestampTzGetDatum(zone_pg_to(due));
	values[1] = moved_names(moved);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
