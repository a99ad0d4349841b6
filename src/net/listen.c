/*
 * listen.c: binds what listen_addresses says and accepts, a few connections a turn, so that a
 * storm of them cannot starve the sockets that carry calls.
 */
#define _GNU_SOURCE 1 /* accept4 */
#include "net/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "net/log.h"
#include "net/loop.h"
#include "net/loop_internal.h"

#define MAX_SOCKETS 32
#define ACCEPTS_A_TURN 16
#define BACKLOG 1024
#define OUT_OF_FILES_PAUSE_MS 100

struct listener
{
	uv_poll_t poll;
	struct listeners *all;
	int fd;
	uint16_t port;
};

struct listeners
{
	struct loop *loop;
	listen_accepted accepted;
	void *arg;
	struct listener *sockets[MAX_SOCKETS];
	unsigned count;
	struct deadline pause; /* while out of descriptors */
	bool complained;
};

static void on_readable(uv_poll_t *handle, int status, int events);

static void
peer_text(const struct sockaddr_storage *address, socklen_t len, char *text)
{
	if (getnameinfo((const struct sockaddr *) address, len, text, PEER_SIZE, NULL, 0,
					NI_NUMERICHOST) != 0)
		snprintf(text, PEER_SIZE, "unknown");
}

static void
on_pause_over(void *arg)
{
	struct listeners *all = arg;

	for (unsigned i = 0; i < all->count; i++)
		uv_poll_start(&all->sockets[i]->poll, UV_READABLE, on_readable);
}

/* Out of descriptors or memory: the connection stays in the backlog and would wake us for ever. */
static void
pause_accepting(struct listeners *all, int error)
{
	if (!all->complained)
		log_write(LOG_LEVEL_WARNING,
				  &(struct log_context){.hint = "raise the limit of open files (ulimit -n)"},
				  "cannot accept connections: %s", strerror(error));
	all->complained = true;
	for (unsigned i = 0; i < all->count; i++)
		uv_poll_stop(&all->sockets[i]->poll);
	deadline_set(all->loop, &all->pause, OUT_OF_FILES_PAUSE_MS, on_pause_over, all);
}

static void
on_readable(uv_poll_t *handle, int status, int events)
{
	struct listener *listener = handle->data;
	struct listeners *all = listener->all;

	(void) events;
	if (status < 0)
		return;
	for (int i = 0; i < ACCEPTS_A_TURN && listener->fd >= 0; i++)
	{
		struct sockaddr_storage address;
		socklen_t len = sizeof(address);
		char peer[PEER_SIZE];
		int fd =
			accept4(listener->fd, (struct sockaddr *) &address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
		{
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				pause_accepting(all, errno);
			else if (errno == ECONNABORTED || errno == EINTR)
				continue;
			return;
		}
		all->complained = false;
		peer_text(&address, len, peer);
		all->accepted(all->arg, fd, peer, listener->port);
	}
}

static int
open_socket(const struct addrinfo *address)
{
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;
	int error;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (address->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static bool
add_socket(struct listeners *all, int fd, uint16_t port)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (listener == NULL || all->count == MAX_SOCKETS ||
		uv_poll_init_socket(loop_uv(all->loop), &listener->poll, fd) != 0)
	{
		free(listener);
		close(fd);
		return false;
	}
	listener->all = all;
	listener->fd = fd;
	listener->port = port;
	listener->poll.data = listener;
	uv_poll_start(&listener->poll, UV_READABLE, on_readable);
	all->sockets[all->count++] = listener;
	return true;
}

/* Binds one address, as found in the list, on one port. */
static bool
bind_address(struct listeners *all, const char *name, uint16_t port)
{
	struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	char service[8];
	int result;
	bool good = true;

	snprintf(service, sizeof(service), "%u", port);
	/* At start only: nothing else runs yet that could be kept waiting. */
	result = getaddrinfo(strcmp(name, "*") == 0 ? NULL : name, service, &hints, &found);
	if (result != 0)
	{
		log_error("cannot listen on \"%s\": %s", name, gai_strerror(result));
		return false;
	}
	for (const struct addrinfo *a = found; a != NULL && good; a = a->ai_next)
	{
		int fd = open_socket(a);

		if (fd >= 0)
			good = add_socket(all, fd, port);
		else if (errno == EAFNOSUPPORT || (errno == EADDRNOTAVAIL && a->ai_family == AF_INET6))
			log_debug("no IPv6 here: port %u of \"%s\" is IPv4 only", port, name);
		else
		{
			log_write(LOG_LEVEL_ERROR,
					  &(struct log_context){
						  .hint = "is another program using the port? change the port or the "
								  "listen addresses"},
					  "cannot listen on \"%s\" port %u: %s", name, port, strerror(errno));
			good = false;
		}
	}
	freeaddrinfo(found);
	return good;
}

/* "localhost" means both families, whatever /etc/hosts has. */
static bool
bind_name(struct listeners *all, const char *name, uint16_t port)
{
	if (strcmp(name, "localhost") == 0)
		return bind_address(all, "127.0.0.1", port) && bind_address(all, "::1", port);
	return bind_address(all, name, port);
}

struct listeners *
listeners_new(struct loop *loop, const char *addresses, const uint16_t ports[4],
			  listen_accepted accepted, void *arg)
{
	struct listeners *all = calloc(1, sizeof(*all));
	bool good = all != NULL;

	if (all == NULL)
		return NULL;
	all->loop = loop;
	all->accepted = accepted;
	all->arg = arg;
	while (good && *addresses != '\0')
	{
		char name[256];
		size_t len;

		addresses += strspn(addresses, ", \t");
		len = strcspn(addresses, ", \t");
		if (len == 0)
			break;
		snprintf(name, sizeof(name), "%.*s", (int) len, addresses);
		addresses += len;
		for (int i = 0; i < 4 && ports[i] != 0 && good; i++)
			good = bind_name(all, name, ports[i]);
	}
	if (good && all->count == 0)
	{
		log_error("no address to listen on");
		good = false;
	}
	if (good)
		return all;
	listeners_free(all);
	return NULL;
}

static void
on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void
listeners_free(struct listeners *listeners)
{
	deadline_clear(&listeners->pause);
	for (unsigned i = 0; i < listeners->count; i++)
	{
		struct listener *listener = listeners->sockets[i];

		uv_close((uv_handle_t *) &listener->poll, on_closed);
		close(listener->fd);
		listener->fd = -1;
	}
	free(listeners);
}
