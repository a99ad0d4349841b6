/*
 * faults.h: what a stand-in engine does wrong on purpose.
 *
 * A specification is a list such as "create_429=2,retry_after=1" or "drop_after_ms=4000". It comes
 * from --fault, $VOICEAGENT_SANDBOX_FAULT, POST /sandbox/faults, or from a session's own settings
 * (member "fault"). Faults that strike a number of times are counted over the whole engine and per
 * specification, so that a session that is created again after a cut is not cut for ever.
 */
#ifndef VA_SANDBOX_FAULTS_H
#define VA_SANDBOX_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

struct faults
{
	unsigned create_429; /* so many creations are refused with 429 */
	unsigned retry_after; /* seconds, with these */
	unsigned create_500; /* so many creations fail with 500 */
	unsigned slow_create_ms; /* every creation takes so long */
	unsigned drop_after_ms; /* the socket is cut so long after it opened */
	unsigned drops; /* so many times (1 unless given) */
	bool never_ready; /* no call_started, no session.created, no audio */
	bool garbage; /* messages that make no sense among the good ones */
	bool silence; /* the agent hears and never answers */
};

struct fault_book;

struct fault_book *fault_book_new(void);
void fault_book_free(struct fault_book *book);
/* The faults of a specification, the same object for the same text; NULL with the reason. The
 * empty text has none. */
struct faults *fault_book_get(struct fault_book *book, const char *spec, char *error, size_t size);

#endif
