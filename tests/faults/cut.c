/* A preloaded library that writes down, in order, what a process does to the files under one
 * folder, so that a test can work out what a disk would hold had the power failed at any point.
 * It can also make those calls fail or wait, as a full, broken or slow disk does.
 *
 * CUT_ROOT     the folder, as realpath(3) gives it
 * CUT_JOURNAL  file to which records are appended; several processes may share it
 * CUT_FAULTS   file of four int64, mapped: errno of writes and of new entries (0: none), bytes that
 *              may still be written before that errno is raised, errno of syncs, milliseconds that
 *              a sync takes
 *
 * A record is (uint8 operation, uint64 inode, uint64 offset, uint32 lengths of path, second path
 * and data), little-endian and unpadded, and those three. Syncs are written down, not done.
 * What this library could not follow (links, shared writable mappings) ends the process.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { WRITE = 1, TRUNCATE, CREATE, MKDIR, RENAME, UNLINK, RMDIR, SYNC };

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static const char *root;
static size_t root_length;
static int journal = -1;
static volatile int64_t *faults;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define RAW(number, ...) syscall(number, __VA_ARGS__)

__attribute__((constructor)) static void begin(void)
{
	root = getenv("CUT_ROOT");
	const char *path = getenv("CUT_JOURNAL");
	if (!root || !path)
		return;
	root_length = strlen(root);
	journal = RAW(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	path = getenv("CUT_FAULTS");
	if (path) {
		int file = RAW(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
		void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
		if (at != MAP_FAILED)
			faults = at;
		RAW(SYS_close, file);
	}
}

static void give_up(const char *why)
{
	dprintf(2, "cut: cannot follow %s\n", why);
	abort();
}

static void lock(void)
{
	pthread_mutex_lock(&turn);
	while (flock(journal, LOCK_EX) && errno == EINTR)
		;
}

static void unlock(void)
{
	int saved = errno;
	flock(journal, LOCK_UN);
	pthread_mutex_unlock(&turn);
	errno = saved;
}

static int under(const char *path)
{
	return journal >= 0 && !strncmp(path, root, root_length) &&
	       (path[root_length] == '/' || !path[root_length]);
}

/* The path of an open file if it is one of ours. */
static int ours(int file, char *path)
{
	char link[64];
	int saved = errno;
	if (journal < 0 || file < 0)
		return 0;
	snprintf(link, sizeof link, "/proc/self/fd/%d", file);
	ssize_t length = readlink(link, path, PATH_MAX - 1);
	errno = saved;
	if (length < 0)
		return 0;
	path[length] = 0;
	return under(path);
}

/* An entry's absolute path, its folder's links resolved; whether it is one of ours. */
static int entry(int folder, const char *name, char *path)
{
	char whole[PATH_MAX], above[PATH_MAX];
	int saved = errno;
	if (journal < 0 || !name)
		return 0;
	if (name[0] == '/' || folder == AT_FDCWD) {
		if (snprintf(whole, sizeof whole, "%s", name) >= PATH_MAX)
			return 0;
	} else {
		char link[64], base[PATH_MAX];
		snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
		ssize_t length = readlink(link, base, sizeof base - 1);
		base[length < 0 ? 0 : length] = 0;
		if (snprintf(whole, sizeof whole, "%s/%s", base, name) >= PATH_MAX)
			return 0;
	}
	size_t end = strlen(whole);
	while (end > 1 && whole[end - 1] == '/')
		whole[--end] = 0;
	char *last = strrchr(whole, '/');
	if (last) {
		*last++ = 0;
		if (!realpath(*whole ? whole : "/", above))
			above[0] = 0;
	} else {
		last = whole;
		if (!realpath(".", above))
			above[0] = 0;
	}
	errno = saved;
	return snprintf(path, PATH_MAX, "%s/%s", above, last) < PATH_MAX && under(path);
}

static void put(const void *data, size_t size)
{
	const char *at = data;
	while (size) {
		ssize_t done = RAW(SYS_write, journal, at, size);
		if (done < 0 && errno != EINTR)
			give_up("its own journal");
		if (done > 0)
			at += done, size -= done;
	}
}

static void note(uint8_t what, uint64_t inode, uint64_t offset, const char *path,
		 const char *other, const void *data, size_t size)
{
	char head[29];
	uint32_t lengths[3] = {strlen(path), strlen(other), size};
	int saved = errno;
	head[0] = what;
	memcpy(head + 1, &inode, 8);
	memcpy(head + 9, &offset, 8);
	memcpy(head + 17, lengths, 12);
	put(head, sizeof head);
	put(path, lengths[0]);
	put(other, lengths[1]);
	put(data, size);
	errno = saved;
}

static uint64_t inode_of(int file)
{
	struct stat found;
	return fstat(file, &found) ? 0 : found.st_ino;
}

