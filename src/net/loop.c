/*
 * loop.c: owns the libuv loop, the signals, the watch on the parent, and the small services that
 * the sockets of net share (see loop_internal.h).
 *
 * Deadlines do not use a uv_timer_t each: a media socket would carry one for its keepalive, and
 * closing a libuv handle is asynchronous, which would make the death of every object a matter of
 * two turns. One timer is armed for the earliest deadline; setting a later one costs nothing.
 */
#include "net/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "net/log.h"
#include "net/loop_internal.h"

/* Descriptors beside the sockets: the database, curl, pipes, files. */
#define DESCRIPTORS_BESIDE 128
/* Deadlines are not looked at more often than this; a 0 ms deadline is. */
#define DEADLINE_GRAIN_MS 10
/* How long loop_free waits for what is closing, in milliseconds. */
#define CLOSING_TURNS 2000

struct loop
{
	uv_loop_t uv;
	struct loop_handlers handlers;
	bool terminated;
	uv_signal_t on_term;
	uv_signal_t on_int;
	uv_signal_t on_hup;
	uv_poll_t on_stdin;
	bool stdin_watched;
	uv_timer_t timer;
	uint64_t timer_at_ms; /* UINT64_MAX when not armed */
	struct deadline soon; /* head of a ring: set for the next turn */
	struct deadline deadlines; /* and of those set for later */
	uint64_t earliest_ms; /* none of the latter is due before */
	uv_check_t sweep;
	struct garbage *garbage;
	struct loop_member members; /* head of a ring */
	char *read_buffer;
	struct lws_host *lws;
	unsigned max_connections;
};

static void
terminate(struct loop *loop)
{
	if (loop->terminated)
		return;
	loop->terminated = true;
	if (loop->handlers.terminate != NULL)
		loop->handlers.terminate(loop->handlers.arg);
	else
		loop_stop(loop);
}

static void
on_signal(uv_signal_t *handle, int number)
{
	struct loop *loop = handle->data;

	if (number != SIGHUP)
		terminate(loop);
	else if (loop->handlers.reload != NULL)
		loop->handlers.reload(loop->handlers.arg);
}

static void
on_stdin_readable(uv_poll_t *handle, int status, int events)
{
	struct loop *loop = handle->data;
	char ignored[256];
	ssize_t n;

	(void) events;
	n = status < 0 ? 0 : read(STDIN_FILENO, ignored, sizeof(ignored));
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	uv_poll_stop(handle);
	log_debug("standard input ended: the parent is gone");
	terminate(loop);
}

static void arm_timer(struct loop *loop, uint64_t at_ms);

/* Moves a deadline from its ring to the end of another. */
static void
move_deadline(struct deadline *d, struct deadline *ring)
{
	d->prev->next = d->next;
	d->next->prev = d->prev;
	d->prev = ring->prev;
	d->next = ring;
	ring->prev->next = d;
	ring->prev = d;
}

/* Looks at all that were set for later: thousands when there are thousands of sockets. */
static void
take_due(struct loop *loop, uint64_t now, struct deadline *due)
{
	struct deadline *d = loop->deadlines.next;

	loop->earliest_ms = UINT64_MAX;
	while (d != &loop->deadlines)
	{
		struct deadline *next = d->next;

		if (d->at_ms <= now)
			move_deadline(d, due);
		else if (d->at_ms < loop->earliest_ms)
			loop->earliest_ms = d->at_ms;
		d = next;
	}
}

/* Moves what is due to a ring of its own first: a handler may set and clear any deadline. */
static void
on_timer(uv_timer_t *handle)
{
	struct loop *loop = handle->data;
	uint64_t now = uv_now(&loop->uv);
	struct deadline due = {.next = &due, .prev = &due};
	struct deadline *d;

	loop->timer_at_ms = UINT64_MAX;
	while (loop->soon.next != &loop->soon)
		move_deadline(loop->soon.next, &due);
	if (loop->earliest_ms <= now)
		take_due(loop, now, &due);
	if (loop->earliest_ms != UINT64_MAX)
		arm_timer(loop, loop->earliest_ms > now + DEADLINE_GRAIN_MS ? loop->earliest_ms
																	: now + DEADLINE_GRAIN_MS);
	while ((d = due.next) != &due)
	{
		deadline_clear(d);
		d->expired(d->arg);
	}
}

