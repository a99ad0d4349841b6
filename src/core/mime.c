/*
 * mime.c: see mime.h.
 *
 * Every body is encoded (quoted-printable or base64), so that neither a line of it can be too long
 * nor a byte of it be mistaken for a boundary: "=_" occurs in neither encoding, and the boundaries
 * begin with it. Headers hold what mail.c let through, which has no line ends, and are folded here.
 */
#include "core/mime.h"

#include <string.h>
#include <time.h>

#include "core/base64.h"
#include "core/utf8.h"

#define FOLD_AT 76 /* RFC 5322, 2.1.1: lines should have at most 78 characters */
#define WORD_BYTES 42 /* of text in one encoded word: 56 of base64, 12 around it */
#define WORD_MAX 66 /* a longer one is encoded, so that it can be folded */
#define LINE_BYTES 57 /* of data in one line of base64: 76 characters */
#define MIXED "=_voiceagent_mixed"
#define ALTERNATIVE "=_voiceagent_alternative"

/* A header line being written. */
struct header
{
	struct buf *out;
	size_t column;
	bool begun; /* a fold before the first piece would leave a line with nothing but the name */
};

static struct header
header_begin(struct buf *out, const char *name)
{
	struct header h = {out, strlen(name) + 1, false};

	buf_str(out, name);
	buf_str(out, ":");
	return h;
}

/* One piece that is not broken, after a blank or a fold. */
static void
header_piece(struct header *h, const char *text, size_t len)
{
	if (h->column + 1 + len > FOLD_AT && h->begun)
	{
		buf_str(h->out, "\r\n");
		h->column = 0;
	}
	buf_char(h->out, ' ');
	buf_add(h->out, text, len);
	h->column += 1 + len;
	h->begun = true;
}

static void
header_end(struct header *h)
{
	buf_str(h->out, "\r\n");
}

/* ASCII text, folded at its blanks. */
static void
header_words(struct header *h, const char *text)
{
	while (*text != '\0')
	{
		size_t len = strcspn(text, " ");

		if (len > 0)
			header_piece(h, text, len);
		text += len + (text[len] == ' ');
	}
}

/* RFC 2047: base64 words of at most 75 characters, each of whole characters. */
static void
header_encoded(struct header *h, const char *text)
{
	size_t left = strlen(text);

	while (left > 0)
	{
		size_t len = left <= WORD_BYTES ? left : WORD_BYTES;
		char word[16 + BASE64_LENGTH(WORD_BYTES)] = "=?UTF-8?B?";
		size_t at = strlen(word);

		while (len < left && len > 1 && ((unsigned char) text[len] & 0xC0) == 0x80)
			len--;
		at += base64_encode((const uint8_t *) text, len, word + at);
		memcpy(word + at, "?=", 2);
		header_piece(h, word, at + 2);
		text += len;
		left -= len;
	}
}

/* Can the text stand as it is? Not when a reader would decode part of it, nor when a word of it
 * could not be folded. */
static bool
plain(const char *text)
{
	size_t word = 0;

	for (const char *c = text; *c != '\0'; c++)
	{
		if ((unsigned char) *c < 0x20 || (unsigned char) *c > 0x7E)
			return false;
		word = *c == ' ' ? 0 : word + 1;
		if (word > WORD_MAX)
			return false;
	}
	return strstr(text, "=?") == NULL && text[0] != ' ' && strstr(text, "  ") == NULL &&
		   (text[0] == '\0' || text[strlen(text) - 1] != ' ');
}

static void
text_header(struct buf *out, const char *name, const char *text)
{
	struct header h = header_begin(out, name);

	if (plain(text))
		header_words(&h, text);
	else
		header_encoded(&h, text);
	header_end(&h);
}

/* A display name: a quoted string when it is short ASCII, else encoded words. */
static void
display_name(struct header *h, const char *name)
{
	char quoted[FOLD_AT];
	struct buf out;

	buf_init(&out, quoted, sizeof(quoted));
	buf_char(&out, '"');
	for (const char *c = name; *c != '\0'; c++)
	{
		if (*c == '"' || *c == '\\')
			buf_char(&out, '\\');
		buf_char(&out, *c);
	}
	buf_char(&out, '"');
	if (plain(name) && !out.overflow)
		header_piece(h, quoted, out.len);
	else
		header_encoded(h, name);
}

static void
address(struct header *h, const struct mail_address *who, bool more)
{
	char text[300];
	struct buf out;

	buf_init(&out, text, sizeof(text));
	buf_printf(&out, who->name != NULL ? "<%s>%s" : "%s%s", who->email, more ? "," : "");
	if (who->name != NULL)
		display_name(h, who->name);
	header_piece(h, text, out.len);
}

