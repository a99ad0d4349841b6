/*
 * http_client_test.c: what the client does for the dispatcher: the guard against private addresses,
 * bodies in pieces both ways, redirects, headers by name, and whether anything was sent.
 */
#include "net/http_client.h"

#include "net/http_server.h"
#include "net/log.h"
#include "net_test.h"
#include "tap.h"

#define BIG 3000000
#define MANY 100

static struct loop *loop;
static struct http_client *client;
static struct http_server *server;
static uint16_t port;
static struct http_exchange *held;
static struct http_exchange *crowd[MANY];
static size_t crowd_size;
static size_t uploaded;
static unsigned requests;

static void
on_request(void *arg, struct http_exchange *ex, const struct http_request *req)
{
	char *big;

	(void) arg;
	requests++;
	uploaded = req->body_len;
	if (strcmp(req->path, "/headers") == 0)
		http_answer(ex, 200, NULL, "", 0, "X-One: 1\r\nx-two:  two words \r\nX-ONE: again\r\n");
	else if (strcmp(req->path, "/big") == 0 || strcmp(req->path, "/bad") == 0)
	{
		big = malloc(BIG);
		memset(big, 'b', BIG);
		http_answer(ex, strcmp(req->path, "/big") == 0 ? 200 : 500, NULL, big, BIG, NULL);
		free(big);
	}
	else if (strcmp(req->path, "/to") == 0)
		http_answer(ex, 302, NULL, "", 0, "Location: /headers\r\n");
	else if (strcmp(req->path, "/round") == 0)
		http_answer(ex, 302, NULL, "", 0, "Location: /round\r\n");
	else if (strcmp(req->path, "/file") == 0)
		http_answer(ex, 302, NULL, "", 0, "Location: file:///etc/passwd\r\n");
	else if (strcmp(req->path, "/hold") == 0)
		held = ex;
	else if (strcmp(req->path, "/crowd") == 0)
		crowd[crowd_size++] = ex;
	else if (strcmp(req->path, "/drop") == 0)
		http_cut(ex, NULL, 0);
	else if (strcmp(req->path, "/cut") == 0)
		http_cut(ex, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", 42);
	else
		http_answer(ex, 200, NULL, "body", 4, NULL);
}

struct outcome
{
	int status, told;
	bool sent;
	char error[128], one[32], two[32];
	bool none, retry_after;
	size_t body_len;
	size_t sunk;
	size_t give; /* bytes that read_body has left to give */
	bool refuse; /* sink or read_body fails */
};

static void
on_done(void *arg, const struct http_reply *reply)
{
	struct outcome *o = arg;
	const char *one = http_reply_header(reply, "x-one");
	const char *two = http_reply_header(reply, "x-two");

	o->told++;
	o->status = reply->status;
	o->sent = reply->sent;
	o->body_len = reply->body_len;
	snprintf(o->error, sizeof(o->error), "%s", reply->error != NULL ? reply->error : "");
	snprintf(o->one, sizeof(o->one), "%s", one != NULL ? one : "");
	snprintf(o->two, sizeof(o->two), "%s", two != NULL ? two : "");
	o->none = http_reply_header(reply, "x-none") == NULL;
}

static bool
on_sink(void *arg, const char *data, size_t len)
{
	struct outcome *o = arg;

	(void) data;
	o->sunk += len;
	return !o->refuse;
}

static size_t
on_read_body(void *arg, char *into, size_t size)
{
	struct outcome *o = arg;
	size_t len = size < o->give ? size : o->give;

	if (o->refuse)
		return HTTP_READ_FAILED;
	memset(into, 'u', len);
	o->give -= len;
	return len;
}

static const char *
url_of(const char *path)
{
	static char url[100];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", port, path);
	return url;
}

static void
fetch(struct outcome *o, struct http_options options, const char *url)
{
	options.method = options.method != NULL ? options.method : "GET";
	options.url = url;
	options.connect_timeout_ms = options.timeout_ms = 20000;
	options.max_reply = options.max_reply != 0 ? options.max_reply : 1000;
	options.stream_arg = o;
	if (http_client_send(client, &options, on_done, o) == NULL)
		abort();
	run_until(loop, 60, o->told);
}

static void
test_headers(void)
{
	struct outcome o = {0};

	fetch(&o, (struct http_options){0}, url_of("/headers"));
	is_str(o.one, "again", "a header by its name, the last of several");
	is_str(o.two, "two words", "without the blanks around it");
	ok(o.none, "or none");
}

static void
test_streams(void)
{
	struct outcome o = {0};

	fetch(&o, (struct http_options){.sink = on_sink}, url_of("/big"));
	ok(o.status == 200 && o.sunk == BIG && o.body_len == 0, "an answer goes to the sink in pieces");
	o = (struct outcome){0};
	fetch(&o, (struct http_options){.sink = on_sink, .sink_limit = 1000}, url_of("/big"));
	is_str(o.error, "answer too large", "not more than its limit");
	ok(o.sunk <= 1000, "of which the sink saw nothing");
	o = (struct outcome){.refuse = true};
	fetch(&o, (struct http_options){.sink = on_sink}, url_of("/big"));
	is_str(o.error, "the answer could not be stored", "a sink that gives up");
	o = (struct outcome){0};
	fetch(&o, (struct http_options){.sink = on_sink, .max_reply = BIG}, url_of("/bad"));
	ok(o.status == 500 && o.sunk == 0 && o.body_len == BIG, "the words of an error are no file");
	o = (struct outcome){.give = BIG};
	fetch(&o, (struct http_options){.method = "PUT", .read_body = on_read_body, .body_len = BIG},
		  url_of("/"));
	ok(o.status == 200 && uploaded == BIG && o.give == 0, "a body is sent in pieces");
	o = (struct outcome){.give = BIG, .refuse = true};
	fetch(&o, (struct http_options){.method = "PUT", .read_body = on_read_body, .body_len = BIG},
		  url_of("/"));
	is_str(o.error, "the body could not be read", "one that cannot be read");
}

static void
test_redirects(void)
{
	struct outcome o = {0};

	fetch(&o, (struct http_options){0}, url_of("/to"));
	is_int(o.status, 302, "a redirect is not followed");
	o = (struct outcome){0};
	fetch(&o, (struct http_options){.max_redirects = 2}, url_of("/to"));
	ok(o.status == 200 && strcmp(o.one, "again") == 0, "unless asked for");
	o = (struct outcome){0};
	fetch(&o, (struct http_options){.max_redirects = 2}, url_of("/round"));
	is_str(o.error, "too many redirects", "nor without end");
	o = (struct outcome){0};
	fetch(&o, (struct http_options){.max_redirects = 2}, url_of("/file"));
	ok(o.status == 0 && o.error[0] != '\0', "nor to a file: %s", o.error);
	o = (struct outcome){0};
	fetch(&o,
		  (struct http_options){.method = "POST", .body = "x", .body_len = 1, .max_redirects = 2},
		  url_of("/to"));
	is_int(o.status, 302, "nor with a body");
}

static void
test_guard(void)
{
	static const char *const names[] = {"127.0.0.1",		  "localhost",	"[::1]", "0.0.0.0",
										"[::ffff:127.0.0.1]", "2130706433", "0x7f.1"};
	char url[100];
	unsigned before = requests;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		struct outcome o = {0};

		snprintf(url, sizeof(url), "http://%s:%u/", names[i], port);
		fetch(&o, (struct http_options){.guard = true}, url);
		ok(strstr(o.error, "private network") != NULL && !o.sent, "guarded: %s", names[i]);
	}
	struct outcome open = {0}, reused = {0};

	fetch(&open, (struct http_options){0}, url_of("/"));
	is_int(open.status, 200, "an open connection is left behind");
	fetch(&reused, (struct http_options){.guard = true}, url_of("/"));
	ok(strstr(reused.error, "private network") != NULL && !reused.sent,
	   "which a guarded request does not use: %s", reused.error);
	is_int(requests, before + 1, "none of these came through");
}

