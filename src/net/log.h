/*
 * log.h: one line an event, for the server's log or a terminal.
 *
 * Under the launcher a line is one JSON object on stderr (a pipe), which the launcher turns into
 * ereport; on a terminal it is plain text. Tenant and call are named by id. Never a secret, a
 * telephone number or what people said.
 */
#ifndef VA_NET_LOG_H
#define VA_NET_LOG_H

#include <stdbool.h>

enum log_level
{
	LOG_LEVEL_DEBUG, /* a job: DEBUG1 in the server's log */
	LOG_LEVEL_INFO, /* the life-cycle: LOG */
	LOG_LEVEL_WARNING, /* an operator must do something: WARNING */
	LOG_LEVEL_ERROR /* work was lost or refused by our own fault: WARNING with detail */
};

/* What a line may carry beside its message; any member may be NULL. */
struct log_context
{
	const char *call; /* uuid */
	const char *tenant; /* uuid */
	const char *detail;
	const char *hint; /* what to do about it */
};

void log_setup(const char *program, bool json, enum log_level least);
void log_set_level(enum log_level least);
/* The name given to log_setup; other modules introduce the program with it. */
const char *log_program(void);
/* "debug", "info", "warning", "error"; false for anything else. */
bool log_level_parse(const char *name, enum log_level *level);

/* Writes one line in one write(2); message is lower case without full stop. ctx may be NULL. */
void log_write(enum log_level level, const struct log_context *ctx, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define log_debug(...) log_write(LOG_LEVEL_DEBUG, NULL, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, NULL, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, NULL, __VA_ARGS__)
#define log_error(...) log_write(LOG_LEVEL_ERROR, NULL, __VA_ARGS__)

#endif
