/*
 * http_client.h: requests to other services, over libcurl's multi interface on the loop.
 *
 * TLS is verified, answers are bounded in size and time, connections are kept and reused (over TLS
 * with HTTP/2 where the server offers it), names are looked up without blocking. Redirects are not
 * followed unless asked for. Signals are blocked around curl, whose resolver has threads.
 */
#ifndef VA_NET_HTTP_CLIENT_H
#define VA_NET_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct http_client;
struct http_call;

struct http_reply
{
	int status; /* HTTP status; 0 when there was none: see error */
	const char *body; /* NUL-terminated; empty when the sink took it */
	size_t body_len;
	double retry_after_s; /* of Retry-After, seconds or date; -1 when absent */
	bool sent; /* the request may have reached the server */
	const char *error; /* plain words: "name not found", "timed out connecting", ...; NULL if ok */
	unsigned total_ms;
	const struct http_call *call; /* for http_reply_header */
};

typedef void (*http_done)(void *arg, const struct http_reply *reply);

#define HTTP_READ_FAILED ((size_t) -1)

/* Zeroed members are off. */
struct http_options
{
	const char *method; /* "POST" */
	const char *url; /* http:// or https:// */
	const char *const *headers; /* "Name: value", NULL-terminated list, or NULL */
	const char *body; /* copied; NULL for none */
	size_t body_len;
	unsigned connect_timeout_ms;
	unsigned timeout_ms;
	size_t max_reply; /* bytes; a longer reply fails */

	/* The URL was not set by the administrator: connections to this machine and to private networks
	 * are refused, by the address that the name resolved to, on redirects too. (A proxy of the
	 * environment is passed by, since behind it the address would be unknown.) */
	bool guard;
	unsigned max_redirects; /* GET only: as many are followed, from https to https alone */
	/* A body in pieces instead of `body`: fills at most size bytes, 0 at the end (body_len bytes in
	 * all), HTTP_READ_FAILED gives up. Never waits. */
	size_t (*read_body)(void *arg, char *into, size_t size);
	/* The body of an answer of the 2xx kind in pieces instead of reply.body, sink_limit bytes in all
	 * at most (0: as many as come); false gives up. */
	bool (*sink)(void *arg, const char *data, size_t len);
	uint64_t sink_limit;
	void *stream_arg; /* of read_body and sink */
};

struct http_client *http_client_new(struct loop *loop, unsigned max_per_host);
void http_client_free(struct http_client *client);
/* done is called exactly once, never before this returns, unless cancelled. NULL when the URL or
 * a header is malformed. */
struct http_call *http_client_send(struct http_client *client, const struct http_options *options,
								   http_done done, void *arg);
void http_client_cancel(struct http_call *call);
/* May anything of the request have reached the server yet? */
bool http_client_sent(const struct http_call *call);

/* A header of the (last) answer by its lower-case name, NULL when absent: valid during done. Of a
 * repeated header the last value. */
const char *http_reply_header(const struct http_reply *reply, const char *name);

#endif
