/*
 * sendgrid.h: SendGrid's v3 API and Event Webhook, as bytes.
 *
 * Sources: docs "Mail Send" (v3/mail/send), "Event Webhook reference", "Event Webhook security
 * features" of Twilio SendGrid.
 */
#ifndef VA_CORE_SENDGRID_H
#define VA_CORE_SENDGRID_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "core/mail.h"

#define SENDGRID_MAX_EVENTS 5000 /* in one delivery: batches end at 768 KB */
#define SENDGRID_MESSAGE_ID_SIZE 128

/* The body of POST /v3/mail/send, to be released; NULL with *err when there is no memory or an
 * argument breaks a limit of the API (custom arguments of 10,000 bytes, ten categories). Each
 * recipient gets a personalization of his own, so that none sees another. */
struct json_object *sendgrid_body(const struct mail *mail, struct va_error *err);

/* The first error of a reply {"errors": [{"message", "field"}]}: "message (field)", cut to fit.
 * "" when the body is none of these. */
void sendgrid_read_error(const char *body, size_t len, char *text, size_t size);

/* Is the signature, base64 of a DER ECDSA signature (P-256, SHA-256) over timestamp and raw body,
 * right by the public key, base64 of its SubjectPublicKeyInfo? */
bool sendgrid_verify(const char *public_key, const char *timestamp, const char *body,
					 size_t body_len, const char *signature);

/* Is this a public key that sendgrid_verify can use? */
bool sendgrid_key_good(const char *public_key);

/* A signed timestamp, seconds since 1970 in decimal, not further than tolerance_s from now_s. */
bool sendgrid_timestamp_fresh(const char *timestamp, int64_t now_s, int64_t tolerance_s);

/* Reads a delivery of the Event Webhook: an array of objects {"event", "event_id", "at" (seconds),
 * "to", "message_id" (as mail/send returned it), "reason", "status", "type", "url", "group",
 * "machine", "tenant", "key", "notification"}, each there when the event had it. Events without
 * an id, a name or a time are left out and counted in *skipped. NULL with *err when the body is no
 * array of objects. */
struct json_object *sendgrid_read_events(const char *body, size_t len, size_t *skipped,
										 struct va_error *err);

#endif
