/* Notes every change of files below $RECORD_ROOT in $RECORD_LOG, in the order in which it happened.

   Preloaded (LD_PRELOAD) into a program, so that SQLite's own calls are seen, too. It changes nothing of what the program
   does, but that one change is over before the next one begins. What is written to stderr is noted as well: with it the
   program says what it has acknowledged. How the notes are read: recording.py. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 4096
enum { CREATED = 1, EMPTIED = 2, FOLDER = 4 };

struct note { /* followed by `first` bytes of a path, and data for the rest of `size` */
  uint32_t size, pid;
  int32_t fd;
  uint32_t op, flags, first;
  int64_t at;
};

static pthread_mutex_t one_by_one = PTHREAD_MUTEX_INITIALIZER;
static char below[FDS], appends[FDS];
static char root[PATH_MAX];
static int notes = -1;

__attribute__((constructor)) static void begin(void) {
  const char *name = getenv("RECORD_LOG"), *where = getenv("RECORD_ROOT");
  if (!name || !where || !realpath(where, root)) return;
  int fd = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  notes = syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, FDS - 96); /* out of the program's way */
  if (notes < 0) notes = fd;
}

static int ours(const char *path) {
  size_t length = strlen(root);
  return notes >= 0 && strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static void note(int op, int fd, int flags, int64_t at, const char *path, const void *data, size_t length) {
  int before = errno;
  struct note head = {sizeof head + strlen(path) + length, getpid(), fd, op, flags, strlen(path), at};
  struct iovec parts[] = {{&head, sizeof head}, {(void *)path, head.first}, {(void *)data, length}};
  if (notes >= 0 && syscall(SYS_writev, notes, parts, 3) != (long)head.size) abort(); /* half a recording is none */
  errno = before;
}

/* The name as it stands in the file system: the folder's real path, and the last step as it is. */
static void place(int folder, const char *path, char *out) {
  char whole[PATH_MAX], real[PATH_MAX];
  whole[0] = 0;
  if (path[0] != '/' && folder == AT_FDCWD && !getcwd(whole, sizeof whole)) whole[0] = 0;
  if (path[0] != '/' && folder != AT_FDCWD) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, whole, sizeof whole - 1);
    whole[length > 0 ? length : 0] = 0;
  }
  size_t used = strlen(whole);
  snprintf(whole + used, sizeof whole - used, "%s%s", used ? "/" : "", path);
  char *last = strrchr(whole, '/');
  *last = 0;
  if (!realpath(*whole ? whole : "/", real)) real[0] = 0;
  snprintf(out, PATH_MAX, "%.2000s/%.2000s", real, last + 1);
}

static void lock(void) { pthread_mutex_lock(&one_by_one); }

static void unlock(void) {
  int before = errno;
  pthread_mutex_unlock(&one_by_one);
  errno = before;
}

/* --------------------------------------------------------------------------------------------------- open and close */

static int opened(int folder, const char *path, int flags, mode_t mode) {
  struct stat found;
  char link[64], real[PATH_MAX];
  lock();
  int there = (flags & O_CREAT) && fstatat(folder, path, &found, 0) == 0;
  int fd = syscall(SYS_openat, folder, path, flags, mode);
  int before = errno;
  if (fd >= 0 && fd < FDS) {
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, real, sizeof real - 1);
    real[length > 0 ? length : 0] = 0;
    below[fd] = 0;
    if (ours(real) && fstat(fd, &found) == 0 && (S_ISDIR(found.st_mode) || (flags & O_ACCMODE) != O_RDONLY)) {
      int said = S_ISDIR(found.st_mode) ? FOLDER : (flags & O_CREAT) && !there ? CREATED : flags & O_TRUNC ? EMPTIED : 0;
      below[fd] = 1;
      appends[fd] = (flags & O_APPEND) != 0;
      note('o', fd, said, 0, real, NULL, 0);
    }
  }
  errno = before;
  unlock();
  return fd;
}

static mode_t mode_of(int flags, va_list more) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; }

#define OPEN(name)                                     \
  int name(const char *path, int flags, ...) {         \
    va_list more;                                      \
    va_start(more, flags);                             \
    mode_t mode = mode_of(flags, more);                \
    va_end(more);                                      \
    return opened(AT_FDCWD, path, flags, mode);        \
  }
#define OPENAT(name)                                               \
  int name(int folder, const char *path, int flags, ...) {         \
    va_list more;                                                  \
    va_start(more, flags);                                         \
    mode_t mode = mode_of(flags, more);                            \
    va_end(more);                                                  \
    return opened(folder, path, flags, mode);                      \
  }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
int __open_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __openat_2(int folder, const char *path, int flags) { return opened(folder, path, flags, 0); }
int __openat64_2(int folder, const char *path, int flags) { return opened(folder, path, flags, 0); }

