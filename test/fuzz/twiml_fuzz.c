/*
 * twiml: the bytes drive the writer; whatever it says is done is well-formed.
 *
 * Each step is one byte for what to do, one for how many bytes follow as its text. The walker below
 * checks the document's tags, and counts that what was escaped cannot be mistaken for markup.
 */
#include "core/twiml.h"

#include "core/utf8.h"
#include "fuzz.h"

/* Behind a start tag's attributes, or NULL when they are broken; no name may come twice. */
static const char *
walk_attributes(const char *at)
{
	const char *names[128];
	size_t count = 0;

	while (*at == ' ')
	{
		size_t name = strcspn(++at, "=");

		must(name > 0 && at[name + 1] == '"' && count < 128);
		for (size_t i = 0; i < count; i++)
			must(strncmp(names[i], at, name + 1) != 0);
		names[count++] = at;
		at += name + 2;
		at += strcspn(at, "\"<>");
		must(*at == '"');
		at++;
	}
	return at;
}

static void
walk(const char *at)
{
	const char *open[TWIML_MAX_DEPTH];
	int depth = 0;
	int roots = 0;

	must(strncmp(at, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>", 38) == 0);
	for (at += 38; *at != '\0';)
	{
		if (*at == '<' && at[1] == '/')
		{
			must(depth > 0);

			size_t len = strcspn(at + 2, ">");

			depth--;
			must(strncmp(open[depth], at + 2, len) == 0 && strchr(" >", open[depth][len]) != NULL);
			at += len + 3;
		}
		else if (*at == '<')
		{
			must(depth < TWIML_MAX_DEPTH && (depth > 0 || roots++ == 0));
			open[depth++] = at + 1;
			at = walk_attributes(at + 1 + strcspn(at + 1, " />"));
			if (*at == '/')
			{
				depth--;
				at++;
			}
			must(*at == '>');
			at++;
		}
		else
		{
			must(depth > 0 && *at != '>' && *at != '"' && *at != '\'');
			if (*at == '&')
				must(strncmp(at, "&amp;", 5) == 0 || strncmp(at, "&lt;", 4) == 0 ||
					 strncmp(at, "&gt;", 4) == 0 || strncmp(at, "&quot;", 6) == 0 ||
					 strncmp(at, "&apos;", 6) == 0 || strncmp(at, "&#13;", 5) == 0);
			must((unsigned char) *at >= 0x20 || *at == '\n' || *at == '\t');
			at++;
		}
	}
	must(depth == 0 && roots == 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"Say", "Play", "Stream", "url", "a", "b", "no good", ""};
	size_t room = size * 8 + 400;
	char *memory = malloc(room);
	struct buf out;
	struct twiml t;

	buf_init(&out, memory, room);
	twiml_begin(&t, &out);
	while (size >= 2)
	{
		uint8_t what = data[0];
		size_t len = data[1] < size - 2 ? data[1] : size - 2;
		char *text = fuzz_text(data + 2, len);

		switch (what & 3)
		{
			case 0: twiml_open(&t, names[what >> 5]); break;
			case 1: twiml_attribute(&t, names[what >> 5], text); break;
			case 2: twiml_text(&t, text); break;
			case 3: twiml_close(&t); break;
		}
		free(text);
		data += 2 + len;
		size -= 2 + len;
	}
	if (twiml_end(&t))
	{
		must(out.len == strlen(out.data) && out.len <= TWIML_MAX_BYTES);
		must(utf8_valid(out.data, out.len));
		walk(out.data);
	}
	else
		must(t.error.text[0] != '\0');
	free(memory);
	return 0;
}
