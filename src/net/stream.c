/*
 * stream.c: one uv_poll_t a socket, plain recv and send, or OpenSSL on the same socket.
 *
 * The cost of a frame is one recv, one send and a share of an epoll_wait: nothing is polled
 * before writing, POLLOUT is asked for only after a send that did not take all, and no timer is
 * touched. libuv frees a handle a turn after it was closed, which is why a stream may be closed
 * inside any callback: its memory stays until the callbacks have returned.
 *
 *	connecting -> handshaking (TLS only) -> open -> (lingering ->) dead
 */
#include "net/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "net/loop.h"
#include "net/loop_internal.h"
#include "net/tls.h"

#define LINGER_MS 1000
#define LINGER_BYTES (1024 * 1024)

enum stream_state
{
	STREAM_CONNECTING,
	STREAM_HANDSHAKING,
	STREAM_OPEN,
	STREAM_LINGERING,
	STREAM_DEAD
};

struct stream
{
	uv_poll_t poll;
	struct loop *loop;
	const struct stream_handlers *handlers;
	void *arg;
	SSL *ssl; /* NULL on plain sockets */
	int fd;
	int connect_error; /* errno of a connect that failed at once */
	enum stream_state state;
	int events; /* what libuv watches */
	bool paused;
	bool want_write; /* the owner waits for room */
	bool broken; /* a write failed: closed will be reported */
	size_t discarded;
	struct deadline deadline; /* reports a failure later, or ends lingering */
	struct loop_member member;
};

static void on_poll(uv_poll_t *handle, int status, int events);
static void read_tls(struct stream *s);

static void
watch(struct stream *s, int events)
{
	if (events == s->events)
		return;
	s->events = events;
	if (events == 0)
		uv_poll_stop(&s->poll);
	else
		uv_poll_start(&s->poll, events, on_poll);
}

static void
update_watch(struct stream *s)
{
	int events = 0;

	if (s->state == STREAM_OPEN || s->state == STREAM_LINGERING)
	{
		if (!s->paused || s->state == STREAM_LINGERING)
			events |= UV_READABLE;
		if (s->want_write)
			events |= UV_WRITABLE;
		watch(s, events);
	}
}

static void
on_handle_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void
destroy(struct stream *s)
{
	if (s->state == STREAM_DEAD)
		return;
	s->state = STREAM_DEAD;
	deadline_clear(&s->deadline);
	loop_leave(&s->member);
	if (s->ssl != NULL)
		SSL_free(s->ssl);
	s->ssl = NULL;
	/* The handle first: it must leave epoll while the descriptor is still ours. */
	uv_close((uv_handle_t *) &s->poll, on_handle_closed);
	close(s->fd);
	s->fd = -1;
}

/* The connection ended by itself. */
static void
finish(struct stream *s, const char *reason)
{
	const struct stream_handlers *handlers = s->handlers;
	bool owned = s->state != STREAM_LINGERING && s->state != STREAM_DEAD;

	destroy(s);
	if (owned)
		handlers->closed(s->arg, reason);
}

static const char *
words_for(int error)
{
	switch (error)
	{
		case 0: return "closed by the peer";
		case ECONNREFUSED: return "connection refused";
		case ECONNRESET: return "connection reset by the peer";
		case EPIPE: return "connection closed by the peer";
		case ETIMEDOUT: return "connection timed out";
		case EHOSTUNREACH: return "host unreachable";
		case ENETUNREACH: return "network unreachable";
		default: return strerror(error);
	}
}

static void
on_broken(void *arg)
{
	struct stream *s = arg;

	finish(s, words_for(s->connect_error));
}

static void
break_later(struct stream *s, int error)
{
	s->broken = true;
	s->connect_error = error;
	s->want_write = false;
	watch(s, 0);
	deadline_set(s->loop, &s->deadline, 0, on_broken, s);
}

static void
tls_failed(struct stream *s)
{
	char reason[160];

	tls_describe_error(s->ssl, reason, sizeof(reason));
	finish(s, reason);
}

static void on_resume(void *arg);

static void
opened(struct stream *s)
{
	s->state = STREAM_OPEN;
	s->want_write = false;
	update_watch(s);
	/* The peer's first words may have come with the end of the TLS handshake: they lie in
	 * OpenSSL's buffer, where epoll cannot see them. */
	if (s->ssl != NULL)
		deadline_set(s->loop, &s->deadline, 0, on_resume, s);
	if (s->handlers->opened != NULL)
		s->handlers->opened(s->arg);
}

