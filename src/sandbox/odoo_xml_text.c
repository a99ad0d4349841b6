/*
 * odoo_xml_text.c: see odoo_xml_text.h.
 *
 * The reader walks over tags with one function that takes the next tag or text; the writer prints
 * into a stream in memory, as Python's xmlrpc.client does with its line ends.
 */
#include "sandbox/odoo_xml_text.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct piece
{
	bool tag;
	char text[64]; /* of a tag: "value", "/value" */
	char *data; /* of a text, decoded */
};

/* The next tag, or the text before it; NULL data and an empty tag at the end. */
static const char *
next_piece(const char *at, struct piece *p)
{
	static const char *const entities[][2] = {
		{"&lt;", "<"}, {"&gt;", ">"}, {"&amp;", "&"}, {"&#13;", "\r"}};
	char *out = NULL;
	size_t len = 0;
	FILE *file;

	p->data = NULL;
	p->tag = *at == '<';
	p->text[0] = '\0';
	if (p->tag)
	{
		size_t size = strcspn(at, ">");

		snprintf(p->text, sizeof(p->text), "%.*s", (int) size - 1, at + 1);
		return at[size] == '>' ? at + size + 1 : at + size;
	}
	file = open_memstream(&out, &len);
	while (*at != '\0' && *at != '<')
	{
		bool known = false;

		for (int i = 0; i < 4 && !known; i++)
			if (strncmp(at, entities[i][0], strlen(entities[i][0])) == 0)
			{
				fputs(entities[i][1], file);
				at += strlen(entities[i][0]);
				known = true;
			}
		if (!known)
			fputc(*at++, file);
	}
	fclose(file);
	p->data = out;
	return at;
}

/* The next tag; what stands before it is given in *text when that is wanted. */
static const char *
next_tag(const char *at, struct piece *p, char **text)
{
	char *before = NULL;

	at = next_piece(at, p);
	if (!p->tag)
	{
		before = p->data;
		at = next_piece(at, p);
	}
	if (text != NULL)
		*text = before != NULL ? before : strdup("");
	else
		free(before);
	return at;
}

/* Behind <value>; takes </value> too. NULL in *at: broken. */
static struct json_object *
read_value(const char **at)
{
	struct piece p;
	char *text;
	struct json_object *value = NULL;
	char type[64];

	*at = next_tag(*at, &p, &text);
	if (strcmp(p.text, "/value") == 0)
	{
		value = json_object_new_string(text);
		free(text);
		return value;
	}
	free(text);
	snprintf(type, sizeof(type), "%s", p.text);
	if (strcmp(type, "array") == 0)
	{
		value = json_object_new_array();
		*at = next_tag(*at, &p, NULL); /* data */
		while (*at = next_tag(*at, &p, NULL), strcmp(p.text, "value") == 0)
			json_object_array_add(value, read_value(at));
		*at = next_tag(*at, &p, NULL); /* /array */
	}
	else if (strcmp(type, "struct") == 0)
	{
		value = json_object_new_object();
		while (*at = next_tag(*at, &p, NULL), strcmp(p.text, "member") == 0)
		{
			*at = next_tag(*at, &p, NULL); /* name */
			*at = next_tag(*at, &p, &text); /* /name */
			*at = next_tag(*at, &p, NULL); /* value */
			json_object_object_add(value, text, read_value(at));
			free(text);
			*at = next_tag(*at, &p, NULL); /* /member */
		}
	}
	else if (strcmp(type, "nil/") != 0)
	{
		*at = next_tag(*at, &p, &text);
		value = strcmp(type, "int") == 0	   ? json_object_new_int64(strtoll(text, NULL, 10))
				: strcmp(type, "boolean") == 0 ? json_object_new_boolean(text[0] == '1')
				: strcmp(type, "double") == 0  ? json_object_new_double(strtod(text, NULL))
											   : json_object_new_string(text);
		free(text);
	}
	*at = next_tag(*at, &p, NULL); /* /value */
	return value;
}

struct json_object *
odoo_xml_text_call(const char *body, char **method)
{
	struct json_object *params = json_object_new_array();
	const char *at = strstr(body, "<methodName>");
	struct piece p;

	*method = NULL;
	if (at == NULL)
	{
		json_object_put(params);
		return NULL;
	}
	at = next_tag(at + strlen("<methodName>"), &p, method);
	at = next_tag(at, &p, NULL); /* params */
	while (at = next_tag(at, &p, NULL), strcmp(p.text, "param") == 0)
	{
		at = next_tag(at, &p, NULL); /* value */
		json_object_array_add(params, read_value(&at));
		at = next_tag(at, &p, NULL); /* /param */
	}
	return params;
}

static void
print_text(FILE *out, const char *text)
{
	for (; *text != '\0'; text++)
		if (*text == '&')
			fputs("&amp;", out);
		else if (*text == '<')
			fputs("&lt;", out);
		else if (*text == '>')
			fputs("&gt;", out);
		else
			fputc(*text, out);
}

static void
print_value(FILE *out, struct json_object *value)
{
	fputs("<value>", out);
	switch (json_object_get_type(value))
	{
		case json_type_boolean:
			fprintf(out, "<boolean>%d</boolean>", json_object_get_boolean(value) ? 1 : 0);
			break;
		case json_type_int:
			fprintf(out, "<int>%lld</int>", (long long) json_object_get_int64(value));
			break;
		case json_type_double:
			fprintf(out, "<double>%.17g</double>", json_object_get_double(value));
			break;
		case json_type_array:
			fputs("<array><data>\n", out);
			for (size_t i = 0; i < json_object_array_length(value); i++)
				print_value(out, json_object_array_get_idx(value, i));
			fputs("</data></array>", out);
			break;
		case json_type_object:
			fputs("<struct>\n", out);
			{
				json_object_object_foreach(value, name, member)
				{
					fputs("<member>\n<name>", out);
					print_text(out, name);
					fputs("</name>\n", out);
					print_value(out, member);
					fputs("</member>\n", out);
				}
			}
			fputs("</struct>", out);
			break;
		default:
			fputs("<string>", out);
			print_text(out, value != NULL ? json_object_get_string(value) : "");
			fputs("</string>", out);
			break;
	}
	fputs("</value>\n", out);
}

char *
odoo_xml_text_response(struct json_object *value, int fault_code, const char *fault)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		abort();
	fputs("<?xml version='1.0'?>\n<methodResponse>\n", out);
	if (fault_code != 0)
	{
		struct json_object *what = json_object_new_object();

		json_object_object_add(what, "faultCode", json_object_new_int(fault_code));
		json_object_object_add(what, "faultString", json_object_new_string(fault));
		fputs("<fault>\n", out);
		print_value(out, what);
		fputs("</fault>\n", out);
		json_object_put(what);
	}
	else
	{
		fputs("<params>\n<param>\n", out);
		print_value(out, value);
		fputs("</param>\n</params>\n", out);
	}
	fputs("</methodResponse>\n", out);
	fclose(out);
	return text;
}