static void
arm_timer(struct loop *loop, uint64_t at_ms)
{
	uint64_t now = uv_now(&loop->uv);

	if (at_ms >= loop->timer_at_ms)
		return;
	loop->timer_at_ms = at_ms;
	uv_timer_start(&loop->timer, on_timer, at_ms > now ? at_ms - now : 0, 0);
}

void
deadline_set(struct loop *loop, struct deadline *deadline, uint64_t in_ms,
			 void (*expired)(void *arg), void *arg)
{
	struct deadline *ring = in_ms == 0 ? &loop->soon : &loop->deadlines;

	deadline_clear(deadline);
	deadline->at_ms = uv_now(&loop->uv) + in_ms;
	deadline->expired = expired;
	deadline->arg = arg;
	deadline->prev = ring->prev;
	deadline->next = ring;
	ring->prev->next = deadline;
	ring->prev = deadline;
	if (in_ms > 0 && deadline->at_ms < loop->earliest_ms)
		loop->earliest_ms = deadline->at_ms;
	arm_timer(loop, deadline->at_ms);
}

void
deadline_clear(struct deadline *deadline)
{
	if (deadline->next == NULL)
		return;
	deadline->prev->next = deadline->next;
	deadline->next->prev = deadline->prev;
	deadline->next = NULL;
	deadline->prev = NULL;
}

bool
deadline_is_set(const struct deadline *deadline)
{
	return deadline->next != NULL;
}

/* Runs right after the sockets' callbacks of a turn. */
static void
on_sweep(uv_check_t *handle)
{
	struct loop *loop = handle->data;
	struct garbage *g;

	while ((g = loop->garbage) != NULL)
	{
		loop->garbage = g->next;
		free(g);
	}
}

void
loop_free_later(struct loop *loop, struct garbage *object)
{
	object->next = loop->garbage;
	loop->garbage = object;
}

void
loop_join(struct loop *loop, struct loop_member *member, void (*loop_ends)(void *arg), void *arg)
{
	member->loop_ends = loop_ends;
	member->arg = arg;
	member->prev = loop->members.prev;
	member->next = &loop->members;
	loop->members.prev->next = member;
	loop->members.prev = member;
}

void
loop_leave(struct loop_member *member)
{
	if (member->next == NULL)
		return;
	member->prev->next = member->next;
	member->next->prev = member->prev;
	member->next = NULL;
	member->prev = NULL;
}

char *
loop_read_buffer(struct loop *loop)
{
	return loop->read_buffer;
}

struct lws_host **
loop_lws_slot(struct loop *loop)
{
	return &loop->lws;
}

unsigned
loop_max_connections(const struct loop *loop)
{
	return loop->max_connections;
}

uint64_t
loop_cached_ms(struct loop *loop)
{
	return uv_now(&loop->uv);
}

static void
raise_descriptor_limit(unsigned max_connections)
{
	struct rlimit limit;
	rlim_t wanted = (rlim_t) max_connections + DESCRIPTORS_BESIDE;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
		log_write(LOG_LEVEL_WARNING,
				  &(struct log_context){.hint = "raise the limit of open files (ulimit -n)"},
				  "only %llu files may be open, %llu may be needed",
				  (unsigned long long) limit.rlim_cur, (unsigned long long) wanted);
}

/* The parent's death shows as end of file. A terminal or a file cannot be watched: no parent. */
static void
watch_standard_input(struct loop *loop)
{
	int result = uv_poll_init(&loop->uv, &loop->on_stdin, STDIN_FILENO);

	if (result != 0)
	{
		log_debug("standard input is not watched: %s", uv_strerror(result));
		return;
	}
	loop->stdin_watched = true;
	loop->on_stdin.data = loop;
	uv_poll_start(&loop->on_stdin, UV_READABLE, on_stdin_readable);
	uv_unref((uv_handle_t *) &loop->on_stdin);
}

static void
watch_signal(struct loop *loop, uv_signal_t *handle, int number)
{
	uv_signal_init(&loop->uv, handle);
	handle->data = loop;
	uv_signal_start(handle, on_signal, number);
	uv_unref((uv_handle_t *) handle);
}

