/*
 * file_read_test.c: files read by threads, and answers whose bodies come in pieces: whole, aborted, left
 * by the reader, ended with the loop.
 */
#include "net/file_read.h"

#include <sys/stat.h>

#include "net/http_server.h"
#include "net/log.h"
#include "net_test.h"
#include "tap.h"

#define SIZE 1000000

static struct loop *loop;
static char folder[] = "/tmp/file_read.XXXXXX";

/* ---- files ---- */

struct seen
{
	int opened, pieces;
	uint64_t size;
	const char *error;
	char *data;
	ssize_t len;
};

static void
on_opened(void *arg, uint64_t size, const char *error)
{
	struct seen *s = arg;

	s->opened++;
	s->size = size;
	s->error = error;
}

static void
on_piece(void *arg, char *data, ssize_t len)
{
	struct seen *s = arg;

	s->pieces++;
	free(s->data);
	s->data = data;
	s->len = len;
}

static const struct file_read_handlers handlers = {on_opened, on_piece};

static const char *
in_folder(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static struct file_read *
opened(struct seen *s, const char *path)
{
	struct file_read *f = file_read_open(loop, path, &handlers, s);

	ok(f != NULL && s->opened == 0, "%s: not before the call returns", path);
	ok(run_until(loop, 10, s->opened > 0), "opened");
	return f;
}

static void
test_files(void)
{
	static const char *const no_files[] = {"absent", "link", "pipe", ""};
	struct seen s = {0};
	struct file_read *f = opened(&s, in_folder("file"));

	is_int((int64_t) s.size, SIZE, "its size");
	ok(file_read_piece(f, SIZE - 10, 65536), "the end is asked for");
	ok(run_until(loop, 10, s.pieces == 1) && s.len == 10 && s.data[9] == (char) (SIZE - 1),
	   "and had");
	ok(file_read_piece(f, SIZE, 10) && run_until(loop, 10, s.pieces == 2) && s.len == 0,
	   "beyond it there is nothing");
	ok(file_read_piece(f, 0, SIZE), "all is asked for");
	file_read_close(f);
	ok(!run_until(loop, 1, s.pieces == 3), "and not told after closing");
	free(s.data);
	for (size_t i = 0; i < sizeof(no_files) / sizeof(no_files[0]); i++)
	{
		struct seen none = {0};

		opened(&none, in_folder(no_files[i]));
		ok(none.error != NULL, "\"%s\" is not opened: %s", no_files[i], none.error);
	}
	s = (struct seen){0};
	file_read_close(file_read_open(loop, in_folder("file"), &handlers, &s));
	file_read_close(file_read_open(loop, in_folder("absent"), &handlers, &s));
	ok(!run_until(loop, 1, s.opened > 0), "closed at once, nobody is told");
	file_read_close(NULL);
}

/* ---- bodies in pieces ---- */

static struct http_body *body;
static unsigned wanted, gone;
static bool begun;

static void
on_more(void *arg, struct http_body *b)
{
	(void) arg;
	body = b;
	wanted++;
}

static void
on_gone(void *arg)
{
	(void) arg;
	gone++;
}

static const struct http_body_handlers body_handlers = {on_more, on_gone};

static void
on_request(void *arg, struct http_exchange *ex, const struct http_request *req)
{
	(void) arg;
	begun = http_answer_begin(ex, 200, "text/plain", (uint64_t) strtoul(req->query, NULL, 10),
							  "X: y\r\n", &body_handlers, NULL);
}

static void
give(size_t len)
{
	char *data = malloc(len);

	memset(data, 'x', len);
	wanted = 0;
	http_body_piece(body, data, len);
}

static size_t
received(int fd, char *into, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size && (n = read(fd, into + len, size - len)) > 0)
		len += (size_t) n;
	into[len] = '\0';
	return len;
}

static int
ask(uint16_t port, const char *request)
{
	int fd = raw_connect(port, 0);
	bool sent = false;

	wanted = gone = 0;
	begun = false;
	ok(run_until(loop, 5, sent || (sent = send(fd, request, strlen(request), MSG_NOSIGNAL) > 0)),
	   "asked");
	return fd;
}

