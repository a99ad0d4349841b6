/*
 * zone_test.c: wall clocks and instants, over the clock changes of six zones.
 */
#include "core/zone.h"

#include "tap.h"
#include "zone_table.h"

static bool
is_leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Counts every date of 9999 years with the rule as it is taught at school. */
static void
dates_are_gregorian(void)
{
	static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int32_t number = -719162;
	int weekday = 1; /* the first of January of the year 1 was a Monday */

	for (int year = 1; year <= 9999; year++)
	{
		for (int month = 1; month <= 12; month++)
		{
			int length = lengths[month - 1] + (month == 2 && is_leap(year));

			for (int day = 1; day <= length; day++)
			{
				check_that(zone_day(year, month, day) == number);
				check_that(zone_weekday(number) == weekday);
				number++;
				weekday = (weekday + 1) % 7;
			}
		}
	}
	checked("every date of the years 1 to 9999 has its number and weekday");
	is_int(zone_day(1970, 1, 1), 0, "1970-01-01 is day 0");
	is_int(zone_day(2028, 2, 29), 21243, "2028-02-29 is day 21243");
	is_int(zone_weekday(zone_day(2026, 11, 22)), 0, "2026-11-22 is a Sunday");
	is_int(stamp(9999, 12, 31, 23, 59), ZONE_LAST - 59 * ZONE_SECOND,
		   "ZONE_LAST ends the year 9999");
	is_int(stamp(1, 1, 1, 0, 0), ZONE_FIRST, "ZONE_FIRST begins the year 1");
}

struct known
{
	const char *what;
	const struct zone *zone;
	int local[5];
	int utc[5];
};

static const struct known known[] = {
	{"UTC is UTC", &utc, {2026, 3, 29, 2, 30}, {2026, 3, 29, 2, 30}},
	{"Berlin in winter", &berlin, {2026, 1, 15, 9, 0}, {2026, 1, 15, 8, 0}},
	{"Berlin in summer", &berlin, {2026, 7, 15, 9, 0}, {2026, 7, 15, 7, 0}},
	{"Berlin before the gap", &berlin, {2026, 3, 29, 1, 59}, {2026, 3, 29, 0, 59}},
	{"Berlin at the gap", &berlin, {2026, 3, 29, 2, 0}, {2026, 3, 29, 1, 0}},
	{"Berlin within the gap", &berlin, {2026, 3, 29, 2, 30}, {2026, 3, 29, 1, 0}},
	{"Berlin after the gap", &berlin, {2026, 3, 29, 3, 1}, {2026, 3, 29, 1, 1}},
	{"Berlin before the doubled hour", &berlin, {2026, 10, 25, 1, 59}, {2026, 10, 24, 23, 59}},
	{"Berlin in the doubled hour", &berlin, {2026, 10, 25, 2, 30}, {2026, 10, 25, 0, 30}},
	{"Berlin after the doubled hour", &berlin, {2026, 10, 25, 3, 0}, {2026, 10, 25, 2, 0}},
	{"New York within the gap", &new_york, {2026, 3, 8, 2, 30}, {2026, 3, 8, 7, 0}},
	{"New York in the doubled hour", &new_york, {2026, 11, 1, 1, 30}, {2026, 11, 1, 5, 30}},
	{"Kolkata is half an hour off", &kolkata, {2026, 3, 29, 2, 30}, {2026, 3, 28, 21, 0}},
	{"Apia the day before", &apia, {2011, 12, 29, 23, 59}, {2011, 12, 30, 9, 59}},
	{"Apia on the day that never was", &apia, {2011, 12, 30, 12, 0}, {2011, 12, 30, 10, 0}},
	{"Apia the day after", &apia, {2011, 12, 31, 0, 0}, {2011, 12, 30, 10, 0}},
	{"Sao Paulo, midnight skipped", &sao_paulo, {2018, 11, 4, 0, 0}, {2018, 11, 4, 3, 0}},
	{"Sao Paulo, hour before midnight doubled",
	 &sao_paulo,
	 {2018, 2, 17, 23, 30},
	 {2018, 2, 18, 1, 30}},
	{"Sao Paulo, midnight after it", &sao_paulo, {2018, 2, 18, 0, 0}, {2018, 2, 18, 3, 0}},
	{"Lord Howe, gap of half an hour", &lord_howe, {2026, 10, 4, 2, 10}, {2026, 10, 3, 15, 30}},
	{"Lord Howe, half an hour doubled", &lord_howe, {2026, 4, 5, 1, 40}, {2026, 4, 4, 14, 40}},
};

