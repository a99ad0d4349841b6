/*
 * business_hours_test.c: known days of real places, and every answer against a slow, plain reading
 * of the rules on random calendars.
 */
#include "core/business_hours.h"

#include "tap.h"
#include "zone_table.h"

#define HM(h, m) ((h) *3600 + (m) *60)

static struct va_error err;

static struct hours_day
day_of(int open, int close)
{
	struct hours_day day = {0};

	if (!hours_add(&day, open, close, &err))
		abort();
	return day;
}

/* Monday to Friday 09:00 to 17:00, Saturday 22:00 to 02:00. */
static struct hours_calendar
office(void)
{
	struct hours_calendar calendar = {0};

	for (int weekday = 1; weekday <= 5; weekday++)
		calendar.week[weekday] = day_of(HM(9, 0), HM(17, 0));
	calendar.week[6] = day_of(HM(22, 0), HM(2, 0));
	return calendar;
}

/* What is asked at a wall clock time and what is answered, in wall clock times too. */
struct asked
{
	const char *what;
	const struct zone *zone;
	int at[5];
	bool open;
	int opens[5];
	int closes[5];
};

static const struct asked asked[] = {
	{"Berlin, Tuesday morning",
	 &berlin,
	 {2026, 6, 2, 10, 0},
	 true,
	 {2026, 6, 2, 10, 0},
	 {2026, 6, 2, 17, 0}},
	{"Berlin, at the opening",
	 &berlin,
	 {2026, 6, 2, 9, 0},
	 true,
	 {2026, 6, 2, 9, 0},
	 {2026, 6, 2, 17, 0}},
	{"Berlin, before the opening",
	 &berlin,
	 {2026, 6, 2, 8, 59},
	 false,
	 {2026, 6, 2, 9, 0},
	 {2026, 6, 2, 17, 0}},
	{"Berlin, at the closing",
	 &berlin,
	 {2026, 6, 2, 17, 0},
	 false,
	 {2026, 6, 3, 9, 0},
	 {2026, 6, 3, 17, 0}},
	{"New York, Friday evening",
	 &new_york,
	 {2026, 6, 5, 20, 0},
	 false,
	 {2026, 6, 6, 22, 0},
	 {2026, 6, 7, 2, 0}},
	{"Kolkata, Sunday after midnight",
	 &kolkata,
	 {2026, 6, 7, 1, 0},
	 true,
	 {2026, 6, 7, 1, 0},
	 {2026, 6, 7, 2, 0}},
	{"Kolkata, Sunday",
	 &kolkata,
	 {2026, 6, 7, 2, 0},
	 false,
	 {2026, 6, 8, 9, 0},
	 {2026, 6, 8, 17, 0}},
	{"Berlin, Sunday of the gap at 1:30",
	 &berlin,
	 {2026, 3, 29, 1, 30},
	 true,
	 {2026, 3, 29, 1, 30},
	 {2026, 3, 29, 3, 0}},
	{"Berlin, Sunday of the doubled hour",
	 &berlin,
	 {2026, 10, 25, 1, 59},
	 true,
	 {2026, 10, 25, 1, 59},
	 {2026, 10, 25, 2, 0}},
	{"Berlin, the leap day",
	 &berlin,
	 {2028, 2, 28, 18, 0},
	 false,
	 {2028, 2, 29, 9, 0},
	 {2028, 2, 29, 17, 0}},
	{"Berlin, after the leap day",
	 &berlin,
	 {2028, 2, 29, 18, 0},
	 false,
	 {2028, 3, 1, 9, 0},
	 {2028, 3, 1, 17, 0}},
	{"Apia, the Thursday before no Friday",
	 &apia,
	 {2011, 12, 29, 18, 0},
	 false,
	 {2011, 12, 31, 22, 0},
	 {2012, 1, 1, 2, 0}},
};