static void
test_sent(void)
{
	struct outcome o = {0};
	struct http_options options = {.method = "POST",
								   .url = url_of("/hold"),
								   .body = "x",
								   .body_len = 1,
								   .connect_timeout_ms = 5000,
								   .timeout_ms = 5000,
								   .max_reply = 100};
	struct http_call *call = http_client_send(client, &options, on_done, &o);

	ok(!http_client_sent(call), "nothing is sent at first");
	run_until(loop, 10, held != NULL);
	ok(http_client_sent(call), "then something is");
	http_client_cancel(call);
	http_answer(held, 200, NULL, "", 0, NULL);
	run_until(loop, 0, false);
	is_int(o.told, 0, "a cancelled request tells nothing");
	fetch(&o, (struct http_options){0}, url_of("/cut"));
	ok(strcmp(o.error, "answer cut off") == 0 && o.sent, "cut in mid-body: %s", o.error);
}

/* curl's own second try on a connection that had been used before. */
static void
test_no_second_request(void)
{
	static const char *const methods[] = {"POST", "PUT", "DELETE", "PATCH"};

	for (size_t i = 0; i < 4; i++)
	{
		struct outcome first = {0}, o = {0};
		unsigned before;

		fetch(&first, (struct http_options){0}, url_of("/"));
		before = requests;
		fetch(&o,
			  (struct http_options){
				  .method = methods[i], .body = i < 2 ? "x" : NULL, .body_len = i < 2 ? 1 : 0},
			  url_of("/drop"));
		is_int(requests, before + 1, "%s is not sent twice when its connection closes", methods[i]);
		ok(strcmp(o.error, "connection closed without an answer") == 0 && o.sent, "and says so: %s",
		   o.error);
	}
}

