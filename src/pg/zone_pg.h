/*
 * zone_pg.h: the server's time zones as zones of core.
 */
#ifndef VA_PG_ZONE_PG_H
#define VA_PG_ZONE_PG_H

#include "datatype/timestamp.h"

#include "core/zone.h"

/* Fills *zone for a name that the server knows ("Europe/Berlin"); valid as long as the process. False
 * for any other. */
extern bool zone_pg_find(const char *name, struct zone *zone);

/* The same, with an error of SQLSTATE VA009 for any other name. */
extern void zone_pg_demand(const char *name, struct zone *zone);

/* A timestamptz as an instant and back; infinite ones are beyond ZONE_LAST and ZONE_FIRST. */
extern zone_instant zone_pg_from(TimestampTz at);
extern TimestampTz zone_pg_to(zone_instant at);

#endif
