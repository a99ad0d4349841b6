/*
 * http_client.c: requests as transfers of curl, see curl_loop.h.
 *
 * Finished transfers are collected and told one by one from a turn of their own: a `done` may send,
 * cancel, or free the client, and none of that happens inside curl.
 */
#include "net/http_client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "net/curl_loop.h"
#include "net/log.h"
#include "net/loop.h"
#include "net/loop_internal.h"

#define MAX_HEADERS 16384 /* bytes of the reply's headers that are kept */
#define MAX_SPARE 256 /* handles of curl that wait for their next use */

struct http_client
{
	struct garbage garbage;
	struct loop *loop;
	struct curl_loop *curl;
	struct http_call *calls; /* all that were not told */
	CURL *spare[MAX_SPARE];
	size_t spare_count;
	struct deadline telling;
	bool freed;
};

struct http_call
{
	struct http_call *next, *prev;
	struct http_client *client;
	CURL *easy;
	struct curl_slist *headers;
	struct http_options options; /* its texts are not ours; flags, limits and callbacks are */
	http_done done;
	void *arg;
	char *body; /* of the reply */
	size_t body_len, body_size;
	uint64_t sunk; /* bytes that went to the sink */
	char *reply_headers; /* "name\0value\0" pairs, names in lower case */
	size_t reply_headers_len;
	bool too_large;
	struct curl_guard guard;
	bool broke; /* the connection ended without an answer, and curl would have sent it again */
	bool sink_failed, read_failed;
	bool finished;
	CURLcode result;
	bool may_repeat; /* a request that only asks */
	char error[CURL_ERROR_SIZE];
};

/* --- a reply --- */

static size_t
to_sink(struct http_call *call, const char *data, size_t len)
{
	call->sunk += len;
	call->too_large = call->options.sink_limit > 0 && call->sunk > call->options.sink_limit;
	if (call->too_large)
		return 0;
	call->sink_failed = !call->options.sink(call->options.stream_arg, data, len);
	return call->sink_failed ? 0 : len;
}

static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
	struct http_call *call = arg;
	size_t len = size * count;
	long status = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	if (call->options.sink != NULL && status >= 200 && status < 300)
		return to_sink(call, data, len);
	if (len > call->options.max_reply - call->body_len)
	{
		call->too_large = true;
		return 0;
	}
	if (call->body_len + len + 1 > call->body_size)
	{
		size_t wanted = (call->body_len + len + 1) * 2;
		char *grown = realloc(call->body, wanted);

		if (grown == NULL)
			return 0;
		call->body = grown;
		call->body_size = wanted;
	}
	memcpy(call->body + call->body_len, data, len);
	call->body_len += len;
	return len;
}

static size_t
on_read(char *into, size_t size, size_t count, void *arg)
{
	struct http_call *call = arg;
	size_t len = call->options.read_body(call->options.stream_arg, into, size * count);

	if (len != HTTP_READ_FAILED)
		return len;
	call->read_failed = true;
	return CURL_READFUNC_ABORT;
}

/* Was a byte of the request handed to the socket? (curl counts what it has sent, second tries and
 * redirects included: CURLINFO_REQUEST_SIZE.) */
static bool
request_begun(const struct http_call *call)
{
	long sent = 0;

	curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &sent);
	return sent > 0;
}

/* Before a request is sent. There are two reasons not to: an unguarded request may have left the
 * connection behind; and curl sends again by itself, for any method, what it sent on a connection
 * that was used before and that closed without a word. The service may have done it by then. */
