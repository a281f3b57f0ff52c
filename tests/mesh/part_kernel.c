/* kernel: system calls that store into heap objects. None may fail for it, and each byte must be there. Many of them
   block for some milliseconds, in which their buffers' spans are meshed. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernel.h"
#include "sparse.h"
#include "stress.h"

enum { POOL = 200, FILE_SIZE = 1 << 16 };

/* What is sent by another thread, so that a call blocks for a moment. */
struct later {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int fd; /* -1: nothing to do */
  const void *bytes;
  size_t size;
  unsigned delay;
};

struct kernel {
  struct worker *w;
  struct dice *dice;
  struct sparse pool[SPARSE_SIZES];
  int file, stream[2], datagram[2], pipe[2];
  char *content; /* of the file */
  char sent[2048];
  struct later later;
};

/* --------------------------------------------------------------------------------- what they use */

/* A heap object of at least `size` bytes among many, or a part of it that ends where it ends. Seldom stored into
   first: that would wait for the batch under way, and the call would come just after it. */
static void *buffer(struct kernel *k, size_t size) {
  size_t c = 0;
  while (sparse_sizes[c] < size) c++;
  c += dice_below(k->dice, SPARSE_SIZES - c);
  char *object = k->pool[c].object[dice_below(k->dice, POOL)];
  if (dice_below(k->dice, 2) == 0) object += (sparse_sizes[c] - size) & ~(size_t)15;
  if (dice_below(k->dice, 4) == 0) memset(object, 0xA5, size);
  return object;
}

static size_t some_size(struct kernel *k) { return 1 + dice_below(k->dice, 1 << dice_below(k->dice, 12)); }

/* New bytes to send. */
static const char *fresh(struct kernel *k, size_t size) {
  for (size_t i = 0; i < size; i += 8) {
    uint64_t x = dice_next(k->dice);
    memcpy(k->sent + i, &x, size - i < 8 ? size - i : 8);
  }
  return k->sent;
}

static void same(const char *call, const void *buffer, const void *expected, size_t size) {
  const unsigned char *b = buffer, *e = expected;
  for (size_t i = 0; i < size; i++)
    if (b[i] != e[i]) fail("%s: byte %zu of %zu at %p is %02x, must be %02x", call, i, size, buffer, b[i], e[i]);
}

static void result(const char *call, long got, long expected, const void *buffer) {
  if (got != expected)
    fail("%s into %p gives %ld, must be %ld, errno %d (%s)", call, buffer, got, expected, errno, strerror(errno));
}

static void *send_later(void *argument) {
  struct later *l = argument;
  pthread_mutex_lock(&l->lock);
  while (l->fd != -2) {
    if (l->fd < 0) {
      pthread_cond_wait(&l->changed, &l->lock);
      continue;
    }
    usleep(l->delay);
    if (write(l->fd, l->bytes, l->size) != (ssize_t)l->size) fail("write: errno %d", errno);
    l->fd = -1;
    pthread_cond_broadcast(&l->changed);
  }
  pthread_mutex_unlock(&l->lock);
  return NULL;
}

/* Sends now, or in a few milliseconds. */
static const char *send_bytes(struct kernel *k, int fd, size_t size) {
  const char *bytes = fresh(k, size);
  if (dice_below(k->dice, 3) != 0) {
    if (write(fd, bytes, size) != (ssize_t)size) fail("write: errno %d", errno);
    return bytes;
  }
  pthread_mutex_lock(&k->later.lock);
  while (k->later.fd >= 0) pthread_cond_wait(&k->later.changed, &k->later.lock);
  k->later.bytes = bytes;
  k->later.size = size;
  k->later.delay = 1000 + (unsigned)dice_below(k->dice, 4000);
  k->later.fd = fd;
  pthread_cond_broadcast(&k->later.changed);
  pthread_mutex_unlock(&k->later.lock);
  return bytes;
}

/* Repeats a call that a signal ended. */
#define AGAIN(call)                              \
  __extension__({                                \
    long got_;                                   \
    do got_ = (long)(call);                      \
    while (got_ < 0 && errno == EINTR);          \
    got_;                                        \
  })

