/*
 * ledger.h: what a stand-in was asked for and did, one JSON object a line.
 *
 * Tests count in it: doubles, losses, what was said and heard. Every line has "at" (wall clock, ms
 * since 1970), "who" (caller or engine), "id" (CallSid or engine session) and "event".
 */
#ifndef VA_SANDBOX_LEDGER_H
#define VA_SANDBOX_LEDGER_H

#include <json-c/json.h>
#include <stdint.h>

struct ledger;

/* Appends to path ("-" = standard output). NULL path: a ledger that drops everything. NULL with
 * errno set when the file cannot be opened. */
struct ledger *ledger_open(const char *path, const char *who);
void ledger_close(struct ledger *ledger);

/* Begins a line; members may be added with json_put_*. */
struct json_object *ledger_line(struct ledger *ledger, const char *id, const char *event);
/* Writes it in one write(2) and releases it. */
void ledger_write(struct ledger *ledger, struct json_object *line);
/* A line with one text member (name NULL = none). */
void ledger_note(struct ledger *ledger, const char *id, const char *event, const char *name,
				 const char *value);
/* Gets every line too (for output to a person); line stays the ledger's. */
void ledger_watch(struct ledger *ledger, void (*seen)(void *arg, struct json_object *line),
				  void *arg);

#endif
