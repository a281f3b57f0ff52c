/* libc: functions of libc that have the kernel store into the heap without a call that can be seen: into buffers of
   libc's own, or behind another name. None may fail for it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <glob.h>
#include <limits.h>
#include <mntent.h>
#include <mqueue.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sparse.h"
#include "stress.h"

/* Libc exports them, but no header has them. */
ssize_t __read(int fd, void *buffer, size_t size);
size_t _IO_sgetn(FILE *f, void *buffer, size_t size);

enum { POOL = 200, FILE_SIZE = 1 << 14 };

static struct {
  struct dice *dice;
  struct sparse pool[SPARSE_SIZES];
  int file, pages, pipe[2], datagram[2];
  char content[FILE_SIZE];
} l;

static void *buffer(size_t size) {
  size_t c = 0;
  while (sparse_sizes[c] < size) c++;
  c += dice_below(l.dice, SPARSE_SIZES - c);
  return l.pool[c].object[dice_below(l.dice, POOL)];
}

static void result(const char *call, long got, long expected) {
  if (got != expected) fail("%s gives %ld, must be %ld, errno %d (%s)", call, got, expected, errno, strerror(errno));
}

static FILE *open_file(void) {
  FILE *f = fdopen(dup(l.file), "r");
  must(f != NULL);
  rewind(f);
  return f;
}

/* ------------------------------------------------------------------------------------------ streams */

static void read_lines(FILE *f, const char *call) {
  for (size_t at = 0; at < FILE_SIZE / 4; at += 64) {
    char line[65];
    if (fgets(line, sizeof line, f) == NULL) fail("%s: errno %d (%s)", call, errno, strerror(errno));
    if (memcmp(line, l.content + at, 64) != 0) fail("%s: wrong bytes at %zu", call, at);
  }
  fclose(f);
}

static void try_unbuffered(void) {
  FILE *f = open_file();
  setvbuf(f, NULL, _IONBF, 0);
  read_lines(f, "fgets from a stream without a buffer");
}

static void try_small_buffer(void) {
  FILE *f = open_file();
  setvbuf(f, buffer(128), _IOFBF, 128);
  read_lines(f, "fgets through a small buffer");
}

static void try_getline(void) {
  char *line = NULL;
  size_t room = 0;
  FILE *f = fopen("/proc/self/status", "r");
  must(f != NULL);
  if (getline(&line, &room, f) <= 0 || strncmp(line, "Name:", 5) != 0) fail("getline: errno %d", errno);
  free(line);
  fclose(f);
}

static void try_popen(void) {
  char line[100] = "";
  FILE *f = popen("echo a line", "r");
  must(f != NULL);
  if (fgets(line, sizeof line, f) == NULL || strcmp(line, "a line\n") != 0) fail("popen: \"%s\", errno %d", line, errno);
  pclose(f);
}

/* -------------------------------------------------------------------------------- files and names */

static void try_fts(void) {
  char *const paths[] = {"/proc/self/task", NULL};
  FTS *f = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
  must(f != NULL);
  int seen = 0;
  for (FTSENT *e; seen < 40 && (e = fts_read(f)) != NULL; seen++) {
    if ((e->fts_info == FTS_NS || e->fts_info == FTS_ERR || e->fts_info == FTS_DNR) && e->fts_errno == EFAULT)
      fail("fts_read: %s: %s", e->fts_path, strerror(e->fts_errno));
  }
  must(seen > 5);
  fts_close(f);
}

static void try_directories(void) {
  struct dirent **entry;
  glob_t found;
  int n = scandir("/proc/self", &entry, NULL, alphasort);
  if (n <= 0) fail("scandir: errno %d", errno);
  while (n > 0) free(entry[--n]);
  free(entry);
  result("glob", glob("/proc/self/st*", 0, NULL, &found), 0);
  must(found.gl_pathc >= 2);
  globfree(&found);
}

static void try_paths(void) {
  char *path = realpath("/proc/self/exe", NULL);
  if (path == NULL || path[0] != '/') fail("realpath: errno %d", errno);
  free(path);
  path = realpath("/proc/self/cwd", buffer(2048)); /* the tests' directory, a short name */
  if (path == NULL || path[0] != '/') fail("realpath: errno %d", errno);
}

static void try_directory_name(void) {
  const size_t room = sparse_sizes[dice_below(l.dice, SPARSE_SIZES)];
  char *name = getcwd(NULL, room);
  if (name == NULL && errno != ERANGE) fail("getcwd: errno %d", errno);
  free(name);
  name = buffer(16);
  result("pthread_getname_np", pthread_getname_np(pthread_self(), name, 16), 0);
}

