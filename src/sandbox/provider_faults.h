/*
 * provider_faults.h: what the stand-ins for services do wrong on purpose.
 *
 * A fault is a JSON object (POST /sandbox/faults while the program runs, or --fault):
 *
 *	{"prefix": "/twilio",    which stand-in; absent: all
 *	 "path": "/Messages",    only where the path contains this
 *	 "method": "POST",       only this method
 *	 "skip": 2, "times": 3,  lets two pass, then strikes three times (absent: until cleared)
 *	 "percent": 20,          strikes by chance
 *	 "status": 503,          answers so; "retry_after": seconds, "body": text, "content_type"
 *	 "when": "after",        …but does what it was asked for first; "before" (default): it does not
 *	 "slow_ms": 2000,        does it, and answers late
 *	 "cut": "before",        closes the connection without doing it; "after": having done it;
 *	                         "body": in the middle of the answer
 *	 "garbage": true,        does it, and answers nonsense with 200
 *	 "redirect": "http://…", answers 307 and does not do it
 *	 "flags": ["…"]}         misbehaviour that a stand-in knows itself
 *
 * DELETE /sandbox/faults clears all of them.
 */
#ifndef VA_SANDBOX_PROVIDER_FAULTS_H
#define VA_SANDBOX_PROVIDER_FAULTS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

enum fault_cut
{
	CUT_NONE,
	CUT_BEFORE,
	CUT_AFTER,
	CUT_BODY
};

struct provider_fault
{
	struct provider_fault *next;
	struct json_object *spec; /* holds the texts */
	const char *prefix, *path, *method, *body, *content_type, *redirect;
	struct json_object *flags; /* array, or NULL */
	unsigned skip, times, percent; /* times 0: without end */
	unsigned status, slow_ms;
	int retry_after; /* -1: no header */
	bool after; /* the effect happens before the status is answered */
	bool spent;
	enum fault_cut cut;
	bool garbage;
};

struct provider_faults;

struct provider_faults *provider_faults_new(void);
void provider_faults_free(struct provider_faults *faults);
/* Adds one; false with the reason. Takes a reference of its own. */
bool provider_faults_add(struct provider_faults *faults, struct json_object *spec, char *error,
						 size_t size);
void provider_faults_clear(struct provider_faults *faults);
/* The first fault that strikes this request, counted, or NULL. It lives until it is cleared. */
const struct provider_fault *provider_faults_strike(struct provider_faults *faults,
													const char *prefix, const char *method,
													const char *path);

#endif
