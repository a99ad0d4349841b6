/*
 * ultravox_request.h: is this a request body that Ultravox would take?
 */
#ifndef VA_SANDBOX_ULTRAVOX_REQUEST_H
#define VA_SANDBOX_ULTRAVOX_REQUEST_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

/* Checks the body of POST /api/calls strictly: unknown members, wrong types, durations, rates and
 * names are refused, with the place and the problem in error. */
bool ultravox_request_check(struct json_object *body, char *error, size_t size);

/* "0.384s" in milliseconds; -1 for anything else. */
long ultravox_duration_ms(const char *text);

/* The duration of a member in milliseconds, otherwise when it is absent. */
long ultravox_member_ms(struct json_object *object, const char *name, long otherwise);

/* Names of the client tools that the body declares, as a new array. */
struct json_object *ultravox_tool_names(struct json_object *body);

#endif
