/* mail, mime: what is refused, how headers are encoded and folded, and that nothing gets out of its line. */
#include "core/mime.h"

#include "core/base64.h"
#include "core/json.h"
#include "core/utf8.h"
#include "tap.h"

static struct json_object *
message(const char *more)
{
	char text[4096];
	struct va_error err = {""};

	snprintf(text, sizeof(text),
			 "{\"from\":{\"email\":\"sales@example.test\",\"name\":\"Example Sales\"},"
			 "\"to\":[{\"email\":\"ann@example.test\"}],\"date\":1788100000%s}",
			 more);
	return json_parse(text, strlen(text), &err);
}

/* The printed mail, to be freed; NULL with the reason in *err. */
static char *
print(struct json_object *from, struct va_error *err)
{
	struct mail mail;
	struct buf out;
	size_t size;
	char *text;
	bool good;

	if (!mail_read(from, &mail, err))
		return NULL;
	size = mime_size(&mail);
	text = malloc(size);
	buf_init(&out, text, size);
	good = mime_print(&out, &mail, err);
	mail_free(&mail);
	if (!good)
	{
		free(text);
		return NULL;
	}
	return text;
}

static char *
print_text(const char *more, struct va_error *err)
{
	struct json_object *from = message(more);
	char *text = print(from, err);

	json_object_put(from);
	return text;
}

/* Every line of what SMTP carries: CRLF, 7 bits, at most `most` characters. */
static void
check_lines(const char *text, size_t most)
{
	while (*text != '\0')
	{
		size_t len = strcspn(text, "\r\n");

		check_that(len <= most);
		for (size_t i = 0; i < len; i++)
			check_that(text[i] == '\t' || (text[i] >= 0x20 && text[i] < 0x7F));
		check_that(text[len] == '\r' && text[len + 1] == '\n');
		if (text[len] == '\0')
			return;
		text += len + 2;
	}
}

static void
whole(void)
{
	struct va_error err = {""};
	char *text = print_text(
		",\"subject\":\"Your appointment\",\"text\":\"Hello Ann,\\nsee you = soon \\n.\"", &err);

	is_str(text,
		   "Date: Sun, 30 Aug 2026 14:26:40 +0000\r\n"
		   "From: \"Example Sales\" <sales@example.test>\r\n"
		   "To: ann@example.test\r\n"
		   "Subject: Your appointment\r\n"
		   "MIME-Version: 1.0\r\n"
		   "Content-Type: text/plain; charset=utf-8\r\n"
		   "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
		   "Hello Ann,\r\nsee you =3D soon=20\r\n.\r\n",
		   "a plain mail, byte for byte");
	free(text);
	text = print_text(",\"subject\":\"x\",\"text\":\"t\",\"html\":\"<p>t</"
					  "p>\",\"message_id\":\"k1@example.test\","
					  "\"headers\":{\"List-Unsubscribe\":\"<https://u.example.test/one>\"}",
					  &err);
	is_str(strstr(text, "Message-ID"),
		   "Message-ID: <k1@example.test>\r\n"
		   "List-Unsubscribe: <https://u.example.test/one>\r\n"
		   "MIME-Version: 1.0\r\n"
		   "Content-Type: multipart/alternative;\r\n boundary=\"=_voiceagent_alternative\"\r\n\r\n"
		   "--=_voiceagent_alternative\r\n"
		   "Content-Type: text/plain; charset=utf-8\r\n"
		   "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
		   "t\r\n"
		   "--=_voiceagent_alternative\r\n"
		   "Content-Type: text/html; charset=utf-8\r\n"
		   "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
		   "<p>t</p>\r\n"
		   "--=_voiceagent_alternative--\r\n",
		   "two alternatives, byte for byte");
	free(text);
}

static void
parts(void)
{
	struct va_error err = {""};
	char *text = print_text(
		",\"subject\":\"x\",\"text\":\"t\",\"calendar\":{\"method\":\"REQUEST\",\"uid\":\"u1\","
		"\"sequence\":0,"
		"\"stamp\":1788100000,\"start\":1788200000,\"end\":1788201800,\"summary\":\"Demo\","
		"\"organizer\":{\"email\":\"sales@example.test\"},\"attendees\":[{\"email\":\"ann@example."
		"test\"}]},"
		"\"calendar_style\":\"both\",\"attachments\":[{\"filename\":\"Pr\u00fcfung.pdf\",\"type\":"
		"\"application/pdf\","
		"\"content\":\"AAECAw==\"},{\"filename\":\"a.png\",\"type\":\"image/"
		"png\",\"content\":\"AA==\",\"content_id\":\"logo1\"}]",
		&err);

	ok(text != NULL, "a mail with everything: %s", err.text);
	ok(strstr(text, "Content-Type: text/calendar; charset=utf-8; method=REQUEST;\r\n "
					"component=VEVENT\r\n") != NULL,
	   "the invitation is an alternative with its method");
	ok(strstr(text, "filename=\"invite.ics\"\r\n") != NULL, "and a file");
	ok(strstr(text, "filename*0*=UTF-8''Pr%C3%BCfung.pdf\r\n") != NULL, "a file name beyond ASCII");
	ok(strstr(text, "\r\n\r\nAAECAw==\r\n--=_voiceagent_mixed\r\n") != NULL,
	   "an attachment's content");
	ok(strstr(text,
			  "Content-Disposition: inline;\r\n filename=\"a.png\"\r\nContent-ID: <logo1>\r\n") !=
		   NULL,
	   "an inline picture");
	check_lines(text, 78);
	checked("lines of a mail with everything");
	free(text);
}

