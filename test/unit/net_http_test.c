/*
 * net_http_test.c: the HTTP server against raw bytes, and the HTTP client against the server and
 * against listeners that misbehave.
 */
#define _GNU_SOURCE 1 /* memmem */
#include <stdio.h>
#include <time.h>

#include "net/http_client.h"
#include "net/http_server.h"
#include "net/log.h"
#include "net_test.h"
#include "tap.h"

static struct loop *loop;
static struct http_server *server;
static struct http_client *client;
static uint16_t port;
static unsigned requests;
static char seen[4096]; /* what the last request was */
static struct http_exchange *held;
static unsigned most_connections = 20;

static void
on_request(void *arg, struct http_exchange *ex, const struct http_request *request)
{
	char body[600];
	int len;

	(void) arg;
	requests++;
	snprintf(seen, sizeof(seen), "%s %s [%s] [%s] %s %zu%s", request->method, request->target,
			 request->path, request->query, request->content_type, request->body_len,
			 request->body_too_large ? " too large" : "");
	if (strcmp(request->path, "/hold") == 0)
		held = ex;
	else if (strcmp(request->path, "/busy") == 0)
		http_answer(ex, 429, "text/plain", "busy", 4, "Retry-After: 7\r\n");
	else if (strcmp(request->path, "/date") == 0)
	{
		time_t later = time(NULL) + 100;
		char header[80];
		struct tm tm;

		strftime(header, sizeof(header), "Retry-After: %a, %d %b %Y %H:%M:%S GMT\r\n",
				 gmtime_r(&later, &tm));
		http_answer(ex, 503, NULL, "", 0, header);
	}
	else if (strcmp(request->path, "/nothing") == 0)
		http_answer(ex, 204, NULL, NULL, 0, NULL);
	else if (request->body_too_large)
		http_answer(ex, 413, "text/plain", "too large", 9, NULL);
	else if (strcmp(request->path, "/big") == 0)
	{
		static char big[3000000];

		memset(big, 'B', sizeof(big));
		http_answer(ex, 200, "text/plain", big, sizeof(big), NULL);
	}
	else
	{
		len = snprintf(body, sizeof(body), "%s|%.500s", request->target, request->body);
		http_answer(ex, 200, "text/plain", body, (size_t) len, "X-Odd: 1\r\n");
	}
}

static struct raw_input input;

/* Sends the bytes on a new connection and reads until `until` was seen or the end came. */
static int
talk(const char *bytes, size_t len, const char *until)
{
	int fd = raw_connect(port, 0);

	memset(&input, 0, sizeof(input));
	raw_send(fd, bytes, len);
	run_until(loop, 5,
			  raw_read(fd, &input) && (input.ended || (until && strstr(input.data, until))));
	return fd;
}

#define TALK(text, until) talk(text, sizeof(text) - 1, until)
#define GET(target) "GET " target " HTTP/1.1\r\nHost: h\r\n\r\n"

static void
test_targets(void)
{
	static const char *const targets[] = {"/",
										  "//",
										  "/a//b",
										  "/a/../b/./c",
										  "/%41%2f%2F?x=%41%",
										  "/?",
										  "/??&&==",
										  "/a;b=c,d?e=f+g%20h#i",
										  "/\xc3\xa9?\xff",
										  "/~!$'()*:@[]{}|\\^`\"<>",
										  "http://host/abs?x"};

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
	{
		char request[300], wanted[300];
		int fd;

		snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", targets[i]);
		fd = talk(request, strlen(request), "|");
		snprintf(wanted, sizeof(wanted), "\r\n\r\n%s|", targets[i]);
		ok(strstr(input.data, wanted) != NULL, "the target comes as sent: %s", targets[i]);
		close(fd);
	}
	close(TALK(GET("/p%20q?r=s&t"), "|"));
	is_str(seen, "GET /p%20q?r=s&t [/p%20q] [r=s&t]  0", "path and query are split, not decoded");
}

