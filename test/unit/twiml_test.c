/* twiml: expected documents, refusals, and that whatever is written is well-formed XML. */
#include "core/twiml.h"

#include "core/utf8.h"
#include "tap.h"

#define DECLARATION "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"

static char memory[80 * 1000];

static struct twiml
begin(struct buf *out)
{
	struct twiml t;

	buf_init(out, memory, sizeof(memory));
	twiml_begin(&t, out);
	return t;
}

static void
documents(void)
{
	struct buf out;
	struct twiml t = begin(&out);

	ok(twiml_end(&t), "an empty response");
	is_str(memory, DECLARATION "<Response/>", "its text");

	t = begin(&out);
	twiml_open(&t, "Connect");
	twiml_open(&t, "Stream");
	twiml_attribute(&t, "url", "wss://h/m?a=1&b=2");
	twiml_open(&t, "Parameter");
	twiml_attribute(&t, "name", "token");
	twiml_attribute(&t, "value", "t-1");
	twiml_close(&t);
	twiml_close(&t);
	twiml_close(&t);
	twiml_open(&t, "Redirect");
	twiml_attribute(&t, "method", "POST");
	twiml_text(&t, "https://h/a#rc=5&rp=ct");
	twiml_close(&t);
	ok(twiml_end(&t), "a stream");
	is_str(memory,
		   DECLARATION "<Response><Connect><Stream url=\"wss://h/m?a=1&amp;b=2\"><Parameter "
					   "name=\"token\" value=\"t-1\"/></Stream></Connect><Redirect "
					   "method=\"POST\">https://h/a#rc=5&amp;rp=ct</Redirect></Response>",
		   "its text");

	t = begin(&out);
	twiml_open(&t, "Say");
	twiml_attribute(&t, "a", "<>&\"'\n\t\r");
	twiml_text(&t, "<>&\"'\n\t\r\xC3\xA9 \xF0\x9F\x98\x80");
	twiml_text(&t, "");
	twiml_text(&t, "!");
	ok(twiml_end(&t), "end closes what is open");
	is_str(memory,
		   DECLARATION
		   "<Response><Say a=\"&lt;&gt;&amp;&quot;&apos;&#10;&#9;&#13;\">"
		   "&lt;&gt;&amp;&quot;&apos;\n\t&#13;\xC3\xA9 \xF0\x9F\x98\x80!</Say></Response>",
		   "escaped");

	t = begin(&out);
	twiml_open(&t, "A");
	twiml_attribute(&t, "b", " c=\" d=");
	twiml_attribute(&t, "c", "1");
	twiml_attribute(&t, "d", "2");
	ok(twiml_end(&t), "a value that looks like attributes");
}

static const char *
problem_of(int which)
{
	static struct va_error kept;
	struct buf out;
	struct twiml t = begin(&out);

	twiml_open(&t, "Say");
	switch (which)
	{
		case 0: twiml_open(&t, ""); break;
		case 1: twiml_open(&t, "a b"); break;
		case 2: twiml_open(&t, "x><y"); break;
		case 3: twiml_open(&t, NULL); break;
		case 4: twiml_attribute(&t, "a=", "1"); break;
		case 5: twiml_attribute(&t, "", "1"); break;
		case 6: twiml_attribute(&t, "a", NULL); break;
		case 7:
			twiml_attribute(&t, "a", "1");
			twiml_attribute(&t, "b", "2");
			twiml_attribute(&t, "a", "3");
			break;
		case 8:
			twiml_text(&t, "x");
			twiml_attribute(&t, "a", "1");
			break;
		case 9: twiml_text(&t, "\x01"); break;
		case 10: twiml_text(&t, "\x1F"); break;
		case 11: twiml_text(&t, "\xC3"); break;
		case 12: twiml_attribute(&t, "a", "\xED\xA0\x80"); break;
		case 13: twiml_text(&t, "\xEF\xBF\xBE"); break;
		case 14: twiml_text(&t, "\xEF\xBF\xBF"); break;
		case 15:
			twiml_close(&t);
			twiml_close(&t);
			break;
		case 16:
			for (int i = 0; i < TWIML_MAX_DEPTH - 1; i++)
				twiml_open(&t, "Say");
			break;
		case 17:
			for (int i = 0; i < TWIML_MAX_BYTES; i++)
				twiml_text(&t, "x");
			break;
		default: return NULL;
	}
	/* After a failure nothing helps. */
	twiml_open(&t, "Say");
	twiml_text(&t, "fine");
	twiml_close(&t);
	kept = t.error;
	if (twiml_end(&t))
		return "";
	kept = t.error;
	return kept.text;
}

static void
refusals(void)
{
	const char *problem;

	for (int i = 0; (problem = problem_of(i)) != NULL; i++)
		ok(problem[0] != '\0', "refused %d: %s", i, problem);

	/* A buffer of each size up to the one that fits. */
	size_t needed =
		sizeof(DECLARATION "<Response><Say voice=\"a\" loop=\"2\">hello</Say></Response>");

	for (size_t size = 1; size < needed + 20; size++)
	{
		char *small = malloc(size);
		struct buf out;
		struct twiml t;

		buf_init(&out, small, size);
		twiml_begin(&t, &out);
		twiml_open(&t, "Say");
		twiml_attribute(&t, "voice", "a");
		twiml_attribute(&t, "loop", "2");
		twiml_text(&t, "hello");
		check_that(twiml_end(&t) == (size >= needed));
		check_that(size >= needed || t.error.text[0] != '\0');
		free(small);
	}
	checked("a buffer that is too small is reported");
}