/* Whether a new entry must fail; errno is set. */
static int refused(void)
{
	if (!faults || !faults[0] || faults[1] > 0)
		return 0;
	errno = faults[0];
	return 1;
}

static int open_it(int folder, const char *name, int flags, mode_t mode)
{
	char path[PATH_MAX];
	if (!(flags & (O_CREAT | O_TRUNC)) || !entry(folder, name, path))
		return RAW(SYS_openat, folder, name, flags, mode);
	if ((flags & O_TMPFILE) == O_TMPFILE)
		give_up("a file without a name");
	lock();
	struct stat before;
	int new = lstat(path, &before) != 0;
	int file = new && refused() ? -1 : RAW(SYS_openat, folder, name, flags, mode);
	if (file >= 0) {
		if (new)
			note(CREATE, inode_of(file), 0, path, "", "", 0);
		else if (flags & O_TRUNC)
			note(TRUNCATE, inode_of(file), 0, "", "", "", 0);
	}
	unlock();
	return file;
}

static mode_t mode_in(int flags, va_list rest)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

#define OPEN(name)                                             \
	int name(const char *path, int flags, ...)             \
	{                                                      \
		va_list rest;                                  \
		va_start(rest, flags);                         \
		mode_t mode = mode_in(flags, rest);            \
		va_end(rest);                                  \
		return open_it(AT_FDCWD, path, flags, mode);   \
	}
