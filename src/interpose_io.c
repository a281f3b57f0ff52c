/* Wrappers of libc's functions that make the kernel write to memory of the program's: they publish the
 * buffer, so that no batch of meshing protects its pages while a barrier is in use that the kernel does
 * not wait for (see hazard.h). They add nothing else, and nothing at all once such a barrier is out of
 * the question.
 *
 * One line a function: its type, name, parameters, arguments, and the buffer with its size. The names with
 * _chk are what programs call that were built with _FORTIFY_SOURCE. */
#include <dirent.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <linux/sockios.h>
#include <mqueue.h>
#include <pthread.h>
#include <netinet/in.h>
#include <poll.h>
#include <resolv.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/quota.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "hazard.h"
#include "interpose.h"
#include "os.h"
#include "pin.h"

#undef fread_unlocked /* a macro in some of libc's headers */

const bool hazard_calls_wrapped = true;

/* Not every buffer's size is known: then the most that the kernel stores. */
enum { MUCH = 4096 };

#define PUBLISH1(type, name, parameters, arguments, buffer, size) \
  EXPORT type name parameters;                                    \
  EXPORT type name parameters {                                   \
    Published p = hazard_publish(buffer, size);                   \
    type result = REAL(name) arguments;                           \
    hazard_clear(p);                                              \
    return result;                                                \
  }
#define PUBLISH2(type, name, parameters, arguments, buffer, size, buffer2, size2) \
  EXPORT type name parameters;                                                    \
  EXPORT type name parameters {                                                   \
    Published p = hazard_publish(buffer, size);                                   \
    hazard_add(&p, buffer2, size2);                                               \
    type result = REAL(name) arguments;                                           \
    hazard_clear(p);                                                              \
    return result;                                                                \
  }
#define PUBLISH3(type, name, parameters, arguments, buffer, size, buffer2, size2, buffer3, size3) \
  EXPORT type name parameters;                                                                    \
  EXPORT type name parameters {                                                                   \
    Published p = hazard_publish(buffer, size);                                                   \
    hazard_add(&p, buffer2, size2);                                                               \
    hazard_add(&p, buffer3, size3);                                                               \
    type result = REAL(name) arguments;                                                           \
    hazard_clear(p);                                                                              \
    return result;                                                                                \
  }

/* For functions of libc that hand the kernel memory of which only they know where it lies: no page of the
 * heap is protected meanwhile. None of them waits for anything. */
#define ALL_HEAP ((void *)arena.base)
#define ALL_HEAP_SIZE load_relaxed(&arena.limit)
#define PUBLISH_ALL(type, name, parameters, arguments) \
  PUBLISH1(type, name, parameters, arguments, ALL_HEAP, ALL_HEAP_SIZE)

/* ---- Bytes ---- */

PUBLISH1(ssize_t, read, (int fd, void *b, size_t n), (fd, b, n), b, n)
PUBLISH1(ssize_t, __read_chk, (int fd, void *b, size_t n, size_t room), (fd, b, n, room), b, n)
PUBLISH1(ssize_t, pread, (int fd, void *b, size_t n, off_t at), (fd, b, n, at), b, n)
PUBLISH1(ssize_t, pread64, (int fd, void *b, size_t n, off64_t at), (fd, b, n, at), b, n)
PUBLISH1(ssize_t, __pread_chk, (int fd, void *b, size_t n, off_t at, size_t room), (fd, b, n, at, room), b, n)
PUBLISH1(ssize_t, __pread64_chk, (int fd, void *b, size_t n, off64_t at, size_t room), (fd, b, n, at, room), b, n)
PUBLISH1(ssize_t, recv, (int fd, void *b, size_t n, int flags), (fd, b, n, flags), b, n)
PUBLISH1(ssize_t, __recv_chk, (int fd, void *b, size_t n, size_t room, int flags), (fd, b, n, room, flags), b, n)
PUBLISH1(ssize_t, getrandom, (void *b, size_t n, unsigned flags), (b, n, flags), b, n)
PUBLISH1(int, getentropy, (void *b, size_t n), (b, n), b, n)
PUBLISH1(ssize_t, getdents64, (int fd, void *b, size_t n), (fd, b, n), b, n)
/* A large read goes to the caller's buffer past the stream's. */
PUBLISH1(size_t, fread, (void *b, size_t n, size_t m, FILE *f), (b, n, m, f), b, n *m)
PUBLISH1(size_t, fread_unlocked, (void *b, size_t n, size_t m, FILE *f), (b, n, m, f), b, n *m)
size_t __fread_chk(void *b, size_t room, size_t n, size_t m, FILE *f);
PUBLISH1(size_t, __fread_chk, (void *b, size_t room, size_t n, size_t m, FILE *f), (b, room, n, m, f), b, n *m)
PUBLISH1(size_t, __fread_unlocked_chk, (void *b, size_t room, size_t n, size_t m, FILE *f), (b, room, n, m, f), b,
         n *m)
