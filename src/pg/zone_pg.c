/*
 * zone_pg.c: pg_tz behind struct zone, timestamptz as an instant, and the SQL functions about zones.
 *
 * The server keeps every zone it has once loaded, so a pointer to one never dies.
 */
#include "postgres.h"

#include "fmgr.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "core/country_zone.h"
#include "pg/errcodes.h"
#include "pg/zone_pg.h"

PG_FUNCTION_INFO_V1(va_zone_known);
PG_FUNCTION_INFO_V1(va_phone_zone);

#define EPOCH_SHIFT ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

static int32_t
offset_of(const void *state, int64_t utc_seconds)
{
	pg_time_t at = (pg_time_t) utc_seconds;
	struct pg_tm *tm = pg_localtime(&at, (const pg_tz *) state);

	return tm == NULL ? 0 : (int32_t) tm->tm_gmtoff;
}

bool
zone_pg_find(const char *name, struct zone *zone)
{
	pg_tz *tz = pg_tzset(name);

	if (tz == NULL || !pg_tz_acceptable(tz))
		return false;
	zone->offset = offset_of;
	zone->state = tz;
	return true;
}

void
zone_pg_demand(const char *name, struct zone *zone)
{
	if (!zone_pg_find(name, zone))
		ereport(ERROR, (errcode(ERRCODE_VA_SETTING), errmsg("unknown time zone \"%s\"", name),
						errhint("pg_timezone_names lists them, for instance Europe/Berlin.")));
}

zone_instant
zone_pg_from(TimestampTz at)
{
	if (TIMESTAMP_IS_NOBEGIN(at))
		return INT64_MIN;
	if (TIMESTAMP_IS_NOEND(at))
		return ZONE_NEVER;
	return at + EPOCH_SHIFT;
}

TimestampTz
zone_pg_to(zone_instant at)
{
	return at == ZONE_NEVER ? DT_NOEND : at - EPOCH_SHIFT;
}

/* va_zone_known(text) RETURNS boolean: is it the name of a time zone? */
Datum
va_zone_known(PG_FUNCTION_ARGS)
{
	struct zone zone;

	PG_RETURN_BOOL(zone_pg_find(text_to_cstring(PG_GETARG_TEXT_PP(0)), &zone));
}

/* va_phone_zone(text) RETURNS text: the zone that a number in E.164 points to, NULL for none. */
Datum
va_phone_zone(PG_FUNCTION_ARGS)
{
	const char *zone = country_zone(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	if (zone == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(zone));
}
