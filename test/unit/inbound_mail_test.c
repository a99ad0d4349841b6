/* multipart, charset, inbound_mail: what SendGrid posts of a mail, hostile forms, quotations. */
#include "core/inbound_mail.h"

#include "core/charset.h"
#include "core/json.h"
#include "core/utf8.h"
#include "tap.h"

static void
boundaries(void)
{
	static const char *const cases[][2] = {
		{"multipart/form-data; boundary=xyz", "xyz"},
		{"multipart/form-data; boundary=\"a b=c\"", "a b=c"},
		{"Multipart/Form-Data;boundary=x;charset=y", "x"},
		{"multipart/form-data; charset=utf-8; boundary=x", "x"},
		{"multipart/form-data", NULL},
		{"multipart/form-data; boundary=", NULL},
		{"multipart/form-data; boundary=\"x", NULL},
		{"multipart/form-database; boundary=x", NULL},
		{"application/json", NULL},
		{"multipart/form-data; "
		 "boundary=0123456789012345678901234567890123456789012345678901234567890123456789",
		 "0123456789012345678901234567890123456789012345678901234567890123456789"},
		{"multipart/form-data; "
		 "boundary=01234567890123456789012345678901234567890123456789012345678901234567890",
		 NULL},
		{"multipart/form-data; boundary=a\x01", NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char boundary[MULTIPART_BOUNDARY_SIZE];

		is_str(multipart_boundary(cases[i][0], boundary) ? boundary : NULL, cases[i][1], "%s",
			   cases[i][0]);
	}
}

static void
forms(void)
{
	static const struct
	{
		const char *body;
		const char *wanted; /* name[=filename][:type]=data; … or !reason */
	} cases[] = {
		{"--B--", ""},
		{"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B--\r\n", "a::=1;"},
		{"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n--B--", "a::=;"},
		{"--B\r\nContent-Disposition: form-data; name=a\r\n\r\n--B--", "a::=;"},
		{"preamble\r\n--B  \r\ncontent-disposition:form-data;name=\"a\"\r\n\r\n1\r\n\r\n--B--",
		 "a::=1\r\n;"},
		{"--B\r\nContent-Disposition: form-data; name=\"a\"; filename=\"x "
		 "\\\"y\\\".txt\"\r\nContent-Type: text/plain; charset=x\r\n\r\nz\r\n--B--",
		 "a:x \"y\".txt:text/plain=z;"},
		{"--B\r\nContent-Disposition: form-data; "
		 "name=\"a\"\r\n\r\n--BC\r\n--B\r\nContent-Disposition: form-data; "
		 "name=\"b\"\r\n\r\n2\r\n--B--",
		 "a::=--BC;b::=2;"},
		{"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--Bx\r\n--B--",
		 "a::=1\r\n--Bx;"},
		{"", "!there is no boundary"},
		{"--B", "!the first boundary is malformed"},
		{"--C\r\n", "!there is no boundary"},
		{"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B",
		 "!the last boundary is missing"},
		{"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1",
		 "!the last boundary is missing"},
		{"--B\r\nContent-Disposition: form-data; name=\"a\"", "!a part's header does not end"},
		{"--B\r\nX: y\r\n\r\n1\r\n--B--", "!a part without a name"},
		{"--B\r\nContent-Disposition: form-data; name=\"a\r\n\r\n1\r\n--B--",
		 "!a part's disposition is malformed"},
		{"--B\r\nContent-Disposition: form-data; "
		 "name=\"0123456789012345678901234567890123456789012345678901234567890123\"\r\n\r\n1\r\n--"
		 "B--",
		 "!a part's disposition is malformed"},
	};
	static struct multipart form;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char seen[500] = "";
		size_t at = 0, len = strlen(cases[i].body);
		struct va_error err = {""};
		char *exact = tap_exact(cases[i].body, len);

		if (!multipart_read("B", exact, len, &form, &err))
			snprintf(seen, sizeof(seen), "!%s", err.text);
		else
		{
			for (size_t p = 0; p < form.count; p++)
				at += (size_t) snprintf(seen + at, sizeof(seen) - at, "%s:%s:%s=%.*s;",
										form.parts[p].name, form.parts[p].filename,
										form.parts[p].type, (int) form.parts[p].len,
										form.parts[p].data);
		}
		is_str(seen, cases[i].wanted, "form %zu", i);
		free(exact);
	}
}

