/*
 * ws_connect.c: opens a WebSocket: URL, name look-up in libuv's threads (the loop never waits for
 * DNS), the addresses in turn, TLS, and the handshake of RFC 6455, section 4.1.
 *
 * The connection goes to a numeric address while Host, server name and verification stay with the
 * name of the URL.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <uv.h>

#include "net/http_parse.h"
#include "net/loop.h"
#include "net/tls.h"
#include "net/ws.h"
#include "net/ws_internal.h"
#include "net/ws_key.h"

#define HEAD_MAX 8192
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
	char key[WS_KEY_LEN + 1];
	char *request; /* the handshake's text */
	size_t request_len, request_sent;
	struct lookup *lookup;
	struct addrinfo *addresses, *next;
	uint64_t end_ms;
	char head[HEAD_MAX]; /* the answer as far as it came */
	size_t head_len;
	char last_error[160];
};

static void try_next(struct ws *ws);

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
	free(o->request);
	free(o);
}

static void
send_request(struct ws *ws)
{
	struct ws_opening *o = ws->opening;
	ssize_t n =
		stream_write(ws->stream, o->request + o->request_sent, o->request_len - o->request_sent);

	if (n > 0)
		o->request_sent += (size_t) n;
}

static void
on_opened(void *arg)
{
	send_request(arg);
}

static void
on_writable(void *arg)
{
	send_request(arg);
}

/* The rules of section 4.1 for the server's answer. NULL when all are kept. */
static const char *
check_answer(const struct ws_opening *o, const struct http_head *head)
{
	char expected[WS_ACCEPT_LEN + 1];

	if (head->status != 101)
		return "handshake refused";
	if (strcasecmp(http_head_get(head, "upgrade"), "websocket") != 0 ||
		!http_has_token(http_head_get(head, "connection"), "upgrade"))
		return "answer is no WebSocket handshake";
	ws_key_accept(o->key, expected);
	if (strcmp(http_head_get(head, "sec-websocket-accept"), expected) != 0)
		return "wrong Sec-WebSocket-Accept";
	if (*http_head_get(head, "sec-websocket-extensions") != '\0' ||
		*http_head_get(head, "sec-websocket-protocol") != '\0')
		return "server chose an extension or protocol that was not offered";
	return NULL;
}

static void
on_head(struct ws *ws, size_t end, char *rest, size_t rest_len)
{
	struct ws_opening *o = ws->opening;
	struct http_head head;
	struct stream *stream = ws->stream;
	const char *wrong;
	char reason[64];

	if (http_parse_response(o->head, end, &head) != 0)
	{
		ws_fail(ws, 1006, 0, "malformed answer to the handshake");
		return;
	}
	wrong = check_answer(o, &head);
	if (wrong != NULL)
	{
		snprintf(reason, sizeof(reason), "%s", wrong);
		if (head.status != 101)
			snprintf(reason, sizeof(reason), "handshake refused with status %d", head.status);
		ws_fail(ws, 1006, head.status != 101 ? head.status : 0, reason);
		return;
	}
	ws_opening_free(ws);
	ws_opened(ws, stream, rest, rest_len);
}

static void
on_data(void *arg, char *data, size_t len)
{
	struct ws *ws = arg;
	struct ws_opening *o = ws->opening;
	size_t before = o->head_len;
	size_t room = sizeof(o->head) - before;
	size_t taken = len < room ? len : room;
	size_t end;

	if (ws->state != WS_STATE_OPENING)
		return;
	memcpy(o->head + before, data, taken);
	o->head_len += taken;
	end = http_head_end(o->head, o->head_len);
	if (end > 0)
		on_head(ws, end, data + (end - before), len - (end - before));
	else if (o->head_len == sizeof(o->head))
		ws_fail(ws, 1006, 0, "answer to the handshake too long");
}

static void
on_closed(void *arg, const char *reason)
{
	struct ws *ws = arg;

	ws->stream = NULL;
	if (ws->state != WS_STATE_OPENING)
		return;
	snprintf(ws->opening->last_error, sizeof(ws->opening->last_error), "%s", reason);
	/* A server that was reached and hung up would do so at its other addresses too. */
	if (ws->opening->request_sent > 0)
		ws->opening->next = NULL;
	try_next(ws);
}

static const struct stream_handlers handshake_handlers = {
	.opened = on_opened, .data = on_data, .writable = on_writable, .closed = on_closed};

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
			 o->addresses == NULL	? "timed out looking up the name"
			 : o->request_sent == 0 ? "timed out connecting"
									: "timed out in the handshake");
	if (ws->stream != NULL)
		stream_close(ws->stream, false);
	ws->stream = NULL;
	if (o->request_sent > 0)
		o->next = NULL;
	try_next(ws);
}

/* Connects to the next address; the time that is left is shared among those to come. */
static void
try_next(struct ws *ws)
{
	struct ws_opening *o = ws->opening;
	uint64_t now = loop_cached_ms(ws->loop);
	SSL_CTX *tls = o->tls ? tls_client_context() : NULL;
	unsigned left = 0;

	for (const struct addrinfo *a = o->next; a != NULL; a = a->ai_next)
		left++;
	while (left > 0 && now < o->end_ms && (tls != NULL || !o->tls))
	{
		struct addrinfo *address = o->next;

		o->next = address->ai_next;
		ws->stream = stream_connect(ws->loop, address->ai_addr, address->ai_addrlen, tls, o->host,
									&handshake_handlers, ws);
		if (ws->stream != NULL)
		{
			deadline_set(ws->loop, &ws->deadline, (o->end_ms - now) / left, on_attempt_over, ws);
			return;
		}
		snprintf(o->last_error, sizeof(o->last_error), "no socket to be had");
		left--;
	}
	ws_fail(ws, 1006, 0, o->last_error[0] != '\0' ? o->last_error : "TLS is not available");
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
parse_url(const char *url, struct ws_opening *o, const char **target, char *host_header,
		  size_t host_header_size)
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
	return snprintf(host_header, host_header_size, "%.*s", (int) (end - authority), authority) <
		   (int) host_header_size;
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

/* Writes the request into memory of the opening. */
static bool
compose_request(struct ws_opening *o, const char *target, const char *host,
				const char *const *headers)
{
	FILE *out = open_memstream(&o->request, &o->request_len);
	size_t target_len = strcspn(target, "#");

	if (out == NULL)
		return false;
	fprintf(out, "GET %s%.*s HTTP/1.1\r\nHost: %s\r\n", *target == '/' ? "" : "/", (int) target_len,
			target, host);
	fprintf(out,
			"Upgrade: websocket\r\nConnection: Upgrade\r\n"
			"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n",
			o->key);
	for (; headers != NULL && *headers != NULL; headers++)
		fprintf(out, "%s\r\n", *headers);
	fprintf(out, "\r\n");
	return fclose(out) == 0;
}

struct ws *
ws_connect(struct loop *loop, const char *url, const char *const *headers, unsigned timeout_ms,
		   struct ws_limits limits, const struct ws_handlers *handlers, void *arg)
{
	struct ws_opening *o = calloc(1, sizeof(*o));
	char host[HOST_MAX + 16];
	const char *target;
	struct ws *ws;

	if (o == NULL)
		return NULL;
	if (!headers_clean(headers) || !parse_url(url, o, &target, host, sizeof(host)) ||
		!ws_key_make(o->key) || !compose_request(o, target, host, headers) ||
		(ws = ws_create(loop, true, limits, handlers, arg)) == NULL)
	{
		free(o->request);
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
