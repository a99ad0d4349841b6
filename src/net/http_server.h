/*
 * http_server.h: HTTP/1.1 requests and WebSocket upgrades on listening sockets of our own.
 *
 * The listeners are bound with SO_REUSEPORT, so that several gateways share a port. The request
 * target is handed on byte for byte, because signatures are computed over it. What breaks the
 * rules of HTTP, or comes too slowly, is refused before a handler sees it.
 */
#ifndef VA_NET_HTTP_SERVER_H
#define VA_NET_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/ws.h"

struct loop;
struct http_server;
struct http_exchange; /* one request awaiting its answer */

struct http_request
{
	const char *method; /* "GET", "POST", ... as sent */
	const char *target; /* raw request target: path and query exactly as sent */
	const char *path; /* up to '?', not decoded */
	const char *query; /* after '?', "" when there is none */
	const char *host;
	const char *content_type; /* "" when absent */
	const char *peer; /* numeric address */
	uint16_t local_port;
	char *body; /* writable, NUL-terminated, valid until answered */
	size_t body_len;
	bool body_too_large; /* more than max_body arrived: body is empty */
};

struct http_server_handlers
{
	/* A complete request. Must lead to one http_answer, now or later. */
	void (*request)(void *arg, struct http_exchange *ex, const struct http_request *req);
	/* An upgrade request, before it is answered: 0 to accept, else the HTTP status to refuse with.
	 * On acceptance the handler returns the socket's handlers in *ws_handlers and *ws_arg. */
	int (*upgrade)(void *arg, const struct http_request *req, struct ws_limits *limits,
				   const struct ws_handlers **ws_handlers, void **ws_arg,
				   struct http_exchange *headers_of);
	void *arg;
	/* How many bytes of body a request may have, once its head is known; NULL: max_body, all. */
	size_t (*body_limit)(void *arg, struct http_exchange *ex, const struct http_request *req);
};

struct http_server_options
{
	const char *addresses; /* as PostgreSQL's listen_addresses: "localhost", "127.0.0.1,::1", "*" */
	uint16_t ports[4]; /* 0 ends the list */
	const char *cert_file; /* PEM; NULL = plain HTTP */
	const char *key_file;
	unsigned max_connections;
	size_t max_body; /* bytes */
	unsigned request_timeout_s; /* from accept to the end of the request, and idle keep-alive */
};

/* NULL with the reason logged (address in use, unreadable certificate, ...). */
struct http_server *http_server_new(struct loop *loop, const struct http_server_options *options,
									const struct http_server_handlers *handlers);
/* Reads the certificate files again; on failure the old ones stay and the reason is logged. */
bool http_server_reload_tls(struct http_server *server, const char *cert_file,
							const char *key_file);
/* Connections that are open now, WebSockets included. */
unsigned http_server_connections(const struct http_server *server);
/* Stops accepting; existing connections stay until they end. The server is freed with the last, so
 * it is not to be used afterwards. */
void http_server_close(struct http_server *server);

/* A header of the request by lower-case name without colon, "" when absent. Valid during the
 * request and upgrade handlers only. At least: x-twilio-signature, i-twilio-idempotency-token,
 * user-agent, authorization, x-forwarded-for, and any other by its name. */
const char *http_header(struct http_exchange *ex, const char *name);

/* Answers; body is copied. extra_headers: "Name: value\r\n" lines or NULL. The peer may be gone
 * already: then nothing happens. */
void http_answer(struct http_exchange *ex, int status, const char *content_type, const char *body,
				 size_t body_len, const char *extra_headers);

/* An answer whose body comes piece by piece. more: a piece is wanted, the first one too; gone: the peer
 * or a deadline ended it. One or the other follows each piece but the last, after which the body is
 * not to be used any more. */
struct http_body;

struct http_body_handlers
{
	void (*more)(void *arg, struct http_body *body);
	void (*gone)(void *arg);
};

/* Begins it; len: of the whole body. False when the peer is gone already, or asked for the head alone
 * (which it has then) or nothing is to come: no handler is called. */
bool http_answer_begin(struct http_exchange *ex, int status, const char *content_type, uint64_t len,
					   const char *extra_headers, const struct http_body_handlers *handlers,
					   void *arg);
/* Takes data, which is malloc's; len: at least 1, and not beyond the body's end. */
void http_body_piece(struct http_body *body, char *data, size_t len);
/* The rest cannot be had: the connection is cut, by which the peer sees that. gone is not called. */
void http_body_abort(struct http_body *body);

/* In the place of an answer: these bytes as they are, or none, and the end of the connection. For
 * stand-ins that misbehave on purpose. */
void http_cut(struct http_exchange *ex, const char *raw, size_t len);

#endif