/* ------------------------------------------------------------------------------------------ bytes */

static void try_read(struct kernel *k) {
  size_t n = some_size(k);
  char *b = buffer(k, n);
  const char *sent = send_bytes(k, k->pipe[1], n);
  result("read", AGAIN(read(k->pipe[0], b, n)), (long)n, b);
  same("read", b, sent, n);
}

static void try_pread(struct kernel *k) {
  size_t n = some_size(k), at = dice_below(k->dice, FILE_SIZE - n);
  char *b = buffer(k, n);
  result("pread", pread(k->file, b, n, (off_t)at), (long)n, b);
  same("pread", b, k->content + at, n);
}

/* Parts of a message on several pages. */
static size_t vector(struct kernel *k, struct iovec *v, int count) {
  size_t n = 0;
  for (int i = 0; i < count; i++) {
    v[i].iov_len = 1 + dice_below(k->dice, 600);
    v[i].iov_base = buffer(k, v[i].iov_len);
    for (int j = 0; j < i; j++) /* two parts at one place cannot be checked */
      if ((char *)v[i].iov_base < (char *)v[j].iov_base + v[j].iov_len &&
          (char *)v[j].iov_base < (char *)v[i].iov_base + v[i].iov_len)
        return 0;
    n += v[i].iov_len;
  }
  return n;
}

static void same_vector(const char *call, const struct iovec *v, int count, const char *expected) {
  for (int i = 0; i < count; expected += v[i++].iov_len) same(call, v[i].iov_base, expected, v[i].iov_len);
}

static void try_readv(struct kernel *k) {
  struct iovec v[3];
  size_t n = vector(k, v, 3);
  if (n == 0) return;
  const char *sent = send_bytes(k, k->pipe[1], n);
  result("readv", AGAIN(readv(k->pipe[0], v, 3)), (long)n, v[0].iov_base);
  same_vector("readv", v, 3, sent);
}

static void try_preadv(struct kernel *k) {
  struct iovec v[3];
  size_t n = vector(k, v, 3), at = dice_below(k->dice, FILE_SIZE - 2000);
  if (n == 0) return;
  result("preadv", preadv(k->file, v, 3, (off_t)at), (long)n, v[0].iov_base);
  same_vector("preadv", v, 3, k->content + at);
}

static void try_recv(struct kernel *k) {
  size_t n = some_size(k);
  char *b = buffer(k, n);
  const char *sent = send_bytes(k, k->stream[1], n);
  result("recv", AGAIN(recv(k->stream[0], b, n, MSG_WAITALL)), (long)n, b);
  same("recv", b, sent, n);
}

static void try_recvfrom(struct kernel *k) {
  size_t n = some_size(k);
  char *b = buffer(k, n);
  struct sockaddr_un *from = buffer(k, sizeof *from);
  socklen_t *length = buffer(k, sizeof *length);
  *length = sizeof *from;
  if ((char *)from < b + n && b < (char *)(from + 1)) return;
  if ((char *)length < b + n && b < (char *)(length + 1)) return;
  if ((char *)length < (char *)(from + 1) && (char *)from < (char *)(length + 1)) return;
  const char *sent = send_bytes(k, k->datagram[1], n);
  result("recvfrom", AGAIN(recvfrom(k->datagram[0], b, n, 0, (struct sockaddr *)from, length)), (long)n, b);
  same("recvfrom", b, sent, n);
  if (*length != sizeof from->sun_family && *length != 0) fail("recvfrom: length %u at %p", *length, (void *)length);
}

static void try_recvmsg(struct kernel *k) {
  struct iovec v[3];
  size_t n = vector(k, v, 3);
  if (n == 0) return;
  struct msghdr m = {.msg_iov = v, .msg_iovlen = 3};
  const char *sent = send_bytes(k, k->datagram[1], n);
  result("recvmsg", AGAIN(recvmsg(k->datagram[0], &m, 0)), (long)n, v[0].iov_base);
  same_vector("recvmsg", v, 3, sent);
}