static void
known_days(void)
{
	struct hours_calendar calendar = office();

	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++)
	{
		const struct asked *a = &asked[i];
		zone_instant at = in_zone(a->zone, a->at[0], a->at[1], a->at[2], a->at[3], a->at[4]);

		ok(hours_is_open(&calendar, a->zone, at) == a->open, "%s: %s", a->what,
		   a->open ? "open" : "closed");
		is_int(hours_next_open(&calendar, a->zone, at),
			   in_zone(a->zone, a->opens[0], a->opens[1], a->opens[2], a->opens[3], a->opens[4]),
			   "%s: opens", a->what);
		is_int(
			hours_next_close(&calendar, a->zone, at),
			in_zone(a->zone, a->closes[0], a->closes[1], a->closes[2], a->closes[3], a->closes[4]),
			"%s: closes", a->what);
	}
}

/* How long is the opening that begins at that wall clock time? */
static int64_t
length(const struct hours_calendar *calendar, const struct zone *zone, int64_t local)
{
	zone_instant from = hours_next_open(calendar, zone, zone_to_utc(zone, local));

	return (hours_next_close(calendar, zone, from) - from) / ZONE_MINUTE;
}

static void
clock_changes(void)
{
	struct hours_calendar night = {0};
	struct hours_calendar gap = {0};
	struct hours_calendar day = {0};
	zone_instant second = stamp(2026, 10, 25, 1, 20);

	hours_every_day(&night, HM(22, 0), HM(6, 0), &err);
	hours_every_day(&gap, HM(2, 15), HM(2, 45), &err);
	hours_every_day(&day, 0, HOURS_DAY_SECONDS - 60, &err);
	is_int(length(&night, &berlin, stamp(2026, 3, 28, 22, 0)), 7 * 60, "a night in spring has 7 h");
	is_int(length(&night, &berlin, stamp(2026, 10, 24, 22, 0)), 9 * 60, "one in autumn 9 h");
	is_int(length(&night, &new_york, stamp(2026, 3, 7, 22, 0)), 7 * 60, "in New York too");
	is_int(length(&night, &berlin, stamp(2026, 6, 1, 22, 0)), 8 * 60, "others 8 h");
	is_int(length(&day, &berlin, stamp(2026, 3, 29, 0, 0)), 23 * 60 - 1, "a day of 23 h");
	is_int(length(&day, &berlin, stamp(2026, 10, 25, 0, 0)), 25 * 60 - 1, "a day of 25 h");
	is_int(length(&day, &lord_howe, stamp(2026, 4, 5, 0, 0)), 24 * 60 + 29, "a day of 24.5 h");
	is_int(hours_next_open(&gap, &berlin, stamp(2026, 3, 28, 12, 0)),
		   in_zone(&berlin, 2026, 3, 30, 2, 15), "hours within the gap do not occur");
	is_int(length(&gap, &berlin, stamp(2026, 10, 25, 2, 15)), 30, "doubled hours occur once");
	ok(!hours_is_open(&gap, &berlin, second), "and that is the first time");
	ok(hours_is_open(&gap, &berlin, second - ZONE_HOUR), "an hour earlier");
	is_int(hours_next_open(&day, &sao_paulo, in_zone(&sao_paulo, 2018, 11, 3, 23, 59)),
		   stamp(2018, 11, 4, 3, 0), "a day without midnight begins when it begins");
}

