/*
 * options.h: how a program was started: by hand with arguments, or by the launcher, which writes
 * one line of JSON to its standard input (a password must not be seen in a list of processes).
 */
#ifndef VA_PROGRAM_OPTIONS_H
#define VA_PROGRAM_OPTIONS_H

#include <stdbool.h>

#include "net/db.h"

#define OPTIONS_TARGETS 4

struct options
{
	struct db_target targets[OPTIONS_TARGETS];
	unsigned target_count;
	char name[64];
	bool log_json;
	bool from_stdin; /* a parent holds the other end: its end is ours */
};

/* What the help text says of a program. */
struct options_program
{
	const char *command; /* "gateway" */
	const char *prefix; /* of the name it gives itself: "gw" */
	const char *does; /* one line, without full stop */
};

/* False after a message on stderr. */
bool options_read(struct options *o, const struct options_program *program, int argc, char **argv);
void options_free(struct options *o);

#endif
