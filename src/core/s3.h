/*
 * s3.h: the addresses of objects in S3-compatible storage, and what its errors say.
 *
 * Source: "REST API" and "Error responses" of the Amazon S3 API Reference; other makers speak the same.
 */
#ifndef VA_CORE_S3_H
#define VA_CORE_S3_H

#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"

#define S3_HOST_SIZE 320
#define S3_PATH_SIZE 4096
#define S3_URL_SIZE (S3_HOST_SIZE + S3_PATH_SIZE + 16)

struct s3_address
{
	char url[S3_URL_SIZE];
	char host[S3_HOST_SIZE]; /* as it is signed: with a port that is not the scheme's own */
	char path[S3_PATH_SIZE]; /* encoded */
};

/* endpoint: "https://s3.example.com", a scheme and a host. path_style: the bucket is the first part of
 * the path, otherwise of the host. False with *err filled when something is missing or too long. */
bool s3_address(struct s3_address *a, const char *endpoint, const char *bucket, bool path_style,
				const char *key, struct va_error *err);

struct s3_error
{
	char code[64]; /* "NoSuchBucket"; "" when the body holds none */
	char message[256];
};

/* Reads the XML of an error; any bytes are survived. */
void s3_read_error(struct s3_error *e, const char *body, size_t len);

/* What the user is to do about a code, or NULL. */
const char *s3_hint(const char *code);

#endif
