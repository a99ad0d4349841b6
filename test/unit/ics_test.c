/* ics: the shape of a REQUEST and a CANCEL; lines of at most 75 octets and texts that come back; answers. */
#include "core/ics.h"

#include "core/ics_reply.h"
#include "core/utf8.h"
#include "tap.h"

static struct ics_event
sample(void)
{
	return (struct ics_event){
		.method = "REQUEST",
		.uid = "7f3c2b1e-0000-4000-8000-000000000001",
		.sequence = 2,
		.stamp = 1788100000,
		.start = 1788200000,
		.end = 1788201800,
		.summary = "Demo, round 2; with Zo\xC3\xAB",
		.description = "Line one\nLine two: C:\\temp",
		.location = "Room 4, Main St",
		.url = "https://meet.example.test/a?b=c",
		.organizer = {"sales@example.test", "Example \"Best\" Sales"},
		.attendees = {{"ann@example.test", "Ann Lee"}, {"bob@example.test", NULL}},
		.attendee_count = 2,
		.alarm_minutes = 15,
	};
}

static char printed[65536];

static bool
print(const struct ics_event *event, struct va_error *err)
{
	struct buf out;

	buf_init(&out, printed, sizeof(printed));
	return ics_print(&out, event, err);
}

static void
whole(void)
{
	struct va_error err = {""};
	struct ics_event event = sample();

	ok(print(&event, &err), "a request: %s", err.text);
	is_str(printed,
		   "BEGIN:VCALENDAR\r\nPRODID:-//voiceagent//voiceagent//"
		   "EN\r\nVERSION:2.0\r\nCALSCALE:GREGORIAN\r\n"
		   "METHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:7f3c2b1e-0000-4000-8000-000000000001\r\nSEQUENCE:"
		   "2\r\n"
		   "DTSTAMP:20260830T142640Z\r\nDTSTART:20260831T181320Z\r\nDTEND:20260831T184320Z\r\n"
		   "SUMMARY:Demo\\, round 2\\; with Zo\xC3\xAB\r\n"
		   "DESCRIPTION:Line one\\nLine two: C:\\\\temp\r\nLOCATION:Room 4\\, Main St\r\n"
		   "URL:https://meet.example.test/a?b=c\r\n"
		   "ORGANIZER;CN=\"Example Best Sales\":mailto:sales@example.test\r\n"
		   "ATTENDEE;CUTYPE=INDIVIDUAL;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=\r\n"
		   " TRUE;CN=\"Ann Lee\":mailto:ann@example.test\r\n"
		   "ATTENDEE;CUTYPE=INDIVIDUAL;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=\r\n"
		   " TRUE:mailto:bob@example.test\r\n"
		   "STATUS:CONFIRMED\r\nTRANSP:OPAQUE\r\nBEGIN:VALARM\r\nACTION:DISPLAY\r\n"
		   "DESCRIPTION:Demo\\, round 2\\; with Zo\xC3\xAB\r\nTRIGGER:-PT15M\r\nEND:VALARM\r\n"
		   "END:VEVENT\r\nEND:VCALENDAR\r\n",
		   "byte for byte");
	event.method = "CANCEL";
	event.sequence = 3;
	ok(print(&event, &err), "a cancellation: %s", err.text);
	ok(strstr(printed, "METHOD:CANCEL\r\n") && strstr(printed, "SEQUENCE:3\r\n") &&
		   strstr(printed, "STATUS:CANCELLED\r\n") &&
		   strstr(printed, "DTSTART:20260831T181320Z\r\n") && !strstr(printed, "VALARM") &&
		   !strstr(printed, "RSVP"),
	   "with its own status, the old time and no alarm");
}

