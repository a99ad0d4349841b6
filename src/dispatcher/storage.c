/*
 * storage.c: see storage.h.
 *
 * What is stored is spooled to a file first, from Twilio piece by piece, so that its length and hash
 * are known before the first byte goes to S3, which wants both. All three kinds are repeatable: the
 * same bytes under the same name.
 *
 * Request: {"target": {"place": "file", "directory", "path"} or {"place": "s3", "endpoint", "region",
 * "bucket", "path", "path_style", "access_key", "secret_key"}, "media_type"} and, of a recording,
 * {"source": {"url", "user", "password"}}; of a document, "text" or "base64". Result: {"bytes", "sha256"}.
 */
#include "dispatcher/storage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "core/json.h"
#include "core/s3.h"
#include "core/sigv4.h"
#include "dispatcher/spool.h"
#include "net/loop.h"

#define HEADER_SIZE 1024
#define MAX_FILE (UINT64_C(1) << 30) /* a recording of a day and a half */
#define MAX_ERROR (64 * 1024)
#define MEDIA_REDIRECTS 3 /* Twilio's media lies elsewhere */
#define EARLY_ATTEMPTS 4 /* the callback may come before the recording is there */

static struct json_object *
target_of(struct job *job)
{
	return json_member(job_request(job), "target");
}

static bool
in_s3(struct job *job)
{
	return strcmp(json_text(target_of(job), "place", ""), "s3") == 0;
}

static struct spool *
spool_of(struct job *job)
{
	return job_state(job);
}

static void
abandon(struct job *job)
{
	spool_free(job_state(job));
	job_set_state(job, NULL);
}

static void
finish(struct job *job, const struct job_verdict *verdict)
{
	abandon(job);
	job_finish(job, verdict);
}

/* An exchange; without it the job is over, and so is what it holds. */
static void
exchange(struct job *job, const struct http_options *options, job_next next)
{
	struct spool *spool = spool_of(job);

	if (!job_http(job, options, next))
		spool_free(spool);
}

/* A failure on this host: the disk may be full now and not later. */
static void
retry_here(struct job *job, const char *text)
{
	struct job_verdict verdict = {
		.outcome = JOB_RETRY,
		.code = "disk",
		.text = text,
		.hint = "See to the disk and the folder voiceagent_files of the data directory.",
		.retry_after_s = -1};

	finish(job, &verdict);
}

static void
stored(struct job *job)
{
	struct json_object *result = json_object_new_object();
	struct job_verdict verdict = {.outcome = JOB_DONE, .retry_after_s = -1, .result = result};

	json_object_object_add(result, "bytes",
						   json_object_new_int64((int64_t) spool_bytes(spool_of(job))));
	json_object_object_add(result, "sha256", json_object_new_string(spool_hash(spool_of(job))));
	finish(job, &verdict);
}

/* ---- S3 ---- */

static void
judge_s3(struct job *job, const struct http_reply *reply)
{
	struct job_verdict verdict = {.retry_after_s = -1};
	struct s3_error error;

	job_judge(job, reply, &verdict);
	s3_read_error(&error, reply->body, reply->body_len);
	if (error.code[0] != '\0')
		verdict.code = error.code;
	if (error.message[0] != '\0')
		verdict.text = error.message;
	if (s3_hint(error.code) != NULL)
		verdict.hint = s3_hint(error.code);
	finish(job, &verdict);
}

