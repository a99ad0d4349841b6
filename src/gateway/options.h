/*
 * options.h: how the gateway was started: by hand with arguments, or by the launcher, which writes
 * one line of JSON to its standard input (a password must not be seen in a list of processes).
 */
#ifndef VA_GATEWAY_OPTIONS_H
#define VA_GATEWAY_OPTIONS_H

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

/* False after a message on stderr; texts live as long as the program. */
bool options_read(struct options *o, int argc, char **argv);

#endif
