/*
 * http_client.h: requests to other services, over libcurl's multi interface on the loop.
 *
 * TLS is verified, redirects are not followed, answers are bounded in size and time, connections
 * are kept and reused. Signals are blocked around curl, whose resolver has threads.
 */
#ifndef VA_NET_HTTP_CLIENT_H
#define VA_NET_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

struct loop;
struct http_client;
struct http_call;

struct http_reply
{
	int status; /* HTTP status; 0 when there was none: see error */
	const char *body; /* NUL-terminated */
	size_t body_len;
	double retry_after_s; /* of Retry-After, seconds or date; -1 when absent */
	bool sent; /* the request may have reached the server */
	const char *error; /* plain words: "name not found", "timed out connecting", ...; NULL if ok */
	unsigned total_ms;
};

typedef void (*http_done)(void *arg, const struct http_reply *reply);

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
};

struct http_client *http_client_new(struct loop *loop, unsigned max_per_host);
void http_client_free(struct http_client *client);
/* done is called exactly once, never before this returns, unless cancelled. NULL when the URL or
 * a header is malformed. */
struct http_call *http_client_send(struct http_client *client, const struct http_options *options,
								   http_done done, void *arg);
void http_client_cancel(struct http_call *call);

#endif
