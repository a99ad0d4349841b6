/*
 * odoo.h: one call to an Odoo server, printed for whichever of four transports it understands, and
 * what came back, read into one struct.
 *
 *   ODOO_JSON2     POST /json/2/<model>/<method>, an API key as bearer; Odoo 19 and later
 *   ODOO_JSONRPC   POST /jsonrpc, execute_kw; every version from 14 to 21
 *   ODOO_XMLRPC    POST /xmlrpc/2/object, execute_kw; the same, where a proxy lets only that through
 *   ODOO_REST      POST, PUT, GET /api/v2/<model>; a gateway module in front of Odoo, X-API-Key
 *
 * A caller describes a call once: model, method, the records it runs on and its named arguments.
 * Faults come in four shapes and dozens of class names; a caller sees one of a few kinds, each with
 * words for a person and a hint, and whether it is worth trying again.
 *
 * Wire facts: odoo.com documentation, "External JSON-2 API" (19.0) and "External RPC API" (18.0,
 * 19.0); Odoo's sources of 17.0 and 19.0 (addons/rpc, odoo/http.py).
 */
#ifndef VA_CORE_ODOO_H
#define VA_CORE_ODOO_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

enum odoo_transport
{
	ODOO_JSON2,
	ODOO_JSONRPC,
	ODOO_XMLRPC,
	ODOO_REST,
	ODOO_TRANSPORTS
};

/* "json2", "jsonrpc", "xmlrpc", "rest"; -1 when there is none of that name. */
const char *odoo_transport_name(enum odoo_transport transport);
int odoo_transport_find(const char *name);

/* Whom to talk to. Texts are the caller's; NULL where a transport does not need them. */
struct odoo_login
{
	const char *url; /* http:// or https://, no slash at the end */
	const char *database;
	const char *login;
	const char *secret; /* an API key; for the two RPC transports a password will do */
	int64_t uid; /* of the two RPC transports: what odoo_authenticate_print's answer said */
	const char *bearer; /* an OAuth2 token that takes the secret's place, or NULL */
	const char *rest_path; /* "/api/v2" */
	const char *rest_header; /* "X-API-Key" */
};

/* What to call. The objects are the caller's. */
struct odoo_call
{
	const char *model; /* "crm.lead" */
	const char *method; /* "write" */
	struct json_object *ids; /* array: the records it runs on; NULL for a method of the model */
	struct json_object *args; /* object of named arguments, or NULL */
	struct json_object *context; /* object, or NULL */
};

#define ODOO_HEADERS 8

/* An HTTP request, to be released with odoo_request_free. */
struct odoo_request
{
	const char *method; /* "POST" */
	char *url;
	char *headers[ODOO_HEADERS]; /* "Name: value", NULL-terminated */
	char *body; /* NUL-terminated; NULL for none */
	size_t body_len;
};

/* False with *err filled, and nothing to release, when this transport cannot say it (the REST
 * gateway has four verbs and no methods), when a name is not one, or when memory is short. No error
 * text quotes a secret. */
bool odoo_request_print(enum odoo_transport transport, const struct odoo_login *login,
						const struct odoo_call *call, struct odoo_request *out,
						struct va_error *err);
/* Asks for the user's id; of the two RPC transports only. The answer's value is the id, or false. */
bool odoo_authenticate_print(enum odoo_transport transport, const struct odoo_login *login,
							 struct odoo_request *out, struct va_error *err);
/* Asks for the version, which needs no login: GET /web/version (transport JSON-2: Odoo 19 and
 * later), or the service `common` of the RPC transports. */
bool odoo_version_print(enum odoo_transport transport, const struct odoo_login *login,
						struct odoo_request *out, struct va_error *err);
void odoo_request_free(struct odoo_request *request);

enum odoo_fault
{
	ODOO_OK,
	ODOO_ACCESS_DENIED, /* wrong or expired key, unknown user */
	ODOO_ACCESS_RIGHTS, /* the user may not do this */
	ODOO_SESSION_EXPIRED,
	ODOO_WRONG_DATABASE,
	ODOO_MISSING_RECORD, /* it was deleted */
	ODOO_MISSING_FIELD, /* this server has no such field */
	ODOO_MISSING_METHOD, /* no such model, method or path: not installed, or too old */
	ODOO_VALIDATION, /* a rule of the business, a required field, a broken link */
	ODOO_BAD_VALUE, /* a value of the wrong kind: our mistake */
	ODOO_BUSY, /* locked, or too many at once: soon again */
	ODOO_RATE, /* 429 */
	ODOO_DOWN, /* 502, 503, 504: the proxy answers in its place */
	ODOO_SERVER, /* anything else inside Odoo */
	ODOO_NOT_ODOO, /* a page, a redirect: not the address of an Odoo */
	ODOO_GARBAGE, /* an answer that cannot be read */
	ODOO_FAULTS
};

#define ODOO_NAME_SIZE 80
#define ODOO_TEXT_SIZE 400

struct odoo_answer
{
	enum odoo_fault fault;
	struct json_object *value; /* of a success; NULL for null. Released by odoo_answer_clear */
	char name[ODOO_NAME_SIZE]; /* the class as Odoo names it: "odoo.exceptions.AccessError" */
	char text[ODOO_TEXT_SIZE]; /* Odoo's own words, one line, UTF-8 */
};

/* Reads a reply. Never fails: what cannot be understood is a fault too. `out` need not be cleared
 * before. */
void odoo_reply_read(enum odoo_transport transport, int status, const char *body, size_t len,
					 struct odoo_answer *out);
void odoo_answer_clear(struct odoo_answer *answer);

/* The kind's name for tables and logs: "access_rights". */
const char *odoo_fault_name(enum odoo_fault fault);
/* What it means and what to do about it, in plain words. */
const char *odoo_fault_meaning(enum odoo_fault fault);
const char *odoo_fault_hint(enum odoo_fault fault);
/* May the same request succeed later without anybody doing something? */
bool odoo_fault_passes(enum odoo_fault fault);

#endif
