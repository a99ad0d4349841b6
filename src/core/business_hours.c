/*
 * business_hours.c: all questions about opening hours are one search.
 *
 * find_opening walks the dates from two days before the instant, turns each date's hours into
 * spans of instants, and joins spans that touch until one that ends after the instant is complete.
 * Spans come in ascending order because a date's intervals are sorted and zone_to_utc never goes
 * back. Being open, next opening, next closing and the list in a range all follow from that span,
 * so they cannot disagree.
 */
#include "core/business_hours.h"

static const struct hours_holiday *
find_holiday(const struct hours_calendar *calendar, int32_t date)
{
	size_t low = 0;
	size_t high = calendar->holiday_count;

	while (low < high)
	{
		size_t middle = low + (high - low) / 2;

		if (calendar->holidays[middle].date < date)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < calendar->holiday_count && calendar->holidays[low].date == date)
		return &calendar->holidays[low];
	return NULL;
}

bool
hours_put(struct hours_day *day, int32_t open, int32_t close, struct va_error *err)
{
	int at;

	if (open < 0 || open >= HOURS_DAY_SECONDS || close <= open || close > open + HOURS_DAY_SECONDS)
		return va_fail(err, "hours must begin on their date and last up to 24 hours");
	if (day->count >= HOURS_PER_DAY_MAX)
		return va_fail(err, "a day can have at most %d intervals", HOURS_PER_DAY_MAX);
	for (at = day->count; at > 0 && day->interval[at - 1].open > open; at--)
		day->interval[at] = day->interval[at - 1];
	day->interval[at].open = open;
	day->interval[at].close = close;
	day->count++;
	return true;
}

bool
hours_add(struct hours_day *day, int32_t open, int32_t close, struct va_error *err)
{
	if (open < 0 || open >= HOURS_DAY_SECONDS)
		return va_fail(err, "the opening time must be from 00:00 to 23:59:59");
	if (close < 0 || close > HOURS_DAY_SECONDS)
		return va_fail(err, "the closing time must be from 00:00 to 24:00");
	if (open == close)
		return va_fail(err, "hours that open and close at the same time are neither open nor "
							"closed; a whole day is 00:00 to 24:00");
	return hours_put(day, open, close < open ? close + HOURS_DAY_SECONDS : close, err);
}

bool
hours_every_day(struct hours_calendar *calendar, int32_t open, int32_t close, struct va_error *err)
{
	for (int weekday = 0; weekday < 7; weekday++)
	{
		if (!hours_add(&calendar->week[weekday], open, close, err))
			return false;
	}
	return true;
}

static bool
check_day(const struct hours_day *day, struct va_error *err)
{
	if (day->count < 0 || day->count > HOURS_PER_DAY_MAX)
		return va_fail(err, "a day can have at most %d intervals", HOURS_PER_DAY_MAX);
	for (int i = 0; i < day->count; i++)
	{
		const struct hours_interval *it = &day->interval[i];

		if (it->open < 0 || it->open >= HOURS_DAY_SECONDS || it->close <= it->open ||
			it->close > it->open + HOURS_DAY_SECONDS)
			return va_fail(err, "an interval must begin on its date and last up to 24 hours");
		if (i > 0 && it->open < day->interval[i - 1].open)
			return va_fail(err, "the intervals of a day must be in order");
	}
	return true;
}

bool
hours_check(const struct hours_calendar *calendar, struct va_error *err)
{
	for (int weekday = 0; weekday < 7; weekday++)
	{
		if (!check_day(&calendar->week[weekday], err))
			return false;
	}
	for (size_t i = 0; i < calendar->holiday_count; i++)
	{
		const struct hours_holiday *holiday = &calendar->holidays[i];

		if (!check_day(&holiday->hours, err))
			return false;
		if (i > 0 && holiday->date <= calendar->holidays[i - 1].date)
			return va_fail(err, "holidays must be in order, each date once");
	}
	return true;
}

static zone_instant
clock_to_utc(const struct zone *zone, int32_t date, int32_t seconds)
{
	return zone_to_utc(zone, date * ZONE_DAY + seconds * ZONE_SECOND);
}