static void try_databases(void) {
  struct passwd *user = getpwnam("root");
  if (user == NULL || user->pw_uid != 0) fail("getpwnam: errno %d", errno);
  FILE *f = setmntent("/proc/self/mounts", "r");
  struct mntent *m = f != NULL ? getmntent(f) : NULL;
  if (m == NULL || m->mnt_dir[0] != '/') fail("getmntent: errno %d", errno);
  endmntent(f);
}

static void try_address(void) {
  struct addrinfo *a = NULL, hints = {.ai_family = AF_INET, .ai_flags = AI_NUMERICSERV};
  int error = getaddrinfo("localhost", "80", &hints, &a);
  if (error != 0) fail("getaddrinfo: %s", gai_strerror(error));
  freeaddrinfo(a);
}

static void try_thread(void) {
  pthread_attr_t a;
  size_t size;
  void *stack;
  result("pthread_getattr_np", pthread_getattr_np(pthread_self(), &a), 0);
  must(pthread_attr_getstack(&a, &stack, &size) == 0 && size > 0);
  pthread_attr_destroy(&a);
}

/* ----------------------------------------------------------------------------------- other calls */

static void try_spawn(void) {
  char *arguments[] = {"true", NULL}, *environment[] = {NULL};
  pid_t *child = buffer(sizeof *child);
  int status = -1;
  result("posix_spawnp", posix_spawnp(child, "true", NULL, NULL, arguments, environment), 0);
  while (waitpid(*child, &status, 0) < 0 && errno == EINTR) {
  }
  result("the spawned child's status", status, 0);
}

static void try_offsets(void) {
  off64_t *at = buffer(sizeof *at), from = (off64_t)dice_below(l.dice, FILE_SIZE - 1000);
  char got[1000];
  *at = from;
  result("splice", splice(l.file, at, l.pipe[1], NULL, 1000, 0), 1000);
  result("splice's offset", *at, from + 1000);
  result("read", read(l.pipe[0], got, 1000), 1000);
  *at = from;
  result("sendfile64", sendfile64(l.pipe[1], l.file, at, 1000), 1000);
  result("sendfile64's offset", *at, from + 1000);
  struct iovec v = {buffer(1000), 1000};
  result("vmsplice", vmsplice(l.pipe[0], &v, 1, 0), 1000);
  if (memcmp(v.iov_base, l.content + from, 1000) != 0) fail("vmsplice: wrong bytes at %p", v.iov_base);
}

static void try_events(void) {
  eventfd_t *n = buffer(sizeof *n);
  int fd = eventfd(7, EFD_CLOEXEC), poll_fd = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event asked = {.events = EPOLLIN, .data.u64 = 77}, *e = buffer(2 * sizeof *e);
  const struct timespec t = {20, 0};
  must(fd >= 0 && poll_fd >= 0 && epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &asked) == 0);
  int ready = epoll_pwait2(poll_fd, e, 2, &t, NULL);
  if (ready < 0 && errno == ENOSYS) ready = epoll_pwait(poll_fd, e, 2, 20000, NULL);
  if (ready >= 0 || errno != EINTR) result("epoll_pwait2", ready, 1);
  result("eventfd_read", eventfd_read(fd, n), 0);
  result("eventfd_read's number", (long)*n, 7);
  close(poll_fd);
  close(fd);
}

static void try_system_calls(void) {
  unsigned char *b = buffer(256);
  int untouched = 0;
  memset(b, 0xA5, 256);
  arc4random_buf(b, 256);
  for (int i = 0; i < 256; i++) untouched += b[i] == 0xA5;
  if (untouched > 20) fail("arc4random_buf left %d of 256 bytes as they were", untouched);
  char *name = buffer(16);
  result("prctl", prctl(PR_GET_NAME, name, 0, 0, 0), 0);
  if (strlen(name) == 0 || strlen(name) > 15) fail("prctl: at %p", (void *)name);
  struct statfs64 *s = buffer(sizeof *s);
  result("statfs64", statfs64("/", s), 0);
  must(s->f_bsize > 0);
  struct timex *t = buffer(sizeof *t);
  t->modes = 0;
  if (adjtimex(t) < 0) result("adjtimex", -1, 0);
}

