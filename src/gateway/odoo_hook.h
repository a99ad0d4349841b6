/*
 * odoo_hook.h: Odoo says that a lead was changed there.
 */
#ifndef VA_GATEWAY_ODOO_HOOK_H
#define VA_GATEWAY_ODOO_HOOK_H

#include "gateway/gateway.h"
#include "net/http_server.h"

#define ODOO_HOOK_PATH "/webhook/odoo/"

/* Answers a POST to ODOO_HOOK_PATH with a token behind it. Odoo signs nothing; the token is looked up
 * in the database, and what it allows is one question to Odoo about a record. */
void odoo_hook(struct gateway *g, struct http_exchange *ex, const struct http_request *req,
			   const char *token);

#endif
