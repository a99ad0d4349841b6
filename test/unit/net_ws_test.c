/*
 * net_ws_test.c: WebSockets between our client and our server, and against a raw socket that
 * breaks the rules on purpose.
 */
#define _GNU_SOURCE 1 /* memmem */
#include <stdio.h>

#include "net/http_server.h"
#include "net/log.h"
#include "net/ws.h"
#include "net_test.h"
#include "tap.h"

#define MAX_MESSAGE 100000

struct side
{
	struct ws *ws;
	unsigned opened, closed, messages;
	char last[MAX_MESSAGE + 1];
	size_t last_len, total;
	bool last_binary;
	int code, http_status;
	char reason[200];
	bool echo;
	bool close_in_message;
	unsigned sequence_errors;
	uint32_t next_sequence;
	bool sequences;
};

static struct loop *loop;
static struct http_server *server;
static uint16_t port;
static struct side server_side;
static int refuse_with;
static char seen_target[256];
static char seen_header[64];
static struct ws_limits server_limits = {MAX_MESSAGE, 20000};
static bool terminated;

static void
on_open(void *arg, struct ws *ws)
{
	struct side *side = arg;

	side->ws = ws;
	side->opened++;
}

static void
on_message(void *arg, struct ws *ws, const char *data, size_t len, bool binary)
{
	struct side *side = arg;

	side->messages++;
	side->total += len;
	side->last_binary = binary;
	side->last_len = len;
	memcpy(side->last, data, len);
	side->last[len] = '\0';
	if (side->sequences)
	{
		uint32_t sequence;

		memcpy(&sequence, data, 4);
		side->sequence_errors += sequence < side->next_sequence;
		side->next_sequence = sequence + 1;
	}
	if (side->echo)
		ws_send_copy(ws, binary ? WS_BINARY : WS_TEXT, data, len, false);
	if (side->close_in_message)
		ws_close(ws, 4001, "enough");
}

static void
on_close(void *arg, struct ws *ws, int code, int http_status, const char *reason)
{
	struct side *side = arg;

	(void) ws;
	side->closed++;
	side->ws = NULL;
	side->code = code;
	side->http_status = http_status;
	snprintf(side->reason, sizeof(side->reason), "%s", reason);
}

static const struct ws_handlers handlers = {
	.open = on_open, .message = on_message, .close = on_close};

static void
on_request(void *arg, struct http_exchange *ex, const struct http_request *request)
{
	(void) arg;
	(void) request;
	http_answer(ex, 404, "text/plain", "no", 2, NULL);
}

static int
on_upgrade(void *arg, const struct http_request *request, struct ws_limits *limits,
		   const struct ws_handlers **ws_handlers, void **ws_arg, struct http_exchange *headers_of)
{
	(void) arg;
	snprintf(seen_target, sizeof(seen_target), "%s", request->target);
	snprintf(seen_header, sizeof(seen_header), "%s", http_header(headers_of, "x-test"));
	*limits = server_limits;
	*ws_handlers = &handlers;
	*ws_arg = &server_side;
	return refuse_with;
}

static struct ws *
connect_to(struct side *side, const char *path, struct ws_limits limits)
{
	static const char *const headers[] = {"X-Test: yes", NULL};
	char url[300];

	memset(side, 0, sizeof(*side));
	snprintf(url, sizeof(url), "ws://127.0.0.1:%u%s", port, path);
	return ws_connect(loop, url, headers, 5000, limits, &handlers, side);
}

static const struct ws_limits wide = {MAX_MESSAGE, 1000000};

/* A pair of open sockets. */
static bool
open_pair(struct side *client)
{
	memset(&server_side, 0, sizeof(server_side));
	return connect_to(client, "/", wide) != NULL &&
		   run_until(loop, 5, client->opened && server_side.opened);
}

static void
end_pair(struct side *client)
{
	if (client->ws != NULL)
		ws_close(client->ws, 1000, "done");
	run_until(loop, 5, client->closed && server_side.closed);
	is_int(client->closed, 1, "close came once to the client");
	is_int(server_side.closed, 1, "close came once to the server");
}