static void
refused(void)
{
	struct va_error err = {""};
	struct ics_event event;
	char small[100];
	struct buf out;

#define REFUSED(member, value, why)                                                                \
	do                                                                                             \
	{                                                                                              \
		event = sample();                                                                          \
		event.member = value;                                                                      \
		ok(!print(&event, &err), "refused: " #member " = " #value);                                \
		is_str(err.text, why, "with the reason");                                                  \
	} while (0)
	REFUSED(method, "PUBLISH", "an invitation's method is REQUEST or CANCEL");
	REFUSED(uid, "", "an invitation needs a uid of letters, digits, - _ . and @");
	REFUSED(uid, "a\r\nATTENDEE:x", "an invitation needs a uid of letters, digits, - _ . and @");
	REFUSED(summary, "", "an invitation needs a summary");
	REFUSED(sequence, -1, "an invitation's sequence is out of range");
	REFUSED(end, event.start, "an invitation's end must lie after its start");
	REFUSED(organizer.email, "a@b.test\r\nX:y",
			"an invitation needs an organizer with an e-mail address");
	REFUSED(attendee_count, 0, "an invitation needs somebody to invite");
	REFUSED(attendees[1].email, "nobody", "\"nobody\" cannot be invited");
	REFUSED(stamp, -1, "an invitation's time is out of range");
	REFUSED(end, INT64_MAX, "an invitation's time is out of range");
	event = sample();
	buf_init(&out, small, sizeof(small));
	ok(!ics_print(&out, &event, &err), "too small a buffer");
	event.url = "https://x.test/\r\nATTENDEE:mailto:x@y.test";
	ok(print(&event, &err) && strstr(printed, "URL:") == NULL, "an URL that is none is left out");
	event.url = "https://x.test/\x01";
	ok(print(&event, &err) && strstr(printed, "URL:") == NULL, "and one with a control character");
}

/* Unfolds and finds a property's value; unescapes it. */
static void
value_of(const char *name, char *out, size_t size)
{
	static char flat[sizeof(printed)];
	size_t len = 0;
	const char *at;

	for (const char *c = printed; *c != '\0'; c++)
	{
		if (c[0] == '\r' && c[1] == '\n' && c[2] == ' ')
			c += 2;
		else
			flat[len++] = *c;
	}
	flat[len] = '\0';
	at = strstr(flat, name);
	len = 0;
	if (at != NULL)
	{
		for (at += strlen(name); *at != '\r' && len + 1 < size; at++)
		{
			if (at[0] == '\\')
			{
				at++;
				out[len++] = *at == 'n' ? '\n' : *at;
			}
			else
				out[len++] = *at;
		}
	}
	out[len] = '\0';
}

static void
round_trip(void)
{
	static const char *const some[] = {"a",
									   "word ",
									   ";",
									   ",",
									   "\\",
									   ":",
									   "\n",
									   "\"",
									   "\xC3\xBC",
									   "\xE2\x82\xAC",
									   "\xF0\x9F\x98\x80",
									   "BEGIN:"};

	for (int i = 0; i < 3000; i++)
	{
		struct ics_event event = sample();
		char text[1200] = "x", back[1200];
		struct va_error err = {""};
		size_t len = 1;

		for (size_t n = tap_below(200); n > 0; n--)
			len += (size_t) snprintf(text + len, 8, "%s",
									 some[tap_below(sizeof(some) / sizeof(some[0]))]);
		event.summary = event.description = text;
		event.organizer.name = event.attendees[0].name = text;
		check_that(print(&event, &err));
		for (const char *line = printed; *line != '\0';)
		{
			size_t octets = strcspn(line, "\r\n");

			check_that(octets > 0 && octets <= 75);
			check_that(line[octets] == '\r' && line[octets + 1] == '\n');
			check_that(utf8_valid(line, octets));
			line += octets + 2;
		}
		value_of("\r\nSUMMARY:", back, sizeof(back));
		check_that(strcmp(back, text) == 0);
		value_of("\r\nDESCRIPTION:", back, sizeof(back));
		check_that(strcmp(back, text) == 0);
		value_of("\r\nSTATUS:", back, sizeof(back));
		check_that(strcmp(back, "CONFIRMED") == 0);
	}
	checked("short lines of whole characters, and texts that come back");
}

static void
replies(void)
{
	static const struct
	{
		const char *text;
		const char *wanted; /* uid partstat sequence, or NULL */
	} cases[] = {
		{"BEGIN:VCALENDAR\r\nMETHOD:REPLY\r\nBEGIN:VEVENT\r\nUID:u1\r\nSEQUENCE:3\r\n"
		 "ATTENDEE;PARTSTAT=ACCEPTED;CN=Ann:mailto:ann@example.test\r\nEND:VEVENT\r\nEND:"
		 "VCALENDAR\r\n",
		 "u1 ACCEPTED 3"},
		{"METHOD:reply\nBEGIN:VEVENT\nATTENDEE;CN=\"A\";partsta\n "
		 "t=declined:mailto:a@b.test\nUID:u\n 2\n",
		 "u2 DECLINED 0"},
		{"METHOD:REQUEST\nBEGIN:VEVENT\nUID:u1\nATTENDEE;PARTSTAT=ACCEPTED:mailto:a@b.test\n",
		 NULL},
		{"METHOD:REPLY\nBEGIN:VEVENT\nATTENDEE;PARTSTAT=ACCEPTED:mailto:a@b.test\n", NULL},
		{"METHOD:REPLY\nBEGIN:VEVENT\nUID:u1\n", NULL},
		{"METHOD:REPLY\nUID:u1\nATTENDEE;PARTSTAT=ACCEPTED:x\n", NULL},
		{"", NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct ics_reply reply;
		char seen[400];
		char *exact = tap_exact(cases[i].text, strlen(cases[i].text));
		bool found = ics_read_reply(exact, strlen(cases[i].text), &reply);

		snprintf(seen, sizeof(seen), "%s %s %d", reply.uid, reply.partstat, (int) reply.sequence);
		is_str(found ? seen : NULL, cases[i].wanted, "answer %zu", i);
		free(exact);
	}
}

int
main(void)
{
	plan(0);
	whole();
	refused();
	round_trip();
	replies();
	return done();
}
