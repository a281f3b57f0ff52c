/* What makes the kernel, libc's own threads or devices store into the heap when no wrapper is there to see it: from then
   on nothing that they might store into is meshed. Each way in a process of its own. */
#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <mqueue.h>
#include <netdb.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mallctl.h"
#include "sparse.h"

enum { OBJECTS = 2000, SMALL = 256, LARGE = 512, SKIPPED = 77 };

static const char file[] = "/proc/self/exe";

static void nothing(void) {}

static void by_aio_read(void) {
  char byte;
  struct aiocb a = {.aio_fildes = open(file, O_RDONLY), .aio_buf = &byte, .aio_nbytes = 1};
  const struct aiocb *list[] = {&a};
  a.aio_sigevent.sigev_notify = SIGEV_NONE;
  aio_read(&a);
  while (aio_error(&a) == EINPROGRESS) aio_suspend(list, 1, NULL);
}

static void by_list(void) {
  char byte;
  struct aiocb a = {.aio_fildes = open(file, O_RDONLY), .aio_buf = &byte, .aio_nbytes = 1, .aio_lio_opcode = LIO_READ};
  struct aiocb *list[] = {&a};
  lio_listio(LIO_WAIT, list, 1, NULL);
}

static void expire(union sigval unused) { (void)unused; }

static void by_timer(void) {
  struct sigevent e = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = expire};
  timer_t timer;
  timer_create(CLOCK_MONOTONIC, &e, &timer);
}

static void by_message(void) {
  const struct sigevent e = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = expire};
  mq_notify(-1, &e);
}

static void by_look_up(void) {
  struct gaicb a = {.ar_name = "127.0.0.1"}, *list[] = {&a};
  getaddrinfo_a(GAI_WAIT, list, 1, NULL);
}

static void by_ring(void) {
  struct io_uring_params p;
  memset(&p, 0, sizeof p);
  syscall(SYS_io_uring_setup, 1, &p);
}

/* Whether or not the file system can. */
static void by_open(void) { open(file, O_RDONLY | O_DIRECT); }
static void by_openat(void) { openat(AT_FDCWD, file, O_RDONLY | O_DIRECT); }
static void by_flag(void) { fcntl(open(file, O_RDONLY), F_SETFL, O_DIRECT); }
static void by_call(void) { syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_DIRECT); }
static void by_openat2(void) {
  struct open_how how = {.flags = O_RDONLY | O_DIRECT};
  syscall(SYS_openat2, AT_FDCWD, file, &how, sizeof how);
}

static const struct {
  const char *name;
  void (*do_it)(void);
  bool direct;
} ways[] = {
    {"aio_read", by_aio_read, false},
    {"lio_listio", by_list, false},
    {"timer_create", by_timer, false},
    {"mq_notify", by_message, false},
    {"getaddrinfo_a", by_look_up, false},
    {"io_uring_setup", by_ring, false},
    {"open", by_open, true},
    {"openat", by_openat, true},
    {"fcntl", by_flag, true},
    {"syscall(SYS_openat)", by_call, true},
    {"syscall(SYS_openat2)", by_openat2, true},
};
enum { WAYS = sizeof ways / sizeof *ways };

static bool meshes(size_t size) {
  struct dice dice = {size};
  struct sparse heap = sparse_new(OBJECTS, size, &dice);
  compact();
  bool any = mallctl_figure("stats.meshed") > 0;
  sparse_free(&heap);
  compact();
  return any;
}

/* Bit 0: small objects mesh; bit 1: those that may hold a sector do. */
static int what_meshes_after(void (*do_it)(void)) {
  int status = 0;
  pid_t child = fork();
  if (child == 0) {
    do_it();
    _exit(meshes(SMALL) | meshes(LARGE) << 1);
  }
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(void) {
  const char *barrier = getenv("MESH_BARRIER");
  const bool kernel_waits = barrier != NULL && strcmp(barrier, "uffd") == 0;
  int failed = 0;
  if (what_meshes_after(nothing) != 3) {
    printf("mesh_late: nothing meshes here, left out\n");
    return SKIPPED;
  }
  for (int i = 0; i < WAYS; i++) {
    const int expected = ways[i].direct ? 1 : kernel_waits ? 3 : 0, got = what_meshes_after(ways[i].do_it);
    if (got == expected) continue;
    printf("mesh_late: after %s: %d, must be %d\n", ways[i].name, got, expected);
    failed = 1;
  }
  if (!failed) puts("mesh_late: ok");
  return failed;
}