/* What the arguments point to points on. */
static void try_vectors_by_call(void) {
  const size_t at = dice_below(l.dice, FILE_SIZE - 100);
  struct iovec v = {buffer(100), 100}, w = {l.content + at, 100};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
  must(lseek(l.file, (off_t)at, SEEK_SET) == (off_t)at);
  result("syscall(SYS_readv)", syscall(SYS_readv, l.file, &v, 1), 100);
  if (memcmp(v.iov_base, l.content + at, 100) != 0) fail("syscall(SYS_readv): wrong bytes at %p", v.iov_base);
  v.iov_base = buffer(100);
  result("send", send(l.datagram[1], l.content + at, 100, 0), 100);
  result("syscall(SYS_recvmsg)", syscall(SYS_recvmsg, l.datagram[0], &m, 0), 100);
  if (memcmp(v.iov_base, l.content + at, 100) != 0) fail("syscall(SYS_recvmsg): wrong bytes at %p", v.iov_base);
  v.iov_base = buffer(100);
  if (process_vm_writev(getpid(), &w, 1, &v, 1, 0) < 0 && (errno == EPERM || errno == ENOSYS)) return;
  if (memcmp(v.iov_base, l.content + at, 100) != 0) fail("process_vm_writev: wrong bytes at %p", v.iov_base);
}

/* So does what this argument points to; on Linux before 6.7 there is no such request. */
static void try_ioctl(void) {
  struct {
    uint64_t size, flags, start, end, walk_end, found, found_room, most, inverted, mask, any, wanted;
  } a = {.size = sizeof a, .start = (uintptr_t)l.content & ~(uintptr_t)0xFFFF, .found_room = 2, .mask = 8, .wanted = 8};
  a.end = a.start + 0x10000;
  a.found = (uintptr_t)buffer(64);
  if (ioctl(l.pages, _IOC(_IOC_READ | _IOC_WRITE, 'f', 16, sizeof a), &a) < 0 && errno == EFAULT) fail("ioctl: EFAULT");
}

static void try_other_names(void) {
  char *b = buffer(100);
  must(lseek(l.file, 0, SEEK_SET) == 0);
  result("__read", __read(l.file, b, 100), 100);
  if (memcmp(b, l.content, 100) != 0) fail("__read: wrong bytes at %p", (void *)b);
  FILE *f = open_file();
  b = buffer(2048);
  setvbuf(f, NULL, _IONBF, 0);
  result("_IO_sgetn", (long)_IO_sgetn(f, b, 2048), 2048);
  if (memcmp(b, l.content, 2048) != 0) fail("_IO_sgetn: wrong bytes at %p", (void *)b);
  fclose(f);
}

static void try_semaphores(void) {
  unsigned short *value = buffer(4 * sizeof *value);
  int id = semget(IPC_PRIVATE, 4, 0600);
  if (id < 0) return; /* not everywhere */
  memset(value, 0xA5, 4 * sizeof *value);
  result("semctl", semctl(id, 0, GETALL, value), 0);
  if (value[0] != 0 || value[3] != 0) fail("semctl: at %p", (void *)value);
  semctl(id, 0, IPC_RMID);
}

/* --------------------------------------------------------------------------------------------- all */

static const struct {
  void (*try)(void);
  int times; /* those that take little time more often */
} tries[] = {
    {try_unbuffered, 1}, {try_small_buffer, 1}, {try_getline, 1}, {try_popen, 1}, {try_fts, 1}, {try_directories, 1},
    {try_paths, 1}, {try_databases, 1}, {try_directory_name, 50}, {try_vectors_by_call, 50}, {try_ioctl, 50},
    {try_other_names, 50}, {try_address, 1}, {try_thread, 1}, {try_spawn, 10}, {try_offsets, 1}, {try_events, 1},
    {try_system_calls, 1}, {try_semaphores, 1},
};

static void make_pools(void) {
  for (size_t c = 0; c < SPARSE_SIZES; c++) l.pool[c] = sparse_new(POOL, sparse_sizes[c], l.dice);
}

void libc_part(struct worker *w) {
  l.dice = &w->dice;
  l.file = memfd_create("content", MFD_CLOEXEC);
  l.pages = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  must(l.file >= 0 && pipe2(l.pipe, O_CLOEXEC) == 0);
  must(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, l.datagram) == 0);
  for (size_t i = 0; i < FILE_SIZE; i++) l.content[i] = (char)('a' + dice_below(l.dice, 26));
  must(write(l.file, l.content, FILE_SIZE) == FILE_SIZE);
  make_pools();
  while (running()) {
    const size_t i = dice_below(l.dice, sizeof tries / sizeof *tries);
    for (int k = 0; k < tries[i].times; k++) tries[i].try();
    did_one(w);
    if (dice_below(l.dice, 20) != 0) continue;
    size_t c = dice_below(l.dice, SPARSE_SIZES);
    sparse_free(&l.pool[c]);
    l.pool[c] = sparse_new(POOL, sparse_sizes[c], l.dice);
  }
}