static int
on_prerequest(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	struct http_call *call = arg;

	(void) local_ip;
	(void) remote_port;
	(void) local_port;
	if (!call->may_repeat && request_begun(call))
	{
		call->broke = true;
		return CURL_PREREQFUNC_ABORT;
	}
	return curl_guard_allows(&call->guard, remote_ip) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

/* --- headers of a reply --- */

/* Retry-After is a number of seconds or a date. */
static double
parse_retry_after(const char *value)
{
	char *end;
	double seconds;
	time_t date;

	if (*value >= '0' && *value <= '9')
	{
		seconds = strtod(value, &end);
		return *end == '\0' ? seconds : -1;
	}
	date = curl_getdate(value, NULL);
	if (date == (time_t) -1)
		return -1;
	seconds = (double) date - (double) loop_wall_ms() / 1000.0;
	return seconds > 0 ? seconds : 0;
}

/* Keeps "Name: value" as "name\0value\0". What is beyond the limit is forgotten. */
static void
keep_header(struct http_call *call, const char *line, size_t len, const char *colon)
{
	const char *value = colon + 1;
	char *to;

	while (len > 0 && strchr("\r\n \t", line[len - 1]) != NULL)
		len--;
	while (value < line + len && (*value == ' ' || *value == '\t'))
		value++;
	if (value > line + len || call->reply_headers_len + len + 2 > MAX_HEADERS)
		return;
	if (call->reply_headers == NULL && (call->reply_headers = malloc(MAX_HEADERS)) == NULL)
		return;
	to = call->reply_headers + call->reply_headers_len;
	for (const char *p = line; p < colon; p++)
		*to++ = (char) (*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
	*to++ = '\0';
	memcpy(to, value, (size_t) (line + len - value));
	to += line + len - value;
	*to++ = '\0';
	call->reply_headers_len = (size_t) (to - call->reply_headers);
}

static size_t
on_header(char *data, size_t size, size_t count, void *arg)
{
	struct http_call *call = arg;
	size_t len = size * count;
	const char *colon = memchr(data, ':', len);

	if (len >= 5 && memcmp(data, "HTTP/", 5) == 0)
		call->reply_headers_len = 0; /* of an answer before: a redirect, 100 Continue */
	else if (colon != NULL && colon > data && memchr(data, '\0', len) == NULL)
		keep_header(call, data, len, colon);
	return len;
}

static const char *
find_header(const struct http_call *call, const char *name)
{
	const char *end = call->reply_headers + call->reply_headers_len;
	const char *found = NULL;

	for (const char *p = call->reply_headers; p != NULL && p < end;)
	{
		const char *value = p + strlen(p) + 1;

		if (strcmp(p, name) == 0)
			found = value;
		p = value + strlen(value) + 1;
	}
	return found;
}

const char *
http_reply_header(const struct http_reply *reply, const char *name)
{
	return reply->call != NULL ? find_header(reply->call, name) : NULL;
}

/* Which part of the way timed out: the first that has no time noted. */
static const char *
timeout_words(const struct http_call *call)
{
	CURL *easy = call->easy;
	curl_off_t looked_up = 0, connected = 0, secured = 0;
	char *scheme = NULL;

	/* On a connection that is used again the steps before have no time of their own. */
	if (request_begun(call))
		return "timed out waiting for the answer";
	curl_easy_getinfo(easy, CURLINFO_NAMELOOKUP_TIME_T, &looked_up);
	curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &connected);
	curl_easy_getinfo(easy, CURLINFO_APPCONNECT_TIME_T, &secured);
	curl_easy_getinfo(easy, CURLINFO_SCHEME, &scheme);
	if (looked_up == 0)
		return "timed out looking up the name";
	if (connected == 0)
		return "timed out connecting";
	if (scheme != NULL && strcasecmp(scheme, "https") == 0 && secured == 0)
		return "timed out in the TLS handshake";
	return "timed out waiting for the answer";
}

static const char *
error_words(struct http_call *call)
{
	if (call->guard.refused)
		return "the address is on this machine or in a private network";
	if (call->broke)
		return "connection closed without an answer";
	if (call->too_large)
		return "answer too large";
	if (call->sink_failed)
		return "the answer could not be stored";
	if (call->read_failed)
		return "the body could not be read";
	switch (call->result)
	{
		case CURLE_OK: return NULL;
		case CURLE_COULDNT_RESOLVE_HOST: return "name not found";
		case CURLE_COULDNT_CONNECT: return "connection refused or unreachable";
		case CURLE_OPERATION_TIMEDOUT: return timeout_words(call);
		case CURLE_PEER_FAILED_VERIFICATION: return "certificate not accepted";
		case CURLE_SSL_CONNECT_ERROR: return "TLS handshake failed";
		case CURLE_GOT_NOTHING:
		case CURLE_SEND_FAIL_REWIND: /* curl would have sent a body again that comes in pieces */
			return "connection closed without an answer";
		case CURLE_PARTIAL_FILE: return "answer cut off";
		case CURLE_RECV_ERROR: return "connection lost while receiving";
		case CURLE_SEND_ERROR: return "connection lost while sending";
		case CURLE_TOO_MANY_REDIRECTS: return "too many redirects";
		case CURLE_OUT_OF_MEMORY: return "out of memory";
		default: return call->error[0] != '\0' ? call->error : curl_easy_strerror(call->result);
	}
}

static void
unlink_call(struct http_call *call)
{
	if (call->prev != NULL)
		call->prev->next = call->next;
	else
		call->client->calls = call->next;
	if (call->next != NULL)
		call->next->prev = call->prev;
	call->next = call->prev = NULL;
}

/* Takes it out of curl's hands; its data stay readable. */
static void
detach_call(struct http_call *call)
{
	unlink_call(call);
	curl_loop_remove(call->client->curl, call->easy);
}

/* A handle is dear to make: they are used again, with everything set anew. (Connections, names and
 * TLS sessions belong to curl's multi handle, not to them.) */
static CURL *
get_easy(struct http_client *client)
{
	return client->spare_count > 0 ? client->spare[--client->spare_count] : curl_easy_init();
}

static void
put_easy(struct http_client *client, CURL *easy)
{
	if (client->freed || client->spare_count == MAX_SPARE)
	{
		curl_easy_cleanup(easy);
		return;
	}
	curl_easy_reset(easy);
	client->spare[client->spare_count++] = easy;
}

static void
free_call(struct http_call *call)
{
	put_easy(call->client, call->easy);
	curl_slist_free_all(call->headers);
	free(call->body);
	free(call->reply_headers);
	free(call);
}

static void
tell(struct http_call *call)
{
	struct http_reply reply = {.body = "", .retry_after_s = -1, .call = call};
	const char *retry_after = find_header(call, "retry-after");
	long status = 0;
	curl_off_t total_us = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(call->easy, CURLINFO_TOTAL_TIME_T, &total_us);
	reply.total_ms = (unsigned) (total_us / 1000);
	reply.sent = request_begun(call);
	if (retry_after != NULL)
		reply.retry_after_s = parse_retry_after(retry_after);
	reply.error = error_words(call);
	/* A status without its whole body is no answer. */
	reply.status = reply.error == NULL ? (int) status : 0;
	if (call->body != NULL)
	{
		call->body[call->body_len] = '\0';
		reply.body = call->body;
		reply.body_len = call->body_len;
	}
	call->done(call->arg, &reply);
}

/* Tells the finished, oldest first, until none is left or the client is freed. */
static void
on_telling(void *arg)
{
	struct http_client *client = arg;

	while (!client->freed)
	{
		struct http_call *found = NULL;

		for (struct http_call *call = client->calls; call != NULL; call = call->next)
		{
			if (call->finished)
				found = call;
		}
		if (found == NULL)
			return;
		/* `done` may free the client, and with it curl's side of all calls. */
		detach_call(found);
		tell(found);
		free_call(found);
	}
}

static void
on_finished(void *arg, CURL *easy, CURLcode result)
{
	struct http_client *client = arg;
	struct http_call *call = NULL;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &call);
	call->finished = true;
	call->result = result;
	if (!deadline_is_set(&client->telling))
		deadline_set(client->loop, &client->telling, 0, on_telling, client);
}

