/*
 * scrub.h: keeps secrets out of what is logged, stored and shown.
 */
#ifndef VA_DISPATCHER_SCRUB_H
#define VA_DISPATCHER_SCRUB_H

#include <json-c/json.h>
#include <stddef.h>

/* Copies text, cut to size, without control characters and with every secret of the request (the
 * strings of members named …token, …key, …secret, …password, authorization) replaced by "***". The
 * result is UTF-8: bytes that are not become '?'. request may be NULL. */
void scrub_text(char *to, size_t size, const char *text, struct json_object *request);

#endif
