/*
 * net_test.h: what the tests of net share: running the loop until something is true, free ports,
 * and a raw TCP client that sends exactly the bytes a test wants.
 */
#ifndef VA_TEST_NET_TEST_H
#define VA_TEST_NET_TEST_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "net/loop.h"

static inline void
net_tick(uv_timer_t *timer)
{
	(void) timer;
}

/* Runs the loop until the condition holds or the seconds are over; true when it holds. The limit
 * only ends a test that would hang. */
#define run_until(loop, seconds, condition)                                                        \
	({                                                                                             \
		uv_timer_t tick_;                                                                          \
		uint64_t end_ = loop_now_us() + (uint64_t) (seconds) *1000000;                             \
		uv_timer_init(loop_uv(loop), &tick_);                                                      \
		uv_timer_start(&tick_, net_tick, 5, 5);                                                    \
		while (!(condition) && loop_now_us() < end_)                                               \
			uv_run(loop_uv(loop), UV_RUN_ONCE);                                                    \
		uv_close((uv_handle_t *) &tick_, NULL);                                                    \
		uv_run(loop_uv(loop), UV_RUN_NOWAIT);                                                      \
		(condition);                                                                               \
	})

/* A port that was free a moment ago, on both families. */
static inline uint16_t
free_port(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	if (fd < 0 || bind(fd, (struct sockaddr *) &address, len) != 0 ||
		getsockname(fd, (struct sockaddr *) &address, &len) != 0)
		abort();
	close(fd);
	return ntohs(address.sin_port);
}

/* Connects to 127.0.0.1, non-blocking; receive_buffer 0 leaves the kernel's default. */
static inline int
raw_connect(uint16_t port, int receive_buffer)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};

	if (receive_buffer > 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
	if (connect(fd, (struct sockaddr *) &address, sizeof(address)) != 0)
		abort();
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static inline void
raw_send(int fd, const void *data, size_t len)
{
	if (send(fd, data, len, MSG_NOSIGNAL) != (ssize_t) len)
		abort();
}

/* What has come over a raw connection so far. */
struct raw_input
{
	char data[65536];
	size_t len;
	bool ended; /* end of file or reset */
};

/* Reads what is there; true, so that it can stand in conditions. */
static inline bool
raw_read(int fd, struct raw_input *input)
{
	ssize_t n;

	while (!input->ended && input->len < sizeof(input->data) - 1)
	{
		n = recv(fd, input->data + input->len, sizeof(input->data) - 1 - input->len, 0);
		if (n > 0)
			input->len += (size_t) n;
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			input->ended = true;
		else
			break;
	}
	input->data[input->len] = '\0';
	return true;
}

#endif