static void
test_bodies(void)
{
	char *big = calloc(1, 20001);
	char head[100];
	int fd;

	close(TALK("POST /f HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\nx=1",
			   "|x=1"));
	is_str(seen, "POST /f [/f] [] a/b 3", "a body of a length");
	close(TALK("POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
			   "3;ext=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
			   "|abc0123456789"));
	is_str(seen, "POST /c [/c] []  13", "a chunked body is put together");
	close(TALK("POST /e HTTP/1.1\r\nHost: h\r\n\r\n", "|"));
	is_str(seen, "POST /e [/e] []  0", "no length is no body");
	fd = TALK("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
			  "100 Continue\r\n\r\n");
	ok(strncmp(input.data, "HTTP/1.1 100 Continue\r\n\r\n", 25) == 0, "100-continue is answered");
	raw_send(fd, "ok", 2);
	run_until(loop, 5, raw_read(fd, &input) && strstr(input.data, "|ok") != NULL);
	ok(strstr(input.data, "|ok") != NULL, "and the body that follows is read");
	close(fd);
	memset(big, 'z', 20000);
	fd = raw_connect(port, 0);
	memset(&input, 0, sizeof(input));
	snprintf(head, sizeof(head), "POST /l HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\r\n");
	raw_send(fd, head, strlen(head));
	raw_send(fd, big, 10000);
	run_until(loop, 5, raw_read(fd, &input) && strstr(input.data, "|zzz") != NULL);
	is_str(seen, "POST /l [/l] []  10000", "a body of just max_body is taken");
	close(fd);
	fd = raw_connect(port, 0);
	memset(&input, 0, sizeof(input));
	snprintf(head, sizeof(head), "POST /l HTTP/1.1\r\nHost: h\r\nContent-Length: 10001\r\n\r\n");
	raw_send(fd, head, strlen(head));
	raw_send(fd, big, 10001);
	run_until(loop, 5, raw_read(fd, &input) && input.ended);
	is_str(seen, "POST /l [/l] []  0 too large", "one byte more is not, and has no body");
	ok(strncmp(input.data, "HTTP/1.1 413 ", 13) == 0 && strstr(input.data, "too large") != NULL,
	   "the peer gets the whole answer");
	close(fd);
	fd = raw_connect(port, 0);
	memset(&input, 0, sizeof(input));
	snprintf(head, sizeof(head),
			 "POST /k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4e20\r\n");
	raw_send(fd, head, strlen(head));
	raw_send(fd, big, 20000);
	run_until(loop, 5, raw_read(fd, &input) && input.ended);
	is_str(seen, "POST /k [/k] []  0 too large", "chunks cannot get past the limit");
	close(fd);
	free(big);
}

static void
test_connections(void)
{
	unsigned before = requests;
	int fd = TALK(GET("/1") GET("/2") GET("/3"), "/3|");

	ok(strstr(input.data, "/1|") < strstr(input.data, "/2|") &&
		   strstr(input.data, "/2|") < strstr(input.data, "/3|"),
	   "pipelined requests are answered in order");
	is_int(requests - before, 3, "each once");
	memset(&input, 0, sizeof(input));
	raw_send(fd, "\r\n" GET("/4"), sizeof("\r\n" GET("/4")) - 1);
	run_until(loop, 5, raw_read(fd, &input) && strstr(input.data, "/4|") != NULL);
	ok(strstr(input.data, "/4|") != NULL && !input.ended, "the connection is kept");
	close(fd);
	close(TALK("GET /5 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" GET("/6"), NULL));
	ok(input.ended && strstr(input.data, "/5|") && !strstr(input.data, "/6|"),
	   "Connection: close ends it");
	close(TALK("GET /7 HTTP/1.0\r\n\r\n", NULL));
	ok(input.ended && strstr(input.data, "/7|") != NULL, "HTTP/1.0 ends it");
	close(TALK("HEAD /8 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", NULL));
	ok(strstr(input.data, "Content-Length: 3\r\n") && !strstr(input.data, "/8|"),
	   "HEAD has a length and no body");
	close(TALK("GET /nothing HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", NULL));
	ok(strncmp(input.data, "HTTP/1.1 204 ", 13) == 0 && !strstr(input.data, "Content-Length"),
	   "204 has no length");
	fd = TALK(GET("/hold") GET("/9"), "x");
	ok(held != NULL && input.len == 0, "an answer may come later");
	http_answer(held, 200, "text/plain", "late", 4, NULL);
	held = NULL;
	run_until(loop, 5, raw_read(fd, &input) && strstr(input.data, "/9|") != NULL);
	ok(strstr(input.data, "late") != NULL && strstr(input.data, "/9|") != NULL,
	   "and then the next request is served");
	close(fd);
	fd = TALK(GET("/hold"), "x");
	close(fd);
	run_until(loop, 5, http_server_connections(server) == 0);
	http_answer(held, 200, "text/plain", "nobody", 6, NULL);
	held = NULL;
	ok(true, "an answer to a peer that is gone is harmless");
}

