/*
 * odoo_store.h: what the stand-in for Odoo remembers, and what its methods do.
 *
 * Records of a dozen models in memory, external ids, searches with the usual operators, and those
 * rules of Odoo 19 that a client stumbles over: unknown fields, wrong selections, archived leads
 * that searches do not see, activities without a model, times that are not in its one format.
 */
#ifndef VA_SANDBOX_ODOO_STORE_H
#define VA_SANDBOX_ODOO_STORE_H

#include <json-c/json.h>

#include "sandbox/ledger.h"

struct odoo_store;

/* A call as it came, whatever way. Objects are the caller's, and may be NULL. */
struct odoo_question
{
	const char *model;
	const char *method;
	struct json_object *ids;
	struct json_object *args; /* by name */
	struct json_object *context;
};

/* What went wrong, as Odoo names it; status 0: nothing did. */
struct odoo_error
{
	int status; /* of JSON-2 */
	const char *name; /* "odoo.exceptions.MissingError" */
	char message[300];
};

struct odoo_store *odoo_store_new(struct ledger *ledger);
void odoo_store_free(struct odoo_store *store);
/* The answer (NULL for None), a new reference; or NULL with *error filled. */
struct json_object *odoo_store_call(struct odoo_store *store, const struct odoo_question *question,
									struct odoo_error *error);

#endif
