/*
 * twiml_reader.c: recursive descent over a TwiML document, then a look at its vocabulary.
 *
 * Source of the vocabulary: twilio.com/docs/voice/twiml and the page of each verb.
 */
#include "sandbox/twiml_reader.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 8

struct reader
{
	const char *start;
	const char *at;
	const char *end;
	char *error;
	size_t size;
	bool ok;
};

static void problem(struct reader *r, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void
problem(struct reader *r, const char *format, ...)
{
	unsigned line = 1;
	va_list args;
	int n;

	if (!r->ok)
		return;
	r->ok = false;
	for (const char *p = r->start; p < r->at && p < r->end; p++)
		line += *p == '\n';
	n = snprintf(r->error, r->size, "line %u: ", line);
	va_start(args, format);
	if (n > 0 && (size_t) n < r->size)
		vsnprintf(r->error + n, r->size - (size_t) n, format, args);
	va_end(args);
}

static bool
starts(const struct reader *r, const char *text)
{
	size_t len = strlen(text);

	return (size_t) (r->end - r->at) >= len && memcmp(r->at, text, len) == 0;
}

/* Moves behind the next mark. */
static bool
skip_behind(struct reader *r, const char *mark)
{
	for (; r->at < r->end; r->at++)
		if (starts(r, mark))
		{
			r->at += strlen(mark);
			return true;
		}
	problem(r, "document ends before \"%s\" (12100)", mark);
	return false;
}

static void
skip_space(struct reader *r)
{
	while (r->at < r->end && strchr(" \t\r\n", *r->at))
		r->at++;
}

static char *
take_name(struct reader *r)
{
	const char *from = r->at;

	while (r->at < r->end && (isalnum((unsigned char) *r->at) || strchr("_-.:", *r->at)))
		r->at++;
	if (r->at == from || !isalpha((unsigned char) *from))
	{
		problem(r, "a name was expected (12100)");
		return strdup("");
	}
	return strndup(from, (size_t) (r->at - from));
}

static void
put_utf8(FILE *out, unsigned long c)
{
	if (c < 0x80)
		fputc((int) c, out);
	else if (c < 0x800)
		fprintf(out, "%c%c", (int) (0xC0 | c >> 6), (int) (0x80 | (c & 63)));
	else if (c < 0x10000)
		fprintf(out, "%c%c%c", (int) (0xE0 | c >> 12), (int) (0x80 | ((c >> 6) & 63)),
				(int) (0x80 | (c & 63)));
	else
		fprintf(out, "%c%c%c%c", (int) (0xF0 | c >> 18), (int) (0x80 | ((c >> 12) & 63)),
				(int) (0x80 | ((c >> 6) & 63)), (int) (0x80 | (c & 63)));
}

static void
take_entity(struct reader *r, FILE *out)
{
	static const struct
	{
		const char *name;
		char c;
	} named[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};

	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
		if (starts(r, named[i].name))
		{
			fputc(named[i].c, out);
			r->at += strlen(named[i].name);
			return;
		}
	if (starts(r, "&#"))
	{
		bool hex = r->at + 2 < r->end && r->at[2] == 'x';
		const char *digits = r->at + (hex ? 3 : 2);
		size_t len = 0;
		char number[10] = "";
		unsigned long c;

		while (digits + len < r->end && len < 8 && isxdigit((unsigned char) digits[len]))
			len++;
		snprintf(number, sizeof(number), "%.*s", (int) len, digits);
		c = strtoul(number, NULL, hex ? 16 : 10);
		if (len > 0 && digits + len < r->end && digits[len] == ';' && c > 0 && c <= 0x10FFFF)
		{
			put_utf8(out, c);
			r->at = digits + len + 1;
			return;
		}
	}
	problem(r, "an & that begins no known entity (12100)");
}

static void
take_attribute(struct reader *r, struct twiml_node *node)
{
	struct twiml_attribute *a = &node->attributes[node->attribute_count];
	size_t size = 0;
	char quote;
	FILE *out;

	if (node->attribute_count == TWIML_MAX_ATTRIBUTES)
	{
		problem(r, "too many attributes");
		return;
	}
	node->attribute_count++;
	a->name = take_name(r);
	out = open_memstream(&a->value, &size);
	skip_space(r);
	if (r->ok && starts(r, "="))
		r->at++;
	else
		problem(r, "attribute without value (12100)");
	skip_space(r);
	quote = r->at < r->end ? *r->at : '\0';
	if (r->ok && quote != '"' && quote != '\'')
		problem(r, "attribute value without quotes (12100)");
	r->at++;
	while (r->ok && r->at < r->end && *r->at != quote)
	{
		if (*r->at == '<')
			problem(r, "a < inside an attribute (12100)");
		else if (*r->at == '&')
			take_entity(r, out);
		else
			fputc(*r->at++, out);
	}
	if (r->ok && r->at >= r->end)
		problem(r, "document ends inside an attribute (12100)");
	r->at++;
	fclose(out);
	for (size_t i = 0; r->ok && i + 1 < node->attribute_count; i++)
		if (strcmp(node->attributes[i].name, a->name) == 0)
			problem(r, "attribute \"%s\" twice (12100)", a->name);
}

static struct twiml_node *take_element(struct reader *r, unsigned depth);

static char *
trimmed(char *text)
{
	size_t len = strlen(text), from = 0;

	while (len > 0 && isspace((unsigned char) text[len - 1]))
		len--;
	text[len] = '\0';
	while (isspace((unsigned char) text[from]))
		from++;
	memmove(text, text + from, len > from ? len - from + 1 : 1);
	if (len <= from)
		text[0] = '\0';
	return text;
}

/* Text and children up to the end tag. */
static void
take_content(struct reader *r, struct twiml_node *node, unsigned depth)
{
	struct twiml_node **last = &node->child;
	size_t size = 0;
	FILE *out;

	free(node->text);
	out = open_memstream(&node->text, &size);
	while (r->ok && !starts(r, "</"))
	{
		if (r->at >= r->end)
			problem(r, "document ends inside <%s> (12100)", node->name);
		else if (starts(r, "<!--"))
			skip_behind(r, "-->");
		else if (starts(r, "<![CDATA["))
		{
			const char *from = r->at += 9;

			if (skip_behind(r, "]]>"))
				fwrite(from, 1, (size_t) (r->at - 3 - from), out);
		}
		else if (*r->at == '<')
		{
			*last = take_element(r, depth + 1);
			if (*last)
				last = &(*last)->next;
		}
		else if (*r->at == '&')
			take_entity(r, out);
		else
			fputc(*r->at++, out);
	}
	fclose(out);
	trimmed(node->text);
}

static struct twiml_node *
take_element(struct reader *r, unsigned depth)
{
	struct twiml_node *node = calloc(1, sizeof(*node));
	char *closing;

	if (!node)
		abort();
	node->text = strdup("");
	r->at++; /* '<' */
	node->name = take_name(r);
	if (depth > MAX_DEPTH)
		problem(r, "elements too deep");
	while (r->ok)
	{
		skip_space(r);
		if (starts(r, "/>"))
		{
			r->at += 2;
			return node;
		}
		if (starts(r, ">"))
			break;
		if (r->at >= r->end)
			problem(r, "document ends inside a tag (12100)");
		else
			take_attribute(r, node);
	}
	r->at++;
	take_content(r, node, depth);
	if (!r->ok)
		return node;
	r->at += 2;
	closing = take_name(r);
	skip_space(r);
	if (r->ok && (strcmp(closing, node->name) != 0 || !starts(r, ">")))
		problem(r, "</%s> ends <%s> (12100)", closing, node->name);
	r->at++;
	free(closing);
	return node;
}

/* Allowed children and attributes of each element, between bars. "" = none. */
static const struct
{
	const char *name, *parents, *attributes;
	bool has_text;
} vocabulary[] = {
	{"Response", "||", "||", false},
	{"Connect", "|Response|", "|action|method|", false},
	{"Start", "|Response|", "|action|method|", false},
	{"Stop", "|Response|", "||", false},
	{"Stream", "|Connect|Start|Stop|", "|url|name|track|statusCallback|statusCallbackMethod|",
	 false},
	{"Parameter", "|Stream|", "|name|value|", false},
	{"Say", "|Response|Gather|", "|voice|language|loop|", true},
	{"Play", "|Response|Gather|", "|loop|digits|", true},
	{"Pause", "|Response|Gather|", "|length|", false},
	{"Redirect", "|Response|", "|method|", true},
	{"Hangup", "|Response|", "||", false},
	{"Reject", "|Response|", "|reason|", false},
	{"Record", "|Response|",
	 "|action|method|timeout|finishOnKey|maxLength|playBeep|trim|recordingStatusCallback|"
	 "recordingStatusCallbackMethod|recordingStatusCallbackEvent|transcribe|transcribeCallback|",
	 false},
	{"Gather", "|Response|",
	 "|input|action|method|timeout|finishOnKey|numDigits|actionOnEmptyResult|speechTimeout|"
	 "speechModel|hints|language|bargeIn|partialResultCallback|profanityFilter|",
	 false},
	{"Dial", "|Response|",
	 "|action|method|timeout|timeLimit|callerId|answerOnBridge|hangupOnStar|record|"
	 "recordingStatusCallback|recordingStatusCallbackMethod|recordingStatusCallbackEvent|"
	 "recordingTrack|trim|ringTone|sequential|referUrl|",
	 true},
	{"Number", "|Dial|",
	 "|url|method|sendDigits|statusCallback|statusCallbackEvent|statusCallbackMethod|byoc|", true},
	{"Conference", "|Dial|",
	 "|muted|beep|startConferenceOnEnter|endConferenceOnExit|participantLabel|waitUrl|waitMethod|"
	 "maxParticipants|record|coach|region|jitterBufferSize|statusCallbackEvent|statusCallback|"
	 "statusCallbackMethod|recordingStatusCallback|recordingStatusCallbackEvent|"
	 "recordingStatusCallbackMethod|trim|eventCallbackUrl|",
	 true},
	{"Recording", "|Start|",
	 "|track|channels|trim|recordingStatusCallback|recordingStatusCallbackMethod|"
	 "recordingStatusCallbackEvent|",
	 false},
};

static bool
in_list(const char *list, const char *word)
{
	char barred[80];

	snprintf(barred, sizeof(barred), "|%.70s|", word);
	return strstr(list, barred) != NULL;
}

static void
check_vocabulary(struct reader *r, const struct twiml_node *node, const char *parent)
{
	size_t v = 0;
	const size_t count = sizeof(vocabulary) / sizeof(vocabulary[0]);

	while (v < count && strcmp(vocabulary[v].name, node->name) != 0)
		v++;
	if (v == count || !in_list(vocabulary[v].parents, parent))
	{
		problem(r, "<%s> is not allowed in <%s> (12200)", node->name, parent);
		return;
	}
	for (size_t i = 0; i < node->attribute_count; i++)
		if (!in_list(vocabulary[v].attributes, node->attributes[i].name))
			problem(r, "<%s> has no attribute \"%s\" (12200)", node->name,
					node->attributes[i].name);
	if (!vocabulary[v].has_text && node->text[0])
		problem(r, "<%s> holds text (12200)", node->name);
	for (const struct twiml_node *c = node->child; c; c = c->next)
		check_vocabulary(r, c, node->name);
}

static void
check_streams(struct reader *r, const struct twiml_node *node)
{
	for (const struct twiml_node *c = node->child; c; c = c->next)
	{
		check_streams(r, c);
		if (strcmp(c->name, "Parameter") == 0 &&
			strlen(twiml_attr(c, "name", "")) + strlen(twiml_attr(c, "value", "")) >= 500)
			problem(r, "a <Parameter> of 500 characters or more");
		if (strcmp(c->name, "Stream") != 0)
			continue;
		if (!twiml_attr(c, "url", NULL))
			problem(r, "<Stream> without url");
		else if (strchr(twiml_attr(c, "url", ""), '?'))
			problem(r, "the url of a <Stream> has a query");
		if (strcmp(node->name, "Connect") == 0 &&
			strcmp(twiml_attr(c, "track", "inbound_track"), "inbound_track") != 0)
			problem(r, "track of <Connect><Stream> must be inbound_track (31941)");
	}
}

struct twiml_node *
twiml_read(const char *text, size_t len, char *error, size_t size)
{
	struct reader r = {text, text, text + len, error, size, true};
	struct twiml_node *root = NULL;

	if (len > TWIML_MAX_SIZE)
		problem(&r, "more than 64 kB (11750)");
	if (memchr(text, '\0', len))
		problem(&r, "a NUL byte (12100)");
	if (r.ok && starts(&r, "<?xml "))
		skip_behind(&r, "?>");
	skip_space(&r);
	while (r.ok && starts(&r, "<!--") && skip_behind(&r, "-->"))
		skip_space(&r);
	if (r.ok && !starts(&r, "<Response"))
		problem(&r, "does not begin with <Response> (12100)");
	if (r.ok)
		root = take_element(&r, 0);
	skip_space(&r);
	if (r.ok && r.at < r.end)
		problem(&r, "text after </Response> (12100)");
	if (r.ok)
		check_vocabulary(&r, root, "");
	if (r.ok)
		check_streams(&r, root);
	if (r.ok)
		return root;
	twiml_free(root);
	return NULL;
}

void
twiml_free(struct twiml_node *node)
{
	while (node)
	{
		struct twiml_node *next = node->next;

		twiml_free(node->child);
		for (size_t i = 0; i < node->attribute_count; i++)
		{
			free(node->attributes[i].name);
			free(node->attributes[i].value);
		}
		free(node->name);
		free(node->text);
		free(node);
		node = next;
	}
}

const char *
twiml_attr(const struct twiml_node *node, const char *name, const char *otherwise)
{
	for (size_t i = 0; i < node->attribute_count; i++)
		if (strcmp(node->attributes[i].name, name) == 0)
			return node->attributes[i].value;
	return otherwise;
}

const struct twiml_node *
twiml_child(const struct twiml_node *node, const char *name)
{
	for (const struct twiml_node *c = node->child; c; c = c->next)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}