size_t _IO_sgetn(FILE *f, void *b, size_t n);
PUBLISH1(size_t, _IO_sgetn, (FILE *f, void *b, size_t n), (f, b, n), b, n)
PUBLISH1(ssize_t, mq_receive, (mqd_t q, char *b, size_t n, unsigned *priority), (q, b, n, priority), b, n)

PUBLISH1(ssize_t, mq_timedreceive,
         (mqd_t q, char *b, size_t n, unsigned *priority, const struct timespec *t), (q, b, n, priority, t), b, n)
PUBLISH1(int, eventfd_read, (int fd, eventfd_t *b), (fd, b), b, sizeof *b)
PUBLISH1(ssize_t, getdirentries, (int fd, char *b, size_t n, off_t *at), (fd, b, n, at), b, n)
PUBLISH1(ssize_t, getdirentries64, (int fd, char *b, size_t n, off64_t *at), (fd, b, n, at), b, n)
PUBLISH1(int, klogctl, (int type, char *b, int n), (type, b, n), b, n > 0 ? (size_t)n : 0)
EXPORT void arc4random_buf(void *b, size_t n); /* returns nothing, so that no line above fits */
EXPORT void arc4random_buf(void *b, size_t n) {
  Published p = hazard_publish(b, n);
  REAL(arc4random_buf)(b, n);
  hazard_clear(p);
}

/* The sender's address, and its length. */
#define ADDRESS_ROOM (address != NULL && length != NULL ? *length : 0)
EXPORT ssize_t recvfrom(int fd, void *b, size_t n, int flags, struct sockaddr *address, socklen_t *length) {
  Published p = hazard_publish(b, n);
  hazard_add(&p, address, ADDRESS_ROOM);
  hazard_add(&p, length, sizeof *length);
  ssize_t result = REAL(recvfrom)(fd, b, n, flags, address, length);
  hazard_clear(p);
  return result;
}
EXPORT ssize_t __recvfrom_chk(int fd, void *b, size_t n, size_t room, int flags, struct sockaddr *address,
                              socklen_t *length);
EXPORT ssize_t __recvfrom_chk(int fd, void *b, size_t n, size_t room, int flags, struct sockaddr *address,
                              socklen_t *length) {
  Published p = hazard_publish(b, n);
  hazard_add(&p, address, ADDRESS_ROOM);
  hazard_add(&p, length, sizeof *length);
  ssize_t result = REAL(__recvfrom_chk)(fd, b, n, room, flags, address, length);
  hazard_clear(p);
  return result;
}

/* ---- Vectors: what encloses all parts that lie in the arena ---- */

typedef struct Extent {
  const char *start, *end;
} Extent;

static Extent extent_add(Extent e, const void *buffer, size_t size) {
  const char *from = buffer, *to = from + size;
  if (size == 0 || !arena_contains(buffer)) return e;
  if (e.start == NULL) return (Extent){from, to};
  return (Extent){from < e.start ? from : e.start, to > e.end ? to : e.end};
}

/* What the kernel cannot read it refuses, and so nobody may look at it here. Most vectors lie where there is no need to
 * ask: on the stack, or in the heap. */
