/*
 * ics.c: see ics.h.
 *
 * Every line goes through one writer that folds as it writes: at 75 octets at the latest, never
 * inside a UTF-8 character (RFC 5545, 3.1). Texts are escaped before they are folded (3.3.11), and
 * what cannot be written in a parameter is left out (3.2): a double quote, a control character.
 */
#include "core/ics.h"

#include <string.h>
#include <time.h>

#include "core/json.h"
#include "core/mail.h"
#include "core/utf8.h"

#define LINE_OCTETS 75

struct line
{
	struct buf *out;
	size_t octets; /* of the physical line so far */
};

static void
line_add(struct line *line, const char *text, size_t len)
{
	while (len > 0)
	{
		size_t octets = utf8_sequence(text, len);

		if (octets == 0)
			octets = 1;
		if (line->octets + octets > LINE_OCTETS)
		{
			buf_str(line->out, "\r\n ");
			line->octets = 1;
		}
		buf_add(line->out, text, octets);
		line->octets += octets;
		text += octets;
		len -= octets;
	}
}

static void
line_str(struct line *line, const char *text)
{
	line_add(line, text, strlen(text));
}

static void
line_end(struct line *line)
{
	buf_str(line->out, "\r\n");
	line->octets = 0;
}

/* A line that needs neither escaping nor, being short, folding. */
static void
fixed(struct line *line, const char *text)
{
	line_str(line, text);
	line_end(line);
}

/* Length of a control character at text (those that UTF-8 has two bytes for included), or 0. */
static size_t
control_at(const char *text)
{
	unsigned char c = (unsigned char) text[0];

	if (c < 0x20 || c == 0x7F)
		return 1;
	return c == 0xC2 && (unsigned char) text[1] >= 0x80 && (unsigned char) text[1] < 0xA0 ? 2 : 0;
}

/* NAME:text, escaped; nothing for a NULL. */
static void
text_line(struct line *line, const char *name, const char *text)
{
	if (text == NULL || text[0] == '\0')
		return;
	line_str(line, name);
	line_str(line, ":");
	while (*text != '\0')
	{
		size_t octets = utf8_sequence(text, strlen(text) < 4 ? strlen(text) : 4);

		if (text[0] == '\r' && text[1] == '\n')
			octets = 1; /* the line feed is what counts */
		else if (text[0] == '\n' || text[0] == '\r')
			line_str(line, "\\n");
		else if (text[0] == '\t')
			line_str(line, " ");
		else if (text[0] == '\\' || text[0] == ';' || text[0] == ',')
		{
			char escaped[3] = {'\\', text[0], '\0'};

			line_str(line, escaped);
		}
		else if (octets > 0 && control_at(text) == 0)
			line_add(line, text, octets);
		text += octets > 0 ? octets : 1;
	}
	line_end(line);
}

/* ;CN="name" */
static void
name_parameter(struct line *line, const char *name)
{
	if (name == NULL || name[0] == '\0')
		return;
	line_str(line, ";CN=\"");
	while (*name != '\0')
	{
		size_t octets = utf8_sequence(name, strlen(name) < 4 ? strlen(name) : 4);

		if (octets > 0 && name[0] != '"' && control_at(name) == 0)
			line_add(line, name, octets);
		name += octets > 0 ? octets : 1;
	}
	line_str(line, "\"");
}

static bool
time_line(struct line *line, const char *name, int64_t seconds)
{
	time_t at = (time_t) seconds;
	struct tm utc;
	char text[40];

	/* Four digits for the year: from 1970 to 9999. */
	if (seconds < 0 || seconds > INT64_C(253402300799) || gmtime_r(&at, &utc) == NULL ||
		strftime(text, sizeof(text), ":%Y%m%dT%H%M%SZ", &utc) == 0)
		return false;
	line_str(line, name);
	line_str(line, text);
	line_end(line);
	return true;
}

static void
person_line(struct line *line, const char *name, const char *parameters,
			const struct ics_person *person)
{
	line_str(line, name);
	line_str(line, parameters);
	name_parameter(line, person->name);
	line_str(line, ":mailto:");
	line_str(line, person->email);
	line_end(line);
}

/* A URI is not escaped; what is none would break the line, and is left out. */
static void
url_line(struct line *line, const char *url)
{
	if (url == NULL || url[0] == '\0' || strpbrk(url, " \"<>\\^`{|}") != NULL)
		return;
	for (const char *c = url; *c != '\0'; c++)
	{
		if (control_at(c) != 0)
			return;
	}
	line_str(line, "URL:");
	fixed(line, url);
}

static void
alarm(struct line *line, const struct ics_event *event)
{
	char text[48];
	struct buf trigger;

	buf_init(&trigger, text, sizeof(text));
	buf_printf(&trigger, "TRIGGER:-PT%dM", (int) event->alarm_minutes);
	fixed(line, "BEGIN:VALARM");
	fixed(line, "ACTION:DISPLAY");
	text_line(line, "DESCRIPTION", event->summary);
	fixed(line, text);
	fixed(line, "END:VALARM");
}