static void
test_refusals(void)
{
	static const struct
	{
		const char *bytes;
		const char *status;
		const char *name;
	} cases[] = {
		{"GET / HTTP/1.1\r\n\r\n", "400", "no Host"},
		{"GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505", "an unknown version"},
		{"GET /\r\nHost: h\r\n\r\n", "400", "no version"},
		{"G@T / HTTP/1.1\r\nHost: h\r\n\r\n", "400", "a method that is no token"},
		{"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "400", "a space in the target"},
		{"GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n", "400", "a space before the colon"},
		{"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", "400", "a folded line"},
		{"GET / HTTP/1.1\r\nHost: h\r\nA: b\nC: d\r\n\r\n", "400", "a bare line feed"},
		{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", "400",
		 "two lengths"},
		{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\nx", "400",
		 "a length with a sign"},
		{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: "
		 "chunked\r\n\r\n0\r\n\r\n",
		 "400", "a length and chunks"},
		{"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "501",
		 "another transfer coding"},
		{"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400",
		 "a broken chunk size"},
		{"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", "400",
		 "a chunk longer than its size"},
		{"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
		 "chunked\r\n\r\n11111111111111111\r\n",
		 "400", "a chunk size beyond 64 bits"},
		{"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
		 "Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n\r\n",
		 "400", "an upgrade without a good key"},
		{"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
		 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n",
		 "426", "an old WebSocket version"},
	};
	unsigned before = requests;
	char long_head[17000];
	char many[4000] = "GET / HTTP/1.1\r\nHost: h\r\n";

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		close(talk(cases[i].bytes, strlen(cases[i].bytes), NULL));
		ok(input.ended && strncmp(input.data + 9, cases[i].status, 3) == 0, "%s: %s", cases[i].name,
		   cases[i].status);
	}
	memset(long_head, 'a', sizeof(long_head));
	memcpy(long_head, "GET /", 5);
	close(talk(long_head, sizeof(long_head), NULL));
	ok(strncmp(input.data + 9, "431", 3) == 0, "a head too long: 431");
	for (int i = 0; i < 100; i++)
		snprintf(many + strlen(many), 30, "X-%d: y\r\n", i);
	snprintf(many + strlen(many), 30, "\r\n");
	close(talk(many, strlen(many), NULL));
	ok(strncmp(input.data + 9, "431", 3) == 0, "too many headers: 431");
	is_int(requests - before, 0, "none of these reached the handler");
}

