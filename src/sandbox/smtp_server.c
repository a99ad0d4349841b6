/*
 * smtp_server.c: the stand-in for a mail server (RFC 5321, AUTH of RFC 4954), without TLS.
 *
 * The host of the stand-ins speaks HTTP, so this one has a socket of its own on 127.0.0.1; GET
 * /smtp/sandbox/port tells where. It takes mails for everybody; the user "acme" has the password
 * "hush". What it takes is a line "mail" of the ledger under the mail's Message-ID.
 *
 * Faults (provider_faults.h) strike its replies: the method is the command (CONNECT for the
 * greeting, TEXT for the reply to the whole mail), the path a slash and the command's argument.
 * "status" is the reply's code, "body" its words.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uv.h>

#include "core/base64.h"
#include "net/loop.h"
#include "sandbox/json_text.h"
#include "sandbox/provider_faults.h"
#include "sandbox/providers.h"

#define LINE_MAX_BYTES 2000
#define MAIL_MAX_BYTES (32 * 1024 * 1024)
#define ADDRESS_MAX 256

struct smtp_server
{
	const struct stand_in_host *host;
	uv_tcp_t *listener;
	struct session *sessions;
	unsigned port;
};

/* One connection. It is freed when both of its handles are closed. */
struct session
{
	struct session *next, *prev;
	struct smtp_server *server;
	uv_tcp_t tcp;
	uv_timer_t timer; /* of a reply that comes late */
	unsigned handles;
	char input[4096];
	char line[LINE_MAX_BYTES];
	size_t line_len;
	char from[ADDRESS_MAX], to[ADDRESS_MAX]; /* of the mail; to: the first one */
	bool in_text, wants_password;
	char *text;
	size_t text_len;
	char late[1200]; /* the reply that comes late */
};

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf);
static void on_data(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf);

/* ---- connections ---- */

static void
on_handle_closed(uv_handle_t *handle)
{
	struct session *session = handle->data;

	if (--session->handles > 0)
		return;
	free(session->text);
	free(session);
}

static void
session_end(struct session *session)
{
	if (uv_is_closing((uv_handle_t *) &session->tcp))
		return;
	if (session->prev != NULL)
		session->prev->next = session->next;
	else
		session->server->sessions = session->next;
	if (session->next != NULL)
		session->next->prev = session->prev;
	uv_close((uv_handle_t *) &session->tcp, on_handle_closed);
	uv_close((uv_handle_t *) &session->timer, on_handle_closed);
}

static void
on_written(uv_write_t *write, int status)
{
	(void) status;
	free(write);
}

static void
send_text(struct session *session, const char *text, size_t len)
{
	uv_write_t *write = malloc(sizeof(*write) + len);
	uv_buf_t buf;

	if (write == NULL)
		abort();
	buf = uv_buf_init((char *) (write + 1), (unsigned) len);
	memcpy(buf.base, text, len);
	if (uv_write(write, (uv_stream_t *) &session->tcp, &buf, 1, on_written) != 0)
		free(write);
}

static void
on_late(uv_timer_t *timer)
{
	struct session *session = timer->data;

	send_text(session, session->late, strlen(session->late));
	uv_read_start((uv_stream_t *) &session->tcp, on_room, on_data);
}

/* ---- replies ---- */

/* The reply to a command, or what a fault makes of it. */
static void
reply(struct session *session, const struct provider_fault *fault, const char *text)
{
	char changed[1100];

	if (fault != NULL && fault->status != 0)
	{
		snprintf(changed, sizeof(changed), "%u %s\r\n", fault->status,
				 fault->body[0] != '\0' ? fault->body : "as the test wants it");
		text = changed;
	}
	if (fault != NULL && fault->garbage)
		text = "\x01\xff <html> this is no mail server\r\n";
	if (fault != NULL && fault->slow_ms != 0)
	{
		snprintf(session->late, sizeof(session->late), "%s", text);
		uv_timer_start(&session->timer, on_late, fault->slow_ms, 0);
		uv_read_stop((uv_stream_t *) &session->tcp); /* replies keep their order */
		return;
	}
	if (fault == NULL || (fault->cut != CUT_BEFORE && fault->cut != CUT_AFTER))
		send_text(session, text,
				  fault != NULL && fault->cut == CUT_BODY ? strlen(text) / 2 : strlen(text));
	/* 421: the server closes the connection (RFC 5321, 3.8). */
	if ((fault != NULL && fault->cut != CUT_NONE) || strncmp(text, "421", 3) == 0 ||
		strncmp(text, "221", 3) == 0)
		session_end(session);
}

static const struct provider_fault *
strike(struct session *session, const char *command, const char *argument)
{
	char path[LINE_MAX_BYTES + 1];

	snprintf(path, sizeof(path), "/%s", argument);
	return stand_in_strike(session->server->host, "/smtp", command, path);
}