static void try_recvmmsg(struct kernel *k) {
  size_t n = some_size(k);
  struct mmsghdr *m = buffer(k, sizeof *m);
  char *b = buffer(k, n);
  if ((char *)m < b + n && b < (char *)(m + 1)) return;
  struct iovec v = {b, n};
  memset(m, 0, sizeof *m);
  m->msg_hdr.msg_iov = &v;
  m->msg_hdr.msg_iovlen = 1;
  const char *sent = send_bytes(k, k->datagram[1], n);
  result("recvmmsg", AGAIN(recvmmsg(k->datagram[0], m, 1, 0, NULL)), 1, m);
  result("recvmmsg's length", m->msg_len, (long)n, m);
  same("recvmmsg", b, sent, n);
}

static void try_fread(struct kernel *k) {
  size_t n = some_size(k);
  char *b = buffer(k, n);
  FILE *f = fdopen(dup(k->file), "r");
  must(f != NULL);
  rewind(f);
  result("fread", (long)fread(b, 1, n, f), (long)n, b);
  same("fread", b, k->content, n);
  fclose(f);
}

/* A stream whose own buffer is a small heap object, as for files of /proc and terminals. */
static void try_stream(struct kernel *k) {
  char line[2000];
  FILE *f = fdopen(dup(k->file), "r");
  must(f != NULL);
  rewind(f);
  setvbuf(f, buffer(k, 512), _IOFBF, 512);
  for (size_t at = 0; at < 8000; at += sizeof line) {
    result("fread through a small buffer", (long)fread(line, 1, sizeof line, f), sizeof line, line);
    same("fread through a small buffer", line, k->content + at, sizeof line);
  }
  fclose(f);
}

static void try_proc(struct kernel *k) {
  (void)k;
  char line[300] = "";
  FILE *f = fopen("/proc/self/status", "r");
  must(f != NULL);
  if (fgets(line, sizeof line, f) == NULL || strncmp(line, "Name:", 5) != 0)
    fail("fgets from /proc/self/status: \"%s\", errno %d", line, errno);
  fclose(f);
}

static void try_raw_read(struct kernel *k) {
  size_t n = some_size(k), at = dice_below(k->dice, FILE_SIZE - n);
  char *b = buffer(k, n);
  result("syscall(SYS_pread64)", syscall(SYS_pread64, k->file, b, n, at), (long)n, b);
  same("syscall(SYS_pread64)", b, k->content + at, n);
}

static void try_getrandom(struct kernel *k) {
  char *b = buffer(k, 256);
  memset(b, 0xA5, 256);
  result("getrandom", getrandom(b, 256, 0), 256, b);
  int untouched = 0;
  for (int i = 0; i < 256; i++) untouched += b[i] == (char)0xA5;
  if (untouched > 20) fail("getrandom left %d of 256 bytes at %p as they were", untouched, (void *)b);
}

static void try_sendfile(struct kernel *k) {
  off_t *at = buffer(k, sizeof *at), from = (off_t)dice_below(k->dice, FILE_SIZE - 1000);
  char got[1000];
  *at = from;
  result("sendfile", sendfile(k->stream[1], k->file, at, 1000), 1000, at);
  result("sendfile's offset", *at, from + 1000, at);
  result("recv", AGAIN(recv(k->stream[0], got, 1000, MSG_WAITALL)), 1000, got);
  same("sendfile", got, k->content + from, 1000);
}

/* --------------------------------------------------------------------------------------- readiness */

static void drain(struct kernel *k, size_t n) {
  char got[2048];
  result("read", AGAIN(read(k->pipe[0], got, n)), (long)n, got);
}

static void try_epoll(struct kernel *k) {
  int fd = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event asked = {.events = EPOLLIN, .data.u64 = dice_next(k->dice)};
  struct epoll_event *e = buffer(k, 4 * sizeof *e);
  must(fd >= 0 && epoll_ctl(fd, EPOLL_CTL_ADD, k->pipe[0], &asked) == 0);
  send_bytes(k, k->pipe[1], 10);
  result("epoll_wait", AGAIN(epoll_wait(fd, e, 4, -1)), 1, e);
  if (e->events != EPOLLIN || e->data.u64 != asked.data.u64) fail("epoll_wait: wrong event at %p", (void *)e);
  drain(k, 10);
  close(fd);
}

