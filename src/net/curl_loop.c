/*
 * curl_loop.c: curl's multi interface driven by the loop.
 *
 * curl says which sockets to watch and when to wake it. Its resolver runs threads that would take
 * the program's signals, so all are blocked while curl may start one.
 */
#include "net/curl_loop.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <uv.h>

#include "core/address.h"
#include "net/loop.h"

#define MAX_CONNECTIONS 256

struct curl_loop
{
	struct loop *loop;
	CURLM *multi;
	uv_timer_t *timer;
	curl_loop_finished finished;
	void *arg;
};

/* A watched socket. */
struct watch
{
	uv_poll_t poll;
	struct curl_loop *curl;
	curl_socket_t socket;
};

static void collect(struct curl_loop *curl);

/* --- signals --- */

static void
block_signals(sigset_t *before)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, before);
}

static void
restore_signals(const sigset_t *before)
{
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* --- curl on the loop --- */

static void
socket_action(struct curl_loop *curl, curl_socket_t socket, int events)
{
	sigset_t before;
	int running;

	block_signals(&before);
	curl_multi_socket_action(curl->multi, socket, events, &running);
	restore_signals(&before);
	collect(curl);
}

static void
on_poll(uv_poll_t *handle, int status, int events)
{
	struct watch *watch = handle->data;
	int flags = 0;

	if (status < 0)
		flags = CURL_CSELECT_ERR;
	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	socket_action(watch->curl, watch->socket, flags);
}

static void
on_watch_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static int
on_curl_socket(CURL *easy, curl_socket_t socket, int what, void *arg, void *socket_arg)
{
	struct curl_loop *curl = arg;
	struct watch *watch = socket_arg;
	int events = 0;

	(void) easy;
	if (what == CURL_POLL_REMOVE)
	{
		curl_multi_assign(curl->multi, socket, NULL);
		if (watch != NULL)
			uv_close((uv_handle_t *) &watch->poll, on_watch_closed);
		return 0;
	}
	if (watch == NULL)
	{
		watch = calloc(1, sizeof(*watch));
		if (watch == NULL || uv_poll_init_socket(loop_uv(curl->loop), &watch->poll, socket) != 0)
		{
			free(watch);
			return -1;
		}
		watch->curl = curl;
		watch->socket = socket;
		watch->poll.data = watch;
		curl_multi_assign(curl->multi, socket, watch);
	}
	if (what & CURL_POLL_IN)
		events |= UV_READABLE;
	if (what & CURL_POLL_OUT)
		events |= UV_WRITABLE;
	uv_poll_start(&watch->poll, events, on_poll);
	return 0;
}

static void
on_timer(uv_timer_t *handle)
{
	socket_action(handle->data, CURL_SOCKET_TIMEOUT, 0);
}

/* 0 means "soon", not "never": curl must not be called from within this. */
static int
on_curl_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct curl_loop *curl = arg;

	(void) multi;
	if (timeout_ms < 0)
		uv_timer_stop(curl->timer);
	else
		uv_timer_start(curl->timer, on_timer, (uint64_t) timeout_ms, 0);
	return 0;
}

/* --- the guard --- */

static bool
is_public(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return address_is_public_v4(
			(const uint8_t *) &((const struct sockaddr_in *) (const void *) address)->sin_addr);
	return address->sa_family == AF_INET6 &&
		   address_is_public_v6(
			   (const uint8_t *) &((const struct sockaddr_in6 *) (const void *) address)
				   ->sin6_addr);
}

/* Before a connection is made. */
static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct curl_guard *guard = arg;

	(void) purpose;
	if (guard->on && !is_public(&address->addr))
	{
		guard->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

bool
curl_guard_allows(struct curl_guard *guard, const char *remote_ip)
{
	uint8_t ip[16];
	bool good = !guard->on;

	if (guard->on && inet_pton(AF_INET, remote_ip, ip) == 1)
		good = address_is_public_v4(ip);
	else if (guard->on && inet_pton(AF_INET6, remote_ip, ip) == 1)
		good = address_is_public_v6(ip);
	guard->refused = !good;
	return good;
}

bool
curl_guard_install(CURL *easy, struct curl_guard *guard)
{
	bool good = true;

	good &= curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, guard) == CURLE_OK;
	/* Behind a proxy the address would be unknown. */
	if (guard->on)
		good &= curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK;
	return good;
}

/* --- transfers --- */

static void
collect(struct curl_loop *curl)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(curl->multi, &left)) != NULL)
	{
		if (message->msg == CURLMSG_DONE)
			curl->finished(curl->arg, message->easy_handle, message->data.result);
	}
}

void
curl_loop_add(struct curl_loop *curl, CURL *easy)
{
	sigset_t before;

	block_signals(&before);
	curl_multi_add_handle(curl->multi, easy);
	restore_signals(&before);
}

void
curl_loop_remove(struct curl_loop *curl, CURL *easy)
{
	sigset_t before;

	block_signals(&before);
	curl_multi_remove_handle(curl->multi, easy);
	restore_signals(&before);
}

bool
curl_ready(void)
{
	static bool initialised;

	initialised = initialised || curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
	return initialised;
}

struct curl_loop *
curl_loop_new(struct loop *loop, unsigned max_per_host, curl_loop_finished finished, void *arg)
{
	struct curl_loop *curl = calloc(1, sizeof(*curl));

	if (!curl_ready() || curl == NULL || (curl->timer = calloc(1, sizeof(*curl->timer))) == NULL ||
		(curl->multi = curl_multi_init()) == NULL)
	{
		if (curl != NULL)
			free(curl->timer);
		free(curl);
		return NULL;
	}
	curl->loop = loop;
	curl->finished = finished;
	curl->arg = arg;
	uv_timer_init(loop_uv(loop), curl->timer);
	curl->timer->data = curl;
	curl_multi_setopt(curl->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
	curl_multi_setopt(curl->multi, CURLMOPT_SOCKETDATA, curl);
	curl_multi_setopt(curl->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
	curl_multi_setopt(curl->multi, CURLMOPT_TIMERDATA, curl);
	curl_multi_setopt(curl->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long) max_per_host);
	curl_multi_setopt(curl->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long) MAX_CONNECTIONS);
	/* curl counts the busy ones as well: with fewer, it closes one for each request that ends as soon
	 * as more than that many are under way, and makes one for the next. */
	curl_multi_setopt(curl->multi, CURLMOPT_MAXCONNECTS, (long) MAX_CONNECTIONS);
	return curl;
}

static void
on_timer_closed(uv_handle_t *handle)
{
	free(handle);
}

void
curl_loop_free(struct curl_loop *curl)
{
	sigset_t before;

	block_signals(&before);
	curl_multi_cleanup(curl->multi);
	restore_signals(&before);
	uv_close((uv_handle_t *) curl->timer, on_timer_closed);
	free(curl);
}