/* What the receivers of a REQUEST and a CANCEL rely on (RFC 5546, 3.2.2 and 3.2.5). */
static bool
complete(const struct ics_event *event, struct va_error *err)
{
	if (strcmp(event->method, "REQUEST") != 0 && strcmp(event->method, "CANCEL") != 0)
		return va_fail(err, "an invitation's method is REQUEST or CANCEL");
	if (event->uid[0] == '\0' || strlen(event->uid) > 200 ||
		event->uid[strspn(event->uid, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
									  "0123456789-_.@")] != '\0')
		return va_fail(err, "an invitation needs a uid of letters, digits, - _ . and @");
	if (event->summary[0] == '\0')
		return va_fail(err, "an invitation needs a summary");
	if (event->sequence < 0 || event->sequence > INT32_MAX)
		return va_fail(err, "an invitation's sequence is out of range");
	if (event->end <= event->start)
		return va_fail(err, "an invitation's end must lie after its start");
	if (!mail_address_good(event->organizer.email))
		return va_fail(err, "an invitation needs an organizer with an e-mail address");
	if (event->attendee_count == 0)
		return va_fail(err, "an invitation needs somebody to invite");
	for (size_t i = 0; i < event->attendee_count; i++)
	{
		if (!mail_address_good(event->attendees[i].email))
			return va_fail(err, "\"%.100s\" cannot be invited", event->attendees[i].email);
	}
	return true;
}

static void
people_lines(struct line *line, const struct ics_event *event, bool cancel)
{
	const char *parameters = cancel ? ""
									: ";CUTYPE=INDIVIDUAL;ROLE=REQ-PARTICIPANT"
									  ";PARTSTAT=NEEDS-ACTION;RSVP=TRUE";

	person_line(line, "ORGANIZER", "", &event->organizer);
	for (size_t i = 0; i < event->attendee_count; i++)
		person_line(line, "ATTENDEE", parameters, &event->attendees[i]);
}

bool
ics_print(struct buf *out, const struct ics_event *event, struct va_error *err)
{
	bool cancel;
	struct line line = {out, 0};
	char sequence[32];
	struct buf number;

	if (!complete(event, err))
		return false;
	cancel = strcmp(event->method, "CANCEL") == 0;
	buf_init(&number, sequence, sizeof(sequence));
	buf_printf(&number, "SEQUENCE:%d", (int) event->sequence);
	fixed(&line, "BEGIN:VCALENDAR");
	fixed(&line, "PRODID:-//voiceagent//voiceagent//EN");
	fixed(&line, "VERSION:2.0");
	fixed(&line, "CALSCALE:GREGORIAN");
	fixed(&line, cancel ? "METHOD:CANCEL" : "METHOD:REQUEST");
	fixed(&line, "BEGIN:VEVENT");
	line_str(&line, "UID:");
	fixed(&line, event->uid);
	fixed(&line, sequence);
	if (!time_line(&line, "DTSTAMP", event->stamp) || !time_line(&line, "DTSTART", event->start) ||
		!time_line(&line, "DTEND", event->end))
		return va_fail(err, "an invitation's time is out of range");
	text_line(&line, "SUMMARY", event->summary);
	text_line(&line, "DESCRIPTION", event->description);
	text_line(&line, "LOCATION", event->location);
	url_line(&line, event->url);
	people_lines(&line, event, cancel);
	fixed(&line, cancel ? "STATUS:CANCELLED" : "STATUS:CONFIRMED");
	fixed(&line, "TRANSP:OPAQUE");
	if (!cancel && event->alarm_minutes >= 0 && event->alarm_minutes <= 40320)
		alarm(&line, event);
	fixed(&line, "END:VEVENT");
	fixed(&line, "END:VCALENDAR");
	return !out->overflow || va_fail(err, "the invitation is too long");
}

static struct ics_person
read_person(struct json_object *from)
{
	return (struct ics_person){json_text(from, "email", ""), json_text(from, "name", NULL)};
}

bool
ics_read(struct json_object *from, struct ics_event *event, struct va_error *err)
{
	struct json_object *people = json_member(from, "attendees");
	size_t count =
		json_object_is_type(people, json_type_array) ? json_object_array_length(people) : 0;

	memset(event, 0, sizeof(*event));
	event->method = json_text(from, "method", "");
	event->uid = json_text(from, "uid", "");
	event->summary = json_text(from, "summary", "");
	event->description = json_text(from, "description", NULL);
	event->location = json_text(from, "location", NULL);
	event->url = json_text(from, "url", NULL);
	event->organizer = read_person(json_member(from, "organizer"));
	event->alarm_minutes = -1;
	json_integer(from, "alarm_minutes", &event->alarm_minutes);
	if (!json_integer(from, "sequence", &event->sequence) ||
		!json_integer(from, "stamp", &event->stamp) ||
		!json_integer(from, "start", &event->start) || !json_integer(from, "end", &event->end))
		return va_fail(err, "an invitation needs sequence, stamp, start and end");
	if (count > ICS_MAX_ATTENDEES)
		return va_fail(err, "more than %d people are invited", ICS_MAX_ATTENDEES);
	for (; event->attendee_count < count; event->attendee_count++)
		event->attendees[event->attendee_count] =
			read_person(json_object_array_get_idx(people, event->attendee_count));
	return true;
}
