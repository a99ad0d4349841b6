/*
 * load_webhook.c: the answer webhook at a steady rate, whatever its answers take.
 *
 * An open loop: request n begins at start + n / rate, on a connection of its own, and its latency
 * runs from the beginning of the connection to the last byte of the TwiML. A slow answer therefore
 * delays no other request, and cannot hide behind one. Only answers that carry a media stream
 * count as good.
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
	unsigned total, begun, finished, good;
	uint64_t started;
	struct histogram latency, late;
};

static void
ask(struct asker *a, uint64_t due)
{
	struct request *r = calloc(1, sizeof(*r));
	char call_sid[35];

	if (r == NULL)
		abort();
	make_sid(call_sid, "CA", a->begun++);
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
	struct usage before = usage_read(o->watch), after;
	uint64_t database_us = usage_database_us(o->watch_database);
	uint64_t limit;

	a.o = o;
	a.total = (unsigned) (o->rate * o->seconds);
	a.epfd = epoll_create1(EPOLL_CLOEXEC);
	a.started = clock_ns();
	limit = a.started + (uint64_t) (o->seconds * 1e9) + GRACE_NS;
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
	database_us = usage_database_us(o->watch_database) - database_us;
	printf("{\"who\":\"%s\",\"mode\":\"webhook\",\"rate\":%u,\"seconds\":%.1f,\"requests\":%u,"
		   "\"good\":%u,\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"late_p99_us\":%.1f,",
		   o->label, o->rate, o->seconds, a.begun, a.good,
		   (double) histogram_percentile(&a.latency, 50) / 1e3,
		   (double) histogram_percentile(&a.latency, 99) / 1e3, (double) a.latency.max / 1e3,
		   (double) histogram_percentile(&a.late, 99) / 1e3);
	printf("\"bridge_us_a_request\":%.0f,\"database_us_a_request\":%.0f}\n",
		   (double) (after.user_us + after.system_us - before.user_us - before.system_us) / a.begun,
		   (double) database_us / a.begun);
	return a.good == a.total ? 0 : 1;
}