struct loop *
loop_new(const struct loop_handlers *handlers, bool watch_stdin, unsigned max_connections)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int result;

	if (loop == NULL || (loop->read_buffer = malloc(LOOP_READ_SIZE)) == NULL)
	{
		log_error("out of memory");
		free(loop);
		return NULL;
	}
	result = uv_loop_init(&loop->uv);
	if (result != 0)
	{
		log_error("no event loop: %s", uv_strerror(result));
		free(loop->read_buffer);
		free(loop);
		return NULL;
	}
	if (handlers != NULL)
		loop->handlers = *handlers;
	loop->soon.next = loop->soon.prev = &loop->soon;
	loop->deadlines.next = loop->deadlines.prev = &loop->deadlines;
	loop->earliest_ms = UINT64_MAX;
	loop->members.next = loop->members.prev = &loop->members;
	loop->timer_at_ms = UINT64_MAX;
	loop->max_connections = max_connections;
	raise_descriptor_limit(max_connections);
	signal(SIGPIPE, SIG_IGN);
	watch_signal(loop, &loop->on_term, SIGTERM);
	watch_signal(loop, &loop->on_int, SIGINT);
	watch_signal(loop, &loop->on_hup, SIGHUP);
	uv_timer_init(&loop->uv, &loop->timer);
	loop->timer.data = loop;
	uv_check_init(&loop->uv, &loop->sweep);
	loop->sweep.data = loop;
	uv_check_start(&loop->sweep, on_sweep);
	uv_unref((uv_handle_t *) &loop->sweep);
	if (watch_stdin)
		watch_standard_input(loop);
	return loop;
}

uv_loop_t *
loop_uv(struct loop *loop)
{
	return &loop->uv;
}

/* Nothing keeps the loop alive by itself but sockets and timers, and a program with none of
 * either still waits for signals: hence a turn without active handles waits on an idle timer. */
static void
on_idle_timer(uv_timer_t *handle)
{
	(void) handle;
}

void
loop_run(struct loop *loop)
{
	uv_timer_t stay;

	uv_timer_init(&loop->uv, &stay);
	uv_timer_start(&stay, on_idle_timer, 3600 * 1000, 3600 * 1000);
	uv_run(&loop->uv, UV_RUN_DEFAULT);
	while (loop->members.next != &loop->members)
	{
		struct loop_member *member = loop->members.next;

		loop_leave(member);
		member->loop_ends(member->arg);
	}
	uv_close((uv_handle_t *) &stay, NULL);
	uv_run(&loop->uv, UV_RUN_NOWAIT);
	uv_run(&loop->uv, UV_RUN_NOWAIT);
}

void
loop_stop(struct loop *loop)
{
	uv_stop(&loop->uv);
}

void
loop_run_until(struct loop *loop, unsigned timeout_ms, bool (*done)(void *arg), void *arg)
{
	uv_timer_t tick;
	uint64_t end;

	uv_update_time(&loop->uv);
	end = uv_now(&loop->uv) + timeout_ms;
	uv_timer_init(&loop->uv, &tick);
	uv_timer_start(&tick, on_idle_timer, 10, 10);
	while (!done(arg) && uv_now(&loop->uv) < end)
		uv_run(&loop->uv, UV_RUN_ONCE);
	uv_close((uv_handle_t *) &tick, NULL);
	uv_run(&loop->uv, UV_RUN_NOWAIT);
}

static void
close_if_open(uv_handle_t *handle, void *arg)
{
	(void) arg;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

void
loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	close_if_open((uv_handle_t *) &loop->on_term, NULL);
	close_if_open((uv_handle_t *) &loop->on_int, NULL);
	close_if_open((uv_handle_t *) &loop->on_hup, NULL);
	close_if_open((uv_handle_t *) &loop->timer, NULL);
	close_if_open((uv_handle_t *) &loop->sweep, NULL);
	if (loop->stdin_watched)
		close_if_open((uv_handle_t *) &loop->on_stdin, NULL);
	/* Handles close in the next turn; name look-ups under way end by themselves, in time. */
	for (int i = 0; i < CLOSING_TURNS && uv_run(&loop->uv, UV_RUN_NOWAIT) != 0; i++)
		usleep(1000);
	on_sweep(&loop->sweep);
	if (uv_loop_close(&loop->uv) != 0)
	{
		/* Memory of a loop that is not closed must stay: threads may still write to it. */
		log_debug("handles were left open at the end of the loop");
		return;
	}
	free(loop->lws);
	free(loop->read_buffer);
	free(loop);
}

uint64_t
loop_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

int64_t
loop_wall_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
