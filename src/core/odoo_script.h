/*
 * odoo_script.h: a few calls to Odoo that belong together, and what each hands to the next.
 *
 * What has to be done, in which order and with which values, is decided in SQL, where the rules are.
 * But some of it depends on what Odoo answers: the id of a tag that may have to be made first, a
 * field that somebody changed in the meantime and that must not be overwritten. So SQL writes a
 * script, a list of steps, and this module walks it: it knows no model and no rule.
 *
 *   {"context": {...}, "steps": [
 *     {"as": "tag", "take": "id", "soft": true,
 *      "call": {"model": "crm.tag", "method": "search", "args": {"domain": [["name", "=", "hot"]]}}},
 *     {"as": "tag", "take": "id", "unless": "tag",
 *      "call": {"model": "crm.tag", "method": "create", "args": {"vals_list": [{"name": "hot"}]}}},
 *     {"call": {"model": "crm.lead", "method": "write", "ids": [42],
 *               "args": {"vals": {"tag_ids": [[4, {"$": "tag"}]]}}}}]}
 *
 *   as      binds what is taken of the answer to a name
 *   take    "id" (of whatever shape an answer has), "row" (the first one), "value" (all; the default)
 *   value   binds this and calls nothing
 *   if, unless   the step is for when a name ("row", "row.active") is bound to something, or nothing
 *   same    {"as": "row", "base": {...}}: only while the row has the values of base
 *   keep    the same for each single value of `vals`: those changed meanwhile are left out
 *   writes  names of fields this step counts as having written, beside those of `vals`
 *   soft    true, or a list of faults: such a fault is a warning, and nothing is bound
 *   need    {"code", "text", "hint"}: when nothing was bound the script ends with this failure
 *
 * {"$": name} stands for what is bound to the name; bound to nothing, the member or element that
 * would hold it is left out, and with it a list that holds other things beside it: [4, x].
 */
#ifndef VA_CORE_ODOO_SCRIPT_H
#define VA_CORE_ODOO_SCRIPT_H

#include "core/odoo.h"

#define ODOO_SCRIPT_MAX_STEPS 100

struct odoo_script;

enum odoo_next
{
	ODOO_NEXT_CALL, /* *call is to be made, and its answer given to odoo_script_answer */
	ODOO_NEXT_DONE,
	ODOO_NEXT_FAILED /* odoo_script_failure says why */
};

/* A script over {"steps", "context"}, which must live as long. NULL with *err filled when it is none,
 * or memory is short. */
struct odoo_script *odoo_script_new(struct json_object *request, struct va_error *err);
void odoo_script_free(struct odoo_script *script);

/* Walks on to the next call. Its objects belong to the script and hold until the answer is given. */
enum odoo_next odoo_script_next(struct odoo_script *script, struct odoo_call *call);
/* Does the call that odoo_script_next has just given change anything in Odoo? */
bool odoo_script_writes(const struct odoo_script *script);
void odoo_script_answer(struct odoo_script *script, const struct odoo_answer *answer);

/* Binds a name from outside the script. */
void odoo_script_bind(struct odoo_script *script, const char *name, struct json_object *value);

struct odoo_failure
{
	enum odoo_fault fault; /* ODOO_OK when the failure is a step's `need` */
	const char *code;
	const char *text;
	const char *hint;
};
void odoo_script_failure(const struct odoo_script *script, struct odoo_failure *failure);

/* {"values": {...}, "written": [...], "warnings": [{"as", "code", "text"}]}, a new reference. */
struct json_object *odoo_script_result(const struct odoo_script *script);

/* Are these the same to Odoo? false is null, [7, "label"] is 7, 2.0 is 2. */
bool odoo_same_value(struct json_object *a, struct json_object *b);

#endif