static void
holidays(void)
{
	struct hours_calendar calendar = office();
	struct hours_holiday dates[] = {
		{zone_day(2026, 6, 3), {0}}, /* a Wednesday, closed */
		{zone_day(2026, 6, 7), {0}}, /* a Sunday, after the late Saturday */
		{zone_day(2026, 6, 10), day_of(HM(10, 0), HM(12, 0))}, /* short */
		{zone_day(2026, 6, 14), day_of(HM(0, 0), HM(1, 0))}, /* keeps an hour of the night */
		{zone_day(2026, 6, 17), day_of(HM(20, 0), HM(3, 0))}, /* late, into an ordinary day */
		{zone_day(2026, 6, 23), day_of(HM(20, 0), HM(3, 0))}, /* late, into a holiday */
		{zone_day(2026, 6, 24), {0}},
	};
	const struct zone *z = &berlin;

	calendar.holidays = dates;
	calendar.holiday_count = sizeof(dates) / sizeof(dates[0]);
	ok(hours_check(&calendar, &err), "the calendar is valid");
	is_int(hours_next_open(&calendar, z, in_zone(z, 2026, 6, 2, 18, 0)),
		   in_zone(z, 2026, 6, 4, 9, 0), "a closed holiday is passed over");
	is_int(hours_next_close(&calendar, z, in_zone(z, 2026, 6, 6, 23, 0)),
		   in_zone(z, 2026, 6, 7, 0, 0), "hours of the evening end with the holiday's midnight");
	ok(!hours_is_open(&calendar, z, in_zone(z, 2026, 6, 7, 0, 0)), "the holiday itself is closed");
	is_int(hours_next_open(&calendar, z, in_zone(z, 2026, 6, 10, 9, 30)),
		   in_zone(z, 2026, 6, 10, 10, 0), "special hours begin later");
	is_int(hours_next_close(&calendar, z, in_zone(z, 2026, 6, 10, 9, 30)),
		   in_zone(z, 2026, 6, 10, 12, 0), "and end earlier");
	is_int(hours_next_close(&calendar, z, in_zone(z, 2026, 6, 13, 23, 0)),
		   in_zone(z, 2026, 6, 14, 1, 0), "special hours from midnight carry the evening on");
	is_int(hours_next_close(&calendar, z, in_zone(z, 2026, 6, 17, 21, 0)),
		   in_zone(z, 2026, 6, 18, 3, 0), "a holiday's late hours run into the next day");
	is_int(hours_next_close(&calendar, z, in_zone(z, 2026, 6, 23, 21, 0)),
		   in_zone(z, 2026, 6, 24, 0, 0), "but not into the next holiday");
	dates[1].date = dates[0].date;
	ok(!hours_check(&calendar, &err), "a date listed twice is refused");
	is_str(err.text, "holidays must be in order, each date once", "and it says so");
}

static void
never(void)
{
	struct hours_calendar closed = {0};
	struct hours_calendar always = {0};
	struct hours_holiday far = {zone_day(2027, 7, 1), day_of(HM(9, 0), HM(10, 0))};
	zone_instant opening = in_zone(&berlin, 2027, 7, 1, 9, 0);

	hours_every_day(&always, 0, HOURS_DAY_SECONDS, &err);
	is_int(hours_next_open(&closed, &berlin, opening), ZONE_NEVER, "never open: never opens");
	is_int(hours_next_close(&closed, &berlin, opening), ZONE_NEVER, "nor closes");
	ok(hours_is_open(&always, &berlin, opening), "round the clock: open");
	is_int(hours_next_open(&always, &berlin, opening), opening, "opens now");
	is_int(hours_next_close(&always, &berlin, opening), ZONE_NEVER, "never closes");
	closed.holidays = &far;
	closed.holiday_count = 1;
	is_int(hours_next_open(&closed, &berlin, opening - 400 * ZONE_DAY), opening,
		   "an opening in 400 days is found");
	is_int(hours_next_open(&closed, &berlin, opening - 402 * ZONE_DAY), ZONE_NEVER,
		   "one in 402 days is not");
	is_int(hours_next_open(&always, &berlin, ZONE_LAST + 1), ZONE_NEVER,
		   "after the year 9999: never");
	is_int(hours_next_close(&always, &berlin, INT64_MIN), ZONE_NEVER, "before the year 1: never");
	ok(!hours_is_open(&always, &berlin, ZONE_NEVER), "at never it is not open");
	is_int(hours_next_open(&always, &berlin, ZONE_LAST), ZONE_LAST, "at the last second it is");
	is_int(hours_next_open(&always, &new_york, ZONE_FIRST), ZONE_FIRST, "and at the first");
}

