/*
 * relay.c: from a child's pipe to ereport.
 *
 * A child logs one JSON object a line: level, message, and optionally detail, hint, call and
 * tenant. A line that is no such object (the dynamic linker's complaint, a sanitizer's report) is
 * logged as it is. The child handles hostile bytes, so nothing it writes is trusted: lines are
 * bounded, control characters become spaces (a message must not forge a second log line), ids must
 * look like ids, and a child that writes without end is cut to a rate and the rest counted.
 */
#include "postgres.h"

#include <ctype.h>
#include <unistd.h>

#include "core/json.h"

#include "worker/relay.h"

#define LINES_PER_SECOND 100
#define LINES_AT_ONCE 400
#define READS_AT_ONCE 8 /* buffers full, before other children have their turn */

void
relay_init(struct relay *relay, const char *name)
{
	memset(relay, 0, sizeof(*relay));
	strlcpy(relay->name, name, sizeof(relay->name));
	relay->allowance = LINES_AT_ONCE;
}

/* True when one more line may be logged; says first how many were not. */
static bool
allowed(struct relay *relay, int64 now)
{
	int64 grown = (now - relay->refilled) * LINES_PER_SECOND / 1000;

	if (grown > 0)
	{
		relay->allowance = (int) Min(grown + relay->allowance, LINES_AT_ONCE);
		relay->refilled = now;
	}
	if (relay->allowance == 0)
	{
		relay->left_out++;
		return false;
	}
	relay->allowance--;
	if (relay->left_out > 0)
	{
		ereport(WARNING, (errmsg("%s: " UINT64_FORMAT " log lines were left out", relay->name,
								 relay->left_out),
						  errdetail("It wrote more than %d lines a second.", LINES_PER_SECOND)));
		relay->left_out = 0;
	}
	return true;
}

/* A copy of text fit for one log line; bytes beyond ASCII stay only where they are known to be
 * UTF-8. NULL for NULL. */
static char *
clean(const char *text, bool utf8)
{
	char *copy;
	char *p;

	if (text == NULL)
		return NULL;
	copy = pstrdup(text);
	for (p = copy; *p != '\0'; p++)
	{
		unsigned char c = (unsigned char) *p;

		if (c < 0x20 || c == 0x7f)
			*p = ' ';
		else if (c >= 0x80 && !utf8)
			*p = '?';
	}
	return copy;
}

/* text when it consists of hexadecimal digits and dashes like a UUID, else NULL. */
static const char *
plausible_id(const char *text)
{
	if (text == NULL || strlen(text) != 36 || strspn(text, "0123456789abcdefABCDEF-") != 36)
		return NULL;
	return text;
}

static int
elevel_of(const char *level)
{
	if (strcmp(level, "debug") == 0)
		return DEBUG1;
	if (strcmp(level, "info") == 0)
		return LOG;
	return WARNING;
}

static void
log_object(const char *name, struct json_object *object)
{
	char *message = clean(json_text(object, "message", "(no message)"), true);
	char *detail = clean(json_text(object, "detail", NULL), true);
	char *hint = clean(json_text(object, "hint", NULL), true);
	const char *call = plausible_id(json_text(object, "call", NULL));
	const char *tenant = plausible_id(json_text(object, "tenant", NULL));

	ereport(elevel_of(json_text(object, "level", "warning")),
			(errmsg_internal("%s: %s", name, message),
			 detail == NULL ? 0 : errdetail_internal("%s", detail),
			 hint == NULL ? 0 : errhint("%s", hint),
			 call == NULL ? 0 : errcontext_msg("call %s", call),
			 tenant == NULL ? 0 : errcontext_msg("tenant %s", tenant)));
	pfree(message);
	if (detail != NULL)
		pfree(detail);
	if (hint != NULL)
		pfree(hint);
}

static void
log_line(struct relay *relay, int64 now)
{
	struct va_error err;
	struct json_object *object = NULL;

	/* A NUL would hide the rest of the line. */
	for (size_t i = 0; i < relay->used; i++)
		if (relay->line[i] == '\0')
			relay->line[i] = ' ';
	while (relay->used > 0 && isspace((unsigned char) relay->line[relay->used - 1]))
		relay->used--;
	if (relay->used == 0 || !allowed(relay, now))
		return;
	relay->line[relay->used] = '\0';
	if (relay->line[0] == '{')
		object = json_parse(relay->line, relay->used, &err);
	if (object != NULL && json_object_is_type(object, json_type_object))
		log_object(relay->name, object);
	else
	{
		char *text = clean(relay->line, false);

		ereport(WARNING, (errmsg_internal("%s: %s", relay->name, text)));
		pfree(text);
	}
	json_object_put(object);
}

/* Takes one character of the stream. */
static void
take(struct relay *relay, char c, int64 now)
{
	if (c == '\n')
	{
		if (!relay->skipping)
			log_line(relay, now);
		relay->skipping = false;
		relay->used = 0;
	}
	else if (relay->used + 1 < RELAY_LINE_SIZE)
		relay->line[relay->used++] = c;
	else if (!relay->skipping)
	{
		/* Log what fits and leave the rest of the line. */
		log_line(relay, now);
		relay->skipping = true;
	}
}

bool
relay_read(struct relay *relay, int fd, int64 now)
{
	char chunk[4096];
	int turn;

	for (turn = 0; turn < READS_AT_ONCE; turn++)
	{
		ssize_t got = read(fd, chunk, sizeof(chunk));

		if (got < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
		if (got == 0)
		{
			take(relay, '\n', now);
			return false;
		}
		for (ssize_t i = 0; i < got; i++)
			take(relay, chunk[i], now);
	}
	return true;
}