static void try_poll(struct kernel *k) {
  struct pollfd *p = buffer(k, 2 * sizeof *p);
  p[0] = (struct pollfd){.fd = k->pipe[0], .events = POLLIN};
  p[1] = (struct pollfd){.fd = k->stream[0], .events = POLLIN};
  send_bytes(k, k->pipe[1], 10);
  if (dice_below(k->dice, 2) == 0)
    result("poll", AGAIN(poll(p, 2, -1)), 1, p);
  else
    result("ppoll", AGAIN(ppoll(p, 2, NULL, NULL)), 1, p);
  if (p[0].revents != POLLIN || p[1].revents != 0) fail("poll: events %#x %#x", p[0].revents, p[1].revents);
  drain(k, 10);
}

static void try_select(struct kernel *k) {
  fd_set *set = buffer(k, sizeof *set);
  struct timeval *t = buffer(k, sizeof *t);
  if ((char *)t < (char *)(set + 1) && (char *)set < (char *)(t + 1)) return;
  send_bytes(k, k->pipe[1], 10);
  long n;
  do {
    FD_ZERO(set);
    FD_SET(k->pipe[0], set);
    FD_SET(k->stream[0], set);
    *t = (struct timeval){.tv_sec = 20};
    n = select(FD_SETSIZE, set, NULL, NULL, t);
  } while (n < 0 && errno == EINTR);
  result("select", n, 1, set);
  if (!FD_ISSET(k->pipe[0], set) || FD_ISSET(k->stream[0], set)) fail("select: wrong set at %p", (void *)set);
  if (t->tv_sec < 0 || t->tv_sec > 20) fail("select: %ld s left, at %p", (long)t->tv_sec, (void *)t);
  drain(k, 10);
}

/* ------------------------------------------------------------------------------------------- facts */

static void try_getdents(struct kernel *k) {
  char *b = buffer(k, 1024);
  int fd = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  must(fd >= 0);
  long n = getdents64(fd, b, 1024);
  if (n <= 0) result("getdents64", n, 1024, b);
  for (long at = 0; at < n;) {
    const struct dirent64 *d = (const struct dirent64 *)(b + at);
    if (d->d_reclen == 0 || d->d_ino == 0 || strlen(d->d_name) == 0) fail("getdents64: wrong entry at %p", (void *)d);
    at += d->d_reclen;
  }
  close(fd);
  DIR *directory = opendir("/proc/self");
  must(directory != NULL && readdir(directory) != NULL);
  closedir(directory);
}

static void try_ioctl(struct kernel *k) {
  int *n = buffer(k, sizeof *n);
  if (write(k->pipe[1], fresh(k, 77), 77) != 77) fail("write: errno %d", errno);
  result("ioctl", ioctl(k->pipe[0], FIONREAD, n), 0, n);
  result("ioctl(FIONREAD)", *n, 77, n);
  drain(k, 77);
}

static void try_stat(struct kernel *k) {
  struct stat *s = buffer(k, sizeof *s);
  result("fstat", fstat(k->file, s), 0, s);
  result("fstat's size", s->st_size, FILE_SIZE, s);
  s = buffer(k, sizeof *s);
  result("stat", stat("/", s), 0, s);
  if (!S_ISDIR(s->st_mode)) fail("stat: / is no directory, at %p", (void *)s);
}

static void try_names(struct kernel *k) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), peer = -1;
  struct sockaddr_in *a = buffer(k, sizeof *a);
  socklen_t *n = malloc(sizeof *n);
  must(fd >= 0 && listen(fd, 1) == 0);
  *n = sizeof *a;
  result("getsockname", getsockname(fd, (struct sockaddr *)a, n), 0, a);
  if (*n != sizeof *a || a->sin_family != AF_INET || a->sin_port == 0) fail("getsockname: wrong name at %p", (void *)a);
  struct sockaddr_in to = *a;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  must((peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0);
  must(AGAIN(connect(peer, (struct sockaddr *)&to, sizeof to)) == 0);
  a = buffer(k, sizeof *a);
  *n = sizeof *a;
  int accepted = (int)AGAIN(accept(fd, (struct sockaddr *)a, n));
  if (accepted < 0) result("accept", accepted, 0, a);
  if (*n != sizeof *a || a->sin_addr.s_addr != to.sin_addr.s_addr) fail("accept: wrong name at %p", (void *)a);
  int *type = buffer(k, sizeof *type);
  *n = sizeof *type;
  result("getsockopt", getsockopt(peer, SOL_SOCKET, SO_TYPE, type, n), 0, type);
  if (*type != SOCK_STREAM || *n != sizeof *type) fail("getsockopt: type %d at %p", *type, (void *)type);
  free(n);
  close(accepted);
  close(peer);
  close(fd);
}

