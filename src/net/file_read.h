/*
 * file_read.h: reading files without waiting for a disk.
 *
 * Opening, reading and closing are done by libuv's threads and come back as callbacks on the loop, so that
 * a slow disk delays only whoever reads the file, and never a caller's audio.
 */
#ifndef VA_NET_FILE_READ_H
#define VA_NET_FILE_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct file_read;
struct loop;

struct file_read_handlers
{
	/* It is open and has size bytes; or error says in words why not, and it is gone. */
	void (*opened)(void *arg, uint64_t size, const char *error);
	/* What file_read_piece asked for: len bytes, fewer only at the file's end, in memory of malloc's that is
	 * the owner's now; -1 and NULL on an error. */
	void (*piece)(void *arg, char *data, ssize_t len);
};

/* Opens a regular file, whose last part is no symbolic link. No handler is called before this returns. NULL:
 * out of memory. */
struct file_read *file_read_open(struct loop *loop, const char *path,
								 const struct file_read_handlers *handlers, void *arg);
/* One at a time. handlers->piece follows, never before this returns. False: out of memory, and it does not. */
bool file_read_piece(struct file_read *file, uint64_t offset, size_t len);
/* Ends it, also while something is under way; no handler is called any more. NULL is fine. */
void file_read_close(struct file_read *file);

#endif