static void
adding(void)
{
	struct hours_day day = {0};
	struct hours_calendar calendar = {0};

	ok(hours_add(&day, HM(14, 0), HM(18, 0), &err) && hours_add(&day, HM(9, 0), HM(12, 0), &err) &&
		   hours_add(&day, HM(22, 0), HM(1, 30), &err),
	   "three intervals in any order");
	ok(day.interval[0].open == HM(9, 0) && day.interval[1].open == HM(14, 0) &&
		   day.interval[2].close == HM(25, 30),
	   "are kept in order, past midnight counted on");
	ok(!hours_add(&day, -1, 5, &err) && !hours_add(&day, HOURS_DAY_SECONDS, 5, &err),
	   "the opening is on the day");
	ok(!hours_add(&day, 5, -1, &err) && !hours_add(&day, 5, HOURS_DAY_SECONDS + 1, &err),
	   "the closing is up to 24:00");
	ok(!hours_add(&day, 300, 300, &err), "equal times are refused");
	is_str(err.text,
		   "hours that open and close at the same time are neither open nor closed; a whole day is "
		   "00:00 to 24:00",
		   "and it says what to write");
	while (day.count < HOURS_PER_DAY_MAX)
		hours_add(&day, 0, 60, &err);
	ok(!hours_add(&day, 0, 60, &err), "no more than %d", HOURS_PER_DAY_MAX);
	is_int(day.count, HOURS_PER_DAY_MAX, "and none was added");
	calendar.week[3] = day;
	ok(hours_check(&calendar, &err), "the day is valid");
	calendar.week[3].interval[0].open = 7200;
	ok(!hours_check(&calendar, &err), "a day out of order is not");
	calendar.week[3] = day_of(0, 60);
	calendar.week[3].interval[0].close = HOURS_DAY_SECONDS + 1;
	ok(!hours_check(&calendar, &err), "nor hours longer than a day");
	calendar.week[3].count = HOURS_PER_DAY_MAX + 1;
	ok(!hours_check(&calendar, &err), "nor more than there is room for");
}

/* ---- the same by plain reading of the rules, for comparison ---- */

static const struct hours_holiday *
listed(const struct hours_calendar *calendar, int32_t date)
{
	for (size_t i = 0; i < calendar->holiday_count; i++)
	{
		if (calendar->holidays[i].date == date)
			return &calendar->holidays[i];
	}
	return NULL;
}

static bool
plainly_open(const struct hours_calendar *calendar, const struct zone *zone, zone_instant at)
{
	int32_t today = zone_local_day(zone_to_local(zone, at));

	for (int32_t date = today - 3; date <= today + 1; date++)
	{
		const struct hours_holiday *holiday = listed(calendar, date);
		const struct hours_day *day =
			holiday != NULL ? &holiday->hours : &calendar->week[((date + 4) % 7 + 7) % 7];

		for (int i = 0; i < day->count; i++)
		{
			int64_t open = day->interval[i].open;
			int64_t close = day->interval[i].close;

			if (listed(calendar, date + 1) != NULL && close > 86400)
				close = 86400;
			if (zone_to_utc(zone, date * ZONE_DAY + open * ZONE_SECOND) <= at &&
				at < zone_to_utc(zone, date * ZONE_DAY + close * ZONE_SECOND))
				return true;
		}
	}
	return false;
}

static void
random_day(struct hours_day *day)
{
	size_t count = tap_below(4);

	day->count = 0;
	while (count-- > 0)
	{
		int open = (int) tap_below(96) * 900;
		int close = (int) tap_below(97) * 900;

		hours_add(day, open, close, &err);
	}
}

/* A calendar with a few holidays around `date`. */
static void
random_calendar(struct hours_calendar *calendar, struct hours_holiday dates[4], int32_t date)
{
	memset(calendar, 0, sizeof(*calendar));
	for (int weekday = 0; weekday < 7; weekday++)
		random_day(&calendar->week[weekday]);
	date -= 3;
	for (int i = 0; i < 4; i++)
	{
		dates[i].date = date += 1 + (int32_t) tap_below(3);
		random_day(&dates[i].hours);
	}
	calendar->holidays = dates;
	calendar->holiday_count = tap_below(5);
}

/* Every step of a quarter of an hour from `from` up to `to`, and the microsecond before it. */
static bool
plainly_constant(const struct hours_calendar *calendar, const struct zone *zone, zone_instant from,
				 zone_instant to, bool open)
{
	int64_t quarter = 15 * ZONE_MINUTE;

	for (zone_instant at = from; at < to; at += quarter - ((at % quarter) + quarter) % quarter)
	{
		if (plainly_open(calendar, zone, at) != open)
			return false;
	}
	return plainly_open(calendar, zone, to - 1) == open;
}