/* --- requests --- */

static bool
add_headers(struct http_call *call, const char *const *headers)
{
	/* "Expect:" keeps curl from waiting a second for 100 Continue. */
	call->headers = curl_slist_append(NULL, "Expect:");
	if (call->headers == NULL)
		return false;
	for (; headers != NULL && *headers != NULL; headers++)
	{
		const char *colon = strchr(*headers, ':');
		struct curl_slist *longer;

		if (colon == NULL || colon == *headers || strpbrk(*headers, "\r\n") != NULL)
			return false;
		longer = curl_slist_append(call->headers, *headers);
		if (longer == NULL)
			return false;
		call->headers = longer;
	}
	return true;
}

static bool
set_method(CURL *easy, const struct http_options *options)
{
	bool good = true;

	if (strcmp(options->method, "HEAD") == 0)
		return curl_easy_setopt(easy, CURLOPT_NOBODY, 1L) == CURLE_OK;
	if (options->read_body != NULL)
		good = curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L) == CURLE_OK &&
			   curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t) options->body_len) ==
				   CURLE_OK;
	else if (options->body != NULL || strcmp(options->method, "POST") == 0)
	{
		good = curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
								(curl_off_t) options->body_len) == CURLE_OK &&
			   curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS,
								options->body != NULL ? options->body : "") == CURLE_OK;
	}
	return good && curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, options->method) == CURLE_OK;
}

