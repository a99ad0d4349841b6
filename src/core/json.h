/*
 * json.h: json-c, made strict.
 *
 * json-c 0.16 as it comes accepts comments, NaN, single quotes, trailing junk, invalid UTF-8 and
 * \u0000 (which jsonb refuses later). Every JSON text from outside passes through json_parse,
 * which refuses all of these, nests at most JSON_MAX_DEPTH deep, and never clamps or guesses.
 */
#ifndef VA_CORE_JSON_H
#define VA_CORE_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

#define JSON_MAX_DEPTH 32

/* The parsed value, to be released with json_object_put; NULL with *err filled when it is not one
 * complete JSON text. (The JSON text `null` is refused too: no message of ours is just null.) */
struct json_object *json_parse(const char *text, size_t len, struct va_error *err);

/* Is this one complete JSON text that json_parse would take (or `null`)? Allocates nothing; the
 * one thing it does not see is a number beyond the range of a double. */
bool json_check(const char *text, size_t len, struct va_error *err);

/* Members of an object. Each returns the fallback when obj is not an object, the member is absent
 * or null, or has another type: a string is never read as a number or the reverse. Returned
 * strings live as long as obj. */
struct json_object *json_member(struct json_object *obj, const char *key);
const char *json_text(struct json_object *obj, const char *key, const char *fallback);
bool json_integer(struct json_object *obj, const char *key, int64_t *value);
bool json_number(struct json_object *obj, const char *key, double *value);
bool json_flag(struct json_object *obj, const char *key, bool fallback);

#endif
