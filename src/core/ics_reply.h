/*
 * ics_reply.h: what somebody answered to an invitation (RFC 5546, 3.2.3).
 */
#ifndef VA_CORE_ICS_REPLY_H
#define VA_CORE_ICS_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ics_reply
{
	char uid[256];
	char partstat[32]; /* ACCEPTED, DECLINED, TENTATIVE, in upper case */
	int64_t sequence; /* of the invitation that was answered */
};

/* Reads an iCalendar object with METHOD:REPLY. False when it is none, or names no event or no
 * answer in printable ASCII. text need not end in NUL. */
bool ics_read_reply(const char *text, size_t len, struct ics_reply *reply);

#endif
