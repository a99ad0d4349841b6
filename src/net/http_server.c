/*
 * http_server.c: HTTP/1.1 on our listeners: a small state machine per connection.
 *
 *	HEAD --complete head--> BODY --complete--> ANSWER --http_answer--> HEAD (keep-alive) or closed
 *	   \--upgrade accepted--> the stream becomes a struct ws
 *
 * One request is under way on a connection; what the peer pipelines behind it stays in the input
 * buffer, and when that is full the socket is not read. One deadline covers a request from its
 * first moment to its last byte, so a peer that sends slowly is cut off. A refused or oversized
 * request is answered and the connection closed politely, else the answer would be lost.
 */
#include "net/http_server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "net/http_parse.h"
#include "net/listen.h"
#include "net/log.h"
#include "net/loop_internal.h"
#include "net/stream.h"
#include "net/tls.h"
#include "net/ws_internal.h"

#define MAX_HEAD 16384
#define UPGRADE_LIMIT 65536 /* what an upgrade handler finds in limits */
#define COMPLAIN_MS 10000

enum conn_state
{
	CONN_HEAD,
	CONN_BODY,
	CONN_ANSWER,
	CONN_DEAD
};

struct http_server
{
	struct loop *loop;
	struct http_server_handlers handlers;
	struct listeners *listeners; /* NULL once closed */
	SSL_CTX *tls; /* NULL = plain */
	unsigned max_connections;
	size_t max_body;
	unsigned timeout_ms;
	unsigned connections; /* WebSockets included */
	uint64_t complained_ms;
};

struct http_conn
{
	struct garbage garbage;
	struct http_server *server;
	struct stream *stream;
	struct deadline deadline;
	enum conn_state state;
	uint16_t local_port;
	char peer[PEER_SIZE];

	char *input; /* NULL when nothing waits */
	size_t input_len, input_size;

	struct http_exchange *exchange; /* the request under way */
	uint64_t body_left; /* of Content-Length */
	struct http_chunks chunks;
	bool ending; /* close once the output is written */
	bool processing; /* process_input is on the stack */

	char *output; /* what the kernel did not take */
	size_t output_len, output_done;

	/* A body that comes in pieces. */
	uint64_t pieces_left; /* bytes */
	const struct http_body_handlers *pieces;
	void *pieces_arg;
};

struct http_exchange
{
	struct http_conn *conn; /* NULL when the peer is gone */
	struct loop *loop;
	struct deadline farewell; /* frees it a turn after the answer */
	bool handed; /* the handler has it: it lives until http_answer */
	bool keep_alive;
	char *head_text;
	char *path;
	size_t body_size;
	size_t max_body;
	struct http_head head;
	struct http_request request;
};

static void process_input(struct http_conn *conn);

static void
exchange_free(void *arg)
{
	struct http_exchange *ex = arg;

	deadline_clear(&ex->farewell);
	free(ex->path);
	free(ex->request.body);
	free(ex->head_text);
	free(ex);
}

/* A server that was closed lives until its last connection is gone. */
static void
server_release(struct http_server *server)
{
	if (server->listeners != NULL || server->connections > 0)
		return;
	SSL_CTX_free(server->tls);
	free(server);
}

static void
connection_gone(void *arg)
{
	struct http_server *server = arg;

	server->connections--;
	server_release(server);
}

/* Frees the connection but not its stream. */
static void
conn_free(struct http_conn *conn)
{
	conn->state = CONN_DEAD;
	deadline_clear(&conn->deadline);
	if (conn->pieces_left > 0)
		conn->pieces->gone(conn->pieces_arg);
	if (conn->exchange != NULL)
	{
		conn->exchange->conn = NULL;
		if (!conn->exchange->handed)
			exchange_free(conn->exchange);
		conn->exchange = NULL;
	}
	free(conn->input);
	free(conn->output);
	conn->input = conn->output = NULL;
	loop_free_later(conn->server->loop, &conn->garbage);
}