static void
handshake(struct stream *s)
{
	int result;

	ERR_clear_error();
	result = SSL_do_handshake(s->ssl);
	if (result == 1)
	{
		opened(s);
		/* Reading ahead may have taken the peer's first data along with its last handshake. */
		if (s->state == STREAM_OPEN && !s->paused && SSL_has_pending(s->ssl))
			read_tls(s);
		return;
	}
	switch (SSL_get_error(s->ssl, result))
	{
		case SSL_ERROR_WANT_READ: watch(s, UV_READABLE); break;
		case SSL_ERROR_WANT_WRITE: watch(s, UV_WRITABLE); break;
		default: tls_failed(s); break;
	}
}

static void
connected(struct stream *s)
{
	int error = 0;
	socklen_t len = sizeof(error);

	getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error != 0)
		finish(s, words_for(error));
	else if (s->ssl != NULL)
	{
		s->state = STREAM_HANDSHAKING;
		handshake(s);
	}
	else
		opened(s);
}

static void
read_plain(struct stream *s)
{
	char *buffer = loop_read_buffer(s->loop);
	ssize_t n = recv(s->fd, buffer, LOOP_READ_SIZE, 0);

	if (n > 0)
		s->handlers->data(s->arg, buffer, (size_t) n);
	else if (n == 0)
		finish(s, words_for(0));
	else if (errno != EAGAIN && errno != EINTR)
		finish(s, words_for(errno));
}

/* OpenSSL may hold data that epoll cannot see: it is read until it wants the socket. */
static void
read_tls(struct stream *s)
{
	char *buffer = loop_read_buffer(s->loop);

	do
	{
		int n;

		ERR_clear_error();
		n = SSL_read(s->ssl, buffer, LOOP_READ_SIZE);
		if (n > 0)
		{
			s->handlers->data(s->arg, buffer, (size_t) n);
			continue;
		}
		switch (SSL_get_error(s->ssl, n))
		{
			case SSL_ERROR_WANT_READ: return;
			case SSL_ERROR_WANT_WRITE: s->want_write = true; break;
			case SSL_ERROR_ZERO_RETURN: finish(s, words_for(0)); return;
			default: finish(s, "connection lost"); return;
		}
		update_watch(s);
		return;
	} while (s->state == STREAM_OPEN && !s->paused && !s->broken && SSL_has_pending(s->ssl));
}

static void
read_some(struct stream *s)
{
	if (s->ssl != NULL)
		read_tls(s);
	else
		read_plain(s);
}

/* After our last word: wait for the peer's end of file, whatever comes before it. */
static void
discard(struct stream *s)
{
	ssize_t n = recv(s->fd, loop_read_buffer(s->loop), LOOP_READ_SIZE, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	s->discarded += n > 0 ? (size_t) n : 0;
	if (n <= 0 || s->discarded > LINGER_BYTES)
		destroy(s);
}

static void
on_poll(uv_poll_t *handle, int status, int events)
{
	struct stream *s = handle->data;

	if (status < 0)
	{
		int error = 0;
		socklen_t len = sizeof(error);

		getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		finish(s, words_for(error));
		return;
	}
	switch (s->state)
	{
		case STREAM_CONNECTING: connected(s); return;
		case STREAM_HANDSHAKING: handshake(s); return;
		case STREAM_LINGERING: discard(s); return;
		case STREAM_DEAD: return;
		case STREAM_OPEN: break;
	}
	if ((events & UV_WRITABLE) && s->want_write)
	{
		s->want_write = false;
		s->handlers->writable(s->arg);
		if (s->state == STREAM_OPEN)
			update_watch(s);
	}
	if ((events & UV_READABLE) && s->state == STREAM_OPEN && !s->paused && !s->broken)
		read_some(s);
}

static void
on_loop_ends(void *arg)
{
	finish(arg, "the program is ending");
}

static struct stream *
create(struct loop *loop, int fd, SSL_CTX *tls, const struct stream_handlers *handlers, void *arg)
{
	struct stream *s = calloc(1, sizeof(*s));
	int on = 1;

	if (s == NULL)
	{
		close(fd);
		return NULL;
	}
	s->loop = loop;
	s->fd = fd;
	s->handlers = handlers;
	s->arg = arg;
	if (tls != NULL && ((s->ssl = SSL_new(tls)) == NULL || SSL_set_fd(s->ssl, fd) != 1))
	{
		SSL_free(s->ssl);
		close(fd);
		free(s);
		return NULL;
	}
	if (uv_poll_init_socket(loop_uv(loop), &s->poll, fd) != 0)
	{
		SSL_free(s->ssl);
		close(fd);
		free(s);
		return NULL;
	}
	s->poll.data = s;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	loop_join(loop, &s->member, on_loop_ends, s);
	return s;
}

struct stream *
stream_adopt(struct loop *loop, int fd, SSL_CTX *tls, const struct stream_handlers *handlers,
			 void *arg)
{
	struct stream *s = create(loop, fd, tls, handlers, arg);

	if (s == NULL)
		return NULL;
	s->state = STREAM_OPEN;
	if (s->ssl != NULL)
	{
		SSL_set_accept_state(s->ssl);
		s->state = STREAM_HANDSHAKING;
	}
	watch(s, UV_READABLE);
	return s;
}

struct stream *
stream_connect(struct loop *loop, const struct sockaddr *address, socklen_t len, SSL_CTX *tls,
			   const char *host, const struct stream_handlers *handlers, void *arg)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct stream *s;

	if (fd < 0 || (s = create(loop, fd, tls, handlers, arg)) == NULL)
		return NULL;
	s->state = STREAM_CONNECTING;
	if (s->ssl != NULL)
	{
		SSL_set_connect_state(s->ssl);
		if (!tls_expect_host(s->ssl, host))
		{
			destroy(s);
			return NULL;
		}
	}
	if (connect(fd, address, len) == 0 || errno == EINPROGRESS)
		watch(s, UV_WRITABLE);
	else
		break_later(s, errno);
	return s;
}

