/*
 * twiml.h: a small writer of TwiML, Twilio's XML, that cannot produce a broken document.
 *
 * Names are checked (ASCII letters only), text and attributes are escaped, characters that XML 1.0
 * forbids and invalid UTF-8 are refused, elements are closed in order, and the result is held to
 * Twilio's limit of 64 kB.
 */
#ifndef VA_CORE_TWIML_H
#define VA_CORE_TWIML_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/error.h"

#define TWIML_MAX_BYTES (64 * 1000)
#define TWIML_MAX_DEPTH 8

struct twiml
{
	struct buf *out;
	const char *open[TWIML_MAX_DEPTH]; /* names of the open elements; must outlive the writer */
	int depth;
	bool in_tag; /* "<Verb" is written, its ">" not yet */
	bool failed;
	struct va_error error; /* why, once failed */
};

/* Writes the XML declaration and <Response>. */
void twiml_begin(struct twiml *t, struct buf *out);
/* After a failure all of these do nothing; twiml_end reports it. */
void twiml_open(struct twiml *t, const char *name);
void twiml_attribute(struct twiml *t, const char *name, const char *value);
void twiml_text(struct twiml *t, const char *text);
void twiml_close(struct twiml *t);
/* Closes what is open. False, with t->error filled, when anything failed or did not fit. */
bool twiml_end(struct twiml *t);

#endif