static bool is_readable(const void *p, size_t size) {
  enum { NEAR = 1 << 16 };
  const char *start = p;
  if (hazard_concerns((uintptr_t)p) || (uintptr_t)p - HAZARD_FRAME < NEAR - size) return true;
  for (size_t at = 0; at < size; at += MUCH)
    if (!os_readable(start + at, size - at < MUCH ? size - at : MUCH)) return false;
  return true;
}

static Extent extent_of_vector(Extent e, const struct iovec *v, size_t count) {
  if (count > IOV_MAX || !is_readable(v, count * sizeof *v)) return e;
  for (size_t i = 0; i < count; i++) e = extent_add(e, v[i].iov_base, v[i].iov_len);
  return e;
}

static Extent extent_of_message(Extent e, const struct msghdr *m) {
  if (!is_readable(m, sizeof *m)) return e;
  e = extent_of_vector(e, m->msg_iov, m->msg_iovlen);
  e = extent_add(e, m->msg_name, m->msg_namelen);
  e = extent_add(e, m->msg_control, m->msg_controllen);
  return extent_add(e, m, sizeof *m);
}

static Extent extent_of_messages(const struct mmsghdr *m, unsigned count) {
  Extent e = {NULL, NULL};
  if (count > IOV_MAX) count = IOV_MAX; /* as the kernel has it */
  if (!is_readable(m, count * sizeof *m)) return e;
  for (unsigned i = 0; i < count; i++) e = extent_add(extent_of_message(e, &m[i].msg_hdr), &m[i], sizeof m[i]);
  return e;
}

#define PUBLISH_EXTENT(type, name, parameters, arguments, extent)                  \
  EXPORT type name parameters {                                                    \
    const Extent none = {NULL, NULL}, e = load_relaxed(&hazard_wanted) ? extent : none; \
    Published p = hazard_publish(e.start, (size_t)(e.end - e.start));              \
    type result = REAL(name) arguments;                                            \
    hazard_clear(p);                                                               \
    return result;                                                                 \
  }

PUBLISH_EXTENT(ssize_t, readv, (int fd, const struct iovec *v, int n), (fd, v, n),
               extent_of_vector(none, v, n > 0 ? (size_t)n : 0))
PUBLISH_EXTENT(ssize_t, preadv, (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at),
               extent_of_vector(none, v, n > 0 ? (size_t)n : 0))
PUBLISH_EXTENT(ssize_t, preadv64, (int fd, const struct iovec *v, int n, off64_t at), (fd, v, n, at),
               extent_of_vector(none, v, n > 0 ? (size_t)n : 0))
PUBLISH_EXTENT(ssize_t, preadv2, (int fd, const struct iovec *v, int n, off_t at, int flags),
               (fd, v, n, at, flags), extent_of_vector(none, v, n > 0 ? (size_t)n : 0))
PUBLISH_EXTENT(ssize_t, preadv64v2, (int fd, const struct iovec *v, int n, off64_t at, int flags),
               (fd, v, n, at, flags), extent_of_vector(none, v, n > 0 ? (size_t)n : 0))
PUBLISH_EXTENT(ssize_t, process_vm_readv,
               (pid_t pid, const struct iovec *v, unsigned long n, const struct iovec *w, unsigned long m,
                unsigned long flags),
               (pid, v, n, w, m, flags), extent_of_vector(none, v, n))
/* The process may be this one. */
PUBLISH1(ssize_t, process_vm_writev,
         (pid_t pid, const struct iovec *v, unsigned long n, const struct iovec *w, unsigned long m,
          unsigned long flags),
         (pid, v, n, w, m, flags), ALL_HEAP, pid == os_process() ? ALL_HEAP_SIZE : 0)
PUBLISH_EXTENT(ssize_t, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags),
               extent_of_message(none, m))
PUBLISH_EXTENT(int, recvmmsg, (int fd, struct mmsghdr *m, unsigned n, int flags, struct timespec *t),
               (fd, m, n, flags, t), extent_add(extent_of_messages(m, n), t, sizeof *t))
PUBLISH_EXTENT(int, sendmmsg, (int fd, struct mmsghdr *m, unsigned n, int flags), (fd, m, n, flags),
               extent_of_messages(m, n)) /* how much of each was sent */
