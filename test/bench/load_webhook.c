/*
 * load_webhook.c: the answer webhook at a steady rate, whatever its answers take.
 *
 * An open loop: request n begins at start + n / rate, on a connection of its own, and its latency
 * runs from the beginning of the connection to the last byte of the TwiML. A slow answer therefore
 * delays no other request, and cannot hide behind one. Only answers that carry a media stream
 * count as good. The requests of the warm-up must be good as well, but are not measured.
 */
#define _GNU_SOURCE
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS 16
#define GRACE_NS UINT64_C(15000000000) /* Twilio's own limit for a webhook */

struct asker
{
	const struct load_options *o;
	int epfd;
	unsigned warm, total; /* requests of the warm-up; of that and the window */
	unsigned begun, finished, good;
	uint64_t started;
	uint64_t window; /* when the window began; UINT64_MAX before */
	struct usage usage; /* at that moment */
	uint64_t database_us;
	struct histogram latency, late;
};

static void
window_open(struct asker *a)
{
	a->usage = usage_read(a->o->watch);
	a->database_us = usage_database_us(a->o->watch_database);
	a->window = clock_ns();
}

static void
ask(struct asker *a, uint64_t due)
{
	struct request *r = calloc(1, sizeof(*r));
	char call_sid[35];

	if (r == NULL)
		abort();
	if (a->begun == a->warm)
		window_open(a);
	make_sid(call_sid, "CA", a->begun++);
	if (a->begun > a->warm)
		histogram_add(&a->late, clock_ns() - due);
	if (request_answer(r, a->o, call_sid, a->begun))
		watch_fd(a->epfd, r->fd, EPOLLIN | EPOLLOUT, r);
	else
	{
		a->finished++;
		free(r);
	}
}

static void
answered(struct asker *a, struct request *r, enum request_state state)
{
	char url[256], token[128];

	if (state == REQUEST_PENDING)
	{
		if (r->sent)
			watch_fd(a->epfd, r->fd, EPOLLIN, r);
		return;
	}
	a->finished++;
	if (state == REQUEST_DONE && r->status == 200 &&
		answer_parse(r->body, url, sizeof(url), token, sizeof(token)))
	{
		a->good++;
		if (r->begun >= a->window)
			histogram_add(&a->latency, clock_ns() - r->begun);
	}
	else if (a->finished - a->good <= 1)
		fprintf(stderr, "answer webhook: status %d\n%.400s\n", r->status, r->body ? r->body : "");
	close(r->fd);
	free(r);
}

int
load_webhook(const struct load_options *o)
{
	static struct asker a;
	struct epoll_event events[EVENTS];
	struct usage after;
	uint64_t database_us;
	uint64_t limit;
	unsigned measured;

	a.o = o;
	a.warm = (unsigned) (o->rate * o->warmup);
	a.total = a.warm + (unsigned) (o->rate * o->seconds);
	a.window = UINT64_MAX;
	a.epfd = epoll_create1(EPOLL_CLOEXEC);
	a.started = clock_ns();
	limit = a.started + (uint64_t) ((o->warmup + o->seconds) * 1e9) + GRACE_NS;
	while (a.finished < a.total && clock_ns() < limit)
	{
		uint64_t due = a.started + a.begun * UINT64_C(1000000000) / o->rate;
		int n;

		if (a.begun < a.total && due <= clock_ns())
		{
			ask(&a, due);
			continue;
		}
		n = wait_until(a.epfd, events, EVENTS, a.begun < a.total ? due : limit);
		for (int i = 0; i < n; i++)
			answered(&a, events[i].data.ptr, request_step(events[i].data.ptr));
	}
	after = usage_read(o->watch);
	database_us = usage_database_us(o->watch_database) - a.database_us;
	measured = a.begun > a.warm ? a.begun - a.warm : 1;
	printf("{\"who\":\"%s\",\"mode\":\"webhook\",\"rate\":%u,\"seconds\":%.1f,\"requests\":%u,"
		   "\"good\":%u,\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"late_p99_us\":%.1f,",
		   o->label, o->rate, o->seconds, a.begun > a.warm ? measured : 0,
		   (unsigned) a.latency.count, (double) histogram_percentile(&a.latency, 50) / 1e3,
		   (double) histogram_percentile(&a.latency, 99) / 1e3, (double) a.latency.max / 1e3,
		   (double) histogram_percentile(&a.late, 99) / 1e3);
	printf("\"bridge_us_a_request\":%.0f,\"database_us_a_request\":%.0f}\n",
		   (double) (after.user_us + after.system_us - a.usage.user_us - a.usage.system_us) /
			   measured,
		   (double) database_us / measured);
	return a.good == a.total ? 0 : 1;
}