static void
conn_close(struct http_conn *conn, bool politely)
{
	struct http_server *server = conn->server;

	if (conn->state == CONN_DEAD)
		return;
	stream_close(conn->stream, politely);
	conn_free(conn);
	connection_gone(server);
}

static void on_deadline(void *arg);

static void
restart_deadline(struct http_conn *conn)
{
	deadline_set(conn->server->loop, &conn->deadline, conn->server->timeout_ms, on_deadline, conn);
}

static void
on_next_request(void *arg)
{
	struct http_conn *conn = arg;

	restart_deadline(conn);
	process_input(conn);
}

/* The answer, or the part of it that there is, is with the kernel: the next piece is asked for, or the
 * connection ends or turns to the next request. */
static void
answer_written(struct http_conn *conn)
{
	if (conn->pieces_left > 0)
	{
		restart_deadline(conn);
		conn->pieces->more(conn->pieces_arg, (struct http_body *) conn);
		return;
	}
	if (conn->ending)
	{
		conn_close(conn, true);
		return;
	}
	conn->state = CONN_HEAD;
	stream_pause(conn->stream, false);
	/* Never from within http_answer: the next request must not call the handler inside it. */
	if (conn->input_len > 0 && !conn->processing)
		deadline_set(conn->server->loop, &conn->deadline, 0, on_next_request, conn);
	else
		restart_deadline(conn);
}

/* Takes memory from malloc. */
static void
conn_write(struct http_conn *conn, char *data, size_t len)
{
	ssize_t n = stream_write(conn->stream, data, len);

	if (n == (ssize_t) len)
	{
		free(data);
		answer_written(conn);
		return;
	}
	/* Broken: on_stream_closed follows, nothing is sent any more. */
	conn->output = data;
	conn->output_len = len;
	conn->output_done = n > 0 ? (size_t) n : 0;
	restart_deadline(conn);
}

static void
on_writable(void *arg)
{
	struct http_conn *conn = arg;
	ssize_t n;

	if (conn->output == NULL)
		return;
	n = stream_write(conn->stream, conn->output + conn->output_done,
					 conn->output_len - conn->output_done);
	if (n < 0)
		return;
	conn->output_done += (size_t) n;
	if (conn->output_done < conn->output_len)
		return;
	free(conn->output);
	conn->output = NULL;
	answer_written(conn);
}

/* Writes an answer; with_body false sends its head alone. */
static void
respond(struct http_conn *conn, int status, const char *content_type, const char *body,
		uint64_t body_len, const char *extra_headers, bool with_body, int minor)
{
	bool no_content = status == 204 || status == 304;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
	{
		conn_close(conn, false);
		return;
	}
	fprintf(out, "HTTP/1.1 %d %s\r\n", status, http_status_phrase(status));
	if (content_type != NULL && *content_type != '\0' && !no_content)
		fprintf(out, "Content-Type: %s\r\n", content_type);
	if (!no_content)
		fprintf(out, "Content-Length: %" PRIu64 "\r\n", body_len);
	if (conn->ending)
		fprintf(out, "Connection: close\r\n");
	else if (minor == 0)
		fprintf(out, "Connection: keep-alive\r\n");
	if (extra_headers != NULL)
		fputs(extra_headers, out);
	fputs("\r\n", out);
	if (with_body && !no_content && body_len > 0)
		fwrite(body, 1, (size_t) body_len, out);
	if (fclose(out) != 0)
	{
		free(text);
		conn_close(conn, false);
		return;
	}
	conn_write(conn, text, len);
}

/* Answers what the handler never saw, and ends the connection. */
static void
refuse(struct http_conn *conn, int status, const char *extra_headers)
{
	char body[64];

	snprintf(body, sizeof(body), "%s\n", http_status_phrase(status));
	if (conn->exchange != NULL)
		exchange_free(conn->exchange);
	conn->exchange = NULL;
	conn->state = CONN_ANSWER;
	conn->ending = true;
	respond(conn, status, "text/plain", body, strlen(body), extra_headers, true, 1);
}