PUBLISH_EXTENT(ssize_t, vmsplice, (int fd, const struct iovec *v, size_t n, unsigned flags), (fd, v, n, flags),
               extent_of_vector(none, v, n))

/* ---- Facts about files, sockets, processes ---- */

PUBLISH1(int, stat, (const char *path, struct stat *b), (path, b), b, sizeof *b)
PUBLISH1(int, lstat, (const char *path, struct stat *b), (path, b), b, sizeof *b)
PUBLISH1(int, fstat, (int fd, struct stat *b), (fd, b), b, sizeof *b)
PUBLISH1(int, fstatat, (int fd, const char *path, struct stat *b, int flags), (fd, path, b, flags), b, sizeof *b)
PUBLISH1(int, stat64, (const char *path, struct stat64 *b), (path, b), b, sizeof *b)
PUBLISH1(int, lstat64, (const char *path, struct stat64 *b), (path, b), b, sizeof *b)
PUBLISH1(int, fstat64, (int fd, struct stat64 *b), (fd, b), b, sizeof *b)
PUBLISH1(int, fstatat64, (int fd, const char *path, struct stat64 *b, int flags), (fd, path, b, flags), b, sizeof *b)
PUBLISH1(int, __xstat, (int v, const char *path, struct stat *b), (v, path, b), b, sizeof *b)
PUBLISH1(int, __lxstat, (int v, const char *path, struct stat *b), (v, path, b), b, sizeof *b)
PUBLISH1(int, __fxstat, (int v, int fd, struct stat *b), (v, fd, b), b, sizeof *b)
PUBLISH1(int, __fxstatat, (int v, int fd, const char *path, struct stat *b, int flags), (v, fd, path, b, flags), b,
         sizeof *b)
PUBLISH1(int, __xstat64, (int v, const char *path, struct stat64 *b), (v, path, b), b, sizeof *b)
PUBLISH1(int, __lxstat64, (int v, const char *path, struct stat64 *b), (v, path, b), b, sizeof *b)
PUBLISH1(int, __fxstat64, (int v, int fd, struct stat64 *b), (v, fd, b), b, sizeof *b)
PUBLISH1(int, __fxstatat64, (int v, int fd, const char *path, struct stat64 *b, int flags), (v, fd, path, b, flags), b,
         sizeof *b)
PUBLISH1(int, statx, (int fd, const char *path, int flags, unsigned mask, struct statx *b), (fd, path, flags, mask, b),
         b, sizeof *b)
PUBLISH1(int, statfs, (const char *path, struct statfs *b), (path, b), b, sizeof *b)
PUBLISH1(int, fstatfs, (int fd, struct statfs *b), (fd, b), b, sizeof *b)
PUBLISH1(int, statfs64, (const char *path, struct statfs64 *b), (path, b), b, sizeof *b)
PUBLISH1(int, fstatfs64, (int fd, struct statfs64 *b), (fd, b), b, sizeof *b)
PUBLISH1(ssize_t, readlink, (const char *path, char *b, size_t n), (path, b, n), b, n)
PUBLISH1(ssize_t, __readlink_chk, (const char *path, void *b, size_t n, size_t room), (path, b, n, room), b, n)
PUBLISH1(ssize_t, readlinkat, (int fd, const char *path, char *b, size_t n), (fd, path, b, n), b, n)
PUBLISH1(ssize_t, __readlinkat_chk, (int fd, const char *path, char *b, size_t n, size_t room),
         (fd, path, b, n, room), b, n)
PUBLISH1(int, ttyname_r, (int fd, char *b, size_t n), (fd, b, n), b, n)
PUBLISH1(int, __ttyname_r_chk, (int fd, char *b, size_t n, size_t room), (fd, b, n, room), b, n)
PUBLISH2(int, name_to_handle_at, (int fd, const char *path, struct file_handle *b, int *mount, int flags),
         (fd, path, b, mount, flags), b, sizeof *b + MAX_HANDLE_SZ, mount, sizeof *mount)
