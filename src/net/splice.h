/*
 * splice.h: turns a stream into a descriptor that libwebsockets can own. Internal to net.
 */
#ifndef VA_NET_SPLICE_H
#define VA_NET_SPLICE_H

struct loop;
struct stream;

/* Consumes the stream. A plain one gives up its socket; one under TLS goes on living here, and the
 * descriptor is the near end of a socket pair over which the decrypted bytes travel both ways.
 * -1 when there are no descriptors or no memory. */
int splice_or_release(struct loop *loop, struct stream *stream);

#endif