static void
on_deadline(void *arg)
{
	struct http_conn *conn = arg;

	if (conn->output == NULL && conn->pieces_left == 0 &&
		(conn->state == CONN_BODY || conn->input_len > 0))
		refuse(conn, 408, NULL);
	else
		conn_close(conn, false);
}

static void
consume(struct http_conn *conn, size_t len)
{
	conn->input_len -= len;
	if (conn->input_len > 0)
	{
		memmove(conn->input, conn->input + len, conn->input_len);
		return;
	}
	free(conn->input);
	conn->input = NULL;
	conn->input_size = 0;
}

static void
dispatch(struct http_conn *conn)
{
	struct http_exchange *ex = conn->exchange;
	struct http_server *server = conn->server;

	conn->state = CONN_ANSWER;
	deadline_clear(&conn->deadline);
	ex->handed = true;
	ex->request.body[ex->request.body_len] = '\0';
	server->handlers.request(server->handlers.arg, ex, &ex->request);
}

/* More came than is allowed: the handler decides the answer, the rest is never read. */
static void
body_too_large(struct http_conn *conn)
{
	conn->exchange->request.body_len = 0;
	conn->exchange->request.body_too_large = true;
	conn->exchange->keep_alive = false;
	conn->ending = true;
	dispatch(conn);
}

static bool
grow_body(struct http_exchange *ex, size_t need)
{
	size_t size = ex->body_size;
	char *grown;

	while (size < need)
		size = size < 1024 ? 1024 : size * 2;
	if (size == ex->body_size)
		return true;
	grown = realloc(ex->request.body, size);
	if (grown == NULL)
		return false;
	ex->request.body = grown;
	ex->body_size = size;
	return true;
}

/* Takes what is there of the body; returns false when more input is needed or all is over. */
static bool
read_body(struct http_conn *conn)
{
	struct http_exchange *ex = conn->exchange;
	enum http_chunks_result result;
	size_t used = conn->input_len;
	size_t got;

	if (!grow_body(ex, ex->request.body_len + conn->input_len + 1))
	{
		refuse(conn, 503, NULL);
		return false;
	}
	if (!ex->head.chunked)
	{
		used = used < conn->body_left ? used : (size_t) conn->body_left;
		memcpy(ex->request.body + ex->request.body_len, conn->input, used);
		got = used;
		conn->body_left -= used;
		result = conn->body_left == 0 ? HTTP_CHUNKS_END : HTTP_CHUNKS_MORE;
	}
	else
		result = http_chunks_read(&conn->chunks, conn->input, conn->input_len, &used,
								  ex->request.body + ex->request.body_len, &got);
	if (result == HTTP_CHUNKS_BAD)
	{
		refuse(conn, 400, NULL);
		return false;
	}
	ex->request.body_len += got;
	consume(conn, used);
	if (ex->request.body_len > ex->max_body)
		body_too_large(conn);
	else if (result == HTTP_CHUNKS_END)
		dispatch(conn);
	else
		return false;
	return conn->state == CONN_HEAD;
}

#define WS_KEY_LEN 24 /* 16 bytes in base64 */

static bool
key_valid(const char *key)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	return strlen(key) == WS_KEY_LEN && strspn(key, alphabet) == 22 && strcmp(key + 22, "==") == 0;
}

/* The rules of RFC 6455, section 4.2.1. Returns 0 or the status to refuse with. */
static int
check_upgrade(const struct http_exchange *ex)
{
	const struct http_head *head = &ex->head;

	if (strcmp(head->method, "GET") != 0 || head->minor != 1 || head->chunked || head->length > 0)
		return 400;
	if (strcmp(http_head_get(head, "sec-websocket-version"), "13") != 0)
		return 426;
	return key_valid(http_head_get(head, "sec-websocket-key")) ? 0 : 400;
}

