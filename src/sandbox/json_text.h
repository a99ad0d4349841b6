/*
 * json_text.h: reading JSON strictly, for the sandbox alone.
 *
 * json-c by default takes comments, trailing junk and invalid UTF-8. A stand-in that swallowed
 * these would hide faults of the program it is there to test.
 */
#ifndef VA_SANDBOX_JSON_TEXT_H
#define VA_SANDBOX_JSON_TEXT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

/* The object in text, or NULL with "line N: what is wrong" in error. Only an object will do. */
struct json_object *json_text_object(const char *text, size_t len, char *error, size_t size);

/* A member as text, "" when it is absent or of another type. */
const char *json_text_member(struct json_object *object, const char *name);
/* A member as object or array of that type, else NULL. */
struct json_object *json_text_child(struct json_object *object, const char *name,
									enum json_type type);

/* Adds a member. */
void json_put_text(struct json_object *object, const char *name, const char *value);
void json_put_int(struct json_object *object, const char *name, long long value);
void json_put_bool(struct json_object *object, const char *name, bool value);

#endif
