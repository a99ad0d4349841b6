/*
 * business_hours.h: when somebody is open, on the clock of their own zone.
 *
 * A calendar is hours for each weekday and a list of dates that differ (holidays). It serves a
 * tenant's opening hours, a person's working hours and the hours in which a lead may be contacted.
 *
 * Rules:
 * - Hours belong to the date on which they begin and may run past midnight, at most 24 h long.
 *   Overlapping and touching hours are one opening.
 * - A date in the list has exactly the hours listed for it, none if it is closed: hours begun the
 *   evening before end at its midnight. (A closed day that is open until 2 would send callers to
 *   people who are at home; whoever wants those two hours lists 00:00 to 02:00 for the date.) Hours
 *   that begin on a listed date run past midnight like any other, unless the next is listed too.
 * - An opening is one unbroken span from the instant the clock first shows the opening time, or
 *   would have if it was skipped, to the instant it first shows the closing time. A night shift is
 *   an hour shorter or longer when clocks change, and hours that lie within the gap do not occur.
 * - Openings include their first instant and not their last.
 */
#ifndef VA_CORE_BUSINESS_HOURS_H
#define VA_CORE_BUSINESS_HOURS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "core/zone.h"

#define HOURS_PER_DAY_MAX 8
#define HOURS_HORIZON_DAYS 400 /* next_open and next_close look this far ahead */
#define HOURS_RANGE_DAYS 3660 /* the longest range hours_spans takes */
#define HOURS_DAY_SECONDS 86400

/* Wall clock seconds from the midnight that begins the date: 0 <= open < 86400, open < close <=
 * open + 86400. A close beyond 86400 is on the next date. */
struct hours_interval
{
	int32_t open;
	int32_t close;
};

struct hours_day
{
	int count; /* 0 = closed */
	struct hours_interval interval[HOURS_PER_DAY_MAX];
};

/* A date that differs from its weekday. */
struct hours_holiday
{
	int32_t date; /* days since 1970-01-01, see zone_day */
	struct hours_day hours;
};

/* All zero is "never open". The holidays are the caller's, ascending by date, each date once. */
struct hours_calendar
{
	struct hours_day week[7]; /* 0 = Sunday */
	const struct hours_holiday *holidays;
	size_t holiday_count;
};

/* An opening: from <= t < to. */
struct hours_span
{
	zone_instant from;
	zone_instant to; /* ZONE_NEVER: does not close within the horizon */
};

/*
 * Adds hours to a day, as people write them: open 0..86399 (00:00 to 23:59:59), close 1..86400
 * (up to 24:00); a close at or before the open is on the next date, so 22:00 to 02:00 works. Equal
 * times are refused, as nobody can say whether they mean all day or not at all: a whole day is
 * 00:00 to 24:00. False with *err filled, and the day unchanged, otherwise.
 */
bool hours_add(struct hours_day *day, int32_t open, int32_t close, struct va_error *err);

/* Adds hours as struct hours_interval has them, in order. False as hours_add. */
bool hours_put(struct hours_day *day, int32_t open, int32_t close, struct va_error *err);

/* The same hours on all seven days. False as hours_add. */
bool hours_every_day(struct hours_calendar *calendar, int32_t open, int32_t close,
					 struct va_error *err);

/* Is every interval within its bounds and the list of holidays in order? The functions below take
 * only calendars for which this is true. */
bool hours_check(const struct hours_calendar *calendar, struct va_error *err);

/* Is it open at this instant? False outside the years 1 to 9999. */
bool hours_is_open(const struct hours_calendar *calendar, const struct zone *zone, zone_instant at);

/* The first instant, at or after `at`, at which it is open: `at` itself if it is. ZONE_NEVER when
 * there is none within the horizon. */
zone_instant hours_next_open(const struct hours_calendar *calendar, const struct zone *zone,
							 zone_instant at);

/* The end of the opening under way at `at`, or of the next one if it is closed. ZONE_NEVER when
 * there is none or it does not end within the horizon (open around the clock). */
zone_instant hours_next_close(const struct hours_calendar *calendar, const struct zone *zone,
							  zone_instant at);

/*
 * The openings within from <= t < to, cut to it, ascending and apart from each other. Writes at
 * most `max` and returns how many; to go on, call again from the end of the last one. -1 when the
 * range is reversed, longer than HOURS_RANGE_DAYS or outside the years 1 to 9999.
 */
int hours_spans(const struct hours_calendar *calendar, const struct zone *zone, zone_instant from,
				zone_instant to, struct hours_span *spans, int max);

#endif