/* A walker over the XML that we may produce: true when it is one well-formed document. Names on
 * the stack point into the text. */
static bool
well_formed(const char *text)
{
	const char *names[TWIML_MAX_DEPTH];
	size_t lengths[TWIML_MAX_DEPTH];
	int depth = 0;
	bool root_seen = false;

	if (strncmp(text, DECLARATION, strlen(DECLARATION)) != 0)
		return false;
	text += strlen(DECLARATION);
	while (*text != '\0')
	{
		if (*text == '&')
		{
			size_t len = strcspn(text, ";");
			static const char *const known[] = {"&lt",	 "&gt",	 "&amp", "&quot",
												"&apos", "&#13", "&#10", "&#9"};
			bool found = false;

			for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
				found = found || (len == strlen(known[i]) && memcmp(text, known[i], len) == 0);
			if (!found || depth == 0)
				return false;
			text += len + 1;
		}
		else if (*text == '<' && text[1] == '/')
		{
			size_t len = strcspn(text + 2, ">");

			if (depth == 0 || len != lengths[depth - 1] ||
				memcmp(text + 2, names[depth - 1], len) != 0)
				return false;
			depth--;
			text += len + 3;
		}
		else if (*text == '<')
		{
			size_t len = strcspn(text + 1, " />");
			const char *seen[64];
			int attributes = 0;

			if (len == 0 || depth == TWIML_MAX_DEPTH || (depth == 0 && root_seen))
				return false;
			root_seen = true;
			names[depth] = text + 1;
			lengths[depth++] = len;
			text += len + 1;
			while (*text == ' ')
			{
				size_t name = strcspn(++text, "=");

				if (name == 0 || strncmp(text + name, "=\"", 2) != 0 || attributes == 64)
					return false;
				for (int i = 0; i < attributes; i++)
					if (strncmp(seen[i], text, name + 1) == 0)
						return false;
				seen[attributes++] = text;
				text += name + 2;

				size_t value = strcspn(text, "\"<");

				if (text[value] != '"')
					return false;
				text += value + 1;
			}
			if (strncmp(text, "/>", 2) == 0)
			{
				depth--;
				text += 2;
			}
			else if (*text == '>')
				text++;
			else
				return false;
		}
		else
		{
			size_t len = utf8_sequence(text, strlen(text));

			if (depth == 0 || len == 0 || *text == '>' ||
				(len == 1 && (unsigned char) *text < 0x20 && *text != '\n' && *text != '\t'))
				return false;
			text += len;
		}
	}
	return depth == 0 && root_seen;
}

static void
walker(void)
{
	static const char *const bad[] = {
		"",
		"<A>",
		"<A></B>",
		"<A/><B/>",
		"<A>&x;</A>",
		"<A b=\"1\" b=\"2\"/>",
		"<A b=\"<\"/>",
		"<A b=1/>",
		"x<A/>",
		"<A>></A>",
		"<A>\x01</A>",
		"<A></A></A>",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		char text[128];

		snprintf(text, sizeof(text), DECLARATION "%s", bad[i]);
		ok(!well_formed(text), "the test's own walker refuses %zu", i);
	}
	ok(well_formed(DECLARATION "<A b=\"1\" c=\"2\"><B/>x&amp;</A>"), "and takes what is right");
}

static void
properties(void)
{
	static const char *const names[] = {"Say", "Play", "a", "Stream", "b", "x y", ""};
	int good = 0;

	for (int round = 0; round < 8000; round++)
	{
		struct buf out;
		struct twiml t = begin(&out);
		size_t steps = tap_below(14);

		for (size_t i = 0; i < steps; i++)
		{
			char text[12];
			size_t len = tap_below(sizeof(text));

			for (size_t c = 0; c < len; c++)
				text[c] = "ab<>&\"'\n\r\t]= /\xC3\xA9\x01"[tap_below(tap_below(20) == 0 ? 17 : 14)];
			text[len] = '\0';
			switch (tap_below(5))
			{
				case 0:
				case 1: twiml_open(&t, names[tap_below(tap_below(20) == 0 ? 7 : 5)]); break;
				case 2:
					if (t.in_tag)
						twiml_attribute(&t, names[tap_below(5)], text);
					break;
				case 3: twiml_text(&t, text); break;
				case 4:
					if (t.depth > 1)
						twiml_close(&t);
					break;
			}
		}
		if (!twiml_end(&t))
			continue;
		good++;
		if (!check_that(well_formed(memory)))
			diag("%s", memory);
	}
	checked("whatever succeeds is well-formed");
	ok(good > 4000, "%d documents of 8000 succeeded", good);
}

int
main(void)
{
	plan(0);
	documents();
	refusals();
	walker();
	properties();
	return done();
}