/* libc allocates what is not given. */
PUBLISH1(char *, getcwd, (char *b, size_t n), (b, n), b != NULL ? b : ALL_HEAP, b != NULL ? n : ALL_HEAP_SIZE)
PUBLISH_ALL(char *, get_current_dir_name, (void), ())
PUBLISH1(char *, __getcwd_chk, (char *b, size_t n, size_t room), (b, n, room), b, n)
PUBLISH1(ssize_t, getxattr, (const char *path, const char *name, void *b, size_t n), (path, name, b, n), b, n)
PUBLISH1(ssize_t, lgetxattr, (const char *path, const char *name, void *b, size_t n), (path, name, b, n), b, n)
PUBLISH1(ssize_t, fgetxattr, (int fd, const char *name, void *b, size_t n), (fd, name, b, n), b, n)
PUBLISH1(ssize_t, listxattr, (const char *path, char *b, size_t n), (path, b, n), b, n)
PUBLISH1(ssize_t, flistxattr, (int fd, char *b, size_t n), (fd, b, n), b, n)
PUBLISH1(int, mincore, (void *at, size_t n, unsigned char *b), (at, n, b), b, n / MUCH + 1)

PUBLISH2(int, accept, (int fd, struct sockaddr *address, socklen_t *length), (fd, address, length), address,
         ADDRESS_ROOM, length, sizeof *length)
PUBLISH2(int, accept4, (int fd, struct sockaddr *address, socklen_t *length, int flags), (fd, address, length, flags),
         address, ADDRESS_ROOM, length, sizeof *length)
PUBLISH2(int, getsockname, (int fd, struct sockaddr *address, socklen_t *length), (fd, address, length), address,
         ADDRESS_ROOM, length, sizeof *length)
PUBLISH2(int, getpeername, (int fd, struct sockaddr *address, socklen_t *length), (fd, address, length), address,
         ADDRESS_ROOM, length, sizeof *length)
PUBLISH2(int, getsockopt, (int fd, int level, int name, void *b, socklen_t *length), (fd, level, name, b, length), b,
         length != NULL ? *length : 0, length, sizeof *length)
PUBLISH1(int, socketpair, (int domain, int type, int protocol, int b[2]), (domain, type, protocol, b), b,
         2 * sizeof *b)
PUBLISH1(int, pipe, (int b[2]), (b), b, 2 * sizeof *b)
PUBLISH1(int, pipe2, (int b[2], int flags), (b, flags), b, 2 * sizeof *b)

PUBLISH1(int, uname, (struct utsname *b), (b), b, sizeof *b)
PUBLISH1(int, sysinfo, (struct sysinfo *b), (b), b, sizeof *b)
PUBLISH1(clock_t, times, (struct tms *b), (b), b, sizeof *b)
PUBLISH1(int, getrlimit, (__rlimit_resource_t r, struct rlimit *b), (r, b), b, sizeof *b)
PUBLISH1(int, getrlimit64, (__rlimit_resource_t r, struct rlimit64 *b), (r, b), b, sizeof *b)
PUBLISH1(int, getrusage, (__rusage_who_t who, struct rusage *b), (who, b), b, sizeof *b)
PUBLISH1(int, getgroups, (int n, gid_t *b), (n, b), b, n > 0 ? (size_t)n * sizeof *b : 0)
PUBLISH1(int, __getgroups_chk, (int n, gid_t *b, size_t room), (n, b, room), b, n > 0 ? (size_t)n * sizeof *b : 0)
PUBLISH1(int, sched_getaffinity, (pid_t pid, size_t n, cpu_set_t *b), (pid, n, b), b, n)
PUBLISH1(int, getitimer, (__itimer_which_t which, struct itimerval *b), (which, b), b, sizeof *b)
PUBLISH1(int, setitimer, (__itimer_which_t which, const struct itimerval *new, struct itimerval *b), (which, new, b), b,
         sizeof *b)
PUBLISH1(int, timer_gettime, (timer_t t, struct itimerspec *b), (t, b), b, sizeof *b)
PUBLISH1(int, timer_settime, (timer_t t, int flags, const struct itimerspec *new, struct itimerspec *b),
         (t, flags, new, b), b, sizeof *b)
/* Where libc cannot read a clock without the kernel. libmesh itself reads them under its locks, perhaps on a stack that
 * the program has allocated. */
