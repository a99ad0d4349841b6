/*
 * spool.h: a file that is written piece by piece beside its final place and moved there when it is
 * complete, with its length and SHA-256: nobody ever sees half a recording.
 */
#ifndef VA_DISPATCHER_SPOOL_H
#define VA_DISPATCHER_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "core/sigv4.h"

struct spool;

/* directory: of stored files, made if need be (mode 0700); path: of the file in it, "a/b/c.wav", whose
 * folders are made too. keep false: a file that is only passed on; it has no place of its own. NULL
 * with *err filled. */
struct spool *spool_open(const char *directory, const char *path, bool keep, struct va_error *err);
/* False once something went wrong; spool_error says what. */
bool spool_write(struct spool *spool, const char *data, size_t len);
/* The last byte was written: the hash is known from here on, and reading begins at the first byte. */
bool spool_complete(struct spool *spool);
uint64_t spool_bytes(const struct spool *spool);
const char *spool_hash(const struct spool *spool);
/* At most size bytes; 0 at the end; -1 on an error. */
long spool_read(struct spool *spool, char *into, size_t size);
/* Puts it in its place, on the disk for good. */
bool spool_keep(struct spool *spool);
const char *spool_error(const struct spool *spool);
/* Removes what was not kept. NULL is fine. */
void spool_free(struct spool *spool);

/* Removes a kept file and what a killed attempt left of it; what is not there is no error. */
bool spool_remove(const char *directory, const char *path, struct va_error *err);

#endif
