/*
 * splice.c: copies between a TLS connection and one end of a socket pair.
 *
 * Only for own TLS (voiceagent.ssl_cert_file) and WebSockets: the request of an upgrade has been
 * read from the TLS connection by http_server, and libwebsockets adopts sockets, not OpenSSL's
 * state. It costs two copies a frame, as a proxy on this machine would, and one process less.
 * What one side cannot take stops the reading on the other: nothing is buffered beyond one read.
 */
#include "net/splice.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/loop_internal.h"
#include "net/stream.h"

struct side
{
	struct splice *splice;
	struct stream *stream;
	char *rest; /* what could not be written to this side */
	size_t rest_len;
};

struct splice
{
	struct garbage garbage;
	struct loop *loop;
	struct side tls;
	struct side near;
};

static struct side *
other(struct side *side)
{
	return side == &side->splice->tls ? &side->splice->near : &side->splice->tls;
}

static void
end(struct splice *splice)
{
	for (int i = 0; i < 2; i++)
	{
		struct side *side = i == 0 ? &splice->tls : &splice->near;

		if (side->stream != NULL)
			stream_close(side->stream, true);
		side->stream = NULL;
		free(side->rest);
		side->rest = NULL;
	}
	loop_free_later(splice->loop, &splice->garbage);
}

static void
on_data(void *arg, char *data, size_t len)
{
	struct side *from = arg;
	struct side *to = other(from);
	ssize_t n = stream_write(to->stream, data, len);

	if (n < 0)
	{
		end(from->splice);
		return;
	}
	if ((size_t) n == len)
		return;
	to->rest_len = len - (size_t) n;
	to->rest = malloc(to->rest_len);
	if (to->rest == NULL)
	{
		end(from->splice);
		return;
	}
	memcpy(to->rest, data + n, to->rest_len);
	stream_pause(from->stream, true);
}

static void
on_writable(void *arg)
{
	struct side *to = arg;
	ssize_t n;

	if (to->rest == NULL)
		return;
	n = stream_write(to->stream, to->rest, to->rest_len);
	if (n < 0)
	{
		end(to->splice);
		return;
	}
	to->rest_len -= (size_t) n;
	if (to->rest_len > 0)
	{
		memmove(to->rest, to->rest + n, to->rest_len);
		return;
	}
	free(to->rest);
	to->rest = NULL;
	stream_pause(other(to)->stream, false);
}

static void
on_closed(void *arg, const char *reason)
{
	struct side *side = arg;

	(void) reason;
	side->stream = NULL;
	end(side->splice);
}

static const struct stream_handlers handlers = {
	.data = on_data, .writable = on_writable, .closed = on_closed};

static int
splice_new(struct loop *loop, struct stream *stream)
{
	struct splice *splice = calloc(1, sizeof(*splice));
	int pair[2];

	if (splice == NULL ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
	{
		free(splice);
		stream_close(stream, false);
		return -1;
	}
	splice->loop = loop;
	splice->tls.splice = splice->near.splice = splice;
	splice->near.stream = stream_adopt(loop, pair[0], NULL, &handlers, &splice->near);
	if (splice->near.stream == NULL)
	{
		free(splice);
		stream_close(stream, false);
		close(pair[1]);
		return -1;
	}
	splice->tls.stream = stream;
	stream_set_handlers(stream, &handlers, &splice->tls);
	return pair[1];
}

int
splice_or_release(struct loop *loop, struct stream *stream)
{
	return stream_is_tls(stream) ? splice_new(loop, stream) : stream_release(stream);
}
