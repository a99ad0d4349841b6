/*
 * ics.h: calendar invitations, RFC 5545 (iCalendar) and RFC 5546 (iTIP).
 *
 * One VEVENT that an organizer asks people to (REQUEST, again with a higher SEQUENCE when it is
 * moved) or calls off (CANCEL). All times are UTC: then no description of a time zone is needed,
 * and none can be wrong.
 */
#ifndef VA_CORE_ICS_H
#define VA_CORE_ICS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/error.h"

#define ICS_MAX_ATTENDEES 10

struct ics_person
{
	const char *email; /* as mail_address_good has it */
	const char *name; /* NULL for none */
};

struct ics_event
{
	const char *method; /* "REQUEST" or "CANCEL" */
	const char *uid; /* the same for all messages about one appointment */
	int64_t sequence; /* 0 for the first, more after each change */
	int64_t stamp; /* when this message was made; seconds since 1970, as the next two */
	int64_t start;
	int64_t end;
	const char *summary; /* UTF-8 */
	const char *description; /* NULL for none, as the next two */
	const char *location;
	const char *url;
	struct ics_person organizer;
	struct ics_person attendees[ICS_MAX_ATTENDEES];
	size_t attendee_count;
	int64_t alarm_minutes; /* before the start; -1 for none */
};

/* Reads an object {"method", "uid", "sequence", "stamp", "start", "end", "summary", "description",
 * "location", "url", "organizer": {"email", "name"}, "attendees": [...], "alarm_minutes"}. The
 * texts remain the object's. */
bool ics_read(struct json_object *from, struct ics_event *event, struct va_error *err);

/* Prints a VCALENDAR with CRLF line ends, no line longer than 75 octets. False when the event
 * breaks a rule of iTIP or does not fit. */
bool ics_print(struct buf *out, const struct ics_event *event, struct va_error *err);

#endif
