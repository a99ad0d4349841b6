/*
 * loop.h: the one event loop of a program, libuv's, and its clocks and signals.
 *
 * Everything in net runs on the loop's thread and calls back on it; no function of net may be
 * called from another thread.
 */
#ifndef VA_NET_LOOP_H
#define VA_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct loop;

struct loop_handlers
{
	void (*terminate)(void *arg); /* SIGTERM, SIGINT, or the parent is gone; at most once */
	void (*reload)(void *arg); /* SIGHUP */
	void *arg;
};

/* Creates the loop and takes over the signals. watch_stdin: end of file on descriptor 0 counts as
 * terminate (the launcher holds the other end). max_connections: sockets the program may come to
 * hold; the limit of open files is raised towards it, with a warning when that is refused. NULL,
 * with the reason logged, when the system refuses. */
struct loop *loop_new(const struct loop_handlers *handlers, bool watch_stdin,
					  unsigned max_connections);
uv_loop_t *loop_uv(struct loop *loop);

/* Runs until loop_stop; then closes what is left and returns. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
void loop_free(struct loop *loop);

/* Monotonic time in microseconds, read from the clock, not the loop's cached time. */
uint64_t loop_now_us(void);
/* Wall clock, milliseconds since 1970. */
int64_t loop_wall_ms(void);

#endif