static void
test_slow_peer(void)
{
	int fd = raw_connect(port, 0);
	uint64_t begin = loop_now_us();

	memset(&input, 0, sizeof(input));
	/* A byte now and then does not move the deadline. */
	for (int i = 0; i < 100 && !input.ended; i++)
	{
		if (send(fd, "G", 1, MSG_NOSIGNAL) != 1)
			break;
		run_until(loop, 0, raw_read(fd, &input));
		usleep(50000);
	}
	run_until(loop, 5, raw_read(fd, &input) && input.ended);
	ok(input.ended && strncmp(input.data + 9, "408", 3) == 0, "a slow request is cut off with 408");
	diag("after %llu ms", (unsigned long long) (loop_now_us() - begin) / 1000);
	close(fd);
	fd = raw_connect(port, 0);
	memset(&input, 0, sizeof(input));
	run_until(loop, 10, raw_read(fd, &input) && input.ended);
	ok(input.ended && input.len == 0, "a silent peer is closed without a word");
	close(fd);
	fd = raw_connect(port, 4096);
	raw_send(fd, GET("/big"), sizeof(GET("/big")) - 1);
	run_until(loop, 5, http_server_connections(server) == 1);
	run_until(loop, 10, http_server_connections(server) == 0);
	is_int(http_server_connections(server), 0, "a peer that does not read its answer is closed");
	close(fd);
}

static void
test_limit(void)
{
	int fds[21];

	for (unsigned i = 0; i < most_connections; i++)
		fds[i] = raw_connect(port, 0);
	run_until(loop, 5, http_server_connections(server) == most_connections);
	fds[most_connections] = raw_connect(port, 0);
	memset(&input, 0, sizeof(input));
	run_until(loop, 5, raw_read(fds[most_connections], &input) && input.ended);
	ok(input.ended, "one connection more than allowed is closed");
	for (unsigned i = 0; i <= most_connections; i++)
		close(fds[i]);
	ok(run_until(loop, 5, http_server_connections(server) == 0), "and there is room again");
}

/* The address that is really bound, from the kernel. */
static void
test_bound(void)
{
	FILE *table = fopen("/proc/net/tcp", "r");
	char line[300], loopback[20], any[20];
	bool at_loopback = false, at_any = false;

	snprintf(loopback, sizeof(loopback), "0100007F:%04X", port);
	snprintf(any, sizeof(any), "00000000:%04X", port);
	while (table != NULL && fgets(line, sizeof(line), table) != NULL)
	{
		at_loopback |= strstr(line, loopback) != NULL && strstr(line, " 0A ") != NULL;
		at_any |= strstr(line, any) != NULL && strstr(line, " 0A ") != NULL;
	}
	if (table != NULL)
		fclose(table);
	ok(at_loopback && !at_any, "localhost is bound to 127.0.0.1 alone");
}

struct reply
{
	unsigned came;
	int status;
	char body[300];
	char error[200];
	double retry_after_s;
	bool sent, has_error;
	size_t body_len;
};

static void
on_reply(void *arg, const struct http_reply *reply)
{
	struct reply *kept = arg;

	kept->came++;
	kept->status = reply->status;
	kept->retry_after_s = reply->retry_after_s;
	kept->sent = reply->sent;
	kept->body_len = reply->body_len;
	kept->has_error = reply->error != NULL;
	snprintf(kept->body, sizeof(kept->body), "%s", reply->body);
	snprintf(kept->error, sizeof(kept->error), "%s", reply->error != NULL ? reply->error : "");
}

static struct reply
fetch(const char *url, const char *body, unsigned timeout_ms, size_t max_reply)
{
	static struct reply reply;
	struct http_options options = {.method = body != NULL ? "POST" : "GET",
								   .url = url,
								   .headers = (const char *const[]){"X-A: b", NULL},
								   .body = body,
								   .body_len = body != NULL ? strlen(body) : 0,
								   .connect_timeout_ms = 30000,
								   .timeout_ms = timeout_ms,
								   .max_reply = max_reply};

	memset(&reply, 0, sizeof(reply));
	if (http_client_send(client, &options, on_reply, &reply) == NULL)
	{
		snprintf(reply.error, sizeof(reply.error), "refused at once");
		return reply;
	}
	if (reply.came > 0)
		abort(); /* told before http_client_send returned */
	run_until(loop, 60, reply.came);
	return reply;
}

static const char *
url_of(const char *path)
{
	static char url[100];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", port, path);
	return url;
}

