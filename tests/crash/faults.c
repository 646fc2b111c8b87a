/* A disk that fails, for the files below $FAULT_ROOT, as far as the numbers in $FAULT_CONTROL say (see faults.py).

   Preloaded (LD_PRELOAD) into a program, so that SQLite's own calls fail, too. A sync that fails takes with it what was
   written since the last one, and the next one succeeds: what kernels do, and what programs that simply sync again do
   not expect. The numbers are read at every call, so that a test can let the disk fail and heal while the program runs. */

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
#include <unistd.h>

static struct control { /* each of 10,000: how many calls fail; then how many did */
  uint32_t no_write, half_write, no_sync, no_space, did_no_write, did_half_write, did_no_sync, did_no_space;
} none, *control = &none;

struct file { /* kept open: closing any descriptor of a file would give up the program's locks on it */
  dev_t dev;
  ino_t ino;
  int fd;
  struct piece *unsynced;
  struct file *next;
};
struct piece { /* what stood there before a write that is not synced yet; newest first */
  off64_t at;
  size_t length, had;
  struct piece *next;
  char old[];
};

static pthread_mutex_t one_by_one = PTHREAD_MUTEX_INITIALIZER;
static struct file *files;
static char root[PATH_MAX];
static uint64_t dice;

__attribute__((constructor)) static void begin(void) {
  const char *where = getenv("FAULT_ROOT"), *name = getenv("FAULT_CONTROL");
  if (!where || !name || !realpath(where, root)) return;
  int fd = syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC, 0);
  void *shared = (void *)syscall(SYS_mmap, NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (shared != MAP_FAILED) control = shared;
  dice = 88172645463325252ull ^ ((uint64_t)getpid() << 20);
}

static int falls(uint32_t of_ten_thousand, uint32_t *count) {
  if (!of_ten_thousand) return 0;
  dice ^= dice << 13;
  dice ^= dice >> 7;
  dice ^= dice << 17;
  if (dice % 10000 >= of_ten_thousand) return 0;
  ++*count;
  return 1;
}

static int below(const char *path) {
  size_t length = strlen(root);
  return length && strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static int ours(int fd) {
  char link[64], real[PATH_MAX];
  if (control == &none) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, real, sizeof real - 1);
  real[length > 0 ? length : 0] = 0;
  return below(real);
}

static struct file *file_of(int fd) {
  struct stat found;
  char link[64];
  if (fstat(fd, &found) || !S_ISREG(found.st_mode)) return NULL;
  for (struct file *one = files; one; one = one->next)
    if (one->dev == found.st_dev && one->ino == found.st_ino) return one;
  struct file *made = calloc(1, sizeof *made);
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  *made = (struct file){found.st_dev, found.st_ino, syscall(SYS_openat, AT_FDCWD, link, O_RDWR | O_CLOEXEC, 0), NULL, files};
  return files = made;
}

static void remember(struct file *file, off64_t at, size_t length) {
  struct piece *piece = malloc(sizeof *piece + length);
  ssize_t had = syscall(SYS_pread64, file->fd, piece->old, length, at);
  *piece = (struct piece){at, length, had > 0 ? had : 0, file->unsynced};
  file->unsynced = piece;
}

static void forget(struct file *file, int undo) {
  while (file->unsynced) {
    struct piece *piece = file->unsynced;
    struct stat now;
    if (undo && fstat(file->fd, &now) == 0 && piece->at < now.st_size) {
      size_t left = now.st_size - piece->at < (off64_t)piece->length ? (size_t)(now.st_size - piece->at) : piece->length;
      memset(piece->old + piece->had, 0, piece->length - piece->had);
      syscall(SYS_pwrite64, file->fd, piece->old, left, piece->at);
    }
    file->unsynced = piece->next;
    free(piece);
  }
}

static ssize_t written(int fd, const void *data, size_t length, off64_t at, int here) {
  long call = here ? SYS_write : SYS_pwrite64;
  if (!ours(fd)) return syscall(call, fd, data, length, at);
  pthread_mutex_lock(&one_by_one);
  struct file *file = file_of(fd);
  struct stat now;
  ssize_t done = -1;
  int why = 0;
  if (falls(control->no_write, &control->did_no_write)) {
    why = EIO;
  } else if (falls(control->no_space, &control->did_no_space)) {
    why = ENOSPC;
  } else {
    if (length > 1 && falls(control->half_write, &control->did_half_write)) length /= 2;
    if (here) at = fstat(fd, &now) == 0 && (fcntl(fd, F_GETFL) & O_APPEND) ? now.st_size : lseek(fd, 0, SEEK_CUR);
    if (file && file->fd >= 0) remember(file, at, length);
    done = here ? syscall(call, fd, data, length) : syscall(call, fd, data, length, at);
    why = errno;
  }
  pthread_mutex_unlock(&one_by_one);
  errno = why;
  return done;
}
ssize_t write(int fd, const void *data, size_t length) { return written(fd, data, length, 0, 1); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) { return written(fd, data, length, at, 0); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return written(fd, data, length, at, 0); }

static int synced(int fd, long call) {
  if (!ours(fd)) return syscall(call, fd);
  pthread_mutex_lock(&one_by_one);
  struct file *file = file_of(fd);
  int fails = falls(control->no_sync, &control->did_no_sync), done = fails ? -1 : (int)syscall(call, fd), why = errno;
  if (file) forget(file, fails);
  pthread_mutex_unlock(&one_by_one);
  errno = fails ? EIO : why;
  return done;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

/* A full disk has no room for names either. */
static int no_room(int folder, const char *path) {
  char whole[PATH_MAX];
  if (control == &none) return 0;
  if (path[0] == '/') {
    if (!below(path)) return 0;
  } else if (folder != AT_FDCWD ? !ours(folder) : !getcwd(whole, sizeof whole) || !below(whole)) {
    return 0;
  }
  pthread_mutex_lock(&one_by_one);
  int full = falls(control->no_space, &control->did_no_space);
  pthread_mutex_unlock(&one_by_one);
  errno = ENOSPC;
  return full;
}

#define OPENS(name, ...)                                                         \
  int name(__VA_ARGS__ const char *path, int flags, ...) {                       \
    va_list more;                                                                \
    va_start(more, flags);                                                       \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;      \
    va_end(more);                                                                \
    struct stat found;                                                           \
    if ((flags & O_CREAT) && fstatat(FOLDER, path, &found, 0) && no_room(FOLDER, path)) return -1; \
    return syscall(SYS_openat, FOLDER, path, flags, mode);                       \
  }
#define FOLDER AT_FDCWD
OPENS(open, )
OPENS(open64, )
#undef FOLDER
#define FOLDER folder
#define COMMA ,
OPENS(openat, int folder COMMA)
OPENS(openat64, int folder COMMA)

int mkdir(const char *path, mode_t mode) { return no_room(AT_FDCWD, path) ? -1 : syscall(SYS_mkdirat, AT_FDCWD, path, mode); }
int link(const char *old, const char *new) {
  return no_room(AT_FDCWD, new) ? -1 : syscall(SYS_linkat, AT_FDCWD, old, AT_FDCWD, new, 0);
}
int rename(const char *old, const char *new) {
  return no_room(AT_FDCWD, new) ? -1 : syscall(SYS_renameat2, AT_FDCWD, old, AT_FDCWD, new, 0);
}
