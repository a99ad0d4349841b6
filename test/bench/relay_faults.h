/*
 * relay_faults.h: makes the bare relay bad on purpose, for the generator's self-test.
 *
 *   relay_faulty LISTEN_PORT ENGINE_PORT [drop=N] [double=N] [swap=N] [spoil=N] [delay=MS]
 *
 * Every Nth audio message of each direction is dropped, sent twice, held back until after its
 * successor of the same call, or has one byte amid its audio changed (of base64: one character into
 * another of the alphabet); every one is sent MS later.
 * Included by relay_epoll.c alone, so that the honest relay carries no trace of it.
 */
#ifndef BENCH_RELAY_FAULTS_H
#define BENCH_RELAY_FAULTS_H

#define FAULT_MESSAGE 1024
#define FAULT_QUEUE 8192

struct fault_message
{
	struct side *to; /* NULL: its call is over */
	uint64_t due;
	size_t len;
	uint8_t data[FAULT_MESSAGE];
};

static struct
{
	uint64_t drop, twice, swap, spoil, delay_ms;
} fault;
static uint64_t fault_count[2]; /* by direction */
static struct fault_message fault_queue[FAULT_QUEUE];
static uint64_t fault_head, fault_tail;
static struct fault_message fault_held[2];

static void
relay_setup(int argc, char **argv)
{
	for (int i = 3; i < argc; i++)
	{
		const char *value = strchr(argv[i], '=');
		uint64_t n = value ? strtoull(value + 1, NULL, 10) : 0;

		switch (argv[i][0] == 'd' ? argv[i][1] : argv[i][1] + 128)
		{
			case 'r': fault.drop = n; break;
			case 'o': fault.twice = n; break;
			case 'e': fault.delay_ms = n; break;
			case 'w' + 128: fault.swap = n; break;
			case 'p' + 128: fault.spoil = n; break;
			default: fprintf(stderr, "unknown fault: %s\n", argv[i]); exit(2);
		}
	}
}

static bool
fault_hits(uint64_t every, uint64_t count)
{
	return every > 0 && count % every == 0;
}

/* Sends now, or puts the message behind those that wait. */
static void
fault_emit(struct side *to, const uint8_t *data, size_t len)
{
	struct fault_message *m = &fault_queue[fault_tail % FAULT_QUEUE];

	if (fault.delay_ms == 0 || len > FAULT_MESSAGE || fault_tail - fault_head == FAULT_QUEUE)
	{
		side_send(to, data, len);
		return;
	}
	fault_tail++;
	m->to = to;
	m->due = clock_ns() + fault.delay_ms * 1000000;
	m->len = len;
	memcpy(m->data, data, len);
}

static void
relay_audio(struct side *to, uint8_t *data, size_t len)
{
	uint64_t count = ++fault_count[to->engine];
	struct fault_message *held = &fault_held[to->engine];

	if (fault_hits(fault.drop, count))
		return;
	if (fault_hits(fault.swap, count) && held->to == NULL && len <= FAULT_MESSAGE)
	{
		held->to = to;
		held->len = len;
		memcpy(held->data, data, len);
		return;
	}
	if (fault_hits(fault.spoil, count))
		data[len / 2] = to->engine ? data[len / 2] ^ 1 : data[len / 2] == 'A' ? 'B' : 'A';
	fault_emit(to, data, len);
	if (fault_hits(fault.twice, count))
		fault_emit(to, data, len);
	if (held->to == to)
	{
		fault_emit(to, held->data, held->len);
		held->to = NULL;
	}
}

/* Sends what is due; returns how long epoll may wait for the next, in ms. */
static int
relay_wait(void)
{
	while (fault_head != fault_tail)
	{
		struct fault_message *m = &fault_queue[fault_head % FAULT_QUEUE];
		uint64_t now = clock_ns();

		if (m->due > now)
			return (int) ((m->due - now) / 1000000 + 1);
		if (m->to)
			side_send(m->to, m->data, m->len);
		fault_head++;
	}
	return -1;
}

static void
relay_forget(struct pair *p)
{
	for (uint64_t i = fault_head; i != fault_tail; i++)
	{
		struct fault_message *m = &fault_queue[i % FAULT_QUEUE];

		if (m->to == &p->twilio || m->to == &p->engine)
			m->to = NULL;
	}
	for (int i = 0; i < 2; i++)
		if (fault_held[i].to == &p->twilio || fault_held[i].to == &p->engine)
			fault_held[i].to = NULL;
}

#endif