/* The fault that keeps a command from being done, if it is one of that sort. */
static bool
prevents(const struct provider_fault *fault)
{
	return fault != NULL && (fault->cut == CUT_BEFORE || (fault->status >= 400 && !fault->after));
}

/* ---- a mail ---- */

/* The mail's Message-ID without its angle brackets, "" where it has none. */
static void
read_message_id(const char *text, char *id, size_t size)
{
	const char *found = strcasestr(text, "\r\nMessage-ID:");
	const char *end;

	id[0] = '\0';
	if (found == NULL || (found = strchr(found + 2, '<')) == NULL ||
		(end = strpbrk(found, ">\r\n")) == NULL)
		return;
	snprintf(id, size, "%.*s", (int) (end - found - 1), found + 1);
}

static void
take_mail(struct session *session)
{
	char id[300];
	struct json_object *line;

	read_message_id(session->text, id, sizeof(id));
	line = ledger_line(session->server->host->ledger, id, "mail");
	json_put_text(line, "from", session->from);
	json_put_text(line, "to", session->to);
	json_put_int(line, "bytes", (long long) session->text_len);
	ledger_write(session->server->host->ledger, line);
}

static void
end_of_text(struct session *session)
{
	const struct provider_fault *fault = strike(session, "TEXT", session->to);

	session->in_text = false;
	if (!prevents(fault))
		take_mail(session);
	session->from[0] = session->to[0] = '\0';
	session->text_len = 0;
	reply(session, fault, "250 2.0.0 queued as 4711\r\n");
}

static void
add_text(struct session *session, const char *line)
{
	size_t len = strlen(line);
	char *longer;

	if (strcmp(line, ".") == 0)
	{
		end_of_text(session);
		return;
	}
	if (session->text_len + len + 3 > MAIL_MAX_BYTES)
	{
		session_end(session);
		return;
	}
	longer = realloc(session->text, session->text_len + len + 3);
	if (longer == NULL)
		abort();
	session->text = longer;
	session->text_len += (size_t) snprintf(session->text + session->text_len, len + 3, "%s\r\n",
										   line[0] == '.' ? line + 1 : line);
}

/* ---- commands ---- */

/* The address between the angle brackets of "FROM:<a@b>"; false where there is none. */
static bool
read_address(const char *argument, const char *keyword, char *address)
{
	size_t len = strlen(keyword);
	const char *end;

	if (strncasecmp(argument, keyword, len) != 0 || argument[len] != '<' ||
		(end = strchr(argument + len, '>')) == NULL ||
		(size_t) (end - argument) - len > ADDRESS_MAX - 1)
		return false;
	snprintf(address, ADDRESS_MAX, "%.*s", (int) ((size_t) (end - argument) - len - 1),
			 argument + len + 1);
	return true;
}

/* AUTH PLAIN: base64 of "\0user\0password". */
static bool
password_right(const char *word)
{
	static const char right[] = "\0acme\0hush";
	uint8_t said[200];
	ssize_t len = base64_decode(word, strlen(word), said, sizeof(said));

	return len == sizeof(right) - 1 && memcmp(said, right, sizeof(right) - 1) == 0;
}

static const char *
check_password(const char *word)
{
	return password_right(word) ? "235 2.7.0 welcome\r\n"
								: "535 5.7.8 authentication credentials invalid\r\n";
}

static const char *
authenticate(struct session *session, const char *argument)
{
	if (strncasecmp(argument, "PLAIN", 5) != 0)
		return "504 5.5.4 no such mechanism\r\n";
	if (argument[5] == ' ')
		return check_password(argument + 6);
	session->wants_password = true;
	return "334 \r\n";
}

/* Does what a command says, and returns the reply; NULL: no such command. */
static const char *
perform(struct session *session, const char *command, const char *argument)
{
	char address[ADDRESS_MAX];

	if (strcmp(command, "EHLO") == 0)
		return "250-sandbox greets you\r\n250-SIZE 33554432\r\n250-8BITMIME\r\n"
			   "250-ENHANCEDSTATUSCODES\r\n250 AUTH PLAIN\r\n";
	if (strcmp(command, "HELO") == 0)
		return "250 sandbox\r\n";
	if (strcmp(command, "AUTH") == 0)
		return authenticate(session, argument);
	if (strcmp(command, "MAIL") == 0)
		return !read_address(argument, "FROM:", session->from) ? "501 5.5.4 whose?\r\n"
															   : "250 2.1.0 ok\r\n";
	if (strcmp(command, "RCPT") == 0)
	{
		if (!read_address(argument, "TO:", address))
			return "501 5.5.4 to whom?\r\n";
		if (session->from[0] == '\0')
			return "503 5.5.1 MAIL first\r\n";
		if (session->to[0] == '\0')
			snprintf(session->to, sizeof(session->to), "%s", address);
		return "250 2.1.5 ok\r\n";
	}
	if (strcmp(command, "DATA") == 0)
	{
		if (session->to[0] == '\0')
			return "503 5.5.1 RCPT first\r\n";
		session->in_text = true;
		return "354 go ahead, end with a dot\r\n";
	}
	if (strcmp(command, "RSET") == 0)
	{
		session->from[0] = session->to[0] = '\0';
		return "250 2.0.0 ok\r\n";
	}
	if (strcmp(command, "NOOP") == 0)
		return "250 2.0.0 ok\r\n";
	return strcmp(command, "QUIT") == 0 ? "221 2.0.0 bye\r\n" : NULL;
}