/* Hands the connection to libwebsockets, which sends the 101. */
static void
become_ws(struct http_conn *conn, struct ws *ws)
{
	struct http_server *server = conn->server;
	struct stream *stream = conn->stream;
	size_t rest_len = conn->input_len;
	char key[WS_KEY_LEN + 1];

	snprintf(key, sizeof(key), "%s", http_head_get(&conn->exchange->head, "sec-websocket-key"));
	conn_free(conn);
	ws->gone = connection_gone;
	ws->gone_arg = server;
	/* Nobody may speak before the 101: what came behind the head is no WebSocket's. */
	if (rest_len > 0)
	{
		stream_close(stream, false);
		ws_fail(ws, 1006, 0, "data before the handshake");
	}
	else if (!ws_accept(ws, stream, key))
		ws_fail(ws, 1006, 0, "handshake refused");
}

static void
upgrade(struct http_conn *conn)
{
	struct http_server *server = conn->server;
	struct http_exchange *ex = conn->exchange;
	struct ws_limits limits = {.max_message = UPGRADE_LIMIT, .max_queue = UPGRADE_LIMIT};
	const struct ws_handlers *handlers = NULL;
	void *arg = NULL;
	struct ws *ws = NULL;
	int status = check_upgrade(ex);

	if (status == 0)
		status = server->handlers.upgrade == NULL
					 ? 404
					 : server->handlers.upgrade(server->handlers.arg, &ex->request, &limits,
												&handlers, &arg, ex);
	if (status == 0 && (ws = ws_create(server->loop, limits, handlers, arg)) == NULL)
		status = 503;
	if (status != 0)
		refuse(conn, status, status == 426 ? "Sec-WebSocket-Version: 13\r\n" : NULL);
	else
		become_ws(conn, ws);
}

/* Fills the exchange from the head. Returns 0 or the status to refuse with. */
static int
describe_request(struct http_conn *conn, struct http_exchange *ex, size_t head_len)
{
	struct http_request *request = &ex->request;
	int status = http_parse_request(ex->head_text, head_len, &ex->head);

	if (status != 0)
		return status;
	request->method = ex->head.method;
	request->target = ex->head.target;
	request->query = request->target + strcspn(request->target, "?");
	ex->path = strndup(request->target, (size_t) (request->query - request->target));
	if (ex->path == NULL)
		return 503;
	if (*request->query == '?')
		request->query++;
	request->path = ex->path;
	request->host = http_head_get(&ex->head, "host");
	if (*request->host == '\0' && ex->head.minor == 1)
		return 400;
	request->content_type = http_head_get(&ex->head, "content-type");
	request->peer = conn->peer;
	request->local_port = conn->local_port;
	ex->keep_alive = ex->head.keep_alive;
	conn->ending = !ex->keep_alive;
	return grow_body(ex, 1) ? 0 : 503;
}

