/*
 * zone.h: instants, wall clocks, and the rule that leads from one to the other.
 *
 * Follow-ups and opening hours are promises about a wall clock somewhere ("09:00 where the lead
 * lives"), while work is due at an instant. The only thing that must be known about a place is how
 * far its clocks are from UTC at an instant, so that is all a zone has to offer: one function. The
 * server answers it from its own time zone tables, the tests from a table of a few lines, and the
 * delicate part, daylight-saving changes, is decided here once for everybody:
 *
 *   a wall clock time that is skipped   is the first instant after the gap;
 *   a wall clock time that comes twice  is its first occurrence.
 *
 * Both are the same sentence: the first instant at which the clock shows that time or a later one.
 */
#ifndef VA_CORE_ZONE_H
#define VA_CORE_ZONE_H

#include <stdbool.h>
#include <stdint.h>

/* Microseconds since 1970-01-01 00:00:00 UTC: the resolution of timestamptz, so that nothing is
 * rounded on the way in or out. */
typedef int64_t zone_instant;

/* What a wall clock shows, as microseconds since it showed 1970-01-01 00:00:00. */
typedef int64_t zone_local;

#define ZONE_SECOND INT64_C(1000000)
#define ZONE_MINUTE (60 * ZONE_SECOND)
#define ZONE_HOUR (60 * ZONE_MINUTE)
#define ZONE_DAY (24 * ZONE_HOUR)

/* The instants that these modules calculate with: the years 1 to 9999. */
#define ZONE_FIRST (INT64_C(-62135596800) * ZONE_SECOND)
#define ZONE_LAST (INT64_C(253402300799) * ZONE_SECOND)

/* Later than every instant: "does not happen within the horizon of the search". */
#define ZONE_NEVER INT64_MAX

/* No zone is further from UTC than this, in seconds; a larger answer is cut to it. */
#define ZONE_OFFSET_MAX 86400

/*
 * A place's clocks. offset returns how many seconds they are ahead of UTC (east is positive) at an
 * instant given in whole seconds since 1970 UTC. It must be a pure function of its arguments, with
 * at most one change within any 52 hours (no zone of the IANA data has had two).
 */
struct zone
{
	int32_t (*offset)(const void *state, int64_t utc_seconds);
	const void *state;
};

/* Is this an instant of the years 1 to 9999? */
bool zone_valid(zone_instant at);

/* What the clock shows at an instant between ZONE_FIRST and ZONE_LAST. */
zone_local zone_to_local(const struct zone *zone, zone_instant at);

/* The first instant at which the clock shows `local` or later. Never decreases as local grows. */
zone_instant zone_to_utc(const struct zone *zone, zone_local local);

/* The date of a wall clock time, in days since 1970-01-01 (negative before). */
int32_t zone_local_day(zone_local local);

/* The number of a Gregorian date (month 1..12, day 1..31, years 1..9999), in days since 1970-01-01. */
int32_t zone_day(int32_t year, int32_t month, int32_t day);

/* 0 = Sunday .. 6 = Saturday. */
int zone_weekday(int32_t day);

#endif