static void
test_echo(void)
{
	static struct side client;
	static char text[MAX_MESSAGE];
	static const size_t sizes[] = {0, 1, 125, 126, 127, 65535, 65536, MAX_MESSAGE};

	ok(connect_to(&client, "/a%20b//c?d=%41&e", wide) != NULL, "connects");
	is_int(client.opened, 0, "no callback before ws_connect returned");
	ok(run_until(loop, 5, client.opened == 1 && server_side.opened == 1), "opened on both sides");
	is_str(seen_target, "/a%20b//c?d=%41&e", "the server sees the raw target");
	is_str(seen_header, "yes", "and the extra header");
	server_side.echo = true;
	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
	{
		unsigned before = client.messages;

		ok(ws_send_copy(client.ws, i % 2 ? WS_TEXT : WS_BINARY, text, sizes[i], false) !=
			   WS_DROPPED,
		   "sends %zu bytes", sizes[i]);
		run_until(loop, 5, client.messages > before);
		ok(client.last_len == sizes[i] && client.last_binary == (i % 2 == 0) &&
			   memcmp(client.last, text, sizes[i]) == 0,
		   "%zu bytes come back as they were", sizes[i]);
	}
	ws_close(client.ws, 4321, "see you");
	run_until(loop, 5, client.closed && server_side.closed);
	is_int(server_side.code, 4321, "the server gets the close code");
	is_str(server_side.reason, "see you", "and the reason");
	is_int(client.code, 4321, "the client gets its echo");
	is_int(client.closed + server_side.closed, 2, "close came once on each side");
}

static void
test_refusals(void)
{
	static struct side client;

	refuse_with = 403;
	connect_to(&client, "/", wide);
	run_until(loop, 5, client.closed);
	is_int(client.http_status, 403, "a refused upgrade shows its status");
	is_int(client.opened, 0, "and was never open");
	refuse_with = 0;
	memset(&client, 0, sizeof(client));
	ok(ws_connect(loop, "http://x/", NULL, 100, wide, &handlers, &client) == NULL, "wrong scheme");
	ok(ws_connect(loop, "ws://", NULL, 100, wide, &handlers, &client) == NULL, "no host");
	ok(ws_connect(loop, "ws://h:99x/", NULL, 100, wide, &handlers, &client) == NULL, "bad port");
	ok(ws_connect(loop, "ws://h/a b", NULL, 100, wide, &handlers, &client) == NULL, "space in URL");
	ok(ws_connect(loop, "ws://u@h/", NULL, 100, wide, &handlers, &client) == NULL, "user in URL");
	ok(ws_connect(loop, "ws://h/", (const char *const[]){"A: b\r\nC: d", NULL}, 100, wide,
				  &handlers, &client) == NULL,
	   "line break in a header");
	ok(ws_connect(loop, "ws://name.invalid/", NULL, 5000, wide, &handlers, &client) != NULL,
	   "a name that is not found is found out later");
	run_until(loop, 10, client.closed);
	ok(client.closed == 1 && strstr(client.reason, "not found") != NULL, "and said: %s",
	   client.reason);
}

static void
test_no_listener(void)
{
	static struct side client;
	char url[64];
	int fd;
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	snprintf(url, sizeof(url), "ws://127.0.0.1:%u/", free_port());
	memset(&client, 0, sizeof(client));
	ws_connect(loop, url, NULL, 5000, wide, &handlers, &client);
	run_until(loop, 5, client.closed);
	is_int(client.code, 1006, "no listener: refused");
	/* A listener that never answers. */
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bind(fd, (struct sockaddr *) &address, sizeof(address));
	listen(fd, 4);
	getsockname(fd, (struct sockaddr *) &address, &len);
	snprintf(url, sizeof(url), "ws://127.0.0.1:%u/", ntohs(address.sin_port));
	memset(&client, 0, sizeof(client));
	ws_connect(loop, url, NULL, 200, wide, &handlers, &client);
	run_until(loop, 5, client.closed);
	is_str(client.reason, "timed out connecting", "a silent server: timed out");
	memset(&client, 0, sizeof(client));
	ws_close(ws_connect(loop, url, NULL, 5000, wide, &handlers, &client), 1000, "changed my mind");
	is_int(client.closed, 0, "giving up does not call back at once");
	run_until(loop, 5, client.closed);
	is_int(client.closed, 1, "but once");
	close(fd);
}

static void
test_oversize(void)
{
	static struct side client;
	static char text[200];

	server_limits.max_message = 100;
	ok(open_pair(&client), "opens");
	server_limits.max_message = MAX_MESSAGE;
	memset(text, 'y', sizeof(text));
	ws_send_copy(client.ws, WS_TEXT, text, 100, false);
	run_until(loop, 5, server_side.messages == 1);
	is_int(server_side.messages, 1, "a message of just max_message arrives");
	ws_send_copy(client.ws, WS_TEXT, text, 101, false);
	run_until(loop, 5, client.closed && server_side.closed);
	is_int(client.code, 1009, "one byte more is refused with 1009");
	is_int(server_side.code, 1009, "and the server knows it");
	is_int(server_side.messages, 1, "and nothing of it was delivered");
}

static void
test_close_in_callback(void)
{
	static struct side client;

	ok(open_pair(&client), "opens");
	server_side.close_in_message = true;
	for (int i = 0; i < 3; i++)
		ws_send_copy(client.ws, WS_TEXT, "a", 1, false);
	run_until(loop, 5, client.closed && server_side.closed);
	is_int(server_side.messages, 1, "no message after ws_close in the handler");
	is_int(client.code, 4001, "the peer gets the code");
	is_int(client.closed + server_side.closed, 2, "close once on each side");
}

