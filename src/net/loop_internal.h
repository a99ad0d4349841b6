/*
 * loop_internal.h: what the modules of net share on one loop: deadlines, one read buffer, and
 * memory that outlives the callback in which it died. Not for use outside net.
 */
#ifndef VA_NET_LOOP_INTERNAL_H
#define VA_NET_LOOP_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

/* A point in time something must happen at. Thousands of these share one timer of libuv: setting
 * one is two stores, and a later one never touches the timer. Zero-initialised = not set. */
struct deadline
{
	struct deadline *next; /* NULL when not set */
	struct deadline *prev;
	uint64_t at_ms;
	void (*expired)(void *arg);
	void *arg;
};

/* Sets (or moves) the deadline, from now on by the loop's cached time. 0 ms: in the next turn of
 * the loop, never before the caller returned to it. */
void deadline_set(struct loop *loop, struct deadline *deadline, uint64_t in_ms,
				  void (*expired)(void *arg), void *arg);
/* Harmless on one that is not set. */
void deadline_clear(struct deadline *deadline);
bool deadline_is_set(const struct deadline *deadline);

/* First member of objects that die inside callbacks which still look at them. */
struct garbage
{
	struct garbage *next;
};

/* free()s the object once no callback is running any more. */
void loop_free_later(struct loop *loop, struct garbage *object);

/* One buffer for all reads: what arrived is handled before the next read. */
#define LOOP_READ_SIZE 65536
char *loop_read_buffer(struct loop *loop);

/* The loop's cached time in milliseconds: costs no clock reading. */
uint64_t loop_cached_ms(struct loop *loop);

/* Objects that must be told when the loop ends, in the order they came. */
struct loop_member
{
	struct loop_member *next; /* NULL when not a member */
	struct loop_member *prev;
	void (*loop_ends)(void *arg);
	void *arg;
};

void loop_join(struct loop *loop, struct loop_member *member, void (*loop_ends)(void *arg),
			   void *arg);
void loop_leave(struct loop_member *member);

/* Where lws_host.c keeps its own on this loop; freed by the loop. */
struct lws_host;
struct lws_host **loop_lws_slot(struct loop *loop);
unsigned loop_max_connections(const struct loop *loop);

/* Runs the loop for at most timeout_ms or until done() is true. For use outside of callbacks. */
void loop_run_until(struct loop *loop, unsigned timeout_ms, bool (*done)(void *arg), void *arg);

#endif