void
stream_set_handlers(struct stream *stream, const struct stream_handlers *handlers, void *arg)
{
	stream->handlers = handlers;
	stream->arg = arg;
}

static ssize_t
write_tls(struct stream *s, const void *data, size_t len)
{
	int n;

	ERR_clear_error();
	n = SSL_write(s->ssl, data, len > INT32_MAX ? INT32_MAX : (int) len);
	if (n > 0)
		return n;
	switch (SSL_get_error(s->ssl, n))
	{
		case SSL_ERROR_WANT_WRITE: return 0;
		case SSL_ERROR_WANT_READ: return 0;
		default: return -1;
	}
}

ssize_t
stream_write(struct stream *stream, const void *data, size_t len)
{
	const char *from = data;
	size_t done = 0;

	if (stream->state != STREAM_OPEN || stream->broken)
		return -1;
	if (stream->ssl == NULL)
	{
		ssize_t n = send(stream->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
		{
			break_later(stream, errno);
			return -1;
		}
		done = n > 0 ? (size_t) n : 0;
	}
	while (stream->ssl != NULL && done < len)
	{
		/* Partial writes end at a record of 16 KiB: go on until the socket is full. */
		ssize_t n = write_tls(stream, from + done, len - done);

		if (n < 0)
		{
			break_later(stream, EPIPE);
			return -1;
		}
		if (n == 0)
			break;
		done += (size_t) n;
	}
	if (done < len && !stream->want_write)
	{
		stream->want_write = true;
		update_watch(stream);
	}
	return (ssize_t) done;
}

static void
on_resume(void *arg)
{
	struct stream *s = arg;

	if (s->state == STREAM_OPEN && !s->paused && !s->broken)
		read_some(s);
}

void
stream_pause(struct stream *stream, bool paused)
{
	if (stream->paused == paused || stream->state != STREAM_OPEN)
		return;
	stream->paused = paused;
	if (stream->broken)
		return;
	update_watch(stream);
	if (!paused && stream->ssl != NULL && SSL_has_pending(stream->ssl))
		deadline_set(stream->loop, &stream->deadline, 0, on_resume, stream);
}

bool
stream_is_tls(const struct stream *stream)
{
	return stream->ssl != NULL;
}

/* A duplicate: the original leaves the loop a turn later, and must not take the socket along. */
int
stream_release(struct stream *stream)
{
	int fd = fcntl(stream->fd, F_DUPFD_CLOEXEC, 3);

	destroy(stream);
	return fd;
}

static void
on_lingered(void *arg)
{
	destroy(arg);
}

void
stream_close(struct stream *stream, bool politely)
{
	if (stream->state == STREAM_OPEN && stream->ssl != NULL && !stream->broken)
	{
		ERR_clear_error();
		SSL_shutdown(stream->ssl);
	}
	if (!politely || stream->state != STREAM_OPEN || stream->broken)
	{
		destroy(stream);
		return;
	}
	stream->state = STREAM_LINGERING;
	stream->want_write = false;
	shutdown(stream->fd, SHUT_WR);
	update_watch(stream);
	deadline_set(stream->loop, &stream->deadline, LINGER_MS, on_lingered, stream);
}