static void
known_times(void)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
	{
		const int *l = known[i].local;
		const int *u = known[i].utc;

		is_int(zone_to_utc(known[i].zone, stamp(l[0], l[1], l[2], l[3], l[4])),
			   stamp(u[0], u[1], u[2], u[3], u[4]), "%s", known[i].what);
	}
}

/* A wall clock time within two days of a clock change of the zone, or anywhere. */
static zone_local
random_local(const struct zone *zone)
{
	const struct zone_table *table = zone->state;
	int64_t around = table->line[tap_below((size_t) table->count)].since;

	if (around == 0)
		around = 1500000000;
	return (around + (int64_t) tap_below(400000) - 200000) * ZONE_SECOND +
		   (int64_t) tap_below(1000000);
}

/* zone_to_utc is the first instant at which the clock shows that time or a later one. */
static void
first_instant(void)
{
	for (int n = 0; n < 4000; n++)
	{
		const struct zone *zone = zone_of((size_t) n);
		zone_local local = random_local(zone);
		zone_instant at = zone_to_utc(zone, local);

		check_that(zone_to_local(zone, at) >= local);
		check_that(zone_to_local(zone, at - 1) < local);
		for (int k = 0; k < 20; k++)
			check_that(zone_to_local(zone, at - 1 - (int64_t) tap_below(100000) * ZONE_SECOND) <
					   local);
		check_that(zone_to_utc(zone, local + 1) >= at);
		check_that(zone_to_utc(zone, local + (int64_t) tap_below(90000) * ZONE_SECOND) >= at);
	}
	checked("a wall clock time is the first instant that shows it or a later one");
}

static void
there_and_back(void)
{
	int different = 0;

	for (int n = 0; n < 4000; n++)
	{
		const struct zone *zone = zone_of((size_t) n);
		zone_instant at = random_local(zone);
		zone_instant back = zone_to_utc(zone, zone_to_local(zone, at));

		check_that(back <= at);
		check_that(zone_to_local(zone, back) == zone_to_local(zone, at));
		different += back != at;
	}
	checked("an instant shown on a clock leads back to it or to its first occurrence");
	ok(different > 0, "and some of them were in a doubled hour");
}

static int32_t
absurd_offset(const void *state, int64_t utc_seconds)
{
	(void) utc_seconds;
	return *(const int32_t *) state;
}

static void
edges(void)
{
	int32_t far_east = INT32_MAX;
	int32_t far_west = INT32_MIN;
	struct zone zone = {absurd_offset, &far_east};

	is_int(zone_to_local(&zone, 0), ZONE_DAY, "an absurd offset is cut to a day");
	is_int(zone_to_utc(&zone, ZONE_DAY), 0, "in both directions");
	zone.state = &far_west;
	is_int(zone_to_local(&zone, 0), -ZONE_DAY, "and west");
	is_int(zone_to_local(&berlin, -1), ZONE_HOUR - 1, "microseconds are kept before 1970");
	is_int(zone_to_utc(&berlin, -1), -ZONE_HOUR - 1, "and on the way back");
	is_int(zone_local_day(-1), -1, "the microsecond before 1970 is on the day before");
	is_int(zone_local_day(0), 0, "the first one is not");
	ok(zone_valid(ZONE_FIRST) && zone_valid(ZONE_LAST), "first and last are valid");
	ok(!zone_valid(ZONE_FIRST - 1) && !zone_valid(ZONE_LAST + 1), "beyond them nothing is");
	ok(!zone_valid(ZONE_NEVER) && !zone_valid(INT64_MIN), "never and minus infinity are not valid");
}

int
main(void)
{
	plan(0);
	dates_are_gregorian();
	known_times();
	first_instant();
	there_and_back();
	edges();
	return done();
}