static bool
url_good(const char *url)
{
	CURLU *parsed;
	bool good;

	if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
		return false;
	parsed = curl_url();
	good = parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK;
	curl_url_cleanup(parsed);
	return good;
}

static bool
secure(const char *url)
{
	return strncasecmp(url, "https://", 8) == 0;
}

static bool
set_options(struct http_call *call, const struct http_options *options)
{
	CURL *easy = call->easy;
	bool good = true;

	/* libcurl does not look at what OpenSSL itself, and so our WebSockets, go by. */
	if (getenv("SSL_CERT_FILE") != NULL)
		good &= curl_easy_setopt(easy, CURLOPT_CAINFO, getenv("SSL_CERT_FILE")) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_URL, options->url) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_USERAGENT, "voiceagent") == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
	/* Over TLS a second request waits to hear whether it may share the first one's connection. */
	good &= curl_easy_setopt(easy, CURLOPT_PIPEWAIT, secure(options->url) ? 1L : 0L) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) options->connect_timeout_ms) ==
			CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) options->timeout_ms) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_WRITEDATA, call) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_HEADERDATA, call) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_PRIVATE, call) == CURLE_OK;
	/* A proxy is nobody's business but the operator's, who sets it in the environment. */
	return good && set_method(easy, options);
}

static bool
set_road(struct http_call *call, const struct http_options *options)
{
	CURL *easy = call->easy;
	bool follow = options->max_redirects > 0 && strcmp(options->method, "GET") == 0;
	bool good = true;

	good &= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, follow ? 1L : 0L) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long) options->max_redirects) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR,
							 secure(options->url) ? "https" : "http,https") == CURLE_OK;
	call->guard.on = options->guard;
	good &= curl_guard_install(easy, &call->guard);
	good &= curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_prerequest) == CURLE_OK;
	good &= curl_easy_setopt(easy, CURLOPT_PREREQDATA, call) == CURLE_OK;
	if (options->read_body != NULL)
	{
		good &= curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read) == CURLE_OK;
		good &= curl_easy_setopt(easy, CURLOPT_READDATA, call) == CURLE_OK;
	}
	return good;
}

struct http_call *
http_client_send(struct http_client *client, const struct http_options *options, http_done done,
				 void *arg)
{
	struct http_call *call;

	if (!url_good(options->url))
		return NULL;
	call = calloc(1, sizeof(*call));
	if (call == NULL)
		return NULL;
	call->client = client;
	call->done = done;
	call->arg = arg;
	call->options = *options;
	call->may_repeat = strcmp(options->method, "GET") == 0 || strcmp(options->method, "HEAD") == 0;
	call->easy = get_easy(client);
	if (call->easy == NULL)
	{
		free(call);
		return NULL;
	}
	if (!add_headers(call, options->headers) || !set_options(call, options) ||
		!set_road(call, options))
	{
		free_call(call);
		return NULL;
	}
	call->next = client->calls;
	if (call->next != NULL)
		call->next->prev = call;
	client->calls = call;
	curl_loop_add(client->curl, call->easy);
	return call;
}

bool
http_client_sent(const struct http_call *call)
{
	return request_begun(call);
}

void
http_client_cancel(struct http_call *call)
{
	detach_call(call);
	free_call(call);
}

struct http_client *
http_client_new(struct loop *loop, unsigned max_per_host)
{
	struct http_client *client = calloc(1, sizeof(*client));

	if (client != NULL)
	{
		client->loop = loop;
		client->curl = curl_loop_new(loop, max_per_host, on_finished, client);
	}
	if (client != NULL && client->curl == NULL)
	{
		free(client);
		return NULL;
	}
	return client;
}

void
http_client_free(struct http_client *client)
{
	if (client == NULL)
		return;
	while (client->calls != NULL)
		http_client_cancel(client->calls);
	client->freed = true;
	while (client->spare_count > 0)
		curl_easy_cleanup(client->spare[--client->spare_count]);
	deadline_clear(&client->telling);
	curl_loop_free(client->curl);
	loop_free_later(client->loop, &client->garbage);
}
