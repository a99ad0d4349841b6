/*
 * smtp.c: hands a mail to a mail server.
 *
 * Request: {"host", "port", "security", "user", "password", "message": see core/mail.h}. The result
 * is {"message_id", "reply"}: the mail's own Message-ID and the server's words. 4xx is tried again,
 * 5xx is final; a mail that went out whole and got no answer may have been accepted, which nobody
 * can look up, so it waits for a person.
 */
#include "dispatcher/smtp.h"

#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/mime.h"
#include "net/smtp_client.h"

#define CONNECT_TIMEOUT_MS 15000

/* One for the program's one loop; the loop frees it. */
static struct smtp_client *client;

static const struct
{
	const char *error;
	enum job_outcome outcome;
	const char *code;
	const char *hint;
} errors[] = {
	{"certificate not accepted", JOB_FAILED, "certificate",
	 "The server's certificate is not issued for this host, or by nobody this machine trusts."},
	{"the server offers no TLS", JOB_FAILED, "no_tls",
	 "Set \"security\" in the setting smtp to \"tls\" (port 465), or to \"none\" for a server on "
	 "this "
	 "machine."},
	{"user or password not accepted", JOB_FAILED, "unauthorized",
	 "Look at \"user\" in the setting smtp and at the secret smtp_password."},
	{"the address is on this machine or in a private network", JOB_FAILED, "private_address",
	 "The administrator may allow such addresses: voiceagent.allow_private_urls."},
};

/* Which of the server's codes have a hint of their own (RFC 3463, the enhanced ones). */
static const char *
hint_of(const char *words)
{
	if (strstr(words, "5.1.1") != NULL || strstr(words, "5.1.2") != NULL)
		return "The recipient's address does not exist: correct it.";
	if (strstr(words, "5.7.") != NULL)
		return "The server does not let this sender or this content pass: see its words.";
	if (strstr(words, "5.2.3") != NULL || strstr(words, "5.3.4") != NULL)
		return "The mail is too large for the server.";
	return "The server refuses the mail: see its words.";
}

static void
judge(const struct smtp_reply *reply, struct job_verdict *v)
{
	*v = (struct job_verdict){.outcome = JOB_RETRY,
							  .code = "not_reached",
							  .text = reply->error,
							  .provider_down = true,
							  .retry_after_s = -1};
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
	{
		if (strcmp(errors[i].error, reply->error) == 0)
		{
			v->outcome = errors[i].outcome;
			v->code = errors[i].code;
			v->hint = errors[i].hint;
			v->provider_down = false;
			/* 454: the server could not check the password at this moment. */
			if (reply->status >= 400 && reply->status < 500)
				v->outcome = JOB_RETRY;
			if (reply->status >= 400)
				v->text = reply->words;
			return;
		}
	}
	if (reply->doubtful)
	{
		v->outcome = JOB_UNKNOWN;
		v->code = "no_answer";
		v->hint = "The server got the whole mail and did not answer: ask the recipient, or the "
				  "server's log.";
	}
	else if (reply->status >= 500)
	{
		v->outcome = JOB_FAILED;
		v->code = "refused";
		v->text = reply->words;
		v->hint = hint_of(reply->words);
		v->provider_down = false;
	}
	else if (reply->status >= 400)
	{
		v->code = "later";
		v->text = reply->words;
		/* 421: the server goes down. Others speak of this mail alone. */
		v->provider_down = reply->status == 421;
	}
}

static void
on_answer(void *arg, const struct smtp_reply *reply)
{
	struct job *job = arg;
	struct job_verdict verdict = {.outcome = JOB_DONE, .retry_after_s = -1};

	if (reply->accepted)
	{
		verdict.result = json_object_new_object();
		json_object_object_add(verdict.result, "message_id",
							   json_object_new_string(json_text(
								   json_member(job_request(job), "message"), "message_id", "")));
		json_object_object_add(verdict.result, "reply", json_object_new_string(reply->words));
	}
	else
		judge(reply, &verdict);
	job_finish(job, &verdict);
}

static enum smtp_security
security_of(const char *name)
{
	return strcmp(name, "tls") == 0	   ? SMTP_TLS
		   : strcmp(name, "none") == 0 ? SMTP_PLAIN
									   : SMTP_STARTTLS;
}

/* The printed mail, to be freed; NULL with *err. */
static char *
print(const struct mail *mail, size_t *len, struct va_error *err)
{
	size_t size = mime_size(mail);
	char *text = malloc(size);
	struct buf out;

	if (text == NULL)
	{
		va_fail(err, "out of memory");
		return NULL;
	}
	buf_init(&out, text, size);
	if (!mime_print(&out, mail, err))
	{
		free(text);
		return NULL;
	}
	*len = out.len;
	return text;
}

static void
send_mail(struct job *job, const struct mail *mail, char *text, size_t len)
{
	struct json_object *request = job_request(job);
	const char *to[MAIL_MAX_TO + 1] = {NULL};
	int64_t port = 0;
	struct smtp_call *call;

	json_integer(request, "port", &port);
	for (size_t i = 0; i < mail->to_count; i++)
		to[i] = mail->to[i].email;
	call = smtp_client_send(client,
							&(struct smtp_options){
								.host = json_text(request, "host", ""),
								.port = (unsigned) port,
								.security = security_of(json_text(request, "security", "")),
								.user = json_text(request, "user", NULL),
								.password = json_text(request, "password", NULL),
								.from = mail->from.email,
								.to = to,
								.message = text,
								.message_len = len,
								.guard = job_guarded(job),
								.connect_timeout_ms = CONNECT_TIMEOUT_MS,
								.timeout_ms = job_left_ms(job),
							},
							on_answer, job);
	job_set_state(job, call);
	if (call == NULL)
		job_fail(job, "bad_server", "Look at the setting smtp.",
				 "the mail server's name cannot be used");
}

static void
perform(struct job *job)
{
	struct va_error err = {""};
	struct mail mail;
	char *text;
	size_t len;

	if (client == NULL)
		client = smtp_client_new(job_loop(job));
	if (client == NULL)
	{
		job_fail(job, "no_client", NULL, "libcurl cannot be used");
		return;
	}
	if (!mail_read(json_member(job_request(job), "message"), &mail, &err))
	{
		job_fail(job, "bad_message", "Correct the message or the lead's address.", "%s", err.text);
		return;
	}
	job_exchanging(job, false);
	text = print(&mail, &len, &err);
	if (text == NULL)
		job_fail(job, "bad_message", "Correct the message.", "%s", err.text);
	else
		send_mail(job, &mail, text, len);
	mail_free(&mail);
}

static void
abandon(struct job *job)
{
	/* Whether the mail may be with the server is known only now. */
	if (job_state(job) != NULL)
		job_exchanging(job, smtp_client_cancel(job_state(job)));
	job_set_state(job, NULL);
}

const struct provider smtp_provider = {"smtp", perform, NULL, abandon};
