/*
 * listen.h: the listening sockets of a server.
 *
 * Each is bound with SO_REUSEPORT, so that several gateways of a machine share a port and the
 * kernel spreads the connections over them. Internal to net.
 */
#ifndef VA_NET_LISTEN_H
#define VA_NET_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct listeners;

#define PEER_SIZE 48 /* a numeric address with its NUL */

/* A new connection: non-blocking, close-on-exec; the callee owns fd. */
typedef void (*listen_accepted)(void *arg, int fd, const char *peer, uint16_t local_port);

/* addresses as in PostgreSQL's listen_addresses; ports ends with 0 or after four. NULL with the
 * reason logged when any socket cannot be bound (an address family that the machine lacks is
 * passed over, as long as one socket is left). */
struct listeners *listeners_new(struct loop *loop, const char *addresses, const uint16_t ports[4],
								listen_accepted accepted, void *arg);

/* Closes the sockets. Connections waiting in the backlog are reset by the kernel. */
void listeners_free(struct listeners *listeners);

#endif
