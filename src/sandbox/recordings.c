/*
 * recordings.c: the stand-in for the place where Twilio keeps recordings (/media/2010-04-01/Accounts/AC…/
 * Recordings/RE….wav).
 *
 * The last eight digits of a SID are the length of its recording in hexadecimal; the bytes follow from their
 * places, so that a test can compute them too: byte n is n * 7 + n / 256, modulo 256. A SID that begins with
 * "RE0404" does not exist. The token is that of the sandbox's telephone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/json_text.h"
#include "sandbox/providers.h"

/* AC00000000000000000000000000000001:0123456789abcdef0123456789abcdef */
#define AUTHORIZATION                                                                              \
	"Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTowMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2" \
	"RlZg=="
#define SID_LENGTH 34

static void *
recordings_open(const struct stand_in_host *host)
{
	return (void *) host;
}

static void
recordings_close(void *self)
{
	(void) self;
}

static void
say(struct stand_in_exchange *ex, int status, long code, const char *message)
{
	struct json_object *body = json_object_new_object();

	json_put_int(body, "code", code);
	json_put_text(body, "message", message);
	json_put_int(body, "status", status);
	stand_in_answer_json(ex, status, body);
}

static void
send_recording(const struct stand_in_host *host, struct stand_in_exchange *ex, const char *sid)
{
	size_t len = strtoul(sid + SID_LENGTH - 8, NULL, 16);
	char *bytes = malloc(len + 1);
	char name[SID_LENGTH + 1];

	if (bytes == NULL)
		abort();
	for (size_t n = 0; n < len; n++)
		bytes[n] = (char) (n * 7 + n / 256);
	snprintf(name, sizeof(name), "%.*s", SID_LENGTH, sid);
	ledger_note(host->ledger, name, "fetched", NULL, NULL);
	stand_in_answer(ex, 200, "audio/x-wav", bytes, len, NULL);
	free(bytes);
}

static void
recordings_request(void *self, struct stand_in_exchange *ex, const struct stand_in_request *r)
{
	const char *sid = strstr(r->path, "/Recordings/RE");

	if (strcmp(stand_in_header(ex, "authorization"), AUTHORIZATION) != 0)
		say(ex, 401, 20003, "Authenticate");
	else if (strcmp(r->method, "GET") != 0)
		say(ex, 405, 20004, "Method not allowed");
	else if (sid == NULL || strncmp(sid, "/Recordings/RE0404", 18) == 0 ||
			 strcmp(sid + strlen("/Recordings/") + SID_LENGTH, ".wav") != 0)
		say(ex, 404, 20404, "The requested resource was not found");
	else
		send_recording(self, ex, sid + strlen("/Recordings/"));
}

const struct stand_in recordings_stand_in = {"/media", recordings_open, recordings_request,
											 recordings_close};