#define OPENAT(name)                                           \
	int name(int folder, const char *path, int flags, ...) \
	{                                                      \
		va_list rest;                                  \
		va_start(rest, flags);                         \
		mode_t mode = mode_in(flags, rest);            \
		va_end(rest);                                  \
		return open_it(folder, path, flags, mode);     \
	}
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int __open_2(const char *path, int flags) { return open_it(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_it(AT_FDCWD, path, flags, 0); }
int creat(const char *path, mode_t mode)
{
	return open_it(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

/* How much of a write is let through: less than asked for shortly before the disk is full. */
static ssize_t allowed(size_t size)
{
	if (!faults || !faults[0])
		return size;
	if (faults[1] <= 0) {
		errno = faults[0];
		return -1;
	}
	if ((int64_t)size > faults[1])
		size = faults[1];
	faults[1] -= size;
	return size;
}

static ssize_t write_it(int file, const void *data, size_t size, int64_t at)
{
	char path[PATH_MAX];
	if (!ours(file, path))
		return at < 0 ? RAW(SYS_write, file, data, size)
			      : RAW(SYS_pwrite64, file, data, size, at);
	lock();
	ssize_t done = allowed(size);
	if (done > 0 || (!done && !size)) {
		int flags = fcntl(file, F_GETFL);
		if (at < 0)
			done = RAW(SYS_write, file, data, done);
		else
			done = RAW(SYS_pwrite64, file, data, done, at);
		if (done > 0) {
			struct stat now;
			if (flags & O_APPEND)
				at = fstat(file, &now) ? 0 : now.st_size - done;
			else if (at < 0)
				at = lseek(file, 0, SEEK_CUR) - done;
			note(WRITE, inode_of(file), at, "", "", data, done);
		}
	}
	unlock();
	return done;
}

ssize_t write(int file, const void *data, size_t size) { return write_it(file, data, size, -1); }
ssize_t pwrite(int file, const void *data, size_t size, off_t at)
{
	return write_it(file, data, size, at);
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at)
{
	return write_it(file, data, size, at);
}

static ssize_t write_parts(int file, const struct iovec *parts, int count, int64_t at)
{
	char path[PATH_MAX];
	if (!ours(file, path))
		return at < 0 ? RAW(SYS_writev, file, parts, count)
			      : RAW(SYS_pwritev, file, parts, count, at, 0);
	ssize_t total = 0;
	for (int i = 0; i < count; i++) {
		ssize_t done = write_it(file, parts[i].iov_base, parts[i].iov_len,
					at < 0 ? -1 : at + total);
		if (done < 0)
			return total ? total : done;
		total += done;
		if (done < (ssize_t)parts[i].iov_len)
			break;
	}
	return total;
}

ssize_t writev(int file, const struct iovec *parts, int count)
{
	return write_parts(file, parts, count, -1);
}
ssize_t pwritev(int file, const struct iovec *parts, int count, off_t at)
{
	return write_parts(file, parts, count, at);
}
ssize_t pwritev64(int file, const struct iovec *parts, int count, off64_t at)
{
	return write_parts(file, parts, count, at);
}

static int cut_to(int file, int64_t size)
{
	char path[PATH_MAX];
	if (!ours(file, path))
		return RAW(SYS_ftruncate, file, size);
	lock();
	int done = RAW(SYS_ftruncate, file, size);
	if (!done)
		note(TRUNCATE, inode_of(file), size, "", "", "", 0);
	unlock();
	return done;
}

int ftruncate(int file, off_t size) { return cut_to(file, size); }
int ftruncate64(int file, off64_t size) { return cut_to(file, size); }
int truncate(const char *path, off_t size)
{
	int file = RAW(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
	if (file < 0)
		return -1;
	int done = cut_to(file, size);
	RAW(SYS_close, file);
	return done;
}
int truncate64(const char *path, off64_t size) { return truncate(path, size); }

static int sync_it(int file, long number)
{
	char path[PATH_MAX];
	if (!ours(file, path))
		return RAW(number, file);
	if (faults && faults[3] > 0) {
		struct timespec wait = {faults[3] / 1000, faults[3] % 1000 * 1000000};
		nanosleep(&wait, NULL);
	}
	if (faults && faults[2]) {
		errno = faults[2];
		return -1;
	}
	lock();
	note(SYNC, inode_of(file), 0, "", "", "", 0);
	unlock();
	return 0;
}

int fsync(int file) { return sync_it(file, SYS_fsync); }
int fdatasync(int file) { return sync_it(file, SYS_fdatasync); }

static int rename_it(int from, const char *old, int to, const char *new, unsigned flags)
{
	char source[PATH_MAX], target[PATH_MAX];
	int mine = entry(from, old, source);
	if (mine != entry(to, new, target))
		give_up("a rename into or out of the folder");
	if (!mine)
		return RAW(SYS_renameat2, from, old, to, new, flags);
	if (flags)
		give_up("an exchange of files");
	lock();
	int done = refused() ? -1 : RAW(SYS_renameat2, from, old, to, new, 0);
	if (!done)
		note(RENAME, 0, 0, source, target, "", 0);
	unlock();
	return done;
}

int rename(const char *old, const char *new)
{
	return rename_it(AT_FDCWD, old, AT_FDCWD, new, 0);
}
int renameat(int from, const char *old, int to, const char *new)
{
	return rename_it(from, old, to, new, 0);
}
int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
	return rename_it(from, old, to, new, flags);
}

static int take_away(int folder, const char *name, int flags)
{
	char path[PATH_MAX];
	if (!entry(folder, name, path))
		return RAW(SYS_unlinkat, folder, name, flags);
	lock();
	int done = RAW(SYS_unlinkat, folder, name, flags);
	if (!done)
		note(flags & AT_REMOVEDIR ? RMDIR : UNLINK, 0, 0, path, "", "", 0);
	unlock();
	return done;
}

int unlink(const char *path) { return take_away(AT_FDCWD, path, 0); }
int unlinkat(int folder, const char *path, int flags) { return take_away(folder, path, flags); }
int rmdir(const char *path) { return take_away(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path)
{
	struct stat found;
	int folder = !lstat(path, &found) && S_ISDIR(found.st_mode);
	return take_away(AT_FDCWD, path, folder ? AT_REMOVEDIR : 0);
}

int mkdirat(int folder, const char *name, mode_t mode)
{
	char path[PATH_MAX];
	if (!entry(folder, name, path))
		return RAW(SYS_mkdirat, folder, name, mode);
	lock();
	struct stat found;
	int done = refused() ? -1 : RAW(SYS_mkdirat, folder, name, mode);
	if (!done)
		note(MKDIR, stat(path, &found) ? 0 : found.st_ino, 0, path, "", "", 0);
	unlock();
	return done;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int link(const char *old, const char *new)
{
	char path[PATH_MAX];
	if (entry(AT_FDCWD, new, path))
		give_up("a link");
	return RAW(SYS_linkat, AT_FDCWD, old, AT_FDCWD, new, 0);
}

int posix_fallocate(int file, off_t at, off_t size)
{
	char path[PATH_MAX];
	if (ours(file, path))
		give_up("an allocation");
	return REAL(posix_fallocate)(file, at, size);
}

ssize_t sendfile(int to, int from, off_t *at, size_t size)
{
	char path[PATH_MAX];
	if (ours(to, path))
		give_up("a copy within the kernel");
	return RAW(SYS_sendfile, to, from, at, size);
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t size)
{
	return sendfile(to, from, at, size);
}

static void *map_it(void *at, size_t size, int access, int flags, int file, int64_t from)
{
	char path[PATH_MAX];
	/* SQLite's index of its write-ahead log is made anew at every start. */
	if ((flags & MAP_TYPE) != MAP_PRIVATE && (access & PROT_WRITE) && file >= 0 &&
	    ours(file, path) && !(strlen(path) > 4 && !strcmp(path + strlen(path) - 4, "-shm")))
		give_up("a mapping that is written to");
	return (void *)RAW(SYS_mmap, at, size, access, flags, file, from);
}
void *mmap(void *at, size_t size, int access, int flags, int file, off_t from)
{
	return map_it(at, size, access, flags, file, from);
}
void *mmap64(void *at, size_t size, int access, int flags, int file, off64_t from)
{
	return map_it(at, size, access, flags, file, from);
}
