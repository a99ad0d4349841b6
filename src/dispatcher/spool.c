/*
 * spool.c: see spool.h.
 *
 * Paths come from the database, which makes them of ids; they are checked all the same, for this
 * program may remove files. Writing is plain write(2): local disks take a recording's pieces without
 * waiting, and no caller's audio passes through this program.
 */
#include "dispatcher/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PART ".part" /* what the name of an unfinished file ends in */

struct spool
{
	int fd;
	bool keep, kept;
	char place[PATH_MAX]; /* final; "" when it has none */
	char part[PATH_MAX]; /* where it is written */
	EVP_MD_CTX *digest;
	uint64_t bytes;
	char hash[SIGV4_HASH_SIZE];
	struct va_error error;
};

/* Relative, without empty, "." and ".." parts. */
static bool
good_path(const char *path)
{
	size_t len;

	for (;; path += len + 1)
	{
		len = strcspn(path, "/");
		if (len == 0 || strncmp(path, ".", len) == 0 || strncmp(path, "..", len) == 0)
			return false;
		if (path[len] == '\0')
			return true;
	}
}

static bool
join(char out[PATH_MAX], const char *directory, const char *path, const char *end)
{
	int len = snprintf(out, PATH_MAX, "%s/%s%s", directory, path, end);

	return len > 0 && len < PATH_MAX;
}

/* Makes the folders on the way to a file, from `from` characters on. */
static bool
make_folders(char *file, size_t from, struct va_error *err)
{
	for (char *at = file + from; (at = strchr(at, '/')) != NULL; at++)
	{
		*at = '\0';
		if (mkdir(file, 0700) != 0 && errno != EEXIST)
			return va_fail(err, "a folder for stored files cannot be made: %s", strerror(errno));
		*at = '/';
	}
	return true;
}

static bool
begin_digest(struct spool *s)
{
	s->bytes = 0;
	return EVP_DigestInit_ex(s->digest, EVP_sha256(), NULL) == 1 ||
		   va_fail(&s->error, "out of memory");
}

/* A file that has a place is written beside it, under a name that another attempt takes up again: what a killed
 * dispatcher left is overwritten. The lock is for the attempt of a dispatcher that was only thought dead. */
static bool
open_beside(struct spool *s, const char *directory, const char *path)
{
	if (!join(s->place, directory, path, "") || !join(s->part, directory, path, PART))
		return va_fail(&s->error, "the path of the file is too long");
	if (mkdir(directory, 0700) != 0 && errno != EEXIST)
		return va_fail(&s->error, "the folder of stored files cannot be made: %s", strerror(errno));
	if (!make_folders(s->part, strlen(directory) + 1, &s->error))
		return false;
	s->fd = open(s->part, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (s->fd < 0)
		return va_fail(&s->error, "a file cannot be made: %s", strerror(errno));
	if (flock(s->fd, LOCK_EX | LOCK_NB) == 0)
		return ftruncate(s->fd, 0) == 0 ||
			   va_fail(&s->error, "a file cannot be emptied: %s", strerror(errno));
	close(s->fd);
	s->fd = -1;
	return va_fail(&s->error, "another attempt is still writing the file");
}

static bool
open_nameless(struct spool *s)
{
	const char *tmp = getenv("TMPDIR");

	if (!join(s->part, tmp != NULL && tmp[0] == '/' ? tmp : "/tmp", "voiceagent.XXXXXX", ""))
		return va_fail(&s->error, "the path of the temporary folder is too long");
	s->fd = mkostemp(s->part, O_CLOEXEC);
	if (s->fd < 0)
		return va_fail(&s->error, "a temporary file cannot be made: %s", strerror(errno));
	unlink(s->part);
	return true;
}

struct spool *
spool_open(const char *directory, const char *path, bool keep, struct va_error *err)
{
	struct spool *s;

	if (keep && (directory[0] != '/' || !good_path(path)))
	{
		va_fail(err, "this is no path of a stored file");
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (s == NULL)
	{
		va_fail(err, "out of memory");
		return NULL;
	}
	s->fd = -1;
	s->keep = keep;
	s->digest = EVP_MD_CTX_new();
	if (s->digest == NULL || !begin_digest(s) ||
		!(keep ? open_beside(s, directory, path) : open_nameless(s)))
	{
		va_fail(err, "%s", s->digest == NULL ? "out of memory" : s->error.text);
		spool_free(s);
		return NULL;
	}
	return s;
}

bool
spool_write(struct spool *s, const char *data, size_t len)
{
	if (s->error.text[0] != '\0')
		return false;
	if (EVP_DigestUpdate(s->digest, data, len) != 1)
		return va_fail(&s->error, "the file cannot be hashed");
	s->bytes += len;
	while (len > 0)
	{
		ssize_t written = write(s->fd, data, len);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return va_fail(&s->error, "the file cannot be written: %s", strerror(errno));
		data += written;
		len -= (size_t) written;
	}
	return true;
}

bool
spool_complete(struct spool *s)
{
	unsigned char digest[32];

	if (s->error.text[0] != '\0')
		return false;
	if (EVP_DigestFinal_ex(s->digest, digest, NULL) != 1)
		return va_fail(&s->error, "the file cannot be hashed");
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(s->hash + 2 * i, 3, "%02x", digest[i]);
	return lseek(s->fd, 0, SEEK_SET) == 0 ||
		   va_fail(&s->error, "the file cannot be read: %s", strerror(errno));
}

uint64_t
spool_bytes(const struct spool *s)
{
	return s->bytes;
}

const char *
spool_hash(const struct spool *s)
{
	return s->hash;
}

long
spool_read(struct spool *s, char *into, size_t size)
{
	ssize_t got;

	do
		got = read(s->fd, into, size);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		va_fail(&s->error, "the file cannot be read: %s", strerror(errno));
	return got;
}

/* The name is on the disk when its folder is. */
static bool
sync_folder(const char *file)
{
	char folder[PATH_MAX];
	size_t len = (size_t) (strrchr(file, '/') - file);
	bool synced;
	int fd;

	memcpy(folder, file, len);
	folder[len] = '\0';
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	synced = fsync(fd) == 0;
	close(fd);
	return synced;
}

bool
spool_keep(struct spool *s)
{
	if (s->error.text[0] != '\0')
		return false;
	if (fsync(s->fd) != 0 || rename(s->part, s->place) != 0 || !sync_folder(s->place))
		return va_fail(&s->error, "the file cannot be put in its place: %s", strerror(errno));
	s->kept = true;
	return true;
}

const char *
spool_error(const struct spool *s)
{
	return s->error.text;
}

void
spool_free(struct spool *s)
{
	if (s == NULL)
		return;
	if (s->fd >= 0)
	{
		/* While it is locked: nobody else's. */
		if (s->keep && !s->kept)
			unlink(s->part);
		close(s->fd);
	}
	EVP_MD_CTX_free(s->digest);
	free(s);
}

bool
spool_remove(const char *directory, const char *path, struct va_error *err)
{
	static const char *const ends[] = {"", PART};
	char file[PATH_MAX];

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
	{
		if (directory[0] != '/' || !good_path(path) || !join(file, directory, path, ends[i]))
			return va_fail(err, "this is no path of a stored file");
		if (unlink(file) != 0 && errno != ENOENT)
			return va_fail(err, "the file cannot be removed: %s", strerror(errno));
	}
	return true;
}
