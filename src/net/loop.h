/*
 * loop.h: the one event loop of a program: libuv, with libwebsockets living on it.
 *
 * Everything in net runs on the loop's thread and calls back on it; no function of net may be
 * called from another thread.
 */
#ifndef VA_NET_LOOP_H
#define VA_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct lws_context;
struct loop;

struct loop_handlers
{
	void (*terminate)(void *arg); /* SIGTERM, SIGINT, or the parent is gone; at most once */
	void (*reload)(void *arg);	  /* SIGHUP */
	void *arg;
};

/* Creates the loop and its libwebsockets context (client and server use). watch_stdin: end of file
 * on descriptor 0 counts as terminate (the launcher holds the other end). max_connections sizes
 * the tables. NULL, with the reason logged, when the libuv plug-in of libwebsockets is missing. */
struct loop *loop_new(const struct loop_handlers *handlers, bool watch_stdin,
					  unsigned max_connections);
uv_loop_t *loop_uv(struct loop *loop);
struct lws_context *loop_lws(struct loop *loop);

/* Runs until loop_stop; then closes what is left and returns. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
void loop_free(struct loop *loop);

/* Monotonic time in microseconds, read from the clock, not the loop's cached time. */
uint64_t loop_now_us(void);
/* Wall clock, milliseconds since 1970. */
int64_t loop_wall_ms(void);

#endif