/* Sends a request about the job's object, signed; hash: of the body. */
static void
send_s3(struct job *job, struct http_options *options, const char *hash, job_next next)
{
	struct json_object *t = target_of(job);
	struct sigv4_key key = {.access_key = json_text(t, "access_key", ""),
							.secret_key = json_text(t, "secret_key", ""),
							.region = json_text(t, "region", "us-east-1")};
	const char *media_type = json_text(job_request(job), "media_type", "application/octet-stream");
	struct sigv4_header headers[] = {{"content-type", media_type}};
	bool has_body = options->read_body != NULL;
	struct s3_address address;
	struct sigv4_request request = {.method = options->method,
									.host = address.host,
									.path = address.path,
									.query = "",
									.payload_hash = hash,
									.headers = headers,
									.header_count = has_body ? 1 : 0,
									.at_s = loop_wall_ms() / 1000};
	char authorization[HEADER_SIZE] = "Authorization: ";
	char date[64], content_hash[128], type[256], signed_at[SIGV4_DATE_SIZE];
	const char *const lines[] = {authorization, date, content_hash, has_body ? type : NULL, NULL};
	struct va_error err = {""};
	struct buf b;

	buf_init(&b, authorization, sizeof(authorization));
	buf_str(&b, "Authorization: ");
	if (!s3_address(&address, json_text(t, "endpoint", ""), json_text(t, "bucket", ""),
					json_flag(t, "path_style", true), json_text(t, "path", ""), &err) ||
		!sigv4_date(request.at_s, signed_at) || !sigv4_authorization(&key, &request, &b, &err))
	{
		abandon(job);
		job_fail(job, "bad_setting", "Correct the setting storage and its secrets.", "%s",
				 err.text);
		return;
	}
	snprintf(date, sizeof(date), "x-amz-date: %s", signed_at);
	snprintf(content_hash, sizeof(content_hash), "x-amz-content-sha256: %s", hash);
	snprintf(type, sizeof(type), "Content-Type: %s", media_type);
	options->url = address.url;
	options->headers = lines;
	options->max_reply = MAX_ERROR;
	exchange(job, options, next);
}

static void
on_put(struct job *job, const struct http_reply *reply)
{
	if (reply->status == 200)
		stored(job);
	else if (spool_error(spool_of(job))[0] != '\0')
		retry_here(job, spool_error(spool_of(job)));
	else
		judge_s3(job, reply);
}

static size_t
read_spool(void *arg, char *into, size_t size)
{
	long got = spool_read(arg, into, size);

	return got < 0 ? HTTP_READ_FAILED : (size_t) got;
}

/* ---- what was spooled, to its place ---- */

static void
put_in_place(struct job *job)
{
	struct spool *spool = spool_of(job);

	if (!spool_complete(spool) || (!in_s3(job) && !spool_keep(spool)))
	{
		retry_here(job, spool_error(spool));
		return;
	}
	if (in_s3(job))
	{
		struct http_options options = {.method = "PUT",
									   .read_body = read_spool,
									   .body_len = (size_t) spool_bytes(spool),
									   .stream_arg = spool};

		send_s3(job, &options, spool_hash(spool), on_put);
	}
	else
		stored(job);
}

static bool
write_spool(void *arg, const char *data, size_t len)
{
	return spool_write(arg, data, len);
}

/* A page of a proxy's is no recording, whatever its status. */
static bool
is_audio(const struct http_reply *reply)
{
	const char *type = http_reply_header(reply, "content-type");

	return type == NULL || strncmp(type, "audio/", 6) == 0 ||
		   strncmp(type, "application/octet-stream", 24) == 0;
}

static void
on_media(struct job *job, const struct http_reply *reply)
{
	struct job_verdict verdict = {.retry_after_s = -1};

	if (reply->status == 200 && reply->error == NULL && is_audio(reply))
	{
		put_in_place(job);
		return;
	}
	if (spool_error(spool_of(job))[0] != '\0')
	{
		retry_here(job, spool_error(spool_of(job)));
		return;
	}
	job_judge(job, reply, &verdict);
	if (reply->status == 200 && reply->error == NULL)
		verdict.text = "what came is no recording";
	else if (reply->status == 404)
	{
		verdict.outcome = job_attempt(job) < EARLY_ATTEMPTS ? JOB_RETRY : JOB_FAILED;
		verdict.text = "Twilio has no such recording";
		verdict.hint = "It was deleted there, or belongs to another account.";
	}
	else if (reply->status == 401 || reply->status == 403)
		verdict.hint = "Set twilio_account_sid and the secret twilio_auth_token anew.";
	finish(job, &verdict);
}

