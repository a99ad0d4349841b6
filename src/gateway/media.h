/*
 * media.h: the socket of a Twilio media stream, up to the call it belongs to.
 */
#ifndef VA_GATEWAY_MEDIA_H
#define VA_GATEWAY_MEDIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/http_server.h"
#include "net/ws.h"

struct gateway;
struct media;

/* The upgrade handler of the server: 0 when the signature is right under the token of one of our
 * accounts, else the status to refuse with. */
int media_upgrade(struct gateway *g, const struct http_request *req, struct ws_limits *limits,
				  const struct ws_handlers **handlers, void **arg,
				  struct http_exchange *headers_of);

/* Ends the stream from our side; no upcall to the call follows. */
void media_close(struct media *m, int code, const char *reason);
struct ws *media_ws(struct media *m);

/* Closes streams that do not begin. */
void media_tick_all(struct gateway *g, uint64_t now_us);
void media_shutdown_all(struct gateway *g);

#endif
