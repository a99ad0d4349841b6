/*
 * hours.c: hours of the week, dates that differ and a time zone become instants.
 *
 * The rules are those of core/business_hours.h; here arrays of SQL are turned into a calendar. Hours
 * travel as triples of integers, so that the places where people write them (rows of business_hours,
 * holidays, jsonb of a person, settings) meet one reader.
 */
#include "postgres.h"

#include "pg/hours.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "pg/errcodes.h"
#include "pg/zone_pg.h"

PG_FUNCTION_INFO_V1(va_hours_spans);
PG_FUNCTION_INFO_V1(va_hours_next);

/* Triples one call may bring: a date for every day of some decades. */
#define TRIPLES_MAX 20000
#define SPANS_CHUNK 128

/* The integers of an array of triples; *count is the number of triples. */
static const int32 *
triples(ArrayType *array, int *count)
{
	int items = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

	if (ARR_HASNULL(array) || items % 3 != 0 || items / 3 > TRIPLES_MAX)
		ereport(
			ERROR,
			(errcode(ERRCODE_VA_ARGUMENT), errmsg("hours are an array of triples"),
			 errdetail(
				 "Each is a day, the seconds at which it opens and those at which it closes.")));
	*count = items / 3;
	return (const int32 *) ARR_DATA_PTR(array);
}

static zone_instant
instant(TimestampTz at)
{
	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR,
				(errcode(ERRCODE_VA_ARGUMENT), errmsg("hours are asked for at a finite time")));
	return zone_pg_from(at);
}

static void
refuse_hours(const struct va_error *error)
{
	ereport(ERROR, (errcode(ERRCODE_VA_SETTING), errmsg("these are no hours"),
					errdetail("%s.", error->text)));
}

static void
add_interval(struct hours_day *day, int32_t open, int32_t close)
{
	struct va_error error;

	if (!hours_put(day, open, close, &error))
		refuse_hours(&error);
}

/* A triple that opens before 0 only names its date as closed. */
static void
read_dates(const int32_t *item, int count, struct hours_calendar *calendar)
{
	struct hours_holiday *holidays = palloc0(sizeof(*holidays) * (count > 0 ? count : 1));
	size_t used = 0;

	for (int i = 0; i < count; i++, item += 3)
	{
		if (used == 0 || holidays[used - 1].date != item[0])
			holidays[used++].date = item[0];
		if (item[1] >= 0)
			add_interval(&holidays[used - 1].hours, item[1], item[2]);
	}
	calendar->holidays = holidays;
	calendar->holiday_count = used;
}

void
hours_from_triples(const int32_t *week, int week_count, const int32_t *dates, int date_count,
				   struct hours_calendar *calendar)
{
	struct va_error error;

	memset(calendar, 0, sizeof(*calendar));
	for (int i = 0; i < week_count; i++, week += 3)
	{
		if (week[0] < 0 || week[0] > 6)
			ereport(ERROR, (errcode(ERRCODE_VA_ARGUMENT), errmsg("a weekday is 0 to 6")));
		add_interval(&calendar->week[week[0]], week[1], week[2]);
	}
	read_dates(dates, date_count, calendar);
	if (!hours_check(calendar, &error))
		refuse_hours(&error);
}

static void
read_calendar(ArrayType *week, ArrayType *dates, struct hours_calendar *calendar)
{
	int week_count;
	int date_count;
	const int32_t *week_items = triples(week, &week_count);
	const int32_t *date_items = triples(dates, &date_count);

	hours_from_triples(week_items, week_count, date_items, date_count, calendar);
}

/*
 * va_hours_spans(week int[], dates int[], zone text, from timestamptz, to timestamptz): the openings
 * within from <= t < to as an array: opens, closes, opens, closes, ...
 * week: triples of weekday (0 = Sunday), opening and closing second of the local day; dates: the same
 * with days since 1970-01-01, ascending, opening -1 for a closed date.
 */
Datum
va_hours_spans(PG_FUNCTION_ARGS)
{
	struct hours_calendar calendar;
	struct zone zone;
	zone_instant from = instant(PG_GETARG_TIMESTAMPTZ(3));
	zone_instant to = instant(PG_GETARG_TIMESTAMPTZ(4));
	ArrayBuildState *built = initArrayResult(TIMESTAMPTZOID, CurrentMemoryContext, false);
	struct hours_span spans[SPANS_CHUNK];
	int count;

	zone_pg_demand(text_to_cstring(PG_GETARG_TEXT_PP(2)), &zone);
	read_calendar(PG_GETARG_ARRAYTYPE_P(0), PG_GETARG_ARRAYTYPE_P(1), &calendar);
	do
	{
		count = hours_spans(&calendar, &zone, from, to, spans, SPANS_CHUNK);
		if (count < 0)
			ereport(ERROR, (errcode(ERRCODE_VA_ARGUMENT),
							errmsg("the range of hours is reversed or longer than ten years")));
		for (int i = 0; i < count; i++)
		{
			accumArrayResult(built, TimestampTzGetDatum(zone_pg_to(spans[i].from)), false,
							 TIMESTAMPTZOID, CurrentMemoryContext);
			accumArrayResult(built, TimestampTzGetDatum(zone_pg_to(spans[i].to)), false,
							 TIMESTAMPTZOID, CurrentMemoryContext);
			from = spans[i].to;
		}
	} while (count == SPANS_CHUNK);
	PG_RETURN_DATUM(makeArrayResult(built, CurrentMemoryContext));
}

/*
 * va_hours_next(week, dates, zone, at): the first instant at or after `at` that lies in an opening;
 * NULL when there is none within HOURS_HORIZON_DAYS.
 */
Datum
va_hours_next(PG_FUNCTION_ARGS)
{
	struct hours_calendar calendar;
	struct zone zone;
	zone_instant at = instant(PG_GETARG_TIMESTAMPTZ(3));
	zone_instant next;

	zone_pg_demand(text_to_cstring(PG_GETARG_TEXT_PP(2)), &zone);
	read_calendar(PG_GETARG_ARRAYTYPE_P(0), PG_GETARG_ARRAYTYPE_P(1), &calendar);
	if (!zone_valid(at))
		PG_RETURN_NULL();
	next = hours_next_open(&calendar, &zone, at);
	if (next == ZONE_NEVER)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(zone_pg_to(next));
}