/* Sends MANY requests that are all under way at once, and has them all answered. */
static void
send_crowd(struct http_client *by)
{
	struct outcome o = {0};
	struct http_options options = {.method = "POST",
								   .url = url_of("/crowd"),
								   .connect_timeout_ms = 20000,
								   .timeout_ms = 20000,
								   .max_reply = 100};

	crowd_size = 0;
	for (int i = 0; i < MANY; i++)
		http_client_send(by, &options, on_done, &o);
	run_until(loop, 20, crowd_size == MANY);
	for (size_t i = 0; i < crowd_size; i++)
		http_answer(crowd[i], 200, NULL, "", 0, NULL);
	run_until(loop, 20, o.told == MANY);
	ok(crowd_size == MANY && o.told == MANY && o.status == 200, "%d requests at once", MANY);
}

/* A connection is as dear as a request, with TLS ten times as dear. */
static void
test_connections_are_kept(void)
{
	struct http_client *many = http_client_new(loop, MANY);
	struct outcome first = {0}, last = {0};
	unsigned before;

	fetch(&first, (struct http_options){0}, url_of("/"));
	before = http_server_connections(server);
	send_crowd(many);
	/* When this is answered the server has seen who left before. */
	fetch(&last, (struct http_options){0}, url_of("/"));
	is_int(http_server_connections(server), before + MANY, "leave their connections for others");
	http_client_free(many);
}

int
main(void)
{
	struct http_server_handlers handlers = {.request = on_request};
	struct http_server_options options = {.addresses = "localhost",
										  .max_connections = 200,
										  .max_body = BIG + 1,
										  .request_timeout_s = 20};

	plan(0);
	log_setup("http_client_test", true, LOG_LEVEL_ERROR);
	loop = loop_new(NULL, false, 400);
	port = options.ports[0] = free_port();
	server = http_server_new(loop, &options, &handlers);
	client = http_client_new(loop, 4);
	test_headers();
	test_streams();
	test_redirects();
	test_guard();
	test_sent();
	test_no_second_request();
	test_connections_are_kept();
	http_client_free(client);
	http_server_close(server);
	loop_stop(loop);
	loop_run(loop);
	loop_free(loop);
	return done();
}
