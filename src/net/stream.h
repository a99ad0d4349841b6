/*
 * stream.h: a TCP connection with or without TLS, on the loop: bytes in, bytes out.
 *
 * What http_server and ws stand on. Writing goes to the kernel at once and is never buffered
 * here: the owner knows better what may wait and what may be dropped. Internal to net.
 */
#ifndef VA_NET_STREAM_H
#define VA_NET_STREAM_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

struct loop;
struct stream;

struct stream_handlers
{
	void (*opened)(void *arg); /* connected (and TLS agreed); not for adopted plain sockets */
	/* data lies in the loop's read buffer: writable, gone when this returns. */
	void (*data)(void *arg, char *data, size_t len);
	void (*writable)(void *arg); /* after a write that did not take all */
	/* The peer or the network ended it; the stream is invalid afterwards. Not called after
	 * stream_close. */
	void (*closed)(void *arg, const char *reason);
};

/* Takes over a connected, non-blocking socket; tls may be NULL. NULL when out of memory (the
 * socket is closed then). */
struct stream *stream_adopt(struct loop *loop, int fd, SSL_CTX *tls,
							const struct stream_handlers *handlers, void *arg);

/* Connects. host: the name to verify under TLS; tls: tls_client_context() or NULL. Failures come
 * by `closed`, never before this returned. NULL when out of memory or descriptors. */
struct stream *stream_connect(struct loop *loop, const struct sockaddr *address, socklen_t len,
							  SSL_CTX *tls, const char *host,
							  const struct stream_handlers *handlers, void *arg);

void stream_set_handlers(struct stream *stream, const struct stream_handlers *handlers, void *arg);

/* Returns how many bytes the kernel took: less than len, or 0, when its buffer is full; then
 * `writable` comes. -1: the connection is broken; `closed` follows in the next turn. Never calls
 * back. */
ssize_t stream_write(struct stream *stream, const void *data, size_t len);

/* Stops or resumes reading; a peer that goes on sending is held back by TCP. */
void stream_pause(struct stream *stream, bool paused);

bool stream_is_tls(const struct stream *stream);

/* Gives up a plain stream's socket: a descriptor that nothing here watches any more, -1 when there
 * is none. The stream is gone, without any callback. */
int stream_release(struct stream *stream);

/* Ends it from our side, without any callback. politely: what was written still reaches a peer
 * that is sending (closing a socket with unread data resets it, and the peer might never see our
 * last words): the sending side is shut, input discarded until the peer closes, 1 s at most. */
void stream_close(struct stream *stream, bool politely);

#endif