static void
addresses(struct buf *out, const char *name, const struct mail_address *list, size_t count)
{
	struct header h = header_begin(out, name);

	for (size_t i = 0; i < count; i++)
		address(&h, &list[i], i + 1 < count);
	header_end(&h);
}

static bool
date_header(struct buf *out, int64_t seconds)
{
	static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
									 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t at = (time_t) seconds;
	struct tm utc;

	if (seconds < 0 || seconds > INT64_C(253402300799) || gmtime_r(&at, &utc) == NULL)
		return false;
	buf_printf(out, "Date: %s, %d %s %d %02d:%02d:%02d +0000\r\n", days[utc.tm_wday], utc.tm_mday,
			   months[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
	return true;
}

/* ---- bodies ---- */

static void
base64_lines(struct buf *out, const void *data, size_t len)
{
	const uint8_t *from = data;

	while (len > 0)
	{
		size_t n = len < LINE_BYTES ? len : LINE_BYTES;
		char line[BASE64_LENGTH(LINE_BYTES)];

		buf_add(out, line, base64_encode(from, n, line));
		buf_str(out, "\r\n");
		from += n;
		len -= n;
	}
}

/* RFC 2045, 6.7. Line ends become CRLF, however they were written. */
static void
quoted_printable(struct buf *out, const char *text)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t column = 0;

	for (const char *c = text; *c != '\0'; c++)
	{
		unsigned char byte = (unsigned char) *c;
		bool last = c[1] == '\0' || c[1] == '\n' || c[1] == '\r';
		bool literal =
			(byte > 0x20 && byte < 0x7F && byte != '=') || ((byte == ' ' || byte == '\t') && !last);

		if (byte == '\r' || byte == '\n')
		{
			if (byte == '\r' && c[1] == '\n')
				c++;
			buf_str(out, "\r\n");
			column = 0;
			continue;
		}
		if (column + (literal ? 1 : 3) > FOLD_AT - 1)
		{
			buf_str(out, "=\r\n");
			column = 0;
		}
		if (literal)
			buf_char(out, (char) byte);
		else
		{
			char code[3] = {'=', digits[byte >> 4], digits[byte & 15]};

			buf_add(out, code, 3);
		}
		column += literal ? 1 : 3;
	}
	if (column > 0)
		buf_str(out, "\r\n");
}

static void
text_part(struct buf *out, const char *subtype, const char *text)
{
	buf_printf(out,
			   "Content-Type: text/%s; charset=utf-8\r\n"
			   "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
			   subtype);
	quoted_printable(out, text);
}

static void
calendar_part(struct buf *out, const struct mail *mail)
{
	buf_printf(out,
			   "Content-Type: text/calendar; charset=utf-8; method=%s;\r\n component=VEVENT\r\n"
			   "Content-Transfer-Encoding: base64\r\n\r\n",
			   mail->calendar_method);
	base64_lines(out, mail->calendar, strlen(mail->calendar));
}

/* RFC 2231: name*0*=UTF-8''… in pieces that lines can hold; a plain quoted string where the name
 * is short ASCII. */
static void
parameter(struct buf *out, const char *name, const char *value)
{
	static const char digits[] = "0123456789ABCDEF";
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	size_t column = 0;
	unsigned section = 1;

	if (strlen(value) <= 60 && plain(value) && strpbrk(value, "\"\\") == NULL)
	{
		buf_printf(out, ";\r\n %s=\"%s\"", name, value);
		return;
	}
	buf_printf(out, ";\r\n %s*0*=UTF-8''", name);
	for (const char *c = value; *c != '\0'; c++)
	{
		unsigned char byte = (unsigned char) *c;

		if (column > 45)
		{
			buf_printf(out, ";\r\n %s*%u*=", name, section++);
			column = 0;
		}
		if (strchr(safe, byte) != NULL)
			buf_char(out, (char) byte);
		else
		{
			char code[3] = {'%', digits[byte >> 4], digits[byte & 15]};

			buf_add(out, code, 3);
		}
		column += strchr(safe, byte) != NULL ? 1 : 3;
	}
}

static void
attachment_part(struct buf *out, const struct mail_attachment *a)
{
	buf_printf(out, "Content-Type: %s", a->type);
	parameter(out, "name", a->filename);
	buf_printf(out, "\r\nContent-Disposition: %s", a->content_id != NULL ? "inline" : "attachment");
	parameter(out, "filename", a->filename);
	if (a->content_id != NULL)
		buf_printf(out, "\r\nContent-ID: <%s>", a->content_id);
	buf_str(out, "\r\nContent-Transfer-Encoding: base64\r\n\r\n");
	base64_lines(out, a->data, a->len);
}

static bool
calendar_beside(const struct mail *mail)
{
	return mail->calendar != NULL && mail->calendar_style != MAIL_CALENDAR_ATTACHMENT;
}

static bool
calendar_attached(const struct mail *mail)
{
	return mail->calendar != NULL && mail->calendar_style != MAIL_CALENDAR_ALTERNATIVE;
}

/* The texts: one part, or alternatives, the best last. */
static void
body_part(struct buf *out, const struct mail *mail)
{
	if ((mail->text != NULL) + (mail->html != NULL) + calendar_beside(mail) == 1)
	{
		text_part(out, mail->text != NULL ? "plain" : "html",
				  mail->text != NULL ? mail->text : mail->html);
		return;
	}
	buf_str(out, "Content-Type: multipart/alternative;\r\n boundary=\"" ALTERNATIVE "\"\r\n\r\n");
	if (mail->text != NULL)
	{
		buf_str(out, "--" ALTERNATIVE "\r\n");
		text_part(out, "plain", mail->text);
	}
	if (mail->html != NULL)
	{
		buf_str(out, "--" ALTERNATIVE "\r\n");
		text_part(out, "html", mail->html);
	}
	if (calendar_beside(mail))
	{
		buf_str(out, "--" ALTERNATIVE "\r\n");
		calendar_part(out, mail);
	}
	buf_str(out, "--" ALTERNATIVE "--\r\n");
}

static void
mixed_part(struct buf *out, const struct mail *mail)
{
	struct mail_attachment invitation = {
		.filename =
			strcmp(mail->calendar_method != NULL ? mail->calendar_method : "", "CANCEL") == 0
				? "cancelled.ics"
				: "invite.ics",
		.type = "application/ics",
		.data = (const uint8_t *) mail->calendar,
		.len = mail->calendar != NULL ? strlen(mail->calendar) : 0,
	};

	buf_str(out, "Content-Type: multipart/mixed; boundary=\"" MIXED "\"\r\n\r\n--" MIXED "\r\n");
	body_part(out, mail);
	for (size_t i = 0; i < mail->attachment_count; i++)
	{
		buf_str(out, "--" MIXED "\r\n");
		attachment_part(out, &mail->attachments[i]);
	}
	if (calendar_attached(mail))
	{
		buf_str(out, "--" MIXED "\r\n");
		attachment_part(out, &invitation);
	}
	buf_str(out, "--" MIXED "--\r\n");
}

size_t
mime_size(const struct mail *mail)
{
	size_t size = 16384 + strlen(mail->subject) * 3;

	for (size_t i = 0; i < mail->to_count; i++)
		size += 400 + (mail->to[i].name != NULL ? strlen(mail->to[i].name) * 3 : 0);
	size += mail->from.name != NULL ? strlen(mail->from.name) * 3 : 0;
	size += mail->reply_to.name != NULL ? strlen(mail->reply_to.name) * 3 : 0;
	for (size_t i = 0; i < mail->header_count; i++)
		size += 2 * (strlen(mail->headers[i].name) + strlen(mail->headers[i].value)) + 8;
	size += mail->text != NULL ? strlen(mail->text) * 4 : 0;
	size += mail->html != NULL ? strlen(mail->html) * 4 : 0;
	size += mail->calendar != NULL ? strlen(mail->calendar) * 4 : 0;
	for (size_t i = 0; i < mail->attachment_count; i++)
		size += 4096 + mail->attachments[i].len / 2 * 3;
	return size;
}

bool
mime_print(struct buf *out, const struct mail *mail, struct va_error *err)
{
	if (mail->text == NULL && mail->html == NULL)
		return va_fail(err, "a mail without text");
	if (!date_header(out, mail->date))
		return va_fail(err, "the mail's date is out of range");
	addresses(out, "From", &mail->from, 1);
	addresses(out, "To", mail->to, mail->to_count);
	if (mail->reply_to.email != NULL)
		addresses(out, "Reply-To", &mail->reply_to, 1);
	text_header(out, "Subject", mail->subject);
	if (mail->message_id != NULL)
		buf_printf(out, "Message-ID: <%s>\r\n", mail->message_id);
	for (size_t i = 0; i < mail->header_count; i++)
	{
		struct header h = header_begin(out, mail->headers[i].name);

		header_words(&h, mail->headers[i].value);
		header_end(&h);
	}
	buf_str(out, "MIME-Version: 1.0\r\n");
	if (mail->attachment_count > 0 || calendar_attached(mail))
		mixed_part(out, mail);
	else
		body_part(out, mail);
	return !out->overflow || va_fail(err, "the mail is too long");
}
