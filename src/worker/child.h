/*
 * child.h: one program (a gateway, a dispatcher) under the launcher's care. README.md draws its states.
 *
 * Times are monotonic milliseconds. Only the launcher calls these.
 */
#ifndef VA_WORKER_CHILD_H
#define VA_WORKER_CHILD_H

#include "postgres.h"

#include <sys/types.h>

#include "worker/relay.h"

#define CHILD_NEVER PG_INT64_MAX

enum child_state
{
	CHILD_WAITING, /* no process; may be started when start_at has come */
	CHILD_RUNNING,
	CHILD_STOPPING /* was sent SIGTERM; SIGKILL follows at kill_at */
};

/* A kind of child: the program's subcommand, its role in the database, and how its processes are
 * named. */
struct program
{
	const char *command;
	const char *role;
	const char *prefix;
	const char *crash_hint; /* what its crash means */
};

struct child
{
	const struct program *program;
	enum child_state state;
	char name[16];
	pid_t pid;
	int input; /* write end of its stdin: open as long as it shall live; -1 without process */
	int output; /* read end of its stderr, or -1 */
	int failures; /* exits in a row, each soon after the start */
	int64 start_at;
	int64 started_at;
	int64 kill_at;
	struct relay relay;
};

extern void child_init(struct child *child, const struct program *program, int number);
/* CHILD_WAITING, due → CHILD_RUNNING. config_line is written to its stdin. When there is no process
 * to be had, says why and waits for the next try. */
extern void child_start(struct child *child, const char *config_line, int64 now);
/* CHILD_RUNNING → CHILD_STOPPING; nothing in the other states. */
extern void child_stop(struct child *child, int64 now);
/* Looks whether it has ended → CHILD_WAITING, and kills one that is slow to stop. */
extern void child_watch(struct child *child, int64 now);
/* Reads and logs what it wrote. */
extern void child_listen(struct child *child, int64 now);
extern void child_signal(const struct child *child, int signal);
/* When to look again if nothing happens; wanted: whether it shall run. */
extern int64 child_deadline(const struct child *child, bool wanted);

#endif