/* The handshake of a raw client. Returns the connection after the 101. */
static int
raw_ws(struct raw_input *input)
{
	int fd = raw_connect(port, 4096);
	static const char request[] = "GET /raw HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\n"
								  "Connection: keep-alive, Upgrade\r\n"
								  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
								  "Sec-WebSocket-Version: 13\r\n\r\n";

	memset(&server_side, 0, sizeof(server_side));
	memset(input, 0, sizeof(*input));
	raw_send(fd, request, sizeof(request) - 1);
	run_until(loop, 5, raw_read(fd, input) && strstr(input->data, "\r\n\r\n") != NULL);
	return fd;
}

/* Sends a masked frame; the mask is zero. */
static void
raw_frame(int fd, unsigned char first, const char *payload, unsigned char len)
{
	char frame[256] = {(char) first, (char) (0x80 | len), 0, 0, 0, 0};

	memcpy(frame + 6, payload, len);
	raw_send(fd, frame, 6u + len);
}

static void
test_fragments(void)
{
	static struct raw_input input;
	int fd = raw_ws(&input);
	static const char whole[] = {(char) 0x82, (char) 0x83, 1, 2, 3, 4, 'a' ^ 1, 'b' ^ 2, 'c' ^ 3};

	ok(strstr(input.data, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") != NULL,
	   "the accept key of the RFC's example");
	raw_frame(fd, 0x01, "Hel", 3);
	raw_frame(fd, 0x00, "lo ", 3);
	raw_frame(fd, 0x89, "ping", 4);
	raw_frame(fd, 0x80, "you", 3);
	run_until(loop, 5, server_side.messages == 1);
	is_str(server_side.last, "Hello you", "fragments are joined, a ping between them is fine");
	input.len = 0;
	run_until(loop, 5, raw_read(fd, &input) && input.len >= 6);
	ok(input.len == 6 && memcmp(input.data, "\x8a\x04ping", 6) == 0, "the ping is answered");
	for (size_t i = 0; i < sizeof(whole); i++)
	{
		raw_send(fd, whole + i, 1);
		run_until(loop, 0, false);
	}
	run_until(loop, 5, server_side.messages == 2);
	is_str(server_side.last, "abc", "a frame that comes byte by byte is put together");
	ok(server_side.last_binary, "and is binary");
	/* libwebsockets 4.1 ends the connection, 4.3 passes over the frame. */
	raw_frame(fd, 0x80, "x", 1);
	shutdown(fd, SHUT_WR);
	run_until(loop, 5, server_side.closed);
	is_int(server_side.closed, 1, "after a continuation of nothing: closed, once");
	is_int(server_side.messages, 2, "and nothing was delivered");
	close(fd);
}

/* libwebsockets drops a peer that breaks the protocol, in most cases without a word. What matters
 * here: nothing of it is delivered, and close comes once. */
static void
test_violations(void)
{
	static struct raw_input input;
	static const struct
	{
		const char *bytes;
		size_t len;
		const char *name;
	} cases[] = {
		{"\xc1\x80\0\0\0\0", 6, "a reserved bit"},
		{"\x83\x80\0\0\0\0", 6, "a reserved opcode"},
		{"\x09\x80\0\0\0\0", 6, "a control frame in fragments"},
		{"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 14, "a negative length"},
		{"\x81\xff\0\0\0\x01\0\0\0\0\0\0\0\0", 14, "a frame of 4 GiB"},
		{"\x88\x81\0\0\0\0x", 7, "a close frame of one byte"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		int fd = raw_ws(&input);

		raw_send(fd, cases[i].bytes, cases[i].len);
		raw_frame(fd, 0x81, "after", 5);
		shutdown(fd, SHUT_WR);
		run_until(loop, 5, server_side.closed);
		is_int(server_side.closed, 1, "%s: closed, once", cases[i].name);
		is_int(server_side.messages, 0, "and nothing was delivered");
		close(fd);
	}
}

static void
test_abrupt_end(void)
{
	static struct raw_input input;
	struct linger reset = {.l_onoff = 1, .l_linger = 0};
	int fd = raw_ws(&input);

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	run_until(loop, 5, server_side.closed);
	is_int(server_side.code, 1006, "a reset ends with 1006");
	fd = raw_ws(&input);
	close(fd);
	run_until(loop, 5, server_side.closed);
	is_int(server_side.code, 1006, "so does an end without a close frame");
	is_int(server_side.closed, 1, "once");
	fd = raw_ws(&input);
	raw_frame(fd, 0x88, "", 0);
	run_until(loop, 5, server_side.closed);
	is_int(server_side.code, 1005, "a close frame without a code is 1005");
	close(fd);
}

static void
test_slow_reader(void)
{
	static struct raw_input input;
	int fd = raw_ws(&input);
	static char frame[1000];
	unsigned written = 0, queued = 0, dropped = 0;
	size_t most = 0;

	for (int i = 0; i < 20000 && dropped < 100; i++)
	{
		switch (ws_send_copy(server_side.ws, WS_BINARY, frame, sizeof(frame), true))
		{
			case WS_WRITTEN: written++; break;
			case WS_QUEUED: queued++; break;
			case WS_DROPPED: dropped++; break;
		}
		most = ws_queued_bytes(server_side.ws) > most ? ws_queued_bytes(server_side.ws) : most;
	}
	ok(written > 0 && queued > 0 && dropped == 100,
	   "a reader that stands still: %u written, %u queued, then dropped", written, queued);
	ok(most <= server_limits.max_queue + sizeof(frame) + 14,
	   "the queue stays in its bounds (%zu bytes)", most);
	ok(ws_drop_queued(server_side.ws) >= queued - 1, "what was not begun can be thrown away");
	ok(ws_queued_bytes(server_side.ws) <= sizeof(frame) + 14,
	   "only a frame that was begun is left");
	raw_frame(fd, 0x81, "still heard", 11);
	run_until(loop, 5, server_side.messages == 1);
	is_str(server_side.last, "still heard", "input is read while output waits");
	while (ws_send_copy(server_side.ws, WS_BINARY, frame, sizeof(frame), true) == WS_QUEUED)
		continue;
	is_int(ws_send_copy(server_side.ws, WS_TEXT, frame, sizeof(frame), false), WS_DROPPED,
		   "a control message that does not fit");
	is_int(server_side.closed, 0, "does not call back at once");
	run_until(loop, 5, server_side.closed);
	is_int(server_side.closed, 1, "but ends the connection");
	close(fd);
}

/* All frames come, in order, through a queue that fills and drains. */
static void
test_queue_order(void)
{
	static struct side client;
	static char frame[5000];
	uint32_t sent = 0;

	server_limits.max_queue = 10000000;
	ok(open_pair(&client), "opens");
	server_limits.max_queue = 20000;
	client.sequences = true;
	for (uint32_t i = 0; i < 2000; i++)
	{
		memcpy(frame, &i, 4);
		sent += ws_send_copy(server_side.ws, WS_BINARY, frame, sizeof(frame), true) != WS_DROPPED;
	}
	ok(ws_queued_bytes(server_side.ws) > 0, "some had to wait");
	is_int(sent, 2000, "none was dropped");
	run_until(loop, 10, client.messages == 2000);
	is_int(client.messages, 2000, "all arrive");
	is_int(client.sequence_errors, 0, "in order");
	is_int((int64_t) ws_queued_bytes(server_side.ws), 0, "the queue is empty again");
	end_pair(&client);
}

static void
test_keepalive(void)
{
	static struct raw_input input;
	int fd = raw_ws(&input);

	ws_keepalive(server_side.ws, 1);
	input.len = 0;
	run_until(loop, 5, raw_read(fd, &input) && input.len >= 2);
	ok(input.len >= 2 && memcmp(input.data, "\x89\x00", 2) == 0, "a ping comes");
	run_until(loop, 10, server_side.closed);
	ok(memmem(input.data, (raw_read(fd, &input), input.len), "\x03\xe9", 2) != NULL,
	   "a silent peer is told 1001");
	is_int(server_side.closed, 1, "and closed");
	close(fd);
}

static void
on_terminate(void *arg)
{
	(void) arg;
	terminated = true;
}

int
main(void)
{
	struct http_server_handlers server_handlers = {.request = on_request, .upgrade = on_upgrade};
	struct http_server_options options = {
		.addresses = "127.0.0.1", .max_connections = 100, .max_body = 1000, .request_timeout_s = 5};
	static struct side last;

	plan(0);
	log_setup("net_ws_test", true, LOG_LEVEL_WARNING);
	loop = loop_new(&(struct loop_handlers){.terminate = on_terminate}, false, 200);
	port = options.ports[0] = free_port();
	server = http_server_new(loop, &options, &server_handlers);
	ok(server != NULL, "a server on port %u", port);
	test_echo();
	test_refusals();
	test_no_listener();
	test_oversize();
	test_close_in_callback();
	test_fragments();
	test_violations();
	test_abrupt_end();
	test_slow_reader();
	test_queue_order();
	test_keepalive();
	ok(run_until(loop, 5, http_server_connections(server) == 0), "all connections are counted out");
	ok(open_pair(&last), "one more is open when the program ends");
	http_server_close(server);
	loop_stop(loop);
	loop_run(loop);
	is_int(last.closed + server_side.closed, 2, "close comes to both when the loop ends");
	loop_free(loop);
	return done();
}