#define CLOCK_ROOM(b) (locks_held > 0 ? 0 : sizeof *b)
PUBLISH1(int, clock_gettime, (clockid_t clock, struct timespec *b), (clock, b), b, CLOCK_ROOM(b))
PUBLISH2(int, gettimeofday, (struct timeval *b, void *b2), (b, b2), b, CLOCK_ROOM(b), b2,
         locks_held > 0 ? 0 : sizeof(struct timezone))
PUBLISH1(int, timespec_get, (struct timespec *b, int base), (b, base), b, CLOCK_ROOM(b))
PUBLISH1(int, clock_getres, (clockid_t clock, struct timespec *b), (clock, b), b, sizeof *b)

PUBLISH1(pid_t, wait, (int *b), (b), b, sizeof *b)
PUBLISH1(pid_t, waitpid, (pid_t pid, int *b, int options), (pid, b, options), b, sizeof *b)
PUBLISH2(pid_t, wait3, (int *b, int options, struct rusage *u), (b, options, u), b, sizeof *b, u, sizeof *u)
PUBLISH2(pid_t, wait4, (pid_t pid, int *b, int options, struct rusage *u), (pid, b, options, u), b, sizeof *b, u,
         sizeof *u)
PUBLISH1(int, waitid, (idtype_t type, id_t id, siginfo_t *b, int options), (type, id, b, options), b, sizeof *b)
PUBLISH1(int, sigpending, (sigset_t *b), (b), b, sizeof *b)
PUBLISH1(int, sigwait, (const sigset_t *set, int *b), (set, b), b, sizeof *b)
PUBLISH1(int, sigwaitinfo, (const sigset_t *set, siginfo_t *b), (set, b), b, sizeof *b)
PUBLISH1(int, sigtimedwait, (const sigset_t *set, siginfo_t *b, const struct timespec *t), (set, b, t), b, sizeof *b)

PUBLISH3(int, getresuid, (uid_t *r, uid_t *e, uid_t *s), (r, e, s), r, sizeof *r, e, sizeof *e, s, sizeof *s)
PUBLISH3(int, getresgid, (gid_t *r, gid_t *e, gid_t *s), (r, e, s), r, sizeof *r, e, sizeof *e, s, sizeof *s)
PUBLISH1(int, sched_getparam, (pid_t pid, struct sched_param *b), (pid, b), b, sizeof *b)
PUBLISH1(int, sched_rr_get_interval, (pid_t pid, struct timespec *b), (pid, b), b, sizeof *b)
PUBLISH1(int, pthread_getaffinity_np, (pthread_t t, size_t n, cpu_set_t *b), (t, n, b), b, n)
PUBLISH1(int, pthread_getname_np, (pthread_t t, char *b, size_t n), (t, b, n), b, n)
PUBLISH1(ssize_t, msgrcv, (int q, void *b, size_t n, long type, int flags), (q, b, n, type, flags), b, n + sizeof(long))
PUBLISH1(int, msgctl, (int q, int op, struct msqid_ds *b), (q, op, b), b, sizeof *b)
PUBLISH1(int, shmctl, (int id, int op, struct shmid_ds *b), (id, op, b), b, sizeof *b)
PUBLISH1(int, mq_getattr, (mqd_t q, struct mq_attr *b), (q, b), b, sizeof *b)
PUBLISH1(ssize_t, llistxattr, (const char *path, char *b, size_t n), (path, b, n), b, n)
PUBLISH1(ssize_t, sendfile, (int out, int in, off_t *b, size_t n), (out, in, b, n), b, sizeof *b)
PUBLISH1(ssize_t, sendfile64, (int out, int in, off64_t *b, size_t n), (out, in, b, n), b, sizeof *b)
PUBLISH2(ssize_t, splice, (int in, off64_t *b, int out, off64_t *b2, size_t n, unsigned flags),
         (in, b, out, b2, n, flags), b, sizeof *b, b2, sizeof *b2)
PUBLISH2(ssize_t, copy_file_range, (int in, off64_t *b, int out, off64_t *b2, size_t n, unsigned flags),
         (in, b, out, b2, n, flags), b, sizeof *b, b2, sizeof *b2)