/* The list of openings, taken three at a time, alternates with closed time and covers the range. */
static void
check_spans(const struct hours_calendar *calendar, const struct zone *zone, zone_instant from,
			zone_instant to)
{
	struct hours_span spans[3];
	zone_instant at = from;
	int count;

	do
	{
		count = hours_spans(calendar, zone, at, to, spans, 3);
		for (int i = 0; i < count; i++)
		{
			check_that(spans[i].from >= at && spans[i].from < spans[i].to && spans[i].to <= to);
			check_that(spans[i].from == at ||
					   plainly_constant(calendar, zone, at, spans[i].from, false));
			check_that(plainly_constant(calendar, zone, spans[i].from, spans[i].to, true));
			at = spans[i].to;
		}
	} while (count == 3);
	check_that(count >= 0);
	check_that(at == to || plainly_constant(calendar, zone, at, to, false));
}

static void
same_as_plain_reading(void)
{
	int opened = 0;

	for (int n = 0; n < 700; n++)
	{
		const struct zone *zone = zone_of((size_t) n);
		const struct zone_table *table = zone->state;
		int64_t near = table->line[tap_below((size_t) table->count)].since;
		zone_instant at =
			((near != 0 ? near : 1790000000) + (int64_t) tap_below(500000) - 250000) * ZONE_SECOND;
		struct hours_holiday dates[4];
		struct hours_calendar calendar;
		zone_instant open;
		zone_instant close;

		random_calendar(&calendar, dates, zone_local_day(zone_to_local(zone, at)));
		check_that(hours_check(&calendar, &err));
		open = hours_next_open(&calendar, zone, at);
		close = hours_next_close(&calendar, zone, at);
		check_that(hours_is_open(&calendar, zone, at) == plainly_open(&calendar, zone, at));
		check_spans(&calendar, zone, at, at + 5 * ZONE_DAY);
		if (open == ZONE_NEVER)
			continue;
		opened++;
		check_that(open == at || plainly_constant(&calendar, zone, at, open, false));
		check_that(hours_next_open(&calendar, zone, open) == open);
		check_that(close > open);
		if (close != ZONE_NEVER)
			check_that(plainly_constant(&calendar, zone, open, close, true) &&
					   !plainly_open(&calendar, zone, close));
	}
	checked("random calendars: every answer is that of a plain reading of the rules");
	ok(opened > 600, "%d of them open some day", opened);
}

static void
ranges(void)
{
	struct hours_calendar calendar = office();
	struct hours_span spans[8];
	zone_instant monday = in_zone(&berlin, 2026, 6, 1, 0, 0);

	is_int(hours_spans(&calendar, &berlin, monday, monday + 7 * ZONE_DAY, spans, 8), 6,
		   "a week has six openings");
	is_int(spans[5].to, in_zone(&berlin, 2026, 6, 7, 2, 0), "the last ends on Sunday at two");
	hours_spans(&calendar, &berlin, monday + 12 * ZONE_HOUR, monday + 13 * ZONE_HOUR, spans, 8);
	ok(spans[0].from == monday + 12 * ZONE_HOUR && spans[0].to == monday + 13 * ZONE_HOUR,
	   "an opening is cut to the range at both ends");
	is_int(hours_spans(&calendar, &berlin, monday, monday, spans, 8), 0, "an empty range has none");
	is_int(hours_spans(&calendar, &berlin, monday, monday + 7 * ZONE_DAY, spans, 0), 0, "nor room");
	is_int(hours_spans(&calendar, &berlin, monday, monday - 1, spans, 8), -1,
		   "reversed is refused");
	is_int(hours_spans(&calendar, &berlin, monday, monday + 3661 * ZONE_DAY, spans, 8), -1,
		   "so is eleven years");
	is_int(hours_spans(&calendar, &berlin, monday, ZONE_NEVER, spans, 8), -1, "and for ever");
}

int
main(void)
{
	plan(0);
	known_days();
	clock_changes();
	holidays();
	never();
	adding();
	ranges();
	same_as_plain_reading();
	return done();
}