/* Header and wanted line. */
static void
headers(void)
{
	static const struct
	{
		const char *subject;
		const char *wanted;
	} cases[] = {
		{"", "Subject:\r\n"},
		{"plain", "Subject: plain\r\n"},
		{"Gr\xC3\xBC\xC3\x9F"
		 "e",
		 "Subject: =?UTF-8?B?R3LDvMOfZQ==?=\r\n"},
		{"looks =?like?= it", "Subject: =?UTF-8?B?bG9va3MgPT9saWtlPz0gaXQ=?=\r\n"},
		{"two  blanks", "Subject: =?UTF-8?B?dHdvICBibGFua3M=?=\r\n"},
		{"bad\r\nBcc: x@evil.test", "Subject: bad Bcc: x@evil.test\r\n"},
		{"bad\nBcc: x@evil.test\n\n", "Subject: bad Bcc: x@evil.test\r\n"},
		{"tab\there\x7F", "Subject: tab here\r\n"},
		{"next\xC2\x85line", "Subject: next line\r\n"},
		{"\xF0\x9F\x98\x80", "Subject: =?UTF-8?B?8J+YgA==?=\r\n"},
		{"word word word word word word word word word word word word word word word",
		 "Subject: word word word word word word word word word word word word word\r\n word "
		 "word\r\n"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct va_error err = {""};
		struct json_object *from = message(",\"text\":\"t\"");
		char *text, *line, *end;

		json_object_object_add(from, "subject", json_object_new_string(cases[i].subject));
		text = print(from, &err);
		line = text != NULL ? strstr(text, "Subject:") : NULL;
		end = line != NULL ? strstr(line, "MIME-Version") : NULL;
		if (end != NULL)
			*end = '\0';
		is_str(line, cases[i].wanted, "subject %zu", i);
		free(text);
		json_object_put(from);
	}
}

static void
refused(void)
{
	static const struct
	{
		const char *more;
		const char *why;
	} cases[] = {
		{",\"subject\":\"x\"", "a mail without text"},
		{",\"text\":\"t\",\"to\":[]", "a mail has 1 to 20 recipients, not 0"},
		{",\"text\":\"t\",\"to\":[{\"email\":\"a@b.test\\r\\nRCPT TO:<x@y.test>\"}]",
		 "\"a@b.test\r\nRCPT TO:<x@y.test>\" cannot be used as the address to send to"},
		{",\"text\":\"t\",\"to\":[{\"email\":\"Ann <a@b.test>\"}]",
		 "\"Ann <a@b.test>\" cannot be used as the address to send to"},
		{",\"text\":\"t\",\"from\":{\"email\":\"\"}",
		 "\"\" cannot be used as the address to send from"},
		{",\"text\":\"t\",\"reply_to\":{\"email\":\"x\"}",
		 "\"x\" cannot be used as the address for replies"},
		{",\"text\":\"t\",\"headers\":{\"Bcc\":\"x@y.test\"}",
		 "the header \"Bcc\" cannot be set so"},
		{",\"text\":\"t\",\"headers\":{\"Content-Type\":\"text/html\"}",
		 "the header \"Content-Type\" cannot be set so"},
		{",\"text\":\"t\",\"headers\":{\"X-A\":\"a\\r\\nBcc: x@y.test\"}",
		 "the header \"X-A\" cannot be set so"},
		{",\"text\":\"t\",\"headers\":{\"X A\":\"a\"}", "the header \"X A\" cannot be set so"},
		{",\"text\":\"t\",\"headers\":{\"X-A\":1}", "the header \"X-A\" cannot be set so"},
		{",\"text\":\"t\",\"headers\":{\"\":\"a\"}", "the header \"\" cannot be set so"},
		{",\"text\":\"t\",\"message_id\":\"a b@c.test\"", "the message id is malformed"},
		{",\"text\":\"t\",\"attachments\":[{\"filename\":\"a\",\"content\":\"!!\"}]",
		 "the attachment \"a\" is not base64"},
		{",\"text\":\"t\",\"attachments\":[{\"filename\":\"a\",\"type\":\"a/b; "
		 "c=d\",\"content\":\"\"}]",
		 "an attachment's type is malformed"},
		{",\"text\":\"t\",\"attachments\":[{\"filename\":\"a\",\"content_id\":\"<x>\",\"content\":"
		 "\"\"}]",
		 "an attachment's content id is malformed"},
		{",\"text\":\"t\",\"date\":-1", "the mail's date is out of range"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct va_error err = {""};
		char *text = print_text(cases[i].more, &err);

		ok(text == NULL, "refused: %s", cases[i].more);
		is_str(err.text, cases[i].why, "with the reason");
		free(text);
	}
}

static void
addresses(void)
{
	static const char *const good[] = {"a@b.test", "a.b+c_d@sub.example.test", "o'neil@x.test",
									   "1@2.test"};
	static const char *const bad[] = {"",
									  "@",
									  "a@",
									  "@b.test",
									  "a b@c.test",
									  "a@b@c.test",
									  ".a@b.test",
									  "a.@b.test",
									  "a..b@c.test",
									  "a@.b.test",
									  "a@b.test.",
									  "a@b,test",
									  "\"a\"@b.test",
									  "a@[1.2.3.4]",
									  "\xC3\xA4@b.test",
									  "a@b\xC3\xA4.test",
									  "a@b.test\n",
									  "-a@b.test",
									  "a@-b.test",
									  "a@b..test"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		check_that(mail_address_good(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		check_that(!mail_address_good(bad[i]));
		if (mail_address_good(bad[i]))
			diag("taken: %s", bad[i]);
	}
	checked("addresses");
}

/* ---- a reader of its own, for the round trip ---- */

static int
hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static char *
read_quoted(const char *text)
{
	char *out = malloc(strlen(text) + 1);
	size_t len = 0;

	for (; *text != '\0'; text++)
	{
		if (text[0] == '=' && text[1] == '\r')
			text += 2;
		else if (text[0] == '=')
		{
			out[len++] = (char) (hex(text[1]) * 16 + hex(text[2]));
			text += 2;
		}
		else if (text[0] != '\r')
			out[len++] = *text;
	}
	out[len] = '\0';
	return out;
}

static char *
read_words(const char *text)
{
	char *out = malloc(strlen(text) + 1);
	size_t len = 0;

	text += *text == ' ';
	while (strncmp(text, "=?UTF-8?B?", 10) == 0)
	{
		size_t word = strcspn(text + 10, "?");
		ssize_t n = base64_decode(text + 10, word, (uint8_t *) out + len, 100);

		check_that(word + 12 <= 75 && n > 0);
		check_that(utf8_valid(out + len, (size_t) n));
		len += (size_t) n;
		text += 10 + word + 2;
		while (*text == ' ' || *text == '\r' || *text == '\n')
			text++;
	}
	if (len == 0)
	{
		for (; text[0] != '\0' && !(text[0] == '\r' && text[2] != ' '); text++)
			if (text[0] != '\r' && text[0] != '\n')
				out[len++] = *text;
	}
	out[len] = '\0';
	return out;
}

static void
random_text(char *out, size_t characters, bool lines)
{
	static const char *const some[] = {
		"a",  "b", " ",	   "=", ".", "?", "\xC3\xBC", "\xE2\x82\xAC", "\xF0\x9F\x98\x80",
		"=?", "_", "From "};
	size_t len = 0;

	for (size_t i = 0; i < characters; i++)
	{
		const char *c =
			lines && tap_below(12) == 0 ? "\n" : some[tap_below(sizeof(some) / sizeof(some[0]))];

		len += (size_t) snprintf(out + len, 8, "%s", c);
	}
	out[len] = '\0';
}

static void
round_trip(void)
{
	for (int i = 0; i < 3000; i++)
	{
		char body[2000], subject[600];
		struct va_error err = {""};
		struct json_object *from = message("");
		char *text, *back;

		random_text(body, tap_below(300), true);
		random_text(subject, tap_below(80), false);
		json_object_object_add(from, "text", json_object_new_string(body));
		json_object_object_add(from, "subject", json_object_new_string(subject));
		text = print(from, &err);
		check_that(text != NULL);
		check_lines(text, 78);
		back = read_quoted(strstr(text, "\r\n\r\n") + 4);
		if (strlen(back) > strlen(body) && back[strlen(back) - 1] == '\n')
			back[strlen(back) - 1] = '\0'; /* the last line is ended */
		check_that(strcmp(back, body) == 0);
		free(back);
		back = read_words(strstr(text, "Subject:") + 8);
		check_that(strcmp(back, subject) == 0);
		free(back);
		free(text);
		json_object_put(from);
	}
	checked("text and subject come back as they were, in short 7-bit lines");
}

int
main(void)
{
	plan(0);
	whole();
	parts();
	headers();
	refused();
	addresses();
	round_trip();
	return done();
}
