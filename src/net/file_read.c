/*
 * file_read.c: see file_read.h. One request of libuv's is under way at a time; closing while it is waits for
 * it, for its thread still writes to the buffer.
 */
#include "net/file_read.h"

#include <fcntl.h>
#include <stdlib.h>
#include <uv.h>

#include "net/loop.h"

struct file_read
{
	uv_loop_t *uv;
	uv_fs_t request;
	const struct file_read_handlers *handlers;
	void *arg;
	uv_file fd; /* -1 before it is open */
	char *buffer;
	size_t wanted, got;
	uint64_t offset;
	bool busy, closing;
};

static void
on_closed(uv_fs_t *request)
{
	struct file_read *f = request->data;

	uv_fs_req_cleanup(request);
	free(f);
}

/* Nothing is under way. */
static void
end(struct file_read *f)
{
	free(f->buffer);
	f->buffer = NULL;
	if (f->fd < 0 || uv_fs_close(f->uv, &f->request, f->fd, on_closed) != 0)
		free(f);
}

/* A request has come back; its result. True when its owner has left meanwhile: all is over then. */
static bool
came_back(struct file_read *f, ssize_t *result)
{
	*result = f->request.result;
	uv_fs_req_cleanup(&f->request);
	f->busy = false;
	if (!f->closing)
		return false;
	end(f);
	return true;
}

static void
fail_open(struct file_read *f, const char *error)
{
	f->handlers->opened(f->arg, 0, error);
	end(f);
}

static void
on_stat(uv_fs_t *request)
{
	struct file_read *f = request->data;
	uv_stat_t stat = request->statbuf;
	ssize_t result;

	if (came_back(f, &result))
		return;
	if (result < 0)
		fail_open(f, uv_strerror((int) result));
	else if (!S_ISREG(stat.st_mode))
		fail_open(f, "this is no file");
	else
		f->handlers->opened(f->arg, stat.st_size, NULL);
}

static void
on_open(uv_fs_t *request)
{
	struct file_read *f = request->data;
	ssize_t result;

	if (request->result >= 0)
		f->fd = (uv_file) request->result;
	if (came_back(f, &result))
		return;
	if (result < 0)
		fail_open(f, uv_strerror((int) result));
	else if (uv_fs_fstat(f->uv, request, f->fd, on_stat) == 0)
		f->busy = true;
	else
		fail_open(f, "out of memory");
}

struct file_read *
file_read_open(struct loop *loop, const char *path, const struct file_read_handlers *handlers,
			   void *arg)
{
	struct file_read *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->uv = loop_uv(loop);
	f->request.data = f;
	f->handlers = handlers;
	f->arg = arg;
	f->fd = -1;
	/* Without O_NONBLOCK a named pipe would keep the thread for ever. */
	if (uv_fs_open(f->uv, &f->request, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, on_open) != 0)
	{
		free(f);
		return NULL;
	}
	f->busy = true;
	return f;
}

static bool read_on(struct file_read *f);

static void
on_read(uv_fs_t *request)
{
	struct file_read *f = request->data;
	char *data = f->buffer;
	ssize_t result;

	if (came_back(f, &result))
		return;
	if (result > 0)
	{
		f->got += (size_t) result;
		if (f->got < f->wanted && read_on(f))
			return;
	}
	f->buffer = NULL;
	if (result < 0)
	{
		free(data);
		data = NULL;
	}
	f->handlers->piece(f->arg, data, result < 0 ? -1 : (ssize_t) f->got);
}

static bool
read_on(struct file_read *f)
{
	uv_buf_t into = uv_buf_init(f->buffer + f->got, (unsigned) (f->wanted - f->got));

	f->busy = uv_fs_read(f->uv, &f->request, f->fd, &into, 1, (int64_t) (f->offset + f->got),
						 on_read) == 0;
	return f->busy;
}

bool
file_read_piece(struct file_read *f, uint64_t offset, size_t len)
{
	free(f->buffer);
	f->buffer = malloc(len);
	f->wanted = len;
	f->got = 0;
	f->offset = offset;
	return f->buffer != NULL && read_on(f);
}

void
file_read_close(struct file_read *f)
{
	if (f == NULL)
		return;
	f->closing = true;
	if (!f->busy)
		end(f);
}