/* A complete head of head_len bytes lies at the start of the input. */
static void
begin_request(struct http_conn *conn, size_t head_len)
{
	struct http_exchange *ex = calloc(1, sizeof(*ex));
	int status;

	if (ex == NULL || (ex->head_text = malloc(head_len + 1)) == NULL)
	{
		free(ex);
		conn_close(conn, false);
		return;
	}
	ex->conn = conn;
	ex->loop = conn->server->loop;
	memcpy(ex->head_text, conn->input, head_len);
	ex->head_text[head_len] = '\0';
	conn->exchange = ex;
	consume(conn, head_len);
	status = describe_request(conn, ex, head_len);
	ex->max_body = conn->server->max_body;
	if (status == 0 && conn->server->handlers.body_limit != NULL)
		ex->max_body =
			conn->server->handlers.body_limit(conn->server->handlers.arg, ex, &ex->request);
	if (status != 0)
		refuse(conn, status, NULL);
	else if (http_has_token(http_head_get(&ex->head, "upgrade"), "websocket") &&
			 http_has_token(http_head_get(&ex->head, "connection"), "upgrade"))
		upgrade(conn);
	else if (ex->head.length > ex->max_body)
		body_too_large(conn);
	else if (!ex->head.chunked && ex->head.length == 0)
		dispatch(conn);
	else
	{
		conn->state = CONN_BODY;
		conn->body_left = ex->head.length;
		memset(&conn->chunks, 0, sizeof(conn->chunks));
		if (ex->head.expect_100 && conn->input_len == 0)
			(void) stream_write(conn->stream, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	}
}

/* Returns false when the head is not complete, or will never be. */
static bool
read_head(struct http_conn *conn)
{
	size_t end;

	/* Some clients end a body with an empty line that belongs to nothing (RFC 9112, 2.2). */
	while (conn->input_len >= 2 && memcmp(conn->input, "\r\n", 2) == 0)
		consume(conn, 2);
	end = http_head_end(conn->input, conn->input_len);
	if (end > MAX_HEAD || (end == 0 && conn->input_len >= MAX_HEAD))
		refuse(conn, 431, NULL);
	else if (end > 0)
	{
		begin_request(conn, end);
		return true;
	}
	return false;
}

static void
process_input(struct http_conn *conn)
{
	bool more = true;

	conn->processing = true;
	while (more && conn->input_len > 0)
	{
		switch (conn->state)
		{
			case CONN_HEAD: more = read_head(conn); break;
			case CONN_BODY: more = read_body(conn); break;
			case CONN_ANSWER: more = false; break;
			case CONN_DEAD: return;
		}
	}
	conn->processing = false;
	if (conn->state == CONN_ANSWER && conn->input_len >= MAX_HEAD)
		stream_pause(conn->stream, true);
}

static void
on_data(void *arg, char *data, size_t len)
{
	struct http_conn *conn = arg;

	/* After the last request nothing is read but to be thrown away. */
	if (conn->ending && conn->state == CONN_ANSWER)
		return;
	if (conn->input_len + len > conn->input_size)
	{
		char *grown = realloc(conn->input, conn->input_len + len);

		if (grown == NULL)
		{
			conn_close(conn, false);
			return;
		}
		conn->input = grown;
		conn->input_size = conn->input_len + len;
	}
	memcpy(conn->input + conn->input_len, data, len);
	conn->input_len += len;
	process_input(conn);
}

static void
on_stream_closed(void *arg, const char *reason)
{
	struct http_conn *conn = arg;
	struct http_server *server = conn->server;

	(void) reason;
	conn_free(conn);
	connection_gone(server);
}

static const struct stream_handlers conn_handlers = {
	.data = on_data, .writable = on_writable, .closed = on_stream_closed};

static void
on_accepted(void *arg, int fd, const char *peer, uint16_t local_port)
{
	struct http_server *server = arg;
	struct http_conn *conn;

	if (server->connections >= server->max_connections)
	{
		uint64_t now = loop_cached_ms(server->loop);

		close(fd);
		if (server->complained_ms == 0 || now - server->complained_ms > COMPLAIN_MS)
			log_warning("connections refused: all %u are in use", server->max_connections);
		server->complained_ms = now;
		return;
	}
	conn = calloc(1, sizeof(*conn));
	if (conn == NULL)
	{
		close(fd);
		return;
	}
	conn->server = server;
	conn->local_port = local_port;
	snprintf(conn->peer, sizeof(conn->peer), "%s", peer);
	conn->stream = stream_adopt(server->loop, fd, server->tls, &conn_handlers, conn);
	if (conn->stream == NULL)
	{
		free(conn);
		return;
	}
	server->connections++;
	restart_deadline(conn);
}

struct http_server *
http_server_new(struct loop *loop, const struct http_server_options *options,
				const struct http_server_handlers *handlers)
{
	struct http_server *server = calloc(1, sizeof(*server));

	if (server == NULL)
	{
		log_error("out of memory");
		return NULL;
	}
	server->loop = loop;
	server->handlers = *handlers;
	server->max_connections = options->max_connections;
	server->max_body = options->max_body;
	server->timeout_ms = options->request_timeout_s * 1000;
	if (options->cert_file != NULL && *options->cert_file != '\0' &&
		!http_server_reload_tls(server, options->cert_file, options->key_file))
	{
		free(server);
		return NULL;
	}
	server->listeners =
		listeners_new(loop, options->addresses, options->ports, on_accepted, server);
	if (server->listeners == NULL)
	{
		SSL_CTX_free(server->tls);
		free(server);
		return NULL;
	}
	return server;
}

bool
http_server_reload_tls(struct http_server *server, const char *cert_file, const char *key_file)
{
	SSL_CTX *fresh = tls_server_context(cert_file, key_file != NULL ? key_file : cert_file);

	if (fresh == NULL)
		return false;
	SSL_CTX_free(server->tls);
	server->tls = fresh;
	return true;
}

unsigned
http_server_connections(const struct http_server *server)
{
	return server->connections;
}

void
http_server_close(struct http_server *server)
{
	if (server->listeners != NULL)
		listeners_free(server->listeners);
	server->listeners = NULL;
	server_release(server);
}

const char *
http_header(struct http_exchange *ex, const char *name)
{
	return http_head_get(&ex->head, name);
}

void
http_answer(struct http_exchange *ex, int status, const char *content_type, const char *body,
			size_t body_len, const char *extra_headers)
{
	struct http_conn *conn = ex->conn;
	bool head_only = strcmp(ex->head.method, "HEAD") == 0;
	int minor = ex->head.minor;

	/* The handler may still look at the request when this returns. */
	ex->conn = NULL;
	deadline_set(ex->loop, &ex->farewell, 0, exchange_free, ex);
	if (conn == NULL)
		return;
	conn->exchange = NULL;
	respond(conn, status, content_type, body, body_len, extra_headers, !head_only, minor);
}

bool
http_answer_begin(struct http_exchange *ex, int status, const char *content_type, uint64_t len,
				  const char *extra_headers, const struct http_body_handlers *handlers, void *arg)
{
	struct http_conn *conn = ex->conn;
	int minor = ex->head.minor;
	bool begun = conn != NULL && strcmp(ex->head.method, "HEAD") != 0 && len > 0;

	ex->conn = NULL;
	deadline_set(ex->loop, &ex->farewell, 0, exchange_free, ex);
	if (conn == NULL)
		return false;
	conn->exchange = NULL;
	if (begun)
	{
		conn->pieces_left = len;
		conn->pieces = handlers;
		conn->pieces_arg = arg;
	}
	respond(conn, status, content_type, NULL, len, extra_headers, false, minor);
	return begun;
}

void
http_body_piece(struct http_body *body, char *data, size_t len)
{
	struct http_conn *conn = (struct http_conn *) body;

	conn->pieces_left -= len;
	conn_write(conn, data, len);
}

void
http_body_abort(struct http_body *body)
{
	struct http_conn *conn = (struct http_conn *) body;

	conn->pieces_left = 0;
	conn_close(conn, false);
}

void
http_cut(struct http_exchange *ex, const char *raw, size_t len)
{
	struct http_conn *conn = ex->conn;
	char *copy = len > 0 ? malloc(len) : NULL;

	ex->conn = NULL;
	deadline_set(ex->loop, &ex->farewell, 0, exchange_free, ex);
	if (conn == NULL)
	{
		free(copy);
		return;
	}
	conn->exchange = NULL;
	conn->ending = true;
	if (copy == NULL)
		conn_close(conn, true);
	else
		conn_write(conn, memcpy(copy, raw, len), len);
}