int close(int fd) {
  if (fd < 0 || fd >= FDS || !below[fd]) return syscall(SYS_close, fd);
  lock();
  note('c', fd, 0, 0, "", NULL, 0);
  below[fd] = 0;
  int done = syscall(SYS_close, fd);
  unlock();
  return done;
}

/* ------------------------------------------------------------------------------------------------------------- data */

static int seen(int fd) { return fd >= 0 && fd < FDS && below[fd]; }

ssize_t write(int fd, const void *data, size_t length) {
  if (!seen(fd)) {
    ssize_t done = syscall(SYS_write, fd, data, length);
    if (fd == 2 && done > 0) {
      lock();
      note('s', fd, 0, 0, "", data, done);
      unlock();
    }
    return done;
  }
  lock();
  struct stat now;
  int64_t at = appends[fd] && fstat(fd, &now) == 0 ? now.st_size : lseek(fd, 0, SEEK_CUR);
  ssize_t done = syscall(SYS_write, fd, data, length);
  if (done > 0) note('w', fd, 0, at, "", data, done);
  unlock();
  return done;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) {
  if (!seen(fd)) return syscall(SYS_pwrite64, fd, data, length, at);
  lock();
  ssize_t done = syscall(SYS_pwrite64, fd, data, length, at);
  if (done > 0) note('w', fd, 0, at, "", data, done);
  unlock();
  return done;
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return pwrite64(fd, data, length, at); }

int ftruncate64(int fd, off64_t size) {
  if (!seen(fd)) return syscall(SYS_ftruncate, fd, size);
  lock();
  int done = syscall(SYS_ftruncate, fd, size);
  if (done == 0) note('t', fd, 0, size, "", NULL, 0);
  unlock();
  return done;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int synced(int fd, long call) {
  if (!seen(fd)) return syscall(call, fd);
  lock();
  int done = syscall(call, fd);
  if (done == 0) note('f', fd, 0, 0, "", NULL, 0);
  unlock();
  return done;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

/* Ways to write that nobody here goes. One day somebody may: then the recording says so instead of missing it. */
static void unknown(int fd, const char *what) {
  if (seen(fd)) note('?', fd, 0, 0, what, NULL, 0);
}
void *mmap64(void *where, size_t length, int rights, int flags, int fd, off64_t at) {
  if ((rights & PROT_WRITE) && (flags & MAP_SHARED)) unknown(fd, "mmap");
  return (void *)syscall(SYS_mmap, where, length, rights, flags, fd, at);
}
void *mmap(void *where, size_t length, int rights, int flags, int fd, off_t at) {
  return mmap64(where, length, rights, flags, fd, at);
}
int fallocate64(int fd, int mode, off64_t at, off64_t length) {
  unknown(fd, "fallocate");
  return syscall(SYS_fallocate, fd, mode, at, length);
}
int fallocate(int fd, int mode, off_t at, off_t length) { return fallocate64(fd, mode, at, length); }
int posix_fallocate64(int fd, off64_t at, off64_t length) { return fallocate64(fd, 0, at, length) ? errno : 0; }
int posix_fallocate(int fd, off_t at, off_t length) { return posix_fallocate64(fd, at, length); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
  unknown(fd, "writev");
  return syscall(SYS_writev, fd, parts, count);
}

/* ------------------------------------------------------------------------------------------------------------ names */

/* `one` and `two` are noted as they stood before the deed; `two` may be missing. */
static int named(int op, long done, const char *one, const char *two) {
  if (done == 0 && (ours(one) || ours(two))) note(op, -1, 0, 0, one, two, strlen(two));
  unlock();
  return done;
}

int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
  char one[PATH_MAX], two[PATH_MAX];
  lock();
  place(from, old, one);
  place(to, new, two);
  return named('r', syscall(SYS_renameat2, from, old, to, new, flags), one, two);
}
int renameat(int from, const char *old, int to, const char *new) { return renameat2(from, old, to, new, 0); }
int rename(const char *old, const char *new) { return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0); }

int linkat(int from, const char *old, int to, const char *new, int flags) {
  char one[PATH_MAX], two[PATH_MAX];
  lock();
  place(from, old, one);
  place(to, new, two);
  return named('l', syscall(SYS_linkat, from, old, to, new, flags), one, two);
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }

int unlinkat(int folder, const char *path, int flags) {
  char one[PATH_MAX];
  lock();
  place(folder, path, one);
  return named('u', syscall(SYS_unlinkat, folder, path, flags), one, "");
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int remove(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int folder, const char *path, mode_t mode) {
  char one[PATH_MAX];
  lock();
  place(folder, path, one);
  return named('d', syscall(SYS_mkdirat, folder, path, mode), one, "");
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
