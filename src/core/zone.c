/*
 * zone.c: from instants to wall clocks and back.
 *
 * The way back has no formula: the offset depends on the instant that is looked for. Around any
 * wall clock time there is a window of two days which is certain to contain the instant. Where the
 * offset is the same at both ends of it, the answer is one subtraction; only within a day of a
 * clock change the change itself is looked up by bisection.
 */
#include "core/zone.h"

#define SEARCH_SECONDS (26 * 3600) /* more than any offset */

static int64_t
floor_div(int64_t value, int64_t by)
{
	int64_t quotient = value / by;

	if (value % by < 0)
		quotient--;
	return quotient;
}

static int64_t
offset_at(const struct zone *zone, int64_t utc_seconds)
{
	int32_t offset = zone->offset(zone->state, utc_seconds);

	if (offset > ZONE_OFFSET_MAX)
		return ZONE_OFFSET_MAX;
	if (offset < -ZONE_OFFSET_MAX)
		return -ZONE_OFFSET_MAX;
	return offset;
}

bool
zone_valid(zone_instant at)
{
	return at >= ZONE_FIRST && at <= ZONE_LAST;
}

zone_local
zone_to_local(const struct zone *zone, zone_instant at)
{
	return at + offset_at(zone, floor_div(at, ZONE_SECOND)) * ZONE_SECOND;
}

/* The first second in (low, high] that has no longer the offset of low. */
static int64_t
find_change(const struct zone *zone, int64_t low, int64_t high, int64_t before)
{
	while (high - low > 1)
	{
		int64_t middle = low + (high - low) / 2;

		if (offset_at(zone, middle) == before)
			low = middle;
		else
			high = middle;
	}
	return high;
}

zone_instant
zone_to_utc(const struct zone *zone, zone_local local)
{
	int64_t wanted = floor_div(local, ZONE_SECOND);
	int64_t low = wanted - SEARCH_SECONDS;
	int64_t high = wanted + SEARCH_SECONDS;
	int64_t before = offset_at(zone, low);
	int64_t after = offset_at(zone, high);
	zone_instant change;

	if (before == after)
		return local - before * ZONE_SECOND;
	change = find_change(zone, low, high, before) * ZONE_SECOND;
	if (local - before * ZONE_SECOND < change)
		return local - before * ZONE_SECOND;
	if (local - after * ZONE_SECOND < change)
		return change; /* the clock jumped over it */
	return local - after * ZONE_SECOND;
}

int32_t
zone_local_day(zone_local local)
{
	return (int32_t) floor_div(local, ZONE_DAY);
}

/* Years are counted from March, so that the leap day is the last day of its year. */
int32_t
zone_day(int32_t year, int32_t month, int32_t day)
{
	int32_t y = month <= 2 ? year - 1 : year;
	int32_t from_march = month > 2 ? month - 3 : month + 9;
	int32_t leap_days = y / 4 - y / 100 + y / 400;

	return 365 * y + leap_days + (153 * from_march + 2) / 5 + day - 1 - 719468;
}

int
zone_weekday(int32_t day)
{
	return (int) (floor_div(day, 7) * -7 + day + 4) % 7; /* 1970-01-01 was a Thursday */
}
