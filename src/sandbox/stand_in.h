/*
 * stand_in.h: a stand-in for one outside service behind `voiceagent sandbox providers`.
 *
 * The host program owns the socket, the ledger and the faults; a stand-in owns a path prefix and
 * its own state, and answers as the real service documents it. It writes to the ledger what it was
 * asked to do and what it did, so that a test can count doubles and losses.
 */
#ifndef VA_SANDBOX_STAND_IN_H
#define VA_SANDBOX_STAND_IN_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "sandbox/ledger.h"

struct loop;
struct http_client;
struct provider_fault;
struct provider_faults;
struct stand_in_exchange; /* one request awaiting its answer */

struct stand_in_request
{
	const char *method;
	const char *path; /* behind the prefix: "/2010-04-01/Accounts/AC1/Messages.json" */
	const char *query; /* raw, "" when there is none */
	const char *host;
	const char *content_type;
	const char *body; /* NUL-terminated */
	size_t body_len;
};

/* What the host gives to a stand-in. */
struct stand_in_host
{
	struct loop *loop;
	struct http_client *http; /* for callbacks to the product */
	struct ledger *ledger;
	struct provider_faults *faults;
	const char *base_url; /* of the host: "http://127.0.0.1:4321" */
};

struct stand_in
{
	const char *prefix; /* "/twilio"; the product's base URL is base_url + prefix */
	void *(*open)(const struct stand_in_host *host);
	void (*request)(void *self, struct stand_in_exchange *ex,
					const struct stand_in_request *request);
	void (*close)(void *self);
};

/* All of them, NULL-terminated: the table in stand_ins.c. */
extern const struct stand_in *const stand_ins[];

/* Has a test asked for this misbehaviour of the stand-in's own in this request? (Member "flags" of a
 * fault: "duplicate_callbacks", "reorder_callbacks", … : a stand-in says which it knows.) During
 * `request` only. */
bool stand_in_flag(struct stand_in_exchange *ex, const char *name);

/* For a stand-in with a socket of its own: the fault that strikes this, as the host finds it for
 * HTTP, counted and in the ledger; NULL: none. */
const struct provider_fault *stand_in_strike(const struct stand_in_host *host, const char *prefix,
											 const char *method, const char *path);

/* A request header by lower-case name, "" when absent; during `request` only. */
const char *stand_in_header(struct stand_in_exchange *ex, const char *name);
/* Answers once, now or later. The host may have been told to answer otherwise (a fault) before or
 * after the stand-in did its work; the stand-in does not notice. extra_headers as in http_answer. */
void stand_in_answer(struct stand_in_exchange *ex, int status, const char *content_type,
					 const char *body, size_t len, const char *extra_headers);
/* The same with a JSON body, which is released. */
void stand_in_answer_json(struct stand_in_exchange *ex, int status, struct json_object *body);

#endif
