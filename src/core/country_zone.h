/*
 * country_zone.h: which time zone a telephone number points to.
 *
 * Nobody should be called at night, and a number's country code is often all that is known of where
 * a lead lives. A country with one zone for nearly everybody has it here; one that spans several
 * (North America, Russia, Brazil, Australia, Mexico and others) has none, for a wrong zone is worse than
 * the tenant's own, whose leads are mostly its neighbours.
 */
#ifndef VA_CORE_COUNTRY_ZONE_H
#define VA_CORE_COUNTRY_ZONE_H

/* The IANA name of the zone for a number in E.164 ("+49…"); NULL when there is none to be told. */
const char *country_zone(const char *number);

#endif