static void
on_command(struct session *session, const char *line)
{
	char command[8] = "";
	size_t len = strcspn(line, " ");
	const char *argument = line[len] == ' ' ? line + len + 1 : line + len;
	const struct provider_fault *fault;
	const char *text;

	for (size_t i = 0; i < len && i < sizeof(command) - 1; i++)
		command[i] = line[i] >= 'a' && line[i] <= 'z' ? (char) (line[i] - 'a' + 'A') : line[i];
	if (session->wants_password)
	{
		session->wants_password = false;
		reply(session, NULL, check_password(line));
		return;
	}
	/* (The argument of AUTH is a password: it is in no ledger.) */
	fault = strike(session, command, strcmp(command, "AUTH") == 0 ? "" : argument);
	if (prevents(fault))
	{
		reply(session, fault, "");
		return;
	}
	text = perform(session, command, argument);
	reply(session, fault, text != NULL ? text : "500 5.5.2 no such command\r\n");
}

static void
on_line(struct session *session)
{
	if (session->line_len > 0 && session->line[session->line_len - 1] == '\r')
		session->line_len--;
	session->line[session->line_len] = '\0';
	session->line_len = 0;
	if (session->in_text)
		add_text(session, session->line);
	else
		on_command(session, session->line);
}

static void
on_data(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
	struct session *session = stream->data;

	if (len < 0)
	{
		session_end(session);
		return;
	}
	for (ssize_t i = 0; i < len && !uv_is_closing((uv_handle_t *) stream); i++)
	{
		if (buf->base[i] == '\n')
			on_line(session);
		else if (session->line_len < sizeof(session->line) - 1)
			session->line[session->line_len++] = buf->base[i];
		else
			session_end(session);
	}
}

static void
on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct session *session = handle->data;

	(void) suggested;
	*buf = uv_buf_init(session->input, sizeof(session->input));
}

static void
on_connection(uv_stream_t *listener, int status)
{
	struct smtp_server *server = listener->data;
	struct session *session = calloc(1, sizeof(*session));

	if (session == NULL)
		abort();
	session->server = server;
	session->handles = 2;
	session->next = server->sessions;
	if (session->next != NULL)
		session->next->prev = session;
	server->sessions = session;
	uv_tcp_init(loop_uv(server->host->loop), &session->tcp);
	uv_timer_init(loop_uv(server->host->loop), &session->timer);
	session->tcp.data = session->timer.data = session;
	if (status < 0 || uv_accept(listener, (uv_stream_t *) &session->tcp) != 0 ||
		uv_read_start((uv_stream_t *) &session->tcp, on_room, on_data) != 0)
	{
		session_end(session);
		return;
	}
	reply(session, strike(session, "CONNECT", ""), "220 sandbox ESMTP\r\n");
}

/* ---- the stand-in ---- */

static void *
smtp_open(const struct stand_in_host *host)
{
	struct smtp_server *server = calloc(1, sizeof(*server));
	struct sockaddr_in address;
	int len = sizeof(address);

	if (server == NULL || (server->listener = calloc(1, sizeof(*server->listener))) == NULL)
		abort();
	server->host = host;
	uv_ip4_addr("127.0.0.1", 0, &address);
	uv_tcp_init(loop_uv(host->loop), server->listener);
	server->listener->data = server;
	if (uv_tcp_bind(server->listener, (struct sockaddr *) &address, 0) == 0 &&
		uv_listen((uv_stream_t *) server->listener, 64, on_connection) == 0 &&
		uv_tcp_getsockname(server->listener, (struct sockaddr *) &address, &len) == 0)
		server->port = ntohs(address.sin_port);
	return server;
}

static void
smtp_request(void *self, struct stand_in_exchange *ex, const struct stand_in_request *request)
{
	struct smtp_server *server = self;
	struct json_object *body = json_object_new_object();
	bool known = strcmp(request->path, "/sandbox/port") == 0;

	if (known)
		json_put_int(body, "port", server->port);
	else
		json_put_text(body, "detail", "a mail server speaks no HTTP: /smtp/sandbox/port");
	stand_in_answer_json(ex, known ? 200 : 404, body);
}

static void
on_listener_closed(uv_handle_t *handle)
{
	free(handle);
}

static void
smtp_close(void *self)
{
	struct smtp_server *server = self;

	while (server->sessions != NULL)
		session_end(server->sessions);
	uv_close((uv_handle_t *) server->listener, on_listener_closed);
	free(server);
}

const struct stand_in smtp_stand_in = {"/smtp", smtp_open, smtp_request, smtp_close};
