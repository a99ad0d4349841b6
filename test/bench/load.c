/*
 * load.c: the load generator of the benchmark: options, and what its modes share.
 *
 *   load engine   plays the voice engine of N calls (REST and WebSocket, s16le at 8 kHz)
 *   load caller   plays Twilio for N calls, runs the measurement and prints its result as JSON
 *   load webhook  asks the answer webhook at a steady rate
 *   load check    tests the instrument's own parts, as TAP
 *
 * Engine and caller are two processes so that each can be pinned and its CPU told apart; they meet
 * in one mapped file (track.h). Both are one thread around epoll that sends by absolute deadlines.
 */
#define _GNU_SOURCE
#include "load.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum outbox_state
outbox_send(struct outbox *box, const uint8_t *data, size_t len)
{
	ssize_t n;

	if (box->pending > 0)
	{
		n = send(box->fd, box->tail, box->pending, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN ? OUTBOX_FULL : OUTBOX_BROKEN;
		box->pending -= (size_t) n;
		memmove(box->tail, box->tail + n, box->pending);
		if (box->pending > 0)
			return OUTBOX_FULL;
	}
	n = send(box->fd, data, len, MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN ? OUTBOX_FULL : OUTBOX_BROKEN;
	box->pending = len - (size_t) n;
	if (box->pending > sizeof(box->tail))
		return OUTBOX_BROKEN;
	memcpy(box->tail, data + n, box->pending);
	return OUTBOX_SENT;
}

int
wait_until(int epfd, struct epoll_event *events, int max, uint64_t deadline)
{
	uint64_t now = clock_ns();
	uint64_t wait = deadline > now ? deadline - now : 0;
	struct timespec ts = {.tv_sec = (time_t) (wait / 1000000000),
						  .tv_nsec = (long) (wait % 1000000000)};
	int n = epoll_pwait2(epfd, events, max, &ts, NULL);

	return n < 0 ? 0 : n;
}

void
watch_fd(int epfd, int fd, uint32_t events, void *data)
{
	struct epoll_event event = {.events = events, .data.ptr = data};

	if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) < 0)
		epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &event);
}

/* Fields 4 (ppid) and 14 to 17 (utime, stime, cutime, cstime) of /proc/PID/stat. */
static bool
stat_read(int pid, int *ppid, uint64_t own[2], uint64_t *children)
{
	char path[64], text[1024];
	unsigned long utime, stime;
	long cutime, cstime;
	const char *after;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (f == NULL)
		return false;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	after = strrchr(text, ')');
	if (after == NULL ||
		sscanf(after + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld", ppid,
			   &utime, &stime, &cutime, &cstime) != 5)
		return false;
	own[0] = utime;
	own[1] = stime;
	*children = (uint64_t) (cutime + cstime);
	return true;
}

static uint64_t
number_of(int pid, const char *file, const char *key)
{
	char path[64], line[256];
	uint64_t value = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	f = fopen(path, "r");
	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, key, strlen(key)) == 0)
			value = strtoull(line + strlen(key), NULL, 10);
	fclose(f);
	return value;
}

/* Second field of /proc/PID/schedstat, ns: time spent on a run queue. */
static uint64_t
run_delay_us(int pid)
{
	char path[64];
	unsigned long long ran, waited = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	f = fopen(path, "r");
	if (f == NULL)
		return 0;
	if (fscanf(f, "%llu %llu", &ran, &waited) != 2)
		waited = 0;
	fclose(f);
	return waited / 1000;
}

struct usage
usage_read(int pid)
{
	struct usage u = {0};
	uint64_t own[2], children;
	uint64_t tick_us = 1000000 / (uint64_t) sysconf(_SC_CLK_TCK);
	int ppid;

	if (pid > 0 && stat_read(pid, &ppid, own, &children))
	{
		u.user_us = own[0] * tick_us;
		u.system_us = own[1] * tick_us;
		u.wait_us = run_delay_us(pid);
		u.sleeps = number_of(pid, "status", "voluntary_ctxt_switches:");
		u.rss_kib = number_of(pid, "status", "VmRSS:");
		u.pss_kib = number_of(pid, "smaps_rollup", "Pss:");
	}
	return u;
}