PUBLISH1(int, mq_setattr, (mqd_t q, const struct mq_attr *new, struct mq_attr *b), (q, new, b), b, sizeof *b)
PUBLISH1(int, adjtimex, (struct timex *b), (b), b, sizeof *b)
PUBLISH1(int, ntp_adjtime, (struct timex *b), (b), b, sizeof *b)
PUBLISH1(int, clock_adjtime, (clockid_t clock, struct timex *b), (clock, b), b, sizeof *b)
PUBLISH1(int, quotactl, (int op, const char *path, int id, caddr_t b), (op, path, id, b), b, MUCH)
int capget(void *header, void *data);
PUBLISH2(int, capget, (void *b, void *b2), (b, b2), b, 8, b2, 2 * 12)
PUBLISH1(int, timerfd_gettime, (int fd, struct itimerspec *b), (fd, b), b, sizeof *b)
PUBLISH1(int, timerfd_settime, (int fd, int flags, const struct itimerspec *new, struct itimerspec *b),
         (fd, flags, new, b), b, sizeof *b)

/* ---- One argument more, which may be a pointer ---- */

/* All that the kernel stores for it is where its argument points to: requests to terminals and of all descriptors, and
 * to sockets. Others may point on. */
static bool ioctl_is_flat(unsigned long request) {
  const unsigned number = _IOC_NR(request);
  return _IOC_TYPE(request) == 'T' || (_IOC_TYPE(request) == 0x89 && number < 0x40 && request != SIOCGIFCONF);
}

EXPORT int ioctl(int fd, unsigned long request, ...) {
  va_list list;
  va_start(list, request);
  void *argument = va_arg(list, void *);
  va_end(list);
  Published p = {.hazard = NULL};
  if (ioctl_is_flat(request))
    hazard_add(&p, argument, MUCH);
  else if ((uintptr_t)argument >= MUCH) /* not a number */
    hazard_add(&p, ALL_HEAP, ALL_HEAP_SIZE);
  int result = REAL(ioctl)(fd, request, argument);
  hazard_clear(p);
  return result;
}

EXPORT int semctl(int id, int number, int op, ...) {
  va_list list;
  va_start(list, op);
  void *argument = va_arg(list, void *);
  va_end(list);
  Published p = hazard_publish(argument, MUCH);
  int result = REAL(semctl)(id, number, op, argument);
  hazard_clear(p);
  return result;
}

EXPORT long ptrace(enum __ptrace_request request, ...) {
  void *a[3];
  va_list list;
  va_start(list, request);
  for (int i = 0; i < 3; i++) a[i] = va_arg(list, void *);
  va_end(list);
  Published p = hazard_publish(ALL_HEAP, ALL_HEAP_SIZE);
  long result = REAL(ptrace)(request, a[0], a[1], a[2]);
  hazard_clear(p);
  return result;
}

/* ---- Answers of name servers ---- */

/* Older headers have the names with __ for the others; old programs call them, of libc there is one or the other. */
#undef res_query
#undef res_search
#undef res_querydomain
#undef res_send
#undef res_nquery
#undef res_nsearch
#undef res_nquerydomain
#undef res_nsend

