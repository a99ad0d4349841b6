/*
 * hours.c: hours of the week, dates that differ and a time zone become instants.
 *
 * The rules are those of core/business_hours.h; here the server's time zone tables are put under
 * them and arrays of SQL turned into a calendar. Hours travel as triples of integers, so that the
 * two places where people write them (rows of business_hours, jsonb of a person) meet one reader.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "core/business_hours.h"
#include "pg/errcodes.h"

PG_FUNCTION_INFO_V1(va_hours_spans);
PG_FUNCTION_INFO_V1(va_hours_next);

/* Between the server's epoch, 2000-01-01, and that of zone.h. */
#define EPOCH_DISTANCE                                                                             \
	((int64_t) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * USECS_PER_SEC)

/* Triples one call may bring: a date for every day of some decades. */
#define TRIPLES_MAX 20000
#define SPANS_CHUNK 128

static int32_t
server_offset(const void *state, int64_t utc_seconds)
{
	pg_time_t at = (pg_time_t) utc_seconds;
	struct pg_tm *local = pg_localtime(&at, (const pg_tz *) state);

	return local == NULL ? 0 : (int32_t) local->tm_gmtoff;
}

static struct zone
server_zone(text *name)
{
	char *zone_name = text_to_cstring(name);
	pg_tz *tz = pg_tzset(zone_name);
	struct zone zone;

	if (tz == NULL)
		ereport(ERROR, (errcode(ERRCODE_VA_SETTING), errmsg("unknown time zone \"%s\"", zone_name),
						errhint("pg_timezone_names lists them, for instance Europe/Berlin.")));
	zone.offset = server_offset;
	zone.state = tz;
	return zone;
}

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
	return at + EPOCH_DISTANCE;
}

static void
add_interval(struct hours_day *day, int32 open, int32 close)
{
	if (day->count == HOURS_PER_DAY_MAX)
		ereport(ERROR, (errcode(ERRCODE_VA_SETTING),
						errmsg("a day has more than %d openings", HOURS_PER_DAY_MAX)));
	day->interval[day->count].open = open;
	day->interval[day->count].close = close;
	day->count++;
}

/* The dates that differ, ascending; a triple that opens before 0 only names its date as closed. */
static void
read_dates(ArrayType *array, struct hours_calendar *calendar)
{
	int count;
	const int32 *item = triples(array, &count);
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

static void
read_calendar(ArrayType *week, ArrayType *dates, struct hours_calendar *calendar)
{
	struct va_error error;
	int count;
	const int32 *item = triples(week, &count);

	memset(calendar, 0, sizeof(*calendar));
	for (int i = 0; i < count; i++, item += 3)
	{
		if (item[0] < 0 || item[0] > 6)
			ereport(ERROR, (errcode(ERRCODE_VA_ARGUMENT), errmsg("a weekday is 0 to 6")));
		add_interval(&calendar->week[item[0]], item[1], item[2]);
	}
	read_dates(dates, calendar);
	if (!hours_check(calendar, &error))
		ereport(ERROR, (errcode(ERRCODE_VA_SETTING), errmsg("these are no hours"),
						errdetail("%s.", error.text)));
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
	struct zone zone = server_zone(PG_GETARG_TEXT_PP(2));
	zone_instant from = instant(PG_GETARG_TIMESTAMPTZ(3));
	zone_instant to = instant(PG_GETARG_TIMESTAMPTZ(4));
	ArrayBuildState *built = initArrayResult(TIMESTAMPTZOID, CurrentMemoryContext, false);
	struct hours_span spans[SPANS_CHUNK];
	int count;

	read_calendar(PG_GETARG_ARRAYTYPE_P(0), PG_GETARG_ARRAYTYPE_P(1), &calendar);
	do
	{
		count = hours_spans(&calendar, &zone, from, to, spans, SPANS_CHUNK);
		if (count < 0)
			ereport(ERROR, (errcode(ERRCODE_VA_ARGUMENT),
							errmsg("the range of hours is reversed or longer than ten years")));
		for (int i = 0; i < count; i++)
		{
			accumArrayResult(built, TimestampTzGetDatum(spans[i].from - EPOCH_DISTANCE), false,
							 TIMESTAMPTZOID, CurrentMemoryContext);
			accumArrayResult(built, TimestampTzGetDatum(spans[i].to - EPOCH_DISTANCE), false,
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
	struct zone zone = server_zone(PG_GETARG_TEXT_PP(2));
	zone_instant at = instant(PG_GETARG_TIMESTAMPTZ(3));
	zone_instant next;

	read_calendar(PG_GETARG_ARRAYTYPE_P(0), PG_GETARG_ARRAYTYPE_P(1), &calendar);
	if (!zone_valid(at))
		PG_RETURN_NULL();
	next = hours_next_open(&calendar, &zone, at);
	if (next == ZONE_NEVER)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(next - EPOCH_DISTANCE);
}