uint64_t
usage_database_us(int postmaster)
{
	uint64_t ticks = 0, own[2], children;
	DIR *proc = postmaster > 0 ? opendir("/proc") : NULL;
	struct dirent *entry;
	int ppid;

	if (proc == NULL)
		return 0;
	while ((entry = readdir(proc)) != NULL)
	{
		int pid =
			isdigit((unsigned char) entry->d_name[0]) ? (int) strtol(entry->d_name, NULL, 10) : 0;

		if (pid == 0 || !stat_read(pid, &ppid, own, &children))
			continue;
		if (pid == postmaster)
			ticks += own[0] + own[1] + children;
		else if (ppid == postmaster)
			ticks += own[0] + own[1];
	}
	closedir(proc);
	return ticks * 1000000 / (uint64_t) sysconf(_SC_CLK_TCK);
}

static const struct option long_options[] = {
	{"shared", required_argument, NULL, 's'},	 {"label", required_argument, NULL, 'l'},
	{"target", required_argument, NULL, 't'},	 {"webhook", required_argument, NULL, 'w'},
	{"account", required_argument, NULL, 'a'},	 {"token", required_argument, NULL, 'k'},
	{"to", required_argument, NULL, 'T'},		 {"calls", required_argument, NULL, 'n'},
	{"ramp", required_argument, NULL, 'r'},		 {"rate", required_argument, NULL, 'R'},
	{"interrupt", required_argument, NULL, 'i'}, {"silent", no_argument, NULL, 'q'},
	{"port", required_argument, NULL, 'p'},		 {"warmup", required_argument, NULL, 'u'},
	{"seconds", required_argument, NULL, 'd'},	 {"watch", required_argument, NULL, 'W'},
	{"database", required_argument, NULL, 'D'},	 {NULL, 0, NULL, 0}};

static bool
option_set(struct load_options *o, int c, const char *value)
{
	unsigned number = value != NULL ? (unsigned) strtoul(value, NULL, 10) : 0;

	switch (c)
	{
		case 's': o->shared = value; break;
		case 'l': o->label = value; break;
		case 't': o->target = value; break;
		case 'w': o->webhook = value; break;
		case 'a': o->account = value; break;
		case 'k': o->token = value; break;
		case 'T': o->to = value; break;
		case 'n': o->calls = number; break;
		case 'r': o->ramp = number; break;
		case 'R': o->rate = number; break;
		case 'i': o->interrupt_ms = number; break;
		case 'q': o->silent = true; break;
		case 'p': o->port = (uint16_t) number; break;
		case 'u': o->warmup = strtod(value, NULL); break;
		case 'd': o->seconds = strtod(value, NULL); break;
		case 'W': o->watch = (int) number; break;
		case 'D': o->watch_database = (int) number; break;
		default: return false;
	}
	return true;
}

static int
usage(void)
{
	fputs("usage: load engine  --shared FILE --calls N [--port P] [--interrupt MS] [--silent]\n"
		  "       load caller  --shared FILE --calls N (--target WS_URL | --webhook URL --to "
		  "NUMBER)\n"
		  "                    [--account SID] [--token TOKEN] [--ramp CALLS_A_SECOND]\n"
		  "                    [--warmup S] [--seconds S] [--watch PID] [--database PID]"
		  " [--label NAME]\n"
		  "       load webhook --webhook URL --to NUMBER [--account SID] [--token TOKEN]\n"
		  "                    [--rate REQUESTS_A_SECOND] [--warmup S] [--seconds S]\n"
		  "       load check\n",
		  stderr);
	return 2;
}

int
main(int argc, char **argv)
{
	struct load_options o = {.label = "",
							 .account = "AC00000000000000000000000000000001",
							 .token = "0123456789abcdef0123456789abcdef",
							 .to = "+15551230002",
							 .calls = 100,
							 .ramp = 200,
							 .rate = 200,
							 .warmup = 1,
							 .seconds = 10};
	const char *mode = argc > 1 ? argv[1] : "";
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		if (c == '?' || !option_set(&o, c, optarg))
			return usage();
	if (o.calls == 0 || o.calls > TRACK_MAX_CALLS / 2 || o.ramp == 0 || o.rate == 0)
		return usage();
	wire_init();
	raise_file_limit();
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_TIMERSLACK, 1UL); /* deadlines are 50 us apart at 400 calls */
	prctl(PR_SET_PDEATHSIG, SIGTERM); /* an interrupted script leaves nothing behind */
	if (strcmp(mode, "check") == 0)
		return load_check();
	if (strcmp(mode, "webhook") == 0 && o.webhook)
		return load_webhook(&o);
	if (strcmp(mode, "engine") == 0 && o.shared)
		return load_engine(&o);
	if (strcmp(mode, "caller") == 0 && o.shared && (o.target || o.webhook))
		return load_caller(&o);
	return usage();
}