static void try_pipe(struct kernel *k) {
  int *fd = buffer(k, 2 * sizeof *fd);
  char c = 0;
  result("pipe2", pipe2(fd, O_CLOEXEC), 0, fd);
  int reader = fd[0], writer = fd[1];
  must(write(writer, "x", 1) == 1 && read(reader, &c, 1) == 1 && c == 'x');
  close(reader);
  close(writer);
  fd = buffer(k, 2 * sizeof *fd);
  result("socketpair", socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0, fd);
  must(write(fd[1], "x", 1) == 1 && read(fd[0], &c, 1) == 1 && c == 'x');
  close(fd[0]);
  close(fd[1]);
}

static void try_clocks(struct kernel *k) {
  struct timespec *t = buffer(k, sizeof *t);
  result("clock_gettime", clock_gettime(CLOCK_PROCESS_CPUTIME_ID, t), 0, t);
  if (t->tv_sec < 0 || t->tv_sec > 100000 || t->tv_nsec > 999999999) fail("clock_gettime: at %p", (void *)t);
  struct timeval *v = buffer(k, sizeof *v);
  result("gettimeofday", gettimeofday(v, NULL), 0, v);
  if (labs((long)(v->tv_sec - time(NULL))) > 2) fail("gettimeofday: at %p", (void *)v);
  struct tms *m = buffer(k, sizeof *m);
  if (times(m) == (clock_t)-1 || m->tms_utime < 0) fail("times: at %p", (void *)m);
}

static void try_nanosleep(struct kernel *k) {
  struct timespec *left = buffer(k, sizeof *left), t = {0, (long)dice_below(k->dice, 3000000)};
  *left = t;
  for (int error = 0; (error = nanosleep(left, left)) != 0;)
    if (errno != EINTR || left->tv_sec != 0 || left->tv_nsec > t.tv_nsec) result("nanosleep", error, 0, left);
}

static void try_wait(struct kernel *k) {
  int *status = buffer(k, sizeof *status);
  unsigned delay = (unsigned)dice_below(k->dice, 4000);
  pid_t child = vfork();
  if (child == 0) {
    struct timespec t = {0, delay * 1000};
    syscall(SYS_nanosleep, &t, NULL);
    _exit(42);
  }
  must(child > 0);
  result("waitpid", AGAIN(waitpid(child, status, 0)), child, status);
  result("waitpid's status", *status, 42 << 8, status);
}

static void try_signals(struct kernel *k) {
  struct sigaction *old = buffer(k, sizeof *old);
  result("sigaction", sigaction(SIGURG, NULL, old), 0, old);
  if (old->sa_handler != SIG_DFL) fail("sigaction: handler %p, at %p", (void *)old->sa_handler, (void *)old);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 5);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  sigset_t *mask = buffer(k, sizeof *mask);
  result("sigprocmask", pthread_sigmask(SIG_BLOCK, NULL, mask), 0, mask);
  if (!sigismember(mask, SIGRTMIN + 5)) fail("pthread_sigmask: wrong mask at %p", (void *)mask);
  siginfo_t *info = buffer(k, sizeof *info);
  struct timespec t = {0, 2000000};
  if (dice_below(k->dice, 2) == 0) {
    pthread_kill(pthread_self(), SIGRTMIN + 5);
    result("sigwaitinfo", AGAIN(sigwaitinfo(&set, info)), SIGRTMIN + 5, info);
    if (info->si_signo != SIGRTMIN + 5) fail("sigwaitinfo: wrong signal at %p", (void *)info);
  } else {
    long n = AGAIN(sigtimedwait(&set, info, &t));
    if (n != -1 || errno != EAGAIN) result("sigtimedwait", n, -1, info);
  }
}