static void
test_bodies(void)
{
	uint16_t port = free_port();
	struct http_server_handlers server_handlers = {.request = on_request};
	struct http_server_options options = {.addresses = "127.0.0.1",
										  .ports = {port},
										  .max_connections = 10,
										  .max_body = 1000,
										  .request_timeout_s = 2};
	struct http_server *server = http_server_new(loop, &options, &server_handlers);
	static char text[4096];
	int fd = ask(port, "GET /?10 HTTP/1.1\r\nHost: h\r\n\r\nGET /?0 HTTP/1.1\r\nHost: h\r\n\r\n");

	ok(run_until(loop, 5, wanted == 1), "a piece is wanted");
	give(4);
	ok(run_until(loop, 5, wanted == 1), "and another");
	ok(begun, "the request behind it waits");
	give(6);
	ok(run_until(loop, 5, !begun), "then it has its turn");
	ok(gone == 0, "nobody has left");
	run_until(loop, 1, false);
	received(fd, text, sizeof(text) - 1);
	ok(strstr(text, "Content-Length: 10\r\nX: y\r\n\r\nxxxxxxxxxxHTTP/1.1 200") != NULL,
	   "both are answered");
	close(fd);

	fd = ask(port, "HEAD /?10 HTTP/1.1\r\nHost: h\r\n\r\n");
	run_until(loop, 1, false);
	received(fd, text, sizeof(text) - 1);
	ok(!begun && wanted == 0 && strstr(text, "Content-Length: 10\r\n") != NULL, "a head alone");
	close(fd);

	fd = ask(port, "GET /?10 HTTP/1.1\r\nHost: h\r\n\r\n");
	ok(run_until(loop, 5, wanted == 1), "wanted");
	http_body_abort(body);
	run_until(loop, 1, false);
	received(fd, text, sizeof(text) - 1);
	ok(gone == 0 && strstr(text, "\r\n\r\n") != NULL, "what is given up is cut, and not told");
	close(fd);

	fd = ask(port, "GET /?50000000 HTTP/1.1\r\nHost: h\r\n\r\nGET /");
	ok(run_until(loop, 5, wanted == 1), "wanted");
	give(30000000);
	ok(!run_until(loop, 1, wanted == 1), "a reader that does not read is waited for");
	ok(run_until(loop, 10, gone == 1), "until its time is over");
	close(fd);

	fd = ask(port, "GET /?10 HTTP/1.1\r\nHost: h\r\n\r\nGET /");
	ok(run_until(loop, 5, wanted == 1), "wanted");
	ok(run_until(loop, 10, gone == 1), "a piece that never comes ends the connection");
	run_until(loop, 1, false);
	received(fd, text, sizeof(text) - 1);
	ok(strstr(text, "408") == NULL, "and nothing is written into its middle");
	close(fd);

	fd = ask(port, "GET /?10 HTTP/1.1\r\nHost: h\r\n\r\n");
	ok(run_until(loop, 5, wanted == 1), "wanted");
	http_server_close(server);
	loop_stop(loop);
	loop_run(loop);
	ok(gone == 1, "the end of the loop is told");
	close(fd);
}

int
main(void)
{
	FILE *file;

	plan(0);
	log_setup("file_read_test", false, LOG_LEVEL_ERROR);
	if (mkdtemp(folder) == NULL || (file = fopen(in_folder("file"), "w")) == NULL)
		return 1;
	for (int i = 0; i < SIZE; i++)
		fputc(i & 0xff, file);
	fclose(file);
	if (symlink("file", in_folder("link")) != 0 || mkfifo(in_folder("pipe"), 0600) != 0)
		return 1;
	loop = loop_new(NULL, false, 100);
	test_files();
	test_bodies();
	loop_free(loop);
	unlink(in_folder("file"));
	unlink(in_folder("link"));
	unlink(in_folder("pipe"));
	rmdir(folder);
	return done();
}