static void
charsets(void)
{
	static const struct
	{
		const char *charset, *data;
		size_t max;
		const char *wanted;
	} cases[] = {
		{"iso-8859-1",
		 "Gr\xFC"
		 "ezi",
		 100,
		 "Gr\xC3\xBC"
		 "ezi"},
		{"UTF-8", "Gr\xC3\xBC\xFF!", 100, "Gr\xC3\xBC\xEF\xBF\xBD!"},
		{"windows-1252", "\x80", 100, "\xE2\x82\xAC"},
		{"utf-16le", "a", 100, "\xEF\xBF\xBD"},
		{"no-such", "\xFC", 100, "\xC3\xBC"},
		{"../../x", "\xFC", 100, "\xC3\xBC"},
		{"", "a", 100, "a"},
		{"iso-8859-1", "\xFC\xFC\xFC", 5, "\xC3\xBC\xC3\xBC"},
		{"us-ascii",
		 "a\xFC"
		 "b",
		 100,
		 "a\xEF\xBF\xBD"
		 "b"},
		{"iso-2022-jp", "\x1B$B$\"\x1B(B", 100, "\xE3\x81\x82"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		size_t len = strlen(cases[i].data);
		char *exact = tap_exact(cases[i].data, len);
		char *text = charset_to_utf8(cases[i].charset, exact, len, cases[i].max);

		is_str(text, cases[i].wanted, "charset %s, %zu", cases[i].charset, i);
		free(text);
		free(exact);
	}
}

static void
quotations(void)
{
	static const char *const cases[][2] = {
		{"Yes please\n\nOn Tue, 1 Dec 2026 at 10:00, Sales <s@x.test> wrote:\n> hello\n> you\n",
		 "Yes please"},
		{"Yes\r\n\r\nOn Tue, 1 Dec 2026 at 10:00, a very long name of somebody\r\n<s@x.test> "
		 "wrote:\r\n> hello\r\n",
		 "Yes"},
		{"Ja\n\nAm 1.12.2026 um 10:00 schrieb Sales:\n> hallo", "Ja"},
		{"Oui\n\nLe 1 d\xC3\xA9"
		 "c. 2026, Sales a \xC3\xA9"
		 "crit :\n> bonjour",
		 "Oui"},
		{"Ok\n\n-----Original Message-----\nFrom: Sales\n", "Ok"},
		{"Ok\n\n________________________________\nFrom: Sales\n", "Ok"},
		{"Ok\n> a\n> b\n\n", "Ok"},
		{"> question one\nanswer one\n> question two\nanswer two",
		 "> question one\nanswer one\n> question two\nanswer two"},
		{"> only a quotation", "> only a quotation"},
		{"On Monday I wrote: no quotation", "On Monday I wrote: no quotation"},
		{"On my way.\nThey wrote: hi", "On my way.\nThey wrote: hi"},
		{"", ""},
		{" \n", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char own[200];

		snprintf(own, sizeof(own), "%.*s", (int) inbound_own_text(cases[i][0]), cases[i][0]);
		is_str(own, cases[i][1], "own words %zu", i);
	}
}

static struct json_object *
read_form(const char *body, size_t len)
{
	static struct multipart form;
	struct va_error err = {""};

	if (!multipart_read("B", body, len, &form, &err))
	{
		diag("%s", err.text);
		return NULL;
	}
	return inbound_mail(&form);
}

#define PART(name, value)                                                                          \
	"--B\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"

static void
mails(void)
{
	static const char body[] = PART(
		"headers",
		"Received: x\nMessage-ID: <m1@example.test>\nIn-Reply-To:\n <va-1@x.test>\nReferences: "
		"<a@x.test>\n <b@x.test>\nFrom: Ann <ann@example.test>")
		PART("envelope",
			 "{\"to\":[\"Reply+9F1C@parse.example.test\"],\"from\":\"bounce@example.test\"}")
			PART("charsets", "{\"to\":\"UTF-8\",\"subject\":\"UTF-8\",\"from\":\"UTF-8\",\"text\":"
							 "\"iso-8859-1\"}") PART("from", "\"Ann Lee\" <Ann@Example.test>")
				PART("subject", "Re: Your\r\nappointment") PART("text", "Gr\xFC"
																		"ezi\r\n\r\n> old")
					PART("SPF", "pass") PART(
						"dkim",
						"{@example.test : pass}") "--B\r\nContent-Disposition: form-data; "
												  "name=\"attachment1\"; "
												  "filename=\"a.bin\"\r\nContent-Type: "
												  "application/octet-stream\r\n\r\n\0\r\n--\xFF\r\n"
												  "--B\r\nContent-Disposition: form-data; "
												  "name=\"attachment2\"; "
												  "filename=\"invite.ics\"\r\nContent-Type: "
												  "text/calendar; method=REPLY\r\n\r\n"
												  "BEGIN:VCALENDAR\r\nMETHOD:REPLY\r\nBEGIN:"
												  "VEVENT\r\nUID:u1\r\nATTENDEE;PARTSTAT=ACCEPTED:"
												  "mailto:ann@example.test\r\nEND:VEVENT\r\n\r\n"
												  "--B--\r\n";
	static const char automatic[] =
		PART("headers", "Auto-Submitted: auto-replied\nMessage-ID: <m2@example.test>")
			PART("envelope", "{\"to\":[],\"from\":\"ann@example.test\"}")
				PART("html", "<style>p{}</style><p>Out &amp; about</p>until<br>Monday") "--B--";
	static const char raw[] =
		PART("email",
			 "From: a@b.test\r\nMessage-ID: <m3@b.test>\r\n\r\nMessage-ID: <no@b.test>") "--B--";
	static const char nothing[] = "--B--";
	char *exact = tap_exact(body, sizeof(body) - 1);
	struct json_object *mail = read_form(exact, sizeof(body) - 1);

	is_str(json_object_to_json_string_ext(mail, JSON_C_TO_STRING_PLAIN),
		   "{\"from\":\"ann@example.test\",\"from_name\":\"Ann "
		   "Lee\",\"to\":[\"reply+9f1c@parse.example.test\"],"
		   "\"subject\":\"Re: Your appointment\",\"text\":\"Gr\xC3\xBC"
		   "ezi\",\"full_text\":\"Gr\xC3\xBC"
		   "ezi\\r\\n\\r\\n> old\","
		   "\"message_id\":\"m1@example.test\",\"in_reply_to\":\"va-1@x.test\",\"references\":[\"a@"
		   "x.test\",\"b@x.test\"],"
		   "\"invitation\":{\"uid\":\"u1\",\"partstat\":\"ACCEPTED\",\"sequence\":0},"
		   "\"attachments\":[{\"filename\":\"a.bin\",\"type\":\"application\\/"
		   "octet-stream\",\"size\":6},"
		   "{\"filename\":\"invite.ics\",\"type\":\"text\\/calendar\",\"size\":117}],"
		   "\"spf\":"
		   "\"pass\",\"dkim\":\"{@example.test : pass}\"}",
		   "a whole mail");
	json_object_put(mail);
	free(exact);
	mail = read_form(automatic, sizeof(automatic) - 1);
	is_str(json_object_to_json_string_ext(mail, JSON_C_TO_STRING_PLAIN),
		   "{\"from\":\"ann@example.test\",\"to\":[],\"text\":\"Out & "
		   "about\\nuntil\\nMonday\",\"message_id\":\"m2@example.test\",\"auto\":true,"
		   "\"attachments\":[]}",
		   "HTML alone, written by a machine");
	json_object_put(mail);
	mail = read_form(raw, sizeof(raw) - 1);
	is_str(json_object_to_json_string_ext(mail, JSON_C_TO_STRING_PLAIN),
		   "{\"to\":[],\"message_id\":\"m3@b.test\",\"attachments\":[],\"raw\":true}",
		   "a raw mail");
	json_object_put(mail);
	mail = read_form(nothing, sizeof(nothing) - 1);
	is_str(json_object_to_json_string_ext(mail, JSON_C_TO_STRING_PLAIN),
		   "{\"to\":[],\"attachments\":[]}", "an empty form");
	json_object_put(mail);
}

int
main(void)
{
	plan(0);
	boundaries();
	forms();
	charsets();
	quotations();
	mails();
	return done();
}