/* The spans of the hours that begin on this date: returns how many. */
static int
spans_of_date(const struct hours_calendar *calendar, const struct zone *zone, int32_t date,
			  struct hours_span spans[HOURS_PER_DAY_MAX])
{
	const struct hours_holiday *holiday = find_holiday(calendar, date);
	const struct hours_day *day = holiday ? &holiday->hours : &calendar->week[zone_weekday(date)];
	bool cut = find_holiday(calendar, date + 1) != NULL;

	for (int i = 0; i < day->count; i++)
	{
		int32_t close = day->interval[i].close;

		if (cut && close > HOURS_DAY_SECONDS)
			close = HOURS_DAY_SECONDS;
		spans[i].from = clock_to_utc(zone, date, day->interval[i].open);
		spans[i].to = clock_to_utc(zone, date, close);
	}
	return day->count;
}

/*
 * The first opening that ends after `at`, among the hours of dates up to last_date. False when
 * there is none. found->to is ZONE_NEVER when it is still open after the last date.
 */
static bool
find_opening(const struct hours_calendar *calendar, const struct zone *zone, zone_instant at,
			 int32_t last_date, struct hours_span *found)
{
	struct hours_span spans[HOURS_PER_DAY_MAX];
	int32_t date = zone_local_day(zone_to_local(zone, at)) - 2;
	bool any = false;

	for (; date <= last_date; date++)
	{
		int count;

		if (any && found->to > at && found->to < clock_to_utc(zone, date, 0))
			return true; /* nothing from here on can touch it */
		count = spans_of_date(calendar, zone, date, spans);
		for (int i = 0; i < count; i++)
		{
			if (spans[i].from >= spans[i].to)
				continue; /* swallowed by a clock change */
			if (any && spans[i].from <= found->to)
			{
				if (spans[i].to > found->to)
					found->to = spans[i].to;
				continue;
			}
			if (any && found->to > at)
				return true;
			*found = spans[i];
			any = true;
		}
	}
	if (!any || found->to <= at)
		return false;
	if (found->to >= clock_to_utc(zone, date, 0))
		found->to = ZONE_NEVER;
	return true;
}

/* The search for next_open and next_close: within the horizon from `at`. */
static bool
find_soon(const struct hours_calendar *calendar, const struct zone *zone, zone_instant at,
		  struct hours_span *found)
{
	if (!zone_valid(at))
		return false;
	return find_opening(calendar, zone, at,
						zone_local_day(zone_to_local(zone, at)) + HOURS_HORIZON_DAYS, found);
}

bool
hours_is_open(const struct hours_calendar *calendar, const struct zone *zone, zone_instant at)
{
	struct hours_span span;

	/* Nothing that begins after tomorrow matters, and so 24/7 costs no more than an office. */
	if (!zone_valid(at) ||
		!find_opening(calendar, zone, at, zone_local_day(zone_to_local(zone, at)) + 1, &span))
		return false;
	return span.from <= at;
}

zone_instant
hours_next_open(const struct hours_calendar *calendar, const struct zone *zone, zone_instant at)
{
	struct hours_span span;

	if (hours_is_open(calendar, zone, at))
		return at;
	return find_soon(calendar, zone, at, &span) ? span.from : ZONE_NEVER;
}

zone_instant
hours_next_close(const struct hours_calendar *calendar, const struct zone *zone, zone_instant at)
{
	struct hours_span span;

	return find_soon(calendar, zone, at, &span) ? span.to : ZONE_NEVER;
}

int
hours_spans(const struct hours_calendar *calendar, const struct zone *zone, zone_instant from,
			zone_instant to, struct hours_span *spans, int max)
{
	int count = 0;
	int32_t last_date;

	if (!zone_valid(from) || !zone_valid(to) || to < from ||
		to - from > HOURS_RANGE_DAYS * ZONE_DAY)
		return -1;
	last_date = zone_local_day(zone_to_local(zone, to)) + 1;
	while (count < max && from < to)
	{
		struct hours_span span;

		if (!find_opening(calendar, zone, from, last_date, &span) || span.from >= to)
			break;
		spans[count].from = span.from > from ? span.from : from;
		spans[count].to = span.to < to ? span.to : to;
		from = spans[count++].to;
	}
	return count;
}
