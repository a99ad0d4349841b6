/*
 * odoo_xml_text.h: XML-RPC for the stand-in, read and written without a line of the product's own.
 */
#ifndef VA_SANDBOX_ODOO_XML_TEXT_H
#define VA_SANDBOX_ODOO_XML_TEXT_H

#include <json-c/json.h>

/* The parameters of a methodCall, an array, and its name (freed by the caller); NULL when broken. */
struct json_object *odoo_xml_text_call(const char *body, char **method);
/* A methodResponse, freed by the caller. fault_code 0: none. */
char *odoo_xml_text_response(struct json_object *value, int fault_code, const char *fault);

#endif
