/*
 * routes.h: which request goes where. One table; adding an end point adds a line.
 */
#ifndef VA_GATEWAY_ROUTES_H
#define VA_GATEWAY_ROUTES_H

#include "gateway/gateway.h"
#include "net/http_server.h"

/* Handlers for the HTTP server; arg is the gateway. */
extern const struct http_server_handlers routes_handlers;

#define ROUTES_MAX_BODY (64 * 1024)

#endif
