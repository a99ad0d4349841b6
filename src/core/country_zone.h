/*
 * country_zone.h: which time zone a telephone number points to.
 *
 * Nobody should be called at night, and a number is often all that is known of where a lead lives. A
 * country of several zones has that of most of its people, unless its area codes tell more (North
 * America, Australia, Kazakhstan); numbers that belong to no place have none.
 */
#ifndef VA_CORE_COUNTRY_ZONE_H
#define VA_CORE_COUNTRY_ZONE_H

/* The IANA name of the zone for a number in E.164 ("+49…"); NULL when there is none to be told. */
const char *country_zone(const char *number);

#endif
