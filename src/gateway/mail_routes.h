/*
 * mail_routes.h: what comes in about e-mail.
 *
 *	POST /webhook/email/events[?tenant=ID]          SendGrid's signed Event Webhook
 *	POST /webhook/email/inbound[?tenant=ID&token=T] SendGrid's Inbound Parse
 *	GET, POST /unsubscribe?t=TOKEN                  the link in our mails
 *
 * tenant: whose keys the request is checked with; without it the platform's.
 */
#ifndef VA_GATEWAY_MAIL_ROUTES_H
#define VA_GATEWAY_MAIL_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/gateway.h"
#include "net/http_server.h"

/* Answers the request, now or later; false when its path is none of these. */
bool mail_routes_serve(struct gateway *g, struct http_exchange *ex, const struct http_request *req);

/* How many bytes of body such a request may have; 0 when its path is none of these. */
size_t mail_routes_limit(struct gateway *g, struct http_exchange *ex,
						 const struct http_request *req);

#endif
