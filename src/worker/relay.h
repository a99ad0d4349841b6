/*
 * relay.h: what a child program writes to its stderr becomes messages of the server's log.
 */
#ifndef VA_WORKER_RELAY_H
#define VA_WORKER_RELAY_H

#include "postgres.h"

#define RELAY_LINE_SIZE 8192

struct relay
{
	char name[32]; /* of the child, put before each message */
	char line[RELAY_LINE_SIZE];
	size_t used;
	bool skipping; /* until the end of a line that was too long */
	int allowance; /* lines that may be logged at once */
	int64 refilled; /* when the allowance last grew, in ms */
	uint64 left_out; /* lines not logged since one was */
};

extern void relay_init(struct relay *relay, const char *name);
/* Reads what is there from a non-blocking descriptor and logs every complete line. now: monotonic
 * milliseconds. False at the end of the file: close it then. */
extern bool relay_read(struct relay *relay, int fd, int64 now);

#endif