static void
fetch(struct job *job)
{
	struct json_object *source = json_member(job_request(job), "source");
	char pair[256];
	char authorization[HEADER_SIZE] = "Authorization: Basic ";
	size_t at = strlen(authorization);
	int len = snprintf(pair, sizeof(pair), "%s:%s", json_text(source, "user", ""),
					   json_text(source, "password", ""));
	const char *const headers[] = {authorization, NULL};
	struct http_options options = {.method = "GET",
								   .url = json_text(source, "url", ""),
								   .headers = headers,
								   .max_reply = MAX_ERROR,
								   .max_redirects = MEDIA_REDIRECTS,
								   .sink = write_spool,
								   .sink_limit = MAX_FILE,
								   .stream_arg = spool_of(job)};

	if (len < 0 || (size_t) len >= sizeof(pair))
	{
		abandon(job);
		job_fail(job, "bad_secret", "Set the secret twilio_auth_token anew.",
				 "the token is too long");
		return;
	}
	authorization[at + base64_encode((uint8_t *) pair, (size_t) len, authorization + at)] = '\0';
	exchange(job, &options, on_media);
}

/* ---- what the database has ---- */

static void
spool_document(struct job *job)
{
	struct json_object *request = job_request(job);
	const char *text = json_text(request, "text", NULL);
	const char *encoded = json_text(request, "base64", "");
	size_t len = strlen(encoded);
	uint8_t *bytes;
	ssize_t count;

	if (text != NULL)
		spool_write(spool_of(job), text, strlen(text));
	else
	{
		bytes = malloc(len + 1);
		count = bytes == NULL ? -1 : base64_decode(encoded, len, bytes, len + 1);
		if (count >= 0)
			spool_write(spool_of(job), (char *) bytes, (size_t) count);
		free(bytes);
		if (count < 0)
		{
			abandon(job);
			job_fail(job, "bad_content", NULL, "the content is not base64");
			return;
		}
	}
	put_in_place(job);
}

/* ---- away ---- */

static void
on_deleted(struct job *job, const struct http_reply *reply)
{
	struct job_verdict verdict = {.outcome = JOB_DONE, .retry_after_s = -1};
	struct s3_error error;

	s3_read_error(&error, reply->body, reply->body_len);
	if ((reply->status >= 200 && reply->status < 300) ||
		(reply->status == 404 && strcmp(error.code, "NoSuchBucket") != 0))
		finish(job, &verdict);
	else
		judge_s3(job, reply);
}

static void
remove_object(struct job *job)
{
	struct job_verdict verdict = {.outcome = JOB_DONE, .retry_after_s = -1};
	struct http_options options = {.method = "DELETE"};
	struct va_error err = {""};
	char nothing[SIGV4_HASH_SIZE];

	if (in_s3(job))
	{
		sigv4_hash("", 0, nothing);
		send_s3(job, &options, nothing, on_deleted);
	}
	else if (spool_remove(json_text(target_of(job), "directory", ""),
						  json_text(target_of(job), "path", ""), &err))
		finish(job, &verdict);
	else
		retry_here(job, err.text);
}

static void
perform(struct job *job)
{
	struct va_error err = {""};
	struct spool *spool;

	if (strcmp(job_kind(job), "storage.delete") == 0)
	{
		remove_object(job);
		return;
	}
	spool = spool_open(json_text(target_of(job), "directory", ""),
					   json_text(target_of(job), "path", ""), !in_s3(job), &err);
	if (spool == NULL)
	{
		retry_here(job, err.text);
		return;
	}
	job_set_state(job, spool);
	if (strcmp(job_kind(job), "storage.recording") == 0)
		fetch(job);
	else
		spool_document(job);
}

const struct provider storage_provider = {"storage", perform, NULL, abandon};
