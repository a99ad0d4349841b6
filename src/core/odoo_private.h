/*
 * odoo_private.h: what the transports of odoo.h share.
 */
#ifndef VA_CORE_ODOO_PRIVATE_H
#define VA_CORE_ODOO_PRIVATE_H

#include "core/odoo.h"

/* Requests longer than this are not made: Odoo's own proxies refuse them. */
#define ODOO_MAX_REQUEST ((size_t) 16 * 1024 * 1024)

/* A formatted text on the heap; NULL when memory is short. */
char *odoo_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Adds "Name: value"; false when memory is short or the value could break the header. */
bool odoo_header(struct odoo_request *request, const char *name, const char *prefix,
				 const char *value);
/* Appended percent-encoded. False when memory is short. */
char *odoo_url_encode(const char *text);
/* The body is this JSON text; the object is released. */
bool odoo_body_json(struct odoo_request *request, struct json_object *body, struct va_error *err);

/* json-c reports exhausted memory at each step; these remember the first failure. */
void odoo_add(bool *failed, struct json_object *object, const char *key, struct json_object *value);
void odoo_append(bool *failed, struct json_object *array, struct json_object *value);

/* execute_kw's arguments for a call: [database, uid, secret, model, method, positional, named]. */
struct json_object *odoo_execute_kw(const struct odoo_login *login, const struct odoo_call *call,
									struct va_error *err);

/* The four printers and readers. */
bool odoo_json2_print(const struct odoo_login *login, const struct odoo_call *call,
					  struct odoo_request *out, struct va_error *err);
bool odoo_jsonrpc_print(const struct odoo_login *login, const char *service, const char *method,
						struct json_object *args, struct odoo_request *out, struct va_error *err);
bool odoo_xmlrpc_print(const struct odoo_login *login, const char *service, const char *method,
					   struct json_object *args, struct odoo_request *out, struct va_error *err);
bool odoo_rest_print(const struct odoo_login *login, const struct odoo_call *call,
					 struct odoo_request *out, struct va_error *err);
void odoo_json2_read(int status, const char *body, size_t len, struct odoo_answer *out);
void odoo_jsonrpc_read(int status, const char *body, size_t len, struct odoo_answer *out);
void odoo_xmlrpc_read(int status, const char *body, size_t len, struct odoo_answer *out);
void odoo_rest_read(int status, const char *body, size_t len, struct odoo_answer *out);

/* Any JSON text, `null` too: true and *value (NULL for null). */
bool odoo_json_value(const char *body, size_t len, struct json_object **value);

/* Fills in a fault. name and text may be NULL. */
void odoo_fault_set(struct odoo_answer *out, enum odoo_fault fault, const char *name,
					const char *text);
/* A fault by the class that Odoo names and its words, whichever way they came. */
void odoo_fault_of_class(struct odoo_answer *out, const char *name, const char *text);
/* A fault by the status of an answer that is none of Odoo's own. */
void odoo_fault_of_status(struct odoo_answer *out, int status, const char *text);

/* One value of XML-RPC, as strict as the format allows; see odoo_xml.c. */
enum odoo_xml_kind
{
	ODOO_XML_BROKEN,
	ODOO_XML_VALUE,
	ODOO_XML_FAULT
};
enum odoo_xml_kind odoo_xml_read(const char *body, size_t len, struct json_object **value,
								 struct va_error *err);
/* A whole methodCall on the heap; NULL with *err filled. */
char *odoo_xml_print(const char *method, struct json_object *params, size_t *len,
					 struct va_error *err);

#endif