/* A listener that sends the given bytes to whoever sent something, and closes. */
struct speaker
{
	uv_poll_t poll;
	uv_poll_t peer_poll;
	int fd, peer;
	const char *bytes;
};

static void
on_speaker_asked(uv_poll_t *handle, int status, int events)
{
	struct speaker *speaker = handle->data;
	char request[1000];

	(void) status;
	(void) events;
	if (recv(speaker->peer, request, sizeof(request), 0) > 0)
		send(speaker->peer, speaker->bytes, strlen(speaker->bytes), MSG_NOSIGNAL);
	uv_close((uv_handle_t *) handle, NULL);
	close(speaker->peer);
}

static void
on_speaker(uv_poll_t *handle, int status, int events)
{
	struct speaker *speaker = handle->data;

	(void) status;
	(void) events;
	speaker->peer = accept(speaker->fd, NULL, NULL);
	uv_poll_init(loop_uv(loop), &speaker->peer_poll, speaker->peer);
	speaker->peer_poll.data = speaker;
	uv_poll_start(&speaker->peer_poll, UV_READABLE, on_speaker_asked);
}

static uint16_t
start_speaker(struct speaker *speaker, const char *bytes)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	speaker->bytes = bytes;
	speaker->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(speaker->fd, (struct sockaddr *) &address, len) != 0 || listen(speaker->fd, 10) != 0 ||
		getsockname(speaker->fd, (struct sockaddr *) &address, &len) != 0)
		abort();
	uv_poll_init(loop_uv(loop), &speaker->poll, speaker->fd);
	speaker->poll.data = speaker;
	uv_poll_start(&speaker->poll, UV_READABLE, on_speaker);
	return ntohs(address.sin_port);
}

