/*
 * odoo_hook.c: see odoo_hook.h.
 *
 * Odoo waits one second for the answer and sends a webhook once. Should the database be slower, the
 * next look at Odoo (setting odoo.pull_minutes) brings the change anyway.
 */
#include "gateway/odoo_hook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "net/db.h"

#define TIMEOUT_MS 5000
#define TOKEN_MAX 100

static void
answer(struct http_exchange *ex, int status, const char *body)
{
	http_answer(ex, status, "application/json", body, strlen(body), NULL);
}

static void
answered(void *arg, const struct db_reply *reply)
{
	int status = 503;

	if (reply->outcome == DB_OK && PQntuples(reply->result) == 1)
		status = (int) strtol(PQgetvalue(reply->result, 0, 0), NULL, 10);
	answer(arg, status, status == 200 ? "{\"status\":\"ok\"}\n" : "{\"status\":\"error\"}\n");
}

void
odoo_hook(struct gateway *g, struct http_exchange *ex, const struct http_request *req,
		  const char *token)
{
	struct va_error err = {""};
	struct json_object *body = json_parse(req->body, req->body_len, &err);
	const char *values[] = {
		token, body != NULL ? json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN) : NULL};

	if (req->body_too_large)
	{
		gateway_reject(g, REJECT_TOO_LARGE);
		answer(ex, 413, "{\"status\":\"error\"}\n");
	}
	else if (!json_object_is_type(body, json_type_object))
	{
		gateway_reject(g, REJECT_MALFORMED);
		answer(ex, 400, "{\"status\":\"error\"}\n");
	}
	else if (token[0] == '\0' || strlen(token) > TOKEN_MAX)
	{
		gateway_reject(g, REJECT_NOT_FOUND);
		answer(ex, 404, "{\"status\":\"error\"}\n");
	}
	else
		db_request(g->db, db_affinity(token), g->sql.texts[SQL_WEBHOOK_ODOO], 2, values, TIMEOUT_MS,
				   answered, ex);
	json_object_put(body);
}