#define PUBLISH_ANSWER(type, name, parameters, arguments)                    \
  type name parameters;                                                      \
  type __##name parameters;                                                  \
  EXPORT type name parameters {                                              \
    Published p = hazard_publish(b, n > 0 ? (size_t)n : 0);                  \
    type result = (REAL(name) != NULL ? REAL(name) : REAL(__##name)) arguments; \
    hazard_clear(p);                                                         \
    return result;                                                           \
  }                                                                          \
  ALSO(__##name, name);

PUBLISH_ANSWER(int, res_query, (const char *d, int class, int type, unsigned char *b, int n), (d, class, type, b, n))
PUBLISH_ANSWER(int, res_search, (const char *d, int class, int type, unsigned char *b, int n), (d, class, type, b, n))
PUBLISH_ANSWER(int, res_querydomain,
               (const char *name, const char *d, int class, int type, unsigned char *b, int n),
               (name, d, class, type, b, n))
PUBLISH_ANSWER(int, res_send, (const unsigned char *m, int size, unsigned char *b, int n), (m, size, b, n))
PUBLISH_ANSWER(int, res_nquery, (res_state s, const char *d, int class, int type, unsigned char *b, int n),
               (s, d, class, type, b, n))
PUBLISH_ANSWER(int, res_nsearch, (res_state s, const char *d, int class, int type, unsigned char *b, int n),
               (s, d, class, type, b, n))
PUBLISH_ANSWER(int, res_nquerydomain,
               (res_state s, const char *name, const char *d, int class, int type, unsigned char *b, int n),
               (s, name, d, class, type, b, n))
PUBLISH_ANSWER(int, res_nsend, (res_state s, const unsigned char *m, int size, unsigned char *b, int n),
               (s, m, size, b, n))

/* ---- Where libc has buffers of its own in the heap ---- */

PUBLISH_ALL(FTS *, fts_open, (char *const *paths, int options, int (*compare)(const FTSENT **, const FTSENT **)),
            (paths, options, compare))
PUBLISH_ALL(FTSENT *, fts_read, (FTS *f), (f))
PUBLISH_ALL(FTSENT *, fts_children, (FTS *f, int options), (f, options))
PUBLISH_ALL(FTS64 *, fts64_open,
            (char *const *paths, int options, int (*compare)(const FTSENT64 **, const FTSENT64 **)),
            (paths, options, compare))
PUBLISH_ALL(FTSENT64 *, fts64_read, (FTS64 *f), (f))
PUBLISH_ALL(FTSENT64 *, fts64_children, (FTS64 *f, int options), (f, options))
PUBLISH_ALL(int, pthread_getattr_np, (pthread_t t, pthread_attr_t *a), (t, a))
PUBLISH_ALL(char *, realpath, (const char *path, char *b), (path, b))
PUBLISH_ALL(char *, __realpath_chk, (const char *path, char *b, size_t room), (path, b, room))
PUBLISH_ALL(char *, canonicalize_file_name, (const char *path), (path))

/* It stores the child's number with all signals blocked. */
PUBLISH1(int, posix_spawn,
         (pid_t *b, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *a,
          char *const arguments[], char *const environment[]),
         (b, path, actions, a, arguments, environment), b, sizeof *b)
PUBLISH1(int, posix_spawnp,
         (pid_t *b, const char *file, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *a,
          char *const arguments[], char *const environment[]),
         (b, file, actions, a, arguments, environment), b, sizeof *b)
PUBLISH_ALL(FILE *, popen, (const char *command, const char *mode), (command, mode))

/* A stream's buffer that the program chose, and the one byte that a stream without has in itself, are read
 * into by calls that nobody can wrap. */
#define PIN_IF_WANTED(b, n) \
  (hazard_concerns((uintptr_t)(b)) ? pin_for_good((const void *)(b), (n)) : (void)0)

EXPORT int setvbuf(FILE *f, char *b, int mode, size_t n) {
  if (mode == _IONBF)
    PIN_IF_WANTED(f, sizeof *f);
  else
    PIN_IF_WANTED(b, n);
  return REAL(setvbuf)(f, b, mode, n);
}

EXPORT void setbuffer(FILE *f, char *b, size_t n) { setvbuf(f, b, b != NULL ? _IOFBF : _IONBF, n); }
EXPORT void setbuf(FILE *f, char *b) { setbuffer(f, b, BUFSIZ); }

/* ---- Other names of these ---- */

ALSO(__adjtimex, adjtimex);
ALSO(__gettimeofday, gettimeofday);
ALSO(__pipe, pipe);
ALSO(__pread64, pread64);
ALSO(__read, read);
ALSO(__sched_getparam, sched_getparam);
ALSO(__statfs, statfs);
ALSO(__wait, wait);
ALSO(__waitpid, waitpid);
ALSO(_IO_fread, fread);
ALSO(_IO_popen, popen);
ALSO(_IO_setbuffer, setbuffer);
ALSO(_IO_setvbuf, setvbuf);
