/*
 * twilio_rest.h: requests to Twilio's REST API and what comes back.
 *
 * Bytes in, structs out: forms and addresses are built here, resources, lists and errors are read
 * here, and Twilio's error codes are put into plain words. Nothing is sent here.
 *
 * Sources: twilio.com/docs/usage/twilios-request ("Requests to Twilio"), /usage/twilios-response,
 * /voice/api/call-resource, /messaging/api/message-resource, /api/errors.
 */
#ifndef VA_CORE_TWILIO_REST_H
#define VA_CORE_TWILIO_REST_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/error.h"
#include "core/twilio_codes.h"

#define TWILIO_REST_SID_SIZE 40
#define TWILIO_REST_TEXT_SIZE 512
#define TWILIO_REST_URL_SIZE 2048

/* The address of an account's resource: base, version, account and path ("Calls.json", or with a
 * query). False when the account is no SID, the path could lead elsewhere, or it does not fit. */
bool twilio_rest_url(struct buf *out, const char *base, const char *account, const char *path,
					 struct va_error *err);
/* The address of a list's next page: base and what Twilio named, which must be a path of the same
 * account. */
bool twilio_rest_next_url(struct buf *out, const char *base, const char *account, const char *uri,
						  struct va_error *err);

/* "name=value" in a form or a query, after an "&" when out is not empty. */
void twilio_rest_field(struct buf *out, const char *name, const char *value);
/* A form of an object: texts, numbers and booleans; of an array each element under the same name;
 * null is left out. False for anything else, or when it does not fit. */
bool twilio_rest_form(struct buf *out, struct json_object *form, struct va_error *err);

/* What calls, messages, participants and recordings have in common. */
struct twilio_rest_resource
{
	char sid[TWILIO_REST_SID_SIZE]; /* of a participant its call's */
	char status[32];
	char to[64];
	char from[64];
	int64_t created; /* seconds since 1970; -1: not said */
	int error_code; /* of a message; 0: none */
};

/* Reads one resource. False when it is none: not JSON, or without a SID. */
bool twilio_rest_resource(const char *body, size_t len, struct twilio_rest_resource *out,
						  struct va_error *err);

struct twilio_rest_error
{
	int code; /* Twilio's, 0 when it gave none */
	char message[TWILIO_REST_TEXT_SIZE];
};

/* Reads the body of a refusal. False, with out zeroed, when it is not Twilio's. */
bool twilio_rest_error(const char *body, size_t len, struct twilio_rest_error *out);

/* What an attempt whose outcome is unknown would have left behind. */
struct twilio_rest_wanted
{
	const char *list; /* "calls" or "messages" */
	const char *to;
	const char *from; /* NULL: any */
	const char *body; /* of a message; NULL: any */
	int64_t since; /* seconds since 1970: created then or later */
	struct json_object *known; /* array of SIDs that belong to others; NULL: none */
};

struct twilio_rest_found
{
	unsigned count; /* how many fit, over all pages read into this */
	struct twilio_rest_resource first;
	char next[TWILIO_REST_URL_SIZE]; /* of the next page; "" on the last */
};

/* Reads a page of a list into *found, which starts out zeroed. False when it is no such list. */
bool twilio_rest_find(const char *body, size_t len, const struct twilio_rest_wanted *wanted,
					  struct twilio_rest_found *found, struct va_error *err);

/* "Tue, 06 Oct 2026 15:00:00 +0000" in seconds since 1970; -1 when it is no such date. */
int64_t twilio_rest_date(const char *text);

#endif
