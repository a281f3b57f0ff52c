/* Calls that are given pointers to nowhere, or more than there may be: they fail as the kernel has them fail. */
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "test.h"

static char *nowhere;           /* nothing is mapped here, but before it */
static struct iovec *last;      /* the last bytes before it */
static int datagram[2];

#define assert_fails(call, error)   \
  do {                              \
    errno = 0;                      \
    assert_int_equal((call), -1);   \
    assert_int_equal(errno, error); \
  } while (0)

/* Something to give back, so that there is work to be done where a thread would sleep. */
static void make_work(void) {
  enum { OBJECTS = 20000 };
  static void *objects[OBJECTS];
  for (int i = 0; i < OBJECTS; i++) assert_non_null(objects[i] = malloc(200));
  for (int i = 0; i < OBJECTS; i++) free(objects[i]);
}

static int prepare(void **state) {
  (void)state;
  static char byte;
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED || munmap(pages + page, page) != 0) return -1;
  nowhere = pages + page;
  last = (struct iovec *)(nowhere - sizeof *last);
  *last = (struct iovec){&byte, 1};
  return socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, datagram);
}

static void vectors(void **state) {
  (void)state;
  int end[2];
  assert_int_equal(pipe(end), 0);
  assert_int_equal(write(end[1], "abc", 3), 3);
  assert_fails(readv(end[0], (void *)nowhere, 1), EFAULT);
  assert_fails(readv(end[0], last, 2), EFAULT);
  assert_fails(readv(end[0], last, IOV_MAX + 1), EINVAL);
  assert_int_equal(readv(end[0], last, 1), 1);
  assert_fails(vmsplice(end[0], (void *)nowhere, 1, 0), EFAULT);
  assert_fails(process_vm_readv(getpid(), (void *)nowhere, 1, (void *)nowhere, 1, 0), EFAULT);
  close(end[0]);
  close(end[1]);
}

static void messages(void **state) {
  (void)state;
  struct msghdr bad = {.msg_iov = (void *)nowhere, .msg_iovlen = 1}, much = {.msg_iov = last, .msg_iovlen = 5000};
  assert_int_equal(write(datagram[1], "a", 1), 1);
  assert_fails(recvmsg(datagram[0], (void *)nowhere, 0), EFAULT);
  assert_fails(recvmsg(datagram[0], &bad, 0), EFAULT);
  assert_fails(recvmsg(datagram[0], &much, 0), EMSGSIZE);
  assert_fails(recvmmsg(datagram[0], (void *)nowhere, 1, 0, NULL), EFAULT);
  assert_fails(sendmmsg(datagram[0], (void *)nowhere, 1, 0), EFAULT);
}

static void sleeps(void **state) {
  (void)state;
  struct timeval soon = {0, 1000};
  for (int i = 0; i < 3; i++) {
    make_work();
    assert_fails(nanosleep((void *)nowhere, NULL), EFAULT);
    assert_int_equal(clock_nanosleep(CLOCK_MONOTONIC, 0, (void *)nowhere, NULL), EFAULT);
    assert_fails(select(5, (void *)nowhere, NULL, NULL, &soon), EFAULT);
    assert_fails(pselect(5, (void *)nowhere, NULL, NULL, &(struct timespec){0, 1000}, NULL), EFAULT);
    assert_fails(pselect(5, NULL, NULL, NULL, &(struct timespec){0, 1000}, (void *)nowhere), EFAULT);
    assert_fails(sigsuspend((void *)nowhere), EFAULT);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(vectors),
      cmocka_unit_test(messages),
      cmocka_unit_test(sleeps),
  };
  return cmocka_run_group_tests(tests, prepare, NULL);
}
