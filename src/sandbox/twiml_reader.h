/*
 * twiml_reader.h: a TwiML document, read as strictly as Twilio reads it.
 *
 * A small XML reader for what TwiML uses: elements, attributes, text, the five named entities and
 * character references, comments, CDATA. A document type, processing instructions inside, unknown
 * verbs and unknown attributes are errors: Twilio answers them with a spoken apology, so a
 * stand-in that let them pass would be worth nothing.
 */
#ifndef VA_SANDBOX_TWIML_READER_H
#define VA_SANDBOX_TWIML_READER_H

#include <stdbool.h>
#include <stddef.h>

#define TWIML_MAX_SIZE (64 * 1024)
#define TWIML_MAX_ATTRIBUTES 16

struct twiml_attribute
{
	char *name;
	char *value;
};

struct twiml_node
{
	char *name; /* NULL at the root's text only */
	struct twiml_attribute attributes[TWIML_MAX_ATTRIBUTES];
	size_t attribute_count;
	char *text; /* all text of the element, trimmed; never NULL */
	struct twiml_node *child;
	struct twiml_node *next;
};

/* The <Response>; NULL with "line N: problem (error code of Twilio)". */
struct twiml_node *twiml_read(const char *text, size_t len, char *error, size_t size);
void twiml_free(struct twiml_node *node);

/* An attribute's value, otherwise when absent. */
const char *twiml_attr(const struct twiml_node *node, const char *name, const char *otherwise);
const struct twiml_node *twiml_child(const struct twiml_node *node, const char *name);

#endif
