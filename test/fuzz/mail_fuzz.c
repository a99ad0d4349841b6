/* mail, mime, ics: whatever JSON comes, a mail that is printed has 7-bit lines of at most 998 characters, and no
 * header that was not meant: each line of the head is a known name, a given one, or a fold. */
#include "core/mime.h"

#include <strings.h>

#include "core/ics_reply.h"
#include "core/json.h"
#include "core/sendgrid.h"
#include "fuzz.h"

static bool
known(const struct mail *mail, const char *line)
{
	static const char *const ours[] = {"Date",		   "From",		   "To",
									   "Reply-To",	   "Subject",	   "Message-ID",
									   "MIME-Version", "Content-Type", "Content-Transfer-Encoding"};
	size_t len = strcspn(line, ":\r");

	if (*line == ' ')
		return true;
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strlen(ours[i]) == len && strncmp(line, ours[i], len) == 0)
			return true;
	for (size_t i = 0; i < mail->header_count; i++)
		if (strlen(mail->headers[i].name) == len && strncmp(line, mail->headers[i].name, len) == 0)
			return true;
	return false;
}

static void
check_printed(const struct mail *mail, const char *text)
{
	bool head = true;

	while (*text != '\0')
	{
		size_t len = strcspn(text, "\r\n");

		must(len <= 998 && text[len] == '\r' && text[len + 1] == '\n');
		for (size_t i = 0; i < len; i++)
			must(text[i] == '\t' || (text[i] >= 0x20 && text[i] < 0x7F));
		head = head && len > 0;
		must(!head || known(mail, text));
		text += len + 2;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct va_error err = {""};
	struct json_object *from = json_parse((const char *) data, size, &err);
	struct ics_reply reply;
	struct mail mail;

	ics_read_reply((const char *) data, size, &reply);
	if (from == NULL || !mail_read(from, &mail, &err))
		must(err.text[0] != '\0');
	else
	{
		size_t room = mime_size(&mail);
		char *text = malloc(room);
		struct buf out;

		must(text != NULL);
		buf_init(&out, text, room);
		if (mime_print(&out, &mail, &err))
			check_printed(&mail, text);
		must(!out.overflow);
		json_object_put(sendgrid_body(&mail, &err));
		free(text);
		mail_free(&mail);
	}
	json_object_put(from);
	return 0;
}
