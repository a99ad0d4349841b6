/*
 * ws_connect.c: opens a WebSocket: URL, name look-up in libuv's threads (libwebsockets' own would
 * make the loop wait for DNS), the addresses in turn; TLS and handshake are libwebsockets'.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uv.h>

#include "net/loop.h"
#include "net/lws_host.h"
#include "net/ws.h"
#include "net/ws_internal.h"

#define HOST_MAX 255

/* The name look-up may outlive the WebSocket: libuv cannot always cancel it. */
struct lookup
{
	uv_getaddrinfo_t request;
	struct ws *ws; /* NULL once given up */
};

struct ws_opening
{
	bool tls;
	char host[HOST_MAX + 1]; /* without brackets */
	char port[6];
	char host_header[HOST_MAX + 16];
	char *path; /* path and query of the URL */
	char *headers; /* the owner's, each ended by CR LF */
	struct lookup *lookup;
	struct addrinfo *addresses, *next;
	uint64_t end_ms;
	int http_status;
	bool attempted; /* a connection was begun */
	char last_error[160];
};

static void try_next(struct ws *ws);
static void on_attempt_failed(void *arg);

void
ws_opening_free(struct ws *ws)
{
	struct ws_opening *o = ws->opening;

	ws->opening = NULL;
	if (o->lookup != NULL)
	{
		o->lookup->ws = NULL;
		uv_cancel((uv_req_t *) &o->lookup->request);
	}
	if (o->addresses != NULL)
		uv_freeaddrinfo(o->addresses);
	free(o->path);
	free(o->headers);
	free(o);
}

int
ws_opening_headers(struct ws *ws, char **at, const char *end)
{
	size_t len = ws->opening != NULL ? strlen(ws->opening->headers) : 0;

	if (len > (size_t) (end - *at))
		return -1;
	memcpy(*at, ws->opening->headers, len);
	*at += len;
	return 0;
}

void
ws_opening_failed(struct ws *ws, int http_status, const char *reason)
{
	struct ws_opening *o = ws->opening;

	if (http_status != 0)
	{
		snprintf(o->last_error, sizeof(o->last_error), "handshake refused with status %d",
				 http_status);
		o->http_status = http_status;
		/* A server that was reached and refused would do so at its other addresses too. */
		o->next = NULL;
	}
	else
		snprintf(o->last_error, sizeof(o->last_error), "%s", reason);
	/* Not from within libwebsockets' callback: in the next turn. */
	deadline_set(ws->loop, &ws->deadline, 0, on_attempt_failed, ws);
}

static void
on_attempt_failed(void *arg)
{
	struct ws *ws = arg;

	if (ws->state == WS_STATE_OPENING)
		try_next(ws);
	else
		ws_finish(ws);
}

static void
on_attempt_over(void *arg)
{
	struct ws *ws = arg;
	struct ws_opening *o = ws->opening;

	if (ws->state != WS_STATE_OPENING)
	{
		ws_finish(ws);
		return;
	}
	snprintf(o->last_error, sizeof(o->last_error), "%s",
			 o->addresses == NULL ? "timed out looking up the name" : "timed out connecting");
	ws_let_go(ws);
	try_next(ws);
}

/* Begins a connection to a numeric address while Host, server name and verification stay with the
 * name of the URL. */
static bool
attempt(struct ws *ws, const struct addrinfo *address)
{
	struct ws_opening *o = ws->opening;
	struct lws_host *host = lws_host_of(ws->loop);
	char numeric[INET6_ADDRSTRLEN];
	struct lws_client_connect_info info = {.address = numeric,
										   .path = o->path,
										   .host = o->host_header,
										   .port = (int) strtoul(o->port, NULL, 10),
										   .ssl_connection = o->tls ? LCCSCF_USE_SSL : 0,
										   .local_protocol_name = "ws",
										   .pwsi = &ws->wsi,
										   .opaque_user_data = ws};

	if (host == NULL || getnameinfo(address->ai_addr, address->ai_addrlen, numeric, sizeof(numeric),
									NULL, 0, NI_NUMERICHOST) != 0)
		return false;
	info.context = lws_host_context(host);
	info.vhost = lws_host_client(host);
	o->attempted = true;
	/* A failure may be told by the callback before this returns. */
	return lws_client_connect_via_info(&info) != NULL || deadline_is_set(&ws->deadline);
}

/* Connects to the next address; the time that is left is shared among those to come. */
static void
try_next(struct ws *ws)
{
	struct ws_opening *o = ws->opening;
	uint64_t now = loop_cached_ms(ws->loop);
	unsigned left = 0;

	for (const struct addrinfo *a = o->next; a != NULL; a = a->ai_next)
		left++;
	deadline_clear(&ws->deadline);
	while (left > 0 && now < o->end_ms)
	{
		struct addrinfo *address = o->next;

		o->next = address->ai_next;
		if (attempt(ws, address))
		{
			if (!deadline_is_set(&ws->deadline))
				deadline_set(ws->loop, &ws->deadline, (o->end_ms - now) / left, on_attempt_over,
							 ws);
			return;
		}
		snprintf(o->last_error, sizeof(o->last_error), "no connection to be had");
		left--;
	}
	ws_fail(ws, 1006, o->http_status, o->last_error);
}

