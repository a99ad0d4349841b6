/*
 * log.c: composes a log line in a fixed buffer and writes it with a single write(2).
 *
 * A pipe takes up to PIPE_BUF bytes atomically, so a line that fits is never mixed with one of
 * another process on the same pipe; that is why lines are cut rather than written in pieces. The
 * texts may hold anything a peer sent, so everything is escaped and made valid UTF-8.
 */
#include "net/log.h"

#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_SIZE 1024

static char program_name[32] = "voiceagent";
static bool as_json;
static enum log_level least_level = LOG_LEVEL_INFO;

static const char *const level_names[] = {"debug", "info", "warning", "error"};

struct line
{
	char text[PIPE_BUF];
	size_t len;
	size_t limit; /* room is kept behind it for the closing characters */
};

void
log_setup(const char *program, bool json, enum log_level least)
{
	snprintf(program_name, sizeof(program_name), "%s", program);
	as_json = json;
	least_level = least;
}

void
log_set_level(enum log_level least)
{
	least_level = least;
}

const char *
log_program(void)
{
	return program_name;
}

bool
log_level_parse(const char *name, enum log_level *level)
{
	for (unsigned i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
	{
		if (strcmp(name, level_names[i]) == 0)
		{
			*level = (enum log_level) i;
			return true;
		}
	}
	return false;
}

static bool
line_add(struct line *line, const char *data, size_t len)
{
	if (line->len + len > line->limit)
		return false;
	memcpy(line->text + line->len, data, len);
	line->len += len;
	return true;
}

/* Length of the valid UTF-8 sequence at s, 0 when there is none. */
static size_t
utf8_length(const unsigned char *s)
{
	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		return (s[1] & 0xc0) == 0x80 ? 2 : 0;
	if ((s[0] & 0xf0) == 0xe0)
	{
		if ((s[1] & 0xc0) != 0x80 || (s[2] & 0xc0) != 0x80)
			return 0;
		if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f))
			return 0;
		return 3;
	}
	if (s[0] >= 0xf0 && s[0] <= 0xf4)
	{
		if ((s[1] & 0xc0) != 0x80 || (s[2] & 0xc0) != 0x80 || (s[3] & 0xc0) != 0x80)
			return 0;
		if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
			return 0;
		return 4;
	}
	return 0;
}

/* Adds text with everything a JSON string (or a terminal) must not see escaped. */
static void
line_escaped(struct line *line, const char *text)
{
	const unsigned char *s = (const unsigned char *) text;

	while (*s != '\0')
	{
		char escape[8];
		size_t len = utf8_length(s);
		bool fits;

		if (len == 0)
		{
			fits = line_add(line, "\xef\xbf\xbd", 3);
			len = 1;
		}
		else if (*s < 0x20 || *s == 0x7f)
		{
			snprintf(escape, sizeof(escape), "\\u%04x", *s);
			fits = line_add(line, escape, 6);
		}
		else if (as_json && (*s == '"' || *s == '\\'))
		{
			escape[0] = '\\';
			escape[1] = (char) *s;
			fits = line_add(line, escape, 2);
		}
		else
			fits = line_add(line, (const char *) s, len);
		if (!fits)
			return;
		s += len;
	}
}

static void
line_member(struct line *line, const char *name, const char *value)
{
	size_t start = line->len;

	if (value == NULL)
		return;
	if (!line_add(line, ",\"", 2) || !line_add(line, name, strlen(name)) ||
		!line_add(line, "\":\"", 3))
	{
		line->len = start;
		return;
	}
	line_escaped(line, value);
	line->limit++; /* the closing quote is always affordable: see compose_json */
	(void) line_add(line, "\"", 1);
}

static void
compose_json(struct line *line, enum log_level level, const struct log_context *ctx,
			 const char *message)
{
	/* One byte is held back for the quote of each of six members, the brace and the newline. */
	line->limit = sizeof(line->text) - 8;
	(void) line_add(line, "{\"level\":\"", 10);
	(void) line_add(line, level_names[level], strlen(level_names[level]));
	(void) line_add(line, "\"", 1);
	if (ctx != NULL)
	{
		line_member(line, "call", ctx->call);
		line_member(line, "tenant", ctx->tenant);
	}
	line_member(line, "message", message);
	if (ctx != NULL)
	{
		line_member(line, "detail", ctx->detail);
		line_member(line, "hint", ctx->hint);
	}
	line->limit = sizeof(line->text);
	(void) line_add(line, "}\n", 2);
}

static void
line_suffix(struct line *line, const char *label, const char *value)
{
	if (value == NULL)
		return;
	(void) line_add(line, label, strlen(label));
	line_escaped(line, value);
}

static void
compose_plain(struct line *line, enum log_level level, const struct log_context *ctx,
			  const char *message)
{
	char stamp[40];
	struct timespec now;
	struct tm tm;

	line->limit = sizeof(line->text) - 1;
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	snprintf(stamp, sizeof(stamp), "%02d:%02d:%02d.%03ld ", tm.tm_hour, tm.tm_min, tm.tm_sec,
			 now.tv_nsec / 1000000);
	(void) line_add(line, stamp, strlen(stamp));
	line_suffix(line, "", program_name);
	line_suffix(line, " ", level_names[level]);
	line_suffix(line, ": ", message);
	if (ctx != NULL)
	{
		line_suffix(line, " | call ", ctx->call);
		line_suffix(line, " | tenant ", ctx->tenant);
		line_suffix(line, " | detail: ", ctx->detail);
		line_suffix(line, " | hint: ", ctx->hint);
	}
	line->limit++;
	(void) line_add(line, "\n", 1);
}

void
log_write(enum log_level level, const struct log_context *ctx, const char *format, ...)
{
	char message[MESSAGE_SIZE];
	struct line line;
	va_list args;

	if (level < least_level)
		return;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	line.len = 0;
	if (as_json)
		compose_json(&line, level, ctx, message);
	else
		compose_plain(&line, level, ctx, message);
	/* A reader that went away or cannot keep up must not stop the program. */
	if (write(STDERR_FILENO, line.text, line.len) < 0)
		return;
}