static void
test_client(void)
{
	struct speaker cut, silent;
	struct reply r;
	char url[100];
	static char big[5000];

	r = fetch(url_of("/a?b=c"), NULL, 5000, 1000);
	ok(r.status == 200 && strcmp(r.body, "/a?b=c|") == 0 && !r.has_error && r.sent, "a GET");
	memset(big, 'p', sizeof(big) - 1);
	r = fetch(url_of("/p"), big, 5000, 1000);
	ok(r.status == 200, "a POST of 5 kB");
	is_str(seen, "POST /p [/p] [] application/x-www-form-urlencoded 4999", "comes whole");
	r = fetch(url_of("/busy"), NULL, 5000, 1000);
	ok(r.status == 429 && r.retry_after_s == 7 && strcmp(r.body, "busy") == 0,
	   "429 with Retry-After in seconds");
	r = fetch(url_of("/date"), NULL, 5000, 1000);
	ok(r.status == 503 && r.retry_after_s > 90 && r.retry_after_s <= 101,
	   "503 with Retry-After as a date");
	r = fetch(url_of("/a"), NULL, 5000, 1000);
	is_int((int64_t) r.retry_after_s, -1, "no Retry-After");
	r = fetch(url_of("/big"), NULL, 5000, 1000);
	ok(r.status == 0 && strcmp(r.error, "answer too large") == 0, "an answer too large fails");
	r = fetch(url_of("/big"), NULL, 10000, 3000000);
	ok(r.status == 200 && r.body_len == 3000000, "and one of just max_reply does not");
	r = fetch(url_of("/hold"), NULL, 300, 1000);
	is_str(r.error, "timed out waiting for the answer", "a slow server");
	ok(r.sent, "may have got the request");
	http_answer(held, 200, NULL, "", 0, NULL);
	held = NULL;
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", free_port());
	r = fetch(url, NULL, 5000, 1000);
	is_str(r.error, "connection refused or unreachable", "nobody listens");
	ok(!r.sent, "and nothing was sent");
	r = fetch("http://name.invalid/", NULL, 5000, 1000);
	is_str(r.error, "name not found", "no such name");
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/",
			 start_speaker(&cut, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"));
	r = fetch(url, NULL, 5000, 1000);
	ok(r.status == 0 && r.sent && strcmp(r.error, "answer cut off") == 0, "cut in mid-body: %s",
	   r.error);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", start_speaker(&silent, ""));
	r = fetch(url, "x", 5000, 1000);
	is_str(r.error, "connection closed without an answer", "closed without an answer");
	snprintf(url, sizeof(url), "https://127.0.0.1:%u/", port);
	r = fetch(url, NULL, 60000, 1000);
	ok(r.status == 0 && strstr(r.error, "TLS") != NULL, "no TLS there: %s", r.error);
	is_str(fetch("ftp://127.0.0.1/", NULL, 100, 10).error, "refused at once", "another scheme");
	is_str(fetch("http://a b/", NULL, 100, 10).error, "refused at once", "a malformed URL");
	uv_close((uv_handle_t *) &cut.poll, NULL);
	uv_close((uv_handle_t *) &silent.poll, NULL);
	run_until(loop, 0, false);
	close(cut.fd);
	close(silent.fd);
}

struct chain
{
	struct http_call *other;
	struct reply reply;
	bool free_client;
};

static void
on_chain(void *arg, const struct http_reply *reply)
{
	struct chain *chain = arg;

	on_reply(&chain->reply, reply);
	if (chain->other != NULL)
		http_client_cancel(chain->other);
	chain->other = NULL;
	if (chain->free_client)
	{
		http_client_free(client);
		client = NULL;
	}
}

static void
test_cancel(void)
{
	struct chain chain = {0};
	struct reply never = {0};
	struct http_options options = {.method = "GET",
								   .url = url_of("/hold"),
								   .connect_timeout_ms = 3000,
								   .timeout_ms = 5000,
								   .max_reply = 100};
	struct http_call *call = http_client_send(client, &options, on_reply, &never);

	run_until(loop, 5, held != NULL);
	http_client_cancel(call);
	run_until(loop, 5, http_server_connections(server) == 0);
	http_answer(held, 200, NULL, "", 0, NULL);
	held = NULL;
	chain.other = http_client_send(client, &options, on_reply, &never);
	run_until(loop, 5, held != NULL);
	options.url = url_of("/quick");
	http_client_send(client, &options, on_chain, &chain);
	run_until(loop, 5, chain.reply.came);
	http_answer(held, 200, NULL, "", 0, NULL);
	held = NULL;
	run_until(loop, 0, false);
	is_int(never.came, 0, "a cancelled request tells nothing, cancelled in a callback or not");
	chain.free_client = true;
	http_client_send(client, &options, on_chain, &chain);
	http_client_send(client, &options, on_reply, &never);
	run_until(loop, 5, client == NULL);
	ok(client == NULL, "the client may be freed in a callback");
	run_until(loop, 0, false);
}

int
main(void)
{
	struct http_server_handlers handlers = {.request = on_request};
	struct http_server_options options = {.addresses = "localhost",
										  .max_connections = most_connections,
										  .max_body = 10000,
										  .request_timeout_s = 1};

	plan(0);
	log_setup("net_http_test", true, LOG_LEVEL_ERROR);
	loop = loop_new(NULL, false, 200);
	port = options.ports[0] = free_port();
	server = http_server_new(loop, &options, &handlers);
	client = http_client_new(loop, 4);
	ok(server != NULL && client != NULL, "a server on port %u and a client", port);
	test_bound();
	test_targets();
	test_bodies();
	test_connections();
	test_refusals();
	test_slow_peer();
	test_limit();
	test_client();
	test_cancel();
	options.addresses = "203.0.113.7";
	log_set_level(LOG_LEVEL_ERROR + 1);
	ok(http_server_new(loop, &options, &handlers) == NULL, "an address of another machine");
	options.addresses = "";
	ok(http_server_new(loop, &options, &handlers) == NULL, "no address at all");
	options.addresses = "127.0.0.1";
	options.cert_file = "/nonexistent";
	ok(http_server_new(loop, &options, &handlers) == NULL, "a certificate that is not there");
	http_server_close(server);
	loop_stop(loop);
	loop_run(loop);
	loop_free(loop);
	return done();
}