static void try_timer(struct kernel *k) {
  struct sigevent e = {.sigev_notify = SIGEV_NONE};
  timer_t *timer = buffer(k, sizeof *timer);
  result("timer_create", timer_create(CLOCK_MONOTONIC, &e, timer), 0, timer);
  timer_t t = *timer;
  struct itimerspec set = {.it_value.tv_sec = 500}, *left = buffer(k, sizeof *left);
  must(timer_settime(t, 0, &set, NULL) == 0);
  result("timer_gettime", timer_gettime(t, left), 0, left);
  if (left->it_value.tv_sec < 400 || left->it_value.tv_sec > 500) fail("timer_gettime: at %p", (void *)left);
  timer_delete(t);
}

static void try_system(struct kernel *k) {
  struct utsname *u = buffer(k, sizeof *u);
  result("uname", uname(u), 0, u);
  if (strcmp(u->sysname, "Linux") != 0) fail("uname: at %p", (void *)u);
  struct sysinfo *s = buffer(k, sizeof *s);
  result("sysinfo", sysinfo(s), 0, s);
  if (s->totalram == 0 || s->procs == 0xA5A5) fail("sysinfo: at %p", (void *)s);
  struct rlimit *r = buffer(k, sizeof *r);
  result("getrlimit", getrlimit(RLIMIT_NOFILE, r), 0, r);
  if (r->rlim_cur > r->rlim_max) fail("getrlimit: at %p", (void *)r);
  struct rusage *used = buffer(k, sizeof *used);
  result("getrusage", getrusage(RUSAGE_SELF, used), 0, used);
  if (used->ru_maxrss <= 0) fail("getrusage: at %p", (void *)used);
}

static void try_process(struct kernel *k) {
  cpu_set_t *set = buffer(k, sizeof *set);
  result("sched_getaffinity", sched_getaffinity(0, sizeof *set, set), 0, set);
  if (CPU_COUNT(set) < 1 || CPU_COUNT(set) == 512) fail("sched_getaffinity: at %p", (void *)set);
  set = buffer(k, sizeof *set);
  result("pthread_getaffinity_np", pthread_getaffinity_np(pthread_self(), sizeof *set, set), 0, set);
  if (CPU_COUNT(set) < 1 || CPU_COUNT(set) == 512) fail("pthread_getaffinity_np: at %p", (void *)set);
  gid_t *groups = buffer(k, 100 * sizeof *groups);
  if (getgroups(100, groups) < 0) result("getgroups", -1, 0, groups);
  char *b = buffer(k, 2048);
  if (getcwd(b, 2048) != b || b[0] != '/') fail("getcwd into %p: errno %d", (void *)b, errno);
  b = buffer(k, 1024);
  long n = readlink("/proc/self/exe", b, 1024);
  if (n <= 0 || b[0] != '/') result("readlink", n, 1, b);
  unsigned char *resident = buffer(k, 16);
  result("mincore", mincore(k->content, 16 * (size_t)sysconf(_SC_PAGESIZE), resident), 0, resident);
  for (int i = 0; i < 16; i++)
    if (!(resident[i] & 1)) fail("mincore: at %p", (void *)resident);
}

static void try_ids(struct kernel *k) {
  uid_t *id = buffer(k, 3 * sizeof *id);
  result("getresuid", getresuid(&id[0], &id[1], &id[2]), 0, id);
  if (id[0] != getuid() || id[1] != geteuid()) fail("getresuid: at %p", (void *)id);
  struct flock *lock = buffer(k, sizeof *lock);
  *lock = (struct flock){.l_type = F_WRLCK};
  result("fcntl(F_GETLK)", fcntl(k->file, F_GETLK, lock), 0, lock);
  if (lock->l_type != F_UNLCK) fail("fcntl(F_GETLK): at %p", (void *)lock);
  struct sched_param *p = buffer(k, sizeof *p);
  result("sched_getparam", sched_getparam(0, p), 0, p);
  struct rlimit *r = buffer(k, sizeof *r);
  result("prlimit", prlimit(0, RLIMIT_NOFILE, NULL, r), 0, r);
  if (r->rlim_cur > r->rlim_max) fail("prlimit: at %p", (void *)r);
}

