/*
 * zone_table.h: zones for tests, as tables of their clock changes, and dates written as people do.
 *
 * The real rules of a few places for the years that the tests use. Each is here for something: the
 * usual change in spring and autumn east (Berlin) and west (New York) of UTC, an offset of half an
 * hour without changes (Kolkata), a date that never was (Apia 2011-12-30), a midnight that is
 * skipped or comes after a doubled hour (Sao Paulo), a change of half an hour (Lord Howe).
 */
#ifndef VA_TEST_ZONE_TABLE_H
#define VA_TEST_ZONE_TABLE_H

#include <stddef.h>

#include "core/zone.h"

/* From this second on (UTC) clocks are that far ahead. The first line holds for all time before. */
struct zone_line
{
	int64_t since;
	int32_t offset;
};

struct zone_table
{
	int count;
	struct zone_line line[12];
};

static inline int32_t
zone_table_offset(const void *state, int64_t utc_seconds)
{
	const struct zone_table *table = state;
	int i = table->count - 1;

	while (i > 0 && table->line[i].since > utc_seconds)
		i--;
	return table->line[i].offset;
}

static const struct zone_table utc_table = {1, {{0, 0}}};
static const struct zone_table kolkata_table = {1, {{0, 19800}}};
static const struct zone_table berlin_table = {11,
											   {{0, 3600},
												{1711846800, 7200},
												{1729990800, 3600},
												{1743296400, 7200},
												{1761440400, 3600},
												{1774746000, 7200},
												{1792890000, 3600},
												{1806195600, 7200},
												{1824944400, 3600},
												{1837645200, 7200},
												{1856394000, 3600}}};
static const struct zone_table new_york_table = {11,
												 {{0, -18000},
												  {1710054000, -14400},
												  {1730613600, -18000},
												  {1741503600, -14400},
												  {1762063200, -18000},
												  {1772953200, -14400},
												  {1793512800, -18000},
												  {1805007600, -14400},
												  {1825567200, -18000},
												  {1836457200, -14400},
												  {1857016800, -18000}}};
static const struct zone_table apia_table = {6,
											 {{0, -36000},
											  {1301752800, -39600},
											  {1316872800, -36000},
											  {1325239200, 50400},
											  {1333202400, 46800},
											  {1348927200, 50400}}};
static const struct zone_table sao_paulo_table = {
	4, {{0, -7200}, {1518919200, -10800}, {1541300400, -7200}, {1550368800, -10800}}};
static const struct zone_table lord_howe_table = {7,
												  {{0, 39600},
												   {1743865200, 37800},
												   {1759591800, 39600},
												   {1775314800, 37800},
												   {1791041400, 39600},
												   {1806764400, 37800},
												   {1822491000, 39600}}};

static const struct zone utc = {zone_table_offset, &utc_table};
static const struct zone kolkata = {zone_table_offset, &kolkata_table};
static const struct zone berlin = {zone_table_offset, &berlin_table};
static const struct zone new_york = {zone_table_offset, &new_york_table};
static const struct zone apia = {zone_table_offset, &apia_table};
static const struct zone sao_paulo = {zone_table_offset, &sao_paulo_table};
static const struct zone lord_howe = {zone_table_offset, &lord_howe_table};

static inline const struct zone *
zone_of(size_t i)
{
	static const struct zone *const all[] = {&utc,	&berlin,	&new_york, &kolkata,
											 &apia, &sao_paulo, &lord_howe};

	return all[i % 7];
}

/* An instant by its UTC date and time, or a wall clock time: the number is the same. */
static inline int64_t
stamp(int year, int month, int day, int hour, int minute)
{
	return zone_day(year, month, day) * ZONE_DAY + hour * ZONE_HOUR + minute * ZONE_MINUTE;
}

/* The first instant at which a zone's clock shows that. */
static inline zone_instant
in_zone(const struct zone *zone, int year, int month, int day, int hour, int minute)
{
	return zone_to_utc(zone, stamp(year, month, day, hour, minute));
}

#endif
