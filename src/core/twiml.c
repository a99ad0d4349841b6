/*
 * twiml.c: a small writer of TwiML.
 *
 * Well-formedness (XML 1.0) is kept by construction: names are letters, an attribute appears once
 * in its tag, text is escaped, elements close in order, there is one root. The first failure is
 * kept and everything after it ignored, so a caller checks once, at the end.
 */
#include "core/twiml.h"

#include <string.h>

#include "core/utf8.h"

static void
fail(struct twiml *t, const char *problem, const char *name)
{
	if (t->failed)
		return;
	t->failed = true;
	va_fail(&t->error, "TwiML: %s%s%s", problem, name[0] != '\0' ? " " : "", name);
}

/* Twilio's names are camel case; no other characters are needed. */
static bool
is_name(const char *name)
{
	if (name == NULL || name[0] == '\0')
		return false;
	for (; *name != '\0'; name++)
		if (!((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z')))
			return false;
	return true;
}

/* What stands for one ASCII character, or NULL when it may stand for itself. Line ends and tabs
 * are written as references where a reader would otherwise change them into something else. */
static const char *
reference(char c, bool in_attribute)
{
	switch (c)
	{
		case '&': return "&amp;";
		case '<': return "&lt;";
		case '>': return "&gt;";
		case '"': return "&quot;";
		case '\'': return "&apos;";
		case '\r': return "&#13;";
		case '\n': return in_attribute ? "&#10;" : NULL;
		case '\t': return in_attribute ? "&#9;" : NULL;
		default: return NULL;
	}
}

/* True for a well-formed character that XML 1.0 forbids all the same. */
static bool
is_forbidden(const char *text, size_t length)
{
	if (length == 1)
		return (unsigned char) *text < 0x20 && *text != '\t' && *text != '\n' && *text != '\r';
	/* U+FFFE and U+FFFF */
	return length == 3 &&
		   (memcmp(text, "\xEF\xBF\xBE", 3) == 0 || memcmp(text, "\xEF\xBF\xBF", 3) == 0);
}

static void
write_escaped(struct twiml *t, const char *text, bool in_attribute)
{
	size_t left = strlen(text);

	while (left > 0)
	{
		size_t length = utf8_sequence(text, left);
		const char *escape = length == 1 ? reference(*text, in_attribute) : NULL;

		if (length == 0)
		{
			fail(t, "text is not valid UTF-8", "");
			return;
		}
		if (is_forbidden(text, length))
		{
			fail(t, "text has a character that XML forbids", "");
			return;
		}
		if (escape != NULL)
			buf_str(t->out, escape);
		else
			buf_add(t->out, text, length);
		text += length;
		left -= length;
	}
}

/* Writes the ">" of a start tag that is still open. */
static void
finish_tag(struct twiml *t)
{
	if (t->in_tag)
		buf_char(t->out, '>');
	t->in_tag = false;
}

/* Has the tag under way an attribute of this name? Reads it back from the output, where neither
 * "<" nor a quote can be part of a value. The tag is there, so its "<" is. */
static bool
has_attribute(const struct twiml *t, const char *name)
{
	size_t len = strlen(name);
	const char *end = t->out->data + t->out->len;
	const char *at = end;

	while (*--at != '<')
		;
	while (at != NULL && (at = memchr(at, ' ', (size_t) (end - at))) != NULL)
	{
		at++;
		if ((size_t) (end - at) > len && memcmp(at, name, len) == 0 && at[len] == '=')
			return true;
		/* Over the value: behind its second quote. */
		at = memchr(at, '"', (size_t) (end - at));
		if (at != NULL)
			at = memchr(at + 1, '"', (size_t) (end - at - 1));
	}
	return false;
}

void
twiml_begin(struct twiml *t, struct buf *out)
{
	memset(t, 0, sizeof(*t));
	t->out = out;
	buf_str(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
	twiml_open(t, "Response");
}

void
twiml_open(struct twiml *t, const char *name)
{
	if (t->failed)
		return;
	if (!is_name(name))
		fail(t, "element name is not made of letters", "");
	else if (t->depth == TWIML_MAX_DEPTH)
		fail(t, "elements are nested too deeply at", name);
	else
	{
		finish_tag(t);
		buf_char(t->out, '<');
		buf_str(t->out, name);
		t->open[t->depth++] = name;
		t->in_tag = true;
	}
}

void
twiml_attribute(struct twiml *t, const char *name, const char *value)
{
	if (t->failed || t->out->overflow)
		return;
	if (!t->in_tag)
		fail(t, "attribute outside of a start tag", "");
	else if (!is_name(name))
		fail(t, "attribute name is not made of letters", "");
	else if (value == NULL)
		fail(t, "no value for attribute", name);
	else if (has_attribute(t, name))
		fail(t, "repeated attribute", name);
	else
	{
		buf_char(t->out, ' ');
		buf_str(t->out, name);
		buf_str(t->out, "=\"");
		write_escaped(t, value, true);
		buf_char(t->out, '"');
	}
}

void
twiml_text(struct twiml *t, const char *text)
{
	if (t->failed || text == NULL || text[0] == '\0')
		return;
	finish_tag(t);
	write_escaped(t, text, false);
}

/* Closes the innermost element, the root included. */
static void
close_element(struct twiml *t)
{
	const char *name = t->open[--t->depth];

	if (t->in_tag)
		buf_str(t->out, "/>");
	else
	{
		buf_str(t->out, "</");
		buf_str(t->out, name);
		buf_char(t->out, '>');
	}
	t->in_tag = false;
}

void
twiml_close(struct twiml *t)
{
	if (t->failed)
		return;
	if (t->depth <= 1)
		fail(t, "nothing is open that could be closed", "");
	else
		close_element(t);
}

bool
twiml_end(struct twiml *t)
{
	while (!t->failed && t->depth > 0)
		close_element(t);
	if (t->out->overflow)
		fail(t, "document does not fit into its buffer", "");
	else if (t->out->len > TWIML_MAX_BYTES)
		fail(t, "document is larger than 64 kB", "");
	return !t->failed;
}
