/*
 * hours.h: calendars out of triples of integers, the form in which SQL hands hours to C.
 */
#ifndef VA_PG_HOURS_H
#define VA_PG_HOURS_H

#include "core/business_hours.h"

/* Makes a calendar. week: triples of weekday (0 = Sunday), opening and closing second of the local day;
 * dates: the same with days since 1970-01-01, ascending, opening -1 for a closed date. The counts are
 * of triples. The dates live in the present memory context. An error of SQLSTATE VA005 or VA009 for
 * what is no calendar. */
extern void hours_from_triples(const int32_t *week, int week_count, const int32_t *dates,
							   int date_count, struct hours_calendar *calendar);

#endif