static void
on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *result)
{
	struct lookup *lookup = request->data;
	struct ws *ws = lookup->ws;
	char reason[160];

	free(lookup);
	if (ws == NULL)
	{
		uv_freeaddrinfo(result);
		return;
	}
	ws->opening->lookup = NULL;
	ws->opening->addresses = ws->opening->next = result;
	if (status != 0 || result == NULL)
	{
		snprintf(reason, sizeof(reason), "name \"%.100s\" not found", ws->opening->host);
		ws_fail(ws, 1006, 0, reason);
	}
	else if (ws->state == WS_STATE_OPENING)
		try_next(ws);
}

static bool
start_lookup(struct ws *ws)
{
	struct ws_opening *o = ws->opening;
	struct lookup *lookup = calloc(1, sizeof(*lookup));
	struct addrinfo hints = {.ai_family = AF_UNSPEC,
							 .ai_socktype = SOCK_STREAM,
							 .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG};
	unsigned char numeric[16];

	if (lookup == NULL)
		return false;
	/* A numeric address is reached whatever addresses this machine has itself. */
	if (inet_pton(AF_INET, o->host, numeric) == 1 || inet_pton(AF_INET6, o->host, numeric) == 1)
		hints.ai_flags = AI_NUMERICSERV | AI_NUMERICHOST;
	lookup->ws = ws;
	lookup->request.data = lookup;
	if (uv_getaddrinfo(loop_uv(ws->loop), &lookup->request, on_looked_up, o->host, o->port,
					   &hints) != 0)
	{
		free(lookup);
		return false;
	}
	o->lookup = lookup;
	return true;
}

static bool
printable(const char *text)
{
	for (; *text != '\0'; text++)
	{
		if ((unsigned char) *text <= 0x20 || *text == 0x7f)
			return false;
	}
	return true;
}

/* Takes scheme, host and port from the URL; *target is left at the path. */
static bool
parse_url(const char *url, struct ws_opening *o, const char **target)
{
	const char *authority, *end, *host, *port = NULL;
	size_t host_len;
	bool bracketed;

	if (!printable(url))
		return false;
	if (strncasecmp(url, "wss://", 6) == 0)
		o->tls = true;
	else if (strncasecmp(url, "ws://", 5) != 0)
		return false;
	authority = url + (o->tls ? 6 : 5);
	end = authority + strcspn(authority, "/?#");
	if (end == authority || memchr(authority, '@', (size_t) (end - authority)) != NULL)
		return false;
	bracketed = *authority == '[';
	host = authority + (bracketed ? 1 : 0);
	host_len = strcspn(host, bracketed ? "]/?#" : ":/?#");
	if (bracketed && host[host_len] != ']')
		return false;
	if (host_len == 0 || host_len > HOST_MAX)
		return false;
	memcpy(o->host, host, host_len);
	port = host + host_len + (bracketed ? 1 : 0);
	snprintf(o->port, sizeof(o->port), "%s", o->tls ? "443" : "80");
	if (*port == ':' && port + 1 < end)
	{
		size_t digits = strspn(port + 1, "0123456789");

		if (digits == 0 || digits > 5 || port + 1 + digits != end)
			return false;
		snprintf(o->port, sizeof(o->port), "%.*s", (int) digits, port + 1);
	}
	else if (port != end && port + 1 != end)
		return false;
	*target = end;
	return snprintf(o->host_header, sizeof(o->host_header), "%.*s", (int) (end - authority),
					authority) < (int) sizeof(o->host_header);
}

static bool
headers_clean(const char *const *headers)
{
	for (; headers != NULL && *headers != NULL; headers++)
	{
		const char *colon = strchr(*headers, ':');

		if (colon == NULL || colon == *headers || strpbrk(*headers, "\r\n") != NULL)
			return false;
	}
	return true;
}

/* Keeps path and headers for libwebsockets, which asks for the latter later. */
static bool
keep_request(struct ws_opening *o, const char *target, const char *const *headers)
{
	size_t len;
	FILE *out = open_memstream(&o->headers, &len);
	int target_len = (int) strcspn(target, "#");

	if (out == NULL)
		return false;
	for (; headers != NULL && *headers != NULL; headers++)
		fprintf(out, "%s\r\n", *headers);
	if (fclose(out) != 0)
		return false;
	return asprintf(&o->path, "%s%.*s", *target == '/' ? "" : "/", target_len, target) > 0;
}

struct ws *
ws_connect(struct loop *loop, const char *url, const char *const *headers, unsigned timeout_ms,
		   struct ws_limits limits, const struct ws_handlers *handlers, void *arg)
{
	struct ws_opening *o = calloc(1, sizeof(*o));
	const char *target;
	struct ws *ws;

	if (o == NULL)
		return NULL;
	if (!headers_clean(headers) || !parse_url(url, o, &target) ||
		!keep_request(o, target, headers) || (ws = ws_create(loop, limits, handlers, arg)) == NULL)
	{
		free(o->path);
		free(o->headers);
		free(o);
		return NULL;
	}
	ws->opening = o;
	o->end_ms = loop_cached_ms(loop) + timeout_ms;
	deadline_set(loop, &ws->deadline, timeout_ms, on_attempt_over, ws);
	if (!start_lookup(ws))
		ws_fail(ws, 1006, 0, "no memory for a name look-up");
	return ws;
}
