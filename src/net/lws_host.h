/*
 * lws_host.h: libwebsockets on the loop: one context, one virtual host for sockets we hand over
 * and one for connections it opens. Internal to net.
 */
#ifndef VA_NET_LWS_HOST_H
#define VA_NET_LWS_HOST_H

#include <libwebsockets.h>

struct loop;
struct lws_host;

/* Made at the first use on a loop, torn down with it. NULL, with the reason logged, when the
 * libuv plug-in of libwebsockets is not installed. */
struct lws_host *lws_host_of(struct loop *loop);
struct lws_vhost *lws_host_server(struct lws_host *host);
struct lws_vhost *lws_host_client(struct lws_host *host);
struct lws_context *lws_host_context(struct lws_host *host);

/* The one callback of both virtual hosts (ws.c). */
int ws_lws_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
					size_t len);

#endif
