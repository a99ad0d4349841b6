/*
 * ics_reply.c: see ics_reply.h. Three properties are looked for and the rest is passed over.
 */
#include "core/ics_reply.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LINE_SIZE 1024

/* Takes one logical line, its folds undone, cut to fit. False at the end. */
static bool
next_line(const char **at, const char *end, char line[LINE_SIZE])
{
	size_t len = 0;

	if (*at >= end)
		return false;
	while (*at < end)
	{
		char c = *(*at)++;

		if (c == '\n')
		{
			if (*at < end && (**at == ' ' || **at == '\t'))
			{
				(*at)++;
				continue;
			}
			break;
		}
		if (c != '\r' && c != '\0' && len + 1 < LINE_SIZE)
			line[len++] = c;
	}
	line[len] = '\0';
	return true;
}

static void
copy_upper(char *out, size_t size, const char *text, size_t len)
{
	if (len >= size)
		len = size - 1;
	for (size_t i = 0; i < len; i++)
		out[i] = (char) toupper((unsigned char) text[i]);
	out[len] = '\0';
}

/* Ours are; of others nothing is known here anyway. */
static bool
printable(const char *text)
{
	for (; *text != '\0'; text++)
	{
		if (*text <= 0x20 || *text > 0x7E)
			return false;
	}
	return true;
}

bool
ics_read_reply(const char *text, size_t len, struct ics_reply *reply)
{
	const char *end = text + len;
	char line[LINE_SIZE];
	bool is_reply = false;
	bool in_event = false;

	memset(reply, 0, sizeof(*reply));
	while (next_line(&text, end, line))
	{
		if (strcasecmp(line, "METHOD:REPLY") == 0)
			is_reply = true;
		else if (strcasecmp(line, "BEGIN:VEVENT") == 0)
			in_event = true;
		else if (strcasecmp(line, "END:VEVENT") == 0)
			break;
		else if (in_event && strncasecmp(line, "UID:", 4) == 0 &&
				 strlen(line + 4) < sizeof(reply->uid))
			memcpy(reply->uid, line + 4, strlen(line + 4) + 1);
		else if (in_event && strncasecmp(line, "SEQUENCE:", 9) == 0)
			reply->sequence = strtol(line + 9, NULL, 10);
		else if (in_event && strncasecmp(line, "ATTENDEE", 8) == 0)
		{
			const char *answer = strcasestr(line, ";PARTSTAT=");

			if (answer != NULL)
				copy_upper(reply->partstat, sizeof(reply->partstat), answer + 10,
						   strcspn(answer + 10, ";:"));
		}
	}
	return is_reply && reply->uid[0] != '\0' && reply->partstat[0] != '\0' &&
		   printable(reply->uid) && printable(reply->partstat);
}
