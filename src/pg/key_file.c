/*
 * key_file.c: reads, and at first use makes, voiceagent.key in the data directory.
 *
 * 32 random bytes, mode 0600. The file is written under a name of its own and then linked to its
 * place: link() fails when another session was faster, and nobody ever reads half a key. The
 * directory is the current one of every server process.
 *
 * A process keeps the key it has read and looks each time whether the file is still the same one: a
 * key that was put back after a loss, or a file that was opened to others, must be noticed at once.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "miscadmin.h"
#include "storage/fd.h"

#include "pg/errcodes.h"
#include "pg/key_file.h"

#define KEY_FILE "voiceagent.key"

static __attribute__((noreturn)) void
refuse(const char *problem, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_VA_KEY_FILE), errmsg("key file \"%s\" %s", KEY_FILE, problem),
					errhint("%s", hint)));
	pg_unreachable();
}

static void
compute_id(struct va_key *key)
{
	static const char label[] = "voiceagent key id";
	unsigned char material[sizeof label + KEY_SIZE];
	unsigned char digest[SHA256_DIGEST_LENGTH];

	memcpy(material, label, sizeof label);
	memcpy(material + sizeof label, key->bytes, KEY_SIZE);
	SHA256(material, sizeof material, digest);
	memcpy(key->id, digest, KEY_ID_SIZE);
	explicit_bzero(material, sizeof material);
}

/* The key read last, and the file it was read from; st_ino is 0 when there is none. */
static struct va_key kept;
static struct stat kept_from;

/*
 * Any change to what is in a file, whose it is or who may read it sets its ctime anew.
 */
static bool
kept_is_current(void)
{
	struct stat now;

	return kept_from.st_ino != 0 && lstat(KEY_FILE, &now) == 0 && now.st_dev == kept_from.st_dev &&
		   now.st_ino == kept_from.st_ino && now.st_size == kept_from.st_size &&
		   now.st_ctim.tv_sec == kept_from.st_ctim.tv_sec &&
		   now.st_ctim.tv_nsec == kept_from.st_ctim.tv_nsec;
}

/*
 * The clock behind a ctime is coarse: a file changed this very moment may change again without a new
 * one, and is not kept.
 */
static void
keep(const struct va_key *key, const struct stat *info)
{
	if (info->st_ctim.tv_sec + 2 > time(NULL))
		return;
	kept = *key;
	kept_from = *info;
}

/* False when there is no such file. */
static bool
read_file(struct va_key *key)
{
	struct stat info;
	unsigned char extra;
	ssize_t got;
	int fd = OpenTransientFile(KEY_FILE, O_RDONLY | O_NOFOLLOW | PG_BINARY);

	if (fd < 0)
	{
		if (errno == ENOENT)
			return false;
		ereport(ERROR,
				(errcode(ERRCODE_VA_KEY_FILE),
				 errmsg("could not open key file \"%s\": %m", KEY_FILE),
				 errhint("It must be a file that the server's operating system user can read.")));
	}
	if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) ||
		(info.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		refuse("may be read by others", "Give it to the server's user alone: chmod 0600.");
	got = read(fd, key->bytes, KEY_SIZE);
	if (got != KEY_SIZE || read(fd, &extra, 1) != 0)
		refuse("does not hold 32 bytes", "Restore the file from a backup of the data directory.");
	CloseTransientFile(fd);
	compute_id(key);
	keep(key, &info);
	return true;
}

static void
write_file(const char *path, const unsigned char *bytes)
{
	int fd = OpenTransientFilePerm(path, O_WRONLY | O_CREAT | O_EXCL | PG_BINARY, 0600);

	if (fd < 0 || write(fd, bytes, KEY_SIZE) != KEY_SIZE || pg_fsync(fd) != 0 ||
		CloseTransientFile(fd) != 0)
	{
		int saved = errno;

		(void) unlink(path);
		errno = saved;
		ereport(ERROR, (errcode(ERRCODE_VA_KEY_FILE),
						errmsg("could not write key file \"%s\": %m", path)));
	}
}

static void
create_file(void)
{
	unsigned char bytes[KEY_SIZE];
	char path[MAXPGPATH];
	int result;
	int saved;

	if (!pg_strong_random(bytes, sizeof bytes))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a random key")));
	snprintf(path, sizeof path, "%s.%d.tmp", KEY_FILE, MyProcPid);
	(void) unlink(path); /* left by a process with this id that died in between */
	write_file(path, bytes);
	explicit_bzero(bytes, sizeof bytes);
	result = link(path, KEY_FILE);
	saved = errno;
	(void) unlink(path);
	if (result != 0 && saved != EEXIST)
	{
		errno = saved;
		ereport(ERROR, (errcode(ERRCODE_VA_KEY_FILE),
						errmsg("could not create key file \"%s\": %m", KEY_FILE)));
	}
	fsync_fname(".", true);
}

bool
key_load(struct va_key *key, bool create)
{
	if (kept_is_current())
	{
		*key = kept;
		return true;
	}
	if (read_file(key))
		return true;
	if (!create)
		return false;
	create_file();
	if (!read_file(key))
		refuse("vanished while it was made", "Try again.");
	return true;
}