/* --------------------------------------------------------------------------------------------- all */

static struct {
  const char *name;
  void (*try)(struct kernel *k);
  atomic_ulong count;
} calls[] = {
    {"read", try_read, 0},           {"pread", try_pread, 0},       {"readv", try_readv, 0},
    {"preadv", try_preadv, 0},       {"recv", try_recv, 0},         {"recvfrom", try_recvfrom, 0},
    {"recvmsg", try_recvmsg, 0},     {"recvmmsg", try_recvmmsg, 0}, {"fread", try_fread, 0},
    {"stream", try_stream, 0},       {"proc", try_proc, 0},         {"raw-pread", try_raw_read, 0},
    {"getrandom", try_getrandom, 0}, {"sendfile", try_sendfile, 0}, {"epoll", try_epoll, 0},
    {"poll", try_poll, 0},           {"select", try_select, 0},     {"getdents", try_getdents, 0},
    {"ioctl", try_ioctl, 0},         {"stat", try_stat, 0},         {"names", try_names, 0},
    {"pipe", try_pipe, 0},           {"clocks", try_clocks, 0},     {"nanosleep", try_nanosleep, 0},
    {"wait", try_wait, 0},           {"signals", try_signals, 0},   {"timer", try_timer, 0},
    {"system", try_system, 0},       {"process", try_process, 0},   {"ids", try_ids, 0},
};
enum { CALLS = sizeof calls / sizeof *calls };

static void open_all(struct kernel *k) {
  k->file = memfd_create("content", MFD_CLOEXEC);
  must(k->file >= 0 && ftruncate(k->file, FILE_SIZE) == 0);
  k->content = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, k->file, 0);
  must(k->content != MAP_FAILED);
  for (size_t i = 0; i < FILE_SIZE; i++) k->content[i] = (char)dice_next(k->dice);
  must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, k->stream) == 0);
  must(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, k->datagram) == 0);
  must(pipe2(k->pipe, O_CLOEXEC) == 0);
}

/* Which calls to try: all, or those that MESH_STRESS_CALLS names, with spaces between them. */
static bool wanted(const char *name) {
  const char *names = getenv("MESH_STRESS_CALLS");
  const size_t length = strlen(name);
  for (const char *at = names; at != NULL && *at != '\0'; at += strcspn(at, " ")) {
    at += strspn(at, " ");
    if (strncmp(at, name, length) == 0 && strcspn(at, " ") == length) return true;
  }
  return names == NULL;
}

void kernel_part(struct worker *w) {
  struct kernel *k = plain_memory(sizeof *k);
  pthread_t sender;
  k->w = w;
  k->dice = &w->dice;
  k->later = (struct later){PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, -1, NULL, 0, 0};
  open_all(k);
  for (size_t c = 0; c < SPARSE_SIZES; c++) k->pool[c] = sparse_new(POOL, sparse_sizes[c], k->dice);
  must(pthread_create(&sender, NULL, send_later, &k->later) == 0);
  while (running()) {
    size_t i = dice_below(k->dice, CALLS);
    if (!wanted(calls[i].name)) continue;
    calls[i].try(k);
    calls[i].count++;
    did_one(w);
    if (dice_below(k->dice, 20) != 0) continue;
    size_t c = dice_below(k->dice, SPARSE_SIZES);
    sparse_free(&k->pool[c]);
    k->pool[c] = sparse_new(POOL, sparse_sizes[c], k->dice);
  }
  pthread_mutex_lock(&k->later.lock);
  k->later.fd = -2;
  pthread_cond_broadcast(&k->later.changed);
  pthread_mutex_unlock(&k->later.lock);
  pthread_join(sender, NULL);
}

void kernel_print(void) {
  for (int i = 0; i < CALLS; i++)
    printf("%s %lu%c", calls[i].name, calls[i].count, i % 10 == 9 || i == CALLS - 1 ? '\n' : ' ');
}
