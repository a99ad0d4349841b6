/*
 * load.h: the parts of the load generator: its options, its small HTTP client, and its modes.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "track.h"
#include "wire.h"

struct load_options
{
	const char *shared; /* file mapped by caller and engine */
	const char *label; /* who is measured, for the report */
	const char *target; /* caller: media stream to open at once (a relay) */
	const char *webhook; /* caller, webhook: answer webhook to ask first (the gateway) */
	const char *account;
	const char *token; /* Twilio auth token: signs webhook and handshake */
	const char *to; /* called number */
	unsigned calls;
	unsigned ramp; /* calls begun a second */
	unsigned rate; /* webhook: requests a second */
	unsigned interrupt_ms; /* engine: every call is interrupted this often; 0 = never */
	bool silent; /* engine: sends no audio */
	uint16_t port; /* engine: 0 = any */
	double warmup; /* s */
	double seconds; /* length of the window */
	int watch; /* pid of the process under test, 0 = none */
	int watch_database; /* pid of the postmaster behind it, 0 = none */
};

/* One HTTP exchange on a connection of its own, driven by epoll. */
struct request
{
	int fd;
	bool sent;
	size_t length;
	size_t have;
	uint64_t begun; /* when the connection was begun, ns */
	int status;
	const char *body; /* inside reply, NUL-terminated */
	size_t body_len;
	char text[3072];
	char reply[16384];
};

enum request_state
{
	REQUEST_PENDING,
	REQUEST_DONE, /* status and body are set; the descriptor is still open */
	REQUEST_FAILED
};

/* The answer webhook of a new call, signed. `call_sid` identifies it. */
bool request_answer(struct request *r, const struct load_options *o, const char *call_sid,
					unsigned number);
/* The handshake of a media stream, signed. What follows the head is left in body. */
bool request_upgrade(struct request *r, const struct load_options *o, const char *stream_url);
/* On each epoll event of r->fd. */
enum request_state request_step(struct request *r);
/* Stream URL and token of an answer's TwiML. */
bool answer_parse(const char *twiml, char *url, size_t url_size, char *token, size_t token_size);
/* A SID of the given two-letter kind that no run used before. 34 characters and a NUL. */
void make_sid(char out[35], const char *kind, unsigned number);

/* Sends whole messages on a socket that should never be full. */
struct outbox
{
	int fd;
	size_t pending;
	uint8_t tail[2048];
};

enum outbox_state
{
	OUTBOX_SENT,
	OUTBOX_FULL, /* nothing of the message was sent */
	OUTBOX_BROKEN
};

enum outbox_state outbox_send(struct outbox *box, const uint8_t *data, size_t len);

/* Waits for events until an absolute CLOCK_MONOTONIC time. */
struct epoll_event;
int wait_until(int epfd, struct epoll_event *events, int max, uint64_t deadline);
void watch_fd(int epfd, int fd, uint32_t events, void *data);

/* CPU and memory of a process from /proc. */
struct usage
{
	uint64_t user_us;
	uint64_t system_us;
	uint64_t wait_us; /* the main thread was ready to run, and its core was busy with others */
	uint64_t sleeps; /* voluntary context switches: how often it had nothing to do */
	uint64_t rss_kib;
	uint64_t pss_kib;
};
struct usage usage_read(int pid);
uint64_t usage_database_us(int postmaster); /* CPU of it and all its children, past and present */

int load_caller(const struct load_options *o);
int load_engine(const struct load_options *o);
int load_webhook(const struct load_options *o);
int load_check(void);

#endif
